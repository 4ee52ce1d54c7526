/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Controls that a host may lack: what is refused, what is noted, what is told, and that it is in the record. */

#include "registry-fixture.h"

#include "container/record.h"

#include <fcntl.h>
#include <string.h>

static AppArmorHost *const some_apparmor = (AppArmorHost *) &fakes;
static SELinuxHost *const some_selinux = (SELinuxHost *) &fakes;

/* A host with everything but the two modules. */
static ContainerEnvironment environment(void) {
    fakes.pids_missing = fakes.storage_missing = NULL;
    return (ContainerEnvironment){ .apparmor_missing = "no AppArmor here", .selinux_missing = "no SELinux here" };
}

static ContainerSpec *spec_new(void) {
    ContainerSpec *s = fixture_spec(1000, "x", "true");
    s->limits.cgroup.pids = 10;
    s->limits.storage.bytes = 1 << 20;
    return s;
}

static void decided(const ContainerEnvironment *e, ContainerSpec *s) {
    Error error = ERROR_INIT;
    if (container_controls_decide(e, s, &error) < 0)
        fail_msg("%s: %s", error.subject, error.message);
}

static void refused(const ContainerEnvironment *e, ContainerSpec *s, ErrorKind kind, const char *subject,
                    const char *words) {
    Error error = ERROR_INIT;
    assert_true(container_controls_decide(e, s, &error) < 0);
    if (error.kind != kind || strcmp(error.subject, subject) != 0 || !strstr(error.message, words))
        fail_msg("expected %s: %s, got %s: %s", subject, words, error.subject, error.message);
    if (kind == ERROR_HARDENING_FAILED)
        assert_int_equal(error.code, EOPNOTSUPP);
}

static void test_names(void **state) {
    char names[128];
    for (ControlKind k = 0; k < _CONTROL_MAX; k++)
        assert_int_equal(control_from_name(control_name(k)), k);
    assert_int_equal(control_from_name("Seccomp"), -EINVAL);
    assert_int_equal(control_from_name(""), -EINVAL);
    control_names(names, sizeof(names));
    assert_string_equal(names, "apparmor, selinux, label, seccomp, devices, storage, pids");
    assert_int_equal(control_mode_from_string("required"), CONTROL_REQUIRED);
    assert_int_equal(control_mode_from_string("bestEffort"), CONTROL_BEST_EFFORT);
    assert_int_equal(control_mode_from_string("best-effort"), CONTROL_MODE_UNSET);
    assert_null(control_mode_to_string(CONTROL_MODE_UNSET));
}

static void test_defaults(void **state) {
    static const ControlMode defaults[_CONTROL_MAX] = {
        [CONTROL_APPARMOR] = CONTROL_BEST_EFFORT, [CONTROL_SELINUX] = CONTROL_BEST_EFFORT,
        [CONTROL_LABEL] = CONTROL_BEST_EFFORT,    [CONTROL_SECCOMP] = CONTROL_REQUIRED,
        [CONTROL_DEVICES] = CONTROL_REQUIRED,     [CONTROL_STORAGE] = CONTROL_BEST_EFFORT,
        [CONTROL_PIDS] = CONTROL_BEST_EFFORT,
    };
    ContainerEnvironment e = environment();
    _cleanup_(container_spec_freep) ContainerSpec *s = spec_new();
    decided(&e, s);
    for (ControlKind k = 0; k < _CONTROL_MAX; k++) {
        assert_int_equal(s->controls[k].mode, defaults[k]);
        assert_int_equal(container_controls_mode(&e, k), defaults[k]);
        assert_false(s->controls[k].declined);
        assert_int_equal(s->controls[k].absent[0] != 0, k <= CONTROL_LABEL);
    }
    assert_string_equal(s->controls[CONTROL_APPARMOR].absent, "no AppArmor here");
    assert_string_equal(s->controls[CONTROL_LABEL].absent, "apparmor: no AppArmor here; selinux: no SELinux here");
}

