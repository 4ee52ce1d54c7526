/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the client says when something is wrong; see report.h. */

#include "client/report.h"

#include "client/render-json.h"
#include "client/text.h"
#include "client/verb.h"

#include <string.h>

void report(const char *format, ...) {
    _cleanup_free_ char *text = NULL, *escaped = NULL;
    va_list ap;

    va_start(ap, format);
    if (vasprintf(&text, format, ap) < 0)
        text = NULL;
    va_end(ap);
    escaped = text ? text_escape(text) : NULL;
    (void) fflush(stdout); /* what was printed before was said before */
    (void) fprintf(stderr, "kennel: %s\n", escaped ?: "out of memory");
}

/* A field matches if it is equal, or if what follows is an index or a field within. "[]" is any index. */
static const struct {
    const char *field, *flag;
} field_flags[] = {
    { "command", "COMMAND" },
    { "container", "CONTAINER" },
    { "containers", "CONTAINER" },
    { "name", "--name" },
    { "rootfs", "--rootfs" },
    { "rootfsPath", "--rootfs" },
    { "readOnly", "--read-only" },
    { "volumes", "-v/--volume" },
    { "tmpfs", "--tmpfs" },
    { "env", "-e/--env" },
    { "workingDirectory", "-w/--workdir" },
    { "user", "-u/--user" },
    { "hostname", "--hostname" },
    { "network", "--network" },
    { "execPolicy", "--exec-policy" },
    { "capAdd", "--cap-add" },
    { "capDrop", "--cap-drop" },
    { "seccompProfile", "--security-opt" },
    { "apparmorProfile", "--security-opt" },
    { "label", "--security-opt" },
    { "controls", "--control" },
    { "ulimits", "--ulimit" },
    { "ports", "-p/--publish" },
    { "limits.memory", "-m/--memory" },
    { "limits.memorySwap", "--memory-swap" },
    { "limits.memoryHigh", "--memory-high" },
    { "limits.cpuQuotaPerSecUsec", "--cpus" },
    { "limits.cpuWeight", "--cpu-weight" },
    { "limits.cpusetCpus", "--cpuset-cpus" },
    { "limits.pids", "--pids-limit" },
    { "limits.ioWeight", "--io-weight" },
    { "limits.ioDevices[].readBps", "--device-read-bps" },
    { "limits.ioDevices[].writeBps", "--device-write-bps" },
    { "limits.ioDevices[].readIops", "--device-read-iops" },
    { "limits.ioDevices[].writeIops", "--device-write-iops" },
    { "limits.ioDevices", "--device-read-bps and its like" },
    { "limits.disk", "--disk" },
    { "limits.inodes", "--disk-inodes" },
    { "limits.netRateIn", "--net-rate" },
    { "limits.netRateOut", "--net-rate" },
    { "init", "--init" },
    { "terminal", "-t/--tty" },
    { "remove", "--rm" },
    { "signal", "-s/--signal" },
    { "pid", "--pid" },
    { "hostPid", "--host-pid" },
    { "timeoutUsec", "-t/--time" },
    { "intervalUsec", "--interval" },
    { "sinceUsec", "--since" },
    { "tail", "-n/--tail" },
};

/* What stands behind PATTERN in FIELD, NULL if it does not begin with it. */
static const char *match_field(const char *field, const char *pattern) {
    for (; *pattern; pattern++) {
        if (*pattern == ']')
            while (*field >= '0' && *field <= '9')
                field++;
        if (*field++ != *pattern)
            return NULL;
    }
    return field;
}

const char *report_flag_of_field(const char *field) {
    for (size_t i = 0; i < ELEMENTSOF(field_flags); i++) {
        const char *rest = match_field(field, field_flags[i].field);
        if (rest && (*rest == 0 || *rest == '[' || *rest == '.'))
            return field_flags[i].flag;
    }
    return NULL;
}

static void report_invalid(const Error *e) {
    const char *flag = report_flag_of_field(e->subject);

    if (flag)
        report("%s: %s (field %s)", flag, e->message, e->subject);
    else if (e->subject[0])
        report("%s: %s", e->subject, e->message);
    else
        report("%s", e->message);
}

