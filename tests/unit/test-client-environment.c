/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* -e and --env-file. */

#include "client/environment.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

typedef struct File {
    char path[64];
} File;

static void file_done(File *f) {
    (void) unlink(f->path);
}

static void write_file(File *f, const char *bytes, size_t size) {
    (void) strcpy(f->path, "/tmp/kennel-test-env.XXXXXX");
    _cleanup_fd_ int fd = mkstemp(f->path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, bytes, size), size);
}

#define CONTENT(s) s, sizeof(s) - 1

static void test_file(void **state) {
    _cleanup_(environment_done) Environment e = { 0 };
    _cleanup_(file_done) File f;
    Error error = ERROR_INIT;

    assert_int_equal(setenv("KENNEL_TEST_INHERITED", "from here", 1), 0);
    assert_int_equal(unsetenv("KENNEL_TEST_ABSENT"), 0);
    write_file(&f, CONTENT("# comment\n\nA=1\n  B=two words = more \n\t# indented comment\nKENNEL_TEST_INHERITED\n"
                           "KENNEL_TEST_ABSENT\nC=\nA=3\nLAST=no newline"));
    if (environment_add_file(&e, "--env-file", f.path, &error) != 0)
        fail_msg("%s: %s", error.subject, error.message);
    assert_int_equal(e.n, 5);
    assert_string_equal(e.entries[0], "A=3");
    assert_string_equal(e.entries[1], "B=two words = more ");
    assert_string_equal(e.entries[2], "KENNEL_TEST_INHERITED=from here");
    assert_string_equal(e.entries[3], "C=");
    assert_string_equal(e.entries[4], "LAST=no newline");
}

static void refused_at(const char *bytes, size_t size, const char *line, const char *what) {
    _cleanup_(environment_done) Environment e = { 0 };
    _cleanup_(file_done) File f;
    Error error = ERROR_INIT;

    write_file(&f, bytes, size);
    assert_int_equal(environment_add_file(&e, "--env-file", f.path, &error), -EINVAL);
    assert_non_null(strstr(error.subject, f.path));
    assert_non_null(strstr(error.subject, line));
    assert_non_null(strstr(error.message, what));
}

static void test_file_refused(void **state) {
    refused_at(CONTENT("A=1\n=2\n"), ":2", "no name");
    refused_at(CONTENT("A=1\n\nB C=2\n"), ":3", "white space");
    refused_at(CONTENT("A=\xff\n"), ":1", "UTF-8");
    refused_at(CONTENT("A=1\nB=\0x\n"), ":2", "NUL");
}

static void test_file_missing(void **state) {
    Environment e = { 0 };
    Error error = ERROR_INIT;

    assert_int_equal(environment_add_file(&e, "--env-file", "/nonexistent/env", &error), -EINVAL);
    assert_string_equal(error.subject, "--env-file");
    assert_non_null(strstr(error.message, "/nonexistent/env"));
    assert_int_equal(environment_add_file(&e, "--env-file", "/", &error), -EINVAL);
}

static void test_entries(void **state) {
    _cleanup_(environment_done) Environment e = { 0 };
    Error error = ERROR_INIT;

    assert_int_equal(environment_add(&e, "-e", "AB=1", &error), 0);
    assert_int_equal(environment_add(&e, "-e", "A=2", &error), 0); /* a prefix of a name is another name */
    assert_int_equal(environment_add(&e, "-e", "AB=3", &error), 0);
    assert_int_equal(e.n, 2);
    assert_string_equal(e.entries[0], "AB=3");
    assert_string_equal(e.entries[1], "A=2");
    assert_int_equal(environment_add(&e, "-e", "", &error), -EINVAL);
    assert_int_equal(environment_add(&e, "-e", "=x", &error), -EINVAL);
    assert_string_equal(error.subject, "-e");
    assert_int_equal(e.n, 2);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_file),
        cmocka_unit_test(test_file_refused),
        cmocka_unit_test(test_file_missing),
        cmocka_unit_test(test_entries),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
