/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * What may be asked of a container that runs: signals, stop, pause, detach, its processes, attestation.
 *
 * Signals go to pidfds; for a process named by a number see watch/removal.c.
 */

#include "container/internal.h"
#include "util/log.h"
#include "watch/removal.h"

#include <string.h>

/* What a list of processes may keep of their commands: together, of one at least, and what an argument costs beside
 * its bytes. */
#define LIST_COMMANDS_BYTES (8U * 1024U * 1024U)
#define LIST_COMMAND_MIN    256U
#define LIST_ARGUMENT_COST  40U
/* How long the arguments of all may take to read; a fork bomb has its names listed at once. */
#define LIST_ARGUMENTS_USEC 1000000U

int container_kill_all(Container *c) {
    int r = c->group ? cgroup_group_kill(c->group) : 0;
    int k = process_pidfd_signal(c->pidfd, SIGKILL);
    return r < 0 && k < 0 ? k : 0;
}

void container_add_killed_event(Container *c, int sig, const char *to) {
    char message[CONTROL_MESSAGE_MAX];
    const char *name = process_signal_to_string(sig);
    (void) snprintf(message, sizeof(message), "SIG%s%s", name ? name : "?", to);
    container_add_event(c, CONTAINER_EVENT_KILLED, message);
}

/* While it is being started there is nothing to send to; it is done when there is. KILL is not taken back by another.
 */
static int kill_later(Container *c, int sig) {
    if (c->pending_signal != SIGKILL)
        c->pending_signal = sig;
    return 0;
}

int container_kill(Container *c, int sig, Error *reterr) {
    if (c->state == CONTAINER_CREATED && !c->ended)
        return kill_later(c, sig);
    int r = container_require_alive(c, reterr);
    if (r < 0)
        return r;
    r = sig == SIGKILL ? container_kill_all(c) : process_pidfd_signal(c->pidfd, sig);
    if (r == -ESRCH)
        return container_not_running(c, reterr, "it has exited");
    if (r < 0)
        return error_failed(reterr, -r, "kill", "the signal cannot be sent: %s", strerror(-r));
    container_add_killed_event(c, sig, "");
    return 0;
}

static uint64_t status_mask(const char *status, const char *key) {
    const char *value = process_status_field(status, key);
    return value ? strtoull(value, NULL, 16) : 0;
}

/* The kernel drops a signal for a pid 1 that neither handles nor blocks it (blocked: sigwait and signalfd). */
static bool can_receive(pid_t pid, int sig) {
    _cleanup_free_ char *status = NULL;
    if (process_status_read(pid, &status) < 0)
        return false;
    uint64_t bit = 1ULL << (sig - 1);
    return (status_mask(status, "SigCgt") | status_mask(status, "SigBlk")) & bit;
}

static int on_stop_timeout(sd_event_source *source, uint64_t usec, void *userdata) {
    Container *c = userdata;
    c->stop_source = sd_event_source_disable_unref(c->stop_source);
    if (container_kill_all(c) >= 0)
        container_add_killed_event(c, SIGKILL, " (stop: did not end in time)");
    return 0;
}

static int arm_stop(Container *c, uint64_t timeout_usec) {
    c->stop_source = sd_event_source_disable_unref(c->stop_source);
    int r = sd_event_add_time_relative(c->registry->environment.event, &c->stop_source, CLOCK_MONOTONIC, timeout_usec,
                                       10000U, on_stop_timeout, c);
    return r;
}

static void resume_quietly(Container *c);

int container_stop(Container *c, uint64_t timeout_usec, Error *reterr) {
    if (c->state == CONTAINER_CREATED && !c->ended) {
        c->pending_stop = true;
        c->pending_stop_usec = timeout_usec;
        return 0;
    }
    if (c->ended && c->state != CONTAINER_EXITED && !c->failed)
        return 0; /* EXITED is about to be told */
    int r = container_require_alive(c, reterr);
    if (r < 0)
        return r;
    if (timeout_usec == 0 || !can_receive(c->pid, SIGTERM) || process_pidfd_signal(c->pidfd, SIGTERM) < 0 ||
        arm_stop(c, timeout_usec) < 0) {
        container_add_killed_event(c, SIGKILL, " (stop)");
        (void) container_kill_all(c);
        return 0;
    }
    container_add_killed_event(c, SIGTERM, " (stop)");
    if (c->state == CONTAINER_PAUSED) /* frozen, it would never see the signal */
        resume_quietly(c);
    return 0;
}

