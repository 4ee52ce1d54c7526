/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * From clone to execve.
 *
 * The process that runs here is a copy of one thread of a daemon with several, so a lock of the C library may be held
 * by a thread that does not exist any more. Rules: no allocation, no stdio, no locks, no look-ups by name; only system
 * calls on what the parent prepared (signal-safety(7)). It has the daemon's memory, so until execve nobody inside may
 * look at it: it is not dumpable, and its fds are closed before it enters anything (CVE-2016-9962).
 *
 * The order is DESIGN 3.4's. Each step takes away what a later one must not have; each failure ends the process after
 * one report to the parent.
 */

#include "sandbox/apparmor.h"
#include "sandbox/capabilities.h"
#include "sandbox/internal.h"
#include "sandbox/selinux.h"
#include "util/fds.h"

#include <fcntl.h>
#include <grp.h>
#include <linux/close_range.h>
#include <linux/keyctl.h>
#include <linux/openat2.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>

#ifndef CLONE_NEWTIME
#define CLONE_NEWTIME 0x00000080
#endif

#define EXIT_CANNOT_RUN 126
#define EXIT_NOT_FOUND  127
#define KEEP_MAX        8U

static _Noreturn void die(const ChildPlan *p, SandboxStage stage, int code, const Report *detail) {
    Report r = { .kind = REPORT_FAILURE, .stage = stage, .code = code };
    if (detail)
        for (size_t i = 0; i < sizeof(r.detail); i++)
            r.detail[i] = detail->detail[i];
    (void) fd_send(p->socket, NULL, 0, &r, sizeof(r));
    _exit(code == ENOENT ? EXIT_NOT_FOUND : EXIT_CANNOT_RUN);
}

static void check(const ChildPlan *p, SandboxStage stage, int r) {
    if (r < 0)
        die(p, stage, r == -1 ? errno : -r, NULL);
}

/* Like check(), for functions that return -errno where that could be -1 (EPERM). */
static void check_errno(const ChildPlan *p, SandboxStage stage, int r) {
    if (r < 0)
        die(p, stage, -r, NULL);
}

/*
 * The payload starts with every signal at its default and none blocked, whatever the daemon does with them. By the system
 * calls: from glibc 2.41 on, sigaction() takes a lock, which another thread's posix_spawn() may have held at the clone.
 */
static void reset_signals(void) {
    static const char none[64]; /* as the kernel's struct sigaction it says SIG_DFL, and it is an empty set */
    for (int s = 1; s < NSIG; s++)
        (void) syscall(SYS_rt_sigaction, s, none, NULL, NSIG / 8);
    (void) syscall(SYS_rt_sigprocmask, SIG_SETMASK, none, NULL, NSIG / 8);
}

/* Closes every fd from 3 on but those in KEEP (negative ones count for nothing). Sorts KEEP. */
static int close_all_but(int *keep, size_t n) {
    for (size_t i = 1; i < n; i++)
        for (size_t k = i; k > 0 && keep[k - 1] > keep[k]; k--) {
            int swap = keep[k];
            keep[k] = keep[k - 1];
            keep[k - 1] = swap;
        }
    unsigned from = 3;
    for (size_t i = 0; i < n; i++) {
        if (keep[i] < 3 || (unsigned) keep[i] < from)
            continue;
        if ((unsigned) keep[i] > from && syscall(SYS_close_range, from, (unsigned) keep[i] - 1, 0) < 0)
            return -errno;
        from = (unsigned) keep[i] + 1;
    }
    return syscall(SYS_close_range, from, ~0U, 0) < 0 ? -errno : 0;
}

/* First of all: fds of the daemon, of other containers, of spawns that go on in other threads. */
static void close_inherited(const ChildPlan *p) {
    int keep[KEEP_MAX] = {
        p->socket, p->init_fd, p->join_pidfd, p->program->stdio[0], p->program->stdio[1], p->program->stdio[2],
        p->proc_fd
    };
    check_errno(p, STAGE_FDS, close_all_but(keep, 7));
}

/* Root of the user namespace; nothing more of the host's root is left in the credentials. */
static void become_inner_root(const ChildPlan *p, SandboxStage stage) {
    check(p, stage, (int) syscall(SYS_setgroups, 0, NULL));
    check(p, stage, (int) syscall(SYS_setresgid, 0, 0, 0));
    check(p, stage, (int) syscall(SYS_setresuid, 0, 0, 0));
}

static void wait_for_parent(const ChildPlan *p, int *ret_fds, size_t n) {
    char go;
    ssize_t r = fd_receive(p->socket, ret_fds, n, &go, 1);
    /* The daemon has gone, or given up: there is nobody to report to. */
    if (r != 1)
        _exit(EXIT_CANNOT_RUN);
}

static int loopback_up(void) {
    struct ifreq request = { .ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING };
    _cleanup_fd_ int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    return ioctl(fd, SIOCSIFFLAGS, &request) < 0 ? -errno : 0;
}

