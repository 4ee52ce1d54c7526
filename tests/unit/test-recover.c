/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What a daemon finds of the one before: which containers it adopts, which it sees the end of, what it removes. */

#include "registry-fixture.h"

#include "util/paths.h"

#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

static void reopen(Fixture *f) {
    fixture_close(f);
    f->n_notices = 0;
    fixture_open(f);
    Error error = ERROR_INIT;
    assert_int_equal(container_registry_recover(f->registry, &error), 0);
}

static void test_recover_running(void **state) {
    Fixture *f = *state;
    ContainerSpec *s = fixture_spec(1000, "x", "exec sleep 100");
    s->attached = true;
    Container *c = fixture_start(f, s);
    fixture_run_until(f, &f->n_notices, 1);
    char id[16];
    (void) snprintf(id, sizeof(id), "%s", container_id(c));
    pid_t pid = container_pid(c);
    uint32_t base = container_spec(c)->sandbox.id_base;
    uint64_t started = container_started_usec(c);
    reopen(f);
    c = fixture_find(f, 1000, "x", NULL);
    assert_non_null(c);
    assert_string_equal(container_id(c), id);
    assert_int_equal(container_state(c), CONTAINER_RUNNING);
    assert_int_equal(container_pid(c), pid);
    assert_int_equal(container_spec(c)->sandbox.id_base, base);
    assert_int_equal(container_started_usec(c), started);
    assert_false(container_spec(c)->attached);
    assert_non_null(container_log(c));
    assert_non_null(container_spec(c)->sandbox.program.seccomp);
    /* its range is taken */
    for (unsigned i = 0; i < 3; i++) {
        Container *d = fixture_start(f, fixture_spec(2000, NULL, "exec sleep 100"));
        assert_int_not_equal(container_spec(d)->sandbox.id_base, base);
    }
    assert_int_equal(fixture_start_error(f, fixture_spec(3000, NULL, "true")), ERROR_QUOTA_EXCEEDED);
    /* and its end is seen: it is our child still */
    f->n_notices = 0;
    container_unwatch(&f->watch);
    container_watch(c, &f->watch, fixture_on_notice);
    assert_int_equal(container_kill(c, SIGKILL, NULL), 0);
    fixture_run_until(f, &f->n_notices, 1);
    assert_int_equal(container_exit(c)->process.signal, SIGKILL);
}

static void test_recover_exited(void **state) {
    Fixture *f = *state;
    Container *c = fixture_run(f, "x", "echo hello; exit 6");
    fixture_run_until(f, &f->n_notices, 2);
    reopen(f);
    c = fixture_find(f, 1000, "x", NULL);
    assert_non_null(c);
    assert_int_equal(container_state(c), CONTAINER_EXITED);
    assert_int_equal(container_exit(c)->process.code, 6);
    assert_true(container_exit(c)->process.known);
    assert_non_null(container_log(c));
    assert_true(container_log_is_finished(container_log(c)));
    fixture_remove(f, c, false);
    fixture_expect_nothing_left(f);
}

/* Ended while no daemon ran, and reaped by somebody else. */
static void test_recover_ended(void **state) {
    Fixture *f = *state;
    Container *c = fixture_run(f, "x", "exec sleep 100");
    pid_t pid = container_pid(c);
    fixture_close(f);
    (void) kill(pid, SIGKILL);
    (void) waitpid(pid, NULL, 0);
    fakes.oom_kills = 2;
    fixture_open(f);
    assert_int_equal(container_registry_recover(f->registry, NULL), 0);
    c = fixture_find(f, 1000, "x", NULL);
    assert_non_null(c);
    for (unsigned i = 0; i < 100 && container_state(c) != CONTAINER_EXITED; i++)
        (void) sd_event_run(f->environment.event, 10000);
    assert_int_equal(container_state(c), CONTAINER_EXITED);
    assert_false(container_exit(c)->process.known);
    assert_true(container_exit(c)->oom_killed);
    fixture_remove(f, c, false);
    fixture_expect_nothing_left(f);
}

