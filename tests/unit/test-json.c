/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the JSON reader takes, what it refuses, and the words with which it does. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "kennel/limits.h"
#include "proto/json.h"

#include <locale.h>
#include <string.h>
#include <sys/mman.h>

/* A literal and its size, so that NUL bytes can be inside. */
#define BYTES(s) (s), sizeof(s) - 1

/*
 * Reads from a copy that ends where a page without access begins: a read beyond the end kills the test, without any
 * sanitizer's help.
 */
static int read_guarded(const char *bytes, size_t size, const JsonBounds *bounds, json_object **ret, Error *err) {
    size_t page = (size_t) sysconf(_SC_PAGESIZE), room = (size / page + 1) * page;
    char *map = mmap(NULL, room + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    assert_ptr_not_equal(map, MAP_FAILED);
    assert_int_equal(mprotect(map + room, page, PROT_NONE), 0);
    char *copy = map + room - size;
    memcpy(copy, bytes, size);
    int r = json_read(copy, size, bounds, ret, err);
    munmap(map, room + page);
    return r;
}

static void test_accepts(void **state) {
    static const struct {
        const char *bytes;
        size_t size;
        const char *expected; /* as json-c writes it */
    } table[] = {
        { BYTES("null"), "null" },
        { BYTES("true"), "true" },
        { BYTES("false"), "false" },
        { BYTES("0"), "0" },
        { BYTES("-0"), "0" },
        { BYTES("7"), "7" },
        { BYTES("-17"), "-17" },
        { BYTES("9223372036854775807"), "9223372036854775807" },
        { BYTES("-9223372036854775808"), "-9223372036854775808" },
        { BYTES("1e5"), "100000.0" },
        { BYTES("1E+2"), "100.0" },
        { BYTES("25e-1"), "2.5" },
        { BYTES("-0.0"), "-0.0" },
        { BYTES("0e0"), "0.0" },
        { BYTES("1e-999"), "0.0" },
        { BYTES(" \t\r\n1 \t\r\n"), "1" },
        { BYTES("\"\""), "\"\"" },
        { BYTES("\"abc\""), "\"abc\"" },
        { BYTES("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\""), "\"\\\"\\\\/\\b\\f\\n\\r\\t\"" },
        { BYTES("\"\\u0041\\u00e9\\u20AC\""), "\"A\u00e9\u20ac\"" },
        { BYTES("\"\\ud83d\\ude00\""), "\"\U0001F600\"" },
        { BYTES("\"\\uDBFF\\uDFFF\""), "\"\xF4\x8F\xBF\xBF\"" },
        { BYTES("\"\\u0001\""), "\"\\u0001\"" },
        { BYTES("\"\x7F\""), "\"\x7F\"" },
        { BYTES("\"\u00e9\u20ac\U0001F600\""), "\"\u00e9\u20ac\U0001F600\"" },
        { BYTES("\"\xF4\x8F\xBF\xBF\""), "\"\xF4\x8F\xBF\xBF\"" },
        { BYTES("\"\xEF\xBB\xBF\""), "\"\xEF\xBB\xBF\"" },
        { BYTES("[]"), "[]" },
        { BYTES("[ ]"), "[]" },
        { BYTES("[1 , [ 2 ] ,null]"), "[1,[2],null]" },
        { BYTES("{}"), "{}" },
        { BYTES("{ }"), "{}" },
        { BYTES("{ \"a\" : 1 , \"b\":{\"a\":null} }"), "{\"a\":1,\"b\":{\"a\":null}}" },
        { BYTES("{\"\":1}"), "{\"\":1}" },
        { BYTES("{\"A\":1,\"a\":2}"), "{\"A\":1,\"a\":2}" },
        { BYTES("{\"\\u0061\":1}"), "{\"a\":1}" },
    };

    for (size_t i = 0; i < ELEMENTSOF(table); i++) {
        _cleanup_json_ json_object *o = NULL;
        Error err = ERROR_INIT;
        int r = read_guarded(table[i].bytes, table[i].size, &JSON_BOUNDS_CALL, &o, &err);
        if (r < 0)
            fail_msg("%s: %s", table[i].bytes, err.message);
        assert_string_equal(json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE),
                            table[i].expected);
    }
}

