/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* kennel verify: what a container was to have, and what the kernel says it has. Exit code 1 if they differ. */

#include "client/connection.h"
#include "client/render-json.h"
#include "client/render-table.h"
#include "client/report.h"
#include "client/verb.h"

typedef struct VerifyFlags {
    const char *format;
} VerifyFlags;

static const Option options[] = {
    { 0, "format", OPTION_STRING, offsetof(VerifyFlags, format), "table|json", "one object a line with json" },
    OPTIONS_END,
};

/* A table stays one that can be read; what differs is shown whole, and so is everything with --format json. */
#define PASSED_WIDTH_MAX 60U

static int print_checks(json_object *checks, bool json) {
    static const char *const headings[] = { "CONTROL", "EXPECTED", "FOUND", "RESULT", NULL };
    _cleanup_(table_freep) Table *table = table_new(headings);
    size_t n = checks ? json_object_array_length(checks) : 0;

    if (!table)
        return -ENOMEM;
    for (size_t i = 0; i < n; i++) {
        json_object *check = json_object_array_get_idx(checks, i);
        if (json) {
            (void) json_print(check, false, stdout);
            continue;
        }
        bool passed = json_field_bool(check, "passed");
        size_t width = passed ? PASSED_WIDTH_MAX : 0;
        table_add_field(table, check, "control");
        table_add_short(table, json_field_string(check, "expected") ?: "-", width);
        table_add_short(table, json_field_string(check, "found") ?: "-", width);
        table_add(table, passed ? "passed" : "FAILED");
    }
    return json ? 0 : table_print(table, true, stdout);
}

static int run(const Client *client, const void *data, const Strings *operands) {
    _cleanup_(message_reply_freep) MessageReply *reply = NULL;
    _cleanup_json_ json_object *parameters = json_object_new_object();
    const VerifyFlags *flags = data;
    Error error = ERROR_INIT;

    int json = verb_format(flags->format, &error);
    if (json < 0)
        return report_failure(&error);
    (void) json_object_object_add(parameters, "container", json_object_new_string(operands->items[0]));
    if (connection_call_once(client->socket, "Verify", parameters, &reply, &error) != 0)
        return report_failure(&error);
    if (print_checks(json_field_array(reply->parameters, "checks"), json == 1) == -ENOMEM) {
        report("out of memory");
        return EXIT_KENNEL;
    }
    if (json_field_bool(reply->parameters, "passed"))
        return 0;
    report("%s is not as it should be", operands->items[0]);
    return 1;
}

const Verb verb_verify = {
    .name = "verify",
    .operands = "CONTAINER",
    .summary = "Compare a container's controls with what the kernel says",
    .options = options,
    .options_size = sizeof(VerifyFlags),
    .operands_min = 1,
    .operands_max = 1,
    .run = run,
};
