/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Flags with parts: volumes, tmpfs, ulimits, ports, devices, rates of the network. */

#include "client/argument.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static void volume_is(const char *text, const char *source, const char *target, bool read_only, const char *relabel) {
    _cleanup_(argument_volume_done) ArgumentVolume v = { 0 };
    Error error = ERROR_INIT;

    if (argument_volume("-v", text, &v, &error) != 0)
        fail_msg("%s: %s", text, error.message);
    assert_string_equal(v.source, source);
    assert_string_equal(v.target, target);
    assert_int_equal(v.read_only, read_only);
    if (relabel)
        assert_string_equal(v.relabel, relabel);
    else
        assert_null(v.relabel);
}

static void test_volume(void **state) {
    volume_is("/a:/b", "/a", "/b", false, NULL);
    volume_is("/a:/b:rw", "/a", "/b", false, NULL);
    volume_is("/a:/b:ro", "/a", "/b", true, NULL);
    volume_is("a/b:/c", "a/b", "/c", false, NULL);
    volume_is(".:/", ".", "/", false, NULL);
    volume_is("/a:/b:z", "/a", "/b", false, "shared");
    volume_is("/a:/b:Z", "/a", "/b", false, "private");
    volume_is("/a:/b:ro,Z", "/a", "/b", true, "private");
    volume_is("/a:/b:z,rw", "/a", "/b", false, "shared");
}

