/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* See apparmor.h. */

#include "sandbox/apparmor.h"

#include <errno.h>
#include <sys/apparmor.h>

bool apparmor_is_available(const char **ret_reason) {
    if (aa_is_enabled())
        return true;
    switch (errno) {
    case ENOSYS:
        *ret_reason = "the kernel has no AppArmor";
        break;
    case ECANCELED:
        *ret_reason = "AppArmor is switched off on the kernel's command line";
        break;
    case ENOENT:
        *ret_reason = "AppArmor's file system is not mounted";
        break;
    default:
        *ret_reason = "the kernel does not say whether AppArmor is on";
    }
    return false;
}
