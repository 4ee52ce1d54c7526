/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What the daemon knows, as JSON of the interface. A render_*() that gives an object returns NULL when memory is short;
 * whoever adds to an object gets -ENOMEM. What has no value is written as null, not left out.
 */

#include "container/container.h"

#include <json-c/json.h>

/* KEY is a literal. VALUE may hold any bytes: what is not UTF-8 is replaced. NULL is null. */
int render_add_string(json_object *o, const char *key, const char *value);
int render_add_int(json_object *o, const char *key, int64_t value);
int render_add_bool(json_object *o, const char *key, bool value);
int render_add_null(json_object *o, const char *key);
/* CONSUME_VALUE NULL: it could not be made. */
int render_add(json_object *o, const char *key, json_object *consume_value);
/* null unless THERE */
int render_add_optional_int(json_object *o, const char *key, bool there, int64_t value);
int render_append(json_object *list, json_object *consume_value);
json_object *render_strings(char *const *strings);

/* COMMAND_BUDGET: bytes of the command that are shown; SIZE_MAX for all. */
json_object *render_container(const Container *c, size_t command_budget);
json_object *render_exit(const ContainerExit *x);
json_object *render_event(const ContainerEvent *e);
json_object *render_process(const ProcessInfo *p, uint32_t id_base, size_t command_budget);
json_object *render_finding(const Container *c, const Finding *f);
/* One of `watch`: [{detector, action}]; REASON: of Info, and null if it is empty. WITH_REASON false: it has none. */
json_object *render_detector(FindingKind k, FindingAction action, const char *reason);
json_object *render_log_entry(const ContainerLogEntry *e);
json_object *render_check(const Check *c);
/* MODE UNSET: there is none to be chosen. */
json_object *render_control(const char *name, bool in_force, const char *reason, ControlMode mode);
/* Limits as they are in force: what has none is null. */
json_object *render_limits(const ContainerLimits *l);
/* The reply of Inspect, but for `controls`, the labels and `sample`. GATEWAY: of the network "bridge". */
json_object *render_inspection(const Container *c, uint32_t gateway);