static void test_volume_refused(void **state) {
    static const char *const wrong[] = { "",         "/a",          ":/b",       "/a:",    "/a:b",        "/a:/b:",
                                         "/a:/b:x",  "/a:/b:ro:rw", "/a:/b:RO",  "/a::ro", "/a:/b:ro,rw", "/a:/b:z,Z",
                                         "/a:/b:Z,", "/a:/b:ro,,Z", "/a:/b:Z:ro" };

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

static void tmpfs_is(const char *text, const char *path, int64_t size, int64_t inodes, int64_t mode) {
    _cleanup_(argument_tmpfs_done) ArgumentTmpfs t = { 0 };
    Error error = ERROR_INIT;

    if (argument_tmpfs("--tmpfs", text, &t, &error) != 0)
        fail_msg("%s: %s", text, error.message);
    assert_string_equal(t.path, path);
    assert_int_equal(t.size, size);
    assert_int_equal(t.inodes, inodes);
    assert_int_equal(t.mode, mode);
}

static void test_tmpfs(void **state) {
    tmpfs_is("/tmp", "/tmp", -1, -1, -1);
    tmpfs_is("/tmp:size=64M", "/tmp", 67108864, -1, -1);
    tmpfs_is("/tmp:inodes=2", "/tmp", -1, 2, -1);
    tmpfs_is("/tmp:mode=1777", "/tmp", -1, -1, 01777);
    tmpfs_is("/tmp:size=4096,mode=0700", "/tmp", 4096, -1, 0700);
    tmpfs_is("/tmp:mode=0700,inodes=100,size=4k", "/tmp", 4096, 100, 0700);
}

static void test_tmpfs_refused(void **state) {
    static const char *const wrong[] = { "",
                                         "tmp",
                                         "/tmp:",
                                         "/tmp:size",
                                         "/tmp:size=",
                                         "/tmp:size=-1",
                                         "/tmp:size=0",
                                         "/tmp:size=4095",
                                         "/tmp:inodes=",
                                         "/tmp:inodes=1",
                                         "/tmp:inodes=-2",
                                         "/tmp:inodes=2k",
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

static void port_is(const char *text, const char *address, int64_t host, int64_t container, bool udp) {
    ArgumentPort p;
    Error error = ERROR_INIT;

    if (argument_port("-p", text, &p, &error) != 0)
        fail_msg("%s: %s", text, error.message);
    assert_string_equal(p.address, address);
    assert_int_equal(p.host, host);
    assert_int_equal(p.container, container);
    assert_int_equal(p.udp, udp);
}

static void test_port(void **state) {
    port_is("8080:80", "", 8080, 80, false);
    port_is("8080:80/tcp", "", 8080, 80, false);
    port_is("53:5353/udp", "", 53, 5353, true);
    port_is("127.0.0.1:65535:1", "127.0.0.1", 65535, 1, false);
    port_is("192.168.100.200:1:65535/udp", "192.168.100.200", 1, 65535, true);
}

static void test_port_refused(void **state) {
    static const char *const wrong[] = {
        "",
        "80",
        ":80",
        "80:",
        "a:80",
        "80:a",
        "0:80",
        "80:0",
        "65536:80",
        "80:65536",
        "-1:80",
        "80:-1",
        "80:80/",
        "80:80/sctp",
        "80:80/TCP",
        "80:80/tcp/x",
        "8000-8010:80",
        ":80:80",
        "1.2.3:80:80",
        "[::1]:80:80",
        "localhost:80:80",
        "1.2.3.4.5:80:80",
        "1.2.3.4::80",
        "255.255.255.2555:80:80",
        "00000080:80",
        "80: 80",
    };

    for (size_t i = 0; i < ELEMENTSOF(wrong); i++) {
        ArgumentPort p;
        Error error = ERROR_INIT;
        if (argument_port("-p", wrong[i], &p, &error) != -EINVAL)
            fail_msg("\"%s\" was taken", wrong[i]);
        assert_string_equal(error.subject, "-p");
    }
}

static void device_is(const char *text, bool bytes, const char *device, int64_t rate) {
    ArgumentDevice d;
    Error error = ERROR_INIT;

    if (argument_device("--device-read-bps", text, bytes, bytes ? 4096 : 1, &d, &error) != 0)
        fail_msg("%s: %s", text, error.message);
    assert_string_equal(d.device, device);
    assert_int_equal(d.rate, rate);
}

static void test_device(void **state) {
    device_is("8:0:10M", true, "8:0", 10485760);
    device_is("259:1048575:4096", true, "259:1048575", 4096);
    device_is("8:16:500", false, "8:16", 500);
}

static void test_device_refused(void **state) {
    static const struct {
        const char *text, *message;
        bool bytes;
    } wrong[] = {
        { "", "has no rate", true },
        { "/dev/null", "has no rate", true },
        { "8:0", "has no rate", true },
        { ":10M", "has no device", true },
        { "8:0:", "not a size", true },
        { "8:0:0", "too little", true },
        { "8:0:-1", "not a size", true },
        { "8:0:4095", "4096", true },
        { "8:0:10X", "not a size", true },
        { "8:0:none", "none alone", true },
        { "8:0:0", "1 or more", false },
        { "8:0:10k", "not a whole number", false },
        { "/dev/null:10M", "/dev/null is not a block device", true },
        { "/dev/no-such-disk:10M", "cannot find the device /dev/no-such-disk", true },
        { "8:0:0:10M", "cannot find the device 8:0:0", true },
        { "8:99999999:10M", "cannot find the device 8:99999999", true },
    };

    for (size_t i = 0; i < ELEMENTSOF(wrong); i++) {
        ArgumentDevice d;
        Error error = ERROR_INIT;
        if (argument_device("--device", wrong[i].text, wrong[i].bytes, wrong[i].bytes ? 4096 : 1, &d, &error) !=
            -EINVAL)
            fail_msg("\"%s\" was taken", wrong[i].text);
        assert_string_equal(error.subject, "--device");
        if (!strstr(error.message, wrong[i].message))
            fail_msg("\"%s\": %s", wrong[i].text, error.message);
    }
}

static void net_rate_is(const char *text, int64_t in, int64_t out) {
    ArgumentNetRate rate;
    Error error = ERROR_INIT;

    if (argument_net_rate("--net-rate", text, &rate, &error) != 0)
        fail_msg("%s: %s", text, error.message);
    assert_int_equal(rate.in, in);
    assert_int_equal(rate.out, out);
}

static void test_net_rate(void **state) {
    net_rate_is("10M", 10000000, 10000000);
    net_rate_is("in=8000", 8000, 0);
    net_rate_is("out=1Gbit", 0, 1000000000);
    net_rate_is("in=1M,out=2M", 1000000, 2000000);
    net_rate_is("out=2M,in=1M", 1000000, 2000000);
    net_rate_is("none", ARGUMENT_NO_LIMIT, ARGUMENT_NO_LIMIT);
    net_rate_is("in=none,out=8k", ARGUMENT_NO_LIMIT, 8000);
}

static void test_net_rate_refused(void **state) {
    static const char *const wrong[] = { "",       "0",         "-1",
                                         "7999",   "in=",       "in",
                                         "in=0",   "up=1M",     "in=1M,in=2M",
                                         "in=1M,", ",in=1M",    "in=1M out=1M",
                                         "1M,2M",  "1M,out=1M", "in=none,in=1M",
                                         "in=-1" };

    for (size_t i = 0; i < ELEMENTSOF(wrong); i++) {
        ArgumentNetRate rate;
        Error error = ERROR_INIT;
        if (argument_net_rate("--net-rate", wrong[i], &rate, &error) != -EINVAL)
            fail_msg("\"%s\" was taken", wrong[i]);
        assert_string_equal(error.subject, "--net-rate");
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_volume),   cmocka_unit_test(test_volume_refused),
        cmocka_unit_test(test_tmpfs),    cmocka_unit_test(test_tmpfs_refused),
        cmocka_unit_test(test_ulimit),   cmocka_unit_test(test_ulimit_refused),
        cmocka_unit_test(test_port),     cmocka_unit_test(test_port_refused),
        cmocka_unit_test(test_device),   cmocka_unit_test(test_device_refused),
        cmocka_unit_test(test_net_rate), cmocka_unit_test(test_net_rate_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
