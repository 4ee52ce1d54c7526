/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Containers from their start to their removal: names, quotas, signals, exec, failures, the order of events. */

#include "registry-fixture.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>

static const ContainerEvent *next_event(Fixture *f, const ContainerEvent *e) {
    return container_events_after(container_registry_events(f->registry), e ? e->serial : 0);
}

static void expect_events(Fixture *f, const ContainerEventKind *kinds, size_t n) {
    const ContainerEvent *e = NULL;
    for (size_t i = 0; i < n; i++) {
        e = next_event(f, e);
        assert_non_null(e);
        assert_int_equal(e->kind, kinds[i]);
    }
    assert_null(next_event(f, e));
}
#define EXPECT_EVENTS(f, ...)                                                                                          \
    do {                                                                                                               \
        const ContainerEventKind kinds[] = { __VA_ARGS__ };                                                            \
        expect_events(f, kinds, ELEMENTSOF(kinds));                                                                    \
    } while (0)

static void test_life(void **state) {
    Fixture *f = *state;
    Container *c = fixture_start(f, fixture_spec(1000, "one", "echo out; echo err >&2; exit 3"));
    assert_int_equal(container_state(c), CONTAINER_CREATED);
    assert_int_equal(strlen(container_id(c)), CONTAINER_ID_LENGTH);
    assert_int_equal(container_pid(c), 0);
    fixture_run_until(f, &f->n_notices, 2);
    assert_int_equal(f->notices[0], CONTAINER_NOTICE_STARTED);
    assert_int_equal(f->notices[1], CONTAINER_NOTICE_EXITED);
    assert_int_equal(container_state(c), CONTAINER_EXITED);
    assert_int_equal(container_exit(c)->process.code, 3);
    assert_false(container_exit(c)->oom_killed);
    assert_true(container_started_usec(c) >= container_created_usec(c));
    assert_int_equal(container_uid(c), 7);
    /* the log is complete when EXITED is told */
    _cleanup_(container_log_reader_freep) ContainerLogReader *r = NULL;
    assert_int_equal(container_log_reader_new(container_log(c), SIZE_MAX, NULL, NULL, &r, NULL), 0);
    ContainerLogEntry e;
    assert_int_equal(container_log_reader_next(r, &e), 1);
    assert_int_equal(container_log_reader_next(r, &e), 1);
    assert_int_equal(container_log_reader_next(r, &e), 0);
    fixture_remove(f, c, false);
    assert_int_equal(f->notices[2], CONTAINER_NOTICE_REMOVED);
    assert_null(f->watch.container);
    EXPECT_EVENTS(f, CONTAINER_EVENT_CREATED, CONTAINER_EVENT_STARTED, CONTAINER_EVENT_EXITED, CONTAINER_EVENT_REMOVED);
    fixture_expect_nothing_left(f);
    assert_int_equal(fakes.program.n_ref, 0);
}

static void test_removes_itself(void **state) {
    Fixture *f = *state;
    ContainerSpec *s = fixture_spec(1000, NULL, "true");
    s->remove = true;
    (void) fixture_start(f, s);
    fakes.oom_kills = 1;
    fixture_run_until(f, &f->n_notices, 3);
    assert_int_equal(f->notices[1], CONTAINER_NOTICE_EXITED);
    assert_int_equal(f->notices[2], CONTAINER_NOTICE_REMOVED);
    EXPECT_EVENTS(f, CONTAINER_EVENT_CREATED, CONTAINER_EVENT_STARTED, CONTAINER_EVENT_OOM, CONTAINER_EVENT_EXITED,
                  CONTAINER_EVENT_REMOVED);
    fixture_expect_nothing_left(f);
}

