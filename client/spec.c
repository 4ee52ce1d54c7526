/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* From flags to parameters and descriptors; see spec.h. */

#include "client/spec.h"

#include "client/argument.h"
#include "client/environment.h"
#include "client/parameters.h"
#include "client/render-json.h"
#include "client/text.h"
#include "proto/json.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

void spec_done(Spec *s) {
    for (size_t i = 0; i < s->n_fds; i++)
        s->fds[i] = fd_close(s->fds[i]);
    s->n_fds = 0;
    json_object_putp(&s->parameters);
}

int spec_add_fd(Spec *s, json_object *where, const char *key, int consume_fd, const char *flag, Error *reterr) {
    _cleanup_fd_ int fd = consume_fd;

    if (s->n_fds == ELEMENTSOF(s->fds))
        return error_invalid(reterr, flag, "more than %u files and directories cannot be passed", KENNEL_FDS_MAX);
    int r = parameters_put_int(where, key, (int64_t) s->n_fds, reterr);
    if (r < 0)
        return r;
    s->fds[s->n_fds++] = TAKE_FD(fd);
    return 0;
}

int spec_add_terminal(Spec *s, unsigned rows, unsigned columns, Error *reterr) {
    json_object *terminal = json_object_new_object();
    int r = parameters_put(s->parameters, "terminal", terminal, reterr);

    if (r == 0)
        r = parameters_put_int(terminal, "rows", rows, reterr);
    return r < 0 ? r : parameters_put_int(terminal, "columns", columns, reterr);
}

static int add_environment(json_object *parameters, const ProcessFlags *flags, Error *reterr) {
    _cleanup_(environment_done) Environment e = { 0 };
    int r = 0;

    /* -e wins over the files, wherever it stands */
    for (size_t i = 0; i < flags->env_files.n && r == 0; i++)
        r = environment_add_file(&e, "--env-file", flags->env_files.items[i], reterr);
    for (size_t i = 0; i < flags->env.n && r == 0; i++)
        r = environment_add(&e, "-e/--env", flags->env.items[i], reterr);
    if (r < 0)
        return r;

    Strings entries = { (const char **) e.entries, e.n };
    return parameters_put_strings(parameters, "env", "-e/--env", &entries, reterr);
}

static int add_process(json_object *p, const ProcessFlags *flags, const Strings *command, Error *reterr) {
    int r = parameters_put_strings(p, "command", "COMMAND", command, reterr);

    if (r == 0)
        r = parameters_put_string(p, "user", "-u/--user", flags->user, reterr);
    if (r == 0)
        r = parameters_put_string(p, "workingDirectory", "-w/--workdir", flags->working_directory, reterr);
    return r < 0 ? r : add_environment(p, flags, reterr);
}

/*
 * Opens the source of a volume: a directory, or a regular file for as much as the volume is for. Anything else is
 * refused before it is opened, because opening a device or a FIFO already does something.
 */
static int open_source(const char *path, bool read_only, int *ret_fd, Error *reterr) {
    static const char flag[] = "-v/--volume";
    struct stat st;

    if (stat(path, &st) < 0)
        return error_invalid(reterr, flag, "cannot use %s: %s", path, strerror(errno));
    if (!S_ISDIR(st.st_mode) && !S_ISREG(st.st_mode))
        return error_invalid(reterr, flag, "%s is neither a directory nor a regular file", path);

    int mode = S_ISDIR(st.st_mode) ? O_RDONLY | O_DIRECTORY : read_only ? O_RDONLY : O_RDWR;
    _cleanup_fd_ int fd = open(path, mode | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd < 0 && mode == O_RDWR && (errno == EACCES || errno == EROFS || errno == EPERM || errno == ETXTBSY))
        return error_invalid(reterr, flag, "cannot open %s for writing: %s; to mount it read-only, append :ro", path,
                             strerror(errno));
    if (fd < 0)
        return error_invalid(reterr, flag, "cannot open %s: %s", path, strerror(errno));
    *ret_fd = TAKE_FD(fd);
    return 0;
}

static int add_volume(Spec *s, json_object *array, const char *text, Error *reterr) {
    static const char flag[] = "-v/--volume";
    _cleanup_(argument_volume_done) ArgumentVolume v = { 0 };
    _cleanup_fd_ int fd = -EBADF;
    int r = argument_volume(flag, text, &v, reterr);

    if (r == 0)
        r = open_source(v.source, v.read_only, &fd, reterr);
    if (r < 0)
        return r;
    json_object *object = parameters_append_object(array, reterr);
    if (!object)
        return -ENOMEM;
    r = spec_add_fd(s, object, "source", TAKE_FD(fd), flag, reterr);
    if (r == 0)
        r = parameters_put_string(object, "target", flag, v.target, reterr);
    if (r == 0)
        r = parameters_put_true(object, "readOnly", v.read_only, reterr);
    return r < 0 ? r : parameters_put_string(object, "relabel", flag, v.relabel, reterr);
}

