/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * sandbox/seccomp: profiles are read strictly, compiled to what they say, and refuse what they are to refuse.
 *
 * Two kinds of proof. An interpreter of the kernel's instructions runs compiled programs over many calls and compares
 * with an evaluation of the rules, and with what libseccomp makes of them. And children install programs and make real
 * calls, harmless ones: invalid arguments, so that nothing happens even where a call gets through.
 */

#include "sandbox/seccomp-compile.h"
#include "sandbox/seccomp.h"

#include <fcntl.h>
#include <linux/audit.h>
#include <linux/fs.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <seccomp.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <cmocka.h>

#define DEBIAN_PROFILE "/usr/share/containers/seccomp.json"
#define VERDICT_ENOSYS (SECCOMP_RET_ERRNO | ENOSYS)
#define VERDICT_EPERM  (SECCOMP_RET_ERRNO | EPERM)

/* ---- an interpreter ---- */

static uint32_t interpret(const struct sock_fprog *f, const struct seccomp_data *data, bool *ret_looked_at_arguments) {
    uint32_t a = 0;
    *ret_looked_at_arguments = false;
    for (size_t pc = 0; pc < f->len; pc++) {
        const struct sock_filter *i = &f->filter[pc];
        bool holds = false;
        switch (i->code) {
        case BPF_LD | BPF_W | BPF_ABS:
            assert_true(i->k % 4 == 0 && i->k < sizeof(*data));
            memcpy(&a, (const char *) data + i->k, 4);
            *ret_looked_at_arguments |= i->k >= offsetof(struct seccomp_data, instruction_pointer);
            continue;
        case BPF_ALU | BPF_AND | BPF_K:
            a &= i->k;
            continue;
        case BPF_RET | BPF_K:
            return i->k;
        case BPF_JMP | BPF_JA:
            pc += i->k;
            continue;
        case BPF_JMP | BPF_JEQ | BPF_K:
            holds = a == i->k;
            break;
        case BPF_JMP | BPF_JGT | BPF_K:
            holds = a > i->k;
            break;
        case BPF_JMP | BPF_JGE | BPF_K:
            holds = a >= i->k;
            break;
        default:
            fail_msg("instruction %zu: code %#x", pc, i->code);
        }
        pc += holds ? i->jt : i->jf;
    }
    fail_msg("the program runs over its end");
    return 0;
}

static uint32_t run(const struct sock_fprog *f, uint32_t arch, uint32_t nr, const uint64_t args[6]) {
    struct seccomp_data data = { .nr = (int) nr, .arch = arch };
    bool looked;
    memcpy(data.args, args, sizeof(data.args));
    return interpret(f, &data, &looked);
}

static uint32_t run1(const struct sock_fprog *f, uint32_t nr, uint64_t first) {
    return run(f, seccomp_names_native()->audit, nr, (uint64_t[6]){ first });
}

/* ---- getting programs ---- */

static SeccompCache *cache;

static int setup(void **state) {
    Error e = ERROR_INIT;
    int r = seccomp_cache_new(&cache, &e);
    if (r < 0)
        print_error("%s\n", e.message);
    return r;
}

static int teardown(void **state) {
    cache = seccomp_cache_free(cache);
    return 0;
}

static SeccompProgram *compile(const char *profile, uint64_t caps) {
    SeccompProgram *p = NULL;
    Error e = ERROR_INIT;
    if (seccomp_cache_get(cache, profile, caps, false, &p, &e) < 0)
        fail_msg("%s: %s", e.subject, e.message);
    return p;
}

static char *read_debian_profile(void) {
    FILE *f = fopen(DEBIAN_PROFILE, "re");
    if (!f)
        return NULL;
    char *text = calloc(1, 65536);
    assert_non_null(text);
    assert_true(fread(text, 1, 65535, f) > 0);
    fclose(f);
    return text;
}

/* ---- what the compiler makes ---- */

static bool condition_holds(const SeccompCondition *c, const uint64_t args[6], bool narrow) {
    uint64_t mask = narrow ? UINT32_MAX : UINT64_MAX;
    uint64_t a = args[c->index] & mask, v = c->value & mask;
    switch (c->op) {
    case SECCOMP_NE:
        return a != v;
    case SECCOMP_LT:
        return a < v;
    case SECCOMP_LE:
        return a <= v;
    case SECCOMP_EQ:
        return a == v;
    case SECCOMP_GE:
        return a >= v;
    case SECCOMP_GT:
        return a > v;
    default:
        return (a & v) == (c->operand & mask);
    }
}

/* The meaning of a profile as its header states it, in the plainest way. */
static uint32_t evaluate(const SeccompProfile *p, uint32_t arch, uint32_t nr, const uint64_t args[6]) {
    uint32_t verdict = p->default_action;
    bool found = false;
    for (size_t i = 0; i < p->n_rules; i++) {
        const SeccompRule *r = &p->rules[i];
        const SeccompArchitecture *a = p->architectures[r->architecture];
        bool matches = a->audit == arch && r->number == nr;
        for (size_t k = 0; k < r->n_conditions; k++)
            matches = matches && condition_holds(&p->conditions[r->first_condition + k], args, a->narrow);
        if (matches && (!found || (int32_t) (r->action & SECCOMP_RET_ACTION_FULL) <
                                      (int32_t) (verdict & SECCOMP_RET_ACTION_FULL))) {
            verdict = r->action;
            found = true;
        }
    }
    return verdict;
}

static unsigned seed = 1;
static unsigned dice(unsigned n) {
    return (unsigned) rand_r(&seed) % n;
}

/* Values where comparisons of halves go wrong if they do. */
static uint64_t interesting(void) {
    static const uint64_t some[] = {
        0, 1, 2, 0xFFFFFFFF, 0x100000000, 0x100000001, 0x1FFFFFFFF, 0x200000000, INT64_MAX
    };
    return some[dice(ELEMENTSOF(some))];
}

