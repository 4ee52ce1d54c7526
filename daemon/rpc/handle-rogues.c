/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Rogues: findings of containers, told, followed, and their processes killed.
 *
 * What there is is listed first, as numbers, and then looked up again as it is sent, a part at a time and no faster than the
 * peer reads; what has been removed meanwhile is passed over. New findings are pushed like events: a reader that falls too
 * far behind is dropped (rpc/connection.c). How large a finding is decides whoever is found, so replies are made by their
 * size and not by their number alone.
 */

#include "rpc/fields.h"
#include "rpc/methods.h"
#include "rpc/render.h"

#include "kennel/limits.h"

#include <limits.h>
#include <string.h>

#define KEYS_MAX        65536U         /* with `more`: the newest */
#define KEYS_MAX_SINGLE 1024U          /* without */
#define PART_MAX        64U            /* findings in one reply of several */
#define PART_BYTES      (512U * 1024U) /* and about so many bytes */
#define SINGLE_BYTES    (12U * 1024U * 1024U)

typedef struct Key {
    char id[CONTAINER_ID_LENGTH + 1];
    uint64_t number, first_usec;
} Key;

typedef struct RoguesState {
    FindingFollower follower; /* first: the follower is the state */
    Call *call;
    char id[CONTAINER_ID_LENGTH + 1]; /* of the one container that matters; empty: all */
    bool follow, more, begun;         /* begun: at least one reply has been sent */
    Key *keys;
    size_t n_keys, next_key;
    uint64_t dropped;
    json_object *receipts; /* owned; NULL once it has been sent */
} RoguesState;

static void rogues_end(void *userdata, CallEnd why) {
    RoguesState *s = userdata;
    container_findings_unfollow(&s->follower);
    json_object_put(s->receipts);
    free(s->keys);
    free(s);
}

static ContainerRegistry *registry_of(const RoguesState *s) {
    return call_environment(s->call)->registry;
}

static bool wants(const RoguesState *s, const Container *c) {
    ContainerViewer viewer = call_viewer(s->call);
    return container_visible(c, &viewer) && (!s->id[0] || strcmp(s->id, container_id(c)) == 0);
}

/* ---- what there is ---- */

static int compare_keys(const void *a, const void *b) {
    const Key *x = a, *y = b;
    if (x->first_usec != y->first_usec)
        return x->first_usec < y->first_usec ? -1 : 1;
    int order = strcmp(x->id, y->id);
    return order != 0 ? order : (x->number > y->number) - (x->number < y->number);
}

static void add_keys(RoguesState *s, const Container *c) {
    for (size_t i = 0; i < container_findings_count(c); i++) {
        const Finding *f = container_finding(c, i);
        Key *k = &s->keys[s->n_keys++];
        *k = (Key){ .number = f->number, .first_usec = f->first_usec };
        (void) snprintf(k->id, sizeof(k->id), "%s", container_id(c));
    }
}

static int list_keys(RoguesState *s) {
    ContainerRegistry *r = registry_of(s);
    size_t n = 0, max = s->more ? KEYS_MAX : KEYS_MAX_SINGLE;
    s->dropped = 0;
    for (Container *c = container_next(r, NULL); c; c = container_next(r, c)) {
        if (!wants(s, c))
            continue;
        n += container_findings_count(c);
        s->dropped += container_findings_dropped(c);
    }
    s->keys = calloc(n + 1, sizeof(Key));
    if (!s->keys)
        return -ENOMEM;
    for (Container *c = container_next(r, NULL); c; c = container_next(r, c))
        if (wants(s, c))
            add_keys(s, c);
    qsort(s->keys, s->n_keys, sizeof(Key), compare_keys);
    s->next_key = s->n_keys > max ? s->n_keys - max : 0;
    return 0;
}

/* An id is unambiguous, and the viewer was asked when it was listed. */
static json_object *render_key(const RoguesState *s, const Key *k) {
    ContainerViewer viewer = call_viewer(s->call);
    Container *c = NULL;
    if (container_find(registry_of(s), &viewer, k->id, &c, NULL) < 0)
        return NULL;
    const Finding *f = container_finding_numbered(c, k->number);
    return f ? render_finding(c, f) : NULL;
}

