/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Published ports are reserved on the host by sockets that are bound and do nothing else: while they are there no
 * program of the host, no other container and no other daemon can have the port, and a port that somebody has is found
 * out before a container is made. Without SO_REUSEADDR, which two that do not listen could share a port with.
 *
 * Destination NAT comes before local delivery, so nothing ever arrives here; should the filter be gone, a datagram may,
 * and waits in a buffer of the smallest size.
 */

#include "network/internal.h"

#include <string.h>
#include <sys/socket.h>

#define LOOPBACK(address) ((address) >> 24 == IN_LOOPBACKNET)

static int reserve(const NetworkPort *p) {
    struct sockaddr_in address = {
        .sin_family = AF_INET,
        .sin_port = htons(p->host_port),
        .sin_addr.s_addr = htonl(p->host_address),
    };
    int smallest = 1;
    _cleanup_fd_ int fd = socket(AF_INET, (p->udp ? SOCK_DGRAM : SOCK_STREAM) | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    (void) setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &smallest, sizeof(smallest));
    if (bind(fd, (struct sockaddr *) &address, sizeof(address)) < 0)
        return -errno;
    return TAKE_FD(fd);
}

static int refuse(size_t i, const NetworkPort *p, int code, Error *reterr) {
    char field[40];
    const char *protocol = p->udp ? "udp" : "tcp";
    (void) snprintf(field, sizeof(field), "ports[%zu].host", i);
    if (code == EADDRINUSE)
        return error_set(reterr, ERROR_INVALID_SPEC, code, field, "port %u/%s is in use on the host; choose another",
                         p->host_port, protocol);
    if (code == EADDRNOTAVAIL)
        return error_set(reterr, ERROR_INVALID_SPEC, code, field, "%u.%u.%u.%u is no address of the host's",
                         p->host_address >> 24, p->host_address >> 16 & 255, p->host_address >> 8 & 255,
                         p->host_address & 255);
    return error_set(reterr, ERROR_INVALID_SPEC, code, field, "port %u/%s cannot be reserved on the host: %s",
                     p->host_port, protocol, strerror(code));
}

int ports_reserve(const NetworkPort *ports, size_t n, bool tolerant, int *ret_fds, Error *reterr) {
    for (size_t i = 0; i < n; i++) {
        ret_fds[i] = reserve(&ports[i]);
        if (ret_fds[i] >= 0 || tolerant)
            continue;
        int r = refuse(i, &ports[i], -ret_fds[i], reterr);
        ports_release(ret_fds, i);
        return r;
    }
    return 0;
}

void ports_release(int *fds, size_t n) {
    for (size_t i = 0; i < n; i++)
        fds[i] = fd_close(fds[i]);
}

bool ports_need_forwarding(const NetworkPort *ports, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (!LOOPBACK(ports[i].host_address))
            return true;
    return false;
}

bool ports_need_loopback(const NetworkPort *ports, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (ports[i].host_address == 0 || LOOPBACK(ports[i].host_address))
            return true;
    return false;
}
