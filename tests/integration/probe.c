/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Asks the kernel, from inside a container, for what no shell can ask: system calls by number, with arguments that do
 * nothing where the call is permitted. Prints "name ERRNO" or "name ok" each. Linked statically, so that it runs in
 * every root file system.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef SYS_nfsservctl
#define SYS_nfsservctl 180
#endif

static const struct {
    const char *name;
    long number;
} calls[] = {
#define CALL(name)                                                                                                     \
    { #name, SYS_##name }
    CALL(mount),
    CALL(acct),
    CALL(umount2),
    CALL(sethostname),
    CALL(swapon),
    CALL(swapoff),
    CALL(reboot),
    CALL(adjtimex),
    CALL(setdomainname),
    CALL(init_module),
    CALL(delete_module),
    CALL(quotactl),
    CALL(finit_module),
    CALL(setns),
    CALL(clock_adjtime),
    CALL(kexec_load),
    CALL(nfsservctl),
    CALL(pivot_root),
    CALL(clock_settime),
    CALL(personality),
    CALL(kexec_file_load),
    CALL(bpf),
    CALL(perf_event_open),
    CALL(userfaultfd),
    CALL(io_uring_setup),
    CALL(io_uring_enter),
    CALL(io_uring_register),
    CALL(open_tree),
    CALL(move_mount),
    CALL(fsopen),
    CALL(fsconfig),
    CALL(fsmount),
    CALL(fspick),
    CALL(mount_setattr),
    CALL(keyctl),
    CALL(add_key),
    CALL(request_key),
};

static void report(const char *name, long result) {
    printf("%s%s%s\n", name, *name ? " " : "", result < 0 ? strerrorname_np(errno) : "ok");
}

/* Arguments that no kernel accepts: without a filter the answer would be EINVAL, EBADF or EFAULT. */
static long call_with_nonsense(const char *name, long number) {
    long first = strcmp(name, "personality") == 0 ? 0x00400000 : -1; /* ADDR_COMPAT_LAYOUT of another personality */
    return syscall(number, first, -1L, -1L, -1L, -1L, -1L);
}

static int probe_calls(char **names) {
    for (; *names; names++) {
        size_t i = 0;
        while (i < sizeof(calls) / sizeof(*calls) && strcmp(calls[i].name, *names) != 0)
            i++;
        if (i == sizeof(calls) / sizeof(*calls))
            return fprintf(stderr, "the probe does not know %s\n", *names), 1;
        errno = 0;
        report(*names, call_with_nonsense(*names, calls[i].number));
    }
    return 0;
}

static int probe_numbers(char **numbers) {
    for (; *numbers; numbers++)
        report(*numbers, syscall(strtol(*numbers, NULL, 0), 0L, 0L, 0L, 0L, 0L, 0L));
    return 0;
}

static int probe_int80(void) {
#ifdef __x86_64__
    long result;
    __asm__ volatile("int $0x80" : "=a"(result) : "a"(20L) : "memory", "r8", "r9", "r10", "r11"); /* getpid of i386 */
    if (result > 0)
        return puts("ok"), 0;
    errno = (int) -result;
    report("", -1);
#endif
    return 0;
}

static int probe_clone3_user(void) {
    struct clone_args args = { .flags = CLONE_NEWUSER, .exit_signal = SIGCHLD };
    long pid = syscall(SYS_clone3, &args, sizeof(args));
    if (pid == 0)
        _exit(0);
    report("", pid);
    return 0;
}

static int probe_clone_user(void) {
    long pid = syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, 0, 0, 0, 0);
    if (pid == 0)
        _exit(0);
    report("", pid);
    return 0;
}

static int probe_unshare_user(void) {
    report("", unshare(CLONE_NEWUSER));
    return 0;
}

static int probe_raw_socket(void) {
    report("", socket(AF_INET, SOCK_RAW, 255));
    return 0;
}

/* Both the request and one whose low 32 bits alone are the request; the terminal is stdin. */
static int probe_tiocsti(void) {
    unsigned long requests[] = { TIOCSTI, TIOCSTI + (1UL << 32), TIOCLINUX, TIOCLINUX + (1UL << 32) };
    for (size_t i = 0; i < sizeof(requests) / sizeof(*requests); i++)
        report(i % 2 ? "high" : "low", syscall(SYS_ioctl, 0, requests[i], "x"));
    return 0;
}

/* Seizes every process that it can and lists what their descriptors lead to. */
static int probe_ptrace(char **seconds) {
    time_t end = time(NULL) + strtol(seconds[0], NULL, 10);
    setvbuf(stdout, NULL, _IONBF, 0);
    while (time(NULL) < end)
        for (pid_t pid = 2; pid < 4000; pid++) {
            char path[64], target[256];
            if (kill(pid, 0) < 0)
                continue;
            (void) ptrace(PTRACE_SEIZE, pid, 0, 0);
            for (int fd = 0; fd < 64; fd++) {
                snprintf(path, sizeof(path), "/proc/%d/fd/%d", pid, fd);
                ssize_t n = readlink(path, target, sizeof(target) - 1);
                if (n > 0)
                    printf("%d %d %.*s\n", pid, fd, (int) n, target);
            }
            (void) ptrace(PTRACE_DETACH, pid, 0, 0);
        }
    return 0;
}

static void *thread(void *unused) {
    (void) unused;
    return NULL;
}

static int probe_threads(void) {
    pthread_t threads[8];
    for (int i = 0; i < 8; i++)
        if (pthread_create(&threads[i], NULL, thread, NULL) != 0)
            return 1;
    for (int i = 0; i < 8; i++)
        pthread_join(threads[i], NULL);
    pid_t pid = fork();
    if (pid == 0)
        _exit(0);
    return waitpid(pid, NULL, 0) == pid ? puts("ok"), 0 : 1;
}

int main(int argc, char **argv) {
    const char *what = argc > 1 ? argv[1] : "";
    if (strcmp(what, "syscalls") == 0)
        return probe_calls(argv + 2);
    if (strcmp(what, "numbers") == 0)
        return probe_numbers(argv + 2);
    if (strcmp(what, "ptrace") == 0 && argc == 3)
        return probe_ptrace(argv + 2);
    static const struct {
        const char *name;
        int (*run)(void);
    } simple[] = {
        { "int80", probe_int80 },
        { "clone-user", probe_clone_user },
        { "clone3-user", probe_clone3_user },
        { "unshare-user", probe_unshare_user },
        { "raw-socket", probe_raw_socket },
        { "tiocsti", probe_tiocsti },
        { "threads", probe_threads },
    };
    for (size_t i = 0; i < sizeof(simple) / sizeof(*simple); i++)
        if (strcmp(what, simple[i].name) == 0)
            return simple[i].run();
    fprintf(stderr, "probe syscalls NAME... | numbers N... | ptrace SECONDS | ...\n");
    return 2;
}