static const struct {
    const char *bytes;
    size_t size;
    const char *message;
} rejected[] = {
    /* nothing, or half of something */
    { BYTES(""), "byte 0: the input ends where a value is expected" },
    { BYTES("  \n"), "byte 3: the input ends where a value is expected" },
    { BYTES("["), "byte 1: the input ends where a value is expected" },
    { BYTES("[1"), "byte 2: the input ends where a comma or ] is expected" },
    { BYTES("[1,"), "byte 3: the input ends where a value is expected" },
    { BYTES("{"), "byte 1: the input ends where a key in double quotes is expected" },
    { BYTES("{\"a\""), "byte 4: the input ends where a colon is expected" },
    { BYTES("{\"a\":"), "byte 5: the input ends where a value is expected" },
    { BYTES("{\"a\":1"), "byte 6: the input ends where a comma or } is expected" },
    { BYTES("{\"a\":1,"), "byte 7: the input ends where a key in double quotes is expected" },
    { BYTES("\"abc"), "byte 4: the input ends inside a string" },
    { BYTES("\"abc\\"), "byte 5: the input ends inside a string" },
    { BYTES("\"abc\\\""), "byte 6: the input ends inside a string" },
    { BYTES("tru"), "byte 0: a value is expected here: \"tru\"" },
    /* other languages' values */
    { BYTES("NaN"), "byte 0: a value is expected here: \"NaN\"" },
    { BYTES("[Infinity]"), "byte 1: a value is expected here: \"Infinity\"" },
    { BYTES("-Infinity"), "byte 0: a minus sign without a number: \"-Infinity\"" },
    { BYTES("nan"), "byte 0: a value is expected here: \"nan\"" },
    { BYTES("True"), "byte 0: a value is expected here: \"True\"" },
    { BYTES("nullx"), "byte 0: a value is expected here: \"nullx\"" },
    { BYTES("undefined"), "byte 0: a value is expected here: \"undefined\"" },
    { BYTES("'a'"), "byte 0: a value is expected here: \"'a'\"" },
    { BYTES("{'a':1}"), "byte 1: a key in double quotes is expected here: \"'a'\"" },
    { BYTES("{a:1}"), "byte 1: a key in double quotes is expected here: \"a\"" },
    { BYTES("{1:1}"), "byte 1: a key in double quotes is expected here: \"1\"" },
    { BYTES("// x\n1"), "byte 0: a value is expected here: \"//\"" },
    { BYTES("[1,/* x */2]"), "byte 3: a value is expected here: \"/*\"" },
    { BYTES("[1]# x"), "byte 3: the input goes on after its value: \"#\"" },
    /* commas and colons */
    { BYTES("[1,]"), "byte 3: a value is expected here: \"]\"" },
    { BYTES("[,1]"), "byte 1: a value is expected here: \",\"" },
    { BYTES("[1 2]"), "byte 3: a comma or ] is expected here: \"2\"" },
    { BYTES("[1}"), "byte 2: a comma or ] is expected here: \"}\"" },
    { BYTES("{\"a\":1,}"), "byte 7: a key in double quotes is expected here: \"}\"" },
    { BYTES("{\"a\" 1}"), "byte 5: a colon is expected here: \"1\"" },
    { BYTES("{\"a\"::1}"), "byte 5: a value is expected here: \":\"" },
    { BYTES("{\"a\":1 \"b\":2}"), "byte 7: a comma or } is expected here: \"\\\"\"" },
    { BYTES("]"), "byte 0: a value is expected here: \"]\"" },
    /* numbers */
    { BYTES("+1"), "byte 0: a value is expected here: \"+1\"" },
    { BYTES(".5"), "byte 0: a value is expected here: \".5\"" },
    { BYTES("1."), "byte 0: a decimal point without digits after it: \"1.\"" },
    { BYTES("[1.,2]"), "byte 1: a decimal point without digits after it: \"1.\"" },
    { BYTES("1.e5"), "byte 0: a decimal point without digits after it: \"1.e5\"" },
    { BYTES("1e"), "byte 0: an exponent without digits: \"1e\"" },
    { BYTES("1e+"), "byte 0: an exponent without digits: \"1e+\"" },
    { BYTES("1e+-1"), "byte 0: an exponent without digits: \"1e+-1\"" },
    { BYTES("-"), "byte 0: a minus sign without a number: \"-\"" },
    { BYTES("--1"), "byte 0: a minus sign without a number: \"--1\"" },
    { BYTES("012"), "byte 0: a number with a leading zero: \"012\"" },
    { BYTES("-012"), "byte 0: a number with a leading zero: \"-012\"" },
    { BYTES("00"), "byte 0: a number with a leading zero: \"00\"" },
    { BYTES("0x10"), "byte 1: the input goes on after its value: \"x10\"" },
    { BYTES("1_000"), "byte 1: the input goes on after its value: \"_000\"" },
    { BYTES("9223372036854775808"), "byte 0: an integer beyond 64 bits: \"9223372036854775808\"" },
    { BYTES("-9223372036854775809"), "byte 0: an integer beyond 64 bits: \"-9223372036854775809\"" },
    { BYTES("[18446744073709551616]"), "byte 1: an integer beyond 64 bits: \"18446744073709551616\"" },
    { BYTES("1e999"), "byte 0: a number out of range: \"1e999\"" },
    { BYTES("-1e999"), "byte 0: a number out of range: \"-1e999\"" },
    /* two values */
    { BYTES("1 2"), "byte 2: the input goes on after its value: \"2\"" },
    { BYTES("{}{}"), "byte 2: the input goes on after its value: \"{\"" },
    { BYTES("{}\0"), "byte 2: the input goes on after its value: \"\\u0000\"" },
    { BYTES("1\0 2"), "byte 1: the input goes on after its value: \"\\u0000\"" },
    /* keys */
    { BYTES("{\"a\":1,\"a\":2}"), "byte 7: a key occurs twice: \"a\"" },
    { BYTES("{\"a\":null,\"a\":2}"), "byte 10: a key occurs twice: \"a\"" },
    { BYTES("{\"a\":1,\"\\u0061\":2}"), "byte 7: a key occurs twice: \"a\"" },
    { BYTES("{\"\\/\":1,\"/\":2}"), "byte 8: a key occurs twice: \"/\"" },
    { BYTES("{\"\\ud83d\\ude00\":1,\"\U0001F600\":2}"), "byte 18: a key occurs twice: \"\U0001F600\"" },
    { BYTES("{\"a\\n\":1,\"a\\n\":2}"), "byte 9: a key occurs twice: \"a\\n\"" },
    { BYTES("[{\"x\":{\"b\":1,\"b\":1}}]"), "byte 13: a key occurs twice: \"b\"" },
    /* strings */
    { BYTES("\"a\nb\""), "byte 2: a control character in a string must be escaped: \"\\n\"" },
    { BYTES("\"\x1B[2J\""), "byte 1: a control character in a string must be escaped: \"\\u001b\"" },
    { BYTES("\"a\0b\""), "byte 2: a control character in a string must be escaped: \"\\u0000\"" },
    { BYTES("\"\\u0000\""), "byte 1: \\u0000 is not allowed in a string: \"\\\\u0000\"" },
    { BYTES("{\"a\\u0000\":1}"), "byte 3: \\u0000 is not allowed in a string: \"\\\\u0000\"" },
    { BYTES("\"\\x41\""), "byte 1: JSON has no such escape: \"\\\\x\"" },
    { BYTES("\"\\'\""), "byte 1: JSON has no such escape: \"\\\\'\"" },
    { BYTES("\"\\\0\""), "byte 1: JSON has no such escape: \"\\\\\\u0000\"" },
    { BYTES("\"\\u12\""), "byte 1: \\u needs four hexadecimal digits: \"\\\\u12\\\"\"" },
    { BYTES("\"\\u00g0\""), "byte 1: \\u needs four hexadecimal digits: \"\\\\u00g0\"" },
    { BYTES("\"\\u"), "byte 1: \\u needs four hexadecimal digits: \"\\\\u\"" },
    { BYTES("\"\\ud800\""), "byte 1: half of a surrogate pair: \"\\\\ud800\"" },
    { BYTES("\"\\udc00\""), "byte 1: half of a surrogate pair: \"\\\\udc00\"" },
    { BYTES("\"\\ud800\\ud800\""), "byte 1: half of a surrogate pair: \"\\\\ud800\"" },
    { BYTES("\"\\ud800x\""), "byte 1: half of a surrogate pair: \"\\\\ud800\"" },
    { BYTES("\"\\ud800\\u0041\""), "byte 1: half of a surrogate pair: \"\\\\ud800\"" },
    /* bytes that are not UTF-8 */
    { BYTES("\"\x80\""), "byte 1: not UTF-8: \"\\x80\"" },
    { BYTES("\"\xFF\""), "byte 1: not UTF-8: \"\\xff\"" },
    { BYTES("\"\xC0\xAF\""), "byte 1: not UTF-8: \"\\xc0\"" },
    { BYTES("\"\xC1\xBF\""), "byte 1: not UTF-8: \"\\xc1\"" },
    { BYTES("\"\xE0\x80\xAF\""), "byte 1: not UTF-8: \"\\xe0\"" },
    { BYTES("\"\xE0\x9F\xBF\""), "byte 1: not UTF-8: \"\\xe0\"" },
    { BYTES("\"\xF0\x8F\xBF\xBF\""), "byte 1: not UTF-8: \"\\xf0\"" },
    { BYTES("\"\xED\xA0\x80\""), "byte 1: not UTF-8: \"\\xed\"" },
    { BYTES("\"\xED\xBF\xBF\""), "byte 1: not UTF-8: \"\\xed\"" },
    { BYTES("\"\xF4\x90\x80\x80\""), "byte 1: not UTF-8: \"\\xf4\"" },
    { BYTES("\"\xF8\x88\x80\x80\x80\""), "byte 1: not UTF-8: \"\\xf8\"" },
    { BYTES("\"ab\xC3\""), "byte 3: not UTF-8: \"\\xc3\"" },
    { BYTES("\"\xE2\x82"), "byte 1: not UTF-8: \"\\xe2\"" },
    { BYTES("{\"\xC3(\":1}"), "byte 2: not UTF-8: \"\\xc3\"" },
    { BYTES("\xEF\xBB\xBF{}"), "byte 0: a byte order mark is not allowed" },
    { BYTES("\xFE\xFF\0{"), "byte 0: a value is expected here: \"\\xfe\\xff\\u0000\"" },
    { BYTES("\xC2\xA0 1"), "byte 0: a value is expected here: \"\\u00a0\"" },
    { BYTES("\v1"), "byte 0: a value is expected here: \"\\u000b1\"" },
};