static void expect_failed_start(Fixture *f, ContainerSpec *s, ErrorKind kind, const char *subject) {
    (void) fixture_start(f, s);
    fixture_run_until(f, &f->n_notices, 1);
    assert_int_equal(f->notices[0], CONTAINER_NOTICE_FAILED);
    assert_int_equal(f->error.kind, kind);
    assert_string_equal(f->error.subject, subject);
    fixture_expect_nothing_left(f);
    assert_int_equal(fakes.program.n_ref, 0);
}

static void test_failed_start(void **state) {
    Fixture *f = *state;
    fakes.spawn_error = EPERM;
    expect_failed_start(f, fixture_spec(1000, "x", "true"), ERROR_HARDENING_FAILED, "mounts");
    EXPECT_EVENTS(f, CONTAINER_EVENT_CREATED, CONTAINER_EVENT_FAILED);
    fakes.spawn_error = 0;
    ContainerSpec *s = fixture_spec(1000, "x", "true");
    s->seccomp_profile = strdup("bad");
    expect_failed_start(f, s, ERROR_INVALID_SPEC, "seccompProfile");
    s = fixture_spec(1000, "x", "true");
    s->limits.cgroup.memory = 1;
    expect_failed_start(f, s, ERROR_LIMIT_UNAVAILABLE, "memory");
}

/* The fake lets the program run only after it has passed. */
static void test_failed_attestation(void **state) {
    Fixture *f = *state;
    char path[128], script[160];
    (void) snprintf(path, sizeof(path), "%s/canary", f->directory);
    (void) snprintf(script, sizeof(script), "touch %s", path);
    fakes.attest_differs = true;
    /* whoever reads the journal is told louder than of what merely failed */
    int said = memfd_create("stderr", MFD_CLOEXEC), kept = dup(STDERR_FILENO);
    assert_int_equal(dup2(said, STDERR_FILENO), STDERR_FILENO);
    expect_failed_start(f, fixture_spec(1000, "x", script), ERROR_HARDENING_FAILED, "attestation");
    char text[1024] = "";
    assert_true(pread(said, text, sizeof(text) - 1, 0) > 0);
    assert_int_equal(dup2(kept, STDERR_FILENO), STDERR_FILENO);
    (void) close(kept);
    (void) close(said);
    assert_non_null(strstr(text, "warning: Container "));
    assert_non_null(strstr(f->error.message, "noNewPrivs was to be \"1\", and the kernel says \"0\""));
    EXPECT_EVENTS(f, CONTAINER_EVENT_CREATED, CONTAINER_EVENT_FAILED);
    fakes.attest_differs = false;
    fakes.attest_error = ESRCH;
    expect_failed_start(f, fixture_spec(1000, "x", script), ERROR_HARDENING_FAILED, "attestation");
    fakes.attest_error = 0;
    assert_int_equal(fakes.n_attested, 2);
    assert_int_equal(access(path, F_OK), -1);
    assert_int_equal(errno, ENOENT);
}

static void test_names(void **state) {
    Fixture *f = *state;
    Container *a = fixture_run(f, "web", "exec sleep 100");
    Container *b = fixture_start(f, fixture_spec(2000, "web", "exec sleep 100"));
    fixture_run_until(f, &f->n_notices, 1);
    Container *n = fixture_start(f, fixture_spec(1000, container_id(b), "exec sleep 100"));
    fixture_run_until(f, &f->n_notices, 1);
    assert_int_equal(fixture_start_error(f, fixture_spec(1000, "web", "true")), ERROR_CONTAINER_EXISTS);
    assert_ptr_equal(fixture_find(f, 1000, "web", NULL), a);
    assert_ptr_equal(fixture_find(f, 2000, "web", NULL), b);
    ErrorKind hidden, absent, ambiguous;
    assert_null(fixture_find(f, 2000, container_id(a), &hidden));
    assert_null(fixture_find(f, 2000, "000000000000", &absent));
    assert_int_equal(hidden, ERROR_NO_SUCH_CONTAINER);
    assert_int_equal(absent, ERROR_NO_SUCH_CONTAINER);
    /* root: two of that name; and an id is never a name that somebody chose */
    assert_null(fixture_find(f, 0, "web", &ambiguous));
    assert_int_equal(ambiguous, ERROR_NO_SUCH_CONTAINER);
    assert_ptr_equal(fixture_find(f, 0, container_id(b), NULL), b);
    assert_ptr_equal(fixture_find(f, 1000, container_id(b), NULL), n);
    char prefix[CONTAINER_ID_LENGTH];
    (void) snprintf(prefix, sizeof(prefix), "%.11s", container_id(a));
    assert_ptr_equal(fixture_find(f, 0, prefix, NULL), a);
    assert_null(fixture_find(f, 2000, prefix, NULL));
    assert_null(fixture_find(f, 2000, "", NULL));
    assert_string_equal(container_spec(a)->sandbox.hostname, "web");
    assert_string_equal(strv_env_get(container_spec(a)->sandbox.program.environment, "HOSTNAME"), "web");
}

