/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Run, Exec, Detach: the calls that live as long as a process.
 *
 * With `more` the caller and the process are tied together: the process ends when the caller goes away, in whatever
 * state it is, also while it is still being started. They are not tied by the daemon's own end: then it runs on.
 */

#include "rpc/fields.h"
#include "rpc/limits-spec.h"
#include "rpc/methods.h"
#include "rpc/program-spec.h"
#include "rpc/render.h"
#include "rpc/run-spec.h"
#include "util/parse.h"

#include <signal.h>
#include <time.h>

typedef struct RunState {
    ContainerWatch watch; /* first: the watch is the state */
    Call *call;
} RunState;

static void run_end(void *userdata, CallEnd why) {
    RunState *s = userdata;
    Container *c = s->watch.container;
    container_unwatch(&s->watch);
    /* a container that is still being started remembers the signal; one that has exited just now does not mind */
    if (c && why == CALL_END_PEER_GONE && container_spec(c)->attached)
        (void) container_kill(c, SIGKILL, NULL);
    free(s);
}

static json_object *run_reply(const Container *c, bool terminal) {
    _cleanup_json_ json_object *o = json_object_new_object();
    if (!o || render_add(o, "container", render_container(c, SIZE_MAX)) < 0 ||
        render_add_optional_int(o, "terminal", terminal, 0) < 0)
        return NULL;
    return TAKE_PTR(o);
}

static void run_started(Call *call, Container *c) {
    int terminal_fd = call_has_more(call) ? container_terminal_fd(c) : -EBADF;
    _cleanup_json_ json_object *reply = run_reply(c, terminal_fd >= 0);
    if (!reply) { /* what is tied to a call ends with it */
        if (container_spec(c)->attached)
            (void) container_kill(c, SIGKILL, NULL);
        call_fail_memory(call);
    } else if (!call_has_more(call))
        call_finish(call, reply);
    else
        (void) call_continue(call, reply, &terminal_fd, terminal_fd >= 0 ? 1 : 0);
}

/* The last reply of a call whose container goes with it. */
typedef struct RunRemoval {
    CallTicket *ticket;
    json_object *reply;
} RunRemoval;

/* Removed, or, as the log says, not yet: the caller is told of the exit either way. */
static void run_removed(void *userdata, const Error *error) {
    _cleanup_free_ RunRemoval *removal = userdata;
    _cleanup_json_ json_object *reply = removal->reply;
    Call *call = call_ticket_redeem(removal->ticket);
    if (call)
        (void) call_reply(call, TAKE_PTR(reply), false);
}

/* With `remove`, the end of the call means that nothing is left. */
static void run_exited(RunState *s, Container *c) {
    Call *call = s->call;
    json_object *reply = run_reply(c, false);
    RunRemoval *removal = reply && container_spec(c)->remove ? malloc(sizeof(RunRemoval)) : NULL;
    if (!removal) {
        (void) call_reply(call, reply, false);
        return;
    }
    container_unwatch(&s->watch);
    *removal = (RunRemoval){ call_ticket(call), reply };
    if (removal->ticket && container_remove(c, false, run_removed, removal, NULL) >= 0)
        return;
    if (removal->ticket)
        (void) call_ticket_redeem(removal->ticket);
    free(removal);
    (void) call_reply(call, reply, false);
}

static void run_notice(ContainerWatch *w, Container *c, ContainerNotice notice, const Error *error) {
    RunState *s = (RunState *) w;
    Call *call = s->call;
    switch (notice) {
    case CONTAINER_NOTICE_STARTED:
        run_started(call, c);
        break;
    case CONTAINER_NOTICE_FAILED:
        call_fail(call, error);
        break;
    case CONTAINER_NOTICE_EXITED:
        run_exited(s, c);
        break;
    case CONTAINER_NOTICE_DETACHED:
    case CONTAINER_NOTICE_REMOVED:
        (void) call_reply(call, run_reply(c, false), false);
        break;
    }
}

/* What the parser cannot know: whether this host can give it. */
static int check_host(const ContainerEnvironment *e, json_object *parameters, ContainerSpec *spec, Error *reterr) {
    const SandboxSpec *sandbox = &spec->sandbox;
    const char *missing = sandbox->network == SANDBOX_NETWORK_BRIDGE ? network_host_missing(e->network) : NULL;
    if (missing)
        return error_set(reterr, ERROR_LIMIT_UNAVAILABLE, EOPNOTSUPP, "network", "%s", missing);
    limits_spec_adapt(e, sandbox, limits_spec_asked(fields_get(parameters, "limits")), &spec->limits);
    return limits_spec_check(e, &spec->limits, reterr);
}

