/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Removes exactly one process, or it and its descendants, from a container that runs on.
 *
 * The container is frozen, so that nothing in it forks, execs or exits meanwhile; the pidfd is opened and then everything
 * that made it the right one is read again: pid, start time, cgroup. Then SIGKILL goes to pidfds, and the container is
 * thawed (unless it was frozen before), because what is killed in a frozen cgroup dies there at once or when it thaws,
 * depending on the kernel. What does not die in time is in the kernel: its wait channel is told. Blocks: a worker's job.
 *
 * A group that does not freeze in time (something in it hangs in the kernel) is not spared for that: the process is checked
 * and killed as it is, and descendants are stopped one by one before they are killed. Descendants are those whose chain of
 * parents leads to it when it is frozen. One that was forked twice, whose parent has ended, belongs to the container's first
 * process by then: it is found by a finding of its own, or by killing the container.
 *
 * Who dies between freezing and thawing leaves a frozen container. So the caller puts a file `removing` into the container's
 * state directory before, unless it was paused (Removal.frozen), and removes it after; a recovery that finds it thaws the
 * container.
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
 * The process itself, for a signal: a pidfd that was opened first and then checked, *RET_HOST_PID, or -ESRCH if there is no
 * such process in the group or it has become another. FIRST_PID: the container's first process, whose namespace numbers are
 * of.
 */
int removal_open(CgroupGroup *group, pid_t first_pid, const RemovalTarget *target, pid_t *ret_host_pid);

/*
 * 0 and *RET, which has its outcome; -ESRCH if there is no such process in the container (RECEIPT_GONE if a start time was
 * given and it does not match any more); another -errno, with REASON, if nothing was killed because it cannot be told
 * whether the process is there, or if not all of its descendants could be found: then those that were are killed.
 */
int removal_run(const Removal *r, const RemovalTarget *target, Receipt *ret, Error *reason);
/* Kills everything in GROUP until it is empty, whatever forks. */
int removal_run_all(CgroupGroup *group, uint64_t timeout_usec, Receipt *ret, Error *reason);
