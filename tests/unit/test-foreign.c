/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Where programs come from: an overlay of the test's own, in a mount namespace and a root of its own. Needs root.
 */

#include "watch/internal.h"

#include <fcntl.h>
#include <limits.h>
#include <linux/stat.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <cmocka.h>

static Watch watch;
static WatchSubject subject;
static const char *missing;

static void add(int fd, uint64_t *ret) {
    struct statx x;
    assert_int_equal(statx(fd, "", AT_EMPTY_PATH, STATX_MNT_ID, &x), 0);
    *ret = x.stx_mnt_id;
    subject.local |= 1ULL << subject.n_mounts;
    subject.mounts[subject.n_mounts++] = x.stx_mnt_id;
}

/* Same file system below and above, or two. */
static void build(const char *directory, bool two) {
    char command[1024];
    (void) snprintf(command, sizeof(command),
                    "cd %s && { %s; } && mkdir -p lower/bin lower/shm lower/proc layer/upper layer/work root && "
                    "echo image >lower/bin/a && echo image >lower/bin/b && echo image >lower/bin/c && echo image "
                    ">lower/bin/d && echo image >lower/bin/f && "
                    "mount -t overlay o -o lowerdir=lower,upperdir=layer/upper,workdir=layer/work,xino=off root && "
                    "mount -t tmpfs s root/shm && mount --bind /proc root/proc",
                    directory, two ? "mkdir layer && mount -t tmpfs l layer" : "true");
    assert_int_equal(system(command), 0);
}

static int set_up(bool two) {
    char directory[] = "/tmp/kennel-foreign-XXXXXX";
    missing = geteuid() != 0 ? "not root" : unshare(CLONE_NEWNS) < 0 ? "no mount namespace" : NULL;
    if (missing)
        return 0;
    assert_int_equal(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL), 0);
    /* gone with the namespace */
    assert_int_equal(mount("t", "/tmp", "tmpfs", 0, NULL), 0);
    assert_non_null(mkdtemp(directory));
    build(directory, two);
    assert_int_equal(chdir(directory), 0);
    subject = (WatchSubject){ .watch = &watch, .pidfd = -EBADF };
    subject.upper_fd = open("layer/upper", O_PATH | O_DIRECTORY | O_CLOEXEC);
    subject.lower_fd = open("lower", O_PATH | O_DIRECTORY | O_CLOEXEC);
    assert_int_equal(chroot("root"), 0);
    assert_int_equal(chdir("/"), 0);
    int root = open("/", O_PATH | O_CLOEXEC), shm = open("/shm", O_PATH | O_CLOEXEC),
        memory = memfd_create("m", MFD_CLOEXEC);
    uint64_t id;
    add(root, &subject.root_mount);
    add(shm, &id);
    struct statx x;
    assert_int_equal(statx(memory, "", AT_EMPTY_PATH, STATX_MNT_ID, &x), 0);
    watch.memfd_mount = x.stx_mnt_id;
    (void) close(root);
    (void) close(shm);
    (void) close(memory);
    return 0;
}

static void write_file(const char *path, const char *text) {
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0755);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), (int) strlen(text));
    (void) close(fd);
}

static Origin origin(const char *path, char *told) {
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    Origin o = foreign_origin(&subject, fd, told);
    struct statx x;
    (void) statx(fd, "", AT_EMPTY_PATH, STATX_MNT_ID, &x);
    if (foreign_is_image(&subject, fd, x.stx_mnt_id))
        assert_int_equal(o, ORIGIN_IMAGE); /* quick, and never wrong in this direction */
    (void) close(fd);
    return o;
}

#define NEEDS()                                                                                                        \
    if (missing) {                                                                                                     \
        print_message("skipped: %s\n", missing);                                                                       \
        skip();                                                                                                        \
    }

static void each_origin(void **state) {
    char path[PATH_MAX];
    NEEDS();
    assert_int_equal(origin("/bin/a", path), ORIGIN_IMAGE);
    assert_string_equal(path, "/bin/a");
    assert_int_equal(chmod("/bin/b", 0700), 0); /* copied, and the same */
    assert_int_equal(origin("/bin/b", NULL), ORIGIN_IMAGE);
    write_file("/bin/c", "IMAGE\n");
    assert_int_equal(origin("/bin/c", NULL), ORIGIN_CHANGED);
    write_file("/bin/c", "longer than before\n");
    assert_int_equal(origin("/bin/c", NULL), ORIGIN_CHANGED);
    write_file("/bin/new", "x");
    assert_int_equal(origin("/bin/new", path), ORIGIN_LAYER);
    assert_string_equal(path, "/bin/new");
    write_file("/bin/x (deleted)", "x");
    assert_int_equal(origin("/bin/x (deleted)", path), ORIGIN_LAYER);
    assert_string_equal(path, "/bin/x (deleted)");
    write_file("/shm/x", "x");
    assert_int_equal(origin("/shm/x", path), ORIGIN_MOUNT);
    assert_string_equal(path, "/shm/x");
    assert_int_equal(origin("/proc/self/status", NULL), ORIGIN_ELSEWHERE);
}

static void what_has_been_moved(void **state) {
    NEEDS();
    assert_int_equal(rename("/bin/d", "/bin/e"), 0); /* a whiteout and a copy */
    assert_int_equal(origin("/bin/e", NULL), ORIGIN_LAYER);
    write_file("/bin/d", "x"); /* in place of the whiteout */
    assert_int_equal(origin("/bin/d", NULL), ORIGIN_CHANGED);
}

