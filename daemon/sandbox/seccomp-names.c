/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Tables of the words that profiles consist of. Pure functions of their arguments: no trust, and no state but the names of
 * calls by number, which are collected once.
 */

#include "sandbox/seccomp-names.h"

#include <linux/audit.h>
#include <pthread.h>
#include <seccomp.h>
#include <string.h>

static const SeccompArchitecture architectures[] = {
    { "SCMP_ARCH_X86_64", "amd64", SCMP_ARCH_X86_64, AUDIT_ARCH_X86_64, SCMP_ARCH_X86_64, false },
    { "SCMP_ARCH_X86", "x86", SCMP_ARCH_X86, AUDIT_ARCH_I386, SCMP_ARCH_X86_64, true },
    { "SCMP_ARCH_X32", "x32", SCMP_ARCH_X32, AUDIT_ARCH_X86_64, SCMP_ARCH_X86_64, true },
    { "SCMP_ARCH_AARCH64", "arm64", SCMP_ARCH_AARCH64, AUDIT_ARCH_AARCH64, SCMP_ARCH_AARCH64, false },
    { "SCMP_ARCH_ARM", "arm", SCMP_ARCH_ARM, AUDIT_ARCH_ARM, SCMP_ARCH_AARCH64, true },
    { "SCMP_ARCH_RISCV64", "riscv64", SCMP_ARCH_RISCV64, AUDIT_ARCH_RISCV64, SCMP_ARCH_RISCV64, false },
    /* Known words, so that a profile written for every machine is taken on this one. */
    { "SCMP_ARCH_MIPS", "mips", 0, 0, 0, true },
    { "SCMP_ARCH_MIPS64", "mips64", 0, 0, 0, false },
    { "SCMP_ARCH_MIPS64N32", "mips64n32", 0, 0, 0, true },
    { "SCMP_ARCH_MIPSEL", "mipsel", 0, 0, 0, true },
    { "SCMP_ARCH_MIPSEL64", "mipsel64", 0, 0, 0, false },
    { "SCMP_ARCH_MIPSEL64N32", "mipsel64n32", 0, 0, 0, true },
    { "SCMP_ARCH_PPC", "ppc", 0, 0, 0, true },
    { "SCMP_ARCH_PPC64", "ppc64", 0, 0, 0, false },
    { "SCMP_ARCH_PPC64LE", "ppc64le", 0, 0, 0, false },
    { "SCMP_ARCH_S390", "s390", 0, 0, 0, true },
    { "SCMP_ARCH_S390X", "s390x", 0, 0, 0, false },
    { "SCMP_ARCH_PARISC", "parisc", 0, 0, 0, true },
    { "SCMP_ARCH_PARISC64", "parisc64", 0, 0, 0, false },
    { "SCMP_ARCH_LOONGARCH64", "loong64", 0, 0, 0, false },
    { "SCMP_ARCH_M68K", "m68k", 0, 0, 0, true },
    { "SCMP_ARCH_SH", "sh", 0, 0, 0, true },
    { "SCMP_ARCH_SHEB", "sheb", 0, 0, 0, true },
};

const SeccompArchitecture *seccomp_names_architecture(const char *name) {
    for (size_t i = 0; i < ELEMENTSOF(architectures); i++)
        if (strcmp(architectures[i].name, name) == 0)
            return &architectures[i];
    return NULL;
}

bool seccomp_names_short_architecture(const char *short_name) {
    for (size_t i = 0; i < ELEMENTSOF(architectures); i++)
        if (strcmp(architectures[i].short_name, short_name) == 0)
            return true;
    return false;
}

const SeccompArchitecture *seccomp_names_native(void) {
    uint32_t token = seccomp_arch_native();
    for (size_t i = 0; i < ELEMENTSOF(architectures); i++)
        if (architectures[i].host == token && architectures[i].token == token)
            return &architectures[i];
    return NULL;
}

