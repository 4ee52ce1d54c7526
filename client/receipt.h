/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Receipts of Kill and Rogues: how a process, or a whole container, was removed. */

#include "kennel/error.h"

#include <json-c/json.h>

/* "killed process 7 (host 4321): dead after 0.8 ms"; to be freed, not yet escaped. NULL if memory is short. */
char *receipt_describe(json_object *receipt);
/* It is still there: SIGKILL is pending, and it hangs in the kernel. */
bool receipt_is_dying(json_object *receipt);
