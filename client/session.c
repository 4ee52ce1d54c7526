/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A program in the foreground. One poll loop serves all: the call (whose replies are the start and the end), a second
 * connection for signals and Detach, a signalfd, and three pumps. Nothing in it waits for anything else.
 *
 * The user's terminal is put back before the last word is said, on every way out.
 */

#include "client/session.h"

#include "client/connection.h"
#include "client/render-json.h"
#include "client/report.h"
#include "client/stdio.h"
#include "client/verb.h"

#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>

/* Descriptors to poll: two connections, the signals, and two for each pump. */
enum {
    POLL_CALL,
    POLL_CONTROL,
    POLL_SIGNALS,
    POLL_INPUT,
    POLL_OUTPUT = POLL_INPUT + 2,
    POLL_ERRORS = POLL_OUTPUT + 2,
    _POLL_MAX = POLL_ERRORS + 2
};

/* SIGINT and SIGTERM that the program ignores; the one after that ends the client. */
#define INTERRUPTS_FORWARDED 2

typedef struct Session {
    const SessionWish *wish;
    Connection *call, *control;
    int signal_fd, master_fd, stdin_fd;
    Pump input, output, errors;
    TerminalMode mode;
    TerminalKeys keys;

    char *container; /* its id, once started */
    char *name;
    int64_t host_pid;       /* of an Exec, else 0 */
    unsigned control_calls; /* without reply so far */
    unsigned interrupts;
    const char *early[8]; /* signals to forward as soon as there is something to forward them to */
    size_t n_early;
    bool started, finished, detach_sent;

    bool over; /* leave the loop now */
    bool detached;
    bool lost;
    int end_signal; /* the client ends by this one */
    json_object *exit;
    Error error;
} Session;

#define SESSION_INIT                                                                                                   \
    ((Session){ .signal_fd = -EBADF,                                                                                   \
                .master_fd = -EBADF,                                                                                   \
                .stdin_fd = -EBADF,                                                                                    \
                .input = PUMP_INIT,                                                                                    \
                .output = PUMP_INIT,                                                                                   \
                .errors = PUMP_INIT,                                                                                   \
                .mode = TERMINAL_MODE_INIT })

static void session_done(Session *s) {
    terminal_mode_restore(&s->mode);
    pump_close(&s->input);
    pump_close(&s->output);
    pump_close(&s->errors);
    s->master_fd = fd_close(s->master_fd);
    s->stdin_fd = fd_close(s->stdin_fd);
    s->signal_fd = fd_close(s->signal_fd);
    s->call = connection_free(s->call);
    s->control = connection_free(s->control);
    json_object_putp(&s->exit);
    free(s->container);
    free(s->name);
}

static const struct {
    int number;
    const char *name;
} forwarded[] = {
    { SIGTERM, "TERM" }, { SIGINT, "INT" },   { SIGHUP, "HUP" },
    { SIGQUIT, "QUIT" }, { SIGUSR1, "USR1" }, { SIGUSR2, "USR2" },
};

static int open_signals(Session *s) {
    sigset_t mask;

    (void) signal(SIGPIPE, SIG_IGN);
    (void) sigemptyset(&mask);
    for (size_t i = 0; i < ELEMENTSOF(forwarded); i++)
        (void) sigaddset(&mask, forwarded[i].number);
    (void) sigaddset(&mask, SIGWINCH);
    (void) sigaddset(&mask, SIGCONT);
    if (sigprocmask(SIG_BLOCK, &mask, NULL) < 0)
        return -errno;
    s->signal_fd = signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK);
    return s->signal_fd < 0 ? -errno : 0;
}

/* Pipes for the streams that the program gets; our ends stay here. */
static int add_pipes(Session *s, Spec *spec, Error *reterr) {
    static const char *const names[] = { "stdin", "stdout", "stderr" };
    Pump *const pumps[] = { NULL, &s->output, &s->errors };

    for (int i = s->wish->interactive ? 0 : 1; i < 3; i++) {
        int ends[2], r = stdio_pipe(i == 0 ? 1 : 0, ends);
        if (r < 0)
            return error_failed(reterr, -r, "cannot make a pipe", "%s", strerror(-r));
        int ours = ends[i == 0 ? 1 : 0], theirs = ends[i == 0 ? 0 : 1];
        if (i == 0)
            s->stdin_fd = ours;
        else
            r = pump_open_output(pumps[i], ours, i);
        if (r < 0) {
            (void) fd_close(theirs);
            return error_failed(reterr, -r, "cannot pass on the output", "%s", strerror(-r));
        }
        r = spec_add_fd(spec, spec->parameters, names[i], theirs, names[i], reterr);
        if (r < 0)
            return r;
    }
    return 0;
}

