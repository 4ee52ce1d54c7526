/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Limits: what is refused, what the kernel's files say afterwards, and what comes of a change that fails half way. */

#include "cgroup-fixture.h"
#include "cgroup/cpuset.h"
#include "cgroup/files.h"

#include <fcntl.h>
#include <glob.h>
#include <poll.h>
#include <sched.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <time.h>

#define NONE CGROUP_LIMIT_NONE

/* ---- lists of CPUs ---- */

static void lists_of_cpus_are_normalized(void **state) {
    static const char *const good[][2] = {
        { "0", "0" },         { "1,0", "0-1" }, { "0-3,2-5,7", "0-5,7" }, { "3,1,2", "1-3" }, { "8191", "8191" },
        { "0,2,4", "0,2,4" }, { "5-5", "5" },   { "0-1\n", "0-1" },       { "00-03", "0-3" }, { "63,64", "63-64" },
    };
    char text[CGROUP_CPUSET_MAX];
    for (size_t i = 0; i < ELEMENTSOF(good); i++) {
        assert_int_equal(cgroup_cpuset_normalize(good[i][0], text), 0);
        assert_string_equal(text, good[i][1]);
    }
    static const char *const bad[] = {
        "",    " ",   "a",    "-",  "-1",  "1-",  ",",       "1,", ",1",          "1,,2", "1-2-3", "2-1",
        "0x1", "0 1", "0- 1", "+1", "1.5", "all", "0-7:2/4", "\n", "9999-99999a", "1\n2", "1\n\n", "99999,",
    };
    for (size_t i = 0; i < ELEMENTSOF(bad); i++)
        assert_int_equal(cgroup_cpuset_normalize(bad[i], text), -EINVAL);
    assert_int_equal(cgroup_cpuset_normalize("8192", text), -ERANGE);
    assert_int_equal(cgroup_cpuset_normalize("0-99999999999999999999999", text), -ERANGE);
    assert_int_equal(cgroup_cpuset_normalize("18446744073709551616", text), -ERANGE);
    char every_other[2048] = "0";
    for (int i = 2; i < 400; i += 2)
        (void) snprintf(every_other + strlen(every_other), 16, ",%d", i);
    strcpy(text, "kept");
    assert_int_equal(cgroup_cpuset_normalize(every_other, text), -E2BIG);
    assert_string_equal(text, "kept");
    unsigned missing = 0;
    assert_int_equal(cgroup_cpuset_contains("0-3\n", "1-2", &missing), 1);
    assert_int_equal(cgroup_cpuset_contains("0-3\n", "1-2,4", &missing), 0);
    assert_int_equal(missing, 4);
}

static void the_default_limits_tasks_only(void **state) {
    CgroupLimits l = cgroup_limits_default(), none = CGROUP_LIMITS_NONE;
    assert_int_equal(l.pids, CGROUP_PIDS_DEFAULT);
    l.pids = NONE;
    assert_memory_equal(&l, &none, sizeof(l));
}

/* ---- what is refused ---- */

static void assert_refused(const CgroupLimits *l, const char *field, const char *words) {
    Error e = ERROR_INIT;
    assert_int_equal(cgroup_limits_check(hierarchies, l, &e), -EINVAL);
    if (e.kind != ERROR_INVALID_SPEC || strcmp(e.subject, field) != 0 || !strstr(e.message, words))
        fail_msg("%s: %s", e.subject, e.message);
}

static void limits_have_ranges(void **state) {
    require_root();
    const uint64_t cpus = (uint64_t) sysconf(_SC_NPROCESSORS_ONLN);
    const struct {
        size_t offset;
        const char *field;
        uint64_t values[4];
    } bad[] = {
        { offsetof(CgroupLimits, memory), "limits.memory", { 0, CGROUP_MEMORY_MIN - 1, 1ULL << 60, NONE - 1 } },
        { offsetof(CgroupLimits, memory_swap),
          "limits.memorySwap",
          { 1, CGROUP_MEMORY_MIN - 1, 1ULL << 60, NONE - 1 } },
        { offsetof(CgroupLimits, memory_high),
          "limits.memoryHigh",
          { 0, CGROUP_MEMORY_MIN - 1, 1ULL << 60, NONE - 1 } },
        { offsetof(CgroupLimits, cpu_quota_per_sec_usec),
          "limits.cpuQuotaPerSecUsec",
          { 0, CGROUP_CPU_QUOTA_MIN - 1, cpus * SECOND + 1, NONE - 1 } },
        { offsetof(CgroupLimits, cpu_weight), "limits.cpuWeight", { 0, 10001, 1ULL << 40, NONE - 1 } },
        { offsetof(CgroupLimits, pids), "limits.pids", { 0, 5000000, 1ULL << 40, NONE - 1 } },
        { offsetof(CgroupLimits, io_weight), "limits.ioWeight", { 0, 10001, 1ULL << 40, NONE - 1 } },
    };
    for (size_t i = 0; i < ELEMENTSOF(bad); i++)
        for (size_t k = 0; k < 4; k++) {
            CgroupLimits l = CGROUP_LIMITS_NONE;
            *(uint64_t *) ((char *) &l + bad[i].offset) = bad[i].values[k];
            assert_refused(&l, bad[i].field, "out of range: allowed are");
        }
    assert_int_equal(cgroup_limits_check(hierarchies, &CGROUP_LIMITS_NONE, NULL), 0);
}

