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

#include "sandbox/seccomp-told.h"

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

/* The fixed beginning, at most: up to the end of the guard of the native architecture. */
#define PREAMBLE_MAX (4U + 13U + ELEMENTSOF(refused_commands))

/*
 * A told verdict that depends on arguments (seccomp-told.h). In between only: no program contains it, since
 * emit_verdict() makes comparisons of it. That it differs keeps such a number a range of its own.
 */
#define TOLD_BY_ARGUMENT (SECCOMP_RET_USER_NOTIF | 0x10000U)

/*
 * Commands of ioctl that no profile opens.
 *
 * Input pushed into a terminal is run by whoever reads it next, which may be a shell outside (CVE-2017-5226,
 * CVE-2019-10063). A file's flags, set by way of the overlay, take the project id off it that its writable layer is
 * counted by: what is written afterwards would be nobody's. chattr and tar do that in all innocence; the first two are
 * told.
 */
static const uint32_t refused_commands[] = {
    TIOCSTI, TIOCLINUX, FS_IOC_SETFLAGS, FS_IOC32_SETFLAGS, FS_IOC_FSSETXATTR,
};
#define TOLD_COMMANDS 2U

/*
 * The first is what is made here. Programs of older daemons are still on disk: theirs did not refuse other listeners, or told
 * of nothing and had one answer for all commands.
 */
typedef enum Guard { GUARD_TELLS, GUARD_WITHOUT_LISTENER, GUARD_SILENT, GUARD_OLD } Guard;

/* Two tables of calls in a section at most, and what lies between and behind them. */
#define RANGES_OF_GAPS (2U * SECCOMP_CALLS_MAX + 4U)

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
    const SeccompTold *told;
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
 * Whoever has a listener may let the calls continue that it is told of, and where several filters tell of one call the kernel
 * asks the newest. While our listener is open there can be no other; once it is closed there could, and what a profile refuses
 * by telling would be open to whoever made it. So no filter below ours gets one: this refusal is an errno, which outranks
 * every telling. Ours itself is installed before it is in force. The kernel takes the flags as 32 bits.
 */
static void emit_listener_guard(Emitter *e, const SeccompArchitecture *a) {
    uint32_t seccomp_number = UINT32_MAX; /* no call has this number */
    (void) seccomp_names_syscall("seccomp", a, &seccomp_number);
    emit(e, JEQ, 0, 5, seccomp_number);
    emit(e, LOAD, 0, 0, (uint32_t) offsetof(struct seccomp_data, args[1]) + LOW);
    emit(e, AND, 0, 0, (uint32_t) SECCOMP_FILTER_FLAG_NEW_LISTENER);
    emit(e, JEQ, 1, 0, 0);
    emit(e, RETURN, 0, 0, SECCOMP_RET_ERRNO | EBUSY);
    emit(e, LOAD, 0, 0, OFFSET_NUMBER);
}

/*
 * The kernel takes the command as 32 bits: so does this, whatever the caller put into the upper half. file_setattr is
 * another name for the last two commands, and is answered as by the kernels that do not have it.
 */
static void emit_guard(Emitter *e, const SeccompArchitecture *a, Guard guard) {
    const size_t n = ELEMENTSOF(refused_commands), told = guard == GUARD_OLD ? 0 : TOLD_COMMANDS;
    const uint32_t told_answer = guard == GUARD_SILENT ? SECCOMP_RET_ERRNO : SECCOMP_RET_USER_NOTIF;
    const size_t answers = told > 0 ? 2 : 1;
    uint32_t ioctl_number = UINT32_MAX, setattr_number = UINT32_MAX; /* no call has this number */
    (void) seccomp_names_syscall("ioctl", a, &ioctl_number);
    (void) seccomp_names_syscall("file_setattr", a, &setattr_number);
    emit(e, JEQ, 0, (uint8_t) (n + 2 + answers), ioctl_number);
    emit(e, LOAD, 0, 0, (uint32_t) offsetof(struct seccomp_data, args[1]) + LOW);
    for (size_t i = 0; i < n; i++)
        emit(e, JEQ, (uint8_t) (n - 1 - i + (i < told ? 0 : answers - 1)), i + 1 == n ? (uint8_t) answers : 0,
             refused_commands[i]);
    if (told > 0)
        emit(e, RETURN, 0, 0, told_answer | EPERM);
    emit(e, RETURN, 0, 0, SECCOMP_RET_ERRNO | EPERM);
    emit(e, LOAD, 0, 0, OFFSET_NUMBER);
    emit(e, JEQ, 0, 1, setattr_number);
    emit(e, RETURN, 0, 0, SECCOMP_RET_ERRNO | ENOSYS);
    if (guard == GUARD_TELLS)
        emit_listener_guard(e, a);
}

