/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * A connection to the daemon. The socket never blocks; the blocking functions here wait for it, and whoever has other
 * things to do waits for connection_fd() and calls connection_process().
 *
 * Functions that can fail return a negative errno where the daemon could not be reached or has gone; where it answered
 * with an error they return CONNECTION_REFUSED (1) and the connection is good for more. reterr is filled in for both.
 */

#include "proto/message.h"

#define CONNECTION_REFUSED 1

typedef struct Connection Connection;

/* Says in reterr what the user can do: start the daemon, join the group. */
int connection_open(const char *socket_path, Connection **ret, Error *reterr);
Connection *connection_free(Connection *c);
DEFINE_CLEANUP(Connection, connection_free)

int connection_fd(const Connection *c);
/* What to poll for. */
short connection_events(const Connection *c);

/* Queues a call of io.kennel.METHOD and writes what can be written. The descriptors remain the caller's. */
int connection_send(Connection *c, const char *method, json_object *parameters, bool more, const int *with_fds,
                    size_t n_fds, Error *reterr);

/* Reads and writes what can be done now. -ECONNRESET if the daemon has gone; replies that came before can be taken. */
int connection_process(Connection *c, Error *reterr);

/*
 * Takes a reply that has arrived: 1 and *ret, 0 if there is none, negative if it is no reply. Error replies are
 * replies. If RET_FDS is not NULL, the message that brought the reply with its descriptors goes there.
 */
int connection_take(Connection *c, MessageReply **ret, FramingMessage **ret_fds, Error *reterr);

/* Waits for the next reply. */
int connection_receive(Connection *c, MessageReply **ret, Error *reterr);

/* True if a reply can be taken without waiting. */
bool connection_has_reply(const Connection *c);

/* Calls and waits for the first reply. */
int connection_call(Connection *c, const char *method, json_object *parameters, bool more, MessageReply **ret,
                    Error *reterr);

/* Opens a connection for one call without `more` and closes it. PARAMETERS may be NULL. */
int connection_call_once(const char *socket_path, const char *method, json_object *parameters, MessageReply **ret,
                         Error *reterr);