static char *random_profile(unsigned entries, unsigned calls) {
    static const char *const ops[] = { "NE", "LT", "LE", "EQ", "GE", "GT", "MASKED_EQ" };
    static const char *const actions[] = { "ALLOW", "LOG", "ERRNO", "TRAP", "KILL", "KILL_PROCESS" };
    char *text = NULL;
    size_t size;
    FILE *f = open_memstream(&text, &size);
    assert_non_null(f);
    fprintf(
        f,
        "{\"defaultAction\":\"SCMP_ACT_ERRNO\",\"architectures\":[\"SCMP_ARCH_X86\",\"SCMP_ARCH_X32\"],\"syscalls\":[");
    for (unsigned i = 0; i < entries; i++) {
        char *name = NULL;
        while (!name)
            name = seccomp_syscall_resolve_num_arch(SCMP_ARCH_NATIVE, (int) dice(calls));
        fprintf(f, "%s{\"names\":[\"%s\"],\"action\":\"SCMP_ACT_%s\",\"args\":[", i ? "," : "", name,
                actions[dice(ELEMENTSOF(actions))]);
        free(name);
        for (unsigned k = dice(4), n = 0; n < k; n++)
            fprintf(f, "%s{\"index\":%u,\"value\":%llu,\"valueTwo\":%llu,\"op\":\"SCMP_CMP_%s\"}", n ? "," : "",
                    dice(3), (unsigned long long) interesting(), (unsigned long long) interesting(),
                    ops[dice(ELEMENTSOF(ops))]);
        fprintf(f, "]}");
    }
    fprintf(f, "]}");
    fclose(f);
    return text;
}

/* A call that the guard answers before any rule; which it is, is tested elsewhere (test-seccomp-told.c). */
static bool is_guarded(const SeccompArchitecture *a, uint32_t nr, const uint64_t args[6]) {
    uint32_t number;
    return (args[1] & SECCOMP_FILTER_FLAG_NEW_LISTENER) && seccomp_names_syscall("seccomp", a, &number) > 0 &&
           nr == number;
}

static void check_against_rules(const SeccompProfile *p, const struct sock_fprog *f, unsigned calls) {
    for (unsigned n = 0; n < 20000; n++) {
        const SeccompArchitecture *a = p->architectures[dice((unsigned) p->n_architectures)];
        uint32_t nr = dice(calls + 4) | (strcmp(a->short_name, "x32") == 0 ? SECCOMP_X32_BIT : 0);
        uint64_t args[6] = { interesting(), interesting(), interesting() };
        if (is_guarded(a, nr, args))
            continue;
        uint32_t expected = evaluate(p, a->audit, nr, args), found = run(f, a->audit, nr, args);
        if (expected != found)
            fail_msg("call %u on %s (%#llx, %#llx, %#llx): %#x, the rules say %#x", nr, a->short_name,
                     (unsigned long long) args[0], (unsigned long long) args[1], (unsigned long long) args[2], found,
                     expected);
    }
}

static void programs_do_what_the_rules_say(void **state) {
    /* few calls with many rules each: long leaves; many calls: a deep search. ioctl is not among the few. */
    static const unsigned shapes[][2] = { { 1, 3 }, { 40, 12 }, { 110, 15 }, { 110, 300 }, { 0, 5 } };
    for (unsigned round = 0; round < 25; round++) {
        const unsigned *shape = shapes[round % ELEMENTSOF(shapes)];
        _cleanup_free_ char *text = random_profile(shape[0], shape[1]);
        SeccompProfile profile = SECCOMP_PROFILE_INIT;
        struct sock_fprog f;
        size_t n;
        Error e = ERROR_INIT;
        if (seccomp_profile_parse(text, strlen(text), 0, &profile, &e) < 0 ||
            seccomp_compile(&profile, &f.filter, &n, &e) < 0)
            fail_msg("%s", e.message);
        f.len = (unsigned short) n;
        /* What is refused is in question here; which of it is told, in test-seccomp-told.c. */
        for (size_t i = 0; i < n; i++)
            if (f.filter[i].code == (BPF_RET | BPF_K) &&
                (f.filter[i].k & SECCOMP_RET_ACTION_FULL) == SECCOMP_RET_USER_NOTIF)
                f.filter[i].k = SECCOMP_RET_ERRNO | (f.filter[i].k & SECCOMP_RET_DATA);
        /* The guard stands before the rules; its own test is below. 2 is none of its commands. */
        check_against_rules(&profile, &f, shape[1]);
        free(f.filter);
        seccomp_profile_done(&profile);
    }
}

