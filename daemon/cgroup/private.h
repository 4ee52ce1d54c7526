/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What the files of daemon/cgroup know of each other's objects; nobody else includes this.
 *
 * CgroupHierarchies does not change once it is open, and a CgroupGroup belongs to one container: so workers may use
 * different groups, and a worker and the loop the same one, with no lock. The exceptions are named below.
 */

#include "cgroup/group.h"

/* cpu, memory, pids and blkio, each on a hierarchy of its own */
#define CGROUP_V1_MAX 4U

/* Files whose fds a group keeps for reading its usage. */
typedef enum CgroupUsageFile {
    CGROUP_FILE_CPU_STAT,
    CGROUP_FILE_CPU_STAT_V1,
    CGROUP_FILE_MEMORY_CURRENT,
    CGROUP_FILE_MEMORY_PEAK,
    CGROUP_FILE_MEMORY_STAT,
    CGROUP_FILE_MEMORY_LIMIT,
    CGROUP_FILE_MEMORY_EVENTS,
    CGROUP_FILE_PIDS_CURRENT,
    CGROUP_FILE_PIDS_LIMIT,
    _CGROUP_USAGE_FILE_MAX,
} CgroupUsageFile;

/* Our directory on one hierarchy. */
typedef struct CgroupSubtree {
    int fd, parent_fd;
    char *name; /* of it in parent_fd */
    char *path; /* as /proc/PID/cgroup shows it */
} CgroupSubtree;

typedef struct CgroupV1Hierarchy {
    unsigned controllers; /* bits of CgroupController */
    CgroupSubtree subtree;
} CgroupV1Hierarchy;

struct CgroupHierarchies {
    CgroupSubtree unified;
    int shared_fd; /* see cgroup_hierarchies_shared_fd() */
    CgroupV1Hierarchy v1[CGROUP_V1_MAX];
    size_t n_v1;
    CgroupVersion versions[_CGROUP_CONTROLLER_MAX];
    const char *missing[_CGROUP_CONTROLLER_MAX]; /* why, where the version is CGROUP_MISSING */
    bool is_unified;
};

typedef struct CgroupV1Group {
    int fd;       /* -EBADF: was not there when the group was opened */
    int procs_fd; /* cgroup.procs, for writing */
} CgroupV1Group;

struct CgroupGroup {
    const CgroupHierarchies *hierarchies; /* outlives the group */
    char *id, *path;
    int fd;
    CgroupV1Group v1[CGROUP_V1_MAX];
    bool fresh;                            /* no limit was ever written: only whoever applies limits looks at it */
    int usage_fds[_CGROUP_USAGE_FILE_MAX]; /* opened by the first reading: the loop's */
};

/* The v1 names, where they differ from cgroup_controller_name(); "blkio" for CGROUP_IO. */
const char *cgroup_controller_v1_name(CgroupController c);
/* The directory of the group that has the controller, in either version; -ENODEV if it is missing. */
int cgroup_group_controller_fd(const CgroupGroup *g, CgroupController c);
