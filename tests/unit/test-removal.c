/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * daemon/watch/removal.c on real processes in real cgroups, as test-cgroup.c: natively and without cgroup v1.
 */

#include "cgroup-fixture.h"
#include "cgroup/files.h"
#include "util/process.h"
#include "watch/removal.h"

#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>

#define MANY        20
#define BOMB_SIZE   300
#define GENERATIONS 100
#define GROUPS      65536

/* What the children tell, by memory that they share with the test. */
static struct {
    atomic_int ready;
    atomic_int live;
    pid_t pids[MANY];
    pid_t line[GENERATIONS];
} * shared;

static int setup_shared(void **state) {
    shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(shared != MAP_FAILED);
    return 0;
}

static int teardown_shared(void **state) {
    return munmap(shared, sizeof(*shared));
}

#define SHARED_TEST(f) cmocka_unit_test_setup_teardown(f, setup_shared, teardown_shared)

static void await_ready(int n) {
    for (int i = 0; i < 10000 && atomic_load(&shared->ready) < n; i++)
        (void) poll(NULL, 0, 1);
    assert_true(atomic_load(&shared->ready) >= n);
}

static bool is_alive(pid_t pid) {
    int fd = process_pidfd_open(pid);
    struct pollfd p = { .fd = fd, .events = POLLIN };
    bool alive = fd >= 0 && poll(&p, 1, 0) == 0;
    (void) fd_close(fd);
    return alive;
}

static uint64_t start_time_of(pid_t pid) {
    uint64_t t = 0;
    assert_int_equal(process_start_time(pid, &t), 0);
    return t;
}

static Removal removal_of(CgroupGroup *g) {
    return (Removal){ .group = g, .first_pid = 1, .timeout_usec = 2 * SECOND };
}

static int child_deaf(void) {
    for (int sig = 1; sig < NSIG; sig++)
        (void) signal(sig, SIG_IGN);
    atomic_fetch_add(&shared->ready, 1);
    for (;;)
        (void) pause();
    return 0;
}

static void one_of_many_is_removed(void **state) {
    require_root();
    CgroupGroup *g = make_group("many");
    pid_t pids[MANY];
    for (int i = 0; i < MANY; i++)
        pids[i] = start_in(g, child_deaf);
    await_ready(MANY); /* each of them ignores everything */
    Removal r = removal_of(g);
    RemovalTarget t = { .host_pid = pids[7], .start_time = start_time_of(pids[7]) };
    Receipt receipt;
    assert_int_equal(removal_run(&r, &t, &receipt, NULL), 0);
    assert_int_equal(receipt.outcome, RECEIPT_DEAD);
    assert_int_equal(receipt.host_pid, pids[7]);
    assert_int_equal(receipt.processes, 1);
    for (int i = 0; i < MANY; i++)
        assert_int_equal(is_alive(pids[i]), i != 7);
    assert_int_equal(cgroup_group_is_frozen(g), 0);
    assert_int_equal(WTERMSIG(wait_for(pids[7])), SIGKILL);
    /* once more: it has ended before */
    assert_int_equal(removal_run(&r, &t, &receipt, NULL), 0);
    assert_int_equal(receipt.outcome, RECEIPT_GONE);
    t.start_time = 0;
    assert_int_equal(removal_run(&r, &t, &receipt, NULL), -ESRCH);
    remove_group(g);
    for (int i = 0; i < MANY; i++)
        if (i != 7)
            wait_for(pids[i]);
}

/* A number that is another's by now is one whose start time differs. */
static void nobody_else_is_killed(void **state) {
    require_root();
    CgroupGroup *g = make_group("wrong"), *other = make_group("other");
    pid_t pid = start_in(g, child_sleep), stranger = start_in(other, child_sleep);
    Removal r = removal_of(g);
    RemovalTarget t = { .host_pid = pid, .start_time = start_time_of(pid) + 1 };
    Receipt receipt;
    assert_int_equal(removal_run(&r, &t, &receipt, NULL), 0);
    assert_int_equal(receipt.outcome, RECEIPT_GONE);
    assert_int_equal(receipt.processes, 0);
    assert_int_equal(receipt.pid, 0); /* nor is anybody else's number told */
    Error reason = ERROR_INIT;
    t = (RemovalTarget){ .host_pid = stranger };
    assert_int_equal(removal_run(&r, &t, &receipt, &reason), -ESRCH);
    assert_int_equal(reason.code, ESRCH);
    t = (RemovalTarget){ .host_pid = getpid() };
    assert_int_equal(removal_run(&r, &t, &receipt, NULL), -ESRCH);
    /* the container's first process is not for this */
    r.first_pid = pid;
    t = (RemovalTarget){ .host_pid = pid };
    assert_int_equal(removal_run(&r, &t, &receipt, NULL), 0);
    assert_int_equal(receipt.outcome, RECEIPT_SPARED);
    assert_true(is_alive(pid) && is_alive(stranger));
    remove_group(g);
    remove_group(other);
    wait_for(pid);
    wait_for(stranger);
}

