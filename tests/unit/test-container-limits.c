/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * What the registry makes of limits: a change is all or nothing and survives the daemon, what happens at a limit is told
 * once and counted, and a container's totals are kept when it has ended. The kernel's side is fakes, as in the fixture.
 */

#include "registry-fixture.h"

#include <fcntl.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/wait.h>
#include <unistd.h>

static int set_up(void **state) {
    fakes.applied = fakes.found = CGROUP_LIMITS_NONE;
    fakes.n_applied = 0;
    fakes.events = (CgroupEvents){ 0 };
    fakes.event_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    fakes.n_layers = 0;
    fakes.n_layers_open = 0;
    fakes.storage_refuses = false;
    fakes.n_endpoints = 0;
    fakes.n_endpoints_open = 0;
    fakes.rates = NETWORK_RATES_NONE;
    return fixture_set_up(state);
}

static int tear_down(void **state) {
    int r = fixture_tear_down(state);
    (void) close(fakes.event_fd);
    fakes.event_fd = 0;
    assert_int_equal(fakes.n_layers_open, 0);
    assert_int_equal(fakes.n_endpoints_open, 0);
    return r;
}

static ContainerLimits limits_of(const Container *c) {
    return container_spec(c)->limits;
}

static void update(Fixture *f, Container *c, const ContainerLimits *l) {
    unsigned before = f->n_done;
    assert_int_equal(container_update(c, l, fixture_on_done, f, NULL), 0);
    fixture_run_until(f, &f->n_done, before + 1);
}

/* The newest event of this kind, and how many there are. */
static unsigned find_events(Fixture *f, ContainerEventKind kind, const ContainerEvent **ret) {
    const ContainerEvents *events = container_registry_events(f->registry);
    unsigned n = 0;
    const ContainerEvent *e = NULL;
    for (uint64_t serial = 0; (e = container_events_after(events, serial)); serial = e->serial)
        if (e->kind == kind) {
            n++;
            *ret = e;
        }
    return n;
}

static void test_update(void **state) {
    Fixture *f = *state;
    const ContainerEvent *e = NULL;
    Container *c = fixture_run(f, "x", "exec sleep 100");
    ContainerLimits l = limits_of(c);
    l.cgroup.memory = 64 << 20;
    l.cgroup.pids = 7;
    update(f, c, &l);
    assert_true(f->done_ok);
    assert_int_equal(fakes.applied.memory, 64 << 20);
    assert_int_equal(limits_of(c).cgroup.pids, 7);
    assert_int_equal(find_events(f, CONTAINER_EVENT_UPDATED, &e), 1);
    assert_string_equal(e->message, "memory 67108864, pids 7");
    fixture_remove(f, c, true);
    fixture_expect_nothing_left(f);
}

/* The part that fails comes last: what was changed before it is as it was. */
static void test_update_is_all_or_nothing(void **state) {
    Fixture *f = *state;
    const ContainerEvent *e = NULL;
    ContainerSpec *s = fixture_spec(1000, "x", "exec sleep 100");
    s->limits.cgroup.memory = 32 << 20;
    Container *c = fixture_start(f, s);
    fixture_run_until(f, &f->n_notices, 1);
    fakes.storage_refuses = true;
    ContainerLimits l = limits_of(c);
    l.cgroup.memory = 64 << 20;
    l.storage.bytes = 1 << 20;
    update(f, c, &l);
    assert_false(f->done_ok);
    assert_int_equal(f->done_error.kind, ERROR_LIMIT_UNAVAILABLE);
    assert_int_equal(fakes.applied.memory, 32 << 20);
    assert_int_equal(limits_of(c).cgroup.memory, 32 << 20);
    assert_int_equal(find_events(f, CONTAINER_EVENT_UPDATED, &e), 0);
    fixture_remove(f, c, true);
}

static void test_update_needs_an_interface(void **state) {
    Fixture *f = *state;
    Container *c = fixture_run(f, "x", "exec sleep 100");
    ContainerLimits l = limits_of(c);
    l.network.in = 1000000;
    update(f, c, &l);
    assert_int_equal(f->done_error.kind, ERROR_LIMIT_UNAVAILABLE);
    assert_string_equal(f->done_error.subject, "network");
    Error error = ERROR_INIT;
    assert_int_equal(container_kill(c, SIGKILL, NULL), 0);
    fixture_run_until(f, &f->n_notices, 2);
    assert_true(container_update(c, &l, fixture_on_done, f, &error) < 0);
    assert_int_equal(error.kind, ERROR_NOT_RUNNING);
    fixture_remove(f, c, false);
}

static ContainerSpec *bridged(const char *script) {
    ContainerSpec *s = fixture_spec(1000, "x", script);
    s->sandbox.network = SANDBOX_NETWORK_BRIDGE;
    s->ports = calloc(1, sizeof(NetworkPort));
    s->ports[0] = (NetworkPort){ 0, 8080, 80, true };
    s->n_ports = 1;
    return s;
}

