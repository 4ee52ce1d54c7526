/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The words of a seccomp profile: architectures, system calls, actions, operators, errno names.
 *
 * libseccomp serves as the dictionary of system calls, and as nothing else: see seccomp-compile.h for why.
 */

#include "kennel/cleanup.h"

/* One that a profile may name. Only those that the host's kernel can run are ever compiled. */
typedef struct SeccompArchitecture {
    const char *name;       /* "SCMP_ARCH_X86_64" */
    const char *short_name; /* in includes.arches: "amd64" */
    uint32_t token;         /* libseccomp's */
    uint32_t audit;         /* seccomp_data.arch; x32 shares x86-64's and differs by a bit of the number */
    uint32_t host;          /* token of the 64-bit architecture whose kernel runs it too; 0: not supported here */
    bool narrow;            /* arguments have 32 bits */
} SeccompArchitecture;

#define SECCOMP_X32_BIT 0x40000000U
/* Behind the last call that has a name, on every architecture that is supported here; without the bit. */
#define SECCOMP_CALLS_MAX 1024U

const SeccompArchitecture *seccomp_names_architecture(const char *name);
bool seccomp_names_short_architecture(const char *short_name);
/* That of this machine; NULL if Kennel does not know how to write filters for it. */
const SeccompArchitecture *seccomp_names_native(void);

/* 1 and the number; 0 if the call exists on other architectures only; -ENOENT if nowhere. */
int seccomp_names_syscall(const char *name, const SeccompArchitecture *architecture, uint32_t *ret);

/* "mount"; NULL if the number has no name there. Static. AUDIT: AUDIT_ARCH_*. Locks itself. */
const char *seccomp_call_name(uint32_t audit, int number);

/*
 * i386 has a second entry to the socket and System V IPC calls: one call ("socketcall", "ipc") whose first argument
 * says which one is meant. 1 with the number of the one and the value of that argument; 0 if NAME has no such entry.
 */
int seccomp_names_multiplexed(const char *name, const SeccompArchitecture *architecture, uint32_t *ret_call,
                              uint32_t *ret_which);

/* 0 and SECCOMP_RET_*; -ENOENT; -EOPNOTSUPP with *RET_REASON for actions that exist and are not taken. */
int seccomp_names_action(const char *name, uint32_t *ret, const char **ret_reason);
#define SECCOMP_ACTIONS "SCMP_ACT_ALLOW, LOG, ERRNO, TRAP, KILL, KILL_THREAD or KILL_PROCESS"

/* 0 where it means nothing for us; -ENOENT; -EOPNOTSUPP with *RET_REASON. */
int seccomp_names_flag(const char *name, const char **ret_reason);

typedef enum SeccompOperator {
    SECCOMP_NE,
    SECCOMP_LT,
    SECCOMP_LE,
    SECCOMP_EQ,
    SECCOMP_GE,
    SECCOMP_GT,
    SECCOMP_MASKED_EQ,
    _SECCOMP_OPERATOR_MAX,
} SeccompOperator;

int seccomp_names_operator(const char *name); /* -ENOENT */
#define SECCOMP_OPERATORS "SCMP_CMP_NE, LT, LE, EQ, GE, GT or MASKED_EQ"

int seccomp_names_errno(const char *name); /* "EPERM" → 1; -ENOENT */
