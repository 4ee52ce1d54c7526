/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Finding the cgroup file systems and taking our part of them.
 *
 * Mount points are looked at once; from then on there are only fds. Everything here runs before the first request.
 *
 * Two daemons may share a subtree, and the one that ends must not remove it from under the other: each holds a shared
 * lock on the directory, and only who gets the exclusive one removes it. A new daemon that has locked a directory
 * looks again whether it is still there under its name. The directory is closed to everyone but root, so that no
 * one else can take the lock.
 */

#include "cgroup/hierarchies.h"

#include "cgroup/cpuset.h"
#include "cgroup/disks.h"
#include "cgroup/files.h"
#include "cgroup/mounts.h"
#include "cgroup/private.h"
#include "util/parse.h"
#include "util/paths.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <poll.h>
#include <string.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/utsname.h>

#define KEPT_PART 3U /* of the descriptors that the process may have: for reading usage */

#define SUBTREE           "/kennel"
#define SUBTREE_DELEGATED "/containers"
#define SUPERVISOR        "/supervisor"
#define LOCK_TRIES        100
#define LOCK_WAIT_MSEC    10

static const struct {
    const char *name, *v1_name;
} controllers[_CGROUP_CONTROLLER_MAX] = {
    [CGROUP_CPU] = { "cpu", "cpu" }, [CGROUP_MEMORY] = { "memory", "memory" }, [CGROUP_PIDS] = { "pids", "pids" },
    [CGROUP_IO] = { "io", "blkio" }, [CGROUP_CPUSET] = { "cpuset", "cpuset" },
};

const char *cgroup_controller_name(CgroupController c) {
    return controllers[c].name;
}
const char *cgroup_controller_v1_name(CgroupController c) {
    return controllers[c].v1_name;
}

/* ---- one subtree ---- */

static void subtree_close(CgroupSubtree *s) {
    s->fd = fd_close(s->fd);
    s->parent_fd = fd_close(s->parent_fd);
    free(TAKE_PTR(s->name));
    free(TAKE_PTR(s->path));
}

/* Removes it if nothing is in it and no other daemon uses it. */
static void subtree_remove(CgroupSubtree *s) {
    if (s->fd >= 0 && flock(s->fd, LOCK_EX | LOCK_NB) == 0)
        (void) unlinkat(s->parent_fd, s->name, AT_REMOVEDIR);
}

/* 1 if FD is locked and still NAME's directory, 0 if another daemon has just removed it. */
static int lock_directory(int fd, int parent_fd, const char *name) {
    for (int i = 0; flock(fd, LOCK_SH | LOCK_NB) < 0; i++) {
        if (errno != EWOULDBLOCK)
            return -errno;
        if (i >= LOCK_TRIES)
            return -EBUSY;
        (void) poll(NULL, 0, LOCK_WAIT_MSEC);
    }
    struct stat ours, named;
    if (fstat(fd, &ours) < 0)
        return -errno;
    if (fstatat(parent_fd, name, &named, AT_SYMLINK_NOFOLLOW) < 0)
        return errno == ENOENT ? 0 : -errno;
    return ours.st_ino == named.st_ino && ours.st_dev == named.st_dev;
}

/*
 * Mode 0711: others may not list it, which would tell them of containers; but older kernels (6.1) look up the root
 * of a container's cgroup namespace with the rights of the container, which has to pass through.
 */
