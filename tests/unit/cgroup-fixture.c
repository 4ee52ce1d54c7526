/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "cgroup-fixture.h"

#include "cgroup/files.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/blkpg.h>
#include <linux/loop.h>
#include <linux/sched.h>
#include <poll.h>
#include <sched.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>

char subtree[64];
CgroupHierarchies *hierarchies;
bool has_own_mounts;

static const struct CMUnitTest *all_text, *all_tests;
static size_t n_all_text, n_all_tests;

/* ---- helpers ---- */

static int setup(void **state) {
    if (getuid() != 0)
        return 0;
    Error e = ERROR_INIT;
    int r = cgroup_hierarchies_open_at(subtree, &hierarchies, &e);
    if (r < 0)
        print_message("%s: %s\n", e.subject, e.message);
    return r;
}

/* What a test that failed has left in the subtree, on one hierarchy. */
static void sweep(const CgroupSubtree *s) {
    int fd = s->fd < 0 ? -1 : openat(s->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *d = fd < 0 ? NULL : fdopendir(fd);
    for (struct dirent *e; d && (e = readdir(d));) {
        if (e->d_type != DT_DIR || e->d_name[0] == '.')
            continue;
        CgroupGroup *g = NULL;
        if (cgroup_group_open(hierarchies, e->d_name, &g, NULL) >= 0)
            (void) cgroup_group_remove(g, 10 * SECOND, NULL);
        cgroup_group_free(g);
        (void) unlinkat(fd, e->d_name, AT_REMOVEDIR);
    }
    if (d)
        closedir(d);
}

static int teardown(void **state) {
    if (!hierarchies)
        return 0;
    sweep(&hierarchies->unified);
    for (size_t i = 0; i < hierarchies->n_v1; i++)
        sweep(&hierarchies->v1[i].subtree);
    hierarchies = cgroup_hierarchies_close(hierarchies);
    return 0;
}

void require_root(void) {
    if (!hierarchies)
        skip_because("cgroups are root's");
}

void require(CgroupController c) {
    require_root();
    if (cgroup_hierarchies_version(hierarchies, c) == CGROUP_MISSING)
        skip_because("%s: %s", cgroup_controller_name(c), cgroup_hierarchies_missing(hierarchies, c));
}

bool is_v1(CgroupController c) {
    return cgroup_hierarchies_version(hierarchies, c) == CGROUP_V1;
}

bool is_v2(CgroupController c) {
    return cgroup_hierarchies_version(hierarchies, c) == CGROUP_V2;
}

CgroupGroup *make_group(const char *id) {
    CgroupGroup *g = NULL;
    Error e = ERROR_INIT;
    if (cgroup_group_create(hierarchies, id, &g, &e) < 0)
        fail_msg("%s", e.message);
    return g;
}

void remove_group(CgroupGroup *g) {
    Error e = ERROR_INIT;
    if (cgroup_group_remove(g, 10 * SECOND, &e) < 0)
        fail_msg("%s", e.message);
    cgroup_group_free(g);
}

/* A child that is born in the group on cgroup2, put into the others, and runs F only then. */
pid_t start_in(CgroupGroup *g, int (*f)(void)) {
    int fds[2];
    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    struct clone_args args = {
        .flags = CLONE_INTO_CGROUP,
        .exit_signal = SIGCHLD,
        .cgroup = (uint64_t) cgroup_group_fd(g),
    };
    pid_t pid = (pid_t) syscall(SYS_clone3, &args, sizeof(args));
    assert_true(pid >= 0);
    if (pid == 0) {
        char byte;
        close(fds[1]);
        (void) !read(fds[0], &byte, 1);
        _exit(f());
    }
    close(fds[0]);
    if (hierarchies->n_v1 > 0) {
        Error reason = ERROR_INIT;
        assert_int_equal(cgroup_group_holds(g, pid, &reason), 0);
        assert_non_null(strstr(reason.message, subtree));
    }
    assert_int_equal(cgroup_group_attach(g, pid, NULL), 0);
    close(fds[1]);
    return pid;
}

int child_sleep(void) {
    (void) pause();
    return 0;
}

int wait_for(pid_t pid) {
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return status;
}

bool exists_anywhere(const char *id) {
    bool found = faccessat(hierarchies->unified.fd, id, F_OK, 0) == 0;
    for (size_t i = 0; i < hierarchies->n_v1; i++)
        found |= faccessat(hierarchies->v1[i].subtree.fd, id, F_OK, 0) == 0;
    return found;
}

/* Covers every cgroup mount by one of cgroup2. The tmpfs between: a file system is not mounted right upon itself. */
int mount_only_v2(void) {
    if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
        mount("none", "/sys/fs/cgroup", "tmpfs", 0, NULL) < 0)
        return -errno;
    return mount("none", "/sys/fs/cgroup", "cgroup2", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) < 0 ? -errno : 0;
}

/* ---- loop devices ---- */

static int new_loop = -1;

static int loop_configure(int number, int file, uint32_t ret_device[2]) {
    struct stat st;
    char path[32];
    (void) snprintf(path, sizeof(path), "/dev/loop%d", number);
    _cleanup_fd_ int fd = open(path, O_RDWR | O_CLOEXEC);
    struct loop_config config = {
        .fd = (uint32_t) file,
        .info.lo_flags = LO_FLAGS_AUTOCLEAR | LO_FLAGS_PARTSCAN,
    };
    if (fd < 0 || fstat(fd, &st) < 0 || ioctl(fd, LOOP_CONFIGURE, &config) < 0)
        return -1;
    ret_device[0] = major(st.st_rdev);
    ret_device[1] = minor(st.st_rdev);
    return TAKE_FD(fd);
}

