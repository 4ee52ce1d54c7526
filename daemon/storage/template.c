/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Pristine images, one for each pair of limits that was asked for lately.
 *
 * Making a file system takes a process and several tries, copying one a few extents of a sparse file. A template gets its
 * name when it is finished and on disk; a new daemon takes over those whose attribute it understands, and removes
 * whatever else lies in storage/. Nobody but the daemon can write there, and a template is never mounted again.
 */

#include "storage/internal.h"
#include "util/paths.h"

#include <dirent.h>
#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#define NEW_NAME  "new"
#define NAME_SIZE 64U

static void template_name(const StorageLimits *l, char ret[static NAME_SIZE]) {
    (void) snprintf(ret, NAME_SIZE, "template-%llx-%llx", (unsigned long long) l->bytes,
                    (unsigned long long) l->inodes);
}

static bool limits_equal(const StorageLimits *a, const StorageLimits *b) {
    return a->bytes == b->bytes && a->inodes == b->inodes;
}

/* ---- a former daemon's ------------------------------------------------------------------------------------------ */

static bool adopt(StorageHost *h, const char *name) {
    unsigned long long bytes, inodes;
    char again[NAME_SIZE];
    Template t = { .used = 0 };
    struct stat st;
    if (sscanf(name, "template-%llx-%llx", &bytes, &inodes) != 2)
        return false;
    t.limits = (StorageLimits){ bytes, inodes };
    template_name(&t.limits, again);
    if (strcmp(again, name) != 0)
        return false;
    _cleanup_fd_ int fd = openat(h->own_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || file_system_read_record(fd, &t.record) < 0)
        return false;
    for (size_t i = 0; i < ELEMENTSOF(h->table); i++)
        if (h->table[i].fd < 0) {
            h->table[i] = t;
            h->table[i].fd = TAKE_FD(fd);
            return true;
        }
    return false;
}

int template_load(StorageHost *h) {
    int again = openat(h->own_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (again < 0)
        return -errno;
    DIR *d = fdopendir(again);
    if (!d) {
        (void) fd_close(again);
        return -ENOMEM;
    }
    for (struct dirent *e; (e = readdir(d));)
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0 && !adopt(h, e->d_name))
            (void) path_remove_tree_at(h->own_fd, e->d_name);
    (void) closedir(d);
    return 0;
}

/* ---- making ----------------------------------------------------------------------------------------------------- */

/* A free slot, or that of the one that was not used for longest. */
static Template *take_slot(StorageHost *h) {
    Template *oldest = &h->table[0];
    for (size_t i = 0; i < ELEMENTSOF(h->table); i++) {
        if (h->table[i].fd < 0)
            return &h->table[i];
        if (h->table[i].used < oldest->used)
            oldest = &h->table[i];
    }
    char name[NAME_SIZE];
    template_name(&oldest->limits, name);
    (void) unlinkat(h->own_fd, name, 0);
    oldest->fd = fd_close(oldest->fd); /* copies under way have fds of their own */
    return oldest;
}

/* On disk before it has its name: a name that survives a crash leads to an image that is whole. */
static int make_file(StorageHost *h, const StorageLimits *limits, FileSystemRecord *ret, Error *reterr) {
    char name[NAME_SIZE];
    template_name(limits, name);
    (void) unlinkat(h->own_fd, NEW_NAME, 0);
    _cleanup_fd_ int fd = openat(h->own_fd, NEW_NAME, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return error_failed(reterr, errno, STORAGE_SUBJECT, "a template cannot be made: %s", strerror(errno));
    int r = file_system_make(h, fd, limits, ret, reterr);
    if (r >= 0 && (fsync(fd) < 0 || renameat(h->own_fd, NEW_NAME, h->own_fd, name) < 0))
        r = error_failed(reterr, errno, STORAGE_SUBJECT, "a template cannot be kept: %s", strerror(errno));
    if (r < 0) {
        (void) unlinkat(h->own_fd, NEW_NAME, 0);
        return r;
    }
    return TAKE_FD(fd);
}

static Template *find(StorageHost *h, const StorageLimits *limits) {
    for (size_t i = 0; i < ELEMENTSOF(h->table); i++)
        if (h->table[i].fd >= 0 && limits_equal(&h->table[i].limits, limits))
            return &h->table[i];
    return NULL;
}

/* Under the lock. An fd that the caller owns. */
static int get(StorageHost *h, const StorageLimits *limits, FileSystemRecord *ret, Error *reterr) {
    Template *t = find(h, limits);
    if (!t) {
        FileSystemRecord record;
        int fd = make_file(h, limits, &record, reterr);
        if (fd < 0)
            return fd;
        t = take_slot(h);
        *t = (Template){ .limits = *limits, .fd = fd, .record = record };
    }
    t->used = ++h->counter;
    *ret = t->record;
    int fd = fcntl(t->fd, F_DUPFD_CLOEXEC, 3);
    return fd < 0 ? error_failed(reterr, errno, STORAGE_SUBJECT, "the template: %s", strerror(errno)) : fd;
}

/* ---- copying ---------------------------------------------------------------------------------------------------- */

static int copy_range(int from_fd, int to_fd, off_t begin, off_t end) {
    off_t in = begin, out = begin;
    while (in < end) {
        ssize_t n = copy_file_range(from_fd, &in, to_fd, &out, (size_t) (end - in), 0);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        if (n == 0)
            return -EIO;
    }
    return 0;
}

/* Several threads may seek on the one open file: what they use is what lseek() returns. */
static int copy_extents(int from_fd, int to_fd) {
    struct stat st;
    if (fstat(from_fd, &st) < 0 || ftruncate(to_fd, st.st_size) < 0)
        return -errno;
    for (off_t begin = 0; begin < st.st_size;) {
        begin = lseek(from_fd, begin, SEEK_DATA);
        if (begin < 0)
            return errno == ENXIO ? 0 : -errno;
        off_t end = lseek(from_fd, begin, SEEK_HOLE);
        if (end < 0)
            return -errno;
        int r = copy_range(from_fd, to_fd, begin, end);
        if (r < 0)
            return r;
        begin = end;
    }
    return 0;
}

int template_copy(StorageHost *h, const StorageLimits *limits, int image_fd, FileSystemRecord *ret, Error *reterr) {
    FileSystemRecord record;
    (void) pthread_mutex_lock(&h->templates);
    _cleanup_fd_ int fd = get(h, limits, &record, reterr);
    (void) pthread_mutex_unlock(&h->templates);
    if (fd < 0)
        return fd;
    int r = ioctl(image_fd, FICLONE, fd) == 0 ? 0 : copy_extents(fd, image_fd);
    if (r >= 0)
        r = file_system_write_record(image_fd, &record);
    if (r < 0)
        return error_failed(reterr, -r, STORAGE_SUBJECT, "the image cannot be copied: %s", strerror(-r));
    *ret = record;
    return 0;
}
