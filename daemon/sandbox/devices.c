/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The device program, written out in the kernel's instructions: a dozen do not justify a compiler or a library.
 *
 * Invariants: the program has no map, no helper and no loop, so its tag (a hash of the instructions that the kernel
 * computes) says completely what it does. It refuses by default: whatever does not match a listed node is EPERM.
 *
 * Trust boundary: none; nothing here comes from a request. The cgroup is the daemon's own directory.
 */

#include "sandbox/devices.h"

#include <linux/bpf.h>
#include <pthread.h>
#include <string.h>
#include <sys/syscall.h>

#define PROGRAM_NAME "kennel_devices"
#define PROGRAMS_MAX 64U

const DevicesNode devices_nodes[] = {
    { "null", 1, 3 },    { "zero", 1, 5 }, { "full", 1, 7 }, { "random", 1, 8 },
    { "urandom", 1, 9 }, { "tty", 5, 0 },  { NULL, 0, 0 },
};

/* Unix98 pseudo terminals; their majors, and the multiplexer, which devpts makes and nobody has to. */
#define PTS_MAJOR_FIRST 136
#define PTS_MAJOR_LAST  143
#define PTMX_MAJOR      5
#define PTMX_MINOR      2

#define LOAD(dst, field)                                                                                               \
    ((struct bpf_insn){ .code = BPF_LDX | BPF_MEM | BPF_W,                                                             \
                        .dst_reg = (dst),                                                                              \
                        .src_reg = BPF_REG_1,                                                                          \
                        .off = offsetof(struct bpf_cgroup_dev_ctx, field) })
#define COPY(dst, src) ((struct bpf_insn){ .code = BPF_ALU64 | BPF_MOV | BPF_X, .dst_reg = (dst), .src_reg = (src) })
#define ALU(op, dst, value)                                                                                            \
    ((struct bpf_insn){ .code = BPF_ALU64 | (op) | BPF_K, .dst_reg = (dst), .imm = (int32_t) (value) })
#define JUMP(op, dst, value, offset)                                                                                   \
    ((struct bpf_insn){                                                                                                \
        .code = BPF_JMP | (op) | BPF_K, .dst_reg = (dst), .off = (int16_t) (offset), .imm = (int32_t) (value) })
#define EXIT() ((struct bpf_insn){ .code = BPF_JMP | BPF_EXIT })

enum { TYPE = BPF_REG_2, ACCESS = BPF_REG_3, MAJOR = BPF_REG_4, MINOR = BPF_REG_5 };

typedef struct Program {
    struct bpf_insn code[64];
    unsigned n;
} Program;

static void add(Program *p, struct bpf_insn i) {
    p->code[p->n++] = i;
}

/* "major:minor, or go on": two comparisons, then return 1. */
static void allow_node(Program *p, unsigned major, unsigned minor) {
    add(p, JUMP(BPF_JNE, MAJOR, major, 3));
    add(p, JUMP(BPF_JNE, MINOR, minor, 2));
    add(p, ALU(BPF_MOV, BPF_REG_0, 1));
    add(p, EXIT());
}

static void build(Program *p) {
    const unsigned open_only = BPF_DEVCG_ACC_READ | BPF_DEVCG_ACC_WRITE;

    *p = (Program){ 0 };
    add(p, LOAD(TYPE, access_type));
    add(p, COPY(ACCESS, TYPE));
    add(p, ALU(BPF_AND, TYPE, 0xFFFF));
    add(p, ALU(BPF_RSH, ACCESS, 16));
    add(p, LOAD(MAJOR, major));
    add(p, LOAD(MINOR, minor));

    /* Character devices only, and no kind of access that did not exist when this was written. */
    add(p, JUMP(BPF_JNE, TYPE, BPF_DEVCG_DEV_CHAR, 1));
    add(p, JUMP(BPF_JLE, ACCESS, BPF_DEVCG_ACC_MKNOD | open_only, 2));
    add(p, ALU(BPF_MOV, BPF_REG_0, 0));
    add(p, EXIT());

    for (const DevicesNode *d = devices_nodes; d->name; d++)
        allow_node(p, d->major, d->minor);

    /* What devpts makes may be opened; a node for it made anywhere else has no use but mischief. */
    unsigned gate = p->n;
    add(p, JUMP(BPF_JSET, ACCESS, BPF_DEVCG_ACC_MKNOD, 0)); /* its way out is known below */
    allow_node(p, PTMX_MAJOR, PTMX_MINOR);
    add(p, JUMP(BPF_JLT, MAJOR, PTS_MAJOR_FIRST, 3));
    add(p, JUMP(BPF_JGT, MAJOR, PTS_MAJOR_LAST, 2));
    add(p, ALU(BPF_MOV, BPF_REG_0, 1));
    add(p, EXIT());
    p->code[gate].off = (int16_t) (p->n - gate - 1);

    add(p, ALU(BPF_MOV, BPF_REG_0, 0));
    add(p, EXIT());
}

static int bpf(int command, union bpf_attr *attr) {
    int r = (int) syscall(SYS_bpf, command, attr, sizeof(*attr));
    return r < 0 ? -errno : r;
}

static int load(void) {
    static const char licence[] = "LGPL-2.1-or-later";
    Program p;
    build(&p);

    union bpf_attr attr = {
        .prog_type = BPF_PROG_TYPE_CGROUP_DEVICE,
        .expected_attach_type = BPF_CGROUP_DEVICE,
        .insns = (uintptr_t) p.code,
        .insn_cnt = p.n,
        .license = (uintptr_t) licence,
        .prog_name = PROGRAM_NAME,
    };
    return bpf(BPF_PROG_LOAD, &attr);
}

