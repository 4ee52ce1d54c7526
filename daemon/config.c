/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * See config.h. Keys are a table: name, place, parser, range. Trust: the file is root's, read once, before anything
 * else.
 */

#include "config.h"

#include "proto/quote.h"
#include "sandbox/sandbox.h"
#include "util/parse.h"
#include "util/paths.h"

#include <fcntl.h>
#include <string.h>

#define CONFIG_FILE_MAX (64U * 1024U)
#define CONFIG_LINE_MAX 1024U
#define ID_BASE_MIN     65536U
/* 2^32 - 1 means "no id" to the kernel, and systemd gives out nothing above either. */
#define ID_END_MAX 0xFFFF0000ULL

typedef struct Key Key;
struct Key {
    const char *name;
    int (*parse)(const Key *k, const char *value, Config *c);
    size_t offset;
    uint64_t min, max;
    const char *expected; /* completes "... is expected" */
};

static int parse_number(const Key *k, const char *value, Config *c) {
    uint32_t n;
    int r = parse_u32(value, &n);
    if (r < 0)
        return r;
    if (n < k->min || n > k->max)
        return -ERANGE;
    memcpy((char *) c + k->offset, &n, sizeof(n));
    return 0;
}

/* Bytes, or with K, M, G: powers of 1,024. */
static int parse_bytes(const Key *k, const char *value, Config *c) {
    static const char suffixes[] = "KMG";
    char digits[32];
    size_t length = strlen(value);
    const char *suffix = length > 0 ? strchr(suffixes, value[length - 1]) : NULL;
    unsigned shift = suffix ? 10U * (unsigned) (suffix - suffixes + 1) : 0;
    if (length >= sizeof(digits))
        return -ERANGE;
    memcpy(digits, value, length + 1);
    if (suffix)
        digits[length - 1] = 0;
    uint64_t n;
    int r = parse_u64(digits, &n);
    if (r < 0)
        return r;
    if (n > (UINT64_MAX >> shift) || n << shift < k->min || n << shift > k->max)
        return -ERANGE;
    n <<= shift;
    memcpy((char *) c + k->offset, &n, sizeof(n));
    return 0;
}

static int parse_group(const Key *k, const char *value, Config *c) {
    static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_0123456789.-";
    size_t length = strlen(value);
    if (length < k->min || length > k->max || strspn(value, allowed) != length || value[0] == '-')
        return -EINVAL;
    memcpy((char *) c + k->offset, value, length + 1);
    return 0;
}

#define PLACE(field) offsetof(Config, field)

static const Key keys[] = {
    { "id-base", parse_number, PLACE(id_base), ID_BASE_MIN, ID_END_MAX - SANDBOX_ID_COUNT,
      "a user id from 65536 on, the first of the pool," },
    { "id-ranges", parse_number, PLACE(id_ranges), 1, 65534, "the number of ranges of 65536 ids, 1 to 65534," },
    { "tenant-group", parse_group, PLACE(tenant_group), 1, CONFIG_GROUP_MAX, "the name of a group" },
    { "tenant-containers-max", parse_number, PLACE(tenant_containers_max), 0, 65534, "a number from 0 to 65534" },
    { "starts-max", parse_number, PLACE(starts_max), 1, 1024, "a number from 1 to 1024" },
    { "log-max-bytes", parse_bytes, PLACE(log_max_bytes), 64ULL * 1024, 1ULL << 40,
      "a number of bytes from 64K to 1024G, with K, M or G for powers of 1024," },
};

_Static_assert(ELEMENTSOF(keys) <= 32, "the set of keys seen is 32 bits");

typedef struct Position {
    const char *file;
    unsigned line;
} Position;

static _printf_(3, 4) int fail_at(Error *reterr, const Position *p, const char *format, ...) {
    char text[ERROR_MESSAGE_MAX];
    va_list ap;
    va_start(ap, format);
    (void) vsnprintf(text, sizeof(text), format, ap);
    va_end(ap);
    return error_failed(reterr, EINVAL, "config", "%s:%u: %s", p->file, p->line, text);
}

/* Cuts blanks at both ends, in place. */
static char *strip(char *s) {
    s += strspn(s, " \t\r");
    size_t length = strlen(s);
    while (length > 0 && strchr(" \t\r", s[length - 1]))
        s[--length] = 0;
    return s;
}

static int set_key(const Position *p, const char *name, const char *value, uint32_t *seen, Config *c, Error *reterr) {
    char quoted[QUOTE_SIZE];
    for (size_t i = 0; i < ELEMENTSOF(keys); i++) {
        if (strcmp(keys[i].name, name) != 0)
            continue;
        if (*seen & (1U << i))
            return fail_at(reterr, p, "\"%s\" is set a second time", name);
        *seen |= 1U << i;
        if (keys[i].parse(&keys[i], value, c) < 0)
            return fail_at(reterr, p, "\"%s\" is %s; %s is expected", name, quote(quoted, value, strlen(value)),
                           keys[i].expected);
        return 0;
    }
    return fail_at(reterr, p, "there is no key %s", quote(quoted, name, strlen(name)));
}

static int parse_line(const Position *p, const char *text, size_t size, uint32_t *seen, Config *c, Error *reterr) {
    char line[CONFIG_LINE_MAX];
    if (size >= sizeof(line))
        return fail_at(reterr, p, "the line is longer than %u bytes", CONFIG_LINE_MAX - 1);
    memcpy(line, text, size);
    line[size] = 0;
    line[strcspn(line, "#")] = 0;
    char *key = strip(line);
    if (!*key)
        return 0;
    char *equals = strchr(key, '=');
    if (!equals)
        return fail_at(reterr, p, "\"key = value\" is expected");
    *equals = 0;
    return set_key(p, strip(key), strip(equals + 1), seen, c, reterr);
}

int config_parse(const char *text, size_t size, const char *file, Config *ret, Error *reterr) {
    Config c = *ret;
    uint32_t seen = 0;
    Position p = { .file = file };
    if (memchr(text, 0, size))
        return error_failed(reterr, EINVAL, "config", "%s: a NUL is in it; text is expected", file);
    for (const char *line = text; *line;) {
        size_t length = strcspn(line, "\n");
        p.line++;
        int r = parse_line(&p, line, length, &seen, &c, reterr);
        if (r < 0)
            return r;
        line += length + (line[length] == '\n');
    }
    if (c.id_base % SANDBOX_ID_COUNT != 0)
        return error_failed(reterr, EINVAL, "config",
                            "%s: id-base %u is no multiple of %u, so that two daemons could share part of a range",
                            file, c.id_base, SANDBOX_ID_COUNT);
    if (c.id_base + (uint64_t) c.id_ranges * SANDBOX_ID_COUNT > ID_END_MAX)
        return error_failed(reterr, EINVAL, "config",
                            "%s: id-base %u and id-ranges %u lead beyond the last user id that can be given, %llu",
                            file, c.id_base, c.id_ranges, ID_END_MAX - 1);
    *ret = c;
    return 0;
}

int config_load(const char *path, bool required, Config *ret, Error *reterr) {
    _cleanup_free_ char *text = NULL;
    size_t size = 0;
    int r = path_read_file_at(AT_FDCWD, path, 0, CONFIG_FILE_MAX, &text, &size);
    if (r == -ENOENT && !required)
        return 0;
    if (r < 0)
        return error_failed(reterr, -r, "config", "%s cannot be read: %s", path, strerror(-r));
    return config_parse(text, size, path, ret, reterr);
}
