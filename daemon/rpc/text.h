/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Bytes to what JSON can hold. What comes out of a container (arguments in /proc, lines of a log) is any bytes; a
 * message is UTF-8 and nothing else.
 */

#include "kennel/cleanup.h"

/* Is it UTF-8 without a NUL? Only then can it be a string of the protocol. */
bool text_is_utf8(const void *bytes, size_t size);

/* A copy in which every byte that is no part of a character became U+FFFD. NULL: out of memory. */
char *text_to_utf8(const char *bytes);

/* RFC 4648, with padding. NULL: out of memory. */
char *text_to_base64(const void *bytes, size_t size);
