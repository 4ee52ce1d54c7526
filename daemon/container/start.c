/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * From a spec to a running container.
 *
 * The loop registers it: id, name, quota, range of ids. One job then does everything that may take time, in this order:
 * directory and record in the state directory, so that whatever follows can be found by the next daemon; writable
 * layer, seccomp program, cgroup with its limits, log, the process, and, while that still waits, its network and the
 * record again with the process in it. A job that fails undoes its own work in its own thread.
 *
 * Trust: the spec is checked, yet the descriptors in it were opened by the caller and may hang whoever uses them; that
 * holds up this job and counts against the caller's starts, nothing else.
 */

#include "container/internal.h"
#include "container/record.h"
#include "util/log.h"
#include "util/parse.h"
#include "util/paths.h"

#include <fcntl.h>
#include <linux/filter.h>
#include <linux/openat2.h>
#include <poll.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <sys/stat.h>

typedef struct StartJob {
    ContainerJob job;
    int state_fd, data_fd;
    int payload_fds[2]; /* the FIFOs' ends for the payload's stdout and stderr */
    SeccompProgram *seccomp;
    CgroupGroup *group;
    StorageLayer *layer;
    NetworkEndpoint *endpoint;
    ContainerLog *log;
    SandboxProcess process;
    uint64_t start_time, started_usec;
    WatchSubject *subject;
    int unwatched; /* -errno: why it is not watched */
    bool calls_silent;
    bool failed;
    bool dirty; /* failed, and not all of it could be undone */
    Error error;
} StartJob;

static void start_destroy(ContainerJob *j) {
    StartJob *s = (StartJob *) j;
    (void) fd_close(s->state_fd);
    (void) fd_close(s->data_fd);
    (void) fd_close(s->payload_fds[0]);
    (void) fd_close(s->payload_fds[1]);
    (void) seccomp_program_unref(s->seccomp);
    (void) cgroup_group_free(s->group);
    (void) watch_subject_free(s->subject);
    (void) storage_layer_free(s->layer);
    (void) network_endpoint_free(s->endpoint);
    (void) container_log_free(s->log);
    sandbox_process_done(&s->process);
    free(s);
}

static int make_directory(int parent_fd, const char *name) {
    if (mkdirat(parent_fd, name, 0700) < 0)
        return -errno;
    return path_open_at(parent_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0, RESOLVE_BENEATH);
}

static int write_record(StartJob *s) {
    const Container *c = s->job.container;
    ContainerRecord record = {
        .id = (char *) c->id,
        .spec = c->spec,
        .pid = s->process.pid,
        .pid_start_time = s->start_time,
        .uid = s->process.pid > 0 ? s->process.uid : UINT32_MAX,
        .gid = s->process.pid > 0 ? s->process.gid : UINT32_MAX,
        .created_usec = c->created_usec,
        .started_usec = s->started_usec,
        .exit_code = -1,
    };
    return container_record_write(s->state_fd, &record);
}

static int start_register(StartJob *s, Error *reterr) {
    const Container *c = s->job.container;
    s->state_fd = make_directory(c->registry->state_fd, c->id);
    if (s->state_fd < 0)
        return error_failed(reterr, -s->state_fd, "state", "the state directory cannot be made: %s",
                            strerror(-s->state_fd));
    int r = write_record(s);
    if (r < 0)
        return error_failed(reterr, -r, "record", "the record cannot be written: %s", strerror(-r));
    return 0;
}

static int start_make_layer(StartJob *s, Error *reterr) {
    const Container *c = s->job.container;
    s->data_fd = make_directory(c->registry->data_fd, c->id);
    if (s->data_fd < 0)
        return error_failed(reterr, -s->data_fd, "data", "the data directory cannot be made: %s",
                            strerror(-s->data_fd));
    return storage_layer_create(c->registry->environment.storage, s->data_fd, c->spec->sandbox.id_base,
                                &c->spec->limits.storage, &s->layer, reterr);
}

