/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The look of daemon/watch: its comparisons fed with views that differ, and the whole of it on real processes in real
 * cgroups. What it reports to is this test's own: the functions of watch.c, evidence.c and foreign.c that it uses.
 */

#include "cgroup-fixture.h"
#include "util/process.h"
#include "watch/look.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <grp.h>
#include <net/if.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>

#define FOUND_MAX  512
#define CONTAINERS 100

/* ---- what stands in for the rest of the watch ---- */

static Finding *found[FOUND_MAX];
static size_t n_found, n_reported, n_executed;
static unsigned share; /* of what may be collected; the test's to fill up */
static pid_t executed;

uint64_t watch_now(void) {
    struct timespec t;
    (void) clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t) t.tv_sec * SECOND + (uint64_t) t.tv_nsec / 1000U;
}

bool watch_may_collect(WatchSubject *s) {
    share -= share > 0;
    return share > 0;
}

bool watch_wants(const WatchSubject *s, FindingKind k) {
    return s->actions[k] != FINDING_OFF;
}

void watch_report(WatchSubject *s, Finding *consume_finding) {
    n_reported++;
    if (n_found < FOUND_MAX)
        found[n_found++] = consume_finding;
    else
        (void) finding_free(consume_finding);
}

const char *watch_missing(const Watch *w, FindingKind kind) {
    return NULL;
}

int evidence_collect(WatchSubject *s, pid_t host_pid, int pidfd, Finding *f) {
    f->host_pid = host_pid;
    return 0;
}

void evidence_set(Finding *f, const char *format, ...) {
    va_list ap;
    va_start(ap, format);
    (void) vsnprintf(f->evidence, sizeof(f->evidence), format, ap);
    va_end(ap);
}

void foreign_unseen(WatchSubject *s, pid_t host_pid) {
    n_executed++;
    executed = host_pid;
}

void disguise_executed(WatchSubject *s, pid_t host_pid) {}

void preload_look(WatchSubject *s, pid_t host_pid) {}

Origin foreign_origin(const WatchSubject *s, int file_fd, char *path) {
    return ORIGIN_LAYER;
}

static void forget_found(void) {
    while (n_found > 0)
        (void) finding_free(found[--n_found]);
    n_reported = n_executed = 0;
    share = 1000000;
}

static const Finding *the_only(FindingKind k) {
    for (size_t i = 0; i < n_found; i++)
        print_message("%s: %s\n", finding_kind_to_string(found[i]->kind), found[i]->evidence);
    assert_int_equal(n_found, 1);
    assert_int_equal(found[0]->kind, k);
    return found[0];
}

/* ---- lists ---- */

static void what_a_list_lacks_is_named(void **state) {
    pid_t all[] = { 1, 5, 9, 12 }, listed[] = { 1, 2, 9 }, missing[4];
    assert_int_equal(look_missing(all, 4, listed, 3, missing), 2);
    assert_true(missing[0] == 5 && missing[1] == 12);
    assert_int_equal(look_missing(all, 4, all, 4, missing), 0);
    assert_int_equal(look_missing(all, 4, listed, 0, missing), 4);
    assert_int_equal(look_missing(all, 0, listed, 3, missing), 0);
}

static void a_surplus_is_told_when_it_stays(void **state) {
    LookSurplus s = { 0 };
    assert_false(look_surplus(&s, 5, 5));
    assert_false(look_surplus(&s, 6, 5));
    assert_false(look_surplus(&s, 6, 5));
    assert_false(look_surplus(&s, 8, 5)); /* another one: begins again */
    assert_false(look_surplus(&s, 9, 6));
    assert_true(look_surplus(&s, 13, 10));
    s.told = true;
    assert_false(look_surplus(&s, 13, 10));
    assert_false(look_surplus(&s, 10, 10));
    assert_false(s.told);
    /* fewer counted than seen: a process that ended between the two */
    for (int i = 0; i < 5; i++)
        assert_false(look_surplus(&s, 4, 5));
}

/* ---- credentials ---- */

#define STATUS                                                                                                         \
    "Name:\tCapEff:\nUmask:\t0022\nState:\tS (sleeping)\nTgid:\t77\nNgid:\t0\nPid:\t77\nPPid:\t1\nTracerPid:\t0\n"     \
    "Uid:\t1879048192\t1879048193\t1879048192\t1879048192\nGid:\t1879048192\t1879048192\t1879048192\t1879048192\n"     \
    "FDSize:\t64\nGroups:\t1879048192 \nNStgid:\t77\t3\nNSpid:\t77\t3\nNSpgid:\t77\t3\nVmPeak:\t 100 kB\n"             \
    "Threads:\t1\nCapInh:\t0000000000000000\nCapPrm:\t0000000000000400\nCapEff:\t0000000000000400\n"                   \
    "CapBnd:\t0000000000000400\nCapAmb:\t0000000000000000\nNoNewPrivs:\t1\nSeccomp:\t2\nSeccomp_filters:\t1\n"

