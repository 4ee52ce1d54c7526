/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * See text.h. Input is hostile: any bytes, any length that the caller could hold in memory.
 */

#include "rpc/text.h"

#include "proto/utf8.h"

#include <string.h>

#define REPLACEMENT "\xEF\xBF\xBD"

/* Bytes of the character that begins at P, of which LEFT are there; 0 if none does, or it is NUL. */
static size_t character_length(const char *p, size_t left) {
    uint32_t character;
    size_t length = utf8_decode(p, left, &character);
    return length > 0 && character != 0 ? length : 0;
}

bool text_is_utf8(const void *bytes, size_t size) {
    const char *p = bytes;
    while (size > 0) {
        size_t length = character_length(p, size);
        if (length == 0)
            return false;
        p += length;
        size -= length;
    }
    return true;
}

char *text_to_utf8(const char *bytes) {
    size_t left = strlen(bytes);
    if (text_is_utf8(bytes, left))
        return strdup(bytes);
    char *copy = malloc(left * strlen(REPLACEMENT) + 1);
    if (!copy)
        return NULL;
    char *out = copy;
    while (left > 0) {
        size_t length = character_length(bytes, left);
        size_t taken = length > 0 ? length : 1, written = length > 0 ? length : strlen(REPLACEMENT);
        memcpy(out, length > 0 ? bytes : REPLACEMENT, written);
        out += written;
        bytes += taken;
        left -= taken;
    }
    *out = 0;
    return copy;
}

char *text_to_base64(const void *bytes, size_t size) {
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const unsigned char *p = bytes;
    char *text = malloc((size + 2) / 3 * 4 + 1), *out = text;
    if (!text)
        return NULL;
    for (size_t i = 0; i < size; i += 3) {
        unsigned n = (unsigned) p[i] << 16;
        n |= i + 1 < size ? (unsigned) p[i + 1] << 8 : 0;
        n |= i + 2 < size ? (unsigned) p[i + 2] : 0;
        *out++ = digits[n >> 18];
        *out++ = digits[(n >> 12) & 63];
        *out++ = i + 1 < size ? digits[(n >> 6) & 63] : '=';
        *out++ = i + 2 < size ? digits[n & 63] : '=';
    }
    *out = 0;
    return text;
}
