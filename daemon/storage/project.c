/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Project quotas, by the kernel's interface that ext4 and XFS have in common.
 *
 * That a file system has them says little: they may be counted but not enforced. So the probe sets limits on a project of
 * its own and counts as enforcement only what it saw refused.
 *
 * A process of a user namespace can give a file no other project id and can take PROJINHERIT from no directory: the
 * kernel refuses that (fileattr_set_prepare). Yet it compares with what the overlay shows, and for a directory of the
 * image that is project 0 without PROJINHERIT: to set any flag of it copies it up, which gives it the id, and then writes
 * these two over it with the overlay's rights. What is made in it from then on nobody counts (seen with 6.1). So
 * FS_IOC_SETFLAGS, FS_IOC_FSSETXATTR and file_setattr must be kept from the container by its system call filter.
 */

#include "storage/internal.h"
#include "util/paths.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/quota.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <time.h>

#ifndef SYS_quotactl_fd
#define SYS_quotactl_fd 443
#endif
#ifndef PRJQUOTA
#define PRJQUOTA 2
#endif

#define QUOTA_UNIT 1024ULL /* of limits in struct dqblk */

#define EMPTY_PAUSE_NSEC 5000000
#define EMPTY_TRIES      400U

#define PROBE_NAME    "probe"
#define PROBE_PROJECT 0x4b656e65U /* not the first of any range of ids */
#define PROBE_BYTES   (256ULL * 1024)
#define PROBE_INODES  8ULL
#define PROBE_TRIES   4U

static int quota_call(int fd, int command, uint32_t project, void *argument) {
    unsigned what = (unsigned) command << SUBCMDSHIFT | PRJQUOTA; /* QCMD() shifts a signed number */
    return syscall(SYS_quotactl_fd, fd, what, project, argument) < 0 ? -errno : 0;
}

/* Up to whole blocks of the file system, as XFS keeps them. */
static uint64_t units(int fd, uint64_t bytes) {
    struct statvfs s;
    uint64_t block = fstatvfs(fd, &s) < 0 || s.f_bsize < QUOTA_UNIT ? STORAGE_BLOCK : s.f_bsize;
    return bytes == STORAGE_LIMIT_NONE ? 0 : (bytes / block + (bytes % block != 0)) * (block / QUOTA_UNIT);
}

int project_read(int fd, uint32_t project, StorageUsage *ret) {
    struct dqblk d = { 0 };
    int r = quota_call(fd, Q_GETQUOTA, project, &d);
    if (r == -ENOENT) /* XFS: nothing of it was ever used */
        r = 0;
    if (r < 0)
        return r;
    *ret = (StorageUsage){
        .bytes = d.dqb_curspace,
        .inodes = d.dqb_curinodes,
        .bytes_limit = d.dqb_bhardlimit ? d.dqb_bhardlimit * QUOTA_UNIT : STORAGE_LIMIT_NONE,
        .inodes_limit = d.dqb_ihardlimit ? d.dqb_ihardlimit : STORAGE_LIMIT_NONE,
    };
    return 0;
}

int project_set_limits(int fd, uint32_t project, const StorageLimits *limits, Error *reterr) {
    struct dqblk found = { 0 }, d = {
        .dqb_bhardlimit = units(fd, limits->bytes),
        .dqb_ihardlimit = limits->inodes == STORAGE_LIMIT_NONE ? 0 : limits->inodes,
        .dqb_valid = QIF_LIMITS,
    };
    int r = quota_call(fd, Q_SETQUOTA, project, &d);
    if (r < 0)
        return error_set(reterr, ERROR_LIMIT_UNAVAILABLE, -r, STORAGE_SUBJECT,
                         "the quota of project %u cannot be set: %s", project, strerror(-r));
    r = quota_call(fd, Q_GETQUOTA, project, &found);
    if (r < 0 && r != -ENOENT)
        return error_set(reterr, ERROR_LIMIT_UNAVAILABLE, -r, STORAGE_SUBJECT,
                         "the quota of project %u cannot be read back: %s", project, strerror(-r));
    if (found.dqb_bhardlimit != d.dqb_bhardlimit || found.dqb_ihardlimit != d.dqb_ihardlimit)
        return error_set(reterr, ERROR_LIMIT_UNAVAILABLE, EIO, STORAGE_SUBJECT,
                         "the quota of project %u was set to %llu KiB and %llu inodes, and reads as %llu and %llu",
                         project, (unsigned long long) d.dqb_bhardlimit, (unsigned long long) d.dqb_ihardlimit,
                         (unsigned long long) found.dqb_bhardlimit, (unsigned long long) found.dqb_ihardlimit);
    return 0;
}