static void contradictions_are_refused(void **state) {
    require(CGROUP_MEMORY);
    CgroupLimits l = CGROUP_LIMITS_NONE;
    l.memory_swap = 16 * MIB;
    Error e = ERROR_INIT;
    if (cgroup_limits_check(hierarchies, &l, &e) != -EOPNOTSUPP) { /* where swap is not accounted */
        assert_refused(&l, "limits.memorySwap", "needs limits.memory");
        l.memory = 32 * MIB;
        assert_refused(&l, "limits.memorySwap", "less than limits.memory, 33554432");
        l.memory_swap = 32 * MIB;
        assert_int_equal(cgroup_limits_check(hierarchies, &l, NULL), 0);
        l.memory_swap = NONE;
        assert_int_equal(cgroup_limits_check(hierarchies, &l, NULL), 0);
    }
    l = CGROUP_LIMITS_NONE;
    l.memory = 32 * MIB;
    l.memory_high = 32 * MIB + 1;
    if (is_v2(CGROUP_MEMORY))
        assert_refused(&l, "limits.memoryHigh", "more than limits.memory");
    else {
        assert_int_equal(cgroup_limits_check(hierarchies, &l, &e), -EOPNOTSUPP);
        assert_int_equal(e.kind, ERROR_LIMIT_UNAVAILABLE);
        assert_string_equal(e.subject, "memory");
        assert_non_null(strstr(e.message, "limits.memoryHigh"));
        assert_non_null(strstr(e.message, "soft limit"));
    }
}

static void cpus_must_be_online(void **state) {
    require_root();
    CgroupLimits l = CGROUP_LIMITS_NONE;
    strcpy(l.cpuset, "8191");
    assert_refused(&l, "limits.cpusetCpus", "CPU 8191 is not there: the host has 0");
    strcpy(l.cpuset, "1,0");
    assert_refused(&l, "limits.cpusetCpus", "no list of CPUs");
    strcpy(l.cpuset, "0");
    Error e = ERROR_INIT;
    int r = cgroup_limits_check(hierarchies, &l, &e);
    if (cgroup_hierarchies_version(hierarchies, CGROUP_CPUSET) != CGROUP_MISSING)
        assert_int_equal(r, 0);
    else {
        assert_int_equal(e.kind, ERROR_LIMIT_UNAVAILABLE);
        assert_string_equal(e.subject, "cpuset");
    }
}

static CgroupDeviceLimits no_rates(const uint32_t device[2]) {
    return (CgroupDeviceLimits){ device[0], device[1], NONE, NONE, NONE, NONE };
}

static void devices_must_be_whole_disks(void **state) {
    require_root();
    uint32_t disk[2], part[2];
    int fd = loop_open(4 * MIB, disk);
    if (fd < 0)
        skip_because("no loop devices here");
    CgroupLimits l = CGROUP_LIMITS_NONE;
    l.n_devices = 2;
    l.devices[0] = l.devices[1] = no_rates(disk);
    char words[64];
    (void) snprintf(words, sizeof(words), "%u:%u is named twice, first by limits.ioDevices[0]", disk[0], disk[1]);
    assert_refused(&l, "limits.ioDevices[1].device", words);
    l.devices[1] = no_rates((const uint32_t[]){ 4095, 77 });
    assert_refused(&l, "limits.ioDevices[1].device", "no block device 4095:77");
    if (loop_add_partition(fd, part) >= 0) {
        l.devices[1] = no_rates(part);
        (void) snprintf(words, sizeof(words), "%u:%u is a partition; rates are for whole disks, here %u:%u", part[0],
                        part[1], disk[0], disk[1]);
        assert_refused(&l, "limits.ioDevices[1].device", words);
    } else
        print_message("no partitions of loop devices here\n");
    l.n_devices = 17;
    assert_refused(&l, "limits.ioDevices", "17 devices are too many: allowed are 16");
    static const char *const fields[] = { "readBps", "writeBps", "readIops", "writeIops" };
    const uint64_t bad[4][2] = { { 0, CGROUP_BPS_MIN - 1 }, { 0, NONE - 1 }, { 1, UINT32_MAX }, { 0, 1ULL << 32 } };
    for (size_t i = 0; i < 8; i++) {
        l = CGROUP_LIMITS_NONE;
        l.n_devices = 1;
        l.devices[0] = no_rates(disk);
        (&l.devices[0].read_bps)[i / 2] = bad[i / 2][i % 2];
        (void) snprintf(words, sizeof(words), "limits.ioDevices[0].%s", fields[i / 2]);
        assert_refused(&l, words, "out of range: allowed are");
    }
    loop_close(fd);
}

