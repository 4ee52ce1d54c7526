/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What the files of this folder share, and nobody else sees.
 *
 * Threads. `intake` (intake.c, calls.c) and `look` (look*.c, evidence.c, foreign.c); the loop adds and removes subjects.
 * Watch.lock covers the list of subjects and the queues. A subject is counted: whoever uses one outside of the lock holds a
 * reference; `closed` (set by watch_subject_free() under the lock) says that nothing may be reported for it any more.
 *
 * Nothing waits for a caller's file system. A volume on one that may (FUSE, network) is not marked, its files are neither
 * opened nor asked for attributes: `local` says which mounts are others. What lies in a process's memory (arguments,
 * environment, maps) may be backed by such a file or by userfaultfd: it is read by a thread that can be left behind (reader.c).
 */

#include "cgroup/group.h"
#include "watch/watch.h"

#include <linux/seccomp.h>
#include <pthread.h>
#include <stdatomic.h>

#define WATCH_MOUNTS_MAX    64U
#define WATCH_QUEUE_MAX     1024U /* findings on their way to the loop, of all containers */
#define WATCH_SIGHTINGS_MAX 4096U /* what the intake has seen and nobody has looked at yet */
#define WATCH_OPENED_MAX    256U  /* of them those that hold descriptors */
#define WATCH_LOOK_USEC     1000000ULL
#define WATCH_COLLECTED_MAX                                                                                            \
    20U /* times a second that all evidence is collected for one container; the rest is counted */
#define WATCH_PENDING_MAX 16U
#define WATCH_BUCKETS     256U

/* What the look remembers of one process between two looks. look.c's own. */
typedef struct LookMemory LookMemory;

/* reader.c's: how long was waited in the second that began then (CLOCK_MONOTONIC). */
typedef struct ReaderShare {
    uint64_t second_usec, waited_usec;
} ReaderShare;

/* One mount of a subject's, in the watch's table. */
typedef struct WatchMount WatchMount;
struct WatchMount {
    uint64_t id;
    WatchSubject *subject;
    WatchMount *next;
};

struct WatchSubject {
    atomic_uint n_ref;
    Watch *watch;
    WatchSubject *next, *previous; /* the watch's list */
    WatchSubject *next_by_id;      /* and table */
    atomic_bool closed;
    void *userdata;
    char id[16];
    CgroupGroup *group; /* opened by the look's thread, for it alone; NULL: it could not be */
    bool prepared;
    char cgroup_path[256]; /* as /proc/PID/cgroup shows it on cgroup2 */
    pid_t pid;
    int pidfd;              /* of its own */
    uint64_t start_time;    /* of its first process; 0: it had ended before it could be read. From the first look on */
    uint64_t namespaces[8]; /* inodes, of the first process: user pid mnt ipc uts cgroup time net */
    uint32_t id_base;
    uint64_t capabilities;
    bool read_only; /* its root: everything on it is the image's */
    bool asks;      /* about executions or names */
    bool seccomp, image_only, init;
    bool runs;
    /* had been running, unwatched, when it came here */ /* INIT: its first process is our reaper, which runs from a memfd */
    char apparmor_label[256], selinux_label[256];        /* as attestation compares them; empty: none expected */
    SandboxNetwork network;
    NetworkPort *ports;
    size_t n_ports;
    _Atomic uint64_t cpu_quota_per_sec_usec;
    int upper_fd, lower_fd;
    uint64_t
        mounts[WATCH_MOUNTS_MAX]; /* ids, as statx tells them, of its mounts from which something can be executed */
    size_t n_mounts;
    uint64_t local;            /* bit I: mounts[I] is on a file system that answers by itself */
    uint64_t marked;           /* bit I: fanotify tells what is opened on mounts[I] to be executed */
    bool unmarked;             /* one that was to be marked could not be */
    atomic_bool calls_unheard; /* a listener could not be kept */
    WatchMount nodes[WATCH_MOUNTS_MAX];
    uint64_t root_mount, usr_mount; /* of them: the overlay at /, and that of the image `host` at /usr. 0: none, or not
                                       known any more */
    SeccompProgram *program;        /* whose answers refused calls get; NULL: not at hand, then EPERM */
    FindingAction actions[_FINDING_KIND_MAX];
    atomic_uint_fast64_t dropped;
    LookMemory *memory;

