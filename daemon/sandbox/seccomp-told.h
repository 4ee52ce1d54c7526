/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Which refused system calls are told, and which are refused in silence.
 *
 * Told is every call that a profile refuses but for those in a table: calls that ordinary programs make, and live without.
 * Which is the right way round: a call that nobody has thought of is reported once too often rather than never.
 */

#include "sandbox/seccomp-names.h"

#define SECCOMP_QUIET_MAX      64U
#define SECCOMP_EXCEPTIONS_MAX 8U

/* The low 32 bits of argument INDEX are VALUE. */
typedef struct SeccompToldArgument {
    unsigned index;
    uint32_t value;
} SeccompToldArgument;

/* A call that is told, but not with these arguments. */
typedef struct SeccompToldException {
    const char *name;
    SeccompToldArgument arguments[2];
    size_t n_arguments;
} SeccompToldException;

extern const SeccompToldException seccomp_told_exceptions[];
extern const size_t seccomp_told_n_exceptions;

/* The tables in the numbers of one architecture. */
typedef struct SeccompTold {
    uint32_t quiet[SECCOMP_QUIET_MAX];
    size_t n_quiet;
    uint32_t exceptions[SECCOMP_EXCEPTIONS_MAX]; /* in the order of seccomp_told_exceptions; UINT32_MAX: it has none */
} SeccompTold;

void seccomp_told_resolve(const SeccompArchitecture *a, SeccompTold *ret);

typedef enum SeccompTelling { SECCOMP_TOLD_NEVER, SECCOMP_TOLD_BY_ARGUMENT, SECCOMP_TOLD_ALWAYS } SeccompTelling;
SeccompTelling seccomp_told(const SeccompTold *t, uint32_t number);
