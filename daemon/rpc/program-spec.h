/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The fields that Run and Exec have in common: what program, with which environment, as whom, on which streams. Each
 * function reads one field (or a few that belong together) so that the caller can read them in the interface's order.
 */

#include "rpc/descriptors.h"
#include "rpc/peer.h"
#include "sandbox/sandbox.h"

#include <json-c/json.h>

/* PATH normalised: absolute, no "//", "." or trailing "/"; ".." is refused. *RET is a new string. */
int program_spec_path(const char *text, const char *field, char **ret, Error *reterr);

/* A descriptor of the peer's that must prove a right. For stdio, and, by way of run-spec.c, for directories. */
int program_spec_check_opened(int fd, const char *field, const Peer *peer, Error *reterr);

int program_spec_command(json_object *parameters, SandboxProgram *p, Error *reterr);
/* What the caller gave, each key once (the last one counts); no defaults. */
int program_spec_environment(json_object *parameters, SandboxProgram *p, Error *reterr);
int program_spec_directory(json_object *parameters, SandboxProgram *p, Error *reterr);
int program_spec_user(json_object *parameters, SandboxProgram *p, Error *reterr);
int program_spec_terminal(json_object *parameters, SandboxProgram *p, Error *reterr);
/* Reads stdin, stdout and stderr; after the terminal, which excludes them. */
int program_spec_stdio(json_object *parameters, Descriptors *d, SandboxProgram *p, Error *reterr);

/* Adds KEY=VALUE unless KEY is there. */
int program_spec_add_default(SandboxProgram *p, const char *key, const char *value, Error *reterr);