static void export_from_libseccomp(const SeccompProfile *p, struct sock_fprog *ret) {
    scmp_filter_ctx ctx = seccomp_init(p->default_action);
    assert_non_null(ctx);
    for (size_t i = 0; i < p->n_rules; i++) {
        const SeccompRule *r = &p->rules[i];
        struct scmp_arg_cmp args[6];
        if (r->architecture != 0 || r->action == p->default_action || r->number >= 424)
            continue;
        for (size_t k = 0; k < r->n_conditions; k++) {
            const SeccompCondition *c = &p->conditions[r->first_condition + k];
            args[k] = (struct scmp_arg_cmp){ c->index, (enum scmp_compare)(c->op + 1), c->value, c->operand };
        }
        assert_int_equal(seccomp_rule_add_array(ctx, r->action, (int) r->number, r->n_conditions, args), 0);
    }
    _cleanup_fd_ int fd = memfd_create("bpf", MFD_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(seccomp_export_bpf(ctx, fd), 0);
    seccomp_release(ctx);
    off_t size = lseek(fd, 0, SEEK_END);
    ret->filter = malloc((size_t) size);
    ret->len = (unsigned short) ((size_t) size / sizeof(struct sock_filter));
    assert_int_equal(pread(fd, ret->filter, (size_t) size, 0), size);
}

/*
 * Where two entries contradict each other without any condition, libseccomp takes the first, we the stricter. Debian's
 * profile has one such call: setns.
 */
static bool contradictory(const SeccompProfile *p, uint32_t nr) {
    const SeccompRule *first = NULL;
    for (size_t i = 0; i < p->n_rules; i++) {
        const SeccompRule *r = &p->rules[i];
        if (r->architecture != 0 || r->number != nr || r->n_conditions > 0)
            continue;
        if (first && first->action != r->action)
            return true;
        first = r;
    }
    return false;
}

static void agrees_with_libseccomp(void **state) {
    _cleanup_free_ char *text = read_debian_profile();
    if (!text) {
        print_message("skipped: " DEBIAN_PROFILE " is not there (package golang-github-containers-common)\n");
        skip();
    }
    SeccompProfile profile = SECCOMP_PROFILE_INIT;
    assert_int_equal(seccomp_profile_parse(text, strlen(text), 0, &profile, NULL), 0);
    struct sock_fprog theirs;
    export_from_libseccomp(&profile, &theirs);
    SeccompProgram *ours = compile(text, 0);

    unsigned contradictions = 0;
    for (uint32_t nr = 0; nr < 424; nr++) {
        bool skipped = contradictory(&profile, nr);
        contradictions += skipped;
        for (unsigned n = 0; n < 300 && !skipped; n++) {
            static const uint64_t values[] = { 0,  1,      2,      8,          9,           16,
                                               17, 131072, 131080, 0xFFFFFFFF, 0x100000010, 0x100000009 };
            uint64_t args[6];
            for (unsigned k = 0; k < 6; k++)
                args[k] = values[dice(ELEMENTSOF(values))];
            if (is_guarded(profile.architectures[0], nr, args))
                continue;
            uint32_t a = run(seccomp_program_silent(ours), profile.architectures[0]->audit, nr, args);
            uint32_t b = run(&theirs, profile.architectures[0]->audit, nr, args);
            if (a != b)
                fail_msg("call %u: ours %#x, libseccomp's %#x", nr, a, b);
        }
    }
    assert_true(contradictions <= 1);
    free(theirs.filter);
    seccomp_program_unref(ours);
    seccomp_profile_done(&profile);
}

/* The kernel keeps a bitmap of calls that are allowed whatever their arguments: reading an argument loses that. */
static void plain_calls_load_no_arguments(void **state) {
    SeccompProgram *p = compile(NULL, 0);
    static const int plain[] = { SYS_read, SYS_openat, SYS_futex, SYS_execve, SYS_mmap, SYS_exit_group, SYS_mount };
    for (size_t i = 0; i < ELEMENTSOF(plain); i++) {
        struct seccomp_data data = { .nr = plain[i], .arch = seccomp_names_native()->audit };
        bool looked;
        (void) interpret(seccomp_program_silent(p), &data, &looked);
        assert_false(looked);
    }
    assert_true(seccomp_program_silent(p)->len < 1000);
    seccomp_program_unref(p);
}

static void the_strictest_entry_decides(void **state) {
    SeccompProgram *p = compile("{\"defaultAction\":\"SCMP_ACT_ERRNO\",\"defaultErrno\":\"ENOSYS\",\"syscalls\":["
                                "{\"names\":[\"getpid\",\"getuid\"],\"action\":\"SCMP_ACT_ALLOW\"},"
                                "{\"name\":\"getpid\",\"action\":\"SCMP_ACT_ERRNO\",\"errno\":\"EACCES\",\"args\":"
                                "[{\"index\":0,\"value\":7,\"op\":\"SCMP_CMP_EQ\"}]},"
                                "{\"names\":[\"getgid\"],\"action\":\"SCMP_ACT_ALLOW\",\"args\":"
                                "[{\"index\":0,\"value\":1,\"op\":\"SCMP_CMP_EQ\"},{\"index\":0,\"value\":2,\"op\":"
                                "\"SCMP_CMP_EQ\"}]},"
                                "{\"names\":[\"getgid\"],\"action\":\"SCMP_ACT_KILL_PROCESS\",\"args\":"
                                "[{\"index\":0,\"value\":2,\"op\":\"SCMP_CMP_EQ\"},{\"index\":1,\"value\":5,\"op\":"
                                "\"SCMP_CMP_EQ\"}]}]}",
                                0);
    const struct sock_fprog *f = seccomp_program_silent(p);
    uint32_t arch = seccomp_names_native()->audit;
    assert_int_equal(run1(f, SYS_getpid, 0), SECCOMP_RET_ALLOW);
    assert_int_equal(run1(f, SYS_getpid, 7), SECCOMP_RET_ERRNO | EACCES);
    assert_int_equal(run1(f, SYS_getpid, 0x100000007), SECCOMP_RET_ALLOW);
    assert_int_equal(run1(f, SYS_getuid, 7), SECCOMP_RET_ALLOW);
    /* one argument twice: either; two arguments: both */
    assert_int_equal(run1(f, SYS_getgid, 1), SECCOMP_RET_ALLOW);
    assert_int_equal(run1(f, SYS_getgid, 2), SECCOMP_RET_ALLOW);
    assert_int_equal(run1(f, SYS_getgid, 3), VERDICT_ENOSYS);
    assert_int_equal(run(f, arch, SYS_getgid, (uint64_t[6]){ 2, 5 }), SECCOMP_RET_KILL_PROCESS);
    assert_int_equal(run(f, arch, SYS_getgid, (uint64_t[6]){ 1, 5 }), SECCOMP_RET_ALLOW);
    assert_int_equal(run1(f, SYS_read, 0), VERDICT_ENOSYS);
    seccomp_program_unref(p);
}

static void nobody_can_switch_the_guard_off(void **state) {
    SeccompProgram *p = compile("{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"architectures\":[\"SCMP_ARCH_X86\","
                                "\"SCMP_ARCH_X32\"]}",
                                UINT64_MAX);
    const struct sock_fprog *f = seccomp_program_silent(p);
    struct {
        uint32_t arch, nr;
    } entries[] = {
        { seccomp_names_native()->audit, SYS_ioctl },
#ifdef __x86_64__
        { AUDIT_ARCH_X86_64, SECCOMP_X32_BIT | 514 },
        { AUDIT_ARCH_I386, 54 },
#endif
    };
    for (size_t i = 0; i < ELEMENTSOF(entries); i++)
        for (uint64_t high = 0; high <= 0x300000000; high += 0x100000000) {
            static const uint64_t refused[] = {
                TIOCSTI, TIOCLINUX, FS_IOC_SETFLAGS, FS_IOC32_SETFLAGS, FS_IOC_FSSETXATTR,
            };
            static const uint64_t others[] = { TIOCGWINSZ, FS_IOC_GETFLAGS, FS_IOC_FSGETXATTR, FICLONE };
            for (size_t k = 0; k < ELEMENTSOF(refused); k++)
                assert_int_equal(run(f, entries[i].arch, entries[i].nr, (uint64_t[6]){ 0, refused[k] + high }),
                                 VERDICT_EPERM);
            for (size_t k = 0; k < ELEMENTSOF(others); k++)
                assert_int_equal(run(f, entries[i].arch, entries[i].nr, (uint64_t[6]){ 0, others[k] + high }),
                                 SECCOMP_RET_ALLOW);
        }
    /* the same commands as a system call of its own */
    assert_int_equal(run(f, seccomp_names_native()->audit, 469, (uint64_t[6]){ 0 }), SECCOMP_RET_ERRNO | ENOSYS);
    assert_int_equal(run(f, AUDIT_ARCH_S390X, 1, (uint64_t[6]){ 0 }), SECCOMP_RET_KILL_PROCESS);
    seccomp_program_unref(p);
}

/* ---- real calls ---- */

typedef struct Probe {
    const char *name;
    long nr;
    uint64_t args[4];
    int error; /* 0: any success; -1: whatever the kernel itself says, but neither EPERM nor ENOSYS */
} Probe;

static _Noreturn void child_probe(const struct sock_fprog *f, const Probe *probes, size_t n) {
    int failed = 0;
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || seccomp_install(f, NULL) < 0)
        _exit(99);
    for (size_t i = 0; i < n; i++) {
        const Probe *p = &probes[i];
        errno = 0;
        long r = syscall(p->nr, p->args[0], p->args[1], p->args[2], p->args[3], 0L, 0L);
        int error = r < 0 ? errno : 0;
        if (p->error >= 0 ? error != p->error : error == EPERM || error == ENOSYS) {
            dprintf(2, "%s: errno %d, expected %d\n", p->name, error, p->error);
            failed = 1;
        }
    }
    _exit(failed);
}

