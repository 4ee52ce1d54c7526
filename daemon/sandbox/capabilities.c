/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Capabilities of a payload: names, and the only two functions that change sets and securebits.
 *
 * The kernel's own calls are used throughout, because the second half runs after clone, where nothing may allocate.
 * What is set here is read back from outside by attest, against capabilities_expected(); the two have to say the same.
 *
 * Trust boundary: names come from requests. Whether a caller may have what it names is not decided here.
 */

#include "sandbox/capabilities.h"

#include <linux/capability.h>
#include <linux/securebits.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#define BIT(name) (UINT64_C(1) << CAP_##name)

#define CAPABILITIES(X)                                                                                                \
    X(CHOWN)                                                                                                           \
    X(DAC_OVERRIDE)                                                                                                    \
    X(DAC_READ_SEARCH)                                                                                                 \
    X(FOWNER)                                                                                                          \
    X(FSETID)                                                                                                          \
    X(KILL)                                                                                                            \
    X(SETGID)                                                                                                          \
    X(SETUID)                                                                                                          \
    X(SETPCAP)                                                                                                         \
    X(LINUX_IMMUTABLE)                                                                                                 \
    X(NET_BIND_SERVICE)                                                                                                \
    X(NET_BROADCAST)                                                                                                   \
    X(NET_ADMIN)                                                                                                       \
    X(NET_RAW)                                                                                                         \
    X(IPC_LOCK)                                                                                                        \
    X(IPC_OWNER)                                                                                                       \
    X(SYS_MODULE)                                                                                                      \
    X(SYS_RAWIO)                                                                                                       \
    X(SYS_CHROOT)                                                                                                      \
    X(SYS_PTRACE)                                                                                                      \
    X(SYS_PACCT)                                                                                                       \
    X(SYS_ADMIN)                                                                                                       \
    X(SYS_BOOT)                                                                                                        \
    X(SYS_NICE)                                                                                                        \
    X(SYS_RESOURCE)                                                                                                    \
    X(SYS_TIME)                                                                                                        \
    X(SYS_TTY_CONFIG)                                                                                                  \
    X(MKNOD)                                                                                                           \
    X(LEASE)                                                                                                           \
    X(AUDIT_WRITE)                                                                                                     \
    X(AUDIT_CONTROL)                                                                                                   \
    X(SETFCAP)                                                                                                         \
    X(MAC_OVERRIDE)                                                                                                    \
    X(MAC_ADMIN)                                                                                                       \
    X(SYSLOG)                                                                                                          \
    X(WAKE_ALARM)                                                                                                      \
    X(BLOCK_SUSPEND)                                                                                                   \
    X(AUDIT_READ)                                                                                                      \
    X(PERFMON)                                                                                                         \
    X(BPF)                                                                                                             \
    X(CHECKPOINT_RESTORE)

static const char *const names[] = {
#define X(name) [CAP_##name] = #name,
    CAPABILITIES(X)
#undef X
};

#define X(name) | BIT(name)
const uint64_t CAPABILITIES_ALL = 0 CAPABILITIES(X);
#undef X

const uint64_t CAPABILITIES_SYSTEM = BIT(CHOWN) | BIT(DAC_OVERRIDE) | BIT(FOWNER) | BIT(FSETID) | BIT(KILL) |
                                     BIT(SETGID) | BIT(SETUID) | BIT(SETFCAP) | BIT(NET_BIND_SERVICE) | BIT(SYS_CHROOT);

const uint64_t CAPABILITIES_FORBIDDEN =
    BIT(SYS_MODULE) | BIT(SYS_RAWIO) | BIT(NET_BROADCAST) | BIT(MKNOD) | BIT(SYS_TTY_CONFIG) | BIT(AUDIT_WRITE) |
    BIT(AUDIT_CONTROL) | BIT(AUDIT_READ) | BIT(SYS_TIME) | BIT(MAC_OVERRIDE) | BIT(MAC_ADMIN) | BIT(NET_RAW) |
    BIT(SETPCAP) | BIT(SYSLOG) | BIT(WAKE_ALARM) | BIT(BLOCK_SUSPEND) | BIT(SYS_BOOT);