void container_apply_pending(Container *c) {
    if (c->ended || c->state == CONTAINER_CREATED)
        return;
    int sig = c->wants_remove ? SIGKILL : c->pending_signal;
    c->pending_signal = 0;
    if (sig > 0)
        (void) container_kill(c, sig, NULL);
    if (c->pending_stop)
        (void) container_stop(c, c->pending_stop_usec, NULL);
    c->pending_stop = false;
    container_go_on(c);
}

int container_no_such_process(Error *reterr, pid_t pid, const char *whose) {
    char subject[24];
    (void) snprintf(subject, sizeof(subject), "%d", (int) pid);
    return error_set(reterr, ERROR_NO_SUCH_PROCESS, ESRCH, subject, "the container has no process %d%s", (int) pid,
                     whose);
}

int container_kill_process(Container *c, pid_t pid, pid_t host_pid, int sig, Error *reterr) {
    int r = container_require_alive(c, reterr);
    if (r < 0)
        return r;
    pid_t found = host_pid;
    RemovalTarget target = { .host_pid = pid > 0 ? 0 : host_pid, .pid = pid };
    _cleanup_fd_ int pidfd = removal_open(c->group, c->pid, &target, &found);
    if (pidfd < 0 && pidfd != -ESRCH)
        return error_failed(reterr, -pidfd, "kill", "the container's processes cannot be read: %s", strerror(-pidfd));
    r = pidfd < 0 ? pidfd : process_pidfd_signal(pidfd, sig);
    if (r == -ESRCH)
        return container_no_such_process(reterr, pid > 0 ? pid : host_pid, pid > 0 ? "" : " (as the host sees it)");
    if (r < 0)
        return error_failed(reterr, -r, "kill", "the signal cannot be sent: %s", strerror(-r));
    char to[64];
    if (pid > 0)
        (void) snprintf(to, sizeof(to), " to process %d (host %d)", (int) pid, (int) found);
    else
        (void) snprintf(to, sizeof(to), " to process %d of the host", (int) found);
    container_add_killed_event(c, sig, to);
    return 0;
}

typedef struct FreezeJob {
    ContainerJob job;
    CgroupGroup *group; /* the container's, which waits for this job before it lets go of it */
    bool freeze;
    int result;
    ContainerDone done; /* may be NULL */
    void *userdata;
} FreezeJob;

/* A group that will not freeze is let go again, rather than left half frozen. */
static void freeze_run(ContainerJob *j) {
    FreezeJob *f = (FreezeJob *) j;
    f->result = cgroup_group_freeze(f->group, f->freeze, CONTAINER_FREEZE_USEC);
    if (f->result < 0 && f->freeze)
        (void) cgroup_group_freeze(f->group, false, CONTAINER_FREEZE_USEC);
}

static void freeze_done(ContainerJob *j) {
    FreezeJob *f = (FreezeJob *) j;
    Container *c = j->container;
    Error error = ERROR_INIT;
    c->freezing = false;
    if (c->ended)
        (void) container_not_running(c, &error, "it has exited");
    else if (f->result < 0)
        (void) error_failed(&error, -f->result, f->freeze ? "pause" : "resume", "the container cannot be %s: %s",
                            f->freeze ? "paused" : "resumed", strerror(-f->result));
    else {
        c->state = f->freeze ? CONTAINER_PAUSED : CONTAINER_RUNNING;
        container_add_event(c, f->freeze ? CONTAINER_EVENT_PAUSED : CONTAINER_EVENT_RESUMED, NULL);
    }
    if (f->done)
        f->done(f->userdata, error.kind == ERROR_NONE ? NULL : &error);
    container_go_on(c);
}

static void plain_destroy(ContainerJob *j) {
    free(j);
}

static int freeze_submit(Container *c, bool freeze, ContainerDone done, void *userdata) {
    _cleanup_free_ FreezeJob *f = malloc(sizeof(FreezeJob));
    if (!f)
        return -ENOMEM;
    *f = (FreezeJob){
        .job = { .run = freeze_run, .done = freeze_done, .destroy = plain_destroy },
        .group = c->group,
        .freeze = freeze,
        .done = done,
        .userdata = userdata,
    };
    int r = container_job_submit(c, &f->job);
    if (r < 0)
        return r;
    c->freezing = true;
    (void) TAKE_PTR(f);
    return 0;
}

static int freeze_later(Container *c, bool freeze, ContainerDone done, void *userdata) {
    if (c->pending_freeze.there)
        return -EBUSY;
    c->pending_freeze = (PendingFreeze){ true, freeze, done, userdata };
    return 0;
}

