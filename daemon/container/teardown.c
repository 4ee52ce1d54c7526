/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The end of a container.
 *
 * When the first process has gone, two things begin at once: the log is finished, after which the exit is told; and a
 * job removes cgroup and writable layer, for which nobody waits. Record and log stay until the container is removed.
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
        (void) error_failed(&w->error, -r, "remove", "%s of container %s cannot be removed: %s", what, w->id,
                            strerror(-r));
}

static bool remove_below(Cleanup *w, int dir_fd, const char *name, const char *what) {
    int r = path_remove_tree_at(dir_fd, name);
    if (r < 0)
        note_failure(w, r, what);
    return r >= 0;
}

/* Path is made of the id, which is 12 hexadecimal digits. */
static bool remove_layer(Cleanup *w) {
    _cleanup_fd_ int fd =
        path_open_at(w->registry->data_fd, w->id, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0, RESOLVE_BENEATH);
    if (fd == -ENOENT)
        return true;
    if (fd < 0) {
        note_failure(w, fd, "the data directory");
        return false;
    }
    return remove_below(w, fd, CONTAINER_LAYER, "the writable layer");
}

void container_cleanup(Cleanup *w, uint64_t timeout_usec) {
    if (w->group) {
        Error why = ERROR_INIT;
        int r = cgroup_group_remove(w->group, timeout_usec, &why);
        if (r < 0)
            (void) error_failed(&w->error, -r, "remove", "the cgroup of container %s cannot be removed: %s", w->id,
                                why.message[0] ? why.message : strerror(-r));
        else
            w->group = cgroup_group_free(w->group);
    }
    if (w->group) /* what lives in it may still use the rest */
        return;
    if (w->layer)
        w->layer = !remove_layer(w);
    if (!w->files || w->layer)
        return;
    w->files = !(remove_below(w, w->registry->data_fd, w->id, "the data directory") &&
                 remove_below(w, w->registry->state_fd, w->id, "the state directory"));
}

typedef struct CleanupJob {
    ContainerJob job;
    Cleanup work;
    bool files; /* was asked for */
} CleanupJob;

static void cleanup_destroy(ContainerJob *j) {
    CleanupJob *k = (CleanupJob *) j;
    (void) cgroup_group_free(k->work.group);
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
        container_add_event(c, CONTAINER_EVENT_FAILED, c->start_error.message);
        container_tell(c, CONTAINER_NOTICE_FAILED, &c->start_error);
    } else {
        container_add_event(c, CONTAINER_EVENT_REMOVED, NULL);
        container_tell(c, CONTAINER_NOTICE_REMOVED, NULL);
    }
    container_unwatch_all(c);
}

/* ERROR: why something is left for a later attempt, which nobody is made to wait for. */
static void cleanup_done(ContainerJob *j) {
    CleanupJob *k = (CleanupJob *) j;
    Container *c = j->container;
    c->group = TAKE_PTR(k->work.group);
    c->dirty = k->work.layer;
    if (!c->group && !c->dirty)
        container_release_range(c);
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
        .work = { c->registry, c->id, NULL, c->dirty, files, ERROR_INIT },
        .files = files,
    };
    k->work.group = TAKE_PTR(c->group);
    int r = container_job_submit(c, &k->job);
    if (r < 0) {
        c->group = TAKE_PTR(k->work.group);
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
    Cleanup work = { c->registry, c->id, TAKE_PTR(c->group), c->dirty, files, ERROR_INIT };
    container_cleanup(&work, 0);
    c->group = work.group;
}

static void tell_exited(Container *c) {
    _cleanup_(container_unrefp) _unused_ Container *keep = container_ref(c);
    c->state = CONTAINER_EXITED;
    if (c->exit.oom_killed)
        container_add_event(c, CONTAINER_EVENT_OOM, NULL);
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
    if (!c->group)
        return false;
    CgroupUsage usage;
    cgroup_usage_read(c->group, &usage);
    uint64_t kills = usage.values[CGROUP_MEMORY_OOM_KILL];
    return kills != CGROUP_UNKNOWN && kills > 0;
}

void container_ended(Container *c, const ProcessExit *exit) {
    _cleanup_(container_unrefp) _unused_ Container *keep = container_ref(c);
    c->ended = true;
    c->exit_source = sd_event_source_disable_unref(c->exit_source);
    c->stop_source = sd_event_source_disable_unref(c->stop_source);
    c->pidfd = fd_close(c->pidfd);
    c->terminal_fd = fd_close(c->terminal_fd);
    c->exit = (ContainerExit){ *exit, was_oom_killed(c), now_usec() };
    /* The pid namespace is dead, but a program that Exec is just bringing in need not be in it yet. */
    if (c->group)
        (void) cgroup_group_kill(c->group);
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
    log_event(LOG_NOTICE, LOG_ID_FAILED, c->id, c->spec->owner, "Container %s (%s) could not be started: %s", c->id,
              container_name(c), error->message);
    if (c->group || c->dirty)
        return; /* told when the attempt that container_settle() begins is over */
    container_release_range(c);
    tell_gone(c);
    tell_waiters(c, NULL);
    container_unlink(c);
}
