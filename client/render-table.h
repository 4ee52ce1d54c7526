/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Tables of text: columns as wide as their widest cell, two spaces between, nothing behind the last. */

#include "kennel/error.h"

#include <json-c/json.h>

typedef struct Table Table;

/* HEADINGS ends with NULL and must outlive the table. */
Table *table_new(const char *const *headings);
Table *table_free(Table *t);
DEFINE_CLEANUP(Table, table_free)

/*
 * Appends a cell, escaped (client/text.h); cells fill rows from left to right. WIDTH_MAX 0 is no bound. A cell that
 * memory was short for makes table_print() fail, so that a row is never shown shifted.
 */
void table_add(Table *t, const char *cell);
void table_add_short(Table *t, const char *cell, size_t width_max);
_printf_(2, 3) void table_addf(Table *t, const char *format, ...);

/* An integer or string of a reply, "-" if it is not there. */
void table_add_field(Table *t, json_object *o, const char *key);

/*
 * Columns are at least as wide as WIDTHS says, which learns how wide they are: tables that share it, one after the other,
 * stay in line. It has one number for each column, 0 at first, and outlives the table.
 */
void table_share_widths(Table *t, size_t *widths);

/* Writes the headings if WITH_HEADINGS, and the rows. 0, -ENOMEM or -EIO. */
int table_print(const Table *t, bool with_headings, FILE *out);
