/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The files of a cgroup: small, read in one go, written in one go, a number or lines of "key number". */

#include "kennel/cleanup.h"

/* Longer than any of them: memory.stat has some 60 lines. */
#define CGROUP_FILE_MAX 8192U

/* One write(), as the kernel parses each write by itself. */
int cgroup_file_write(int dir_fd, const char *name, const char *value);
/* Terminates what it read; returns its length. -EFBIG if it does not fit. */
ssize_t cgroup_file_read(int dir_fd, const char *name, char *buffer, size_t size);
/* The same of a file that is open, from its start. */
ssize_t cgroup_file_pread(int fd, char *buffer, size_t size);

/* The whole text but for a newline is a number. -ERANGE for "max" and "-1", which mean that there is none. */
int cgroup_file_number(const char *text, uint64_t *ret);
/* The number in the line "KEY number". -ENOENT if there is no such line. */
int cgroup_file_keyed(const char *text, const char *key, uint64_t *ret);
/* The digits at *TEXT as a number; *TEXT moves behind them. False if there are none, or they are too many. */
bool cgroup_file_digits(const char **text, uint64_t *ret);
/* "MAJOR:MINOR" at TEXT; what follows it, or NULL if TEXT does not begin so. */
const char *cgroup_file_device(const char *text, uint32_t ret[static 2]);
/* Is WORD one of the words of TEXT, which blanks or SEPARATOR part? */
bool cgroup_file_has_word(const char *text, const char *word, char separator);