/* Sentences with the subject first and the message second. */
static const char *const sentences[_ERROR_KIND_MAX] = {
    [ERROR_FAILED] = "%s: %s",
    [ERROR_MALFORMED] = "%sthe daemon does not understand this message: %s",
    [ERROR_NO_SUCH_CONTAINER] = "no such container: %s%s",
    [ERROR_CONTAINER_EXISTS] = "the name \"%s\" is taken; choose another with --name, or free it with `kennel rm`%s",
    [ERROR_NOT_RUNNING] = "container %s is not running%s",
    [ERROR_STILL_RUNNING] = "container %s is still running; stop it first, or use `kennel rm -f`%s",
    [ERROR_LIMIT_UNAVAILABLE] = "this host cannot limit %s: %s",
    [ERROR_HARDENING_FAILED] = "the container could not be started: %s: %s",
    [ERROR_QUOTA_EXCEEDED] = "quota exceeded: %s: %s",
    [ERROR_NO_SUCH_PROCESS] = "no such process in the container: %s%s",
    [ERROR_PERMISSION_DENIED] = "%spermission denied: %s",
};

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral" /* the formats are the table's above */
void report_error(const Error *e) {
    if (e->kind == ERROR_INVALID_SPEC) {
        report_invalid(e);
        return;
    }
    if (e->kind == ERROR_HARDENING_FAILED && strcmp(e->subject, "execve") == 0) {
        report("the command cannot be executed: %s", e->message);
        return;
    }
    if (e->kind == ERROR_NOT_RUNNING && e->message[0]) {
        report("container %s is not running: %s", e->subject, e->message);
        return;
    }
    if (e->kind == ERROR_NONE || e->kind >= _ERROR_KIND_MAX || !sentences[e->kind])
        report("unknown error: %s %s", e->subject, e->message);
    else
        report(sentences[e->kind], e->subject, e->message);
}
#pragma GCC diagnostic pop

int report_exit_code(const Error *e) {
    if (e->kind != ERROR_HARDENING_FAILED || strcmp(e->subject, "execve") != 0)
        return EXIT_KENNEL;
    return e->code == ENOENT ? EXIT_NO_PROGRAM : EXIT_NOT_RUNNABLE;
}

int report_failure(const Error *e) {
    report_error(e);
    return report_exit_code(e);
}

/* Errors on the wire, and which of their fields become subject and message. */
static const struct {
    const char *name;
    ErrorKind kind;
    const char *subject, *message;
} wire_errors[] = {
    { "io.kennel.InvalidSpec", ERROR_INVALID_SPEC, "field", "reason" },
    { "io.kennel.MalformedMessage", ERROR_MALFORMED, NULL, "reason" },
    { "io.kennel.NoSuchContainer", ERROR_NO_SUCH_CONTAINER, "container", NULL },
    { "io.kennel.ContainerExists", ERROR_CONTAINER_EXISTS, "name", NULL },
    { "io.kennel.NotRunning", ERROR_NOT_RUNNING, "container", "reason" },
    { "io.kennel.StillRunning", ERROR_STILL_RUNNING, "container", NULL },
    { "io.kennel.LimitUnavailable", ERROR_LIMIT_UNAVAILABLE, "controller", "reason" },
    { "io.kennel.HardeningFailed", ERROR_HARDENING_FAILED, "stage", "message" },
    { "io.kennel.QuotaExceeded", ERROR_QUOTA_EXCEEDED, "resource", "reason" },
    { "io.kennel.NoSuchProcess", ERROR_NO_SUCH_PROCESS, "pid", NULL },
    { "io.kennel.PermissionDenied", ERROR_PERMISSION_DENIED, NULL, "reason" },
    { "io.kennel.Failed", ERROR_FAILED, "operation", "message" },
    { "org.varlink.service.PermissionDenied", ERROR_PERMISSION_DENIED, NULL, NULL },
};

/* A field as text, whatever its type; "" without one. */
static const char *field_text(json_object *parameters, const char *key) {
    json_object *value;

    if (!key || !json_object_object_get_ex(parameters, key, &value) || !value)
        return "";
    return json_object_get_string(value) ?: "";
}

/* What the daemon answers to calls that it does not know: it is of another version than the client. */
static void from_unknown(const char *name, json_object *parameters, Error *ret) {
    static const char standard[] = "org.varlink.service.";

    if (strncmp(name, standard, sizeof(standard) - 1) == 0)
        (void) error_failed(ret, EPROTO, "daemon", "does not know this call: %s %s (is it of another version?)",
                            name + sizeof(standard) - 1, json_object_to_json_string(parameters));
    else
        (void) error_failed(ret, EPROTO, "daemon", "%s %s", name, json_object_to_json_string(parameters));
}

void report_from_reply(const char *name, json_object *parameters, Error *ret) {
    int64_t code = 0;

    for (size_t i = 0; i < ELEMENTSOF(wire_errors); i++) {
        if (strcmp(wire_errors[i].name, name) != 0)
            continue;
        (void) json_field_int(parameters, "errno", &code);
        (void) error_set(ret, wire_errors[i].kind, (int) code, field_text(parameters, wire_errors[i].subject), "%s",
                         field_text(parameters, wire_errors[i].message));
        return;
    }
    from_unknown(name, parameters, ret);
}

int report_finish_output(int code) {
    if (fflush(stdout) == 0 && !ferror(stdout))
        return code;
    report("cannot write the output: %s", errno > 0 ? strerror(errno) : "write error");
    return EXIT_KENNEL;
}
