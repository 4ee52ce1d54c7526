/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * A container on disk: STATE/containers/ID/record.json (atomic), and beside it the compiled seccomp program, the FIFOs.
 * Root alone can write there, yet what is read is checked as strictly as a request: a record that does not hold is set
 * aside, said in the log, and never acted upon.
 */

#include "container/spec.h"

/* The part of a container that outlives the daemon. Strings and spec are owned. */
typedef struct ContainerRecord {
    char *id;
    ContainerSpec *spec;     /* without fds; seccomp from the file beside it */
    pid_t pid;               /* 0: not started */
    uint64_t pid_start_time; /* with pid it names the process */
    uint32_t uid, gid;
    uint64_t created_usec, started_usec;
    bool exited;
    int exit_code; /* -1: unknown */
    int exit_signal;
    bool oom_killed;
    uint64_t oom_kills_told; /* processes of which an event has told that they were killed */
    uint64_t finished_usec;
} ContainerRecord;

ContainerRecord *container_record_free(ContainerRecord *r);
DEFINE_CLEANUP(ContainerRecord, container_record_free)

/* DIR_FD: the container's own state directory. */
int container_record_write(int dir_fd, const ContainerRecord *r);
int container_record_read(int dir_fd, ContainerRecord **ret, Error *reterr);
