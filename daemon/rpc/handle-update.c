/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Update: other limits for a container that runs. The call lasts until they are in force, or it is known why not; what
 * was asked for goes on when the caller goes away.
 */

#include "rpc/fields.h"
#include "rpc/limits-spec.h"
#include "rpc/methods.h"
#include "rpc/render.h"

typedef struct UpdateState {
    CallTicket *ticket;
    ContainerLimits limits; /* in force, once it is done: the container may be gone by then */
} UpdateState;

static json_object *update_reply(const ContainerLimits *limits) {
    _cleanup_json_ json_object *o = json_object_new_object();
    if (!o || render_add(o, "limits", render_limits(limits)) < 0)
        return NULL;
    return TAKE_PTR(o);
}

static void on_updated(void *userdata, const Error *error) {
    _cleanup_free_ UpdateState *s = userdata;
    Call *call = call_ticket_redeem(s->ticket);
    if (!call)
        return;
    if (error)
        call_fail(call, error);
    else
        (void) call_reply(call, update_reply(&s->limits), false);
}

/* Ceilings bind the caller, not the container: root may give a tenant's more, and what root gave stays. */
static int parse(Call *call, const Container *c, ContainerLimits *ret, Error *reterr) {
    const ContainerEnvironment *e = container_registry_environment(call_environment(call)->registry);
    const ContainerSpec *spec = container_spec(c);
    json_object *object = fields_get(call_parameters(call), "limits");
    ContainerLimits limits = spec->limits;
    int r = limits_spec_parse(object, &spec->sandbox, &limits, reterr);
    if (r >= 0 && !peer_is_root(call_peer(call))) {
        ContainerLimits ceilings = limits_spec_ceilings(e, &spec->sandbox);
        r = container_limits_hold(&limits, limits_spec_asked(object), &spec->limits, &ceilings, reterr);
    }
    if (r >= 0)
        r = limits_spec_check(e, &limits, reterr);
    if (r >= 0)
        *ret = limits;
    return r;
}

int handle_update(Call *call, Error *reterr) {
    Container *c = NULL;
    int r = call_find_container(call, &c, reterr);
    if (r < 0)
        return r;
    ContainerState state = container_state(c);
    if (state != CONTAINER_RUNNING && state != CONTAINER_PAUSED)
        return error_set(reterr, ERROR_NOT_RUNNING, ESRCH, container_id(c), "%s",
                         state == CONTAINER_CREATED ? "it is still being started" : "it has exited");
    _cleanup_free_ UpdateState *s = calloc(1, sizeof(UpdateState));
    if (!s)
        return fields_oom(reterr);
    r = parse(call, c, &s->limits, reterr);
    if (r < 0)
        return r;
    s->ticket = call_ticket(call);
    if (!s->ticket)
        return fields_oom(reterr);
    r = container_update(c, &s->limits, on_updated, s, reterr);
    if (r < 0)
        (void) call_ticket_redeem(s->ticket);
    else
        (void) TAKE_PTR(s);
    return r;
}
