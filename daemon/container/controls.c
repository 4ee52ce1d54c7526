/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * See controls.h. Everything goes by one table: what a control is called, its default, how it is asked whether the host has
 * it and whether the container goes without it of its own accord.
 *
 * What is required because nobody said anything gives way to root, who asks for none in so many words
 * (seccompProfile "unconfined"). What the configuration or the call itself requires does not: there the call contradicts
 * somebody, and has to say that it means it.
 */

#include "container/controls.h"

#include "container/internal.h"

#include <fcntl.h>
#include <string.h>

typedef struct ControlInfo {
    const char *name;
    ControlMode mode;
    /* Why the host has none; NULL: it has. REASON is room for those who have to put it together. */
    const char *(*missing)(const ContainerEnvironment *e, char reason[CONTROL_REASON_MAX]);
    /* The container has been asked to go without, or has nothing that it could hold. NULL: cannot be */
    bool (*is_declined)(const ContainerSpec *s);
    bool (*is_needless)(const ContainerSpec *s);
    const char *field; /* by which it was declined */
    bool is_limit;     /* that there is none is what was asked for, and nothing to raise the alarm about */
} ControlInfo;

static const char *reason_or(const char *reason, const char *otherwise) {
    return reason && reason[0] ? reason : otherwise;
}

static const char *missing_apparmor(const ContainerEnvironment *e, char reason[CONTROL_REASON_MAX]) {
    return e->apparmor ? NULL : reason_or(e->apparmor_missing, "the host has no AppArmor");
}

static const char *missing_selinux(const ContainerEnvironment *e, char reason[CONTROL_REASON_MAX]) {
    return e->selinux ? NULL : reason_or(e->selinux_missing, "the host has no SELinux");
}

/* Both reasons, the first one cut where they are too long. */
static const char *both_reasons(const char *apparmor, const char *selinux, char reason[CONTROL_REASON_MAX]) {
    (void) snprintf(reason, CONTROL_REASON_MAX, "apparmor: %.80s; selinux: %.90s", apparmor, selinux);
    return reason;
}

static const char *missing_label(const ContainerEnvironment *e, char reason[CONTROL_REASON_MAX]) {
    const char *apparmor = missing_apparmor(e, reason), *selinux = missing_selinux(e, reason);
    return apparmor && selinux ? both_reasons(apparmor, selinux, reason) : NULL;
}

/* Without its filters kenneld does not start. */
static const char *missing_seccomp(const ContainerEnvironment *e, char reason[CONTROL_REASON_MAX]) {
    return NULL;
}

static const char *missing_devices(const ContainerEnvironment *e, char reason[CONTROL_REASON_MAX]) {
    return e->devices_missing;
}

static const char *missing_storage(const ContainerEnvironment *e, char reason[CONTROL_REASON_MAX]) {
    if (storage_host_kind(e->storage) != STORAGE_DIRECTORY)
        return NULL;
    return reason_or(storage_host_missing(e->storage), "a writable layer is a plain directory here");
}

static const char *missing_pids(const ContainerEnvironment *e, char reason[CONTROL_REASON_MAX]) {
    return cgroup_hierarchies_missing(e->hierarchies, CGROUP_PIDS);
}

static bool declines_apparmor(const ContainerSpec *s) {
    return s->apparmor_unconfined;
}

static bool declines_selinux(const ContainerSpec *s) {
    return s->label_disabled;
}

static bool declines_seccomp(const ContainerSpec *s) {
    return s->seccomp_unconfined;
}

static bool declines_storage(const ContainerSpec *s) {
    return s->limits.storage.bytes == STORAGE_LIMIT_NONE;
}

static bool declines_pids(const ContainerSpec *s) {
    return s->limits.cgroup.pids == CGROUP_LIMIT_NONE;
}

static bool has_no_layer(const ContainerSpec *s) {
    return s->sandbox.read_only;
}

/* CONTROL_LABEL comes after those that it is made of; what it is follows from them. */
static const ControlInfo controls[_CONTROL_MAX] = {
    [CONTROL_APPARMOR] = { "apparmor", CONTROL_BEST_EFFORT, missing_apparmor, declines_apparmor, NULL,
                           "apparmorProfile", false },
    [CONTROL_SELINUX] = { "selinux", CONTROL_BEST_EFFORT, missing_selinux, declines_selinux, NULL, "label.disable",
                          false },
    [CONTROL_LABEL] = { "label", CONTROL_BEST_EFFORT, missing_label, NULL, NULL, "label", false },
    [CONTROL_SECCOMP] = { "seccomp", CONTROL_REQUIRED, missing_seccomp, declines_seccomp, NULL, "seccompProfile",
                          false },
    [CONTROL_DEVICES] = { "devices", CONTROL_REQUIRED, missing_devices, NULL, NULL, "controls", false },
    [CONTROL_STORAGE] = { "storage", CONTROL_BEST_EFFORT, missing_storage, declines_storage, has_no_layer,
                          "limits.disk", true },
    [CONTROL_PIDS] = { "pids", CONTROL_BEST_EFFORT, missing_pids, declines_pids, NULL, "limits.pids", true },
};

