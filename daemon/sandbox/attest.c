/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * What the kernel says of a process, beside what it was to have.
 *
 * Everything is read from the host's /proc by the fd that was checked at start, of a process that a pidfd keeps from
 * being another one; nothing is asked of the container itself. One row for each control, so that a reader sees which
 * one is not in force.
 *
 * At its first instruction a process has exactly what was asked for. Later it may have done to itself what no control
 * keeps it from: changed to another of the container's users, given up capabilities, lowered limits, added filters. So
 * then the comparison is "at most", and the row says so.
 */

#include "sandbox/attest.h"

#include "sandbox/apparmor.h"
#include "sandbox/capabilities.h"
#include "sandbox/selinux.h"
#include "util/process.h"

#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/resource.h>

#define OOM_SCORE_ADJ 300

/* In the order of SandboxHost.namespaces. */
static const struct {
    const char *file, *control;
} namespaces[SANDBOX_NAMESPACES] = {
    { "ns/user", "userNamespace" }, { "ns/pid", "pidNamespace" },     { "ns/mnt", "mountNamespace" },
    { "ns/ipc", "ipcNamespace" },   { "ns/uts", "utsNamespace" },     { "ns/cgroup", "cgroupNamespace" },
    { "ns/time", "timeNamespace" }, { "ns/net", "networkNamespace" },
};

/* These files are one record each, which the kernel gives with one read or not at all. */
static int read_text(int dir_fd, const char *name, char *ret, size_t size) {
    _cleanup_fd_ int fd = openat(dir_fd, name, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, ret, size - 1);
    if (n < 0)
        return -errno;
    ret[n] = 0;
    return 0;
}

/* The rest of the line `KEY:` of /proc/PID/status; "?" if there is none, which equals nothing that is expected. */
static void status_field(const char *status, const char *key, char *ret, size_t size) {
    size_t length = strlen(key);
    for (const char *line = status; line && *line; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL)
        if (strncmp(line, key, length) == 0 && line[length] == ':') {
            const char *value = line + length + 1;
            value += strspn(value, " \t");
            (void) snprintf(ret, size, "%.*s", (int) strcspn(value, "\n"), value);
            for (char *tab = ret; (tab = strchr(tab, '\t')) != NULL;)
                *tab = ' ';
            return;
        }
    (void) snprintf(ret, size, "?");
}

/* ---- prepared once ---- */

/* "user:[4026531837]". Read as a link, which makes the kernel set up nothing, unlike a look at what it leads to. */
static int namespace_inode(int dir_fd, const char *name, uint64_t *ret) {
    char text[64];
    ssize_t n = readlinkat(dir_fd, name, text, sizeof(text) - 1);
    if (n < 0)
        return -errno;
    text[n] = 0;
    const char *number = strchr(text, '[');
    *ret = number ? strtoull(number + 1, NULL, 10) : 0;
    return *ret != 0 ? 0 : -EBADMSG;
}

/* What a container is told from: the daemon's own namespaces, and what it hands on to every child. */
int attest_prepare(SandboxHost *h, Error *reterr) {
    char status[8192], text[32];
    _cleanup_fd_ int self = openat(h->proc_fd, "self", O_PATH | O_DIRECTORY | O_CLOEXEC);
    int r = self < 0 ? -errno : read_text(self, "status", status, sizeof(status));
    for (size_t i = 0; r >= 0 && i < SANDBOX_NAMESPACES; i++)
        r = namespace_inode(self, namespaces[i].file, &h->namespaces[i]);
    if (r < 0)
        return error_failed(reterr, -r, "start", "the daemon's own state cannot be read: %s", strerror(-r));
    status_field(status, "Seccomp_filters", text, sizeof(text));
    h->filters = (unsigned) strtoul(text, NULL, 10);
    if (apparmor_read(self, h->apparmor_label, sizeof(h->apparmor_label)) < 0)
        h->apparmor_label[0] = 0;
    return 0;
}

/* ---- ids ---- */

/* Numbers parted by blanks; false if there is anything else, or none. ALL: each is one of the container's host ids. */
static bool are_inside(const Attest *a, const char *text) {
    uint32_t base = a->x->spec->id_base;
    while (*text) {
        char *end;
        unsigned long id = strtoul(text, &end, 10);
        if (end == text || id < base || id - base >= SANDBOX_ID_COUNT)
            return false;
        text = end + strspn(end, " ");
    }
    return true;
}

