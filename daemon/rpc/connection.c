/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The model. Everything that happens (bytes came, room to write, a call has ended, a time has run out) only notes what
 * it is and leads to connection_advance(), the one function that decides what is next. It is never called from within a
 * call's handler, so a connection is never freed under one: there, connection_kick() has it called by the loop.
 *
 *   reading  goes on while fewer than KENNEL_PIPELINE_MAX complete messages wait; beyond, the kernel's buffer fills up
 *            and the peer's send waits
 *   calling  one call at a time; the next begins when the last has had its last reply and little of it is left
 *   half a message  may stay so for KENNEL_HALF_MESSAGE_USEC
 *   replies  wait as long as the peer reads some now and then; one that reads nothing is dropped after the same time,
 *            but for streams, which a pager may well hold up: for these the bytes queued are bounded
 *
 * The peer's end of file: calls that came before are served, but for those with `more`, which it cancels. When the peer
 * has hung up altogether nobody reads replies: calls that came still take effect, nothing is waited for.
 *
 * Bytes that are no message: one reply says so, after those of the calls before it, then the connection is closed. It is
 * closed gently: on a close with bytes unread the kernel would report a reset, and a peer that is still sending might never
 * see the reply. So our side is shut first, and what still comes is thrown away, for a bounded time and number of bytes.
 */

#include "rpc/connection.h"

#include "kennel/limits.h"
#include "rpc/errors.h"
#include "util/log.h"

#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>

#define NEXT_CALL_BYTES (KENNEL_SLOW_READER_BYTES / 4) /* the next call waits while more than this is queued */

/* What a peer may still send after its last reply: a message that is far too large is worth an answer, not a download. */
#define LINGER_BYTES (64U * 1024U * 1024U)
#define LINGER_BLOCK (64U * 1024U)

struct Connection {
    Server *server;
    Framing *framing;
    Peer peer;
    sd_event_source *io, *kick, *half_timer, *flush_timer;
    Call *call;
    size_t n_trusted;  /* with a refusal: how many of the messages that wait came before it */
    Error refusal;     /* why nothing more is read; kind ERROR_NONE: there is no such reason */
    bool reading_over; /* the peer's end of file, or a refusal */
    bool hung_up;      /* nobody reads what we write */
    bool closing;      /* over once the queue is empty */
    bool broken;       /* over */
    bool kicked;
    bool lingering;  /* our side is shut; what comes is thrown away */
    size_t lingered; /* bytes */
};

const Peer *connection_peer(const Connection *c) {
    return &c->peer;
}
const ServerEnvironment *connection_environment(const Connection *c) {
    return server_environment(c->server);
}
size_t connection_queued(const Connection *c) {
    return framing_queued(c->framing);
}

static void connection_kick(Connection *c) {
    if (c->kicked)
        return;
    c->kicked = sd_event_source_set_enabled(c->kick, SD_EVENT_ONESHOT) >= 0;
}

void connection_break(Connection *c) {
    c->broken = true;
    connection_kick(c);
}

void connection_call_over(Connection *c) {
    c->call = NULL;
    connection_kick(c);
}

static void cancel_call(Connection *c) {
    Call *call = TAKE_PTR(c->call);
    (void) call_free(call, CALL_END_PEER_GONE);
}

int connection_error(Connection *c, const char *name, json_object *parameters) {
    connection_kick(c);
    return c->hung_up || c->closing ? 0 : message_queue_error(c->framing, name, parameters);
}

/* Says ERROR, then closes as soon as that is written. */
static void say_and_close(Connection *c, const Error *error) {
    const char *name;
    _cleanup_json_ json_object *parameters = NULL;
    c->reading_over = true;
    if (errors_to_wire(error, NULL, &name, &parameters) < 0 || connection_error(c, name, parameters) < 0)
        c->broken = true;
    c->closing = true;
    connection_kick(c);
}

static void drop_slow_reader(Connection *c) {
    Error error = ERROR_INIT;
    (void) error_set(&error, ERROR_QUOTA_EXCEEDED, ENOBUFS, "queue",
                     "%zu bytes wait to be read; that is more than are kept for a slow reader", connection_queued(c));
    log_limited(LOG_NOTICE, "A connection of uid %u is dropped: %s", c->peer.uid, error.message);
    say_and_close(c, &error);
}

/* 1: a reply is taken; 0: nobody would read it; -EPIPE: the connection is at its end. */
static int admit_reply(Connection *c, bool continues) {
    connection_kick(c);
    if (c->broken || c->closing)
        return -EPIPE;
    if (c->hung_up)
        return 0;
    if (continues && connection_queued(c) > KENNEL_SLOW_READER_BYTES) {
        drop_slow_reader(c);
        return -EPIPE;
    }
    return 1;
}

/* R: whether the reply was queued. One that is too large and not of a stream can be replaced by an error. */
static int reply_queued(Connection *c, int r, bool continues) {
    if (r < 0 && (continues || r != -ENOBUFS))
        c->broken = true;
    return r;
}

bool connection_takes_stream(Connection *c) {
    return admit_reply(c, true) > 0;
}

