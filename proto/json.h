/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * A JSON reader that takes what RFC 8259 takes and nothing else, and gives json-c objects.
 *
 * json-c's own tokener, strict flag or not, lets NaN, single quotes, duplicate keys, numbers out of range and more
 * through. Two readers of the same bytes could then see two things (CVE-2024-41110 was of this kind), so ours refuses:
 * anything that is not UTF-8, duplicate keys, \u0000 in strings, lone surrogates, integers beyond 64 bits, leading
 * zeros, trailing bytes, depth and counts above the bounds. The stack does not grow with the input's depth beyond
 * KENNEL_DEPTH_MAX.
 */

#include "kennel/error.h"
#include "kennel/limits.h"

#include <json-c/json.h>

typedef struct JsonBounds {
    unsigned depth_max;
    size_t values_max;
    size_t key_max;
} JsonBounds;

#define JSON_BOUNDS_CALL ((JsonBounds){ KENNEL_DEPTH_MAX, KENNEL_VALUES_MAX, KENNEL_KEY_MAX })
/* for files that root wrote and replies of the daemon */
#define JSON_BOUNDS_TRUSTED ((JsonBounds){ KENNEL_DEPTH_MAX, 16U * 1024U * 1024U, KENNEL_KEY_MAX })

/*
 * Reads exactly one JSON value from BYTES. On success *ret is a new reference (NULL stands for the value null).
 * On failure returns -EBADMSG (not JSON), -E2BIG (a bound) or -ENOMEM, and reterr (ERROR_MALFORMED) says what at which
 * byte: "byte 17: a key occurs twice: \"name\"".
 */
int json_read(const char *bytes, size_t size, const JsonBounds *bounds, json_object **ret, Error *reterr);

static inline void json_object_putp(json_object **o) {
    if (*o)
        json_object_put(*o);
    *o = NULL;
}
#define _cleanup_json_ _cleanup_(json_object_putp)
