/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * See descriptors.h. Input: an index from the peer, checked here; what is behind the descriptor is the taker's to
 * judge.
 */

#include "rpc/descriptors.h"

_Static_assert(KENNEL_FDS_MAX <= 64, "Descriptors.named has a bit for each");

void descriptors_init(Descriptors *d, int *consume_fds, size_t n) {
    *d = (Descriptors){ .n = n };
    for (size_t i = 0; i < n; i++)
        d->fds[i] = TAKE_FD(consume_fds[i]);
}

void descriptors_done(Descriptors *d) {
    for (size_t i = 0; i < d->n; i++)
        d->fds[i] = fd_close(d->fds[i]);
    d->n = 0;
}

int descriptors_take(Descriptors *d, const char *field, json_object *index, int *ret_fd, Error *reterr) {
    int64_t i = json_object_get_int64(index);
    if (i < 0 || (uint64_t) i >= d->n)
        return error_invalid(reterr, field,
                             "is %lld; it counts from 0 the descriptors that came with the message, and "
                             "there came %zu",
                             (long long) i, d->n);
    if (d->named & (UINT64_C(1) << i))
        return error_invalid(reterr, field, "names descriptor %lld, which another field names already", (long long) i);
    d->named |= UINT64_C(1) << i;
    *ret_fd = TAKE_FD(d->fds[i]);
    return 0;
}

int descriptors_check_named(const Descriptors *d, Error *reterr) {
    size_t named = (size_t) __builtin_popcountll(d->named);
    if (named == d->n)
        return 0;
    return error_invalid(reterr, "fds", "%zu descriptor%s came with the message, %zu %s named", d->n,
                         d->n == 1 ? "" : "s", named, named == 1 ? "is" : "are");
}
