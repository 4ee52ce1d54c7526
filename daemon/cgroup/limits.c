/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Limits, by table.
 *
 * A limit is in force only when the kernel says so: each file is read back after it was written. The one difference
 * allowed is memory, which the kernel keeps in whole pages, rounded down.
 *
 * Memory means memory: swap is not an addition to it. cgroup2 counts swap apart, so that it is set to 0; v1 has a limit
 * on the sum of both, which is set to the same value.
 */

#include "cgroup/limits.h"

#include "cgroup/files.h"
#include "cgroup/group.h"
#include "cgroup/private.h"

#include <string.h>
#include <sys/sysinfo.h>

#define CPU_PERIOD_USEC 100000ULL
#define PIDS_MAX        4194304ULL /* the kernel's PID_MAX_LIMIT */
/* v1 says "none" with its largest number of pages in bytes, whatever the size of a page. */
#define V1_MEMORY_NONE (1ULL << 62)

typedef enum Format {
    FORMAT_NUMBER,
    FORMAT_BYTES,  /* the kernel rounds down to a page */
    FORMAT_ZERO,   /* 0 when there is a limit */
    FORMAT_LIFT,   /* always "none", so that the limits after it may be set in either direction */
    FORMAT_QUOTA,  /* µs in each period */
    FORMAT_PERIOD, /* the period */
    FORMAT_BOTH,   /* quota and period */
} Format;

typedef struct LimitFile {
    size_t offset; /* in CgroupLimits */
    CgroupController controller;
    CgroupVersion version;
    Format format;
    bool optional; /* kernels without swap accounting lack it */
    bool shown;    /* cgroup_limits_read() takes the limit from here */
    const char *file;
    const char *none; /* what means no limit */
} LimitFile;

#define MEMORY offsetof(CgroupLimits, memory), CGROUP_MEMORY
#define CPU    offsetof(CgroupLimits, cpu_quota_per_sec_usec), CGROUP_CPU
#define PIDS   offsetof(CgroupLimits, pids), CGROUP_PIDS

/* Written in this order. */
static const LimitFile limit_files[] = {
    /* clang-format off */
    { MEMORY, CGROUP_V2, FORMAT_ZERO,   true,  false, "memory.swap.max",             "max" },
    { MEMORY, CGROUP_V2, FORMAT_BYTES,  false, true,  "memory.max",                  "max" },
    { MEMORY, CGROUP_V1, FORMAT_LIFT,   true,  false, "memory.memsw.limit_in_bytes", "-1"  },
    { MEMORY, CGROUP_V1, FORMAT_BYTES,  false, true,  "memory.limit_in_bytes",       "-1"  },
    { MEMORY, CGROUP_V1, FORMAT_BYTES,  true,  false, "memory.memsw.limit_in_bytes", "-1"  },
    { CPU,    CGROUP_V2, FORMAT_BOTH,   false, true,  "cpu.max",                     "max" },
    { CPU,    CGROUP_V1, FORMAT_PERIOD, false, false, "cpu.cfs_period_us",           NULL  },
    { CPU,    CGROUP_V1, FORMAT_QUOTA,  false, true,  "cpu.cfs_quota_us",            "-1"  },
    { PIDS,   CGROUP_V2, FORMAT_NUMBER, false, true,  "pids.max",                    "max" },
    { PIDS,   CGROUP_V1, FORMAT_NUMBER, false, true,  "pids.max",                    "max" },
    /* clang-format on */
};

static uint64_t limit_get(const CgroupLimits *l, size_t offset) {
    return *(const uint64_t *) ((const char *) l + offset);
}

static void limit_put(CgroupLimits *l, size_t offset, uint64_t value) {
    *(uint64_t *) ((char *) l + offset) = value;
}

/* ---- checking ---- */

typedef struct LimitRange {
    const char *field, *unit;
    size_t offset;
    CgroupController controller;
    uint64_t min, max;
} LimitRange;

static uint64_t host_memory(void) {
    struct sysinfo i;
    return sysinfo(&i) < 0 ? UINT64_MAX - 1 : (uint64_t) i.totalram * i.mem_unit;
}

