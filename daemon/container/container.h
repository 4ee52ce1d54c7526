/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The container: what it is, what state it is in, and what may happen to it.
 *
 *     created ──started──▶ running ◀──▶ paused
 *        │                    │           │
 *        └──failed──▶ gone    └──exited───┴──▶ exited ──removed──▶ gone
 *
 * Everything here runs in the loop's thread. What may block (making and removing cgroups, the spawn, removing a
 * writable layer, freezing) runs as a worker's job on a struct of its own, and its completion moves the state. A
 * container that is being started, killed or torn down is never freed under such a job: jobs hold a reference.
 *
 * Every container has a record in the state directory (record.h) before anything of it exists in the kernel, so that a
 * new daemon finds, adopts or cleans up what an old one left.
 */

#include "account/sampler.h"
#include "container/events.h"
#include "container/log.h"
#include "container/spec.h"
#include "sandbox/apparmor.h"
#include "sandbox/selinux.h"
#include "util/fd-store.h"
#include "util/process.h"
#include "util/worker.h"
#include "watch/removal.h"
#include "watch/watch.h"

#define CONTAINER_ID_LENGTH 12U

typedef enum ContainerState { CONTAINER_CREATED, CONTAINER_RUNNING, CONTAINER_PAUSED, CONTAINER_EXITED } ContainerState;

const char *container_state_to_string(ContainerState s); /* "created", ... as in the interface */

typedef struct ContainerExit {
    ProcessExit process;
    bool oom_killed;
    uint64_t finished_usec;
} ContainerExit;

typedef struct Container Container;
typedef struct ContainerRegistry ContainerRegistry;

/* What happens to a container, told to whoever watches it. A watch may be removed from within its own callback. */
typedef enum ContainerNotice {
    CONTAINER_NOTICE_STARTED,
    CONTAINER_NOTICE_FAILED, /* error says why; the container is gone after the callback */
    CONTAINER_NOTICE_EXITED,
    CONTAINER_NOTICE_DETACHED,
    CONTAINER_NOTICE_REMOVED,
} ContainerNotice;

typedef struct ContainerWatch ContainerWatch;
typedef void (*ContainerNotify)(ContainerWatch *w, Container *c, ContainerNotice notice, const Error *error);
struct ContainerWatch {
    ContainerNotify notify;
    Container *container; /* NULL when not watching */
    ContainerWatch *next, *previous;
};
void container_watch(Container *c, ContainerWatch *w, ContainerNotify notify);
void container_unwatch(ContainerWatch *w); /* also when not watching */

/* What the daemon gives the registry; none of it is owned by the registry. */
typedef struct ContainerEnvironment {
    sd_event *event;
    WorkerPool *workers;
    SandboxHost *sandbox;
    SeccompCache *seccomp;
    CgroupHierarchies *hierarchies;
    StorageHost *storage;
    NetworkHost *network;
    AppArmorHost *apparmor; /* NULL: the host has none that Kennel could use, and apparmor_missing says why */
    SELinuxHost *selinux;   /* NULL: likewise */
    const char *apparmor_missing, *selinux_missing;
    const char *devices_missing;                    /* NULL: the device program is attached */
    ControlMode control_modes[_CONTROL_MAX];        /* of the configuration */
    Watch *watch;                                   /* NULL: nothing is looked for */
    FindingAction watch_actions[_FINDING_KIND_MAX]; /* of the configuration */
    int quarantine_fd;                              /* where copies of programs go */
    uint64_t quarantine_max;                        /* bytes of all of them; 0: none are kept */
    FdStore *fd_store;                              /* NULL: nobody keeps descriptors while no daemon runs */
    int state_fd;                                   /* the state directory; containers/ID/ below it */
    int data_fd;                                    /* the data directory; containers/ID/ below it */
    uint32_t id_base; /* the pool of id ranges: first id, and how many ranges of SANDBOX_ID_COUNT */
    uint32_t id_ranges;
    unsigned containers_max_per_uid; /* for peers that are not root */
    unsigned starts_max_per_uid;     /* in progress at one time, root too; container_processes() counts as one */
    uint64_t log_max_bytes;          /* of one container's log */
    ContainerLimits tenant_limits;   /* ceilings for peers that are not root: container_limits_hold() */
    uint64_t disk_default;           /* bytes of a writable layer for which nobody gave a limit; rpc applies it */
    uint64_t jobs_wait_usec;         /* at the end: how long to wait for what is in progress */
} ContainerEnvironment;

