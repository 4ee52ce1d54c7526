/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Rows of bars; see sparkline.h. */

#include "client/sparkline.h"

#include <string.h>

#define HEIGHTS 8

void sparkline(const int64_t *values, size_t n, int64_t full, bool utf8, char *ret) {
    static const char *const blocks[HEIGHTS] = { "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█" };
    static const char *const ascii[HEIGHTS] = { "_", ".", "-", ":", "=", "+", "*", "#" };

    *ret = 0;
    for (size_t i = 0; i < n && i < SPARKLINE_MAX; i++) {
        /* in floating point: bytes times eight may not fit, and a bar has no more than three bits */
        double height = full > 0 ? (double) values[i] * HEIGHTS / (double) full : 0;
        size_t level = height >= HEIGHTS ? HEIGHTS - 1 : height > 0 ? (size_t) height : 0;
        ret = stpcpy(ret, values[i] < 0 ? " " : (utf8 ? blocks : ascii)[level]);
    }
}

bool sparkline_utf8(void) {
    static const char *const variables[] = { "LC_ALL", "LC_CTYPE", "LANG" };

    for (size_t i = 0; i < ELEMENTSOF(variables); i++) {
        const char *value = getenv(variables[i]);
        if (value && value[0])
            return strcasestr(value, "utf-8") || strcasestr(value, "utf8");
    }
    return false;
}
