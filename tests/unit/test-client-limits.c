/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The flags of limits: what each becomes in the object Limits, what is refused, and which flag a field's error names. */

#include "client/limit-flags.h"
#include "client/report.h"
#include "proto/json.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define AT(member) offsetof(LimitFlags, member)

static const Option table[] = { LIMIT_OPTIONS(AT), OPTIONS_END };

/* The object that LINE, split at spaces, becomes; *ret is NULL if none. */
static int build(const char *line, json_object **ret, Error *reterr) {
    _cleanup_free_ char *copy = strdup(line);
    _cleanup_(strings_done) Strings operands = { 0 };
    LimitFlags flags = { 0 };
    char *argv[32], *rest = copy;
    int argc = 0;

    for (char *word; (word = strsep(&rest, " "));)
        argv[argc++] = word;
    int r = options_parse(table, &flags, argc, argv, true, &operands, reterr);
    if (r == 0)
        r = limit_flags_build(&flags, ret, reterr);
    options_done(table, &flags);
    return r;
}

static void becomes(const char *line, const char *expected) {
    _cleanup_json_ json_object *limits = NULL;
    Error error = ERROR_INIT;

    if (build(line, &limits, &error) != 0)
        fail_msg("%s: %s: %s", line, error.subject, error.message);
    assert_string_equal(json_object_to_json_string_ext(limits, JSON_C_TO_STRING_PLAIN), expected);
}

static void test_numbers(void **state) {
    becomes("-m 64M", "{\"memory\":67108864}");
    becomes("--memory 4M", "{\"memory\":4194304}");
    becomes("--memory-swap 1g", "{\"memorySwap\":1073741824}");
    becomes("--memory-high 32M", "{\"memoryHigh\":33554432}");
    becomes("--cpus 0.5", "{\"cpuQuotaPerSecUsec\":500000}");
    becomes("--cpu-weight 1", "{\"cpuWeight\":1}");
    becomes("--cpu-weight 10000", "{\"cpuWeight\":10000}");
    becomes("--io-weight 250", "{\"ioWeight\":250}");
    becomes("--pids-limit 1", "{\"pids\":1}");
    becomes("--disk 1M", "{\"disk\":1048576}");
    becomes("--disk-inodes 16", "{\"inodes\":16}");
    becomes("-m 64M --cpus 2 --pids-limit 9", "{\"memory\":67108864,\"cpuQuotaPerSecUsec\":2000000,\"pids\":9}");
}

static void test_nothing(void **state) {
    _cleanup_json_ json_object *limits = NULL;
    LimitFlags flags = { 0 };

    assert_int_equal(limit_flags_build(&flags, &limits, NULL), 0);
    assert_null(limits);
}

static void test_cpus_by_list(void **state) {
    becomes("--cpuset-cpus 0", "{\"cpusetCpus\":\"0\"}");
    becomes("--cpuset-cpus 0-2,5", "{\"cpusetCpus\":\"0-2,5\"}");
    becomes("--cpuset-cpus 3,1,1-1", "{\"cpusetCpus\":\"3,1,1-1\"}");
}

static void test_net_rate(void **state) {
    becomes("--net-rate 10M", "{\"netRateIn\":10000000,\"netRateOut\":10000000}");
    becomes("--net-rate in=8k", "{\"netRateIn\":8000}");
    becomes("--net-rate in=none,out=8k", "{\"unlimited\":[\"netRateIn\"],\"netRateOut\":8000}");
}

static void test_devices(void **state) {
    becomes("--device-read-bps 8:0:1M", "{\"ioDevices\":[{\"device\":\"8:0\",\"readBps\":1048576}]}");
    becomes("--device-read-bps 8:0:1M --device-write-iops 8:16:5 --device-write-bps 8:0:4096 --device-read-iops 8:16:2",
            "{\"ioDevices\":[{\"device\":\"8:0\",\"readBps\":1048576,\"writeBps\":4096},"
            "{\"device\":\"8:16\",\"readIops\":2,\"writeIops\":5}]}");
    /* as with other flags, the last one counts */
    becomes("--device-read-bps 8:0:1M --device-read-bps 8:0:2M",
            "{\"ioDevices\":[{\"device\":\"8:0\",\"readBps\":2097152}]}");
}

