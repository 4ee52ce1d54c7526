/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What the files of this folder share, and nobody else sees: the host's preparations, and the report that a child
 * sends home.
 */

#include "sandbox/sandbox.h"

#include <sys/syscall.h>

#define SANDBOX_NAMESPACES 8U

struct SandboxHost {
    int proc_fd;               /* the host's /proc, checked to be procfs, never what a container could have mounted */
    int usr_fd;                /* the host's /usr, for the image `host` */
    int image_fd;              /* the made-up root of the image `host` */
    int empty_fd;              /* an empty directory, second lower layer where there is but one */
    int init_fd;               /* the reaper of --init, in a sealed memfd */
    const char *start_profile; /* AppArmor; see apparmor_start_profile() */
    bool layers_must_hang;     /* see layers.c */
    bool has_memfd_noexec;     /* see sandbox_holds_memfds() */
    /* attest.c: the daemon's own, which a container's are told from */
    uint64_t namespaces[SANDBOX_NAMESPACES]; /* inodes */
    unsigned filters;                        /* seccomp filters that every child inherits */
    char apparmor_label[256];                /* "": no AppArmor here */
};

/*
 * The steps of DESIGN 3.4, in their order. A failure is reported with the step's name, which is the `stage` of
 * HardeningFailed: users and programs see these names.
 */
#define SANDBOX_STAGES(X)                                                                                              \
    X(CLONE, "clone")                                                                                                  \
    X(ID_MAPS, "idMaps")                                                                                               \
    X(CGROUP, "cgroup")                                                                                                \
    X(JOIN, "join")                                                                                                    \
    X(EXEC_POLICY, "execPolicy")                                                                                       \
    X(MOUNTS, "mounts")                                                                                                \
    X(MASKS, "masks")                                                                                                  \
    X(PIVOT, "pivot")                                                                                                  \
    X(HOSTNAME, "hostname")                                                                                            \
    X(LOOPBACK, "loopback")                                                                                            \
    X(TERMINAL, "terminal")                                                                                            \
    X(SESSION, "session")                                                                                              \
    X(KEYRING, "keyring")                                                                                              \
    X(RLIMITS, "rlimits")                                                                                              \
    X(FDS, "fds")                                                                                                      \
    X(SELINUX, "selinux")                                                                                              \
    X(APPARMOR, "apparmor")                                                                                            \
    X(BOUNDING, "boundingSet")                                                                                         \
    X(IDS, "ids")                                                                                                      \
    X(CAPABILITIES, "capabilities")                                                                                    \
    X(WORKING_DIRECTORY, "workingDirectory")                                                                           \
    X(NO_NEW_PRIVS, "noNewPrivs")                                                                                      \
    X(SECCOMP, "seccomp")                                                                                              \
    X(EXECVE, "execve")                                                                                                \
    X(ATTESTATION, "attestation")

typedef enum SandboxStage {
#define X(name, text) STAGE_##name,
    SANDBOX_STAGES(X)
#undef X
        _STAGE_MAX
} SandboxStage;

const char *sandbox_stage_to_string(SandboxStage s);

/* The child's messages on its SOCK_SEQPACKET socket. */
typedef enum ReportKind { REPORT_TERMINAL, REPORT_CALLS, REPORT_FAILURE } ReportKind;

typedef struct Report {
    ReportKind kind;
    SandboxStage stage;
    int code;        /* errno */
    char detail[96]; /* which thing: a path, a mask; may be empty */
} Report;

/* Ids of the program as the image's files resolve them. */
typedef struct SandboxIds {
    uint32_t uid, gid;
    gid_t groups[64];
    size_t n_groups;
} SandboxIds;

/*
 * "UID[:GID]" or "name[:group]" against /etc/passwd and /etc/group below ROOT_FD. These files are the image's and so
 * hostile: regular files of 1 MiB at most, parsed line by line, looked up inside ROOT_FD. ERROR_INVALID_SPEC "user".
 */
int ids_resolve(int root_fd, const char *user, SandboxIds *ret, Error *reterr);

/* Writes the maps of a process that was cloned with CLONE_NEWUSER: its 0..65535 to ID_BASE.. on the host. */
int ids_write_maps(int pid_dir_fd, uint32_t id_base, Error *reterr);

/*
 * A user namespace whose only use is to say how ids on disk appear through an idmapped mount: the files of OWNER_UID
 * and OWNER_GID are those of the container's root, all others are nobody's.
 */
int ids_owner_namespace(SandboxHost *h, uint32_t id_base, uid_t owner_uid, gid_t owner_gid, Error *reterr);

/* mounts.c: what the parent makes with the host's rights, and the child then puts in place. */
#define MOUNTS_FDS_MAX 48U

