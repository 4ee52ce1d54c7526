/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * List, Inspect, Processes, Info: what is there. To a peer that is not root, what it does not own is not there, in
 * numbers neither.
 */

#include "kennel/version.h"
#include "proto/json.h"
#include "rpc/controls.h"
#include "rpc/fields.h"
#include "rpc/methods.h"
#include "rpc/render.h"

#include <sys/utsname.h>

/*
 * Bytes of a command in a list. With all 4,094 containers, every byte of it written as an escape of six, the reply
 * still fits into KENNEL_REPLY_MAX: a tenant must not be able to make List fail for root.
 */
#define LIST_COMMAND_BYTES 512U
/* Bytes of all commands in one reply of Processes, and of one at least and at most. */
#define PROCESSES_COMMAND_BYTES (1024U * 1024U)
#define PROCESS_COMMAND_MIN     64U
#define PROCESS_COMMAND_MAX     4096U

static json_object *render_list(ContainerRegistry *registry, const ContainerViewer *v) {
    _cleanup_json_ json_object *o = json_object_new_object(), *list = json_object_new_array();
    for (Container *c = container_next(registry, NULL); list && c; c = container_next(registry, c))
        if (container_visible(c, v) && render_append(list, render_container(c, LIST_COMMAND_BYTES)) < 0)
            return NULL;
    if (!o || render_add(o, "containers", TAKE_PTR(list)) < 0)
        return NULL;
    return TAKE_PTR(o);
}

int handle_list(Call *call, Error *reterr) {
    ContainerViewer viewer = call_viewer(call);
    (void) call_reply(call, render_list(call_environment(call)->registry, &viewer), false);
    return 0;
}

/* The sampler has it as text, which is the daemon's own making. */
static int add_sample(json_object *o, Container *c) {
    const AccountText *text = container_sample(c);
    json_object *sample = NULL;
    if (!text)
        return render_add_null(o, "sample");
    if (json_read(text->bytes, text->size, &JSON_BOUNDS_TRUSTED, &sample, NULL) < 0)
        return -ENOMEM;
    return render_add(o, "sample", sample);
}

int handle_inspect(Call *call, Error *reterr) {
    const ContainerEnvironment *e = container_registry_environment(call_environment(call)->registry);
    Container *c = NULL;
    int r = call_find_container(call, &c, reterr);
    if (r < 0)
        return r;
    _cleanup_json_ json_object *o = render_inspection(c, network_host_gateway(e->network));
    if (!o || render_add(o, "controls", controls_of_container(c, e)) < 0 || controls_add_labels(o, c) < 0 ||
        add_sample(o, c) < 0)
        return fields_oom(reterr);
    call_finish(call, o);
    return 0;
}

static json_object *render_processes(uint32_t id_base, const ProcessInfo *p, size_t n) {
    size_t budget = PROCESSES_COMMAND_BYTES / (n + 1);
    budget = budget < PROCESS_COMMAND_MIN   ? PROCESS_COMMAND_MIN
             : budget > PROCESS_COMMAND_MAX ? PROCESS_COMMAND_MAX
                                            : budget;
    _cleanup_json_ json_object *o = json_object_new_object(), *list = json_object_new_array();
    for (size_t i = 0; list && i < n; i++)
        if (render_append(list, render_process(&p[i], id_base, budget)) < 0)
            return NULL;
    if (!o || render_add(o, "processes", TAKE_PTR(list)) < 0)
        return NULL;
    return TAKE_PTR(o);
}

/* Of a list that is being read; the container may be gone when it has been. */
typedef struct ProcessesState {
    CallTicket *ticket;
    uint32_t id_base;
} ProcessesState;

static void on_listed(void *userdata, ProcessInfo *processes, size_t n, const Error *error) {
    _cleanup_free_ ProcessesState *s = userdata;
    Call *call = call_ticket_redeem(s->ticket);
    if (!call)
        return;
    if (error)
        call_fail(call, error);
    else
        (void) call_reply(call, render_processes(s->id_base, processes, n), false);
}

int handle_processes(Call *call, Error *reterr) {
    Container *c = NULL;
    int r = call_find_container(call, &c, reterr);
    if (r < 0)
        return r;
    _cleanup_free_ ProcessesState *s = calloc(1, sizeof(ProcessesState));
    if (s)
        s->ticket = call_ticket(call);
    if (!s || !s->ticket)
        return fields_oom(reterr);
    s->id_base = container_spec(c)->sandbox.id_base;
    r = container_processes(c, on_listed, s, reterr);
    if (r < 0)
        (void) call_ticket_redeem(s->ticket);
    else
        (void) TAKE_PTR(s);
    return r;
}

static void count_visible(ContainerRegistry *registry, const ContainerViewer *v, size_t *ret_n, size_t *ret_running) {
    size_t n = 0, running = 0;
    for (Container *c = container_next(registry, NULL); c; c = container_next(registry, c)) {
        if (!container_visible(c, v))
            continue;
        n++;
        running += container_state(c) == CONTAINER_RUNNING || container_state(c) == CONTAINER_PAUSED;
    }
    *ret_n = n;
    *ret_running = running;
}

static json_object *render_detectors(const ContainerEnvironment *e) {
    _cleanup_json_ json_object *list = json_object_new_array();
    for (FindingKind k = 0; list && k < _FINDING_KIND_MAX; k++) {
        const char *reason = e->watch ? watch_missing(e->watch, k) : "the detectors could not be started";
        if (render_append(list, render_detector(k, container_watch_action(e, k), reason)) < 0)
            return NULL;
    }
    return TAKE_PTR(list);
}

int handle_info(Call *call, Error *reterr) {
    const ServerEnvironment *server = call_environment(call);
    const ContainerEnvironment *e = container_registry_environment(server->registry);
    ContainerViewer viewer = call_viewer(call);
    size_t n, running;
    struct utsname host;
    count_visible(server->registry, &viewer, &n, &running);
    if (uname(&host) < 0)
        return error_failed(reterr, errno, "uname", "the kernel does not say what it is");
    const char *hierarchy = cgroup_hierarchies_is_unified(e->hierarchies) ? "unified" : "hybrid";
    _cleanup_json_ json_object *o = json_object_new_object();
    if (!o || render_add_string(o, "version", KENNEL_VERSION) < 0 || render_add_string(o, "kernel", host.release) < 0 ||
        render_add_string(o, "hierarchy", hierarchy) < 0 ||
        render_add_string(o, "cgroupRoot", cgroup_hierarchies_root(e->hierarchies)) < 0 ||
        render_add_string(o, "stateDirectory", server->state_directory) < 0 ||
        render_add_string(o, "dataDirectory", server->data_directory) < 0 ||
        render_add_int(o, "containers", (int64_t) n) < 0 || render_add_int(o, "running", (int64_t) running) < 0 ||
        render_add_string(o, "storage", storage_kind_to_string(storage_host_kind(e->storage))) < 0 ||
        render_add(o, "tenantLimits", render_limits(&e->tenant_limits)) < 0 ||
        render_add(o, "controls", controls_of_host(e)) < 0 || render_add(o, "detectors", render_detectors(e)) < 0)
        return fields_oom(reterr);
    call_finish(call, o);
    return 0;
}
