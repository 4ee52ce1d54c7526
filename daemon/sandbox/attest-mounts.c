/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Mounts, masks and descriptors of a container, as its mountinfo shows them.
 *
 * Each mount of a container is accounted for: the file systems that Kennel made by their place, type and flags, each
 * volume and tmpfs, each cover of a mask; and what is left over is one too many. A mask that is not there is right only
 * where the kernel has nothing to cover at that place, which is looked up through the process's own root.
 *
 * Trust: places of volumes were resolved inside the image, so a symbolic link of the image's may have moved them. A
 * volume that is not where it was asked for is accepted elsewhere if it has the flags that it was to have; the file
 * systems of Kennel's own are not.
 */

#include "sandbox/attest.h"

#include "util/mountinfo.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sched.h>
#include <string.h>
#include <sys/stat.h>

/* Later, of a process that has many: enough to see what it was started with. */
#define DESCRIPTORS_MAX 16384U
#define MOUNT_TEXT      (CHECK_TEXT_MAX - 1U)

typedef struct View {
    Attest *attest;
    Mountinfo mounts;
    bool *taken; /* for each of mounts: it is one that was expected */
    size_t next; /* behind the last one that was found: mounts are listed in the order in which they were made */
    int root_fd;
} View;

static void view_done(View *v) {
    mountinfo_done(&v->mounts);
    free(v->taken);
    (void) fd_close(v->root_fd);
}

typedef struct Expected {
    const char *control, *point, *type; /* type NULL: any */
    const char *flags;                  /* as format_flags() writes them */
    bool at_least;                      /* it may have more flags: those of the caller's own mount */
    bool anywhere;                      /* see above */
} Expected;

/* ---- one mount ---- */

static const char *const flag_names[] = { "ro", "nosuid", "nodev", "noexec", "idmapped" };

/* "ro,nosuid"; "rw" where it is not read-only. Only what matters here: not how access times are kept. */
static void format_flags(const char *options, char *ret, size_t size) {
    size_t n = (size_t) snprintf(ret, size, "%s", mountinfo_has_option(options, "ro") ? "ro" : "rw");
    for (size_t i = 1; i < ELEMENTSOF(flag_names) && n < size; i++)
        if (mountinfo_has_option(options, flag_names[i]))
            n += (size_t) snprintf(ret + n, size - n, ",%s", flag_names[i]);
}

static bool flags_satisfy(const MountinfoMount *m, const Expected *e) {
    char flags[64];
    format_flags(m->options, flags, sizeof(flags));
    if (!e->at_least)
        return strcmp(flags, e->flags) == 0;
    for (size_t i = 0; i < ELEMENTSOF(flag_names); i++)
        if (mountinfo_has_option(e->flags, flag_names[i]) && !mountinfo_has_option(flags, flag_names[i]))
            return false;
    return true;
}

static bool satisfies(const MountinfoMount *m, const Expected *e) {
    return (!e->type || strcmp(m->type, e->type) == 0) && flags_satisfy(m, e);
}

/* A mount that is nobody's yet. POINT NULL: wherever it is. E NULL: whatever it is. */
static const MountinfoMount *find(const View *v, const char *point, const Expected *e) {
    for (size_t k = 0; k < v->mounts.n; k++) {
        size_t i = (v->next + k) % v->mounts.n;
        const MountinfoMount *m = &v->mounts.items[i];
        if (!v->taken[i] && (!point || strcmp(m->point, point) == 0) && (!e || satisfies(m, e)))
            return m;
    }
    return NULL;
}

static void take(View *v, const MountinfoMount *m) {
    size_t i = (size_t) (m - v->mounts.items);
    v->taken[i] = true;
    v->next = i + 1;
}

static void describe(const char *point, const char *type, const char *flags, char *ret) {
    (void) snprintf(ret, MOUNT_TEXT, "%s %s%s%s", flags, type ? type : "", type ? " " : "", point);
}

