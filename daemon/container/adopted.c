/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * How a container ends whose first process is a child of nobody's but the service manager's: an earlier daemon's.
 *
 * Its exit is kept with the pidfd by Linux from 6.15 on. Earlier kernels leave it with the zombie, for which we race with
 * who reaps it; so that there the exits of the host are listened to as long as such a container runs. What is told comes
 * a little after the pidfd has become readable, and is waited for, but not for long: it may be lost.
 */

#include "container/internal.h"
#include "util/log.h"

#include <string.h>

#define AWAIT_USEC (1000ULL * 1000ULL)

static Container *of_watch(ExitWatch *w) {
    return (Container *) ((char *) w - offsetof(Container, exit_watch));
}

static void on_told(ExitWatch *w) {
    Container *c = of_watch(w);
    ProcessExit exit;
    if (c->exit_deadline && exit_watch_result(w, &exit))
        container_ended(c, &exit);
}

static int on_deadline(sd_event_source *source, uint64_t usec, void *userdata) {
    Container *c = userdata;
    ProcessExit exit = { .known = false };
    (void) exit_watch_result(&c->exit_watch, &exit);
    container_ended(c, &exit);
    return 0;
}

void container_adopt_exit(Container *c) {
    ContainerRegistry *r = c->registry;
    if (exits_are_kept())
        return;
    c->exit_watch = (ExitWatch){ .pid = c->pid, .pidfd = c->pidfd, .told = on_told };
    int k = r->exits ? 0 : exit_listener_new(r->environment.event, &r->exits);
    if (k >= 0)
        k = exit_listener_watch(r->exits, &c->exit_watch);
    if (k >= 0)
        return;
    c->exit_watch.pid = 0;
    log_info("How container %s ends may stay unknown: exits cannot be listened to: %s", c->id, strerror(-k));
}

bool container_awaits_exit(Container *c, ProcessExit *exit) {
    if (exit->known || c->exit_watch.pid == 0 || exit_watch_result(&c->exit_watch, exit))
        return false;
    int r = sd_event_add_time_relative(c->registry->environment.event, &c->exit_deadline, CLOCK_MONOTONIC, AWAIT_USEC,
                                       0, on_deadline, c);
    if (r < 0)
        return false;
    c->exit_source = sd_event_source_disable_unref(c->exit_source); /* it would go on telling */
    return true;
}

void container_adopted_done(Container *c) {
    c->exit_deadline = sd_event_source_disable_unref(c->exit_deadline);
    if (c->exit_watch.pid == 0)
        return;
    exit_listener_drop(c->registry->exits, &c->exit_watch);
    c->exit_watch.pid = 0;
}
