/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Trust boundary: this file decides what a peer may ask for. After it, a spec is taken at its word.
 *
 * What only root may ask for, because it reaches beyond a container's own resources: a path on the host (the daemon
 * would open it with rights that the peer has not), the host's network, no seccomp filter, and the 17 capabilities of
 * DESIGN 4. A peer that is not root shows by a descriptor, opened for reading, that it may read what it passes in.
 */

#include "rpc/run-spec.h"

#include "kennel/limits.h"
#include "proto/quote.h"
#include "rpc/fields.h"
#include "rpc/label-spec.h"
#include "rpc/limits-spec.h"
#include "rpc/ports-spec.h"
#include "rpc/program-spec.h"
#include "rpc/ulimits.h"
#include "sandbox/capabilities.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <linux/stat.h>
#include <string.h>
#include <sys/stat.h>

#define TMPFS_SIZE_MIN      4096
#define TMPFS_INODES_MIN    2           /* its root is one */
#define TMPFS_INODES_MAX    (1LL << 53) /* what the kernel can count, and no number that anybody needs */
#define TMPFS_SIZE_DEFAULT  (64LL * 1024 * 1024)
#define TMPFS_MODE_MAX      01777
#define CAPABILITY_LIST_MAX 64U

#define ALNUM "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

/* What a field's reader works on. */
typedef struct RunSpec {
    json_object *parameters;
    const Peer *peer;
    const ContainerEnvironment *environment;
    Descriptors *descriptors;
    ContainerSpec *spec;
} RunSpec;

static int refuse_value(const char *value, const char *field, const char *expected, Error *reterr) {
    char quoted[QUOTE_SIZE];
    return error_invalid(reterr, field, "is %s; %s", quote(quoted, value, strlen(value)), expected);
}

static int refuse_tenant(const char *field, const char *instead, Error *reterr) {
    return error_forbidden(reterr, field, "is for root alone; %s", instead);
}

static int read_command(RunSpec *s, Error *reterr) {
    return program_spec_command(s->parameters, &s->spec->sandbox.program, reterr);
}

static int read_name(RunSpec *s, Error *reterr) {
    const char *name = fields_string(s->parameters, "name");
    if (!name)
        return 0;
    size_t size = strlen(name);
    if (size == 0 || size > KENNEL_NAME_MAX || strspn(name, ALNUM "_.-") != size || !strchr(ALNUM, name[0]))
        return refuse_value(name, "name",
                            "1 to 63 letters, digits, '_', '.' and '-' are expected, beginning with a letter or digit",
                            reterr);
    return fields_copy_string(s->parameters, "name", "name", KENNEL_NAME_MAX, &s->spec->name, reterr);
}

static int read_image(RunSpec *s, Error *reterr) {
    const char *image = fields_string(s->parameters, "image");
    bool rootfs = fields_get(s->parameters, "rootfs") || fields_get(s->parameters, "rootfsPath");
    if (image && rootfs)
        return error_invalid(reterr, "image", "cannot be given together with a root file system of one's own");
    if (image && strcmp(image, "host") != 0)
        return refuse_value(image, "image", "\"host\" is the one image that there is", reterr);
    s->spec->image = strdup(rootfs ? "rootfs" : "host");
    return s->spec->image ? 0 : fields_oom(reterr);
}

/*
 * What kind of file is it? statx with DONT_SYNC is answered from what the kernel holds in memory: a plain fstat would
 * ask a FUSE or network server, which a peer may have told to hang, and the loop with it.
 */
static int file_type(int fd, const char *field, mode_t *ret, Error *reterr) {
    struct statx st;
    if (statx(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_TYPE, &st) < 0)
        return error_invalid(reterr, field, "cannot be examined: %s", strerror(errno));
    *ret = st.stx_mode & S_IFMT;
    return 0;
}

static const char *type_name(mode_t type) {
    switch (type) {
    case S_IFDIR:
        return "a directory";
    case S_IFREG:
        return "a regular file";
    case S_IFLNK:
        return "a symbolic link";
    case S_IFIFO:
        return "a pipe";
    case S_IFSOCK:
        return "a socket";
    case S_IFCHR:
    case S_IFBLK:
        return "a device";
    default:
        return "no file";
    }
}

