/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* See limits-spec.h. Fields are a table, in the interface's order: the first wrong one is named. */

#include "rpc/limits-spec.h"

#include "proto/quote.h"
#include "rpc/fields.h"

#include <string.h>

#define PIDS_MAX   4194304 /* PID_MAX_LIMIT of the kernel */
#define DEVICE_MAX 16U     /* bytes of "4095:1048575", and some */

/* What a field's reader works on. */
typedef struct LimitsSpec {
    json_object *object;
    const SandboxSpec *sandbox;
    ContainerLimits *limits;
} LimitsSpec;

typedef struct Field Field;
struct Field {
    const char *name;
    int64_t min, max;
    int (*read)(LimitsSpec *s, const Field *f, Error *reterr);
    void (*lift)(ContainerLimits *l); /* NULL: a number */
};

static const ContainerLimitField *find_number(const char *name) {
    const ContainerLimitField *f = container_limit_fields;
    while (f->name && strcmp(f->name, name) != 0)
        f++;
    return f->name ? f : NULL;
}

static int read_number(LimitsSpec *s, const Field *f, Error *reterr) {
    char path[ERROR_SUBJECT_MAX];
    int64_t value = -1;
    (void) snprintf(path, sizeof(path), "limits.%s", f->name);
    int r = fields_int(s->object, f->name, path, f->min, f->max, &value, reterr);
    if (r >= 0 && value >= 0)
        *container_limit(s->limits, find_number(f->name)) = (uint64_t) value;
    return r;
}

static int refuse_without(LimitsSpec *s, const Field *f, const char *why, Error *reterr) {
    char path[ERROR_SUBJECT_MAX];
    (void) snprintf(path, sizeof(path), "limits.%s", f->name);
    return error_invalid(reterr, path, "%s", why);
}

static int read_of_layer(LimitsSpec *s, const Field *f, Error *reterr) {
    if (s->sandbox->read_only && fields_get(s->object, f->name))
        return refuse_without(s, f, "is for the writable layer, which a container with readOnly does not have", reterr);
    return read_number(s, f, reterr);
}

static int read_of_network(LimitsSpec *s, const Field *f, Error *reterr) {
    if (s->sandbox->network != SANDBOX_NETWORK_BRIDGE && fields_get(s->object, f->name))
        return refuse_without(s, f, "is for network \"bridge\" alone", reterr);
    return read_number(s, f, reterr);
}

static int read_cpuset(LimitsSpec *s, const Field *f, Error *reterr) {
    const char *text = fields_string(s->object, f->name);
    if (!text)
        return 0;
    char quoted[QUOTE_SIZE], normal[CGROUP_CPUSET_MAX] = { 0 };                   /* limits are compared as a whole */
    int r = strchr(text, '\n') ? -EINVAL : cgroup_cpuset_normalize(text, normal); /* the kernel's lists end with one */
    if (r < 0)
        return error_invalid(reterr, "limits.cpusetCpus", "is %s; %s", quote(quoted, text, strlen(text)),
                             r == -ERANGE  ? "no kernel has CPUs beyond 8191"
                             : r == -E2BIG ? "the list is too long, 255 bytes at most are allowed"
                                           : "a list of CPUs such as \"0-2,5\" is expected");
    memcpy(s->limits->cgroup.cpuset, normal, sizeof(normal));
    return 0;
}

static void lift_cpuset(ContainerLimits *l) {
    memset(l->cgroup.cpuset, 0, sizeof(l->cgroup.cpuset));
}

static int read_device(json_object *o, size_t i, ContainerLimits *named, CgroupDeviceLimits **ret, Error *reterr) {
    char path[ERROR_SUBJECT_MAX], quoted[QUOTE_SIZE];
    const char *text = fields_string(o, "device");
    uint32_t major, minor;
    (void) snprintf(path, sizeof(path), "limits.ioDevices[%zu].device", i);
    if (strlen(text) > DEVICE_MAX || container_device_parse(text, &major, &minor) < 0)
        return error_invalid(reterr, path, "is %s; the numbers of a block device are expected, \"MAJOR:MINOR\"",
                             quote(quoted, text, strlen(text)));
    size_t n = named->cgroup.n_devices;
    *ret = container_limits_device(named, major, minor);
    if (*ret && named->cgroup.n_devices == n)
        return error_invalid(reterr, path, "is \"%u:%u\", which is named before", major, minor);
    return 0;
}

