/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Reads profiles in the JSON format of Docker and Podman.
 *
 * The sandbox never sees a request's JSON; a profile is the one exception, because to whoever sends it it is a file,
 * which rpc hands on as it came.
 *
 * Invariants: every key and value is checked, also in entries that do not apply here; what is not understood is an
 * error, because a rule that is silently left out is a hole or a broken program. Memory is bounded: each value of the
 * text makes at most one rule for each architecture, entries that multiply (names times arguments) are bounded by what
 * a program can hold.
 *
 * Trust boundary: the text is hostile.
 */

#include "sandbox/seccomp-profile.h"

#include "kennel/limits.h"
#include "proto/json.h"
#include "proto/quote.h"
#include "sandbox/capabilities.h"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <string.h>
#include <sys/utsname.h>

#define ERRNO_MAX 4095

/* Where in the text we are: "syscalls[3].args[0]". Empty at the top. */
typedef struct Place {
    char text[96];
} Place;

typedef struct Parser {
    SeccompProfile *profile;
    uint64_t caps;
    unsigned kernel_major, kernel_minor;
    Error *reterr;
} Parser;

typedef struct Entry {
    uint32_t action;
    bool applies;
    SeccompCondition conditions[64];
    size_t n_conditions;
    bool alternatives; /* one argument twice: any of the conditions is enough, as Docker has it */
    json_object *names;
    const char *name;
} Entry;

void seccomp_profile_done(SeccompProfile *p) {
    free(p->rules);
    free(p->conditions);
    *p = SECCOMP_PROFILE_INIT;
}

static _printf_(4, 5) int refuse(Parser *p, const Place *place, const char *key, const char *format, ...) {
    char message[256];
    va_list ap;
    va_start(ap, format);
    (void) vsnprintf(message, sizeof(message), format, ap);
    va_end(ap);
    return error_invalid(p->reterr, "seccompProfile", "%s%s%s: %s", place->text, place->text[0] && key ? "." : "",
                         key ? key : "", message);
}

static const char *show(char buf[static QUOTE_SIZE], const char *text) {
    return quote(buf, text, strlen(text));
}

static Place place_element(const Place *place, const char *key, size_t index) {
    Place p;
    (void) snprintf(p.text, sizeof(p.text), "%.60s%s%s[%zu]", place->text, place->text[0] ? "." : "", key, index);
    return p;
}

static Place place_member(const Place *place, const char *key) {
    Place p;
    (void) snprintf(p.text, sizeof(p.text), "%.60s%s%s", place->text, place->text[0] ? "." : "", key);
    return p;
}

/* KNOWN is a NULL-terminated list of keys. */
static int check_keys(Parser *p, const Place *place, json_object *object, const char *const *known) {
    json_object_object_foreach(object, key, value) {
        (void) value;
        size_t i = 0;
        while (known[i] && strcmp(known[i], key) != 0)
            i++;
        if (!known[i]) {
            char q[QUOTE_SIZE];
            return error_invalid(p->reterr, "seccompProfile", "%s%s%s is not a key of a profile", place->text,
                                 place->text[0] ? ": " : "", show(q, key));
        }
    }
    return 0;
}

/* The getters: 1 and the value, 0 if there is none (absent or null: the writers of this format mean the same by both).
 */
static int get(Parser *p, const Place *place, json_object *object, const char *key, enum json_type type,
               const char *what, json_object **ret) {
    json_object *value;
    if (!json_object_object_get_ex(object, key, &value) || !value)
        return 0;
    if (!json_object_is_type(value, type))
        return refuse(p, place, key, "has to be %s", what);
    *ret = value;
    return 1;
}

static int get_string(Parser *p, const Place *place, json_object *object, const char *key, const char **ret) {
    json_object *value = NULL;
    int r = get(p, place, object, key, json_type_string, "a string", &value);
    if (r > 0)
        *ret = json_object_get_string(value);
    return r;
}

static int get_integer(Parser *p, const Place *place, json_object *object, const char *key, uint64_t max,
                       uint64_t *ret) {
    json_object *value = NULL;
    int r = get(p, place, object, key, json_type_int, "an integer", &value);
    if (r <= 0)
        return r;
    int64_t i = json_object_get_int64(value);
    if (i < 0 || (uint64_t) i > max)
        return refuse(p, place, key, "has to be from 0 to %llu", (unsigned long long) max);
    *ret = (uint64_t) i;
    return 1;
}

static int get_array(Parser *p, const Place *place, json_object *object, const char *key, json_object **ret) {
    return get(p, place, object, key, json_type_array, "a list", ret);
}