/* Rates reach the interface; after the daemon's death the record has them, the address and the port. */
static void test_network_survives(void **state) {
    Fixture *f = *state;
    Container *c = fixture_start(f, bridged("exec sleep 100"));
    fixture_run_until(f, &f->n_notices, 1);
    assert_int_equal(fakes.n_endpoints, 1);
    ContainerLimits l = limits_of(c);
    l.network = (NetworkRates){ 1000000, 2000000 };
    update(f, c, &l);
    assert_true(f->done_ok);
    assert_int_equal(fakes.rates.out, 2000000);
    fixture_close(f);
    assert_int_equal(fakes.n_endpoints_open, 0);
    fixture_open(f);
    assert_int_equal(container_registry_recover(f->registry, NULL), 0);
    assert_int_equal(fakes.n_recovered, 1);
    c = fixture_find(f, 1000, "x", NULL);
    assert_int_equal(container_spec(c)->address, 0x0AD50002);
    assert_int_equal(container_spec(c)->n_ports, 1);
    assert_true(container_spec(c)->ports[0].udp);
    assert_int_equal(limits_of(c).network.in, 1000000);
    assert_int_equal(fakes.n_endpoints_open, 1);
    fixture_remove(f, c, true);
    fixture_expect_nothing_left(f);
    assert_int_equal(fakes.n_endpoints, 0);
    assert_int_equal(fakes.n_layers, 0);
}

/* The kernel has others than the record: the record's are set again. */
static void test_recover_restores_limits(void **state) {
    Fixture *f = *state;
    ContainerSpec *s = fixture_spec(1000, "x", "exec sleep 100");
    s->limits.cgroup.memory = 32 << 20;
    (void) fixture_start(f, s);
    fixture_run_until(f, &f->n_notices, 1);
    fixture_close(f);
    fakes.found.memory = 64 << 20;
    fakes.n_applied = 0;
    fixture_open(f);
    assert_int_equal(container_registry_recover(f->registry, NULL), 0);
    assert_int_equal(fakes.n_applied, 1);
    assert_int_equal(fakes.applied.memory, 32 << 20);
    fixture_remove(f, fixture_find(f, 1000, "x", NULL), true);
}

static void strike(Fixture *f) {
    uint64_t one = 1;
    assert_int_equal(write(fakes.event_fd, &one, sizeof(one)), sizeof(one));
    for (unsigned i = 0; i < 5; i++)
        (void) sd_event_run(f->environment.event, 1000);
}

static void test_limit_is_told_once_and_counted(void **state) {
    Fixture *f = *state;
    const ContainerEvent *e = NULL;
    Container *c = fixture_run(f, "x", "exec sleep 100");
    fakes.events.pids_refused = 1;
    strike(f);
    assert_int_equal(find_events(f, CONTAINER_EVENT_LIMIT_REACHED, &e), 1);
    assert_string_equal(e->limit, "pids");
    for (unsigned i = 0; i < 100; i++) {
        fakes.events.pids_refused += 10;
        strike(f);
    }
    assert_int_equal(find_events(f, CONTAINER_EVENT_LIMIT_REACHED, &e), 1);
    fixture_remove(f, c, true); /* the end tells what was not told */
    assert_int_equal(find_events(f, CONTAINER_EVENT_LIMIT_REACHED, &e), 2);
    assert_string_equal(e->message, "1000 new processes or threads were refused");
}

/* Told when it happens, by the daemon that sees it, and not again by the next one. */
static void test_oom(void **state) {
    Fixture *f = *state;
    const ContainerEvent *e = NULL;
    (void) fixture_run(f, "x", "exec sleep 100");
    fakes.oom_kills = 2;
    strike(f);
    assert_int_equal(find_events(f, CONTAINER_EVENT_OOM, &e), 1);
    assert_string_equal(e->message, "2 processes were killed");
    fixture_close(f);
    fixture_open(f);
    assert_int_equal(container_registry_recover(f->registry, NULL), 0);
    assert_int_equal(find_events(f, CONTAINER_EVENT_OOM, &e), 0);
    fixture_close(f);
    fakes.oom_kills = 3; /* while no daemon runs */
    fixture_open(f);
    assert_int_equal(container_registry_recover(f->registry, NULL), 0);
    assert_int_equal(find_events(f, CONTAINER_EVENT_OOM, &e), 1);
    assert_string_equal(e->message, "1 process was killed");
    fixture_remove(f, fixture_find(f, 1000, "x", NULL), true);
}

static void run_for(Fixture *f, ContainerEventKind kind, unsigned n) {
    const ContainerEvent *e = NULL;
    for (unsigned i = 0; i < 500 && find_events(f, kind, &e) < n; i++)
        (void) sd_event_run(f->environment.event, 10000);
    assert_int_equal(find_events(f, kind, &e), n);
}

