/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* For builds without libselinux. See selinux.h. */

#include "sandbox/selinux.h"

#define REASON "this build has no libselinux"

bool selinux_is_available(const char **ret_reason) {
    *ret_reason = REASON;
    return false;
}

int selinux_host_new(SELinuxHost **ret, Error *reterr) {
    return error_failed(reterr, EOPNOTSUPP, "selinux", REASON);
}

SELinuxHost *selinux_host_free(SELinuxHost *h) {
    return NULL;
}

void selinux_contexts_done(SELinuxContexts *c) {
    *c = (SELinuxContexts){ 0 };
}

int selinux_contexts_make(SELinuxHost *h, const char *type, const char *level, SELinuxContexts *ret, Error *reterr) {
    return error_failed(reterr, EOPNOTSUPP, "selinux", REASON);
}

int selinux_context_disabled(SELinuxHost *h, char **ret, Error *reterr) {
    return error_failed(reterr, EOPNOTSUPP, "selinux", REASON);
}

int selinux_enter(int proc_fd, const char *context) {
    return -EOPNOTSUPP;
}

int selinux_read(int pid_dir_fd, char *ret, size_t size) {
    return -EOPNOTSUPP;
}
