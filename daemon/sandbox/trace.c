/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The exec stop: a child is held between a successful execve and the first instruction of what it executes.
 *
 * The kernel's own means for it is ptrace. The thread that serves the start seizes the child while that still waits, is
 * woken once execve has succeeded, has the process looked at, and lets it go. Nothing is written into the child and no
 * system call of it is stopped, so between these two instants the tracing costs it nothing. With --init the program that
 * is held is the reaper; what that starts inherits everything that was looked at.
 *
 * - Tracing belongs to the thread that began it. A worker's thread serves one start, from the first step to the last.
 * - PTRACE_O_EXITKILL: when the thread ends or the daemon is killed while the child is held, the child dies with it, and
 *   the payload has run nothing.
 * - Stops are looked at with WNOWAIT: an exit stays for whoever reaps the process by its pidfd, as without tracing.
 */

#include "sandbox/internal.h"

#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <time.h>

/* Sent by a timer of ours to one thread of ours, to end its waiting. */
#define DEADLINE_SIGNAL SIGALRM

#ifndef sigev_notify_thread_id
#define sigev_notify_thread_id _sigev_un._tid
#endif

int trace_seize(pid_t pid) {
    return ptrace(PTRACE_SEIZE, pid, 0, PTRACE_O_TRACEEXEC | PTRACE_O_EXITKILL) < 0 ? -errno : 0;
}

int trace_let_go(pid_t pid) {
    /* Killed meanwhile: it has ended, as it may at any time, and is reaped like any other. */
    return ptrace(PTRACE_DETACH, pid, 0, 0) < 0 && errno != ESRCH ? -errno : 0;
}

/*
 * A stop on the way to execve. Whoever is in the container may signal a program that Exec brings in: a signal is handed
 * on, a stop is left to last until SIGCONT ends it.
 */
static int pass_on(pid_t pid, int status) {
    int event = status >> 8, sig = status & 0xff;
    bool stays = event == PTRACE_EVENT_STOP && sig != SIGTRAP;
    int r = (int) (stays ? ptrace(PTRACE_LISTEN, pid, 0, 0) : ptrace(PTRACE_CONT, pid, 0, event == 0 ? sig : 0));
    return r < 0 && errno != ESRCH ? -errno : 0;
}

/* 1: stopped at the first instruction, 0: it has ended. -EINTR: the deadline. */
static int await_stop(pid_t pid, int pidfd) {
    for (;;) {
        siginfo_t info = { 0 };
        if (waitid(P_PIDFD, (id_t) pidfd, &info, WSTOPPED | WEXITED | WNOWAIT) < 0)
            return -errno;
        if (info.si_code != CLD_TRAPPED)
            return 0;
        if (info.si_status == (SIGTRAP | (PTRACE_EVENT_EXEC << 8)))
            return 1;
        int r = pass_on(pid, info.si_status);
        if (r < 0)
            return r;
    }
}

static void on_deadline(int sig) {}

/* No SA_RESTART: what it interrupts is to return. */
static void install_handler(void) {
    struct sigaction action = { .sa_handler = on_deadline };
    (void) sigaction(DEADLINE_SIGNAL, &action, NULL);
}

/* Goes on firing after the deadline: the first one may come just before the thread begins to wait. */
static int arm(unsigned timeout_msec, timer_t *ret) {
    struct sigevent event = { .sigev_notify = SIGEV_THREAD_ID, .sigev_signo = DEADLINE_SIGNAL };
    event.sigev_notify_thread_id = gettid();
    struct itimerspec when = {
        .it_value = { .tv_sec = timeout_msec / 1000, .tv_nsec = (long) (timeout_msec % 1000) * 1000000 },
        .it_interval = { .tv_nsec = 100000000 },
    };
    if (timer_create(CLOCK_MONOTONIC, &event, ret) < 0)
        return -errno;
    if (timer_settime(*ret, 0, &when, NULL) >= 0)
        return 0;
    int r = -errno;
    (void) timer_delete(*ret);
    return r;
}

/*
 * One wait for all that can happen, and none that has no end: the child reports and exits, is killed, stops, executes; or
 * hangs in a file system of the caller's, before execve has succeeded or, where the kernel pages the new program in, after
 * it. A waitid() has no timeout and neither a stop nor a traced exec makes an fd readable, so a timer interrupts it.
 */
int trace_await_exec(pid_t pid, int pidfd, unsigned timeout_msec) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    sigset_t deadline, before;
    timer_t timer;

    (void) pthread_once(&once, install_handler);
    (void) sigemptyset(&deadline);
    (void) sigaddset(&deadline, DEADLINE_SIGNAL);
    int r = arm(timeout_msec, &timer);
    if (r < 0)
        return r;
    (void) pthread_sigmask(SIG_UNBLOCK, &deadline, &before);
    r = await_stop(pid, pidfd);
    (void) timer_delete(timer);
    (void) pthread_sigmask(SIG_SETMASK, &before, NULL);
    return r == -EINTR ? -ETIMEDOUT : r;
}