/* 0 is the top; 1 and 2 are its children, 3 is 2's, 4 was forked twice. Each writes its pid. */
static void family_member(int i) {
    shared->pids[i] = getpid();
    atomic_fetch_add(&shared->ready, 1);
    for (;;)
        (void) pause();
}

static int child_family(void) {
    (void) signal(SIGCHLD, SIG_IGN);
    if (fork() == 0)
        family_member(1);
    if (fork() == 0) {
        if (fork() == 0)
            family_member(3);
        family_member(2);
    }
    pid_t pid = fork();
    if (pid == 0) {
        if (fork() == 0)
            family_member(4);
        _exit(0);
    }
    (void) waitpid(pid, NULL, 0);
    family_member(0);
    return 0;
}

static void kill_family(bool frozen, bool descendants, Receipt *receipt) {
    CgroupGroup *g = make_group("family");
    atomic_store(&shared->ready, 0);
    pid_t top = start_in(g, child_family), bystander = start_in(g, child_deaf);
    await_ready(6);
    if (frozen)
        assert_int_equal(cgroup_group_freeze(g, true, 2 * SECOND), 0);
    Removal r = removal_of(g);
    r.descendants = descendants;
    r.frozen = frozen;
    RemovalTarget t = { .host_pid = top, .start_time = start_time_of(top) };
    assert_int_equal(removal_run(&r, &t, receipt, NULL), 0);
    assert_int_equal(receipt->outcome, RECEIPT_DEAD);
    assert_int_equal(cgroup_group_is_frozen(g), frozen);
    for (int i = 0; i <= 3; i++)
        assert_int_equal(is_alive(shared->pids[i]), i > 0 && !descendants);
    assert_true(is_alive(shared->pids[4]) && is_alive(bystander));
    wait_for(top);
    remove_group(g); /* frozen or not */
    wait_for(bystander);
}

static void descendants_are_removed_if_asked_for(void **state) {
    require_root();
    Receipt receipt;
    kill_family(false, true, &receipt);
    assert_int_equal(receipt.processes, 4);
    kill_family(false, false, &receipt);
    assert_int_equal(receipt.processes, 1);
}

static void what_is_frozen_dies_and_the_rest_stays_frozen(void **state) {
    require_root();
    Receipt receipt;
    kill_family(true, true, &receipt);
    assert_int_equal(receipt.processes, 4);
    assert_true(receipt.duration_usec < SECOND);
}

/* ---- descendants that are hard to find ---- */

/* Removes TOP with all that descends from it, of which there are N in all. */
static void remove_line(CgroupGroup *g, pid_t top, unsigned n) {
    Removal r = removal_of(g);
    r.descendants = true;
    r.timeout_usec = 10 * SECOND;
    RemovalTarget t = { .host_pid = top, .start_time = start_time_of(top) };
    Receipt receipt;
    assert_int_equal(removal_run(&r, &t, &receipt, NULL), 0);
    assert_int_equal(receipt.outcome, RECEIPT_DEAD);
    assert_int_equal(receipt.processes, n);
    assert_int_equal(cgroup_group_is_populated(g), 0);
}

/* Its groups come before all that follows in its status, and its child inherits them. */
static int child_of_many_groups(void) {
    static gid_t groups[GROUPS];
    for (unsigned i = 0; i < GROUPS; i++)
        groups[i] = 3000000000U + i;
    if (setgroups(GROUPS, groups) < 0)
        return 1;
    if (fork() == 0)
        (void) child_deaf();
    return child_deaf();
}

static void descendants_of_many_groups_are_removed(void **state) {
    require_root();
    CgroupGroup *g = make_group("groups");
    pid_t top = start_in(g, child_of_many_groups);
    await_ready(2);
    remove_line(g, top, 2);
    wait_for(top);
    remove_group(g);
}

static int child_line(void) {
    int i = 0;
    while (i < GENERATIONS - 1 && fork() == 0)
        i++;
    shared->line[i] = getpid();
    atomic_fetch_add(&shared->ready, 1);
    for (;;)
        (void) pause();
    return 0;
}

