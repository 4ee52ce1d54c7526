/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * What is said of a process that has a great deal of what is asked for. Needs root, for groups and a pid namespace.
 */

#include "watch/internal.h"

#include "util/parse.h"

#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <cmocka.h>

#define GROUPS    2000U
#define MAPPED    30U
#define PARTS     10U
#define BYTES_MAX 8192U

#define NEEDS()                                                                                                        \
    if (geteuid() != 0) {                                                                                              \
        print_message("skipped: not root\n");                                                                          \
        skip();                                                                                                        \
    }

static Watch watch;
static WatchSubject subject = { .watch = &watch, .id = "evidence", .pidfd = -EBADF };

/* A process of a pid namespace of its own, once PREPARE has succeeded in it. */
static pid_t spawn(bool (*prepare)(void)) {
    int ready[2], own = open("/proc/self/ns/pid", O_RDONLY | O_CLOEXEC);
    char byte = 0;
    assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
    assert_int_equal(unshare(CLONE_NEWPID), 0);
    pid_t pid = fork();
    if (pid == 0) {
        (void) prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (!prepare() || write(ready[1], "y", 1) != 1)
            _exit(1);
        for (;;)
            pause();
    }
    assert_int_equal(setns(own, CLONE_NEWPID), 0);
    (void) close(own);
    (void) close(ready[1]);
    assert_int_equal(read(ready[0], &byte, 1), 1);
    (void) close(ready[0]);
    return pid;
}

static void end(pid_t pid) {
    (void) kill(pid, SIGKILL);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
}

static bool take_groups(void) {
    gid_t groups[GROUPS];
    for (unsigned i = 0; i < GROUPS; i++)
        groups[i] = 1879048192U + i;
    return setgroups(GROUPS, groups) == 0;
}

/* The subject's group is this process's own. */
static int own_group(void **state) {
    char text[4096];
    int fd = open("/proc/self/cgroup", O_RDONLY | O_CLOEXEC);
    ssize_t n = read(fd, text, sizeof(text) - 1);
    (void) close(fd);
    text[n > 0 ? n : 0] = 0;
    const char *line = strncmp(text, "0::", 3) == 0 ? text : strstr(text, "\n0::");
    if (!line)
        return -1;
    line += *line == '\n';
    (void) snprintf(subject.cgroup_path, sizeof(subject.cgroup_path), "%.*s", (int) strcspn(line + 3, "\n"), line + 3);
    return 0;
}

/* What is not the container's is nobody's evidence. */
static void others_are_not_looked_at(void **state) {
    NEEDS();
    static WatchSubject other = { .watch = &watch, .id = "other", .pidfd = -EBADF, .cgroup_path = "/kennel-other/x" };
    Finding *f = finding_new(FINDING_FOREIGN_PROGRAM, FINDING_LOW);
    assert_int_equal(evidence_process(&other, getpid(), -EBADF, f), -ESRCH);
    assert_int_equal(evidence_collect_member(&other, getpid(), -EBADF, f), -ESRCH);
    assert_int_equal(evidence_collect_member(&subject, getpid(), -ESRCH, f), -ESRCH);
    assert_null(f->program);
    assert_null(f->command);
    assert_true(f->start_time == 0);
    assert_int_equal(evidence_collect_member(&subject, getpid(), -EBADF, f), 0);
    assert_non_null(f->program);
    evidence_forget(f);
    assert_null(f->program);
    assert_null(f->command);
    assert_true(f->start_time == 0 && f->program_ino == 0);
    (void) finding_free(f);
}

/* They stand before its numbers. */
static void many_groups_hide_no_number(void **state) {
    NEEDS();
    pid_t pid = spawn(take_groups);
    Finding *f = finding_new(FINDING_FOREIGN_PROGRAM, FINDING_LOW);
    assert_int_equal(evidence_process(&subject, pid, -EBADF, f), 0);
    assert_int_equal(f->pid, 1);
    assert_int_equal(evidence_collect(&subject, pid, -EBADF, f), 0);
    assert_int_equal(f->pid, 1);
    assert_int_equal(f->n_parents, 1); /* the first that is outside */
    (void) finding_free(f);
    end(pid);
}

static char directory[] = "/tmp/kennel-evidence-XXXXXX";

/* Files of long paths. */
static bool map_many(void) {
    char part[201], name[8];
    memset(part, 'p', sizeof(part) - 1);
    part[sizeof(part) - 1] = 0;
    for (unsigned i = 0; i < PARTS; i++)
        if (mkdir(part, 0700) < 0 || chdir(part) < 0)
            return false;
    for (unsigned i = 0; i < MAPPED; i++) {
        (void) snprintf(name, sizeof(name), "f%u", i);
        int fd = open(name, O_RDWR | O_CREAT | O_CLOEXEC, 0700);
        if (fd < 0 || ftruncate(fd, 4096) < 0 ||
            mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, 0) == MAP_FAILED)
            return false;
        (void) close(fd);
    }
    return true;
}

static void long_paths_are_no_long_finding(void **state) {
    NEEDS();
    assert_non_null(mkdtemp(directory));
    assert_int_equal(chdir(directory), 0);
    pid_t pid = spawn(map_many);
    Finding *f = finding_new(FINDING_FOREIGN_PROGRAM, FINDING_LOW);
    assert_int_equal(evidence_collect(&subject, pid, -EBADF, f), 0);
    assert_non_null(f->mapped_files);
    size_t bytes = 0, n = 0;
    for (; f->mapped_files[n]; n++)
        bytes += strlen(f->mapped_files[n]);
    assert_in_range(bytes, 1, BYTES_MAX);
    assert_true(n > 3); /* what is short has its place */
    (void) finding_free(f);
    end(pid);
    char command[64];
    assert_int_equal(chdir("/"), 0);
    (void) snprintf(command, sizeof(command), "rm -rf %s", directory);
    assert_int_equal(system(command), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(many_groups_hide_no_number),
        cmocka_unit_test(others_are_not_looked_at),
        cmocka_unit_test(long_paths_are_no_long_finding),
    };
    return cmocka_run_group_tests(tests, own_group, NULL);
}
