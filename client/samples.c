/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Readings, rates and the last minute of containers; see samples.h. */

#include "client/samples.h"

#include "client/render-json.h"

#include <string.h>

#define USEC_PER_SEC INT64_C(1000000)
#define HUNDREDTHS   10000 /* of a percent in one */

typedef struct Reading {
    int64_t monotonic_usec;
    int64_t figures[_SAMPLES_FIGURE_MAX];
} Reading;

/* One second of the history. */
typedef struct Second {
    int64_t second;                 /* of the monotonic clock; -1: never used */
    int64_t cpu_usec, elapsed_usec; /* their quotient is the rate; elapsed 0: unknown */
    int64_t memory;
} Second;

struct SamplesRow {
    char *id, *name;
    Reading before, now;
    bool has_before;
    size_t seen; /* the tick in which it was last */
    Second history[SAMPLES_HISTORY_SECONDS];
};

struct Samples {
    SamplesRow **rows;         /* by id */
    const SamplesRow **sorted; /* borrowed from rows */
    size_t n, room;
    size_t ticks;
    int64_t newest_usec; /* of all readings: where the history of each row ends */
};

/* Where in a Sample each figure stands. */
static const struct {
    const char *group, *subgroup, *key;
} places[_SAMPLES_FIGURE_MAX] = {
    [SAMPLES_CPU] = { "cpu", NULL, "usageUsec" },          [SAMPLES_THROTTLED] = { "cpu", NULL, "throttledUsec" },
    [SAMPLES_PSI_CPU] = { "pressure", "cpu", "someUsec" }, [SAMPLES_PSI_MEMORY] = { "pressure", "memory", "someUsec" },
    [SAMPLES_PSI_IO] = { "pressure", "io", "someUsec" },   [SAMPLES_MEMORY] = { "memory", NULL, "workingSet" },
    [SAMPLES_MEMORY_LIMIT] = { "memory", NULL, "limit" },  [SAMPLES_PIDS] = { "pids", NULL, "current" },
    [SAMPLES_NET_IN] = { "network", NULL, "inBytes" },     [SAMPLES_NET_OUT] = { "network", NULL, "outBytes" },
    [SAMPLES_IO_READ] = { "io", NULL, "readBytes" },       [SAMPLES_IO_WRITE] = { "io", NULL, "writeBytes" },
    [SAMPLES_DISK] = { "storage", NULL, "bytes" },         [SAMPLES_DISK_LIMIT] = { "storage", NULL, "limit" },
};

static const struct {
    const char *name;
    char key;
    SamplesFigure figures[3]; /* what is looked at */
    size_t n;
    bool rate; /* the greatest of their rates, not the sum of the figures */
} orders[_SAMPLES_BY_MAX] = {
    [SAMPLES_BY_NAME] = { "name", 'a', { 0 }, 0, false },
    [SAMPLES_BY_CPU] = { "cpu", 'c', { SAMPLES_CPU }, 1, true },
    [SAMPLES_BY_MEMORY] = { "memory", 'm', { SAMPLES_MEMORY }, 1, false },
    [SAMPLES_BY_PIDS] = { "pids", 'p', { SAMPLES_PIDS }, 1, false },
    [SAMPLES_BY_NET] = { "net", 'n', { SAMPLES_NET_IN, SAMPLES_NET_OUT }, 2, false },
    [SAMPLES_BY_IO] = { "io", 'i', { SAMPLES_IO_READ, SAMPLES_IO_WRITE }, 2, false },
    [SAMPLES_BY_DISK] = { "disk", 'd', { SAMPLES_DISK }, 1, false },
    [SAMPLES_BY_THROTTLED] = { "throttled", 't', { SAMPLES_THROTTLED }, 1, true },
    [SAMPLES_BY_PSI] = { "psi", 's', { SAMPLES_PSI_CPU, SAMPLES_PSI_MEMORY, SAMPLES_PSI_IO }, 3, true },
};

Samples *samples_new(void) {
    return calloc(1, sizeof(Samples));
}

static SamplesRow *row_free(SamplesRow *row) {
    if (!row)
        return NULL;
    free(row->id);
    free(row->name);
    free(row);
    return NULL;
}
DEFINE_CLEANUP(SamplesRow, row_free)

Samples *samples_free(Samples *s) {
    if (!s)
        return NULL;
    for (size_t i = 0; i < s->n; i++)
        (void) row_free(s->rows[i]);
    free(s->rows);
    free(s->sorted);
    free(s);
    return NULL;
}

static int row_new(const char *id, const char *name, SamplesRow **ret) {
    _cleanup_(row_freep) SamplesRow *row = calloc(1, sizeof(*row));

    if (!row)
        return -ENOMEM;
    row->id = strdup(id);
    row->name = strdup(name);
    if (!row->id || !row->name)
        return -ENOMEM;
    for (size_t i = 0; i < ELEMENTSOF(row->history); i++)
        row->history[i].second = -1;
    *ret = TAKE_PTR(row);
    return 0;
}

