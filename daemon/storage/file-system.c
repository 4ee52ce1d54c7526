/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * A file system of its own, so large that what its user can fill is what was asked for.
 *
 * Tables, the kernel's reserve and what an empty file system uses come on top. How much that is, mkfs and the kernel
 * decide, so nothing here calculates it exactly: one is made, mounted, measured, and made anew by the difference. Inodes
 * come in whole blocks of tables, for each 128 MiB; those beyond the limit are taken by empty files in a directory
 * outside of what the container sees (the ballast), so that this limit is exact as well, and can be changed both ways.
 */

#include "storage/internal.h"

#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <sys/xattr.h>

#define RECORD_NAME         "trusted.kennel.storage"
#define RECORD_VERSION      1U /* of what mkfs_run() makes as well: templates of another version are made anew */
#define GROUP_BLOCKS        32768ULL
#define INODE_SIZE          256ULL
#define DESCRIPTORS_A_BLOCK 64U
#define INODES_A_BLOCK      (STORAGE_BLOCK / INODE_SIZE)
#define INODES_OF_EMPTY     12ULL /* 10 of the format, lost+found, the ballast's directory */
#define BYTES_PER_INODE     16384ULL
#define INODES_FLOOR        128ULL
#define BALLAST_NAME        "ballast"
#define BALLAST_MAX         65536ULL
#define FIT_TRIES           8U
#define FIT_TOLERANCE       400U /* one 400th, if the exact size cannot be had */

#ifndef EXT4_IOC_RESIZE_FS
#define EXT4_IOC_RESIZE_FS _IOW('f', 16, uint64_t)
#endif

/* ---- sizes ------------------------------------------------------------------------------------------------------ */

static uint64_t divide_up(uint64_t a, uint64_t b) {
    return a / b + (a % b != 0);
}

static uint64_t max_of(uint64_t a, uint64_t b) {
    return a > b ? a : b;
}

uint64_t file_system_blocks(uint64_t bytes) {
    return divide_up(bytes, STORAGE_BLOCK);
}

uint64_t file_system_inodes_default(uint64_t bytes) {
    return max_of(bytes / BYTES_PER_INODE, INODES_FLOOR);
}

/* A large file system has more than a few inodes, and a ballast against that would become too large. */
uint64_t file_system_inodes_min(uint64_t bytes) {
    uint64_t least = divide_up(file_system_blocks(bytes), GROUP_BLOCKS) * INODES_A_BLOCK;
    return least <= BALLAST_MAX / 16 ? STORAGE_INODES_MIN : least;
}

/* The tables are not counted against the limit: they shall not be more than a sixteenth of it. */
uint64_t file_system_inodes_max(uint64_t bytes) {
    return max_of(bytes / STORAGE_BLOCK, STORAGE_INODES_MIN);
}

/* How many blocks a file system of WANT usable ones may take: the first guess. */
static uint64_t guess_blocks(uint64_t want, uint64_t inodes) {
    uint64_t reserved = want / 49 < 4096 ? want / 49 : 4096;
    uint64_t groups = divide_up(want + reserved, GROUP_BLOCKS);
    uint64_t per_group = divide_up(divide_up(inodes, groups), INODES_A_BLOCK);
    return want + reserved + groups * (per_group + 2) + divide_up(groups, DESCRIPTORS_A_BLOCK) + 8;
}

/* ---- the record ------------------------------------------------------------------------------------------------- */

int file_system_read_record(int image_fd, FileSystemRecord *ret) {
    FileSystemRecord r;
    ssize_t n = fgetxattr(image_fd, RECORD_NAME, &r, sizeof(r));
    if (n < 0)
        return -errno;
    if (n != (ssize_t) sizeof(r) || r.version != RECORD_VERSION)
        return -EBADMSG;
    *ret = r;
    return 0;
}

int file_system_write_record(int image_fd, const FileSystemRecord *record) {
    return fsetxattr(image_fd, RECORD_NAME, record, sizeof(*record), 0) < 0 ? -errno : 0;
}

/* ---- measuring -------------------------------------------------------------------------------------------------- */

static uint64_t less(uint64_t a, uint64_t b) {
    return a > b ? a - b : 0;
}

static uint64_t usable_blocks(const struct statfs *s, const FileSystemRecord *r) {
    return less(s->f_blocks, r->own_blocks + r->reserved_blocks);
}

