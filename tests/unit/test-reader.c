/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Reads that do not end: a FIFO without a writer stands in for memory that is not answered for.
 */

#include "watch/internal.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#define CONTAINERS 12U

static WatchSubject subjects[CONTAINERS], other;
static char directory[] = "/tmp/kennel-reader-XXXXXX";
static int dir_fd;

static void name_all(void) {
    (void) snprintf(other.id, sizeof(other.id), "other");
    for (size_t i = 0; i < CONTAINERS; i++)
        (void) snprintf(subjects[i].id, sizeof(subjects[i].id), "c%zu", i);
}

static int set_up(void **state) {
    name_all();
    assert_non_null(mkdtemp(directory));
    dir_fd = open(directory, O_PATH | O_DIRECTORY | O_CLOEXEC);
    assert_int_equal(mkfifoat(dir_fd, "hangs", 0600), 0);
    int fd = openat(dir_fd, "answers", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_int_equal(write(fd, "text", 4), 4);
    (void) close(fd);
    return 0;
}

static int tear_down(void **state) {
    (void) unlinkat(dir_fd, "hangs", 0);
    (void) unlinkat(dir_fd, "answers", 0);
    (void) close(dir_fd);
    return rmdir(directory);
}

static ssize_t read_of(WatchSubject *s, const char *name) {
    char text[16];
    ssize_t n = reader_read(s, dir_fd, name, text, sizeof(text));
    if (n >= 0)
        assert_string_equal(text, "text");
    return n;
}

/* All that hang come back, and read nothing. */
static void answer(void) {
    int fd = openat(dir_fd, "hangs", O_RDWR | O_CLOEXEC);
    assert_true(fd >= 0);
    (void) usleep(100000);
    (void) close(fd);
    (void) usleep(100000);
}

static void one_that_hangs_is_its_containers_alone(void **state) {
    assert_int_equal(read_of(&subjects[0], "hangs"), -ETIMEDOUT);
    assert_int_equal(read_of(&subjects[0], "answers"), -EAGAIN);
    assert_int_equal(read_of(&other, "answers"), 4);
    answer();
    assert_int_equal(read_of(&subjects[0], "answers"), 4);
}

/* More than use up what one thread waits for in a second. */
static void many_that_hang_leave_others_alone(void **state) {
    for (size_t i = 0; i < CONTAINERS; i++)
        assert_int_equal(read_of(&subjects[i], "hangs"), -ETIMEDOUT);
    for (size_t i = 0; i < CONTAINERS; i++)
        assert_int_equal(read_of(&subjects[i], "answers"), -EAGAIN);
    assert_int_equal(read_of(&other, "answers"), 4);
    answer();
    (void) usleep(1000000);
    for (size_t i = 0; i < CONTAINERS; i++)
        assert_int_equal(read_of(&subjects[i], "answers"), 4);
}

static void patience_is_each_containers(void **state) {
    (void) usleep(1000000);
    assert_true(reader_has_patience(&subjects[0]));
    reader_waited(&subjects[0], 200000);
    assert_false(reader_has_patience(&subjects[0]));
    assert_int_equal(read_of(&subjects[0], "answers"), -EAGAIN);
    assert_true(reader_has_patience(&other));
    for (size_t i = 1; i < 4; i++) { /* after these the shares are small */
        assert_true(reader_has_patience(&subjects[i]));
        reader_waited(&subjects[i], 150000);
    }
    assert_false(reader_has_patience(&subjects[1]));
    assert_true(reader_has_patience(&other));
    (void) usleep(1000000);
    assert_true(reader_has_patience(&subjects[0]));
    assert_true(reader_has_patience(&subjects[1]));
}

static void what_was_not_read_is_counted(void **state) {
    uint64_t before = atomic_load(&other.dropped);
    reader_count(&other, 4);
    reader_count(&other, -ESRCH);
    assert_int_equal(atomic_load(&other.dropped), before);
    reader_count(&other, -EAGAIN);
    reader_count(&other, -ETIMEDOUT);
    assert_int_equal(atomic_load(&other.dropped), before + 2);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_that_hangs_is_its_containers_alone),
        cmocka_unit_test(many_that_hang_leave_others_alone),
        cmocka_unit_test(patience_is_each_containers),
        cmocka_unit_test(what_was_not_read_is_counted),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
