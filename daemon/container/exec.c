/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Programs beside the first one.
 *
 * A program that is brought in gets the container's own seccomp program, capabilities and rlimits, never the caller's
 * choice and never fewer: where the program of a container cannot be restored, Exec is refused. An exec lives until its
 * process has been reaped and its caller has let go of it, whichever is later.
 */

#include "container/internal.h"
#include "util/log.h"
#include "util/parse.h"

#include <fcntl.h>
#include <string.h>
#include <sys/epoll.h>

typedef struct ExecJob {
    ContainerJob job;
    ContainerExec *exec; /* the completion's; NULL once it has been called */
    CgroupGroup *group;  /* the container's, which waits for this job before it lets go of it */
    int init_pidfd;
    pid_t init_pid;
    SandboxProgram program;
    SandboxProcess process;
    int result;
    Error error;
} ExecJob;

static void exec_destroy(ContainerJob *j) {
    ExecJob *e = (ExecJob *) j;
    (void) fd_close(e->init_pidfd);
    sandbox_program_done(&e->program);
    sandbox_process_done(&e->process);
    free(e);
}

static void exec_link(ContainerExec *x) {
    Container *c = x->container;
    x->next = c->execs;
    if (x->next)
        x->next->previous = x;
    c->execs = x;
    c->n_execs++;
}

static ContainerExec *exec_free(ContainerExec *x) {
    Container *c = x->container;
    if (x->next)
        x->next->previous = x->previous;
    if (x->previous)
        x->previous->next = x->next;
    else
        c->execs = x->next;
    c->n_execs--;
    (void) sd_event_source_disable_unref(x->source);
    (void) fd_close(x->pidfd);
    (void) fd_close(x->terminal_fd);
    free(x);
    container_unref(c);
    return NULL;
}

void container_execs_free(Container *c) {
    while (c->execs)
        exec_free(c->execs);
}

static int born(void *userdata, const SandboxProcess *process, Error *reterr) {
    ExecJob *e = userdata;
    return cgroup_group_attach(e->group, process->pid, reterr);
}

/* It has executed its program and waits at the first instruction. */
static int executed(void *userdata, SandboxProcess *process, Error *reterr) {
    ExecJob *e = userdata;
    const Container *c = e->job.container;
    ContainerProof proof = {
        .process = {
            .pid = process->pid,
            .pidfd = process->pidfd,
            .spec = &c->spec->sandbox,
            .program = &e->program,
            .uid = process->uid,
            .gid = process->gid,
            .groups = process->groups,
            .n_groups = process->n_groups,
            .seccomp = e->program.seccomp != NULL,
            .init_pid = e->init_pid,
            .at_start = true,
        },
        .group = e->group,
    };
    return container_attest_start(c, &proof, reterr);
}

static void exec_run(ContainerJob *j) {
    ExecJob *e = (ExecJob *) j;
    const Container *c = j->container;
    SandboxPlacement placement = { cgroup_group_fd(e->group), born, executed, e };
    e->result = sandbox_exec(c->registry->environment.sandbox, e->init_pidfd, c->spec->sandbox.id_base, &e->program,
                             &placement, &e->process, &e->error);
}

static int on_process(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
    ContainerExec *x = userdata;
    ProcessExit exit = { 0 };
    int r = process_reap(x->pidfd, &exit);
    if (r == -EAGAIN)
        return 0;
    if (r < 0)
        exit = (ProcessExit){ .known = false };
    x->source = sd_event_source_disable_unref(x->source);
    x->over = true;
    if (!x->released && x->exited) {
        _cleanup_(container_unrefp) _unused_ Container *keep = container_ref(x->container);
        x->told = true; /* X stays while it is told, even if it is released there */
        x->exited(x, x->userdata, &exit);
        x->told = false;
    }
    if (x->released)
        exec_free(x);
    return 0;
}

/* The caller's handle ends with this. */
static void exec_failed(ContainerExec *x, const Error *error) {
    x->over = true;
    if (!x->released && x->started) {
        x->told = true;
        x->started(x, x->userdata, error);
    }
    exec_free(x);
}