static int check_type(int fd, const char *field, bool file_too, Error *reterr) {
    mode_t type = 0;
    int r = file_type(fd, field, &type, reterr);
    if (r < 0)
        return r;
    if (type == S_IFDIR || (file_too && type == S_IFREG))
        return 0;
    return error_invalid(reterr, field, "is %s; %s is expected", type_name(type),
                         file_too ? "a directory or a regular file" : "a directory");
}

static int take_directory(RunSpec *s, json_object *index, const char *field, bool file_too, int *ret_fd,
                          Error *reterr) {
    _cleanup_fd_ int fd = -EBADF;
    int r = descriptors_take(s->descriptors, field, index, &fd, reterr);
    if (r < 0)
        return r;
    r = program_spec_check_opened(fd, field, s->peer, reterr);
    if (r < 0)
        return r;
    r = check_type(fd, field, file_too, reterr);
    if (r < 0)
        return r;
    *ret_fd = TAKE_FD(fd);
    return 0;
}

/* Looking up a path may block on a file system that has hung. Root may do that to itself; others never get here. */
static int open_for_root(const char *path, const char *field, bool file_too, int *ret_fd, Error *reterr) {
    if (path[0] != '/')
        return refuse_value(path, field, "an absolute path is expected", reterr);
    _cleanup_fd_ int fd = open(path, O_PATH | O_CLOEXEC);
    if (fd < 0) {
        char quoted[QUOTE_SIZE];
        return error_invalid(reterr, field, "is %s, which cannot be opened: %s", quote(quoted, path, strlen(path)),
                             strerror(errno));
    }
    int r = check_type(fd, field, file_too, reterr);
    if (r < 0)
        return r;
    *ret_fd = TAKE_FD(fd);
    return 0;
}

static int read_rootfs(RunSpec *s, Error *reterr) {
    json_object *index = fields_get(s->parameters, "rootfs");
    if (!index)
        return 0;
    return take_directory(s, index, "rootfs", false, &s->spec->sandbox.rootfs_fd, reterr);
}

static int read_rootfs_path(RunSpec *s, Error *reterr) {
    const char *path = fields_string(s->parameters, "rootfsPath");
    if (!path)
        return 0;
    if (!peer_is_root(s->peer))
        return refuse_tenant("rootfsPath", "open the directory and pass its descriptor as rootfs", reterr);
    if (fields_get(s->parameters, "rootfs"))
        return error_invalid(reterr, "rootfsPath", "cannot be given together with rootfs");
    return open_for_root(path, "rootfsPath", false, &s->spec->sandbox.rootfs_fd, reterr);
}

static int read_read_only(RunSpec *s, Error *reterr) {
    s->spec->sandbox.read_only = fields_bool(s->parameters, "readOnly");
    return 0;
}

static bool is_at_or_below(const char *path, const char *directory) {
    size_t size = strlen(directory);
    return strncmp(path, directory, size) == 0 && (path[size] == 0 || path[size] == '/');
}

/* What Kennel mounts itself is not to be covered: a false /proc once made every check of a runtime void. */
static int check_target(const RunSpec *s, const char *target, const char *field, Error *reterr) {
    static const char *const kept[] = { "/proc", "/sys", "/dev" };
    if (strcmp(target, "/") == 0)
        return refuse_value(target, field, "a directory below the root is expected", reterr);
    for (size_t i = 0; i < ELEMENTSOF(kept); i++)
        if (is_at_or_below(target, kept[i]) && !is_at_or_below(target, "/dev/shm"))
            return refuse_value(target, field, "/proc, /sys and /dev (but for /dev/shm) are not to be mounted over",
                                reterr);
    for (size_t i = 0; i < s->spec->sandbox.n_mounts; i++)
        if (strcmp(s->spec->sandbox.mounts[i].target, target) == 0)
            return refuse_value(target, field, "another mount has this target already", reterr);
    return 0;
}

/* Appends M, whose target is in TARGET still to be checked; M's descriptor is the spec's from here on. */
static int add_mount(RunSpec *s, const char *target, const char *field, SandboxMount *m, Error *reterr) {
    SandboxSpec *sandbox = &s->spec->sandbox;
    int r = program_spec_path(target, field, &m->target, reterr);
    if (r >= 0)
        r = check_target(s, m->target, field, reterr);
    if (r < 0) {
        free(m->target);
        m->source_fd = fd_close(m->source_fd);
        return r;
    }
    sandbox->mounts[sandbox->n_mounts++] = *m;
    return 0;
}