static int add_tmpfs(Spec *s, json_object *array, const char *text, Error *reterr) {
    _cleanup_(argument_tmpfs_done) ArgumentTmpfs t = ARGUMENT_TMPFS_INIT;
    int r = argument_tmpfs("--tmpfs", text, &t, reterr);

    if (r < 0)
        return r;
    json_object *object = parameters_append_object(array, reterr);
    if (!object)
        return -ENOMEM;
    r = parameters_put_string(object, "path", "--tmpfs", t.path, reterr);
    if (r == 0 && t.size >= 0)
        r = parameters_put_int(object, "size", t.size, reterr);
    if (r == 0 && t.inodes >= 0)
        r = parameters_put_int(object, "inodes", t.inodes, reterr);
    if (r == 0 && t.mode >= 0)
        r = parameters_put_int(object, "mode", t.mode, reterr);
    return r;
}

static int add_ulimit(Spec *s, json_object *array, const char *text, Error *reterr) {
    ArgumentUlimit u;
    int r = argument_ulimit("--ulimit", text, &u, reterr);

    if (r < 0)
        return r;
    json_object *object = parameters_append_object(array, reterr);
    if (!object)
        return -ENOMEM;
    r = parameters_put_string(object, "name", "--ulimit", u.name, reterr);
    if (r == 0)
        r = parameters_put_int(object, "soft", u.soft, reterr);
    return r < 0 ? r : parameters_put_int(object, "hard", u.hard, reterr);
}

static int add_each(Spec *s, const char *key, const Strings *values,
                    int (*add)(Spec *s, json_object *array, const char *text, Error *reterr), Error *reterr) {
    if (values->n == 0)
        return 0;
    json_object *array = parameters_put_array(s->parameters, key, reterr);
    if (!array)
        return -ENOMEM;
    for (size_t i = 0; i < values->n; i++) {
        int r = add(s, array, values->items[i], reterr);
        if (r < 0)
            return r;
    }
    return 0;
}

static int add_rootfs(Spec *s, const char *path, Error *reterr) {
    if (!path)
        return 0;
    _cleanup_fd_ int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 && errno == ENOTDIR)
        return error_invalid(reterr, "--rootfs", "%s is not a directory", path);
    if (fd < 0)
        return error_invalid(reterr, "--rootfs", "cannot open %s: %s", path, strerror(errno));
    return spec_add_fd(s, s->parameters, "rootfs", TAKE_FD(fd), "--rootfs", reterr);
}

static int add_network(Spec *s, const char *network, Error *reterr) {
    static const char *const known[] = { "none", "bridge", "host" };
    bool found = !network;

    for (size_t i = 0; i < ELEMENTSOF(known); i++)
        found = found || strcmp(network, known[i]) == 0;
    if (!found)
        return error_invalid(reterr, "--network", "\"%s\" is no network; none, bridge or host is expected", network);
    return parameters_put_string(s->parameters, "network", "--network", network, reterr);
}

static int add_exec_policy(Spec *s, const char *policy, Error *reterr) {
    if (!policy)
        return 0;
    bool only = strcmp(policy, "image-only") == 0;
    if (!only && strcmp(policy, "report") != 0)
        return error_invalid(reterr, "--exec-policy", "\"%s\" is no policy; report or image-only is expected", policy);
    return parameters_put_string(s->parameters, "execPolicy", "--exec-policy", only ? "imageOnly" : "report", reterr);
}

static int add_port(Spec *s, json_object *array, const char *text, Error *reterr) {
    static const char flag[] = "-p/--publish";
    ArgumentPort p;
    int r = argument_port(flag, text, &p, reterr);

    if (r < 0)
        return r;
    json_object *object = parameters_append_object(array, reterr);
    if (!object)
        return -ENOMEM;
    if (p.address[0])
        r = parameters_put_string(object, "hostAddress", flag, p.address, reterr);
    if (r == 0)
        r = parameters_put_int(object, "host", p.host, reterr);
    if (r == 0)
        r = parameters_put_int(object, "container", p.container, reterr);
    return r < 0 ? r : parameters_put_string(object, "protocol", flag, p.udp ? "udp" : "tcp", reterr);
}