void project_wait_empty(int fd, uint32_t project) {
    const struct timespec pause = { .tv_nsec = EMPTY_PAUSE_NSEC };
    for (unsigned i = 0; i < EMPTY_TRIES; i++) {
        StorageUsage u, ignored;
        if (project_read(fd, project, &u) < 0 || (u.bytes == 0 && u.inodes == 0))
            return;
        (void) project_read(fd, 0, &ignored); /* asking for the first one has XFS hurry */
        (void) clock_nanosleep(CLOCK_MONOTONIC, 0, &pause, NULL);
    }
}

int project_assign(int dir_fd, uint32_t project, Error *reterr) {
    struct fsxattr x = { 0 };
    int r = 0;
    if (ioctl(dir_fd, FS_IOC_FSGETXATTR, &x) < 0)
        r = -errno;
    x.fsx_projid = project;
    x.fsx_xflags |= FS_XFLAG_PROJINHERIT;
    if (r >= 0 && ioctl(dir_fd, FS_IOC_FSSETXATTR, &x) < 0)
        r = -errno;
    x = (struct fsxattr){ 0 };
    if (r >= 0 && ioctl(dir_fd, FS_IOC_FSGETXATTR, &x) < 0)
        r = -errno;
    if (r >= 0 && (x.fsx_projid != project || !(x.fsx_xflags & FS_XFLAG_PROJINHERIT)))
        r = -EIO;
    return r < 0 ? error_set(reterr, ERROR_LIMIT_UNAVAILABLE, -r, STORAGE_SUBJECT,
                             "the writable layer cannot be given the project id %u: %s", project, strerror(-r))
                 : 0;
}

/* ---- the probe -------------------------------------------------------------------------------------------------- */

/*
 * ext4 lets whoever has CAP_SYS_RESOURCE pass its limits. No container has it on the host; this thread lays it down for
 * as long as it probes.
 */
static int lay_down_resource(struct __user_cap_data_struct ret_former[2]) {
    struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
    struct __user_cap_data_struct without[2];
    if (syscall(SYS_capget, &header, ret_former) < 0)
        return -errno;
    memcpy(without, ret_former, sizeof(without));
    without[CAP_TO_INDEX(CAP_SYS_RESOURCE)].effective &= ~CAP_TO_MASK(CAP_SYS_RESOURCE);
    return syscall(SYS_capset, &header, without) < 0 ? -errno : 0;
}

static int take_up(const struct __user_cap_data_struct former[2]) {
    struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
    return syscall(SYS_capset, &header, former) < 0 ? -errno : 0;
}

static bool is_refusal(int code) {
    return code == EDQUOT || code == ENOSPC;
}

