/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Generates classic BPF for seccomp(2).
 *
 *     ld arch; native or go to `foreign`
 *     ld nr; the guard; x32 unless opened: kill
 *     binary search for nr; at each leaf a verdict, or comparisons of arguments that end in one
 *     foreign: the same for each architecture that the profile opened; else kill
 *
 * Invariants: every jump is forward, every path ends in a return. Nothing but nr and arch is loaded on the way to a
 * verdict that does not depend on arguments, so that the kernel finds these verdicts once, when the filter is
 * installed, and afterwards runs no instruction at all for them. The accumulator holds nr wherever a search or a guard
 * begins.
 *
 * Trust boundary: the rules come from a caller's profile. Their number is bounded by the parser; the length of the
 * result is bounded here.
 */

#include "sandbox/seccomp-compile.h"

#include <asm/ioctls.h>
#include <linux/audit.h>
#include <linux/fs.h>
#include <linux/seccomp.h>
#include <string.h>

#define LOAD          (BPF_LD | BPF_W | BPF_ABS)
#define JEQ           (BPF_JMP | BPF_JEQ | BPF_K)
#define JGT           (BPF_JMP | BPF_JGT | BPF_K)
#define JGE           (BPF_JMP | BPF_JGE | BPF_K)
#define JUMP          (BPF_JMP | BPF_JA)
#define AND           (BPF_ALU | BPF_AND | BPF_K)
#define RETURN        (BPF_RET | BPF_K)
#define OFFSET_NUMBER ((uint32_t) offsetof(struct seccomp_data, nr))
#define OFFSET_ARCH   ((uint32_t) offsetof(struct seccomp_data, arch))

#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define LOW  0U
#define HIGH 4U
#else
#define LOW  4U
#define HIGH 0U
#endif

/* The fixed beginning: up to the end of the guard of the native architecture. */
#define PREAMBLE (4U + GUARD)
#define GUARD    (6U + ELEMENTSOF(refused_commands))

/*
 * Commands of ioctl that no profile opens.
 *
 * Input pushed into a terminal is run by whoever reads it next, which may be a shell outside (CVE-2017-5226,
 * CVE-2019-10063). A file's flags, set by way of the overlay, take the project id off it that its writable layer is
 * counted by: what is written afterwards would be nobody's.
 */
static const uint32_t refused_commands[] = {
    TIOCSTI, TIOCLINUX, FS_IOC_SETFLAGS, FS_IOC32_SETFLAGS, FS_IOC_FSSETXATTR,
};

typedef struct Emitter {
    struct sock_filter *code; /* BPF_MAXINSNS */
    size_t n;
    bool overflow;
} Emitter;

/* Numbers from FIRST on, up to the next range's. Without rules: a constant verdict. */
typedef struct Range {
    uint32_t first;
    uint32_t verdict;
    const SeccompRule *rules;
    size_t n_rules;
} Range;

static size_t emit(Emitter *e, uint16_t code, uint8_t jt, uint8_t jf, uint32_t k) {
    if (e->n >= BPF_MAXINSNS) {
        e->overflow = true;
        return 0;
    }
    e->code[e->n] = (struct sock_filter){ .code = code, .jt = jt, .jf = jf, .k = k };
    return e->n++;
}

/* Makes the unconditional jump at AT lead to what comes next. */
static void land(Emitter *e, size_t at) {
    if (!e->overflow)
        e->code[at].k = (uint32_t) (e->n - at - 1);
}

/*
 * The kernel takes the command as 32 bits: so does this, whatever the caller put into the upper half. file_setattr is
 * another name for the last two commands, and is answered as by the kernels that do not have it.
 */
static void emit_guard(Emitter *e, const SeccompArchitecture *a) {
    const size_t n = ELEMENTSOF(refused_commands);
    uint32_t ioctl_number = UINT32_MAX, setattr_number = UINT32_MAX; /* no call has this number */
    (void) seccomp_names_syscall("ioctl", a, &ioctl_number);
    (void) seccomp_names_syscall("file_setattr", a, &setattr_number);
    emit(e, JEQ, 0, (uint8_t) (n + 3), ioctl_number);
    emit(e, LOAD, 0, 0, (uint32_t) offsetof(struct seccomp_data, args[1]) + LOW);
    for (size_t i = 0; i < n; i++)
        emit(e, JEQ, (uint8_t) (n - 1 - i), i + 1 == n, refused_commands[i]);
    emit(e, RETURN, 0, 0, SECCOMP_RET_ERRNO | EPERM);
    emit(e, LOAD, 0, 0, OFFSET_NUMBER);
    emit(e, JEQ, 0, 1, setattr_number);
    emit(e, RETURN, 0, 0, SECCOMP_RET_ERRNO | ENOSYS);
}

