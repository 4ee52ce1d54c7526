/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The end of a container.
 *
 * When the first process has gone, two things begin at once: the log is finished, after which the exit is told; and a
 * job reads the totals and removes cgroup, network and writable layer, for which nobody waits. Record and log stay until the container is removed.
 * They go last, the record after everything else: a daemon that dies in between finds what is left.
 *
 * container_settle() decides on the next step. It may be called at any time and does nothing while a job runs.
 */

#include "container/internal.h"
#include "util/log.h"
#include "util/paths.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <string.h>

static void note_failure(Cleanup *w, int r, const char *what) {
    if (w->error.kind == ERROR_NONE)
        (void) error_failed(&w->error, -r, "remove", "%s of container %s cannot be removed: %s", what, w->container->id,
                            strerror(-r));
}

static bool remove_below(Cleanup *w, int dir_fd, const char *what) {
    int r = path_remove_tree_at(dir_fd, w->container->id);
    if (r < 0)
        note_failure(w, r, what);
    return r >= 0;
}

/* Path is made of the id, which is 12 hexadecimal digits. */
static int open_own(int parent_fd, const char *id) {
    return path_open_at(parent_fd, id, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0, RESOLVE_BENEATH);
}

/* Kept beside the record, for Inspect after this daemon. */
static void keep_totals(const Cleanup *w) {
    _cleanup_fd_ int fd = open_own(w->container->registry->state_fd, w->container->id);
    if (fd >= 0)
        (void) path_write_file_at(fd, CONTAINER_SAMPLE_FILE, w->final.bytes, w->final.size, 0600, false);
}

static void read_totals(Cleanup *w) {
    const Container *c = w->container;
    AccountSource source = { w->group, w->layer, w->endpoint, container_account_network(c) };
    AccountSample sample;
    account_sample_final(&source, &sample);
    w->final.size = 0;
    if (account_encode(&sample, c->id, container_name(c), &w->final) < 0)
        account_text_done(&w->final);
    else if (!w->files)
        keep_totals(w);
}

static bool remove_group(Cleanup *w, uint64_t timeout_usec) {
    Error why = ERROR_INIT;
    int r = cgroup_group_empty(w->group, timeout_usec, &why);
    if (r >= 0 && w->count)
        read_totals(w);
    if (r >= 0)
        r = cgroup_group_remove(w->group, timeout_usec, &why);
    if (r < 0)
        (void) error_failed(&w->error, -r, "remove", "the cgroup of container %s cannot be removed: %s",
                            w->container->id, why.message[0] ? why.message : strerror(-r));
    else
        w->group = cgroup_group_free(w->group);
    return r >= 0;
}

static bool remove_network(Cleanup *w) {
    const Container *c = w->container;
    Error why = ERROR_INIT;
    w->endpoint = network_endpoint_free(w->endpoint);
    if (c->spec->sandbox.network != SANDBOX_NETWORK_BRIDGE)
        return true;
    NetworkSpec network = container_network_spec(c);
    int r = network_endpoint_remove(c->registry->environment.network, c->id, &network, &why);
    if (r < 0 && w->error.kind == ERROR_NONE)
        (void) error_failed(&w->error, -r, "remove", "the network of container %s cannot be removed: %s", c->id,
                            why.message);
    return r >= 0;
}

static bool remove_layer(Cleanup *w) {
    const Container *c = w->container;
    Error why = ERROR_INIT;
    w->layer = storage_layer_free(w->layer);
    _cleanup_fd_ int fd = open_own(c->registry->data_fd, c->id);
    if (fd == -ENOENT)
        return true;
    if (fd < 0) {
        note_failure(w, fd, "the data directory");
        return false;
    }
    int r = storage_layer_remove(c->registry->environment.storage, fd, c->spec->sandbox.id_base, &why);
    if (r < 0 && w->error.kind == ERROR_NONE)
        (void) error_failed(&w->error, -r, "remove", "the writable layer of container %s cannot be removed: %s", c->id,
                            why.message);
    return r >= 0;
}

void container_cleanup(Cleanup *w, uint64_t timeout_usec) {
    const ContainerRegistry *r = w->container->registry;
    if (w->group && !remove_group(w, timeout_usec))
        return; /* what lives in it may still use the rest */
    if (w->dirty) {
        bool network = remove_network(w), layer = remove_layer(w);
        w->dirty = !network || !layer;
    }
    if (!w->files || w->dirty)
        return;
    w->files =
        !(remove_below(w, r->data_fd, "the data directory") && remove_below(w, r->state_fd, "the state directory"));
}

