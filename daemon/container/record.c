/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Records as JSON. One table for each struct says what a field is called, where it is, what it may be; writing and
 * reading both go by it, so that they cannot differ. Reading refuses what is missing, unknown, of the wrong type or out
 * of range.
 */

#include "container/record.h"

#include "kennel/limits.h"
#include "proto/json.h"
#include "util/parse.h"
#include "util/paths.h"

#include <limits.h>
#include <linux/openat2.h>
#include <string.h>

#define RECORD_FILE     "record.json"
#define RECORD_VERSION  3
#define RECORD_SIZE_MAX (16U * 1024U * 1024U)

typedef enum FieldType {
    FIELD_BOOL,
    FIELD_INT, /* int */
    FIELD_U16,
    FIELD_U32,
    FIELD_U64,           /* up to INT64_MAX */
    FIELD_BOOL_OPTIONAL, /* of a record that is older than the field: false */
    FIELD_U64_NONE,      /* the same; UINT64_MAX is written as -1 */
    FIELD_STRING,
    FIELD_STRING_OPTIONAL, /* NULL: left out */
    FIELD_STRINGS,         /* char ** */
    FIELD_TEXT,            /* char[max] */
} FieldType;

typedef struct Field {
    const char *name;
    FieldType type;
    size_t offset;
    int64_t min, max; /* of numbers; length of strings, how many of FIELD_STRINGS */
} Field;

#define FIELD(struct_, name_, type_, member, min_, max_)                                                               \
    { name_, type_, offsetof(struct_, member), min_, max_ }

static const Field record_fields[] = {
    FIELD(ContainerRecord, "id", FIELD_STRING, id, 12, 12),
    FIELD(ContainerRecord, "pid", FIELD_INT, pid, 0, INT_MAX),
    FIELD(ContainerRecord, "pidStartTime", FIELD_U64, pid_start_time, 0, INT64_MAX),
    FIELD(ContainerRecord, "uid", FIELD_U32, uid, 0, UINT32_MAX),
    FIELD(ContainerRecord, "gid", FIELD_U32, gid, 0, UINT32_MAX),
    FIELD(ContainerRecord, "createdUsec", FIELD_U64, created_usec, 0, INT64_MAX),
    FIELD(ContainerRecord, "startedUsec", FIELD_U64, started_usec, 0, INT64_MAX),
    FIELD(ContainerRecord, "exited", FIELD_BOOL, exited, 0, 0),
    FIELD(ContainerRecord, "exitCode", FIELD_INT, exit_code, -1, 255),
    FIELD(ContainerRecord, "exitSignal", FIELD_INT, exit_signal, 0, 64),
    FIELD(ContainerRecord, "oomKilled", FIELD_BOOL, oom_killed, 0, 0),
    FIELD(ContainerRecord, "oomKillsTold", FIELD_U64, oom_kills_told, 0, INT64_MAX),
    FIELD(ContainerRecord, "finishedUsec", FIELD_U64, finished_usec, 0, INT64_MAX),
    { 0 },
};

