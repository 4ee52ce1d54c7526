/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Controls that a host may lack, and what is to be done then.
 *
 * Each has a mode: what is required and missing refuses the start before anything is made; what is best-effort and missing
 * is noted in the container's record, and shown by Inspect, Verify and an event. The mode is what the call says, else the
 * configuration, else the default here.
 */

#include "kennel/error.h"
#include "util/check.h"

typedef struct Container Container;
typedef struct ContainerEnvironment ContainerEnvironment;
typedef struct ContainerLimits ContainerLimits;
typedef struct ContainerSpec ContainerSpec;

typedef enum ControlKind {
    CONTROL_APPARMOR,
    CONTROL_SELINUX,
    CONTROL_LABEL, /* either of the two: a host has one of them at most */
    CONTROL_SECCOMP,
    CONTROL_DEVICES,
    CONTROL_STORAGE, /* a writable layer that is held to its size */
    CONTROL_PIDS,    /* a limit of processes */
    _CONTROL_MAX
} ControlKind;

typedef enum ControlMode {
    CONTROL_MODE_UNSET, /* nobody has said */
    CONTROL_REQUIRED,
    CONTROL_BEST_EFFORT,
    _CONTROL_MODE_MAX
} ControlMode;

#define CONTROL_REASON_MAX  192U
#define CONTROL_MESSAGE_MAX 320U

/* Of one container. */
typedef struct ContainerControl {
    ControlMode mode;                /* as the call says; from container_controls_decide() on, never UNSET */
    bool declined;                   /* absent because it was asked for none */
    char absent[CONTROL_REASON_MAX]; /* why it is not in force; empty: it is, or nothing is there that it could hold */
} ContainerControl;

const char *control_name(ControlKind k);             /* "apparmor", ... as in the interface */
int control_from_name(const char *name);             /* or -EINVAL */
const char *control_mode_to_string(ControlMode m);   /* "required", "bestEffort"; NULL for UNSET */
ControlMode control_mode_from_string(const char *s); /* UNSET if it is neither */
void control_names(char *ret, size_t size);          /* "apparmor, selinux, ..." for messages */

/* What holds for who says nothing: the configuration's, else the default. Never UNSET. */
ControlMode container_controls_mode(const ContainerEnvironment *e, ControlKind k);

/* Why this host lacks it, in REASON; NULL: it has it. */
const char *container_controls_missing(const ContainerEnvironment *e, ControlKind k, char reason[CONTROL_REASON_MAX]);

/*
 * Fills in what SPEC's controls come to, once its limits and its storage are final. ERROR_HARDENING_FAILED with the control
 * as stage: it is required and the host lacks it. ERROR_INVALID_SPEC: SPEC asks to go without what is required.
 */
int container_controls_decide(const ContainerEnvironment *e, ContainerSpec *spec, Error *reterr);

/* The same for other limits of a container that runs. */
int container_controls_check_limits(const ContainerSpec *spec, const ContainerLimits *limits, Error *reterr);

/* What the event `started` says of absent ones, after "without "; empty if there is nothing to say. */
void container_controls_describe(const ContainerSpec *spec, char ret[CONTROL_MESSAGE_MAX]);

/* Adds a row for each control that is to be absent because the host has none. For threads. PID: the first process. */
void container_controls_attest(const Container *c, int pid, CheckList *checks);
