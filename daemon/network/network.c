/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The objects of network.h, and the order in which a container's network is made and unmade.
 *
 * Made: lock, bridge, filter's rules; the ports' reservation; the filter's elements, before there is an interface that
 * they allow anything to; the pair; the container's end; the host's end, which is turned on last. Unmade the other way
 * round, whatever of it there is, so that the same function serves for a failure, an end and a recovery.
 *
 * Whose a bridge is, is a lock on a byte of a file that all daemons share: taken with the first container or with the
 * recovery of one, given back with the last. The byte is chosen by the bridge's name and the network namespace, for in
 * another namespace the same name is another bridge.
 */

#include "network/internal.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

/* Far from the bytes that stand for ranges of user ids (container/ranges.c): there are fewer than 2^32 of these. */
#define LOCK_OFFSET (INT64_C(1) << 40)
#define GROUP_BASE  0x6B000000U /* "k", and 24 bits of the name's hash */
#define FNV_BASIS   0x811C9DC5U
#define FNV_PRIME   0x01000193U

static uint32_t hash(uint32_t h, const void *bytes, size_t size) {
    for (const uint8_t *b = bytes; size > 0; size--)
        h = (h ^ *b++) * FNV_PRIME;
    return h;
}

void network_mac(uint32_t address, bool host_end, uint8_t ret[static NETWORK_MAC_LENGTH]) {
    /* Bit 1 of the first byte: locally administered. */
    const uint8_t mac[NETWORK_MAC_LENGTH] = {
        host_end ? 0x06 : 0x02, 0x6B, (uint8_t) (address >> 24), (uint8_t) (address >> 16), (uint8_t) (address >> 8),
        (uint8_t) address,
    };
    memcpy(ret, mac, sizeof(mac));
}

int network_unavailable(const NetlinkSocket *s, int code, const char *what, Error *reterr) {
    bool said = s && s->text[0];
    return error_set(reterr, ERROR_LIMIT_UNAVAILABLE, code, "network", "%s: %s%s%s%s", what, strerror(code),
                     said ? " (" : "", said ? s->text : "", said ? ")" : "");
}

/* ---- the host ---- */

/* Text of rules, paths and messages is made of it. */
static bool name_is_usable(const char *name) {
    size_t length = strnlen(name, IFNAMSIZ);
    return length > 0 && length < IFNAMSIZ && name[0] != '.' && name[0] != '-' &&
           strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-") == length;
}

static int check_config(const NetworkConfig *c, Error *reterr) {
    if (!name_is_usable(c->bridge))
        return error_invalid(reterr, "network-bridge",
                             "\"%.*s\" cannot be a bridge's name: 1 to %u letters, digits, '_', '-' and '.'", IFNAMSIZ,
                             c->bridge, IFNAMSIZ - 1);
    if (c->pool.prefix < 8 || c->pool.prefix > 29)
        return error_invalid(reterr, "network-pool", "the pool's prefix is /%u; it can be from /8 to /29",
                             c->pool.prefix);
    if ((c->pool.address & ~pool_mask(&c->pool)) != 0)
        return error_invalid(reterr, "network-pool", "the pool's address has bits beyond its prefix of /%u",
                             c->pool.prefix);
    return 0;
}

int network_host_new(const NetworkConfig *config, int shared_fd, NetworkHost **ret, Error *reterr) {
    int r = check_config(config, reterr);
    if (r < 0)
        return r;
    _cleanup_(network_host_freep) NetworkHost *h = calloc(1, sizeof(NetworkHost));
    if (!h)
        return error_failed(reterr, ENOMEM, "network", "out of memory");
    h->config = *config;
    h->gateway = pool_gateway(&config->pool);
    network_mac(h->gateway, false, h->mac);
    h->group = GROUP_BASE | (hash(FNV_BASIS, config->bridge, strlen(config->bridge)) & 0xFFFFFFU);
    h->shared_fd = shared_fd;
    h->route = h->statistics = NETLINK_SOCKET_INIT;
    (void) pthread_mutex_init(&h->work, NULL);
    (void) pthread_mutex_init(&h->quick, NULL);
    r = pool_init(&h->pool, &config->pool);
    if (r >= 0)
        r = netlink_open(&h->route);
    if (r >= 0)
        r = netlink_open(&h->statistics);
    if (r < 0)
        return error_failed(reterr, -r, "network", "the network cannot be prepared: %s", strerror(-r));
    *ret = TAKE_PTR(h);
    return 0;
}

