/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * One reading of what a container has cost so far. The place where figures of cgroup, network and storage come together
 * at one instant.
 */

#include "cgroup/usage.h"

typedef struct AccountSample {
    uint64_t timestamp_usec; /* CLOCK_REALTIME, for people */
    uint64_t monotonic_usec; /* CLOCK_MONOTONIC: a rate is the difference of two samples over the difference of these */
    CgroupUsage usage;
} AccountSample;

/* Some ten preads from open files; never blocks, cannot fail: a counter that is not to be had says so itself. */
void account_sample(CgroupGroup *g, AccountSample *ret);
