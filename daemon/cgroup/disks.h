/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What the I/O controller has to know of the host's disks, from /sys. */

#include "cgroup/hierarchies.h"

#include <pthread.h>

/* 0 if MAJOR:MINOR is a whole disk, -ENODEV if there is no such block device, -ENOTBLK if it is a partition of RET. */
int cgroup_disks_find(uint32_t major, uint32_t minor, uint32_t ret[static 2]);
/* Has any disk the scheduler bfq, which shares it by weight? */
bool cgroup_disks_use_bfq(void);

/* The disks whose I/O cgroup v1 counts already. Any thread's; all zero is a good one. */
typedef struct CgroupCountedDisks {
    pthread_mutex_t lock;
    uint64_t *known; /* sorted inode numbers of entries of /sys/block, which no later disk of the same name inherits */
    size_t n_known;
    uint64_t sequence; /* the kernel's count of events about devices when that was all; 0: it was not */
} CgroupCountedDisks;

/*
 * Makes cgroup v1 count the I/O of every disk. Since 6.10 the kernel sets up a disk's throttling, and with it the
 * counters of blkio.throttle.*, when somebody first limits it; "no limit" is limit enough. DIR_FD is a group of ours on
 * blkio. Where nothing has happened to any device since the last call this is one small read. For a disk's first time
 * since boot the kernel stops its queue for some 20 ms; what would take longer than half a second in all is left for
 * later calls. May block: a worker's job.
 */
void cgroup_disks_start_counting(CgroupCountedDisks *c, int dir_fd);
void cgroup_disks_done(CgroupCountedDisks *c);
