/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Samples as text, parsed again with proto/json and held against what the interface says of Stats. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "account/encode.h"
#include "proto/interface.h"

#include <string.h>

#define ID   "0123456789ab"
#define NAME "web_1.a-b"

/* Every value that is known, from FIRST on: all different. */
static AccountSample known_sample(uint64_t first) {
    AccountSample s = { .timestamp_usec = first, .monotonic_usec = first + 1 };
    first += 2;
    for (size_t i = 0; i < _CGROUP_COUNTER_MAX; i++)
        s.usage.values[i] = first++;
    s.storage = (StorageUsage){ first, first + 1, first + 2, first + 3, NULL };
    first += 4;
    s.network = (NetworkUsage){ first, first + 1, first + 2, first + 3, first + 4, first + 5, first + 6, first + 7 };
    return s;
}

static AccountSample unknown_sample(void) {
    AccountSample s = { .final = true, .network_reason = "no \"network\" \\ here\n" };
    for (size_t i = 0; i < _CGROUP_COUNTER_MAX; i++) {
        s.usage.values[i] = CGROUP_UNKNOWN;
        s.usage.reasons[i] = "gone";
    }
    s.storage = (StorageUsage){ STORAGE_UNKNOWN, STORAGE_UNKNOWN, STORAGE_UNKNOWN, STORAGE_UNKNOWN, "no layer" };
    return s;
}

/* The sample as it comes out at the other end, having passed the interface's check as a reply of Stats. */
static json_object *encode(const AccountSample *s) {
    AccountText text = { 0 };
    Error error = ERROR_INIT;
    json_object *reply = NULL;
    static const char begin[] = "{\"complete\":true,\"samples\":[";
    assert_int_equal(account_text_append(&text, begin, strlen(begin)), 0);
    assert_int_equal(account_encode(s, ID, NAME, &text), 0);
    assert_int_equal(account_text_append(&text, "]}", 2), 0);
    if (json_read(text.bytes, text.size, &JSON_BOUNDS_TRUSTED, &reply, &error) < 0)
        fail_msg("%s\n%.*s", error.message, (int) text.size, text.bytes);
    if (interface_check(interface_method(&interface_io_kennel, "Stats")->out, reply, &error) < 0)
        fail_msg("%s %s\n%.*s", error.subject, error.message, (int) text.size, text.bytes);
    json_object *sample = json_object_array_get_idx(json_object_object_get(reply, "samples"), 0);
    sample = json_object_get(sample);
    json_object_put(reply);
    account_text_done(&text);
    return sample;
}

/* "io.devices.0.reads" */
static json_object *find(json_object *o, const char *path) {
    char part[64];
    while (*path) {
        size_t size = strcspn(path, ".");
        (void) snprintf(part, sizeof(part), "%.*s", (int) size, path);
        if (json_object_is_type(o, json_type_array))
            o = json_object_array_get_idx(o, (size_t) atoi(part));
        else if (!json_object_object_get_ex(o, part, &o))
            fail_msg("there is no %s in %s", part, path);
        path += size + (path[size] == '.');
    }
    return o;
}

static int64_t number(json_object *o, const char *path) {
    json_object *n = find(o, path);
    if (!json_object_is_type(n, json_type_int))
        fail_msg("%s is no number", path);
    return json_object_get_int64(n);
}

static const char *reason(json_object *sample, const char *counter) {
    json_object *list = find(sample, "unavailable");
    for (size_t i = 0; i < json_object_array_length(list); i++) {
        json_object *o = json_object_array_get_idx(list, i);
        if (strcmp(json_object_get_string(find(o, "counter")), counter) == 0)
            return json_object_get_string(find(o, "reason"));
    }
    return NULL;
}

static size_t n_unavailable(json_object *sample) {
    return json_object_array_length(find(sample, "unavailable"));
}

