/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * sandbox/devices: the program lets through what it lists, and nothing else.
 *
 * Needs root and a cgroup2 mount: a cgroup of the test's own, in which a child tries nodes on a file system of its own.
 */

#include "sandbox/devices.h"

#include <fcntl.h>
#include <linux/bpf.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <sys/wait.h>

#include <cmocka.h>

#define CGROUP2_MAGIC 0x63677270

static char path[128];
static int cgroup = -EBADF;
static const char *unavailable;

static int setup(void **state) {
    static const char *const roots[] = { "/sys/fs/cgroup/unified", "/sys/fs/cgroup" };
    unavailable = geteuid() != 0 ? "programs are attached by root alone" : "no cgroup2 is mounted";
    for (size_t i = 0; i < ELEMENTSOF(roots) && geteuid() == 0; i++) {
        struct statfs f;
        if (statfs(roots[i], &f) < 0 || f.f_type != CGROUP2_MAGIC)
            continue;
        (void) snprintf(path, sizeof(path), "%s/kennel-test-%d", roots[i], (int) getpid());
        if (mkdir(path, 0755) < 0)
            continue;
        cgroup = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        unavailable = NULL;
        return cgroup < 0 ? -1 : 0;
    }
    return 0;
}

static int teardown(void **state) {
    cgroup = fd_close(cgroup);
    return path[0] && rmdir(path) < 0 ? -1 : 0;
}

static void need_cgroup(void) {
    if (unavailable) {
        print_message("skipped: %s\n", unavailable);
        skip();
    }
}

static void attach(int fd) {
    Error e = ERROR_INIT;
    if (devices_attach(fd, &e) < 0)
        fail_msg("%s: %s", e.subject, e.message);
}

static int attached_programs(int fd, uint32_t *ret_first) {
    uint32_t ids[64];
    union bpf_attr attr = { .query = { .target_fd = (uint32_t) fd,
                                       .attach_type = BPF_CGROUP_DEVICE,
                                       .prog_ids = (uintptr_t) ids,
                                       .prog_cnt = 64 } };
    assert_int_equal(syscall(SYS_bpf, BPF_PROG_QUERY, &attr, sizeof(attr)), 0);
    if (ret_first)
        *ret_first = ids[0];
    return (int) attr.query.prog_cnt;
}

/* The two instructions "return VERDICT", under NAME, as some other program that is attached there. */
static int other_program(const char *name, int verdict) {
    struct bpf_insn code[] = { { .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0, .imm = verdict },
                               { .code = BPF_JMP | BPF_EXIT } };
    union bpf_attr attr = {
        .prog_type = BPF_PROG_TYPE_CGROUP_DEVICE, .insns = (uintptr_t) code, .insn_cnt = 2, .license = (uintptr_t) "GPL"
    };
    (void) snprintf(attr.prog_name, sizeof(attr.prog_name), "%s", name);
    int fd = (int) syscall(SYS_bpf, BPF_PROG_LOAD, &attr, sizeof(attr));
    assert_true(fd >= 0);
    union bpf_attr link = { .target_fd = (uint32_t) cgroup,
                            .attach_bpf_fd = (uint32_t) fd,
                            .attach_type = BPF_CGROUP_DEVICE,
                            .attach_flags = BPF_F_ALLOW_MULTI };
    assert_int_equal(syscall(SYS_bpf, BPF_PROG_ATTACH, &link, sizeof(link)), 0);
    return fd;
}

static void detach(int fd) {
    union bpf_attr attr = { .target_fd = (uint32_t) cgroup,
                            .attach_bpf_fd = (uint32_t) fd,
                            .attach_type = BPF_CGROUP_DEVICE };
    assert_int_equal(syscall(SYS_bpf, BPF_PROG_DETACH, &attr, sizeof(attr)), 0);
    close(fd);
}

static void is_attached_once(void **state) {
    need_cgroup();
    uint32_t first, again;
    assert_int_equal(devices_in_force(cgroup), 0);
    attach(cgroup);
    assert_int_equal(devices_in_force(cgroup), 1);
    assert_int_equal(attached_programs(cgroup, &first), 1);
    attach(cgroup);
    assert_int_equal(attached_programs(cgroup, &again), 1);
    assert_int_equal(first, again);
}

