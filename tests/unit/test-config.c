/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The configuration file: what is taken, and that what is not names file, line, value and what would be right.
 */

#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>
#include <fcntl.h>

static Config parse_ok(const char *text) {
    Config c = CONFIG_INIT;
    Error e = ERROR_INIT;
    int r = config_parse(text, strlen(text), "f", &c, &e);
    if (r < 0)
        fail_msg("%s: %s", text, e.message);
    return c;
}

/* TEXT is refused, nothing is changed, and the message holds A and B. */
static void parse_fails(const char *text, const char *a, const char *b) {
    Config c = CONFIG_INIT, before = CONFIG_INIT;
    Error e = ERROR_INIT;
    if (config_parse(text, strlen(text), "f", &c, &e) >= 0)
        fail_msg("accepted: %s", text);
    if (!strstr(e.message, a) || !strstr(e.message, b))
        fail_msg("%s: the message lacks %s or %s: %s", text, a, b, e.message);
    assert_int_equal(c.id_base, before.id_base);
    assert_int_equal(c.starts_max, before.starts_max);
    assert_int_equal(c.log_max_bytes, before.log_max_bytes);
    assert_string_equal(c.tenant_group, before.tenant_group);
}

static void test_defaults(void **state) {
    Config c = parse_ok("");
    assert_int_equal(c.id_base, 1879048192U);
    assert_int_equal(c.id_ranges, 4094);
    assert_string_equal(c.tenant_group, "kennel");
    assert_int_equal(c.tenant_containers_max, 64);
    assert_int_equal(c.starts_max, 32);
    assert_int_equal(c.log_max_bytes, 64U * 1024 * 1024);
    /* the pool ends where systemd's foreign range begins */
    assert_int_equal(c.id_base + c.id_ranges * 65536U, 0x7FFE0000U);
}

static void test_values(void **state) {
    Config c = parse_ok("# a comment\n"
                        "id-base=262144\n"
                        "  id-ranges\t= 2 # two\r\n"
                        "\n"
                        "tenant-group = box_users-1\n"
                        "tenant-containers-max = 0\n"
                        "starts-max = 1\n"
                        "log-max-bytes = 3G");
    assert_int_equal(c.id_base, 262144);
    assert_int_equal(c.id_ranges, 2);
    assert_string_equal(c.tenant_group, "box_users-1");
    assert_int_equal(c.tenant_containers_max, 0);
    assert_int_equal(c.starts_max, 1);
    assert_true(c.log_max_bytes == 3ULL << 30);
    assert_true(parse_ok("log-max-bytes = 65536").log_max_bytes == 65536);
    assert_true(parse_ok("log-max-bytes = 64K").log_max_bytes == 65536);
    assert_true(parse_ok("log-max-bytes = 1024G").log_max_bytes == 1ULL << 40);
}

static void test_keys(void **state) {
    parse_fails("starts-max = 1\nid_base = 70000\n", "f:2", "id_base");
    parse_fails("nonsense\n", "f:1", "key = value");
    parse_fails("= 1\n", "f:1", "no key");
    parse_fails("\n\nstarts-max = 1\nstarts-max = 1\n", "f:4", "second time");
    parse_fails("Starts-Max = 1\n", "f:1", "Starts-Max");
}

