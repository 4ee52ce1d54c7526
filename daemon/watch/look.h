/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What the files of the look share; nobody else includes this. Functions that say so are pure: they are what unit tests
 * feed with views that differ.
 */

#include "watch/internal.h"
#include "watch/sockets.h"

#define LOOK_FULL_USEC       5000000ULL /* every process is looked at whole at least that often, or in turn */
#define LOOK_FULL_MAX        200U       /* a look, of all containers */
#define LOOK_FULL_OF_ONE_MAX 64U        /* a look, of one container: a fork storm in it hides no other */
#define LOOK_SURPLUS_LOOKS   3U
#define LOOK_TOLD_MAX        1024U
#define LOOK_OWNERS_USEC     100000U /* a look, for seeking the owners of sockets, of all containers */

/* One process of a container. */
typedef struct LookProcess {
    pid_t pid;
    uint64_t inode; /* of /proc/PID: another process, or one that the kernel had forgotten there, has another */
    uint64_t start_time, looked_usec;
    pid_t inner_pid;
    uint64_t program_dev, program_ino; /* of which DELETED_PROGRAM has been told, or FOREIGN_PROGRAM asked for */
    bool differs, hidden;              /* has been told */
    bool again;                        /* looked at once: what it does first may have come after that */
} LookProcess;

typedef struct LookProcesses {
    LookProcess *items; /* by pid */
    size_t n;
} LookProcesses;

/* Tasks that the kernel counts and no list shows. */
typedef struct LookSurplus {
    uint64_t last;
    unsigned looks;
    bool told;
} LookSurplus;

typedef struct LookForks {
    uint64_t newest_start; /* the youngest process that was ever seen, by its start and number */
    pid_t newest_pid;
    bool known;
    pid_t previous_pid; /* that at the last look */
    uint64_t previous_usec;
    unsigned looks; /* above the bound, in a row */
    bool told;
} LookForks;

typedef struct LookCpu {
    bool known;
    uint64_t usage, periods, throttled, time_usec;
    uint64_t busy_usec; /* for how long it has used all it may */
    bool told;
} LookCpu;

struct LookMemory {
    LookProcesses processes;
    pid_t next; /* with whom the turn goes on */
    bool seen;  /* not the first look */
    LookSurplus surplus;
    LookForks forks;
    LookCpu cpu;
    uint64_t told[LOOK_TOLD_MAX]; /* hashes of sockets that were told */
    size_t n_told;
    uint64_t unkept; /* sockets that there was no room for at the last look */
};

/* One process of the host that is in no container's cgroup. */
typedef struct LookStranger {
    pid_t pid;
    uint64_t inode, judged_usec;
    bool told, waits; /* waits: ours, perhaps on its way; a second look decides */
} LookStranger;

typedef struct LookPids {
    pid_t *items; /* ascending */
    size_t n, room;
} LookPids;

struct LookHost {
    Watch *watch;
    int proc_fd, list_fd;
    uint64_t namespaces[8];
    uint64_t program_dev, program_ino; /* the daemon's own */
    pid_t pid_max;
    uint64_t ticks_per_second;
    LookPids listed; /* /proc at the beginning of this look */
    LookPids again;  /* once more, if something asked for it */
    bool has_again;
    LookStranger *strangers;
    size_t n_strangers;
    pid_t next_number, highest; /* of the direct look-ups */
    pid_t last_number;          /* the last that the host gave, by /proc/loadavg */
    uint64_t last_usec;
    bool storm;                         /* more was forked on the host than one container may */
    unsigned budget;                    /* whole looks that are left */
    uint64_t owners_usec, owners_until; /* for seeking owners: what is left in this look, and until when for this one */
    uint64_t now;
};

static inline uint64_t look_hash(uint64_t h, uint64_t v) {
    h = (h ^ v) * 0x9E3779B97F4A7C15ULL;
    return h ^ (h >> 29);
}

/* look.c. Opens HOST_PID (0: none), collects evidence of it and reports. False: it has gone, nothing was told. */
_printf_(5, 6) bool look_tell(WatchSubject *s, FindingKind k, FindingSeverity severity, pid_t host_pid,
                              const char *format, ...);
