/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What replies of Stats say, container by container: the newest reading, rates between the last two, and the last minute.
 *
 * A tick may come in several replies; when the last one is there, containers that were not in it have left. One that has
 * ended leaves with its final sample, which is no part of a tick. A figure that is null, or a counter that went backwards,
 * is unknown, never 0. Containers are told apart by their ids, so that one that takes the name of another starts anew.
 */

#include "kennel/error.h"

#include <json-c/json.h>

typedef enum SamplesFigure {
    SAMPLES_CPU, /* counters in µs, which samples_rate() is for */
    SAMPLES_THROTTLED,
    SAMPLES_PSI_CPU,
    SAMPLES_PSI_MEMORY,
    SAMPLES_PSI_IO,
    SAMPLES_MEMORY, /* the working set */
    SAMPLES_MEMORY_LIMIT,
    SAMPLES_PIDS,
    SAMPLES_NET_IN,
    SAMPLES_NET_OUT,
    SAMPLES_IO_READ,
    SAMPLES_IO_WRITE,
    SAMPLES_DISK,
    SAMPLES_DISK_LIMIT,
    _SAMPLES_FIGURE_MAX,
} SamplesFigure;

typedef enum SamplesOrder {
    SAMPLES_BY_NAME, /* the only one that ascends; equals and what is unknown stand in this order behind the others */
    SAMPLES_BY_CPU,
    SAMPLES_BY_MEMORY,
    SAMPLES_BY_PIDS,
    SAMPLES_BY_NET,
    SAMPLES_BY_IO,
    SAMPLES_BY_DISK,
    SAMPLES_BY_THROTTLED,
    SAMPLES_BY_PSI,
    _SAMPLES_BY_MAX,
} SamplesOrder;

typedef enum SamplesTrend { SAMPLES_TREND_CPU, SAMPLES_TREND_MEMORY, _SAMPLES_TREND_MAX } SamplesTrend;

#define SAMPLES_UNKNOWN         INT64_C(-1)
#define SAMPLES_HISTORY_SECONDS 60

typedef struct SamplesRow SamplesRow;
typedef struct Samples Samples;

Samples *samples_new(void);
Samples *samples_free(Samples *s);
DEFINE_CLEANUP(Samples, samples_free)

typedef enum SamplesTaken {
    SAMPLES_TAKEN_PART, /* the tick goes on in another reply */
    SAMPLES_TAKEN_TICK, /* the tick is complete */
    SAMPLES_TAKEN_FINAL /* no tick: containers have left */
} SamplesTaken;

/* Takes in the parameters of one reply. SamplesTaken or -ENOMEM. */
int samples_take(Samples *s, json_object *parameters);

/* Complete ticks so far. */
size_t samples_ticks(const Samples *s);

/* All rows in this order; *ret is valid until the next samples_take() or samples_sort(). */
size_t samples_sort(Samples *s, SamplesOrder order, const SamplesRow *const **ret);

const char *samples_id(const SamplesRow *row);
const char *samples_name(const SamplesRow *row);

/* SAMPLES_UNKNOWN where it is not known. */
int64_t samples_figure(const SamplesRow *row, SamplesFigure figure);
/* Increase of a counter in µs per time, in hundredths of a percent. */
int64_t samples_rate(const SamplesRow *row, SamplesFigure figure);
/* One figure of another, in hundredths of a percent. */
int64_t samples_share(const SamplesRow *row, SamplesFigure part, SamplesFigure whole);

/*
 * The last minute in N bars, a divisor of SAMPLES_HISTORY_SECONDS, the newest last: the mean of the CPU's rate (as above),
 * the maximum of memory's bytes. Bars stand at fixed times, so that they move as a whole and do not change on the way.
 */
void samples_trend(const Samples *s, const SamplesRow *row, SamplesTrend trend, size_t n, int64_t *ret);

/* "cpu": an order by its name, or -EINVAL and reterr with FLAG as subject. */
int samples_order_from_string(const char *flag, const char *name, Error *reterr);
/* An order by its key in a live table, or -EINVAL. */
int samples_order_from_key(char key);
