/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * What this host has to hold a writable layer to its size, found out once by doing it.
 */

#include "storage/internal.h"
#include "util/paths.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#define OWN_NAME    "storage"
#define PROBE_IMAGE "probe.img"

const char *storage_kind_to_string(StorageKind k) {
    static const char *const names[] = {
        [STORAGE_DIRECTORY] = "directory",
        [STORAGE_PROJECT_QUOTA] = "projectQuota",
        [STORAGE_FILE_SYSTEM] = "fileSystem",
    };
    return (size_t) k < ELEMENTSOF(names) ? names[k] : NULL;
}

/* From mkfs to the mount, with the smallest that there is. */
static int probe_file_system(StorageHost *h, Error *reterr) {
    h->mkfs = mkfs_find();
    if (!h->mkfs)
        return error_failed(reterr, ENOENT, STORAGE_SUBJECT, "there is no mkfs.ext4 (package e2fsprogs)");
    h->loop_control_fd = loop_open_control();
    if (h->loop_control_fd < 0)
        return error_failed(reterr, -h->loop_control_fd, STORAGE_SUBJECT,
                            "there are no loop devices: /dev/loop-control: %s", strerror(-h->loop_control_fd));
    _cleanup_fd_ int fd = openat(h->own_fd, PROBE_IMAGE, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return error_failed(reterr, errno, STORAGE_SUBJECT, "an image cannot be made: %s", strerror(errno));
    const StorageLimits limits = { STORAGE_BYTES_MIN, STORAGE_INODES_MIN };
    FileSystemRecord record;
    int r = file_system_make(h, fd, &limits, &record, reterr);
    (void) unlinkat(h->own_fd, PROBE_IMAGE, 0);
    return r;
}

static void probe(StorageHost *h) {
    Error project = ERROR_INIT, file_system = ERROR_INIT;
    if (project_probe(h->own_fd, &project) >= 0) {
        h->kind = STORAGE_PROJECT_QUOTA;
        return;
    }
    if (probe_file_system(h, &file_system) >= 0) {
        h->kind = STORAGE_FILE_SYSTEM;
        return;
    }
    h->kind = STORAGE_DIRECTORY;
    (void) snprintf(h->missing, sizeof(h->missing), "%.150s; %.200s", project.message, file_system.message);
}

static int open_own(int data_fd, Error *reterr) {
    if (mkdirat(data_fd, OWN_NAME, 0700) < 0 && errno != EEXIST)
        return error_failed(reterr, errno, STORAGE_SUBJECT, "the directory " OWN_NAME " cannot be made: %s",
                            strerror(errno));
    int fd = openat(data_fd, OWN_NAME, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    return fd < 0 ? error_failed(reterr, errno, STORAGE_SUBJECT, "the directory " OWN_NAME " cannot be opened: %s",
                                 strerror(errno))
                  : fd;
}

int storage_host_new(int data_fd, StorageHost **ret, Error *reterr) {
    _cleanup_(storage_host_freep) StorageHost *h = calloc(1, sizeof(*h));
    if (!h)
        return error_failed(reterr, ENOMEM, STORAGE_SUBJECT, "out of memory");
    h->data_fd = data_fd;
    h->own_fd = h->loop_control_fd = -EBADF;
    for (size_t i = 0; i < ELEMENTSOF(h->table); i++)
        h->table[i].fd = -EBADF;
    (void) pthread_mutex_init(&h->loops, NULL);
    (void) pthread_mutex_init(&h->templates, NULL);
    h->own_fd = open_own(data_fd, reterr);
    if (h->own_fd < 0)
        return h->own_fd;
    int r = template_load(h);
    if (r < 0)
        return error_failed(reterr, -r, STORAGE_SUBJECT, "the templates cannot be read: %s", strerror(-r));
    probe(h);
    *ret = TAKE_PTR(h);
    return 0;
}

StorageHost *storage_host_free(StorageHost *h) {
    if (!h)
        return NULL;
    for (size_t i = 0; i < ELEMENTSOF(h->table); i++)
        (void) fd_close(h->table[i].fd);
    (void) fd_close(h->loop_control_fd);
    (void) fd_close(h->own_fd);
    (void) pthread_mutex_destroy(&h->loops);
    (void) pthread_mutex_destroy(&h->templates);
    free(h);
    return NULL;
}

StorageKind storage_host_kind(const StorageHost *h) {
    return h->kind;
}

const char *storage_host_missing(const StorageHost *h) {
    return h->kind == STORAGE_DIRECTORY ? h->missing : NULL;
}

uint64_t storage_host_bytes(const StorageHost *h) {
    struct statvfs s;
    if (fstatvfs(h->own_fd, &s) < 0)
        return 0;
    return (uint64_t) s.f_blocks * s.f_frsize;
}

static int check_range(const char *field, uint64_t value, uint64_t min, uint64_t max, const char *unit, Error *reterr) {
    if (value >= min && value <= max)
        return 0;
    return error_invalid(reterr, field, "%llu is not between %llu and %llu %s", (unsigned long long) value,
                         (unsigned long long) min, (unsigned long long) max, unit);
}

static int check_inodes(const StorageHost *h, StorageKind kind, const StorageLimits *l, Error *reterr) {
    if (kind == STORAGE_PROJECT_QUOTA)
        return check_range("limits.inodes", l->inodes, STORAGE_INODES_MIN, UINT32_MAX, "inodes", reterr);
    if (l->bytes == STORAGE_LIMIT_NONE)
        return error_invalid(
            reterr, "limits.inodes",
            "on this host only together with limits.disk: the writable layer is a file system of its own");
    return check_range("limits.inodes", l->inodes, file_system_inodes_min(l->bytes), file_system_inodes_max(l->bytes),
                       "inodes for this size", reterr);
}

int storage_limits_check_kind(const StorageHost *h, StorageKind kind, const StorageLimits *l, Error *reterr) {
    bool bytes = l->bytes != STORAGE_LIMIT_NONE, inodes = l->inodes != STORAGE_LIMIT_NONE;
    if (!bytes && !inodes)
        return 0;
    if (kind == STORAGE_DIRECTORY)
        return error_set(reterr, ERROR_LIMIT_UNAVAILABLE, EOPNOTSUPP, STORAGE_SUBJECT,
                         "the writable layer cannot be limited: %s",
                         h->kind == STORAGE_DIRECTORY ? h->missing : "it is a plain directory");
    int r = bytes ? check_range("limits.disk", l->bytes, STORAGE_BYTES_MIN, storage_host_bytes(h), "bytes", reterr) : 0;
    return r >= 0 && inodes ? check_inodes(h, kind, l, reterr) : r;
}

int storage_limits_check(const StorageHost *h, const StorageLimits *l, Error *reterr) {
    return storage_limits_check_kind(h, h->kind, l, reterr);
}
