/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * One container's groups.
 *
 * cgroup2 comes first when they are made and goes last when they are removed: as long as any part of a container is
 * left its cgroup2 group is there too, and that is what a new daemon looks for. Names are used for mkdir and rmdir in a
 * directory fd of ours alone; everything else goes by the fd of the group itself.
 *
 * What blocks is cgroup_group_freeze() and cgroup_group_remove(). Waiting is by poll on cgroup.events; only rmdir,
 * about which the kernel sends no event, is tried again after short sleeps.
 */

#include "cgroup/group.h"

#include "cgroup/cpuset.h"
#include "cgroup/disks.h"
#include "cgroup/files.h"
#include "cgroup/private.h"
#include "util/paths.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#define RETRY_MIN_USEC 500U
#define RETRY_MAX_USEC 20000U
#define NESTING_MAX    16U
#define PIDS_READ_MAX  (64U * 1024U * 1024U)

/* ---- time ---- */

static uint64_t now_usec(void) {
    struct timespec t;
    (void) clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t) t.tv_sec * 1000000U + (uint64_t) t.tv_nsec / 1000U;
}

static uint64_t deadline_after(uint64_t timeout_usec) {
    uint64_t deadline;
    return __builtin_add_overflow(now_usec(), timeout_usec, &deadline) ? UINT64_MAX : deadline;
}

/* Milliseconds for poll(), rounded up; 0 when the time is over. */
static int poll_timeout(uint64_t deadline) {
    uint64_t now = now_usec();
    if (now >= deadline)
        return 0;
    uint64_t msec = (deadline - now + 999U) / 1000U;
    return msec > INT_MAX ? INT_MAX : (int) msec;
}

/* ---- making and finding ---- */

static bool id_is_valid(const char *id) {
    return *id && *id != '.' && strlen(id) <= NAME_MAX && !strchr(id, '/') && !strchr(id, '\n');
}

/* An object that owns nothing but its names yet. */
static CgroupGroup *group_new(CgroupHierarchies *h, const char *id) {
    _cleanup_(cgroup_group_freep) CgroupGroup *g = calloc(1, sizeof(CgroupGroup));
    if (!g)
        return NULL;
    g->hierarchies = h;
    g->fd = -EBADF;
    for (size_t i = 0; i < CGROUP_V1_MAX; i++)
        g->v1[i].fd = -EBADF;
    for (size_t i = 0; i < CGROUP_USAGE_FILES_MAX; i++)
        g->usage_fds[i] = -EBADF;
    for (size_t i = 0; i < CGROUP_EVENT_SOURCES_MAX; i++)
        g->event_fds[i] = -EBADF;
    atomic_init(&g->limits_changed, true);
    g->id = strdup(id);
    if (!g->id || asprintf(&g->path, "%s/%s", h->unified.path, id) < 0)
        return NULL;
    return TAKE_PTR(g);
}

