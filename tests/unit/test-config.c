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
    assert_memory_equal(&c.tenant_limits, &before.tenant_limits, sizeof(c.tenant_limits));
    assert_string_equal(c.network.bridge, before.network.bridge);
}

static bool is_none(const ContainerLimits *l) {
    ContainerLimits none = CONTAINER_LIMITS_NONE;
    return memcmp(l, &none, sizeof(none)) == 0;
}

static void test_defaults(void **state) {
    Config c = parse_ok("");
    assert_int_equal(c.id_base, 1879048192U);
    assert_int_equal(c.id_ranges, 4094);
    assert_string_equal(c.tenant_group, "kennel");
    assert_int_equal(c.tenant_containers_max, 64);
    assert_int_equal(c.starts_max, 32);
    assert_int_equal(c.log_max_bytes, 64U * 1024 * 1024);
    assert_string_equal(c.network.bridge, "kennel0");
    assert_true(c.network.pool.address == 0x0AD50000 && c.network.pool.prefix == 20 && !c.network.masquerade);
    assert_true(c.disk_default == CONFIG_DISK_DEFAULT && c.disk_default == 16ULL << 30);
    assert_true(is_none(&c.tenant_limits));
    /* the pool ends where systemd's foreign range begins */
    assert_int_equal(c.id_base + c.id_ranges * 65536U, 0x7FFE0000U);
}

