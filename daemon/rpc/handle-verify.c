/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Verify: what the kernel says of a container, beside what it was to have.
 */

#include "rpc/fields.h"
#include "rpc/methods.h"
#include "rpc/render.h"

static json_object *verify_reply(const CheckList *checks) {
    _cleanup_json_ json_object *o = json_object_new_object(), *list = json_object_new_array();
    for (size_t i = 0; list && i < checks->n; i++)
        if (render_append(list, render_check(&checks->items[i])) < 0)
            return NULL;
    if (!o || render_add_bool(o, "passed", check_list_passed(checks)) < 0 ||
        render_add(o, "checks", TAKE_PTR(list)) < 0)
        return NULL;
    return TAKE_PTR(o);
}

static void on_verified(void *userdata, const CheckList *checks, const Error *error) {
    Call *call = call_ticket_redeem(userdata);
    if (!call)
        return;
    if (error)
        call_fail(call, error);
    else
        (void) call_reply(call, verify_reply(checks), false);
}

int handle_verify(Call *call, Error *reterr) {
    Container *c = NULL;
    int r = call_find_container(call, &c, reterr);
    if (r < 0)
        return r;
    CallTicket *ticket = call_ticket(call);
    if (!ticket)
        return fields_oom(reterr);
    r = container_verify(c, on_verified, ticket, reterr);
    if (r < 0)
        (void) call_ticket_redeem(ticket);
    return r;
}
