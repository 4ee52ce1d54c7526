/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* kennel stats: what containers use, in docker's columns and some that it lacks. */

#include "client/watch.h"

typedef struct StatsFlags {
    WatchFlags watch;
} StatsFlags;

#define WATCH(member) offsetof(StatsFlags, watch.member)

static const Option options[] = {
    WATCH_OPTIONS(WATCH),
    OPTIONS_END,
};

static const char *const headings[] = {
    "CONTAINER ID", "NAME",      "CPU %",        "MEM USAGE / LIMIT",  "MEM %", "NET I/O", "BLOCK I/O",
    "PIDS",         "THROTTLED", "DISK / LIMIT", "PSI CPU / MEM / IO", NULL,
};

static void add_row(Table *t, const Samples *samples, const SamplesRow *row, unsigned columns) {
    static const SamplesFigure throttled[] = { SAMPLES_THROTTLED };
    static const SamplesFigure pressure[] = { SAMPLES_PSI_CPU, SAMPLES_PSI_MEMORY, SAMPLES_PSI_IO };

    table_addf(t, "%.12s", samples_id(row));
    table_add(t, samples_name(row));
    watch_add_rate(t, row, SAMPLES_CPU);
    watch_add_bytes_pair(t, row, SAMPLES_MEMORY, SAMPLES_MEMORY_LIMIT);
    watch_add_share(t, row, SAMPLES_MEMORY, SAMPLES_MEMORY_LIMIT);
    watch_add_bytes_pair(t, row, SAMPLES_NET_IN, SAMPLES_NET_OUT);
    watch_add_bytes_pair(t, row, SAMPLES_IO_READ, SAMPLES_IO_WRITE);
    watch_add_number(t, row, SAMPLES_PIDS);
    watch_add_rates(t, row, throttled, ELEMENTSOF(throttled));
    watch_add_bytes_pair(t, row, SAMPLES_DISK, SAMPLES_DISK_LIMIT);
    watch_add_rates(t, row, pressure, ELEMENTSOF(pressure));
}

static int run(const Client *client, const void *data, const Strings *containers) {
    static const WatchView view = { .headings = headings, .order = SAMPLES_BY_NAME, .add_row = add_row };
    const StatsFlags *flags = data;

    return watch_run(client, &view, &flags->watch, containers);
}

const Verb verb_stats = {
    .name = "stats",
    .operands = "[CONTAINER...]",
    .summary = "Show what containers use, live",
    .options = options,
    .options_size = sizeof(StatsFlags),
    .operands_max = SIZE_MAX,
    .run = run,
};
