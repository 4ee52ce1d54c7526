/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Limits from a request: what each field becomes and what is refused; what Update leaves as it was; and ceilings, which
 * bind what was asked for and become what was not.
 */

#include "proto/interface.h"
#include "proto/json.h"
#include "rpc/limits-spec.h"
#include "rpc/render.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#define MIB  (1024ULL * 1024)
#define NONE CONTAINER_LIMIT_NONE

static const SandboxSpec bridged = { .network = SANDBOX_NETWORK_BRIDGE };
static const SandboxSpec plain = { .network = SANDBOX_NETWORK_NONE };
static const SandboxSpec read_only = { .network = SANDBOX_NETWORK_BRIDGE, .read_only = true };

static json_object *read_json(const char *text) {
    json_object *o = NULL;
    Error e = ERROR_INIT;
    if (json_read(text, strlen(text), &JSON_BOUNDS_CALL, &o, &e) < 0)
        fail_msg("%s: %s", text, e.message);
    return o;
}

/* As Run (FORMER is NULL) or Update, held to CEILINGS if there are any. */
static int try(const char *text, const SandboxSpec *sandbox, const ContainerLimits *former,
               const ContainerLimits *ceilings, ContainerLimits *ret, Error *e) {
    _cleanup_json_ json_object *o = read_json(text);
    ContainerEnvironment environment = { .tenant_limits = ceilings ? *ceilings : CONTAINER_LIMITS_NONE };
    *ret = former ? *former : limits_spec_default();
    int r = limits_spec_parse(o, sandbox, ret, e);
    if (r < 0 || !ceilings)
        return r;
    ContainerLimits concerned = limits_spec_ceilings(&environment, sandbox);
    return container_limits_hold(ret, limits_spec_asked(o), former, &concerned, e);
}

static ContainerLimits get(const char *text, const SandboxSpec *sandbox, const ContainerLimits *former,
                           const ContainerLimits *ceilings) {
    ContainerLimits l;
    Error e = ERROR_INIT;
    if (try(text, sandbox, former, ceilings, &l, &e) < 0)
        fail_msg("%s: %s %s", text, e.subject, e.message);
    return l;
}

/* Refused with FIELD, and with WORDS among the reason; and nothing has been changed. */
static void refused(const char *text, const SandboxSpec *sandbox, const ContainerLimits *former,
                    const ContainerLimits *ceilings, const char *field, const char *words) {
    ContainerLimits l, before = former ? *former : limits_spec_default();
    Error e = ERROR_INIT;
    if (try(text, sandbox, former, ceilings, &l, &e) >= 0)
        fail_msg("accepted: %s", text);
    assert_int_equal(e.kind, ERROR_INVALID_SPEC);
    if (strcmp(e.subject, field) != 0 || !strstr(e.message, words))
        fail_msg("%s: expected %s: ...%s..., got %s: %s", text, field, words, e.subject, e.message);
    if (!ceilings)
        assert_memory_equal(&l, &before, sizeof(l));
}

static void run_refused(const char *text, const char *field, const char *words) {
    refused(text, &bridged, NULL, NULL, field, words);
}

static ContainerLimits run(const char *text) {
    return get(text, &bridged, NULL, NULL);
}

/* ---- parsing ---- */

static void test_table(void **state) {
    /* every number of the interface's Limits is in the table, and nothing else */
    static const char *const others[] = { "cpusetCpus", "ioDevices", "unlimited" };
    const InterfaceField *in = interface_method(&interface_io_kennel, "Update")->in;
    while (strcmp(in->name, "limits") != 0)
        in++;
    size_t n = 0, numbers = 0;
    for (const InterfaceField *f = in->type->fields; f->name; f++, n++) {
        bool found = false;
        for (const ContainerLimitField *k = container_limit_fields; k->name; k++)
            found |= strcmp(k->name, f->name) == 0;
        for (size_t i = 0; i < ELEMENTSOF(others); i++)
            found |= strcmp(others[i], f->name) == 0;
        if (!found)
            fail_msg("%s is not in the table", f->name);
    }
    for (const ContainerLimitField *k = container_limit_fields; k->name; k++)
        numbers++;
    assert_int_equal(numbers + ELEMENTSOF(others), n);
}

static void test_defaults(void **state) {
    ContainerLimits l = run("{}");
    assert_int_equal(l.cgroup.pids, 1024);
    assert_int_equal(l.cgroup.memory_swap, 0);
    assert_true(l.cgroup.memory == NONE && l.cgroup.memory_high == NONE && l.cgroup.cpu_quota_per_sec_usec == NONE);
    assert_true(l.cgroup.cpu_weight == NONE && l.cgroup.io_weight == NONE && l.storage.bytes == NONE);
    assert_true(l.storage.inodes == NONE && l.network.in == NONE && l.network.out == NONE);
    assert_int_equal(l.cgroup.n_devices, 0);
    assert_string_equal(l.cgroup.cpuset, "");
    assert_int_equal(limits_spec_asked(NULL), 0);
}

