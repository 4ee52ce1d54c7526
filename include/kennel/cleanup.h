/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Ownership in one place.
 *
 * Every local variable that owns something carries a cleanup attribute; whoever hands the thing on says so with
 * TAKE_PTR() or TAKE_FD(). Destructors accept NULL and half-built objects and return NULL, so that
 * `x = foo_free(x)` never leaves a dangling pointer behind.
 */

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define _cleanup_(f)   __attribute__((cleanup(f)))
#define _printf_(a, b) __attribute__((format(printf, a, b)))
#define _unused_       __attribute__((unused))

#define ELEMENTSOF(x) (sizeof(x) / sizeof((x)[0]))

#define TAKE_GENERIC(var, type, nullvalue)                                                                             \
    ({                                                                                                                 \
        type *_ptr = &(var);                                                                                           \
        type _value = *_ptr;                                                                                           \
        *_ptr = (nullvalue);                                                                                           \
        _value;                                                                                                        \
    })
#define TAKE_PTR(p) TAKE_GENERIC(p, typeof(p), NULL)
#define TAKE_FD(fd) TAKE_GENERIC(fd, int, -EBADF)

/* Closes FD unless it is negative; errno stays as it was. Returns -EBADF, the value of an fd that owns nothing. */
static inline int fd_close(int fd) {
    if (fd >= 0) {
        int saved = errno;
        (void) close(fd);
        errno = saved;
    }
    return -EBADF;
}

static inline void fd_closep(int *fd) {
    *fd = fd_close(*fd);
}
static inline void freep(void *p) {
    free(*(void **) p);
}
static inline void fclosep(FILE **f) {
    if (*f)
        (void) fclose(*f);
}

#define _cleanup_fd_     _cleanup_(fd_closep)
#define _cleanup_free_   _cleanup_(freep)
#define _cleanup_fclose_ _cleanup_(fclosep)

/* Defines `typep()` for use with _cleanup_, from a destructor `func` that takes a pointer and accepts NULL. */
#define DEFINE_CLEANUP(type, func)                                                                                     \
    static inline _unused_ void func##p(type **p) {                                                                    \
        if (*p)                                                                                                        \
            *p = func(*p);                                                                                             \
    }
