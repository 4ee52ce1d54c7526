/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * A container's output, kept.
 *
 * The payload's stdout and stderr are FIFOs in the container's state directory, which it holds open for reading and
 * writing both: it gets no SIGPIPE while no daemon runs, and a new daemon opens them again by name. A thread of its own
 * (one for all containers) reads them and appends lines to the file containers/ID/log below the data directory, so that
 * a disk that is slow holds up neither the loop nor other containers, only the writer, once its FIFO is full.
 *
 * File format: one line each, as the kubelet and crictl read it: RFC 3339 time in UTC with µs, stream, F or P (P: the
 * line goes on), the bytes. Lines longer than 16 KiB are cut into parts. Two files, log and log.1, together hold at
 * most the maximum: the older half is given up.
 */

#include "kennel/error.h"

#include <systemd/sd-event.h>

typedef struct ContainerLogThread ContainerLogThread;
int container_log_thread_new(sd_event *event, uint64_t max_bytes, ContainerLogThread **ret, Error *reterr);
/* Reads what the FIFOs hold, writes it and ends. */
ContainerLogThread *container_log_thread_free(ContainerLogThread *t);
DEFINE_CLEANUP(ContainerLogThread, container_log_thread_free)
/* The first half of it: drains all logs and ends the thread. One that is opened afterwards stays unread. */
void container_log_thread_stop(ContainerLogThread *t);

typedef struct ContainerLog ContainerLog;

/*
 * Makes the FIFOs (if they are not there) in STATE_FD and opens the file in DATA_FD. The write ends for the payload are
 * in ret_stdio[0] (stdout) and [1] (stderr), unless ret_stdio is NULL: after a restart of the daemon.
 */
int container_log_open(ContainerLogThread *t, int state_fd, int data_fd, int ret_stdio[2], ContainerLog **ret,
                       Error *reterr);
/* The read end of one of them (0: stdout, 1: stderr) once more, to be kept: as long as it is open nothing unread is lost. */
int container_log_open_unread(int state_fd, unsigned stream);
/* The same for a terminal: all that is read from the master (duplicated) goes to the log as stdout. */
int container_log_open_terminal(ContainerLogThread *t, int data_fd, int with_master_fd, ContainerLog **ret,
                                Error *reterr);
/* For a container that has exited: only to be read. */
int container_log_open_finished(ContainerLogThread *t, int data_fd, ContainerLog **ret, Error *reterr);
/* Calls DONE from the loop when every writer has closed, or after what the FIFOs hold now has been written. */
void container_log_finish(ContainerLog *l, void (*done)(void *userdata), void *userdata);
bool container_log_is_finished(const ContainerLog *l);
ContainerLog *container_log_free(ContainerLog *l);
DEFINE_CLEANUP(ContainerLog, container_log_free)

/* Reading. One reader per Logs call; it follows rotation. */
typedef struct ContainerLogReader ContainerLogReader;
typedef struct ContainerLogEntry {
    uint64_t timestamp_usec;
    bool is_stderr;
    bool partial;
    const char *bytes; /* valid until the next call */
    size_t size;
} ContainerLogEntry;

/* TAIL: how many of the last lines; SIZE_MAX for all. NOTIFY (may be NULL): from the loop, when there is more to read. */
int container_log_reader_new(ContainerLog *l, size_t tail, void (*notify)(void *userdata), void *userdata,
                             ContainerLogReader **ret, Error *reterr);
/* 1 and *ret; 0 if there is nothing more now (and container_log_is_finished() says whether there ever will be). */
int container_log_reader_next(ContainerLogReader *r, ContainerLogEntry *ret);
/* Outlives the log: after container_log_free() it gives what is left and then 0. */
ContainerLogReader *container_log_reader_free(ContainerLogReader *r);
DEFINE_CLEANUP(ContainerLogReader, container_log_reader_free)
