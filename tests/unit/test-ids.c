/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Users and groups from an image's files, which are hostile: links that lead out, fifos, lines that are none. */

#include "sandbox/internal.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

typedef struct Image {
    char path[64];
    int fd;
} Image;

static void put(const Image *image, const char *name, const char *text) {
    int fd = openat(image->fd, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    (void) close(fd);
}

static int setup(void **state) {
    Image *image = calloc(1, sizeof(*image));
    (void) snprintf(image->path, sizeof(image->path), "/tmp/test-ids-XXXXXX");
    if (!mkdtemp(image->path))
        return -1;
    image->fd = open(image->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (mkdirat(image->fd, "etc", 0755) < 0)
        return -1;
    put(image, "etc/passwd",
        "root:x:0:0:root:/root:/bin/sh\n"
        "# comment:x:7:7\n"
        "\n"
        "broken\n"
        "huge:x:4294967296:0::/:/bin/sh\n"
        "outside:x:70000:70000::/:/bin/sh\n"
        "negative:x:-1:0::/:/bin/sh\n"
        "hex:x:0x10:0::/:/bin/sh\n"
        "web:x:33:34:web:/var/www:/bin/sh\n"
        "last:x:99:98::/:/bin/sh");
    put(image, "etc/group", "root:x:0:\nweb:x:34:\nlog:x:4:other,web\nadm:x:5:web\nnotweb:x:6:webb\n");
    *state = image;
    return 0;
}

static int teardown(void **state) {
    Image *image = *state;
    (void) unlinkat(image->fd, "etc/passwd", 0);
    (void) unlinkat(image->fd, "etc/group", 0);
    (void) unlinkat(image->fd, "etc", AT_REMOVEDIR);
    (void) close(image->fd);
    (void) rmdir(image->path);
    free(image);
    return 0;
}

static void assert_ids(const Image *image, const char *user, uint32_t uid, uint32_t gid, size_t n_groups) {
    SandboxIds ids;
    Error e = ERROR_INIT;
    int r = ids_resolve(image->fd, user, &ids, &e);
    if (r < 0)
        fail_msg("%s: %s", user ? user : "(none)", e.message);
    assert_int_equal(ids.uid, uid);
    assert_int_equal(ids.gid, gid);
    assert_int_equal(ids.n_groups, n_groups);
}

static void test_known(void **state) {
    assert_ids(*state, NULL, 0, 0, 0);
    assert_ids(*state, "root", 0, 0, 0);
    assert_ids(*state, "web", 33, 34, 2);
    assert_ids(*state, "33", 33, 34, 2);
    assert_ids(*state, "web:root", 33, 0, 0);
    assert_ids(*state, "web:77", 33, 77, 0);
    assert_ids(*state, "1234", 1234, 0, 0);
    assert_ids(*state, "1234:log", 1234, 4, 0);
    assert_ids(*state, "last", 99, 98, 0);
    assert_ids(*state, "65534:65534", 65534, 65534, 0);
}

static void test_refused(void **state) {
    static const char *const bad[] = {
        "",
        ":",
        ":0",
        "0:",
        "0x0",
        "0 ",
        "00x",
        "1e3",
        "65535",
        "65536",
        "4294967295",
        "4294967296",
        "99999999999999999999",
        "nobodyhere",
        "huge",
        "outside",
        "negative",
        "hex",
        "broken",
        "#",
        "web:nogroup",
        "web:65536",
        "1:2:3",
    };
    Image *image = *state;
    for (size_t i = 0; i < ELEMENTSOF(bad); i++) {
        SandboxIds ids;
        Error e = ERROR_INIT;
        if (ids_resolve(image->fd, bad[i], &ids, &e) >= 0)
            fail_msg("\"%s\" was taken", bad[i]);
        assert_int_equal(e.kind, ERROR_INVALID_SPEC);
        assert_string_equal(e.subject, "user");
    }
}

/* An image without files has numbers only; one whose file is a link out, a fifo or a directory is not followed. */
static void test_hostile_files(void **state) {
    Image *image = *state;
    SandboxIds ids;
    Error e = ERROR_INIT;

    assert_int_equal(unlinkat(image->fd, "etc/passwd", 0), 0);
    assert_ids(image, "5:6", 5, 6, 0);

    assert_int_equal(symlinkat("/../../../../../../etc/passwd", image->fd, "etc/passwd"), 0);
    assert_true(ids_resolve(image->fd, "root", &ids, &e) < 0);
    assert_int_equal(unlinkat(image->fd, "etc/passwd", 0), 0);

    assert_int_equal(mkfifoat(image->fd, "etc/passwd", 0644), 0);
    assert_true(ids_resolve(image->fd, "root", &ids, &e) < 0); /* and does not wait for a writer */
    assert_int_equal(unlinkat(image->fd, "etc/passwd", 0), 0);

    assert_int_equal(symlinkat("/proc/self/environ", image->fd, "etc/passwd"), 0);
    assert_true(ids_resolve(image->fd, "root", &ids, &e) < 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_known, setup, teardown),
        cmocka_unit_test_setup_teardown(test_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(test_hostile_files, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
