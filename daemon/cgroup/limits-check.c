/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Which limits make sense on this host.
 *
 * The numbers come from a request. Each is compared with its range, then with the others, before the kernel sees any of
 * them: what the kernel would cut down in silence (iops beyond 32 bits become 0) must not get there. And a control counts
 * as there only if something enforces it; a weight that no scheduler heeds is refused rather than written.
 */

#include "cgroup/cpuset.h"
#include "cgroup/disks.h"
#include "cgroup/files.h"
#include "cgroup/private.h"

#include <fcntl.h>
#include <string.h>
#include <sys/sysinfo.h>

#define PIDS_MAX 4194304ULL          /* the kernel's PID_MAX_LIMIT */
#define BPS_MAX  (INT64_MAX + 0ULL)  /* the interface's */
#define IOPS_MAX (UINT32_MAX - 1ULL) /* the kernel's; the next means "none" to it, those beyond wrap */

CgroupLimits cgroup_limits_default(void) {
    CgroupLimits l = CGROUP_LIMITS_NONE;
    l.pids = CGROUP_PIDS_DEFAULT;
    return l;
}

static int refuse_unavailable(CgroupController c, const char *field, const char *reason, Error *reterr) {
    return error_set(reterr, ERROR_LIMIT_UNAVAILABLE, EOPNOTSUPP, cgroup_controller_name(c), "%s cannot be kept: %s",
                     field, reason);
}

/* ---- what is there ---- */

static bool has_file(const CgroupHierarchies *h, CgroupController c, const char *file) {
    return faccessat(cgroup_hierarchies_controller_fd(h, c), file, F_OK, 0) == 0;
}

static const char *without_swap(const CgroupHierarchies *h) {
    bool v2 = h->versions[CGROUP_MEMORY] == CGROUP_V2;
    return has_file(h, CGROUP_MEMORY, v2 ? "memory.swap.max" : "memory.memsw.limit_in_bytes")
               ? NULL
               : "the kernel does not account swap";
}

static const char *without_high(const CgroupHierarchies *h) {
    if (h->versions[CGROUP_MEMORY] == CGROUP_V1)
        return "the host has the memory controller on cgroup v1, whose soft limit is something else";
    return has_file(h, CGROUP_MEMORY, "memory.high") ? NULL : "the kernel has no memory.high";
}

/* io.cost, at the top of cgroup2: "8:0 enable=1 ctrl=auto ..." */
static bool io_cost_is_enabled(const CgroupHierarchies *h) {
    char text[CGROUP_FILE_MAX];
    return cgroup_file_read(h->top_fd, "io.cost.qos", text, sizeof(text)) > 0 &&
           cgroup_file_has_word(text, "enable=1", ' ');
}

static const char *without_io_weight(const CgroupHierarchies *h) {
    if (h->versions[CGROUP_IO] == CGROUP_V1)
        return has_file(h, CGROUP_IO, "blkio.bfq.weight") && cgroup_disks_use_bfq()
                   ? NULL
                   : "no disk heeds it: bfq is the scheduler of none (/sys/block/*/queue/scheduler)";
    if (has_file(h, CGROUP_IO, "io.bfq.weight") && cgroup_disks_use_bfq())
        return NULL;
    return has_file(h, CGROUP_IO, "io.weight") && io_cost_is_enabled(h)
               ? NULL
               : "no disk heeds it: bfq is the scheduler of none (/sys/block/*/queue/scheduler), and io.cost.qos "
                 "enables none";
}

static const char *without_rates(const CgroupHierarchies *h) {
    bool v2 = h->versions[CGROUP_IO] == CGROUP_V2;
    return has_file(h, CGROUP_IO, v2 ? "io.max" : "blkio.throttle.read_bps_device")
               ? NULL
               : "the kernel has no I/O throttling";
}

/* ---- single numbers ---- */

static uint64_t host_memory(bool with_swap) {
    struct sysinfo i;
    return sysinfo(&i) < 0 ? INT64_MAX : ((uint64_t) i.totalram + (with_swap ? i.totalswap : 0)) * i.mem_unit;
}

typedef struct LimitRange {
    const char *field, *unit;
    uint64_t value, unset; /* `unset`: needs neither the range nor the controller; so does CGROUP_LIMIT_NONE */
    CgroupController controller;
    uint64_t min, max;
    const char *(*without)(const CgroupHierarchies *h); /* why it cannot be had although the controller is there */
} LimitRange;

