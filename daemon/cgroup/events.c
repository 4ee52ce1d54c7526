/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Notices of limits that have struck.
 *
 * A file of the kernel's that notifies does so once until it has been read through the same fd, so that these fds are
 * not those of usage.c, which reads each second and would take the notices away.
 *
 * v1 tells of an OOM before it chooses whom to kill: whoever looks at once may find that nobody has been killed. So the
 * notice starts a timer, which is a source too, and makes the caller look again a moment later.
 */

#include "cgroup/events.h"

#include "cgroup/files.h"
#include "cgroup/private.h"

#include <fcntl.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>

#define AGAIN_NSEC 50000000L /* a kill takes far less, unless the machine is short of CPU */

/* Slots of CgroupGroup.event_fds. */
typedef enum Source { SOURCE_MEMORY, SOURCE_PIDS, SOURCE_V1_OOM, SOURCE_V1_AGAIN, _SOURCE_MAX } Source;
_Static_assert(_SOURCE_MAX <= CGROUP_EVENT_SOURCES_MAX, "a group has too few fds");

/* The first reading only makes what has happened so far old. */
static int open_notifying_file(CgroupGroup *g, CgroupController c, const char *file) {
    char text[CGROUP_FILE_MAX];
    int dir_fd = cgroup_group_controller_fd(g, c);
    _cleanup_fd_ int fd = dir_fd < 0 ? dir_fd : openat(dir_fd, file, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return dir_fd < 0 ? dir_fd : -errno;
    ssize_t n = cgroup_file_pread(fd, text, sizeof(text));
    return n < 0 ? (int) n : TAKE_FD(fd);
}

/* "EVENTFD OOM_CONTROL" in cgroup.event_control; the registration ends with the eventfd or the group. */
static int open_v1_oom(CgroupGroup *g) {
    int dir_fd = cgroup_group_controller_fd(g, CGROUP_MEMORY);
    if (dir_fd < 0)
        return dir_fd;
    _cleanup_fd_ int control = openat(dir_fd, "memory.oom_control", O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    _cleanup_fd_ int event = control < 0 ? -EBADF : eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (event < 0)
        return -errno;
    char text[64];
    (void) snprintf(text, sizeof(text), "%d %d", event, control);
    int r = cgroup_file_write(dir_fd, "cgroup.event_control", text);
    return r < 0 ? r : TAKE_FD(event);
}

static int open_source(CgroupGroup *g, Source s) {
    CgroupVersion memory = g->hierarchies->versions[CGROUP_MEMORY], pids = g->hierarchies->versions[CGROUP_PIDS];
    switch (s) {
    case SOURCE_MEMORY:
        return memory == CGROUP_V2 ? open_notifying_file(g, CGROUP_MEMORY, "memory.events") : -ENODEV;
    case SOURCE_PIDS:
        return pids == CGROUP_MISSING ? -ENODEV : open_notifying_file(g, CGROUP_PIDS, "pids.events");
    case SOURCE_V1_OOM:
        return memory == CGROUP_V1 ? open_v1_oom(g) : -ENODEV;
    default:
        if (g->event_fds[SOURCE_V1_OOM] < 0)
            return -ENODEV;
        int fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
        return fd < 0 ? -errno : fd;
    }
}

int cgroup_events_open(CgroupGroup *g, CgroupEventSource ret[CGROUP_EVENT_SOURCES_MAX]) {
    int n = 0, failure = 0;
    for (Source s = 0; s < _SOURCE_MAX; s++) {
        if (g->event_fds[s] < 0) {
            int fd = open_source(g, s);
            g->event_fds[s] = fd < 0 ? -EBADF : fd;
            if (fd < 0 && fd != -ENODEV && fd != -ENOENT)
                failure = fd;
        }
        if (g->event_fds[s] < 0)
            continue;
        bool is_file = s == SOURCE_MEMORY || s == SOURCE_PIDS;
        ret[n++] = (CgroupEventSource){ g->event_fds[s], is_file ? EPOLLPRI : EPOLLIN };
    }
    return n > 0 ? n : failure;
}

void cgroup_events_acknowledge(CgroupGroup *g, int fd) {
    char text[CGROUP_FILE_MAX];
    if (fd < 0)
        return;
    if (fd != g->event_fds[SOURCE_V1_OOM] && fd != g->event_fds[SOURCE_V1_AGAIN]) {
        (void) cgroup_file_pread(fd, text, sizeof(text));
        return;
    }
    uint64_t times;
    (void) !read(fd, &times, sizeof(times));
    if (fd == g->event_fds[SOURCE_V1_OOM]) {
        const struct itimerspec again = { .it_value.tv_nsec = AGAIN_NSEC };
        (void) timerfd_settime(g->event_fds[SOURCE_V1_AGAIN], 0, &again, NULL);
    }
}

void cgroup_events_read(CgroupGroup *g, CgroupEvents *ret) {
    CgroupUsage u;
    cgroup_usage_read_events(g, &u);
    *ret = (CgroupEvents){
        .memory_high = u.values[CGROUP_MEMORY_HIGH],
        .memory_max = u.values[CGROUP_MEMORY_MAX],
        .memory_oom = u.values[CGROUP_MEMORY_OOM],
        .memory_oom_kill = u.values[CGROUP_MEMORY_OOM_KILL],
        .pids_refused = u.values[CGROUP_PIDS_REFUSED],
    };
}