int file_system_usage(int fd, const FileSystemRecord *record, StorageUsage *ret) {
    struct statfs s;
    if (fstatfs(fd, &s) < 0)
        return -errno;
    bool inodes_limited = record->limited || record->inodes != STORAGE_LIMIT_NONE;
    *ret = (StorageUsage){
        .bytes = less(s.f_blocks - s.f_bfree, record->own_blocks) * STORAGE_BLOCK,
        .inodes = less(s.f_files - s.f_ffree, record->own_inodes + record->ballast),
        .bytes_limit = record->limited ? usable_blocks(&s, record) * STORAGE_BLOCK : STORAGE_LIMIT_NONE,
        .inodes_limit = inodes_limited ? less(s.f_files, record->own_inodes + record->ballast) : STORAGE_LIMIT_NONE,
    };
    return 0;
}

/* A mount's fd is O_PATH, and closing it undoes the mount: what wants a file gets one beside it. */
static int open_root(int mount_fd) {
    return openat(mount_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

/* ---- the ballast ------------------------------------------------------------------------------------------------ */

/* A daemon that was killed at this has left some more, or some less: neither is an error. */
static int change_ballast(int root_fd, uint64_t from, uint64_t to) {
    char name[24];
    _cleanup_fd_ int fd = openat(root_fd, BALLAST_NAME, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    for (uint64_t i = from; i < to; i++) {
        (void) snprintf(name, sizeof(name), "%llu", (unsigned long long) i);
        if (mknodat(fd, name, S_IFREG | 0600, 0) < 0 && errno != EEXIST)
            return -errno;
    }
    for (uint64_t i = from; i > to; i--) {
        (void) snprintf(name, sizeof(name), "%llu", (unsigned long long) i - 1);
        if (unlinkat(fd, name, 0) < 0 && errno != ENOENT)
            return -errno;
    }
    return 0;
}

/* ---- making ----------------------------------------------------------------------------------------------------- */

/* Of a new file system; makes the ballast, and notes what is in use before its user comes. */
static int measure_empty(int root_fd, FileSystemRecord *r, uint64_t *ret_usable) {
    struct statfs s;
    if (mkdirat(root_fd, BALLAST_NAME, 0700) < 0 || fstatfs(root_fd, &s) < 0)
        return -errno;
    r->ballast = r->inodes == STORAGE_LIMIT_NONE ? 0 : less(s.f_ffree, r->inodes);
    if (r->ballast > BALLAST_MAX) /* then the limit is larger, and is said to be so */
        r->ballast = 0;
    int k = change_ballast(root_fd, 0, r->ballast);
    if (k < 0)
        return k;
    _cleanup_fd_ int fd = open_root(root_fd);
    if (fd < 0 || syncfs(fd) < 0 || fstatfs(root_fd, &s) < 0)
        return -errno;
    r->own_blocks = s.f_blocks - s.f_bfree;
    r->own_inodes = s.f_files - s.f_ffree - r->ballast;
    r->reserved_blocks = s.f_bfree - s.f_bavail;
    *ret_usable = usable_blocks(&s, r);
    return 0;
}

static int make_once(StorageHost *h, int image_fd, uint64_t blocks, uint64_t inodes, FileSystemRecord *record,
                     uint64_t *ret_usable, Error *reterr) {
    if (ftruncate(image_fd, 0) < 0 || ftruncate(image_fd, (off_t) (blocks * STORAGE_BLOCK)) < 0)
        return error_failed(reterr, errno, STORAGE_SUBJECT, "an image of %llu bytes cannot be made: %s",
                            (unsigned long long) (blocks * STORAGE_BLOCK), strerror(errno));
    int r = mkfs_run(h->mkfs, image_fd, blocks, inodes, reterr);
    if (r < 0)
        return r;
    _cleanup_fd_ int loop = loop_attach(h, image_fd);
    if (loop < 0)
        return error_failed(reterr, -loop, STORAGE_SUBJECT, "no loop device can be had: %s", strerror(-loop));
    _cleanup_fd_ int root = loop_mount(loop, reterr);
    if (root < 0)
        return root;
    r = measure_empty(root, record, ret_usable);
    return r < 0 ? error_failed(reterr, -r, STORAGE_SUBJECT, "the new file system cannot be measured: %s", strerror(-r))
                 : 0;
}

static bool fits(uint64_t usable, uint64_t want, unsigned tries) {
    uint64_t off = usable > want ? usable - want : want - usable;
    return off == 0 || (tries >= 2 && off <= want / FIT_TOLERANCE);
}

/*
 * Backups of superblock and group table, in the groups 1 and those that are a power of 3, 5 or 7: nobody will ever read
 * them, and each would be one more extent for every container to copy. If a hole cannot be made, they stay.
 */
static void punch_backups(int image_fd, uint64_t blocks) {
    static const uint64_t factors[] = { 3, 5, 7 };
    uint64_t groups = divide_up(blocks, GROUP_BLOCKS);
    off_t size = (off_t) ((1 + divide_up(groups, DESCRIPTORS_A_BLOCK)) * STORAGE_BLOCK);
    for (size_t i = 0; i < ELEMENTSOF(factors); i++)
        for (uint64_t g = 1; g < groups; g *= factors[i])
            (void) fallocate(image_fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                             (off_t) (g * GROUP_BLOCKS * STORAGE_BLOCK), size);
}

int file_system_make(StorageHost *h, int image_fd, const StorageLimits *limits, FileSystemRecord *ret, Error *reterr) {
    bool limited = limits->bytes != STORAGE_LIMIT_NONE;
    uint64_t bytes = limited ? limits->bytes : storage_host_bytes(h), want = file_system_blocks(bytes), usable = 0;
    uint64_t inodes = limits->inodes == STORAGE_LIMIT_NONE ? file_system_inodes_default(bytes) : limits->inodes;
    inodes += INODES_OF_EMPTY;
    uint64_t blocks = guess_blocks(want, inodes);
    for (unsigned i = 0; i < FIT_TRIES; i++) {
        FileSystemRecord record = { .version = RECORD_VERSION, .limited = limited, .inodes = limits->inodes };
        int r = make_once(h, image_fd, blocks, inodes, &record, &usable, reterr);
        if (r < 0)
            return r;
        if (fits(usable, want, i) || !limited) {
            punch_backups(image_fd, blocks);
            r = file_system_write_record(image_fd, &record);
            if (r < 0)
                return error_failed(reterr, -r, STORAGE_SUBJECT, "the image's attribute cannot be written: %s",
                                    strerror(-r));
            *ret = record;
            return 0;
        }
        blocks += want - usable; /* either way, modulo 2^64 */
    }
    return error_failed(reterr, ERANGE, STORAGE_SUBJECT, "no file system of %llu bytes can be made: it becomes %llu",
                        (unsigned long long) limits->bytes, (unsigned long long) (usable * STORAGE_BLOCK));
}

/* ---- changing --------------------------------------------------------------------------------------------------- */

static int unavailable(Error *reterr, int code, const char *what) {
    return error_set(reterr, ERROR_LIMIT_UNAVAILABLE, code, STORAGE_SUBJECT, "%s: %s", what, strerror(code));
}

static int grow_once(int image_fd, int loop_fd, int root_fd, uint64_t blocks, Error *reterr) {
    if (ftruncate(image_fd, (off_t) (blocks * STORAGE_BLOCK)) < 0)
        return unavailable(reterr, errno, "the image cannot be made larger");
    int r = loop_update_size(loop_fd);
    if (r < 0)
        return unavailable(reterr, -r, "the loop device cannot be made larger");
    if (ioctl(root_fd, EXT4_IOC_RESIZE_FS, &blocks) < 0)
        return unavailable(reterr, errno,
                           errno == EPERM ? "the file system cannot be made larger without CAP_SYS_RESOURCE"
                                          : "the file system cannot be made larger");
    return 0;
}

/* From below, by what is still missing, since it can never become smaller again. */
static int grow(int image_fd, int loop_fd, int root_fd, uint64_t want, const FileSystemRecord *record, Error *reterr) {
    struct stat st;
    struct statfs s;
    _cleanup_fd_ int fd = open_root(root_fd);
    if (fd < 0 || fstat(image_fd, &st) < 0)
        return unavailable(reterr, errno, "the image cannot be examined");
    uint64_t blocks = (uint64_t) st.st_size / STORAGE_BLOCK;
    for (unsigned i = 0; i < FIT_TRIES; i++) {
        if (fstatfs(root_fd, &s) < 0)
            return unavailable(reterr, errno, "the file system cannot be examined");
        uint64_t usable = usable_blocks(&s, record);
        if (usable >= want || fits(usable, want, i))
            return 0;
        blocks += want - usable;
        int r = grow_once(image_fd, loop_fd, fd, blocks, reterr);
        if (r < 0)
            return r;
    }
    return unavailable(reterr, ERANGE, "the file system does not reach the size");
}

typedef struct Change {
    uint64_t blocks; /* usable ones: wanted */
    bool grows;
    uint64_t inodes;
} Change;

/* Judges before anything is touched. */
static int plan(const struct statfs *s, const FileSystemRecord *r, const StorageLimits *limits, uint64_t bytes,
                Change *ret, Error *reterr) {
    uint64_t usable = usable_blocks(s, r), want = file_system_blocks(bytes);
    uint64_t used = less(s->f_blocks - s->f_bfree, r->own_blocks) * STORAGE_BLOCK;
    uint64_t used_inodes = less(s->f_files - s->f_ffree, r->own_inodes + r->ballast);
    if (limits->bytes != STORAGE_LIMIT_NONE && limits->bytes < used)
        return error_invalid(reterr, "limits.disk", "%llu is less than the %llu bytes in use",
                             (unsigned long long) limits->bytes, (unsigned long long) used);
    if (limits->inodes < used_inodes)
        return error_invalid(reterr, "limits.inodes", "%llu is less than the %llu inodes in use",
                             (unsigned long long) limits->inodes, (unsigned long long) used_inodes);
    if (want < usable && usable - want > want / FIT_TOLERANCE)
        return error_set(reterr, ERROR_LIMIT_UNAVAILABLE, EOPNOTSUPP, STORAGE_SUBJECT,
                         "the writable layer is a file system of its own of %llu bytes, which cannot be made smaller",
                         (unsigned long long) (usable * STORAGE_BLOCK));
    ret->blocks = want;
    ret->grows = want > usable && want - usable > want / FIT_TOLERANCE;
    ret->inodes = limits->inodes;
    /* What the tables hold then: as many in each new group as in the old ones. */
    uint64_t total = s->f_files;
    if (ret->grows)
        total =
            s->f_files / divide_up(s->f_blocks, GROUP_BLOCKS) * divide_up(s->f_blocks + want - usable, GROUP_BLOCKS);
    uint64_t most = less(total, r->own_inodes);
    if (limits->inodes != STORAGE_LIMIT_NONE && (limits->inodes > most || most - limits->inodes > BALLAST_MAX))
        return error_set(
            reterr, ERROR_LIMIT_UNAVAILABLE, EOPNOTSUPP, STORAGE_SUBJECT,
            "the writable layer is a file system of its own, which can be held to between %llu and %llu inodes",
            (unsigned long long) max_of(STORAGE_INODES_MIN, less(most, BALLAST_MAX)), (unsigned long long) most);
    return 0;
}

static int adjust_inodes(int root_fd, uint64_t inodes, FileSystemRecord *r, Error *reterr) {
    struct statfs s;
    if (fstatfs(root_fd, &s) < 0)
        return unavailable(reterr, errno, "the file system cannot be examined");
    uint64_t ballast = inodes == STORAGE_LIMIT_NONE ? 0 : less(s.f_files, r->own_inodes + inodes);
    int k = change_ballast(root_fd, r->ballast, ballast);
    if (k < 0)
        return unavailable(reterr, -k, "the inodes cannot be limited");
    r->ballast = ballast;
    r->inodes = inodes;
    return 0;
}

int file_system_set_limits(StorageHost *h, int image_fd, const StorageLimits *limits, FileSystemRecord *record,
                           Error *reterr) {
    struct statfs s;
    Change change;
    uint64_t bytes = limits->bytes == STORAGE_LIMIT_NONE ? storage_host_bytes(h) : limits->bytes;
    _cleanup_fd_ int loop = loop_find(h, image_fd);
    if (loop < 0)
        return unavailable(reterr, -loop, "the writable layer's loop device cannot be found");
    _cleanup_fd_ int root = loop_mount(loop, reterr);
    if (root < 0)
        return root;
    if (fstatfs(root, &s) < 0)
        return unavailable(reterr, errno, "the file system cannot be examined");
    int r = plan(&s, record, limits, bytes, &change, reterr);
    if (r >= 0 && change.grows)
        r = grow(image_fd, loop, root, change.blocks, record, reterr);
    if (r >= 0)
        r = adjust_inodes(root, change.inodes, record, reterr);
    if (r < 0)
        return r;
    record->limited = limits->bytes != STORAGE_LIMIT_NONE;
    r = file_system_write_record(image_fd, record);
    return r < 0 ? unavailable(reterr, -r, "the image's attribute cannot be written") : 0;
}
