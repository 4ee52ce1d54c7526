/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * From a plain struct to a hardened process. Knows nothing of JSON, of peers, of other containers.
 *
 * sandbox_spawn() and sandbox_exec() run in worker threads: they may wait for file systems that callers passed in.
 * They share nothing mutable with each other. All that a start does not have to do itself was prepared once, in
 * SandboxHost.
 */

#include "sandbox/seccomp.h"
#include "util/check.h"

#include <sys/types.h>

#define SANDBOX_ID_COUNT 65536U

typedef enum SandboxMountKind { SANDBOX_MOUNT_VOLUME, SANDBOX_MOUNT_TMPFS } SandboxMountKind;

/* As docker's :z and :Z: what a volume's files are labelled with before it is mounted. */
typedef enum SandboxRelabel { SANDBOX_RELABEL_NONE, SANDBOX_RELABEL_SHARED, SANDBOX_RELABEL_PRIVATE } SandboxRelabel;

typedef struct SandboxMount {
    SandboxMountKind kind;
    char *target;  /* absolute, without . and .. */
    int source_fd; /* volume: a directory or regular file that the caller opened; owned */
    bool read_only;
    SandboxRelabel relabel; /* volume, where SELinux is in force */
    uint64_t size;          /* tmpfs: bytes */
    uint64_t inodes;        /* tmpfs: the root directory is one of them; 0: as many as suit the size (mounts.c) */
    mode_t mode;            /* tmpfs */
} SandboxMount;

typedef struct SandboxRlimit {
    int resource;
    uint64_t soft, hard; /* RLIM_INFINITY is no limit */
} SandboxRlimit;

/* SANDBOX_NETWORK_BRIDGE: an empty namespace as with NONE, into which the caller puts an interface in born(). */
typedef enum SandboxNetwork { SANDBOX_NETWORK_NONE, SANDBOX_NETWORK_HOST, SANDBOX_NETWORK_BRIDGE } SandboxNetwork;

/* What a program that is started gets, in a new container or in a running one. All pointers and fds are owned. */
typedef struct SandboxProgram {
    char **command;
    char **environment;      /* complete */
    char *working_directory; /* absolute */
    char *user;              /* "UID", "UID:GID", "name", "name:group"; NULL is 0:0 */
    bool terminal;
    unsigned short rows, columns;
    int stdio[3]; /* -EBADF: /dev/null of the container; unused with a terminal */
    uint64_t capabilities;
    SeccompProgram *seccomp; /* NULL: unconfined */
    bool tell_calls;         /* refused system calls that the profile has marked are told by SandboxProcess.calls_fd */
    char *apparmor_profile;  /* loaded; NULL: none */
    char *selinux_context;   /* NULL: none */
    SandboxRlimit *rlimits;
    size_t n_rlimits;
} SandboxProgram;

typedef struct SandboxSpec {
    SandboxProgram program;
    char *hostname;
    uint32_t id_base; /* first of SANDBOX_ID_COUNT host ids */
    uid_t owner_uid;  /* whose rights volumes and the root file system carry; 0: ids map one to one */
    gid_t owner_gid;
    int rootfs_fd;       /* -EBADF: the built-in image `host` */
    int layer_fd;        /* an empty directory of ours, where the writable layer is made */
    bool layer_is_mount; /* layer_fd is the root of a detached mount, which is taken as it is */
    bool read_only;
    bool image_only; /* nothing can be executed, or mapped to be, that can be written: see mounts.c */
    bool init;
    SandboxMount *mounts;
    size_t n_mounts;
    SandboxNetwork network;
    char *file_context;  /* SELinux, of what it may write: writable layer, tmpfs; NULL: none */
    char *image_context; /* and of what all containers share, read-only */
    char *share_context; /* and of volumes that several containers write to */
} SandboxSpec;

#define SANDBOX_PROGRAM_INIT ((SandboxProgram){ .stdio = { -EBADF, -EBADF, -EBADF } })
#define SANDBOX_SPEC_INIT    ((SandboxSpec){ .program = SANDBOX_PROGRAM_INIT, .rootfs_fd = -EBADF, .layer_fd = -EBADF })

void sandbox_program_done(SandboxProgram *p);
void sandbox_spec_done(SandboxSpec *s);

