/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* mountinfo: fields that anyone who may mount has a hand in. */

#include "util/mountinfo.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void fields_are_split(void **state) {
    Mountinfo m = { 0 };
    assert_int_equal(mountinfo_parse("31 23 0:28 / / ro,nosuid,relatime - overlay overlay rw,lowerdir=/a\n"
                                     "32 31 0:29 /a /b rw master:3 propagate_from:2 - tmpfs  rw,size=4k\n",
                                     &m),
                     0);
    assert_int_equal(m.n, 2);
    assert_int_equal(m.items[0].id, 31);
    assert_string_equal(m.items[0].point, "/");
    assert_string_equal(m.items[0].options, "ro,nosuid,relatime");
    assert_string_equal(m.items[0].type, "overlay");
    assert_string_equal(m.items[0].super_options, "rw,lowerdir=/a");
    assert_string_equal(m.items[1].root, "/a");
    assert_string_equal(m.items[1].type, "tmpfs");
    assert_string_equal(m.items[1].super_options, "rw,size=4k"); /* after an empty source */
    mountinfo_done(&m);
}

/* A name with blanks, newlines and a whole line of mountinfo in it stays one name. */
static void names_do_not_become_fields(void **state) {
    Mountinfo m = { 0 };
    assert_int_equal(
        mountinfo_parse("31 23 0:28 / /x\\0401\\0402\\0400:1\\040/\\040/proc\\040ro\\040-\\040proc\\040p\\040rw\\012"
                        "\\134040\\011 rw - tmpfs x rw\n",
                        &m),
        0);
    assert_int_equal(m.n, 1);
    assert_string_equal(m.items[0].point, "/x 1 2 0:1 / /proc ro - proc p rw\n\\040\t");
    assert_string_equal(m.items[0].type, "tmpfs");
    assert_string_equal(m.items[0].options, "rw");
    mountinfo_done(&m);
}

static void malformed_lines_are_refused(void **state) {
    static const char *const bad[] = {
        "1",
        "1 2 0:1 / /p rw",
        "1 2 0:1 / /p rw -",
        "1 2 0:1 / /p rw - tmpfs",
        "1 2 0:1 / /p rw tmpfs x rw",
        "x 2 0:1 / /p rw - tmpfs x rw",
        "-1 2 0:1 / /p rw - tmpfs x rw",
        "1 2 0:1 / /p\\04 rw - tmpfs x rw",
        "1 2 0:1 / /p\\ rw - tmpfs x rw",
        "1 2 0:1 / /p\\000 rw - tmpfs x rw",
        "1 2 0:1 / /p\\400 rw - tmpfs x rw",
        "1 2 0:1 / /p\\x41 rw - tmpfs x rw",
        "1 2 0:1 /\\08 /p rw - tmpfs x rw",
        "1 2 0:1 / /p rw - tmpfs x rw\n2",
    };
    for (size_t i = 0; i < ELEMENTSOF(bad); i++) {
        Mountinfo m = { 0 };
        assert_int_equal(mountinfo_parse(bad[i], &m), -EBADMSG);
        assert_null(m.items);
    }
}

static void options_are_compared_whole(void **state) {
    assert_true(mountinfo_has_option("ro,nosuid,nodev", "ro"));
    assert_true(mountinfo_has_option("ro,nosuid,nodev", "nodev"));
    assert_true(mountinfo_has_option("ro", "ro"));
    assert_false(mountinfo_has_option("rw,nosuid", "ro"));
    assert_false(mountinfo_has_option("ro,nosuidx", "nosuid"));
    assert_false(mountinfo_has_option("xro,nosuid", "ro"));
    assert_false(mountinfo_has_option("errors=remount-ro", "ro"));
    assert_false(mountinfo_has_option("", "ro"));
    assert_false(mountinfo_has_option("", ""));
}

static void own_mounts_are_read(void **state) {
    Mountinfo m = { 0 };
    int fd = open("/proc/self", O_PATH | O_DIRECTORY | O_CLOEXEC);
    assert_int_equal(mountinfo_read(fd, &m), 0);
    bool has_proc = false;
    for (size_t i = 0; i < m.n; i++)
        has_proc |= strcmp(m.items[i].point, "/proc") == 0 && strcmp(m.items[i].type, "proc") == 0;
    assert_true(has_proc);
    mountinfo_done(&m);
    (void) close(fd);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fields_are_split),
        cmocka_unit_test(names_do_not_become_fields),
        cmocka_unit_test(malformed_lines_are_refused),
        cmocka_unit_test(options_are_compared_whole),
        cmocka_unit_test(own_mounts_are_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
