/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The configuration file: lines of `key = value`, `#` begins a comment. It decides who may do what, so it is read
 * strictly: an unknown key, a key twice, a value that is not wholly understood is an error with file and line.
 */

#include "container/controls.h"
#include "container/limits.h"
#include "watch/finding.h"

#define CONFIG_GROUP_MAX 32U
#define CONFIG_PATH_MAX  255U
/* Bytes of a writable layer for which nobody said anything. */
#define CONFIG_DISK_DEFAULT (16ULL * 1024 * 1024 * 1024)

typedef struct Config {
    uint32_t id_base;   /* first host id of the pool */
    uint32_t id_ranges; /* how many ranges of 65,536 */
    char tenant_group[CONFIG_GROUP_MAX + 1];
    uint32_t tenant_containers_max;
    uint32_t starts_max; /* starts of one uid in progress at a time */
    uint64_t log_max_bytes;
    NetworkConfig network;
    uint64_t disk_default;                          /* STORAGE_LIMIT_NONE: no limit */
    ControlMode control_modes[_CONTROL_MAX];        /* UNSET: the default of container/controls.c */
    FindingAction watch_actions[_FINDING_KIND_MAX]; /* UNSET: the default of container/watch.c */
    uint32_t watch_forks_per_second, watch_cpu_seconds, watch_calls_per_second;
    char quarantine[CONFIG_PATH_MAX + 1]; /* empty: no copies are kept */
    uint64_t quarantine_max;
    ContainerLimits tenant_limits; /* ceilings for callers who are not root */
} Config;

/* The ids end below 0x7FFE0000, where systemd's foreign range begins. */
#define CONFIG_INIT                                                                                                    \
    ((Config){                                                                                                         \
        .id_base = 0x70000000,                                                                                         \
        .id_ranges = 4094,                                                                                             \
        .tenant_group = "kennel",                                                                                      \
        .tenant_containers_max = 64,                                                                                   \
        .starts_max = 32,                                                                                              \
        .log_max_bytes = 64ULL * 1024 * 1024,                                                                          \
        .network = NETWORK_CONFIG_INIT,                                                                                \
        .disk_default = CONFIG_DISK_DEFAULT,                                                                           \
        .watch_forks_per_second = 500,                                                                                 \
        .watch_cpu_seconds = 60,                                                                                       \
        .watch_calls_per_second = 500,                                                                                 \
        .quarantine_max = 1ULL << 30,                                                                                  \
        .tenant_limits = CONTAINER_LIMITS_NONE,                                                                        \
    })

/* TEXT has SIZE bytes and a NUL after them. FILE is for messages. *RET, which has the defaults, stays on failure. */
int config_parse(const char *text, size_t size, const char *file, Config *ret, Error *reterr);

/* A file that is missing is an error only if it is REQUIRED. */
int config_load(const char *path, bool required, Config *ret, Error *reterr);

/* The key that sets the ceiling of FIELD of Limits or DeviceLimits, "memory"; FIELD itself if there is none. */
const char *config_ceiling_key(const char *field);
