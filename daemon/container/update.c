/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Other limits for a container that runs: all of them, or none.
 *
 * Three parts of the kernel hold them, which know nothing of each other: cgroup, storage, network. They are changed one
 * after the other in a job; each reads back what it has set, and the first that fails has those before it put back. The
 * record is written when all are in force. A daemon that dies in between leaves a record with the former limits, and the
 * next one puts those in force again (recover.c): its caller never heard that the new ones were.
 */

#include "container/internal.h"
#include "util/log.h"

#include <string.h>

typedef struct UpdateJob {
    ContainerJob job;
    ContainerLimits former, wanted;
    ContainerDone done;
    void *userdata;
    Error error;
    int result;
} UpdateJob;

typedef struct Part {
    bool (*differs)(const ContainerLimits *a, const ContainerLimits *b);
    int (*apply)(Container *c, const ContainerLimits *former, const ContainerLimits *wanted, Error *reterr);
} Part;

static bool cgroup_differs(const ContainerLimits *a, const ContainerLimits *b) {
    return memcmp(&a->cgroup, &b->cgroup, sizeof(a->cgroup)) != 0;
}

static int cgroup_apply(Container *c, const ContainerLimits *former, const ContainerLimits *wanted, Error *reterr) {
    return cgroup_limits_apply(c->group, &former->cgroup, &wanted->cgroup, reterr);
}

static bool storage_differs(const ContainerLimits *a, const ContainerLimits *b) {
    return a->storage.bytes != b->storage.bytes || a->storage.inodes != b->storage.inodes;
}

static int storage_apply(Container *c, const ContainerLimits *former, const ContainerLimits *wanted, Error *reterr) {
    if (!c->layer)
        return error_set(reterr, ERROR_LIMIT_UNAVAILABLE, EOPNOTSUPP, "storage",
                         "the writable layer of this container cannot be found");
    return storage_layer_set_limits(c->layer, &wanted->storage, reterr);
}

static bool network_differs(const ContainerLimits *a, const ContainerLimits *b) {
    return a->network.in != b->network.in || a->network.out != b->network.out;
}

static int network_apply(Container *c, const ContainerLimits *former, const ContainerLimits *wanted, Error *reterr) {
    if (!c->endpoint)
        return error_set(reterr, ERROR_LIMIT_UNAVAILABLE, EOPNOTSUPP, "network",
                         "the container has no interface of its own: its network is not \"bridge\"");
    return network_endpoint_set_rates(c->endpoint, &wanted->network, reterr);
}

/* What can fail for reasons of its own first: of a file system that was made larger there is no way back. */
static const Part parts[] = {
    { network_differs, network_apply },
    { cgroup_differs, cgroup_apply },
    { storage_differs, storage_apply },
};

static void roll_back(UpdateJob *u, size_t n) {
    Error ignored = ERROR_INIT;
    while (n-- > 0)
        if (parts[n].differs(&u->former, &u->wanted) &&
            parts[n].apply(u->job.container, &u->wanted, &u->former, &ignored) < 0)
            log_warning("Container %s: a former limit cannot be put back: %s", u->job.container->id, ignored.message);
}

static void update_run(ContainerJob *j) {
    UpdateJob *u = (UpdateJob *) j;
    for (size_t i = 0; i < ELEMENTSOF(parts); i++) {
        if (!parts[i].differs(&u->former, &u->wanted))
            continue;
        u->result = parts[i].apply(j->container, &u->former, &u->wanted, &u->error);
        if (u->result < 0) {
            roll_back(u, i);
            return;
        }
    }
}

/* "memory 67108864, pids none": what differs. */
static void describe(const ContainerLimits *former, const ContainerLimits *now, char *text, size_t size) {
    size_t n = 0;
    text[0] = 0;
    for (const ContainerLimitField *f = container_limit_fields; f->name && n < size; f++) {
        uint64_t value = container_limit_get(now, f);
        if (value == container_limit_get(former, f))
            continue;
        const char *comma = n > 0 ? ", " : "";
        int k = value == CONTAINER_LIMIT_NONE
                    ? snprintf(text + n, size - n, "%s%s none", comma, f->name)
                    : snprintf(text + n, size - n, "%s%s %llu", comma, f->name, (unsigned long long) value);
        n += (size_t) k;
    }
    if (strcmp(former->cgroup.cpuset, now->cgroup.cpuset) != 0 && n < size)
        n += (size_t) snprintf(text + n, size - n, "%scpusetCpus %s", n > 0 ? ", " : "",
                               now->cgroup.cpuset[0] ? now->cgroup.cpuset : "none");
    if ((former->cgroup.n_devices != now->cgroup.n_devices ||
         memcmp(former->cgroup.devices, now->cgroup.devices, now->cgroup.n_devices * sizeof(now->cgroup.devices[0])) !=
             0) &&
        n < size)
        (void) snprintf(text + n, size - n, "%sioDevices", n > 0 ? ", " : "");
}

static void update_done(ContainerJob *j) {
    UpdateJob *u = (UpdateJob *) j;
    Container *c = j->container;
    c->updating = false;
    if (u->result < 0) {
        if (u->error.kind == ERROR_NONE)
            (void) error_failed(&u->error, -u->result, "update", "the limits cannot be changed: %s",
                                strerror(-u->result));
    } else {
        char text[160];
        c->spec->limits = u->wanted;
        if (c->subject)
            watch_subject_set_cpu_quota(c->subject, u->wanted.cgroup.cpu_quota_per_sec_usec);
        (void) container_write_record(c);
        describe(&u->former, &u->wanted, text, sizeof(text));
        if (text[0])
            container_add_event(c, CONTAINER_EVENT_UPDATED, text);
    }
    u->done(u->userdata, u->result < 0 ? &u->error : NULL);
}

static void update_destroy(ContainerJob *j) {
    free(j);
}

int container_update(Container *c, const ContainerLimits *limits, ContainerDone done, void *userdata, Error *reterr) {
    int r = container_require_alive(c, reterr);
    if (r < 0)
        return r;
    if (c->updating)
        return error_set(reterr, ERROR_QUOTA_EXCEEDED, EBUSY, "updates",
                         "another change of this container's limits is under way; try again");
    r = container_controls_check_limits(c->spec, limits, reterr);
    if (r < 0)
        return r;
    UpdateJob *u = malloc(sizeof(UpdateJob));
    if (!u)
        return error_failed(reterr, ENOMEM, "update", "out of memory");
    *u = (UpdateJob){
        .job = { .run = update_run, .done = update_done, .destroy = update_destroy },
        .former = c->spec->limits,
        .wanted = *limits,
        .done = done,
        .userdata = userdata,
    };
    r = container_job_submit(c, &u->job);
    if (r < 0) {
        update_destroy(&u->job);
        return error_set(reterr, ERROR_QUOTA_EXCEEDED, -r, "updates", "the daemon has too much under way; try again");
    }
    c->updating = true;
    return 0;
}
