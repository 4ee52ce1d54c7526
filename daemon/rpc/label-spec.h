/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The fields `apparmorProfile`, `label` and `volumes[].relabel` of a Run call: which labels of the host's security module a
 * container asks for.
 */

#include "container/spec.h"
#include "rpc/peer.h"

#include <json-c/json.h>

/*
 * PARAMETERS have passed interface_check(). What is written is checked here; whether the host has such a profile, type or
 * level, and whether the level is another container's, when the container is registered and started.
 */
int label_spec_apparmor(json_object *parameters, const Peer *peer, ContainerSpec *spec, Error *reterr);
int label_spec_label(json_object *parameters, const Peer *peer, ContainerSpec *spec, Error *reterr);
SandboxRelabel label_spec_relabel(json_object *volume);
