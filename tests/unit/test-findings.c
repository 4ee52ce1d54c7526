/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Findings of a container: what is kept, where it ends, what the next daemon reads; and what becomes of one: event,
 * followers, and the detector's action.
 */

#include "registry-fixture.h"

#include "container/findings.h"
#include "container/internal.h"
#include "container/quarantine.h"
#include "util/fds.h"
#include "util/paths.h"

#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static Finding *make(const char *program, pid_t pid, uint64_t start_time) {
    Finding *f = finding_new(FINDING_FOREIGN_PROGRAM, FINDING_HIGH);
    f->host_pid = f->pid = pid;
    f->start_time = start_time;
    f->first_usec = f->last_usec = now_usec();
    f->program = strdup(program);
    (void) snprintf(f->evidence, sizeof(f->evidence), "%s was executed", program);
    return f;
}

static FindingEntry *add(Findings *s, Finding *f, bool *ret_again, bool *ret_other) {
    FindingEntry *e = NULL;
    assert_int_equal(findings_add(s, f, &e, ret_again, ret_other), 0);
    return e;
}

static void test_numbers_and_counts(void **state) {
    Findings *s = NULL;
    bool again, other;
    assert_int_equal(findings_new(&s), 0);
    FindingEntry *e = add(s, make("/tmp/a", 10, 1), &again, &other);
    assert_true(e->finding->number == 1 && !again && !other);
    e = add(s, make("/tmp/b", 11, 2), &again, &other);
    assert_true(e->finding->number == 2 && !again);
    e = add(s, make("/tmp/a", 10, 1), &again, &other);
    assert_true(e->finding->number == 1 && e->finding->count == 2 && again && !other);
    e = add(s, make("/tmp/a", 12, 3), &again, &other);
    assert_true(e->finding->number == 1 && e->finding->count == 3 && again && other);
    assert_int_equal(e->finding->host_pid, 12);
    assert_int_equal(s->n, 2);
    assert_null(findings_get(s, 3));
    (void) findings_free(s);
}

/* The fixture's directories are used: they go with the fixture. */
static void test_cap(void **state) {
    Fixture *f = *state;
    Findings *s = NULL;
    bool again, other;
    assert_int_equal(findings_new(&s), 0);
    for (unsigned i = 1; i <= FINDINGS_MAX; i++) {
        char name[32];
        (void) snprintf(name, sizeof(name), "/tmp/%u", i);
        (void) add(s, make(name, (pid_t) (i + 10), i), &again, &other);
    }
    assert_int_equal(findings_save(s, f->state_fd, UINT_MAX), 0);
    assert_false(findings_unsaved(s));
    assert_int_equal(fixture_entries(f->state_fd, "findings"), FINDINGS_MAX);
    assert_true(s->dropped == 0);
    for (unsigned i = 0; i < 3; i++) {
        char name[32];
        (void) snprintf(name, sizeof(name), "/tmp/more-%u", i);
        (void) add(s, make(name, (pid_t) (i + 1000), i), &again, &other);
    }
    assert_true(s->n == FINDINGS_MAX && s->dropped == 3);
    assert_null(findings_get(s, 3));
    assert_non_null(findings_get(s, 4));
    assert_true(findings_unsaved(s));
    /* a little at a time */
    assert_int_equal(findings_save(s, f->state_fd, 1), 0);
    assert_true(findings_unsaved(s));
    assert_int_equal(findings_save(s, f->state_fd, UINT_MAX), 0);
    assert_false(findings_unsaved(s));
    assert_int_equal(fixture_entries(f->state_fd, "findings"), FINDINGS_MAX + 1); /* and `dropped` */
    assert_true(faccessat(f->state_fd, "findings/3.json", F_OK, 0) < 0);
    (void) findings_free(s);
    assert_int_equal(findings_load(f->state_fd, "x", &s), 0);
    assert_true(s->n == FINDINGS_MAX && s->dropped == 3 && s->last == FINDINGS_MAX + 3);
    assert_true(s->entries[0].finding->number == 4);
    assert_string_equal(findings_get(s, 5)->finding->program, "/tmp/5");
    assert_true(add(s, make("/tmp/new", 5, 5), &again, &other)->finding->number == FINDINGS_MAX + 4);
    (void) findings_free(s);
}

