/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The look: once a second, what processes there are, by each way of asking, and what they are.
 *
 * It reads the host's /proc and the containers' cgroups, by files that the kernel makes up and that wait for nobody. What
 * is cheap is done for every process each time: one list of /proc, one list of each cgroup, and for each number the inode
 * of /proc/PID, which tells a process from its successor and shows its effective uid whoever it belongs to. What is dear
 * (credentials, namespaces, labels) is read of a new process at once and of each one in turn.
 *
 * Views are taken one after the other while processes come and go. So whatever is missing in one view is looked for
 * again in one that is taken later, before anything is told: what was born between is in the second.
 */

#include "watch/look.h"

#include "util/process.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <time.h>

#define THREADS_MAX 512U /* that are looked through for one that lives */

static const char *const namespace_files[8] = { "ns/user", "ns/pid",    "ns/mnt",  "ns/ipc",
                                                "ns/uts",  "ns/cgroup", "ns/time", "ns/net" };

static uint64_t now_usec(void) {
    struct timespec t;
    (void) clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t) t.tv_sec * 1000000U + (uint64_t) t.tv_nsec / 1000U;
}

/* ---- reading ---- */

ssize_t look_read_at(int dir_fd, const char *name, char *buffer, size_t size) {
    _cleanup_fd_ int fd = openat(dir_fd, name, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, buffer, size - 1);
    if (n < 0)
        return -errno;
    buffer[n] = 0;
    return n;
}

uint64_t look_link_number(int dir_fd, const char *name) {
    char text[64];
    ssize_t n = readlinkat(dir_fd, name, text, sizeof(text) - 1);
    if (n < 0)
        return 0;
    text[n] = 0;
    const char *number = strchr(text, '[');
    return number ? strtoull(number + 1, NULL, 10) : 0;
}