static const uint64_t the_hosts[8] = { 1, 2, 3, 4, 5, 6, 7, 8 };

static void fill(WatchSubject *s, LookCredentials *c) {
    *s = (WatchSubject){
        .id_base = 1879048192,
        .capabilities = 0x400,
        .seccomp = true,
        .namespaces = { 101, 102, 103, 104, 105, 106, 107, 108 },
    };
    *c = (LookCredentials){ 0 };
    assert_true(look_parse_status(STATUS, c));
    memcpy(c->namespaces, s->namespaces, sizeof(c->namespaces));
}

static void status_is_parsed(void **state) {
    LookCredentials c = { 0 };
    assert_true(look_parse_status(STATUS, &c));
    assert_int_equal(c.state, 'S');
    assert_int_equal(c.ids[1], 1879048193);
    assert_int_equal(c.inner_pid, 3);
    assert_int_equal(c.capabilities[2], 0x400);
    assert_true(c.no_new_privs == 1 && c.seccomp == 2);
    assert_false(look_parse_status("Name:\tx\nState:\tS\n", &c));
}

/* Each row: one thing changed, and a word of what is said of it. */
static void differences_are_found(void **state) {
    WatchSubject s;
    LookCredentials c;
    char text[FINDING_EVIDENCE_MAX];
    fill(&s, &c);
    assert_false(look_differs(&s, &c, the_hosts, text, sizeof(text)));

#define DIFFERS(change, word)                                                                                          \
    do {                                                                                                               \
        fill(&s, &c);                                                                                                  \
        change;                                                                                                        \
        assert_true(look_differs(&s, &c, the_hosts, text, sizeof(text)));                                              \
        assert_non_null(strstr(text, word));                                                                           \
    } while (0)
    DIFFERS(c.ids[3] = 0, "uid 0");
    DIFFERS(c.ids[4] = 1879048192 + 65536, "gid 1879113728");
    DIFFERS(c.ids[0] = 1879048191, "uid");
    DIFFERS(c.capabilities[4] = 1ULL << 21, "SYS_ADMIN");
    DIFFERS(c.capabilities[3] |= 1ULL << 63, "63");
    DIFFERS(c.no_new_privs = 0, "no_new_privs");
    DIFFERS(c.seccomp = 0, "seccomp");
    DIFFERS(c.namespaces[2] = 3, "host's mount");
    DIFFERS(c.namespaces[1] = 999, "another pid");
    DIFFERS(snprintf(s.apparmor_label, 256, "kennel-1 (enforce)"), "none");
    DIFFERS((snprintf(s.selinux_label, 256, "a:b:c:s0"), snprintf(c.selinux_label, 256, "x")), "SELinux");
    /* who may make namespaces may have made one, but not be in the host's */
    DIFFERS((s.seccomp = false, c.namespaces[2] = 3), "host's mount");

#define SAME(change)                                                                                                   \
    do {                                                                                                               \
        fill(&s, &c);                                                                                                  \
        change;                                                                                                        \
        assert_false(look_differs(&s, &c, the_hosts, text, sizeof(text)));                                             \
    } while (0)
    SAME(c.capabilities[1] = c.capabilities[2] = 0);
    SAME(c.ids[2] = 1879048192 + 65535);
    SAME((s.seccomp = false, c.seccomp = 0));
    SAME(c.namespaces[7] = 0); /* it is ending */
    SAME((s.seccomp = false, c.namespaces[1] = 999));
    SAME((s.seccomp = false, c.namespaces[0] = 999, c.capabilities[2] = UINT64_MAX));
}

/* ---- load ---- */

static void numbers_are_counted_over_the_end(void **state) {
    assert_int_equal(look_numbers_between(10, 15, 32768), 5);
    assert_int_equal(look_numbers_between(15, 15, 32768), 0);
    assert_int_equal(look_numbers_between(32760, 310, 32768), 18);
}

static void fork_storms_are_told_at_the_second_look(void **state) {
    LookForks f = { 0 };
    uint64_t rate;
    assert_false(look_forks(&f, SECOND, 32768, 500, &rate)); /* nobody seen */
    look_forks_see(&f, 100, 32000, 32768);
    look_forks_see(&f, 99, 5, 32768); /* older */
    assert_false(look_forks(&f, 1 * SECOND, 32768, 500, &rate));
    look_forks_see(&f, 200, 32700, 32768);
    assert_false(look_forks(&f, 2 * SECOND, 32768, 500, &rate));
    assert_int_equal(rate, 700);
    look_forks_see(&f, 200, 900, 32768); /* the same tick, over the end */
    assert_true(look_forks(&f, 3 * SECOND, 32768, 500, &rate));
    assert_int_equal(rate, 668);
    f.told = true;
    look_forks_see(&f, 300, 2000, 32768);
    assert_false(look_forks(&f, 4 * SECOND, 32768, 500, &rate));
    assert_false(look_forks(&f, 5 * SECOND, 32768, 500, &rate));
    assert_false(f.told);
    /* one busy second is none */
    look_forks_see(&f, 400, 4000, 32768);
    assert_false(look_forks(&f, 6 * SECOND, 32768, 500, &rate));
    assert_false(look_forks(&f, 7 * SECOND, 32768, 500, &rate));
}

