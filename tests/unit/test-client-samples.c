/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Ticks, rates, orders and the last minute of containers; bars. */

#include "client/samples.h"
#include "client/sparkline.h"
#include "proto/json.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define SECOND INT64_C(1000000)
/* when the clock of these tests begins */
#define BEGIN (INT64_C(1000020) * SECOND)

typedef struct Given {
    const char *id, *name;
    int64_t at, cpu, memory; /* cpu and memory: negative is null */
    bool final;
} Given;

static json_object *figure(const char *key, int64_t value) {
    json_object *o = json_object_new_object();

    (void) json_object_object_add(o, key, value < 0 ? NULL : json_object_new_int64(value));
    return o;
}

static json_object *reply_of(const Given *given, size_t n, bool complete) {
    json_object *reply = json_object_new_object(), *samples = json_object_new_array();

    for (size_t i = 0; i < n; i++) {
        json_object *o = json_object_new_object();
        (void) json_object_object_add(o, "container", json_object_new_string(given[i].id));
        (void) json_object_object_add(o, "name", json_object_new_string(given[i].name));
        (void) json_object_object_add(o, "monotonicUsec", json_object_new_int64(given[i].at));
        (void) json_object_object_add(o, "final", json_object_new_boolean(given[i].final));
        (void) json_object_object_add(o, "cpu", figure("usageUsec", given[i].cpu));
        (void) json_object_object_add(o, "memory", figure("workingSet", given[i].memory));
        (void) json_object_array_add(samples, o);
    }
    (void) json_object_object_add(reply, "samples", samples);
    (void) json_object_object_add(reply, "complete", json_object_new_boolean(complete));
    return reply;
}

static int take(Samples *s, const Given *given, size_t n, bool complete) {
    _cleanup_json_ json_object *reply = reply_of(given, n, complete);
    return samples_take(s, reply);
}

static int take_one(Samples *s, const char *id, int64_t at, int64_t cpu, int64_t memory) {
    return take(s, &(Given){ id, id, at, cpu, memory, false }, 1, true);
}

/* The names in ORDER, with spaces between. */
static void are(Samples *s, SamplesOrder order, const char *expected) {
    const SamplesRow *const *rows;
    char names[256] = "";
    size_t n = samples_sort(s, order, &rows);

    for (size_t i = 0; i < n; i++)
        (void) snprintf(names + strlen(names), sizeof(names) - strlen(names), "%s%s", i > 0 ? " " : "",
                        samples_name(rows[i]));
    assert_string_equal(names, expected);
}

static const SamplesRow *only(Samples *s) {
    const SamplesRow *const *rows;

    assert_int_equal(samples_sort(s, SAMPLES_BY_NAME, &rows), 1);
    return rows[0];
}

static void test_rate(void **state) {
    _cleanup_(samples_freep) Samples *s = samples_new();

    assert_int_equal(take_one(s, "a", BEGIN, 5000000, 100), SAMPLES_TAKEN_TICK);
    assert_int_equal(samples_rate(only(s), SAMPLES_CPU), SAMPLES_UNKNOWN);
    take_one(s, "a", BEGIN + 2 * SECOND, 5000000 + 3 * SECOND, 100);
    assert_int_equal(samples_rate(only(s), SAMPLES_CPU), 15000); /* 3 s in 2 s: 150 % */
    take_one(s, "a", BEGIN + 3 * SECOND, 5000000 + 3 * SECOND, 100);
    assert_int_equal(samples_rate(only(s), SAMPLES_CPU), 0);
    take_one(s, "a", BEGIN + 3 * SECOND + 250000, 5000000 + 3 * SECOND + 125000, 100);
    assert_int_equal(samples_rate(only(s), SAMPLES_CPU), 5000);
    assert_int_equal(samples_ticks(s), 4);
}

static void test_no_negative_rates(void **state) {
    _cleanup_(samples_freep) Samples *s = samples_new();

    take_one(s, "a", BEGIN, 9000000, 100);
    take_one(s, "a", BEGIN + SECOND, 1000, 100);
    assert_int_equal(samples_rate(only(s), SAMPLES_CPU), SAMPLES_UNKNOWN);
    /* a clock that stands or goes back: the reading is not taken */
    take_one(s, "a", BEGIN + SECOND, 500000, 100);
    take_one(s, "a", BEGIN, 600000, 100);
    assert_int_equal(samples_rate(only(s), SAMPLES_CPU), SAMPLES_UNKNOWN);
    take_one(s, "a", BEGIN + 2 * SECOND, 101000, 100);
    assert_int_equal(samples_rate(only(s), SAMPLES_CPU), 1000);
}

