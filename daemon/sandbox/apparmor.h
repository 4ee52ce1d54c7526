/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * AppArmor, where the host and this build have it. apparmor-fallback.c stands in where the build does not.
 *
 * Each container has a profile of its own: the same rules under another name, "kennel-" and the first id of its range,
 * which is why no two containers of a host have the same. So a process may signal and trace what is in its own container
 * and, whatever else fails, nothing that is in another one.
 */

#include "kennel/error.h"

#include <sys/types.h>

/* Does the host enforce AppArmor profiles? If not, *ret_reason says why, in static text. */
bool apparmor_is_available(const char **ret_reason);

/* "kennel-1879048192", terminated */
#define APPARMOR_NAME_PREFIX "kennel-"
#define APPARMOR_NAME_SIZE   32U
/* Bytes of a name that a caller may ask for, with its end. */
#define APPARMOR_PROFILE_MAX 256U
void apparmor_profile_name(uint32_t id_base, char ret[static APPARMOR_NAME_SIZE]);

typedef struct AppArmorHost AppArmorHost;

/*
 * Prepares what every start uses, and takes one profile the whole way into the kernel and out again. What is compiled is
 * kept below DATA_FD (borrowed, apparmor/). An error, and *ret NULL, where the host cannot load Kennel's profiles; its
 * message says why.
 */
int apparmor_host_new(int data_fd, AppArmorHost **ret, Error *reterr);
AppArmorHost *apparmor_host_free(AppArmorHost *h);
DEFINE_CLEANUP(AppArmorHost, apparmor_host_free)

/* The daemon's own profile (systemd/apparmor), and the one that makes overlays for it. */
#define APPARMOR_DAEMON_PROFILE  "kenneld"
#define APPARMOR_OVERLAY_PROFILE "kenneld//overlay"

/*
 * The profile that a child takes first of all where the daemon has its own, "kenneld" (systemd/apparmor); else NULL. It may
 * do in the container's namespaces what the daemon may not do in the host's: paths are the same in both. PROC_FD: the
 * host's /proc.
 */
const char *apparmor_start_profile(int proc_fd);

/* Is the daemon itself under a profile? Then what it starts is too, until it changes to another one. */
bool apparmor_host_is_confined(const AppArmorHost *h);
#define APPARMOR_UNCONFINED "unconfined"

/* A start with ID_BASE is likely to come: its profile is compiled by a thread, while nobody waits. Does not block. */
void apparmor_profile_expect(AppArmorHost *h, uint32_t id_base);
/* For threads. The profile of the container with ID_BASE, which the caller holds, is loaded when this returns. */
int apparmor_profile_load(AppArmorHost *h, uint32_t id_base, Error *reterr);
/* No process of the container is left, and its ID_BASE is still held: its profile leaves the kernel. */
void apparmor_profile_release(AppArmorHost *h, uint32_t id_base);

/*
 * Is a profile of this name, which a caller asked for, loaded, in enforce mode, and neither a container's nor the daemon's
 * own? ERROR_INVALID_SPEC "apparmorProfile" if not.
 */
int apparmor_check_loaded(const char *profile, Error *reterr);

/*
 * After clone, by the child itself, before it gives its rights away: changes to PROFILE at once, not at execve, because no_new_privs
 * would keep a confined daemon's child from it. PROC_FD: the host's /proc. 0 or -errno.
 */
int apparmor_enter(int proc_fd, const char *profile);

/* What the kernel says of a process: "kennel-1879048192 (enforce)", "unconfined". PID_DIR_FD: its directory in /proc. */
int apparmor_read(int pid_dir_fd, char *ret, size_t size);
