/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Limits, by table: writing, reading, comparing. What may be asked for is in limits-check.c.
 *
 * A limit is in force only when the kernel says so: each file is read back after it was written. Two numbers are the
 * same if the kernel would be told the same: memory in whole pages, weights on the scale of the file that takes them.
 *
 * Memory means memory: swap is not an addition to it unless that is asked for. cgroup2 counts swap apart; v1 has a limit
 * on the sum of both, which may never be the lower of the two, so that raising begins with the sum and lowering ends
 * with it.
 *
 * A change of limits is a list of steps, one write each. If one fails, those before it are taken back from the last to
 * the first, which for memory on v1 is again the right order.
 */

#include "cgroup/limits.h"

#include "cgroup/cpuset.h"
#include "cgroup/files.h"
#include "cgroup/private.h"

#include <string.h>

#define CPU_PERIOD_USEC 100000ULL
/* v1 says "none" with its largest number of pages in bytes, whatever the size of a page. */
#define V1_MEMORY_NONE (1ULL << 62)
#define TEXT_MAX       (CGROUP_CPUSET_MAX + 1U)

typedef enum Format {
    FORMAT_NUMBER,
    FORMAT_BYTES,      /* the kernel rounds down to a page */
    FORMAT_SWAP,       /* bytes of swap alone */
    FORMAT_MEMSW,      /* bytes of memory and swap together */
    FORMAT_SHARES,     /* a weight, 1024 for 100 */
    FORMAT_BFQ_WEIGHT, /* a weight, bfq's 1 to 1,000 */
    FORMAT_QUOTA,      /* µs in each period */
    FORMAT_PERIOD,     /* the period */
    FORMAT_BOTH,       /* quota and period */
    FORMAT_CPUSET,     /* a list of CPUs */
    FORMAT_RATE,       /* "8:0 1000", a line for each device */
    FORMAT_RATES,      /* "8:0 rbps=1000 wbps=max riops=max wiops=max", a line for each device */
} Format;

typedef struct LimitFile {
    size_t offset; /* in CgroupLimits; in CgroupDeviceLimits for FORMAT_RATE */
    CgroupController controller;
    CgroupVersion version;
    Format format;
    bool optional; /* some kernels lack it, which the check knows where it matters */
    const char *file;
    const char *none; /* what means no limit */
} LimitFile;

#define MEMORY      offsetof(CgroupLimits, memory), CGROUP_MEMORY
#define MEMORY_SWAP offsetof(CgroupLimits, memory_swap), CGROUP_MEMORY
#define MEMORY_HIGH offsetof(CgroupLimits, memory_high), CGROUP_MEMORY
#define CPU         offsetof(CgroupLimits, cpu_quota_per_sec_usec), CGROUP_CPU
#define CPU_WEIGHT  offsetof(CgroupLimits, cpu_weight), CGROUP_CPU
#define CPUSET      offsetof(CgroupLimits, cpuset), CGROUP_CPUSET
#define PIDS        offsetof(CgroupLimits, pids), CGROUP_PIDS
#define IO_WEIGHT   offsetof(CgroupLimits, io_weight), CGROUP_IO
#define DEVICES     offsetof(CgroupLimits, devices), CGROUP_IO
#define RATE(field) offsetof(CgroupDeviceLimits, field), CGROUP_IO

/*
 * Written in this order; read in this order too, so that memory is known when its swap is read. An I/O weight goes to
 * the files of both that may heed it, and is read from the one with the finer scale. blkio.weight is not here: it was
 * CFQ's, which is gone from every kernel with a cgroup.kill.
 */