static Member *member_free(Member *m) {
    if (!m)
        return NULL;
    if (m->port_fds)
        ports_release(m->port_fds, m->n_ports);
    free(m->port_fds);
    free(m->ports);
    free(m);
    return NULL;
}
DEFINE_CLEANUP(Member, member_free)

static void give_back_lock(NetworkHost *h);
static int remove_if_empty(NetworkHost *h, Error *reterr);

NetworkHost *network_host_free(NetworkHost *h) {
    if (!h)
        return NULL;
    if (h->locked)
        (void) remove_if_empty(h, NULL);
    give_back_lock(h);
    for (Member *m = h->members, *next; m; m = next) {
        next = m->next;
        (void) member_free(m);
    }
    filter_close(h);
    netlink_close(&h->route);
    netlink_close(&h->statistics);
    pool_done(&h->pool);
    free(h->table.items);
    (void) pthread_mutex_destroy(&h->work);
    (void) pthread_mutex_destroy(&h->quick);
    free(h);
    return NULL;
}

uint32_t network_host_gateway(const NetworkHost *h) {
    return h->gateway;
}

const char *network_host_missing(NetworkHost *h) {
    (void) pthread_mutex_lock(&h->work);
    if (!h->probed)
        probe_run(&h->config, h->missing, sizeof(h->missing));
    h->probed = true;
    (void) pthread_mutex_unlock(&h->work);
    return h->missing[0] ? h->missing : NULL;
}

/* ---- whose the bridge is ---- */

static int lock_byte(NetworkHost *h, short type) {
    struct stat st;
    if (h->shared_fd < 0) /* a probe, in a namespace that nobody else has */
        return 0;
    if (stat("/proc/thread-self/ns/net", &st) < 0)
        return -errno;
    uint32_t byte = hash(hash(FNV_BASIS, h->config.bridge, strlen(h->config.bridge)), &st.st_ino, sizeof(st.st_ino));
    struct flock l = { .l_type = type, .l_whence = SEEK_SET, .l_start = LOCK_OFFSET + (off_t) byte, .l_len = 1 };
    return fcntl(h->shared_fd, F_OFD_SETLK, &l) < 0 ? -errno : 0;
}

static void give_back_lock(NetworkHost *h) {
    if (h->locked)
        (void) lock_byte(h, F_UNLCK);
    h->locked = false;
}

/* 1 if it is ours, 0 if it is another daemon's. */
static int take_lock(NetworkHost *h, Error *reterr) {
    int r = h->locked ? 0 : lock_byte(h, F_WRLCK);
    if (r == -EAGAIN || r == -EACCES)
        return 0;
    if (r < 0)
        return network_unavailable(NULL, -r, "the bridge cannot be locked", reterr);
    h->locked = true;
    return 1;
}

/* Bridge and rules, once for each life of the bridge. */
static int ensure(NetworkHost *h, Error *reterr) {
    int r = take_lock(h, reterr);
    if (r < 0)
        return r;
    if (r == 0)
        return error_set(reterr, ERROR_LIMIT_UNAVAILABLE, EBUSY, "network",
                         "another daemon uses the bridge %s; set network-bridge and network-pool in the configuration",
                         h->config.bridge);
    if (h->ready)
        return 0;
    r = bridge_ensure(h, reterr);
    if (r >= 0)
        r = filter_ensure(h, reterr);
    h->ready = r >= 0;
    return r;
}