static int write_rule(int proc_fd, const char *path, const char *value) {
    char found[8];
    _cleanup_fd_ int fd = openat(proc_fd, path, O_RDWR | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    ssize_t n = write(fd, value, 1);
    if (n != 1)
        return n < 0 ? -errno : -EIO;
    /* As the kernel has it now: it rounds what it does not take. */
    n = pread(fd, found, sizeof(found), 0);
    if (n < 0)
        return -errno;
    return n == 2 && found[0] == *value && found[1] == '\n' ? 0 : -ENOTSUP;
}

/*
 * What image_only takes beside its mounts and its filter (mounts.c says why). Both are rules of a namespace, of whoever
 * writes, by whichever /proc: the pid namespace's that no memfd is made that can be executed, and the user namespace's that
 * there is none below it, whose root could mount what it likes. The first is for the host's root alone to write, so it is
 * done before the ids change, and nobody inside can undo it; nor the second, for /proc/sys is read-only in there, and its
 * mount nobody's to change.
 */
static void restrict_execution(const ChildPlan *p) {
    if (!p->spec->image_only)
        return;
    if (p->has_memfd_noexec)
        check_errno(p, STAGE_EXEC_POLICY, write_rule(p->proc_fd, "sys/vm/memfd_noexec", "2"));
    check_errno(p, STAGE_EXEC_POLICY, write_rule(p->proc_fd, "sys/user/max_user_namespaces", "0"));
}

static void enter_new(const ChildPlan *p) {
    int received[MOUNTS_FDS_MAX], fds[MOUNTS_FDS_MAX];
    SandboxStage stage = STAGE_MOUNTS;
    Report report = { 0 };
    size_t length = 0;

    restrict_execution(p);
    wait_for_parent(p, received, p->n_fds);
    for (size_t slot = 0, at = 0; slot < mounts_slots(p->spec); slot++)
        fds[slot] = mounts_slot_used(p->spec, slot) ? received[at++] : -EBADF;

    become_inner_root(p, STAGE_ID_MAPS);
    /* Only now: the namespace's root is the cgroup we are in, on every hierarchy. */
    check(p, STAGE_CGROUP, unshare(CLONE_NEWCGROUP));
    int r = mounts_enter(p->spec, fds, &stage, &report);
    if (r < 0)
        die(p, stage, -r, &report);
    while (p->spec->hostname[length])
        length++;
    check(p, STAGE_HOSTNAME, sethostname(p->spec->hostname, length));
    if (p->spec->network != SANDBOX_NETWORK_HOST)
        check_errno(p, STAGE_LOOPBACK, loopback_up());
}

static void enter_existing(const ChildPlan *p) {
    wait_for_parent(p, NULL, 0);
    /* The parent entered the pid namespace for us before the clone: that one counts for children only. */
    check(p, STAGE_JOIN,
          setns(p->join_pidfd, CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS |
                                   CLONE_NEWCGROUP | CLONE_NEWTIME));
    become_inner_root(p, STAGE_JOIN);
    check(p, STAGE_JOIN, chdir("/"));
}

static void bind_console(const ChildPlan *p, int slave) {
    _cleanup_fd_ int tree = open_tree(slave, "", AT_EMPTY_PATH | OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
    check(p, STAGE_TERMINAL, tree);
    check(p, STAGE_TERMINAL, move_mount(tree, "", AT_FDCWD, "/dev/console", MOVE_MOUNT_F_EMPTY_PATH));
}

/* A pseudo terminal of the container's own devpts. Both ends by fd, never by a name that could be swapped (CVE-2025-52565). */
static int open_terminal(const ChildPlan *p) {
    const SandboxProgram *program = p->program;
    struct winsize size = { .ws_row = program->rows, .ws_col = program->columns };
    Report report = { .kind = REPORT_TERMINAL };
    int unlock = 0;

    _cleanup_fd_ int master = mounts_open_device("/dev/pts/ptmx", O_RDWR, 5, 2);
    check_errno(p, STAGE_TERMINAL, master);
    check(p, STAGE_TERMINAL, ioctl(master, TIOCSPTLCK, &unlock));
    int slave = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
    check(p, STAGE_TERMINAL, slave);
    check(p, STAGE_TERMINAL, ioctl(master, TIOCSWINSZ, &size));
    check(p, STAGE_TERMINAL, fchown(slave, p->ids->uid, (gid_t) -1));
    if (p->spec)
        bind_console(p, slave);
    check_errno(p, STAGE_TERMINAL, fd_send(p->socket, &master, 1, &report, sizeof(report)));
    return slave;
}

static void take_stdio(const ChildPlan *p) {
    int slave = p->program->terminal ? open_terminal(p) : -EBADF;
    check(p, STAGE_SESSION, setsid());
    if (slave >= 0)
        check(p, STAGE_TERMINAL, ioctl(slave, TIOCSCTTY, 0));
    for (int i = 0; i < 3; i++) {
        int fd = slave >= 0 ? slave : p->program->stdio[i];
        if (fd < 0) {
            fd = mounts_open_device("/dev/null", O_RDWR, 1, 3);
            check_errno(p, STAGE_FDS, fd);
        }
        check(p, STAGE_FDS, dup2(fd, i));
    }
}

static void set_rlimits(const ChildPlan *p) {
    for (size_t i = 0; i < p->program->n_rlimits; i++) {
        const SandboxRlimit *l = &p->program->rlimits[i];
        struct rlimit value = { .rlim_cur = l->soft, .rlim_max = l->hard };
        check(p, STAGE_RLIMITS, (int) syscall(SYS_prlimit64, 0, l->resource, &value, NULL));
    }
}

static void close_own(const ChildPlan *p) {
    int keep[3] = { p->socket, p->init_fd, p->proc_fd };
    check_errno(p, STAGE_FDS, close_all_but(keep, 3));
}

/*
 * By the host's /proc, whose fd the parent checked, and never by the container's: a false one once took a runtime's label
 * for a file of the attacker's (CVE-2019-16884). The last that the child opens; the fd goes with this.
 */
static void take_labels(const ChildPlan *p) {
    if (p->program->selinux_context)
        check_errno(p, STAGE_SELINUX, selinux_enter(p->proc_fd, p->program->selinux_context));
    if (p->program->apparmor_profile)
        check_errno(p, STAGE_APPARMOR, apparmor_enter(p->proc_fd, p->program->apparmor_profile));
    if (p->proc_fd >= 0)
        check(p, STAGE_FDS, close(p->proc_fd));
}

/* capabilities_drop_bounding() has turned keep-caps on, capabilities_set_final() locks it off again. */
static void switch_ids(const ChildPlan *p) {
    const SandboxIds *ids = p->ids;
    check(p, STAGE_IDS, (int) syscall(SYS_setgroups, ids->n_groups, ids->groups));
    check(p, STAGE_IDS, (int) syscall(SYS_setresgid, ids->gid, ids->gid, ids->gid));
    check(p, STAGE_IDS, (int) syscall(SYS_setresuid, ids->uid, ids->uid, ids->uid));
}

/* As the user it will be, so with that user's rights; and it must lie inside the root (CVE-2024-21626). */
static void enter_working_directory(const ChildPlan *p) {
    char where[4096];
    check(p, STAGE_WORKING_DIRECTORY, chdir(p->program->working_directory));
    long n = syscall(SYS_getcwd, where, sizeof(where));
    check(p, STAGE_WORKING_DIRECTORY, (int) n);
    if (where[0] != '/')
        die(p, STAGE_WORKING_DIRECTORY, EXDEV, NULL);
}

/*
 * No way back past this point: what follows has to be allowed by the profile itself, and must not be told either (see
 * seccomp-told.c), since until the parent has the listener nobody answers. Where the daemon itself runs below a filter with
 * a listener, there can be no second one: then nothing is told.
 */
static void confine_calls(const ChildPlan *p) {
    const SeccompProgram *program = p->program->seccomp;
    Report report = { .kind = REPORT_CALLS };
    int listener = -EBADF, r = -EBUSY;

    if (!program)
        return;
    if (p->program->tell_calls && seccomp_program_tells(program))
        r = seccomp_install(seccomp_program_fprog(program), &listener);
    if (r == -EBUSY)
        r = seccomp_install(seccomp_program_silent(program), NULL);
    check_errno(p, STAGE_SECCOMP, r);
    /* It closes itself at execve. */
    if (listener >= 0)
        check_errno(p, STAGE_SECCOMP, fd_send(p->socket, &listener, 1, &report, sizeof(report)));
}

static _Noreturn void execute(const ChildPlan *p) {
    int code = ENOENT;
    if (p->init_fd >= 0) {
        (void) syscall(SYS_execveat, p->init_fd, "", p->arguments, p->program->environment, AT_EMPTY_PATH);
        die(p, STAGE_EXECVE, errno, NULL);
    }
    for (char *const *c = p->candidates; *c; c++) {
        (void) execve(*c, p->arguments, p->program->environment);
        /* As a shell does: go on where there is nothing, remember what is there but may not be run. */
        if (errno != ENOENT && errno != ENOTDIR && code == ENOENT)
            code = errno;
        if (errno != ENOENT && errno != ENOTDIR && errno != EACCES)
            break;
    }
    die(p, STAGE_EXECVE, code, NULL);
}

_Noreturn void child_run(const ChildPlan *p) {
    (void) prctl(PR_SET_NAME, CHILD_NAME, 0, 0, 0);
    reset_signals();
    close_inherited(p);
    if (p->start_profile)
        check_errno(p, STAGE_APPARMOR, apparmor_enter(p->proc_fd, p->start_profile));
    (void) umask(022);

    if (p->spec)
        enter_new(p);
    else
        enter_existing(p);

    take_stdio(p);
    check(p, STAGE_KEYRING, (int) syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, NULL, 0, 0, 0));
    set_rlimits(p);
    close_own(p);

    take_labels(p);
    check_errno(p, STAGE_BOUNDING, capabilities_drop_bounding(p->program->capabilities));
    switch_ids(p);
    check_errno(p, STAGE_CAPABILITIES, capabilities_set_final(p->program->capabilities, p->ids->uid));
    enter_working_directory(p);

    check(p, STAGE_NO_NEW_PRIVS, prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
    confine_calls(p);
    execute(p);
}
