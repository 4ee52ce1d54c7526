/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * All containers of the daemon: who may see which, and how many one may have.
 *
 * Quotas are not counted anywhere: they are read off the list of containers whenever somebody asks, so that they cannot
 * drift.
 */

#include "container/internal.h"
#include "util/log.h"
#include "util/paths.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <string.h>

static int open_directory(int parent_fd, int *ret) {
    _cleanup_fd_ int path_fd = path_make_directories_at(parent_fd, "containers", 0700);
    if (path_fd < 0)
        return path_fd;
    int fd = path_open_at(path_fd, ".", O_RDONLY | O_DIRECTORY, 0, RESOLVE_BENEATH);
    if (fd < 0)
        return fd;
    *ret = fd;
    return 0;
}

static int registry_open(ContainerRegistry *r, Error *reterr) {
    int k = open_directory(r->environment.state_fd, &r->state_fd);
    if (k < 0)
        return error_failed(reterr, -k, "state", "the state directory cannot be used: %s", strerror(-k));
    k = open_directory(r->environment.data_fd, &r->data_fd);
    if (k < 0)
        return error_failed(reterr, -k, "data", "the data directory cannot be used: %s", strerror(-k));
    k = container_events_new(&r->events);
    if (k < 0)
        return error_failed(reterr, -k, "events", "out of memory");
    k = account_sampler_new(r->environment.event, r->environment.network, &r->sampler);
    if (k >= 0)
        k = limit_events_open(r);
    if (k < 0)
        return error_failed(reterr, -k, "sampler", "it cannot be made: %s", strerror(-k));
    return container_log_thread_new(r->environment.event, r->environment.log_max_bytes, &r->log_thread, reterr);
}

int container_registry_new(const ContainerEnvironment *environment, ContainerRegistry **ret, Error *reterr) {
    _cleanup_(container_registry_freep) ContainerRegistry *r = calloc(1, sizeof(ContainerRegistry));
    if (!r)
        return error_failed(reterr, ENOMEM, "registry", "out of memory");
    r->environment = *environment;
    r->state_fd = r->data_fd = -EBADF;
    int k = registry_open(r, reterr);
    if (k >= 0)
        k = ranges_init(r, reterr);
    if (k >= 0 && environment->selinux)
        k = category_pool_new(cgroup_hierarchies_shared_fd(environment->hierarchies), CATEGORIES_FIRST_BYTE,
                              &r->categories, reterr);
    if (k < 0)
        return k;
    *ret = TAKE_PTR(r);
    return 0;
}

/*
 * The last word of this daemon on a container, for the next one: an exit that was not seen yet, or that nobody is
 * attached any more.
 */
static void leave(Container *c) {
    ProcessExit exit = { 0 };
    if (c->state == CONTAINER_CREATED || c->ended)
        return;
    if (process_reap(c->pidfd, &exit) >= 0) {
        c->ended = true;
        c->exit = (ContainerExit){ .process = exit, .finished_usec = now_usec() };
    }
    c->spec->attached = false;
    (void) container_write_record(c);
}

ContainerRegistry *container_registry_free(ContainerRegistry *r) {
    if (!r)
        return NULL;
    container_jobs_drain(r);
    while (r->first) {
        Container *c = r->first;
        leave(c);
        container_unwatch_all(c);
        container_execs_free(c);
        container_cleanup_last(c);
        container_unlink(c);
    }
    limit_events_close(r);
    r->exits = exit_listener_free(r->exits);
    container_log_thread_stop(r->log_thread);
    if (r->jobs) /* they hang, and may go on at any moment */
        return NULL;
    (void) container_log_thread_free(r->log_thread);
    (void) account_sampler_free(r->sampler);
    (void) container_events_free(r->events);
    ranges_done(r);
    (void) category_pool_free(r->categories);
    (void) fd_close(r->state_fd);
    (void) fd_close(r->data_fd);
    free(r);
    return NULL;
}

ContainerEvents *container_registry_events(ContainerRegistry *r) {
    return r->events;
}
AccountSampler *container_registry_sampler(ContainerRegistry *r) {
    return r->sampler;
}
const ContainerEnvironment *container_registry_environment(const ContainerRegistry *r) {
    return &r->environment;
}

