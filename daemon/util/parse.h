/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Numbers and lists from text, strictly: the whole string or nothing, no sign, no blank, no 0x, no overflow
 * (crun's CVE-2026-30892 was `exec -u` parsed loosely).
 */

#include "kennel/cleanup.h"

int parse_u64(const char *text, uint64_t *ret); /* -EINVAL, -ERANGE */
int parse_u32(const char *text, uint32_t *ret);
/* An id: not 2^32-1 and not 2^16-1 either, which mean "none" to parts of the kernel. */
int parse_id(const char *text, uint32_t *ret);
/* A NULL-terminated array of strings. */
char **strv_free(char **v);
DEFINE_CLEANUP(char *, strv_free)
size_t strv_length(char *const *v);
char **strv_copy(char *const *v);
/* Value of KEY in an environment, or NULL. */
const char *strv_env_get(char *const *env, const char *key);
