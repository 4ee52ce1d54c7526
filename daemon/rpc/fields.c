/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * See fields.h. A string of the protocol holds no NUL (the JSON reader refuses \u0000), so C strings lose nothing.
 */

#include "rpc/fields.h"

#include "util/parse.h"

#include <string.h>

json_object *fields_get(json_object *o, const char *name) {
    json_object *value = NULL;
    return json_object_object_get_ex(o, name, &value) ? value : NULL;
}

bool fields_bool(json_object *o, const char *name) {
    json_object *value = fields_get(o, name);
    return value && json_object_get_boolean(value);
}

const char *fields_string(json_object *o, const char *name) {
    json_object *value = fields_get(o, name);
    return value ? json_object_get_string(value) : NULL;
}

int fields_int(json_object *o, const char *name, const char *path, int64_t min, int64_t max, int64_t *ret,
               Error *reterr) {
    json_object *value = fields_get(o, name);
    if (!value)
        return 0;
    int64_t i = json_object_get_int64(value);
    if (i < min && max == INT64_MAX)
        return error_invalid(reterr, path, "is %lld; %lld at least is expected", (long long) i, (long long) min);
    if (i < min || i > max)
        return error_invalid(reterr, path, "is %lld; %lld to %lld is expected", (long long) i, (long long) min,
                             (long long) max);
    *ret = i;
    return 0;
}

static int copy_string(json_object *value, const char *path, size_t min, size_t max, char **ret, Error *reterr) {
    size_t size = (size_t) json_object_get_string_len(value);
    if (size < min)
        return error_invalid(reterr, path, "is empty");
    if (size > max)
        return error_invalid(reterr, path, "is %zu bytes long; %zu at most are allowed", size, max);
    char *copy = strdup(json_object_get_string(value));
    if (!copy)
        return fields_oom(reterr);
    free(*ret);
    *ret = copy;
    return 0;
}

int fields_copy_string(json_object *o, const char *name, const char *path, size_t max, char **ret, Error *reterr) {
    json_object *value = fields_get(o, name);
    return value ? copy_string(value, path, 1, max, ret, reterr) : 0;
}

int fields_list(json_object *o, const char *name, size_t max, json_object **ret, size_t *ret_n, Error *reterr) {
    json_object *list = fields_get(o, name);
    size_t n = list ? json_object_array_length(list) : 0;
    if (n > max)
        return error_invalid(reterr, name, "has %zu elements; %zu at most are allowed", n, max);
    *ret = list;
    *ret_n = n;
    return 0;
}

int fields_strings(json_object *o, const char *name, size_t max, size_t string_max, char ***ret, Error *reterr) {
    json_object *list;
    size_t n;
    int r = fields_list(o, name, max, &list, &n, reterr);
    if (r < 0)
        return r;
    _cleanup_(strv_freep) char **strings = calloc(n + 1, sizeof(char *));
    if (!strings)
        return fields_oom(reterr);
    for (size_t i = 0; i < n; i++) {
        char path[ERROR_SUBJECT_MAX];
        (void) snprintf(path, sizeof(path), "%s[%zu]", name, i);
        r = copy_string(json_object_array_get_idx(list, i), path, 0, string_max, &strings[i], reterr);
        if (r < 0)
            return r;
    }
    *ret = TAKE_PTR(strings);
    return 0;
}

int fields_oom(Error *reterr) {
    return error_failed(reterr, ENOMEM, "request", "the daemon is out of memory");
}
