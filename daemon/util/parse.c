/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Text to numbers, by hand. strtoull() skips blanks, takes signs and wraps negative numbers round, and what is parsed
 * here decides whose rights a process gets.
 */

#include "util/parse.h"

#include <string.h>

int parse_u64(const char *text, uint64_t *ret) {
    if (!text || !*text)
        return -EINVAL;
    uint64_t value = 0;
    bool overflow = false;
    for (const char *p = text; *p; p++) {
        if (*p < '0' || *p > '9')
            return -EINVAL;
        overflow |= __builtin_mul_overflow(value, 10, &value);
        overflow |= __builtin_add_overflow(value, (uint64_t) (*p - '0'), &value);
    }
    /* only now: "99999999999999999999x" is no number at all, rather than one that is too large */
    if (overflow)
        return -ERANGE;
    *ret = value;
    return 0;
}

int parse_u32(const char *text, uint32_t *ret) {
    uint64_t value;
    int r = parse_u64(text, &value);
    if (r < 0)
        return r;
    if (value > UINT32_MAX)
        return -ERANGE;
    *ret = (uint32_t) value;
    return 0;
}

int parse_id(const char *text, uint32_t *ret) {
    uint32_t value;
    int r = parse_u32(text, &value);
    if (r < 0)
        return r;
    if (value == UINT32_MAX || value == UINT16_MAX)
        return -ERANGE;
    *ret = value;
    return 0;
}

char **strv_free(char **v) {
    for (char **s = v; s && *s; s++)
        free(*s);
    free(v);
    return NULL;
}

size_t strv_length(char *const *v) {
    size_t n = 0;
    while (v && v[n])
        n++;
    return n;
}

char **strv_copy(char *const *v) {
    size_t n = strv_length(v);
    _cleanup_(strv_freep) char **copy = calloc(n + 1, sizeof(char *));
    if (!copy)
        return NULL;
    for (size_t i = 0; i < n; i++) {
        copy[i] = strdup(v[i]);
        if (!copy[i])
            return NULL;
    }
    return TAKE_PTR(copy);
}

const char *strv_env_get(char *const *env, const char *key) {
    size_t length = strlen(key);
    for (; env && *env; env++)
        if (strncmp(*env, key, length) == 0 && (*env)[length] == '=')
            return *env + length + 1;
    return NULL;
}
