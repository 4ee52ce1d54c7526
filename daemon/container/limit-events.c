/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * When a container meets one of its limits, its owner is told.
 *
 * Of memory and tasks the cgroup gives notice (cgroup/events.h), but for tasks on v1. Of a full disk nobody does. So once
 * a second one look is taken at each container for what the host gives no notice of. Whoever provokes a limit can do so thousands of times a second, and the
 * ring of events is everybody's: the same thing of the same container is told at once, and then at most every ten seconds
 * (an OOM kill every second), with a count of what came in between. What has been counted is never lost: a timer tells it
 * when it may be told, and the container's end tells the rest.
 */

#include "container/internal.h"
#include "util/log.h"

#include <string.h>

#define LOOK_USEC   1000000ULL
#define SLACK_USEC  100000ULL
#define NEARLY_FULL 1024U /* the part of a layer of which less is left when it is taken for full */
#define BLOCKS_LEFT 65536U

static const struct {
    const char *limit; /* field of Limits; NULL: an event of its own kind */
    uint64_t interval_usec;
    const char *singular, *plural; /* what has happened */
} kinds[_LIMIT_MAX] = {
    [LIMIT_OOM] = { NULL, 1000000U, "process was killed", "processes were killed" },
    [LIMIT_MEMORY] = { "memory", 10000000U, "time the limit was met", "times the limit was met" },
    [LIMIT_MEMORY_HIGH] = { "memoryHigh", 10000000U, "time it was exceeded", "times it was exceeded" },
    [LIMIT_PIDS] = { "pids", 10000000U, "new process or thread was refused", "new processes or threads were refused" },
    [LIMIT_DISK] = { "disk", 10000000U, "time the writable layer was full", "times the writable layer was full" },
    [LIMIT_INODES] = { "inodes", 10000000U, "time no file could be made", "times no file could be made" },
};

static uint64_t monotonic_usec(void) {
    struct timespec t;
    (void) clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t) t.tv_sec * 1000000ULL + (uint64_t) t.tv_nsec / 1000ULL;
}

static void tell(Container *c, LimitKind k, uint64_t n) {
    char message[96];
    (void) snprintf(message, sizeof(message), "%llu %s", (unsigned long long) n,
                    n == 1 ? kinds[k].singular : kinds[k].plural);
    if (kinds[k].limit) {
        container_add_limit_event(c, kinds[k].limit, message);
        return;
    }
    container_add_event(c, CONTAINER_EVENT_OOM, message);
    (void) container_write_record(c); /* how many were told: the next daemon tells those that come while none runs */
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata);

/* One timer for all kinds: it looks at everything, and is set again for what is still too early. */
static void tell_later(Container *c, uint64_t usec) {
    LimitWatch *w = &c->limits;
    if (w->timer)
        return;
    int r =
        sd_event_add_time(c->registry->environment.event, &w->timer, CLOCK_MONOTONIC, usec, SLACK_USEC, on_timer, c);
    if (r < 0)
        log_limited(LOG_WARNING, "No timer for what happened at the limits of container %s: %s", c->id, strerror(-r));
}

/* COUNT: how often K has happened so far. */
static void note(Container *c, LimitKind k, uint64_t count, bool last) {
    LimitWatch *w = &c->limits;
    if (count == CGROUP_UNKNOWN || count <= w->told[k])
        return;
    uint64_t now = monotonic_usec(), due = w->told_usec[k] + kinds[k].interval_usec;
    if (w->told_usec[k] != 0 && now < due && !last) {
        tell_later(c, due);
        return;
    }
    uint64_t n = count - w->told[k];
    w->told[k] = count;
    w->told_usec[k] = now;
    tell(c, k, n);
}

static void look(Container *c, bool last) {
    CgroupEvents e;
    note(c, LIMIT_DISK, c->limits.full_times[LIMIT_DISK], last);
    note(c, LIMIT_INODES, c->limits.full_times[LIMIT_INODES], last);
    if (!c->group)
        return;
    cgroup_events_read(c->group, &e);
    note(c, LIMIT_OOM, e.memory_oom_kill, last);
    note(c, LIMIT_MEMORY, e.memory_max, last);
    note(c, LIMIT_MEMORY_HIGH, e.memory_high, last);
    note(c, LIMIT_PIDS, e.pids_refused, last);
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata) {
    Container *c = userdata;
    c->limits.timer = sd_event_source_disable_unref(c->limits.timer);
    look(c, false);
    return 0;
}

