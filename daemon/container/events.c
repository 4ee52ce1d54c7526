/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The ring of events. Serials have no gaps, so the place of an event is its serial modulo the ring's size, and a
 * follower that was slower than the ring sees by the serial how many it has missed.
 */

#include "container/events.h"

#include <string.h>
#include <time.h>

struct ContainerEvents {
    uint64_t last; /* serial of the newest; 0: none yet */
    ContainerEventsFollower *followers;
    ContainerEventsFollower *next_to_tell; /* while followers are told: one of them may go meanwhile */
    ContainerEvent ring[CONTAINER_EVENTS_KEPT];
};

static const char *const kinds[_CONTAINER_EVENT_MAX] = {
    [CONTAINER_EVENT_CREATED] = "created",
    [CONTAINER_EVENT_STARTED] = "started",
    [CONTAINER_EVENT_EXITED] = "exited",
    [CONTAINER_EVENT_OOM] = "oom",
    [CONTAINER_EVENT_LIMIT_REACHED] = "limitReached",
    [CONTAINER_EVENT_UPDATED] = "updated",
    [CONTAINER_EVENT_PAUSED] = "paused",
    [CONTAINER_EVENT_RESUMED] = "resumed",
    [CONTAINER_EVENT_KILLED] = "killed",
    [CONTAINER_EVENT_DETACHED] = "detached",
    [CONTAINER_EVENT_REMOVED] = "removed",
    [CONTAINER_EVENT_FAILED] = "failed",
    [CONTAINER_EVENT_FINDING] = "finding",
};

const char *container_event_kind_to_string(ContainerEventKind k) {
    return k < _CONTAINER_EVENT_MAX ? kinds[k] : NULL;
}

int container_events_new(ContainerEvents **ret) {
    ContainerEvents *e = calloc(1, sizeof(ContainerEvents));
    if (!e)
        return -ENOMEM;
    *ret = e;
    return 0;
}

ContainerEvents *container_events_free(ContainerEvents *e) {
    if (!e)
        return NULL;
    while (e->followers)
        container_events_unfollow(e->followers);
    free(e);
    return NULL;
}

void container_events_add(ContainerEvents *e, ContainerEvent *event) {
    event->serial = ++e->last;
    if (event->timestamp_usec == 0) {
        struct timespec t;
        (void) clock_gettime(CLOCK_REALTIME, &t);
        event->timestamp_usec = (uint64_t) t.tv_sec * 1000000ULL + (uint64_t) t.tv_nsec / 1000ULL;
    }
    e->ring[event->serial % CONTAINER_EVENTS_KEPT] = *event;
    for (ContainerEventsFollower *f = e->followers; f; f = e->next_to_tell) {
        e->next_to_tell = f->next;
        f->notify(f);
    }
}

const ContainerEvent *container_events_after(const ContainerEvents *e, uint64_t serial) {
    if (serial >= e->last)
        return NULL;
    uint64_t oldest = e->last > CONTAINER_EVENTS_KEPT ? e->last - CONTAINER_EVENTS_KEPT + 1 : 1;
    uint64_t wanted = serial + 1 > oldest ? serial + 1 : oldest;
    return &e->ring[wanted % CONTAINER_EVENTS_KEPT];
}

uint64_t container_events_last(const ContainerEvents *e) {
    return e->last;
}

void container_events_follow(ContainerEvents *e, ContainerEventsFollower *f) {
    f->events = e;
    f->previous = NULL;
    f->next = e->followers;
    if (f->next)
        f->next->previous = f;
    e->followers = f;
}

void container_events_unfollow(ContainerEventsFollower *f) {
    ContainerEvents *e = f->events;
    if (!e)
        return;
    if (e->next_to_tell == f)
        e->next_to_tell = f->next;
    if (f->next)
        f->next->previous = f->previous;
    if (f->previous)
        f->previous->next = f->next;
    else
        e->followers = f->next;
    f->events = NULL;
    f->next = f->previous = NULL;
}
