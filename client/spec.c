/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* From flags to parameters and descriptors; see spec.h. */

#include "client/spec.h"

#include "client/argument.h"
#include "client/environment.h"
#include "client/quantity.h"
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

static int out_of_memory(Error *reterr) {
    return error_failed(reterr, ENOMEM, "building the call", "out of memory");
}

/* Puts VALUE, consumed, into OBJECT. */
static int put(json_object *object, const char *key, json_object *value, Error *reterr) {
    if (value && json_object_object_add(object, key, value) == 0)
        return 0;
    json_object_put(value);
    return out_of_memory(reterr);
}

static int append(json_object *array, json_object *value, Error *reterr) {
    if (value && json_object_array_add(array, value) == 0)
        return 0;
    json_object_put(value);
    return out_of_memory(reterr);
}

static int put_int(json_object *object, const char *key, int64_t value, Error *reterr) {
    return put(object, key, json_object_new_int64(value), reterr);
}

/* JSON is UTF-8; bytes that are none cannot be sent. */
static int check_utf8(const char *flag, const char *value, Error *reterr) {
    return text_is_utf8(value, strlen(value)) ? 0 : error_invalid(reterr, flag, "\"%s\" is not UTF-8", value);
}

static int put_string(json_object *object, const char *key, const char *flag, const char *value, Error *reterr) {
    if (!value)
        return 0;
    int r = check_utf8(flag, value, reterr);
    return r < 0 ? r : put(object, key, json_object_new_string(value), reterr);
}

static int put_true(json_object *object, const char *key, bool value, Error *reterr) {
    return value ? put(object, key, json_object_new_boolean(true), reterr) : 0;
}

/* A new array in the field KEY; borrowed. */
static json_object *put_array(json_object *object, const char *key, Error *reterr) {
    json_object *array = json_object_new_array();
    return put(object, key, array, reterr) < 0 ? NULL : array;
}

/* A new object at the end of ARRAY; borrowed. */
static json_object *append_object(json_object *array, Error *reterr) {
    json_object *object = json_object_new_object();
    return append(array, object, reterr) < 0 ? NULL : object;
}

static int put_strings(json_object *object, const char *key, const char *flag, const Strings *strings, Error *reterr) {
    if (strings->n == 0)
        return 0;
    json_object *array = put_array(object, key, reterr);
    if (!array)
        return -ENOMEM;
    for (size_t i = 0; i < strings->n; i++) {
        int r = check_utf8(flag, strings->items[i], reterr);
        if (r == 0)
            r = append(array, json_object_new_string(strings->items[i]), reterr);
        if (r < 0)
            return r;
    }
    return 0;
}

int spec_add_fd(Spec *s, json_object *where, const char *key, int consume_fd, const char *flag, Error *reterr) {
    _cleanup_fd_ int fd = consume_fd;

    if (s->n_fds == ELEMENTSOF(s->fds))
        return error_invalid(reterr, flag, "more than %u files and directories cannot be passed", KENNEL_FDS_MAX);
    int r = put_int(where, key, (int64_t) s->n_fds, reterr);
    if (r < 0)
        return r;
    s->fds[s->n_fds++] = TAKE_FD(fd);
    return 0;
}

int spec_add_terminal(Spec *s, unsigned rows, unsigned columns, Error *reterr) {
    json_object *terminal = json_object_new_object();
    int r = put(s->parameters, "terminal", terminal, reterr);

    if (r == 0)
        r = put_int(terminal, "rows", rows, reterr);
    return r < 0 ? r : put_int(terminal, "columns", columns, reterr);
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
    return put_strings(parameters, "env", "-e/--env", &entries, reterr);
}

static int add_process(json_object *p, const ProcessFlags *flags, const Strings *command, Error *reterr) {
    int r = put_strings(p, "command", "COMMAND", command, reterr);

    if (r == 0)
        r = put_string(p, "user", "-u/--user", flags->user, reterr);
    if (r == 0)
        r = put_string(p, "workingDirectory", "-w/--workdir", flags->working_directory, reterr);
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
    json_object *object = append_object(array, reterr);
    if (!object)
        return -ENOMEM;
    r = spec_add_fd(s, object, "source", TAKE_FD(fd), flag, reterr);
    if (r == 0)
        r = put_string(object, "target", flag, v.target, reterr);
    return r < 0 ? r : put_true(object, "readOnly", v.read_only, reterr);
}

static int add_tmpfs(Spec *s, json_object *array, const char *text, Error *reterr) {
    _cleanup_(argument_tmpfs_done) ArgumentTmpfs t = { .size = -1, .mode = -1 };
    int r = argument_tmpfs("--tmpfs", text, &t, reterr);

    if (r < 0)
        return r;
    json_object *object = append_object(array, reterr);
    if (!object)
        return -ENOMEM;
    r = put_string(object, "path", "--tmpfs", t.path, reterr);
    if (r == 0 && t.size >= 0)
        r = put_int(object, "size", t.size, reterr);
    if (r == 0 && t.mode >= 0)
        r = put_int(object, "mode", t.mode, reterr);
    return r;
}

static int add_ulimit(Spec *s, json_object *array, const char *text, Error *reterr) {
    ArgumentUlimit u;
    int r = argument_ulimit("--ulimit", text, &u, reterr);

    if (r < 0)
        return r;
    json_object *object = append_object(array, reterr);
    if (!object)
        return -ENOMEM;
    r = put_string(object, "name", "--ulimit", u.name, reterr);
    if (r == 0)
        r = put_int(object, "soft", u.soft, reterr);
    return r < 0 ? r : put_int(object, "hard", u.hard, reterr);
}

