/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The socket appears under its name in one step, complete: listening, with owner and mode as they should be. It is made
 * under another name beside and renamed. A socket that nobody listens on any more is replaced; one that answers, or
 * something else of that name, is left alone and the daemon does not start.
 */

#include "daemon-socket.h"

#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <systemd/sd-daemon.h>

#define BACKLOG 128

static int take_passed(int consume_fd, DaemonSocket *ret, Error *reterr) {
    _cleanup_fd_ int fd = consume_fd;
    if (sd_is_socket_unix(fd, SOCK_STREAM, 1, NULL, 0) <= 0)
        return error_failed(reterr, EINVAL, "socket",
                            "what the service manager passed is not a listening Unix stream socket");
    if (fcntl(fd, F_SETFL, O_RDWR | O_NONBLOCK) < 0)
        return error_failed(reterr, errno, "socket", "the socket cannot be set up: %s", strerror(errno));
    *ret = DAEMON_SOCKET_INIT;
    ret->fd = TAKE_FD(fd);
    return 0;
}

static int make_address(const char *path, struct sockaddr_un *ret, Error *reterr) {
    *ret = (struct sockaddr_un){ .sun_family = AF_UNIX };
    if (strlen(path) >= sizeof(ret->sun_path))
        return error_failed(reterr, ENAMETOOLONG, "socket", "%s is %zu bytes long; a socket's path has %zu at most",
                            path, strlen(path), sizeof(ret->sun_path) - 1);
    (void) snprintf(ret->sun_path, sizeof(ret->sun_path), "%s", path);
    return 0;
}

/* Fails unless PATH is free or a socket on which nobody listens. */
static int check_free(const char *path, Error *reterr) {
    struct stat st;
    if (lstat(path, &st) < 0)
        return errno == ENOENT ? 0 : error_failed(reterr, errno, "socket", "%s: %s", path, strerror(errno));
    if (!S_ISSOCK(st.st_mode))
        return error_failed(reterr, EEXIST, "socket", "%s is there already and is not a socket", path);
    struct sockaddr_un address;
    int r = make_address(path, &address, reterr);
    if (r < 0)
        return r;
    _cleanup_fd_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return error_failed(reterr, errno, "socket", "no socket can be made: %s", strerror(errno));
    if (connect(fd, (struct sockaddr *) &address, sizeof(address)) < 0 && errno == ECONNREFUSED)
        return 0;
    return error_failed(reterr, EADDRINUSE, "socket", "another daemon listens on %s", path);
}

/* Binds to TEMPORARY and makes it what PATH is to be. */
static int make_socket(const char *temporary, gid_t group, DaemonSocket *s, Error *reterr) {
    struct sockaddr_un address;
    int r = make_address(temporary, &address, reterr);
    if (r < 0)
        return r;
    (void) unlink(temporary); /* of a daemon that had our pid and died right here */
    s->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (s->fd < 0 || bind(s->fd, (struct sockaddr *) &address, sizeof(address)) < 0)
        return error_failed(reterr, errno, "socket", "%s cannot be made: %s", temporary, strerror(errno));
    struct stat st;
    bool grouped = group != (gid_t) -1;
    /* mode last: between bind() and here the umask has kept everybody out */
    if ((grouped && lchown(temporary, 0, group) < 0) || chmod(temporary, grouped ? 0660 : 0600) < 0 ||
        lstat(temporary, &st) < 0 || listen(s->fd, BACKLOG) < 0)
        return error_failed(reterr, errno, "socket", "%s cannot be set up: %s", temporary, strerror(errno));
    s->dev = st.st_dev;
    s->ino = st.st_ino;
    return 0;
}

int daemon_socket_open(const char *path, gid_t group, int consume_passed_fd, DaemonSocket *ret, Error *reterr) {
    if (consume_passed_fd >= 0)
        return take_passed(consume_passed_fd, ret, reterr);
    int r = check_free(path, reterr);
    if (r < 0)
        return r;
    _cleanup_(daemon_socket_done) DaemonSocket s = DAEMON_SOCKET_INIT;
    _cleanup_free_ char *temporary = NULL;
    s.path = strdup(path);
    if (!s.path || asprintf(&temporary, "%s.%d", path, (int) getpid()) < 0)
        return error_failed(reterr, ENOMEM, "socket", "out of memory");
    r = make_socket(temporary, group, &s, reterr);
    if (r >= 0 && rename(temporary, path) < 0)
        r = error_failed(reterr, errno, "socket", "%s cannot be made: %s", path, strerror(errno));
    if (r < 0) {
        (void) unlink(temporary);
        return r;
    }
    *ret = s;
    s = DAEMON_SOCKET_INIT;
    return 0;
}

void daemon_socket_done(DaemonSocket *s) {
    struct stat st;
    if (s->path && s->ino != 0 && lstat(s->path, &st) >= 0 && st.st_dev == s->dev && st.st_ino == s->ino)
        (void) unlink(s->path);
    free(s->path);
    (void) fd_close(s->fd);
    *s = DAEMON_SOCKET_INIT;
}
