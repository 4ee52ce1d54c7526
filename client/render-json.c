/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Replies' JSON; see render-json.h. */

#include "client/render-json.h"

#include <string.h>

static json_object *field(json_object *o, const char *key, json_type type) {
    json_object *value;

    if (!json_object_is_type(o, json_type_object) || !json_object_object_get_ex(o, key, &value))
        return NULL;
    return json_object_is_type(value, type) ? value : NULL;
}

const char *json_field_string(json_object *o, const char *key) {
    json_object *value = field(o, key, json_type_string);
    return value ? json_object_get_string(value) : NULL;
}

json_object *json_field_object(json_object *o, const char *key) {
    return field(o, key, json_type_object);
}

json_object *json_field_array(json_object *o, const char *key) {
    return field(o, key, json_type_array);
}

bool json_field_int(json_object *o, const char *key, int64_t *ret) {
    json_object *value = field(o, key, json_type_int);

    if (!value)
        return false;
    *ret = json_object_get_int64(value);
    return true;
}

bool json_field_bool(json_object *o, const char *key) {
    json_object *value = field(o, key, json_type_boolean);
    return value && json_object_get_boolean(value);
}

char *json_join(json_object *array) {
    size_t n = array ? json_object_array_length(array) : 0, size = 1;

    for (size_t i = 0; i < n; i++)
        size += strlen(json_object_get_string(json_object_array_get_idx(array, i)) ?: "") + 1;
    char *joined = malloc(size), *at = joined;
    if (!joined)
        return NULL;
    *at = 0;
    for (size_t i = 0; i < n; i++) {
        const char *s = json_object_get_string(json_object_array_get_idx(array, i)) ?: "";
        at = stpcpy(at, i > 0 ? " " : "");
        at = stpcpy(at, s);
    }
    return joined;
}

int json_print(json_object *o, bool pretty, FILE *out) {
    int flags = JSON_C_TO_STRING_NOSLASHESCAPE;

    flags |= pretty ? JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_SPACED : JSON_C_TO_STRING_PLAIN;
    const char *text = json_object_to_json_string_ext(o, flags);
    if (!text)
        return -ENOMEM;
    for (const char *c = text; *c; c++) {
        unsigned char first = (unsigned char) c[0], second = (unsigned char) c[1];
        if (first == 0x7F)
            (void) fputs("\\u007f", out);
        else if (first == 0xC2 && second >= 0x80 && second < 0xA0) {
            (void) fprintf(out, "\\u%04x", second);
            c++;
        } else
            (void) fputc(first, out);
    }
    (void) fputc('\n', out);
    return ferror(out) ? -EIO : 0;
}
