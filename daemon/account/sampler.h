/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The sampler: one reading for all who ask.
 *
 * Subscribers have an interval each. Ticks lie on multiples of the interval on CLOCK_MONOTONIC, so that subscribers with
 * the same interval, and those with multiples of each other's, are due at the same instant and share each reading and
 * its encoding. A tick is worked off in slices of a few containers, between which the loop serves others: with a thousand
 * containers no call waits for longer than a slice. While nobody subscribes nothing is read at all.
 *
 * An entry is a container that runs. It joins when it starts; when it has ended, its final sample is told to all, and it
 * leaves. Everything here is the loop's.
 */

#include "account/encode.h"

#include <systemd/sd-event.h>

#define ACCOUNT_INTERVAL_MIN_USEC 100000ULL
#define ACCOUNT_SLICE             32U /* containers */

typedef struct AccountSampler AccountSampler;

/* Embedded in a container. `source`, `id`, `name` and `owner` are set by who adds it; the rest is the sampler's. */
typedef struct AccountEntry {
    AccountSource source;
    const char *id, *name;
    uid_t owner;
    /* the newest sample as text, from account_sampler_read() or the tick */
    AccountText text;
    uint64_t read_usec; /* the instant (of the tick) it belongs to; 0: never */
    AccountSampler *sampler;
    struct AccountEntry *next, *previous;
} AccountEntry;

/* Whoever wants samples. Embedded; callbacks may unsubscribe from within. */
typedef struct AccountSubscriber AccountSubscriber;
struct AccountSubscriber {
    uint64_t interval_usec;
    /* Does ENTRY concern this subscriber? Asked for each entry at each tick. */
    bool (*wants)(AccountSubscriber *s, const AccountEntry *entry);
    /* N entries (possibly 0) of this tick, their texts up to date; COMPLETE: the last ones. */
    void (*samples)(AccountSubscriber *s, AccountEntry *const *entries, size_t n, bool complete);
    /* ENTRY has ended; TEXT is its final sample. wants() has said yes. */
    void (*final)(AccountSubscriber *s, const AccountEntry *entry, const AccountText *text);
    /* the sampler's */
    AccountSampler *sampler;
    uint64_t due_usec; /* 0: at once */
    bool in_tick;
    AccountSubscriber *next, *previous;
};

/* NETWORK (may be NULL) is asked for a dump once in a tick, if an entry has an endpoint. */
int account_sampler_new(sd_event *event, NetworkHost *network, AccountSampler **ret);
/* No entries, no subscribers may be left. */
AccountSampler *account_sampler_free(AccountSampler *s);
DEFINE_CLEANUP(AccountSampler, account_sampler_free)

void account_sampler_add(AccountSampler *s, AccountEntry *e);
/* Takes it out; frees its text. Also when it is in none. */
void account_sampler_remove(AccountEntry *e);
/* E has ended: tells its final sample. E may be in the sampler or out of it. */
void account_sampler_end(AccountSampler *s, AccountEntry *e, const AccountText *text);
/* Makes sure that E's text is no older than a tick of the shortest interval: for calls that ask once. */
int account_sampler_read(AccountSampler *s, AccountEntry *e);

/* The first tick is at once (from the loop, not from within), the next ones on the grid. */
int account_subscribe(AccountSampler *s, AccountSubscriber *subscriber);
void account_unsubscribe(AccountSubscriber *subscriber); /* also when not subscribed */
