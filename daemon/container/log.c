/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The log thread, and what the loop sees of it.
 *
 * The loop asks by setting flags of a log and putting it into the thread's queue; the thread answers by putting it into
 * the loop's. Each queue has an eventfd that says it is not empty. A log in a queue is referenced by it, so that it may
 * be freed at any time. The thread reads one chunk of one stream at a time, in turns: no container can keep it.
 *
 * The FIFOs are writable for everyone, because any user of a container may open /dev/stdout again; the directory that
 * holds them is root's alone.
 */

#include "container/log-internal.h"

#include "util/fds.h"
#include "util/log.h"

#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <time.h>

#define STACK_SIZE  (256U * 1024U)
#define CHUNK       (64U * 1024U)
#define PIPE_SIZE   (256 * 1024)
#define DRAIN_MAX   (1024U * 1024U)     /* what a pipe can hold at most, for those without special rights */
#define FINISH_USEC (2ULL * 1000000ULL) /* how long the end of a terminal's output is waited for */
#define EVENTS_MAX  32

struct ContainerLogThread {
    sd_event_source *source;
    int loop_fd; /* eventfd: the loop's queue is not empty */
    int wake_fd; /* eventfd: the thread's queue is not empty */
    int epoll_fd;
    uint64_t max_bytes;
    pthread_t thread;
    bool running;

    pthread_mutex_t mutex; /* for what follows, and for each log as log-internal.h says */
    bool stop;
    ContainerLog *logs;
    ContainerLog *queue, **queue_tail;
    ContainerLog *changed, **changed_tail;

    ContainerLog *finishing; /* the thread's: those whose streams are expected to end */
    char chunk[CHUNK];
};

static const char *const fifo_names[] = { "stdout", "stderr" };

static uint64_t monotonic_usec(void) {
    struct timespec t;
    (void) clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t) t.tv_sec * 1000000ULL + (uint64_t) t.tv_nsec / 1000ULL;
}

static void lock(ContainerLogThread *t) {
    (void) pthread_mutex_lock(&t->mutex);
}
static void unlock(ContainerLogThread *t) {
    (void) pthread_mutex_unlock(&t->mutex);
}

static void log_destroy(ContainerLog *l) {
    for (size_t i = 0; i < ELEMENTSOF(l->streams); i++)
        l->streams[i].fd = fd_close(l->streams[i].fd);
    log_file_close(&l->file);
    (void) fd_close(l->dir_fd);
    free(l);
}

/* With the mutex held. The caller destroys it, without the mutex, if this says so. */
static bool log_unref_locked(ContainerLog *l) {
    return --l->n_ref == 0;
}

static void log_unref(ContainerLogThread *t, ContainerLog *l) {
    lock(t);
    bool last = log_unref_locked(l);
    unlock(t);
    if (last)
        log_destroy(l);
}

/* With the mutex held. */
static void queue_for_thread(ContainerLog *l) {
    ContainerLogThread *t = l->thread;
    if (l->queued)
        return;
    l->queued = true;
    l->n_ref++;
    l->next_queued = NULL;
    *t->queue_tail = l;
    t->queue_tail = &l->next_queued;
    (void) !eventfd_write(t->wake_fd, 1);
}

/* With the mutex held. */
static void queue_for_loop(ContainerLog *l) {
    ContainerLogThread *t = l->thread;
    if (l->changed || l->freed)
        return;
    l->changed = true;
    l->n_ref++;
    l->next_changed = NULL;
    *t->changed_tail = l;
    t->changed_tail = &l->next_changed;
    (void) !eventfd_write(t->loop_fd, 1);
}

/* --- the thread --- */

static void tell_readers(ContainerLog *l) {
    lock(l->thread);
    if (l->n_readers > 0)
        queue_for_loop(l);
    unlock(l->thread);
}

/* Closing alone is not enough: a child that was just forked holds the same open file, and epoll would go on with it. */
static void stream_close(LogStream *s) {
    if (s->fd < 0)
        return;
    (void) epoll_ctl(s->log->thread->epoll_fd, EPOLL_CTL_DEL, s->fd, NULL);
    s->fd = fd_close(s->fd);
}

