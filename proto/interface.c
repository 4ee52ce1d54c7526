/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A JSON object against the tables of an interface.
 *
 * The object is the peer's, within the bounds of json_read(); the tables are ours. A path costs nothing until there is
 * something to say: it is a chain of the callers' variables, written down only when a check fails.
 */

#include "proto/interface.h"

#include "proto/quote.h"
#include "proto/utf8.h"

#include <string.h>

/* One step of a path: a field, an element of an array, or a key of a map. */
typedef struct Step {
    const struct Step *parent;
    const char *name; /* NULL for an element */
    size_t index;
    bool map;
} Step;

static int check_object(const InterfaceField *fields, json_object *object, const Step *parent, Error *reterr);

const InterfaceMethod *interface_method(const Interface *i, const char *name) {
    for (const InterfaceMethod *m = i->methods; m->name; m++)
        if (strcmp(m->name, name) == 0)
            return m;
    return NULL;
}

/* --- words --- */

/* Text of limited size; what does not fit is left out. */
typedef struct Text {
    char *buffer;
    size_t size, used;
} Text;

static _printf_(2, 3) void append(Text *t, const char *format, ...) {
    va_list ap;

    va_start(ap, format);
    int n = vsnprintf(t->buffer + t->used, t->size - t->used, format, ap);
    va_end(ap);
    if (n > 0)
        t->used += (size_t) n < t->size - t->used ? (size_t) n : t->size - t->used - 1;
}

static void append_path(Text *t, const Step *step) {
    char quoted[QUOTE_SIZE];

    if (!step)
        return;
    append_path(t, step->parent);
    if (!step->name)
        append(t, "[%zu]", step->index);
    else if (step->map)
        append(t, "[%s]", quote(quoted, step->name, strlen(step->name)));
    else
        append(t, "%s%s", step->parent ? "." : "", quote_bare(quoted, step->name, strlen(step->name)));
}

/* Removes the rest of a character that did not fit. */
static void trim(Text *t) {
    uint32_t c;

    for (size_t back = 1; back <= 3 && back <= t->used; back++) {
        const char *at = t->buffer + t->used - back;
        if (((unsigned char) *at & 0xC0) == 0x80)
            continue;
        if (utf8_decode(at, back, &c) != back)
            t->used -= back;
        break;
    }
    t->buffer[t->used] = 0;
}

static void append_value(Text *t, json_object *value) {
    static const char *const names[] = {
        [json_type_boolean] = "a boolean", [json_type_double] = "a number", [json_type_int] = "an integer",
        [json_type_object] = "an object",  [json_type_array] = "an array",  [json_type_string] = "a string",
    };
    char quoted[QUOTE_SIZE];
    size_t size;

    if (!value) {
        append(t, "null");
        return;
    }
    if (json_object_is_type(value, json_type_string)) {
        (void) quote(quoted, json_object_get_string(value), (size_t) json_object_get_string_len(value));
    } else {
        const char *text =
            json_object_to_json_string_length(value, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE, &size);
        (void) quote_bare(quoted, text ? text : "", text ? size : 0);
    }
    append(t, "%s (%s)", names[json_object_get_type(value)], quoted);
}

static void append_names(Text *t, const char *const *names) {
    for (const char *const *n = names; *n; n++)
        append(t, "%s%s", n == names ? "" : ", ", *n);
}

static void append_plural(Text *t, const InterfaceType *type) {
    static const char *const names[] = {
        [INTERFACE_BOOL] = "booleans",  [INTERFACE_INT] = "integers",   [INTERFACE_FLOAT] = "numbers",
        [INTERFACE_STRING] = "strings", [INTERFACE_OBJECT] = "objects", [INTERFACE_STRUCT] = "objects",
    };

    if (type->kind == INTERFACE_NESTED) {
        if (type->fields->array || type->fields->map)
            append(t, "%s", type->fields->array ? "arrays" : "objects");
        else
            append_plural(t, type->fields->type);
    } else if (type->kind == INTERFACE_ENUM) {
        append(t, "strings among ");
        append_names(t, type->names);
    } else
        append(t, "%s", names[type->kind]);
}

/* What would be right: "an array of strings". ELEMENT: for an element of the array or map, not the whole. */
static void append_expected(Text *t, const InterfaceField *field, bool element) {
    static const char *const names[] = {
        [INTERFACE_BOOL] = "a boolean",  [INTERFACE_INT] = "an integer",   [INTERFACE_FLOAT] = "a number",
        [INTERFACE_STRING] = "a string", [INTERFACE_OBJECT] = "an object", [INTERFACE_STRUCT] = "an object",
    };
    const InterfaceType *type = field->type;

    if (!element && (field->array || field->map)) {
        append(t, field->array ? "an array of " : "an object whose values are ");
        append_plural(t, type);
    } else if (type->kind == INTERFACE_NESTED)
        append_expected(t, type->fields, false);
    else if (type->kind == INTERFACE_ENUM) {
        append(t, "one of ");
        append_names(t, type->names);
    } else
        append(t, "%s", names[type->kind]);
}

