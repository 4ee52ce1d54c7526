/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The one error object.
 *
 * Inside a module an error is a negative errno. An operation that a request can reach takes `Error *reterr` as its
 * last parameter and fills it in on failure: what went wrong, about which thing, in words for a person. It has a
 * fixed size and no pointers, so that it survives being out of memory, a thread, a pipe.
 *
 * rpc/errors.c is the only place that knows what an ErrorKind is called on the wire.
 */

#include "kennel/cleanup.h"

#include <stdarg.h>

#define ERROR_SUBJECT_MAX 64U
#define ERROR_MESSAGE_MAX 384U

typedef enum ErrorKind {
    ERROR_NONE = 0,
    ERROR_FAILED,            /* subject: the operation */
    ERROR_MALFORMED,         /* subject: unused; bytes that are no message of the protocol */
    ERROR_INVALID_SPEC,      /* subject: the field, as the caller wrote it: "volumes[2].target" */
    ERROR_NO_SUCH_CONTAINER, /* subject: what the caller named */
    ERROR_CONTAINER_EXISTS,  /* subject: the name */
    ERROR_NOT_RUNNING,       /* subject: the container's id */
    ERROR_STILL_RUNNING,     /* subject: the container's id */
    ERROR_LIMIT_UNAVAILABLE, /* subject: the controller */
    ERROR_HARDENING_FAILED,  /* subject: the stage of DESIGN 3 that failed */
    ERROR_QUOTA_EXCEEDED,    /* subject: the resource */
    ERROR_NO_SUCH_PROCESS,   /* subject: the pid */
    ERROR_PERMISSION_DENIED, /* subject: unused */
    _ERROR_KIND_MAX,
} ErrorKind;

typedef struct Error {
    ErrorKind kind;
    int code; /* errno, positive; 0 where none applies */
    char subject[ERROR_SUBJECT_MAX];
    char message[ERROR_MESSAGE_MAX];
} Error;

#define ERROR_INIT ((Error){ 0 })

/*
 * Fills ERR (if not NULL) and returns -CODE, or -EINVAL when CODE is 0, so that a function can end with
 * `return error_set(reterr, ...)`. Text that does not fit is cut at a UTF-8 boundary. Never allocates, keeps errno.
 */
static inline void error_vset(Error *err, ErrorKind kind, int code, const char *subject, const char *format,
                              va_list ap) {
    int saved = errno;
    err->kind = kind;
    err->code = code;
    (void) snprintf(err->subject, sizeof(err->subject), "%s", subject ? subject : "");
    int n = vsnprintf(err->message, sizeof(err->message), format, ap);
    if (n >= (int) sizeof(err->message)) {
        size_t end = sizeof(err->message) - 1;
        while (end > 0 && ((unsigned char) err->message[end - 1] & 0xC0) == 0x80)
            end--;
        if (end > 0 && ((unsigned char) err->message[end - 1] & 0x80))
            end--;
        err->message[end] = 0;
    }
    errno = saved;
}

static inline _printf_(5, 6) void error_fill(Error *err, ErrorKind kind, int code, const char *subject,
                                             const char *format, ...) {
    if (err) {
        va_list ap;
        va_start(ap, format);
        error_vset(err, kind, code, subject, format, ap);
        va_end(ap);
    }
}

/* A macro, so that the compiler sees that the result is negative. */
#define error_set(err, kind, code, subject, ...)                                                                       \
    ({                                                                                                                 \
        int _code = (code);                                                                                            \
        error_fill((err), (kind), _code, (subject), __VA_ARGS__);                                                      \
        _code > 0 ? -_code : -EINVAL;                                                                                  \
    })

/* Shorthands for the two that handlers need most. */
#define error_invalid(err, field, ...) error_set((err), ERROR_INVALID_SPEC, EINVAL, (field), __VA_ARGS__)
/* The same for what somebody else may ask for: EPERM is what the log of refusals goes by. */
#define error_forbidden(err, field, ...)        error_set((err), ERROR_INVALID_SPEC, EPERM, (field), __VA_ARGS__)
#define error_failed(err, code, operation, ...) error_set((err), ERROR_FAILED, (code), (operation), __VA_ARGS__)
