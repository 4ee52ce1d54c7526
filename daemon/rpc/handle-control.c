/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Kill, Stop, Wait, Pause, Resume, Remove: what is done to a container. Those that take time keep a watch or a ticket;
 * what was asked for goes on when the caller goes away.
 */

#include "rpc/fields.h"
#include "rpc/methods.h"
#include "rpc/render.h"

#include "proto/quote.h"

#include <limits.h>
#include <signal.h>
#include <string.h>

#define STOP_TIMEOUT_DEFAULT (10LL * 1000000LL)
#define STOP_TIMEOUT_MAX     (24LL * 3600LL * 1000000LL)

static int parse_signal(json_object *parameters, int *ret, Error *reterr) {
    const char *name = fields_string(parameters, "signal");
    int sig = name ? process_signal_from_string(name) : SIGKILL;
    if (sig <= 0) {
        char quoted[QUOTE_SIZE];
        return error_invalid(reterr, "signal", "is %s; a signal's name, with or without SIG, or number is expected",
                             quote(quoted, name, strlen(name)));
    }
    *ret = sig;
    return 0;
}

/* What a Kill call says. */
typedef struct KillCall {
    int sig;
    int64_t pid, host_pid;
    bool descendants;
} KillCall;

static json_object *kill_reply(const Receipt *receipt) {
    _cleanup_json_ json_object *o = json_object_new_object();
    int r = !o ? -ENOMEM : receipt ? render_add(o, "receipt", receipt_to_json(receipt)) : render_add_null(o, "receipt");
    return r < 0 ? NULL : TAKE_PTR(o);
}

static int parse_kill(json_object *parameters, KillCall *k, Error *reterr) {
    *k = (KillCall){ .sig = SIGKILL, .descendants = fields_bool(parameters, "descendants") };
    int r = parse_signal(parameters, &k->sig, reterr);
    if (r >= 0)
        r = fields_int(parameters, "pid", "pid", 1, INT_MAX, &k->pid, reterr);
    if (r >= 0)
        r = fields_int(parameters, "hostPid", "hostPid", 1, INT_MAX, &k->host_pid, reterr);
    if (r >= 0 && k->pid > 0 && k->host_pid > 0)
        r = error_invalid(reterr, "hostPid", "cannot be given together with pid");
    if (r >= 0 && k->descendants && k->pid == 0 && k->host_pid == 0)
        r = error_invalid(reterr, "descendants", "needs pid or hostPid beside it: without, everything is killed");
    if (r >= 0 && k->descendants && k->sig != SIGKILL)
        r = error_invalid(reterr, "descendants", "goes with the signal KILL alone");
    return r;
}

static void on_killed(void *userdata, const Receipt *receipt, const Error *error) {
    Call *call = call_ticket_redeem(userdata);
    if (!call)
        return;
    if (error)
        call_fail(call, error);
    else
        (void) call_reply(call, kill_reply(receipt), false);
}

/* The first process is killed where somebody asks for it in so many words, and everything with it. */
static int kill_with_receipt(Call *call, Container *c, const KillCall *k, Error *reterr) {
    bool first = k->pid == 1 || (k->host_pid > 0 && k->host_pid == container_pid(c));
    RemovalTarget target = { .pid = (pid_t) k->pid, .host_pid = (pid_t) k->host_pid };
    CallTicket *ticket = call_ticket(call);
    if (!ticket)
        return fields_oom(reterr);
    int r = first || (k->pid == 0 && k->host_pid == 0)
                ? container_kill_reported(c, on_killed, ticket, reterr)
                : container_kill_exactly(c, &target, k->descendants, on_killed, ticket, reterr);
    if (r < 0)
        (void) call_ticket_redeem(ticket);
    return r;
}

int handle_kill(Call *call, Error *reterr) {
    KillCall k;
    Container *c = NULL;
    int r = parse_kill(call_parameters(call), &k, reterr);
    if (r >= 0)
        r = call_find_container(call, &c, reterr);
    if (r < 0)
        return r;
    bool one = k.pid > 0 || k.host_pid > 0;
    if (k.sig == SIGKILL && (one || container_state(c) != CONTAINER_CREATED))
        return kill_with_receipt(call, c, &k, reterr);
    r = one ? container_kill_process(c, (pid_t) k.pid, (pid_t) k.host_pid, k.sig, reterr)
            : container_kill(c, k.sig, reterr);
    if (r < 0)
        return r;
    (void) call_reply(call, kill_reply(NULL), false);
    return 0;
}

