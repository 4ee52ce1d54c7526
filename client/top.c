/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* kennel top: the processes of a container, with the pids that it sees and those that the host sees. */

#include "client/connection.h"
#include "client/render-json.h"
#include "client/render-table.h"
#include "client/report.h"
#include "client/text.h"
#include "client/verb.h"

#include <time.h>

typedef struct TopFlags {
    const char *format;
} TopFlags;

static const Option options[] = {
    { 0, "format", OPTION_STRING, offsetof(TopFlags, format), "table|json", "one object a line with json" },
    OPTIONS_END,
};

static const char *const headings[] = { "PID", "HOST-PID", "PPID",  "USER",    "STAT", "THREADS",
                                        "RSS", "CPU",      "START", "COMMAND", NULL };

/* The time of day for what started today, else the date. */
static void add_start(Table *t, int64_t usec) {
    time_t seconds = usec / 1000000, now = time(NULL);
    struct tm start, today;
    char when[32];

    if (!localtime_r(&seconds, &start) || !localtime_r(&now, &today)) {
        table_add(t, "-");
        return;
    }
    bool same = start.tm_year == today.tm_year && start.tm_yday == today.tm_yday;
    (void) strftime(when, sizeof(when), same ? "%H:%M:%S" : "%Y-%m-%d", &start);
    table_add(t, when);
}

static void add_process(Table *t, json_object *p) {
    _cleanup_free_ char *command = json_join(json_field_array(p, "command"));
    int64_t memory = 0, cpu = 0, started = 0;
    char text[32];

    table_add_field(t, p, "pid");
    table_add_field(t, p, "hostPid");
    table_add_field(t, p, "parentPid");
    table_add_field(t, p, "uid");
    table_add(t, json_field_string(p, "state") ?: "-");
    table_add_field(t, p, "threads");
    (void) json_field_int(p, "memory", &memory);
    text_bytes(memory, text, sizeof(text));
    table_add(t, text);
    (void) json_field_int(p, "cpuUsec", &cpu);
    text_cpu_time(cpu, text, sizeof(text));
    table_add(t, text);
    (void) json_field_int(p, "startedUsec", &started);
    add_start(t, started);
    table_add(t, command ?: "-");
}

static int run(const Client *client, const void *data, const Strings *operands) {
    _cleanup_(message_reply_freep) MessageReply *reply = NULL;
    _cleanup_(table_freep) Table *table = table_new(headings);
    _cleanup_json_ json_object *parameters = json_object_new_object();
    const TopFlags *flags = data;
    Error error = ERROR_INIT;

    int json = verb_format(flags->format, &error);
    if (json < 0)
        return report_failure(&error);
    (void) json_object_object_add(parameters, "container", json_object_new_string(operands->items[0]));
    if (connection_call_once(client->socket, "Processes", parameters, &reply, &error) != 0)
        return report_failure(&error);

    json_object *processes = json_field_array(reply->parameters, "processes");
    size_t n = processes ? json_object_array_length(processes) : 0;
    for (size_t i = 0; i < n; i++) {
        json_object *p = json_object_array_get_idx(processes, i);
        if (json)
            (void) json_print(p, false, stdout);
        else if (table)
            add_process(table, p);
    }
    if (!json && (!table || table_print(table, true, stdout) == -ENOMEM)) {
        report("out of memory");
        return EXIT_KENNEL;
    }
    return 0;
}

const Verb verb_top = {
    .name = "top",
    .operands = "CONTAINER",
    .summary = "Show a container's processes",
    .options = options,
    .options_size = sizeof(TopFlags),
    .operands_min = 1,
    .operands_max = 1,
    .run = run,
};