/* Reads one chunk: its size, 0 at the end (the stream is closed then), -EAGAIN if there is nothing now. */
static ssize_t stream_read(ContainerLogThread *t, LogStream *s) {
    if (s->fd < 0)
        return 0;
    ssize_t n = read(s->fd, t->chunk, sizeof(t->chunk));
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return -EAGAIN;
    if (n <= 0) {
        stream_close(s);
        return 0;
    }
    int r = log_file_append_output(&s->log->file, s->is_stderr, t->chunk, (size_t) n);
    if (r < 0)
        log_limited(LOG_WARNING, "Output of a container is lost, its log cannot be written: %s", strerror(-r));
    tell_readers(s->log);
    return n;
}

/* What was written before now. Not more: whoever still writes shall not keep us. */
static void stream_drain(ContainerLogThread *t, LogStream *s) {
    ssize_t n;
    for (size_t total = 0; total < DRAIN_MAX; total += (size_t) n) {
        n = stream_read(t, s);
        if (n <= 0)
            return;
    }
}

static bool at_end(const ContainerLog *l) {
    return l->streams[0].fd < 0 && l->streams[1].fd < 0;
}

static void set_finished(ContainerLog *l) {
    for (size_t i = 0; i < ELEMENTSOF(l->streams); i++)
        stream_close(&l->streams[i]);
    log_file_close(&l->file);
    lock(l->thread);
    l->finished = true;
    queue_for_loop(l);
    unlock(l->thread);
}

static void unlink_finishing(ContainerLogThread *t, ContainerLog *l) {
    for (ContainerLog **p = &t->finishing; *p; p = &(*p)->next_finishing)
        if (*p == l) {
            *p = l->next_finishing;
            break;
        }
    l->finishing = false;
}

/* A pump writes until it has seen the terminal's end, so that is waited for; what a FIFO holds is there now. */
static void command_finish(ContainerLogThread *t, ContainerLog *l) {
    for (size_t i = 0; i < ELEMENTSOF(l->streams); i++)
        stream_drain(t, &l->streams[i]);
    if (!l->pumped || at_end(l)) {
        set_finished(l);
        return;
    }
    l->finishing = true;
    l->deadline_usec = monotonic_usec() + FINISH_USEC;
    l->next_finishing = t->finishing;
    t->finishing = l;
}

static void command_add(ContainerLogThread *t, ContainerLog *l) {
    for (size_t i = 0; i < ELEMENTSOF(l->streams); i++) {
        LogStream *s = &l->streams[i];
        struct epoll_event event = { .events = EPOLLIN, .data.ptr = s };
        if (s->fd >= 0 && epoll_ctl(t->epoll_fd, EPOLL_CTL_ADD, s->fd, &event) < 0)
            log_limited(LOG_WARNING, "A container's output cannot be watched: %s", strerror(errno));
    }
}

static void command_remove(ContainerLogThread *t, ContainerLog *l) {
    for (size_t i = 0; i < ELEMENTSOF(l->streams); i++) {
        stream_drain(t, &l->streams[i]);
        stream_close(&l->streams[i]);
    }
    if (l->finishing)
        unlink_finishing(t, l);
    log_file_close(&l->file);
}

static ContainerLog *take_command(ContainerLogThread *t, bool *add, bool *finish, bool *remove) {
    lock(t);
    ContainerLog *l = t->queue;
    if (l) {
        t->queue = l->next_queued;
        if (!t->queue)
            t->queue_tail = &t->queue;
        l->queued = false;
        *add = l->wants_add;
        *finish = l->wants_finish;
        *remove = l->wants_remove;
        l->wants_add = l->wants_finish = l->wants_remove = false;
    }
    unlock(t);
    return l;
}

static void run_commands(ContainerLogThread *t) {
    bool add, finish, remove;
    ContainerLog *l;
    while ((l = take_command(t, &add, &finish, &remove))) {
        if (add)
            command_add(t, l);
        if (finish)
            command_finish(t, l);
        if (remove)
            command_remove(t, l);
        log_unref(t, l);
    }
}

