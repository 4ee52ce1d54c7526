/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * mkfs.ext4 as a process of its own: a fixed program, environment and list of features, so that no configuration of the
 * host changes what comes out; the image as an fd; what it says goes into the error's message.
 */

#include "storage/internal.h"
#include "util/fds.h"

#include <ctype.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/wait.h>

#define IMAGE_FD_IN_CHILD 3
#define OUTPUT_MAX        200U

/*
 * No journal: what it protects from, a crash of the host, no container survives. With the checksums come group flags,
 * by which tables that nobody used need not be written. resize_inode is left out, since the kernel turns to meta_bg,
 * which needs no room set apart; sparse_super2, which has no backups to copy, since the kernel cannot grow it. All other
 * metadata comes first: fewer extents to copy.
 */
#define FEATURES                                                                                                       \
    "none,filetype,extent,flex_bg,sparse_super,large_file,huge_file,dir_nlink,extra_isize,metadata_csum,64bit,"        \
    "dir_index,ext_attr"

const char *mkfs_find(void) {
    static const char *const paths[] = { "/usr/sbin/mkfs.ext4", "/sbin/mkfs.ext4", "/usr/bin/mkfs.ext4" };
    for (size_t i = 0; i < ELEMENTSOF(paths); i++)
        if (access(paths[i], X_OK) == 0)
            return paths[i];
    return NULL;
}

static int spawn(const char *path, char *const *arguments, int image_fd, int output_fd, pid_t *ret) {
    static char *const environment[] = { (char *) "PATH=/usr/sbin:/usr/bin:/sbin:/bin", (char *) "LC_ALL=C",
                                         (char *) "MKE2FS_CONFIG=/dev/null", NULL };
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t none, all;
    (void) sigemptyset(&none);
    (void) sigfillset(&all);
    int r = posix_spawn_file_actions_init(&actions);
    if (r != 0)
        return -r;
    r = posix_spawnattr_init(&attributes);
    if (r != 0) {
        (void) posix_spawn_file_actions_destroy(&actions);
        return -r;
    }
    /* in this order: the fds that are copied lie above those that they are copied to (see mkfs_run) */
    r = posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
    r = r ? r : posix_spawn_file_actions_adddup2(&actions, output_fd, 1);
    r = r ? r : posix_spawn_file_actions_adddup2(&actions, output_fd, 2);
    r = r ? r : posix_spawn_file_actions_adddup2(&actions, image_fd, IMAGE_FD_IN_CHILD);
    /* libnftables opens its sockets without CLOEXEC */
    r = r ? r : posix_spawn_file_actions_addclosefrom_np(&actions, IMAGE_FD_IN_CHILD + 1);
    r = r ? r : posix_spawnattr_setsigmask(&attributes, &none);
    r = r ? r : posix_spawnattr_setsigdefault(&attributes, &all);
    r = r ? r : posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    r = r ? r : posix_spawn(ret, path, &actions, &attributes, arguments, environment);
    (void) posix_spawnattr_destroy(&attributes);
    (void) posix_spawn_file_actions_destroy(&actions);
    return -r;
}

/* All of it is read, so that the process does not hang at a full pipe; the beginning is kept, on one line. */
static void read_output(int fd, char *text, size_t size) {
    char rest[512];
    size_t length = 0;
    for (;;) {
        ssize_t n = read(fd, rest, sizeof(rest));
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            break;
        for (ssize_t i = 0; i < n && length < size - 1; i++)
            text[length++] = isprint((unsigned char) rest[i]) ? rest[i] : ' ';
    }
    while (length > 0 && text[length - 1] == ' ')
        length--;
    text[length] = 0;
}

static int run(const char *path, char *const *arguments, int image_fd, char *output, size_t size) {
    int pipe_fds[2], status;
    pid_t pid;
    if (pipe2(pipe_fds, O_CLOEXEC) < 0)
        return -errno;
    _cleanup_fd_ int reader = pipe_fds[0];
    _cleanup_fd_ int low = pipe_fds[1], writer = fcntl(low, F_DUPFD_CLOEXEC, IMAGE_FD_IN_CHILD + 1);
    _cleanup_fd_ int image = fcntl(image_fd, F_DUPFD_CLOEXEC, IMAGE_FD_IN_CHILD + 1);
    if (writer < 0 || image < 0)
        return -errno;
    int r = spawn(path, arguments, image, writer, &pid);
    low = fd_close(low);
    writer = fd_close(writer);
    if (r < 0)
        return r;
    read_output(reader, output, size);
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            return -errno;
    return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -EIO;
}

int mkfs_run(const char *path, int image_fd, uint64_t blocks, uint64_t inodes, Error *reterr) {
    char output[OUTPUT_MAX] = "", blocks_text[24], inodes_text[24];
    (void) snprintf(blocks_text, sizeof(blocks_text), "%llu", (unsigned long long) blocks);
    (void) snprintf(inodes_text, sizeof(inodes_text), "%llu", (unsigned long long) inodes);
    /* UUID 0: udev makes no link by-uuid, for which hundreds of devices would contend. */
    const char *const arguments[] = {
        "mkfs.ext4", "-q",        "-F",
        "-b",        "4096",      "-I",
        "256",       "-m",        "0",
        "-U",        "clear",     "-O",
        FEATURES,    "-E",        "lazy_itable_init=1,nodiscard,packed_meta_blocks=1,root_owner=0:0",
        "-N",        inodes_text, "/proc/self/fd/3",
        blocks_text, NULL,
    };
    int r = run(path, (char *const *) arguments, image_fd, output, sizeof(output));
    return r < 0 ? error_failed(reterr, -r, STORAGE_SUBJECT, "%s failed%s%s", path, output[0] ? ": " : "",
                                output[0] ? output : strerror(-r))
                 : 0;
}
