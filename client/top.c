/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * kennel top: the processes of a container, with the pids that it sees and those that the host sees; without one, all
 * containers with their last minute.
 */

#include "client/connection.h"
#include "client/render-json.h"
#include "client/render-table.h"
#include "client/report.h"
#include "client/sparkline.h"
#include "client/text.h"
#include "client/watch.h"

#include <time.h>

typedef struct TopFlags {
    WatchFlags watch;
} TopFlags;

#define WATCH(member) offsetof(TopFlags, watch.member)

static const Option options[] = {
    WATCH_OPTIONS(WATCH),
    OPTIONS_END,
};

/* ---- the processes of one ---- */

static const char *const process_headings[] = { "PID", "HOST-PID", "PPID",  "USER",    "STAT", "THREADS",
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

static int print_processes(json_object *processes, bool json) {
    _cleanup_(table_freep) Table *table = table_new(process_headings);
    size_t n = processes ? json_object_array_length(processes) : 0;

    if (!table)
        return -ENOMEM;
    for (size_t i = 0; i < n; i++) {
        json_object *p = json_object_array_get_idx(processes, i);
        if (json)
            (void) json_print(p, false, stdout);
        else
            add_process(table, p);
    }
    return json ? 0 : table_print(table, true, stdout);
}

static int check_flags(const WatchFlags *flags, Error *reterr) {
    const char *given = flags->interval ? "--interval" : flags->sort ? "--sort" : NULL;

    return given ? error_invalid(reterr, given, "means something without a container only") : 0;
}

static int show_processes(const Client *client, const WatchFlags *flags, const char *container) {
    _cleanup_(message_reply_freep) MessageReply *reply = NULL;
    _cleanup_json_ json_object *parameters = json_object_new_object();
    Error error = ERROR_INIT;

    int json = verb_format(flags->format, &error);
    if (json < 0 || check_flags(flags, &error) < 0)
        return report_failure(&error);
    (void) json_object_object_add(parameters, "container", json_object_new_string(container));
    if (connection_call_once(client->socket, "Processes", parameters, &reply, &error) != 0)
        return report_failure(&error);
    if (print_processes(json_field_array(reply->parameters, "processes"), json == 1) == -ENOMEM) {
        report("out of memory");
        return EXIT_KENNEL;
    }
    return 0;
}

/* ---- all containers ---- */

static const char *const headings[] = { "NAME", "CPU %", "CPU 1 MIN", "MEM USAGE", "MEM %", "MEM 1 MIN", "PIDS", NULL };

/* As many bars as there is room for beside the figures; divisors of a minute. */
static size_t bars_for(unsigned columns) {
    return columns >= 180 ? 60 : columns >= 120 ? 30 : columns >= 100 || columns == 0 ? 20 : 15;
}

static void add_trend(Table *t, const Samples *samples, const SamplesRow *row, SamplesTrend trend, int64_t full,
                      size_t n) {
    int64_t bars[SPARKLINE_MAX];
    char line[SPARKLINE_MAX * 3 + 1];

    samples_trend(samples, row, trend, n, bars);
    for (size_t i = 0; i < n; i++)
        full = bars[i] > full ? bars[i] : full;
    sparkline(bars, n, full, sparkline_utf8(), line);
    table_add(t, line);
}

static void add_row(Table *t, const Samples *samples, const SamplesRow *row, unsigned columns) {
    static const int64_t one_cpu = 10000;
    size_t n = bars_for(columns);

    table_add(t, samples_name(row));
    watch_add_rate(t, row, SAMPLES_CPU);
    add_trend(t, samples, row, SAMPLES_TREND_CPU, one_cpu, n);
    watch_add_bytes(t, row, SAMPLES_MEMORY);
    watch_add_share(t, row, SAMPLES_MEMORY, SAMPLES_MEMORY_LIMIT);
    add_trend(t, samples, row, SAMPLES_TREND_MEMORY, samples_figure(row, SAMPLES_MEMORY_LIMIT), n);
    watch_add_number(t, row, SAMPLES_PIDS);
}

static int run(const Client *client, const void *data, const Strings *operands) {
    static const WatchView view = { .headings = headings, .order = SAMPLES_BY_CPU, .add_row = add_row };
    const TopFlags *flags = data;

    return operands->n > 0 ? show_processes(client, &flags->watch, operands->items[0])
                           : watch_run(client, &view, &flags->watch, operands);
}

const Verb verb_top = {
    .name = "top",
    .operands = "[CONTAINER]",
    .summary = "Show a container's processes, or all containers live",
    .options = options,
    .options_size = sizeof(TopFlags),
    .operands_max = 1,
    .run = run,
};
