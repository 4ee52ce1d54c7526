/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The daemon's tables against the interface file: the same methods on both sides, and every error as the file has it.
 */

#include "proto/interface.h"
#include "proto/json.h"
#include "rpc/errors.h"
#include "rpc/methods.h"
#include "rpc/text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static void test_tables_agree(void **state) {
    const char *mismatch = methods_find_mismatch();
    if (mismatch)
        fail_msg("%s is on one side alone", mismatch);
    assert_non_null(methods_find(&interface_io_kennel, "Run"));
    assert_null(methods_find(&interface_io_kennel, "run"));
    assert_null(methods_find(&interface_io_kennel, ""));
    assert_null(methods_find(&interface_io_kennel, "GetInfo"));
    assert_null(methods_interface("io.kennel.Run"));
    assert_null(methods_interface(""));
}

static void test_streams_need_more(void **state) {
    assert_true(methods_find(&interface_io_kennel, "Logs")->needs_more);
    assert_true(methods_find(&interface_io_kennel, "Events")->needs_more);
    assert_false(methods_find(&interface_io_kennel, "Stats")->needs_more);
    assert_false(methods_find(&interface_io_kennel, "List")->takes_descriptors);
}

static const InterfaceError *find_error(const char *full_name) {
    const char *name = strrchr(full_name, '.') + 1;
    for (const InterfaceError *e = interface_io_kennel.errors; e->name; e++)
        if (strcmp(e->name, name) == 0)
            return e;
    return NULL;
}

static void test_errors(void **state) {
    for (ErrorKind k = ERROR_NONE; k <= _ERROR_KIND_MAX; k++) {
        Error e = ERROR_INIT, why = ERROR_INIT;
        (void) error_set(&e, k, EPERM, "17", "because");
        const char *name = NULL;
        _cleanup_json_ json_object *parameters = NULL;
        assert_true(errors_to_wire(&e, "abc", &name, &parameters) >= 0);
        assert_int_equal(strncmp(name, "io.kennel.", 10), 0);
        const InterfaceError *declared = find_error(name);
        assert_non_null(declared);
        if (interface_check(declared->fields, parameters, &why) < 0)
            fail_msg("%s: %s %s", name, why.subject, why.message);
    }
}

static void test_error_parameters(void **state) {
    Error e = ERROR_INIT;
    const char *name = NULL;
    _cleanup_json_ json_object *p = NULL;
    (void) error_set(&e, ERROR_NO_SUCH_PROCESS, ESRCH, "4711", "gone");
    assert_true(errors_to_wire(&e, "web", &name, &p) >= 0);
    assert_string_equal(json_object_get_string(json_object_object_get(p, "container")), "web");
    assert_int_equal(json_object_get_int64(json_object_object_get(p, "pid")), 4711);
    json_object_putp(&p);
    (void) error_set(&e, ERROR_HARDENING_FAILED, ENOENT, "execve", "no such program");
    assert_true(errors_to_wire(&e, NULL, &name, &p) >= 0);
    assert_string_equal(name, "io.kennel.HardeningFailed");
    assert_string_equal(json_object_get_string(json_object_object_get(p, "stage")), "execve");
    assert_int_equal(json_object_get_int64(json_object_object_get(p, "errno")), ENOENT);
}

static void test_utf8(void **state) {
    static const char *const good[] = { "", "a", "\xC3\xA4", "\xE2\x82\xAC", "\xF0\x9F\x90\xB6", "\xF4\x8F\xBF\xBF" };
    static const char *const bad[] = {
        "\x80",  "\xC0\x80", "\xC3", "\xE0\x80\x80", "\xED\xA0\x80", "\xF4\x90\x80\x80", "\xF8\x88\x80\x80\x80",
        "a\xFF", "\xE2\x82"
    };
    for (size_t i = 0; i < ELEMENTSOF(good); i++)
        assert_true(text_is_utf8(good[i], strlen(good[i])));
    for (size_t i = 0; i < ELEMENTSOF(bad); i++) {
        assert_false(text_is_utf8(bad[i], strlen(bad[i])));
        _cleanup_free_ char *clean = text_to_utf8(bad[i]);
        assert_true(text_is_utf8(clean, strlen(clean)));
    }
    assert_false(text_is_utf8("a\0b", 3));
    _cleanup_free_ char *mixed = text_to_utf8("x\xFFy\xC3\xA4");
    assert_string_equal(mixed, "x\xEF\xBF\xBDy\xC3\xA4");
}

static void test_base64(void **state) {
    /* RFC 4648, section 10 */
    static const char *const pairs[][2] = {
        { "", "" },
        { "f", "Zg==" },
        { "fo", "Zm8=" },
        { "foo", "Zm9v" },
        { "foob", "Zm9vYg==" },
        { "fooba", "Zm9vYmE=" },
        { "foobar", "Zm9vYmFy" },
        { "\xFF\xFE\xFD", "//79" },
    };
    for (size_t i = 0; i < ELEMENTSOF(pairs); i++) {
        _cleanup_free_ char *text = text_to_base64(pairs[i][0], strlen(pairs[i][0]));
        assert_string_equal(text, pairs[i][1]);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tables_agree), cmocka_unit_test(test_streams_need_more),
        cmocka_unit_test(test_errors),       cmocka_unit_test(test_error_parameters),
        cmocka_unit_test(test_utf8),         cmocka_unit_test(test_base64),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
