/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What stats and top without a container have in common: the call Stats and its three forms: a live table on a terminal,
 * tables one after the other where there is none, and samples as JSON. A verb says which columns it wants.
 */

#include "client/options.h"
#include "client/render-table.h"
#include "client/samples.h"
#include "client/verb.h"

#define WATCH_COLUMNS_MAX 16U

typedef struct WatchFlags {
    bool no_stream;
    const char *interval, *sort, *format;
} WatchFlags;

/* The rows of a verb's table of options. M(member) is the offset of that member of WatchFlags in the verb's structure. */
/* clang-format off */
#define WATCH_OPTIONS(M)                                                                                               \
    { 0, "no-stream", OPTION_SWITCH, M(no_stream), NULL, "print once and end" },                                       \
    { 0, "interval", OPTION_STRING, M(interval), "SECONDS", "time between readings (1), from 0.1" },                   \
    { 0, "sort", OPTION_STRING, M(sort), "COLUMN",                                                                     \
      "name, cpu, memory, pids, net, io, disk, throttled, psi" },                                                      \
    { 0, "format", OPTION_STRING, M(format), "table|json", "one object a line with json" }
/* clang-format on */

typedef struct WatchView {
    const char *const *headings; /* WATCH_COLUMNS_MAX at most, ending with NULL */
    SamplesOrder order;          /* if --sort says nothing */
    /* Adds the cells of one row; COLUMNS is the terminal's width, 0 if there is none. */
    void (*add_row)(Table *t, const Samples *samples, const SamplesRow *row, unsigned columns);
} WatchView;

/* The exit code. */
int watch_run(const Client *client, const WatchView *view, const WatchFlags *flags, const Strings *containers);

/* Cells; "-" for what is unknown. N figures are separated by " / ". */
void watch_add_rate(Table *t, const SamplesRow *row, SamplesFigure figure);
void watch_add_rates(Table *t, const SamplesRow *row, const SamplesFigure *figures, size_t n);
void watch_add_share(Table *t, const SamplesRow *row, SamplesFigure part, SamplesFigure whole);
void watch_add_bytes(Table *t, const SamplesRow *row, SamplesFigure figure);
void watch_add_bytes_pair(Table *t, const SamplesRow *row, SamplesFigure one, SamplesFigure other);
void watch_add_number(Table *t, const SamplesRow *row, SamplesFigure figure);
