/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Containers through their whole life, without privileges: sandbox, seccomp and cgroup are replaced by fakes below, so
 * that a container is a plain child process and its cgroup an entry in a table. State machine, order of events, quotas,
 * records, what recovery adopts and what it removes are the real ones.
 */

#include "container/container.h"
#include "util/parse.h"
#include "util/paths.h"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <cmocka.h>

/* --- fakes --- */

struct CgroupGroup {
    char id[16];
    bool exists, frozen;
    pid_t pids[8]; /* not reaped ones may be among them */
};

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static struct CgroupGroup groups[64];
static atomic_int spawn_error;     /* what sandbox_spawn() fails with */
static atomic_uint spawn_usec;     /* how long it takes */
static atomic_bool remove_is_busy; /* what cgroup_group_remove() meets */
static atomic_int hang_fd; /* what cgroup_group_pids() reads a byte from, after it has the pids; 0: it does not */
static uint64_t oom_kills;
static char *exec_environment; /* what the last sandbox_exec() was given */
static struct SeccompProgram *exec_seccomp;

struct SeccompProgram {
    unsigned n_ref;
    struct sock_fprog fprog;
    struct sock_filter filter;
};
static struct SeccompProgram program = { .fprog = { 1, &program.filter } };

SeccompProgram *seccomp_program_ref(SeccompProgram *p) {
    __atomic_add_fetch(&p->n_ref, 1, __ATOMIC_SEQ_CST);
    return p;
}
SeccompProgram *seccomp_program_unref(SeccompProgram *p) {
    if (p)
        __atomic_sub_fetch(&p->n_ref, 1, __ATOMIC_SEQ_CST);
    return NULL;
}
const struct sock_fprog *seccomp_program_fprog(const SeccompProgram *p) {
    return &p->fprog;
}
int seccomp_program_from_bytes(const void *bytes, size_t size, SeccompProgram **ret) {
    if (size != sizeof(struct sock_filter))
        return -EBADMSG;
    *ret = seccomp_program_ref(&program);
    return 0;
}
int seccomp_cache_get(SeccompCache *c, const char *profile, uint64_t caps, SeccompProgram **ret, Error *reterr) {
    if (profile && strcmp(profile, "bad") == 0)
        return error_invalid(reterr, "seccompProfile", "it is bad");
    *ret = seccomp_program_ref(&program);
    return 0;
}

