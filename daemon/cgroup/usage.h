/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What a container has used, read by pread from fds that the group keeps open. One table gives for each counter its
 * file, key and unit in either version. A counter that the host does not have is CGROUP_UNKNOWN and its reason is in
 * `reasons`; it is never 0.
 */

#include "cgroup/group.h"

#define CGROUP_UNKNOWN UINT64_MAX

typedef enum CgroupCounter {
    CGROUP_CPU_USAGE_USEC,
    CGROUP_CPU_USER_USEC,
    CGROUP_CPU_SYSTEM_USEC,
    CGROUP_CPU_THROTTLED_USEC,
    CGROUP_CPU_THROTTLED_PERIODS,
    CGROUP_MEMORY_CURRENT,
    CGROUP_MEMORY_PEAK,
    CGROUP_MEMORY_ANON,
    CGROUP_MEMORY_FILE,
    CGROUP_MEMORY_LIMIT,    /* CGROUP_UNKNOWN with an empty reason: no limit */
    CGROUP_MEMORY_OOM_KILL, /* processes killed */
    CGROUP_PIDS_CURRENT,
    CGROUP_PIDS_LIMIT,
    _CGROUP_COUNTER_MAX,
} CgroupCounter;

typedef struct CgroupUsage {
    uint64_t values[_CGROUP_COUNTER_MAX];
    const char *reasons[_CGROUP_COUNTER_MAX]; /* static text, NULL where the value is known */
} CgroupUsage;

const char *cgroup_counter_name(CgroupCounter c); /* "cpu.usageUsec", as in the interface */
void cgroup_usage_read(CgroupGroup *g, CgroupUsage *ret);