/* Also if the work on a container has failed and it was the only one. */
static int remove_if_empty(NetworkHost *h, Error *reterr) {
    Interface i;
    if (h->bridge_index <= 0 && interface_find(&h->route, h->config.bridge, &i) >= 0)
        h->bridge_index = i.index;
    int n = bridge_count_ports(h);
    if (n > 0)
        return 0;
    int r = n < 0 ? n : bridge_remove(h);
    if (r < 0)
        return network_unavailable(&h->route, -r, "the bridge cannot be removed", reterr);
    r = filter_drop_table(h, reterr);
    if (r < 0)
        return r;
    give_back_lock(h);
    return 0;
}

/* ---- members ---- */

static Member **member_place(NetworkHost *h, const char *id) {
    Member **m = &h->members;
    while (*m && strcmp((*m)->id, id) != 0)
        m = &(*m)->next;
    return m;
}

static int member_new(const char *id, const NetworkSpec *spec, Member **ret) {
    _cleanup_(member_freep) Member *m = calloc(1, sizeof(Member));
    if (!m)
        return -ENOMEM;
    (void) snprintf(m->id, sizeof(m->id), "%s", id);
    m->address = spec->address;
    m->ports = calloc(spec->n_ports + 1, sizeof(NetworkPort));
    m->port_fds = calloc(spec->n_ports + 1, sizeof(int));
    if (!m->ports || !m->port_fds)
        return -ENOMEM;
    for (size_t i = 0; i < spec->n_ports; i++) {
        m->ports[i] = spec->ports[i];
        m->port_fds[i] = -EBADF;
    }
    m->n_ports = spec->n_ports;
    *ret = TAKE_PTR(m);
    return 0;
}

static int check_id(const char *id, Error *reterr) {
    if (strlen(id) == NETWORK_ID_MAX && strspn(id, "0123456789abcdef") == NETWORK_ID_MAX)
        return 0;
    return error_failed(reterr, EINVAL, "network", "\"%.16s\" is no container's id", id);
}

static int check_spec(const char *id, const NetworkSpec *spec, Error *reterr) {
    int r = check_id(id, reterr);
    if (r < 0)
        return r;
    if (spec->n_ports > NETWORK_PORTS_MAX)
        return error_invalid(reterr, "ports", "%zu ports; %u can be published at most", spec->n_ports,
                             NETWORK_PORTS_MAX);
    for (size_t i = 0; i < spec->n_ports; i++) {
        char field[40];
        (void) snprintf(field, sizeof(field), "ports[%zu]", i);
        if (spec->ports[i].host_port == 0 || spec->ports[i].container_port == 0)
            return error_invalid(reterr, field, "there is no port 0");
    }
    return network_rates_check(&spec->rates, reterr);
}

/*
 * To forward, the host has to be a router, which is for its administrator to decide: with net.ipv4.ip_forward it routes
 * between all of its interfaces, not only from and to the bridge.
 */
static int check_forwarding(NetworkHost *h, const NetworkSpec *spec, Error *reterr) {
    int on = 0;
    const char *who =
        h->config.masquerade ? "network-masquerade is configured" : "a port is published for other hosts than this one";
    if (!h->config.masquerade && !ports_need_forwarding(spec->ports, spec->n_ports))
        return 0;
    int r = sysctl_get("ipv4/ip_forward", &on);
    if (r < 0)
        return network_unavailable(NULL, -r, "net.ipv4.ip_forward cannot be read", reterr);
    if (on)
        return 0;
    return error_set(
        reterr, ERROR_LIMIT_UNAVAILABLE, EHOSTUNREACH, "network",
        "%s, but this host forwards nothing: run `sysctl -w net.ipv4.ip_forward=1`, with a firewall if it "
        "has several networks, or %s",
        who, h->config.masquerade ? "turn network-masquerade off" : "publish on 127.0.0.1, for this host alone");
}

