/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * See fd-store.h. The manager is asked with FDPOLL=0: it would drop a terminal or a process as soon as that hangs up,
 * which is when the next daemon needs it. Nothing here trusts what a descriptor is: who takes one checks it.
 */

#include "util/fd-store.h"

#include "util/parse.h"

#include <fcntl.h>
#include <string.h>
#include <systemd/sd-daemon.h>

typedef struct Entry {
    char *name;
    int fd; /* -EBADF: taken */
} Entry;

struct FdStore {
    bool has_manager;
    Entry *entries;
    size_t n;
};

FdStore *fd_store_free(FdStore *s) {
    if (!s)
        return NULL;
    for (size_t i = 0; i < s->n; i++) {
        (void) fd_close(s->entries[i].fd);
        free(s->entries[i].name);
    }
    free(s->entries);
    free(s);
    return NULL;
}

/* A unit's name has a dot, "unknown" and "connection" have no dash: none of them is taken for one of ours. */
static bool is_stored(const char *name) {
    return strchr(name, '-') && !strchr(name, '.');
}

static int add_entry(FdStore *s, const char *name, int fd) {
    char *copy = strdup(name);
    if (!copy)
        return -ENOMEM;
    s->entries[s->n++] = (Entry){ copy, fd };
    return 0;
}

static int adopt(FdStore *s, char **names, size_t n, int *ret_socket_fd, Error *reterr) {
    for (size_t i = 0; i < n; i++) {
        int fd = SD_LISTEN_FDS_START + (int) i;
        if (is_stored(names[i])) {
            if (add_entry(s, names[i], fd) < 0)
                return error_failed(reterr, ENOMEM, "socket", "out of memory");
            continue;
        }
        if (*ret_socket_fd >= 0)
            return error_failed(
                reterr, EINVAL, "socket",
                "the service manager passed more than one socket (the second is \"%s\"); one is expected", names[i]);
        *ret_socket_fd = fd;
    }
    return 0;
}

int fd_store_new(FdStore **ret, int *ret_socket_fd, Error *reterr) {
    _cleanup_(fd_store_freep) FdStore *s = calloc(1, sizeof(FdStore));
    if (!s)
        return error_failed(reterr, ENOMEM, "socket", "out of memory");
    _cleanup_(strv_freep) char **names = NULL;
    s->has_manager = getenv("NOTIFY_SOCKET") != NULL;
    int n = sd_listen_fds_with_names(1, &names); /* sets CLOEXEC on each */
    if (n < 0)
        return error_failed(reterr, -n, "socket", "LISTEN_FDS makes no sense: %s", strerror(-n));
    *ret_socket_fd = -EBADF;
    s->entries = calloc((size_t) n + 1, sizeof(Entry));
    if (!s->entries)
        return error_failed(reterr, ENOMEM, "socket", "out of memory");
    int r = adopt(s, names, (size_t) n, ret_socket_fd, reterr);
    if (r < 0)
        return r;
    *ret = TAKE_PTR(s);
    return 0;
}

static void make_name(char *to, const char *owner, const char *what) {
    (void) snprintf(to, FD_STORE_NAME_MAX, "%s-%s", owner, what);
}

int fd_store_take(FdStore *s, const char *owner, const char *what) {
    char name[FD_STORE_NAME_MAX];
    make_name(name, owner, what);
    for (size_t i = 0; s && i < s->n; i++)
        if (s->entries[i].fd >= 0 && strcmp(s->entries[i].name, name) == 0)
            return TAKE_FD(s->entries[i].fd);
    return -ENOENT;
}

int fd_store_put(const FdStore *s, const char *owner, const char *what, int fd) {
    char state[FD_STORE_NAME_MAX + sizeof("FDSTORE=1\nFDPOLL=0\nFDNAME=")], name[FD_STORE_NAME_MAX];
    if (!s || !s->has_manager)
        return -ENOTCONN;
    make_name(name, owner, what);
    (void) snprintf(state, sizeof(state), "FDSTORE=1\nFDPOLL=0\nFDNAME=%s", name);
    int r = sd_pid_notify_with_fds(0, 0, state, &fd, 1);
    return r < 0 ? r : r == 0 ? -ENOTCONN : 0;
}

static void forget(const FdStore *s, const char *name) {
    char state[FD_STORE_NAME_MAX + sizeof("FDSTOREREMOVE=1\nFDNAME=")];
    (void) snprintf(state, sizeof(state), "FDSTOREREMOVE=1\nFDNAME=%s", name);
    if (s->has_manager)
        (void) sd_notify(0, state);
}

void fd_store_remove(const FdStore *s, const char *owner, const char *what) {
    char name[FD_STORE_NAME_MAX];
    if (!s)
        return;
    make_name(name, owner, what);
    forget(s, name);
}

void fd_store_forget(FdStore *s, bool (*is_wanted)(void *userdata, const char *owner), void *userdata) {
    for (size_t i = 0; s && i < s->n; i++) {
        Entry *e = &s->entries[i];
        e->fd = fd_close(e->fd);
        char owner[FD_STORE_NAME_MAX];
        (void) snprintf(owner, sizeof(owner), "%.*s", (int) strcspn(e->name, "-"), e->name);
        if (!is_wanted(userdata, owner))
            forget(s, e->name);
    }
}
