/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The log: what goes in by FIFO or terminal comes out by the reader, cut, rotated, followed, after a restart.
 */

#include "container/log.h"

#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

typedef struct Fixture {
    char directory[64];
    int fd;
    sd_event *event;
    ContainerLogThread *thread;
    unsigned finished, notified;
} Fixture;

#define MAX_BYTES (256U * 1024U)

static int set_up(void **state) {
    Fixture *f = calloc(1, sizeof(Fixture));
    (void) snprintf(f->directory, sizeof(f->directory), "/tmp/kennel-test-log-XXXXXX");
    assert_non_null(mkdtemp(f->directory));
    f->fd = open(f->directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(f->fd >= 0);
    assert_true(sd_event_new(&f->event) >= 0);
    Error error = ERROR_INIT;
    assert_true(container_log_thread_new(f->event, MAX_BYTES, &f->thread, &error) >= 0);
    *state = f;
    return 0;
}

static int tear_down(void **state) {
    Fixture *f = *state;
    container_log_thread_free(f->thread);
    sd_event_unref(f->event);
    static const char *const names[] = { "log", "log.1", "stdout", "stderr" };
    for (unsigned i = 0; i < ELEMENTSOF(names); i++)
        (void) unlinkat(f->fd, names[i], 0);
    (void) close(f->fd);
    assert_int_equal(rmdir(f->directory), 0);
    free(f);
    return 0;
}

static void on_finished(void *userdata) {
    ((Fixture *) userdata)->finished++;
}
static void on_notify(void *userdata) {
    ((Fixture *) userdata)->notified++;
}

static void run_until(Fixture *f, const unsigned *counter, unsigned value) {
    for (unsigned i = 0; i < 500 && *counter < value; i++)
        (void) sd_event_run(f->event, 10000);
    assert_true(*counter >= value);
}

static void finish(Fixture *f, ContainerLog *l) {
    unsigned before = f->finished;
    container_log_finish(l, on_finished, f);
    run_until(f, &f->finished, before + 1);
    assert_true(container_log_is_finished(l));
}

static ContainerLog *open_log(Fixture *f, int payload[2]) {
    Error error = ERROR_INIT;
    ContainerLog *l = NULL;
    assert_int_equal(container_log_open(f->thread, f->fd, f->fd, payload, &l, &error), 0);
    return l;
}

static ContainerLogReader *read_log(ContainerLog *l, size_t tail, Fixture *f) {
    Error error = ERROR_INIT;
    ContainerLogReader *r = NULL;
    assert_int_equal(container_log_reader_new(l, tail, f ? on_notify : NULL, f, &r, &error), 0);
    return r;
}

static void write_all(int fd, const char *text, size_t size) {
    while (size > 0) {
        ssize_t n = write(fd, text, size);
        assert_true(n > 0);
        text += n;
        size -= (size_t) n;
    }
}

static void expect_entry(ContainerLogReader *r, const char *text, bool is_stderr, bool partial) {
    ContainerLogEntry e;
    assert_int_equal(container_log_reader_next(r, &e), 1);
    assert_int_equal(e.size, strlen(text));
    assert_memory_equal(e.bytes, text, e.size);
    assert_int_equal(e.is_stderr, is_stderr);
    assert_int_equal(e.partial, partial);
    assert_true(e.timestamp_usec > 1600000000ULL * 1000000ULL);
}

static void expect_nothing(ContainerLogReader *r) {
    ContainerLogEntry e;
    assert_int_equal(container_log_reader_next(r, &e), 0);
}

static void test_lines(void **state) {
    Fixture *f = *state;
    int payload[2];
    _cleanup_(container_log_freep) ContainerLog *l = open_log(f, payload);
    write_all(payload[0], "one\n\ntwo\nrest", 13);
    write_all(payload[1], "error\n", 6);
    finish(f, l);
    _cleanup_(container_log_reader_freep) ContainerLogReader *r = read_log(l, SIZE_MAX, NULL);
    expect_entry(r, "one", false, false);
    expect_entry(r, "", false, false);
    expect_entry(r, "two", false, false);
    expect_entry(r, "rest", false, true);
    expect_entry(r, "error", true, false);
    expect_nothing(r);
    (void) close(payload[0]);
    (void) close(payload[1]);
}

static void test_fifo_is_open_to_all(void **state) {
    Fixture *f = *state;
    int payload[2];
    struct stat st;
    mode_t old = umask(077);
    _cleanup_(container_log_freep) ContainerLog *l = open_log(f, payload);
    (void) umask(old);
    assert_int_equal(fstat(payload[1], &st), 0);
    assert_true(S_ISFIFO(st.st_mode));
    assert_int_equal(st.st_mode & 07777, 0666);
    assert_int_equal(fcntl(payload[0], F_GETFD), FD_CLOEXEC);
    (void) close(payload[0]);
    (void) close(payload[1]);
}

/* Every byte value but the newline, longer than an entry may be. */
static void test_long_binary_line(void **state) {
    Fixture *f = *state;
    int payload[2];
    _cleanup_(container_log_freep) ContainerLog *l = open_log(f, payload);
    static char bytes[40000], back[sizeof(bytes)];
    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (char) (i % 255 < '\n' ? i % 255 : i % 255 + 1);
    write_all(payload[0], bytes, sizeof(bytes));
    write_all(payload[0], "\n", 1);
    finish(f, l);
    _cleanup_(container_log_reader_freep) ContainerLogReader *r = read_log(l, SIZE_MAX, NULL);
    size_t n = 0;
    ContainerLogEntry e;
    bool partial = true;
    while (container_log_reader_next(r, &e) == 1) {
        assert_true(partial);
        assert_true(e.size <= 16384);
        assert_true(n + e.size <= sizeof(back));
        memcpy(back + n, e.bytes, e.size);
        n += e.size;
        partial = e.partial;
    }
    assert_false(partial);
    assert_int_equal(n, sizeof(bytes));
    assert_memory_equal(back, bytes, n);
    (void) close(payload[0]);
    (void) close(payload[1]);
}

static void test_tail(void **state) {
    Fixture *f = *state;
    int payload[2];
    _cleanup_(container_log_freep) ContainerLog *l = open_log(f, payload);
    char line[32];
    for (unsigned i = 0; i < 5000; i++)
        write_all(payload[0], line, (size_t) snprintf(line, sizeof(line), "line %u\n", i));
    finish(f, l);
    struct stat st;
    assert_int_equal(fstatat(f->fd, "log.1", &st, 0), 0); /* more than one file: the tail crosses over */
    static const size_t tails[] = { 0, 1, 3, 700, 2400 };
    for (unsigned i = 0; i < ELEMENTSOF(tails); i++) {
        _cleanup_(container_log_reader_freep) ContainerLogReader *r = read_log(l, tails[i], NULL);
        for (size_t k = 5000 - tails[i]; k < 5000; k++) {
            (void) snprintf(line, sizeof(line), "line %zu", k);
            expect_entry(r, line, false, false);
        }
        expect_nothing(r);
    }
    _cleanup_(container_log_reader_freep) ContainerLogReader *all = read_log(l, 1000000, NULL);
    ContainerLogEntry e;
    size_t n = 0;
    while (container_log_reader_next(all, &e) == 1)
        n++;
    assert_true(n > 2400 && n <= 5000);
    (void) close(payload[0]);
    (void) close(payload[1]);
}

static void test_tail_with_parts(void **state) {
    Fixture *f = *state;
    _cleanup_fd_ int fd = openat(f->fd, "log", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    static const char text[] = "2026-01-02T03:04:05.000001Z stdout F one\n"
                               "2026-01-02T03:04:05.000002Z stdout P tw\n"
                               "2026-01-02T03:04:05.000003Z stdout F o\n"
                               "this line is no entry\n"
                               "2026-01-02T03:04:05.000004Z stderr P three\n";
    write_all(fd, text, sizeof(text) - 1);
    _cleanup_(container_log_freep) ContainerLog *l = NULL;
    assert_int_equal(container_log_open_finished(f->thread, f->fd, &l, NULL), 0);
    assert_true(container_log_is_finished(l));
    _cleanup_(container_log_reader_freep) ContainerLogReader *r = read_log(l, 2, NULL);
    ContainerLogEntry e;
    assert_int_equal(container_log_reader_next(r, &e), 1);
    assert_int_equal(e.timestamp_usec, 1767323045000002ULL);
    assert_true(e.partial);
    expect_entry(r, "o", false, false);
    expect_entry(r, "three", true, true);
    expect_nothing(r);
}

/* Both files together stay below the maximum, and a reader that keeps up sees every line through all rotations. */
static void test_rotation(void **state) {
    Fixture *f = *state;
    int payload[2];
    _cleanup_(container_log_freep) ContainerLog *l = open_log(f, payload);
    _cleanup_(container_log_reader_freep) ContainerLogReader *r = read_log(l, SIZE_MAX, f);
    char line[1024];
    memset(line, 'x', sizeof(line));
    line[sizeof(line) - 1] = '\n';
    unsigned seen = 0;
    const unsigned total = 2000;
    for (unsigned i = 0; i < total; i++) {
        (void) snprintf(line, 9, "%08u", i);
        line[8] = 'x';
        write_all(payload[0], line, sizeof(line));
        if (i % 20 != 19)
            continue;
        while (seen <= i) {
            ContainerLogEntry e;
            int k = container_log_reader_next(r, &e);
            if (k == 0) {
                (void) sd_event_run(f->event, 10000);
                continue;
            }
            char expected[9];
            (void) snprintf(expected, sizeof(expected), "%08u", seen++);
            assert_memory_equal(e.bytes, expected, 8);
            assert_int_equal(e.size, sizeof(line) - 1);
        }
        struct stat a = { 0 }, b = { 0 };
        (void) fstatat(f->fd, "log", &a, 0);
        (void) fstatat(f->fd, "log.1", &b, 0);
        assert_true(a.st_size + b.st_size <= (off_t) MAX_BYTES);
    }
    assert_int_equal(seen, total);
    assert_true(f->notified > 0);
    (void) close(payload[0]);
    (void) close(payload[1]);
}

/* The daemon goes and comes: the payload keeps its ends, and what it wrote meanwhile is there. */
static void test_restart(void **state) {
    Fixture *f = *state;
    int payload[2];
    ContainerLog *l = open_log(f, payload);
    write_all(payload[0], "before\n", 7);
    container_log_free(l); /* lets the thread write what it finds */
    container_log_thread_free(f->thread);
    write_all(payload[0], "between\n", 8);
    assert_int_equal(container_log_thread_new(f->event, MAX_BYTES, &f->thread, NULL), 0);
    _cleanup_(container_log_freep) ContainerLog *again = NULL;
    assert_int_equal(container_log_open(f->thread, f->fd, f->fd, NULL, &again, NULL), 0);
    write_all(payload[0], "after\n", 6);
    finish(f, again);
    _cleanup_(container_log_reader_freep) ContainerLogReader *r = read_log(again, SIZE_MAX, NULL);
    expect_entry(r, "before", false, false);
    expect_entry(r, "between", false, false);
    expect_entry(r, "after", false, false);
    expect_nothing(r);
    (void) close(payload[0]);
    (void) close(payload[1]);
}

/* Half an entry, as a daemon that was killed in a write leaves it. */
static void test_torn_entry(void **state) {
    Fixture *f = *state;
    _cleanup_fd_ int fd = openat(f->fd, "log", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    static const char torn[] = "2026-01-02T03:04:05.000001Z stdout F whole\n2026-01-02T03:04:05.0000";
    write_all(fd, torn, sizeof(torn) - 1);
    int payload[2];
    _cleanup_(container_log_freep) ContainerLog *l = open_log(f, payload);
    write_all(payload[0], "next\n", 5);
    finish(f, l);
    _cleanup_(container_log_reader_freep) ContainerLogReader *r = read_log(l, SIZE_MAX, NULL);
    expect_entry(r, "whole", false, false);
    expect_entry(r, "next", false, false);
    expect_nothing(r);
    (void) close(payload[0]);
    (void) close(payload[1]);
}

static void test_reader_outlives_log(void **state) {
    Fixture *f = *state;
    int payload[2];
    ContainerLog *l = open_log(f, payload);
    write_all(payload[0], "line\n", 5);
    finish(f, l);
    _cleanup_(container_log_reader_freep) ContainerLogReader *r = read_log(l, SIZE_MAX, f);
    container_log_free(l);
    expect_entry(r, "line", false, false);
    expect_nothing(r);
    (void) close(payload[0]);
    (void) close(payload[1]);
}

/* Somebody holds the other end and goes on writing: that must not keep the end of the container. */
static void test_finish_with_writer(void **state) {
    Fixture *f = *state;
    int payload[2];
    _cleanup_(container_log_freep) ContainerLog *l = open_log(f, payload);
    finish(f, l);
    assert_int_equal(f->finished, 1);
    (void) close(payload[0]);
    (void) close(payload[1]);
}

static void test_terminal(void **state) {
    Fixture *f = *state;
    int master, slave;
    assert_int_equal(openpty(&master, &slave, NULL, NULL, NULL), 0);
    _cleanup_(container_log_freep) ContainerLog *l = NULL;
    assert_int_equal(container_log_open_terminal(f->thread, f->fd, master, &l, NULL), 0);
    write_all(slave, "hello\n", 6);
    (void) close(slave);
    finish(f, l);
    _cleanup_(container_log_reader_freep) ContainerLogReader *r = read_log(l, SIZE_MAX, NULL);
    expect_entry(r, "hello\r", false, false);
    expect_nothing(r);
    (void) close(master);
}

/* Whoever shares the master takes the bytes that the log has been told of: only this one log waits for more. */
static void test_terminal_contested(void **state) {
    Fixture *f = *state;
    int master, slave;
    assert_int_equal(openpty(&master, &slave, NULL, NULL, NULL), 0);
    ContainerLog *l = NULL;
    assert_int_equal(container_log_open_terminal(f->thread, f->fd, master, &l, NULL), 0);
    for (unsigned i = 0; i < 200; i++) {
        char bytes[16];
        struct pollfd p = { .fd = master, .events = POLLIN };
        write_all(slave, "x", 1);
        if (poll(&p, 1, 0) > 0 && fcntl(master, F_SETFL, O_NONBLOCK) == 0)
            (void) !read(master, bytes, sizeof(bytes));
        (void) fcntl(master, F_SETFL, 0);
    }
    container_log_free(l); /* the slave is open still: nothing but the signal ends the read */
    (void) close(slave);
    (void) close(master);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_lines),    TEST(test_fifo_is_open_to_all), TEST(test_long_binary_line),
        TEST(test_tail),     TEST(test_tail_with_parts),     TEST(test_rotation),
        TEST(test_restart),  TEST(test_torn_entry),          TEST(test_reader_outlives_log),
        TEST(test_terminal), TEST(test_terminal_contested),  TEST(test_finish_with_writer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
