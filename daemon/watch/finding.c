/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Findings: what they are called, when two are one, and as JSON.
 *
 * What a container chose (names, arguments, paths) may be any bytes; what is no UTF-8 in it becomes U+FFFD in JSON. A record
 * comes back from a file of root's and is nevertheless read strictly: what is missing, unknown, of the wrong type or out of
 * its range is refused, and everything that has a length has an upper one.
 */

#include "watch/finding.h"

#include "proto/json.h"
#include "proto/utf8.h"
#include "util/parse.h"

#include <limits.h>
#include <string.h>

#define REPLACEMENT "\xEF\xBF\xBD"

/* ---- names ---- */

static const char *const kind_names[_FINDING_KIND_MAX] = {
    [FINDING_FOREIGN_PROGRAM] = "foreignProgram",
    [FINDING_FOREIGN_SCRIPT] = "foreignScript",
    [FINDING_DELETED_PROGRAM] = "deletedProgram",
    [FINDING_PRELOAD] = "preload",
    [FINDING_REFUSED_CALL] = "refusedCall",
    [FINDING_HIDDEN_PROCESS] = "hiddenProcess",
    [FINDING_FOREIGN_PROCESS] = "foreignProcess",
    [FINDING_FORK_STORM] = "forkStorm",
    [FINDING_CPU] = "cpu",
    [FINDING_LISTENER] = "listener",
    [FINDING_CONNECTION] = "connection",
    [FINDING_DISGUISE] = "disguise",
};
static const char *const severity_names[_FINDING_SEVERITY_MAX] = { "low", "medium", "high" };
static const char *const action_names[_FINDING_ACTION_MAX] = {
    [FINDING_OFF] = "off",
    [FINDING_REPORT] = "report",
    [FINDING_KILL_PROCESS] = "killProcess",
    [FINDING_FREEZE_CONTAINER] = "freezeContainer",
    [FINDING_KILL_CONTAINER] = "killContainer",
};
static const char *const outcome_names[_RECEIPT_OUTCOME_MAX] = { "dead", "dying", "gone", "spared" };

static const char *name_of(const char *const *names, int max, int value) {
    return value >= 0 && value < max ? names[value] : NULL;
}

static int number_of(const char *const *names, int max, const char *name) {
    for (int i = 0; i < max; i++)
        if (names[i] && strcmp(names[i], name) == 0)
            return i;
    return -1;
}

const char *finding_kind_to_string(FindingKind k) {
    return name_of(kind_names, _FINDING_KIND_MAX, (int) k);
}
FindingKind finding_kind_from_string(const char *s) {
    return (FindingKind) number_of(kind_names, _FINDING_KIND_MAX, s);
}
const char *finding_severity_to_string(FindingSeverity s) {
    return name_of(severity_names, _FINDING_SEVERITY_MAX, (int) s);
}
const char *finding_action_to_string(FindingAction a) {
    return name_of(action_names, _FINDING_ACTION_MAX, (int) a);
}
FindingAction finding_action_from_string(const char *s) {
    int a = number_of(action_names, _FINDING_ACTION_MAX, s);
    return a < 0 ? FINDING_ACTION_UNSET : (FindingAction) a;
}
const char *receipt_outcome_to_string(ReceiptOutcome o) {
    return name_of(outcome_names, _RECEIPT_OUTCOME_MAX, (int) o);
}

/* ---- life ---- */

Finding *finding_new(FindingKind kind, FindingSeverity severity) {
    Finding *f = calloc(1, sizeof(Finding));
    if (f) {
        f->kind = kind;
        f->severity = severity;
        f->count = 1;
        f->action = FINDING_REPORT;
    }
    return f;
}

Finding *finding_free(Finding *f) {
    if (!f)
        return NULL;
    free(f->program);
    free(f->working_directory);
    free(f->parents);
    (void) strv_free(f->command);
    (void) strv_free(f->sockets);
    (void) strv_free(f->mapped_files);
    free(f);
    return NULL;
}

