/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Building a call's parameters. Each function puts one value into OBJECT or at the end of ARRAY; what goes wrong is
 * out of memory, or a string of the user's that is not UTF-8, for which reterr names FLAG.
 */

#include "client/options.h"

#include <json-c/json.h>

int parameters_out_of_memory(Error *reterr);

/* VALUE is consumed in any case; NULL is out of memory. */
int parameters_put(json_object *object, const char *key, json_object *value, Error *reterr);
int parameters_append(json_object *array, json_object *value, Error *reterr);

int parameters_put_int(json_object *object, const char *key, int64_t value, Error *reterr);
/* NULL, false and an empty list put nothing. */
int parameters_put_string(json_object *object, const char *key, const char *flag, const char *value, Error *reterr);
int parameters_put_true(json_object *object, const char *key, bool value, Error *reterr);
int parameters_put_strings(json_object *object, const char *key, const char *flag, const Strings *strings,
                           Error *reterr);

/* A new array in the field KEY, a new object at the end of ARRAY; borrowed. NULL if memory is short. */
json_object *parameters_put_array(json_object *object, const char *key, Error *reterr);
json_object *parameters_append_object(json_object *array, Error *reterr);
