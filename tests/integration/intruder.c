/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Asks the kernel whether it may reach another process, by means that do nothing where they are permitted:
 *
 *   intruder PID HOST_PID      the process in this pid namespace, and in that of the /proc that is mounted here
 *
 * Prints "what ERRNO" or "what ok" each. Linked statically: it is executed from a descriptor.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <unistd.h>

static void report(const char *what, long result) {
    printf("%s %s\n", what, result < 0 ? strerrorname_np(errno) : "ok");
}

static void try_open(const char *what, const char *pid, const char *name, int flags) {
    char path[64];
    (void) snprintf(path, sizeof(path), "/proc/%s/%s", pid, name);
    report(what, open(path, flags | O_CLOEXEC));
}

int main(int argc, char **argv) {
    if (argc != 3)
        return 2;
    pid_t pid = atoi(argv[1]);
    report("signull", kill(pid, 0));
    report("signal", kill(pid, SIGCONT)); /* it is not stopped */
    report("getpgid", getpgid(pid));
    report("getscheduler", sched_getscheduler(pid));
    try_open("environ", argv[2], "environ", O_RDONLY);
    try_open("memory", argv[2], "mem", O_RDWR);
    long seized = ptrace(PTRACE_SEIZE, pid, NULL, NULL);
    report("ptrace", seized);
    if (seized >= 0)
        (void) ptrace(PTRACE_DETACH, pid, NULL, NULL);
    return 0;
}
