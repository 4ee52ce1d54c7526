/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The sampler on a real event loop; what it reads from is made up here, and counts how often it is asked. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "account/sampler.h"

#include <fcntl.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>

#define INTERVAL    ACCOUNT_INTERVAL_MIN_USEC
#define ENTRIES_MAX 100U

/* --- what is read from --- */

static unsigned n_reads, n_dumps;
static uint64_t read_takes_usec;
static int dump_result;
static bool interface_there;
static NetworkHost *const network = (NetworkHost *) &n_dumps;
static NetworkEndpoint *const endpoint = (NetworkEndpoint *) &interface_there;

static uint64_t now_usec(void) {
    struct timespec t;
    (void) clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t) t.tv_sec * 1000000ULL + (uint64_t) t.tv_nsec / 1000ULL;
}

void cgroup_usage_read(CgroupGroup *g, CgroupUsage *ret) {
    n_reads++;
    for (uint64_t end = now_usec() + read_takes_usec; read_takes_usec > 0 && now_usec() < end;)
        ;
    ret->n_devices = 0;
    for (size_t i = 0; i < _CGROUP_COUNTER_MAX; i++) {
        ret->values[i] = i;
        ret->reasons[i] = NULL;
    }
}

const char *cgroup_counter_name(CgroupCounter c) {
    return c < CGROUP_PRESSURE_CPU_SOME_USEC ? "io.x" : "pressure.io.x";
}

void storage_layer_usage(StorageLayer *l, StorageUsage *ret) {
    *ret = (StorageUsage){ 1, 2, 3, 4, NULL };
}

int network_host_read(NetworkHost *h) {
    assert_ptr_equal(h, network);
    n_dumps++;
    return dump_result;
}

bool network_endpoint_usage(NetworkEndpoint *e, NetworkUsage *ret) {
    *ret = (NetworkUsage){ .in_bytes = 4711 };
    return interface_there;
}

int network_endpoint_read(NetworkEndpoint *e, NetworkUsage *ret) {
    *ret = (NetworkUsage){ .in_bytes = 4712 };
    return 0;
}

/* --- what asks --- */

typedef struct Told {
    AccountSubscriber subscriber; /* first */
    unsigned ticks, calls, finals;
    unsigned of_tick; /* entries told in this tick */
    unsigned last_tick;
    uint64_t read_usec; /* of the newest entry told */
    uid_t owner;        /* whose entries it wants; UINT32_MAX: all */
    AccountEntry *seen[4 * ENTRIES_MAX];
    size_t n_seen; /* of all ticks */
    void (*then)(struct Told *t);
} Told;

typedef struct Fixture {
    sd_event *event;
    AccountSampler *sampler;
    AccountEntry entries[ENTRIES_MAX];
    char ids[ENTRIES_MAX][13];
    Told a, b;
    sd_event_source *io;
    int io_fd;
    unsigned n_io, calls_at_io;
    void (*on_io)(struct Fixture *f);
} Fixture;

static Fixture f;

static bool wants(AccountSubscriber *s, const AccountEntry *e) {
    const Told *t = (Told *) s;
    return t->owner == UINT32_MAX || t->owner == e->owner;
}

static void samples(AccountSubscriber *s, AccountEntry *const *entries, size_t n, bool complete) {
    Told *t = (Told *) s;
    assert_true(n <= ACCOUNT_SLICE);
    assert_true(n > 0 || complete);
    t->calls++;
    for (size_t i = 0; i < n; i++) {
        assert_true(entries[i]->text.size > 0);
        assert_non_null(memmem(entries[i]->text.bytes, entries[i]->text.size, entries[i]->id, 12));
        t->read_usec = entries[i]->read_usec;
        if (t->n_seen < ELEMENTSOF(t->seen))
            t->seen[t->n_seen++] = entries[i];
    }
    t->of_tick += n;
    if (complete) {
        t->last_tick = t->of_tick;
        t->of_tick = 0;
        t->ticks++;
    }
    if (t->then)
        t->then(t);
}