int connection_reply(Connection *c, json_object *parameters, bool continues, const int *with_fds, size_t n_fds) {
    int r = admit_reply(c, continues);
    if (r <= 0)
        return r;
    return reply_queued(c, message_queue_reply(c->framing, parameters, continues, with_fds, n_fds), continues);
}

int connection_reply_text(Connection *c, const char *parameters, size_t size, bool continues) {
    int r = admit_reply(c, continues);
    if (r <= 0)
        return r;
    return reply_queued(c, message_queue_reply_text(c->framing, parameters, size, continues), continues);
}

static void set_timer(sd_event_source *timer, bool on, bool restart) {
    int enabled = SD_EVENT_OFF;
    (void) sd_event_source_get_enabled(timer, &enabled);
    if (!on) {
        (void) sd_event_source_set_enabled(timer, SD_EVENT_OFF);
        return;
    }
    if (enabled != SD_EVENT_OFF && !restart)
        return;
    (void) sd_event_source_set_time_relative(timer, KENNEL_HALF_MESSAGE_USEC);
    (void) sd_event_source_set_enabled(timer, SD_EVENT_ONESHOT);
}

static void refuse(Connection *c, const Error *error, size_t n_trusted) {
    c->reading_over = true;
    c->refusal = *error;
    c->n_trusted = n_trusted;
    log_refused(c->peer.uid, "Bytes of uid %u are no message of the protocol: %s", c->peer.uid, error->message);
}

/* Messages that wait to be served. */
static size_t n_waiting(const Connection *c) {
    return c->refusal.kind != ERROR_NONE ? c->n_trusted : framing_pending(c->framing);
}

static bool may_read(const Connection *c) {
    return !c->reading_over && framing_pending(c->framing) < KENNEL_PIPELINE_MAX;
}

static void connection_read(Connection *c) {
    Error error = ERROR_INIT;
    size_t before = framing_pending(c->framing);
    int r = framing_read(c->framing, &error);
    if (r == -ECONNRESET || (r == 0 && c->hung_up))
        c->reading_over = true;
    else if (r == -EMSGSIZE) /* what came before is whole */
        refuse(c, &error, framing_pending(c->framing));
    else if (r < 0) /* descriptors got lost: a message of this read may lack its own, and must not be obeyed without */
        refuse(c, &error, before);
    if (framing_pending(c->framing) > before) /* each message has its own time */
        set_timer(c->half_timer, false, false);
}

static void connection_write(Connection *c) {
    size_t before = connection_queued(c);
    if (c->hung_up || before == 0)
        return;
    if (framing_write(c->framing) < 0) {
        c->hung_up = true;
        return;
    }
    if (connection_queued(c) < before)
        set_timer(c->flush_timer, false, false); /* the peer reads; update() sets it anew if something is left */
}

/* Takes the next message and begins its call. */
static void begin_call(Connection *c) {
    _cleanup_(framing_message_freep) FramingMessage *message = NULL;
    if (c->call || c->closing || c->broken || n_waiting(c) == 0 || connection_queued(c) > NEXT_CALL_BYTES)
        return;
    int r = framing_take(c->framing, &message);
    if (r == 0)
        return;
    if (c->n_trusted > 0)
        c->n_trusted--;
    Error error = ERROR_INIT;
    MessageCall *call = NULL;
    if (r > 0)
        r = message_call_parse(message->bytes, message->size, &call, &error);
    if (r < 0) {
        if (error.kind == ERROR_NONE)
            (void) error_failed(&error, -r, "message", "the message cannot be taken");
        log_refused(c->peer.uid, "A message of uid %u is refused: %s", c->peer.uid, error.message);
        say_and_close(c, &error);
        return;
    }
    c->call = call_new(c, message, call);
    if (!c->call)
        c->broken = true;
    else
        call_dispatch(c->call); /* may end it at once: then c->call is NULL again */
}

/* A call for whose replies nobody waits any more. */
static bool call_is_pointless(const Connection *c) {
    return c->call && (c->closing || c->broken || c->hung_up || (c->reading_over && call_has_more(c->call)));
}

static bool is_idle(const Connection *c) {
    return !c->call && n_waiting(c) == 0;
}

/* Descriptors that come are closed by the kernel, since there is no room for them. */
static void linger(Connection *c) {
    char block[LINGER_BLOCK];
    int fd = framing_fd(c->framing);
    if (!c->lingering)
        (void) shutdown(fd, SHUT_WR);
    c->lingering = true;
    ssize_t n = recv(fd, block, sizeof(block), MSG_DONTWAIT);
    if (n > 0)
        c->lingered += (size_t) n;
    if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR) || c->lingered > LINGER_BYTES)
        c->broken = true;
}

static bool is_over(const Connection *c) {
    if (c->broken)
        return true;
    if (c->closing)
        return c->hung_up;
    return c->reading_over && is_idle(c) && (c->hung_up || connection_queued(c) == 0);
}

/* Is there something to do that no event will announce? */
static bool has_work(const Connection *c) {
    bool next_call = !c->call && !c->closing && n_waiting(c) > 0 && connection_queued(c) <= NEXT_CALL_BYTES;
    return next_call || call_is_pointless(c) || is_over(c) || (c->hung_up && may_read(c));
}