static const char everything[] =
    "{\"memory\":4194304,\"memorySwap\":8388608,\"memoryHigh\":4194304,\"cpuQuotaPerSecUsec\":10000,"
    "\"cpuWeight\":1,\"cpusetCpus\":\"2,0-1,1\",\"pids\":1,\"ioWeight\":10000,"
    "\"ioDevices\":[{\"device\":\"8:16\",\"readBps\":4096,\"writeIops\":2}],"
    "\"disk\":1048576,\"inodes\":16,\"netRateIn\":8000,\"netRateOut\":1000000000000}";

static void test_values(void **state) {
    ContainerLimits l = run(everything);
    assert_int_equal(l.cgroup.memory, 4 * MIB);
    assert_int_equal(l.cgroup.memory_swap, 8 * MIB);
    assert_int_equal(l.cgroup.memory_high, 4 * MIB);
    assert_int_equal(l.cgroup.cpu_quota_per_sec_usec, 10000);
    assert_int_equal(l.cgroup.cpu_weight, 1);
    assert_string_equal(l.cgroup.cpuset, "0-2");
    assert_int_equal(l.cgroup.pids, 1);
    assert_int_equal(l.cgroup.io_weight, 10000);
    assert_int_equal(l.cgroup.n_devices, 1);
    const CgroupDeviceLimits *d = &l.cgroup.devices[0];
    assert_true(d->major == 8 && d->minor == 16 && d->read_bps == 4096 && d->write_iops == 2);
    assert_true(d->write_bps == NONE && d->read_iops == NONE);
    assert_int_equal(l.storage.bytes, MIB);
    assert_int_equal(l.storage.inodes, 16);
    assert_int_equal(l.network.in, 8000);
    assert_true(l.network.out == 1000000000000);
    _cleanup_json_ json_object *o = read_json(everything);
    assert_int_equal(limits_spec_asked(o), 0x7FFU | CONTAINER_LIMIT_BIT(62) | CONTAINER_LIMIT_BIT(63));
}

static void test_ranges(void **state) {
    static const struct {
        const char *name, *least, *below, *above; /* above: NULL where only the host is the end */
    } fields[] = {
        { "memory", "4194304", "4194303", NULL },
        { "memorySwap", "4194304", "4194303", NULL },
        { "memoryHigh", "4194304", "4194303", NULL },
        { "cpuQuotaPerSecUsec", "10000", "9999", NULL },
        { "cpuWeight", "1 to 10000", "0", "10001" },
        { "pids", "1 to 4194304", "0", "4194305" },
        { "ioWeight", "1 to 10000", "0", "10001" },
        { "disk", "1048576", "1048575", NULL },
        { "inodes", "16", "15", NULL },
        { "netRateIn", "8000 to 1000000000000", "7999", "1000000000001" },
        { "netRateOut", "8000 to 1000000000000", "7999", "1000000000001" },
    };
    for (size_t i = 0; i < ELEMENTSOF(fields); i++) {
        const char *const wrong[] = { "0", "-1", "-9223372036854775808", fields[i].below, fields[i].above };
        for (size_t k = 0; k < ELEMENTSOF(wrong) && wrong[k]; k++) {
            char text[128], field[64], value[64];
            (void) snprintf(text, sizeof(text), "{\"%s\":%s}", fields[i].name, wrong[k]);
            (void) snprintf(field, sizeof(field), "limits.%s", fields[i].name);
            (void) snprintf(value, sizeof(value), "is %s; ", wrong[k]);
            run_refused(text, field, value);
            run_refused(text, field, fields[i].least);
        }
    }
}

static void test_cpuset(void **state) {
    static const char *const wrong[] = { "", " ", "0-", "-1", "3-1", "0,,1", "a", "0;1", "0 1", "0-1-2", "0x1" };
    for (size_t i = 0; i < ELEMENTSOF(wrong); i++) {
        char text[128];
        (void) snprintf(text, sizeof(text), "{\"cpusetCpus\":\"%s\"}", wrong[i]);
        run_refused(text, "limits.cpusetCpus", "a list of CPUs such as");
    }
    run_refused("{\"cpusetCpus\":\"0,8192\"}", "limits.cpusetCpus", "8191");
    char list[2048] = "{\"cpusetCpus\":\"0", *end = list + strlen(list);
    for (unsigned i = 2; i < 200; i += 2)
        end += snprintf(end, sizeof(list) - (size_t) (end - list), ",%u", i);
    (void) snprintf(end, sizeof(list) - (size_t) (end - list), "\"}");
    run_refused(list, "limits.cpusetCpus", "too long");
}

