/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* util/paths: nothing leaves the directory it was given, by link, by "..", by mount or by a swap. */

#include "util/paths.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <cmocka.h>

typedef struct Fixture {
    char path[64];
    int fd;
} Fixture;

static int setup(void **state) {
    static Fixture f;
    strcpy(f.path, "/tmp/kennel-test-paths-XXXXXX");
    if (!mkdtemp(f.path))
        return -1;
    f.fd = open(f.path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    *state = &f;
    return f.fd < 0;
}

static int teardown(void **state) {
    Fixture *f = *state;
    close(f->fd);
    int parent = open("/tmp", O_PATH | O_DIRECTORY | O_CLOEXEC);
    int r = path_remove_tree_at(parent, f->path + strlen("/tmp/"));
    close(parent);
    return r;
}

static void put(int dir_fd, const char *name, const char *text) {
    assert_int_equal(path_write_file_at(dir_fd, name, text, strlen(text), 0644, false), 0);
}

static void assert_content(int dir_fd, const char *path, const char *text) {
    _cleanup_free_ char *content = NULL;
    size_t size;
    assert_int_equal(path_read_file_at(dir_fd, path, RESOLVE_BENEATH, 4096, &content, &size), 0);
    assert_int_equal(size, strlen(text));
    assert_string_equal(content, text);
}

static bool exists(int dir_fd, const char *path) {
    return faccessat(dir_fd, path, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

static void opening_stays_inside(void **state) {
    Fixture *f = *state;
    assert_int_equal(mkdirat(f->fd, "in", 0755), 0);
    put(f->fd, "canary", "outside");
    _cleanup_fd_ int in = openat(f->fd, "in", O_PATH | O_DIRECTORY | O_CLOEXEC);
    assert_int_equal(symlinkat("../canary", in, "up"), 0);
    assert_int_equal(symlinkat("/canary", in, "absolute"), 0);
    assert_int_equal(symlinkat("/proc/self/root/tmp", in, "magic"), 0);
    assert_int_equal(path_open_at(in, "../canary", O_RDONLY, 0, RESOLVE_BENEATH), -EXDEV);
    assert_int_equal(path_open_at(in, "up", O_RDONLY, 0, RESOLVE_BENEATH), -EXDEV);
    assert_int_equal(path_open_at(in, "up", O_RDONLY, 0, RESOLVE_IN_ROOT), -ENOENT);
    assert_int_equal(path_open_at(in, "absolute", O_RDONLY, 0, RESOLVE_IN_ROOT), -ENOENT);
    put(in, "canary", "inside");
    _cleanup_free_ char *content = NULL;
    assert_int_equal(path_read_file_at(in, "absolute", RESOLVE_IN_ROOT, 100, &content, NULL), 0);
    assert_string_equal(content, "inside");
    /* never through magic links, whatever RESOLVE says */
    assert_int_equal(path_open_at(AT_FDCWD, "/proc/self/root/tmp", O_PATH, 0, 0), -ELOOP);
    _cleanup_fd_ int fd = path_open_at(in, "canary", O_RDONLY, 0644, RESOLVE_BENEATH);
    assert_true(fd >= 0);
    assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
}

static void only_regular_files_of_the_allowed_size_are_read(void **state) {
    Fixture *f = *state;
    char *content = NULL;
    put(f->fd, "ten", "0123456789");
    assert_int_equal(path_read_file_at(f->fd, "ten", RESOLVE_BENEATH, 9, &content, NULL), -EFBIG);
    assert_null(content);
    assert_int_equal(path_read_file_at(f->fd, "ten", RESOLVE_BENEATH, 10, &content, NULL), 0);
    free(TAKE_PTR(content));
    assert_int_equal(path_read_file_at(f->fd, "none", RESOLVE_BENEATH, 10, &content, NULL), -ENOENT);
    assert_int_equal(mkfifoat(f->fd, "fifo", 0600), 0); /* must not hang */
    assert_int_equal(path_read_file_at(f->fd, "fifo", RESOLVE_BENEATH, 10, &content, NULL), -EINVAL);
    assert_int_equal(path_read_file_at(f->fd, ".", RESOLVE_BENEATH, 10, &content, NULL), -EISDIR);
    /* a file whose size the kernel gives as 0 */
    size_t size = 0;
    assert_int_equal(path_read_file_at(AT_FDCWD, "/proc/self/status", 0, 65536, &content, &size), 0);
    assert_true(size > 100 && strlen(content) == size);
    free(content);
}

static void long_files_are_read_whole(void **state) {
    Fixture *f = *state;
    static char text[100001];
    memset(text, 'a', sizeof(text) - 1);
    put(f->fd, "long", text);
    _cleanup_free_ char *content = NULL;
    size_t size;
    assert_int_equal(path_read_file_at(f->fd, "long", RESOLVE_BENEATH, 1 << 20, &content, &size), 0);
    assert_int_equal(size, sizeof(text) - 1);
    assert_string_equal(content, text);
}

static void writing_replaces_atomically(void **state) {
    Fixture *f = *state;
    put(f->fd, "record", "old");
    _cleanup_fd_ int old = openat(f->fd, "record", O_RDONLY | O_CLOEXEC);
    put(f->fd, ".record.new", "left by one that was killed");
    mode_t mask = umask(077);
    assert_int_equal(path_write_file_at(f->fd, "record", "new", 3, 0640, true), 0);
    umask(mask);
    assert_content(f->fd, "record", "new");
    char text[4] = { 0 };
    assert_int_equal(read(old, text, 3), 3);
    assert_string_equal(text, "old");
    struct stat st;
    assert_int_equal(fstatat(f->fd, "record", &st, 0), 0);
    assert_int_equal(st.st_mode & 07777, 0640);
    assert_false(exists(f->fd, ".record.new"));
    assert_int_equal(path_write_file_at(f->fd, "../record", "x", 1, 0600, false), -EINVAL);
    assert_int_equal(path_write_file_at(f->fd, "", "x", 1, 0600, false), -EINVAL);
    assert_int_equal(mkdirat(f->fd, "taken", 0700), 0);
    assert_int_equal(path_write_file_at(f->fd, "taken", "x", 1, 0600, false), -EISDIR);
    assert_false(exists(f->fd, ".taken.new"));
}

static void directories_are_made_inside(void **state) {
    Fixture *f = *state;
    _cleanup_fd_ int deep = path_make_directories_at(f->fd, "/a//./b/c/", 0755);
    assert_true(deep >= 0);
    assert_true(exists(f->fd, "a/b/c"));
    struct stat a, b;
    assert_int_equal(fstat(deep, &a), 0);
    assert_int_equal(fstatat(f->fd, "a/b/c", &b, 0), 0);
    assert_int_equal(a.st_ino, b.st_ino);
    assert_int_equal(path_make_directories_at(f->fd, "a/../../x", 0755), -EINVAL);
    /* a link is followed as it would be inside: /b is a/b's name there */
    assert_int_equal(symlinkat("/real", f->fd, "link"), 0);
    assert_int_equal(mkdirat(f->fd, "real", 0755), 0);
    _cleanup_fd_ int through = path_make_directories_at(f->fd, "link/sub", 0755);
    assert_true(through >= 0);
    assert_true(exists(f->fd, "real/sub"));
    assert_int_equal(symlinkat("/nowhere-at-all", f->fd, "dangling"), 0);
    assert_int_equal(path_make_directories_at(f->fd, "dangling/sub", 0755), -ENOENT);
    assert_false(exists(AT_FDCWD, "/nowhere-at-all"));
    put(f->fd, "file", "");
    assert_int_equal(path_make_directories_at(f->fd, "file/sub", 0755), -ENOTDIR);
    _cleanup_fd_ int self = path_make_directories_at(f->fd, "/", 0755);
    assert_true(self >= 0);
}

static void removal_takes_links_as_links(void **state) {
    Fixture *f = *state;
    close(path_make_directories_at(f->fd, "outside/dir", 0755));
    close(path_make_directories_at(f->fd, "tree/a/b", 0755));
    _cleanup_fd_ int tree = openat(f->fd, "tree", O_PATH | O_DIRECTORY | O_CLOEXEC);
    assert_int_equal(symlinkat("../outside", tree, "link"), 0);
    put(tree, "file", "x");
    assert_int_equal(path_remove_tree_at(f->fd, "tree"), 0);
    assert_false(exists(f->fd, "tree"));
    assert_true(exists(f->fd, "outside/dir"));
    assert_int_equal(path_remove_tree_at(f->fd, "tree"), 0);
    assert_int_equal(symlinkat("outside", f->fd, "link"), 0);
    assert_int_equal(path_remove_tree_at(f->fd, "link"), 0);
    assert_true(exists(f->fd, "outside/dir"));
    assert_int_equal(path_remove_tree_at(f->fd, ".."), -EINVAL);
    assert_int_equal(path_remove_tree_at(f->fd, "outside/dir"), -EINVAL);
}

static void deep_trees_are_removed(void **state) {
    Fixture *f = *state;
    int fd = dup(f->fd);
    for (unsigned i = 0; i < 1000; i++) {
        assert_int_equal(mkdirat(fd, i == 0 ? "deep" : "kennel-removing-0", 0755), 0);
        int next = openat(fd, i == 0 ? "deep" : "kennel-removing-0", O_PATH | O_DIRECTORY | O_CLOEXEC);
        put(next, "file", "x");
        assert_int_equal(mkdirat(next, "side", 0755), 0);
        close(fd);
        fd = next;
    }
    close(fd);
    assert_int_equal(path_remove_tree_at(f->fd, "deep"), 0);
    assert_false(exists(f->fd, "deep"));
}

/* In a child, in a mount namespace of its own. */
static int remove_across_mount(const char *path) {
    char tree[128], inner[128];
    snprintf(tree, sizeof(tree), "%s/tree", path);
    snprintf(inner, sizeof(inner), "%s/tree/mounted", path);
    if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
        return 77;
    char source[128], canary[160];
    snprintf(source, sizeof(source), "%s/source", path);
    if (mkdir(tree, 0755) < 0 || mkdir(inner, 0755) < 0 || mkdir(source, 0755) < 0)
        return 1;
    snprintf(canary, sizeof(canary), "%s/canary", source);
    close(open(canary, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
    if (mount(source, inner, NULL, MS_BIND, NULL) < 0)
        return 77;
    int fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    int r = path_remove_tree_at(fd, "tree");
    return r == -EXDEV && access(canary, F_OK) == 0 ? 0 : 2;
}

static void removal_stops_at_a_mount(void **state) {
    Fixture *f = *state;
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0)
        _exit(remove_across_mount(f->path));
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    if (WEXITSTATUS(status) == 77) {
        print_message("skipped: needs the right to mount\n");
        skip();
    }
    assert_int_equal(WEXITSTATUS(status), 0);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(opening_stays_inside),        TEST(only_regular_files_of_the_allowed_size_are_read),
        TEST(long_files_are_read_whole),   TEST(writing_replaces_atomically),
        TEST(directories_are_made_inside), TEST(removal_takes_links_as_links),
        TEST(deep_trees_are_removed),      TEST(removal_stops_at_a_mount),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
