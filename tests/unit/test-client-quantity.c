/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Numbers as people write them: what each form means exactly, and that everything else is refused with its flag. */

#include "client/quantity.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static void bytes_are(const char *text, int64_t expected) {
    Error error = ERROR_INIT;
    int64_t value = -1;

    if (quantity_bytes("-m/--memory", text, 0, &value, &error) != 0)
        fail_msg("%s: %s", text, error.message);
    assert_int_equal(value, expected);
}

static void test_bytes(void **state) {
    bytes_are("0", 0);
    bytes_are("67108864", 67108864);
    bytes_are("1b", 1);
    bytes_are("64k", 65536);
    bytes_are("64K", 65536);
    bytes_are("64kb", 65536);
    bytes_are("64M", 67108864);
    bytes_are("64MiB", 67108864);
    bytes_are("1g", 1073741824);
    bytes_are("2T", 2199023255552);
    bytes_are("9223372036854775807", INT64_MAX);
    bytes_are("8191p", 8191LL << 50);
}

static void test_bytes_refused(void **state) {
    static const char *const wrong[] = {
        "",
        "k",
        "-1",
        "-1m",
        "+1m",
        " 1m",
        "1m ",
        "1 m",
        "1x",
        "1.5g",
        "1e3",
        "0x10",
        "64mm",
        "64ki",
        "64mbx",
        "1bb",
        "1ib",
        "8192p",
        "9223372036854775808",
        "99999999999999999999g",
    };

    for (size_t i = 0; i < ELEMENTSOF(wrong); i++) {
        Error error = ERROR_INIT;
        int64_t value = -7;
        if (quantity_bytes("-m/--memory", wrong[i], 0, &value, &error) != -EINVAL)
            fail_msg("\"%s\" was taken for %lld", wrong[i], (long long) value);
        assert_int_equal(value, -7);
        assert_int_equal(error.kind, ERROR_INVALID_SPEC);
        assert_string_equal(error.subject, "-m/--memory");
        assert_non_null(strstr(error.message, wrong[i]));
        assert_non_null(strstr(error.message, "64M"));
    }
}

static void cpus_are(const char *text, int64_t expected) {
    Error error = ERROR_INIT;
    int64_t value = -1;

    if (quantity_cpus("--cpus", text, 1, &value, &error) != 0)
        fail_msg("%s: %s", text, error.message);
    assert_int_equal(value, expected);
}

static void test_cpus(void **state) {
    cpus_are("1", 1000000);
    cpus_are("0.5", 500000);
    cpus_are(".5", 500000);
    cpus_are("1.5", 1500000);
    cpus_are("0.01", 10000);
    cpus_are("0.000001", 1);
    cpus_are("0.1", 100000); /* what binary fractions cannot hold */
    cpus_are("2.300000000", 2300000);
    cpus_are("128", 128000000);
}

static void test_cpus_refused(void **state) {
    static const char *const wrong[] = { "",
                                         "0",
                                         "0.0",
                                         ".",
                                         "1.",
                                         "-1",
                                         "+1",
                                         "1,5",
                                         "1.5.5",
                                         "inf",
                                         "nan",
                                         "1e1",
                                         "1 ",
                                         "0.0000001",
                                         "1.0000001",
                                         "0x1",
                                         "99999999999999999999" };

    for (size_t i = 0; i < ELEMENTSOF(wrong); i++) {
        Error error = ERROR_INIT;
        int64_t value;
        if (quantity_cpus("--cpus", wrong[i], 1, &value, &error) != -EINVAL)
            fail_msg("\"%s\" was taken for %lld", wrong[i], (long long) value);
        assert_string_equal(error.subject, "--cpus");
        assert_non_null(strstr(error.message, wrong[i]));
    }
}

static void test_least(void **state) {
    Error error = ERROR_INIT;
    int64_t value = -7;

    assert_int_equal(quantity_bytes("--disk", "1M", 1048576, &value, &error), 0);
    assert_int_equal(value, 1048576);
    value = -7;
    assert_int_equal(quantity_bytes("--disk", "1023k", 1048576, &value, &error), -EINVAL);
    assert_string_equal(error.subject, "--disk");
    assert_non_null(strstr(error.message, "\"1023k\""));
    assert_non_null(strstr(error.message, "1048576"));
    assert_int_equal(quantity_cpus("--cpus", "0.01", 10000, &value, &error), 0);
    assert_int_equal(value, 10000);
    assert_int_equal(quantity_cpus("--cpus", "0.009999", 10000, &value, &error), -EINVAL);
    assert_string_equal(error.message, "\"0.009999\" is too little; 0.01 or more is expected");
}

static void test_bits(void **state) {
    static const struct {
        const char *text;
        int64_t expected;
    } right[] = {
        { "8000", 8000 },       { "8000bit", 8000 },  { "8k", 8000 },
        { "8Kbit", 8000 },      { "10M", 10000000 },  { "10mbit", 10000000 },
        { "10MBit", 10000000 }, { "1G", 1000000000 }, { "9223372036854775807", INT64_MAX },
    };

    for (size_t i = 0; i < ELEMENTSOF(right); i++) {
        Error error = ERROR_INIT;
        int64_t value = -1;
        if (quantity_bits("--net-rate", right[i].text, 8000, &value, &error) != 0)
            fail_msg("%s: %s", right[i].text, error.message);
        assert_int_equal(value, right[i].expected);
    }
}

