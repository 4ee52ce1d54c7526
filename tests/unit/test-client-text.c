/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What reaches the user's terminal: escapes, tables, JSON, and base64 on its way back. */

#include "client/render-json.h"
#include "client/render-table.h"
#include "client/report.h"
#include "client/text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static void escapes_to(const char *s, const char *expected) {
    _cleanup_free_ char *escaped = text_escape(s);
    assert_string_equal(escaped, expected);
}

static void test_escape(void **state) {
    escapes_to("plain ä € 😀", "plain ä € 😀");
    escapes_to("\x1b[31mred", "\\x1b[31mred");
    escapes_to("a\nb\tc\rd", "a\\nb\\tc\\x0dd");
    escapes_to("\x7f", "\\x7f");
    escapes_to("\xc2\x9b"
               "31m",
               "\\u{9b}31m"); /* CSI as one character */
    escapes_to("\xe2\x80\xae"
               "txt",
               "\\u{202e}txt"); /* right to left override */
    escapes_to("\xff\xc3", "\\xff\\xc3");
    escapes_to("\xc0\x80", "\\xc0\\x80"); /* overlong */
    escapes_to("", "");
}

static void shortened(const char *s, size_t width, const char *expected) {
    char copy[64];

    (void) snprintf(copy, sizeof(copy), "%s", s);
    text_shorten(copy, width);
    assert_string_equal(copy, expected);
}

static void test_shorten(void **state) {
    shortened("abcdef", 6, "abcdef");
    shortened("abcdefg", 6, "abc...");
    shortened("äöüäöüä", 6, "äöü...");
    shortened("abcdefg", 3, "...");
    shortened("abcdefg", 2, "..");
}

static void test_fitting(void **state) {
    assert_int_equal(text_fitting("abc", 2), 2);
    assert_int_equal(text_fitting("abc", 3), 3);
    assert_int_equal(text_fitting("abc", 9), 3);
    assert_int_equal(text_fitting("a█b", 2), 4);
    assert_int_equal(text_fitting("█▁", 1), 3);
    assert_int_equal(text_fitting("abc", 0), 0);
}

static void printed_is(const char *cell, size_t *widths, const char *expected) {
    static const char *const headings[] = { "A", "B", NULL };
    _cleanup_(table_freep) Table *t = table_new(headings);
    _cleanup_free_ char *text = NULL;
    size_t size;

    table_share_widths(t, widths);
    table_add(t, cell);
    table_add(t, "x");
    FILE *out = open_memstream(&text, &size);
    assert_int_equal(table_print(t, false, out), 0);
    (void) fclose(out);
    assert_string_equal(text, expected);
}

static void test_tables_in_line(void **state) {
    size_t widths[2] = { 0 };

    printed_is("12345", widths, "12345  x\n");
    printed_is("1", widths, "1      x\n");
    printed_is("1234567", widths, "1234567  x\n");
    printed_is("12345", widths, "12345    x\n");
}

static void test_units(void **state) {
    char s[64];

    text_bytes(0, s, sizeof(s));
    assert_string_equal(s, "0B");
    text_bytes(1023, s, sizeof(s));
    assert_string_equal(s, "1023B");
    text_bytes(1536, s, sizeof(s));
    assert_string_equal(s, "1.5KiB");
    text_bytes(200LL << 20, s, sizeof(s));
    assert_string_equal(s, "200MiB");
    text_bytes(INT64_MAX, s, sizeof(s));
    assert_string_equal(s, "7.9EiB");
    text_duration(-5, s, sizeof(s));
    assert_string_equal(s, "less than a second");
    text_duration(1000000, s, sizeof(s));
    assert_string_equal(s, "1 second");
    text_duration(119 * 1000000LL, s, sizeof(s));
    assert_string_equal(s, "1 minute");
    text_duration(7200 * 1000000LL, s, sizeof(s));
    assert_string_equal(s, "2 hours");
    text_timestamp(1700000000000042, s, sizeof(s));
    assert_string_equal(s, "2023-11-14T22:13:20.000042Z");
    text_timestamp(-1, s, sizeof(s));
    assert_string_equal(s, "1969-12-31T23:59:59.999999Z");
    text_cpu_time(4512250000, s, sizeof(s));
    assert_string_equal(s, "75:12.25");
}

