/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The environment that the command line asks for: -e and --env-file. A name that is given twice has the last value.
 */

#include "kennel/error.h"

typedef struct Environment {
    char **entries; /* K=V */
    size_t n;
} Environment;

void environment_done(Environment *e);

/*
 * Adds "K=V", or "K" with the value that it has in the client's own environment; without one nothing is added. FROM is
 * what an error names: the flag, or file and line.
 */
int environment_add(Environment *e, const char *from, const char *entry, Error *reterr);

/* Adds the lines of a file. Empty ones and those that begin with # are comments. */
int environment_add_file(Environment *e, const char *flag, const char *path, Error *reterr);