static void test_devices(void **state) {
    static const char *const wrong[] = { "",
                                         "8",
                                         "8:",
                                         ":8",
                                         "8:0:0",
                                         "/dev/vda",
                                         " 8:0",
                                         "8:0 ",
                                         "+8:0",
                                         "8:-1",
                                         "0x8:0",
                                         "8.0",
                                         "4096:0",
                                         "8:1048576",
                                         "sda",
                                         "8:0,8:1",
                                         "8:99999999999999999999" };
    for (size_t i = 0; i < ELEMENTSOF(wrong); i++) {
        char text[128];
        (void) snprintf(text, sizeof(text), "{\"ioDevices\":[{\"device\":\"%s\",\"readBps\":4096}]}", wrong[i]);
        run_refused(text, "limits.ioDevices[0].device", "MAJOR:MINOR");
    }
    run_refused("{\"ioDevices\":[{\"device\":\"8:0\",\"readBps\":4096},{\"device\":\"8:16\"}]}", "limits.ioDevices[1]",
                "one at least");
    run_refused("{\"ioDevices\":[{\"device\":\"8:0\",\"readBps\":4096},{\"device\":\"08:0\",\"readBps\":4096}]}",
                "limits.ioDevices[1].device", "named before");
    static const struct {
        const char *rate, *value, *words;
    } rates[] = {
        { "readBps", "0", "4096" },   { "readBps", "4095", "4096" },      { "writeBps", "-1", "4096" },
        { "readIops", "1", "2 to" },  { "readIops", "-5", "2 to" },       { "writeIops", "4294967295", "4294967294" },
        { "writeIops", "0", "2 to" }, { "writeBps", "4095", "is 4095;" },
    };
    for (size_t i = 0; i < ELEMENTSOF(rates); i++) {
        char text[128], field[64];
        (void) snprintf(text, sizeof(text), "{\"ioDevices\":[{\"device\":\"8:0\",\"%s\":%s}]}", rates[i].rate,
                        rates[i].value);
        (void) snprintf(field, sizeof(field), "limits.ioDevices[0].%s", rates[i].rate);
        run_refused(text, field, rates[i].words);
    }
    char many[2048] = "{\"ioDevices\":[", *end = many + strlen(many);
    for (unsigned i = 0; i < 17; i++)
        end += snprintf(end, sizeof(many) - (size_t) (end - many), "%s{\"device\":\"8:%u\",\"readBps\":4096}",
                        i > 0 ? "," : "", i * 16);
    (void) snprintf(end, sizeof(many) - (size_t) (end - many), "]}");
    run_refused(many, "limits.ioDevices", "17 elements; 16");
}

static void test_unlimited(void **state) {
    ContainerLimits all = run(everything);
    ContainerLimits l = get("{\"unlimited\":[\"memory\",\"memorySwap\",\"memoryHigh\",\"cpuQuotaPerSecUsec\","
                            "\"cpuWeight\",\"cpusetCpus\",\"pids\",\"ioWeight\",\"ioDevices\",\"disk\",\"inodes\","
                            "\"netRateIn\",\"netRateOut\"]}",
                            &bridged, &all, NULL);
    for (const ContainerLimitField *f = container_limit_fields; f->name; f++)
        assert_true(container_limit_get(&l, f) == NONE);
    assert_int_equal(l.cgroup.n_devices, 0);
    assert_string_equal(l.cgroup.cpuset, "");
    assert_true(run("{\"unlimited\":[\"pids\"]}").cgroup.pids == NONE);
    run_refused("{\"unlimited\":[\"pids\",\"pid\"]}", "limits.unlimited[1]", "\"pid\"");
    run_refused("{\"unlimited\":[\"unlimited\"]}", "limits.unlimited[0]", "name of a limit");
    run_refused("{\"unlimited\":[\"\"]}", "limits.unlimited[0]", "name of a limit");
    run_refused("{\"unlimited\":[\"Memory\"]}", "limits.unlimited[0]", "name of a limit");
    run_refused("{\"unlimited\":[\"pids\",\"disk\",\"pids\"]}", "limits.unlimited[2]", "before");
    run_refused("{\"pids\":5,\"unlimited\":[\"pids\"]}", "limits.unlimited[0]", "at the same time");
    run_refused("{\"cpusetCpus\":\"0\",\"unlimited\":[\"cpusetCpus\"]}", "limits.unlimited[0]", "at the same time");
    run_refused("{\"ioDevices\":[{\"device\":\"8:0\",\"readBps\":4096}],\"unlimited\":[\"ioDevices\"]}",
                "limits.unlimited[0]", "at the same time");
}

