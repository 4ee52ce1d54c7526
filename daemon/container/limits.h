/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * All limits of a container, of cgroup, storage and network together, and the one table of those that are a number: their
 * names in the interface and their places. The interface, the configuration's ceilings and the record go by it.
 */

#include "cgroup/limits.h"
#include "network/network.h"
#include "storage/storage.h"

typedef struct ContainerLimits {
    CgroupLimits cgroup;
    StorageLimits storage;
    NetworkRates network;
} ContainerLimits;

#define CONTAINER_LIMIT_NONE  UINT64_MAX /* what each of the three parts calls none */
#define CONTAINER_LIMITS_NONE ((ContainerLimits){ CGROUP_LIMITS_NONE, STORAGE_LIMITS_NONE, NETWORK_RATES_NONE })

typedef struct ContainerLimitField {
    const char *name; /* in Limits: "memory", "cpuWeight", "disk", "netRateIn" */
    size_t offset;    /* of a uint64_t in ContainerLimits */
} ContainerLimitField;

/* Ends with a NULL name. */
extern const ContainerLimitField container_limit_fields[];

static inline uint64_t *container_limit(ContainerLimits *l, const ContainerLimitField *f) {
    return (uint64_t *) ((char *) l + f->offset);
}
static inline uint64_t container_limit_get(const ContainerLimits *l, const ContainerLimitField *f) {
    return *(const uint64_t *) ((const char *) l + f->offset);
}

/* The fields that a caller gave, as a set: bit I stands for line I of the table, and these for what is no number. */
#define CONTAINER_LIMIT_CPUSET  62U
#define CONTAINER_LIMIT_DEVICES 63U
#define CONTAINER_LIMIT_BIT(i)  (UINT64_C(1) << (i))

/*
 * Holds LIMITS to CEILINGS (CONTAINER_LIMIT_NONE: no ceiling): what the caller asked for and is above, or is none, is
 * ERROR_INVALID_SPEC "limits.NAME" with the most that is allowed. ASKED is the set of what the caller gave. The rest: for
 * a new container (FORMER is NULL) it becomes the ceiling, or stays if it is lower; for one that runs with the limits
 * FORMER it stays, also where somebody with more rights has set it above the ceiling.
 *
 * - memorySwap, the sum: its ceiling is that of memorySwap, beside which there must be one of memory; where there is none
 *   (0), a ceiling on memory means that there is no swap at all. Whoever gives memory is held to both, because a lower
 *   memory makes more of the sum swap.
 * - memoryHigh: set where memory can get beyond the ceiling.
 * - Weights: not given is 100, so that only a ceiling below becomes the value; above, it caps what is given.
 * - CPUs must be a subset of the ceiling's. Rates of a disk that CEILINGS names are at most, and by default, theirs.
 *
 * Ceilings on what the container has not got (rates without an interface, disk without a writable layer) are to be left
 * out by the caller. LIMITS is unchanged after an error.
 */
int container_limits_hold(ContainerLimits *limits, uint64_t asked, const ContainerLimits *former,
                          const ContainerLimits *ceilings, Error *reterr);

/* The entry of a disk: found, or added without any rate. NULL: there is no room for one more. */
CgroupDeviceLimits *container_limits_device(ContainerLimits *l, uint32_t major, uint32_t minor);

/* The rates of a disk, for whoever has to go through them. */
typedef struct ContainerDeviceField {
    const char *name; /* in DeviceLimits: "readBps" */
    size_t offset;    /* of a uint64_t in CgroupDeviceLimits */
    uint64_t min, max;
} ContainerDeviceField;

/* Ends with a NULL name. */
extern const ContainerDeviceField container_device_fields[];

static inline uint64_t *container_device_rate(CgroupDeviceLimits *d, const ContainerDeviceField *f) {
    return (uint64_t *) ((char *) d + f->offset);
}
static inline uint64_t container_device_rate_get(const CgroupDeviceLimits *d, const ContainerDeviceField *f) {
    return *(const uint64_t *) ((const char *) d + f->offset);
}

/* "8:16", and nothing that only looks like it. -EINVAL, -ERANGE. */
int container_device_parse(const char *text, uint32_t *ret_major, uint32_t *ret_minor);
