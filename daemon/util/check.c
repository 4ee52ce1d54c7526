/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* See check.h. */

#include "util/check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void check_list_done(CheckList *l) {
    free(l->items);
    *l = CHECK_LIST_INIT;
}

void check_add_verdict(CheckList *l, const char *control, bool passed, const char *expected, const char *found) {
    if (l->n == l->room) {
        size_t room = l->room > 0 ? l->room * 2 : 64;
        Check *grown = reallocarray(l->items, room, sizeof(Check));
        if (!grown) {
            l->incomplete = true;
            return;
        }
        l->items = grown;
        l->room = room;
    }
    Check *c = &l->items[l->n++];
    (void) snprintf(c->control, sizeof(c->control), "%s", control);
    (void) snprintf(c->expected, sizeof(c->expected), "%s", expected);
    (void) snprintf(c->found, sizeof(c->found), "%s", found);
    c->passed = passed;
}

void check_add(CheckList *l, const char *control, const char *expected, const char *found) {
    check_add_verdict(l, control, strcmp(expected, found) == 0, expected, found);
}

bool check_list_passed(const CheckList *l) {
    return l->n > 0 && !l->incomplete && !check_list_difference(l);
}

const Check *check_list_difference(const CheckList *l) {
    for (size_t i = 0; i < l->n; i++)
        if (!l->items[i].passed)
            return &l->items[i];
    return NULL;
}
