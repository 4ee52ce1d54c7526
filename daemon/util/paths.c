/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Files beneath a directory fd.
 *
 * The trees that this works in may belong to a container or to the user who started it, and may change while we look:
 * no result of a lookup by name is ever used as a name again. The exception is a directory that is removed, which is
 * named relative to the fd of its parent; a swap there can only make us remove what replaced it in the same parent.
 */

#include "util/paths.h"

#include "util/fds.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>

/* openat2 gives EAGAIN when a rename somewhere kept it from proving that ".." stayed inside; bounded, as the tree's
 * owner could keep renaming for ever. */
#define OPEN_TRIES     64U
#define REMOVE_FDS_MAX 64U

int path_open_at(int dir_fd, const char *path, int flags, mode_t mode, uint64_t resolve) {
    struct open_how how = {
        .flags = (uint64_t) (unsigned) (flags | O_CLOEXEC),
        /* the call refuses a mode where nothing can be created */
        .mode = (flags & O_CREAT) || (flags & O_TMPFILE) == O_TMPFILE ? mode : 0,
        .resolve = resolve | RESOLVE_NO_MAGICLINKS,
    };
    int fd = -1;
    for (unsigned i = 0; i < OPEN_TRIES; i++) {
        fd = (int) syscall(SYS_openat2, dir_fd, path, &how, sizeof(how));
        if (fd >= 0)
            return fd;
        if (errno != EAGAIN && errno != EINTR)
            break;
    }
    return -errno;
}

/*
 * Opens for reading only after O_PATH has shown that it is a regular file: opening a device or a FIFO that someone put
 * in its place would already have effects. The magic link leads to the very inode that was checked.
 */
static int open_regular(int dir_fd, const char *path, uint64_t resolve) {
    _cleanup_fd_ int path_fd = path_open_at(dir_fd, path, O_PATH, 0, resolve);
    if (path_fd < 0)
        return path_fd;
    struct stat st;
    if (fstat(path_fd, &st) < 0)
        return -errno;
    if (S_ISDIR(st.st_mode))
        return -EISDIR;
    if (S_ISLNK(st.st_mode))
        return -ELOOP;
    if (!S_ISREG(st.st_mode))
        return -EINVAL;
    char link[sizeof("/proc/self/fd/") + 3 * sizeof(int)];
    (void) snprintf(link, sizeof(link), "/proc/self/fd/%d", path_fd);
    int fd = open(link, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    return fd < 0 ? -errno : fd;
}

int path_read_file_at(int dir_fd, const char *path, uint64_t resolve, size_t max, char **ret, size_t *ret_size) {
    _cleanup_fd_ int fd = open_regular(dir_fd, path, resolve);
    if (fd < 0)
        return fd;
    /* Files of /proc say that their size is 0, and any other size may be out of date: read until the end. */
    _cleanup_free_ char *buffer = NULL;
    size_t size = 0, room = 4096;
    for (;;) {
        if (room > max)
            room = max;
        char *larger = realloc(buffer, room + 2); /* one to notice that there is more than MAX, one for the NUL */
        if (!larger)
            return -ENOMEM;
        buffer = larger;
        ssize_t n = fd_read_all(fd, buffer + size, room + 1 - size);
        if (n < 0)
            return (int) n;
        size += (size_t) n;
        if (size <= room)
            break;
        if (room == max)
            return -EFBIG;
        room *= 2;
    }
    buffer[size] = 0;
    *ret = TAKE_PTR(buffer);
    if (ret_size)
        *ret_size = size;
    return 0;
}

/* One part of a path, that names an entry of the directory and not the directory or its parent. */
static bool name_is_valid(const char *name) {
    return *name && strlen(name) <= NAME_MAX && !strchr(name, '/') && strcmp(name, ".") != 0 && strcmp(name, "..") != 0;
}

static int sync_directory(int dir_fd) {
    _cleanup_fd_ int fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC); /* DIR_FD may be O_PATH */
    if (fd < 0 || fsync(fd) < 0)
        return -errno;
    return 0;
}

static int write_new_file(int dir_fd, const char *name, const void *bytes, size_t size, mode_t mode, bool sync) {
    _cleanup_fd_ int fd = openat(dir_fd, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, mode);
    if (fd < 0)
        return -errno;
    int r = fd_write_all(fd, bytes, size);
    if (r < 0)
        return r;
    if (fchmod(fd, mode) < 0) /* whatever the umask is */
        return -errno;
    if (sync && fsync(fd) < 0)
        return -errno;
    return 0;
}

int path_write_file_at(int dir_fd, const char *name, const void *bytes, size_t size, mode_t mode, bool sync) {
    if (!name_is_valid(name))
        return -EINVAL;
    /* The same name each time: what a killed process left behind is replaced, not added to. One writer for each NAME.
     */
    char temporary[NAME_MAX + 1];
    if ((size_t) snprintf(temporary, sizeof(temporary), ".%s.new", name) >= sizeof(temporary))
        return -ENAMETOOLONG;
    if (unlinkat(dir_fd, temporary, 0) < 0 && errno != ENOENT)
        return -errno;
    int r = write_new_file(dir_fd, temporary, bytes, size, mode, sync);
    if (r >= 0 && renameat(dir_fd, temporary, dir_fd, name) < 0)
        r = -errno;
    if (r < 0) {
        (void) unlinkat(dir_fd, temporary, 0);
        return r;
    }
    return sync ? sync_directory(dir_fd) : 0;
}