/* ---- one thing seen twice ---- */

static bool same_text(const char *a, const char *b) {
    return a && b ? strcmp(a, b) == 0 : a == b;
}

/*
 * The number of an inode may be another file's by now: hashes that both have and that differ decide. The same content under
 * another name is another program: each of them runs, and each is to be removed. Where little is known, the path does.
 */
static bool same_program(const Finding *a, const Finding *b) {
    bool hashes = a->program_sha256[0] && b->program_sha256[0], inodes = a->program_ino != 0 && b->program_ino != 0;
    if (hashes && strcmp(a->program_sha256, b->program_sha256) != 0)
        return false;
    if (inodes && a->program_ino == b->program_ino && a->program_dev == b->program_dev)
        return true;
    return (hashes || !inodes) && same_text(a->program, b->program);
}

static bool same_name(const Finding *a, const Finding *b) {
    return strcmp(a->process_name, b->process_name) == 0;
}

/* A process without a start time (it had ended before anybody could look) is one by its number. */
static bool same_process(const Finding *a, const Finding *b) {
    return a->host_pid == b->host_pid && a->start_time == b->start_time;
}

static bool same_sockets(const Finding *a, const Finding *b) {
    size_t n = strv_length(a->sockets);
    if (n != strv_length(b->sockets))
        return false;
    for (size_t i = 0; i < n; i++)
        if (strcmp(a->sockets[i], b->sockets[i]) != 0)
            return false;
    return true;
}

bool finding_is_same(const Finding *a, const Finding *b) {
    if (a->kind != b->kind)
        return false;
    switch (a->kind) {
    case FINDING_FOREIGN_PROGRAM:
    case FINDING_DELETED_PROGRAM:
        return same_program(a, b);
    case FINDING_FOREIGN_SCRIPT:
    case FINDING_PRELOAD:
    case FINDING_DISGUISE: /* what the script, the library, the name was is in the evidence */
        return same_program(a, b) && same_name(a, b) && strcmp(a->evidence, b->evidence) == 0;
    case FINDING_REFUSED_CALL:
        return a->call_number == b->call_number && strcmp(a->call_architecture, b->call_architecture) == 0 &&
               same_program(a, b);
    case FINDING_HIDDEN_PROCESS:
    case FINDING_FOREIGN_PROCESS:
        return same_process(a, b);
    case FINDING_LISTENER:
    case FINDING_CONNECTION:
        return same_sockets(a, b);
    default:
        return true;
    }
}

/* By when they were started, not by when they were seen: the look comes later than what it looks at. Of one clock tick, by
 * their numbers. */
bool finding_is_newer(const Finding *a, const Finding *b) {
    if (b->host_pid <= 0 || b->start_time == 0 || b->start_time == a->start_time)
        return b->host_pid > 0 && b->start_time > 0 && b->host_pid > a->host_pid;
    return b->start_time > a->start_time;
}

void finding_merge(Finding *a, const Finding *b) {
    a->count += b->count;
    if (b->last_usec > a->last_usec)
        a->last_usec = b->last_usec;
    if (!finding_is_newer(a, b))
        return;
    a->pid = b->pid;
    a->host_pid = b->host_pid;
    a->start_time = b->start_time;
    a->started_usec = b->started_usec;
}

/* ---- to JSON ---- */

/* O has what was added to it, or is short of it, which the count of its members shows at the end. */
static void add(json_object *o, const char *key, json_object *value) {
    if (json_object_object_add(o, key, value) < 0)
        json_object_put(value);
}