static int probe_bytes(int dir_fd) {
    static const char block[65536];
    _cleanup_fd_ int fd = openat(dir_fd, "bytes", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return -errno;
    uint64_t written = 0;
    int code = 0;
    while (written <= 2 * PROBE_BYTES && !code) {
        ssize_t n = write(fd, block, sizeof(block));
        if (n < 0 && errno != EINTR)
            code = errno;
        else if (n > 0)
            written += (uint64_t) n;
    }
    (void) unlinkat(dir_fd, "bytes", 0);
    if (code && !is_refusal(code))
        return -code;
    return code && written >= PROBE_BYTES / 2 && written <= PROBE_BYTES ? 0 : -EOPNOTSUPP;
}

static int probe_inodes(int dir_fd) {
    char name[16];
    unsigned made = 0;
    int code = 0;
    for (; made <= 2 * PROBE_INODES && !code; made += !code) {
        (void) snprintf(name, sizeof(name), "%u", made);
        if (mknodat(dir_fd, name, S_IFREG | 0600, 0) < 0)
            code = errno;
    }
    for (unsigned i = 0; i < made; i++) {
        (void) snprintf(name, sizeof(name), "%u", i);
        (void) unlinkat(dir_fd, name, 0);
    }
    if (code && !is_refusal(code))
        return -code;
    return code && made > 0 && made <= PROBE_INODES ? 0 : -EOPNOTSUPP;
}

static int probe_directory(int fd, Error *reterr) {
    struct __user_cap_data_struct former[2];
    const StorageLimits limits = { PROBE_BYTES, PROBE_INODES };
    int r = project_assign(fd, PROBE_PROJECT, reterr);
    if (r >= 0)
        r = project_set_limits(fd, PROBE_PROJECT, &limits, reterr);
    if (r < 0)
        return r;
    r = lay_down_resource(former);
    if (r < 0)
        return error_failed(reterr, -r, STORAGE_SUBJECT, "CAP_SYS_RESOURCE cannot be laid down: %s", strerror(-r));
    int bytes = probe_bytes(fd), inodes = probe_inodes(fd);
    r = take_up(former);
    if (r < 0)
        return error_failed(reterr, -r, STORAGE_SUBJECT, "CAP_SYS_RESOURCE cannot be taken up: %s", strerror(-r));
    if (bytes < 0 || inodes < 0)
        return error_set(reterr, ERROR_LIMIT_UNAVAILABLE, EOPNOTSUPP, STORAGE_SUBJECT,
                         "the file system has project quotas, but a limit of %s was not held",
                         bytes < 0 ? "bytes" : "inodes");
    return 0;
}

/* Where none are in force, there is nothing to probe. */
static int ask_state(int fd, Error *reterr) {
    struct dqblk d = { 0 };
    int r = quota_call(fd, Q_GETQUOTA, PROBE_PROJECT, &d);
    if (r >= 0 || r == -ENOENT)
        return 0;
    const char *why = r == -ESRCH || r == -ENOSYS || r == -EOPNOTSUPP ? "mount option prjquota" : strerror(-r);
    return error_set(reterr, ERROR_LIMIT_UNAVAILABLE, -r, STORAGE_SUBJECT,
                     "the file system of the data directory has no project quotas (%s)", why);
}

/* A full file system would look like one that refuses. */
static int ask_room(int fd, Error *reterr) {
    struct statvfs s;
    if (fstatvfs(fd, &s) < 0)
        return error_failed(reterr, errno, STORAGE_SUBJECT, "the data directory's file system: %s", strerror(errno));
    if (s.f_bavail * s.f_frsize < 16 * PROBE_BYTES || s.f_favail < 16 * PROBE_INODES)
        return error_failed(reterr, ENOSPC, STORAGE_SUBJECT,
                            "the file system of the data directory is too full to tell whether it enforces quotas");
    return 0;
}

static int probe_once(int dir_fd, Error *reterr) {
    int r = path_remove_tree_at(dir_fd, PROBE_NAME);
    if (r >= 0 && mkdirat(dir_fd, PROBE_NAME, 0700) < 0)
        r = -errno;
    if (r < 0)
        return error_failed(reterr, -r, STORAGE_SUBJECT, "a directory to probe in cannot be made: %s", strerror(-r));
    _cleanup_fd_ int fd = path_open_at(dir_fd, PROBE_NAME, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0, RESOLVE_BENEATH);
    r = fd < 0 ? error_failed(reterr, -fd, STORAGE_SUBJECT, "the directory to probe in: %s", strerror(-fd))
               : probe_directory(fd, reterr);
    (void) path_remove_tree_at(dir_fd, PROBE_NAME);
    return r;
}

/*
 * What XFS still counts of a former probe would be refused too early, which says nothing. So it is waited for, and a
 * probe that did not see a limit held is made again; one that saw it is believed.
 */
int project_probe(int dir_fd, Error *reterr) {
    int r = ask_state(dir_fd, reterr);
    if (r >= 0)
        r = ask_room(dir_fd, reterr);
    if (r < 0)
        return r;
    for (unsigned i = 0; i < PROBE_TRIES; i++) {
        project_wait_empty(dir_fd, PROBE_PROJECT);
        r = probe_once(dir_fd, reterr);
        if (r >= 0)
            break;
    }
    (void) project_set_limits(dir_fd, PROBE_PROJECT, &STORAGE_LIMITS_NONE, NULL);
    return r;
}