int loop_open(uint64_t size, uint32_t ret_device[2]) {
    _cleanup_fd_ int file = open("/var/tmp", O_RDWR | O_TMPFILE | O_CLOEXEC, 0600);
    _cleanup_fd_ int control = open("/dev/loop-control", O_RDWR | O_CLOEXEC);
    if (file < 0 || control < 0 || ftruncate(file, (off_t) size) < 0)
        return -1;
    for (int i = 0; i < 16; i++) { /* another may take it meanwhile */
        int number = ioctl(control, LOOP_CTL_GET_FREE);
        int fd = number < 0 ? -1 : loop_configure(number, file, ret_device);
        if (fd >= 0)
            return fd;
    }
    return -1;
}

int loop_open_new(uint64_t size, uint32_t ret_device[2]) {
    _cleanup_fd_ int file = open("/var/tmp", O_RDWR | O_TMPFILE | O_CLOEXEC, 0600);
    _cleanup_fd_ int control = open("/dev/loop-control", O_RDWR | O_CLOEXEC);
    if (file < 0 || control < 0 || ftruncate(file, (off_t) size) < 0)
        return -1;
    new_loop = ioctl(control, LOOP_CTL_ADD, 100000 + (int) getpid() % 900000);
    return new_loop < 0 ? -1 : loop_configure(new_loop, file, ret_device);
}

int loop_add_partition(int fd, uint32_t ret_device[2]) {
    struct blkpg_partition part = { .start = 1024 * 1024, .length = 1024 * 1024, .pno = 1 };
    struct blkpg_ioctl_arg arg = { .op = BLKPG_ADD_PARTITION, .datalen = sizeof(part), .data = &part };
    struct stat st;
    char path[64], text[32];
    if (fstat(fd, &st) < 0 || ioctl(fd, BLKPG, &arg) < 0)
        return -1;
    (void) snprintf(path, sizeof(path), "/sys/block/loop%u/loop%up1/dev", minor(st.st_rdev), minor(st.st_rdev));
    return cgroup_file_read(AT_FDCWD, path, text, sizeof(text)) > 0 && cgroup_file_device(text, ret_device) ? 0 : -1;
}

void loop_close(int fd) {
    (void) ioctl(fd, LOOP_CLR_FD);
    (void) close(fd);
    _cleanup_fd_ int control = new_loop < 0 ? -1 : open("/dev/loop-control", O_RDWR | O_CLOEXEC);
    for (int i = 0; control >= 0 && i < 100 && ioctl(control, LOOP_CTL_REMOVE, new_loop) < 0; i++)
        (void) poll(NULL, 0, 10);
    new_loop = -1;
}

/* ---- without v1 ---- */

static void nothing_of_v1_is_used(void **state) {
    assert_true(cgroup_hierarchies_is_unified(hierarchies));
    assert_int_equal(hierarchies->n_v1, 0);
}

static int run(const char *name, const struct CMUnitTest *tests, size_t n, CMFixtureFunction up,
               CMFixtureFunction down) {
    return _cmocka_run_group_tests(name, tests, n, up, down);
}

/* The whole group again where a cgroup2 mount covers every other. The mounts end with this process. */
static int run_without_v1(void) {
    if (mount_only_v2() < 0)
        return SKIPPED;
    has_own_mounts = true;
    int failed = run("without_v1", all_tests, n_all_tests, setup, teardown);
    const struct CMUnitTest last[] = { TEST(nothing_of_v1_is_used) };
    failed += cmocka_run_group_tests_name("v1", last, setup, teardown);
    return failed == 0 ? 0 : 1;
}

static void all_of_it_works_without_v1(void **state) {
    if (getuid() != 0)
        skip_because("mounting is root's");
    (void) fflush(stdout);
    (void) fflush(stderr);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        execl("/proc/self/exe", program_invocation_short_name, "--without-v1", NULL);
        _exit(1);
    }
    int status = wait_for(pid);
    assert_true(WIFEXITED(status));
    if (WEXITSTATUS(status) == SKIPPED)
        skip_because("no right to mount a cgroup2 file system here");
    assert_int_equal(WEXITSTATUS(status), 0);
}

int cgroup_fixture_main(int argc, char **argv, const struct CMUnitTest *text, size_t n_text,
                        const struct CMUnitTest *tests, size_t n_tests) {
    (void) snprintf(subtree, sizeof(subtree), "/kennel-test-%d", (int) getpid());
    all_text = text;
    n_all_text = n_text;
    all_tests = tests;
    n_all_tests = n_tests;
    if (argc > 1 && strcmp(argv[1], "--without-v1") == 0)
        return run_without_v1();
    const struct CMUnitTest again[] = { TEST(all_of_it_works_without_v1) };
    int failed = n_all_text > 0 ? run("text", all_text, n_all_text, NULL, NULL) : 0;
    failed += cmocka_run_group_tests_name("again", again, NULL, NULL);
    return failed + run("cgroup", all_tests, n_all_tests, setup, teardown);
}
