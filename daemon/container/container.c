/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The object itself: references, the registry's list, watches, plain reads. What moves its state is in start.c,
 * control.c and teardown.c.
 */

#include "container/internal.h"
#include "container/record.h"
#include "util/log.h"

#include <string.h>

static const char *const states[] = {
    [CONTAINER_CREATED] = "created",
    [CONTAINER_RUNNING] = "running",
    [CONTAINER_PAUSED] = "paused",
    [CONTAINER_EXITED] = "exited",
};

const char *container_state_to_string(ContainerState s) {
    return s < ELEMENTSOF(states) ? states[s] : NULL;
}

int container_new(ContainerRegistry *r, const char *id, ContainerSpec *consume_spec, Container **ret) {
    _cleanup_(container_spec_freep) ContainerSpec *spec = consume_spec;
    Container *c = calloc(1, sizeof(Container));
    if (!c)
        return -ENOMEM;
    c->n_ref = 1;
    c->registry = r;
    (void) snprintf(c->id, sizeof(c->id), "%s", id);
    c->spec = TAKE_PTR(spec);
    c->account.id = c->id;
    c->account.name = container_name(c);
    c->account.owner = c->spec->owner;
    c->data_fd = c->state_fd = c->pidfd = c->terminal_fd = -EBADF;
    c->uid = c->gid = UINT32_MAX;
    *ret = c;
    return 0;
}

Container *container_ref(Container *c) {
    c->n_ref++;
    return c;
}

static void waiters_drop(Container *c) {
    while (c->waiters) {
        RemoveWaiter *w = c->waiters;
        c->waiters = w->next;
        free(w);
    }
}

Container *container_unref(Container *c) {
    if (!c || --c->n_ref > 0)
        return NULL;
    container_unwatch_all(c);
    waiters_drop(c);
    (void) sd_event_source_disable_unref(c->exit_source);
    (void) sd_event_source_disable_unref(c->stop_source);
    (void) sd_event_source_disable_unref(c->retry_source);
    container_findings_done(c);
    container_kills_free(c);
    container_adopted_done(c);
    (void) container_log_free(c->log);
    limit_watch_done(c);
    account_sampler_remove(&c->account);
    account_text_done(&c->final);
    (void) storage_layer_free(c->layer);
    (void) network_endpoint_free(c->endpoint);
    (void) cgroup_group_free(c->group);
    (void) fd_close(c->data_fd);
    (void) fd_close(c->state_fd);
    (void) fd_close(c->pidfd);
    (void) fd_close(c->terminal_fd);
    (void) container_spec_free(c->spec);
    free(c);
    return NULL;
}

void container_link(Container *c) {
    ContainerRegistry *r = c->registry;
    c->previous = r->last;
    c->next = NULL;
    if (r->last)
        r->last->next = c;
    else
        r->first = c;
    r->last = container_ref(c);
    c->listed = true;
}

void container_unlink(Container *c) {
    ContainerRegistry *r = c->registry;
    if (!c->listed)
        return;
    if (c->next)
        c->next->previous = c->previous;
    else
        r->last = c->previous;
    if (c->previous)
        c->previous->next = c->next;
    else
        r->first = c->next;
    c->next = c->previous = NULL;
    c->listed = false;
    container_unref(c);
}

void container_watch(Container *c, ContainerWatch *w, ContainerNotify notify) {
    w->notify = notify;
    w->container = c;
    w->previous = NULL;
    w->next = c->watches;
    if (w->next)
        w->next->previous = w;
    c->watches = w;
}

void container_unwatch(ContainerWatch *w) {
    Container *c = w->container;
    if (!c)
        return;
    for (WatchCursor *cursor = c->cursors; cursor; cursor = cursor->outer)
        if (cursor->next == w)
            cursor->next = w->next;
    if (w->next)
        w->next->previous = w->previous;
    if (w->previous)
        w->previous->next = w->next;
    else
        c->watches = w->next;
    w->container = NULL;
    w->next = w->previous = NULL;
}

void container_unwatch_all(Container *c) {
    while (c->watches)
        container_unwatch(c->watches);
}

void container_tell(Container *c, ContainerNotice notice, const Error *error) {
    _cleanup_(container_unrefp) _unused_ Container *keep = container_ref(c);
    WatchCursor cursor = { .outer = c->cursors };
    c->cursors = &cursor;
    for (ContainerWatch *w = c->watches; w; w = cursor.next) {
        cursor.next = w->next;
        w->notify(w, c, notice, error);
    }
    c->cursors = cursor.outer;
}

static ContainerEvent make_event(const Container *c, ContainerEventKind kind, const char *message) {
    ContainerEvent e = { .kind = kind, .owner = c->spec->owner, .exit_code = -1 };
    (void) snprintf(e.id, sizeof(e.id), "%s", c->id);
    (void) snprintf(e.name, sizeof(e.name), "%s", container_name(c));
    (void) snprintf(e.message, sizeof(e.message), "%s", message ? message : "");
    return e;
}

void container_add_finding_event(Container *c, uint64_t number, const char *message) {
    ContainerEvent e = make_event(c, CONTAINER_EVENT_FINDING, message);
    e.finding = number;
    container_events_add(c->registry->events, &e);
}