/* Everything of M that is in the kernel; goes on after a failure and returns the first. */
static int member_remove(NetworkHost *h, const Member *m, Error *reterr) {
    static const char *const prefixes[] = { NETWORK_NAME_HOST, NETWORK_NAME_SHAPED };
    int result = 0;
    for (size_t i = 0; i < ELEMENTSOF(prefixes); i++) {
        char name[IFNAMSIZ];
        (void) snprintf(name, sizeof(name), "%s%s", prefixes[i], m->id);
        int r = interface_delete(&h->route, name);
        if (r < 0 && result == 0)
            result = network_unavailable(&h->route, -r, "the container's interface cannot be removed", reterr);
    }
    int r = h->bridge_index > 0 ? interface_remove_neighbour(&h->route, h->bridge_index, m->address) : 0;
    if (r < 0 && result == 0)
        result = network_unavailable(&h->route, -r, "the container's neighbour entry cannot be removed", reterr);
    r = filter_remove(h, m, result == 0 ? reterr : NULL);
    return result < 0 ? result : r;
}

/* ---- create ---- */

static int open_namespace(pid_t pid, Error *reterr) {
    char path[32];
    struct stat theirs, ours;
    (void) snprintf(path, sizeof(path), "/proc/%d/ns/net", pid);
    _cleanup_fd_ int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &theirs) < 0 || stat("/proc/thread-self/ns/net", &ours) < 0)
        return network_unavailable(NULL, errno, "the container's network namespace cannot be opened", reterr);
    if (theirs.st_ino == ours.st_ino && theirs.st_dev == ours.st_dev)
        return network_unavailable(NULL, EINVAL, "the container has the host's network namespace", reterr);
    return TAKE_FD(fd);
}

static int endpoint_new(NetworkHost *h, const char *id, int index, int *namespace_fd, NetworkEndpoint **ret) {
    NetworkEndpoint *e = calloc(1, sizeof(NetworkEndpoint));
    if (!e)
        return -ENOMEM;
    *e = (NetworkEndpoint){ .host = h, .index = index, .namespace_fd = -EBADF };
    (void) snprintf(e->id, sizeof(e->id), "%s", id);
    (void) pthread_mutex_lock(&h->quick);
    int r = statistics_add(&h->table, e);
    (void) pthread_mutex_unlock(&h->quick);
    if (r < 0) {
        free(e);
        return r;
    }
    e->namespace_fd = TAKE_FD(*namespace_fd);
    *ret = e;
    return 0;
}

/* What the bridge has to let through for these ports. Never turned off again: it goes with the bridge. */
static int open_bridge(NetworkHost *h, const Member *m, Error *reterr) {
    int r = 0;
    if (h->config.masquerade || ports_need_forwarding(m->ports, m->n_ports))
        r = bridge_set(h, "forwarding", 1, reterr);
    /*
     * A connection to 127.0.0.1 that is forwarded to a container leaves by the bridge with a source of 127.0.0.1 until
     * it is translated, and so does the answer when it comes back; the kernel takes either for an error unless told
     * otherwise. A container cannot use this: the filter lets nothing pass from it to the host but answers.
     */
    if (r >= 0 && ports_need_loopback(m->ports, m->n_ports))
        r = bridge_set(h, "route_localnet", 1, reterr);
    return r;
}

/* What every container needs before it has an interface. */
static int prepare(NetworkHost *h, Member *m, const NetworkSpec *spec, bool running, Error *reterr) {
    int r = running ? 0 : check_forwarding(h, spec, reterr);
    if (r >= 0)
        r = ports_reserve(m->ports, m->n_ports, running, m->port_fds, reterr);
    if (r >= 0)
        r = ensure(h, reterr);
    if (r >= 0)
        r = open_bridge(h, m, reterr);
    return r < 0 ? r : filter_add(h, m, reterr);
}

