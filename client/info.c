/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* kennel info and version: the daemon and what its host can do. */

#include "client/connection.h"
#include "client/limit-flags.h"
#include "client/render-json.h"
#include "client/render-table.h"
#include "client/report.h"
#include "client/text.h"
#include "client/verb.h"
#include "kennel/version.h"

#include <string.h>

typedef struct InfoFlags {
    const char *format;
} InfoFlags;

static const Option options[] = {
    { 0, "format", OPTION_STRING, offsetof(InfoFlags, format), "table|json", "one object with json" },
    OPTIONS_END,
};

static const struct {
    const char *label, *key;
} lines[] = {
    { "Version", "version" },
    { "Kernel", "kernel" },
    { "cgroup hierarchy", "hierarchy" },
    { "cgroup root", "cgroupRoot" },
    { "State directory", "stateDirectory" },
    { "Data directory", "dataDirectory" },
    { "Containers", "containers" },
    { "Running", "running" },
};

static void print_line(const char *label, json_object *o, const char *key) {
    int64_t value;
    _cleanup_free_ char *text = text_escape(json_field_string(o, key) ?: "-");

    if (json_field_int(o, key, &value))
        (void) printf("%-18s %lld\n", label, (long long) value);
    else
        (void) printf("%-18s %s\n", label, text ?: "-");
}

static void print_storage(json_object *o) {
    static const char *const kinds[][2] = {
        { "projectQuota", "project quota" },
        { "fileSystem", "a file system for each container" },
        { "directory", "directory, without a limit" },
    };
    const char *storage = json_field_string(o, "storage") ?: "-", *text = storage;

    for (size_t i = 0; i < ELEMENTSOF(kinds); i++)
        if (strcmp(kinds[i][0], storage) == 0)
            text = kinds[i][1];
    _cleanup_free_ char *escaped = text_escape(text);
    (void) printf("%-18s %s\n", "Storage", escaped ?: "-");
}

static void add_ceiling(Table *t, const char *name, json_object *value) {
    char text[64];

    if (strcmp(name, "unlimited") == 0 || !value)
        return;
    table_add(t, name);
    if (json_object_is_type(value, json_type_array)) {
        table_add(t, json_object_to_json_string_ext(value, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE));
        return;
    }
    limit_flags_describe(name, value, text, sizeof(text));
    table_add(t, text);
}

static int print_ceilings(json_object *limits) {
    static const char *const headings[] = { "LIMIT OF OTHERS THAN ROOT", "AT MOST", NULL };
    _cleanup_(table_freep) Table *table = table_new(headings);
    bool any = false;

    if (!table)
        return -ENOMEM;
    if (limits) {
        json_object_object_foreach(limits, name, value) {
            add_ceiling(table, name, value);
            any = any || (value && strcmp(name, "unlimited") != 0);
        }
    }
    if (!any)
        return 0;
    (void) putchar('\n');
    return table_print(table, true, stdout);
}

static int print_controls(json_object *controls) {
    static const char *const headings[] = { "CONTROL", "STATE", "MODE", "REASON", NULL };
    _cleanup_(table_freep) Table *table = table_new(headings);
    size_t n = controls ? json_object_array_length(controls) : 0;

    if (!table)
        return -ENOMEM;
    for (size_t i = 0; i < n; i++) {
        json_object *c = json_object_array_get_idx(controls, i);
        const char *state = json_field_string(c, "state") ?: "-";
        table_add_field(table, c, "name");
        table_add(table, strcmp(state, "inForce") == 0 ? "in force" : state);
        const char *mode = json_field_string(c, "mode") ?: "-";
        table_add(table, strcmp(mode, "bestEffort") == 0 ? "best-effort" : mode);
        table_add(table, json_field_string(c, "reason") ?: "");
    }
    (void) putchar('\n');
    return n > 0 ? table_print(table, true, stdout) : 0;
}

static int print_detectors(json_object *detectors) {
    static const char *const headings[] = { "DETECTOR", "ACTION", "REASON", NULL };
    _cleanup_(table_freep) Table *table = table_new(headings);
    size_t n = detectors ? json_object_array_length(detectors) : 0;

    if (!table)
        return -ENOMEM;
    for (size_t i = 0; i < n; i++) {
        json_object *d = json_object_array_get_idx(detectors, i);
        table_add_field(table, d, "detector");
        table_add_field(table, d, "action");
        table_add(table, json_field_string(d, "reason") ?: "");
    }
    if (n == 0)
        return 0;
    (void) putchar('\n');
    return table_print(table, true, stdout);
}

static int run_info(const Client *client, const void *data, const Strings *operands) {
    _cleanup_(message_reply_freep) MessageReply *reply = NULL;
    const InfoFlags *flags = data;
    Error error = ERROR_INIT;

    int json = verb_format(flags->format, &error);
    if (json < 0 || connection_call_once(client->socket, "Info", NULL, &reply, &error) != 0)
        return report_failure(&error);
    if (json) {
        (void) json_print(reply->parameters, false, stdout);
        return 0;
    }
    for (size_t i = 0; i < ELEMENTSOF(lines); i++)
        print_line(lines[i].label, reply->parameters, lines[i].key);
    print_storage(reply->parameters);
    if (print_ceilings(json_field_object(reply->parameters, "tenantLimits")) == -ENOMEM ||
        print_controls(json_field_array(reply->parameters, "controls")) == -ENOMEM ||
        print_detectors(json_field_array(reply->parameters, "detectors")) == -ENOMEM) {
        report("out of memory");
        return EXIT_KENNEL;
    }
    return 0;
}

const Verb verb_info = {
    .name = "info",
    .operands = "",
    .summary = "Show the daemon and what its host can do",
    .options = options,
    .options_size = sizeof(InfoFlags),
    .run = run_info,
};

static int run_version(const Client *client, const void *data, const Strings *operands) {
    _cleanup_(message_reply_freep) MessageReply *reply = NULL;
    Error error = ERROR_INIT;

    (void) printf("%-18s %s\n", "Client", KENNEL_VERSION);
    (void) fflush(stdout);
    if (connection_call_once(client->socket, "Info", NULL, &reply, &error) != 0)
        return report_failure(&error);
    print_line("Daemon", reply->parameters, "version");
    return 0;
}

static const Option no_options[] = { OPTIONS_END };

const Verb verb_version = {
    .name = "version",
    .operands = "",
    .summary = "Show the versions of client and daemon",
    .options = no_options,
    .run = run_version,
};
