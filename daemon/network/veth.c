/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The pair of interfaces between a container and the bridge.
 *
 * The container's end is born in the container's namespace. The host's end is down until everything about it is
 * settled: group, by which the filter knows it, from the first instant; no IPv6 of its own; a port that is isolated,
 * learns nothing and floods nothing, so that a container gets only what is sent to its own MAC.
 *
 * Trust: whoever is in the namespace later may do with its end what it likes, rename, readdress, remove it. Nothing
 * here relies on that end once the container runs.
 */

#include "network/internal.h"

#include <fcntl.h>
#include <linux/if_bridge.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <netlink/route/link.h>
#include <netlink/route/link/veth.h>
#include <sched.h>
#include <string.h>
#include <sys/stat.h>

#define WAIT_USEC  1000U
#define WAIT_TRIES 5000U /* the kernel gathers such changes for a second */

static struct rtnl_link *link_put(struct rtnl_link *l) {
    rtnl_link_put(l);
    return NULL;
}
DEFINE_CLEANUP(struct rtnl_link, link_put)

static int set_mac(struct rtnl_link *link, const uint8_t *mac) {
    struct nl_addr *a = nl_addr_build(AF_LLC, mac, NETWORK_MAC_LENGTH);
    if (!a)
        return -ENOMEM;
    rtnl_link_set_addr(link, a);
    nl_addr_put(a);
    return 0;
}

static int pair_message(NetworkHost *h, const Member *m, int namespace_fd, struct nl_msg **ret) {
    _cleanup_(link_putp) struct rtnl_link *link = rtnl_link_veth_alloc();
    uint8_t outer[NETWORK_MAC_LENGTH], inner[NETWORK_MAC_LENGTH];
    char name[IFNAMSIZ];
    if (!link)
        return -ENOMEM;
    network_mac(m->address, true, outer);
    network_mac(m->address, false, inner);
    (void) snprintf(name, sizeof(name), NETWORK_NAME_HOST "%s", m->id);
    rtnl_link_set_name(link, name);
    rtnl_link_set_group(link, h->group);
    rtnl_link_set_master(link, h->bridge_index);
    struct rtnl_link *peer = rtnl_link_veth_get_peer(link);
    rtnl_link_set_name(peer, NETWORK_NAME_INSIDE);
    rtnl_link_set_ns_fd(peer, namespace_fd);
    int r = set_mac(link, outer);
    if (r >= 0)
        r = set_mac(peer, inner);
    link_put(peer); /* a reference of our own; the pair keeps the other */
    if (r < 0)
        return r;
    return rtnl_link_build_add_request(link, NLM_F_CREATE | NLM_F_EXCL, ret) < 0 ? -ENOMEM : 0;
}

int veth_create(NetworkHost *h, const Member *m, int namespace_fd, int *ret_index, Error *reterr) {
    struct nl_msg *message = NULL;
    char name[IFNAMSIZ];
    Interface i;
    (void) snprintf(name, sizeof(name), NETWORK_NAME_HOST "%s", m->id);
    int r = pair_message(h, m, namespace_fd, &message);
    if (r >= 0)
        r = netlink_request(&h->route, message, NULL, NULL);
    if (r >= 0)
        r = interface_find(&h->route, name, &i);
    if (r < 0)
        return network_unavailable(&h->route, -r, "the container's interface cannot be made", reterr);
    *ret_index = i.index;
    return 0;
}

/* ---- the host's end ---- */

static int set_port(NetworkHost *h, int index) {
    static const struct {
        int attribute;
        uint8_t value;
    } flags[] = {
        { IFLA_BRPORT_ISOLATED, 1 },       { IFLA_BRPORT_LEARNING, 0 },    { IFLA_BRPORT_UNICAST_FLOOD, 0 },
        { IFLA_BRPORT_MCAST_FLOOD, 0 },    { IFLA_BRPORT_BCAST_FLOOD, 0 }, { IFLA_BRPORT_GUARD, 1 },
        { IFLA_BRPORT_NEIGH_SUPPRESS, 0 },
    };
    struct ifinfomsg info = { .ifi_family = AF_BRIDGE, .ifi_index = index };
    struct nl_msg *m = netlink_message(RTM_SETLINK, 0, &info, sizeof(info));
    struct nlattr *port = m ? nla_nest_start(m, IFLA_PROTINFO | NLA_F_NESTED) : NULL;
    int put = port ? 0 : -1;
    for (size_t i = 0; put >= 0 && i < ELEMENTSOF(flags); i++)
        put |= nla_put_u8(m, flags[i].attribute, flags[i].value);
    if (port)
        (void) nla_nest_end(m, port);
    return netlink_change(&h->route, m, put);
}

