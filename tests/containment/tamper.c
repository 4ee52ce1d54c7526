/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * A library that is preloaded into kenneld and leaves out, or falsifies, one step of a start: what attestation is there to
 * notice. For tests alone; it is never installed.
 *
 * KENNEL_TAMPER names a file whose text is the step, "name" or "name argument argument", read before each start; an empty
 * file is a start as it should be. Each step is harmless because what was tampered with is never run; if it is run all
 * the same, it is a shell script that makes a file in a directory of the test's.
 *
 * Half of this runs after clone, like daemon/sandbox/child.c, and under the same rules: no allocation, no stdio, no locks.
 */

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef CLONE_NEWTIME
#define CLONE_NEWTIME 0x00000080
#endif

/* The capability that is left in. Nobody is harmed by raw sockets in a namespace that has only a loopback interface. */
#define LEFT CAP_NET_RAW

/* Found when one is first called: other libraries' constructors call some before ours would run. */
static struct {
    bool found;
    long (*syscall)(long number, ...);
    int (*prctl)(int option, ...);
    int (*unshare)(int flags);
    int (*mount_setattr)(int dir_fd, const char *path, unsigned flags, struct mount_attr *attr, size_t size);
    int (*fsopen)(const char *type, unsigned flags);
    int (*fsmount)(int fd, unsigned flags, unsigned attributes);
    int (*umount2)(const char *path, int flags);
    long (*ptrace)(int request, ...);
    int (*openat64)(int dir_fd, const char *path, int flags, ...);
    ssize_t (*write)(int fd, const void *bytes, size_t size);
} reals;

static char step[128]; /* words, each terminated */
static const char *words[3] = { "", "", "" };
static int limit_dir = -1;  /* where the limit's file is */
static int suspect_fd = -1; /* what is written to it is swallowed */
static int type_fd = -1;    /* the file system that is to lose a flag */
static unsigned read_only_mounts, capsets, close_ranges;

#define FIND(name) reals.name = (typeof(reals.name)) dlsym(RTLD_NEXT, #name)
#define real       (*find_all())

static typeof(reals) *find_all(void) {
    if (reals.found)
        return &reals;
    FIND(syscall);
    FIND(prctl);
    FIND(unshare);
    FIND(mount_setattr);
    FIND(fsopen);
    FIND(fsmount);
    FIND(umount2);
    FIND(ptrace);
    FIND(openat64);
    FIND(write);
    reals.found = true;
    return &reals;
}

static bool is(const char *name) {
    return strcmp(words[0], name) == 0;
}

/* Before anything of a start that could be left out. */
static void read_step(void) {
    const char *path = getenv("KENNEL_TAMPER");
    int fd = path ? real.openat64(AT_FDCWD, path, O_RDONLY | O_CLOEXEC) : -1;
    ssize_t n = fd < 0 ? 0 : read(fd, step, sizeof(step) - 1);
    if (fd >= 0)
        close(fd);
    step[n > 0 ? n : 0] = 0;
    char *at = step;
    for (unsigned i = 0; i < 3; i++) {
        char *word = strsep(&at, " \n");
        words[i] = word ? word : "";
    }
    read_only_mounts = capsets = close_ranges = 0;
    suspect_fd = type_fd = -1;
}

/* ---- namespaces, cgroup ---- */

static void change_clone(struct clone_args *args) {
    static const struct {
        const char *name;
        uint64_t flag;
    } flags[] = {
        { "user", CLONE_NEWUSER }, { "pid", CLONE_NEWPID },   { "mnt", CLONE_NEWNS },  { "ipc", CLONE_NEWIPC },
        { "uts", CLONE_NEWUTS },   { "time", CLONE_NEWTIME }, { "net", CLONE_NEWNET },
    };
    if (is("namespace"))
        for (unsigned i = 0; i < sizeof(flags) / sizeof(flags[0]); i++)
            if (strcmp(words[1], flags[i].name) == 0)
                args->flags &= ~flags[i].flag;
    if (is("cgroup"))
        args->flags &= ~(uint64_t) CLONE_INTO_CGROUP;
}

int unshare(int flags) {
    return flags == CLONE_NEWCGROUP && is("namespace") && strcmp(words[1], "cgroup") == 0 ? 0 : real.unshare(flags);
}

/* ---- capabilities ---- */

static void leave(struct __user_cap_data_struct *data, bool permitted, bool inheritable) {
    uint32_t bit = 1U << (LEFT % 32);
    if (permitted) {
        data[0].permitted |= bit;
        data[0].effective |= bit;
    }
    if (inheritable)
        data[0].inheritable |= bit;
}