/*
 * Calls that are newer than the oldest libseccomp we build with. From 424 on a call has the same number everywhere, but
 * for the bit of x32.
 */
static const struct {
    const char *name;
    uint32_t number;
} recent[] = {
    { "process_madvise", 440 },
    { "epoll_pwait2", 441 },
    { "mount_setattr", 442 },
    { "quotactl_fd", 443 },
    { "landlock_create_ruleset", 444 },
    { "landlock_add_rule", 445 },
    { "landlock_restrict_self", 446 },
    { "memfd_secret", 447 },
    { "process_mrelease", 448 },
    { "futex_waitv", 449 },
    { "set_mempolicy_home_node", 450 },
    { "cachestat", 451 },
    { "fchmodat2", 452 },
    { "map_shadow_stack", 453 },
    { "futex_wake", 454 },
    { "futex_wait", 455 },
    { "futex_requeue", 456 },
    { "statmount", 457 },
    { "listmount", 458 },
    { "lsm_get_self_attr", 459 },
    { "lsm_set_self_attr", 460 },
    { "lsm_list_modules", 461 },
    { "mseal", 462 },
    { "setxattrat", 463 },
    { "getxattrat", 464 },
    { "listxattrat", 465 },
    { "removexattrat", 466 },
    { "open_tree_attr", 467 },
    { "file_getattr", 468 },
    { "file_setattr", 469 },
    { "listns", 470 },
    { "rseq_slice_yield", 471 },
};

/* And some that one architecture has. The probes are the kernel's own trampolines in a program that is being probed. */
static const struct {
    const char *name;
    uint32_t number;
    uint32_t token;
} recent_special[] = {
    { "uretprobe", 335, SCMP_ARCH_X86_64 },
    { "uprobe", 336, SCMP_ARCH_X86_64 },
    { "riscv_hwprobe", 258, SCMP_ARCH_RISCV64 },
    { "riscv_flush_icache", 259, SCMP_ARCH_RISCV64 },
};

static int find_recent(const char *name, const SeccompArchitecture *a, uint32_t *ret) {
    for (size_t i = 0; i < ELEMENTSOF(recent); i++)
        if (strcmp(recent[i].name, name) == 0) {
            *ret = recent[i].number | (a->token == SCMP_ARCH_X32 ? SECCOMP_X32_BIT : 0);
            return 1;
        }
    for (size_t i = 0; i < ELEMENTSOF(recent_special); i++)
        if (strcmp(recent_special[i].name, name) == 0) {
            *ret = recent_special[i].number;
            return recent_special[i].token == a->token;
        }
    return -ENOENT;
}

/* libseccomp answers with numbers of its own for these on i386; the direct entries came with Linux 4.3 and 5.1. */
static const struct {
    const char *name;
    bool ipc;
    uint32_t which;  /* in socketcall's or ipc's first argument */
    uint32_t direct; /* 0: there is no direct one */
} multiplexed[] = {
    { "socket", false, 1, 359 },      { "bind", false, 2, 361 },        { "connect", false, 3, 362 },
    { "listen", false, 4, 363 },      { "accept", false, 5, 0 },        { "getsockname", false, 6, 367 },
    { "getpeername", false, 7, 368 }, { "socketpair", false, 8, 360 },  { "send", false, 9, 0 },
    { "recv", false, 10, 0 },         { "sendto", false, 11, 369 },     { "recvfrom", false, 12, 371 },
    { "shutdown", false, 13, 373 },   { "setsockopt", false, 14, 366 }, { "getsockopt", false, 15, 365 },
    { "sendmsg", false, 16, 370 },    { "recvmsg", false, 17, 372 },    { "accept4", false, 18, 364 },
    { "recvmmsg", false, 19, 337 },   { "sendmmsg", false, 20, 345 },   { "semop", true, 1, 0 },
    { "semget", true, 2, 393 },       { "semctl", true, 3, 394 },       { "semtimedop", true, 4, 0 },
    { "msgsnd", true, 11, 400 },      { "msgrcv", true, 12, 401 },      { "msgget", true, 13, 399 },
    { "msgctl", true, 14, 402 },      { "shmat", true, 21, 397 },       { "shmdt", true, 22, 398 },
    { "shmget", true, 23, 395 },      { "shmctl", true, 24, 396 },
};