/* Ends those whose streams have ended or whose time is up; returns how long the next may take, -1 if there is none. */
static int run_deadlines(ContainerLogThread *t) {
    uint64_t now = monotonic_usec(), next = UINT64_MAX;
    for (ContainerLog **p = &t->finishing; *p;) {
        ContainerLog *l = *p;
        if (at_end(l) || l->deadline_usec <= now) {
            *p = l->next_finishing;
            l->finishing = false;
            set_finished(l);
            continue;
        }
        if (l->deadline_usec < next)
            next = l->deadline_usec;
        p = &l->next_finishing;
    }
    return next == UINT64_MAX ? -1 : (int) ((next - now) / 1000U + 1U);
}

static bool is_stopped(ContainerLogThread *t) {
    lock(t);
    bool stop = t->stop;
    unlock(t);
    return stop;
}

/* Streams before commands: a command may free a log that the rest of this batch of events still speaks of. */
static void *thread_main(void *userdata) {
    ContainerLogThread *t = userdata;
    struct epoll_event events[EVENTS_MAX];
    int timeout = -1;
    while (!is_stopped(t)) {
        int n = epoll_wait(t->epoll_fd, events, EVENTS_MAX, timeout);
        bool woken = false;
        for (int i = 0; i < n; i++) {
            if (events[i].data.ptr)
                (void) stream_read(t, events[i].data.ptr);
            else
                woken = true;
        }
        if (woken) {
            eventfd_t ignored;
            (void) !eventfd_read(t->wake_fd, &ignored);
            run_commands(t);
        }
        timeout = run_deadlines(t);
    }
    run_commands(t); /* those that came with the stop: logs that are let go of are drained */
    return NULL;
}

/* --- the loop --- */

static ContainerLog *take_changed(ContainerLogThread *t, bool *finished) {
    lock(t);
    ContainerLog *l = t->changed;
    if (l) {
        t->changed = l->next_changed;
        if (!t->changed)
            t->changed_tail = &t->changed;
        l->changed = false;
        *finished = l->finished;
    }
    unlock(t);
    return l;
}

/* Any of the callbacks may free readers or the log itself; the queue's reference keeps the struct. */
static void tell_loop(ContainerLog *l, bool finished) {
    for (ContainerLogReader *r = l->readers; r && !l->freed; r = l->next_reader) {
        l->next_reader = r->next;
        if (r->notify)
            r->notify(r->userdata);
    }
    l->next_reader = NULL;
    if (!finished || l->freed || !l->done)
        return;
    void (*done)(void *userdata) = TAKE_PTR(l->done);
    done(l->userdata);
}

/* At most as many as there can be: a thread that is faster than us shall not keep the loop. */
static int on_changed(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
    ContainerLogThread *t = userdata;
    eventfd_t count;
    bool finished = false;
    if (eventfd_read(fd, &count) < 0)
        return 0;
    ContainerLog *l;
    for (eventfd_t i = 0; i < count && (l = take_changed(t, &finished)); i++) {
        tell_loop(l, finished);
        log_unref(t, l);
    }
    return 0;
}

static int thread_start(ContainerLogThread *t) {
    pthread_attr_t attributes;
    sigset_t all;
    int r = pthread_attr_init(&attributes);
    if (r != 0)
        return -r;
    (void) pthread_attr_setstacksize(&attributes, STACK_SIZE);
    (void) sigfillset(&all);
    r = pthread_attr_setsigmask_np(&attributes, &all);
    if (r == 0)
        r = pthread_create(&t->thread, &attributes, thread_main, t);
    (void) pthread_attr_destroy(&attributes);
    t->running = r == 0;
    return -r;
}

static int thread_open(ContainerLogThread *t, sd_event *event) {
    t->loop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    t->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    t->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (t->loop_fd < 0 || t->wake_fd < 0 || t->epoll_fd < 0)
        return -errno;
    struct epoll_event wake = { .events = EPOLLIN, .data.ptr = NULL };
    if (epoll_ctl(t->epoll_fd, EPOLL_CTL_ADD, t->wake_fd, &wake) < 0)
        return -errno;
    int r = sd_event_add_io(event, &t->source, t->loop_fd, EPOLLIN, on_changed, t);
    if (r < 0)
        return r;
    (void) sd_event_source_set_description(t->source, "container-log");
    return thread_start(t);
}

