/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Jobs of containers: a worker's job that holds a reference to its container, and that the registry can wait for.
 *
 * When the daemon ends, the loop runs no more and completions are not called; yet threads use what the registry owns.
 * So the registry counts the jobs whose run() has not returned, waits for them, and then destroys what they made.
 */

#include "container/internal.h"

static void job_unlink(ContainerJob *j) {
    ContainerRegistry *r = j->container->registry;
    if (j->next)
        j->next->previous = j->previous;
    if (j->previous)
        j->previous->next = j->next;
    else
        r->jobs = j->next;
    j->next = j->previous = NULL;
    j->container->n_jobs--;
}

static void job_link(ContainerJob *j) {
    ContainerRegistry *r = j->container->registry;
    j->previous = NULL;
    j->next = r->jobs;
    if (j->next)
        j->next->previous = j;
    r->jobs = j;
    j->container->n_jobs++;
}

static void registry_count_running(ContainerRegistry *r, int change) {
    (void) pthread_mutex_lock(&r->mutex);
    r->n_running += (unsigned) change;
    if (r->n_running == 0)
        (void) pthread_cond_broadcast(&r->idle);
    (void) pthread_mutex_unlock(&r->mutex);
}

static void on_run(void *userdata) {
    ContainerJob *j = userdata;
    ContainerRegistry *r = j->container->registry;
    j->run(j);
    registry_count_running(r, -1); /* from here on the loop's thread may destroy J and end R */
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
    registry_count_running(r, 1);
    int k = worker_submit(r->environment.workers, on_run, on_done, j);
    if (k < 0) {
        registry_count_running(r, -1);
        job_unlink(j);
        j->container = container_unref(c);
    }
    return k;
}

void container_jobs_drain(ContainerRegistry *r) {
    (void) pthread_mutex_lock(&r->mutex);
    while (r->n_running > 0)
        (void) pthread_cond_wait(&r->idle, &r->mutex);
    (void) pthread_mutex_unlock(&r->mutex);
    while (r->jobs) {
        ContainerJob *j = r->jobs;
        Container *c = j->container;
        job_unlink(j);
        j->destroy(j);
        container_unref(c);
    }
}
