/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Interfaces, and what hangs on them: addresses, neighbours, forwarding entries, routes.
 *
 * Plain attributes, for libnl-route's objects lack half of what a port of a bridge has (isolation, the floods of
 * multicast and broadcast) and would allocate several times for the other half.
 */

#include "network/internal.h"

#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <net/if_arp.h>
#include <string.h>

/* Of linux/if.h, which cannot be included beside net/if.h. */
#define IF_OPER_UP 6

/* ---- interfaces ---- */

static void parse_port(struct nlattr *link_info, Interface *i) {
    struct nlattr *info[IFLA_INFO_MAX + 1], *port[IFLA_BRPORT_MAX + 1];
    if (!link_info || nla_parse_nested(info, IFLA_INFO_MAX, link_info, NULL) < 0)
        return;
    if (info[IFLA_INFO_KIND])
        (void) nla_strlcpy(i->kind, info[IFLA_INFO_KIND], sizeof(i->kind));
    if (!info[IFLA_INFO_SLAVE_KIND] || nla_strcmp(info[IFLA_INFO_SLAVE_KIND], "bridge") != 0 ||
        !info[IFLA_INFO_SLAVE_DATA] || nla_parse_nested(port, IFLA_BRPORT_MAX, info[IFLA_INFO_SLAVE_DATA], NULL) < 0)
        return;
    const struct {
        int attribute;
        bool *value;
    } flags[] = {
        { IFLA_BRPORT_ISOLATED, &i->isolated },           { IFLA_BRPORT_LEARNING, &i->learning },
        { IFLA_BRPORT_UNICAST_FLOOD, &i->unicast_flood }, { IFLA_BRPORT_MCAST_FLOOD, &i->multicast_flood },
        { IFLA_BRPORT_BCAST_FLOOD, &i->broadcast_flood },
    };
    i->port_state = port[IFLA_BRPORT_STATE] ? nla_get_u8(port[IFLA_BRPORT_STATE]) : 0;
    for (size_t k = 0; k < ELEMENTSOF(flags); k++)
        *flags[k].value = port[flags[k].attribute] && nla_get_u8(port[flags[k].attribute]) != 0;
}

static int parse_interface(const struct nlmsghdr *h, Interface *ret) {
    struct nlattr *a[IFLA_MAX + 1];
    Interface i = { 0 };
    if (nlmsg_parse((struct nlmsghdr *) h, sizeof(struct ifinfomsg), a, IFLA_MAX, NULL) < 0)
        return -EBADMSG;
    const struct ifinfomsg *info = nlmsg_data(h);
    i.index = info->ifi_index;
    i.flags = info->ifi_flags;
    i.master = a[IFLA_MASTER] ? (int) nla_get_u32(a[IFLA_MASTER]) : 0;
    i.running = a[IFLA_OPERSTATE] && nla_get_u8(a[IFLA_OPERSTATE]) == IF_OPER_UP;
    i.group = a[IFLA_GROUP] ? nla_get_u32(a[IFLA_GROUP]) : 0;
    if (a[IFLA_IFNAME])
        (void) nla_strlcpy(i.name, a[IFLA_IFNAME], sizeof(i.name));
    if (a[IFLA_ADDRESS] && nla_len(a[IFLA_ADDRESS]) == NETWORK_MAC_LENGTH)
        memcpy(i.mac, nla_data(a[IFLA_ADDRESS]), NETWORK_MAC_LENGTH);
    parse_port(a[IFLA_LINKINFO], &i);
    *ret = i;
    return 0;
}

static int keep_interface(const struct nlmsghdr *h, void *userdata) {
    return h->nlmsg_type == RTM_NEWLINK ? parse_interface(h, userdata) : 0;
}

static struct nl_msg *link_message(int type, int flags, int family, int index) {
    struct ifinfomsg info = { .ifi_family = (unsigned char) family, .ifi_index = index };
    return netlink_message(type, flags, &info, sizeof(info));
}

int interface_find(NetlinkSocket *s, const char *name, Interface *ret) {
    _cleanup_(network_message_freep) struct nl_msg *m = link_message(RTM_GETLINK, 0, AF_UNSPEC, 0);
    Interface found = { 0 };
    if (!m || nla_put_string(m, IFLA_IFNAME, name) < 0)
        return -ENOMEM;
    int r = netlink_request(s, TAKE_PTR(m), keep_interface, &found);
    if (r < 0)
        return r;
    if (found.index <= 0)
        return -ENODEV;
    *ret = found;
    return 0;
}

typedef struct Listing {
    int master;
    InterfaceVisit visit;
    void *userdata;
} Listing;

static int list_one(const struct nlmsghdr *h, void *userdata) {
    const Listing *l = userdata;
    Interface i;
    if (h->nlmsg_type != RTM_NEWLINK)
        return 0;
    int r = parse_interface(h, &i);
    /* Kernels that do not know the filter send all. */
    if (r < 0 || (l->master > 0 && i.master != l->master))
        return r;
    return l->visit(&i, l->userdata);
}

