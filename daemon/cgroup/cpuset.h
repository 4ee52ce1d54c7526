/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Lists of CPUs, and what cgroup v1 needs before a cpuset can hold a process. cgroup_cpuset_normalize(): limits.h. */

#include "cgroup/limits.h"

/* Is every CPU of LIST in ALLOWED? 1; 0 and the first that is not; -EINVAL, -ERANGE as for cgroup_cpuset_normalize(). */
int cgroup_cpuset_contains(const char *allowed, const char *list, unsigned *ret_missing);

/*
 * On v1 a new group has neither CPUs nor memory nodes, so that no process can be put into it, unless its parent's
 * cgroup.clone_children was 1 when it was made. Fills in what is empty from the parent.
 */
int cgroup_cpuset_fill(int parent_fd, int dir_fd);
/* The same for the parent of all groups, which also takes on what its own parent has gained since. */
int cgroup_cpuset_prepare(int parent_fd, int dir_fd);