int handle_run(Call *call, Error *reterr) {
    ContainerRegistry *registry = call_environment(call)->registry;
    const ContainerEnvironment *e = container_registry_environment(registry);
    _cleanup_(container_spec_freep) ContainerSpec *spec = NULL;
    int r = run_spec_parse(call_parameters(call), call_peer(call), call_has_more(call), e, call_descriptors(call),
                           &spec, reterr);
    if (r >= 0)
        r = check_host(e, call_parameters(call), spec, reterr);
    if (r < 0)
        return r;
    RunState *s = calloc(1, sizeof(RunState));
    if (!s)
        return fields_oom(reterr);
    s->call = call;
    call_keep(call, s, run_end);
    call_forget_parameters(call);
    return container_start(registry, TAKE_PTR(spec), &s->watch, run_notice, NULL, reterr);
}

int handle_detach(Call *call, Error *reterr) {
    Container *c = NULL;
    int r = call_find_container(call, &c, reterr);
    if (r >= 0)
        r = container_detach(c, reterr);
    if (r >= 0)
        call_finish_empty(call);
    return r;
}

typedef struct ExecState {
    Call *call;
    ContainerExec *exec; /* NULL before the start and after a failed one */
} ExecState;

static void exec_end(void *userdata, CallEnd why) {
    ExecState *s = userdata;
    if (s->exec)
        (void) container_exec_release(s->exec, why == CALL_END_PEER_GONE && call_has_more(s->call));
    free(s);
}

static json_object *exec_reply(pid_t pid, bool terminal, const ContainerExit *exit) {
    _cleanup_json_ json_object *o = json_object_new_object();
    if (!o || render_add_int(o, "hostPid", pid) < 0 || render_add_optional_int(o, "terminal", terminal, 0) < 0)
        return NULL;
    if ((exit ? render_add(o, "exit", render_exit(exit)) : render_add_null(o, "exit")) < 0)
        return NULL;
    return TAKE_PTR(o);
}

static void exec_started(ContainerExec *x, void *userdata, const Error *error) {
    ExecState *s = userdata;
    Call *call = s->call;
    if (error) {
        s->exec = NULL;
        call_fail(call, error);
        return;
    }
    int terminal_fd = call_has_more(call) ? container_exec_terminal_fd(x) : -EBADF;
    _cleanup_json_ json_object *reply = exec_reply(container_exec_pid(x), terminal_fd >= 0, NULL);
    if (!reply) {
        s->exec = container_exec_release(x, call_has_more(call));
        call_fail_memory(call);
    } else if (!call_has_more(call))
        call_finish(call, reply);
    else
        (void) call_continue(call, reply, &terminal_fd, terminal_fd >= 0 ? 1 : 0);
}

static void exec_exited(ContainerExec *x, void *userdata, const ProcessExit *exit) {
    ExecState *s = userdata;
    struct timespec now;
    (void) clock_gettime(CLOCK_REALTIME, &now);
    ContainerExit record = {
        .process = *exit,
        .finished_usec = (uint64_t) now.tv_sec * 1000000ULL + (uint64_t) now.tv_nsec / 1000ULL,
    };
    (void) call_reply(s->call, exec_reply(container_exec_pid(x), false, &record), false);
}

/* A user or directory that is left out is the container's own, and so is what the environment does not say. */
static int exec_parse(Call *call, const Container *c, SandboxProgram *p, Error *reterr) {
    const SandboxProgram *container = &container_spec(c)->sandbox.program;
    json_object *parameters = call_parameters(call);
    Descriptors *d = call_descriptors(call);
    int r = program_spec_command(parameters, p, reterr);
    if (r >= 0)
        r = program_spec_environment(parameters, p, reterr);
    if (r >= 0)
        r = program_spec_directory(parameters, p, reterr);
    if (r >= 0)
        r = program_spec_user(parameters, p, reterr);
    if (r >= 0)
        r = program_spec_terminal(parameters, p, reterr);
    if (r >= 0)
        r = program_spec_stdio(parameters, d, p, reterr);
    if (r >= 0)
        r = descriptors_check_named(d, reterr);
    if (r >= 0 && p->terminal && !strv_env_get(container->environment, "TERM"))
        r = program_spec_add_default(p, "TERM", "xterm", reterr);
    return r;
}

int handle_exec(Call *call, Error *reterr) {
    Container *c = NULL;
    int r = call_find_container(call, &c, reterr);
    if (r < 0)
        return r;
    _cleanup_(sandbox_program_done) SandboxProgram program = SANDBOX_PROGRAM_INIT;
    r = exec_parse(call, c, &program, reterr);
    if (r < 0)
        return r;
    ExecState *s = calloc(1, sizeof(ExecState));
    if (!s)
        return fields_oom(reterr);
    s->call = call;
    call_keep(call, s, exec_end);
    call_forget_parameters(call);
    SandboxProgram consumed = program;
    program = SANDBOX_PROGRAM_INIT;
    return container_exec(c, &consumed, exec_started, exec_exited, s, &s->exec, reterr);
}
