/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * See program-spec.h. All of it is the peer's word. Here it is judged by its form; what only the image can tell (is
 * there such a user, such a directory, such a program) the sandbox judges from inside, where a link leads nowhere else.
 */

#include "rpc/program-spec.h"

#include "kennel/limits.h"
#include "proto/quote.h"
#include "rpc/fields.h"
#include "util/parse.h"

#include <fcntl.h>
#include <limits.h>
#include <string.h>

#define USER_MAX 128U

int program_spec_command(json_object *parameters, SandboxProgram *p, Error *reterr) {
    int r = fields_strings(parameters, "command", KENNEL_ARGS_MAX, KENNEL_ARG_STRING_MAX, &p->command, reterr);
    if (r < 0)
        return r;
    if (!p->command[0])
        return error_invalid(reterr, "command", "is empty; a program and its arguments are expected");
    if (!p->command[0][0])
        return error_invalid(reterr, "command[0]", "is empty; a program is expected");
    if (strlen(p->command[0]) >= PATH_MAX)
        return error_invalid(reterr, "command[0]", "is %zu bytes long; %d at most are allowed", strlen(p->command[0]),
                             PATH_MAX - 1);
    return 0;
}

typedef struct Entry {
    const char *text;
    size_t key_size, index;
} Entry;

/* By key, then by place. */
static int entry_compare(const void *a, const void *b) {
    const Entry *x = a, *y = b;
    size_t least = x->key_size < y->key_size ? x->key_size : y->key_size;
    int order = memcmp(x->text, y->text, least);
    if (order != 0)
        return order;
    if (x->key_size != y->key_size)
        return x->key_size < y->key_size ? -1 : 1;
    return x->index < y->index ? -1 : 1;
}

static bool entry_same_key(const Entry *x, const Entry *y) {
    return x->key_size == y->key_size && memcmp(x->text, y->text, x->key_size) == 0;
}

/*
 * Keeps the last entry of each key: libraries differ in which of two they take, and two readers of one environment must
 * not see two things. Sorts, because the obvious loop over 4,096 entries would hold up the daemon.
 */
static int drop_overridden(char **environment, Error *reterr) {
    size_t n = strv_length(environment), kept = 0;
    _cleanup_free_ Entry *entries = calloc(n + 1, sizeof(Entry));
    if (!entries)
        return fields_oom(reterr);
    for (size_t i = 0; i < n; i++)
        entries[i] = (Entry){ environment[i], strcspn(environment[i], "="), i };
    qsort(entries, n, sizeof(Entry), entry_compare);
    for (size_t i = 0; i + 1 < n; i++)
        if (entry_same_key(&entries[i], &entries[i + 1])) {
            free(environment[entries[i].index]);
            environment[entries[i].index] = NULL;
        }
    for (size_t i = 0; i < n; i++) {
        char *entry = TAKE_PTR(environment[i]);
        if (entry)
            environment[kept++] = entry;
    }
    return 0;
}

int program_spec_environment(json_object *parameters, SandboxProgram *p, Error *reterr) {
    int r = fields_strings(parameters, "env", KENNEL_ENV_MAX, KENNEL_ARG_STRING_MAX, &p->environment, reterr);
    if (r < 0)
        return r;
    for (size_t i = 0; p->environment[i]; i++) {
        const char *equals = strchr(p->environment[i], '=');
        if (equals && equals != p->environment[i])
            continue;
        char path[ERROR_SUBJECT_MAX], quoted[QUOTE_SIZE];
        (void) snprintf(path, sizeof(path), "env[%zu]", i);
        return error_invalid(reterr, path, "is %s; KEY=VALUE is expected",
                             quote(quoted, p->environment[i], strlen(p->environment[i])));
    }
    return drop_overridden(p->environment, reterr);
}

int program_spec_add_default(SandboxProgram *p, const char *key, const char *value, Error *reterr) {
    if (strv_env_get(p->environment, key))
        return 0;
    _cleanup_free_ char *entry = NULL;
    if (asprintf(&entry, "%s=%s", key, value) < 0)
        return fields_oom(reterr);
    size_t n = strv_length(p->environment);
    char **larger = reallocarray(p->environment, n + 2, sizeof(char *));
    if (!larger)
        return fields_oom(reterr);
    larger[n] = TAKE_PTR(entry);
    larger[n + 1] = NULL;
    p->environment = larger;
    return 0;
}

static int refuse_path(const char *text, const char *field, const char *why, Error *reterr) {
    char quoted[QUOTE_SIZE];
    return error_invalid(reterr, field, "is %s; %s", quote(quoted, text, strlen(text)), why);
}

