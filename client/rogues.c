/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * kennel rogues: what was found in containers that should not be there, and with --kill its end.
 *
 * Nearly everything in a finding was chosen by a container: it is escaped, and never acted upon here. Exit code 1 if a
 * process that was to be killed is still dying.
 */

#include "client/connection.h"
#include "client/receipt.h"
#include "client/render-json.h"
#include "client/render-table.h"
#include "client/report.h"
#include "client/terminal.h"
#include "client/text.h"
#include "client/verb.h"

#include <string.h>

#define ID_WIDTH      12
#define PROGRAM_WIDTH 40U
#define COLUMNS       10U

typedef struct RoguesFlags {
    bool kill, follow;
    const char *format;
} RoguesFlags;

static const Option options[] = {
    { 0, "kill", OPTION_SWITCH, offsetof(RoguesFlags, kill), NULL, "kill those of medium or high severity" },
    { 'f', "follow", OPTION_SWITCH, offsetof(RoguesFlags, follow), NULL, "go on with those to come" },
    { 0, "format", OPTION_STRING, offsetof(RoguesFlags, format), "table|json", "one object a line with json" },
    OPTIONS_END,
};

static const char *const headings[] = { "CONTAINER", "#",       "KIND",      "SEVERITY", "COUNT", "PID",
                                        "HOST-PID",  "PROGRAM", "LAST SEEN", "EVIDENCE", NULL };

typedef struct View {
    bool json, kill, follow;
    bool headed, dying, any;
    size_t widths[COLUMNS];
    Table *table; /* of one that does not follow: all of them */
    int64_t dropped;
} View;

static void add_last_seen(Table *t, json_object *f, bool follow) {
    int64_t last = 0;
    char text[64];

    (void) json_field_int(f, "lastUsec", &last);
    if (follow)
        text_timestamp(last, text, sizeof(text));
    else
        text_duration(text_now_usec() - last, text, sizeof(text));
    table_addf(t, "%s%s", text, follow ? "" : " ago");
}

static void add_finding(Table *t, json_object *f, bool follow) {
    const char *name = json_field_string(f, "name"), *id = json_field_string(f, "container");

    if (name && name[0])
        table_add(t, name);
    else
        table_addf(t, "%.*s", ID_WIDTH, id ?: "-");
    table_add_field(t, f, "number");
    table_add_field(t, f, "kind");
    table_add_field(t, f, "severity");
    table_add_field(t, f, "count");
    table_add_field(t, f, "pid");
    table_add_field(t, f, "hostPid");
    table_add_short(t, json_field_string(f, "program") ?: json_field_string(f, "processName") ?: "-", PROGRAM_WIDTH);
    add_last_seen(t, f, follow);
    table_add(t, json_field_string(f, "evidence") ?: "-");
}

/* On a terminal, no line is longer than that. */
static int print_fitting(const Table *t, bool with_headings) {
    unsigned rows, columns = 0;
    _cleanup_free_ char *text = NULL;
    size_t size = 0;

    if (!isatty(STDOUT_FILENO))
        return table_print(t, with_headings, stdout);
    terminal_size(&rows, &columns);
    FILE *f = open_memstream(&text, &size);
    if (!f)
        return -ENOMEM;
    int r = table_print(t, with_headings, f);
    if (fclose(f) != 0 || r < 0)
        return r < 0 ? r : -ENOMEM;
    char *rest = text;
    for (char *line = strsep(&rest, "\n"); line && rest; line = strsep(&rest, "\n")) {
        if (columns > 0)
            text_shorten(line, columns);
        (void) printf("%s\n", line);
    }
    return 0;
}

static int show_now(View *v, json_object *f) {
    _cleanup_(table_freep) Table *t = table_new(headings);

    if (!t)
        return -ENOMEM;
    table_share_widths(t, v->widths);
    add_finding(t, f, true);
    int r = print_fitting(t, !v->headed);
    v->headed = true;
    return r;
}

static int show_finding(View *v, json_object *f) {
    if (v->kill)
        return 0;
    if (v->json)
        return json_print(f, false, stdout);
    if (v->follow)
        return show_now(v, f);
    add_finding(v->table, f, false);
    return 0;
}

