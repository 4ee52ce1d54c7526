/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Limits of a container's cgroup, and the one table that says for each limit its controller, file and format in either
 * version of the cgroup interface (Documentation/admin-guide/cgroup-v2.rst and cgroup-v1/).
 */

#include "cgroup/hierarchies.h"

#define CGROUP_LIMIT_NONE UINT64_MAX

#define CGROUP_MEMORY_MIN    (4ULL * 1024 * 1024)
#define CGROUP_CPU_QUOTA_MIN 10000ULL /* 1 % of a CPU, the kernel's own least at a period of 100 ms */
#define CGROUP_WEIGHT_MIN    1ULL
#define CGROUP_WEIGHT_MAX    10000ULL /* cgroup2's range; 100 is what a group has that nobody gave a weight */
#define CGROUP_PIDS_MIN      1ULL
#define CGROUP_PIDS_DEFAULT  1024ULL
#define CGROUP_BPS_MIN       4096ULL /* less than a page a second stalls whoever waits for one */
#define CGROUP_IOPS_MIN      2ULL    /* io.max refuses 1 */
#define CGROUP_DEVICES_MAX   16U
#define CGROUP_CPUSET_MAX    256U /* bytes of a list of CPUs, terminated */

/* Rates of one block device. Each is CGROUP_LIMIT_NONE where there is no limit. */
typedef struct CgroupDeviceLimits {
    uint32_t major, minor;          /* of a whole disk: the kernel counts and limits no partitions */
    uint64_t read_bps, write_bps;   /* bytes per second */
    uint64_t read_iops, write_iops; /* operations per second */
} CgroupDeviceLimits;

/* Each number is CGROUP_LIMIT_NONE where there is no limit. */
typedef struct CgroupLimits {
    uint64_t memory;                 /* bytes */
    uint64_t memory_swap;            /* bytes of memory and swap together; 0: as much as `memory`, so no swap at all */
    uint64_t memory_high;            /* bytes, above which the container is slowed down and its memory reclaimed */
    uint64_t cpu_quota_per_sec_usec; /* µs of CPU time per second */
    uint64_t cpu_weight;             /* 1 to 10,000 */
    uint64_t pids;                   /* tasks */
    uint64_t io_weight;              /* 1 to 10,000 */
    char cpuset[CGROUP_CPUSET_MAX];  /* as cgroup_cpuset_normalize() leaves it: "0-3,6"; empty: no limit */
    CgroupDeviceLimits devices[CGROUP_DEVICES_MAX];
    size_t n_devices;
} CgroupLimits;

#define CGROUP_LIMITS_NONE                                                                                             \
    ((CgroupLimits){                                                                                                   \
        .memory = CGROUP_LIMIT_NONE,                                                                                   \
        .memory_high = CGROUP_LIMIT_NONE,                                                                              \
        .cpu_quota_per_sec_usec = CGROUP_LIMIT_NONE,                                                                   \
        .cpu_weight = CGROUP_LIMIT_NONE,                                                                               \
        .pids = CGROUP_LIMIT_NONE,                                                                                     \
        .io_weight = CGROUP_LIMIT_NONE,                                                                                \
    })
/* What a container has that asks for nothing. */
CgroupLimits cgroup_limits_default(void);

typedef struct CgroupGroup CgroupGroup;

/*
 * A list of CPUs as the kernel writes lists, "0-3,6": sorted, without overlaps, in the shortest form. -EINVAL if TEXT is
 * no such list or empty, -ERANGE if it names a CPU beyond the kernel's 8,192, -E2BIG if the result does not fit.
 */
int cgroup_cpuset_normalize(const char *text, char ret[static CGROUP_CPUSET_MAX]);

/*
 * Is every limit that is set within its range and free of contradictions, and its controller there? ERROR_INVALID_SPEC
 * with "limits.memory", "limits.ioDevices[1].device" and the like as subject, ERROR_LIMIT_UNAVAILABLE with the controller.
 * The default of `pids` counts as set: on a host without pids the caller makes it CGROUP_LIMIT_NONE.
 *
 * A control counts as there only if the kernel would enforce it: memory.high on v1 is not there (v1's soft limit is
 * something else), an I/O weight is not there unless a disk's scheduler (bfq) or the io.cost controller heeds it, swap
 * cannot be limited where the kernel does not account it.
 */
int cgroup_limits_check(const CgroupHierarchies *h, const CgroupLimits *l, Error *reterr);

/*
 * Makes LIMITS the ones in force: writes each one and reads it back, lifts what FORMER (NULL: a fresh group, which has
 * none) has and LIMITS has not. If one cannot be set, those that were changed are put back and the error is returned; so a
 * running container has the old limits or the new ones. A memory limit below what is in use, which the kernel cannot
 * reclaim, fails as ERROR_INVALID_SPEC. A limit whose controller the host lacks: ERROR_LIMIT_UNAVAILABLE.
 */
int cgroup_limits_apply(CgroupGroup *g, const CgroupLimits *former, const CgroupLimits *limits, Error *reterr);

/* Reads what is in force now, in the units above. A weight that is the kernel's default reads as CGROUP_LIMIT_NONE. */
int cgroup_limits_read(CgroupGroup *g, CgroupLimits *ret, Error *reterr);
/* The same of what is set in WANTED only; the rest of *RET is CGROUP_LIMIT_NONE. A start has to read no more. */
int cgroup_limits_read_wanted(CgroupGroup *g, const CgroupLimits *wanted, CgroupLimits *ret, Error *reterr);

/* Do two readings mean the same? Bytes of memory in whole pages, weights as v1 rounds them, devices in any order. */
bool cgroup_limits_equal(const CgroupHierarchies *h, const CgroupLimits *a, const CgroupLimits *b);