static void emit_preamble(Emitter *e, const SeccompArchitecture *native) {
    emit(e, LOAD, 0, 0, OFFSET_ARCH);
    emit(e, JEQ, 1, 0, native->audit);
    emit(e, JUMP, 0, 0, 0); /* to `foreign` */
    emit(e, LOAD, 0, 0, OFFSET_NUMBER);
    emit_guard(e, native);
}

/* Where a comparison leads: on to the next instruction, to the rule's next condition, out of the rule. */
typedef enum Target { NEXT, HOLDS, FAILS } Target;

typedef struct Jumps {
    struct {
        size_t at;
        Target yes, no;
    } list[SECCOMP_ARGUMENTS_MAX * 3];
    size_t n;
} Jumps;

static void emit_test(Emitter *e, Jumps *j, uint16_t code, uint32_t k, Target yes, Target no) {
    j->list[j->n].yes = yes;
    j->list[j->n].no = no;
    j->list[j->n++].at = emit(e, code, 0, 0, k);
}

/* All jumps of TARGET from the FROMth on lead to what comes next. A rule has far fewer instructions than 255. */
static void resolve(Emitter *e, Jumps *j, size_t from, Target target) {
    for (size_t i = from; i < j->n && !e->overflow; i++) {
        struct sock_filter *f = &e->code[j->list[i].at];
        if (j->list[i].yes == target)
            f->jt = (uint8_t) (e->n - j->list[i].at - 1);
        if (j->list[i].no == target)
            f->jf = (uint8_t) (e->n - j->list[i].at - 1);
    }
}

static void emit_load_half(Emitter *e, const SeccompCondition *c, uint32_t half) {
    emit(e, LOAD, 0, 0, (uint32_t) (offsetof(struct seccomp_data, args) + 8 * c->index) + half);
}

static void emit_masked(Emitter *e, Jumps *j, const SeccompCondition *c, uint32_t half, uint32_t mask, uint32_t value) {
    if (mask == 0)
        return;
    emit_load_half(e, c, half);
    if (mask != UINT32_MAX)
        emit(e, AND, 0, 0, mask);
    emit_test(e, j, JEQ, value, NEXT, FAILS);
}

static void emit_equal(Emitter *e, Jumps *j, const SeccompCondition *c, bool narrow, Target yes, Target no) {
    if (!narrow) {
        emit_load_half(e, c, HIGH);
        emit_test(e, j, JEQ, (uint32_t) (c->value >> 32), NEXT, no);
    }
    emit_load_half(e, c, LOW);
    emit_test(e, j, JEQ, (uint32_t) c->value, yes, no);
}

/* LOW_CODE is JGT for "greater", JGE for "greater or equal": the upper halves decide unless they are equal. */
static void emit_greater(Emitter *e, Jumps *j, const SeccompCondition *c, bool narrow, uint16_t low_code, Target yes,
                         Target no) {
    if (!narrow) {
        emit_load_half(e, c, HIGH);
        emit_test(e, j, JGT, (uint32_t) (c->value >> 32), yes, NEXT);
        emit_test(e, j, JEQ, (uint32_t) (c->value >> 32), NEXT, no);
    }
    emit_load_half(e, c, LOW);
    emit_test(e, j, low_code, (uint32_t) c->value, yes, no);
}

static void emit_condition(Emitter *e, Jumps *j, const SeccompCondition *c, bool narrow) {
    switch (c->op) {
    case SECCOMP_EQ:
        return emit_equal(e, j, c, narrow, HOLDS, FAILS);
    case SECCOMP_NE:
        return emit_equal(e, j, c, narrow, FAILS, HOLDS);
    case SECCOMP_GT:
        return emit_greater(e, j, c, narrow, JGT, HOLDS, FAILS);
    case SECCOMP_LE:
        return emit_greater(e, j, c, narrow, JGT, FAILS, HOLDS);
    case SECCOMP_GE:
        return emit_greater(e, j, c, narrow, JGE, HOLDS, FAILS);
    case SECCOMP_LT:
        return emit_greater(e, j, c, narrow, JGE, FAILS, HOLDS);
    default: /* SECCOMP_MASKED_EQ */
        if (!narrow)
            emit_masked(e, j, c, HIGH, (uint32_t) (c->value >> 32), (uint32_t) (c->operand >> 32));
        return emit_masked(e, j, c, LOW, (uint32_t) c->value, (uint32_t) c->operand);
    }
}