/* If this fails the stop's timeout kills it all the same: SIGKILL reaches what is frozen. */
static void resume_quietly(Container *c) {
    if (c->killing)
        (void) freeze_later(c, false, NULL, NULL);
    else if (!c->freezing)
        (void) freeze_submit(c, false, NULL, NULL);
}

static void do_pending_freeze(Container *c) {
    PendingFreeze p = c->pending_freeze;
    Error error = ERROR_INIT;
    c->pending_freeze.there = false;
    int r = container_require_alive(c, &error);
    if (r >= 0)
        r = freeze_submit(c, p.freeze, p.done, p.userdata);
    if (r >= 0)
        return;
    if (error.kind == ERROR_NONE)
        (void) error_failed(&error, -r, p.freeze ? "pause" : "resume", "the daemon has too much under way: %s",
                            strerror(-r));
    if (p.done)
        p.done(p.userdata, &error);
}

/* Somebody's pause comes before a finding's, and both before the next process: none of them waits for ever. */
void container_go_on(Container *c) {
    if (c->killing || c->freezing || (c->state == CONTAINER_CREATED && !c->ended))
        return;
    if (c->pending_freeze.there)
        do_pending_freeze(c);
    if (c->freeze_wanted && !c->freezing) {
        c->freeze_wanted = false;
        if (!c->ended && c->state == CONTAINER_RUNNING && freeze_submit(c, true, NULL, NULL) < 0)
            log_error("Container %s cannot be frozen, as a detector's action wants it: too much is under way", c->id);
    }
    if (!c->freezing)
        container_kill_next(c);
}

int container_pause(Container *c, bool pause, ContainerDone done, void *userdata, Error *reterr) {
    int r = container_require_alive(c, reterr);
    if (r < 0)
        return r;
    if (c->freezing)
        return error_failed(reterr, EBUSY, pause ? "pause" : "resume",
                            "the container is being paused or resumed just now");
    if (pause && c->state == CONTAINER_PAUSED)
        return container_not_running(c, reterr, "it is paused already");
    if (!pause && c->state == CONTAINER_RUNNING)
        return container_not_running(c, reterr, "it is not paused");
    r = c->killing ? freeze_later(c, pause, done, userdata) : freeze_submit(c, pause, done, userdata);
    if (r < 0)
        return error_failed(reterr, -r, pause ? "pause" : "resume", "the daemon has too much under way: %s",
                            strerror(-r));
    return 0;
}

static int open_terminal_log(Container *c, Error *reterr) {
    if (c->terminal_fd < 0 || c->log)
        return 0;
    return container_log_open_terminal(c->registry->log_thread, c->data_fd, c->terminal_fd, &c->log, reterr);
}

int container_detach(Container *c, Error *reterr) {
    int r = container_require_alive(c, reterr);
    if (r < 0)
        return r;
    if (!c->spec->attached)
        return error_failed(reterr, EALREADY, "detach", "the container is detached already");
    r = open_terminal_log(c, reterr);
    if (r < 0)
        return r;
    c->spec->attached = false;
    (void) container_write_record(c);
    container_add_event(c, CONTAINER_EVENT_DETACHED, NULL);
    container_tell(c, CONTAINER_NOTICE_DETACHED, NULL);
    return 0;
}

static int add_waiter(Container *c, ContainerDone done, void *userdata) {
    if (!done)
        return 0;
    RemoveWaiter *w = malloc(sizeof(RemoveWaiter));
    if (!w)
        return -ENOMEM;
    *w = (RemoveWaiter){ done, userdata, c->waiters };
    c->waiters = w;
    return 0;
}

int container_remove(Container *c, bool force, ContainerDone done, void *userdata, Error *reterr) {
    if (c->state != CONTAINER_EXITED && !force)
        return error_set(reterr, ERROR_STILL_RUNNING, EBUSY, c->id, "the container is %s",
                         container_state_to_string(c->state));
    int r = add_waiter(c, done, userdata);
    if (r < 0)
        return error_failed(reterr, -r, "remove", "out of memory");
    c->wants_remove = true;
    if (!c->ended && c->state != CONTAINER_CREATED) {
        (void) container_kill_all(c);
        container_add_killed_event(c, SIGKILL, " (remove)");
    }
    c->retry_source = sd_event_source_disable_unref(c->retry_source); /* somebody waits: try now */
    container_settle(c);
    return 0;
}

/* The first process first, then by age within the container. */
static int compare_processes(const void *a, const void *b) {
    const ProcessInfo *x = a, *y = b;
    return (x->pid > y->pid) - (x->pid < y->pid);
}

typedef struct ListJob {
    ContainerJob job;
    int result;
    ProcessInfo *processes;
    size_t n;
    ContainerListed done;
    void *userdata;
} ListJob;

