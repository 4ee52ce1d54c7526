/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* util/exits: how processes end, as the process connector tells it. Its children here are reaped by nobody meanwhile. */

#include "util/exits.h"

#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

typedef struct Fixture {
    sd_event *event;
    ExitListener *listener;
    ExitWatch watch;
} Fixture;

static void on_told(ExitWatch *w) {}

static int set_up(void **state) {
    Fixture *f = calloc(1, sizeof(Fixture));
    assert_non_null(f);
    assert_int_equal(sd_event_new(&f->event), 0);
    *state = f;
    return 0;
}

static int tear_down(void **state) {
    Fixture *f = *state;
    exit_listener_free(f->listener);
    sd_event_unref(f->event);
    free(f);
    return 0;
}

/* Runs PROGRAM in a child that begins when it is watched, and the loop until its first thread's end has been told. */
static bool end_of(Fixture *f, void (*program)(void), ProcessExit *ret) {
    int fds[2];
    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    pid_t pid = fork();
    if (pid == 0) {
        char byte;
        (void) !read(fds[0], &byte, 1);
        program();
        _exit(99);
    }
    f->watch = (ExitWatch){ .pid = pid, .pidfd = process_pidfd_open(pid), .told = on_told };
    assert_true(f->watch.pidfd >= 0);
    int r = exit_listener_new(f->event, &f->listener);
    if (r >= 0)
        r = exit_listener_watch(f->listener, &f->watch);
    if (r < 0)
        (void) kill(pid, SIGKILL);
    assert_int_equal(write(fds[1], "x", 1), 1);
    siginfo_t info;
    assert_int_equal(waitid(P_PID, (id_t) pid, &info, WEXITED), 0);
    close(fds[0]);
    close(fds[1]);
    if (r == -EPERM || r == -EPROTONOSUPPORT || r == -ECONNREFUSED)
        skip();
    assert_int_equal(r, 0);
    for (unsigned i = 0; i < 50 && !exit_watch_result(&f->watch, ret); i++)
        assert_true(sd_event_run(f->event, 20000) >= 0);
    bool known = exit_watch_result(&f->watch, ret);
    exit_listener_drop(f->listener, &f->watch);
    close(f->watch.pidfd);
    return known;
}

static void exits_with_4(void) {
    _exit(4);
}

static void kills_itself(void) {
    (void) raise(SIGKILL);
}

static void *sleep_on(void *userdata) {
    for (;;)
        (void) pause();
    return NULL;
}

static void ends_with_a_thread(void) {
    pthread_t t;
    (void) pthread_create(&t, NULL, sleep_on, NULL);
    _exit(5);
}

static void *join_and_exit(void *userdata) {
    (void) usleep(100000);
    _exit(*(int *) userdata);
}

static void leaves_the_end_to_a_thread(int code) {
    static int status;
    pthread_t t;
    status = code;
    (void) pthread_create(&t, NULL, join_and_exit, &status);
    (void) syscall(SYS_exit, 0);
}

static void leaves_a_good_end(void) {
    leaves_the_end_to_a_thread(0);
}

static void leaves_a_bad_end(void) {
    leaves_the_end_to_a_thread(6);
}

static void ends_are_told(void **state) {
    const struct {
        void (*program)(void);
        int code, signal;
    } cases[] = { { exits_with_4, 4, 0 },
                  { kills_itself, 128 + SIGKILL, SIGKILL },
                  { ends_with_a_thread, 5, 0 },
                  { leaves_a_good_end, 0, 0 } };
    Fixture *f = *state;
    for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
        ProcessExit exit = { 0 };
        assert_true(end_of(f, cases[i].program, &exit));
        assert_true(exit.known);
        assert_int_equal(exit.code, cases[i].code);
        assert_int_equal(exit.signal, cases[i].signal);
        f->listener = exit_listener_free(f->listener);
    }
}

/* The first thread's 0 is not what its parent is told. */
static void what_is_not_certain_is_not_known(void **state) {
    ProcessExit exit = { 0 };
    assert_false(end_of(*state, leaves_a_bad_end, &exit));
}

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(ends_are_told, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_is_not_certain_is_not_known, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
