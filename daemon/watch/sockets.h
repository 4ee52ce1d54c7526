/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The sockets of a network namespace, as /proc/PID/net tells them.
 */

#include "kennel/cleanup.h"

#include <sys/types.h>

#define SOCKETS_TEXT_MAX 192U

typedef enum SocketsProtocol {
    SOCKETS_TCP,
    SOCKETS_TCP6,
    SOCKETS_UDP,
    SOCKETS_UDP6,
    SOCKETS_UNIX,
    _SOCKETS_PROTOCOL_MAX,
} SocketsProtocol;

typedef struct SocketsEntry {
    SocketsProtocol protocol;
    uint64_t inode;                      /* 0: of no process any more (TIME_WAIT), or not accepted yet */
    unsigned char local[16], remote[16]; /* network byte order; 4 bytes of it with TCP and UDP */
    uint16_t local_port, remote_port;    /* host byte order */
    unsigned state; /* TCP_ESTABLISHED, TCP_LISTEN, ... of netinet/tcp.h, also with UDP; UNIX: its own */
    uint32_t uid;   /* host's */
    bool listening; /* TCP_LISTEN; UDP without a peer; a listening UNIX socket */
    char path[108]; /* UNIX; "@..." for an abstract one */
} SocketsEntry;

/* Of each entry, until it returns other than 0, which is then what sockets_read() returns. */
typedef int (*SocketsEach)(void *userdata, const SocketsEntry *e);

/*
 * Those of /proc/PID/net/{tcp,tcp6,udp,udp6,unix}, by DIR_FD of /proc/PID. MASK: 1 << SOCKETS_*. At most MAX entries of each
 * file are looked at. A file that is not there (no IPv6) has no entries. 0 or -errno; -EOVERFLOW: one had more than MAX, and
 * the others were read all the same.
 */
int sockets_read(int dir_fd, unsigned mask, size_t max, SocketsEach each, void *userdata);
/* One line of such a file; false: it is the heading, or not understood. */
bool sockets_parse_line(SocketsProtocol protocol, const char *line, SocketsEntry *ret);
/* "tcp 10.0.0.2:40000 -> 10.0.0.1:80 ESTABLISHED"; "udp [::]:53"; "unix /run/x". Returns BUFFER. */
const char *sockets_format(const SocketsEntry *e, char buffer[static SOCKETS_TEXT_MAX]);

/* Inodes of the sockets that a process has open, by DIR_FD of /proc/PID; at most MAX of them, and MAX * 64 descriptors are
 * looked at. How many, or -errno. */
ssize_t sockets_of_process(int dir_fd, uint64_t *inodes, size_t max);
