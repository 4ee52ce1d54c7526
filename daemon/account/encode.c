/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The Sample of io.kennel.varlink, in the order of that file.
 *
 * The groups of cgroup's counters come from their names: "pressure.cpu.someUsec" opens `pressure`, and `cpu` in it, when
 * the counter before was not in them, and the next name closes them. So a counter that cgroup adds is encoded with no
 * line here; the interface is what it is held against.
 *
 * An integer of the interface has 63 bits and a sign. No counter gets there in the life of a machine; one that claims to is
 * nonsense, and is said to be unknown like every other figure that cannot be had.
 */

#include "account/encode.h"

#include <assert.h>
#include <string.h>

#define TEXT_MIN   4096U /* fits a sample with a device or two */
#define DIGITS_MAX 20U

#define REASON_RANGE "the kernel's number is above 63 bits"

/* Text in the making. Once memory was short nothing more is written, and the last line tells. */
typedef struct Writer {
    AccountText *text;
    bool failed;
} Writer;

void account_text_done(AccountText *t) {
    free(t->bytes);
    *t = (AccountText){ 0 };
}

static int grow(AccountText *t, size_t size) {
    size_t room = t->room < TEXT_MIN ? TEXT_MIN : t->room;
    while (room - t->size < size)
        if (__builtin_mul_overflow(room, 2, &room))
            return -ENOMEM;
    char *bytes = realloc(t->bytes, room);
    if (!bytes)
        return -ENOMEM;
    t->bytes = bytes;
    t->room = room;
    return 0;
}

int account_text_append(AccountText *t, const void *bytes, size_t size) {
    if (t->room - t->size < size && grow(t, size) < 0)
        return -ENOMEM;
    memcpy(t->bytes + t->size, bytes, size);
    t->size += size;
    return 0;
}

/* --- words --- */

static void put(Writer *w, const char *bytes, size_t size) {
    w->failed = w->failed || account_text_append(w->text, bytes, size) < 0;
}

static void put_text(Writer *w, const char *text) {
    put(w, text, strlen(text));
}

static char last_byte(const Writer *w) {
    return w->text->size > 0 ? w->text->bytes[w->text->size - 1] : 0;
}

static void put_number(Writer *w, uint64_t value) {
    char digits[DIGITS_MAX], *first = digits + sizeof(digits);
    do
        *--first = (char) ('0' + value % 10);
    while (value /= 10);
    put(w, first, (size_t) (digits + sizeof(digits) - first));
}

/* For what is never null in the interface. */
static void put_clamped(Writer *w, uint64_t value) {
    put_number(w, value <= INT64_MAX ? value : INT64_MAX);
}

static void put_optional(Writer *w, uint64_t value) {
    if (value <= INT64_MAX)
        put_number(w, value);
    else
        put(w, "null", 4);
}

/* Words that may come from a library: UTF-8, but who knows with which quotes. */
static void put_escaped(Writer *w, const char *text) {
    put(w, "\"", 1);
    for (; *text; text++) {
        if (*text == '"' || *text == '\\')
            put(w, "\\", 1);
        put(w, (unsigned char) *text < 0x20 ? " " : text, 1);
    }
    put(w, "\"", 1);
}

/* ,"KEY": without the comma after a bracket. */
static void put_key(Writer *w, const char *key, size_t size) {
    char last = last_byte(w);
    if (last != '{' && last != '[')
        put(w, ",", 1);
    put(w, "\"", 1);
    put(w, key, size);
    put(w, "\":", 2);
}

static void put_field(Writer *w, const char *key, uint64_t value) {
    put_key(w, key, strlen(key));
    put_optional(w, value);
}

/* --- cgroup's counters --- */

/* Why C has no value; NULL if it has one; "" if that means that there is no limit. */
static const char *missing(const CgroupUsage *u, CgroupCounter c) {
    if (u->values[c] <= INT64_MAX)
        return NULL;
    return u->values[c] == CGROUP_UNKNOWN && u->reasons[c] ? u->reasons[c] : REASON_RANGE;
}

