/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Rates, by token bucket filters on the host's side, where the container cannot reach them.
 *
 * What the container receives waits at the host's end of its pair, as that sends it. What it sends is redirected, as
 * the host's end receives it, to an ifb device of the container's own (kb<id>), waits there and goes on from the host's
 * end as if nothing had happened: bridge and filter see no difference. That device exists only while there is a limit.
 *
 * A bucket holds what the rate gives in BURST_MSEC, but a few frames at least. Larger segments than the bucket are cut
 * into frames by the filter itself, so a small bucket keeps a low rate exact, and a large one keeps the cost of a high
 * rate low. The queue holds QUEUE_MSEC, and at low rates so many frames that TCP still gets going; never so much
 * that a container could fill the host's memory with it. A rate counts Ethernet frames: TCP's payload is some 5 % less.
 */

#include "network/internal.h"

#include <linux/if_ether.h>
#include <linux/if_link.h>
#include <linux/pkt_cls.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <linux/tc_act/tc_mirred.h>
#include <string.h>

#define BURST_MSEC    20U
#define BURST_MIN     4096U /* bytes: two frames and a bit */
#define BURST_MAX     (4U << 20)
#define QUEUE_MSEC    200U
#define QUEUE_MIN     (24U * 1514U)
#define QUEUE_MAX     (8U << 20)
#define FIRST_HANDLE  TC_H_MAKE(1U << 16, 0)
#define SECOND_HANDLE TC_H_MAKE(2U << 16, 0)
#define ENTRY_HANDLE  TC_H_MAKE(TC_H_INGRESS, 0)

/* Bytes that go by in MSEC at a rate. */
static uint32_t bytes_in(uint64_t bytes_per_second, unsigned msec, uint32_t min, uint32_t max) {
    uint64_t v = bytes_per_second * msec / 1000;
    return v < min ? min : v > max ? max : (uint32_t) v;
}

static struct nl_msg *tc_message(int type, int flags, int index, uint32_t parent, uint32_t handle, uint32_t info) {
    struct tcmsg t = {
        .tcm_family = AF_UNSPEC,
        .tcm_ifindex = index,
        .tcm_parent = parent,
        .tcm_handle = handle,
        .tcm_info = info,
    };
    return netlink_message(type, flags, &t, sizeof(t));
}

/* ---- a bucket at an interface's root ---- */

typedef struct Bucket {
    uint32_t handle;
    uint64_t bytes; /* per second */
} Bucket;

static int parse_bucket(const struct nlmsghdr *n, void *userdata) {
    struct nlattr *a[TCA_MAX + 1], *options[TCA_TBF_MAX + 1];
    struct tc_tbf_qopt parameters;
    Bucket *b = userdata;
    if (n->nlmsg_type != RTM_NEWQDISC || nlmsg_parse((struct nlmsghdr *) n, sizeof(struct tcmsg), a, TCA_MAX, NULL) < 0)
        return 0;
    if (!a[TCA_KIND] || nla_strcmp(a[TCA_KIND], "tbf") != 0 || !a[TCA_OPTIONS] ||
        nla_parse_nested(options, TCA_TBF_MAX, a[TCA_OPTIONS], NULL) < 0 || !options[TCA_TBF_PARMS] ||
        nla_len(options[TCA_TBF_PARMS]) < (int) sizeof(parameters))
        return 0;
    memcpy(&parameters, nla_data(options[TCA_TBF_PARMS]), sizeof(parameters));
    b->bytes = options[TCA_TBF_RATE64] ? nla_get_u64(options[TCA_TBF_RATE64]) : parameters.rate.rate;
    b->handle = ((const struct tcmsg *) nlmsg_data(n))->tcm_handle;
    return 0;
}

/* All zero if there is none. */
static int read_bucket(NetworkHost *h, int index, Bucket *ret) {
    *ret = (Bucket){ 0 };
    /* Without the echo it is only told to those who watch. */
    int r = netlink_request(&h->route, tc_message(RTM_GETQDISC, NLM_F_ECHO, index, TC_H_ROOT, 0, 0), parse_bucket, ret);
    return r == -ENOENT || r == -EINVAL ? 0 : r;
}

