/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Kills with a receipt: one process of a container that runs on, or the whole container.
 *
 * One process after the other: each has the container frozen for a moment (watch/removal.h), so that a pause, a resume and
 * the next one wait until it is over (container_go_on()). The file `removing` beside the record says that the frozen state
 * is of ours: a daemon that is ended in between leaves it to the next one to thaw the container.
 *
 * The jobs open the cgroup anew and hold up nothing: a process that hangs in the kernel must not keep its container from
 * ending.
 */

#include "container/internal.h"
#include "container/quarantine.h"
#include "util/log.h"

#include <fcntl.h>
#include <inttypes.h>
#include <unistd.h>

#define REMOVING  "removing"
#define KILLS_MAX 1024U /* that wait, of one container */
#define TEXT_SIZE 192U

/* A copy that is to be made of a finding's program. */
typedef struct KeepRequest {
    char name[80]; /* empty: none */
    uint64_t program_dev, program_ino;
    int program_fd; /* of what was opened, until it is copied */
} KeepRequest;

typedef struct KillJob {
    ContainerJob job;
    RemovalTarget target;
    bool descendants, frozen;
    pid_t first_pid;
    uint64_t finding;
    KeepRequest keep;
    bool kept, still_frozen;
    Error not_kept;
    Receipt receipt;
    int result;
    Error error;
    ContainerKilled done;
    void *userdata;
} KillJob;

static void plain_destroy(ContainerJob *j) {
    free(j);
}

/* "dead after 0.8 ms", "dying in do_exit" */
static void describe_receipt(const Receipt *r, char ret[static TEXT_SIZE]) {
    const char *outcome = receipt_outcome_to_string(r->outcome);
    int n = snprintf(ret, TEXT_SIZE, "%s", outcome ? outcome : "?");
    if (r->outcome == RECEIPT_DEAD)
        (void) snprintf(ret + n, TEXT_SIZE - (size_t) n, " after %" PRIu64 ".%" PRIu64 " ms", r->duration_usec / 1000,
                        r->duration_usec / 100 % 10);
    else if (r->outcome == RECEIPT_DYING)
        (void) snprintf(ret + n, TEXT_SIZE - (size_t) n, " in %s", r->wait_channel[0] ? r->wait_channel : "the kernel");
}

static int open_program(KeepRequest *q, pid_t host_pid, int pidfd, Error *reterr) {
    q->program_fd = quarantine_open(host_pid, pidfd, q->program_dev, q->program_ino, reterr);
    return q->program_fd;
}

static int keep_program(const Container *c, KeepRequest *q, Error *reterr) {
    const ContainerEnvironment *e = &c->registry->environment;
    int r = quarantine_keep(e->quarantine_fd, e->quarantine_max, q->name, q->program_fd, reterr);
    q->program_fd = fd_close(q->program_fd);
    return r;
}

/* While it is frozen, so that it executes nothing else meanwhile. Copying takes longer, and comes after it goes on. */
static void keep_evidence(void *userdata, pid_t host_pid, int pidfd) {
    KillJob *k = userdata;
    if (k->keep.name[0])
        (void) open_program(&k->keep, host_pid, pidfd, &k->not_kept);
}

