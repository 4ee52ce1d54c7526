/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * From rules to the program that the kernel runs.
 *
 * We generate it ourselves. Profiles come from callers, and libseccomp before 2.6.1 corrupts its heap over large
 * filters (GHSA-2hqh-5c36-grrm, GHSA-46fr-jh49-xvhx) and merges 64-bit comparisons into filters that are weaker than
 * their rules (GHSA-4q85-33p6-j5g6); the systems that we run on have older ones. What is needed here is small:
 * comparisons of one rule at a time, never merged, below a binary search for the number. The unit test holds the result
 * against libseccomp's for the profiles that both do right.
 *
 * The result tells of refusals that nobody makes in innocence (seccomp-told.h): SECCOMP_RET_USER_NOTIF with the errno.
 */

#include "sandbox/seccomp-profile.h"

#include <linux/filter.h>
#include <linux/seccomp.h>

/* *RET is allocated. -EINVAL with ERROR_INVALID_SPEC if the result is longer than the kernel takes; -ENOMEM. */
int seccomp_compile(const SeccompProfile *p, struct sock_filter **ret, size_t *ret_n, Error *reterr);

/*
 * What the program says of CALL: SECCOMP_RET_*. Knows the instructions that are emitted here, and takes whatever else is in
 * the bytes for SECCOMP_RET_KILL_PROCESS.
 */
uint32_t seccomp_compile_run(const struct sock_filter *code, size_t n, const struct seccomp_data *call);

/* Whether the instructions begin with the part that no profile can switch off, and end as ours do. */
bool seccomp_compile_recognises(const struct sock_filter *code, size_t n);
