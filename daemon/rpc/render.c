/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * See render.h. Every reply that is put together from this file is held against the interface in the tests' builds
 * (rpc/call.c), so a field that is forgotten here is found by the first test that looks.
 */

#include "rpc/render.h"

#include "proto/json.h"
#include "rpc/ipv4.h"
#include "rpc/text.h"
#include "rpc/ulimits.h"
#include "sandbox/capabilities.h"
#include "util/parse.h"

#include <string.h>

int render_add(json_object *o, const char *key, json_object *consume_value) {
    if (!consume_value)
        return -ENOMEM;
    if (json_object_object_add_ex(o, key, consume_value, JSON_C_OBJECT_ADD_CONSTANT_KEY) < 0) {
        json_object_put(consume_value);
        return -ENOMEM;
    }
    return 0;
}

int render_add_null(json_object *o, const char *key) {
    return json_object_object_add_ex(o, key, NULL, JSON_C_OBJECT_ADD_CONSTANT_KEY) < 0 ? -ENOMEM : 0;
}

static json_object *new_string(const char *value) {
    _cleanup_free_ char *clean = text_to_utf8(value);
    return clean ? json_object_new_string(clean) : NULL;
}

int render_add_string(json_object *o, const char *key, const char *value) {
    return value ? render_add(o, key, new_string(value)) : render_add_null(o, key);
}

int render_add_int(json_object *o, const char *key, int64_t value) {
    return render_add(o, key, json_object_new_int64(value));
}

int render_add_optional_int(json_object *o, const char *key, bool there, int64_t value) {
    return there ? render_add_int(o, key, value) : render_add_null(o, key);
}

int render_add_bool(json_object *o, const char *key, bool value) {
    return render_add(o, key, json_object_new_boolean(value));
}

int render_append(json_object *list, json_object *consume_value) {
    if (!consume_value)
        return -ENOMEM;
    if (json_object_array_add(list, consume_value) < 0) {
        json_object_put(consume_value);
        return -ENOMEM;
    }
    return 0;
}

json_object *render_strings(char *const *strings) {
    _cleanup_json_ json_object *list = json_object_new_array();
    for (; list && strings && *strings; strings++)
        if (render_append(list, new_string(*strings)) < 0)
            return NULL;
    return TAKE_PTR(list);
}

json_object *render_exit(const ContainerExit *x) {
    const char *signal_name = x->process.known ? process_signal_to_string(x->process.signal) : NULL;
    _cleanup_json_ json_object *o = json_object_new_object();
    if (!o || render_add_optional_int(o, "code", x->process.known, x->process.code) < 0 ||
        render_add_string(o, "signal", signal_name) < 0 || render_add_bool(o, "oomKilled", x->oom_killed) < 0 ||
        render_add_int(o, "finishedUsec", (int64_t) x->finished_usec) < 0)
        return NULL;
    return TAKE_PTR(o);
}

static int add_exit(json_object *o, const ContainerExit *x) {
    return x ? render_add(o, "exit", render_exit(x)) : render_add_null(o, "exit");
}

/* COMMAND, cut after BUDGET bytes: what containers call their programs must not make a list too large to be sent. */
static json_object *render_command(char *const *command, size_t budget) {
    _cleanup_json_ json_object *list = json_object_new_array();
    for (; list && command && *command; command++) {
        size_t size = strlen(*command) + 1;
        _cleanup_free_ char *cut = size > budget ? strndup(*command, budget) : NULL;
        if (size > budget && (!cut || render_append(list, new_string(cut)) < 0))
            return NULL;
        if (size > budget)
            break;
        if (render_append(list, new_string(*command)) < 0)
            return NULL;
        budget -= size;
    }
    return TAKE_PTR(list);
}

json_object *render_container(const Container *c, size_t command_budget) {
    const ContainerSpec *spec = container_spec(c);
    pid_t pid = container_pid(c);
    uint64_t started = container_started_usec(c);
    _cleanup_json_ json_object *o = json_object_new_object();
    if (!o || render_add_string(o, "id", container_id(c)) < 0 || render_add_string(o, "name", container_name(c)) < 0 ||
        render_add_int(o, "owner", spec->owner) < 0 ||
        render_add_string(o, "state", container_state_to_string(container_state(c))) < 0 ||
        render_add_optional_int(o, "pid", pid > 0, pid) < 0 ||
        render_add_string(o, "image", spec->image ? spec->image : "") < 0 ||
        render_add(o, "command", render_command(spec->sandbox.program.command, command_budget)) < 0 ||
        render_add_int(o, "createdUsec", (int64_t) container_created_usec(c)) < 0 ||
        render_add_optional_int(o, "startedUsec", started > 0, (int64_t) started) < 0 ||
        add_exit(o, container_exit(c)) < 0)
        return NULL;
    return TAKE_PTR(o);
}