/* Room for all volumes and tmpfs at once, so that adding one cannot fail. */
static int allocate_mounts(RunSpec *s, Error *reterr) {
    s->spec->sandbox.mounts = calloc(KENNEL_MOUNTS_MAX, sizeof(SandboxMount));
    return s->spec->sandbox.mounts ? 0 : fields_oom(reterr);
}

static int volume_source(RunSpec *s, json_object *o, size_t i, int *ret_fd, Error *reterr) {
    char source_field[ERROR_SUBJECT_MAX], path_field[ERROR_SUBJECT_MAX];
    (void) snprintf(source_field, sizeof(source_field), "volumes[%zu].source", i);
    (void) snprintf(path_field, sizeof(path_field), "volumes[%zu].sourcePath", i);
    json_object *index = fields_get(o, "source");
    const char *path = fields_string(o, "sourcePath");
    if (!index && !path)
        return error_invalid(reterr, source_field, "is missing; the index of a descriptor is expected");
    if (path && !peer_is_root(s->peer))
        return refuse_tenant(path_field, "open the file or directory and pass its descriptor as source", reterr);
    if (index && path)
        return error_invalid(reterr, path_field, "cannot be given together with source");
    return index ? take_directory(s, index, source_field, true, ret_fd, reterr)
                 : open_for_root(path, path_field, true, ret_fd, reterr);
}

static int read_volumes(RunSpec *s, Error *reterr) {
    json_object *list;
    size_t n;
    int r = fields_list(s->parameters, "volumes", KENNEL_MOUNTS_MAX, &list, &n, reterr);
    if (r < 0)
        return r;
    for (size_t i = 0; i < n; i++) {
        json_object *o = json_object_array_get_idx(list, i);
        SandboxMount m = {
            .kind = SANDBOX_MOUNT_VOLUME,
            .source_fd = -EBADF,
            .read_only = fields_bool(o, "readOnly"),
            .relabel = label_spec_relabel(o),
        };
        r = volume_source(s, o, i, &m.source_fd, reterr);
        if (r < 0)
            return r;
        char field[ERROR_SUBJECT_MAX];
        (void) snprintf(field, sizeof(field), "volumes[%zu].target", i);
        r = add_mount(s, fields_string(o, "target"), field, &m, reterr);
        if (r < 0)
            return r;
    }
    return 0;
}

static int read_tmpfs_numbers(json_object *o, size_t i, SandboxMount *m, Error *reterr) {
    char field[ERROR_SUBJECT_MAX];
    int64_t size = TMPFS_SIZE_DEFAULT, inodes = 0 /* by its size */, mode = TMPFS_MODE_MAX;
    (void) snprintf(field, sizeof(field), "tmpfs[%zu].size", i);
    int r = fields_int(o, "size", field, TMPFS_SIZE_MIN, INT64_MAX, &size, reterr);
    if (r < 0)
        return r;
    (void) snprintf(field, sizeof(field), "tmpfs[%zu].inodes", i);
    r = fields_int(o, "inodes", field, TMPFS_INODES_MIN, TMPFS_INODES_MAX, &inodes, reterr);
    if (r < 0)
        return r;
    (void) snprintf(field, sizeof(field), "tmpfs[%zu].mode", i);
    r = fields_int(o, "mode", field, 0, TMPFS_MODE_MAX, &mode, reterr);
    m->size = (uint64_t) size;
    m->inodes = (uint64_t) inodes;
    m->mode = (mode_t) mode;
    return r;
}

static int read_one_tmpfs(RunSpec *s, json_object *o, size_t i, Error *reterr) {
    SandboxMount m = { .kind = SANDBOX_MOUNT_TMPFS, .source_fd = -EBADF };
    int r = read_tmpfs_numbers(o, i, &m, reterr);
    if (r < 0)
        return r;
    char field[ERROR_SUBJECT_MAX];
    (void) snprintf(field, sizeof(field), "tmpfs[%zu].path", i);
    return add_mount(s, fields_string(o, "path"), field, &m, reterr);
}

