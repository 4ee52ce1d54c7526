/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * ErrorKind → error of io.kennel, by a table: which parameter takes the subject, which the words, which the number.
 * The names are held against the interface file by a unit test.
 */

#include "rpc/errors.h"

#include "proto/json.h"
#include "rpc/render.h"

#include <string.h>

typedef struct WireError {
    const char *name;
    const char *subject; /* the parameter that takes Error.subject; NULL: none does */
    const char *code;
    const char *message;
} WireError;

static const WireError wire_errors[_ERROR_KIND_MAX] = {
    [ERROR_FAILED] = { "io.kennel.Failed", "operation", "errno", "message" },
    [ERROR_MALFORMED] = { "io.kennel.MalformedMessage", NULL, NULL, "reason" },
    [ERROR_INVALID_SPEC] = { "io.kennel.InvalidSpec", "field", NULL, "reason" },
    [ERROR_NO_SUCH_CONTAINER] = { "io.kennel.NoSuchContainer", "container", NULL, NULL },
    [ERROR_CONTAINER_EXISTS] = { "io.kennel.ContainerExists", "name", NULL, NULL },
    [ERROR_NOT_RUNNING] = { "io.kennel.NotRunning", "container", NULL, "reason" },
    [ERROR_STILL_RUNNING] = { "io.kennel.StillRunning", "container", NULL, NULL },
    [ERROR_LIMIT_UNAVAILABLE] = { "io.kennel.LimitUnavailable", "controller", NULL, "reason" },
    [ERROR_HARDENING_FAILED] = { "io.kennel.HardeningFailed", "stage", "errno", "message" },
    [ERROR_QUOTA_EXCEEDED] = { "io.kennel.QuotaExceeded", "resource", NULL, "reason" },
    [ERROR_NO_SUCH_PROCESS] = { "io.kennel.NoSuchProcess", NULL, NULL, NULL },
    [ERROR_PERMISSION_DENIED] = { "io.kennel.PermissionDenied", NULL, NULL, "reason" },
};

int errors_to_wire(const Error *e, const char *container, const char **ret_name, json_object **ret_parameters) {
    /* a kind that nobody set is a failure all the same */
    ErrorKind kind = e->kind > ERROR_NONE && e->kind < _ERROR_KIND_MAX ? e->kind : ERROR_FAILED;
    const WireError *w = &wire_errors[kind];
    _cleanup_json_ json_object *o = json_object_new_object();
    if (!o || (w->subject && render_add_string(o, w->subject, e->subject) < 0) ||
        (w->code && render_add_int(o, w->code, e->code) < 0) ||
        (w->message && render_add_string(o, w->message, e->message) < 0))
        return -ENOMEM;
    if (kind == ERROR_NO_SUCH_PROCESS && (render_add_string(o, "container", container ? container : "") < 0 ||
                                          render_add_int(o, "pid", strtoll(e->subject, NULL, 10)) < 0))
        return -ENOMEM;
    *ret_name = w->name;
    *ret_parameters = TAKE_PTR(o);
    return 0;
}