json_object *render_event(const ContainerEvent *e) {
    ContainerExit exit = {
        .process = { .known = e->exit_code >= 0, .code = e->exit_code, .signal = e->exit_signal },
        .oom_killed = e->oom_killed,
        .finished_usec = e->finished_usec,
    };
    _cleanup_json_ json_object *o = json_object_new_object();
    if (!o || render_add_int(o, "timestampUsec", (int64_t) e->timestamp_usec) < 0 ||
        render_add_string(o, "kind", container_event_kind_to_string(e->kind)) < 0 ||
        render_add_string(o, "container", e->id) < 0 || render_add_string(o, "name", e->name) < 0 ||
        render_add_int(o, "owner", e->owner) < 0 || add_exit(o, e->has_exit ? &exit : NULL) < 0 ||
        render_add_string(o, "limit", e->limit[0] ? e->limit : NULL) < 0 ||
        render_add_optional_int(o, "finding", e->finding > 0, (int64_t) e->finding) < 0 ||
        render_add_string(o, "message", e->message[0] ? e->message : NULL) < 0)
        return NULL;
    return TAKE_PTR(o);
}

json_object *render_finding(const Container *c, const Finding *f) {
    _cleanup_json_ json_object *o = finding_to_json(f);
    if (!o || render_add_string(o, "container", container_id(c)) < 0 ||
        render_add_string(o, "name", container_name(c)) < 0 || render_add_int(o, "owner", container_spec(c)->owner) < 0)
        return NULL;
    return TAKE_PTR(o);
}

json_object *render_detector(FindingKind k, FindingAction action, const char *reason) {
    _cleanup_json_ json_object *o = json_object_new_object();
    if (!o || render_add_string(o, "detector", finding_kind_to_string(k)) < 0 ||
        render_add_string(o, "action", finding_action_to_string(action)) < 0 ||
        render_add_string(o, "reason", reason) < 0)
        return NULL;
    return TAKE_PTR(o);
}

json_object *render_process(const ProcessInfo *p, uint32_t id_base, size_t command_budget) {
    bool mapped = p->host_uid >= id_base && p->host_uid - id_base < SANDBOX_ID_COUNT;
    _cleanup_json_ json_object *o = json_object_new_object();
    if (!o || render_add_int(o, "pid", p->pid) < 0 || render_add_int(o, "parentPid", p->parent) < 0 ||
        render_add_int(o, "hostPid", p->host_pid) < 0 ||
        render_add_optional_int(o, "uid", mapped, (int64_t) p->host_uid - id_base) < 0 ||
        render_add_string(o, "state", (char[]){ p->state ? p->state : '?', 0 }) < 0 ||
        render_add_int(o, "threads", p->threads) < 0 || render_add_int(o, "memory", (int64_t) p->memory) < 0 ||
        render_add_int(o, "cpuUsec", (int64_t) p->cpu_usec) < 0 ||
        render_add_int(o, "startedUsec", (int64_t) p->started_usec) < 0 ||
        render_add(o, "command", render_command(p->command, command_budget)) < 0)
        return NULL;
    return TAKE_PTR(o);
}

/* Either text or base64: a line is any bytes, and what is replaced here could not be got back by anybody. */
static int add_line(json_object *o, const ContainerLogEntry *e) {
    if (text_is_utf8(e->bytes, e->size)) {
        if (render_add(o, "text", json_object_new_string_len(e->bytes, (int) e->size)) < 0)
            return -ENOMEM;
        return render_add_null(o, "base64");
    }
    _cleanup_free_ char *encoded = text_to_base64(e->bytes, e->size);
    if (!encoded || render_add_null(o, "text") < 0)
        return -ENOMEM;
    return render_add(o, "base64", json_object_new_string(encoded));
}

json_object *render_log_entry(const ContainerLogEntry *e) {
    _cleanup_json_ json_object *o = json_object_new_object();
    if (!o || render_add_int(o, "timestampUsec", (int64_t) e->timestamp_usec) < 0 ||
        render_add_string(o, "stream", e->is_stderr ? "stderr" : "stdout") < 0 || add_line(o, e) < 0 ||
        render_add_bool(o, "partial", e->partial) < 0)
        return NULL;
    return TAKE_PTR(o);
}

json_object *render_check(const Check *c) {
    _cleanup_json_ json_object *o = json_object_new_object();
    if (!o || render_add_string(o, "control", c->control) < 0 || render_add_string(o, "expected", c->expected) < 0 ||
        render_add_string(o, "found", c->found) < 0 || render_add_bool(o, "passed", c->passed) < 0)
        return NULL;
    return TAKE_PTR(o);
}