static void what_has_no_name(void **state) {
    char path[PATH_MAX];
    NEEDS();
    write_file("/bin/gone", "x");
    int fd = open("/bin/gone", O_RDONLY | O_CLOEXEC), image = open("/bin/a", O_RDONLY | O_CLOEXEC),
        memory = memfd_create("m", MFD_CLOEXEC);
    assert_int_equal(unlink("/bin/gone"), 0);
    assert_int_equal(foreign_origin(&subject, fd, path), ORIGIN_DELETED);
    assert_string_equal(path, "/bin/gone");
    assert_int_equal(unlink("/bin/a"), 0);
    assert_int_equal(foreign_origin(&subject, image, NULL), ORIGIN_IMAGE);
    assert_int_equal(foreign_origin(&subject, memory, path), ORIGIN_MEMFD);
    assert_string_equal(path, "memfd:m");
    (void) close(fd);
    (void) close(image);
    (void) close(memory);
}

/* Written to, kept alive by a second link, and deleted: the number is the image's, the links are one, the path is no path. */
static void what_was_changed_and_has_no_name(void **state) {
    NEEDS();
    int upper = subject.upper_fd, lower = subject.lower_fd;
    write_file("/bin/f", "other\n"); /* of the image's size */
    int fd = open("/bin/f", O_RDONLY | O_CLOEXEC);
    assert_int_equal(link("/bin/f", "/second"), 0);
    assert_int_equal(unlink("/bin/f"), 0);
    assert_int_equal(foreign_origin(&subject, fd, NULL), ORIGIN_LAYER);
    subject.lower_fd = -EBADF;
    assert_int_equal(foreign_origin(&subject, fd, NULL), ORIGIN_LAYER);
    subject.lower_fd = lower;
    subject.upper_fd = -EBADF;
    assert_int_equal(foreign_origin(&subject, fd, NULL), ORIGIN_LAYER);
    subject.upper_fd = upper;
    (void) close(fd);
    write_file("/own", "x"); /* and never of the image's */
    fd = open("/own", O_RDONLY | O_CLOEXEC);
    assert_int_equal(link("/own", "/third"), 0);
    assert_int_equal(unlink("/own"), 0);
    subject.lower_fd = -EBADF;
    assert_int_equal(foreign_origin(&subject, fd, NULL), ORIGIN_LAYER);
    subject.lower_fd = lower;
    (void) close(fd);
}

/* A link in the layer's own tree leads nowhere: neither out of it, nor to what it names in it. */
static void links_are_not_followed(void **state) {
    NEEDS();
    assert_int_equal(symlink("/bin/c", "/bin/link"), 0);
    assert_int_equal(origin("/bin/link", NULL), ORIGIN_CHANGED); /* the file that was opened */
    assert_int_equal(mkdir("/dir", 0755), 0);
    write_file("/dir/x", "x");
    int fd = open("/dir/x", O_RDONLY | O_CLOEXEC);
    assert_int_equal(rename("/dir", "/dir2"), 0);
    assert_int_equal(symlink("/proc", "/dir"), 0);
    assert_int_equal(foreign_origin(&subject, fd, NULL), ORIGIN_LAYER);
    (void) close(fd);
}

static void in_a_root(void **state) {
    NEEDS();
    struct stat a, b;
    int dir_fd = open("/proc/self", O_PATH | O_DIRECTORY | O_CLOEXEC);
    assert_int_equal(symlink("../../../../bin/c", "/shm/up"), 0);
    int fd = foreign_resolve(&subject, dir_fd, "/shm/../../../shm/up");
    assert_true(fd >= 0);
    assert_int_equal(fstat(fd, &a), 0);
    assert_int_equal(stat("/bin/c", &b), 0);
    assert_int_equal(a.st_ino, b.st_ino);
    (void) close(fd);
    assert_int_equal(chdir("/shm"), 0);
    fd = foreign_resolve(&subject, dir_fd, "../bin/c");
    assert_true(fd >= 0);
    assert_int_equal(fstat(fd, &a), 0);
    assert_int_equal(a.st_ino, b.st_ino);
    (void) close(fd);
    assert_int_equal(foreign_resolve(&subject, dir_fd, "/proc/self/exe"), -ELOOP);
    assert_int_equal(chdir("/"), 0);
    (void) close(dir_fd);
}

/* What is left when the layer is not known any more: the image alone says what it is. */
static void without_the_layer(void **state) {
    NEEDS();
    int upper = subject.upper_fd, lower = subject.lower_fd;
    subject.upper_fd = -EBADF;
    assert_int_equal(origin("/bin/b", NULL), ORIGIN_IMAGE);
    assert_int_equal(origin("/bin/c", NULL), ORIGIN_CHANGED);
    assert_int_equal(origin("/bin/new", NULL), ORIGIN_LAYER);
    subject.lower_fd = -EBADF;
    assert_int_equal(origin("/bin/new", NULL), ORIGIN_IMAGE); /* it escapes: internal.h says so */
    subject.upper_fd = upper;
    assert_int_equal(origin("/bin/new", NULL), ORIGIN_LAYER);
    subject.lower_fd = lower;
}

static int one_file_system(void **state) {
    return set_up(false);
}

static int two_file_systems(void **state) {
    return set_up(true);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_origin),
        cmocka_unit_test(what_has_been_moved),
        cmocka_unit_test(what_has_no_name),
        cmocka_unit_test(what_was_changed_and_has_no_name),
        cmocka_unit_test(links_are_not_followed),
        cmocka_unit_test(in_a_root),
        cmocka_unit_test(without_the_layer),
    };
    /* each in a process of its own, which takes its namespace with it */
    int failed = 0;
    for (unsigned i = 0; i < 2; i++) {
        pid_t pid = fork();
        if (pid == 0)
            _exit(cmocka_run_group_tests(tests, i ? two_file_systems : one_file_system, NULL));
        int status = 1;
        failed |= pid < 0 || waitpid(pid, &status, 0) != pid || status != 0;
    }
    return failed;
}