/* Real, effective, saved, file system's. */
static void check_ids(Attest *a, const char *control, const char *key, uint32_t inside) {
    char expected[96], found[64];
    uint32_t base = a->x->spec->id_base, id = base + inside;
    status_field(a->status, key, found, sizeof(found));
    if (a->x->at_start) {
        (void) snprintf(expected, sizeof(expected), "%u %u %u %u", id, id, id, id);
        check_add(a->checks, control, expected, found);
        return;
    }
    (void) snprintf(expected, sizeof(expected), "within %u-%u", base, base + SANDBOX_ID_COUNT - 1);
    check_add_verdict(a->checks, control, *found && are_inside(a, found), expected, found);
}

static int compare_ids(const void *a, const void *b) {
    gid_t x = *(const gid_t *) a, y = *(const gid_t *) b;
    return (x > y) - (x < y);
}

/* As the kernel lists them: sorted. */
static void format_groups(const Attest *a, char *ret, size_t size) {
    gid_t groups[64];
    size_t n = a->x->n_groups < ELEMENTSOF(groups) ? a->x->n_groups : ELEMENTSOF(groups), length = 0;
    if (n > 0)
        memcpy(groups, a->x->groups, n * sizeof(gid_t));
    qsort(groups, n, sizeof(gid_t), compare_ids);
    ret[0] = 0;
    for (size_t i = 0; i < n && length < size; i++)
        length +=
            (size_t) snprintf(ret + length, size - length, "%s%u", i > 0 ? " " : "", a->x->spec->id_base + groups[i]);
}

static void check_groups(Attest *a) {
    char expected[1024], found[1024];
    status_field(a->status, "Groups", found, sizeof(found));
    size_t length = strlen(found);
    while (length > 0 && found[length - 1] == ' ')
        found[--length] = 0;
    if (a->x->at_start) {
        format_groups(a, expected, sizeof(expected));
        check_add(a->checks, "groups", *expected ? expected : "none", *found ? found : "none");
        return;
    }
    uint32_t base = a->x->spec->id_base;
    (void) snprintf(expected, sizeof(expected), "within %u-%u", base, base + SANDBOX_ID_COUNT - 1);
    check_add_verdict(a->checks, "groups", are_inside(a, found), expected, *found ? found : "none");
}

static void check_map(Attest *a, const char *control, const char *file) {
    char expected[96], found[96] = "?", text[256];
    unsigned inside, outside, count;
    int end = 0;
    (void) snprintf(expected, sizeof(expected), "0 %u %u", a->x->spec->id_base, SANDBOX_ID_COUNT);
    if (read_text(a->dir_fd, file, text, sizeof(text)) >= 0 &&
        sscanf(text, " %u %u %u%n", &inside, &outside, &count, &end) == 3 && text[end] == '\n' && text[end + 1] == 0)
        (void) snprintf(found, sizeof(found), "%u %u %u", inside, outside, count);
    else
        text[strcspn(text, "\n")] = 0;
    check_add(a->checks, control, expected, found);
}

/* ---- capabilities, system calls ---- */

static void check_capabilities(Attest *a) {
    uint64_t all = a->x->program->capabilities;
    CapabilitySets sets;
    capabilities_expected(all, a->x->uid, &sets);
    const struct {
        const char *control, *key;
        uint64_t expected;
    } rows[] = {
        { "capInheritable", "CapInh", sets.inheritable }, { "capPermitted", "CapPrm", sets.permitted },
        { "capEffective", "CapEff", sets.effective },     { "capBounding", "CapBnd", sets.bounding },
        { "capAmbient", "CapAmb", sets.ambient },
    };
    for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
        char expected[48], found[64], *end;
        uint64_t allowed = a->x->at_start ? rows[i].expected : all;
        status_field(a->status, rows[i].key, found, sizeof(found));
        uint64_t has = strtoull(found, &end, 16);
        bool exact = a->x->at_start || allowed == 0, is_number = end != found && !*end;
        (void) snprintf(expected, sizeof(expected), "%s%016" PRIx64, exact ? "" : "at most ", allowed);
        check_add_verdict(a->checks, rows[i].control, is_number && (exact ? has == allowed : !(has & ~allowed)),
                          expected, found);
    }
}

