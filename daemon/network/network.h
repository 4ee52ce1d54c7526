/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Networks of containers: a bridge of the daemon's own, and on it one veth pair for each container.
 *
 * The host's end is called kv<id>, so that whose it is can be read off the kernel after any accident; the container's
 * end is eth0. The bridge's ports are isolated from each other, and nftables tables of the bridge's own drop everything
 * that is not allowed by name: a port may send whole IPv4 packets from its own MAC and address to the bridge's MAC;
 * nothing of IPv6, and no ARP, which permanent neighbour entries on both sides make needless. From container to host
 * nothing passes, but answers to what the host began. Outbound traffic passes only if the configuration wants it,
 * masqueraded. What is published is forwarded by destination NAT, from everywhere but the bridge. Where a firewall of
 * the host's drops what ours accepts, it stays dropped.
 *
 * The bridge and the table are made when the first container needs them and go with the last.
 *
 * Trust: the container's end, the namespace behind it and every byte from there are hostile. Nothing is decided on what
 * the container can change: addresses are ours, statistics are read at the host's end.
 *
 * Threads: workers may use one NetworkHost at a time with each other and with the loop; it has a lock of its own.
 */

#include "kennel/error.h"

#include <net/if.h>
#include <sys/types.h>

#define NETWORK_RATE_NONE UINT64_MAX
#define NETWORK_RATE_MIN  8000ULL          /* bits per second: a kilobyte */
#define NETWORK_RATE_MAX  1000000000000ULL /* a terabit */
#define NETWORK_PORTS_MAX 64U
#define NETWORK_ID_MAX    12U

/* Addresses are IPv4, in the host's byte order. */
typedef struct NetworkPool {
    uint32_t address; /* of the network */
    unsigned prefix;  /* 8 to 29 */
} NetworkPool;

typedef struct NetworkConfig {
    char bridge
        [IFNAMSIZ]; /* name of the bridge and of the table; no two daemons may have the same: see network_host_new() */
    NetworkPool pool; /* the first address is the bridge's, the others are given to containers */
    bool masquerade;  /* containers may reach the outside */
} NetworkConfig;

#define NETWORK_CONFIG_INIT ((NetworkConfig){ .bridge = "kennel0", .pool = { 0x0AD50000, 20 } }) /* 10.213.0.0/20 */

/* As container's: `in` is what it receives. Bits per second, NETWORK_RATE_NONE where there is no limit. */
typedef struct NetworkRates {
    uint64_t in, out;
} NetworkRates;

#define NETWORK_RATES_NONE ((NetworkRates){ NETWORK_RATE_NONE, NETWORK_RATE_NONE })

typedef struct NetworkPort {
    uint32_t host_address; /* 0: every address of the host's, loopback included */
    uint16_t host_port, container_port;
    bool udp;
} NetworkPort;

/* What one container has. */
typedef struct NetworkSpec {
    uint32_t address; /* from network_address_take() */
    NetworkPort *ports;
    size_t n_ports;
    NetworkRates rates;
} NetworkSpec;

/*
 * Cumulative, of the container's interface, in the container's directions, counted at the host's end: Ethernet frames
 * with their headers, a large segment that the kernel did not cut up as one packet.
 *
 * What the filter drops the container has sent, and counts as out. `in_dropped` is what came as far as the pair and was
 * lost there: the container's end is down, or its queue is full. What waits in vain for a rate is not in these numbers;
 * towards the container it does not count as received either, from the container it counts as sent.
 */
typedef struct NetworkUsage {
    uint64_t in_bytes, in_packets, in_errors, in_dropped;
    uint64_t out_bytes, out_packets, out_errors, out_dropped;
} NetworkUsage;

typedef struct NetworkHost NetworkHost;
typedef struct NetworkEndpoint NetworkEndpoint;

/*
 * Touches nothing in the kernel; a host on which nobody wants a bridge never sees one. SHARED_FD is a file that all
 * daemons of the host have in common (cgroup_hierarchies_shared_fd()): a lock on a byte of it, chosen by the bridge's
 * name, keeps two daemons from using one bridge. The lock is taken with the first container, or by a recovery that
 * finds some, and given back with the last: who comes second is told so when it starts a container
 * (ERROR_LIMIT_UNAVAILABLE). Succeeds also where the kernel lacks bridges or nftables: network_host_missing().
 */
