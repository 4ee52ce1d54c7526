/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * A profile's text, read and resolved: plain rules about numbers, nothing of JSON.
 *
 * The meaning of a profile does not depend on the order of its entries: of all entries that match a call, the strictest
 * decides, as the kernel itself does where several filters hold. Only if none matches, the default action does.
 */

#include "kennel/error.h"
#include "sandbox/seccomp-names.h"

#define SECCOMP_ARCHITECTURES_MAX 3U
#define SECCOMP_ARGUMENTS_MAX     6U

typedef struct SeccompCondition {
    SeccompOperator op;
    unsigned index;
    uint64_t value;
    uint64_t operand; /* MASKED_EQ: (argument & value) == operand */
} SeccompCondition;

typedef struct SeccompRule {
    uint32_t number;
    uint32_t action;
    uint32_t architecture;    /* index into the profile's */
    uint32_t first_condition; /* index into the profile's; all of them have to hold */
    uint32_t n_conditions;
    uint32_t order; /* decides between equally strict ones, which differ in their errno */
} SeccompRule;

typedef struct SeccompProfile {
    uint32_t default_action;
    const SeccompArchitecture *architectures[SECCOMP_ARCHITECTURES_MAX]; /* the native one first */
    size_t n_architectures;
    SeccompRule *rules;
    size_t n_rules, rules_allocated;
    SeccompCondition *conditions;
    size_t n_conditions, conditions_allocated;
    size_t n_conditional;
} SeccompProfile;

#define SECCOMP_PROFILE_INIT ((SeccompProfile){ 0 })
void seccomp_profile_done(SeccompProfile *p);

/* Adds a rule: NAME is refused with CODE, whatever else is said of it but for what is stricter. -ENOMEM. */
int seccomp_profile_refuse(SeccompProfile *p, const char *name, int code);

/* CAPS decides on includes.caps and excludes.caps. -EINVAL with ERROR_INVALID_SPEC "seccompProfile"; -ENOMEM. */
int seccomp_profile_parse(const char *text, size_t size, uint64_t caps, SeccompProfile *ret, Error *reterr);
