/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Replies' JSON: typed looks into it, and writing it out.
 *
 * The looks are tolerant: a field that is missing, null or of another type is "not there", so that a client of one
 * version can talk to a daemon of another. Strings that they return are borrowed from the object.
 */

#include "kennel/error.h"

#include <json-c/json.h>

/* NULL if it is not there. */
const char *json_field_string(json_object *o, const char *key);
json_object *json_field_object(json_object *o, const char *key);
json_object *json_field_array(json_object *o, const char *key);

bool json_field_int(json_object *o, const char *key, int64_t *ret);
bool json_field_bool(json_object *o, const char *key); /* false if it is not there */

/* An array of strings with spaces between, as text of the caller's; NULL if memory is short. */
char *json_join(json_object *array);

/*
 * One line, or indented. Characters that a terminal would act on are written as \uNNNN; inside JSON strings, which is
 * the only place where they can be, that means the same.
 */
int json_print(json_object *o, bool pretty, FILE *out);