/* ---- replies ---- */

static json_object *make_reply(RoguesState *s, json_object *consume_findings) {
    _cleanup_json_ json_object *findings = consume_findings, *o = json_object_new_object();
    json_object *receipts = s->receipts ? s->receipts : json_object_new_array();
    s->receipts = NULL;
    if (!o || !findings) {
        json_object_put(receipts);
        return NULL;
    }
    if (render_add(o, "findings", TAKE_PTR(findings)) < 0) {
        json_object_put(receipts);
        return NULL;
    }
    return render_add_int(o, "dropped", (int64_t) s->dropped) < 0 || render_add(o, "receipts", receipts) < 0
               ? NULL
               : TAKE_PTR(o);
}

static size_t size_of(json_object *o) {
    size_t size = 0;
    (void) json_object_to_json_string_length(o, JSON_C_TO_STRING_PLAIN, &size);
    return size;
}

static json_object *next_part(RoguesState *s) {
    _cleanup_json_ json_object *list = json_object_new_array();
    size_t n = 0, bytes = 0;
    while (list && s->next_key < s->n_keys && n < PART_MAX && bytes < PART_BYTES) {
        json_object *o = render_key(s, &s->keys[s->next_key++]);
        if (!o)
            continue;
        bytes += size_of(o);
        n++;
        if (render_append(list, o) < 0)
            return NULL;
    }
    return TAKE_PTR(list);
}

/* Ends the call, and S, unless it follows. */
static void pump(void *userdata) {
    RoguesState *s = userdata;
    while (call_has_room(s->call) && (s->next_key < s->n_keys || !s->begun)) {
        json_object *part = next_part(s);
        bool last = s->next_key >= s->n_keys && !s->follow;
        s->begun = true;
        if (!call_reply(s->call, make_reply(s, part), !last))
            return;
    }
}

/* The newest that fit into one message, oldest first. */
static json_object *all_in_one(RoguesState *s) {
    _cleanup_json_ json_object *newest = json_object_new_array(), *list = json_object_new_array();
    size_t bytes = 0;
    for (size_t i = s->n_keys; newest && i > s->next_key && bytes < SINGLE_BYTES; i--) {
        json_object *o = render_key(s, &s->keys[i - 1]);
        bytes += o ? size_of(o) : 0;
        if (o && render_append(newest, o) < 0)
            return NULL;
    }
    for (size_t i = newest ? json_object_array_length(newest) : 0; list && i > 0; i--)
        if (render_append(list, json_object_get(json_object_array_get_idx(newest, i - 1))) < 0)
            return NULL;
    return newest ? TAKE_PTR(list) : NULL;
}

static void notify(FindingFollower *f, Container *c, const Finding *finding) {
    RoguesState *s = (RoguesState *) f;
    if (!wants(s, c) || !call_takes_stream(s->call))
        return;
    _cleanup_json_ json_object *list = json_object_new_array();
    if (!list || render_append(list, render_finding(c, finding)) < 0) {
        call_fail_memory(s->call);
        return;
    }
    s->dropped = container_findings_dropped(c);
    (void) call_reply(s->call, make_reply(s, TAKE_PTR(list)), true);
}

static void begin(RoguesState *s) {
    if (list_keys(s) < 0) {
        call_fail_memory(s->call);
        return;
    }
    if (!s->more) {
        (void) call_reply(s->call, make_reply(s, all_in_one(s)), false);
        return;
    }
    if (s->follow) {
        s->follower.notify = notify;
        container_findings_follow(registry_of(s), &s->follower);
    }
    call_on_drained(s->call, pump);
    pump(s);
}

/* ---- killing ---- */

/* Outlives the call: the processes are killed, whoever is still there to hear of it. */
typedef struct Kills {
    CallTicket *ticket;
    RoguesState *state; /* valid while the ticket has its call */
    size_t n_left;
    json_object *receipts; /* owned */
    Error error;           /* the first: of what was not even sent a signal, for any reason but that it is over */
} Kills;

typedef struct KillOne {
    Kills *kills;
    RemovalTarget target;
} KillOne;

