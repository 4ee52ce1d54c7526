/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Values of flags that have parts; see argument.h. */

#include "client/argument.h"

#include "client/quantity.h"

#include <string.h>

void argument_volume_done(ArgumentVolume *v) {
    free(v->source);
    free(v->target);
    *v = (ArgumentVolume){ 0 };
}

static int out_of_memory(const char *flag, Error *reterr) {
    return error_failed(reterr, ENOMEM, flag, "out of memory");
}

int argument_volume(const char *flag, const char *text, ArgumentVolume *ret, Error *reterr) {
    static const char expected[] = "SRC:DST, SRC:DST:ro or SRC:DST:rw is expected";
    _cleanup_(argument_volume_done) ArgumentVolume v = { 0 };
    const char *colon = strchr(text, ':');

    if (!colon || colon == text)
        return error_invalid(reterr, flag, "\"%s\" has no %s; %s", text, colon ? "source" : "target", expected);
    const char *target = colon + 1, *options = strchr(target, ':');
    size_t length = options ? (size_t) (options - target) : strlen(target);
    if (target[0] != '/')
        return error_invalid(reterr, flag, "\"%s\": the target must be an absolute path in the container; %s", text,
                             expected);
    if (options && strcmp(options, ":ro") == 0)
        v.read_only = true;
    else if (options && strcmp(options, ":rw") != 0)
        return error_invalid(reterr, flag, "\"%s\": \"%s\" is neither ro nor rw; %s", text, options + 1, expected);

    v.source = strndup(text, (size_t) (colon - text));
    v.target = strndup(target, length);
    if (!v.source || !v.target)
        return out_of_memory(flag, reterr);
    *ret = v;
    v = (ArgumentVolume){ 0 };
    return 0;
}

void argument_tmpfs_done(ArgumentTmpfs *t) {
    free(t->path);
    *t = (ArgumentTmpfs){ .size = -1, .mode = -1 };
}

static int parse_mode(const char *flag, const char *text, int64_t *ret, Error *reterr) {
    int64_t mode = 0;
    size_t digits = strspn(text, "01234567");

    if (digits == 0 || digits > 5 || text[digits])
        return error_invalid(reterr, flag, "mode=%s is no octal mode; one such as mode=1777 is expected", text);
    for (const char *c = text; *c; c++)
        mode = mode * 8 + (*c - '0');
    if (mode > 07777)
        return error_invalid(reterr, flag, "mode=%s is above 7777", text);
    *ret = mode;
    return 0;
}

static int parse_tmpfs_options(const char *flag, char *options, ArgumentTmpfs *t, Error *reterr) {
    char *option, *rest = options;

    while ((option = strsep(&rest, ","))) {
        int r;
        if (strncmp(option, "size=", 5) == 0)
            r = quantity_bytes(flag, option + 5, &t->size, reterr);
        else if (strncmp(option, "mode=", 5) == 0)
            r = parse_mode(flag, option + 5, &t->mode, reterr);
        else
            r = error_invalid(reterr, flag, "\"%s\" is no option; size=BYTES and mode=OCTAL are expected", option);
        if (r < 0)
            return r;
    }
    return 0;
}

int argument_tmpfs(const char *flag, const char *text, ArgumentTmpfs *ret, Error *reterr) {
    _cleanup_(argument_tmpfs_done) ArgumentTmpfs t = { .size = -1, .mode = -1 };
    const char *colon = strchr(text, ':');
    _cleanup_free_ char *options = NULL;

    if (text[0] != '/')
        return error_invalid(reterr, flag, "\"%s\" is not an absolute path; PATH or PATH:size=N is expected", text);
    t.path = colon ? strndup(text, (size_t) (colon - text)) : strdup(text);
    options = colon ? strdup(colon + 1) : NULL;
    if (!t.path || (colon && !options))
        return out_of_memory(flag, reterr);
    if (options) {
        int r = parse_tmpfs_options(flag, options, &t, reterr);
        if (r < 0)
            return r;
    }
    *ret = t;
    t.path = NULL;
    return 0;
}

/* The first LENGTH bytes of TEXT as a limit. */
static int parse_limit(const char *flag, const char *text, size_t length, int64_t *ret, Error *reterr) {
    char number[32];

    if (length >= sizeof(number))
        return error_invalid(reterr, flag, "\"%s\" is too long for a limit", text);
    memcpy(number, text, length);
    number[length] = 0;
    if (strcmp(number, "unlimited") == 0 || strcmp(number, "-1") == 0) {
        *ret = -1;
        return 0;
    }
    return quantity_integer(flag, number, 0, INT64_MAX, ret, reterr);
}

int argument_ulimit(const char *flag, const char *text, ArgumentUlimit *ret, Error *reterr) {
    ArgumentUlimit u = { 0 };
    const char *equals = strchr(text, '=');
    size_t length = equals ? (size_t) (equals - text) : 0;

    if (length == 0 || length >= sizeof(u.name))
        return error_invalid(reterr, flag, "\"%s\" is not NAME=SOFT:HARD, such as nofile=1024:4096 or core=unlimited",
                             text);
    memcpy(u.name, text, length);

    const char *soft = equals + 1, *colon = strchr(soft, ':');
    int r = parse_limit(flag, soft, colon ? (size_t) (colon - soft) : strlen(soft), &u.soft, reterr);
    if (r < 0)
        return r;
    u.hard = u.soft;
    if (colon) {
        r = parse_limit(flag, colon + 1, strlen(colon + 1), &u.hard, reterr);
        if (r < 0)
            return r;
    }
    if (u.hard != -1 && (u.soft == -1 || u.soft > u.hard))
        return error_invalid(reterr, flag, "\"%s\": the soft limit is above the hard one", text);
    *ret = u;
    return 0;
}