static void test_quotas(void **state) {
    Fixture *f = *state;
    fakes.spawn_usec = 100000;
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(
            container_start(f->registry, fixture_spec(1000, NULL, "exec sleep 100"), NULL, NULL, NULL, NULL), 0);
    assert_int_equal(fixture_start_error(f, fixture_spec(1000, NULL, "true")), ERROR_QUOTA_EXCEEDED);
    /* another has a quota of its own; the pool has four ranges */
    (void) fixture_start(f, fixture_spec(2000, NULL, "exec sleep 100"));
    assert_int_equal(fixture_start_error(f, fixture_spec(2000, NULL, "true")), ERROR_QUOTA_EXCEEDED);
    fixture_run_until(f, &f->n_notices, 1);
    Container *first = container_next(f->registry, NULL);
    assert_int_equal(fixture_start_error(f, fixture_spec(1000, NULL, "true")), ERROR_QUOTA_EXCEEDED);
    fixture_remove(f, first, true);
    fakes.spawn_usec = 0;
    (void) fixture_run(f, NULL, "exec sleep 100");
    /* no two have the same ids */
    for (Container *c = container_next(f->registry, NULL); c; c = container_next(f->registry, c)) {
        uint32_t base = container_spec(c)->sandbox.id_base;
        assert_int_equal(base % SANDBOX_ID_COUNT, 0);
        for (Container *d = container_next(f->registry, c); d; d = container_next(f->registry, d))
            assert_int_not_equal(base, container_spec(d)->sandbox.id_base);
    }
}

static void test_kill(void **state) {
    Fixture *f = *state;
    Container *c = fixture_run(f, "x", "exec sleep 100");
    Error error = ERROR_INIT;
    assert_true(container_remove(c, false, NULL, NULL, &error) < 0);
    assert_int_equal(error.kind, ERROR_STILL_RUNNING);
    assert_int_equal(container_kill(c, SIGKILL, NULL), 0);
    fixture_run_until(f, &f->n_notices, 2);
    assert_int_equal(container_exit(c)->process.code, 128 + SIGKILL);
    assert_int_equal(container_exit(c)->process.signal, SIGKILL);
    assert_true(container_kill(c, SIGKILL, &error) < 0);
    assert_int_equal(error.kind, ERROR_NOT_RUNNING);
    assert_string_equal(error.subject, container_id(c));
    EXPECT_EVENTS(f, CONTAINER_EVENT_CREATED, CONTAINER_EVENT_STARTED, CONTAINER_EVENT_KILLED, CONTAINER_EVENT_EXITED);
}

