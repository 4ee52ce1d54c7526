/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The filter: two nftables tables, `bridge kennel-NAME` and `ip kennel-NAME`, NAME being the bridge's.
 *
 * In the bridge family an interface is known by its group, which it has from birth, so whatever the sets contain, a
 * frame from one of our ports is dropped unless an element allows it: it has to be IPv4, for the bridge's own MAC, from
 * the MAC and the address that belong to this very port. No IPv6, no ARP (neighbours are permanent on both sides), no
 * VLAN tag, no other type, no broadcast or multicast; nor fragments and IP options, which would let a container fill
 * the host's reassembly buffers: what is larger than the MTU and is not TCP does not leave. The same the other way
 * round: to a port goes only what is for its MAC and its address. From port to port goes nothing; the isolation of the
 * ports says so once more.
 *
 * In the ip family what comes in by the bridge may be an answer to a connection that came from elsewhere, or an ICMP
 * error about it; and, with masquerading, something for an address that is neither the host's, nor the pool's, nor
 * link-local. Everything else is dropped before any translation, so that neither the host's addresses nor what is
 * published on them can be reached from inside. Published ports are translated by two maps, one with the host's address
 * and one without, for what comes in by any other interface and for what the host itself sends.
 *
 * A container is elements of sets and maps, put in and taken out in one transaction. The rules are written again, as
 * one transaction too, by each daemon's first container and whenever the table is found missing (`nft flush ruleset`
 * takes ours away with all others; until the next container starts nothing is filtered then, and the ports' isolation
 * is what is left).
 *
 * Other tables are never touched. What ours accept the host's own firewall may still drop.
 *
 * libnftables ends the process when it is out of memory; everything else it reports. All text that it is given is made
 * here, of numbers and of names that were checked.
 */

#include "network/internal.h"

#include <nftables/libnftables.h>
#include <string.h>

