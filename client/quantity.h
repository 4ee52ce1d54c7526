/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Numbers as people write them: sizes, CPUs, durations, instants. Exact: no floating point, and what does not fit or
 * has anything behind it is refused. Each takes the FLAG to name in reterr (ERROR_INVALID_SPEC), which says the value
 * and the right form. Pure functions.
 */

#include "kennel/error.h"

/* An integer, decimal, MIN to MAX. */
int quantity_integer(const char *flag, const char *text, int64_t min, int64_t max, int64_t *ret, Error *reterr);

/* "64M": bytes, MIN at least, with k, m, g, t for powers of 1024, in either case, also as kb, KiB and so on; b is bytes. */
int quantity_bytes(const char *flag, const char *text, int64_t min, int64_t *ret, Error *reterr);

/* "10M", "10Mbit": bits per second, MIN at least, with k, m, g for powers of 1000, in either case. */
int quantity_bits(const char *flag, const char *text, int64_t min, int64_t *ret, Error *reterr);

/* "0.5": CPUs; gives µs of CPU time in a second, MIN_USEC at least. Up to six digits behind the point. */
int quantity_cpus(const char *flag, const char *text, int64_t min_usec, int64_t *ret_usec, Error *reterr);

/* "2.5": seconds; gives µs. */
int quantity_seconds(const char *flag, const char *text, int64_t *ret_usec, Error *reterr);

/*
 * An instant in µs since the epoch: seconds since the epoch ("1700000000.5"), RFC 3339 ("2026-01-31T12:00:00Z", zone
 * required), or a duration before NOW_USEC ("90s", "10m", "1h30m", "2d").
 */
int quantity_instant(const char *flag, const char *text, int64_t now_usec, int64_t *ret_usec, Error *reterr);
