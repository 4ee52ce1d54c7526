/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What a verb is. Each is defined in a file of its own (small families share one) and listed in main.c, which parses
 * the command line by the verb's table and hands over what it found.
 *
 * run() returns the program's exit code: 0; the payload's own for run and exec; EXIT_KENNEL if Kennel failed; 1 if
 * something was refused for one of several containers, or a check did not pass.
 */

#include "client/options.h"

#define EXIT_KENNEL        125
#define EXIT_NOT_RUNNABLE  126
#define EXIT_NO_PROGRAM    127
#define EXIT_SIGNAL_OFFSET 128

typedef struct Client {
    const char *socket;
} Client;

typedef struct Verb {
    const char *name;
    const char *operands; /* as the help shows them */
    const char *summary;
    const Option *options;
    size_t options_size;  /* of the structure that the options' offsets mean */
    bool command_follows; /* flags end at the first operand */
    size_t operands_min, operands_max;
    int (*run)(const Client *client, const void *options, const Strings *operands);
} Verb;

extern const Verb verb_run, verb_exec, verb_ps, verb_logs, verb_inspect, verb_top, verb_stats, verb_kill, verb_stop,
    verb_wait, verb_pause, verb_unpause, verb_update, verb_rm, verb_events, verb_info, verb_version, verb_verify,
    verb_rogues;

/* --format: 0 for table, 1 for json, -EINVAL and reterr. NULL means table. */
int verb_format(const char *value, Error *reterr);
