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
#define CGROUP_PIDS_MIN      1ULL
#define CGROUP_PIDS_DEFAULT  1024ULL

/* Each value is CGROUP_LIMIT_NONE where there is no limit. */
typedef struct CgroupLimits {
    uint64_t memory;                 /* bytes */
    uint64_t cpu_quota_per_sec_usec; /* µs of CPU time per second */
    uint64_t pids;                   /* tasks */
} CgroupLimits;

#define CGROUP_LIMITS_INIT ((CgroupLimits){ CGROUP_LIMIT_NONE, CGROUP_LIMIT_NONE, CGROUP_PIDS_DEFAULT })

typedef struct CgroupGroup CgroupGroup;

/*
 * Is every limit that is set within its range, and its controller there? ERROR_INVALID_SPEC with "limits.memory" and the
 * like as subject, ERROR_LIMIT_UNAVAILABLE with the controller. The default of `pids` counts as set: on a host without
 * pids the caller makes it CGROUP_LIMIT_NONE.
 */
int cgroup_limits_check(const CgroupHierarchies *h, const CgroupLimits *l, Error *reterr);

/* Writes every limit that is set and reads it back. A limit whose controller the host lacks: ERROR_LIMIT_UNAVAILABLE.
 * A former limit is lifted where there is to be none now. */
int cgroup_limits_apply(CgroupGroup *g, const CgroupLimits *limits, Error *reterr);

/* Reads what is in force now, in the units above. */
int cgroup_limits_read(CgroupGroup *g, CgroupLimits *ret, Error *reterr);
