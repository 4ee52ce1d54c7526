/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The daemon: the loop and everything that lives as long as it. Built up in one order, taken down in the reverse one.
 */

#include "config.h"

typedef struct DaemonOptions {
    const char *socket;    /* unused if a socket was passed in by a service manager */
    const char *state_dir; /* absolute */
    const char *data_dir;
} DaemonOptions;

typedef struct Daemon Daemon;

/* The signals must be blocked and the umask 077. Needs root. All strings are borrowed. */
int daemon_new(const DaemonOptions *options, const Config *config, Daemon **ret, Error *reterr);
/* Serves until SIGTERM or SIGINT. Containers run on afterwards. */
int daemon_run(Daemon *d, Error *reterr);
Daemon *daemon_free(Daemon *d);
DEFINE_CLEANUP(Daemon, daemon_free)
