/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Tables that live on the terminal; see live.h.
 *
 * Each drawing is one write, over what is there and without clearing it first, so that nothing flickers. Lines are cut
 * here and the terminal's own wrapping is off: between a resize and the drawing that answers it, no line may take two.
 */

#include "client/live.h"

#include "client/report.h"
#include "client/terminal.h"
#include "client/text.h"
#include "client/verb.h"

#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>

#define ENTER "\033[?1049h\033[?7l\033[?25l\033[H\033[2J" /* alternate screen, no wrapping, no cursor, empty */
#define LEAVE "\033[?25h\033[?7h\033[?1049l"
#define HOME  "\033[H"
/* from the cursor on */
#define ERASE_LINE  "\033[K"
#define ERASE_BELOW "\033[J"

typedef struct Live {
    Connection *connection;
    const LiveView *view;
    TerminalMode mode;
    int signal_fd;
    sigset_t signals, former_signals;
    bool signals_blocked, on_screen, has_keys;
    char *frame; /* what was drawn last, without the terminal's codes */
    bool over;
    int end_signal;
} Live;

static const int ending_signals[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT };

bool live_possible(void) {
    const char *term = getenv("TERM");
    return isatty(STDOUT_FILENO) && term && term[0] && strcmp(term, "dumb") != 0;
}

/* A terminal that takes nothing more is about to send SIGHUP, or is gone. */
static void put(const char *bytes, size_t size) {
    while (size > 0) {
        ssize_t n = write(STDOUT_FILENO, bytes, size);
        if (n < 0 && errno != EINTR)
            return;
        bytes += n > 0 ? n : 0;
        size -= n > 0 ? (size_t) n : 0;
    }
}

static void enter_screen(Live *l) {
    if (l->has_keys)
        l->has_keys = terminal_mode_keys(&l->mode, STDIN_FILENO) == 0;
    if (!l->on_screen)
        put(ENTER, sizeof(ENTER) - 1);
    l->on_screen = true;
}

static void leave_screen(Live *l) {
    if (l->on_screen)
        put(LEAVE, sizeof(LEAVE) - 1);
    l->on_screen = false;
    terminal_mode_restore(&l->mode);
}

static void live_done(Live *l) {
    leave_screen(l);
    l->signal_fd = fd_close(l->signal_fd);
    if (l->signals_blocked)
        (void) sigprocmask(SIG_SETMASK, &l->former_signals, NULL);
    free(l->frame);
}

static int open_signals(Live *l) {
    (void) sigemptyset(&l->signals);
    for (size_t i = 0; i < ELEMENTSOF(ending_signals); i++)
        (void) sigaddset(&l->signals, ending_signals[i]);
    (void) sigaddset(&l->signals, SIGWINCH);
    (void) sigaddset(&l->signals, SIGTSTP);
    (void) sigaddset(&l->signals, SIGCONT);
    if (sigprocmask(SIG_BLOCK, &l->signals, &l->former_signals) < 0)
        return -errno;
    l->signals_blocked = true;
    l->signal_fd = signalfd(-1, &l->signals, SFD_CLOEXEC | SFD_NONBLOCK);
    return l->signal_fd < 0 ? -errno : 0;
}

/* ---- drawing ---- */

static size_t count_lines(const char *text) {
    size_t n = 0;

    for (; *text; text++)
        n += *text == '\n';
    return n;
}

/* Writes TEXT cut to ROWS and COLUMNS; the last row says how many there was no room for. */
static void cut(const char *text, unsigned rows, unsigned columns, FILE *out) {
    size_t n = count_lines(text), shown = n > rows ? rows - 1 : n;
    char more[48];

    for (size_t i = 0; i < shown; i++) {
        size_t length = strcspn(text, "\n");
        _cleanup_free_ char *line = strndup(text, length);
        (void) fprintf(out, "%.*s\n", line ? (int) text_fitting(line, columns) : 0, line ?: "");
        text += length + 1;
    }
    if (shown == n)
        return;
    (void) snprintf(more, sizeof(more), "%zu more", n - shown);
    (void) fprintf(out, "%.*s\n", (int) columns, more);
}

/* The table as it is now, cut to the terminal; the caller's. */
static int make_frame(const Live *l, unsigned rows, unsigned columns, char **ret) {
    _cleanup_free_ char *whole = NULL, *frame = NULL;
    size_t size;

    FILE *out = open_memstream(&whole, &size);
    if (!out)
        return -ENOMEM;
    int r = l->view->render(l->view->data, columns, out);
    if (fclose(out) != 0 || r < 0)
        return -ENOMEM;
    out = open_memstream(&frame, &size);
    if (!out)
        return -ENOMEM;
    cut(whole, rows, columns, out);
    if (fclose(out) != 0)
        return -ENOMEM;
    *ret = TAKE_PTR(frame);
    return 0;
}

/* FRAME with what puts it in the place of the one before. */
static void write_frame(const char *frame, unsigned rows, unsigned columns, FILE *out) {
    size_t n = count_lines(frame);

    (void) fputs(HOME, out);
    for (const char *at = frame; *at;) {
        size_t length = strcspn(at, "\n");
        _cleanup_free_ char *line = strndup(at, length);
        at += length + 1;
        /* behind a full line the cursor stands on its last character, which must stay */
        bool full = line && text_width(line) >= columns;
        (void) fprintf(out, "%s%s%s", line ?: "", full ? "" : ERASE_LINE, *at ? "\r\n" : "");
    }
    if (n < rows)
        (void) fprintf(out, "\033[%zu;1H" ERASE_BELOW, n + 1);
}