static void cpu_is_told_when_it_lasts(void **state) {
    LookCpu c = { 0 };
    uint64_t quota = 500000; /* half a CPU */
    unsigned told = 0;
    for (uint64_t t = 1; t <= 6; t++)
        told += look_cpu(&c, t * SECOND, t * 490000, 0, 0, quota, 5);
    assert_int_equal(told, 1);
    assert_false(look_cpu(&c, 7 * SECOND, 6 * 490000, 0, 0, quota, 5)); /* idle: all over again */
    for (uint64_t t = 8; t <= 30; t++)                                  /* 90 % */
        assert_false(look_cpu(&c, t * SECOND, 6 * 490000 + t * 450000, 0, 0, quota, 5));
    c = (LookCpu){ 0 };
    told = 0;
    for (uint64_t t = 1; t <= 6; t++) /* throttled in most of its periods */
        told += look_cpu(&c, t * SECOND, t * 400000, t * 10, t * 8, quota, 5);
    assert_int_equal(told, 1);
}

/* ---- sockets ---- */

static bool listens_on_80(void *userdata, uint16_t port) {
    return port == 80;
}

static void sockets_are_judged(void **state) {
    NetworkPort ports[] = { { .container_port = 80 }, { .container_port = 53, .udp = true } };
    SocketsEntry e = { .protocol = SOCKETS_TCP, .listening = true, .state = TCP_LISTEN, .local_port = 80 };
    assert_false(look_is_unnamed_listener(&e, ports, 2));
    e.local_port = 53;
    assert_true(look_is_unnamed_listener(&e, ports, 2)); /* published for UDP alone */
    e.protocol = SOCKETS_UDP;
    assert_false(look_is_unnamed_listener(&e, ports, 2));
    e.local_port = 40000;
    assert_false(look_is_unnamed_listener(&e, ports, 2)); /* a client's */
    e.protocol = SOCKETS_TCP;
    assert_true(look_is_unnamed_listener(&e, ports, 2));
    memcpy(e.local, (unsigned char[]){ 127, 0, 0, 53 }, 4);
    assert_false(look_is_unnamed_listener(&e, ports, 2));
    e = (SocketsEntry){ .protocol = SOCKETS_TCP6, .listening = true, .local_port = 22 };
    assert_true(look_is_unnamed_listener(&e, ports, 2)); /* [::] */
    e.local[15] = 1;
    assert_false(look_is_unnamed_listener(&e, ports, 2));

    e = (SocketsEntry){ .protocol = SOCKETS_TCP, .state = TCP_ESTABLISHED, .local_port = 40000, .remote_port = 443 };
    e.remote[0] = 10;
    assert_true(look_is_outbound(&e, listens_on_80, NULL));
    e.local_port = 80; /* somebody has connected to it */
    assert_false(look_is_outbound(&e, listens_on_80, NULL));
    e.local_port = 40000;
    e.state = TCP_TIME_WAIT;
    assert_false(look_is_outbound(&e, listens_on_80, NULL));
    e.state = TCP_SYN_SENT;
    assert_true(look_is_outbound(&e, listens_on_80, NULL));
    e.remote[0] = 127;
    assert_false(look_is_outbound(&e, listens_on_80, NULL));
}

/* ---- real processes ---- */

static struct { atomic_int ready, stop; } * shared;

static Watch *watch;
static LookHost *host;

static int setup_look(void **state) {
    shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    watch = calloc(1, sizeof(Watch));
    assert_true(shared != MAP_FAILED && watch);
    watch->config = (WatchConfig){ .forks_per_second = 30, .cpu_seconds = 60 };
    assert_int_equal(look_new(watch, &host), 0);
    forget_found();
    return 0;
}

static int teardown_look(void **state) {
    forget_found();
    host = look_free(host);
    free(watch);
    return munmap(shared, sizeof(*shared));
}

#define LOOK_TEST(f) cmocka_unit_test_setup_teardown(f, setup_look, teardown_look)

static void await_ready(int n) {
    for (int i = 0; i < 10000 && atomic_load(&shared->ready) < n; i++)
        (void) poll(NULL, 0, 1);
    assert_true(atomic_load(&shared->ready) >= n);
}

