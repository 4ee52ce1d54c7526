/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * See exits.h. Every thread's exit is told, with the code of that thread. The process's own is that of its first thread,
 * or, if one of them ended all (exit_group, a signal), that of each which lived then. So it is certain where the first
 * thread was the last one, or the last one agrees with it; otherwise it stays unknown rather than be wrong.
 *
 * Messages come from the kernel alone: those of other senders have a port number and are passed over. A filter on the
 * socket lets nothing but exits wake us. What is lost when the queue is full is lost: such an exit is not known.
 */

#include "util/exits.h"

#include "util/fds.h"

#include <arpa/inet.h>
#include <linux/cn_proc.h>
#include <linux/connector.h>
#include <linux/filter.h>
#include <linux/netlink.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/utsname.h>

#define QUEUE_BYTES (1024 * 1024)
#define BATCH       256U /* messages before other sources have their turn */
#define WHAT_EXIT   0x80000000U

struct ExitListener {
    int fd;
    sd_event_source *source;
    ExitWatch *watches;
};

typedef struct Message {
    struct nlmsghdr header;
    struct cn_msg connector;
    struct proc_event event;
} __attribute__((packed)) Message;

/* Up to what we read of it: later kernels may add to the end. */
#define MESSAGE_MIN (offsetof(Message, event) + offsetof(struct proc_event, event_data.exit.exit_signal))

bool exits_are_kept(void) {
    struct utsname u;
    unsigned major = 0, minor = 0;
    if (uname(&u) < 0 || sscanf(u.release, "%u.%u", &major, &minor) != 2)
        return false;
    return major > 6 || (major == 6 && minor >= 15);
}

/* The loads of a socket filter take the packet for big-endian. */
static int attach_filter(int fd) {
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(Message, event) + offsetof(struct proc_event, what)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, htonl(WHAT_EXIT), 0, 1),
        BPF_STMT(BPF_RET | BPF_K, UINT32_MAX),
        BPF_STMT(BPF_RET | BPF_K, 0),
    };
    struct sock_fprog program = { ELEMENTSOF(code), code };
    return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program)) < 0 ? -errno : 0;
}

/* The kernel counts who listens, and does not notice that one has gone: who begins has to end. */
static int subscribe(int fd, bool on) {
    struct {
        struct nlmsghdr header;
        struct cn_msg connector;
        uint32_t operation;
    } __attribute__((packed)) m = {
        .header = { .nlmsg_len = sizeof(m), .nlmsg_type = NLMSG_DONE },
        .connector = { .id = { CN_IDX_PROC, CN_VAL_PROC }, .len = sizeof(m.operation) },
        .operation = on ? PROC_CN_MCAST_LISTEN : PROC_CN_MCAST_IGNORE,
    };
    int group = CN_IDX_PROC;
    if (setsockopt(fd, SOL_NETLINK, on ? NETLINK_ADD_MEMBERSHIP : NETLINK_DROP_MEMBERSHIP, &group, sizeof(group)) < 0)
        return -errno;
    return send(fd, &m, sizeof(m), MSG_NOSIGNAL) < 0 ? -errno : 0;
}

static void note(ExitListener *l, const struct proc_event *e) {
    for (ExitWatch *w = l->watches; w; w = w->next) {
        if (w->pid != e->event_data.exit.process_tgid)
            continue;
        w->last_is_leader = e->event_data.exit.process_pid == w->pid;
        w->last_status = (int) e->event_data.exit.exit_code;
        if (w->last_is_leader) {
            w->leader_told = true;
            w->leader_status = w->last_status;
            /* by now the process has ended, if the first thread was the last one */
            struct pollfd p = { .fd = w->pidfd, .events = POLLIN };
            w->leader_early = poll(&p, 1, 0) == 0;
        }
        w->changed = true;
        return;
    }
}

/* After all that was queued: the first thread's end is not the last word if another's is behind it. */
static void tell(ExitListener *l) {
    for (ExitWatch *w = l->watches, *next; w; w = next) {
        next = w->next;
        if (!w->changed)
            continue;
        w->changed = false;
        w->told(w);
    }
}

static int on_message(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
    ExitListener *l = userdata;
    for (unsigned i = 0; i < BATCH; i++) {
        Message m = { 0 };
        struct proc_event event;
        struct sockaddr_nl from = { 0 };
        socklen_t size = sizeof(from);
        ssize_t n = recvfrom(fd, &m, sizeof(m), MSG_DONTWAIT, (struct sockaddr *) &from, &size);
        if (n < 0 && (errno == EINTR || errno == ENOBUFS))
            continue;
        if (n < 0)
            break;
        memcpy(&event, &m.event, sizeof(event));
        if (n >= (ssize_t) MESSAGE_MIN && from.nl_pid == 0 && m.connector.id.idx == CN_IDX_PROC &&
            event.what == WHAT_EXIT)
            note(l, &event);
    }
    tell(l);
    return 0;
}

int exit_listener_new(sd_event *event, ExitListener **ret) {
    _cleanup_(exit_listener_freep) ExitListener *l = calloc(1, sizeof(ExitListener));
    if (!l)
        return -ENOMEM;
    struct sockaddr_nl address = { .nl_family = AF_NETLINK };
    int bytes = QUEUE_BYTES;
    l->fd = socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_CONNECTOR);
    if (l->fd < 0)
        return -errno;
    (void) setsockopt(l->fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof(bytes)); /* what it is anyway will do */
    int r = attach_filter(l->fd);
    if (r >= 0 && bind(l->fd, (struct sockaddr *) &address, sizeof(address)) < 0)
        r = -errno;
    if (r >= 0)
        r = sd_event_add_io(event, &l->source, l->fd, EPOLLIN, on_message, l);
    if (r < 0)
        return r;
    (void) sd_event_source_set_description(l->source, "exit-listener");
    *ret = TAKE_PTR(l);
    return 0;
}

ExitListener *exit_listener_free(ExitListener *l) {
    if (!l)
        return NULL;
    (void) sd_event_source_disable_unref(l->source);
    (void) fd_close(l->fd);
    free(l);
    return NULL;
}

int exit_listener_watch(ExitListener *l, ExitWatch *w) {
    int r = l->watches ? 0 : subscribe(l->fd, true);
    if (r < 0)
        return r;
    w->next = l->watches;
    l->watches = w;
    return 0;
}

void exit_listener_drop(ExitListener *l, ExitWatch *w) {
    for (ExitWatch **p = &l->watches; *p; p = &(*p)->next)
        if (*p == w) {
            *p = w->next;
            if (!l->watches)
                (void) subscribe(l->fd, false);
            return;
        }
}

bool exit_watch_result(const ExitWatch *w, ProcessExit *ret) {
    if (!w->leader_told || w->last_status != w->leader_status || (w->leader_early && w->last_is_leader))
        return false;
    *ret = process_exit_from_status(w->leader_status);
    return true;
}
