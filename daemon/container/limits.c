/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * See limits.h. Trust: what is held here was asked for by a caller who is not root, in ranges and form already checked;
 * the ceilings are root's.
 */

#include "container/limits.h"

#include "cgroup/cpuset.h"
#include "util/parse.h"

#include <string.h>

/* What makedev(3) and the kernel's dev_t hold: 12 bits and 20. */
#define MAJOR_MAX 4095U
#define MINOR_MAX 1048575U

/* The kernel's; the next number means "none" to it. */
#define IOPS_MAX 4294967294ULL

/* The kernel's weight of a group that nobody gave one. */
#define WEIGHT_DEFAULT 100U

#define PLACE(field) offsetof(ContainerLimits, field)

const ContainerLimitField container_limit_fields[] = {
    /* clang-format off */
    { "memory",             PLACE(cgroup.memory)                 },
    { "memorySwap",         PLACE(cgroup.memory_swap)            },
    { "memoryHigh",         PLACE(cgroup.memory_high)            },
    { "cpuQuotaPerSecUsec", PLACE(cgroup.cpu_quota_per_sec_usec) },
    { "cpuWeight",          PLACE(cgroup.cpu_weight)             },
    { "pids",               PLACE(cgroup.pids)                   },
    { "ioWeight",           PLACE(cgroup.io_weight)              },
    { "disk",               PLACE(storage.bytes)                 },
    { "inodes",             PLACE(storage.inodes)                },
    { "netRateIn",          PLACE(network.in)                    },
    { "netRateOut",         PLACE(network.out)                   },
    { NULL,                 0                                    },
    /* clang-format on */
};

const ContainerDeviceField container_device_fields[] = {
    { "readBps", offsetof(CgroupDeviceLimits, read_bps), CGROUP_BPS_MIN, INT64_MAX },
    { "writeBps", offsetof(CgroupDeviceLimits, write_bps), CGROUP_BPS_MIN, INT64_MAX },
    { "readIops", offsetof(CgroupDeviceLimits, read_iops), CGROUP_IOPS_MIN, IOPS_MAX },
    { "writeIops", offsetof(CgroupDeviceLimits, write_iops), CGROUP_IOPS_MIN, IOPS_MAX },
    { NULL, 0, 0, 0 },
};

int container_device_parse(const char *text, uint32_t *ret_major, uint32_t *ret_minor) {
    char first[16];
    size_t size = strcspn(text, ":");
    if (text[size] != ':' || size >= sizeof(first))
        return -EINVAL;
    memcpy(first, text, size);
    first[size] = 0;
    uint32_t major, minor;
    int r = parse_u32(first, &major);
    if (r >= 0)
        r = parse_u32(text + size + 1, &minor);
    if (r < 0)
        return r;
    if (major > MAJOR_MAX || minor > MINOR_MAX)
        return -ERANGE;
    *ret_major = major;
    *ret_minor = minor;
    return 0;
}

static const CgroupDeviceLimits *find_device(const ContainerLimits *l, uint32_t major, uint32_t minor) {
    for (size_t i = 0; l && i < l->cgroup.n_devices; i++)
        if (l->cgroup.devices[i].major == major && l->cgroup.devices[i].minor == minor)
            return &l->cgroup.devices[i];
    return NULL;
}

CgroupDeviceLimits *container_limits_device(ContainerLimits *l, uint32_t major, uint32_t minor) {
    CgroupDeviceLimits *found = (CgroupDeviceLimits *) find_device(l, major, minor);
    if (found || l->cgroup.n_devices >= CGROUP_DEVICES_MAX)
        return found;
    found = &l->cgroup.devices[l->cgroup.n_devices++];
    *found = (CgroupDeviceLimits){ .major = major, .minor = minor };
    for (const ContainerDeviceField *f = container_device_fields; f->name; f++)
        *container_device_rate(found, f) = CGROUP_LIMIT_NONE;
    return found;
}

/* ---- ceilings ---- */

/* One call, and where its parts find what they need. */
typedef struct Hold {
    ContainerLimits limits; /* a copy: an error leaves the caller's as they are */
    uint64_t asked;
    const ContainerLimits *former, *ceilings;
    Error *reterr;
} Hold;

static bool is_asked(const Hold *h, size_t offset) {
    for (size_t i = 0; container_limit_fields[i].name; i++)
        if (container_limit_fields[i].offset == offset)
            return h->asked & CONTAINER_LIMIT_BIT(i);
    return false;
}

