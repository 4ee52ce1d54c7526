/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What the files of daemon/network share.
 *
 * Two locks. `work` is held by a worker for as long as it talks to the kernel about bridge, filter and interfaces, and
 * guards everything that only workers use. `quick` is held for a few instructions and never over a system call: it
 * guards what the loop uses too, the pool and the table of endpoints. Who holds both has taken `work` first.
 */

#include "network/network.h"

#include <netinet/in.h>
#include <netlink/msg.h>
#include <pthread.h>

#define NETWORK_MAC_LENGTH  6U
#define NETWORK_NAME_HOST   "kv" /* the host's end of the container's veth pair */
#define NETWORK_NAME_SHAPED "kb" /* the ifb device that delays what the container sends */
#define NETWORK_NAME_INSIDE "eth0"

static inline struct nl_msg *network_message_free(struct nl_msg *m) {
    nlmsg_free(m);
    return NULL;
}
DEFINE_CLEANUP(struct nl_msg, network_message_free)

/* ---- netlink.c: requests and answers over rtnetlink ---- */

#define NETLINK_TEXT_MAX 160U

typedef struct NetlinkSocket {
    int fd;
    uint32_t sequence;
    char *buffer;
    char text[NETLINK_TEXT_MAX]; /* what the kernel said about the last error; "" if nothing */
} NetlinkSocket;

#define NETLINK_SOCKET_INIT ((NetlinkSocket){ .fd = -EBADF })

/* Called for each message of an answer; a negative result is that of the request, which is read to its end still. */
typedef int (*NetlinkVisit)(const struct nlmsghdr *message, void *userdata);

/* Of the network namespace that the thread is in, for ever. */
int netlink_open(NetlinkSocket *s);
void netlink_close(NetlinkSocket *s);
/* Sends and waits for the answer, all of it; frees CONSUME_MESSAGE. -ENOMEM if that is NULL. */
int netlink_request(NetlinkSocket *s, struct nl_msg *consume_message, NetlinkVisit visit, void *userdata);
/* As a whole: the kernel skips what changes meanwhile; *RET_INTERRUPTED says that it did. */
int netlink_dump(NetlinkSocket *s, struct nl_msg *consume_message, NetlinkVisit visit, void *userdata,
                 bool *ret_interrupted);

/* A message with its fixed header; NULL: out of memory. */
struct nl_msg *netlink_message(int type, int flags, const void *header, size_t size);
/* netlink_request() without an answer; PUT is what the nla_put_*() returned, or-ed: negative if one did not fit. */
int netlink_change(NetlinkSocket *s, struct nl_msg *consume_message, int put);

/* ---- interface.c: interfaces, and what belongs to them ---- */

typedef struct Interface {
    int index, master;
    uint32_t group;
    unsigned flags; /* IFF_* */
    char name[IFNAMSIZ], kind[16];
    uint8_t mac[NETWORK_MAC_LENGTH];
    bool running;       /* frames can be sent: the kernel says so some time after it has been turned on */
    uint8_t port_state; /* BR_STATE_* */
    bool isolated, learning, unicast_flood, multicast_flood, broadcast_flood; /* as a port of a bridge */
} Interface;

typedef int (*InterfaceVisit)(const Interface *i, void *userdata);

int interface_find(NetlinkSocket *s, const char *name, Interface *ret); /* -ENODEV */
/* Those whose master has the index MASTER; all if it is 0. */
int interface_list(NetlinkSocket *s, int master, InterfaceVisit visit, void *userdata);
int interface_delete(NetlinkSocket *s, const char *name); /* success if there is none */
int interface_up(NetlinkSocket *s, int index);
int interface_set_master(NetlinkSocket *s, int index, int master);
int interface_add_address(NetlinkSocket *s, int index, uint32_t address, unsigned prefix);
int interface_has_address(NetlinkSocket *s, int index, uint32_t address, unsigned prefix); /* 0 or 1 */
/* Permanent, so that nobody has to ask by ARP. */
int interface_add_neighbour(NetlinkSocket *s, int index, uint32_t address, const uint8_t mac[NETWORK_MAC_LENGTH]);
int interface_remove_neighbour(NetlinkSocket *s, int index, uint32_t address); /* success if there is none */
/* Frames for MAC go to the port INDEX of its bridge. */
int interface_add_forwarding(NetlinkSocket *s, int index, const uint8_t mac[NETWORK_MAC_LENGTH]);
int interface_add_gateway(NetlinkSocket *s, int index, uint32_t gateway);
/* Names in RET_TEXT the first address or route that has addresses in common with POOL: 1; 0 if none has. */
int interface_overlap(NetlinkSocket *s, const NetworkPool *pool, int except_index, char *ret_text, size_t size);

/* ---- sysctl.c: /proc/sys/net of the namespace that the thread is in ---- */

/* FAMILY is "ipv4" or "ipv6"; read back. A kernel without IPv6 has nothing to turn off: success. */
int sysctl_set(const char *family, const char *interface, const char *name, int value);
int sysctl_get(const char *path, int *ret); /* below /proc/sys/net */

/* ---- pool.c: addresses, without locks of its own ---- */

typedef struct Pool {
    uint32_t first, n; /* addresses that can be given out */
    uint32_t next;
    uint64_t *taken;
} Pool;

