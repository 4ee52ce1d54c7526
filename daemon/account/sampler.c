/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The sampler.
 *
 * One tick is under way at a time, for the subscribers that were due when it began. It walks the list of entries with a
 * cursor, a slice at a time; whoever leaves the list moves the cursor on, so entries and subscribers may come and go
 * whenever other code runs: between slices, and from within callbacks.
 *
 *     timer    normal priority: begins a tick when a subscriber is due
 *     slices   a source that is always ready while a tick is under way, of lower priority than I/O: calls come first
 *     timer    meanwhile sees to it that a slice is done now and then, however many calls there are
 *
 * A subscriber whose tick is over is due again at its next multiple: what passed while it lasted is left out, so ticks never
 * queue up. One that became due during somebody else's tick begins its own right after.
 *
 * Trust: subscribers are peers, whose number and intervals are bounded by rpc. Reading is what costs, and no entry is read
 * more than once in a tick, nor by those that ask once more often than the shortest interval allows.
 */

#include "account/sampler.h"

#include <assert.h>
#include <time.h>

/* After this time a slice is done even if the loop has better things to do. */
#define SLICE_WAIT_USEC 10000ULL

#define REASON_NO_DUMP "the network interfaces' statistics could not be read"

struct AccountSampler {
    sd_event_source *timer, *slices;
    NetworkHost *network;
    uint64_t dump_usec; /* of the network's last dump; 0: there is none */
    bool dump_failed;

    AccountEntry *entries, *last_entry;
    AccountSubscriber *subscribers;

    bool ticking;
    uint64_t begun_usec;                /* the instant of the tick */
    uint64_t oldest_usec;               /* texts from then on will do for it */
    AccountEntry *next_entry;           /* the first that the tick has not come to */
    AccountEntry *slice[ACCOUNT_SLICE]; /* NULL: removed meanwhile */
    size_t n_slice;

    /* whom the loops over subscribers come to next: of a slice and of a final sample, which can happen within one */
    AccountSubscriber *next_of_slice, *next_of_final;
};

static uint64_t now_usec(void) {
    struct timespec t;
    (void) clock_gettime(CLOCK_MONOTONIC, &t); /* always exists */
    return (uint64_t) t.tv_sec * 1000000ULL + (uint64_t) t.tv_nsec / 1000ULL;
}

/* --- reading --- */

static void read_network(AccountSampler *s, uint64_t oldest_usec) {
    if (!s->network || s->dump_usec >= oldest_usec)
        return;
    s->dump_usec = now_usec();
    s->dump_failed = network_host_read(s->network) < 0;
}

/* Makes sure that E's text is from OLDEST or later. INSTANT: what it is dated if it is read now. */
static int read_entry(AccountSampler *s, AccountEntry *e, uint64_t oldest_usec, uint64_t instant_usec) {
    AccountSample sample;
    if (e->read_usec >= oldest_usec && e->text.size > 0)
        return 0;
    if (e->source.endpoint)
        read_network(s, oldest_usec);
    account_sample(&e->source, &sample);
    if (e->source.endpoint && s->dump_failed) {
        sample.has_interface = false;
        sample.network_reason = REASON_NO_DUMP;
    }
    e->text.size = 0;
    e->read_usec = instant_usec;
    return account_encode(&sample, e->id, e->name, &e->text);
}

int account_sampler_read(AccountSampler *s, AccountEntry *e) {
    uint64_t now = now_usec();
    return read_entry(s, e, now > ACCOUNT_INTERVAL_MIN_USEC ? now - ACCOUNT_INTERVAL_MIN_USEC : 1, now);
}

/* --- ticks --- */

/* The timer is set for the next subscriber, or for the slice that is done at the latest. */
static void set_timer(AccountSampler *s) {
    uint64_t due = UINT64_MAX;
    if (s->ticking)
        due = now_usec() + SLICE_WAIT_USEC;
    else
        for (AccountSubscriber *i = s->subscribers; i; i = i->next)
            due = i->due_usec < due ? i->due_usec : due;
    if (due != UINT64_MAX)
        (void) sd_event_source_set_time(s->timer, due);
    (void) sd_event_source_set_enabled(s->timer, due != UINT64_MAX ? SD_EVENT_ONESHOT : SD_EVENT_OFF);
    (void) sd_event_source_set_enabled(s->slices, s->ticking ? SD_EVENT_ON : SD_EVENT_OFF);
}

/* The next multiple. The first tick is on none: one that would follow it at once is left out. */
static uint64_t next_due(const AccountSubscriber *i, uint64_t now) {
    uint64_t from = i->due_usec == 0 ? now + i->interval_usec / 2 : now;
    return (from / i->interval_usec + 1) * i->interval_usec;
}

static void begin_tick(AccountSampler *s) {
    uint64_t now = now_usec();
    bool fresh = false;
    for (AccountSubscriber *i = s->subscribers; i; i = i->next) {
        i->in_tick = i->due_usec <= now;
        s->ticking = s->ticking || i->in_tick;
        fresh = fresh || (i->in_tick && i->due_usec > 0);
    }
    if (!s->ticking)
        return;
    s->begun_usec = now;
    /* whoever subscribes again and again causes no more reading than who asks once */
    s->oldest_usec = fresh || now <= ACCOUNT_INTERVAL_MIN_USEC ? now : now - ACCOUNT_INTERVAL_MIN_USEC;
    s->next_entry = s->entries;
}

static bool is_wanted(const AccountSampler *s, const AccountEntry *e) {
    for (AccountSubscriber *i = s->subscribers; i; i = i->next)
        if (i->in_tick && i->wants(i, e))
            return true;
    return false;
}