static int connect_new(NetworkHost *h, const Member *m, const NetworkRates *rates, int namespace_fd, int *ret_index,
                       Error *reterr) {
    _cleanup_(netlink_close) NetlinkSocket inside = NETLINK_SOCKET_INIT;
    int r = veth_create(h, m, namespace_fd, ret_index, reterr);
    if (r >= 0)
        r = veth_configure_inside(h, m, namespace_fd, &inside, reterr);
    if (r >= 0 && (rates->in != NETWORK_RATE_NONE || rates->out != NETWORK_RATE_NONE))
        r = shaping_set(h, m->id, *ret_index, rates, reterr);
    if (r >= 0)
        r = veth_attach(h, m, *ret_index, reterr);
    return r < 0 ? r : veth_wait(h, m, &inside, reterr);
}

static int create(NetworkHost *h, Member *m, pid_t pid, const NetworkSpec *spec, NetworkEndpoint **ret, Error *reterr) {
    int index = 0;
    _cleanup_fd_ int namespace_fd = open_namespace(pid, reterr);
    if (namespace_fd < 0)
        return namespace_fd;
    int r = prepare(h, m, spec, false, reterr);
    if (r >= 0)
        r = connect_new(h, m, &spec->rates, namespace_fd, &index, reterr);
    if (r < 0)
        return r;
    r = endpoint_new(h, m->id, index, &namespace_fd, ret);
    return r < 0 ? network_unavailable(NULL, -r, "the container's network", reterr) : 0;
}

static int create_locked(NetworkHost *h, const char *id, pid_t pid, const NetworkSpec *spec, NetworkEndpoint **ret,
                         Error *reterr) {
    _cleanup_(member_freep) Member *m = NULL;
    if (*member_place(h, id))
        return error_failed(reterr, EEXIST, "network", "the container %s has a network already", id);
    int r = member_new(id, spec, &m);
    if (r < 0)
        return network_unavailable(NULL, -r, "the container's network", reterr);
    r = create(h, m, pid, spec, ret, reterr);
    if (r < 0) {
        if (h->locked) {
            (void) member_remove(h, m, NULL);
            (void) remove_if_empty(h, NULL);
        }
        return r;
    }
    m->next = h->members;
    h->members = TAKE_PTR(m);
    return 0;
}

int network_endpoint_create(NetworkHost *h, const char *id, pid_t pid, const NetworkSpec *spec, NetworkEndpoint **ret,
                            Error *reterr) {
    int r = check_spec(id, spec, reterr);
    if (r < 0)
        return r;
    (void) pthread_mutex_lock(&h->work);
    r = create_locked(h, id, pid, spec, ret, reterr);
    (void) pthread_mutex_unlock(&h->work);
    return r;
}

/* ---- open ---- */

static int reconnect(NetworkHost *h, const Member *m, int *ret_index, Error *reterr) {
    char name[IFNAMSIZ];
    Interface i;
    (void) snprintf(name, sizeof(name), NETWORK_NAME_HOST "%s", m->id);
    int r = interface_find(&h->route, name, &i);
    if (r >= 0 && i.group != h->group)
        r = -EXDEV;
    if (r >= 0 && i.master != h->bridge_index)
        r = interface_set_master(&h->route, i.index, h->bridge_index);
    if (r < 0)
        return network_unavailable(&h->route, -r, "the container's interface cannot be taken over", reterr);
    *ret_index = i.index;
    return veth_attach(h, m, i.index, reterr);
}

static int open_locked(NetworkHost *h, const char *id, pid_t pid, const NetworkSpec *spec, NetworkEndpoint **ret,
                       Error *reterr) {
    _cleanup_(member_freep) Member *new = NULL;
    /* Where it cannot be had the last counts will be those of the last dump. */
    _cleanup_fd_ int namespace_fd = open_namespace(pid, NULL);
    Member *m = *member_place(h, id);
    int index = 0, r = 0;
    if (!m) {
        r = member_new(id, spec, &new);
        if (r < 0)
            return network_unavailable(NULL, -r, "the container's network", reterr);
        m = new;
        r = prepare(h, m, spec, true, reterr);
    }
    if (r >= 0)
        r = reconnect(h, m, &index, reterr);
    if (r < 0)
        return r;
    r = endpoint_new(h, id, index, &namespace_fd, ret);
    if (r < 0)
        return network_unavailable(NULL, -r, "the container's network", reterr);
    if (new) {
        new->next = h->members;
        h->members = TAKE_PTR(new);
    }
    return 0;
}