static void probe(SeccompProgram *consume_program, const Probe *probes, size_t n) {
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0)
        child_probe(seccomp_program_silent(consume_program), probes, n);
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    seccomp_program_unref(consume_program);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

static const Probe refused_by_default[] = {
    /* those that the design names, as far as this architecture has them */
    { "mount", SYS_mount, { 0 }, EPERM },
    { "acct", SYS_acct, { 1 }, EPERM },
    { "umount2", SYS_umount2, { 0, ~0U }, EPERM },
    { "sethostname", SYS_sethostname, { 0, (uint64_t) -1 }, EPERM },
    { "swapon", SYS_swapon, { 0, ~0U }, EPERM },
    { "swapoff", SYS_swapoff, { 0 }, EPERM },
    { "reboot", SYS_reboot, { 0, 0, 0, 0 }, EPERM },
    { "adjtimex", SYS_adjtimex, { 0 }, EPERM },
    { "setdomainname", SYS_setdomainname, { 0, (uint64_t) -1 }, EPERM },
    { "init_module", SYS_init_module, { 0 }, EPERM },
    { "delete_module", SYS_delete_module, { 0 }, EPERM },
    { "quotactl", SYS_quotactl, { (uint64_t) -1 }, EPERM },
    { "finit_module", SYS_finit_module, { (uint64_t) -1 }, EPERM },
    { "setns", SYS_setns, { (uint64_t) -1, 0 }, EPERM },
    { "clock_adjtime", SYS_clock_adjtime, { (uint64_t) -1, 0 }, EPERM },
    { "kexec_load", SYS_kexec_load, { 0, 0, 0, ~0U }, EPERM },
#ifdef SYS_nfsservctl
    { "nfsservctl", SYS_nfsservctl, { 0 }, EPERM },
#endif
    { "pivot_root", SYS_pivot_root, { 0 }, EPERM },
    { "clock_settime", SYS_clock_settime, { (uint64_t) -1, 0 }, EPERM },
    { "personality", SYS_personality, { 0xFFFFFFFF }, EPERM },
    /* what later years added */
    { "settimeofday", SYS_settimeofday, { 0, 1 }, EPERM },
    { "kexec_file_load", SYS_kexec_file_load, { (uint64_t) -1 }, EPERM },
    { "bpf", SYS_bpf, { (uint64_t) -1, 0, 0 }, EPERM },
    { "perf_event_open", SYS_perf_event_open, { 0 }, EPERM },
    { "userfaultfd", SYS_userfaultfd, { ~0U }, EPERM },
    { "io_uring_setup", 425, { 0 }, EPERM },
    { "io_uring_enter", 426, { (uint64_t) -1 }, EPERM },
    { "io_uring_register", 427, { (uint64_t) -1 }, EPERM },
    { "open_tree", 428, { (uint64_t) -1, 0, ~0U }, EPERM },
    { "move_mount", 429, { (uint64_t) -1 }, EPERM },
    { "fsopen", 430, { 0, ~0U }, EPERM },
    { "fsconfig", 431, { (uint64_t) -1 }, EPERM },
    { "fsmount", 432, { (uint64_t) -1 }, EPERM },
    { "fspick", 433, { (uint64_t) -1 }, EPERM },
    { "mount_setattr", 442, { (uint64_t) -1 }, EPERM },
    { "quotactl_fd", 443, { (uint64_t) -1 }, EPERM },
    { "statmount", 457, { 0 }, EPERM },
    { "listmount", 458, { 0 }, EPERM },
    { "lsm_list_modules", 461, { 0 }, EPERM },
    { "open_tree_attr", 467, { (uint64_t) -1 }, EPERM },
    { "listns", 470, { 0 }, EPERM },
    { "add_key", SYS_add_key, { 0 }, EPERM },
    { "request_key", SYS_request_key, { 0 }, EPERM },
    { "keyctl", SYS_keyctl, { (uint64_t) -1 }, EPERM },
    { "kcmp", SYS_kcmp, { 0 }, EPERM },
    { "name_to_handle_at", SYS_name_to_handle_at, { (uint64_t) -1 }, EPERM },
    { "open_by_handle_at", SYS_open_by_handle_at, { (uint64_t) -1 }, EPERM },
    { "syslog", SYS_syslog, { (uint64_t) -1 }, EPERM },
    { "vhangup", SYS_vhangup, { 0 }, EPERM },
    { "chroot", SYS_chroot, { 0 }, EPERM },
    { "fanotify_init", SYS_fanotify_init, { ~0U }, EPERM },
#ifdef __x86_64__
    { "iopl", SYS_iopl, { 9 }, EPERM },
    { "ioperm", SYS_ioperm, { ~0U }, EPERM },
    { "modify_ldt", SYS_modify_ldt, { 99 }, EPERM },
#endif
    /* namespaces */
    { "unshare(NEWUSER)", SYS_unshare, { CLONE_NEWUSER }, EPERM },
    { "unshare(NEWNS|FILES)", SYS_unshare, { CLONE_NEWNS | CLONE_FILES }, EPERM },
    { "unshare(NEWTIME)", SYS_unshare, { 0x80 }, EPERM },
    { "unshare(unknown bit)", SYS_unshare, { 0x2000 }, ENOSYS },
    { "unshare(FILES)", SYS_unshare, { CLONE_FILES }, 0 },
    { "clone(NEWUSER)", SYS_clone, { CLONE_NEWUSER | SIGCHLD }, EPERM },
    { "clone(NEWNET)", SYS_clone, { CLONE_NEWNET | SIGCHLD }, EPERM },
    { "clone(THREAD alone)", SYS_clone, { CLONE_THREAD }, EINVAL },
    { "clone3", 435, { 0, 0 }, ENOSYS },
    /* sockets */
    { "socket(UNIX)", SYS_socket, { 1, 1, 0 }, 0 },
    { "socket(INET)", SYS_socket, { 2, 1, 0 }, 0 },
    { "socket(NETLINK, ROUTE)", SYS_socket, { 16, 3, 0 }, 0 },
    { "socket(NETLINK, AUDIT)", SYS_socket, { 16, 3, 9 }, EPROTONOSUPPORT },
    { "socket(NETLINK, NETFILTER)", SYS_socket, { 16, 3, 12 }, EPROTONOSUPPORT },
    { "socket(NETLINK, CRYPTO)", SYS_socket, { 16, 3, 21 }, EPROTONOSUPPORT },
    { "socket(PACKET)", SYS_socket, { 17, 3, 0 }, EAFNOSUPPORT },
    { "socket(PACKET + 2^32)", SYS_socket, { 17 + 0x100000000, 3, 0 }, EAFNOSUPPORT },
    { "socket(KEY + 2^32)", SYS_socket, { 15 + 0x100000000, 3, 0 }, EAFNOSUPPORT },
    { "socket(VSOCK)", SYS_socket, { 40, 1, 0 }, EAFNOSUPPORT },
    { "socket(ALG)", SYS_socket, { 38, 5, 0 }, EAFNOSUPPORT },
    { "socket(TIPC)", SYS_socket, { 30, 1, 0 }, EAFNOSUPPORT },
    { "socket(INET, PACKET)", SYS_socket, { 2, 10, 3 }, EPERM },
    { "socketpair(TIPC)", SYS_socketpair, { 30, 1, 0, 0 }, EAFNOSUPPORT },
    /* terminals; the last is none of them and reaches the kernel */
    { "TIOCSTI", SYS_ioctl, { (uint64_t) -1, TIOCSTI }, EPERM },
    { "TIOCSTI + 2^32", SYS_ioctl, { (uint64_t) -1, TIOCSTI + 0x100000000 }, EPERM },
    { "TIOCLINUX", SYS_ioctl, { (uint64_t) -1, TIOCLINUX }, EPERM },
    { "TIOCLINUX + 2^32", SYS_ioctl, { (uint64_t) -1, TIOCLINUX + 0x100000000 }, EPERM },
    { "TIOCSETD + 2^32", SYS_ioctl, { (uint64_t) -1, TIOCSETD + 0x100000000 }, EPERM },
    { "TIOCGWINSZ", SYS_ioctl, { (uint64_t) -1, TIOCGWINSZ }, EBADF },
    /* a file's flags and project */
    { "FS_IOC_SETFLAGS", SYS_ioctl, { (uint64_t) -1, FS_IOC_SETFLAGS }, EPERM },
    { "FS_IOC_FSSETXATTR + 2^32", SYS_ioctl, { (uint64_t) -1, FS_IOC_FSSETXATTR + 0x100000000 }, EPERM },
    { "FS_IOC_GETFLAGS", SYS_ioctl, { (uint64_t) -1, FS_IOC_GETFLAGS }, EBADF },
    { "file_setattr", 469, { (uint64_t) -1 }, ENOSYS },
    /* unknown ones */
    { "9999", 9999, { 0 }, ENOSYS },
    { "-1", -1, { 0 }, ENOSYS },
    { "create_module", 174, { 0 }, ENOSYS },
    /* and what programs need */
    { "read", SYS_read, { (uint64_t) -1 }, EBADF },
    { "getpid", SYS_getpid, { 0 }, 0 },
    { "shmget", SYS_shmget, { 0, 0, 0 }, -1 },
    { "semget", SYS_semget, { 0, (uint64_t) -1, 0 }, -1 },
    { "futex", SYS_futex, { 1, 1 }, EINVAL },
    { "close_range", 436, { 1, 0, 0 }, EINVAL },
    { "landlock_create_ruleset", 444, { 0, 0, 1 }, -1 },
    { "ptrace", SYS_ptrace, { (uint64_t) -1, 0 }, -1 },
};

