/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The fakes, and the fixture that starts containers on them: see the header. */

#include "registry-fixture.h"

#include "sandbox/devices.h"
#include "util/paths.h"

#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

/* --- fakes --- */

struct Fakes fakes = { .has_executed = 1, .program = { .fprog = { 1, &fakes.program.filter } } };
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;

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
    *ret = seccomp_program_ref(&fakes.program);
    return 0;
}
int seccomp_cache_get(SeccompCache *c, const char *profile, uint64_t caps, bool without_memfd, SeccompProgram **ret,
                      Error *reterr) {
    if (profile && strcmp(profile, "bad") == 0)
        return error_invalid(reterr, "seccompProfile", "it is bad");
    *ret = seccomp_program_ref(&fakes.program);
    return 0;
}

CgroupGroup *fake_group_find(const char *id) {
    for (unsigned i = 0; i < ELEMENTSOF(fakes.groups); i++)
        if (fakes.groups[i].exists && strcmp(fakes.groups[i].id, id) == 0)
            return &fakes.groups[i];
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
const char *cgroup_hierarchies_missing(const CgroupHierarchies *h, CgroupController c) {
    return fakes.pids_missing;
}
int cgroup_limits_apply(CgroupGroup *g, const CgroupLimits *former, const CgroupLimits *limits, Error *reterr) {
    if (limits->memory == 1)
        return error_set(reterr, ERROR_LIMIT_UNAVAILABLE, ENOTSUP, "memory", "there is none");
    fakes.applied = *limits;
    fakes.n_applied++;
    return 0;
}
int cgroup_limits_read(CgroupGroup *g, CgroupLimits *ret, Error *reterr) {
    *ret = fakes.found;
    return 0;
}
/* What was applied is in force. */
int cgroup_limits_read_wanted(CgroupGroup *g, const CgroupLimits *wanted, CgroupLimits *ret, Error *reterr) {
    *ret = *wanted;
    return 0;
}
int cgroup_group_attest(CgroupGroup *g, pid_t pid, CheckList *checks) {
    check_add(checks, "cgroup", "here", cgroup_group_holds(g, pid, NULL) == 1 ? "here" : "elsewhere");
    return 0;
}
int devices_in_force(int cgroup_fd) {
    return 1;
}
bool cgroup_limits_equal(const CgroupHierarchies *h, const CgroupLimits *a, const CgroupLimits *b) {
    return a->memory == b->memory && a->pids == b->pids;
}
int cgroup_events_open(CgroupGroup *g, CgroupEventSource ret[CGROUP_EVENT_SOURCES_MAX]) {
    if (fakes.event_fd <= 0)
        return 0;
    ret[0] = (CgroupEventSource){ fakes.event_fd, EPOLLIN };
    return 1;
}
void cgroup_events_acknowledge(CgroupGroup *g, int fd) {
    uint64_t n;
    assert_int_equal(read(fd, &n, sizeof(n)), sizeof(n));
}
void cgroup_events_read(CgroupGroup *g, CgroupEvents *ret) {
    *ret = fakes.events;
    ret->memory_oom_kill = fakes.oom_kills;
}
const char *cgroup_counter_name(CgroupCounter c) {
    static const char *const names[] = {
        "cpu.usageUsec",
        "cpu.userUsec",
        "cpu.systemUsec",
        "cpu.periods",
        "cpu.throttledPeriods",
        "cpu.throttledUsec",
        "memory.current",
        "memory.peak",
        "memory.workingSet",
        "memory.anon",
        "memory.file",
        "memory.shmem",
        "memory.kernel",
        "memory.inactiveFile",
        "memory.swap",
        "memory.limit",
        "memory.high",
        "memory.max",
        "memory.oom",
        "memory.oomKill",
        "pids.current",
        "pids.peak",
        "pids.limit",
        "pids.refused",
        "io.readBytes",
        "io.writeBytes",
        "io.reads",
        "io.writes",
        "pressure.cpu.someUsec",
        "pressure.cpu.fullUsec",
        "pressure.memory.someUsec",
        "pressure.memory.fullUsec",
        "pressure.io.someUsec",
        "pressure.io.fullUsec",
    };
    _Static_assert(ELEMENTSOF(names) == _CGROUP_COUNTER_MAX, "one for each");
    return names[c];
}
int cgroup_group_empty(CgroupGroup *g, uint64_t timeout_usec, Error *reterr) {
    if (fakes.remove_is_busy)
        return error_failed(reterr, EBUSY, "cgroup", "it is busy");
    cgroup_group_kill(g);
    return 0;
}

/* A layer is a directory called layer, as everybody can see. */
struct StorageLayer {
    int fd;
};
StorageKind storage_host_kind(const StorageHost *h) {
    return fakes.storage_missing ? STORAGE_DIRECTORY : STORAGE_FILE_SYSTEM;
}
const char *storage_host_missing(const StorageHost *h) {
    return fakes.storage_missing;
}
int storage_layer_create(StorageHost *h, int dir_fd, uint32_t project, const StorageLimits *limits, StorageLayer **ret,
                         Error *reterr) {
    StorageLayer *l = malloc(sizeof(StorageLayer));
    assert_int_equal(mkdirat(dir_fd, "layer", 0700), 0);
    l->fd = openat(dir_fd, "layer", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    __atomic_add_fetch(&fakes.n_layers, 1, __ATOMIC_SEQ_CST);
    fakes.n_layers_open++;
    *ret = l;
    return 0;
}
int storage_layer_open(StorageHost *h, int dir_fd, uint32_t project, StorageKind kind, int root_fd, StorageLayer **ret,
                       Error *reterr) {
    StorageLayer *l = malloc(sizeof(StorageLayer));
    l->fd = openat(dir_fd, "layer", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    fakes.n_layers_open++;
    *ret = l;
    return 0;
}
StorageLayer *storage_layer_free(StorageLayer *l) {
    if (!l)
        return NULL;
    (void) close(l->fd);
    free(l);
    fakes.n_layers_open--;
    return NULL;
}
bool seccomp_program_tells(const SeccompProgram *p) {
    return true;
}
const char *watch_subject_missing(const WatchSubject *s, FindingKind kind) {
    (void) s;
    (void) kind;
    return NULL;
}

const char *watch_missing(const Watch *w, FindingKind kind) {
    return NULL;
}
int storage_layer_open_part(StorageLayer *l, const char *name) {
    return -ENOENT;
}

int storage_layer_fd(const StorageLayer *l) {
    return l->fd;
}
bool storage_layer_is_mount(const StorageLayer *l) {
    return false;
}
int storage_layer_set_limits(StorageLayer *l, const StorageLimits *limits, Error *reterr) {
    if (fakes.storage_refuses)
        return error_set(reterr, ERROR_LIMIT_UNAVAILABLE, EOPNOTSUPP, "storage", "it does not shrink");
    return 0;
}
void storage_layer_usage(StorageLayer *l, StorageUsage *ret) {
    *ret = fakes.storage;
}
int storage_layer_remove(StorageHost *h, int dir_fd, uint32_t project, Error *reterr) {
    if (unlinkat(dir_fd, "layer", AT_REMOVEDIR) >= 0)
        __atomic_sub_fetch(&fakes.n_layers, 1, __ATOMIC_SEQ_CST);
    return 0;
}

struct NetworkEndpoint {
    int unused;
};
int network_address_take(NetworkHost *h, uint32_t *ret) {
    *ret = 0x0AD50002;
    return 0;
}
int network_address_take_again(NetworkHost *h, uint32_t address) {
    return 0;
}
void network_address_give_back(NetworkHost *h, uint32_t address) {}
static NetworkEndpoint *new_endpoint(void) {
    fakes.n_endpoints_open++;
    return calloc(1, sizeof(NetworkEndpoint));
}
int network_endpoint_create(NetworkHost *h, const char *id, pid_t pid, const NetworkSpec *spec, NetworkEndpoint **ret,
                            Error *reterr) {
    assert_int_equal(spec->address, 0x0AD50002);
    __atomic_add_fetch(&fakes.n_endpoints, 1, __ATOMIC_SEQ_CST);
    *ret = new_endpoint();
    return 0;
}
int network_endpoint_open(NetworkHost *h, const char *id, pid_t pid, const NetworkSpec *spec, NetworkEndpoint **ret,
                          Error *reterr) {
    *ret = new_endpoint();
    return 0;
}
NetworkEndpoint *network_endpoint_free(NetworkEndpoint *e) {
    if (e)
        fakes.n_endpoints_open--;
    free(e);
    return NULL;
}
int network_endpoint_set_rates(NetworkEndpoint *e, const NetworkRates *rates, Error *reterr) {
    fakes.rates = *rates;
    return 0;
}
int network_endpoint_remove(NetworkHost *h, const char *id, const NetworkSpec *spec, Error *reterr) {
    __atomic_sub_fetch(&fakes.n_endpoints, 1, __ATOMIC_SEQ_CST);
    return 0;
}
int network_host_recover(NetworkHost *h, const char *const *ids, size_t n, Error *reterr) {
    fakes.n_recovered = (unsigned) n;
    return 0;
}
int network_host_read(NetworkHost *h) {
    return 0;
}
bool network_endpoint_usage(NetworkEndpoint *e, NetworkUsage *ret) {
    *ret = (NetworkUsage){ .in_bytes = 11, .out_bytes = 22 };
    return true;
}
int network_endpoint_read(NetworkEndpoint *e, NetworkUsage *ret) {
    return network_endpoint_usage(e, ret) ? 0 : -ENODEV;
}

int cgroup_group_create(CgroupHierarchies *h, const char *id, CgroupGroup **ret, Error *reterr) {
    pthread_mutex_lock(&mutex);
    for (unsigned i = 0; i < ELEMENTSOF(fakes.groups); i++)
        if (!fakes.groups[i].exists) {
            fakes.groups[i] = (CgroupGroup){ .exists = true };
            (void) snprintf(fakes.groups[i].id, sizeof(fakes.groups[i].id), "%s", id);
            *ret = &fakes.groups[i];
            break;
        }
    pthread_mutex_unlock(&mutex);
    return 0;
}
int cgroup_group_open(CgroupHierarchies *h, const char *id, CgroupGroup **ret, Error *reterr) {
    CgroupGroup *g = fake_group_find(id);
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
/* Nothing is looked for: environment.watch is NULL. */
int watch_subject_new(Watch *w, WatchSubjectSpec *spec, WatchSubject **ret) {
    return -EOPNOTSUPP;
}
WatchSubject *watch_subject_free(WatchSubject *s) {
    return NULL;
}
int watch_subject_add_calls(WatchSubject *s, int consume_fd) {
    return -EOPNOTSUPP;
}
void watch_subject_set_cpu_quota(WatchSubject *s, uint64_t quota_per_sec_usec) {}
uint64_t watch_subject_dropped(const WatchSubject *s) {
    return fakes.dropped;
}
/* A process of the table; there is no pid namespace, so that the numbers are the same inside. */
int removal_open(CgroupGroup *g, pid_t first_pid, const RemovalTarget *t, pid_t *ret_host_pid) {
    pid_t pid = t->host_pid > 0 ? t->host_pid : t->pid;
    uint64_t start_time;
    if (cgroup_group_holds(g, pid, NULL) != 1)
        return -ESRCH;
    if (t->start_time > 0 && (process_start_time(pid, &start_time) < 0 || start_time != t->start_time))
        return -ESRCH;
    *ret_host_pid = pid;
    return process_pidfd_open(pid);
}
int removal_run(const Removal *r, const RemovalTarget *t, Receipt *ret, Error *reason) {
    pid_t pid = 0;
    int pidfd = removal_open(r->group, r->first_pid, t, &pid);
    fakes.n_removals++;
    if (pidfd < 0)
        return -ESRCH;
    if (fakes.n_failing > 0) {
        fakes.n_failing--;
        (void) close(pidfd);
        return -EMFILE;
    }
    *ret = (Receipt){ .pid = pid, .host_pid = pid, .outcome = RECEIPT_SPARED };
    if (pid != r->first_pid) {
        if (r->evidence)
            r->evidence(r->userdata, pid, pidfd);
        (void) process_pidfd_signal(pidfd, SIGKILL);
        *ret = (Receipt){ .pid = pid, .host_pid = pid, .outcome = RECEIPT_DEAD, .processes = 1, .duration_usec = 800 };
    }
    (void) close(pidfd);
    return 0;
}
int removal_run_all(CgroupGroup *g, uint64_t timeout_usec, Receipt *ret, Error *reason) {
    cgroup_group_kill(g);
    *ret = (Receipt){ .outcome = RECEIPT_DEAD, .processes = 1, .duration_usec = 900 };
    return 0;
}
int cgroup_group_freeze(CgroupGroup *g, bool freeze, uint64_t timeout_usec) {
    g->freeze = g->frozen = freeze;
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
    if (fakes.hang_fd > 0) {
        fakes.n_hanging++;
        assert_int_equal(read(fakes.hang_fd, &byte, 1), 1);
    }
    return 0;
}
int cgroup_group_remove(CgroupGroup *g, uint64_t timeout_usec, Error *reterr) {
    if (fakes.remove_is_busy)
        return error_failed(reterr, EBUSY, "cgroup", "it is busy");
    cgroup_group_kill(g);
    pthread_mutex_lock(&mutex);
    g->exists = false;
    pthread_mutex_unlock(&mutex);
    return 0;
}
void cgroup_usage_read(CgroupGroup *g, CgroupUsage *ret) {
    for (unsigned i = 0; i < _CGROUP_COUNTER_MAX; i++) {
        ret->values[i] = CGROUP_UNKNOWN;
        ret->reasons[i] = "the test has none";
    }
    ret->n_devices = 0;
    ret->values[CGROUP_MEMORY_OOM_KILL] = fakes.oom_kills;
    ret->reasons[CGROUP_MEMORY_OOM_KILL] = NULL;
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
    p->calls_fd = fd_close(p->calls_fd);
}
static int fake_start(const SandboxProgram *p, const SandboxPlacement *placement, SandboxProcess *ret, Error *reterr) {
    if (fakes.spawn_usec)
        usleep(fakes.spawn_usec);
    if (fakes.spawn_error)
        return error_set(reterr, ERROR_HARDENING_FAILED, fakes.spawn_error, "mounts", "as the test wants it");
    int go[2], executed[2]; /* the second is closed by execve: as the real one, this returns when the program runs */
    char byte;
    assert_int_equal(pipe2(go, O_CLOEXEC), 0);
    assert_int_equal(pipe2(executed, O_CLOEXEC), 0);
    pid_t pid = fork();
    if (pid == 0) {
        sigset_t none;
        sigemptyset(&none);
        sigprocmask(SIG_SETMASK, &none, NULL);
        for (int i = 0; i < 3; i++)
            if (p->stdio[i] >= 0)
                (void) dup2(p->stdio[i], i);
        (void) close(go[1]);
        if (read(go[0], &byte, 1) == 1)
            execvp(p->command[0], p->command);
        _exit(127);
    }
    (void) close(go[0]);
    (void) close(executed[1]);
    SandboxProcess process = {
        .pid = pid,
        .pidfd = process_pidfd_open(pid),
        .terminal_fd = -EBADF,
        .calls_fd = -EBADF,
        .uid = 7,
        .gid = 8,
    };
    assert_int_equal(placement->born(placement->userdata, &process, reterr), 0);
    int r = placement->executed(placement->userdata, &process, reterr);
    if (r >= 0)
        assert_int_equal(write(go[1], "", 1), 1);
    (void) close(go[1]);
    (void) !read(executed[0], &byte, 1);
    (void) close(executed[0]);
    if (r < 0) { /* as the real one: nothing of it is left */
        assert_int_equal(waitpid(pid, NULL, 0), pid);
        sandbox_process_done(&process);
        return r;
    }
    *ret = process;
    return 0;
}
bool sandbox_holds_memfds(const SandboxHost *h) {
    return true;
}
int sandbox_has_executed(SandboxHost *h, pid_t pid) {
    return fakes.has_executed;
}
int sandbox_spawn(SandboxHost *h, const SandboxSpec *spec, const SandboxPlacement *placement, SandboxProcess *ret,
                  Error *reterr) {
    assert_true(spec->layer_fd >= 0);
    return fake_start(&spec->program, placement, ret, reterr);
}
int sandbox_exec(SandboxHost *h, int init_pidfd, uint32_t id_base, const SandboxProgram *p,
                 const SandboxPlacement *placement, SandboxProcess *ret, Error *reterr) {
    pthread_mutex_lock(&mutex);
    free(fakes.exec_environment);
    fakes.exec_environment = strdup("");
    for (char **e = p->environment; e && *e; e++) {
        char *longer = NULL;
        assert_true(asprintf(&longer, "%s%s ", fakes.exec_environment, *e) >= 0);
        free(fakes.exec_environment);
        fakes.exec_environment = longer;
    }
    fakes.exec_seccomp = p->seccomp;
    pthread_mutex_unlock(&mutex);
    return fake_start(p, placement, ret, reterr);
}
int sandbox_attest(SandboxHost *h, const SandboxExpectation *x, CheckList *checks) {
    check_add_verdict(checks, "uid", x->uid == 7, "7", "?");
    if (x->at_start)
        fakes.n_attested++;
    if (fakes.attest_differs)
        check_add(checks, "noNewPrivs", "1", "0");
    return fakes.attest_error ? -fakes.attest_error : 0;
}

/* --- fixture --- */

void fixture_open(Fixture *f) {
    assert_int_equal(sd_event_new(&f->environment.event), 0);
    assert_int_equal(worker_pool_new(f->environment.event, 16, &f->environment.workers), 0);
    assert_int_equal(container_registry_new(&f->environment, &f->registry, NULL), 0);
}

void fixture_close(Fixture *f) {
    f->registry = container_registry_free(f->registry);
    f->environment.workers = worker_pool_free(f->environment.workers);
    f->environment.event = sd_event_unref(f->environment.event);
}

static int directory(int parent_fd, const char *name) {
    assert_int_equal(mkdirat(parent_fd, name, 0700), 0);
    return openat(parent_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

int fixture_set_up(void **state) {
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
    memset(fakes.groups, 0, sizeof(fakes.groups));
    fakes.spawn_error = 0;
    fakes.spawn_usec = 0;
    fakes.attest_differs = false;
    fakes.attest_error = 0;
    fakes.n_attested = 0;
    fakes.remove_is_busy = false;
    fakes.hang_fd = 0;
    fakes.n_hanging = 0;
    fakes.n_removals = 0;
    fakes.n_failing = 0;
    fakes.dropped = 0;
    fakes.oom_kills = 0;
    fakes.storage = (StorageUsage){ 0, 0, STORAGE_LIMIT_NONE, STORAGE_LIMIT_NONE, NULL };
    fakes.pids_missing = fakes.storage_missing = NULL;
    fakes.has_executed = 1;
    fakes.exec_seccomp = NULL;
    fixture_open(f);
    *state = f;
    return 0;
}

int fixture_tear_down(void **state) {
    Fixture *f = *state;
    fakes.remove_is_busy = false;
    fixture_close(f); /* waits for those that are being started */
    for (unsigned i = 0; i < ELEMENTSOF(fakes.groups); i++)
        if (fakes.groups[i].exists)
            cgroup_group_kill(&fakes.groups[i]);
    while (waitpid(-1, NULL, 0) > 0)
        ;
    free(fakes.exec_environment);
    fakes.exec_environment = NULL;
    assert_int_equal(path_remove_tree_at(f->fd, "state"), 0);
    assert_int_equal(path_remove_tree_at(f->fd, "data"), 0);
    (void) close(f->state_fd);
    (void) close(f->data_fd);
    (void) close(f->fd);
    assert_int_equal(rmdir(f->directory), 0);
    free(f);
    return 0;
}

void fixture_on_notice(ContainerWatch *w, Container *c, ContainerNotice notice, const Error *error) {
    Fixture *f = (Fixture *) ((char *) w - offsetof(Fixture, watch));
    assert_true(f->n_notices < ELEMENTSOF(f->notices));
    f->notices[f->n_notices++] = notice;
    if (error)
        f->error = *error;
}

void fixture_on_done(void *userdata, const Error *error) {
    Fixture *f = userdata;
    f->n_done++;
    f->done_ok = !error;
    if (error)
        f->done_error = *error;
}

ContainerSpec *fixture_spec(uid_t owner, const char *name, const char *script) {
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

Container *fixture_start(Fixture *f, ContainerSpec *s) {
    Container *c = NULL;
    Error error = ERROR_INIT;
    f->n_notices = 0;
    container_unwatch(&f->watch);
    int r = container_start(f->registry, s, &f->watch, fixture_on_notice, &c, &error);
    if (r < 0)
        print_error("%s: %s\n", error.subject, error.message);
    assert_int_equal(r, 0);
    assert_int_equal(f->n_notices, 0);
    return c;
}

ErrorKind fixture_start_error(Fixture *f, ContainerSpec *s) {
    Container *c = NULL;
    Error error = ERROR_INIT;
    assert_true(container_start(f->registry, s, NULL, NULL, &c, &error) < 0);
    assert_null(c);
    return error.kind;
}

void fixture_run_until(Fixture *f, const unsigned *counter, unsigned value) {
    for (unsigned i = 0; i < 1000 && *counter < value; i++)
        (void) sd_event_run(f->environment.event, 10000);
    assert_true(*counter >= value);
}

Container *fixture_run(Fixture *f, const char *name, const char *script) {
    Container *c = fixture_start(f, fixture_spec(1000, name, script));
    fixture_run_until(f, &f->n_notices, 1);
    assert_int_equal(f->notices[0], CONTAINER_NOTICE_STARTED);
    return c;
}

unsigned fixture_entries(int dir_fd, const char *name) {
    int fd = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *d = fdopendir(fd);
    assert_non_null(d);
    unsigned n = 0;
    while (readdir(d))
        n++;
    closedir(d);
    return n - 2;
}

void fixture_expect_nothing_left(Fixture *f) {
    assert_int_equal(fixture_entries(f->state_fd, "containers"), 0);
    assert_int_equal(fixture_entries(f->data_fd, "containers"), 0);
    for (unsigned i = 0; i < ELEMENTSOF(fakes.groups); i++)
        assert_false(fakes.groups[i].exists);
    assert_int_equal(container_registry_count(f->registry, NULL), 0);
}

void fixture_await_hanging(unsigned n) {
    for (unsigned i = 0; i < 10000 && fakes.n_hanging < n; i++)
        usleep(1000); /* another thread's progress: there is no event for it */
    assert_int_equal(fakes.n_hanging, n);
}

void fixture_remove(Fixture *f, Container *c, bool force) {
    unsigned before = f->n_done;
    assert_int_equal(container_remove(c, force, fixture_on_done, f, NULL), 0);
    fixture_run_until(f, &f->n_done, before + 1);
    assert_true(f->done_ok);
}

Container *fixture_find(Fixture *f, uid_t uid, const char *name, ErrorKind *ret_kind) {
    ContainerViewer v = { uid };
    Container *c = NULL;
    Error error = ERROR_INIT;
    (void) container_find(f->registry, &v, name, &c, &error);
    if (ret_kind)
        *ret_kind = error.kind;
    return c;
}

void fixture_on_listed(void *userdata, ProcessInfo *processes, size_t n, const Error *error) {
    Fixture *f = userdata;
    fixture_on_done(f, error);
    f->n_listed = n;
    f->first_listed = n > 0 ? processes[0].host_pid : 0;
}