static int read_tmpfs(RunSpec *s, Error *reterr) {
    json_object *list;
    size_t n;
    int r = fields_list(s->parameters, "tmpfs", KENNEL_MOUNTS_MAX - s->spec->sandbox.n_mounts, &list, &n, reterr);
    for (size_t i = 0; r >= 0 && i < n; i++)
        r = read_one_tmpfs(s, json_object_array_get_idx(list, i), i, reterr);
    return r;
}

static int read_environment(RunSpec *s, Error *reterr) {
    return program_spec_environment(s->parameters, &s->spec->sandbox.program, reterr);
}

static int read_directory(RunSpec *s, Error *reterr) {
    SandboxProgram *p = &s->spec->sandbox.program;
    p->working_directory = strdup("/");
    if (!p->working_directory)
        return fields_oom(reterr);
    return program_spec_directory(s->parameters, p, reterr);
}

static int read_user(RunSpec *s, Error *reterr) {
    return program_spec_user(s->parameters, &s->spec->sandbox.program, reterr);
}

/* RFC 1123: labels of letters, digits and inner hyphens, between dots. */
static bool is_hostname(const char *name) {
    size_t size = strlen(name);
    if (size == 0 || size > KENNEL_NAME_MAX)
        return false;
    for (const char *label = name;; label++) {
        size_t length = strspn(label, ALNUM "-");
        if (length == 0 || label[0] == '-' || label[length - 1] == '-')
            return false;
        label += length;
        if (*label != '.')
            return *label == 0;
    }
}

static int read_hostname(RunSpec *s, Error *reterr) {
    const char *name = fields_string(s->parameters, "hostname");
    if (!name)
        return 0;
    if (!is_hostname(name))
        return refuse_value(name, "hostname", "1 to 63 letters, digits, '.' and '-' are expected, as RFC 1123 has it",
                            reterr);
    return fields_copy_string(s->parameters, "hostname", "hostname", KENNEL_NAME_MAX, &s->spec->sandbox.hostname,
                              reterr);
}

static int read_network(RunSpec *s, Error *reterr) {
    static const struct {
        const char *name;
        SandboxNetwork network;
    } networks[] = {
        { "none", SANDBOX_NETWORK_NONE },
        { "bridge", SANDBOX_NETWORK_BRIDGE },
        { "host", SANDBOX_NETWORK_HOST },
    };
    const char *network = fields_string(s->parameters, "network");
    size_t i = 0;
    while (network && i < ELEMENTSOF(networks) && strcmp(networks[i].name, network) != 0)
        i++;
    if (i == ELEMENTSOF(networks))
        return refuse_value(network, "network", "\"none\", \"bridge\" or \"host\" is expected", reterr);
    if (networks[i].network == SANDBOX_NETWORK_HOST && !peer_is_root(s->peer))
        return error_forbidden(reterr, "network",
                               "is \"host\", which is for root alone; \"none\" or \"bridge\" is expected");
    s->spec->sandbox.network = networks[i].network;
    return 0;
}

static int read_ports(RunSpec *s, Error *reterr) {
    bool bridged = s->spec->sandbox.network == SANDBOX_NETWORK_BRIDGE;
    return ports_spec_parse(s->parameters, s->peer, bridged, &s->spec->ports, &s->spec->n_ports, reterr);
}

static int capability_from_element(json_object *list, const char *name, size_t i, uint64_t *ret, Error *reterr) {
    const char *text = json_object_get_string(json_object_array_get_idx(list, i));
    if (capabilities_from_string(text, ret) >= 0)
        return 0;
    char field[ERROR_SUBJECT_MAX];
    (void) snprintf(field, sizeof(field), "%s[%zu]", name, i);
    return refuse_value(text, field, "a capability such as NET_BIND_SERVICE, \"system\" or \"all\" is expected",
                        reterr);
}

static int read_capability_list(RunSpec *s, const char *name, bool may_be_forbidden, uint64_t *ret, Error *reterr) {
    json_object *list;
    size_t n;
    uint64_t all = 0;
    int r = fields_list(s->parameters, name, CAPABILITY_LIST_MAX, &list, &n, reterr);
    if (r < 0)
        return r;
    for (size_t i = 0; i < n; i++) {
        uint64_t set = 0;
        r = capability_from_element(list, name, i, &set, reterr);
        if (r < 0)
            return r;
        uint64_t forbidden = may_be_forbidden ? 0 : set & CAPABILITIES_FORBIDDEN;
        if (forbidden != 0) {
            char field[ERROR_SUBJECT_MAX];
            (void) snprintf(field, sizeof(field), "%s[%zu]", name, i);
            return error_forbidden(reterr, field, "gives %s, which is root's alone to give",
                                   capabilities_name((unsigned) __builtin_ctzll(forbidden)));
        }
        all |= set;
    }
    *ret = all;
    return 0;
}

