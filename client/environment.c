/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The environment that the command line asks for; see environment.h. */

#include "client/environment.h"

#include "client/text.h"

#include <string.h>

void environment_done(Environment *e) {
    for (size_t i = 0; i < e->n; i++)
        free(e->entries[i]);
    free(e->entries);
    *e = (Environment){ 0 };
}

/* Where ENTRY's name stands already, or the end. */
static size_t find(const Environment *e, const char *entry, size_t name_length) {
    for (size_t i = 0; i < e->n; i++)
        if (strncmp(e->entries[i], entry, name_length) == 0 && e->entries[i][name_length] == '=')
            return i;
    return e->n;
}

static int put(Environment *e, char *consume_entry, size_t name_length) {
    size_t at = find(e, consume_entry, name_length);

    if (at == e->n) {
        char **bigger = reallocarray(e->entries, e->n + 1, sizeof(*bigger));
        if (!bigger) {
            free(consume_entry);
            return -ENOMEM;
        }
        e->entries = bigger;
        e->entries[e->n++] = NULL;
    }
    free(e->entries[at]);
    e->entries[at] = consume_entry;
    return 0;
}

int environment_add(Environment *e, const char *from, const char *entry, Error *reterr) {
    size_t length = strcspn(entry, "=");
    char *copy = NULL;

    if (length == 0)
        return error_invalid(reterr, from, "\"%s\" has no name; KEY=VALUE or KEY is expected", entry);
    if (strcspn(entry, " \t\r\n") < length)
        return error_invalid(reterr, from, "\"%s\" has white space in the name; KEY=VALUE or KEY is expected", entry);
    if (!text_is_utf8(entry, strlen(entry)))
        return error_invalid(reterr, from, "\"%s\" is not UTF-8", entry);

    if (entry[length] == '=')
        copy = strdup(entry);
    else {
        const char *inherited = getenv(entry);
        if (!inherited)
            return 0;
        if (!text_is_utf8(inherited, strlen(inherited)))
            return error_invalid(reterr, from, "the value that %s has here is not UTF-8", entry);
        if (asprintf(&copy, "%s=%s", entry, inherited) < 0)
            copy = NULL;
    }
    if (!copy || put(e, copy, length) < 0)
        return error_failed(reterr, ENOMEM, from, "out of memory");
    return 0;
}

static int add_line(Environment *e, const char *path, size_t number, char *line, size_t length, Error *reterr) {
    char from[ERROR_SUBJECT_MAX];
    const char *base = strrchr(path, '/');

    /* a path that is too long for the error's subject is named by its last part */
    int n = snprintf(from, sizeof(from), "%s:%zu", path, number);
    if (n >= (int) sizeof(from) && base)
        (void) snprintf(from, sizeof(from), "%.40s:%zu", base + 1, number);

    if (length > 0 && line[length - 1] == '\n')
        line[--length] = 0;
    if (strlen(line) != length)
        return error_invalid(reterr, from, "the line contains a NUL");
    line += strspn(line, " \t");
    if (line[0] == 0 || line[0] == '#')
        return 0;
    return environment_add(e, from, line, reterr);
}

int environment_add_file(Environment *e, const char *flag, const char *path, Error *reterr) {
    _cleanup_fclose_ FILE *file = fopen(path, "re");
    _cleanup_free_ char *line = NULL;
    size_t size = 0, number = 0;
    ssize_t length;

    if (!file)
        return error_invalid(reterr, flag, "cannot open %s: %s", path, strerror(errno));
    while ((length = getline(&line, &size, file)) >= 0) {
        int r = add_line(e, path, ++number, line, (size_t) length, reterr);
        if (r < 0)
            return r;
    }
    if (ferror(file))
        return error_invalid(reterr, flag, "cannot read %s: %s", path, strerror(errno));
    return 0;
}
