/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * kennel kill, stop, wait, pause, unpause, update, rm: one call for each container named. What is refused for one does not keep
 * the others from their turn; the exit code is then 1. Without a daemon there is no point in going on.
 */

#include "client/connection.h"
#include "client/limit-flags.h"
#include "client/parameters.h"
#include "client/quantity.h"
#include "client/receipt.h"
#include "client/render-json.h"
#include "client/report.h"
#include "client/text.h"
#include "client/verb.h"

#include <string.h>

/* What was asked for has been done as far as it could be. */
#define CONTROL_DYING 2

typedef struct Control {
    const char *method;
    /* puts what is the same for all containers into the parameters; may be NULL */
    int (*prepare)(const void *flags, json_object *parameters, Error *reterr);
    /* prints the result; NULL prints the container as it was named */
    int (*print)(const char *container, json_object *reply);
} Control;

static int control_one(Connection *c, const Control *control, json_object *parameters, const char *container,
                       Error *reterr) {
    _cleanup_(message_reply_freep) MessageReply *reply = NULL;

    (void) json_object_object_add(parameters, "container", json_object_new_string(container));
    int r = connection_call(c, control->method, parameters, false, &reply, reterr);
    if (r != 0)
        return r;
    if (control->print)
        return control->print(container, reply->parameters);
    (void) printf("%s\n", container);
    return 0;
}

static int control_all(const Client *client, const Control *control, const void *flags, const Strings *containers) {
    _cleanup_(connection_freep) Connection *c = NULL;
    _cleanup_json_ json_object *parameters = json_object_new_object();
    Error error = ERROR_INIT;
    int code = 0;

    int r = control->prepare ? control->prepare(flags, parameters, &error) : 0;
    if (r == 0)
        r = connection_open(client->socket, &c, &error);
    if (r < 0)
        return report_failure(&error);
    for (size_t i = 0; i < containers->n; i++) {
        r = control_one(c, control, parameters, containers->items[i], &error);
        if (r < 0)
            return report_failure(&error);
        if (r == CONNECTION_REFUSED)
            report_error(&error);
        if (r != 0)
            code = 1;
        (void) fflush(stdout); /* `wait` may stay long with the next */
    }
    return code;
}

/* ---- kill ---- */

typedef struct KillFlags {
    const char *signal, *pid, *host_pid, *format;
    bool descendants;
} KillFlags;

static const Option kill_options[] = {
    { 's', "signal", OPTION_STRING, offsetof(KillFlags, signal), "SIGNAL", "name or number (KILL, for all of it)" },
    { 0, "pid", OPTION_STRING, offsetof(KillFlags, pid), "PID", "this process alone, as the container sees it" },
    { 0, "host-pid", OPTION_STRING, offsetof(KillFlags, host_pid), "PID", "this process alone, as the host sees it" },
    { 0, "descendants", OPTION_SWITCH, offsetof(KillFlags, descendants), NULL, "and its children, and theirs" },
    { 0, "format", OPTION_STRING, offsetof(KillFlags, format), "table|json", "the receipts as objects with json" },
    OPTIONS_END,
};

static int add_pid(json_object *parameters, const char *key, const char *flag, const char *text, Error *reterr) {
    int64_t pid;

    if (!text)
        return 0;
    int r = quantity_integer(flag, text, 1, INT32_MAX, &pid, reterr);
    return r < 0 ? r : parameters_put_int(parameters, key, pid, reterr);
}

static int prepare_kill(const void *data, json_object *parameters, Error *reterr) {
    const KillFlags *flags = data;

    if (flags->pid && flags->host_pid)
        return error_invalid(reterr, "--pid", "means the same as --host-pid in other numbers; give one of them");
    if (flags->signal && !text_is_utf8(flags->signal, strlen(flags->signal)))
        return error_invalid(reterr, "-s/--signal", "\"%s\" is no signal", flags->signal);
    if (flags->signal)
        (void) json_object_object_add(parameters, "signal", json_object_new_string(flags->signal));
    int r = parameters_put_true(parameters, "descendants", flags->descendants, reterr);
    if (r == 0)
        r = add_pid(parameters, "pid", "--pid", flags->pid, reterr);
    return r < 0 ? r : add_pid(parameters, "hostPid", "--host-pid", flags->host_pid, reterr);
}

/* How it ended is for people: on stdout stays what scripts read there. Exit code 1: something still hangs. */
static int print_killed(const char *container, json_object *reply) {
    json_object *receipt = json_field_object(reply, "receipt");

    (void) printf("%s\n", container);
    if (!receipt)
        return 0;
    _cleanup_free_ char *text = receipt_describe(receipt);
    report("%s: %s", container, text ?: "killed");
    return receipt_is_dying(receipt) ? CONTROL_DYING : 0;
}

static int print_killed_json(const char *container, json_object *reply) {
    (void) json_object_object_add(reply, "container", json_object_new_string(container));
    (void) json_print(reply, false, stdout);
    return receipt_is_dying(json_field_object(reply, "receipt")) ? CONTROL_DYING : 0;
}

static int run_kill(const Client *client, const void *data, const Strings *containers) {
    static const Control control = { "Kill", prepare_kill, print_killed },
                         with_json = { "Kill", prepare_kill, print_killed_json };
    const KillFlags *flags = data;
    Error error = ERROR_INIT;
    int json = verb_format(flags->format, &error);

    if (json < 0)
        return report_failure(&error);
    return control_all(client, json ? &with_json : &control, flags, containers);
}