/* The Ith element of a list of strings. */
static int get_element(Parser *p, const Place *place, const char *key, json_object *array, size_t i, const char **ret) {
    json_object *value = json_object_array_get_idx(array, i);
    if (!json_object_is_type(value, json_type_string)) {
        Place at = place_element(place, key, i);
        return refuse(p, &at, NULL, "has to be a string");
    }
    *ret = json_object_get_string(value);
    return 0;
}

static int parse_errno(Parser *p, const Place *place, json_object *object, const char *number_key, const char *name_key,
                       uint32_t *action) {
    uint64_t number = EPERM;
    const char *name = NULL;

    int has_number = get_integer(p, place, object, number_key, ERRNO_MAX, &number);
    if (has_number < 0)
        return has_number;
    int has_name = get_string(p, place, object, name_key, &name);
    if (has_name < 0)
        return has_name;
    /* Podman writes "errno": "" where there is none. */
    has_name = has_name && name[0];

    if ((has_number || has_name) && *action != SECCOMP_RET_ERRNO)
        return refuse(p, place, has_number ? number_key : name_key, "means something with SCMP_ACT_ERRNO only");
    if (has_name) {
        int known = seccomp_names_errno(name);
        char q[QUOTE_SIZE];
        if (known < 0)
            return refuse(p, place, name_key, "no error is called %s; \"EPERM\" is one that is", show(q, name));
        if (has_number && (uint64_t) known != number)
            return refuse(p, place, name_key, "%s is %d, but %s says %llu", show(q, name), known, number_key,
                          (unsigned long long) number);
        number = (uint64_t) known;
    }
    if (*action == SECCOMP_RET_ERRNO)
        *action |= (uint32_t) number;
    return 0;
}

static int parse_action(Parser *p, const Place *place, json_object *object, const char *key, const char *number_key,
                        const char *name_key, uint32_t *ret) {
    const char *name = NULL, *reason = NULL;
    char q[QUOTE_SIZE];

    int r = get_string(p, place, object, key, &name);
    if (r < 0)
        return r;
    if (r == 0)
        return refuse(p, place, key, "is missing; it has to be " SECCOMP_ACTIONS);
    r = seccomp_names_action(name, ret, &reason);
    if (r == -EOPNOTSUPP)
        return refuse(p, place, key, "%s is not possible here: %s", name, reason);
    if (r < 0)
        return refuse(p, place, key, "no action is called %s; it has to be " SECCOMP_ACTIONS, show(q, name));
    return parse_errno(p, place, object, number_key, name_key, ret);
}

static int parse_operator(Parser *p, const Place *place, json_object *argument, SeccompOperator *ret) {
    const char *name = NULL;
    char q[QUOTE_SIZE];

    int r = get_string(p, place, argument, "op", &name);
    if (r < 0)
        return r;
    if (r == 0)
        return refuse(p, place, "op", "is missing; it has to be " SECCOMP_OPERATORS);
    int op = seccomp_names_operator(name);
    if (op < 0)
        return refuse(p, place, "op", "no comparison is called %s; it has to be " SECCOMP_OPERATORS, show(q, name));
    *ret = (SeccompOperator) op;
    return 0;
}

static int parse_argument(Parser *p, const Place *place, json_object *argument, SeccompCondition *ret) {
    static const char *const keys[] = { "index", "value", "valueTwo", "op", NULL };
    uint64_t index = 0, value = 0, value_two = 0;
    SeccompOperator op = _SECCOMP_OPERATOR_MAX;

    if (!json_object_is_type(argument, json_type_object))
        return refuse(p, place, NULL, "has to be an object");
    int r = check_keys(p, place, argument, keys);
    if (r < 0)
        return r;
    r = get_integer(p, place, argument, "index", SECCOMP_ARGUMENTS_MAX - 1, &index);
    if (r == 0)
        return refuse(p, place, "index", "is missing; it has to be from 0 to %u", SECCOMP_ARGUMENTS_MAX - 1);
    if (r > 0)
        r = get_integer(p, place, argument, "value", INT64_MAX, &value);
    if (r == 0)
        return refuse(p, place, "value", "is missing");
    if (r > 0)
        r = get_integer(p, place, argument, "valueTwo", INT64_MAX, &value_two);
    if (r >= 0)
        r = parse_operator(p, place, argument, &op);
    if (r < 0)
        return r;
    /* A bit outside the mask could never match; libseccomp ignores such bits, and profiles were written against that.
     */
    *ret = (SeccompCondition){ .op = op, .index = (unsigned) index, .value = value, .operand = value & value_two };
    return 0;
}