/* $T the tables' name, $B the bridge, $G the group, $M the bridge's MAC, $P the pool. */
static const struct {
    bool masquerade;
    const char *text;
} rules[] = {
    /* clang-format off */
    { false, "add table bridge $T" },
    { false, "add set bridge $T sources { type ifname . ether_addr . ipv4_addr; }" },
    { false, "add chain bridge $T prerouting { type filter hook prerouting priority -300; policy accept; }" },
    { false, "add chain bridge $T input { type filter hook input priority -300; policy accept; }" },
    { false, "add chain bridge $T forward { type filter hook forward priority -300; policy accept; }" },
    { false, "add chain bridge $T postrouting { type filter hook postrouting priority 300; policy accept; }" },
    { false, "flush chain bridge $T prerouting" },
    { false, "flush chain bridge $T input" },
    { false, "flush chain bridge $T forward" },
    { false, "flush chain bridge $T postrouting" },
    { false, "add rule bridge $T prerouting iifgroup != $G accept" },
    { false, "add rule bridge $T prerouting ether daddr $M ether type ip meta protocol ip ip version 4 ip hdrlength 5 "
             "ip frag-off & 0x3fff == 0 iifname . ether saddr . ip saddr @sources accept" },
    { false, "add rule bridge $T prerouting drop" },
    /* What is sent to a link-local group that bridges must not forward comes past prerouting, straight here. */
    { false, "add rule bridge $T input iifgroup != $G accept" },
    { false, "add rule bridge $T input ether daddr $M ether type ip iifname . ether saddr . ip saddr @sources accept" },
    { false, "add rule bridge $T input drop" },
    { false, "add rule bridge $T forward iifgroup $G drop" },
    { false, "add rule bridge $T forward oifgroup $G drop" },
    { false, "add rule bridge $T postrouting oifgroup != $G accept" },
    { false, "add rule bridge $T postrouting ether type ip oifname . ether daddr . ip daddr @sources accept" },
    { false, "add rule bridge $T postrouting drop" },

    { false, "add table ip $T" },
    { false, "add set ip $T containers { type ipv4_addr . ipv4_addr; }" },
    { false, "add map ip $T published { type inet_proto . inet_service : ipv4_addr . inet_service; }" },
    { false, "add map ip $T published-at { type ipv4_addr . inet_proto . inet_service : ipv4_addr . inet_service; }" },
    { false, "add chain ip $T answers" },
    { false, "add chain ip $T translate" },
    { false, "add chain ip $T prerouting { type filter hook prerouting priority -150; policy accept; }" },
    { false, "add chain ip $T input { type filter hook input priority 0; policy accept; }" },
    { false, "add chain ip $T forward { type filter hook forward priority 0; policy accept; }" },
    { false, "add chain ip $T nat-prerouting { type nat hook prerouting priority -100; policy accept; }" },
    { false, "add chain ip $T nat-output { type nat hook output priority -100; policy accept; }" },
    { false, "add chain ip $T nat-postrouting { type nat hook postrouting priority 100; policy accept; }" },
    { false, "flush chain ip $T answers" },
    { false, "flush chain ip $T translate" },
    { false, "flush chain ip $T prerouting" },
    { false, "flush chain ip $T input" },
    { false, "flush chain ip $T forward" },
    { false, "flush chain ip $T nat-prerouting" },
    { false, "flush chain ip $T nat-output" },
    { false, "flush chain ip $T nat-postrouting" },

    { false, "add rule ip $T answers ct state established ct direction reply accept" },
    /* About a connection of the sender's own, not just any that it knows of. */
    { false, "add rule ip $T answers ct state related ip protocol icmp ip saddr . ct reply ip saddr @containers accept" },
    { false, "add rule ip $T prerouting iifname != \"$B\" accept" },
    { false, "add rule ip $T prerouting jump answers" },
    { true,  "add rule ip $T prerouting ip daddr { $P, 127.0.0.0/8, 169.254.0.0/16 } drop" },
    /* What conntrack takes for invalid would go out untranslated. */
    { true,  "add rule ip $T prerouting ct state { new, established } fib daddr type unicast accept" },
    { false, "add rule ip $T prerouting drop" },
    { false, "add rule ip $T input iifname != \"$B\" accept" },
    { false, "add rule ip $T input jump answers" },
    { false, "add rule ip $T input drop" },
    { false, "add rule ip $T forward iifname \"$B\" jump answers" },
    { true,  "add rule ip $T forward iifname \"$B\" oifname != \"$B\" ct state { new, established } accept" },
    { false, "add rule ip $T forward iifname \"$B\" drop" },
    { false, "add rule ip $T forward oifname != \"$B\" accept" },
    { false, "add rule ip $T forward ct state { established, related } accept" },
    { false, "add rule ip $T forward ct status dnat accept" },
    { false, "add rule ip $T forward drop" },

    { false, "add rule ip $T translate dnat ip to ip daddr . meta l4proto . th dport map @published-at" },
    { false, "add rule ip $T translate dnat ip to meta l4proto . th dport map @published" },
    /* Before the kernel looks where a packet comes from: a neighbour may send to 127.0.0.1. */
    { false, "add rule ip $T nat-prerouting iifname != \"$B\" ip daddr != 127.0.0.0/8 fib daddr type local jump translate" },
    { false, "add rule ip $T nat-output fib daddr type local jump translate" },
    { false, "add rule ip $T nat-postrouting oifname \"$B\" ip saddr 127.0.0.0/8 masquerade" },
    { true,  "add rule ip $T nat-postrouting oifname != \"$B\" ip saddr $P masquerade" },
    /* clang-format on */
};

#define ADDRESS           "%u.%u.%u.%u"
#define ADDRESS_PARTS(a)  (a) >> 24, (a) >> 16 & 255, (a) >> 8 & 255, (a) &255
#define MAC               "%02x:%02x:%02x:%02x:%02x:%02x"
#define MAC_PARTS(m)      (m)[0], (m)[1], (m)[2], (m)[3], (m)[4], (m)[5]
#define TABLE             "kennel-%s"
#define ELEMENT_TEXT_MAX  96U
#define SWEEP_ADDRESS_MAX 16U

/* ---- running commands ---- */

typedef struct Script {
    FILE *stream;
    char *text;
    size_t size;
} Script;

static void script_done(Script *s) {
    if (s->stream)
        (void) fclose(s->stream);
    free(s->text);
}