static char **texts(size_t n, size_t length) {
    char **v = calloc(n + 1, sizeof(char *));
    for (size_t i = 0; i < n; i++) {
        v[i] = calloc(1, length + 1);
        memset(v[i], 'x', length);
    }
    return v;
}

static off_t sum_of_files(Fixture *f, uint64_t last) {
    off_t sum = 0;
    for (uint64_t i = 1; i <= last; i++) {
        char name[48];
        struct stat st;
        (void) snprintf(name, sizeof(name), "findings/%llu.json", (unsigned long long) i);
        if (fstatat(f->state_fd, name, &st, 0) >= 0)
            sum += st.st_size;
    }
    return sum;
}

/* Whoever is found chooses paths and arguments: of one what is long is left out, and all together have an end. */
static void test_bytes(void **state) {
    Fixture *f = *state;
    Findings *s = NULL;
    bool again, other;
    assert_int_equal(findings_new(&s), 0);
    Finding *large = make("/tmp/large", 10, 1);
    large->command = texts(10, 1000);
    large->mapped_files = texts(32, 4000);
    FindingEntry *e = add(s, large, &again, &other);
    assert_true(!e->finding->mapped_files && strv_length(e->finding->command) == 10);
    large = make("/tmp/larger", 11, 1);
    large->command = texts(10, 12000);
    e = add(s, large, &again, &other);
    assert_true(!e->finding->command && e->finding->program);
    for (unsigned i = 3; i <= FINDINGS_MAX; i++) {
        char name[32];
        (void) snprintf(name, sizeof(name), "/tmp/%u", i);
        large = make(name, (pid_t) (i + 4000000), i);
        large->command = texts(10, 6000);
        (void) add(s, large, &again, &other);
        if (i == FINDINGS_MAX / 2)
            assert_int_equal(findings_save(s, f->state_fd, UINT_MAX), 0);
    }
    assert_true(s->n > 100 && s->n < FINDINGS_MAX && s->dropped == FINDINGS_MAX - s->n);
    assert_non_null(findings_get(s, FINDINGS_MAX));
    assert_null(findings_get(s, 1));
    assert_int_equal(findings_save(s, f->state_fd, UINT_MAX), 0);
    assert_true(sum_of_files(f, FINDINGS_MAX) < (off_t) FINDINGS_BYTES_MAX);
    assert_int_equal(fixture_entries(f->state_fd, "findings"), s->n + 1);
    size_t n = s->n, size = s->size;
    (void) findings_free(s);
    assert_int_equal(findings_load(f->state_fd, "x", &s), 0);
    assert_true(s->n == n && s->dropped == FINDINGS_MAX - n && s->size >= size - n && s->size <= size + n);
    (void) findings_free(s);
}

/* What cannot be written now is written later. */
static void test_not_written(void **state) {
    Fixture *f = *state;
    Findings *s = NULL;
    bool again, other;
    assert_int_equal(findings_new(&s), 0);
    (void) add(s, make("/tmp/a", 10, 1), &again, &other);
    assert_int_equal(mkdirat(f->state_fd, "findings", 0700), 0);
    assert_int_equal(mkdirat(f->state_fd, "findings/1.json", 0700), 0);
    assert_true(findings_save(s, f->state_fd, UINT_MAX) < 0);
    assert_true(findings_unsaved(s));
    assert_int_equal(unlinkat(f->state_fd, "findings/1.json", AT_REMOVEDIR), 0);
    assert_int_equal(findings_save(s, f->state_fd, UINT_MAX), 0);
    assert_int_equal(faccessat(f->state_fd, "findings/1.json", F_OK, 0), 0);
    assert_false(findings_unsaved(s));
    (void) findings_free(s);
}

static void put(int fd, const char *name, const char *text) {
    assert_int_equal(path_write_file_at(fd, name, text, strlen(text), 0600, false), 0);
}