static int read_cap_add(RunSpec *s, Error *reterr) {
    return read_capability_list(s, "capAdd", peer_is_root(s->peer), &s->spec->sandbox.program.capabilities, reterr);
}

static int read_cap_drop(RunSpec *s, Error *reterr) {
    uint64_t drop = 0;
    int r = read_capability_list(s, "capDrop", true, &drop, reterr);
    if (r < 0)
        return r;
    s->spec->sandbox.program.capabilities &= ~drop;
    return 0;
}

/* Once the capabilities are known. */
static int read_exec_policy(RunSpec *s, Error *reterr) {
    const char *policy = fields_string(s->parameters, "execPolicy");
    SandboxSpec *sandbox = &s->spec->sandbox;
    sandbox->image_only = policy && strcmp(policy, "imageOnly") == 0;
    if (sandbox->image_only && sandbox->program.capabilities & (UINT64_C(1) << CAP_SYS_ADMIN))
        return error_invalid(reterr, "execPolicy",
                             "is imageOnly, which cannot be kept with CAP_SYS_ADMIN: its holder changes the mounts; "
                             "\"report\" is expected, or capAdd without it");
    return 0;
}

/* The profile itself is judged when it is compiled, off the loop: it is the one part of a spec that costs milliseconds.
 */
static int read_seccomp(RunSpec *s, Error *reterr) {
    const char *profile = fields_string(s->parameters, "seccompProfile");
    if (!profile)
        return 0;
    if (strcmp(profile, "unconfined") != 0)
        return fields_copy_string(s->parameters, "seccompProfile", "seccompProfile", KENNEL_PROFILE_MAX,
                                  &s->spec->seccomp_profile, reterr);
    if (!peer_is_root(s->peer))
        return error_forbidden(reterr, "seccompProfile",
                               "is \"unconfined\", which is for root alone; a profile is expected");
    s->spec->seccomp_unconfined = true;
    return 0;
}

static int read_apparmor(RunSpec *s, Error *reterr) {
    return label_spec_apparmor(s->parameters, s->peer, s->spec, reterr);
}

static int read_label(RunSpec *s, Error *reterr) {
    return label_spec_label(s->parameters, s->peer, s->spec, reterr);
}

static int read_control(RunSpec *s, json_object *o, size_t i, Error *reterr) {
    char name_field[ERROR_SUBJECT_MAX], mode_field[ERROR_SUBJECT_MAX], expected[128];
    (void) snprintf(name_field, sizeof(name_field), "controls[%zu].control", i);
    (void) snprintf(mode_field, sizeof(mode_field), "controls[%zu].mode", i);
    const char *name = fields_string(o, "control");
    int k = control_from_name(name);
    if (k < 0) {
        size_t n = (size_t) snprintf(expected, sizeof(expected), "one is expected of ");
        control_names(expected + n, sizeof(expected) - n);
        return refuse_value(name, name_field, expected, reterr);
    }
    ContainerControl *c = &s->spec->controls[k];
    if (c->mode != CONTROL_MODE_UNSET)
        return refuse_value(name, name_field, "each control is expected once", reterr);
    c->mode = control_mode_from_string(fields_string(o, "mode"));
    if (c->mode == CONTROL_BEST_EFFORT && !peer_is_root(s->peer) &&
        container_controls_mode(s->environment, (ControlKind) k) == CONTROL_REQUIRED)
        return error_forbidden(reterr, mode_field, "is bestEffort; %s is required here, and root alone may loosen that",
                               name);
    return 0;
}

static int read_controls(RunSpec *s, Error *reterr) {
    json_object *list;
    size_t n;
    int r = fields_list(s->parameters, "controls", _CONTROL_MAX, &list, &n, reterr);
    for (size_t i = 0; r >= 0 && i < n; i++)
        r = read_control(s, json_object_array_get_idx(list, i), i, reterr);
    return r;
}

