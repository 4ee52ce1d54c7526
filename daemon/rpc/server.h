/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The listening socket and the connections that it gave. Nothing here blocks, and no peer can keep others out: each uid
 * has a bound, and root a share that nobody else can take.
 */

#include "container/container.h"
#include "rpc/peer.h"

/* What handlers work on; borrowed for as long as the server lives. */
typedef struct ServerEnvironment {
    sd_event *event;
    ContainerRegistry *registry;
    gid_t tenant_group; /* PEER_NO_GROUP: root alone is let in */
    const char *state_directory, *data_directory;
} ServerEnvironment;

typedef struct Server Server;
typedef struct Connection Connection;

/* Owns LISTEN_FD, which listens already. */
int server_new(const ServerEnvironment *environment, int consume_listen_fd, Server **ret, Error *reterr);
/* Ends every call as CALL_END_DAEMON_STOPS. */
Server *server_free(Server *s);
DEFINE_CLEANUP(Server, server_free)

const ServerEnvironment *server_environment(const Server *s);
/* The connection is over; it is freed. For connection.c. */
void server_drop(Server *s, Connection *c);