json_object *render_control(const char *name, bool in_force, const char *reason, ControlMode mode) {
    _cleanup_json_ json_object *o = json_object_new_object();
    if (!o || render_add_string(o, "name", name) < 0 ||
        render_add_string(o, "state", in_force ? "inForce" : "absent") < 0 ||
        render_add_string(o, "reason", in_force ? NULL : reason) < 0 ||
        render_add_string(o, "mode", control_mode_to_string(mode)) < 0)
        return NULL;
    return TAKE_PTR(o);
}

static json_object *render_mounts(const SandboxSpec *s) {
    _cleanup_json_ json_object *list = json_object_new_array();
    for (size_t i = 0; list && i < s->n_mounts; i++) {
        const SandboxMount *m = &s->mounts[i];
        _cleanup_json_ json_object *o = json_object_new_object();
        if (!o || render_add_string(o, "target", m->target) < 0 ||
            render_add_string(o, "kind", m->kind == SANDBOX_MOUNT_TMPFS ? "tmpfs" : "volume") < 0 ||
            render_add_bool(o, "readOnly", m->read_only) < 0 || render_append(list, TAKE_PTR(o)) < 0)
            return NULL;
    }
    return TAKE_PTR(list);
}

static json_object *render_capabilities(uint64_t set) {
    _cleanup_json_ json_object *list = json_object_new_array();
    for (unsigned i = 0; list && i < 64; i++) {
        const char *name = set & (UINT64_C(1) << i) ? capabilities_name(i) : NULL;
        if (name && render_append(list, json_object_new_string(name)) < 0)
            return NULL;
    }
    return TAKE_PTR(list);
}

static json_object *render_ulimits(const SandboxProgram *p) {
    _cleanup_json_ json_object *list = json_object_new_array();
    for (size_t i = 0; list && i < p->n_rlimits; i++) {
        const SandboxRlimit *l = &p->rlimits[i];
        const char *name = ulimits_name(l->resource);
        _cleanup_json_ json_object *o = json_object_new_object();
        if (!o || render_add_string(o, "name", name ? name : "unknown") < 0 ||
            render_add_int(o, "soft", ulimits_to_wire(l->soft)) < 0 ||
            render_add_int(o, "hard", ulimits_to_wire(l->hard)) < 0 || render_append(list, TAKE_PTR(o)) < 0)
            return NULL;
    }
    return TAKE_PTR(list);
}

static json_object *render_device(const CgroupDeviceLimits *d) {
    char device[32];
    (void) snprintf(device, sizeof(device), "%u:%u", d->major, d->minor);
    _cleanup_json_ json_object *o = json_object_new_object();
    if (!o || render_add_string(o, "device", device) < 0)
        return NULL;
    for (const ContainerDeviceField *f = container_device_fields; f->name; f++) {
        uint64_t rate = container_device_rate_get(d, f);
        if (render_add_optional_int(o, f->name, rate != CGROUP_LIMIT_NONE, (int64_t) rate) < 0)
            return NULL;
    }
    return TAKE_PTR(o);
}

static int add_devices(json_object *o, const CgroupLimits *l) {
    if (l->n_devices == 0)
        return render_add_null(o, "ioDevices");
    _cleanup_json_ json_object *list = json_object_new_array();
    for (size_t i = 0; list && i < l->n_devices; i++)
        if (render_append(list, render_device(&l->devices[i])) < 0)
            return -ENOMEM;
    return render_add(o, "ioDevices", TAKE_PTR(list));
}

/* As the kernel has them: a sum that follows memory is memory's number, and nothing where that is nothing. */
json_object *render_limits(const ContainerLimits *l) {
    ContainerLimits shown = *l;
    if (shown.cgroup.memory_swap == 0)
        shown.cgroup.memory_swap = shown.cgroup.memory;
    _cleanup_json_ json_object *o = json_object_new_object();
    for (const ContainerLimitField *f = container_limit_fields; o && f->name; f++) {
        uint64_t value = container_limit_get(&shown, f);
        if (render_add_optional_int(o, f->name, value != CONTAINER_LIMIT_NONE, (int64_t) value) < 0)
            return NULL;
    }
    if (!o || render_add_string(o, "cpusetCpus", l->cgroup.cpuset[0] ? l->cgroup.cpuset : NULL) < 0 ||
        add_devices(o, &l->cgroup) < 0 || render_add_null(o, "unlimited") < 0)
        return NULL;
    return TAKE_PTR(o);
}

static int add_address(json_object *o, const char *key, uint32_t address) {
    char text[IPV4_TEXT_SIZE];
    return render_add_string(o, key, address != 0 ? ipv4_format(address, text) : NULL);
}