/* By the configuration, by the call, and by nobody but the default. */
static void test_required_and_missing(void **state) {
    static const struct {
        ControlKind kind;
        const char *reason;
    } rows[] = {
        { CONTROL_APPARMOR, "no AppArmor here" }, { CONTROL_SELINUX, "no SELinux here" },
        { CONTROL_LABEL, "no SELinux here" },     { CONTROL_DEVICES, "no BPF here" },
        { CONTROL_STORAGE, "no quota here" },     { CONTROL_PIDS, "no pids here" },
    };
    for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
        ControlKind k = rows[i].kind;
        char key[64];
        (void) snprintf(key, sizeof(key), "by the configuration (control-%s)", control_name(k));
        ContainerEnvironment e = environment();
        e.devices_missing = k == CONTROL_DEVICES ? "no BPF here" : NULL;
        fakes.storage_missing = k == CONTROL_STORAGE ? "no quota here" : NULL;
        fakes.pids_missing = k == CONTROL_PIDS ? "no pids here" : NULL;
        _cleanup_(container_spec_freep) ContainerSpec *s = spec_new(), *t = spec_new(), *u = spec_new();
        if (k == CONTROL_DEVICES)
            refused(&e, s, ERROR_HARDENING_FAILED, control_name(k), "required by default");
        t->controls[k].mode = CONTROL_REQUIRED;
        refused(&e, t, ERROR_HARDENING_FAILED, control_name(k), "required by the call");
        e.control_modes[k] = CONTROL_REQUIRED;
        refused(&e, u, ERROR_HARDENING_FAILED, control_name(k), key);
        refused(&e, u, ERROR_HARDENING_FAILED, control_name(k), rows[i].reason);
        u->controls[k].mode = CONTROL_BEST_EFFORT; /* what root alone gets through the parser */
        decided(&e, u);
        assert_int_equal(u->controls[k].mode, CONTROL_BEST_EFFORT);
        assert_non_null(strstr(u->controls[k].absent, rows[i].reason));
    }
    fakes.pids_missing = fakes.storage_missing = NULL;
}

/* There is nothing that would have to be held to a size. */
static void test_no_layer(void **state) {
    ContainerEnvironment e = environment();
    _cleanup_(container_spec_freep) ContainerSpec *s = spec_new();
    fakes.storage_missing = "no quota here";
    s->sandbox.read_only = true;
    s->limits.storage.bytes = STORAGE_LIMIT_NONE;
    s->controls[CONTROL_STORAGE].mode = CONTROL_REQUIRED;
    decided(&e, s);
    assert_int_equal(s->controls[CONTROL_STORAGE].mode, CONTROL_REQUIRED);
    assert_string_equal(s->controls[CONTROL_STORAGE].absent, "");
    fakes.storage_missing = NULL;
}

static void decline(ContainerSpec *s, ControlKind k) {
    s->apparmor_unconfined = k == CONTROL_APPARMOR || k == CONTROL_LABEL;
    s->label_disabled = k == CONTROL_SELINUX || k == CONTROL_LABEL;
    s->seccomp_unconfined = k == CONTROL_SECCOMP;
    if (k == CONTROL_STORAGE)
        s->limits.storage.bytes = STORAGE_LIMIT_NONE;
    if (k == CONTROL_PIDS)
        s->limits.cgroup.pids = CGROUP_LIMIT_NONE;
}

/* Against a default that is enough; not against what the configuration or the call itself says. */
static void test_declined(void **state) {
    static const struct {
        ControlKind kind;
        const char *field, *reason;
    } rows[] = {
        { CONTROL_APPARMOR, "apparmorProfile", "root asked for none" },
        { CONTROL_SELINUX, "label.disable", "root asked for none" },
        { CONTROL_LABEL, "label", "apparmor: root asked for none; selinux: root asked for none" },
        { CONTROL_SECCOMP, "seccompProfile", "root asked for none" },
        { CONTROL_STORAGE, "limits.disk", "no limit was asked for" },
        { CONTROL_PIDS, "limits.pids", "no limit was asked for" },
    };
    for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
        ControlKind k = rows[i].kind;
        ContainerEnvironment e = environment();
        e.apparmor = some_apparmor;
        e.selinux = some_selinux;
        _cleanup_(container_spec_freep) ContainerSpec *s = spec_new(), *t = spec_new(), *u = spec_new();
        decline(s, k);
        decided(&e, s);
        assert_int_equal(s->controls[k].mode, CONTROL_BEST_EFFORT);
        assert_true(s->controls[k].declined);
        assert_string_equal(s->controls[k].absent, rows[i].reason);
        decline(t, k);
        t->controls[k].mode = CONTROL_REQUIRED;
        refused(&e, t, ERROR_INVALID_SPEC, rows[i].field, "required by the call");
        decline(u, k);
        e.control_modes[k] = CONTROL_REQUIRED;
        refused(&e, u, ERROR_INVALID_SPEC, rows[i].field, "required by the configuration");
    }
}

static void describe_is(const ContainerSpec *s, const char *expected) {
    char text[CONTROL_MESSAGE_MAX];
    container_controls_describe(s, text);
    assert_string_equal(text, expected);
}