static int show_receipt(View *v, json_object *receipt) {
    v->any = true;
    v->dying = v->dying || receipt_is_dying(receipt);
    if (v->json)
        return json_print(receipt, false, stdout);
    _cleanup_free_ char *text = receipt_describe(receipt), *escaped = text ? text_escape(text) : NULL;
    if (!escaped)
        return -ENOMEM;
    (void) printf("%s\n", escaped);
    return 0;
}

static int show_reply(View *v, json_object *reply) {
    json_object *findings = json_field_array(reply, "findings"), *receipts = json_field_array(reply, "receipts");
    size_t n = findings ? json_object_array_length(findings) : 0;

    for (size_t i = 0; i < n; i++)
        if (show_finding(v, json_object_array_get_idx(findings, i)) == -ENOMEM)
            return -ENOMEM;
    n = receipts ? json_object_array_length(receipts) : 0;
    for (size_t i = 0; i < n; i++)
        if (show_receipt(v, json_object_array_get_idx(receipts, i)) == -ENOMEM)
            return -ENOMEM;
    (void) json_field_int(reply, "dropped", &v->dropped);
    return 0;
}

static int stream(Connection *c, View *v, Error *reterr) {
    for (;;) {
        _cleanup_(message_reply_freep) MessageReply *reply = NULL;
        if (!connection_has_reply(c) && fflush(stdout) != 0)
            return 0;
        int r = connection_receive(c, &reply, reterr);
        if (r != 0)
            return r;
        if (show_reply(v, reply->parameters) == -ENOMEM)
            return error_failed(reterr, ENOMEM, "rogues", "out of memory");
        if (!reply->continues)
            return 0;
    }
}

static int finish(View *v, Error *reterr) {
    if (!v->json && !v->kill && !v->follow && print_fitting(v->table, true) == -ENOMEM)
        return error_failed(reterr, ENOMEM, "rogues", "out of memory");
    if (v->kill && !v->any)
        report("no process of a finding is there to be killed");
    if (v->dropped > 0 && !v->kill)
        report("%lld more were not kept, or could not be looked at in time", (long long) v->dropped);
    return 0;
}

static int put_parameters(json_object *parameters, const RoguesFlags *flags, const Strings *operands) {
    if (operands->n > 0)
        (void) json_object_object_add(parameters, "container", json_object_new_string(operands->items[0]));
    if (flags->kill)
        (void) json_object_object_add(parameters, "kill", json_object_new_boolean(true));
    if (flags->follow)
        (void) json_object_object_add(parameters, "follow", json_object_new_boolean(true));
    return 0;
}

static int run(const Client *client, const void *data, const Strings *operands) {
    _cleanup_(connection_freep) Connection *c = NULL;
    _cleanup_json_ json_object *parameters = json_object_new_object();
    _cleanup_(table_freep) Table *table = table_new(headings);
    const RoguesFlags *flags = data;
    View v = { .kill = flags->kill, .follow = flags->follow, .table = table };
    Error error = ERROR_INIT;

    int json = verb_format(flags->format, &error), r = json < 0 ? json : 0;
    v.json = json == 1;
    if (r == 0 && flags->kill && flags->follow)
        r = error_invalid(&error, "--kill", "cannot be given together with -f/--follow");
    if (r == 0 && (!table || !parameters))
        r = error_failed(&error, ENOMEM, "rogues", "out of memory");
    if (r == 0)
        r = put_parameters(parameters, flags, operands);
    if (r == 0)
        r = connection_open(client->socket, &c, &error);
    if (r == 0)
        r = connection_send(c, "Rogues", parameters, true, NULL, 0, &error);
    if (r == 0)
        r = stream(c, &v, &error);
    if (r == 0)
        r = finish(&v, &error);
    if (r != 0)
        return report_failure(&error);
    return v.dying ? 1 : 0;
}

const Verb verb_rogues = {
    .name = "rogues",
    .operands = "[CONTAINER]",
    .summary = "Show what should not be in containers, and kill it",
    .options = options,
    .options_size = sizeof(RoguesFlags),
    .operands_max = 1,
    .run = run,
};
