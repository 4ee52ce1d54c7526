/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Values of flags that have parts; see argument.h. */

#include "client/argument.h"

#include "client/quantity.h"

#include <arpa/inet.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#define TMPFS_SIZE_MIN   4096
#define TMPFS_INODES_MIN 2
#define PORT_MAX         65535
#define NET_RATE_MIN     8000

void argument_volume_done(ArgumentVolume *v) {
    free(v->source);
    free(v->target);
    *v = (ArgumentVolume){ 0 };
}

static int out_of_memory(const char *flag, Error *reterr) {
    return error_failed(reterr, ENOMEM, flag, "out of memory");
}

/* Each of the two choices may be made once. */
static int parse_volume_options(const char *flag, char *options, ArgumentVolume *v, Error *reterr) {
    char *option, *rest = options;
    bool mode = false;

    while ((option = strsep(&rest, ","))) {
        bool is_mode = strcmp(option, "ro") == 0 || strcmp(option, "rw") == 0;
        bool is_relabel = strcmp(option, "z") == 0 || strcmp(option, "Z") == 0;
        if (!is_mode && !is_relabel)
            return error_invalid(reterr, flag, "\"%s\" is none of ro, rw, z and Z", option);
        if (is_mode ? mode : v->relabel != NULL)
            return error_invalid(reterr, flag, "\"%s\" comes after another of %s", option,
                                 is_mode ? "ro and rw" : "z and Z");
        if (is_mode) {
            mode = true;
            v->read_only = option[1] == 'o';
        } else
            v->relabel = option[0] == 'z' ? "shared" : "private";
    }
    return 0;
}

int argument_volume(const char *flag, const char *text, ArgumentVolume *ret, Error *reterr) {
    static const char expected[] = "SRC:DST or SRC:DST:OPTIONS is expected, with ro or rw, z or Z";
    _cleanup_(argument_volume_done) ArgumentVolume v = { 0 };
    const char *colon = strchr(text, ':');

    if (!colon || colon == text)
        return error_invalid(reterr, flag, "\"%s\" has no %s; %s", text, colon ? "source" : "target", expected);
    const char *target = colon + 1, *options = strchr(target, ':');
    size_t length = options ? (size_t) (options - target) : strlen(target);
    if (target[0] != '/')
        return error_invalid(reterr, flag, "\"%s\": the target must be an absolute path in the container; %s", text,
                             expected);
    v.source = strndup(text, (size_t) (colon - text));
    v.target = strndup(target, length);
    _cleanup_free_ char *copy = options ? strdup(options + 1) : NULL;
    if (!v.source || !v.target || (options && !copy))
        return out_of_memory(flag, reterr);
    Error why = ERROR_INIT;
    int r = copy ? parse_volume_options(flag, copy, &v, &why) : 0;
    if (r < 0)
        return error_invalid(reterr, flag, "\"%s\": %s; %s", text, why.message, expected);
    *ret = v;
    v = (ArgumentVolume){ 0 };
    return 0;
}

void argument_tmpfs_done(ArgumentTmpfs *t) {
    free(t->path);
    *t = ARGUMENT_TMPFS_INIT;
}

static int parse_mode(const char *flag, const char *text, int64_t *ret, Error *reterr) {
    int64_t mode = 0;
    size_t digits = strspn(text, "01234567");

    if (digits == 0 || digits > 5 || text[digits])
        return error_invalid(reterr, flag, "mode=%s is no octal mode; one such as mode=1777 is expected", text);
    for (const char *c = text; *c; c++)
        mode = mode * 8 + (*c - '0');
    if (mode > 07777)
        return error_invalid(reterr, flag, "mode=%s is above 7777", text);
    *ret = mode;
    return 0;
}

static int parse_tmpfs_options(const char *flag, char *options, ArgumentTmpfs *t, Error *reterr) {
    char *option, *rest = options;

    while ((option = strsep(&rest, ","))) {
        int r;
        if (strncmp(option, "size=", 5) == 0)
            r = quantity_bytes(flag, option + 5, TMPFS_SIZE_MIN, &t->size, reterr);
        else if (strncmp(option, "inodes=", 7) == 0)
            r = quantity_integer(flag, option + 7, TMPFS_INODES_MIN, INT64_MAX, &t->inodes, reterr);
        else if (strncmp(option, "mode=", 5) == 0)
            r = parse_mode(flag, option + 5, &t->mode, reterr);
        else
            r = error_invalid(reterr, flag, "\"%s\" is no option; size=BYTES, inodes=N and mode=OCTAL are expected",
                              option);
        if (r < 0)
            return r;
    }
    return 0;
}