static int start_prepare_labels(StartJob *s, Error *reterr) {
    return container_labels_prepare(s->job.container, reterr);
}

/* Nothing but a filter keeps programs from being executed from memfds on kernels before 6.3; later ones let them be mapped. */
static int start_check_unfiltered(const StartJob *s, Error *reterr) {
    const Container *c = s->job.container;
    if (!c->spec->sandbox.image_only || sandbox_holds_memfds(c->registry->environment.sandbox))
        return 0;
    return error_invalid(
        reterr, "execPolicy",
        "is imageOnly, which on this kernel (before 6.3) takes a system call filter; seccompProfile is "
        "\"unconfined\"");
}

/* Kept beside the record, because Exec has to use this very program, also after the daemon's profile has changed. */
static int start_compile(StartJob *s, Error *reterr) {
    const ContainerSpec *spec = s->job.container->spec;
    if (spec->seccomp_unconfined)
        return start_check_unfiltered(s, reterr);
    const ContainerEnvironment *environment = &s->job.container->registry->environment;
    int r = seccomp_cache_get(environment->seccomp, spec->seccomp_profile, spec->sandbox.program.capabilities,
                              spec->sandbox.image_only, &s->seccomp, reterr);
    if (r < 0)
        return r;
    const struct sock_fprog *p = seccomp_program_fprog(s->seccomp);
    r = path_write_file_at(s->state_fd, CONTAINER_SECCOMP_FILE, p->filter, p->len * sizeof(struct sock_filter), 0600,
                           false);
    if (r < 0)
        return error_failed(reterr, -r, "record", "the system call filter cannot be written: %s", strerror(-r));
    return 0;
}

static int start_make_group(StartJob *s, Error *reterr) {
    const Container *c = s->job.container;
    CgroupHierarchies *h = c->registry->environment.hierarchies;
    int r = cgroup_group_create(h, c->id, &s->group, reterr);
    if (r < 0)
        return r;
    return cgroup_limits_apply(s->group, NULL, &c->spec->limits.cgroup, reterr);
}

static int start_open_log(StartJob *s, Error *reterr) {
    const Container *c = s->job.container;
    if (!c->spec->logged || c->spec->sandbox.program.terminal)
        return 0;
    int r = container_log_open(c->registry->log_thread, s->state_fd, s->data_fd, s->payload_fds, &s->log, reterr);
    if (r >= 0)
        container_store_output(c, s->state_fd);
    return r;
}

static int start_connect(StartJob *s, pid_t pid, Error *reterr) {
    const Container *c = s->job.container;
    if (c->spec->sandbox.network != SANDBOX_NETWORK_BRIDGE)
        return 0;
    NetworkSpec network = container_network_spec(c);
    return network_endpoint_create(c->registry->environment.network, c->id, pid, &network, &s->endpoint, reterr);
}

/*
 * The process exists and waits: note it down before its program can run, so that a daemon that is killed at any instant
 * leaves no program behind that the next one would not find.
 */
static int born(void *userdata, const SandboxProcess *process, Error *reterr) {
    StartJob *s = userdata;
    int r = cgroup_group_attach(s->group, process->pid, reterr);
    if (r >= 0)
        r = start_connect(s, process->pid, reterr);
    if (r < 0)
        return r;
    s->process.pid = process->pid;
    s->process.uid = process->uid;
    s->process.gid = process->gid;
    s->started_usec = now_usec();
    r = process_start_time(process->pid, &s->start_time);
    if (r >= 0)
        r = write_record(s);
    if (r < 0)
        return error_failed(reterr, -r, "record", "the record cannot be written: %s", strerror(-r));
    return 0;
}

