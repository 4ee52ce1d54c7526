/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* See quarantine.h. One copy at a time: what is there already is summed up anew for each, and cannot drift. */

#include "container/quarantine.h"

#include "util/fds.h"
#include "util/process.h"

#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#define COPY_BYTES (128U * 1024U)
/* What a file counts at least, so that their number has an end, too. */
#define FILE_BYTES (64U * 1024U)

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;

bool quarantine_wants(const Finding *f) {
    bool kind = f->kind == FINDING_FOREIGN_PROGRAM || f->kind == FINDING_DELETED_PROGRAM;
    bool known = f->program_sha256[0] && f->program_ino != 0;
    return kind && known && f->host_pid > 0 && f->start_time > 0 && !f->quarantined[0];
}

void quarantine_name(const char *id, const Finding *f, char ret[static 80]) {
    (void) snprintf(ret, 80, "%.16s-%llu-%.16s", id, (unsigned long long) f->number, f->program_sha256);
}

static uint64_t cost_of(const struct stat *st) {
    return (uint64_t) st->st_size > FILE_BYTES ? (uint64_t) st->st_size : FILE_BYTES;
}

static int sum_costs(int dir_fd, uint64_t *ret) {
    int fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
    if (!d) {
        int r = -errno;
        (void) fd_close(fd);
        return r;
    }
    uint64_t sum = 0;
    for (struct dirent *entry; (entry = readdir(d));) {
        struct stat st;
        if (fstatat(dir_fd, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) >= 0 && S_ISREG(st.st_mode))
            sum += cost_of(&st);
    }
    (void) closedir(d);
    *ret = sum;
    return 0;
}

/* At most MAX bytes, whatever the file said of its size. */
static int copy(int from, int to, uint64_t max) {
    _cleanup_free_ char *buffer = malloc(COPY_BYTES);
    if (!buffer)
        return -ENOMEM;
    for (uint64_t n = 0;;) {
        ssize_t k = read(from, buffer, COPY_BYTES);
        if (k < 0 && errno == EINTR)
            continue;
        if (k <= 0)
            return k < 0 ? -errno : 0;
        n += (uint64_t) k;
        if (n > max)
            return -EFBIG;
        int r = fd_write_all(to, buffer, (size_t) k);
        if (r < 0)
            return r;
    }
}

static int keep(int dir_fd, const char *name, int program_fd, uint64_t max) {
    _cleanup_fd_ int fd = openat(dir_fd, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0400);
    if (fd < 0)
        return errno == EEXIST ? 0 : -errno;
    int r = copy(program_fd, fd, max);
    if (r < 0)
        (void) unlinkat(dir_fd, name, 0);
    return r;
}

static int keep_locked(int dir_fd, uint64_t bytes_max, const char *name, int program_fd, Error *reterr) {
    struct stat st;
    uint64_t there = 0;
    if (fstat(program_fd, &st) < 0 || !S_ISREG(st.st_mode))
        return error_failed(reterr, EINVAL, "quarantine", "it is no file");
    int r = sum_costs(dir_fd, &there);
    if (r < 0)
        return error_failed(reterr, -r, "quarantine", "the directory cannot be read: %s", strerror(-r));
    uint64_t left = there < bytes_max ? bytes_max - there : 0;
    if ((uint64_t) st.st_size > QUARANTINE_FILE_MAX || cost_of(&st) > left)
        return error_failed(reterr, EFBIG, "quarantine", "it counts %llu bytes, and of %llu there are %llu left",
                            (unsigned long long) cost_of(&st), (unsigned long long) bytes_max,
                            (unsigned long long) left);
    r = keep(dir_fd, name, program_fd, left < QUARANTINE_FILE_MAX ? left : QUARANTINE_FILE_MAX);
    return r < 0 ? error_failed(reterr, -r, "quarantine", "it cannot be copied: %s", strerror(-r)) : 0;
}

/* Nothing is asked of a server that the file system may have: what the kernel knows of the file is enough. */
static bool is_program(int path_fd, uint64_t dev, uint64_t ino) {
    struct statx x;
    return statx(path_fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_TYPE | STATX_INO, &x) == 0 &&
           S_ISREG(x.stx_mode) && makedev(x.stx_dev_major, x.stx_dev_minor) == dev && x.stx_ino == ino;
}

int quarantine_open(pid_t host_pid, int pidfd, uint64_t dev, uint64_t ino, Error *reterr) {
    char path[32];
    (void) snprintf(path, sizeof(path), "/proc/%d/exe", (int) host_pid);
    _cleanup_fd_ int path_fd = open(path, O_PATH | O_CLOEXEC);
    if (path_fd < 0)
        return error_failed(reterr, errno, "quarantine", "its program cannot be opened: %s", strerror(errno));
    if (process_pidfd_pid(pidfd) != host_pid)
        return error_failed(reterr, ESRCH, "quarantine", "its process has ended");
    if (!is_program(path_fd, dev, ino))
        return error_failed(reterr, ESTALE, "quarantine", "its process executes another program than was found");
    (void) snprintf(path, sizeof(path), "/proc/self/fd/%d", path_fd);
    int fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    return fd >= 0 ? fd : error_failed(reterr, errno, "quarantine", "its program cannot be read: %s", strerror(errno));
}

int quarantine_keep(int dir_fd, uint64_t bytes_max, const char *name, int program_fd, Error *reterr) {
    (void) pthread_mutex_lock(&mutex);
    int r = keep_locked(dir_fd, bytes_max, name, program_fd, reterr);
    (void) pthread_mutex_unlock(&mutex);
    return r;
}