static void one_over(Kills *k) {
    if (--k->n_left > 0)
        return;
    _cleanup_free_ Kills *kills = k;
    _cleanup_json_ json_object *receipts = k->receipts;
    Call *call = call_ticket_redeem(k->ticket);
    if (!call)
        return;
    if (k->error.kind != ERROR_NONE) {
        call_fail(call, &k->error);
        return;
    }
    k->state->receipts = TAKE_PTR(receipts);
    begin(k->state);
}

static void note_error(Kills *k, const Error *error) {
    if (k->error.kind == ERROR_NONE)
        k->error = *error;
}

static void note_memory(Kills *k) {
    Error error = ERROR_INIT;
    (void) fields_oom(&error);
    note_error(k, &error);
}

static void on_killed(void *userdata, const Receipt *receipt, const Error *error) {
    _cleanup_free_ KillOne *one = userdata;
    Receipt gone = { .host_pid = one->target.host_pid, .outcome = RECEIPT_GONE };
    bool over = error && (error->kind == ERROR_NOT_RUNNING || error->kind == ERROR_NO_SUCH_PROCESS);
    if (!receipt && !over)
        note_error(one->kills, error);
    else if (render_append(one->kills->receipts, receipt_to_json(receipt ? receipt : &gone)) < 0)
        note_memory(one->kills);
    one_over(one->kills);
}

static void kill_one(Kills *k, Container *c, const RemovalTarget *target) {
    KillOne *one = calloc(1, sizeof(KillOne));
    Error error = ERROR_INIT;
    if (!one) {
        note_memory(k);
        return;
    }
    *one = (KillOne){ k, *target };
    k->n_left++;
    if (container_kill_exactly(c, target, true, on_killed, one, &error) < 0)
        on_killed(one, NULL, &error);
}

static void kill_those_of(Kills *k, Container *c) {
    _cleanup_free_ RemovalTarget *targets = NULL;
    size_t n = 0;
    if (container_state(c) != CONTAINER_RUNNING && container_state(c) != CONTAINER_PAUSED)
        return;
    if (container_findings_targets(c, FINDING_MEDIUM, &targets, &n) < 0) {
        note_memory(k);
        return;
    }
    for (size_t i = 0; i < n; i++)
        kill_one(k, c, &targets[i]);
}

static int kill_all(RoguesState *s, Error *reterr) {
    ContainerRegistry *r = registry_of(s);
    Kills *k = calloc(1, sizeof(Kills));
    if (!k || !(k->receipts = json_object_new_array())) {
        free(k);
        return fields_oom(reterr);
    }
    k->state = s;
    k->n_left = 1; /* nothing is over before all of them have been asked for */
    k->ticket = call_ticket(s->call);
    if (!k->ticket) {
        json_object_put(k->receipts);
        free(k);
        return fields_oom(reterr);
    }
    for (Container *c = container_next(r, NULL); c; c = container_next(r, c))
        if (wants(s, c))
            kill_those_of(k, c);
    one_over(k);
    return 0;
}

/* ---- the call ---- */

static int find_container(RoguesState *s, Error *reterr) {
    Container *c = NULL;
    if (!fields_get(call_parameters(s->call), "container"))
        return 0;
    int r = call_find_container(s->call, &c, reterr);
    if (r >= 0)
        (void) snprintf(s->id, sizeof(s->id), "%s", container_id(c));
    return r;
}

int handle_rogues(Call *call, Error *reterr) {
    json_object *parameters = call_parameters(call);
    bool kill = fields_bool(parameters, "kill"), follow = fields_bool(parameters, "follow");
    if (kill && follow)
        return error_invalid(reterr, "kill", "cannot be given together with follow");
    if (follow && !call_has_more(call)) {
        call_fail_service(call, "org.varlink.service.ExpectedMore", NULL, NULL);
        return 0;
    }
    RoguesState *s = calloc(1, sizeof(RoguesState));
    if (!s)
        return fields_oom(reterr);
    s->call = call;
    s->follow = follow;
    s->more = call_has_more(call);
    call_keep(call, s, rogues_end);
    int r = find_container(s, reterr);
    if (r < 0)
        return r;
    if (kill)
        return kill_all(s, reterr);
    begin(s);
    return 0;
}
