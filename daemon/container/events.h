/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What has happened, for Events: a ring of the last 4,096, and callbacks for those who follow.
 */

#include "container/controls.h"

#include <sys/types.h>

#define CONTAINER_EVENTS_KEPT 4096U

typedef enum ContainerEventKind {
    CONTAINER_EVENT_CREATED,
    CONTAINER_EVENT_STARTED,
    CONTAINER_EVENT_EXITED,
    CONTAINER_EVENT_OOM,
    CONTAINER_EVENT_LIMIT_REACHED,
    CONTAINER_EVENT_UPDATED,
    CONTAINER_EVENT_PAUSED,
    CONTAINER_EVENT_RESUMED,
    CONTAINER_EVENT_KILLED,
    CONTAINER_EVENT_DETACHED,
    CONTAINER_EVENT_REMOVED,
    CONTAINER_EVENT_FAILED,
    CONTAINER_EVENT_FINDING,
    _CONTAINER_EVENT_MAX,
} ContainerEventKind;

const char *container_event_kind_to_string(ContainerEventKind k);

typedef struct ContainerEvent {
    uint64_t serial; /* 1, 2, 3, ... */
    uint64_t timestamp_usec;
    ContainerEventKind kind;
    uid_t owner;
    char id[16];
    char name[64];
    bool has_exit;
    int exit_code;   /* -1: unknown */
    int exit_signal; /* 0: none */
    bool oom_killed;
    uint64_t finished_usec;
    uint64_t finding;                  /* with FINDING: its number; 0: none */
    char limit[16];                    /* with LIMIT_REACHED: "pids", ... as in the interface; empty: none */
    char message[CONTROL_MESSAGE_MAX]; /* empty: none */
} ContainerEvent;

typedef struct ContainerEvents ContainerEvents;

int container_events_new(ContainerEvents **ret);
ContainerEvents *container_events_free(ContainerEvents *e);
DEFINE_CLEANUP(ContainerEvents, container_events_free)

/* Stamps serial and, if it is 0, time; keeps it; tells the followers. */
void container_events_add(ContainerEvents *e, ContainerEvent *event);

/* The oldest event kept whose serial is above SERIAL; NULL if there is none. Valid until the next add. */
const ContainerEvent *container_events_after(const ContainerEvents *e, uint64_t serial);
uint64_t container_events_last(const ContainerEvents *e);

typedef struct ContainerEventsFollower ContainerEventsFollower;
struct ContainerEventsFollower {
    void (*notify)(ContainerEventsFollower *f); /* there is something new: read it with container_events_after() */
    ContainerEvents *events;
    ContainerEventsFollower *next, *previous;
};
void container_events_follow(ContainerEvents *e, ContainerEventsFollower *f);
void container_events_unfollow(ContainerEventsFollower *f);
