/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What the client tells the user on stderr, always behind "kennel: ", and what that means for its exit code. Everything
 * is escaped (client/text.h): parts of it may come out of a container.
 */

#include "kennel/error.h"

#include <json-c/json.h>

_printf_(1, 2) void report(const char *format, ...);

/* The sentence for ERROR. A field of the protocol is named by the flag that it came from, and then itself. */
void report_error(const Error *error);

/* 127 or 126 if a program could not be executed, else 125. */
int report_exit_code(const Error *error);

/* Both: reports and returns the exit code. */
int report_failure(const Error *error);

/*
 * Translates an error reply, NAME fully qualified, into ERROR. Strings are cut to what an Error holds.
 */
void report_from_reply(const char *name, json_object *parameters, Error *ret);

/* The flag of a field ("limits.memory" → "-m/--memory"), or NULL. */
const char *report_flag_of_field(const char *field);

/* Ends a verb that wrote to stdout: CODE, or EXIT_KENNEL and a report if something could not be written. */
int report_finish_output(int code);