static int script_begin(Script *s) {
    *s = (Script){ 0 };
    s->stream = open_memstream(&s->text, &s->size);
    return s->stream ? 0 : -ENOMEM;
}

static int open_context(NetworkHost *h) {
    if (h->nft)
        return 0;
    h->nft = nft_ctx_new(NFT_CTX_DEFAULT);
    if (!h->nft)
        return -ENOMEM;
    nft_ctx_output_set_flags(h->nft, NFT_CTX_OUTPUT_NUMERIC_ALL);
    if (nft_ctx_buffer_error(h->nft) != 0 || nft_ctx_buffer_output(h->nft) != 0) {
        filter_close(h);
        return -ENOMEM;
    }
    return 0;
}

void filter_close(NetworkHost *h) {
    if (h->nft)
        nft_ctx_free(h->nft);
    h->nft = NULL;
}

/* Of libnftables' complaint the first line, without the place in the text. */
static const char *complaint(NetworkHost *h, char *ret_line, size_t size) {
    const char *text = nft_ctx_get_error_buffer(h->nft), *error = text ? strstr(text, "Error: ") : NULL;
    const char *from = error ? error + strlen("Error: ") : text && *text ? text : "no reason given";
    (void) snprintf(ret_line, size, "%.*s", (int) strcspn(from, "\n"), from);
    return ret_line;
}

static int run_text(NetworkHost *h, const char *text, Error *reterr) {
    char line[200];
    int r = open_context(h);
    if (r < 0)
        return network_unavailable(NULL, -r, "nftables cannot be used", reterr);
    if (nft_run_cmd_from_buffer(h->nft, text) == 0)
        return 0;
    return error_set(reterr, ERROR_LIMIT_UNAVAILABLE, EIO, "network", "nftables: %s", complaint(h, line, sizeof(line)));
}

/* One transaction: all of it or nothing. */
static int script_run(NetworkHost *h, Script *s, Error *reterr) {
    bool failed = ferror(s->stream) != 0;
    if (fclose(TAKE_PTR(s->stream)) != 0 || failed)
        return network_unavailable(NULL, ENOMEM, "the filter's rules", reterr);
    return run_text(h, s->text, reterr);
}

/* ---- rules ---- */

static void write_word(NetworkHost *h, FILE *f, char word) {
    const NetworkConfig *c = &h->config;
    switch (word) {
    case 'T':
        (void) fprintf(f, TABLE, c->bridge);
        break;
    case 'B':
        (void) fputs(c->bridge, f);
        break;
    case 'G':
        (void) fprintf(f, "%u", h->group);
        break;
    case 'M':
        (void) fprintf(f, MAC, MAC_PARTS(h->mac));
        break;
    case 'P':
        (void) fprintf(f, ADDRESS "/%u", ADDRESS_PARTS(c->pool.address), c->pool.prefix);
        break;
    default:
        break;
    }
}

static void write_line(NetworkHost *h, FILE *f, const char *text) {
    for (; *text; text++) {
        if (*text == '$')
            write_word(h, f, *++text);
        else
            (void) fputc(*text, f);
    }
    (void) fputc('\n', f);
}

static void write_rules(NetworkHost *h, FILE *f) {
    for (size_t i = 0; i < ELEMENTSOF(rules); i++)
        if (!rules[i].masquerade || h->config.masquerade)
            write_line(h, f, rules[i].text);
}

/* ---- elements ---- */

static void write_source(NetworkHost *h, FILE *f, const char *verb, const Member *m) {
    uint8_t mac[NETWORK_MAC_LENGTH];
    network_mac(m->address, false, mac);
    (void) fprintf(f, "%s element bridge " TABLE " sources { \"" NETWORK_NAME_HOST "%s\" . " MAC " . " ADDRESS " }\n",
                   verb, h->config.bridge, m->id, MAC_PARTS(mac), ADDRESS_PARTS(m->address));
    (void) fprintf(f, "%s element ip " TABLE " containers { " ADDRESS " . " ADDRESS " }\n", verb, h->config.bridge,
                   ADDRESS_PARTS(m->address), ADDRESS_PARTS(m->address));
}

