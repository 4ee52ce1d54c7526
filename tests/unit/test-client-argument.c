/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Flags with parts: volumes, tmpfs, ulimits. */

#include "client/argument.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static void volume_is(const char *text, const char *source, const char *target, bool read_only) {
    _cleanup_(argument_volume_done) ArgumentVolume v = { 0 };
    Error error = ERROR_INIT;

    if (argument_volume("-v", text, &v, &error) != 0)
        fail_msg("%s: %s", text, error.message);
    assert_string_equal(v.source, source);
    assert_string_equal(v.target, target);
    assert_int_equal(v.read_only, read_only);
}

static void test_volume(void **state) {
    volume_is("/a:/b", "/a", "/b", false);
    volume_is("/a:/b:rw", "/a", "/b", false);
    volume_is("/a:/b:ro", "/a", "/b", true);
    volume_is("a/b:/c", "a/b", "/c", false);
    volume_is(".:/", ".", "/", false);
}

static void test_volume_refused(void **state) {
    static const char *const wrong[] = { "",       "/a",      ":/b",         "/a:",      "/a:b",
                                         "/a:/b:", "/a:/b:x", "/a:/b:ro:rw", "/a:/b:RO", "/a::ro" };

    for (size_t i = 0; i < ELEMENTSOF(wrong); i++) {
        ArgumentVolume v = { 0 };
        Error error = ERROR_INIT;
        assert_int_equal(argument_volume("-v", wrong[i], &v, &error), -EINVAL);
        assert_null(v.source);
        assert_string_equal(error.subject, "-v");
        assert_non_null(strstr(error.message, wrong[i]));
        assert_non_null(strstr(error.message, "SRC:DST"));
    }
}

static void tmpfs_is(const char *text, const char *path, int64_t size, int64_t mode) {
    _cleanup_(argument_tmpfs_done) ArgumentTmpfs t = { 0 };
    Error error = ERROR_INIT;

    if (argument_tmpfs("--tmpfs", text, &t, &error) != 0)
        fail_msg("%s: %s", text, error.message);
    assert_string_equal(t.path, path);
    assert_int_equal(t.size, size);
    assert_int_equal(t.mode, mode);
}

static void test_tmpfs(void **state) {
    tmpfs_is("/tmp", "/tmp", -1, -1);
    tmpfs_is("/tmp:size=64M", "/tmp", 67108864, -1);
    tmpfs_is("/tmp:mode=1777", "/tmp", -1, 01777);
    tmpfs_is("/tmp:size=4096,mode=0700", "/tmp", 4096, 0700);
}

static void test_tmpfs_refused(void **state) {
    static const char *const wrong[] = { "",
                                         "tmp",
                                         "/tmp:",
                                         "/tmp:size",
                                         "/tmp:size=",
                                         "/tmp:size=-1",
                                         "/tmp:mode=8",
                                         "/tmp:mode=",
                                         "/tmp:mode=77777",
                                         "/tmp:exec",
                                         "/tmp:size=1,",
                                         "/tmp:size=1,mode=x" };

    for (size_t i = 0; i < ELEMENTSOF(wrong); i++) {
        ArgumentTmpfs t = { 0 };
        Error error = ERROR_INIT;
        if (argument_tmpfs("--tmpfs", wrong[i], &t, &error) != -EINVAL)
            fail_msg("\"%s\" was taken", wrong[i]);
        assert_string_equal(error.subject, "--tmpfs");
    }
}

static void ulimit_is(const char *text, const char *name, int64_t soft, int64_t hard) {
    ArgumentUlimit u;
    Error error = ERROR_INIT;

    if (argument_ulimit("--ulimit", text, &u, &error) != 0)
        fail_msg("%s: %s", text, error.message);
    assert_string_equal(u.name, name);
    assert_int_equal(u.soft, soft);
    assert_int_equal(u.hard, hard);
}

static void test_ulimit(void **state) {
    ulimit_is("nofile=1024", "nofile", 1024, 1024);
    ulimit_is("nofile=1024:4096", "nofile", 1024, 4096);
    ulimit_is("core=unlimited", "core", -1, -1);
    ulimit_is("core=0:-1", "core", 0, -1);
}

static void test_ulimit_refused(void **state) {
    static const char *const wrong[] = { "",
                                         "nofile",
                                         "=1",
                                         "nofile=",
                                         "nofile=x",
                                         "nofile=1:",
                                         "nofile=1:2:3",
                                         "nofile=2:1",
                                         "nofile=-1:5",
                                         "nofile=-2",
                                         "nofile=99999999999999999999",
                                         "nofile=1111111111111111111111111111111111111111",
                                         "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa=1" };

    for (size_t i = 0; i < ELEMENTSOF(wrong); i++) {
        ArgumentUlimit u;
        Error error = ERROR_INIT;
        if (argument_ulimit("--ulimit", wrong[i], &u, &error) != -EINVAL)
            fail_msg("\"%s\" was taken", wrong[i]);
        assert_string_equal(error.subject, "--ulimit");
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_volume), cmocka_unit_test(test_volume_refused),
        cmocka_unit_test(test_tmpfs),  cmocka_unit_test(test_tmpfs_refused),
        cmocka_unit_test(test_ulimit), cmocka_unit_test(test_ulimit_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