static void emit_preamble(Emitter *e, const SeccompArchitecture *native, Guard guard) {
    emit(e, LOAD, 0, 0, OFFSET_ARCH);
    emit(e, JEQ, 1, 0, native->audit);
    emit(e, JUMP, 0, 0, 0); /* to `foreign` */
    emit(e, LOAD, 0, 0, OFFSET_NUMBER);
    emit_guard(e, native, guard);
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

/* Does RULE (NULL: none) leave room for a call with this argument? Only whole values are compared: enough to leave most out. */
static bool may_be(const SeccompProfile *p, const SeccompRule *rule, const SeccompToldArgument *a) {
    for (size_t i = 0; rule && i < rule->n_conditions; i++) {
        const SeccompCondition *c = &p->conditions[rule->first_condition + i];
        bool whole = c->op == SECCOMP_MASKED_EQ && (uint32_t) c->value == UINT32_MAX;
        if (c->index == a->index && whole && (uint32_t) c->operand != a->value)
            return false;
    }
    return true;
}

/* Calls with arguments that are not worth a word get their answer in silence. */
static void emit_exception(Emitter *e, const SeccompProfile *p, const SeccompRule *rule, const SeccompToldException *x,
                           uint32_t verdict) {
    Jumps jumps = { .n = 0 };
    for (size_t i = 0; i < x->n_arguments; i++)
        if (!may_be(p, rule, &x->arguments[i]))
            return;
    for (size_t i = 0; i < x->n_arguments; i++) {
        emit(e, LOAD, 0, 0, (uint32_t) (offsetof(struct seccomp_data, args) + 8 * x->arguments[i].index) + LOW);
        emit_test(e, &jumps, JEQ, x->arguments[i].value, NEXT, FAILS);
    }
    emit(e, RETURN, 0, 0, SECCOMP_RET_ERRNO | (verdict & SECCOMP_RET_DATA));
    resolve(e, &jumps, 0, FAILS);
}

/* RULE: what led here, NULL for the default action. */
static void emit_verdict(Emitter *e, const SeccompProfile *p, const SeccompTold *told, const SeccompRule *rule,
                         uint32_t number, uint32_t verdict) {
    if ((verdict & SECCOMP_RET_ACTION_FULL) != TOLD_BY_ARGUMENT) {
        emit(e, RETURN, 0, 0, verdict);
        return;
    }
    for (size_t i = 0; i < seccomp_told_n_exceptions; i++)
        if (told->exceptions[i] == number)
            emit_exception(e, p, rule, &seccomp_told_exceptions[i], verdict);
    emit(e, RETURN, 0, 0, SECCOMP_RET_USER_NOTIF | (verdict & SECCOMP_RET_DATA));
}

/* What ACTION becomes for a call: a refusal of one that is told is not an ERRNO any more. */
static uint32_t verdict_of(const SeccompTold *told, uint32_t number, uint32_t action) {
    uint32_t code = action & SECCOMP_RET_DATA;
    if ((action & SECCOMP_RET_ACTION_FULL) != SECCOMP_RET_ERRNO || code == ENOSYS || code == 0)
        return action;
    switch (seccomp_told(told, number)) {
    case SECCOMP_TOLD_ALWAYS:
        return SECCOMP_RET_USER_NOTIF | code;
    case SECCOMP_TOLD_BY_ARGUMENT:
        return TOLD_BY_ARGUMENT | code;
    default:
        return action;
    }
}

static void emit_rule(Emitter *e, const SeccompProfile *p, const SeccompTold *told, const SeccompRule *r) {
    bool narrow = p->architectures[r->architecture]->narrow;
    Jumps jumps = { .n = 0 };

    for (size_t i = 0; i < r->n_conditions; i++) {
        size_t from = jumps.n;
        emit_condition(e, &jumps, &p->conditions[r->first_condition + i], narrow);
        resolve(e, &jumps, from, HOLDS);
    }
    emit_verdict(e, p, told, r, r->number, verdict_of(told, r->number, r->action));
    resolve(e, &jumps, 0, FAILS);
}

/* The rules are sorted, the strictest first: the first that matches decides. */
static void emit_leaf(Emitter *e, const SeccompProfile *p, const Range *range) {
    for (size_t i = 0; i < range->n_rules; i++) {
        emit_rule(e, p, range->told, &range->rules[i]);
        if (range->rules[i].n_conditions == 0)
            return;
    }
    emit_verdict(e, p, range->told, NULL, range->first, range->verdict);
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
    SeccompTold told[SECCOMP_ARCHITECTURES_MAX]; /* of each of the profile's architectures */
    SeccompRule *rules;                          /* sorted */
    Range *ranges;                               /* reused for each section */
    Emitter e;
} Compiler;

static bool is_x32(const SeccompProfile *p, size_t architecture) {
    return architecture > 0 && p->architectures[architecture]->audit == AUDIT_ARCH_X86_64;
}

/* Whose NUMBER it is in a section: x32's table of calls and x86-64's are parted by a bit. */
static size_t architecture_of(const SeccompProfile *p, uint32_t section, uint32_t number) {
    for (size_t i = 1; i < p->n_architectures; i++)
        if (p->architectures[i]->audit == section && (!is_x32(p, i) || (number & SECCOMP_X32_BIT)))
            return i;
    return 0;
}

/* Of calls alone that exist: a program that tries a newer one is no attack. */
static uint32_t default_verdict(const Compiler *c, uint32_t section, uint32_t number) {
    const SeccompTold *told = &c->told[architecture_of(c->profile, section, number)];
    uint32_t verdict = verdict_of(told, number, c->profile->default_action);
    return verdict == c->profile->default_action || seccomp_call_name(section, (int) number)
               ? verdict
               : c->profile->default_action;
}

/* The numbers from FROM on, up to END, that no rule speaks of. */
static void push_gap(Compiler *c, uint32_t section, size_t *n, uint64_t from, uint64_t end) {
    for (uint64_t at = from; at < end;) {
        uint32_t number = (uint32_t) at;
        bool named = (number & ~SECCOMP_X32_BIT) < SECCOMP_CALLS_MAX;
        push_range(c->ranges, n,
                   (Range){
                       .first = number,
                       .verdict = named ? default_verdict(c, section, number) : c->profile->default_action,
                       .told = &c->told[architecture_of(c->profile, section, number)],
                   });
        at = named ? at + 1 : at < SECCOMP_X32_BIT ? SECCOMP_X32_BIT : end;
    }
}

/* RULES are those of one section, sorted. RANGES has room for two for each, one more, and one for each named call. */
static size_t make_ranges(Compiler *c, uint32_t section, const SeccompRule *rules, size_t n_rules) {
    size_t n = 0;
    uint64_t next = 0;

    for (size_t i = 0, group; i < n_rules; i += group) {
        uint32_t number = rules[i].number;
        const SeccompTold *told = &c->told[rules[i].architecture];
        for (group = 1; i + group < n_rules && rules[i + group].number == number;)
            group++;
        push_gap(c, section, &n, next, number);
        bool constant = rules[i].n_conditions == 0;
        push_range(
            c->ranges, &n,
            (Range){
                .first = number,
                .verdict = constant ? verdict_of(told, number, rules[i].action) : default_verdict(c, section, number),
                .rules = constant ? NULL : &rules[i],
                .n_rules = constant ? 0 : group,
                .told = told,
            });
        next = (uint64_t) number + 1;
    }
    push_gap(c, section, &n, next, (uint64_t) UINT32_MAX + 1);
    return n;
}

static void compile_search(Compiler *c, uint32_t section) {
    const SeccompProfile *p = c->profile;
    size_t first = 0, n = 0;

    while (first < p->n_rules && section_of(p, &c->rules[first]) != section)
        first++;
    while (first + n < p->n_rules && section_of(p, &c->rules[first + n]) == section)
        n++;
    size_t n_ranges = make_ranges(c, section, c->rules + first, n);
    emit_search(&c->e, p, c->ranges, n_ranges);
}

/* x32: the same architecture to the kernel, another table of calls. -1 is what a tracer writes to skip a call. */
static void compile_x32(Compiler *c) {
    const SeccompProfile *p = c->profile;

    if (p->architectures[0]->audit != AUDIT_ARCH_X86_64)
        return;
    for (size_t i = 1; i < p->n_architectures; i++)
        if (p->architectures[i]->audit == AUDIT_ARCH_X86_64) {
            emit_guard(&c->e, p->architectures[i], GUARD_TELLS);
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
    emit_guard(e, a, GUARD_TELLS);
    compile_search(c, a->audit);
    land(e, skip);
}

static void compile(Compiler *c) {
    const SeccompProfile *p = c->profile;
    const SeccompArchitecture *native = p->architectures[0];

    for (size_t i = 0; i < p->n_architectures; i++)
        seccomp_told_resolve(p->architectures[i], &c->told[i]);
    qsort_r(c->rules, p->n_rules, sizeof(*c->rules), compare_rules, (void *) p);
    emit_preamble(&c->e, native, GUARD_TELLS);
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
    _cleanup_free_ Range *ranges = reallocarray(NULL, 2 * p->n_rules + RANGES_OF_GAPS, sizeof(*ranges));
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

static bool begins_with_preamble(const struct sock_filter *code, size_t n, Guard guard) {
    struct sock_filter expected[PREAMBLE_MAX];
    Emitter e = { .code = expected };
    const SeccompArchitecture *native = seccomp_names_native();

    if (!native)
        return false;
    emit_preamble(&e, native, guard);
    if (n <= e.n || code[2].k >= n - 3)
        return false;
    expected[2].k = code[2].k;
    return memcmp(code, expected, e.n * sizeof(*expected)) == 0;
}

bool seccomp_compile_recognises(const struct sock_filter *code, size_t n) {
    bool begins = false;
    for (Guard g = GUARD_TELLS; g <= GUARD_OLD && !begins; g++)
        begins = begins_with_preamble(code, n, g);
    return n <= BPF_MAXINSNS && begins && code[n - 1].code == (BPF_RET | BPF_K) &&
           code[n - 1].k == SECCOMP_RET_KILL_PROCESS;
}

/* The kernel has checked as much of every program that it took; this one is run before it has seen it. */
uint32_t seccomp_compile_run(const struct sock_filter *code, size_t n, const struct seccomp_data *call) {
    uint32_t a = 0;
    for (size_t pc = 0; pc < n; pc++) {
        const struct sock_filter *i = &code[pc];
        bool holds;
        switch (i->code) {
        case LOAD:
            if (i->k % sizeof(a) != 0 || i->k >= sizeof(*call))
                return SECCOMP_RET_KILL_PROCESS;
            memcpy(&a, (const char *) call + i->k, sizeof(a));
            continue;
        case AND:
            a &= i->k;
            continue;
        case RETURN:
            return i->k;
        case JUMP:
            pc += i->k;
            continue;
        case JEQ:
            holds = a == i->k;
            break;
        case JGT:
            holds = a > i->k;
            break;
        case JGE:
            holds = a >= i->k;
            break;
        default:
            return SECCOMP_RET_KILL_PROCESS;
        }
        pc += holds ? i->jt : i->jf;
    }
    return SECCOMP_RET_KILL_PROCESS;
}