/* How many bytes of A, whole groups with their dots, B begins with too. */
static size_t common_groups(const char *a, const char *b) {
    size_t common = 0;
    for (size_t i = 0; a[i] && a[i] == b[i]; i++)
        if (a[i] == '.')
            common = i + 1;
    return common;
}

/* Closes the groups of NAME below its first COMMON bytes. */
static void close_groups(Writer *w, const char *name, size_t common) {
    for (const char *dot = strchr(name + common, '.'); dot; dot = strchr(dot + 1, '.'))
        put(w, "}", 1);
}

/* The counters FROM up to END, in their groups, of which those of the last one are left open. */
static void put_counters(Writer *w, const CgroupUsage *u, CgroupCounter from, CgroupCounter end) {
    const char *previous = "";
    for (CgroupCounter c = from; c < end; c++) {
        const char *name = cgroup_counter_name(c), *field = name + common_groups(name, previous);
        close_groups(w, previous, (size_t) (field - name));
        for (const char *dot; (dot = strchr(field, '.')); field = dot + 1) {
            put_key(w, field, (size_t) (dot - field));
            put(w, "{", 1);
        }
        put_key(w, field, strlen(field));
        put_optional(w, u->values[c]);
        previous = name;
    }
}

static void put_devices(Writer *w, const CgroupUsage *u) {
    put_key(w, "devices", 7);
    put(w, "[", 1);
    for (size_t i = 0; i < u->n_devices; i++) {
        const CgroupIoUsage *d = &u->devices[i];
        put_text(w, i == 0 ? "{\"device\":\"" : ",{\"device\":\"");
        put_number(w, d->major);
        put(w, ":", 1);
        put_number(w, d->minor);
        put_text(w, "\",\"readBytes\":");
        put_clamped(w, d->read_bytes);
        put_text(w, ",\"writeBytes\":");
        put_clamped(w, d->write_bytes);
        put_text(w, ",\"reads\":");
        put_clamped(w, d->reads);
        put_text(w, ",\"writes\":");
        put_clamped(w, d->writes);
        put(w, "}", 1);
    }
    put(w, "]", 1);
}

/* --- storage and network --- */

static void put_storage(Writer *w, const StorageUsage *u) {
    put_text(w, ",\"storage\":{");
    put_field(w, "bytes", u->bytes);
    put_field(w, "inodes", u->inodes);
    put_field(w, "limit", u->bytes_limit);
    put_field(w, "inodesLimit", u->inodes_limit);
    put(w, "}", 1);
}

static const struct {
    const char *name;
    size_t offset;
} network_fields[] = {
    { "inBytes", offsetof(NetworkUsage, in_bytes) },     { "inPackets", offsetof(NetworkUsage, in_packets) },
    { "inErrors", offsetof(NetworkUsage, in_errors) },   { "inDropped", offsetof(NetworkUsage, in_dropped) },
    { "outBytes", offsetof(NetworkUsage, out_bytes) },   { "outPackets", offsetof(NetworkUsage, out_packets) },
    { "outErrors", offsetof(NetworkUsage, out_errors) }, { "outDropped", offsetof(NetworkUsage, out_dropped) },
};

static void put_network_fields(Writer *w, const NetworkUsage *u, bool known) {
    for (size_t i = 0; i < ELEMENTSOF(network_fields); i++) {
        uint64_t value;
        memcpy(&value, (const char *) u + network_fields[i].offset, sizeof(value));
        put_field(w, network_fields[i].name, !known ? UINT64_MAX : value <= INT64_MAX ? value : INT64_MAX);
    }
}

static void put_network(Writer *w, const AccountSample *s) {
    put_text(w, ",\"network\":{");
    put_network_fields(w, &s->network, !s->network_reason);
    put_text(w, ",\"interfaces\":[");
    if (s->has_interface) {
        put_text(w, "{\"name\":\"eth0\"");
        put_network_fields(w, &s->network, true);
        put(w, "}", 1);
    }
    put(w, "]}", 2);
}

/* --- what is unknown --- */

static void put_unavailable(Writer *w, const char *counter, size_t size, const char *reason) {
    put_text(w, last_byte(w) == '[' ? "{\"counter\":\"" : ",{\"counter\":\"");
    put(w, counter, size);
    put_text(w, "\",\"reason\":");
    put_escaped(w, reason);
    put(w, "}", 1);
}

