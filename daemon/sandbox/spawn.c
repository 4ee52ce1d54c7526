/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The parent's side of a start.
 *
 * clone, write the id maps, make the mounts with the namespace that the maps belong to, send them to the child, and
 * wait until it has executed the program or failed. There it is held (trace.c) until the caller has looked at it: what
 * differs from what it was to be never runs. Whatever fails, the child is killed and reaped before the function returns,
 * so that the caller never sees half a container.
 */

#include "sandbox/internal.h"
#include "util/fds.h"
#include "util/parse.h"
#include "util/process.h"

#include <fcntl.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>

#ifndef CLONE_NEWTIME
#define CLONE_NEWTIME 0x00000080
#endif

/* A start that takes longer hangs on a file system that the caller passed in. */
#define SPAWN_TIMEOUT_MSEC 30000
/* Under memory pressure a container goes before the host's own services. */
#define OOM_SCORE_ADJ "300"

#define PATH_DEFAULT "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

/* A child that must not outlive the attempt. */
typedef struct Child {
    pid_t pid;
    int pidfd;
    int dir_fd; /* /proc/PID: since we have not reaped it, the number is its own */
} Child;

static void child_done(Child *c) {
    if (c->pidfd >= 0 && c->pid > 0) {
        (void) process_pidfd_signal(c->pidfd, SIGKILL);
        (void) waitid(P_PIDFD, (id_t) c->pidfd, &(siginfo_t){ 0 }, WEXITED);
    }
    c->pidfd = fd_close(c->pidfd);
    c->dir_fd = fd_close(c->dir_fd);
}

static int stage_error(Error *reterr, SandboxStage stage, int code, const char *what) {
    return error_set(reterr, ERROR_HARDENING_FAILED, code, sandbox_stage_to_string(stage), "%s: %s", what,
                     strerror(code));
}

/* The paths that execve will be tried with, as a shell would look for NAME in PATH. */
static int make_candidates(const char *name, char *const *environment, char ***ret) {
    const char *path = strv_env_get(environment, "PATH");
    if (!path || !*path)
        path = PATH_DEFAULT;
    size_t n = 1;
    for (const char *at = path; *at; at++)
        n += *at == ':';
    _cleanup_(strv_freep) char **v = calloc(n + 1, sizeof(char *));
    if (!v)
        return -ENOMEM;
    if (strchr(name, '/')) {
        v[0] = strdup(name);
        if (!v[0])
            return -ENOMEM;
        *ret = TAKE_PTR(v);
        return 0;
    }
    size_t i = 0;
    for (const char *at = path;; at++) {
        size_t length = strcspn(at, ":");
        if (asprintf(&v[i], "%.*s/%s", (int) (length ? length : 1), length ? at : ".", name) < 0) {
            v[i] = NULL;
            return -ENOMEM;
        }
        i++;
        at += length;
        if (!*at)
            break;
    }
    *ret = TAKE_PTR(v);
    return 0;
}

static int clone_child(const ChildPlan *plan, uint64_t flags, int cgroup_fd, int parent_socket, Child *ret) {
    int pidfd = -EBADF;
    struct clone_args args = {
        .flags = flags | CLONE_PIDFD | CLONE_INTO_CGROUP,
        .pidfd = (uint64_t) (uintptr_t) &pidfd,
        .exit_signal = SIGCHLD,
        .cgroup = (uint64_t) cgroup_fd,
    };
    pid_t pid = (pid_t) syscall(SYS_clone3, &args, sizeof(args));
    if (pid == 0)
        child_run(plan);
    if (pid < 0)
        return -errno;
    *ret = (Child){ .pid = pid, .pidfd = pidfd, .dir_fd = -EBADF };
    return 0;
}

static int open_child_directory(SandboxHost *h, Child *child) {
    char name[16];
    (void) snprintf(name, sizeof(name), "%d", child->pid);
    child->dir_fd = openat(h->proc_fd, name, O_PATH | O_DIRECTORY | O_CLOEXEC);
    return child->dir_fd < 0 ? -errno : 0;
}