    /* the look's thread alone */
    unsigned collected;   /* since second_usec */
    uint64_t second_usec; /* CLOCK_MONOTONIC */
    uint64_t hashed;      /* bytes, since minute_usec */
    uint64_t minute_usec;
    ReaderShare reader_share;
    uint64_t preload_usec;
    uint64_t preload_second_usec, preload_spent_usec; /* on what environments name */
    bool preload_due;                                 /* a program was executed since, and the file was not looked at */
    Finding *pending[WATCH_PENDING_MAX];              /* counted, and reported once a second */

    /* the intake alone */
    uint64_t call_tokens, tokens_usec;
    struct CallSeen {
        pid_t thread;        /* who called */
        pid_t host_pid;      /* whose thread that is */
        uint64_t start_time; /* of that process */
        int number;
        uint64_t time_usec, count; /* when it was told last, and how often seen since */
        struct seccomp_data call;
        int call_errno;
    } calls_seen[16];
};

/* A pid that something is to be looked at for; made by the intake, taken by the look. */
typedef enum SightingKind {
    SIGHTING_OPENED,   /* file_fd was opened to be executed, on a mount of SUBJECT */
    SIGHTING_EXECUTED, /* HOST_PID has executed a program: whose it is is not known yet */
    SIGHTING_RENAMED,  /* HOST_PID has changed its name */
    SIGHTING_CALL,     /* of SUBJECT; `call` */
} SightingKind;

typedef struct Sighting {
    SightingKind kind;
    WatchSubject *subject; /* a reference; NULL: not known */
    pid_t host_pid;
    int pidfd;           /* -EBADF: not known; -ESRCH: it had ended */
    int file_fd;         /* OPENED: that file; EXECUTED: the program, if nobody else tells of it. -EBADF */
    uint64_t start_time; /* of the process that made the CALL */
    uint64_t time_usec;
    struct seccomp_data call;
    int call_errno;
    uint64_t count;
} Sighting;

typedef struct Intake Intake;
typedef struct LookHost LookHost; /* look.c's: what it knows of the host's processes */

typedef struct WatchFoundItem {
    WatchSubject *subject;
    Finding *finding;
} WatchFoundItem;

struct Watch {
    WatchConfig config;
    pthread_mutex_t lock;
    pthread_cond_t sighted; /* CLOCK_MONOTONIC */
    bool ending;            /* under the lock */
    WatchSubject *subjects;
    size_t n_subjects, n_asking; /* of them those that ask what is executed */
    WatchSubject *by_id[WATCH_BUCKETS];
    WatchMount *by_mount[WATCH_BUCKETS];
    Sighting sightings[WATCH_SIGHTINGS_MAX];
    size_t first_sighting, n_sightings, n_opened;
    WatchFoundItem found[WATCH_QUEUE_MAX];
    size_t first_found, n_found;
    int found_fd;
    sd_event_source *found_source;
    Intake *intake;
    LookHost *look;
    pthread_t look_thread;
    bool look_runs;
    uint64_t memfd_mount; /* id of the kernel's own tmpfs, where memfds are */
    char root[256];       /* of our cgroups, with a slash at its end */
};

/* watch.c */
uint64_t watch_now(void);        /* CLOCK_MONOTONIC, microseconds */
uint64_t watch_wall_clock(void); /* since the epoch, microseconds */
/* The subject that has this mount, with a reference. */
WatchSubject *watch_subject_of_mount(Watch *w, uint64_t mount_id);
/* From the intake. SIGHTING's reference and descriptors are the callee's. */
void watch_sighted(Watch *w, Sighting *consume_sighting);
void sighting_done(Sighting *s);
/* May all evidence be collected? If not, the finding goes to watch_count(), which adds it up. The look's thread. */
bool watch_may_collect(WatchSubject *s);
void watch_count(WatchSubject *s, Finding *consume_finding);
WatchSubject *watch_subject_ref(WatchSubject *s);
WatchSubject *watch_subject_unref(WatchSubject *s);
DEFINE_CLEANUP(WatchSubject, watch_subject_unref)
bool watch_wants(const WatchSubject *s, FindingKind k);
bool watch_wants_programs(const WatchSubject *s); /* any of the kinds that say where a program is from */
/* Hands F over to the loop, or counts it as dropped. From the look. */
void watch_report(WatchSubject *s, Finding *consume_finding);
/* The subject that HOST_PID's cgroup is, with a reference; NULL: none of ours. */
WatchSubject *watch_subject_of(Watch *w, pid_t host_pid);

