/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * A container's cgroup says when a limit has struck. cgroup2 tells by its files memory.events and pids.events, which
 * poll() reports as EPOLLPRI; v1 by an eventfd for the memory controller's OOM, with a timer that makes the caller look
 * once more when the kill is done, and by its own pids.events, which kernels since 6.11 no longer notify of. A host that
 * has no notice for something has it in the counters of cgroup_usage_read() all the same.
 */

#include "cgroup/group.h"

#include <sys/epoll.h>

#define CGROUP_EVENT_SOURCES_MAX 4U

typedef struct CgroupEventSource {
    int fd;          /* owned by the group; stays readable or exceptional until cgroup_events_acknowledge() */
    uint32_t events; /* to wait for, as epoll(7) has them */
} CgroupEventSource;

/* What has happened so far; CGROUP_UNKNOWN where the host does not count it. */
typedef struct CgroupEvents {
    uint64_t memory_high, memory_max, memory_oom, memory_oom_kill, pids_refused;
} CgroupEvents;

/* Opens what there is to wait for. Returns their number, which may be 0; negative errno if none could be opened. */
int cgroup_events_open(CgroupGroup *g, CgroupEventSource ret[CGROUP_EVENT_SOURCES_MAX]);
/* One of them has fired: takes the notice, so that the next one is told apart. */
void cgroup_events_acknowledge(CgroupGroup *g, int fd);
/* Two or three preads. */
void cgroup_events_read(CgroupGroup *g, CgroupEvents *ret);