static const LimitFile limit_files[] = {
    /* clang-format off */
    { MEMORY,           CGROUP_V2, FORMAT_BYTES,      false, "memory.max",                       "max"  },
    { MEMORY_SWAP,      CGROUP_V2, FORMAT_SWAP,       true,  "memory.swap.max",                  "max"  },
    { MEMORY_HIGH,      CGROUP_V2, FORMAT_BYTES,      true,  "memory.high",                      "max"  },
    { MEMORY,           CGROUP_V1, FORMAT_BYTES,      false, "memory.limit_in_bytes",            "-1"   },
    { MEMORY_SWAP,      CGROUP_V1, FORMAT_MEMSW,      true,  "memory.memsw.limit_in_bytes",      "-1"   },
    { CPU,              CGROUP_V2, FORMAT_BOTH,       false, "cpu.max",                          "max"  },
    { CPU,              CGROUP_V1, FORMAT_PERIOD,     false, "cpu.cfs_period_us",                NULL   },
    { CPU,              CGROUP_V1, FORMAT_QUOTA,      false, "cpu.cfs_quota_us",                 "-1"   },
    { CPU_WEIGHT,       CGROUP_V2, FORMAT_NUMBER,     false, "cpu.weight",                       "100"  },
    { CPU_WEIGHT,       CGROUP_V1, FORMAT_SHARES,     false, "cpu.shares",                       "1024" },
    { CPUSET,           CGROUP_V2, FORMAT_CPUSET,     false, "cpuset.cpus",                      NULL   },
    { CPUSET,           CGROUP_V1, FORMAT_CPUSET,     false, "cpuset.cpus",                      NULL   },
    { PIDS,             CGROUP_V2, FORMAT_NUMBER,     false, "pids.max",                         "max"  },
    { PIDS,             CGROUP_V1, FORMAT_NUMBER,     false, "pids.max",                         "max"  },
    { IO_WEIGHT,        CGROUP_V2, FORMAT_BFQ_WEIGHT, true,  "io.bfq.weight",                    "100"  },
    { IO_WEIGHT,        CGROUP_V2, FORMAT_NUMBER,     true,  "io.weight",                        "100"  },
    { IO_WEIGHT,        CGROUP_V1, FORMAT_BFQ_WEIGHT, true,  "blkio.bfq.weight",                 "100"  },
    { DEVICES,          CGROUP_V2, FORMAT_RATES,      false, "io.max",                           "max"  },
    { RATE(read_bps),   CGROUP_V1, FORMAT_RATE,       false, "blkio.throttle.read_bps_device",   "0"    },
    { RATE(write_bps),  CGROUP_V1, FORMAT_RATE,       false, "blkio.throttle.write_bps_device",  "0"    },
    { RATE(read_iops),  CGROUP_V1, FORMAT_RATE,       false, "blkio.throttle.read_iops_device",  "0"    },
    { RATE(write_iops), CGROUP_V1, FORMAT_RATE,       false, "blkio.throttle.write_iops_device", "0"    },
    /* clang-format on */
};

/* In the order of the kernel's io.max. */
static const struct {
    const char *key;
    size_t offset;
} rate_keys[] = {
    { "rbps=", offsetof(CgroupDeviceLimits, read_bps) },
    { "wbps=", offsetof(CgroupDeviceLimits, write_bps) },
    { "riops=", offsetof(CgroupDeviceLimits, read_iops) },
    { "wiops=", offsetof(CgroupDeviceLimits, write_iops) },
};

static bool is_for_devices(const LimitFile *f) {
    return f->format == FORMAT_RATE || f->format == FORMAT_RATES;
}

static bool is_weight(const LimitFile *f) {
    return f->offset == offsetof(CgroupLimits, cpu_weight) || f->offset == offsetof(CgroupLimits, io_weight);
}

static uint64_t *number_at(void *object, size_t offset) {
    return (uint64_t *) ((char *) object + offset);
}

static uint64_t get_number(const void *object, size_t offset) {
    return *(const uint64_t *) ((const char *) object + offset);
}

/* ---- scales ---- */

/* bfq's range is a tenth of cgroup2's; both have 100 in the middle of what anybody uses (systemd does the same). */
static uint64_t weight_to_bfq(uint64_t weight) {
    return weight <= 100 ? weight : 100 + (weight - 100) / 11;
}

static uint64_t weight_from_bfq(uint64_t bfq) {
    return bfq <= 100 ? bfq : 100 + (bfq - 100) * 11;
}