static void update(Connection *c) {
    bool stream = c->call && call_has_more(c->call) && !c->closing;
    uint32_t events =
        (may_read(c) || c->lingering ? (uint32_t) EPOLLIN : 0) | (connection_queued(c) > 0 ? (uint32_t) EPOLLOUT : 0);
    set_timer(c->half_timer, may_read(c) && framing_is_partial(c->framing), false);
    set_timer(c->flush_timer, (connection_queued(c) > 0 || c->lingering) && !c->hung_up && !stream, false);
    /* a hang-up is reported for as long as it is there, whatever is asked for */
    if (c->hung_up)
        (void) sd_event_source_set_enabled(c->io, SD_EVENT_OFF);
    else
        (void) sd_event_source_set_io_events(c->io, events);
    if (has_work(c))
        connection_kick(c);
}

/* May free C. */
static void connection_advance(Connection *c) {
    if (c->hung_up && may_read(c))
        connection_read(c);
    connection_write(c);
    if (call_is_pointless(c))
        cancel_call(c);
    begin_call(c);
    if (c->call)
        call_drained(c->call);
    if (c->refusal.kind != ERROR_NONE && is_idle(c) && !c->closing)
        say_and_close(c, &c->refusal);
    connection_write(c);
    if (c->closing && !c->hung_up && connection_queued(c) == 0)
        linger(c);
    if (is_over(c))
        server_drop(c->server, c);
    else
        update(c);
}

static int on_io(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
    Connection *c = userdata;
    if (revents & (EPOLLHUP | EPOLLERR))
        c->hung_up = true;
    if ((revents & EPOLLIN) && may_read(c))
        connection_read(c);
    connection_advance(c);
    return 0;
}

static int on_kick(sd_event_source *source, void *userdata) {
    Connection *c = userdata;
    c->kicked = false;
    connection_advance(c);
    return 0;
}

static int on_half_message(sd_event_source *source, uint64_t usec, void *userdata) {
    Connection *c = userdata;
    Error error = ERROR_INIT;
    (void) error_set(&error, ERROR_MALFORMED, ETIMEDOUT, NULL, "a message was begun and not ended within %llu s",
                     (unsigned long long) (KENNEL_HALF_MESSAGE_USEC / 1000000ULL));
    refuse(c, &error, framing_pending(c->framing));
    connection_advance(c);
    return 0;
}

static int on_flush_timeout(sd_event_source *source, uint64_t usec, void *userdata) {
    Connection *c = userdata;
    if (!c->lingering)
        log_limited(LOG_NOTICE, "A connection of uid %u is dropped: it does not read its replies", c->peer.uid);
    c->broken = true;
    connection_advance(c);
    return 0;
}

static int add_timer(Connection *c, sd_event_source **ret, sd_event_time_handler_t handler) {
    sd_event *event = connection_environment(c)->event;
    int r = sd_event_add_time_relative(event, ret, CLOCK_MONOTONIC, KENNEL_HALF_MESSAGE_USEC, 0, handler, c);
    return r < 0 ? r : sd_event_source_set_enabled(*ret, SD_EVENT_OFF);
}

static int add_sources(Connection *c) {
    sd_event *event = connection_environment(c)->event;
    int r = sd_event_add_io(event, &c->io, framing_fd(c->framing), EPOLLIN, on_io, c);
    if (r >= 0)
        r = sd_event_add_defer(event, &c->kick, on_kick, c);
    if (r >= 0)
        r = sd_event_source_set_enabled(c->kick, SD_EVENT_OFF);
    if (r >= 0)
        r = add_timer(c, &c->half_timer, on_half_message);
    if (r >= 0)
        r = add_timer(c, &c->flush_timer, on_flush_timeout);
    return r;
}

int connection_new(Server *server, int consume_fd, const Peer *peer, Connection **ret) {
    _cleanup_fd_ int fd = consume_fd;
    Connection *c = calloc(1, sizeof(Connection));
    if (!c)
        return -ENOMEM;
    c->server = server;
    c->peer = *peer;
    /* one reply of the largest size fits behind what a stream may leave */
    int r = framing_new(TAKE_FD(fd), KENNEL_CALL_MAX, KENNEL_REPLY_MAX + KENNEL_SLOW_READER_BYTES, &c->framing);
    if (r >= 0)
        r = add_sources(c);
    if (r < 0) {
        (void) connection_free(c, CALL_END_PEER_GONE);
        return r;
    }
    *ret = c;
    return 0;
}

Connection *connection_free(Connection *c, CallEnd why) {
    if (!c)
        return NULL;
    (void) call_free(TAKE_PTR(c->call), why);
    if (why == CALL_END_DAEMON_STOPS && !c->hung_up)
        (void) framing_write(c->framing); /* what is ready goes out if it can */
    (void) sd_event_source_disable_unref(c->io);
    (void) sd_event_source_disable_unref(c->kick);
    (void) sd_event_source_disable_unref(c->half_timer);
    (void) sd_event_source_disable_unref(c->flush_timer);
    (void) framing_free(c->framing);
    free(c);
    return NULL;
}
