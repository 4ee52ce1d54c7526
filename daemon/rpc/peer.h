/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Who is at the other end of a connection, by the kernel's word (SO_PEERCRED, SO_PEERGROUPS), at the time of its
 * connect(). Nothing that the peer says counts.
 */

#include "kennel/error.h"

#include <sys/types.h>

#define PEER_NO_GROUP ((gid_t) -1)

typedef struct Peer {
    uid_t uid;
    gid_t gid;
    pid_t pid; /* for the log alone: it may be another process's by now */
} Peer;

static inline bool peer_is_root(const Peer *p) {
    return p->uid == 0;
}

/* Root, and members of TENANT_GROUP (PEER_NO_GROUP: there is none), are let in; others get ERROR_PERMISSION_DENIED,
 * with *RET all the same if the kernel says who they are. */
int peer_admit(int fd, gid_t tenant_group, Peer *ret, Error *reterr);
