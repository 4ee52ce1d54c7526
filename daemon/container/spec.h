/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * All that a Run call says, checked and resolved: numbers, arrays, fds; never a path that still has to be looked up on
 * the host. rpc makes one from JSON and hands it over; nothing below ever sees the JSON. It can be sent over a socket
 * between two processes, which is what will let the parser run without privileges.
 */

#include "container/categories.h"
#include "container/controls.h"
#include "container/limits.h"
#include "sandbox/sandbox.h"
#include "watch/finding.h"

#define CONTAINER_IMAGE_HOST "host"

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
    char *apparmor_profile;                  /* asked for by name; NULL: Kennel's own */
    bool apparmor_unconfined;                /* root asked for none */
    char *label_type;                        /* of SELinux, asked for; NULL: Kennel's own */
    char *label_level;                       /* "s0:c1,c2"; NULL: a pair that no other container has */
    bool label_disabled;                     /* root asked for none */
    uint32_t categories;                     /* the pair's number, taken from the pool by container; CATEGORIES_NONE */
    ContainerControl controls[_CONTROL_MAX]; /* modes that were asked for; then what they come to: controls.h */
    size_t n_controls;                       /* always all of them */
    FindingAction watch[_FINDING_KIND_MAX];  /* as the call says; then, of the configuration where it says nothing */
    ContainerLimits limits;                  /* what is in force, once it runs */
    NetworkPort *ports;                      /* with SANDBOX_NETWORK_BRIDGE; owned */
    size_t n_ports;
    uint32_t address;    /* with SANDBOX_NETWORK_BRIDGE, filled in by container; 0: none */
    StorageKind storage; /* filled in by container */
    SandboxSpec sandbox; /* .id_base, .layer_fd, .layer_is_mount, .program.seccomp, labels are filled in by container */
} ContainerSpec;

#define CONTAINER_SPEC_INIT                                                                                            \
    ((ContainerSpec){                                                                                                  \
        .n_controls = _CONTROL_MAX,                                                                                    \
        .categories = CATEGORIES_NONE,                                                                                 \
        .limits = CONTAINER_LIMITS_NONE,                                                                               \
        .sandbox = SANDBOX_SPEC_INIT,                                                                                  \
    })

ContainerSpec *container_spec_free(ContainerSpec *s);
DEFINE_CLEANUP(ContainerSpec, container_spec_free)