/* Index of the first row that is not before ID. */
static size_t lower_bound(const Samples *s, const char *id) {
    size_t low = 0, high = s->n;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (strcmp(s->rows[middle]->id, id) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static bool is_at(const Samples *s, size_t i, const char *id) {
    return i < s->n && strcmp(s->rows[i]->id, id) == 0;
}

static int make_room(Samples *s) {
    if (s->n < s->room)
        return 0;
    size_t room = s->room > 0 ? s->room * 2 : 16;
    SamplesRow **rows = reallocarray(s->rows, room, sizeof(*rows));
    if (!rows)
        return -ENOMEM;
    s->rows = rows;
    const SamplesRow **sorted = reallocarray(s->sorted, room, sizeof(*sorted));
    if (!sorted)
        return -ENOMEM;
    s->sorted = sorted;
    s->room = room;
    return 0;
}

static int find_or_add(Samples *s, const char *id, const char *name, SamplesRow **ret) {
    size_t i = lower_bound(s, id);

    if (!is_at(s, i, id)) {
        SamplesRow *row;
        int r = make_room(s);
        if (r == 0)
            r = row_new(id, name, &row);
        if (r < 0)
            return r;
        memmove(s->rows + i + 1, s->rows + i, (s->n - i) * sizeof(*s->rows));
        s->rows[i] = row;
        s->n++;
    }
    *ret = s->rows[i];
    return 0;
}

static void remove_at(Samples *s, size_t i) {
    (void) row_free(s->rows[i]);
    s->n--;
    memmove(s->rows + i, s->rows + i + 1, (s->n - i) * sizeof(*s->rows));
}

static void read_figures(json_object *sample, Reading *ret) {
    for (size_t i = 0; i < _SAMPLES_FIGURE_MAX; i++) {
        json_object *group = json_field_object(sample, places[i].group);
        if (places[i].subgroup)
            group = json_field_object(group, places[i].subgroup);
        if (!json_field_int(group, places[i].key, &ret->figures[i]) || ret->figures[i] < 0)
            ret->figures[i] = SAMPLES_UNKNOWN;
    }
}

static Second *second_at(SamplesRow *row, int64_t second) {
    Second *slot = row->history + second % SAMPLES_HISTORY_SECONDS;

    if (slot->second != second)
        *slot = (Second){ .second = second, .memory = SAMPLES_UNKNOWN };
    return slot;
}

/* Increase of a counter since the reading before. */
static int64_t increase(const SamplesRow *row, SamplesFigure figure) {
    int64_t before = row->before.figures[figure], now = row->now.figures[figure];

    if (!row->has_before || before < 0 || now < before)
        return SAMPLES_UNKNOWN;
    return now - before;
}

/* The newest reading stands for all seconds since the one before. */
static void remember(SamplesRow *row) {
    int64_t last = row->now.monotonic_usec / USEC_PER_SEC, first = last;
    int64_t elapsed = row->now.monotonic_usec - row->before.monotonic_usec, used = increase(row, SAMPLES_CPU);

    if (row->has_before && row->before.monotonic_usec / USEC_PER_SEC < last)
        first = row->before.monotonic_usec / USEC_PER_SEC + 1;
    if (last - first >= SAMPLES_HISTORY_SECONDS)
        first = last - SAMPLES_HISTORY_SECONDS + 1;
    for (int64_t second = first; second <= last; second++) {
        Second *slot = second_at(row, second);
        if (row->now.figures[SAMPLES_MEMORY] > slot->memory)
            slot->memory = row->now.figures[SAMPLES_MEMORY];
        if (used >= 0) {
            slot->cpu_usec += used;
            slot->elapsed_usec += elapsed;
        }
    }
}

static int take_sample(Samples *s, json_object *sample, const char *id) {
    Reading reading = { 0 };
    SamplesRow *row;

    int r = find_or_add(s, id, json_field_string(sample, "name") ?: id, &row);
    if (r < 0)
        return r;
    row->seen = s->ticks + 1;
    /* a reading that is not newer says nothing new */
    if (!json_field_int(sample, "monotonicUsec", &reading.monotonic_usec) || reading.monotonic_usec < 0 ||
        reading.monotonic_usec <= row->now.monotonic_usec)
        return 0;
    read_figures(sample, &reading);
    row->has_before = row->now.monotonic_usec > 0;
    row->before = row->now;
    row->now = reading;
    remember(row);
    if (reading.monotonic_usec > s->newest_usec)
        s->newest_usec = reading.monotonic_usec;
    return 0;
}

static void end_tick(Samples *s) {
    s->ticks++;
    for (size_t i = s->n; i > 0; i--)
        if (s->rows[i - 1]->seen < s->ticks)
            remove_at(s, i - 1);
}

int samples_take(Samples *s, json_object *parameters) {
    json_object *samples = json_field_array(parameters, "samples");
    size_t n = samples ? json_object_array_length(samples) : 0, finals = 0;

    for (size_t i = 0; i < n; i++) {
        json_object *sample = json_object_array_get_idx(samples, i);
        const char *id = json_field_string(sample, "container");
        if (!id)
            continue;
        if (!json_field_bool(sample, "final")) {
            int r = take_sample(s, sample, id);
            if (r < 0)
                return r;
            continue;
        }
        finals++;
        size_t at = lower_bound(s, id);
        if (is_at(s, at, id))
            remove_at(s, at);
    }
    if (finals > 0 && finals == n)
        return SAMPLES_TAKEN_FINAL;
    if (!json_field_bool(parameters, "complete"))
        return SAMPLES_TAKEN_PART;
    end_tick(s);
    return SAMPLES_TAKEN_TICK;
}

size_t samples_ticks(const Samples *s) {
    return s->ticks;
}

const char *samples_id(const SamplesRow *row) {
    return row->id;
}

const char *samples_name(const SamplesRow *row) {
    return row->name;
}

int64_t samples_figure(const SamplesRow *row, SamplesFigure figure) {
    return row->now.figures[figure];
}

static int64_t hundredths_of(int64_t part, int64_t whole) {
    int64_t product;

    if (part < 0 || whole <= 0)
        return SAMPLES_UNKNOWN;
    if (!__builtin_mul_overflow(part, HUNDREDTHS, &product))
        return product / whole;
    /* more than 2^49 of anything: the fraction does not matter any more */
    return whole >= HUNDREDTHS ? part / (whole / HUNDREDTHS) : INT64_MAX;
}

int64_t samples_rate(const SamplesRow *row, SamplesFigure figure) {
    return hundredths_of(increase(row, figure), row->now.monotonic_usec - row->before.monotonic_usec);
}

int64_t samples_share(const SamplesRow *row, SamplesFigure part, SamplesFigure whole) {
    return hundredths_of(samples_figure(row, part), samples_figure(row, whole));
}

static int64_t order_value(const SamplesRow *row, SamplesOrder order) {
    int64_t value = SAMPLES_UNKNOWN;

    for (size_t i = 0; i < orders[order].n; i++) {
        SamplesFigure figure = orders[order].figures[i];
        int64_t one = orders[order].rate ? samples_rate(row, figure) : samples_figure(row, figure);
        if (value < 0 || one < 0)
            value = value < 0 ? one : value;
        else if (orders[order].rate)
            value = one > value ? one : value;
        else if (__builtin_add_overflow(value, one, &value))
            value = INT64_MAX;
    }
    return value;
}

static int compare(const void *a, const void *b, void *data) {
    const SamplesRow *one = *(const SamplesRow *const *) a, *other = *(const SamplesRow *const *) b;
    SamplesOrder order = *(const SamplesOrder *) data;
    int64_t x = order_value(one, order), y = order_value(other, order);

    if (x != y)
        return x > y ? -1 : 1;
    int names = strcmp(one->name, other->name);
    return names != 0 ? names : strcmp(one->id, other->id);
}

size_t samples_sort(Samples *s, SamplesOrder order, const SamplesRow *const **ret) {
    for (size_t i = 0; i < s->n; i++)
        s->sorted[i] = s->rows[i];
    if (s->n > 0)
        qsort_r(s->sorted, s->n, sizeof(*s->sorted), compare, &order);
    *ret = s->sorted;
    return s->n;
}

/* The bar of the seconds from FIRST to LAST. */
static int64_t bar(const SamplesRow *row, SamplesTrend trend, int64_t first, int64_t last) {
    int64_t used = 0, elapsed = 0, memory = SAMPLES_UNKNOWN;

    for (int64_t second = first < 0 ? 0 : first; second <= last; second++) {
        const Second *slot = row->history + second % SAMPLES_HISTORY_SECONDS;
        if (slot->second != second)
            continue;
        used += slot->cpu_usec;
        elapsed += slot->elapsed_usec;
        memory = slot->memory > memory ? slot->memory : memory;
    }
    return trend == SAMPLES_TREND_CPU ? hundredths_of(used, elapsed) : memory;
}

void samples_trend(const Samples *s, const SamplesRow *row, SamplesTrend trend, size_t n, int64_t *ret) {
    int64_t width = SAMPLES_HISTORY_SECONDS / (int64_t) n;
    int64_t first = s->newest_usec / USEC_PER_SEC / width * width - (int64_t) (n - 1) * width;

    for (size_t i = 0; i < n; i++, first += width)
        ret[i] = bar(row, trend, first, first + width - 1);
}

int samples_order_from_string(const char *flag, const char *name, Error *reterr) {
    for (size_t i = 0; i < _SAMPLES_BY_MAX; i++)
        if (strcmp(orders[i].name, name) == 0)
            return (int) i;
    return error_invalid(reterr, flag,
                         "\"%s\" is no column; name, cpu, memory, pids, net, io, disk, throttled or psi is expected",
                         name);
}

int samples_order_from_key(char key) {
    for (size_t i = 0; i < _SAMPLES_BY_MAX; i++)
        if (orders[i].key == key)
            return (int) i;
    return -EINVAL;
}