int container_registry_new(const ContainerEnvironment *environment, ContainerRegistry **ret, Error *reterr);
/*
 * Ends the daemon's part: containers run on. Waits for starts and teardowns in progress; if one hangs for longer than
 * jobs_wait_usec, the registry is left in memory for it, and so must be whatever the environment names.
 */
ContainerRegistry *container_registry_free(ContainerRegistry *r);
DEFINE_CLEANUP(ContainerRegistry, container_registry_free)

/*
 * Reads the records: adopts what still runs (pid, start time and cgroup all agree), notes the exit of what does not,
 * removes what was half made or half removed, also directories that no record speaks of.
 */
int container_registry_recover(ContainerRegistry *r, Error *reterr);

ContainerEvents *container_registry_events(ContainerRegistry *r);
AccountSampler *container_registry_sampler(ContainerRegistry *r);
const ContainerEnvironment *container_registry_environment(const ContainerRegistry *r);
size_t container_registry_count(const ContainerRegistry *r, size_t *ret_running);

/* Who asks: root sees everything, others what they own, and nothing tells them that there is more. */
typedef struct ContainerViewer {
    uid_t uid;
} ContainerViewer;
bool container_visible(const Container *c, const ContainerViewer *v);

/* By name, id or unambiguous prefix of the id. ERROR_NO_SUCH_CONTAINER in the same words whether hidden or not there. */
int container_find(ContainerRegistry *r, const ContainerViewer *v, const char *name, Container **ret, Error *reterr);
/* In the order of creation; NULL ends. Pass NULL first. */
Container *container_next(ContainerRegistry *r, Container *previous);

/*
 * Registers the container and begins its start; WATCH (may be NULL) is told STARTED or FAILED later, never before this
 * returns. Takes *SPEC whatever happens. Names are unique for each owner.
 */
int container_start(ContainerRegistry *r, ContainerSpec *consume_spec, ContainerWatch *watch, ContainerNotify notify,
                    Container **ret, Error *reterr);

/* Plain reads. */
const char *container_id(const Container *c);
const char *container_name(const Container *c);
ContainerState container_state(const Container *c);
const ContainerSpec *container_spec(const Container *c);
pid_t container_pid(const Container *c);                 /* 0 before the start and after the exit */
const ContainerExit *container_exit(const Container *c); /* NULL while it has not exited */
uint64_t container_created_usec(const Container *c);
uint64_t container_started_usec(const Container *c); /* 0 if never */
uint32_t container_uid(const Container *c);          /* what the payload started with; UINT32_MAX before the start */
uint32_t container_gid(const Container *c);
CgroupGroup *container_group(Container *c);          /* NULL when it has none */
AccountEntry *container_account_entry(Container *c); /* NULL while it does not run */
/*
 * The newest sample as JSON text of the interface's Sample: of this instant while it runs, its totals when they are known
 * (until it is removed); NULL otherwise. Valid until the loop runs on.
 */
const AccountText *container_sample(Container *c);
ContainerLog *container_log(Container *c); /* NULL when it has none */

/* The pseudo terminal's master of an attached container, to be duplicated for the caller; -EBADF if there is none. */
int container_terminal_fd(const Container *c);

/*
 * What may be asked of a container. Those with a callback may take time: it is called from the loop once, with
 * ERROR == NULL for success, unless the function itself returned an error.
 */
typedef void (*ContainerDone)(void *userdata, const Error *error);

int container_detach(Container *c, Error *reterr);
/* The whole container: signal to its first process; SIGKILL goes to everything in the cgroup. */
int container_kill(Container *c, int sig, Error *reterr);
/* One process of it. Exactly one of pid (as the container sees it) and host_pid is not 0. */
int container_kill_process(Container *c, pid_t pid, pid_t host_pid, int sig, Error *reterr);
/* SIGTERM, then SIGKILL after the timeout or at once if the first process cannot receive SIGTERM. Watch for EXITED. */
int container_stop(Container *c, uint64_t timeout_usec, Error *reterr);
int container_pause(Container *c, bool pause, ContainerDone done, void *userdata, Error *reterr);
/*
 * Puts LIMITS (complete, already held to the owner's ceilings) in place of those in force: all of them, or none and an
 * error. One change at a time: ERROR_QUOTA_EXCEEDED "updates" while another is under way. The event `updated` tells.
 */