static int parse_arguments(Parser *p, const Place *place, json_object *object, Entry *e) {
    json_object *array = NULL;
    unsigned seen = 0;

    int r = get_array(p, place, object, "args", &array);
    if (r <= 0)
        return r;
    size_t n = json_object_array_length(array);
    if (n > ELEMENTSOF(e->conditions))
        return refuse(p, place, "args", "%zu are too many; at most %zu can be compared in one entry", n,
                      ELEMENTSOF(e->conditions));
    for (size_t i = 0; i < n; i++) {
        Place at = place_element(place, "args", i);
        r = parse_argument(p, &at, json_object_array_get_idx(array, i), &e->conditions[i]);
        if (r < 0)
            return r;
        unsigned bit = 1U << e->conditions[i].index;
        e->alternatives |= (seen & bit) != 0;
        seen |= bit;
    }
    e->n_conditions = n;
    return 0;
}

/* "4.8" against the running kernel: 1 if it is at least that. */
static int kernel_at_least(Parser *p, const Place *place, const char *text) {
    unsigned major, minor;
    int end = -1;
    char q[QUOTE_SIZE];

    if (text[0] < '0' || text[0] > '9' || sscanf(text, "%5u.%5u%n", &major, &minor, &end) != 2 || end < 0 ||
        text[end] || strpbrk(text, " \t\n+-"))
        return refuse(p, place, "minKernel", "%s is no version of a kernel; \"4.8\" is one", show(q, text));
    return p->kernel_major > major || (p->kernel_major == major && p->kernel_minor >= minor);
}

typedef struct Filter {
    bool has_caps, all_caps, any_cap;
    bool has_arches, arch;
    bool has_kernel, kernel;
} Filter;

static int parse_filter_caps(Parser *p, const Place *place, json_object *object, Filter *f) {
    json_object *array = NULL;
    int r = get_array(p, place, object, "caps", &array);
    if (r <= 0)
        return r;
    f->all_caps = true;
    for (size_t i = 0; i < json_object_array_length(array); i++) {
        const char *name = NULL;
        uint64_t mask;
        char q[QUOTE_SIZE];
        r = get_element(p, place, "caps", array, i, &name);
        if (r < 0)
            return r;
        if (strncmp(name, "CAP_", 4) != 0 || capabilities_from_string(name, &mask) < 0) {
            Place at = place_element(place, "caps", i);
            return refuse(p, &at, NULL, "no capability is called %s; \"CAP_SYS_CHROOT\" is one", show(q, name));
        }
        f->has_caps = true;
        f->all_caps &= (p->caps & mask) != 0;
        f->any_cap |= (p->caps & mask) != 0;
    }
    return 0;
}

static int parse_filter_arches(Parser *p, const Place *place, json_object *object, Filter *f) {
    json_object *array = NULL;
    int r = get_array(p, place, object, "arches", &array);
    if (r <= 0)
        return r;
    for (size_t i = 0; i < json_object_array_length(array); i++) {
        const char *name = NULL;
        char q[QUOTE_SIZE];
        r = get_element(p, place, "arches", array, i, &name);
        if (r < 0)
            return r;
        if (!seccomp_names_short_architecture(name)) {
            Place at = place_element(place, "arches", i);
            return refuse(p, &at, NULL, "no architecture is called %s; \"amd64\" is one", show(q, name));
        }
        f->has_arches = true;
        f->arch |= strcmp(name, p->profile->architectures[0]->short_name) == 0;
    }
    return 0;
}

static int parse_filter(Parser *p, const Place *outer, json_object *object, const char *key, Filter *ret) {
    static const char *const keys[] = { "caps", "arches", "minKernel", NULL };
    json_object *filter = NULL;
    const char *kernel = NULL;

    *ret = (Filter){ 0 };
    int r = get(p, outer, object, key, json_type_object, "an object", &filter);
    if (r <= 0)
        return r;
    Place place = place_member(outer, key);
    r = check_keys(p, &place, filter, keys);
    if (r >= 0)
        r = parse_filter_caps(p, &place, filter, ret);
    if (r >= 0)
        r = parse_filter_arches(p, &place, filter, ret);
    if (r >= 0)
        r = get_string(p, &place, filter, "minKernel", &kernel);
    if (r <= 0 || !kernel[0])
        return r;
    r = kernel_at_least(p, &place, kernel);
    ret->has_kernel = true;
    ret->kernel = r > 0;
    return r;
}