static void holds_below(void **state) {
    need_cgroup();
    char below[160];
    (void) snprintf(below, sizeof(below), "%s/container", path);
    assert_int_equal(mkdir(below, 0755), 0);
    int fd = open(below, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(attached_programs(fd, NULL), 0);
    assert_int_equal(devices_in_force(fd), 1);
    close(fd);
    assert_int_equal(rmdir(below), 0);
}

static void replaces_older_versions_and_nothing_else(void **state) {
    need_cgroup();
    int older = other_program("kennel_devices", 0), others = other_program("somebody_else", 1);
    attach(cgroup);
    assert_int_equal(devices_in_force(cgroup), 1);
    assert_int_equal(attached_programs(cgroup, NULL), 2);
    close(older);
    detach(others);
    assert_int_equal(attached_programs(cgroup, NULL), 1);
}

static void bad_fds_are_errors(void **state) {
    need_cgroup();
    Error e = ERROR_INIT;
    assert_int_equal(devices_attach(-1, &e), -EBADF);
    assert_string_equal(e.subject, "devices");
    assert_int_equal(devices_in_force(-1), -EBADF);
}

/* ---- what it does ---- */

typedef struct Node {
    mode_t type;
    unsigned major, minor;
    bool make, use;
} Node;

static int enter_cgroup(void) {
    int fd = openat(cgroup, "cgroup.procs", O_WRONLY | O_CLOEXEC);
    return fd < 0 || write(fd, "0", 1) != 1 ? -1 : close(fd);
}

/* The nodes are made outside, so that opening is tested apart from making. */
static int try_nodes(const Node *nodes, size_t n) {
    int failed = 0;
    char name[32];
    if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
        mount("tmpfs", "/tmp", "tmpfs", 0, NULL) < 0 || chdir("/tmp") < 0)
        return 98;
    for (size_t i = 0; i < n; i++) {
        (void) snprintf(name, sizeof(name), "node%zu", i);
        if (mknod(name, nodes[i].type | 0600, makedev(nodes[i].major, nodes[i].minor)) < 0)
            return 97;
    }
    if (enter_cgroup() < 0)
        return 96;
    for (size_t i = 0; i < n; i++) {
        const Node *d = &nodes[i];
        for (int mode = O_RDONLY; mode <= O_RDWR; mode++) {
            (void) snprintf(name, sizeof(name), "node%zu", i);
            int fd = open(name, mode | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
            bool refused = fd < 0 && errno == EPERM;
            if (refused == d->use) {
                dprintf(2, "open %u:%u in mode %d: %s\n", d->major, d->minor, mode, fd < 0 ? strerror(errno) : "open");
                failed = 1;
            }
            fd_close(fd);
        }
        (void) snprintf(name, sizeof(name), "new%zu", i);
        if ((mknod(name, d->type | 0600, makedev(d->major, d->minor)) == 0) != d->make) {
            dprintf(2, "mknod %u:%u\n", d->major, d->minor);
            failed = 1;
        }
    }
    return failed;
}

static void lets_through_what_it_lists(void **state) {
    need_cgroup();
    static const Node nodes[] = {
        { S_IFCHR, 1, 3, true, true },
        { S_IFCHR, 1, 5, true, true },
        { S_IFCHR, 1, 7, true, true },
        { S_IFCHR, 1, 8, true, true },
        { S_IFCHR, 1, 9, true, true },
        { S_IFCHR, 5, 0, true, true },
        { S_IFCHR, 5, 2, false, true },
        { S_IFCHR, 136, 77, false, true },
        { S_IFCHR, 143, 5, false, true },
        /* neighbours */
        { S_IFCHR, 1, 1, false, false },
        { S_IFCHR, 1, 2, false, false },
        { S_IFCHR, 1, 4, false, false },
        { S_IFCHR, 1, 11, false, false },
        { S_IFCHR, 5, 1, false, false },
        { S_IFCHR, 4, 0, false, false },
        { S_IFCHR, 4, 64, false, false },
        { S_IFCHR, 135, 0, false, false },
        { S_IFCHR, 144, 0, false, false },
        { S_IFCHR, 10, 229, false, false },
        { S_IFCHR, 10, 200, false, false },
        /* the same numbers, but block devices; and a disk */
        { S_IFBLK, 1, 3, false, false },
        { S_IFBLK, 136, 0, false, false },
        { S_IFBLK, 7, 0, false, false },
        { S_IFBLK, 254, 0, false, false },
    };
    attach(cgroup);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0)
        _exit(try_nodes(nodes, ELEMENTSOF(nodes)));
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(is_attached_once),
        cmocka_unit_test(holds_below),
        cmocka_unit_test(replaces_older_versions_and_nothing_else),
        cmocka_unit_test(bad_fds_are_errors),
        cmocka_unit_test(lets_through_what_it_lists),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