static void test_another_container_of_the_same_name(void **state) {
    _cleanup_(samples_freep) Samples *s = samples_new();

    take(s, &(Given){ "id1", "web", BEGIN, 9000000, 100, false }, 1, true);
    take(s, &(Given){ "id2", "web", BEGIN + SECOND, 10000000, 100, false }, 1, true);
    assert_string_equal(samples_id(only(s)), "id2");
    assert_int_equal(samples_rate(only(s), SAMPLES_CPU), SAMPLES_UNKNOWN);
}

static void test_unknown_is_not_zero(void **state) {
    _cleanup_(samples_freep) Samples *s = samples_new();

    take_one(s, "a", BEGIN, -1, -1);
    take_one(s, "a", BEGIN + SECOND, 500000, -1);
    assert_int_equal(samples_figure(only(s), SAMPLES_MEMORY), SAMPLES_UNKNOWN);
    assert_int_equal(samples_figure(only(s), SAMPLES_PIDS), SAMPLES_UNKNOWN);
    assert_int_equal(samples_rate(only(s), SAMPLES_CPU), SAMPLES_UNKNOWN);
    assert_int_equal(samples_share(only(s), SAMPLES_MEMORY, SAMPLES_MEMORY_LIMIT), SAMPLES_UNKNOWN);
    take_one(s, "a", BEGIN + 2 * SECOND, -1, 5);
    assert_int_equal(samples_rate(only(s), SAMPLES_CPU), SAMPLES_UNKNOWN);
    assert_int_equal(samples_figure(only(s), SAMPLES_MEMORY), 5);
}

static void test_tick_in_parts(void **state) {
    _cleanup_(samples_freep) Samples *s = samples_new();
    const Given first[] = { { "a", "a", BEGIN, 0, 1, false }, { "b", "b", BEGIN, 0, 1, false } };
    const Given second[] = { { "c", "c", BEGIN, 0, 1, false } };

    assert_int_equal(take(s, first, 2, false), SAMPLES_TAKEN_PART);
    assert_int_equal(samples_ticks(s), 0);
    assert_int_equal(take(s, second, 1, true), SAMPLES_TAKEN_TICK);
    assert_int_equal(samples_ticks(s), 1);
    are(s, SAMPLES_BY_NAME, "a b c");
    /* a and c are in the next tick, b has left, d has come */
    const Given third[] = { { "d", "d", BEGIN + SECOND, 0, 1, false }, { "a", "a", BEGIN + SECOND, 0, 1, false } };
    const Given fourth[] = { { "c", "c", BEGIN + SECOND, 0, 1, false } };
    take(s, third, 2, false);
    are(s, SAMPLES_BY_NAME, "a b c d");
    take(s, fourth, 1, true);
    are(s, SAMPLES_BY_NAME, "a c d");
    /* nothing runs any more */
    assert_int_equal(take(s, NULL, 0, true), SAMPLES_TAKEN_TICK);
    are(s, SAMPLES_BY_NAME, "");
}

static void test_final_is_no_tick(void **state) {
    _cleanup_(samples_freep) Samples *s = samples_new();
    const Given both[] = { { "a", "a", BEGIN, 0, 1, false }, { "b", "b", BEGIN, 0, 1, false } };
    const Given end[] = { { "a", "a", BEGIN + SECOND, 7, 0, true } };

    take(s, both, 2, true);
    assert_int_equal(take(s, end, 1, true), SAMPLES_TAKEN_FINAL);
    assert_int_equal(samples_ticks(s), 1);
    are(s, SAMPLES_BY_NAME, "b"); /* b was not in that reply and stays */
    /* one that was never seen */
    assert_int_equal(take(s, end, 1, true), SAMPLES_TAKEN_FINAL);
    are(s, SAMPLES_BY_NAME, "b");
    assert_int_equal(take(s, NULL, 0, false), SAMPLES_TAKEN_PART);
}

