/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Lists of CPUs.
 *
 * A list comes from a request (limits.cpusetCpus) or from the kernel. It is parsed into a set of bits, strictly: no
 * blanks, no empty parts, no range that runs backwards, none of the kernel's own extensions ("0-31:2/4", "all").
 */

#include "cgroup/cpuset.h"

#include "cgroup/files.h"

#include <string.h>

#define CPUS_MAX 8192U /* the kernel's largest NR_CPUS */
#define WORD     64U

typedef struct CpuSet {
    uint64_t bits[CPUS_MAX / WORD];
} CpuSet;

static bool has(const CpuSet *s, unsigned cpu) {
    return s->bits[cpu / WORD] >> (cpu % WORD) & 1U;
}

/* ---- text ---- */

/* The number at *TEXT, which moves behind it. */
static int parse_cpu(const char **text, unsigned *ret) {
    const char *p = *text;
    unsigned value = 0;
    if (*p < '0' || *p > '9')
        return -EINVAL;
    for (; *p >= '0' && *p <= '9'; p++)
        if (value < CPUS_MAX) /* beyond, it only has to stay beyond */
            value = value * 10 + (unsigned) (*p - '0');
    *text = p;
    *ret = value;
    return value < CPUS_MAX ? 0 : -ERANGE;
}

/* All of TEXT but for a newline at its end. What is no list at all is -EINVAL, whatever its numbers are. */
static int parse(const char *text, CpuSet *ret) {
    *ret = (CpuSet){ 0 };
    int result = 0;
    for (const char *p = text;;) {
        unsigned first, last;
        int r = parse_cpu(&p, &first);
        last = first;
        if (r != -EINVAL && *p == '-') {
            p++;
            int q = parse_cpu(&p, &last);
            r = q == 0 ? r : q;
        }
        if (r == -EINVAL || (r == 0 && last < first))
            return -EINVAL;
        result = r < 0 ? r : result;
        for (unsigned cpu = first; r == 0 && cpu <= last; cpu++)
            ret->bits[cpu / WORD] |= 1ULL << (cpu % WORD);
        if (!*p || (p[0] == '\n' && !p[1]))
            return result;
        if (*p++ != ',')
            return -EINVAL;
    }
}

int cgroup_cpuset_normalize(const char *text, char ret[static CGROUP_CPUSET_MAX]) {
    CpuSet s;
    int r = parse(text, &s);
    if (r < 0)
        return r;
    char list[CGROUP_CPUSET_MAX];
    size_t length = 0;
    for (unsigned cpu = 0; cpu < CPUS_MAX; cpu++) {
        if (!has(&s, cpu))
            continue;
        unsigned first = cpu;
        while (cpu + 1 < CPUS_MAX && has(&s, cpu + 1))
            cpu++;
        const char *comma = length > 0 ? "," : "";
        int n = first == cpu ? snprintf(list + length, sizeof(list) - length, "%s%u", comma, cpu)
                             : snprintf(list + length, sizeof(list) - length, "%s%u-%u", comma, first, cpu);
        length += (size_t) n;
        if (length >= sizeof(list))
            return -E2BIG;
    }
    memcpy(ret, list, length + 1);
    return 0;
}

int cgroup_cpuset_contains(const char *allowed, const char *list, unsigned *ret_missing) {
    CpuSet whole, part;
    int r = parse(allowed, &whole);
    if (r >= 0)
        r = parse(list, &part);
    if (r < 0)
        return r;
    for (unsigned cpu = 0; cpu < CPUS_MAX; cpu++)
        if (has(&part, cpu) && !has(&whole, cpu)) {
            *ret_missing = cpu;
            return 0;
        }
    return 1;
}

/* ---- v1 ---- */

static const char *const inherited[] = { "cpuset.mems", "cpuset.cpus" };

static bool is_blank(const char *text) {
    return !*text || *text == '\n';
}

static int inherit(int parent_fd, int dir_fd, const char *file, bool refresh) {
    char ours[CGROUP_FILE_MAX], parents[CGROUP_FILE_MAX];
    ssize_t n = cgroup_file_read(dir_fd, file, ours, sizeof(ours));
    if (n >= 0 && !refresh && !is_blank(ours))
        return 0;
    if (n >= 0)
        n = cgroup_file_read(parent_fd, file, parents, sizeof(parents));
    if (n < 0)
        return (int) n;
    if (is_blank(parents))
        return -ENOSPC; /* what the kernel says to whoever wants in */
    int r = strcmp(ours, parents) == 0 ? 0 : cgroup_file_write(dir_fd, file, parents);
    /* fewer than before, and a container has one of those that are gone from the list: it may keep what it has */
    return r < 0 && is_blank(ours) ? r : 0;
}

int cgroup_cpuset_fill(int parent_fd, int dir_fd) {
    for (size_t i = 0; i < ELEMENTSOF(inherited); i++) {
        int r = inherit(parent_fd, dir_fd, inherited[i], false);
        if (r < 0)
            return r;
    }
    return 0;
}

int cgroup_cpuset_prepare(int parent_fd, int dir_fd) {
    for (size_t i = 0; i < ELEMENTSOF(inherited); i++) {
        int r = inherit(parent_fd, dir_fd, inherited[i], true);
        if (r < 0)
            return r;
    }
    /* saves two writes for each container; where it cannot be had cgroup_cpuset_fill() makes them */
    (void) cgroup_file_write(dir_fd, "cgroup.clone_children", "1");
    return 0;
}