static void test_none(void **state) {
    static const char *const pairs[][2] = {
        { "-m none", "memory" },
        { "--memory-swap none", "memorySwap" },
        { "--memory-swap -1", "memorySwap" },
        { "--memory-high none", "memoryHigh" },
        { "--cpus none", "cpuQuotaPerSecUsec" },
        { "--cpu-weight none", "cpuWeight" },
        { "--cpuset-cpus none", "cpusetCpus" },
        { "--pids-limit none", "pids" },
        { "--pids-limit -1", "pids" },
        { "--io-weight none", "ioWeight" },
        { "--disk none", "disk" },
        { "--disk-inodes none", "inodes" },
        { "--device-read-bps none", "ioDevices" },
        { "--device-write-iops none --device-read-bps none", "ioDevices" },
    };

    for (size_t i = 0; i < ELEMENTSOF(pairs); i++) {
        char expected[64];
        (void) snprintf(expected, sizeof(expected), "{\"unlimited\":[\"%s\"]}", pairs[i][1]);
        becomes(pairs[i][0], expected);
    }
    becomes("--net-rate none", "{\"unlimited\":[\"netRateIn\",\"netRateOut\"]}");
    becomes("-m none --pids-limit none --cpus 1",
            "{\"unlimited\":[\"memory\",\"pids\"],\"cpuQuotaPerSecUsec\":1000000}");
}

static void test_refused(void **state) {
    static const struct {
        const char *line, *flag, *message;
    } wrong[] = {
        { "-m 0", "-m/--memory", "4194304 bytes or more" },
        { "-m 4194303", "-m/--memory", "4194304 bytes or more" },
        { "-m -1", "-m/--memory", "\"-1\" is not a size" },
        { "-m 64X", "-m/--memory", "64M" },
        { "-m 9999999999g", "-m/--memory", "too large" },
        { "--memory-swap 0", "--memory-swap", "4194304" },
        { "--memory-swap -2", "--memory-swap", "-2" },
        { "--memory-high 0", "--memory-high", "\"0\" is too little" },
        { "--cpus 0", "--cpus", "0.01 or more" },
        { "--cpus 0.009", "--cpus", "0.01 or more" },
        { "--cpus -1", "--cpus", "such as 2 or 0.5" },
        { "--cpu-weight 0", "--cpu-weight", "1 to 10000" },
        { "--cpu-weight 10001", "--cpu-weight", "1 to 10000" },
        { "--cpu-weight x", "--cpu-weight", "whole number" },
        { "--io-weight 0", "--io-weight", "1 to 10000" },
        { "--io-weight 10001", "--io-weight", "1 to 10000" },
        { "--cpuset-cpus ", "--cpuset-cpus", "0-2,5" },
        { "--cpuset-cpus a", "--cpuset-cpus", "0-2,5" },
        { "--cpuset-cpus -1", "--cpuset-cpus", "0-2,5" },
        { "--cpuset-cpus 1-", "--cpuset-cpus", "0-2,5" },
        { "--cpuset-cpus 2-1", "--cpuset-cpus", "0-2,5" },
        { "--cpuset-cpus 1,,2", "--cpuset-cpus", "0-2,5" },
        { "--cpuset-cpus 1,", "--cpuset-cpus", "0-2,5" },
        { "--cpuset-cpus 1;2", "--cpuset-cpus", "0-2,5" },
        { "--cpuset-cpus 999999", "--cpuset-cpus", "0-2,5" },
        { "--pids-limit 0", "--pids-limit", "1 or more" },
        { "--pids-limit -2", "--pids-limit", "1 or more" },
        { "--pids-limit 1k", "--pids-limit", "whole number" },
        { "--disk 0", "--disk", "1048576 bytes or more" },
        { "--disk 1048575", "--disk", "1048576 bytes or more" },
        { "--disk-inodes 15", "--disk-inodes", "16 or more" },
        { "--net-rate 7999", "--net-rate", "8000 bits per second" },
        { "--net-rate 10X", "--net-rate", "10M" },
        { "--device-read-bps 8:0:1", "--device-read-bps", "4096" },
        { "--device-write-bps /dev/null:1M", "--device-write-bps", "/dev/null is not a block device" },
        { "--device-read-iops 8:0:1", "--device-read-iops", "2 or more" },
        { "--device-write-iops 8:0", "--device-write-iops", "DEVICE:OPERATIONS" },
        { "--device-read-bps none --device-write-bps 8:0:1M", "--device-read-bps", "--device-write-bps sets one" },
        { "-m nONE", "-m/--memory", "not a size" },
    };

    for (size_t i = 0; i < ELEMENTSOF(wrong); i++) {
        json_object *limits = NULL;
        Error error = ERROR_INIT;
        if (build(wrong[i].line, &limits, &error) != -EINVAL)
            fail_msg("\"%s\" was taken", wrong[i].line);
        assert_null(limits);
        assert_int_equal(error.kind, ERROR_INVALID_SPEC);
        assert_string_equal(error.subject, wrong[i].flag);
        if (!strstr(error.message, wrong[i].message))
            fail_msg("\"%s\": %s", wrong[i].line, error.message);
    }
}

