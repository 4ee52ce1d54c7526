/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Removes exactly one process, or it and its descendants, from a container that runs on.
 *
 * The container is frozen, so that nothing in it forks, execs or exits meanwhile; the pidfd is opened and then everything
 * that made it the right one is read again: pid, start time, cgroup. Then SIGKILL goes to pidfds, and the container is
 * thawed (unless it was frozen before), because what is killed in a frozen cgroup dies there at once or when it thaws,
 * depending on the kernel. What does not die in time is in the kernel: its wait channel is told. Blocks: a worker's job.
 */

#include "cgroup/group.h"
#include "watch/finding.h"

/* Which process. start_time 0: whoever has the number now. */
typedef struct RemovalTarget {
    pid_t host_pid;
    pid_t pid;           /* in the container's namespace, instead: host_pid 0 */
    uint64_t start_time; /* field 22 of /proc/PID/stat */
} RemovalTarget;

typedef struct Removal {
    CgroupGroup *group; /* opened by the caller for this alone */
    pid_t first_pid;    /* the container's first process: spared */
    bool frozen;        /* it is frozen already, and stays so */
    bool descendants;
    uint64_t timeout_usec; /* for freezing, and for dying */
    /* Called while it is frozen and before it is killed, with the checked process; may be NULL. */
    void (*evidence)(void *userdata, pid_t host_pid, int pidfd);
    void *userdata;
} Removal;

/*
 * 0 and *RET, which has its outcome; -ESRCH if there is no such process in the container (RECEIPT_GONE if a start time was
 * given and it does not match any more); another -errno if nothing was killed, with REASON.
 */
int removal_run(const Removal *r, const RemovalTarget *target, Receipt *ret, Error *reason);
/* Kills everything in GROUP until it is empty, whatever forks. */
int removal_run_all(CgroupGroup *group, uint64_t timeout_usec, Receipt *ret, Error *reason);
