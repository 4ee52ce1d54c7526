/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Pumps between the user's stdio and the container; see stdio.h.
 *
 * A pump waits for its source until that has something, then for its sink until that has room, never for both: it
 * could not use the answer. A FIFO as sink is watched in any case, because it says at once when its reader goes.
 */

#include "client/stdio.h"

#include <fcntl.h>
#include <limits.h>
#include <sys/socket.h>
#include <sys/stat.h>

#define BUFFER_SIZE (64U * 1024U)
#define SPLICE_MAX  (1024U * 1024U)
#define PIPE_SIZE   (1024 * 1024)
/* the room of which a terminal that polls writable is sure */
#define TERMINAL_WRITE_MAX 256U

static mode_t type_of(int fd) {
    struct stat st;
    return fstat(fd, &st) < 0 ? 0 : st.st_mode & S_IFMT;
}

static bool can_splice(mode_t type) {
    return type == S_IFIFO || type == S_IFREG;
}

/*
 * A terminal's write blocks when the terminal is stopped or slow. An open file description of its own can be
 * non-blocking without anybody else noticing; where it cannot be had, small writes serve.
 */
static void prepare_terminal_sink(Pump *p) {
    char path[32];

    (void) snprintf(path, sizeof(path), "/proc/self/fd/%d", p->sink_fd);
    int fd = open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
    if (fd < 0) {
        p->write_max = TERMINAL_WRITE_MAX;
        return;
    }
    p->sink_fd = fd;
    p->owns_sink = true;
}

static int open_pump(Pump *p) {
    mode_t source = type_of(p->source_fd), sink = type_of(p->sink_fd);

    p->sink_is_fifo = sink == S_IFIFO;
    p->sink_is_socket = sink == S_IFSOCK;
    p->write_max = sink == S_IFIFO ? PIPE_BUF : BUFFER_SIZE;
    p->splice = (source == S_IFIFO && can_splice(sink)) || (sink == S_IFIFO && can_splice(source));
    p->buffer = malloc(BUFFER_SIZE + 1); /* one more for the key that a filter held back */
    if (!p->buffer) {
        pump_close(p);
        return -ENOMEM;
    }
    p->open = true;
    return 0;
}

int pump_open_input(Pump *p, int consume_sink_fd) {
    *p = (Pump){ .source_fd = STDIN_FILENO, .sink_fd = consume_sink_fd, .owns_sink = true };
    return open_pump(p);
}

int pump_open_output(Pump *p, int consume_source_fd, int sink_fd) {
    *p = (Pump){ .source_fd = consume_source_fd, .owns_source = true, .sink_fd = sink_fd };
    int r = open_pump(p);
    if (r == 0 && isatty(sink_fd))
        prepare_terminal_sink(p);
    return r;
}

int pump_open_terminal_input(Pump *p, int master_fd, TerminalKeys *keys) {
    *p = (Pump){ .source_fd = STDIN_FILENO, .sink_fd = master_fd, .keys = keys };
    int r = open_pump(p);
    p->write_max = TERMINAL_WRITE_MAX;
    return r;
}

int pump_open_terminal_output(Pump *p, int master_fd) {
    *p = (Pump){ .source_fd = master_fd, .sink_fd = STDOUT_FILENO };
    int r = open_pump(p);
    if (r == 0 && isatty(STDOUT_FILENO))
        prepare_terminal_sink(p);
    return r;
}

void pump_close(Pump *p) {
    int write_error = p->write_error;

    if (p->owns_source)
        (void) fd_close(p->source_fd);
    if (p->owns_sink)
        (void) fd_close(p->sink_fd);
    free(p->buffer);
    *p = PUMP_INIT;
    p->write_error = write_error;
}

bool pump_prepare(const Pump *p, struct pollfd ret[static 2]) {
    ret[0] = ret[1] = (struct pollfd){ .fd = -1 };
    if (!p->open)
        return false;
    if (p->wait_sink)
        ret[1] = (struct pollfd){ .fd = p->sink_fd, .events = POLLOUT };
    else {
        ret[0] = (struct pollfd){ .fd = p->source_fd, .events = POLLIN };
        if (p->sink_is_fifo)
            ret[1].fd = p->sink_fd;
    }
    return p->draining && !p->wait_sink;
}