/* Reads the next few entries that somebody wants, and moves the cursor to the one after them that somebody wants. */
static void fill_slice(AccountSampler *s) {
    s->n_slice = 0;
    for (; s->next_entry; s->next_entry = s->next_entry->next) {
        AccountEntry *e = s->next_entry;
        if (!is_wanted(s, e))
            continue;
        if (s->n_slice == ACCOUNT_SLICE)
            return;
        if (read_entry(s, e, s->oldest_usec, s->begun_usec) >= 0) /* else memory is short: left out of this tick */
            s->slice[s->n_slice++] = e;
    }
}

/* I may be gone afterwards. */
static void tell_slice(AccountSampler *s, AccountSubscriber *i, bool complete) {
    AccountEntry *wanted[ACCOUNT_SLICE];
    size_t n = 0;
    for (size_t k = 0; k < s->n_slice; k++)
        if (s->slice[k] && i->wants(i, s->slice[k]))
            wanted[n++] = s->slice[k];
    if (complete) {
        i->in_tick = false;
        i->due_usec = next_due(i, now_usec());
    }
    if (n > 0 || complete)
        i->samples(i, wanted, n, complete);
}

static void do_slice(AccountSampler *s) {
    fill_slice(s);
    bool complete = !s->next_entry;
    for (AccountSubscriber *i = s->subscribers; i; i = s->next_of_slice) {
        s->next_of_slice = i->next;
        if (i->in_tick)
            tell_slice(s, i, complete);
    }
    s->n_slice = 0;
    s->ticking = !complete;
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata) {
    AccountSampler *s = userdata;
    if (s->ticking)
        do_slice(s);
    else
        begin_tick(s);
    set_timer(s);
    return 0;
}

static int on_slice(sd_event_source *source, void *userdata) {
    AccountSampler *s = userdata;
    do_slice(s);
    set_timer(s);
    return 0;
}

/* --- who takes part --- */

int account_sampler_new(sd_event *event, NetworkHost *network, AccountSampler **ret) {
    _cleanup_(account_sampler_freep) AccountSampler *s = calloc(1, sizeof(AccountSampler));
    if (!s)
        return -ENOMEM;
    s->network = network;
    int r = sd_event_add_time(event, &s->timer, CLOCK_MONOTONIC, 0, 1, on_timer, s);
    if (r >= 0)
        r = sd_event_source_set_enabled(s->timer, SD_EVENT_OFF);
    if (r >= 0)
        r = sd_event_add_defer(event, &s->slices, on_slice, s);
    if (r >= 0)
        r = sd_event_source_set_enabled(s->slices, SD_EVENT_OFF);
    if (r >= 0)
        r = sd_event_source_set_priority(s->slices, SD_EVENT_PRIORITY_IDLE);
    if (r < 0)
        return r;
    (void) sd_event_source_set_description(s->timer, "account-timer");
    (void) sd_event_source_set_description(s->slices, "account-slices");
    *ret = TAKE_PTR(s);
    return 0;
}

AccountSampler *account_sampler_free(AccountSampler *s) {
    if (!s)
        return NULL;
    assert(!s->entries && !s->subscribers);
    (void) sd_event_source_disable_unref(s->timer);
    (void) sd_event_source_disable_unref(s->slices);
    free(s);
    return NULL;
}

void account_sampler_add(AccountSampler *s, AccountEntry *e) {
    assert(!e->sampler);
    e->sampler = s;
    e->read_usec = 0;
    if (e->source.endpoint)
        s->dump_usec = 0; /* the last dump may be from before its interface */
    e->next = NULL;
    e->previous = s->last_entry;
    *(s->last_entry ? &s->last_entry->next : &s->entries) = e;
    s->last_entry = e;
}

void account_sampler_remove(AccountEntry *e) {
    AccountSampler *s = e->sampler;
    account_text_done(&e->text);
    if (!s)
        return;
    if (s->next_entry == e)
        s->next_entry = e->next;
    for (size_t i = 0; i < s->n_slice; i++)
        if (s->slice[i] == e)
            s->slice[i] = NULL;
    *(e->previous ? &e->previous->next : &s->entries) = e->next;
    *(e->next ? &e->next->previous : &s->last_entry) = e->previous;
    e->sampler = NULL;
    e->next = e->previous = NULL;
}

void account_sampler_end(AccountSampler *s, AccountEntry *e, const AccountText *text) {
    for (AccountSubscriber *i = s->subscribers; i; i = s->next_of_final) {
        s->next_of_final = i->next;
        if (i->wants(i, e))
            i->final(i, e, text);
    }
}

int account_subscribe(AccountSampler *s, AccountSubscriber *subscriber) {
    assert(!subscriber->sampler);
    if (subscriber->interval_usec < ACCOUNT_INTERVAL_MIN_USEC)
        return -EINVAL;
    subscriber->sampler = s;
    subscriber->due_usec = 0;
    subscriber->in_tick = false;
    subscriber->previous = NULL;
    subscriber->next = s->subscribers;
    if (s->subscribers)
        s->subscribers->previous = subscriber;
    s->subscribers = subscriber;
    if (!s->ticking)
        set_timer(s);
    return 0;
}

void account_unsubscribe(AccountSubscriber *subscriber) {
    AccountSampler *s = subscriber->sampler;
    if (!s)
        return;
    if (s->next_of_slice == subscriber)
        s->next_of_slice = subscriber->next;
    if (s->next_of_final == subscriber)
        s->next_of_final = subscriber->next;
    *(subscriber->previous ? &subscriber->previous->next : &s->subscribers) = subscriber->next;
    if (subscriber->next)
        subscriber->next->previous = subscriber->previous;
    subscriber->sampler = NULL;
    subscriber->next = subscriber->previous = NULL;
    if (!s->ticking)
        set_timer(s);
}