/* VALUE of the field SUBJECT is above MOST. */
static int refuse(const Hold *h, const char *subject, uint64_t value, uint64_t most, const char *why) {
    if (value == CONTAINER_LIMIT_NONE)
        return error_invalid(h->reterr, subject, "cannot be without a limit: %s%llu at most is allowed", why,
                             (unsigned long long) most);
    return error_invalid(h->reterr, subject, "is %llu; %s%llu at most is allowed", (unsigned long long) value, why,
                         (unsigned long long) most);
}

#define BY_CONFIGURATION "for callers who are not root, "

static int refuse_field(const Hold *h, const ContainerLimitField *f, uint64_t most) {
    char subject[ERROR_SUBJECT_MAX];
    (void) snprintf(subject, sizeof(subject), "limits.%s", f->name);
    return refuse(h, subject, container_limit_get(&h->limits, f), most, BY_CONFIGURATION);
}

static int hold_plain(Hold *h, const ContainerLimitField *f, uint64_t ceiling, bool asked) {
    uint64_t *value = container_limit(&h->limits, f);
    if (*value <= ceiling) /* none is the largest number that there is */
        return 0;
    if (asked)
        return refuse_field(h, f, ceiling);
    if (!h->former)
        *value = ceiling;
    return 0;
}

static int hold_weight(Hold *h, const ContainerLimitField *f, uint64_t ceiling, bool asked) {
    uint64_t *value = container_limit(&h->limits, f);
    if (*value == CONTAINER_LIMIT_NONE && ceiling >= WEIGHT_DEFAULT)
        return 0;
    return hold_plain(h, f, ceiling, asked);
}

static int hold_memory(Hold *h, const ContainerLimitField *f, uint64_t ceiling, bool asked) {
    uint64_t sum = h->limits.cgroup.memory_swap;
    int r = hold_plain(h, f, ceiling, asked);
    /* whoever gives a sum below the ceiling, and no memory, cannot mean the ceiling */
    if (r >= 0 && !asked && !h->former && ceiling != CONTAINER_LIMIT_NONE && sum != 0 && sum < ceiling)
        h->limits.cgroup.memory = sum;
    return r;
}

static int hold_memory_swap(Hold *h, const ContainerLimitField *f, uint64_t ceiling, bool asked) {
    CgroupLimits *l = &h->limits.cgroup;
    bool held = asked || is_asked(h, PLACE(cgroup.memory));
    if (!held || l->memory_swap == 0 || h->ceilings->cgroup.memory == CONTAINER_LIMIT_NONE)
        return 0;
    if (ceiling != 0)
        return l->memory_swap > ceiling ? refuse_field(h, f, ceiling) : 0;
    if (l->memory_swap > l->memory)
        return refuse(h, "limits.memorySwap", l->memory_swap, l->memory,
                      "for callers who are not root, as much as `memory`, so no swap: ");
    /* the same thing, and the one that stays right when another memory is given */
    if (l->memory_swap == l->memory)
        l->memory_swap = 0;
    return 0;
}

/* Memory that cannot get there needs no bound below it. Whoever raises memory above the ceiling comes under it. */
static int hold_memory_high(Hold *h, const ContainerLimitField *f, uint64_t ceiling, bool asked) {
    CgroupLimits *l = &h->limits.cgroup;
    if (asked && !(l->memory_high == CONTAINER_LIMIT_NONE && l->memory <= ceiling))
        return hold_plain(h, f, ceiling, true);
    bool open = l->memory > ceiling && l->memory_high > ceiling;
    bool stays = h->former && (l->memory_high != CONTAINER_LIMIT_NONE || !is_asked(h, PLACE(cgroup.memory)));
    if (open && !stays)
        l->memory_high = ceiling;
    return 0;
}

static const struct {
    size_t offset;
    int (*hold)(Hold *h, const ContainerLimitField *f, uint64_t ceiling, bool asked);
} special_holds[] = {
    { PLACE(cgroup.memory), hold_memory },           { PLACE(cgroup.memory_swap), hold_memory_swap },
    { PLACE(cgroup.memory_high), hold_memory_high }, { PLACE(cgroup.cpu_weight), hold_weight },
    { PLACE(cgroup.io_weight), hold_weight },
};