static const Field spec_fields[] = {
    FIELD(ContainerSpec, "name", FIELD_STRING_OPTIONAL, name, 1, KENNEL_NAME_MAX),
    FIELD(ContainerSpec, "image", FIELD_STRING_OPTIONAL, image, 0, KENNEL_STRING_MAX),
    FIELD(ContainerSpec, "owner", FIELD_U32, owner, 0, UINT32_MAX - 1),
    FIELD(ContainerSpec, "ownerGid", FIELD_U32, owner_gid, 0, UINT32_MAX - 1),
    FIELD(ContainerSpec, "attached", FIELD_BOOL, attached, 0, 0),
    FIELD(ContainerSpec, "remove", FIELD_BOOL, remove, 0, 0),
    FIELD(ContainerSpec, "logged", FIELD_BOOL, logged, 0, 0),
    FIELD(ContainerSpec, "seccompProfile", FIELD_STRING_OPTIONAL, seccomp_profile, 0, KENNEL_PROFILE_MAX),
    FIELD(ContainerSpec, "seccompUnconfined", FIELD_BOOL, seccomp_unconfined, 0, 0),
    FIELD(ContainerSpec, "apparmorUnconfined", FIELD_BOOL, apparmor_unconfined, 0, 0),
    FIELD(ContainerSpec, "labelDisabled", FIELD_BOOL, label_disabled, 0, 0),
    FIELD(ContainerSpec, "categories", FIELD_U32, categories, 0, UINT32_MAX),
    FIELD(ContainerSpec, "apparmorProfile", FIELD_STRING_OPTIONAL, sandbox.program.apparmor_profile, 1,
          KENNEL_STRING_MAX),
    FIELD(ContainerSpec, "selinuxContext", FIELD_STRING_OPTIONAL, sandbox.program.selinux_context, 1,
          KENNEL_STRING_MAX),
    FIELD(ContainerSpec, "fileContext", FIELD_STRING_OPTIONAL, sandbox.file_context, 1, KENNEL_STRING_MAX),
    FIELD(ContainerSpec, "imageContext", FIELD_STRING_OPTIONAL, sandbox.image_context, 1, KENNEL_STRING_MAX),
    FIELD(ContainerSpec, "shareContext", FIELD_STRING_OPTIONAL, sandbox.share_context, 1, KENNEL_STRING_MAX),
    FIELD(ContainerSpec, "memory", FIELD_U64_NONE, limits.cgroup.memory, 0, INT64_MAX),
    FIELD(ContainerSpec, "memorySwap", FIELD_U64_NONE, limits.cgroup.memory_swap, 0, INT64_MAX),
    FIELD(ContainerSpec, "memoryHigh", FIELD_U64_NONE, limits.cgroup.memory_high, 0, INT64_MAX),
    FIELD(ContainerSpec, "cpuQuotaPerSecUsec", FIELD_U64_NONE, limits.cgroup.cpu_quota_per_sec_usec, 0, INT64_MAX),
    FIELD(ContainerSpec, "cpuWeight", FIELD_U64_NONE, limits.cgroup.cpu_weight, 0, INT64_MAX),
    FIELD(ContainerSpec, "cpusetCpus", FIELD_TEXT, limits.cgroup.cpuset, 0, CGROUP_CPUSET_MAX),
    FIELD(ContainerSpec, "pids", FIELD_U64_NONE, limits.cgroup.pids, 0, INT64_MAX),
    FIELD(ContainerSpec, "ioWeight", FIELD_U64_NONE, limits.cgroup.io_weight, 0, INT64_MAX),
    FIELD(ContainerSpec, "disk", FIELD_U64_NONE, limits.storage.bytes, 0, INT64_MAX),
    FIELD(ContainerSpec, "inodes", FIELD_U64_NONE, limits.storage.inodes, 0, INT64_MAX),
    FIELD(ContainerSpec, "netRateIn", FIELD_U64_NONE, limits.network.in, 0, INT64_MAX),
    FIELD(ContainerSpec, "netRateOut", FIELD_U64_NONE, limits.network.out, 0, INT64_MAX),
    FIELD(ContainerSpec, "storage", FIELD_INT, storage, STORAGE_DIRECTORY, _STORAGE_KIND_MAX - 1),
    FIELD(ContainerSpec, "address", FIELD_U32, address, 0, UINT32_MAX),
    FIELD(ContainerSpec, "hostname", FIELD_STRING_OPTIONAL, sandbox.hostname, 0, KENNEL_STRING_MAX),
    FIELD(ContainerSpec, "idBase", FIELD_U32, sandbox.id_base, 1, UINT32_MAX - SANDBOX_ID_COUNT),
    FIELD(ContainerSpec, "rightsUid", FIELD_U32, sandbox.owner_uid, 0, UINT32_MAX - 1),
    FIELD(ContainerSpec, "rightsGid", FIELD_U32, sandbox.owner_gid, 0, UINT32_MAX - 1),
    FIELD(ContainerSpec, "readOnly", FIELD_BOOL, sandbox.read_only, 0, 0),
    FIELD(ContainerSpec, "imageOnly", FIELD_BOOL_OPTIONAL, sandbox.image_only, 0, 0),
    FIELD(ContainerSpec, "init", FIELD_BOOL, sandbox.init, 0, 0),
    FIELD(ContainerSpec, "network", FIELD_INT, sandbox.network, SANDBOX_NETWORK_NONE, SANDBOX_NETWORK_BRIDGE),
    FIELD(ContainerSpec, "command", FIELD_STRINGS, sandbox.program.command, 1, KENNEL_ARGS_MAX),
    FIELD(ContainerSpec, "environment", FIELD_STRINGS, sandbox.program.environment, 0, KENNEL_ENV_MAX + 16),
    FIELD(ContainerSpec, "workingDirectory", FIELD_STRING_OPTIONAL, sandbox.program.working_directory, 0,
          KENNEL_STRING_MAX),
    FIELD(ContainerSpec, "user", FIELD_STRING_OPTIONAL, sandbox.program.user, 0, KENNEL_STRING_MAX),
    FIELD(ContainerSpec, "terminal", FIELD_BOOL, sandbox.program.terminal, 0, 0),
    FIELD(ContainerSpec, "rows", FIELD_U16, sandbox.program.rows, 0, UINT16_MAX),
    FIELD(ContainerSpec, "columns", FIELD_U16, sandbox.program.columns, 0, UINT16_MAX),
    FIELD(ContainerSpec, "capabilities", FIELD_U64, sandbox.program.capabilities, 0, INT64_MAX),
    { 0 },
};

