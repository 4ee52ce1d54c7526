/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Descriptors that the service manager keeps for the next daemon (sd_notify(3), FDSTORE=1): across a restart and a crash,
 * and over a stop where the manager's settings say so. Where there is no manager, nothing is kept and nothing fails.
 *
 * A name is OWNER-WHAT, such as "2b2908f6c4f2-terminal"; whatever else is passed to the daemon is a socket's.
 */

#include "kennel/error.h"

#define FD_STORE_NAME_MAX 64U

typedef struct FdStore FdStore;

/* Takes what was passed to this process: the descriptors of the last daemon, and at most one other (-EBADF: none). */
int fd_store_new(FdStore **ret, int *ret_socket_fd, Error *reterr);
FdStore *fd_store_free(FdStore *s);
DEFINE_CLEANUP(FdStore, fd_store_free)

/* Hands over what the last daemon left; the manager keeps its own duplicate. -ENOENT: there is none. Each once. */
int fd_store_take(FdStore *s, const char *owner, const char *what);

/*
 * From any thread; S may be NULL. -ENOTCONN: nobody keeps descriptors here. Success means that the manager has been
 * asked: it does not answer, and drops what is beyond FileDescriptorStoreMax=.
 */
int fd_store_put(const FdStore *s, const char *owner, const char *what, int fd);
void fd_store_remove(const FdStore *s, const char *owner, const char *what);

/* Ends the recovery: what nobody has taken is closed, and the manager told to forget it unless its owner IS_WANTED(). */
void fd_store_forget(FdStore *s, bool (*is_wanted)(void *userdata, const char *owner), void *userdata);
