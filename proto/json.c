/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The JSON reader; see json.h for what it takes and why json-c's own is not used.
 *
 * BYTES is whatever a peer sent: nothing is assumed of it, not even a NUL at its end. A recursive descent whose depth
 * the bounds limit. Strings without escapes, nearly all there are, go from the message into json-c without a detour;
 * others are decoded in `scratch` first. The first error wins and names the byte where it was noticed.
 */

#include "proto/json.h"

#include "kennel/limits.h"
#include "proto/quote.h"
#include "proto/utf8.h"

#include <limits.h>
#include <locale.h>
#include <math.h>
#include <string.h>

typedef struct Reader {
    const char *bytes;
    size_t size, at;
    size_t values; /* read so far */
    const JsonBounds *bounds;
    char *scratch;
    size_t scratch_size;
    Error *reterr;
} Reader;

/* A string as it stands in the input, between its quotes; its syntax has been checked. */
typedef struct Token {
    size_t at, size;
    bool escaped;
} Token;

static int read_value(Reader *r, unsigned depth, json_object **ret);

static _printf_(5, 6) int fail(Reader *r, int code, size_t at, size_t culprit, const char *format, ...) {
    char what[160], quoted[QUOTE_SIZE] = "";
    va_list ap;

    va_start(ap, format);
    (void) vsnprintf(what, sizeof(what), format, ap);
    va_end(ap);
    if (culprit > 0)
        (void) quote(quoted, r->bytes + at, culprit);
    return error_set(r->reterr, ERROR_MALFORMED, code, NULL, "byte %zu: %s%s%s", at, what, culprit > 0 ? ": " : "",
                     quoted);
}

static int fail_memory(Reader *r) {
    return error_failed(r->reterr, ENOMEM, "json", "out of memory");
}

static bool is_space(char c) {
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}
static bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

static bool at_end(const Reader *r) {
    return r->at == r->size;
}
static char peek(const Reader *r) {
    return at_end(r) ? 0 : r->bytes[r->at];
}

static void skip_space(Reader *r) {
    while (!at_end(r) && is_space(r->bytes[r->at]))
        r->at++;
}

static bool skip_char(Reader *r, char c) {
    if (at_end(r) || r->bytes[r->at] != c)
        return false;
    r->at++;
    return true;
}

/* What a person would call the wrong thing at AT: up to the next space or structural character, one byte at least. */
static size_t culprit_size(const Reader *r, size_t at) {
    size_t end = at;

    while (end < r->size && !is_space(r->bytes[end]) && (r->bytes[end] == 0 || !strchr(",:[]{}\"", r->bytes[end])))
        end++;
    return end > at ? end - at : 1;
}

static int fail_expected(Reader *r, const char *expected) {
    if (at_end(r))
        return fail(r, EBADMSG, r->at, 0, "the input ends where %s is expected", expected);
    return fail(r, EBADMSG, r->at, culprit_size(r, r->at), "%s is expected here", expected);
}

/* --- strings --- */

static int hex_digit(char c) {
    if (is_digit(c))
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* The four digits of the \u that begins at AT. */
static int read_unit(const Reader *r, size_t at, uint32_t *ret) {
    uint32_t unit = 0;

    if (r->size - at < 6 || r->bytes[at] != '\\' || r->bytes[at + 1] != 'u')
        return -EBADMSG;
    for (size_t i = at + 2; i < at + 6; i++) {
        int digit = hex_digit(r->bytes[i]);
        if (digit < 0)
            return -EBADMSG;
        unit = unit << 4 | (uint32_t) digit;
    }
    *ret = unit;
    return 0;
}

static int read_unicode_escape(Reader *r, size_t at, size_t *ret_size, uint32_t *ret) {
    uint32_t high, low;

    if (read_unit(r, at, &high) < 0)
        return fail(r, EBADMSG, at, r->size - at < 6 ? r->size - at : 6, "\\u needs four hexadecimal digits");
    /* C strings carry what is read here: to them a NUL would end it, and hide the rest from every check */
    if (high == 0)
        return fail(r, EBADMSG, at, 6, "\\u0000 is not allowed in a string");
    *ret_size = 6;
    *ret = high;
    if (high < 0xD800 || high > 0xDFFF)
        return 0;
    if (high >= 0xDC00 || read_unit(r, at + 6, &low) < 0 || low < 0xDC00 || low > 0xDFFF)
        return fail(r, EBADMSG, at, 6, "half of a surrogate pair");
    *ret_size = 12;
    *ret = 0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00);
    return 0;
}

