/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* util/parse: what is a number, what is not, and arrays of strings. */

#include "util/parse.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void accepts_whole_numbers(void **state) {
    uint64_t v = 7;
    assert_int_equal(parse_u64("0", &v), 0);
    assert_int_equal(v, 0);
    assert_int_equal(parse_u64("18446744073709551615", &v), 0);
    assert_true(v == UINT64_MAX);
    uint32_t w = 7;
    assert_int_equal(parse_u32("4294967295", &w), 0);
    assert_int_equal(w, UINT32_MAX);
}

static void refuses_everything_else(void **state) {
    static const char *const bad[] = { "",    " 1",  "1 ", "+1",  "-1",  "0x10",
                                       "1e3", "1.0", "1K", "1\n", "one", "\xd9\xa1" /* ARABIC-INDIC DIGIT ONE */ };
    for (size_t i = 0; i < ELEMENTSOF(bad); i++) {
        uint64_t v = 42;
        assert_int_equal(parse_u64(bad[i], &v), -EINVAL);
        assert_int_equal(v, 42);
        uint32_t id = 42;
        assert_int_equal(parse_id(bad[i], &id), -EINVAL);
        assert_int_equal(id, 42);
    }
    assert_int_equal(parse_u64(NULL, &(uint64_t){ 0 }), -EINVAL);
}

static void says_what_is_too_large(void **state) {
    uint64_t v = 42;
    assert_int_equal(parse_u64("18446744073709551616", &v), -ERANGE);
    assert_int_equal(parse_u64("99999999999999999999999999", &v), -ERANGE);
    assert_int_equal(parse_u64("99999999999999999999999999x", &v), -EINVAL);
    assert_int_equal(v, 42);
    uint32_t w = 42;
    assert_int_equal(parse_u32("4294967296", &w), -ERANGE);
    assert_int_equal(w, 42);
}

static void ids_are_not_the_kernels_none(void **state) {
    uint32_t id = 42;
    assert_int_equal(parse_id("4294967295", &id), -ERANGE);
    assert_int_equal(parse_id("65535", &id), -ERANGE);
    assert_int_equal(id, 42);
    assert_int_equal(parse_id("65534", &id), 0);
    assert_int_equal(id, 65534);
    assert_int_equal(parse_id("4294967294", &id), 0);
    assert_int_equal(id, 4294967294U);
}

static void arrays_are_copied_deeply(void **state) {
    char one[] = "one";
    char *array[] = { one, (char *) "", NULL };
    _cleanup_(strv_freep) char **copy = strv_copy(array);
    assert_non_null(copy);
    one[0] = 'X';
    assert_int_equal(strv_length(copy), 2);
    assert_string_equal(copy[0], "one");
    assert_string_equal(copy[1], "");
    assert_null(copy[2]);
    _cleanup_(strv_freep) char **empty = strv_copy(NULL);
    assert_non_null(empty);
    assert_int_equal(strv_length(empty), 0);
    assert_int_equal(strv_length(NULL), 0);
    assert_null(strv_free(NULL));
}

static void environment_is_searched_by_whole_key(void **state) {
    char *env[] = { (char *) "PATHS=no",    (char *) "PATH",   (char *) "PATH=/bin",
                    (char *) "PATH=/later", (char *) "EMPTY=", NULL };
    assert_string_equal(strv_env_get(env, "PATH"), "/bin");
    assert_string_equal(strv_env_get(env, "EMPTY"), "");
    assert_null(strv_env_get(env, "PAT"));
    assert_null(strv_env_get(NULL, "PATH"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(accepts_whole_numbers),    cmocka_unit_test(refuses_everything_else),
        cmocka_unit_test(says_what_is_too_large),   cmocka_unit_test(ids_are_not_the_kernels_none),
        cmocka_unit_test(arrays_are_copied_deeply), cmocka_unit_test(environment_is_searched_by_whole_key),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