/* Best-effort, and told: what is not looked at is no worse held. A listener that nobody takes leaves its calls refused. */
static void start_watch(StartJob *s, SandboxProcess *process) {
    const Container *c = s->job.container;
    bool told = process->calls_fd >= 0;
    if (told)
        container_store_calls(c, process->calls_fd);
    s->calls_silent = !told && c->spec->sandbox.program.tell_calls && s->seccomp && seccomp_program_tells(s->seccomp);
    s->unwatched = container_watch_begin(c, s->layer, s->seccomp, process, TAKE_FD(process->calls_fd), &s->subject);
    if (told && !s->subject)
        container_stored_remove_calls(c);
}

/* It has executed its program and waits at the first instruction. */
static int executed(void *userdata, SandboxProcess *process, Error *reterr) {
    StartJob *s = userdata;
    const Container *c = s->job.container;
    ContainerProof proof = {
        .process = {
            .pid = process->pid,
            .pidfd = process->pidfd,
            .spec = &c->spec->sandbox,
            .program = &c->spec->sandbox.program,
            .uid = process->uid,
            .gid = process->gid,
            .groups = process->groups,
            .n_groups = process->n_groups,
            .host_image = strcmp(c->spec->image, CONTAINER_IMAGE_HOST) == 0,
            .seccomp = !c->spec->seccomp_unconfined,
            .first = true,
            .at_start = true,
        },
        .group = s->group,
        .layer = s->layer,
        .limits = c->spec->limits,
    };
    int r = container_attest_start(c, &proof, reterr);
    if (r >= 0)
        start_watch(s, process);
    return r;
}

static int start_spawn(StartJob *s, Error *reterr) {
    const Container *c = s->job.container;
    SandboxSpec sandbox = c->spec->sandbox; /* owns nothing: the container's spec is not written to by a thread */
    sandbox.layer_fd = storage_layer_fd(s->layer);
    sandbox.layer_is_mount = storage_layer_is_mount(s->layer);
    sandbox.program.seccomp = s->seccomp;
    for (unsigned i = 0; i < 2; i++)
        if (sandbox.program.stdio[i + 1] < 0)
            sandbox.program.stdio[i + 1] = s->payload_fds[i];
    SandboxPlacement placement = { cgroup_group_fd(s->group), born, executed, s };
    int r = sandbox_spawn(c->registry->environment.sandbox, &sandbox, &placement, &s->process, reterr);
    if (r < 0)
        return r;
    container_store_process(c, &s->process);
    /* Only the payload may hold the FIFOs for writing: else their end would never be seen. */
    s->payload_fds[0] = fd_close(s->payload_fds[0]);
    s->payload_fds[1] = fd_close(s->payload_fds[1]);
    return 0;
}

static int start_open_terminal_log(StartJob *s, Error *reterr) {
    const Container *c = s->job.container;
    if (s->process.terminal_fd < 0 || c->spec->attached)
        return 0;
    return container_log_open_terminal(c->registry->log_thread, s->data_fd, s->process.terminal_fd, &s->log, reterr);
}

static int (*const steps[])(StartJob *s, Error *reterr) = {
    start_register,   start_make_layer, start_prepare_labels, start_compile,
    start_make_group, start_open_log,   start_spawn,          start_open_terminal_log,
};

static void kill_and_reap(SandboxProcess *p) {
    if (p->pidfd < 0)
        return;
    (void) process_pidfd_signal(p->pidfd, SIGKILL);
    struct pollfd poll_fd = { .fd = p->pidfd, .events = POLLIN };
    (void) poll(&poll_fd, 1, (int) (CONTAINER_CLEANUP_USEC / 1000U));
    ProcessExit exit;
    (void) process_reap(p->pidfd, &exit);
}

/* An id that another daemon or an older container uses is never ours to remove: then nothing of ours was made. */
static void start_undo(StartJob *s) {
    const Container *c = s->job.container;
    kill_and_reap(&s->process);
    s->subject = watch_subject_free(s->subject);
    s->log = container_log_free(s->log);
    if (s->state_fd < 0)
        return;
    _cleanup_(container_cleanup_done) Cleanup work = {
        .container = c,
        .group = TAKE_PTR(s->group),
        .layer = TAKE_PTR(s->layer),
        .endpoint = TAKE_PTR(s->endpoint),
        .dirty = true,
        .files = true,
    };
    container_cleanup(&work, CONTAINER_CLEANUP_USEC);
    s->group = TAKE_PTR(work.group);
    s->dirty = work.dirty || work.files;
}