static void write_port(NetworkHost *h, FILE *f, const char *verb, const Member *m, const NetworkPort *p, bool target) {
    (void) fprintf(f, "%s element ip " TABLE " %s { ", verb, h->config.bridge,
                   p->host_address ? "published-at" : "published");
    if (p->host_address)
        (void) fprintf(f, ADDRESS " . ", ADDRESS_PARTS(p->host_address));
    (void) fprintf(f, "%s . %u", p->udp ? "udp" : "tcp", p->host_port);
    if (target)
        (void) fprintf(f, " : " ADDRESS " . %u", ADDRESS_PARTS(m->address), p->container_port);
    (void) fputs(" }\n", f);
}

static void write_member(NetworkHost *h, FILE *f, const Member *m) {
    write_source(h, f, "add", m);
    for (size_t i = 0; i < m->n_ports; i++)
        write_port(h, f, "add", m, &m->ports[i], true);
}

/* Rules and, since they may have gone with the table, everybody's elements. */
int filter_ensure(NetworkHost *h, Error *reterr) {
    _cleanup_(script_done) Script s;
    if (script_begin(&s) < 0)
        return network_unavailable(NULL, ENOMEM, "the filter's rules", reterr);
    write_rules(h, s.stream);
    for (const Member *m = h->members; m; m = m->next)
        write_member(h, s.stream, m);
    return script_run(h, &s, reterr);
}

int filter_add(NetworkHost *h, const Member *m, Error *reterr) {
    _cleanup_(script_done) Script s;
    if (script_begin(&s) < 0)
        return network_unavailable(NULL, ENOMEM, "the filter's rules", reterr);
    write_member(h, s.stream, m);
    if (script_run(h, &s, NULL) >= 0)
        return 0;
    return filter_ensure(h, reterr);
}

/*
 * The quick way fails as a whole if one element is missing. Then one by one: an element of a set is added first, so
 * that deleting it succeeds; one of a map might be there with another target, and is only deleted.
 */
static int remove_slowly(NetworkHost *h, const Member *m, Error *reterr) {
    for (size_t i = 0; i < m->n_ports; i++) {
        _cleanup_(script_done) Script s;
        if (script_begin(&s) < 0)
            return network_unavailable(NULL, ENOMEM, "the filter's rules", reterr);
        write_port(h, s.stream, "delete", m, &m->ports[i], false);
        (void) script_run(h, &s, NULL);
    }
    _cleanup_(script_done) Script s;
    if (script_begin(&s) < 0)
        return network_unavailable(NULL, ENOMEM, "the filter's rules", reterr);
    write_source(h, s.stream, "add", m);
    write_source(h, s.stream, "delete", m);
    return script_run(h, &s, reterr);
}

static bool table_exists(NetworkHost *h) {
    char command[64];
    (void) snprintf(command, sizeof(command), "list chain bridge " TABLE " prerouting", h->config.bridge);
    return run_text(h, command, NULL) >= 0;
}

int filter_remove(NetworkHost *h, const Member *m, Error *reterr) {
    _cleanup_(script_done) Script s;
    if (script_begin(&s) < 0)
        return network_unavailable(NULL, ENOMEM, "the filter's rules", reterr);
    write_source(h, s.stream, "delete", m);
    for (size_t i = 0; i < m->n_ports; i++)
        write_port(h, s.stream, "delete", m, &m->ports[i], false);
    if (script_run(h, &s, NULL) >= 0 || !table_exists(h))
        return 0;
    return remove_slowly(h, m, reterr);
}

/* ---- what others left ---- */

typedef struct Sweep {
    const char *const *ids;
    size_t n;
    char (*kept)[SWEEP_ADDRESS_MAX]; /* addresses of containers that stay, as text */
    size_t n_kept;
    FILE *script;
} Sweep;

static int compare_ids(const void *a, const void *b) {
    return strcmp(a, *(const char *const *) b);
}

static bool is_kept(const Sweep *sweep, const char *address) {
    size_t length = strspn(address, "0123456789.");
    for (size_t i = 0; i < sweep->n_kept; i++)
        if (strlen(sweep->kept[i]) == length && strncmp(sweep->kept[i], address, length) == 0)
            return true;
    return false;
}

