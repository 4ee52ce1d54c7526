/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * From what a detector has found to what becomes of it: kept, told, acted upon.
 *
 * A container is watched from the stop at its first instruction to its end. What is found is kept until the container is
 * removed (findings.h), told by an event, the log and to those who follow, and then the detector's action is taken, at every
 * sighting of another process: a program that is dropped and started again is killed again.
 *
 * Whoever is watched decides how often it is found. The ring of events and the journal are everybody's, so of one container
 * no more than a few findings are told in a while, and then how many there were; kept and acted upon is each. What is on
 * disk is written at most once a second, and a little at a time.
 */

#include "container/internal.h"
#include "util/log.h"

#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>

#define TICK_USEC   1000000ULL
#define SLACK_USEC  100000ULL
#define SAVES_MAX   32U  /* files in one tick */
#define LOOKS_MAX   256U /* at processes that were to be killed, in one tick */
#define VOICE_MAX   24U  /* findings that are told in a while */
#define VOICE_USEC  (10ULL * 1000000ULL)
#define NUMBER_SIZE 24U

/* What a detector does for whom nobody has said anything. A package manager makes connections, and nobody has declared where to. */
static const FindingAction defaults[_FINDING_KIND_MAX] = {
    [FINDING_FOREIGN_PROGRAM] = FINDING_REPORT,
    [FINDING_FOREIGN_SCRIPT] = FINDING_REPORT,
    [FINDING_DELETED_PROGRAM] = FINDING_REPORT,
    [FINDING_PRELOAD] = FINDING_REPORT,
    [FINDING_REFUSED_CALL] = FINDING_REPORT,
    [FINDING_HIDDEN_PROCESS] = FINDING_REPORT,
    [FINDING_FOREIGN_PROCESS] = FINDING_REPORT,
    [FINDING_FORK_STORM] = FINDING_REPORT,
    [FINDING_CPU] = FINDING_REPORT,
    [FINDING_LISTENER] = FINDING_REPORT,
    [FINDING_CONNECTION] = FINDING_OFF,
    [FINDING_DISGUISE] = FINDING_REPORT,
};

FindingAction container_watch_action(const ContainerEnvironment *e, FindingKind k) {
    return e->watch_actions[k] != FINDING_ACTION_UNSET ? e->watch_actions[k] : defaults[k];
}

void container_watch_decide(const ContainerEnvironment *e, ContainerSpec *spec) {
    for (FindingKind k = 0; k < _FINDING_KIND_MAX; k++)
        if (spec->watch[k] == FINDING_ACTION_UNSET)
            spec->watch[k] = container_watch_action(e, k);
    spec->sandbox.program.tell_calls =
        e->watch && !spec->seccomp_unconfined && spec->watch[FINDING_REFUSED_CALL] != FINDING_OFF;
}

static bool is_watched(const ContainerSpec *spec) {
    for (FindingKind k = 0; k < _FINDING_KIND_MAX; k++)
        if (spec->watch[k] != FINDING_OFF)
            return true;
    return false;
}

int container_watch_begin(const Container *c, StorageLayer *layer, SeccompProgram *seccomp,
                          const SandboxProcess *process, int consume_calls_fd, WatchSubject **ret) {
    _cleanup_fd_ int calls_fd = consume_calls_fd;
    const ContainerSpec *s = c->spec;
    Watch *w = c->registry->environment.watch;
    *ret = NULL;
    if (!w || !is_watched(s))
        return 0;
    int upper_fd = s->sandbox.read_only || !layer ? -EBADF : storage_layer_open_part(layer, "upper");
    int lower_fd = s->sandbox.rootfs_fd >= 0 ? fcntl(s->sandbox.rootfs_fd, F_DUPFD_CLOEXEC, 3) : -EBADF;
    SandboxSpec sandbox = s->sandbox; /* owns nothing */
    sandbox.program.seccomp = seccomp;
    WatchSubjectSpec spec = {
        .userdata = (void *) c,
        .id = c->id,
        .pid = process->pid,
        .pidfd = process->pidfd,
        .sandbox = &sandbox,
        .seccomp = !s->seccomp_unconfined,
        .runs = c->state == CONTAINER_RUNNING || c->state == CONTAINER_PAUSED,
        .upper_fd = upper_fd < 0 ? -EBADF : upper_fd,
        .lower_fd = lower_fd < 0 ? -EBADF : lower_fd,
        .calls_fd = TAKE_FD(calls_fd),
        .ports = s->ports,
        .n_ports = s->n_ports,
        .cpu_quota_per_sec_usec = s->limits.cgroup.cpu_quota_per_sec_usec,
    };
    memcpy(spec.actions, s->watch, sizeof(spec.actions));
    return watch_subject_new(w, &spec, ret);
}