/* What is no UTF-8 is replaced; TEXT is never longer than a path or an argument. */
static json_object *text_to_json(const char *text) {
    size_t left = strlen(text);
    char *copy = malloc(left * strlen(REPLACEMENT) + 1), *out = copy;
    if (!copy)
        return NULL;
    while (left > 0) {
        uint32_t c;
        size_t n = utf8_decode(text, left, &c), taken = n ? n : 1, written = n ? n : strlen(REPLACEMENT);
        memcpy(out, n ? text : REPLACEMENT, written);
        out += written, text += taken, left -= taken;
    }
    json_object *o = json_object_new_string_len(copy, (int) (out - copy));
    free(copy);
    return o;
}

/* NULL and "" are null. */
static void add_text(json_object *o, const char *key, const char *text) {
    add(o, key, text && text[0] ? text_to_json(text) : NULL);
}

static void add_number(json_object *o, const char *key, bool known, uint64_t n) {
    add(o, key, known ? json_object_new_int64(n > INT64_MAX ? INT64_MAX : (int64_t) n) : NULL);
}

static void add_strings(json_object *o, const char *key, char *const *strings) {
    json_object *a = json_object_new_array();
    for (size_t i = 0; a && strings && strings[i]; i++)
        (void) json_object_array_add(a, text_to_json(strings[i]));
    add(o, key, a);
}

static void add_parents(json_object *o, const Finding *f) {
    json_object *a = json_object_new_array();
    for (size_t i = 0; a && i < f->n_parents; i++) {
        json_object *p = json_object_new_object();
        if (!p)
            break;
        add_number(p, "pid", f->parents[i].pid > 0, (uint64_t) f->parents[i].pid);
        add_number(p, "hostPid", true, (uint64_t) f->parents[i].host_pid);
        add(p, "name", text_to_json(f->parents[i].name));
        (void) json_object_array_add(a, p);
    }
    add(o, "parents", a);
}

static json_object *call_to_json(const Finding *f) {
    json_object *o = json_object_new_object(), *a = json_object_new_array();
    if (!o || !a) {
        json_object_put(o);
        json_object_put(a);
        return NULL;
    }
    for (size_t i = 0; i < ELEMENTSOF(f->call_arguments); i++) {
        char text[24];
        (void) snprintf(text, sizeof(text), "0x%llx", (unsigned long long) f->call_arguments[i]);
        (void) json_object_array_add(a, json_object_new_string(text));
    }
    add(o, "number", json_object_new_int64(f->call_number));
    add_text(o, "name", f->call_name);
    add(o, "architecture", text_to_json(f->call_architecture));
    add(o, "arguments", a);
    add(o, "errno", json_object_new_int64(f->call_errno));
    return o;
}

json_object *receipt_to_json(const Receipt *r) {
    json_object *o = json_object_new_object();
    if (!o)
        return NULL;
    add_number(o, "pid", r->pid > 0, (uint64_t) r->pid);
    add_number(o, "hostPid", r->host_pid > 0, (uint64_t) r->host_pid);
    add(o, "outcome", json_object_new_string(receipt_outcome_to_string(r->outcome)));
    add_text(o, "waitChannel", r->wait_channel);
    add_number(o, "processes", true, r->processes);
    add_number(o, "durationUsec", true, r->duration_usec);
    return o;
}

#define FINDING_MEMBERS 23
#define RECORD_MEMBERS  (FINDING_MEMBERS + 3)

static void add_what_and_who(json_object *o, const Finding *f) {
    add_number(o, "number", true, f->number);
    add(o, "kind", json_object_new_string(finding_kind_to_string(f->kind)));
    add(o, "severity", json_object_new_string(finding_severity_to_string(f->severity)));
    add_number(o, "firstUsec", true, f->first_usec);
    add_number(o, "lastUsec", true, f->last_usec);
    add_number(o, "count", true, f->count);
    add_number(o, "pid", f->pid > 0, (uint64_t) f->pid);
    add_number(o, "hostPid", f->host_pid > 0, (uint64_t) f->host_pid);
    add_number(o, "startedUsec", f->started_usec > 0, f->started_usec);
    add_text(o, "processName", f->process_name);
}

