/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * daemon/cgroup on the real cgroups of this host, in a subtree of this test's own (/kennel-test-PID), and once more
 * in a mount namespace in which one cgroup2 mount covers all others, as on a host without cgroup v1.
 */

#include "cgroup-fixture.h"
#include "cgroup/cpuset.h"
#include "cgroup/files.h"
#include "cgroup/mounts.h"

#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <sched.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

/* ---- text ---- */

static void mountinfo_is_parsed(void **state) {
    CgroupMounts m = { 0 };
    const char *text =
        "31 23 0:28 / /sys rw,relatime - sysfs sysfs rw\n"
        "32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw master:3 propagate_from:2 - cgroup cgroup rw,cpu,cpuacct\n"
        "33 31 0:30 /a\\134b /mnt/with\\040blank rw - cgroup2 none rw,nsdelegate\n"
        "34 31 0:31 / /x rw - cgroup  rw,name=systemd\n"; /* an empty source */
    assert_int_equal(cgroup_mounts_parse(text, &m), 0);
    assert_int_equal(m.n, 3);
    assert_true(m.items[0].id == 32 && !m.items[0].is_v2);
    assert_string_equal(m.items[0].point, "/sys/fs/cgroup/cpu,cpuacct");
    assert_true(cgroup_file_has_word(m.items[0].options, "cpuacct", ','));
    assert_false(cgroup_file_has_word(m.items[0].options, "acct", ','));
    assert_true(m.items[1].is_v2);
    assert_string_equal(m.items[1].root, "/a\\b");
    assert_string_equal(m.items[1].point, "/mnt/with blank");
    assert_string_equal(m.items[2].options, "rw,name=systemd");
    cgroup_mounts_done(&m);
    assert_int_equal(cgroup_mounts_parse("", &m), 0);
    assert_int_equal(m.n, 0);
    cgroup_mounts_done(&m);
}

static void malformed_mountinfo_is_refused(void **state) {
    static const char *const bad[] = {
        "32 31 0:29 / /point rw - cgroup2",        "32 31 0:29 / /point rw cgroup2 none rw",
        "x 31 0:29 / /point rw - cgroup2 none rw", "32 31 0:29 / /po\\04 rw - cgroup2 none rw",
        "32 31 0:29 / /po\\x40 rw - cgroup2 c rw", "32 31 0:29 / /po\\000int rw - cgroup2 none rw",
        "32 31 0:29 / /po\\777 rw - cgroup2 c rw", "32",
    };
    for (size_t i = 0; i < ELEMENTSOF(bad); i++) {
        CgroupMounts m = { 0 };
        assert_int_equal(cgroup_mounts_parse(bad[i], &m), -EBADMSG);
        assert_null(m.items);
    }
}

static void numbers_of_files(void **state) {
    uint64_t v = 0;
    assert_int_equal(cgroup_file_number("42\n", &v), 0);
    assert_int_equal(v, 42);
    assert_int_equal(cgroup_file_number("max\n", &v), -ERANGE);
    assert_int_equal(cgroup_file_number("-1\n", &v), -ERANGE);
    assert_int_equal(cgroup_file_number("42 43\n", &v), -EINVAL);
    assert_int_equal(cgroup_file_number("42\n43\n", &v), -EINVAL);
    assert_int_equal(cgroup_file_number("", &v), -EINVAL);
    assert_int_equal(cgroup_file_keyed("ab 1\nb 2\n", "b", &v), 0);
    assert_int_equal(v, 2);
    assert_int_equal(cgroup_file_keyed("ab 1\nb 2", "a", &v), -ENOENT);
    assert_int_equal(cgroup_file_keyed("b two\n", "b", &v), -EINVAL);
    assert_int_equal(cgroup_file_keyed("", "b", &v), -ENOENT);
    assert_int_equal(v, 2);
}

/* ---- hierarchies ---- */

static void hierarchies_are_described(void **state) {
    require_root();
    assert_string_equal(cgroup_hierarchies_root(hierarchies), subtree);
    assert_string_equal(cgroup_controller_name(CGROUP_IO), "io");
    struct stat st;
    assert_int_equal(fstat(cgroup_hierarchies_root_fd(hierarchies), &st), 0);
    assert_int_equal(st.st_mode & 07777, 0711);
    for (CgroupController c = 0; c < _CGROUP_CONTROLLER_MAX; c++) {
        bool missing = cgroup_hierarchies_version(hierarchies, c) == CGROUP_MISSING;
        assert_int_equal(missing, cgroup_hierarchies_missing(hierarchies, c) != NULL);
        if (cgroup_hierarchies_is_unified(hierarchies))
            assert_true(cgroup_hierarchies_version(hierarchies, c) != CGROUP_V1);
        print_message("%s: %s\n", cgroup_controller_name(c),
                      missing ? cgroup_hierarchies_missing(hierarchies, c)
                              : (cgroup_hierarchies_version(hierarchies, c) == CGROUP_V1 ? "v1" : "v2"));
    }
}