static void test_what_there_is(void **state) {
    refused("{\"netRateIn\":8000}", &plain, NULL, NULL, "limits.netRateIn", "\"bridge\"");
    refused("{\"netRateOut\":8000}", &plain, NULL, NULL, "limits.netRateOut", "\"bridge\"");
    refused("{\"disk\":1048576}", &read_only, NULL, NULL, "limits.disk", "readOnly");
    refused("{\"inodes\":16}", &read_only, NULL, NULL, "limits.inodes", "readOnly");
    /* that there is none is true anyway */
    (void) get("{\"unlimited\":[\"netRateIn\",\"disk\"]}", &(SandboxSpec){ .read_only = true }, NULL, NULL);
}

/* ---- Update ---- */

static void test_update_keeps(void **state) {
    ContainerLimits all = run(everything);
    ContainerLimits l = get("{}", &bridged, &all, NULL);
    assert_memory_equal(&l, &all, sizeof(l));
    l = get("{\"pids\":7}", &bridged, &all, NULL);
    assert_int_equal(l.cgroup.pids, 7);
    l.cgroup.pids = all.cgroup.pids;
    assert_memory_equal(&l, &all, sizeof(l));
    refused("{\"memory\":8388608,\"pids\":0}", &bridged, &all, NULL, "limits.pids", "is 0");
}

static void test_update_merges_devices(void **state) {
    ContainerLimits old = run("{\"ioDevices\":[{\"device\":\"8:0\",\"readBps\":4096,\"writeBps\":8192},"
                              "{\"device\":\"8:16\",\"readIops\":5}]}");
    ContainerLimits l = get("{\"ioDevices\":[{\"device\":\"8:32\",\"writeIops\":3},"
                            "{\"device\":\"8:16\",\"writeIops\":9}]}",
                            &bridged, &old, NULL);
    assert_int_equal(l.cgroup.n_devices, 3);
    /* those of the call first and in its order: an error names them by their place there */
    assert_int_equal(l.cgroup.devices[0].minor, 32);
    assert_int_equal(l.cgroup.devices[1].minor, 16);
    assert_true(l.cgroup.devices[1].read_iops == 5 && l.cgroup.devices[1].write_iops == 9);
    assert_int_equal(l.cgroup.devices[2].minor, 0);
    assert_true(l.cgroup.devices[2].read_bps == 4096 && l.cgroup.devices[2].write_bps == 8192);
    l = get("{\"ioDevices\":[{\"device\":\"8:0\",\"readBps\":5000}]}", &bridged, &old, NULL);
    assert_true(l.cgroup.devices[0].read_bps == 5000 && l.cgroup.devices[0].write_bps == 8192);
    /* an empty list says nothing */
    l = get("{\"ioDevices\":[]}", &bridged, &old, NULL);
    assert_memory_equal(&l, &old, sizeof(l));
    _cleanup_json_ json_object *o = read_json("{\"ioDevices\":[]}");
    assert_int_equal(limits_spec_asked(o), 0);
    l = get("{\"unlimited\":[\"ioDevices\"]}", &bridged, &old, NULL);
    assert_int_equal(l.cgroup.n_devices, 0);
    for (unsigned i = 2; i < 16; i++)
        (void) container_limits_device(&old, 8, i * 16);
    assert_int_equal(old.cgroup.n_devices, 16);
    refused("{\"ioDevices\":[{\"device\":\"9:0\",\"readBps\":4096}]}", &bridged, &old, NULL, "limits.ioDevices", "16");
}

/* ---- ceilings ---- */

static void test_no_ceilings(void **state) {
    ContainerLimits none = CONTAINER_LIMITS_NONE, free = run(everything);
    ContainerLimits l = get(everything, &bridged, NULL, &none);
    assert_memory_equal(&l, &free, sizeof(l));
    l = get("{\"memorySwap\":8388608,\"unlimited\":[\"pids\",\"cpusetCpus\",\"ioDevices\"]}", &bridged, NULL, &none);
    assert_true(l.cgroup.pids == NONE && l.cgroup.memory_swap == 8 * MIB && l.cgroup.memory == NONE);
}