int container_log_thread_new(sd_event *event, uint64_t max_bytes, ContainerLogThread **ret, Error *reterr) {
    _cleanup_(container_log_thread_freep) ContainerLogThread *t = calloc(1, sizeof(ContainerLogThread));
    if (!t)
        return error_failed(reterr, ENOMEM, "log", "out of memory");
    t->loop_fd = t->wake_fd = t->epoll_fd = -EBADF;
    t->max_bytes = max_bytes;
    t->queue_tail = &t->queue;
    t->changed_tail = &t->changed;
    (void) pthread_mutex_init(&t->mutex, NULL); /* cannot fail with default attributes */
    int r = thread_open(t, event);
    if (r < 0)
        return error_failed(reterr, -r, "log", "the log thread cannot be started: %s", strerror(-r));
    *ret = TAKE_PTR(t);
    return 0;
}

static void log_unlink_locked(ContainerLog *l) {
    ContainerLogThread *t = l->thread;
    if (l->next)
        l->next->previous = l->previous;
    if (l->previous)
        l->previous->next = l->next;
    else
        t->logs = l->next;
    l->next = l->previous = NULL;
}

void container_log_thread_stop(ContainerLogThread *t) {
    if (!t || !t->running)
        return;
    lock(t);
    t->stop = true;
    for (ContainerLog *l = t->logs; l; l = l->next) {
        l->wants_remove = true;
        queue_for_thread(l);
    }
    unlock(t);
    (void) !eventfd_write(t->wake_fd, 1);
    (void) pthread_join(t->thread, NULL);
    t->running = false;
}

ContainerLogThread *container_log_thread_free(ContainerLogThread *t) {
    if (!t)
        return NULL;
    container_log_thread_stop(t);
    run_commands(t); /* those that came after its end */
    bool ignored;
    for (ContainerLog *l; (l = take_changed(t, &ignored));)
        log_unref(t, l);
    /* whoever still holds one may free it later */
    while (t->logs) {
        ContainerLog *l = t->logs;
        log_unlink_locked(l);
        l->thread = NULL;
    }
    (void) sd_event_source_disable_unref(t->source);
    (void) fd_close(t->loop_fd);
    (void) fd_close(t->wake_fd);
    (void) fd_close(t->epoll_fd);
    (void) pthread_mutex_destroy(&t->mutex);
    free(t);
    return NULL;
}

static int log_new(ContainerLogThread *t, int data_fd, ContainerLog **ret) {
    ContainerLog *l = calloc(1, sizeof(ContainerLog));
    if (!l)
        return -ENOMEM;
    l->n_ref = 1;
    l->file = LOG_FILE_INIT;
    for (unsigned i = 0; i < ELEMENTSOF(l->streams); i++)
        l->streams[i] = (LogStream){ l, -EBADF, i == 1 };
    l->dir_fd = fcntl(data_fd, F_DUPFD_CLOEXEC, 3);
    if (l->dir_fd < 0) {
        int r = -errno;
        free(l);
        return r;
    }
    l->thread = t;
    lock(t);
    l->next = t->logs;
    if (l->next)
        l->next->previous = l;
    t->logs = l;
    unlock(t);
    *ret = l;
    return 0;
}

static void log_add(ContainerLog *l) {
    lock(l->thread);
    l->wants_add = true;
    queue_for_thread(l);
    unlock(l->thread);
}

/* Not by the umask, which may be anything. */
static int make_fifo(int dir_fd, const char *name) {
    if (mkfifoat(dir_fd, name, 0600) < 0 && errno != EEXIST)
        return -errno;
    return fchmodat(dir_fd, name, 0666, 0) < 0 ? -errno : 0;
}