static void test_rejects(void **state) {
    for (size_t i = 0; i < ELEMENTSOF(rejected); i++) {
        json_object *o = (json_object *) 0x1;
        Error err = ERROR_INIT;
        int r = read_guarded(rejected[i].bytes, rejected[i].size, &JSON_BOUNDS_CALL, &o, &err);
        if (r != -EBADMSG)
            fail_msg("taken, or another error: %s", rejected[i].bytes);
        assert_string_equal(err.message, rejected[i].message);
        assert_int_equal(err.kind, ERROR_MALFORMED);
        assert_int_equal(err.code, EBADMSG);
        assert_ptr_equal(o, (json_object *) 0x1);
        assert_int_equal(json_read(rejected[i].bytes, rejected[i].size, &JSON_BOUNDS_CALL, &o, NULL), -EBADMSG);
    }
}

/* Every cut of a valid text is invalid, and none is read beyond its end. */
static void test_prefixes(void **state) {
    static const char text[] =
        "{\"a\":[1,-2.5e+3,\"x\\n\\u00e9\\ud83d\\ude00\u20ac\",true,false,null],\"b\":{\"c\":[]},\"d\":\"\"}";

    for (size_t n = 0; n < sizeof(text); n++) {
        _cleanup_json_ json_object *o = NULL;
        int r = read_guarded(text, n, &JSON_BOUNDS_CALL, &o, NULL);
        assert_int_equal(r, n == sizeof(text) - 1 ? 0 : -EBADMSG);
    }
}