static void test_known(void **state) {
    AccountSample s = known_sample(1000);
    _cleanup_json_ json_object *o = encode(&s);
    assert_string_equal(json_object_get_string(find(o, "container")), ID);
    assert_string_equal(json_object_get_string(find(o, "name")), NAME);
    assert_int_equal(number(o, "timestampUsec"), 1000);
    assert_int_equal(number(o, "monotonicUsec"), 1001);
    assert_false(json_object_get_boolean(find(o, "final")));
    for (CgroupCounter c = 0; c < _CGROUP_COUNTER_MAX; c++)
        assert_int_equal(number(o, cgroup_counter_name(c)), s.usage.values[c]);
    assert_int_equal(number(o, "storage.bytes"), s.storage.bytes);
    assert_int_equal(number(o, "storage.inodes"), s.storage.inodes);
    assert_int_equal(number(o, "storage.limit"), s.storage.bytes_limit);
    assert_int_equal(number(o, "storage.inodesLimit"), s.storage.inodes_limit);
    assert_int_equal(json_object_array_length(find(o, "io.devices")), 0);
    assert_int_equal(n_unavailable(o), 0);
}

/* Each field of the struct at the field of the interface that is meant, once more by hand: the test above goes by names. */
static void test_names(void **state) {
    AccountSample s = known_sample(0);
    s.usage.values[CGROUP_CPU_THROTTLED_USEC] = 71;
    s.usage.values[CGROUP_MEMORY_WORKING_SET] = 72;
    s.usage.values[CGROUP_MEMORY_OOM_KILL] = 73;
    s.usage.values[CGROUP_PIDS_REFUSED] = 74;
    s.usage.values[CGROUP_IO_WRITES] = 75;
    s.usage.values[CGROUP_PRESSURE_MEMORY_FULL_USEC] = 76;
    s.network = (NetworkUsage){ 81, 82, 83, 84, 85, 86, 87, 88 };
    _cleanup_json_ json_object *o = encode(&s);
    static const struct {
        const char *path;
        int64_t value;
    } table[] = {
        { "cpu.throttledUsec", 71 }, { "memory.workingSet", 72 },  { "memory.oomKill", 73 },
        { "pids.refused", 74 },      { "io.writes", 75 },          { "pressure.memory.fullUsec", 76 },
        { "network.inBytes", 81 },   { "network.inPackets", 82 },  { "network.inErrors", 83 },
        { "network.inDropped", 84 }, { "network.outBytes", 85 },   { "network.outPackets", 86 },
        { "network.outErrors", 87 }, { "network.outDropped", 88 },
    };
    for (size_t i = 0; i < ELEMENTSOF(table); i++)
        assert_int_equal(number(o, table[i].path), table[i].value);
}

static void test_unknown(void **state) {
    static const char *const groups[] = { "cpu", "memory", "pids", "io", "storage", "network", "pressure" };
    AccountSample s = unknown_sample();
    _cleanup_json_ json_object *o = encode(&s);
    assert_true(json_object_get_boolean(find(o, "final")));
    for (CgroupCounter c = 0; c < _CGROUP_COUNTER_MAX; c++)
        assert_null(find(o, cgroup_counter_name(c)));
    assert_null(find(o, "storage.bytes"));
    assert_null(find(o, "network.outDropped"));
    for (size_t i = 0; i < ELEMENTSOF(groups); i++)
        assert_non_null(reason(o, groups[i]));
    assert_int_equal(n_unavailable(o), ELEMENTSOF(groups));
    assert_string_equal(reason(o, "network"), "no \"network\" \\ here ");
}