/*
 * A new one in place of what there is, for which it needs another handle. Changed in place it would keep its queue,
 * whose segments may be larger than the new bucket: these would wait for ever, and everything else behind them.
 */
static int add_bucket(NetworkHost *h, int index, uint64_t bytes, uint32_t handle) {
    uint32_t burst = bytes_in(bytes, BURST_MSEC, BURST_MIN, BURST_MAX);
    struct tc_tbf_qopt parameters = {
        .rate = { .rate = bytes > UINT32_MAX ? UINT32_MAX : (uint32_t) bytes, .linklayer = TC_LINKLAYER_ETHERNET },
        .limit = bytes_in(bytes, QUEUE_MSEC, QUEUE_MIN, QUEUE_MAX) + burst,
    };
    struct nl_msg *m = tc_message(RTM_NEWQDISC, NLM_F_CREATE | NLM_F_REPLACE, index, TC_H_ROOT, handle, 0);
    if (!m)
        return -ENOMEM;
    int put = nla_put_string(m, TCA_KIND, "tbf");
    struct nlattr *options = nla_nest_start(m, TCA_OPTIONS);
    put |= options ? nla_put(m, TCA_TBF_PARMS, sizeof(parameters), &parameters) : -1;
    put |= nla_put_u32(m, TCA_TBF_BURST, burst);
    if (bytes >= UINT32_MAX)
        put |= nla_put_u64(m, TCA_TBF_RATE64, bytes);
    if (options)
        (void) nla_nest_end(m, options);
    return netlink_change(&h->route, m, put);
}

static int set_bucket(NetworkHost *h, int index, uint64_t bits) {
    Bucket before, after;
    int r = read_bucket(h, index, &before);
    if (r >= 0)
        r = add_bucket(h, index, bits / 8, before.handle == FIRST_HANDLE ? SECOND_HANDLE : FIRST_HANDLE);
    if (r >= 0)
        r = read_bucket(h, index, &after);
    if (r < 0)
        return r;
    return after.bytes == bits / 8 ? 0 : -EIO;
}

static int remove_queue(NetworkHost *h, int index, uint32_t parent, uint32_t handle) {
    int r = netlink_request(&h->route, tc_message(RTM_DELQDISC, 0, index, parent, handle, 0), NULL, NULL);
    /* One that is not there: the kernel's default at the root, nothing at the entry. */
    return r == -ENOENT || r == -EINVAL || r == -ENODEV ? 0 : r;
}

/* ---- in: the container receives ---- */

static int set_in(NetworkHost *h, int index, uint64_t bits) {
    if (bits == NETWORK_RATE_NONE)
        return remove_queue(h, index, TC_H_ROOT, 0);
    return set_bucket(h, index, bits);
}

/* ---- out: the container sends ---- */

static int add_ifb(NetworkHost *h, const char *name, Interface *ret) {
    struct ifinfomsg info = { 0 };
    struct nl_msg *m = netlink_message(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, &info, sizeof(info));
    if (!m)
        return -ENOMEM;
    int put = nla_put_string(m, IFLA_IFNAME, name);
    put |= nla_put_u32(m, IFLA_GROUP, h->group);
    struct nlattr *link = nla_nest_start(m, IFLA_LINKINFO);
    put |= link ? nla_put_string(m, IFLA_INFO_KIND, "ifb") : -1;
    if (link)
        (void) nla_nest_end(m, link);
    int r = netlink_change(&h->route, m, put);
    if (r < 0 && r != -EEXIST)
        return r;
    r = sysctl_set("ipv6", name, "disable_ipv6", 1);
    return r < 0 ? r : interface_find(&h->route, name, ret);
}

