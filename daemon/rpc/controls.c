/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * See controls.h. Of a container that runs the kernel is asked each time: a control may have been taken away since it
 * started.
 */

#include "rpc/controls.h"

#include "proto/json.h"
#include "rpc/render.h"
#include "sandbox/apparmor.h"
#include "sandbox/devices.h"
#include "sandbox/selinux.h"
#include "util/paths.h"

#include <fcntl.h>
#include <string.h>

#define LABEL_MAX 512U

/* What is told of one control; REASON is not looked at where it is in force. */
typedef struct Told {
    bool in_force;
    const char *reason;
} Told;

static int add(json_object *list, const char *name, Told told, ControlMode mode) {
    return render_append(list, render_control(name, told.in_force, told.reason, mode));
}

/* What is used if a limit asks for it. pids is not among these: it has a mode, and a limit by default. */
static int add_controller(json_object *list, const CgroupHierarchies *h, CgroupController i) {
    const char *missing = cgroup_hierarchies_missing(h, i);
    return add(list, cgroup_controller_name(i), (Told){ !missing, missing }, CONTROL_MODE_UNSET);
}

static int add_to_host(json_object *list, const ContainerEnvironment *e, ControlKind k) {
    char reason[CONTROL_REASON_MAX];
    const char *missing = container_controls_missing(e, k, reason);
    return add(list, control_name(k), (Told){ !missing, missing }, container_controls_mode(e, k));
}

json_object *controls_of_host(const ContainerEnvironment *e) {
    _cleanup_json_ json_object *list = json_object_new_array();
    const char *network = network_host_missing(e->network);
    for (ControlKind k = 0; list && k < _CONTROL_MAX; k++)
        if (add_to_host(list, e, k) < 0)
            return NULL;
    for (CgroupController i = 0; list && i < _CGROUP_CONTROLLER_MAX; i++)
        if (i != CGROUP_PIDS && add_controller(list, e->hierarchies, i) < 0)
            return NULL;
    if (!list || add(list, "network", (Told){ !network, network }, CONTROL_MODE_UNSET) < 0)
        return NULL;
    return TAKE_PTR(list);
}

/* ---- of a container ---- */

/* What the kernel says of it; its pid is its own until the loop, which this is, has reaped it. */
typedef struct Found {
    bool runs, has_apparmor, has_selinux;
    char apparmor[LABEL_MAX], selinux[LABEL_MAX]; /* empty: none */
    char reason[LABEL_MAX];                       /* room for one that has to be put together */
} Found;

static bool read_label(int fd, int (*read)(int pid_dir_fd, char *ret, size_t size), char ret[LABEL_MAX]) {
    if (fd < 0 || read(fd, ret, LABEL_MAX) < 0)
        ret[0] = 0;
    return ret[0] != 0;
}

static void find(const Container *c, Found *f) {
    const SandboxProgram *p = &container_spec(c)->sandbox.program;
    char path[32];
    size_t size = p->apparmor_profile ? strlen(p->apparmor_profile) : 0;
    *f = (Found){ .runs = container_pid(c) > 0 };
    if (!f->runs)
        return;
    (void) snprintf(path, sizeof(path), "/proc/%d", (int) container_pid(c));
    _cleanup_fd_ int fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    f->has_apparmor = read_label(fd, apparmor_read, f->apparmor) && size > 0 &&
                      strncmp(f->apparmor, p->apparmor_profile, size) == 0 &&
                      strcmp(f->apparmor + size, " (enforce)") == 0;
    /* The domain of label=disable is a label, but no control. */
    f->has_selinux = read_label(fd, selinux_read, f->selinux) && p->selinux_context &&
                     strcmp(f->selinux, p->selinux_context) == 0 && !container_spec(c)->label_disabled;
    if (strcmp(f->apparmor, "unconfined") == 0)
        f->apparmor[0] = 0;
}

