/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Counters, by table.
 *
 * Each file is opened once and read once in a sample, however many counters it holds. No allocation, no lookup but the
 * first: with a hundred containers this runs hundreds of times a second. Whatever goes wrong makes a counter unknown
 * and gives a reason; a 0 is always the kernel's.
 */

#include "cgroup/usage.h"

#include "cgroup/files.h"
#include "cgroup/private.h"

#include <fcntl.h>
#include <string.h>

/* v1 says that there is no limit by its largest number of pages, in bytes. */
#define V1_MEMORY_NONE (1ULL << 62)

#define REASON_GONE     "the container's cgroup is gone"
#define REASON_KERNEL   "this kernel does not count it"
#define REASON_NO_LIMIT ""

typedef struct UsageFile {
    CgroupVersion version;
    CgroupController controller; /* _CGROUP_CONTROLLER_MAX: cgroup2 has it without any */
    const char *name;
} UsageFile;

/* For each file its name in either version; which of the two is read depends on where the controller is. */
static const UsageFile usage_files[_CGROUP_USAGE_FILE_MAX][2] = {
    [CGROUP_FILE_CPU_STAT] = { { CGROUP_V2, _CGROUP_CONTROLLER_MAX, "cpu.stat" } },
    [CGROUP_FILE_CPU_STAT_V1] = { { CGROUP_V1, CGROUP_CPU, "cpu.stat" } },
    [CGROUP_FILE_MEMORY_CURRENT] = { { CGROUP_V2, CGROUP_MEMORY, "memory.current" },
                                     { CGROUP_V1, CGROUP_MEMORY, "memory.usage_in_bytes" } },
    [CGROUP_FILE_MEMORY_PEAK] = { { CGROUP_V2, CGROUP_MEMORY, "memory.peak" },
                                  { CGROUP_V1, CGROUP_MEMORY, "memory.max_usage_in_bytes" } },
    [CGROUP_FILE_MEMORY_STAT] = { { CGROUP_V2, CGROUP_MEMORY, "memory.stat" },
                                  { CGROUP_V1, CGROUP_MEMORY, "memory.stat" } },
    [CGROUP_FILE_MEMORY_LIMIT] = { { CGROUP_V2, CGROUP_MEMORY, "memory.max" },
                                   { CGROUP_V1, CGROUP_MEMORY, "memory.limit_in_bytes" } },
    [CGROUP_FILE_MEMORY_EVENTS] = { { CGROUP_V2, CGROUP_MEMORY, "memory.events" },
                                    { CGROUP_V1, CGROUP_MEMORY, "memory.oom_control" } },
    [CGROUP_FILE_PIDS_CURRENT] = { { CGROUP_V2, CGROUP_PIDS, "pids.current" },
                                   { CGROUP_V1, CGROUP_PIDS, "pids.current" } },
    [CGROUP_FILE_PIDS_LIMIT] = { { CGROUP_V2, CGROUP_PIDS, "pids.max" }, { CGROUP_V1, CGROUP_PIDS, "pids.max" } },
};

typedef struct Counter {
    CgroupCounter counter;
    CgroupController controller; /* read only if this one is in VERSION; _CGROUP_CONTROLLER_MAX: always */
    CgroupVersion version;
    CgroupUsageFile file;
    const char *key; /* NULL: the file is one number */
    uint64_t divisor;
} Counter;

#define ALWAYS _CGROUP_CONTROLLER_MAX, CGROUP_V2

