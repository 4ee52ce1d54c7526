/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Reading the fields of a call that interface_check() has passed: types are right, so what is left is presence, range
 * and length. PATH is what the caller is told: "volumes[1].target".
 */

#include "kennel/error.h"

#include <json-c/json.h>

/* NULL if it is absent or null, which mean the same. Borrowed. */
json_object *fields_get(json_object *o, const char *name);
bool fields_bool(json_object *o, const char *name);
/* Borrowed; NULL if absent. No length is checked. */
const char *fields_string(json_object *o, const char *name);

/* Leaves *RET as it is if the field is absent. */
int fields_int(json_object *o, const char *name, const char *path, int64_t min, int64_t max, int64_t *ret,
               Error *reterr);

/* A copy of the string, at least one and at most MAX bytes; *RET stays if the field is absent. */
int fields_copy_string(json_object *o, const char *name, const char *path, size_t max, char **ret, Error *reterr);

/* How many elements; 0 if absent. Fails above MAX. */
int fields_list(json_object *o, const char *name, size_t max, json_object **ret, size_t *ret_n, Error *reterr);

/* A list of strings to a vector; each of at most STRING_MAX bytes. *RET is an empty vector if the field is absent. */
int fields_strings(json_object *o, const char *name, size_t max, size_t string_max, char ***ret, Error *reterr);

int fields_oom(Error *reterr);