static int read_rates(json_object *o, size_t i, CgroupDeviceLimits *device, Error *reterr) {
    char path[ERROR_SUBJECT_MAX];
    bool any = false;
    for (const ContainerDeviceField *f = container_device_fields; f->name; f++) {
        int64_t value = -1;
        (void) snprintf(path, sizeof(path), "limits.ioDevices[%zu].%s", i, f->name);
        int r = fields_int(o, f->name, path, (int64_t) f->min, (int64_t) f->max, &value, reterr);
        if (r < 0)
            return r;
        if (value >= 0)
            *container_device_rate(device, f) = (uint64_t) value;
        any |= value >= 0;
    }
    (void) snprintf(path, sizeof(path), "limits.ioDevices[%zu]", i);
    return any ? 0
               : error_invalid(reterr, path,
                               "has no rate; one at least of readBps, writeBps, readIops, writeIops "
                               "is expected");
}

/* Adds to NAMED what FORMER has and NAMED does not say. */
static int merge_devices(ContainerLimits *named, const ContainerLimits *former, Error *reterr) {
    for (size_t i = 0; i < former->cgroup.n_devices; i++) {
        const CgroupDeviceLimits *old = &former->cgroup.devices[i];
        CgroupDeviceLimits *d = container_limits_device(named, old->major, old->minor);
        if (!d)
            return error_invalid(reterr, "limits.ioDevices", "%u disks at most can be limited, those before included",
                                 CGROUP_DEVICES_MAX);
        for (const ContainerDeviceField *f = container_device_fields; f->name; f++)
            if (container_device_rate_get(d, f) == CGROUP_LIMIT_NONE)
                *container_device_rate(d, f) = container_device_rate_get(old, f);
    }
    return 0;
}

static int read_devices(LimitsSpec *s, const Field *f, Error *reterr) {
    json_object *list = fields_get(s->object, f->name);
    size_t n = list ? json_object_array_length(list) : 0;
    if (n > CGROUP_DEVICES_MAX)
        return error_invalid(reterr, "limits.ioDevices", "has %zu elements; %u at most are allowed", n,
                             CGROUP_DEVICES_MAX);
    ContainerLimits named = CONTAINER_LIMITS_NONE;
    for (size_t i = 0; i < n; i++) {
        json_object *o = json_object_array_get_idx(list, i);
        CgroupDeviceLimits *device = NULL;
        int r = read_device(o, i, &named, &device, reterr);
        if (r >= 0)
            r = read_rates(o, i, device, reterr);
        if (r < 0)
            return r;
    }
    int r = n > 0 ? merge_devices(&named, s->limits, reterr) : 0;
    if (r < 0 || n == 0)
        return r;
    memcpy(s->limits->cgroup.devices, named.cgroup.devices, sizeof(named.cgroup.devices));
    s->limits->cgroup.n_devices = named.cgroup.n_devices;
    return 0;
}

static void lift_devices(ContainerLimits *l) {
    memset(l->cgroup.devices, 0, sizeof(l->cgroup.devices));
    l->cgroup.n_devices = 0;
}

#define NUMBER read_number, NULL

static const Field limit_fields[] = {
    /* clang-format off */
    { "memory",             CGROUP_MEMORY_MIN,    INT64_MAX,         NUMBER                     },
    { "memorySwap",         CGROUP_MEMORY_MIN,    INT64_MAX,         NUMBER                     },
    { "memoryHigh",         CGROUP_MEMORY_MIN,    INT64_MAX,         NUMBER                     },
    { "cpuQuotaPerSecUsec", CGROUP_CPU_QUOTA_MIN, INT64_MAX,         NUMBER                     },
    { "cpuWeight",          CGROUP_WEIGHT_MIN,    CGROUP_WEIGHT_MAX, NUMBER                     },
    { "cpusetCpus",         0,                    0,                 read_cpuset, lift_cpuset   },
    { "pids",               CGROUP_PIDS_MIN,      PIDS_MAX,          NUMBER                     },
    { "ioWeight",           CGROUP_WEIGHT_MIN,    CGROUP_WEIGHT_MAX, NUMBER                     },
    { "ioDevices",          0,                    0,                 read_devices, lift_devices },
    { "disk",               STORAGE_BYTES_MIN,    INT64_MAX,         read_of_layer, NULL        },
    { "inodes",             STORAGE_INODES_MIN,   INT64_MAX,         read_of_layer, NULL        },
    { "netRateIn",          NETWORK_RATE_MIN,     NETWORK_RATE_MAX,  read_of_network, NULL      },
    { "netRateOut",         NETWORK_RATE_MIN,     NETWORK_RATE_MAX,  read_of_network, NULL      },
    /* clang-format on */
};

static size_t find_field(const char *name) {
    size_t i = 0;
    while (i < ELEMENTSOF(limit_fields) && strcmp(limit_fields[i].name, name) != 0)
        i++;
    return i;
}