static CgroupGroup *group_find(const char *id) {
    for (unsigned i = 0; i < ELEMENTSOF(groups); i++)
        if (groups[i].exists && strcmp(groups[i].id, id) == 0)
            return &groups[i];
    return NULL;
}
int cgroup_hierarchies_shared_fd(const CgroupHierarchies *h) {
    static int fd = -1;
    if (fd < 0)
        fd = open("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    return fd;
}

CgroupVersion cgroup_hierarchies_version(const CgroupHierarchies *h, CgroupController c) {
    return CGROUP_V2;
}
int cgroup_limits_apply(CgroupGroup *g, const CgroupLimits *limits, Error *reterr) {
    if (limits->memory == 1)
        return error_set(reterr, ERROR_LIMIT_UNAVAILABLE, ENOTSUP, "memory", "there is none");
    return 0;
}
int cgroup_group_create(CgroupHierarchies *h, const char *id, CgroupGroup **ret, Error *reterr) {
    pthread_mutex_lock(&mutex);
    for (unsigned i = 0; i < ELEMENTSOF(groups); i++)
        if (!groups[i].exists) {
            groups[i] = (CgroupGroup){ .exists = true };
            (void) snprintf(groups[i].id, sizeof(groups[i].id), "%s", id);
            *ret = &groups[i];
            break;
        }
    pthread_mutex_unlock(&mutex);
    return 0;
}
int cgroup_group_open(CgroupHierarchies *h, const char *id, CgroupGroup **ret, Error *reterr) {
    CgroupGroup *g = group_find(id);
    if (!g)
        return -ENOENT;
    *ret = g;
    return 0;
}
CgroupGroup *cgroup_group_free(CgroupGroup *g) {
    return NULL;
}
const char *cgroup_group_path(const CgroupGroup *g) {
    return g->id;
}
int cgroup_group_fd(const CgroupGroup *g) {
    return -EBADF;
}
int cgroup_group_attach(CgroupGroup *g, pid_t pid, Error *reterr) {
    for (unsigned i = 0; i < ELEMENTSOF(g->pids); i++)
        if (g->pids[i] == 0) {
            g->pids[i] = pid;
            return 0;
        }
    return -ENOSPC;
}
int cgroup_group_holds(CgroupGroup *g, pid_t pid, Error *reason) {
    for (unsigned i = 0; i < ELEMENTSOF(g->pids); i++)
        if (g->pids[i] == pid)
            return 1;
    return 0;
}
int cgroup_group_kill(CgroupGroup *g) {
    for (unsigned i = 0; i < ELEMENTSOF(g->pids); i++)
        if (g->pids[i] > 0)
            (void) kill(g->pids[i], SIGKILL);
    return 0;
}
int cgroup_group_freeze(CgroupGroup *g, bool freeze, uint64_t timeout_usec) {
    g->frozen = freeze;
    return 0;
}
int cgroup_group_is_frozen(CgroupGroup *g) {
    return g->frozen;
}
int cgroup_group_pids(CgroupGroup *g, pid_t **ret, size_t *ret_n) {
    pid_t *pids = calloc(ELEMENTSOF(g->pids) + 1, sizeof(pid_t));
    size_t n = 0;
    for (unsigned i = 0; i < ELEMENTSOF(g->pids); i++)
        if (g->pids[i] > 0)
            pids[n++] = g->pids[i];
    *ret = pids;
    *ret_n = n;
    char byte;
    if (hang_fd > 0)
        assert_int_equal(read(hang_fd, &byte, 1), 1);
    return 0;
}
int cgroup_group_remove(CgroupGroup *g, uint64_t timeout_usec, Error *reterr) {
    if (remove_is_busy)
        return error_failed(reterr, EBUSY, "cgroup", "it is busy");
    cgroup_group_kill(g);
    pthread_mutex_lock(&mutex);
    g->exists = false;
    pthread_mutex_unlock(&mutex);
    return 0;
}
void cgroup_usage_read(CgroupGroup *g, CgroupUsage *ret) {
    for (unsigned i = 0; i < _CGROUP_COUNTER_MAX; i++)
        ret->values[i] = CGROUP_UNKNOWN;
    ret->values[CGROUP_MEMORY_OOM_KILL] = oom_kills;
}

void sandbox_program_done(SandboxProgram *p) {
    strv_free(p->command);
    strv_free(p->environment);
    free(p->working_directory);
    free(p->user);
    free(p->rlimits);
    for (unsigned i = 0; i < 3; i++)
        (void) fd_close(p->stdio[i]);
    seccomp_program_unref(p->seccomp);
    *p = SANDBOX_PROGRAM_INIT;
}
void sandbox_spec_done(SandboxSpec *s) {
    sandbox_program_done(&s->program);
    free(s->hostname);
    for (size_t i = 0; i < s->n_mounts; i++) {
        free(s->mounts[i].target);
        (void) fd_close(s->mounts[i].source_fd);
    }
    free(s->mounts);
    (void) fd_close(s->rootfs_fd);
    (void) fd_close(s->layer_fd);
}
void sandbox_process_done(SandboxProcess *p) {
    p->pidfd = fd_close(p->pidfd);
    p->terminal_fd = fd_close(p->terminal_fd);
}
static int fake_start(const SandboxProgram *p, const SandboxPlacement *placement, SandboxProcess *ret, Error *reterr) {
    if (spawn_usec)
        usleep(spawn_usec);
    if (spawn_error)
        return error_set(reterr, ERROR_HARDENING_FAILED, spawn_error, "mounts", "as the test wants it");
    int executed[2]; /* closed by execve: as the real one, this returns when the program runs */
    char byte;
    assert_int_equal(pipe2(executed, O_CLOEXEC), 0);
    pid_t pid = fork();
    if (pid == 0) {
        sigset_t none;
        sigemptyset(&none);
        sigprocmask(SIG_SETMASK, &none, NULL);
        for (int i = 0; i < 3; i++)
            if (p->stdio[i] >= 0)
                (void) dup2(p->stdio[i], i);
        execvp(p->command[0], p->command);
        _exit(127);
    }
    (void) close(executed[1]);
    (void) !read(executed[0], &byte, 1);
    (void) close(executed[0]);
    *ret = (SandboxProcess){ .pid = pid, .pidfd = process_pidfd_open(pid), .terminal_fd = -EBADF, .uid = 7, .gid = 8 };
    assert_int_equal(placement->born(placement->userdata, ret, reterr), 0);
    return 0;
}
static int has_executed = 1;
int sandbox_has_executed(SandboxHost *h, pid_t pid) {
    return has_executed;
}
int sandbox_spawn(SandboxHost *h, const SandboxSpec *spec, const SandboxPlacement *placement, SandboxProcess *ret,
                  Error *reterr) {
    assert_true(spec->layer_fd >= 0);
    return fake_start(&spec->program, placement, ret, reterr);
}
int sandbox_exec(SandboxHost *h, int init_pidfd, uint32_t id_base, const SandboxProgram *p,
                 const SandboxPlacement *placement, SandboxProcess *ret, Error *reterr) {
    pthread_mutex_lock(&mutex);
    free(exec_environment);
    exec_environment = strdup("");
    for (char **e = p->environment; e && *e; e++) {
        char *longer = NULL;
        assert_true(asprintf(&longer, "%s%s ", exec_environment, *e) >= 0);
        free(exec_environment);
        exec_environment = longer;
    }
    exec_seccomp = p->seccomp;
    pthread_mutex_unlock(&mutex);
    return fake_start(p, placement, ret, reterr);
}
int sandbox_attest(SandboxHost *h, const SandboxExpectation *x, SandboxCheck ret[SANDBOX_CHECKS_MAX]) {
    ret[0] = (SandboxCheck){ .control = "uid", .passed = x->uid == 7 };
    return 1;
}

/* --- fixture --- */

typedef struct Fixture {
    char directory[64];
    int fd, state_fd, data_fd;
    ContainerEnvironment environment;
    ContainerRegistry *registry;
    ContainerWatch watch;
    unsigned n_notices;
    ContainerNotice notices[16];
    Error error; /* of FAILED */
    unsigned n_done;
    size_t n_listed;
    pid_t first_listed;
    Error done_error;
    bool done_ok;
} Fixture;

static void registry_open(Fixture *f) {
    assert_int_equal(sd_event_new(&f->environment.event), 0);
    assert_int_equal(worker_pool_new(f->environment.event, 16, &f->environment.workers), 0);
    assert_int_equal(container_registry_new(&f->environment, &f->registry, NULL), 0);
}

static void registry_close(Fixture *f) {
    f->registry = container_registry_free(f->registry);
    f->environment.workers = worker_pool_free(f->environment.workers);
    f->environment.event = sd_event_unref(f->environment.event);
}

static int directory(int parent_fd, const char *name) {
    assert_int_equal(mkdirat(parent_fd, name, 0700), 0);
    return openat(parent_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static int set_up(void **state) {
    Fixture *f = calloc(1, sizeof(Fixture));
    (void) snprintf(f->directory, sizeof(f->directory), "/tmp/kennel-test-registry-XXXXXX");
    assert_non_null(mkdtemp(f->directory));
    f->fd = open(f->directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    f->state_fd = directory(f->fd, "state");
    f->data_fd = directory(f->fd, "data");
    f->environment = (ContainerEnvironment){
        .state_fd = f->state_fd,
        .data_fd = f->data_fd,
        .id_base = 2 * SANDBOX_ID_COUNT,
        .id_ranges = 4,
        .containers_max_per_uid = 3,
        .starts_max_per_uid = 3,
        .log_max_bytes = 1024 * 1024,
        .jobs_wait_usec = 10000000,
    };
    memset(groups, 0, sizeof(groups));
    spawn_error = 0;
    spawn_usec = 0;
    remove_is_busy = false;
    hang_fd = 0;
    oom_kills = 0;
    registry_open(f);
    *state = f;
    return 0;
}

static int tear_down(void **state) {
    Fixture *f = *state;
    remove_is_busy = false;
    registry_close(f); /* waits for those that are being started */
    for (unsigned i = 0; i < ELEMENTSOF(groups); i++)
        if (groups[i].exists)
            cgroup_group_kill(&groups[i]);
    while (waitpid(-1, NULL, 0) > 0)
        ;
    free(exec_environment);
    exec_environment = NULL;
    assert_int_equal(path_remove_tree_at(f->fd, "state"), 0);
    assert_int_equal(path_remove_tree_at(f->fd, "data"), 0);
    (void) close(f->state_fd);
    (void) close(f->data_fd);
    (void) close(f->fd);
    assert_int_equal(rmdir(f->directory), 0);
    free(f);
    return 0;
}

static void on_notice(ContainerWatch *w, Container *c, ContainerNotice notice, const Error *error) {
    Fixture *f = (Fixture *) ((char *) w - offsetof(Fixture, watch));
    assert_true(f->n_notices < ELEMENTSOF(f->notices));
    f->notices[f->n_notices++] = notice;
    if (error)
        f->error = *error;
}

static void on_done(void *userdata, const Error *error) {
    Fixture *f = userdata;
    f->n_done++;
    f->done_ok = !error;
    if (error)
        f->done_error = *error;
}

static ContainerSpec *spec_new(uid_t owner, const char *name, const char *script) {
    ContainerSpec *s = malloc(sizeof(ContainerSpec));
    *s = CONTAINER_SPEC_INIT;
    s->owner = owner;
    s->name = name ? strdup(name) : NULL;
    s->image = strdup("host");
    s->logged = true;
    char *command[] = { (char *) "sh", (char *) "-c", (char *) script, NULL };
    s->sandbox.program.command = strv_copy(command);
    char *environment[] = { (char *) "PATH=/usr/bin:/bin", (char *) "A=1", NULL };
    s->sandbox.program.environment = strv_copy(environment);
    return s;
}

static Container *start(Fixture *f, ContainerSpec *s) {
    Container *c = NULL;
    Error error = ERROR_INIT;
    f->n_notices = 0;
    container_unwatch(&f->watch);
    int r = container_start(f->registry, s, &f->watch, on_notice, &c, &error);
    if (r < 0)
        print_error("%s: %s\n", error.subject, error.message);
    assert_int_equal(r, 0);
    assert_int_equal(f->n_notices, 0);
    return c;
}

static ErrorKind start_error(Fixture *f, ContainerSpec *s) {
    Container *c = NULL;
    Error error = ERROR_INIT;
    assert_true(container_start(f->registry, s, NULL, NULL, &c, &error) < 0);
    assert_null(c);
    return error.kind;
}

static void run_until(Fixture *f, const unsigned *counter, unsigned value) {
    for (unsigned i = 0; i < 1000 && *counter < value; i++)
        (void) sd_event_run(f->environment.event, 10000);
    assert_true(*counter >= value);
}

static Container *run(Fixture *f, const char *name, const char *script) {
    Container *c = start(f, spec_new(1000, name, script));
    run_until(f, &f->n_notices, 1);
    assert_int_equal(f->notices[0], CONTAINER_NOTICE_STARTED);
    return c;
}

static void expect_events(Fixture *f, const ContainerEventKind *kinds, size_t n) {
    const ContainerEvent *e = NULL;
    for (size_t i = 0; i < n; i++) {
        e = container_events_after(container_registry_events(f->registry), e ? e->serial : 0);
        assert_non_null(e);
        assert_int_equal(e->kind, kinds[i]);
    }
    assert_null(container_events_after(container_registry_events(f->registry), e ? e->serial : 0));
}
#define EXPECT_EVENTS(f, ...)                                                                                          \
    do {                                                                                                               \
        const ContainerEventKind kinds[] = { __VA_ARGS__ };                                                            \
        expect_events(f, kinds, ELEMENTSOF(kinds));                                                                    \
    } while (0)

static unsigned entries(int dir_fd, const char *name) {
    int fd = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *d = fdopendir(fd);
    assert_non_null(d);
    unsigned n = 0;
    while (readdir(d))
        n++;
    closedir(d);
    return n - 2;
}

static void expect_nothing_left(Fixture *f) {
    assert_int_equal(entries(f->state_fd, "containers"), 0);
    assert_int_equal(entries(f->data_fd, "containers"), 0);
    for (unsigned i = 0; i < ELEMENTSOF(groups); i++)
        assert_false(groups[i].exists);
    assert_int_equal(container_registry_count(f->registry, NULL), 0);
}

static void remove_container(Fixture *f, Container *c, bool force) {
    unsigned before = f->n_done;
    assert_int_equal(container_remove(c, force, on_done, f, NULL), 0);
    run_until(f, &f->n_done, before + 1);
    assert_true(f->done_ok);
}

static Container *find(Fixture *f, uid_t uid, const char *name, ErrorKind *ret_kind) {
    ContainerViewer v = { uid };
    Container *c = NULL;
    Error error = ERROR_INIT;
    (void) container_find(f->registry, &v, name, &c, &error);
    if (ret_kind)
        *ret_kind = error.kind;
    return c;
}

/* --- tests --- */

static void test_life(void **state) {
    Fixture *f = *state;
    Container *c = start(f, spec_new(1000, "one", "echo out; echo err >&2; exit 3"));
    assert_int_equal(container_state(c), CONTAINER_CREATED);
    assert_int_equal(strlen(container_id(c)), CONTAINER_ID_LENGTH);
    assert_int_equal(container_pid(c), 0);
    run_until(f, &f->n_notices, 2);
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
    remove_container(f, c, false);
    assert_int_equal(f->notices[2], CONTAINER_NOTICE_REMOVED);
    assert_null(f->watch.container);
    EXPECT_EVENTS(f, CONTAINER_EVENT_CREATED, CONTAINER_EVENT_STARTED, CONTAINER_EVENT_EXITED, CONTAINER_EVENT_REMOVED);
    expect_nothing_left(f);
    assert_int_equal(program.n_ref, 0);
}

static void test_removes_itself(void **state) {
    Fixture *f = *state;
    ContainerSpec *s = spec_new(1000, NULL, "true");
    s->remove = true;
    (void) start(f, s);
    oom_kills = 1;
    run_until(f, &f->n_notices, 3);
    assert_int_equal(f->notices[1], CONTAINER_NOTICE_EXITED);
    assert_int_equal(f->notices[2], CONTAINER_NOTICE_REMOVED);
    EXPECT_EVENTS(f, CONTAINER_EVENT_CREATED, CONTAINER_EVENT_STARTED, CONTAINER_EVENT_OOM, CONTAINER_EVENT_EXITED,
                  CONTAINER_EVENT_REMOVED);
    expect_nothing_left(f);
}

static void expect_failed_start(Fixture *f, ContainerSpec *s, ErrorKind kind, const char *subject) {
    (void) start(f, s);
    run_until(f, &f->n_notices, 1);
    assert_int_equal(f->notices[0], CONTAINER_NOTICE_FAILED);
    assert_int_equal(f->error.kind, kind);
    assert_string_equal(f->error.subject, subject);
    expect_nothing_left(f);
    assert_int_equal(program.n_ref, 0);
}

static void test_failed_start(void **state) {
    Fixture *f = *state;
    spawn_error = EPERM;
    expect_failed_start(f, spec_new(1000, "x", "true"), ERROR_HARDENING_FAILED, "mounts");
    EXPECT_EVENTS(f, CONTAINER_EVENT_CREATED, CONTAINER_EVENT_FAILED);
    spawn_error = 0;
    ContainerSpec *s = spec_new(1000, "x", "true");
    s->seccomp_profile = strdup("bad");
    expect_failed_start(f, s, ERROR_INVALID_SPEC, "seccompProfile");
    s = spec_new(1000, "x", "true");
    s->limits.memory = 1;
    expect_failed_start(f, s, ERROR_LIMIT_UNAVAILABLE, "memory");
}

static void test_names(void **state) {
    Fixture *f = *state;
    Container *a = run(f, "web", "exec sleep 100");
    Container *b = start(f, spec_new(2000, "web", "exec sleep 100"));
    run_until(f, &f->n_notices, 1);
    Container *n = start(f, spec_new(1000, container_id(b), "exec sleep 100"));
    run_until(f, &f->n_notices, 1);
    assert_int_equal(start_error(f, spec_new(1000, "web", "true")), ERROR_CONTAINER_EXISTS);
    assert_ptr_equal(find(f, 1000, "web", NULL), a);
    assert_ptr_equal(find(f, 2000, "web", NULL), b);
    ErrorKind hidden, absent, ambiguous;
    assert_null(find(f, 2000, container_id(a), &hidden));
    assert_null(find(f, 2000, "000000000000", &absent));
    assert_int_equal(hidden, ERROR_NO_SUCH_CONTAINER);
    assert_int_equal(absent, ERROR_NO_SUCH_CONTAINER);
    /* root: two of that name; and an id is never a name that somebody chose */
    assert_null(find(f, 0, "web", &ambiguous));
    assert_int_equal(ambiguous, ERROR_NO_SUCH_CONTAINER);
    assert_ptr_equal(find(f, 0, container_id(b), NULL), b);
    assert_ptr_equal(find(f, 1000, container_id(b), NULL), n);
    char prefix[CONTAINER_ID_LENGTH];
    (void) snprintf(prefix, sizeof(prefix), "%.11s", container_id(a));
    assert_ptr_equal(find(f, 0, prefix, NULL), a);
    assert_null(find(f, 2000, prefix, NULL));
    assert_null(find(f, 2000, "", NULL));
    assert_string_equal(container_spec(a)->sandbox.hostname, "web");
    assert_string_equal(strv_env_get(container_spec(a)->sandbox.program.environment, "HOSTNAME"), "web");
}

static void test_quotas(void **state) {
    Fixture *f = *state;
    spawn_usec = 100000;
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(container_start(f->registry, spec_new(1000, NULL, "exec sleep 100"), NULL, NULL, NULL, NULL),
                         0);
    assert_int_equal(start_error(f, spec_new(1000, NULL, "true")), ERROR_QUOTA_EXCEEDED);
    /* another has a quota of its own; the pool has four ranges */
    (void) start(f, spec_new(2000, NULL, "exec sleep 100"));
    assert_int_equal(start_error(f, spec_new(2000, NULL, "true")), ERROR_QUOTA_EXCEEDED);
    run_until(f, &f->n_notices, 1);
    Container *first = container_next(f->registry, NULL);
    assert_int_equal(start_error(f, spec_new(1000, NULL, "true")), ERROR_QUOTA_EXCEEDED);
    remove_container(f, first, true);
    spawn_usec = 0;
    (void) run(f, NULL, "exec sleep 100");
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
    Container *c = run(f, "x", "exec sleep 100");
    Error error = ERROR_INIT;
    assert_true(container_remove(c, false, NULL, NULL, &error) < 0);
    assert_int_equal(error.kind, ERROR_STILL_RUNNING);
    assert_int_equal(container_kill(c, SIGKILL, NULL), 0);
    run_until(f, &f->n_notices, 2);
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
    spawn_usec = 50000;
    Container *c = start(f, spec_new(1000, "x", "exec sleep 100"));
    assert_int_equal(container_kill(c, SIGTERM, NULL), 0);
    run_until(f, &f->n_notices, 2);
    assert_int_equal(container_exit(c)->process.signal, SIGTERM);
    Container *d = start(f, spec_new(1000, "y", "exec sleep 100"));
    assert_int_equal(container_remove(d, true, on_done, f, NULL), 0);
    run_until(f, &f->n_done, 1);
    assert_true(f->done_ok);
    assert_int_equal(f->n_notices, 3);
    assert_int_equal(f->notices[2], CONTAINER_NOTICE_REMOVED);
    assert_null(find(f, 1000, "y", NULL));
}

static void test_stop(void **state) {
    Fixture *f = *state;
    Container *c = run(f, "x", "trap 'exit 9' TERM; while :; do sleep 0.01; done");
    usleep(100000); /* until the trap is set */
    assert_int_equal(container_stop(c, 10000000, NULL), 0);
    run_until(f, &f->n_notices, 2);
    assert_int_equal(container_exit(c)->process.code, 9);
    /* does not handle it: not worth waiting for */
    Container *d = run(f, "y", "exec sleep 100");
    assert_int_equal(container_stop(d, 100000000, NULL), 0);
    run_until(f, &f->n_notices, 2);
    assert_int_equal(container_exit(d)->process.signal, SIGKILL);
    /* handles it and goes on */
    Container *e = run(f, "z", "trap : TERM; while :; do sleep 0.01; done");
    usleep(100000);
    assert_int_equal(container_stop(e, 50000, NULL), 0);
    run_until(f, &f->n_notices, 2);
    assert_int_equal(container_exit(e)->process.signal, SIGKILL);
}

static void test_kill_process(void **state) {
    Fixture *f = *state;
    Container *c = run(f, "x", "exec sleep 100");
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
    run_until(f, &f->n_notices, 2);
    assert_int_equal(container_exit(c)->process.signal, SIGUSR1);
}

static void test_pause(void **state) {
    Fixture *f = *state;
    Container *c = run(f, "x", "exec sleep 100");
    Error error = ERROR_INIT;
    assert_true(container_pause(c, false, on_done, f, &error) < 0);
    assert_int_equal(error.kind, ERROR_NOT_RUNNING);
    assert_int_equal(container_pause(c, true, on_done, f, NULL), 0);
    run_until(f, &f->n_done, 1);
    assert_true(f->done_ok);
    assert_int_equal(container_state(c), CONTAINER_PAUSED);
    assert_true(container_pause(c, true, on_done, f, &error) < 0);
    SandboxProgram p = SANDBOX_PROGRAM_INIT;
    ContainerExec *x = NULL;
    assert_true(container_exec(c, &p, NULL, NULL, NULL, &x, &error) < 0);
    assert_int_equal(error.kind, ERROR_NOT_RUNNING);
    assert_int_equal(container_pause(c, false, on_done, f, NULL), 0);
    run_until(f, &f->n_done, 2);
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
    Container *c = run(f, "x", "exec sleep 100");
    ExecState s = { 0 };
    ContainerExec *x = NULL;
    SandboxProgram p = exec_program("exit 5");
    assert_int_equal(container_exec(c, &p, on_exec_started, on_exec_exited, &s, &x, NULL), 0);
    run_until(f, &s.n_exited, 1);
    assert_int_equal(s.n_started, 1);
    assert_int_equal(s.exit.code, 5);
    assert_string_equal(exec_environment, "PATH=/usr/bin:/bin HOSTNAME=x A=2 B=3 ");
    assert_ptr_equal(exec_seccomp, &program);
    /* a caller who goes away before it has even been started */
    p = exec_program("exec sleep 100");
    spawn_usec = 20000;
    assert_int_equal(container_exec(c, &p, on_exec_started, on_exec_exited, &s, &x, NULL), 0);
    container_exec_release(x, true);
    /* one that fails */
    spawn_error = EPERM;
    p = exec_program("true");
    assert_int_equal(container_exec(c, &p, on_exec_started, on_exec_exited, &s, &x, NULL), 0);
    run_until(f, &s.n_started, 2);
    assert_true(s.failed);
    spawn_error = 0;
    assert_int_equal(s.n_exited, 1);
    remove_container(f, c, true);
    expect_nothing_left(f);
    for (unsigned i = 0; i < 100 && program.n_ref > 0; i++) /* until the last process has been reaped */
        (void) sd_event_run(f->environment.event, 10000);
    assert_int_equal(program.n_ref, 0);
}

/* Keys are compared whole; the order is the container's, then the caller's. */
static void test_exec_environment(void **state) {
    Fixture *f = *state;
    ContainerSpec *spec = spec_new(1000, "x", "exec sleep 100");
    strv_free(spec->sandbox.program.environment);
    char *base[] = { (char *) "Z=1", (char *) "AB=2", (char *) "A=3", (char *) "E==", (char *) "B=5", NULL };
    spec->sandbox.program.environment = strv_copy(base);
    Container *c = start(f, spec);
    run_until(f, &f->n_notices, 1);
    ExecState s = { 0 };
    SandboxProgram p = exec_program("exit 0");
    strv_free(p.environment);
    char *own[] = { (char *) "Y=", (char *) "ABC=6", (char *) "B=7", (char *) "A==", (char *) "E=", NULL };
    p.environment = strv_copy(own);
    assert_int_equal(container_exec(c, &p, on_exec_started, on_exec_exited, &s, NULL, NULL), 0);
    run_until(f, &s.n_exited, 1);
    assert_string_equal(exec_environment, "Z=1 AB=2 HOSTNAME=x Y= ABC=6 B=7 A== E= ");
    p = exec_program("exit 0");
    p.environment = strv_free(p.environment);
    assert_int_equal(container_exec(c, &p, on_exec_started, on_exec_exited, &s, NULL, NULL), 0);
    run_until(f, &s.n_exited, 2);
    assert_string_equal(exec_environment, "Z=1 AB=2 A=3 E== B=5 HOSTNAME=x ");
}

static void on_verified(void *userdata, const SandboxCheck *checks, size_t n, const Error *error) {
    Fixture *f = userdata;
    f->n_done++;
    f->done_ok = !error && n == 1 && checks[0].passed;
}

static void on_listed(void *userdata, ProcessInfo *processes, size_t n, const Error *error) {
    Fixture *f = userdata;
    on_done(f, error);
    f->n_listed = n;
    f->first_listed = n > 0 ? processes[0].host_pid : 0;
}

static void test_verify_and_processes(void **state) {
    Fixture *f = *state;
    Container *c = run(f, "x", "exec sleep 100");
    assert_int_equal(container_verify(c, on_verified, f, NULL), 0);
    run_until(f, &f->n_done, 1);
    assert_true(f->done_ok);
    assert_int_equal(container_processes(c, on_listed, f, NULL), 0);
    assert_int_equal(f->n_done, 1);
    run_until(f, &f->n_done, 2);
    assert_true(f->done_ok);
    assert_int_equal(f->n_listed, 1);
    assert_int_equal(f->first_listed, container_pid(c));
}

static ErrorKind processes_error(Fixture *f, Container *c) {
    Error error = ERROR_INIT;
    assert_true(container_processes(c, on_listed, f, &error) < 0);
    return error.kind;
}

/* They cost the owner starts, also when the container is gone, but not the container's end. */
static void test_processes_that_hang(void **state) {
    Fixture *f = *state;
    Container *c = run(f, "x", "exec sleep 100");
    int fds[2];
    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    hang_fd = fds[0];
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(container_processes(c, on_listed, f, NULL), 0);
    assert_int_equal(processes_error(f, c), ERROR_QUOTA_EXCEEDED);
    remove_container(f, c, true);
    assert_int_equal(f->n_done, 1);
    expect_nothing_left(f);
    assert_int_equal(start_error(f, spec_new(1000, "y", "true")), ERROR_QUOTA_EXCEEDED);
    (void) start(f, spec_new(2000, "y", "exec sleep 100"));
    run_until(f, &f->n_notices, 1);
    assert_int_equal(write(fds[1], "xyz", 3), 3);
    run_until(f, &f->n_done, 4);
    assert_false(f->done_ok);
    assert_int_equal(f->done_error.kind, ERROR_NOT_RUNNING);
    (void) run(f, "z", "exec sleep 100");
    (void) close(fds[0]);
    (void) close(fds[1]);
}

/* While a list was being read a process has left, and its number may be anybody's. */
static void test_processes_that_leave(void **state) {
    Fixture *f = *state;
    Container *c = run(f, "x", "exec sleep 100");
    int fds[2];
    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    struct CgroupGroup *g = group_find(container_id(c));
    assert_int_equal(cgroup_group_attach(g, getpid(), NULL), 0);
    assert_int_equal(container_processes(c, on_listed, f, NULL), 0);
    run_until(f, &f->n_done, 1);
    assert_int_equal(f->n_listed, 2);
    hang_fd = fds[0];
    assert_int_equal(container_processes(c, on_listed, f, NULL), 0);
    usleep(100000); /* until it has the pids */
    for (unsigned i = 0; i < ELEMENTSOF(g->pids); i++)
        if (g->pids[i] == getpid())
            g->pids[i] = 0;
    assert_int_equal(write(fds[1], "x", 1), 1);
    run_until(f, &f->n_done, 2);
    assert_true(f->done_ok);
    assert_int_equal(f->n_listed, 1);
    assert_int_equal(f->first_listed, container_pid(c));
    (void) close(fds[0]);
    (void) close(fds[1]);
}

static void test_detach(void **state) {
    Fixture *f = *state;
    ContainerSpec *s = spec_new(1000, "x", "exec sleep 100");
    s->attached = true;
    Container *c = start(f, s);
    Error error = ERROR_INIT;
    assert_true(container_detach(c, &error) < 0);
    assert_int_equal(error.kind, ERROR_NOT_RUNNING);
    run_until(f, &f->n_notices, 1);
    assert_int_equal(container_detach(c, NULL), 0);
    assert_int_equal(f->notices[1], CONTAINER_NOTICE_DETACHED);
    assert_false(container_spec(c)->attached);
    assert_true(container_detach(c, &error) < 0);
}

/* A process that does not die: the caller is told, the container stays gone, a later attempt ends it. */
static void test_busy_cgroup(void **state) {
    Fixture *f = *state;
    Container *c = run(f, "x", "true");
    run_until(f, &f->n_notices, 2);
    /* its cleaning may be over already: a new one that cannot be cleaned */
    remove_container(f, c, true);
    remove_is_busy = true;
    c = run(f, "y", "exec sleep 100");
    uint32_t base = container_spec(c)->sandbox.id_base;
    assert_int_equal(container_remove(c, true, on_done, f, NULL), 0);
    run_until(f, &f->n_done, 2);
    assert_false(f->done_ok);
    assert_int_equal(f->done_error.kind, ERROR_FAILED);
    assert_int_equal(container_registry_count(f->registry, NULL), 1);
    assert_int_equal(container_spec(c)->sandbox.id_base, base);
    remove_is_busy = false;
    assert_int_equal(container_remove(c, true, on_done, f, NULL), 0);
    run_until(f, &f->n_done, 3);
    assert_true(f->done_ok);
    expect_nothing_left(f);
}

/* --- recovery --- */

static void reopen(Fixture *f) {
    registry_close(f);
    f->n_notices = 0;
    registry_open(f);
    Error error = ERROR_INIT;
    assert_int_equal(container_registry_recover(f->registry, &error), 0);
}

static void test_recover_running(void **state) {
    Fixture *f = *state;
    ContainerSpec *s = spec_new(1000, "x", "exec sleep 100");
    s->attached = true;
    Container *c = start(f, s);
    run_until(f, &f->n_notices, 1);
    char id[16];
    (void) snprintf(id, sizeof(id), "%s", container_id(c));
    pid_t pid = container_pid(c);
    uint32_t base = container_spec(c)->sandbox.id_base;
    uint64_t started = container_started_usec(c);
    reopen(f);
    c = find(f, 1000, "x", NULL);
    assert_non_null(c);
    assert_string_equal(container_id(c), id);
    assert_int_equal(container_state(c), CONTAINER_RUNNING);
    assert_int_equal(container_pid(c), pid);
    assert_int_equal(container_spec(c)->sandbox.id_base, base);
    assert_int_equal(container_started_usec(c), started);
    assert_false(container_spec(c)->attached);
    assert_non_null(container_log(c));
    assert_non_null(container_spec(c)->sandbox.program.seccomp);
    /* its range is taken */
    for (unsigned i = 0; i < 3; i++) {
        Container *d = start(f, spec_new(2000, NULL, "exec sleep 100"));
        assert_int_not_equal(container_spec(d)->sandbox.id_base, base);
    }
    assert_int_equal(start_error(f, spec_new(3000, NULL, "true")), ERROR_QUOTA_EXCEEDED);
    /* and its end is seen: it is our child still */
    f->n_notices = 0;
    container_unwatch(&f->watch);
    container_watch(c, &f->watch, on_notice);
    assert_int_equal(container_kill(c, SIGKILL, NULL), 0);
    run_until(f, &f->n_notices, 1);
    assert_int_equal(container_exit(c)->process.signal, SIGKILL);
}

static void test_recover_exited(void **state) {
    Fixture *f = *state;
    Container *c = run(f, "x", "echo hello; exit 6");
    run_until(f, &f->n_notices, 2);
    reopen(f);
    c = find(f, 1000, "x", NULL);
    assert_non_null(c);
    assert_int_equal(container_state(c), CONTAINER_EXITED);
    assert_int_equal(container_exit(c)->process.code, 6);
    assert_true(container_exit(c)->process.known);
    assert_non_null(container_log(c));
    assert_true(container_log_is_finished(container_log(c)));
    remove_container(f, c, false);
    expect_nothing_left(f);
}

/* Ended while no daemon ran, and reaped by somebody else. */
static void test_recover_ended(void **state) {
    Fixture *f = *state;
    Container *c = run(f, "x", "exec sleep 100");
    pid_t pid = container_pid(c);
    registry_close(f);
    (void) kill(pid, SIGKILL);
    (void) waitpid(pid, NULL, 0);
    oom_kills = 2;
    registry_open(f);
    assert_int_equal(container_registry_recover(f->registry, NULL), 0);
    c = find(f, 1000, "x", NULL);
    assert_non_null(c);
    for (unsigned i = 0; i < 100 && container_state(c) != CONTAINER_EXITED; i++)
        (void) sd_event_run(f->environment.event, 10000);
    assert_int_equal(container_state(c), CONTAINER_EXITED);
    assert_false(container_exit(c)->process.known);
    assert_true(container_exit(c)->oom_killed);
    remove_container(f, c, false);
    expect_nothing_left(f);
}

/* The pid is another's now, which is even in a cgroup of that name: the start time tells them apart. */
static void test_recover_stranger(void **state) {
    Fixture *f = *state;
    Container *c = run(f, "x", "exec sleep 100");
    pid_t pid = container_pid(c);
    char path[64], id[16];
    (void) snprintf(id, sizeof(id), "%s", container_id(c));
    (void) snprintf(path, sizeof(path), "containers/%s/record.json", id);
    registry_close(f);
    usleep(20000); /* two ticks of the clock that start times are measured by */
    pid_t stranger = fork();
    if (stranger == 0) {
        pause();
        _exit(0);
    }
    assert_int_equal(cgroup_group_attach(group_find(id), stranger, NULL), 0);
    char *text, *changed = NULL, from[32], to[32];
    assert_int_equal(path_read_file_at(f->state_fd, path, 0, 1 << 20, &text, NULL), 0);
    (void) snprintf(from, sizeof(from), "\"pid\":%d,", (int) pid);
    (void) snprintf(to, sizeof(to), "\"pid\":%d,", (int) stranger);
    char *at = strstr(text, from);
    assert_non_null(at);
    assert_true(asprintf(&changed, "%.*s%s%s", (int) (at - text), text, to, at + strlen(from)) > 0);
    int fd = openat(f->state_fd, path, O_WRONLY | O_TRUNC | O_CLOEXEC);
    assert_int_equal(write(fd, changed, strlen(changed)), strlen(changed));
    (void) close(fd);
    free(text);
    free(changed);
    registry_open(f);
    assert_int_equal(container_registry_recover(f->registry, NULL), 0);
    c = find(f, 1000, "x", NULL);
    assert_int_equal(container_pid(c), 0);
    assert_int_equal(container_state(c), CONTAINER_EXITED);
}

static void write_record(Fixture *f, const char *id, const char *text) {
    char path[64];
    (void) snprintf(path, sizeof(path), "containers/%s", id);
    assert_int_equal(mkdirat(f->state_fd, path, 0700), 0);
    assert_int_equal(mkdirat(f->data_fd, path, 0700), 0);
    (void) snprintf(path, sizeof(path), "containers/%s/record.json", id);
    int fd = text ? openat(f->state_fd, path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600) : -1;
    if (fd >= 0) {
        assert_int_equal(write(fd, text, strlen(text)), strlen(text));
        (void) close(fd);
    }
}

static void test_recover_rubbish(void **state) {
    Fixture *f = *state;
    write_record(f, "aaaaaaaaaaaa", NULL);
    write_record(f, "bbbbbbbbbbbb", "{\"id\":");
    write_record(f, "not-an-id", "{}");
    assert_int_equal(mkdirat(f->data_fd, "containers/cccccccccccc", 0700), 0);
    assert_int_equal(mkdirat(f->data_fd, "containers/cccccccccccc/layer", 0700), 0);
    reopen(f);
    assert_int_equal(container_registry_count(f->registry, NULL), 0);
    assert_int_equal(entries(f->state_fd, "containers"), 0);
    assert_int_equal(entries(f->state_fd, "set-aside"), 1);
    assert_int_equal(faccessat(f->state_fd, "set-aside/bbbbbbbbbbbb/record.json", F_OK, 0), 0);
    assert_int_equal(entries(f->data_fd, "containers"), 1);
    reopen(f); /* what was set aside stays aside */
    assert_int_equal(entries(f->data_fd, "containers"), 1);
}

static uint64_t seconds(void) {
    struct timespec t;
    (void) clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t) t.tv_sec;
}

/* A job that hangs does not keep the daemon from ending; what it uses is there when it goes on. */
static void test_end_while_one_hangs(void **state) {
    Fixture *f = *state;
    f->environment.jobs_wait_usec = 100000;
    registry_close(f);
    registry_open(f);
    ContainerSpec *s = spec_new(1000, "x", "exec sleep 100");
    s->attached = true;
    Container *c = start(f, s);
    run_until(f, &f->n_notices, 1);
    int fds[2];
    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    hang_fd = fds[0];
    assert_int_equal(container_processes(c, on_listed, f, NULL), 0);
    uint64_t begin = seconds();
    assert_null(container_registry_free(f->registry));
    assert_null(worker_pool_free(f->environment.workers));
    assert_true(seconds() - begin <= 3);
    /* as the next daemon finds it */
    Fixture next = { .environment = f->environment };
    hang_fd = 0;
    registry_open(&next);
    assert_int_equal(container_registry_recover(next.registry, NULL), 0);
    c = find(&next, 1000, "x", NULL);
    assert_non_null(c);
    assert_int_equal(container_state(c), CONTAINER_RUNNING);
    assert_false(container_spec(c)->attached);
    registry_close(&next);
    assert_int_equal(write(fds[1], "x", 1), 1);
    assert_int_equal(worker_pool_wait(f->environment.workers, 10000000), 0);
    assert_int_equal(f->n_done, 0);
    (void) close(fds[0]);
    (void) close(fds[1]);
    /* nothing hangs any more: now tear_down() frees all of it, and finds what has been freed too early */
}

/* The daemon ended while it was starting one; then while it was removing one. */
static void test_recover_half_made(void **state) {
    Fixture *f = *state;
    spawn_usec = 100000;
    spawn_error = EPERM;
    (void) start(f, spec_new(1000, "x", "true"));
    registry_close(f); /* waits for the job, whose own undoing leaves nothing */
    registry_open(f);
    assert_int_equal(container_registry_recover(f->registry, NULL), 0);
    expect_nothing_left(f);
    spawn_error = 0;
    (void) start(f, spec_new(1000, "y", "exec sleep 100"));
    reopen(f); /* had been started meanwhile: it is adopted */
    Container *c = find(f, 1000, "y", NULL);
    assert_non_null(c);
    assert_int_equal(container_state(c), CONTAINER_RUNNING);
    remove_container(f, c, true);
    expect_nothing_left(f);
}

/* The daemon was killed when the process had been noted down and its program had not begun to run. */
static void test_recover_never_executed(void **state) {
    Fixture *f = *state;
    Container *c = start(f, spec_new(1000, "x", "exec sleep 100"));
    run_until(f, &f->n_notices, 1);
    int pidfd = process_pidfd_open(container_pid(c));
    assert_true(pidfd >= 0);
    has_executed = 0;
    reopen(f);
    has_executed = 1;
    for (unsigned i = 0; i < 500 && container_registry_count(f->registry, NULL) > 0; i++)
        (void) sd_event_run(f->environment.event, 10000);
    expect_nothing_left(f);
    struct pollfd gone = { .fd = pidfd, .events = POLLIN };
    assert_int_equal(poll(&gone, 1, 5000), 1);
    (void) close(pidfd);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_life),
        TEST(test_removes_itself),
        TEST(test_failed_start),
        TEST(test_names),
        TEST(test_quotas),
        TEST(test_kill),
        TEST(test_kill_while_starting),
        TEST(test_stop),
        TEST(test_kill_process),
        TEST(test_pause),
        TEST(test_exec),
        TEST(test_exec_environment),
        TEST(test_verify_and_processes),
        TEST(test_processes_that_hang),
        TEST(test_processes_that_leave),
        TEST(test_detach),
        TEST(test_busy_cgroup),
        TEST(test_recover_running),
        TEST(test_recover_exited),
        TEST(test_recover_ended),
        TEST(test_recover_stranger),
        TEST(test_recover_rubbish),
        TEST(test_recover_half_made),
        TEST(test_recover_never_executed),
        TEST(test_end_while_one_hangs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
