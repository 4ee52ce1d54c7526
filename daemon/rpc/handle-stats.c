/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Stats: what containers cost, from the sampler's subscription to the wire.
 *
 * The sampler reads and encodes for all who ask; here the texts of those entries that concern a call are strung together to
 * a reply, with no tree of objects. A call with names ends by itself: when of each one the final sample has been told, or it
 * has become clear that there will be none. Whoever reads too slowly is dropped (rpc/connection.c); no reply is made for a
 * peer who would not get it.
 *
 * Without `more` a few containers are read at once. Many are read like a tick of the sampler, in slices, between which
 * others are served.
 */

#include "rpc/fields.h"
#include "rpc/methods.h"

#include <string.h>

#define STATS_INTERVAL_DEFAULT 1000000
#define STATS_INTERVAL_MAX     (24LL * 3600LL * 1000000LL)
#define STATS_CONTAINERS_MAX   1024U

typedef struct StatsState StatsState;

typedef struct StatsNamed {
    ContainerWatch watch; /* first: the watch is the named container */
    StatsState *state;
    char id[CONTAINER_ID_LENGTH + 1];
    bool over; /* its final sample has been told, or there will be none */
} StatsNamed;

struct StatsState {
    AccountSubscriber subscriber; /* first: the subscriber is the state */
    Call *call;
    ContainerViewer viewer;
    AccountText reply;
    bool in_tick;           /* more of this tick will come */
    size_t n_named, n_left; /* n_left: not over */
    StatsNamed named[];     /* by id; none: all that the viewer may see */
};

static void stats_end(void *userdata, CallEnd why) {
    StatsState *s = userdata;
    for (size_t i = 0; i < s->n_named; i++)
        container_unwatch(&s->named[i].watch);
    account_unsubscribe(&s->subscriber);
    account_text_done(&s->reply);
    free(s);
}

/* --- replies --- */

static int add_text(StatsState *s, const char *text) {
    return account_text_append(&s->reply, text, strlen(text));
}

static int begin_reply(StatsState *s) {
    s->reply.size = 0;
    return add_text(s, "{\"samples\":[");
}

static int add_sample(StatsState *s, const AccountText *sample) {
    if (s->reply.bytes[s->reply.size - 1] != '[' && add_text(s, ",") < 0)
        return -ENOMEM;
    return account_text_append(&s->reply, sample->bytes, sample->size);
}

/* R: whether the samples could be added. False if the call, and S, are gone or soon will be. */
static bool send_reply(StatsState *s, int r, bool complete, bool continues) {
    if (r >= 0)
        r = add_text(s, complete ? "],\"complete\":true}" : "],\"complete\":false}");
    if (r < 0) {
        call_fail_memory(s->call);
        return false;
    }
    return call_reply_text(s->call, s->reply.bytes, s->reply.size, continues);
}

static int add_entries(StatsState *s, AccountEntry *const *entries, size_t n) {
    int r = 0;
    for (size_t i = 0; i < n && r >= 0; i++)
        r = add_sample(s, &entries[i]->text);
    return r;
}

/* --- the subscription --- */

static int compare_id(const void *id, const void *named) {
    return strcmp(id, ((const StatsNamed *) named)->id);
}

static StatsNamed *find_named(StatsState *s, const char *id) {
    return bsearch(id, s->named, s->n_named, sizeof(StatsNamed), compare_id);
}

static bool wants(AccountSubscriber *subscriber, const AccountEntry *e) {
    StatsState *s = (StatsState *) subscriber;
    if (s->n_named > 0)
        return find_named(s, e->id);
    return s->viewer.uid == 0 || s->viewer.uid == e->owner; /* as container_visible() */
}

/* Ends the call with the last of them; S is gone then. */
static void named_over(StatsNamed *n) {
    StatsState *s = n->state;
    container_unwatch(&n->watch);
    if (n->over)
        return;
    n->over = true;
    if (--s->n_left == 0)
        (void) send_reply(s, begin_reply(s), true, false);
}

/* After EXITED the final sample is still to come. */
static void stats_notice(ContainerWatch *w, Container *c, ContainerNotice notice, const Error *error) {
    if (notice == CONTAINER_NOTICE_FAILED || notice == CONTAINER_NOTICE_REMOVED)
        named_over((StatsNamed *) w);
}

static void stream_samples(AccountSubscriber *subscriber, AccountEntry *const *entries, size_t n, bool complete) {
    StatsState *s = (StatsState *) subscriber;
    s->in_tick = !complete;
    if (!call_takes_stream(s->call))
        return;
    int r = begin_reply(s);
    if (r >= 0)
        r = add_entries(s, entries, n);
    (void) send_reply(s, r, complete, true);
}

/* In a reply of its own, which is complete unless it came in the middle of a tick. */
static void stream_final(AccountSubscriber *subscriber, const AccountEntry *e, const AccountText *text) {
    StatsState *s = (StatsState *) subscriber;
    if (!call_takes_stream(s->call))
        return;
    if (text->size > 0) { /* else memory was short */
        int r = begin_reply(s);
        if (r >= 0)
            r = add_sample(s, text);
        if (!send_reply(s, r, !s->in_tick, true))
            return;
    }
    StatsNamed *named = find_named(s, e->id);
    if (named)
        named_over(named);
}