/* The escape whose backslash is at AT. */
static int read_escape(Reader *r, size_t at, size_t *ret_size, uint32_t *ret) {
    static const char names[] = "\"\\/bfnrt", values[] = "\"\\/\b\f\n\r\t";
    const char *found;

    if (at + 1 == r->size)
        return fail(r, EBADMSG, r->size, 0, "the input ends inside a string");
    if (r->bytes[at + 1] == 'u')
        return read_unicode_escape(r, at, ret_size, ret);
    found = memchr(names, r->bytes[at + 1], strlen(names));
    if (!found)
        return fail(r, EBADMSG, at, 2, "JSON has no such escape");
    *ret_size = 2;
    *ret = (uint32_t) values[found - names];
    return 0;
}

/* Checks the string that begins here and moves behind it. */
static int scan_string(Reader *r, Token *ret) {
    Token token = { .at = r->at + 1 };

    for (size_t i = token.at; i < r->size;) {
        unsigned char c = (unsigned char) r->bytes[i];
        size_t n = 1;
        uint32_t character;

        if (c == '"') {
            token.size = i - token.at;
            r->at = i + 1;
            *ret = token;
            return 0;
        }
        if (c == '\\') {
            int k = read_escape(r, i, &n, &character);
            if (k < 0)
                return k;
            token.escaped = true;
        } else if (c < 0x20)
            return fail(r, EBADMSG, i, 1, "a control character in a string must be escaped");
        else if (c >= 0x80 && (n = utf8_decode(r->bytes + i, r->size - i, &character)) == 0)
            return fail(r, EBADMSG, i, 1, "not UTF-8");
        i += n;
    }
    return fail(r, EBADMSG, r->size, 0, "the input ends inside a string");
}

static int reserve_scratch(Reader *r, size_t size) {
    if (size <= r->scratch_size)
        return 0;
    char *grown = realloc(r->scratch, size);
    if (!grown)
        return fail_memory(r);
    r->scratch = grown;
    r->scratch_size = size;
    return 0;
}

/* The text of TOKEN: in the input, or in scratch until the next call. Not terminated. */
static int token_text(Reader *r, const Token *token, const char **ret, size_t *ret_size) {
    size_t size = 0;

    *ret = r->bytes + token->at;
    *ret_size = token->size;
    if (!token->escaped)
        return 0;
    int k = reserve_scratch(r, token->size); /* no escape is shorter than what it stands for */
    if (k < 0)
        return k;
    for (size_t i = token->at, end = token->at + token->size; i < end;) {
        size_t n = 1;
        uint32_t c;
        if (r->bytes[i] != '\\')
            r->scratch[size++] = r->bytes[i];
        else if ((k = read_escape(r, i, &n, &c)) < 0)
            return k;
        else
            size += utf8_encode(c, r->scratch + size);
        i += n;
    }
    *ret = r->scratch;
    *ret_size = size;
    return 0;
}

static int read_string(Reader *r, json_object **ret) {
    Token token;
    const char *text;
    size_t size;

    int k = scan_string(r, &token);
    if (k < 0)
        return k;
    k = token_text(r, &token, &text, &size);
    if (k < 0)
        return k;
    *ret = json_object_new_string_len(text, (int) size);
    return *ret ? 0 : fail_memory(r);
}

/* --- numbers and words --- */

static size_t skip_digits(Reader *r) {
    size_t from = r->at;

    while (is_digit(peek(r)))
        r->at++;
    return r->at - from;
}

