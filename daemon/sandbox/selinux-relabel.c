/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Gives a tree of files, which a caller opened and passed in, another label.
 *
 * It works with the daemon's rights on a tree that its owner may be changing meanwhile. So no path is ever resolved: each
 * entry is opened by its bare name in its directory, a link as a link, and judged and labelled by that fd. An entry that
 * is moved away is labelled where it is, and was its owner's before. A stack on the heap instead of recursion: the depth
 * is the caller's choice.
 */

#include "sandbox/selinux.h"
#include "util/paths.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <linux/xattr.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>

/* Each level is an open directory. */
#define DEPTH_MAX 256U

/* Whoever relabels one of these has no host any more. */
static const char *const forbidden[] = {
    "/",      "/bin", "/boot",    "/dev",     "/etc",      "/home",    "/lib",     "/lib32",   "/lib64", "/libx32",
    "/media", "/mnt", "/opt",     "/proc",    "/root",     "/run",     "/sbin",    "/srv",     "/sys",   "/tmp",
    "/usr",   "/var", "/usr/bin", "/usr/lib", "/usr/sbin", "/var/lib", "/var/log", "/var/tmp",
};

typedef struct Level {
    struct Level *parent;
    DIR *directory;
    char name[256];
} Level;

typedef struct Walk {
    const char *context, *field;
    uid_t owner;
    Level *top;
    unsigned depth;
} Walk;

static void pop(Walk *w) {
    Level *l = w->top;
    w->top = l->parent;
    w->depth--;
    (void) closedir(l->directory);
    free(l);
}

static void walk_done(Walk *w) {
    while (w->top)
        pop(w);
}

/* The path below the volume, for a message; what does not fit is left out at the front. */
static const char *describe(const Walk *w, const char *name, char *buffer, size_t size) {
    size_t at = size - 1;
    buffer[at] = 0;
    for (const Level *l = w->top; name; l = l->parent) {
        size_t n = strlen(name);
        if (n + 1 > at)
            break;
        at -= n;
        memcpy(buffer + at, name, n);
        name = l && l->parent ? l->name : NULL;
        if (name)
            buffer[--at] = '/';
    }
    return buffer + at;
}

static int refuse(const Walk *w, const char *name, int code, Error *reterr) {
    char buffer[200];
    const char *where = name ? describe(w, name, buffer, sizeof(buffer)) : "the volume itself";
    if (code == EPERM && w->owner != 0)
        return error_set(reterr, ERROR_INVALID_SPEC, EPERM, w->field,
                         "%s belongs to another user than uid %u: only its owner may have it relabelled", where,
                         w->owner);
    if (code == ELOOP)
        return error_set(reterr, ERROR_INVALID_SPEC, ELOOP, w->field, "%s lies deeper than %u directories", where,
                         DEPTH_MAX);
    return error_set(reterr, ERROR_INVALID_SPEC, code, w->field, "%s cannot be relabelled: %s", where, strerror(code));
}

/* By the magic link, since an O_PATH fd takes no fsetxattr(); it leads to the very inode, also if that is a link. */
static int label(const Walk *w, int fd, struct stat *ret) {
    char path[40];
    if (fstat(fd, ret) < 0)
        return -errno;
    if (w->owner != 0 && ret->st_uid != w->owner)
        return -EPERM;
    (void) snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    return setxattr(path, XATTR_NAME_SELINUX, w->context, strlen(w->context) + 1, 0) < 0 ? -errno : 0;
}

/* FD is open O_PATH. A directory that is another mount, or becomes one, fails with EXDEV. */
static int push(Walk *w, int fd, const char *name) {
    if (w->depth == DEPTH_MAX)
        return -ELOOP;
    _cleanup_fd_ int readable = path_open_at(fd, ".", O_RDONLY | O_DIRECTORY, 0, RESOLVE_BENEATH | RESOLVE_NO_XDEV);
    if (readable < 0)
        return readable;
    Level *l = calloc(1, sizeof(Level));
    if (!l)
        return -ENOMEM;
    l->directory = fdopendir(readable);
    if (!l->directory) {
        free(l);
        return -ENOMEM;
    }
    (void) TAKE_FD(readable);
    (void) snprintf(l->name, sizeof(l->name), "%s", name);
    l->parent = w->top;
    w->top = l;
    w->depth++;
    return 0;
}

static int visit(Walk *w, const char *name) {
    struct stat st;
    _cleanup_fd_ int fd =
        path_open_at(dirfd(w->top->directory), name, O_PATH | O_NOFOLLOW, 0, RESOLVE_BENEATH | RESOLVE_NO_XDEV);
    /* What is mounted there stays as it is; what has gone needs no label. */
    if (fd == -EXDEV || fd == -ENOENT)
        return 0;
    int r = fd < 0 ? fd : label(w, fd, &st);
    return r >= 0 && S_ISDIR(st.st_mode) ? push(w, fd, name) : r;
}

static int check_place(const struct stat *st, const char *field, Error *reterr) {
    for (size_t i = 0; i < ELEMENTSOF(forbidden); i++) {
        struct stat place;
        if (stat(forbidden[i], &place) >= 0 && place.st_dev == st->st_dev && place.st_ino == st->st_ino)
            return error_invalid(reterr, field, "is %s; the host needs its labels as they are", forbidden[i]);
    }
    return 0;
}

static int walk(Walk *w, Error *reterr) {
    while (w->top) {
        errno = 0;
        struct dirent *e = readdir(w->top->directory);
        if (!e && errno)
            return refuse(w, w->top->name, errno, reterr);
        if (!e) {
            pop(w);
            continue;
        }
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
            continue;
        int r = visit(w, e->d_name);
        if (r < 0)
            return refuse(w, e->d_name, -r, reterr);
    }
    return 0;
}

int selinux_relabel(int fd, const char *context, uid_t owner, const char *field, Error *reterr) {
    _cleanup_(walk_done) Walk w = { .context = context, .field = field, .owner = owner };
    struct stat st;
    if (fstat(fd, &st) < 0)
        return refuse(&w, NULL, errno, reterr);
    int r = check_place(&st, field, reterr);
    if (r < 0)
        return r;
    r = label(&w, fd, &st);
    if (r >= 0 && S_ISDIR(st.st_mode))
        r = push(&w, fd, "");
    return r < 0 ? refuse(&w, NULL, -r, reterr) : walk(&w, reterr);
}
