/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Descriptors over sockets. What arrives is checked before any of it is handed on: either the caller gets exactly the
 * number that it asked for, or every descriptor of the message has been closed. Nothing here allocates, so that a child
 * may use it between clone and exec.
 */

#include "util/fds.h"

#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>

/* SCM_MAX_FD of the kernel, which its headers do not export. */
#define MESSAGE_FDS_MAX 253U

typedef union ControlBuffer {
    struct cmsghdr align;
    char bytes[CMSG_SPACE(sizeof(int) * MESSAGE_FDS_MAX)];
} ControlBuffer;

static int send_rest(int socket, const char *bytes, size_t size) {
    while (size > 0) {
        ssize_t n = send(socket, bytes, size, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        bytes += n;
        size -= (size_t) n;
    }
    return 0;
}

int fd_send(int socket, const int *with_fds, size_t n, const void *bytes, size_t size) {
    if (n > MESSAGE_FDS_MAX)
        return -E2BIG;
    ControlBuffer control;
    struct iovec iov = { .iov_base = (void *) bytes, .iov_len = size };
    struct msghdr message = { .msg_iov = &iov, .msg_iovlen = 1 };
    if (n > 0) {
        memset(&control, 0, sizeof(control));
        message.msg_control = control.bytes;
        message.msg_controllen = CMSG_SPACE(sizeof(int) * n);
        struct cmsghdr *c = CMSG_FIRSTHDR(&message);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(sizeof(int) * n);
        memcpy(CMSG_DATA(c), with_fds, sizeof(int) * n);
    }
    ssize_t sent;
    do
        sent = sendmsg(socket, &message, MSG_NOSIGNAL);
    while (sent < 0 && errno == EINTR);
    if (sent < 0)
        return -errno;
    return send_rest(socket, (const char *) bytes + sent, size - (size_t) sent);
}

/* Copies the descriptors of MESSAGE to FDS (room for MESSAGE_FDS_MAX) and returns their number. */
static size_t collect_fds(struct msghdr *message, int *fds) {
    size_t n = 0;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c; c = CMSG_NXTHDR(message, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
            continue;
        size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        memcpy(fds + n, CMSG_DATA(c), count * sizeof(int));
        n += count;
    }
    return n;
}

ssize_t fd_receive(int socket, int *ret_fds, size_t n, void *bytes, size_t size) {
    if (n > MESSAGE_FDS_MAX)
        return -E2BIG;
    ControlBuffer control;
    struct iovec iov = { .iov_base = bytes, .iov_len = size };
    struct msghdr message = {
        .msg_iov = &iov,
        .msg_iovlen = 1,
        .msg_control = control.bytes,
        .msg_controllen = sizeof(control.bytes),
    };
    ssize_t received;
    do
        received = recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
    while (received < 0 && errno == EINTR);
    if (received < 0)
        return -errno;

    int fds[MESSAGE_FDS_MAX];
    size_t got = collect_fds(&message, fds);
    if (got == n && !(message.msg_flags & (MSG_CTRUNC | MSG_TRUNC))) {
        if (n > 0)
            memcpy(ret_fds, fds, n * sizeof(int));
        return received;
    }
    for (size_t i = 0; i < got; i++)
        fd_close(fds[i]);
    return received == 0 && got == 0 ? -ECONNRESET : -EBADMSG;
}

static int change_flag(int fd, int get, int set, int flag, bool on) {
    int flags = fcntl(fd, get);
    if (flags < 0)
        return -errno;
    int wanted = on ? flags | flag : flags & ~flag;
    if (wanted != flags && fcntl(fd, set, wanted) < 0)
        return -errno;
    return 0;
}

int fd_set_cloexec(int fd, bool on) {
    return change_flag(fd, F_GETFD, F_SETFD, FD_CLOEXEC, on);
}

int fd_set_nonblock(int fd, bool on) {
    return change_flag(fd, F_GETFL, F_SETFL, O_NONBLOCK, on);
}

int fd_write_all(int fd, const void *bytes, size_t size) {
    const char *p = bytes;
    while (size > 0) {
        ssize_t n = write(fd, p, size);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        p += n;
        size -= (size_t) n;
    }
    return 0;
}

ssize_t fd_read_all(int fd, void *bytes, size_t size) {
    size_t done = 0;
    while (done < size) {
        ssize_t n = read(fd, (char *) bytes + done, size - done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        if (n == 0)
            break;
        done += (size_t) n;
    }
    return (ssize_t) done;
}
