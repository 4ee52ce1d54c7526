/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* See apparmor-policy.h. The text itself is apparmor-container.in, embedded by meson. */

#include "sandbox/apparmor-policy.h"
#include "sandbox/sandbox.h"
#include "util/parse.h"

#include <string.h>

extern const char apparmor_container_text[], apparmor_container_text_end[];

#define NAME_MARK "@name@"
#define MORE_MARK "@more@"

void apparmor_profile_name(uint32_t id_base, char ret[static APPARMOR_NAME_SIZE]) {
    (void) snprintf(ret, APPARMOR_NAME_SIZE, APPARMOR_NAME_PREFIX "%u", id_base);
}

static const char *mqueue_rule(const AppArmorPolicy *p) {
    /* The ipc namespace is the container's own. */
    return p->has_mqueue_rules ? "  mqueue,\n" : "";
}

char *apparmor_policy_text(const AppArmorPolicy *p, const char *name) {
    const char *at = apparmor_container_text;
    const char *mark = strstr(at, NAME_MARK), *more = strstr(at, MORE_MARK);
    char *text;
    if (!mark || !more || more < mark)
        return NULL;
    const char *rest = mark + strlen(NAME_MARK);
    if (asprintf(&text, "%.*s%s%.*s%s%s", (int) (mark - at), at, name, (int) (more - rest), rest, mqueue_rule(p),
                 more + strlen(MORE_MARK)) < 0)
        return NULL;
    return text;
}

unsigned apparmor_policy_parser_major(const char *version) {
    unsigned major;
    const char *at = strstr(version, "version ");
    return at && sscanf(at, "version %u.", &major) == 1 ? major : 0;
}

/* FNV-1a. The directory is root's alone: what is to be told apart are versions, not forgeries. */
static uint64_t hash(uint64_t h, const char *text) {
    do
        h = (h ^ (uint8_t) *text) * 0x100000001b3ULL;
    while (*text++);
    return h;
}

int apparmor_policy_key(const AppArmorPolicy *p, const char *version, const char *features,
                        char ret[static APPARMOR_KEY_SIZE]) {
    _cleanup_free_ char *text = apparmor_policy_text(p, "");
    if (!text)
        return -ENOMEM;
    uint64_t h = hash(hash(hash(0xcbf29ce484222325ULL, text), version), features);
    (void) snprintf(ret, APPARMOR_KEY_SIZE, "%016llx", (unsigned long long) h);
    return 0;
}

uint32_t apparmor_policy_batch(uint32_t id_base) {
    return id_base - id_base % (APPARMOR_BATCH * SANDBOX_ID_COUNT) + id_base % SANDBOX_ID_COUNT;
}

/* A container that takes another's profile could signal and trace it. */
static bool is_own(const char *name) {
    uint32_t id;
    size_t prefix = strlen(APPARMOR_NAME_PREFIX);
    return strcmp(name, "kenneld") == 0 || strncmp(name, "kenneld//", strlen("kenneld//")) == 0 ||
           (strncmp(name, APPARMOR_NAME_PREFIX, prefix) == 0 && parse_u32(name + prefix, &id) != -EINVAL);
}

int apparmor_policy_check_name(const char *name, Error *reterr) {
    static const char field[] = "apparmorProfile";
    if (!*name || strlen(name) >= APPARMOR_PROFILE_MAX)
        return error_invalid(reterr, field, "has %zu bytes; a profile's name of 1 to %u is expected", strlen(name),
                             APPARMOR_PROFILE_MAX - 1);
    for (const char *c = name; *c; c++)
        if ((unsigned char) *c < ' ' || *c == 0x7f)
            return error_invalid(reterr, field, "has a control character; a profile's name is expected");
    if (*name == ':' || strstr(name, "//&"))
        return error_invalid(reterr, field,
                             "is \"%.100s\", of another policy namespace or a stack; the name of one profile of the "
                             "host's own namespace is expected",
                             name);
    if (is_own(name))
        return error_invalid(reterr, field, "is \"%.100s\", which Kennel keeps for itself; any other is expected",
                             name);
    return 0;
}

int apparmor_policy_find(const char *list, const char *name, char ret_mode[static APPARMOR_MODE_SIZE]) {
    size_t length = strlen(name);
    for (const char *line = list, *end; *line; line = *end ? end + 1 : end) {
        end = strchrnul(line, '\n');
        /* names may have blanks and brackets: what counts is the last pair */
        const char *open = memrchr(line, '(', (size_t) (end - line));
        if (!open || open - line != (ssize_t) length + 1 || open[-1] != ' ' || strncmp(line, name, length) != 0)
            continue;
        (void) snprintf(ret_mode, APPARMOR_MODE_SIZE, "%.*s", (int) strcspn(open + 1, ")\n"), open + 1);
        return 0;
    }
    return -ENOENT;
}