static void emit_rule(Emitter *e, const SeccompProfile *p, const SeccompRule *r) {
    bool narrow = p->architectures[r->architecture]->narrow;
    Jumps jumps = { .n = 0 };

    for (size_t i = 0; i < r->n_conditions; i++) {
        size_t from = jumps.n;
        emit_condition(e, &jumps, &p->conditions[r->first_condition + i], narrow);
        resolve(e, &jumps, from, HOLDS);
    }
    emit(e, RETURN, 0, 0, r->action);
    resolve(e, &jumps, 0, FAILS);
}

/* The rules are sorted, the strictest first: the first that matches decides. */
static void emit_leaf(Emitter *e, const SeccompProfile *p, const Range *range) {
    for (size_t i = 0; i < range->n_rules; i++) {
        emit_rule(e, p, &range->rules[i]);
        if (range->rules[i].n_conditions == 0)
            return;
    }
    emit(e, RETURN, 0, 0, range->verdict);
}

static void emit_search(Emitter *e, const SeccompProfile *p, const Range *ranges, size_t n) {
    if (n == 1)
        return emit_leaf(e, p, ranges);

    size_t middle = n / 2;
    size_t branch = emit(e, JGE, 0, 0, ranges[middle].first);
    emit_search(e, p, ranges, middle);
    size_t distance = e->n - branch - 1;
    if (e->overflow)
        return;
    if (distance <= UINT8_MAX) {
        e->code[branch].jt = (uint8_t) distance;
    } else {
        /* Too far for a conditional jump. What was generated meanwhile jumps only within itself, so it can move. */
        emit(e, JUMP, 0, 0, 0);
        if (e->overflow)
            return;
        memmove(&e->code[branch + 2], &e->code[branch + 1], distance * sizeof(*e->code));
        e->code[branch].jf = 1;
        e->code[branch + 1] = (struct sock_filter){ .code = JUMP, .k = (uint32_t) distance };
    }
    emit_search(e, p, ranges + middle, n - middle);
}

static void push_range(Range *ranges, size_t *n, Range range) {
    Range *last = *n ? &ranges[*n - 1] : NULL;
    /* Neighbours with the same verdict are one range. */
    if (last && last->n_rules == 0 && range.n_rules == 0 && last->verdict == range.verdict)
        return;
    ranges[(*n)++] = range;
}

/* RULES are those of one section, sorted. RANGES has room for two for each, and one more. */
static size_t make_ranges(const SeccompRule *rules, size_t n_rules, uint32_t default_action, Range *ranges) {
    size_t n = 0;
    uint64_t next = 0;

    for (size_t i = 0, group; i < n_rules; i += group) {
        for (group = 1; i + group < n_rules && rules[i + group].number == rules[i].number;)
            group++;
        if (next < rules[i].number || next == 0)
            push_range(ranges, &n, (Range){ .first = (uint32_t) next, .verdict = default_action });
        bool constant = rules[i].n_conditions == 0;
        Range range = {
            .first = rules[i].number,
            .verdict = constant ? rules[i].action : default_action,
            .rules = constant ? NULL : &rules[i],
            .n_rules = constant ? 0 : group,
        };
        if (n > 0 && ranges[n - 1].first == range.first)
            n--; /* number 0 itself has a rule */
        push_range(ranges, &n, range);
        next = (uint64_t) rules[i].number + 1;
    }
    if (next <= UINT32_MAX)
        push_range(ranges, &n, (Range){ .first = (uint32_t) next, .verdict = default_action });
    return n;
}

/* x32 is a part of x86-64's section; each other architecture has one of its own. */
static uint32_t section_of(const SeccompProfile *p, const SeccompRule *r) {
    return p->architectures[r->architecture]->audit;
}

/* As the kernel orders verdicts: as signed numbers, the lower the stricter. */
static int64_t strictness(const SeccompRule *r) {
    return (int32_t) (r->action & SECCOMP_RET_ACTION_FULL);
}

static int compare_rules(const void *a, const void *b, void *profile) {
    const SeccompRule *x = a, *y = b;
    const SeccompProfile *p = profile;
    int64_t keys[][2] = {
        { section_of(p, x), section_of(p, y) },
        { x->number, y->number },
        { strictness(x), strictness(y) },
        { x->order, y->order },
    };

    for (size_t i = 0; i < ELEMENTSOF(keys); i++)
        if (keys[i][0] != keys[i][1])
            return keys[i][0] < keys[i][1] ? -1 : 1;
    return 0;
}