const char *container_watch_missing(const Container *c, FindingKind k) {
    const ContainerSpec *s = c->spec;
    if (c->pid <= 0 || c->ended || s->watch[k] == FINDING_OFF)
        return NULL;
    if (!c->subject)
        return "the container is not watched";
    if (k == FINDING_REFUSED_CALL) {
        if (s->seccomp_unconfined)
            return "the container has no system call filter";
        if (c->calls_lost)
            return "refused calls are not told any more: the descriptor went with the daemon that had it";
        if (c->calls_silent)
            return "refused calls are not told: the filter could not be installed with a listener, as where the daemon "
                   "itself runs below a filter that has one";
        if (!s->sandbox.program.seccomp || !seccomp_program_tells(s->sandbox.program.seccomp))
            return "the profile refuses nothing that could be told, or refuses sendmsg";
    }
    return watch_subject_missing(c->subject, k);
}

/* The listener of an earlier daemon is there only where the service manager has kept it. */
void container_watch_resume(Container *c) {
    SandboxProcess process = SANDBOX_PROCESS_INIT;
    process.pid = c->pid;
    process.pidfd = c->pidfd;
    int calls_fd = c->spec->sandbox.program.tell_calls ? container_stored_take(c, "calls") : -EBADF;
    c->calls_lost = c->spec->sandbox.program.tell_calls && calls_fd < 0;
    if (c->calls_lost)
        log_notice("Container %s: refused system calls are not told any more: the descriptor went with the daemon that "
                   "had it",
                   c->id);
    int r = container_watch_begin(c, c->layer, c->spec->sandbox.program.seccomp, &process,
                                  calls_fd < 0 ? -EBADF : calls_fd, &c->subject);
    if (r < 0)
        log_warning("Container %s is not watched any more: %s", c->id, strerror(-r));
    if (calls_fd >= 0 && !c->subject)
        container_stored_remove_calls(c);
    if (c->findings)
        (void) container_tick_later(c); /* what was to be killed and is not */
}

static Findings *findings_of(Container *c) {
    if (!c->findings)
        (void) findings_new(&c->findings);
    return c->findings;
}

uint64_t container_findings_dropped(const Container *c) {
    uint64_t kept = c->findings ? c->findings->dropped : 0;
    return kept + (c->subject ? watch_subject_dropped(c->subject) - c->dropped_taken : 0);
}

/* What has been dropped since the last time joins what is kept, and written: it outlives the subject and the daemon. */
static void take_dropped(Container *c) {
    uint64_t dropped = c->subject ? watch_subject_dropped(c->subject) : 0;
    if (dropped <= c->dropped_taken || !findings_of(c))
        return;
    c->findings->dropped += dropped - c->dropped_taken;
    c->dropped_taken = dropped;
}

static void end_subject(Container *c) {
    take_dropped(c);
    c->subject = watch_subject_free(c->subject);
    c->dropped_taken = 0;
}

/* Not into a directory that is being removed. */
static void save(Container *c, unsigned max) {
    if (c->ended && (c->wants_remove || c->failed))
        return;
    if (!c->findings || c->state_fd < 0 || !findings_unsaved(c->findings))
        return;
    int r = findings_save(c->findings, c->state_fd, max);
    if (r < 0)
        log_limited(LOG_WARNING, "Findings of container %s cannot be written: %s", c->id, strerror(-r));
}

void container_watch_end(Container *c) {
    end_subject(c);
    save(c, SAVES_MAX);
    if (c->findings && findings_unsaved(c->findings))
        (void) container_tick_later(c);
}

void container_findings_done(Container *c) {
    c->findings_timer = sd_event_source_disable_unref(c->findings_timer);
    end_subject(c);
    if (!c->gone)
        save(c, UINT_MAX); /* the daemon ends: there is no later */
    c->findings = findings_free(c->findings);
}