/* Moves behind the number that begins here, if it is one. */
static int scan_number(Reader *r, bool *ret_integer) {
    size_t from = r->at;
    bool integer = true;

    (void) skip_char(r, '-');
    if (skip_char(r, '0')) {
        if (is_digit(peek(r)))
            return fail(r, EBADMSG, from, culprit_size(r, from), "a number with a leading zero");
    } else if (skip_digits(r) == 0)
        return fail(r, EBADMSG, from, culprit_size(r, from), "a minus sign without a number");
    if (skip_char(r, '.')) {
        integer = false;
        if (skip_digits(r) == 0)
            return fail(r, EBADMSG, from, culprit_size(r, from), "a decimal point without digits after it");
    }
    if (skip_char(r, 'e') || skip_char(r, 'E')) {
        integer = false;
        if (!skip_char(r, '+'))
            (void) skip_char(r, '-');
        if (skip_digits(r) == 0)
            return fail(r, EBADMSG, from, culprit_size(r, from), "an exponent without digits");
    }
    *ret_integer = integer;
    return 0;
}

static int parse_integer(Reader *r, size_t from, json_object **ret) {
    bool negative = r->bytes[from] == '-';
    int64_t value = 0;

    /* below zero there is one value more */
    for (size_t i = from + negative; i < r->at; i++)
        if (__builtin_mul_overflow(value, 10, &value) || __builtin_sub_overflow(value, r->bytes[i] - '0', &value))
            return fail(r, EBADMSG, from, r->at - from, "an integer beyond 64 bits");
    if (!negative && __builtin_sub_overflow(0, value, &value))
        return fail(r, EBADMSG, from, r->at - from, "an integer beyond 64 bits");
    *ret = json_object_new_int64(value);
    return *ret ? 0 : fail_memory(r);
}

static int parse_double(Reader *r, size_t from, json_object **ret) {
    size_t size = r->at - from;

    int k = reserve_scratch(r, size + 1);
    if (k < 0)
        return k;
    memcpy(r->scratch, r->bytes + from, size);
    r->scratch[size] = 0;
    /* the program's locale may have a decimal comma; glibc has this one ready and allocates nothing for it */
    locale_t c_locale = newlocale(LC_ALL_MASK, "C", (locale_t) 0);
    if (!c_locale)
        return fail_memory(r);
    double value = strtod_l(r->scratch, NULL, c_locale);
    freelocale(c_locale);
    if (!isfinite(value))
        return fail(r, EBADMSG, from, size, "a number out of range");
    *ret = json_object_new_double(value);
    return *ret ? 0 : fail_memory(r);
}

static int read_number(Reader *r, json_object **ret) {
    size_t from = r->at;
    bool integer = false;

    int k = scan_number(r, &integer);
    if (k < 0)
        return k;
    return integer ? parse_integer(r, from, ret) : parse_double(r, from, ret);
}

static int read_word(Reader *r, json_object **ret) {
    size_t size = culprit_size(r, r->at);
    const char *word = r->bytes + r->at;

    if (size == 4 && memcmp(word, "null", 4) == 0)
        *ret = NULL;
    else if ((size == 4 && memcmp(word, "true", 4) == 0) || (size == 5 && memcmp(word, "false", 5) == 0)) {
        *ret = json_object_new_boolean(size == 4);
        if (!*ret)
            return fail_memory(r);
    } else
        return fail_expected(r, "a value");
    r->at += size;
    return 0;
}

/* --- arrays and objects --- */

static int read_array(Reader *r, unsigned depth, json_object **ret) {
    _cleanup_json_ json_object *array = json_object_new_array_ext(4);

    if (!array)
        return fail_memory(r);
    r->at++;
    skip_space(r);
    if (!skip_char(r, ']'))
        for (;;) {
            json_object *element = NULL;
            int k = read_value(r, depth, &element);
            if (k < 0)
                return k;
            if (json_object_array_add(array, element) < 0) {
                json_object_put(element);
                return fail_memory(r);
            }
            skip_space(r);
            if (skip_char(r, ']'))
                break;
            if (!skip_char(r, ','))
                return fail_expected(r, "a comma or ]");
        }
    *ret = TAKE_PTR(array);
    return 0;
}