static void start_run(ContainerJob *j) {
    StartJob *s = (StartJob *) j;
    for (size_t i = 0; i < ELEMENTSOF(steps) && !s->failed; i++) {
        int r = steps[i](s, &s->error);
        if (r >= 0)
            continue;
        s->failed = true;
        if (s->error.kind == ERROR_NONE)
            (void) error_failed(&s->error, -r, "start", "the container could not be started: %s", strerror(-r));
    }
    if (s->failed)
        start_undo(s);
}

static int on_process(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
    Container *c = userdata;
    ProcessExit exit = { 0 };
    int r = process_reap(c->pidfd, &exit);
    if (r == -EAGAIN)
        return 0;
    if (r < 0)
        exit = (ProcessExit){ .known = false };
    if (container_awaits_exit(c, &exit))
        return 0;
    container_ended(c, &exit);
    return 0;
}

int container_watch_process(Container *c) {
    sd_event *event = c->registry->environment.event;
    int r = sd_event_add_io(event, &c->exit_source, c->pidfd, EPOLLIN, on_process, c);
    if (r < 0)
        return r;
    (void) sd_event_source_set_description(c->exit_source, "container-process");
    return 0;
}

/* What the caller passed in is in the container now, or nowhere: don't pin its file systems any longer. */
static void close_spec_fds(SandboxSpec *s) {
    s->rootfs_fd = fd_close(s->rootfs_fd);
    for (size_t i = 0; i < s->n_mounts; i++)
        s->mounts[i].source_fd = fd_close(s->mounts[i].source_fd);
    for (unsigned i = 0; i < ELEMENTSOF(s->program.stdio); i++)
        s->program.stdio[i] = fd_close(s->program.stdio[i]);
}

static void adopt_results(Container *c, StartJob *s) {
    c->state_fd = TAKE_FD(s->state_fd);
    c->data_fd = TAKE_FD(s->data_fd);
    c->spec->sandbox.program.seccomp = TAKE_PTR(s->seccomp);
    c->group = TAKE_PTR(s->group);
    c->layer = TAKE_PTR(s->layer);
    c->endpoint = TAKE_PTR(s->endpoint);
    c->subject = TAKE_PTR(s->subject);
    c->calls_silent = s->calls_silent;
    c->log = TAKE_PTR(s->log);
    c->pid = s->process.pid;
    c->pidfd = TAKE_FD(s->process.pidfd);
    c->pid_start_time = s->start_time;
    c->terminal_fd = TAKE_FD(s->process.terminal_fd);
    c->uid = s->process.uid;
    c->gid = s->process.gid;
    c->started_usec = s->started_usec;
    c->dirty = true;
}

/* UNWATCHED: -errno, or not. */
static void tell_started(Container *c, int unwatched) {
    char absent[CONTROL_MESSAGE_MAX], detectors[96] = "", text[CONTROL_MESSAGE_MAX + sizeof(detectors) + 16];
    container_controls_describe(c->spec, absent);
    if (unwatched < 0) {
        (void) snprintf(detectors, sizeof(detectors), "%sdetectors: %s", absent[0] ? "; " : "", strerror(-unwatched));
        log_warning("Container %s is not watched: %s", c->id, strerror(-unwatched));
    }
    (void) snprintf(text, sizeof(text), "without %s%s", absent, detectors);
    container_add_event(c, CONTAINER_EVENT_STARTED, absent[0] || detectors[0] ? text : NULL);
}

