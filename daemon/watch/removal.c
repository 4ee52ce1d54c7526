/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Finding one process by number, so that it cannot be another one, and killing it and what descends from it.
 *
 * A number names a process only as long as that process has not been reaped. So the pidfd is opened first, then all that
 * makes the process the right one is read again, and last of all the pidfd is asked whether the number is still its own:
 * what was read between was read of that process. Whatever a number is given to meanwhile, a signal goes to the one that
 * was checked, or nowhere.
 *
 * Membership is that of cgroup2 alone, where a process stays until its last thread has ended: v1 shows one whose first
 * thread has ended at the top, and an intruder can arrange for that.
 */

#include "watch/removal.h"

#include "util/paths.h"
#include "util/process.h"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#define STATUS_MAX 65536U
/* One more attempt at emptying a group, for what was put into it after the last. */
#define EMPTY_SLICE_USEC 200000U
#define PASSES_MAX       64U

static uint64_t now_usec(void) {
    struct timespec t;
    (void) clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t) t.tv_sec * 1000000U + (uint64_t) t.tv_nsec / 1000U;
}

static uint64_t left_of(uint64_t start, uint64_t timeout_usec) {
    uint64_t passed = now_usec() - start;
    return passed < timeout_usec ? timeout_usec - passed : 0;
}

/* ---- what /proc says of a number ---- */

static int read_file(pid_t pid, const char *name, char **ret) {
    char path[64];
    (void) snprintf(path, sizeof(path), "/proc/%d/%s", (int) pid, name);
    size_t size;
    return path_read_file_at(AT_FDCWD, path, 0, STATUS_MAX, ret, &size);
}

static const char *status_field(const char *status, const char *key) {
    size_t n = strlen(key);
    for (const char *line = status; line; line = strchr(line, '\n')) {
        line += *line == '\n';
        if (strncmp(line, key, n) == 0 && line[n] == ':')
            return line + n + 1;
    }
    return NULL;
}

/* The pids in NSpid, from the namespace of our /proc inwards; returns how many. Written to RET is the innermost. */
static unsigned status_ns_pid(const char *status, pid_t *ret) {
    const char *value = status_field(status, "NSpid");
    unsigned n = 0;
    while (value) {
        char *end;
        long pid = strtol(value, &end, 10);
        if (end == value || *value == '\n')
            break;
        *ret = (pid_t) pid;
        n++;
        if (*end != '\t' && *end != ' ')
            break;
        value = end;
    }
    return n;
}

/* In GROUP on cgroup2, or in one below it. */
static bool is_member(const CgroupGroup *group, pid_t pid) {
    _cleanup_free_ char *text = NULL;
    const char *path = cgroup_group_path(group);
    size_t n = strlen(path);
    if (read_file(pid, "cgroup", &text) < 0)
        return false;
    for (const char *line = text; line; line = strchr(line, '\n')) {
        line += *line == '\n';
        if (strncmp(line, "0::", 3) == 0)
            return strncmp(line + 3, path, n) == 0 && (line[3 + n] == '\n' || line[3 + n] == '/');
    }
    return false;
}

static bool same_pid_namespace(pid_t a, pid_t b) {
    char path[2][40];
    struct stat s[2];
    (void) snprintf(path[0], sizeof(path[0]), "/proc/%d/ns/pid", (int) a);
    (void) snprintf(path[1], sizeof(path[1]), "/proc/%d/ns/pid", (int) b);
    return stat(path[0], &s[0]) == 0 && stat(path[1], &s[1]) == 0 && s[0].st_dev == s[1].st_dev &&
           s[0].st_ino == s[1].st_ino;
}

/* ---- the process that was meant ---- */

/* Is STATUS that of the process that the container knows as PID? Nested pid namespaces have numbers of their own. */
static bool is_pid(const char *status, pid_t pid, unsigned level) {
    pid_t found = 0;
    return status_ns_pid(status, &found) == level && found == pid;
}

