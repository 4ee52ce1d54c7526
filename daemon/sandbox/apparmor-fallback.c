/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* For builds without libapparmor. See apparmor.h. */

#include "sandbox/apparmor.h"

#define REASON "this build has no libapparmor"

bool apparmor_is_available(const char **ret_reason) {
    *ret_reason = REASON;
    return false;
}

int apparmor_host_new(int data_fd, AppArmorHost **ret, Error *reterr) {
    return error_failed(reterr, EOPNOTSUPP, "apparmor", REASON);
}

AppArmorHost *apparmor_host_free(AppArmorHost *h) {
    return NULL;
}

const char *apparmor_start_profile(int proc_fd) {
    return NULL;
}

bool apparmor_host_is_confined(const AppArmorHost *h) {
    return false;
}

void apparmor_profile_expect(AppArmorHost *h, uint32_t id_base) {}

int apparmor_profile_load(AppArmorHost *h, uint32_t id_base, Error *reterr) {
    return error_failed(reterr, EOPNOTSUPP, "apparmor", REASON);
}

void apparmor_profile_release(AppArmorHost *h, uint32_t id_base) {}

int apparmor_check_loaded(const char *profile, Error *reterr) {
    return error_failed(reterr, EOPNOTSUPP, "apparmor", REASON);
}

int apparmor_enter(int proc_fd, const char *profile) {
    return -EOPNOTSUPP;
}

int apparmor_read(int pid_dir_fd, char *ret, size_t size) {
    return -EOPNOTSUPP;
}