static void default_profile_refuses(void **state) {
    probe(compile(NULL, 0), refused_by_default, ELEMENTSOF(refused_by_default));
}

static void capabilities_open_what_they_are_for(void **state) {
    static const Probe probes[] = {
        { "chroot", SYS_chroot, { 0 }, EFAULT },
        { "mount", SYS_mount, { 0 }, EPERM },
        { "setns", SYS_setns, { (uint64_t) -1, 0 }, EPERM },
        { "unshare(NEWNS)", SYS_unshare, { CLONE_NEWNS }, EPERM },
    };
    probe(compile(NULL, UINT64_MAX), probes, ELEMENTSOF(probes));
}

static void debians_profile_is_taken_unchanged(void **state) {
    static const Probe probes[] = {
        { "mount", SYS_mount, { 0, 1, 0, 0 }, EFAULT },
        { "setns", SYS_setns, { (uint64_t) -1, 0 }, EPERM },
        { "bpf", SYS_bpf, { (uint64_t) -1, 0, 0 }, EPERM },
        { "userfaultfd", SYS_userfaultfd, { ~0U }, EPERM },
        { "kexec_load", SYS_kexec_load, { 0, 0, 0, ~0U }, EPERM },
        { "chroot", SYS_chroot, { 0 }, EPERM },
        { "personality", SYS_personality, { 0xFFFFFFFF }, 0 },
        { "personality(4)", SYS_personality, { 4 }, ENOSYS },
        { "socket(NETLINK, AUDIT)", SYS_socket, { 16, 3, 9 }, EINVAL },
        { "socket(NETLINK, ROUTE)", SYS_socket, { 16, 3, 0 }, 0 },
        { "io_uring_setup", 425, { 0 }, ENOSYS },
        { "TIOCSTI", SYS_ioctl, { (uint64_t) -1, TIOCSTI }, EPERM },
        { "9999", 9999, { 0 }, ENOSYS },
    };
    _cleanup_free_ char *text = read_debian_profile();
    if (!text) {
        print_message("skipped: " DEBIAN_PROFILE " is not there (package golang-github-containers-common)\n");
        skip();
    }
    probe(compile(text, 0), probes, ELEMENTSOF(probes));
    /* CAP_SYS_CHROOT */
    probe(compile(text, 1U << 18), &(Probe){ "chroot", SYS_chroot, { 0 }, EFAULT }, 1);
}