/* Numbers for which more is simply more. */
static void test_plain_ceilings(void **state) {
    static const char *const names[] = { "memory", "memoryHigh", "cpuQuotaPerSecUsec", "pids",
                                         "disk",   "inodes",     "netRateIn",          "netRateOut" };
    for (size_t i = 0; i < ELEMENTSOF(names); i++) {
        const ContainerLimitField *f = container_limit_fields;
        while (strcmp(f->name, names[i]) != 0)
            f++;
        ContainerLimits ceilings = CONTAINER_LIMITS_NONE, l;
        char text[128], field[64];
        *container_limit(&ceilings, f) = 9000000;
        if (strcmp(names[i], "pids") == 0) /* above its default */
            *container_limit(&ceilings, f) = 1000;
        unsigned long long most = *container_limit(&ceilings, f);
        (void) snprintf(field, sizeof(field), "limits.%s", names[i]);
        /* not asked for: the ceiling */
        l = get("{}", &bridged, NULL, &ceilings);
        assert_int_equal(container_limit_get(&l, f), most);
        /* up to it: as asked */
        (void) snprintf(text, sizeof(text), "{\"%s\":%llu}", names[i], most);
        l = get(text, &bridged, NULL, &ceilings);
        assert_int_equal(container_limit_get(&l, f), most);
        /* above: refused, with the most that there is */
        (void) snprintf(text, sizeof(text), "{\"%s\":%llu}", names[i], most + 1);
        char words[64];
        (void) snprintf(words, sizeof(words), "%llu at most", most);
        refused(text, &bridged, NULL, &ceilings, field, words);
        (void) snprintf(text, sizeof(text), "{\"unlimited\":[\"%s\"]}", names[i]);
        refused(text, &bridged, NULL, &ceilings, field, words);
        refused(text, &bridged, NULL, &ceilings, field, "without a limit");
    }
}

static void test_lower_default_stays(void **state) {
    ContainerLimits ceilings = CONTAINER_LIMITS_NONE;
    ceilings.cgroup.pids = 5000;
    assert_int_equal(get("{}", &bridged, NULL, &ceilings).cgroup.pids, 1024);
    assert_int_equal(get("{\"pids\":5000}", &bridged, NULL, &ceilings).cgroup.pids, 5000);
}

static void test_weights(void **state) {
    ContainerLimits ceilings = CONTAINER_LIMITS_NONE;
    ceilings.cgroup.cpu_weight = 50;
    ceilings.cgroup.io_weight = 500;
    ContainerLimits l = get("{}", &bridged, NULL, &ceilings);
    assert_int_equal(l.cgroup.cpu_weight, 50); /* less than the 100 that it would have been */
    assert_true(l.cgroup.io_weight == NONE);   /* 100 is below the ceiling */
    assert_int_equal(get("{\"ioWeight\":500}", &bridged, NULL, &ceilings).cgroup.io_weight, 500);
    assert_true(get("{\"unlimited\":[\"ioWeight\"]}", &bridged, NULL, &ceilings).cgroup.io_weight == NONE);
    refused("{\"ioWeight\":501}", &bridged, NULL, &ceilings, "limits.ioWeight", "500 at most");
    refused("{\"cpuWeight\":51}", &bridged, NULL, &ceilings, "limits.cpuWeight", "50 at most");
    refused("{\"unlimited\":[\"cpuWeight\"]}", &bridged, NULL, &ceilings, "limits.cpuWeight", "50 at most");
    ceilings.cgroup.cpu_weight = 100;
    assert_true(get("{}", &bridged, NULL, &ceilings).cgroup.cpu_weight == NONE);
}

static void test_ceiling_on_memory_means_no_swap(void **state) {
    ContainerLimits ceilings = CONTAINER_LIMITS_NONE;
    ceilings.cgroup.memory = 64 * MIB;
    refused("{\"memorySwap\":67108865}", &bridged, NULL, &ceilings, "limits.memorySwap", "67108864 at most");
    refused("{\"memory\":33554432,\"memorySwap\":67108864}", &bridged, NULL, &ceilings, "limits.memorySwap", "no swap");
    refused("{\"unlimited\":[\"memorySwap\"]}", &bridged, NULL, &ceilings, "limits.memorySwap", "without a limit");
    ContainerLimits l = get("{\"memory\":33554432,\"memorySwap\":33554432}", &bridged, NULL, &ceilings);
    assert_true(l.cgroup.memory == 32 * MIB && l.cgroup.memory_swap == 0);
    /* the sum alone: memory is not the ceiling, which would be more */
    l = get("{\"memorySwap\":33554432}", &bridged, NULL, &ceilings);
    assert_true(l.cgroup.memory == 32 * MIB && l.cgroup.memory_swap == 0);
    l = get("{}", &bridged, NULL, &ceilings);
    assert_true(l.cgroup.memory == 64 * MIB && l.cgroup.memory_swap == 0);
}