static int open_directory(int parent_fd, const char *name) {
    int fd = openat(parent_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

/* Makes one directory and opens it. If only the opening fails it has been removed again. */
static int make_v2(CgroupGroup *g) {
    int parent_fd = g->hierarchies->unified.fd;
    if (mkdirat(parent_fd, g->id, 0755) < 0)
        return -errno;
    g->fd = open_directory(parent_fd, g->id);
    int r = g->fd < 0 ? g->fd : 0;
    /* Whatever the umask is: it is the container's own view of its limits, at /sys/fs/cgroup. */
    if (r >= 0 && fchmod(g->fd, 0755) < 0)
        r = -errno;
    if (r < 0)
        (void) unlinkat(parent_fd, g->id, AT_REMOVEDIR);
    return r;
}

static int make_v1(CgroupGroup *g, size_t i) {
    int parent_fd = g->hierarchies->v1[i].subtree.fd;
    if (mkdirat(parent_fd, g->id, 0755) < 0)
        return -errno;
    int r = g->v1[i].fd = open_directory(parent_fd, g->id);
    if (r >= 0 && g->hierarchies->v1[i].controllers & (1U << CGROUP_CPUSET))
        r = cgroup_cpuset_fill(parent_fd, g->v1[i].fd);
    if (r < 0)
        (void) unlinkat(parent_fd, g->id, AT_REMOVEDIR);
    return r;
}

int cgroup_group_create(CgroupHierarchies *h, const char *id, CgroupGroup **ret, Error *reterr) {
    if (!id_is_valid(id))
        return error_failed(reterr, EINVAL, "cgroup", "\"%s\" is no name for a cgroup", id);
    _cleanup_(cgroup_group_freep) CgroupGroup *g = group_new(h, id);
    if (!g)
        return error_failed(reterr, ENOMEM, "cgroup", "Out of memory");
    const char *path = g->path;
    int r = make_v2(g);
    if (r < 0)
        return error_failed(reterr, -r, "cgroup", "Cannot make the cgroup %s: %s", path, strerror(-r));
    size_t made = 0;
    while (made < h->n_v1) {
        path = h->v1[made].subtree.path;
        r = make_v1(g, made);
        if (r < 0)
            goto unwind;
        made++;
    }
    *ret = TAKE_PTR(g);
    return 0;

unwind:
    /* nothing was ever put into them, so that these cannot be busy */
    while (made-- > 0)
        (void) unlinkat(h->v1[made].subtree.fd, id, AT_REMOVEDIR);
    (void) unlinkat(h->unified.fd, id, AT_REMOVEDIR);
    return error_failed(reterr, -r, "cgroup", "Cannot make the cgroup %s/%s of cgroup v1: %s", path, id, strerror(-r));
}

int cgroup_group_open(CgroupHierarchies *h, const char *id, CgroupGroup **ret, Error *reterr) {
    if (!id_is_valid(id))
        return error_failed(reterr, EINVAL, "cgroup", "\"%s\" is no name for a cgroup", id);
    _cleanup_(cgroup_group_freep) CgroupGroup *g = group_new(h, id);
    if (!g)
        return error_failed(reterr, ENOMEM, "cgroup", "Out of memory");
    g->fd = open_directory(h->unified.fd, id);
    if (g->fd < 0)
        return error_failed(reterr, -g->fd, "cgroup", "Cannot open the cgroup %s: %s", g->path, strerror(-g->fd));
    for (size_t i = 0; i < h->n_v1; i++) {
        int r = g->v1[i].fd = open_directory(h->v1[i].subtree.fd, id);
        /* missing: the former daemon was killed while it made the group, or while it removed it */
        if (r < 0 && r != -ENOENT)
            return error_failed(reterr, -r, "cgroup", "Cannot open the cgroup %s/%s of cgroup v1: %s",
                                h->v1[i].subtree.path, id, strerror(-r));
    }
    *ret = TAKE_PTR(g);
    return 0;
}

CgroupGroup *cgroup_group_free(CgroupGroup *g) {
    if (!g)
        return NULL;
    for (size_t i = 0; i < CGROUP_EVENT_SOURCES_MAX; i++)
        fd_close(g->event_fds[i]);
    for (size_t i = 0; i < CGROUP_USAGE_FILES_MAX; i++)
        cgroup_usage_forget(g, i);
    for (size_t i = 0; i < CGROUP_V1_MAX; i++)
        fd_close(g->v1[i].fd);
    fd_close(g->fd);
    free(g->path);
    free(g->id);
    free(g);
    return NULL;
}

const char *cgroup_group_path(const CgroupGroup *g) {
    return g->path;
}

int cgroup_group_fd(const CgroupGroup *g) {
    return g->fd;
}

int cgroup_group_controller_fd(const CgroupGroup *g, CgroupController c) {
    const CgroupHierarchies *h = g->hierarchies;
    if (h->versions[c] == CGROUP_V2)
        return g->fd;
    for (size_t i = 0; i < h->n_v1; i++)
        if (h->v1[i].controllers & (1U << c))
            return g->v1[i].fd >= 0 ? g->v1[i].fd : -ENOENT;
    return -ENODEV;
}

/* ---- members ---- */

int cgroup_group_attach(CgroupGroup *g, pid_t pid, Error *reterr) {
    /* Now, when whatever disk was made for this container is there and nothing has been written to it. */
    if (g->hierarchies->versions[CGROUP_IO] == CGROUP_V1)
        cgroup_disks_start_counting(&g->hierarchies->counted_disks,
                                    cgroup_hierarchies_controller_fd(g->hierarchies, CGROUP_IO));
    char text[3 * sizeof(pid_t) + 2];
    (void) snprintf(text, sizeof(text), "%d", (int) pid);
    for (size_t i = 0; i < g->hierarchies->n_v1; i++) {
        int r = cgroup_file_write(g->v1[i].fd, "cgroup.procs", text);
        if (r < 0)
            return error_set(reterr, ERROR_HARDENING_FAILED, -r, "cgroup", "Cannot put the process into %s/%s: %s",
                             g->hierarchies->v1[i].subtree.path, g->id, strerror(-r));
    }
    return 0;
}

/* The path in the line of /proc/PID/cgroup for a hierarchy: CONTROLLER "" is cgroup2. Its length in RET_LENGTH. */
static const char *find_membership(const char *text, const char *controller, size_t *ret_length) {
    for (const char *line = text; *line;) {
        size_t length = strcspn(line, "\n");
        const char *list = memchr(line, ':', length);
        const char *path = list ? memchr(list + 1, ':', length - (size_t) (list + 1 - line)) : NULL;
        if (path) {
            char names[256];
            (void) snprintf(names, sizeof(names), "%.*s", (int) (path - list - 1), list + 1);
            if (*controller ? cgroup_file_has_word(names, controller, ',') : !*names) {
                *ret_length = length - (size_t) (path + 1 - line);
                return path + 1;
            }
        }
        line += length;
        line += *line == '\n';
    }
    return NULL;
}

/* Is the process in ROOT/ID of this hierarchy, or below it? */
static bool is_member(const char *text, const char *controller, const char *root, const char *id, Error *reason) {
    size_t length = 0;
    const char *path = find_membership(text, controller, &length);
    size_t root_length = strlen(root), id_length = strlen(id), wanted = root_length + 1 + id_length;
    if (path && length >= wanted && strncmp(path, root, root_length) == 0 && path[root_length] == '/' &&
        strncmp(path + root_length + 1, id, id_length) == 0 && (length == wanted || path[wanted] == '/'))
        return true;
    (void) error_set(reason, ERROR_HARDENING_FAILED, 0, "cgroup", "The process is in the cgroup %.*s%s%s, not in %s/%s",
                     path ? (int) length : 7, path ? path : "nowhere", *controller ? " of " : "", controller, root, id);
    return false;
}

/* Which controller tells a v1 hierarchy from the others. */
static const char *v1_label(const CgroupV1Hierarchy *v1) {
    for (size_t c = 0; c < _CGROUP_CONTROLLER_MAX; c++)
        if (v1->controllers & (1U << c))
            return cgroup_controller_v1_name(c);
    return "";
}

static int read_memberships(pid_t pid, char *text, size_t size) {
    char path[sizeof("/proc//cgroup") + 3 * sizeof(pid_t)];
    (void) snprintf(path, sizeof(path), "/proc/%d/cgroup", (int) pid);
    ssize_t n = cgroup_file_read(AT_FDCWD, path, text, size);
    return n == -ENOENT ? -ESRCH : n < 0 ? (int) n : 0;
}

int cgroup_group_holds(CgroupGroup *g, pid_t pid, Error *reason) {
    char text[2 * CGROUP_FILE_MAX];
    int r = read_memberships(pid, text, sizeof(text));
    if (r < 0)
        return r;
    const CgroupHierarchies *h = g->hierarchies;
    if (!is_member(text, "", h->unified.path, g->id, reason))
        return 0;
    for (size_t i = 0; i < h->n_v1; i++)
        if (!is_member(text, v1_label(&h->v1[i]), h->v1[i].subtree.path, g->id, reason))
            return 0;
    return 1;
}

static void check_membership(const char *text, const char *controller, const char *root, const char *id,
                             CheckList *checks) {
    char control[48], expected[CHECK_TEXT_MAX], found[CHECK_TEXT_MAX];
    size_t length = 0;
    const char *path = find_membership(text, controller, &length);
    (void) snprintf(control, sizeof(control), *controller ? "cgroup.%s" : "cgroup", controller);
    (void) snprintf(expected, sizeof(expected), "%s/%s", root, id);
    (void) snprintf(found, sizeof(found), "%.*s", path ? (int) length : 1, path ? path : "?");
    check_add(checks, control, expected, found);
}

int cgroup_group_attest(CgroupGroup *g, pid_t pid, CheckList *checks) {
    const CgroupHierarchies *h = g->hierarchies;
    char text[2 * CGROUP_FILE_MAX];
    int r = read_memberships(pid, text, sizeof(text));
    if (r < 0)
        return r;
    check_membership(text, "", h->unified.path, g->id, checks);
    for (size_t i = 0; i < h->n_v1; i++)
        check_membership(text, v1_label(&h->v1[i]), h->v1[i].subtree.path, g->id, checks);
    return 0;
}

static int read_procs(int dir_fd, char **ret) {
    _cleanup_free_ char *text = NULL;
    int r = path_read_file_at(dir_fd, "cgroup.procs", 0, PIDS_READ_MAX, &text, NULL);
    if (r < 0)
        return r;
    *ret = TAKE_PTR(text);
    return 0;
}

int cgroup_group_pids(CgroupGroup *g, pid_t **ret, size_t *ret_n) {
    _cleanup_free_ char *text = NULL;
    int r = read_procs(g->fd, &text);
    if (r < 0)
        return r;
    size_t lines = 0, n = 0;
    for (const char *p = text; *p; p++)
        lines += *p == '\n';
    _cleanup_free_ pid_t *pids = calloc(lines + 1, sizeof(pid_t));
    if (!pids)
        return -ENOMEM;
    for (char *p = text; *p;) {
        char *end;
        long pid = strtol(p, &end, 10);
        if (end == p || *end != '\n')
            return -EBADMSG;
        if (pid > 0) /* 0: in a pid namespace that we do not see */
            pids[n++] = (pid_t) pid;
        p = end + 1;
    }
    *ret = TAKE_PTR(pids);
    if (ret_n)
        *ret_n = n;
    return 0;
}

/* ---- kill, freeze, state ---- */

int cgroup_group_kill(CgroupGroup *g) {
    return cgroup_file_write(g->fd, "cgroup.kill", "1");
}

static int read_event(CgroupGroup *g, const char *key) {
    char text[CGROUP_FILE_MAX];
    uint64_t value;
    ssize_t n = cgroup_file_read(g->fd, "cgroup.events", text, sizeof(text));
    if (n < 0)
        return (int) n;
    int r = cgroup_file_keyed(text, key, &value);
    return r < 0 ? r : value != 0;
}

int cgroup_group_is_frozen(CgroupGroup *g) {
    return read_event(g, "frozen");
}

int cgroup_group_is_populated(CgroupGroup *g) {
    return read_event(g, "populated");
}

/*
 * Waits until KEY of cgroup.events is WANTED. An fd of its own: what poll() reports is relative to the last reading
 * through the same fd.
 */
static int wait_event(CgroupGroup *g, const char *key, uint64_t wanted, uint64_t deadline) {
    _cleanup_fd_ int fd = openat(g->fd, "cgroup.events", O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return -errno;
    for (;;) {
        char text[CGROUP_FILE_MAX];
        uint64_t value;
        ssize_t n = cgroup_file_pread(fd, text, sizeof(text));
        if (n < 0)
            return (int) n;
        int r = cgroup_file_keyed(text, key, &value);
        if (r < 0)
            return r;
        if (value == wanted)
            return 0;
        struct pollfd p = { .fd = fd, .events = POLLPRI };
        int timeout = poll_timeout(deadline);
        if (timeout == 0)
            return -ETIMEDOUT;
        if (poll(&p, 1, timeout) < 0 && errno != EINTR)
            return -errno;
    }
}

int cgroup_group_freeze(CgroupGroup *g, bool freeze, uint64_t timeout_usec) {
    uint64_t deadline = deadline_after(timeout_usec);
    int r = cgroup_file_write(g->fd, "cgroup.freeze", freeze ? "1" : "0");
    return r < 0 ? r : wait_event(g, "frozen", freeze, deadline);
}

/* ---- removal ---- */

static void closedirp(DIR **d) {
    if (*d)
        (void) closedir(*d);
}

/* Groups below, which a container with a writable cgroup file system or an earlier Kennel may have made. */
static void remove_children(int fd, unsigned depth) {
    int again = open_directory(fd, ".");
    _cleanup_(closedirp) DIR *d = again < 0 ? NULL : fdopendir(again);
    if (!d) {
        fd_close(again);
        return;
    }
    for (struct dirent *e; (e = readdir(d));) {
        if (e->d_type != DT_DIR || e->d_name[0] == '.')
            continue;
        if (unlinkat(fd, e->d_name, AT_REMOVEDIR) == 0 || depth == 0)
            continue;
        _cleanup_fd_ int child = open_directory(fd, e->d_name);
        if (child < 0)
            continue;
        remove_children(child, depth - 1);
        (void) unlinkat(fd, e->d_name, AT_REMOVEDIR);
    }
}

/* The kernel gives EBUSY as long as a process that has ended is not wholly gone. */
static int remove_directory(int parent_fd, const char *name, int fd, uint64_t deadline) {
    for (uint64_t pause = RETRY_MIN_USEC;;) {
        if (unlinkat(parent_fd, name, AT_REMOVEDIR) == 0 || errno == ENOENT)
            return 0;
        if (errno != EBUSY && errno != ENOTEMPTY)
            return -errno;
        if (now_usec() >= deadline)
            return -EBUSY;
        if (fd >= 0)
            remove_children(fd, NESTING_MAX);
        struct timespec t = { .tv_nsec = (long) pause * 1000 };
        (void) ppoll(NULL, 0, &t, NULL);
        pause = pause * 2 < RETRY_MAX_USEC ? pause * 2 : RETRY_MAX_USEC;
    }
}

/* 0 also if the group is gone already. */
static int kill_and_wait(CgroupGroup *g, uint64_t deadline) {
    int r = cgroup_group_kill(g);
    if (r >= 0)
        r = wait_event(g, "populated", 0, deadline);
    return r == -ENODEV || r == -ENOENT ? 0 : r;
}

int cgroup_group_empty(CgroupGroup *g, uint64_t timeout_usec, Error *reterr) {
    int r = kill_and_wait(g, deadline_after(timeout_usec));
    if (r == -ETIMEDOUT)
        return error_failed(reterr, EBUSY, "cgroup", "A process in the cgroup %s was killed but does not die", g->path);
    if (r < 0)
        return error_failed(reterr, -r, "cgroup", "Cannot kill what is in the cgroup %s: %s", g->path, strerror(-r));
    return 0;
}

int cgroup_group_remove(CgroupGroup *g, uint64_t timeout_usec, Error *reterr) {
    uint64_t deadline = deadline_after(timeout_usec);
    const CgroupHierarchies *h = g->hierarchies;
    int r = cgroup_group_empty(g, timeout_usec, reterr);
    if (r < 0)
        return r;
    for (size_t i = 0; i < h->n_v1; i++) {
        r = remove_directory(h->v1[i].subtree.fd, g->id, g->v1[i].fd, deadline);
        if (r < 0)
            return error_failed(reterr, -r, "cgroup", "Cannot remove the cgroup %s/%s of %s: %s", h->v1[i].subtree.path,
                                g->id, v1_label(&h->v1[i]), strerror(-r));
    }
    r = remove_directory(h->unified.fd, g->id, g->fd, deadline);
    if (r < 0)
        return error_failed(reterr, -r, "cgroup", "Cannot remove the cgroup %s: %s", g->path, strerror(-r));
    return 0;
}