const Verb verb_kill = {
    .name = "kill",
    .operands = "CONTAINER...",
    .summary = "Send a signal to containers or one of their processes",
    .options = kill_options,
    .options_size = sizeof(KillFlags),
    .operands_min = 1,
    .operands_max = SIZE_MAX,
    .run = run_kill,
};

/* ---- stop ---- */

typedef struct StopFlags {
    const char *time;
} StopFlags;

static const Option stop_options[] = {
    { 't', "time", OPTION_STRING, offsetof(StopFlags, time), "SECONDS", "how long to wait before killing (10)" },
    OPTIONS_END,
};

static int prepare_stop(const void *data, json_object *parameters, Error *reterr) {
    const StopFlags *flags = data;
    int64_t usec;

    if (!flags->time)
        return 0;
    int r = quantity_seconds("-t/--time", flags->time, &usec, reterr);
    return r < 0 ? r : parameters_put_int(parameters, "timeoutUsec", usec, reterr);
}

static int run_stop(const Client *client, const void *flags, const Strings *containers) {
    static const Control control = { "Stop", prepare_stop, NULL };
    return control_all(client, &control, flags, containers);
}

const Verb verb_stop = {
    .name = "stop",
    .operands = "CONTAINER...",
    .summary = "Ask containers to end, then kill them",
    .options = stop_options,
    .options_size = sizeof(StopFlags),
    .operands_min = 1,
    .operands_max = SIZE_MAX,
    .run = run_stop,
};

/* ---- wait, pause, unpause ---- */

static const Option no_options[] = { OPTIONS_END };

static int print_exit(const char *container, json_object *reply) {
    int64_t code;

    if (json_field_int(json_field_object(reply, "exit"), "code", &code)) {
        (void) printf("%lld\n", (long long) code);
        return 0;
    }
    (void) printf("unknown\n");
    report("%s has exited, but with which code could not be learnt", container);
    return 0;
}

static int run_wait(const Client *client, const void *flags, const Strings *containers) {
    static const Control control = { "Wait", NULL, print_exit };
    return control_all(client, &control, flags, containers);
}

static int run_pause(const Client *client, const void *flags, const Strings *containers) {
    static const Control control = { "Pause", NULL, NULL };
    return control_all(client, &control, flags, containers);
}

static int run_unpause(const Client *client, const void *flags, const Strings *containers) {
    static const Control control = { "Resume", NULL, NULL };
    return control_all(client, &control, flags, containers);
}

const Verb verb_wait = {
    .name = "wait",
    .operands = "CONTAINER...",
    .summary = "Wait until containers have exited, print their exit codes",
    .options = no_options,
    .operands_min = 1,
    .operands_max = SIZE_MAX,
    .run = run_wait,
};

const Verb verb_pause = {
    .name = "pause",
    .operands = "CONTAINER...",
    .summary = "Freeze every process of containers",
    .options = no_options,
    .operands_min = 1,
    .operands_max = SIZE_MAX,
    .run = run_pause,
};

const Verb verb_unpause = {
    .name = "unpause",
    .operands = "CONTAINER...",
    .summary = "Let paused containers go on",
    .options = no_options,
    .operands_min = 1,
    .operands_max = SIZE_MAX,
    .run = run_unpause,
};

/* ---- rm ---- */

typedef struct RemoveFlags {
    bool force;
} RemoveFlags;

static const Option remove_options[] = {
    { 'f', "force", OPTION_SWITCH, offsetof(RemoveFlags, force), NULL, "kill it first if it runs" },
    OPTIONS_END,
};

static int prepare_remove(const void *data, json_object *parameters, Error *reterr) {
    const RemoveFlags *flags = data;

    if (flags->force && json_object_object_add(parameters, "force", json_object_new_boolean(true)) < 0)
        return error_failed(reterr, ENOMEM, "building the call", "out of memory");
    return 0;
}

static int run_remove(const Client *client, const void *flags, const Strings *containers) {
    static const Control control = { "Remove", prepare_remove, NULL };
    return control_all(client, &control, flags, containers);
}

const Verb verb_rm = {
    .name = "rm",
    .operands = "CONTAINER...",
    .summary = "Remove containers that have exited",
    .options = remove_options,
    .options_size = sizeof(RemoveFlags),
    .operands_min = 1,
    .operands_max = SIZE_MAX,
    .run = run_remove,
};

/* ---- update ---- */

typedef struct UpdateFlags {
    LimitFlags limits;
} UpdateFlags;

#define LIMIT(member) offsetof(UpdateFlags, limits.member)

static const Option update_options[] = {
    LIMIT_OPTIONS(LIMIT),
    OPTIONS_END,
};

static int prepare_update(const void *data, json_object *parameters, Error *reterr) {
    const UpdateFlags *flags = data;
    json_object *limits = NULL;
    int r = limit_flags_build(&flags->limits, &limits, reterr);

    if (r == 0 && !limits)
        return error_invalid(reterr, "update", "there is nothing to change; give a limit, such as -m 512M");
    return r < 0 ? r : parameters_put(parameters, "limits", limits, reterr);
}

static int run_update(const Client *client, const void *flags, const Strings *containers) {
    static const Control control = { "Update", prepare_update, NULL };
    return control_all(client, &control, flags, containers);
}

const Verb verb_update = {
    .name = "update",
    .operands = "CONTAINER...",
    .summary = "Change limits of running containers",
    .options = update_options,
    .options_size = sizeof(UpdateFlags),
    .operands_min = 1,
    .operands_max = SIZE_MAX,
    .run = run_update,
};
