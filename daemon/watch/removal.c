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

#define TEXT_MAX 65536U
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

/* What says that there is no process of this number. Any other error, as that of a daemon which is out of descriptors or
 * memory, says nothing of the process: it may live. */
static bool is_gone(int r) {
    return r == -ESRCH || r == -EINVAL || r == -ENOENT;
}

static int read_file(pid_t pid, const char *name, char **ret) {
    char path[64];
    (void) snprintf(path, sizeof(path), "/proc/%d/%s", (int) pid, name);
    size_t size;
    return path_read_file_at(AT_FDCWD, path, 0, TEXT_MAX, ret, &size);
}

/* The pids in NSpid, from the namespace of our /proc inwards; returns how many. Written to RET is the innermost. */
static unsigned status_ns_pid(const char *status, pid_t *ret) {
    const char *value = process_status_field(status, "NSpid");
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

/* 1: in GROUP on cgroup2, or in one below it. 0 also if it has gone; -errno if nobody can tell. */
static int is_member(const CgroupGroup *group, pid_t pid) {
    _cleanup_free_ char *text = NULL;
    const char *path = cgroup_group_path(group);
    size_t n = strlen(path);
    int r = read_file(pid, "cgroup", &text);
    if (r < 0)
        return is_gone(r) ? 0 : r;
    for (const char *line = text; line; line = strchr(line, '\n')) {
        line += *line == '\n';
        if (strncmp(line, "0::", 3) == 0)
            return strncmp(line + 3, path, n) == 0 && (line[3 + n] == '\n' || line[3 + n] == '/');
    }
    return 0;
}

static int stat_pid_namespace(pid_t pid, struct stat *ret) {
    char path[40];
    (void) snprintf(path, sizeof(path), "/proc/%d/ns/pid", (int) pid);
    return stat(path, ret) < 0 ? -errno : 0;
}

/* As is_member(). */
static int same_pid_namespace(pid_t a, pid_t b) {
    struct stat s, t;
    int r = stat_pid_namespace(a, &s);
    if (r >= 0)
        r = stat_pid_namespace(b, &t);
    if (r < 0)
        return is_gone(r) ? 0 : r;
    return s.st_dev == t.st_dev && s.st_ino == t.st_ino;
}

/* As is_member(): what was read of PID since PIDFD was opened was read of this process, which has not been reaped. */
static int is_still(int pidfd, pid_t pid) {
    pid_t now = process_pidfd_pid(pidfd);
    if (now < 0)
        return is_gone(now) ? 0 : now;
    return now == pid;
}

/* ---- the process that was meant ---- */

/* Is STATUS that of the process that the container knows as PID? Nested pid namespaces have numbers of their own. */
static bool is_pid(const char *status, pid_t pid, unsigned level) {
    pid_t found = 0;
    return status_ns_pid(status, &found) == level && found == pid;
}

/* As is_member(). */
static int is_meant(pid_t host_pid, pid_t first_pid, pid_t pid, unsigned level) {
    _cleanup_free_ char *status = NULL;
    int r = process_status_read(host_pid, &status);
    if (r < 0)
        return is_gone(r) ? 0 : r;
    return is_pid(status, pid, level) ? same_pid_namespace(host_pid, first_pid) : 0;
}

/* 0, or -ESTALE. */
static int check_start_time(pid_t host_pid, uint64_t wanted) {
    uint64_t start_time;
    int r = process_start_time(host_pid, &start_time);
    if (r < 0)
        return is_gone(r) ? -ESTALE : r;
    return start_time == wanted ? 0 : -ESTALE;
}

/* -ESRCH: none in the group, -ESTALE: the number is another's by now. Else it may be there, and cannot be looked at. */
static int open_checked(const CgroupGroup *group, pid_t first_pid, pid_t host_pid, const RemovalTarget *t,
                        unsigned level) {
    _cleanup_fd_ int pidfd = process_pidfd_open(host_pid);
    if (pidfd < 0)
        return is_gone(pidfd) ? -ESRCH : pidfd;
    int r = t->start_time > 0 ? check_start_time(host_pid, t->start_time) : 0;
    if (r < 0)
        return r;
    r = level > 0 ? is_meant(host_pid, first_pid, t->pid, level) : 1;
    if (r > 0)
        r = is_member(group, host_pid);
    if (r > 0)
        r = is_still(pidfd, host_pid);
    if (r <= 0)
        return r < 0 ? r : -ESRCH;
    return TAKE_FD(pidfd);
}

/* 1: HOST_PID has the number that is looked for; as is_member(). */
static int has_inner_pid(pid_t host_pid, pid_t pid, unsigned level) {
    _cleanup_free_ char *status = NULL;
    int r = process_status_read(host_pid, &status);
    if (r < 0)
        return is_gone(r) ? 0 : r;
    return is_pid(status, pid, level);
}

static int open_by_inner_pid(CgroupGroup *group, pid_t first_pid, const RemovalTarget *t, pid_t *ret_host_pid) {
    _cleanup_free_ char *first = NULL;
    _cleanup_free_ pid_t *pids = NULL;
    pid_t ignored;
    size_t n;
    int r = process_status_read(first_pid, &first);
    if (r < 0)
        return is_gone(r) ? -ESRCH : r;
    unsigned level = status_ns_pid(first, &ignored);
    r = cgroup_group_pids(group, &pids, &n);
    if (r < 0)
        return r == -ENODEV ? -ESRCH : r;
    int result = -ESRCH;
    for (size_t i = 0; i < n; i++) {
        r = has_inner_pid(pids[i], t->pid, level);
        if (r < 0) /* it may be this one, or another */
            result = r;
        if (r <= 0)
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
    int missed; /* 0, or why there may be more than these */
} Victims;

static void victims_done(Victims *v) {
    for (size_t i = 0; i < v->n; i++)
        (void) fd_close(v->items[i].pidfd);
    free(v->items);
    v->items = NULL;
    v->n = v->room = 0;
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

typedef struct Member {
    pid_t parent, pid;
} Member;

static int compare_members(const void *a, const void *b) {
    const Member *x = a, *y = b;
    return x->parent != y->parent ? (x->parent > y->parent) - (x->parent < y->parent)
                                  : (x->pid > y->pid) - (x->pid < y->pid);
}

/* Who is in the group and no victim yet, by parents. */
static int list_members(const Removal *r, Victims *v, Member **ret, size_t *ret_n) {
    _cleanup_free_ pid_t *pids = NULL;
    size_t n, found = 0;
    int k = cgroup_group_pids(r->group, &pids, &n);
    if (k < 0)
        return k;
    _cleanup_free_ Member *members = calloc(n + 1, sizeof(Member));
    if (!members)
        return -ENOMEM;
    for (size_t i = 0; i < n; i++) {
        pid_t parent;
        if (pids[i] == r->first_pid || victims_have(v, pids[i]))
            continue;
        k = process_parent(pids[i], &parent);
        if (k >= 0)
            members[found++] = (Member){ parent, pids[i] };
        else if (!is_gone(k))
            v->missed = k;
    }
    if (found > 0)
        qsort(members, found, sizeof(Member), compare_members);
    *ret = TAKE_PTR(members);
    *ret_n = found;
    return 0;
}

/* The first of those whose parent is PARENT, or where it would be. */
static size_t first_child(const Member *members, size_t n, pid_t parent) {
    size_t low = 0, high = n;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (members[middle].parent < parent)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* Its parent is one of V's, which keep their numbers by their pidfds: not reaped, or it would have another parent. */
static int is_child(const Victims *v, const Member *m) {
    pid_t parent;
    int k = process_parent(m->pid, &parent);
    if (k < 0)
        return is_gone(k) ? 0 : k;
    return parent == m->parent || victims_have(v, parent);
}

/* 1: it was added. Everything about it is looked at again, as the list may be of a moment before. */
static int add_child(CgroupGroup *group, Victims *v, const Member *m, bool stop) {
    _cleanup_fd_ int pidfd = process_pidfd_open(m->pid);
    if (pidfd < 0)
        return is_gone(pidfd) ? 0 : pidfd;
    int k = is_child(v, m);
    if (k > 0)
        k = is_member(group, m->pid);
    if (k > 0)
        k = is_still(pidfd, m->pid);
    if (k <= 0)
        return k;
    if (stop)
        (void) process_pidfd_signal(pidfd, SIGSTOP);
    k = victims_add(v, m->pid, TAKE_FD(pidfd));
    return k < 0 ? k : 1;
}

/*
 * All generations that one list shows, in whatever order it has them: what is added at the end of V has its own children
 * added in turn. Returns how many; one that cannot be looked at does not spare the others.
 */
static int add_all(const Removal *r, Victims *v, bool stop) {
    _cleanup_free_ Member *members = NULL;
    size_t n = 0;
    int added = 0, k = list_members(r, v, &members, &n);
    if (k < 0)
        return k;
    for (size_t next = 0; next < v->n; next++) {
        pid_t parent = v->items[next].pid;
        for (size_t i = first_child(members, n, parent); i < n && members[i].parent == parent; i++) {
            if (i > 0 && members[i].parent == members[i - 1].parent && members[i].pid == members[i - 1].pid)
                continue; /* the kernel may list one twice */
            k = add_child(r->group, v, &members[i], stop);
            if (k < 0)
                v->missed = k;
            added += k > 0;
        }
    }
    return added;
}

/* While it is frozen one list has them all. What would not freeze is stopped one by one, so that it forks no more. */
static void add_descendants(const Removal *r, Victims *v, bool frozen) {
    int added = 1;
    if (!frozen)
        (void) process_pidfd_signal(v->items[0].pidfd, SIGSTOP);
    for (unsigned pass = 0; pass < (frozen ? 1 : PASSES_MAX) && added > 0; pass++)
        added = add_all(r, v, !frozen);
    if (added < 0)
        v->missed = added;
    else if (!frozen && added > 0 && v->missed == 0)
        v->missed = -EBUSY;
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

static pid_t inner_pid(pid_t host_pid) {
    _cleanup_free_ char *status = NULL;
    pid_t pid = 0;
    return process_status_read(host_pid, &status) >= 0 && status_ns_pid(status, &pid) > 0 ? pid : 0;
}

/* While nothing in the container moves. Positive: there is something to wait for. That not all of its descendants can be
 * found spares none of those that are: V tells. */
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
    if (receipt->pid <= 0) /* only now it is known whose that number is */
        receipt->pid = inner_pid(host_pid);
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
    if (r->descendants)
        add_descendants(r, v, frozen);
    for (size_t i = 0; i < v->n; i++)
        receipt->processes += process_pidfd_signal(v->items[i].pidfd, SIGKILL) >= 0;
    return 1;
}

int removal_run(const Removal *r, const RemovalTarget *target, Receipt *ret, Error *reason) {
    uint64_t start = now_usec();
    _cleanup_(victims_done) Victims v = { 0 };
    Receipt receipt = { .pid = target->pid, .host_pid = target->host_pid };
    bool frozen = r->frozen || cgroup_group_freeze(r->group, true, r->timeout_usec) >= 0;
    int k = kill_frozen(r, target, frozen, &v, &receipt);
    if (v.missed < 0) /* their descriptors may be the last ones, and thawing needs some */
        victims_done(&v);
    thaw(r);
    if (k < 0)
        return error_failed(reason, -k, "kill", "the process cannot be found in the container: %s", strerror(-k));
    if (v.missed < 0)
        return error_failed(reason, -v.missed, "kill",
                            "%u processes were sent SIGKILL, but others that descend from it may live on: %s",
                            receipt.processes, strerror(-v.missed));
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
