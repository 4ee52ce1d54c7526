/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * A finding: something in a container that should not be there, with what was seen of it at the time.
 *
 * What is in it was said by the kernel, by way of the host's /proc and of descriptors that the kernel gave; of what the
 * container may choose itself (names, arguments, paths) nothing is believed, it is shown. It belongs to one container and
 * has a number there, counted from 1. The same thing seen again is counted in the first finding (finding_is_same()).
 */

#include "kennel/error.h"

#include <json-c/json_object.h>
#include <sys/types.h>

#define FINDING_SHA256_LENGTH  64U
#define FINDING_NAME_MAX       16U /* of a process, as the kernel keeps it, with the NUL */
#define FINDING_EVIDENCE_MAX   512U
#define FINDING_PARENTS_MAX    16U
#define FINDING_ARGUMENTS_MAX  64U
#define FINDING_ARGUMENT_BYTES 4096U /* of all arguments together */
#define FINDING_SOCKETS_MAX    32U
#define FINDING_MAPPED_MAX     32U
#define FINDING_HASHED_MAX     (256ULL * 1024 * 1024) /* bytes of a program; a larger one has no SHA-256 */

/* One detector each; names in finding.c, as in the interface. */
typedef enum FindingKind {
    FINDING_FOREIGN_PROGRAM, /* execution of a file that the image did not hold, or of a memfd */
    FINDING_FOREIGN_SCRIPT,  /* an interpreter of the image's runs such a file */
    FINDING_DELETED_PROGRAM, /* runs, and its file has been deleted */
    FINDING_PRELOAD,         /* LD_PRELOAD or /etc/ld.so.preload from a place that the container can write to */
    FINDING_REFUSED_CALL,    /* a system call that the profile refuses and no ordinary program makes */
    FINDING_HIDDEN_PROCESS,  /* the views of which processes there are do not agree */
    FINDING_FOREIGN_PROCESS, /* other credentials, label, filters, namespaces than its cgroup's, or its cgroup's are missing */
    FINDING_FORK_STORM,
    FINDING_CPU,        /* more CPU for longer than was declared */
    FINDING_LISTENER,   /* a listening socket that no published port names */
    FINDING_CONNECTION, /* a connection that the network policy does not name */
    FINDING_DISGUISE,   /* a name that belongs to another program or to the kernel */
    _FINDING_KIND_MAX,
    _FINDING_KIND_INVALID = -1,
} FindingKind;

typedef enum FindingSeverity { FINDING_LOW, FINDING_MEDIUM, FINDING_HIGH, _FINDING_SEVERITY_MAX } FindingSeverity;

/* What a detector does when it has found something; in the order of their strength. */
typedef enum FindingAction {
    FINDING_ACTION_UNSET, /* nobody has said */
    FINDING_OFF,
    FINDING_REPORT,
    FINDING_KILL_PROCESS,
    FINDING_FREEZE_CONTAINER,
    FINDING_KILL_CONTAINER,
    _FINDING_ACTION_MAX,
} FindingAction;

const char *finding_kind_to_string(FindingKind k); /* "foreignProgram" */
FindingKind finding_kind_from_string(const char *s);
const char *finding_severity_to_string(FindingSeverity s); /* "low", "medium", "high" */
const char *finding_action_to_string(FindingAction a);     /* "off", "report", "killProcess", ...; NULL for UNSET */
FindingAction finding_action_from_string(const char *s);   /* UNSET if it is none of them */

typedef struct FindingParent {
    pid_t pid, host_pid; /* pid 0: outside of the container's pid namespace */
    char name[FINDING_NAME_MAX];
} FindingParent;

/* How a removal of one process, or of a whole container, has ended. */
typedef enum ReceiptOutcome {
    RECEIPT_DEAD,   /* it is gone: its pidfd says so */
    RECEIPT_DYING,  /* SIGKILL is pending, it hangs in the kernel: wait_channel */
    RECEIPT_GONE,   /* had ended before */
    RECEIPT_SPARED, /* it is the container's first process: killing it is killing the container */
    _RECEIPT_OUTCOME_MAX,
} ReceiptOutcome;
const char *receipt_outcome_to_string(ReceiptOutcome o);

typedef struct Receipt {
    pid_t pid, host_pid; /* 0: the whole container */
    ReceiptOutcome outcome;
    char wait_channel[64]; /* of one that is dying; empty: not known */
    unsigned processes;    /* that were killed: it, and descendants where they were asked for */
    uint64_t duration_usec;
} Receipt;

typedef struct Finding {
    uint64_t number; /* within its container; 0 until it is kept */
    FindingKind kind;
    FindingSeverity severity;
    uint64_t first_usec, last_usec; /* since the epoch */
    uint64_t count;

    pid_t pid, host_pid;   /* 0: not known, or of no single process */
    uint64_t start_time;   /* field 22 of /proc/PID/stat; with host_pid it names one process for all time */
    uint64_t started_usec; /* the same since the epoch; 0: not known */
    char process_name[FINDING_NAME_MAX]; /* comm */
    char *program;                       /* path as the container sees it, or "memfd:NAME"; NULL: not known */
    bool has_size;
    uint64_t program_size;
    uint64_t program_dev, program_ino;              /* to know it again; not shown */
    char program_sha256[FINDING_SHA256_LENGTH + 1]; /* empty: not known */
    char **command;                                 /* argv; NULL-terminated, or NULL */
    FindingParent *parents;                         /* nearest first, up to pid 1 of the container */
    size_t n_parents;
    char *working_directory;
    char **sockets;      /* "tcp 10.0.0.2:40000 -> 10.0.0.1:80 ESTABLISHED"; NULL-terminated, or NULL */
    char **mapped_files; /* executable mappings of files; NULL-terminated, or NULL */

    /* FINDING_REFUSED_CALL */
    bool has_call;
    int call_number;
    char call_name[32]; /* empty: the number has no name */
    char call_architecture[16];
    uint64_t call_arguments[6];
    int call_errno; /* what the program was told */

    char evidence[FINDING_EVIDENCE_MAX]; /* one sentence for a person */

    FindingAction action; /* that was taken: REPORT if none but this */
    bool has_receipt;
    Receipt receipt;
    char quarantined[80]; /* name in the quarantine directory of the program that was kept; empty: none */
} Finding;

Finding *finding_new(FindingKind kind, FindingSeverity severity);
Finding *finding_free(Finding *f);
DEFINE_CLEANUP(Finding, finding_free)

/* One thing seen twice? Same kind, and the same program and process name, call, or process, as suits the kind. */
bool finding_is_same(const Finding *a, const Finding *b);
/* Is B's process known, and started no earlier than A's? */
bool finding_is_newer(const Finding *a, const Finding *b);
/* B has been seen again as A: counts, and takes over what is newer (process, time). */
void finding_merge(Finding *a, const Finding *b);

/* The members of the interface's Finding but for container, name and owner. NULL: out of memory. */
json_object *finding_to_json(const Finding *f);
/* Back, for what was kept on disk with `startTime`, `programDev`, `programIno` beside it (finding_to_record()). */
json_object *finding_to_record(const Finding *f);
int finding_from_record(json_object *o, Finding **ret, Error *reterr);
json_object *receipt_to_json(const Receipt *r);