static uint64_t weight_to_shares(uint64_t weight) {
    uint64_t shares = weight * 1024 / 100;
    return shares < 2 ? 2 : shares > 262144 ? 262144 : shares;
}

static uint64_t weight_from_shares(uint64_t shares) {
    return (shares * 100 + 512) / 1024;
}

static uint64_t whole_pages(uint64_t bytes) {
    return bytes == CGROUP_LIMIT_NONE ? bytes : bytes - bytes % (uint64_t) sysconf(_SC_PAGESIZE);
}

/* ---- from limits to what the kernel is told ---- */

/* Of one that is not among the devices: no limit. */
static CgroupDeviceLimits find_device(const CgroupLimits *l, uint32_t major, uint32_t minor) {
    for (size_t i = 0; i < l->n_devices; i++)
        if (l->devices[i].major == major && l->devices[i].minor == minor)
            return l->devices[i];
    return (CgroupDeviceLimits){
        major, minor, CGROUP_LIMIT_NONE, CGROUP_LIMIT_NONE, CGROUP_LIMIT_NONE, CGROUP_LIMIT_NONE,
    };
}

/* The number for the kernel, or CGROUP_LIMIT_NONE. Not for lists of CPUs and devices. */
static uint64_t kernel_number(const LimitFile *f, const CgroupLimits *l) {
    uint64_t value = get_number(l, f->offset), none = CGROUP_LIMIT_NONE;
    switch (f->format) {
    case FORMAT_BYTES:
        return whole_pages(value);
    case FORMAT_SWAP:
        if (l->memory == none || l->memory_swap == none)
            return none;
        return l->memory_swap <= l->memory ? 0 : whole_pages(l->memory_swap - l->memory);
    case FORMAT_MEMSW:
        return l->memory == none ? none : whole_pages(l->memory_swap == 0 ? l->memory : l->memory_swap);
    case FORMAT_SHARES:
        return value == none ? none : weight_to_shares(value);
    case FORMAT_BFQ_WEIGHT:
        return value == none ? none : weight_to_bfq(value);
    case FORMAT_PERIOD:
        return value == none ? none : CPU_PERIOD_USEC;
    case FORMAT_QUOTA:
    case FORMAT_BOTH:
        return value == none ? none : value / (1000000U / CPU_PERIOD_USEC);
    default:
        return value;
    }
}

typedef struct Step {
    const LimitFile *file;
    uint32_t major, minor; /* where the file is for devices */
} Step;

static bool device_is_set(const Step *s, const CgroupDeviceLimits *d) {
    if (s->file->format == FORMAT_RATE)
        return get_number(d, s->file->offset) != CGROUP_LIMIT_NONE;
    for (size_t i = 0; i < ELEMENTSOF(rate_keys); i++)
        if (get_number(d, rate_keys[i].offset) != CGROUP_LIMIT_NONE)
            return true;
    return false;
}

/* Is there anything to be written for these limits, other than that there is none? */
static bool is_set(const Step *s, const CgroupLimits *l) {
    const LimitFile *f = s->file;
    if (!l)
        return false;
    if (f->format == FORMAT_CPUSET)
        return *l->cpuset;
    if (is_for_devices(f)) {
        const CgroupDeviceLimits d = find_device(l, s->major, s->minor);
        return device_is_set(s, &d);
    }
    return kernel_number(f, l) != CGROUP_LIMIT_NONE;
}

static void format_rates(const CgroupDeviceLimits *d, char text[static TEXT_MAX]) {
    int length = snprintf(text, TEXT_MAX, "%u:%u", d->major, d->minor);
    for (size_t i = 0; i < ELEMENTSOF(rate_keys); i++) {
        uint64_t value = get_number(d, rate_keys[i].offset);
        char number[3 * sizeof(uint64_t)] = "max";
        if (value != CGROUP_LIMIT_NONE)
            (void) snprintf(number, sizeof(number), "%llu", (unsigned long long) value);
        length += snprintf(text + length, TEXT_MAX - (size_t) length, " %s%s", rate_keys[i].key, number);
    }
}

