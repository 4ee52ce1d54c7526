/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Command lines by table: the forms are --name value, --name=value, -n value, -nvalue, -n=value, clusters of switches
 * (-it), and --switch=true|false. See options.h.
 */

#include "client/options.h"

#include <string.h>

int strings_add(Strings *s, const char *borrowed) {
    const char **bigger = reallocarray(s->items, s->n + 1, sizeof(*bigger));
    if (!bigger)
        return -ENOMEM;
    s->items = bigger;
    s->items[s->n++] = borrowed;
    return 0;
}

void strings_done(Strings *s) {
    free(s->items);
    *s = (Strings){ 0 };
}

typedef struct Parser {
    const Option *table;
    void *target;
    int argc, at;
    char *const *argv;
    Error *reterr;
} Parser;

static const Option *find_name(const Option *table, const char *name, size_t length) {
    for (; table->name; table++)
        if (strlen(table->name) == length && memcmp(table->name, name, length) == 0)
            return table;
    return NULL;
}

static const Option *find_letter(const Option *table, char letter) {
    for (; table->name; table++)
        if (letter && table->letter == letter)
            return table;
    return NULL;
}

static int store_switch(const Parser *p, const Option *o, const char *shown, const char *value) {
    bool *flag = (bool *) ((char *) p->target + o->offset);

    if (!value || strcmp(value, "true") == 0)
        *flag = true;
    else if (strcmp(value, "false") == 0)
        *flag = false;
    else
        return error_invalid(p->reterr, shown, "is a switch and takes no value but true or false, not \"%s\"", value);
    return 0;
}

/* VALUE is what was glued to the flag; without it the next argument serves. */
static int store_value(Parser *p, const Option *o, const char *shown, const char *value) {
    char *slot = (char *) p->target + o->offset;

    if (!value && p->at < p->argc)
        value = p->argv[p->at++];
    if (!value)
        return error_invalid(p->reterr, shown, "needs a value: %s %s", shown, o->argument);

    if (o->kind == OPTION_STRING) {
        *(const char **) slot = value;
        return 0;
    }
    if (strings_add((Strings *) slot, value) < 0)
        return error_failed(p->reterr, ENOMEM, "reading the command line", "out of memory");
    return 0;
}

static int store(Parser *p, const Option *o, const char *shown, const char *value) {
    switch (o->kind) {
    case OPTION_LATER:
        return error_invalid(p->reterr, shown, "not available in this version");
    case OPTION_SWITCH:
        return store_switch(p, o, shown, value);
    default:
        return store_value(p, o, shown, value);
    }
}

static int parse_long(Parser *p, const char *word) {
    const char *equals = strchr(word, '=');
    size_t length = equals ? (size_t) (equals - word) : strlen(word);
    char shown[ERROR_SUBJECT_MAX];

    (void) snprintf(shown, sizeof(shown), "%.*s", (int) length, word);
    const Option *o = find_name(p->table, word + 2, length - 2);
    if (o)
        return store(p, o, shown, equals ? equals + 1 : NULL);
    if (strcmp(shown, "--help") == 0)
        return 1;
    return error_invalid(p->reterr, shown, "there is no such flag");
}

static int parse_cluster(Parser *p, const char *word) {
    for (const char *c = word + 1; *c; c++) {
        char shown[] = { '-', *c, 0 };
        const Option *o = find_letter(p->table, *c);
        int r;

        if (!o && *c == 'h')
            return 1;
        if (!o)
            return error_invalid(p->reterr, shown, "there is no such flag");
        if (o->kind == OPTION_SWITCH) {
            r = store_switch(p, o, shown, NULL);
            if (r < 0)
                return r;
            continue;
        }
        const char *glued = c[1] == '=' ? c + 2 : c + 1;
        return store(p, o, shown, c[1] ? glued : NULL);
    }
    return 0;
}

int options_parse(const Option *table, void *target, int argc, char *const *argv, bool stop_at_operand,
                  Strings *operands, Error *reterr) {
    Parser p = { .table = table, .target = target, .argc = argc, .argv = argv, .reterr = reterr };
    bool flags_over = false;

    while (p.at < argc) {
        const char *word = argv[p.at++];
        int r;

        if (flags_over || word[0] != '-' || !word[1]) {
            flags_over = flags_over || stop_at_operand;
            r = strings_add(operands, word);
            if (r < 0)
                return error_failed(reterr, -r, "reading the command line", "out of memory");
            continue;
        }
        if (strcmp(word, "--") == 0) {
            flags_over = true;
            continue;
        }
        r = word[1] == '-' ? parse_long(&p, word) : parse_cluster(&p, word);
        if (r != 0)
            return r;
    }
    return 0;
}

void options_done(const Option *table, void *target) {
    for (; table->name; table++)
        if (table->kind == OPTION_LIST)
            strings_done((Strings *) ((char *) target + table->offset));
}

void options_print(const Option *table, FILE *out) {
    for (; table->name; table++) {
        char flags[64], letter[8] = "    ";

        if (table->kind == OPTION_LATER)
            continue;
        if (table->letter)
            (void) snprintf(letter, sizeof(letter), "-%c, ", table->letter);
        (void) snprintf(flags, sizeof(flags), "%s--%s%s%s", letter, table->name, table->argument ? " " : "",
                        table->argument ? table->argument : "");
        (void) fprintf(out, "  %-34s %s\n", flags, table->help);
    }
}
