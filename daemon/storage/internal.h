/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What the files of this folder share, and nobody else sees.
 *
 * In the data directory `storage/` is the host's own (templates); in a container's directory there are `layer`, the
 * directory of the first two kinds, or `layer.img`, the image of the third.
 */

#include "storage/storage.h"

#include <linux/fs.h>
#include <pthread.h>

#define STORAGE_DIRECTORY_NAME "layer"
#define STORAGE_IMAGE_NAME     "layer.img"
#define STORAGE_BLOCK          4096ULL
#define STORAGE_TEMPLATES_MAX  8U
#define STORAGE_SUBJECT        "storage" /* of ERROR_LIMIT_UNAVAILABLE */

/*
 * What a file system of its own has to be measured against; an extended attribute of its image, where a later daemon
 * finds it. An empty one has its own blocks and inodes in use, and the kernel keeps some blocks back: none of these are
 * the container's.
 */
typedef struct FileSystemRecord {
    uint64_t version;
    uint64_t limited;         /* bytes were asked for: 0 is a file system as large as the host's, only to be counted */
    uint64_t inodes;          /* asked for; STORAGE_LIMIT_NONE: what came of itself */
    uint64_t own_blocks;      /* in use by an empty one */
    uint64_t own_inodes;      /* likewise, without the ballast */
    uint64_t ballast;         /* empty files that take the inodes beyond the limit */
    uint64_t reserved_blocks; /* that the kernel keeps for itself */
} FileSystemRecord;

typedef struct Template {
    StorageLimits limits;
    int fd;        /* -EBADF: a free slot */
    uint64_t used; /* the counter's value when it was last used */
    FileSystemRecord record;
} Template;

struct StorageHost {
    StorageKind kind;
    int data_fd; /* borrowed */
    int own_fd;  /* storage/ */
    char missing[ERROR_MESSAGE_MAX];
    const char *mkfs; /* path of mkfs.ext4 */
    int loop_control_fd;
    pthread_mutex_t loops;     /* from asking for a free device to having it */
    pthread_mutex_t templates; /* the table, and the making of one */
    Template table[STORAGE_TEMPLATES_MAX];
    uint64_t counter;
};

struct StorageLayer {
    StorageHost *host;
    StorageKind kind;
    uint32_t project;
    int fd;         /* `layer`, the file system's root, or the container's root */
    int image_fd;   /* a file system of its own: the image */
    bool is_opened; /* by storage_layer_open(): fd is not the layer's root */
    pthread_mutex_t lock;
    FileSystemRecord record; /* under the lock */
};

/* project.c: project quotas of a file system, by any fd on it. */

/* Has seen the file system of DIR_FD refuse bytes and inodes at a limit. 0, or an error that says what it did. */
int project_probe(int dir_fd, Error *reterr);
/* Gives the directory DIR_FD, and what will be made in it, the id, and reads that back. */
int project_assign(int dir_fd, uint32_t project, Error *reterr);
int project_set_limits(int fd, uint32_t project, const StorageLimits *limits, Error *reterr);
int project_read(int fd, uint32_t project, StorageUsage *ret);
/* XFS counts removed files until it has come to them, and the id may have a new owner soon. Waits two seconds at most. */
void project_wait_empty(int fd, uint32_t project);

/* mkfs.c */
const char *mkfs_find(void);
/* Makes an empty file system of BLOCKS blocks in the file IMAGE_FD, which has its size already. */
int mkfs_run(const char *path, int image_fd, uint64_t blocks, uint64_t inodes, Error *reterr);

/* loop.c */
int loop_open_control(void);
/* A loop device over IMAGE_FD that goes with its last user. An fd or -errno. */
int loop_attach(StorageHost *h, int image_fd);
/* The device that IMAGE_FD is attached to: an fd, or -ENOENT. */
int loop_find(StorageHost *h, int image_fd);
/* After IMAGE_FD has become larger. */
int loop_update_size(int loop_fd);
/* Mounts the file system on it, or mounts it once more: the root of a detached mount, or -errno. */
int loop_mount(int loop_fd, Error *reterr);

/* file-system.c: an ext4 of the container's own. */
uint64_t file_system_blocks(uint64_t bytes);
uint64_t file_system_inodes_default(uint64_t bytes);
uint64_t file_system_inodes_min(uint64_t bytes);
uint64_t file_system_inodes_max(uint64_t bytes);
int file_system_read_record(int image_fd, FileSystemRecord *ret);
int file_system_write_record(int image_fd, const FileSystemRecord *record);
/* FD: anything on it, or the root of the overlay above it. */
int file_system_usage(int fd, const FileSystemRecord *record, StorageUsage *ret);
/* Makes IMAGE_FD an empty file system that has the limits for its user. RECORD is written to the image too. */
int file_system_make(StorageHost *h, int image_fd, const StorageLimits *limits, FileSystemRecord *ret, Error *reterr);
/* Changes the limits of the mounted file system on IMAGE_FD. RECORD is that of before, and of after. */
int file_system_set_limits(StorageHost *h, int image_fd, const StorageLimits *limits, FileSystemRecord *record,
                           Error *reterr);

/* template.c: pristine images, one for each size that was asked for lately. */
int template_load(StorageHost *h);
/* A copy in the empty file IMAGE_FD. */
int template_copy(StorageHost *h, const StorageLimits *limits, int image_fd, FileSystemRecord *ret, Error *reterr);
/* host.c */
int storage_limits_check_kind(const StorageHost *h, StorageKind kind, const StorageLimits *l, Error *reterr);
/* How large a file system is that has no limit: as the host's. */
uint64_t storage_host_bytes(const StorageHost *h);