int seccomp_names_multiplexed(const char *name, const SeccompArchitecture *a, uint32_t *ret_call, uint32_t *ret_which) {
    if (a->token != SCMP_ARCH_X86)
        return 0;
    for (size_t i = 0; i < ELEMENTSOF(multiplexed); i++)
        if (strcmp(multiplexed[i].name, name) == 0) {
            *ret_call = multiplexed[i].ipc ? 117 : 102;
            *ret_which = multiplexed[i].which;
            return 1;
        }
    return 0;
}

static uint32_t find_direct(const char *name) {
    for (size_t i = 0; i < ELEMENTSOF(multiplexed); i++)
        if (strcmp(multiplexed[i].name, name) == 0)
            return multiplexed[i].direct;
    return 0;
}

int seccomp_names_syscall(const char *name, const SeccompArchitecture *a, uint32_t *ret) {
    int number = seccomp_syscall_resolve_name_arch(a->token, name);
    if (number == __NR_SCMP_ERROR)
        return find_recent(name, a, ret);
    if (number >= 0) {
        *ret = (uint32_t) number;
        return 1;
    }
    /* A placeholder: the call is another architecture's, or one of the table above. */
    uint32_t direct = a->token == SCMP_ARCH_X86 ? find_direct(name) : 0;
    if (direct == 0)
        return 0;
    *ret = direct;
    return 1;
}

/* libseccomp allocates each answer, and searches for it; so all are asked for once, and kept. */
static pthread_once_t call_names_once = PTHREAD_ONCE_INIT;
static const char *call_names[ELEMENTSOF(architectures)][SECCOMP_CALLS_MAX];

/* What libseccomp has a name for keeps it: that one is allocated. */
static void name_call(const char **names, uint32_t number, const char *name) {
    names[number] = names[number] ?: name;
}

static void collect_recent(const SeccompArchitecture *a, const char **names) {
    for (size_t i = 0; i < ELEMENTSOF(recent); i++)
        name_call(names, recent[i].number, recent[i].name);
    for (size_t i = 0; i < ELEMENTSOF(recent_special); i++)
        if (recent_special[i].token == a->token)
            name_call(names, recent_special[i].number, recent_special[i].name);
    for (size_t i = 0; a->token == SCMP_ARCH_X86 && i < ELEMENTSOF(multiplexed); i++)
        if (multiplexed[i].direct != 0)
            name_call(names, multiplexed[i].direct, multiplexed[i].name);
}

static void collect_call_names(void) {
    uint32_t native = seccomp_arch_native();
    for (size_t i = 0; i < ELEMENTSOF(architectures); i++) {
        const SeccompArchitecture *a = &architectures[i];
        if (a->token == 0 || a->host != native)
            continue;
        uint32_t bit = a->token == SCMP_ARCH_X32 ? SECCOMP_X32_BIT : 0;
        for (uint32_t n = 0; n < SECCOMP_CALLS_MAX; n++)
            call_names[i][n] = seccomp_syscall_resolve_num_arch(a->token, (int) (n | bit));
        collect_recent(a, call_names[i]);
    }
}

const char *seccomp_call_name(uint32_t audit, int number) {
    bool x32 = audit == AUDIT_ARCH_X86_64 && ((uint32_t) number & SECCOMP_X32_BIT);
    uint32_t n = (uint32_t) number & ~(x32 ? SECCOMP_X32_BIT : 0);
    (void) pthread_once(&call_names_once, collect_call_names);
    for (size_t i = 0; i < ELEMENTSOF(architectures) && n < SECCOMP_CALLS_MAX; i++)
        if (architectures[i].audit == audit && (architectures[i].token == SCMP_ARCH_X32) == x32)
            return call_names[i][n];
    return NULL;
}

