/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * SELinux, where the host and this build have it. selinux-fallback.c stands in where the build does not.
 *
 * Today this says what there is; the label have their place in child.c, between fds and
 * capabilities.
 */

#include <stdbool.h>

/* Does the host enforce a SELinux policy? If not, *ret_reason says why, in static text. */
bool selinux_is_available(const char **ret_reason);