static int hold_field(Hold *h, size_t i) {
    const ContainerLimitField *f = &container_limit_fields[i];
    uint64_t ceiling = container_limit_get(h->ceilings, f);
    bool asked = h->asked & CONTAINER_LIMIT_BIT(i);
    for (size_t k = 0; k < ELEMENTSOF(special_holds); k++)
        if (special_holds[k].offset == f->offset)
            return special_holds[k].hold(h, f, ceiling, asked);
    return hold_plain(h, f, ceiling, asked);
}

static int hold_cpuset(Hold *h) {
    char *list = h->limits.cgroup.cpuset;
    const char *ceiling = h->ceilings->cgroup.cpuset;
    bool asked = h->asked & CONTAINER_LIMIT_BIT(CONTAINER_LIMIT_CPUSET);
    unsigned missing = 0;
    if (!ceiling[0] || (!asked && h->former))
        return 0;
    if (!asked)
        (void) snprintf(list, CGROUP_CPUSET_MAX, "%s", ceiling);
    else if (!list[0])
        return error_invalid(h->reterr, "limits.cpusetCpus",
                             "cannot be without a limit: " BY_CONFIGURATION "CPUs of \"%s\" are allowed", ceiling);
    else if (cgroup_cpuset_contains(ceiling, list, &missing) <= 0)
        return error_invalid(h->reterr, "limits.cpusetCpus",
                             "has CPU %u; " BY_CONFIGURATION "CPUs of \"%s\" alone are allowed", missing, ceiling);
    return 0;
}

/* RATES are those of the disk that comes at INDEX, CEILING the most of each. What has not changed may stay. */
static int hold_rates(Hold *h, CgroupDeviceLimits *rates, const CgroupDeviceLimits *ceiling, size_t index) {
    const CgroupDeviceLimits *former = find_device(h->former, rates->major, rates->minor);
    for (const ContainerDeviceField *f = container_device_fields; f->name; f++) {
        uint64_t *value = container_device_rate(rates, f), most = container_device_rate_get(ceiling, f);
        uint64_t before = former ? container_device_rate_get(former, f) : CGROUP_LIMIT_NONE;
        if (*value <= most || (h->former && *value == before))
            continue;
        if (*value == CGROUP_LIMIT_NONE) { /* it was not given: there is no way to say none for one rate */
            *value = most;
            continue;
        }
        char subject[ERROR_SUBJECT_MAX];
        (void) snprintf(subject, sizeof(subject), "limits.ioDevices[%zu].%s", index, f->name);
        return refuse(h, subject, *value, most, BY_CONFIGURATION);
    }
    return 0;
}

static int hold_devices(Hold *h) {
    const CgroupLimits *ceilings = &h->ceilings->cgroup;
    bool asked = h->asked & CONTAINER_LIMIT_BIT(CONTAINER_LIMIT_DEVICES);
    if (ceilings->n_devices == 0 || (h->former && !asked))
        return 0;
    if (asked && h->limits.cgroup.n_devices == 0)
        return error_invalid(h->reterr, "limits.ioDevices",
                             "cannot be without a limit: " BY_CONFIGURATION "that of %u:%u and %zu more disks stay",
                             ceilings->devices[0].major, ceilings->devices[0].minor, ceilings->n_devices - 1);
    for (size_t i = 0; i < ceilings->n_devices; i++) {
        const CgroupDeviceLimits *ceiling = &ceilings->devices[i];
        if (h->former && !find_device(&h->limits, ceiling->major, ceiling->minor))
            continue;
        CgroupDeviceLimits *d = container_limits_device(&h->limits, ceiling->major, ceiling->minor);
        if (!d)
            return error_invalid(h->reterr, "limits.ioDevices",
                                 "has %zu disks; with those that the configuration limits, %u at most are allowed",
                                 h->limits.cgroup.n_devices, CGROUP_DEVICES_MAX);
        int r = hold_rates(h, d, ceiling, (size_t) (d - h->limits.cgroup.devices));
        if (r < 0)
            return r;
    }
    return 0;
}

int container_limits_hold(ContainerLimits *limits, uint64_t asked, const ContainerLimits *former,
                          const ContainerLimits *ceilings, Error *reterr) {
    Hold h = { *limits, asked, former, ceilings, reterr };
    for (size_t i = 0; container_limit_fields[i].name; i++) {
        int r = hold_field(&h, i);
        if (r < 0)
            return r;
    }
    int r = hold_cpuset(&h);
    if (r >= 0)
        r = hold_devices(&h);
    if (r < 0)
        return r;
    *limits = h.limits;
    return 0;
}
