/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Copies of programs that should not have been in a container, for whoever looks into it later.
 *
 * Trust: the program is hostile, and so may be the file system that it lies on. Only a program that has a hash is kept:
 * that is made where the file system is local, so that reading it does not wait for anybody. It is opened through
 * /proc/PID/exe while its process is frozen or runs on, by a worker, and only if it is the file that the finding shows; it is
 * never executed, never followed by a name of its own. The copy's name is made of the container's id, the finding's number and
 * the hash, and nobody can execute it. Its size, that of all copies together, and their number have an end.
 *
 * The copy is made after its process was killed, and shows the file as it is then: whoever can write to it may have
 * changed it since, and then it has another hash than its name says.
 */

#include "watch/finding.h"

#define QUARANTINE_FILE_MAX (256ULL * 1024 * 1024)

/* Is F of a kind whose program is kept, of one process, and is its program known by device, inode and hash? */
bool quarantine_wants(const Finding *f);
/* "2b2908f6c4f2-3-0123456789abcdef" */
void quarantine_name(const char *id, const Finding *f, char ret[static 80]);

/*
 * What HOST_PID, the process of PIDFD, executes, for reading: an fd, or -errno with the reason. -ESTALE: it is not the
 * program that was found, device DEV and inode INO, as of a process that has executed something else since, or where
 * another program (an interpreter, the dynamic loader) executes it.
 */
int quarantine_open(pid_t host_pid, int pidfd, uint64_t dev, uint64_t ino, Error *reterr);

/*
 * Copies PROGRAM_FD, which stays the caller's, into DIR_FD as NAME, if no more than BYTES_MAX are there then; each file counts
 * 64 KiB at least. 0 also if it is there already. Blocks: for copies of other containers, too, one being made after the
 * other.
 */
int quarantine_keep(int dir_fd, uint64_t bytes_max, const char *name, int program_fd, Error *reterr);
