/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Counters against what was done to move them, their texts, and the notices of limits that strike. */

#include "cgroup-fixture.h"
#include "cgroup/files.h"
#include "cgroup/limits.h"

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>

#define NONE CGROUP_LIMIT_NONE

/* ---- text ---- */

static int text_fd(const char *text, size_t length) {
    int fd = memfd_create("io", MFD_CLOEXEC);
    assert_true(fd >= 0);
    for (size_t done = 0; done < length;) {
        ssize_t n = write(fd, text + done, length - done);
        assert_true(n > 0);
        done += (size_t) n;
    }
    return fd;
}

static int add_io(const char *text, CgroupIoFormat format, CgroupUsage *u) {
    int fd = text_fd(text, strlen(text));
    int r = cgroup_usage_add_io(fd, format, u);
    close(fd);
    return r;
}

static void assert_io(const CgroupUsage *u, size_t n, uint64_t rbytes, uint64_t wbytes, uint64_t reads,
                      uint64_t writes) {
    assert_int_equal(u->n_devices, n);
    assert_int_equal(u->values[CGROUP_IO_READ_BYTES], rbytes);
    assert_int_equal(u->values[CGROUP_IO_WRITE_BYTES], wbytes);
    assert_int_equal(u->values[CGROUP_IO_READS], reads);
    assert_int_equal(u->values[CGROUP_IO_WRITES], writes);
}

static void io_is_read_in_either_version(void **state) {
    CgroupUsage u = { 0 };
    assert_int_equal(add_io("8:0 Read 10\n8:0 Write 20\n8:0 Sync 30\n8:0 Async 0\n8:0 Discard 9\n8:0 Total 30\n"
                            "7:1 Read 0\n7:1 Write 0\n7:1 Total 0\n8:16 Read 5\n8:16 Write 0\nTotal 35\n",
                            CGROUP_IO_V1_BYTES, &u),
                     0);
    assert_int_equal(
        add_io("8:0 Read 1\n8:0 Write 2\n8:0 Total 3\n8:16 Read 4\nTotal 7\n", CGROUP_IO_V1_OPERATIONS, &u), 0);
    assert_io(&u, 2, 15, 20, 5, 2);
    assert_memory_equal(&u.devices[0], (&(CgroupIoUsage){ 8, 0, 10, 20, 1, 2 }), sizeof(CgroupIoUsage));
    assert_memory_equal(&u.devices[1], (&(CgroupIoUsage){ 8, 16, 5, 0, 4, 0 }), sizeof(CgroupIoUsage));
    u = (CgroupUsage){ 0 };
    assert_int_equal(add_io("254:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=5 dios=6 cost.usage=7\n253:1 \n252:9\n"
                            "(unknown) rbytes=1\n7:0 rbytes=0 wbytes=0 rios=0 wios=0 dbytes=8 dios=9\n"
                            "8:0 wbytes=10 rbytes=20\n8:1 rbytes=99",
                            CGROUP_IO_STAT, &u),
                     0);
    assert_io(&u, 2, 21, 12, 3, 4);
    assert_memory_equal(&u.devices[0], (&(CgroupIoUsage){ 254, 0, 1, 2, 3, 4 }), sizeof(CgroupIoUsage));
    assert_memory_equal(&u.devices[1], (&(CgroupIoUsage){ 8, 0, 20, 10, 0, 0 }), sizeof(CgroupIoUsage));
}

