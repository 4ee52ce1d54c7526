/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The field `ports` of a Run call: what of the host is forwarded to the container. */

#include "network/network.h"
#include "rpc/peer.h"

#include <json-c/json.h>

/*
 * PARAMETERS have passed interface_check(). BRIDGED: the container is to have an address of its own. *RET is NULL if there
 * are none. Whether a port of the host's is free is found out when it is reserved.
 */
int ports_spec_parse(json_object *parameters, const Peer *peer, bool bridged, NetworkPort **ret, size_t *ret_n,
                     Error *reterr);