/* What the container's safety hangs on must be so, whatever the kernel has answered. */
static int check_port(NetworkHost *h, const char *name, Error *reterr) {
    Interface i;
    int r = interface_find(&h->route, name, &i);
    if (r < 0)
        return network_unavailable(&h->route, -r, "the container's interface has gone", reterr);
    if (i.master != h->bridge_index || i.group != h->group || !i.isolated || i.learning || i.unicast_flood ||
        i.multicast_flood || i.broadcast_flood || !(i.flags & IFF_UP))
        return network_unavailable(NULL, EOPNOTSUPP, "the kernel does not isolate the ports of a bridge", reterr);
    return 0;
}

int veth_attach(NetworkHost *h, const Member *m, int index, Error *reterr) {
    uint8_t inner[NETWORK_MAC_LENGTH];
    char name[IFNAMSIZ];
    network_mac(m->address, false, inner);
    (void) snprintf(name, sizeof(name), NETWORK_NAME_HOST "%s", m->id);
    int r = sysctl_set("ipv6", name, "disable_ipv6", 1);
    if (r >= 0)
        r = set_port(h, index);
    if (r >= 0)
        r = interface_add_forwarding(&h->route, index, inner);
    if (r >= 0)
        r = interface_add_neighbour(&h->route, h->bridge_index, m->address, inner);
    if (r >= 0)
        r = interface_up(&h->route, index);
    if (r < 0)
        return network_unavailable(&h->route, -r, "the container's interface cannot be attached to the bridge", reterr);
    return check_port(h, name, reterr);
}

/* ---- the container's end ---- */

/*
 * `default` is for interfaces that the container makes itself. `all`'s disable_ipv6 is left alone: it would change lo,
 * where IPv6 stays. What has the right value already is only read.
 */
static const struct {
    const char *family, *interface, *name;
    int value;
} settings[] = {
    { "ipv6", "all", "accept_ra", 0 },
    { "ipv6", "all", "accept_redirects", 0 },
    { "ipv6", "default", "disable_ipv6", 1 },
    { "ipv6", "default", "accept_ra", 0 },
    { "ipv6", "default", "autoconf", 0 },
    { "ipv6", "default", "accept_redirects", 0 },
    { "ipv6", NETWORK_NAME_INSIDE, "disable_ipv6", 1 },
    { "ipv6", NETWORK_NAME_INSIDE, "accept_ra", 0 },
    { "ipv6", NETWORK_NAME_INSIDE, "autoconf", 0 },
    { "ipv6", NETWORK_NAME_INSIDE, "accept_redirects", 0 },
    { "ipv6", "lo", "disable_ipv6", 0 },
    { "ipv4", "all", "accept_redirects", 0 },
    { "ipv4", "all", "send_redirects", 0 },
    { "ipv4", NETWORK_NAME_INSIDE, "accept_redirects", 0 },
    { "ipv4", NETWORK_NAME_INSIDE, "secure_redirects", 0 },
    { "ipv4", NETWORK_NAME_INSIDE, "send_redirects", 0 },
    { "ipv4", NETWORK_NAME_INSIDE, "accept_source_route", 0 },
};

typedef struct Inside {
    const NetworkHost *host;
    const Member *member;
    int namespace_fd;
    NetlinkSocket socket;
    char what[64]; /* the step under way, for the error */
    int result;
} Inside;

static int enter(Inside *in) {
    struct stat wanted, got;
    (void) snprintf(in->what, sizeof(in->what), "the container's namespace cannot be entered");
    if (setns(in->namespace_fd, CLONE_NEWNET) < 0)
        return -errno;
    if (fstat(in->namespace_fd, &wanted) < 0 || stat("/proc/thread-self/ns/net", &got) < 0)
        return -errno;
    return wanted.st_ino == got.st_ino && wanted.st_dev == got.st_dev ? 0 : -EXDEV;
}