int container_update(Container *c, const ContainerLimits *limits, ContainerDone done, void *userdata, Error *reterr);
/* ERROR_STILL_RUNNING unless FORCE. DONE is called when nothing of the container is left. */
int container_remove(Container *c, bool force, ContainerDone done, void *userdata, Error *reterr);

/* A process beside the first one. Lives until it has exited and been released. */
typedef struct ContainerExec ContainerExec;
typedef void (*ContainerExecStarted)(ContainerExec *x, void *userdata,
                                     const Error *error); /* error: X is gone after it */
typedef void (*ContainerExecExited)(ContainerExec *x, void *userdata, const ProcessExit *exit);
/* PROGRAM: capabilities, seccomp, rlimits and the environment's base are filled in from the container. */
int container_exec(Container *c, SandboxProgram *consume_program, ContainerExecStarted started,
                   ContainerExecExited exited, void *userdata, ContainerExec **ret, Error *reterr);
pid_t container_exec_pid(const ContainerExec *x);
int container_exec_terminal_fd(const ContainerExec *x);
/* The caller has lost interest: callbacks are not called any more; KILL ends the process as well. */
ContainerExec *container_exec_release(ContainerExec *x, bool kill);

/*
 * Every process in it, the first one first, as a worker's job: reading /proc may wait for a lock that a hostile process
 * holds. Charged to the container's owner as one start. PROCESSES and N are valid in the callback.
 */
typedef void (*ContainerListed)(void *userdata, ProcessInfo *processes, size_t n, const Error *error);
int container_processes(Container *c, ContainerListed done, void *userdata, Error *reterr);

/* ---- findings ---- */

/* What a detector does for who says nothing: the configuration's, else the default. Never UNSET. */
FindingAction container_watch_action(const ContainerEnvironment *e, FindingKind k);
/* Why a detector that is on sees nothing in this container, or not all; NULL: it does, or is off, or C does not run. */
const char *container_watch_missing(const Container *c, FindingKind k);
/* For WatchConfig.found; USERDATA is the container. */
void container_found(void *userdata, Finding *consume_finding);

size_t container_findings_count(const Container *c);
/* In the order of their numbers, I from 0. */
const Finding *container_finding(const Container *c, size_t i);
const Finding *container_finding_numbered(const Container *c, uint64_t number); /* NULL: it is not kept any more */
uint64_t container_findings_dropped(const Container *c);
/* The processes of findings of at least this severity, as far as they are still who they were, each once; to be freed. */
int container_findings_targets(const Container *c, FindingSeverity least, RemovalTarget **ret, size_t *ret_n);

/* Is told of each new finding, and at most once a second of each that was seen again or has got its receipt. */
typedef struct FindingFollower FindingFollower;
struct FindingFollower {
    void (*notify)(FindingFollower *f, Container *c, const Finding *finding);
    ContainerRegistry *registry; /* NULL when not following */
    FindingFollower *next, *previous;
};
void container_findings_follow(ContainerRegistry *r, FindingFollower *f);
void container_findings_unfollow(FindingFollower *f); /* also when not following, or from its own notify() */

/*
 * Kills one process and tells how that ended; it is frozen with its container while it is looked at (watch/removal.h). The
 * container's first process is spared. ERROR: no such process, or it could not be done; RECEIPT is then NULL.
 */
typedef void (*ContainerKilled)(void *userdata, const Receipt *receipt, const Error *error);
int container_kill_exactly(Container *c, const RemovalTarget *target, bool descendants, ContainerKilled done,
                           void *userdata, Error *reterr);
/* The whole container, until nothing is left in its cgroup. */
int container_kill_reported(Container *c, ContainerKilled done, void *userdata, Error *reterr);

/* Attestation as a worker's job: CHECKS is valid in the callback. */
typedef void (*ContainerVerified)(void *userdata, const CheckList *checks, const Error *error);
int container_verify(Container *c, ContainerVerified done, void *userdata, Error *reterr);