void container_findings_recover(Container *c) {
    if (findings_load(c->state_fd, c->id, &c->findings) < 0)
        log_warning("The findings of container %s cannot be read: out of memory", c->id);
}

/* ---- telling ---- */

void container_findings_follow(ContainerRegistry *r, FindingFollower *f) {
    f->registry = r;
    f->previous = NULL;
    f->next = r->followers;
    if (f->next)
        f->next->previous = f;
    r->followers = f;
}

void container_findings_unfollow(FindingFollower *f) {
    ContainerRegistry *r = f->registry;
    if (!r)
        return;
    if (r->next_to_tell == f)
        r->next_to_tell = f->next;
    if (f->next)
        f->next->previous = f->previous;
    if (f->previous)
        f->previous->next = f->next;
    else
        r->followers = f->next;
    *f = (FindingFollower){ .notify = f->notify };
}

static void tell_followers(Container *c, const Finding *finding) {
    ContainerRegistry *r = c->registry;
    for (FindingFollower *f = r->followers; f; f = r->next_to_tell) {
        r->next_to_tell = f->next;
        f->notify(f, c, finding);
    }
}

static uint64_t monotonic_usec(void) {
    struct timespec t;
    (void) clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t) t.tv_sec * 1000000ULL + (uint64_t) t.tv_nsec / 1000ULL;
}

static bool may_tell(FindingVoice *v) {
    uint64_t now = monotonic_usec();
    if (now - v->since_usec >= VOICE_USEC)
        *v = (FindingVoice){ .since_usec = now, .untold = v->untold, .unkilled = v->unkilled };
    if (v->spent == VOICE_MAX)
        return false;
    v->spent++;
    return true;
}

static void log_finding(const Container *c, const Finding *f) {
    char number[NUMBER_SIZE], pid[NUMBER_SIZE] = "";
    (void) snprintf(number, sizeof(number), "%" PRIu64, f->number);
    if (f->host_pid > 0)
        (void) snprintf(pid, sizeof(pid), "%d", (int) f->host_pid);
    const LogField fields[] = {
        { "KENNEL_FINDING_KIND", finding_kind_to_string(f->kind) },
        { "KENNEL_FINDING_SEVERITY", finding_severity_to_string(f->severity) },
        { "KENNEL_FINDING_NUMBER", number },
        { "KENNEL_PROGRAM", f->program },
        { "KENNEL_PROGRAM_SHA256", f->program_sha256 },
        { "KENNEL_PID", pid },
        { NULL, NULL },
    };
    int level = f->severity == FINDING_LOW ? LOG_NOTICE : LOG_WARNING;
    log_event_fields(level, LOG_ID_FINDING, c->id, c->spec->owner, fields, "Container %s (%s), finding %s, %s (%s): %s",
                     c->id, container_name(c), number, fields[0].value, fields[1].value, f->evidence);
}

static void tell_new(Container *c, const Finding *f) {
    if (may_tell(&c->voice)) {
        container_add_finding_event(c, f->number, f->evidence);
        log_finding(c, f);
    } else
        c->voice.untold++;
    tell_followers(c, f);
}

static void tell_untold(Container *c) {
    FindingVoice *v = &c->voice;
    char message[96];
    if ((v->untold == 0 && v->unkilled == 0) || !may_tell(v))
        return;
    (void) snprintf(message, sizeof(message), "%u findings more, up to this one, and %u kills for findings", v->untold,
                    v->unkilled);
    v->untold = v->unkilled = 0;
    container_add_finding_event(c, c->findings->last, message);
    log_event(LOG_WARNING, LOG_ID_FINDING, c->id, c->spec->owner, "Container %s (%s): %s", c->id, container_name(c),
              message);
}

static void tell_again(Container *c) {
    for (size_t i = 0; c->findings && i < c->findings->n; i++) {
        FindingEntry *e = &c->findings->entries[i];
        if (!e->again)
            continue;
        e->again = false;
        tell_followers(c, e->finding);
    }
}

static bool kill_owed(Container *c);

static int on_tick(sd_event_source *source, uint64_t usec, void *userdata) {
    Container *c = userdata;
    _cleanup_(container_unrefp) _unused_ Container *keep = container_ref(c);
    c->findings_timer = sd_event_source_disable_unref(c->findings_timer);
    if (c->gone)
        return 0;
    take_dropped(c);
    tell_again(c);
    tell_untold(c);
    save(c, SAVES_MAX);
    bool owed = kill_owed(c);
    bool unsaved = c->findings && findings_unsaved(c->findings);
    if (unsaved || owed || c->voice.untold > 0 || c->voice.unkilled > 0)
        (void) container_tick_later(c);
    return 0;
}

