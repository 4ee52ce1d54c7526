/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Counters, by table.
 *
 * Each file is opened once and read once in a sample, each of its lines is looked at once, however many counters it
 * holds. No allocation, no lookup but the first: with a thousand containers this runs thousands of times a second.
 * Whatever goes wrong makes a counter unknown and gives a reason; a 0 is always the kernel's.
 *
 * I/O on v1: blkio.throttle.* counts every request at its submission, on whatever disk and with whatever scheduler, but
 * only on disks whose throttling is set up (cgroup_disks_start_counting()); 64 MiB written with O_DIRECT to a loop
 * device are 67,108,864 in it. blkio.bfq.* stays 0 unless bfq is the disk's scheduler. The recursive files have what
 * was used in groups below too, as io.stat of cgroup2 has. In either version a disk on top of another is
 * counted with the one below it, each for itself.
 */

#include "cgroup/usage.h"

#include "cgroup/files.h"
#include "cgroup/private.h"

#include <fcntl.h>
#include <string.h>

/* v1 says that there is no limit by its largest number of pages, in bytes. */
#define V1_MEMORY_NONE (1ULL << 62)

#define REASON_GONE       "the container's cgroup is gone"
#define REASON_KERNEL     "this kernel does not count it"
#define REASON_PRESSURE   "the kernel does not measure it (psi=1 on its command line, cgroup.pressure)"
#define REASON_TOO_LONG   "there are more devices than Kennel reads"
#define REASON_V1_OOM     "cgroup v1 counts the processes killed only"
#define REASON_V1_HIGH    "cgroup v1 has no such limit"
#define REASON_V1_MAX     "kernels since 6.15 do not count it where memory and swap have one limit"
#define REASON_UNREADABLE "its file cannot be read or understood"
#define REASON_NO_LIMIT   ""

#define KEYS_MAX 8U

typedef enum Format {
    FORMAT_NUMBER,   /* the file is one number */
    FORMAT_ADDEND,   /* the same, to be added to what another file said; not every kernel has it */
    FORMAT_LIMIT,    /* one number, which changes only when we write it */
    FORMAT_KEYED,    /* lines of "key number" */
    FORMAT_PRESSURE, /* "some avg10=0.00 avg60=0.00 avg300=0.00 total=1" */
    FORMAT_IO,       /* one of CgroupIoFormat */
} Format;

typedef struct Key {
    CgroupCounter counter;
    const char *key; /* NULL: the file is one number */
    uint32_t divisor;
} Key;

typedef struct UsageFile {
    CgroupController controller; /* read only if this one is in VERSION; _CGROUP_CONTROLLER_MAX: always, on cgroup2 */
    CgroupVersion version;
    Format format;
    CgroupIoFormat io;
    bool events; /* has what cgroup_events_read() wants */
    const char *name;
    Key keys[KEYS_MAX]; /* ended by divisor 0; in the order in which the kernel writes them */
} UsageFile;

#define ALWAYS    _CGROUP_CONTROLLER_MAX, CGROUP_V2
#define CPU_V1    CGROUP_CPU, CGROUP_V1
#define MEMORY_V1 CGROUP_MEMORY, CGROUP_V1
#define MEMORY_V2 CGROUP_MEMORY, CGROUP_V2
#define PIDS_V1   CGROUP_PIDS, CGROUP_V1
#define PIDS_V2   CGROUP_PIDS, CGROUP_V2
#define IO_V1     CGROUP_IO, CGROUP_V1
#define IO_V2     CGROUP_IO, CGROUP_V2

#define ONE(counter)                                                                                                   \
    {                                                                                                                  \
        { counter, NULL, 1 }                                                                                           \
    }
#define PRESSURE(r)                                                                                                    \
    {                                                                                                                  \
        { CGROUP_PRESSURE_##r##_SOME_USEC, "some", 1 }, {                                                              \
            CGROUP_PRESSURE_##r##_FULL_USEC, "full", 1                                                                 \
        }                                                                                                              \
    }
