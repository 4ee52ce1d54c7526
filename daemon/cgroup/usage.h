/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What a container has used, read by pread from fds that the group keeps open. One table gives for each counter its
 * file, key and unit in either version. A counter that the host does not have is CGROUP_UNKNOWN and its reason is in
 * `reasons`; it is never 0.
 */

#include "cgroup/group.h"

#define CGROUP_UNKNOWN UINT64_MAX

/* In the order of the interface's Sample, group after group. */
typedef enum CgroupCounter {
    CGROUP_CPU_USAGE_USEC,
    CGROUP_CPU_USER_USEC,
    CGROUP_CPU_SYSTEM_USEC,
    CGROUP_CPU_PERIODS,           /* enforcement periods in which it wanted to run */
    CGROUP_CPU_THROTTLED_PERIODS, /* those in which its quota ran out */
    CGROUP_CPU_THROTTLED_USEC,
    CGROUP_MEMORY_CURRENT,
    CGROUP_MEMORY_PEAK,
    CGROUP_MEMORY_WORKING_SET, /* current less inactive file pages, which the kernel can drop at once; 0 at least */
    CGROUP_MEMORY_ANON,
    CGROUP_MEMORY_FILE, /* page cache, shmem included */
    CGROUP_MEMORY_SHMEM,
    CGROUP_MEMORY_KERNEL,
    CGROUP_MEMORY_INACTIVE_FILE,
    CGROUP_MEMORY_SWAP,
    CGROUP_MEMORY_LIMIT,    /* CGROUP_UNKNOWN with an empty reason: no limit */
    CGROUP_MEMORY_HIGH,     /* times it went above memory.high and was slowed down */
    CGROUP_MEMORY_MAX,      /* times it was about to go above the limit */
    CGROUP_MEMORY_OOM,      /* times nothing could be reclaimed */
    CGROUP_MEMORY_OOM_KILL, /* processes killed */
    CGROUP_PIDS_CURRENT,
    CGROUP_PIDS_PEAK,
    CGROUP_PIDS_LIMIT,
    CGROUP_PIDS_REFUSED,  /* forks that failed because of the limit */
    CGROUP_IO_READ_BYTES, /* sums of all devices */
    CGROUP_IO_WRITE_BYTES,
    CGROUP_IO_READS, /* operations */
    CGROUP_IO_WRITES,
    CGROUP_PRESSURE_CPU_SOME_USEC, /* time in which at least one task waited */
    CGROUP_PRESSURE_CPU_FULL_USEC, /* time in which all did */
    CGROUP_PRESSURE_MEMORY_SOME_USEC,
    CGROUP_PRESSURE_MEMORY_FULL_USEC,
    CGROUP_PRESSURE_IO_SOME_USEC,
    CGROUP_PRESSURE_IO_FULL_USEC,
    _CGROUP_COUNTER_MAX,
} CgroupCounter;

#define CGROUP_IO_DEVICES_MAX 32U

typedef struct CgroupIoUsage {
    uint32_t major, minor;
    uint64_t read_bytes, write_bytes, reads, writes;
} CgroupIoUsage;

typedef struct CgroupUsage {
    uint64_t values[_CGROUP_COUNTER_MAX];
    const char *reasons[_CGROUP_COUNTER_MAX]; /* static text, NULL where the value is known */
    /* Devices with anything counted, in the kernel's order. Of more than these the sums still hold all. */
    CgroupIoUsage devices[CGROUP_IO_DEVICES_MAX];
    size_t n_devices;
} CgroupUsage;

/* "cpu.usageUsec", "pressure.cpu.someUsec": group, or group and subgroup, and field, as in the interface. */
const char *cgroup_counter_name(CgroupCounter c);

/*
 * Never blocks but for the kernel's own work, never fails: some 15 preads. A limit is read from the kernel only once
 * after each change (cgroup_limits_apply() says so to the group), since nobody else changes it.
 */
void cgroup_usage_read(CgroupGroup *g, CgroupUsage *ret);
/* Only the files that have one of the N WANTED counters; the rest of RET is not set. Limits cannot be had so. */
void cgroup_usage_read_some(CgroupGroup *g, const CgroupCounter *wanted, size_t n, CgroupUsage *ret);