int cgroup_limits_check(const CgroupHierarchies *h, const CgroupLimits *l, Error *reterr) {
    const LimitRange ranges[] = {
        { "limits.memory", "bytes, from 4 MiB to what the host has", MEMORY, CGROUP_MEMORY_MIN, host_memory() },
        { "limits.cpuQuotaPerSecUsec", "microseconds per second, from 1 % of a CPU to all of the host's", CPU,
          CGROUP_CPU_QUOTA_MIN, (uint64_t) sysconf(_SC_NPROCESSORS_ONLN) * 1000000U },
        { "limits.pids", "tasks", PIDS, CGROUP_PIDS_MIN, PIDS_MAX },
    };
    for (size_t i = 0; i < ELEMENTSOF(ranges); i++) {
        const LimitRange *range = &ranges[i];
        uint64_t value = limit_get(l, range->offset);
        if (value == CGROUP_LIMIT_NONE)
            continue;
        if (value < range->min || value > range->max)
            return error_invalid(reterr, range->field, "%llu is out of range: allowed are %llu to %llu %s",
                                 (unsigned long long) value, (unsigned long long) range->min,
                                 (unsigned long long) range->max, range->unit);
        const char *missing = cgroup_hierarchies_missing(h, range->controller);
        if (missing)
            return error_set(reterr, ERROR_LIMIT_UNAVAILABLE, EOPNOTSUPP, cgroup_controller_name(range->controller),
                             "%s cannot be kept: %s", range->field, missing);
    }
    return 0;
}

/* ---- writing ---- */

static void format_limit(const LimitFile *f, uint64_t value, char *text, size_t size) {
    unsigned long long quota = value == CGROUP_LIMIT_NONE ? 0 : value / (1000000U / CPU_PERIOD_USEC);
    bool none = value == CGROUP_LIMIT_NONE || f->format == FORMAT_LIFT;
    if (f->format == FORMAT_PERIOD)
        (void) snprintf(text, size, "%llu", CPU_PERIOD_USEC);
    else if (f->format == FORMAT_BOTH && none)
        (void) snprintf(text, size, "%s %llu", f->none, CPU_PERIOD_USEC);
    else if (none)
        (void) snprintf(text, size, "%s", f->none);
    else if (f->format == FORMAT_BOTH)
        (void) snprintf(text, size, "%llu %llu", quota, CPU_PERIOD_USEC);
    else if (f->format == FORMAT_QUOTA)
        (void) snprintf(text, size, "%llu", quota);
    else if (f->format == FORMAT_ZERO)
        (void) snprintf(text, size, "0");
    else
        (void) snprintf(text, size, "%llu", (unsigned long long) value);
}

/* Does the file say WRITTEN, or for bytes the same in whole pages? Both without newline. */
static bool says_the_same(const LimitFile *f, const char *written, const char *found) {
    if (strcmp(written, found) == 0)
        return true;
    if (f->format != FORMAT_BYTES && f->format != FORMAT_LIFT)
        return false;
    uint64_t a, b;
    if (cgroup_file_number(found, &b) < 0)
        return false;
    if (cgroup_file_number(written, &a) < 0) /* "-1" */
        return b >= V1_MEMORY_NONE;
    return b == a - a % (uint64_t) sysconf(_SC_PAGESIZE);
}

static int write_limit(int dir_fd, const LimitFile *f, uint64_t value, Error *reterr) {
    char text[64], found[CGROUP_FILE_MAX];
    format_limit(f, value, text, sizeof(text));
    int r = cgroup_file_write(dir_fd, f->file, text);
    if (r == -ENOENT && f->optional)
        return 0;
    if (r < 0)
        return error_set(reterr, ERROR_HARDENING_FAILED, -r, "cgroup", "Cannot write \"%s\" to %s: %s", text, f->file,
                         strerror(-r));
    ssize_t n = cgroup_file_read(dir_fd, f->file, found, sizeof(found));
    if (n < 0)
        return error_set(reterr, ERROR_HARDENING_FAILED, (int) -n, "cgroup", "Cannot read %s back: %s", f->file,
                         strerror((int) -n));
    found[strcspn(found, "\n")] = 0;
    if (!says_the_same(f, text, found))
        return error_set(reterr, ERROR_HARDENING_FAILED, 0, "cgroup", "%s says \"%s\" after \"%s\" was written to it",
                         f->file, found, text);
    return 0;
}

