/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Logs and Events: replies without an end.
 *
 * Logs pull: the file keeps what the peer has not read, so as much is taken from it as the queue has room for, and more
 * when that has drained. Events push: they happen when they happen, and a reader that falls too far behind is dropped
 * with an error (rpc/connection.c) rather than told half of them.
 */

#include "rpc/fields.h"
#include "rpc/methods.h"
#include "rpc/render.h"

#include <string.h>

typedef struct LogsState {
    ContainerWatch watch; /* first: the watch is the state */
    Call *call;
    ContainerLogReader *reader;
    bool follow;
} LogsState;

static void logs_end(void *userdata, CallEnd why) {
    LogsState *s = userdata;
    container_unwatch(&s->watch);
    (void) container_log_reader_free(s->reader);
    free(s);
}

/* {"entry": CONSUME_ENTRY}; null for the end of the stream. NULL: out of memory, also if CONSUME_ENTRY is missing. */
static json_object *stream_reply(const char *key, bool end, json_object *consume_entry) {
    _cleanup_json_ json_object *entry = consume_entry, *o = json_object_new_object();
    if (!o || (end ? render_add_null(o, key) : render_add(o, key, TAKE_PTR(entry))) < 0)
        return NULL;
    return TAKE_PTR(o);
}

/* Will nothing more come? A container that has been removed takes its log along. */
static bool logs_are_complete(const LogsState *s) {
    Container *c = s->watch.container;
    ContainerLog *log = c ? container_log(c) : NULL;
    return !log || container_log_is_finished(log);
}

/* Ends the call when there is nothing more; S is gone then. */
static void logs_pump(void *userdata) {
    LogsState *s = userdata;
    while (call_has_room(s->call)) {
        bool complete = !s->follow || logs_are_complete(s); /* asked first: what comes after the answer is not missed */
        ContainerLogEntry entry;
        int r = container_log_reader_next(s->reader, &entry);
        if (r > 0) {
            if (!call_reply(s->call, stream_reply("entry", false, render_log_entry(&entry)), true))
                return;
            continue;
        }
        Error error = ERROR_INIT;
        if (r < 0) {
            (void) error_failed(&error, -r, "logs", "the log cannot be read: %s", strerror(-r));
            call_fail(s->call, &error);
        } else if (complete)
            (void) call_reply(s->call, stream_reply("entry", true, NULL), false);
        return;
    }
}

static void logs_notice(ContainerWatch *w, Container *c, ContainerNotice notice, const Error *error) {
    if (notice == CONTAINER_NOTICE_REMOVED || notice == CONTAINER_NOTICE_FAILED)
        container_unwatch(w);
    if (notice != CONTAINER_NOTICE_STARTED && notice != CONTAINER_NOTICE_DETACHED)
        logs_pump(w);
}

static int no_log(const Container *c, Error *reterr) {
    if (container_state(c) == CONTAINER_CREATED)
        return error_set(reterr, ERROR_NOT_RUNNING, ESRCH, container_id(c), "it is still being started");
    const char *why = container_spec(c)->sandbox.program.terminal
                          ? "its terminal is with the caller of Run"
                          : "its output went to descriptors that its caller gave";
    return error_failed(reterr, ENODATA, "logs", "the container has no log: %s", why);
}

int handle_logs(Call *call, Error *reterr) {
    json_object *parameters = call_parameters(call);
    Container *c = NULL;
    int64_t tail = -1;
    int r = fields_int(parameters, "tail", "tail", 0, INT64_MAX, &tail, reterr);
    if (r >= 0)
        r = call_find_container(call, &c, reterr);
    if (r < 0)
        return r;
    if (!container_log(c))
        return no_log(c, reterr);
    LogsState *s = calloc(1, sizeof(LogsState));
    if (!s)
        return fields_oom(reterr);
    s->call = call;
    s->follow = fields_bool(parameters, "follow");
    call_keep(call, s, logs_end);
    r = container_log_reader_new(container_log(c), tail < 0 ? SIZE_MAX : (size_t) tail, logs_pump, s, &s->reader,
                                 reterr);
    if (r < 0)
        return r;
    container_watch(c, &s->watch, logs_notice);
    call_on_drained(call, logs_pump);
    logs_pump(s);
    return 0;
}

typedef struct EventsState {
    ContainerEventsFollower follower; /* first: the follower is the state */
    Call *call;
    uint64_t serial;     /* of the last one looked at */
    uint64_t since_usec; /* older ones are passed over */
    char id[16];         /* of the one container that matters; empty: all */
} EventsState;

static void events_end(void *userdata, CallEnd why) {
    EventsState *s = userdata;
    container_events_unfollow(&s->follower);
    free(s);
}

static bool events_wants(const EventsState *s, const ContainerEvent *e) {
    ContainerViewer viewer = call_viewer(s->call);
    bool visible = viewer.uid == 0 || viewer.uid == e->owner;
    return visible && e->timestamp_usec >= s->since_usec && (!s->id[0] || strcmp(s->id, e->id) == 0);
}

/* False if the call ended, and S with it, or soon will. */
static bool events_send(EventsState *s, const ContainerEvents *events) {
    const ContainerEvent *e;
    while ((e = container_events_after(events, s->serial))) {
        s->serial = e->serial;
        if (events_wants(s, e) && !call_reply(s->call, stream_reply("event", false, render_event(e)), true))
            return false;
    }
    return true;
}

static void events_notify(ContainerEventsFollower *f) {
    (void) events_send((EventsState *) f, f->events);
}

static int events_find_container(Call *call, EventsState *s, Error *reterr) {
    if (!fields_get(call_parameters(call), "container"))
        return 0;
    Container *c = NULL;
    int r = call_find_container(call, &c, reterr);
    if (r >= 0)
        (void) snprintf(s->id, sizeof(s->id), "%s", container_id(c));
    return r;
}

int handle_events(Call *call, Error *reterr) {
    ContainerEvents *events = container_registry_events(call_environment(call)->registry);
    json_object *parameters = call_parameters(call);
    bool follow = !fields_get(parameters, "follow") || fields_bool(parameters, "follow");
    int64_t since = -1;
    int r = fields_int(parameters, "sinceUsec", "sinceUsec", 0, INT64_MAX, &since, reterr);
    if (r < 0)
        return r;
    EventsState *s = calloc(1, sizeof(EventsState));
    if (!s)
        return fields_oom(reterr);
    s->call = call;
    s->since_usec = since < 0 ? 0 : (uint64_t) since;
    s->serial = since < 0 && follow ? container_events_last(events) : 0;
    call_keep(call, s, events_end);
    r = events_find_container(call, s, reterr);
    if (r < 0)
        return r;
    if (!events_send(s, events))
        return 0;
    if (follow) {
        s->follower.notify = events_notify;
        container_events_follow(events, &s->follower);
    } else
        (void) call_reply(call, stream_reply("event", true, NULL), false);
    return 0;
}
