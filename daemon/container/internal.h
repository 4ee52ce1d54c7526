/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What the files of this folder share and nobody else sees: the object, the registry, the job.
 *
 * Threads. Everything below belongs to the loop's thread. A job's run() may read what does not change while it runs:
 * the id, the spec, the registry's environment and its two directories. Whatever else it needs it has a copy of, or
 * owns until its completion puts it into the container.
 *
 * Life. The registry's list holds one reference, each job and each exec another. `ended` is the point of no return: the
 * first process is gone or never was. From then on container_settle() is called after every change and does what is
 * next: remove cgroup and writable layer, and, if that is wanted, everything else.
 */

#include "cgroup/events.h"
#include "container/container.h"
#include "container/findings.h"
#include "util/exits.h"

#include <stdatomic.h>
#include <string.h>
#include <time.h>

#define CONTAINER_CLEANUP_USEC (10ULL * 1000000ULL) /* how long a group may take to die, one attempt */
#define CONTAINER_RETRY_USEC   (10ULL * 1000000ULL) /* until the next attempt */
#define CONTAINER_FREEZE_USEC  (5ULL * 1000000ULL)
#define CONTAINER_EXECS_MAX    256U /* processes of Exec in one container: each costs the daemon two descriptors */
/* For a process that is removed: to freeze its container, and to die. */
#define CONTAINER_REMOVE_USEC  (3ULL * 1000000ULL)
#define CONTAINER_SECCOMP_FILE "seccomp.bpf"
/* In the file that daemons share: beyond the bytes of ids (65,536) and bridges (2^40 and 2^32 more). */
#define CATEGORIES_FIRST_BYTE (1ULL << 41)
#define CONTAINER_SAMPLE_FILE "sample.json" /* the totals, beside the record */

typedef struct ContainerJob ContainerJob;

/* The head of every job's struct. */
struct ContainerJob {
    void (*run)(ContainerJob *j);  /* in a thread */
    void (*done)(ContainerJob *j); /* in the loop */
    void (*destroy)(ContainerJob *j);
    bool apart;           /* holds up nothing, is charged to the owner: see job.c */
    atomic_bool returned; /* run() has */
    Container *container; /* a reference; NULL until it is submitted */
    ContainerJob *next, *previous;
};

/* While watches are told: what comes next, so that any of them may go meanwhile. */
typedef struct WatchCursor {
    ContainerWatch *next;
    struct WatchCursor *outer;
} WatchCursor;

typedef struct RemoveWaiter {
    ContainerDone done;
    void *userdata;
    struct RemoveWaiter *next;
} RemoveWaiter;

/* What happened at the limits, and how much of it has been told: see limit-events.c. */
typedef enum LimitKind {
    LIMIT_OOM,
    LIMIT_MEMORY,
    LIMIT_MEMORY_HIGH,
    LIMIT_PIDS,
    LIMIT_DISK,
    LIMIT_INODES,
    _LIMIT_MAX
} LimitKind;

typedef struct LimitWatch {
    sd_event_source *sources[CGROUP_EVENT_SOURCES_MAX];
    size_t n_sources;
    sd_event_source *timer;         /* something is to be told once it may be */
    uint64_t told[_LIMIT_MAX];      /* the count when it was last told */
    uint64_t told_usec[_LIMIT_MAX]; /* CLOCK_MONOTONIC; 0: never */
    /* disk, inodes: was found to be full, and is still; how often it has become so */
    bool full[_LIMIT_MAX];
    uint64_t full_times[_LIMIT_MAX];
} LimitWatch;

/* A process that is to be killed exactly: see kill-exactly.c. */
typedef struct KillRequest {
    RemovalTarget target;
    bool descendants;
    uint64_t finding;     /* of which it is the consequence; 0: somebody asked */
    ContainerKilled done; /* may be NULL */
    void *userdata;
    struct KillRequest *next;
} KillRequest;

/* A pause or resume that waits for a removal, which has the container frozen meanwhile. */
typedef struct PendingFreeze {
    bool there, freeze;
    ContainerDone done;
    void *userdata;
} PendingFreeze;

/* What a container's findings may tell in events and in the log, which are everybody's: see watch.c. */
typedef struct FindingVoice {
    unsigned spent;
    uint64_t since_usec;       /* CLOCK_MONOTONIC */
    unsigned untold, unkilled; /* findings, and kills for them, that were not told */
} FindingVoice;

