/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Sockets of a container on a bridge: what listens where no published port is named, and what it has connected to.
 *
 * A container without a network has only its loopback, of which nothing is told. One on the host's network has its sockets
 * among the host's: whose is whose could be told only by all descriptors of all processes, and is not.
 *
 * The policy of a bridge names no destinations: so FINDING_CONNECTION, where it is wanted, tells each new one once. UDP has
 * no listening: a bound socket without a peer counts as that, unless its port is of the range from which the kernel gives
 * ports to clients.
 */

#include "watch/look.h"

#include <fcntl.h>
#include <netinet/tcp.h>
#include <string.h>

#define SOCKETS_MAX     4096U /* lines that are read */
#define KEPT_MAX        256U
#define INODES_MAX      256U /* sockets of one process, when one's owner is sought */
#define PROCESSES_MAX   256U
#define EPHEMERAL_FIRST 32768U
#define EPHEMERAL_LAST  60999U

static bool is_v6(const SocketsEntry *e) {
    return e->protocol == SOCKETS_TCP6 || e->protocol == SOCKETS_UDP6;
}

static bool is_tcp(const SocketsEntry *e) {
    return e->protocol == SOCKETS_TCP || e->protocol == SOCKETS_TCP6;
}

static bool is_loopback(const SocketsEntry *e, const unsigned char address[static 16]) {
    static const unsigned char one[16] = { [15] = 1 }, mapped[12] = { [10] = 0xFF, [11] = 0xFF };
    if (!is_v6(e))
        return address[0] == 127;
    return memcmp(address, one, 16) == 0 || (memcmp(address, mapped, 12) == 0 && address[12] == 127);
}

bool look_is_unnamed_listener(const SocketsEntry *e, const NetworkPort *ports, size_t n_ports) {
    bool udp = !is_tcp(e);
    if (!e->listening || e->local_port == 0 || is_loopback(e, e->local))
        return false;
    if (udp && e->local_port >= EPHEMERAL_FIRST && e->local_port <= EPHEMERAL_LAST)
        return false;
    for (size_t i = 0; i < n_ports; i++)
        if (ports[i].udp == udp && ports[i].container_port == e->local_port)
            return false;
    return true;
}

bool look_is_outbound(const SocketsEntry *e, bool (*listens)(void *userdata, uint16_t port), void *userdata) {
    if (e->listening || e->remote_port == 0 || is_loopback(e, e->remote))
        return false;
    if (!is_tcp(e))
        return true;
    return (e->state == TCP_ESTABLISHED || e->state == TCP_SYN_SENT) && !listens(userdata, e->local_port);
}

/* ---- reading ---- */

typedef struct Sockets {
    SocketsEntry kept[KEPT_MAX];
    size_t n;
    unsigned char listens[8192]; /* a bit for each TCP port */
} Sockets;

static int keep(void *userdata, const SocketsEntry *e) {
    Sockets *k = userdata;
    if (e->listening && is_tcp(e))
        k->listens[e->local_port / 8] |= (unsigned char) (1U << (e->local_port % 8));
    bool interesting = (e->listening ? !is_loopback(e, e->local) : e->remote_port != 0 && !is_loopback(e, e->remote));
    if (interesting && k->n < KEPT_MAX)
        k->kept[k->n++] = *e;
    return 0;
}

static bool listens(void *userdata, uint16_t port) {
    return ((const Sockets *) userdata)->listens[port / 8] & (1U << (port % 8));
}

/* ---- telling, once ---- */

static uint64_t key_of(const SocketsEntry *e, FindingKind k) {
    const unsigned char *address = k == FINDING_LISTENER ? e->local : e->remote;
    uint64_t h = look_hash(k == FINDING_LISTENER ? 1 : 2, e->protocol);
    h = look_hash(h, k == FINDING_LISTENER ? e->local_port : e->remote_port);
    for (size_t i = 0; i < (is_v6(e) ? 16U : 4U); i++)
        h = look_hash(h, address[i]);
    return h;
}

/* The oldest gives way: a container that opens one after the other is told of again, and its findings are counted. */
static bool is_news(LookMemory *m, uint64_t key) {
    size_t n = m->n_told < LOOK_TOLD_MAX ? m->n_told : LOOK_TOLD_MAX;
    for (size_t i = 0; i < n; i++)
        if (m->told[i] == key)
            return false;
    m->told[m->n_told++ % LOOK_TOLD_MAX] = key;
    return true;
}

static pid_t owner_of(LookHost *h, const pid_t *pids, size_t n, uint64_t inode) {
    uint64_t inodes[INODES_MAX];
    for (size_t i = 0; i < n && i < PROCESSES_MAX && inode != 0; i++) {
        _cleanup_fd_ int dir_fd = look_open(h, pids[i]);
        ssize_t found = dir_fd < 0 ? 0 : sockets_of_process(dir_fd, inodes, INODES_MAX);
        for (ssize_t k = 0; k < found; k++)
            if (inodes[k] == inode)
                return pids[i];
    }
    return 0;
}

static void tell_socket(LookHost *h, WatchSubject *s, const SocketsEntry *e, FindingKind k, const pid_t *pids,
                        size_t n) {
    char text[SOCKETS_TEXT_MAX];
    if (!is_news(s->memory, key_of(e, k)))
        return;
    pid_t owner = owner_of(h, pids, n, e->inode);
    (void) sockets_format(e, text);
    char evidence[SOCKETS_TEXT_MAX + 80];
    (void) snprintf(evidence, sizeof(evidence), "%s%s.",
                    k == FINDING_LISTENER ? "The container listens where no published port is named: "
                                          : "The container has connected to somebody outside: ",
                    text);
    if (!look_tell(s, k, FINDING_LOW, owner, "%s", evidence) && owner > 0)
        (void) look_tell(s, k, FINDING_LOW, 0, "%s", evidence); /* whose it was has gone meanwhile */
}

void look_at_network(LookHost *h, WatchSubject *s, const pid_t *pids, size_t n) {
    static const unsigned mask = 1U << SOCKETS_TCP | 1U << SOCKETS_TCP6 | 1U << SOCKETS_UDP | 1U << SOCKETS_UDP6;
    bool listeners = watch_wants(s, FINDING_LISTENER), connections = watch_wants(s, FINDING_CONNECTION);
    if (s->network != SANDBOX_NETWORK_BRIDGE || (!listeners && !connections))
        return;
    _cleanup_fd_ int dir_fd = look_open(h, s->pid);
    Sockets k;
    k.n = 0;
    memset(k.listens, 0, sizeof(k.listens));
    if (dir_fd < 0 || sockets_read(dir_fd, mask, SOCKETS_MAX, keep, &k) < 0)
        return;
    for (size_t i = 0; i < k.n; i++) {
        const SocketsEntry *e = &k.kept[i];
        if (listeners && look_is_unnamed_listener(e, s->ports, s->n_ports))
            tell_socket(h, s, e, FINDING_LISTENER, pids, n);
        if (connections && look_is_outbound(e, listens, &k))
            tell_socket(h, s, e, FINDING_CONNECTION, pids, n);
    }
}
