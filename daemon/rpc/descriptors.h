/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The file descriptors that came with a call. Each is named by exactly one field, by its index; what is named twice,
 * not at all, or not there is refused, so that a call means one thing only.
 */

#include "kennel/error.h"
#include "kennel/limits.h"

#include <json-c/json.h>

typedef struct Descriptors {
    int fds[KENNEL_FDS_MAX]; /* owned until taken */
    size_t n;
    uint64_t named; /* bit I: a field has named I */
} Descriptors;

/* Moves the N descriptors of FDS in. */
void descriptors_init(Descriptors *d, int *consume_fds, size_t n);
void descriptors_done(Descriptors *d);

/* FIELD holds INDEX. The descriptor that is returned belongs to the caller. */
int descriptors_take(Descriptors *d, const char *field, json_object *index, int *ret_fd, Error *reterr);

/* Fails with the field "fds" if a descriptor came that no field has named. */
int descriptors_check_named(const Descriptors *d, Error *reterr);
