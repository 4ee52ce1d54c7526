/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * One reading of what a container has cost so far. The place where figures of cgroup, network and storage come together
 * at one instant.
 */

#include "cgroup/usage.h"
#include "network/network.h"
#include "storage/storage.h"

typedef enum AccountNetwork {
    ACCOUNT_NETWORK_NONE,   /* nothing but loopback: all sums are 0 */
    ACCOUNT_NETWORK_HOST,   /* the host's: cannot be told apart */
    ACCOUNT_NETWORK_BRIDGE, /* an endpoint */
} AccountNetwork;

/* Where to read; nothing is owned. Members that are NULL make their figures unknown. */
typedef struct AccountSource {
    CgroupGroup *group;
    StorageLayer *layer;
    NetworkEndpoint *endpoint;
    AccountNetwork network;
} AccountSource;

typedef struct AccountSample {
    uint64_t timestamp_usec; /* CLOCK_REALTIME, for people */
    uint64_t monotonic_usec; /* CLOCK_MONOTONIC: a rate is the difference of two samples over the difference of these */
    bool final;
    CgroupUsage usage;
    StorageUsage storage;
    NetworkUsage network;
    bool has_interface;         /* `network` is that of eth0 */
    const char *network_reason; /* NULL: `network` is known */
} AccountSample;

/*
 * Some fifteen preads from open files and a statfs; does not block, cannot fail: a counter that is not to be had says so
 * itself. Network figures are those of the last network_host_read().
 */
void account_sample(const AccountSource *source, AccountSample *ret);
/* The totals of a container whose processes have all ended: asks for its interface by itself. For workers. */
void account_sample_final(const AccountSource *source, AccountSample *ret);