/* The pid is another's now, which is even in a cgroup of that name: the start time tells them apart. */
static void test_recover_stranger(void **state) {
    Fixture *f = *state;
    Container *c = fixture_run(f, "x", "exec sleep 100");
    pid_t pid = container_pid(c);
    char path[64], id[16];
    (void) snprintf(id, sizeof(id), "%s", container_id(c));
    (void) snprintf(path, sizeof(path), "containers/%s/record.json", id);
    fixture_close(f);
    usleep(20000); /* two ticks of the clock that start times are measured by */
    pid_t stranger = fork();
    if (stranger == 0) {
        pause();
        _exit(0);
    }
    assert_int_equal(cgroup_group_attach(fake_group_find(id), stranger, NULL), 0);
    char *text, *changed = NULL, from[32], to[32];
    assert_int_equal(path_read_file_at(f->state_fd, path, 0, 1 << 20, &text, NULL), 0);
    (void) snprintf(from, sizeof(from), "\"pid\":%d,", (int) pid);
    (void) snprintf(to, sizeof(to), "\"pid\":%d,", (int) stranger);
    char *at = strstr(text, from);
    assert_non_null(at);
    assert_true(asprintf(&changed, "%.*s%s%s", (int) (at - text), text, to, at + strlen(from)) > 0);
    int fd = openat(f->state_fd, path, O_WRONLY | O_TRUNC | O_CLOEXEC);
    assert_int_equal(write(fd, changed, strlen(changed)), strlen(changed));
    (void) close(fd);
    free(text);
    free(changed);
    fixture_open(f);
    assert_int_equal(container_registry_recover(f->registry, NULL), 0);
    c = fixture_find(f, 1000, "x", NULL);
    assert_int_equal(container_pid(c), 0);
    assert_int_equal(container_state(c), CONTAINER_EXITED);
}

static void write_record(Fixture *f, const char *id, const char *text) {
    char path[64];
    (void) snprintf(path, sizeof(path), "containers/%s", id);
    assert_int_equal(mkdirat(f->state_fd, path, 0700), 0);
    assert_int_equal(mkdirat(f->data_fd, path, 0700), 0);
    (void) snprintf(path, sizeof(path), "containers/%s/record.json", id);
    int fd = text ? openat(f->state_fd, path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600) : -1;
    if (fd >= 0) {
        assert_int_equal(write(fd, text, strlen(text)), strlen(text));
        (void) close(fd);
    }
}

static void test_recover_rubbish(void **state) {
    Fixture *f = *state;
    write_record(f, "aaaaaaaaaaaa", NULL);
    write_record(f, "bbbbbbbbbbbb", "{\"id\":");
    write_record(f, "not-an-id", "{}");
    assert_int_equal(mkdirat(f->data_fd, "containers/cccccccccccc", 0700), 0);
    assert_int_equal(mkdirat(f->data_fd, "containers/cccccccccccc/layer", 0700), 0);
    reopen(f);
    assert_int_equal(container_registry_count(f->registry, NULL), 0);
    assert_int_equal(fixture_entries(f->state_fd, "containers"), 0);
    assert_int_equal(fixture_entries(f->state_fd, "set-aside"), 1);
    assert_int_equal(faccessat(f->state_fd, "set-aside/bbbbbbbbbbbb/record.json", F_OK, 0), 0);
    assert_int_equal(fixture_entries(f->data_fd, "containers"), 1);
    reopen(f); /* what was set aside stays aside */
    assert_int_equal(fixture_entries(f->data_fd, "containers"), 1);
}

static uint64_t seconds(void) {
    struct timespec t;
    (void) clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t) t.tv_sec;
}