static void test_what_is_told(void **state) {
    ContainerEnvironment e = environment();
    _cleanup_(container_spec_freep) ContainerSpec *s = spec_new(), *t = spec_new(), *u = spec_new(), *v = spec_new();
    decided(&e, s);
    describe_is(s, "apparmor: no AppArmor here; selinux: no SELinux here");
    /* one module is enough, and limits that nobody wanted are nothing to speak of */
    e.selinux = some_selinux;
    t->limits.cgroup.pids = CGROUP_LIMIT_NONE;
    decided(&e, t);
    assert_string_equal(t->controls[CONTROL_APPARMOR].absent, "no AppArmor here");
    describe_is(t, "");
    fakes.pids_missing = "no pids here";
    u->seccomp_unconfined = true;
    decided(&e, u);
    describe_is(u, "seccomp: root asked for none; pids: no pids here");
    fakes.pids_missing = NULL;
    /* the longest reasons that there are fit, cut */
    char reason[384];
    memset(reason, 'x', sizeof(reason) - 1);
    reason[sizeof(reason) - 1] = 0;
    e = environment();
    e.apparmor_missing = e.selinux_missing = e.devices_missing = fakes.pids_missing = fakes.storage_missing = reason;
    v->controls[CONTROL_DEVICES].mode = CONTROL_BEST_EFFORT;
    decided(&e, v);
    char text[CONTROL_MESSAGE_MAX];
    container_controls_describe(v, text);
    assert_true(strlen(text) < sizeof(text));
    fakes.pids_missing = fakes.storage_missing = NULL;
}

/* A container without them: the event of its start says so; the next daemon knows all of it. */
static void test_life(void **state) {
    Fixture *f = *state;
    Container *c = fixture_run(f, "x", "exec sleep 100");
    const ContainerEvent *e = container_events_after(container_registry_events(f->registry), 0);
    assert_int_equal(e->kind, CONTAINER_EVENT_CREATED);
    e = container_events_after(container_registry_events(f->registry), e->serial);
    assert_int_equal(e->kind, CONTAINER_EVENT_STARTED);
    assert_string_equal(e->message, "without apparmor: the host has no AppArmor; selinux: the host has no SELinux");
    assert_null(container_events_after(container_registry_events(f->registry), e->serial));

    char path[64];
    (void) snprintf(path, sizeof(path), "containers/%s", container_id(c));
    _cleanup_fd_ int fd = openat(f->state_fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    _cleanup_(container_record_freep) ContainerRecord *r = NULL;
    assert_int_equal(container_record_read(fd, &r, NULL), 0);
    for (ControlKind k = 0; k < _CONTROL_MAX; k++) {
        assert_int_equal(r->spec->controls[k].mode, container_spec(c)->controls[k].mode);
        assert_string_equal(r->spec->controls[k].absent, container_spec(c)->controls[k].absent);
    }
}

/* Before anything is made. */
static void test_refused_start(void **state) {
    Fixture *f = *state;
    ContainerSpec *s = fixture_spec(1000, "x", "true");
    s->controls[CONTROL_LABEL].mode = CONTROL_REQUIRED;
    assert_int_equal(fixture_start_error(f, s), ERROR_HARDENING_FAILED);
    assert_int_equal(container_events_last(container_registry_events(f->registry)), 0);
    fixture_expect_nothing_left(f);
}

static void test_update(void **state) {
    _cleanup_(container_spec_freep) ContainerSpec *s = spec_new();
    ContainerEnvironment e = environment();
    Error error = ERROR_INIT;
    s->controls[CONTROL_PIDS].mode = CONTROL_REQUIRED;
    decided(&e, s);
    ContainerLimits l = s->limits;
    l.storage.bytes = STORAGE_LIMIT_NONE;
    l.cgroup.pids = 11;
    assert_int_equal(container_controls_check_limits(s, &l, &error), 0);
    l.cgroup.pids = CGROUP_LIMIT_NONE;
    assert_true(container_controls_check_limits(s, &l, &error) < 0);
    assert_int_equal(error.kind, ERROR_INVALID_SPEC);
    assert_string_equal(error.subject, "limits.pids");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),    cmocka_unit_test(test_defaults),  cmocka_unit_test(test_required_and_missing),
        cmocka_unit_test(test_no_layer), cmocka_unit_test(test_declined),  cmocka_unit_test(test_what_is_told),
        FIXTURE_TEST(test_life),         FIXTURE_TEST(test_refused_start), cmocka_unit_test(test_update),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
