/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Tables of text; see render-table.h. */

#include "client/render-table.h"

#include "client/render-json.h"
#include "client/text.h"

#include <string.h>

struct Table {
    const char *const *headings;
    size_t columns;
    char **cells;
    size_t n;
    size_t *shared_widths;
    bool out_of_memory;
};

Table *table_new(const char *const *headings) {
    Table *t = calloc(1, sizeof(*t));

    if (!t)
        return NULL;
    t->headings = headings;
    while (headings[t->columns])
        t->columns++;
    return t;
}

Table *table_free(Table *t) {
    if (!t)
        return NULL;
    for (size_t i = 0; i < t->n; i++)
        free(t->cells[i]);
    free(t->cells);
    free(t);
    return NULL;
}

void table_add_short(Table *t, const char *cell, size_t width_max) {
    char **bigger = reallocarray(t->cells, t->n + 1, sizeof(*bigger));

    if (bigger)
        t->cells = bigger;
    char *copy = bigger ? text_escape(cell) : NULL;
    if (!copy) {
        t->out_of_memory = true;
        return;
    }
    if (width_max > 0)
        text_shorten(copy, width_max);
    t->cells[t->n++] = copy;
}

void table_add(Table *t, const char *cell) {
    table_add_short(t, cell, 0);
}

void table_addf(Table *t, const char *format, ...) {
    char cell[256];
    va_list ap;

    va_start(ap, format);
    (void) vsnprintf(cell, sizeof(cell), format, ap);
    va_end(ap);
    table_add(t, cell);
}

void table_add_field(Table *t, json_object *o, const char *key) {
    int64_t value;

    if (json_field_int(o, key, &value))
        table_addf(t, "%lld", (long long) value);
    else
        table_add(t, json_field_string(o, key) ?: "-");
}

void table_share_widths(Table *t, size_t *widths) {
    t->shared_widths = widths;
}

static size_t column_width(const Table *t, size_t column, bool with_headings) {
    size_t width = with_headings ? text_width(t->headings[column]) : 0;

    for (size_t i = column; i < t->n; i += t->columns) {
        size_t w = text_width(t->cells[i]);
        width = w > width ? w : width;
    }
    if (t->shared_widths && width < t->shared_widths[column])
        width = t->shared_widths[column];
    if (t->shared_widths)
        t->shared_widths[column] = width;
    return width;
}

static void print_row(const char *const *cells, const size_t *widths, size_t columns, FILE *out) {
    for (size_t i = 0; i < columns; i++) {
        int padding = i + 1 < columns ? (int) (widths[i] - text_width(cells[i])) + 2 : 0;
        (void) fprintf(out, "%s%*s", cells[i], padding, "");
    }
    (void) fputc('\n', out);
}

int table_print(const Table *t, bool with_headings, FILE *out) {
    _cleanup_free_ size_t *widths = calloc(t->columns, sizeof(*widths));

    if (!widths || t->out_of_memory)
        return -ENOMEM;
    for (size_t i = 0; i < t->columns; i++)
        widths[i] = column_width(t, i, with_headings);
    if (with_headings)
        print_row(t->headings, widths, t->columns, out);
    for (size_t i = 0; i + t->columns <= t->n; i += t->columns)
        print_row((const char *const *) t->cells + i, widths, t->columns, out);
    return ferror(out) ? -EIO : 0;
}