static const Field mount_fields[] = {
    FIELD(SandboxMount, "kind", FIELD_INT, kind, SANDBOX_MOUNT_VOLUME, SANDBOX_MOUNT_TMPFS),
    FIELD(SandboxMount, "target", FIELD_STRING, target, 1, KENNEL_STRING_MAX),
    FIELD(SandboxMount, "readOnly", FIELD_BOOL, read_only, 0, 0),
    FIELD(SandboxMount, "relabel", FIELD_INT, relabel, SANDBOX_RELABEL_NONE, SANDBOX_RELABEL_PRIVATE),
    FIELD(SandboxMount, "size", FIELD_U64, size, 0, INT64_MAX),
    FIELD(SandboxMount, "inodes", FIELD_U64, inodes, 0, INT64_MAX),
    FIELD(SandboxMount, "mode", FIELD_U32, mode, 0, 07777),
    { 0 },
};

static const Field rlimit_fields[] = {
    FIELD(SandboxRlimit, "resource", FIELD_INT, resource, 0, 31),
    FIELD(SandboxRlimit, "soft", FIELD_U64_NONE, soft, 0, INT64_MAX),
    FIELD(SandboxRlimit, "hard", FIELD_U64_NONE, hard, 0, INT64_MAX),
    { 0 },
};

static const Field port_fields[] = {
    FIELD(NetworkPort, "hostAddress", FIELD_U32, host_address, 0, UINT32_MAX),
    FIELD(NetworkPort, "host", FIELD_U16, host_port, 1, UINT16_MAX),
    FIELD(NetworkPort, "container", FIELD_U16, container_port, 1, UINT16_MAX),
    FIELD(NetworkPort, "udp", FIELD_BOOL, udp, 0, 0),
    { 0 },
};

static const Field device_fields[] = {
    FIELD(CgroupDeviceLimits, "major", FIELD_U32, major, 0, UINT32_MAX),
    FIELD(CgroupDeviceLimits, "minor", FIELD_U32, minor, 0, UINT32_MAX),
    FIELD(CgroupDeviceLimits, "readBps", FIELD_U64_NONE, read_bps, 0, INT64_MAX),
    FIELD(CgroupDeviceLimits, "writeBps", FIELD_U64_NONE, write_bps, 0, INT64_MAX),
    FIELD(CgroupDeviceLimits, "readIops", FIELD_U64_NONE, read_iops, 0, INT64_MAX),
    FIELD(CgroupDeviceLimits, "writeIops", FIELD_U64_NONE, write_iops, 0, INT64_MAX),
    { 0 },
};

