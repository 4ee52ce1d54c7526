/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Pumps: each moves bytes from one descriptor to another, one of which is the user's stdio and the other the
 * container's pipe or terminal.
 *
 * The user's descriptors may be shared with other programs (the shell, a parent), so they are never made non-blocking.
 * Instead each is polled, and what is then read or written is little enough not to block; between pipes and files
 * splice(2) moves the bytes without them passing through here.
 */

#include "client/terminal.h"

#include <poll.h>

typedef struct Pump {
    int source_fd, sink_fd; /* -EBADF once the pump is closed */
    bool owns_source, owns_sink;
    bool open;
    bool splice;    /* as long as the kernel can for these two */
    bool wait_sink; /* there is something to move, and no room for it */
    bool draining;  /* the container is over: end as soon as nothing is left */
    bool sink_is_fifo, sink_is_socket;
    size_t write_max; /* what a write to a sink that polled writable takes without blocking */
    TerminalKeys *keys;
    unsigned char *buffer;
    size_t begin, end;
    int write_error; /* survives closing: why output was lost, other than that nobody wanted it */
} Pump;

#define PUMP_INIT ((Pump){ .source_fd = -EBADF, .sink_fd = -EBADF })

/* From the user's STDIN to the container, from the container to the user's STDOUT or STDERR. FDs named consume_ are
 * closed with the pump. */
int pump_open_input(Pump *p, int consume_sink_fd);
int pump_open_output(Pump *p, int consume_source_fd, int sink_fd);

/* The same for a terminal's master, which stays the caller's. KEYS may be NULL. */
int pump_open_terminal_input(Pump *p, int master_fd, TerminalKeys *keys);
int pump_open_terminal_output(Pump *p, int master_fd);

/* Closing its end of a pipe tells the other side: end of file, or a broken pipe. */
void pump_close(Pump *p);

/* Fills in what to poll for: source and sink, fd -1 for neither. Returns true if the poll must not wait. */
bool pump_prepare(const Pump *p, struct pollfd ret[static 2]);

/* Moves what can be moved, given the same two after poll(). */
void pump_run(Pump *p, const struct pollfd polled[static 2]);

/* A pipe that the payload may open again as /dev/stdout whatever its uid; ret[0] is the reading end. The client's end
 * (0 or 1) is non-blocking. */
int stdio_pipe(int client_end, int ret[static 2]);
