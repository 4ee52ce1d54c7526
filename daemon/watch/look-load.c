/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Fork storms, and CPU beyond what was declared.
 *
 * No counter of the kernel says how many processes a container has started. But numbers are given out in order, within
 * each pid namespace: how far that of its youngest process has moved is how many were given meanwhile, to threads too. The
 * host's own last number is read first: where that has not moved far, no container's has, and there is no more to do.
 */

#include "cgroup/usage.h"
#include "watch/look.h"

#include <string.h>

#define RESERVED_PIDS 300 /* the kernel's: a pid namespace that begins again begins there */
#define STORM_SAMPLES 32U
#define STORM_MAX     16U /* young processes that are looked at in one sample */
#define STORM_LOOKS   2U
#define BUSY_PERCENT  95U

uint64_t look_numbers_between(pid_t from, pid_t to, pid_t pid_max) {
    if (to >= from)
        return (uint64_t) (to - from);
    pid_t left = pid_max > from ? pid_max - from : 0;
    return (uint64_t) left + (uint64_t) (to > RESERVED_PIDS ? to - RESERVED_PIDS : 0);
}

/* ---- forks ---- */

void look_forks_see(LookForks *f, uint64_t start_time, pid_t inner_pid, pid_t pid_max) {
    bool younger = !f->known || start_time > f->newest_start ||
                   (start_time == f->newest_start &&
                    look_numbers_between(f->newest_pid, inner_pid, pid_max) < (uint64_t) pid_max / 2);
    if (!younger || inner_pid <= 0)
        return;
    f->known = true;
    f->newest_start = start_time;
    f->newest_pid = inner_pid;
}

bool look_forks(LookForks *f, uint64_t now, pid_t pid_max, unsigned per_second, uint64_t *ret_rate) {
    if (!f->known)
        return false;
    uint64_t given = look_numbers_between(f->previous_pid, f->newest_pid, pid_max), passed = now - f->previous_usec;
    bool first = f->previous_usec == 0;
    f->previous_pid = f->newest_pid;
    f->previous_usec = now;
    if (first || passed == 0)
        return false;
    *ret_rate = given * 1000000U / passed;
    f->looks = *ret_rate > per_second ? f->looks + 1 : 0;
    if (f->looks == 0)
        f->told = false;
    return f->looks >= STORM_LOOKS && !f->told;
}

static bool is_known(const WatchSubject *s, pid_t pid) {
    const LookProcesses *l = &s->memory->processes;
    size_t low = 0, high = l->n;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (l->items[middle].pid < pid)
            low = middle + 1;
        else
            high = middle;
    }
    return low < l->n && l->items[low].pid == pid && l->items[low].looked_usec != 0;
}

static pid_t see_one(LookHost *h, WatchSubject *s, pid_t pid) {
    char status[8192];
    LookCredentials c = { 0 };
    _cleanup_fd_ int dir_fd = look_open(h, pid);
    if (dir_fd < 0 || look_read_at(dir_fd, "status", status, sizeof(status)) < 0)
        return 0;
    (void) look_parse_status(status, &c);
    if (look_link_number(dir_fd, "ns/pid") == s->namespaces[1])
        look_forks_see(&s->memory->forks, look_start_time(dir_fd), c.inner_pid, h->pid_max);
    return pid;
}

/* Most of a storm has ended by the next look: the young ones are asked for at once, until one has been seen alive. */
static void see_young(LookHost *h, WatchSubject *s) {
    const LookForks *f = &s->memory->forks;
    for (unsigned sample = 0; sample < STORM_SAMPLES && f->newest_pid == f->previous_pid; sample++) {
        _cleanup_free_ pid_t *pids = NULL;
        size_t n, seen = 0;
        if (cgroup_group_pids(s->group, &pids, &n) < 0)
            return;
        for (size_t i = n; i > 0 && seen < STORM_MAX; i--)
            if (!is_known(s, pids[i - 1]) && see_one(h, s, pids[i - 1]) > 0)
                seen++;
    }
}