int argument_tmpfs(const char *flag, const char *text, ArgumentTmpfs *ret, Error *reterr) {
    _cleanup_(argument_tmpfs_done) ArgumentTmpfs t = ARGUMENT_TMPFS_INIT;
    const char *colon = strchr(text, ':');
    _cleanup_free_ char *options = NULL;

    if (text[0] != '/')
        return error_invalid(reterr, flag, "\"%s\" is not an absolute path; PATH or PATH:size=N is expected", text);
    t.path = colon ? strndup(text, (size_t) (colon - text)) : strdup(text);
    options = colon ? strdup(colon + 1) : NULL;
    if (!t.path || (colon && !options))
        return out_of_memory(flag, reterr);
    if (options) {
        int r = parse_tmpfs_options(flag, options, &t, reterr);
        if (r < 0)
            return r;
    }
    *ret = t;
    t.path = NULL;
    return 0;
}

/* The first LENGTH bytes of TEXT as a limit. */
static int parse_limit(const char *flag, const char *text, size_t length, int64_t *ret, Error *reterr) {
    char number[32];

    if (length >= sizeof(number))
        return error_invalid(reterr, flag, "\"%s\" is too long for a limit", text);
    memcpy(number, text, length);
    number[length] = 0;
    if (strcmp(number, "unlimited") == 0 || strcmp(number, "-1") == 0) {
        *ret = -1;
        return 0;
    }
    return quantity_integer(flag, number, 0, INT64_MAX, ret, reterr);
}

int argument_ulimit(const char *flag, const char *text, ArgumentUlimit *ret, Error *reterr) {
    ArgumentUlimit u = { 0 };
    const char *equals = strchr(text, '=');
    size_t length = equals ? (size_t) (equals - text) : 0;

    if (length == 0 || length >= sizeof(u.name))
        return error_invalid(reterr, flag, "\"%s\" is not NAME=SOFT:HARD, such as nofile=1024:4096 or core=unlimited",
                             text);
    memcpy(u.name, text, length);

    const char *soft = equals + 1, *colon = strchr(soft, ':');
    int r = parse_limit(flag, soft, colon ? (size_t) (colon - soft) : strlen(soft), &u.soft, reterr);
    if (r < 0)
        return r;
    u.hard = u.soft;
    if (colon) {
        r = parse_limit(flag, colon + 1, strlen(colon + 1), &u.hard, reterr);
        if (r < 0)
            return r;
    }
    if (u.hard != -1 && (u.soft == -1 || u.soft > u.hard))
        return error_invalid(reterr, flag, "\"%s\": the soft limit is above the hard one", text);
    *ret = u;
    return 0;
}

/* The first LENGTH bytes of TEXT as a port, which are WHAT. */
static int parse_port(const char *flag, const char *text, size_t length, const char *what, int64_t *ret,
                      Error *reterr) {
    char number[8];

    if (length >= sizeof(number) || length == 0 || strspn(text, "0123456789") < length)
        return error_invalid(reterr, flag, "\"%.*s\" is no %s port; 1 to %d is expected", (int) length, text, what,
                             PORT_MAX);
    memcpy(number, text, length);
    number[length] = 0;
    return quantity_integer(flag, number, 1, PORT_MAX, ret, reterr);
}

static int parse_address(const char *flag, const char *text, size_t length, ArgumentPort *p, Error *reterr) {
    struct in_addr address;

    if (length < sizeof(p->address)) {
        memcpy(p->address, text, length);
        p->address[length] = 0;
        if (inet_pton(AF_INET, p->address, &address) == 1)
            return 0;
    }
    return error_invalid(reterr, flag, "\"%.*s\" is no IPv4 address of the host's, such as 127.0.0.1", (int) length,
                         text);
}

