/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Messages on a Unix stream socket: bytes up to a NUL, and the file descriptors that came with the first of them.
 *
 * The socket never blocks: framing_read() and framing_write() do what can be done now and say whether there is more.
 * Whoever owns the loop waits for the socket. Used by the daemon, by the client and by the tests' servers.
 *
 * Which message do descriptors belong to? The kernel ends a read at the end of the bytes that were sent together with
 * descriptors, and a sender puts a message with descriptors into a sendmsg of its own. So descriptors belong to the
 * last message that begins in the bytes of that read.
 */

#include "kennel/error.h"
#include "kennel/limits.h"

#include <sys/uio.h>

typedef struct Framing Framing;

/* A message that was received; owns its bytes and descriptors. */
typedef struct FramingMessage {
    char *bytes; /* NUL-terminated; SIZE does not count the NUL */
    size_t size;
    int fds[KENNEL_FDS_MAX]; /* a handler that keeps one takes it with TAKE_FD */
    size_t n_fds;
} FramingMessage;

FramingMessage *framing_message_free(FramingMessage *m);
DEFINE_CLEANUP(FramingMessage, framing_message_free)

/* Owns FD from now on, and makes it non-blocking. IN_MAX and OUT_MAX bound one message received and all bytes queued. */
int framing_new(int consume_fd, size_t in_max, size_t out_max, Framing **ret);
Framing *framing_free(Framing *f);
DEFINE_CLEANUP(Framing, framing_free)

int framing_fd(const Framing *f);

/*
 * Reads what is there, up to a fair share of one call. Returns 1 if something was read, 0 if nothing is there now,
 * -ECONNRESET at end of file or when the peer has gone; -EMSGSIZE if a message exceeds IN_MAX, -EMFILE if it brings too
 * many descriptors (or the process has no room for them), -EBADMSG if descriptors came in the middle of one: reterr says
 * so in words for the peer, and the connection is of no more use for reading. What was complete before can be taken:
 * with -EMSGSIZE all before the large message, with the others, or -ENOMEM, all that came with earlier reads.
 */
int framing_read(Framing *f, Error *reterr);

/* Takes the next complete message: 1 and *ret, or 0 if there is none. */
int framing_take(Framing *f, FramingMessage **ret);

/* How many complete messages wait to be taken, and whether an incomplete one does. */
size_t framing_pending(const Framing *f);
bool framing_is_partial(const Framing *f);

/*
 * Queues BYTES and a NUL. The descriptors are duplicated: the caller keeps its own. Returns -ENOBUFS if OUT_MAX would
 * be exceeded (nothing is queued then).
 */
int framing_queue(Framing *f, const char *bytes, size_t size, const int *with_fds, size_t n_fds);

/* The same for a message without descriptors that lies in several pieces. */
int framing_queue_pieces(Framing *f, const struct iovec *pieces, size_t n);

/* Writes what can be written: 1 if all is written, 0 if some is left, -EPIPE or -ECONNRESET if the peer has gone. */
int framing_write(Framing *f);
size_t framing_queued(const Framing *f);