static bool is_meant(pid_t host_pid, pid_t first_pid, pid_t pid, unsigned level) {
    _cleanup_free_ char *status = NULL;
    return read_file(host_pid, "status", &status) >= 0 && is_pid(status, pid, level) &&
           same_pid_namespace(host_pid, first_pid);
}

/* -ESRCH: none in the group, -ESTALE: the number is another's by now. */
static int open_checked(const CgroupGroup *group, pid_t first_pid, pid_t host_pid, const RemovalTarget *t,
                        unsigned level) {
    _cleanup_fd_ int pidfd = process_pidfd_open(host_pid);
    if (pidfd < 0)
        return -ESRCH;
    uint64_t start_time;
    if (t->start_time > 0 && (process_start_time(host_pid, &start_time) < 0 || start_time != t->start_time))
        return -ESTALE;
    if (level > 0 && !is_meant(host_pid, first_pid, t->pid, level))
        return -ESRCH;
    if (!is_member(group, host_pid) || process_pidfd_pid(pidfd) != host_pid)
        return -ESRCH;
    return TAKE_FD(pidfd);
}

static int open_by_inner_pid(CgroupGroup *group, pid_t first_pid, const RemovalTarget *t, pid_t *ret_host_pid) {
    _cleanup_free_ char *first = NULL;
    _cleanup_free_ pid_t *pids = NULL;
    pid_t ignored;
    size_t n;
    if (read_file(first_pid, "status", &first) < 0)
        return -ESRCH;
    unsigned level = status_ns_pid(first, &ignored);
    int r = cgroup_group_pids(group, &pids, &n);
    if (r < 0)
        return r == -ENODEV ? -ESRCH : r;
    int result = -ESRCH;
    for (size_t i = 0; i < n; i++) {
        _cleanup_free_ char *status = NULL;
        if (read_file(pids[i], "status", &status) < 0 || !is_pid(status, t->pid, level))
            continue;
        r = open_checked(group, first_pid, pids[i], t, level);
        if (r >= 0)
            *ret_host_pid = pids[i];
        if (r != -ESRCH)
            return r;
    }
    return result;
}

static int open_target(CgroupGroup *group, pid_t first_pid, const RemovalTarget *t, pid_t *ret_host_pid) {
    if (t->host_pid <= 0)
        return open_by_inner_pid(group, first_pid, t, ret_host_pid);
    *ret_host_pid = t->host_pid;
    return open_checked(group, first_pid, t->host_pid, t, 0);
}

int removal_open(CgroupGroup *group, pid_t first_pid, const RemovalTarget *target, pid_t *ret_host_pid) {
    int r = open_target(group, first_pid, target, ret_host_pid);
    return r == -ESTALE ? -ESRCH : r;
}

/* ---- it and its descendants ---- */

typedef struct Victim {
    pid_t pid;
    int pidfd;
} Victim;

typedef struct Victims {
    Victim *items;
    size_t n, room;
} Victims;

static void victims_done(Victims *v) {
    for (size_t i = 0; i < v->n; i++)
        (void) fd_close(v->items[i].pidfd);
    free(v->items);
}

static int victims_add(Victims *v, pid_t pid, int consume_pidfd) {
    if (v->n == v->room) {
        size_t room = v->room > 0 ? 2 * v->room : 16;
        Victim *items = reallocarray(v->items, room, sizeof(Victim));
        if (!items) {
            (void) fd_close(consume_pidfd);
            return -ENOMEM;
        }
        v->items = items;
        v->room = room;
    }
    v->items[v->n++] = (Victim){ pid, consume_pidfd };
    return 0;
}

static bool victims_have(const Victims *v, pid_t pid) {
    for (size_t i = 0; i < v->n; i++)
        if (v->items[i].pid == pid)
            return true;
    return false;
}

static pid_t parent_of(pid_t pid) {
    _cleanup_free_ char *status = NULL;
    const char *value = read_file(pid, "status", &status) < 0 ? NULL : status_field(status, "PPid");
    return value ? (pid_t) strtol(value, NULL, 10) : 0;
}