static int read_ulimits(RunSpec *s, Error *reterr) {
    SandboxProgram *p = &s->spec->sandbox.program;
    return ulimits_parse(s->parameters, &p->rlimits, &p->n_rlimits, reterr);
}

static int read_limits(RunSpec *s, Error *reterr) {
    json_object *object = fields_get(s->parameters, "limits");
    ContainerLimits *l = &s->spec->limits;
    *l = limits_spec_default();
    int r = limits_spec_parse(object, &s->spec->sandbox, l, reterr);
    if (r < 0 || peer_is_root(s->peer))
        return r;
    ContainerLimits ceilings = limits_spec_ceilings(s->environment, &s->spec->sandbox);
    return container_limits_hold(l, limits_spec_asked(object), NULL, &ceilings, reterr);
}

static int read_init(RunSpec *s, Error *reterr) {
    s->spec->sandbox.init = fields_bool(s->parameters, "init");
    return 0;
}

static int read_terminal(RunSpec *s, Error *reterr) {
    return program_spec_terminal(s->parameters, &s->spec->sandbox.program, reterr);
}

static int read_stdio(RunSpec *s, Error *reterr) {
    SandboxProgram *p = &s->spec->sandbox.program;
    int r = program_spec_stdio(s->parameters, s->descriptors, p, reterr);
    if (r < 0)
        return r;
    /* what has a place to go to does not go to the log; with a terminal there is nothing to read before Detach */
    s->spec->logged = p->terminal || p->stdio[1] < 0 || p->stdio[2] < 0;
    return 0;
}

static int read_remove(RunSpec *s, Error *reterr) {
    s->spec->remove = fields_bool(s->parameters, "remove");
    return 0;
}

static int check_descriptors(RunSpec *s, Error *reterr) {
    return descriptors_check_named(s->descriptors, reterr);
}

/* ROOT's home is where every image has it; other users' would have to be looked up in the image. */
static bool starts_as_root(const char *user) {
    if (!user)
        return true;
    size_t size = strcspn(user, ":");
    return (size == 4 && memcmp(user, "root", 4) == 0) || (size > 0 && strspn(user, "0") >= size);
}

/* HOSTNAME is added by container, which knows the name of a container that was given none. */
static int add_environment_defaults(RunSpec *s, Error *reterr) {
    SandboxProgram *p = &s->spec->sandbox.program;
    const char *const defaults[][2] = {
        { "PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin" },
        { "HOME", starts_as_root(p->user) ? "/root" : "/" },
        { p->terminal ? "TERM" : NULL, "xterm" },
    };
    for (size_t i = 0; i < ELEMENTSOF(defaults); i++) {
        int r = defaults[i][0] ? program_spec_add_default(p, defaults[i][0], defaults[i][1], reterr) : 0;
        if (r < 0)
            return r;
    }
    return 0;
}

/* In the order of the interface file. */
static int (*const readers[])(RunSpec *s, Error *reterr) = {
    read_command,
    read_name,
    read_image,
    read_rootfs,
    read_rootfs_path,
    read_read_only,
    allocate_mounts,
    read_volumes,
    read_tmpfs,
    read_environment,
    read_directory,
    read_user,
    read_hostname,
    read_network,
    read_ports,
    read_cap_add,
    read_cap_drop,
    read_exec_policy,
    read_seccomp,
    read_apparmor,
    read_label,
    read_controls,
    read_ulimits,
    read_limits,
    read_init,
    read_terminal,
    read_stdio,
    read_remove,
    check_descriptors,
    add_environment_defaults,
};

int run_spec_parse(json_object *parameters, const Peer *peer, bool attached, const ContainerEnvironment *environment,
                   Descriptors *d, ContainerSpec **ret, Error *reterr) {
    _cleanup_(container_spec_freep) ContainerSpec *spec = malloc(sizeof(ContainerSpec));
    if (!spec)
        return fields_oom(reterr);
    *spec = CONTAINER_SPEC_INIT;
    spec->owner = spec->sandbox.owner_uid = peer->uid;
    spec->owner_gid = spec->sandbox.owner_gid = peer->gid;
    spec->attached = attached;
    RunSpec s = { parameters, peer, environment, d, spec };
    for (size_t i = 0; i < ELEMENTSOF(readers); i++) {
        int r = readers[i](&s, reterr);
        if (r < 0)
            return r;
    }
    *ret = TAKE_PTR(spec);
    return 0;
}