static void test_ceiling_on_swap(void **state) {
    ContainerLimits ceilings = CONTAINER_LIMITS_NONE, l;
    ceilings.cgroup.memory = 64 * MIB;
    ceilings.cgroup.memory_swap = 128 * MIB;
    l = get("{\"memorySwap\":134217728}", &bridged, NULL, &ceilings);
    assert_true(l.cgroup.memory == 64 * MIB && l.cgroup.memory_swap == 128 * MIB);
    l = get("{\"memory\":33554432,\"memorySwap\":134217728}", &bridged, NULL, &ceilings);
    assert_true(l.cgroup.memory == 32 * MIB && l.cgroup.memory_swap == 128 * MIB);
    refused("{\"memorySwap\":134217729}", &bridged, NULL, &ceilings, "limits.memorySwap", "134217728 at most");
    refused("{\"unlimited\":[\"memorySwap\"]}", &bridged, NULL, &ceilings, "limits.memorySwap", "134217728 at most");
    /* nobody gets swap without asking */
    l = get("{}", &bridged, NULL, &ceilings);
    assert_true(l.cgroup.memory == 64 * MIB && l.cgroup.memory_swap == 0);
}

/* Lowering memory must not make swap of what was memory. */
static void test_swap_in_update(void **state) {
    ContainerLimits ceilings = CONTAINER_LIMITS_NONE, former = run("{\"memory\":67108864,\"memorySwap\":67108864}");
    ceilings.cgroup.memory = 64 * MIB;
    refused("{\"memory\":33554432}", &bridged, &former, &ceilings, "limits.memorySwap", "33554432 at most");
    ContainerLimits l = get("{\"memory\":33554432,\"memorySwap\":33554432}", &bridged, &former, &ceilings);
    assert_true(l.cgroup.memory == 32 * MIB && l.cgroup.memory_swap == 0);
    /* who was held from the start never gets there */
    former = get("{\"memory\":67108864,\"memorySwap\":67108864}", &bridged, NULL, &ceilings);
    l = get("{\"memory\":33554432}", &bridged, &former, &ceilings);
    assert_true(l.cgroup.memory == 32 * MIB && l.cgroup.memory_swap == 0);
    /* and what root has given stays while memory does */
    former = run("{\"memory\":67108864,\"memorySwap\":134217728}");
    l = get("{\"pids\":5}", &bridged, &former, &ceilings);
    assert_int_equal(l.cgroup.memory_swap, 128 * MIB);
}

static void test_memory_high(void **state) {
    ContainerLimits ceilings = CONTAINER_LIMITS_NONE, l;
    ceilings.cgroup.memory_high = 32 * MIB;
    assert_int_equal(get("{}", &bridged, NULL, &ceilings).cgroup.memory_high, 32 * MIB);
    /* memory that ends below it needs none, and one above memory would be refused */
    l = get("{\"memory\":16777216}", &bridged, NULL, &ceilings);
    assert_true(l.cgroup.memory_high == NONE);
    l = get("{\"memory\":16777216,\"unlimited\":[\"memoryHigh\"]}", &bridged, NULL, &ceilings);
    assert_true(l.cgroup.memory_high == NONE);
    refused("{\"memory\":67108864,\"unlimited\":[\"memoryHigh\"]}", &bridged, NULL, &ceilings, "limits.memoryHigh",
            "33554432 at most");
    /* nor is that a way around it */
    ContainerLimits former = get("{\"memory\":16777216}", &bridged, NULL, &ceilings);
    l = get("{\"memory\":67108864}", &bridged, &former, &ceilings);
    assert_int_equal(l.cgroup.memory_high, 32 * MIB);
    l = get("{\"unlimited\":[\"memory\"]}", &bridged, &former, &ceilings);
    assert_int_equal(l.cgroup.memory_high, 32 * MIB);
    /* what root has set stays */
    former = run("{\"memory\":134217728,\"memoryHigh\":67108864}");
    l = get("{\"memory\":100000000}", &bridged, &former, &ceilings);
    assert_int_equal(l.cgroup.memory_high, 64 * MIB);
}