/* --- once --- */

static void gather_samples(AccountSubscriber *subscriber, AccountEntry *const *entries, size_t n, bool complete) {
    StatsState *s = (StatsState *) subscriber;
    int r = add_entries(s, entries, n);
    if (r < 0 || complete)
        (void) send_reply(s, r, true, false);
}

static void gather_final(AccountSubscriber *subscriber, const AccountEntry *e, const AccountText *text) {}

static int read_few(StatsState *s, AccountSampler *sampler, Container *const *containers) {
    int r = begin_reply(s);
    for (size_t i = 0; i < s->n_named && r >= 0; i++) {
        AccountEntry *e = container_account_entry(containers[i]);
        r = e ? account_sampler_read(sampler, e) : 0;
        if (r >= 0 && e)
            r = add_sample(s, &e->text);
    }
    return r;
}

static int begin_once(StatsState *s, AccountSampler *sampler, Container *const *containers) {
    if (s->n_named > 0 && s->n_named <= ACCOUNT_SLICE) {
        (void) send_reply(s, read_few(s, sampler, containers), true, false);
        return 0;
    }
    s->subscriber.samples = gather_samples;
    s->subscriber.final = gather_final;
    int r = begin_reply(s);
    return r < 0 ? r : account_subscribe(sampler, &s->subscriber);
}

static int begin_stream(StatsState *s, AccountSampler *sampler, Container *const *containers) {
    s->subscriber.samples = stream_samples;
    s->subscriber.final = stream_final;
    for (size_t i = 0; i < s->n_named; i++)
        container_watch(containers[i], &s->named[i].watch, stats_notice);
    return account_subscribe(sampler, &s->subscriber);
}

/* --- the call --- */

static int compare_containers(const void *a, const void *b) {
    return strcmp(container_id(*(Container *const *) a), container_id(*(Container *const *) b));
}

/* The containers that LIST names, by id, each once. */
static int find_containers(Call *call, json_object *list, size_t n, Container **containers, size_t *ret_n,
                           Error *reterr) {
    ContainerRegistry *registry = call_environment(call)->registry;
    ContainerViewer viewer = call_viewer(call);
    for (size_t i = 0; i < n; i++) {
        const char *name = json_object_get_string(json_object_array_get_idx(list, i));
        int r = container_find(registry, &viewer, name, &containers[i], reterr);
        if (r < 0)
            return r;
        if (container_exit(containers[i]))
            return error_set(reterr, ERROR_NOT_RUNNING, ESRCH, container_id(containers[i]), "it has exited");
    }
    qsort(containers, n, sizeof(Container *), compare_containers);
    size_t unique = 0;
    for (size_t i = 0; i < n; i++)
        if (unique == 0 || containers[unique - 1] != containers[i])
            containers[unique++] = containers[i];
    *ret_n = unique;
    return 0;
}

static StatsState *stats_new(Call *call, int64_t interval_usec, Container *const *containers, size_t n) {
    StatsState *s = calloc(1, sizeof(StatsState) + n * sizeof(StatsNamed));
    if (!s)
        return NULL;
    s->subscriber.interval_usec = (uint64_t) interval_usec;
    s->subscriber.wants = wants;
    s->call = call;
    s->viewer = call_viewer(call);
    s->n_named = s->n_left = n;
    for (size_t i = 0; i < n; i++) {
        s->named[i].state = s;
        (void) snprintf(s->named[i].id, sizeof(s->named[i].id), "%s", container_id(containers[i]));
    }
    return s;
}

int handle_stats(Call *call, Error *reterr) {
    AccountSampler *sampler = container_registry_sampler(call_environment(call)->registry);
    json_object *parameters = call_parameters(call), *list;
    _cleanup_free_ Container **containers = NULL;
    int64_t interval = STATS_INTERVAL_DEFAULT;
    size_t n;
    int r = fields_list(parameters, "containers", STATS_CONTAINERS_MAX, &list, &n, reterr);
    if (r >= 0)
        r = fields_int(parameters, "intervalUsec", "intervalUsec", (int64_t) ACCOUNT_INTERVAL_MIN_USEC,
                       STATS_INTERVAL_MAX, &interval, reterr);
    if (r >= 0 && list && n == 0)
        r = error_invalid(reterr, "containers", "is empty; names are expected, or null for all");
    if (r < 0)
        return r;
    containers = calloc(n + 1, sizeof(Container *));
    if (!containers)
        return fields_oom(reterr);
    r = find_containers(call, list, n, containers, &n, reterr);
    if (r < 0)
        return r;
    StatsState *s = stats_new(call, interval, containers, n);
    if (!s)
        return fields_oom(reterr);
    call_keep(call, s, stats_end);
    call_forget_parameters(call);
    r = call_has_more(call) ? begin_stream(s, sampler, containers) : begin_once(s, sampler, containers);
    return r < 0 ? error_failed(reterr, -r, "stats", "the sampler cannot be asked: %s", strerror(-r)) : 0;
}
