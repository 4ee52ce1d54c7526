/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Logging.
 *
 * Messages quote what peers and containers sent. A line of the log must not be forged with a newline nor a terminal
 * steered with an escape sequence, so control characters and what is not UTF-8 are written as \xNN. May be called from
 * any thread; a line on stderr is one write().
 */

/* The place in the code is no help to who reads the journal, and sd_journal_sendv() would add it. */
#define SD_JOURNAL_SUPPRESS_LOCATION

#include "util/log.h"

#include "util/fds.h"

#include <pthread.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <systemd/sd-journal.h>
#include <time.h>

#define MESSAGE_MAX    2048U
#define ESCAPED_MAX    (4U * MESSAGE_MAX)
#define LIMIT_MESSAGES 10U
#define LIMIT_SECONDS  10

static const char *const level_names[] = {
    [LOG_EMERG] = "emerg",     [LOG_ALERT] = "alert",   [LOG_CRIT] = "crit", [LOG_ERR] = "err",
    [LOG_WARNING] = "warning", [LOG_NOTICE] = "notice", [LOG_INFO] = "info", [LOG_DEBUG] = "debug",
};

static int log_max_level = LOG_INFO;
static bool log_to_journal = false;

typedef struct Limit {
    time_t since;
    unsigned count, left_out;
} Limit;

static pthread_mutex_t limits_mutex = PTHREAD_MUTEX_INITIALIZER;
static Limit limit_all, limits_of_peers[64]; /* the latter by uid; the rare two that share one share its bound */

/* journald sets JOURNAL_STREAM for a service's stderr; it may have been redirected since. */
static bool stderr_is_journal(void) {
    const char *stream = getenv("JOURNAL_STREAM");
    struct stat st;
    if (!stream || fstat(STDERR_FILENO, &st) < 0)
        return false;
    char actual[2 * 3 * sizeof(uint64_t) + 2];
    (void) snprintf(actual, sizeof(actual), "%llu:%llu", (unsigned long long) st.st_dev,
                    (unsigned long long) st.st_ino);
    return strcmp(stream, actual) == 0;
}

void log_open(int max_level) {
    log_max_level = max_level;
    log_to_journal = stderr_is_journal();
}

int log_level_from_string(const char *name) {
    static const int levels[] = { LOG_DEBUG, LOG_INFO, LOG_NOTICE, LOG_WARNING, LOG_ERR };
    for (size_t i = 0; i < ELEMENTSOF(levels); i++)
        if (strcmp(name, level_names[levels[i]]) == 0)
            return levels[i];
    return -EINVAL;
}

/* Length of the character at P if it is valid UTF-8 and not a control character, else 0. */
static size_t printable_length(const unsigned char *p) {
    if (p[0] < 0x80)
        return p[0] >= 0x20 && p[0] != 0x7F;
    size_t length = p[0] >= 0xC2 && p[0] <= 0xDF ? 2 : (p[0] & 0xF0) == 0xE0 ? 3 : p[0] >= 0xF0 && p[0] <= 0xF4 ? 4 : 0;
    for (size_t i = 1; i < length; i++)
        if ((p[i] & 0xC0) != 0x80)
            return 0;
    bool c1_control = p[0] == 0xC2 && p[1] < 0xA0;
    bool overlong = (p[0] == 0xE0 && p[1] < 0xA0) || (p[0] == 0xF0 && p[1] < 0x90);
    bool surrogate = p[0] == 0xED && p[1] >= 0xA0;
    bool too_large = p[0] == 0xF4 && p[1] >= 0x90;
    return c1_control || overlong || surrogate || too_large ? 0 : length;
}

/* TO has room for four times the length of FROM. */
static size_t escape(const char *from, char *to) {
    static const char digits[] = "0123456789abcdef";
    const unsigned char *p = (const unsigned char *) from;
    char *out = to;
    while (*p) {
        size_t length = printable_length(p);
        if (length > 0) {
            memcpy(out, p, length);
            out += length;
            p += length;
            continue;
        }
        *out++ = '\\';
        *out++ = 'x';
        *out++ = digits[*p >> 4];
        *out++ = digits[*p & 15];
        p++;
    }
    *out = 0;
    return (size_t) (out - to);
}

static void write_line(int level, const char *text, size_t length) {
    char line[ESCAPED_MAX + 32];
    int n = snprintf(line, sizeof(line), "%s: %.*s\n", level_names[level], (int) length, text);
    (void) fd_write_all(STDERR_FILENO, line, (size_t) n);
}

/* Of one message; what is NULL or -1 is left out. */
typedef struct Fields {
    const char *id, *container, *stage;
    uid_t peer;
    const LogField *others; /* NULL: none */
} Fields;

static const Fields no_fields = { .peer = (uid_t) -1 };

typedef struct JournalFields {
    struct iovec iov[6 + LOG_FIELDS_MAX];
    char text[6][96]; /* PRIORITY and the short ones; MESSAGE has its own buffer */
    int n;
    char *others[LOG_FIELDS_MAX]; /* owned */
    size_t n_others;
} JournalFields;

static void add_field(JournalFields *f, const char *name, const char *value) {
    char *text = f->text[f->n];
    (void) snprintf(text, sizeof(f->text[0]), "%s=%s", name, value);
    f->iov[f->n++] = (struct iovec){ text, strlen(text) };
}