int cgroup_limits_apply(CgroupGroup *g, const CgroupLimits *limits, Error *reterr) {
    const CgroupHierarchies *h = g->hierarchies;
    int r = cgroup_limits_check(h, limits, reterr);
    if (r < 0)
        return r;
    for (size_t i = 0; i < ELEMENTSOF(limit_files); i++) {
        const LimitFile *f = &limit_files[i];
        uint64_t value = limit_get(limits, f->offset);
        if (h->versions[f->controller] != f->version)
            continue;
        /* a group that we have just made has no limits to lift */
        if (g->fresh && (value == CGROUP_LIMIT_NONE || f->format == FORMAT_LIFT))
            continue;
        int dir_fd = cgroup_group_controller_fd(g, f->controller);
        if (dir_fd < 0)
            return error_set(reterr, ERROR_HARDENING_FAILED, -dir_fd, "cgroup", "The container's cgroup for %s is gone",
                             cgroup_controller_name(f->controller));
        r = write_limit(dir_fd, f, value, reterr);
        if (r < 0) {
            g->fresh = false; /* some may have been set */
            return r;
        }
    }
    g->fresh = false;
    return 0;
}

/* ---- reading ---- */

/* µs per second from a quota and a period in µs. */
static uint64_t quota_per_second(uint64_t quota, uint64_t period) {
    uint64_t product;
    if (period == 0 || __builtin_mul_overflow(quota, 1000000U, &product))
        return CGROUP_LIMIT_NONE;
    return product / period;
}

static int read_cpu(int dir_fd, const LimitFile *f, char *text, uint64_t *ret) {
    char period_text[CGROUP_FILE_MAX], *period_start = period_text;
    if (f->format == FORMAT_BOTH) {
        period_start = strchr(text, ' ');
        if (!period_start)
            return -EBADMSG;
        *period_start++ = 0;
    } else {
        ssize_t n = cgroup_file_read(dir_fd, "cpu.cfs_period_us", period_text, sizeof(period_text));
        if (n < 0)
            return (int) n;
    }
    uint64_t quota, period;
    int r = cgroup_file_number(text, &quota);
    if (r == 0)
        r = cgroup_file_number(period_start, &period);
    if (r == 0)
        *ret = quota_per_second(quota, period);
    return r;
}

/* -ERANGE means that there is no limit. */
static int read_limit(int dir_fd, const LimitFile *f, uint64_t *ret) {
    char text[CGROUP_FILE_MAX];
    ssize_t n = cgroup_file_read(dir_fd, f->file, text, sizeof(text));
    if (n < 0)
        return (int) n;
    if (f->format == FORMAT_BOTH || f->format == FORMAT_QUOTA)
        return read_cpu(dir_fd, f, text, ret);
    int r = cgroup_file_number(text, ret);
    if (r == 0 && f->format == FORMAT_BYTES && f->version == CGROUP_V1 && *ret >= V1_MEMORY_NONE)
        return -ERANGE;
    return r;
}

int cgroup_limits_read(CgroupGroup *g, CgroupLimits *ret, Error *reterr) {
    CgroupLimits limits = { CGROUP_LIMIT_NONE, CGROUP_LIMIT_NONE, CGROUP_LIMIT_NONE };
    for (size_t i = 0; i < ELEMENTSOF(limit_files); i++) {
        const LimitFile *f = &limit_files[i];
        if (!f->shown || g->hierarchies->versions[f->controller] != f->version)
            continue;
        uint64_t value = CGROUP_LIMIT_NONE;
        int dir_fd = cgroup_group_controller_fd(g, f->controller);
        int r = dir_fd < 0 ? dir_fd : read_limit(dir_fd, f, &value);
        if (r < 0 && r != -ERANGE)
            return error_failed(reterr, -r, "cgroup", "Cannot read %s of %s: %s", f->file, g->path, strerror(-r));
        if (r == 0)
            limit_put(&limits, f->offset, value);
    }
    *ret = limits;
    return 0;
}
