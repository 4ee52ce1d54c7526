/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * One container's writable layer.
 *
 * What is made is made in an order that leaves nothing which storage_layer_remove() would not find by name: a directory
 * or an image, and the quota of a project. Device and mount of a file system of its own have no name and no owner but
 * the fds, so they end with the daemon that is killed, or with the container that already has them.
 */

#include "storage/internal.h"
#include "util/paths.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/stat.h>

static StorageLayer *layer_new(StorageHost *h, StorageKind kind, uint32_t project) {
    StorageLayer *l = calloc(1, sizeof(*l));
    if (!l)
        return NULL;
    *l = (StorageLayer){ .host = h, .kind = kind, .project = project, .fd = -EBADF, .image_fd = -EBADF };
    (void) pthread_mutex_init(&l->lock, NULL);
    return l;
}

StorageLayer *storage_layer_free(StorageLayer *l) {
    if (!l)
        return NULL;
    (void) fd_close(l->fd);
    (void) fd_close(l->image_fd);
    (void) pthread_mutex_destroy(&l->lock);
    free(l);
    return NULL;
}

StorageKind storage_layer_kind(const StorageLayer *l) {
    return l->kind;
}

int storage_layer_fd(const StorageLayer *l) {
    return l->is_opened ? -EBADF : l->fd;
}

bool storage_layer_is_mount(const StorageLayer *l) {
    return l->kind == STORAGE_FILE_SYSTEM && !l->is_opened;
}

/* ---- making ----------------------------------------------------------------------------------------------------- */

static int open_directory(int dir_fd) {
    return path_open_at(dir_fd, STORAGE_DIRECTORY_NAME, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0, RESOLVE_BENEATH);
}

static int create_directory(StorageLayer *l, int dir_fd, const StorageLimits *limits, Error *reterr) {
    if (mkdirat(dir_fd, STORAGE_DIRECTORY_NAME, 0700) < 0)
        return error_failed(reterr, errno, STORAGE_SUBJECT, "the writable layer cannot be made: %s", strerror(errno));
    l->fd = open_directory(dir_fd);
    return l->fd < 0 ? error_failed(reterr, -l->fd, STORAGE_SUBJECT, "the writable layer cannot be opened: %s",
                                    strerror(-l->fd))
                     : 0;
}

/* Limits first: nothing that is made with the id is ever without them. */
static int create_project(StorageLayer *l, int dir_fd, const StorageLimits *limits, Error *reterr) {
    int r = create_directory(l, dir_fd, limits, reterr);
    if (r >= 0)
        r = project_set_limits(l->fd, l->project, limits, reterr);
    return r < 0 ? r : project_assign(l->fd, l->project, reterr);
}

/* Read back from the kernel: the record is what was measured when the template was made. */
static int check_size(const StorageLayer *l, const StorageLimits *limits, Error *reterr) {
    StorageUsage u;
    int r = file_system_usage(l->fd, &l->record, &u);
    if (r < 0)
        return error_failed(reterr, -r, STORAGE_SUBJECT, "the writable layer's size cannot be read: %s", strerror(-r));
    uint64_t slack = limits->bytes / 100;
    if (limits->bytes != STORAGE_LIMIT_NONE &&
        (u.bytes_limit < limits->bytes - slack || u.bytes_limit > limits->bytes + slack))
        return error_set(reterr, ERROR_LIMIT_UNAVAILABLE, ERANGE, STORAGE_SUBJECT,
                         "the writable layer was to hold %llu bytes, and holds %llu",
                         (unsigned long long) limits->bytes, (unsigned long long) u.bytes_limit);
    return 0;
}