void container_cleanup_init(Cleanup *w, Container *c, bool files) {
    *w = (Cleanup){
        .container = c,
        .group = TAKE_PTR(c->group),
        .layer = TAKE_PTR(c->layer),
        .endpoint = TAKE_PTR(c->endpoint),
        .count = !c->failed && !c->totals_told,
        .dirty = c->dirty,
        .files = files,
    };
}

void container_cleanup_done(Cleanup *w) {
    w->group = cgroup_group_free(w->group);
    w->layer = storage_layer_free(w->layer);
    w->endpoint = network_endpoint_free(w->endpoint);
    account_text_done(&w->final);
}

typedef struct CleanupJob {
    ContainerJob job;
    Cleanup work;
    bool files; /* was asked for */
} CleanupJob;

static void cleanup_destroy(ContainerJob *j) {
    CleanupJob *k = (CleanupJob *) j;
    container_cleanup_done(&k->work);
    free(k);
}

static void cleanup_run(ContainerJob *j) {
    container_cleanup(&((CleanupJob *) j)->work, CONTAINER_CLEANUP_USEC);
}

static int on_retry(sd_event_source *source, uint64_t usec, void *userdata) {
    Container *c = userdata;
    c->retry_source = sd_event_source_disable_unref(c->retry_source);
    container_settle(c);
    return 0;
}

static void retry_later(Container *c) {
    int r = sd_event_add_time_relative(c->registry->environment.event, &c->retry_source, CLOCK_MONOTONIC,
                                       CONTAINER_RETRY_USEC, 1000000U, on_retry, c);
    if (r < 0)
        log_warning("Container %s: what is left cannot be removed before the daemon starts anew: %s", c->id,
                    strerror(-r));
}

/* A waiter's callback may ask for anything, so the list is taken first. */
static void tell_waiters(Container *c, const Error *error) {
    RemoveWaiter *w = TAKE_PTR(c->waiters);
    while (w) {
        _cleanup_free_ RemoveWaiter *current = w;
        w = w->next;
        current->done(current->userdata, error);
    }
}

static void tell_gone(Container *c) {
    if (c->gone)
        return;
    c->gone = true;
    if (c->failed) {
        container_stored_remove(c);
        container_add_event(c, CONTAINER_EVENT_FAILED, c->start_error.message);
        container_tell(c, CONTAINER_NOTICE_FAILED, &c->start_error);
    } else {
        container_add_event(c, CONTAINER_EVENT_REMOVED, NULL);
        container_tell(c, CONTAINER_NOTICE_REMOVED, NULL);
    }
    container_unwatch_all(c);
}

static void take_back(Container *c, Cleanup *w) {
    c->group = TAKE_PTR(w->group);
    c->layer = TAKE_PTR(w->layer);
    c->endpoint = TAKE_PTR(w->endpoint);
    c->dirty = w->dirty;
}

/* Those who count are told before anybody hears that it is gone. Of a group that is gone there are none to be had. */
static void tell_totals(Container *c, Cleanup *w) {
    if (!w->count || c->group || c->totals_told)
        return;
    c->totals_told = true;
    account_text_done(&c->final);
    c->final = w->final;
    w->final = (AccountText){ 0 };
    account_sampler_end(c->registry->sampler, &c->account, &c->final);
}

/* ERROR: why something is left for a later attempt, which nobody is made to wait for. */
static void cleanup_done(ContainerJob *j) {
    CleanupJob *k = (CleanupJob *) j;
    Container *c = j->container;
    take_back(c, &k->work);
    tell_totals(c, &k->work);
    if (!c->group && !c->dirty)
        container_release_numbers(c);
    if (k->work.error.kind != ERROR_NONE) {
        log_warning("%s", k->work.error.message);
        if (c->failed)
            tell_gone(c);
        tell_waiters(c, &k->work.error);
        retry_later(c);
        return;
    }
    if (!k->files)
        return;
    tell_gone(c);
    tell_waiters(c, NULL);
    container_unlink(c);
}