struct Container {
    unsigned n_ref;
    ContainerRegistry *registry;
    Container *next, *previous; /* the registry's list, oldest first */
    char id[CONTAINER_ID_LENGTH + 1];
    ContainerSpec *spec;
    ContainerState state;

    bool listed;
    bool starting;      /* charged to the owner's starts */
    bool holds_numbers; /* spec->sandbox.id_base and spec->address are taken */
    bool ended;         /* no first process any more */
    bool failed;        /* ended without having started */
    bool gone;          /* FAILED or REMOVED has been told: hidden, although something may be left to clean */
    bool dirty;         /* writable layer or network have not been removed yet */
    bool wants_remove;
    bool freezing;        /* a pause or resume is under way */
    bool updating;        /* a change of limits is under way */
    bool totals_told;     /* `final` is known, or will never be */
    bool unread;          /* of an earlier daemon: the service manager has kept its output */
    bool calls_lost;      /* refused system calls are not told: nobody has kept the listener */
    bool calls_silent;    /* nor from the start: the program was installed without a listener */
    bool seccomp_missing; /* the program could not be restored: nothing may be started without it */

    int data_fd; /* containers/ID in the data directory, -EBADF before it is made */
    int state_fd;
    CgroupGroup *group;
    StorageLayer *layer;
    NetworkEndpoint *endpoint;
    AccountEntry account; /* in the sampler while it runs */
    AccountText final;    /* its totals, once they are known */
    LimitWatch limits;
    WatchSubject *subject;  /* NULL: it is not watched, or not any more */
    uint64_t dropped_taken; /* of watch_subject_dropped(): what findings->dropped has */
    Findings *findings;     /* NULL: none yet */
    sd_event_source *findings_timer;
    FindingVoice voice;
    KillRequest *kills, *last_kill;
    unsigned n_kills;
    bool killing;       /* a job has the container frozen to kill one process of it */
    KillRequest killed; /* while killing: which */
    bool freeze_wanted; /* a finding's action, as soon as it can be */
    PendingFreeze pending_freeze;
    ContainerLog *log;
    pid_t pid;
    int pidfd;
    uint64_t pid_start_time;
    int terminal_fd;
    uint32_t uid, gid;
    uint64_t created_usec, started_usec;
    ContainerExit exit;
    Error start_error;

    sd_event_source *exit_source, *stop_source, *retry_source;
    ExitWatch exit_watch; /* see adopted.c */
    sd_event_source *exit_deadline;
    int pending_signal; /* came while it was being started; 0 is none */
    bool pending_stop;
    uint64_t pending_stop_usec;

    unsigned n_jobs; /* without those apart */
    unsigned n_execs;
    ContainerExec *execs;
    ContainerWatch *watches;
    WatchCursor *cursors;
    RemoveWaiter *waiters;
};

struct ContainerExec {
    Container *container; /* a reference */
    ContainerExec *next, *previous;
    pid_t pid;
    int pidfd;
    int terminal_fd;
    sd_event_source *source;
    ContainerExecStarted started;
    ContainerExecExited exited;
    void *userdata;
    bool starting, over, released, kill, told;
};

struct ContainerRegistry {
    ContainerEnvironment environment;
    int state_fd, data_fd; /* the directories `containers` of both */
    ContainerEvents *events;
    AccountSampler *sampler;
    sd_event_source *full_timer; /* see limit-events.c */
    ContainerLogThread *log_thread;
    ExitListener *exits; /* NULL: nobody needs it, or it cannot be had */
    Container *first, *last;
    uint8_t *ranges;          /* a bit for each range of the pool: taken, by whomever */
    uint32_t next_range;      /* where to look first */
    CategoryPool *categories; /* NULL where no container has any */
    FindingFollower *followers, *next_to_tell;
    ContainerJob *jobs; /* every job whose completion has not been called */
};

static inline uint64_t now_usec(void) {
    struct timespec t;
    (void) clock_gettime(CLOCK_REALTIME, &t);
    return (uint64_t) t.tv_sec * 1000000ULL + (uint64_t) t.tv_nsec / 1000ULL;
}