/* The key must be compared after its escapes are resolved: "a" and "\u0061" are the same. */
static int read_key(Reader *r, json_object *object, char key[static KENNEL_KEY_MAX + 1]) {
    size_t max = r->bounds->key_max < KENNEL_KEY_MAX ? r->bounds->key_max : KENNEL_KEY_MAX;
    size_t from = r->at, size;
    const char *text;
    Token token;

    if (peek(r) != '"')
        return fail_expected(r, "a key in double quotes");
    int k = scan_string(r, &token);
    if (k < 0)
        return k;
    k = token_text(r, &token, &text, &size);
    if (k < 0)
        return k;
    if (size > max) {
        char quoted[QUOTE_SIZE];
        return fail(r, E2BIG, from, 0, "a key of %zu bytes, %zu are allowed: %s", size, max, quote(quoted, text, size));
    }
    memcpy(key, text, size);
    key[size] = 0;
    if (json_object_object_get_ex(object, key, NULL)) {
        char quoted[QUOTE_SIZE];
        return fail(r, EBADMSG, from, 0, "a key occurs twice: %s", quote(quoted, key, size));
    }
    return 0;
}

static int read_member(Reader *r, unsigned depth, json_object *object) {
    char key[KENNEL_KEY_MAX + 1];
    json_object *value = NULL;

    skip_space(r);
    int k = read_key(r, object, key);
    if (k < 0)
        return k;
    skip_space(r);
    if (!skip_char(r, ':'))
        return fail_expected(r, "a colon");
    k = read_value(r, depth, &value);
    if (k < 0)
        return k;
    if (json_object_object_add_ex(object, key, value, JSON_C_OBJECT_ADD_KEY_IS_NEW) < 0) {
        json_object_put(value);
        return fail_memory(r);
    }
    return 0;
}

static int read_object(Reader *r, unsigned depth, json_object **ret) {
    _cleanup_json_ json_object *object = json_object_new_object();

    if (!object)
        return fail_memory(r);
    r->at++;
    skip_space(r);
    if (!skip_char(r, '}'))
        for (;;) {
            int k = read_member(r, depth, object);
            if (k < 0)
                return k;
            skip_space(r);
            if (skip_char(r, '}'))
                break;
            if (!skip_char(r, ','))
                return fail_expected(r, "a comma or }");
        }
    *ret = TAKE_PTR(object);
    return 0;
}

/* DEPTH: of the array or object that the value stands in, 0 outside of any. */
static int read_value(Reader *r, unsigned depth, json_object **ret) {
    skip_space(r);
    char c = peek(r);

    if (++r->values > r->bounds->values_max)
        return fail(r, E2BIG, r->at, 0, "more than %zu values", r->bounds->values_max);
    if (c == '"')
        return read_string(r, ret);
    if (c == '-' || is_digit(c))
        return read_number(r, ret);
    if (c != '{' && c != '[')
        return at_end(r) ? fail_expected(r, "a value") : read_word(r, ret);
    if (depth >= r->bounds->depth_max)
        return fail(r, E2BIG, r->at, 0, "arrays and objects nested more than %u deep", r->bounds->depth_max);
    return c == '{' ? read_object(r, depth + 1, ret) : read_array(r, depth + 1, ret);
}

int json_read(const char *bytes, size_t size, const JsonBounds *bounds, json_object **ret, Error *reterr) {
    Reader r = { .bytes = bytes, .size = size, .bounds = bounds, .reterr = reterr };
    _cleanup_json_ json_object *value = NULL;

    /* json-c counts in int */
    if (size > INT_MAX)
        return fail(&r, E2BIG, 0, 0, "more than %d bytes", INT_MAX);
    if (size >= 3 && memcmp(bytes, "\xEF\xBB\xBF", 3) == 0)
        return fail(&r, EBADMSG, 0, 0, "a byte order mark is not allowed");
    int k = read_value(&r, 0, &value);
    free(r.scratch);
    if (k < 0)
        return k;
    skip_space(&r);
    if (!at_end(&r))
        return fail(&r, EBADMSG, r.at, culprit_size(&r, r.at), "the input goes on after its value");
    *ret = TAKE_PTR(value);
    return 0;
}