/* May be as long as a path, and hold whatever a container likes. */
static void add_others(JournalFields *f, const LogField *others) {
    for (; others && others->name && f->n_others < LOG_FIELDS_MAX; others++) {
        size_t name = strlen(others->name), size = others->value ? strlen(others->value) : 0;
        char *text = size > 0 ? malloc(name + 1 + 4 * size + 1) : NULL;
        if (!text)
            continue;
        memcpy(text, others->name, name);
        text[name] = '=';
        size = escape(others->value, text + name + 1);
        f->iov[f->n++] = (struct iovec){ text, name + 1 + size };
        f->others[f->n_others++] = text;
    }
}

static void send_to_journal(int level, const Fields *fields, char *message, size_t length) {
    JournalFields f = { .iov[0] = { message, length }, .n = 1 };
    char number[3 * sizeof(uid_t) + 1];
    (void) snprintf(number, sizeof(number), "%d", level);
    add_field(&f, "PRIORITY", number);
    if (fields->id)
        add_field(&f, "MESSAGE_ID", fields->id);
    if (fields->container)
        add_field(&f, "KENNEL_CONTAINER", fields->container);
    if (fields->stage)
        add_field(&f, "KENNEL_STAGE", fields->stage);
    if (fields->peer != (uid_t) -1) {
        (void) snprintf(number, sizeof(number), "%u", fields->peer);
        add_field(&f, "KENNEL_PEER_UID", number);
    }
    add_others(&f, fields->others);
    if (sd_journal_sendv(f.iov, f.n) < 0)
        write_line(level, message + strlen("MESSAGE="), length - strlen("MESSAGE="));
    for (size_t i = 0; i < f.n_others; i++)
        free(f.others[i]);
}

static void vlog(int level, const Fields *fields, const char *format, va_list ap) {
    if (level < LOG_EMERG || level > LOG_DEBUG || level > log_max_level)
        return;
    int saved = errno; /* also what %m in FORMAT means */
    char text[MESSAGE_MAX];
    (void) vsnprintf(text, sizeof(text), format, ap);
    char message[sizeof("MESSAGE=") + ESCAPED_MAX] = "MESSAGE=";
    size_t prefix = strlen(message);
    size_t length = escape(text, message + prefix);
    if (log_to_journal)
        send_to_journal(level, fields, message, prefix + length);
    else
        write_line(level, message + prefix, length);
    errno = saved;
}

void log_message(int level, const char *format, ...) {
    va_list ap;
    va_start(ap, format);
    vlog(level, &no_fields, format, ap);
    va_end(ap);
}

void log_event(int level, const char *message_id, const char *container, uid_t peer, const char *format, ...) {
    va_list ap;
    va_start(ap, format);
    vlog(level, &(Fields){ .id = message_id, .container = container, .peer = peer }, format, ap);
    va_end(ap);
}

void log_event_stage(int level, const char *message_id, const char *container, uid_t peer, const char *stage,
                     const char *format, ...) {
    va_list ap;
    va_start(ap, format);
    vlog(level, &(Fields){ .id = message_id, .container = container, .stage = stage, .peer = peer }, format, ap);
    va_end(ap);
}

void log_event_fields(int level, const char *message_id, const char *container, uid_t peer, const LogField *fields,
                      const char *format, ...) {
    va_list ap;
    va_start(ap, format);
    vlog(level, &(Fields){ .id = message_id, .container = container, .peer = peer, .others = fields }, format, ap);
    va_end(ap);
}

/* May one more be written? If a new period begins, RET_LEFT_OUT is what the last one swallowed. */
static bool limit_admits(Limit *l, unsigned *ret_left_out) {
    struct timespec now;
    (void) clock_gettime(CLOCK_MONOTONIC, &now);
    *ret_left_out = 0;
    (void) pthread_mutex_lock(&limits_mutex);
    if (l->count > 0 && now.tv_sec - l->since >= LIMIT_SECONDS) {
        *ret_left_out = l->left_out;
        l->count = l->left_out = 0;
    }
    if (l->count == 0)
        l->since = now.tv_sec;
    bool admitted = l->count < LIMIT_MESSAGES;
    if (admitted)
        l->count++;
    else
        l->left_out++;
    (void) pthread_mutex_unlock(&limits_mutex);
    return admitted;
}

static void vlog_limited(Limit *l, int level, const Fields *fields, const char *format, va_list ap) {
    if (level > log_max_level)
        return;
    int saved = errno;
    unsigned left_out;
    bool admitted = limit_admits(l, &left_out);
    if (left_out > 0)
        log_message(level, "%u messages like the next were left out", left_out);
    errno = saved;
    if (admitted)
        vlog(level, fields, format, ap);
}

void log_limited(int level, const char *format, ...) {
    va_list ap;
    va_start(ap, format);
    vlog_limited(&limit_all, level, &no_fields, format, ap);
    va_end(ap);
}

void log_refused(uid_t peer, const char *format, ...) {
    Limit *l = &limits_of_peers[peer % ELEMENTSOF(limits_of_peers)];
    va_list ap;
    va_start(ap, format);
    vlog_limited(l, LOG_NOTICE, &(Fields){ .id = LOG_ID_REFUSED, .peer = peer }, format, ap);
    va_end(ap);
}