static void a_limit_without_its_controller_is_refused(void **state) {
    require_root();
    for (CgroupController c = CGROUP_CPU; c <= CGROUP_PIDS; c++) {
        CgroupLimits l = CGROUP_LIMITS_NONE;
        *(c == CGROUP_CPU ? &l.cpu_quota_per_sec_usec : c == CGROUP_MEMORY ? &l.memory : &l.pids) = 5 * SECOND / 10;
        l.memory = c == CGROUP_MEMORY ? CGROUP_MEMORY_MIN : NONE;
        Error e = ERROR_INIT;
        int r = cgroup_limits_check(hierarchies, &l, &e);
        if (cgroup_hierarchies_version(hierarchies, c) != CGROUP_MISSING) {
            assert_int_equal(r, 0);
            continue;
        }
        assert_true(r < 0);
        assert_int_equal(e.kind, ERROR_LIMIT_UNAVAILABLE);
        assert_string_equal(e.subject, cgroup_controller_name(c));
        CgroupGroup *g = make_group("unlimited");
        assert_true(cgroup_limits_apply(g, NULL, &l, &e) < 0);
        assert_int_equal(e.kind, ERROR_LIMIT_UNAVAILABLE);
        remove_group(g);
    }
}

/* Selects SCHEDULER for the loop device MINOR. */
static bool select_scheduler(unsigned minor, const char *scheduler) {
    char path[64];
    (void) snprintf(path, sizeof(path), "/sys/block/loop%u/queue/scheduler", minor);
    return cgroup_file_write(AT_FDCWD, path, scheduler) >= 0;
}

/* Does any disk of this host heed weights without us? */
static bool weights_are_heeded(void) {
    _cleanup_(globfree) glob_t files = { 0 };
    char text[CGROUP_FILE_MAX];
    if (glob("/sys/block/*/queue/scheduler", 0, NULL, &files) == 0)
        for (size_t i = 0; i < files.gl_pathc; i++)
            if (cgroup_file_read(AT_FDCWD, files.gl_pathv[i], text, sizeof(text)) > 0 && strstr(text, "[bfq]"))
                return true;
    return cgroup_file_read(AT_FDCWD, "/sys/fs/cgroup/io.cost.qos", text, sizeof(text)) > 0 && strstr(text, "enable=1");
}

static void an_io_weight_needs_a_disk_that_heeds_it(void **state) {
    require(CGROUP_IO);
    CgroupLimits l = CGROUP_LIMITS_NONE, found;
    l.io_weight = 650;
    Error e = ERROR_INIT;
    if (weights_are_heeded())
        skip_because("a disk of this host heeds weights already");
    assert_int_equal(cgroup_limits_check(hierarchies, &l, &e), -EOPNOTSUPP);
    assert_int_equal(e.kind, ERROR_LIMIT_UNAVAILABLE);
    assert_string_equal(e.subject, "io");
    assert_non_null(strstr(e.message, "bfq is the scheduler of none"));
    uint32_t disk[2];
    int fd = loop_open(4 * MIB, disk);
    if (fd < 0 || !select_scheduler(disk[1], "bfq"))
        skip_because("no loop device with bfq here");
    CgroupGroup *g = make_group("weight");
    int checked = cgroup_limits_check(hierarchies, &l, NULL), applied = cgroup_limits_apply(g, NULL, &l, &e);
    assert_int_equal(cgroup_limits_read(g, &found, NULL), 0);
    int lifted = cgroup_limits_apply(g, &l, &CGROUP_LIMITS_NONE, NULL);
    CgroupLimits after;
    assert_int_equal(cgroup_limits_read(g, &after, NULL), 0);
    (void) select_scheduler(disk[1], "none");
    loop_close(fd);
    remove_group(g);
    assert_int_equal(checked, 0);
    if (applied < 0)
        fail_msg("%s", e.message);
    assert_int_equal(lifted, 0);
    assert_true(found.io_weight == 650 && after.io_weight == NONE);
    assert_true(cgroup_limits_equal(hierarchies, &found, &l));
}

