/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * daemon/storage in a directory of this test's own, below the one named by the first argument (/var/tmp): with whatever
 * holds there. What is measured is what an unprivileged writer gets.
 */

#include "storage/storage.h"
#include "util/paths.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/fs.h>
#include <linux/loop.h>
#include <linux/openat2.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <time.h>

#include <cmocka.h>

#define MIB     (1024ULL * 1024)
#define ID_BASE 3000000U /* of a range that no container here has */
#define MANY    300U
#define THREADS 6U

static const char *base = "/var/tmp";
static char path[128];
static int data_fd = -EBADF;
static StorageHost *host;
static Error error;

#define skip_because(...)                                                                                              \
    do {                                                                                                               \
        print_message("skipped: " __VA_ARGS__);                                                                        \
        print_message("\n");                                                                                           \
        skip();                                                                                                        \
    } while (0)

#define assert_ok(x)                                                                                                   \
    do {                                                                                                               \
        int _r = (x);                                                                                                  \
        if (_r < 0)                                                                                                    \
            print_message("%s: %s\n", #x, error.message);                                                              \
        assert_true(_r >= 0);                                                                                          \
    } while (0)

static void assert_near(uint64_t value, uint64_t wanted, double percent) {
    uint64_t slack = (uint64_t) ((double) wanted * percent / 100);
    if (value + slack < wanted || value > wanted + slack)
        print_message("%llu, wanted %llu\n", (unsigned long long) value, (unsigned long long) wanted);
    assert_true(value + slack >= wanted && value <= wanted + slack);
}

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double) t.tv_sec * 1e3 + (double) t.tv_nsec / 1e6;
}

static bool is(StorageKind k) {
    return storage_host_kind(host) == k;
}

static void require_kind(void) {
    if (geteuid() != 0)
        skip_because("mounts and quotas are root's");
    if (is(STORAGE_DIRECTORY) && (access("/dev/loop-control", F_OK) < 0 || access("/usr/sbin/mkfs.ext4", X_OK) < 0))
        skip_because("%s", storage_host_missing(host));
    if (is(STORAGE_DIRECTORY))
        print_message("%s\n", storage_host_missing(host));
    assert_int_not_equal(storage_host_kind(host), STORAGE_DIRECTORY);
}

static bool has_capability(unsigned capability) {
    struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
    struct __user_cap_data_struct data[2];
    return syscall(SYS_capget, &header, data) == 0 &&
           (data[CAP_TO_INDEX(capability)].effective & CAP_TO_MASK(capability));
}

/* ---- a container's directory ------------------------------------------------------------------------------------ */

