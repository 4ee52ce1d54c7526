/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* kennel exec: one more program in a running container. */

#include "client/report.h"
#include "client/session.h"
#include "client/verb.h"

#define AT(member) offsetof(ProcessFlags, member)

static const Option options[] = {
    { 'i', "interactive", OPTION_SWITCH, AT(interactive), NULL, "pass stdin on" },
    { 't', "tty", OPTION_SWITCH, AT(tty), NULL, "give it a terminal" },
    { 'u', "user", OPTION_STRING, AT(user), "UID[:GID]", "user (the container's)" },
    { 'w', "workdir", OPTION_STRING, AT(working_directory), "DIR", "working directory (the container's)" },
    { 'e', "env", OPTION_LIST, AT(env), "KEY[=VALUE]", "add to the environment; without =VALUE, from here" },
    { 0, "env-file", OPTION_LIST, AT(env_files), "FILE", "add to the environment, one entry a line" },
    OPTIONS_END,
};

static int run(const Client *client, const void *data, const Strings *operands) {
    const ProcessFlags *flags = data;
    Strings command = { operands->items + 1, operands->n - 1 };
    _cleanup_(spec_done) Spec spec = { 0 };
    Error error = ERROR_INIT;

    /* `kennel exec NAME -- COMMAND` is a habit */
    if (command.n > 1 && command.items[0][0] == '-' && command.items[0][1] == '-' && command.items[0][2] == 0)
        command = (Strings){ command.items + 1, command.n - 1 };
    if (spec_exec(flags, operands->items[0], &command, &spec, &error) < 0)
        return report_failure(&error);

    SessionWish wish = {
        .socket = client->socket,
        .method = "Exec",
        .interactive = flags->interactive,
        .tty = flags->tty,
    };
    return session_run(&wish, &spec);
}

const Verb verb_exec = {
    .name = "exec",
    .operands = "CONTAINER COMMAND [ARG...]",
    .summary = "Run one more command in a running container",
    .options = options,
    .options_size = sizeof(ProcessFlags),
    .command_follows = true,
    .operands_min = 2,
    .operands_max = SIZE_MAX,
    .run = run,
};
