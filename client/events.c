/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* kennel events: what happened to containers, and with -f what happens. */

#include "client/connection.h"
#include "client/quantity.h"
#include "client/render-json.h"
#include "client/report.h"
#include "client/text.h"
#include "client/verb.h"

typedef struct EventsFlags {
    bool follow;
    const char *since, *format;
} EventsFlags;

static const Option options[] = {
    { 'f', "follow", OPTION_SWITCH, offsetof(EventsFlags, follow), NULL, "go on with those to come" },
    { 0, "since", OPTION_STRING, offsetof(EventsFlags, since), "TIME",
      "begin there: 10m, 1700000000, 2026-01-31T12:00:00Z" },
    { 0, "format", OPTION_STRING, offsetof(EventsFlags, format), "table|json", "one object a line with json" },
    OPTIONS_END,
};

static void print_exit(json_object *exit) {
    const char *signal = json_field_string(exit, "signal");
    int64_t code;

    if (json_field_int(exit, "code", &code))
        (void) printf(" code=%lld", (long long) code);
    if (signal)
        (void) printf(" signal=%s", signal);
    if (json_field_bool(exit, "oomKilled"))
        (void) printf(" oomKilled");
}

static void print_event(json_object *event) {
    _cleanup_free_ char *name = text_escape(json_field_string(event, "name") ?: "-");
    _cleanup_free_ char *limit = text_escape(json_field_string(event, "limit") ?: "");
    _cleanup_free_ char *message = text_escape(json_field_string(event, "message") ?: "");
    json_object *exit = json_field_object(event, "exit");
    int64_t usec = 0, owner = 0, finding;
    char when[64];

    (void) json_field_int(event, "timestampUsec", &usec);
    (void) json_field_int(event, "owner", &owner);
    text_timestamp(usec, when, sizeof(when));
    (void) printf("%s %-13s %.12s %s owner=%lld", when, json_field_string(event, "kind") ?: "-",
                  json_field_string(event, "container") ?: "-", name ?: "-", (long long) owner);
    if (exit)
        print_exit(exit);
    if (limit && limit[0])
        (void) printf(" limit=%s", limit);
    if (json_field_int(event, "finding", &finding))
        (void) printf(" finding=%lld", (long long) finding);
    if (message && message[0])
        (void) printf(" %s", message);
    (void) putchar('\n');
}

static int stream(Connection *c, bool json, Error *reterr) {
    for (;;) {
        _cleanup_(message_reply_freep) MessageReply *reply = NULL;
        if (!connection_has_reply(c) && fflush(stdout) != 0)
            return 0;
        int r = connection_receive(c, &reply, reterr);
        if (r != 0)
            return r;
        json_object *event = json_field_object(reply->parameters, "event");
        if (event && json)
            (void) json_print(event, false, stdout);
        else if (event)
            print_event(event);
        if (!reply->continues)
            return 0;
    }
}

static int run(const Client *client, const void *data, const Strings *operands) {
    _cleanup_(connection_freep) Connection *c = NULL;
    _cleanup_json_ json_object *parameters = json_object_new_object();
    const EventsFlags *flags = data;
    Error error = ERROR_INIT;
    int64_t since;

    int json = verb_format(flags->format, &error), r = json < 0 ? json : 0;
    if (r == 0 && flags->since) {
        r = quantity_instant("--since", flags->since, text_now_usec(), &since, &error);
        if (r == 0)
            (void) json_object_object_add(parameters, "sinceUsec", json_object_new_int64(since));
    }
    (void) json_object_object_add(parameters, "follow", json_object_new_boolean(flags->follow));
    if (operands->n > 0)
        (void) json_object_object_add(parameters, "container", json_object_new_string(operands->items[0]));
    if (r == 0)
        r = connection_open(client->socket, &c, &error);
    if (r == 0)
        r = connection_send(c, "Events", parameters, true, NULL, 0, &error);
    if (r == 0)
        r = stream(c, json == 1, &error);
    return r == 0 ? 0 : report_failure(&error);
}

const Verb verb_events = {
    .name = "events",
    .operands = "[CONTAINER]",
    .summary = "Show what happened to containers",
    .options = options,
    .options_size = sizeof(EventsFlags),
    .operands_max = 1,
    .run = run,
};