int seccomp_names_action(const char *name, uint32_t *ret, const char **ret_reason) {
    static const struct {
        const char *name;
        uint32_t action;
        const char *refused;
    } actions[] = {
        { "SCMP_ACT_ALLOW", SECCOMP_RET_ALLOW, NULL },
        { "SCMP_ACT_LOG", SECCOMP_RET_LOG, NULL },
        { "SCMP_ACT_ERRNO", SECCOMP_RET_ERRNO, NULL },
        { "SCMP_ACT_TRAP", SECCOMP_RET_TRAP, NULL },
        { "SCMP_ACT_KILL", SECCOMP_RET_KILL_THREAD, NULL },
        { "SCMP_ACT_KILL_THREAD", SECCOMP_RET_KILL_THREAD, NULL },
        { "SCMP_ACT_KILL_PROCESS", SECCOMP_RET_KILL_PROCESS, NULL },
        { "SCMP_ACT_NOTIFY", 0, "nobody would listen to the notification, and the call would hang or fail" },
        { "SCMP_ACT_TRACE", 0, "a tracer that the program itself starts would decide" },
    };

    for (size_t i = 0; i < ELEMENTSOF(actions); i++)
        if (strcmp(actions[i].name, name) == 0) {
            if (actions[i].refused) {
                *ret_reason = actions[i].refused;
                return -EOPNOTSUPP;
            }
            *ret = actions[i].action;
            return 0;
        }
    return -ENOENT;
}

int seccomp_names_flag(const char *name, const char **ret_reason) {
    static const struct {
        const char *name;
        const char *refused;
    } flags[] = {
        /* The thread that installs the filter is the only one. */
        { "SECCOMP_FILTER_FLAG_TSYNC", NULL },
        { "SECCOMP_FILTER_FLAG_LOG", "use SCMP_ACT_LOG for the calls that are to be logged" },
        { "SECCOMP_FILTER_FLAG_SPEC_ALLOW", "it would switch a protection of the kernel off" },
        { "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV", "it belongs to SCMP_ACT_NOTIFY, which is not taken" },
    };

    for (size_t i = 0; i < ELEMENTSOF(flags); i++)
        if (strcmp(flags[i].name, name) == 0) {
            *ret_reason = flags[i].refused;
            return flags[i].refused ? -EOPNOTSUPP : 0;
        }
    return -ENOENT;
}

int seccomp_names_operator(const char *name) {
    static const char *const operators[_SECCOMP_OPERATOR_MAX] = {
        [SECCOMP_NE] = "SCMP_CMP_NE",
        [SECCOMP_LT] = "SCMP_CMP_LT",
        [SECCOMP_LE] = "SCMP_CMP_LE",
        [SECCOMP_EQ] = "SCMP_CMP_EQ",
        [SECCOMP_GE] = "SCMP_CMP_GE",
        [SECCOMP_GT] = "SCMP_CMP_GT",
        [SECCOMP_MASKED_EQ] = "SCMP_CMP_MASKED_EQ",
    };

    for (int i = 0; i < _SECCOMP_OPERATOR_MAX; i++)
        if (strcmp(operators[i], name) == 0)
            return i;
    return -ENOENT;
}

int seccomp_names_errno(const char *name) {
    static const struct {
        const char *name;
        int number;
    } second_names[] = { { "EWOULDBLOCK", EAGAIN }, { "EDEADLOCK", EDEADLOCK }, { "ENOTSUP", ENOTSUP } };

    for (size_t i = 0; i < ELEMENTSOF(second_names); i++)
        if (strcmp(second_names[i].name, name) == 0)
            return second_names[i].number;
    for (int i = 1; i < 4096; i++) {
        const char *known = strerrorname_np(i);
        if (known && strcmp(known, name) == 0)
            return i;
    }
    return -ENOENT;
}
