/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * One thread a job, joined by the loop.
 *
 * The mutex guards `finished` and `n_running`, the only things that threads write to. A thread puts its job there and
 * writes to the eventfd as its last two acts; the loop then joins it, which takes no time, and only after that calls
 * the completion. So everything the job wrote is visible to the completion, and no thread outlives the pool: one with a
 * thread that hangs is never freed.
 */

#include "util/worker.h"

#include <pthread.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <time.h>

#define STACK_SIZE (256U * 1024U)
#define FREE_USEC  1000000U

typedef struct Job {
    WorkerPool *pool;
    WorkerRun run;
    WorkerDone done;
    void *userdata;
    pthread_t thread;
    struct Job *previous, *next; /* in `jobs`: the loop's */
    struct Job *next_finished;   /* in `finished`: under the mutex */
} Job;

struct WorkerPool {
    sd_event_source *source;
    int event_fd;
    unsigned jobs_max, n_jobs;
    Job *jobs; /* every job whose thread has not been joined */
    pthread_mutex_t mutex;
    pthread_cond_t idle;
    unsigned n_running;             /* run() has not returned */
    Job *finished, **finished_tail; /* in the order in which they ended */
};

static void pool_link(WorkerPool *p, Job *j) {
    j->next = p->jobs;
    if (p->jobs)
        p->jobs->previous = j;
    p->jobs = j;
    p->n_jobs++;
}

static void pool_unlink(WorkerPool *p, Job *j) {
    if (j->next)
        j->next->previous = j->previous;
    if (j->previous)
        j->previous->next = j->next;
    else
        p->jobs = j->next;
    p->n_jobs--;
}

static void count_running(WorkerPool *p, int change) {
    (void) pthread_mutex_lock(&p->mutex);
    p->n_running += (unsigned) change;
    (void) pthread_mutex_unlock(&p->mutex);
}

static void *job_main(void *userdata) {
    Job *j = userdata;
    WorkerPool *p = j->pool;
    j->run(j->userdata);
    (void) pthread_mutex_lock(&p->mutex);
    *p->finished_tail = j;
    p->finished_tail = &j->next_finished;
    if (--p->n_running == 0)
        (void) pthread_cond_broadcast(&p->idle);
    (void) pthread_mutex_unlock(&p->mutex);
    /* fails only when the counter is full, and then the loop has been woken already */
    (void) !eventfd_write(p->event_fd, 1);
    return NULL;
}

static Job *pool_take_finished(WorkerPool *p) {
    (void) pthread_mutex_lock(&p->mutex);
    Job *j = p->finished;
    p->finished = NULL;
    p->finished_tail = &p->finished;
    (void) pthread_mutex_unlock(&p->mutex);
    return j;
}

static int on_finished(sd_event_source *s, int fd, uint32_t revents, void *userdata) {
    WorkerPool *p = userdata;
    eventfd_t count;
    (void) !eventfd_read(fd, &count);
    Job *j = pool_take_finished(p);
    while (j) {
        _cleanup_free_ Job *current = j;
        j = j->next_finished;
        (void) pthread_join(current->thread, NULL);
        pool_unlink(p, current);
        current->done(current->userdata);
    }
    return 0;
}

int worker_pool_new(sd_event *event, unsigned jobs_max, WorkerPool **ret) {
    _cleanup_(worker_pool_freep) WorkerPool *p = calloc(1, sizeof(WorkerPool));
    if (!p)
        return -ENOMEM;
    p->jobs_max = jobs_max;
    p->finished_tail = &p->finished;
    (void) pthread_mutex_init(&p->mutex, NULL); /* these cannot fail with default attributes */
    (void) pthread_cond_init(&p->idle, NULL);
    p->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (p->event_fd < 0)
        return -errno;
    int r = sd_event_add_io(event, &p->source, p->event_fd, EPOLLIN, on_finished, p);
    if (r < 0)
        return r;
    (void) sd_event_source_set_description(p->source, "worker-finished");
    *ret = TAKE_PTR(p);
    return 0;
}

int worker_pool_wait(WorkerPool *p, uint64_t timeout_usec) {
    struct timespec end;
    (void) clock_gettime(CLOCK_MONOTONIC, &end);
    uint64_t nsec = (uint64_t) end.tv_nsec + timeout_usec % 1000000U * 1000U;
    end.tv_sec += (time_t) (timeout_usec / 1000000U + nsec / 1000000000U);
    end.tv_nsec = (long) (nsec % 1000000000U);
    int r = 0;
    (void) pthread_mutex_lock(&p->mutex);
    while (p->n_running > 0 && r == 0)
        r = pthread_cond_clockwait(&p->idle, &p->mutex, CLOCK_MONOTONIC, &end);
    r = p->n_running > 0 ? -ETIMEDOUT : 0;
    (void) pthread_mutex_unlock(&p->mutex);
    return r;
}

WorkerPool *worker_pool_free(WorkerPool *p) {
    if (!p)
        return NULL;
    if (worker_pool_wait(p, FREE_USEC) < 0) {
        (void) sd_event_source_set_enabled(p->source, SD_EVENT_OFF);
        return NULL;
    }
    /* All of them before any is freed: a thread that ends links itself behind the one that ended before it. */
    for (Job *j = p->jobs; j; j = j->next)
        (void) pthread_join(j->thread, NULL);
    while (p->jobs) {
        _cleanup_free_ Job *j = p->jobs;
        pool_unlink(p, j);
    }
    (void) sd_event_source_disable_unref(p->source);
    p->event_fd = fd_close(p->event_fd);
    (void) pthread_cond_destroy(&p->idle);
    (void) pthread_mutex_destroy(&p->mutex);
    free(p);
    return NULL;
}

/* Every signal is the loop's: the thread starts with the mask that this sets and never changes it. */
static int start_thread(Job *j) {
    pthread_attr_t attributes;
    int r = pthread_attr_init(&attributes);
    if (r != 0)
        return -r;
    (void) pthread_attr_setstacksize(&attributes, STACK_SIZE);
    sigset_t all;
    (void) sigfillset(&all);
    r = pthread_attr_setsigmask_np(&attributes, &all);
    if (r == 0)
        r = pthread_create(&j->thread, &attributes, job_main, j);
    (void) pthread_attr_destroy(&attributes);
    return -r;
}

int worker_submit(WorkerPool *p, WorkerRun run, WorkerDone done, void *userdata) {
    if (p->n_jobs >= p->jobs_max)
        return -EAGAIN;
    _cleanup_free_ Job *j = malloc(sizeof(Job));
    if (!j)
        return -ENOMEM;
    *j = (Job){ .pool = p, .run = run, .done = done, .userdata = userdata };
    count_running(p, 1);
    int r = start_thread(j);
    if (r < 0) {
        count_running(p, -1);
        return r;
    }
    pool_link(p, TAKE_PTR(j));
    return 0;
}

unsigned worker_running(const WorkerPool *p) {
    return p->n_jobs;
}