static Told told_label(Found *f, bool has, const char *label) {
    (void) snprintf(f->reason, sizeof(f->reason), "the kernel says \"%.400s\"", label);
    return (Told){ has, label[0] ? f->reason : "the kernel shows no label" };
}

/* The mode of the first process, which every other one inherits. */
static Told told_seccomp(const Container *c) {
    char path[32];
    _cleanup_free_ char *text = NULL;
    (void) snprintf(path, sizeof(path), "/proc/%d/status", (int) container_pid(c));
    int r = path_read_file_at(AT_FDCWD, path, 0, 65536, &text, NULL);
    return (Told){ r >= 0 && strstr(text, "\nSeccomp:\t2\n"), "the kernel does not show a filter" };
}

static Told told_devices(Container *c) {
    CgroupGroup *g = container_group(c);
    int r = g ? devices_in_force(cgroup_group_fd(g)) : -ESRCH;
    return (Told){ r > 0, r == 0 ? "no device program is attached to the cgroup" : strerror(-r) };
}

static Told told_storage(const ContainerSpec *s) {
    bool directory = s->storage == STORAGE_DIRECTORY;
    const char *why = s->sandbox.read_only ? "it has no writable layer"
                      : directory          ? "its writable layer is a plain directory"
                                           : "its writable layer has no limit";
    return (Told){ !s->sandbox.read_only && !directory && s->limits.storage.bytes != STORAGE_LIMIT_NONE, why };
}

static Told told_one(Container *c, ControlKind k, Found *f) {
    const ContainerSpec *s = container_spec(c);
    switch (k) {
    case CONTROL_APPARMOR:
        return told_label(f, f->has_apparmor, f->apparmor);
    case CONTROL_SELINUX:
        return told_label(f, f->has_selinux, f->selinux);
    case CONTROL_LABEL:
        return (Told){ f->has_apparmor || f->has_selinux, "the kernel shows neither label" };
    case CONTROL_SECCOMP:
        return told_seccomp(c);
    case CONTROL_DEVICES:
        return told_devices(c);
    case CONTROL_STORAGE:
        return told_storage(s);
    case CONTROL_PIDS:
        return (Told){ s->limits.cgroup.pids != CGROUP_LIMIT_NONE, "it has no limit" };
    default:
        return (Told){ false, "unknown" };
    }
}

/* The reason that was noted when it started is a better one than what is found now. */
static int add_to_container(json_object *list, Container *c, ControlKind k, Found *f) {
    const ContainerControl *control = &container_spec(c)->controls[k];
    Told told = f->runs ? told_one(c, k, f) : (Told){ false, "it does not run" };
    if (control->absent[0])
        told.reason = control->absent;
    return add(list, control_name(k), told, control->mode);
}

json_object *controls_of_container(Container *c, const ContainerEnvironment *e) {
    _cleanup_json_ json_object *list = json_object_new_array();
    bool host = container_spec(c)->sandbox.network == SANDBOX_NETWORK_HOST;
    Found f;
    find(c, &f);
    for (ControlKind k = 0; list && k < _CONTROL_MAX; k++)
        if (add_to_container(list, c, k, &f) < 0)
            return NULL;
    for (CgroupController i = 0; list && i < _CGROUP_CONTROLLER_MAX; i++)
        if (i != CGROUP_PIDS && add_controller(list, e->hierarchies, i) < 0)
            return NULL;
    if (!list || add(list, "network", (Told){ !host, "root asked for the host's network" }, CONTROL_MODE_UNSET) < 0)
        return NULL;
    return TAKE_PTR(list);
}

int controls_add_labels(json_object *o, const Container *c) {
    const char *file_context = container_spec(c)->sandbox.file_context;
    Found f;
    find(c, &f);
    if (render_add_string(o, "apparmorProfile", f.apparmor[0] ? f.apparmor : NULL) < 0 ||
        render_add_string(o, "selinuxLabel", f.selinux[0] ? f.selinux : NULL) < 0)
        return -ENOMEM;
    return render_add_string(o, "mountLabel", f.runs ? file_context : NULL);
}