/* Reads a profile whole; what it says is the daemon's to judge. */
static int read_profile(const char *path, char **ret, Error *reterr) {
    static const char flag[] = "--security-opt";
    _cleanup_fclose_ FILE *file = fopen(path, "re");
    _cleanup_free_ char *text = malloc(KENNEL_PROFILE_MAX + 2);

    if (!file)
        return error_invalid(reterr, flag, "cannot open the seccomp profile %s: %s", path, strerror(errno));
    if (!text)
        return parameters_out_of_memory(reterr);
    size_t n = fread(text, 1, KENNEL_PROFILE_MAX + 1, file);
    if (ferror(file))
        return error_invalid(reterr, flag, "cannot read the seccomp profile %s: %s", path, strerror(errno));
    if (n > KENNEL_PROFILE_MAX)
        return error_invalid(reterr, flag, "the seccomp profile %s has more than %u bytes", path, KENNEL_PROFILE_MAX);
    if (memchr(text, 0, n) || !text_is_utf8(text, n))
        return error_invalid(reterr, flag, "the seccomp profile %s is no text in UTF-8", path);
    text[n] = 0;
    *ret = TAKE_PTR(text);
    return 0;
}

static const char security_flag[] = "--security-opt";

static int add_seccomp(Spec *s, const char *value, Error *reterr) {
    _cleanup_free_ char *profile = NULL;

    if (strcmp(value, "unconfined") != 0) {
        int r = read_profile(value, &profile, reterr);
        if (r < 0)
            return r;
    }
    return parameters_put_string(s->parameters, "seccompProfile", security_flag, profile ?: value, reterr);
}

static int add_apparmor(Spec *s, const char *value, Error *reterr) {
    return parameters_put_string(s->parameters, "apparmorProfile", security_flag, value, reterr);
}

/* One part of the label; the others may be there already. */
static int add_label(Spec *s, const char *key, const char *value, Error *reterr) {
    json_object *label = json_field_object(s->parameters, "label");

    if (!label) {
        label = json_object_new_object();
        int r = parameters_put(s->parameters, "label", label, reterr);
        if (r < 0)
            return r;
    }
    return value ? parameters_put_string(label, key, security_flag, value, reterr)
                 : parameters_put_true(label, key, true, reterr);
}

static int add_label_disable(Spec *s, const char *value, Error *reterr) {
    return add_label(s, "disable", NULL, reterr);
}

static int add_label_level(Spec *s, const char *value, Error *reterr) {
    return add_label(s, "level", value, reterr);
}

static int add_label_type(Spec *s, const char *value, Error *reterr) {
    return add_label(s, "type", value, reterr);
}

static int refuse_label(Spec *s, const char *value, Error *reterr) {
    return error_invalid(reterr, security_flag,
                         "label=user: and label=role: cannot be chosen: the policy has one user and one role for all "
                         "containers; label=type: and label=level: can");
}

static const struct {
    const char *prefix;
    bool whole; /* nothing follows the prefix */
    int (*add)(Spec *s, const char *value, Error *reterr);
} security_options[] = {
    { "seccomp=", false, add_seccomp },           { "apparmor=", false, add_apparmor },
    { "label=disable", true, add_label_disable }, { "label=level:", false, add_label_level },
    { "label=type:", false, add_label_type },     { "label=user:", false, refuse_label },
    { "label=role:", false, refuse_label },
};

_Static_assert(ELEMENTSOF(security_options) <= 32, "the set of options seen is 32 bits");

/* SEEN: which of them came before. What would be lost if the last one counted may be what was to hold the container. */
static int add_security(Spec *s, const char *option, uint32_t *seen, Error *reterr) {
    for (size_t i = 0; i < ELEMENTSOF(security_options); i++) {
        const char *prefix = security_options[i].prefix, *value = option + strlen(prefix);
        if (strncmp(option, prefix, strlen(prefix)) != 0 || (security_options[i].whole && *value))
            continue;
        if (!security_options[i].whole && !*value)
            return error_invalid(reterr, security_flag, "\"%s\" says nothing after \"%s\"", option, prefix);
        if (*seen & (UINT32_C(1) << i))
            return error_invalid(reterr, security_flag, "%s is given a second time", prefix);
        *seen |= UINT32_C(1) << i;
        return security_options[i].add(s, value, reterr);
    }
    return error_invalid(reterr, security_flag,
                         "\"%s\" is unknown; seccomp=FILE, seccomp=unconfined, apparmor=NAME, apparmor=unconfined, "
                         "label=disable, label=level:s0:c1,c2 or label=type:TYPE is expected",
                         option);
}