static void final(AccountSubscriber *s, const AccountEntry *e, const AccountText *text) {
    Told *t = (Told *) s;
    assert_string_equal(text->bytes, "final");
    t->finals++;
    if (t->then)
        t->then(t);
}

static int on_io(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
    f.n_io++;
    f.on_io(&f);
    return 0;
}

static void add(size_t i, uid_t owner) {
    AccountEntry *e = &f.entries[i];
    (void) snprintf(f.ids[i], sizeof(f.ids[i]), "%012zx", i);
    *e = (AccountEntry){ .source = { .group = (CgroupGroup *) e }, .id = f.ids[i], .name = "n", .owner = owner };
    account_sampler_add(f.sampler, e);
}

static int setup(void **state) {
    f = (Fixture){ .a.owner = UINT32_MAX, .b.owner = UINT32_MAX, .io_fd = eventfd(1, EFD_CLOEXEC) };
    f.a.subscriber = f.b.subscriber =
        (AccountSubscriber){ INTERVAL, wants, samples, final, NULL, 0, false, NULL, NULL };
    n_reads = n_dumps = 0;
    read_takes_usec = 0;
    dump_result = 0;
    interface_there = true;
    assert_true(sd_event_new(&f.event) >= 0);
    assert_int_equal(account_sampler_new(f.event, network, &f.sampler), 0);
    return 0;
}

static int teardown(void **state) {
    account_unsubscribe(&f.a.subscriber);
    account_unsubscribe(&f.b.subscriber);
    for (size_t i = 0; i < ENTRIES_MAX; i++)
        account_sampler_remove(&f.entries[i]);
    f.sampler = account_sampler_free(f.sampler);
    (void) sd_event_source_disable_unref(f.io);
    (void) sd_event_unref(f.event);
    f.io_fd = fd_close(f.io_fd);
    return 0;
}

/* One pass of the loop; waits at most a second. */
static void once(void) {
    assert_true(sd_event_run(f.event, 1000000) >= 0);
}

static void until_ticks(const Told *t, unsigned ticks) {
    for (uint64_t end = now_usec() + 10000000; t->ticks < ticks; once())
        if (now_usec() > end)
            fail_msg("%u ticks of %u in ten seconds", t->ticks, ticks);
}

/* The eventfd is readable and stays so: the loop always has I/O to see to. */
static void add_busy_io(void (*handler)(Fixture *f)) {
    f.on_io = handler;
    assert_true(sd_event_add_io(f.event, &f.io, f.io_fd, 1 /* EPOLLIN */, on_io, NULL) >= 0);
}

/* --- tests --- */

static void test_nobody_asks(void **state) {
    add(0, 0);
    assert_int_equal(sd_event_run(f.event, 250000), 0);
    assert_int_equal(n_reads, 0);
    assert_int_equal(account_subscribe(f.sampler, &f.a.subscriber), 0);
    assert_int_equal(f.a.calls, 0); /* from the loop */
    account_unsubscribe(&f.a.subscriber);
    account_unsubscribe(&f.a.subscriber);
    assert_int_equal(sd_event_run(f.event, 250000), 0);
    assert_int_equal(n_reads, 0);
    f.a.subscriber.interval_usec = INTERVAL - 1;
    assert_int_equal(account_subscribe(f.sampler, &f.a.subscriber), -EINVAL);
}

static void test_first_tick_is_at_once(void **state) {
    f.a.subscriber.interval_usec = 24ULL * 3600 * 1000000;
    assert_int_equal(account_subscribe(f.sampler, &f.a.subscriber), 0);
    until_ticks(&f.a, 1);
    assert_true(f.a.subscriber.due_usec > now_usec() + f.a.subscriber.interval_usec / 4);
}