/* "kv0123456789ab" . 02:6b:0a:d5:00:02 . 10.213.0.2 */
static bool source_is_stale(Sweep *sweep, const char *element) {
    char id[NETWORK_ID_MAX + 1];
    const char *address = strrchr(element, ' ');
    if (sscanf(element, "\"" NETWORK_NAME_HOST "%12[0-9a-f]\"", id) != 1 || !address)
        return true;
    if (sweep->n_kept >= sweep->n || !bsearch(id, sweep->ids, sweep->n, sizeof(char *), compare_ids))
        return true;
    (void) snprintf(sweep->kept[sweep->n_kept++], SWEEP_ADDRESS_MAX, "%s", address + 1);
    return false;
}

/* 10.213.0.2 . 10.213.0.2 */
static bool container_is_stale(Sweep *sweep, const char *element) {
    return !is_kept(sweep, element);
}

/* 6 . 8080 : 10.213.0.2 . 80 */
static bool port_is_stale(Sweep *sweep, const char *element) {
    const char *target = strstr(element, " : ");
    return !target || !is_kept(sweep, target + 3);
}

static const struct {
    const char *family, *kind, *name;
    bool (*is_stale)(Sweep *sweep, const char *element);
} collections[] = {
    { "bridge", "set", "sources", source_is_stale },
    { "ip", "set", "containers", container_is_stale },
    { "ip", "map", "published", port_is_stale },
    { "ip", "map", "published-at", port_is_stale },
};

static void sweep_element(NetworkHost *h, Sweep *sweep, size_t which, const char *text, size_t length) {
    char element[ELEMENT_TEXT_MAX];
    if (length == 0 || length >= sizeof(element))
        return;
    (void) snprintf(element, sizeof(element), "%.*s", (int) length, text);
    if (!collections[which].is_stale(sweep, element))
        return;
    char *target = strstr(element, " : ");
    if (target)
        *target = 0;
    (void) fprintf(sweep->script, "delete element %s " TABLE " %s { %s }\n", collections[which].family,
                   h->config.bridge, collections[which].name, element);
}

/* The listing's only braces inside the set are those around its elements. */
static int sweep_collection(NetworkHost *h, Sweep *sweep, size_t which, Error *reterr) {
    static const char blank[] = " \t\n", begin[] = "elements = {";
    char command[96];
    (void) snprintf(command, sizeof(command), "list %s %s " TABLE " %s", collections[which].kind,
                    collections[which].family, h->config.bridge, collections[which].name);
    int r = run_text(h, command, reterr);
    if (r < 0)
        return r;
    const char *at = strstr(nft_ctx_get_output_buffer(h->nft), begin);
    for (at = at ? at + strlen(begin) : NULL; at && *at && *at != '}'; at += *at == ',') {
        at += strspn(at, blank);
        size_t length = strcspn(at, ",}"), used = length;
        while (used > 0 && strchr(blank, at[used - 1]))
            used--;
        sweep_element(h, sweep, which, at, used);
        at += length;
    }
    return 0;
}

int filter_sweep(NetworkHost *h, const char *const *ids, size_t n, Error *reterr) {
    _cleanup_free_ char(*kept)[SWEEP_ADDRESS_MAX] = calloc(n + 1, SWEEP_ADDRESS_MAX);
    _cleanup_(script_done) Script script;
    if (script_begin(&script) < 0 || !kept)
        return network_unavailable(NULL, ENOMEM, "the filter's rules", reterr);
    if (!table_exists(h))
        return 0;
    Sweep sweep = { .ids = ids, .n = n, .kept = kept, .script = script.stream };
    for (size_t i = 0; i < ELEMENTSOF(collections); i++) {
        int r = sweep_collection(h, &sweep, i, reterr);
        if (r < 0)
            return r;
    }
    return script_run(h, &script, reterr);
}

int filter_drop_table(NetworkHost *h, Error *reterr) {
    char text[256];
    /* Added first, so that deleting it succeeds whether it was there or not. */
    (void) snprintf(text, sizeof(text),
                    "add table bridge " TABLE "\ndelete table bridge " TABLE "\n"
                    "add table ip " TABLE "\ndelete table ip " TABLE "\n",
                    h->config.bridge, h->config.bridge, h->config.bridge, h->config.bridge);
    return run_text(h, text, reterr);
}