static void test_bad_files(void **state) {
    Fixture *f = *state;
    Findings *s = NULL;
    bool again, other;
    assert_int_equal(findings_load(f->state_fd, "x", &s), 0);
    assert_null(s); /* there are none */
    assert_int_equal(findings_new(&s), 0);
    for (unsigned i = 1; i <= 3; i++) {
        char name[32];
        (void) snprintf(name, sizeof(name), "/tmp/%u", i);
        (void) add(s, make(name, (pid_t) (i + 10), i), &again, &other);
    }
    assert_int_equal(findings_save(s, f->state_fd, UINT_MAX), 0);
    (void) findings_free(s);
    int fd = path_open_at(f->state_fd, "findings", O_RDONLY | O_DIRECTORY, 0, 0);
    put(fd, "2.json", "{\"number\":2");
    put(fd, "7.json", "{}");
    put(fd, "007.json", "{}");
    put(fd, "stranger", "x");
    assert_int_equal(linkat(fd, "1.json", fd, "9.json", 0), 0); /* another number inside */
    put(fd, "dropped", "many");
    assert_int_equal(findings_load(f->state_fd, "x", &s), 0);
    assert_int_equal(s->n, 2);
    assert_non_null(findings_get(s, 1));
    assert_non_null(findings_get(s, 3));
    assert_true(s->dropped == 0 && s->last == 9); /* a number is never given twice */
    assert_int_equal(fixture_entries(f->state_fd, "findings"), 3);
    (void) findings_free(s);
    (void) close(fd);
}

/* ---- in a container ---- */

typedef struct Told {
    FindingFollower follower;
    unsigned n;
    uint64_t number, count;
    bool has_receipt;
} Told;

static void on_finding(FindingFollower *follower, Container *c, const Finding *finding) {
    Told *t = (Told *) follower;
    t->n++;
    t->number = finding->number;
    t->count = finding->count;
    t->has_receipt = finding->has_receipt;
}

static const ContainerEvent *last_event(Fixture *f) {
    ContainerEvents *e = container_registry_events(f->registry);
    return container_events_after(e, container_events_last(e) - 1);
}

static void test_told(void **state) {
    Fixture *f = *state;
    Told told = { .follower.notify = on_finding };
    Container *c = fixture_run(f, "x", "exec sleep 100");
    container_findings_follow(f->registry, &told.follower);
    container_found(c, make("/tmp/a", 4000000, 1));
    assert_true(told.n == 1 && told.number == 1);
    const ContainerEvent *e = last_event(f);
    assert_true(e->kind == CONTAINER_EVENT_FINDING && e->finding == 1);
    assert_string_equal(e->message, "/tmp/a was executed");
    uint64_t serial = e->serial;
    for (unsigned i = 0; i < 5; i++)
        container_found(c, make("/tmp/a", 4000000, 1));
    assert_true(last_event(f)->serial == serial && told.n == 1); /* counted, and told within a second */
    fixture_run_until(f, &told.n, 2);
    assert_true(told.count == 6 && container_findings_count(c) == 1);
    container_findings_unfollow(&told.follower);
    container_findings_unfollow(&told.follower);
    fixture_remove(f, c, true);
}

/* Whoever is watched does not fill everybody's ring. */
static void test_bounded_voice(void **state) {
    Fixture *f = *state;
    Container *c = fixture_run(f, "x", "exec sleep 100");
    uint64_t before = container_events_last(container_registry_events(f->registry));
    for (unsigned i = 0; i < 200; i++) {
        char name[32];
        (void) snprintf(name, sizeof(name), "/tmp/%u", i);
        container_found(c, make(name, (pid_t) (4000000 + i), i + 1));
    }
    uint64_t n = container_events_last(container_registry_events(f->registry)) - before;
    assert_true(n > 1 && n < 50);
    assert_int_equal(container_findings_count(c), 200);
    fixture_remove(f, c, true);
}

static pid_t child_in(Container *c) {
    pid_t pid = fork();
    if (pid == 0) {
        pause();
        _exit(0);
    }
    assert_int_equal(cgroup_group_attach(fake_group_find(container_id(c)), pid, NULL), 0);
    return pid;
}

static Container *run_with(Fixture *f, FindingAction action) {
    ContainerSpec *s = fixture_spec(1000, "x", "exec sleep 100");
    s->watch[FINDING_FOREIGN_PROGRAM] = action;
    Container *c = fixture_start(f, s);
    fixture_run_until(f, &f->n_notices, 1);
    return c;
}

static Finding *finding_of(pid_t pid) {
    uint64_t start_time;
    assert_int_equal(process_start_time(pid, &start_time), 0);
    return make("/tmp/evil", pid, start_time);
}

static void await_receipt(Fixture *f, Container *c) {
    for (unsigned i = 0; i < 1000 && !container_finding(c, 0)->has_receipt; i++)
        (void) sd_event_run(f->environment.event, 10000);
    assert_true(container_finding(c, 0)->has_receipt);
}

