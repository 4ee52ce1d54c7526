/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Reads that may never end.
 *
 * A process's arguments, environment and maps lie behind its own memory: a page of it may be a caller's file system's, or
 * userfaultfd's, which answer when somebody else pleases, and no timeout can be set for that. So such a read is another
 * thread's job; who asked waits a little, then leaves the thread behind with its buffer, and the thread frees both whenever
 * it comes back. A container with a read that hangs like that is not read again until it has come back; at most LOST_MAX of
 * them may hang in all. What answers late on purpose uses up its container's share of waiting, and then is not asked; the
 * shares become small when many use theirs up, so that others have their turn. A container takes nothing else from others.
 */

#include "watch/internal.h"

#include "util/fds.h"

#include <fcntl.h>
#include <string.h>
#include <sys/vfs.h>

#define WAIT_USEC   50000U
#define TYPE_USEC   1000000U
#define LOST_MAX    64U
#define PROMPT_USEC 5000U   /* an answer that is no waiting */
#define SHARE_USEC  200000U /* of each second that a container's processes are waited for */
#define ALL_USEC    500000U /* of each second, of all containers: beyond that each has */
#define LEAST_USEC  20000U
#define BUFFER_SIZE 65536U

/* Shared by the asking and the reading thread; the last one frees it. */
typedef struct Read Read;
struct Read {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool asked, left; /* there is a file to read; nobody waits any more */
    bool lost;        /* it is in the list of those */
    int fd;           /* of the directory, its own */
    char name[16];    /* empty: it is the type of FD's file system that is asked for */
    ssize_t result;
    char subject[sizeof(((WatchSubject *) NULL)->id)]; /* no reference: it may be gone before the read comes back */
    Read *next_lost;
    char buffer[BUFFER_SIZE];
};

/* ---- those that were left behind ---- */

static pthread_mutex_t lost_lock = PTHREAD_MUTEX_INITIALIZER; /* a leaf */
static Read *lost;
static size_t n_lost;

static void lost_add(Read *r) {
    (void) pthread_mutex_lock(&lost_lock);
    r->next_lost = lost;
    lost = r;
    n_lost++;
    (void) pthread_mutex_unlock(&lost_lock);
}

static void lost_remove(Read *r) {
    (void) pthread_mutex_lock(&lost_lock);
    Read **p = &lost;
    while (*p != r)
        p = &(*p)->next_lost;
    *p = r->next_lost;
    n_lost--;
    (void) pthread_mutex_unlock(&lost_lock);
}

/* May S be read? Not as long as one of its reads hangs, or too many of others'. */
static bool lost_allows(const WatchSubject *s) {
    (void) pthread_mutex_lock(&lost_lock);
    bool allowed = n_lost < LOST_MAX;
    for (const Read *r = lost; r && allowed; r = r->next_lost)
        allowed = strcmp(r->subject, s->id) != 0;
    (void) pthread_mutex_unlock(&lost_lock);
    return allowed;
}

/* ---- the reading thread ---- */

static void read_free(Read *r) {
    (void) pthread_cond_destroy(&r->changed);
    (void) pthread_mutex_destroy(&r->lock);
    (void) fd_close(r->fd);
    free(r);
}

static ssize_t read_type(int fd, char *buffer) {
    struct statfs fs;
    if (fstatfs(fd, &fs) < 0)
        return -errno;
    uint32_t type = (uint32_t) fs.f_type;
    memcpy(buffer, &type, sizeof(type));
    return sizeof(type);
}

static void *read_main(void *userdata) {
    Read *r = userdata;
    (void) pthread_mutex_lock(&r->lock);
    for (;;) {
        while (!r->asked && !r->left)
            (void) pthread_cond_wait(&r->changed, &r->lock);
        if (r->left) /* maybe before it had its turn: then what it was asked for hung nowhere */
            break;
        (void) pthread_mutex_unlock(&r->lock);
        ssize_t n =
            r->name[0] ? evidence_read(r->fd, r->name, r->buffer, sizeof(r->buffer)) : read_type(r->fd, r->buffer);
        (void) pthread_mutex_lock(&r->lock);
        r->result = n;
        r->asked = false;
        r->fd = fd_close(r->fd);
        (void) pthread_cond_signal(&r->changed);
    }
    (void) pthread_mutex_unlock(&r->lock);
    if (r->lost)
        lost_remove(r);
    read_free(r);
    return NULL;
}

