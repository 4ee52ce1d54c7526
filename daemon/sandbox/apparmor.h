/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * AppArmor, where the host and this build have it. apparmor-fallback.c stands in where the build does not.
 *
 * Today this says what there is; the profile and its exec attribute have their place in child.c, between fds and
 * capabilities.
 */

#include <stdbool.h>

/* Does the host enforce AppArmor profiles? If not, *ret_reason says why, in static text. */
bool apparmor_is_available(const char **ret_reason);
