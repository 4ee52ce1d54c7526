/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The clocks are read first, so that a figure is never older than the time that stands beside it.
 */

#include "account/sample.h"

#include <time.h>

static uint64_t now_usec(clockid_t clock) {
    struct timespec t;
    (void) clock_gettime(clock, &t); /* both clocks always exist */
    return (uint64_t) t.tv_sec * 1000000ULL + (uint64_t) t.tv_nsec / 1000ULL;
}

void account_sample(CgroupGroup *g, AccountSample *ret) {
    ret->timestamp_usec = now_usec(CLOCK_REALTIME);
    ret->monotonic_usec = now_usec(CLOCK_MONOTONIC);
    cgroup_usage_read(g, &ret->usage);
}
