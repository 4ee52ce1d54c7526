/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Accepting.
 *
 * Trust: whoever can reach the socket. A peer that may not come in, or that has too many connections already, is told
 * so in one reply and let go; that reply never waits for anything. When the process has no descriptors left, the
 * listener pauses: it would otherwise report the waiting peer again and again.
 */

#include "rpc/server.h"

#include "kennel/limits.h"
#include "proto/message.h"
#include "rpc/connection.h"
#include "rpc/errors.h"
#include "rpc/methods.h"
#include "util/log.h"

#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>

#define ACCEPT_BATCH 16U /* connections taken before other sources have their turn */
#define PAUSE_USEC   (200ULL * 1000ULL)

struct Server {
    ServerEnvironment environment;
    int listen_fd;
    sd_event_source *listener, *resume;
    Connection *connections[KENNEL_CONNECTIONS_MAX];
    size_t n_connections;
};

const ServerEnvironment *server_environment(const Server *s) {
    return &s->environment;
}

/* Best effort: the socket is new, so a few hundred bytes fit; a peer that has gone does not mind. */
static void send_refusal(int consume_fd, const Error *error) {
    _cleanup_(framing_freep) Framing *f = NULL;
    _cleanup_json_ json_object *parameters = NULL;
    const char *name;
    if (framing_new(consume_fd, KENNEL_CALL_MAX, KENNEL_CALL_MAX, &f) < 0)
        return;
    if (errors_to_wire(error, NULL, &name, &parameters) >= 0 && message_queue_error(f, name, parameters) >= 0)
        (void) framing_write(f);
}

static int check_quota(const Server *s, const Peer *p, Error *reterr) {
    size_t others = 0, own = 0;
    for (size_t i = 0; i < s->n_connections; i++) {
        uid_t uid = connection_peer(s->connections[i])->uid;
        own += uid == p->uid;
        others += uid != 0;
    }
    /* tenants together leave room for root's share, so that root can always get in to look and to kill */
    if (own >= KENNEL_CONNECTIONS_PER_UID_MAX ||
        (!peer_is_root(p) && others >= KENNEL_CONNECTIONS_MAX - KENNEL_CONNECTIONS_PER_UID_MAX))
        return error_set(reterr, ERROR_QUOTA_EXCEEDED, EUSERS, "connections",
                         "uid %u has %zu connections; %u for each uid and %u in all are allowed", p->uid, own,
                         KENNEL_CONNECTIONS_PER_UID_MAX, KENNEL_CONNECTIONS_MAX);
    return 0;
}

static void admit(Server *s, int consume_fd) {
    _cleanup_fd_ int fd = consume_fd;
    Peer peer = { .uid = (uid_t) -1 };
    Error error = ERROR_INIT;
    int r = peer_admit(fd, s->environment.tenant_group, &peer, &error);
    if (r >= 0)
        r = check_quota(s, &peer, &error);
    if (r < 0) {
        log_refused(peer.uid, "A connection was refused: %s", error.message);
        send_refusal(TAKE_FD(fd), &error);
        return;
    }
    Connection *c = NULL;
    r = connection_new(s, TAKE_FD(fd), &peer, &c);
    if (r < 0)
        log_limited(LOG_WARNING, "A connection of uid %u could not be served: %s", peer.uid, strerror(-r));
    else
        s->connections[s->n_connections++] = c;
}

static int on_resume(sd_event_source *source, uint64_t usec, void *userdata) {
    Server *s = userdata;
    (void) sd_event_source_set_enabled(s->listener, SD_EVENT_ON);
    return 0;
}

static void pause_listener(Server *s, int error) {
    log_limited(LOG_WARNING, "No connections are taken for the moment: %s", strerror(-error));
    if (sd_event_source_set_time_relative(s->resume, PAUSE_USEC) < 0 ||
        sd_event_source_set_enabled(s->resume, SD_EVENT_ONESHOT) < 0)
        return;
    (void) sd_event_source_set_enabled(s->listener, SD_EVENT_OFF);
}

static int on_listener(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
    Server *s = userdata;
    for (unsigned i = 0; i < ACCEPT_BATCH; i++) {
        int accepted = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (accepted >= 0) {
            admit(s, accepted);
            continue;
        }
        if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)
            pause_listener(s, -errno);
        else if (errno == ECONNABORTED || errno == EINTR)
            continue;
        break;
    }
    return 0;
}

void server_drop(Server *s, Connection *c) {
    for (size_t i = 0; i < s->n_connections; i++)
        if (s->connections[i] == c) {
            s->connections[i] = s->connections[--s->n_connections];
            break;
        }
    (void) connection_free(c, CALL_END_PEER_GONE);
}

static int add_sources(Server *s) {
    sd_event *event = s->environment.event;
    int r = sd_event_add_io(event, &s->listener, s->listen_fd, EPOLLIN, on_listener, s);
    if (r < 0)
        return r;
    r = sd_event_add_time_relative(event, &s->resume, CLOCK_MONOTONIC, PAUSE_USEC, 0, on_resume, s);
    if (r < 0)
        return r;
    (void) sd_event_source_set_description(s->listener, "rpc-listener");
    (void) sd_event_source_set_description(s->resume, "rpc-listener-resume");
    return sd_event_source_set_enabled(s->resume, SD_EVENT_OFF);
}

int server_new(const ServerEnvironment *environment, int consume_listen_fd, Server **ret, Error *reterr) {
    _cleanup_fd_ int fd = consume_listen_fd;
    const char *mismatch = methods_find_mismatch();
    if (mismatch)
        return error_failed(reterr, ENOSYS, "rpc", "method %s is in the interface or in the method table alone",
                            mismatch);
    _cleanup_(server_freep) Server *s = calloc(1, sizeof(Server));
    if (!s)
        return error_failed(reterr, ENOMEM, "rpc", "out of memory");
    s->environment = *environment;
    s->listen_fd = TAKE_FD(fd);
    int r = add_sources(s);
    if (r < 0)
        return error_failed(reterr, -r, "rpc", "the socket cannot be watched: %s", strerror(-r));
    *ret = TAKE_PTR(s);
    return 0;
}

Server *server_free(Server *s) {
    if (!s)
        return NULL;
    (void) sd_event_source_disable_unref(s->listener);
    (void) sd_event_source_disable_unref(s->resume);
    while (s->n_connections > 0)
        (void) connection_free(s->connections[--s->n_connections], CALL_END_DAEMON_STOPS);
    s->listen_fd = fd_close(s->listen_fd);
    free(s);
    return NULL;
}