/* container.c */
int container_new(ContainerRegistry *r, const char *id, ContainerSpec *consume_spec, Container **ret);
Container *container_ref(Container *c);
Container *container_unref(Container *c);
DEFINE_CLEANUP(Container, container_unref)
void container_link(Container *c);   /* into the list, which takes a reference of its own */
void container_unlink(Container *c); /* and drops it */
void container_tell(Container *c, ContainerNotice notice, const Error *error);
void container_unwatch_all(Container *c);
void container_add_event(Container *c, ContainerEventKind kind, const char *message);
void container_add_limit_event(Container *c, const char *limit, const char *message);
/* It runs now: joins the sampler, and its limits are watched. */
void container_begin_accounting(Container *c);
void container_end_accounting(Container *c);
int container_write_record(Container *c);
int container_not_running(const Container *c, Error *reterr, const char *reason);
/* Alive and not on its way in or out; reason: what the caller wanted to do needs it to be so. */
int container_require_alive(const Container *c, Error *reterr);

/* job.c: on failure the job still belongs to the caller. */
int container_job_submit(Container *c, ContainerJob *j);
unsigned container_jobs_apart(const ContainerRegistry *r, uid_t owner);
/* When the loop runs no more. What is in the list afterwards hangs, and may use the registry and all that it has. */
void container_jobs_drain(ContainerRegistry *r);

/* start.c */
int container_watch_process(Container *c); /* for pidfd */

/* teardown.c */
void container_settle(Container *c);
void container_ended(Container *c, const ProcessExit *exit);
/* The start has come to nothing. Takes what is left of it: GROUP (may be NULL), and files if DIRTY. */
void container_fail(Container *c, const Error *error, CgroupGroup *consume_group, bool dirty);

/*
 * What is to be removed of a container, and its totals, which are read when its last process has gone and before anything
 * else has. For threads: of the container it uses only what does not change.
 */
typedef struct Cleanup {
    const Container *container;
    CgroupGroup *group;        /* owned; NULL once it has been removed */
    StorageLayer *layer;       /* owned */
    NetworkEndpoint *endpoint; /* owned */
    bool count;                /* its totals are wanted: a container that has run */
    bool dirty;                /* layer and network; false once they have been removed */
    bool files;                /* everything else: log, record. false once they have been removed */
    AccountText final;         /* owned */
    Error error;               /* of what could not be removed */
} Cleanup;
void container_cleanup(Cleanup *w, uint64_t timeout_usec);
void container_cleanup_done(Cleanup *w);
/* With all that C has and loses by it. */
void container_cleanup_init(Cleanup *w, Container *c, bool files);
/* When the daemon ends and the loop runs no more: one attempt, briefly. */
void container_cleanup_last(Container *c);

/* control.c */
void container_apply_pending(Container *c);
int container_kill_all(Container *c); /* no event, no questions */
void container_add_killed_event(Container *c, int sig, const char *to);
int container_no_such_process(Error *reterr, pid_t pid, const char *whose);
/* What was put off while a process was removed, or the container frozen, comes now. */
void container_go_on(Container *c);

/*
 * watch.c. The first with CONSUME_CALLS_FD also for the start's thread, which has the SECCOMP program before the container
 * has it; *RET NULL: there is nothing to look for.
 */
void container_watch_decide(const ContainerEnvironment *e, ContainerSpec *spec);
int container_watch_begin(const Container *c, StorageLayer *layer, SeccompProgram *seccomp,
                          const SandboxProcess *process, int consume_calls_fd, WatchSubject **ret);
void container_watch_end(Container *c);
void container_watch_resume(Container *c); /* of an earlier daemon's, and runs */
void container_findings_recover(Container *c);
void container_findings_done(Container *c); /* ends the watch, too, and writes what is not on disk yet */
void container_add_finding_event(Container *c, uint64_t number, const char *message);
void container_finding_changed(Container *c, FindingEntry *e);
bool container_may_tell_kill(Container *c); /* false: it is counted, and told with others */
/* What is unsaid, unwritten or not killed yet has its turn within a second. False: there is no timer to be had. */
bool container_tick_later(Container *c);