#define IO_BYTES                                                                                                       \
    {                                                                                                                  \
        { CGROUP_IO_READ_BYTES, NULL, 1 }, {                                                                           \
            CGROUP_IO_WRITE_BYTES, NULL, 1                                                                             \
        }                                                                                                              \
    }
#define IO_OPERATIONS                                                                                                  \
    {                                                                                                                  \
        { CGROUP_IO_READS, NULL, 1 }, {                                                                                \
            CGROUP_IO_WRITES, NULL, 1                                                                                  \
        }                                                                                                              \
    }

static const UsageFile usage_files[] = {
    /* clang-format off */
    /* cgroup2 counts CPU time with no controller at all, so also on a hybrid host */
    { ALWAYS,    FORMAT_KEYED,    0, false, "cpu.stat",
      { { CGROUP_CPU_USAGE_USEC, "usage_usec", 1 }, { CGROUP_CPU_USER_USEC, "user_usec", 1 },
        { CGROUP_CPU_SYSTEM_USEC, "system_usec", 1 }, { CGROUP_CPU_PERIODS, "nr_periods", 1 },
        { CGROUP_CPU_THROTTLED_PERIODS, "nr_throttled", 1 }, { CGROUP_CPU_THROTTLED_USEC, "throttled_usec", 1 } } },
    { CPU_V1,    FORMAT_KEYED,    0, false, "cpu.stat",
      { { CGROUP_CPU_PERIODS, "nr_periods", 1 }, { CGROUP_CPU_THROTTLED_PERIODS, "nr_throttled", 1 },
        { CGROUP_CPU_THROTTLED_USEC, "throttled_time", 1000 } } },

    { MEMORY_V2, FORMAT_NUMBER,   0, false, "memory.current", ONE(CGROUP_MEMORY_CURRENT) },
    { MEMORY_V2, FORMAT_NUMBER,   0, false, "memory.peak", ONE(CGROUP_MEMORY_PEAK) },
    { MEMORY_V2, FORMAT_KEYED,    0, false, "memory.stat",
      { { CGROUP_MEMORY_ANON, "anon", 1 }, { CGROUP_MEMORY_FILE, "file", 1 }, { CGROUP_MEMORY_KERNEL, "kernel", 1 },
        { CGROUP_MEMORY_SHMEM, "shmem", 1 }, { CGROUP_MEMORY_INACTIVE_FILE, "inactive_file", 1 } } },
    { MEMORY_V2, FORMAT_NUMBER,   0, false, "memory.swap.current", ONE(CGROUP_MEMORY_SWAP) },
    { MEMORY_V2, FORMAT_LIMIT,    0, false, "memory.max", ONE(CGROUP_MEMORY_LIMIT) },
    { MEMORY_V2, FORMAT_KEYED,    0, true,  "memory.events",
      { { CGROUP_MEMORY_HIGH, "high", 1 }, { CGROUP_MEMORY_MAX, "max", 1 }, { CGROUP_MEMORY_OOM, "oom", 1 },
        { CGROUP_MEMORY_OOM_KILL, "oom_kill", 1 } } },

    { MEMORY_V1, FORMAT_NUMBER,   0, false, "memory.usage_in_bytes", ONE(CGROUP_MEMORY_CURRENT) },
    { MEMORY_V1, FORMAT_NUMBER,   0, false, "memory.max_usage_in_bytes", ONE(CGROUP_MEMORY_PEAK) },
    { MEMORY_V1, FORMAT_KEYED,    0, false, "memory.stat",
      { { CGROUP_MEMORY_FILE, "total_cache", 1 }, { CGROUP_MEMORY_ANON, "total_rss", 1 },
        { CGROUP_MEMORY_SHMEM, "total_shmem", 1 }, { CGROUP_MEMORY_SWAP, "total_swap", 1 },
        { CGROUP_MEMORY_INACTIVE_FILE, "total_inactive_file", 1 } } },
    { MEMORY_V1, FORMAT_NUMBER,   0, false, "memory.kmem.usage_in_bytes", ONE(CGROUP_MEMORY_KERNEL) },
    { MEMORY_V1, FORMAT_LIMIT,    0, false, "memory.limit_in_bytes", ONE(CGROUP_MEMORY_LIMIT) },
    /* whichever limit is met first counts: with no swap allowed that is always the one of memory and swap together */
    { MEMORY_V1, FORMAT_NUMBER,   0, true,  "memory.failcnt", ONE(CGROUP_MEMORY_MAX) },
    { MEMORY_V1, FORMAT_ADDEND,   0, true,  "memory.memsw.failcnt", ONE(CGROUP_MEMORY_MAX) },
    { MEMORY_V1, FORMAT_KEYED,    0, true,  "memory.oom_control", { { CGROUP_MEMORY_OOM_KILL, "oom_kill", 1 } } },

    { PIDS_V2,   FORMAT_NUMBER,   0, false, "pids.current", ONE(CGROUP_PIDS_CURRENT) },
    { PIDS_V2,   FORMAT_NUMBER,   0, false, "pids.peak", ONE(CGROUP_PIDS_PEAK) },
    { PIDS_V2,   FORMAT_LIMIT,    0, false, "pids.max", ONE(CGROUP_PIDS_LIMIT) },
    { PIDS_V2,   FORMAT_KEYED,    0, true,  "pids.events", { { CGROUP_PIDS_REFUSED, "max", 1 } } },
    { PIDS_V1,   FORMAT_NUMBER,   0, false, "pids.current", ONE(CGROUP_PIDS_CURRENT) },
    { PIDS_V1,   FORMAT_NUMBER,   0, false, "pids.peak", ONE(CGROUP_PIDS_PEAK) },
    { PIDS_V1,   FORMAT_LIMIT,    0, false, "pids.max", ONE(CGROUP_PIDS_LIMIT) },
    { PIDS_V1,   FORMAT_KEYED,    0, true,  "pids.events", { { CGROUP_PIDS_REFUSED, "max", 1 } } },

    { IO_V2,     FORMAT_IO, CGROUP_IO_STAT, false, "io.stat",
      { { CGROUP_IO_READ_BYTES, NULL, 1 }, { CGROUP_IO_WRITE_BYTES, NULL, 1 },
        { CGROUP_IO_READS, NULL, 1 }, { CGROUP_IO_WRITES, NULL, 1 } } },
    { IO_V1,     FORMAT_IO, CGROUP_IO_V1_BYTES, false, "blkio.throttle.io_service_bytes_recursive", IO_BYTES },
    { IO_V1,     FORMAT_IO, CGROUP_IO_V1_OPERATIONS, false, "blkio.throttle.io_serviced_recursive", IO_OPERATIONS },

    { ALWAYS,    FORMAT_PRESSURE, 0, false, "cpu.pressure", PRESSURE(CPU) },
    { ALWAYS,    FORMAT_PRESSURE, 0, false, "memory.pressure", PRESSURE(MEMORY) },
    { ALWAYS,    FORMAT_PRESSURE, 0, false, "io.pressure", PRESSURE(IO) },
    /* clang-format on */
};
_Static_assert(ELEMENTSOF(usage_files) <= CGROUP_USAGE_FILES_MAX, "a group has too few fds");

