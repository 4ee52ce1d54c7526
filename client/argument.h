/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Values of flags that have parts: SRC:DST:ro, PATH:size=N, NAME=SOFT:HARD. Pure functions, but for the one that looks up
 * a device; reterr is ERROR_INVALID_SPEC with the flag as subject, and its message has the value and the right form.
 */

#include "kennel/error.h"

typedef struct ArgumentVolume {
    char *source;
    char *target;
    bool read_only;
    const char *relabel; /* "shared", "private"; NULL: not at all */
} ArgumentVolume;

/* "SRC:DST", "SRC:DST:OPTION[,OPTION]" with ro or rw, z or Z, as docker has them. DST is absolute. */
int argument_volume(const char *flag, const char *text, ArgumentVolume *ret, Error *reterr);
void argument_volume_done(ArgumentVolume *v);

typedef struct ArgumentTmpfs {
    char *path;
    int64_t size, inodes, mode; /* -1: not given */
} ArgumentTmpfs;

#define ARGUMENT_TMPFS_INIT ((ArgumentTmpfs){ .size = -1, .inodes = -1, .mode = -1 })

/* "PATH", "PATH:size=64M,inodes=1000,mode=1777". PATH is absolute. */
int argument_tmpfs(const char *flag, const char *text, ArgumentTmpfs *ret, Error *reterr);
void argument_tmpfs_done(ArgumentTmpfs *t);

typedef struct ArgumentUlimit {
    char name[32];
    int64_t soft, hard; /* -1: no limit */
} ArgumentUlimit;

/* "nofile=1024" (both), "nofile=1024:4096", "core=unlimited". */
int argument_ulimit(const char *flag, const char *text, ArgumentUlimit *ret, Error *reterr);

typedef struct ArgumentPort {
    char address[16]; /* empty: all of the host's */
    int64_t host, container;
    bool udp;
} ArgumentPort;

/* "8080:80", "127.0.0.1:8080:80", "53:53/udp". */
int argument_port(const char *flag, const char *text, ArgumentPort *ret, Error *reterr);

typedef struct ArgumentDevice {
    char device[24]; /* "8:16" */
    int64_t rate;
} ArgumentDevice;

/* "/dev/sda:10M", "8:0:10M": a block device, by path or number, and bytes (BYTES) or operations a second, MIN at least. */
int argument_device(const char *flag, const char *text, bool bytes, int64_t min, ArgumentDevice *ret, Error *reterr);

#define ARGUMENT_NO_LIMIT INT64_C(-1)

typedef struct ArgumentNetRate {
    int64_t in, out; /* bits per second; 0: not given; ARGUMENT_NO_LIMIT */
} ArgumentNetRate;

/* "10M" (both), "in=10M", "in=1G,out=100Mbit", "in=none". */
int argument_net_rate(const char *flag, const char *text, ArgumentNetRate *ret, Error *reterr);
