/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * How processes that are not our children end, on kernels before 6.15: the kernel tells every exit of the host to who
 * listens on the process connector (netlink, with CAP_NET_ADMIN in the initial namespaces). Later kernels keep the exit
 * with the pidfd, and nobody has to listen.
 */

#include "util/process.h"

#include <systemd/sd-event.h>

/* Does this kernel keep the exit of a process with its pidfd, whoever reaps it? */
bool exits_are_kept(void);

/* One process that is watched. In the listener's list until it is dropped. */
typedef struct ExitWatch ExitWatch;
struct ExitWatch {
    pid_t pid;
    int pidfd;                  /* the caller's; open while this is watched */
    void (*told)(ExitWatch *w); /* from the loop, when threads of it have ended; may drop W, and no other */
    bool changed;
    bool leader_told, leader_early, last_is_leader;
    int leader_status, last_status; /* as wait(2) would give them */
    ExitWatch *next;                /* the listener's */
};

typedef struct ExitListener ExitListener;
int exit_listener_new(sd_event *event, ExitListener **ret); /* -errno: not allowed, or not in this kernel */
ExitListener *exit_listener_free(ExitListener *l);
DEFINE_CLEANUP(ExitListener, exit_listener_free)

/* The host's exits wake us as long as there is a watch. What ended before is not told. */
int exit_listener_watch(ExitListener *l, ExitWatch *w);
void exit_listener_drop(ExitListener *l, ExitWatch *w);

/* Of a process whose pidfd has become readable: false while it cannot be known for sure. */
bool exit_watch_result(const ExitWatch *w, ProcessExit *ret);