static int draw(Live *l) {
    _cleanup_free_ char *frame = NULL, *bytes = NULL;
    unsigned rows, columns;
    size_t size;

    terminal_size(&rows, &columns);
    int r = make_frame(l, rows, columns, &frame);
    if (r < 0)
        return r;
    FILE *out = open_memstream(&bytes, &size);
    if (!out)
        return -ENOMEM;
    write_frame(frame, rows, columns, out);
    if (fclose(out) != 0)
        return -ENOMEM;
    put(bytes, size);
    free(l->frame);
    l->frame = TAKE_PTR(frame);
    return 0;
}

/* ---- what happens ---- */

static int process_replies(Live *l, Error *reterr) {
    bool anew = false;
    int r = connection_process(l->connection, reterr);

    for (;;) {
        _cleanup_(message_reply_freep) MessageReply *reply = NULL;
        int taken = connection_take(l->connection, &reply, NULL, reterr);
        if (taken < 0)
            return taken;
        if (taken == 0)
            break;
        if (reply->error) {
            report_from_reply(reply->error, reply->parameters, reterr);
            return -EREMOTEIO;
        }
        taken = l->view->take(l->view->data, reply->parameters);
        if (taken < 0)
            return error_failed(reterr, ENOMEM, "taking in a reply", "out of memory");
        anew = anew || taken > 0;
        if (!reply->continues) {
            l->over = true;
            break;
        }
    }
    /* the last table stays as it was: what has ended is still to be seen in it */
    if (l->over)
        return 0;
    if (r < 0)
        return r;
    return anew && draw(l) < 0 ? error_failed(reterr, ENOMEM, "drawing the table", "out of memory") : 0;
}

static bool process_keys(Live *l) {
    bool anew = false;
    char keys[64];
    ssize_t n = read(STDIN_FILENO, keys, sizeof(keys));

    if (n <= 0 && !(n < 0 && (errno == EINTR || errno == EAGAIN)))
        l->has_keys = false;
    for (ssize_t i = 0; i < n && !l->over; i++) {
        l->over = keys[i] == 'q';
        anew = (!l->over && l->view->key(l->view->data, keys[i])) || anew;
    }
    return anew && !l->over;
}

/* Stops as the signal would have done it, and goes on from there. */
static void suspend(Live *l) {
    sigset_t stop;

    leave_screen(l);
    (void) sigemptyset(&stop);
    (void) sigaddset(&stop, SIGTSTP);
    (void) raise(SIGTSTP);
    (void) sigprocmask(SIG_UNBLOCK, &stop, NULL);
    (void) sigprocmask(SIG_BLOCK, &stop, NULL);
}

/* True: draw anew. */
static bool handle_signal(Live *l, int number) {
    for (size_t i = 0; i < ELEMENTSOF(ending_signals); i++)
        if (ending_signals[i] == number) {
            l->end_signal = number;
            l->over = true;
            return false;
        }
    if (number == SIGTSTP)
        suspend(l);
    if (number == SIGTSTP || number == SIGCONT)
        enter_screen(l);
    return true;
}

static bool process_signals(Live *l) {
    struct signalfd_siginfo info;
    bool anew = false;

    while (!l->over && read(l->signal_fd, &info, sizeof(info)) == (ssize_t) sizeof(info))
        anew = handle_signal(l, (int) info.ssi_signo) || anew;
    return anew && !l->over;
}

static int step(Live *l, Error *reterr) {
    struct pollfd p[] = {
        { .fd = connection_fd(l->connection), .events = connection_events(l->connection) },
        { .fd = l->signal_fd, .events = POLLIN },
        { .fd = l->has_keys ? STDIN_FILENO : -1, .events = POLLIN },
    };

    bool immediate = connection_has_reply(l->connection);
    if (poll(p, ELEMENTSOF(p), immediate ? 0 : -1) < 0)
        return errno == EINTR ? 0 : error_failed(reterr, errno, "waiting", "%s", strerror(errno));
    bool anew = p[1].revents && process_signals(l);
    if (p[2].revents && !l->over)
        anew = process_keys(l) || anew;
    if (anew && !l->over && l->frame && draw(l) < 0)
        return error_failed(reterr, ENOMEM, "drawing the table", "out of memory");
    if ((p[0].revents || immediate) && !l->over)
        return process_replies(l, reterr);
    return 0;
}

int live_run(Connection *c, const LiveView *view, Error *reterr) {
    _cleanup_(live_done) Live l = { .connection = c, .view = view, .mode = TERMINAL_MODE_INIT, .signal_fd = -EBADF };

    l.has_keys = isatty(STDIN_FILENO);
    (void) fflush(stdout);
    int r = open_signals(&l);
    if (r < 0)
        return error_failed(reterr, -r, "cannot take signals", "%s", strerror(-r));
    enter_screen(&l);
    while (r == 0 && !l.over)
        r = step(&l, reterr);
    leave_screen(&l);
    if (l.frame)
        put(l.frame, strlen(l.frame));
    if (r < 0)
        return r;
    return l.end_signal > 0 ? EXIT_SIGNAL_OFFSET + l.end_signal : 0;
}