/* PID's parent is one of V's, which keep their numbers by their pidfds: not reaped, or the pid would have another parent. */
static int add_child(CgroupGroup *group, Victims *v, pid_t pid, bool stop) {
    _cleanup_fd_ int pidfd = process_pidfd_open(pid);
    if (pidfd < 0 || !victims_have(v, parent_of(pid)) || !is_member(group, pid) || process_pidfd_pid(pidfd) != pid)
        return 0;
    if (stop)
        (void) process_pidfd_signal(pidfd, SIGSTOP);
    int r = victims_add(v, pid, TAKE_FD(pidfd));
    return r < 0 ? r : 1;
}

/* Returns how many it found. */
static int add_children(const Removal *r, Victims *v, bool stop) {
    _cleanup_free_ pid_t *pids = NULL;
    size_t n;
    int added = 0, k = cgroup_group_pids(r->group, &pids, &n);
    if (k < 0)
        return k;
    for (size_t i = 0; i < n; i++) {
        if (pids[i] == r->first_pid || victims_have(v, pids[i]))
            continue;
        k = add_child(r->group, v, pids[i], stop);
        if (k < 0)
            return k;
        added += k;
    }
    return added;
}

/* Whole generations, until one adds nothing. What would not freeze is stopped one by one, so that it forks no more. */
static int add_descendants(const Removal *r, Victims *v, bool frozen) {
    if (!frozen)
        (void) process_pidfd_signal(v->items[0].pidfd, SIGSTOP);
    for (unsigned pass = 0; pass < PASSES_MAX; pass++) {
        int added = add_children(r, v, !frozen);
        if (added <= 0)
            return added;
    }
    return 0;
}

/* ---- dying ---- */

/* 1: it has ended. */
static int await_end(int pidfd, uint64_t timeout_usec) {
    struct pollfd p = { .fd = pidfd, .events = POLLIN };
    int n;
    do
        n = poll(&p, 1, (int) ((timeout_usec + 999) / 1000));
    while (n < 0 && errno == EINTR);
    return n;
}

static bool read_channel(pid_t pid, const char *task, char *ret, size_t size) {
    char name[48];
    _cleanup_free_ char *text = NULL;
    (void) snprintf(name, sizeof(name), "task/%.16s/wchan", task);
    if (read_file(pid, name, &text) < 0 || !*text || strcmp(text, "0") == 0)
        return false;
    (void) snprintf(ret, size, "%.*s", (int) strcspn(text, "\n"), text);
    return true;
}

/* Of the first thread that waits for something: which one it is that hangs cannot be told from outside. */
static void describe_wait(pid_t pid, char *ret, size_t size) {
    char path[40];
    (void) snprintf(path, sizeof(path), "/proc/%d/task", (int) pid);
    DIR *d = opendir(path);
    if (!d)
        return;
    for (struct dirent *e; (e = readdir(d));)
        if (e->d_name[0] != '.' && read_channel(pid, e->d_name, ret, size))
            break;
    (void) closedir(d);
}

static void await_all(const Victims *v, uint64_t start, uint64_t timeout_usec, Receipt *receipt) {
    receipt->outcome = RECEIPT_DEAD;
    for (size_t i = 0; i < v->n; i++) {
        if (await_end(v->items[i].pidfd, left_of(start, timeout_usec)) == 1 || receipt->outcome == RECEIPT_DYING)
            continue;
        receipt->outcome = RECEIPT_DYING;
        describe_wait(v->items[i].pid, receipt->wait_channel, sizeof(receipt->wait_channel));
    }
}

/* ---- the whole of it ---- */

/* Also when freezing did not succeed: then it was begun. */
static void thaw(const Removal *r) {
    if (!r->frozen)
        (void) cgroup_group_freeze(r->group, false, r->timeout_usec);
}