static void test_cpuset_ceiling(void **state) {
    ContainerLimits ceilings = CONTAINER_LIMITS_NONE;
    (void) snprintf(ceilings.cgroup.cpuset, sizeof(ceilings.cgroup.cpuset), "1-3,8");
    assert_string_equal(get("{}", &bridged, NULL, &ceilings).cgroup.cpuset, "1-3,8");
    assert_string_equal(get("{\"cpusetCpus\":\"8,2-3\"}", &bridged, NULL, &ceilings).cgroup.cpuset, "2-3,8");
    refused("{\"cpusetCpus\":\"0-1\"}", &bridged, NULL, &ceilings, "limits.cpusetCpus", "CPU 0; ");
    refused("{\"cpusetCpus\":\"3-4\"}", &bridged, NULL, &ceilings, "limits.cpusetCpus", "\"1-3,8\"");
    refused("{\"cpusetCpus\":\"9\"}", &bridged, NULL, &ceilings, "limits.cpusetCpus", "CPU 9; ");
    refused("{\"unlimited\":[\"cpusetCpus\"]}", &bridged, NULL, &ceilings, "limits.cpusetCpus", "\"1-3,8\"");
    ContainerLimits former = run("{\"cpusetCpus\":\"0\"}");
    assert_string_equal(get("{\"pids\":5}", &bridged, &former, &ceilings).cgroup.cpuset, "0");
    refused("{\"cpusetCpus\":\"0\"}", &bridged, &former, &ceilings, "limits.cpusetCpus", "CPU 0; ");
}

static ContainerLimits device_ceilings(void) {
    ContainerLimits c = CONTAINER_LIMITS_NONE;
    CgroupDeviceLimits *d = container_limits_device(&c, 8, 0);
    d->read_bps = 10000;
    d->write_iops = 50;
    container_limits_device(&c, 8, 16)->write_bps = 20000;
    return c;
}

static void test_device_ceilings(void **state) {
    ContainerLimits ceilings = device_ceilings(), l = get("{}", &bridged, NULL, &ceilings);
    assert_int_equal(l.cgroup.n_devices, 2);
    assert_memory_equal(l.cgroup.devices, ceilings.cgroup.devices, 2 * sizeof(CgroupDeviceLimits));
    /* below, another disk, a rate that has no ceiling; what is not named becomes the ceiling */
    l = get("{\"ioDevices\":[{\"device\":\"8:32\",\"readBps\":99999},"
            "{\"device\":\"8:0\",\"readBps\":9000,\"writeBps\":77777}]}",
            &bridged, NULL, &ceilings);
    assert_int_equal(l.cgroup.n_devices, 3);
    assert_true(l.cgroup.devices[1].read_bps == 9000 && l.cgroup.devices[1].write_bps == 77777);
    assert_true(l.cgroup.devices[1].write_iops == 50 && l.cgroup.devices[1].read_iops == NONE);
    assert_true(l.cgroup.devices[0].read_bps == 99999 && l.cgroup.devices[0].write_bps == NONE);
    assert_true(l.cgroup.devices[2].minor == 16 && l.cgroup.devices[2].write_bps == 20000);
    refused("{\"ioDevices\":[{\"device\":\"8:32\",\"readBps\":99999},{\"device\":\"8:0\",\"readBps\":10001}]}",
            &bridged, NULL, &ceilings, "limits.ioDevices[1].readBps", "10000 at most");
    refused("{\"ioDevices\":[{\"device\":\"8:0\",\"writeIops\":51}]}", &bridged, NULL, &ceilings,
            "limits.ioDevices[0].writeIops", "50 at most");
    refused("{\"unlimited\":[\"ioDevices\"]}", &bridged, NULL, &ceilings, "limits.ioDevices", "8:0");
    char many[2048] = "{\"ioDevices\":[", *end = many + strlen(many);
    for (unsigned i = 0; i < 15; i++)
        end += snprintf(end, sizeof(many) - (size_t) (end - many), "%s{\"device\":\"9:%u\",\"readBps\":4096}",
                        i > 0 ? "," : "", i);
    (void) snprintf(end, sizeof(many) - (size_t) (end - many), "]}");
    refused(many, &bridged, NULL, &ceilings, "limits.ioDevices", "16 at most");
}

static void test_devices_in_update(void **state) {
    ContainerLimits ceilings = device_ceilings(), former = get("{}", &bridged, NULL, &ceilings), l;
    l = get("{\"ioDevices\":[{\"device\":\"8:16\",\"writeBps\":5000}]}", &bridged, &former, &ceilings);
    assert_int_equal(l.cgroup.n_devices, 2);
    assert_true(l.cgroup.devices[0].minor == 16 && l.cgroup.devices[0].write_bps == 5000);
    refused("{\"ioDevices\":[{\"device\":\"8:16\",\"writeBps\":20001}]}", &bridged, &former, &ceilings,
            "limits.ioDevices[0].writeBps", "20000 at most");
    refused("{\"unlimited\":[\"ioDevices\"]}", &bridged, &former, &ceilings, "limits.ioDevices", "without a limit");
    /* root has given more: that stays, and is no reason to refuse something else */
    former.cgroup.devices[0].read_bps = 1000000;
    l = get("{\"ioDevices\":[{\"device\":\"8:0\",\"writeIops\":7}]}", &bridged, &former, &ceilings);
    assert_true(l.cgroup.devices[0].read_bps == 1000000 && l.cgroup.devices[0].write_iops == 7);
    l = get("{\"pids\":7}", &bridged, &former, &ceilings);
    assert_int_equal(l.cgroup.devices[0].read_bps, 1000000);
    refused("{\"ioDevices\":[{\"device\":\"8:0\",\"readBps\":999999}]}", &bridged, &former, &ceilings,
            "limits.ioDevices[0].readBps", "10000 at most");
}

