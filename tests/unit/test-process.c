/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* util/process: signals by name, exits by pidfd (ours, another's, a zombie's) and what /proc says. */

#include "util/process.h"

#include "util/parse.h"

#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <time.h>

#include <cmocka.h>

static void signals_by_name_and_number(void **state) {
    const struct {
        const char *text;
        int sig;
    } good[] = {
        { "KILL", SIGKILL }, { "SIGKILL", SIGKILL }, { "kill", SIGKILL },         { "sigTerm", SIGTERM },
        { "9", SIGKILL },    { "RTMIN", SIGRTMIN },  { "RTMIN+3", SIGRTMIN + 3 }, { "SIGRTMAX-1", SIGRTMAX - 1 },
        { "64", 64 },        { "IOT", SIGABRT },     { "CLD", SIGCHLD }
    };
    for (size_t i = 0; i < ELEMENTSOF(good); i++)
        assert_int_equal(process_signal_from_string(good[i].text), good[i].sig);
    static const char *const bad[] = { "",       "0",      "65",      "-9",       "9 ",      "SIG",       "SIG9",
                                       "KILLER", "RTMIN+", "RTMIN-1", "RTMIN+31", "RTMAX+1", "RTMIN+0x1", "NOSUCH" };
    for (size_t i = 0; i < ELEMENTSOF(bad); i++)
        assert_int_equal(process_signal_from_string(bad[i]), -EINVAL);
}

static void every_signal_has_a_name_that_leads_back(void **state) {
    for (int sig = 1; sig <= SIGRTMAX; sig++) {
        const char *name = process_signal_to_string(sig);
        assert_non_null(name);
        assert_int_equal(process_signal_from_string(name), sig);
    }
    assert_string_equal(process_signal_to_string(SIGKILL), "KILL");
    assert_string_equal(process_signal_to_string(SIGRTMIN + 3), "RTMIN+3");
    assert_null(process_signal_to_string(0));
    assert_null(process_signal_to_string(-1));
    assert_null(process_signal_to_string(65));
}

/* A child that waits until it is killed or its pipe closes, then exits with CODE. */
static pid_t start_child(int code, int *ret_pipe) {
    int fds[2];
    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        char byte;
        close(fds[1]);
        (void) !read(fds[0], &byte, 1);
        _exit(code);
    }
    close(fds[0]);
    *ret_pipe = fds[1];
    return pid;
}

static void wait_readable(int pidfd) {
    struct pollfd p = { .fd = pidfd, .events = POLLIN };
    assert_int_equal(poll(&p, 1, 10000), 1);
}

static void children_are_reaped(void **state) {
    int pipe_fd;
    pid_t pid = start_child(42, &pipe_fd);
    _cleanup_fd_ int pidfd = process_pidfd_open(pid);
    assert_true(pidfd >= 0 && (fcntl(pidfd, F_GETFD) & FD_CLOEXEC));
    assert_int_equal(process_pidfd_pid(pidfd), pid);
    ProcessExit e = { 0 };
    assert_int_equal(process_reap(pidfd, &e), -EAGAIN);
    close(pipe_fd);
    wait_readable(pidfd);
    assert_int_equal(process_reap(pidfd, &e), 0);
    assert_true(e.known && e.code == 42 && e.signal == 0);
    assert_int_equal(process_pidfd_pid(pidfd), -ESRCH);
    assert_int_equal(process_pidfd_signal(pidfd, SIGKILL), -ESRCH);
}

static void a_killed_child_gives_its_signal(void **state) {
    int pipe_fd;
    pid_t pid = start_child(0, &pipe_fd);
    _cleanup_fd_ int pidfd = process_pidfd_open(pid);
    assert_int_equal(process_pidfd_signal(pidfd, SIGTERM), 0);
    wait_readable(pidfd);
    ProcessExit e = { 0 };
    assert_int_equal(process_reap(pidfd, &e), 0);
    assert_true(e.known && e.code == 128 + SIGTERM && e.signal == SIGTERM);
    close(pipe_fd);
}

static bool kernel_at_least(unsigned major, unsigned minor) {
    struct utsname u;
    unsigned a = 0, b = 0;
    assert_int_equal(uname(&u), 0);
    assert_int_equal(sscanf(u.release, "%u.%u", &a, &b), 2);
    return a > major || (a == major && b >= minor);
}

/*
 * A grandchild, whose parent leaves it a zombie until told to reap it. KILL_IT ends it by a signal, else it exits
 * with 42.
 */