static void test_full_disk(void **state) {
    Fixture *f = *state;
    const ContainerEvent *e = NULL;
    Container *c = fixture_run(f, "x", "exec sleep 100");
    fakes.storage = (StorageUsage){ 50 << 20, 10, 50 << 20, STORAGE_LIMIT_NONE, NULL };
    run_for(f, CONTAINER_EVENT_LIMIT_REACHED, 1);
    (void) find_events(f, CONTAINER_EVENT_LIMIT_REACHED, &e);
    assert_string_equal(e->limit, "disk");
    fixture_remove(f, c, true);
}

typedef struct Listener {
    AccountSubscriber subscriber; /* first */
    unsigned n_final;
    char text[8192];
} Listener;

static bool wants(AccountSubscriber *s, const AccountEntry *e) {
    return strlen(e->id) == CONTAINER_ID_LENGTH && strcmp(e->name, "x") == 0 && e->owner == 1000;
}
static void on_samples(AccountSubscriber *s, AccountEntry *const *entries, size_t n, bool complete) {}
static void on_final(AccountSubscriber *s, const AccountEntry *e, const AccountText *text) {
    Listener *l = (Listener *) s;
    l->n_final++;
    (void) snprintf(l->text, sizeof(l->text), "%.*s", (int) text->size, text->bytes);
}

/* Subscribers hear them, Inspect has them, also after the daemon's death. */
static void test_totals(void **state) {
    Fixture *f = *state;
    Listener l = { .subscriber = {
                       .interval_usec = 1000000, .wants = wants, .samples = on_samples, .final = on_final } };
    Container *c = fixture_start(f, bridged("exec sleep 100"));
    fixture_run_until(f, &f->n_notices, 1);
    assert_int_equal(account_subscribe(container_registry_sampler(f->registry), &l.subscriber), 0);
    assert_non_null(container_account_entry(c));
    assert_int_equal(container_kill(c, SIGKILL, NULL), 0);
    fixture_run_until(f, &l.n_final, 1);
    account_unsubscribe(&l.subscriber);
    assert_non_null(strstr(l.text, "\"final\":true"));
    assert_non_null(strstr(l.text, "\"inBytes\":11"));
    assert_null(container_account_entry(c));
    const AccountText *t = container_sample(c);
    assert_non_null(t);
    assert_int_equal(strncmp(t->bytes, l.text, t->size), 0);
    fixture_close(f);
    fixture_open(f);
    assert_int_equal(container_registry_recover(f->registry, NULL), 0);
    c = fixture_find(f, 1000, "x", NULL);
    assert_int_equal(container_state(c), CONTAINER_EXITED);
    t = container_sample(c);
    assert_non_null(t);
    assert_int_equal(strncmp(t->bytes, l.text, t->size), 0);
    fixture_remove(f, c, false);
    fixture_expect_nothing_left(f);
}

/* It ended while no daemon ran, and never joined this one's sampler. */
static void test_totals_of_missed_exit(void **state) {
    Fixture *f = *state;
    Listener l = { .subscriber = {
                       .interval_usec = 1000000, .wants = wants, .samples = on_samples, .final = on_final } };
    pid_t pid = container_pid(fixture_run(f, "x", "exec sleep 100"));
    fixture_close(f);
    (void) kill(pid, SIGKILL);
    (void) waitpid(pid, NULL, 0);
    fixture_open(f);
    assert_int_equal(container_registry_recover(f->registry, NULL), 0);
    assert_int_equal(account_subscribe(container_registry_sampler(f->registry), &l.subscriber), 0);
    fixture_run_until(f, &l.n_final, 1);
    account_unsubscribe(&l.subscriber);
    assert_non_null(strstr(l.text, "\"final\":true"));
    fixture_remove(f, fixture_find(f, 1000, "x", NULL), false);
    fixture_expect_nothing_left(f);
}

/* A start that fails after the interface was made leaves neither it nor the layer. */
static void test_failed_start_leaves_nothing(void **state) {
    Fixture *f = *state;
    fakes.spawn_error = EPERM;
    (void) fixture_start(f, bridged("true"));
    fixture_run_until(f, &f->n_notices, 1);
    assert_int_equal(f->notices[0], CONTAINER_NOTICE_FAILED);
    assert_int_equal(fakes.n_layers, 0);
    assert_int_equal(fakes.n_layers_open, 0);
    fixture_expect_nothing_left(f);
}

#define LIMITS_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        LIMITS_TEST(test_update),
        LIMITS_TEST(test_update_is_all_or_nothing),
        LIMITS_TEST(test_update_needs_an_interface),
        LIMITS_TEST(test_network_survives),
        LIMITS_TEST(test_recover_restores_limits),
        LIMITS_TEST(test_limit_is_told_once_and_counted),
        LIMITS_TEST(test_oom),
        LIMITS_TEST(test_full_disk),
        LIMITS_TEST(test_totals),
        LIMITS_TEST(test_totals_of_missed_exit),
        LIMITS_TEST(test_failed_start_leaves_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
