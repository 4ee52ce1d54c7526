/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Counters of interfaces, as the kernel keeps them at the host's end, where the container cannot touch them. What the
 * host's end has received the container has sent: directions are turned round here.
 *
 * One dump answers for all containers; each message of it is looked up by the interface's number in a sorted table.
 */

#include "network/internal.h"

#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <string.h>

#define DUMP_TRIES 3U

/* ---- the table, under `quick` ---- */

/* The place of INDEX, or where it would have to be. */
static size_t place_of(const StatisticsTable *t, int index) {
    size_t low = 0, high = t->n;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (t->items[middle]->index < index)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

int statistics_add(StatisticsTable *t, NetworkEndpoint *e) {
    if (t->n == t->allocated) {
        size_t allocated = t->allocated ? 2 * t->allocated : 16;
        NetworkEndpoint **items = reallocarray(t->items, allocated, sizeof(NetworkEndpoint *));
        if (!items)
            return -ENOMEM;
        t->items = items;
        t->allocated = allocated;
    }
    size_t at = place_of(t, e->index);
    memmove(t->items + at + 1, t->items + at, (t->n - at) * sizeof(NetworkEndpoint *));
    t->items[at] = e;
    t->n++;
    return 0;
}

void statistics_remove(StatisticsTable *t, const NetworkEndpoint *e) {
    for (size_t at = place_of(t, e->index); at < t->n && t->items[at]->index == e->index; at++) {
        if (t->items[at] != e)
            continue;
        memmove(t->items + at, t->items + at + 1, (t->n - at - 1) * sizeof(NetworkEndpoint *));
        t->n--;
        return;
    }
}

/* ---- what the kernel says ---- */

static bool parse(const struct nlmsghdr *h, int *ret_index, NetworkUsage *ret) {
    struct rtnl_link_stats64 s = { 0 };
    if (h->nlmsg_type != RTM_NEWSTATS || nlmsg_datalen(h) < (int) sizeof(struct if_stats_msg))
        return false;
    const struct if_stats_msg *m = nlmsg_data(h);
    struct nlattr *a = nlmsg_find_attr((struct nlmsghdr *) h, sizeof(*m), IFLA_STATS_LINK_64);
    if (!a)
        return false;
    /* Its first fields have not changed since there are any; newer kernels have more behind. */
    memcpy(&s, nla_data(a), (size_t) nla_len(a) < sizeof(s) ? (size_t) nla_len(a) : sizeof(s));
    *ret_index = (int) m->ifindex;
    *ret = (NetworkUsage){
        .in_bytes = s.tx_bytes,
        .in_packets = s.tx_packets,
        .in_errors = s.tx_errors,
        .in_dropped = s.tx_dropped,
        .out_bytes = s.rx_bytes,
        .out_packets = s.rx_packets,
        .out_errors = s.rx_errors,
        .out_dropped = s.rx_dropped,
    };
    return true;
}

static struct nl_msg *request(int index) {
    struct if_stats_msg m = {
        .ifindex = (uint32_t) index,
        .filter_mask = IFLA_STATS_FILTER_BIT(IFLA_STATS_LINK_64),
    };
    return netlink_message(RTM_GETSTATS, 0, &m, sizeof(m));
}

static int visit_all(const struct nlmsghdr *m, void *userdata) {
    NetworkHost *h = userdata;
    NetworkUsage usage;
    int index;
    if (!parse(m, &index, &usage))
        return 0;
    (void) pthread_mutex_lock(&h->quick);
    for (size_t at = place_of(&h->table, index); at < h->table.n && h->table.items[at]->index == index; at++) {
        h->table.items[at]->usage = usage;
        h->table.items[at]->generation = h->table.generation + 1;
    }
    (void) pthread_mutex_unlock(&h->quick);
    return 0;
}

int network_host_read(NetworkHost *h) {
    bool interrupted = true;
    for (unsigned i = 0; interrupted && i < DUMP_TRIES; i++) {
        int r = netlink_dump(&h->statistics, request(0), visit_all, h, &interrupted);
        if (r < 0)
            return r;
    }
    (void) pthread_mutex_lock(&h->quick);
    h->table.generation++;
    (void) pthread_mutex_unlock(&h->quick);
    return 0;
}

bool network_endpoint_usage(NetworkEndpoint *e, NetworkUsage *ret) {
    NetworkHost *h = e->host;
    (void) pthread_mutex_lock(&h->quick);
    bool known = e->generation > 0 && e->generation == h->table.generation;
    if (known)
        *ret = e->usage;
    (void) pthread_mutex_unlock(&h->quick);
    return known;
}

typedef struct Single {
    int index;
    bool found;
    NetworkUsage usage;
} Single;

static int visit_one(const struct nlmsghdr *m, void *userdata) {
    Single *s = userdata;
    NetworkUsage usage;
    int index;
    if (parse(m, &index, &usage) && index == s->index) {
        s->usage = usage;
        s->found = true;
    }
    return 0;
}

/* By a socket of its own: neither the loop's nor the one that other workers may be using for long. */
int network_endpoint_read(NetworkEndpoint *e, NetworkUsage *ret) {
    NetlinkSocket s = NETLINK_SOCKET_INIT;
    Single single = { .index = e->index };
    int r = netlink_open(&s);
    if (r >= 0)
        r = netlink_request(&s, request(e->index), visit_one, &single);
    netlink_close(&s);
    if (r < 0)
        return r;
    if (!single.found)
        return -ENODEV;
    *ret = single.usage;
    return 0;
}