/* Filters stack: those that the daemon itself was given are below the container's, and above it may be the payload's. */
static void check_seccomp(Attest *a) {
    char expected[48], found[32], *end;
    unsigned filters = a->host->filters + (a->x->seccomp ? 1 : 0);
    bool at_least = !a->x->at_start;
    status_field(a->status, "NoNewPrivs", found, sizeof(found));
    check_add(a->checks, "noNewPrivs", "1", found);

    status_field(a->status, "Seccomp", found, sizeof(found));
    if (filters > 0 || a->x->at_start)
        check_add(a->checks, "seccompMode", filters > 0 ? "2" : "0", found);
    status_field(a->status, "Seccomp_filters", found, sizeof(found));
    unsigned long has = strtoul(found, &end, 10);
    (void) snprintf(expected, sizeof(expected), "%s%u", at_least ? "at least " : "", filters);
    check_add_verdict(a->checks, "seccompFilters",
                      end != found && !*end && (has == filters || (at_least && has > filters)), expected, found);
}

/* ---- labels ---- */

static void check_label(Attest *a, const char *control, const char *expected,
                        int (*reading)(int pid_dir_fd, char *ret, size_t size)) {
    char found[256];
    int r = reading(a->dir_fd, found, sizeof(found));
    check_add(a->checks, control, expected, r < 0 ? strerror(-r) : found);
}

/* Without a profile of its own it has what the daemon has. */
static void check_labels(Attest *a) {
    const SandboxProgram *p = a->x->program;
    char expected[288];
    if (p->apparmor_profile) {
        bool none = strcmp(p->apparmor_profile, APPARMOR_UNCONFINED) == 0; /* which has no mode */
        (void) snprintf(expected, sizeof(expected), "%s%s", p->apparmor_profile, none ? "" : " (enforce)");
        check_label(a, "apparmorLabel", expected, apparmor_read);
    } else if (a->host->apparmor_label[0])
        check_label(a, "apparmorLabel", a->host->apparmor_label, apparmor_read);
    if (p->selinux_context)
        check_label(a, "selinuxLabel", p->selinux_context, selinux_read);
}

/* ---- namespaces ---- */

/* Its own, that is: not the one that this daemon is in. */
static void check_own_namespaces(Attest *a) {
    for (size_t i = 0; i < SANDBOX_NAMESPACES; i++) {
        bool shared =
            a->x->spec->network == SANDBOX_NETWORK_HOST && strcmp(namespaces[i].control, "networkNamespace") == 0;
        uint64_t its = 0;
        const char *found = "?";
        if (namespace_inode(a->dir_fd, namespaces[i].file, &its) >= 0)
            found = its == a->host->namespaces[i] ? "the host's" : "its own";
        check_add(a->checks, namespaces[i].control, shared ? "the host's" : "its own", found);
    }
}

/* A program that was brought in is in every namespace of the first process. */
static void check_joined_namespaces(Attest *a) {
    char name[16];
    (void) snprintf(name, sizeof(name), "%d", a->x->init_pid);
    _cleanup_fd_ int init = openat(a->host->proc_fd, name, O_PATH | O_DIRECTORY | O_CLOEXEC);
    for (size_t i = 0; i < SANDBOX_NAMESPACES; i++) {
        uint64_t its = 0, wanted = 0;
        const char *found = "?";
        if (init >= 0 && namespace_inode(a->dir_fd, namespaces[i].file, &its) >= 0 &&
            namespace_inode(init, namespaces[i].file, &wanted) >= 0)
            found = its == wanted ? "the container's" : its == a->host->namespaces[i] ? "the host's" : "another";
        check_add(a->checks, namespaces[i].control, "the container's", found);
    }
}

/* The last of NSpid is the number in the innermost namespace. */
static void check_first(Attest *a) {
    char text[256];
    status_field(a->status, "NSpid", text, sizeof(text));
    const char *last = strrchr(text, ' ');
    check_add(a->checks, "pid", "1", last ? last + 1 : text);
}

/* ---- limits of the process itself ---- */

static void check_oom_score(Attest *a) {
    char expected[32], text[32] = "?";
    if (read_text(a->dir_fd, "oom_score_adj", text, sizeof(text)) >= 0)
        text[strcspn(text, "\n")] = 0;
    bool exact = strtol(text, NULL, 10) == OOM_SCORE_ADJ;
    /* anybody may raise it, and nobody without the host's CAP_SYS_RESOURCE lower it */
    (void) snprintf(expected, sizeof(expected), "%s%d", a->x->at_start ? "" : "at least ", OOM_SCORE_ADJ);
    check_add_verdict(a->checks, "oomScoreAdj", exact || (!a->x->at_start && strtol(text, NULL, 10) > OOM_SCORE_ADJ),
                      expected, text);
}

