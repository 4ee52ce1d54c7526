/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The detectors of rogue processes.
 *
 * Two threads of the daemon's own, beside the loop. One takes in what the kernel tells at the moment it happens: files
 * that are opened to be executed (fanotify, on the mounts of containers alone), programs that were executed and processes
 * that renamed themselves (process connector), system calls that a profile refuses (seccomp's notifications, which it
 * answers at once, at most so many a second for each container). It decides nothing that takes time. The other one makes
 * findings of that, with evidence from /proc and a hash of the program, and looks at every container once a second: which
 * processes are there by each way of asking, what they are, what sockets they have.
 *
 * Findings are handed to the loop over a queue with an end; what does not fit is counted, for each container, and never
 * waited for. Nothing here acts: it finds. Actions and removal (removal.h) are for whoever owns the container.
 *
 * Trust: everything that is read here is hostile but for what the kernel itself says. Decisions rest on inodes, mounts,
 * cgroups, credentials; never on what a pointer argument pointed at.
 */

#include "cgroup/hierarchies.h"
#include "network/network.h"
#include "sandbox/sandbox.h"
#include "watch/finding.h"

#include <systemd/sd-event.h>

typedef struct Watch Watch;
typedef struct WatchSubject WatchSubject; /* one container */

/* In the loop. FINDING is the callee's. USERDATA: the subject's. */
typedef void (*WatchFound)(void *userdata, Finding *consume_finding);

typedef struct WatchConfig {
    sd_event *event;
    SandboxHost *sandbox;
    CgroupHierarchies *hierarchies;
    WatchFound found;
    unsigned forks_per_second; /* FINDING_FORK_STORM: new processes of one container, two seconds running */
    unsigned cpu_seconds;      /* FINDING_CPU: for how long a container used all that its quota gives it */
    unsigned calls_per_second; /* refused system calls of one container that are answered in a second */
} WatchConfig;
#define WATCH_FORKS_PER_SECOND 500U
#define WATCH_CPU_SECONDS      60U
#define WATCH_CALLS_PER_SECOND 500U

/* Succeeds also where the kernel lacks something: watch_missing() says what. */
int watch_new(const WatchConfig *config, Watch **ret, Error *reterr);
/* Ends the threads. No subject may be left. */
Watch *watch_free(Watch *w);
DEFINE_CLEANUP(Watch, watch_free)
/* Why a detector sees nothing on this host; NULL: it works. For Info. */
const char *watch_missing(const Watch *w, FindingKind kind);

/* What the detectors hold a container's processes against. Pointers are borrowed for the call; fds are taken over. */
typedef struct WatchSubjectSpec {
    void *userdata; /* for found() */
    const char *id;
    pid_t pid;                  /* its first process, which a pidfd of the caller's keeps from being another */
    int pidfd;                  /* borrowed */
    const SandboxSpec *sandbox; /* id_base, network, image_only, capabilities, labels, mounts' targets */
    bool seccomp;               /* it has a filter */
    bool runs; /* it has been running, and nobody watched: what runs in it is looked at once, all of it */
    /* The directory `upper` of its writable layer, and its image (of the image `host`: what is below its root). -EBADF: not
     * known any more. Without the first the image's content decides, file by file; without both everything on the root
     * counts as the image's, and what was dropped or changed there escapes. */
    int upper_fd, lower_fd;
    int calls_fd; /* seccomp's listener; -EBADF: none */
    const NetworkPort *ports;
    size_t n_ports;
    uint64_t cpu_quota_per_sec_usec;          /* UINT64_MAX: none */
    FindingAction actions[_FINDING_KIND_MAX]; /* what is OFF is not looked for */
} WatchSubjectSpec;

/*
 * Begins to watch. From any thread; best at the exec stop, before the first instruction of the program, so that nothing is
 * missed. At most some ten system calls. -errno: it is not watched.
 */
int watch_subject_new(Watch *w, WatchSubjectSpec *consume_spec, WatchSubject **ret);
/* When this returns, found() is not called for it any more. From the loop, or where the start's thread undoes its work. */
WatchSubject *watch_subject_free(WatchSubject *s);
DEFINE_CLEANUP(WatchSubject, watch_subject_free)

/* A program of Exec's, which has a filter and a listener of its own. From any thread. */
int watch_subject_add_calls(WatchSubject *s, int consume_fd);
/* Limits have changed. */
void watch_subject_set_cpu_quota(WatchSubject *s, uint64_t quota_per_sec_usec);
/* As watch_missing(), in this container. */
const char *watch_subject_missing(const WatchSubject *s, FindingKind kind);
/* Findings that did not fit into the queue, and looks at processes that did not answer, so far. */
uint64_t watch_subject_dropped(const WatchSubject *s);