static int write_oom_score(const Child *child) {
    _cleanup_fd_ int fd = openat(child->dir_fd, "oom_score_adj", O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    return fd_write_all(fd, OOM_SCORE_ADJ, strlen(OOM_SCORE_ADJ));
}

/* What both kinds of start do with a child that waits: the groups that clone could not put it into, the OOM score. */
static int place_child(SandboxHost *h, Child *child, const SandboxPlacement *placement, const SandboxIds *ids,
                       Error *reterr) {
    SandboxProcess process = {
        .pid = child->pid,
        .pidfd = child->pidfd,
        .terminal_fd = -EBADF,
        .calls_fd = -EBADF,
        .uid = ids->uid,
        .gid = ids->gid,
    };
    int r = open_child_directory(h, child);
    if (r < 0)
        return stage_error(reterr, STAGE_CLONE, -r, "the new process cannot be found in /proc");
    r = placement->born ? placement->born(placement->userdata, &process, reterr) : 0;
    if (r < 0)
        return r;
    r = write_oom_score(child);
    return r < 0 ? stage_error(reterr, STAGE_CGROUP, -r, "oom_score_adj cannot be set") : 0;
}

static int failure_to_error(const Report *report, const SandboxProgram *program, Error *reterr) {
    const char *stage = sandbox_stage_to_string(report->stage);
    if (report->stage == STAGE_WORKING_DIRECTORY)
        return error_invalid(reterr, "workingDirectory",
                             "\"%.200s\": %s; it would be a directory inside the container "
                             "that the user may enter",
                             program->working_directory, strerror(report->code));
    if (report->stage == STAGE_EXECVE)
        return error_set(reterr, ERROR_HARDENING_FAILED, report->code, stage, "%.200s: %s", program->command[0],
                         report->code == ENOENT ? "there is no such program in the container" : strerror(report->code));
    return error_set(reterr, ERROR_HARDENING_FAILED, report->code, stage, "%.*s%s%s", (int) sizeof(report->detail),
                     report->detail, report->detail[0] ? ": " : "", strerror(report->code));
}

/* By its name: the child's own until execve, and a zombie keeps the last one. */
static int has_executed(int dir_fd) {
    char name[32] = { 0 };
    _cleanup_fd_ int fd = openat(dir_fd, "comm", O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    ssize_t n = fd_read_all(fd, name, sizeof(name) - 1);
    return n < 0 ? (int) n : strcmp(name, CHILD_NAME "\n") != 0;
}

int sandbox_has_executed(SandboxHost *h, pid_t pid) {
    Child child = { .pid = pid, .pidfd = -EBADF, .dir_fd = -EBADF };
    int r = open_child_directory(h, &child);
    if (r >= 0)
        r = has_executed(child.dir_fd);
    (void) fd_close(child.dir_fd);
    return r;
}

/* One message that the child has sent: 1 and *RET, 0 if there is no more. */
static int receive_report(int socket, Report *ret, int *ret_fd) {
    union {
        struct cmsghdr header;
        char space[CMSG_SPACE(sizeof(int))];
    } control;
    struct iovec iov = { .iov_base = ret, .iov_len = sizeof(*ret) };
    struct msghdr m = {
        .msg_iov = &iov,
        .msg_iovlen = 1,
        .msg_control = &control,
        .msg_controllen = sizeof(control),
    };
    ssize_t n = recvmsg(socket, &m, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
    if (n < 0)
        return errno == EAGAIN || errno == ECONNRESET ? 0 : -errno;
    if (n == 0)
        return 0;
    struct cmsghdr *c = CMSG_FIRSTHDR(&m);
    if (c && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS && c->cmsg_len == CMSG_LEN(sizeof(int)))
        memcpy(ret_fd, CMSG_DATA(c), sizeof(int));
    return n == sizeof(*ret) ? 1 : -EBADMSG;
}

/* What the child hands to the parent. */
typedef struct Received {
    int terminal, calls;
} Received;
#define RECEIVED_INIT ((Received){ -EBADF, -EBADF })

static void received_done(Received *r) {
    r->terminal = fd_close(r->terminal);
    r->calls = fd_close(r->calls);
}

/* Of a child that has ended or executed, so that nothing is on its way any more. */
static int receive_reports(int socket, const SandboxProgram *program, Received *ret, Error *reterr) {
    for (;;) {
        Report report = { 0 };
        int fd = -EBADF;
        int r = receive_report(socket, &report, &fd);
        int *place = report.kind == REPORT_CALLS ? &ret->calls : &ret->terminal;
        if (fd >= 0) {
            (void) fd_close(*place);
            *place = fd;
        }
        if (r < 0)
            return stage_error(reterr, STAGE_CLONE, -r, "no word from the new process");
        if (r == 0)
            return 0;
        if (report.kind == REPORT_FAILURE)
            return failure_to_error(&report, program, reterr);
    }
}

static int seize_child(const Child *child, Error *reterr) {
    int r = trace_seize(child->pid);
    if (r == -EPERM)
        return stage_error(
            reterr, STAGE_ATTESTATION, EPERM,
            "the new process may not be traced (needed: CAP_SYS_PTRACE, kernel.yama.ptrace_scope below 3)");
    return r < 0 ? stage_error(reterr, STAGE_ATTESTATION, -r, "the new process cannot be traced") : 0;
}

/* The program has been executed and has not begun: it begins when it has passed. */
static int pass_child(const Child *child, const SandboxPlacement *placement, const SandboxIds *ids, Received *received,
                      Error *reterr) {
    SandboxProcess process = {
        .pid = child->pid,
        .pidfd = child->pidfd,
        .terminal_fd = -EBADF,
        .calls_fd = received->calls,
        .uid = ids->uid,
        .gid = ids->gid,
        .groups = ids->groups,
        .n_groups = ids->n_groups,
    };
    int r = placement->executed ? placement->executed(placement->userdata, &process, reterr) : 0;
    received->calls = process.calls_fd; /* -EBADF: it was taken */
    if (r < 0)
        return r;
    r = trace_let_go(child->pid);
    return r < 0 ? stage_error(reterr, STAGE_ATTESTATION, -r, "the new process cannot be let go") : 0;
}

static int await_child(const Child *child, int socket, const SandboxPlacement *placement, const SandboxIds *ids,
                       const SandboxProgram *program, Received *ret, Error *reterr) {
    _cleanup_(received_done) Received received = RECEIVED_INIT;
    int stopped = trace_await_exec(child->pid, child->pidfd, SPAWN_TIMEOUT_MSEC);
    if (stopped < 0)
        return stage_error(reterr, STAGE_CLONE, -stopped, "no word from the new process");
    int r = receive_reports(socket, program, &received, reterr);
    if (r < 0)
        return r;
    if (!stopped)
        return stage_error(reterr, STAGE_EXECVE, ECHILD, "the process died before it executed the program");
    r = pass_child(child, placement, ids, &received, reterr);
    if (r < 0)
        return r;
    *ret = received;
    received = RECEIVED_INIT;
    return 0;
}

static int send_mounts(SandboxHost *h, const SandboxSpec *spec, const Child *child, int socket, Error *reterr) {
    _cleanup_(mounts_set_done) MountsSet set = { 0 };
    int used[MOUNTS_FDS_MAX];
    size_t n = 0;

    _cleanup_fd_ int userns = openat(child->dir_fd, "ns/user", O_RDONLY | O_CLOEXEC);
    if (userns < 0)
        return stage_error(reterr, STAGE_ID_MAPS, errno, "the user namespace cannot be opened");
    int r = mounts_prepare(h, spec, userns, &set, reterr);
    if (r < 0)
        return r;
    for (size_t i = 0; i < set.n; i++)
        if (mounts_slot_used(spec, i))
            used[n++] = set.fds[i];
    r = fd_send(socket, used, n, "", 1);
    return r < 0 ? stage_error(reterr, STAGE_MOUNTS, -r, "the mounts cannot be handed over") : 0;
}

static size_t count_mounts(const SandboxSpec *spec) {
    size_t n = 0;
    for (size_t i = 0; i < mounts_slots(spec); i++)
        n += mounts_slot_used(spec, i);
    return n;
}

/* argv of the program itself, or of the reaper that starts it. The strings stay the program's. */
static char **make_arguments(const SandboxProgram *program, bool init) {
    size_t n = strv_length(program->command), extra = init ? 1 : 0;
    char **v = calloc(n + extra + 1, sizeof(char *));
    if (!v)
        return NULL;
    if (init)
        v[0] = (char *) "kennel-init";
    memcpy(v + extra, program->command, n * sizeof(char *));
    return v;
}

static void succeed(Child *child, const Received *received, const SandboxIds *ids, SandboxProcess *ret) {
    *ret = (SandboxProcess){
        .pid = child->pid,
        .pidfd = TAKE_FD(child->pidfd),
        .terminal_fd = received->terminal,
        .calls_fd = received->calls,
        .uid = ids->uid,
        .gid = ids->gid,
    };
}

static int prepare_plan(ChildPlan *plan, const SandboxProgram *program, bool init, char ***ret_candidates,
                        char ***ret_arguments, Error *reterr) {
    int r = make_candidates(program->command[0], program->environment, ret_candidates);
    if (r < 0)
        return stage_error(reterr, STAGE_EXECVE, -r, "preparation");
    *ret_arguments = make_arguments(program, init);
    if (!*ret_arguments)
        return stage_error(reterr, STAGE_EXECVE, ENOMEM, "preparation");
    plan->candidates = *ret_candidates;
    plan->arguments = *ret_arguments;
    return 0;
}

static int label_proc(const SandboxHost *h, const SandboxProgram *p, bool image_only) {
    return image_only || h->start_profile || p->apparmor_profile || p->selinux_context ? h->proc_fd : -EBADF;
}

static int make_sockets(int *ret_parent, int *ret_child, Error *reterr) {
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
        return stage_error(reterr, STAGE_CLONE, errno, "no socket for the new process");
    *ret_parent = pair[0];
    *ret_child = pair[1];
    return 0;
}

int sandbox_spawn(SandboxHost *h, const SandboxSpec *spec, const SandboxPlacement *placement, SandboxProcess *ret,
                  Error *reterr) {
    _cleanup_(child_done) Child child = { .pidfd = -EBADF, .dir_fd = -EBADF };
    _cleanup_fd_ int socket = -EBADF, child_socket = -EBADF;
    _cleanup_(strv_freep) char **candidates = NULL;
    _cleanup_free_ char **arguments = NULL;
    SandboxIds ids;
    Received received;
    uint64_t flags = CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWTIME |
                     (spec->network == SANDBOX_NETWORK_HOST ? 0 : CLONE_NEWNET);

    int r = ids_resolve(spec->rootfs_fd >= 0 ? spec->rootfs_fd : h->image_fd, spec->program.user, &ids, reterr);
    if (r < 0)
        return r;
    r = make_sockets(&socket, &child_socket, reterr);
    if (r < 0)
        return r;
    ChildPlan plan = {
        .spec = spec,
        .program = &spec->program,
        .ids = &ids,
        .init_fd = spec->init ? h->init_fd : -EBADF,
        .join_pidfd = -EBADF,
        .n_fds = count_mounts(spec),
        .socket = child_socket,
        .proc_fd = label_proc(h, &spec->program, spec->image_only),
        .has_memfd_noexec = h->has_memfd_noexec,
        .start_profile = h->start_profile,
    };
    r = prepare_plan(&plan, &spec->program, spec->init, &candidates, &arguments, reterr);
    if (r < 0)
        return r;

    r = clone_child(&plan, flags, placement->cgroup_fd, socket, &child);
    if (r < 0)
        return stage_error(reterr, STAGE_CLONE, -r, "no process could be made");
    child_socket = fd_close(child_socket);
    r = place_child(h, &child, placement, &ids, reterr);
    if (r >= 0)
        r = seize_child(&child, reterr);
    if (r >= 0)
        r = ids_write_maps(child.dir_fd, spec->id_base, reterr);
    if (r >= 0)
        r = send_mounts(h, spec, &child, socket, reterr);
    if (r >= 0)
        r = await_child(&child, socket, placement, &ids, &spec->program, &received, reterr);
    if (r < 0)
        return r;
    succeed(&child, &received, &ids, ret);
    return 0;
}

/*
 * pid namespaces are entered by children only. The thread is told to have its next child there, and told back at
 * once; no other thread is concerned.
 */
static int clone_joining(SandboxHost *h, const ChildPlan *plan, int cgroup_fd, int socket, Child *ret) {
    _cleanup_fd_ int own = openat(h->proc_fd, "thread-self/ns/pid", O_RDONLY | O_CLOEXEC);
    if (own < 0)
        return -errno;
    if (setns(plan->join_pidfd, CLONE_NEWPID) < 0)
        return -errno;
    int r = clone_child(plan, 0, cgroup_fd, socket, ret);
    if (setns(own, CLONE_NEWPID) < 0 && r >= 0)
        return -errno;
    return r;
}

static int open_container_root(SandboxHost *h, int init_pidfd) {
    char path[32];
    pid_t pid = process_pidfd_pid(init_pidfd);
    if (pid <= 0)
        return -ESRCH;
    (void) snprintf(path, sizeof(path), "%d/root", pid);
    _cleanup_fd_ int fd = openat(h->proc_fd, path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    /* Still alive after the open: so the number was its own when it was looked up. */
    int r = process_pidfd_signal(init_pidfd, 0);
    return r < 0 ? r : TAKE_FD(fd);
}

int sandbox_exec(SandboxHost *h, int init_pidfd, uint32_t id_base, const SandboxProgram *program,
                 const SandboxPlacement *placement, SandboxProcess *ret, Error *reterr) {
    _cleanup_(child_done) Child child = { .pidfd = -EBADF, .dir_fd = -EBADF };
    _cleanup_fd_ int socket = -EBADF, child_socket = -EBADF;
    _cleanup_(strv_freep) char **candidates = NULL;
    _cleanup_free_ char **arguments = NULL;
    SandboxIds ids;
    Received received;

    _cleanup_fd_ int root = open_container_root(h, init_pidfd);
    if (root < 0)
        return stage_error(reterr, STAGE_JOIN, -root, "the container's first process has gone");
    int r = ids_resolve(root, program->user, &ids, reterr);
    if (r < 0)
        return r;
    r = make_sockets(&socket, &child_socket, reterr);
    if (r < 0)
        return r;
    ChildPlan plan = {
        .program = program,
        .ids = &ids,
        .init_fd = -EBADF,
        .join_pidfd = init_pidfd,
        .socket = child_socket,
        .proc_fd = label_proc(h, program, false),
        .start_profile = h->start_profile,
    };
    r = prepare_plan(&plan, program, false, &candidates, &arguments, reterr);
    if (r < 0)
        return r;

    r = clone_joining(h, &plan, placement->cgroup_fd, socket, &child);
    if (r < 0)
        return stage_error(reterr, STAGE_JOIN, -r, "no process could be made in the container");
    child_socket = fd_close(child_socket);
    r = place_child(h, &child, placement, &ids, reterr);
    if (r >= 0)
        r = seize_child(&child, reterr);
    if (r >= 0) {
        r = fd_send(socket, NULL, 0, "", 1);
        r = r < 0 ? stage_error(reterr, STAGE_JOIN, -r, "the new process cannot be let go") : 0;
    }
    if (r >= 0)
        r = await_child(&child, socket, placement, &ids, program, &received, reterr);
    if (r < 0)
        return r;
    succeed(&child, &received, &ids, ret);
    return 0;
}

void sandbox_process_done(SandboxProcess *p) {
    p->pidfd = fd_close(p->pidfd);
    p->terminal_fd = fd_close(p->terminal_fd);
    p->calls_fd = fd_close(p->calls_fd);
}

void sandbox_program_done(SandboxProgram *p) {
    p->command = strv_free(p->command);
    p->environment = strv_free(p->environment);
    free(p->working_directory);
    free(p->user);
    free(p->rlimits);
    free(p->apparmor_profile);
    free(p->selinux_context);
    for (size_t i = 0; i < 3; i++)
        (void) fd_close(p->stdio[i]);
    p->seccomp = seccomp_program_unref(p->seccomp);
    *p = SANDBOX_PROGRAM_INIT;
}

void sandbox_spec_done(SandboxSpec *s) {
    sandbox_program_done(&s->program);
    free(s->hostname);
    free(s->file_context);
    free(s->image_context);
    free(s->share_context);
    (void) fd_close(s->rootfs_fd);
    (void) fd_close(s->layer_fd);
    for (size_t i = 0; i < s->n_mounts; i++) {
        free(s->mounts[i].target);
        (void) fd_close(s->mounts[i].source_fd);
    }
    free(s->mounts);
    *s = SANDBOX_SPEC_INIT;
}