static const struct {
    const char *name;
    CgroupController controller; /* without which it is unknown; _CGROUP_CONTROLLER_MAX: none */
    const char *unknown;         /* why the kernel may lack it, if not REASON_KERNEL */
    const char *unknown_v1;      /* why v1 always does */
} counter_info[_CGROUP_COUNTER_MAX] = {
    /* clang-format off */
    [CGROUP_CPU_USAGE_USEC] =            { "cpu.usageUsec", CGROUP_CPU, NULL, NULL },
    [CGROUP_CPU_USER_USEC] =             { "cpu.userUsec", CGROUP_CPU, NULL, NULL },
    [CGROUP_CPU_SYSTEM_USEC] =           { "cpu.systemUsec", CGROUP_CPU, NULL, NULL },
    [CGROUP_CPU_PERIODS] =               { "cpu.periods", CGROUP_CPU, NULL, NULL },
    [CGROUP_CPU_THROTTLED_PERIODS] =     { "cpu.throttledPeriods", CGROUP_CPU, NULL, NULL },
    [CGROUP_CPU_THROTTLED_USEC] =        { "cpu.throttledUsec", CGROUP_CPU, NULL, NULL },
    [CGROUP_MEMORY_CURRENT] =            { "memory.current", CGROUP_MEMORY, NULL, NULL },
    [CGROUP_MEMORY_PEAK] =               { "memory.peak", CGROUP_MEMORY, NULL, NULL },
    [CGROUP_MEMORY_WORKING_SET] =        { "memory.workingSet", CGROUP_MEMORY, NULL, NULL },
    [CGROUP_MEMORY_ANON] =               { "memory.anon", CGROUP_MEMORY, NULL, NULL },
    [CGROUP_MEMORY_FILE] =               { "memory.file", CGROUP_MEMORY, NULL, NULL },
    [CGROUP_MEMORY_SHMEM] =              { "memory.shmem", CGROUP_MEMORY, NULL, NULL },
    [CGROUP_MEMORY_KERNEL] =             { "memory.kernel", CGROUP_MEMORY, NULL, NULL },
    [CGROUP_MEMORY_INACTIVE_FILE] =      { "memory.inactiveFile", CGROUP_MEMORY, NULL, NULL },
    [CGROUP_MEMORY_SWAP] =               { "memory.swap", CGROUP_MEMORY, NULL, NULL },
    [CGROUP_MEMORY_LIMIT] =              { "memory.limit", CGROUP_MEMORY, NULL, NULL },
    [CGROUP_MEMORY_HIGH] =               { "memory.high", CGROUP_MEMORY, NULL, REASON_V1_HIGH },
    [CGROUP_MEMORY_MAX] =                { "memory.max", CGROUP_MEMORY, NULL, NULL },
    [CGROUP_MEMORY_OOM] =                { "memory.oom", CGROUP_MEMORY, NULL, REASON_V1_OOM },
    [CGROUP_MEMORY_OOM_KILL] =           { "memory.oomKill", CGROUP_MEMORY, NULL, NULL },
    [CGROUP_PIDS_CURRENT] =              { "pids.current", CGROUP_PIDS, NULL, NULL },
    [CGROUP_PIDS_PEAK] =                 { "pids.peak", CGROUP_PIDS, NULL, NULL },
    [CGROUP_PIDS_LIMIT] =                { "pids.limit", CGROUP_PIDS, NULL, NULL },
    [CGROUP_PIDS_REFUSED] =              { "pids.refused", CGROUP_PIDS, NULL, NULL },
    [CGROUP_IO_READ_BYTES] =             { "io.readBytes", CGROUP_IO, NULL, NULL },
    [CGROUP_IO_WRITE_BYTES] =            { "io.writeBytes", CGROUP_IO, NULL, NULL },
    [CGROUP_IO_READS] =                  { "io.reads", CGROUP_IO, NULL, NULL },
    [CGROUP_IO_WRITES] =                 { "io.writes", CGROUP_IO, NULL, NULL },
    [CGROUP_PRESSURE_CPU_SOME_USEC] =    { "pressure.cpu.someUsec", _CGROUP_CONTROLLER_MAX, REASON_PRESSURE, NULL },
    [CGROUP_PRESSURE_CPU_FULL_USEC] =    { "pressure.cpu.fullUsec", _CGROUP_CONTROLLER_MAX, REASON_PRESSURE, NULL },
    [CGROUP_PRESSURE_MEMORY_SOME_USEC] = { "pressure.memory.someUsec", _CGROUP_CONTROLLER_MAX, REASON_PRESSURE, NULL },
    [CGROUP_PRESSURE_MEMORY_FULL_USEC] = { "pressure.memory.fullUsec", _CGROUP_CONTROLLER_MAX, REASON_PRESSURE, NULL },
    [CGROUP_PRESSURE_IO_SOME_USEC] =     { "pressure.io.someUsec", _CGROUP_CONTROLLER_MAX, REASON_PRESSURE, NULL },
    [CGROUP_PRESSURE_IO_FULL_USEC] =     { "pressure.io.fullUsec", _CGROUP_CONTROLLER_MAX, REASON_PRESSURE, NULL },
    /* clang-format on */
};

