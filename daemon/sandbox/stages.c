/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The names of the steps of a start, as HardeningFailed shows them. */

#include "sandbox/internal.h"

const char *sandbox_stage_to_string(SandboxStage s) {
    static const char *const names[] = {
#define X(name, text) text,
        SANDBOX_STAGES(X)
#undef X
    };
    return (unsigned) s < ELEMENTSOF(names) ? names[s] : "unknown";
}