#ifdef __x86_64__
static void enter_i386(void) {
    long r = 20; /* getpid */
    __asm__ volatile("int $0x80" : "+a"(r) : : "memory", "r8", "r9", "r10", "r11");
    _exit(r > 0 ? 0 : 1);
}

static void enter_x32(void) {
    _exit(syscall(SECCOMP_X32_BIT | SYS_getpid) > 0 ? 0 : 1);
}

/* Returns the wait status of a child that went in with the program (if any). */
static int enter(const char *profile, bool filtered, void (*how)(void)) {
    SeccompProgram *p = compile(profile, 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        (void) signal(SIGSEGV, SIG_DFL); /* cmocka's own handler would turn it into an exit */
        if (filtered &&
            (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || seccomp_install(seccomp_program_silent(p), NULL) < 0))
            _exit(99);
        how();
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    seccomp_program_unref(p);
    return status;
}

static void foreign_entries_are_closed_unless_asked_for(void **state) {
    static const char asked[] = "{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"archMap\":[{\"architecture\":"
                                "\"SCMP_ARCH_X86_64\",\"subArchitectures\":[\"SCMP_ARCH_X86\",\"SCMP_ARCH_X32\"]}]}";
    static const char others[] = "{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"archMap\":[{\"architecture\":"
                                 "\"SCMP_ARCH_AARCH64\",\"subArchitectures\":[\"SCMP_ARCH_ARM\"]}],\"architectures\":"
                                 "[\"SCMP_ARCH_X86_64\",\"SCMP_ARCH_S390X\"]}";
    const char *const closed[] = { NULL, others };
    for (size_t i = 0; i < ELEMENTSOF(closed); i++) {
        int status = enter(closed[i], true, enter_x32);
        assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS);
        status = enter(closed[i], true, enter_i386);
        /* A kernel without 32-bit entry kills it by itself. */
        assert_true(WIFSIGNALED(status) && (WTERMSIG(status) == SIGSYS || WTERMSIG(status) == SIGSEGV));
    }
    /* Asked for: whatever the kernel does with it, the filter does not kill. */
    assert_int_equal(enter(asked, true, enter_x32), enter(NULL, false, enter_x32));
    assert_int_equal(enter(asked, true, enter_i386), enter(NULL, false, enter_i386));
}

static void i386_has_two_ways_to_a_socket(void **state) {
    SeccompProgram *p = compile("{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"architectures\":[\"SCMP_ARCH_X86\"],"
                                "\"syscalls\":[{\"names\":[\"socket\",\"shmat\"],\"action\":\"SCMP_ACT_ERRNO\"}]}",
                                0);
    const struct sock_fprog *f = seccomp_program_silent(p);
    assert_int_equal(run(f, AUDIT_ARCH_I386, 359, (uint64_t[6]){ 0 }), VERDICT_EPERM);
    assert_int_equal(run(f, AUDIT_ARCH_I386, 102, (uint64_t[6]){ 1 }), VERDICT_EPERM);
    assert_int_equal(run(f, AUDIT_ARCH_I386, 102, (uint64_t[6]){ 2 }), SECCOMP_RET_ALLOW);
    assert_int_equal(run(f, AUDIT_ARCH_I386, 117, (uint64_t[6]){ 21 }), VERDICT_EPERM);
    assert_int_equal(run(f, AUDIT_ARCH_X86_64, SYS_socket, (uint64_t[6]){ 1 }), VERDICT_EPERM);
    assert_int_equal(run(f, AUDIT_ARCH_X86_64, SECCOMP_X32_BIT | SYS_socket, (uint64_t[6]){ 1 }),
                     SECCOMP_RET_KILL_PROCESS);
    seccomp_program_unref(p);
}
#endif

/* ---- what a profile may say ---- */

#define PROFILE(rest) "{\"defaultAction\":\"SCMP_ACT_ALLOW\"," rest "}"
#define ENTRY(rest)   PROFILE("\"syscalls\":[{\"names\":[\"read\"],\"action\":\"SCMP_ACT_ERRNO\"," rest "}]")
#define ARG(rest)     ENTRY("\"args\":[{" rest "}]")