static void format_device(const Step *s, const CgroupLimits *l, char text[static TEXT_MAX]) {
    const CgroupDeviceLimits d = find_device(l, s->major, s->minor);
    uint64_t value = s->file->format == FORMAT_RATE ? get_number(&d, s->file->offset) : 0;
    if (s->file->format == FORMAT_RATES)
        format_rates(&d, text);
    else
        (void) snprintf(text, TEXT_MAX, "%u:%u %llu", s->major, s->minor,
                        value == CGROUP_LIMIT_NONE ? 0 : (unsigned long long) value);
}

/*
 * No CPUs of its own: all that its parent has. cgroup2 has an empty line for it, which Debian 12's kernel refuses as long
 * as anything runs in the group (ENOSPC).
 */
static int format_cpuset(const CgroupHierarchies *h, const CgroupLimits *l, char text[static TEXT_MAX]) {
    if (*l->cpuset) {
        (void) snprintf(text, TEXT_MAX, "%s", l->cpuset);
        return 0;
    }
    ssize_t n = cgroup_hierarchies_cpus(h, text, TEXT_MAX);
    return n < 0 ? (int) n : 0;
}

static int format_step(const CgroupHierarchies *h, const Step *s, const CgroupLimits *l, char text[static TEXT_MAX]) {
    const LimitFile *f = s->file;
    if (is_for_devices(f)) {
        format_device(s, l, text);
        return 0;
    }
    if (f->format == FORMAT_CPUSET)
        return format_cpuset(h, l, text);
    uint64_t value = kernel_number(f, l);
    const char *period = f->format == FORMAT_BOTH ? " 100000" : "";
    if (value != CGROUP_LIMIT_NONE)
        (void) snprintf(text, TEXT_MAX, "%llu%s", (unsigned long long) value, period);
    else
        (void) snprintf(text, TEXT_MAX, "%s%s", f->none ? f->none : "100000", period);
    return 0;
}

/* ---- from what the kernel says ---- */

/* One number, after the "default" of a weight. -ERANGE: no limit. */
static int parse_number(const LimitFile *f, const char *text, uint64_t *ret) {
    static const char prefix[] = "default ";
    if (strncmp(text, prefix, strlen(prefix)) == 0) {
        text += strlen(prefix); /* lines for single devices, which nobody of ours writes, follow it */
        return cgroup_file_digits(&text, ret) ? 0 : -EBADMSG;
    }
    int r = cgroup_file_number(text, ret);
    bool bytes = f->format == FORMAT_BYTES || f->format == FORMAT_MEMSW;
    return r == 0 && bytes && f->version == CGROUP_V1 && *ret >= V1_MEMORY_NONE ? -ERANGE : r;
}

/* A line of a file for devices. False if it is none; the kernel writes "(unknown)" for a device that is going away. */
static bool parse_device(const LimitFile *f, const char *line, CgroupDeviceLimits *ret) {
    uint32_t number[2];
    const char *p = cgroup_file_device(line, number);
    if (!p || *p++ != ' ')
        return false;
    *ret = find_device(&CGROUP_LIMITS_NONE, number[0], number[1]);
    if (f->format == FORMAT_RATE)
        return cgroup_file_digits(&p, number_at(ret, f->offset));
    for (size_t i = 0; i < ELEMENTSOF(rate_keys); i++) {
        size_t length = strlen(rate_keys[i].key);
        if (strncmp(p, rate_keys[i].key, length) != 0)
            return false;
        p += length;
        if (strncmp(p, "max", 3) == 0)
            p += 3;
        else if (!cgroup_file_digits(&p, number_at(ret, rate_keys[i].offset)))
            return false;
        p += *p == ' ';
    }
    return true;
}

static const char *next_line(const char *line) {
    const char *end = strchr(line, '\n');
    return end ? end + 1 : line + strlen(line);
}

/* ---- writing ---- */

static bool device_says_the_same(const Step *s, const CgroupLimits *l, const char *found) {
    const CgroupDeviceLimits wanted = find_device(l, s->major, s->minor);
    CgroupDeviceLimits d;
    for (const char *line = found; *line; line = next_line(line)) {
        if (!parse_device(s->file, line, &d) || d.major != s->major || d.minor != s->minor)
            continue;
        if (s->file->format == FORMAT_RATE)
            return get_number(&d, s->file->offset) == get_number(&wanted, s->file->offset);
        return memcmp(&d, &wanted, sizeof(d)) == 0;
    }
    return !device_is_set(s, &wanted);
}

