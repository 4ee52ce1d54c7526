/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Strings for people's eyes, and bytes that came in disguise.
 *
 * Names, commands and messages can come out of a container: whoever controls them must not control the terminal of
 * the person who looks. text_escape() is what stands between.
 */

#include "kennel/error.h"

bool text_is_utf8(const char *bytes, size_t size);

/*
 * A copy in which control characters, what turns the direction of writing, and bytes that are not UTF-8 are written as
 * \xNN or \u{NNNN}, newline and tab as \n and \t. NULL if memory is short.
 */
char *text_escape(const char *s);

/* Columns that S takes on a terminal, with one for each character. */
size_t text_width(const char *s);

/* Cuts S in place to at most WIDTH columns, the last of them an ellipsis if something went. */
void text_shorten(char *s, size_t width);

/* How many bytes of S fill at most WIDTH columns. */
size_t text_fitting(const char *s, size_t width);

/* "12.3MiB" */
void text_bytes(int64_t bytes, char *ret, size_t size);

/* "3 minutes": the largest unit alone. */
void text_duration(int64_t usec, char *ret, size_t size);

/* "2026-01-31T12:00:00.000000Z" */
void text_timestamp(int64_t usec, char *ret, size_t size);

/* CPU time: "0:00.25", "75:12.00". */
void text_cpu_time(int64_t usec, char *ret, size_t size);

int64_t text_now_usec(void);

/* Decodes base64 with padding; *ret is the caller's. -EBADMSG if it is none. */
int text_base64(const char *s, char **ret, size_t *ret_size);