/* No other container has these. */
#define ID_BASE 1995000000U

/* A container, whose processes are the test's children. */
static void make_subject(WatchSubject *s, const char *id, pid_t first) {
    char name[64];
    *s = (WatchSubject){
        .watch = watch,
        .group = NULL,
        .pid = first,
        .pidfd = process_pidfd_open(first),
        .capabilities = UINT64_MAX,
        .id_base = ID_BASE,
        .cpu_quota_per_sec_usec = UINT64_MAX,
    };
    (void) snprintf(s->id, sizeof(s->id), "%s", id);
    assert_int_equal(cgroup_group_open(hierarchies, id, &s->group, NULL), 0);
    (void) snprintf(s->cgroup_path, sizeof(s->cgroup_path), "%s", cgroup_group_path(s->group));
    (void) snprintf(name, sizeof(name), "%d", (int) first);
    for (size_t i = 0; i < 8; i++)
        s->namespaces[i] = host->namespaces[i];
    int dir_fd = look_open(host, first);
    s->start_time = look_start_time(dir_fd);
    (void) fd_close(dir_fd);
}

static void drop_subject(WatchSubject *s) {
    look_memory_free(s->memory);
    (void) fd_close(s->pidfd);
    (void) cgroup_group_free(s->group);
}

static void look(WatchSubject *const *subjects, size_t n) {
    look_at_all(host, subjects, n);
}

static void take_ids(void) {
    (void) prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (setgroups(0, NULL) < 0 || setresgid(ID_BASE + 5, ID_BASE + 5, ID_BASE + 5) < 0 ||
        setresuid(ID_BASE + 5, ID_BASE + 5, ID_BASE + 5) < 0)
        _exit(1);
    (void) prctl(PR_SET_PDEATHSIG, SIGKILL);
}

static void become_ordinary(void) {
    (void) prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    take_ids();
}

static int child_good(void) {
    become_ordinary();
    atomic_fetch_add(&shared->ready, 1);
    return child_sleep();
}

static int child_bad(void) {
    take_ids();
    atomic_fetch_add(&shared->ready, 1);
    return child_sleep();
}

static void kill_all(CgroupGroup *g) {
    remove_group(g);
    while (waitpid(-1, NULL, WNOHANG) > 0)
        ;
}

/* The test's children run the test's program: what is on its way is told by the daemon's own. */
static void not_on_its_way(void) {
    host->program_ino++;
}

static void one_that_differs_is_told_once(void **state) {
    require_root();
    CgroupGroup *g = make_group("members");
    pid_t good = start_in(g, child_good);
    await_ready(1);
    WatchSubject s, *list = &s;
    make_subject(&s, "members", good);
    look(&list, 1);
    assert_int_equal(n_found, 0);
    pid_t bad = start_in(g, child_bad);
    await_ready(2);
    look(&list, 1);
    assert_int_equal(n_found, 0); /* young, and still runs "the daemon's" program */
    not_on_its_way();
    s.memory->processes.items[good < bad].looked_usec = 0; /* its turn */
    look(&list, 1);
    const Finding *f = the_only(FINDING_FOREIGN_PROCESS);
    assert_int_equal(f->host_pid, bad);
    assert_int_equal(f->severity, FINDING_HIGH);
    s.memory->processes.items[good < bad].looked_usec = 0;
    look(&list, 1);
    assert_int_equal(n_found, 1);
    drop_subject(&s);
    kill_all(g);
}

static void one_outside_of_the_cgroup_is_an_escape(void **state) {
    require_root();
    CgroupGroup *g = make_group("home"), *away = make_group("away");
    pid_t inside = start_in(g, child_good), outside = start_in(away, child_good);
    await_ready(2);
    not_on_its_way();
    WatchSubject s, *list = &s;
    make_subject(&s, "home", inside);
    look(&list, 1); /* a child of ours: perhaps on its way */
    assert_int_equal(n_found, 0);
    look(&list, 1);
    const Finding *f = the_only(FINDING_FOREIGN_PROCESS);
    assert_int_equal(f->host_pid, outside);
    assert_non_null(strstr(f->evidence, "cgroup"));
    look(&list, 1);
    assert_int_equal(n_found, 1);
    drop_subject(&s);
    remove_group(away);
    kill_all(g);
}

/* ---- a process whose first thread has ended ---- */

static void *thread_sleeps(void *userdata) {
    atomic_fetch_add(&shared->ready, 1);
    for (;;)
        (void) pause();
    return NULL;
}

static void lose_the_first_thread(void) {
    pthread_t t;
    if (pthread_create(&t, NULL, thread_sleeps, NULL) == 0)
        (void) syscall(SYS_exit, 0);
    _exit(1);
}

