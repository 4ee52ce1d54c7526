/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Stats: one sample of each container a tick.
 *
 * With names: those containers, until none of them is left; without: whatever runs and the caller may see. The call
 * ends with an empty reply when the last of the named containers has exited.
 */

#include "rpc/fields.h"
#include "rpc/methods.h"
#include "rpc/render.h"

#include <string.h>
#include <time.h>

#define STATS_INTERVAL_MIN     100000
#define STATS_INTERVAL_DEFAULT 1000000
#define STATS_INTERVAL_MAX     (24LL * 3600LL * 1000000LL)
#define STATS_CONTAINERS_MAX   1024U

typedef struct StatsState {
    Call *call;
    uint64_t interval_usec;
    sd_event_source *timer;
    size_t n_named;
    ContainerWatch named[]; /* each watches until its container is over */
} StatsState;

static void stats_end(void *userdata, CallEnd why) {
    StatsState *s = userdata;
    for (size_t i = 0; i < s->n_named; i++)
        container_unwatch(&s->named[i]);
    (void) sd_event_source_disable_unref(s->timer);
    free(s);
}

static void stats_notice(ContainerWatch *w, Container *c, ContainerNotice notice, const Error *error) {
    if (notice == CONTAINER_NOTICE_EXITED || notice == CONTAINER_NOTICE_FAILED || notice == CONTAINER_NOTICE_REMOVED)
        container_unwatch(w);
}

static int add_sample(json_object *list, Container *c) {
    CgroupGroup *g = container_group(c);
    if (!g || container_pid(c) == 0)
        return 0;
    AccountSample sample;
    account_sample(g, &sample);
    return render_append(list, render_sample(c, &sample));
}

static int add_named(const StatsState *s, json_object *list, bool *ret_any) {
    for (size_t i = 0; i < s->n_named; i++) {
        Container *c = s->named[i].container;
        if (!c)
            continue;
        *ret_any = true;
        if (add_sample(list, c) < 0)
            return -ENOMEM;
    }
    return 0;
}

static int add_visible(const StatsState *s, json_object *list) {
    ContainerRegistry *registry = call_environment(s->call)->registry;
    ContainerViewer viewer = call_viewer(s->call);
    for (Container *c = container_next(registry, NULL); c; c = container_next(registry, c))
        if (container_visible(c, &viewer) && add_sample(list, c) < 0)
            return -ENOMEM;
    return 0;
}

/* *RET_ANY: there is, or may yet be, something to sample at the next tick. */
static json_object *stats_reply(const StatsState *s, bool *ret_any) {
    _cleanup_json_ json_object *o = json_object_new_object(), *list = json_object_new_array();
    bool any = s->n_named == 0;
    if (!o || !list || (s->n_named > 0 ? add_named(s, list, &any) : add_visible(s, list)) < 0)
        return NULL;
    if (render_add(o, "samples", TAKE_PTR(list)) < 0)
        return NULL;
    *ret_any = any;
    return TAKE_PTR(o);
}

/* Returns whether the call goes on; if not, S is gone or soon will be. */
static bool stats_tick(StatsState *s) {
    bool any = false;
    json_object *reply = stats_reply(s, &any);
    return call_reply(s->call, reply, call_has_more(s->call) && any);
}

static int on_tick(sd_event_source *source, uint64_t usec, void *userdata) {
    StatsState *s = userdata;
    uint64_t now = 0, interval = s->interval_usec;
    if (!stats_tick(s))
        return 0;
    (void) sd_event_now(call_environment(s->call)->event, CLOCK_MONOTONIC, &now);
    /* a tick that came late does not make the next one come early, nor are missed ones made up for */
    uint64_t next = usec + interval > now ? usec + interval : now + interval;
    if (sd_event_source_set_time(source, next) < 0 || sd_event_source_set_enabled(source, SD_EVENT_ONESHOT) < 0)
        call_fail_memory(s->call);
    return 0;
}

static int watch_named(StatsState *s, json_object *list, size_t n, Error *reterr) {
    const ServerEnvironment *environment = call_environment(s->call);
    ContainerViewer viewer = call_viewer(s->call);
    for (size_t i = 0; i < n; i++) {
        Container *c = NULL;
        const char *name = json_object_get_string(json_object_array_get_idx(list, i));
        int r = container_find(environment->registry, &viewer, name, &c, reterr);
        if (r < 0)
            return r;
        if (container_exit(c))
            return error_set(reterr, ERROR_NOT_RUNNING, ESRCH, container_id(c), "it has exited");
        container_watch(c, &s->named[i], stats_notice);
        s->n_named = i + 1;
    }
    return 0;
}

static int start_timer(StatsState *s, Error *reterr) {
    sd_event *event = call_environment(s->call)->event;
    int r = sd_event_add_time_relative(event, &s->timer, CLOCK_MONOTONIC, s->interval_usec, 1, on_tick, s);
    if (r < 0)
        return error_failed(reterr, -r, "stats", "no timer can be set: %s", strerror(-r));
    (void) sd_event_source_set_description(s->timer, "rpc-stats");
    return 0;
}

int handle_stats(Call *call, Error *reterr) {
    json_object *parameters = call_parameters(call), *list;
    int64_t interval = STATS_INTERVAL_DEFAULT;
    size_t n;
    int r = fields_list(parameters, "containers", STATS_CONTAINERS_MAX, &list, &n, reterr);
    if (r >= 0)
        r = fields_int(parameters, "intervalUsec", "intervalUsec", STATS_INTERVAL_MIN, STATS_INTERVAL_MAX, &interval,
                       reterr);
    if (r >= 0 && list && n == 0)
        r = error_invalid(reterr, "containers", "is empty; names are expected, or null for all");
    if (r < 0)
        return r;
    StatsState *s = calloc(1, sizeof(StatsState) + n * sizeof(ContainerWatch));
    if (!s)
        return fields_oom(reterr);
    s->call = call;
    s->interval_usec = (uint64_t) interval;
    call_keep(call, s, stats_end);
    r = watch_named(s, list, n, reterr);
    if (r >= 0 && call_has_more(call))
        r = start_timer(s, reterr);
    if (r < 0)
        return r;
    (void) stats_tick(s);
    return 0;
}