static json_object *render_ports(const ContainerSpec *s) {
    _cleanup_json_ json_object *list = json_object_new_array();
    for (size_t i = 0; list && i < s->n_ports; i++) {
        const NetworkPort *p = &s->ports[i];
        _cleanup_json_ json_object *o = json_object_new_object();
        if (!o || add_address(o, "hostAddress", p->host_address) < 0 || render_add_int(o, "host", p->host_port) < 0 ||
            render_add_int(o, "container", p->container_port) < 0 ||
            render_add_string(o, "protocol", p->udp ? "udp" : "tcp") < 0 || render_append(list, TAKE_PTR(o)) < 0)
            return NULL;
    }
    return TAKE_PTR(list);
}

static int add_network(json_object *o, const ContainerSpec *s, uint32_t gateway) {
    static const char *const names[] = {
        [SANDBOX_NETWORK_NONE] = "none",
        [SANDBOX_NETWORK_HOST] = "host",
        [SANDBOX_NETWORK_BRIDGE] = "bridge",
    };
    bool bridged = s->sandbox.network == SANDBOX_NETWORK_BRIDGE;
    if (render_add_string(o, "network", names[s->sandbox.network]) < 0 || add_address(o, "address", s->address) < 0 ||
        add_address(o, "gateway", bridged ? gateway : 0) < 0 || render_add(o, "ports", render_ports(s)) < 0)
        return -ENOMEM;
    return 0;
}

static const char *seccomp_summary(const ContainerSpec *s) {
    return s->seccomp_unconfined ? "unconfined" : s->seccomp_profile ? "profile" : "default";
}

static int add_program(json_object *o, const Container *c) {
    const SandboxProgram *p = &container_spec(c)->sandbox.program;
    uint32_t uid = container_uid(c), gid = container_gid(c);
    if (render_add_string(o, "user", p->user ? p->user : "0:0") < 0 ||
        render_add_optional_int(o, "uid", uid != UINT32_MAX, uid) < 0 ||
        render_add_optional_int(o, "gid", gid != UINT32_MAX, gid) < 0 ||
        render_add_string(o, "workingDirectory", p->working_directory ? p->working_directory : "/") < 0 ||
        render_add(o, "env", render_strings(p->environment)) < 0 ||
        render_add(o, "capabilities", render_capabilities(p->capabilities)) < 0 ||
        render_add(o, "ulimits", render_ulimits(p)) < 0 || render_add_bool(o, "terminal", p->terminal) < 0)
        return -ENOMEM;
    return 0;
}

static int add_sandbox(json_object *o, const Container *c) {
    const ContainerSpec *spec = container_spec(c);
    const SandboxSpec *s = &spec->sandbox;
    if (render_add_string(o, "hostname", s->hostname ? s->hostname : "") < 0 ||
        render_add_bool(o, "readOnly", s->read_only) < 0 ||
        render_add_string(o, "storage", s->read_only ? NULL : storage_kind_to_string(spec->storage)) < 0 ||
        render_add(o, "mounts", render_mounts(s)) < 0 || render_add_string(o, "seccomp", seccomp_summary(spec)) < 0 ||
        render_add(o, "limits", render_limits(&spec->limits)) < 0 || render_add_int(o, "idBase", s->id_base) < 0 ||
        render_add_bool(o, "init", s->init) < 0 || render_add_bool(o, "logged", spec->logged) < 0 ||
        render_add_bool(o, "remove", spec->remove) < 0 ||
        render_add_string(o, "execPolicy", s->image_only ? "imageOnly" : "report") < 0)
        return -ENOMEM;
    return 0;
}

static json_object *render_watch(const Container *c) {
    _cleanup_json_ json_object *list = json_object_new_array();
    for (FindingKind k = 0; list && k < _FINDING_KIND_MAX; k++)
        if (render_append(list, render_detector(k, container_spec(c)->watch[k], container_watch_missing(c, k))) < 0)
            return NULL;
    return TAKE_PTR(list);
}

json_object *render_inspection(const Container *c, uint32_t gateway) {
    const CgroupGroup *g = container_group((Container *) c);
    _cleanup_json_ json_object *o = json_object_new_object();
    if (!o || render_add(o, "container", render_container(c, SIZE_MAX)) < 0 || add_program(o, c) < 0 ||
        add_sandbox(o, c) < 0 || add_network(o, container_spec(c), gateway) < 0 ||
        render_add_string(o, "cgroup", g ? cgroup_group_path(g) : "") < 0 ||
        render_add(o, "watch", render_watch(c)) < 0 ||
        render_add_int(o, "findings", (int64_t) container_findings_count(c)) < 0)
        return NULL;
    return TAKE_PTR(o);
}
