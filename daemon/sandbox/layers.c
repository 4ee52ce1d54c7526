/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The image and the writable layer, under one overlay; and the host's /usr under another, for the image `host`.
 *
 * Layers are detached clones, idmapped and read-only but for the writable one. Since Linux 6.15 overlay takes them as
 * they are. Before, it takes only what is mounted in the mount namespace of whoever makes the overlay; so there the
 * thread, which ends with the start that it serves, gets a mount namespace of its own and hangs the clones into it. The
 * overlay itself is detached in either case and outlives that namespace. Which of the two it is, is found out once.
 *
 * A writable layer that is a file system of its own comes as a detached mount already, and no kernel before 6.15 clones
 * from such a one. It needs no clone either: it is nobody else's. Where layers have to hang, it hangs itself, and is
 * detached again when the thread's namespace goes; the caller's fd keeps its file system in either case.
 */

#include "sandbox/apparmor.h"
#include "sandbox/internal.h"

#include <fcntl.h>
#include <linux/xattr.h>
#include <sched.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#define READ_ONLY_LAYER (MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV)

void layers_done(Layers *l) {
    l->lower = fd_close(l->lower);
    l->usr = fd_close(l->usr);
    l->layer = fd_close(l->layer);
    l->empty = fd_close(l->empty);
}

/*
 * Whatever is done to a layer, now or later, the kernel does with the rights of who made the overlay, and there paths begin
 * at the layer: to a confined daemon's AppArmor profile a container's /etc would be the host's. So the overlay is made
 * under a profile of its own. A thread that does not come back from it fails the start, and ends with it.
 */
static int make_as_overlay(SandboxHost *h, const char *const *options, unsigned attributes) {
    if (!h->start_profile)
        return mounts_make_file_system("overlay", options, attributes);
    int r = apparmor_enter(h->proc_fd, APPARMOR_OVERLAY_PROFILE);
    if (r < 0)
        return r;
    int made = mounts_make_file_system("overlay", options, attributes);
    _cleanup_fd_ int fd = made;
    r = apparmor_enter(h->proc_fd, APPARMOR_DAEMON_PROFILE);
    return r < 0 ? r : made < 0 ? made : TAKE_FD(fd);
}

/*
 * Overlay takes layers by path; the paths name fds of ours and of nobody else. index=off, whatever the host's default: with it,
 * links of the image to one file stay links to one when it is written to, and image_only would let a program be changed by
 * another name that it has among the data.
 */
static int make_overlay(SandboxHost *h, int lower_fd, int second_lower_fd, int layer_fd, const char *context,
                        unsigned attributes) {
    char lower[64], upper[64], work[64];
    const char *options[20]; /* seven pairs at most, and the end */
    size_t n = 0;

    if (second_lower_fd >= 0)
        (void) snprintf(lower, sizeof(lower), "/proc/self/fd/%d:/proc/self/fd/%d", lower_fd, second_lower_fd);
    else
        (void) snprintf(lower, sizeof(lower), "/proc/self/fd/%d", lower_fd);
    options[n++] = "lowerdir", options[n++] = lower;
    options[n++] = "xino", options[n++] = "off";
    options[n++] = "index", options[n++] = "off";
    if (layer_fd >= 0) {
        (void) snprintf(upper, sizeof(upper), "/proc/self/fd/%d/upper", layer_fd);
        (void) snprintf(work, sizeof(work), "/proc/self/fd/%d/work", layer_fd);
        options[n++] = "upperdir", options[n++] = upper;
        options[n++] = "workdir", options[n++] = work;
        options[n++] = "volatile", options[n++] = NULL;
    }
    if (context)
        options[n++] = "context", options[n++] = context;
    options[n] = NULL;
    return make_as_overlay(h, options, attributes);
}

/*
 * On disk, what is made through the overlay gets the label that its mount has. These are made before. The layer's own
 * directory too: where it is a new file system's root, it has no label at all.
 */
