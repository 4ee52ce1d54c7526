/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The text of a container's profile, and the kernel's list of profiles: what needs neither AppArmor nor root.
 */

#include "sandbox/apparmor.h"

/* What the parser and the kernel at hand decide about the text. */
typedef struct AppArmorPolicy {
    bool has_mqueue_rules; /* the parser knows them: from version 4 */
} AppArmorPolicy;

/* The profile called NAME; allocated, NULL if out of memory. */
char *apparmor_policy_text(const AppArmorPolicy *p, const char *name);
/* From "AppArmor parser version 4.1.0": 4; 0 if it says nothing of the kind. */
unsigned apparmor_policy_parser_major(const char *version);

/*
 * What blobs are kept under: the same for the same text, compiler and kernel, and for nothing else. VERSION: what the
 * parser says of itself; FEATURES: the kernel's, by libapparmor's hash.
 */
#define APPARMOR_KEY_SIZE 24U
int apparmor_policy_key(const AppArmorPolicy *p, const char *version, const char *features,
                        char ret[static APPARMOR_KEY_SIZE]);

/* Profiles are compiled so many at a time: neighbours in the pool, which are taken one after the other. */
#define APPARMOR_BATCH 4U
/* The first of the ids whose profiles are compiled together with that of ID_BASE. */
uint32_t apparmor_policy_batch(uint32_t id_base);

/* May a caller ask for a profile of this name at all? ERROR_INVALID_SPEC "apparmorProfile". */
int apparmor_policy_check_name(const char *name, Error *reterr);
/* The mode of NAME in LIST, the kernel's ("NAME (MODE)" a line): "enforce"; -ENOENT if it is not in it. */
#define APPARMOR_MODE_SIZE 16U
int apparmor_policy_find(const char *list, const char *name, char ret_mode[static APPARMOR_MODE_SIZE]);
