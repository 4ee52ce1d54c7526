/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Processes of the host that are in a container's pid or user namespace, or have an id of its range, and are not in its
 * cgroup: what has got out of it so far as to leave its limits and the reach of cgroup.kill, or somebody who has entered it
 * from outside.
 *
 * /proc/PID belongs to the effective uid of the process, which is looked at of every process each time. The namespaces and
 * the other uids are read when a process is new, and again every ten seconds.
 */

#include "watch/look.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#define JUDGE_USEC 10000000ULL

typedef struct Scan {
    LookHost *h;
    WatchSubject *const *subjects;
    size_t n;
    WatchSubject **by_id; /* sorted by id_base */
} Scan;

static int compare_bases(const void *a, const void *b) {
    const WatchSubject *x = *(WatchSubject *const *) a, *y = *(WatchSubject *const *) b;
    return (x->id_base > y->id_base) - (x->id_base < y->id_base);
}

static WatchSubject *of_id(const Scan *c, uint32_t id) {
    if (id < SANDBOX_ID_COUNT) /* the host's own, whatever range a container was given */
        return NULL;
    size_t low = 0, high = c->n;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (c->by_id[middle]->id_base <= id)
            low = middle + 1;
        else
            high = middle;
    }
    WatchSubject *s = low > 0 ? c->by_id[low - 1] : NULL;
    return s && id - s->id_base < SANDBOX_ID_COUNT ? s : NULL;
}

static WatchSubject *of_namespace(const Scan *c, size_t which, uint64_t inode) {
    if (inode == 0 || inode == c->h->namespaces[which])
        return NULL;
    for (size_t i = 0; i < c->n; i++)
        if (c->subjects[i]->namespaces[which] == inode)
            return c->subjects[i];
    return NULL;
}

/* WHY: what of the container's it has. */
static WatchSubject *find_container(const Scan *c, int dir_fd, const char **why) {
    static const char *const names[] = { "the container's user namespace", "the container's pid namespace" };
    for (size_t i = 0; i < 2; i++) {
        WatchSubject *s = of_namespace(c, i, look_link_number(dir_fd, i == 0 ? "ns/user" : "ns/pid"));
        *why = names[i];
        if (s)
            return s;
    }
    char status[8192];
    LookCredentials credentials = { 0 };
    if (look_read_at(dir_fd, "status", status, sizeof(status)) < 0)
        return NULL;
    (void) look_parse_status(status, &credentials); /* ids come before anything that could make it too long */
    *why = "an id of the container's";
    for (size_t i = 0; i < 8; i++) {
        WatchSubject *s = of_id(c, credentials.ids[i]);
        if (s)
            return s;
    }
    return NULL;
}

/* Helpers of the daemon's own live for some milliseconds. */
static bool is_our_child(int dir_fd) {
    char text[1024];
    if (look_read_at(dir_fd, "stat", text, sizeof(text)) < 0)
        return false;
    const char *p = strrchr(text, ')');
    return p && strlen(p) > 4 && strtol(p + 4, NULL, 10) == (long) getpid();
}

/* All of it: when only the first thread has ended, the process is shown as a zombie too. Fields 3 and 20. */
static bool is_ended(int dir_fd) {
    char text[1024];
    if (look_read_at(dir_fd, "stat", text, sizeof(text)) < 0)
        return true;
    const char *p = strrchr(text, ')');
    if (!p || p[1] == 0)
        return true;
    bool zombie = p[2] == 'Z' || p[2] == 'X';
    for (unsigned field = 2; p && field < 20; field++) {
        p = strchr(p, ' ');
        p += p != NULL;
    }
    return zombie && (!p || strtol(p, NULL, 10) <= 1);
}

static void judge(const Scan *c, LookStranger *t) {
    const char *why;
    _cleanup_fd_ int dir_fd = look_open_living(c->h, t->pid);
    t->judged_usec = c->h->now;
    WatchSubject *s = dir_fd < 0 ? NULL : find_container(c, dir_fd, &why);
    /* in its cgroup it has ended and is not reaped, or was born after the list was read */
    if (!s || t->told || !watch_wants(s, FINDING_FOREIGN_PROCESS) || look_is_of(c->h, s, t->pid) || is_ended(dir_fd))
        return;
    if (!t->waits && is_our_child(dir_fd)) {
        t->waits = true;
        t->judged_usec = 0;
        return;
    }
    t->told = look_tell(s, FINDING_FOREIGN_PROCESS, FINDING_HIGH, t->pid,
                        "A process has %s and is not in the container's cgroup: an escape, or somebody has entered the "
                        "container from outside.",
                        why);
}

static void look_at_stranger(const Scan *c, LookStranger *t, uid_t uid) {
    if (t->judged_usec == 0 || c->h->now - t->judged_usec >= JUDGE_USEC || (!t->told && of_id(c, uid)))
        judge(c, t);
}

static void scan(const Scan *c, const LookPids *members, LookStranger *ret, size_t *ret_n) {
    LookHost *h = c->h;
    size_t at = 0, member = 0, n = 0;
    for (size_t i = 0; i < h->listed.n; i++) {
        pid_t pid = h->listed.items[i];
        char name[16];
        struct stat st;
        while (member < members->n && members->items[member] < pid)
            member++;
        if (member < members->n && members->items[member] == pid)
            continue;
        (void) snprintf(name, sizeof(name), "%d", (int) pid);
        if (fstatat(h->proc_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
            continue;
        while (at < h->n_strangers && h->strangers[at].pid < pid)
            at++;
        bool known = at < h->n_strangers && h->strangers[at].pid == pid && h->strangers[at].inode == st.st_ino;
        ret[n] = known ? h->strangers[at] : (LookStranger){ .pid = pid, .inode = st.st_ino };
        look_at_stranger(c, &ret[n++], st.st_uid);
    }
    *ret_n = n;
}

void look_at_strangers(LookHost *h, WatchSubject *const *subjects, size_t n, const LookPids *members) {
    _cleanup_free_ WatchSubject **by_id = calloc(n + 1, sizeof(WatchSubject *));
    LookStranger *strangers = calloc(h->listed.n + 1, sizeof(LookStranger));
    if (!by_id || !strangers) {
        free(strangers);
        return;
    }
    memcpy(by_id, subjects, n * sizeof(WatchSubject *));
    qsort(by_id, n, sizeof(WatchSubject *), compare_bases);
    Scan c = { h, subjects, n, by_id };
    size_t found = 0;
    scan(&c, members, strangers, &found);
    free(h->strangers);
    h->strangers = strangers;
    h->n_strangers = found;
}
