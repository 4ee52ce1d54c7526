/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* See apparmor.h. */

#include "sandbox/apparmor.h"

#include <errno.h>
#include <sys/apparmor.h>

bool apparmor_is_available(const char **ret_reason) {
    if (aa_is_enabled())
        return true;
    switch (errno) {
    case ENOSYS:
        *ret_reason = "the kernel has no AppArmor";
        break;
    case ECANCELED:
        *ret_reason = "AppArmor is switched off on the kernel's command line";
        break;
    case ENOENT:
        *ret_reason = "AppArmor's file system is not mounted";
        break;
    default:
        *ret_reason = "the kernel does not say whether AppArmor is on";
    }
    return false;
}

void apparmor_profile_name(uint32_t id_base, char ret[static APPARMOR_NAME_SIZE]) {
    (void) snprintf(ret, APPARMOR_NAME_SIZE, "kennel-%u", id_base);
}

int apparmor_host_new(int data_fd, AppArmorHost **ret, Error *reterr) {
    return error_failed(reterr, EOPNOTSUPP, "apparmor", "not yet");
}

AppArmorHost *apparmor_host_free(AppArmorHost *h) {
    return NULL;
}

int apparmor_profile_load(AppArmorHost *h, uint32_t id_base, Error *reterr) {
    return error_failed(reterr, EOPNOTSUPP, "apparmor", "not yet");
}

void apparmor_profile_release(AppArmorHost *h, uint32_t id_base) {}

int apparmor_check_loaded(const char *profile, Error *reterr) {
    return error_failed(reterr, EOPNOTSUPP, "apparmor", "not yet");
}

int apparmor_enter(int proc_fd, const char *profile) {
    return -EOPNOTSUPP;
}

int apparmor_read(int pid_dir_fd, char *ret, size_t size) {
    return -EOPNOTSUPP;
}