static int create_file_system(StorageLayer *l, int dir_fd, const StorageLimits *limits, Error *reterr) {
    l->image_fd = openat(dir_fd, STORAGE_IMAGE_NAME, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (l->image_fd < 0)
        return error_failed(reterr, errno, STORAGE_SUBJECT, "the image cannot be made: %s", strerror(errno));
    int r = template_copy(l->host, limits, l->image_fd, &l->record, reterr);
    if (r < 0)
        return r;
    _cleanup_fd_ int loop = loop_attach(l->host, l->image_fd);
    if (loop < 0)
        return error_failed(reterr, -loop, STORAGE_SUBJECT, "no loop device can be had: %s", strerror(-loop));
    l->fd = loop_mount(loop, reterr);
    return l->fd < 0 ? l->fd : check_size(l, limits, reterr);
}

typedef struct Kind {
    const char *name; /* of what is made in the container's directory */
    int (*create)(StorageLayer *l, int dir_fd, const StorageLimits *limits, Error *reterr);
} Kind;

static const Kind kinds[] = {
    [STORAGE_DIRECTORY] = { STORAGE_DIRECTORY_NAME, create_directory },
    [STORAGE_PROJECT_QUOTA] = { STORAGE_DIRECTORY_NAME, create_project },
    [STORAGE_FILE_SYSTEM] = { STORAGE_IMAGE_NAME, create_file_system },
};

int storage_layer_create(StorageHost *h, int dir_fd, uint32_t project, const StorageLimits *limits, StorageLayer **ret,
                         Error *reterr) {
    const Kind *kind = &kinds[h->kind];
    int r = storage_limits_check(h, limits, reterr);
    if (r < 0)
        return r;
    /* Somebody else's is neither used nor removed. */
    if (faccessat(dir_fd, kind->name, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
        return error_failed(reterr, EEXIST, STORAGE_SUBJECT, "there is a writable layer already");
    _cleanup_(storage_layer_freep) StorageLayer *l = layer_new(h, h->kind, project);
    if (!l)
        return error_failed(reterr, ENOMEM, STORAGE_SUBJECT, "out of memory");
    r = kind->create(l, dir_fd, limits, reterr);
    if (r < 0) {
        l = storage_layer_free(l);
        (void) storage_layer_remove(h, dir_fd, project, NULL);
        return r;
    }
    *ret = TAKE_PTR(l);
    return 0;
}

/* ---- finding again ---------------------------------------------------------------------------------------------- */

static int open_file_system(StorageLayer *l, int dir_fd, int root_fd) {
    l->image_fd = path_open_at(dir_fd, STORAGE_IMAGE_NAME, O_RDWR | O_NOFOLLOW, 0, RESOLVE_BENEATH);
    if (l->image_fd < 0)
        return l->image_fd;
    int r = file_system_read_record(l->image_fd, &l->record);
    if (r < 0)
        return r;
    l->fd = fcntl(root_fd, F_DUPFD_CLOEXEC, 3);
    return l->fd < 0 ? -errno : 0;
}

int storage_layer_open(StorageHost *h, int dir_fd, uint32_t project, StorageKind kind, int root_fd, StorageLayer **ret,
                       Error *reterr) {
    if ((size_t) kind >= ELEMENTSOF(kinds))
        return error_failed(reterr, EINVAL, STORAGE_SUBJECT, "there is no such kind of writable layer");
    _cleanup_(storage_layer_freep) StorageLayer *l = layer_new(h, kind, project);
    if (!l)
        return error_failed(reterr, ENOMEM, STORAGE_SUBJECT, "out of memory");
    l->is_opened = true;
    int r = 0;
    if (kind == STORAGE_FILE_SYSTEM)
        r = open_file_system(l, dir_fd, root_fd);
    else
        r = l->fd = open_directory(dir_fd);
    if (r < 0)
        return error_failed(reterr, -r, STORAGE_SUBJECT, "the writable layer cannot be opened again: %s", strerror(-r));
    *ret = TAKE_PTR(l);
    return 0;
}

/*
 * A file system of its own is mounted once more: the same superblock, by a mount that hangs nowhere and goes with the last
 * file that is open on it.
 */
static int open_mounted(StorageLayer *l, const char *name) {
    _cleanup_fd_ int loop = loop_find(l->host, l->image_fd);
    if (loop < 0)
        return loop;
    _cleanup_fd_ int root = loop_mount(loop, NULL);
    return root < 0 ? root : path_open_at(root, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0, RESOLVE_BENEATH);
}

int storage_layer_open_part(StorageLayer *l, const char *name) {
    if (l->is_opened && l->kind == STORAGE_FILE_SYSTEM)
        return open_mounted(l, name);
    return path_open_at(l->fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0, RESOLVE_BENEATH);
}

/* ---- limits and usage ------------------------------------------------------------------------------------------- */

static int set_project(StorageLayer *l, const StorageLimits *limits, Error *reterr) {
    StorageUsage u;
    int r = project_read(l->fd, l->project, &u);
    if (r < 0)
        return error_set(reterr, ERROR_LIMIT_UNAVAILABLE, -r, STORAGE_SUBJECT, "the quota cannot be read: %s",
                         strerror(-r));
    if (limits->bytes < u.bytes)
        return error_invalid(reterr, "limits.disk", "%llu is less than the %llu bytes in use",
                             (unsigned long long) limits->bytes, (unsigned long long) u.bytes);
    if (limits->inodes < u.inodes)
        return error_invalid(reterr, "limits.inodes", "%llu is less than the %llu inodes in use",
                             (unsigned long long) limits->inodes, (unsigned long long) u.inodes);
    return project_set_limits(l->fd, l->project, limits, reterr);
}

/* The loop reads the usage meanwhile, with the record of before. */
static int set_file_system(StorageLayer *l, const StorageLimits *limits, Error *reterr) {
    FileSystemRecord record = l->record;
    int r = file_system_set_limits(l->host, l->image_fd, limits, &record, reterr);
    (void) pthread_mutex_lock(&l->lock);
    l->record = record;
    (void) pthread_mutex_unlock(&l->lock);
    return r;
}

int storage_layer_set_limits(StorageLayer *l, const StorageLimits *limits, Error *reterr) {
    int r = storage_limits_check_kind(l->host, l->kind, limits, reterr);
    if (r < 0 || l->kind == STORAGE_DIRECTORY)
        return r;
    return l->kind == STORAGE_PROJECT_QUOTA ? set_project(l, limits, reterr) : set_file_system(l, limits, reterr);
}

void storage_layer_usage(StorageLayer *l, StorageUsage *ret) {
    static const char *const reasons[] = {
        [STORAGE_DIRECTORY] = "the writable layer is a plain directory, since the host has neither project quotas nor "
                              "loop devices with mkfs.ext4",
        [STORAGE_PROJECT_QUOTA] = "the kernel does not tell what the project uses",
        [STORAGE_FILE_SYSTEM] = "the kernel does not tell how full the file system is",
    };
    int r = -ENODATA;
    if (l->kind == STORAGE_PROJECT_QUOTA)
        r = project_read(l->fd, l->project, ret);
    if (l->kind == STORAGE_FILE_SYSTEM) {
        (void) pthread_mutex_lock(&l->lock);
        FileSystemRecord record = l->record;
        (void) pthread_mutex_unlock(&l->lock);
        r = file_system_usage(l->fd, &record, ret);
    }
    if (r >= 0)
        return;
    uint64_t limit = l->kind == STORAGE_DIRECTORY ? STORAGE_LIMIT_NONE : STORAGE_UNKNOWN;
    *ret = (StorageUsage){ STORAGE_UNKNOWN, STORAGE_UNKNOWN, limit, limit, reasons[l->kind] };
}

/* ---- removing --------------------------------------------------------------------------------------------------- */

int storage_layer_remove(StorageHost *h, int dir_fd, uint32_t project, Error *reterr) {
    int r = path_remove_tree_at(dir_fd, STORAGE_DIRECTORY_NAME);
    if (r >= 0 && unlinkat(dir_fd, STORAGE_IMAGE_NAME, 0) < 0 && errno != ENOENT)
        r = -errno;
    if (r < 0)
        return error_failed(reterr, -r, STORAGE_SUBJECT, "the writable layer cannot be removed: %s", strerror(-r));
    if (h->kind != STORAGE_PROJECT_QUOTA)
        return 0;
    project_wait_empty(h->own_fd, project);
    return project_set_limits(h->own_fd, project, &STORAGE_LIMITS_NONE, reterr);
}