/* Does FOUND, as the file has it, mean what WRITTEN does? */
static bool says_the_same(const Step *s, const CgroupLimits *l, const char *written, const char *found) {
    const LimitFile *f = s->file;
    if (is_for_devices(f))
        return device_says_the_same(s, l, found);
    if (f->format == FORMAT_CPUSET) {
        char a[CGROUP_CPUSET_MAX], b[CGROUP_CPUSET_MAX];
        return cgroup_cpuset_normalize(written, a) >= 0 && cgroup_cpuset_normalize(found, b) >= 0 && strcmp(a, b) == 0;
    }
    size_t length = strlen(written);
    if (strncmp(written, found, length) == 0 && (!found[length] || found[length] == '\n'))
        return true;
    uint64_t a, b;
    int wanted = parse_number(f, written, &a), is = parse_number(f, found, &b);
    return wanted == is && (is == -ERANGE || (is == 0 && a == b));
}

static int read_back(int dir_fd, const Step *s, const CgroupLimits *l, const char *written, Error *reterr) {
    char found[CGROUP_FILE_MAX];
    ssize_t n = cgroup_file_read(dir_fd, s->file->file, found, sizeof(found));
    if (n < 0)
        return error_set(reterr, ERROR_HARDENING_FAILED, (int) -n, "cgroup", "Cannot read %s back: %s", s->file->file,
                         strerror((int) -n));
    if (says_the_same(s, l, written, found))
        return 0;
    found[strcspn(found, "\n")] = 0;
    return error_set(reterr, ERROR_HARDENING_FAILED, 0, "cgroup", "%s says \"%.128s\" after \"%.128s\" was written",
                     s->file->file, found, written);
}

static int refuse_memory(const LimitFile *f, const CgroupLimits *l, uint64_t in_use, Error *reterr) {
    bool swap = f->format == FORMAT_MEMSW && l->memory_swap != 0;
    return error_invalid(reterr, swap ? "limits.memorySwap" : "limits.memory",
                         "%llu is too little for what is running: %llu bytes are in use, and the kernel cannot reclaim "
                         "enough of them",
                         (unsigned long long) (swap ? l->memory_swap : l->memory), (unsigned long long) in_use);
}

static uint64_t read_usage(int dir_fd, const char *file) {
    char text[64];
    uint64_t value;
    return cgroup_file_read(dir_fd, file, text, sizeof(text)) > 0 && cgroup_file_number(text, &value) == 0 ? value : 0;
}

/*
 * cgroup2 enforces a limit below what is in use by killing. So that is reclaimed first, and what cannot be is refused. A
 * container that grows by just as much in the microseconds between is killed all the same, as it would be a moment later.
 */
static int make_room(int dir_fd, const LimitFile *f, const CgroupLimits *l, Error *reterr) {
    uint64_t in_use = read_usage(dir_fd, "memory.current"), wanted = whole_pages(l->memory);
    if (in_use <= wanted)
        return 0;
    char text[32];
    (void) snprintf(text, sizeof(text), "%llu", (unsigned long long) (in_use - wanted));
    /* EAGAIN: not all of it; older kernels have no such file */
    (void) cgroup_file_write(dir_fd, "memory.reclaim", text);
    in_use = read_usage(dir_fd, "memory.current");
    return in_use <= wanted ? 0 : refuse_memory(f, l, in_use, reterr);
}