/* With --rm an exit is the end: what is still being cleared away is nobody's business, unless it cannot be. */
bool container_is_over(const Container *c) {
    return c->gone || (c->spec->remove && c->state == CONTAINER_EXITED && !c->retry_source);
}

size_t container_registry_count(const ContainerRegistry *r, size_t *ret_running) {
    size_t n = 0, running = 0;
    for (const Container *c = r->first; c; c = c->next) {
        n += !container_is_over(c);
        running += !c->gone && (c->state == CONTAINER_RUNNING || c->state == CONTAINER_PAUSED);
    }
    if (ret_running)
        *ret_running = running;
    return n;
}

Container *container_next(ContainerRegistry *r, Container *previous) {
    Container *c = previous ? previous->next : r->first;
    while (c && container_is_over(c))
        c = c->next;
    return c;
}

bool registry_id_is_valid(const char *id) {
    return strlen(id) == CONTAINER_ID_LENGTH && strspn(id, "0123456789abcdef") == CONTAINER_ID_LENGTH;
}

/* An exact id before a name: nobody can call a container of his by the id of another's and be mistaken for it. */
static Container *find_id(ContainerRegistry *r, const ContainerViewer *v, const char *id) {
    for (Container *c = container_next(r, NULL); c; c = container_next(r, c))
        if (container_visible(c, v) && strcmp(c->id, id) == 0)
            return c;
    return NULL;
}

/* The viewer's own before others', which only root sees. */
static Container *find_name(ContainerRegistry *r, const ContainerViewer *v, const char *name, unsigned *n) {
    Container *found = NULL;
    for (Container *c = container_next(r, NULL); c; c = container_next(r, c)) {
        if (!container_visible(c, v) || strcmp(container_name(c), name) != 0)
            continue;
        if (c->spec->owner == v->uid) {
            *n = 1;
            return c;
        }
        found = c;
        (*n)++;
    }
    return found;
}

static Container *find_prefix(ContainerRegistry *r, const ContainerViewer *v, const char *prefix, unsigned *n) {
    Container *found = NULL;
    size_t size = strlen(prefix);
    for (Container *c = container_next(r, NULL); c; c = container_next(r, c)) {
        if (size == 0 || !container_visible(c, v) || strncmp(c->id, prefix, size) != 0)
            continue;
        found = c;
        (*n)++;
    }
    return found;
}

int container_find(ContainerRegistry *r, const ContainerViewer *v, const char *name, Container **ret, Error *reterr) {
    unsigned n = 0;
    Container *c = find_id(r, v, name);
    if (!c)
        c = find_name(r, v, name, &n);
    if (!c)
        c = find_prefix(r, v, name, &n);
    if (!c)
        return error_set(reterr, ERROR_NO_SUCH_CONTAINER, ENOENT, name, "there is no container \"%s\"", name);
    if (n > 1)
        return error_set(reterr, ERROR_NO_SUCH_CONTAINER, ENOTUNIQ, name,
                         "\"%s\" fits %u containers; give more of the id", name, n);
    *ret = c;
    return 0;
}

static unsigned starts_of(const ContainerRegistry *r, uid_t owner) {
    unsigned n = container_jobs_apart(r, owner);
    for (const Container *c = r->first; c; c = c->next) {
        if (c->spec->owner != owner)
            continue;
        n += c->starting;
        for (const ContainerExec *x = c->execs; x; x = x->next)
            n += x->starting;
    }
    return n;
}

int registry_check_quota(ContainerRegistry *r, uid_t owner, bool new_container, Error *reterr) {
    const ContainerEnvironment *e = &r->environment;
    unsigned n = 0;
    for (const Container *c = r->first; c; c = c->next)
        n += c->spec->owner == owner;
    if (new_container && owner != 0 && n >= e->containers_max_per_uid)
        return error_set(reterr, ERROR_QUOTA_EXCEEDED, EDQUOT, "containers",
                         "you have %u containers already; exited ones count until they are removed", n);
    if (starts_of(r, owner) >= e->starts_max_per_uid)
        return error_set(reterr, ERROR_QUOTA_EXCEEDED, EDQUOT, "starts",
                         "%u starts or lists of processes of this owner are under way already; try again",
                         e->starts_max_per_uid);
    return 0;
}
