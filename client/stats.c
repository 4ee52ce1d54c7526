/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * kennel stats: what containers use. CPU use is a difference between two readings, so the table begins with the second;
 * with json every reading is printed as it comes.
 */

#include "client/connection.h"
#include "client/quantity.h"
#include "client/render-json.h"
#include "client/render-table.h"
#include "client/report.h"
#include "client/text.h"
#include "client/verb.h"

#include <string.h>

typedef struct StatsFlags {
    bool no_stream;
    const char *interval, *format;
} StatsFlags;

static const Option options[] = {
    { 0, "no-stream", OPTION_SWITCH, offsetof(StatsFlags, no_stream), NULL, "print once and end" },
    { 0, "interval", OPTION_STRING, offsetof(StatsFlags, interval), "SECONDS", "time between readings (1), from 0.1" },
    { 0, "format", OPTION_STRING, offsetof(StatsFlags, format), "table|json", "one object a line with json" },
    OPTIONS_END,
};

static const char *const headings[] = { "NAME", "CPU %", "MEMORY", "LIMIT", "PIDS", "PIDS LIMIT", NULL };

static json_object *sample_at(json_object *samples, size_t i) {
    return json_object_array_get_idx(samples, i);
}

static size_t count(json_object *samples) {
    return samples ? json_object_array_length(samples) : 0;
}

/* The reading of the same container in the tick before, or NULL. */
static json_object *find_before(json_object *before, const char *id) {
    for (size_t i = 0; i < count(before); i++) {
        const char *other = json_field_string(sample_at(before, i), "container");
        if (other && id && strcmp(other, id) == 0)
            return sample_at(before, i);
    }
    return NULL;
}

static void add_cpu(Table *t, json_object *before, json_object *now) {
    int64_t usage[2], when[2];

    if (!json_field_int(json_field_object(before, "cpu"), "usageUsec", &usage[0]) ||
        !json_field_int(json_field_object(now, "cpu"), "usageUsec", &usage[1]) ||
        !json_field_int(before, "monotonicUsec", &when[0]) || !json_field_int(now, "monotonicUsec", &when[1]) ||
        when[1] <= when[0]) {
        table_add(t, "-");
        return;
    }
    int64_t used = usage[1] > usage[0] ? usage[1] - usage[0] : 0, tenths = used * 1000 / (when[1] - when[0]);
    table_addf(t, "%lld.%lld%%", (long long) (tenths / 10), (long long) (tenths % 10));
}

static void add_bytes(Table *t, json_object *o, const char *key) {
    int64_t bytes;
    char text[32];

    if (!json_field_int(o, key, &bytes)) {
        table_add(t, "-");
        return;
    }
    text_bytes(bytes, text, sizeof(text));
    table_add(t, text);
}

static void add_sample(Table *t, json_object *before, json_object *now) {
    json_object *memory = json_field_object(now, "memory"), *pids = json_field_object(now, "pids");

    table_add_field(t, now, "name");
    add_cpu(t, before, now);
    add_bytes(t, memory, "current");
    add_bytes(t, memory, "limit");
    table_add_field(t, pids, "current");
    table_add_field(t, pids, "limit");
}

static int print_table(json_object *before, json_object *now, bool with_headings) {
    _cleanup_(table_freep) Table *table = table_new(headings);

    if (!table)
        return -ENOMEM;
    for (size_t i = 0; i < count(now); i++) {
        json_object *sample = sample_at(now, i);
        add_sample(table, find_before(before, json_field_string(sample, "container")), sample);
    }
    /* on a terminal each table takes the place of the one before */
    if (isatty(STDOUT_FILENO) && !with_headings)
        (void) fputs("\033[H\033[J", stdout);
    return table_print(table, with_headings || isatty(STDOUT_FILENO), stdout);
}

static void print_json(json_object *samples) {
    for (size_t i = 0; i < count(samples); i++)
        (void) json_print(sample_at(samples, i), false, stdout);
}

static int stream(Connection *c, const StatsFlags *flags, bool json, Error *reterr) {
    _cleanup_json_ json_object *before = NULL;

    for (size_t tick = 0;; tick++) {
        _cleanup_(message_reply_freep) MessageReply *reply = NULL;
        int r = connection_receive(c, &reply, reterr);
        if (r != 0)
            return r;
        json_object *now = json_field_array(reply->parameters, "samples");
        if (json)
            print_json(now);
        else if (tick > 0 || !reply->continues) {
            if (print_table(before, now, tick <= 1) == -ENOMEM)
                return error_failed(reterr, ENOMEM, "stats", "out of memory");
        }
        if (fflush(stdout) != 0 || !reply->continues || (flags->no_stream && tick > 0))
            return 0;
        json_object_putp(&before);
        before = json_object_get(now);
    }
}

static int add_parameters(json_object *parameters, const StatsFlags *flags, const Strings *names, Error *reterr) {
    json_object *array = names->n > 0 ? json_object_new_array() : NULL;
    int64_t interval;

    for (size_t i = 0; i < names->n; i++)
        (void) json_object_array_add(array, json_object_new_string(names->items[i]));
    if (array)
        (void) json_object_object_add(parameters, "containers", array);
    if (!flags->interval)
        return 0;
    int r = quantity_seconds("--interval", flags->interval, &interval, reterr);
    if (r < 0)
        return r;
    (void) json_object_object_add(parameters, "intervalUsec", json_object_new_int64(interval));
    return 0;
}

static int run(const Client *client, const void *data, const Strings *names) {
    _cleanup_(connection_freep) Connection *c = NULL;
    _cleanup_json_ json_object *parameters = json_object_new_object();
    const StatsFlags *flags = data;
    Error error = ERROR_INIT;

    int json = verb_format(flags->format, &error);
    int r = json < 0 ? json : add_parameters(parameters, flags, names, &error);
    if (r == 0)
        r = connection_open(client->socket, &c, &error);
    /* one reading is enough for json; the table needs two */
    bool more = !(json == 1 && flags->no_stream);
    if (r == 0)
        r = connection_send(c, "Stats", parameters, more, NULL, 0, &error);
    if (r == 0)
        r = stream(c, flags, json == 1, &error);
    return r == 0 ? 0 : report_failure(&error);
}

const Verb verb_stats = {
    .name = "stats",
    .operands = "[CONTAINER...]",
    .summary = "Show what containers use of CPU, memory and pids",
    .options = options,
    .options_size = sizeof(StatsFlags),
    .operands_max = SIZE_MAX,
    .run = run,
};