static void many_devices_are_summed(void **state) {
    static char text[2 * CGROUP_IO_TEXT_MAX];
    size_t length = 0;
    for (int i = 0; i < 1000; i++)
        length +=
            (size_t) snprintf(text + length, sizeof(text) - length, "8:%d rbytes=%d wbytes=1 rios=1 wios=1\n", i, i);
    assert_true(length > 3 * (size_t) CGROUP_FILE_MAX);
    CgroupUsage u = { 0 };
    assert_int_equal(add_io(text, CGROUP_IO_STAT, &u), 0);
    assert_io(&u, CGROUP_IO_DEVICES_MAX, 499500, 1000, 1000, 1000);
    assert_int_equal(u.devices[31].read_bytes, 31);
    for (size_t size = CGROUP_FILE_MAX - 3; size < CGROUP_FILE_MAX + 3; size++) { /* a text that just fills a piece */
        memset(text, 'x', size);
        memcpy(text, "8:0 rbytes=1\n", 13);
        for (size_t i = 100; i < size; i += 100)
            text[i] = '\n';
        memcpy(text + size - 14, "\n8:0 wbytes=2\n", 14);
        text[size] = 0;
        u = (CgroupUsage){ 0 };
        assert_int_equal(add_io(text, CGROUP_IO_STAT, &u), 0);
        assert_io(&u, 1, 1, 2, 0, 0);
    }
    memset(text, 'x', CGROUP_FILE_MAX + 1); /* a line that fills it */
    text[CGROUP_FILE_MAX + 1] = 0;
    assert_int_equal(add_io(text, CGROUP_IO_STAT, &u), -EFBIG);
    for (length = 0; length < CGROUP_IO_TEXT_MAX + 2 * (size_t) CGROUP_FILE_MAX;)
        length += (size_t) snprintf(text + length, sizeof(text) - length, "8:0 rbytes=1\n");
    assert_int_equal(add_io(text, CGROUP_IO_STAT, &u), -EFBIG);
}

/* ---- against what was done ---- */

static void until(CgroupGroup *g, CgroupUsage *u, CgroupCounter c, uint64_t value) {
    for (int i = 0; i < 2000; i++) {
        cgroup_usage_read(g, u);
        if (u->values[c] != CGROUP_UNKNOWN && u->values[c] >= value)
            return;
        (void) poll(NULL, 0, 5);
    }
    fail_msg("%s stays at %llu", cgroup_counter_name(c), (unsigned long long) u->values[c]);
}

static int child_hold_100_mib(void) {
    char *p = mmap(NULL, 100 * MIB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED)
        return 1;
    memset(p, 1, 100 * MIB);
    return child_sleep();
}

static void anonymous_memory_is_counted(void **state) {
    require(CGROUP_MEMORY);
    CgroupGroup *g = make_group("anon");
    pid_t pid = start_in(g, child_hold_100_mib);
    CgroupUsage u;
    until(g, &u, CGROUP_MEMORY_ANON, 100 * MIB);
    assert_in_range(u.values[CGROUP_MEMORY_ANON], 100 * MIB, 102 * MIB);
    assert_in_range(u.values[CGROUP_MEMORY_CURRENT], 100 * MIB, 110 * MIB);
    assert_in_range(u.values[CGROUP_MEMORY_WORKING_SET], 100 * MIB, u.values[CGROUP_MEMORY_CURRENT]);
    assert_true(u.values[CGROUP_MEMORY_FILE] < 4 * MIB && u.values[CGROUP_MEMORY_SHMEM] < MIB);
    if (!u.reasons[CGROUP_MEMORY_KERNEL])
        assert_in_range(u.values[CGROUP_MEMORY_KERNEL], 100 * 1024, 8 * MIB); /* page tables at least */
    remove_group(g);
    wait_for(pid);
}

