/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* kennel ps: the containers that the caller may see. */

#include "client/connection.h"
#include "client/render-json.h"
#include "client/render-table.h"
#include "client/report.h"
#include "client/text.h"
#include "client/verb.h"

#include <string.h>

#define COMMAND_WIDTH 32U
#define ID_WIDTH      12

typedef struct PsFlags {
    bool all, quiet;
    const char *format;
} PsFlags;

static const Option options[] = {
    { 'a', "all", OPTION_SWITCH, offsetof(PsFlags, all), NULL, "also those that have exited" },
    { 'q', "quiet", OPTION_SWITCH, offsetof(PsFlags, quiet), NULL, "ids alone" },
    { 0, "format", OPTION_STRING, offsetof(PsFlags, format), "table|json", "one object a line with json" },
    OPTIONS_END,
};

static const char *const headings[] = { "CONTAINER ID", "NAME", "IMAGE", "COMMAND", "CREATED",
                                        "STATUS",       "PID",  "OWNER", NULL };

static void add_since(Table *t, const char *before, int64_t since, const char *after) {
    char age[64];

    text_duration(text_now_usec() - since, age, sizeof(age));
    table_addf(t, "%s%s%s", before, age, after);
}

static void add_exited(Table *t, json_object *exit) {
    int64_t code, finished = 0;
    char before[64];

    (void) json_field_int(exit, "finishedUsec", &finished);
    if (json_field_int(exit, "code", &code))
        (void) snprintf(before, sizeof(before), "Exited (%lld) ", (long long) code);
    else
        (void) snprintf(before, sizeof(before), "Exited (?) ");
    add_since(t, before, finished, json_field_bool(exit, "oomKilled") ? " ago (out of memory)" : " ago");
}

static void add_status(Table *t, json_object *c) {
    const char *state = json_field_string(c, "state") ?: "?";
    int64_t started;

    if (strcmp(state, "exited") == 0)
        add_exited(t, json_field_object(c, "exit"));
    else if (strcmp(state, "running") == 0 && json_field_int(c, "startedUsec", &started))
        add_since(t, "Up ", started, "");
    else
        table_addf(t, "%c%s", state[0] & ~0x20, state + 1);
}

static void add_container(Table *t, json_object *c) {
    _cleanup_free_ char *command = json_join(json_field_array(c, "command"));
    int64_t created = 0;

    table_addf(t, "%.*s", ID_WIDTH, json_field_string(c, "id") ?: "-");
    table_add(t, json_field_string(c, "name") ?: "-");
    table_add(t, json_field_string(c, "image") ?: "-");
    table_add_short(t, command ?: "-", COMMAND_WIDTH);
    (void) json_field_int(c, "createdUsec", &created);
    add_since(t, "", created, " ago");
    add_status(t, c);
    table_add_field(t, c, "pid");
    table_add_field(t, c, "owner");
}

static bool is_listed(const PsFlags *flags, json_object *c) {
    const char *state = json_field_string(c, "state") ?: "";
    return flags->all || strcmp(state, "running") == 0 || strcmp(state, "paused") == 0;
}

static int print_containers(const PsFlags *flags, bool json, json_object *containers) {
    _cleanup_(table_freep) Table *table = table_new(headings);
    size_t n = containers ? json_object_array_length(containers) : 0;

    if (!table)
        return -ENOMEM;
    for (size_t i = 0; i < n; i++) {
        json_object *c = json_object_array_get_idx(containers, i);
        if (!is_listed(flags, c))
            continue;
        if (flags->quiet)
            (void) printf("%.*s\n", ID_WIDTH, json_field_string(c, "id") ?: "");
        else if (json)
            (void) json_print(c, false, stdout);
        else
            add_container(table, c);
    }
    return flags->quiet || json ? 0 : table_print(table, true, stdout);
}

static int run(const Client *client, const void *data, const Strings *operands) {
    _cleanup_(message_reply_freep) MessageReply *reply = NULL;
    const PsFlags *flags = data;
    Error error = ERROR_INIT;

    int json = verb_format(flags->format, &error);
    if (json < 0)
        return report_failure(&error);
    if (connection_call_once(client->socket, "List", NULL, &reply, &error) != 0)
        return report_failure(&error);
    if (print_containers(flags, json, json_field_array(reply->parameters, "containers")) == -ENOMEM) {
        report("out of memory");
        return EXIT_KENNEL;
    }
    return 0;
}

const Verb verb_ps = {
    .name = "ps",
    .operands = "",
    .summary = "List containers",
    .options = options,
    .options_size = sizeof(PsFlags),
    .run = run,
};