/* ---- set, changed, lifted ---- */

static void apply(CgroupGroup *g, const CgroupLimits *former, const CgroupLimits *l) {
    CgroupLimits found;
    Error e = ERROR_INIT;
    if (cgroup_limits_apply(g, former, l, &e) < 0)
        fail_msg("%s: %s", e.subject, e.message);
    if (cgroup_limits_read(g, &found, &e) < 0)
        fail_msg("%s: %s", e.subject, e.message);
    assert_true(cgroup_limits_equal(hierarchies, l, &found));
    assert_true(cgroup_limits_equal(hierarchies, &found, l));
}

static bool has_file(CgroupGroup *g, CgroupController c, const char *file) {
    return faccessat(cgroup_group_controller_fd(g, c), file, F_OK, 0) == 0;
}

static void assert_file(CgroupGroup *g, CgroupController c, const char *file, const char *wanted) {
    char text[CGROUP_FILE_MAX];
    assert_true(cgroup_file_read(cgroup_group_controller_fd(g, c), file, text, sizeof(text)) >= 0);
    text[strcspn(text, "\n")] = 0;
    if (strcmp(text, wanted) != 0)
        fail_msg("%s: \"%s\", not \"%s\"", file, text, wanted);
}

static void memory_is_raised_and_lowered(void **state) {
    require(CGROUP_MEMORY);
    CgroupGroup *g = make_group("memory");
    bool v1 = is_v1(CGROUP_MEMORY),
         swap = has_file(g, CGROUP_MEMORY, v1 ? "memory.memsw.limit_in_bytes" : "memory.swap.max");
    const char *file = v1 ? "memory.limit_in_bytes" : "memory.max";
    const char *swap_file = v1 ? "memory.memsw.limit_in_bytes" : "memory.swap.max";
    static const struct {
        uint64_t memory, swap;
        const char *says, *v1_says, *v2_says;
    } steps[] = {
        { 16 * MIB + 100, 0, "16777216", "16777216", "0" }, /* in whole pages */
        { 64 * MIB, 96 * MIB, "67108864", "100663296", "33554432" },
        { 32 * MIB, 32 * MIB, "33554432", "33554432", "0" },
        { 128 * MIB, 129 * MIB, "134217728", "135266304", "1048576" },
        { 8 * MIB, 129 * MIB, "8388608", "135266304", "126877696" },
        { 16 * MIB, NONE, "16777216", "9223372036854771712", "max" },
        { 8 * MIB, 0, "8388608", "8388608", "0" },
        { NONE, 0, NULL, "9223372036854771712", "max" },
    };
    CgroupLimits former = CGROUP_LIMITS_NONE;
    for (size_t i = 0; i < ELEMENTSOF(steps); i++) {
        CgroupLimits l = CGROUP_LIMITS_NONE;
        l.memory = steps[i].memory;
        l.memory_swap = swap ? steps[i].swap : 0;
        apply(g, i > 0 ? &former : NULL, &l);
        assert_file(g, CGROUP_MEMORY, file, steps[i].says ? steps[i].says : v1 ? "9223372036854771712" : "max");
        if (swap)
            assert_file(g, CGROUP_MEMORY, swap_file, v1 ? steps[i].v1_says : steps[i].v2_says);
        former = l;
    }
    if (!v1) {
        former.memory = 64 * MIB;
        former.memory_high = 32 * MIB;
        apply(g, NULL, &former);
        assert_file(g, CGROUP_MEMORY, "memory.high", "33554432");
        apply(g, &former, &CGROUP_LIMITS_NONE);
        assert_file(g, CGROUP_MEMORY, "memory.high", "max");
    }
    remove_group(g);
}