/* 0 if it may work later; else -EPIPE, and the reason is kept unless it is only that the reader has gone. */
static int sink_failure(Pump *p, int code) {
    if (code == EAGAIN || code == EINTR)
        return 0;
    if (code != EPIPE && code != ECONNRESET)
        p->write_error = code;
    return -EPIPE;
}

/* Returns 1 if bytes were moved, 0 if one side is not ready, -EPIPE if the pump is over, -EINVAL if splice cannot. */
static int move_by_splice(Pump *p) {
    ssize_t n = splice(p->source_fd, NULL, p->sink_fd, NULL, SPLICE_MAX, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);

    if (n > 0)
        return 1;
    if (n == 0)
        return -EPIPE;
    return errno == EINVAL ? -EINVAL : sink_failure(p, errno);
}

static int fill(Pump *p) {
    /* a filter may have one byte more to give than it got: so it reads behind the first */
    unsigned char *in = p->buffer + 1;
    ssize_t n = read(p->source_fd, in, BUFFER_SIZE);

    if (n < 0)
        return errno == EAGAIN || errno == EINTR ? 0 : -EPIPE;
    if (n == 0)
        return -EPIPE;
    if (p->keys) {
        p->begin = 0;
        p->end = terminal_keys_filter(p->keys, in, (size_t) n, p->buffer);
    } else {
        p->begin = 1;
        p->end = 1 + (size_t) n;
    }
    return 1;
}

static int empty(Pump *p) {
    size_t left = p->end - p->begin, size = left < p->write_max ? left : p->write_max;
    ssize_t n = p->sink_is_socket ? send(p->sink_fd, p->buffer + p->begin, size, MSG_DONTWAIT | MSG_NOSIGNAL)
                                  : write(p->sink_fd, p->buffer + p->begin, size);

    if (n < 0)
        return sink_failure(p, errno);
    p->begin += (size_t) n;
    return 1;
}

static int run_splice(Pump *p, bool sink_polled) {
    int r = move_by_splice(p);

    if (r == -EINVAL) {
        p->splice = false;
        p->wait_sink = false;
        return 0;
    }
    /* not ready: if the source was known to have something it is the sink, and the other way round */
    p->wait_sink = r == 0 && !sink_polled;
    return r;
}

static int run_copy(Pump *p, bool sink_polled) {
    int r = sink_polled ? empty(p) : fill(p);

    p->wait_sink = r >= 0 && p->end > p->begin;
    return r;
}

void pump_run(Pump *p, const struct pollfd polled[static 2]) {
    bool source = polled[0].fd >= 0 && polled[0].revents != 0;
    bool sink = polled[1].fd >= 0 && polled[1].events != 0 && polled[1].revents != 0;

    if (!p->open)
        return;
    /* nobody reads the sink any more */
    bool broken = p->sink_is_fifo && polled[1].fd >= 0 && (polled[1].revents & POLLERR);
    bool drained = p->draining && !p->wait_sink && !source;
    if (broken || drained) {
        pump_close(p);
        return;
    }
    if (!source && !sink)
        return;
    int r = p->splice ? run_splice(p, sink) : run_copy(p, sink);
    if (r < 0)
        pump_close(p);
}

int stdio_pipe(int client_end, int ret[static 2]) {
    _cleanup_fd_ int reading = -EBADF, writing = -EBADF;
    int fds[2];

    if (pipe2(fds, O_CLOEXEC) < 0)
        return -errno;
    reading = fds[0];
    writing = fds[1];
    /* a program that runs under another uid in the container opens /dev/stdout anew, and the pipe's owner is us */
    if (fchmod(reading, 0666) < 0)
        return -errno;
    if (fcntl(fds[client_end], F_SETFL, O_NONBLOCK) < 0)
        return -errno;
    (void) fcntl(reading, F_SETPIPE_SZ, PIPE_SIZE); /* fails where the user has many already */
    ret[0] = TAKE_FD(reading);
    ret[1] = TAKE_FD(writing);
    return 0;
}