json_object *finding_to_json(const Finding *f) {
    json_object *o = json_object_new_object();
    if (!o)
        return NULL;
    add_what_and_who(o, f);
    add_text(o, "program", f->program);
    add_number(o, "programSize", f->has_size, f->program_size);
    add_text(o, "programSha256", f->program_sha256);
    add_strings(o, "command", f->command);
    add_parents(o, f);
    add_text(o, "workingDirectory", f->working_directory);
    add_strings(o, "sockets", f->sockets);
    add_strings(o, "mappedFiles", f->mapped_files);
    add(o, "call", f->has_call ? call_to_json(f) : NULL);
    add(o, "evidence", text_to_json(f->evidence));
    add(o, "action", json_object_new_string(finding_action_to_string(f->action) ?: "report"));
    add(o, "receipt", f->has_receipt ? receipt_to_json(&f->receipt) : NULL);
    add_text(o, "quarantined", f->quarantined);
    if (json_object_object_length(o) == FINDING_MEMBERS)
        return o;
    json_object_put(o);
    return NULL;
}

/* Numbers of devices and inodes may use all 64 bits: as the signed number of the same bits. */
json_object *finding_to_record(const Finding *f) {
    json_object *o = finding_to_json(f);
    if (!o)
        return NULL;
    add_number(o, "startTime", true, f->start_time);
    add(o, "programDev", json_object_new_int64((int64_t) f->program_dev));
    add(o, "programIno", json_object_new_int64((int64_t) f->program_ino));
    if (json_object_object_length(o) == RECORD_MEMBERS)
        return o;
    json_object_put(o);
    return NULL;
}

/* ---- and back ---- */

/* Once something was wrong everything else is, and the first of it is told. */
typedef struct Reader {
    json_object *object;
    int taken; /* members that were asked for and are there */
    const char *wrong;
} Reader;

static json_object *member(Reader *r, const char *key, json_type type, bool optional) {
    json_object *o = NULL;
    if (!json_object_object_get_ex(r->object, key, &o) || (!o && !optional) || (o && !json_object_is_type(o, type)))
        r->wrong = r->wrong ?: key;
    else
        r->taken++;
    return r->wrong ? NULL : o;
}

static int64_t number(Reader *r, const char *key, int64_t min, int64_t max, bool optional, bool *ret_known) {
    json_object *o = member(r, key, json_type_int, optional);
    int64_t n = o ? json_object_get_int64(o) : 0;
    if (o && (n < min || n > max))
        r->wrong = key;
    if (ret_known)
        *ret_known = o != NULL;
    return o && !r->wrong ? n : 0;
}

static uint64_t natural(Reader *r, const char *key, bool optional, bool *ret_known) {
    return (uint64_t) number(r, key, 0, INT64_MAX, optional, ret_known);
}

static bool text_fits(json_object *o, size_t max) {
    const char *s = json_object_get_string(o);
    return s && (size_t) json_object_get_string_len(o) == strlen(s) && strlen(s) <= max;
}

/* Cut off text is cut off as it was: a replaced byte takes three. */
static void text(Reader *r, const char *key, char *buffer, size_t size, bool optional) {
    json_object *o = member(r, key, json_type_string, optional);
    if (o && !text_fits(o, 3 * size))
        r->wrong = key;
    else if (o)
        (void) snprintf(buffer, size, "%s", json_object_get_string(o));
}

static char *string(Reader *r, const char *key) {
    json_object *o = member(r, key, json_type_string, true);
    char *s = o && text_fits(o, 3UL * PATH_MAX) ? strdup(json_object_get_string(o)) : NULL;
    if (o && !s)
        r->wrong = key;
    return s;
}

static int choice(Reader *r, const char *key, const char *const *names, int max) {
    json_object *o = member(r, key, json_type_string, false);
    int i = o ? number_of(names, max, json_object_get_string(o)) : 0;
    if (i < 0)
        r->wrong = key;
    return i < 0 ? 0 : i;
}