typedef struct WaitState {
    ContainerWatch watch; /* first: the watch is the state */
    Call *call;
} WaitState;

static void wait_end(void *userdata, CallEnd why) {
    WaitState *s = userdata;
    container_unwatch(&s->watch);
    free(s);
}

static json_object *exit_reply(const ContainerExit *x) {
    _cleanup_json_ json_object *o = json_object_new_object();
    if (!o || render_add(o, "exit", render_exit(x)) < 0)
        return NULL;
    return TAKE_PTR(o);
}

static void wait_notice(ContainerWatch *w, Container *c, ContainerNotice notice, const Error *error) {
    Call *call = ((WaitState *) w)->call;
    Error gone = ERROR_INIT;
    switch (notice) {
    case CONTAINER_NOTICE_EXITED:
        (void) call_reply(call, exit_reply(container_exit(c)), false);
        break;
    case CONTAINER_NOTICE_FAILED:
        call_fail(call, error);
        break;
    case CONTAINER_NOTICE_REMOVED:
        (void) error_set(&gone, ERROR_NO_SUCH_CONTAINER, ENOENT, container_id(c), "it has been removed");
        call_fail(call, &gone);
        break;
    case CONTAINER_NOTICE_STARTED:
    case CONTAINER_NOTICE_DETACHED:
        break;
    }
}

static int wait_for_exit(Call *call, Container *c, Error *reterr) {
    WaitState *s = calloc(1, sizeof(WaitState));
    if (!s)
        return fields_oom(reterr);
    s->call = call;
    call_keep(call, s, wait_end);
    container_watch(c, &s->watch, wait_notice);
    return 0;
}

int handle_wait(Call *call, Error *reterr) {
    Container *c = NULL;
    int r = call_find_container(call, &c, reterr);
    if (r < 0)
        return r;
    if (!container_exit(c))
        return wait_for_exit(call, c, reterr);
    (void) call_reply(call, exit_reply(container_exit(c)), false);
    return 0;
}

int handle_stop(Call *call, Error *reterr) {
    int64_t timeout = STOP_TIMEOUT_DEFAULT;
    Container *c = NULL;
    int r = fields_int(call_parameters(call), "timeoutUsec", "timeoutUsec", 0, STOP_TIMEOUT_MAX, &timeout, reterr);
    if (r >= 0)
        r = call_find_container(call, &c, reterr);
    if (r < 0)
        return r;
    if (container_exit(c)) { /* it is as the caller wants it */
        (void) call_reply(call, exit_reply(container_exit(c)), false);
        return 0;
    }
    r = container_stop(c, (uint64_t) timeout, reterr);
    if (r < 0 && container_pid(c) > 0)
        return r;
    /* also when its process has ended this moment and only its log is not complete yet */
    return wait_for_exit(call, c, reterr);
}

/* For Pause, Resume, Remove: an empty reply when it is done. */
static void on_done(void *userdata, const Error *error) {
    Call *call = call_ticket_redeem(userdata);
    if (!call)
        return;
    if (error)
        call_fail(call, error);
    else
        call_finish_empty(call);
}

static int freeze(Call *call, bool pause, Error *reterr) {
    Container *c = NULL;
    int r = call_find_container(call, &c, reterr);
    if (r < 0)
        return r;
    CallTicket *ticket = call_ticket(call);
    if (!ticket)
        return fields_oom(reterr);
    r = container_pause(c, pause, on_done, ticket, reterr);
    if (r < 0)
        (void) call_ticket_redeem(ticket);
    return r;
}

int handle_pause(Call *call, Error *reterr) {
    return freeze(call, true, reterr);
}
int handle_resume(Call *call, Error *reterr) {
    return freeze(call, false, reterr);
}

int handle_remove(Call *call, Error *reterr) {
    Container *c = NULL;
    int r = call_find_container(call, &c, reterr);
    if (r < 0)
        return r;
    CallTicket *ticket = call_ticket(call);
    if (!ticket)
        return fields_oom(reterr);
    r = container_remove(c, fields_bool(call_parameters(call), "force"), on_done, ticket, reterr);
    if (r < 0)
        (void) call_ticket_redeem(ticket);
    return r;
}