int pool_init(Pool *p, const NetworkPool *config);
void pool_done(Pool *p);
int pool_take(Pool *p, uint32_t *ret);
int pool_take_again(Pool *p, uint32_t address);
void pool_give_back(Pool *p, uint32_t address);
uint32_t pool_mask(const NetworkPool *p);
uint32_t pool_gateway(const NetworkPool *p);

/* ---- ports.c ---- */

/* A bound socket for each of the N ports. With TOLERANT a port that cannot be had is left out. */
int ports_reserve(const NetworkPort *ports, size_t n, bool tolerant, int *ret_fds, Error *reterr);
void ports_release(int *fds, size_t n);
/* Does one of the ports have to be reached from other hosts, or over loopback? */
bool ports_need_forwarding(const NetworkPort *ports, size_t n);
bool ports_need_loopback(const NetworkPort *ports, size_t n);

/* ---- statistics.c ---- */

typedef struct StatisticsTable {
    NetworkEndpoint **items; /* by ifindex */
    size_t n, allocated;
    uint64_t generation; /* of the last dump that was complete */
} StatisticsTable;

int statistics_add(StatisticsTable *t, NetworkEndpoint *e);
void statistics_remove(StatisticsTable *t, const NetworkEndpoint *e);

/* ---- the objects ---- */

/*
 * A container that has, or may have, something in the kernel: from create or open until remove. Its ports stay reserved
 * as long, so that nobody else can bind one that the filter still forwards.
 */
typedef struct Member {
    struct Member *next;
    char id[NETWORK_ID_MAX + 1];
    uint32_t address;
    NetworkPort *ports;
    int *port_fds;
    size_t n_ports;
} Member;

struct NetworkEndpoint {
    NetworkHost *host;
    char id[NETWORK_ID_MAX + 1];
    int index;        /* of the host's end */
    int namespace_fd; /* keeps the interface, and with it its counters, after the container's last process */
    uint64_t generation;
    NetworkUsage usage;
};

struct NetworkHost {
    NetworkConfig config;
    uint32_t gateway; /* the bridge's address */
    uint8_t mac[NETWORK_MAC_LENGTH];
    uint32_t group; /* of every interface of ours on this bridge: what the filter knows them by */

    pthread_mutex_t work;
    int shared_fd;
    bool locked;
    NetlinkSocket route;
    struct nft_ctx *nft;
    bool ready; /* bridge and table have been made, or looked over, by this object */
    int bridge_index;
    Member *members;
    bool probed;
    char missing[ERROR_MESSAGE_MAX];

    pthread_mutex_t quick;
    Pool pool;
    StatisticsTable table;

    NetlinkSocket statistics; /* the loop's alone */
};

/* Locally administered, from the address, so that it tells nothing of the host and is no other container's. */
void network_mac(uint32_t address, bool host_end, uint8_t ret[static NETWORK_MAC_LENGTH]);
/* ERROR_LIMIT_UNAVAILABLE "network", as everything that the host cannot do. */
int network_unavailable(const NetlinkSocket *s, int code, const char *what, Error *reterr);

/* ---- bridge.c: all below with `work` held ---- */

int bridge_ensure(NetworkHost *h, Error *reterr);
int bridge_set(NetworkHost *h, const char *name, int value, Error *reterr); /* one of its net.ipv4.conf */
/* Number of ports, -errno; 0 also if there is no bridge. */
int bridge_count_ports(NetworkHost *h);
int bridge_remove(NetworkHost *h);

/* ---- veth.c ---- */

/* The pair, the host's end on the bridge but down; the container's end as eth0 in NAMESPACE_FD. */
int veth_create(NetworkHost *h, const Member *m, int namespace_fd, int *ret_index, Error *reterr);
/* What makes the host's end a port that neither learns nor floods; then up, and read back. */
int veth_attach(NetworkHost *h, const Member *m, int index, Error *reterr);
/*
 * Addresses, route and sysctls of the container's end, done by a thread that enters the namespace and then ends. What
 * stays is a socket of that namespace.
 */
int veth_configure_inside(NetworkHost *h, const Member *m, int namespace_fd, NetlinkSocket *ret_inside, Error *reterr);
/* Until frames pass in both directions; without it the program's first ones would be lost. */
int veth_wait(NetworkHost *h, const Member *m, NetlinkSocket *inside, Error *reterr);

/* ---- shaping.c ---- */

int shaping_set(NetworkHost *h, const char *id, int index, const NetworkRates *rates, Error *reterr);

/* ---- filter.c ---- */

int filter_ensure(NetworkHost *h, Error *reterr);
/* If someone has removed the table meanwhile, it is made again with all that the members need. */
int filter_add(NetworkHost *h, const Member *m, Error *reterr);
int filter_remove(NetworkHost *h, const Member *m, Error *reterr);
/* Elements of containers that are none of the N sorted IDS. */
int filter_sweep(NetworkHost *h, const char *const *ids, size_t n, Error *reterr);
int filter_drop_table(NetworkHost *h, Error *reterr);
void filter_close(NetworkHost *h);

/* ---- probe.c ---- */

/* Makes one of everything in a network namespace of its own; "" or why that failed. */
void probe_run(const NetworkConfig *config, char *ret_text, size_t size);