static json_object *array(Reader *r, const char *key, size_t max, json_type type) {
    json_object *a = member(r, key, json_type_array, false);
    size_t n = a ? json_object_array_length(a) : 0;
    for (size_t i = 0; i < n; i++)
        if (n > max || !json_object_is_type(json_object_array_get_idx(a, i), type))
            r->wrong = key;
    return r->wrong || n == 0 ? NULL : a;
}

static char **strings(Reader *r, const char *key, size_t max, size_t max_bytes) {
    json_object *a = array(r, key, max, json_type_string);
    size_t n = a ? json_object_array_length(a) : 0;
    char **v = n ? calloc(n + 1, sizeof(char *)) : NULL;
    for (size_t i = 0; v && i < n; i++) {
        json_object *s = json_object_array_get_idx(a, i);
        v[i] = text_fits(s, max_bytes) ? strdup(json_object_get_string(s)) : NULL;
        if (!v[i]) {
            r->wrong = key;
            return strv_free(v);
        }
    }
    if (n && !v)
        r->wrong = key;
    return v;
}

static void done(Reader *r, const char *what) {
    if (!r->wrong && r->taken != json_object_object_length(r->object))
        r->wrong = what;
}

static void read_parents(Reader *r, Finding *f) {
    json_object *a = array(r, "parents", FINDING_PARENTS_MAX, json_type_object);
    size_t n = a ? json_object_array_length(a) : 0;
    f->parents = n ? calloc(n, sizeof(FindingParent)) : NULL;
    for (size_t i = 0; f->parents && i < n; i++) {
        Reader p = { .object = json_object_array_get_idx(a, i) };
        f->parents[i].pid = (pid_t) number(&p, "pid", 1, INT_MAX, true, NULL);
        f->parents[i].host_pid = (pid_t) number(&p, "hostPid", 0, INT_MAX, false, NULL);
        text(&p, "name", f->parents[i].name, sizeof(f->parents[i].name), false);
        done(&p, "parents");
        if (p.wrong)
            r->wrong = "parents";
        f->n_parents = i + 1;
    }
    if (n && !f->parents)
        r->wrong = "parents";
}

static bool read_hexadecimal(const char *text, uint64_t *ret) {
    if (strncmp(text, "0x", 2) != 0 || strlen(text) > 18 || !text[2] || text[2 + strspn(text + 2, "0123456789abcdef")])
        return false;
    *ret = strtoull(text + 2, NULL, 16);
    return true;
}

static void read_call(Reader *r, Finding *f) {
    json_object *o = member(r, "call", json_type_object, true);
    if (!o)
        return;
    Reader c = { .object = o };
    f->has_call = true;
    f->call_number = (int) number(&c, "number", INT_MIN, INT_MAX, false, NULL);
    text(&c, "name", f->call_name, sizeof(f->call_name), true);
    text(&c, "architecture", f->call_architecture, sizeof(f->call_architecture), false);
    f->call_errno = (int) number(&c, "errno", 0, 4095, false, NULL);
    json_object *a = array(&c, "arguments", ELEMENTSOF(f->call_arguments), json_type_string);
    if (!a || json_object_array_length(a) != ELEMENTSOF(f->call_arguments))
        c.wrong = "arguments";
    for (size_t i = 0; !c.wrong && i < ELEMENTSOF(f->call_arguments); i++)
        if (!read_hexadecimal(json_object_get_string(json_object_array_get_idx(a, i)), &f->call_arguments[i]))
            c.wrong = "arguments";
    done(&c, "call");
    if (c.wrong)
        r->wrong = "call";
}

