/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * From a pseudo terminal to the log.
 *
 * The master cannot be made non-blocking for us alone: the setting belongs to the open file, which the caller who was
 * attached may share and change, and whose bytes he may take between our poll and our read. So the read may block for
 * as long as he likes, and must not do so in a thread that others need. This one serves a single terminal and copies
 * into a pipe. A signal that is sent to it alone gets it out of whichever call it waits in.
 */

#include "container/log-internal.h"

#include "util/fds.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/eventfd.h>
#include <time.h>

#define STACK_SIZE  (64U * 1024U)
#define REOPEN_MSEC 100 /* how often to look whether the container has opened its terminal again */
#define END_MSEC    10  /* how long the thread has to notice one signal */
#define CHUNK       4096U
#define PUMP_SIGNAL (SIGRTMIN + 5)

struct LogPump {
    pthread_t thread;
    int master_fd, pipe_fd;
    int finish_fd; /* an eventfd; written to once */
    atomic_bool stop;
};

/* 1: bytes are there; 0: none will come any more; -EAGAIN: look again. */
static int wait_for_bytes(LogPump *p) {
    struct pollfd fds[] = { { .fd = p->master_fd, .events = POLLIN }, { .fd = p->finish_fd, .events = POLLIN } };
    if (poll(fds, ELEMENTSOF(fds), -1) < 0)
        return errno == EINTR ? -EAGAIN : 0;
    if (fds[0].revents & POLLIN)
        return 1;
    if (fds[1].revents)
        return 0;
    /* Nobody has the other side open. That may change as long as the container lives. */
    return poll(&fds[1], 1, REOPEN_MSEC) > 0 ? 0 : -EAGAIN;
}

/* Gives up when it is interrupted and told to stop. */
static int write_all(LogPump *p, const char *bytes, size_t size) {
    while (size > 0) {
        ssize_t n = write(p->pipe_fd, bytes, size);
        if (n < 0 && (errno != EINTR || atomic_load(&p->stop)))
            return -errno;
        if (n > 0) {
            bytes += n;
            size -= (size_t) n;
        }
    }
    return 0;
}

static void *pump_main(void *userdata) {
    LogPump *p = userdata;
    char bytes[CHUNK];
    while (!atomic_load(&p->stop)) {
        int r = wait_for_bytes(p);
        if (r == 0)
            break;
        ssize_t n = r > 0 ? read(p->master_fd, bytes, sizeof(bytes)) : 0;
        if (n > 0 && write_all(p, bytes, (size_t) n) < 0)
            break;
    }
    p->pipe_fd = fd_close(p->pipe_fd); /* tells the log thread that this was all */
    return NULL;
}

static void on_signal(int sig) {}

/* No SA_RESTART: what it interrupts is to return. */
static void install_handler(void) {
    struct sigaction action = { .sa_handler = on_signal };
    (void) sigaction(PUMP_SIGNAL, &action, NULL);
}

static int start(LogPump *p) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_attr_t attributes;
    sigset_t all;
    int r = pthread_attr_init(&attributes);
    if (r != 0)
        return -r;
    (void) pthread_attr_setstacksize(&attributes, STACK_SIZE);
    (void) pthread_once(&once, install_handler);
    (void) sigfillset(&all);
    (void) sigdelset(&all, PUMP_SIGNAL);
    r = pthread_attr_setsigmask_np(&attributes, &all);
    if (r == 0)
        r = pthread_create(&p->thread, &attributes, pump_main, p);
    (void) pthread_attr_destroy(&attributes);
    return -r;
}

static LogPump *close_and_free(LogPump *p) {
    (void) fd_close(p->master_fd);
    (void) fd_close(p->pipe_fd);
    (void) fd_close(p->finish_fd);
    free(p);
    return NULL;
}

int log_pump_new(int with_master_fd, int *ret_pipe_fd, LogPump **ret) {
    int fds[2] = { -EBADF, -EBADF };
    LogPump *p = malloc(sizeof(LogPump));
    if (!p)
        return -ENOMEM;
    *p = (LogPump){ .master_fd = -EBADF, .pipe_fd = -EBADF, .finish_fd = -EBADF };
    p->master_fd = fcntl(with_master_fd, F_DUPFD_CLOEXEC, 3);
    p->finish_fd = eventfd(0, EFD_CLOEXEC);
    int r = p->master_fd < 0 || p->finish_fd < 0 || pipe2(fds, O_CLOEXEC) < 0 ? -errno : 0;
    p->pipe_fd = fds[1];
    if (r >= 0)
        r = fd_set_nonblock(fds[0], true);
    if (r >= 0)
        r = start(p);
    if (r < 0) {
        (void) fd_close(fds[0]);
        close_and_free(p);
        return r;
    }
    *ret_pipe_fd = fds[0];
    *ret = p;
    return 0;
}

void log_pump_finish(LogPump *p) {
    (void) !eventfd_write(p->finish_fd, 1);
}

static bool ends_soon(LogPump *p) {
    struct timespec until;
    (void) clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += END_MSEC * 1000000L;
    until.tv_sec += until.tv_nsec / 1000000000L;
    until.tv_nsec %= 1000000000L;
    return pthread_clockjoin_np(p->thread, NULL, CLOCK_MONOTONIC, &until) == 0;
}

LogPump *log_pump_free(LogPump *p) {
    if (!p)
        return NULL;
    log_pump_finish(p);
    atomic_store(&p->stop, true);
    /* Again and again, as a signal that comes just before the call does not interrupt it; but with time to act upon it:
     * as long as one is pending the thread runs nothing but its handler. */
    do
        (void) pthread_kill(p->thread, PUMP_SIGNAL);
    while (!ends_soon(p));
    return close_and_free(p);
}