static void test_types(void **state) {
    _cleanup_json_ json_object *o = NULL;

    assert_int_equal(json_read(BYTES("[1,1.0,1e0,-0,0.1]"), &JSON_BOUNDS_CALL, &o, NULL), 0);
    assert_int_equal(json_object_get_type(json_object_array_get_idx(o, 0)), json_type_int);
    assert_int_equal(json_object_get_type(json_object_array_get_idx(o, 1)), json_type_double);
    assert_int_equal(json_object_get_type(json_object_array_get_idx(o, 2)), json_type_double);
    assert_int_equal(json_object_get_type(json_object_array_get_idx(o, 3)), json_type_int);
    assert_true(json_object_get_double(json_object_array_get_idx(o, 4)) == 0.1);
}

static void test_locale(void **state) {
    _cleanup_json_ json_object *o = NULL;

    if (!setlocale(LC_NUMERIC, "de_DE.UTF-8")) {
        print_message("this machine has no locale de_DE.UTF-8, whose decimal point is a comma\n");
        skip();
    }
    int r = json_read(BYTES("1.5"), &JSON_BOUNDS_CALL, &o, NULL);
    setlocale(LC_NUMERIC, "C");
    assert_int_equal(r, 0);
    assert_true(json_object_get_double(o) == 1.5);
}