/* kill-exactly.c */
/* P of finding NUMBER. Of one that waits for it already, or is being killed, nothing more is asked. */
int container_kill_finding(Container *c, const FindingProcess *p, uint64_t number);
bool container_kill_is_asked(const Container *c, const FindingProcess *p, uint64_t number);
/* A copy of what P executes, in the quarantine directory. */
void container_keep_program(Container *c, const Finding *f, const FindingProcess *p);
void container_kill_next(Container *c);
void container_kills_drop(Container *c);  /* nothing is left to be killed: tells those who wait */
void container_kills_free(Container *c);  /* tells nobody */
void container_kill_repair(Container *c); /* a daemon was ended while it had the container frozen */

/* limit-events.c */
int limit_events_open(ContainerRegistry *r);
void limit_events_close(ContainerRegistry *r);
void limit_watch_begin(Container *c);
/* For a container of an earlier daemon, before anything else: what has happened by now was told by that one, but for OOM
 * kills after the first OOM_KILLS_TOLD. */
void limit_watch_resume(Container *c, uint64_t oom_kills_told);
/* The container has ended: tells what has not been told yet. Its group must still be there. */
void limit_watch_end(Container *c);
/* Tells nothing: for a container that runs on without this daemon. */
void limit_watch_done(Container *c);

/* container.c */
NetworkSpec container_network_spec(const Container *c);
AccountNetwork container_account_network(const Container *c);

/* stored.c: what the service manager keeps of a container while no daemon runs. Those that store from any thread. */
void container_store_output(const Container *c, int state_fd);
void container_store_process(const Container *c, const SandboxProcess *process);
void container_store_calls(const Container *c, int calls_fd);
/* Nobody answers what is told: while somebody keeps the listener, a call that is told would wait for ever. */
void container_stored_remove_calls(const Container *c);
int container_stored_take(const Container *c, const char *what);
bool container_stored_output(const Container *c); /* its output waits to be read: asked once */
void container_stored_remove(const Container *c);
void container_stored_forget(ContainerRegistry *r); /* of containers that have none any more */

/* adopted.c: how a container ends that is not a child of this daemon's */
void container_adopt_exit(Container *c);
bool container_awaits_exit(Container *c, ProcessExit *exit); /* the process has ended: false if EXIT is the last word */
void container_adopted_done(Container *c);

/* exec.c */
void container_execs_free(Container *c);

/* registry.c */
bool registry_id_is_valid(const char *id);
int registry_check_quota(ContainerRegistry *r, uid_t owner, bool new_container, Error *reterr);
bool container_is_over(const Container *c);

/*
 * labels.c. assign() in the loop, with id_base known: names and categories; what it has taken by an error, release() gives
 * back. prepare() in the start's thread. take_again() for a container of an earlier daemon.
 */
int container_labels_assign(ContainerRegistry *r, ContainerSpec *spec, Error *reterr);
int container_labels_prepare(const Container *c, Error *reterr);
int container_labels_take_again(Container *c);
void container_labels_release(Container *c);

/*
 * What a proof needs to know, for one process of a container. For threads: nothing in it changes meanwhile. GROUP and LAYER
 * are borrowed; LAYER may be NULL.
 */
typedef struct ContainerProof {
    SandboxExpectation process;
    CgroupGroup *group;
    StorageLayer *layer;
    ContainerLimits limits;
} ContainerProof;

/* attest.c */
int container_attest(const Container *c, const ContainerProof *p, CheckList *checks);
/* At the exec stop: ERROR_HARDENING_FAILED "attestation" names the first control that differs. */
static inline bool container_differed(const Error *e) {
    return e->kind == ERROR_HARDENING_FAILED && strcmp(e->subject, "attestation") == 0;
}
int container_attest_start(const Container *c, const ContainerProof *p, Error *reterr);
/* attest-limits.c */
int container_attest_limits(const Container *c, const ContainerProof *p, CheckList *checks);

/* ranges.c: which container has which 65,536 host ids. -ENOSPC: all are taken. */
int ranges_init(ContainerRegistry *r, Error *reterr);
void ranges_done(ContainerRegistry *r);
int ranges_take(ContainerRegistry *r, uint32_t *ret_base);
/* For a container of an earlier daemon, which has had it all along. -EAGAIN: another daemon has it too. */
int ranges_take_again(ContainerRegistry *r, uint32_t base);
void ranges_give_back(ContainerRegistry *r, uint32_t base);
void container_release_numbers(Container *c);