const char *cgroup_counter_name(CgroupCounter c) {
    return counter_info[c].name;
}

static void set_unknown(CgroupUsage *u, CgroupCounter c, const char *reason) {
    u->values[c] = CGROUP_UNKNOWN;
    u->reasons[c] = reason;
}

static void set_value(CgroupUsage *u, CgroupCounter c, uint64_t value) {
    u->values[c] = value;
    u->reasons[c] = NULL;
}

/* ---- I/O ---- */

static CgroupIoUsage *find_device(CgroupUsage *u, const uint32_t number[static 2]) {
    for (size_t i = 0; i < u->n_devices; i++)
        if (u->devices[i].major == number[0] && u->devices[i].minor == number[1])
            return &u->devices[i];
    if (u->n_devices == CGROUP_IO_DEVICES_MAX)
        return NULL;
    u->devices[u->n_devices] = (CgroupIoUsage){ .major = number[0], .minor = number[1] };
    return &u->devices[u->n_devices++];
}

/* VALUES in the order of the counters; a disk of which nothing is counted has no entry. */
static void add_device(CgroupUsage *u, const uint32_t number[static 2], const uint64_t values[static 4]) {
    if (!(values[0] | values[1] | values[2] | values[3]))
        return;
    for (size_t i = 0; i < 4; i++)
        u->values[CGROUP_IO_READ_BYTES + i] += values[i];
    CgroupIoUsage *d = find_device(u, number);
    if (!d)
        return;
    d->read_bytes += values[0];
    d->write_bytes += values[1];
    d->reads += values[2];
    d->writes += values[3];
}

