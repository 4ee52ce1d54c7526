/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * All that a Run call says, checked and resolved: numbers, arrays, fds; never a path that still has to be looked up on
 * the host. rpc makes one from JSON and hands it over; nothing below ever sees the JSON. It can be sent over a socket
 * between two processes, which is what will let the parser run without privileges.
 */

#include "cgroup/limits.h"
#include "sandbox/sandbox.h"

typedef struct ContainerSpec {
    char *name;  /* NULL: made from the id */
    char *image; /* for display: "host", or "rootfs" for a directory that was passed in */
    uid_t owner; /* the peer */
    gid_t owner_gid;
    bool attached; /* dies with its caller unless Detach comes first */
    bool remove;
    bool logged; /* stdout and stderr were not given: they go to the log. With a terminal: what is read after Detach */
    char *seccomp_profile; /* text; NULL: the default profile */
    bool seccomp_unconfined;
    CgroupLimits limits;
    SandboxSpec sandbox; /* .id_base, .layer_fd, .program.seccomp are filled in by container */
} ContainerSpec;

#define CONTAINER_SPEC_INIT ((ContainerSpec){ .limits = CGROUP_LIMITS_INIT, .sandbox = SANDBOX_SPEC_INIT })

ContainerSpec *container_spec_free(ContainerSpec *s);
DEFINE_CLEANUP(ContainerSpec, container_spec_free)
