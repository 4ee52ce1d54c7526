/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * sandbox/capabilities: names, and the five sets and the securebits that a program has after execve.
 *
 * The second part needs root: children in user namespaces with a mapped range do what a start does, execute `cat` on
 * their status file, and what the kernel prints there is compared with capabilities_expected().
 */

#include "sandbox/capabilities.h"

#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/securebits.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <cmocka.h>

#define BIT(cap) (UINT64_C(1) << (cap))

static void names_are_known_in_all_spellings(void **state) {
    uint64_t mask = 0;
    assert_int_equal(capabilities_from_string("NET_ADMIN", &mask), 0);
    assert_true(mask == BIT(CAP_NET_ADMIN));
    assert_int_equal(capabilities_from_string("cap_net_admin", &mask), 0);
    assert_true(mask == BIT(CAP_NET_ADMIN));
    assert_int_equal(capabilities_from_string("CAP_CHECKPOINT_RESTORE", &mask), 0);
    assert_true(mask == BIT(CAP_CHECKPOINT_RESTORE));
    assert_int_equal(capabilities_from_string("all", &mask), 0);
    assert_true(mask == CAPABILITIES_ALL);
    assert_int_equal(capabilities_from_string("system", &mask), 0);
    assert_true(mask == CAPABILITIES_SYSTEM);

    static const char *const bad[] = { "", "CAP_", "NET_ADMI", "NET_ADMIN ", "CAP_CAP_CHOWN", "12", "cap_all", "-1" };
    for (size_t i = 0; i < ELEMENTSOF(bad); i++) {
        mask = 42;
        assert_int_equal(capabilities_from_string(bad[i], &mask), -EINVAL);
        assert_true(mask == 42);
    }
}

static void every_capability_has_a_name_that_leads_back(void **state) {
    for (unsigned cap = 0; cap <= CAP_LAST_CAP; cap++) {
        uint64_t mask = 0;
        assert_non_null(capabilities_name(cap));
        assert_int_equal(capabilities_from_string(capabilities_name(cap), &mask), 0);
        assert_true(mask == BIT(cap));
        assert_true(CAPABILITIES_ALL & mask);
    }
    assert_null(capabilities_name(CAP_CHECKPOINT_RESTORE + 1));
    assert_null(capabilities_name(64));
    assert_null(capabilities_name(~0U));
    assert_string_equal(capabilities_name(0), "CHOWN");
}

static void the_two_lists_of_the_design(void **state) {
    assert_int_equal(__builtin_popcountll(CAPABILITIES_SYSTEM), 10);
    assert_int_equal(__builtin_popcountll(CAPABILITIES_FORBIDDEN), 17);
    assert_true((CAPABILITIES_SYSTEM & CAPABILITIES_FORBIDDEN) == 0);
    assert_true(CAPABILITIES_FORBIDDEN & BIT(CAP_NET_RAW));
    assert_true(CAPABILITIES_FORBIDDEN & BIT(CAP_SETPCAP));
    assert_false(CAPABILITIES_FORBIDDEN & BIT(CAP_SYS_ADMIN));
    assert_true(CAPABILITIES_SYSTEM & BIT(CAP_SETUID));
}

/* ---- in user namespaces ---- */

typedef struct Case {
    uint64_t caps;
    uint32_t uid;
    bool stay_unmapped; /* start from an id that has no place inside, as a start with clone does */
} Case;

/* The securebits are in no file: the child notes what prctl says right before execve. What is locked outlives it. */
typedef struct Shared {
    int securebits;
    int relaxed; /* which attempts to undo things worked */
    struct __user_cap_data_struct before[2];
} Shared;

static void fail_child(const char *what) {
    dprintf(2, "%s: %s\n", what, strerror(errno));
    _exit(99);
}

static void attempt_to_undo(Shared *s) {
    s->relaxed = prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) == 0;
    s->relaxed |= (prctl(PR_SET_SECUREBITS, 0, 0, 0, 0) == 0) << 1;
    for (int cap = 0; cap <= CAP_LAST_CAP; cap++)
        s->relaxed |= (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, cap, 0, 0) == 0) << 2;
}

