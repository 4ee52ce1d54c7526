/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Limits in force, beside those that were to be: a row for each that is set, under its name in the interface, in the
 * interface's units. Asked of the kernel, never of what was written; two numbers are the same if the kernel was told the
 * same (cgroup_limits_equal()).
 */

#include "container/internal.h"

#include <inttypes.h>
#include <string.h>

#define DISK_SLACK 100U /* a file system of its own is as large as was asked for to a hundredth: storage/layer.c */

static void format_number(uint64_t value, char *ret, size_t size) {
    if (value == CONTAINER_LIMIT_NONE)
        (void) snprintf(ret, size, "none");
    else
        (void) snprintf(ret, size, "%" PRIu64, value);
}

/* EQUAL and yet not the same number: the kernel has rounded it. */
static void add_row(CheckList *checks, const char *name, uint64_t wanted, uint64_t has, bool equal, const char *unit) {
    char control[48], expected[64], found[32];
    (void) snprintf(control, sizeof(control), "limits.%s", name);
    format_number(has, found, sizeof(found));
    format_number(wanted, expected, sizeof(expected));
    if (equal && wanted != has)
        (void) snprintf(expected + strlen(expected), sizeof(expected) - strlen(expected), ", %s", unit);
    check_add_verdict(checks, control, equal, expected, found);
}

/* Nothing but one field of L; memory beside its swap, which counts from there on. */
static CgroupLimits only(const ContainerLimits *l, const ContainerLimitField *f, uint64_t memory) {
    ContainerLimits one = CONTAINER_LIMITS_NONE;
    if (f->offset == offsetof(ContainerLimits, cgroup.memory_swap))
        one.cgroup.memory = memory;
    *container_limit(&one, f) = container_limit_get(l, f);
    return one.cgroup;
}

static bool is_wanted(const ContainerLimits *l, const ContainerLimitField *f) {
    if (f->offset >= offsetof(ContainerLimits, cgroup) + sizeof(l->cgroup))
        return false;
    if (f->offset == offsetof(ContainerLimits, cgroup.memory_swap)) /* 0 says: no swap beside the memory */
        return l->cgroup.memory != CONTAINER_LIMIT_NONE && l->cgroup.memory_swap != CONTAINER_LIMIT_NONE;
    return container_limit_get(l, f) != CONTAINER_LIMIT_NONE;
}

static void check_devices(const CgroupLimits *wanted, const CgroupLimits *has, CheckList *checks) {
    for (size_t i = 0; i < wanted->n_devices; i++) {
        const CgroupDeviceLimits *w = &wanted->devices[i], *h = NULL;
        for (size_t k = 0; k < has->n_devices; k++)
            if (has->devices[k].major == w->major && has->devices[k].minor == w->minor)
                h = &has->devices[k];
        for (const ContainerDeviceField *f = container_device_fields; f->name; f++) {
            uint64_t value = container_device_rate_get(w, f), its = CONTAINER_LIMIT_NONE;
            char name[40];
            if (value == CONTAINER_LIMIT_NONE)
                continue;
            if (h)
                its = container_device_rate_get(h, f);
            (void) snprintf(name, sizeof(name), "ioDevices.%u:%u.%s", w->major, w->minor, f->name);
            add_row(checks, name, value, its, value == its, "");
        }
    }
}

static void check_cpuset(const CgroupHierarchies *h, const CgroupLimits *wanted, const CgroupLimits *has,
                         CheckList *checks) {
    CgroupLimits a = CGROUP_LIMITS_NONE, b = CGROUP_LIMITS_NONE;
    if (!wanted->cpuset[0])
        return;
    memcpy(a.cpuset, wanted->cpuset, sizeof(a.cpuset));
    memcpy(b.cpuset, has->cpuset, sizeof(b.cpuset));
    check_add_verdict(checks, "limits.cpusetCpus", cgroup_limits_equal(h, &a, &b), a.cpuset,
                      b.cpuset[0] ? b.cpuset : "all");
}

static int check_cgroup(const Container *c, const ContainerProof *p, CheckList *checks) {
    const CgroupHierarchies *h = c->registry->environment.hierarchies;
    ContainerLimits has = CONTAINER_LIMITS_NONE;
    int r = cgroup_limits_read_wanted(p->group, &p->limits.cgroup, &has.cgroup, NULL);
    if (r < 0)
        return r;
    for (const ContainerLimitField *f = container_limit_fields; f->name; f++) {
        if (!is_wanted(&p->limits, f))
            continue;
        uint64_t memory = p->limits.cgroup.memory;
        CgroupLimits a = only(&p->limits, f, memory), b = only(&has, f, memory);
        add_row(checks, f->name, container_limit_get(&p->limits, f), container_limit_get(&has, f),
                cgroup_limits_equal(h, &a, &b), "as the kernel rounds it");
    }
    check_cpuset(h, &p->limits.cgroup, &has.cgroup, checks);
    check_devices(&p->limits.cgroup, &has.cgroup, checks);
    return 0;
}

static void check_storage_value(const char *name, uint64_t wanted, uint64_t has, uint64_t slack, CheckList *checks) {
    if (wanted == CONTAINER_LIMIT_NONE)
        return;
    bool equal = has != CONTAINER_LIMIT_NONE && has + slack >= wanted && has <= wanted + slack;
    add_row(checks, name, wanted, has, equal, "to a hundredth");
}

/* A plain directory can hold nothing to a size, and then there is no limit either: it would have been refused. */
static void check_storage(const ContainerProof *p, CheckList *checks) {
    const StorageLimits *wanted = &p->limits.storage;
    StorageUsage usage = { .bytes_limit = CONTAINER_LIMIT_NONE, .inodes_limit = CONTAINER_LIMIT_NONE };
    if (p->layer)
        storage_layer_usage(p->layer, &usage);
    check_storage_value("disk", wanted->bytes, usage.bytes_limit, wanted->bytes / DISK_SLACK, checks);
    check_storage_value("inodes", wanted->inodes, usage.inodes_limit, 0, checks);
}

int container_attest_limits(const Container *c, const ContainerProof *p, CheckList *checks) {
    int r = check_cgroup(c, p, checks);
    if (r < 0)
        return r;
    if (p->limits.storage.bytes != CONTAINER_LIMIT_NONE || p->limits.storage.inodes != CONTAINER_LIMIT_NONE)
        check_storage(p, checks);
    return 0;
}