int look_list(LookHost *h, LookPids *ret);
const LookPids *look_list_again(LookHost *h); /* NULL: it could not be read */
bool look_has(const LookPids *l, pid_t pid);
bool look_is_of(const LookHost *h, const WatchSubject *s, pid_t pid); /* by its cgroup on cgroup2 */
ssize_t look_read_at(int dir_fd, const char *name, char *buffer, size_t size);
uint64_t look_link_number(int dir_fd, const char *name); /* of "pid:[4026531836]"; 0: cannot be had */
int look_open(const LookHost *h, pid_t pid);             /* /proc/PID */
/* A thread of DIR_FD's process that has not ended, where its first one has: /proc/PID then shows nothing of the process but
 * its numbers. -ESRCH: there is none. */
int look_open_thread(int dir_fd);
/* /proc/PID, or that of such a thread. Start time and inner pid are the first one's. */
int look_open_living(const LookHost *h, pid_t pid);

/* look-processes.c: what a member is, beside what its container's processes are to be. */
typedef struct LookCredentials {
    char state;
    bool has_ids;
    uint32_t ids[8]; /* real, effective, saved, file system's; uids, then gids */
    uint64_t capabilities[5];
    unsigned no_new_privs, seccomp;
    pid_t inner_pid, tracer;
    uint64_t namespaces[8]; /* 0: cannot be had */
    char apparmor_label[256], selinux_label[256];
} LookCredentials;
bool look_parse_status(const char *status, LookCredentials *ret);
uint64_t look_start_time(int dir_fd); /* field 22 of stat; 0: it has gone */
/* Pure. What differs, in words in TEXT; false: nothing. HOST: the daemon's own namespaces. */
bool look_differs(const WatchSubject *s, const LookCredentials *c, const uint64_t host[static 8], char *text,
                  size_t size);
void look_at_members(LookHost *h, WatchSubject *s, const pid_t *pids, size_t n);
/* look-strangers.c: who is in a container without being in its cgroup. */
void look_at_strangers(LookHost *h, WatchSubject *const *subjects, size_t n, const LookPids *members);

/* look-cross.c */
/* Pure. Those of ALL that LISTED has not; both ascending. RET has room for all. */
size_t look_missing(const pid_t *all, size_t n_all, const pid_t *listed, size_t n_listed, pid_t *ret);
/* Pure. Is it the time to tell of a surplus of CURRENT over TASKS? */
bool look_surplus(LookSurplus *s, uint64_t current, uint64_t tasks);
void look_cross(LookHost *h, WatchSubject *s, const pid_t *pids, size_t n);
/* Numbers that no list shows. MEMBERS: of all subjects. */
void look_up_numbers(LookHost *h, WatchSubject *const *subjects, size_t n, const LookPids *members);

/* look-load.c */
/* Pure. How many numbers lie between two that were given in this order. */
uint64_t look_numbers_between(pid_t from, pid_t to, pid_t pid_max);
void look_forks_see(LookForks *f, uint64_t start_time, pid_t inner_pid, pid_t pid_max);
bool look_forks(LookForks *f, uint64_t now, pid_t pid_max, unsigned per_second, uint64_t *ret_rate);
bool look_cpu(LookCpu *c, uint64_t now, uint64_t usage, uint64_t periods, uint64_t throttled, uint64_t quota,
              unsigned seconds);
void look_at_load(LookHost *h, WatchSubject *s);
void look_at_host_load(LookHost *h);

/* look-network.c */
/* Pure. Is it one that can be reached from other hosts, and none of the published ports? */
bool look_is_unnamed_listener(const SocketsEntry *e, const NetworkPort *ports, size_t n_ports);
/* Pure. Did the container begin this connection, to somebody outside? LISTENS: it listens on this TCP port. */
bool look_is_outbound(const SocketsEntry *e, bool (*listens)(void *userdata, uint16_t port), void *userdata);
void look_at_network(LookHost *h, WatchSubject *s, const pid_t *pids, size_t n);