static void weights_have_their_scale(void **state) {
    require(CGROUP_CPU);
    CgroupGroup *g = make_group("weights");
    static const struct {
        uint64_t weight, shown;
        const char *v1, *v2;
    } steps[] = {
        { 1, 1, "10", "1" },         { 100, NONE, "1024", "100" }, { 10000, 10000, "102400", "10000" },
        { 300, 300, "3072", "300" }, { 333, 333, "3409", "333" },  { NONE, NONE, "1024", "100" },
    };
    CgroupLimits former = CGROUP_LIMITS_NONE;
    for (size_t i = 0; i < ELEMENTSOF(steps); i++) {
        CgroupLimits l = CGROUP_LIMITS_NONE, found;
        l.cpu_weight = steps[i].weight;
        apply(g, &former, &l);
        assert_file(g, CGROUP_CPU, is_v1(CGROUP_CPU) ? "cpu.shares" : "cpu.weight",
                    is_v1(CGROUP_CPU) ? steps[i].v1 : steps[i].v2);
        assert_int_equal(cgroup_limits_read(g, &found, NULL), 0);
        assert_true(found.cpu_weight == steps[i].shown);
        former = l;
    }
    CgroupLimits a = CGROUP_LIMITS_NONE, b = CGROUP_LIMITS_NONE;
    for (a.cpu_weight = 1; a.cpu_weight <= CGROUP_WEIGHT_MAX; a.cpu_weight++) {
        b.cpu_weight = a.cpu_weight + 1;
        assert_false(cgroup_limits_equal(hierarchies, &a, &b));
    }
    remove_group(g);
}

static int child_cpus(void) {
    for (;;) {
        cpu_set_t set;
        (void) sched_getaffinity(0, sizeof(set), &set);
        if (CPU_COUNT(&set) == 1)
            return CPU_ISSET(0, &set) ? 0 : 1;
        (void) poll(NULL, 0, 5);
    }
}

static void a_running_container_loses_cpus(void **state) {
    require(CGROUP_CPUSET);
    if (sysconf(_SC_NPROCESSORS_ONLN) < 2)
        skip_because("needs two CPUs");
    CgroupGroup *g = make_group("cpus");
    pid_t pid = start_in(g, child_cpus);
    CgroupLimits l = CGROUP_LIMITS_NONE, all = CGROUP_LIMITS_NONE;
    strcpy(l.cpuset, "0");
    apply(g, NULL, &l);
    assert_file(g, CGROUP_CPUSET, "cpuset.cpus", "0");
    assert_int_equal(wait_for(pid), 0);
    pid = start_in(g, child_sleep); /* with something in it, an empty list is refused */
    char cpus[CGROUP_FILE_MAX];
    assert_true(cgroup_hierarchies_cpus(hierarchies, cpus, sizeof(cpus)) > 0);
    assert_int_equal(cgroup_cpuset_normalize(cpus, all.cpuset), 0);
    apply(g, &l, &all);
    assert_true(cgroup_limits_equal(hierarchies, &all, &CGROUP_LIMITS_NONE));
    apply(g, &all, &l);
    apply(g, &l, &CGROUP_LIMITS_NONE);
    assert_file(g, CGROUP_CPUSET, "cpuset.cpus", cpus);
    assert_int_equal(cgroup_limits_read(g, &l, NULL), 0);
    assert_string_equal(l.cpuset, "");
    remove_group(g);
    wait_for(pid);
}

static void a_v1_cpuset_is_filled_without_clone_children(void **state) {
    require(CGROUP_CPUSET);
    if (!is_v1(CGROUP_CPUSET))
        skip_because("cpuset is not on v1 here");
    int fd = cgroup_hierarchies_controller_fd(hierarchies, CGROUP_CPUSET);
    assert_int_equal(cgroup_file_write(fd, "cgroup.clone_children", "0"), 0);
    CgroupGroup *g = make_group("not-cloned");
    assert_int_equal(cgroup_file_write(fd, "cgroup.clone_children", "1"), 0);
    pid_t pid = start_in(g, child_sleep);
    assert_int_equal(cgroup_group_holds(g, pid, NULL), 1);
    remove_group(g);
    wait_for(pid);
}

