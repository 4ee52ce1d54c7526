/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Reading a log while it is written and rotated.
 *
 * A reader has an fd and a buffer of its own and shares nothing with the writer but the files. It takes whole entries:
 * what has no newline yet is still being written. Lines that are no entries, as a daemon that was killed leaves them,
 * are passed over. If the writer rotates twice while a reader rests, what lay between is lost to that reader, as it
 * would be to one that came later.
 */

#include "container/log-internal.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#define SCAN_BLOCK (32U * 1024U)

static int open_file(const ContainerLogReader *r, const char *name) {
    int fd = openat(r->dir_fd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

static bool is_file(const ContainerLogReader *r, int fd, const char *name) {
    struct stat a, b;
    return fstat(fd, &a) >= 0 && fstatat(r->dir_fd, name, &b, AT_SYMLINK_NOFOLLOW) >= 0 && a.st_dev == b.st_dev &&
           a.st_ino == b.st_ino;
}

static void switch_to(ContainerLogReader *r, int consume_fd) {
    (void) fd_close(r->fd);
    r->fd = consume_fd;
    r->offset = 0;
    r->begin = r->end = 0; /* an entry that never got its end */
    r->last_pass = false;
}

/*
 * The file that follows ours: `log`, if ours is `log.1`; else `log.1`, the oldest there is. Asked again after the open,
 * because the writer may have rotated in between: then what was opened need not be the very next. 1, 0 or -errno.
 */
static int open_next(ContainerLogReader *r) {
    for (unsigned attempt = 0; attempt < 8; attempt++) {
        bool is_older = r->fd >= 0 && is_file(r, r->fd, "log.1");
        const char *name = is_older ? "log" : "log.1";
        int fd = open_file(r, name);
        if (fd == -ENOENT && !is_older) {
            name = "log";
            fd = open_file(r, name);
        }
        if (fd < 0)
            return fd == -ENOENT ? 0 : fd;
        bool stable = is_older ? is_file(r, r->fd, "log.1") : is_file(r, fd, name);
        if (stable) {
            switch_to(r, fd);
            return 1;
        }
        (void) fd_close(fd);
    }
    return 0;
}

/* 1: something new may be in the buffer; 0: nothing now; -errno */
static int fill(ContainerLogReader *r) {
    if (r->fd < 0)
        return open_next(r);
    if (r->begin > 0) {
        memmove(r->buffer, r->buffer + r->begin, r->end - r->begin);
        r->end -= r->begin;
        r->begin = 0;
    }
    if (r->end == sizeof(r->buffer)) /* longer than any entry */
        r->end = 0;
    ssize_t n = pread(r->fd, r->buffer + r->end, sizeof(r->buffer) - r->end, r->offset);
    if (n < 0)
        return -errno;
    if (n > 0) {
        r->end += (size_t) n;
        r->offset += n;
        return 1;
    }
    if (is_file(r, r->fd, "log"))
        return 0;
    /* Rotated. What was written between our read and the rotation is only found by another read. */
    if (!r->last_pass) {
        r->last_pass = true;
        return 1;
    }
    return open_next(r);
}

static bool parse_digits(const char *text, size_t n, int *ret) {
    int value = 0;
    for (size_t i = 0; i < n; i++) {
        if (text[i] < '0' || text[i] > '9')
            return false;
        value = value * 10 + (text[i] - '0');
    }
    *ret = value;
    return true;
}

static bool parse_time(const char *t, uint64_t *ret) {
    static const char pattern[] = "0000-00-00T00:00:00.000000Z";
    for (size_t i = 0; i < LOG_TIME_SIZE; i++)
        if (pattern[i] != '0' && t[i] != pattern[i])
            return false;
    struct tm tm = { 0 };
    int usec;
    if (!parse_digits(t, 4, &tm.tm_year) || !parse_digits(t + 5, 2, &tm.tm_mon) ||
        !parse_digits(t + 8, 2, &tm.tm_mday) || !parse_digits(t + 11, 2, &tm.tm_hour) ||
        !parse_digits(t + 14, 2, &tm.tm_min) || !parse_digits(t + 17, 2, &tm.tm_sec) || !parse_digits(t + 20, 6, &usec))
        return false;
    tm.tm_year -= 1900;
    tm.tm_mon -= 1;
    time_t seconds = timegm(&tm);
    if (seconds < 0)
        return false;
    *ret = (uint64_t) seconds * 1000000ULL + (uint64_t) usec;
    return true;
}

/* LINE has no newline. */
static bool parse_entry(const char *line, size_t size, ContainerLogEntry *ret) {
    ContainerLogEntry e = { .bytes = line + LOG_HEADER_SIZE };
    if (size < LOG_HEADER_SIZE || !parse_time(line, &e.timestamp_usec))
        return false;
    const char *rest = line + LOG_TIME_SIZE;
    if (memcmp(rest, " stdout ", 8) != 0 && memcmp(rest, " stderr ", 8) != 0)
        return false;
    if ((rest[8] != 'F' && rest[8] != 'P') || rest[9] != ' ')
        return false;
    e.is_stderr = rest[4] == 'e';
    e.partial = rest[8] == 'P';
    e.size = size - LOG_HEADER_SIZE;
    *ret = e;
    return true;
}

int container_log_reader_next(ContainerLogReader *r, ContainerLogEntry *ret) {
    for (;;) {
        char *line = r->buffer + r->begin;
        char *newline = memchr(line, '\n', r->end - r->begin);
        if (!newline) {
            int k = fill(r);
            if (k <= 0)
                return k;
            continue;
        }
        r->begin = (size_t) (newline - r->buffer) + 1;
        if (parse_entry(line, (size_t) (newline - line), ret))
            return 1;
    }
}

/* While the last lines are counted from the end backwards. */
typedef struct Tail {
    size_t wanted, found;
    bool any;      /* an entry has been seen */
    off_t begin;   /* of the entry seen last, which is the earliest so far */
    bool complete; /* `begin` is where to begin */
} Tail;

/* An entry that begins at AT; FLAG is 'F' where a line ends, and a part at the very end is a line too. */
static void tail_see(Tail *t, off_t at, char flag) {
    bool is_line = flag == 'F' || (flag == 'P' && !t->any);
    if (is_line && t->found == t->wanted) {
        t->complete = true;
        return;
    }
    t->found += is_line;
    t->any = true;
    t->begin = at;
}

/* Goes through the entries that begin in (START, END], those right after a newline in [START, END). */
static void tail_scan_block(Tail *t, const char *block, size_t n_read, size_t n_block, off_t start) {
    size_t end = n_block;
    while (!t->complete) {
        const char *newline = memrchr(block, '\n', end);
        if (!newline)
            return;
        end = (size_t) (newline - block);
        if (end + 1 + LOG_HEADER_SIZE <= n_read)
            tail_see(t, start + (off_t) end + 1, block[end + 1 + LOG_FLAG_AT]);
    }
}

static int tail_scan(Tail *t, int fd) {
    char block[SCAN_BLOCK + LOG_HEADER_SIZE + 1];
    struct stat st;
    if (fstat(fd, &st) < 0)
        return -errno;
    t->begin = st.st_size;
    for (off_t end = st.st_size; end > 0 && !t->complete;) {
        off_t start = end > (off_t) SCAN_BLOCK ? end - (off_t) SCAN_BLOCK : 0;
        size_t n_block = (size_t) (end - start);
        ssize_t n = pread(fd, block, n_block + LOG_HEADER_SIZE + 1, start);
        if (n < (ssize_t) n_block)
            return n < 0 ? -errno : -EIO;
        tail_scan_block(t, block, (size_t) n, n_block, start);
        end = start;
        if (start == 0 && !t->complete && n >= (ssize_t) LOG_HEADER_SIZE)
            tail_see(t, 0, block[LOG_FLAG_AT]);
    }
    return 0;
}

/* Begins in `log`, or in `log.1` if that does not hold enough lines. */
static int seek_tail(ContainerLogReader *r, size_t tail) {
    Tail t = { .wanted = tail };
    _cleanup_fd_ int current = open_file(r, "log");
    if (current == -ENOENT)
        return 0;
    int k = current < 0 ? current : tail_scan(&t, current);
    if (k < 0)
        return k;
    if (!t.complete) {
        _cleanup_fd_ int older = open_file(r, "log.1");
        if (older >= 0) {
            Tail u = { .wanted = tail, .found = t.found, .any = t.any };
            k = tail_scan(&u, older);
            if (k < 0)
                return k;
            switch_to(r, TAKE_FD(older));
            r->offset = u.begin;
            return 0;
        }
    }
    switch_to(r, TAKE_FD(current));
    r->offset = t.begin;
    return 0;
}

int container_log_reader_new(ContainerLog *l, size_t tail, void (*notify)(void *userdata), void *userdata,
                             ContainerLogReader **ret, Error *reterr) {
    _cleanup_(container_log_reader_freep) ContainerLogReader *r = malloc(sizeof(ContainerLogReader));
    if (!r)
        return error_failed(reterr, ENOMEM, "logs", "out of memory");
    r->log = NULL;
    r->next = r->previous = NULL;
    r->notify = notify;
    r->userdata = userdata;
    r->fd = -EBADF;
    r->offset = 0;
    r->begin = r->end = 0;
    r->last_pass = false;
    r->dir_fd = fcntl(l->dir_fd, F_DUPFD_CLOEXEC, 3);
    if (r->dir_fd < 0)
        return error_failed(reterr, errno, "logs", "the log cannot be opened: %s", strerror(errno));
    log_add_reader(l, r); /* before it looks: what comes meanwhile is then told */
    int k = tail == SIZE_MAX ? open_next(r) : seek_tail(r, tail);
    if (k < 0)
        return error_failed(reterr, -k, "logs", "the log cannot be opened: %s", strerror(-k));
    *ret = TAKE_PTR(r);
    return 0;
}

ContainerLogReader *container_log_reader_free(ContainerLogReader *r) {
    if (!r)
        return NULL;
    log_remove_reader(r);
    (void) fd_close(r->fd);
    (void) fd_close(r->dir_fd);
    free(r);
    return NULL;
}