static Read *read_new(void) {
    pthread_condattr_t attributes;
    pthread_attr_t detached;
    pthread_t thread;
    sigset_t all, saved;
    Read *r = calloc(1, sizeof(Read));
    if (!r)
        return NULL;
    r->fd = -EBADF;
    (void) pthread_mutex_init(&r->lock, NULL);
    (void) pthread_condattr_init(&attributes);
    (void) pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    (void) pthread_cond_init(&r->changed, &attributes);
    (void) pthread_condattr_destroy(&attributes);
    (void) pthread_attr_init(&detached);
    (void) pthread_attr_setdetachstate(&detached, PTHREAD_CREATE_DETACHED);
    (void) sigfillset(&all);
    (void) pthread_sigmask(SIG_SETMASK, &all, &saved);
    int failed = pthread_create(&thread, &detached, read_main, r);
    (void) pthread_sigmask(SIG_SETMASK, &saved, NULL);
    (void) pthread_attr_destroy(&detached);
    if (!failed)
        return r;
    read_free(r);
    return NULL;
}

/* ---- the asking thread ---- */

/* One for each thread that asks; when that ends, so does its reader. */
static pthread_key_t key;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void leave(void *userdata) {
    Read *r = userdata;
    (void) pthread_mutex_lock(&r->lock);
    r->left = true;
    r->lost = r->asked;
    if (r->lost)
        lost_add(r);
    (void) pthread_cond_signal(&r->changed);
    (void) pthread_mutex_unlock(&r->lock);
}

static void make_key(void) {
    (void) pthread_key_create(&key, leave);
}

static Read *reader_of_thread(void) {
    (void) pthread_once(&once, make_key);
    Read *r = pthread_getspecific(key);
    if (r)
        return r;
    r = read_new();
    if (r)
        (void) pthread_setspecific(key, r);
    return r;
}

/* How long this thread has waited for all in the second that began then. */
static _Thread_local ReaderShare all;

static void renew(ReaderShare *share, uint64_t now) {
    if (now - share->second_usec >= 1000000U)
        *share = (ReaderShare){ now, 0 };
}

bool reader_has_patience(WatchSubject *s) {
    uint64_t now = watch_now();
    renew(&all, now);
    renew(&s->reader_share, now);
    return s->reader_share.waited_usec < (all.waited_usec < ALL_USEC ? SHARE_USEC : LEAST_USEC);
}

void reader_waited(WatchSubject *s, uint64_t usec) {
    if (usec < PROMPT_USEC)
        return;
    all.waited_usec += usec;
    s->reader_share.waited_usec += usec;
}

void reader_count(WatchSubject *s, ssize_t result) {
    if (result == -EAGAIN || result == -ETIMEDOUT)
        (void) atomic_fetch_add(&s->dropped, 1);
}

static int wait_for(Read *r, uint64_t usec) {
    uint64_t until = watch_now() + usec;
    struct timespec t = { (time_t) (until / 1000000U), (long) (until % 1000000U * 1000U) };
    while (r->asked)
        if (pthread_cond_timedwait(&r->changed, &r->lock, &t) == ETIMEDOUT && r->asked)
            return -ETIMEDOUT;
    return 0;
}

static ssize_t ask(WatchSubject *s, int dir_fd, const char *name, uint64_t usec, char *buffer, size_t size) {
    if (!reader_has_patience(s) || !lost_allows(s))
        return -EAGAIN;
    uint64_t began = watch_now();
    Read *r = reader_of_thread();
    int fd = r ? fcntl(dir_fd, F_DUPFD_CLOEXEC, 3) : -1;
    if (fd < 0)
        return r ? -errno : -EAGAIN;
    (void) pthread_mutex_lock(&r->lock);
    r->fd = fd;
    (void) snprintf(r->name, sizeof(r->name), "%s", name);
    (void) snprintf(r->subject, sizeof(r->subject), "%s", s->id);
    r->asked = true;
    (void) pthread_cond_signal(&r->changed);
    ssize_t n = wait_for(r, usec);
    if (n >= 0) {
        n = r->result;
        if (n >= (ssize_t) size)
            n = (ssize_t) size - 1;
        if (n >= 0) {
            memcpy(buffer, r->buffer, (size_t) n);
            buffer[n] = 0;
        }
    }
    (void) pthread_mutex_unlock(&r->lock);
    reader_waited(s, watch_now() - began);
    if (n == -ETIMEDOUT) {
        (void) pthread_setspecific(key, NULL);
        leave(r);
    }
    return n;
}

ssize_t reader_read(WatchSubject *s, int dir_fd, const char *name, char *buffer, size_t size) {
    return ask(s, dir_fd, name, WAIT_USEC, buffer, size);
}

int reader_type(WatchSubject *s, int fd, uint32_t *ret) {
    char buffer[sizeof(*ret) + 1];
    ssize_t n = ask(s, fd, "", TYPE_USEC, buffer, sizeof(buffer));
    if (n < 0)
        return (int) n;
    memcpy(ret, buffer, sizeof(*ret));
    return 0;
}
