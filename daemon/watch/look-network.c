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

#include "util/process.h"
#include "watch/look.h"

#include <fcntl.h>
#include <netinet/tcp.h>
#include <string.h>

#define SOCKETS_MAX     4096U                /* lines that are read of each file */
#define KEPT_MAX        (LOOK_TOLD_MAX / 4U) /* of each kind: what was told of and is there still is not forgotten */
#define OWNERS_USEC     20000U               /* for seeking owners, of one container in one look */
#define INODES_MAX      256U                 /* sockets of one process, when one's owner is sought */
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

/* Only what is wanted: neither kind takes the other's room, nor what is named and what has only been accepted. */
typedef struct Sockets {
    const WatchSubject *subject;
    bool wants_listeners, wants_connections;
    SocketsEntry listeners[KEPT_MAX], connections[KEPT_MAX];
    size_t n_listeners, n_connections;
    uint64_t unkept;
    unsigned char listens[8192]; /* a bit for each TCP port */
} Sockets;

static bool listens(void *userdata, uint16_t port) {
    return ((const Sockets *) userdata)->listens[port / 8] & (1U << (port % 8));
}

static void add(SocketsEntry *kept, size_t *n, const SocketsEntry *e, uint64_t *unkept) {
    if (*n < KEPT_MAX)
        kept[(*n)++] = *e;
    else
        (*unkept)++;
}

/* The kernel lists what listens before what is connected: most of what was accepted is known for that here already. */
static int keep(void *userdata, const SocketsEntry *e) {
    Sockets *k = userdata;
    if (e->listening && is_tcp(e))
        k->listens[e->local_port / 8] |= (unsigned char) (1U << (e->local_port % 8));
    if (k->wants_listeners && look_is_unnamed_listener(e, k->subject->ports, k->subject->n_ports))
        add(k->listeners, &k->n_listeners, e, &k->unkept);
    if (k->wants_connections && look_is_outbound(e, listens, k))
        add(k->connections, &k->n_connections, e, &k->unkept);
    return 0;
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

static bool is_news(const LookMemory *m, uint64_t key) {
    size_t n = m->n_told < LOOK_TOLD_MAX ? m->n_told : LOOK_TOLD_MAX;
    for (size_t i = 0; i < n; i++)
        if (m->told[i] == key)
            return false;
    return true;
}

/* The oldest gives way: a container that opens one after the other is told of again, and its findings are counted. */
static void remember(LookMemory *m, uint64_t key) {
    m->told[m->n_told++ % LOOK_TOLD_MAX] = key;
}

/* How many processes a container has, and how many descriptors they have, is its own choice: so this ends by time. */
static pid_t owner_of(LookHost *h, const pid_t *pids, size_t n, uint64_t inode) {
    uint64_t inodes[INODES_MAX];
    for (size_t i = 0; i < n && i < PROCESSES_MAX && inode != 0 && watch_now() < h->owners_until; i++) {
        _cleanup_fd_ int dir_fd = look_open_living(h, pids[i]);
        ssize_t found = dir_fd < 0 ? 0 : sockets_of_process(dir_fd, inodes, INODES_MAX);
        for (ssize_t k = 0; k < found; k++)
            if (inodes[k] == inode)
                return pids[i];
    }
    return 0;
}

/* Its socket is what tells it from another one. */
static void tell_without_owner(WatchSubject *s, FindingKind k, const char *evidence, const char *socket) {
    Finding *f = finding_new(k, FINDING_LOW);
    if (!f)
        return;
    f->sockets = calloc(2, sizeof(char *));
    if (f->sockets)
        f->sockets[0] = strdup(socket);
    evidence_set(f, "%s", evidence);
    watch_report(s, f);
}

static void tell_socket(LookHost *h, WatchSubject *s, const SocketsEntry *e, FindingKind k, const pid_t *pids,
                        size_t n) {
    char text[SOCKETS_TEXT_MAX];
    pid_t owner = owner_of(h, pids, n, e->inode);
    (void) sockets_format(e, text);
    char evidence[SOCKETS_TEXT_MAX + 80];
    (void) snprintf(evidence, sizeof(evidence), "%s%s.",
                    k == FINDING_LISTENER ? "The container listens where no published port is named: "
                                          : "The container has connected to somebody outside: ",
                    text);
    if (owner == 0 || !look_tell(s, k, FINDING_LOW, owner, "%s", evidence)) /* it has gone meanwhile */
        tell_without_owner(s, k, evidence, text);
}

/* What its share of this second has no room for is news in the next look again, which begins with another one. */
static void tell_new(LookHost *h, WatchSubject *s, const SocketsEntry *kept, size_t n_kept, FindingKind k,
                     const pid_t *pids, size_t n) {
    LookMemory *m = s->memory;
    size_t first = n_kept > 0 ? m->n_told % n_kept : 0;
    for (size_t i = 0; i < n_kept; i++) {
        const SocketsEntry *e = &kept[(first + i) % n_kept];
        uint64_t key = key_of(e, k);
        if (!is_news(m, key))
            continue;
        if (!watch_may_collect(s))
            return;
        remember(m, key);
        tell_socket(h, s, e, k, pids, n);
    }
}

/* As long as the same do not fit they are counted once. */
static void count_unkept(WatchSubject *s, uint64_t unkept) {
    if (unkept > s->memory->unkept)
        (void) atomic_fetch_add(&s->dropped, unkept - s->memory->unkept);
    s->memory->unkept = unkept;
}

/* By its first process, as long as that is the one. */
static int read_sockets(const LookHost *h, const WatchSubject *s, Sockets *k) {
    static const unsigned mask = 1U << SOCKETS_TCP | 1U << SOCKETS_TCP6 | 1U << SOCKETS_UDP | 1U << SOCKETS_UDP6;
    _cleanup_fd_ int dir_fd = look_open_living(h, s->pid);
    if (dir_fd < 0 || process_pidfd_pid(s->pidfd) != s->pid)
        return -ESRCH;
    int r = sockets_read(dir_fd, mask, SOCKETS_MAX, keep, k);
    if (r != -EOVERFLOW)
        return r;
    k->unkept++; /* how many lines were left nobody knows */
    return 0;
}

/* Also of those whose listener was read after them. */
static void drop_accepted(Sockets *k) {
    size_t n = 0;
    for (size_t i = 0; i < k->n_connections; i++)
        if (look_is_outbound(&k->connections[i], listens, k))
            k->connections[n++] = k->connections[i];
    k->n_connections = n;
}

void look_at_network(LookHost *h, WatchSubject *s, const pid_t *pids, size_t n) {
    Sockets k;
    k.subject = s;
    k.wants_listeners = watch_wants(s, FINDING_LISTENER);
    k.wants_connections = watch_wants(s, FINDING_CONNECTION);
    k.n_listeners = k.n_connections = 0;
    k.unkept = 0;
    memset(k.listens, 0, sizeof(k.listens));
    if (s->network != SANDBOX_NETWORK_BRIDGE || (!k.wants_listeners && !k.wants_connections) ||
        read_sockets(h, s, &k) < 0)
        return;
    drop_accepted(&k);
    count_unkept(s, k.unkept);
    uint64_t began = watch_now(), share = h->owners_usec < OWNERS_USEC ? h->owners_usec : OWNERS_USEC;
    h->owners_until = began + share;
    tell_new(h, s, k.listeners, k.n_listeners, FINDING_LISTENER, pids, n);
    tell_new(h, s, k.connections, k.n_connections, FINDING_CONNECTION, pids, n);
    uint64_t passed = watch_now() - began;
    h->owners_usec -= passed < share ? passed : share;
}
