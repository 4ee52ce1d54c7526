/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Processes by pidfd, and what /proc says of them.
 */

#include "kennel/cleanup.h"

#include <signal.h>
#include <sys/types.h>

int process_pidfd_open(pid_t pid);            /* CLOEXEC fd or -errno */
int process_pidfd_signal(int pidfd, int sig); /* 0 or -errno */
pid_t process_pidfd_pid(int pidfd);           /* from fdinfo; -ESRCH once it is reaped */
/* Field 22 of /proc/PID/stat: clock ticks since boot. With the pid it names one process for all time. */
int process_start_time(pid_t pid, uint64_t *ret);
int process_parent(pid_t pid, pid_t *ret); /* field 4; 0 if it is outside our pid namespace */

/* All of /proc/PID/status, at most 2 MiB, with a NUL behind it; to be freed. -ESRCH if it has gone. */
int process_status_read(pid_t pid, char **ret);
/* What follows "KEY:" there, blanks and the lines behind it included; NULL: no line has it. */
const char *process_status_field(const char *status, const char *key);

typedef struct ProcessExit {
    bool known; /* false: nobody could tell any more */
    int code;   /* exit status, or 128 + signal */
    int signal; /* 0 if it exited by itself */
} ProcessExit;
ProcessExit process_exit_from_status(int status); /* of wait(2) */

/* Reaps a child (waitid P_PIDFD); for a process that is not ours asks PIDFD_GET_INFO. -EAGAIN while it lives. */
int process_reap(int pidfd, ProcessExit *ret);

/* "KILL", "SIGKILL", "kill", "9" → SIGKILL; -EINVAL. And back: "KILL"; "RTMIN+3"; NULL for no signal. */
int process_signal_from_string(const char *name);
const char *process_signal_to_string(int sig);

/* What ps shows of one process; taken from /proc/PID of the host. */
typedef struct ProcessInfo {
    pid_t host_pid, host_parent;
    pid_t pid, parent; /* in the innermost pid namespace; parent 0 if it is outside */
    uid_t host_uid;
    char state; /* R S D Z T ... */
    unsigned threads;
    uint64_t memory; /* resident bytes */
    uint64_t cpu_usec;
    uint64_t started_usec; /* since the epoch */
    char **command;        /* argv; the name in [] where there is none */
} ProcessInfo;

/*
 * -ESRCH if it has gone. Arguments lie in the process's own memory: reading them waits for whoever changes its map, which
 * a process that forks all the time does all the time. Without, `command` is its name in [].
 */
int process_info_read(pid_t host_pid, bool with_arguments, ProcessInfo *ret);
void process_info_done(ProcessInfo *i);