/* What comes while it is being started is done when it has been. */
static void test_kill_while_starting(void **state) {
    Fixture *f = *state;
    fakes.spawn_usec = 50000;
    Container *c = fixture_start(f, fixture_spec(1000, "x", "exec sleep 100"));
    assert_int_equal(container_kill(c, SIGTERM, NULL), 0);
    fixture_run_until(f, &f->n_notices, 2);
    assert_int_equal(container_exit(c)->process.signal, SIGTERM);
    Container *d = fixture_start(f, fixture_spec(1000, "y", "exec sleep 100"));
    assert_int_equal(container_remove(d, true, fixture_on_done, f, NULL), 0);
    fixture_run_until(f, &f->n_done, 1);
    assert_true(f->done_ok);
    assert_int_equal(f->n_notices, 3);
    assert_int_equal(f->notices[2], CONTAINER_NOTICE_REMOVED);
    assert_null(fixture_find(f, 1000, "y", NULL));
}

static void test_stop(void **state) {
    Fixture *f = *state;
    Container *c = fixture_run(f, "x", "trap 'exit 9' TERM; while :; do sleep 0.01; done");
    usleep(100000); /* until the trap is set */
    assert_int_equal(container_stop(c, 10000000, NULL), 0);
    fixture_run_until(f, &f->n_notices, 2);
    assert_int_equal(container_exit(c)->process.code, 9);
    /* does not handle it: not worth waiting for */
    Container *d = fixture_run(f, "y", "exec sleep 100");
    assert_int_equal(container_stop(d, 100000000, NULL), 0);
    fixture_run_until(f, &f->n_notices, 2);
    assert_int_equal(container_exit(d)->process.signal, SIGKILL);
    /* handles it and goes on */
    Container *e = fixture_run(f, "z", "trap : TERM; while :; do sleep 0.01; done");
    usleep(100000);
    assert_int_equal(container_stop(e, 50000, NULL), 0);
    fixture_run_until(f, &f->n_notices, 2);
    assert_int_equal(container_exit(e)->process.signal, SIGKILL);
}

static void test_kill_process(void **state) {
    Fixture *f = *state;
    Container *c = fixture_run(f, "x", "exec sleep 100");
    pid_t stranger = fork();
    if (stranger == 0) {
        pause();
        _exit(0);
    }
    Error error = ERROR_INIT;
    assert_true(container_kill_process(c, stranger, 0, SIGKILL, &error) < 0);
    assert_int_equal(error.kind, ERROR_NO_SUCH_PROCESS);
    assert_true(container_kill_process(c, 0, stranger, SIGKILL, &error) < 0);
    assert_int_equal(error.kind, ERROR_NO_SUCH_PROCESS);
    assert_int_equal(waitpid(stranger, NULL, WNOHANG), 0);
    (void) kill(stranger, SIGKILL);
    (void) waitpid(stranger, NULL, 0);
    assert_true(container_kill_process(c, 0, stranger, SIGKILL, &error) < 0);
    /* no pid namespace here: the numbers are the same inside */
    assert_int_equal(container_kill_process(c, container_pid(c), 0, SIGUSR1, &error), 0);
    fixture_run_until(f, &f->n_notices, 2);
    assert_int_equal(container_exit(c)->process.signal, SIGUSR1);
}

static void test_pause(void **state) {
    Fixture *f = *state;
    Container *c = fixture_run(f, "x", "exec sleep 100");
    Error error = ERROR_INIT;
    assert_true(container_pause(c, false, fixture_on_done, f, &error) < 0);
    assert_int_equal(error.kind, ERROR_NOT_RUNNING);
    assert_int_equal(container_pause(c, true, fixture_on_done, f, NULL), 0);
    fixture_run_until(f, &f->n_done, 1);
    assert_true(f->done_ok);
    assert_int_equal(container_state(c), CONTAINER_PAUSED);
    assert_true(container_pause(c, true, fixture_on_done, f, &error) < 0);
    SandboxProgram p = SANDBOX_PROGRAM_INIT;
    ContainerExec *x = NULL;
    assert_true(container_exec(c, &p, NULL, NULL, NULL, &x, &error) < 0);
    assert_int_equal(error.kind, ERROR_NOT_RUNNING);
    assert_int_equal(container_pause(c, false, fixture_on_done, f, NULL), 0);
    fixture_run_until(f, &f->n_done, 2);
    assert_int_equal(container_state(c), CONTAINER_RUNNING);
    EXPECT_EVENTS(f, CONTAINER_EVENT_CREATED, CONTAINER_EVENT_STARTED, CONTAINER_EVENT_PAUSED, CONTAINER_EVENT_RESUMED);
}

