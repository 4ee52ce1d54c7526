/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* See quarantine.h. One copy at a time: what is there already is summed up anew for each, and cannot drift. */

#include "container/quarantine.h"

#include "util/fds.h"
#include "util/paths.h"

#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define COPY_BYTES (128U * 1024U)

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;

bool quarantine_wants(const Finding *f) {
    bool kind = f->kind == FINDING_FOREIGN_PROGRAM || f->kind == FINDING_DELETED_PROGRAM;
    return kind && f->host_pid > 0 && f->start_time > 0 && !f->quarantined[0];
}

void quarantine_name(const char *id, const Finding *f, char ret[static 80]) {
    (void) snprintf(ret, 80, "%.16s-%llu-%.16s", id, (unsigned long long) f->number,
                    f->program_sha256[0] ? f->program_sha256 : "unknown");
}

static int sum_sizes(int dir_fd, uint64_t *ret) {
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
            sum += (uint64_t) st.st_size;
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
    int r = sum_sizes(dir_fd, &there);
    if (r < 0)
        return error_failed(reterr, -r, "quarantine", "the directory cannot be read: %s", strerror(-r));
    uint64_t left = there < bytes_max ? bytes_max - there : 0;
    if ((uint64_t) st.st_size > QUARANTINE_FILE_MAX || (uint64_t) st.st_size > left)
        return error_failed(reterr, EFBIG, "quarantine", "it has %lld bytes, and of %llu there are %llu left",
                            (long long) st.st_size, (unsigned long long) bytes_max, (unsigned long long) left);
    r = keep(dir_fd, name, program_fd, left < QUARANTINE_FILE_MAX ? left : QUARANTINE_FILE_MAX);
    return r < 0 ? error_failed(reterr, -r, "quarantine", "it cannot be copied: %s", strerror(-r)) : 0;
}

int quarantine_keep(int dir_fd, uint64_t bytes_max, const char *name, pid_t host_pid, Error *reterr) {
    char path[32];
    (void) snprintf(path, sizeof(path), "/proc/%d/exe", (int) host_pid);
    _cleanup_fd_ int fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (fd < 0)
        return error_failed(reterr, errno, "quarantine", "its program cannot be opened: %s", strerror(errno));
    (void) pthread_mutex_lock(&mutex);
    int r = keep_locked(dir_fd, bytes_max, name, fd, reterr);
    (void) pthread_mutex_unlock(&mutex);
    return r;
}
