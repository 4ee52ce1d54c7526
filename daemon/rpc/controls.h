/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Which controls are in force, and why one is absent: nothing is ever missing in silence (DESIGN 4).
 */

#include "container/container.h"

#include <json-c/json.h>

/* What the host can do for any container. NULL: out of memory. */
json_object *controls_of_host(const ContainerEnvironment *e);
/* What holds for C now. */
json_object *controls_of_container(Container *c, const ContainerEnvironment *e);
/* Adds Inspect's apparmorProfile, selinuxLabel and mountLabel, as the kernel has them now. */
int controls_add_labels(json_object *o, const Container *c);