static void repeat(char *out, const char *s, size_t n) {
    for (size_t i = 0, size = strlen(s); i < n; i++)
        memcpy(out + i * size, s, size);
}

static int read_nested(const char *open, const char *close, size_t depth, Error *err) {
    size_t a = strlen(open) * depth, b = strlen(close) * depth;
    _cleanup_free_ char *text = malloc(a + 1 + b);
    _cleanup_json_ json_object *o = NULL;

    assert_non_null(text);
    repeat(text, open, depth);
    text[a] = '1';
    repeat(text + a + 1, close, depth);
    return read_guarded(text, a + 1 + b, &JSON_BOUNDS_CALL, &o, err);
}

static void test_depth(void **state) {
    Error err = ERROR_INIT;

    assert_int_equal(read_nested("[", "]", KENNEL_DEPTH_MAX, &err), 0);
    assert_int_equal(read_nested("[", "]", KENNEL_DEPTH_MAX + 1, &err), -E2BIG);
    assert_string_equal(err.message, "byte 32: arrays and objects nested more than 32 deep");
    assert_int_equal(err.kind, ERROR_MALFORMED);
    assert_int_equal(read_nested("{\"a\":", "}", KENNEL_DEPTH_MAX, &err), 0);
    assert_int_equal(read_nested("{\"a\":", "}", KENNEL_DEPTH_MAX + 1, &err), -E2BIG);
    assert_int_equal(read_nested("[", "]", 100000, &err), -E2BIG);
}

static int read_values(size_t n, Error *err) {
    _cleanup_free_ char *text = malloc(2 * n + 1);
    _cleanup_json_ json_object *o = NULL;

    assert_non_null(text);
    repeat(text, "1,", n);
    text[0] = '[';
    text[1] = '1';
    for (size_t i = 1; i < n; i++)
        memcpy(text + 2 * i, ",1", 2);
    text[2 * n] = ']';
    return json_read(text, 2 * n + 1, &JSON_BOUNDS_CALL, &o, err);
}