/* A group lists its processes in the order in which they came into it: here the youngest first. */
static void descendants_listed_in_reverse_are_removed(void **state) {
    require_root();
    CgroupGroup *g = make_group("reverse"), *before = make_group("before");
    pid_t top = start_in(before, child_line);
    await_ready(GENERATIONS);
    for (int i = GENERATIONS - 1; i >= 0; i--) {
        char text[16];
        (void) snprintf(text, sizeof(text), "%d", (int) shared->line[i]);
        assert_int_equal(cgroup_file_write(cgroup_group_fd(g), "cgroup.procs", text), 0);
    }
    remove_line(g, top, GENERATIONS);
    wait_for(top);
    remove_group(g);
    remove_group(before);
}

/* ---- no descriptors left ---- */

/* What cannot be looked at for want of a descriptor has not ended: never is that a receipt. LEFT are free. */
static void remove_without_descriptors(unsigned left) {
    CgroupGroup *g = make_group("descriptors");
    pid_t pid = start_in(g, child_line);
    await_ready(GENERATIONS);
    Removal r = removal_of(g);
    r.descendants = true;
    RemovalTarget t = { .host_pid = pid, .start_time = start_time_of(pid) };
    Receipt receipt;
    Error reason = ERROR_INIT;
    struct rlimit old, few;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0 && fd_close(fd) < 0);
    few = (struct rlimit){ (rlim_t) fd + left, old.rlim_max };
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
    int k = removal_run(&r, &t, &receipt, &reason);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
    if (k != -EMFILE)
        print_message("%u descriptors: %d, outcome %d\n", left, k, k < 0 ? -1 : (int) receipt.outcome);
    assert_int_equal(k, -EMFILE);
    assert_int_equal(reason.code, EMFILE);
    assert_int_equal(cgroup_group_is_frozen(g), 0);
    remove_group(g);
    wait_for(pid);
    atomic_store(&shared->ready, 0);
}

static void what_cannot_be_looked_at_is_not_gone(void **state) {
    require_root();
    for (unsigned left = 0; left < 12; left++)
        remove_without_descriptors(left);
}

/* ---- as the container sees it ---- */

static int child_namespace(void) {
    if (unshare(CLONE_NEWPID) < 0)
        return 1;
    pid_t first = fork();
    if (first == 0) {
        (void) prctl(PR_SET_PDEATHSIG, SIGKILL);
        for (int i = 0; i < 3; i++)
            if (fork() == 0)
                for (;;)
                    (void) pause();
        atomic_fetch_add(&shared->ready, 1);
        for (;;)
            (void) pause();
    }
    shared->pids[0] = first;
    atomic_fetch_add(&shared->ready, 1);
    (void) waitpid(first, NULL, 0);
    return 0;
}

static void a_process_is_found_by_the_containers_number(void **state) {
    require_root();
    CgroupGroup *g = make_group("inner");
    pid_t outer = start_in(g, child_namespace);
    await_ready(2);
    Removal r = removal_of(g);
    r.first_pid = shared->pids[0];
    RemovalTarget t = { .pid = 3 };
    pid_t host_pid = 0;
    int pidfd = removal_open(g, r.first_pid, &t, &host_pid);
    assert_true(pidfd >= 0 && is_alive(host_pid));
    (void) fd_close(pidfd);
    Receipt receipt;
    assert_int_equal(removal_run(&r, &t, &receipt, NULL), 0);
    assert_int_equal(receipt.outcome, RECEIPT_DEAD);
    assert_int_equal(receipt.pid, 3);
    assert_int_equal(receipt.host_pid, host_pid);
    t.pid = 77;
    assert_int_equal(removal_run(&r, &t, &receipt, NULL), -ESRCH);
    assert_int_equal(removal_open(g, r.first_pid, &t, &host_pid), -ESRCH);
    t.pid = 1;
    assert_int_equal(removal_run(&r, &t, &receipt, NULL), 0);
    assert_int_equal(receipt.outcome, RECEIPT_SPARED);
    t = (RemovalTarget){ .pid = 4, .start_time = 1 };
    assert_int_equal(removal_run(&r, &t, &receipt, NULL), 0);
    assert_int_equal(receipt.outcome, RECEIPT_GONE);
    remove_group(g);
    wait_for(outer);
}

/* ---- evidence ---- */

static void note_evidence(void *userdata, pid_t host_pid, int pidfd) {
    CgroupGroup *g = ((void **) userdata)[0];
    *(pid_t *) ((void **) userdata)[1] = host_pid;
    assert_int_equal(cgroup_group_is_frozen(g), 1);
    assert_int_equal(process_pidfd_pid(pidfd), host_pid);
    assert_true(is_alive(host_pid));
}