/*
 * Opens the prefix PATH of a path, making its last part in PARENT_FD if there is none. Each prefix is looked up from
 * the root again, so that links in it resolve as they would inside.
 */
static int enter_directory(int root_fd, int parent_fd, const char *path, const char *last, mode_t mode) {
    const uint64_t resolve = RESOLVE_IN_ROOT;
    int fd = path_open_at(root_fd, path, O_PATH | O_DIRECTORY, 0, resolve);
    if (fd != -ENOENT)
        return fd;
    if (mkdirat(parent_fd, last, mode) < 0 && errno != EEXIST)
        return -errno;
    return path_open_at(root_fd, path, O_PATH | O_DIRECTORY, 0, resolve);
}

int path_make_directories_at(int dir_fd, const char *path, mode_t mode) {
    _cleanup_free_ char *prefix = strdup(path);
    if (!prefix)
        return -ENOMEM;
    _cleanup_fd_ int current = path_open_at(dir_fd, ".", O_PATH | O_DIRECTORY, 0, RESOLVE_BENEATH);
    if (current < 0)
        return current;
    for (char *part = prefix; *part;) {
        size_t length = strcspn(part, "/");
        char *end = part + length;
        char separator = *end;
        *end = 0;
        if (strcmp(part, "..") == 0)
            return -EINVAL;
        if (length > 0 && strcmp(part, ".") != 0) {
            int next = enter_directory(dir_fd, current, prefix, part, mode);
            if (next < 0)
                return next;
            fd_close(current);
            current = next;
        }
        *end = separator;
        part = separator ? end + 1 : end;
    }
    return TAKE_FD(current);
}

typedef struct Removal {
    int root_fd;      /* the directory that is being emptied */
    uint64_t removed; /* entries gone or moved so far: how we know that a pass got somewhere */
    unsigned moved;
} Removal;

static void closedirp(DIR **d) {
    if (*d)
        (void) closedir(*d);
}

static int remove_entry(Removal *r, int parent_fd, const char *name, unsigned depth);

/*
 * Below the last level for which there is an fd: moves the directory up beneath the root of the removal, where a later
 * pass finds it. Its name there is free, since a name that is taken is counted past.
 */
static int move_up(Removal *r, int parent_fd, const char *name) {
    char unique[sizeof("kennel-removing-") + 3 * sizeof(unsigned)];
    for (;;) {
        (void) snprintf(unique, sizeof(unique), "kennel-removing-%u", r->moved++);
        if (renameat2(parent_fd, name, r->root_fd, unique, RENAME_NOREPLACE) == 0)
            break;
        if (errno != EEXIST)
            return -errno;
    }
    r->removed++;
    return 0;
}

/* One pass over all entries. A directory that changes while it is read may need another. */
static int remove_entries(Removal *r, DIR *d, unsigned depth) {
    for (;;) {
        errno = 0;
        struct dirent *e = readdir(d);
        if (!e)
            return -errno;
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
            continue;
        int q = remove_entry(r, dirfd(d), e->d_name, depth);
        if (q < 0)
            return q;
    }
}

static int remove_directory(Removal *r, int parent_fd, const char *name, unsigned depth) {
    /* NO_XDEV also refuses a bind mount of the same file system, which holds what is not ours to remove */
    int fd = path_open_at(parent_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0,
                          RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV);
    if (fd < 0)
        return fd == -ENOENT ? 0 : fd;
    _cleanup_(closedirp) DIR *d = fdopendir(fd);
    if (!d) {
        int saved = errno;
        fd_close(fd);
        return -saved;
    }
    if (depth == 0)
        r->root_fd = dirfd(d);
    for (;;) {
        uint64_t before = r->removed;
        int q = remove_entries(r, d, depth + 1);
        if (q < 0)
            return q;
        if (unlinkat(parent_fd, name, AT_REMOVEDIR) == 0 || errno == ENOENT) {
            r->removed++;
            return 0;
        }
        if (errno != ENOTEMPTY || r->removed == before)
            return -errno;
        rewinddir(d);
    }
}

static int remove_entry(Removal *r, int parent_fd, const char *name, unsigned depth) {
    if (unlinkat(parent_fd, name, 0) == 0) {
        r->removed++;
        return 0;
    }
    if (errno == ENOENT)
        return 0;
    if (errno != EISDIR)
        return -errno;
    if (depth < REMOVE_FDS_MAX)
        return remove_directory(r, parent_fd, name, depth);
    /* an empty one needs no fd */
    if (unlinkat(parent_fd, name, AT_REMOVEDIR) == 0) {
        r->removed++;
        return 0;
    }
    return errno == ENOTEMPTY ? move_up(r, parent_fd, name) : -errno;
}

int path_remove_tree_at(int dir_fd, const char *name) {
    if (!name_is_valid(name))
        return -EINVAL;
    Removal r = { .root_fd = -EBADF };
    return remove_entry(&r, dir_fd, name, 0);
}
