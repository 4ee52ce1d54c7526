/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The writing side of a log's two files.
 *
 * `log` grows to half of what both may hold; then it takes the place of `log.1` and begins anew. A reader tells by the
 * inode that this has happened. Bytes without a newline are written at once, as a part that goes on: nothing of a
 * container's output waits in the daemon's memory, where its death would lose it.
 */

#include "container/log-internal.h"

#include "util/fds.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

/* A daemon that was killed in the middle of a write left half an entry: that ends here, and a reader passes over it. */
static int check_end(LogFile *f, int read_fd) {
    struct stat st;
    char last = '\n';
    if (fstat(read_fd, &st) < 0)
        return -errno;
    f->size = (uint64_t) st.st_size;
    if (st.st_size > 0 && pread(read_fd, &last, 1, st.st_size - 1) != 1)
        return -EIO;
    f->torn = last != '\n';
    return 0;
}

static int open_current(LogFile *f) {
    int fd = openat(f->dir_fd, "log", O_RDWR | O_APPEND | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return -errno;
    f->fd = fd;
    return check_end(f, fd);
}

int log_file_open(LogFile *f, int dir_fd, uint64_t max_bytes) {
    *f = LOG_FILE_INIT;
    f->max = (max_bytes < LOG_BYTES_MIN ? LOG_BYTES_MIN : max_bytes) / 2;
    f->dir_fd = fcntl(dir_fd, F_DUPFD_CLOEXEC, 3);
    int r = f->dir_fd < 0 ? -errno : open_current(f);
    if (r < 0)
        log_file_close(f);
    return r;
}

void log_file_close(LogFile *f) {
    f->fd = fd_close(f->fd);
    f->dir_fd = fd_close(f->dir_fd);
}

static int rotate(LogFile *f) {
    if (renameat(f->dir_fd, "log", f->dir_fd, "log.1") < 0)
        return -errno;
    f->fd = fd_close(f->fd);
    return open_current(f);
}

int log_file_append(LogFile *f, const char *bytes, size_t size) {
    int r = 0;
    if (f->fd < 0)
        r = open_current(f);
    else if (f->size > 0 && f->size + size > f->max)
        r = rotate(f);
    if (r < 0)
        return r;
    if (f->torn && write(f->fd, "\n", 1) != 1)
        return -errno;
    f->size += f->torn;
    f->torn = false;
    r = fd_write_all(f->fd, bytes, size);
    if (r >= 0)
        f->size += size;
    else
        (void) check_end(f, f->fd);
    return r;
}

static void format_header(char ret[static LOG_HEADER_SIZE + 1], bool is_stderr) {
    struct timespec now;
    struct tm tm;
    (void) clock_gettime(CLOCK_REALTIME, &now);
    (void) gmtime_r(&now.tv_sec, &tm);
    size_t n = strftime(ret, LOG_HEADER_SIZE + 1, "%Y-%m-%dT%H:%M:%S", &tm);
    (void) snprintf(ret + n, LOG_HEADER_SIZE + 1 - n, ".%06uZ %s F ", (unsigned) (now.tv_nsec / 1000L) % 1000000U,
                    is_stderr ? "stderr" : "stdout");
}

int log_file_append_output(LogFile *f, bool is_stderr, const char *bytes, size_t size) {
    char header[LOG_HEADER_SIZE + 1], out[2U * LOG_ENTRY_MAX];
    size_t n_out = 0;
    int result = 0;
    format_header(header, is_stderr);
    while (size > 0) {
        size_t room = size < LOG_PART_MAX ? size : LOG_PART_MAX;
        const char *newline = memchr(bytes, '\n', room);
        size_t n = newline ? (size_t) (newline - bytes) : room;
        if (n_out + LOG_HEADER_SIZE + n + 1 > sizeof(out)) {
            int r = log_file_append(f, out, n_out);
            result = r < 0 ? r : result;
            n_out = 0;
        }
        header[LOG_FLAG_AT] = newline ? 'F' : 'P';
        memcpy(out + n_out, header, LOG_HEADER_SIZE);
        memcpy(out + n_out + LOG_HEADER_SIZE, bytes, n);
        n_out += LOG_HEADER_SIZE + n;
        out[n_out++] = '\n';
        n += newline ? 1 : 0;
        bytes += n;
        size -= n;
    }
    if (n_out > 0) {
        int r = log_file_append(f, out, n_out);
        result = r < 0 ? r : result;
    }
    return result;
}
