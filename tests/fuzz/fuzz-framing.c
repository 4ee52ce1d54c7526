/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A peer that sends anything, in pieces of any size, with descriptors anywhere. The input is a list of sends: a byte
 * for how many descriptors go along, one for the size, then that many bytes. What must hold: what is taken is what was
 * sent, in order, cut at its NULs, and within the bound; descriptors are not leaked (the fuzzer would run out of them).
 */

#include "proto/framing.h"

#include <string.h>
#include <sys/socket.h>

#define IN_MAX 100U

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static bool send_piece(int peer, const uint8_t *bytes, size_t size, size_t n_fds) {
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(253 * sizeof(int))];
    } control = { 0 };
    struct iovec vector = { (void *) bytes, size };
    struct msghdr header = { .msg_iov = &vector, .msg_iovlen = 1 };

    if (n_fds > 0) {
        int fds[253];
        for (size_t i = 0; i < n_fds; i++)
            fds[i] = peer;
        control.header.cmsg_level = SOL_SOCKET;
        control.header.cmsg_type = SCM_RIGHTS;
        control.header.cmsg_len = CMSG_LEN(n_fds * sizeof(int));
        memcpy(CMSG_DATA(&control.header), fds, n_fds * sizeof(int));
        header.msg_control = &control;
        header.msg_controllen = CMSG_SPACE(n_fds * sizeof(int));
    }
    return sendmsg(peer, &header, MSG_NOSIGNAL | MSG_DONTWAIT) == (ssize_t) size;
}

/* Takes every message that is complete and compares it with what was sent; *at is how far. */
static void take_all(Framing *f, const char *sent, size_t n_sent, size_t *at) {
    for (;;) {
        _cleanup_(framing_message_freep) FramingMessage *m = NULL;
        size_t pending = framing_pending(f);
        int r = framing_take(f, &m);
        if (r < 0 || r != (pending > 0))
            abort();
        if (r == 0)
            return;
        if (m->size > IN_MAX || m->n_fds > KENNEL_FDS_MAX || *at + m->size + 1 > n_sent ||
            memcmp(m->bytes, sent + *at, m->size + 1) != 0)
            abort();
        *at += m->size + 1;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
    _cleanup_(framing_freep) Framing *f = NULL;
    _cleanup_free_ char *sent = malloc(size + 1);
    _cleanup_fd_ int peer = -EBADF;
    size_t n_sent = 0, taken = 0;
    int pair[2], r = 0;

    if (!sent || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
        abort();
    peer = pair[1];
    if (framing_new(pair[0], IN_MAX, 1, &f) < 0)
        abort();
    for (size_t i = 0; i + 2 < size && r >= 0;) {
        size_t n_fds = bytes[i] & 0x80 ? 0 : bytes[i] & 0x7F, n = bytes[i + 1];
        bool read_now = bytes[i] & 0x80;
        i += 2;
        n = n < 1 ? 1 : n > size - i ? size - i : n;
        if (!send_piece(peer, bytes + i, n, n_fds))
            break;
        memcpy(sent + n_sent, bytes + i, n);
        n_sent += n;
        i += n;
        if (read_now)
            continue;
        while ((r = framing_read(f, NULL)) > 0)
            take_all(f, sent, n_sent, &taken);
    }
    while (r >= 0 && (r = framing_read(f, NULL)) > 0)
        ;
    take_all(f, sent, n_sent, &taken);
    /* nothing went wrong: then all that is left is one incomplete message */
    if (r == 0 && (memchr(sent + taken, 0, n_sent - taken) || framing_is_partial(f) != (taken < n_sent)))
        abort();
    return 0;
}