/* "apparmor=required"; which controls there are is the daemon's to know. */
static int add_control(Spec *s, json_object *array, const char *text, Error *reterr) {
    static const char flag[] = "--control";
    const char *equals = strchr(text, '='), *mode = NULL;

    if (equals && strcmp(equals + 1, "required") == 0)
        mode = "required";
    else if (equals && strcmp(equals + 1, "best-effort") == 0)
        mode = "bestEffort";
    if (!mode || equals == text)
        return error_invalid(reterr, flag, "\"%s\" is not NAME=required or NAME=best-effort, such as apparmor=required",
                             text);
    _cleanup_free_ char *name = strndup(text, (size_t) (equals - text));
    json_object *object = name ? parameters_append_object(array, reterr) : NULL;
    if (!object)
        return name ? -ENOMEM : parameters_out_of_memory(reterr);
    int r = parameters_put_string(object, "control", flag, name, reterr);
    return r < 0 ? r : parameters_put_string(object, "mode", flag, mode, reterr);
}

static int add_limits(Spec *s, const LimitFlags *flags, Error *reterr) {
    json_object *limits = NULL;
    int r = limit_flags_build(flags, &limits, reterr);

    return r < 0 || !limits ? r : parameters_put(s->parameters, "limits", limits, reterr);
}

/* Everything that is one string or one switch of Run's. */
static int add_plain(Spec *s, const RunFlags *f, Error *reterr) {
    json_object *p = s->parameters;
    int r = parameters_put_string(p, "name", "--name", f->name, reterr);

    if (r == 0)
        r = parameters_put_string(p, "hostname", "--hostname", f->hostname, reterr);
    if (r == 0)
        r = parameters_put_true(p, "readOnly", f->read_only, reterr);
    if (r == 0)
        r = parameters_put_true(p, "init", f->init, reterr);
    if (r == 0)
        r = parameters_put_true(p, "remove", f->remove, reterr);
    if (r == 0)
        r = parameters_put_strings(p, "capAdd", "--cap-add", &f->cap_add, reterr);
    return r < 0 ? r : parameters_put_strings(p, "capDrop", "--cap-drop", &f->cap_drop, reterr);
}

int spec_run(const RunFlags *flags, const Strings *command, Spec *ret, Error *reterr) {
    _cleanup_(spec_done) Spec s = { .parameters = json_object_new_object() };
    int r = s.parameters ? 0 : parameters_out_of_memory(reterr);

    if (r == 0)
        r = add_process(s.parameters, &flags->process, command, reterr);
    if (r == 0)
        r = add_plain(&s, flags, reterr);
    if (r == 0)
        r = add_network(&s, flags->network, reterr);
    if (r == 0)
        r = add_exec_policy(&s, flags->exec_policy, reterr);
    if (r == 0)
        r = add_limits(&s, &flags->limits, reterr);
    uint32_t seen = 0;
    for (size_t i = 0; i < flags->security.n && r == 0; i++)
        r = add_security(&s, flags->security.items[i], &seen, reterr);
    if (r == 0)
        r = add_each(&s, "controls", &flags->controls, add_control, reterr);
    if (r == 0)
        r = add_each(&s, "ulimits", &flags->ulimits, add_ulimit, reterr);
    if (r == 0)
        r = add_each(&s, "tmpfs", &flags->tmpfs, add_tmpfs, reterr);
    if (r == 0)
        r = add_each(&s, "ports", &flags->ports, add_port, reterr);
    if (r == 0)
        r = add_rootfs(&s, flags->rootfs, reterr);
    if (r == 0)
        r = add_each(&s, "volumes", &flags->volumes, add_volume, reterr);
    if (r < 0)
        return r;
    *ret = s;
    s = (Spec){ 0 };
    return 0;
}

int spec_exec(const ProcessFlags *flags, const char *container, const Strings *command, Spec *ret, Error *reterr) {
    _cleanup_(spec_done) Spec s = { .parameters = json_object_new_object() };
    int r = s.parameters ? 0 : parameters_out_of_memory(reterr);

    if (r == 0)
        r = parameters_put_string(s.parameters, "container", "CONTAINER", container, reterr);
    if (r == 0)
        r = add_process(s.parameters, flags, command, reterr);
    if (r < 0)
        return r;
    *ret = s;
    s = (Spec){ 0 };
    return 0;
}
