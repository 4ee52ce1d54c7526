/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * See controls.h. Asks the kernel each time: a control may have been taken away since the daemon started.
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

static int add(json_object *list, const char *name, bool in_force, const char *reason) {
    return render_append(list, render_control(name, in_force, reason));
}

static int add_devices(json_object *list, int cgroup_fd) {
    int r = cgroup_fd < 0 ? -ESRCH : devices_in_force(cgroup_fd);
    return add(list, "devices", r > 0,
               r == 0        ? "no device program is attached to the cgroup"
               : r == -ESRCH ? "it does not run"
                             : strerror(-r));
}

/* This version sets no labels; what the host could do is told apart from what it cannot. */
static int add_labels(json_object *list) {
    const struct {
        const char *name;
        bool (*is_available)(const char **ret_reason);
    } labels[] = { { "apparmor", apparmor_is_available }, { "selinux", selinux_is_available } };
    for (size_t i = 0; i < ELEMENTSOF(labels); i++) {
        const char *reason = NULL;
        if (labels[i].is_available(&reason))
            reason = "the host has it, and this version sets no labels";
        if (add(list, labels[i].name, false, reason) < 0)
            return -ENOMEM;
    }
    return 0;
}

static int add_controllers(json_object *list, const CgroupHierarchies *h) {
    for (CgroupController i = 0; i < _CGROUP_CONTROLLER_MAX; i++) {
        const char *missing = cgroup_hierarchies_missing(h, i);
        if (add(list, cgroup_controller_name(i), !missing, missing) < 0)
            return -ENOMEM;
    }
    return 0;
}

static int add_host_parts(json_object *list, const ContainerEnvironment *e) {
    const char *network = network_host_missing(e->network);
    bool holds = storage_host_kind(e->storage) != STORAGE_DIRECTORY;
    if (add(list, "storage", holds, storage_host_missing(e->storage)) < 0)
        return -ENOMEM;
    return add(list, "network", !network, network);
}

json_object *controls_of_host(const ContainerEnvironment *e) {
    _cleanup_json_ json_object *list = json_object_new_array();
    /* the daemon has compiled and loaded both before it took its first call */
    if (!list || add(list, "seccomp", true, NULL) < 0 ||
        add_devices(list, cgroup_hierarchies_root_fd(e->hierarchies)) < 0 || add_labels(list) < 0 ||
        add_controllers(list, e->hierarchies) < 0 || add_host_parts(list, e) < 0)
        return NULL;
    return TAKE_PTR(list);
}

/* Asked of the kernel, not of what was asked for: the mode of the first process, which every other one inherits. */
static int add_seccomp(json_object *list, const Container *c) {
    char path[32];
    _cleanup_free_ char *text = NULL;
    if (container_spec(c)->seccomp_unconfined)
        return add(list, "seccomp", false, "root asked for none");
    if (container_pid(c) <= 0)
        return add(list, "seccomp", false, "it does not run");
    (void) snprintf(path, sizeof(path), "/proc/%d/status", (int) container_pid(c));
    int r = path_read_file_at(AT_FDCWD, path, 0, 65536, &text, NULL);
    return add(list, "seccomp", r >= 0 && strstr(text, "\nSeccomp:\t2\n"), "the kernel does not show a filter");
}

/* Its pid is its own until the loop, which this is, has reaped it. */
static int read_label(const Container *c, int (*read)(int pid_dir_fd, char *ret, size_t size), char *ret, size_t size) {
    char path[32];
    if (container_pid(c) <= 0)
        return -ESRCH;
    (void) snprintf(path, sizeof(path), "/proc/%d", (int) container_pid(c));
    _cleanup_fd_ int fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    return fd < 0 ? -errno : read(fd, ret, size);
}

int controls_add_labels(json_object *o, const Container *c) {
    char apparmor[LABEL_MAX], selinux[LABEL_MAX];
    const char *file_context = container_spec(c)->sandbox.file_context;
    bool has_apparmor = read_label(c, apparmor_read, apparmor, sizeof(apparmor)) >= 0;
    bool has_selinux = read_label(c, selinux_read, selinux, sizeof(selinux)) >= 0;
    if (has_apparmor && strcmp(apparmor, "unconfined") == 0)
        has_apparmor = false;
    if (render_add_string(o, "apparmorProfile", has_apparmor ? apparmor : NULL) < 0 ||
        render_add_string(o, "selinuxLabel", has_selinux ? selinux : NULL) < 0)
        return -ENOMEM;
    return render_add_string(o, "mountLabel", container_pid(c) > 0 ? file_context : NULL);
}

/* What holds the writable layer to a size, and what keeps the container from others' networks. */
static int add_container_parts(json_object *list, const Container *c) {
    const ContainerSpec *s = container_spec(c);
    bool directory = s->storage == STORAGE_DIRECTORY, host = s->sandbox.network == SANDBOX_NETWORK_HOST;
    const char *why = s->sandbox.read_only ? "it has no writable layer" : "its writable layer is a plain directory";
    if (add(list, "storage", !s->sandbox.read_only && !directory, why) < 0)
        return -ENOMEM;
    return add(list, "network", !host, "root asked for the host's network");
}

json_object *controls_of_container(Container *c, const ContainerEnvironment *e) {
    CgroupGroup *g = container_group(c);
    _cleanup_json_ json_object *list = json_object_new_array();
    if (!list || add_seccomp(list, c) < 0 || add_devices(list, g ? cgroup_group_fd(g) : -EBADF) < 0 ||
        add_labels(list) < 0 || add_controllers(list, e->hierarchies) < 0 || add_container_parts(list, c) < 0)
        return NULL;
    return TAKE_PTR(list);
}
