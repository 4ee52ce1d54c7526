/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The parameters of a Run call to the plain struct that everything below works with. The first wrong field, in the
 * order of the interface, is named; its value is said and what would be right.
 */

#include "container/container.h"
#include "rpc/descriptors.h"
#include "rpc/peer.h"

#include <json-c/json.h>

/*
 * PARAMETERS have passed interface_check(). ATTACHED: the call came with `more`. Of ENVIRONMENT the ceilings alone are
 * read: what this host can keep is for limits_spec_check(). Descriptors are taken from D; every one must be.
 */
int run_spec_parse(json_object *parameters, const Peer *peer, bool attached, const ContainerEnvironment *environment,
                   Descriptors *d, ContainerSpec **ret, Error *reterr);
