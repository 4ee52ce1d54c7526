/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * See ulimits.h. No hard limit may exceed the daemon's own: the daemon may lack CAP_SYS_RESOURCE, and where it has it,
 * a tenant must not get by way of the daemon what the host's administrator has closed to all.
 */

#include "rpc/ulimits.h"

#include "proto/quote.h"
#include "rpc/fields.h"

#include <string.h>
#include <sys/resource.h>

/*
 * The daemon raises its own soft limit of open files, which a payload would inherit; programs that close every number
 * up to the soft limit would then take seconds to start. 1,024 is what select(2) can count and what login shells get.
 */
#define NOFILE_SOFT 1024U

static const struct {
    const char *name;
    int resource;
} ulimits[] = {
    { "as", RLIMIT_AS },           { "core", RLIMIT_CORE },         { "cpu", RLIMIT_CPU },
    { "data", RLIMIT_DATA },       { "fsize", RLIMIT_FSIZE },       { "locks", RLIMIT_LOCKS },
    { "memlock", RLIMIT_MEMLOCK }, { "msgqueue", RLIMIT_MSGQUEUE }, { "nice", RLIMIT_NICE },
    { "nofile", RLIMIT_NOFILE },   { "nproc", RLIMIT_NPROC },       { "rss", RLIMIT_RSS },
    { "rtprio", RLIMIT_RTPRIO },   { "rttime", RLIMIT_RTTIME },     { "sigpending", RLIMIT_SIGPENDING },
    { "stack", RLIMIT_STACK },
};

const char *ulimits_name(int resource) {
    for (size_t i = 0; i < ELEMENTSOF(ulimits); i++)
        if (ulimits[i].resource == resource)
            return ulimits[i].name;
    return NULL;
}

static int resource_from_name(const char *name, const char *path, int *ret, Error *reterr) {
    for (size_t i = 0; i < ELEMENTSOF(ulimits); i++)
        if (strcmp(ulimits[i].name, name) == 0) {
            *ret = ulimits[i].resource;
            return 0;
        }
    char quoted[QUOTE_SIZE];
    return error_invalid(reterr, path, "is %s; a name of setrlimit(2) such as nofile, nproc or core is expected",
                         quote(quoted, name, strlen(name)));
}

static bool is_set(const SandboxRlimit *limits, size_t n, int resource) {
    for (size_t i = 0; i < n; i++)
        if (limits[i].resource == resource)
            return true;
    return false;
}

static int check_against_daemon(const SandboxRlimit *l, const char *path, Error *reterr) {
    struct rlimit own;
    if (getrlimit((unsigned) l->resource, &own) < 0)
        return error_invalid(reterr, path, "the kernel does not have this limit");
    if (own.rlim_max == RLIM_INFINITY || l->hard <= own.rlim_max)
        return 0;
    return error_invalid(reterr, path, "is %lld; the daemon's own hard limit of %s is %llu, and more cannot be given",
                         (long long) ulimits_to_wire(l->hard), ulimits_name(l->resource),
                         (unsigned long long) own.rlim_max);
}

static int parse_value(json_object *o, const char *name, const char *path, uint64_t *ret, Error *reterr) {
    int64_t value = -1;
    int r = fields_int(o, name, path, -1, INT64_MAX, &value, reterr);
    if (r < 0)
        return r;
    *ret = value < 0 ? RLIM_INFINITY : (uint64_t) value;
    return 0;
}

static int parse_one(json_object *o, size_t i, SandboxRlimit *limits, Error *reterr) {
    SandboxRlimit l = { 0 };
    char path[ERROR_SUBJECT_MAX];
    (void) snprintf(path, sizeof(path), "ulimits[%zu].name", i);
    int r = resource_from_name(fields_string(o, "name"), path, &l.resource, reterr);
    if (r < 0)
        return r;
    if (is_set(limits, i, l.resource))
        return error_invalid(reterr, path, "is \"%s\" a second time", ulimits_name(l.resource));
    (void) snprintf(path, sizeof(path), "ulimits[%zu].soft", i);
    r = parse_value(o, "soft", path, &l.soft, reterr);
    if (r < 0)
        return r;
    char hard_path[ERROR_SUBJECT_MAX];
    (void) snprintf(hard_path, sizeof(hard_path), "ulimits[%zu].hard", i);
    r = parse_value(o, "hard", hard_path, &l.hard, reterr);
    if (r < 0)
        return r;
    if (l.soft > l.hard)
        return error_invalid(reterr, path, "is %lld; the hard limit, %lld, at most is expected",
                             (long long) ulimits_to_wire(l.soft), (long long) ulimits_to_wire(l.hard));
    r = check_against_daemon(&l, hard_path, reterr);
    if (r < 0)
        return r;
    limits[i] = l;
    return 0;
}

/* Returns how many were added: 0 or 1. */
static size_t add_nofile(SandboxRlimit *limits, size_t n) {
    struct rlimit own;
    if (is_set(limits, n, RLIMIT_NOFILE) || getrlimit(RLIMIT_NOFILE, &own) < 0)
        return 0;
    uint64_t soft = own.rlim_max < NOFILE_SOFT ? own.rlim_max : NOFILE_SOFT;
    limits[n] = (SandboxRlimit){ .resource = RLIMIT_NOFILE, .soft = soft, .hard = own.rlim_max };
    return 1;
}

static size_t add_core(SandboxRlimit *limits, size_t n) {
    if (is_set(limits, n, RLIMIT_CORE))
        return 0;
    limits[n] = (SandboxRlimit){ .resource = RLIMIT_CORE };
    return 1;
}

int ulimits_parse(json_object *parameters, SandboxRlimit **ret, size_t *ret_n, Error *reterr) {
    json_object *list;
    size_t n;
    int r = fields_list(parameters, "ulimits", ELEMENTSOF(ulimits), &list, &n, reterr);
    if (r < 0)
        return r;
    _cleanup_free_ SandboxRlimit *limits = calloc(n + 2, sizeof(SandboxRlimit));
    if (!limits)
        return fields_oom(reterr);
    for (size_t i = 0; i < n; i++) {
        r = parse_one(json_object_array_get_idx(list, i), i, limits, reterr);
        if (r < 0)
            return r;
    }
    n += add_core(limits, n);
    n += add_nofile(limits, n);
    *ret = TAKE_PTR(limits);
    *ret_n = n;
    return 0;
}
