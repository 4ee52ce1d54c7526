/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Jobs of containers: a worker's job that holds a reference to its container, and that the registry can wait for.
 *
 * When the daemon ends, the loop runs no more and completions are not called; yet threads use what the registry owns.
 * So the registry waits for the jobs and then destroys what they made. It does not wait for ever: a job may hang in a
 * file system of a caller's, and no caller may keep the daemon from ending. Such a job stays in the list, and whatever
 * it can reach stays as well until the process ends.
 *
 * A job that is `apart` uses nothing of the container that changes: it does not hold up the container's end, and it is
 * counted among the owner's starts from its submission to its completion, whatever becomes of the container.
 */

#include "container/internal.h"
#include "util/log.h"

static void job_unlink(ContainerJob *j) {
    ContainerRegistry *r = j->container->registry;
    if (j->next)
        j->next->previous = j->previous;
    if (j->previous)
        j->previous->next = j->next;
    else
        r->jobs = j->next;
    j->next = j->previous = NULL;
    j->container->n_jobs -= !j->apart;
}

static void job_link(ContainerJob *j) {
    ContainerRegistry *r = j->container->registry;
    j->previous = NULL;
    j->next = r->jobs;
    if (j->next)
        j->next->previous = j;
    r->jobs = j;
    j->container->n_jobs += !j->apart;
}

static void on_run(void *userdata) {
    ContainerJob *j = userdata;
    j->run(j);
    atomic_store(&j->returned, true); /* from here on the loop's thread may destroy J */
}

static void on_done(void *userdata) {
    ContainerJob *j = userdata;
    Container *c = j->container;
    job_unlink(j);
    j->done(j);
    j->destroy(j);
    container_settle(c);
    container_unref(c);
}

int container_job_submit(Container *c, ContainerJob *j) {
    ContainerRegistry *r = c->registry;
    j->container = container_ref(c);
    job_link(j);
    int k = worker_submit(r->environment.workers, on_run, on_done, j);
    if (k < 0) {
        job_unlink(j);
        j->container = container_unref(c);
    }
    return k;
}

unsigned container_jobs_apart(const ContainerRegistry *r, uid_t owner) {
    unsigned n = 0;
    for (const ContainerJob *j = r->jobs; j; j = j->next)
        n += j->apart && j->container->spec->owner == owner;
    return n;
}

void container_jobs_drain(ContainerRegistry *r) {
    if (worker_pool_wait(r->environment.workers, r->environment.jobs_wait_usec) < 0)
        log_warning("Something that was begun for a container hangs, most likely in a file system of its owner's; "
                    "it is not waited for any longer");
    ContainerJob *next;
    for (ContainerJob *j = r->jobs; j; j = next) {
        Container *c = j->container;
        next = j->next;
        if (!atomic_load(&j->returned))
            continue;
        job_unlink(j);
        j->destroy(j);
        container_unref(c);
    }
}