static int get_info(int fd, struct bpf_prog_info *ret) {
    *ret = (struct bpf_prog_info){ 0 };
    union bpf_attr attr = { .info = { .bpf_fd = (uint32_t) fd, .info_len = sizeof(*ret), .info = (uintptr_t) ret } };
    return bpf(BPF_OBJ_GET_INFO_BY_FD, &attr);
}

/* -ENOENT: it was detached and freed meanwhile. */
static int open_by_id(uint32_t id, struct bpf_prog_info *ret_info) {
    union bpf_attr attr = { .prog_id = id };
    _cleanup_fd_ int fd = bpf(BPF_PROG_GET_FD_BY_ID, &attr);
    if (fd < 0)
        return fd;
    int r = get_info(fd, ret_info);
    return r < 0 ? r : TAKE_FD(fd);
}

/* Ids of the programs attached to the cgroup itself, or with BPF_F_QUERY_EFFECTIVE of all that hold for it. */
static int query(int cgroup_fd, uint32_t flags, uint32_t ids[static PROGRAMS_MAX]) {
    union bpf_attr attr = {
        .query = { .target_fd = (uint32_t) cgroup_fd,
                   .attach_type = BPF_CGROUP_DEVICE,
                   .query_flags = flags,
                   .prog_ids = (uintptr_t) ids,
                   .prog_cnt = PROGRAMS_MAX },
    };
    int r = bpf(BPF_PROG_QUERY, &attr);
    return r < 0 ? r : (int) attr.query.prog_cnt;
}

/* 1 if a program with TAG is among them, 0 if not. */
static int find(int cgroup_fd, uint32_t flags, const uint8_t tag[static BPF_TAG_SIZE]) {
    uint32_t ids[PROGRAMS_MAX];
    int n = query(cgroup_fd, flags, ids);
    for (int i = 0; i < n; i++) {
        struct bpf_prog_info info;
        _cleanup_fd_ int fd = open_by_id(ids[i], &info);
        if (fd == -ENOENT)
            continue;
        if (fd < 0)
            return fd;
        if (memcmp(info.tag, tag, BPF_TAG_SIZE) == 0)
            return 1;
    }
    return n < 0 ? n : 0;
}

/*
 * All attached programs have to agree, so one of an older version of ours would go on refusing what this version
 * allows. It goes once the new one is attached: there is no moment without a program.
 */
static int detach_older(int cgroup_fd, const uint8_t tag[static BPF_TAG_SIZE]) {
    uint32_t ids[PROGRAMS_MAX];
    int n = query(cgroup_fd, 0, ids);
    for (int i = 0; i < n; i++) {
        struct bpf_prog_info info;
        _cleanup_fd_ int fd = open_by_id(ids[i], &info);
        if (fd == -ENOENT)
            continue;
        if (fd < 0)
            return fd;
        if (strncmp(info.name, PROGRAM_NAME, sizeof(info.name)) != 0 || memcmp(info.tag, tag, BPF_TAG_SIZE) == 0)
            continue;
        union bpf_attr attr = {
            .target_fd = (uint32_t) cgroup_fd,
            .attach_bpf_fd = (uint32_t) fd,
            .attach_type = BPF_CGROUP_DEVICE,
        };
        int r = bpf(BPF_PROG_DETACH, &attr);
        if (r < 0 && r != -ENOENT)
            return r;
    }
    return n < 0 ? n : 0;
}

static int attach(int cgroup_fd, int program_fd) {
    union bpf_attr attr = {
        .target_fd = (uint32_t) cgroup_fd,
        .attach_bpf_fd = (uint32_t) program_fd,
        .attach_type = BPF_CGROUP_DEVICE,
        .attach_flags = BPF_F_ALLOW_MULTI,
    };
    return bpf(BPF_PROG_ATTACH, &attr);
}

int devices_attach(int cgroup_fd, Error *reterr) {
    struct bpf_prog_info info;

    _cleanup_fd_ int fd = load();
    int r = fd < 0 ? fd : get_info(fd, &info);
    if (r < 0)
        return error_failed(reterr, -r, "devices", "the kernel does not take the device program: %s", strerror(-r));

    /* Reloading makes another program of the same content: the tag is what a restarted daemon knows its own by. */
    r = find(cgroup_fd, 0, info.tag);
    if (r == 0)
        r = attach(cgroup_fd, fd);
    if (r >= 0)
        r = detach_older(cgroup_fd, info.tag);
    if (r < 0)
        return error_failed(reterr, -r, "devices", "the device program cannot be attached to the cgroup: %s",
                            strerror(-r));
    return 0;
}

/* The tag never changes while the daemon runs; attest asks at each start. */
static int own_tag(uint8_t ret[static BPF_TAG_SIZE]) {
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    static uint8_t tag[BPF_TAG_SIZE];
    static bool known;
    int r = 0;

    pthread_mutex_lock(&lock);
    if (!known) {
        struct bpf_prog_info info;
        _cleanup_fd_ int fd = load();
        r = fd < 0 ? fd : get_info(fd, &info);
        if (r >= 0) {
            memcpy(tag, info.tag, BPF_TAG_SIZE);
            known = true;
        }
    }
    memcpy(ret, tag, BPF_TAG_SIZE);
    pthread_mutex_unlock(&lock);
    return r < 0 ? r : 0;
}

int devices_in_force(int cgroup_fd) {
    uint8_t tag[BPF_TAG_SIZE];
    int r = own_tag(tag);
    return r < 0 ? r : find(cgroup_fd, BPF_F_QUERY_EFFECTIVE, tag);
}