static void check_mount(View *v, const Expected *e) {
    char expected[MOUNT_TEXT], found[MOUNT_TEXT] = "not mounted", flags[64];
    const MountinfoMount *m = find(v, e->point, e);
    if (!m && e->anywhere)
        m = find(v, NULL, e);
    if (!m)
        m = find(v, e->point, NULL);
    bool passed = m && satisfies(m, e);
    if (m) {
        take(v, m);
        format_flags(m->options, flags, sizeof(flags));
        describe(m->point, e->type ? m->type : NULL, flags, found);
    }
    describe(e->point, e->type, e->flags, expected);
    check_add_verdict(v->attest->checks, e->control, passed, expected, found);
}

/* ---- those that Kennel makes ---- */

static void check_fixed(View *v) {
    const SandboxSpec *spec = v->attest->x->spec;
    bool host = v->attest->x->host_image, noexec = spec->image_only;
    const char *root = spec->read_only || (noexec && !host)
                           ? noexec && host ? "ro,nosuid,nodev,noexec" : "ro,nosuid,nodev"
                       : noexec ? "rw,nosuid,nodev,noexec"
                                : "rw,nosuid,nodev";
    const struct {
        const char *control, *point, *type, *flags;
        bool absent;
    } rows[] = {
        /* clang-format off */
        { "rootMount",    "/",              "overlay", root,                     false },
        { "usrMount",     "/usr",           "overlay", "ro,nosuid,nodev",        !host },
        { "procMount",    "/proc",          "proc",    "rw,nosuid,nodev,noexec", false },
        { "procSysMount", "/proc/sys",      "proc",    "ro,nosuid,nodev,noexec", false },
        { "sysMount",     "/sys",           "sysfs",   "ro,nosuid,nodev,noexec", false },
        { "cgroupMount",  "/sys/fs/cgroup", "cgroup2", "ro,nosuid,nodev,noexec", false },
        { "devMount",     "/dev",           "tmpfs",   "rw,nosuid,noexec",       false },
        { "ptsMount",     "/dev/pts",       "devpts",  "rw,nosuid,noexec",       false },
        { "shmMount",     "/dev/shm",       "tmpfs",   noexec ? "rw,nosuid,nodev,noexec" : "rw,nosuid,nodev", false },
        { "mqueueMount",  "/dev/mqueue",    "mqueue",  "rw,nosuid,nodev,noexec", false },
        { "consoleMount", "/dev/console",   "devpts",  "rw,nosuid,noexec",       !spec->program.terminal },
        /* clang-format on */
    };
    for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
        Expected e = { .control = rows[i].control, .point = rows[i].point };
        e.type = rows[i].type;
        e.flags = rows[i].flags;
        if (!rows[i].absent)
            check_mount(v, &e);
    }
}

static void check_asked_mount(View *v, const SandboxMount *m, const char *control, bool *done, bool anywhere) {
    bool is_tmpfs = m->kind == SANDBOX_MOUNT_TMPFS;
    /* of a volume and of a tmpfs; with image_only; read-only */
    static const char *const flags[2][2][2] = {
        { { "rw,nosuid,nodev,idmapped", "ro,nosuid,nodev,idmapped" },
          { "rw,nosuid,nodev,noexec,idmapped", "ro,nosuid,nodev,noexec,idmapped" } },
        { { "rw,nosuid,nodev", "ro,nosuid,nodev" }, { "rw,nosuid,nodev,noexec", "ro,nosuid,nodev,noexec" } },
    };
    Expected e = {
        .control = control,
        .point = m->target,
        .type = is_tmpfs ? "tmpfs" : NULL,
        .flags = flags[is_tmpfs][v->attest->x->spec->image_only][m->read_only],
        .at_least = !is_tmpfs,
        .anywhere = anywhere,
    };
    if (*done || (!anywhere && !find(v, e.point, &e)))
        return;
    check_mount(v, &e);
    *done = true;
}

