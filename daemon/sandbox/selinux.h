/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * SELinux, where the host and this build have it. selinux-fallback.c stands in where the build does not.
 *
 * Kennel's own policy module (systemd/selinux) has the types; a container is told from another by its pair of categories
 * (container/categories.h). What a process may write carries the pair too, by the `context=` of its mount.
 */

#include "kennel/error.h"

#include <sys/types.h>

/* Does the host enforce a SELinux policy? If not, *ret_reason says why, in static text. */
bool selinux_is_available(const char **ret_reason);

typedef struct SELinuxHost SELinuxHost;

/* An error, and *ret NULL, where there is no SELinux or Kennel's module is not loaded; its message says which. */
int selinux_host_new(SELinuxHost **ret, Error *reterr);
SELinuxHost *selinux_host_free(SELinuxHost *h);
DEFINE_CLEANUP(SELinuxHost, selinux_host_free)

/* Complete contexts, owned. */
typedef struct SELinuxContexts {
    char *process;
    char *file;  /* writable layer, tmpfs, private volumes: the process's level */
    char *image; /* what all containers share, read-only */
    char *share; /* volumes that several containers share: writable, no categories */
} SELinuxContexts;
void selinux_contexts_done(SELinuxContexts *c);

/*
 * TYPE: NULL is Kennel's own for containers; one that the loaded policy does not count among the domains of containers is
 * ERROR_INVALID_SPEC "label.type". LEVEL: "s0:c1,c2"; one that the policy does not know is ERROR_INVALID_SPEC
 * "label.level".
 */
int selinux_contexts_make(SELinuxHost *h, const char *type, const char *level, SELinuxContexts *ret, Error *reterr);

/* For a container that root asked to be run without confinement: a domain of its own, not the daemon's. RET: owned. */
int selinux_context_disabled(SELinuxHost *h, char **ret, Error *reterr);

/*
 * For threads. Gives what is below FD (a directory or file that a caller opened) this context, without following links or
 * leaving the mount. Only files that OWNER owns are relabelled unless it is 0; others are ERROR_INVALID_SPEC with FIELD, and
 * so are the directories that a host lives on. What an error leaves behind is labelled in part.
 */
int selinux_relabel(int fd, const char *context, uid_t owner, const char *field, Error *reterr);

/* After clone, by the child itself: the context that execve will give it. PROC_FD: the host's /proc. 0 or -errno. */
int selinux_enter(int proc_fd, const char *context);

/* What the kernel says of a process. PID_DIR_FD: its directory in /proc. */
int selinux_read(int pid_dir_fd, char *ret, size_t size);
