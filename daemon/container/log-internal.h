/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What log.c, log-file.c, log-pump.c and log-reader.c share.
 *
 * Three parties touch a log. Its streams and its file belong to the log thread from the moment it has taken the log
 * over. Its readers and its callback belong to the loop. What is left, the list, the references and the flags, is under
 * the thread's mutex, which is never held over input or output.
 */

#include "container/log.h"

#include <pthread.h>
#include <sys/types.h>

/* "2026-01-31T23:59:59.123456Z stdout F " */
#define LOG_TIME_SIZE   27U
#define LOG_FLAG_AT     (LOG_TIME_SIZE + 8U)
#define LOG_HEADER_SIZE (LOG_TIME_SIZE + 10U)
#define LOG_PART_MAX    (16U * 1024U)
#define LOG_ENTRY_MAX   (LOG_HEADER_SIZE + LOG_PART_MAX + 1U)
#define LOG_BYTES_MIN   (128U * 1024U) /* of both files: each has to hold some entries */

/* The file being written. */
typedef struct LogFile {
    int dir_fd; /* owned */
    int fd;
    uint64_t size;
    uint64_t max; /* of one of the two files */
    bool torn;    /* the last write was cut short: the next has to begin a line of its own */
} LogFile;

#define LOG_FILE_INIT ((LogFile){ .dir_fd = -EBADF, .fd = -EBADF })

int log_file_open(LogFile *f, int dir_fd, uint64_t max_bytes);
void log_file_close(LogFile *f);
/* BYTES are whole entries. A full disk loses them: the container must not hang for it. 0 or -errno. */
int log_file_append(LogFile *f, const char *bytes, size_t size);

/* Cuts BYTES into entries and appends them. */
int log_file_append_output(LogFile *f, bool is_stderr, const char *bytes, size_t size);

/* Copies what comes from a pseudo terminal into a pipe, in a thread of its own. */
typedef struct LogPump LogPump;
int log_pump_new(int with_master_fd, int *ret_pipe_fd, LogPump **ret);
/* What the terminal holds now goes to the pipe, whose end follows. */
void log_pump_finish(LogPump *p);
LogPump *log_pump_free(LogPump *p);

typedef struct LogStream {
    ContainerLog *log;
    int fd; /* -EBADF: at its end */
    bool is_stderr;
} LogStream;

struct ContainerLog {
    /* under the mutex */
    ContainerLogThread *thread;
    ContainerLog *next, *previous; /* every log that has not been freed */
    unsigned n_ref;
    bool wants_add, wants_finish, wants_remove; /* for the thread to do */
    bool queued;                                /* in its queue of commands; that holds a reference */
    ContainerLog *next_queued;
    bool changed; /* in the loop's queue; that holds a reference */
    ContainerLog *next_changed;
    bool finished, freed;
    unsigned n_readers;

    /* the thread's */
    LogStream streams[2];
    LogFile file;
    bool pumped; /* set before the thread knows of it: its end has to be waited for */
    bool finishing;
    uint64_t deadline_usec; /* of finishing, monotonic */
    ContainerLog *next_finishing;

    /* the loop's */
    int dir_fd;
    LogPump *pump;
    void (*done)(void *userdata);
    void *userdata;
    ContainerLogReader *readers, *next_reader;
};

struct ContainerLogReader {
    ContainerLog *log; /* NULL once that has been freed */
    ContainerLogReader *next, *previous;
    void (*notify)(void *userdata);
    void *userdata;
    int dir_fd, fd; /* fd: -EBADF before there is a file */
    off_t offset;   /* of the byte after those in the buffer */
    size_t begin, end;
    bool last_pass; /* the file has been rotated: one more look at it, then the next */
    char buffer[4U * LOG_ENTRY_MAX];
};

/* Under the mutex of the log's thread, if it has one. */
void log_add_reader(ContainerLog *l, ContainerLogReader *r);
void log_remove_reader(ContainerLogReader *r);