static void format_rlimit(char *ret, size_t size, uint64_t soft, uint64_t hard) {
    char numbers[2][24] = { "unlimited", "unlimited" };
    if (soft != RLIM_INFINITY)
        (void) snprintf(numbers[0], sizeof(numbers[0]), "%" PRIu64, soft);
    if (hard != RLIM_INFINITY)
        (void) snprintf(numbers[1], sizeof(numbers[1]), "%" PRIu64, hard);
    (void) snprintf(ret, size, "%s:%s", numbers[0], numbers[1]);
}

static const char *rlimit_name(int resource) {
    static const char *const names[] = {
        [RLIMIT_CPU] = "cpu",           [RLIMIT_FSIZE] = "fsize",
        [RLIMIT_DATA] = "data",         [RLIMIT_STACK] = "stack",
        [RLIMIT_CORE] = "core",         [RLIMIT_RSS] = "rss",
        [RLIMIT_NPROC] = "nproc",       [RLIMIT_NOFILE] = "nofile",
        [RLIMIT_MEMLOCK] = "memlock",   [RLIMIT_AS] = "as",
        [RLIMIT_LOCKS] = "locks",       [RLIMIT_SIGPENDING] = "sigpending",
        [RLIMIT_MSGQUEUE] = "msgqueue", [RLIMIT_NICE] = "nice",
        [RLIMIT_RTPRIO] = "rtprio",     [RLIMIT_RTTIME] = "rttime",
    };
    return (size_t) resource < ELEMENTSOF(names) ? names[resource] : "?";
}

/* Soft and hard; later the process may have moved the one below the other, and lowered both. */
static void check_rlimit(Attest *a, const SandboxRlimit *l) {
    char control[48], expected[80], found[64] = "?";
    struct rlimit has;
    bool passed = false;
    if (syscall(SYS_prlimit64, a->x->pid, l->resource, NULL, &has) >= 0) {
        format_rlimit(found, sizeof(found), has.rlim_cur, has.rlim_max);
        passed = a->x->at_start ? has.rlim_cur == l->soft && has.rlim_max == l->hard
                                : has.rlim_cur <= l->hard && has.rlim_max <= l->hard;
    }
    (void) snprintf(control, sizeof(control), "ulimits.%s", rlimit_name(l->resource));
    if (a->x->at_start)
        format_rlimit(expected, sizeof(expected), l->soft, l->hard);
    else if (l->hard == RLIM_INFINITY)
        (void) snprintf(expected, sizeof(expected), "whatever");
    else
        (void) snprintf(expected, sizeof(expected), "at most %" PRIu64, l->hard);
    check_add_verdict(a->checks, control, passed, expected, found);
}

int sandbox_attest(SandboxHost *h, const SandboxExpectation *x, CheckList *checks) {
    Attest a = { .host = h, .x = x, .checks = checks };
    char name[16];
    (void) snprintf(name, sizeof(name), "%d", x->pid);
    _cleanup_fd_ int dir = openat(h->proc_fd, name, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (dir < 0)
        return -ESRCH;
    a.dir_fd = dir;
    if (read_text(dir, "status", a.status, sizeof(a.status)) < 0)
        return -ESRCH;

    check_ids(&a, "uid", "Uid", x->uid);
    check_ids(&a, "gid", "Gid", x->gid);
    check_groups(&a);
    check_map(&a, "uidMap", "uid_map");
    check_map(&a, "gidMap", "gid_map");
    check_capabilities(&a);
    check_seccomp(&a);
    check_labels(&a);
    if (x->first) {
        check_own_namespaces(&a);
        check_first(&a);
    } else
        check_joined_namespaces(&a);
    check_oom_score(&a);
    for (size_t i = 0; i < x->program->n_rlimits; i++)
        check_rlimit(&a, &x->program->rlimits[i]);
    int r = attest_mounts(&a);
    if (r < 0)
        return r;

    /* All of it was read of one and the same process: it is still there. */
    return process_pidfd_signal(x->pidfd, 0) < 0 ? -ESRCH : 0;
}