typedef struct ExecState {
    unsigned n_started, n_exited;
    bool failed;
    ProcessExit exit;
} ExecState;

static void on_exec_started(ContainerExec *x, void *userdata, const Error *error) {
    ExecState *s = userdata;
    s->n_started++;
    s->failed = error;
}
static void on_exec_exited(ContainerExec *x, void *userdata, const ProcessExit *exit) {
    ExecState *s = userdata;
    s->n_exited++;
    s->exit = *exit;
    container_exec_release(x, false);
}
static SandboxProgram exec_program(const char *script) {
    SandboxProgram p = SANDBOX_PROGRAM_INIT;
    char *command[] = { (char *) "sh", (char *) "-c", (char *) script, NULL };
    char *environment[] = { (char *) "A=2", (char *) "B=3", NULL };
    p.command = strv_copy(command);
    p.environment = strv_copy(environment);
    return p;
}

static void test_exec(void **state) {
    Fixture *f = *state;
    Container *c = fixture_run(f, "x", "exec sleep 100");
    ExecState s = { 0 };
    ContainerExec *x = NULL;
    SandboxProgram p = exec_program("exit 5");
    assert_int_equal(container_exec(c, &p, on_exec_started, on_exec_exited, &s, &x, NULL), 0);
    fixture_run_until(f, &s.n_exited, 1);
    assert_int_equal(s.n_started, 1);
    assert_int_equal(s.exit.code, 5);
    assert_string_equal(fakes.exec_environment, "PATH=/usr/bin:/bin HOSTNAME=x A=2 B=3 ");
    assert_ptr_equal(fakes.exec_seccomp, &fakes.program);
    /* a caller who goes away before it has even been started */
    p = exec_program("exec sleep 100");
    fakes.spawn_usec = 20000;
    assert_int_equal(container_exec(c, &p, on_exec_started, on_exec_exited, &s, &x, NULL), 0);
    container_exec_release(x, true);
    /* one that fails */
    fakes.spawn_error = EPERM;
    p = exec_program("true");
    assert_int_equal(container_exec(c, &p, on_exec_started, on_exec_exited, &s, &x, NULL), 0);
    fixture_run_until(f, &s.n_started, 2);
    assert_true(s.failed);
    fakes.spawn_error = 0;
    /* one that is not as it should be: attested like the first process, and ended */
    unsigned n_attested = fakes.n_attested;
    fakes.attest_differs = true;
    s.failed = false;
    p = exec_program("true");
    assert_int_equal(container_exec(c, &p, on_exec_started, on_exec_exited, &s, &x, NULL), 0);
    fixture_run_until(f, &s.n_started, 3);
    assert_true(s.failed);
    assert_true(fakes.n_attested > n_attested); /* the one that was let go may be among them */
    fakes.attest_differs = false;
    assert_int_equal(s.n_exited, 1);
    fixture_remove(f, c, true);
    fixture_expect_nothing_left(f);
    for (unsigned i = 0; i < 100 && fakes.program.n_ref > 0; i++) /* until the last process has been reaped */
        (void) sd_event_run(f->environment.event, 10000);
    assert_int_equal(fakes.program.n_ref, 0);
}