static void a_shared_subtree_stays_until_the_last_has_closed(void **state) {
    require_root();
    char path[128];
    (void) snprintf(path, sizeof(path), "%s-shared", subtree);
    CgroupHierarchies *a = NULL, *b = NULL;
    assert_int_equal(cgroup_hierarchies_open_at(path, &a, NULL), 0);
    assert_int_equal(cgroup_hierarchies_open_at(path, &b, NULL), 0);
    int parent_fd = dup(a->unified.parent_fd);
    assert_int_equal(faccessat(parent_fd, path + 1, F_OK, 0), 0);
    cgroup_hierarchies_close(a);
    assert_int_equal(faccessat(parent_fd, path + 1, F_OK, 0), 0);
    CgroupGroup *g = NULL;
    assert_int_equal(cgroup_group_create(b, "still-works", &g, NULL), 0);
    cgroup_group_free(g);
    cgroup_hierarchies_close(b); /* one that is not empty stays */
    assert_int_equal(faccessat(parent_fd, path + 1, F_OK, 0), 0);
    assert_int_equal(cgroup_hierarchies_open_at(path, &b, NULL), 0);
    assert_int_equal(cgroup_group_open(b, "still-works", &g, NULL), 0);
    assert_int_equal(cgroup_group_remove(g, SECOND, NULL), 0);
    cgroup_group_free(g);
    cgroup_hierarchies_close(b);
    assert_int_equal(faccessat(parent_fd, path + 1, F_OK, 0), -1);
    close(parent_fd);
    assert_null(cgroup_hierarchies_close(NULL));
}

/* ---- groups ---- */

static void groups_are_made_found_and_removed(void **state) {
    require_root();
    CgroupGroup *g = make_group("one"), *other = NULL;
    char path[128];
    (void) snprintf(path, sizeof(path), "%s/one", subtree);
    assert_string_equal(cgroup_group_path(g), path);
    assert_int_equal(cgroup_group_create(hierarchies, "one", &other, NULL), -EEXIST);
    assert_true(exists_anywhere("one"));
    assert_int_equal(cgroup_group_open(hierarchies, "two", &other, NULL), -ENOENT);
    assert_int_equal(cgroup_group_open(hierarchies, "one", &other, NULL), 0);
    assert_int_equal(cgroup_group_is_populated(other), 0);
    assert_int_equal(cgroup_group_is_frozen(other), 0);
    remove_group(other);
    assert_false(exists_anywhere("one"));
    assert_int_equal(cgroup_group_remove(g, SECOND, NULL), 0); /* twice is once */
    cgroup_group_free(g);
    assert_null(cgroup_group_free(NULL));
}

static void names_that_lead_elsewhere_are_refused(void **state) {
    require_root();
    static const char *const bad[] = { "", ".", "..", "a/b", "/a", "../a", ".hidden", "a\nb" };
    for (size_t i = 0; i < ELEMENTSOF(bad); i++) {
        CgroupGroup *g = NULL;
        assert_int_equal(cgroup_group_create(hierarchies, bad[i], &g, NULL), -EINVAL);
        assert_int_equal(cgroup_group_open(hierarchies, bad[i], &g, NULL), -EINVAL);
    }
}

static void a_failure_leaves_nothing(void **state) {
    require_root();
    if (hierarchies->n_v1 < 2)
        skip_because("needs two hierarchies of cgroup v1");
    size_t last = hierarchies->n_v1 - 1;
    int blocked_fd = hierarchies->v1[last].subtree.fd;
    assert_int_equal(mkdirat(blocked_fd, "half", 0755), 0);
    CgroupGroup *g = NULL;
    Error e = ERROR_INIT;
    int r = cgroup_group_create(hierarchies, "half", &g, &e);
    assert_int_equal(unlinkat(blocked_fd, "half", AT_REMOVEDIR), 0);
    assert_int_equal(r, -EEXIST);
    assert_int_equal(e.kind, ERROR_FAILED);
    assert_false(exists_anywhere("half"));
}

static void what_is_half_there_can_be_removed(void **state) {
    require_root();
    if (hierarchies->n_v1 == 0)
        skip_because("needs a hierarchy of cgroup v1");
    cgroup_group_free(make_group("partial"));
    assert_int_equal(unlinkat(hierarchies->v1[0].subtree.fd, "partial", AT_REMOVEDIR), 0);
    CgroupGroup *g = NULL;
    assert_int_equal(cgroup_group_open(hierarchies, "partial", &g, NULL), 0);
    Error e = ERROR_INIT;
    assert_true(cgroup_group_attach(g, getpid(), &e) < 0);
    assert_int_equal(e.kind, ERROR_HARDENING_FAILED);
    remove_group(g);
    assert_false(exists_anywhere("partial"));
}