static void devices_are_limited(void **state) {
    require(CGROUP_IO);
    uint32_t disk[2][2];
    int fds[2] = { loop_open(4 * MIB, disk[0]), loop_open(4 * MIB, disk[1]) };
    if (fds[0] < 0 || fds[1] < 0)
        skip_because("no loop devices here");
    CgroupGroup *g = make_group("rates");
    CgroupLimits a = CGROUP_LIMITS_NONE, b = CGROUP_LIMITS_NONE, swapped;
    a.n_devices = 2;
    a.devices[0] = (CgroupDeviceLimits){ disk[0][0], disk[0][1], CGROUP_BPS_MIN, INT64_MAX, CGROUP_IOPS_MIN, NONE };
    a.devices[1] = (CgroupDeviceLimits){ disk[1][0], disk[1][1], NONE, 1000001, NONE, UINT32_MAX - 1 };
    apply(g, NULL, &a);
    swapped = a;
    swapped.devices[0] = a.devices[1];
    swapped.devices[1] = a.devices[0];
    assert_true(cgroup_limits_equal(hierarchies, &a, &swapped));
    swapped.devices[1].write_iops = 7;
    assert_false(cgroup_limits_equal(hierarchies, &a, &swapped));
    swapped = a;
    swapped.n_devices = 1;
    assert_false(cgroup_limits_equal(hierarchies, &a, &swapped));
    assert_false(cgroup_limits_equal(hierarchies, &swapped, &a));
    b.n_devices = 1; /* one device goes, two rates of the other */
    b.devices[0] = (CgroupDeviceLimits){ disk[1][0], disk[1][1], 8192, 1000001, NONE, NONE };
    assert_false(cgroup_limits_equal(hierarchies, &a, &b));
    apply(g, &a, &b);
    CgroupLimits found;
    assert_int_equal(cgroup_limits_read(g, &found, NULL), 0);
    assert_int_equal(found.n_devices, 1);
    assert_memory_equal(&found.devices[0], &b.devices[0], sizeof(b.devices[0]));
    apply(g, &b, &CGROUP_LIMITS_NONE);
    assert_int_equal(cgroup_limits_read(g, &found, NULL), 0);
    assert_int_equal(found.n_devices, 0);
    remove_group(g);
    loop_close(fds[0]);
    loop_close(fds[1]);
}

static void limits_are_found_again(void **state) {
    require(CGROUP_MEMORY);
    require(CGROUP_CPU);
    require(CGROUP_PIDS);
    CgroupGroup *g = make_group("limits"), *found = NULL;
    CgroupLimits l = CGROUP_LIMITS_NONE, least = CGROUP_LIMITS_NONE;
    apply(g, NULL, &CGROUP_LIMITS_NONE);
    l.memory = 64 * MIB;
    l.cpu_quota_per_sec_usec = 1500000;
    l.pids = 30;
    apply(g, NULL, &l);
    assert_int_equal(cgroup_group_open(hierarchies, "limits", &found, NULL), 0);
    least.memory = CGROUP_MEMORY_MIN;
    least.cpu_quota_per_sec_usec = CGROUP_CPU_QUOTA_MIN;
    least.pids = 1;
    apply(found, &l, &least);
    CgroupUsage u;
    cgroup_usage_read(g, &u); /* of the other object, which has not read them yet */
    assert_int_equal(u.values[CGROUP_PIDS_LIMIT], 1);
    assert_int_equal(u.values[CGROUP_MEMORY_LIMIT], CGROUP_MEMORY_MIN);
    apply(found, &least, &CGROUP_LIMITS_NONE);
    cgroup_group_free(found);
    cgroup_usage_read(g, &u);
    assert_int_equal(u.values[CGROUP_PIDS_LIMIT], 1); /* nobody has told this one */
    apply(g, &least, &CGROUP_LIMITS_NONE);
    cgroup_usage_read(g, &u);
    assert_string_equal(u.reasons[CGROUP_PIDS_LIMIT], "");
    assert_string_equal(u.reasons[CGROUP_MEMORY_LIMIT], "");
    remove_group(g);
}

/* ---- changes that fail ---- */

/*
 * Makes writing pids.max of the group fail: on v1 its directory is another for a moment, in mounts of our own something
 * lies upon the file. False where neither can be done.
 */
static bool break_pids(CgroupGroup *g, int *saved) {
    char path[256];
    for (size_t i = 0; is_v1(CGROUP_PIDS) && i < hierarchies->n_v1; i++)
        if (hierarchies->v1[i].controllers == 1U << CGROUP_PIDS) {
            *saved = g->v1[i].fd;
            g->v1[i].fd = open("/proc/self", O_PATH | O_CLOEXEC);
            return true;
        }
    (void) snprintf(path, sizeof(path), "/sys/fs/cgroup%s/pids.max", g->path);
    return has_own_mounts && mount("/proc/version", path, NULL, MS_BIND, NULL) == 0;
}

static void mend_pids(CgroupGroup *g, int saved) {
    char path[256];
    for (size_t i = 0; is_v1(CGROUP_PIDS) && i < hierarchies->n_v1; i++)
        if (hierarchies->v1[i].controllers == 1U << CGROUP_PIDS) {
            close(g->v1[i].fd);
            g->v1[i].fd = saved;
        }
    (void) snprintf(path, sizeof(path), "/sys/fs/cgroup%s/pids.max", g->path);
    if (!is_v1(CGROUP_PIDS))
        assert_int_equal(umount2(path, MNT_DETACH), 0);
}