static void exec_succeeded(ContainerExec *x, SandboxProcess *p) {
    x->pid = p->pid;
    x->pidfd = TAKE_FD(p->pidfd);
    x->terminal_fd = TAKE_FD(p->terminal_fd);
    int r = sd_event_add_io(x->container->registry->environment.event, &x->source, x->pidfd, EPOLLIN, on_process, x);
    if (r < 0) {
        Error error = ERROR_INIT;
        (void) error_failed(&error, -r, "exec", "the process cannot be watched: %s", strerror(-r));
        (void) process_pidfd_signal(x->pidfd, SIGKILL);
        exec_failed(x, &error);
        return;
    }
    (void) sd_event_source_set_description(x->source, "container-exec");
    if (x->kill)
        (void) process_pidfd_signal(x->pidfd, SIGKILL);
    if (!x->released && x->started)
        x->started(x, x->userdata, NULL);
}

static void exec_done(ContainerJob *j) {
    ExecJob *e = (ExecJob *) j;
    ContainerExec *x = TAKE_PTR(e->exec);
    x->starting = false;
    if (e->result >= 0) {
        exec_succeeded(x, &e->process);
        return;
    }
    if (j->container->ended)
        (void) container_not_running(j->container, &e->error, "it has exited");
    else if (e->error.kind == ERROR_NONE)
        (void) error_failed(&e->error, -e->result, "exec", "the program could not be started: %s",
                            strerror(-e->result));
    if (container_differed(&e->error))
        log_event_stage(LOG_WARNING, LOG_ID_DIFFERS, j->container->id, j->container->spec->owner, e->error.subject,
                        "A program of Exec in container %s (%s) could not be started: %s", j->container->id,
                        container_name(j->container), e->error.message);
    exec_failed(x, &e->error);
}

static int copy_string(char **to, const char *from) {
    if (*to || !from)
        return 0;
    *to = strdup(from);
    return *to ? 0 : -ENOMEM;
}

typedef struct Key {
    const char *text;
    size_t size;
} Key;

static Key key_of(const char *entry) {
    return (Key){ entry, strcspn(entry, "=") };
}

static int key_compare(const void *a, const void *b) {
    const Key *x = a, *y = b;
    int order = memcmp(x->text, y->text, x->size < y->size ? x->size : y->size);
    return order != 0 ? order : (x->size > y->size) - (x->size < y->size);
}

static int sort_keys(char *const *environment, size_t n, Key **ret) {
    Key *keys = calloc(n + 1, sizeof(Key));
    if (!keys)
        return -ENOMEM;
    for (size_t i = 0; i < n; i++)
        keys[i] = key_of(environment[i]);
    qsort(keys, n, sizeof(Key), key_compare);
    *ret = keys;
    return 0;
}

/*
 * The container's environment, then the caller's: where a key occurs in both, the caller's alone. Sorted, because the
 * obvious loop over twice 4,096 entries would hold up the daemon.
 */
static int merge_environment(char *const *base, char ***environment) {
    size_t n_base = strv_length(base), n_own = strv_length(*environment), n = 0;
    _cleanup_(strv_freep) char **merged = calloc(n_base + n_own + 1, sizeof(char *));
    _cleanup_free_ Key *own = NULL;
    if (!merged || sort_keys(*environment, n_own, &own) < 0)
        return -ENOMEM;
    for (size_t i = 0; i < n_base; i++) {
        Key key = key_of(base[i]);
        if (bsearch(&key, own, n_own, sizeof(Key), key_compare))
            continue;
        merged[n] = strdup(base[i]);
        if (!merged[n])
            return -ENOMEM;
        n++;
    }
    for (size_t i = 0; i < n_own; i++)
        merged[n++] = (*environment)[i];
    free(*environment);
    *environment = TAKE_PTR(merged);
    return 0;
}