static void mistakes_are_named(void **state) {
    static const struct {
        const char *text, *message;
    } bad[] = {
        { "", "not JSON" },
        { "{", "not JSON" },
        { "[]", "a profile has to be a JSON object" },
        { "{}", "defaultAction: is missing" },
        { "{\"defaultAction\":7}", "defaultAction: has to be a string" },
        { "{\"defaultAction\":\"ALLOW\"}", "defaultAction: no action is called \"ALLOW\"" },
        { "{\"defaultAction\":\"SCMP_ACT_NOTIFY\"}", "defaultAction: SCMP_ACT_NOTIFY is not possible here" },
        { "{\"defaultAction\":\"SCMP_ACT_TRACE\"}", "defaultAction: SCMP_ACT_TRACE is not possible here" },
        { "{\"defaultAction\":\"SCMP_ACT_ERRNO\",\"defaultErrnoRet\":4096}",
          "defaultErrnoRet: has to be from 0 to 4095" },
        { "{\"defaultAction\":\"SCMP_ACT_ERRNO\",\"defaultErrnoRet\":-1}",
          "defaultErrnoRet: has to be from 0 to 4095" },
        { "{\"defaultAction\":\"SCMP_ACT_ERRNO\",\"defaultErrnoRet\":1.5}", "defaultErrnoRet: has to be an integer" },
        { "{\"defaultAction\":\"SCMP_ACT_ERRNO\",\"defaultErrnoRet\":38,\"defaultErrno\":\"EPERM\"}",
          "defaultErrno: \"EPERM\" is 1, but defaultErrnoRet says 38" },
        { "{\"defaultAction\":\"SCMP_ACT_ERRNO\",\"defaultErrno\":\"EPREM\"}", "no error is called \"EPREM\"" },
        { PROFILE("\"defaultErrnoRet\":1"), "defaultErrnoRet: means something with SCMP_ACT_ERRNO only" },
        { PROFILE("\"syscals\":[]"), "\"syscals\" is not a key" },
        { PROFILE("\"syscalls\":{}"), "syscalls: has to be a list" },
        { PROFILE("\"syscalls\":[1]"), "syscalls[0]: has to be an object" },
        { PROFILE("\"listenerPath\":\"/x\""), "listenerPath: is not possible here" },
        { PROFILE("\"flags\":[\"SECCOMP_FILTER_FLAG_SPEC_ALLOW\"]"),
          "flags[0]: SECCOMP_FILTER_FLAG_SPEC_ALLOW is not" },
        { PROFILE("\"flags\":[\"X\"]"), "flags[0]: no flag is called \"X\"" },
        { PROFILE("\"architectures\":[\"SCMP_ARCH_PDP11\"]"), "architectures[0]: no architecture is called" },
        { PROFILE("\"archMap\":[{\"architecture\":\"SCMP_ARCH_X86_64\",\"subArchitectures\":[\"SCMP_ARCH_X87\"]}]"),
          "archMap[0].subArchitectures[0]: no architecture" },
        { PROFILE("\"archMap\":[{}]"), "archMap[0].architecture: is missing" },
        { PROFILE("\"syscalls\":[{\"action\":\"SCMP_ACT_ERRNO\"}]"), "syscalls[0].names: is missing" },
        { PROFILE("\"syscalls\":[{\"names\":[\"read\"]}]"), "syscalls[0].action: is missing" },
        { PROFILE("\"syscalls\":[{\"names\":[\"read\"],\"action\":\"SCMP_ACT_ALLOW\"},"
                  "{\"names\":[\"write\",\"opne\"],\"action\":\"SCMP_ACT_ERRNO\"}]"),
          "syscalls[1].names[1]: no system call is called \"opne\"" },
        { PROFILE("\"syscalls\":[{\"names\":[\"opne\"],\"action\":\"SCMP_ACT_ERRNO\",\"includes\":{\"arches\":["
                  "\"s390\"]}}]"),
          "syscalls[0].names[0]: no system call is called \"opne\"" },
        { PROFILE("\"syscalls\":[{\"names\":[3],\"action\":\"SCMP_ACT_ERRNO\"}]"),
          "syscalls[0].names[0]: has to be a string" },
        { ENTRY("\"name\":\"write\""), "syscalls[0].names: cannot stand beside name" },
        { ENTRY("\"prio\":1"), "syscalls[0]: \"prio\" is not a key" },
        { ENTRY("\"comment\":1"), "syscalls[0].comment: has to be a string" },
        { ENTRY("\"args\":{}"), "syscalls[0].args: has to be a list" },
        { ENTRY("\"args\":[null]"), "syscalls[0].args[0]: has to be an object" },
        { ARG("\"index\":6,\"value\":0,\"op\":\"SCMP_CMP_EQ\""), "syscalls[0].args[0].index: has to be from 0 to 5" },
        { ARG("\"value\":0,\"op\":\"SCMP_CMP_EQ\""), "syscalls[0].args[0].index: is missing" },
        { ARG("\"index\":0,\"op\":\"SCMP_CMP_EQ\""), "syscalls[0].args[0].value: is missing" },
        { ARG("\"index\":0,\"value\":0"), "syscalls[0].args[0].op: is missing" },
        { ARG("\"index\":0,\"value\":-1,\"op\":\"SCMP_CMP_EQ\""), "syscalls[0].args[0].value: has to be from 0" },
        { ARG("\"index\":0,\"value\":0,\"op\":\"EQ\""), "syscalls[0].args[0].op: no comparison is called \"EQ\"" },
        { ARG("\"index\":0,\"value\":0,\"op\":\"SCMP_CMP_EQ\",\"v\":1"), "syscalls[0].args[0]: \"v\" is not a key" },
        { ENTRY("\"includes\":{\"caps\":[\"CAP_CHORWN\"]}"), "syscalls[0].includes.caps[0]: no capability" },
        { ENTRY("\"includes\":{\"caps\":[\"CHOWN\"]}"), "syscalls[0].includes.caps[0]: no capability" },
        { ENTRY("\"excludes\":{\"arches\":[\"pdp11\"]}"), "syscalls[0].excludes.arches[0]: no architecture" },
        { ENTRY("\"includes\":{\"minKernel\":\"new\"}"), "syscalls[0].includes.minKernel: \"new\" is no version" },
        { ENTRY("\"includes\":{\"minKernel\":\"4.8x\"}"), "minKernel" },
        { ENTRY("\"includes\":{\"minkernel\":\"4.8\"}"), "syscalls[0].includes: \"minkernel\" is not a key" },
    };
    for (size_t i = 0; i < ELEMENTSOF(bad); i++) {
        SeccompProgram *p = NULL;
        Error e = ERROR_INIT;
        if (seccomp_cache_get(cache, bad[i].text, 0, false, &p, &e) != -EINVAL)
            fail_msg("taken: %s", bad[i].text);
        assert_null(p);
        assert_int_equal(e.kind, ERROR_INVALID_SPEC);
        assert_string_equal(e.subject, "seccompProfile");
        if (!strstr(e.message, bad[i].message))
            fail_msg("\"%s\" does not say \"%s\"", e.message, bad[i].message);
    }
}

