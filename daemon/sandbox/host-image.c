/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The built-in image `host`: a root with a made-up /etc, over which the host's /usr is mounted read-only.
 *
 * Nothing that tells of the host is copied, only what programs in /usr need to run: the loader's cache, the
 * alternatives that commands are links through, terminal descriptions, certificates, the shells' start files. Users
 * and groups are made up.
 *
 * The image stays between starts of the daemon; see open_existing().
 */

#include "sandbox/internal.h"
#include "util/fds.h"
#include "util/paths.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>

#define COPY_FILE_MAX  (4U * 1024U * 1024U)
#define COPY_DEPTH_MAX 4U

typedef struct MadeFile {
    const char *path;
    const char *content;
} MadeFile;

static const MadeFile made_files[] = {
    { "etc/passwd", "root:x:0:0:root:/root:/bin/bash\n"
                    "daemon:x:1:1:daemon:/usr/sbin:/usr/sbin/nologin\n"
                    "bin:x:2:2:bin:/bin:/usr/sbin/nologin\n"
                    "mail:x:8:8:mail:/var/mail:/usr/sbin/nologin\n"
                    "www-data:x:33:33:www-data:/var/www:/usr/sbin/nologin\n"
                    "user:x:1000:1000:user:/home/user:/bin/bash\n"
                    "nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n" },
    { "etc/group", "root:x:0:\ndaemon:x:1:\nbin:x:2:\nadm:x:4:\ntty:x:5:\nmail:x:8:\nwww-data:x:33:\n"
                   "utmp:x:43:\nstaff:x:50:\nusers:x:100:\nuser:x:1000:\nnogroup:x:65534:\n" },
    { "etc/hosts", "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n" },
    { "etc/nsswitch.conf",
      "passwd: files\ngroup: files\nshadow: files\nhosts: files dns\nservices: files\nprotocols: files\n" },
    { "etc/resolv.conf", "" },
    { "etc/shells", "/bin/sh\n/bin/bash\n" },
    { "etc/fstab", "" },
    { "etc/hostname", "kennel\n" },
    { "etc/machine-id", "" },
};

/* Copied from the host where they exist: files, links, and directories of them. */
static const char *const copied[] = {
    "etc/ld.so.cache",     "etc/ld.so.conf", "etc/ld.so.conf.d",   "etc/alternatives", "etc/bash.bashrc",
    "etc/profile",         "etc/profile.d",  "etc/inputrc",        "etc/localtime",    "etc/timezone",
    "etc/mime.types",      "etc/services",   "etc/protocols",      "etc/terminfo",     "etc/ssl/certs",
    "etc/ssl/openssl.cnf", "etc/os-release", "etc/debian_version", "etc/skel",         "etc/java-17-openjdk",
    "etc/python3",         "etc/python3.11", "etc/python3.13",     "etc/perl",
};

static const char *const directories[] = {
    "dev", "etc/ssl", "home/user", "mnt",     "opt",     "proc",     "root",      "run",     "srv",     "sys",
    "tmp", "usr",     "var/cache", "var/lib", "var/log", "var/mail", "var/spool", "var/tmp", "var/www",
};

static const char *const merged[] = { "bin", "sbin", "lib", "lib32", "lib64", "libx32" };

static int copy_link(int from_fd, int to_fd, const char *name) {
    char target[4096];
    ssize_t n = readlinkat(from_fd, name, target, sizeof(target) - 1);
    if (n < 0)
        return -errno;
    target[n] = 0;
    return symlinkat(target, to_fd, name) < 0 ? -errno : 0;
}