static void test_kill_process(void **state) {
    Fixture *f = *state;
    Container *c = run_with(f, FINDING_KILL_PROCESS);
    for (unsigned i = 1; i <= 2; i++) { /* started again, killed again */
        pid_t pid = child_in(c);
        unsigned before = fakes.n_removals;
        int status;
        container_found(c, finding_of(pid));
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
        await_receipt(f, c);
        while (container_finding(c, 0)->receipt.host_pid != pid)
            (void) sd_event_run(f->environment.event, 10000);
        assert_int_equal(fakes.n_removals, before + 1);
        const Finding *found = container_finding(c, 0);
        assert_true(found->count == i && found->action == FINDING_KILL_PROCESS);
        assert_int_equal(found->receipt.outcome, RECEIPT_DEAD);
    }
    assert_int_equal(container_state(c), CONTAINER_RUNNING);
    assert_int_equal(last_event(f)->kind, CONTAINER_EVENT_KILLED);
    assert_non_null(strstr(last_event(f)->message, "finding 1: dead after 0.8 ms"));
    fixture_remove(f, c, true);
}

/* Nor do the kills of what it starts again and again. */
static void test_bounded_kills(void **state) {
    Fixture *f = *state;
    Container *c = run_with(f, FINDING_KILL_PROCESS);
    struct CgroupGroup *g = fake_group_find(container_id(c));
    uint64_t before = container_events_last(container_registry_events(f->registry));
    for (unsigned i = 0; i < 100; i++) {
        pid_t pid = child_in(c);
        container_found(c, finding_of(pid));
        while (c->killing)
            (void) sd_event_run(f->environment.event, 10000);
        assert_int_equal(waitpid(pid, NULL, 0), pid);
        for (unsigned n = 0; n < ELEMENTSOF(g->pids); n++)
            if (g->pids[n] == pid)
                g->pids[n] = 0;
    }
    assert_int_equal(fakes.n_removals, 100);
    assert_true(container_events_last(container_registry_events(f->registry)) - before < 40);
    fixture_remove(f, c, true);
}

/* One program, three processes: the finding shows the newest, and all that live are there to be killed. */
static void test_all_processes(void **state) {
    Fixture *f = *state;
    Container *c = run_with(f, FINDING_REPORT);
    RemovalTarget *targets = NULL;
    size_t n = 0;
    pid_t pids[3];
    for (unsigned i = 0; i < 3; i++) {
        pids[i] = child_in(c);
        container_found(c, finding_of(pids[i]));
        container_found(c, finding_of(pids[0])); /* is seen again and again */
    }
    assert_int_equal(container_findings_count(c), 1);
    assert_int_equal(container_findings_targets(c, FINDING_MEDIUM, &targets, &n), 0);
    assert_int_equal(n, 3);
    free(targets);
    (void) kill(pids[1], SIGKILL);
    (void) waitpid(pids[1], NULL, 0);
    assert_int_equal(container_findings_targets(c, FINDING_HIGH, &targets, &n), 0);
    assert_int_equal(n, 2);
    for (size_t i = 0; i < n; i++)
        assert_true(targets[i].host_pid == pids[0] || targets[i].host_pid == pids[2]);
    free(targets);
    fixture_remove(f, c, true);
}

