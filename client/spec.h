/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * From the flags of run and exec to the parameters of Run and Exec, with their descriptors.
 *
 * Everything that the user names by a path is opened here, with the user's own rights; the daemon sees descriptors.
 * Each descriptor stands in exactly one field, as the protocol demands: what is named twice is opened twice.
 */

#include "client/limit-flags.h"
#include "kennel/limits.h"

#include <json-c/json.h>

/* What run and exec have in common. */
typedef struct ProcessFlags {
    bool interactive, tty;
    const char *user, *working_directory;
    Strings env, env_files;
} ProcessFlags;

typedef struct RunFlags {
    ProcessFlags process;
    bool detach, remove, read_only, init;
    const char *name, *rootfs, *hostname, *network, *exec_policy;
    Strings volumes, tmpfs, ports, cap_add, cap_drop, security, controls, ulimits;
    LimitFlags limits;
} RunFlags;

typedef struct Spec {
    json_object *parameters;
    int fds[KENNEL_FDS_MAX];
    size_t n_fds;
} Spec;

void spec_done(Spec *s);

/* On failure reterr is ERROR_INVALID_SPEC with the flag as subject. COMMAND has at least one string. */
int spec_run(const RunFlags *flags, const Strings *command, Spec *ret, Error *reterr);
int spec_exec(const ProcessFlags *flags, const char *container, const Strings *command, Spec *ret, Error *reterr);

/* Hands FD over and puts its index into the field KEY of WHERE. FLAG is for the error. */
int spec_add_fd(Spec *s, json_object *where, const char *key, int consume_fd, const char *flag, Error *reterr);

/* Asks for a terminal of this size. */
int spec_add_terminal(Spec *s, unsigned rows, unsigned columns, Error *reterr);
