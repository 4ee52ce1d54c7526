/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The views of which processes there are, held against each other: cgroup.procs, the list of /proc, each number by
 * itself, and what the kernel's own counter of the cgroup's tasks says. They are made from different lists in the kernel:
 * who hides from one has to hide from all.
 */

#include "cgroup/usage.h"
#include "util/process.h"
#include "watch/look.h"

#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/stat.h>

#define SURPLUS_SAMPLES 5U
/* Numbers that are asked for in one look: all of them within a minute, but at no more than a few milliseconds: on a host
 * that has given more than half a million, in as many looks as it takes; of 4,194,304 in nine minutes. */
#define NUMBERS_MIN    2048U
#define NUMBERS_MAX    8192U
#define NUMBERS_MINUTE 60U
#define NUMBERS_BEYOND 1024 /* above the highest that was ever listed */
#define BATCH          64U  /* for whom one more list is made */

/* ---- one list against another ---- */

size_t look_missing(const pid_t *all, size_t n_all, const pid_t *listed, size_t n_listed, pid_t *ret) {
    size_t at = 0, n = 0;
    for (size_t i = 0; i < n_all; i++) {
        while (at < n_listed && listed[at] < all[i])
            at++;
        if (at == n_listed || listed[at] != all[i])
            ret[n++] = all[i];
    }
    return n;
}

static LookProcess *process_of(WatchSubject *s, pid_t pid) {
    for (size_t i = 0; i < s->memory->processes.n; i++)
        if (s->memory->processes.items[i].pid == pid)
            return &s->memory->processes.items[i];
    return NULL;
}

static bool is_alive(int pidfd) {
    struct pollfd p = { .fd = pidfd, .events = POLLIN };
    return pidfd >= 0 && poll(&p, 1, 0) == 0;
}

/* Were not in the first list: born since, or hidden. The pidfds are older than the second list, and the processes outlive
 * it. HIDDEN: of each, set. */
static void check_hidden(LookHost *h, const pid_t *pids, size_t n, bool *hidden) {
    int pidfds[BATCH];
    LookPids again = { 0 };
    for (size_t i = 0; i < n; i++)
        pidfds[i] = process_pidfd_open(pids[i]);
    int r = look_list(h, &again);
    for (size_t i = 0; i < n; i++) {
        hidden[i] = r >= 0 && pidfds[i] >= 0 && !look_has(&again, pids[i]) && is_alive(pidfds[i]) &&
                    process_pidfd_pid(pidfds[i]) == pids[i];
        (void) fd_close(pidfds[i]);
    }
    free(again.items);
}

static void tell_hidden(WatchSubject *s, pid_t pid) {
    LookProcess *p = process_of(s, pid);
    if (p && p->hidden)
        return;
    bool told = look_tell(s, FINDING_HIDDEN_PROCESS, FINDING_HIGH, pid,
                          "A process is in the container's cgroup and answers to its number, and /proc does not "
                          "list it: something in the kernel hides it.");
    if (p)
        p->hidden = told;
}

/* Members that /proc does not list. */
static void check_listed(LookHost *h, WatchSubject *s, const pid_t *pids, size_t n) {
    _cleanup_free_ pid_t *missing = calloc(n + 1, sizeof(pid_t));
    _cleanup_free_ pid_t *still = calloc(n + 1, sizeof(pid_t));
    if (!missing || !still)
        return;
    size_t n_missing = look_missing(pids, n, h->listed.items, h->listed.n, missing);
    const LookPids *again = n_missing > 0 ? look_list_again(h) : NULL;
    size_t n_still = again ? look_missing(missing, n_missing, again->items, again->n, still) : 0;
    for (size_t at = 0; at < n_still; at += BATCH) {
        size_t count = n_still - at < BATCH ? n_still - at : BATCH;
        bool hidden[BATCH];
        check_hidden(h, still + at, count, hidden);
        for (size_t i = 0; i < count; i++)
            if (hidden[i])
                tell_hidden(s, still[at + i]);
    }
}

/* ---- the kernel's count ---- */

bool look_surplus(LookSurplus *s, uint64_t current, uint64_t tasks) {
    uint64_t surplus = current > tasks ? current - tasks : 0;
    s->looks = surplus > 0 && surplus == s->last ? s->looks + 1 : surplus > 0;
    s->last = surplus;
    if (surplus == 0)
        s->told = false;
    return s->looks >= LOOK_SURPLUS_LOOKS && !s->told;
}

static uint64_t count_lines(CgroupGroup *g) {
    char buffer[16384];
    uint64_t lines = 0;
    _cleanup_fd_ int fd = openat(cgroup_group_fd(g), "cgroup.threads", O_RDONLY | O_CLOEXEC);
    ssize_t n;
    while (fd >= 0 && (n = read(fd, buffer, sizeof(buffer))) > 0)
        for (ssize_t i = 0; i < n; i++)
            lines += buffer[i] == '\n';
    return lines;
}

/* Threads of a process, those that have ended and are not gone included. */
static uint64_t count_tasks(const LookHost *h, pid_t pid) {
    char name[32];
    struct stat st;
    (void) snprintf(name, sizeof(name), "%d/task", (int) pid);
    return fstatat(h->proc_fd, name, &st, 0) == 0 && st.st_nlink > 2 ? st.st_nlink - 2 : 0;
}

