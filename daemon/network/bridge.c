/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The bridge: no spanning tree, no snooping, a MAC and an address of our own.
 *
 * It is in our group of interfaces: a bridge of that name which is not is somebody else's, and is neither used nor
 * removed. A bridge that a former daemon left is taken over if it has this configuration's address, and made anew if it
 * has not and is empty.
 */

#include "network/internal.h"

#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <string.h>

/*
 * Frames to link-local groups (01:80:c2:00:00:03 and on; LLDP is 0e) a bridge hands to programs of the host that listen
 * on the port, and the filter is not asked. As frames to be forwarded they come by the filter, which drops them.
 */
#define LINK_LOCAL 0xFFF8U

/*
 * On the host's side of the bridge. Neighbours are permanent on both sides, so nobody has to ask or to answer by ARP.
 * What is sent to an interface is routed on only with `forwarding`, which the host as a whole has to want too.
 */
static const struct {
    const char *family, *name;
    int value;
} settings[] = {
    { "ipv6", "disable_ipv6", 1 },     { "ipv4", "rp_filter", 1 },      { "ipv4", "accept_redirects", 0 },
    { "ipv4", "secure_redirects", 0 }, { "ipv4", "send_redirects", 0 }, { "ipv4", "accept_source_route", 0 },
    { "ipv4", "proxy_arp", 0 },        { "ipv4", "arp_accept", 0 },     { "ipv4", "arp_ignore", 8 },
};

static int set_any(NetworkHost *h, const char *family, const char *name, int value, Error *reterr) {
    int r = sysctl_set(family, h->config.bridge, name, value);
    if (r < 0)
        return error_set(reterr, ERROR_LIMIT_UNAVAILABLE, -r, "network", "net.%s.conf.%s.%s cannot be set to %d: %s",
                         family, h->config.bridge, name, value, strerror(-r));
    return 0;
}

int bridge_set(NetworkHost *h, const char *name, int value, Error *reterr) {
    return set_any(h, "ipv4", name, value, reterr);
}

static int create(NetworkHost *h, Error *reterr) {
    struct ifinfomsg info = { 0 };
    struct nl_msg *m = netlink_message(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, &info, sizeof(info));
    if (!m)
        return network_unavailable(NULL, ENOMEM, "the bridge", reterr);
    int put = nla_put_string(m, IFLA_IFNAME, h->config.bridge);
    put |= nla_put(m, IFLA_ADDRESS, NETWORK_MAC_LENGTH, h->mac);
    put |= nla_put_u32(m, IFLA_GROUP, h->group);
    struct nlattr *link = nla_nest_start(m, IFLA_LINKINFO);
    put |= nla_put_string(m, IFLA_INFO_KIND, "bridge");
    struct nlattr *data = nla_nest_start(m, IFLA_INFO_DATA);
    put |= nla_put_u32(m, IFLA_BR_STP_STATE, 0);
    put |= nla_put_u32(m, IFLA_BR_FORWARD_DELAY, 0);
    put |= nla_put_u16(m, IFLA_BR_GROUP_FWD_MASK, LINK_LOCAL);
    put |= nla_put_u8(m, IFLA_BR_MCAST_SNOOPING, 0);
    if (!link || !data || put < 0) {
        (void) network_message_free(m);
        return network_unavailable(NULL, ENOMEM, "the bridge", reterr);
    }
    (void) nla_nest_end(m, data);
    (void) nla_nest_end(m, link);
    int r = netlink_change(&h->route, m, put);
    return r < 0 ? network_unavailable(&h->route, -r, "the bridge cannot be made", reterr) : 0;
}

static int check_overlap(NetworkHost *h, int index, Error *reterr) {
    char text[96];
    int r = interface_overlap(&h->route, &h->config.pool, index, text, sizeof(text));
    if (r < 0)
        return network_unavailable(&h->route, -r, "the host's routes cannot be read", reterr);
    if (r == 0)
        return 0;
    uint32_t a = h->config.pool.address;
    return error_set(reterr, ERROR_LIMIT_UNAVAILABLE, EADDRINUSE, "network",
                     "the pool %u.%u.%u.%u/%u overlaps the host's %s; configure another one for containers", a >> 24,
                     a >> 16 & 255, a >> 8 & 255, a & 255, h->config.pool.prefix, text);
}