static int refuse_write(int dir_fd, const Step *s, const CgroupLimits *l, const char *text, int r, Error *reterr) {
    const LimitFile *f = s->file;
    /* v1 tried to reclaim and gave up */
    if (r == -EBUSY && f->version == CGROUP_V1 && f->format == FORMAT_BYTES)
        return refuse_memory(f, l, read_usage(dir_fd, "memory.usage_in_bytes"), reterr);
    if (r == -EBUSY && f->format == FORMAT_MEMSW)
        return refuse_memory(f, l, read_usage(dir_fd, "memory.memsw.usage_in_bytes"), reterr);
    return error_set(reterr, ERROR_HARDENING_FAILED, -r, "cgroup", "Cannot write \"%.*s\" to %s: %s",
                     (int) strcspn(text, "\n"), text, f->file, strerror(-r));
}

/* IS_FRESH: nothing has run in the group, so that it cannot be too large for its limits. */
static int run_step(CgroupGroup *g, const Step *s, const CgroupLimits *l, bool is_fresh, Error *reterr) {
    const LimitFile *f = s->file;
    char text[TEXT_MAX];
    int dir_fd = cgroup_group_controller_fd(g, f->controller);
    int r = dir_fd < 0 ? dir_fd : format_step(g->hierarchies, s, l, text);
    if (r < 0)
        return error_set(reterr, ERROR_HARDENING_FAILED, -r, "cgroup", "The container's cgroup for %s is gone",
                         cgroup_controller_name(f->controller));
    if (!is_fresh && f->version == CGROUP_V2 && f->offset == offsetof(CgroupLimits, memory)) {
        r = make_room(dir_fd, f, l, reterr);
        if (r < 0)
            return r;
    }
    r = cgroup_file_write(dir_fd, f->file, text);
    if (r == -ENOENT && f->optional)
        return 0;
    /* a disk that is gone has taken its limits along */
    if ((r == -ENODEV || r == -ENXIO) && is_for_devices(f) && !is_set(s, l))
        return 0;
    return r < 0 ? refuse_write(dir_fd, s, l, text, r, reterr) : read_back(dir_fd, s, l, text, reterr);
}

/* ---- a change of limits ---- */

#define STEPS_MAX (ELEMENTSOF(limit_files) + 4U * 2U * CGROUP_DEVICES_MAX)

typedef struct Steps {
    Step items[STEPS_MAX];
    size_t n;
} Steps;

static void add_step(Steps *steps, Step s, const CgroupLimits *former, const CgroupLimits *limits) {
    if (is_set(&s, limits) || is_set(&s, former))
        steps->items[steps->n++] = s;
}

static void add_devices(Steps *steps, const LimitFile *f, const CgroupLimits *former, const CgroupLimits *limits) {
    for (size_t i = 0; i < limits->n_devices; i++)
        add_step(steps, (Step){ f, limits->devices[i].major, limits->devices[i].minor }, former, limits);
    for (size_t i = 0; former && i < former->n_devices; i++) {
        const CgroupDeviceLimits *d = &former->devices[i];
        bool is_new = true;
        for (size_t k = 0; k < limits->n_devices; k++)
            is_new &= limits->devices[k].major != d->major || limits->devices[k].minor != d->minor;
        if (is_new)
            add_step(steps, (Step){ f, d->major, d->minor }, former, NULL);
    }
}

/* v1: the sum of memory and swap is raised before memory, and lowered after it. */
static void order_memory(Steps *steps, const CgroupLimits *former, const CgroupLimits *limits) {
    for (size_t i = 1; former && i < steps->n; i++) {
        const LimitFile *f = steps->items[i].file;
        if (f->format != FORMAT_MEMSW || kernel_number(f, limits) < kernel_number(f, former))
            continue;
        Step sum = steps->items[i];
        steps->items[i] = steps->items[i - 1];
        steps->items[i - 1] = sum;
    }
}

static void list_steps(const CgroupHierarchies *h, const CgroupLimits *former, const CgroupLimits *limits, Steps *ret) {
    ret->n = 0;
    for (size_t i = 0; i < ELEMENTSOF(limit_files); i++) {
        const LimitFile *f = &limit_files[i];
        if (h->versions[f->controller] != f->version)
            continue;
        if (is_for_devices(f))
            add_devices(ret, f, former, limits);
        else
            add_step(ret, (Step){ .file = f }, former, limits);
    }
    order_memory(ret, former, limits);
}

