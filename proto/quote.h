/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * A peer's bytes inside an error's text.
 *
 * The text goes to logs, terminals and other programs' JSON. So what comes out is short, is always valid UTF-8, and
 * holds nothing that a terminal would act on.
 */

#include <stdbool.h>
#include <stddef.h>

#define QUOTE_SHOWN 60U                   /* bytes of text, escapes counted */
#define QUOTE_SIZE  (QUOTE_SHOWN + 2 + 4) /* quotes, ellipsis, NUL */

/* "\"bytes\"", as in JSON; what is not UTF-8 appears as \xNN. Returns BUF. */
const char *quote(char buf[static QUOTE_SIZE], const char *bytes, size_t size);

/* The same for text that needs no quotes around it: a key, a piece of JSON. */
const char *quote_bare(char buf[static QUOTE_SIZE], const char *bytes, size_t size);