/* Keys are compared whole; the order is the container's, then the caller's. */
static void test_exec_environment(void **state) {
    Fixture *f = *state;
    ContainerSpec *spec = fixture_spec(1000, "x", "exec sleep 100");
    strv_free(spec->sandbox.program.environment);
    char *base[] = { (char *) "Z=1", (char *) "AB=2", (char *) "A=3", (char *) "E==", (char *) "B=5", NULL };
    spec->sandbox.program.environment = strv_copy(base);
    Container *c = fixture_start(f, spec);
    fixture_run_until(f, &f->n_notices, 1);
    ExecState s = { 0 };
    SandboxProgram p = exec_program("exit 0");
    strv_free(p.environment);
    char *own[] = { (char *) "Y=", (char *) "ABC=6", (char *) "B=7", (char *) "A==", (char *) "E=", NULL };
    p.environment = strv_copy(own);
    assert_int_equal(container_exec(c, &p, on_exec_started, on_exec_exited, &s, NULL, NULL), 0);
    fixture_run_until(f, &s.n_exited, 1);
    assert_string_equal(fakes.exec_environment, "Z=1 AB=2 HOSTNAME=x Y= ABC=6 B=7 A== E= ");
    p = exec_program("exit 0");
    p.environment = strv_free(p.environment);
    assert_int_equal(container_exec(c, &p, on_exec_started, on_exec_exited, &s, NULL, NULL), 0);
    fixture_run_until(f, &s.n_exited, 2);
    assert_string_equal(fakes.exec_environment, "Z=1 AB=2 A=3 E== B=5 HOSTNAME=x ");
}

static void on_verified(void *userdata, const CheckList *checks, const Error *error) {
    Fixture *f = userdata;
    f->n_done++;
    f->done_ok = !error && check_list_passed(checks);
}

static void test_verify_and_processes(void **state) {
    Fixture *f = *state;
    Container *c = fixture_run(f, "x", "exec sleep 100");
    assert_int_equal(container_verify(c, on_verified, f, NULL), 0);
    fixture_run_until(f, &f->n_done, 1);
    assert_true(f->done_ok);
    fakes.attest_differs = true;
    assert_int_equal(container_verify(c, on_verified, f, NULL), 0);
    fixture_run_until(f, &f->n_done, 2);
    assert_false(f->done_ok);
    fakes.attest_differs = false;
    assert_int_equal(container_processes(c, fixture_on_listed, f, NULL), 0);
    assert_int_equal(f->n_done, 2);
    fixture_run_until(f, &f->n_done, 3);
    assert_true(f->done_ok);
    assert_int_equal(f->n_listed, 1);
    assert_int_equal(f->first_listed, container_pid(c));
}

static ErrorKind processes_error(Fixture *f, Container *c) {
    Error error = ERROR_INIT;
    assert_true(container_processes(c, fixture_on_listed, f, &error) < 0);
    return error.kind;
}

/* They cost the owner starts, also when the container is gone, but not the container's end. */
static void test_processes_that_hang(void **state) {
    Fixture *f = *state;
    Container *c = fixture_run(f, "x", "exec sleep 100");
    int fds[2];
    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    fakes.hang_fd = fds[0];
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(container_processes(c, fixture_on_listed, f, NULL), 0);
    assert_int_equal(processes_error(f, c), ERROR_QUOTA_EXCEEDED);
    fixture_await_hanging(3);
    fixture_remove(f, c, true);
    assert_int_equal(f->n_done, 1);
    fixture_expect_nothing_left(f);
    assert_int_equal(fixture_start_error(f, fixture_spec(1000, "y", "true")), ERROR_QUOTA_EXCEEDED);
    (void) fixture_start(f, fixture_spec(2000, "y", "exec sleep 100"));
    fixture_run_until(f, &f->n_notices, 1);
    assert_int_equal(write(fds[1], "xyz", 3), 3);
    fixture_run_until(f, &f->n_done, 4);
    assert_false(f->done_ok);
    assert_int_equal(f->done_error.kind, ERROR_NOT_RUNNING);
    (void) fixture_run(f, "z", "exec sleep 100");
    (void) close(fds[0]);
    (void) close(fds[1]);
}