static int on_notice(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
    Container *c = userdata;
    cgroup_events_acknowledge(c->group, fd);
    look(c, false);
    return 0;
}

static bool is_full(uint64_t used, uint64_t limit, uint64_t least) {
    if (used == STORAGE_UNKNOWN || limit == STORAGE_LIMIT_NONE)
        return false;
    uint64_t left = limit > used ? limit - used : 0, part = limit / NEARLY_FULL;
    return left < (part > least ? part : least);
}

/* Counted when it becomes full, and again only after it was not. */
static void note_full(Container *c, LimitKind k, bool full, bool last) {
    LimitWatch *w = &c->limits;
    bool before = w->full[k];
    w->full[k] = full;
    w->full_times[k] += full && !before;
    note(c, k, w->full_times[k], last);
}

static void look_at_layer(Container *c, bool last) {
    StorageUsage u;
    if (!c->layer)
        return;
    storage_layer_usage(c->layer, &u);
    note_full(c, LIMIT_DISK, is_full(u.bytes, u.bytes_limit, BLOCKS_LEFT), last);
    note_full(c, LIMIT_INODES, is_full(u.inodes, u.inodes_limit, 1), last);
}

void limit_watch_begin(Container *c) {
    CgroupEventSource sources[CGROUP_EVENT_SOURCES_MAX];
    LimitWatch *w = &c->limits;
    int n = cgroup_events_open(c->group, sources);
    for (int i = 0; i < n; i++) {
        int r = sd_event_add_io(c->registry->environment.event, &w->sources[w->n_sources], sources[i].fd,
                                sources[i].events, on_notice, c);
        if (r < 0) {
            log_warning("The limits of container %s cannot be watched: %s", c->id, strerror(-r));
            continue;
        }
        (void) sd_event_source_set_description(w->sources[w->n_sources++], "container-limits");
    }
    look(c, false); /* what happened before anybody watched */
}

void limit_watch_done(Container *c) {
    LimitWatch *w = &c->limits;
    for (size_t i = 0; i < w->n_sources; i++)
        w->sources[i] = sd_event_source_disable_unref(w->sources[i]);
    w->n_sources = 0;
    w->timer = sd_event_source_disable_unref(w->timer);
}

void limit_watch_end(Container *c) {
    limit_watch_done(c);
    look(c, true);
    look_at_layer(c, true);
}

void limit_watch_resume(Container *c, uint64_t oom_kills_told) {
    LimitWatch *w = &c->limits;
    CgroupEvents e;
    w->told[LIMIT_OOM] = oom_kills_told;
    if (!c->group)
        return;
    cgroup_events_read(c->group, &e);
    const struct {
        LimitKind kind;
        uint64_t count;
    } counts[] = { { LIMIT_MEMORY, e.memory_max },
                   { LIMIT_MEMORY_HIGH, e.memory_high },
                   { LIMIT_PIDS, e.pids_refused } };
    for (size_t i = 0; i < ELEMENTSOF(counts); i++)
        if (counts[i].count != CGROUP_UNKNOWN)
            w->told[counts[i].kind] = counts[i].count;
}

static void look_without_notice(Container *c, bool pids) {
    look_at_layer(c, false);
    if (pids)
        look(c, false);
}

static int on_look(sd_event_source *source, uint64_t usec, void *userdata) {
    ContainerRegistry *r = userdata;
    bool pids = cgroup_hierarchies_version(r->environment.hierarchies, CGROUP_PIDS) == CGROUP_V1;
    for (Container *c = r->first; c; c = c->next)
        if (!c->ended && c->state != CONTAINER_CREATED)
            look_without_notice(c, pids);
    int k = sd_event_source_set_time_relative(source, LOOK_USEC);
    return k < 0 ? k : sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
}

int limit_events_open(ContainerRegistry *r) {
    int k = sd_event_add_time_relative(r->environment.event, &r->full_timer, CLOCK_MONOTONIC, LOOK_USEC, SLACK_USEC,
                                       on_look, r);
    if (k >= 0)
        (void) sd_event_source_set_description(r->full_timer, "container-disks");
    return k;
}

void limit_events_close(ContainerRegistry *r) {
    r->full_timer = sd_event_source_disable_unref(r->full_timer);
}
