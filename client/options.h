/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Command lines by table.
 *
 * A verb says in an array of Option what it understands and where in its own structure each value goes; parsing, help
 * and the refusal of what is unknown follow from the array. Values stay the strings of argv, unconverted and not
 * copied: what they mean, and which flag to name when they mean nothing, is the verb's business.
 */

#include "kennel/error.h"

/* Borrowed strings, in the order in which they were given. */
typedef struct Strings {
    const char **items;
    size_t n;
} Strings;

int strings_add(Strings *s, const char *borrowed);
void strings_done(Strings *s);

typedef enum OptionKind {
    OPTION_SWITCH, /* bool */
    OPTION_STRING, /* const char *; the last one counts */
    OPTION_LIST,   /* Strings */
    OPTION_LATER,  /* known from the design, refused by this version; nothing is stored */
} OptionKind;

typedef struct Option {
    char letter; /* 0: none */
    const char *name;
    OptionKind kind;
    size_t offset;        /* in the verb's structure */
    const char *argument; /* what the help calls the value; NULL for switches */
    const char *help;
} Option;

#define OPTIONS_END                                                                                                    \
    { 0 }

/*
 * Parses ARGV (without program and verb) into TARGET and OPERANDS. If STOP_AT_OPERAND, everything from the first
 * operand on is operands, dashes or not; otherwise flags and operands may be mixed. "--" ends the flags in either case.
 *
 * Returns 0, 1 if help was asked for, or -EINVAL and reterr (ERROR_INVALID_SPEC; subject: the flag).
 */
int options_parse(const Option *table, void *target, int argc, char *const *argv, bool stop_at_operand,
                  Strings *operands, Error *reterr);

/* Frees the lists that options_parse() made in TARGET. */
void options_done(const Option *table, void *target);

/* Writes the table as lines of help. */
void options_print(const Option *table, FILE *out);