static int mark(const Container *c, Error *reterr) {
    int fd = openat(c->state_fd, REMOVING, O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return error_failed(reterr, errno, "kill", "the mark that the container is frozen cannot be written: %s",
                            strerror(errno));
    (void) fd_close(fd);
    return 0;
}

/* Once more, if it was thawed: what the removal could not do for want of descriptors can be done now. The mark stays where
 * that is not certain. */
static void unmark(KillJob *k, CgroupGroup *g) {
    int r = cgroup_group_freeze(g, false, CONTAINER_FREEZE_USEC);
    if (r >= 0 || r == -ENOENT || r == -ENODEV) /* or it has ended */
        (void) unlinkat(k->job.container->state_fd, REMOVING, 0);
    else
        k->still_frozen = true;
}

static void kill_run(ContainerJob *j) {
    KillJob *k = (KillJob *) j;
    const Container *c = j->container;
    _cleanup_(cgroup_group_freep) CgroupGroup *g = NULL;
    k->result = cgroup_group_open(c->registry->environment.hierarchies, c->id, &g, NULL);
    if (k->result >= 0 && !k->frozen)
        k->result = mark(c, &k->error);
    if (k->result < 0)
        return;
    Removal removal = {
        .group = g,
        .first_pid = k->first_pid,
        .frozen = k->frozen,
        .descendants = k->descendants,
        .timeout_usec = CONTAINER_REMOVE_USEC,
        .evidence = keep_evidence,
        .userdata = k,
    };
    k->result = removal_run(&removal, &k->target, &k->receipt, &k->error);
    if (!k->frozen)
        unmark(k, g);
    if (k->keep.program_fd >= 0)
        k->kept = keep_program(c, &k->keep, &k->not_kept) >= 0;
}

static void note_receipt(Container *c, KillJob *k) {
    FindingEntry *e = findings_get(c->findings, k->finding);
    if (!e)
        return;
    FindingProcess p = { .host_pid = k->target.host_pid, .start_time = k->target.start_time };
    findings_settle(e, &p, &k->receipt);
    if (k->kept)
        (void) snprintf(e->finding->quarantined, sizeof(e->finding->quarantined), "%s", k->keep.name);
    container_finding_changed(c, e);
}

static void tell_killed(Container *c, const KillJob *k) {
    char to[TEXT_SIZE + 96], why[48] = "", how[TEXT_SIZE];
    const Receipt *r = &k->receipt;
    describe_receipt(r, how);
    if (k->finding > 0)
        (void) snprintf(why, sizeof(why), ", finding %" PRIu64, k->finding);
    if (r->pid > 0)
        (void) snprintf(to, sizeof(to), " to process %d (host %d)%s: %s", (int) r->pid, (int) r->host_pid, why, how);
    else
        (void) snprintf(to, sizeof(to), " to process %d of the host%s: %s", (int) r->host_pid, why, how);
    if (k->finding > 0 && !container_may_tell_kill(c))
        return;
    if (r->outcome == RECEIPT_DEAD || r->outcome == RECEIPT_DYING)
        container_add_killed_event(c, SIGKILL, to);
    if (k->finding > 0)
        log_event(r->outcome == RECEIPT_DYING ? LOG_WARNING : LOG_NOTICE, LOG_ID_REMOVED, c->id, c->spec->owner,
                  "Container %s (%s): SIGKILL%s", c->id, container_name(c), to);
}

/* What there was to be killed and is not there any more: an answer where the process was named for all time. */
static void settle_result(Container *c, KillJob *k) {
    if (k->result == -ESRCH && (k->target.start_time > 0 || k->finding > 0)) {
        k->receipt = (Receipt){ .pid = k->target.pid, .host_pid = k->target.host_pid, .outcome = RECEIPT_GONE };
        k->result = 0;
    }
    if (k->result >= 0)
        return;
    bool inside = k->target.pid > 0;
    if (c->ended)
        (void) container_not_running(c, &k->error, "it has exited");
    else if (k->result == -ESRCH)
        (void) container_no_such_process(&k->error, inside ? k->target.pid : k->target.host_pid,
                                         inside ? "" : " (as the host sees it)");
    else if (k->error.kind == ERROR_NONE)
        (void) error_failed(&k->error, -k->result, "kill", "the process cannot be killed: %s", strerror(-k->result));
}

static void kill_done(ContainerJob *j) {
    KillJob *k = (KillJob *) j;
    Container *c = j->container;
    c->killing = false;
    settle_result(c, k);
    if (k->result >= 0) {
        note_receipt(c, k);
        tell_killed(c, k);
    } else if (k->finding > 0)
        log_limited(LOG_ERR, "Container %s: the process of finding %" PRIu64 " cannot be killed: %s", c->id, k->finding,
                    k->error.message);
    if (k->still_frozen)
        log_limited(LOG_ERR, "Container %s was frozen to kill a process in it, and cannot be thawed", c->id);
    if (k->not_kept.kind != ERROR_NONE)
        log_limited(LOG_WARNING, "Container %s: no copy is kept of the program of finding %" PRIu64 ": %s", c->id,
                    k->finding, k->not_kept.message);
    if (k->done)
        k->done(k->userdata, k->result >= 0 ? &k->receipt : NULL, k->result >= 0 ? NULL : &k->error);
    container_go_on(c);
}

static KillRequest *take_request(Container *c) {
    KillRequest *q = c->kills;
    c->kills = q->next;
    if (!c->kills)
        c->last_kill = NULL;
    c->n_kills--;
    return q;
}

static KeepRequest keep_request(Container *c, uint64_t finding) {
    KeepRequest q = { .program_fd = -EBADF };
    const Finding *f = container_finding_numbered(c, finding);
    if (c->registry->environment.quarantine_max == 0 || !f || !quarantine_wants(f))
        return q;
    quarantine_name(c->id, f, q.name);
    q.program_dev = f->program_dev;
    q.program_ino = f->program_ino;
    return q;
}

static int kill_submit(Container *c, const KillRequest *q) {
    KillJob *k = calloc(1, sizeof(KillJob));
    if (!k)
        return -ENOMEM;
    k->job = (ContainerJob){ .run = kill_run, .done = kill_done, .destroy = plain_destroy, .apart = true };
    k->target = q->target;
    k->descendants = q->descendants;
    k->frozen = c->state == CONTAINER_PAUSED;
    k->first_pid = c->pid;
    k->finding = q->finding;
    k->done = q->done;
    k->userdata = q->userdata;
    k->keep = keep_request(c, k->finding);
    int r = container_job_submit(c, &k->job);
    if (r < 0) {
        free(k);
        return r;
    }
    c->killing = true;
    c->killed = *q;
    return 0;
}

static void put_back(Container *c, KillRequest *q) {
    q->next = c->kills;
    c->kills = q;
    if (!c->last_kill)
        c->last_kill = q;
    c->n_kills++;
}

static void fail_request(Container *c, const KillRequest *q, int r) {
    Error error = ERROR_INIT;
    if (c->ended)
        (void) container_not_running(c, &error, "it has exited");
    else
        (void) error_failed(&error, -r, "kill", "the daemon has too much under way: %s", strerror(-r));
    if (q->finding > 0 && !c->ended)
        log_limited(LOG_ERR, "Container %s: the process of finding %" PRIu64 " cannot be killed: %s", c->id, q->finding,
                    error.message);
    if (q->done)
        q->done(q->userdata, NULL, &error);
}

/* What is short now is there again later, and whoever floods must not have others' kills fail for it. */
void container_kill_next(Container *c) {
    while (c->kills && !c->killing && !c->ended) {
        _cleanup_free_ KillRequest *q = take_request(c);
        int r = kill_submit(c, q);
        if ((r == -EAGAIN || r == -ENOMEM) && container_tick_later(c)) {
            put_back(c, TAKE_PTR(q));
            return;
        }
        if (r < 0)
            fail_request(c, q, r);
    }
}

void container_kills_drop(Container *c) {
    while (c->kills) {
        _cleanup_free_ KillRequest *q = take_request(c);
        fail_request(c, q, -ESRCH);
    }
}

void container_kills_free(Container *c) {
    while (c->kills)
        free(take_request(c));
}

static bool is_for(const KillRequest *q, const FindingProcess *p, uint64_t finding) {
    return q->finding == finding && q->target.host_pid == p->host_pid && q->target.start_time == p->start_time;
}

bool container_kill_is_asked(const Container *c, const FindingProcess *p, uint64_t number) {
    if (c->killing && is_for(&c->killed, p, number))
        return true;
    for (const KillRequest *q = c->kills; q; q = q->next)
        if (is_for(q, p, number))
            return true;
    return false;
}

static int ask(Container *c, const KillRequest *request) {
    if (c->n_kills >= KILLS_MAX)
        return -EAGAIN;
    KillRequest *q = malloc(sizeof(KillRequest));
    if (!q)
        return -ENOMEM;
    *q = *request;
    if (c->last_kill)
        c->last_kill->next = q;
    else
        c->kills = q;
    c->last_kill = q;
    c->n_kills++;
    container_go_on(c);
    return 0;
}

int container_kill_finding(Container *c, const FindingProcess *p, uint64_t number) {
    KillRequest q = {
        .target = { .host_pid = p->host_pid, .start_time = p->start_time },
        .descendants = true,
        .finding = number,
    };
    return container_kill_is_asked(c, p, number) ? 0 : ask(c, &q);
}

int container_kill_exactly(Container *c, const RemovalTarget *target, bool descendants, ContainerKilled done,
                           void *userdata, Error *reterr) {
    int r = container_require_alive(c, reterr);
    if (r < 0)
        return r;
    KillRequest q = { .target = *target, .descendants = descendants, .done = done, .userdata = userdata };
    r = ask(c, &q);
    if (r < 0)
        return error_set(reterr, ERROR_QUOTA_EXCEEDED, -r, "kills",
                         "the daemon has too much under way; try again, or kill the whole container");
    return 0;
}

/* Before anything else of the container is looked at. Whoever had frozen it for good has left no mark. */
void container_kill_repair(Container *c) {
    if (faccessat(c->state_fd, REMOVING, F_OK, AT_SYMLINK_NOFOLLOW) < 0)
        return;
    /* whether it is frozen does not count: something in it may hold that up until later */
    int r = cgroup_group_freeze(c->group, false, CONTAINER_FREEZE_USEC);
    if (r < 0) {
        log_error("Container %s was frozen by a daemon that has ended since, and cannot be thawed: %s", c->id,
                  strerror(-r));
        return;
    }
    (void) unlinkat(c->state_fd, REMOVING, 0);
    log_notice("Container %s: a daemon was ended while it killed a process in it; the container goes on", c->id);
}

/* ---- a copy of what was only reported ---- */

typedef struct KeepJob {
    ContainerJob job;
    pid_t host_pid;
    uint64_t start_time, finding;
    KeepRequest keep;
    int result;
    Error error;
} KeepJob;

/* The pidfd comes first: if it is the one that was found then, it is it all along. It runs meanwhile, and may execute
 * something else: then that is another program, and is not kept. */
static void keep_run(ContainerJob *j) {
    KeepJob *k = (KeepJob *) j;
    uint64_t start_time;
    _cleanup_fd_ int pidfd = process_pidfd_open(k->host_pid);
    if (pidfd < 0 || process_start_time(k->host_pid, &start_time) < 0 || start_time != k->start_time)
        k->result = error_failed(&k->error, ESRCH, "quarantine", "its process has ended");
    else
        k->result = open_program(&k->keep, k->host_pid, pidfd, &k->error);
    if (k->result >= 0)
        k->result = keep_program(j->container, &k->keep, &k->error);
}

static void keep_done(ContainerJob *j) {
    KeepJob *k = (KeepJob *) j;
    Container *c = j->container;
    FindingEntry *e = findings_get(c->findings, k->finding);
    if (k->result < 0) {
        log_limited(LOG_WARNING, "Container %s: no copy is kept of the program of finding %" PRIu64 ": %s", c->id,
                    k->finding, k->error.message);
        return;
    }
    if (!e)
        return;
    (void) snprintf(e->finding->quarantined, sizeof(e->finding->quarantined), "%s", k->keep.name);
    container_finding_changed(c, e);
}

void container_keep_program(Container *c, const Finding *f, const FindingProcess *p) {
    KeepRequest keep = keep_request(c, f->number);
    if (p->host_pid <= 0 || p->start_time == 0 || !keep.name[0])
        return;
    KeepJob *k = calloc(1, sizeof(KeepJob));
    if (!k)
        return;
    *k = (KeepJob){
        .job = { .run = keep_run, .done = keep_done, .destroy = plain_destroy, .apart = true },
        .host_pid = p->host_pid,
        .start_time = p->start_time,
        .finding = f->number,
        .keep = keep,
    };
    if (container_job_submit(c, &k->job) < 0)
        free(k);
}

/* ---- the whole container ---- */

typedef struct EndJob {
    ContainerJob job;
    Receipt receipt;
    int result;
    Error error;
    ContainerKilled done;
    void *userdata;
} EndJob;

static void end_run(ContainerJob *j) {
    EndJob *k = (EndJob *) j;
    const Container *c = j->container;
    _cleanup_(cgroup_group_freep) CgroupGroup *g = NULL;
    k->result = cgroup_group_open(c->registry->environment.hierarchies, c->id, &g, NULL);
    if (k->result == -ENOENT) { /* it ended at this very moment */
        k->receipt = (Receipt){ .outcome = RECEIPT_GONE };
        k->result = 0;
    } else if (k->result >= 0)
        k->result = removal_run_all(g, CONTAINER_REMOVE_USEC, &k->receipt, &k->error);
}

static void end_done(ContainerJob *j) {
    EndJob *k = (EndJob *) j;
    if (k->result < 0 && k->error.kind == ERROR_NONE)
        (void) error_failed(&k->error, -k->result, "kill", "the container cannot be killed: %s", strerror(-k->result));
    k->done(k->userdata, k->result >= 0 ? &k->receipt : NULL, k->result >= 0 ? NULL : &k->error);
}

int container_kill_reported(Container *c, ContainerKilled done, void *userdata, Error *reterr) {
    int r = container_require_alive(c, reterr);
    if (r < 0)
        return r;
    EndJob *k = calloc(1, sizeof(EndJob));
    if (!k)
        return error_failed(reterr, ENOMEM, "kill", "out of memory");
    k->job = (ContainerJob){ .run = end_run, .done = end_done, .destroy = plain_destroy, .apart = true };
    k->done = done;
    k->userdata = userdata;
    r = container_job_submit(c, &k->job);
    if (r < 0) {
        free(k);
        return error_failed(reterr, -r, "kill", "the daemon has too much under way: %s", strerror(-r));
    }
    container_add_killed_event(c, SIGKILL, "");
    return 0;
}