static int set_sysctls(Inside *in) {
    for (size_t i = 0; i < ELEMENTSOF(settings); i++) {
        (void) snprintf(in->what, sizeof(in->what), "net.%s.conf.%s.%s cannot be set to %d", settings[i].family,
                        settings[i].interface, settings[i].name, settings[i].value);
        int r = sysctl_set(settings[i].family, settings[i].interface, settings[i].name, settings[i].value);
        if (r < 0)
            return r;
    }
    return 0;
}

static int set_addresses(Inside *in) {
    NetlinkSocket *s = &in->socket;
    Interface loopback, i;
    (void) snprintf(in->what, sizeof(in->what), "the container's interface cannot be configured");
    int r = netlink_open(s);
    if (r >= 0)
        r = interface_find(s, "lo", &loopback);
    if (r >= 0)
        r = interface_up(s, loopback.index);
    if (r >= 0)
        r = interface_find(s, NETWORK_NAME_INSIDE, &i);
    if (r >= 0)
        r = interface_up(s, i.index);
    /* A network of one: whoever wants anything asks the gateway, whose MAC is known, and nobody asks by ARP. */
    if (r >= 0)
        r = interface_add_address(s, i.index, in->member->address, 32);
    if (r >= 0)
        r = interface_add_neighbour(s, i.index, in->host->gateway, in->host->mac);
    if (r >= 0)
        r = interface_add_gateway(s, i.index, in->host->gateway);
    return r;
}

/* A thread that has entered a container's namespace does nothing else any more: it cannot forget to come back. */
static void *run_inside(void *userdata) {
    Inside *in = userdata;
    in->result = enter(in);
    if (in->result >= 0)
        in->result = set_sysctls(in);
    if (in->result >= 0)
        in->result = set_addresses(in);
    return NULL;
}

int veth_configure_inside(NetworkHost *h, const Member *m, int namespace_fd, NetlinkSocket *ret_inside, Error *reterr) {
    Inside in = { .host = h, .member = m, .namespace_fd = namespace_fd, .socket = NETLINK_SOCKET_INIT };
    pthread_t thread;
    int r = pthread_create(&thread, NULL, run_inside, &in);
    if (r != 0)
        return network_unavailable(NULL, r, "no thread can be made", reterr);
    (void) pthread_join(thread, NULL);
    if (in.result >= 0) {
        *ret_inside = in.socket;
        return 0;
    }
    r = network_unavailable(&in.socket, -in.result, in.what, reterr);
    netlink_close(&in.socket);
    return r;
}

/* ---- both ---- */

/* 1 if it is so, 0 if not yet. */
static int is_passing(NetworkHost *h, const char *name, NetlinkSocket *inside) {
    Interface outer, bridge, inner;
    int r = interface_find(&h->route, name, &outer);
    if (r >= 0)
        r = interface_find(inside, NETWORK_NAME_INSIDE, &inner);
    if (r >= 0)
        r = interface_find(&h->route, h->config.bridge, &bridge);
    if (r < 0)
        return r;
    return outer.running && outer.port_state == BR_STATE_FORWARDING && inner.running && bridge.running;
}

/*
 * The kernel turns a link on, then the port, then the bridge, in a work queue of its own; asking hurries it from 6.9
 * on.
 */
int veth_wait(NetworkHost *h, const Member *m, NetlinkSocket *inside, Error *reterr) {
    char name[IFNAMSIZ];
    (void) snprintf(name, sizeof(name), NETWORK_NAME_HOST "%s", m->id);
    for (unsigned i = 0; i < WAIT_TRIES; i++) {
        int r = is_passing(h, name, inside);
        if (r < 0)
            return network_unavailable(&h->route, -r, "the container's interface has gone", reterr);
        if (r > 0)
            return 0;
        (void) usleep(WAIT_USEC);
    }
    return network_unavailable(NULL, ETIMEDOUT, "the container's interface does not come up", reterr);
}