/* Also of those that cgroup.procs leaves out because they have ended, as /proc lists them. */
static uint64_t count_all_tasks(LookHost *h, WatchSubject *s, const pid_t *pids, size_t n) {
    uint64_t tasks = 0;
    LookPids l = { 0 };
    if (look_list(h, &l) < 0)
        return UINT64_MAX;
    for (size_t i = 0, at = 0; i < l.n; i++) {
        char name[16];
        struct stat st;
        while (at < n && pids[at] < l.items[i])
            at++;
        bool member = at < n && pids[at] == l.items[i];
        (void) snprintf(name, sizeof(name), "%d", (int) l.items[i]);
        if (!member && (fstatat(h->proc_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0 || st.st_uid < s->id_base ||
                        st.st_uid - s->id_base >= SANDBOX_ID_COUNT || !look_is_of(h, s, l.items[i])))
            continue;
        tasks += count_tasks(h, l.items[i]);
    }
    free(l.items);
    return tasks;
}

static uint64_t read_current(WatchSubject *s) {
    static const CgroupCounter wanted = CGROUP_PIDS_CURRENT;
    CgroupUsage usage;
    cgroup_usage_read_some(s->group, &wanted, 1, &usage);
    return usage.values[CGROUP_PIDS_CURRENT];
}

/* Processes come and go between two readings: the least of several differences is what stays. */
static void sample_surplus(LookHost *h, WatchSubject *s, const pid_t *pids, size_t n, uint64_t *ret_current,
                           uint64_t *ret_tasks) {
    uint64_t least = UINT64_MAX;
    for (unsigned i = 0; i < SURPLUS_SAMPLES && least > 0; i++) {
        uint64_t current = read_current(s), tasks = count_all_tasks(h, s, pids, n);
        if (current == CGROUP_UNKNOWN)
            tasks = current = 0;
        uint64_t surplus = current > tasks ? current - tasks : 0;
        if (surplus >= least)
            continue;
        least = surplus;
        *ret_current = current;
        *ret_tasks = tasks;
    }
}

static void check_count(LookHost *h, WatchSubject *s, const pid_t *pids, size_t n) {
    uint64_t current = read_current(s), tasks = 0;
    if (current == CGROUP_UNKNOWN)
        return;
    tasks = current > n ? count_lines(s->group) : n; /* each process has a thread at least */
    if (current > tasks)
        sample_surplus(h, s, pids, n, &current, &tasks);
    if (look_surplus(&s->memory->surplus, current, tasks))
        s->memory->surplus.told = look_tell(
            s, FINDING_HIDDEN_PROCESS, FINDING_HIGH, 0,
            "The kernel counts %llu tasks in the container's cgroup, and its lists show %llu, for %u seconds now: %llu "
            "are hidden.",
            (unsigned long long) current, (unsigned long long) tasks, LOOK_SURPLUS_LOOKS,
            (unsigned long long) (current - tasks));
}

void look_cross(LookHost *h, WatchSubject *s, const pid_t *pids, size_t n) {
    if (!watch_wants(s, FINDING_HIDDEN_PROCESS))
        return;
    check_listed(h, s, pids, n);
    check_count(h, s, pids, n);
}

/* ---- each number by itself ---- */

static WatchSubject *subject_of(const LookHost *h, WatchSubject *const *subjects, size_t n, pid_t pid) {
    for (size_t i = 0; i < n; i++)
        if (look_is_of(h, subjects[i], pid))
            return subjects[i];
    return NULL;
}

/* It answers to its number: as the first of its threads, for of the others no pidfd can be had. */
static void look_up(LookHost *h, WatchSubject *const *subjects, size_t n, const LookPids *members, pid_t pid) {
    _cleanup_fd_ int pidfd = process_pidfd_open(pid);
    if (pidfd < 0 || !is_alive(pidfd))
        return;
    const LookPids *again = look_list_again(h);
    if (!again || look_has(again, pid) || look_has(members, pid))
        return;
    bool hidden;
    check_hidden(h, &pid, 1, &hidden);
    if (!hidden)
        return;
    WatchSubject *s = subject_of(h, subjects, n, pid);
    if (s && watch_wants(s, FINDING_HIDDEN_PROCESS))
        (void) look_tell(s, FINDING_HIDDEN_PROCESS, FINDING_HIGH, pid,
                         "A process answers to its number, and neither /proc nor the container's cgroup lists it: "
                         "something in the kernel hides it.");
}

void look_up_numbers(LookHost *h, WatchSubject *const *subjects, size_t n, const LookPids *members) {
    if (h->listed.n > 0 && h->listed.items[h->listed.n - 1] > h->highest)
        h->highest = h->listed.items[h->listed.n - 1];
    pid_t end = h->highest + NUMBERS_BEYOND < h->pid_max ? h->highest + NUMBERS_BEYOND : h->pid_max;
    unsigned count = (unsigned) end / NUMBERS_MINUTE;
    count = count < NUMBERS_MIN ? NUMBERS_MIN : count > NUMBERS_MAX ? NUMBERS_MAX : count;
    for (unsigned i = 0; i < count; i++) {
        if (h->next_number > end)
            h->next_number = 1;
        pid_t pid = h->next_number++;
        if (!look_has(&h->listed, pid))
            look_up(h, subjects, n, members, pid);
    }
}