static void test_grid(void **state) {
    add(0, 0);
    /* shortly before a multiple, which then is too close to the first tick */
    uint64_t phase = now_usec() % INTERVAL;
    (void) usleep((useconds_t) ((INTERVAL * 9 / 10 + INTERVAL - phase) % INTERVAL));
    assert_int_equal(account_subscribe(f.sampler, &f.a.subscriber), 0);
    until_ticks(&f.a, 1);
    for (unsigned tick = 1; tick <= 4; tick++) {
        uint64_t due = f.a.subscriber.due_usec;
        assert_int_equal(due % INTERVAL, 0);
        assert_true(due > f.a.read_usec);
        if (tick == 1)
            assert_true(due - f.a.read_usec >= INTERVAL / 2);
        until_ticks(&f.a, tick + 1);
        assert_true(f.a.read_usec >= due);
    }
    assert_int_equal(f.a.n_seen, 5);
    assert_int_equal(n_reads, 5);
}

/* With nobody running a tick is told too. */
static void test_nothing_runs(void **state) {
    assert_int_equal(account_subscribe(f.sampler, &f.a.subscriber), 0);
    until_ticks(&f.a, 2);
    assert_int_equal(f.a.calls, 2);
    assert_int_equal(f.a.n_seen, 0);
}

static void test_sharing(void **state) {
    for (size_t i = 0; i < 3; i++)
        add(i, 0);
    f.b.subscriber.interval_usec = 2 * INTERVAL;
    assert_int_equal(account_subscribe(f.sampler, &f.a.subscriber), 0);
    assert_int_equal(account_subscribe(f.sampler, &f.b.subscriber), 0);
    until_ticks(&f.a, 1);
    assert_int_equal(f.b.ticks, 1);
    for (unsigned tick = 2; tick <= 4; tick++) {
        until_ticks(&f.b, tick);
        assert_int_equal(f.a.read_usec, f.b.read_usec);
    }
    assert_int_equal(n_reads, 3 * f.a.ticks); /* every tick of B's was one of A's */
}

static void test_read(void **state) {
    add(0, 0);
    AccountEntry *e = &f.entries[0];
    assert_int_equal(account_sampler_read(f.sampler, e), 0);
    assert_int_equal(account_sampler_read(f.sampler, e), 0);
    assert_int_equal(n_reads, 1);
    /* a first tick takes what is there, one on the grid does not */
    assert_int_equal(account_subscribe(f.sampler, &f.a.subscriber), 0);
    until_ticks(&f.a, 1);
    assert_int_equal(n_reads, 1);
    until_ticks(&f.a, 2);
    assert_int_equal(n_reads, 2);
    assert_int_equal(account_sampler_read(f.sampler, e), 0);
    assert_int_equal(n_reads, 2);
    account_unsubscribe(&f.a.subscriber);
    e->read_usec -= INTERVAL + 1;
    assert_int_equal(account_sampler_read(f.sampler, e), 0);
    assert_int_equal(n_reads, 3);
}

static void note_io(Fixture *x) {
    if (x->a.of_tick > 0)
        x->calls_at_io |= 1U << x->a.calls;
}

/* I/O is seen to between any two slices, and yet does not keep them from coming. */
static void test_slices(void **state) {
    for (size_t i = 0; i < ENTRIES_MAX; i++)
        add(i, i % 50 == 0);
    f.b.owner = 1;
    add_busy_io(note_io);
    assert_int_equal(account_subscribe(f.sampler, &f.a.subscriber), 0);
    assert_int_equal(account_subscribe(f.sampler, &f.b.subscriber), 0);
    until_ticks(&f.a, 1);
    assert_int_equal(f.a.calls, 4);
    assert_int_equal(f.calls_at_io, 1U << 1 | 1U << 2 | 1U << 3);
    assert_int_equal(f.a.n_seen, ENTRIES_MAX);
    for (size_t i = 0; i < ENTRIES_MAX; i++)
        assert_ptr_equal(f.a.seen[i], &f.entries[i]);
    /* 0 in the first slice, 50 in the second, and the end */
    assert_int_equal(f.b.calls, 3);
    assert_int_equal(f.b.n_seen, 2);
    assert_int_equal(n_reads, ENTRIES_MAX);
    assert_int_equal(f.b.ticks, 1);
}