int program_spec_path(const char *text, const char *field, char **ret, Error *reterr) {
    size_t size = strlen(text);
    if (size >= KENNEL_STRING_MAX)
        return error_invalid(reterr, field, "is %zu bytes long; %u at most are allowed", size, KENNEL_STRING_MAX - 1);
    if (text[0] != '/')
        return refuse_path(text, field, "an absolute path is expected", reterr);
    _cleanup_free_ char *path = malloc(size + 2);
    if (!path)
        return fields_oom(reterr);
    size_t length = 0;
    for (const char *p = text + strspn(text, "/"); *p; p += strspn(p, "/")) {
        size_t part = strcspn(p, "/");
        if (part == 2 && p[0] == '.' && p[1] == '.')
            return refuse_path(text, field, "a path without \"..\" is expected", reterr);
        if (part > NAME_MAX)
            return refuse_path(text, field, "no part of it may be longer than 255 bytes", reterr);
        if (part != 1 || p[0] != '.') {
            path[length++] = '/';
            memcpy(path + length, p, part);
            length += part;
        }
        p += part;
    }
    if (length == 0)
        path[length++] = '/';
    path[length] = 0;
    *ret = TAKE_PTR(path);
    return 0;
}

/*
 * The links below /proc lead to wherever a descriptor leads (CVE-2024-21626). The sandbox closes every descriptor and
 * checks that the directory lies inside; nobody needs such a directory, so it is refused here already.
 */
int program_spec_directory(json_object *parameters, SandboxProgram *p, Error *reterr) {
    const char *text = fields_string(parameters, "workingDirectory");
    if (!text)
        return 0;
    _cleanup_free_ char *path = NULL;
    int r = program_spec_path(text, "workingDirectory", &path, reterr);
    if (r < 0)
        return r;
    if (strncmp(path, "/proc/", strlen("/proc/")) == 0)
        return refuse_path(text, "workingDirectory", "a directory that is not below /proc is expected", reterr);
    free(p->working_directory);
    p->working_directory = TAKE_PTR(path);
    return 0;
}

/* A number that ids can be, or a name that cannot be taken for a number: "0x0", "+1" and " 0" are neither. */
static bool is_user_or_group(const char *s, size_t size) {
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_";
    static const char others[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_0123456789.-";
    char part[USER_MAX + 1];
    if (size == 0 || size > USER_MAX)
        return false;
    memcpy(part, s, size);
    part[size] = 0;
    uint32_t id;
    if (part[0] >= '0' && part[0] <= '9')
        return parse_id(part, &id) >= 0 && id < SANDBOX_ID_COUNT;
    if (!strchr(letters, part[0]))
        return false;
    size_t length = strspn(part, others);
    return length == size || (length == size - 1 && part[length] == '$'); /* as useradd has it for machine accounts */
}

int program_spec_user(json_object *parameters, SandboxProgram *p, Error *reterr) {
    const char *text = fields_string(parameters, "user");
    if (!text)
        return 0;
    size_t size = strlen(text), user_size = strcspn(text, ":");
    bool group = text[user_size] == ':';
    if (!is_user_or_group(text, user_size) ||
        (group && !is_user_or_group(text + user_size + 1, size - user_size - 1))) {
        char quoted[QUOTE_SIZE];
        return error_invalid(reterr, "user",
                             "is %s; USER or USER:GROUP is expected, each a number from 0 to 65534 or a name",
                             quote(quoted, text, size));
    }
    return fields_copy_string(parameters, "user", "user", 2 * USER_MAX + 1, &p->user, reterr);
}

int program_spec_terminal(json_object *parameters, SandboxProgram *p, Error *reterr) {
    json_object *terminal = fields_get(parameters, "terminal");
    if (!terminal)
        return 0;
    int64_t rows = 0, columns = 0;
    int r = fields_int(terminal, "rows", "terminal.rows", 1, USHRT_MAX, &rows, reterr);
    if (r < 0)
        return r;
    r = fields_int(terminal, "columns", "terminal.columns", 1, USHRT_MAX, &columns, reterr);
    if (r < 0)
        return r;
    p->terminal = true;
    p->rows = (unsigned short) rows;
    p->columns = (unsigned short) columns;
    return 0;
}

/*
 * An O_PATH descriptor needs no right to the file; the sandbox, which is root, would turn it into access. F_GETFL asks
 * the open file alone and cannot block.
 */
int program_spec_check_opened(int fd, const char *field, const Peer *peer, Error *reterr) {
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0)
        return error_invalid(reterr, field, "cannot be examined: %s", strerror(errno));
    if ((flags & O_PATH) && !(peer && peer_is_root(peer)))
        return error_invalid(reterr, field,
                             "was opened with O_PATH; a descriptor that was opened for reading is expected");
    return 0;
}

int program_spec_stdio(json_object *parameters, Descriptors *d, SandboxProgram *p, Error *reterr) {
    static const char *const names[] = { "stdin", "stdout", "stderr" };
    for (size_t i = 0; i < ELEMENTSOF(names); i++) {
        json_object *index = fields_get(parameters, names[i]);
        if (!index)
            continue;
        if (p->terminal)
            return error_invalid(reterr, names[i], "cannot be given together with terminal, which takes its place");
        p->stdio[i] = fd_close(p->stdio[i]);
        int r = descriptors_take(d, names[i], index, &p->stdio[i], reterr);
        if (r < 0)
            return r;
        /* nobody, root neither, can read or write through O_PATH */
        r = program_spec_check_opened(p->stdio[i], names[i], NULL, reterr);
        if (r < 0)
            return r;
    }
    return 0;
}