typedef struct Compiler {
    const SeccompProfile *profile;
    SeccompRule *rules; /* sorted */
    Range *ranges;      /* reused for each section */
    Emitter e;
} Compiler;

static void compile_search(Compiler *c, uint32_t section) {
    const SeccompProfile *p = c->profile;
    size_t first = 0, n = 0;

    while (first < p->n_rules && section_of(p, &c->rules[first]) != section)
        first++;
    while (first + n < p->n_rules && section_of(p, &c->rules[first + n]) == section)
        n++;
    size_t n_ranges = make_ranges(c->rules + first, n, p->default_action, c->ranges);
    emit_search(&c->e, p, c->ranges, n_ranges);
}

/* x32: the same architecture to the kernel, another table of calls. -1 is what a tracer writes to skip a call. */
static void compile_x32(Compiler *c) {
    const SeccompProfile *p = c->profile;

    if (p->architectures[0]->audit != AUDIT_ARCH_X86_64)
        return;
    for (size_t i = 1; i < p->n_architectures; i++)
        if (p->architectures[i]->audit == AUDIT_ARCH_X86_64) {
            emit_guard(&c->e, p->architectures[i]);
            return;
        }
    emit(&c->e, JGE, 0, 2, SECCOMP_X32_BIT);
    emit(&c->e, JEQ, 1, 0, UINT32_MAX);
    emit(&c->e, RETURN, 0, 0, SECCOMP_RET_KILL_PROCESS);
}

static void compile_foreign(Compiler *c, const SeccompArchitecture *a) {
    Emitter *e = &c->e;

    emit(e, JEQ, 1, 0, a->audit);
    size_t skip = emit(e, JUMP, 0, 0, 0);
    emit(e, LOAD, 0, 0, OFFSET_NUMBER);
    emit_guard(e, a);
    compile_search(c, a->audit);
    land(e, skip);
}

static void compile(Compiler *c) {
    const SeccompProfile *p = c->profile;
    const SeccompArchitecture *native = p->architectures[0];

    qsort_r(c->rules, p->n_rules, sizeof(*c->rules), compare_rules, (void *) p);
    emit_preamble(&c->e, native);
    compile_x32(c);
    compile_search(c, native->audit);
    land(&c->e, 2);
    for (size_t i = 1; i < p->n_architectures; i++)
        if (p->architectures[i]->audit != native->audit)
            compile_foreign(c, p->architectures[i]);
    emit(&c->e, RETURN, 0, 0, SECCOMP_RET_KILL_PROCESS);
}

int seccomp_compile(const SeccompProfile *p, struct sock_filter **ret, size_t *ret_n, Error *reterr) {
    _cleanup_free_ struct sock_filter *code = calloc(BPF_MAXINSNS, sizeof(*code));
    _cleanup_free_ SeccompRule *rules = reallocarray(NULL, p->n_rules + 1, sizeof(*rules));
    _cleanup_free_ Range *ranges = reallocarray(NULL, 2 * p->n_rules + 2, sizeof(*ranges));
    if (!code || !rules || !ranges)
        return error_failed(reterr, ENOMEM, "seccomp", "out of memory");

    if (p->n_rules > 0)
        memcpy(rules, p->rules, p->n_rules * sizeof(*rules));
    Compiler c = { .profile = p, .rules = rules, .ranges = ranges, .e = { .code = code } };
    compile(&c);
    if (c.e.overflow)
        return error_invalid(reterr, "seccompProfile",
                             "compiles to more than the %d instructions that the kernel takes", BPF_MAXINSNS);
    /* What a start installs and the cache keeps is the size it has to be. */
    struct sock_filter *exact = reallocarray(code, c.e.n, sizeof(*code));
    if (exact)
        code = exact;
    *ret_n = c.e.n;
    *ret = TAKE_PTR(code);
    return 0;
}

bool seccomp_compile_recognises(const struct sock_filter *code, size_t n) {
    struct sock_filter expected[PREAMBLE];
    Emitter e = { .code = expected };
    const SeccompArchitecture *native = seccomp_names_native();

    if (!native || n <= PREAMBLE || n > BPF_MAXINSNS)
        return false;
    emit_preamble(&e, native);
    if (code[2].k >= n - 3)
        return false;
    expected[2].k = code[2].k;
    return memcmp(code, expected, sizeof(expected)) == 0 && code[n - 1].code == (BPF_RET | BPF_K) &&
           code[n - 1].k == SECCOMP_RET_KILL_PROCESS;
}