int cgroup_limits_apply(CgroupGroup *g, const CgroupLimits *former, const CgroupLimits *limits, Error *reterr) {
    static const CgroupLimits none = CGROUP_LIMITS_NONE;
    int r = cgroup_limits_check(g->hierarchies, limits, reterr);
    if (r < 0)
        return r;
    if (former && former->n_devices > CGROUP_DEVICES_MAX)
        return error_failed(reterr, EINVAL, "cgroup", "The former limits name %zu devices", former->n_devices);
    Steps steps;
    list_steps(g->hierarchies, former, limits, &steps);
    for (size_t i = 0; i < steps.n && r >= 0; i++) {
        r = run_step(g, &steps.items[i], limits, !former, reterr);
        /* the one that failed may have been written */
        for (size_t k = i + 1; r < 0 && k-- > 0;)
            (void) run_step(g, &steps.items[k], former ? former : &none, !former, NULL);
    }
    atomic_store(&g->limits_changed, true);
    return r < 0 ? r : 0;
}

/* ---- reading ---- */

/* µs per second from a quota and a period in µs. */
static int quota_per_second(uint64_t quota, uint64_t period, uint64_t *ret) {
    uint64_t product;
    if (period == 0 || __builtin_mul_overflow(quota, 1000000U, &product))
        return -ERANGE;
    *ret = product / period;
    return 0;
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
    return r == 0 ? quota_per_second(quota, period, ret) : r;
}

static int read_cpuset(const CgroupHierarchies *h, char *text, CgroupLimits *l) {
    char all[CGROUP_FILE_MAX];
    text[strcspn(text, "\n")] = 0;
    if (!*text)
        return 0;
    if (cgroup_hierarchies_cpus(h, all, sizeof(all)) >= 0 && strcmp(all, text) == 0)
        return 0;
    return cgroup_cpuset_normalize(text, l->cpuset);
}

/* Adds what one file says to what others have said of the same devices. */
static int read_devices(const LimitFile *f, const char *text, CgroupLimits *l) {
    CgroupDeviceLimits d;
    for (const char *line = text; *line; line = next_line(line)) {
        if (!parse_device(f, line, &d))
            continue;
        size_t i = 0;
        while (i < l->n_devices && (l->devices[i].major != d.major || l->devices[i].minor != d.minor))
            i++;
        if (i == CGROUP_DEVICES_MAX)
            return -E2BIG;
        if (i == l->n_devices)
            l->devices[l->n_devices++] = d;
        else
            *number_at(&l->devices[i], f->offset) = get_number(&d, f->offset);
    }
    return 0;
}

/* A limit of swap in the file, as memory_swap has it: 0 where that is as good. */
static uint64_t swap_from_kernel(const LimitFile *f, int r, uint64_t value, const CgroupLimits *l) {
    if (l->memory == CGROUP_LIMIT_NONE)
        return r == -ERANGE ? 0 : value; /* a limit of swap alone is none that we set: show it */
    if (r == -ERANGE)
        return CGROUP_LIMIT_NONE;
    if (f->format == FORMAT_MEMSW)
        return value <= l->memory ? 0 : value;
    return value == 0 || __builtin_add_overflow(value, l->memory, &value) ? 0 : value;
}

static uint64_t weight_from_kernel(const LimitFile *f, uint64_t value) {
    uint64_t usual = 0;
    (void) cgroup_file_number(f->none, &usual);
    if (value == usual)
        return CGROUP_LIMIT_NONE;
    if (f->format == FORMAT_SHARES)
        return weight_from_shares(value);
    return f->format == FORMAT_BFQ_WEIGHT ? weight_from_bfq(value) : value;
}

static int read_number(int dir_fd, const LimitFile *f, char *text, CgroupLimits *l) {
    uint64_t value = CGROUP_LIMIT_NONE;
    bool is_cpu = f->format == FORMAT_BOTH || f->format == FORMAT_QUOTA;
    int r = is_cpu ? read_cpu(dir_fd, f, text, &value) : parse_number(f, text, &value);
    if (r < 0 && r != -ERANGE)
        return r;
    if (r == -ERANGE)
        value = CGROUP_LIMIT_NONE;
    if (f->format == FORMAT_SWAP || f->format == FORMAT_MEMSW)
        value = swap_from_kernel(f, r, value, l);
    else if (is_weight(f))
        value = weight_from_kernel(f, value);
    *number_at(l, f->offset) = value;
    return 0;
}

