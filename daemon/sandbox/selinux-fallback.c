/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* For builds without libselinux. See selinux.h. */

#include "sandbox/selinux.h"

bool selinux_is_available(const char **ret_reason) {
    *ret_reason = "this build has no libselinux";
    return false;
}