static int child_headless(void) {
    take_ids();
    lose_the_first_thread();
    return 1;
}

static void await_state(pid_t pid, char state) {
    char text[1024] = "";
    for (int i = 0; i < 5000; i++) {
        _cleanup_fd_ int dir_fd = look_open(host, pid);
        const char *p = look_read_at(dir_fd, "stat", text, sizeof(text)) > 0 ? strrchr(text, ')') : NULL;
        if (p && p[2] == state)
            return;
        (void) poll(NULL, 0, 1);
    }
    fail_msg("%s", text);
}

/* Unreaped it would keep its cgroup. */
static void end_headless(pid_t pid) {
    assert_int_equal(kill(pid, SIGKILL), 0);
    (void) wait_for(pid);
}

static void one_without_its_first_thread_is_looked_at(void **state) {
    require_root();
    CgroupGroup *g = make_group("headless");
    pid_t good = start_in(g, child_good), headless = start_in(g, child_headless);
    await_ready(2);
    await_state(headless, 'Z');
    not_on_its_way();
    WatchSubject s, *list = &s;
    make_subject(&s, "headless", good);
    look(&list, 1);
    const Finding *f = the_only(FINDING_FOREIGN_PROCESS);
    assert_int_equal(f->host_pid, headless);
    assert_non_null(strstr(f->evidence, "no_new_privs"));
    drop_subject(&s);
    end_headless(headless);
    kill_all(g);
}

static void nor_does_it_escape_by_that(void **state) {
    require_root();
    CgroupGroup *g = make_group("home"), *away = make_group("away");
    pid_t inside = start_in(g, child_good), outside = start_in(away, child_headless);
    await_ready(2);
    await_state(outside, 'Z');
    WatchSubject s, *list = &s;
    make_subject(&s, "home", inside);
    look(&list, 1);
    look(&list, 1);
    assert_int_equal(the_only(FINDING_FOREIGN_PROCESS)->host_pid, outside);
    drop_subject(&s);
    end_headless(outside);
    remove_group(away);
    kill_all(g);
}

/* ---- more of them than one look has time for ---- */

#define MANY 400

static void each_of_many_has_its_turn(void **state) {
    require_root();
    CgroupGroup *g = make_group("many");
    for (int i = 0; i < MANY; i++)
        (void) start_in(g, child_sleep);
    _cleanup_free_ pid_t *pids = NULL;
    size_t n;
    assert_int_equal(cgroup_group_pids(g, &pids, &n), 0);
    assert_int_equal(n, MANY);
    WatchSubject s;
    make_subject(&s, "many", pids[0]);
    s.memory = calloc(1, sizeof(LookMemory));
    s.actions[FINDING_FOREIGN_PROCESS] = FINDING_OFF;
    uint64_t oldest = 0, begun = watch_now();
    for (uint64_t second = 0; second < 30; second++) {
        host->now = begun + second * SECOND;
        host->budget = LOOK_FULL_MAX;
        look_at_members(host, &s, pids, n);
        assert_true(host->budget >= LOOK_FULL_MAX - LOOK_FULL_OF_ONE_MAX);
    }
    for (size_t i = 0; i < n; i++) {
        uint64_t age = host->now - s.memory->processes.items[i].looked_usec;
        oldest = age > oldest ? age : oldest;
    }
    print_message("the one looked at longest ago: %llu ms\n", (unsigned long long) oldest / 1000U);
    assert_true(oldest <= (MANY / LOOK_FULL_OF_ONE_MAX + 1) * SECOND);
    drop_subject(&s);
    kill_all(g);
}

static char copy[64];

static int child_copy(void) {
    become_ordinary();
    execl(copy, "sleep", "1000", NULL);
    return 1;
}

static void a_deleted_program_is_told(void **state) {
    require_root();
    (void) snprintf(copy, sizeof(copy), "/tmp/kennel-look-%d", (int) getpid());
    char command[128];
    (void) snprintf(command, sizeof(command), "cp /bin/sleep %s", copy);
    assert_int_equal(system(command), 0);
    CgroupGroup *g = make_group("deleted");
    pid_t pid = start_in(g, child_copy);
    struct stat st, mine;
    char path[64];
    assert_int_equal(stat(copy, &mine), 0);
    (void) snprintf(path, sizeof(path), "/proc/%d/exe", (int) pid);
    for (int i = 0; i < 5000 && (stat(path, &st) < 0 || st.st_ino != mine.st_ino); i++)
        (void) poll(NULL, 0, 1);
    WatchSubject s, *list = &s;
    make_subject(&s, "deleted", pid);
    look(&list, 1);
    assert_int_equal(n_found, 0);
    assert_int_equal(unlink(copy), 0);
    look(&list, 1); /* the second look at a new one is the next */
    assert_int_equal(the_only(FINDING_DELETED_PROGRAM)->severity, FINDING_MEDIUM);
    s.memory->processes.items[0].looked_usec = 0;
    look(&list, 1);
    assert_int_equal(n_found, 1);
    /* and nobody has watched when it was executed */
    assert_int_equal(n_executed, 0);
    look_memory_free(s.memory);
    s.memory = NULL;
    s.runs = true;
    look(&list, 1);
    assert_int_equal(n_executed, 1);
    assert_int_equal(executed, pid);
    drop_subject(&s);
    kill_all(g);
}

