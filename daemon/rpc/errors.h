/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The one place that knows what an error inside is called on the wire.
 */

#include "kennel/error.h"

#include <json-c/json.h>

/*
 * *RET_NAME is static. CONTAINER is what the call named its container by (may be NULL): NoSuchProcess repeats it.
 * -ENOMEM if the parameters could not be made.
 */
int errors_to_wire(const Error *e, const char *container, const char **ret_name, json_object **ret_parameters);
