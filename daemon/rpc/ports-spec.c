/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * See ports-spec.h. Trust: a port below 1,024 is the host's own word to those who connect, which only root may give;
 * the kernel keeps it so for processes, and a published port must be no way around.
 */

#include "rpc/ports-spec.h"

#include "proto/quote.h"
#include "rpc/fields.h"
#include "rpc/ipv4.h"

#include <string.h>

#define PORT_MAX        65535
#define PORT_TENANT_MIN 1024

static int read_address(json_object *o, size_t i, NetworkPort *port, Error *reterr) {
    const char *text = fields_string(o, "hostAddress");
    char field[ERROR_SUBJECT_MAX], quoted[QUOTE_SIZE];
    if (!text || (ipv4_parse(text, &port->host_address) >= 0 && ipv4_is_unicast(port->host_address)))
        return 0;
    (void) snprintf(field, sizeof(field), "ports[%zu].hostAddress", i);
    return error_invalid(reterr, field,
                         "is %s; an IPv4 address of the host's such as 127.0.0.1 is expected, or null for all of them",
                         quote(quoted, text, strlen(text)));
}

static int read_host_port(json_object *o, size_t i, const Peer *peer, NetworkPort *port, Error *reterr) {
    char field[ERROR_SUBJECT_MAX];
    int64_t value = 0;
    (void) snprintf(field, sizeof(field), "ports[%zu].host", i);
    int r = fields_int(o, "host", field, 1, PORT_MAX, &value, reterr);
    if (r < 0)
        return r;
    if (value < PORT_TENANT_MIN && !peer_is_root(peer))
        return error_forbidden(reterr, field, "is %lld; %d to %d is expected, ports below %d are for root alone",
                               (long long) value, PORT_TENANT_MIN, PORT_MAX, PORT_TENANT_MIN);
    port->host_port = (uint16_t) value;
    return 0;
}

static int read_container_port(json_object *o, size_t i, NetworkPort *port, Error *reterr) {
    char field[ERROR_SUBJECT_MAX];
    int64_t value = 0;
    (void) snprintf(field, sizeof(field), "ports[%zu].container", i);
    int r = fields_int(o, "container", field, 1, PORT_MAX, &value, reterr);
    port->container_port = (uint16_t) value;
    return r;
}

/* One port of all addresses meets the same port of each of them. */
static bool is_same(const NetworkPort *a, const NetworkPort *b) {
    bool address = a->host_address == b->host_address || a->host_address == 0 || b->host_address == 0;
    return address && a->host_port == b->host_port && a->udp == b->udp;
}

static int check_unique(const NetworkPort *ports, size_t i, Error *reterr) {
    char field[ERROR_SUBJECT_MAX];
    for (size_t k = 0; k < i; k++)
        if (is_same(&ports[k], &ports[i])) {
            (void) snprintf(field, sizeof(field), "ports[%zu].host", i);
            return error_invalid(reterr, field, "is %u, which ports[%zu] publishes already", ports[i].host_port, k);
        }
    return 0;
}

static int read_one(json_object *o, size_t i, const Peer *peer, NetworkPort *ports, Error *reterr) {
    const char *protocol = fields_string(o, "protocol"); /* the interface's check knows which ones there are */
    NetworkPort *port = &ports[i];
    port->udp = protocol && strcmp(protocol, "udp") == 0;
    int r = read_address(o, i, port, reterr);
    if (r >= 0)
        r = read_host_port(o, i, peer, port, reterr);
    if (r >= 0)
        r = read_container_port(o, i, port, reterr);
    return r < 0 ? r : check_unique(ports, i, reterr);
}

int ports_spec_parse(json_object *parameters, const Peer *peer, bool bridged, NetworkPort **ret, size_t *ret_n,
                     Error *reterr) {
    json_object *list;
    size_t n;
    int r = fields_list(parameters, "ports", NETWORK_PORTS_MAX, &list, &n, reterr);
    if (r < 0)
        return r;
    if (n > 0 && !bridged)
        return error_invalid(reterr, "ports", "can be published with network \"bridge\" alone");
    _cleanup_free_ NetworkPort *ports = n > 0 ? calloc(n, sizeof(NetworkPort)) : NULL;
    if (n > 0 && !ports)
        return fields_oom(reterr);
    for (size_t i = 0; i < n; i++) {
        r = read_one(json_object_array_get_idx(list, i), i, peer, ports, reterr);
        if (r < 0)
            return r;
    }
    *ret = TAKE_PTR(ports);
    *ret_n = n;
    return 0;
}
