/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The proof of a container: what the kernel says of it, beside what it was to have, from every module that put something
 * in force.
 *
 * At a start it is made by the start's own thread when execve has succeeded and not one instruction of the program has
 * run; whatever differs ends the start. Later, on demand, by a job of its own.
 */

#include "container/internal.h"

#include <fcntl.h>
#include <string.h>

int container_attest(const SandboxExpectation *x, const Container *c, CheckList *checks) {
    return sandbox_attest(c->registry->environment.sandbox, x, checks);
}

int container_attest_start(const Container *c, const SandboxExpectation *x, Error *reterr) {
    _cleanup_(check_list_done) CheckList checks = CHECK_LIST_INIT;
    int r = container_attest(x, c, &checks);
    if (r < 0)
        return error_set(reterr, ERROR_HARDENING_FAILED, -r, "attestation", "the new process cannot be looked at: %s",
                         strerror(-r));
    const Check *bad = check_list_difference(&checks);
    if (bad)
        return error_set(reterr, ERROR_HARDENING_FAILED, EPERM, "attestation",
                         "%s was to be \"%s\", and the kernel says \"%s\"", bad->control, bad->expected, bad->found);
    if (!check_list_passed(&checks))
        return error_set(reterr, ERROR_HARDENING_FAILED, ENOMEM, "attestation", "not everything could be compared");
    return 0;
}

typedef struct VerifyJob {
    ContainerJob job;
    SandboxExpectation expectation;
    int pidfd;
    int result;
    ContainerVerified done;
    void *userdata;
    CheckList checks;
} VerifyJob;

static void verify_destroy(ContainerJob *j) {
    VerifyJob *v = (VerifyJob *) j;
    (void) fd_close(v->pidfd);
    check_list_done(&v->checks);
    free(v);
}

static void verify_run(ContainerJob *j) {
    VerifyJob *v = (VerifyJob *) j;
    v->result = container_attest(&v->expectation, j->container, &v->checks);
}

static void verify_done(ContainerJob *j) {
    VerifyJob *v = (VerifyJob *) j;
    Error error = ERROR_INIT;
    if (v->result == -ESRCH)
        (void) container_not_running(j->container, &error, "it has exited");
    else if (v->result < 0)
        (void) error_failed(&error, -v->result, "verify", "the container cannot be verified: %s", strerror(-v->result));
    bool ok = error.kind == ERROR_NONE;
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
    v->expectation = (SandboxExpectation){
        .pid = c->pid,
        .pidfd = v->pidfd,
        .spec = &c->spec->sandbox,
        .program = &c->spec->sandbox.program,
        .uid = c->uid,
        .gid = c->gid,
        .seccomp = !c->spec->seccomp_unconfined,
        .cgroup_path = cgroup_group_path(c->group),
        .first = true,
    };
    *ret = v;
    return 0;
}

int container_verify(Container *c, ContainerVerified done, void *userdata, Error *reterr) {
    int r = container_require_alive(c, reterr);
    if (r < 0)
        return r;
    VerifyJob *v = NULL;
    r = verify_new(c, &v);
    if (v) {
        v->done = done;
        v->userdata = userdata;
        r = container_job_submit(c, &v->job);
        if (r < 0)
            verify_destroy(&v->job);
    }
    if (r < 0)
        return error_failed(reterr, -r, "verify", "the container cannot be verified now: %s", strerror(-r));
    return 0;
}