/* As fast as it can: processes that end at once, and every tenth is left unreaped for a while. */
static int child_churn(void) {
    become_ordinary();
    atomic_fetch_add(&shared->ready, 1);
    for (unsigned i = 0; !atomic_load(&shared->stop); i++) {
        if (fork() == 0)
            _exit(0);
        if (i % 10 == 9)
            while (waitpid(-1, NULL, WNOHANG) > 0)
                ;
    }
    return 0;
}

static int child_zombie(void) {
    become_ordinary();
    if (fork() == 0)
        _exit(0);
    atomic_fetch_add(&shared->ready, 1);
    return child_sleep();
}

static void what_comes_and_goes_is_not_hidden(void **state) {
    require_root();
    CgroupGroup *g = make_group("churn");
    pid_t first = start_in(g, child_zombie);
    (void) start_in(g, child_churn);
    await_ready(2);
    WatchSubject s, *list = &s;
    make_subject(&s, "churn", first);
    s.actions[FINDING_FORK_STORM] = FINDING_OFF;
    for (int i = 0; i < 40; i++)
        look(&list, 1);
    for (size_t i = 0; i < n_found; i++)
        print_message("%s\n", found[i]->evidence);
    assert_int_equal(n_found, 0);
    drop_subject(&s);
    kill_all(g);
}

static void a_storm_is_told(void **state) {
    require_root();
    CgroupGroup *g = make_group("storm");
    pid_t pid = start_in(g, child_churn);
    await_ready(1);
    WatchSubject s, *list = &s;
    make_subject(&s, "storm", pid);
    for (int i = 0; i < 8 && n_found == 0; i++) {
        look(&list, 1);
        (void) poll(NULL, 0, 200);
    }
    the_only(FINDING_FORK_STORM);
    drop_subject(&s);
    kill_all(g);
}

/* ---- sockets of a real namespace ---- */

static int child_listens(void) {
    struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons(4444) };
    if (unshare(CLONE_NEWNET) < 0)
        return 1;
    become_ordinary();
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (bind(fd, (struct sockaddr *) &a, sizeof(a)) < 0 || listen(fd, 1) < 0)
        return 1;
    atomic_fetch_add(&shared->ready, 1);
    return child_sleep();
}

static void a_listener_is_told_with_its_process(void **state) {
    require_root();
    CgroupGroup *g = make_group("listener");
    pid_t pid = start_in(g, child_listens);
    await_ready(1);
    WatchSubject s, *list = &s;
    make_subject(&s, "listener", pid);
    int dir_fd = look_open(host, pid);
    s.namespaces[7] = look_link_number(dir_fd, "ns/net");
    (void) fd_close(dir_fd);
    look(&list, 1);
    assert_int_equal(n_found, 0); /* no bridge: nobody can reach it */
    s.network = SANDBOX_NETWORK_BRIDGE;
    look(&list, 1);
    const Finding *f = the_only(FINDING_LISTENER);
    assert_int_equal(f->host_pid, pid);
    assert_non_null(strstr(f->evidence, "4444"));
    look(&list, 1);
    assert_int_equal(n_found, 1);
    drop_subject(&s);
    kill_all(g);
}

static void make_bridged(WatchSubject *s, const char *id, pid_t first) {
    make_subject(s, id, first);
    _cleanup_fd_ int dir_fd = look_open_living(host, first);
    s->namespaces[7] = look_link_number(dir_fd, "ns/net");
    s->network = SANDBOX_NETWORK_BRIDGE;
    s->actions[FINDING_FOREIGN_PROCESS] = FINDING_OFF;
    s->actions[FINDING_CONNECTION] = FINDING_OFF;
}

static int bound(int type, const char *address, uint16_t port) {
    struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons(port) };
    int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);
    if (fd < 0 || inet_pton(AF_INET, address, &a.sin_addr) != 1 || bind(fd, (struct sockaddr *) &a, sizeof(a)) < 0 ||
        (type == SOCK_STREAM && listen(fd, 1000) < 0))
        _exit(1);
    return fd;
}

#define LISTENERS 300

