/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Set by meson.build from the project's version; the fallback is for tools that read the source alone. */
#ifndef KENNEL_VERSION
#define KENNEL_VERSION "unknown"
#endif

#define KENNEL_VENDOR            "Kennel"
#define KENNEL_PRODUCT           "kenneld"
#define KENNEL_URL               "https://kennel.example/"
#define KENNEL_INTERFACE         "io.kennel"
#define KENNEL_SOCKET_DEFAULT    "/run/kennel/io.kennel"
#define KENNEL_STATE_DIR_DEFAULT "/run/kennel"
#define KENNEL_DATA_DIR_DEFAULT  "/var/lib/kennel"
#define KENNEL_CONFIG_DEFAULT    "/etc/kennel/kenneld.conf"