static void start_succeeded(Container *c, StartJob *s) {
    adopt_results(c, s);
    int r = container_watch_process(c);
    if (r < 0) { /* no memory to watch it with; it cannot be left to itself */
        Error error = ERROR_INIT;
        (void) error_failed(&error, -r, "start", "the process cannot be watched: %s", strerror(-r));
        (void) container_kill_all(c);
        container_fail(c, &error, TAKE_PTR(c->group), true);
        return;
    }
    c->state = CONTAINER_RUNNING;
    log_event(LOG_INFO, LOG_ID_STARTED, c->id, c->spec->owner, "Container %s (%s) has been started as process %d",
              c->id, container_name(c), (int) c->pid);
    tell_started(c, s->unwatched);
    container_begin_accounting(c);
    container_tell(c, CONTAINER_NOTICE_STARTED, NULL);
    container_apply_pending(c);
}

static void start_done(ContainerJob *j) {
    StartJob *s = (StartJob *) j;
    Container *c = j->container;
    c->starting = false;
    close_spec_fds(&c->spec->sandbox);
    if (s->failed)
        container_fail(c, &s->error, TAKE_PTR(s->group), s->dirty);
    else
        start_succeeded(c, s);
}

static int start_submit(Container *c, Error *reterr) {
    StartJob *s = malloc(sizeof(StartJob));
    if (!s)
        return error_failed(reterr, ENOMEM, "start", "out of memory");
    *s = (StartJob){
        .job = { .run = start_run, .done = start_done, .destroy = start_destroy },
        .state_fd = -EBADF,
        .data_fd = -EBADF,
        .payload_fds = { -EBADF, -EBADF },
        .process = SANDBOX_PROCESS_INIT,
    };
    int r = container_job_submit(c, &s->job);
    if (r >= 0)
        return 0;
    start_destroy(&s->job);
    return error_set(reterr, ERROR_QUOTA_EXCEEDED, -r, "starts", "the daemon has too much under way; try again");
}

static bool id_is_used(ContainerRegistry *r, const char *id) {
    for (const Container *c = r->first; c; c = c->next)
        if (strcmp(c->id, id) == 0)
            return true;
    return false;
}

static bool name_is_used(ContainerRegistry *r, uid_t owner, const char *name) {
    for (const Container *c = r->first; c; c = c->next)
        if (!container_is_over(c) && c->spec->owner == owner && strcmp(container_name(c), name) == 0)
            return true;
    return false;
}

static int make_id(ContainerRegistry *r, uid_t owner, char ret[static CONTAINER_ID_LENGTH + 1]) {
    do {
        uint8_t bytes[CONTAINER_ID_LENGTH / 2];
        if (getrandom(bytes, sizeof(bytes), 0) != (ssize_t) sizeof(bytes))
            return -errno;
        for (unsigned i = 0; i < sizeof(bytes); i++)
            (void) snprintf(ret + (size_t) 2 * i, 3, "%02x", bytes[i]);
    } while (id_is_used(r, ret) || name_is_used(r, owner, ret));
    return 0;
}

static int environment_add(char ***environment, const char *key, const char *value) {
    if (strv_env_get(*environment, key))
        return 0;
    char *entry = NULL;
    if (asprintf(&entry, "%s=%s", key, value) < 0)
        return -ENOMEM;
    size_t n = strv_length(*environment);
    char **grown = reallocarray(*environment, n + 2, sizeof(char *));
    if (!grown) {
        free(entry);
        return -ENOMEM;
    }
    grown[n] = entry;
    grown[n + 1] = NULL;
    *environment = grown;
    return 0;
}

/* The defaults that hang on the id, which rpc could not know. */
static int spec_complete(ContainerSpec *s, const char *id) {
    if (!s->name && !(s->name = strdup(id)))
        return -ENOMEM;
    if (!s->sandbox.hostname && !(s->sandbox.hostname = strdup(s->name)))
        return -ENOMEM;
    return environment_add(&s->sandbox.program.environment, "HOSTNAME", s->sandbox.hostname);
}