static int fail(const Step *step, const Text *message, Error *reterr) {
    char path[ERROR_SUBJECT_MAX];
    Text t = { path, sizeof(path), 0 };

    append_path(&t, step);
    trim(&t);
    return error_invalid(reterr, path, "%s", message->buffer);
}

static int fail_value(const Step *step, const InterfaceField *field, bool element, bool missing, json_object *value,
                      Error *reterr) {
    char message[ERROR_MESSAGE_MAX] = "";
    Text t = { message, sizeof(message), 0 };

    append(&t, "is ");
    if (missing)
        append(&t, "missing");
    else
        append_value(&t, value);
    append(&t, "; ");
    append_expected(&t, field, element);
    append(&t, " is expected");
    return fail(step, &t, reterr);
}

static int fail_unknown(const Step *step, const InterfaceField *fields, json_object *value, Error *reterr) {
    char message[ERROR_MESSAGE_MAX] = "";
    Text t = { message, sizeof(message), 0 };

    append(&t, "is not a field here; it is ");
    append_value(&t, value);
    append(&t, fields->name ? "; the fields are " : "; there are no fields");
    for (const InterfaceField *f = fields; f->name; f++)
        append(&t, "%s%s", f == fields ? "" : ", ", f->name);
    return fail(step, &t, reterr);
}

/* --- checks --- */

static bool is_among(const char *const *names, json_object *value) {
    const char *text = json_object_get_string(value);

    for (; *names; names++)
        if (strcmp(*names, text) == 0)
            return true;
    return false;
}

/* VALUE is not NULL, and is neither an array nor a map of the field's type. */
static bool is_of_type(const InterfaceType *type, json_object *value) {
    json_type actual = json_object_get_type(value);

    switch (type->kind) {
    case INTERFACE_BOOL:
        return actual == json_type_boolean;
    case INTERFACE_INT:
        return actual == json_type_int;
    case INTERFACE_FLOAT:
        return actual == json_type_double || actual == json_type_int;
    case INTERFACE_STRING:
        return actual == json_type_string;
    case INTERFACE_ENUM:
        return actual == json_type_string && is_among(type->names, value);
    case INTERFACE_OBJECT:
    case INTERFACE_STRUCT:
        return actual == json_type_object;
    case INTERFACE_NESTED:
        break;
    }
    return false;
}

static int check_value(const InterfaceField *field, json_object *value, const Step *step, Error *reterr);

static int check_element(const InterfaceField *field, json_object *value, const Step *step, Error *reterr) {
    const InterfaceType *type = field->type;

    if (type->kind == INTERFACE_NESTED)
        return !value && type->fields->optional ? 0 : check_value(type->fields, value, step, reterr);
    if (!value || !is_of_type(type, value))
        return fail_value(step, field, true, false, value, reterr);
    return type->kind == INTERFACE_STRUCT ? check_object(type->fields, value, step, reterr) : 0;
}

static int check_array(const InterfaceField *field, json_object *array, const Step *step, Error *reterr) {
    size_t n = json_object_array_length(array);

    for (size_t i = 0; i < n; i++) {
        Step element = { .parent = step, .index = i };
        int r = check_element(field, json_object_array_get_idx(array, i), &element, reterr);
        if (r < 0)
            return r;
    }
    return 0;
}

static int check_map(const InterfaceField *field, json_object *map, const Step *step, Error *reterr) {
    json_object_object_foreach(map, key, value) {
        Step element = { .parent = step, .name = key, .map = true };
        int r = check_element(field, value, &element, reterr);
        if (r < 0)
            return r;
    }
    return 0;
}

/* VALUE may be NULL, which here is wrong. */
static int check_value(const InterfaceField *field, json_object *value, const Step *step, Error *reterr) {
    if (!field->array && !field->map)
        return check_element(field, value, step, reterr);
    if (!json_object_is_type(value, field->array ? json_type_array : json_type_object))
        return fail_value(step, field, false, false, value, reterr);
    return field->array ? check_array(field, value, step, reterr) : check_map(field, value, step, reterr);
}

static int check_known(const InterfaceField *fields, json_object *object, const Step *parent, Error *reterr) {
    json_object_object_foreach(object, key, value) {
        const InterfaceField *f = fields;
        while (f->name && strcmp(f->name, key) != 0)
            f++;
        if (!f->name)
            return fail_unknown(&(Step){ .parent = parent, .name = key }, fields, value, reterr);
    }
    return 0;
}

static int check_object(const InterfaceField *fields, json_object *object, const Step *parent, Error *reterr) {
    int r = check_known(fields, object, parent, reterr);
    if (r < 0)
        return r;
    for (const InterfaceField *f = fields; f->name; f++) {
        Step step = { .parent = parent, .name = f->name };
        json_object *value = NULL;
        bool present = json_object_object_get_ex(object, f->name, &value);
        if (!value && f->optional)
            continue;
        r = value ? check_value(f, value, &step, reterr) : fail_value(&step, f, false, !present, NULL, reterr);
        if (r < 0)
            return r;
    }
    return 0;
}

int interface_check(const InterfaceField *fields, json_object *object, Error *reterr) {
    return check_object(fields, object, NULL, reterr);
}