int interface_list(NetlinkSocket *s, int master, InterfaceVisit visit, void *userdata) {
    _cleanup_(network_message_freep) struct nl_msg *m = link_message(RTM_GETLINK, 0, AF_UNSPEC, 0);
    Listing l = { master, visit, userdata };
    if (!m || (master > 0 && nla_put_u32(m, IFLA_MASTER, (uint32_t) master) < 0))
        return -ENOMEM;
    return netlink_dump(s, TAKE_PTR(m), list_one, &l, NULL);
}

int interface_delete(NetlinkSocket *s, const char *name) {
    struct nl_msg *m = link_message(RTM_DELLINK, 0, AF_UNSPEC, 0);
    if (!m)
        return -ENOMEM;
    int r = netlink_change(s, m, nla_put_string(m, IFLA_IFNAME, name));
    return r == -ENODEV ? 0 : r;
}

int interface_up(NetlinkSocket *s, int index) {
    struct ifinfomsg info = { .ifi_index = index, .ifi_flags = IFF_UP, .ifi_change = IFF_UP };
    return netlink_request(s, netlink_message(RTM_NEWLINK, 0, &info, sizeof(info)), NULL, NULL);
}

int interface_set_master(NetlinkSocket *s, int index, int master) {
    struct nl_msg *m = link_message(RTM_NEWLINK, 0, AF_UNSPEC, index);
    return m ? netlink_change(s, m, nla_put_u32(m, IFLA_MASTER, (uint32_t) master)) : -ENOMEM;
}

/* ---- addresses ---- */

static uint32_t first_of(uint32_t address, unsigned prefix) {
    return prefix == 0 ? 0 : address & UINT32_MAX << (32 - prefix);
}

static uint32_t last_of(uint32_t address, unsigned prefix) {
    return prefix == 0 ? UINT32_MAX : address | ~(UINT32_MAX << (32 - prefix));
}

int interface_add_address(NetlinkSocket *s, int index, uint32_t address, unsigned prefix) {
    struct ifaddrmsg header = {
        .ifa_family = AF_INET,
        .ifa_prefixlen = (uint8_t) prefix,
        .ifa_index = (uint32_t) index,
    };
    struct nl_msg *m = netlink_message(RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, &header, sizeof(header));
    if (!m)
        return -ENOMEM;
    int put = nla_put_u32(m, IFA_LOCAL, htonl(address));
    put |= nla_put_u32(m, IFA_ADDRESS, htonl(address));
    return netlink_change(s, m, put);
}

typedef struct AddressSearch {
    int index;
    uint32_t address;
    unsigned prefix;
    bool found;
} AddressSearch;

static bool parse_address(const struct nlmsghdr *h, int *ret_index, uint32_t *ret_address, unsigned *ret_prefix) {
    struct nlattr *a[IFA_MAX + 1];
    if (h->nlmsg_type != RTM_NEWADDR ||
        nlmsg_parse((struct nlmsghdr *) h, sizeof(struct ifaddrmsg), a, IFA_MAX, NULL) < 0)
        return false;
    const struct ifaddrmsg *header = nlmsg_data(h);
    struct nlattr *address = a[IFA_ADDRESS] ? a[IFA_ADDRESS] : a[IFA_LOCAL];
    if (header->ifa_family != AF_INET || !address || nla_len(address) != sizeof(uint32_t))
        return false;
    *ret_index = (int) header->ifa_index;
    *ret_address = ntohl(nla_get_u32(address));
    *ret_prefix = header->ifa_prefixlen;
    return true;
}

static int search_address(const struct nlmsghdr *h, void *userdata) {
    AddressSearch *search = userdata;
    uint32_t address;
    unsigned prefix;
    int index;
    if (parse_address(h, &index, &address, &prefix))
        search->found |= index == search->index && address == search->address && prefix == search->prefix;
    return 0;
}

static int dump_addresses(NetlinkSocket *s, NetlinkVisit visit, void *userdata) {
    struct ifaddrmsg header = { .ifa_family = AF_INET };
    return netlink_dump(s, netlink_message(RTM_GETADDR, 0, &header, sizeof(header)), visit, userdata, NULL);
}

int interface_has_address(NetlinkSocket *s, int index, uint32_t address, unsigned prefix) {
    AddressSearch search = { index, address, prefix, false };
    int r = dump_addresses(s, search_address, &search);
    return r < 0 ? r : search.found;
}

/* ---- neighbours and forwarding entries ---- */

int interface_add_neighbour(NetlinkSocket *s, int index, uint32_t address, const uint8_t mac[NETWORK_MAC_LENGTH]) {
    struct ndmsg header = { .ndm_family = AF_INET, .ndm_ifindex = index, .ndm_state = NUD_PERMANENT };
    struct nl_msg *m = netlink_message(RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_REPLACE, &header, sizeof(header));
    if (!m)
        return -ENOMEM;
    int put = nla_put_u32(m, NDA_DST, htonl(address));
    put |= nla_put(m, NDA_LLADDR, NETWORK_MAC_LENGTH, mac);
    return netlink_change(s, m, put);
}

