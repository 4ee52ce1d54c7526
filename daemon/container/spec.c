/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The destructor of a spec: everything in it is owned, whoever holds it.
 */

#include "container/spec.h"

ContainerSpec *container_spec_free(ContainerSpec *s) {
    if (!s)
        return NULL;
    free(s->name);
    free(s->image);
    free(s->seccomp_profile);
    free(s->apparmor_profile);
    free(s->label_type);
    free(s->label_level);
    free(s->ports);
    sandbox_spec_done(&s->sandbox);
    free(s);
    return NULL;
}
