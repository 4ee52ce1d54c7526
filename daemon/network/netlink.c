/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Requests and answers over rtnetlink.
 *
 * Messages are built with libnl; sending and receiving is done here, because libnl turns the kernel's errno into codes
 * of its own, many of them "unspecific failure", and drops the sentence that the kernel says beside it. One request is
 * under way at a time on a socket; answers with another sequence number belong to a request that was given up and are
 * skipped.
 *
 * Trust: only the kernel is listened to (the sender's port is 0). Lengths are checked all the same.
 */

#include "network/internal.h"

#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <string.h>
#include <sys/socket.h>

/* The kernel fills at most 32 KiB of a dump into one buffer. */
#define BUFFER_SIZE (64U * 1024U)
/* Only a kernel that hangs takes as long; a request is never left half answered otherwise. */
#define TIMEOUT_SEC 30

static int set_option(int fd, int option) {
    int one = 1;
    return setsockopt(fd, SOL_NETLINK, option, &one, sizeof(one)) < 0 ? -errno : 0;
}

int netlink_open(NetlinkSocket *s) {
    struct timeval timeout = { .tv_sec = TIMEOUT_SEC };
    _cleanup_fd_ int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
    if (fd < 0)
        return -errno;
    if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout)) < 0)
        return -errno;
    /* Kernels before 4.12 say less; that is all. */
    (void) set_option(fd, NETLINK_EXT_ACK);
    (void) set_option(fd, NETLINK_CAP_ACK);
    char *buffer = malloc(BUFFER_SIZE);
    if (!buffer)
        return -ENOMEM;
    *s = (NetlinkSocket){ .fd = TAKE_FD(fd), .buffer = buffer };
    return 0;
}

void netlink_close(NetlinkSocket *s) {
    s->fd = fd_close(s->fd);
    free(TAKE_PTR(s->buffer));
}

struct nl_msg *netlink_message(int type, int flags, const void *header, size_t size) {
    struct nl_msg *m = nlmsg_alloc_simple(type, NLM_F_REQUEST | flags);
    if (m && size > 0 && nlmsg_append(m, (void *) header, size, NLMSG_ALIGNTO) < 0)
        m = network_message_free(m);
    return m;
}

static void keep_text(NetlinkSocket *s, const struct nlmsghdr *h) {
    struct nlattr *attributes[NLMSGERR_ATTR_MSG + 1];
    const struct nlmsgerr *e = nlmsg_data(h);
    size_t at = sizeof(*e);
    if (!(h->nlmsg_flags & NLM_F_ACK_TLVS))
        return;
    if (!(h->nlmsg_flags & NLM_F_CAPPED))
        at += NLMSG_ALIGN(e->msg.nlmsg_len) - sizeof(e->msg);
    if (at >= (size_t) nlmsg_datalen(h))
        return;
    struct nlattr *first = (struct nlattr *) ((char *) nlmsg_data(h) + at);
    if (nla_parse(attributes, NLMSGERR_ATTR_MSG, first, nlmsg_datalen(h) - (int) at, NULL) < 0)
        return;
    if (attributes[NLMSGERR_ATTR_MSG])
        (void) nla_strlcpy(s->text, attributes[NLMSGERR_ATTR_MSG], sizeof(s->text));
}

typedef struct Answer {
    NetlinkVisit visit;
    void *userdata;
    int result;
    bool complete, interrupted;
} Answer;

static int take_result(NetlinkSocket *s, const struct nlmsghdr *h, Answer *a) {
    int code = 0;
    if ((size_t) nlmsg_datalen(h) >= sizeof(int))
        memcpy(&code, nlmsg_data(h), sizeof(int));
    if (h->nlmsg_type == NLMSG_ERROR && (size_t) nlmsg_datalen(h) >= sizeof(struct nlmsgerr) && code < 0)
        keep_text(s, h);
    a->complete = true;
    return code;
}

static void take_message(NetlinkSocket *s, const struct nlmsghdr *h, Answer *a) {
    int r = 0;
    a->interrupted |= (h->nlmsg_flags & NLM_F_DUMP_INTR) != 0;
    if (h->nlmsg_type == NLMSG_ERROR || h->nlmsg_type == NLMSG_DONE)
        r = take_result(s, h, a);
    else if (h->nlmsg_type >= NLMSG_MIN_TYPE && a->visit)
        r = a->visit(h, a->userdata);
    if (r < 0 && a->result >= 0)
        a->result = r;
}

static int receive_some(NetlinkSocket *s, Answer *a) {
    struct sockaddr_nl from = { 0 };
    struct iovec iov = { .iov_base = s->buffer, .iov_len = BUFFER_SIZE };
    struct msghdr m = { .msg_name = &from, .msg_namelen = sizeof(from), .msg_iov = &iov, .msg_iovlen = 1 };
    ssize_t n = recvmsg(s->fd, &m, 0);
    if (n < 0)
        return errno == EINTR ? 0 : errno == EAGAIN ? -ETIMEDOUT : -errno;
    if (m.msg_flags & MSG_TRUNC)
        return -EMSGSIZE;
    if (from.nl_pid != 0)
        return 0;
    int left = (int) n;
    for (struct nlmsghdr *h = (struct nlmsghdr *) s->buffer; nlmsg_ok(h, left) && !a->complete;
         h = nlmsg_next(h, &left))
        if (h->nlmsg_seq == s->sequence)
            take_message(s, h, a);
    return 0;
}

static int transact(NetlinkSocket *s, struct nl_msg *m, int flags, Answer *a) {
    if (!m)
        return -ENOMEM;
    struct nlmsghdr *h = nlmsg_hdr(m);
    struct sockaddr_nl kernel = { .nl_family = AF_NETLINK };
    h->nlmsg_seq = ++s->sequence;
    h->nlmsg_flags |= (uint16_t) (NLM_F_REQUEST | flags);
    s->text[0] = 0;
    ssize_t n;
    do
        n = sendto(s->fd, h, h->nlmsg_len, 0, (struct sockaddr *) &kernel, sizeof(kernel));
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return -errno;
    while (!a->complete) {
        int r = receive_some(s, a);
        if (r < 0)
            return r;
    }
    return a->result;
}

int netlink_request(NetlinkSocket *s, struct nl_msg *consume_message, NetlinkVisit visit, void *userdata) {
    _cleanup_(network_message_freep) struct nl_msg *m = consume_message;
    return transact(s, m, NLM_F_ACK, &(Answer){ .visit = visit, .userdata = userdata });
}

int netlink_dump(NetlinkSocket *s, struct nl_msg *consume_message, NetlinkVisit visit, void *userdata,
                 bool *ret_interrupted) {
    _cleanup_(network_message_freep) struct nl_msg *m = consume_message;
    Answer a = { .visit = visit, .userdata = userdata };
    int r = transact(s, m, NLM_F_DUMP, &a);
    if (r >= 0 && ret_interrupted)
        *ret_interrupted = a.interrupted;
    return r;
}

int netlink_change(NetlinkSocket *s, struct nl_msg *consume_message, int put) {
    _cleanup_(network_message_freep) struct nl_msg *m = consume_message;
    return put < 0 ? -ENOBUFS : netlink_request(s, TAKE_PTR(m), NULL, NULL);
}