static void conditions_on_the_host_decide(void **state) {
    static const struct {
        const char *conditions;
        bool applies;
    } cases[] = {
        { "\"includes\":null,\"excludes\":{},\"args\":null,\"comment\":null", true },
        { "\"includes\":{\"caps\":[\"CAP_CHOWN\"]}", true },
        { "\"includes\":{\"caps\":[\"CAP_CHOWN\",\"CAP_KILL\"]}", false },
        { "\"includes\":{\"caps\":[]}", true },
        { "\"excludes\":{\"caps\":[\"CAP_KILL\"]}", true },
        { "\"excludes\":{\"caps\":[\"CAP_KILL\",\"CAP_CHOWN\"]}", false },
        { "\"includes\":{\"minKernel\":\"4.8\"}", true },
        { "\"includes\":{\"minKernel\":\"99.0\"}", false },
        { "\"excludes\":{\"minKernel\":\"4.8\"}", false },
        { "\"excludes\":{\"minKernel\":\"99.0\"}", true },
        { "\"includes\":{\"arches\":[\"s390x\"]}", false },
        { "\"includes\":{\"arches\":[\"s390x\",\"amd64\",\"arm64\",\"riscv64\"]}", true },
        { "\"excludes\":{\"arches\":[\"amd64\",\"arm64\",\"riscv64\"]}", false },
    };
    for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
        _cleanup_free_ char *text = NULL;
        assert_true(asprintf(&text, PROFILE("\"syscalls\":[{\"names\":[\"read\"],\"action\":\"SCMP_ACT_ERRNO\",%s}]"),
                             cases[i].conditions) > 0);
        SeccompProgram *p = compile(text, 1); /* CAP_CHOWN */
        uint32_t verdict = run1(seccomp_program_silent(p), SYS_read, 0);
        if (verdict != (cases[i].applies ? VERDICT_EPERM : SECCOMP_RET_ALLOW))
            fail_msg("%s: %#x", cases[i].conditions, verdict);
        seccomp_program_unref(p);
    }
}

static void what_is_too_large_is_refused_at_once(void **state) {
    /* 300 names times 60 comparisons, found before they are made; and entries whose sum is too long. */
    char *text = NULL;
    size_t size;
    for (unsigned way = 0; way < 2; way++) {
        FILE *f = open_memstream(&text, &size);
        fprintf(f, "{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"syscalls\":[");
        for (unsigned entry = 0; entry < (way ? 1200 : 1); entry++) {
            fprintf(f, "%s{\"action\":\"SCMP_ACT_ERRNO\",\"names\":[\"read\"", entry ? "," : "");
            for (unsigned i = 0; !way && i < 300; i++)
                fprintf(f, ",\"write\"");
            fprintf(f, "],\"args\":[");
            for (unsigned i = 0; i < (way ? 1 : 60); i++)
                fprintf(f, "%s{\"index\":0,\"value\":%u,\"op\":\"SCMP_CMP_EQ\"}", i ? "," : "", i + entry);
            fprintf(f, "]}");
        }
        fprintf(f, "]}");
        fclose(f);
        SeccompProgram *p = NULL;
        Error e = ERROR_INIT;
        assert_int_equal(seccomp_cache_get(cache, text, 0, false, &p, &e), -EINVAL);
        assert_non_null(strstr(e.message, way ? "compiles to more" : "more comparisons"));
        free(text);
    }
}

/* ---- programs and the cache ---- */

static void programs_are_shared(void **state) {
    SeccompProgram *a = compile(NULL, 0), *b = compile(NULL, 0), *c = compile(NULL, 1U << 18);
    assert_ptr_equal(a, b);
    assert_ptr_not_equal(a, c);
    static const char text[] = PROFILE("\"syscalls\":[]");
    SeccompProgram *d = compile(text, 0), *e = compile(text, 0), *f = compile(text, 1);
    assert_ptr_equal(d, e);
    assert_ptr_not_equal(d, f);

    /* A flood of others pushes it out; those who hold it keep it, and the plain one stays. */
    for (unsigned i = 0; i < 200; i++) {
        char other[256];
        (void) snprintf(other, sizeof(other), PROFILE("\"syscalls\":[]%*s"), (int) i + 1, " ");
        seccomp_program_unref(compile(other, 0));
    }
    SeccompProgram *g = compile(text, 0), *h = compile(NULL, 0);
    assert_ptr_not_equal(g, d);
    assert_ptr_equal(h, a);
    assert_int_equal(run1(seccomp_program_silent(d), SYS_read, 0), SECCOMP_RET_ALLOW);
    SeccompProgram *const all[] = { a, b, c, d, e, f, g, h };
    for (size_t i = 0; i < ELEMENTSOF(all); i++)
        seccomp_program_unref(all[i]);
}

static void programs_come_back_from_their_bytes(void **state) {
    SeccompProgram *p = compile(NULL, 0), *q = NULL;
    const struct sock_fprog *f = seccomp_program_silent(p);
    size_t size = f->len * sizeof(struct sock_filter);
    assert_int_equal(seccomp_program_from_bytes(f->filter, size, &q), 0);
    assert_int_equal(seccomp_program_fprog(q)->len, f->len);
    assert_memory_equal(seccomp_program_fprog(q)->filter, f->filter, size);
    q = seccomp_program_unref(q);

    assert_int_equal(seccomp_program_from_bytes(f->filter, 0, &q), -EINVAL);
    assert_int_equal(seccomp_program_from_bytes(f->filter, size - 1, &q), -EINVAL);
    assert_int_equal(seccomp_program_from_bytes(f->filter, size - 8, &q), -EINVAL);
    static struct sock_filter copy[BPF_MAXINSNS + 1];
    assert_int_equal(seccomp_program_from_bytes(copy, sizeof(copy), &q), -EINVAL);
    /* One changed instruction of the guard. */
    for (size_t i = 0; i < 10; i++) {
        memcpy(copy, f->filter, size);
        copy[i].k += 100000;
        assert_int_equal(seccomp_program_from_bytes(copy, size, &q), -EINVAL);
    }
    assert_null(q);
    seccomp_program_unref(p);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(programs_do_what_the_rules_say),
        cmocka_unit_test(agrees_with_libseccomp),
        cmocka_unit_test(plain_calls_load_no_arguments),
        cmocka_unit_test(the_strictest_entry_decides),
        cmocka_unit_test(nobody_can_switch_the_guard_off),
        cmocka_unit_test(default_profile_refuses),
        cmocka_unit_test(capabilities_open_what_they_are_for),
        cmocka_unit_test(debians_profile_is_taken_unchanged),
#ifdef __x86_64__
        cmocka_unit_test(foreign_entries_are_closed_unless_asked_for),
        cmocka_unit_test(i386_has_two_ways_to_a_socket),
#endif
        cmocka_unit_test(mistakes_are_named),
        cmocka_unit_test(conditions_on_the_host_decide),
        cmocka_unit_test(what_is_too_large_is_refused_at_once),
        cmocka_unit_test(programs_are_shared),
        cmocka_unit_test(programs_come_back_from_their_bytes),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