static void await_end(Fixture *f, pid_t pid) {
    int status = 0;
    for (unsigned i = 0; i < 500 && waitpid(pid, &status, WNOHANG) == 0; i++)
        (void) sd_event_run(f->environment.event, 10000);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

/* What was sighted is killed, also where the finding goes on to show another one. */
static void test_older_process(void **state) {
    Fixture *f = *state;
    Container *c = run_with(f, FINDING_KILL_PROCESS);
    pid_t older = child_in(c), younger = child_in(c);
    container_found(c, finding_of(younger));
    await_end(f, younger);
    await_receipt(f, c);
    container_found(c, finding_of(older));
    await_end(f, older);
    const Finding *found = container_finding(c, 0);
    assert_true(found->count == 2 && found->host_pid == younger);
    assert_true(found->receipt.host_pid == younger && found->receipt.outcome == RECEIPT_DEAD);
    fixture_remove(f, c, true);
}

/* Number 1 of a pid namespace that the container has made is not the container's first process. */
static void test_first_of_another_namespace(void **state) {
    Fixture *f = *state;
    Container *c = run_with(f, FINDING_KILL_PROCESS);
    pid_t pid = child_in(c);
    Finding *finding = finding_of(pid);
    finding->pid = 1;
    container_found(c, finding);
    await_end(f, pid);
    await_receipt(f, c);
    assert_int_equal(container_finding(c, 0)->receipt.outcome, RECEIPT_DEAD);
    fixture_remove(f, c, true);
}

/* A kill that fails is tried again: of the process that is shown, and of another. */
static void test_failed_kill(void **state) {
    Fixture *f = *state;
    Container *c = run_with(f, FINDING_KILL_PROCESS);
    pid_t older = child_in(c), younger = child_in(c);
    fakes.n_failing = 3;
    container_found(c, finding_of(younger));
    container_found(c, finding_of(older));
    await_end(f, younger);
    await_end(f, older);
    await_receipt(f, c);
    assert_true(container_finding(c, 0)->receipt.outcome == RECEIPT_DEAD && fakes.n_failing == 0);
    unsigned before = fakes.n_removals;
    for (unsigned i = 0; i < 150; i++)
        (void) sd_event_run(f->environment.event, 10000);
    assert_int_equal(fakes.n_removals, before); /* and then no more */
    fixture_remove(f, c, true);
}

static void occupy(void *userdata) {
    char byte;
    assert_int_equal(read(*(const int *) userdata, &byte, 1), 1);
}

static void nothing(void *userdata) {}

/* No thread is to be had: what waits is killed when there is one again. */
static void test_no_thread(void **state) {
    Fixture *f = *state;
    Container *c = run_with(f, FINDING_KILL_PROCESS);
    pid_t pids[2] = { child_in(c), child_in(c) };
    int fds[2];
    unsigned n = 0;
    assert_int_equal(pipe(fds), 0);
    while (worker_submit(f->environment.workers, occupy, nothing, &fds[0]) >= 0)
        n++;
    for (unsigned i = 0; i < 2; i++)
        container_found(c, finding_of(pids[i]));
    (void) sd_event_run(f->environment.event, 10000);
    assert_true(n > 0 && fakes.n_removals == 0 && !c->killing);
    for (unsigned i = 0; i < n; i++)
        assert_int_equal(write(fds[1], "x", 1), 1);
    for (unsigned i = 0; i < 2; i++)
        await_end(f, pids[i]);
    fixture_remove(f, c, true);
    (void) close(fds[0]);
    (void) close(fds[1]);
}

static void test_first_is_spared(void **state) {
    Fixture *f = *state;
    Container *c = run_with(f, FINDING_KILL_PROCESS);
    container_found(c, finding_of(container_pid(c)));
    await_receipt(f, c);
    assert_int_equal(container_finding(c, 0)->receipt.outcome, RECEIPT_SPARED);
    assert_int_equal(fakes.n_removals, 0);
    assert_int_equal(container_state(c), CONTAINER_RUNNING);
    fixture_remove(f, c, true);
}

/* Another that is the first one in a pid namespace of its own is not the container's. */
static void test_first_of_its_own_is_killed(void **state) {
    Fixture *f = *state;
    Container *c = run_with(f, FINDING_KILL_PROCESS);
    pid_t pid = child_in(c);
    int status;
    Finding *found = finding_of(pid);
    found->pid = 1;
    container_found(c, found);
    await_receipt(f, c);
    assert_int_equal(container_finding(c, 0)->receipt.outcome, RECEIPT_DEAD);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    fixture_remove(f, c, true);
}

/* Nobody would thaw it if the daemon were killed meanwhile. */
static void test_nothing_is_frozen_unmarked(void **state) {
    Fixture *f = *state;
    Container *c = run_with(f, FINDING_KILL_PROCESS);
    pid_t pid = child_in(c);
    int status;
    assert_int_equal(mkdirat(c->state_fd, "removing", 0700), 0);
    container_found(c, finding_of(pid));
    assert_true(c->killing);
    while (c->killing)
        (void) sd_event_run(f->environment.event, 10000);
    assert_int_equal(fakes.n_removals, 0);
    assert_false(container_finding(c, 0)->has_receipt);
    assert_int_equal(waitpid(pid, &status, WNOHANG), 0);
    assert_int_equal(unlinkat(c->state_fd, "removing", AT_REMOVEDIR), 0);
    container_found(c, finding_of(pid));
    assert_int_equal(waitpid(pid, &status, 0), pid);
    await_receipt(f, c);
    assert_true(faccessat(c->state_fd, "removing", F_OK, 0) < 0);
    fixture_remove(f, c, true);
}

static void test_freeze(void **state) {
    Fixture *f = *state;
    Container *c = run_with(f, FINDING_FREEZE_CONTAINER);
    container_found(c, make("/tmp/evil", 4000000, 1));
    for (unsigned i = 0; i < 1000 && container_state(c) != CONTAINER_PAUSED; i++)
        (void) sd_event_run(f->environment.event, 10000);
    assert_int_equal(container_state(c), CONTAINER_PAUSED);
    assert_true(fake_group_find(container_id(c))->frozen);
    fixture_remove(f, c, true);
}

static void test_kill_container(void **state) {
    Fixture *f = *state;
    Container *c = run_with(f, FINDING_KILL_CONTAINER);
    container_found(c, make("/tmp/evil", 4000000, 1));
    fixture_run_until(f, &f->n_notices, 2);
    assert_int_equal(container_exit(c)->process.signal, SIGKILL);
    assert_int_equal(container_findings_count(c), 1); /* until it is removed */
    fixture_remove(f, c, false);
}

static void test_report_kills_nobody(void **state) {
    Fixture *f = *state;
    Container *c = run_with(f, FINDING_REPORT);
    pid_t pid = child_in(c);
    container_found(c, finding_of(pid));
    assert_int_equal(fakes.n_removals, 0);
    assert_int_equal(waitpid(pid, NULL, WNOHANG), 0);
    fixture_remove(f, c, true);
}

/* A pause waits for the removal that has the container frozen, and neither is lost. */
static void test_pause_meanwhile(void **state) {
    Fixture *f = *state;
    Container *c = run_with(f, FINDING_KILL_PROCESS);
    pid_t pid = child_in(c);
    container_found(c, finding_of(pid));
    assert_true(c->killing);
    assert_int_equal(container_pause(c, true, fixture_on_done, f, NULL), 0);
    assert_true(container_pause(c, true, fixture_on_done, f, NULL) < 0);
    fixture_run_until(f, &f->n_done, 1);
    assert_true(f->done_ok);
    assert_int_equal(container_state(c), CONTAINER_PAUSED);
    assert_true(container_finding(c, 0)->has_receipt);
    fixture_remove(f, c, true);
}

static void reopen(Fixture *f) {
    fixture_close(f);
    f->n_notices = 0;
    fixture_open(f);
    assert_int_equal(container_registry_recover(f->registry, NULL), 0);
}

static void test_recovered(void **state) {
    Fixture *f = *state;
    Container *c = run_with(f, FINDING_KILL_CONTAINER);
    c->spec->watch[FINDING_FOREIGN_PROGRAM] = FINDING_REPORT;
    assert_int_equal(container_write_record(c), 0);
    container_found(c, make("/tmp/evil", 4000000, 1));
    container_found(c, make("/tmp/evil", 4000000, 1));
    reopen(f);
    c = fixture_find(f, 1000, "x", NULL);
    assert_non_null(c);
    assert_int_equal(container_findings_count(c), 1);
    assert_true(container_finding(c, 0)->count == 2);
    assert_string_equal(container_finding(c, 0)->program, "/tmp/evil");
    assert_int_equal(container_spec(c)->watch[FINDING_FOREIGN_PROGRAM], FINDING_REPORT);
    assert_int_equal(container_spec(c)->watch[FINDING_CONNECTION], FINDING_OFF); /* the default */
    fixture_remove(f, c, true);
}

/* What did not fit into the queue is on disk a second later, and counted once. */
static void test_dropped(void **state) {
    Fixture *f = *state;
    Container *c = fixture_run(f, "x", "exec sleep 100");
    _cleanup_free_ char *text = NULL;
    size_t size;
    c->subject = (WatchSubject *) f; /* the fakes do not look at it */
    fakes.dropped = 5;
    assert_true(container_findings_dropped(c) == 5);
    container_found(c, make("/tmp/a", 4000000, 1));
    for (unsigned i = 0; i < 300 && faccessat(c->state_fd, "findings/dropped", F_OK, 0) < 0; i++)
        (void) sd_event_run(f->environment.event, 10000);
    assert_int_equal(path_read_file_at(c->state_fd, "findings/dropped", 0, 32, &text, &size), 0);
    assert_string_equal(text, "5");
    fakes.dropped = 7;
    assert_true(container_findings_dropped(c) == 7);
    reopen(f);
    c = fixture_find(f, 1000, "x", NULL);
    assert_true(container_findings_dropped(c) == 7);
    fixture_remove(f, c, true);
}

/* The filter would have told refused calls, and there is nobody to be told. */
static void test_without_a_listener(void **state) {
    Fixture *f = *state;
    f->registry->environment.watch = (Watch *) f; /* nor at that */
    Container *c = fixture_run(f, "x", "exec sleep 100");
    assert_string_equal(container_watch_missing(c, FINDING_REFUSED_CALL), "the container is not watched");
    c->subject = (WatchSubject *) f;
    assert_non_null(strstr(container_watch_missing(c, FINDING_REFUSED_CALL), "with a listener"));
    assert_null(container_watch_missing(c, FINDING_FOREIGN_PROGRAM));
    fixture_remove(f, c, true);
}

/* A daemon was killed between freezing and thawing. */
static void test_thawed(void **state) {
    Fixture *f = *state;
    Container *c = fixture_run(f, "x", "exec sleep 100");
    put(c->state_fd, "removing", "");
    fake_group_find(container_id(c))->frozen = true;
    reopen(f);
    c = fixture_find(f, 1000, "x", NULL);
    assert_int_equal(container_state(c), CONTAINER_RUNNING);
    assert_false(fake_group_find(container_id(c))->frozen);
    assert_true(faccessat(c->state_fd, "removing", F_OK, 0) < 0);
    /* nor does it stay one that is about to be frozen, which something in it that hangs holds up */
    put(c->state_fd, "removing", "");
    fake_group_find(container_id(c))->freeze = true;
    reopen(f);
    c = fixture_find(f, 1000, "x", NULL);
    assert_false(fake_group_find(container_id(c))->freeze);
    assert_true(faccessat(c->state_fd, "removing", F_OK, 0) < 0);
    /* one that somebody paused stays so */
    fake_group_find(container_id(c))->frozen = true;
    reopen(f);
    c = fixture_find(f, 1000, "x", NULL);
    assert_int_equal(container_state(c), CONTAINER_PAUSED);
    fixture_remove(f, c, true);
}

/* ---- quarantine ---- */

static int keep_own(Fixture *f, uint64_t max, const char *name, Error *reterr) {
    _cleanup_fd_ int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    return quarantine_keep(f->state_fd, max, name, fd, reterr);
}

static void test_quarantine(void **state) {
    Fixture *f = *state;
    Error error = ERROR_INIT;
    struct stat st, own;
    assert_int_equal(stat("/proc/self/exe", &own), 0);
    assert_int_equal(keep_own(f, 1ULL << 30, "a-1-b", &error), 0);
    assert_int_equal(fstatat(f->state_fd, "a-1-b", &st, AT_SYMLINK_NOFOLLOW), 0);
    assert_true(st.st_size == own.st_size && (st.st_mode & 07777) == 0400);
    assert_int_equal(keep_own(f, 1ULL << 30, "a-1-b", &error), 0); /* is there */
    /* what does not fit beside it is not kept, and nothing of it stays */
    assert_true(keep_own(f, (uint64_t) own.st_size * 2 - 1, "a-2-b", &error) < 0);
    assert_non_null(strstr(error.message, "left"));
    assert_true(faccessat(f->state_fd, "a-2-b", F_OK, 0) < 0);
    assert_int_equal(symlinkat("/tmp/kennel-test-nowhere", f->state_fd, "a-3-b"), 0);
    (void) keep_own(f, 1ULL << 30, "a-3-b", &error);
    assert_true(access("/tmp/kennel-test-nowhere", F_OK) < 0);
    assert_int_equal(unlinkat(f->state_fd, "a-1-b", 0), 0);
    assert_int_equal(unlinkat(f->state_fd, "a-3-b", 0), 0);
}

/* However small they are. */
static void test_quarantine_counts_files(void **state) {
    Fixture *f = *state;
    Error error = ERROR_INIT;
    unsigned n = 0;
    _cleanup_fd_ int directory = -EBADF, small = open("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    assert_int_equal(mkdirat(f->state_fd, "kept", 0700), 0);
    directory = path_open_at(f->state_fd, "kept", O_RDONLY | O_DIRECTORY, 0, 0);
    assert_true(directory >= 0 && write(small, "x", 1) == 1);
    for (; n < 100; n++) {
        char name[16];
        (void) snprintf(name, sizeof(name), "a-%u-b", n);
        if (quarantine_keep(directory, 1U << 20, name, small, &error) < 0)
            break;
    }
    assert_int_equal(n, 16);
    assert_int_equal(error.code, EFBIG);
    assert_int_equal(path_remove_tree_at(f->state_fd, "kept"), 0);
}

/* Of a process that has executed something else since, that is not kept in its place. */
static void test_quarantine_opens_what_was_found(void **state) {
    struct stat own, sleep;
    Error error = ERROR_INIT;
    int ready[2];
    char byte;
    assert_int_equal(stat("/proc/self/exe", &own), 0);
    assert_int_equal(stat("/bin/sleep", &sleep), 0);
    assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
    pid_t pid = fork();
    if (pid == 0) {
        execl("/bin/sleep", "sleep", "100", NULL);
        _exit(1);
    }
    (void) close(ready[1]);
    assert_int_equal(read(ready[0], &byte, 1), 0); /* closed as it executes */
    (void) close(ready[0]);
    _cleanup_fd_ int pidfd = process_pidfd_open(pid), self = process_pidfd_open(getpid());
    assert_int_equal(quarantine_open(pid, pidfd, own.st_dev, own.st_ino, &error), -ESTALE);
    assert_non_null(strstr(error.message, "another program"));
    assert_int_equal(quarantine_open(pid, pidfd, sleep.st_dev + 1, sleep.st_ino, &error), -ESTALE);
    assert_int_equal(quarantine_open(pid, self, sleep.st_dev, sleep.st_ino, &error), -ESRCH);
    _cleanup_fd_ int fd = quarantine_open(pid, pidfd, sleep.st_dev, sleep.st_ino, &error);
    struct stat st;
    assert_true(fd >= 0 && fstat(fd, &st) == 0 && st.st_ino == sleep.st_ino);
    assert_int_equal(read(fd, &byte, 1), 1);
    (void) kill(pid, SIGKILL);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
}

static void test_quarantine_wants_what_is_known(void **state) {
    Finding *f = make("/tmp/evil", 10, 1);
    f->program_ino = 7;
    assert_false(quarantine_wants(f)); /* where it lies may be a file system whose server never answers */
    memset(f->program_sha256, 'a', FINDING_SHA256_LENGTH);
    assert_true(quarantine_wants(f));
    f->program_ino = 0;
    assert_false(quarantine_wants(f));
    (void) finding_free(f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_numbers_and_counts),
        FIXTURE_TEST(test_cap),
        FIXTURE_TEST(test_bytes),
        FIXTURE_TEST(test_not_written),
        FIXTURE_TEST(test_bad_files),
        FIXTURE_TEST(test_told),
        FIXTURE_TEST(test_bounded_voice),
        FIXTURE_TEST(test_kill_process),
        FIXTURE_TEST(test_bounded_kills),
        FIXTURE_TEST(test_all_processes),
        FIXTURE_TEST(test_older_process),
        FIXTURE_TEST(test_first_of_another_namespace),
        FIXTURE_TEST(test_failed_kill),
        FIXTURE_TEST(test_no_thread),
        FIXTURE_TEST(test_first_is_spared),
        FIXTURE_TEST(test_first_of_its_own_is_killed),
        FIXTURE_TEST(test_nothing_is_frozen_unmarked),
        FIXTURE_TEST(test_freeze),
        FIXTURE_TEST(test_kill_container),
        FIXTURE_TEST(test_report_kills_nobody),
        FIXTURE_TEST(test_pause_meanwhile),
        FIXTURE_TEST(test_recovered),
        FIXTURE_TEST(test_dropped),
        FIXTURE_TEST(test_without_a_listener),
        FIXTURE_TEST(test_thawed),
        FIXTURE_TEST(test_quarantine),
        FIXTURE_TEST(test_quarantine_counts_files),
        cmocka_unit_test(test_quarantine_opens_what_was_found),
        cmocka_unit_test(test_quarantine_wants_what_is_known),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