static void read_receipt(Reader *r, Finding *f) {
    json_object *o = member(r, "receipt", json_type_object, true);
    if (!o)
        return;
    Reader c = { .object = o };
    f->has_receipt = true;
    f->receipt.pid = (pid_t) number(&c, "pid", 1, INT_MAX, true, NULL);
    f->receipt.host_pid = (pid_t) number(&c, "hostPid", 1, INT_MAX, true, NULL);
    f->receipt.outcome = (ReceiptOutcome) choice(&c, "outcome", outcome_names, _RECEIPT_OUTCOME_MAX);
    text(&c, "waitChannel", f->receipt.wait_channel, sizeof(f->receipt.wait_channel), true);
    f->receipt.processes = (unsigned) number(&c, "processes", 0, UINT_MAX, false, NULL);
    f->receipt.duration_usec = natural(&c, "durationUsec", false, NULL);
    done(&c, "receipt");
    if (c.wrong)
        r->wrong = "receipt";
}

static void read_what_and_who(Reader *r, Finding *f) {
    f->number = natural(r, "number", false, NULL);
    f->kind = (FindingKind) choice(r, "kind", kind_names, _FINDING_KIND_MAX);
    f->severity = (FindingSeverity) choice(r, "severity", severity_names, _FINDING_SEVERITY_MAX);
    f->first_usec = natural(r, "firstUsec", false, NULL);
    f->last_usec = natural(r, "lastUsec", false, NULL);
    f->count = natural(r, "count", false, NULL);
    f->pid = (pid_t) number(r, "pid", 1, INT_MAX, true, NULL);
    f->host_pid = (pid_t) number(r, "hostPid", 1, INT_MAX, true, NULL);
    f->start_time = natural(r, "startTime", false, NULL);
    f->started_usec = natural(r, "startedUsec", true, NULL);
    text(r, "processName", f->process_name, sizeof(f->process_name), true);
}

static void read_sha256(Reader *r, Finding *f) {
    text(r, "programSha256", f->program_sha256, sizeof(f->program_sha256), true);
    size_t n = strlen(f->program_sha256);
    if (n != 0 && (n != FINDING_SHA256_LENGTH || strspn(f->program_sha256, "0123456789abcdef") != n))
        r->wrong = "programSha256";
}

int finding_from_record(json_object *o, Finding **ret, Error *reterr) {
    if (!json_object_is_type(o, json_type_object))
        return error_set(reterr, ERROR_FAILED, EBADMSG, "finding", "it is no object");
    _cleanup_(finding_freep) Finding *f = finding_new(FINDING_FOREIGN_PROGRAM, FINDING_LOW);
    if (!f)
        return error_failed(reterr, ENOMEM, "finding", "out of memory");
    Reader r = { .object = o };
    read_what_and_who(&r, f);
    f->program = string(&r, "program");
    f->program_size = natural(&r, "programSize", true, &f->has_size);
    read_sha256(&r, f);
    f->program_dev = (uint64_t) number(&r, "programDev", INT64_MIN, INT64_MAX, false, NULL);
    f->program_ino = (uint64_t) number(&r, "programIno", INT64_MIN, INT64_MAX, false, NULL);
    f->command = strings(&r, "command", FINDING_ARGUMENTS_MAX, 3UL * FINDING_ARGUMENT_BYTES);
    read_parents(&r, f);
    f->working_directory = string(&r, "workingDirectory");
    f->sockets = strings(&r, "sockets", FINDING_SOCKETS_MAX, 512);
    f->mapped_files = strings(&r, "mappedFiles", FINDING_MAPPED_MAX, 3UL * PATH_MAX);
    read_call(&r, f);
    text(&r, "evidence", f->evidence, sizeof(f->evidence), false);
    f->action = (FindingAction) choice(&r, "action", action_names, _FINDING_ACTION_MAX);
    read_receipt(&r, f);
    text(&r, "quarantined", f->quarantined, sizeof(f->quarantined), true);
    done(&r, "an unknown member");
    if (r.wrong)
        return error_set(reterr, ERROR_FAILED, EBADMSG, "finding", "%s: missing, unknown or out of its range", r.wrong);
    *ret = TAKE_PTR(f);
    return 0;
}