/* The first one comes before the securebits, with all that is needed to change the sets; the second is the last word. */
static long change_capset(void *header, struct __user_cap_data_struct *data) {
    bool first = capsets++ == 0;
    if (is("permitted") || is("inheritable") || is("ambient"))
        leave(data, !is("inheritable"), !is("permitted"));
    long r = real.syscall(SYS_capset, header, data);
    if (first && is("inheritable")) /* which it can become only while it is in the bounding set */
        (void) real.prctl(PR_CAPBSET_DROP, LEFT, 0, 0, 0);
    return r;
}

int prctl(int option, ...) {
    va_list ap;
    va_start(ap, option);
    unsigned long a = va_arg(ap, unsigned long), b = va_arg(ap, unsigned long);
    unsigned long c = va_arg(ap, unsigned long), d = va_arg(ap, unsigned long);
    va_end(ap);
    bool keeps = is("bounding") || is("permitted") || is("inheritable") || is("ambient");
    if (option == PR_CAPBSET_DROP && a == LEFT && keeps)
        return 0;
    if (option == PR_SET_SECUREBITS && is("permitted")) /* without NOROOT, root keeps what the bounding set allows */
        return 0;
    if (option == PR_SET_NO_NEW_PRIVS && is("no_new_privs"))
        return 0;
    int r = real.prctl(option, a, b, c, d);
    if (option == PR_CAP_AMBIENT && a == PR_CAP_AMBIENT_CLEAR_ALL && is("ambient"))
        (void) real.prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, LEFT, 0, 0);
    return r;
}

/* ---- system calls by number ---- */

static long add_filter(void) {
    struct sock_filter allow = { .code = BPF_RET | BPF_K, .k = SECCOMP_RET_ALLOW };
    struct sock_fprog program = { 1, &allow };
    return real.syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program);
}

static long change_groups(long n, const gid_t *groups) {
    gid_t more[65];
    if (!groups || n > 64)
        return real.syscall(SYS_setgroups, n, groups);
    memcpy(more, groups, (size_t) n * sizeof(gid_t));
    more[n] = 7;
    return real.syscall(SYS_setgroups, n + 1, more);
}

/* True: swallowed. */
static bool is_left_out(long number, const long *a) {
    switch (number) {
    case SYS_setresuid:
        return is("uid") && a[0] != 0;
    case SYS_setresgid:
        return is("gid") && a[0] != 0;
    case SYS_prlimit64:
        return is("rlimit") && a[0] == 0 && a[2];
    case SYS_seccomp:
        return is("seccomp");
    default:
        return false;
    }
}