static void test_bits_refused(void **state) {
    static const char *const wrong[] = {
        "",
        "0",
        "-1",
        "7999",
        "7k",
        "M",
        "1.5M",
        "10Mb",
        "10MB",
        "10Mi",
        "10Mibit",
        "10T",
        "10 M",
        "10M ",
        "10Mbit/s",
        "0x2000",
        "10bitM",
        "9223372036854775808",
        "9999999999999G",
    };

    for (size_t i = 0; i < ELEMENTSOF(wrong); i++) {
        Error error = ERROR_INIT;
        int64_t value = -7;
        if (quantity_bits("--net-rate", wrong[i], 8000, &value, &error) != -EINVAL)
            fail_msg("\"%s\" was taken for %lld", wrong[i], (long long) value);
        assert_int_equal(value, -7);
        assert_string_equal(error.subject, "--net-rate");
        assert_non_null(strstr(error.message, wrong[i]));
        assert_non_null(strstr(error.message, "bits per second"));
    }
}

static void test_integer(void **state) {
    int64_t value;
    Error error = ERROR_INIT;

    assert_int_equal(quantity_integer("--pid", "1", 1, 100, &value, &error), 0);
    assert_int_equal(value, 1);
    assert_int_equal(quantity_integer("--pid", "-5", -5, 100, &value, &error), 0);
    assert_int_equal(value, -5);
    static const char *const wrong[] = { "0", "101", "-1", "", "-", "1x", " 1", "1.0", "0x1", "18446744073709551617" };
    for (size_t i = 0; i < ELEMENTSOF(wrong); i++)
        assert_int_equal(quantity_integer("--pid", wrong[i], 1, 100, &value, &error), -EINVAL);
}

static void test_seconds(void **state) {
    int64_t value;

    assert_int_equal(quantity_seconds("-t/--time", "2.5", &value, NULL), 0);
    assert_int_equal(value, 2500000);
    assert_int_equal(quantity_seconds("-t/--time", "0", &value, NULL), 0);
    assert_int_equal(value, 0);
    assert_int_equal(quantity_seconds("-t/--time", "-1", &value, NULL), -EINVAL);
}

#define NOW 1800000000000000LL

static void instant_is(const char *text, int64_t expected) {
    Error error = ERROR_INIT;
    int64_t value = -1;

    if (quantity_instant("--since", text, NOW, &value, &error) != 0)
        fail_msg("%s: %s", text, error.message);
    assert_int_equal(value, expected);
}

static void test_instant(void **state) {
    instant_is("0", 0);
    instant_is("1700000000", 1700000000000000);
    instant_is("1700000000.25", 1700000000250000);
    instant_is("10m", NOW - 600000000LL);
    instant_is("1h30m", NOW - 5400000000LL);
    instant_is("1.5s", NOW - 1500000LL);
    instant_is("2d", NOW - 172800000000LL);
    instant_is("9999w", 0);
    instant_is("1970-01-01T00:00:01Z", 1000000);
    instant_is("2023-11-14T22:13:20Z", 1700000000000000);
    instant_is("2023-11-14t22:13:20.5z", 1700000000500000);
    instant_is("2023-11-15T00:13:20+02:00", 1700000000000000);
    instant_is("2023-11-14 14:43:20-07:30", 1700000000000000);
    instant_is("2024-02-29T00:00:00Z", 1709164800000000);
}

static void test_instant_refused(void **state) {
    static const char *const wrong[] = {
        "",
        "now",
        "10",
        "10x",
        "m",
        "10m5",
        "-10m",
        "2023-02-29T00:00:00Z",
        "2023-13-01T00:00:00Z",
        "2023-11-14",
        "2023-11-14T22:13:20",
        "2023-11-14T24:00:00Z",
        "2023-11-14T22:13:20+25:00",
        "2023-11-14T22:13:20Zx",
        "2023-1-1T0:0:0Z",
    };

    for (size_t i = 0; i < ELEMENTSOF(wrong); i++) {
        Error error = ERROR_INIT;
        int64_t value;
        int r = quantity_instant("--since", wrong[i], NOW, &value, &error);
        /* the one that is right keeps the loop honest */
        if ((r == 0) != (strcmp(wrong[i], "10") == 0))
            fail_msg("\"%s\": %d", wrong[i], r);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bytes),        cmocka_unit_test(test_bytes_refused),   cmocka_unit_test(test_cpus),
        cmocka_unit_test(test_cpus_refused), cmocka_unit_test(test_least),           cmocka_unit_test(test_bits),
        cmocka_unit_test(test_bits_refused), cmocka_unit_test(test_integer),         cmocka_unit_test(test_seconds),
        cmocka_unit_test(test_instant),      cmocka_unit_test(test_instant_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
