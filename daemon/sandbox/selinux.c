/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* See selinux.h. */

#include "sandbox/selinux.h"

#include <selinux/selinux.h>

bool selinux_is_available(const char **ret_reason) {
    if (is_selinux_enabled() == 1)
        return true;
    *ret_reason = "the kernel has no SELinux, or no policy is loaded";
    return false;
}
