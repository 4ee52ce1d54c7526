/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Values of flags that have parts: SRC:DST:ro, PATH:size=N, NAME=SOFT:HARD. Pure functions; reterr is
 * ERROR_INVALID_SPEC with the flag as subject, and its message has the value and the right form.
 */

#include "kennel/error.h"

typedef struct ArgumentVolume {
    char *source;
    char *target;
    bool read_only;
} ArgumentVolume;

/* "SRC:DST", "SRC:DST:ro", "SRC:DST:rw". DST is absolute. */
int argument_volume(const char *flag, const char *text, ArgumentVolume *ret, Error *reterr);
void argument_volume_done(ArgumentVolume *v);

typedef struct ArgumentTmpfs {
    char *path;
    int64_t size; /* -1: not given */
    int64_t mode; /* -1: not given */
} ArgumentTmpfs;

/* "PATH", "PATH:size=64M,mode=1777". PATH is absolute. */
int argument_tmpfs(const char *flag, const char *text, ArgumentTmpfs *ret, Error *reterr);
void argument_tmpfs_done(ArgumentTmpfs *t);

typedef struct ArgumentUlimit {
    char name[32];
    int64_t soft, hard; /* -1: no limit */
} ArgumentUlimit;

/* "nofile=1024" (both), "nofile=1024:4096", "core=unlimited". */
int argument_ulimit(const char *flag, const char *text, ArgumentUlimit *ret, Error *reterr);