int network_endpoint_open(NetworkHost *h, const char *id, pid_t pid, const NetworkSpec *spec, NetworkEndpoint **ret,
                          Error *reterr) {
    int r = check_spec(id, spec, reterr);
    if (r < 0)
        return r;
    (void) pthread_mutex_lock(&h->work);
    r = open_locked(h, id, pid, spec, ret, reterr);
    (void) pthread_mutex_unlock(&h->work);
    return r;
}

NetworkEndpoint *network_endpoint_free(NetworkEndpoint *e) {
    if (!e)
        return NULL;
    (void) pthread_mutex_lock(&e->host->quick);
    statistics_remove(&e->host->table, e);
    (void) pthread_mutex_unlock(&e->host->quick);
    (void) fd_close(e->namespace_fd);
    free(e);
    return NULL;
}

/* ---- rates ---- */

static int check_rate(uint64_t rate, const char *field, Error *reterr) {
    if (rate == NETWORK_RATE_NONE || (rate >= NETWORK_RATE_MIN && rate <= NETWORK_RATE_MAX))
        return 0;
    return error_invalid(reterr, field, "%llu bits per second; it can be from %llu to %llu", (unsigned long long) rate,
                         NETWORK_RATE_MIN, NETWORK_RATE_MAX);
}

int network_rates_check(const NetworkRates *r, Error *reterr) {
    int k = check_rate(r->in, "limits.netRateIn", reterr);
    return k < 0 ? k : check_rate(r->out, "limits.netRateOut", reterr);
}

int network_endpoint_set_rates(NetworkEndpoint *e, const NetworkRates *rates, Error *reterr) {
    NetworkHost *h = e->host;
    int r = network_rates_check(rates, reterr);
    if (r < 0)
        return r;
    (void) pthread_mutex_lock(&h->work);
    r = shaping_set(h, e->id, e->index, rates, reterr);
    (void) pthread_mutex_unlock(&h->work);
    return r;
}

/* ---- remove ---- */

static bool same_place(const NetworkPort *a, const NetworkPort *b) {
    return a->host_address == b->host_address && a->host_port == b->host_port && a->udp == b->udp;
}

/* A port that M had once may have gone to a container of now. */
static void forget_ports_of_others(NetworkHost *h, Member *m) {
    size_t n = 0;
    for (size_t i = 0; i < m->n_ports; i++) {
        bool taken = false;
        for (const Member *o = h->members; o && !taken; o = o->next)
            for (size_t k = 0; k < o->n_ports; k++)
                taken |= same_place(&m->ports[i], &o->ports[k]);
        if (!taken)
            m->ports[n++] = m->ports[i];
    }
    m->n_ports = n;
}

/* One that this daemon has neither made nor opened: a failed start, or what a recovery found. 0 if nothing is ours. */
static int find_stranger(NetworkHost *h, const char *id, const NetworkSpec *spec, Member **ret, Error *reterr) {
    int r = take_lock(h, reterr);
    if (r <= 0)
        return r;
    r = member_new(id, spec, ret);
    if (r < 0)
        return network_unavailable(NULL, -r, "the container's network", reterr);
    forget_ports_of_others(h, *ret);
    return 1;
}

static int remove_locked(NetworkHost *h, const char *id, const NetworkSpec *spec, Error *reterr) {
    _cleanup_(member_freep) Member *gone = NULL;
    Member **place = member_place(h, id);
    int r = *place ? 1 : find_stranger(h, id, spec, &gone, reterr);
    if (r <= 0)
        return r;
    r = member_remove(h, *place ? *place : gone, reterr);
    if (r < 0)
        return r;
    if (*place) {
        gone = *place;
        *place = gone->next;
    }
    return remove_if_empty(h, reterr);
}