const char *control_name(ControlKind k) {
    return controls[k].name;
}

int control_from_name(const char *name) {
    for (ControlKind k = 0; k < _CONTROL_MAX; k++)
        if (strcmp(controls[k].name, name) == 0)
            return (int) k;
    return -EINVAL;
}

void control_names(char *ret, size_t size) {
    size_t n = 0;
    ret[0] = 0;
    for (ControlKind k = 0; k < _CONTROL_MAX && n < size; k++)
        n += (size_t) snprintf(ret + n, size - n, "%s%s", k > 0 ? ", " : "", controls[k].name);
}

static const char *const modes[_CONTROL_MODE_MAX] = {
    [CONTROL_REQUIRED] = "required",
    [CONTROL_BEST_EFFORT] = "bestEffort",
};

const char *control_mode_to_string(ControlMode m) {
    return m < _CONTROL_MODE_MAX ? modes[m] : NULL;
}

ControlMode control_mode_from_string(const char *s) {
    for (ControlMode m = CONTROL_REQUIRED; m < _CONTROL_MODE_MAX; m++)
        if (strcmp(modes[m], s) == 0)
            return m;
    return CONTROL_MODE_UNSET;
}

ControlMode container_controls_mode(const ContainerEnvironment *e, ControlKind k) {
    return e->control_modes[k] != CONTROL_MODE_UNSET ? e->control_modes[k] : controls[k].mode;
}

const char *container_controls_missing(const ContainerEnvironment *e, ControlKind k, char reason[CONTROL_REASON_MAX]) {
    return controls[k].missing(e, reason);
}

/* "the configuration (control-apparmor)" */
static const char *who_requires(const ContainerEnvironment *e, ControlKind k, const ContainerControl *c,
                                char text[64]) {
    if (c->mode != CONTROL_MODE_UNSET)
        return "the call";
    if (e->control_modes[k] == CONTROL_MODE_UNSET)
        return "default";
    (void) snprintf(text, 64, "the configuration (control-%s)", controls[k].name);
    return text;
}

static int refuse_missing(ControlKind k, const char *who, const char *reason, Error *reterr) {
    return error_set(reterr, ERROR_HARDENING_FAILED, EOPNOTSUPP, controls[k].name,
                     "it is required by %s, and missing on this host: %s. A host that has it is needed, or the mode "
                     "best-effort",
                     who, reason);
}

static int refuse_declined(ControlKind k, const char *who, Error *reterr) {
    return error_invalid(reterr, controls[k].field,
                         "asks to go without %s, which is required by %s; for that the same call has to make %s "
                         "best-effort",
                         controls[k].name, who, controls[k].name);
}

static void note(ContainerControl *c, bool declined, const char *reason) {
    c->declined = declined;
    (void) snprintf(c->absent, sizeof(c->absent), "%s", reason);
}

/* Absent if both are: then one reason for it is one of theirs. */
static bool declines_label(const ContainerSpec *s) {
    const ContainerControl *apparmor = &s->controls[CONTROL_APPARMOR], *selinux = &s->controls[CONTROL_SELINUX];
    return apparmor->absent[0] && selinux->absent[0] && (apparmor->declined || selinux->declined);
}

static int decide(const ContainerEnvironment *e, ControlKind k, ContainerSpec *spec, Error *reterr) {
    const ControlInfo *info = &controls[k];
    ContainerControl *c = &spec->controls[k];
    ControlMode said = c->mode != CONTROL_MODE_UNSET ? c->mode : e->control_modes[k];
    ControlMode mode = said != CONTROL_MODE_UNSET ? said : info->mode;
    char text[64], reason[CONTROL_REASON_MAX];
    const char *who = who_requires(e, k, c, text), *missing = info->missing(e, reason);
    if (info->is_needless && info->is_needless(spec)) {
        c->mode = mode;
        return 0;
    }
    if (missing && mode == CONTROL_REQUIRED)
        return refuse_missing(k, who, missing, reterr);
    bool declined =
        !missing && (k == CONTROL_LABEL ? declines_label(spec) : info->is_declined && info->is_declined(spec));
    if (declined && said == CONTROL_REQUIRED)
        return refuse_declined(k, who, reterr);
    c->mode = declined ? CONTROL_BEST_EFFORT : mode;
    if (declined && k == CONTROL_LABEL)
        missing = both_reasons(spec->controls[CONTROL_APPARMOR].absent, spec->controls[CONTROL_SELINUX].absent, reason);
    else if (declined)
        missing = info->is_limit ? "no limit was asked for" : "root asked for none";
    if (missing)
        note(c, declined, missing);
    return 0;
}