static void a_change_that_fails_is_taken_back(void **state) {
    require(CGROUP_CPU);
    require(CGROUP_PIDS);
    CgroupGroup *g = make_group("undone");
    bool memory = cgroup_hierarchies_version(hierarchies, CGROUP_MEMORY) != CGROUP_MISSING;
    CgroupLimits former = CGROUP_LIMITS_NONE, l = CGROUP_LIMITS_NONE, found;
    former.cpu_quota_per_sec_usec = 500000;
    former.memory = memory ? 32 * MIB : NONE;
    apply(g, NULL, &former);
    l.memory = memory ? 64 * MIB : NONE;
    l.cpu_quota_per_sec_usec = NONE;
    l.cpu_weight = 200;
    l.pids = 10;
    int saved = -1;
    if (!break_pids(g, &saved)) {
        remove_group(g);
        skip_because("needs pids on a hierarchy of its own, or mounts of our own");
    }
    Error e = ERROR_INIT;
    int r = cgroup_limits_apply(g, &former, &l, &e);
    mend_pids(g, saved);
    assert_true(r < 0);
    assert_int_equal(e.kind, ERROR_HARDENING_FAILED);
    assert_non_null(strstr(e.message, "pids.max"));
    assert_int_equal(cgroup_limits_read(g, &found, NULL), 0);
    assert_true(cgroup_limits_equal(hierarchies, &found, &former));
    remove_group(g);
}

static int child_hold_32_mib(void) {
    char *p = mmap(NULL, 32 * MIB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED)
        return 1;
    memset(p, 1, 32 * MIB);
    return child_sleep();
}

static void memory_in_use_is_not_taken_by_killing(void **state) {
    require(CGROUP_MEMORY);
    CgroupGroup *g = make_group("in-use");
    CgroupLimits former = CGROUP_LIMITS_NONE, l = CGROUP_LIMITS_NONE, found;
    former.memory = 64 * MIB;
    former.cpu_quota_per_sec_usec = cgroup_hierarchies_version(hierarchies, CGROUP_CPU) ? 900000 : NONE;
    apply(g, NULL, &former);
    pid_t pid = start_in(g, child_hold_32_mib);
    CgroupUsage u;
    do {
        (void) poll(NULL, 0, 5);
        cgroup_usage_read(g, &u);
    } while (u.values[CGROUP_MEMORY_ANON] < 32 * MIB);
    l.memory = 16 * MIB;
    Error e = ERROR_INIT;
    assert_int_equal(cgroup_limits_apply(g, &former, &l, &e), -EINVAL);
    assert_int_equal(e.kind, ERROR_INVALID_SPEC);
    assert_string_equal(e.subject, "limits.memory");
    assert_non_null(strstr(e.message, "bytes are in use"));
    assert_int_equal(cgroup_limits_read(g, &found, NULL), 0);
    assert_true(cgroup_limits_equal(hierarchies, &found, &former));
    l.memory = 40 * MIB;
    apply(g, &former, &l);
    cgroup_usage_read(g, &u);
    assert_int_equal(u.values[CGROUP_MEMORY_OOM_KILL], 0);
    assert_int_equal(waitpid(pid, NULL, WNOHANG), 0);
    remove_group(g);
    wait_for(pid);
}

/* ---- that they hold ---- */

static int child_fork_until_refused(void) {
    for (int i = 0; i < 32; i++) {
        pid_t pid = fork();
        if (pid == 0)
            return child_sleep();
        if (pid < 0)
            return i; /* how many there could be */
    }
    return 99;
}

static void the_pids_limit_holds(void **state) {
    require(CGROUP_PIDS);
    CgroupGroup *g = make_group("pids");
    CgroupLimits l = CGROUP_LIMITS_NONE;
    l.pids = 5;
    apply(g, NULL, &l);
    pid_t pid = start_in(g, child_fork_until_refused);
    int status = wait_for(pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 4); /* and itself */
    CgroupUsage u;
    cgroup_usage_read(g, &u);
    assert_int_equal(u.values[CGROUP_PIDS_LIMIT], 5);
    assert_int_equal(u.values[CGROUP_PIDS_CURRENT], 4);
    if (!u.reasons[CGROUP_PIDS_PEAK])
        assert_int_equal(u.values[CGROUP_PIDS_PEAK], 5);
    assert_int_equal(u.values[CGROUP_PIDS_REFUSED], 1);
    remove_group(g);
}

static int child_allocate(void) {
    const size_t size = 64 * MIB;
    char *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED)
        return 1;
    memset(p, 1, size);
    return 0;
}

