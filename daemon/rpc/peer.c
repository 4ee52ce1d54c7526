/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Admission. The socket's mode keeps others out already where the daemon made the socket; this check holds whoever
 * made it and whatever its mode became.
 */

#include "rpc/peer.h"

#include <sys/socket.h>

static int peer_groups(int fd, gid_t **ret, size_t *ret_n) {
    socklen_t size = 64 * sizeof(gid_t);
    for (;;) {
        _cleanup_free_ gid_t *groups = malloc(size > 0 ? size : sizeof(gid_t));
        if (!groups)
            return -ENOMEM;
        if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &size) >= 0) {
            *ret = TAKE_PTR(groups);
            *ret_n = size / sizeof(gid_t);
            return 0;
        }
        /* on ERANGE the kernel has set SIZE to what it needs; the groups were fixed at connect(), so once is enough */
        if (errno != ERANGE)
            return -errno;
    }
}

/* 1, 0 or -errno. */
static int peer_is_member(int fd, const Peer *p, gid_t group) {
    if (group == PEER_NO_GROUP)
        return 0;
    if (p->gid == group)
        return 1;
    _cleanup_free_ gid_t *groups = NULL;
    size_t n = 0;
    int r = peer_groups(fd, &groups, &n);
    if (r < 0)
        return r;
    for (size_t i = 0; i < n; i++)
        if (groups[i] == group)
            return 1;
    return 0;
}

int peer_admit(int fd, gid_t tenant_group, Peer *ret, Error *reterr) {
    struct ucred credentials;
    socklen_t size = sizeof(credentials);
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &size) < 0)
        return error_set(reterr, ERROR_PERMISSION_DENIED, errno, NULL, "the kernel does not say who you are");
    Peer p = { .uid = credentials.uid, .gid = credentials.gid, .pid = credentials.pid };
    *ret = p;
    int r = peer_is_root(&p) ? 1 : peer_is_member(fd, &p, tenant_group);
    if (r <= 0)
        return error_set(reterr, ERROR_PERMISSION_DENIED, r < 0 ? -r : EACCES, NULL,
                         "uid %u is neither root nor a member of the group that may run containers", p.uid);
    return 0;
}
