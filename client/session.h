/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * A program in the foreground: from the call that starts it to its exit code, with the user's stdio, terminal and
 * signals passed to it. If the client ends before, the daemon kills the program, unless the user detached.
 */

#include "client/spec.h"

typedef struct SessionWish {
    const char *socket;
    const char *method; /* "Run" or "Exec" */
    bool interactive, tty;
    bool detachable; /* Ctrl-P Ctrl-Q */
} SessionWish;

/* Adds stdio or a terminal to SPEC, calls, relays. Returns the exit code; what went wrong has been reported. */
int session_run(const SessionWish *wish, Spec *spec);
