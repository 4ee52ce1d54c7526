/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Work that may block, off the loop.
 *
 * A job runs in a thread of its own, because a file system that a caller passed in may hang for as long as the caller
 * likes: a fixed pool could be filled with such jobs. What bounds their number is the caller's quota. When the job has
 * run, its completion is called from the loop. The job and the completion share one pointer and nothing else; the
 * loop does not touch what the pointer leads to while the job runs.
 */

#include "kennel/error.h"

#include <systemd/sd-event.h>

typedef struct WorkerPool WorkerPool;

typedef void (*WorkerRun)(void *userdata);  /* in the thread; all signals blocked */
typedef void (*WorkerDone)(void *userdata); /* in the loop */

int worker_pool_new(sd_event *event, unsigned jobs_max, WorkerPool **ret);
/* Until no job runs any more, TIMEOUT_USEC at most: 0 or -ETIMEDOUT. Completions are left to the loop. */
int worker_pool_wait(WorkerPool *p, uint64_t timeout_usec);
/*
 * Waits a second for the running jobs; their completions are not called any more. If one of them hangs, the pool is
 * left as it is, because that job's thread would still use it: nothing but the end of the process is to follow.
 */
WorkerPool *worker_pool_free(WorkerPool *p);
DEFINE_CLEANUP(WorkerPool, worker_pool_free)

/* -EAGAIN if JOBS_MAX run already, or the system has no thread to give. */
int worker_submit(WorkerPool *p, WorkerRun run, WorkerDone done, void *userdata);
unsigned worker_running(const WorkerPool *p);