/* intake.c */
int intake_new(Watch *w, Intake **ret, Error *reterr); /* and starts its thread */
Intake *intake_free(Intake *i);
const char *intake_missing_marks(const Intake *i);  /* why fanotify is not there; NULL: it is */
const char *intake_missing_events(const Intake *i); /* process connector */
/* Marks the mount that FD is on. From any thread. */
int intake_mark(Intake *i, int fd);
/* A listener of S. From any thread. */
int intake_add_calls(Intake *i, WatchSubject *s, int consume_fd);
/* Listens to what the host executes as long as a subject asks for it. Under the watch's lock. */
void intake_listen(Intake *i);
/* Subjects have come or gone. */
void intake_wake(Intake *i);

/* calls.c; the intake's thread */
typedef struct CallsListener CallsListener;
struct CallsListener {
    WatchSubject *subject; /* a reference */
    int fd;
    bool paused, added;
    CallsListener *next;
};
/* Takes and answers what is there. False: its container has had its share, or nothing is left. */
void calls_serve(CallsListener *l, const struct seccomp_notif_sizes *sizes, bool *ret_exhausted);
bool calls_refill(WatchSubject *s); /* has it tokens again? */
/* Tells what was counted and not told yet; true: there is something that is not due yet. */
bool calls_flush(WatchSubject *s, uint64_t now);
/* The look's thread. */
void calls_finding(WatchSubject *s, const Sighting *sighting);

/* reader.c: a file of DIR_FD that may never answer, into BUFFER, with a NUL after it. DIR_FD is a process's of S, whose
 * share of waiting it takes. Bytes, or -errno; -ETIMEDOUT; -EAGAIN: S has had its share, or an earlier read still hangs. */
ssize_t reader_read(WatchSubject *s, int dir_fd, const char *name, char *buffer, size_t size);
/* The magic number of the file system that FD is on, in the same way: it may be anybody's. */
int reader_type(WatchSubject *s, int fd, uint32_t *ret);
/* Counts as dropped what could not be looked at for one of these two. */
void reader_count(WatchSubject *s, ssize_t result);
bool reader_has_patience(WatchSubject *s);
void reader_waited(WatchSubject *s, uint64_t usec);

/* evidence.c */
int evidence_open(pid_t host_pid); /* /proc/PID */
/* The same of a process of S's: -ESRCH of any other, so that what is read by it is nobody else's. */
int evidence_open_member(const WatchSubject *s, pid_t host_pid);
ssize_t evidence_read(int dir_fd, const char *name, char *buffer, size_t size);
/* As evidence_hash(), within S's share of work. */
void evidence_hash_for(WatchSubject *s, int file_fd, Finding *f);
/* "/x (deleted)" without that; "/memfd:x (deleted)" as "memfd:x". */
void evidence_clean_path(char *path);
/* Path and identity of its program alone: what tells one finding from another. */
void evidence_program(pid_t host_pid, Finding *f);
/* Identity of what FD refers to, or with NAME what is beneath it, without asking its file system. */
bool evidence_identity(int fd, const char *name, Finding *f);
/* evidence.c: fills in what /proc says of the process HOST_PID (program included unless it is there already). Fields that
 * cannot be had stay empty. PIDFD >= 0: what was read before the process ended is kept only if it was still it. */