/* What nobody wants is not read, and the last slice is known to be the last. */
static void test_unwanted(void **state) {
    for (size_t i = 0; i < ENTRIES_MAX; i++)
        add(i, i < ACCOUNT_SLICE ? 7 : 8);
    f.a.owner = 7;
    assert_int_equal(account_subscribe(f.sampler, &f.a.subscriber), 0);
    until_ticks(&f.a, 1);
    assert_int_equal(f.a.calls, 1);
    assert_int_equal(n_reads, ACCOUNT_SLICE);
}

static void remove_and_add(Fixture *x) {
    if (x->a.calls != 1 || x->a.of_tick == 0 || !x->entries[32].sampler)
        return;
    account_sampler_remove(&x->entries[3]);  /* told already */
    account_sampler_remove(&x->entries[32]); /* where the cursor is */
    account_sampler_remove(&x->entries[33]);
    account_sampler_remove(&x->entries[69]); /* the last */
    add(90, 0);
}

static void test_coming_and_going(void **state) {
    for (size_t i = 0; i < 70; i++)
        add(i, 0);
    add_busy_io(remove_and_add);
    assert_int_equal(account_subscribe(f.sampler, &f.a.subscriber), 0);
    until_ticks(&f.a, 1);
    assert_int_equal(f.a.n_seen, 32 + 36);
    assert_ptr_equal(f.a.seen[32], &f.entries[34]);
    assert_ptr_equal(f.a.seen[67], &f.entries[90]);
    until_ticks(&f.a, 2);
    assert_int_equal(f.a.last_tick, 67);
    assert_ptr_equal(f.a.seen[68], &f.entries[0]);
}

static void remove_from_within(Told *t) {
    t->then = NULL;
    account_sampler_remove(&f.entries[1]);
    account_sampler_remove(&f.entries[40]);
}

/* By the first of two subscribers: the second is not told of them any more. */
static void test_entry_removed_from_within(void **state) {
    for (size_t i = 0; i < 41; i++)
        add(i, 0);
    assert_int_equal(account_subscribe(f.sampler, &f.a.subscriber), 0);
    assert_int_equal(account_subscribe(f.sampler, &f.b.subscriber), 0);
    f.a.then = f.b.then = remove_from_within;
    until_ticks(&f.a, 1);
    until_ticks(&f.b, 1);
    size_t first = f.a.n_seen > f.b.n_seen ? f.a.n_seen : f.b.n_seen;
    assert_int_equal(first, 40);
    assert_int_equal(f.a.n_seen + f.b.n_seen, 79);
}

static void leave(Told *t) {
    account_unsubscribe(&t->subscriber);
}

static void both_leave(Told *t) {
    account_unsubscribe(&f.a.subscriber);
    account_unsubscribe(&f.b.subscriber);
}

static void test_leaving_from_within(void **state) {
    add(0, 0);
    assert_int_equal(account_subscribe(f.sampler, &f.a.subscriber), 0);
    assert_int_equal(account_subscribe(f.sampler, &f.b.subscriber), 0);
    f.a.then = leave;
    until_ticks(&f.b, 3);
    assert_int_equal(f.a.ticks, 1);
    account_unsubscribe(&f.b.subscriber);
    f.a.then = f.b.then = both_leave;
    assert_int_equal(account_subscribe(f.sampler, &f.a.subscriber), 0);
    assert_int_equal(account_subscribe(f.sampler, &f.b.subscriber), 0);
    unsigned before = f.a.ticks + f.b.ticks;
    while (f.a.ticks + f.b.ticks == before)
        once();
    assert_int_equal(f.a.ticks + f.b.ticks, before + 1); /* the other was not told any more */
    assert_int_equal(sd_event_run(f.event, 250000), 0);
}

static void test_all_leave_in_mid_tick(void **state) {
    for (size_t i = 0; i < ENTRIES_MAX; i++)
        add(i, 0);
    f.a.then = leave;
    assert_int_equal(account_subscribe(f.sampler, &f.a.subscriber), 0);
    while (f.a.calls == 0)
        once();
    while (sd_event_run(f.event, 150000) > 0)
        ;
    assert_int_equal(n_reads, ACCOUNT_SLICE);
    f.a.then = NULL;
    f.a.of_tick = 0;
    assert_int_equal(account_subscribe(f.sampler, &f.a.subscriber), 0);
    until_ticks(&f.a, 1);
    assert_int_equal(f.a.last_tick, ENTRIES_MAX);
}