static int label_layer(int layer_fd, const char *context) {
    static const char *const parts[] = { ".", "upper", "work" };
    for (size_t i = 0; i < ELEMENTSOF(parts); i++) {
        _cleanup_fd_ int fd = openat(layer_fd, parts[i], O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (fd < 0 || fsetxattr(fd, XATTR_NAME_SELINUX, context, strlen(context) + 1, 0) < 0)
            return -errno;
    }
    return 0;
}

static int make_layer(int layer_fd, uint32_t id_base, const char *context) {
    if (mkdirat(layer_fd, "upper", 0755) < 0 || mkdirat(layer_fd, "work", 0755) < 0)
        return -errno;
    /* The overlay's root is the upper layer's: it has to be the container's root, whatever the image's is. */
    if (fchmodat(layer_fd, "upper", 0755, 0) < 0 ||
        fchownat(layer_fd, "upper", id_base, id_base, AT_SYMLINK_NOFOLLOW) < 0)
        return -errno;
    return context ? label_layer(layer_fd, context) : 0;
}

/* Private: a clone is a peer of the host's mount where that is shared, and what is hung on it would come up there. */
static int clone_plain(int fd) {
    _cleanup_fd_ int tree = open_tree(fd, "", AT_EMPTY_PATH | OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
    struct mount_attr attr = { .propagation = MS_PRIVATE };
    if (tree < 0 || mount_setattr(tree, "", AT_EMPTY_PATH, &attr, sizeof(attr)) < 0)
        return -errno;
    return TAKE_FD(tree);
}

/* Two detached layers, none of them written: the least that an overlay can be made of. */
int layers_probe(SandboxHost *h, Error *reterr) {
    _cleanup_fd_ int lower = clone_plain(h->image_fd), empty = clone_plain(h->empty_fd);
    if (lower < 0 || empty < 0)
        return error_failed(reterr, lower < 0 ? -lower : -empty, "start", "the image `host` cannot be cloned");
    _cleanup_fd_ int overlay = make_overlay(h, lower, empty, -EBADF, NULL, READ_ONLY_LAYER);
    if (overlay < 0 && overlay != -EINVAL)
        return error_failed(reterr, -overlay, "start", "the kernel makes no overlay: %s", strerror(-overlay));
    h->layers_must_hang = overlay < 0;
    return 0;
}

/* The fd is the caller's, and closing it must not undo the mount before the overlay has it: so a copy of it. */
static int take_layer(const SandboxSpec *spec) {
    if (!spec->layer_is_mount)
        return clone_plain(spec->layer_fd);
    int fd = fcntl(spec->layer_fd, F_DUPFD_CLOEXEC, 3);
    return fd < 0 ? -errno : fd;
}

int layers_clone(SandboxHost *h, const SandboxSpec *spec, int idmap_fd, int userns_fd, Layers *ret, Error *reterr) {
    _cleanup_(layers_done) Layers l = LAYERS_INIT;
    bool host = spec->rootfs_fd < 0;

    l.lower = mounts_clone_idmapped(host ? h->image_fd : spec->rootfs_fd, host ? userns_fd : idmap_fd, READ_ONLY_LAYER,
                                    host ? "image host" : "rootfs", reterr);
    if (l.lower < 0)
        return l.lower;
    if (host) {
        l.usr = mounts_clone_idmapped(h->usr_fd, userns_fd, READ_ONLY_LAYER, "/usr", reterr);
        if (l.usr < 0)
            return l.usr;
    }
    int r = make_layer(spec->layer_fd, spec->id_base, spec->file_context);
    if (r < 0)
        return mounts_error(reterr, -r, "writable layer", "its directories cannot be made");
    l.layer = take_layer(spec);
    l.empty = clone_plain(h->empty_fd);
    if (l.layer < 0 || l.empty < 0)
        return mounts_error(reterr, l.layer < 0 ? -l.layer : -l.empty, "writable layer", "it cannot be taken");
    *ret = l;
    l = LAYERS_INIT;
    return 0;
}

/*
 * Stacked on one directory that every host has; the overlay finds them by fd, not by name. In this thread alone: its
 * namespace is private and goes with it.
 */
static int hang(const Layers *l) {
    const int fds[] = { l->lower, l->usr, l->layer, l->empty };
    if (unshare(CLONE_FS | CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
        return -errno;
    for (size_t i = 0; i < ELEMENTSOF(fds); i++)
        if (fds[i] >= 0 && move_mount(fds[i], "", AT_FDCWD, "/usr", MOVE_MOUNT_F_EMPTY_PATH) < 0)
            return -errno;
    return 0;
}

int layers_mount(SandboxHost *h, const SandboxSpec *spec, const Layers *l, MountsSet *set, Error *reterr) {
    int r = h->layers_must_hang ? hang(l) : 0;
    if (r < 0)
        return mounts_error(reterr, -r, "root", "the layers cannot be put in place");
    /* With --read-only nothing of it is the container's own. */
    const char *context = spec->read_only ? spec->image_context : spec->file_context;
    r = make_overlay(h, l->lower, -EBADF, l->layer, context, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV);
    if (r < 0)
        return mounts_error(reterr, -r, "root", "the overlay cannot be made");
    set->fds[MOUNTS_ROOT] = r;
    if (spec->rootfs_fd >= 0)
        return 0;
    r = make_overlay(h, l->usr, l->empty, -EBADF, spec->image_context, READ_ONLY_LAYER);
    if (r < 0)
        return mounts_error(reterr, -r, "/usr", "the overlay cannot be made");
    set->fds[MOUNTS_USR] = r;
    return 0;
}
