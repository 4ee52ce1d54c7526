/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Compiled profiles, kept below the data directory: apparmor/KEY/NAME, one file a profile. Thread-safe, since whoever
 * compiles holds a lock; what has a name there is complete.
 */

#include "sandbox/apparmor-policy.h"

#include <pthread.h>

typedef struct AppArmorCompiler {
    const char *parser;
    AppArmorPolicy policy;
    int own_fd; /* apparmor/ */
    int key_fd; /* apparmor/KEY/ */
    pthread_mutex_t lock;
} AppArmorCompiler;

/* FEATURES: the kernel's, by libapparmor's hash. Finds the parser, removes what other keys left. */
int apparmor_compiler_init(AppArmorCompiler *c, int data_fd, const char *features, Error *reterr);
void apparmor_compiler_done(AppArmorCompiler *c);

/* The profile of ID_BASE in the kernel's form; compiled, with its neighbours, if it has not been before. */
int apparmor_compiler_get(AppArmorCompiler *c, uint32_t id_base, char **ret, size_t *ret_size, Error *reterr);
bool apparmor_compiler_has(const AppArmorCompiler *c, uint32_t id_base);
/* The kernel did not take it: the next get() compiles it anew. */
void apparmor_compiler_forget(AppArmorCompiler *c, uint32_t id_base);
