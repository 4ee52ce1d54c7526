/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Values as a row of bars, one character each. Pure functions, but for the one that looks at the environment. */

#include "kennel/error.h"

#define SPARKLINE_MAX 60U

/*
 * N values (SPARKLINE_MAX at most) as bars of eight heights, the highest for FULL and what is above it; a negative value
 * is a blank. In ASCII if not UTF8. RET has room for SPARKLINE_MAX * 3 + 1 bytes.
 */
void sparkline(const int64_t *values, size_t n, int64_t full, bool utf8, char *ret);

/* Does the environment (LC_ALL, LC_CTYPE, LANG) speak of UTF-8? */
bool sparkline_utf8(void);