static int copy_file(int from_fd, int to_fd, const char *name) {
    _cleanup_free_ char *text = NULL;
    size_t size;
    int r = path_read_file_at(from_fd, name, RESOLVE_BENEATH, COPY_FILE_MAX, &text, &size);
    if (r < 0)
        return r;
    _cleanup_fd_ int fd = openat(to_fd, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    if (fd < 0 || fchmod(fd, 0644) < 0)
        return -errno;
    return fd_write_all(fd, text, size);
}

static int copy_entry(int from_fd, int to_fd, const char *name, unsigned depth);

static int copy_directory(int from_fd, int to_fd, const char *name, unsigned depth) {
    if (depth == 0)
        return 0;
    if (mkdirat(to_fd, name, 0755) < 0 || fchmodat(to_fd, name, 0755, 0) < 0)
        return -errno;
    _cleanup_fd_ int to = openat(to_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    int from = openat(from_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    DIR *d = from < 0 ? NULL : fdopendir(from);
    if (!d) {
        int saved = errno;
        (void) fd_close(from);
        return -saved;
    }
    int r = to < 0 ? -EBADF : 0;
    for (struct dirent *e; r >= 0 && (e = readdir(d)) != NULL;)
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
            r = copy_entry(dirfd(d), to, e->d_name, depth - 1);
    (void) closedir(d);
    return r;
}

/* Only what everybody may read on the host comes along; sockets and the like do not. */
static int copy_entry(int from_fd, int to_fd, const char *name, unsigned depth) {
    struct stat st;
    if (fstatat(from_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return errno == ENOENT ? 0 : -errno;
    if (S_ISLNK(st.st_mode))
        return copy_link(from_fd, to_fd, name);
    if (S_ISDIR(st.st_mode))
        return (st.st_mode & 0005) == 0005 ? copy_directory(from_fd, to_fd, name, depth) : 0;
    if (S_ISREG(st.st_mode) && (st.st_mode & 0004))
        return copy_file(from_fd, to_fd, name);
    return 0;
}

static int copy_path(int image_fd, const char *path) {
    char parent[64];
    const char *slash = strrchr(path, '/');
    (void) snprintf(parent, sizeof(parent), "%.*s", (int) (slash - path), path);
    _cleanup_fd_ int root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    _cleanup_fd_ int from = openat(root, parent, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (from < 0)
        return errno == ENOENT ? 0 : -errno;
    _cleanup_fd_ int to = path_make_directories_at(image_fd, parent, 0755);
    if (to < 0)
        return to;
    int r = copy_entry(from, to, slash + 1, COPY_DEPTH_MAX);
    return r == -EFBIG || r == -ENOENT ? 0 : r;
}

static int make_files(int image_fd) {
    for (size_t i = 0; i < ELEMENTSOF(made_files); i++) {
        _cleanup_fd_ int fd = openat(image_fd, made_files[i].path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
        if (fd < 0 || fchmod(fd, 0644) < 0)
            return -errno;
        int r = fd_write_all(fd, made_files[i].content, strlen(made_files[i].content));
        if (r < 0)
            return r;
    }
    return 0;
}

static int make_directories(int image_fd) {
    for (size_t i = 0; i < ELEMENTSOF(directories); i++) {
        _cleanup_fd_ int fd = path_make_directories_at(image_fd, directories[i], 0755);
        if (fd < 0)
            return fd;
    }
    /* The rest has 0755 from umask-proof mkdir; these differ. */
    if (fchmodat(image_fd, "tmp", 01777, 0) < 0 || fchmodat(image_fd, "var/tmp", 01777, 0) < 0 ||
        fchmodat(image_fd, "root", 0700, 0) < 0 || fchownat(image_fd, "home/user", 1000, 1000, 0) < 0)
        return -errno;
    return 0;
}

/* /bin and the like: links into /usr as on the host. */
static int make_merged_links(int image_fd) {
    _cleanup_fd_ int root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    for (size_t i = 0; i < ELEMENTSOF(merged); i++) {
        int r = copy_link(root, image_fd, merged[i]);
        if (r < 0 && r != -ENOENT && r != -EINVAL)
            return r;
    }
    return 0;
}

static int build(int image_fd) {
    int r = make_directories(image_fd);
    if (r >= 0)
        r = make_files(image_fd);
    if (r >= 0)
        r = make_merged_links(image_fd);
    for (size_t i = 0; r >= 0 && i < ELEMENTSOF(copied); i++)
        r = copy_path(image_fd, copied[i]);
    return r;
}

/*
 * The image of an earlier daemon is used again unless the host's libraries or alternatives have changed since. When they
 * have, a new one takes its place; the old one stays under another name, because containers that still run have it
 * below their overlay and would lose their /etc with it.
 */
static int open_existing(int images_fd, int *ret) {
    struct stat usr, image;
    _cleanup_fd_ int fd = openat(images_fd, "host", O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return 0;
    /* Newer than the loader's cache: libraries or alternatives have not changed since it was made. */
    if (fstat(fd, &image) < 0)
        return -errno;
    if (stat("/etc/ld.so.cache", &usr) < 0 || usr.st_mtim.tv_sec >= image.st_mtim.tv_sec)
        return 0;
    if (stat("/etc/alternatives", &usr) < 0 || usr.st_mtim.tv_sec >= image.st_mtim.tv_sec)
        return 0;
    *ret = TAKE_FD(fd);
    return 1;
}

/* Takes the place of the former image by one rename; the old one stays under a name of its own for who still uses it. */
static int publish(int images_fd, const char *built) {
    char old[40];
    uint32_t number = 0;
    if (getrandom(&number, sizeof(number), 0) != sizeof(number))
        return -EIO;
    (void) snprintf(old, sizeof(old), "host-old-%08x", number);
    if (renameat(images_fd, "host", images_fd, old) < 0 && errno != ENOENT)
        return -errno;
    return renameat(images_fd, built, images_fd, "host") < 0 ? -errno : 0;
}

int host_image_prepare(int data_fd, int *ret_image_fd, Error *reterr) {
    _cleanup_fd_ int images = path_make_directories_at(data_fd, "images", 0755);
    if (images < 0)
        return error_failed(reterr, -images, "image host", "images cannot be made: %s", strerror(-images));
    int r = open_existing(images, ret_image_fd);
    if (r != 0)
        return r < 0 ? error_failed(reterr, -r, "image host", "%s", strerror(-r)) : 0;

    r = path_remove_tree_at(images, "host.new");
    if (r < 0)
        return error_failed(reterr, -r, "image host", "images/host.new cannot be removed: %s", strerror(-r));
    mode_t before = umask(022);
    _cleanup_fd_ int image = path_make_directories_at(images, "host.new", 0755);
    r = image < 0 ? image : build(image);
    (void) umask(before);
    if (r >= 0)
        r = publish(images, "host.new");
    if (r < 0)
        return error_failed(reterr, -r, "image host", "it cannot be made: %s", strerror(-r));
    *ret_image_fd = TAKE_FD(image);
    return 0;
}