int container_log_open_unread(int state_fd, unsigned stream) {
    int fd = openat(state_fd, fifo_names[stream], O_RDONLY | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

static int open_fifo(int dir_fd, unsigned stream, int *ret_read, int *ret_payload) {
    const char *name = fifo_names[stream];
    int r = make_fifo(dir_fd, name);
    if (r < 0)
        return r;
    _cleanup_fd_ int fd = container_log_open_unread(dir_fd, stream);
    if (fd < 0)
        return fd;
    (void) fcntl(fd, F_SETPIPE_SZ, PIPE_SIZE); /* what it is anyway will do */
    if (ret_payload) {
        *ret_payload = openat(dir_fd, name, O_RDWR | O_NOFOLLOW | O_CLOEXEC);
        if (*ret_payload < 0)
            return -errno;
    }
    *ret_read = TAKE_FD(fd);
    return 0;
}

int container_log_open(ContainerLogThread *t, int state_fd, int data_fd, int ret_stdio[2], ContainerLog **ret,
                       Error *reterr) {
    _cleanup_(container_log_freep) ContainerLog *l = NULL;
    _cleanup_fd_ int out = -EBADF, err = -EBADF;
    int *payload[] = { &out, &err };
    int r = log_new(t, data_fd, &l);
    if (r >= 0)
        r = log_file_open(&l->file, data_fd, t->max_bytes);
    for (unsigned i = 0; i < ELEMENTSOF(fifo_names) && r >= 0; i++)
        r = open_fifo(state_fd, i, &l->streams[i].fd, ret_stdio ? payload[i] : NULL);
    if (r < 0)
        return error_failed(reterr, -r, "log", "the log cannot be opened: %s", strerror(-r));
    log_add(l);
    if (ret_stdio) {
        ret_stdio[0] = TAKE_FD(out);
        ret_stdio[1] = TAKE_FD(err);
    }
    *ret = TAKE_PTR(l);
    return 0;
}

int container_log_open_terminal(ContainerLogThread *t, int data_fd, int with_master_fd, ContainerLog **ret,
                                Error *reterr) {
    _cleanup_(container_log_freep) ContainerLog *l = NULL;
    int r = log_new(t, data_fd, &l);
    if (r >= 0)
        r = log_file_open(&l->file, data_fd, t->max_bytes);
    if (r >= 0)
        r = log_pump_new(with_master_fd, &l->streams[0].fd, &l->pump);
    if (r < 0)
        return error_failed(reterr, -r, "log", "the terminal cannot be read into the log: %s", strerror(-r));
    l->pumped = true;
    log_add(l);
    *ret = TAKE_PTR(l);
    return 0;
}

int container_log_open_finished(ContainerLogThread *t, int data_fd, ContainerLog **ret, Error *reterr) {
    ContainerLog *l;
    int r = log_new(t, data_fd, &l);
    if (r < 0)
        return error_failed(reterr, -r, "log", "the log cannot be opened: %s", strerror(-r));
    l->finished = true;
    *ret = l;
    return 0;
}

void container_log_finish(ContainerLog *l, void (*done)(void *userdata), void *userdata) {
    if (!l->thread)
        return;
    l->done = done;
    l->userdata = userdata;
    if (l->pump)
        log_pump_finish(l->pump);
    lock(l->thread);
    if (l->finished)
        queue_for_loop(l);
    else {
        l->wants_finish = true;
        queue_for_thread(l);
    }
    unlock(l->thread);
}

bool container_log_is_finished(const ContainerLog *l) {
    if (!l->thread)
        return true;
    lock(l->thread);
    bool finished = l->finished;
    unlock(l->thread);
    return finished;
}

ContainerLog *container_log_free(ContainerLog *l) {
    if (!l)
        return NULL;
    while (l->readers)
        log_remove_reader(l->readers);
    l->pump = log_pump_free(l->pump);
    ContainerLogThread *t = l->thread;
    if (!t) {
        log_destroy(l);
        return NULL;
    }
    lock(t);
    l->freed = true;
    log_unlink_locked(l);
    l->wants_remove = true;
    queue_for_thread(l);
    bool last = log_unref_locked(l);
    unlock(t);
    if (last)
        log_destroy(l);
    return NULL;
}

static void count_readers(ContainerLog *l, int change) {
    if (!l->thread)
        return;
    lock(l->thread);
    l->n_readers += (unsigned) change;
    unlock(l->thread);
}

void log_add_reader(ContainerLog *l, ContainerLogReader *r) {
    r->log = l;
    r->previous = NULL;
    r->next = l->readers;
    if (r->next)
        r->next->previous = r;
    l->readers = r;
    count_readers(l, 1);
}

void log_remove_reader(ContainerLogReader *r) {
    ContainerLog *l = r->log;
    if (!l)
        return;
    if (l->next_reader == r)
        l->next_reader = r->next;
    if (r->next)
        r->next->previous = r->previous;
    if (r->previous)
        r->previous->next = r->next;
    else
        l->readers = r->next;
    r->log = NULL;
    r->next = r->previous = NULL;
    count_readers(l, -1);
}
