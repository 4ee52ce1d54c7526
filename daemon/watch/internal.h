/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What the files of this folder share, and nobody else sees.
 *
 * Threads. `intake` (intake.c, calls.c) and `look` (look*.c, evidence.c, foreign.c); the loop adds and removes subjects.
 * Watch.lock covers the list of subjects and the queues. A subject is counted: whoever uses one outside of the lock holds a
 * reference; `closed` (set by watch_subject_free() under the lock) says that nothing may be reported for it any more.
 */

#include "cgroup/group.h"
#include "watch/watch.h"

#include <pthread.h>
#include <stdatomic.h>

#define WATCH_MOUNTS_MAX    64U
#define WATCH_QUEUE_MAX     1024U /* findings on their way to the loop, of all containers */
#define WATCH_SIGHTINGS_MAX 4096U /* what the intake has seen and nobody has looked at yet */
#define WATCH_LOOK_USEC     1000000ULL

/* What the look remembers of one process between two looks. look.c's own. */
typedef struct LookMemory LookMemory;

struct WatchSubject {
    atomic_uint n_ref;
    Watch *watch;
    WatchSubject *next, *previous; /* the watch's list */
    bool closed;
    void *userdata;
    char id[16];
    CgroupGroup *group; /* opened for the look alone; NULL: it could not be */
    char cgroup_path[256]; /* as /proc/PID/cgroup shows it on cgroup2 */
    pid_t pid;
    int pidfd;                 /* of its own */
    uint64_t start_time;
    uint64_t namespaces[8];    /* inodes, of the first process: user pid mnt ipc uts cgroup time net */
    uint32_t id_base;
    uint64_t capabilities;
    bool seccomp, image_only;
    char apparmor_label[256], selinux_label[256]; /* as attestation compares them; empty: none expected */
    SandboxNetwork network;
    NetworkPort *ports;
    size_t n_ports;
    _Atomic uint64_t cpu_quota_per_sec_usec;
    int upper_fd, lower_fd;
    uint64_t mounts[WATCH_MOUNTS_MAX]; /* ids, as statx tells them, of its mounts from which something can be executed */
    size_t n_mounts;
    uint64_t root_mount, usr_mount; /* of them: the overlay at /, and that of the image `host` at /usr (0: none) */
    int calls_fd;
    FindingAction actions[_FINDING_KIND_MAX];
    atomic_uint_fast64_t dropped;
    LookMemory *memory;
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
    int pidfd;   /* -EBADF: not known */
    int file_fd; /* -EBADF */
    uint64_t time_usec;
    struct seccomp_data call;
    int call_errno;
    uint64_t count;
} Sighting;

/* watch.c */
WatchSubject *watch_subject_ref(WatchSubject *s);
WatchSubject *watch_subject_unref(WatchSubject *s);
DEFINE_CLEANUP(WatchSubject, watch_subject_unref)
bool watch_wants(const WatchSubject *s, FindingKind k);
/* Hands F over to the loop, or counts it as dropped. From the look. */
void watch_report(WatchSubject *s, Finding *consume_finding);
/* The subject that HOST_PID's cgroup is, with a reference; NULL: none of ours. */
WatchSubject *watch_subject_of(Watch *w, pid_t host_pid);

/* evidence.c: fills in what /proc says of the process HOST_PID (program included unless it is there already). Fields that
 * cannot be had stay empty. PIDFD >= 0: what was read before the process ended is kept only if it was still it. */
int evidence_collect(const WatchSubject *s, pid_t host_pid, int pidfd, Finding *f);
/* Size and SHA-256 of FILE_FD, and its identity. */
void evidence_hash(int file_fd, Finding *f);
void evidence_set(Finding *f, const char *format, ...) _printf_(2, 3);

/* foreign.c */
typedef enum Origin {
    ORIGIN_IMAGE,     /* the image holds it, as it is */
    ORIGIN_CHANGED,   /* the image holds a file of this name, with another content */
    ORIGIN_LAYER,     /* in the writable layer */
    ORIGIN_MOUNT,     /* on a tmpfs or volume */
    ORIGIN_MEMFD,
    ORIGIN_DELETED,   /* of the layer or a mount, and has no name any more */
    ORIGIN_ELSEWHERE, /* on none of the container's mounts */
} Origin;
/* PATH (of size PATH_MAX, may be NULL): as the container sees it, or "memfd:NAME". */
Origin foreign_origin(const WatchSubject *s, int file_fd, char *path);
const char *foreign_describe(Origin o); /* "the writable layer", "a tmpfs or volume", ... */

/* look.c and look-*.c: from the look's thread only. Once a second. */
typedef struct LookHost LookHost; /* what it knows of the host's processes */
int look_new(Watch *w, LookHost **ret);
LookHost *look_free(LookHost *h);
/* All subjects (each with a reference held by the caller) and all processes of the host. */
void look_at_all(LookHost *h, WatchSubject *const *subjects, size_t n);
void look_memory_free(LookMemory *m);
/* disguise.c: does the process's name belong to the kernel or to another program? Reports it. */
void disguise_look(WatchSubject *s, pid_t host_pid);
/* preload.c */
void preload_look(WatchSubject *s, pid_t host_pid);