static int make_locked_directory(int parent_fd, const char *name) {
    for (int i = 0; i < LOCK_TRIES; i++) {
        if (mkdirat(parent_fd, name, 0700) < 0 && errno != EEXIST)
            return -errno;
        _cleanup_fd_ int fd = openat(parent_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (fd < 0 && errno != ENOENT)
            return -errno;
        int r = fd < 0 ? 0 : lock_directory(fd, parent_fd, name);
        if (r < 0)
            return r;
        if (r > 0)
            return fchmod(fd, 0711) < 0 ? -errno : TAKE_FD(fd);
    }
    return -EBUSY;
}

/* PATH begins with a slash, has at least one part, and is relative to the mount's root. */
static int subtree_open(CgroupSubtree *ret, int mount_fd, const char *mount_root, const char *path) {
    const char *name = strrchr(path, '/') + 1;
    _cleanup_free_ char *parent = strndup(path, (size_t) (name - path));
    _cleanup_free_ char *leaf = strdup(name), *full = NULL;
    if (!parent || !leaf || asprintf(&full, "%s%s", strcmp(mount_root, "/") == 0 ? "" : mount_root, path) < 0)
        return -ENOMEM;
    _cleanup_fd_ int parent_fd = path_make_directories_at(mount_fd, parent, 0755);
    if (parent_fd < 0)
        return parent_fd;
    int fd = make_locked_directory(parent_fd, leaf);
    if (fd < 0)
        return fd;
    *ret = (CgroupSubtree){
        .fd = fd,
        .parent_fd = TAKE_FD(parent_fd),
        .name = TAKE_PTR(leaf),
        .path = TAKE_PTR(full),
    };
    return 0;
}

/* ---- choosing a mount ---- */

/* One whose whole tree is visible rather than one of a part of it. "/.." begins what lies above our own namespace. */
static const CgroupMount *choose_mount(const CgroupMounts *mounts, bool v2, const char *controller, int *ret_fd) {
    for (int whole = 1; whole >= 0; whole--) {
        for (size_t i = 0; i < mounts->n; i++) {
            const CgroupMount *m = &mounts->items[i];
            if (m->is_v2 != v2 || (strcmp(m->root, "/") == 0) != (bool) whole || strncmp(m->root, "/..", 3) == 0)
                continue;
            if (controller && !cgroup_file_has_word(m->options, controller, ','))
                continue;
            int fd = cgroup_mount_open(m);
            if (fd < 0)
                continue;
            *ret_fd = fd;
            return m;
        }
    }
    return NULL;
}

/* ---- our own place on cgroup2 ---- */

static int read_own_path(char **ret) {
    _cleanup_free_ char *text = NULL;
    int r = path_read_file_at(AT_FDCWD, "/proc/thread-self/cgroup", 0, 1 << 20, &text, NULL);
    if (r < 0)
        return r;
    char *state = NULL;
    for (char *line = strtok_r(text, "\n", &state); line; line = strtok_r(NULL, "\n", &state)) {
        if (strncmp(line, "0::/", 4) != 0)
            continue;
        *ret = strdup(line + 3);
        return *ret ? 0 : -ENOMEM;
    }
    return -ENOENT;
}

/*
 * Did a service manager start this very process? Its variables are inherited by everything that runs in its services,
 * a login shell or a CI job, whose cgroup is not ours to arrange; systemd since 248 also says which pid it meant.
 */
static bool started_by_manager(void) {
    if (!getenv("NOTIFY_SOCKET") && !getenv("INVOCATION_ID"))
        return false;
    const char *pid = getenv("SYSTEMD_EXEC_PID");
    uint32_t value;
    return !pid || (parse_u32(pid, &value) >= 0 && value == (uint32_t) getpid());
}

/*
 * What has been delegated to us, relative to the mount's root; NULL where nothing has. *OWN is changed.
 *
 * A service's cgroup is divided only where its manager starts us below it (DelegateSubgroup=). One that starts us in it
 * would do so at the next start as well, and could not: containers live on in there, and a group whose children have
 * controllers takes no process.
 */
static char *delegated_path(char *own, const char *mount_root) {
    size_t length = strlen(own), suffix = strlen(SUPERVISOR);
    if (!started_by_manager() || length <= suffix || strcmp(own + length - suffix, SUPERVISOR) != 0)
        return NULL;
    own[length - suffix] = 0;
    if (strcmp(mount_root, "/") != 0) {
        size_t prefix = strlen(mount_root);
        if (strncmp(own, mount_root, prefix) != 0 || (own[prefix] && own[prefix] != '/'))
            return NULL;
        own += prefix;
    }
    return *own ? own : NULL;
}

/* ---- controllers ---- */

/*
 * May controllers be enabled for the children of this group? Only the root of all may have children with controllers
 * and processes. Trying it elsewhere does harm: cpu and pids can be enabled over processes, which turns the group into
 * a root of threads and makes its children unfit for any process.
 */
static bool may_enable(int dir_fd) {
    if (faccessat(dir_fd, "cgroup.type", F_OK, 0) < 0) /* which the root does not have */
        return true;
    char procs[2];
    return cgroup_file_read(dir_fd, "cgroup.procs", procs, sizeof(procs)) == 0;
}

/* Each by itself: one that can't be enabled keeps none of the others. What came of it is read back later. */
static void enable_here(int dir_fd) {
    char available[CGROUP_FILE_MAX], command[16];
    if (!may_enable(dir_fd) || cgroup_file_read(dir_fd, "cgroup.controllers", available, sizeof(available)) < 0)
        return;
    for (size_t c = 0; c < _CGROUP_CONTROLLER_MAX; c++) {
        if (!cgroup_file_has_word(available, controllers[c].name, ' '))
            continue;
        (void) snprintf(command, sizeof(command), "+%s", controllers[c].name);
        (void) cgroup_file_write(dir_fd, "cgroup.subtree_control", command);
    }
}

/* From the level FROM (a prefix of PATH's length; 0 is the root) down to PATH. What lies above is the manager's. */
static int enable_controllers(int mount_fd, const char *path, size_t from) {
    _cleanup_free_ char *prefix = strdup(path);
    if (!prefix)
        return -ENOMEM;
    size_t length = strlen(path);
    for (size_t i = from; i <= length; i++) {
        if (path[i] != '/' && path[i])
            continue;
        prefix[i] = 0;
        _cleanup_fd_ int fd = path_open_at(mount_fd, *prefix ? prefix : ".", O_PATH | O_DIRECTORY, 0, RESOLVE_IN_ROOT);
        if (fd < 0)
            return fd;
        enable_here(fd);
        prefix[i] = path[i];
    }
    return 0;
}

/* Takes the controllers that our groups will have on cgroup2. */
static int note_v2_controllers(CgroupHierarchies *h, int mount_fd) {
    char enabled[CGROUP_FILE_MAX], offered[CGROUP_FILE_MAX];
    ssize_t n = cgroup_file_read(h->unified.fd, "cgroup.subtree_control", enabled, sizeof(enabled));
    if (n >= 0)
        n = cgroup_file_read(mount_fd, "cgroup.controllers", offered, sizeof(offered));
    if (n < 0)
        return (int) n;
    for (size_t c = 0; c < _CGROUP_CONTROLLER_MAX; c++) {
        if (cgroup_file_has_word(enabled, controllers[c].name, ' '))
            h->versions[c] = CGROUP_V2;
        else if (cgroup_file_has_word(offered, controllers[c].name, ' '))
            h->missing[c] = "the host has it on cgroup v2, but it could not be enabled for Kennel's containers";
        else
            h->missing[c] = "the host has it neither on cgroup v2 nor on v1";
    }
    return 0;
}

static void note_unusable(CgroupHierarchies *h, CgroupController c, const CgroupMount *m, const char *subtree, int r) {
    (void) snprintf(h->unusable[c], sizeof(h->unusable[c]),
                    "the host has it on cgroup v1 at %.64s, but the cgroup %.32s there is of no use: %s", m->point,
                    subtree, strerror(-r));
    h->missing[c] = h->unusable[c];
}

/*
 * The hierarchy of the controller C, with any others that are mounted together with it. One that cannot be used makes
 * its controllers missing; containers that need none of them start all the same.
 */
static void open_v1(CgroupHierarchies *h, const CgroupMounts *mounts, CgroupController c, const char *subtree) {
    _cleanup_fd_ int mount_fd = -EBADF;
    const CgroupMount *m = choose_mount(mounts, false, controllers[c].v1_name, &mount_fd);
    if (!m)
        return;
    h->is_unified = false;
    CgroupV1Hierarchy v1 = { .subtree = { -EBADF, -EBADF, NULL, NULL } };
    int r = subtree_open(&v1.subtree, mount_fd, m->root, subtree);
    if (r >= 0 && cgroup_file_has_word(m->options, "cpuset", ',')) {
        r = cgroup_cpuset_prepare(v1.subtree.parent_fd, v1.subtree.fd);
        if (r < 0)
            subtree_remove(&v1.subtree);
    }
    for (size_t i = 0; i < _CGROUP_CONTROLLER_MAX; i++) {
        if (h->versions[i] != CGROUP_MISSING || !cgroup_file_has_word(m->options, controllers[i].v1_name, ','))
            continue;
        v1.controllers |= 1U << i;
        if (r < 0)
            note_unusable(h, i, m, subtree, r);
        else
            h->versions[i] = CGROUP_V1;
    }
    if (r < 0)
        subtree_close(&v1.subtree);
    else
        h->v1[h->n_v1++] = v1;
}

/* ---- all of it ---- */

static bool kernel_is_at_least(uint64_t major, uint64_t minor) {
    struct utsname u;
    uint64_t has_major, has_minor;
    if (uname(&u) < 0)
        return false;
    const char *p = u.release;
    if (!cgroup_file_digits(&p, &has_major) || *p++ != '.' || !cgroup_file_digits(&p, &has_minor))
        return false;
    return has_major > major || (has_major == major && has_minor >= minor);
}

static int open_v2(CgroupHierarchies *h, const CgroupMounts *mounts, const char *subtree, Error *reterr) {
    _cleanup_fd_ int mount_fd = -EBADF;
    const CgroupMount *m = choose_mount(mounts, true, NULL, &mount_fd);
    if (!m)
        return error_failed(reterr, ENODEV, "cgroup", "No cgroup2 file system is mounted; Kennel cannot work without");
    h->shared_fd = path_open_at(mount_fd, "cgroup.procs", O_RDWR | O_NOFOLLOW, 0, RESOLVE_BENEATH);
    if (h->shared_fd < 0)
        return error_failed(reterr, -h->shared_fd, "cgroup", "Cannot open cgroup.procs of %s: %s", m->point,
                            strerror(-h->shared_fd));
    _cleanup_free_ char *own = NULL, *path = NULL;
    int r = read_own_path(&own);
    if (r < 0)
        return error_failed(reterr, -r, "cgroup", "Cannot find kenneld's own cgroup: %s", strerror(-r));
    const char *delegated = subtree ? NULL : delegated_path(own, m->root);
    path = delegated ? NULL : strdup(subtree ? subtree : SUBTREE);
    if (delegated ? asprintf(&path, "%s" SUBTREE_DELEGATED, delegated) < 0 : !path)
        return error_failed(reterr, ENOMEM, "cgroup", "Out of memory");
    r = subtree_open(&h->unified, mount_fd, m->root, path);
    if (r < 0)
        return error_failed(reterr, -r, "cgroup", "Cannot make the cgroup %s under %s: %s", path, m->point,
                            strerror(-r));
    r = enable_controllers(mount_fd, path, delegated ? strlen(delegated) : 0);
    if (r >= 0)
        r = note_v2_controllers(h, mount_fd);
    if (r < 0)
        return error_failed(reterr, -r, "cgroup", "Cannot read the controllers of %s: %s", m->point, strerror(-r));
    h->top_fd = TAKE_FD(mount_fd);
    return 0;
}

int cgroup_hierarchies_open_at(const char *subtree, CgroupHierarchies **ret, Error *reterr) {
    _cleanup_(cgroup_hierarchies_closep) CgroupHierarchies *h = calloc(1, sizeof(CgroupHierarchies));
    if (!h)
        return error_failed(reterr, ENOMEM, "cgroup", "Out of memory");
    h->unified.fd = h->unified.parent_fd = h->shared_fd = h->top_fd = -EBADF;
    for (size_t i = 0; i < CGROUP_V1_MAX; i++)
        h->v1[i].subtree.fd = h->v1[i].subtree.parent_fd = -EBADF;
    h->is_unified = true;
    struct rlimit files;
    h->kept_max = getrlimit(RLIMIT_NOFILE, &files) < 0 ? 0 : (unsigned) (files.rlim_cur / KEPT_PART);
    h->lacks_memsw_failcnt = kernel_is_at_least(6, 15);

    _cleanup_(cgroup_mounts_done) CgroupMounts mounts = { 0 };
    int r = cgroup_mounts_read(&mounts);
    if (r < 0)
        return error_failed(reterr, -r, "cgroup", "Cannot read the list of mounts: %s", strerror(-r));
    r = open_v2(h, &mounts, subtree, reterr);
    if (r < 0)
        return r;
    for (size_t c = 0; c < _CGROUP_CONTROLLER_MAX; c++) {
        /* one whose hierarchy was found to be of no use need not be tried again */
        if (h->versions[c] == CGROUP_MISSING && h->missing[c] != h->unusable[c])
            open_v1(h, &mounts, c, subtree ? subtree : SUBTREE);
    }
    if (h->versions[CGROUP_IO] == CGROUP_V1)
        cgroup_disks_start_counting(&h->counted_disks, cgroup_hierarchies_controller_fd(h, CGROUP_IO));
    *ret = TAKE_PTR(h);
    return 0;
}

int cgroup_hierarchies_open(CgroupHierarchies **ret, Error *reterr) {
    return cgroup_hierarchies_open_at(NULL, ret, reterr);
}

CgroupHierarchies *cgroup_hierarchies_close(CgroupHierarchies *h) {
    if (!h)
        return NULL;
    for (size_t i = 0; i < CGROUP_V1_MAX; i++) {
        subtree_remove(&h->v1[i].subtree);
        subtree_close(&h->v1[i].subtree);
    }
    subtree_remove(&h->unified);
    subtree_close(&h->unified);
    (void) fd_close(h->shared_fd);
    (void) fd_close(h->top_fd);
    cgroup_disks_done(&h->counted_disks);
    free(h);
    return NULL;
}

bool cgroup_hierarchies_is_unified(const CgroupHierarchies *h) {
    return h->is_unified;
}

CgroupVersion cgroup_hierarchies_version(const CgroupHierarchies *h, CgroupController c) {
    return h->versions[c];
}

const char *cgroup_hierarchies_missing(const CgroupHierarchies *h, CgroupController c) {
    return h->versions[c] == CGROUP_MISSING ? h->missing[c] : NULL;
}

const char *cgroup_hierarchies_root(const CgroupHierarchies *h) {
    return h->unified.path;
}

int cgroup_hierarchies_root_fd(const CgroupHierarchies *h) {
    return h->unified.fd;
}

int cgroup_hierarchies_controller_fd(const CgroupHierarchies *h, CgroupController c) {
    if (h->versions[c] == CGROUP_V2)
        return h->unified.fd;
    for (size_t i = 0; i < h->n_v1; i++)
        if (h->v1[i].controllers & (1U << c))
            return h->v1[i].subtree.fd;
    return -ENODEV;
}

ssize_t cgroup_hierarchies_cpus(const CgroupHierarchies *h, char *buffer, size_t size) {
    bool v2 = h->versions[CGROUP_CPUSET] == CGROUP_V2;
    int fd = cgroup_hierarchies_controller_fd(h, CGROUP_CPUSET);
    ssize_t n = cgroup_file_read(fd, v2 ? "cpuset.cpus.effective" : "cpuset.cpus", buffer, size);
    if (n > 0 && buffer[n - 1] == '\n')
        buffer[--n] = 0;
    return n;
}

int cgroup_hierarchies_shared_fd(const CgroupHierarchies *h) {
    return h->shared_fd;
}