static void members_are_known_and_killed(void **state) {
    require_root();
    CgroupGroup *g = make_group("members"), *other = make_group("member");
    pid_t pid = start_in(g, child_sleep);
    Error reason = ERROR_INIT;
    assert_int_equal(cgroup_group_holds(g, pid, &reason), 1);
    assert_int_equal(cgroup_group_holds(other, pid, &reason), 0); /* its name is a prefix of the right one */
    assert_int_equal(reason.kind, ERROR_HARDENING_FAILED);
    assert_int_equal(cgroup_group_holds(g, getpid(), NULL), 0);
    assert_int_equal(cgroup_group_is_populated(g), 1);
    pid_t *pids = NULL;
    size_t n = 0;
    assert_int_equal(cgroup_group_pids(g, &pids, &n), 0);
    assert_true(n == 1 && pids[0] == pid && pids[1] == 0);
    free(pids);
    assert_int_equal(cgroup_group_kill(g), 0);
    int status = wait_for(pid);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    assert_int_equal(cgroup_group_holds(g, pid, NULL), -ESRCH);
    remove_group(g);
    remove_group(other);
}

static int child_family(void) {
    for (int i = 0; i < 8; i++)
        if (fork() == 0)
            break;
    return child_sleep();
}

static void removal_kills_a_frozen_family(void **state) {
    require_root();
    CgroupGroup *g = make_group("family");
    pid_t pid = start_in(g, child_family);
    for (size_t n = 0; n < 9;) {
        pid_t *pids = NULL;
        assert_int_equal(cgroup_group_pids(g, &pids, &n), 0);
        free(pids);
        (void) poll(NULL, 0, 1);
    }
    assert_int_equal(cgroup_group_freeze(g, true, 10 * SECOND), 0);
    assert_int_equal(cgroup_group_is_frozen(g), 1);
    assert_int_equal(cgroup_group_freeze(g, false, 10 * SECOND), 0);
    assert_int_equal(cgroup_group_is_frozen(g), 0);
    assert_int_equal(cgroup_group_freeze(g, true, 10 * SECOND), 0);
    /* unreaped here while it is removed: a zombie does not hold it */
    remove_group(g);
    int status = wait_for(pid);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    assert_false(exists_anywhere("family"));
}

/* Sleeps in the kernel where only SIGKILL reaches: in a read() into a page that nobody fills in. */
static int child_unfreezable(void) {
    int fd = (int) syscall(SYS_userfaultfd, O_CLOEXEC);
    struct uffdio_api api = { .api = UFFD_API };
    void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    struct uffdio_register area = { .range = { (uintptr_t) page, 4096 }, .mode = UFFDIO_REGISTER_MODE_MISSING };
    if (fd < 0 || page == MAP_FAILED || ioctl(fd, UFFDIO_API, &api) < 0 || ioctl(fd, UFFDIO_REGISTER, &area) < 0)
        return SKIPPED;
    int zero = open("/dev/zero", O_RDONLY | O_CLOEXEC);
    return read(zero, page, 1) == 1 ? 0 : 1;
}

static void freezing_has_a_time_limit(void **state) {
    require_root();
    CgroupGroup *g = make_group("unfreezable");
    pid_t pid = start_in(g, child_unfreezable);
    (void) poll(NULL, 0, 100);
    siginfo_t info = { 0 };
    assert_int_equal(waitid(P_PID, (id_t) pid, &info, WEXITED | WNOHANG | WNOWAIT), 0);
    if (info.si_pid != 0) {
        assert_int_equal(info.si_status, SKIPPED);
        remove_group(g);
        wait_for(pid);
        skip_because("no userfaultfd here");
    }
    assert_int_equal(cgroup_group_freeze(g, true, SECOND / 20), -ETIMEDOUT);
    assert_int_equal(cgroup_group_is_frozen(g), 0);
    assert_int_equal(cgroup_group_freeze(g, false, SECOND), 0);
    remove_group(g);
    wait_for(pid);
}

static void removal_reports_what_does_not_go(void **state) {
    require_root();
    if (hierarchies->n_v1 == 0)
        skip_because("needs a hierarchy of cgroup v1");
    CgroupGroup *g = make_group("stuck");
    pid_t pid = fork(); /* only in the v1 groups, so that cgroup.kill misses it */
    if (pid == 0)
        _exit(child_sleep());
    assert_int_equal(cgroup_group_attach(g, pid, NULL), 0);
    Error e = ERROR_INIT;
    int r = cgroup_group_remove(g, SECOND / 20, &e);
    kill(pid, SIGKILL);
    wait_for(pid);
    assert_int_equal(r, -EBUSY);
    assert_int_equal(e.kind, ERROR_FAILED);
    assert_true(exists_anywhere("stuck"));
    remove_group(g);
    assert_false(exists_anywhere("stuck"));
}