/* The number behind WORD at P. */
static bool value_of(const char *p, const char *word, uint64_t *ret) {
    size_t length = strlen(word);
    if (strncmp(p, word, length) != 0)
        return false;
    p += length;
    return cgroup_file_digits(&p, ret);
}

/* Of a line of any of the three files; LINE is terminated. Sums of several devices and other keys are passed over. */
static void add_io_line(CgroupUsage *u, CgroupIoFormat format, const char *line) {
    static const char *const keys[] = { "rbytes=", "wbytes=", "rios=", "wios=" };
    uint32_t number[2];
    uint64_t values[4] = { 0 };
    const char *p = cgroup_file_device(line, number);
    if (!p || *p++ != ' ')
        return;
    size_t first = format == CGROUP_IO_V1_OPERATIONS ? 2 : 0;
    if (format != CGROUP_IO_STAT) {
        if (!value_of(p, "Read ", &values[first]))
            (void) value_of(p, "Write ", &values[first + 1]);
        add_device(u, number, values);
        return;
    }
    for (; *p; p += strcspn(p, " "), p += strspn(p, " "))
        for (size_t i = 0; i < ELEMENTSOF(keys); i++)
            if (value_of(p, keys[i], &values[i]))
                break;
    add_device(u, number, values);
}

/*
 * In pieces, as the text has a line for each disk that the container has used (six on v1); the kernel made it in one go
 * with the first piece, so that they belong together.
 */