/* Without a timer it is said and written when the next one is found. */
bool container_tick_later(Container *c) {
    if (c->findings_timer)
        return true;
    int r = sd_event_add_time_relative(c->registry->environment.event, &c->findings_timer, CLOCK_MONOTONIC, TICK_USEC,
                                       SLACK_USEC, on_tick, c);
    if (r < 0)
        return false;
    (void) sd_event_source_set_description(c->findings_timer, "container-findings");
    return true;
}

bool container_may_tell_kill(Container *c) {
    bool may = may_tell(&c->voice);
    c->voice.unkilled += !may;
    return may;
}

void container_finding_changed(Container *c, FindingEntry *e) {
    e->dirty = e->again = true;
    (void) container_tick_later(c);
}

/* ---- acting ---- */

/* In a pid namespace of its own somebody else is number 1, too. */
static bool is_first(const Container *c, const FindingProcess *p) {
    return c->pid > 0 ? p->host_pid == c->pid : p->pid == 1;
}

/* What comes to nothing is asked for again by the next tick. */
static void ask_kill(Container *c, FindingEntry *e, const FindingProcess *p) {
    if (is_first(c, p)) {
        Receipt spared = { .pid = p->pid, .host_pid = p->host_pid, .outcome = RECEIPT_SPARED };
        findings_settle(e, p, &spared);
        return;
    }
    int r = container_kill_finding(c, p, e->finding->number);
    if (r < 0)
        log_limited(LOG_ERR, "Container %s: the process of finding %" PRIu64 " cannot be killed yet: %s", c->id,
                    e->finding->number, strerror(-r));
    (void) container_tick_later(c);
}

/* The one that was sighted, whichever is shown: the older one of two may have become what the younger was. */
static void kill_process(Container *c, FindingEntry *e, const FindingProcess *seen) {
    bool shown = findings_shows(e, seen);
    if (seen->host_pid <= 0 || seen->start_time == 0) {
        if (shown)
            e->finding->action = FINDING_REPORT; /* of no single process */
        return;
    }
    if (shown)
        e->finding->has_receipt = false;
    ask_kill(c, e, seen);
}

static bool is_owed(const FindingEntry *e) {
    if (e->finding->action != FINDING_KILL_PROCESS)
        return false;
    for (size_t i = 0; i < e->n_others; i++)
        if (!e->others[i].settled)
            return true;
    return !e->finding->has_receipt;
}

static unsigned ask_again(Container *c, FindingEntry *e, const FindingProcess *p) {
    if (!findings_is_unsettled(e, p) || container_kill_is_asked(c, p, e->finding->number))
        return 0;
    if (findings_process_lives(p)) {
        ask_kill(c, e, p);
        return 1;
    }
    Receipt gone = { .pid = p->pid, .host_pid = p->host_pid, .outcome = RECEIPT_GONE };
    findings_settle(e, p, &gone);
    if (findings_shows(e, p))
        container_finding_changed(c, e);
    return 1;
}

/* Of how many it looked whether they live. */
static unsigned ask_all_again(Container *c, FindingEntry *e) {
    FindingProcess shown = findings_process(e->finding);
    unsigned n = ask_again(c, e, &shown);
    for (size_t i = 0; i < e->n_others; i++)
        n += ask_again(c, e, &e->others[i]);
    return n;
}

/*
 * Kills that have been decided upon and have had no receipt: there was no room for them, or they failed, or a daemon was
 * ended before. A few in each tick, each finding in its turn. True: there are some, or some that wait for a thread.
 */
static bool kill_owed(Container *c) {
    Findings *s = c->findings;
    bool owed = false;
    if (c->ended)
        return false;
    container_go_on(c);
    for (size_t i = 0, looks = 0; s && i < s->n && looks < LOOKS_MAX; i++) {
        FindingEntry *e = &s->entries[s->next_owed++ % s->n];
        if (is_owed(e))
            looks += ask_all_again(c, e);
    }
    for (size_t i = 0; s && i < s->n && !owed; i++)
        owed = is_owed(&s->entries[i]);
    return owed || (c->kills && !c->killing);
}