static int cleanup_submit(Container *c, bool files) {
    CleanupJob *k = malloc(sizeof(CleanupJob));
    if (!k)
        return -ENOMEM;
    *k = (CleanupJob){
        .job = { .run = cleanup_run, .done = cleanup_done, .destroy = cleanup_destroy },
        .files = files,
    };
    container_cleanup_init(&k->work, c, files);
    int r = container_job_submit(c, &k->job);
    if (r < 0) {
        take_back(c, &k->work);
        cleanup_destroy(&k->job);
    }
    return r;
}

static bool wants_files_removed(const Container *c) {
    return c->failed || (c->wants_remove && c->state == CONTAINER_EXITED);
}

void container_settle(Container *c) {
    if (!c->listed || !c->ended || c->n_jobs > 0 || c->retry_source)
        return;
    bool files = wants_files_removed(c);
    if (!files && !c->group && !c->dirty)
        return;
    if (files)
        c->log = container_log_free(c->log);
    int r = cleanup_submit(c, files);
    if (r < 0)
        retry_later(c);
}

void container_cleanup_last(Container *c) {
    if (!c->ended || c->n_jobs > 0) /* what is hung up in it the next daemon clears away */
        return;
    bool files = wants_files_removed(c);
    if (files)
        c->log = container_log_free(c->log);
    _cleanup_(container_cleanup_done) Cleanup work;
    container_cleanup_init(&work, c, files);
    container_cleanup(&work, 0);
    take_back(c, &work);
}

static void tell_exited(Container *c) {
    _cleanup_(container_unrefp) _unused_ Container *keep = container_ref(c);
    c->state = CONTAINER_EXITED;
    container_stored_remove(c);
    container_add_event(c, CONTAINER_EVENT_EXITED, NULL);
    if (c->exit.process.known)
        log_event(LOG_INFO, LOG_ID_EXITED, c->id, c->spec->owner, "Container %s (%s) has exited with %d%s", c->id,
                  container_name(c), c->exit.process.code, c->exit.oom_killed ? ", out of memory" : "");
    else
        log_event(LOG_INFO, LOG_ID_EXITED, c->id, c->spec->owner, "Container %s (%s) has exited, nobody saw how", c->id,
                  container_name(c));
    container_tell(c, CONTAINER_NOTICE_EXITED, NULL);
    if (c->spec->remove)
        c->wants_remove = true;
    container_settle(c);
}

static void on_log_finished(void *userdata) {
    tell_exited(userdata);
}

static bool was_oom_killed(Container *c) {
    CgroupEvents events;
    if (!c->group)
        return false;
    cgroup_events_read(c->group, &events);
    return events.memory_oom_kill != CGROUP_UNKNOWN && events.memory_oom_kill > 0;
}

void container_ended(Container *c, const ProcessExit *exit) {
    _cleanup_(container_unrefp) _unused_ Container *keep = container_ref(c);
    c->ended = true;
    c->exit_source = sd_event_source_disable_unref(c->exit_source);
    c->stop_source = sd_event_source_disable_unref(c->stop_source);
    container_adopted_done(c);
    container_watch_end(c);
    c->pidfd = fd_close(c->pidfd);
    c->terminal_fd = fd_close(c->terminal_fd);
    c->exit = (ContainerExit){ *exit, was_oom_killed(c), now_usec() };
    container_end_accounting(c);
    /* The pid namespace is dead, but a program that Exec is just bringing in need not be in it yet. */
    if (c->group)
        (void) cgroup_group_kill(c->group);
    container_kills_drop(c);
    (void) container_write_record(c);
    if (c->log)
        container_log_finish(c->log, on_log_finished, c);
    else
        tell_exited(c);
    container_settle(c);
}

void container_fail(Container *c, const Error *error, CgroupGroup *consume_group, bool dirty) {
    c->ended = c->failed = true;
    c->start_error = *error;
    c->group = consume_group;
    c->dirty = dirty;
    c->log = container_log_free(c->log);
    const char *stage = error->kind == ERROR_HARDENING_FAILED ? error->subject : NULL;
    bool differs = container_differed(error);
    log_event_stage(differs ? LOG_WARNING : LOG_NOTICE, differs ? LOG_ID_DIFFERS : LOG_ID_FAILED, c->id, c->spec->owner,
                    stage, "Container %s (%s) could not be started: %s", c->id, container_name(c), error->message);
    if (c->group || c->dirty)
        return; /* told when the attempt that container_settle() begins is over */
    container_release_numbers(c);
    tell_gone(c);
    tell_waiters(c, NULL);
    container_unlink(c);
}
