/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The protocol's bounds, the same on both sides. Each is tested from outside; README.md lists them for users.
 *
 * A message that breaks a bound of the first group is answered with io.kennel.MalformedMessage and the connection is
 * closed, because nothing after it can be trusted to be a message. The second group is about fields of a well-formed
 * call: InvalidSpec names the field and the connection goes on.
 */

/* bytes of one call, its NUL excluded: a command line, an environment and a seccomp profile fit several times */
#define KENNEL_CALL_MAX (1024U * 1024U)
/* bytes of one reply: a List of 2,000 containers fits many times */
#define KENNEL_REPLY_MAX (16U * 1024U * 1024U)
#define KENNEL_DEPTH_MAX 32U
/* JSON values in one call: bounds what parsing can allocate */
#define KENNEL_VALUES_MAX 65536U
#define KENNEL_KEY_MAX    256U
/* fds with one message; the kernel's own bound is 253 */
#define KENNEL_FDS_MAX 64U
/* complete calls of one connection that wait behind the one in progress */
#define KENNEL_PIPELINE_MAX            16U
#define KENNEL_CONNECTIONS_MAX         1024U
#define KENNEL_CONNECTIONS_PER_UID_MAX 128U
/* how long a message may stay half sent, and how long a reply may wait for a peer that reads nothing */
#define KENNEL_HALF_MESSAGE_USEC (10ULL * 1000000ULL)
#define KENNEL_SLOW_READER_BYTES (4U * 1024U * 1024U)

#define KENNEL_NAME_MAX       63U
#define KENNEL_ARGS_MAX       4096U
#define KENNEL_ENV_MAX        4096U
#define KENNEL_STRING_MAX     4096U   /* paths, names, everything that is not listed otherwise */
#define KENNEL_ARG_STRING_MAX 131071U /* the kernel's MAX_ARG_STRLEN less its NUL */
#define KENNEL_PROFILE_MAX    (512U * 1024U)
#define KENNEL_MOUNTS_MAX     32U /* volumes and tmpfs together */
#define KENNEL_GROUPS_MAX     64U