int capabilities_from_string(const char *name, uint64_t *ret) {
    if (strcasecmp(name, "system") == 0) {
        *ret = CAPABILITIES_SYSTEM;
        return 0;
    }
    if (strcasecmp(name, "all") == 0) {
        *ret = CAPABILITIES_ALL;
        return 0;
    }
    if (strncasecmp(name, "cap_", 4) == 0)
        name += 4;
    for (unsigned i = 0; i < ELEMENTSOF(names); i++)
        if (strcasecmp(name, names[i]) == 0) {
            *ret = UINT64_C(1) << i;
            return 0;
        }
    return -EINVAL;
}

const char *capabilities_name(unsigned cap) {
    return cap < ELEMENTSOF(names) ? names[cap] : NULL;
}

/* From here on: after clone. */

static int set_three(uint64_t permitted, uint64_t effective, uint64_t inheritable) {
    struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
    struct __user_cap_data_struct data[2];
    for (unsigned i = 0; i < 2; i++)
        data[i] = (struct __user_cap_data_struct){
            .effective = (uint32_t) (effective >> (32 * i)),
            .permitted = (uint32_t) (permitted >> (32 * i)),
            .inheritable = (uint32_t) (inheritable >> (32 * i)),
        };
    return syscall(SYS_capset, &header, data) < 0 ? -errno : 0;
}

int capabilities_drop_bounding(uint64_t caps) {
    /* Up to what the kernel knows, not what we know: a capability that has no name yet must not stay either. */
    for (unsigned cap = 0; cap < 64; cap++) {
        int has = prctl(PR_CAPBSET_READ, cap, 0, 0, 0);
        if (has < 0)
            break;
        if (has && !(caps & (UINT64_C(1) << cap)) && prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) < 0)
            return -errno;
    }
    /* Otherwise leaving uid 0 would empty the permitted set, and nothing would be left to lock the securebits with. */
    return prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) < 0 ? -errno : 0;
}

static int raise_ambient(uint64_t caps) {
    for (unsigned cap = 0; cap < 64; cap++)
        if ((caps & (UINT64_C(1) << cap)) && prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, cap, 0, 0) < 0)
            return -errno;
    return 0;
}

/* NO_SETUID_FIXUP stays off: a payload that leaves root by setuid() is to lose its capabilities as it always has. */
static unsigned long securebits(uint64_t caps) {
    return SECBIT_KEEP_CAPS_LOCKED | SECBIT_NO_SETUID_FIXUP_LOCKED | SECBIT_NO_CAP_AMBIENT_RAISE |
           SECBIT_NO_CAP_AMBIENT_RAISE_LOCKED | SECBIT_NOROOT_LOCKED | (caps == 0 ? SECBIT_NOROOT : 0);
}

int capabilities_set_final(uint64_t caps, uint32_t uid) {
    uint64_t inheritable = uid == 0 ? 0 : caps;
    uint64_t working = caps | BIT(SETPCAP);

    /* Leaving uid 0 emptied the effective set; SETPCAP has to be in it for the securebits below. */
    int r = set_three(working, working, inheritable);
    if (r < 0)
        return r;
    /* What the daemon itself might have had raised is none of the payload's. */
    if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0)
        return -errno;
    if (uid != 0) {
        r = raise_ambient(caps);
        if (r < 0)
            return r;
    }
    /* After the ambient set, which one of these bits closes; before SETPCAP goes, which all of them need. */
    if (prctl(PR_SET_SECUREBITS, securebits(caps), 0, 0, 0) < 0)
        return -errno;
    return set_three(caps, caps, inheritable);
}

void capabilities_expected(uint64_t caps, uint32_t uid, CapabilitySets *ret) {
    *ret = (CapabilitySets){
        .inheritable = uid == 0 ? 0 : caps,
        .permitted = caps,
        .effective = caps,
        .bounding = caps,
        .ambient = uid == 0 ? 0 : caps,
    };
}
