/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * See call.h. Every reply of the daemon passes through here: in the tests' builds each is held against the interface, so
 * that what the daemon says and what io.kennel.varlink promises cannot drift apart.
 */

#include "rpc/call.h"

#include "rpc/connection.h"
#include "rpc/errors.h"
#include "rpc/fields.h"
#include "rpc/methods.h"
#include "rpc/render.h"
#include "util/log.h"

/* A stream fills the queue up to here and waits until it has drained: the socket's own buffer keeps the peer busy. */
#define CALL_QUEUE_LOW (64U * 1024U)

struct CallTicket {
    Call *call;
};

struct Call {
    Connection *connection;
    MessageCall *call;
    Descriptors descriptors;
    const InterfaceMethod *interface; /* NULL until the method is known */
    CallTicket *ticket;
    void *state;
    void (*end)(void *state, CallEnd why);
    void (*drained)(void *state);
};

Call *call_new(Connection *connection, FramingMessage *message, MessageCall *consume_call) {
    Call *c = calloc(1, sizeof(Call));
    if (!c) {
        (void) message_call_free(consume_call);
        return NULL;
    }
    c->connection = connection;
    c->call = consume_call;
    descriptors_init(&c->descriptors, message->fds, message->n_fds);
    return c;
}

Call *call_free(Call *c, CallEnd why) {
    if (!c)
        return NULL;
    if (c->ticket)
        c->ticket->call = NULL;
    if (c->end)
        c->end(c->state, why);
    descriptors_done(&c->descriptors);
    (void) message_call_free(c->call);
    free(c);
    return NULL;
}

bool call_has_more(const Call *c) {
    return c->call->more;
}
json_object *call_parameters(const Call *c) {
    return c->call->parameters;
}
const MessageCall *call_message(const Call *c) {
    return c->call;
}
Descriptors *call_descriptors(Call *c) {
    return &c->descriptors;
}
const Peer *call_peer(const Call *c) {
    return connection_peer(c->connection);
}
const ServerEnvironment *call_environment(const Call *c) {
    return connection_environment(c->connection);
}
ContainerViewer call_viewer(const Call *c) {
    return (ContainerViewer){ .uid = call_peer(c)->uid };
}

int call_find_container(const Call *c, Container **ret, Error *reterr) {
    ContainerViewer viewer = call_viewer(c);
    const char *name = fields_string(call_parameters(c), "container");
    return container_find(call_environment(c)->registry, &viewer, name, ret, reterr);
}

void call_forget_parameters(Call *c) {
    json_object *empty = json_object_new_object();
    if (!empty)
        return;
    json_object_put(c->call->parameters);
    c->call->parameters = empty;
}

void call_keep(Call *c, void *state, void (*end)(void *state, CallEnd why)) {
    c->state = state;
    c->end = end;
}

void call_on_drained(Call *c, void (*drained)(void *state)) {
    c->drained = drained;
}
bool call_has_room(const Call *c) {
    return connection_queued(c->connection) < CALL_QUEUE_LOW;
}

void call_drained(Call *c) {
    if (c->drained && call_has_room(c))
        c->drained(c->state);
}

CallTicket *call_ticket(Call *c) {
    CallTicket *t = malloc(sizeof(CallTicket));
    if (!t)
        return NULL;
    t->call = c;
    c->ticket = t;
    return t;
}

Call *call_ticket_redeem(CallTicket *t) {
    Call *c = t->call;
    if (c)
        c->ticket = NULL;
    free(t);
    return c;
}

/* In the tests' sanitized build a wrong reply ends the daemon; in any other it is said, and sent: a bug in what is shown
 * must not take the containers' daemon down. */
static void check_reply(const Call *c, json_object *parameters) {
#ifdef KENNEL_CHECKED_REPLIES
    Error error = ERROR_INIT;
    _cleanup_json_ json_object *empty = parameters ? NULL : json_object_new_object();
    json_object *o = parameters ? parameters : empty;
    if (!o || interface_check(c->interface->out, o, &error) >= 0)
        return;
    log_limited(LOG_ERR, "A reply to %s is not what the interface promises: %s %s", c->interface->name, error.subject,
                error.message);
#ifdef __SANITIZE_ADDRESS__
    abort();
#endif
#endif
}

static void check_reply_text(const Call *c, const char *text, size_t size) {
#ifdef KENNEL_CHECKED_REPLIES
    Error error = ERROR_INIT;
    _cleanup_json_ json_object *o = NULL;
    if (json_read(text, size, &JSON_BOUNDS_TRUSTED, &o, &error) >= 0) {
        check_reply(c, o);
        return;
    }
    log_limited(LOG_ERR, "A reply to %s is no JSON: %s", c->interface->name, error.message);
#ifdef __SANITIZE_ADDRESS__
    abort();
#endif
#endif
}

/* The call has had its last reply. */
static void end_call(Call *c) {
    connection_call_over(c->connection);
    (void) call_free(c, CALL_END_REPLIED);
}