long syscall(long number, ...) {
    va_list ap;
    long a[6];
    va_start(ap, number);
    for (unsigned i = 0; i < 6; i++)
        a[i] = va_arg(ap, long);
    va_end(ap);
    /* no stack protector or errno in the way of clone3: the child goes on from here */
    if (number == SYS_clone3) {
        struct clone_args *args = (struct clone_args *) a[0];
        if (args->flags & CLONE_INTO_CGROUP) {
            read_step();
            change_clone(args);
        }
    }
    if (is_left_out(number, a))
        return 0;
    if (number == SYS_close_range && is("close_range")) {
        if (close_ranges++ == 0)
            (void) !dup(STDERR_FILENO); /* the daemon's own are CLOEXEC */
        return 0;
    }
    if (number == SYS_capset)
        return change_capset((void *) a[0], (struct __user_cap_data_struct *) a[1]);
    if (number == SYS_setgroups && is("groups"))
        return change_groups(a[0], (const gid_t *) a[1]);
    if (number == SYS_seccomp && is("second_filter"))
        (void) add_filter();
    if (number == SYS_openat2 && is("mask") && strcmp((const char *) a[1], words[1]) == 0) {
        errno = ENOENT;
        return -1;
    }
    return real.syscall(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}

/* ---- mounts ---- */

static uint64_t flag_of(const char *name) {
    return strcmp(name, "ro") == 0       ? MOUNT_ATTR_RDONLY
           : strcmp(name, "nosuid") == 0 ? MOUNT_ATTR_NOSUID
           : strcmp(name, "nodev") == 0  ? MOUNT_ATTR_NODEV
                                         : MOUNT_ATTR_NOEXEC;
}

int mount_setattr(int dir_fd, const char *path, unsigned flags, struct mount_attr *attr, size_t size) {
    struct mount_attr changed = *attr;
    /* nothing but read-only: first /proc/sys, then the root of --read-only */
    if (attr->attr_set == MOUNT_ATTR_RDONLY) {
        unsigned nth = read_only_mounts++;
        if ((nth == 0 && is("proc_sys")) || (nth == 1 && is("root")))
            return 0;
    }
    if (is("cover") && attr->attr_set == (MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC))
        return 0;
    /* a volume that may be written to: images have read-only as well */
    if (is("volume") && attr->attr_set & MOUNT_ATTR_IDMAP && !(attr->attr_set & MOUNT_ATTR_RDONLY))
        changed.attr_set &= ~flag_of(words[1]);
    return real.mount_setattr(dir_fd, path, flags, &changed, size);
}

int fsopen(const char *type, unsigned flags) {
    int fd = real.fsopen(type, flags);
    if (is("flag") && strcmp(type, words[1]) == 0)
        type_fd = fd;
    return fd;
}

int fsmount(int fd, unsigned flags, unsigned attributes) {
    if (is("flag") && fd == type_fd) {
        attributes &= ~(unsigned) flag_of(words[2]);
        type_fd = -1;
    }
    return real.fsmount(fd, flags, attributes);
}

/* Then all of the host stays mounted, below the container's root. */
int umount2(const char *path, int flags) {
    return is("old_root") ? 0 : real.umount2(path, flags);
}

/* ---- files ---- */

static bool ends_with(const char *path, const char *name) {
    size_t a = strlen(path), b = strlen(name);
    return b > 0 && a >= b && strcmp(path + a - b, name) == 0;
}

int openat64(int dir_fd, const char *path, int flags, ...) {
    va_list ap;
    va_start(ap, flags);
    int mode = flags & (O_CREAT | __O_TMPFILE) ? va_arg(ap, int) : 0;
    va_end(ap);
    int fd = real.openat64(dir_fd, path, flags, mode);
    bool writes = (flags & O_ACCMODE) != O_RDONLY;
    /* the limits are written before the clone, so the step is not known yet */
    if (writes && ends_with(path, getenv("KENNEL_TAMPER_LIMIT") ? getenv("KENNEL_TAMPER_LIMIT") : "")) {
        if (limit_dir >= 0)
            close(limit_dir);
        limit_dir = fcntl(dir_fd, F_DUPFD_CLOEXEC, 3);
    }
    if (writes && ((is("v1_group") && strcmp(path, "cgroup.procs") == 0) || (is("label") && strstr(path, "attr/"))))
        suspect_fd = fd;
    return fd;
}

ssize_t write(int fd, const void *bytes, size_t size) {
    static const char map[] = "0 ";
    const char *text = bytes;
    if (fd >= 0 && fd == suspect_fd) {
        suspect_fd = -1;
        return (ssize_t) size;
    }
    if (is("oom_score") && size == 3 && memcmp(text, "300", 3) == 0)
        return 3;
    bool is_map = size > 8 && size < 64 && memcmp(text, map, 2) == 0 && memcmp(text + size - 7, " 65536\n", 7) == 0;
    if ((is("gid_map") || is("uid_map")) && is_map && read_only_mounts++ == (is("gid_map") ? 0 : 1)) {
        char wider[64];
        memcpy(wider, text, size);
        wider[size - 2] = '7'; /* one id more, which is another container's */
        return real.write(fd, wider, size);
    }
    return real.write(fd, bytes, size);
}

/* ---- in the parent, at the last moment ---- */

/* After the limits were written and read back. */
static void change_limit(void) {
    int fd = real.openat64(limit_dir, getenv("KENNEL_TAMPER_LIMIT"), O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return;
    (void) real.write(fd, words[1], strlen(words[1]));
    close(fd);
}

/* Until the test has opened the FIFO for writing and closed it again. */
static void wait_at_gate(void) {
    char byte;
    int fd = real.openat64(AT_FDCWD, words[1], O_RDONLY | O_CLOEXEC);
    while (fd >= 0 && read(fd, &byte, 1) > 0)
        ;
    close(fd);
}

long ptrace(enum __ptrace_request request, ...) {
    va_list ap;
    va_start(ap, request);
    pid_t pid = va_arg(ap, pid_t);
    void *address = va_arg(ap, void *), *data = va_arg(ap, void *);
    va_end(ap);
    if (request == PTRACE_SEIZE && is("limit"))
        change_limit();
    if (request == PTRACE_DETACH && is("gate"))
        wait_at_gate();
    return real.ptrace((int) request, pid, address, data);
}