/* Those at the places that were asked for first, so that one that is elsewhere does not get another's mount. */
static void check_asked(View *v) {
    const SandboxSpec *spec = v->attest->x->spec;
    bool done[MOUNTS_FDS_MAX] = { false };
    for (unsigned round = 0; round < 2; round++)
        for (size_t i = 0, volumes = 0, tmpfs = 0; i < spec->n_mounts && i < ELEMENTSOF(done); i++) {
            char control[32];
            bool is_tmpfs = spec->mounts[i].kind == SANDBOX_MOUNT_TMPFS;
            (void) snprintf(control, sizeof(control), is_tmpfs ? "tmpfs[%zu]" : "volumes[%zu]",
                            is_tmpfs ? tmpfs++ : volumes++);
            check_asked_mount(v, &spec->mounts[i], control, &done[i], round == 1);
        }
}

/* ---- image_only ---- */

static bool is_directory(const View *v, const char *path) {
    struct open_how how = {
        .flags = O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC,
        .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS,
    };
    _cleanup_fd_ int fd = (int) syscall(SYS_openat2, v->root_fd, path, &how, sizeof(how));
    return fd >= 0 || (errno != ENOENT && errno != ENOTDIR && errno != ELOOP);
}

/* Where the image has no such directory, it was made for a mount that was asked for, and is as read-only as the root. */
static bool is_for_a_mount(const SandboxSpec *spec, const char *point) {
    size_t length = strlen(point);
    for (size_t i = 0; i < spec->n_mounts; i++) {
        const char *target = spec->mounts[i].target;
        if (strncmp(target, point, length) == 0 && (target[length] == 0 || target[length] == '/'))
            return true;
    }
    return false;
}

/*
 * Each directory of data is a mount that nothing can be executed from; the root that they are cut from is read-only, so that
 * which of them there are stays as it was. The rules of the namespaces (vm.memfd_noexec, user.max_user_namespaces) have no
 * row: the kernel tells each reader those of his own. The child reads them back when it has set them, or does not start.
 */
static void check_data_directories(View *v) {
    const SandboxExpectation *x = v->attest->x;
    if (!mounts_has_data_directories(x->spec, x->host_image))
        return;
    for (const char *const *name = mounts_data_directories; *name; name++) {
        char control[32], point[32];
        (void) snprintf(control, sizeof(control), "dataMount.%s", *name);
        (void) snprintf(point, sizeof(point), "/%s", *name);
        const Expected e = {
            .control = control,
            .point = point,
            .type = "overlay",
            .flags = "rw,nosuid,nodev,noexec",
        };
        if (find(v, point, &e) || (is_directory(v, *name) && !is_for_a_mount(x->spec, point)))
            check_mount(v, &e);
    }
}

/* ---- masks ---- */

static bool is_cover(const MountinfoMount *m) {
    char flags[64];
    format_flags(m->options, flags, sizeof(flags));
    bool is_file = strcmp(m->root, "/" MOUNTS_COVER) == 0;
    return strcmp(m->type, "tmpfs") == 0 && (is_file || strcmp(m->root, "/") == 0) &&
           strcmp(flags, is_file ? "ro,nosuid,noexec" : "ro,nosuid,nodev,noexec") == 0;
}

/* Would it be seen? What cannot be looked at counts as there. */
static bool exists(const View *v, const char *point) {
    struct open_how how = {
        .flags = O_PATH | O_NOFOLLOW | O_CLOEXEC,
        .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS,
    };
    _cleanup_fd_ int fd = (int) syscall(SYS_openat2, v->root_fd, point + 1, &how, sizeof(how));
    return fd >= 0 || (errno != ENOENT && errno != ENOTDIR);
}

