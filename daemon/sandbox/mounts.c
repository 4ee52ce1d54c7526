/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The container's file systems, in two halves.
 *
 * The parent, with the host's rights, makes every mount that touches the host: the image (an idmapped, read-only clone
 * under an overlay), /dev with nodes of its own, volumes. They are detached: in nobody's tree, so nobody can race with
 * them. The child, with no rights but over its own namespaces, puts them in place, adds the file systems that belong
 * to its namespaces (proc, sysfs, devpts, mqueue, cgroup2), masks what tells or changes too much, and pivots.
 *
 * Every image is below an overlay, read-only ones too: an inode that two containers share would let one watch, by
 * inotify, what the other opens. For the same reason /dev is a file system of its own for each container.
 *
 * No path is ever resolved outside the container's root: sources are fds, targets are opened by openat2 within the
 * root's fd, and every move is from fd to fd (CVE-2021-30465, CVE-2025-31133).
 *
 * image_only: what can be written cannot be executed, nor mapped to be. Every mount is either read-only for all times or
 * noexec, so that the kernel holds to it at no cost, whether a daemon runs or not. The root of the image `host`, whose
 * programs are all in /usr, is noexec. Any other root is read-only, but for directories of data, which are mounts of their
 * own on the same overlay: writable, noexec. Nobody inside can change a mount's flags or make one: that takes
 * CAP_SYS_ADMIN, which is refused with this policy, or a user namespace below, of which there can be none (child.c).
 *
 * memfds are on a mount of the kernel's that is not noexec, and have a name (/proc/self/fd) that the dynamic linker opens: so
 * the filter refuses to make any (seccomp_cache_get()). vm.memfd_noexec (child.c) is the second barrier, and the only one of a
 * container without a filter: it takes their execute bits, not the right to map them.
 *
 * What stays open: memory without a name, or with one that only CAP_CHECKPOINT_RESTORE on the host opens
 * (/proc/PID/map_files): what a program has written and then makes executable (JITs need it), shared or not, System V segments
 * (SHM_EXEC), memfd_secret, which can be neither read nor mapped privately and so is nothing for the linker. A program has to
 * put code there itself. And what an interpreter of the image's reads and does; and fds of executables from outside, which only
 * a process outside can pass in.
 */

#include "sandbox/devices.h"
#include "sandbox/internal.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>

#ifndef DEVPTS_SUPER_MAGIC
#define DEVPTS_SUPER_MAGIC 0x1cd1
#endif

#define TMPFS_BYTES_PER_INODE 16384U
#define TMPFS_INODES_FLOOR    64U

/* ---- the parent's half ------------------------------------------------------------------------------------------ */

void mounts_set_done(MountsSet *m) {
    for (size_t i = 0; i < m->n; i++)
        m->fds[i] = fd_close(m->fds[i]);
    m->n = 0;
}

size_t mounts_slots(const SandboxSpec *spec) {
    return _MOUNTS_FIXED + spec->n_mounts;
}

bool mounts_slot_used(const SandboxSpec *spec, size_t slot) {
    if (slot == MOUNTS_USR)
        return spec->rootfs_fd < 0;
    if (slot == MOUNTS_SYS)
        return spec->network == SANDBOX_NETWORK_HOST;
    return slot < mounts_slots(spec);
}

int mounts_error(Error *reterr, int code, const char *what, const char *how) {
    return error_set(reterr, ERROR_HARDENING_FAILED, code, sandbox_stage_to_string(STAGE_MOUNTS), "%s: %s: %s", what,
                     how, strerror(code));
}

/*
 * A detached clone of what FD refers to, without the mounts below it. Safe with an fd that a caller sent: the clone is
 * restricted further (never less) and shows the ids that IDMAP_FD grants, so access through it is the container's, or
 * the caller's, but not ours.
 */