static const Field control_fields[] = {
    FIELD(ContainerControl, "mode", FIELD_INT, mode, CONTROL_REQUIRED, _CONTROL_MODE_MAX - 1),
    FIELD(ContainerControl, "declined", FIELD_BOOL, declined, 0, 0),
    FIELD(ContainerControl, "absent", FIELD_TEXT, absent, 0, CONTROL_REASON_MAX),
    { 0 },
};

_Static_assert(sizeof(ControlMode) == sizeof(int), "the table takes it for an int");
_Static_assert(sizeof(StorageKind) == sizeof(int), "the table takes it for an int");
_Static_assert(sizeof(pid_t) == sizeof(int) && sizeof(uid_t) == sizeof(uint32_t) && sizeof(mode_t) == sizeof(uint32_t),
               "the tables take pids for ints, ids and modes for 32 bits");
_Static_assert(sizeof(SandboxMountKind) == sizeof(int) && sizeof(SandboxNetwork) == sizeof(int), "and enums for ints");

/* The arrays of structs. */
typedef struct Table {
    const char *name;
    const Field *fields;
    size_t size;    /* of one */
    size_t items;   /* where their address is in ContainerSpec, or they themselves if it is `embedded` */
    size_t n_items; /* and their number */
    size_t max;
    bool embedded;
} Table;

static const Table tables[] = {
    { "mounts", mount_fields, sizeof(SandboxMount), offsetof(ContainerSpec, sandbox.mounts),
      offsetof(ContainerSpec, sandbox.n_mounts), KENNEL_MOUNTS_MAX, false },
    { "rlimits", rlimit_fields, sizeof(SandboxRlimit), offsetof(ContainerSpec, sandbox.program.rlimits),
      offsetof(ContainerSpec, sandbox.program.n_rlimits), 64, false },
    { "ports", port_fields, sizeof(NetworkPort), offsetof(ContainerSpec, ports), offsetof(ContainerSpec, n_ports),
      NETWORK_PORTS_MAX, false },
    { "ioDevices", device_fields, sizeof(CgroupDeviceLimits), offsetof(ContainerSpec, limits.cgroup.devices),
      offsetof(ContainerSpec, limits.cgroup.n_devices), CGROUP_DEVICES_MAX, true },
    { "controls", control_fields, sizeof(ContainerControl), offsetof(ContainerSpec, controls),
      offsetof(ContainerSpec, n_controls), _CONTROL_MAX, true },
};

ContainerRecord *container_record_free(ContainerRecord *r) {
    if (!r)
        return NULL;
    free(r->id);
    (void) container_spec_free(r->spec);
    free(r);
    return NULL;
}

static int add(json_object *object, const char *name, json_object *value) {
    if (!value)
        return -ENOMEM;
    if (json_object_object_add(object, name, value) >= 0)
        return 0;
    json_object_put(value);
    return -ENOMEM;
}

static json_object *strings_to_json(char *const *v) {
    _cleanup_json_ json_object *array = json_object_new_array();
    if (!array)
        return NULL;
    for (size_t i = 0; v && v[i]; i++) {
        json_object *s = json_object_new_string(v[i]);
        if (!s || json_object_array_add(array, s) < 0) {
            json_object_put(s);
            return NULL;
        }
    }
    return TAKE_PTR(array);
}

static int field_write(json_object *object, const Field *f, const void *base) {
    const void *at = (const char *) base + f->offset;
    const char *string;
    uint64_t number;
    switch (f->type) {
    case FIELD_BOOL:
    case FIELD_BOOL_OPTIONAL:
        return add(object, f->name, json_object_new_boolean(*(const bool *) at));
    case FIELD_INT:
        return add(object, f->name, json_object_new_int64(*(const int *) at));
    case FIELD_U16:
        return add(object, f->name, json_object_new_int64(*(const unsigned short *) at));
    case FIELD_U32:
        return add(object, f->name, json_object_new_int64(*(const uint32_t *) at));
    case FIELD_U64:
    case FIELD_U64_NONE:
        number = *(const uint64_t *) at;
        return add(object, f->name, json_object_new_int64(number > INT64_MAX ? -1 : (int64_t) number));
    case FIELD_STRING:
    case FIELD_STRING_OPTIONAL:
        string = *(char *const *) at;
        return string ? add(object, f->name, json_object_new_string(string)) : 0;
    case FIELD_STRINGS:
        return add(object, f->name, strings_to_json(*(char **const *) at));
    case FIELD_TEXT:
        return add(object, f->name, json_object_new_string(at));
    }
    return -EINVAL;
}