static int parse_filters(Parser *p, const Place *place, json_object *object, Entry *e) {
    Filter in, ex;
    int r = parse_filter(p, place, object, "includes", &in);
    if (r >= 0)
        r = parse_filter(p, place, object, "excludes", &ex);
    if (r < 0)
        return r;
    e->applies = (!in.has_caps || in.all_caps) && (!in.has_arches || in.arch) && (!in.has_kernel || in.kernel) &&
                 !(ex.has_caps && ex.any_cap) && !(ex.has_arches && ex.arch) && !(ex.has_kernel && ex.kernel);
    return 0;
}

/* Makes room for one more element of SIZE bytes. */
static int grow(void **array, size_t n, size_t *allocated, size_t size) {
    if (n < *allocated)
        return 0;
    size_t more = *allocated ? *allocated * 2 : 512;
    void *bigger = reallocarray(*array, more, size);
    if (!bigger)
        return -ENOMEM;
    *array = bigger;
    *allocated = more;
    return 0;
}

static int add_rule(Parser *p, size_t architecture, uint32_t number, uint32_t action, size_t first, size_t n) {
    SeccompProfile *f = p->profile;

    /* Each comparison takes three instructions or more. Without this bound, names times arguments could be anything. */
    if (n > 0 && ++f->n_conditional > BPF_MAXINSNS / 3)
        return error_invalid(p->reterr, "seccompProfile", "more comparisons than the kernel's %d instructions can hold",
                             BPF_MAXINSNS);
    if (grow((void **) &f->rules, f->n_rules, &f->rules_allocated, sizeof(*f->rules)) < 0)
        return error_failed(p->reterr, ENOMEM, "seccomp", "out of memory");
    f->rules[f->n_rules] = (SeccompRule){
        .number = number,
        .action = action,
        .architecture = (uint32_t) architecture,
        .first_condition = (uint32_t) first,
        .n_conditions = (uint32_t) n,
        .order = (uint32_t) f->n_rules,
    };
    f->n_rules++;
    return 0;
}

int seccomp_profile_refuse(SeccompProfile *p, const char *name, int code) {
    Error error = ERROR_INIT;
    Parser parser = { .profile = p, .reterr = &error };
    uint32_t number;
    for (size_t a = 0; a < p->n_architectures; a++) {
        if (seccomp_names_syscall(name, p->architectures[a], &number) <= 0)
            continue;
        int r = add_rule(&parser, a, number, SECCOMP_RET_ERRNO | (uint32_t) code, 0, 0);
        if (r < 0)
            return r;
    }
    return 0;
}

static int add_condition(Parser *p, const SeccompCondition *c) {
    SeccompProfile *f = p->profile;
    if (grow((void **) &f->conditions, f->n_conditions, &f->conditions_allocated, sizeof(*f->conditions)) < 0)
        return error_failed(p->reterr, ENOMEM, "seccomp", "out of memory");
    f->conditions[f->n_conditions++] = *c;
    return 0;
}

/*
 * The second entry on i386. Its caller's arguments are in memory, where no filter can look, so that a rule with
 * comparisons cannot be said there; nor can libseccomp say it.
 */
static int add_multiplexed(Parser *p, const Entry *e, const char *name, size_t architecture) {
    uint32_t call, which;
    if (e->n_conditions > 0 || !seccomp_names_multiplexed(name, p->profile->architectures[architecture], &call, &which))
        return 0;
    SeccompCondition c = { .op = SECCOMP_EQ, .index = 0, .value = which };
    size_t first = p->profile->n_conditions;
    int r = add_condition(p, &c);
    return r < 0 ? r : add_rule(p, architecture, call, e->action, first, 1);
}

/* FIRST: where the entry's conditions are in the profile. */
static int add_for_architecture(Parser *p, const Entry *e, const char *name, size_t architecture, size_t first) {
    uint32_t number;
    int r = add_multiplexed(p, e, name, architecture);
    if (r < 0)
        return r;
    if (seccomp_names_syscall(name, p->profile->architectures[architecture], &number) <= 0)
        return 0;
    if (!e->alternatives)
        return add_rule(p, architecture, number, e->action, first, e->n_conditions);
    for (size_t i = 0; i < e->n_conditions && r >= 0; i++)
        r = add_rule(p, architecture, number, e->action, first + i, 1);
    return r;
}