/* How many there are to cover; the first that is not covered goes to BARE. */
static unsigned count_masks(View *v, const char *top, const char *const *names, char *bare) {
    unsigned n = 0;
    for (; *names; names++) {
        char point[64];
        (void) snprintf(point, sizeof(point), "%s/%s", top, *names);
        const MountinfoMount *m = find(v, point, NULL);
        bool covered = m && is_cover(m);
        if (covered)
            take(v, m);
        else if (!exists(v, point))
            continue;
        else if (!*bare)
            (void) snprintf(bare, 64, "%s", point);
        n++;
    }
    return n;
}

static void check_masks(View *v) {
    char bare[64] = "", expected[48], found[96];
    unsigned n = count_masks(v, "/proc", mounts_proc_masks, bare) + count_masks(v, "/sys", mounts_sys_masks, bare);
    (void) snprintf(expected, sizeof(expected), "%u covered", n);
    (void) snprintf(found, sizeof(found), *bare ? "%s is not covered" : "%s", *bare ? bare : expected);
    check_add(v->attest->checks, "masks", expected, found);
}

/* Who may mount, which takes a capability that root has to grant, may have mounted. */
static void check_others(View *v) {
    char found[MOUNT_TEXT] = "none", flags[64];
    const SandboxExpectation *x = v->attest->x;
    bool may_mount = !x->at_start && x->program->capabilities & (UINT64_C(1) << 21 /* CAP_SYS_ADMIN */);
    const MountinfoMount *m = find(v, NULL, NULL);
    if (m) {
        format_flags(m->options, flags, sizeof(flags));
        describe(m->point, m->type, flags, found);
    }
    check_add_verdict(v->attest->checks, "otherMounts", !m || may_mount, may_mount ? "whatever it mounted" : "none",
                      found);
}

/* ---- descriptors ---- */

static bool is_own_mount(const View *v, uint64_t id) {
    for (size_t i = 0; i < v->mounts.n; i++)
        if (v->mounts.items[i].id == id)
            return true;
    return false;
}

/*
 * A directory from outside would be a way out (CVE-2024-21626). Not waited for: the file may be on a file system that the
 * caller serves, which is why nothing but the kernel's own knowledge is asked for.
 */
static bool leads_out(const View *v, int fds_fd, const char *name) {
    struct statx st;
    if (statx(fds_fd, name, AT_STATX_DONT_SYNC, STATX_TYPE | STATX_MNT_ID, &st) < 0)
        return false; /* closed meanwhile */
    return S_ISDIR(st.stx_mode) && !is_own_mount(v, st.stx_mnt_id);
}

/* What readdir() makes of it, without its 32 KiB and its four system calls more: every start comes by here. */
typedef struct Descriptors {
    int fd;
    ssize_t n, at;
    _Alignas(struct dirent64) char buffer[1024];
} Descriptors;