static int fields_write(json_object *object, const Field *fields, const void *base) {
    for (const Field *f = fields; f->name; f++) {
        int r = field_write(object, f, base);
        if (r < 0)
            return r;
    }
    return 0;
}

static int table_write(json_object *object, const Table *t, const ContainerSpec *s) {
    const char *items = (const char *) s + t->items;
    if (!t->embedded)
        items = *(char *const *) items;
    size_t n = *(const size_t *) ((const char *) s + t->n_items);
    json_object *array = json_object_new_array();
    int r = add(object, t->name, array);
    for (size_t i = 0; i < n && r >= 0; i++) {
        _cleanup_json_ json_object *item = json_object_new_object();
        if (!item)
            return -ENOMEM;
        r = fields_write(item, t->fields, items + i * t->size);
        if (r >= 0 && json_object_array_add(array, item) < 0)
            r = -ENOMEM;
        if (r >= 0)
            (void) TAKE_PTR(item);
    }
    return r;
}

static int record_to_json(const ContainerRecord *record, json_object **ret) {
    _cleanup_json_ json_object *object = json_object_new_object();
    json_object *spec = json_object_new_object();
    if (!object || !spec) {
        json_object_put(spec);
        return -ENOMEM;
    }
    int r = add(object, "spec", spec);
    if (r >= 0)
        r = add(object, "version", json_object_new_int64(RECORD_VERSION));
    if (r >= 0)
        r = fields_write(object, record_fields, record);
    if (r >= 0)
        r = fields_write(spec, spec_fields, record->spec);
    for (size_t i = 0; i < ELEMENTSOF(tables) && r >= 0; i++)
        r = table_write(spec, &tables[i], record->spec);
    if (r < 0)
        return r;
    *ret = TAKE_PTR(object);
    return 0;
}

/* Not synced: the directory is in memory, and what has to be survived is the daemon's death, not the machine's. */
int container_record_write(int dir_fd, const ContainerRecord *r) {
    _cleanup_json_ json_object *object = NULL;
    int k = record_to_json(r, &object);
    if (k < 0)
        return k;
    size_t size;
    const char *text = json_object_to_json_string_length(object, JSON_C_TO_STRING_PLAIN, &size);
    if (!text)
        return -ENOMEM;
    return path_write_file_at(dir_fd, RECORD_FILE, text, size, 0600, false);
}

static int bad(Error *reterr, const char *field, const char *why) {
    return error_invalid(reterr, field, "%s %s", field, why);
}

static int number_read(const Field *f, json_object *value, int64_t *ret, Error *reterr) {
    if (!json_object_is_type(value, json_type_int))
        return bad(reterr, f->name, "is not an integer");
    int64_t n = json_object_get_int64(value);
    bool none = f->type == FIELD_U64_NONE && n == -1;
    if (!none && (n < f->min || n > f->max))
        return bad(reterr, f->name, "is out of range");
    *ret = n;
    return 0;
}

static int string_read(const Field *f, json_object *value, int64_t min, int64_t max, char **ret, Error *reterr) {
    if (!json_object_is_type(value, json_type_string))
        return bad(reterr, f->name, "is not a string");
    int64_t size = json_object_get_string_len(value);
    if (size < min || size > max)
        return bad(reterr, f->name, "is too short or too long");
    char *copy = strdup(json_object_get_string(value));
    if (!copy)
        return -ENOMEM;
    *ret = copy;
    return 0;
}