static void test_reasons(void **state) {
    char copy[] = "gone";
    AccountSample s = known_sample(1);
    CgroupUsage *u = &s.usage;
    for (CgroupCounter c = CGROUP_PRESSURE_CPU_SOME_USEC; c < _CGROUP_COUNTER_MAX; c++) {
        u->values[c] = CGROUP_UNKNOWN;
        u->reasons[c] = c == CGROUP_PRESSURE_CPU_SOME_USEC ? copy : "gone"; /* the same words elsewhere */
    }
    u->reasons[CGROUP_PRESSURE_IO_FULL_USEC] = "never there";
    u->values[CGROUP_MEMORY_KERNEL] = CGROUP_UNKNOWN;
    u->reasons[CGROUP_MEMORY_KERNEL] = "not counted";
    u->values[CGROUP_MEMORY_LIMIT] = u->values[CGROUP_PIDS_LIMIT] = CGROUP_UNKNOWN;
    u->reasons[CGROUP_MEMORY_LIMIT] = u->reasons[CGROUP_PIDS_LIMIT] = ""; /* there are none */
    _cleanup_json_ json_object *o = encode(&s);
    assert_null(find(o, "memory.limit"));
    assert_null(find(o, "pids.limit"));
    assert_string_equal(reason(o, "pressure.cpu"), "gone");
    assert_string_equal(reason(o, "pressure.memory"), "gone");
    assert_string_equal(reason(o, "pressure.io.someUsec"), "gone");
    assert_string_equal(reason(o, "pressure.io.fullUsec"), "never there");
    assert_string_equal(reason(o, "memory.kernel"), "not counted");
    assert_int_equal(n_unavailable(o), 5);
}

/* One known counter of a group keeps the others from being told by the group's name, wherever it stands. */
static void test_group_of_which_one_is_known(void **state) {
    for (CgroupCounter known = CGROUP_PIDS_CURRENT; known <= CGROUP_PIDS_REFUSED; known++) {
        AccountSample s = known_sample(1);
        for (CgroupCounter c = CGROUP_PIDS_CURRENT; c <= CGROUP_PIDS_REFUSED; c++)
            if (c != known) {
                s.usage.values[c] = CGROUP_UNKNOWN;
                s.usage.reasons[c] = "gone";
            }
        _cleanup_json_ json_object *o = encode(&s);
        assert_null(reason(o, "pids"));
        assert_null(reason(o, cgroup_counter_name(known)));
        assert_int_equal(n_unavailable(o), 3);
    }
}

static void test_storage(void **state) {
    AccountSample s = known_sample(1);
    s.storage = (StorageUsage){ 5, 6, STORAGE_LIMIT_NONE, STORAGE_LIMIT_NONE, NULL };
    json_object *o = encode(&s);
    assert_null(find(o, "storage.limit"));
    assert_null(find(o, "storage.inodesLimit"));
    assert_int_equal(n_unavailable(o), 0);
    json_object_putp(&o);
    s.storage = (StorageUsage){ STORAGE_UNKNOWN, STORAGE_UNKNOWN, 7, STORAGE_LIMIT_NONE, "cannot be read" };
    o = encode(&s);
    assert_int_equal(number(o, "storage.limit"), 7);
    assert_string_equal(reason(o, "storage.bytes"), "cannot be read");
    assert_string_equal(reason(o, "storage.inodes"), "cannot be read");
    assert_int_equal(n_unavailable(o), 2);
    json_object_putp(&o);
}

static void test_networks(void **state) {
    AccountSample s = known_sample(1);
    s.network = (NetworkUsage){ 0 };
    json_object *o = encode(&s);
    assert_int_equal(number(o, "network.inBytes"), 0);
    assert_int_equal(number(o, "network.outDropped"), 0);
    assert_int_equal(json_object_array_length(find(o, "network.interfaces")), 0);
    json_object_putp(&o);
    s.network = (NetworkUsage){ 11, 12, 13, 14, 15, 16, 17, 18 };
    s.has_interface = true;
    o = encode(&s);
    assert_string_equal(json_object_get_string(find(o, "network.interfaces.0.name")), "eth0");
    assert_int_equal(number(o, "network.interfaces.0.inBytes"), 11);
    assert_int_equal(number(o, "network.interfaces.0.outDropped"), 18);
    assert_int_equal(number(o, "network.outBytes"), 15);
    json_object_putp(&o);
    s.has_interface = false;
    s.network_reason = "the host's";
    o = encode(&s);
    assert_null(find(o, "network.inBytes"));
    assert_int_equal(json_object_array_length(find(o, "network.interfaces")), 0);
    assert_string_equal(reason(o, "network"), "the host's");
    assert_int_equal(n_unavailable(o), 1);
    json_object_putp(&o);
}