static int add_stdio(Session *s, Spec *spec, Error *reterr) {
    unsigned rows, columns;

    if (!s->wish->tty)
        return add_pipes(s, spec, reterr);
    if (s->wish->interactive && !isatty(STDIN_FILENO))
        return error_invalid(reterr, "-t/--tty",
                             "stdin is not a terminal; use -i without -t to feed it from elsewhere");
    terminal_size(&rows, &columns);
    return spec_add_terminal(spec, rows, columns, reterr);
}

/* ---- the second connection ---- */

static json_object *control_parameters(const Session *s) {
    json_object *parameters = json_object_new_object();

    if (parameters && json_object_object_add(parameters, "container", json_object_new_string(s->container)) < 0)
        json_object_putp(&parameters);
    return parameters;
}

/* Failures are reported and no reason to stop: the call itself will show whether the daemon is still there. */
static void control_send(Session *s, const char *method, json_object *parameters) {
    Error error = ERROR_INIT;
    int r = s->control ? 0 : connection_open(s->wish->socket, &s->control, &error);

    if (r == 0)
        r = connection_send(s->control, method, parameters, false, NULL, 0, &error);
    if (r < 0) {
        report_error(&error);
        s->control = connection_free(s->control);
        s->control_calls = 0;
        return;
    }
    s->control_calls++;
}

static void forward_signal(Session *s, const char *name) {
    _cleanup_json_ json_object *parameters = control_parameters(s);

    if (!parameters || json_object_object_add(parameters, "signal", json_object_new_string(name)) < 0)
        return;
    if (s->host_pid > 0)
        (void) json_object_object_add(parameters, "hostPid", json_object_new_int64(s->host_pid));
    control_send(s, "Kill", parameters);
}

static void send_detach(Session *s) {
    _cleanup_json_ json_object *parameters = control_parameters(s);

    s->keys = (TerminalKeys){ 0 };
    if (!parameters || s->detach_sent)
        return;
    control_send(s, "Detach", parameters);
    s->detach_sent = s->control_calls > 0;
}

/* A reply on the second connection. After Detach nothing more is sent, so the last reply is its. */
static void handle_control_reply(Session *s, const MessageReply *reply) {
    Error error = ERROR_INIT;
    bool is_detach = s->detach_sent && s->control_calls == 1;

    if (s->control_calls > 0)
        s->control_calls--;
    if (!reply->error) {
        s->detached = s->over = is_detach || s->over;
        return;
    }
    if (is_detach)
        s->detach_sent = false;
    report_from_reply(reply->error, reply->parameters, &error);
    /* the program may end while a signal for it is under way */
    if (error.kind != ERROR_NOT_RUNNING && error.kind != ERROR_NO_SUCH_PROCESS && error.kind != ERROR_NO_SUCH_CONTAINER)
        report_error(&error);
}

static void process_control(Session *s) {
    Error error = ERROR_INIT;
    int r = connection_process(s->control, &error);

    for (;;) {
        _cleanup_(message_reply_freep) MessageReply *reply = NULL;
        int taken = connection_take(s->control, &reply, NULL, &error);
        if (taken <= 0) {
            r = taken < 0 ? taken : r;
            break;
        }
        handle_control_reply(s, reply);
    }
    if (r < 0) {
        s->control = connection_free(s->control);
        s->control_calls = 0;
        s->detach_sent = false;
    }
}

/* ---- the call ---- */

/* Takes the descriptor that the field "terminal" of the first reply names. */
static int take_master(Session *s, json_object *parameters, FramingMessage *m, Error *reterr) {
    int64_t index;

    if (!json_field_int(parameters, "terminal", &index) || index < 0 || (size_t) index >= m->n_fds)
        return error_failed(reterr, EPROTO, "daemon", "sent no terminal with its reply");
    s->master_fd = TAKE_FD(m->fds[index]);
    terminal_pass_size(s->master_fd); /* it may have changed since it was asked for */
    /* A program that reads nothing must not keep us from the keys that detach or end it. */
    if (fcntl(s->master_fd, F_SETFL, O_NONBLOCK) < 0)
        return error_failed(reterr, errno, "cannot use the terminal", "%s", strerror(errno));
    int r = pump_open_terminal_output(&s->output, s->master_fd);
    if (r == 0 && s->wish->interactive) {
        r = terminal_mode_raw(&s->mode, STDIN_FILENO);
        if (r == 0)
            r = pump_open_terminal_input(&s->input, s->master_fd, s->wish->detachable ? &s->keys : NULL);
    }
    return r < 0 ? error_failed(reterr, -r, "cannot use the terminal", "%s", strerror(-r)) : 0;
}