int container_controls_decide(const ContainerEnvironment *e, ContainerSpec *spec, Error *reterr) {
    for (ControlKind k = 0; k < _CONTROL_MAX; k++) {
        int r = decide(e, k, spec, reterr);
        if (r < 0)
            return r;
    }
    return 0;
}

int container_controls_check_limits(const ContainerSpec *spec, const ContainerLimits *limits, Error *reterr) {
    const struct {
        ControlKind kind;
        uint64_t former, now;
    } rows[] = {
        { CONTROL_STORAGE, spec->limits.storage.bytes, limits->storage.bytes },
        { CONTROL_PIDS, spec->limits.cgroup.pids, limits->cgroup.pids },
    };
    for (size_t i = 0; i < ELEMENTSOF(rows); i++)
        if (spec->controls[rows[i].kind].mode == CONTROL_REQUIRED && rows[i].now == CONTAINER_LIMIT_NONE &&
            rows[i].former != CONTAINER_LIMIT_NONE)
            return error_invalid(reterr, controls[rows[i].kind].field,
                                 "is to be none, and the container was started with %s=required; a limit is expected",
                                 controls[rows[i].kind].name);
    return 0;
}

/* Of the two modules, what counts is whether there is either. */
static bool is_told(const ContainerSpec *spec, ControlKind k) {
    const ContainerControl *c = &spec->controls[k];
    return c->absent[0] && k != CONTROL_APPARMOR && k != CONTROL_SELINUX && !(controls[k].is_limit && c->declined);
}

void container_controls_describe(const ContainerSpec *spec, char ret[CONTROL_MESSAGE_MAX]) {
    size_t n = 0;
    ret[0] = 0;
    for (ControlKind k = 0; k < _CONTROL_MAX && n < CONTROL_MESSAGE_MAX; k++) {
        if (!is_told(spec, k))
            continue;
        const char *separator = n > 0 ? "; " : "", *absent = spec->controls[k].absent;
        /* its reason names the modules itself */
        int length = k == CONTROL_LABEL
                         ? snprintf(ret + n, CONTROL_MESSAGE_MAX - n, "%s%s", separator, absent)
                         : snprintf(ret + n, CONTROL_MESSAGE_MAX - n, "%s%s: %s", separator, controls[k].name, absent);
        n += (size_t) length;
    }
}

/* What the kernel has for a process that has no label of Kennel's: the host's, if it has any. */
static void read_label(ControlKind k, int pid, char ret[CHECK_TEXT_MAX]) {
    char path[32], label[CONTROL_REASON_MAX];
    (void) snprintf(path, sizeof(path), "/proc/%d", pid);
    _cleanup_fd_ int fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    int r = fd < 0                  ? -errno
            : k == CONTROL_APPARMOR ? apparmor_read(fd, label, sizeof(label))
                                    : selinux_read(fd, label, sizeof(label));
    if (r < 0 || strcmp(label, "unconfined") == 0)
        (void) snprintf(ret, CHECK_TEXT_MAX, "none");
    else
        (void) snprintf(ret, CHECK_TEXT_MAX, "none of Kennel's: %.170s", label);
}

/* More than was to be there is no difference. */
static void attest_one(const ContainerEnvironment *e, ControlKind k, const ContainerControl *c, int pid,
                       CheckList *checks) {
    char expected[CHECK_TEXT_MAX], found[CHECK_TEXT_MAX], reason[CONTROL_REASON_MAX];
    if (k == CONTROL_APPARMOR || k == CONTROL_SELINUX)
        read_label(k, pid, found);
    else
        (void) snprintf(found, sizeof(found), "%s",
                        container_controls_missing(e, k, reason) ? "none" : "the host has it");
    (void) snprintf(expected, sizeof(expected), "none: best-effort, %.170s", c->absent);
    check_add_verdict(checks, controls[k].name, true, expected, found);
}

/* What was declined has a row already: the mode of seccomp, a limit. The label's are those of the two modules. */
void container_controls_attest(const Container *c, int pid, CheckList *checks) {
    for (ControlKind k = 0; k < _CONTROL_MAX; k++) {
        const ContainerControl *control = &c->spec->controls[k];
        if (control->absent[0] && !control->declined && k != CONTROL_LABEL)
            attest_one(&c->registry->environment, k, control, pid, checks);
    }
}