static int make_directory(const char *name) {
    assert_true(mkdirat(data_fd, name, 0700) == 0 || errno == EEXIST);
    int fd = openat(data_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(fd >= 0);
    return fd;
}

static unsigned entries(int dir_fd) {
    int fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *d = fdopendir(fd);
    unsigned n = 0;
    assert_non_null(d);
    for (struct dirent *e; (e = readdir(d));)
        n += e->d_name[0] != '.';
    closedir(d);
    return n;
}

/* Loop devices over files of ours. */
static unsigned devices(void) {
    unsigned n = 0;
    DIR *d = opendir("/sys/block");
    assert_non_null(d);
    for (struct dirent *e; (e = readdir(d));) {
        char name[300];
        _cleanup_free_ char *file = NULL;
        snprintf(name, sizeof(name), "/sys/block/%.64s/loop/backing_file", e->d_name);
        if (path_read_file_at(AT_FDCWD, name, 0, 65536, &file, NULL) == 0 && strstr(file, path))
            n++;
    }
    closedir(d);
    return n;
}

/* The kernel lets go of a device and of what was unlinked on XFS a little after the last close. */
static void wait_no_devices(void) {
    for (unsigned i = 0; i < 500 && devices() > 0; i++)
        usleep(10000);
    assert_int_equal(devices(), 0);
}

static StorageLayer *create(int dir_fd, uint32_t project, uint64_t bytes, uint64_t inodes) {
    StorageLayer *l = NULL;
    const StorageLimits limits = { bytes, inodes };
    error = ERROR_INIT;
    assert_ok(storage_layer_create(host, dir_fd, project, &limits, &l, &error));
    assert_int_equal(storage_layer_kind(l), storage_host_kind(host));
    assert_true(storage_layer_fd(l) >= 0);
    assert_int_equal(storage_layer_is_mount(l), is(STORAGE_FILE_SYSTEM));
    /* as the sandbox does it */
    assert_int_equal(mkdirat(storage_layer_fd(l), "upper", 0755), 0);
    assert_int_equal(fchownat(storage_layer_fd(l), "upper", ID_BASE, ID_BASE, 0), 0);
    return l;
}

static void discard(StorageLayer *l, int dir_fd, uint32_t project) {
    storage_layer_free(l);
    error = ERROR_INIT;
    assert_ok(storage_layer_remove(host, dir_fd, project, &error));
    assert_int_equal(entries(dir_fd), 0);
    close(dir_fd);
}

static StorageUsage usage_of(StorageLayer *l) {
    StorageUsage u;
    storage_layer_usage(l, &u);
    assert_null(u.reason);
    return u;
}

/* Runs WORK as the container's root; what it returns. */
static uint64_t as_container(uint64_t (*work)(int dir_fd, uint64_t argument), StorageLayer *l, uint64_t argument) {
    int fds[2];
    uint64_t result = UINT64_MAX;
    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    _cleanup_fd_ int upper = openat(storage_layer_fd(l), "upper", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(upper >= 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        if (setresgid(ID_BASE, ID_BASE, ID_BASE) < 0 || setresuid(ID_BASE, ID_BASE, ID_BASE) < 0)
            _exit(1);
        result = work(upper, argument);
        _exit(write(fds[1], &result, sizeof(result)) != sizeof(result));
    }
    close(fds[1]);
    assert_int_equal(read(fds[0], &result, sizeof(result)), sizeof(result));
    close(fds[0]);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    return result;
}

/* Writes up to MOST bytes into "file"; how many were taken. An unexpected error is UINT64_MAX. */
static uint64_t fill(int dir_fd, uint64_t most) {
    static char block[65536];
    memset(block, 'k', sizeof(block));
    int fd = openat(dir_fd, "file", O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    uint64_t written = 0;
    size_t size = sizeof(block);
    while (fd >= 0 && written < most) {
        ssize_t n = write(fd, block, size < most - written ? size : most - written);
        if (n > 0) {
            written += (uint64_t) n;
            continue;
        }
        if (errno != ENOSPC && errno != EDQUOT)
            return UINT64_MAX;
        if (size == 512)
            break;
        size /= 2; /* what is left may be less than a block */
    }
    if (fd < 0 || (fsync(fd) < 0 && errno != ENOSPC && errno != EDQUOT))
        return UINT64_MAX;
    struct stat st;
    return fstat(fd, &st) < 0 ? UINT64_MAX : written;
}

static uint64_t make_files(int dir_fd, uint64_t most) {
    char name[24];
    for (uint64_t i = 0; i < most; i++) {
        snprintf(name, sizeof(name), "f%llu", (unsigned long long) i);
        if (mknodat(dir_fd, name, S_IFREG | 0600, 0) < 0)
            return errno == ENOSPC || errno == EDQUOT ? i : UINT64_MAX;
    }
    return most;
}

static uint64_t delete_file(int dir_fd, uint64_t unused) {
    return unlinkat(dir_fd, "file", 0) < 0 ? UINT64_MAX : 0;
}

/* ---- tests ------------------------------------------------------------------------------------------------------ */

static void kinds_have_names(void **state) {
    assert_string_equal(storage_kind_to_string(STORAGE_DIRECTORY), "directory");
    assert_string_equal(storage_kind_to_string(STORAGE_PROJECT_QUOTA), "projectQuota");
    assert_string_equal(storage_kind_to_string(STORAGE_FILE_SYSTEM), "fileSystem");
    assert_null(storage_kind_to_string(_STORAGE_KIND_MAX));
}

static void the_host_has_what_it_was_said_to_have(void **state) {
    require_kind();
    const char *wanted = getenv("STORAGE_KIND");
    print_message("here: %s\n", storage_kind_to_string(storage_host_kind(host)));
    if (wanted)
        assert_string_equal(storage_kind_to_string(storage_host_kind(host)), wanted);
    assert_null(storage_host_missing(host));
    wait_no_devices();
}

static void assert_refused(uint64_t bytes, uint64_t inodes, const char *field, const char *text) {
    const StorageLimits l = { bytes, inodes };
    StorageLayer *layer = NULL;
    error = ERROR_INIT;
    assert_true(storage_limits_check(host, &l, &error) < 0);
    assert_int_equal(error.kind, ERROR_INVALID_SPEC);
    assert_string_equal(error.subject, field);
    if (!strstr(error.message, text))
        print_message("%s\n", error.message);
    assert_non_null(strstr(error.message, text));
    _cleanup_fd_ int dir = make_directory("refused");
    error = ERROR_INIT;
    assert_true(storage_layer_create(host, dir, ID_BASE, &l, &layer, &error) < 0);
    assert_int_equal(error.kind, ERROR_INVALID_SPEC);
    assert_int_equal(entries(dir), 0);
    unlinkat(data_fd, "refused", AT_REMOVEDIR);
}

static void bad_limits_are_refused(void **state) {
    require_kind();
    const uint64_t none = STORAGE_LIMIT_NONE;
    assert_refused(0, none, "limits.disk", "0 is not between 1048576 and ");
    assert_refused(STORAGE_BYTES_MIN - 1, none, "limits.disk", "1048575 is not between 1048576 and ");
    assert_refused(UINT64_MAX - 1, none, "limits.disk", "18446744073709551614 is not between 1048576 and ");
    assert_refused(1ULL << 60, none, "limits.disk", "is not between");
    assert_refused(16 * MIB, 0, "limits.inodes", "0 is not between 16 and ");
    assert_refused(16 * MIB, 15, "limits.inodes", "15 is not between 16 and ");
    assert_refused(16 * MIB, 1ULL << 33, "limits.inodes", "is not between 16 and ");
    const StorageLimits inodes = { none, 1000 };
    if (is(STORAGE_FILE_SYSTEM))
        assert_refused(none, 1000, "limits.inodes", "only together with limits.disk");
    else
        assert_int_equal(storage_limits_check(host, &inodes, NULL), 0);
    assert_int_equal(storage_limits_check(host, &STORAGE_LIMITS_NONE, NULL), 0);
    assert_int_equal(storage_limits_check(host, &(StorageLimits){ STORAGE_BYTES_MIN, STORAGE_INODES_MIN }, NULL), 0);
}

/* How far a fresh layer of BYTES lets a writer go. */
static void assert_ends_at(uint64_t bytes, double percent) {
    int dir = make_directory("ends");
    StorageLayer *l = create(dir, ID_BASE, bytes, STORAGE_LIMIT_NONE);
    StorageUsage u = usage_of(l);
    assert_near(u.bytes_limit, bytes, 0.5);
    uint64_t written = as_container(fill, l, bytes * 2);
    assert_near(written, bytes, percent);
    u = usage_of(l);
    assert_near(u.bytes, bytes, percent);
    assert_near(u.bytes_limit, bytes, 0.5);
    discard(l, dir, ID_BASE);
}

static void a_writer_is_stopped_at_the_limit(void **state) {
    require_kind();
    assert_ends_at(50 * MIB, 0.5);
    assert_ends_at(16 * MIB, 1);
    assert_ends_at(STORAGE_BYTES_MIN, 5); /* the directories and the file's blocks are a part of it */
    assert_ends_at(200 * MIB + 4097, 0.5);
}

static void what_is_used_is_what_was_written(void **state) {
    require_kind();
    int dir = make_directory("used");
    StorageLayer *l = create(dir, ID_BASE, 64 * MIB, 5000);
    StorageUsage u = usage_of(l);
    assert_true(u.bytes <= 32 * 1024);
    assert_true(u.inodes <= 4);
    assert_int_equal(u.inodes_limit, 5000);
    assert_int_equal(as_container(fill, l, 30 * MIB), 30 * MIB);
    assert_near(usage_of(l).bytes, 30 * MIB, 1);
    assert_int_equal(as_container(make_files, l, 100), 100);
    assert_in_range(usage_of(l).inodes, 101, 106);
    assert_int_equal(as_container(delete_file, l, 0), 0);
    for (unsigned i = 0; i < 500 && usage_of(l).bytes > MIB; i++)
        usleep(10000);
    assert_true(usage_of(l).bytes <= MIB);
    discard(l, dir, ID_BASE);
}

static void synchronize(StorageLayer *l) {
    _cleanup_fd_ int fd = openat(storage_layer_fd(l), "upper", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_int_equal(syncfs(fd), 0);
}

/* What the files of DIR_FD take on the host. */
static uint64_t blocks_of(int dir_fd) {
    struct stat st;
    return fstatat(dir_fd, "layer.img", &st, 0) < 0 ? 0 : (uint64_t) st.st_blocks * 512;
}

static void what_is_deleted_is_given_back_to_the_host(void **state) {
    require_kind();
    if (!is(STORAGE_FILE_SYSTEM))
        skip_because("there is no image with project quotas");
    int dir = make_directory("given-back");
    StorageLayer *l = create(dir, ID_BASE, 64 * MIB, STORAGE_LIMIT_NONE);
    uint64_t empty = blocks_of(dir);
    assert_true(empty <= MIB);
    assert_int_equal(as_container(fill, l, 30 * MIB), 30 * MIB);
    synchronize(l);
    assert_true(blocks_of(dir) >= 30 * MIB);
    assert_int_equal(as_container(delete_file, l, 0), 0);
    synchronize(l);
    assert_true(blocks_of(dir) <= empty + MIB);
    discard(l, dir, ID_BASE);
}

static void inodes_come_to_an_end(void **state) {
    require_kind();
    static const uint64_t limits[] = { 16, 100, 1000 };
    for (size_t i = 0; i < ELEMENTSOF(limits); i++) {
        int dir = make_directory("inodes");
        StorageLayer *l = create(dir, ID_BASE, 50 * MIB, limits[i]);
        uint64_t own = usage_of(l).inodes;
        assert_int_equal(usage_of(l).inodes_limit, limits[i]);
        assert_int_equal(as_container(make_files, l, 2 * limits[i]), limits[i] - own);
        assert_int_equal(usage_of(l).inodes, limits[i]);
        discard(l, dir, ID_BASE);
    }
}

static void without_a_limit_it_is_counted(void **state) {
    require_kind();
    int dir = make_directory("unlimited");
    StorageLayer *l = create(dir, ID_BASE, STORAGE_LIMIT_NONE, STORAGE_LIMIT_NONE);
    StorageUsage u = usage_of(l);
    assert_true(u.bytes_limit == STORAGE_LIMIT_NONE && u.inodes_limit == STORAGE_LIMIT_NONE);
    assert_int_equal(as_container(fill, l, 20 * MIB), 20 * MIB);
    assert_near(usage_of(l).bytes, 20 * MIB, 1);
    discard(l, dir, ID_BASE);
}

static int change(StorageLayer *l, uint64_t bytes, uint64_t inodes) {
    error = ERROR_INIT;
    return storage_layer_set_limits(l, &(StorageLimits){ bytes, inodes }, &error);
}

/* L is full. */
static void assert_grows(StorageLayer *l, uint64_t from, uint64_t to) {
    int r = change(l, to, STORAGE_LIMIT_NONE);
    if (is(STORAGE_FILE_SYSTEM) && !has_capability(CAP_SYS_RESOURCE)) {
        assert_int_equal(r, -EPERM);
        assert_int_equal(error.kind, ERROR_LIMIT_UNAVAILABLE);
        assert_string_equal(error.subject, "storage");
        assert_near(usage_of(l).bytes_limit, from, 0.5);
        return;
    }
    assert_ok(r);
    assert_near(usage_of(l).bytes_limit, to, 0.5);
    assert_near(as_container(fill, l, to * 2), to - from, 2);
    assert_near(usage_of(l).bytes, to, 0.5);
}

static void a_running_layer_grows(void **state) {
    require_kind();
    int dir = make_directory("grows");
    StorageLayer *l = create(dir, ID_BASE, 50 * MIB, STORAGE_LIMIT_NONE);
    assert_near(as_container(fill, l, 100 * MIB), 50 * MIB, 0.5);
    assert_grows(l, 50 * MIB, 100 * MIB);
    bool grew = usage_of(l).bytes_limit > 90 * MIB;
    if (grew)
        assert_grows(l, 100 * MIB, 300 * MIB); /* more groups */
    discard(l, dir, ID_BASE);
    if (!grew)
        skip_because("no CAP_SYS_RESOURCE: seen refused, not seen growing");
}

static void less_than_is_used_is_refused(void **state) {
    require_kind();
    int dir = make_directory("less");
    StorageLayer *l = create(dir, ID_BASE, 50 * MIB, 1000);
    assert_int_equal(as_container(fill, l, 20 * MIB), 20 * MIB);
    assert_int_equal(as_container(make_files, l, 200), 200);
    assert_true(change(l, 10 * MIB, 1000) < 0);
    assert_int_equal(error.kind, ERROR_INVALID_SPEC);
    assert_string_equal(error.subject, "limits.disk");
    assert_true(change(l, 50 * MIB, 100) < 0);
    assert_int_equal(error.kind, ERROR_INVALID_SPEC);
    assert_string_equal(error.subject, "limits.inodes");
    assert_true(change(l, 1000, 1000) < 0);
    assert_int_equal(error.kind, ERROR_INVALID_SPEC);
    int r = change(l, 30 * MIB, 1000);
    if (is(STORAGE_FILE_SYSTEM)) {
        assert_int_equal(r, -EOPNOTSUPP);
        assert_int_equal(error.kind, ERROR_LIMIT_UNAVAILABLE);
        assert_non_null(strstr(error.message, "cannot be made smaller"));
        assert_near(usage_of(l).bytes_limit, 50 * MIB, 0.5);
    } else {
        assert_ok(r);
        assert_near(as_container(fill, l, 50 * MIB), 10 * MIB, 2);
    }
    discard(l, dir, ID_BASE);
}

static void inodes_change_both_ways(void **state) {
    require_kind();
    int dir = make_directory("inodes-change");
    StorageLayer *l = create(dir, ID_BASE, 50 * MIB, 1000);
    uint64_t own = usage_of(l).inodes;
    assert_ok(change(l, 50 * MIB, 300));
    assert_int_equal(usage_of(l).inodes_limit, 300);
    assert_int_equal(as_container(make_files, l, 2000), 300 - own);
    assert_ok(change(l, 50 * MIB, 800));
    assert_int_equal(usage_of(l).inodes_limit, 800);
    assert_int_equal(usage_of(l).inodes, 300);
    if (is(STORAGE_FILE_SYSTEM)) {
        assert_true(change(l, 50 * MIB, 12000) < 0);
        assert_int_equal(error.kind, ERROR_LIMIT_UNAVAILABLE);
        assert_int_equal(usage_of(l).inodes_limit, 800);
    }
    discard(l, dir, ID_BASE);
}

static void two_layers_do_not_notice_each_other(void **state) {
    require_kind();
    int dirs[] = { make_directory("one"), make_directory("two") };
    StorageLayer *one = create(dirs[0], ID_BASE, 20 * MIB, STORAGE_LIMIT_NONE);
    StorageLayer *two = create(dirs[1], ID_BASE + 65536, 20 * MIB, STORAGE_LIMIT_NONE);
    assert_near(as_container(fill, one, 40 * MIB), 20 * MIB, 1);
    assert_true(usage_of(two).bytes <= 32 * 1024);
    assert_near(as_container(fill, two, 40 * MIB), 20 * MIB, 1);
    discard(one, dirs[0], ID_BASE);
    assert_near(usage_of(two).bytes, 20 * MIB, 1);
    discard(two, dirs[1], ID_BASE + 65536);
}

static void what_is_there_is_not_touched(void **state) {
    require_kind();
    int dir = make_directory("there");
    StorageLayer *l = create(dir, ID_BASE, 4 * MIB, STORAGE_LIMIT_NONE), *second = NULL;
    assert_int_equal(as_container(fill, l, MIB), MIB);
    error = ERROR_INIT;
    assert_true(storage_layer_create(host, dir, ID_BASE, &STORAGE_LIMITS_NONE, &second, &error) < 0);
    assert_int_equal(error.code, EEXIST);
    assert_int_equal(entries(dir), 1);
    assert_near(usage_of(l).bytes_limit, 4 * MIB, 1);
    discard(l, dir, ID_BASE);
}

static void removing_twice_is_no_error(void **state) {
    require_kind();
    int dir = make_directory("twice");
    storage_layer_free(create(dir, ID_BASE, 4 * MIB, STORAGE_LIMIT_NONE));
    wait_no_devices();
    assert_ok(storage_layer_remove(host, dir, ID_BASE, &error));
    assert_int_equal(entries(dir), 0);
    assert_ok(storage_layer_remove(host, dir, ID_BASE, &error));
    close(dir);
}

/* ---- a next daemon ---------------------------------------------------------------------------------------------- */

static int mount_overlay(int layer_fd) {
    char upper[64], work[64];
    assert_int_equal(mkdirat(layer_fd, "work", 0755), 0);
    _cleanup_fd_ int fs = fsopen("overlay", FSOPEN_CLOEXEC);
    snprintf(upper, sizeof(upper), "/proc/self/fd/%d/upper", layer_fd);
    snprintf(work, sizeof(work), "/proc/self/fd/%d/work", layer_fd);
    if (fs < 0 || fsconfig(fs, FSCONFIG_SET_STRING, "lowerdir", "/usr/share", 0) < 0 ||
        fsconfig(fs, FSCONFIG_SET_STRING, "upperdir", upper, 0) < 0 ||
        fsconfig(fs, FSCONFIG_SET_STRING, "workdir", work, 0) < 0 ||
        fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
        return -errno;
    return fsmount(fs, FSMOUNT_CLOEXEC, 0);
}

/* Before 6.15 overlay takes only what hangs in the mount namespace of whoever makes it: of this thread's own. */
static int hang_and_mount_overlay(int layer_fd, bool is_mount) {
    _cleanup_fd_ int clone =
        is_mount ? -EBADF : open_tree(layer_fd, "", AT_EMPTY_PATH | OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
    int fd = is_mount ? layer_fd : clone;
    if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
        move_mount(fd, "", AT_FDCWD, "/mnt", MOVE_MOUNT_F_EMPTY_PATH) < 0)
        return -errno;
    return mount_overlay(fd);
}

typedef struct Hang {
    int layer_fd, result;
    bool is_mount;
} Hang;

static void *hang_thread(void *userdata) {
    Hang *h = userdata;
    h->result = hang_and_mount_overlay(h->layer_fd, h->is_mount);
    return NULL;
}

static void a_next_daemon_finds_it_again(void **state) {
    require_kind();
    int dir = make_directory("again");
    StorageLayer *l = create(dir, ID_BASE, 50 * MIB, 1000);
    pthread_t thread;
    Hang h = { storage_layer_fd(l), -EBADF, storage_layer_is_mount(l) };
    assert_int_equal(pthread_create(&thread, NULL, hang_thread, &h), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_true(h.result >= 0);
    assert_int_equal(as_container(fill, l, 30 * MIB), 30 * MIB);
    StorageUsage before = usage_of(l);
    storage_layer_free(l);
    storage_host_free(TAKE_PTR(host));
    error = ERROR_INIT;
    assert_ok(storage_host_new(data_fd, &host, &error));
    assert_ok(storage_layer_open(host, dir, ID_BASE, storage_host_kind(host), h.result, &l, &error));
    assert_int_equal(storage_layer_fd(l), -EBADF);
    assert_false(storage_layer_is_mount(l));
    close(h.result);
    StorageUsage after = usage_of(l);
    assert_near(after.bytes, before.bytes, 1);
    assert_true(after.bytes_limit == before.bytes_limit && after.inodes_limit == 1000);
    if (!is(STORAGE_FILE_SYSTEM) || has_capability(CAP_SYS_RESOURCE)) {
        assert_ok(change(l, 200 * MIB, 1500));
        assert_near(usage_of(l).bytes_limit, 200 * MIB, 0.5);
        assert_int_equal(usage_of(l).inodes_limit, 1500);
    }
    assert_ok(change(l, usage_of(l).bytes_limit, 500));
    assert_int_equal(usage_of(l).inodes_limit, 500);
    discard(l, dir, ID_BASE);
}

static void what_cannot_be_opened_again_is_an_error(void **state) {
    require_kind();
    _cleanup_fd_ int dir = make_directory("nothing");
    StorageLayer *l = NULL;
    for (unsigned k = 0; k <= _STORAGE_KIND_MAX; k++) {
        assert_true(storage_layer_open(host, dir, ID_BASE, (StorageKind) k, dir, &l, &error) < 0);
        assert_null(l);
    }
}

/* Killed at any instant: what the next one removes is all that is left. */
static void a_killed_daemon_leaves_nothing_that_cannot_be_removed(void **state) {
    require_kind();
    int dir = make_directory("killed");
    unsigned made = 0;
    for (unsigned i = 0; i < 60; i++) {
        pid_t pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
            StorageLayer *l = NULL;
            const StorageLimits limits = { 8 * MIB, 64 + i / 30 }; /* once with a template, once without */
            _exit(storage_layer_create(host, dir, ID_BASE, &limits, &l, NULL) < 0);
        }
        usleep(i % 30 * 250);
        kill(pid, SIGKILL);
        assert_int_equal(waitpid(pid, NULL, 0), pid);
        made += entries(dir) > 0;
        assert_ok(storage_layer_remove(host, dir, ID_BASE, &error));
        assert_int_equal(entries(dir), 0);
    }
    assert_true(made > 0);
    close(dir);
    wait_no_devices();
    /* the template that was half made is replaced */
    dir = make_directory("killed");
    discard(create(dir, ID_BASE, 8 * MIB, 64), dir, ID_BASE);
}

static void half_made_states_are_removed(void **state) {
    require_kind();
    int dir = make_directory("half");
    close(openat(dir, "layer.img", O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
    close(path_make_directories_at(dir, "layer/upper/a/b", 0755));
    assert_int_equal(symlinkat("/etc/passwd", dir, "layer/link"), 0);
    assert_ok(storage_layer_remove(host, dir, ID_BASE, &error));
    assert_int_equal(entries(dir), 0);
    close(dir);
    assert_int_equal(access("/etc/passwd", F_OK), 0);
}

/* ---- templates -------------------------------------------------------------------------------------------------- */

static void templates_are_few_and_found_again(void **state) {
    require_kind();
    if (!is(STORAGE_FILE_SYSTEM))
        skip_because("there are no templates with project quotas");
    _cleanup_fd_ int own = openat(data_fd, "storage", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    /* one that a killed process of the test before has made is known to a host that starts after it */
    storage_host_free(TAKE_PTR(host));
    assert_ok(storage_host_new(data_fd, &host, &error));
    for (unsigned i = 0; i < 12; i++) {
        int dir = make_directory("template");
        discard(create(dir, ID_BASE, (2 + i) * MIB, STORAGE_LIMIT_NONE), dir, ID_BASE);
        assert_in_range(entries(own), 1, 8);
    }
    struct stat before, after;
    assert_int_equal(fstatat(own, "template-d00000-ffffffffffffffff", &before, 0), 0);
    close(openat(own, "new", O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
    static const uint64_t other_version[7] = { 1000 };
    _cleanup_fd_ int other = openat(own, "template-100000-100", O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    assert_int_equal(fsetxattr(other, "trusted.kennel.storage", other_version, sizeof(other_version), 0), 0);
    _cleanup_fd_ int empty = openat(own, "template-100000-101", O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    storage_host_free(TAKE_PTR(host));
    assert_ok(storage_host_new(data_fd, &host, &error));
    assert_in_range(entries(own), 8, 8);
    assert_int_equal(faccessat(own, "template-100000-100", F_OK, 0), -1);
    assert_int_equal(faccessat(own, "template-100000-101", F_OK, 0), -1);
    int dir = make_directory("template");
    discard(create(dir, ID_BASE, 13 * MIB, STORAGE_LIMIT_NONE), dir, ID_BASE);
    assert_int_equal(fstatat(own, "template-d00000-ffffffffffffffff", &after, 0), 0);
    assert_int_equal(before.st_ino, after.st_ino);
}

/* ---- many ------------------------------------------------------------------------------------------------------- */

typedef struct Many {
    StorageLayer *layers[MANY];
    int dirs[MANY];
    unsigned first;
    double slowest;
} Many;

static Many many;

static void *create_many(void *userdata) {
    const StorageLimits limits = { 10 * MIB, STORAGE_LIMIT_NONE };
    for (unsigned i = (unsigned) (uintptr_t) userdata; i < MANY; i += THREADS)
        (void) storage_layer_create(host, many.dirs[i], ID_BASE + 65536 * i, &limits, &many.layers[i], NULL);
    return NULL;
}

static void many_at_once(void **state) {
    require_kind();
    pthread_t threads[THREADS];
    char name[24];
    for (unsigned i = 0; i < MANY; i++) {
        snprintf(name, sizeof(name), "many-%u", i);
        many.dirs[i] = make_directory(name);
    }
    double begin = now();
    for (uintptr_t t = 0; t < THREADS; t++)
        assert_int_equal(pthread_create(&threads[t], NULL, create_many, (void *) t), 0);
    for (unsigned t = 0; t < THREADS; t++)
        pthread_join(threads[t], NULL);
    double end = now();
    for (unsigned i = 0; i < MANY; i++) {
        assert_non_null(many.layers[i]);
        assert_near(usage_of(many.layers[i]).bytes_limit, 10 * MIB, 0.5);
    }
    double read_begin = now();
    for (unsigned k = 0; k < 10; k++)
        for (unsigned i = 0; i < MANY; i++)
            (void) usage_of(many.layers[i]);
    double read_end = now();
    if (is(STORAGE_FILE_SYSTEM))
        assert_int_equal(devices(), MANY);
    for (unsigned i = 0; i < MANY; i++)
        discard(many.layers[i], many.dirs[i], ID_BASE + 65536 * i);
    wait_no_devices();
    print_message("%u layers made in %.0f ms, usage of one in %.2f us, all gone %.0f ms later\n", MANY, end - begin,
                  (read_end - read_begin) * 1000 / (10 * MANY), now() - read_end);
    assert_true(end - begin < 30000);
}

static void one_after_the_other(void **state) {
    require_kind();
    double total = 0, worst = 0;
    for (unsigned i = 0; i < 50; i++) {
        int dir = make_directory("timed");
        StorageLayer *l = NULL;
        const StorageLimits limits = { 50 * MIB, STORAGE_LIMIT_NONE };
        double begin = now();
        assert_ok(storage_layer_create(host, dir, ID_BASE, &limits, &l, &error));
        double took = now() - begin;
        total += took;
        worst = took > worst ? took : worst;
        discard(l, dir, ID_BASE);
    }
    print_message("create: mean %.2f ms, worst (makes the template) %.2f ms\n", total / 50, worst);
}

/* ---- project ids ------------------------------------------------------------------------------------------------ */

static uint64_t change_project(int dir_fd, uint64_t unused) {
    struct fsxattr x, changed;
    if (unshare(CLONE_NEWUSER) < 0 || ioctl(dir_fd, FS_IOC_FSGETXATTR, &x) < 0)
        return 1;
    changed = x;
    changed.fsx_projid++;
    if (ioctl(dir_fd, FS_IOC_FSSETXATTR, &changed) == 0)
        return 2;
    changed = x;
    changed.fsx_xflags &= ~(unsigned) FS_XFLAG_PROJINHERIT;
    if (ioctl(dir_fd, FS_IOC_FSSETXATTR, &changed) == 0)
        return 3;
    return 0;
}

static void a_user_namespace_changes_no_project_id(void **state) {
    require_kind();
    if (!is(STORAGE_PROJECT_QUOTA))
        skip_because("no project quotas here");
    int dir = make_directory("project");
    StorageLayer *l = create(dir, ID_BASE, 10 * MIB, STORAGE_LIMIT_NONE);
    assert_int_equal(as_container(change_project, l, 0), 0);
    discard(l, dir, ID_BASE);
}

/* ---- */

static int setup(void **state) {
    snprintf(path, sizeof(path), "%s/kennel-test-storage-XXXXXX", base);
    if (!mkdtemp(path))
        return -1;
    data_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int r = data_fd < 0 ? -1 : storage_host_new(data_fd, &host, &error);
    if (r < 0)
        print_message("%s\n", error.message);
    return r;
}

static int teardown(void **state) {
    host = storage_host_free(host);
    close(data_fd);
    int parent = open(base, O_PATH | O_DIRECTORY | O_CLOEXEC);
    int r = path_remove_tree_at(parent, path + strlen(base) + 1);
    close(parent);
    if (r < 0 || devices() > 0)
        print_message("something is left in %s\n", path);
    return r < 0 || devices() > 0;
}

int main(int argc, char **argv) {
    if (argc > 1)
        base = argv[1];
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(kinds_have_names),
        cmocka_unit_test(the_host_has_what_it_was_said_to_have),
        cmocka_unit_test(bad_limits_are_refused),
        cmocka_unit_test(a_writer_is_stopped_at_the_limit),
        cmocka_unit_test(what_is_used_is_what_was_written),
        cmocka_unit_test(what_is_deleted_is_given_back_to_the_host),
        cmocka_unit_test(inodes_come_to_an_end),
        cmocka_unit_test(without_a_limit_it_is_counted),
        cmocka_unit_test(a_running_layer_grows),
        cmocka_unit_test(less_than_is_used_is_refused),
        cmocka_unit_test(inodes_change_both_ways),
        cmocka_unit_test(two_layers_do_not_notice_each_other),
        cmocka_unit_test(what_is_there_is_not_touched),
        cmocka_unit_test(removing_twice_is_no_error),
        cmocka_unit_test(a_next_daemon_finds_it_again),
        cmocka_unit_test(what_cannot_be_opened_again_is_an_error),
        cmocka_unit_test(a_killed_daemon_leaves_nothing_that_cannot_be_removed),
        cmocka_unit_test(half_made_states_are_removed),
        cmocka_unit_test(templates_are_few_and_found_again),
        cmocka_unit_test(one_after_the_other),
        cmocka_unit_test(many_at_once),
        cmocka_unit_test(a_user_namespace_changes_no_project_id),
    };
    return cmocka_run_group_tests_name("storage", tests, setup, teardown);
}