/* How many counters from C on have the first SIZE bytes of its name in common and all lack a value for REASON; 0 if one of
 * them has another reason, or a value. */
static CgroupCounter missing_alike(const CgroupUsage *u, CgroupCounter c, size_t size, const char *reason) {
    const char *name = cgroup_counter_name(c);
    CgroupCounter n = 0;
    for (; c + n < _CGROUP_COUNTER_MAX && strncmp(cgroup_counter_name(c + n), name, size) == 0; n++) {
        const char *other = missing(u, c + n);
        if (!other || (other != reason && strcmp(other, reason) != 0))
            return 0;
    }
    return n;
}

/* Says why C is missing, or the group that begins with it. Returns how many counters that speaks of. */
static CgroupCounter put_missing(Writer *w, const CgroupUsage *u, CgroupCounter c) {
    const char *reason = missing(u, c), *name = cgroup_counter_name(c);
    if (!reason || !reason[0])
        return 1;
    size_t begun = c > 0 ? common_groups(name, cgroup_counter_name(c - 1)) : 0;
    for (const char *dot = strchr(name + begun, '.'); dot; dot = strchr(dot + 1, '.')) {
        CgroupCounter n = missing_alike(u, c, (size_t) (dot + 1 - name), reason);
        if (n > 0) {
            put_unavailable(w, name, (size_t) (dot - name), reason);
            return n;
        }
    }
    put_unavailable(w, name, strlen(name), reason);
    return 1;
}

/* A limit that is not there and one that is not known look alike here: the whole group is said to be missing only if nothing
 * of it is known. */
static void put_missing_storage(Writer *w, const StorageUsage *u) {
    if (!u->reason)
        return;
    bool bytes = u->bytes == STORAGE_UNKNOWN, inodes = u->inodes == STORAGE_UNKNOWN;
    bool limits = u->bytes_limit == STORAGE_UNKNOWN && u->inodes_limit == STORAGE_UNKNOWN;
    if (bytes && inodes && limits) {
        put_unavailable(w, "storage", 7, u->reason);
        return;
    }
    if (bytes)
        put_unavailable(w, "storage.bytes", 13, u->reason);
    if (inodes)
        put_unavailable(w, "storage.inodes", 14, u->reason);
}

static void put_all_missing(Writer *w, const AccountSample *s) {
    put_text(w, ",\"unavailable\":[");
    for (CgroupCounter c = 0; c < _CGROUP_COUNTER_MAX;)
        c += put_missing(w, &s->usage, c);
    put_missing_storage(w, &s->storage);
    if (s->network_reason)
        put_unavailable(w, "network", 7, s->network_reason);
    put(w, "]", 1);
}

static _unused_ bool is_plain(const char *s) {
    for (; *s; s++)
        if (*s <= ' ' || *s == '"' || *s == '\\' || *s == 0x7F)
            return false;
    return true;
}

int account_encode(const AccountSample *s, const char *id, const char *name, AccountText *ret) {
    size_t begin = ret->size;
    Writer w = { ret, false };
    assert(is_plain(id) && is_plain(name));
    put_text(&w, "{\"container\":\"");
    put_text(&w, id);
    put_text(&w, "\",\"name\":\"");
    put_text(&w, name);
    put_text(&w, "\",\"timestampUsec\":");
    put_clamped(&w, s->timestamp_usec);
    put_text(&w, ",\"monotonicUsec\":");
    put_clamped(&w, s->monotonic_usec);
    put_text(&w, s->final ? ",\"final\":true" : ",\"final\":false");
    put_counters(&w, &s->usage, 0, CGROUP_PRESSURE_CPU_SOME_USEC);
    put_devices(&w, &s->usage);
    put(&w, "}", 1);
    put_storage(&w, &s->storage);
    put_network(&w, s);
    put_counters(&w, &s->usage, CGROUP_PRESSURE_CPU_SOME_USEC, _CGROUP_COUNTER_MAX);
    put(&w, "}}", 2);
    put_all_missing(&w, s);
    put(&w, "}", 1);
    if (w.failed)
        ret->size = begin;
    return w.failed ? -ENOMEM : 0;
}