int network_endpoint_remove(NetworkHost *h, const char *id, const NetworkSpec *spec, Error *reterr) {
    int r = check_id(id, reterr);
    if (r < 0)
        return r;
    (void) pthread_mutex_lock(&h->work);
    r = remove_locked(h, id, spec, reterr);
    (void) pthread_mutex_unlock(&h->work);
    return r;
}

/* ---- recovery ---- */

typedef struct Leftovers {
    const NetworkHost *host;
    const char *const *ids;
    size_t n_ids;
    char (*names)[IFNAMSIZ];
    size_t n;
} Leftovers;

static int compare_ids(const void *a, const void *b) {
    return strcmp(a, *(const char *const *) b);
}

static int note_leftover(const Interface *i, void *userdata) {
    Leftovers *l = userdata;
    bool ours = strncmp(i->name, NETWORK_NAME_HOST, 2) == 0 || strncmp(i->name, NETWORK_NAME_SHAPED, 2) == 0;
    if (i->group != l->host->group || !ours ||
        (l->n_ids > 0 && bsearch(i->name + 2, l->ids, l->n_ids, sizeof(char *), compare_ids)))
        return 0;
    char(*names)[IFNAMSIZ] = reallocarray(l->names, l->n + 1, IFNAMSIZ);
    if (!names)
        return -ENOMEM;
    l->names = names;
    memcpy(l->names[l->n++], i->name, IFNAMSIZ);
    return 0;
}

static int remove_leftovers(NetworkHost *h, const char *const *ids, size_t n, Error *reterr) {
    Leftovers l = { .host = h, .ids = ids, .n_ids = n };
    int r = interface_list(&h->route, 0, note_leftover, &l);
    for (size_t i = 0; i < l.n && r >= 0; i++)
        r = interface_delete(&h->route, l.names[i]);
    free(l.names);
    return r < 0 ? network_unavailable(&h->route, -r, "what an earlier daemon left cannot be removed", reterr) : 0;
}

static int recover_locked(NetworkHost *h, const char *const *ids, size_t n, Error *reterr) {
    Interface i;
    int r = take_lock(h, reterr);
    if (r <= 0)
        return r;
    /* Nobody has to have nftables who has no bridge. */
    r = interface_find(&h->route, h->config.bridge, &i);
    if (r == -ENODEV || (r >= 0 && i.group != h->group)) {
        give_back_lock(h);
        return 0;
    }
    r = remove_leftovers(h, ids, n, reterr);
    if (r >= 0)
        r = filter_sweep(h, ids, n, reterr);
    return r < 0 ? r : remove_if_empty(h, reterr);
}

int network_host_recover(NetworkHost *h, const char *const *ids, size_t n, Error *reterr) {
    (void) pthread_mutex_lock(&h->work);
    int r = recover_locked(h, ids, n, reterr);
    (void) pthread_mutex_unlock(&h->work);
    return r;
}

/* ---- addresses ---- */

int network_address_take(NetworkHost *h, uint32_t *ret) {
    (void) pthread_mutex_lock(&h->quick);
    int r = pool_take(&h->pool, ret);
    (void) pthread_mutex_unlock(&h->quick);
    return r;
}

int network_address_take_again(NetworkHost *h, uint32_t address) {
    (void) pthread_mutex_lock(&h->quick);
    int r = pool_take_again(&h->pool, address);
    (void) pthread_mutex_unlock(&h->quick);
    return r;
}

void network_address_give_back(NetworkHost *h, uint32_t address) {
    (void) pthread_mutex_lock(&h->quick);
    pool_give_back(&h->pool, address);
    (void) pthread_mutex_unlock(&h->quick);
}