static int check_number(const CgroupHierarchies *h, const LimitRange *range, Error *reterr) {
    if (range->value == CGROUP_LIMIT_NONE || range->value == range->unset)
        return 0;
    if (range->value < range->min || range->value > range->max)
        return error_invalid(reterr, range->field, "%llu is out of range: allowed are %llu to %llu %s",
                             (unsigned long long) range->value, (unsigned long long) range->min,
                             (unsigned long long) range->max, range->unit);
    const char *reason = cgroup_hierarchies_missing(h, range->controller);
    if (!reason && range->without)
        reason = range->without(h);
    return reason ? refuse_unavailable(range->controller, range->field, reason, reterr) : 0;
}

static int check_numbers(const CgroupHierarchies *h, const CgroupLimits *l, Error *reterr) {
    const uint64_t none = CGROUP_LIMIT_NONE;
    const uint64_t all_cpus = (uint64_t) sysconf(_SC_NPROCESSORS_ONLN) * 1000000U;
    const LimitRange ranges[] = {
        { "limits.memory", "bytes, from 4 MiB to what the host has", l->memory, none, CGROUP_MEMORY, CGROUP_MEMORY_MIN,
          host_memory(false), NULL },
        { "limits.memorySwap", "bytes, from 4 MiB to the host's memory and swap", l->memory_swap, 0, CGROUP_MEMORY,
          CGROUP_MEMORY_MIN, host_memory(true), without_swap },
        { "limits.memoryHigh", "bytes, from 4 MiB to what the host has", l->memory_high, none, CGROUP_MEMORY,
          CGROUP_MEMORY_MIN, host_memory(false), without_high },
        { "limits.cpuQuotaPerSecUsec", "microseconds per second, from 1 % of a CPU to all of the host's",
          l->cpu_quota_per_sec_usec, none, CGROUP_CPU, CGROUP_CPU_QUOTA_MIN, all_cpus, NULL },
        { "limits.cpuWeight", "(100 is the weight of whoever has none)", l->cpu_weight, none, CGROUP_CPU,
          CGROUP_WEIGHT_MIN, CGROUP_WEIGHT_MAX, NULL },
        { "limits.pids", "tasks", l->pids, none, CGROUP_PIDS, CGROUP_PIDS_MIN, PIDS_MAX, NULL },
        { "limits.ioWeight", "(100 is the weight of whoever has none)", l->io_weight, none, CGROUP_IO,
          CGROUP_WEIGHT_MIN, CGROUP_WEIGHT_MAX, without_io_weight },
    };
    for (size_t i = 0; i < ELEMENTSOF(ranges); i++) {
        int r = check_number(h, &ranges[i], reterr);
        if (r < 0)
            return r;
    }
    return 0;
}

static int check_contradictions(const CgroupLimits *l, Error *reterr) {
    bool has_swap = l->memory_swap != 0 && l->memory_swap != CGROUP_LIMIT_NONE;
    if (has_swap && l->memory == CGROUP_LIMIT_NONE)
        return error_invalid(reterr, "limits.memorySwap",
                             "It is the limit of memory and swap together, and needs limits.memory beside it");
    if (has_swap && l->memory_swap < l->memory)
        return error_invalid(reterr, "limits.memorySwap",
                             "%llu is less than limits.memory, %llu; it is the limit of memory and swap together",
                             (unsigned long long) l->memory_swap, (unsigned long long) l->memory);
    if (l->memory_high != CGROUP_LIMIT_NONE && l->memory_high > l->memory)
        return error_invalid(reterr, "limits.memoryHigh", "%llu is more than limits.memory, %llu",
                             (unsigned long long) l->memory_high, (unsigned long long) l->memory);
    return 0;
}

/* ---- CPUs ---- */

