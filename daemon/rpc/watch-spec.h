/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What detectors are to do, in a Run call: less than the configuration says is root's alone to ask for.
 */

#include "container/container.h"
#include "rpc/peer.h"

#include <json-c/json.h>

/* The field `watch`. What it does not name stays UNSET in RET, which has _FINDING_KIND_MAX elements. */
int watch_spec_parse(json_object *parameters, const Peer *peer, const ContainerEnvironment *environment,
                     FindingAction *ret, Error *reterr);
