/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Building a call's parameters; see parameters.h. */

#include "client/parameters.h"

#include "client/text.h"

#include <string.h>

int parameters_out_of_memory(Error *reterr) {
    return error_failed(reterr, ENOMEM, "building the call", "out of memory");
}

int parameters_put(json_object *object, const char *key, json_object *value, Error *reterr) {
    if (value && json_object_object_add(object, key, value) == 0)
        return 0;
    json_object_put(value);
    return parameters_out_of_memory(reterr);
}

int parameters_append(json_object *array, json_object *value, Error *reterr) {
    if (value && json_object_array_add(array, value) == 0)
        return 0;
    json_object_put(value);
    return parameters_out_of_memory(reterr);
}

int parameters_put_int(json_object *object, const char *key, int64_t value, Error *reterr) {
    return parameters_put(object, key, json_object_new_int64(value), reterr);
}

/* JSON is UTF-8; bytes that are none cannot be sent. */
static int check_utf8(const char *flag, const char *value, Error *reterr) {
    return text_is_utf8(value, strlen(value)) ? 0 : error_invalid(reterr, flag, "\"%s\" is not UTF-8", value);
}

int parameters_put_string(json_object *object, const char *key, const char *flag, const char *value, Error *reterr) {
    if (!value)
        return 0;
    int r = check_utf8(flag, value, reterr);
    return r < 0 ? r : parameters_put(object, key, json_object_new_string(value), reterr);
}

int parameters_put_true(json_object *object, const char *key, bool value, Error *reterr) {
    return value ? parameters_put(object, key, json_object_new_boolean(true), reterr) : 0;
}

json_object *parameters_put_array(json_object *object, const char *key, Error *reterr) {
    json_object *array = json_object_new_array();
    return parameters_put(object, key, array, reterr) < 0 ? NULL : array;
}

json_object *parameters_append_object(json_object *array, Error *reterr) {
    json_object *object = json_object_new_object();
    return parameters_append(array, object, reterr) < 0 ? NULL : object;
}

int parameters_put_strings(json_object *object, const char *key, const char *flag, const Strings *strings,
                           Error *reterr) {
    if (strings->n == 0)
        return 0;
    json_object *array = parameters_put_array(object, key, reterr);
    if (!array)
        return -ENOMEM;
    for (size_t i = 0; i < strings->n; i++) {
        int r = check_utf8(flag, strings->items[i], reterr);
        if (r == 0)
            r = parameters_append(array, json_object_new_string(strings->items[i]), reterr);
        if (r < 0)
            return r;
    }
    return 0;
}