static void evidence_is_taken_while_it_is_frozen(void **state) {
    require_root();
    CgroupGroup *g = make_group("evidence");
    pid_t pid = start_in(g, child_sleep), seen = 0;
    Removal r = removal_of(g);
    r.evidence = note_evidence;
    r.userdata = (void *[]){ g, &seen };
    RemovalTarget t = { .host_pid = pid };
    Receipt receipt;
    assert_int_equal(removal_run(&r, &t, &receipt, NULL), 0);
    assert_int_equal(seen, pid);
    assert_int_equal(receipt.outcome, RECEIPT_DEAD);
    wait_for(pid);
    remove_group(g);
}

/* ---- a first thread that has ended ---- */

static void *go_on(void *userdata) {
    atomic_fetch_add(&shared->ready, 1);
    for (;;)
        (void) pause();
    return NULL;
}

static int child_headless(void) {
    pthread_t thread;
    (void) pthread_create(&thread, NULL, go_on, NULL);
    pthread_exit(NULL);
}

static char state_of(pid_t pid) {
    char path[32], text[256] = "";
    (void) snprintf(path, sizeof(path), "/proc/%d/stat", (int) pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    (void) !read(fd, text, sizeof(text) - 1);
    (void) fd_close(fd);
    const char *end = strrchr(text, ')');
    return end ? end[2] : '?';
}

static void a_process_without_its_first_thread_is_removed(void **state) {
    require_root();
    CgroupGroup *g = make_group("headless");
    pid_t pid = start_in(g, child_headless);
    await_ready(1);
    for (int i = 0; i < 1000 && state_of(pid) != 'Z'; i++)
        (void) poll(NULL, 0, 1);
    assert_int_equal(state_of(pid), 'Z');
    Removal r = removal_of(g);
    RemovalTarget t = { .host_pid = pid, .start_time = start_time_of(pid) };
    Receipt receipt;
    assert_int_equal(removal_run(&r, &t, &receipt, NULL), 0);
    assert_int_equal(receipt.outcome, RECEIPT_DEAD);
    assert_int_equal(WTERMSIG(wait_for(pid)), SIGKILL);
    remove_group(g);
}

/* ---- all of it ---- */

static int child_bomb(void) {
    (void) signal(SIGCHLD, SIG_IGN);
    for (unsigned i = 0;; i++) {
        if (atomic_fetch_add(&shared->live, 1) < BOMB_SIZE) {
            if (fork() == 0)
                i = 0;
        } else {
            atomic_fetch_sub(&shared->live, 1);
            if (i > 50) { /* others come in its place */
                atomic_fetch_sub(&shared->live, 1);
                _exit(0);
            }
        }
    }
}

static void whatever_forks_is_removed(void **state) {
    require_root();
    CgroupGroup *g = make_group("bomb");
    for (int i = 0; i < 5; i++)
        (void) start_in(g, child_bomb);
    for (int i = 0; i < 10000 && atomic_load(&shared->live) < BOMB_SIZE; i++)
        (void) poll(NULL, 0, 1);
    Receipt receipt;
    Error reason = ERROR_INIT;
    assert_int_equal(removal_run_all(g, 5 * SECOND, &receipt, &reason), 0);
    assert_int_equal(receipt.outcome, RECEIPT_DEAD);
    assert_int_equal(reason.kind, ERROR_NONE);
    assert_true(receipt.processes > 5);
    assert_int_equal(cgroup_group_is_populated(g), 0);
    print_message("%u processes in %u us\n", receipt.processes, (unsigned) receipt.duration_usec);
    assert_true(receipt.duration_usec < SECOND);
    /* nothing left: no error */
    assert_int_equal(removal_run_all(g, SECOND, &receipt, NULL), 0);
    assert_int_equal(receipt.processes, 0);
    while (waitpid(-1, NULL, WNOHANG) > 0)
        ;
    remove_group(g);
}

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {
        SHARED_TEST(one_of_many_is_removed),
        SHARED_TEST(nobody_else_is_killed),
        SHARED_TEST(descendants_are_removed_if_asked_for),
        SHARED_TEST(what_is_frozen_dies_and_the_rest_stays_frozen),
        SHARED_TEST(descendants_of_many_groups_are_removed),
        SHARED_TEST(descendants_listed_in_reverse_are_removed),
        SHARED_TEST(what_cannot_be_looked_at_is_not_gone),
        SHARED_TEST(a_process_is_found_by_the_containers_number),
        SHARED_TEST(evidence_is_taken_while_it_is_frozen),
        SHARED_TEST(a_process_without_its_first_thread_is_removed),
        SHARED_TEST(whatever_forks_is_removed),
    };
    return cgroup_fixture_main(argc, argv, NULL, 0, tests, ELEMENTSOF(tests));
}
