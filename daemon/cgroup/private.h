/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What the files of daemon/cgroup know of each other's objects; nobody else includes this.
 *
 * CgroupHierarchies does not change once it is open, and a CgroupGroup belongs to one container: so workers may use
 * different groups, and a worker and the loop the same one, with no lock. The exceptions are named below.
 */

#include "cgroup/disks.h"
#include "cgroup/events.h"
#include "cgroup/usage.h"

#include <stdatomic.h>

/* cpu, memory, pids, blkio and cpuset, each on a hierarchy of its own */
#define CGROUP_V1_MAX 5U

/* Rows of the table of files in usage.c, for each of which a group may keep an fd. */
#define CGROUP_USAGE_FILES_MAX 40U

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
    int top_fd;    /* O_PATH, the top of cgroup2 as far as it is mounted here */
    CgroupV1Hierarchy v1[CGROUP_V1_MAX];
    size_t n_v1;
    CgroupVersion versions[_CGROUP_CONTROLLER_MAX];
    const char *missing[_CGROUP_CONTROLLER_MAX]; /* why, where the version is CGROUP_MISSING */
    char unusable[_CGROUP_CONTROLLER_MAX][192];  /* the text of some of these */
    CgroupCountedDisks counted_disks;            /* v1: any thread's */
    /* Fds of all groups that are kept for reading usage, and how many there may be: the rest is opened for each reading,
     * so that a host of many containers runs slower rather than out of descriptors. Any thread's. */
    atomic_uint n_kept;
    unsigned kept_max;
    bool is_unified;
    bool lacks_memsw_failcnt; /* v1: kernel 6.15 or later, whose memory.memsw.failcnt does not count */
};

typedef struct CgroupV1Group {
    int fd; /* -EBADF: was not there when the group was opened */
} CgroupV1Group;

struct CgroupGroup {
    CgroupHierarchies *hierarchies; /* outlives the group */
    char *id, *path;
    int fd;
    CgroupV1Group v1[CGROUP_V1_MAX];
    int usage_fds[CGROUP_USAGE_FILES_MAX]; /* opened by the first reading, negative errno: there is none. The loop's */
    int event_fds[CGROUP_EVENT_SOURCES_MAX];
    atomic_bool limits_changed; /* a worker sets it after it has written limits, the loop takes it and reads them */
    /* the loop's: CGROUP_MEMORY_LIMIT and CGROUP_PIDS_LIMIT, as last read */
    uint64_t limits_read[_CGROUP_COUNTER_MAX];
    const char *limits_reasons[_CGROUP_COUNTER_MAX];
};

/* The v1 names, where they differ from cgroup_controller_name(); "blkio" for CGROUP_IO. */
const char *cgroup_controller_v1_name(CgroupController c);
/* The directory of the group that has the controller, in either version; -ENODEV if it is missing. */
int cgroup_group_controller_fd(const CgroupGroup *g, CgroupController c);
/* The same of the subtree in which all groups are. */
int cgroup_hierarchies_controller_fd(const CgroupHierarchies *h, CgroupController c);
/* The CPUs that containers may have, without newline. Returns the text's length. */
ssize_t cgroup_hierarchies_cpus(const CgroupHierarchies *h, char *buffer, size_t size);

/* Closes the one that is kept for the file. */
void cgroup_usage_forget(CgroupGroup *g, size_t file);
/* Reads only the files of what CgroupEvents has; the rest of RET is not set. */
void cgroup_usage_read_events(CgroupGroup *g, CgroupUsage *ret);
typedef enum CgroupIoFormat {
    CGROUP_IO_STAT,     /* cgroup2: "8:0 rbytes=1 wbytes=2 rios=3 wios=4 ..." */
    CGROUP_IO_V1_BYTES, /* v1: "8:0 Read 1", "8:0 Write 2" */
    CGROUP_IO_V1_OPERATIONS,
} CgroupIoFormat;
/* Adds what the file FD says to the devices and sums of U. -EFBIG beyond CGROUP_IO_TEXT_MAX bytes. */
#define CGROUP_IO_TEXT_MAX (1024U * 1024U)
int cgroup_usage_add_io(int fd, CgroupIoFormat format, CgroupUsage *u);
