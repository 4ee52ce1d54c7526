/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* File descriptors over sockets and in tables. */

#include "kennel/cleanup.h"

int fd_send(int socket, const int *with_fds, size_t n, const void *bytes, size_t size);
/* Receives exactly N descriptors (CLOEXEC) and up to SIZE bytes; returns the number of bytes or -errno. No allocation. */
ssize_t fd_receive(int socket, int *ret_fds, size_t n, void *bytes, size_t size);
int fd_set_cloexec(int fd, bool on);
int fd_set_nonblock(int fd, bool on);
/* Writes or reads all of it, over signals and short counts. */
int fd_write_all(int fd, const void *bytes, size_t size);
ssize_t fd_read_all(int fd, void *bytes, size_t size);