typedef enum MountsSlot { MOUNTS_ROOT, MOUNTS_USR, MOUNTS_DEV, MOUNTS_SHM, MOUNTS_SYS, _MOUNTS_FIXED } MountsSlot;

typedef struct MountsSet {
    int fds[MOUNTS_FDS_MAX]; /* the fixed slots, then one per SandboxSpec.mounts; -EBADF where there is none */
    size_t n;
} MountsSet;

void mounts_set_done(MountsSet *m);
/* How many slots SPEC needs: both sides agree on it before the child exists. */
size_t mounts_slots(const SandboxSpec *spec);
bool mounts_slot_used(const SandboxSpec *spec, size_t slot);

int mounts_error(Error *reterr, int code, const char *what, const char *how);
/*
 * A detached clone of what FD refers to, without the mounts below it, restricted by ATTRIBUTES, whose ids are shown as
 * the user namespace IDMAP_FD says.
 */
int mounts_clone_idmapped(int fd, int idmap_fd, uint64_t attributes, const char *what, Error *reterr);
/* One configured, detached file system; OPTIONS are pairs of key and value (NULL: a flag), NULL at the end. An fd or -errno. */
int mounts_make_file_system(const char *type, const char *const *options, unsigned attributes);

/*
 * image_only on a root file system of the caller's: what of it can be written, if the image has such a directory. Ends with
 * NULL.
 */
extern const char *const mounts_data_directories[];
bool mounts_has_data_directories(const SandboxSpec *spec, bool host_image);

/* What is covered by a file or directory that is empty, below /proc and below /sys. End with NULL. */
extern const char *const mounts_proc_masks[], *const mounts_sys_masks[];
/* What files are covered with: its place in the file system at /dev. */
#define MOUNTS_COVER "mqueue/cover"

/* layers.c: the image below its overlay. */
typedef struct Layers {
    int lower; /* the image */
    int usr;   /* the host's /usr, for the image `host` */
    int layer; /* the container's writable layer */
    int empty;
} Layers;
#define LAYERS_INIT ((Layers){ -EBADF, -EBADF, -EBADF, -EBADF })
void layers_done(Layers *l);
/* Asks the kernel once what layers_mount() has to do. */
int layers_probe(SandboxHost *h, Error *reterr);
int layers_clone(SandboxHost *h, const SandboxSpec *spec, int idmap_fd, int userns_fd, Layers *ret, Error *reterr);
/* Fills the slots ROOT and USR. The calling thread may be in a mount namespace of its own afterwards. */
int layers_mount(SandboxHost *h, const SandboxSpec *spec, const Layers *l, MountsSet *set, Error *reterr);

/* Makes every mount that needs rights on the host. USERNS_FD: the container's own, whose maps are written. */
int mounts_prepare(SandboxHost *h, const SandboxSpec *spec, int userns_fd, MountsSet *ret, Error *reterr);

/*
 * After clone: puts the mounts in place and makes them the root. Fills REPORT's detail on failure; returns 0 or
 * -errno and, in *STAGE, how far it came. *RET_DEV: the /dev directory. FDS as mounts_prepare() made them.
 */
int mounts_enter(const SandboxSpec *spec, const int *fds, SandboxStage *stage, Report *report);

/* Opens a file of the container's /dev and checks by device number that it is what it should be. After clone. */
int mounts_open_device(const char *path, int flags, unsigned major, unsigned minor);

/* What the child is called until execve gives it a name of its own; the parent tells by it how far it came. */
#define CHILD_NAME "(kennel)"

/* child.c: everything after clone; none of it returns. */
typedef struct ChildPlan {
    const SandboxSpec *spec; /* NULL: joins a running container */
    const SandboxProgram *program;
    const SandboxIds *ids;
    char *const *candidates; /* paths to try with execve, in turn */
    char *const *arguments;
    int init_fd;    /* >= 0: execute the reaper from here instead */
    int join_pidfd; /* >= 0: the first process of the container to join */
    size_t n_fds;   /* mounts that come over the socket */
    int socket;
    int proc_fd; /* >= 0: the host's /proc, where there is a label to take or a rule to set */
    bool has_memfd_noexec;
    const char *start_profile; /* NULL: none */
} ChildPlan;

_Noreturn void child_run(const ChildPlan *plan);

/* attest.c: reads what is the same for every container, once. */
int attest_prepare(SandboxHost *h, Error *reterr);

/*
 * trace.c, see there. PID is a child of ours that nobody has reaped, so the number is its own; all three are called by
 * one thread. trace_await_exec(): 1: stopped at the first instruction of its program, 0: it has ended and is not reaped,
 * -ETIMEDOUT.
 */
int trace_seize(pid_t pid);
int trace_await_exec(pid_t pid, int pidfd, unsigned timeout_msec);
int trace_let_go(pid_t pid);

/* host-image.c */
int host_image_prepare(int data_fd, int *ret_image_fd, Error *reterr);
