/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The one definition of what UTF-8 is (RFC 3629): no overlong forms, no surrogates, nothing above U+10FFFF. */

#include <stddef.h>
#include <stdint.h>

/* The character at S, of which LEFT bytes (at least one) are there: its length and *ret, or 0 if it is not UTF-8. */
static inline size_t utf8_decode(const char *s, size_t left, uint32_t *ret) {
    static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
    const unsigned char *u = (const unsigned char *) s;
    size_t n = u[0] < 0x80 ? 1 : u[0] < 0xC0 ? 0 : u[0] < 0xE0 ? 2 : u[0] < 0xF0 ? 3 : u[0] < 0xF8 ? 4 : 0;

    if (n == 0 || n > left)
        return 0;
    uint32_t c = n == 1 ? u[0] : u[0] & (0x7FU >> n);
    for (size_t i = 1; i < n; i++) {
        if ((u[i] & 0xC0) != 0x80)
            return 0;
        c = c << 6 | (u[i] & 0x3FU);
    }
    if (c < least[n] || (c >= 0xD800 && c <= 0xDFFF) || c > 0x10FFFF)
        return 0;
    *ret = c;
    return n;
}

/* Writes C, which is a character that UTF-8 has, and returns how many bytes it took. */
static inline size_t utf8_encode(uint32_t c, char *out) {
    if (c < 0x80) {
        out[0] = (char) c;
        return 1;
    }
    size_t n = c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    for (size_t i = n - 1; i > 0; i--, c >>= 6)
        out[i] = (char) (0x80 | (c & 0x3F));
    out[0] = (char) ((0xF00U >> n) | c);
    return n;
}