/* An existing one: 1 if it can be used as it is, 0 if it was removed. */
static int take_over(NetworkHost *h, const Interface *i, Error *reterr) {
    if (strcmp(i->kind, "bridge") != 0 || i->group != h->group)
        return error_set(reterr, ERROR_LIMIT_UNAVAILABLE, EEXIST, "network",
                         "the host has an interface %s that is not Kennel's; configure another name for the bridge",
                         i->name);
    h->bridge_index = i->index;
    int same = interface_has_address(&h->route, i->index, h->gateway, h->config.pool.prefix);
    int ports = same < 0 ? same : bridge_count_ports(h);
    if (ports < 0)
        return network_unavailable(&h->route, -ports, "the bridge cannot be looked at", reterr);
    if (same && memcmp(i->mac, h->mac, NETWORK_MAC_LENGTH) == 0)
        return 1;
    if (ports > 0)
        return error_set(reterr, ERROR_LIMIT_UNAVAILABLE, EBUSY, "network",
                         "the bridge %s still has %d containers of another pool; end these first", i->name, ports);
    int r = interface_delete(&h->route, i->name);
    return r < 0 ? network_unavailable(&h->route, -r, "the former bridge cannot be removed", reterr) : 0;
}

static int configure(NetworkHost *h, Error *reterr) {
    for (size_t i = 0; i < ELEMENTSOF(settings); i++) {
        int r = set_any(h, settings[i].family, settings[i].name, settings[i].value, reterr);
        if (r < 0)
            return r;
    }
    int forwarding = 0;
    (void) sysctl_get("ipv4/ip_forward", &forwarding);
    return bridge_set(h, "forwarding", forwarding, reterr);
}

static int add_address(NetworkHost *h, Error *reterr) {
    int r = interface_add_address(&h->route, h->bridge_index, h->gateway, h->config.pool.prefix);
    return r < 0 ? network_unavailable(&h->route, -r, "the bridge cannot be given its address", reterr) : 0;
}

static int bring_up(NetworkHost *h, Error *reterr) {
    int r = interface_up(&h->route, h->bridge_index);
    return r < 0 ? network_unavailable(&h->route, -r, "the bridge cannot be turned on", reterr) : 0;
}

static int find(NetworkHost *h, Interface *ret, Error *reterr) {
    int r = interface_find(&h->route, h->config.bridge, ret);
    if (r < 0)
        return network_unavailable(&h->route, -r, "the bridge cannot be found", reterr);
    h->bridge_index = ret->index;
    return 0;
}

static int make(NetworkHost *h, Error *reterr) {
    Interface i;
    int r = check_overlap(h, 0, reterr);
    if (r >= 0)
        r = create(h, reterr);
    if (r < 0)
        return r;
    r = find(h, &i, reterr);
    if (r >= 0)
        r = configure(h, reterr);
    if (r >= 0)
        r = add_address(h, reterr);
    if (r >= 0)
        r = bring_up(h, reterr);
    if (r < 0)
        (void) bridge_remove(h);
    return r;
}

int bridge_ensure(NetworkHost *h, Error *reterr) {
    Interface i;
    int r = interface_find(&h->route, h->config.bridge, &i);
    if (r < 0 && r != -ENODEV)
        return network_unavailable(&h->route, -r, "the bridge cannot be looked for", reterr);
    if (r >= 0) {
        r = take_over(h, &i, reterr);
        if (r < 0)
            return r;
        if (r > 0) {
            r = configure(h, reterr);
            return r < 0 ? r : bring_up(h, reterr);
        }
    }
    return make(h, reterr);
}

static int count_port(const Interface *i, void *userdata) {
    (*(int *) userdata)++;
    return 0;
}

int bridge_count_ports(NetworkHost *h) {
    int n = 0;
    if (h->bridge_index <= 0)
        return 0;
    int r = interface_list(&h->route, h->bridge_index, count_port, &n);
    return r < 0 ? r : n;
}

int bridge_remove(NetworkHost *h) {
    Interface i;
    h->bridge_index = 0;
    h->ready = false;
    int r = interface_find(&h->route, h->config.bridge, &i);
    if (r == -ENODEV || (r >= 0 && i.group != h->group))
        return 0;
    return r < 0 ? r : interface_delete(&h->route, i.name);
}
