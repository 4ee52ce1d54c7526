/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * A container's writable layer, and what holds it to its size.
 *
 *     projectQuota  a directory with a project id of its own, on a file system that enforces project quotas: the kernel
 *                   counts bytes and inodes, and answers EDQUOT or ENOSPC at the limit
 *     fileSystem    a file system of its own (ext4, no journal) in a sparse file on a loop device, where there are no
 *                   project quotas: it ends where it ends, with ENOSPC, and nobody else notices
 *     directory     a plain directory, for a container without a limit on a host that can give neither; what it uses is
 *                   not known, and is said to be so
 *
 * The file system of its own is never in the host's mount table: it is a detached mount, gone with its last user, and
 * the loop device with it. Its content is the daemon's own making up to the moment the container gets it; the container
 * reaches files in it, never its blocks.
 *
 * A file system of its own is as large as what was asked for and what it needs for itself together; its inodes end at
 * the limit as well, or, where none was asked for, at one for each 16 KiB. Without a limit it is as large as the host's,
 * only to be counted. Images are sparse: nothing is set apart for anybody, and what all may fill together can be more
 * than there is. If the host's file system becomes full, a container gets I/O errors for what it writes, and its file
 * system may become read-only; the host's own programs and other containers meet the same end. Whoever must not has to
 * give out less than there is. Project quotas promise room as little, but there such an end is a plain ENOSPC.
 *
 * Whatever may block is a worker's job; a StorageLayer belongs to one container. Reading the usage is for the loop.
 */

#include "kennel/error.h"

#define STORAGE_LIMIT_NONE UINT64_MAX
#define STORAGE_UNKNOWN    UINT64_MAX
#define STORAGE_BYTES_MIN  (1ULL * 1024 * 1024)
#define STORAGE_INODES_MIN 16ULL

typedef enum StorageKind {
    STORAGE_DIRECTORY,
    STORAGE_PROJECT_QUOTA,
    STORAGE_FILE_SYSTEM,
    _STORAGE_KIND_MAX,
} StorageKind;

const char *storage_kind_to_string(StorageKind k); /* "directory", "projectQuota", "fileSystem": as in the interface */

/* Of the writable layer. STORAGE_LIMIT_NONE where there is none. */
typedef struct StorageLimits {
    uint64_t bytes, inodes;
} StorageLimits;

#define STORAGE_LIMITS_NONE ((StorageLimits){ STORAGE_LIMIT_NONE, STORAGE_LIMIT_NONE })

/* What is used and what is allowed. STORAGE_UNKNOWN where it cannot be had: then `reason` says why (static). A limit that
 * there is none of is STORAGE_LIMIT_NONE. */
typedef struct StorageUsage {
    uint64_t bytes, inodes, bytes_limit, inodes_limit;
    const char *reason;
} StorageUsage;

typedef struct StorageHost StorageHost;
typedef struct StorageLayer StorageLayer;

/*
 * Asks the file system of DATA_FD (borrowed, lives longer) for project quotas, then for loop devices and mkfs.ext4.
 * Succeeds on a host that has neither: storage_host_missing() tells.
 */
int storage_host_new(int data_fd, StorageHost **ret, Error *reterr);
StorageHost *storage_host_free(StorageHost *h);
DEFINE_CLEANUP(StorageHost, storage_host_free)

/* What holds a layer to its size here; STORAGE_DIRECTORY: nothing can, and storage_host_missing() says why. */
StorageKind storage_host_kind(const StorageHost *h);
const char *storage_host_missing(const StorageHost *h);

/* ERROR_INVALID_SPEC "limits.disk" or "limits.inodes" with the range (the file system's size is the end of it);
 * ERROR_LIMIT_UNAVAILABLE "storage". */
int storage_limits_check(const StorageHost *h, const StorageLimits *l, Error *reterr);

/*
 * Makes the layer in DIR_FD, the container's own directory in the data directory. PROJECT: a number that no other
 * container of this host has (the first id of its range). On failure nothing is left. Blocks.
 */
int storage_layer_create(StorageHost *h, int dir_fd, uint32_t project, const StorageLimits *limits, StorageLayer **ret,
                         Error *reterr);
/*
 * The layer of a container that a former daemon started, and that still runs: ROOT_FD is its root directory (an overlay,
 * whose statfs is the layer's), KIND what its record says.
 */
int storage_layer_open(StorageHost *h, int dir_fd, uint32_t project, StorageKind kind, int root_fd, StorageLayer **ret,
                       Error *reterr);
/* Closes; removes nothing. As long as it is open, a file system of its own lives, also without its container. */
StorageLayer *storage_layer_free(StorageLayer *l);
DEFINE_CLEANUP(StorageLayer, storage_layer_free)

StorageKind storage_layer_kind(const StorageLayer *l);
/* The empty directory to make `upper` and `work` in (SandboxSpec.layer_fd), and whether it is the root of a detached
 * mount that the container's overlay is to take as it is (then the fd is O_PATH). -EBADF after storage_layer_open(). */
int storage_layer_fd(const StorageLayer *l);
bool storage_layer_is_mount(const StorageLayer *l);
/*
 * The directory NAME in it, for reading: `upper` is what the container has written. Also after storage_layer_open(). An fd,
 * to be closed before the layer is removed, or -errno.
 */
int storage_layer_open_part(StorageLayer *l, const char *name);

/*
 * Changes the limits of a running container: both, in place of the former ones. What cannot be had (a file system of its
 * own does not shrink, a plain directory has no limit) is ERROR_LIMIT_UNAVAILABLE "storage"; less than is in use is
 * ERROR_INVALID_SPEC. Read back. Blocks.
 */
int storage_layer_set_limits(StorageLayer *l, const StorageLimits *limits, Error *reterr);

/* One system call on an open fd (fstatfs or quotactl_fd); cannot fail. */
void storage_layer_usage(StorageLayer *l, StorageUsage *ret);

/*
 * Removes what storage_layer_create() made in DIR_FD, whatever its kind and however far it came: files, image, the quota
 * of PROJECT. Succeeds if there is nothing. No StorageLayer of it may be open. Blocks.
 */
int storage_layer_remove(StorageHost *h, int dir_fd, uint32_t project, Error *reterr);
