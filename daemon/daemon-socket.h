/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Where the daemon's listening socket comes from: a service manager, or a path.
 */

#include "kennel/error.h"

#include <sys/types.h>

/* A socket at a path; `fd` may be somebody else's and there is no path then. */
typedef struct DaemonSocket {
    int fd;
    char *path; /* NULL: not ours to remove */
    dev_t dev;
    ino_t ino;
} DaemonSocket;

#define DAEMON_SOCKET_INIT ((DaemonSocket){ .fd = -EBADF })

/* PASSED_FD: what a service manager passed, or -EBADF. GROUP: who may connect beside root; (gid_t) -1 for nobody. */
int daemon_socket_open(const char *path, gid_t group, int consume_passed_fd, DaemonSocket *ret, Error *reterr);
/* Removes the path if it still leads to this socket. The descriptor is closed unless it was taken. */
void daemon_socket_done(DaemonSocket *s);