static int text_read(const Field *f, json_object *value, char *ret, Error *reterr) {
    _cleanup_free_ char *copy = NULL;
    int r = string_read(f, value, 0, f->max - 1, &copy, reterr);
    if (r >= 0)
        memcpy(ret, copy, strlen(copy) + 1);
    return r;
}

static int strings_read(const Field *f, json_object *value, char ***ret, Error *reterr) {
    if (!json_object_is_type(value, json_type_array))
        return bad(reterr, f->name, "is not an array");
    size_t n = json_object_array_length(value);
    if ((int64_t) n < f->min || (int64_t) n > f->max)
        return bad(reterr, f->name, "has too few or too many elements");
    _cleanup_(strv_freep) char **v = calloc(n + 1, sizeof(char *));
    if (!v)
        return -ENOMEM;
    for (size_t i = 0; i < n; i++) {
        int r = string_read(f, json_object_array_get_idx(value, i), 0, KENNEL_ARG_STRING_MAX, &v[i], reterr);
        if (r < 0)
            return r;
    }
    *ret = TAKE_PTR(v);
    return 0;
}

static int field_read(const Field *f, json_object *value, void *base, Error *reterr) {
    void *at = (char *) base + f->offset;
    int64_t n = 0;
    int r;
    switch (f->type) {
    case FIELD_BOOL:
    case FIELD_BOOL_OPTIONAL:
        if (!json_object_is_type(value, json_type_boolean))
            return bad(reterr, f->name, "is not a boolean");
        *(bool *) at = json_object_get_boolean(value);
        return 0;
    case FIELD_STRING:
    case FIELD_STRING_OPTIONAL:
        return string_read(f, value, f->min, f->max, at, reterr);
    case FIELD_STRINGS:
        return strings_read(f, value, at, reterr);
    case FIELD_TEXT:
        return text_read(f, value, at, reterr);
    default:
        break;
    }
    r = number_read(f, value, &n, reterr);
    if (r < 0)
        return r;
    if (f->type == FIELD_INT)
        *(int *) at = (int) n;
    else if (f->type == FIELD_U16)
        *(unsigned short *) at = (unsigned short) n;
    else if (f->type == FIELD_U32)
        *(uint32_t *) at = (uint32_t) n;
    else
        *(uint64_t *) at = (uint64_t) n; /* -1 becomes UINT64_MAX, which is what it stands for */
    return 0;
}

/* OTHERS: names that the caller reads itself. */
static bool is_known(const char *key, const Field *fields, const char *const *others) {
    for (const Field *f = fields; f->name; f++)
        if (strcmp(f->name, key) == 0)
            return true;
    for (size_t i = 0; others && others[i]; i++)
        if (strcmp(others[i], key) == 0)
            return true;
    return false;
}

static int fields_read(json_object *object, const Field *fields, const char *const *others, void *base, Error *reterr) {
    if (!json_object_is_type(object, json_type_object))
        return bad(reterr, fields->name, "is not in an object");
    json_object_object_foreach(object, key, ignored) {
        (void) ignored;
        if (!is_known(key, fields, others))
            return bad(reterr, key, "is not known");
    }
    for (const Field *f = fields; f->name; f++) {
        json_object *value;
        bool there = json_object_object_get_ex(object, f->name, &value);
        if (!there && (f->type == FIELD_STRING_OPTIONAL || f->type == FIELD_BOOL_OPTIONAL))
            continue;
        int r = there ? field_read(f, value, base, reterr) : bad(reterr, f->name, "is missing");
        if (r < 0)
            return r;
    }
    return 0;
}