int mounts_clone_idmapped(int fd, int idmap_fd, uint64_t attributes, const char *what, Error *reterr) {
    _cleanup_fd_ int tree = open_tree(fd, "", AT_EMPTY_PATH | OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
    if (tree < 0)
        return mounts_error(reterr, errno, what, "it cannot be cloned");
    struct mount_attr attr = {
        .attr_set = attributes | MOUNT_ATTR_IDMAP,
        .propagation = MS_PRIVATE,
        .userns_fd = (uint64_t) idmap_fd,
    };
    if (mount_setattr(tree, "", AT_EMPTY_PATH, &attr, sizeof(attr)) < 0)
        return mounts_error(reterr, errno, what,
                            errno == EINVAL ? "its file system has no id-mapped mounts" : "id map");
    return TAKE_FD(tree);
}

/* After clone too. OPTIONS are pairs of key and value (NULL: a flag), NULL at the end. */
int mounts_make_file_system(const char *type, const char *const *options, unsigned attributes) {
    _cleanup_fd_ int fs = fsopen(type, FSOPEN_CLOEXEC);
    if (fs < 0)
        return -errno;
    (void) fsconfig(fs, FSCONFIG_SET_STRING, "source", type, 0); /* what mountinfo shows; no control hangs on it */
    for (; options && *options; options += 2) {
        int r = options[1] ? fsconfig(fs, FSCONFIG_SET_STRING, options[0], options[1], 0)
                           : fsconfig(fs, FSCONFIG_SET_FLAG, options[0], NULL, 0);
        if (r < 0)
            return -errno;
    }
    if (fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
        return -errno;
    int fd = fsmount(fs, FSMOUNT_CLOEXEC, attributes);
    return fd < 0 ? -errno : fd;
}

/*
 * An inode is about 1 KiB of kernel memory that SIZE does not count: empty files alone must not take more than a small
 * part of what the file system may hold. The floor is what a small one needs to be of use.
 */
static uint64_t default_inodes(uint64_t size) {
    uint64_t inodes = size / TMPFS_BYTES_PER_INODE;
    return inodes > TMPFS_INODES_FLOOR ? inodes : TMPFS_INODES_FLOOR;
}

static int prepare_tmpfs(const SandboxSpec *spec, uint64_t size, uint64_t inodes, mode_t mode, unsigned attributes,
                         Error *reterr) {
    char size_text[24], mode_text[16], id_text[16], inodes_text[24];
    (void) snprintf(size_text, sizeof(size_text), "%llu", (unsigned long long) size);
    (void) snprintf(mode_text, sizeof(mode_text), "%o", mode);
    (void) snprintf(id_text, sizeof(id_text), "%u", spec->id_base);
    /* never 0, which would be no limit */
    (void) snprintf(inodes_text, sizeof(inodes_text), "%llu",
                    (unsigned long long) (inodes ? inodes : default_inodes(size)));
    const char *options[] = { "size", size_text, "mode", mode_text, "uid", id_text, "gid", id_text, "nr_inodes",
                              inodes_text,
                              /* where there is no label, this ends the list */
                              spec->file_context ? "context" : NULL, spec->file_context, NULL };
    int fd = mounts_make_file_system("tmpfs", options, attributes);
    return fd < 0 ? mounts_error(reterr, -fd, "tmpfs", "it cannot be made") : fd;
}

static int populate_dev(int dev_fd, uint32_t id_base, bool terminal) {
    static const char *const links[][2] = {
        { "/proc/self/fd", "fd" },       { "/proc/self/fd/0", "stdin" }, { "/proc/self/fd/1", "stdout" },
        { "/proc/self/fd/2", "stderr" }, { "pts/ptmx", "ptmx" },
    };
    static const char *const directories[] = { "pts", "shm", "mqueue" };

    for (const DevicesNode *d = devices_nodes; d->name; d++)
        if (mknodat(dev_fd, d->name, S_IFCHR | 0666, makedev(d->major, d->minor)) < 0 ||
            fchmodat(dev_fd, d->name, 0666, 0) < 0 ||
            fchownat(dev_fd, d->name, id_base, id_base, AT_SYMLINK_NOFOLLOW) < 0)
            return -errno;
    for (size_t i = 0; i < ELEMENTSOF(links); i++)
        if (symlinkat(links[i][0], dev_fd, links[i][1]) < 0 ||
            fchownat(dev_fd, links[i][1], id_base, id_base, AT_SYMLINK_NOFOLLOW) < 0)
            return -errno;
    for (size_t i = 0; i < ELEMENTSOF(directories); i++)
        if (mkdirat(dev_fd, directories[i], 0755) < 0 || fchmodat(dev_fd, directories[i], 0755, 0) < 0 ||
            fchownat(dev_fd, directories[i], id_base, id_base, AT_SYMLINK_NOFOLLOW) < 0)
            return -errno;
    /* What covers masked files. It lies where another file system is mounted in a moment, so that nobody finds it. */
    if (mknodat(dev_fd, MOUNTS_COVER, S_IFREG | 0444, 0) < 0 || fchmodat(dev_fd, MOUNTS_COVER, 0444, 0) < 0)
        return -errno;
    /* The place that the pseudo terminal is mounted on. */
    if (terminal && mknodat(dev_fd, "console", S_IFREG | 0600, 0) < 0)
        return -errno;
    return 0;
}

/* Of what is not the image. */
static unsigned data_attributes(const SandboxSpec *spec) {
    return MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | (spec->image_only ? MOUNT_ATTR_NOEXEC : 0);
}

static int prepare_dev(const SandboxSpec *spec, MountsSet *set, Error *reterr) {
    int fd = prepare_tmpfs(spec, 65536, 0, 0755, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC, reterr);
    if (fd < 0)
        return fd;
    set->fds[MOUNTS_DEV] = fd;
    int r = populate_dev(fd, spec->id_base, spec->program.terminal);
    if (r < 0)
        return mounts_error(reterr, -r, "/dev", "its nodes cannot be made");
    fd = prepare_tmpfs(spec, 64ULL * 1024 * 1024, 0, 01777, data_attributes(spec), reterr);
    if (fd < 0)
        return fd;
    set->fds[MOUNTS_SHM] = fd;
    return 0;
}

static int prepare_mount(const SandboxSpec *spec, size_t i, int idmap_fd, Error *reterr) {
    const SandboxMount *m = &spec->mounts[i];
    unsigned attributes = data_attributes(spec) | (m->read_only ? MOUNT_ATTR_RDONLY : 0);
    if (m->kind == SANDBOX_MOUNT_TMPFS)
        return prepare_tmpfs(spec, m->size, m->inodes, m->mode, attributes, reterr);
    return mounts_clone_idmapped(m->source_fd, idmap_fd, attributes, m->target, reterr);
}

/* sysfs belongs to the network namespace: with the host's, only the host's own can be shown, read-only. */
static int prepare_host_sys(MountsSet *set, Error *reterr) {
    _cleanup_fd_ int tree = open_tree(AT_FDCWD, "/sys", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
    if (tree < 0)
        return mounts_error(reterr, errno, "/sys", "it cannot be cloned");
    struct mount_attr attr = {
        .attr_set = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC,
        .propagation = MS_PRIVATE,
    };
    if (mount_setattr(tree, "", AT_EMPTY_PATH, &attr, sizeof(attr)) < 0)
        return mounts_error(reterr, errno, "/sys", "it cannot be made read-only");
    set->fds[MOUNTS_SYS] = TAKE_FD(tree);
    return 0;
}

int mounts_prepare(SandboxHost *h, const SandboxSpec *spec, int userns_fd, MountsSet *ret, Error *reterr) {
    _cleanup_(mounts_set_done) MountsSet set = { .n = mounts_slots(spec) };
    _cleanup_(layers_done) Layers layers = LAYERS_INIT;
    _cleanup_fd_ int owner_fd = -EBADF;
    int idmap_fd = userns_fd, r;

    if (set.n > MOUNTS_FDS_MAX)
        return mounts_error(reterr, E2BIG, "mounts", "there are too many");
    for (size_t i = 0; i < set.n; i++)
        set.fds[i] = -EBADF;
    if (spec->owner_uid != 0) {
        owner_fd = idmap_fd = ids_owner_namespace(h, spec->id_base, spec->owner_uid, spec->owner_gid, reterr);
        if (idmap_fd < 0)
            return idmap_fd;
    }
    r = layers_clone(h, spec, idmap_fd, userns_fd, &layers, reterr);
    if (r >= 0)
        r = prepare_dev(spec, &set, reterr);
    if (r >= 0 && mounts_slot_used(spec, MOUNTS_SYS))
        r = prepare_host_sys(&set, reterr);
    for (size_t i = 0; r >= 0 && i < spec->n_mounts; i++)
        r = set.fds[_MOUNTS_FIXED + i] = prepare_mount(spec, i, idmap_fd, reterr);
    if (r >= 0)
        r = layers_mount(h, spec, &layers, &set, reterr); /* last: see there */
    if (r < 0)
        return r;
    *ret = set;
    set.n = 0;
    return 0;
}

/* ---- the child's half: after clone, so no allocation, no stdio, no locks --------------------------------------- */

/*
 * What nobody inside has to know or to change: the host's hardware, load, memory, disks and keys. A file is covered by
 * an empty one, a directory by an empty directory. Files that only the host's own root may read are not here, since
 * nobody inside is that: kmsg, kpage*, pagetypeinfo, slabinfo, vmallocinfo.
 */
const char *const mounts_proc_masks[] = {
    "acpi",       "asound",   "buddyinfo",   "bus",       "config.gz", "diskstats", "driver", "fs",
    "interrupts", "iomem",    "irq",         "kallsyms",  "kcore",     "key-users", "keys",   "latency_stats",
    "locks",      "pressure", "sched_debug", "schedstat", "scsi",      "softirqs",  "swaps",  "sysrq-trigger",
    "timer_list", "tty",      "vmstat",      "zoneinfo",  NULL,
};
const char *const mounts_sys_masks[] = {
    "block",
    "class/block",
    "dev/block",
    "devices/virtual/bdi",
    "devices/virtual/block",
    "devices/virtual/powercap",
    "firmware",
    "fs/ext4",
    "fs/xfs",
    "fs/btrfs",
    "fs/fuse",
    "fs/selinux",
    "hypervisor",
    "kernel/irq",
    "kernel/security",
    "kernel/slab",
    "module",
    "power",
    NULL,
};

static int fail(Report *report, const char *what, int code) {
    size_t i = 0;
    for (; what[i] && i < sizeof(report->detail) - 1; i++)
        report->detail[i] = what[i];
    report->detail[i] = 0;
    return -code;
}

static int open_in(int root_fd, const char *path, uint64_t flags, uint64_t resolve) {
    struct open_how how = { .flags = flags | O_CLOEXEC, .resolve = resolve | RESOLVE_NO_MAGICLINKS };
    int fd = (int) syscall(SYS_openat2, root_fd, path, &how, sizeof(how));
    return fd < 0 ? -errno : fd;
}

static int move_to(int mount_fd, int target_fd) {
    return move_mount(mount_fd, "", target_fd, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) < 0 ? -errno : 0;
}

/*
 * Opens a place of ours (proc, sys, dev, usr) in the root, making it if the image has none. A symbolic link there is
 * refused: the image does not get to say where our file systems go.
 */
static int open_fixed(int root_fd, const char *name) {
    return open_in(root_fd, name, O_PATH | O_DIRECTORY, RESOLVE_IN_ROOT | RESOLVE_NO_SYMLINKS);
}

static int move_to_fixed(int mount_fd, int root_fd, const char *name) {
    int fd = open_fixed(root_fd, name);
    if (fd == -ENOENT) {
        if (mkdirat(root_fd, name, 0755) < 0)
            return -errno;
        fd = open_fixed(root_fd, name);
    }
    _cleanup_fd_ int target = fd;
    return target < 0 ? target : move_to(mount_fd, target);
}

/* Makes what is missing of the directory PATH, step by step inside the root, and opens it. PATH is ours to cut. */
static int open_or_make_directory(int root_fd, char *path) {
    int fd = open_in(root_fd, path, O_PATH | O_DIRECTORY, RESOLVE_IN_ROOT);
    if (fd != -ENOENT)
        return fd;
    char *slash = strrchr(path, '/');
    if (!slash || slash[1] == 0)
        return -ENOENT;
    *slash = 0;
    _cleanup_fd_ int parent =
        *path ? open_or_make_directory(root_fd, path) : open_in(root_fd, "/", O_PATH, RESOLVE_IN_ROOT);
    *slash = '/';
    if (parent < 0)
        return parent;
    if (mkdirat(parent, slash + 1, 0755) < 0 && errno != EEXIST)
        return -errno;
    return open_in(root_fd, path, O_PATH | O_DIRECTORY, RESOLVE_IN_ROOT);
}

static int open_or_make_file(int root_fd, char *path) {
    int fd = open_in(root_fd, path, O_PATH, RESOLVE_IN_ROOT);
    char *slash = strrchr(path, '/');
    if (fd != -ENOENT || !slash)
        return fd;
    *slash = 0;
    _cleanup_fd_ int parent =
        *path ? open_or_make_directory(root_fd, path) : open_in(root_fd, "/", O_PATH, RESOLVE_IN_ROOT);
    *slash = '/';
    if (parent < 0)
        return parent;
    fd = openat(parent, slash + 1, O_RDONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
    if (fd < 0)
        return -errno;
    (void) close(fd);
    return open_in(root_fd, path, O_PATH, RESOLVE_IN_ROOT);
}

/* A link in the image must not lead a volume on top of one of our own file systems (CVE-2019-16884). */
static bool is_kernel_file_system(int fd) {
    struct statfs s;
    if (fstatfs(fd, &s) < 0)
        return true;
    return s.f_type == PROC_SUPER_MAGIC || s.f_type == SYSFS_MAGIC || s.f_type == CGROUP2_SUPER_MAGIC ||
           s.f_type == DEVPTS_SUPER_MAGIC;
}

static int place_mount(int root_fd, const SandboxMount *m, int mount_fd) {
    struct stat st;
    if (fstat(mount_fd, &st) < 0)
        return -errno;
    _cleanup_fd_ int target =
        S_ISDIR(st.st_mode) ? open_or_make_directory(root_fd, m->target) : open_or_make_file(root_fd, m->target);
    if (target < 0)
        return target;
    return is_kernel_file_system(target) ? -EPERM : move_to(mount_fd, target);
}

/* The covers are cut from our own file systems, which nothing of the image has touched. */
typedef struct Covers {
    int file;         /* an empty regular file, not a device: what is written to it has to fail */
    int empty;        /* an empty, read-only directory */
    bool empty_hangs; /* the mount itself serves as the first cover; only what is mounted can be cloned before 6.15 */
} Covers;

static int cover_directory(Covers *c, int target) {
    if (!c->empty_hangs) {
        int r = move_to(c->empty, target);
        c->empty_hangs = r >= 0;
        return r;
    }
    _cleanup_fd_ int cover = open_tree(c->empty, "", AT_EMPTY_PATH | OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
    return cover < 0 ? -errno : move_to(cover, target);
}

static int cover_file(const Covers *c, int target) {
    struct mount_attr attr = { .attr_set = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC };
    _cleanup_fd_ int cover = open_tree(c->file, "", AT_EMPTY_PATH | OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
    if (cover < 0 || mount_setattr(cover, "", AT_EMPTY_PATH, &attr, sizeof(attr)) < 0)
        return -errno;
    return move_to(cover, target);
}

static int mask(int fs_fd, const char *path, Covers *covers) {
    struct stat st;
    _cleanup_fd_ int target = open_in(fs_fd, path, O_PATH | O_NOFOLLOW, RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS);
    if (target == -ENOENT || target == -ENOTDIR)
        return 0;
    if (target < 0)
        return target;
    if (fstat(target, &st) < 0)
        return -errno;
    return S_ISDIR(st.st_mode) ? cover_directory(covers, target) : cover_file(covers, target);
}

static int cover_all(int fs_fd, const char *const *paths, Covers *covers, Report *report) {
    for (; *paths; paths++) {
        int r = mask(fs_fd, *paths, covers);
        if (r < 0)
            return fail(report, *paths, -r);
    }
    return 0;
}

static int make_read_only(int fs_fd, const char *path) {
    _cleanup_fd_ int tree = open_tree(fs_fd, path, AT_SYMLINK_NOFOLLOW | OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
    if (tree < 0)
        return -errno;
    struct mount_attr attr = { .attr_set = MOUNT_ATTR_RDONLY };
    if (mount_setattr(tree, "", AT_EMPTY_PATH, &attr, sizeof(attr)) < 0)
        return -errno;
    _cleanup_fd_ int target = open_in(fs_fd, path, O_PATH | O_NOFOLLOW, RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS);
    return target < 0 ? target : move_to(tree, target);
}

/* What belongs to the new namespaces. Made here, by their own user namespace, so that the kernel checks them as ours. */
static int enter_kernel_file_systems(const SandboxSpec *spec, int root_fd, const int *fds, int *ret_proc, int *ret_sys,
                                     Report *report) {
    /* gid 5 is tty, as Debian and devpts agree */
    const char *const context = spec->file_context ? "context" : NULL;
    const char *const pts_options[] = { "ptmxmode",         "0666", "mode", "0620", "gid", "5", context,
                                        spec->file_context, NULL };
    const unsigned flags = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC;
    int r;

    _cleanup_fd_ int proc = mounts_make_file_system("proc", NULL, flags);
    r = proc < 0 ? proc : move_to_fixed(proc, root_fd, "proc");
    if (r < 0)
        return fail(report, "/proc", -r);

    _cleanup_fd_ int sys = mounts_slot_used(spec, MOUNTS_SYS)
                               ? fcntl(fds[MOUNTS_SYS], F_DUPFD_CLOEXEC, 3)
                               : mounts_make_file_system("sysfs", NULL, flags | MOUNT_ATTR_RDONLY);
    r = sys < 0 ? sys : move_to_fixed(sys, root_fd, "sys");
    if (r < 0)
        return fail(report, "/sys", -r);

    _cleanup_fd_ int cgroup = mounts_make_file_system("cgroup2", NULL, flags | MOUNT_ATTR_RDONLY);
    r = cgroup < 0 ? cgroup : move_to_fixed(cgroup, sys, "fs/cgroup");
    if (r < 0)
        return fail(report, "/sys/fs/cgroup", -r);

    r = move_to_fixed(fds[MOUNTS_DEV], root_fd, "dev");
    if (r < 0)
        return fail(report, "/dev", -r);
    _cleanup_fd_ int pts = mounts_make_file_system("devpts", pts_options, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC);
    r = pts < 0 ? pts : move_to_fixed(pts, fds[MOUNTS_DEV], "pts");
    if (r < 0)
        return fail(report, "/dev/pts", -r);
    r = move_to_fixed(fds[MOUNTS_SHM], fds[MOUNTS_DEV], "shm");
    if (r < 0)
        return fail(report, "/dev/shm", -r);
    _cleanup_fd_ int queues = mounts_make_file_system("mqueue", NULL, flags);
    r = queues < 0 ? queues : move_to_fixed(queues, fds[MOUNTS_DEV], "mqueue");
    if (r < 0)
        return fail(report, "/dev/mqueue", -r);

    *ret_proc = TAKE_FD(proc);
    *ret_sys = TAKE_FD(sys);
    return 0;
}

static int enter_masks(const SandboxSpec *spec, int proc, int sys, int file, Report *report) {
    const char *const context = spec->image_context ? "context" : NULL;
    const char *const empty_options[] = { "size", "4096",  "nr_inodes",         "2", "mode",
                                          "0555", context, spec->image_context, NULL };
    _cleanup_fd_ int empty = mounts_make_file_system(
        "tmpfs", empty_options, MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);
    if (empty < 0)
        return fail(report, "empty directory", -empty);
    Covers covers = { .file = file, .empty = empty };
    int r = cover_all(proc, mounts_proc_masks, &covers, report);
    if (r >= 0)
        r = cover_all(sys, mounts_sys_masks, &covers, report);
    if (r < 0)
        return r;
    r = make_read_only(proc, "sys");
    return r < 0 ? fail(report, "/proc/sys", -r) : 0;
}

/*
 * Where an image keeps data and no programs. /opt and /usr/local are not here: programs live there. What an image runs from
 * one of these all the same, a start script in /etc or a program in somebody's home, does not run.
 */
const char *const mounts_data_directories[] = {
    "etc", "home", "media", "mnt", "root", "run", "srv", "tmp", "var", NULL,
};

bool mounts_has_data_directories(const SandboxSpec *spec, bool host_image) {
    return spec->image_only && !host_image && !spec->read_only;
}

/* What next to every program writes to. It cannot be made any more when the root is read-only. */
static int make_scratch_directories(int root_fd) {
    static const struct {
        const char *name;
        mode_t mode;
    } directories[] = { { "tmp", 01777 }, { "run", 0755 } };
    for (size_t i = 0; i < ELEMENTSOF(directories); i++) {
        if (mkdirat(root_fd, directories[i].name, 0755) < 0) {
            if (errno != EEXIST)
                return -errno;
        } else if (fchmodat(root_fd, directories[i].name, directories[i].mode, 0) < 0)
            return -errno;
    }
    return 0;
}

/* Over itself. What is not there, or a symbolic link, stays as read-only as all the rest. */
static int open_for_data(int root_fd, const char *name) {
    struct mount_attr attr = { .attr_set = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC };
    _cleanup_fd_ int fd = open_fixed(root_fd, name);
    if (fd == -ENOENT || fd == -ENOTDIR || fd == -ELOOP)
        return 0;
    if (fd < 0)
        return fd;
    _cleanup_fd_ int tree = open_tree(fd, "", AT_EMPTY_PATH | OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
    if (tree < 0 || mount_setattr(tree, "", AT_EMPTY_PATH, &attr, sizeof(attr)) < 0)
        return -errno;
    return move_to(tree, fd);
}

/* While the root can still be written, and before anything is hung below these directories. */
static int enter_data_directories(const SandboxSpec *spec, int root_fd, Report *report) {
    if (!mounts_has_data_directories(spec, spec->rootfs_fd < 0))
        return 0;
    int r = make_scratch_directories(root_fd);
    if (r < 0)
        return fail(report, "/tmp, /run", -r);
    for (const char *const *name = mounts_data_directories; *name; name++) {
        r = open_for_data(root_fd, *name);
        if (r < 0)
            return fail(report, *name, -r);
    }
    return 0;
}

static uint64_t root_attributes(const SandboxSpec *spec) {
    bool host = spec->rootfs_fd < 0;
    return (spec->read_only || (spec->image_only && !host) ? MOUNT_ATTR_RDONLY : 0) |
           (spec->image_only && host ? MOUNT_ATTR_NOEXEC : 0);
}

static int pivot(int root_fd, uint64_t attributes) {
    if (attributes != 0) {
        struct mount_attr attr = { .attr_set = attributes };
        if (mount_setattr(root_fd, "", AT_EMPTY_PATH, &attr, sizeof(attr)) < 0)
            return -errno;
    }
    if (fchdir(root_fd) < 0 || syscall(SYS_pivot_root, ".", ".") < 0 || umount2(".", MNT_DETACH) < 0 || chdir("/") < 0)
        return -errno;
    return 0;
}

int mounts_enter(const SandboxSpec *spec, const int *fds, SandboxStage *stage, Report *report) {
    _cleanup_fd_ int proc = -EBADF, sys = -EBADF;
    _cleanup_fd_ int cover = open_in(fds[MOUNTS_DEV], MOUNTS_COVER, O_PATH | O_NOFOLLOW, RESOLVE_BENEATH);
    int root = fds[MOUNTS_ROOT], r;

    *stage = STAGE_MOUNTS;
    /* Nothing from here on may reach the host's tree, and nothing that happens there comes here. */
    if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
        return fail(report, "propagation", errno);
    /* Any directory serves to hang the root on; this one every host has. In our own tree only, and until the pivot. */
    if (move_mount(root, "", AT_FDCWD, "/usr", MOVE_MOUNT_F_EMPTY_PATH) < 0)
        return fail(report, "root", errno);
    if (mounts_slot_used(spec, MOUNTS_USR) && (r = move_to_fixed(fds[MOUNTS_USR], root, "usr")) < 0)
        return fail(report, "/usr", -r);
    r = enter_data_directories(spec, root, report);
    if (r >= 0)
        r = enter_kernel_file_systems(spec, root, fds, &proc, &sys, report);
    if (r < 0)
        return r;
    for (size_t i = 0; i < spec->n_mounts; i++) {
        r = place_mount(root, &spec->mounts[i], fds[_MOUNTS_FIXED + i]);
        if (r < 0)
            return fail(report, spec->mounts[i].target, -r);
    }
    *stage = STAGE_MASKS;
    r = enter_masks(spec, proc, sys, cover, report);
    if (r < 0)
        return r;
    *stage = STAGE_PIVOT;
    return pivot(root, root_attributes(spec));
}

int mounts_open_device(const char *path, int flags, unsigned major_number, unsigned minor_number) {
    struct stat st;
    _cleanup_fd_ int fd = open_in(AT_FDCWD, path, (uint64_t) flags | O_NOCTTY | O_NONBLOCK, RESOLVE_NO_SYMLINKS);
    if (fd < 0)
        return fd;
    if (fstat(fd, &st) < 0)
        return -errno;
    if (!S_ISCHR(st.st_mode) || st.st_rdev != makedev(major_number, minor_number))
        return -ENODEV;
    /* O_NONBLOCK was for the open alone: whoever gets this reads and writes it as usual. */
    if (fcntl(fd, F_SETFL, 0) < 0)
        return -errno;
    return TAKE_FD(fd);
}