static int descriptors_open(const Attest *a, Descriptors *d) {
    d->n = d->at = 0;
    d->fd = openat(a->dir_fd, "fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return d->fd < 0 ? -errno : 0;
}

static void descriptors_done(Descriptors *d) {
    d->fd = fd_close(d->fd);
}

/* The next number, NULL at the end. */
static const char *descriptors_next(Descriptors *d) {
    for (;;) {
        if (d->at >= d->n) {
            d->n = syscall(SYS_getdents64, d->fd, d->buffer, sizeof(d->buffer));
            d->at = 0;
            if (d->n <= 0)
                return NULL;
        }
        const struct dirent64 *e = (const struct dirent64 *) (d->buffer + d->at);
        d->at += e->d_reclen;
        if (e->d_name[0] != '.')
            return e->d_name;
    }
}

/* At its first instruction it has what it was given and nothing else. */
static void check_first_descriptors(Attest *a) {
    char found[CHECK_TEXT_MAX] = "";
    _cleanup_(descriptors_done) Descriptors d;
    size_t n = 0;
    if (descriptors_open(a, &d) >= 0)
        for (const char *name; n < sizeof(found) && (name = descriptors_next(&d));)
            n += (size_t) snprintf(found + n, sizeof(found) - n, "%s%s", n > 0 ? " " : "", name);
    check_add(a->checks, "descriptors", "0 1 2", found);
}

/* Later it has opened what it wanted; of its first three the caller's own may be directories too. */
static void check_descriptors(View *v) {
    char found[64] = "none";
    _cleanup_(descriptors_done) Descriptors d;
    bool passed = descriptors_open(v->attest, &d) >= 0;
    if (!passed)
        (void) snprintf(found, sizeof(found), "they cannot be listed");
    const char *name;
    for (unsigned n = 0; passed && n < DESCRIPTORS_MAX && (name = descriptors_next(&d)); n++)
        if (strtoul(name, NULL, 10) > 2 && leads_out(v, d.fd, name)) {
            (void) snprintf(found, sizeof(found), "%.20s", name);
            passed = false;
        }
    check_add_verdict(v->attest->checks, "descriptors", passed, "none on a directory outside its mounts", found);
}

/* ---- the view ---- */

static bool has_mount(const Mountinfo *m, const char *point, const char *type) {
    for (size_t i = 0; i < m->n; i++)
        if (strcmp(m->items[i].point, point) == 0 && strcmp(m->items[i].type, type) == 0)
            return true;
    return false;
}

/* In the namespace that this thread is in. */
static int look_around(View *v) {
    _cleanup_fd_ int self = openat(v->attest->host->proc_fd, "thread-self", O_PATH | O_DIRECTORY | O_CLOEXEC);
    mountinfo_done(&v->mounts);
    int r = self < 0 ? -errno : mountinfo_read(self, &v->mounts);
    if (r < 0)
        return r;
    v->root_fd = fd_close(v->root_fd);
    v->root_fd = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    return v->root_fd < 0 ? -errno : 0;
}

/*
 * A process that has changed its root shows only what is below it. So this thread, which serves one job, goes to the top of
 * the namespace itself, looks from there, and comes back. Nothing but a few system calls of ours happens in between.
 */
static int look_from_inside(View *v) {
    const Attest *a = v->attest;
    _cleanup_fd_ int own = openat(a->host->proc_fd, "thread-self/ns/mnt", O_RDONLY | O_CLOEXEC);
    _cleanup_fd_ int its = openat(a->dir_fd, "ns/mnt", O_RDONLY | O_CLOEXEC);
    if (own < 0 || its < 0 || unshare(CLONE_FS) < 0 || setns(its, CLONE_NEWNS) < 0)
        return -errno;
    int r = look_around(v);
    return setns(own, CLONE_NEWNS) < 0 ? -errno : r;
}

static int view_open(View *v) {
    const Attest *a = v->attest;
    v->root_fd = openat(a->dir_fd, "root", O_PATH | O_DIRECTORY | O_CLOEXEC);
    int r = v->root_fd < 0 ? -errno : mountinfo_read(a->dir_fd, &v->mounts);
    bool has_all = has_mount(&v->mounts, "/", "overlay") && has_mount(&v->mounts, "/proc", "proc");
    if (r >= 0 && !a->x->at_start && !has_all)
        r = look_from_inside(v);
    if (r < 0)
        return r == -ENOENT ? -ESRCH : r;
    v->taken = calloc(v->mounts.n + 1, sizeof(bool));
    return v->taken ? 0 : -ENOMEM;
}

int attest_mounts(Attest *a) {
    _cleanup_(view_done) View v = { .attest = a, .root_fd = -EBADF };
    if (a->x->at_start)
        check_first_descriptors(a);
    if (!a->x->first) /* it is in the mount namespace of the first */
        return 0;
    int r = view_open(&v);
    if (r < 0)
        return r;
    check_fixed(&v);
    check_data_directories(&v);
    check_masks(&v);
    check_asked(&v);
    check_others(&v);
    if (!a->x->at_start)
        check_descriptors(&v);
    return 0;
}