static int check_cpuset(const CgroupHierarchies *h, const char *list, Error *reterr) {
    static const char field[] = "limits.cpusetCpus";
    char normal[CGROUP_CPUSET_MAX], online[CGROUP_FILE_MAX];
    if (!*list)
        return 0;
    if (cgroup_cpuset_normalize(list, normal) < 0 || strcmp(normal, list) != 0)
        return error_invalid(reterr, field, "\"%s\" is no list of CPUs such as \"0-3,6\"", list);
    ssize_t n = cgroup_file_read(AT_FDCWD, "/sys/devices/system/cpu/online", online, sizeof(online));
    unsigned missing = 0;
    int r = n < 0 ? (int) n : cgroup_cpuset_contains(online, list, &missing);
    if (r < 0)
        return error_failed(reterr, -r, "cgroup", "Cannot read the list of the host's CPUs: %s", strerror(-r));
    online[strcspn(online, "\n")] = 0;
    if (r == 0)
        return error_invalid(reterr, field, "CPU %u is not there: the host has %s", missing, online);
    const char *reason = cgroup_hierarchies_missing(h, CGROUP_CPUSET);
    if (reason)
        return refuse_unavailable(CGROUP_CPUSET, field, reason, reterr);
    /* what the host has online may still be closed to us, by a service manager's own cpuset */
    n = cgroup_hierarchies_cpus(h, online, sizeof(online));
    if (n < 0 || cgroup_cpuset_contains(online, list, &missing) == 1)
        return 0;
    return error_invalid(reterr, field, "CPU %u is not Kennel's: it may use %s", missing, online);
}

/* ---- devices ---- */

static int check_device(const CgroupDeviceLimits *d, const char *field, Error *reterr) {
    uint32_t disk[2];
    int r = cgroup_disks_find(d->major, d->minor, disk);
    if (r == -ENOTBLK)
        return error_invalid(reterr, field, "%u:%u is a partition; rates are for whole disks, here %u:%u", d->major,
                             d->minor, disk[0], disk[1]);
    if (r < 0)
        return error_invalid(reterr, field, "There is no block device %u:%u", d->major, d->minor);
    return 0;
}

static int check_rates(const CgroupHierarchies *h, const CgroupDeviceLimits *d, size_t i, Error *reterr) {
    const struct {
        const char *name, *unit;
        uint64_t value, min, max;
    } rates[] = {
        { "readBps", "bytes per second", d->read_bps, CGROUP_BPS_MIN, BPS_MAX },
        { "writeBps", "bytes per second", d->write_bps, CGROUP_BPS_MIN, BPS_MAX },
        { "readIops", "operations per second", d->read_iops, CGROUP_IOPS_MIN, IOPS_MAX },
        { "writeIops", "operations per second", d->write_iops, CGROUP_IOPS_MIN, IOPS_MAX },
    };
    for (size_t k = 0; k < ELEMENTSOF(rates); k++) {
        char field[ERROR_SUBJECT_MAX];
        (void) snprintf(field, sizeof(field), "limits.ioDevices[%zu].%s", i, rates[k].name);
        const LimitRange range = { field,     rates[k].unit, rates[k].value, CGROUP_LIMIT_NONE,
                                   CGROUP_IO, rates[k].min,  rates[k].max,   without_rates };
        int r = check_number(h, &range, reterr);
        if (r < 0)
            return r;
    }
    return 0;
}

static int check_devices(const CgroupHierarchies *h, const CgroupLimits *l, Error *reterr) {
    if (l->n_devices > CGROUP_DEVICES_MAX)
        return error_invalid(reterr, "limits.ioDevices", "%zu devices are too many: allowed are %u", l->n_devices,
                             CGROUP_DEVICES_MAX);
    for (size_t i = 0; i < l->n_devices; i++) {
        const CgroupDeviceLimits *d = &l->devices[i];
        char field[ERROR_SUBJECT_MAX];
        (void) snprintf(field, sizeof(field), "limits.ioDevices[%zu].device", i);
        for (size_t k = 0; k < i; k++)
            if (l->devices[k].major == d->major && l->devices[k].minor == d->minor)
                return error_invalid(reterr, field, "%u:%u is named twice, first by limits.ioDevices[%zu]", d->major,
                                     d->minor, k);
        int r = check_device(d, field, reterr);
        if (r >= 0)
            r = check_rates(h, d, i, reterr);
        if (r < 0)
            return r;
    }
    return 0;
}

int cgroup_limits_check(const CgroupHierarchies *h, const CgroupLimits *l, Error *reterr) {
    int r = check_numbers(h, l, reterr);
    if (r >= 0)
        r = check_contradictions(l, reterr);
    if (r >= 0)
        r = check_cpuset(h, l->cpuset, reterr);
    return r < 0 ? r : check_devices(h, l, reterr);
}