/* The new process: its program has been executed. uid and gid are those it started with, as the container sees them. */
typedef struct SandboxProcess {
    pid_t pid;
    int pidfd;
    int terminal_fd; /* the pseudo terminal's master, -EBADF without one */
    int calls_fd; /* where refused system calls are told (seccomp's listener); -EBADF: nowhere. In executed() too, where
                      * whoever takes it sets it to -EBADF */
    uint32_t uid, gid;
    const gid_t *groups; /* supplementary ones; in executed() only */
    size_t n_groups;
} SandboxProcess;

/*
 * Where the process is to be born, and what it has to pass. born() is called once it exists and waits, before it is let go: it puts it into what
 * CLONE_INTO_CGROUP does not reach, and may note it down, so that no program ever runs that nobody knows of. PROCESS has
 * its pid and ids; the fds stay the callee's.
 *
 * executed() (may be NULL) is called when execve has succeeded and not one instruction of the program has run: there the
 * caller holds what the kernel says of it against what it was to be. Whatever it returns below 0 ends the process.
 */
typedef struct SandboxPlacement {
    int cgroup_fd;
    int (*born)(void *userdata, const SandboxProcess *process, Error *reterr);
    int (*executed)(void *userdata, SandboxProcess *process, Error *reterr);
    void *userdata;
} SandboxPlacement;

#define SANDBOX_PROCESS_INIT ((SandboxProcess){ .pidfd = -EBADF, .terminal_fd = -EBADF, .calls_fd = -EBADF })
void sandbox_process_done(SandboxProcess *p);

typedef struct SandboxHost SandboxHost;

/*
 * Has the kernel vm.memfd_noexec (6.3)? The filter of image_only refuses memfd_create (seccomp_cache_get()); where there is
 * none, this keeps memfds from being executed, though not from being mapped. Without either there is no such container.
 */
bool sandbox_holds_memfds(const SandboxHost *h);

/*
 * Prepares what every start uses: the made-up root of the image `host` below DATA_FD (images/host-HASH), the reaper in
 * a sealed memfd, fds of /proc and /usr, the capabilities that the kernel knows; and makes the daemon itself
 * unreadable for what it will start (PR_SET_DUMPABLE).
 */
int sandbox_host_new(int data_fd, SandboxHost **ret, Error *reterr);
SandboxHost *sandbox_host_free(SandboxHost *h);
DEFINE_CLEANUP(SandboxHost, sandbox_host_free)

/*
 * Starts a container's first process. On failure everything that was begun is undone (but for the content of layer_fd,
 * which is the caller's), and reterr is ERROR_HARDENING_FAILED with the stage as its subject, or ERROR_INVALID_SPEC
 * where a field could only be judged against the image: user, workingDirectory.
 */
int sandbox_spawn(SandboxHost *h, const SandboxSpec *spec, const SandboxPlacement *placement, SandboxProcess *ret,
                  Error *reterr);

/* Starts one more program in the container whose first process INIT_PIDFD is. ID_BASE as the container's. */
int sandbox_exec(SandboxHost *h, int init_pidfd, uint32_t id_base, const SandboxProgram *program,
                 const SandboxPlacement *placement, SandboxProcess *ret, Error *reterr);

/*
 * Has the process got as far as its program, or is it still (or was, when it died) our own code? Returns 1, 0, or -errno
 * if there is no such process.
 */
int sandbox_has_executed(SandboxHost *h, pid_t pid);

/* What a container's first process, or one of Exec's, was to have. Strings and arrays are the caller's. */
typedef struct SandboxExpectation {
    pid_t pid;
    int pidfd;
    const SandboxSpec *spec;       /* fds in it are not looked at */
    const SandboxProgram *program; /* &spec->program, or that of Exec */
    uint32_t uid, gid;
    const gid_t *groups; /* for at_start */
    size_t n_groups;
    bool host_image; /* it runs on the image `host`: spec->rootfs_fd is closed by now */
    bool seccomp;    /* program->seccomp may not be at hand any more */
    bool first;      /* the container's first process */
    pid_t init_pid;  /* if it is not: that one, whose namespaces it is to share */
    bool at_start;   /* it has executed and run nothing: then it has exactly this, later at most */
} SandboxExpectation;

/*
 * Compares what the kernel says of a running process with what it was to have, one row for each control. Reads /proc only;
 * never trusts what the container could write. -ESRCH if the process has gone.
 */
int sandbox_attest(SandboxHost *h, const SandboxExpectation *x, CheckList *checks);
