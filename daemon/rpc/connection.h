/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * One peer's connection: messages in, one call at a time, replies out in the order of the calls.
 */

#include "proto/framing.h"
#include "rpc/call.h"

/* On failure the descriptor is closed. */
int connection_new(Server *server, int consume_fd, const Peer *peer, Connection **ret);
Connection *connection_free(Connection *c, CallEnd why);

const Peer *connection_peer(const Connection *c);
const ServerEnvironment *connection_environment(const Connection *c);
size_t connection_queued(const Connection *c);

/* For call.c. A reply that cannot be queued for lack of memory, or one of a stream too many, ends the connection. */
int connection_reply(Connection *c, json_object *parameters, bool continues, const int *with_fds, size_t n_fds);
int connection_reply_text(Connection *c, const char *parameters, size_t size, bool continues);
/* One reply of a stream will be taken. If not, it need not be made: the peer is gone, or is being dropped. */
bool connection_takes_stream(Connection *c);
int connection_error(Connection *c, const char *name, json_object *parameters);
/* The call in progress is over and is being freed by the caller. */
void connection_call_over(Connection *c);
/* No more words: the connection is closed soon, never from within this function. */
void connection_break(Connection *c);