static int child_listens_often(void) {
    if (unshare(CLONE_NEWNET) < 0)
        return 1;
    for (unsigned i = 0; i < LISTENERS; i++)
        (void) bound(SOCK_STREAM, "0.0.0.0", (uint16_t) (1000 + i));
    become_ordinary();
    lose_the_first_thread();
    return 1;
}

static void many_listeners_are_told_once_and_by_and_by(void **state) {
    require_root();
    CgroupGroup *g = make_group("listeners");
    pid_t pid = start_in(g, child_listens_often);
    await_ready(1);
    await_state(pid, 'Z'); /* which hides them no more */
    WatchSubject s, *list = &s;
    make_bridged(&s, "listeners", pid);
    share = 21;
    look(&list, 1);
    assert_int_equal(n_reported, 20);
    share = 1000000;
    for (int i = 0; i < 5; i++)
        look(&list, 1);
    assert_int_equal(n_reported, LOOK_TOLD_MAX / 4);
    bool owned = false;
    for (size_t i = 0; i < n_found; i++) {
        assert_int_equal(found[i]->kind, FINDING_LISTENER);
        owned |= found[i]->host_pid == pid; /* it has more sockets than are looked through for one */
    }
    assert_true(owned);
    assert_int_equal(atomic_load(&s.dropped), LISTENERS - LOOK_TOLD_MAX / 4);
    drop_subject(&s);
    end_headless(pid);
    kill_all(g);
}

/* Not its loopback's, of which nothing is told. */
static void give_an_address(const char *address) {
    struct ifreq r = { .ifr_name = "lo" };
    struct sockaddr_in *a = (struct sockaddr_in *) &r.ifr_addr;
    _cleanup_fd_ int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    a->sin_family = AF_INET;
    if (inet_pton(AF_INET, address, &a->sin_addr) != 1 || ioctl(fd, SIOCSIFADDR, &r) < 0)
        _exit(1);
    r.ifr_flags = IFF_UP;
    if (ioctl(fd, SIOCSIFFLAGS, &r) < 0)
        _exit(1);
}

#define CONNECTIONS 150

static int child_serves(void) {
    struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons(80) };
    if (unshare(CLONE_NEWNET) < 0)
        return 1;
    give_an_address("10.9.9.9");
    (void) inet_pton(AF_INET, "10.9.9.9", &a.sin_addr);
    int server = bound(SOCK_STREAM, "10.9.9.9", 80);
    for (unsigned i = 0; i < CONNECTIONS; i++) {
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (connect(fd, (struct sockaddr *) &a, sizeof(a)) < 0 || accept4(server, NULL, NULL, SOCK_CLOEXEC) < 0)
            return 1;
    }
    (void) bound(SOCK_DGRAM, "0.0.0.0", 5300);
    become_ordinary();
    atomic_fetch_add(&shared->ready, 1);
    return child_sleep();
}

static void connections_hide_no_listener(void **state) {
    require_root();
    CgroupGroup *g = make_group("serves");
    pid_t pid = start_in(g, child_serves);
    NetworkPort port = { .container_port = 80 };
    await_ready(1);
    WatchSubject s, *list = &s;
    make_bridged(&s, "serves", pid);
    s.ports = &port;
    s.n_ports = 1;
    look(&list, 1);
    assert_non_null(strstr(the_only(FINDING_LISTENER)->evidence, "udp 0.0.0.0:5300"));
    assert_int_equal(atomic_load(&s.dropped), 0);
    /* the same where those are wanted too: each to the server is told once, none that it has accepted */
    s.actions[FINDING_CONNECTION] = FINDING_REPORT;
    look(&list, 1);
    look(&list, 1);
    assert_int_equal(n_reported, 2);
    assert_non_null(strstr(found[1]->evidence, "-> 10.9.9.9:80"));
    drop_subject(&s);
    kill_all(g);
}

#define CROWD       24
#define DESCRIPTORS 8000

/* Descriptors enough that none of them is asked for quickly; the sockets are of the last. */
static int child_has_many(void) {
    struct rlimit l = { DESCRIPTORS + 100, DESCRIPTORS + 100 };
    if (setrlimit(RLIMIT_NOFILE, &l) < 0 || unshare(CLONE_NEWNET) < 0)
        return 1;
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    for (unsigned i = 0; i < DESCRIPTORS; i++)
        if (dup(fd) < 0)
            return 1;
    become_ordinary();
    for (unsigned i = 0; i < CROWD; i++)
        if (fork() == 0) {
            (void) prctl(PR_SET_PDEATHSIG, SIGKILL);
            atomic_fetch_add(&shared->ready, 1);
            return child_sleep();
        }
    for (unsigned i = 0; i < 20; i++)
        (void) bound(SOCK_STREAM, "0.0.0.0", (uint16_t) (2000 + i));
    atomic_fetch_add(&shared->ready, 1);
    return child_sleep();
}

