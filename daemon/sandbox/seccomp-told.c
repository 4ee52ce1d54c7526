/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The calls that ordinary programs make where a profile may refuse them, each with who makes it.
 *
 * A call belongs here if a program that nobody would call rogue makes it unasked: at its start, to see what the kernel has,
 * or for something that it does as well without. What only a tool for the purpose does (mount, insmod, nsenter) is told,
 * also where an administrator does it: in a container it is an attempt either way. So are adjtimex and clock_adjtime, with
 * which programs other than those that set the clock have no business.
 *
 * What the child itself does between its filter and execve is here too: nobody listens yet, so it would wait for ever.
 */

#include "sandbox/seccomp-told.h"

#include <linux/netlink.h>
#include <string.h>
#include <sys/socket.h>

static const struct {
    const char *name;
    const char *who;
} quiet[] = {
    /* between seccomp_install() and the program's first instruction */
    { "sendmsg", "the child, handing over its listener or reporting a failure" },
    { "execve", "the child" },
    { "execveat", "the child, for the reaper" },
    { "exit", "the child" },
    { "exit_group", "the child, having failed" },

    /* refused by the default profile */
    { "add_key", "pam_keyinit, kinit, ssh and what else keeps tickets" },
    { "io_uring_register", "liburing, to see what the kernel has" },
    { "io_uring_setup", "libuv (node), postgresql, at start; they fall back on epoll" },
    { "kcmp", "Mesa and systemd, to see whether two fds are one file" },
    { "keyctl", "pam_keyinit, kinit" },
    { "listmount", "libmount from 2.41 on" },
    { "listns", "lsns" },
    { "lsm_get_self_attr", "libapparmor and libselinux, to see their own label" },
    { "lsm_list_modules", "libapparmor and libselinux" },
    { "migrate_pages", "libnuma" },
    { "move_pages", "libnuma and JVMs, to see where pages are" },
    { "name_to_handle_at", "systemd's tools and udev's library, to find mount points" },
    { "request_key", "pam_keyinit, kinit, AFS" },
    { "statmount", "libmount from 2.41 on" },

    /* what C libraries and language runtimes try first: refused by profiles that are older than they */
    { "arch_prctl", "the loader, for shadow stacks" },
    { "cachestat", "databases" },
    { "close_range", "glibc, Python, sudo: instead of a loop" },
    { "copy_file_range", "cp, Python, Go" },
    { "epoll_pwait2", "event loops" },
    { "faccessat2", "glibc's faccessat, bash" },
    { "fchmodat2", "glibc's fchmodat, tar" },
    { "file_getattr", "newer coreutils and tar" },
    { "futex_requeue", "glibc" },
    { "futex_wait", "glibc" },
    { "futex_waitv", "glibc, wine" },
    { "futex_wake", "glibc" },
    { "getrandom", "everything, at start; then /dev/urandom" },
    { "get_mempolicy", "libnuma, JVMs" },
    { "landlock_create_ruleset", "xz, sshd and others that shut themselves in, to see what the kernel has" },
    { "map_shadow_stack", "glibc" },
    { "mbind", "libnuma, JVMs, databases" },
    { "membarrier", "JVMs, .NET, liburcu" },
    { "memfd_create", "Wayland, PulseAudio, JITs; then a file" },
    { "mseal", "the loader" },
    { "openat2", "tar, Go, systemd" },
    { "pidfd_getfd", "language runtimes, to see what the kernel has" },
    { "pidfd_open", "Python, Go, systemd" },
    { "pidfd_send_signal", "Go, to see what the kernel has" },
    { "pkey_alloc", "V8" },
    { "rseq", "glibc, for each thread" },
    { "rseq_slice_yield", "glibc" },
    { "set_mempolicy", "libnuma, JVMs" },
    { "set_mempolicy_home_node", "libnuma" },
    { "statx", "glibc's stat, coreutils, systemd" },
};
_Static_assert(ELEMENTSOF(quiet) <= SECCOMP_QUIET_MAX, "each has a place in SeccompTold");

const SeccompToldException seccomp_told_exceptions[] = {
    /* asking what it is, and what it is anyway: setarch, gdb and emulators before they try another */
    { "personality", { { 0, UINT32_MAX } }, 1 },
    { "personality", { { 0, 0 } }, 1 },
    /* login programs, su, cron, useradd; they take the refusal for a kernel without auditing */
    { "socket", { { 0, AF_NETLINK }, { 2, NETLINK_AUDIT } }, 2 },
    /* libibverbs, which MPI and libpcap load, looks for adapters */
    { "socket", { { 0, AF_NETLINK }, { 2, NETLINK_RDMA } }, 2 },
    /* no family at all: a careless getaddrinfo() loop, which no code of the kernel's hears of */
    { "socket", { { 0, AF_UNSPEC } }, 1 },
};
const size_t seccomp_told_n_exceptions = ELEMENTSOF(seccomp_told_exceptions);
_Static_assert(ELEMENTSOF(seccomp_told_exceptions) <= SECCOMP_EXCEPTIONS_MAX, "each has a place in SeccompTold");

void seccomp_told_resolve(const SeccompArchitecture *a, SeccompTold *ret) {
    SeccompTold t = { .n_quiet = 0 };
    for (size_t i = 0; i < ELEMENTSOF(quiet); i++)
        if (seccomp_names_syscall(quiet[i].name, a, &t.quiet[t.n_quiet]) > 0)
            t.n_quiet++;
    for (size_t i = 0; i < seccomp_told_n_exceptions; i++)
        if (seccomp_names_syscall(seccomp_told_exceptions[i].name, a, &t.exceptions[i]) <= 0)
            t.exceptions[i] = UINT32_MAX;
    *ret = t;
}

SeccompTelling seccomp_told(const SeccompTold *t, uint32_t number) {
    for (size_t i = 0; i < t->n_quiet; i++)
        if (t->quiet[i] == number)
            return SECCOMP_TOLD_NEVER;
    for (size_t i = 0; i < seccomp_told_n_exceptions; i++)
        if (t->exceptions[i] == number)
            return SECCOMP_TOLD_BY_ARGUMENT;
    return SECCOMP_TOLD_ALWAYS;
}