/* A job that hangs does not keep the daemon from ending; what it uses is there when it goes on. */
static void test_end_while_one_hangs(void **state) {
    Fixture *f = *state;
    f->environment.jobs_wait_usec = 100000;
    fixture_close(f);
    fixture_open(f);
    ContainerSpec *s = fixture_spec(1000, "x", "exec sleep 100");
    s->attached = true;
    Container *c = fixture_start(f, s);
    fixture_run_until(f, &f->n_notices, 1);
    int fds[2];
    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    fakes.hang_fd = fds[0];
    assert_int_equal(container_processes(c, fixture_on_listed, f, NULL), 0);
    fixture_await_hanging(1);
    uint64_t begin = seconds();
    assert_null(container_registry_free(f->registry));
    assert_null(worker_pool_free(f->environment.workers));
    assert_true(seconds() - begin <= 3);
    /* as the next daemon finds it */
    Fixture next = { .environment = f->environment };
    fakes.hang_fd = 0;
    fixture_open(&next);
    assert_int_equal(container_registry_recover(next.registry, NULL), 0);
    c = fixture_find(&next, 1000, "x", NULL);
    assert_non_null(c);
    assert_int_equal(container_state(c), CONTAINER_RUNNING);
    assert_false(container_spec(c)->attached);
    fixture_close(&next);
    assert_int_equal(write(fds[1], "x", 1), 1);
    assert_int_equal(worker_pool_wait(f->environment.workers, 10000000), 0);
    assert_int_equal(f->n_done, 0);
    (void) close(fds[0]);
    (void) close(fds[1]);
    /* nothing hangs any more: now fixture_tear_down() frees all of it, and finds what has been freed too early */
}

/* The daemon ended while it was starting one; then while it was removing one. */
static void test_recover_half_made(void **state) {
    Fixture *f = *state;
    fakes.spawn_usec = 100000;
    fakes.spawn_error = EPERM;
    (void) fixture_start(f, fixture_spec(1000, "x", "true"));
    fixture_close(f); /* waits for the job, whose own undoing leaves nothing */
    fixture_open(f);
    assert_int_equal(container_registry_recover(f->registry, NULL), 0);
    fixture_expect_nothing_left(f);
    fakes.spawn_error = 0;
    (void) fixture_start(f, fixture_spec(1000, "y", "exec sleep 100"));
    reopen(f); /* had been started meanwhile: it is adopted */
    Container *c = fixture_find(f, 1000, "y", NULL);
    assert_non_null(c);
    assert_int_equal(container_state(c), CONTAINER_RUNNING);
    fixture_remove(f, c, true);
    fixture_expect_nothing_left(f);
}

/* The daemon was killed when the process had been noted down and its program had not begun to run. */
static void test_recover_never_executed(void **state) {
    Fixture *f = *state;
    Container *c = fixture_start(f, fixture_spec(1000, "x", "exec sleep 100"));
    fixture_run_until(f, &f->n_notices, 1);
    int pidfd = process_pidfd_open(container_pid(c));
    assert_true(pidfd >= 0);
    fakes.has_executed = 0;
    reopen(f);
    fakes.has_executed = 1;
    for (unsigned i = 0; i < 500 && container_registry_count(f->registry, NULL) > 0; i++)
        (void) sd_event_run(f->environment.event, 10000);
    fixture_expect_nothing_left(f);
    struct pollfd gone = { .fd = pidfd, .events = POLLIN };
    assert_int_equal(poll(&gone, 1, 5000), 1);
    (void) close(pidfd);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        FIXTURE_TEST(test_recover_running),        FIXTURE_TEST(test_recover_exited),
        FIXTURE_TEST(test_recover_ended),          FIXTURE_TEST(test_recover_stranger),
        FIXTURE_TEST(test_recover_rubbish),        FIXTURE_TEST(test_recover_half_made),
        FIXTURE_TEST(test_recover_never_executed), FIXTURE_TEST(test_end_while_one_hangs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