static const Counter counters[] = {
    /* clang-format off */
    { CGROUP_CPU_USAGE_USEC,        ALWAYS,                   CGROUP_FILE_CPU_STAT,       "usage_usec",     1 },
    { CGROUP_CPU_USER_USEC,         ALWAYS,                   CGROUP_FILE_CPU_STAT,       "user_usec",      1 },
    { CGROUP_CPU_SYSTEM_USEC,       ALWAYS,                   CGROUP_FILE_CPU_STAT,       "system_usec",    1 },
    { CGROUP_CPU_THROTTLED_USEC,    CGROUP_CPU,    CGROUP_V2, CGROUP_FILE_CPU_STAT,       "throttled_usec", 1 },
    { CGROUP_CPU_THROTTLED_USEC,    CGROUP_CPU,    CGROUP_V1, CGROUP_FILE_CPU_STAT_V1,    "throttled_time", 1000 },
    { CGROUP_CPU_THROTTLED_PERIODS, CGROUP_CPU,    CGROUP_V2, CGROUP_FILE_CPU_STAT,       "nr_throttled",   1 },
    { CGROUP_CPU_THROTTLED_PERIODS, CGROUP_CPU,    CGROUP_V1, CGROUP_FILE_CPU_STAT_V1,    "nr_throttled",   1 },
    { CGROUP_MEMORY_CURRENT,        CGROUP_MEMORY, CGROUP_V2, CGROUP_FILE_MEMORY_CURRENT, NULL,             1 },
    { CGROUP_MEMORY_CURRENT,        CGROUP_MEMORY, CGROUP_V1, CGROUP_FILE_MEMORY_CURRENT, NULL,             1 },
    { CGROUP_MEMORY_PEAK,           CGROUP_MEMORY, CGROUP_V2, CGROUP_FILE_MEMORY_PEAK,    NULL,             1 },
    { CGROUP_MEMORY_PEAK,           CGROUP_MEMORY, CGROUP_V1, CGROUP_FILE_MEMORY_PEAK,    NULL,             1 },
    { CGROUP_MEMORY_ANON,           CGROUP_MEMORY, CGROUP_V2, CGROUP_FILE_MEMORY_STAT,    "anon",           1 },
    { CGROUP_MEMORY_ANON,           CGROUP_MEMORY, CGROUP_V1, CGROUP_FILE_MEMORY_STAT,    "total_rss",      1 },
    { CGROUP_MEMORY_FILE,           CGROUP_MEMORY, CGROUP_V2, CGROUP_FILE_MEMORY_STAT,    "file",           1 },
    { CGROUP_MEMORY_FILE,           CGROUP_MEMORY, CGROUP_V1, CGROUP_FILE_MEMORY_STAT,    "total_cache",    1 },
    { CGROUP_MEMORY_LIMIT,          CGROUP_MEMORY, CGROUP_V2, CGROUP_FILE_MEMORY_LIMIT,   NULL,             1 },
    { CGROUP_MEMORY_LIMIT,          CGROUP_MEMORY, CGROUP_V1, CGROUP_FILE_MEMORY_LIMIT,   NULL,             1 },
    { CGROUP_MEMORY_OOM_KILL,       CGROUP_MEMORY, CGROUP_V2, CGROUP_FILE_MEMORY_EVENTS,  "oom_kill",       1 },
    { CGROUP_MEMORY_OOM_KILL,       CGROUP_MEMORY, CGROUP_V1, CGROUP_FILE_MEMORY_EVENTS,  "oom_kill",       1 },
    { CGROUP_PIDS_CURRENT,          CGROUP_PIDS,   CGROUP_V2, CGROUP_FILE_PIDS_CURRENT,   NULL,             1 },
    { CGROUP_PIDS_CURRENT,          CGROUP_PIDS,   CGROUP_V1, CGROUP_FILE_PIDS_CURRENT,   NULL,             1 },
    { CGROUP_PIDS_LIMIT,            CGROUP_PIDS,   CGROUP_V2, CGROUP_FILE_PIDS_LIMIT,     NULL,             1 },
    { CGROUP_PIDS_LIMIT,            CGROUP_PIDS,   CGROUP_V1, CGROUP_FILE_PIDS_LIMIT,     NULL,             1 },
    /* clang-format on */
};