/* What the daemon refuses names the flag too. */
static void test_flags_of_fields(void **state) {
    static const char *const pairs[][2] = {
        { "limits.memory", "-m/--memory" },
        { "limits.memorySwap", "--memory-swap" },
        { "limits.memoryHigh", "--memory-high" },
        { "limits.cpuQuotaPerSecUsec", "--cpus" },
        { "limits.cpuWeight", "--cpu-weight" },
        { "limits.cpusetCpus", "--cpuset-cpus" },
        { "limits.pids", "--pids-limit" },
        { "limits.ioWeight", "--io-weight" },
        { "limits.ioDevices[0].readBps", "--device-read-bps" },
        { "limits.ioDevices[15].writeIops", "--device-write-iops" },
        { "limits.ioDevices[1].device", "--device-read-bps and its like" },
        { "limits.ioDevices", "--device-read-bps and its like" },
        { "limits.disk", "--disk" },
        { "limits.inodes", "--disk-inodes" },
        { "limits.netRateIn", "--net-rate" },
        { "limits.netRateOut", "--net-rate" },
        { "ports[2].host", "-p/--publish" },
        { "tmpfs[0].inodes", "--tmpfs" },
    };

    for (size_t i = 0; i < ELEMENTSOF(pairs); i++) {
        const char *flag = report_flag_of_field(pairs[i][0]);
        if (!flag)
            fail_msg("%s has no flag", pairs[i][0]);
        assert_string_equal(flag, pairs[i][1]);
    }
    assert_null(report_flag_of_field("limits"));
    assert_null(report_flag_of_field("limits.memor"));
    assert_null(report_flag_of_field("limits.memoryX"));
}

static void test_describe(void **state) {
    static const struct {
        const char *name;
        int64_t value;
        const char *expected;
    } pairs[] = {
        { "memory", 536870912, "512MiB" },
        { "cpuQuotaPerSecUsec", 1500000, "1.5 CPUs" },
        { "netRateIn", 8000, "8000 bit/s" },
        { "pids", 100, "100" },
    };

    for (size_t i = 0; i < ELEMENTSOF(pairs); i++) {
        _cleanup_json_ json_object *value = json_object_new_int64(pairs[i].value);
        char text[64];
        limit_flags_describe(pairs[i].name, value, text, sizeof(text));
        assert_string_equal(text, pairs[i].expected);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_numbers),  cmocka_unit_test(test_nothing),         cmocka_unit_test(test_cpus_by_list),
        cmocka_unit_test(test_net_rate), cmocka_unit_test(test_devices),         cmocka_unit_test(test_none),
        cmocka_unit_test(test_refused),  cmocka_unit_test(test_flags_of_fields), cmocka_unit_test(test_describe),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