static int fill_in(const Container *c, SandboxProgram *p) {
    const SandboxProgram *own = &c->spec->sandbox.program;
    int r = copy_string(&p->user, own->user);
    if (r >= 0)
        r = copy_string(&p->working_directory, own->working_directory);
    if (r >= 0)
        r = merge_environment(own->environment, &p->environment);
    if (r < 0)
        return r;
    free(p->rlimits);
    p->rlimits = NULL;
    p->n_rlimits = 0;
    if (own->n_rlimits > 0) {
        p->rlimits = calloc(own->n_rlimits, sizeof(SandboxRlimit));
        if (!p->rlimits)
            return -ENOMEM;
        memcpy(p->rlimits, own->rlimits, own->n_rlimits * sizeof(SandboxRlimit));
        p->n_rlimits = own->n_rlimits;
    }
    r = copy_string(&p->apparmor_profile, own->apparmor_profile);
    if (r >= 0)
        r = copy_string(&p->selinux_context, own->selinux_context);
    if (r < 0)
        return r;
    p->capabilities = own->capabilities;
    (void) seccomp_program_unref(p->seccomp);
    p->seccomp = own->seccomp ? seccomp_program_ref(own->seccomp) : NULL;
    return 0;
}

static int check_exec(Container *c, Error *reterr) {
    int r = container_require_alive(c, reterr);
    if (r < 0)
        return r;
    if (c->state == CONTAINER_PAUSED || c->freezing)
        return container_not_running(c, reterr, "it is paused");
    if (c->seccomp_missing)
        return error_failed(reterr, ENODATA, "exec", "the container's system call filter could not be restored");
    if (c->n_execs >= CONTAINER_EXECS_MAX)
        return error_set(reterr, ERROR_QUOTA_EXCEEDED, EAGAIN, "execs",
                         "%u programs of Exec run in the container already", CONTAINER_EXECS_MAX);
    return registry_check_quota(c->registry, c->spec->owner, false, reterr);
}

static int exec_new(Container *c, SandboxProgram *program, ExecJob **ret) {
    ExecJob *e = calloc(1, sizeof(ExecJob));
    ContainerExec *x = calloc(1, sizeof(ContainerExec));
    if (!e || !x) {
        free(e);
        free(x);
        return -ENOMEM;
    }
    x->container = container_ref(c);
    x->pidfd = x->terminal_fd = -EBADF;
    x->starting = true;
    exec_link(x);
    e->job = (ContainerJob){ .run = exec_run, .done = exec_done, .destroy = exec_destroy };
    e->exec = x;
    e->group = c->group;
    e->init_pid = c->pid;
    e->process = SANDBOX_PROCESS_INIT;
    e->program = *program;
    *program = SANDBOX_PROGRAM_INIT;
    e->init_pidfd = fcntl(c->pidfd, F_DUPFD_CLOEXEC, 3);
    int r = e->init_pidfd < 0 ? -errno : fill_in(c, &e->program);
    if (r < 0) {
        exec_destroy(&e->job);
        exec_free(x);
        return r;
    }
    *ret = e;
    return 0;
}

int container_exec(Container *c, SandboxProgram *consume_program, ContainerExecStarted started,
                   ContainerExecExited exited, void *userdata, ContainerExec **ret, Error *reterr) {
    ExecJob *e = NULL;
    int r = check_exec(c, reterr);
    if (r < 0) {
        sandbox_program_done(consume_program);
        return r;
    }
    r = exec_new(c, consume_program, &e);
    if (r < 0) {
        sandbox_program_done(consume_program);
        return error_failed(reterr, -r, "exec", "the program cannot be started: %s", strerror(-r));
    }
    ContainerExec *x = e->exec;
    x->started = started;
    x->exited = exited;
    x->userdata = userdata;
    r = container_job_submit(c, &e->job);
    if (r < 0) {
        exec_destroy(&e->job);
        exec_free(x);
        return error_set(reterr, ERROR_QUOTA_EXCEEDED, -r, "starts", "the daemon has too much under way; try again");
    }
    if (ret)
        *ret = x;
    return 0;
}

pid_t container_exec_pid(const ContainerExec *x) {
    return x->pid;
}
int container_exec_terminal_fd(const ContainerExec *x) {
    return x->terminal_fd;
}

ContainerExec *container_exec_release(ContainerExec *x, bool kill) {
    if (!x || x->released)
        return NULL;
    x->released = true;
    x->kill = kill;
    if (kill && !x->over && x->pidfd >= 0)
        (void) process_pidfd_signal(x->pidfd, SIGKILL);
    if (x->over && !x->told)
        exec_free(x);
    return NULL;
}
