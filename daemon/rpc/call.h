/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * One call, from its first look to its last reply: what handlers see of rpc.
 *
 * A handler reads the fields, validates, asks who the peer is, authorises (container_find() with the viewer), acts, and
 * replies. It returns a negative errno with reterr for a call that fails at once: the error becomes the reply. It
 * returns 0 if it has replied, or will: then it keeps what it needs with call_keep().
 *
 * After call_finish(), call_finish_empty() and call_fail() the call is gone, and what it kept with it: return at once.
 * call_continue() leaves it alive, also when it fails, which is no concern of the handler's: the connection ends soon,
 * and the call's `end` is called.
 */

#include "container/container.h"
#include "proto/interface.h"
#include "proto/message.h"
#include "rpc/descriptors.h"
#include "rpc/peer.h"
#include "rpc/server.h"

typedef struct Call Call;
typedef struct Connection Connection;

typedef int (*CallHandler)(Call *c, Error *reterr);

/* A line of the method table (rpc/methods.c). */
typedef struct Method {
    const char *name;
    CallHandler handle;
    bool needs_more;
    bool takes_descriptors;
} Method;

typedef enum CallEnd {
    CALL_END_REPLIED,      /* the last reply has been queued */
    CALL_END_PEER_GONE,    /* the peer has hung up, or was dropped */
    CALL_END_DAEMON_STOPS, /* nothing that runs is to be touched */
} CallEnd;

/* For rpc itself. Takes the descriptors out of MESSAGE. call_dispatch() replies and ends the call, or leaves it going.
 */
Call *call_new(Connection *connection, FramingMessage *message, MessageCall *consume_call);
void call_dispatch(Call *c);
Call *call_free(Call *c, CallEnd why);
bool call_has_more(const Call *c);
/* There is room in the connection's queue again. */
void call_drained(Call *c);

json_object *call_parameters(const Call *c);
/* A call that will last long needs them no more: they may be a megabyte. */
void call_forget_parameters(Call *c);
const MessageCall *call_message(const Call *c);
Descriptors *call_descriptors(Call *c);
const Peer *call_peer(const Call *c);
const ServerEnvironment *call_environment(const Call *c);
ContainerViewer call_viewer(const Call *c);
/* The one that the field `container` names, if the peer may see it. */
int call_find_container(const Call *c, Container **ret, Error *reterr);

/* What is to be undone when the call ends, however it does. STATE's END frees it. */
void call_keep(Call *c, void *state, void (*end)(void *state, CallEnd why));
/* For a stream that produces by itself: called whenever call_has_room() may have become true. */
void call_on_drained(Call *c, void (*drained)(void *state));
/* Little enough is queued that a stream should produce more. */
bool call_has_room(const Call *c);

void call_finish(Call *c, json_object *with_parameters);
void call_finish_empty(Call *c);
void call_fail(Call *c, const Error *error);
void call_fail_memory(Call *c);
/* An error of org.varlink.service, with one string parameter or none (NULL, NULL). */
void call_fail_service(Call *c, const char *error, const char *key, const char *value);
int call_continue(Call *c, json_object *with_parameters, const int *with_fds, size_t n_fds);
/* Both kinds of reply: CONTINUES or the last one. True if the call is still there. */
bool call_reply(Call *c, json_object *consume_parameters, bool continues);
/* The same with parameters that are text already, SIZE bytes of a JSON object, for what is too much to be made a tree of. */
bool call_reply_text(Call *c, const char *parameters, size_t size, bool continues);
/* One more reply of a stream will be taken. If not, do not make it: the call ends soon, a slow reader's with an error. */
bool call_takes_stream(const Call *c);

/*
 * For callbacks that cannot be taken back (ContainerDone): the ticket outlives the call. The callback redeems it, once,
 * and gets the call or NULL if that has ended meanwhile. A call has at most one.
 */
typedef struct CallTicket CallTicket;
CallTicket *call_ticket(Call *c);
Call *call_ticket_redeem(CallTicket *t);
