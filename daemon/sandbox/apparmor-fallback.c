/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* For builds without libapparmor. See apparmor.h. */

#include "sandbox/apparmor.h"

bool apparmor_is_available(const char **ret_reason) {
    *ret_reason = "this build has no libapparmor";
    return false;
}