static int child_file_and_shmem(void) {
    int fd = open("/var/tmp", O_RDWR | O_TMPFILE | O_CLOEXEC, 0600);
    char *shmem = mmap(NULL, 20 * MIB, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (fd < 0 || shmem == MAP_FAILED)
        return 1;
    memset(shmem, 1, 20 * MIB);
    for (int i = 0; i < 40; i++)
        if (write(fd, shmem, MIB) != (ssize_t) MIB)
            return 1;
    return child_sleep();
}

static void file_and_shared_memory_are_told_apart(void **state) {
    require(CGROUP_MEMORY);
    CgroupGroup *g = make_group("file");
    pid_t pid = start_in(g, child_file_and_shmem);
    CgroupUsage u;
    until(g, &u, CGROUP_MEMORY_FILE, 60 * MIB);
    assert_in_range(u.values[CGROUP_MEMORY_SHMEM], 20 * MIB, 21 * MIB);
    assert_in_range(u.values[CGROUP_MEMORY_FILE], 60 * MIB, 62 * MIB);
    assert_in_range(u.values[CGROUP_MEMORY_INACTIVE_FILE], 38 * MIB, 41 * MIB);
    assert_true(u.values[CGROUP_MEMORY_ANON] < 4 * MIB);
    assert_int_equal(u.values[CGROUP_MEMORY_WORKING_SET],
                     u.values[CGROUP_MEMORY_CURRENT] - u.values[CGROUP_MEMORY_INACTIVE_FILE]);
    remove_group(g);
    wait_for(pid);
}

static char loop_path[32];

static int child_direct_io(void) {
    int fd = open(loop_path, O_RDWR | O_DIRECT | O_CLOEXEC);
    char *p = mmap(NULL, MIB, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (fd < 0 || p == MAP_FAILED)
        return 1;
    for (int i = 0; i < 64; i++)
        if (pwrite(fd, p, MIB, i * (off_t) MIB) != (ssize_t) MIB)
            return 2;
    for (int i = 0; i < 32; i++)
        if (pread(fd, p, MIB, i * (off_t) MIB) != (ssize_t) MIB)
            return 3;
    return 0;
}

static void direct_io_is_counted(void **state) {
    require(CGROUP_IO);
    uint32_t disk[2];
    int fd = loop_open_new(64 * MIB, disk); /* on v1 since 6.10 the kernel does not count it by itself */
    if (fd < 0)
        skip_because("no loop devices here");
    (void) snprintf(loop_path, sizeof(loop_path), "/dev/loop%u", disk[1]);
    CgroupGroup *g = make_group("io");
    int status = wait_for(start_in(g, child_direct_io));
    CgroupUsage u;
    cgroup_usage_read(g, &u);
    remove_group(g);
    loop_close(fd);
    assert_int_equal(status, 0);
    const CgroupIoUsage *d = NULL;
    for (size_t i = 0; i < u.n_devices; i++)
        if (u.devices[i].major == disk[0] && u.devices[i].minor == disk[1])
            d = &u.devices[i];
    assert_non_null(d);
    assert_int_equal(d->write_bytes, 64 * MIB);
    assert_int_equal(d->read_bytes, 32 * MIB);
    assert_in_range(d->writes, 1, 64 * 256);
    assert_in_range(d->reads, 1, 32 * 256);
    uint64_t written = 0;
    for (size_t i = 0; i < u.n_devices; i++)
        written += u.devices[i].write_bytes;
    assert_int_equal(u.values[CGROUP_IO_WRITE_BYTES], written);
}

static int child_burn(void) {
    struct timespec t;
    do
        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    while (t.tv_sec * 1000 + t.tv_nsec / 1000000 < 300);
    return 0;
}

static void cpu_time_is_counted(void **state) {
    require_root();
    CgroupGroup *g = make_group("burn");
    assert_int_equal(wait_for(start_in(g, child_burn)), 0);
    CgroupUsage u;
    cgroup_usage_read(g, &u);
    assert_in_range(u.values[CGROUP_CPU_USAGE_USEC], 297000, 330000);
    assert_in_range(u.values[CGROUP_CPU_USER_USEC] + u.values[CGROUP_CPU_SYSTEM_USEC],
                    u.values[CGROUP_CPU_USAGE_USEC] - 10, u.values[CGROUP_CPU_USAGE_USEC] + 10);
    remove_group(g);
}

static int child_compete(void) {
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(0, &set);
    if (sched_setaffinity(0, sizeof(set), &set) < 0)
        return 1;
    pid_t pid = fork();
    int r = child_burn();
    if (pid == 0)
        _exit(r);
    (void) waitpid(pid, NULL, 0);
    return r;
}

static void pressure_is_counted(void **state) {
    require_root();
    CgroupGroup *g = make_group("pressure");
    CgroupUsage u;
    int status = wait_for(start_in(g, child_compete)); /* two on one CPU: for 300 ms and more one of them waits */
    cgroup_usage_read(g, &u);
    char text[CGROUP_FILE_MAX];
    bool measured = cgroup_file_read(cgroup_group_fd(g), "cpu.pressure", text, sizeof(text)) > 0;
    remove_group(g);
    assert_int_equal(status, 0);
    if (!measured) {
        assert_non_null(strstr(u.reasons[CGROUP_PRESSURE_CPU_SOME_USEC], "psi=1"));
        skip_because("the kernel does not measure pressure");
    }
    assert_in_range(u.values[CGROUP_PRESSURE_CPU_SOME_USEC], 150000, 30 * SECOND);
    assert_in_range(u.values[CGROUP_PRESSURE_CPU_FULL_USEC], 0, u.values[CGROUP_PRESSURE_CPU_SOME_USEC]);
    assert_true(u.values[CGROUP_PRESSURE_MEMORY_SOME_USEC] != CGROUP_UNKNOWN);
    assert_true(u.values[CGROUP_PRESSURE_IO_FULL_USEC] != CGROUP_UNKNOWN);
}

static void a_counter_is_known_or_has_a_reason(void **state) {
    require_root();
    CgroupGroup *g = make_group("usage");
    pid_t pid = start_in(g, child_sleep);
    CgroupUsage u;
    for (int i = 0; i < 3; i++)
        cgroup_usage_read(g, &u);
    for (CgroupCounter c = 0; c < _CGROUP_COUNTER_MAX; c++) {
        assert_int_equal(u.values[c] == CGROUP_UNKNOWN, u.reasons[c] != NULL);
        print_message("%s: %lld %s\n", cgroup_counter_name(c), (long long) u.values[c],
                      u.reasons[c] ? u.reasons[c] : "");
    }
    for (size_t i = 0; i < u.n_devices; i++)
        assert_true(u.devices[i].read_bytes + u.devices[i].write_bytes + u.devices[i].reads + u.devices[i].writes > 0);
    static const CgroupCounter v1_lacks[] = { CGROUP_MEMORY_HIGH, CGROUP_MEMORY_OOM };
    for (size_t i = 0; i < ELEMENTSOF(v1_lacks) && is_v1(CGROUP_MEMORY); i++)
        assert_non_null(strstr(u.reasons[v1_lacks[i]], "cgroup v1"));
    if (cgroup_hierarchies_version(hierarchies, CGROUP_MEMORY) != CGROUP_MISSING) {
        assert_string_equal(u.reasons[CGROUP_MEMORY_LIMIT], "");
        assert_int_equal(u.values[CGROUP_MEMORY_OOM_KILL], 0);
        assert_int_equal(u.values[CGROUP_MEMORY_MAX], 0);
    } else
        assert_true(strlen(u.reasons[CGROUP_MEMORY_LIMIT]) > 0);
    if (cgroup_hierarchies_version(hierarchies, CGROUP_PIDS) != CGROUP_MISSING) {
        assert_int_equal(u.values[CGROUP_PIDS_CURRENT], 1);
        assert_int_equal(u.values[CGROUP_PIDS_REFUSED], 0);
        assert_string_equal(u.reasons[CGROUP_PIDS_LIMIT], "");
    }
    assert_int_equal(cgroup_group_remove(g, 10 * SECOND, NULL), 0);
    wait_for(pid);
    cgroup_usage_read(g, &u);
    for (CgroupCounter c = 0; c < _CGROUP_COUNTER_MAX; c++)
        assert_true(u.values[c] == CGROUP_UNKNOWN && u.reasons[c] && *u.reasons[c]);
    assert_int_equal(u.n_devices, 0);
    cgroup_group_free(g);
}

/* Prints what one sample takes; how fast the machine is must not decide a test. */
static void a_sample_is_cheap(void **state) {
    require_root();
    CgroupGroup *g = make_group("idle");
    pid_t pid = start_in(g, child_sleep);
    CgroupUsage u;
    uint64_t best = UINT64_MAX;
    for (int i = 0; i < 20; i++) {
        struct timespec a, b;
        clock_gettime(CLOCK_MONOTONIC, &a);
        for (int k = 0; k < 100; k++)
            cgroup_usage_read(g, &u);
        clock_gettime(CLOCK_MONOTONIC, &b);
        uint64_t nsec = (uint64_t) ((b.tv_sec - a.tv_sec) * 1000000000L + b.tv_nsec - a.tv_nsec) / 100;
        best = nsec < best ? nsec : best;
    }
    print_message("a sample takes %.1f us\n", (double) best / 1000);
    remove_group(g);
    wait_for(pid);
}

static unsigned count_fds(void) {
    unsigned n = 0;
    for (int fd = 0; fd < 1024; fd++)
        n += fcntl(fd, F_GETFD) >= 0;
    return n;
}

/* Many containers and few descriptors: what cannot be kept open is opened each time, and says the same. */
static void descriptors_kept_are_bounded(void **state) {
    require_root();
    unsigned before = hierarchies->kept_max;
    CgroupGroup *a = make_group("kept"), *b = make_group("not-kept");
    unsigned fds = count_fds();
    hierarchies->kept_max = atomic_load(&hierarchies->n_kept) + 5;
    CgroupUsage first, second;
    for (int i = 0; i < 3; i++) {
        cgroup_usage_read(a, &first);
        cgroup_usage_read(b, &second);
    }
    assert_int_equal(count_fds(), fds + 5);
    for (size_t i = 0; i < _CGROUP_COUNTER_MAX; i++)
        assert_int_equal(first.values[i] == CGROUP_UNKNOWN, second.values[i] == CGROUP_UNKNOWN);
    remove_group(a);
    remove_group(b);
    hierarchies->kept_max = before;
    assert_int_equal(atomic_load(&hierarchies->n_kept), 0);
}

/* ---- notices ---- */

/* Opens the sources, none of which may have fired yet. */
static int open_events(CgroupGroup *g, CgroupEventSource sources[CGROUP_EVENT_SOURCES_MAX]) {
    struct epoll_event e;
    int n = cgroup_events_open(g, sources);
    assert_true(n >= 0);
    int epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    for (int i = 0; i < n; i++) {
        e = (struct epoll_event){ .events = sources[i].events, .data.fd = sources[i].fd };
        assert_int_equal(epoll_ctl(epoll_fd, EPOLL_CTL_ADD, sources[i].fd, &e), 0);
    }
    assert_int_equal(epoll_wait(epoll_fd, &e, 1, 20), 0);
    return epoll_fd;
}

/* Waits for notices, acknowledging each, until COUNTER is at least VALUE. How many there were. */
static int wait_events(CgroupGroup *g, int epoll_fd, const uint64_t *counter, uint64_t value, CgroupEvents *events) {
    for (int n = 0; n < 1000;) {
        struct epoll_event e[4];
        int fired = epoll_wait(epoll_fd, e, 4, 10000);
        if (fired <= 0)
            fail_msg("no notice came, the counter is %llu", (unsigned long long) *counter);
        for (int i = 0; i < fired; i++, n++)
            cgroup_events_acknowledge(g, e[i].data.fd);
        cgroup_events_read(g, events);
        if (*counter >= value && *counter != CGROUP_UNKNOWN)
            return n;
    }
    fail_msg("notices without end");
    return 0;
}

/* No more notices than belong to what has happened. */
static void assert_quiet(CgroupGroup *g, int epoll_fd) {
    struct epoll_event e;
    int n = 0;
    while (epoll_wait(epoll_fd, &e, 1, 150) > 0 && n++ < 10)
        cgroup_events_acknowledge(g, e.data.fd);
    assert_true(n < 5);
    assert_int_equal(epoll_wait(epoll_fd, &e, 1, 20), 0);
}

static int child_fork_five(void) {
    for (int i = 0; i < 5; i++)
        if (fork() == 0)
            _exit(child_sleep());
    return child_sleep();
}

static void refused_forks_are_noticed(void **state) {
    require(CGROUP_PIDS);
    CgroupGroup *g = make_group("refused");
    CgroupLimits l = CGROUP_LIMITS_NONE;
    l.pids = 3;
    assert_int_equal(cgroup_limits_apply(g, NULL, &l, NULL), 0);
    CgroupEventSource sources[CGROUP_EVENT_SOURCES_MAX];
    int epoll_fd = open_events(g, sources);
    pid_t pid = start_in(g, child_fork_five);
    CgroupEvents events;
    CgroupUsage u;
    until(g, &u, CGROUP_PIDS_REFUSED, 3);
    assert_int_equal(u.values[CGROUP_PIDS_REFUSED], 3);
    cgroup_events_read(g, &events);
    assert_int_equal(events.pids_refused, 3);
    struct pollfd p = { epoll_fd, POLLIN, 0 };
    if (is_v1(CGROUP_PIDS) && poll(&p, 1, 500) == 0) {
        remove_group(g);
        wait_for(pid);
        close(epoll_fd);
        skip_because("this kernel counts refused forks on v1, but does not notify");
    }
    wait_events(g, epoll_fd, &events.pids_refused, 3, &events);
    assert_quiet(g, epoll_fd);
    /* again the same fds, and reading the usage takes no notice away */
    assert_int_equal(cgroup_events_open(g, sources), cgroup_events_open(g, sources));
    CgroupLimits former = l;
    l.pids = 4; /* room for one more, so that it can be born in there */
    assert_int_equal(cgroup_limits_apply(g, &former, &l, NULL), 0);
    pid_t second = start_in(g, child_fork_five);
    until(g, &u, CGROUP_PIDS_REFUSED, 8);
    wait_events(g, epoll_fd, &events.pids_refused, 8, &events);
    remove_group(g);
    wait_for(pid);
    wait_for(second);
    close(epoll_fd);
}

static int child_outgrow(void) {
    pid_t pid = fork();
    if (pid == 0) {
        char *p = mmap(NULL, 64 * MIB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        memset(p, 1, 64 * MIB);
        _exit(0);
    }
    (void) waitpid(pid, NULL, 0);
    return child_sleep();
}

static void an_oom_kill_is_noticed(void **state) {
    require(CGROUP_MEMORY);
    CgroupGroup *g = make_group("oom");
    CgroupLimits l = CGROUP_LIMITS_NONE;
    l.memory = 16 * MIB;
    assert_int_equal(cgroup_limits_apply(g, NULL, &l, NULL), 0);
    CgroupEventSource sources[CGROUP_EVENT_SOURCES_MAX];
    int epoll_fd = open_events(g, sources);
    pid_t pid = start_in(g, child_outgrow);
    CgroupEvents events;
    wait_events(g, epoll_fd, &events.memory_oom_kill, 1, &events);
    assert_int_equal(events.memory_oom_kill, 1);
    if (!is_v1(CGROUP_MEMORY)) /* which may not count it where swap is limited too */
        assert_in_range(events.memory_max, 1, 1000000);
    assert_int_equal(events.memory_oom == CGROUP_UNKNOWN, is_v1(CGROUP_MEMORY));
    assert_int_equal(events.memory_high == CGROUP_UNKNOWN, is_v1(CGROUP_MEMORY));
    assert_quiet(g, epoll_fd);
    assert_int_equal(waitpid(pid, NULL, WNOHANG), 0); /* the parent lives */
    pid_t second = start_in(g, child_outgrow);
    wait_events(g, epoll_fd, &events.memory_oom_kill, 2, &events);
    remove_group(g);
    wait_for(pid);
    wait_for(second);
    close(epoll_fd);
}

static int child_hold_24_mib(void) {
    char *p = mmap(NULL, 24 * MIB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    memset(p, 1, 24 * MIB);
    return child_sleep();
}

static void memory_above_high_is_noticed(void **state) {
    require(CGROUP_MEMORY);
    if (is_v1(CGROUP_MEMORY))
        skip_because("memory.high is cgroup2's");
    CgroupGroup *g = make_group("high");
    CgroupLimits l = CGROUP_LIMITS_NONE;
    l.memory = 64 * MIB;
    l.memory_high = 16 * MIB;
    assert_int_equal(cgroup_limits_apply(g, NULL, &l, NULL), 0);
    CgroupEventSource sources[CGROUP_EVENT_SOURCES_MAX];
    int epoll_fd = open_events(g, sources);
    pid_t pid = start_in(g, child_hold_24_mib);
    CgroupEvents events;
    wait_events(g, epoll_fd, &events.memory_high, 1, &events);
    assert_int_equal(events.memory_oom_kill, 0);
    remove_group(g);
    wait_for(pid);
    close(epoll_fd);
}

int main(int argc, char **argv) {
    const struct CMUnitTest text[] = {
        TEST(io_is_read_in_either_version),
        TEST(many_devices_are_summed),
    };
    const struct CMUnitTest tests[] = {
        TEST(anonymous_memory_is_counted),
        TEST(file_and_shared_memory_are_told_apart),
        TEST(direct_io_is_counted),
        TEST(cpu_time_is_counted),
        TEST(pressure_is_counted),
        TEST(a_counter_is_known_or_has_a_reason),
        TEST(a_sample_is_cheap),
        TEST(descriptors_kept_are_bounded),
        TEST(refused_forks_are_noticed),
        TEST(an_oom_kill_is_noticed),
        TEST(memory_above_high_is_noticed),
    };
    return cgroup_fixture_main(argc, argv, text, ELEMENTSOF(text), tests, ELEMENTSOF(tests));
}