static void kill_container(Container *c, const Finding *f) {
    char to[64];
    if (c->state == CONTAINER_CREATED) {
        (void) container_kill(c, SIGKILL, NULL); /* as soon as there is something to be killed */
        return;
    }
    (void) container_kill_all(c);
    (void) snprintf(to, sizeof(to), " (finding %" PRIu64 ")", f->number);
    container_add_killed_event(c, SIGKILL, to);
}

static void act(Container *c, FindingEntry *e, const FindingProcess *seen, FindingAction action) {
    e->finding->action = action;
    switch (action) {
    case FINDING_KILL_PROCESS:
        kill_process(c, e, seen);
        break;
    case FINDING_FREEZE_CONTAINER:
        c->freeze_wanted = c->state != CONTAINER_PAUSED || c->freezing;
        container_go_on(c);
        break;
    case FINDING_KILL_CONTAINER:
        kill_container(c, e->finding);
        break;
    default:
        container_keep_program(c, e->finding, seen);
        break;
    }
}

void container_found(void *userdata, Finding *consume_finding) {
    Container *c = userdata;
    _cleanup_(container_unrefp) _unused_ Container *keep = container_ref(c);
    Findings *s = findings_of(c);
    FindingEntry *e = NULL;
    FindingAction action = c->spec->watch[consume_finding->kind];
    FindingProcess seen = findings_process(consume_finding);
    bool again, other;
    if (!s || findings_add(s, consume_finding, &e, &again, &other) < 0)
        return;
    /* a daemon may have been ended between the finding and the end of its process */
    bool undone = again && action == FINDING_KILL_PROCESS && findings_is_unsettled(e, &seen);
    if (!c->ended && (!again || other || undone))
        act(c, e, &seen, action);
    else if (!again)
        e->finding->action = FINDING_REPORT;
    uint64_t number = e->finding->number;
    if (!again)
        tell_new(c, e->finding);
    if (!again && c->voice.untold == 0)
        save(c, 1);
    e = findings_get(s, number);
    bool dropped = c->subject && watch_subject_dropped(c->subject) != c->dropped_taken;
    if (dropped || (e && (e->dirty || e->again)))
        (void) container_tick_later(c);
}

size_t container_findings_count(const Container *c) {
    return c->findings ? c->findings->n : 0;
}

const Finding *container_finding(const Container *c, size_t i) {
    return i < container_findings_count(c) ? c->findings->entries[i].finding : NULL;
}

const Finding *container_finding_numbered(const Container *c, uint64_t number) {
    const FindingEntry *e = findings_get(c->findings, number);
    return e ? e->finding : NULL;
}

typedef struct Targets {
    RemovalTarget *items;
    size_t n, room;
} Targets;

/* What ends between this and its removal gets a receipt that says so. */
static int add_target(Targets *t, const FindingProcess *p) {
    if (p->start_time == 0 || !findings_process_lives(p))
        return 0;
    for (size_t i = 0; i < t->n; i++)
        if (t->items[i].host_pid == p->host_pid && t->items[i].start_time == p->start_time)
            return 0;
    if (t->n == t->room) {
        size_t room = t->room > 0 ? 2 * t->room : 16;
        RemovalTarget *items = reallocarray(t->items, room, sizeof(RemovalTarget));
        if (!items)
            return -ENOMEM;
        t->items = items;
        t->room = room;
    }
    t->items[t->n++] = (RemovalTarget){ .host_pid = p->host_pid, .start_time = p->start_time };
    return 0;
}

static int add_targets(Targets *t, const FindingEntry *e) {
    FindingProcess shown = findings_process(e->finding);
    int r = add_target(t, &shown);
    for (size_t i = 0; r >= 0 && i < e->n_others; i++)
        r = add_target(t, &e->others[i]);
    return r;
}

int container_findings_targets(const Container *c, FindingSeverity least, RemovalTarget **ret, size_t *ret_n) {
    Targets t = { 0 };
    int r = 0;
    for (size_t i = 0; r >= 0 && i < container_findings_count(c); i++)
        if (c->findings->entries[i].finding->severity >= least)
            r = add_targets(&t, &c->findings->entries[i]);
    if (r < 0) {
        free(t.items);
        return r;
    }
    *ret = t.items;
    *ret_n = t.n;
    return 0;
}