/* While nothing in the container moves. Positive: there is something to wait for. */
static int kill_frozen(const Removal *r, const RemovalTarget *target, bool frozen, Victims *v, Receipt *receipt) {
    pid_t host_pid = 0;
    int pidfd = open_target(r->group, r->first_pid, target, &host_pid);
    if (pidfd < 0 && target->start_time > 0 && (pidfd == -ESRCH || pidfd == -ESTALE)) {
        receipt->outcome = RECEIPT_GONE;
        return 0;
    }
    if (pidfd < 0)
        return pidfd;
    receipt->host_pid = host_pid;
    int k = victims_add(v, host_pid, pidfd);
    if (k < 0)
        return k;
    if (host_pid == r->first_pid) {
        receipt->outcome = RECEIPT_SPARED;
        return 0;
    }
    if (await_end(pidfd, 0) == 1) {
        receipt->outcome = RECEIPT_GONE;
        return 0;
    }
    if (r->evidence)
        r->evidence(r->userdata, host_pid, pidfd);
    k = r->descendants ? add_descendants(r, v, frozen) : 0;
    if (k < 0) /* it was to be all of them; the one that was found is not spared for that */
        k = 0;
    for (size_t i = 0; i < v->n; i++)
        receipt->processes += process_pidfd_signal(v->items[i].pidfd, SIGKILL) >= 0;
    return 1;
}

static pid_t inner_pid(pid_t host_pid) {
    _cleanup_free_ char *status = NULL;
    pid_t pid = 0;
    return read_file(host_pid, "status", &status) >= 0 && status_ns_pid(status, &pid) > 0 ? pid : 0;
}

int removal_run(const Removal *r, const RemovalTarget *target, Receipt *ret, Error *reason) {
    uint64_t start = now_usec();
    _cleanup_(victims_done) Victims v = { 0 };
    Receipt receipt = { .pid = target->pid, .host_pid = target->host_pid };
    bool frozen = r->frozen || cgroup_group_freeze(r->group, true, r->timeout_usec) >= 0;
    if (receipt.pid <= 0 && target->host_pid > 0)
        receipt.pid = inner_pid(target->host_pid);
    int k = kill_frozen(r, target, frozen, &v, &receipt);
    thaw(r);
    if (k < 0)
        return error_failed(reason, -k, "kill", "the process cannot be found in the container: %s", strerror(-k));
    if (k > 0)
        await_all(&v, now_usec(), r->timeout_usec, &receipt);
    receipt.duration_usec = now_usec() - start;
    *ret = receipt;
    return 0;
}

static void describe_rest(CgroupGroup *group, Receipt *receipt) {
    _cleanup_free_ pid_t *pids = NULL;
    size_t n = 0;
    receipt->outcome = RECEIPT_DYING;
    if (cgroup_group_pids(group, &pids, &n) >= 0)
        for (size_t i = 0; i < n && !receipt->wait_channel[0]; i++)
            describe_wait(pids[i], receipt->wait_channel, sizeof(receipt->wait_channel));
}

int removal_run_all(CgroupGroup *group, uint64_t timeout_usec, Receipt *ret, Error *reason) {
    uint64_t start = now_usec(), left = timeout_usec;
    _cleanup_free_ pid_t *pids = NULL;
    size_t n = 0;
    Receipt receipt = { .outcome = RECEIPT_DEAD };
    if (cgroup_group_pids(group, &pids, &n) >= 0)
        receipt.processes = (unsigned) n;
    int r;
    do {
        r = cgroup_group_empty(group, left < EMPTY_SLICE_USEC ? left : EMPTY_SLICE_USEC, reason);
        left = left_of(start, timeout_usec);
    } while (r == -EBUSY && left > 0);
    if (r == -EBUSY)
        describe_rest(group, &receipt);
    else if (r < 0)
        return r;
    if (reason)
        *reason = ERROR_INIT;
    receipt.duration_usec = now_usec() - start;
    *ret = receipt;
    return 0;
}
