/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Limits as a request has them, to ContainerLimits: for Run onto the defaults, for Update onto what is in force. What is
 * refused here is wrong on any host; what this host cannot keep is for limits_spec_check().
 */

#include "container/container.h"

#include <json-c/json.h>

/* What a container has that asks for nothing, before ceilings. */
ContainerLimits limits_spec_default(void);

/* Which limits OBJECT (may be NULL) gives, by value or as unlimited: the set that container_limits_hold() takes. */
uint64_t limits_spec_asked(json_object *object);

/*
 * Puts what OBJECT (may be NULL) says over *LIMITS, which stays as it is after an error. Disks that OBJECT names come
 * first in the result, in its order, so that whoever refuses one names it as the caller did. SANDBOX says what the
 * container has that could be limited.
 */
int limits_spec_parse(json_object *object, const SandboxSpec *sandbox, ContainerLimits *limits, Error *reterr);

/* The ceilings that concern such a container. */
ContainerLimits limits_spec_ceilings(const ContainerEnvironment *e, const SandboxSpec *sandbox);

/*
 * A default that this host cannot keep must not keep a container from it: takes away what nobody ASKED for and is not to
 * be had, puts in the configuration's default for the writable layer.
 */
void limits_spec_adapt(const ContainerEnvironment *e, const SandboxSpec *sandbox, uint64_t asked,
                       ContainerLimits *limits);

/* Can the host keep all of them? ERROR_INVALID_SPEC, ERROR_LIMIT_UNAVAILABLE. */
int limits_spec_check(const ContainerEnvironment *e, const ContainerLimits *limits, Error *reterr);
