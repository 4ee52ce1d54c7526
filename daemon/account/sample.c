/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The clocks are read first, so that a figure is never older than the time that stands beside it; the network's are the
 * exception, which come from the last dump. What cannot be read is said to be unknown by whoever failed to read it, or
 * here where there is nothing to read from: no figure is ever made up.
 */

#include "account/sample.h"

#include <time.h>

#define REASON_NO_GROUP     "the container has no cgroup"
#define REASON_NO_LAYER     "the container has no writable layer"
#define REASON_HOST_NETWORK "the container shares the host's network, where its share cannot be told apart"
#define REASON_NO_ENDPOINT  "the container's network interface is gone"

static uint64_t now_usec(clockid_t clock) {
    struct timespec t;
    (void) clock_gettime(clock, &t); /* both clocks always exist */
    return (uint64_t) t.tv_sec * 1000000ULL + (uint64_t) t.tv_nsec / 1000ULL;
}

static void read_group(CgroupGroup *g, CgroupUsage *ret) {
    if (g) {
        cgroup_usage_read(g, ret);
        return;
    }
    ret->n_devices = 0;
    for (size_t i = 0; i < _CGROUP_COUNTER_MAX; i++) {
        ret->values[i] = CGROUP_UNKNOWN;
        ret->reasons[i] = REASON_NO_GROUP;
    }
}

static void read_layer(StorageLayer *l, StorageUsage *ret) {
    if (l)
        storage_layer_usage(l, ret);
    else
        *ret = (StorageUsage){ STORAGE_UNKNOWN, STORAGE_UNKNOWN, STORAGE_UNKNOWN, STORAGE_UNKNOWN, REASON_NO_LAYER };
}

static void read_network(const AccountSource *source, bool alone, AccountSample *ret) {
    NetworkEndpoint *e = source->endpoint;
    ret->network = (NetworkUsage){ 0 };
    ret->has_interface = false;
    ret->network_reason = source->network == ACCOUNT_NETWORK_HOST ? REASON_HOST_NETWORK : NULL;
    if (source->network != ACCOUNT_NETWORK_BRIDGE)
        return;
    ret->has_interface =
        e && (alone ? network_endpoint_read(e, &ret->network) >= 0 : network_endpoint_usage(e, &ret->network));
    if (!ret->has_interface)
        ret->network_reason = REASON_NO_ENDPOINT;
}

static void read_all(const AccountSource *source, bool final, AccountSample *ret) {
    ret->timestamp_usec = now_usec(CLOCK_REALTIME);
    ret->monotonic_usec = now_usec(CLOCK_MONOTONIC);
    ret->final = final;
    read_group(source->group, &ret->usage);
    read_layer(source->layer, &ret->storage);
    read_network(source, final, ret);
}

void account_sample(const AccountSource *source, AccountSample *ret) {
    read_all(source, false, ret);
}

void account_sample_final(const AccountSource *source, AccountSample *ret) {
    read_all(source, true, ret);
}