static int read_file(CgroupGroup *g, const LimitFile *f, CgroupLimits *l) {
    char text[CGROUP_FILE_MAX];
    int dir_fd = cgroup_group_controller_fd(g, f->controller);
    ssize_t n = dir_fd < 0 ? dir_fd : cgroup_file_read(dir_fd, f->file, text, sizeof(text));
    if (n == -ENOENT && dir_fd >= 0 && f->optional)
        return 0;
    if (n < 0)
        return (int) n;
    if (is_for_devices(f))
        return read_devices(f, text, l);
    return f->format == FORMAT_CPUSET ? read_cpuset(g->hierarchies, text, l) : read_number(dir_fd, f, text, l);
}

/* Does this file have to say something for LIMITS? */
static bool is_wanted(const LimitFile *f, const CgroupLimits *limits) {
    return is_for_devices(f) ? limits->n_devices > 0 : is_set(&(Step){ .file = f }, limits);
}

int cgroup_limits_read_wanted(CgroupGroup *g, const CgroupLimits *wanted, CgroupLimits *ret, Error *reterr) {
    CgroupLimits limits = CGROUP_LIMITS_NONE;
    for (size_t i = 0; i < ELEMENTSOF(limit_files); i++) {
        const LimitFile *f = &limit_files[i];
        if (f->format == FORMAT_PERIOD || g->hierarchies->versions[f->controller] != f->version)
            continue;
        if (wanted && !is_wanted(f, wanted))
            continue;
        int r = read_file(g, f, &limits);
        if (r < 0)
            return error_failed(reterr, -r, "cgroup", "Cannot read %s of %s: %s", f->file, g->path, strerror(-r));
    }
    *ret = limits;
    return 0;
}

int cgroup_limits_read(CgroupGroup *g, CgroupLimits *ret, Error *reterr) {
    return cgroup_limits_read_wanted(g, NULL, ret, reterr);
}

/* ---- comparing ---- */

static bool cpusets_equal(const CgroupHierarchies *h, const CgroupLimits *a, const CgroupLimits *b) {
    char x[TEXT_MAX] = "", y[TEXT_MAX] = "";
    if (strcmp(a->cpuset, b->cpuset) == 0)
        return true;
    return format_cpuset(h, a, x) >= 0 && format_cpuset(h, b, y) >= 0 && strcmp(x, y) == 0;
}

/* Does B have every rate that A has? */
static bool devices_within(const CgroupLimits *a, const CgroupLimits *b) {
    for (size_t i = 0; i < a->n_devices; i++) {
        const CgroupDeviceLimits other = find_device(b, a->devices[i].major, a->devices[i].minor);
        for (size_t k = 0; k < ELEMENTSOF(rate_keys); k++)
            if (get_number(&a->devices[i], rate_keys[k].offset) != get_number(&other, rate_keys[k].offset))
                return false;
    }
    return true;
}

bool cgroup_limits_equal(const CgroupHierarchies *h, const CgroupLimits *a, const CgroupLimits *b) {
    for (size_t i = 0; i < ELEMENTSOF(limit_files); i++) {
        const LimitFile *f = &limit_files[i];
        if (h->versions[f->controller] != f->version || is_for_devices(f))
            continue;
        if (f->format == FORMAT_CPUSET) {
            if (!cpusets_equal(h, a, b))
                return false;
            continue;
        }
        uint64_t x = kernel_number(f, a), y = kernel_number(f, b), usual;
        if (is_weight(f) && cgroup_file_number(f->none, &usual) == 0) {
            x = x == CGROUP_LIMIT_NONE ? usual : x;
            y = y == CGROUP_LIMIT_NONE ? usual : y;
        }
        if (x != y)
            return false;
    }
    return devices_within(a, b) && devices_within(b, a);
}