static const struct {
    const char *name;
    CgroupController controller; /* without which it is unknown */
} counter_info[_CGROUP_COUNTER_MAX] = {
    [CGROUP_CPU_USAGE_USEC] = { "cpu.usageUsec", CGROUP_CPU },
    [CGROUP_CPU_USER_USEC] = { "cpu.userUsec", CGROUP_CPU },
    [CGROUP_CPU_SYSTEM_USEC] = { "cpu.systemUsec", CGROUP_CPU },
    [CGROUP_CPU_THROTTLED_USEC] = { "cpu.throttledUsec", CGROUP_CPU },
    [CGROUP_CPU_THROTTLED_PERIODS] = { "cpu.throttledPeriods", CGROUP_CPU },
    [CGROUP_MEMORY_CURRENT] = { "memory.current", CGROUP_MEMORY },
    [CGROUP_MEMORY_PEAK] = { "memory.peak", CGROUP_MEMORY },
    [CGROUP_MEMORY_ANON] = { "memory.anon", CGROUP_MEMORY },
    [CGROUP_MEMORY_FILE] = { "memory.file", CGROUP_MEMORY },
    [CGROUP_MEMORY_LIMIT] = { "memory.limit", CGROUP_MEMORY },
    [CGROUP_MEMORY_OOM_KILL] = { "memory.oomKill", CGROUP_MEMORY },
    [CGROUP_PIDS_CURRENT] = { "pids.current", CGROUP_PIDS },
    [CGROUP_PIDS_LIMIT] = { "pids.limit", CGROUP_PIDS },
};

const char *cgroup_counter_name(CgroupCounter c) {
    return counter_info[c].name;
}

/* An fd of the file, opened by the first who asks; negative errno if there is none. */
static int usage_fd(CgroupGroup *g, CgroupUsageFile file) {
    int *fd = &g->usage_fds[file];
    if (*fd != -EBADF)
        return *fd;
    for (size_t i = 0; i < 2; i++) {
        const UsageFile *f = &usage_files[file][i];
        bool always = f->controller == _CGROUP_CONTROLLER_MAX;
        if (!f->name || (!always && g->hierarchies->versions[f->controller] != f->version))
            continue;
        int dir_fd = always ? g->fd : cgroup_group_controller_fd(g, f->controller);
        if (dir_fd < 0)
            return *fd = dir_fd;
        *fd = openat(dir_fd, f->name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
        /* what has no file has none later either; anything else may pass */
        if (*fd < 0 && errno == ENOENT)
            *fd = -ENOENT;
        else if (*fd < 0) {
            *fd = -EBADF;
            return -errno;
        }
        return *fd;
    }
    return *fd = -ENODEV;
}

static const char *extract(const Counter *c, const char *text, uint64_t *ret) {
    int r = c->key ? cgroup_file_keyed(text, c->key, ret) : cgroup_file_number(text, ret);
    if (r == -ERANGE)
        return REASON_NO_LIMIT;
    if (r < 0)
        return REASON_KERNEL;
    if (c->counter == CGROUP_MEMORY_LIMIT && c->version == CGROUP_V1 && *ret >= V1_MEMORY_NONE)
        return REASON_NO_LIMIT;
    *ret /= c->divisor;
    return NULL;
}

/* Every counter that this group has in the file. */
static void read_one_file(CgroupGroup *g, CgroupUsageFile file, CgroupUsage *u) {
    char text[CGROUP_FILE_MAX];
    int fd = usage_fd(g, file);
    ssize_t n = fd < 0 ? fd : cgroup_file_pread(fd, text, sizeof(text));
    const char *failure = n >= 0 ? NULL : n == -ENODEV ? REASON_GONE : REASON_KERNEL;
    for (size_t i = 0; i < ELEMENTSOF(counters); i++) {
        const Counter *c = &counters[i];
        bool here = c->controller == _CGROUP_CONTROLLER_MAX || g->hierarchies->versions[c->controller] == c->version;
        if (c->file != file || !here)
            continue;
        uint64_t value = CGROUP_UNKNOWN;
        const char *reason = failure ? failure : extract(c, text, &value);
        u->values[c->counter] = reason ? CGROUP_UNKNOWN : value;
        u->reasons[c->counter] = reason;
    }
}

void cgroup_usage_read(CgroupGroup *g, CgroupUsage *ret) {
    CgroupUsage u;
    for (size_t i = 0; i < _CGROUP_COUNTER_MAX; i++) {
        const char *missing = cgroup_hierarchies_missing(g->hierarchies, counter_info[i].controller);
        u.values[i] = CGROUP_UNKNOWN;
        u.reasons[i] = missing ? missing : REASON_KERNEL;
    }
    for (size_t file = 0; file < _CGROUP_USAGE_FILE_MAX; file++)
        read_one_file(g, file, &u);
    *ret = u;
}