int network_host_new(const NetworkConfig *config, int shared_fd, NetworkHost **ret, Error *reterr);
/* Removes bridge and table if no container is on it any more. */
NetworkHost *network_host_free(NetworkHost *h);
DEFINE_CLEANUP(NetworkHost, network_host_free)
/* The bridge's own address, which is the containers' gateway. */
uint32_t network_host_gateway(const NetworkHost *h);
/*
 * Why there can be no bridge, for a person; NULL if there can. The first call tries it, in a network namespace of its
 * own, which takes some 10 ms. Says nothing of rates: what these need is named when one is set.
 */
const char *network_host_missing(NetworkHost *h);

/* ERROR_INVALID_SPEC "limits.netRateIn" and "limits.netRateOut" with the range. */
int network_rates_check(const NetworkRates *r, Error *reterr);

/* An address of the pool that no container has. -ENOSPC: all are taken. No system calls: for the loop. */
int network_address_take(NetworkHost *h, uint32_t *ret);
/*
 * For a container of an earlier daemon, which has had it all along; -EADDRNOTAVAIL if it is not of this pool,
 * -EADDRINUSE if it is taken already.
 */
int network_address_take_again(NetworkHost *h, uint32_t address);
void network_address_give_back(NetworkHost *h, uint32_t address);

/*
 * Makes sure of bridge and table, reserves the published ports on the host (ERROR_INVALID_SPEC "ports[1].host" if one
 * is in use), makes the veth pair into the network namespace of process PID, which has not run anything yet, configures
 * both ends, the sysctls in there (no router advertisements, no redirects, no IPv6), the filter and the rates, and
 * reads back what matters. Returns when frames pass. ID is the container's, 12 hexadecimal digits. On failure nothing
 * is left. Blocks.
 *
 * ERROR_LIMIT_UNAVAILABLE "network": another daemon has the bridge; the pool overlaps a route or an address of the
 * host's; net.ipv4.ip_forward is off, which masquerading and ports that other hosts may reach need and nobody here
 * turns on.
 */
int network_endpoint_create(NetworkHost *h, const char *id, pid_t pid, const NetworkSpec *spec, NetworkEndpoint **ret,
                            Error *reterr);
/*
 * That of a container that a former daemon started and that still runs as PID; puts back what is missing of filter and
 * ports. A port that a program of the host has taken meanwhile stays forwarded, but is not reserved.
 */
int network_endpoint_open(NetworkHost *h, const char *id, pid_t pid, const NetworkSpec *spec, NetworkEndpoint **ret,
                          Error *reterr);
/*
 * Closes; removes nothing. The ports stay reserved until network_endpoint_remove() or network_host_free(), because they
 * stay forwarded as long. While it is open it holds the network namespace, so that the interface's last counts can be
 * read when the container has ended (unless the container has deleted its interface).
 */
NetworkEndpoint *network_endpoint_free(NetworkEndpoint *e);
DEFINE_CLEANUP(NetworkEndpoint, network_endpoint_free)

/* Of a running container, in place of the former ones; read back. Blocks. */
int network_endpoint_set_rates(NetworkEndpoint *e, const NetworkRates *rates, Error *reterr);

/*
 * Removes what network_endpoint_create() made for the container ID, however far it came, and bridge and table with the
 * last one. Succeeds if there is nothing. No NetworkEndpoint of it may be open. Blocks.
 */
int network_endpoint_remove(NetworkHost *h, const char *id, const NetworkSpec *spec, Error *reterr);

/* Removes what an earlier daemon left for containers that are none of the N (sorted) IDS. Blocks; before the loop runs. */
int network_host_recover(NetworkHost *h, const char *const *ids, size_t n, Error *reterr);

/*
 * One dump of all interfaces' statistics, kept until the next one: what network_endpoint_usage() answers from. A tick
 * of the sampler asks once for all containers. Does not wait for anybody but the kernel; for the loop.
 */
int network_host_read(NetworkHost *h);
/* false: the interface was not in the last dump. */
bool network_endpoint_usage(NetworkEndpoint *e, NetworkUsage *ret);
/* This interface alone, asked of the kernel now: the final count of a container that has ended. For workers. */
int network_endpoint_read(NetworkEndpoint *e, NetworkUsage *ret);
