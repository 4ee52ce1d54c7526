/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Attestation of a process that is in no container: this one. Every control that a container has is missing, and each of
 * their rows has to say so.
 */

#include "sandbox/internal.h"
#include "util/process.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/resource.h>

#include <cmocka.h>

static const Check *row(const CheckList *l, const char *control) {
    for (size_t i = 0; i < l->n; i++)
        if (strcmp(l->items[i].control, control) == 0)
            return &l->items[i];
    fail_msg("there is no row %s", control);
    return NULL;
}

typedef struct Subject {
    SandboxHost host;
    SandboxSpec spec;
    SandboxMount mounts[2];
    SandboxRlimit limit;
    SandboxExpectation x;
    CheckList checks;
} Subject;

static void set_up(Subject *s) {
    *s = (Subject){ .spec = SANDBOX_SPEC_INIT, .checks = CHECK_LIST_INIT };
    s->host.proc_fd = open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
    assert_int_equal(attest_prepare(&s->host, NULL), 0);
    s->mounts[0] = (SandboxMount){ .kind = SANDBOX_MOUNT_VOLUME, .target = (char *) "/no/such/volume" };
    s->mounts[1] = (SandboxMount){ .kind = SANDBOX_MOUNT_TMPFS, .target = (char *) "/no/such/tmpfs" };
    s->limit = (SandboxRlimit){ RLIMIT_NOFILE, 11, 12 };
    s->spec.id_base = 1000000;
    s->spec.mounts = s->mounts;
    s->spec.n_mounts = 2;
    s->spec.program.rlimits = &s->limit;
    s->spec.program.n_rlimits = 1;
    s->x = (SandboxExpectation){
        .pid = getpid(),
        .pidfd = process_pidfd_open(getpid()),
        .spec = &s->spec,
        .program = &s->spec.program,
        .host_image = true,
        .seccomp = true,
        .first = true,
        .at_start = true,
    };
}

static void tear_down(Subject *s) {
    (void) close(s->host.proc_fd);
    (void) close(s->x.pidfd);
    check_list_done(&s->checks);
}

static const char *const always[] = {
    "uid",           "gid",          "uidMap",         "gidMap",       "devMount",         "seccompFilters",
    "userNamespace", "pidNamespace", "mountNamespace", "ipcNamespace", "utsNamespace",     "cgroupNamespace",
    "timeNamespace", "pid",          "masks",          "otherMounts",  "networkNamespace", "procSysMount",
    "volumes[0]",    "tmpfs[0]",     "rootMount",      "mqueueMount",  "usrMount",         "oomScoreAdj",
};

static void an_ordinary_process_fails_every_row(void **state) {
    Subject s;
    set_up(&s);
    assert_int_equal(sandbox_attest(&s.host, &s.x, &s.checks), 0);
    for (size_t i = 0; i < ELEMENTSOF(always); i++)
        if (row(&s.checks, always[i])->passed)
            fail_msg("%s has passed: \"%s\" is \"%s\"", always[i], row(&s.checks, always[i])->expected,
                     row(&s.checks, always[i])->found);
    assert_string_equal(row(&s.checks, "userNamespace")->found, "the host's");
    assert_string_equal(row(&s.checks, "volumes[0]")->found, "not mounted");
    assert_false(row(&s.checks, "ulimits.nofile")->passed);
    assert_false(row(&s.checks, "descriptors")->passed); /* /proc and a pidfd are open */
    assert_non_null(strstr(row(&s.checks, "masks")->found, "is not covered"));
    assert_false(check_list_passed(&s.checks));
    tear_down(&s);
}

/* "At most" is not "anything". */
static void later_it_fails_them_too(void **state) {
    Subject s;
    set_up(&s);
    s.x.at_start = false;
    assert_int_equal(sandbox_attest(&s.host, &s.x, &s.checks), 0);
    for (size_t i = 0; i < ELEMENTSOF(always); i++)
        if (row(&s.checks, always[i])->passed)
            fail_msg("%s has passed", always[i]);
    assert_false(row(&s.checks, "ulimits.nofile")->passed);
    tear_down(&s);
}

/* What shares each namespace with the first process is in the container. */
static void what_joins_shares_namespaces(void **state) {
    Subject s;
    set_up(&s);
    s.x.first = false;
    s.x.init_pid = getpid();
    assert_int_equal(sandbox_attest(&s.host, &s.x, &s.checks), 0);
    assert_true(row(&s.checks, "pidNamespace")->passed);
    check_list_done(&s.checks);
    s.x.init_pid = 0x7ffffff0; /* there is no such process: nothing is shared with it */
    assert_int_equal(sandbox_attest(&s.host, &s.x, &s.checks), 0);
    assert_false(row(&s.checks, "pidNamespace")->passed);
    assert_false(row(&s.checks, "userNamespace")->passed);
    tear_down(&s);
}

static void limits_are_compared_as_numbers(void **state) {
    Subject s;
    struct rlimit own;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &own), 0);
    set_up(&s);
    s.limit.soft = own.rlim_cur;
    s.limit.hard = own.rlim_max;
    assert_int_equal(sandbox_attest(&s.host, &s.x, &s.checks), 0);
    assert_true(row(&s.checks, "ulimits.nofile")->passed);
    check_list_done(&s.checks);
    s.limit.soft--; /* exactly at the start, at most later */
    s.x.at_start = true;
    assert_int_equal(sandbox_attest(&s.host, &s.x, &s.checks), 0);
    assert_false(row(&s.checks, "ulimits.nofile")->passed);
    check_list_done(&s.checks);
    s.x.at_start = false;
    assert_int_equal(sandbox_attest(&s.host, &s.x, &s.checks), 0);
    assert_true(row(&s.checks, "ulimits.nofile")->passed);
    tear_down(&s);
}

static void a_process_that_is_gone(void **state) {
    Subject s;
    set_up(&s);
    s.x.pid = 0x7ffffff0;
    assert_int_equal(sandbox_attest(&s.host, &s.x, &s.checks), -ESRCH);
    tear_down(&s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_ordinary_process_fails_every_row),
        cmocka_unit_test(later_it_fails_them_too),
        cmocka_unit_test(what_joins_shares_namespaces),
        cmocka_unit_test(limits_are_compared_as_numbers),
        cmocka_unit_test(a_process_that_is_gone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