static int check_admission(ContainerRegistry *r, const ContainerSpec *spec, Error *reterr) {
    if (spec->name && name_is_used(r, spec->owner, spec->name))
        return error_set(reterr, ERROR_CONTAINER_EXISTS, EEXIST, spec->name,
                         "there is a container called \"%s\" already", spec->name);
    int k = registry_check_quota(r, spec->owner, true, reterr);
    if (k < 0)
        return k;
    return 0;
}

/* What the host gives to each container, and to no two the same. On failure nothing is taken. */
static int take_numbers(ContainerRegistry *r, ContainerSpec *spec, Error *reterr) {
    int k = ranges_take(r, &spec->sandbox.id_base);
    if (k == -ENOSPC)
        return error_set(reterr, ERROR_QUOTA_EXCEEDED, ENOSPC, "ids", "every range of user ids is in use");
    if (k < 0)
        return error_failed(reterr, -k, "start", "no range of user ids can be had: %s", strerror(-k));
    if (spec->sandbox.network != SANDBOX_NETWORK_BRIDGE)
        return 0;
    k = network_address_take(r->environment.network, &spec->address);
    if (k >= 0)
        return 0;
    ranges_give_back(r, spec->sandbox.id_base);
    return error_set(reterr, ERROR_QUOTA_EXCEEDED, -k, "addresses", "every address of the pool is in use");
}

static int container_register(ContainerRegistry *r, ContainerSpec *consume_spec, Container **ret, Error *reterr) {
    _cleanup_(container_spec_freep) ContainerSpec *spec = consume_spec;
    char id[CONTAINER_ID_LENGTH + 1];
    int k = make_id(r, spec->owner, id);
    if (k >= 0)
        k = spec_complete(spec, id);
    if (k < 0)
        return error_failed(reterr, -k, "start", "the container cannot be registered: %s", strerror(-k));
    spec->storage = storage_host_kind(r->environment.storage);
    /* A limit that nobody asked for must not keep a container from a host that cannot hold it. */
    if (cgroup_hierarchies_version(r->environment.hierarchies, CGROUP_PIDS) == CGROUP_MISSING &&
        spec->limits.cgroup.pids == CGROUP_PIDS_DEFAULT)
        spec->limits.cgroup.pids = CGROUP_LIMIT_NONE;
    k = container_controls_decide(&r->environment, spec, reterr);
    if (k < 0)
        return k;
    container_watch_decide(&r->environment, spec);
    _cleanup_(container_unrefp) Container *c = NULL;
    k = container_new(r, id, TAKE_PTR(spec), &c);
    if (k < 0)
        return error_failed(reterr, -k, "start", "the container cannot be registered: %s", strerror(-k));
    k = take_numbers(r, c->spec, reterr);
    if (k < 0)
        return k;
    c->holds_numbers = true;
    k = container_labels_assign(r, c->spec, reterr);
    if (k < 0) {
        container_release_numbers(c);
        return k;
    }
    *ret = TAKE_PTR(c);
    return 0;
}

int container_start(ContainerRegistry *r, ContainerSpec *consume_spec, ContainerWatch *watch, ContainerNotify notify,
                    Container **ret, Error *reterr) {
    _cleanup_(container_spec_freep) ContainerSpec *spec = consume_spec;
    int k = check_admission(r, spec, reterr);
    if (k < 0)
        return k;
    _cleanup_(container_unrefp) Container *c = NULL;
    k = container_register(r, TAKE_PTR(spec), &c, reterr);
    if (k < 0)
        return k;
    c->created_usec = now_usec();
    c->starting = true;
    container_link(c);
    k = start_submit(c, reterr);
    if (k < 0) {
        container_release_numbers(c);
        container_unlink(c);
        return k;
    }
    container_add_event(c, CONTAINER_EVENT_CREATED, NULL);
    if (watch)
        container_watch(c, watch, notify);
    if (ret)
        *ret = c; /* the list's reference keeps it */
    return 0;
}