/* A tick that takes longer than the interval: what was due meanwhile is left out. */
static void test_long_ticks(void **state) {
    for (size_t i = 0; i < 30; i++)
        add(i, 0);
    assert_int_equal(account_subscribe(f.sampler, &f.a.subscriber), 0);
    until_ticks(&f.a, 1);
    read_takes_usec = 5000; /* 150 ms of 100 */
    for (unsigned tick = 2; tick <= 4; tick++) {
        uint64_t due = f.a.subscriber.due_usec;
        until_ticks(&f.a, tick);
        assert_true(f.a.subscriber.due_usec >= due + 2 * INTERVAL);
        assert_int_equal(f.a.subscriber.due_usec % INTERVAL, 0);
    }
    assert_int_equal(n_reads, 4 * 30);
}

static void subscribe_b(Fixture *x) {
    if (x->a.calls == 1 && !x->b.subscriber.sampler)
        assert_int_equal(account_subscribe(x->sampler, &x->b.subscriber), 0);
}

/* Who comes in mid-tick has a tick of its own right after, for which what has just been read is good enough. */
static void test_coming_in_mid_tick(void **state) {
    for (size_t i = 0; i < 70; i++)
        add(i, 0);
    add_busy_io(subscribe_b);
    assert_int_equal(account_subscribe(f.sampler, &f.a.subscriber), 0);
    until_ticks(&f.b, 1);
    assert_int_equal(f.b.last_tick, 70);
    assert_int_equal(n_reads, 70 * f.a.ticks);
}

static void test_final(void **state) {
    AccountText text = { .bytes = (char *) "final", .size = 5 };
    add(0, 1);
    add(1, 2);
    f.b.owner = 2;
    account_sampler_end(f.sampler, &f.entries[0], &text); /* nobody is there to be told */
    assert_int_equal(account_subscribe(f.sampler, &f.a.subscriber), 0);
    assert_int_equal(account_subscribe(f.sampler, &f.b.subscriber), 0);
    account_sampler_end(f.sampler, &f.entries[0], &text);
    assert_int_equal(f.a.finals, 1);
    assert_int_equal(f.b.finals, 0);
    account_sampler_remove(&f.entries[1]);
    f.a.then = f.b.then = leave;
    account_sampler_end(f.sampler, &f.entries[1], &text);
    assert_int_equal(f.a.finals, 2);
    assert_int_equal(f.b.finals, 1);
    assert_null(f.a.subscriber.sampler);
    assert_null(f.b.subscriber.sampler);
    f.a.then = f.b.then = both_leave;
    assert_int_equal(account_subscribe(f.sampler, &f.a.subscriber), 0);
    assert_int_equal(account_subscribe(f.sampler, &f.b.subscriber), 0);
    account_sampler_end(f.sampler, &f.entries[1], &text);
    assert_int_equal(f.a.finals + f.b.finals, 4);
}

static bool says(const AccountEntry *e, const char *words) {
    return memmem(e->text.bytes, e->text.size, words, strlen(words));
}

static void test_network(void **state) {
    for (size_t i = 0; i < 40; i++)
        add(i, 0);
    assert_int_equal(account_subscribe(f.sampler, &f.a.subscriber), 0);
    until_ticks(&f.a, 2);
    assert_int_equal(n_dumps, 0); /* nobody has an interface */
    assert_true(says(&f.entries[0], "\"inBytes\":0,"));
    for (size_t i = 40; i < 50; i++)
        add(i, 0);
    for (size_t i = 0; i < 50; i++) {
        f.entries[i].source.network = ACCOUNT_NETWORK_BRIDGE;
        f.entries[i].source.endpoint = endpoint;
    }
    until_ticks(&f.a, 3);
    assert_int_equal(n_dumps, 1);
    assert_true(says(&f.entries[0], "\"inBytes\":4711,"));
    assert_true(says(&f.entries[0], "eth0"));
    dump_result = -ENOBUFS;
    until_ticks(&f.a, 4);
    assert_int_equal(n_dumps, 2);
    assert_false(says(&f.entries[49], "4711"));
    assert_true(says(&f.entries[49], "\"counter\":\"network\""));
    dump_result = 0;
    interface_there = false;
    until_ticks(&f.a, 5);
    assert_true(says(&f.entries[49], "\"inBytes\":null,"));
    assert_true(says(&f.entries[49], "\"counter\":\"network\""));
}

