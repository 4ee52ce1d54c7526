/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The proof of a container: what the kernel says of it, beside what it was to have, from every module that put something
 * in force.
 *
 * At a start it is made by the start's own thread when execve has succeeded and not one instruction of the program has
 * run; whatever differs ends the start. Later, on demand, by a job of its own.
 */

#include "container/internal.h"
#include "sandbox/devices.h"
#include "util/log.h"

#include <fcntl.h>
#include <string.h>

/* How often a verification is begun again because limits changed meanwhile. */
#define ATTEMPTS_MAX 8U

/* The program hangs on the directory above all containers: it is in force for this one, or it is for none. */
static void check_device_program(const ContainerProof *p, CheckList *checks) {
    int r = devices_in_force(cgroup_group_fd(p->group));
    check_add(checks, "deviceProgram", "in force", r > 0 ? "in force" : r == 0 ? "not attached" : strerror(-r));
}

int container_attest(const Container *c, const ContainerProof *p, CheckList *checks) {
    int r = sandbox_attest(c->registry->environment.sandbox, &p->process, checks);
    if (r >= 0)
        r = cgroup_group_attest(p->group, p->process.pid, checks);
    if (r < 0 || !p->process.first)
        return r; /* what else there is, Exec's have in common with the first */
    if (!c->spec->controls[CONTROL_DEVICES].absent[0])
        check_device_program(p, checks);
    container_controls_attest(c, p->process.pid, checks);
    return container_attest_limits(c, p, checks);
}

/* "; likewise: capEffective, capBounding": what else differs, beside the first. */
static void name_others(const CheckList *checks, const Check *first, char *ret, size_t size) {
    size_t n = 0;
    ret[0] = 0;
    for (const Check *i = first + 1; i < checks->items + checks->n && n < size; i++)
        if (!i->passed)
            n += (size_t) snprintf(ret + n, size - n, "%s%s", n > 0 ? ", " : "; likewise: ", i->control);
}

int container_attest_start(const Container *c, const ContainerProof *p, Error *reterr) {
    _cleanup_(check_list_done) CheckList checks = CHECK_LIST_INIT;
    int r = container_attest(c, p, &checks);
    if (r < 0)
        return error_set(reterr, ERROR_HARDENING_FAILED, -r, "attestation", "the new process cannot be looked at: %s",
                         strerror(-r));
    const Check *bad = check_list_difference(&checks);
    if (bad) {
        char others[128];
        name_others(&checks, bad, others, sizeof(others));
        return error_set(reterr, ERROR_HARDENING_FAILED, EPERM, "attestation",
                         "%s was to be \"%.80s\", and the kernel says \"%.80s\"%s", bad->control, bad->expected,
                         bad->found, others);
    }
    if (!check_list_passed(&checks))
        return error_set(reterr, ERROR_HARDENING_FAILED, ENOMEM, "attestation", "not everything could be compared");
    return 0;
}

typedef struct VerifyJob {
    ContainerJob job;
    ContainerProof proof;
    int pidfd;
    int result;
    unsigned attempts;
    bool unsettled; /* limits were being changed when it was submitted */
    ContainerVerified done;
    void *userdata;
    CheckList checks;
} VerifyJob;

static int verify_submit(Container *c, unsigned attempts, ContainerVerified done, void *userdata);

static void verify_destroy(ContainerJob *j) {
    VerifyJob *v = (VerifyJob *) j;
    (void) fd_close(v->pidfd);
    check_list_done(&v->checks);
    free(v);
}

static void verify_run(ContainerJob *j) {
    VerifyJob *v = (VerifyJob *) j;
    v->result = container_attest(j->container, &v->proof, &v->checks);
}

/* Limits that change while they are read are neither the former nor the new ones. */
static bool is_settled(const VerifyJob *v) {
    const Container *c = v->job.container;
    return !v->unsettled && !c->updating && memcmp(&c->spec->limits, &v->proof.limits, sizeof(v->proof.limits)) == 0;
}

static void log_difference(const Container *c, const CheckList *checks) {
    const Check *bad = check_list_difference(checks);
    if (bad)
        log_event_stage(LOG_WARNING, LOG_ID_DIFFERS, c->id, c->spec->owner, "attestation",
                        "Container %s (%s) is not what it should be: %s was to be \"%s\", and the kernel says \"%s\"",
                        c->id, container_name(c), bad->control, bad->expected, bad->found);
}

static void verify_done(ContainerJob *j) {
    VerifyJob *v = (VerifyJob *) j;
    Container *c = j->container;
    Error error = ERROR_INIT;
    if (v->result >= 0 && !check_list_passed(&v->checks) && !is_settled(v) && !c->ended && v->attempts < ATTEMPTS_MAX &&
        verify_submit(c, v->attempts + 1, v->done, v->userdata) >= 0)
        return;
    if (v->result == -ESRCH)
        (void) container_not_running(c, &error, "it has exited");
    else if (v->result < 0)
        (void) error_failed(&error, -v->result, "verify", "the container cannot be verified: %s", strerror(-v->result));
    bool ok = error.kind == ERROR_NONE;
    if (ok && !c->ended)
        log_difference(c, &v->checks);
    v->done(v->userdata, &v->checks, ok ? NULL : &error);
}

static int verify_new(Container *c, VerifyJob **ret) {
    VerifyJob *v = calloc(1, sizeof(VerifyJob));
    if (!v)
        return -ENOMEM;
    v->job = (ContainerJob){ .run = verify_run, .done = verify_done, .destroy = verify_destroy };
    v->pidfd = fcntl(c->pidfd, F_DUPFD_CLOEXEC, 3);
    if (v->pidfd < 0) {
        int r = -errno;
        verify_destroy(&v->job);
        return r;
    }
    v->proof = (ContainerProof){
        .process = {
            .pid = c->pid,
            .pidfd = v->pidfd,
            .spec = &c->spec->sandbox,
            .program = &c->spec->sandbox.program,
            .uid = c->uid,
            .gid = c->gid,
            .host_image = strcmp(c->spec->image, CONTAINER_IMAGE_HOST) == 0,
            .seccomp = !c->spec->seccomp_unconfined,
            .first = true,
        },
        .group = c->group, /* both stay until the container has no job any more */
        .layer = c->layer,
        .limits = c->spec->limits,
    };
    v->unsettled = c->updating;
    *ret = v;
    return 0;
}

static int verify_submit(Container *c, unsigned attempts, ContainerVerified done, void *userdata) {
    VerifyJob *v = NULL;
    int r = verify_new(c, &v);
    if (r < 0)
        return r;
    v->attempts = attempts;
    v->done = done;
    v->userdata = userdata;
    r = container_job_submit(c, &v->job);
    if (r < 0)
        verify_destroy(&v->job);
    return r;
}

int container_verify(Container *c, ContainerVerified done, void *userdata, Error *reterr) {
    int r = container_require_alive(c, reterr);
    if (r < 0)
        return r;
    r = verify_submit(c, 0, done, userdata);
    if (r < 0)
        return error_failed(reterr, -r, "verify", "the container cannot be verified now: %s", strerror(-r));
    return 0;
}
