/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What the files of attestation share; nobody else includes this. */

#include "sandbox/internal.h"

typedef struct Attest {
    SandboxHost *host;
    const SandboxExpectation *x;
    int dir_fd; /* /proc/PID */
    char status[8192];
    CheckList *checks;
} Attest;

/* attest-mounts.c: every mount, every mask, and the descriptors, which are held against the mounts. */
int attest_mounts(Attest *a);