static int add_each(Spec *s, const char *key, const Strings *values,
                    int (*add)(Spec *s, json_object *array, const char *text, Error *reterr), Error *reterr) {
    if (values->n == 0)
        return 0;
    json_object *array = put_array(s->parameters, key, reterr);
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
    if (network && strcmp(network, "bridge") == 0)
        return error_invalid(reterr, "--network", "bridge is not available in this version");
    if (network && strcmp(network, "none") != 0 && strcmp(network, "host") != 0)
        return error_invalid(reterr, "--network", "\"%s\" is no network; none or host is expected", network);
    return put_string(s->parameters, "network", "--network", network, reterr);
}

/* Reads a profile whole; what it says is the daemon's to judge. */
static int read_profile(const char *path, char **ret, Error *reterr) {
    static const char flag[] = "--security-opt";
    _cleanup_fclose_ FILE *file = fopen(path, "re");
    _cleanup_free_ char *text = malloc(KENNEL_PROFILE_MAX + 2);

    if (!file)
        return error_invalid(reterr, flag, "cannot open the seccomp profile %s: %s", path, strerror(errno));
    if (!text)
        return out_of_memory(reterr);
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

static int add_security(Spec *s, const char *option, Error *reterr) {
    static const char flag[] = "--security-opt", seccomp[] = "seccomp=";
    _cleanup_free_ char *profile = NULL;

    if (strncmp(option, "apparmor=", 9) == 0 || strncmp(option, "label=", 6) == 0)
        return error_invalid(reterr, flag, "%s is not available in this version", option);
    if (strncmp(option, seccomp, sizeof(seccomp) - 1) != 0)
        return error_invalid(reterr, flag, "\"%s\" is unknown; seccomp=FILE or seccomp=unconfined is expected", option);

    const char *value = option + sizeof(seccomp) - 1;
    if (strcmp(value, "unconfined") != 0) {
        int r = read_profile(value, &profile, reterr);
        if (r < 0)
            return r;
    }
    return put_string(s->parameters, "seccompProfile", flag, profile ?: value, reterr);
}

static int add_limits(Spec *s, const RunFlags *flags, Error *reterr) {
    int64_t value;
    int r;

    if (!flags->memory && !flags->cpus && !flags->pids)
        return 0;
    json_object *limits = json_object_new_object();
    r = put(s->parameters, "limits", limits, reterr);
    if (r == 0 && flags->memory) {
        r = quantity_bytes("-m/--memory", flags->memory, &value, reterr);
        r = r < 0 ? r : put_int(limits, "memory", value, reterr);
    }
    if (r == 0 && flags->cpus) {
        r = quantity_cpus("--cpus", flags->cpus, &value, reterr);
        r = r < 0 ? r : put_int(limits, "cpuQuotaPerSecUsec", value, reterr);
    }
    if (r == 0 && flags->pids) {
        r = quantity_integer("--pids-limit", flags->pids, 1, INT64_MAX, &value, reterr);
        r = r < 0 ? r : put_int(limits, "pids", value, reterr);
    }
    return r;
}

/* Everything that is one string or one switch of Run's. */
static int add_plain(Spec *s, const RunFlags *f, Error *reterr) {
    json_object *p = s->parameters;
    int r = put_string(p, "name", "--name", f->name, reterr);

    if (r == 0)
        r = put_string(p, "hostname", "--hostname", f->hostname, reterr);
    if (r == 0)
        r = put_true(p, "readOnly", f->read_only, reterr);
    if (r == 0)
        r = put_true(p, "init", f->init, reterr);
    if (r == 0)
        r = put_true(p, "remove", f->remove, reterr);
    if (r == 0)
        r = put_strings(p, "capAdd", "--cap-add", &f->cap_add, reterr);
    return r < 0 ? r : put_strings(p, "capDrop", "--cap-drop", &f->cap_drop, reterr);
}

int spec_run(const RunFlags *flags, const Strings *command, Spec *ret, Error *reterr) {
    _cleanup_(spec_done) Spec s = { .parameters = json_object_new_object() };
    int r = s.parameters ? 0 : out_of_memory(reterr);

    if (r == 0)
        r = add_process(s.parameters, &flags->process, command, reterr);
    if (r == 0)
        r = add_plain(&s, flags, reterr);
    if (r == 0)
        r = add_network(&s, flags->network, reterr);
    if (r == 0)
        r = add_limits(&s, flags, reterr);
    for (size_t i = 0; i < flags->security.n && r == 0; i++)
        r = add_security(&s, flags->security.items[i], reterr);
    if (r == 0)
        r = add_each(&s, "ulimits", &flags->ulimits, add_ulimit, reterr);
    if (r == 0)
        r = add_each(&s, "tmpfs", &flags->tmpfs, add_tmpfs, reterr);
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
    int r = s.parameters ? 0 : out_of_memory(reterr);

    if (r == 0)
        r = put_string(s.parameters, "container", "CONTAINER", container, reterr);
    if (r == 0)
        r = add_process(s.parameters, flags, command, reterr);
    if (r < 0)
        return r;
    *ret = s;
    s = (Spec){ 0 };
    return 0;
}
