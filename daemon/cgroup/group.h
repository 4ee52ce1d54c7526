/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * One container's cgroup: a directory on cgroup2, and one of the same name on each v1 hierarchy in use.
 *
 * A process is born into the cgroup2 group (CLONE_INTO_CGROUP with cgroup_group_fd()), and put into the v1 groups by
 * cgroup_group_attach() before it is let go. Every operation is by fds that were opened when the group was made.
 */

#include "cgroup/hierarchies.h"
#include "util/check.h"

#include <sys/types.h>

typedef struct CgroupGroup CgroupGroup;

/* Makes the groups. -EEXIST if there is one of this name. On failure nothing is left. */
int cgroup_group_create(CgroupHierarchies *h, const char *id, CgroupGroup **ret, Error *reterr);
/* Finds those of a container that a former daemon started; -ENOENT if the cgroup2 group is gone. */
int cgroup_group_open(CgroupHierarchies *h, const char *id, CgroupGroup **ret, Error *reterr);
/* Closes; removes nothing. */
CgroupGroup *cgroup_group_free(CgroupGroup *g);
DEFINE_CLEANUP(CgroupGroup, cgroup_group_free)

const char *cgroup_group_path(const CgroupGroup *g); /* as /proc/PID/cgroup shows it on cgroup2 */
int cgroup_group_fd(const CgroupGroup *g);           /* the directory on cgroup2 */
int cgroup_group_attach(CgroupGroup *g, pid_t pid, Error *reterr);

/* Is PID in this group on every hierarchy in use? 1, 0, -ESRCH. REASON (may be NULL) names the first that differs. */
int cgroup_group_holds(CgroupGroup *g, pid_t pid, Error *reason);

/* A row for each hierarchy in use, and where PID is on it: exactly this group. -ESRCH. */
int cgroup_group_attest(CgroupGroup *g, pid_t pid, CheckList *checks);

int cgroup_group_kill(CgroupGroup *g); /* cgroup.kill: every process, also one forked meanwhile */
/* Freezes or thaws and waits until cgroup.events says so; -ETIMEDOUT after TIMEOUT_USEC. May block: a worker's job. */
int cgroup_group_freeze(CgroupGroup *g, bool freeze, uint64_t timeout_usec);
int cgroup_group_is_frozen(CgroupGroup *g);    /* 1, 0 or -errno */
int cgroup_group_is_populated(CgroupGroup *g); /* 1, 0 or -errno */
/* All pids (host's), terminated by 0, to be freed. */
int cgroup_group_pids(CgroupGroup *g, pid_t **ret, size_t *ret_n);

/* The first half of cgroup_group_remove(): afterwards nothing is counted any more. May block: a worker's job. */
int cgroup_group_empty(CgroupGroup *g, uint64_t timeout_usec, Error *reterr);
/*
 * Kills what is left, waits until the group is empty and removes it everywhere. -EBUSY if something in it does not die
 * within TIMEOUT_USEC (a task in D state); then it may be called again. May block: a worker's job.
 */
int cgroup_group_remove(CgroupGroup *g, uint64_t timeout_usec, Error *reterr);