static int remember(Session *s, json_object *parameters, Error *reterr) {
    json_object *container = json_field_object(parameters, "container");
    const char *id = json_field_string(container, "id");
    const char *name = json_field_string(container, "name");

    if (id && !s->container)
        s->container = strdup(id);
    if (name && !s->name)
        s->name = strdup(name);
    (void) json_field_int(parameters, "hostPid", &s->host_pid);
    return s->container ? 0 : error_failed(reterr, EPROTO, "daemon", "did not say which container it started");
}

static int handle_started(Session *s, json_object *parameters, FramingMessage *m, Error *reterr) {
    int r = remember(s, parameters, reterr);

    if (r < 0)
        return r;
    s->started = true;
    for (size_t i = 0; i < s->n_early; i++)
        forward_signal(s, s->early[i]);
    if (s->wish->tty)
        return take_master(s, parameters, m, reterr);
    if (s->stdin_fd >= 0)
        r = pump_open_input(&s->input, TAKE_FD(s->stdin_fd));
    return r < 0 ? error_failed(reterr, -r, "cannot pass on the input", "%s", strerror(-r)) : 0;
}

static void handle_finished(Session *s, json_object *parameters) {
    json_object *container = json_field_object(parameters, "container");
    json_object *exit = json_field_object(container ?: parameters, "exit");

    s->finished = true;
    if (!exit) {
        s->detached = s->over = true;
        return;
    }
    s->exit = json_object_get(exit);
    pump_close(&s->input);
    s->output.draining = s->errors.draining = true;
}

static void fail(Session *s) {
    s->lost = s->finished = true;
    pump_close(&s->input);
    s->output.draining = s->errors.draining = true;
}

static void handle_call_reply(Session *s, const MessageReply *reply, FramingMessage *m) {
    if (reply->error) {
        report_from_reply(reply->error, reply->parameters, &s->error);
        fail(s);
        return;
    }
    if (!s->started && handle_started(s, reply->parameters, m, &s->error) < 0) {
        fail(s);
        s->over = true;
        return;
    }
    if (!reply->continues)
        handle_finished(s, reply->parameters);
}

static void process_call(Session *s) {
    Error error = ERROR_INIT;
    int r = connection_process(s->call, &error);

    while (!s->finished) {
        _cleanup_(message_reply_freep) MessageReply *reply = NULL;
        _cleanup_(framing_message_freep) FramingMessage *m = NULL;
        int taken = connection_take(s->call, &reply, &m, &error);
        if (taken <= 0) {
            r = taken < 0 ? taken : r;
            break;
        }
        handle_call_reply(s, reply, m);
    }
    if (r < 0 && !s->finished) {
        s->error = error;
        fail(s);
    }
}

/* ---- signals ---- */

static bool is_ending(int number) {
    return number != SIGUSR1 && number != SIGUSR2;
}

/*
 * With a raw terminal the keys that make signals go to the program as bytes: one that still reaches the client came
 * from elsewhere and is meant for it. So is one that comes when all that is left is output that nobody fetches. Output
 * can be here before the reply that says that the program runs; a signal that answers it is kept for that long.
 */
static void handle_forwarded(Session *s, int number, const char *name) {
    bool mine = s->finished || s->mode.fd >= 0 || (!s->started && s->wish->tty);
    bool interrupts = number == SIGINT || number == SIGTERM;

    if (interrupts)
        s->interrupts++;
    if (is_ending(number) && (mine || s->interrupts > INTERRUPTS_FORWARDED)) {
        s->end_signal = number;
        s->over = true;
        return;
    }
    if (mine || s->detach_sent)
        return;
    if (s->started)
        forward_signal(s, name);
    else if (s->n_early < ELEMENTSOF(s->early))
        s->early[s->n_early++] = name;
    /* the kernel keeps a signal for which there is no handler from the first process of a pid namespace */
    if (interrupts && s->interrupts == INTERRUPTS_FORWARDED)
        report("%s has been sent SIG%s and still runs; once more kills it", s->name ?: "what was started", name);
}

static void process_signals(Session *s) {
    struct signalfd_siginfo info;

    while (read(s->signal_fd, &info, sizeof(info)) == (ssize_t) sizeof(info)) {
        int number = (int) info.ssi_signo;

        if (number == SIGWINCH && s->master_fd >= 0)
            terminal_pass_size(s->master_fd);
        if (number == SIGCONT && s->mode.fd >= 0)
            (void) terminal_mode_raw(&s->mode, s->mode.fd);
        for (size_t i = 0; i < ELEMENTSOF(forwarded); i++)
            if (forwarded[i].number == number)
                handle_forwarded(s, number, forwarded[i].name);
    }
}