static int lift(LimitsSpec *s, const char *name, size_t i, uint32_t *seen, Error *reterr) {
    char path[ERROR_SUBJECT_MAX], quoted[QUOTE_SIZE];
    size_t k = find_field(name);
    (void) snprintf(path, sizeof(path), "limits.unlimited[%zu]", i);
    (void) quote(quoted, name, strlen(name));
    if (k >= ELEMENTSOF(limit_fields))
        return error_invalid(reterr, path, "is %s; the name of a limit such as \"memory\" is expected", quoted);
    if (*seen & (1U << k))
        return error_invalid(reterr, path, "is %s, which is named before", quoted);
    if (fields_get(s->object, name))
        return error_invalid(reterr, path, "is %s, which is given a value at the same time", quoted);
    *seen |= 1U << k;
    if (limit_fields[k].lift)
        limit_fields[k].lift(s->limits);
    else
        *container_limit(s->limits, find_number(name)) = CONTAINER_LIMIT_NONE;
    return 0;
}

static int read_unlimited(LimitsSpec *s, Error *reterr) {
    json_object *list = fields_get(s->object, "unlimited");
    size_t n = list ? json_object_array_length(list) : 0;
    uint32_t seen = 0;
    for (size_t i = 0; i < n; i++) {
        int r = lift(s, json_object_get_string(json_object_array_get_idx(list, i)), i, &seen, reterr);
        if (r < 0)
            return r;
    }
    return 0;
}

int limits_spec_parse(json_object *object, const SandboxSpec *sandbox, ContainerLimits *limits, Error *reterr) {
    ContainerLimits result = *limits;
    LimitsSpec s = { object, sandbox, &result };
    for (size_t i = 0; object && i < ELEMENTSOF(limit_fields); i++) {
        int r = limit_fields[i].read(&s, &limit_fields[i], reterr);
        if (r < 0)
            return r;
    }
    int r = object ? read_unlimited(&s, reterr) : 0;
    if (r < 0)
        return r;
    *limits = result;
    return 0;
}

/* ---- what was asked for ---- */

static bool is_given(json_object *object, const char *name) {
    json_object *list = fields_get(object, "unlimited"), *value = fields_get(object, name);
    for (size_t i = 0; list && i < json_object_array_length(list); i++)
        if (strcmp(json_object_get_string(json_object_array_get_idx(list, i)), name) == 0)
            return true;
    /* no disks are none, not a wish for something */
    return value && !(json_object_is_type(value, json_type_array) && json_object_array_length(value) == 0);
}

uint64_t limits_spec_asked(json_object *object) {
    uint64_t asked = 0;
    if (!object)
        return 0;
    for (size_t i = 0; container_limit_fields[i].name; i++)
        if (is_given(object, container_limit_fields[i].name))
            asked |= CONTAINER_LIMIT_BIT(i);
    if (is_given(object, "cpusetCpus"))
        asked |= CONTAINER_LIMIT_BIT(CONTAINER_LIMIT_CPUSET);
    if (is_given(object, "ioDevices"))
        asked |= CONTAINER_LIMIT_BIT(CONTAINER_LIMIT_DEVICES);
    return asked;
}

static bool is_asked(uint64_t asked, const char *name) {
    return asked & CONTAINER_LIMIT_BIT((size_t) (find_number(name) - container_limit_fields));
}

/* ---- the host ---- */

ContainerLimits limits_spec_default(void) {
    ContainerLimits l = CONTAINER_LIMITS_NONE;
    l.cgroup = cgroup_limits_default();
    return l;
}

ContainerLimits limits_spec_ceilings(const ContainerEnvironment *e, const SandboxSpec *sandbox) {
    ContainerLimits c = e->tenant_limits;
    if (sandbox->read_only)
        c.storage = STORAGE_LIMITS_NONE;
    if (sandbox->network != SANDBOX_NETWORK_BRIDGE)
        c.network = NETWORK_RATES_NONE;
    return c;
}

void limits_spec_adapt(const ContainerEnvironment *e, const SandboxSpec *sandbox, uint64_t asked,
                       ContainerLimits *limits) {
    if (!is_asked(asked, "pids") && limits->cgroup.pids == CGROUP_PIDS_DEFAULT &&
        cgroup_hierarchies_version(e->hierarchies, CGROUP_PIDS) == CGROUP_MISSING)
        limits->cgroup.pids = CGROUP_LIMIT_NONE;
    bool holds = !sandbox->read_only && storage_host_kind(e->storage) != STORAGE_DIRECTORY;
    if (!is_asked(asked, "disk") && holds && e->disk_default < limits->storage.bytes)
        limits->storage.bytes = e->disk_default;
}

int limits_spec_check(const ContainerEnvironment *e, const ContainerLimits *limits, Error *reterr) {
    int r = cgroup_limits_check(e->hierarchies, &limits->cgroup, reterr);
    if (r >= 0)
        r = storage_limits_check(e->storage, &limits->storage, reterr);
    if (r >= 0)
        r = network_rates_check(&limits->network, reterr);
    return r;
}
