/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Resource limits (setrlimit(2)) by their names on the wire, and the bounds that they are held to. */

#include "kennel/error.h"
#include "sandbox/sandbox.h"

#include <json-c/json.h>

const char *ulimits_name(int resource); /* "nofile"; NULL if there is none */
static inline int64_t ulimits_to_wire(uint64_t value) {
    return value > INT64_MAX ? -1 : (int64_t) value;
}

/* The field `ulimits` of a Run call, with what every container gets unless it says otherwise. */
int ulimits_parse(json_object *parameters, SandboxRlimit **ret, size_t *ret_n, Error *reterr);