static _Noreturn void child(const Case *c, Shared *shared, int ready, int go, int out) {
    char byte = 0;
    int r;
    if (unshare(CLONE_NEWUSER) < 0)
        fail_child("unshare");
    if (write(ready, &byte, 1) != 1 || read(go, &byte, 1) != 1)
        fail_child("pipe");
    /* As in a start from uid 0 of the host, or as one whose caller has become root inside before. */
    if (!c->stay_unmapped && (setresgid(0, 0, 0) < 0 || setresuid(0, 0, 0) < 0))
        fail_child("root inside");

    if ((r = capabilities_drop_bounding(c->caps)) < 0) {
        errno = -r;
        fail_child("drop_bounding");
    }
    if (setgroups(0, NULL) < 0 || setresgid(c->uid, c->uid, c->uid) < 0 || setresuid(c->uid, c->uid, c->uid) < 0)
        fail_child("ids");
    if ((r = capabilities_set_final(c->caps, c->uid)) < 0) {
        errno = -r;
        fail_child("set_final");
    }
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        fail_child("no_new_privs");
    /* execve computes the sets anew; between the two, the daemon's code must not have more either. */
    struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
    if (syscall(SYS_capget, &header, shared->before) < 0)
        fail_child("capget");
    attempt_to_undo(shared);
    shared->securebits = prctl(PR_GET_SECUREBITS, 0, 0, 0, 0);
    dup2(out, 1);
    execl("/bin/cat", "cat", "/proc/self/status", (char *) NULL);
    fail_child("execve");
    _exit(99);
}

static void write_map(pid_t pid, const char *name) {
    char path[64];
    (void) snprintf(path, sizeof(path), "/proc/%d/%s", (int) pid, name);
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    static const char map[] = "0 400000 65536\n";
    assert_int_equal(write(fd, map, strlen(map)), strlen(map));
    close(fd);
}

/* Returns what `cat` printed. */
static char *start(const Case *c, Shared *shared) {
    int ready[2], go[2], out[2];
    assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
    assert_int_equal(pipe2(go, O_CLOEXEC), 0);
    assert_int_equal(pipe2(out, O_CLOEXEC), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0)
        child(c, shared, ready[1], go[0], out[1]);
    close(ready[1]);
    close(out[1]);
    char byte;
    assert_int_equal(read(ready[0], &byte, 1), 1);
    write_map(pid, "uid_map");
    write_map(pid, "gid_map");
    assert_int_equal(write(go[1], &byte, 1), 1);

    char *text = calloc(1, 8192);
    assert_non_null(text);
    for (ssize_t n, at = 0; (n = read(out[0], text + at, (size_t) (8191 - at))) > 0;)
        at += n;
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    close(ready[0]);
    close(go[0]);
    close(go[1]);
    close(out[0]);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    return text;
}

static uint64_t field(const char *status, const char *name, int base) {
    const char *at = strstr(status, name);
    if (!at)
        fail_msg("no %s in the status", name);
    return strtoull(at + strlen(name), NULL, base);
}

static void check_case(const Case *c) {
    Shared *shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(shared != MAP_FAILED);
    _cleanup_free_ char *status = start(c, shared);

    CapabilitySets x;
    capabilities_expected(c->caps, c->uid, &x);
    assert_true(x.bounding == c->caps);
    assert_true(field(status, "CapInh:", 16) == x.inheritable);
    assert_true(field(status, "CapPrm:", 16) == x.permitted);
    assert_true(field(status, "CapEff:", 16) == x.effective);
    assert_true(field(status, "CapBnd:", 16) == x.bounding);
    assert_true(field(status, "CapAmb:", 16) == x.ambient);
    assert_int_equal(field(status, "NoNewPrivs:", 10), 1);
    assert_int_equal(field(status, "Uid:", 10), c->uid);

    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(shared->before[i].permitted, (uint32_t) (c->caps >> (32 * i)));
        assert_int_equal(shared->before[i].effective, (uint32_t) (c->caps >> (32 * i)));
        assert_int_equal(shared->before[i].inheritable, (uint32_t) (x.inheritable >> (32 * i)));
    }

    int locked = SECBIT_KEEP_CAPS_LOCKED | SECBIT_NO_SETUID_FIXUP_LOCKED | SECBIT_NO_CAP_AMBIENT_RAISE |
                 SECBIT_NO_CAP_AMBIENT_RAISE_LOCKED | SECBIT_NOROOT_LOCKED;
    assert_int_equal(shared->securebits, locked | (c->caps == 0 ? SECBIT_NOROOT : 0));
    assert_int_equal(shared->relaxed, 0);
    munmap(shared, sizeof(*shared));
}

static void sets_after_execve_are_exact(void **state) {
    if (geteuid() != 0) {
        print_message("skipped: maps of 65,536 ids take root\n");
        skip();
    }
    const uint64_t caps[] = { 0, CAPABILITIES_SYSTEM, BIT(CAP_NET_BIND_SERVICE), BIT(CAP_SETPCAP) | BIT(CAP_CHOWN),
                              CAPABILITIES_ALL };
    for (size_t i = 0; i < ELEMENTSOF(caps); i++)
        for (unsigned uid = 0; uid <= 1000; uid += 1000)
            for (unsigned unmapped = 0; unmapped < 2; unmapped++)
                check_case(&(Case){ caps[i], uid, unmapped });
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_are_known_in_all_spellings),
        cmocka_unit_test(every_capability_has_a_name_that_leads_back),
        cmocka_unit_test(the_two_lists_of_the_design),
        cmocka_unit_test(sets_after_execve_are_exact),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
