/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The flags of limits, which run and update have in common, and the object Limits of the protocol that comes of them.
 *
 * The ranges that the protocol promises are checked here, so that an error can name the flag; what depends on the host,
 * on the configuration or on other limits is the daemon's to judge.
 */

#include "client/options.h"

#include <json-c/json.h>

typedef enum LimitDeviceRate {
    LIMIT_DEVICE_READ_BPS,
    LIMIT_DEVICE_WRITE_BPS,
    LIMIT_DEVICE_READ_IOPS,
    LIMIT_DEVICE_WRITE_IOPS,
    _LIMIT_DEVICE_MAX,
} LimitDeviceRate;

typedef struct LimitFlags {
    const char *memory, *memory_swap, *memory_high, *cpus, *cpu_weight, *cpuset_cpus, *pids, *io_weight, *disk, *inodes,
        *net_rate;
    Strings devices[_LIMIT_DEVICE_MAX];
} LimitFlags;

/* The rows of a verb's table of options. M(member) is the offset of that member of LimitFlags in the verb's structure. */
/* clang-format off */
#define LIMIT_OPTIONS(M)                                                                                               \
    { 'm', "memory", OPTION_STRING, M(memory), "BYTES", "limit of memory: 64M, 1g" },                                  \
    { 0, "memory-swap", OPTION_STRING, M(memory_swap), "BYTES", "limit of memory and swap together (no swap)" },       \
    { 0, "memory-high", OPTION_STRING, M(memory_high), "BYTES", "memory above which it is slowed down" },              \
    { 0, "cpus", OPTION_STRING, M(cpus), "N", "limit of CPU time: 0.5, 2" },                                           \
    { 0, "cpu-weight", OPTION_STRING, M(cpu_weight), "N", "share where CPUs are short: 1 to 10000 (100)" },            \
    { 0, "cpuset-cpus", OPTION_STRING, M(cpuset_cpus), "LIST", "the CPUs it may use: 0-2,5" },                         \
    { 0, "pids-limit", OPTION_STRING, M(pids), "N", "limit of processes and threads (1024)" },                         \
    { 0, "io-weight", OPTION_STRING, M(io_weight), "N", "share where disks are busy: 1 to 10000 (100)" },              \
    { 0, "device-read-bps", OPTION_LIST, M(devices[LIMIT_DEVICE_READ_BPS]), "DEV:BYTES",                               \
      "limit of reads a second from a disk: /dev/sda:10M" },                                                           \
    { 0, "device-write-bps", OPTION_LIST, M(devices[LIMIT_DEVICE_WRITE_BPS]), "DEV:BYTES", "of writes" },              \
    { 0, "device-read-iops", OPTION_LIST, M(devices[LIMIT_DEVICE_READ_IOPS]), "DEV:N", "of read operations" },         \
    { 0, "device-write-iops", OPTION_LIST, M(devices[LIMIT_DEVICE_WRITE_IOPS]), "DEV:N", "of write operations" },      \
    { 0, "disk", OPTION_STRING, M(disk), "BYTES", "limit of the writable layer" },                                     \
    { 0, "disk-inodes", OPTION_STRING, M(inodes), "N", "limit of its files and directories" },                         \
    { 0, "net-rate", OPTION_STRING, M(net_rate), "BITS", "limit of the network: 10M; in=1M,out=10M" }
/* clang-format on */

/*
 * *ret is a new object, or NULL if no flag was given. On failure reterr is ERROR_INVALID_SPEC with the flag as subject.
 * The value "none" puts the field's name into `unlimited`.
 */
int limit_flags_build(const LimitFlags *flags, json_object **ret, Error *reterr);

/* A value of the field NAME of Limits as a person would write it: "512.0MiB", "0.5", "10000000 bit/s". */
void limit_flags_describe(const char *name, json_object *value, char *ret, size_t size);