int call_continue(Call *c, json_object *with_parameters, const int *with_fds, size_t n_fds) {
    check_reply(c, with_parameters);
    if (c->call->oneway)
        return 0;
    return connection_reply(c->connection, with_parameters, true, with_fds, n_fds);
}

/* R: whether the last reply was queued. */
static void finish(Call *c, int r) {
    if (r == -ENOBUFS) {
        Error error = ERROR_INIT;
        (void) error_failed(&error, EMSGSIZE, c->call->method, "the reply is larger than a message may be");
        call_fail(c, &error);
        return;
    }
    end_call(c);
}

void call_finish(Call *c, json_object *with_parameters) {
    check_reply(c, with_parameters);
    finish(c, c->call->oneway ? 0 : connection_reply(c->connection, with_parameters, false, NULL, 0));
}

void call_finish_empty(Call *c) {
    call_finish(c, NULL);
}

bool call_reply(Call *c, json_object *consume_parameters, bool continues) {
    _cleanup_json_ json_object *parameters = consume_parameters;
    if (!parameters) {
        call_fail_memory(c);
        return false;
    }
    if (continues)
        return call_continue(c, parameters, NULL, 0) >= 0;
    call_finish(c, parameters);
    return false;
}

bool call_takes_stream(const Call *c) {
    return connection_takes_stream(c->connection);
}

bool call_reply_text(Call *c, const char *parameters, size_t size, bool continues) {
    check_reply_text(c, parameters, size);
    int r = c->call->oneway ? 0 : connection_reply_text(c->connection, parameters, size, continues);
    if (continues)
        return r >= 0;
    finish(c, r);
    return false;
}

void call_fail(Call *c, const Error *error) {
    const char *name = NULL;
    _cleanup_json_ json_object *parameters = NULL;
    int r = errors_to_wire(error, fields_string(call_parameters(c), "container"), &name, &parameters);
    if (r >= 0 && !c->call->oneway)
        r = connection_error(c->connection, name, parameters);
    bool forbidden =
        error->kind == ERROR_PERMISSION_DENIED || (error->kind == ERROR_INVALID_SPEC && error->code == EPERM);
    if (forbidden)
        log_refused(call_peer(c)->uid, "uid %u may not call %s.%s so: %s %s", call_peer(c)->uid, c->call->interface,
                    c->call->method, error->subject, error->message);
    log_debug("uid %u: %s.%s: %s %s: %s", call_peer(c)->uid, c->call->interface, c->call->method, name ? name : "error",
              error->subject, error->message);
    if (r < 0)
        connection_break(c->connection);
    end_call(c);
}

void call_fail_memory(Call *c) {
    Error error = ERROR_INIT;
    (void) fields_oom(&error);
    call_fail(c, &error);
}

void call_fail_service(Call *c, const char *error, const char *key, const char *value) {
    _cleanup_json_ json_object *parameters = json_object_new_object();
    int r = parameters ? 0 : -ENOMEM;
    if (r >= 0 && key)
        r = render_add_string(parameters, key, value);
    if (r >= 0 && !c->call->oneway)
        r = connection_error(c->connection, error, parameters);
    if (r < 0)
        connection_break(c->connection);
    end_call(c);
}

static void fail_invalid(Call *c, const Interface *interface, const Error *error) {
    if (interface == &interface_org_varlink_service)
        call_fail_service(c, "org.varlink.service.InvalidParameter", "parameter", error->subject);
    else
        call_fail(c, error);
}

static int check_descriptors(Call *c, const Method *m, Error *reterr) {
    return m->takes_descriptors ? 0 : descriptors_check_named(&c->descriptors, reterr);
}

void call_dispatch(Call *c) {
    const MessageCall *call = c->call;
    char name[KENNEL_KEY_MAX];
    (void) snprintf(name, sizeof(name), "%s.%s", call->interface, call->method);
    log_debug("uid %u, pid %d: calls %s", call_peer(c)->uid, (int) call_peer(c)->pid, name);
    const Interface *interface = methods_interface(call->interface);
    if (!interface) {
        call_fail_service(c, "org.varlink.service.InterfaceNotFound", "interface", call->interface);
        return;
    }
    const Method *m = methods_find(interface, call->method);
    c->interface = interface_method(interface, call->method);
    if (!m || !c->interface) {
        call_fail_service(c, "org.varlink.service.MethodNotFound", "method", name);
        return;
    }
    Error error = ERROR_INIT;
    if (interface_check(c->interface->in, call->parameters, &error) < 0 || check_descriptors(c, m, &error) < 0)
        fail_invalid(c, interface, &error);
    else if (m->needs_more && !call->more)
        call_fail_service(c, "org.varlink.service.ExpectedMore", NULL, NULL);
    else if (m->handle(c, &error) < 0) /* C is still there: a handler that has ended it returns 0 */
        call_fail(c, &error);
}
