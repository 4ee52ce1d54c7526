/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The findings of one container: 256 of them, numbered from 1 in the order in which they were made, and on disk beside
 * the record, STATE/containers/ID/findings/NUMBER.json, so that the next daemon has them.
 *
 * What is the same thing again is counted in the first one. Whoever is watched decides how many there are and how large:
 * memory and files, which are on a tmpfs most often, have an end, of one finding and of all together. Of one that is too
 * large the mapped files are left out, then the command. Beyond the number and the bytes of all the oldest whose processes
 * have ended goes first, and is counted. Root alone can write there, yet what is read is checked as strictly as a record: a
 * file that does not hold is removed, with a line in the log, and stops nothing.
 */

#include "watch/finding.h"

#include <stddef.h>
#include <stdint.h>

#define FINDINGS_MAX       256U
#define FINDINGS_BYTES_MAX (8UL * 1024UL * 1024UL) /* of all files together */
#define FINDINGS_FILE_MAX  (96UL * 1024UL)

/* A finding shows its newest process; those before it may live on, and are to be found when all are to be killed. */
#define FINDING_OTHERS_MAX 256U
typedef struct FindingProcess {
    pid_t pid, host_pid;
    uint64_t start_time;
    bool settled; /* a kill for the finding has had its receipt; of the one that is shown Finding.has_receipt says so */
} FindingProcess;

typedef struct FindingEntry {
    Finding *finding;
    FindingProcess *others; /* owned; not on disk: what lives is seen again by the next daemon */
    size_t n_others;
    size_t size; /* of its file, about */
    bool dirty;  /* differs from its file */
    bool stored; /* it has a file */
    bool again;  /* has changed since followers were told */
} FindingEntry;

typedef struct Findings {
    FindingEntry entries[FINDINGS_MAX]; /* by number */
    size_t n, size;
    size_t next_owed;            /* whose kills come next: see watch.c */
    uint64_t last;               /* number of the newest that there ever was */
    uint64_t gone[FINDINGS_MAX]; /* numbers whose files are to be removed */
    size_t n_gone;
    uint64_t dropped; /* of how many nothing was kept */
    uint64_t dropped_stored;
} Findings;

int findings_new(Findings **ret);
Findings *findings_free(Findings *s);
DEFINE_CLEANUP(Findings, findings_free)

/*
 * Keeps F under the next number, or counts it in the one that it is the same as. *RET is the entry, which the store owns;
 * *RET_AGAIN: it was there already; *RET_OTHER: and was of other processes.
 */
int findings_add(Findings *s, Finding *consume_f, FindingEntry **ret, bool *ret_again, bool *ret_other);
FindingEntry *findings_get(Findings *s, uint64_t number); /* NULL: it is not kept any more */

/* Of F as it is now: what it shows. Not known: host_pid or start_time 0. */
FindingProcess findings_process(const Finding *f);
/* Also where that cannot be found out now, for want of descriptors: what is to be killed must not be lost by it. */
bool findings_process_lives(const FindingProcess *p);
bool findings_shows(const FindingEntry *e, const FindingProcess *p);
/* P, one of E's, has no receipt yet. False for one that E does not have. */
bool findings_is_unsettled(const FindingEntry *e, const FindingProcess *p);
/* The first word counts: that it had gone says nothing against an earlier receipt. */
void findings_settle(FindingEntry *e, const FindingProcess *p, const Receipt *receipt);

/* Writes at most MAX of what differs from its file, and removes those of what has fallen off. More may be left. */
int findings_save(Findings *s, int state_fd, unsigned max);
bool findings_unsaved(const Findings *s);
/* Of a container of an earlier daemon; *RET NULL: there are none. ID is for the log. -ENOMEM alone is a failure. */
int findings_load(int state_fd, const char *id, Findings **ret);