/* What the caller does not give stays, be it above a ceiling. */
static void test_update_under_ceilings(void **state) {
    ContainerLimits ceilings = CONTAINER_LIMITS_NONE, former = run(everything);
    for (const ContainerLimitField *f = container_limit_fields; f->name; f++)
        *container_limit(&ceilings, f) = 1;
    ContainerLimits l = get("{\"pids\":1}", &bridged, &former, &ceilings);
    assert_memory_equal(&l, &former, sizeof(l));
    refused("{\"pids\":2}", &bridged, &former, &ceilings, "limits.pids", "1 at most");
    refused("{\"disk\":1048576}", &bridged, &former, &ceilings, "limits.disk", "1 at most");
    refused("{\"unlimited\":[\"netRateIn\"]}", &bridged, &former, &ceilings, "limits.netRateIn", "1 at most");
}

/* Nobody is given a limit of what there is not. */
static void test_ceilings_that_do_not_concern(void **state) {
    ContainerLimits ceilings = CONTAINER_LIMITS_NONE;
    ceilings.storage = (StorageLimits){ 2 * MIB, 100 };
    ceilings.network = (NetworkRates){ 9000, 9001 };
    ContainerLimits l = get("{}", &plain, NULL, &ceilings);
    assert_true(l.network.in == NONE && l.network.out == NONE && l.storage.bytes == 2 * MIB);
    l = get("{}", &read_only, NULL, &ceilings);
    assert_true(l.storage.bytes == NONE && l.storage.inodes == NONE && l.network.in == 9000 && l.network.out == 9001);
}

/* ---- and back ---- */

static void test_render(void **state) {
    ContainerLimits l = run(everything);
    _cleanup_json_ json_object *o = render_limits(&l), *none = NULL;
    Error e = ERROR_INIT;
    const InterfaceField *out = interface_method(&interface_io_kennel, "Update")->out;
    if (interface_check(out->type->fields, o, &e) < 0)
        fail_msg("%s %s", e.subject, e.message);
    ContainerLimits again = get(json_object_to_json_string(o), &bridged, NULL, NULL);
    assert_memory_equal(&again, &l, sizeof(l));
    assert_int_equal(json_object_object_length(o), 14);
    l = CONTAINER_LIMITS_NONE;
    none = render_limits(&l);
    json_object_object_foreach(none, key, value) if (value) fail_msg("%s is %s", key, json_object_get_string(value));
    assert_int_equal(json_object_object_length(none), 14);
    /* a sum that follows memory is shown as what it is */
    l.cgroup.memory = 5 * MIB;
    json_object_putp(&o);
    o = render_limits(&l);
    assert_int_equal(json_object_get_int64(json_object_object_get(o, "memorySwap")), 5 * MIB);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table),
        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_ranges),
        cmocka_unit_test(test_cpuset),
        cmocka_unit_test(test_devices),
        cmocka_unit_test(test_unlimited),
        cmocka_unit_test(test_what_there_is),
        cmocka_unit_test(test_update_keeps),
        cmocka_unit_test(test_update_merges_devices),
        cmocka_unit_test(test_no_ceilings),
        cmocka_unit_test(test_plain_ceilings),
        cmocka_unit_test(test_lower_default_stays),
        cmocka_unit_test(test_weights),
        cmocka_unit_test(test_ceiling_on_memory_means_no_swap),
        cmocka_unit_test(test_ceiling_on_swap),
        cmocka_unit_test(test_swap_in_update),
        cmocka_unit_test(test_memory_high),
        cmocka_unit_test(test_cpuset_ceiling),
        cmocka_unit_test(test_device_ceilings),
        cmocka_unit_test(test_devices_in_update),
        cmocka_unit_test(test_update_under_ceilings),
        cmocka_unit_test(test_ceilings_that_do_not_concern),
        cmocka_unit_test(test_render),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