static void the_memory_limit_holds(void **state) {
    require(CGROUP_MEMORY);
    CgroupGroup *g = make_group("memory");
    CgroupLimits l = CGROUP_LIMITS_NONE;
    l.memory = 16 * MIB;
    apply(g, NULL, &l);
    int status = wait_for(start_in(g, child_allocate));
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    CgroupUsage u;
    cgroup_usage_read(g, &u);
    assert_int_equal(u.values[CGROUP_MEMORY_LIMIT], 16 * MIB);
    assert_int_equal(u.values[CGROUP_MEMORY_OOM_KILL], 1);
    if (u.reasons[CGROUP_MEMORY_MAX]) /* then it must not be 0 */
        assert_true(is_v1(CGROUP_MEMORY) && strstr(u.reasons[CGROUP_MEMORY_MAX], "6.15"));
    else
        assert_in_range(u.values[CGROUP_MEMORY_MAX], 1, 1000000);
    if (!u.reasons[CGROUP_MEMORY_PEAK])
        assert_true(u.values[CGROUP_MEMORY_PEAK] > 12 * MIB && u.values[CGROUP_MEMORY_PEAK] <= 16 * MIB);
    remove_group(g);
}

/* Without a limit of swap it is memory.failcnt that counts on v1, with every kernel. */
static void memory_at_its_limit_is_counted(void **state) {
    require(CGROUP_MEMORY);
    CgroupGroup *g = make_group("at-limit");
    CgroupLimits l = CGROUP_LIMITS_NONE;
    l.memory = 16 * MIB;
    l.memory_swap = NONE;
    apply(g, NULL, &l);
    (void) wait_for(start_in(g, child_allocate));
    CgroupUsage u;
    cgroup_usage_read(g, &u);
    assert_in_range(u.values[CGROUP_MEMORY_MAX], 1, 1000000);
    remove_group(g);
}

static int child_burn(void) {
    struct timespec t;
    do
        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    while (t.tv_sec * 1000 + t.tv_nsec / 1000000 < 12);
    return 0;
}

static void the_cpu_limit_holds(void **state) {
    require(CGROUP_CPU);
    CgroupGroup *g = make_group("cpu");
    CgroupLimits l = CGROUP_LIMITS_NONE;
    l.cpu_quota_per_sec_usec = 20000; /* 2 ms in each period, which even a busy machine gives */
    apply(g, NULL, &l);
    struct timespec start, end;
    clock_gettime(CLOCK_MONOTONIC, &start);
    assert_int_equal(wait_for(start_in(g, child_burn)), 0);
    clock_gettime(CLOCK_MONOTONIC, &end);
    assert_true((end.tv_sec - start.tv_sec) * 1000 + (end.tv_nsec - start.tv_nsec) / 1000000 >= 200);
    CgroupUsage u;
    cgroup_usage_read(g, &u);
    assert_in_range(u.values[CGROUP_CPU_USAGE_USEC], 12000, 100000);
    assert_in_range(u.values[CGROUP_CPU_THROTTLED_PERIODS], 1, 1000);
    assert_in_range(u.values[CGROUP_CPU_PERIODS], u.values[CGROUP_CPU_THROTTLED_PERIODS], 1000);
    assert_in_range(u.values[CGROUP_CPU_THROTTLED_USEC], 1000, 100 * SECOND);
    remove_group(g);
}

int main(int argc, char **argv) {
    const struct CMUnitTest text[] = {
        TEST(lists_of_cpus_are_normalized),
        TEST(the_default_limits_tasks_only),
    };
    const struct CMUnitTest tests[] = {
        TEST(limits_have_ranges),
        TEST(contradictions_are_refused),
        TEST(cpus_must_be_online),
        TEST(devices_must_be_whole_disks),
        TEST(a_limit_without_its_controller_is_refused),
        TEST(an_io_weight_needs_a_disk_that_heeds_it),
        TEST(memory_is_raised_and_lowered),
        TEST(weights_have_their_scale),
        TEST(a_running_container_loses_cpus),
        TEST(a_v1_cpuset_is_filled_without_clone_children),
        TEST(devices_are_limited),
        TEST(limits_are_found_again),
        TEST(a_change_that_fails_is_taken_back),
        TEST(memory_in_use_is_not_taken_by_killing),
        TEST(the_pids_limit_holds),
        TEST(the_memory_limit_holds),
        TEST(memory_at_its_limit_is_counted),
        TEST(the_cpu_limit_holds),
    };
    return cgroup_fixture_main(argc, argv, text, ELEMENTSOF(text), tests, ELEMENTSOF(tests));
}
