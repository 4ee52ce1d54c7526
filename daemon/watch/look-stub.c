/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Stands in for look.c and removal.c until they are there. */

#include "watch/internal.h"
#include "watch/removal.h"

int look_new(Watch *w, LookHost **ret) {
    *ret = NULL;
    return 0;
}

LookHost *look_free(LookHost *h) {
    return NULL;
}

void look_at_all(LookHost *h, WatchSubject *const *subjects, size_t n) {}

void look_memory_free(LookMemory *m) {}

int removal_run(const Removal *r, const RemovalTarget *target, Receipt *ret, Error *reason) {
    return -EOPNOTSUPP;
}

int removal_run_all(CgroupGroup *group, uint64_t timeout_usec, Receipt *ret, Error *reason) {
    return -EOPNOTSUPP;
}