static void another_parent(bool kill_it) {
    int report[2], commands[2];
    assert_int_equal(pipe2(report, O_CLOEXEC), 0);
    assert_int_equal(pipe2(commands, O_CLOEXEC), 0);
    pid_t middle = fork();
    assert_true(middle >= 0);
    if (middle == 0) {
        int pipe_fd;
        char byte;
        close(commands[1]);
        pid_t pid = start_child(42, &pipe_fd);
        (void) !write(report[1], &pid, sizeof(pid));
        (void) !read(commands[0], &byte, 1);
        close(pipe_fd);
        (void) !read(commands[0], &byte, 1);
        _exit(waitpid(pid, NULL, 0) == pid ? 0 : 1);
    }
    pid_t pid;
    assert_int_equal(read(report[0], &pid, sizeof(pid)), sizeof(pid));
    _cleanup_fd_ int pidfd = process_pidfd_open(pid);
    ProcessExit e = { 0 };
    assert_int_equal(process_reap(pidfd, &e), -EAGAIN);
    if (kill_it)
        assert_int_equal(process_pidfd_signal(pidfd, SIGKILL), 0);
    else
        assert_int_equal(write(commands[1], "x", 1), 1);
    wait_readable(pidfd);

    int code = kill_it ? 128 + SIGKILL : 42, sig = kill_it ? SIGKILL : 0;
    assert_int_equal(process_reap(pidfd, &e), 0); /* a zombie still */
    assert_true(e.known && e.code == code && e.signal == sig);

    close(commands[1]);
    int status;
    assert_int_equal(waitpid(middle, &status, 0), middle);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    e = (ProcessExit){ 0 };
    assert_int_equal(process_reap(pidfd, &e), 0); /* reaped by the other */
    if (kernel_at_least(6, 15))
        assert_true(e.known && e.code == code && e.signal == sig);
    else
        assert_false(e.known);
    close(report[0]);
    close(report[1]);
    close(commands[0]);
}

static void the_exit_of_anothers_child_is_known(void **state) {
    another_parent(false);
}
static void the_signal_of_anothers_child_is_known(void **state) {
    another_parent(true);
}

static void info_of_ourselves(void **state) {
    ProcessInfo i = { 0 };
    assert_int_equal(prctl(PR_SET_NAME, "a) R (b c"), 0); /* what a naive parser of stat falls for */
    assert_int_equal(process_info_read(getpid(), false, &i), 0);
    assert_string_equal(i.command[0], "[a) R (b c]");
    assert_null(i.command[1]);
    process_info_done(&i);
    assert_int_equal(process_info_read(getpid(), true, &i), 0);
    assert_int_equal(i.host_pid, getpid());
    assert_int_equal(i.host_parent, getppid());
    assert_int_equal(i.host_uid, getuid());
    assert_int_equal(i.state, 'R');
    assert_int_equal(i.threads, 1);
    assert_true(i.memory > 100 * 1024 && i.memory < 1ULL << 32);
    uint64_t now = (uint64_t) time(NULL) * 1000000U;
    assert_true(i.started_usec < now + 2000000U && i.started_usec + 300000000U > now);
    assert_true(strv_length(i.command) >= 1);
    assert_non_null(strstr(i.command[0], "test-process"));
    process_info_done(&i);
    assert_null(i.command);

    uint64_t first = 0, second = 1;
    assert_int_equal(process_start_time(getpid(), &first), 0);
    assert_int_equal(process_start_time(getpid(), &second), 0);
    assert_true(first > 0 && first == second);
    pid_t parent = 0;
    assert_int_equal(process_parent(getpid(), &parent), 0);
    assert_int_equal(parent, getppid());
}

static void what_has_gone_is_esrch(void **state) {
    int pipe_fd;
    pid_t pid = start_child(0, &pipe_fd);
    close(pipe_fd);
    _cleanup_fd_ int pidfd = process_pidfd_open(pid);
    wait_readable(pidfd);
    ProcessInfo i = { 0 };
    assert_int_equal(process_info_read(pid, true, &i), 0);
    assert_int_equal(i.state, 'Z');
    assert_int_equal(i.command[0][0], '[');
    process_info_done(&i);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    uint64_t start;
    assert_int_equal(process_info_read(pid, true, &i), -ESRCH);
    assert_int_equal(process_start_time(pid, &start), -ESRCH);
    char *status = NULL;
    pid_t parent;
    assert_int_equal(process_parent(pid, &parent), -ESRCH);
    assert_int_equal(process_status_read(pid, &status), -ESRCH);
    assert_null(status);
    assert_int_equal(process_pidfd_open(pid), -ESRCH);
    _cleanup_fd_ int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
    assert_int_equal(process_pidfd_pid(null), -EBADF);
    assert_int_equal(process_pidfd_pid(-1), -EBADF);
}

static void fields_of_a_status(void **state) {
    static const char text[] = "Name:\tPPid:\nPid:\t7\nPPid:\t5\nGroups:\t \nNSpid:\t7\t1\nPPid:\t9";
    /* the first, and at the start of a line alone */
    assert_memory_equal(process_status_field(text, "PPid"), "\t5\n", 3);
    assert_memory_equal(process_status_field(text, "Name"), "\tPPid:", 6);
    assert_memory_equal(process_status_field(text, "NSpid"), "\t7\t1\n", 5);
    assert_null(process_status_field(text, "NSpi"));
    assert_null(process_status_field(text, "pid"));
    assert_null(process_status_field("", "Pid"));
}