/* The array is a value too. */
static void test_values(void **state) {
    Error err = ERROR_INIT;

    assert_int_equal(read_values(KENNEL_VALUES_MAX - 1, &err), 0);
    assert_int_equal(read_values(KENNEL_VALUES_MAX, &err), -E2BIG);
    assert_non_null(strstr(err.message, ": more than 65536 values"));
}

static int read_with_key(const char *unit, size_t n, Error *err) {
    size_t size = strlen(unit) * n;
    _cleanup_free_ char *text = malloc(size + 6);
    _cleanup_json_ json_object *o = NULL;

    assert_non_null(text);
    memcpy(text, "{\"", 2);
    repeat(text + 2, unit, n);
    memcpy(text + 2 + size, "\":1}", 4);
    return read_guarded(text, size + 6, &JSON_BOUNDS_CALL, &o, err);
}

static void test_key_size(void **state) {
    Error err = ERROR_INIT;

    assert_int_equal(read_with_key("k", KENNEL_KEY_MAX, &err), 0);
    assert_int_equal(read_with_key("k", KENNEL_KEY_MAX + 1, &err), -E2BIG);
    assert_string_equal(err.message, "byte 1: a key of 257 bytes, 256 are allowed: "
                                     "\"kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk\u2026\"");
    /* it is the key that counts, not how it is spelt */
    assert_int_equal(read_with_key("\\u0041", KENNEL_KEY_MAX, &err), 0);
    assert_int_equal(read_with_key("\\u00e9", KENNEL_KEY_MAX / 2, &err), 0);
    assert_int_equal(read_with_key("\\u00e9", KENNEL_KEY_MAX / 2 + 1, &err), -E2BIG);
}

/* A culprit never puts a terminal's sequences, or half a character, into the text. */
static void test_culprit(void **state) {
    json_object *o = NULL;
    Error err = ERROR_INIT;

    assert_int_equal(json_read(BYTES("\x1B]0;owned\x07\xC2\x9B\xE2\x80\xAE\xFF\""), &JSON_BOUNDS_CALL, &o, &err),
                     -EBADMSG);
    assert_string_equal(err.message, "byte 0: a value is expected here: \"\\u001b\"");
    assert_int_equal(json_read(BYTES("x\x1B\x07\xC2\x9B\xE2\x80\xAE\xFF\\"), &JSON_BOUNDS_CALL, &o, &err), -EBADMSG);
    assert_string_equal(err.message, "byte 0: a value is expected here: \"x\\u001b\\u0007\\u009b\\u202e\\xff\\\\\"");
    /* 20 characters of three bytes are 60; the 21st goes as a whole */
    char text[3 * 30];
    repeat(text, "\u20ac", 30);
    assert_int_equal(json_read(text, sizeof(text), &JSON_BOUNDS_CALL, &o, &err), -EBADMSG);
    assert_int_equal(strlen(strchr(err.message, '"')), 1 + 60 + 3 + 1);
}

static void test_long_strings(void **state) {
    size_t n = 1000000;
    _cleanup_free_ char *text = malloc(n + 4);
    _cleanup_json_ json_object *o = NULL, *escaped = NULL;

    assert_non_null(text);
    memset(text, 'x', n + 4);
    text[0] = text[n + 1] = '"';
    assert_int_equal(json_read(text, n + 2, &JSON_BOUNDS_CALL, &o, NULL), 0);
    assert_int_equal(json_object_get_string_len(o), n);
    memcpy(text + n - 1, "\\n\"", 3);
    assert_int_equal(json_read(text, n + 2, &JSON_BOUNDS_CALL, &escaped, NULL), 0);
    assert_int_equal(json_object_get_string_len(escaped), n - 1);
    assert_int_equal(json_object_get_string(escaped)[n - 2], '\n');
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_accepts),      cmocka_unit_test(test_rejects),  cmocka_unit_test(test_prefixes),
        cmocka_unit_test(test_types),        cmocka_unit_test(test_locale),   cmocka_unit_test(test_depth),
        cmocka_unit_test(test_values),       cmocka_unit_test(test_key_size), cmocka_unit_test(test_culprit),
        cmocka_unit_test(test_long_strings),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
