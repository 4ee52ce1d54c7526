/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Capabilities: names to sets, and the exact five sets of a payload (capabilities(7)).
 *
 * Sets are 64-bit masks, bit N for capability N. A container starts with none; --cap-add adds.
 */

#include "kennel/error.h"

/* CHOWN DAC_OVERRIDE FOWNER FSETID KILL SETGID SETUID SETFCAP NET_BIND_SERVICE SYS_CHROOT: `--cap-add system` */
extern const uint64_t CAPABILITIES_SYSTEM;
/* The 17 of DESIGN 4 that are refused to everyone but root. */
extern const uint64_t CAPABILITIES_FORBIDDEN;
/* Those that have a name here. What a newer kernel adds cannot be named, is never granted, and is dropped as well. */
extern const uint64_t CAPABILITIES_ALL;

/* "NET_ADMIN", "cap_net_admin", "system", "all" → mask; -EINVAL if there is no such capability. */
int capabilities_from_string(const char *name, uint64_t *ret);
/* "NET_ADMIN"; NULL beyond the last. */
const char *capabilities_name(unsigned cap);

/*
 * Puts the calling thread's five sets and securebits where they have to be, and cannot fail half way without the
 * caller knowing: after an error the caller exits. Steps, in this order, because each needs what the next takes away:
 * capabilities_drop_bounding(), while SETPCAP is effective, which turns keep-caps on as well; then the caller switches
 * its ids: setgroups, setresgid, setresuid, in this order; then capabilities_set_final(), which locks the securebits
 * and takes SETPCAP away; no_new_privs comes after it. Locked: keep-caps and no-setuid-fixup off, no-ambient-raise on,
 * noroot on exactly when CAPS is 0. No allocation, no locks: runs after clone. Returns 0 or -errno.
 *
 * UID is the id inside that the payload starts with. For 0 the sets are permitted = effective = bounding = CAPS,
 * inheritable = ambient = 0, and execve by root gives it back CAPS as it always has; with CAPS == 0, NOROOT is locked
 * on as well. For another uid CAPS are ambient too, because otherwise they would not outlive execve.
 */
int capabilities_drop_bounding(uint64_t caps);
int capabilities_set_final(uint64_t caps, uint32_t uid);

/* What /proc/PID/status has to show for the payload with CAPS and UID right after execve. */
typedef struct CapabilitySets {
    uint64_t inheritable, permitted, effective, bounding, ambient;
} CapabilitySets;
void capabilities_expected(uint64_t caps, uint32_t uid, CapabilitySets *ret);