static void test_numbers(void **state) {
    static const char *const wrong[] = { "",    "-1",  "+1",         "0x10",
                                         "1 2", "1.5", "4294967296", "99999999999999999999999",
                                         "one" };
    for (size_t i = 0; i < ELEMENTSOF(wrong); i++) {
        char line[128];
        (void) snprintf(line, sizeof(line), "starts-max = %s\n", wrong[i]);
        parse_fails(line, "f:1", wrong[i]);
        (void) snprintf(line, sizeof(line), "log-max-bytes = %s\n", wrong[i]);
        if (strcmp(wrong[i], "4294967296") != 0)
            parse_fails(line, "f:1", "is expected");
    }
    parse_fails("starts-max = 0\n", "\"0\"", "1 to 1024");
    parse_fails("starts-max = 1025\n", "\"1025\"", "1 to 1024");
    parse_fails("log-max-bytes = 63K\n", "63K", "64K");
    parse_fails("log-max-bytes = 1025G\n", "1025G", "1024G");
    parse_fails("log-max-bytes = 18446744073709551615G\n", "f:1", "is expected");
    parse_fails("log-max-bytes = K\n", "f:1", "is expected");
    parse_fails("log-max-bytes = 1KK\n", "f:1", "is expected");
    parse_fails("log-max-bytes = 128k\n", "f:1", "is expected");
}

static void test_ids(void **state) {
    parse_fails("id-base = 0\n", "f:1", "65536");
    parse_fails("id-base = 65535\n", "f:1", "65536");
    parse_fails("id-ranges = 0\n", "f:1", "1 to 65534");
    parse_fails("id-base = 4294901760\n", "f:1", "4294901760");
    /* each is right, but not both together */
    parse_fails("id-base = 3999989760\nid-ranges = 60000\n", "id-base 3999989760", "id-ranges 60000");
    (void) parse_ok("id-base = 65536\nid-ranges = 65534\n");
    parse_fails("id-base = 131072\nid-ranges = 65534\n", "131072", "beyond");
    parse_fails("id-base = 65537\n", "65537", "multiple");
}

static void test_group(void **state) {
    parse_fails("tenant-group =\n", "f:1", "name of a group");
    parse_fails("tenant-group = a b\n", "f:1", "a b");
    parse_fails("tenant-group = -x\n", "f:1", "-x");
    parse_fails("tenant-group = ../x\n", "f:1", "../x");
    parse_fails("tenant-group = abcdefghijklmnopqrstuvwxyz0123456\n", "f:1", "name of a group");
    assert_string_equal(parse_ok("tenant-group = abcdefghijklmnopqrstuvwxyz012345\n").tenant_group,
                        "abcdefghijklmnopqrstuvwxyz012345");
}

static void test_bytes(void **state) {
    Config c = CONFIG_INIT;
    Error e = ERROR_INIT;
    assert_true(config_parse("starts-max = 1\0\n", 16, "f", &c, &e) < 0);
    assert_non_null(strstr(e.message, "NUL"));
    char line[2000];
    memset(line, '#', sizeof(line) - 1);
    line[sizeof(line) - 1] = 0;
    parse_fails(line, "f:1", "longer");
    /* an escape sequence must not reach the terminal on which the message is read */
    parse_fails("\x1b[2J = 1\n", "f:1", "no key");
    Error quoted = ERROR_INIT;
    (void) config_parse("\x1b[2J = 1\n", 9, "f", &c, &quoted);
    assert_null(strchr(quoted.message, 0x1b));
}

static void test_load(void **state) {
    Config c = CONFIG_INIT;
    Error e = ERROR_INIT;
    assert_int_equal(config_load("/nonexistent/kenneld.conf", false, &c, &e), 0);
    assert_int_equal(config_load("/nonexistent/kenneld.conf", true, &c, &e), -ENOENT);
    assert_non_null(strstr(e.message, "/nonexistent/kenneld.conf"));
    assert_true(config_load("/", false, &c, &e) < 0);

    char path[] = "/tmp/test-config-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, "starts-max = 7\n", 15), 15);
    (void) close(fd);
    int r = config_load(path, true, &c, &e);
    (void) unlink(path);
    assert_int_equal(r, 0);
    assert_int_equal(c.starts_max, 7);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults), cmocka_unit_test(test_values), cmocka_unit_test(test_keys),
        cmocka_unit_test(test_numbers),  cmocka_unit_test(test_ids),    cmocka_unit_test(test_group),
        cmocka_unit_test(test_bytes),    cmocka_unit_test(test_load),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