static void test_controls(void **state) {
    Config c = parse_ok("");
    for (ControlKind k = 0; k < _CONTROL_MAX; k++)
        assert_int_equal(c.control_modes[k], CONTROL_MODE_UNSET);
    for (ControlKind k = 0; k < _CONTROL_MAX; k++) {
        char text[128];
        (void) snprintf(text, sizeof(text), "control-%s = required\n", control_name(k));
        c = parse_ok(text);
        for (ControlKind other = 0; other < _CONTROL_MAX; other++)
            assert_int_equal(c.control_modes[other], other == k ? CONTROL_REQUIRED : CONTROL_MODE_UNSET);
        (void) snprintf(text, sizeof(text), "control-%s=best-effort", control_name(k));
        assert_int_equal(parse_ok(text).control_modes[k], CONTROL_BEST_EFFORT);
    }
    parse_fails("control-apparmor = yes\n", "\"yes\"", "required or best-effort");
    parse_fails("control-apparmor = bestEffort\n", "\"bestEffort\"", "required or best-effort");
    parse_fails("control-apparmor =\n", "control-apparmor", "required or best-effort");
    parse_fails("control-memory = required\n", "control-memory", "no key");
    parse_fails("control-label = required\ncontrol-label = required\n", "control-label", "second time");
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

static void test_network(void **state) {
    Config c = parse_ok("network-bridge = br_k-1\nnetwork-pool = 172.16.0.0/12\nnetwork-masquerade = yes\n");
    assert_string_equal(c.network.bridge, "br_k-1");
    assert_true(c.network.pool.address == 0xAC100000 && c.network.pool.prefix == 12 && c.network.masquerade);
    assert_string_equal(parse_ok("network-bridge = abcdefghijklmno").network.bridge, "abcdefghijklmno");
    assert_false(parse_ok("network-masquerade = no").network.masquerade);
    assert_int_equal(parse_ok("network-pool = 10.0.0.8/29").network.pool.prefix, 29);
    assert_int_equal(parse_ok("network-pool = 10.0.0.0/8").network.pool.prefix, 8);
    static const char *const bridges[] = { "", "abcdefghijklmnop", "a.b", "a/b", "a b", "br\xC3\xA4", "-b", "a:1" };
    for (size_t i = 0; i < ELEMENTSOF(bridges); i++) {
        char line[64];
        (void) snprintf(line, sizeof(line), "network-bridge = %s\n", bridges[i]);
        parse_fails(line, "f:1", "1 to 15");
    }
    static const char *const pools[] = { "",
                                         "10.213.0.0",
                                         "10.213.0.0/",
                                         "10.213.0.0/7",
                                         "10.0.0.0/30",
                                         "10.213.0.1/20",
                                         "10.213.16.0/19",
                                         "10.213.0/20",
                                         "10.1.0.0/0x8",
                                         "010.0.0.0/20",
                                         "10.0.0.0/20/2",
                                         "0.0.0.0/8",
                                         "127.0.0.0/8",
                                         "224.0.0.0/8",
                                         "fd00::/64",
                                         "10.0.0.0/+9",
                                         "10.0.0.0 /20",
                                         "256.0.0.0/20",
                                         "10.0.0.0/4294967304" };
    for (size_t i = 0; i < ELEMENTSOF(pools); i++) {
        char line[64];
        (void) snprintf(line, sizeof(line), "network-pool = %s\n", pools[i]);
        parse_fails(line, "f:1", "10.213.0.0/20");
    }
    parse_fails("network-masquerade = true\n", "\"true\"", "yes or no");
    parse_fails("network-masquerade = YES\n", "\"YES\"", "yes or no");
}

static const char all_ceilings[] = "tenant-memory-max = 1G\n"
                                   "tenant-memory-swap-max = 1T\n"
                                   "tenant-memory-high-max = 512M\n"
                                   "tenant-cpus-max = 1.5\n"
                                   "tenant-cpu-weight-max = 10000\n"
                                   "tenant-cpuset = 5,0-2,1\n"
                                   "tenant-pids-max = 4194304\n"
                                   "tenant-io-weight-max = 1\n"
                                   "tenant-device-read-bps = 8:0:4K, 8:16:1M\n"
                                   "tenant-device-write-bps = 8:16:4096\n"
                                   "tenant-device-read-iops = 8:32:2\n"
                                   "tenant-device-write-iops = 8:0:7,8:16:4294967294\n"
                                   "tenant-disk-max = 1M\n"
                                   "tenant-inodes-max = 16\n"
                                   "tenant-net-rate-in-max = 8K\n"
                                   "tenant-net-rate-out-max = 1000G\n";

static void test_ceilings(void **state) {
    Config c = parse_ok(all_ceilings);
    const CgroupLimits *g = &c.tenant_limits.cgroup;
    assert_true(g->memory == 1ULL << 30 && g->memory_swap == 1ULL << 40 && g->memory_high == 512ULL << 20);
    assert_true(g->cpu_quota_per_sec_usec == 1500000 && g->cpu_weight == 10000 && g->io_weight == 1);
    assert_string_equal(g->cpuset, "0-2,5");
    assert_int_equal(g->pids, 4194304);
    assert_int_equal(g->n_devices, 3);
    const CgroupDeviceLimits expected[] = {
        { 8, 0, 4096, CGROUP_LIMIT_NONE, CGROUP_LIMIT_NONE, 7 },
        { 8, 16, 1 << 20, 4096, CGROUP_LIMIT_NONE, 4294967294 },
        { 8, 32, CGROUP_LIMIT_NONE, CGROUP_LIMIT_NONE, 2, CGROUP_LIMIT_NONE },
    };
    assert_memory_equal(g->devices, expected, sizeof(expected));
    assert_true(c.tenant_limits.storage.bytes == 1 << 20 && c.tenant_limits.storage.inodes == 16);
    assert_true(c.tenant_limits.network.in == 8000 && c.tenant_limits.network.out == 1000000000000);
    assert_true(parse_ok("disk-default = none").disk_default == STORAGE_LIMIT_NONE);
    assert_true(parse_ok("disk-default = 1048576").disk_default == 1048576);
    /* each can be `none`, which is what it is anyway */
    char text[sizeof(all_ceilings) + 256], *end = text;
    for (const char *line = all_ceilings; *line; line += strcspn(line, "\n") + 1)
        end = stpcpy(mempcpy(end, line, strcspn(line, "=") + 1), " none\n");
    c = parse_ok(text);
    assert_true(is_none(&c.tenant_limits));
    /* and has a key of its own for the field that it bounds */
    for (const ContainerLimitField *f = container_limit_fields; f->name; f++)
        assert_int_equal(strncmp(config_ceiling_key(f->name), "tenant-", 7), 0);
    for (const ContainerDeviceField *f = container_device_fields; f->name; f++)
        assert_int_equal(strncmp(config_ceiling_key(f->name), "tenant-device-", 14), 0);
    assert_string_equal(config_ceiling_key("memoryHigh"), "tenant-memory-high-max");
    assert_string_equal(config_ceiling_key("x"), "x");
}

static void test_ceilings_refused(void **state) {
    static const struct {
        const char *key, *values, *words; /* values: separated by | */
    } wrong[] = {
        { "disk-default", "0|1023K|-1|none none|2E|1025P", "1M on" },
        { "tenant-memory-max", "0|4095K|-1|x|none4M|4m|99999999999T", "4M on" },
        { "tenant-memory-swap-max", "0|1K", "4M on" },
        { "tenant-memory-high-max", "0|1K", "4M on" },
        { "tenant-cpus-max", "0|0.009|-1|.5|1.|1.5.|1,5|0.0100001|8193|1e3|x|1.5x|999999999999", "0.01 to 8192" },
        { "tenant-cpu-weight-max", "0|10001|-1|1K|0x5", "1 to 10000" },
        { "tenant-cpuset", "-1|0-|3-1|a|0,,1|8192", "0-2,5" },
        { "tenant-pids-max", "0|4194305|1K|-1", "1 to 4194304" },
        { "tenant-io-weight-max", "0|10001", "1 to 10000" },
        { "tenant-device-read-bps",
          "8:0|8:0:|8:0:4095|:4096|8:0:4K,|,8:0:4K|8:0:4K,8:0:4K|8:0:4K 8:16:4K|sda:4K|8:0:-1", "DEVICE:N" },
        { "tenant-device-write-bps", "8:0:0", "4K bytes" },
        { "tenant-device-read-iops", "8:0:0|8:0:1|8:0:2K|8:0:4294967295", "2 operations" },
        { "tenant-device-write-iops", "8:0:0|4096:0:5", "2 operations" },
        { "tenant-disk-max", "0|1023K", "1M on" },
        { "tenant-inodes-max", "0|15|-1|1K", "16 on" },
        { "tenant-net-rate-in-max", "0|7999|1001G|1T|8k|-1|100Mbit", "8K to 1000G" },
        { "tenant-net-rate-out-max", "0|7999", "powers of 1000" },
    };
    for (size_t i = 0; i < ELEMENTSOF(wrong); i++) {
        char values[256], *rest = values;
        (void) snprintf(values, sizeof(values), "%s", wrong[i].values);
        for (char *value = strsep(&rest, "|"); value; value = strsep(&rest, "|")) {
            char line[256];
            (void) snprintf(line, sizeof(line), "%s = %s\n", wrong[i].key, value);
            parse_fails(line, wrong[i].key, wrong[i].words);
            parse_fails(line, value, "f:1");
        }
        char twice[256];
        (void) snprintf(twice, sizeof(twice), "%s = none\n%s = none\n", wrong[i].key, wrong[i].key);
        parse_fails(twice, "f:2", "second time");
    }
}

static void test_ceilings_that_contradict(void **state) {
    parse_fails("tenant-memory-swap-max = 1G\n", "tenant-memory-swap-max", "needs tenant-memory-max");
    parse_fails("tenant-memory-max = 2G\ntenant-memory-swap-max = 1G\n", "tenant-memory-swap-max 1073741824", "less");
    parse_fails("tenant-memory-max = 1G\ntenant-memory-high-max = 2G\n", "tenant-memory-high-max 2147483648", "more");
    (void) parse_ok("tenant-memory-max = 1G\ntenant-memory-swap-max = 1G\ntenant-memory-high-max = 1G\n");
    (void) parse_ok("tenant-memory-high-max = 1G\n");
}

static void test_ceilings_of_devices(void **state) {
    parse_fails("tenant-device-read-bps = /dev/nosuch:4K\n", "/dev/nosuch", "No such file");
    parse_fails("tenant-device-read-bps = /dev/null:4K\n", "/dev/null", "Block device required");
    parse_fails("tenant-device-read-bps = /etc/passwd:4K\n", "/etc/passwd", "Block device required");
    char list[512] = "tenant-device-read-bps = 9:0:4K", *end = list + strlen(list);
    for (unsigned i = 1; i < 16; i++)
        end += sprintf(end, ", 9:%u:4K", i);
    assert_int_equal(parse_ok(list).tenant_limits.cgroup.n_devices, 16);
    (void) sprintf(end, ", 9:16:4K");
    parse_fails(list, "f:1", "at most 16 disks");
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

static void test_watch(void **state) {
    static const char *const names[_FINDING_KIND_MAX] = {
        "foreign-program", "foreign-script",  "deleted-program", "preload", "refused-call",
        "hidden-process",  "foreign-process", "fork-storm",      "cpu",     "listener",
        "connection",      "disguise",
    };
    Config c = parse_ok("");
    for (FindingKind k = 0; k < _FINDING_KIND_MAX; k++)
        assert_int_equal(c.watch_actions[k], FINDING_ACTION_UNSET);
    assert_int_equal(c.watch_forks_per_second, 500);
    assert_int_equal(c.watch_cpu_seconds, 60);
    assert_int_equal(c.watch_calls_per_second, 500);
    assert_string_equal(c.quarantine, "");
    assert_true(c.quarantine_max == 1ULL << 30);
    for (FindingKind k = 0; k < _FINDING_KIND_MAX; k++) {
        char text[64];
        (void) snprintf(text, sizeof(text), "watch-%s = freeze", names[k]);
        c = parse_ok(text);
        for (FindingKind other = 0; other < _FINDING_KIND_MAX; other++)
            assert_int_equal(c.watch_actions[other], other == k ? FINDING_FREEZE_CONTAINER : FINDING_ACTION_UNSET);
    }
    assert_int_equal(parse_ok("watch-cpu = off").watch_actions[FINDING_CPU], FINDING_OFF);
    assert_int_equal(parse_ok("watch-cpu = report").watch_actions[FINDING_CPU], FINDING_REPORT);
    assert_int_equal(parse_ok("watch-cpu = kill-process").watch_actions[FINDING_CPU], FINDING_KILL_PROCESS);
    assert_int_equal(parse_ok("watch-cpu = kill").watch_actions[FINDING_CPU], FINDING_KILL_CONTAINER);
    assert_int_equal(parse_ok("watch-forks-per-second = 1").watch_forks_per_second, 1);
    assert_string_equal(parse_ok("quarantine = /var/q").quarantine, "/var/q");
    assert_true(parse_ok("quarantine-max = 2M").quarantine_max == 2U << 20);
    parse_fails("watch-cpu = killProcess", "killProcess", "kill-process, freeze or kill");
    parse_fails("watch-cpu =", "watch-cpu", "off, report");
    parse_fails("watch-nothing = off", "watch-nothing", "no key");
    parse_fails("watch-forks-per-second = 0", "watch-forks-per-second", "1 to 1000000");
    parse_fails("watch-cpu-seconds = 86401", "watch-cpu-seconds", "1 to 86400");
    parse_fails("quarantine = q", "quarantine", "absolute path");
    parse_fails("quarantine-max = 1K", "quarantine-max", "1M");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_watch),
        cmocka_unit_test(test_controls),
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_keys),
        cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_ids),
        cmocka_unit_test(test_group),
        cmocka_unit_test(test_bytes),
        cmocka_unit_test(test_load),
        cmocka_unit_test(test_network),
        cmocka_unit_test(test_ceilings),
        cmocka_unit_test(test_ceilings_refused),
        cmocka_unit_test(test_ceilings_that_contradict),
        cmocka_unit_test(test_ceilings_of_devices),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