static void test_orders(void **state) {
    _cleanup_(samples_freep) Samples *s = samples_new();

    for (int tick = 0; tick < 2; tick++) {
        int64_t at = BEGIN + tick * SECOND;
        const Given given[] = {
            { "1", "unknown", at, -1, -1, false },
            { "2", "busy", at, tick * 900000, 10, false },
            { "3", "big", at, tick * 100000, 1000, false },
            { "5", "idle", at, 0, 10, false },
            { "4", "idle", at, 0, 10, false },
        };
        take(s, given, ELEMENTSOF(given), true);
    }
    are(s, SAMPLES_BY_NAME, "big busy idle idle unknown");
    are(s, SAMPLES_BY_CPU, "busy big idle idle unknown");
    are(s, SAMPLES_BY_MEMORY, "big busy idle idle unknown");
    are(s, SAMPLES_BY_PIDS, "big busy idle idle unknown");
    const SamplesRow *const *rows;
    (void) samples_sort(s, SAMPLES_BY_CPU, &rows);
    assert_string_equal(samples_id(rows[2]), "4"); /* a fixed order among equals */
}

static void test_order_of_sums_and_maxima(void **state) {
    static const char text[] =
        "{\"complete\":true,\"samples\":["
        "{\"container\":\"a\",\"name\":\"a\",\"monotonicUsec\":%lld,\"network\":{\"inBytes\":10,\"outBytes\":10},"
        "\"pressure\":{\"cpu\":{\"someUsec\":%d},\"memory\":{\"someUsec\":0},\"io\":{\"someUsec\":null}}},"
        "{\"container\":\"b\",\"name\":\"b\",\"monotonicUsec\":%lld,\"network\":{\"inBytes\":null,\"outBytes\":15},"
        "\"pressure\":{\"cpu\":{\"someUsec\":0},\"memory\":{\"someUsec\":0},\"io\":{\"someUsec\":%d}}}]}";
    _cleanup_(samples_freep) Samples *s = samples_new();

    for (int tick = 0; tick < 2; tick++) {
        char json[1024];
        long long at = BEGIN + tick * SECOND;
        (void) snprintf(json, sizeof(json), text, at, tick * 10000, at, tick * 200000);
        _cleanup_json_ json_object *reply = json_tokener_parse(json);
        assert_int_equal(samples_take(s, reply), SAMPLES_TAKEN_TICK);
    }
    are(s, SAMPLES_BY_NET, "a b");
    are(s, SAMPLES_BY_PSI, "b a");
}

static void test_order_names_and_keys(void **state) {
    static const struct {
        const char *name;
        char key;
        SamplesOrder order;
    } all[] = {
        { "name", 'a', SAMPLES_BY_NAME }, { "cpu", 'c', SAMPLES_BY_CPU }, { "memory", 'm', SAMPLES_BY_MEMORY },
        { "pids", 'p', SAMPLES_BY_PIDS }, { "net", 'n', SAMPLES_BY_NET }, { "io", 'i', SAMPLES_BY_IO },
        { "disk", 'd', SAMPLES_BY_DISK }, { "psi", 's', SAMPLES_BY_PSI }, { "throttled", 't', SAMPLES_BY_THROTTLED },
    };
    Error error = ERROR_INIT;

    for (size_t i = 0; i < ELEMENTSOF(all); i++) {
        assert_int_equal(samples_order_from_string("--sort", all[i].name, &error), all[i].order);
        assert_int_equal(samples_order_from_key(all[i].key), all[i].order);
    }
    assert_int_equal(samples_order_from_key('q'), -EINVAL);
    assert_int_equal(samples_order_from_key(0), -EINVAL);
    assert_int_equal(samples_order_from_string("--sort", "size", &error), -EINVAL);
    assert_string_equal(error.subject, "--sort");
    assert_non_null(strstr(error.message, "\"size\""));
    assert_non_null(strstr(error.message, "throttled"));
}

static void trend_is(Samples *s, SamplesTrend trend, size_t n, const int64_t *last, size_t n_last) {
    int64_t bars[SAMPLES_HISTORY_SECONDS];

    samples_trend(s, only(s), trend, n, bars);
    for (size_t i = 0; i < n; i++) {
        int64_t expected = i >= n - n_last ? last[i - (n - n_last)] : SAMPLES_UNKNOWN;
        if (bars[i] != expected)
            fail_msg("bar %zu is %lld, not %lld", i, (long long) bars[i], (long long) expected);
    }
}

static void test_trend(void **state) {
    _cleanup_(samples_freep) Samples *s = samples_new();

    take_one(s, "a", BEGIN, 0, 100);
    take_one(s, "a", BEGIN + SECOND, 500000, 200);
    take_one(s, "a", BEGIN + 2 * SECOND, 600000, 50);
    trend_is(s, SAMPLES_TREND_CPU, 60, (int64_t[]){ 5000, 1000 }, 2);
    trend_is(s, SAMPLES_TREND_MEMORY, 60, (int64_t[]){ 100, 200, 50 }, 3);
    /* bars of four seconds stand at multiples of four: BEGIN is one */
    trend_is(s, SAMPLES_TREND_CPU, 15, (int64_t[]){ 3000 }, 1);
    trend_is(s, SAMPLES_TREND_MEMORY, 15, (int64_t[]){ 200 }, 1);
    take_one(s, "a", BEGIN + 4 * SECOND, 600000, 70);
    trend_is(s, SAMPLES_TREND_MEMORY, 15, (int64_t[]){ 200, 70 }, 2);
}