int cgroup_usage_add_io(int fd, CgroupIoFormat format, CgroupUsage *u) {
    char buffer[CGROUP_FILE_MAX];
    size_t kept = 0;
    for (off_t offset = 0; offset < (off_t) CGROUP_IO_TEXT_MAX;) {
        size_t room = sizeof(buffer) - 1 - kept;
        ssize_t n = room == 0 ? -1 : pread(fd, buffer + kept, room, offset);
        if (n < 0)
            return room == 0 ? -EFBIG : -errno;
        offset += n;
        size_t length = kept + (size_t) n;
        buffer[length] = 0;
        char *line = buffer;
        for (char *end; (end = strchr(line, '\n')); line = end + 1) {
            *end = 0;
            add_io_line(u, format, line);
        }
        kept = length - (size_t) (line - buffer);
        if ((size_t) n < room)
            return 0; /* what is left without a newline is no line */
        memmove(buffer, line, kept);
    }
    return -EFBIG;
}

static int read_io(int fd, const UsageFile *f, CgroupUsage *u) {
    for (const Key *k = f->keys; k < f->keys + KEYS_MAX && k->divisor; k++)
        set_value(u, k->counter, 0);
    int r = cgroup_usage_add_io(fd, f->io, u);
    if (r < 0)
        u->n_devices = 0; /* not half of them */
    return r;
}

/* ---- the other formats ---- */

/* "avg10=0.00 avg60=0.00 avg300=0.00 total=1": the number behind the last "=". */
static bool parse_total(const char *text, const char *end, uint64_t *ret) {
    const char *p = memrchr(text, '=', (size_t) (end - text));
    return p && ++p < end && cgroup_file_digits(&p, ret);
}

/* Each line is compared with the keys that have not been found yet, of which the next is nearly always the first. */
static void read_lines(const char *text, const UsageFile *f, CgroupUsage *u) {
    const Key *first = f->keys, *last = f->keys;
    uint32_t found = 0;
    while (last < f->keys + KEYS_MAX && last->divisor)
        last++;
    const char *end;
    for (const char *line = text; first < last && (end = strchrnul(line, '\n')) > line; line = end + (*end == '\n')) {
        for (const Key *k = first; k < last; k++) {
            size_t length = strlen(k->key);
            if (*k->key != *line || strncmp(line, k->key, length) != 0 || line[length] != ' ')
                continue;
            const char *p = line + length + 1;
            uint64_t value;
            if (f->format == FORMAT_PRESSURE ? parse_total(p, end, &value) : cgroup_file_digits(&p, &value))
                set_value(u, k->counter, value / k->divisor);
            found |= 1U << (k - f->keys);
            while (first < last && found & 1U << (first - f->keys))
                first++;
            break;
        }
    }
}

static void read_number(const char *text, const UsageFile *f, CgroupUsage *u) {
    uint64_t value;
    CgroupCounter c = f->keys[0].counter;
    int r = cgroup_file_number(text, &value);
    if (f->format == FORMAT_ADDEND) {
        if (r == 0 && u->values[c] != CGROUP_UNKNOWN)
            u->values[c] += value;
        return;
    }
    if (r == -ERANGE || (r == 0 && c == CGROUP_MEMORY_LIMIT && f->version == CGROUP_V1 && value >= V1_MEMORY_NONE))
        set_unknown(u, c, REASON_NO_LIMIT);
    else if (r == 0)
        set_value(u, c, value);
    else
        set_unknown(u, c, REASON_UNREADABLE);
}

/* ---- files ---- */

static bool is_used(const CgroupGroup *g, const UsageFile *f) {
    if (f->format == FORMAT_ADDEND && g->hierarchies->lacks_memsw_failcnt) /* it says 0 and costs as much as any */
        return false;
    return f->controller == _CGROUP_CONTROLLER_MAX || g->hierarchies->versions[f->controller] == f->version;
}

void cgroup_usage_forget(CgroupGroup *g, size_t file) {
    if (g->usage_fds[file] < 0)
        return;
    g->usage_fds[file] = fd_close(g->usage_fds[file]);
    atomic_fetch_sub(&g->hierarchies->n_kept, 1U);
}