static void list_destroy(ContainerJob *j) {
    ListJob *l = (ListJob *) j;
    for (size_t i = 0; i < l->n; i++)
        process_info_done(&l->processes[i]);
    free(l->processes);
    free(l);
}

/* Processes choose their command lines: several lists at a time must not add up. Keeps BUDGET bytes, roughly. */
static int cut_command(char **command, size_t budget) {
    for (; *command; command++) {
        size_t size = strlen(*command) + LIST_ARGUMENT_COST;
        if (size <= budget) {
            budget -= size;
            continue;
        }
        char *cut = strndup(*command, budget > LIST_ARGUMENT_COST ? budget - LIST_ARGUMENT_COST : 0);
        if (!cut)
            return -ENOMEM;
        free(*command);
        *command = cut;
        for (char **rest = command + 1; *rest; rest++) {
            free(*rest);
            *rest = NULL;
        }
        break;
    }
    return 0;
}

/*
 * PID was in the group when the list was read, and may be another's by now, if only because an earlier one of the list
 * took its time. The pidfd comes first; if what it stands for has that number last of all, it had it throughout.
 */
static int read_member(CgroupGroup *g, pid_t pid, bool with_arguments, size_t budget, ProcessInfo *ret) {
    _cleanup_fd_ int pidfd = process_pidfd_open(pid);
    if (pidfd < 0)
        return pidfd;
    ProcessInfo info;
    int r = process_info_read(pid, with_arguments, &info);
    if (r < 0)
        return r;
    r = cut_command(info.command, budget);
    if (r >= 0 && (cgroup_group_holds(g, pid, NULL) != 1 || process_pidfd_pid(pidfd) != pid))
        r = -ESRCH;
    if (r < 0) {
        process_info_done(&info);
        return r;
    }
    *ret = info;
    return 0;
}

static int read_members(ListJob *l, CgroupGroup *g) {
    _cleanup_free_ pid_t *pids = NULL;
    size_t n;
    int r = cgroup_group_pids(g, &pids, &n);
    if (r < 0)
        return r;
    l->processes = calloc(n + 1, sizeof(ProcessInfo));
    if (!l->processes)
        return -ENOMEM;
    size_t budget = LIST_COMMANDS_BYTES / (n + 1);
    if (budget < LIST_COMMAND_MIN)
        budget = LIST_COMMAND_MIN;
    uint64_t until = now_usec() + LIST_ARGUMENTS_USEC;
    for (size_t i = 0; i < n; i++)
        if (read_member(g, pids[i], now_usec() < until, budget, &l->processes[l->n]) >= 0)
            l->n++;
    qsort(l->processes, l->n, sizeof(ProcessInfo), compare_processes);
    return 0;
}

/* Opens the group anew: a list that hangs must not keep the container from being removed. */
static void list_run(ContainerJob *j) {
    ListJob *l = (ListJob *) j;
    const Container *c = j->container;
    _cleanup_(cgroup_group_freep) CgroupGroup *g = NULL;
    l->result = cgroup_group_open(c->registry->environment.hierarchies, c->id, &g, NULL);
    if (l->result >= 0)
        l->result = read_members(l, g);
}

static void list_done(ContainerJob *j) {
    ListJob *l = (ListJob *) j;
    Error error = ERROR_INIT;
    if (j->container->ended)
        (void) container_not_running(j->container, &error, "it has exited");
    else if (l->result < 0)
        (void) error_failed(&error, -l->result, "processes", "the container's processes cannot be read: %s",
                            strerror(-l->result));
    bool ok = error.kind == ERROR_NONE;
    l->done(l->userdata, l->processes, ok ? l->n : 0, ok ? NULL : &error);
}

int container_processes(Container *c, ContainerListed done, void *userdata, Error *reterr) {
    int r = container_require_alive(c, reterr);
    if (r >= 0)
        r = registry_check_quota(c->registry, c->spec->owner, false, reterr);
    if (r < 0)
        return r;
    _cleanup_free_ ListJob *l = malloc(sizeof(ListJob));
    if (!l)
        return error_failed(reterr, ENOMEM, "processes", "out of memory");
    *l = (ListJob){
        .job = { .run = list_run, .done = list_done, .destroy = list_destroy, .apart = true },
        .done = done,
        .userdata = userdata,
    };
    r = container_job_submit(c, &l->job);
    if (r < 0)
        return error_failed(reterr, -r, "processes", "the daemon has too much under way: %s", strerror(-r));
    (void) TAKE_PTR(l);
    return 0;
}