int evidence_collect(WatchSubject *s, pid_t host_pid, int pidfd, Finding *f);
/* The same of a process of S's; -ESRCH, and nothing is filled in, where it is none. PIDFD -ESRCH: it is known to have ended. */
int evidence_collect_member(WatchSubject *s, pid_t host_pid, int pidfd, Finding *f);
/* Only what names the process, which has to be S's: pids, start time, name. */
int evidence_process(WatchSubject *s, pid_t host_pid, int pidfd, Finding *f);
/* Reports F, of the process PID of S's: with ALL evidence, or with what names the process, or counts it where that is over. */
void evidence_report(WatchSubject *s, Finding *consume_finding, pid_t pid, int pidfd, bool all);
/* What was collected is another's: nothing of the process is left in F, its program included. */
void evidence_forget(Finding *f);
/* Size and SHA-256 of FILE_FD, and its identity. */
void evidence_hash(int file_fd, Finding *f);
void evidence_set(Finding *f, const char *format, ...) _printf_(2, 3);

/* foreign.c */
typedef enum Origin {
    ORIGIN_IMAGE,   /* the image holds it, as it is */
    ORIGIN_CHANGED, /* the image holds a file of this name, with another content */
    ORIGIN_LAYER,   /* in the writable layer */
    ORIGIN_MOUNT,   /* on a tmpfs or volume */
    ORIGIN_MEMFD,
    ORIGIN_DELETED,   /* of the layer or a mount, and has no name any more */
    ORIGIN_ELSEWHERE, /* on none of the container's mounts */
} Origin;
/* PATH (of size PATH_MAX, may be NULL): as the container sees it, or "memfd:NAME". */
Origin foreign_origin(const WatchSubject *s, int file_fd, char *path);
const char *foreign_describe(Origin o); /* "the writable layer", "a tmpfs or volume", ... */
/* May FILE_FD be opened, read, asked without waiting for anybody's file system? */
bool foreign_is_local(const WatchSubject *s, int file_fd);
/* For the intake: is it certainly the image's? Some three system calls. */
bool foreign_is_image(const WatchSubject *s, int file_fd, uint64_t mount_id);
/* The look's thread: a file was opened to be executed; a program was executed. */
void foreign_opened(WatchSubject *s, const Sighting *sighting);
/* PROGRAM_FD: what it was; -EBADF: what it is now. */
void foreign_executed(WatchSubject *s, pid_t host_pid, int program_fd);
/* The same for one that nobody has told of, because it was there before. */
void foreign_unseen(WatchSubject *s, pid_t host_pid);
/* Does fanotify tell when FILE_FD, on the mount MOUNT_ID, is executed? */
bool foreign_is_marked(const WatchSubject *s, uint64_t mount_id);
/* PATH in the root of the process DIR_FD (/proc/PID), relative to its working directory if it is: an O_PATH fd. */
int foreign_resolve(const WatchSubject *s, int dir_fd, const char *path);
/* Exposed for tests: is this an interpreter, and which of its arguments is the script? NULL: none. */
const char *foreign_script_operand(const char *program, char *const *command);

/* look.c and look-*.c: from the look's thread only. Once a second. */
int look_new(Watch *w, LookHost **ret);
LookHost *look_free(LookHost *h);
/* All subjects (each with a reference held by the caller) and all processes of the host. */
void look_at_all(LookHost *h, WatchSubject *const *subjects, size_t n);
void look_memory_free(LookMemory *m);
typedef enum DisguiseVerdict { DISGUISE_NONE, DISGUISE_KERNEL, DISGUISE_OTHER } DisguiseVerdict;
/* Exposed for tests. NAME: comm, or argv[0] with NULL for PROGRAM_EXISTS. PROGRAM_EXISTS: is NAME a program there? */
DisguiseVerdict disguise_judge(const char *name, const char *exe, const char *argv0,
                               bool (*program_exists)(void *, const char *), void *userdata);
/* disguise.c: does the process's name belong to the kernel or to another program? Reports it. */
void disguise_look(WatchSubject *s, pid_t host_pid);
/* The same after an exec, which gave it its name: only the kernel's kind counts. */
void disguise_executed(WatchSubject *s, pid_t host_pid);
/* preload.c */
void preload_look(WatchSubject *s, pid_t host_pid);
void preload_look_again(WatchSubject *s); /* what it had no time for */
