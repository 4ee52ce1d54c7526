/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Loop devices, and the file system on one of them as a detached mount.
 *
 * A device is asked for and then configured, and anybody else may be faster: hence the retries, and a lock, so that our
 * own threads do not race with each other. Its node may be missing (udev is slow, or /dev is nobody's): then one of our
 * own serves, which has no name any more once it is open. Every device goes with its last user (AUTOCLEAR), so that
 * nothing has to be given back, by us or by a next daemon.
 */

#include "storage/internal.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/loop.h>
#include <linux/major.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <time.h>

#define NODE_NAME "loop"
#define HINT_NAME "trusted.kennel.loop" /* of an image: the number of the device that it was attached to last */
#define TRIES     200U
#define EAGER     16U /* of them without a pause */

int loop_open_control(void) {
    int fd = open("/dev/loop-control", O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    return fd < 0 ? -errno : fd;
}

static int check_device(int fd, unsigned number) {
    struct stat st;
    if (fstat(fd, &st) < 0)
        return -errno;
    return S_ISBLK(st.st_mode) && st.st_rdev == makedev(LOOP_MAJOR, number) ? 0 : -ENODEV;
}

/* In storage/, where nobody else makes anything; the name is used under the lock. */
static int open_own_node(StorageHost *h, unsigned number) {
    if ((unlinkat(h->own_fd, NODE_NAME, 0) < 0 && errno != ENOENT) ||
        mknodat(h->own_fd, NODE_NAME, S_IFBLK | 0600, makedev(LOOP_MAJOR, number)) < 0)
        return -errno;
    int fd = openat(h->own_fd, NODE_NAME, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    int r = fd < 0 ? -errno : fd;
    (void) unlinkat(h->own_fd, NODE_NAME, 0);
    return r;
}

static int open_device(StorageHost *h, unsigned number) {
    char path[32];
    (void) snprintf(path, sizeof(path), "/dev/loop%u", number);
    _cleanup_fd_ int fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    if (fd >= 0 && check_device(fd, number) >= 0)
        return TAKE_FD(fd);
    return open_own_node(h, number);
}

static int configure(int loop_fd, int image_fd) {
    struct loop_config c = {
        .fd = (uint32_t) image_fd,
        .block_size = STORAGE_BLOCK,
        .info = { .lo_flags = LO_FLAGS_AUTOCLEAR | LO_FLAGS_DIRECT_IO },
    };
    if (ioctl(loop_fd, LOOP_CONFIGURE, &c) == 0)
        return 0;
    if (errno != EINVAL)
        return -errno;
    c.info.lo_flags = LO_FLAGS_AUTOCLEAR; /* a file system without direct access */
    return ioctl(loop_fd, LOOP_CONFIGURE, &c) < 0 ? -errno : 0;
}

static int attach_once(StorageHost *h, int image_fd) {
    int number = ioctl(h->loop_control_fd, LOOP_CTL_GET_FREE);
    if (number < 0)
        return -errno;
    _cleanup_fd_ int fd = open_device(h, (unsigned) number);
    if (fd < 0)
        return fd;
    int r = configure(fd, image_fd);
    if (r < 0)
        return r;
    (void) fsetxattr(image_fd, HINT_NAME, &number, sizeof(number), 0); /* without, it is searched for */
    return TAKE_FD(fd);
}

int loop_attach(StorageHost *h, int image_fd) {
    int r = -EBUSY;
    for (unsigned i = 0; i < TRIES; i++) {
        (void) pthread_mutex_lock(&h->loops);
        r = attach_once(h, image_fd);
        (void) pthread_mutex_unlock(&h->loops);
        if (r != -EBUSY && r != -ENXIO)
            break;
        if (i >= EAGER)
            (void) clock_nanosleep(CLOCK_MONOTONIC, 0, &(struct timespec){ .tv_nsec = 2000000 }, NULL);
    }
    return r;
}

static void closedirp(DIR **d) {
    if (*d)
        (void) closedir(*d);
}

/* Is it this image's? While the fd is open it stays so. */
static bool is_of(int loop_fd, const struct stat *image) {
    struct loop_info64 info;
    return ioctl(loop_fd, LOOP_GET_STATUS64, &info) == 0 && info.lo_inode == image->st_ino &&
           info.lo_device == image->st_dev;
}

static int open_hinted(StorageHost *h, int image_fd, const struct stat *image) {
    int number;
    if (fgetxattr(image_fd, HINT_NAME, &number, sizeof(number)) != (ssize_t) sizeof(number) || number < 0)
        return -ENOENT;
    (void) pthread_mutex_lock(&h->loops);
    _cleanup_fd_ int fd = open_device(h, (unsigned) number);
    (void) pthread_mutex_unlock(&h->loops);
    return fd >= 0 && is_of(fd, image) ? TAKE_FD(fd) : -ENOENT;
}

int loop_find(StorageHost *h, int image_fd) {
    struct stat st;
    if (fstat(image_fd, &st) < 0)
        return -errno;
    int hinted = open_hinted(h, image_fd, &st);
    if (hinted >= 0)
        return hinted;
    _cleanup_(closedirp) DIR *d = opendir("/sys/block");
    if (!d)
        return -errno;
    for (struct dirent *e; (e = readdir(d));) {
        unsigned number;
        char again[sizeof("loop") + 3 * sizeof(number)];
        if (sscanf(e->d_name, "loop%u", &number) != 1)
            continue;
        (void) snprintf(again, sizeof(again), "loop%u", number);
        if (strcmp(again, e->d_name) != 0)
            continue;
        (void) pthread_mutex_lock(&h->loops);
        _cleanup_fd_ int fd = open_device(h, number);
        (void) pthread_mutex_unlock(&h->loops);
        if (fd >= 0 && is_of(fd, &st))
            return TAKE_FD(fd);
    }
    return -ENOENT;
}

int loop_update_size(int loop_fd) {
    return ioctl(loop_fd, LOOP_SET_CAPACITY, 0) < 0 ? -errno : 0;
}

static int mount_error(Error *reterr, int code, const char *what) {
    return error_failed(reterr, code, STORAGE_SUBJECT, "the writable layer's file system cannot be mounted: %s: %s",
                        what, strerror(code));
}

/*
 * noinit_itable, no_prefetch_block_bitmaps: no thread works on what nobody uses. nobarrier: each flush would be an fsync of
 * the image, one with every mount and every umount, for a content that no crash of the host survives. discard: what is
 * deleted inside goes back to the host's file system. errors=remount-ro: after an error, which is most likely the host's
 * file system being full, nobody can tell what can still be trusted; it is this container's alone.
 */
int loop_mount(int loop_fd, Error *reterr) {
    static const char *const options[][2] = {
        { "noinit_itable", NULL }, { "nobarrier", NULL },      { "no_prefetch_block_bitmaps", NULL },
        { "discard", NULL },       { "errors", "remount-ro" },
    };
    char source[40];
    (void) snprintf(source, sizeof(source), "/proc/self/fd/%d", loop_fd); /* an fd of ours, not a name */
    _cleanup_fd_ int fs = fsopen("ext4", FSOPEN_CLOEXEC);
    if (fs < 0)
        return mount_error(reterr, errno, "ext4");
    if (fsconfig(fs, FSCONFIG_SET_STRING, "source", source, 0) < 0)
        return mount_error(reterr, errno, "source");
    for (size_t i = 0; i < ELEMENTSOF(options); i++)
        if (fsconfig(fs, options[i][1] ? FSCONFIG_SET_STRING : FSCONFIG_SET_FLAG, options[i][0], options[i][1], 0) < 0)
            return mount_error(reterr, errno, options[i][0]);
    if (fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
        return mount_error(reterr, errno, "superblock");
    int fd = fsmount(fs, FSMOUNT_CLOEXEC, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV);
    return fd < 0 ? mount_error(reterr, errno, "mount") : fd;
}