static void test_trend_of_rare_and_frequent_readings(void **state) {
    _cleanup_(samples_freep) Samples *s = samples_new();

    /* one reading for three seconds stands in each of them */
    take_one(s, "a", BEGIN, 0, 100);
    take_one(s, "a", BEGIN + 3 * SECOND, 300000, 300);
    trend_is(s, SAMPLES_TREND_CPU, 60, (int64_t[]){ 1000, 1000, 1000 }, 3);
    trend_is(s, SAMPLES_TREND_MEMORY, 60, (int64_t[]){ 100, 300, 300, 300 }, 4);
    /* ten readings in a second make one bar of their mean */
    for (int i = 1; i <= 10; i++)
        take_one(s, "a", BEGIN + 3 * SECOND + i * 99000, 300000 + i * 49500, 300);
    trend_is(s, SAMPLES_TREND_CPU, 60, (int64_t[]){ 1000, 1000, (int64_t) 795000 * 10000 / 3990000 }, 3);
}

static void test_trend_forgets(void **state) {
    _cleanup_(samples_freep) Samples *s = samples_new();

    take_one(s, "a", BEGIN, 0, 999);
    for (int i = 1; i <= 100; i++)
        take_one(s, "a", BEGIN + i * SECOND, i * 10000, 10);
    int64_t bars[60];
    samples_trend(s, only(s), SAMPLES_TREND_MEMORY, 60, bars);
    for (size_t i = 0; i < 60; i++)
        assert_int_equal(bars[i], 10);
    /* silence of more than the whole history */
    take_one(s, "a", BEGIN + 1000 * SECOND, 100 * 10000, 20);
    samples_trend(s, only(s), SAMPLES_TREND_MEMORY, 60, bars);
    for (size_t i = 0; i < 60; i++)
        assert_int_equal(bars[i], 20);
}

static void bars_are(const int64_t *values, size_t n, int64_t full, bool utf8, const char *expected) {
    char line[SPARKLINE_MAX * 3 + 1];

    sparkline(values, n, full, utf8, line);
    assert_string_equal(line, expected);
}

static void test_sparkline(void **state) {
    const int64_t steps[] = { -1, 0, 12, 13, 25, 50, 75, 99, 100, 1000 };
    const int64_t huge[] = { INT64_MAX / 2, INT64_MAX };

    bars_are(steps, ELEMENTSOF(steps), 100, true, " ▁▁▂▃▅▇███");
    bars_are(steps, ELEMENTSOF(steps), 100, false, " __.-=*###");
    bars_are(huge, 2, INT64_MAX, true, "▅█");
    bars_are(steps, 3, 0, true, " ▁▁");
    bars_are(steps, 0, 100, true, "");
}

static void test_sparkline_locale(void **state) {
    (void) unsetenv("LC_ALL");
    (void) unsetenv("LC_CTYPE");
    (void) unsetenv("LANG");
    assert_false(sparkline_utf8());
    (void) setenv("LANG", "de_DE.UTF-8", 1);
    assert_true(sparkline_utf8());
    (void) setenv("LC_CTYPE", "C", 1);
    assert_false(sparkline_utf8());
    (void) setenv("LC_ALL", "C.utf8", 1);
    assert_true(sparkline_utf8());
    (void) setenv("LC_ALL", "", 1);
    assert_false(sparkline_utf8());
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rate),
        cmocka_unit_test(test_no_negative_rates),
        cmocka_unit_test(test_another_container_of_the_same_name),
        cmocka_unit_test(test_unknown_is_not_zero),
        cmocka_unit_test(test_tick_in_parts),
        cmocka_unit_test(test_final_is_no_tick),
        cmocka_unit_test(test_orders),
        cmocka_unit_test(test_order_of_sums_and_maxima),
        cmocka_unit_test(test_order_names_and_keys),
        cmocka_unit_test(test_trend),
        cmocka_unit_test(test_trend_of_rare_and_frequent_readings),
        cmocka_unit_test(test_trend_forgets),
        cmocka_unit_test(test_sparkline),
        cmocka_unit_test(test_sparkline_locale),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
