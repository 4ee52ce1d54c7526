/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A connection to the daemon; see connection.h. */

#include "client/connection.h"

#include "client/report.h"
#include "kennel/limits.h"
#include "kennel/version.h"

#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

struct Connection {
    Framing *framing;
    bool gone; /* the daemon's end is closed; what came before may still be taken */
};

static int explain_connect(int code, const char *path, Error *reterr) {
    if (code == ENOENT)
        return error_failed(reterr, code, "no daemon",
                            "there is no socket at %s; start it with `systemctl start kennel.socket`, or run "
                            "`kenneld` as root",
                            path);
    if (code == ECONNREFUSED)
        return error_failed(reterr, code, "no daemon",
                            "nobody listens at %s; start it with `systemctl start kennel.service`, or run `kenneld` "
                            "as root",
                            path);
    if (code == EACCES || code == EPERM)
        return error_set(reterr, ERROR_PERMISSION_DENIED, code, NULL,
                         "%s is for root and the members of group kennel; add yourself with `usermod -aG kennel USER` "
                         "and log in again",
                         path);
    return error_failed(reterr, code, "cannot connect to the daemon", "%s: %s", path, strerror(code));
}

int connection_open(const char *path, Connection **ret, Error *reterr) {
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    _cleanup_(connection_freep) Connection *c = NULL;
    _cleanup_fd_ int fd = -EBADF;

    if (strlen(path) >= sizeof(address.sun_path))
        return error_invalid(reterr, "--socket", "%s is longer than the %zu bytes that a socket's path can have", path,
                             sizeof(address.sun_path) - 1);
    (void) strcpy(address.sun_path, path);

    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return error_failed(reterr, errno, "cannot connect to the daemon", "%s", strerror(errno));
    if (connect(fd, (struct sockaddr *) &address, sizeof(address)) < 0)
        return explain_connect(errno, path, reterr);

    c = calloc(1, sizeof(*c));
    int r = c ? framing_new(TAKE_FD(fd), KENNEL_REPLY_MAX, KENNEL_CALL_MAX + 1, &c->framing) : -ENOMEM;
    if (r < 0)
        return error_failed(reterr, -r, "cannot connect to the daemon", "%s", strerror(-r));
    *ret = TAKE_PTR(c);
    return 0;
}

Connection *connection_free(Connection *c) {
    if (!c)
        return NULL;
    framing_free(c->framing);
    free(c);
    return NULL;
}

int connection_fd(const Connection *c) {
    return framing_fd(c->framing);
}

short connection_events(const Connection *c) {
    return POLLIN | (framing_queued(c->framing) > 0 ? POLLOUT : 0);
}

bool connection_has_reply(const Connection *c) {
    return framing_pending(c->framing) > 0;
}

static int gone(Connection *c, int code, Error *reterr) {
    c->gone = true;
    return error_failed(reterr, code, "lost the daemon", "the connection was closed before the reply");
}

int connection_send(Connection *c, const char *method, json_object *parameters, bool more, const int *with_fds,
                    size_t n_fds, Error *reterr) {
    char qualified[64];

    (void) snprintf(qualified, sizeof(qualified), KENNEL_INTERFACE ".%s", method);
    int r = message_queue_call(c->framing, qualified, parameters, more, with_fds, n_fds);
    if (r == -ENOBUFS)
        return error_failed(reterr, E2BIG, "the call is too large",
                            "command, environment and profile make a message of more than %u bytes", KENNEL_CALL_MAX);
    if (r < 0)
        return error_failed(reterr, -r, "sending the call", "%s", strerror(-r));
    r = framing_write(c->framing);
    /* a daemon that refuses to talk may have said why before it closed */
    if (r == -EPIPE || r == -ECONNRESET)
        return 0;
    return r < 0 ? error_failed(reterr, -r, "sending the call", "%s", strerror(-r)) : 0;
}

int connection_process(Connection *c, Error *reterr) {
    int written = framing_queued(c->framing) > 0 ? framing_write(c->framing) : 1;
    /* once: a daemon that writes faster than the user reads must not fill our memory */
    int r = framing_read(c->framing, reterr);

    if (r == -ECONNRESET || (r == 0 && (written == -EPIPE || written == -ECONNRESET)))
        return gone(c, ECONNRESET, reterr);
    return r < 0 ? r : 0;
}

int connection_take(Connection *c, MessageReply **ret, FramingMessage **ret_fds, Error *reterr) {
    _cleanup_(framing_message_freep) FramingMessage *m = NULL;
    int r = framing_take(c->framing, &m);

    if (r <= 0)
        return r;
    r = message_reply_parse(m->bytes, m->size, ret, reterr);
    if (r < 0)
        return r;
    if (ret_fds)
        *ret_fds = TAKE_PTR(m);
    return 1;
}

static int wait_for(Connection *c, Error *reterr) {
    struct pollfd p = { .fd = connection_fd(c), .events = connection_events(c) };

    if (poll(&p, 1, -1) < 0 && errno != EINTR)
        return error_failed(reterr, errno, "waiting for the daemon", "%s", strerror(errno));
    return 0;
}

int connection_receive(Connection *c, MessageReply **ret, Error *reterr) {
    _cleanup_(message_reply_freep) MessageReply *reply = NULL;

    for (;;) {
        int r = connection_take(c, &reply, NULL, reterr);
        if (r < 0)
            return r;
        if (r > 0)
            break;
        if (c->gone)
            return gone(c, ECONNRESET, reterr);
        r = wait_for(c, reterr);
        if (r < 0)
            return r;
        r = connection_process(c, reterr);
        if (r < 0 && !connection_has_reply(c))
            return r;
    }
    if (reply->error) {
        report_from_reply(reply->error, reply->parameters, reterr);
        return CONNECTION_REFUSED;
    }
    *ret = TAKE_PTR(reply);
    return 0;
}

int connection_call(Connection *c, const char *method, json_object *parameters, bool more, MessageReply **ret,
                    Error *reterr) {
    int r = connection_send(c, method, parameters, more, NULL, 0, reterr);
    return r < 0 ? r : connection_receive(c, ret, reterr);
}

int connection_call_once(const char *socket_path, const char *method, json_object *parameters, MessageReply **ret,
                         Error *reterr) {
    _cleanup_(connection_freep) Connection *c = NULL;
    int r = connection_open(socket_path, &c, reterr);
    return r < 0 ? r : connection_call(c, method, parameters, false, ret, reterr);
}
