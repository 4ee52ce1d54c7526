/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* kennel run: starts a container, in the foreground or detached. */

#include "client/connection.h"
#include "client/render-json.h"
#include "client/report.h"
#include "client/session.h"
#include "client/terminal.h"
#include "client/verb.h"

#define AT(member)    offsetof(RunFlags, member)
#define LIMIT(member) offsetof(RunFlags, limits.member)

static const Option options[] = {
    { 'd', "detach", OPTION_SWITCH, AT(detach), NULL, "run in the background, print the id" },
    { 'i', "interactive", OPTION_SWITCH, AT(process.interactive), NULL, "pass stdin on" },
    { 't', "tty", OPTION_SWITCH, AT(process.tty), NULL, "give it a terminal; Ctrl-P Ctrl-Q detaches" },
    { 0, "rm", OPTION_SWITCH, AT(remove), NULL, "remove it when it has exited" },
    { 0, "name", OPTION_STRING, AT(name), "NAME", "its name (the beginning of its id)" },
    { 0, "rootfs", OPTION_STRING, AT(rootfs), "DIR", "root file system; never written (image host)" },
    { 0, "read-only", OPTION_SWITCH, AT(read_only), NULL, "no writable layer over the root file system" },
    { 0, "tmpfs", OPTION_LIST, AT(tmpfs), "PATH[:OPTIONS]", "a file system in memory: size=N,inodes=N,mode=M" },
    { 'v', "volume", OPTION_LIST, AT(volumes), "SRC:DST[:ro,Z]", "mount a directory or file of the host" },
    { 'w', "workdir", OPTION_STRING, AT(process.working_directory), "DIR", "working directory (/)" },
    { 'u', "user", OPTION_STRING, AT(process.user), "UID[:GID]", "user, number or name in the image (root)" },
    { 'e', "env", OPTION_LIST, AT(process.env), "KEY[=VALUE]", "environment; without =VALUE, from here" },
    { 0, "env-file", OPTION_LIST, AT(process.env_files), "FILE", "environment, one entry a line" },
    { 0, "hostname", OPTION_STRING, AT(hostname), "NAME", "host name (the container's name)" },
    { 0, "network", OPTION_STRING, AT(network), "none|bridge|host", "network (none); host is for root alone" },
    { 'p', "publish", OPTION_LIST, AT(ports), "[IP:]HOST:CONT", "forward a port of the host's; append /udp for UDP" },
    LIMIT_OPTIONS(LIMIT),
    { 0, "ulimit", OPTION_LIST, AT(ulimits), "NAME=SOFT[:HARD]", "resource limit: nofile=1024:4096" },
    { 0, "cap-add", OPTION_LIST, AT(cap_add), "CAP", "add a capability, or \"system\" (none)" },
    { 0, "cap-drop", OPTION_LIST, AT(cap_drop), "CAP", "drop one of those added" },
    { 0, "security-opt", OPTION_LIST, AT(security), "KIND=VALUE", "seccomp=FILE, apparmor=NAME, label=..." },
    { 0, "control", OPTION_LIST, AT(controls), "NAME=MODE", "apparmor=required, label=best-effort, ..." },
    { 0, "init", OPTION_SWITCH, AT(init), NULL, "run a small reaper as pid 1" },
    { 0, "exec-policy", OPTION_STRING, AT(exec_policy), "report|image-only",
      "programs that the image did not hold (report)" },
    OPTIONS_END,
};

static int run_detached(const Client *client, const RunFlags *flags, Spec *spec, Error *reterr) {
    _cleanup_(connection_freep) Connection *c = NULL;
    _cleanup_(message_reply_freep) MessageReply *reply = NULL;
    int r = 0;

    /* nobody is there to look: the size is that of the terminal from which it was started */
    if (flags->process.tty) {
        unsigned rows, columns;
        terminal_size(&rows, &columns);
        r = spec_add_terminal(spec, rows, columns, reterr);
    }
    if (r == 0)
        r = connection_open(client->socket, &c, reterr);
    if (r == 0)
        r = connection_send(c, "Run", spec->parameters, false, spec->fds, spec->n_fds, reterr);
    if (r == 0)
        r = connection_receive(c, &reply, reterr);
    if (r != 0)
        return r;
    const char *id = json_field_string(json_field_object(reply->parameters, "container"), "id");
    (void) printf("%s\n", id ?: "");
    return 0;
}

static int run(const Client *client, const void *data, const Strings *command) {
    const RunFlags *flags = data;
    _cleanup_(spec_done) Spec spec = { 0 };
    Error error = ERROR_INIT;
    int r;

    if (flags->detach && flags->process.interactive && !flags->process.tty) {
        (void) error_invalid(&error, "-i/--interactive", "means nothing with -d: nobody is left to pass stdin on");
        return report_failure(&error);
    }
    r = spec_run(flags, command, &spec, &error);
    if (r < 0)
        return report_failure(&error);
    if (flags->detach) {
        r = run_detached(client, flags, &spec, &error);
        return r == 0 ? 0 : report_failure(&error);
    }

    SessionWish wish = {
        .socket = client->socket,
        .method = "Run",
        .interactive = flags->process.interactive,
        .tty = flags->process.tty,
        .detachable = true,
    };
    return session_run(&wish, &spec);
}

const Verb verb_run = {
    .name = "run",
    .operands = "[--] COMMAND [ARG...]",
    .summary = "Run a command in a new container",
    .options = options,
    .options_size = sizeof(RunFlags),
    .command_follows = true,
    .operands_min = 1,
    .operands_max = SIZE_MAX,
    .run = run,
};