static int add_name(Parser *p, const Place *place, const Entry *e, const char *name, size_t first) {
    uint32_t number;
    char q[QUOTE_SIZE];

    if (seccomp_names_syscall(name, p->profile->architectures[0], &number) < 0)
        return refuse(p, place, NULL, "no system call is called %s", show(q, name));
    for (size_t a = 0; e->applies && a < p->profile->n_architectures; a++) {
        int r = add_for_architecture(p, e, name, a, first);
        if (r < 0)
            return r;
    }
    return 0;
}

static int add_entry(Parser *p, const Place *place, const Entry *e) {
    size_t first = p->profile->n_conditions;
    int r = 0;

    for (size_t i = 0; i < e->n_conditions && r >= 0; i++)
        r = add_condition(p, &e->conditions[i]);
    if (e->name && r >= 0) {
        Place at = place_member(place, "name");
        r = add_name(p, &at, e, e->name, first);
    }
    for (size_t i = 0; e->names && r >= 0 && i < json_object_array_length(e->names); i++) {
        const char *name = NULL;
        Place at = place_element(place, "names", i);
        r = get_element(p, place, "names", e->names, i, &name);
        if (r >= 0)
            r = add_name(p, &at, e, name, first);
    }
    return r;
}

static int parse_names(Parser *p, const Place *place, json_object *object, Entry *e) {
    int has_names = get_array(p, place, object, "names", &e->names);
    if (has_names < 0)
        return has_names;
    int has_name = get_string(p, place, object, "name", &e->name);
    if (has_name < 0)
        return has_name;
    if (has_names == has_name)
        return refuse(p, place, "names", "%s",
                      has_name ? "cannot stand beside name" : "is missing; it lists system calls");
    return 0;
}

static int parse_entry(Parser *p, size_t index, json_object *object) {
    static const char *const keys[] = { "names", "name",    "action",   "errnoRet", "errno",
                                        "args",  "comment", "includes", "excludes", NULL };
    static const Place top;
    Place place = place_element(&top, "syscalls", index);
    const char *comment = NULL;
    Entry e = { 0 };

    if (!json_object_is_type(object, json_type_object))
        return refuse(p, &place, NULL, "has to be an object");
    int r = check_keys(p, &place, object, keys);
    if (r >= 0)
        r = get_string(p, &place, object, "comment", &comment);
    if (r >= 0)
        r = parse_action(p, &place, object, "action", "errnoRet", "errno", &e.action);
    if (r >= 0)
        r = parse_arguments(p, &place, object, &e);
    if (r >= 0)
        r = parse_filters(p, &place, object, &e);
    if (r >= 0)
        r = parse_names(p, &place, object, &e);
    return r < 0 ? r : add_entry(p, &place, &e);
}

/* Opens one more architecture, if this machine's kernel can run it. */
static void open_architecture(SeccompProfile *f, const SeccompArchitecture *a) {
    if (a->host != f->architectures[0]->token)
        return;
    for (size_t i = 0; i < f->n_architectures; i++)
        if (f->architectures[i] == a)
            return;
    f->architectures[f->n_architectures++] = a;
}

static int parse_architecture(Parser *p, const Place *place, const char *key, const char *name,
                              const SeccompArchitecture **ret) {
    const SeccompArchitecture *a = seccomp_names_architecture(name);
    char q[QUOTE_SIZE];
    if (!a)
        return refuse(p, place, key, "no architecture is called %s; \"SCMP_ARCH_X86_64\" is one", show(q, name));
    *ret = a;
    return 0;
}

/* OPEN: whether those in the list are to be opened, or just looked at. */
static int parse_architectures(Parser *p, const Place *place, json_object *object, const char *key, bool open) {
    json_object *array = NULL;
    int r = get_array(p, place, object, key, &array);
    if (r <= 0)
        return r;
    for (size_t i = 0; i < json_object_array_length(array); i++) {
        const SeccompArchitecture *a = NULL;
        const char *name = NULL;
        Place at = place_element(place, key, i);
        r = get_element(p, place, key, array, i, &name);
        if (r >= 0)
            r = parse_architecture(p, &at, NULL, name, &a);
        if (r < 0)
            return r;
        if (open)
            open_architecture(p->profile, a);
    }
    return 0;
}

