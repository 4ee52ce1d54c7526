/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* See selinux.h. */

#include "sandbox/selinux.h"

#include <selinux/selinux.h>

bool selinux_is_available(const char **ret_reason) {
    if (is_selinux_enabled() == 1)
        return true;
    *ret_reason = "the kernel has no SELinux, or no policy is loaded";
    return false;
}

int selinux_host_new(SELinuxHost **ret, Error *reterr) {
    return error_failed(reterr, EOPNOTSUPP, "selinux", "not yet");
}

SELinuxHost *selinux_host_free(SELinuxHost *h) {
    return NULL;
}

void selinux_contexts_done(SELinuxContexts *c) {
    *c = (SELinuxContexts){ 0 };
}

int selinux_contexts_make(SELinuxHost *h, const char *type, const char *level, SELinuxContexts *ret, Error *reterr) {
    return error_failed(reterr, EOPNOTSUPP, "selinux", "not yet");
}

int selinux_relabel(int fd, const char *context, uid_t owner, const char *field, Error *reterr) {
    return error_failed(reterr, EOPNOTSUPP, "selinux", "not yet");
}

int selinux_enter(int proc_fd, const char *context) {
    return -EOPNOTSUPP;
}

int selinux_read(int pid_dir_fd, char *ret, size_t size) {
    return -EOPNOTSUPP;
}
