/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* kennel logs: what a container wrote, byte for byte: stdout to stdout, stderr to stderr. */

#include "client/connection.h"
#include "client/quantity.h"
#include "client/render-json.h"
#include "client/report.h"
#include "client/text.h"
#include "client/verb.h"

#include <string.h>

typedef struct LogsFlags {
    bool follow, timestamps;
    const char *tail;
} LogsFlags;

static const Option options[] = {
    { 'f', "follow", OPTION_SWITCH, offsetof(LogsFlags, follow), NULL, "go on until it has exited" },
    { 'n', "tail", OPTION_STRING, offsetof(LogsFlags, tail), "N", "the last N lines alone" },
    { 't', "timestamps", OPTION_SWITCH, offsetof(LogsFlags, timestamps), NULL, "put the time before each line" },
    OPTIONS_END,
};

typedef struct LogsState {
    const LogsFlags *flags;
    FILE *last;      /* to which the last entry went */
    bool in_line[2]; /* stdout and stderr stand in the middle of a line */
    size_t n;
} LogsState;

/* The two streams may share a terminal: what was written first has to arrive first. */
static FILE *choose(LogsState *s, bool is_stderr) {
    FILE *out = is_stderr ? stderr : stdout;

    if (s->last && s->last != out)
        (void) fflush(s->last);
    s->last = out;
    return out;
}

static int print_entry(LogsState *s, json_object *entry, Error *reterr) {
    const char *stream = json_field_string(entry, "stream"), *text = json_field_string(entry, "text");
    const char *base64 = json_field_string(entry, "base64");
    bool is_stderr = stream && strcmp(stream, "stderr") == 0;
    _cleanup_free_ char *decoded = NULL;
    size_t size = text ? strlen(text) : 0;
    FILE *out = choose(s, is_stderr);

    if (!text && base64 && text_base64(base64, &decoded, &size) < 0)
        return error_failed(reterr, EPROTO, "daemon", "sent a log entry that cannot be decoded");
    if (s->flags->timestamps && !s->in_line[is_stderr]) {
        int64_t usec = 0;
        char when[64];
        (void) json_field_int(entry, "timestampUsec", &usec);
        text_timestamp(usec, when, sizeof(when));
        (void) fprintf(out, "%s ", when);
    }
    (void) fwrite(decoded ?: text ?: "", 1, size, out);
    s->in_line[is_stderr] = json_field_bool(entry, "partial");
    if (!s->in_line[is_stderr])
        (void) fputc('\n', out);
    s->n++;
    return 0;
}

/* Nobody follows output into a disk that is full. */
static bool output_failed(void) {
    return ferror(stdout) || ferror(stderr);
}

static int stream_entries(Connection *c, LogsState *s, Error *reterr) {
    while (!output_failed()) {
        _cleanup_(message_reply_freep) MessageReply *reply = NULL;
        if (!connection_has_reply(c)) {
            (void) fflush(stdout);
            (void) fflush(stderr);
        }
        int r = connection_receive(c, &reply, reterr);
        if (r != 0)
            return r;
        json_object *entry = json_field_object(reply->parameters, "entry");
        if (entry)
            r = print_entry(s, entry, reterr);
        if (r < 0 || !reply->continues)
            return r;
    }
    return 0;
}

static int parse_tail(const char *text, json_object *parameters, Error *reterr) {
    int64_t tail;

    if (!text || strcmp(text, "all") == 0)
        return 0;
    int r = quantity_integer("-n/--tail", text, 0, INT64_MAX, &tail, reterr);
    if (r < 0)
        return r;
    return json_object_object_add(parameters, "tail", json_object_new_int64(tail)) < 0 ? -ENOMEM : 0;
}

/* True if the container's output went elsewhere: its log is empty and stays so. */
static int check_logged(Connection *c, json_object *name, bool *ret_logged, Error *reterr) {
    _cleanup_(message_reply_freep) MessageReply *reply = NULL;
    _cleanup_json_ json_object *parameters = json_object_new_object();
    json_object *logged;

    (void) json_object_object_add(parameters, "container", json_object_get(name));
    int r = connection_call(c, "Inspect", parameters, false, &reply, reterr);
    if (r != 0)
        return r;
    *ret_logged = !json_object_object_get_ex(reply->parameters, "logged", &logged) || json_object_get_boolean(logged);
    return 0;
}

static int run(const Client *client, const void *data, const Strings *operands) {
    _cleanup_(connection_freep) Connection *c = NULL;
    _cleanup_json_ json_object *parameters = json_object_new_object();
    json_object *name = json_object_new_string(operands->items[0]);
    LogsState state = { .flags = data };
    Error error = ERROR_INIT;
    bool logged = true;

    (void) json_object_object_add(parameters, "container", name);
    if (state.flags->follow)
        (void) json_object_object_add(parameters, "follow", json_object_new_boolean(true));
    int r = parse_tail(state.flags->tail, parameters, &error);
    if (r == 0)
        r = connection_open(client->socket, &c, &error);
    if (r == 0)
        r = check_logged(c, name, &logged, &error);
    if (r == 0)
        r = connection_send(c, "Logs", parameters, true, NULL, 0, &error);
    if (r == 0 && !logged)
        report("%s has no log: its output went to the program that started it", operands->items[0]);
    if (r == 0 && logged)
        r = stream_entries(c, &state, &error);
    (void) fflush(stdout);
    return r == 0 ? 0 : report_failure(&error);
}

const Verb verb_logs = {
    .name = "logs",
    .operands = "CONTAINER",
    .summary = "Show what a container wrote",
    .options = options,
    .options_size = sizeof(LogsFlags),
    .operands_min = 1,
    .operands_max = 1,
    .run = run,
};