static void nested_groups_are_removed(void **state) {
    require_root();
    CgroupGroup *g = make_group("outer");
    assert_int_equal(mkdirat(cgroup_group_fd(g), "inner", 0755), 0);
    assert_int_equal(mkdirat(cgroup_group_fd(g), "inner/most", 0755), 0);
    remove_group(g);
    assert_false(exists_anywhere("outer"));
}

/* ---- under a service manager ---- */

/* Opens by the rule of the header; does its subtree come out as WANTED, and are we in the cgroup OWN then? */
static bool opens_as(const char *wanted, const char *own) {
    CgroupHierarchies *h = NULL;
    Error e = ERROR_INIT;
    if (cgroup_hierarchies_open(&h, &e) < 0) {
        print_message("%s\n", e.message);
        return false;
    }
    char line[256], text[CGROUP_FILE_MAX];
    (void) snprintf(line, sizeof(line), "0::%s\n", own);
    bool good = strcmp(cgroup_hierarchies_root(h), wanted) == 0 && cgroup_hierarchies_is_unified(h) &&
                cgroup_file_read(AT_FDCWD, "/proc/self/cgroup", text, sizeof(text)) > 0 && strstr(text, line);
    if (!good)
        print_message("%s, not %s; in %s\n", cgroup_hierarchies_root(h), wanted, text);
    cgroup_hierarchies_close(h);
    return good;
}

/* In a cgroup namespace, so that "/kennel" and a service of ours lie within this test's own group. */
static int child_service(void) {
    if (unshare(CLONE_NEWCGROUP) < 0 || mount_only_v2() < 0)
        return SKIPPED;
    (void) unsetenv("NOTIFY_SOCKET");
    (void) unsetenv("INVOCATION_ID");
    (void) unsetenv("SYSTEMD_EXEC_PID");
    if (setenv("INVOCATION_ID", "x", 1) < 0 || !opens_as("/kennel", "/")) /* the root is not divided */
        return 1;
    int fd = open("/sys/fs/cgroup", O_PATH | O_CLOEXEC);
    if (mkdirat(fd, "service", 0755) < 0 || cgroup_file_write(fd, "service/cgroup.procs", "0") < 0)
        return 2;
    if (setenv("SYSTEMD_EXEC_PID", "1", 1) < 0 || !opens_as("/kennel", "/service")) /* meant for another */
        return 3;
    if (unsetenv("INVOCATION_ID") < 0 || unsetenv("SYSTEMD_EXEC_PID") < 0 || !opens_as("/kennel", "/service"))
        return 4;
    if (setenv("NOTIFY_SOCKET", "x", 1) < 0 || !opens_as("/kennel", "/service")) /* nothing below is ours */
        return 5;
    if (mkdirat(fd, "service/supervisor", 0755) < 0 ||
        cgroup_file_write(fd, "service/supervisor/cgroup.procs", "0") < 0)
        return 6;
    return opens_as("/service/containers", "/service/supervisor") ? 0 : 7;
}

static void a_service_uses_what_is_delegated_to_it(void **state) {
    require_root();
    CgroupGroup *g = make_group("host");
    int status = wait_for(start_in(g, child_service));
    remove_group(g);
    assert_true(WIFEXITED(status));
    if (WEXITSTATUS(status) == SKIPPED)
        skip_because("no right to mount a cgroup2 file system here");
    assert_int_equal(WEXITSTATUS(status), 0);
}

static const struct CMUnitTest cgroup_tests[] = {
    TEST(hierarchies_are_described),         TEST(a_shared_subtree_stays_until_the_last_has_closed),
    TEST(groups_are_made_found_and_removed), TEST(names_that_lead_elsewhere_are_refused),
    TEST(a_failure_leaves_nothing),          TEST(what_is_half_there_can_be_removed),
    TEST(members_are_known_and_killed),      TEST(removal_kills_a_frozen_family),
    TEST(freezing_has_a_time_limit),         TEST(removal_reports_what_does_not_go),
    TEST(nested_groups_are_removed),         TEST(a_service_uses_what_is_delegated_to_it),
};

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {
        TEST(mountinfo_is_parsed),
        TEST(malformed_mountinfo_is_refused),
        TEST(numbers_of_files),
    };
    return cgroup_fixture_main(argc, argv, tests, ELEMENTSOF(tests), cgroup_tests, ELEMENTSOF(cgroup_tests));
}
