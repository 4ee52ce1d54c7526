/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The call Stats and its forms; see watch.h. CPU use is a difference between two readings, so tables that cannot be drawn
 * anew begin with the second one; the live table shows "-" until then.
 */

#include "client/watch.h"

#include "client/connection.h"
#include "client/live.h"
#include "client/parameters.h"
#include "client/quantity.h"
#include "client/render-json.h"
#include "client/report.h"
#include "client/text.h"

#include <string.h>

#define INTERVAL_MIN_USEC 100000
/* between the two readings of --no-stream: long enough for rates, short enough for whoever waits */
#define INTERVAL_ONCE_USEC 250000

typedef struct Watch {
    const WatchView *view;
    SamplesOrder order;
    bool json, once;
    Samples *samples;
    size_t widths[WATCH_COLUMNS_MAX];
} Watch;

static void watch_done(Watch *w) {
    w->samples = samples_free(w->samples);
}

/* ---- cells ---- */

static void format_hundredths(int64_t value, bool fine, char *ret, size_t size) {
    if (value < 0)
        (void) snprintf(ret, size, "-");
    else if (fine)
        (void) snprintf(ret, size, "%lld.%02lld%%", (long long) (value / 100), (long long) (value % 100));
    else
        (void) snprintf(ret, size, "%lld.%lld%%", (long long) (value / 100), (long long) (value % 100 / 10));
}

static void format_bytes(int64_t value, char *ret, size_t size) {
    if (value < 0)
        (void) snprintf(ret, size, "-");
    else
        text_bytes(value, ret, size);
}

void watch_add_rate(Table *t, const SamplesRow *row, SamplesFigure figure) {
    char text[32];

    format_hundredths(samples_rate(row, figure), true, text, sizeof(text));
    table_add(t, text);
}

void watch_add_rates(Table *t, const SamplesRow *row, const SamplesFigure *figures, size_t n) {
    char cell[128] = "", text[32];

    for (size_t i = 0; i < n; i++) {
        size_t at = strlen(cell);
        format_hundredths(samples_rate(row, figures[i]), false, text, sizeof(text));
        (void) snprintf(cell + at, sizeof(cell) - at, "%s%s", i > 0 ? " / " : "", text);
    }
    table_add(t, cell);
}

void watch_add_share(Table *t, const SamplesRow *row, SamplesFigure part, SamplesFigure whole) {
    char text[32];

    format_hundredths(samples_share(row, part, whole), true, text, sizeof(text));
    table_add(t, text);
}

void watch_add_bytes(Table *t, const SamplesRow *row, SamplesFigure figure) {
    char text[32];

    format_bytes(samples_figure(row, figure), text, sizeof(text));
    table_add(t, text);
}

void watch_add_bytes_pair(Table *t, const SamplesRow *row, SamplesFigure one, SamplesFigure other) {
    char texts[2][32];

    format_bytes(samples_figure(row, one), texts[0], sizeof(texts[0]));
    format_bytes(samples_figure(row, other), texts[1], sizeof(texts[1]));
    table_addf(t, "%s / %s", texts[0], texts[1]);
}

void watch_add_number(Table *t, const SamplesRow *row, SamplesFigure figure) {
    int64_t value = samples_figure(row, figure);

    if (value < 0)
        table_add(t, "-");
    else
        table_addf(t, "%lld", (long long) value);
}

/* ---- tables ---- */

static int print_table(Watch *w, unsigned columns, bool with_headings, FILE *out) {
    _cleanup_(table_freep) Table *table = table_new(w->view->headings);
    const SamplesRow *const *rows;

    if (!table)
        return -ENOMEM;
    table_share_widths(table, w->widths);
    size_t n = samples_sort(w->samples, w->order, &rows);
    for (size_t i = 0; i < n; i++)
        w->view->add_row(table, w->samples, rows[i], columns);
    return table_print(table, with_headings, out);
}

