/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Files by fd. Nothing here follows a path out of the directory that it was given: lookups use openat2 with
 * RESOLVE_IN_ROOT or RESOLVE_BENEATH, removal walks fds and never names (CVE-2018-15664, CVE-2024-23652).
 */

#include "kennel/cleanup.h"

#include <sys/types.h>

/* openat2; returns a CLOEXEC fd or -errno. RESOLVE is RESOLVE_* of linux/openat2.h. */
int path_open_at(int dir_fd, const char *path, int flags, mode_t mode, uint64_t resolve);

/* Reads a whole regular file of at most MAX bytes (-EFBIG beyond). The result has a NUL after its SIZE bytes. */
int path_read_file_at(int dir_fd, const char *path, uint64_t resolve, size_t max, char **ret, size_t *ret_size);

/* Writes atomically: a new file beside it, fsync if SYNC, then rename. */
int path_write_file_at(int dir_fd, const char *name, const void *bytes, size_t size, mode_t mode, bool sync);

/* mkdir -p beneath DIR_FD and open the last part O_PATH|O_DIRECTORY. Existing parts are left as they are. */
int path_make_directories_at(int dir_fd, const char *path, mode_t mode);

/*
 * Removes NAME in DIR_FD and everything below, on the same file system only, symbolic links as links. -ENOENT is
 * success. Depth is bounded by fds kept open (64 levels), beyond which it works level by level.
 */
int path_remove_tree_at(int dir_fd, const char *name);