/* While a list was being read a process has left, and its number may be anybody's. */
static void test_processes_that_leave(void **state) {
    Fixture *f = *state;
    Container *c = fixture_run(f, "x", "exec sleep 100");
    int fds[2];
    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    struct CgroupGroup *g = fake_group_find(container_id(c));
    assert_int_equal(cgroup_group_attach(g, getpid(), NULL), 0);
    assert_int_equal(container_processes(c, fixture_on_listed, f, NULL), 0);
    fixture_run_until(f, &f->n_done, 1);
    assert_int_equal(f->n_listed, 2);
    fakes.hang_fd = fds[0];
    assert_int_equal(container_processes(c, fixture_on_listed, f, NULL), 0);
    fixture_await_hanging(1);
    for (unsigned i = 0; i < ELEMENTSOF(g->pids); i++)
        if (g->pids[i] == getpid())
            g->pids[i] = 0;
    assert_int_equal(write(fds[1], "x", 1), 1);
    fixture_run_until(f, &f->n_done, 2);
    assert_true(f->done_ok);
    assert_int_equal(f->n_listed, 1);
    assert_int_equal(f->first_listed, container_pid(c));
    (void) close(fds[0]);
    (void) close(fds[1]);
}

static void test_detach(void **state) {
    Fixture *f = *state;
    ContainerSpec *s = fixture_spec(1000, "x", "exec sleep 100");
    s->attached = true;
    Container *c = fixture_start(f, s);
    Error error = ERROR_INIT;
    assert_true(container_detach(c, &error) < 0);
    assert_int_equal(error.kind, ERROR_NOT_RUNNING);
    fixture_run_until(f, &f->n_notices, 1);
    assert_int_equal(container_detach(c, NULL), 0);
    assert_int_equal(f->notices[1], CONTAINER_NOTICE_DETACHED);
    assert_false(container_spec(c)->attached);
    assert_true(container_detach(c, &error) < 0);
}

/* A process that does not die: the caller is told, the container stays gone, a later attempt ends it. */
static void test_busy_cgroup(void **state) {
    Fixture *f = *state;
    Container *c = fixture_run(f, "x", "true");
    fixture_run_until(f, &f->n_notices, 2);
    /* its cleaning may be over already: a new one that cannot be cleaned */
    fixture_remove(f, c, true);
    fakes.remove_is_busy = true;
    c = fixture_run(f, "y", "exec sleep 100");
    uint32_t base = container_spec(c)->sandbox.id_base;
    assert_int_equal(container_remove(c, true, fixture_on_done, f, NULL), 0);
    fixture_run_until(f, &f->n_done, 2);
    assert_false(f->done_ok);
    assert_int_equal(f->done_error.kind, ERROR_FAILED);
    assert_int_equal(container_registry_count(f->registry, NULL), 1);
    assert_int_equal(container_spec(c)->sandbox.id_base, base);
    fakes.remove_is_busy = false;
    assert_int_equal(container_remove(c, true, fixture_on_done, f, NULL), 0);
    fixture_run_until(f, &f->n_done, 3);
    assert_true(f->done_ok);
    fixture_expect_nothing_left(f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        FIXTURE_TEST(test_life),
        FIXTURE_TEST(test_removes_itself),
        FIXTURE_TEST(test_failed_start),
        FIXTURE_TEST(test_failed_attestation),
        FIXTURE_TEST(test_names),
        FIXTURE_TEST(test_quotas),
        FIXTURE_TEST(test_kill),
        FIXTURE_TEST(test_kill_while_starting),
        FIXTURE_TEST(test_stop),
        FIXTURE_TEST(test_kill_process),
        FIXTURE_TEST(test_pause),
        FIXTURE_TEST(test_exec),
        FIXTURE_TEST(test_exec_environment),
        FIXTURE_TEST(test_verify_and_processes),
        FIXTURE_TEST(test_processes_that_hang),
        FIXTURE_TEST(test_processes_that_leave),
        FIXTURE_TEST(test_detach),
        FIXTURE_TEST(test_busy_cgroup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