int interface_remove_neighbour(NetlinkSocket *s, int index, uint32_t address) {
    struct ndmsg header = { .ndm_family = AF_INET, .ndm_ifindex = index };
    struct nl_msg *m = netlink_message(RTM_DELNEIGH, 0, &header, sizeof(header));
    if (!m)
        return -ENOMEM;
    int r = netlink_change(s, m, nla_put_u32(m, NDA_DST, htonl(address)));
    return r == -ENOENT || r == -ENODEV || r == -ENXIO ? 0 : r;
}

int interface_add_forwarding(NetlinkSocket *s, int index, const uint8_t mac[NETWORK_MAC_LENGTH]) {
    struct ndmsg header = {
        .ndm_family = AF_BRIDGE,
        .ndm_ifindex = index,
        .ndm_state = NUD_NOARP, /* static: neither ages nor moves to another port */
        .ndm_flags = NTF_MASTER,
    };
    struct nl_msg *m = netlink_message(RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_REPLACE, &header, sizeof(header));
    return m ? netlink_change(s, m, nla_put(m, NDA_LLADDR, NETWORK_MAC_LENGTH, mac)) : -ENOMEM;
}

/* ---- routes ---- */

int interface_add_gateway(NetlinkSocket *s, int index, uint32_t gateway) {
    struct rtmsg header = {
        .rtm_family = AF_INET,
        .rtm_table = RT_TABLE_MAIN,
        .rtm_protocol = RTPROT_STATIC,
        .rtm_scope = RT_SCOPE_UNIVERSE,
        .rtm_type = RTN_UNICAST,
        .rtm_flags = RTNH_F_ONLINK, /* the container's own address has no network around it */
    };
    struct nl_msg *m = netlink_message(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL, &header, sizeof(header));
    if (!m)
        return -ENOMEM;
    int put = nla_put_u32(m, RTA_GATEWAY, htonl(gateway));
    put |= nla_put_u32(m, RTA_OIF, (uint32_t) index);
    return netlink_change(s, m, put);
}

typedef struct Overlap {
    uint32_t first, last;
    int except_index;
    const char *what;
    uint32_t address;
    unsigned prefix;
    int index;
} Overlap;

static void note_overlap(Overlap *o, const char *what, int index, uint32_t address, unsigned prefix) {
    if (o->what || (index > 0 && index == o->except_index))
        return;
    if (last_of(address, prefix) < o->first || first_of(address, prefix) > o->last)
        return;
    *o = (Overlap){ o->first, o->last, o->except_index, what, address, prefix, index };
}

static int visit_address(const struct nlmsghdr *h, void *userdata) {
    uint32_t address;
    unsigned prefix;
    int index;
    if (parse_address(h, &index, &address, &prefix))
        note_overlap(userdata, "address", index, address, prefix);
    return 0;
}

static int visit_route(const struct nlmsghdr *h, void *userdata) {
    struct nlattr *a[RTA_MAX + 1];
    if (h->nlmsg_type != RTM_NEWROUTE || nlmsg_parse((struct nlmsghdr *) h, sizeof(struct rtmsg), a, RTA_MAX, NULL) < 0)
        return 0;
    const struct rtmsg *header = nlmsg_data(h);
    /* A default route leads everywhere, and ours, being longer, goes before it. */
    if (header->rtm_family != AF_INET || header->rtm_dst_len == 0 || !a[RTA_DST])
        return 0;
    note_overlap(userdata, "route", a[RTA_OIF] ? (int) nla_get_u32(a[RTA_OIF]) : 0, ntohl(nla_get_u32(a[RTA_DST])),
                 header->rtm_dst_len);
    return 0;
}

int interface_overlap(NetlinkSocket *s, const NetworkPool *pool, int except_index, char *ret_text, size_t size) {
    struct rtmsg header = { .rtm_family = AF_INET };
    Overlap o = {
        .first = first_of(pool->address, pool->prefix),
        .last = last_of(pool->address, pool->prefix),
        .except_index = except_index,
    };
    int r = dump_addresses(s, visit_address, &o);
    if (r >= 0)
        r = netlink_dump(s, netlink_message(RTM_GETROUTE, 0, &header, sizeof(header)), visit_route, &o, NULL);
    if (r < 0 || !o.what)
        return r;
    char name[IFNAMSIZ] = "";
    uint32_t a = o.address;
    (void) snprintf(ret_text, size, "%s %u.%u.%u.%u/%u%s%s", o.what, a >> 24, a >> 16 & 255, a >> 8 & 255, a & 255,
                    o.prefix, o.index > 0 && if_indextoname((unsigned) o.index, name) ? " on " : "", name);
    return 1;
}