static int parse_map_element(Parser *p, const Place *place, json_object *object) {
    static const char *const keys[] = { "architecture", "subArchitectures", NULL };
    const SeccompArchitecture *a = NULL;
    const char *name = NULL;

    if (!json_object_is_type(object, json_type_object))
        return refuse(p, place, NULL, "has to be an object");
    int r = check_keys(p, place, object, keys);
    if (r >= 0)
        r = get_string(p, place, object, "architecture", &name);
    if (r == 0)
        return refuse(p, place, "architecture", "is missing");
    if (r > 0)
        r = parse_architecture(p, place, "architecture", name, &a);
    if (r < 0)
        return r;
    return parse_architectures(p, place, object, "subArchitectures", a == p->profile->architectures[0]);
}

static int parse_map(Parser *p, const Place *top, json_object *root) {
    json_object *array = NULL;
    int r = get_array(p, top, root, "archMap", &array);
    for (size_t i = 0; r > 0 && i < json_object_array_length(array); i++) {
        Place at = place_element(top, "archMap", i);
        int k = parse_map_element(p, &at, json_object_array_get_idx(array, i));
        if (k < 0)
            return k;
    }
    return r;
}

static int parse_flags(Parser *p, const Place *top, json_object *root) {
    json_object *array = NULL;
    int r = get_array(p, top, root, "flags", &array);
    for (size_t i = 0; r > 0 && i < json_object_array_length(array); i++) {
        const char *name = NULL, *reason = NULL;
        char q[QUOTE_SIZE];
        Place at = place_element(top, "flags", i);
        int k = get_element(p, top, "flags", array, i, &name);
        if (k < 0)
            return k;
        k = seccomp_names_flag(name, &reason);
        if (k == -EOPNOTSUPP)
            return refuse(p, &at, NULL, "%s is not possible here: %s", name, reason);
        if (k < 0)
            return refuse(p, &at, NULL, "no flag is called %s", show(q, name));
    }
    return r;
}

static int parse_root(Parser *p, json_object *root) {
    static const char *const keys[] = {
        "defaultAction", "defaultErrnoRet", "defaultErrno",     "archMap",  "architectures",
        "flags",         "listenerPath",    "listenerMetadata", "syscalls", NULL
    };
    static const Place top;
    json_object *syscalls = NULL;

    if (!json_object_is_type(root, json_type_object))
        return error_invalid(p->reterr, "seccompProfile", "a profile has to be a JSON object");
    int r = check_keys(p, &top, root, keys);
    if (r >= 0)
        r = parse_action(p, &top, root, "defaultAction", "defaultErrnoRet", "defaultErrno",
                         &p->profile->default_action);
    if (r < 0)
        return r;
    if (json_object_object_get_ex(root, "listenerPath", NULL) ||
        json_object_object_get_ex(root, "listenerMetadata", NULL))
        return refuse(p, &top, "listenerPath", "is not possible here: nothing outside decides on a container's calls");
    r = parse_map(p, &top, root);
    if (r >= 0)
        r = parse_architectures(p, &top, root, "architectures", true);
    if (r >= 0)
        r = parse_flags(p, &top, root);
    if (r >= 0)
        r = get_array(p, &top, root, "syscalls", &syscalls);
    for (size_t i = 0; r > 0 && i < json_object_array_length(syscalls); i++) {
        int k = parse_entry(p, i, json_object_array_get_idx(syscalls, i));
        if (k < 0)
            return k;
    }
    return r < 0 ? r : 0;
}

int seccomp_profile_parse(const char *text, size_t size, uint64_t caps, SeccompProfile *ret, Error *reterr) {
    _cleanup_(seccomp_profile_done) SeccompProfile profile = SECCOMP_PROFILE_INIT;
    _cleanup_json_ json_object *root = NULL;
    Parser p = { .profile = &profile, .caps = caps, .reterr = reterr };
    Error json_error = ERROR_INIT;
    struct utsname host;

    if (uname(&host) < 0 || sscanf(host.release, "%u.%u", &p.kernel_major, &p.kernel_minor) != 2)
        return error_failed(reterr, ENOSYS, "seccomp", "the kernel does not say which version it is");
    profile.architectures[0] = seccomp_names_native();
    if (!profile.architectures[0])
        return error_failed(reterr, ENOSYS, "seccomp", "filters for this architecture are not supported");
    profile.n_architectures = 1;

    int r = json_read(text, size, &JSON_BOUNDS_CALL, &root, &json_error);
    if (r == -ENOMEM)
        return error_failed(reterr, ENOMEM, "seccomp", "out of memory");
    if (r < 0)
        return error_invalid(reterr, "seccompProfile", "not JSON: %s", json_error.message);
    r = parse_root(&p, root);
    if (r < 0)
        return r;
    *ret = profile;
    profile = SECCOMP_PROFILE_INIT;
    return 0;
}