static void decodes_to(const char *s, const char *expected, size_t size) {
    _cleanup_free_ char *bytes = NULL;
    size_t n = 0;

    assert_int_equal(text_base64(s, &bytes, &n), 0);
    assert_int_equal(n, size);
    assert_memory_equal(bytes, expected, size);
}

static void test_base64(void **state) {
    decodes_to("", "", 0);
    decodes_to("AA==", "\0", 1);
    decodes_to("//4A", "\xff\xfe\0", 3);
    decodes_to("+/8=", "\xfb\xff", 2);
    static const char *const wrong[] = { "A", "AAA", "====", "A===", "A A=", "AA=A", "-_==" };
    for (size_t i = 0; i < ELEMENTSOF(wrong); i++) {
        char *bytes = NULL;
        size_t n;
        if (text_base64(wrong[i], &bytes, &n) != -EBADMSG)
            fail_msg("\"%s\" was decoded", wrong[i]);
    }
}

static void test_table(void **state) {
    static const char *const headings[] = { "NAME", "N", "LAST", NULL };
    _cleanup_(table_freep) Table *t = table_new(headings);
    _cleanup_free_ char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);

    table_add(t, "übrig");
    table_addf(t, "%d", 12);
    table_add(t, "a\nb");
    table_add(t, "x");
    table_add(t, "");
    table_add_short(t, "abcdefgh", 5);
    assert_int_equal(table_print(t, true, out), 0);
    assert_int_equal(fclose(out), 0);
    assert_string_equal(text, "NAME   N   LAST\n"
                              "übrig  12  a\\nb\n"
                              "x          ab...\n");
}

static void test_json(void **state) {
    json_object *o = json_object_new_object();
    _cleanup_free_ char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);

    json_object_object_add(o, "s", json_object_new_string("/\x1b\x7f\xc2\x9b\xc2\xa0"));
    json_object_object_add(o, "i", json_object_new_int64(INT64_MAX));
    assert_int_equal(json_print(o, false, out), 0);
    assert_int_equal(fclose(out), 0);
    assert_string_equal(text, "{\"s\":\"/\\u001b\\u007f\\u009b\xc2\xa0\",\"i\":9223372036854775807}\n");

    int64_t i = 0;
    assert_true(json_field_int(o, "i", &i));
    assert_int_equal(i, INT64_MAX);
    assert_false(json_field_int(o, "s", &i));
    assert_false(json_field_int(o, "none", &i));
    assert_false(json_field_int(NULL, "i", &i));
    assert_null(json_field_string(o, "i"));
    json_object_put(o);
}

static void test_flags_of_fields(void **state) {
    assert_string_equal(report_flag_of_field("limits.memory"), "-m/--memory");
    assert_string_equal(report_flag_of_field("volumes[1].target"), "-v/--volume");
    assert_string_equal(report_flag_of_field("command[0]"), "COMMAND");
    assert_string_equal(report_flag_of_field("pid"), "--pid");
    assert_null(report_flag_of_field("limits"));
    assert_null(report_flag_of_field("pids"));
    assert_null(report_flag_of_field("--memory"));
}

static void test_error_replies(void **state) {
    json_object *p = json_object_new_object();
    Error error = ERROR_INIT;

    json_object_object_add(p, "stage", json_object_new_string("execve"));
    json_object_object_add(p, "errno", json_object_new_int(ENOENT));
    json_object_object_add(p, "message", json_object_new_string("x: not found"));
    report_from_reply("io.kennel.HardeningFailed", p, &error);
    assert_int_equal(error.kind, ERROR_HARDENING_FAILED);
    assert_int_equal(error.code, ENOENT);
    assert_string_equal(error.message, "x: not found");
    assert_int_equal(report_exit_code(&error), 127);
    error.code = EACCES;
    assert_int_equal(report_exit_code(&error), 126);
    (void) strcpy(error.subject, "mounts");
    assert_int_equal(report_exit_code(&error), 125);
    report_from_reply("org.varlink.service.MethodNotFound", p, &error);
    assert_int_equal(error.kind, ERROR_FAILED);
    assert_int_equal(report_exit_code(&error), 125);
    json_object_put(p);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_escape),         cmocka_unit_test(test_shorten), cmocka_unit_test(test_fitting),
        cmocka_unit_test(test_tables_in_line), cmocka_unit_test(test_units),   cmocka_unit_test(test_base64),
        cmocka_unit_test(test_table),          cmocka_unit_test(test_json),    cmocka_unit_test(test_flags_of_fields),
        cmocka_unit_test(test_error_replies),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
