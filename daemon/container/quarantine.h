/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Copies of programs that should not have been in a container, for whoever looks into it later.
 *
 * Trust: the program is hostile, and so may be the file system that it lies on. It is read through /proc/PID/exe by a
 * worker, never executed, never followed by a name of its own; the copy's name is made of the container's id, the finding's
 * number and the hash, and nobody can execute it. Its size, and that of all copies together, have an end.
 */

#include "watch/finding.h"

#define QUARANTINE_FILE_MAX (256ULL * 1024 * 1024)

/* Is F of a kind whose program is kept, and is it of one process? */
bool quarantine_wants(const Finding *f);
/* "2b2908f6c4f2-3-0123456789abcdef" */
void quarantine_name(const char *id, const Finding *f, char ret[static 80]);

/*
 * Copies what HOST_PID executes into DIR_FD as NAME, if no more than BYTES_MAX are there then. 0 also if it is there
 * already. Blocks; the caller sees to it that HOST_PID is who he means.
 */
int quarantine_keep(int dir_fd, uint64_t bytes_max, const char *name, pid_t host_pid, Error *reterr);
