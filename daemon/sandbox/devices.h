/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The device program: a BPF_CGROUP_DEVICE program that lets a container use null zero full random urandom tty ptmx and
 * the ptys of its own, and nothing else, whatever node it gets hold of. It is attached once to the directory above all
 * containers and holds for each of them, so it costs a start nothing. It survives the daemon: the cgroup holds it.
 */

#include "kennel/error.h"

#include <sys/types.h>

/* The nodes that a container's /dev gets. */
typedef struct DevicesNode {
    const char *name;
    unsigned major, minor;
} DevicesNode;
extern const DevicesNode devices_nodes[]; /* ends with a NULL name */

/* Loads the program and attaches it to CGROUP_FD, unless the same program is attached there already (compared by tag). */
int devices_attach(int cgroup_fd, Error *reterr);

/* 1 if the program is in force for the cgroup (BPF_PROG_QUERY, effective), 0 if not, -errno. */
int devices_in_force(int cgroup_fd);