int argument_port(const char *flag, const char *text, ArgumentPort *ret, Error *reterr) {
    const char *slash = strchr(text, '/'), *end = slash ?: text + strlen(text);
    const char *last = memrchr(text, ':', (size_t) (end - text));
    ArgumentPort p = { 0 };

    if (slash && strcmp(slash, "/udp") != 0 && strcmp(slash, "/tcp") != 0)
        return error_invalid(reterr, flag, "\"%s\": the protocol is tcp or udp, not \"%s\"", text, slash + 1);
    if (!last)
        return error_invalid(reterr, flag,
                             "\"%s\" does not say which port of the host's; [IP:]HOST:CONTAINER[/tcp|/udp] is expected",
                             text);
    const char *first = memrchr(text, ':', (size_t) (last - text)), *host = first ? first + 1 : text;
    int r = first ? parse_address(flag, text, (size_t) (first - text), &p, reterr) : 0;
    if (r == 0)
        r = parse_port(flag, host, (size_t) (last - host), "host", &p.host, reterr);
    if (r == 0)
        r = parse_port(flag, last + 1, (size_t) (end - last - 1), "container", &p.container, reterr);
    if (r < 0)
        return r;
    p.udp = slash && strcmp(slash, "/udp") == 0;
    *ret = p;
    return 0;
}

/* "8:16" */
static bool is_device_number(const char *text) {
    size_t major = strspn(text, "0123456789");
    size_t minor = text[major] == ':' ? strspn(text + major + 1, "0123456789") : 0;

    return major > 0 && major <= 4 && minor > 0 && minor <= 7 && text[major + 1 + minor] == 0;
}

static int resolve_device(const char *flag, const char *name, ArgumentDevice *d, Error *reterr) {
    static const char expected[] = "a block device such as /dev/sda or 8:0 is expected";
    struct stat st;

    if (is_device_number(name)) {
        (void) snprintf(d->device, sizeof(d->device), "%s", name);
        return 0;
    }
    if (stat(name, &st) < 0)
        return error_invalid(reterr, flag, "cannot find the device %s: %s; %s", name, strerror(errno), expected);
    if (!S_ISBLK(st.st_mode))
        return error_invalid(reterr, flag, "%s is not a block device; %s", name, expected);
    (void) snprintf(d->device, sizeof(d->device), "%u:%u", major(st.st_rdev), minor(st.st_rdev));
    return 0;
}

int argument_device(const char *flag, const char *text, bool bytes, int64_t min, ArgumentDevice *ret, Error *reterr) {
    const char *colon = strrchr(text, ':'), *form = bytes ? "DEVICE:BYTES" : "DEVICE:OPERATIONS";
    ArgumentDevice d = { 0 };

    if (!colon || colon == text || is_device_number(text))
        return error_invalid(reterr, flag, "\"%s\" has no %s; %s is expected, such as /dev/sda:%s", text,
                             colon == text ? "device" : "rate", form, bytes ? "10M" : "500");
    if (strcmp(colon + 1, "none") == 0)
        return error_invalid(reterr, flag,
                             "\"%s\": the rates of one device cannot be taken away; none alone takes "
                             "those of all",
                             text);
    _cleanup_free_ char *name = strndup(text, (size_t) (colon - text));
    if (!name)
        return out_of_memory(flag, reterr);
    int r = bytes ? quantity_bytes(flag, colon + 1, min, &d.rate, reterr)
                  : quantity_integer(flag, colon + 1, min, INT64_MAX, &d.rate, reterr);
    if (r == 0)
        r = resolve_device(flag, name, &d, reterr);
    if (r == 0)
        *ret = d;
    return r;
}

static int parse_rate(const char *flag, const char *text, int64_t *ret, Error *reterr) {
    if (strcmp(text, "none") == 0) {
        *ret = ARGUMENT_NO_LIMIT;
        return 0;
    }
    return quantity_bits(flag, text, NET_RATE_MIN, ret, reterr);
}

int argument_net_rate(const char *flag, const char *text, ArgumentNetRate *ret, Error *reterr) {
    ArgumentNetRate rate = { 0 };
    _cleanup_free_ char *copy = strdup(text);
    char *part, *rest = copy;

    if (!copy)
        return out_of_memory(flag, reterr);
    if (!strchr(text, '=')) {
        int r = parse_rate(flag, text, &rate.in, reterr);
        if (r < 0)
            return r;
        rate.out = rate.in;
    } else
        while ((part = strsep(&rest, ","))) {
            int64_t *to = strncmp(part, "in=", 3) == 0 ? &rate.in : strncmp(part, "out=", 4) == 0 ? &rate.out : NULL;
            if (!to || *to != 0)
                return error_invalid(reterr, flag,
                                     "\"%s\": \"%s\" is out of place; RATE, in=RATE, out=RATE or in=RATE,out=RATE is "
                                     "expected",
                                     text, part);
            int r = parse_rate(flag, strchr(part, '=') + 1, to, reterr);
            if (r < 0)
                return r;
        }
    *ret = rate;
    return 0;
}