/* What follows its groups is there, too. */
static void a_status_of_many_groups_is_whole(void **state) {
    if (getuid() != 0) {
        print_message("skipped: groups are root's\n");
        skip();
    }
    static gid_t groups[65536];
    for (unsigned i = 0; i < ELEMENTSOF(groups); i++)
        groups[i] = 3000000000U + i;
    int ready[2];
    char byte;
    assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
    pid_t pid = fork();
    if (pid == 0) {
        byte = setgroups(ELEMENTSOF(groups), groups) == 0;
        (void) !write(ready[1], &byte, 1);
        (void) pause();
        _exit(0);
    }
    assert_int_equal(read(ready[0], &byte, 1), 1);
    assert_int_equal(byte, 1);
    _cleanup_free_ char *status = NULL;
    assert_int_equal(process_status_read(pid, &status), 0);
    assert_true(strlen(status) > 65536 * 10);
    assert_int_equal(strtol(process_status_field(status, "PPid"), NULL, 10), getpid());
    assert_int_equal(strtol(process_status_field(status, "NSpid"), NULL, 10), pid);
    assert_non_null(process_status_field(status, "SigCgt"));
    (void) kill(pid, SIGKILL);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    (void) close(ready[0]);
    (void) close(ready[1]);
}

/* First process of a new pid namespace: starts a child there, reports both pids of the host through the fds. Both have more
 * groups, where they may, than fit into what is read of them at first. */
static int namespace_init(int report_fd, int wait_fd) {
    gid_t groups[1000];
    for (unsigned i = 0; i < ELEMENTSOF(groups); i++)
        groups[i] = 3000000000U + i;
    (void) setgroups(ELEMENTSOF(groups), groups);
    pid_t child = fork();
    if (child == 0) {
        pause();
        _exit(0);
    }
    char byte;
    (void) !write(report_fd, &child, sizeof(child));
    (void) !read(wait_fd, &byte, 1);
    _exit(0);
}

static void pids_of_a_namespace(void **state) {
    if (getuid() != 0) {
        print_message("skipped: a pid namespace needs root\n");
        skip();
    }
    int report[2], wait[2];
    assert_int_equal(pipe2(report, O_CLOEXEC), 0);
    assert_int_equal(pipe2(wait, O_CLOEXEC), 0);
    pid_t middle = fork();
    if (middle == 0) {
        close(wait[1]);
        if (unshare(CLONE_NEWPID) < 0)
            _exit(1);
        pid_t init = fork();
        if (init == 0)
            namespace_init(report[1], wait[0]);
        (void) !write(report[1], &init, sizeof(init));
        close(wait[0]);
        waitpid(init, NULL, 0);
        _exit(0);
    }
    pid_t first, second; /* the child's pid inside is 2; the init's is one of the host */
    assert_int_equal(read(report[0], &first, sizeof(first)), sizeof(first));
    assert_int_equal(read(report[0], &second, sizeof(second)), sizeof(second));
    pid_t init = first == 2 ? second : first;
    ProcessInfo i = { 0 };
    assert_int_equal(process_info_read(init, true, &i), 0);
    assert_int_equal(i.pid, 1);
    assert_int_equal(i.parent, 0); /* its parent is outside */
    assert_int_equal(i.host_parent, middle);
    process_info_done(&i);

    char path[64], children[64] = "";
    snprintf(path, sizeof(path), "/proc/%d/task/%d/children", init, init);
    _cleanup_fd_ int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd >= 0 && read(fd, children, sizeof(children) - 1) > 0) {
        assert_int_equal(process_info_read((pid_t) atoi(children), true, &i), 0);
        assert_int_equal(i.pid, 2);
        assert_int_equal(i.parent, 1);
        assert_int_equal(i.host_parent, init);
        process_info_done(&i);
    }
    close(wait[1]);
    waitpid(middle, NULL, 0);
    close(wait[0]);
    close(report[0]);
    close(report[1]);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(signals_by_name_and_number),
        cmocka_unit_test(every_signal_has_a_name_that_leads_back),
        cmocka_unit_test(children_are_reaped),
        cmocka_unit_test(a_killed_child_gives_its_signal),
        cmocka_unit_test(the_exit_of_anothers_child_is_known),
        cmocka_unit_test(the_signal_of_anothers_child_is_known),
        cmocka_unit_test(info_of_ourselves),
        cmocka_unit_test(what_has_gone_is_esrch),
        cmocka_unit_test(fields_of_a_status),
        cmocka_unit_test(a_status_of_many_groups_is_whole),
        cmocka_unit_test(pids_of_a_namespace),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