void container_add_limit_event(Container *c, const char *limit, const char *message) {
    ContainerEvent e = make_event(c, CONTAINER_EVENT_LIMIT_REACHED, message);
    (void) snprintf(e.limit, sizeof(e.limit), "%s", limit);
    container_events_add(c->registry->events, &e);
}

void container_add_event(Container *c, ContainerEventKind kind, const char *message) {
    ContainerEvent e = make_event(c, kind, message);
    if (kind == CONTAINER_EVENT_EXITED) {
        e.has_exit = true;
        e.exit_code = c->exit.process.known ? c->exit.process.code : -1;
        e.exit_signal = c->exit.process.known ? c->exit.process.signal : 0;
        e.oom_killed = c->exit.oom_killed;
        e.finished_usec = c->exit.finished_usec;
    }
    container_events_add(c->registry->events, &e);
}

/* A failure costs what a daemon that starts later would have known; the container itself is not affected. */
int container_write_record(Container *c) {
    bool exited = c->ended && !c->failed;
    ContainerRecord record = {
        .id = c->id,
        .spec = c->spec,
        .pid = c->pid,
        .pid_start_time = c->pid_start_time,
        .uid = c->uid,
        .gid = c->gid,
        .created_usec = c->created_usec,
        .started_usec = c->started_usec,
        .exited = exited,
        .exit_code = exited && c->exit.process.known ? c->exit.process.code : -1,
        .exit_signal = exited && c->exit.process.known ? c->exit.process.signal : 0,
        .oom_killed = c->exit.oom_killed,
        .oom_kills_told = c->limits.told[LIMIT_OOM],
        .finished_usec = c->exit.finished_usec,
    };
    int r = container_record_write(c->state_fd, &record);
    if (r < 0)
        log_warning("The record of container %s could not be written: %s", c->id, strerror(-r));
    return r;
}

int container_not_running(const Container *c, Error *reterr, const char *reason) {
    return error_set(reterr, ERROR_NOT_RUNNING, ESRCH, c->id, "%s", reason);
}

int container_require_alive(const Container *c, Error *reterr) {
    if (c->failed)
        return container_not_running(c, reterr, "it could not be started");
    if (c->ended)
        return container_not_running(c, reterr, "it has exited");
    if (c->state == CONTAINER_CREATED)
        return container_not_running(c, reterr, "it is still being started");
    return 0;
}

bool container_visible(const Container *c, const ContainerViewer *v) {
    return v->uid == 0 || v->uid == c->spec->owner;
}

const char *container_id(const Container *c) {
    return c->id;
}
const char *container_name(const Container *c) {
    return c->spec->name ? c->spec->name : c->id;
}
ContainerState container_state(const Container *c) {
    return c->state;
}
const ContainerSpec *container_spec(const Container *c) {
    return c->spec;
}
pid_t container_pid(const Container *c) {
    return c->ended ? 0 : c->pid;
}
const ContainerExit *container_exit(const Container *c) {
    return c->state == CONTAINER_EXITED ? &c->exit : NULL;
}
uint64_t container_created_usec(const Container *c) {
    return c->created_usec;
}
uint64_t container_started_usec(const Container *c) {
    return c->started_usec;
}
uint32_t container_uid(const Container *c) {
    return c->uid;
}
uint32_t container_gid(const Container *c) {
    return c->gid;
}
/* One that is being removed belongs to the job that does it. */
CgroupGroup *container_group(Container *c) {
    return c->ended ? NULL : c->group;
}
AccountEntry *container_account_entry(Container *c) {
    return c->account.sampler ? &c->account : NULL;
}

const AccountText *container_sample(Container *c) {
    if (c->account.sampler)
        return account_sampler_read(c->registry->sampler, &c->account) < 0 ? NULL : &c->account.text;
    return c->final.size > 0 ? &c->final : NULL;
}

AccountNetwork container_account_network(const Container *c) {
    static const AccountNetwork networks[] = {
        [SANDBOX_NETWORK_NONE] = ACCOUNT_NETWORK_NONE,
        [SANDBOX_NETWORK_HOST] = ACCOUNT_NETWORK_HOST,
        [SANDBOX_NETWORK_BRIDGE] = ACCOUNT_NETWORK_BRIDGE,
    };
    return networks[c->spec->sandbox.network];
}

void container_begin_accounting(Container *c) {
    c->account.source = (AccountSource){ c->group, c->layer, c->endpoint, container_account_network(c) };
    account_sampler_add(c->registry->sampler, &c->account);
    limit_watch_begin(c);
}

void container_end_accounting(Container *c) {
    limit_watch_end(c);
    account_sampler_remove(&c->account);
}

NetworkSpec container_network_spec(const Container *c) {
    const ContainerSpec *s = c->spec;
    return (NetworkSpec){ s->address, s->ports, s->n_ports, s->limits.network };
}

ContainerLog *container_log(Container *c) {
    return c->log;
}
int container_terminal_fd(const Container *c) {
    return c->spec->attached ? c->terminal_fd : -EBADF;
}
