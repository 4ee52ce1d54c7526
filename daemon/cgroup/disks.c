/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Disks, by /sys/block and /sys/dev/block.
 *
 * The names in there are the kernel's own. A host may have hundreds of loop devices, one for each container's writable
 * layer, so that each start looks at what is new alone.
 */

#include "cgroup/disks.h"

#include "cgroup/files.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <time.h>

#define BLOCK         "/sys/block"
#define LIST_STEP     64U
#define TIME_MAX_USEC 500000U
#define RATES         "blkio.throttle.read_bps_device"

int cgroup_disks_find(uint32_t major, uint32_t minor, uint32_t ret[static 2]) {
    char path[128], text[64];
    (void) snprintf(path, sizeof(path), "/sys/dev/block/%u:%u/dev", major, minor);
    ssize_t n = cgroup_file_read(AT_FDCWD, path, text, sizeof(text));
    if (n < 0)
        return -ENODEV;
    (void) snprintf(path, sizeof(path), "/sys/dev/block/%u:%u/partition", major, minor);
    if (faccessat(AT_FDCWD, path, F_OK, 0) < 0)
        return errno == ENOENT ? 0 : -errno;
    /* a partition's directory lies in its disk's; ".." is looked up after the link has been followed */
    (void) snprintf(path, sizeof(path), "/sys/dev/block/%u:%u/../dev", major, minor);
    n = cgroup_file_read(AT_FDCWD, path, text, sizeof(text));
    if (n < 0 || cgroup_file_device(text, ret) == NULL)
        ret[0] = ret[1] = 0;
    return -ENOTBLK;
}

static void closedirp(DIR **d) {
    if (*d)
        (void) closedir(*d);
}

bool cgroup_disks_use_bfq(void) {
    _cleanup_(closedirp) DIR *d = opendir(BLOCK);
    for (struct dirent *e; d && (e = readdir(d));) {
        char path[sizeof(e->d_name) + sizeof("/queue/scheduler")], text[256];
        (void) snprintf(path, sizeof(path), "%s/queue/scheduler", e->d_name);
        if (e->d_name[0] != '.' && cgroup_file_read(dirfd(d), path, text, sizeof(text)) > 0 && strstr(text, "[bfq]"))
            return true;
    }
    return false;
}

/* ---- counting on v1 ---- */

static uint64_t now_usec(void) {
    struct timespec t;
    (void) clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t) t.tv_sec * 1000000U + (uint64_t) t.tv_nsec / 1000U;
}

/* 0 if the kernel does not say. */
static uint64_t read_sequence(void) {
    char text[32];
    uint64_t value;
    return cgroup_file_read(AT_FDCWD, "/sys/kernel/uevent_seqnum", text, sizeof(text)) > 0 &&
                   cgroup_file_number(text, &value) == 0
               ? value
               : 0;
}

static int compare(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *) a, y = *(const uint64_t *) b;
    return x < y ? -1 : x > y;
}

/* One with a limit on our group, an administrator's, is counted already; "0" would lift that. */
static void start_counting(int blkio_fd, int block_fd, const char *disk, const char *limited) {
    char path[NAME_MAX + sizeof("/dev")], number[32], command[sizeof(number) + 2];
    (void) snprintf(path, sizeof(path), "%s/dev", disk);
    if (cgroup_file_read(block_fd, path, number, sizeof(number)) < 0)
        return;
    number[strcspn(number, "\n")] = 0;
    if (cgroup_file_has_word(limited, number, ' '))
        return;
    (void) snprintf(command, sizeof(command), "%s 0", number);
    /* A device that the kernel cannot throttle is one that it does not count either: there is nobody to tell. */
    (void) cgroup_file_write(blkio_fd, RATES, command);
}

/* Adds to LIST what of DIRECTORY is in KNOWN or has been done here. 1 if that is all, 0 if the time was too short. */
static int count_directory(DIR *directory, int blkio_fd, const CgroupCountedDisks *known, uint64_t **list, size_t *n) {
    char limited[CGROUP_FILE_MAX] = "";
    bool complete = true;
    uint64_t deadline = 0;
    for (struct dirent *e; (e = readdir(directory));) {
        uint64_t inode = e->d_ino;
        if (e->d_name[0] == '.')
            continue;
        if (!known->known || !bsearch(&inode, known->known, known->n_known, sizeof(inode), compare)) {
            if (deadline == 0) {
                if (cgroup_file_read(blkio_fd, RATES, limited, sizeof(limited)) < 0)
                    return -EOPNOTSUPP;
                deadline = now_usec() + TIME_MAX_USEC;
            }
            if (now_usec() > deadline) {
                complete = false;
                continue;
            }
            start_counting(blkio_fd, dirfd(directory), e->d_name, limited);
        }
        if (*n % LIST_STEP == 0) {
            uint64_t *larger = reallocarray(*list, *n + LIST_STEP, sizeof(uint64_t));
            if (!larger)
                return -ENOMEM;
            *list = larger;
        }
        (*list)[(*n)++] = inode;
    }
    return complete;
}

/*
 * The kernel stops queues with no lock of ours held: whoever starts a container at the same time may do a disk over
 * again, which is harmless, but does not wait for another's.
 */
void cgroup_disks_start_counting(CgroupCountedDisks *c, int dir_fd) {
    uint64_t sequence = read_sequence();
    CgroupCountedDisks known = { .n_known = 0 };
    (void) pthread_mutex_lock(&c->lock);
    bool done = sequence != 0 && sequence == c->sequence;
    if (!done && c->n_known > 0) {
        known.known = calloc(c->n_known, sizeof(uint64_t));
        if (known.known) {
            memcpy(known.known, c->known, c->n_known * sizeof(uint64_t));
            known.n_known = c->n_known;
        }
    }
    (void) pthread_mutex_unlock(&c->lock);
    _cleanup_(closedirp) DIR *d = done ? NULL : opendir(BLOCK);
    _cleanup_free_ uint64_t *list = NULL, *copy = known.known;
    size_t n = 0;
    int r = d ? count_directory(d, dir_fd, &known, &list, &n) : -ENOENT;
    if (r < 0)
        return;
    if (list)
        qsort(list, n, sizeof(uint64_t), compare);
    (void) pthread_mutex_lock(&c->lock);
    free(c->known);
    c->known = TAKE_PTR(list);
    c->n_known = n;
    c->sequence = r > 0 ? sequence : 0;
    (void) pthread_mutex_unlock(&c->lock);
}

void cgroup_disks_done(CgroupCountedDisks *c) {
    free(TAKE_PTR(c->known));
    c->n_known = 0;
}