static uint64_t cpu_usec(void);

static void seeking_owners_takes_no_time_of_others(void **state) {
    require_root();
    CgroupGroup *g = make_group("crowd");
    pid_t pid = start_in(g, child_has_many);
    await_ready(CROWD + 1);
    WatchSubject s, *list = &s;
    make_bridged(&s, "crowd", pid);
    /* as if their owner had a higher number than all others */
    _cleanup_free_ pid_t *pids = NULL;
    size_t n;
    assert_int_equal(cgroup_group_pids(g, &pids, &n), 0);
    for (size_t i = 0; i < n; i++)
        if (pids[i] == pid)
            pids[i] = pids[0];
    look(&list, 0);
    s.memory = calloc(1, sizeof(LookMemory));
    uint64_t begun = cpu_usec();
    look_at_network(host, &s, pids, n);
    uint64_t passed = cpu_usec() - begun;
    print_message("%llu us for 20 sockets and %zu processes\n", (unsigned long long) passed, n);
    assert_true(passed < 300000);
    assert_int_equal(n_reported, 20);
    for (size_t i = 1; i < 20; i++)
        assert_false(finding_is_same(found[0], found[i]));
    drop_subject(&s);
    kill_all(g);
}

/* ---- cost ---- */

static uint64_t cpu_usec(void) {
    struct timespec t;
    (void) clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (uint64_t) t.tv_sec * 1000000U + (uint64_t) t.tv_nsec / 1000U;
}

static void a_look_is_cheap(void **state) {
    require_root();
    static WatchSubject subjects[CONTAINERS];
    WatchSubject *list[CONTAINERS];
    CgroupGroup *groups[CONTAINERS];
    for (size_t i = 0; i < CONTAINERS; i++) {
        char name[16];
        (void) snprintf(name, sizeof(name), "cost-%zu", i);
        groups[i] = make_group(name);
        pid_t first = start_in(groups[i], child_good);
        (void) start_in(groups[i], child_good);
        make_subject(&subjects[i], name, first);
        list[i] = &subjects[i];
    }
    await_ready(2 * CONTAINERS);
    look(list, CONTAINERS);
    look(list, CONTAINERS);
    uint64_t begun = cpu_usec(), looks = 20;
    for (uint64_t i = 0; i < looks; i++) {
        for (size_t k = 0; k < CONTAINERS; k++) /* a fifth of them has its turn in each second */
            if (k % 5 == i % 5)
                for (size_t p = 0; p < subjects[k].memory->processes.n; p++)
                    subjects[k].memory->processes.items[p].looked_usec = 0;
        look(list, CONTAINERS);
    }
    uint64_t each = (cpu_usec() - begun) / looks;
    print_message("%llu us a look, %llu for each of %d containers; %zu processes on the host\n",
                  (unsigned long long) each, (unsigned long long) each / CONTAINERS, CONTAINERS, host->listed.n);
    for (size_t i = 0; i < n_found; i++)
        print_message("%s\n", found[i]->evidence);
    assert_int_equal(n_found, 0);
    for (size_t i = 0; i < CONTAINERS; i++) {
        drop_subject(&subjects[i]);
        remove_group(groups[i]);
    }
    while (waitpid(-1, NULL, WNOHANG) > 0)
        ;
}

int main(int argc, char **argv) {
    const struct CMUnitTest text[] = {
        TEST(what_a_list_lacks_is_named),
        TEST(a_surplus_is_told_when_it_stays),
        TEST(status_is_parsed),
        TEST(differences_are_found),
        TEST(numbers_are_counted_over_the_end),
        TEST(fork_storms_are_told_at_the_second_look),
        TEST(cpu_is_told_when_it_lasts),
        TEST(sockets_are_judged),
    };
    const struct CMUnitTest tests[] = {
        LOOK_TEST(one_that_differs_is_told_once),
        LOOK_TEST(one_outside_of_the_cgroup_is_an_escape),
        LOOK_TEST(one_without_its_first_thread_is_looked_at),
        LOOK_TEST(nor_does_it_escape_by_that),
        LOOK_TEST(each_of_many_has_its_turn),
        LOOK_TEST(a_deleted_program_is_told),
        LOOK_TEST(what_comes_and_goes_is_not_hidden),
        LOOK_TEST(a_storm_is_told),
        LOOK_TEST(a_listener_is_told_with_its_process),
        LOOK_TEST(many_listeners_are_told_once_and_by_and_by),
        LOOK_TEST(connections_hide_no_listener),
        LOOK_TEST(seeking_owners_takes_no_time_of_others),
        LOOK_TEST(a_look_is_cheap),
    };
    return cgroup_fixture_main(argc, argv, text, ELEMENTSOF(text), tests, ELEMENTSOF(tests));
}