static void check_forks(LookHost *h, WatchSubject *s) {
    uint64_t rate = 0;
    LookForks *f = &s->memory->forks;
    if (h->storm)
        see_young(h, s);
    if (h->storm && f->newest_pid == f->previous_pid)
        return; /* none seen: what was started meanwhile is counted when one is, over all that time */
    if (look_forks(f, h->now, h->pid_max, h->watch->config.forks_per_second, &rate))
        f->told = look_tell(s, FINDING_FORK_STORM, FINDING_MEDIUM, 0,
                            "The container starts %llu processes and threads a second, for %u seconds now; %u are what "
                            "the configuration takes for ordinary.",
                            (unsigned long long) rate, STORM_LOOKS, h->watch->config.forks_per_second);
}

void look_at_host_load(LookHost *h) {
    char text[128];
    const char *last = look_read_at(h->proc_fd, "loadavg", text, sizeof(text)) > 0 ? strrchr(text, ' ') : NULL;
    pid_t number = last ? (pid_t) strtol(last, NULL, 10) : 0;
    uint64_t passed = h->now - h->last_usec;
    /* where it cannot be had, as if there were one */
    h->storm = !last || (h->last_usec > 0 && passed > 0 &&
                         look_numbers_between(h->last_number, number, h->pid_max) * 1000000U / passed >
                             h->watch->config.forks_per_second);
    h->last_number = number;
    h->last_usec = h->now;
}

/* ---- CPU ---- */

bool look_cpu(LookCpu *c, uint64_t now, uint64_t usage, uint64_t periods, uint64_t throttled, uint64_t quota,
              unsigned seconds) {
    LookCpu former = *c;
    uint64_t passed = now - former.time_usec, used = usage - former.usage;
    c->known = true;
    c->usage = usage;
    c->periods = periods;
    c->throttled = throttled;
    c->time_usec = now;
    if (!former.known || passed == 0 || usage < former.usage)
        return false;
    uint64_t allowed = quota / 1000U * passed / 1000U;
    bool busy = used * 100U >= allowed * BUSY_PERCENT ||
                (periods > former.periods && (throttled - former.throttled) * 2 >= periods - former.periods);
    c->busy_usec = busy ? former.busy_usec + passed : 0;
    c->told = former.told && busy;
    return c->busy_usec >= (uint64_t) seconds * 1000000U && !c->told;
}

static uint64_t known_or_0(const CgroupUsage *u, CgroupCounter c) {
    return u->values[c] == CGROUP_UNKNOWN ? 0 : u->values[c];
}

static void check_cpu(LookHost *h, WatchSubject *s) {
    static const CgroupCounter wanted[] = { CGROUP_CPU_USAGE_USEC, CGROUP_CPU_PERIODS, CGROUP_CPU_THROTTLED_PERIODS };
    uint64_t quota = atomic_load(&s->cpu_quota_per_sec_usec);
    CgroupUsage u;
    LookCpu *c = &s->memory->cpu;
    if (quota == UINT64_MAX)
        return;
    cgroup_usage_read_some(s->group, wanted, ELEMENTSOF(wanted), &u);
    if (u.values[CGROUP_CPU_USAGE_USEC] == CGROUP_UNKNOWN)
        return;
    if (look_cpu(c, h->now, u.values[CGROUP_CPU_USAGE_USEC], known_or_0(&u, CGROUP_CPU_PERIODS),
                 known_or_0(&u, CGROUP_CPU_THROTTLED_PERIODS), quota, h->watch->config.cpu_seconds))
        c->told = look_tell(s, FINDING_CPU, FINDING_LOW, 0,
                            "The container has used all the CPU time that it may (%llu.%02llu CPUs) for %llu seconds.",
                            (unsigned long long) (quota / 1000000U), (unsigned long long) (quota / 10000U % 100U),
                            (unsigned long long) (c->busy_usec / 1000000U));
}

void look_at_load(LookHost *h, WatchSubject *s) {
    if (watch_wants(s, FINDING_FORK_STORM))
        check_forks(h, s);
    if (watch_wants(s, FINDING_CPU))
        check_cpu(h, s);
}
