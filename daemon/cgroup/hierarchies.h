/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Where the host's cgroups are and which part is ours.
 *
 * unified: one cgroup2 mount has everything. hybrid: controllers are on v1 hierarchies of their own, a cgroup2 mount
 * beside them has membership, kill, freeze, events, BPF. A controller that is on neither is missing; whoever asks for
 * it is told so by name.
 *
 * Our subtree is `<service>/containers` when a service manager started us (NOTIFY_SOCKET or INVOCATION_ID is set) in
 * `<service>/supervisor`, which is how it says that it delegates (DelegateSubgroup=); `/kennel` elsewhere. The daemon stays
 * where it is. On v1 hierarchies it is always `/kennel`. Daemons may share `/kennel`: ids tell their
 * groups apart, and nobody touches a group whose id is not in its own records.
 */

#include "kennel/error.h"

typedef enum CgroupController {
    CGROUP_CPU, /* v1: cpu, and cpuacct for usage */
    CGROUP_MEMORY,
    CGROUP_PIDS,
    CGROUP_IO, /* v1: blkio */
    CGROUP_CPUSET,
    _CGROUP_CONTROLLER_MAX,
} CgroupController;

typedef enum CgroupVersion { CGROUP_MISSING, CGROUP_V1, CGROUP_V2 } CgroupVersion;

typedef struct CgroupHierarchies CgroupHierarchies;

/* Finds the mounts, makes our subtree, enables the controllers there. Fails where there is no cgroup2 at all. */
int cgroup_hierarchies_open(CgroupHierarchies **ret, Error *reterr);
/* The same with a subtree of another name, on v1 as on cgroup2: "/kennel-test-1234". NULL is the rule above. */
int cgroup_hierarchies_open_at(const char *subtree, CgroupHierarchies **ret, Error *reterr);
/* Removes our subtree if it is empty and no other daemon uses it. Groups must have been freed before. */
CgroupHierarchies *cgroup_hierarchies_close(CgroupHierarchies *h);
DEFINE_CLEANUP(CgroupHierarchies, cgroup_hierarchies_close)

bool cgroup_hierarchies_is_unified(const CgroupHierarchies *h);
CgroupVersion cgroup_hierarchies_version(const CgroupHierarchies *h, CgroupController c);
const char *cgroup_controller_name(CgroupController c); /* "cpu", "memory", ... */
/* Why a controller is CGROUP_MISSING, for a person; NULL if it is not. */
const char *cgroup_hierarchies_missing(const CgroupHierarchies *h, CgroupController c);
/* The subtree's path as /proc/PID/cgroup would show it: "/kennel", "/system.slice/kennel.service/containers". */
const char *cgroup_hierarchies_root(const CgroupHierarchies *h);
/*
 * A file that every daemon of this host has in common, whatever its subtree and directories: cgroup.procs at the top of
 * cgroup2, which root alone can open. Daemons agree on what is whose by open file description locks on its bytes.
 */
int cgroup_hierarchies_shared_fd(const CgroupHierarchies *h);
/* The subtree's directory on cgroup2: device programs are attached here, and hold for every container. */
int cgroup_hierarchies_root_fd(const CgroupHierarchies *h);
