/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The ring of events: serials, what is kept, followers that come and go.
 */

#include "container/events.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static void add(ContainerEvents *e, ContainerEventKind kind) {
    ContainerEvent event = { .kind = kind, .id = "0123456789ab" };
    container_events_add(e, &event);
}

static void test_serials(void **state) {
    _cleanup_(container_events_freep) ContainerEvents *e = NULL;
    assert_int_equal(container_events_new(&e), 0);
    assert_int_equal(container_events_last(e), 0);
    assert_null(container_events_after(e, 0));
    add(e, CONTAINER_EVENT_CREATED);
    add(e, CONTAINER_EVENT_STARTED);
    assert_int_equal(container_events_last(e), 2);
    const ContainerEvent *first = container_events_after(e, 0);
    assert_int_equal(first->serial, 1);
    assert_int_equal(first->kind, CONTAINER_EVENT_CREATED);
    assert_true(first->timestamp_usec > 0);
    assert_int_equal(container_events_after(e, 1)->kind, CONTAINER_EVENT_STARTED);
    assert_null(container_events_after(e, 2));
    assert_null(container_events_after(e, UINT64_MAX));
}

static void test_time_is_kept(void **state) {
    _cleanup_(container_events_freep) ContainerEvents *e = NULL;
    assert_int_equal(container_events_new(&e), 0);
    ContainerEvent event = { .timestamp_usec = 17 };
    container_events_add(e, &event);
    assert_int_equal(container_events_after(e, 0)->timestamp_usec, 17);
}

static void test_ring(void **state) {
    _cleanup_(container_events_freep) ContainerEvents *e = NULL;
    assert_int_equal(container_events_new(&e), 0);
    for (unsigned i = 0; i < CONTAINER_EVENTS_KEPT; i++)
        add(e, CONTAINER_EVENT_CREATED);
    assert_int_equal(container_events_after(e, 0)->serial, 1);
    for (unsigned i = 0; i < 10; i++)
        add(e, CONTAINER_EVENT_REMOVED);
    assert_int_equal(container_events_after(e, 0)->serial, 11);
    assert_int_equal(container_events_after(e, 10)->serial, 11);
    assert_int_equal(container_events_after(e, 11)->serial, 12);
    uint64_t serial = 0;
    unsigned n = 0;
    for (const ContainerEvent *x; (x = container_events_after(e, serial)); serial = x->serial)
        n++;
    assert_int_equal(n, CONTAINER_EVENTS_KEPT);
}

typedef struct Follower {
    ContainerEventsFollower base;
    unsigned n;
    struct Follower *victim; /* let go of when this one is told */
} Follower;

static void on_event(ContainerEventsFollower *base) {
    Follower *f = (Follower *) base;
    f->n++;
    if (f->victim)
        container_events_unfollow(&f->victim->base);
}

static void test_followers(void **state) {
    _cleanup_(container_events_freep) ContainerEvents *e = NULL;
    assert_int_equal(container_events_new(&e), 0);
    Follower followers[3] = { 0 };
    for (unsigned i = 0; i < 3; i++) {
        followers[i].base.notify = on_event;
        container_events_follow(e, &followers[i].base);
    }
    add(e, CONTAINER_EVENT_CREATED);
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(followers[i].n, 1);
    /* the last one that came is told first: it takes the next one away, then itself */
    followers[2].victim = &followers[1];
    add(e, CONTAINER_EVENT_CREATED);
    assert_int_equal(followers[2].n, 2);
    assert_int_equal(followers[1].n, 1);
    assert_int_equal(followers[0].n, 2);
    followers[2].victim = &followers[2];
    add(e, CONTAINER_EVENT_CREATED);
    add(e, CONTAINER_EVENT_CREATED);
    assert_int_equal(followers[2].n, 3);
    assert_int_equal(followers[0].n, 4);
    container_events_unfollow(&followers[2].base); /* not following: nothing happens */
    container_events_unfollow(&followers[0].base);
    add(e, CONTAINER_EVENT_CREATED);
    assert_int_equal(followers[0].n, 4);
}

static void test_names(void **state) {
    for (unsigned k = 0; k < _CONTAINER_EVENT_MAX; k++)
        assert_non_null(container_event_kind_to_string(k));
    assert_string_equal(container_event_kind_to_string(CONTAINER_EVENT_OOM), "oom");
    assert_null(container_event_kind_to_string(_CONTAINER_EVENT_MAX));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_serials),   cmocka_unit_test(test_time_is_kept), cmocka_unit_test(test_ring),
        cmocka_unit_test(test_followers), cmocka_unit_test(test_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