/* The interface of a container that has just started cannot be in a dump from before. */
static void test_new_interface(void **state) {
    add(0, 0);
    f.entries[0].source.network = ACCOUNT_NETWORK_BRIDGE;
    f.entries[0].source.endpoint = endpoint;
    assert_int_equal(account_sampler_read(f.sampler, &f.entries[0]), 0);
    assert_int_equal(n_dumps, 1);
    f.entries[1] = (AccountEntry){ .source = f.entries[0].source, .id = "0123456789ab", .name = "n" };
    account_sampler_add(f.sampler, &f.entries[1]);
    assert_int_equal(account_sampler_read(f.sampler, &f.entries[1]), 0);
    assert_int_equal(n_dumps, 2);
}

static void test_sources(void **state) {
    AccountSample s;
    account_sample(&(AccountSource){ 0 }, &s);
    assert_false(s.final);
    assert_int_equal(s.usage.values[CGROUP_CPU_USAGE_USEC], CGROUP_UNKNOWN);
    assert_non_null(s.usage.reasons[CGROUP_PRESSURE_IO_FULL_USEC]);
    assert_int_equal(s.storage.bytes, STORAGE_UNKNOWN);
    assert_non_null(s.storage.reason);
    assert_null(s.network_reason);
    assert_int_equal(s.network.in_bytes, 0);
    assert_true(s.timestamp_usec > 1500000000000000ULL);
    assert_true(now_usec() - s.monotonic_usec < 10000000);
    account_sample(&(AccountSource){ .network = ACCOUNT_NETWORK_HOST, .layer = (StorageLayer *) &f }, &s);
    assert_int_equal(s.storage.inodes_limit, 4);
    assert_non_null(s.network_reason);
    account_sample(&(AccountSource){ .network = ACCOUNT_NETWORK_BRIDGE }, &s);
    assert_non_null(s.network_reason);
    AccountSource bridge = { .network = ACCOUNT_NETWORK_BRIDGE, .endpoint = endpoint };
    interface_there = false; /* the last dump does not matter */
    account_sample_final(&bridge, &s);
    assert_true(s.final && s.has_interface);
    assert_int_equal(s.network.in_bytes, 4712);
    assert_null(s.network_reason);
    assert_int_equal(n_dumps, 0);
}

/* Room for a text is kept from one tick to the next. */
static void test_room(void **state) {
    static const char large[100000];
    add(0, 0);
    AccountText *text = &f.entries[0].text;
    assert_int_equal(account_text_append(text, large, sizeof(large)), 0);
    size_t room = text->room;
    assert_int_equal(account_subscribe(f.sampler, &f.a.subscriber), 0);
    until_ticks(&f.a, 3);
    assert_in_range(text->size, 1, 10000);
    assert_int_equal(text->room, room);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_nobody_asks),
        TEST(test_first_tick_is_at_once),
        TEST(test_grid),
        TEST(test_nothing_runs),
        TEST(test_sharing),
        TEST(test_read),
        TEST(test_slices),
        TEST(test_unwanted),
        TEST(test_coming_and_going),
        TEST(test_entry_removed_from_within),
        TEST(test_leaving_from_within),
        TEST(test_all_leave_in_mid_tick),
        TEST(test_long_ticks),
        TEST(test_coming_in_mid_tick),
        TEST(test_final),
        TEST(test_network),
        TEST(test_new_interface),
        TEST(test_sources),
        TEST(test_room),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