static void test_devices(void **state) {
    AccountSample s = known_sample(1);
    s.usage.n_devices = CGROUP_IO_DEVICES_MAX;
    for (uint32_t i = 0; i < CGROUP_IO_DEVICES_MAX; i++)
        s.usage.devices[i] = (CgroupIoUsage){ UINT32_MAX - i, i, INT64_MAX, INT64_MAX - i, i, UINT64_MAX };
    _cleanup_json_ json_object *o = encode(&s);
    assert_int_equal(json_object_array_length(find(o, "io.devices")), CGROUP_IO_DEVICES_MAX);
    assert_string_equal(json_object_get_string(find(o, "io.devices.0.device")), "4294967295:0");
    assert_string_equal(json_object_get_string(find(o, "io.devices.31.device")), "4294967264:31");
    assert_int_equal(number(o, "io.devices.31.readBytes"), INT64_MAX);
    assert_int_equal(number(o, "io.devices.31.writeBytes"), INT64_MAX - 31);
    assert_int_equal(number(o, "io.devices.31.reads"), 31);
    assert_int_equal(number(o, "io.devices.31.writes"), INT64_MAX); /* not -1 */
}

static void test_range(void **state) {
    AccountSample s = known_sample(1);
    s.usage.values[CGROUP_CPU_USAGE_USEC] = INT64_MAX;
    s.usage.values[CGROUP_CPU_USER_USEC] = (uint64_t) INT64_MAX + 1;
    s.usage.values[CGROUP_CPU_SYSTEM_USEC] = UINT64_MAX - 1;
    s.usage.reasons[CGROUP_CPU_SYSTEM_USEC] = NULL;
    _cleanup_json_ json_object *o = encode(&s);
    assert_int_equal(number(o, "cpu.usageUsec"), INT64_MAX);
    assert_null(find(o, "cpu.userUsec"));
    assert_non_null(reason(o, "cpu.userUsec"));
    assert_non_null(reason(o, "cpu.systemUsec"));
    assert_int_equal(n_unavailable(o), 2);
}

/* The text is appended, and the room is used again. */
static void test_text(void **state) {
    AccountSample s = known_sample(1);
    AccountText once = { 0 }, twice = { 0 };
    assert_int_equal(account_encode(&s, ID, NAME, &once), 0);
    assert_int_equal(account_encode(&s, ID, NAME, &twice), 0);
    assert_int_equal(account_encode(&s, ID, NAME, &twice), 0);
    assert_int_equal(twice.size, 2 * once.size);
    assert_memory_equal(twice.bytes, once.bytes, once.size);
    assert_memory_equal(twice.bytes + once.size, once.bytes, once.size);
    size_t room = twice.room;
    for (size_t i = 0; i < 100; i++) {
        twice.size = 0;
        assert_int_equal(account_encode(&s, ID, NAME, &twice), 0);
    }
    assert_int_equal(twice.room, room);
    account_text_done(&once);
    account_text_done(&twice);
    assert_null(twice.bytes);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_known),   cmocka_unit_test(test_names),
        cmocka_unit_test(test_unknown), cmocka_unit_test(test_reasons),
        cmocka_unit_test(test_storage), cmocka_unit_test(test_group_of_which_one_is_known),
        cmocka_unit_test(test_devices), cmocka_unit_test(test_networks),
        cmocka_unit_test(test_range),   cmocka_unit_test(test_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