/* ---- the loop ---- */

static bool is_over(const Session *s) {
    return s->over || (s->finished && !s->output.open && !s->errors.open);
}

static bool prepare(const Session *s, struct pollfd p[static _POLL_MAX]) {
    p[POLL_CALL] = (struct pollfd){ .fd = s->finished ? -1 : connection_fd(s->call) };
    p[POLL_CALL].events = connection_events(s->call);
    p[POLL_CONTROL] = (struct pollfd){ .fd = -1 };
    if (s->control)
        p[POLL_CONTROL] = (struct pollfd){ .fd = connection_fd(s->control), .events = connection_events(s->control) };
    p[POLL_SIGNALS] = (struct pollfd){ .fd = s->signal_fd, .events = POLLIN };
    bool input = pump_prepare(&s->input, p + POLL_INPUT);
    bool output = pump_prepare(&s->output, p + POLL_OUTPUT);
    bool errors = pump_prepare(&s->errors, p + POLL_ERRORS);
    return input || output || errors;
}

static void step(Session *s, const struct pollfd p[static _POLL_MAX]) {
    /* pumps first: after the final reply `draining` means something only for polls that came later */
    pump_run(&s->input, p + POLL_INPUT);
    pump_run(&s->output, p + POLL_OUTPUT);
    pump_run(&s->errors, p + POLL_ERRORS);
    if (s->keys.detached)
        send_detach(s);
    if (p[POLL_SIGNALS].revents)
        process_signals(s);
    if (p[POLL_CONTROL].revents && s->control)
        process_control(s);
    if (p[POLL_CALL].revents)
        process_call(s);
}

static int loop(Session *s) {
    while (!is_over(s)) {
        struct pollfd p[_POLL_MAX];
        bool immediate = prepare(s, p);

        if (poll(p, _POLL_MAX, immediate ? 0 : -1) < 0) {
            if (errno == EINTR)
                continue;
            return error_failed(&s->error, errno, "waiting", "%s", strerror(errno));
        }
        step(s, p);
    }
    return 0;
}

/* ---- the end ---- */

static int exit_code(const Session *s) {
    const char *name = s->name ?: s->container;
    int64_t code;

    if (json_field_bool(s->exit, "oomKilled"))
        report("%s: the kernel killed it for want of memory; -m/--memory sets the limit", name);
    if (!json_field_int(s->exit, "code", &code)) {
        report("%s has exited, but with which code could not be learnt", name);
        return EXIT_KENNEL;
    }
    return (int) (code & 0xFF);
}

static int conclude(const Session *s) {
    int lost_output = s->output.write_error ?: s->errors.write_error;

    if (s->lost) {
        report_error(&s->error);
        if (s->started)
            report("%s may still be running; see `kennel ps`", s->name ?: s->container);
        return report_exit_code(&s->error);
    }
    if (s->end_signal > 0) {
        if (!s->finished)
            report("ended by SIG%s; %s is killed", sigabbrev_np(s->end_signal), s->name ?: "what was started");
        return EXIT_SIGNAL_OFFSET + s->end_signal;
    }
    if (s->detached) {
        report("detached from %s", s->name ?: s->container);
        return 0;
    }
    if (lost_output) {
        report("output was lost: %s", strerror(lost_output));
        return EXIT_KENNEL;
    }
    return exit_code(s);
}

int session_run(const SessionWish *wish, Spec *spec) {
    _cleanup_(session_done) Session s = SESSION_INIT;
    int r;

    s.wish = wish;
    r = add_stdio(&s, spec, &s.error);
    if (r == 0) {
        r = open_signals(&s);
        if (r < 0)
            (void) error_failed(&s.error, -r, "cannot take signals", "%s", strerror(-r));
    }
    if (r == 0)
        r = connection_open(wish->socket, &s.call, &s.error);
    if (r == 0) {
        /* an Exec names its container, a Run learns it from the reply */
        const char *container = json_field_string(spec->parameters, "container");
        s.container = container ? strdup(container) : NULL;
        r = connection_send(s.call, wish->method, spec->parameters, true, spec->fds, spec->n_fds, &s.error);
    }
    spec_done(spec); /* the program's ends of the pipes are the program's now */
    if (r == 0)
        r = loop(&s);
    if (r < 0)
        s.lost = true;

    terminal_mode_restore(&s.mode);
    return conclude(&s);
}