/* Tables below each other, the headings once. */
static int stream_tables(Watch *w, Connection *c, Error *reterr) {
    for (bool printed = false;;) {
        _cleanup_(message_reply_freep) MessageReply *reply = NULL;
        int r = connection_receive(c, &reply, reterr);
        if (r != 0)
            return r;
        r = samples_take(w->samples, reply->parameters);
        bool due = r == SAMPLES_TAKEN_TICK && samples_ticks(w->samples) > 1;
        /* what there was to see has ended before the second reading */
        bool last = !reply->continues && !printed;
        if (r >= 0 && (due || last)) {
            r = print_table(w, 0, !printed, stdout);
            printed = true;
        }
        if (r == -ENOMEM)
            return error_failed(reterr, ENOMEM, "stats", "out of memory");
        if (fflush(stdout) != 0 || !reply->continues || (w->once && printed))
            return 0;
    }
}

static int stream_json(Watch *w, Connection *c, Error *reterr) {
    for (;;) {
        _cleanup_(message_reply_freep) MessageReply *reply = NULL;
        int r = connection_receive(c, &reply, reterr);
        if (r != 0)
            return r;
        json_object *samples = json_field_array(reply->parameters, "samples");
        size_t n = samples ? json_object_array_length(samples) : 0;
        for (size_t i = 0; i < n; i++)
            (void) json_print(json_object_array_get_idx(samples, i), false, stdout);
        if (fflush(stdout) != 0 || !reply->continues)
            return 0;
    }
}

/* ---- the live table ---- */

static int live_take(void *data, json_object *parameters) {
    Watch *w = data;
    int r = samples_take(w->samples, parameters);

    return r < 0 ? r : r != SAMPLES_TAKEN_PART;
}

static int live_render(void *data, unsigned columns, FILE *out) {
    return print_table(data, columns, true, out);
}

static bool live_key(void *data, char key) {
    Watch *w = data;
    int order = samples_order_from_key(key);

    if (order < 0)
        return false;
    w->order = (SamplesOrder) order;
    return true;
}

/* ---- the call ---- */

static int parse_flags(Watch *w, const WatchFlags *flags, int64_t *ret_interval, Error *reterr) {
    int r = verb_format(flags->format, reterr);

    if (r < 0)
        return r;
    w->json = r == 1;
    w->once = flags->no_stream;
    w->order = w->view->order;
    if (flags->sort) {
        r = samples_order_from_string("--sort", flags->sort, reterr);
        if (r < 0)
            return r;
        w->order = (SamplesOrder) r;
    }
    *ret_interval = w->once && !w->json ? INTERVAL_ONCE_USEC : 0;
    if (!flags->interval)
        return 0;
    r = quantity_seconds("--interval", flags->interval, ret_interval, reterr);
    if (r == 0 && *ret_interval < INTERVAL_MIN_USEC)
        return error_invalid(reterr, "--interval", "\"%s\" is too short; 0.1 or more is expected", flags->interval);
    return r;
}

static int build_parameters(int64_t interval, const Strings *containers, json_object *parameters, Error *reterr) {
    int r = parameters_put_strings(parameters, "containers", "CONTAINER", containers, reterr);

    return r < 0 || interval == 0 ? r : parameters_put_int(parameters, "intervalUsec", interval, reterr);
}

static int show(Watch *w, Connection *c, Error *reterr) {
    const LiveView view = { .data = w, .take = live_take, .render = live_render, .key = live_key };

    if (w->json)
        return stream_json(w, c, reterr);
    w->samples = samples_new();
    if (!w->samples)
        return error_failed(reterr, ENOMEM, "stats", "out of memory");
    return w->once || !live_possible() ? stream_tables(w, c, reterr) : live_run(c, &view, reterr);
}

int watch_run(const Client *client, const WatchView *view, const WatchFlags *flags, const Strings *containers) {
    _cleanup_(connection_freep) Connection *c = NULL;
    _cleanup_json_ json_object *parameters = json_object_new_object();
    _cleanup_(watch_done) Watch w = { .view = view };
    Error error = ERROR_INIT;
    int64_t interval;

    int r = parse_flags(&w, flags, &interval, &error);
    if (r == 0)
        r = build_parameters(interval, containers, parameters, &error);
    if (r == 0)
        r = connection_open(client->socket, &c, &error);
    /* one reading is enough for json; the table needs two */
    if (r == 0)
        r = connection_send(c, "Stats", parameters, !(w.json && w.once), NULL, 0, &error);
    if (r == 0)
        r = show(&w, c, &error);
    return error.kind == ERROR_NONE ? r : report_failure(&error);
}
