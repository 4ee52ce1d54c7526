/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * A list of comparisons: a control, what it was to be, what the kernel says it is. Whoever knows how to read something
 * back appends to one list, so that a container's proof is one table, wherever its rows come from.
 *
 * A list that could not grow (out of memory) is a failed one: what was not compared has not passed.
 */

#include "kennel/cleanup.h"

#include <stdbool.h>
#include <stddef.h>

#define CHECK_TEXT_MAX 192U

typedef struct Check {
    char control[48];
    char expected[CHECK_TEXT_MAX], found[CHECK_TEXT_MAX];
    bool passed;
} Check;

typedef struct CheckList {
    Check *items;
    size_t n, room;
    bool incomplete; /* a row could not be added */
} CheckList;

#define CHECK_LIST_INIT ((CheckList){ 0 })
void check_list_done(CheckList *l);

/* Passed is what is the same, byte for byte (before it is cut to fit). */
void check_add(CheckList *l, const char *control, const char *expected, const char *found);
/* For comparisons that are not of text: EXPECTED and FOUND say in words what PASSED already knows. */
void check_add_verdict(CheckList *l, const char *control, bool passed, const char *expected, const char *found);

/* All rows there and passed, and at least one row: nothing looked at is nothing shown. */
bool check_list_passed(const CheckList *l);
/* The first row that differs; NULL if there is none. */
const Check *check_list_difference(const CheckList *l);