/* Is there room for one more fd that is kept? */
static bool may_keep(CgroupHierarchies *h) {
    if (atomic_fetch_add(&h->n_kept, 1U) < h->kept_max)
        return true;
    atomic_fetch_sub(&h->n_kept, 1U);
    return false;
}

/* An fd of the file: kept, or *RET_OWN to be closed by the caller. Negative errno if there is none. */
static int open_file(CgroupGroup *g, const UsageFile *f, int *ret_own) {
    int *fd = &g->usage_fds[f - usage_files];
    if (*fd != -EBADF)
        return *fd;
    int dir_fd = f->controller == _CGROUP_CONTROLLER_MAX ? g->fd : cgroup_group_controller_fd(g, f->controller);
    if (dir_fd < 0)
        return *fd = dir_fd;
    int r = openat(dir_fd, f->name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (r < 0)
        r = -errno;
    /* what has no file, or pressure that is not measured, is not there later either; anything else may pass */
    if (r == -ENOENT || r == -EOPNOTSUPP)
        *fd = r;
    else if (r >= 0 && f->format != FORMAT_LIMIT && may_keep(g->hierarchies)) /* limits are read once for each change */
        *fd = r;
    else if (r >= 0)
        *ret_own = r;
    return r;
}

/* Why a file could not be read; NULL leaves the reasons that the counters have. */
static const char *reason_for(int r) {
    switch (r) {
    case -ENODEV:
        return REASON_GONE;
    case -ENOENT:
    case -EOPNOTSUPP:
        return NULL;
    case -EFBIG:
        return REASON_TOO_LONG;
    default:
        return REASON_UNREADABLE;
    }
}

/* Every counter that the file has. */
static void read_file(CgroupGroup *g, const UsageFile *f, CgroupUsage *u) {
    char text[CGROUP_FILE_MAX];
    _cleanup_fd_ int own = -EBADF;
    int fd = open_file(g, f, &own);
    ssize_t n = fd;
    if (fd >= 0)
        n = f->format == FORMAT_IO ? read_io(fd, f, u) : cgroup_file_pread(fd, text, sizeof(text));
    const char *reason = n < 0 ? reason_for((int) n) : NULL;
    for (const Key *k = f->keys; reason && k < f->keys + KEYS_MAX && k->divisor; k++)
        set_unknown(u, k->counter, reason);
    if (n < 0 || f->format == FORMAT_IO)
        return;
    if (f->format == FORMAT_KEYED || f->format == FORMAT_PRESSURE)
        read_lines(text, f, u);
    else
        read_number(text, f, u);
}

/* From the kernel after a change, else what it said then; CURRENT is what is read anew, and tells if the group is gone. */
static void read_limit(CgroupGroup *g, const UsageFile *f, bool changed, CgroupCounter current, CgroupUsage *u) {
    CgroupCounter c = f->keys[0].counter;
    if (changed) {
        read_file(g, f, u);
        g->limits_read[c] = u->values[c];
        g->limits_reasons[c] = u->reasons[c];
    } else {
        u->values[c] = g->limits_read[c];
        u->reasons[c] = g->limits_reasons[c];
    }
    if (u->values[current] == CGROUP_UNKNOWN)
        set_unknown(u, c, u->reasons[current]);
}

static void start_unknown(const CgroupHierarchies *h, CgroupUsage *u) {
    for (size_t i = 0; i < _CGROUP_COUNTER_MAX; i++) {
        CgroupController c = counter_info[i].controller;
        const char *reason = c == _CGROUP_CONTROLLER_MAX ? NULL : cgroup_hierarchies_missing(h, c);
        if (!reason && c < _CGROUP_CONTROLLER_MAX && h->versions[c] == CGROUP_V1)
            reason = counter_info[i].unknown_v1;
        if (!reason)
            reason = counter_info[i].unknown ? counter_info[i].unknown : REASON_KERNEL;
        set_unknown(u, i, reason);
    }
    u->n_devices = 0;
}

static void derive_working_set(CgroupUsage *u) {
    uint64_t current = u->values[CGROUP_MEMORY_CURRENT], inactive = u->values[CGROUP_MEMORY_INACTIVE_FILE];
    if (current == CGROUP_UNKNOWN || inactive == CGROUP_UNKNOWN)
        set_unknown(u, CGROUP_MEMORY_WORKING_SET,
                    u->reasons[current == CGROUP_UNKNOWN ? CGROUP_MEMORY_CURRENT : CGROUP_MEMORY_INACTIVE_FILE]);
    else
        set_value(u, CGROUP_MEMORY_WORKING_SET, current > inactive ? current - inactive : 0);
}

/*
 * memory.memsw.failcnt is always 0 since 6.15, and the sum of memory and swap is what a container without swap runs
 * into. So there a 0 of a container with a limit says nothing.
 */
static void distrust_v1_max(const CgroupHierarchies *h, CgroupUsage *u) {
    if (h->versions[CGROUP_MEMORY] == CGROUP_V1 && h->lacks_memsw_failcnt && u->values[CGROUP_MEMORY_MAX] == 0 &&
        u->values[CGROUP_MEMORY_LIMIT] != CGROUP_UNKNOWN)
        set_unknown(u, CGROUP_MEMORY_MAX, REASON_V1_MAX);
}

void cgroup_usage_read(CgroupGroup *g, CgroupUsage *ret) {
    start_unknown(g->hierarchies, ret);
    bool changed = atomic_exchange(&g->limits_changed, false);
    for (size_t i = 0; i < ELEMENTSOF(usage_files); i++)
        if (is_used(g, &usage_files[i]) && usage_files[i].format != FORMAT_LIMIT)
            read_file(g, &usage_files[i], ret);
    for (size_t i = 0; i < ELEMENTSOF(usage_files); i++)
        if (is_used(g, &usage_files[i]) && usage_files[i].format == FORMAT_LIMIT)
            read_limit(g, &usage_files[i], changed,
                       usage_files[i].controller == CGROUP_PIDS ? CGROUP_PIDS_CURRENT : CGROUP_MEMORY_CURRENT, ret);
    derive_working_set(ret);
    distrust_v1_max(g->hierarchies, ret);
}

static bool has_wanted(const UsageFile *f, const CgroupCounter *wanted, size_t n) {
    for (const Key *k = f->keys; k < f->keys + KEYS_MAX && k->divisor; k++)
        for (size_t i = 0; i < n; i++)
            if (k->counter == wanted[i])
                return true;
    return false;
}

void cgroup_usage_read_some(CgroupGroup *g, const CgroupCounter *wanted, size_t n, CgroupUsage *ret) {
    start_unknown(g->hierarchies, ret);
    for (size_t i = 0; i < ELEMENTSOF(usage_files); i++)
        if (usage_files[i].format != FORMAT_LIMIT && is_used(g, &usage_files[i]) &&
            has_wanted(&usage_files[i], wanted, n))
            read_file(g, &usage_files[i], ret);
}

void cgroup_usage_read_events(CgroupGroup *g, CgroupUsage *ret) {
    start_unknown(g->hierarchies, ret);
    for (size_t i = 0; i < ELEMENTSOF(usage_files); i++)
        if (is_used(g, &usage_files[i]) && usage_files[i].events)
            read_file(g, &usage_files[i], ret);
    /* no limit has been read here: whether there is one, and a 0 means something, is not known */
    if (g->hierarchies->versions[CGROUP_MEMORY] == CGROUP_V1 && g->hierarchies->lacks_memsw_failcnt &&
        ret->values[CGROUP_MEMORY_MAX] == 0)
        set_unknown(ret, CGROUP_MEMORY_MAX, REASON_V1_MAX);
}
