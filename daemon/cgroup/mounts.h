/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Where the kernel says that cgroup file systems are mounted. */

#include "kennel/cleanup.h"

typedef struct CgroupMount {
    uint64_t id; /* as statx gives it: tells whether `point` still leads here or has been mounted over */
    char *root, *point;
    char *options; /* of the superblock: the v1 controllers are among them */
    bool is_v2;
} CgroupMount;

typedef struct CgroupMounts {
    CgroupMount *items;
    size_t n;
} CgroupMounts;

/* From the text of mountinfo, strictly: -EBADMSG if a line is not as proc(5) has it. */
int cgroup_mounts_parse(const char *text, CgroupMounts *ret);
int cgroup_mounts_read(CgroupMounts *ret);
void cgroup_mounts_done(CgroupMounts *m);

/*
 * Opens the root directory of the mount that lies at its mount point now (O_PATH). -ESTALE if another one covers it.
 */
int cgroup_mount_open(const CgroupMount *m);
