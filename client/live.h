/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * A table that lives on the terminal: drawn anew in place with each tick, cut to the terminal's size, until q, a signal or
 * the daemon ends it.
 *
 * It is drawn on the terminal's alternate screen, which resizing does not garble and which leaves what was above
 * untouched; at the end the last table is printed on the normal screen, where it stays. The terminal is put back on every
 * way out, also while stopped (Ctrl-Z). Keys are read only if stdin is a terminal.
 */

#include "client/connection.h"

typedef struct LiveView {
    void *data;
    /* Takes a reply in. 1: draw anew, 0: not yet, negative errno. */
    int (*take)(void *data, json_object *parameters);
    /* Writes the table: a line of headings and one for each row, as wide as need be; COLUMNS is what there is. */
    int (*render)(void *data, unsigned columns, FILE *out);
    /* A key other than q was pressed. True: draw anew. */
    bool (*key)(void *data, char key);
} LiveView;

/* True if stdout is a terminal that knows how to draw in place. */
bool live_possible(void);

/*
 * Shows the replies of the call that was sent on C. Returns 0 after q or the last reply, 128 plus the number of the signal
 * that ended it, or a negative errno and reterr, an error reply included.
 */
int live_run(Connection *c, const LiveView *view, Error *reterr);