int look_open(const LookHost *h, pid_t pid) {
    char name[16];
    (void) snprintf(name, sizeof(name), "%d", (int) pid);
    int fd = openat(h->proc_fd, name, O_PATH | O_DIRECTORY | O_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

/* A thread that ends gives up its share in the namespaces before it is a zombie. */
static bool has_left(int dir_fd) {
    return look_link_number(dir_fd, "ns/net") == 0;
}

/* Threads that have ended stay where somebody traces them: there may be many of them before the first that lives. */
int look_open_thread(int dir_fd) {
    int fd = openat(dir_fd, "task", O_RDONLY | O_DIRECTORY | O_CLOEXEC), found = -ESRCH;
    DIR *d = fd < 0 ? NULL : fdopendir(fd);
    if (!d) {
        int r = -errno;
        (void) fd_close(fd);
        return r;
    }
    struct dirent *e;
    for (unsigned i = 0; found < 0 && i < THREADS_MAX && (e = readdir(d)); i++) {
        if (e->d_name[0] == '.')
            continue;
        _cleanup_fd_ int thread_fd = openat(fd, e->d_name, O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (thread_fd >= 0 && !has_left(thread_fd))
            found = TAKE_FD(thread_fd);
    }
    (void) closedir(d);
    return found;
}

int look_open_living(const LookHost *h, pid_t pid) {
    _cleanup_fd_ int dir_fd = look_open(h, pid);
    if (dir_fd < 0 || !has_left(dir_fd))
        return TAKE_FD(dir_fd);
    int fd = look_open_thread(dir_fd);
    return fd >= 0 ? fd : TAKE_FD(dir_fd);
}

bool look_is_of(const LookHost *h, const WatchSubject *s, pid_t pid) {
    char name[32], text[8192];
    size_t length = strlen(s->cgroup_path);
    (void) snprintf(name, sizeof(name), "%d/cgroup", (int) pid);
    if (look_read_at(h->proc_fd, name, text, sizeof(text)) < 0)
        return false;
    for (const char *line = text; line; line = strchr(line, '\n')) {
        line += *line == '\n';
        if (strncmp(line, "0::", 3) != 0)
            continue;
        char next = line[3 + strnlen(line + 3, length)];
        /* a blank: "(deleted)", behind which a zombie of a container that has gone is */
        return strncmp(line + 3, s->cgroup_path, length) == 0 && strchr("\n/ ", next) && next;
    }
    return false;
}

/* ---- lists ---- */

static int add_pid(LookPids *l, pid_t pid) {
    if (l->n == l->room) {
        size_t room = l->room > 0 ? 2 * l->room : 512;
        pid_t *items = reallocarray(l->items, room, sizeof(pid_t));
        if (!items)
            return -ENOMEM;
        l->items = items;
        l->room = room;
    }
    l->items[l->n++] = pid;
    return 0;
}

static int compare_pids(const void *a, const void *b) {
    pid_t x = *(const pid_t *) a, y = *(const pid_t *) b;
    return (x > y) - (x < y);
}

/* The C library's readdir() keeps a buffer, and allocates it for each list. */
static int add_entries(LookPids *l, const char *buffer, ssize_t size) {
    for (ssize_t at = 0; at < size;) {
        const struct dirent64 *e = (const void *) (buffer + at);
        at += e->d_reclen;
        char *end;
        long pid = *e->d_name >= '1' && *e->d_name <= '9' ? strtol(e->d_name, &end, 10) : 0;
        if (pid > 0 && !*end && add_pid(l, (pid_t) pid) < 0)
            return -ENOMEM;
    }
    return 0;
}

int look_list(LookHost *h, LookPids *ret) {
    char buffer[32768] __attribute__((aligned(8)));
    ret->n = 0;
    if (lseek(h->list_fd, 0, SEEK_SET) < 0)
        return -errno;
    for (;;) {
        ssize_t n = getdents64(h->list_fd, buffer, sizeof(buffer));
        if (n < 0)
            return -errno;
        if (n == 0)
            break;
        int r = add_entries(ret, buffer, n);
        if (r < 0)
            return r;
    }
    if (ret->n > 0)
        qsort(ret->items, ret->n, sizeof(pid_t), compare_pids); /* it is in order already, as kernels are today */
    return 0;
}

const LookPids *look_list_again(LookHost *h) {
    if (!h->has_again && look_list(h, &h->again) < 0)
        return NULL;
    h->has_again = true;
    return &h->again;
}

bool look_has(const LookPids *l, pid_t pid) {
    return l->n > 0 && bsearch(&pid, l->items, l->n, sizeof(pid_t), compare_pids);
}

/* ---- telling ---- */

bool look_tell(WatchSubject *s, FindingKind k, FindingSeverity severity, pid_t host_pid, const char *format, ...) {
    char text[FINDING_EVIDENCE_MAX];
    va_list ap;
    va_start(ap, format);
    (void) vsnprintf(text, sizeof(text), format, ap);
    va_end(ap);
    _cleanup_fd_ int pidfd = host_pid > 0 ? process_pidfd_open(host_pid) : -EBADF;
    if (host_pid > 0 && pidfd < 0)
        return false;
    Finding *f = finding_new(k, severity);
    if (!f)
        return false;
    if (host_pid > 0 && evidence_collect(s, host_pid, pidfd, f) < 0) {
        (void) finding_free(f);
        return false;
    }
    evidence_set(f, "%s", text);
    watch_report(s, f);
    return true;
}

/* ---- a look ---- */

/* The members of all, for those who look for who is in none. */
static void note_members(LookPids *all, const pid_t *pids, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (add_pid(all, pids[i]) < 0)
            return;
}

static void look_at_one(LookHost *h, WatchSubject *s, LookPids *all) {
    _cleanup_free_ pid_t *pids = NULL;
    size_t n = 0;
    if (!s->group || atomic_load(&s->closed) || cgroup_group_pids(s->group, &pids, &n) < 0)
        return;
    if (!s->memory)
        s->memory = calloc(1, sizeof(LookMemory));
    if (!s->memory)
        return;
    if (n > 0)
        qsort(pids, n, sizeof(pid_t), compare_pids); /* cgroup2 promises no order */
    note_members(all, pids, n);
    look_at_members(h, s, pids, n);
    look_cross(h, s, pids, n);
    look_at_load(h, s);
    look_at_network(h, s, pids, n);
    s->memory->seen = true;
}

void look_at_all(LookHost *h, WatchSubject *const *subjects, size_t n) {
    LookPids members = { 0 };
    h->now = now_usec();
    h->has_again = false;
    h->budget = LOOK_FULL_MAX;
    h->owners_usec = LOOK_OWNERS_USEC;
    if (n == 0 || look_list(h, &h->listed) < 0)
        return;
    look_at_host_load(h);
    /* who comes first has the budget: another one each time */
    size_t first = (size_t) (h->now / WATCH_LOOK_USEC) % n;
    for (size_t i = 0; i < n; i++)
        look_at_one(h, subjects[(first + i) % n], &members);
    if (members.n > 0)
        qsort(members.items, members.n, sizeof(pid_t), compare_pids);
    look_at_strangers(h, subjects, n, &members);
    look_up_numbers(h, subjects, n, &members);
    free(members.items);
}

void look_memory_free(LookMemory *m) {
    if (!m)
        return;
    free(m->processes.items);
    free(m);
}

/* ---- the host ---- */

static int open_proc(int *ret) {
    struct statfs fs;
    _cleanup_fd_ int fd = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || fstatfs(fd, &fs) < 0)
        return -errno;
    if (fs.f_type != PROC_SUPER_MAGIC)
        return -ENOTSUP;
    *ret = TAKE_FD(fd);
    return 0;
}

static void read_host(LookHost *h) {
    char text[32];
    struct stat st;
    for (size_t i = 0; i < 8; i++) {
        char name[24];
        (void) snprintf(name, sizeof(name), "self/%s", namespace_files[i]);
        h->namespaces[i] = look_link_number(h->proc_fd, name);
    }
    if (fstatat(h->proc_fd, "self/exe", &st, 0) == 0) {
        h->program_dev = st.st_dev;
        h->program_ino = st.st_ino;
    }
    h->pid_max =
        look_read_at(h->proc_fd, "sys/kernel/pid_max", text, sizeof(text)) > 0 ? (pid_t) strtol(text, NULL, 10) : 0;
    if (h->pid_max <= 300)
        h->pid_max = 32768;
    h->ticks_per_second = (uint64_t) sysconf(_SC_CLK_TCK);
}

int look_new(Watch *w, LookHost **ret) {
    LookHost *h = calloc(1, sizeof(LookHost));
    if (!h)
        return -ENOMEM;
    h->watch = w;
    h->proc_fd = h->list_fd = -EBADF;
    h->next_number = 1;
    int r = open_proc(&h->proc_fd);
    if (r >= 0)
        r = open_proc(&h->list_fd); /* whose position is its own */
    if (r < 0) {
        (void) look_free(h);
        return r;
    }
    read_host(h);
    *ret = h;
    return 0;
}

LookHost *look_free(LookHost *h) {
    if (!h)
        return NULL;
    (void) fd_close(h->proc_fd);
    (void) fd_close(h->list_fd);
    free(h->listed.items);
    free(h->again.items);
    free(h->strangers);
    free(h);
    return NULL;
}