static int table_read(json_object *object, const Table *t, ContainerSpec *s, Error *reterr) {
    json_object *array;
    if (!json_object_object_get_ex(object, t->name, &array) || !json_object_is_type(array, json_type_array))
        return bad(reterr, t->name, "is not an array");
    size_t n = json_object_array_length(array);
    if (n > t->max)
        return bad(reterr, t->name, "has too many elements");
    if (n == 0)
        return 0;
    char *items = t->embedded ? (char *) s + t->items : calloc(n, t->size);
    if (!items)
        return -ENOMEM;
    if (!t->embedded)
        *(char **) ((char *) s + t->items) = items;
    *(size_t *) ((char *) s + t->n_items) = n;
    /* before anything can fail: the spec's destructor closes them */
    if (t->fields == mount_fields)
        for (size_t i = 0; i < n; i++)
            s->sandbox.mounts[i].source_fd = -EBADF;
    for (size_t i = 0; i < n; i++) {
        int r = fields_read(json_object_array_get_idx(array, i), t->fields, NULL, items + i * t->size, reterr);
        if (r < 0)
            return r;
    }
    return 0;
}

static int spec_read(json_object *object, ContainerSpec *s, Error *reterr) {
    static const char *const others[] = { "mounts", "rlimits", "ports", "ioDevices", "controls", NULL };
    int r = fields_read(object, spec_fields, others, s, reterr);
    for (size_t i = 0; i < ELEMENTSOF(tables) && r >= 0; i++)
        r = table_read(object, &tables[i], s, reterr);
    return r;
}

static int record_check(const ContainerRecord *r, Error *reterr) {
    if (strspn(r->id, "0123456789abcdef") != strlen(r->id))
        return bad(reterr, "id", "is not made of hexadecimal digits");
    if (r->spec->name && strpbrk(r->spec->name, "/\n"))
        return bad(reterr, "name", "cannot be a container's");
    for (ControlKind k = 0; k < _CONTROL_MAX; k++)
        if (r->spec->n_controls != _CONTROL_MAX || r->spec->controls[k].mode == CONTROL_MODE_UNSET)
            return bad(reterr, "controls", "are not all there");
    if (r->pid == 1)
        return bad(reterr, "pid", "cannot be a container's");
    return 0;
}

static int record_from_json(json_object *object, ContainerRecord *record, Error *reterr) {
    static const char *const others[] = { "version", "spec", NULL };
    json_object *version, *spec;
    if (!json_object_is_type(object, json_type_object))
        return bad(reterr, "record", "is not an object");
    if (!json_object_object_get_ex(object, "version", &version) || !json_object_is_type(version, json_type_int) ||
        json_object_get_int64(version) != RECORD_VERSION)
        return bad(reterr, "version", "is not one that this daemon knows");
    if (!json_object_object_get_ex(object, "spec", &spec))
        return bad(reterr, "spec", "is missing");
    int r = fields_read(object, record_fields, others, record, reterr);
    if (r >= 0)
        r = spec_read(spec, record->spec, reterr);
    if (r >= 0)
        r = record_check(record, reterr);
    return r;
}

static int record_new(ContainerRecord **ret) {
    _cleanup_(container_record_freep) ContainerRecord *r = calloc(1, sizeof(ContainerRecord));
    if (!r)
        return -ENOMEM;
    r->spec = malloc(sizeof(ContainerSpec));
    if (!r->spec)
        return -ENOMEM;
    *r->spec = CONTAINER_SPEC_INIT;
    *ret = TAKE_PTR(r);
    return 0;
}

int container_record_read(int dir_fd, ContainerRecord **ret, Error *reterr) {
    _cleanup_free_ char *text = NULL;
    size_t size;
    int r =
        path_read_file_at(dir_fd, RECORD_FILE, RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS, RECORD_SIZE_MAX, &text, &size);
    if (r < 0) {
        (void) error_failed(reterr, -r, "record", "it cannot be read: %s", strerror(-r));
        return r;
    }
    _cleanup_json_ json_object *object = NULL;
    r = json_read(text, size, &JSON_BOUNDS_TRUSTED, &object, reterr);
    if (r < 0)
        return r;
    _cleanup_(container_record_freep) ContainerRecord *record = NULL;
    r = record_new(&record);
    if (r >= 0)
        r = record_from_json(object, record, reterr);
    if (r < 0)
        return r == -ENOMEM ? error_failed(reterr, ENOMEM, "record", "out of memory") : r;
    *ret = TAKE_PTR(record);
    return 0;
}
