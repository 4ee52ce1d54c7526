/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* util/worker: jobs run beside the loop, their completions in it, and the pool waits for the rest. */

#include "util/worker.h"

#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>

#include <cmocka.h>

typedef struct TestJob {
    pthread_t thread, done_thread;
    bool signals_blocked, ran, done;
    int wait_fd; /* the job reads a byte from it if it is not negative */
    sd_event *event;
    WorkerPool *pool;
    unsigned resubmit;
} TestJob;

static void run(void *userdata) {
    TestJob *j = userdata;
    sigset_t mask;
    pthread_sigmask(SIG_BLOCK, NULL, &mask);
    j->signals_blocked = sigismember(&mask, SIGTERM) == 1 && sigismember(&mask, SIGCHLD) == 1;
    j->thread = pthread_self();
    char byte;
    if (j->wait_fd >= 0)
        (void) !read(j->wait_fd, &byte, 1);
    j->ran = true;
}

static void done(void *userdata) {
    TestJob *j = userdata;
    j->done_thread = pthread_self();
    j->done = true;
    if (j->resubmit > 0) {
        j->resubmit--;
        assert_int_equal(worker_submit(j->pool, run, done, j), 0);
        return;
    }
    if (worker_running(j->pool) == 0)
        sd_event_exit(j->event, 0);
}

static void jobs_run_in_threads_and_complete_in_the_loop(void **state) {
    sd_event *event = NULL;
    assert_true(sd_event_new(&event) >= 0);
    WorkerPool *pool = NULL;
    assert_int_equal(worker_pool_new(event, 8, &pool), 0);
    TestJob jobs[8];
    for (int i = 0; i < 8; i++) {
        jobs[i] = (TestJob){ .wait_fd = -1, .event = event, .pool = pool, .resubmit = i == 3 ? 5 : 0 };
        assert_int_equal(worker_submit(pool, run, done, &jobs[i]), 0);
    }
    assert_int_equal(worker_running(pool), 8);
    assert_int_equal(sd_event_loop(event), 0);
    for (int i = 0; i < 8; i++) {
        assert_true(jobs[i].ran && jobs[i].done && jobs[i].signals_blocked);
        assert_false(pthread_equal(jobs[i].thread, pthread_self()));
        assert_true(pthread_equal(jobs[i].done_thread, pthread_self()));
    }
    assert_int_equal(jobs[3].resubmit, 0);
    assert_int_equal(worker_running(pool), 0);
    assert_null(worker_pool_free(pool));
    sd_event_unref(event);
}

static void a_stuck_job_holds_up_nobody_else(void **state) {
    sd_event *event = NULL;
    assert_true(sd_event_new(&event) >= 0);
    WorkerPool *pool = NULL;
    assert_int_equal(worker_pool_new(event, 2, &pool), 0);
    int fds[2];
    assert_int_equal(pipe(fds), 0);
    TestJob stuck = { .wait_fd = fds[0], .event = event, .pool = pool };
    TestJob quick = { .wait_fd = -1, .event = event, .pool = pool };
    assert_int_equal(worker_submit(pool, run, done, &stuck), 0);
    assert_int_equal(worker_submit(pool, run, done, &quick), 0);
    assert_int_equal(worker_submit(pool, run, done, &quick), -EAGAIN);
    while (!quick.done)
        assert_true(sd_event_run(event, UINT64_MAX) >= 0);
    assert_false(stuck.done);
    assert_int_equal(worker_running(pool), 1);
    assert_int_equal(write(fds[1], "x", 1), 1);
    assert_int_equal(sd_event_loop(event), 0);
    assert_true(stuck.ran && stuck.done);
    worker_pool_free(pool);
    close(fds[0]);
    close(fds[1]);
    sd_event_unref(event);
}

static void freeing_waits_and_completes_nothing(void **state) {
    sd_event *event = NULL;
    assert_true(sd_event_new(&event) >= 0);
    WorkerPool *pool = NULL;
    assert_int_equal(worker_pool_new(event, 4, &pool), 0);
    int fds[2];
    assert_int_equal(pipe(fds), 0);
    TestJob jobs[3];
    for (int i = 0; i < 3; i++) {
        jobs[i] = (TestJob){ .wait_fd = fds[0], .event = event, .pool = pool };
        assert_int_equal(worker_submit(pool, run, done, &jobs[i]), 0);
    }
    assert_int_equal(write(fds[1], "xyz", 3), 3);
    worker_pool_free(pool);
    for (int i = 0; i < 3; i++)
        assert_true(jobs[i].ran && !jobs[i].done);
    close(fds[0]);
    close(fds[1]);
    sd_event_unref(event);
    assert_null(worker_pool_free(NULL));
}

/* It is left alone, with the pool; what is to be done then is to exit, but it may be freed when it has come back. */
static void freeing_leaves_what_hangs(void **state) {
    sd_event *event = NULL;
    assert_true(sd_event_new(&event) >= 0);
    WorkerPool *pool = NULL;
    assert_int_equal(worker_pool_new(event, 4, &pool), 0);
    int fds[2];
    assert_int_equal(pipe(fds), 0);
    TestJob stuck = { .wait_fd = fds[0], .event = event, .pool = pool };
    TestJob quick = { .wait_fd = -1, .event = event, .pool = pool };
    assert_int_equal(worker_pool_wait(pool, 0), 0);
    assert_int_equal(worker_submit(pool, run, done, &quick), 0);
    assert_int_equal(worker_pool_wait(pool, 10000000), 0);
    assert_true(quick.ran && !quick.done);
    assert_int_equal(worker_submit(pool, run, done, &stuck), 0);
    assert_int_equal(worker_pool_wait(pool, 0), -ETIMEDOUT);
    assert_int_equal(worker_pool_wait(pool, 10000), -ETIMEDOUT);
    assert_null(worker_pool_free(pool));
    assert_false(stuck.ran);
    assert_int_equal(write(fds[1], "x", 1), 1);
    assert_int_equal(worker_pool_wait(pool, 10000000), 0);
    assert_true(stuck.ran && !stuck.done);
    worker_pool_free(pool);
    close(fds[0]);
    close(fds[1]);
    sd_event_unref(event);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(jobs_run_in_threads_and_complete_in_the_loop),
        cmocka_unit_test(a_stuck_job_holds_up_nobody_else),
        cmocka_unit_test(freeing_waits_and_completes_nothing),
        cmocka_unit_test(freeing_leaves_what_hangs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