/* Everything that the interface INDEX receives goes to TARGET. */
static int redirect(NetworkHost *h, int index, int target) {
    /* No key at all: also frames too short for any comparison. */
    struct tc_u32_sel all = { .flags = TC_U32_TERMINAL };
    struct tc_mirred mirred = {
        .action = TC_ACT_STOLEN,
        .eaction = TCA_EGRESS_REDIR,
        .ifindex = (uint32_t) target,
    };
    struct nl_msg *m = tc_message(RTM_NEWTFILTER, NLM_F_CREATE | NLM_F_EXCL, index, TC_H_MAKE(TC_H_INGRESS, 0), 0,
                                  TC_H_MAKE(1U << 16, htons(ETH_P_ALL)));
    if (!m)
        return -ENOMEM;
    int put = nla_put_string(m, TCA_KIND, "u32");
    struct nlattr *options = nla_nest_start(m, TCA_OPTIONS);
    put |= nla_put(m, TCA_U32_SEL, sizeof(all), &all);
    struct nlattr *actions = nla_nest_start(m, TCA_U32_ACT), *first = nla_nest_start(m, 1);
    put |= nla_put_string(m, TCA_ACT_KIND, "mirred");
    struct nlattr *action = nla_nest_start(m, TCA_ACT_OPTIONS | NLA_F_NESTED);
    put |= nla_put(m, TCA_MIRRED_PARMS, sizeof(mirred), &mirred);
    if (!options || !actions || !first || !action)
        put = -1;
    struct nlattr *nests[] = { action, first, actions, options };
    for (size_t i = 0; put >= 0 && i < ELEMENTSOF(nests); i++)
        (void) nla_nest_end(m, nests[i]);
    return netlink_change(&h->route, m, put);
}

static int add_entry(NetworkHost *h, int index, int target) {
    struct nl_msg *m = tc_message(RTM_NEWQDISC, NLM_F_CREATE | NLM_F_EXCL, index, TC_H_INGRESS, ENTRY_HANDLE, 0);
    if (!m)
        return -ENOMEM;
    int r = netlink_change(&h->route, m, nla_put_string(m, TCA_KIND, "ingress"));
    if (r < 0)
        return r == -EEXIST ? 0 : r; /* there already, and its redirection with it */
    r = redirect(h, index, target);
    if (r < 0)
        (void) remove_queue(h, index, TC_H_INGRESS, ENTRY_HANDLE);
    return r;
}

static int set_out(NetworkHost *h, const char *name, int index, uint64_t bits) {
    Interface i;
    if (bits == NETWORK_RATE_NONE) {
        int r = remove_queue(h, index, TC_H_INGRESS, ENTRY_HANDLE);
        return r < 0 ? r : interface_delete(&h->route, name);
    }
    int r = add_ifb(h, name, &i);
    if (r >= 0)
        r = set_bucket(h, i.index, bits);
    if (r >= 0)
        r = interface_up(&h->route, i.index);
    if (r >= 0)
        r = add_entry(h, index, i.index);
    return r;
}

static int refuse(NetworkHost *h, const char *field, const char *needs, int code, Error *reterr) {
    return error_set(reterr, ERROR_LIMIT_UNAVAILABLE, code, field,
                     "the rate cannot be set: %s%s%s; the kernel has to have %s", strerror(code),
                     h->route.text[0] ? ": " : "", h->route.text, needs);
}

int shaping_set(NetworkHost *h, const char *id, int index, const NetworkRates *rates, Error *reterr) {
    char name[IFNAMSIZ];
    (void) snprintf(name, sizeof(name), NETWORK_NAME_SHAPED "%s", id);
    int r = set_in(h, index, rates->in);
    if (r < 0)
        return refuse(h, "limits.netRateIn", "the queueing discipline tbf", -r, reterr);
    r = set_out(h, name, index, rates->out);
    if (r < 0)
        return refuse(h, "limits.netRateOut", "tbf, ingress, cls_u32, act_mirred and ifb", -r, reterr);
    return 0;
}
