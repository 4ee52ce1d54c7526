/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * What the kernel says of a container, beside what it was to have.
 *
 * Everything is read from the host's /proc by the fd that was checked at start, of a process that a pidfd keeps from
 * being another one; nothing is asked of the container itself. One row for each control, so that a reader sees which
 * one is not in force.
 */

#include "sandbox/capabilities.h"
#include "sandbox/internal.h"
#include "util/fds.h"
#include "util/process.h"

#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>

typedef struct Attest {
    SandboxHost *host;
    const SandboxExpectation *x;
    int dir_fd; /* /proc/PID */
    char status[8192];
    CheckList *checks;
} Attest;

static void add_text(Attest *a, const char *control, const char *expected, const char *found) {
    check_add(a->checks, control, expected, found);
}

static int read_text(int dir_fd, const char *name, char *ret, size_t size) {
    _cleanup_fd_ int fd = openat(dir_fd, name, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -errno : fd_read_all(fd, ret, size - 1);
    if (n < 0)
        return (int) n;
    ret[n] = 0;
    return 0;
}

/* The rest of the line `KEY:` of /proc/PID/status; "?" if there is none, which equals nothing that is expected. */
static void status_field(const Attest *a, const char *key, char *ret, size_t size) {
    size_t length = strlen(key);
    for (const char *line = a->status; line && *line; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL)
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

static void check_ids(Attest *a, const char *control, const char *key, uint32_t inside) {
    char expected[64], found[64];
    uint32_t id = a->x->spec->id_base + inside;
    (void) snprintf(expected, sizeof(expected), "%u %u %u %u", id, id, id, id);
    status_field(a, key, found, sizeof(found));
    add_text(a, control, expected, found);
}

static void check_map(Attest *a, const char *control, const char *file) {
    char expected[96], found[96] = "?", text[256];
    unsigned inside, outside, count;
    int end = 0;
    (void) snprintf(expected, sizeof(expected), "0 %u %u", a->x->spec->id_base, SANDBOX_ID_COUNT);
    if (read_text(a->dir_fd, file, text, sizeof(text)) >= 0 &&
        sscanf(text, " %u %u %u%n", &inside, &outside, &count, &end) == 3 && text[end] == '\n' && text[end + 1] == 0)
        (void) snprintf(found, sizeof(found), "%u %u %u", inside, outside, count);
    add_text(a, control, expected, found);
}

static void check_capabilities(Attest *a) {
    CapabilitySets sets;
    capabilities_expected(a->x->program->capabilities, a->x->uid, &sets);
    const struct {
        const char *control, *key;
        uint64_t expected;
    } rows[] = {
        { "capInheritable", "CapInh", sets.inheritable }, { "capPermitted", "CapPrm", sets.permitted },
        { "capEffective", "CapEff", sets.effective },     { "capBounding", "CapBnd", sets.bounding },
        { "capAmbient", "CapAmb", sets.ambient },
    };
    for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
        char expected[32], found[64];
        (void) snprintf(expected, sizeof(expected), "%016" PRIx64, rows[i].expected);
        status_field(a, rows[i].key, found, sizeof(found));
        add_text(a, rows[i].control, expected, found);
    }
}

static void check_seccomp(Attest *a) {
    char found[32];
    status_field(a, "NoNewPrivs", found, sizeof(found));
    add_text(a, "noNewPrivs", "1", found);
    status_field(a, "Seccomp", found, sizeof(found));
    add_text(a, "seccompMode", a->x->seccomp ? "2" : "0", found);
    status_field(a, "Seccomp_filters", found, sizeof(found));
    add_text(a, "seccompFilters", a->x->seccomp ? "1" : "0", found);
}

static int namespace_inode(int dir_fd, const char *name, uint64_t *ret) {
    struct stat st;
    if (fstatat(dir_fd, name, &st, 0) < 0)
        return -errno;
    *ret = st.st_ino;
    return 0;
}

/* Its own, that is: not the one that this daemon is in. */
static void check_namespaces(Attest *a) {
    static const char *const names[][2] = {
        { "ns/user", "userNamespace" }, { "ns/pid", "pidNamespace" },     { "ns/mnt", "mountNamespace" },
        { "ns/ipc", "ipcNamespace" },   { "ns/uts", "utsNamespace" },     { "ns/cgroup", "cgroupNamespace" },
        { "ns/time", "timeNamespace" }, { "ns/net", "networkNamespace" },
    };
    _cleanup_fd_ int self = openat(a->host->proc_fd, "self", O_PATH | O_DIRECTORY | O_CLOEXEC);
    for (size_t i = 0; i < ELEMENTSOF(names); i++) {
        bool shared = a->x->spec->network == SANDBOX_NETWORK_HOST && strcmp(names[i][0], "ns/net") == 0;
        uint64_t own = 0, its = 0;
        const char *found = "?";
        if (namespace_inode(self, names[i][0], &own) >= 0 && namespace_inode(a->dir_fd, names[i][0], &its) >= 0)
            found = own == its ? "the host's" : "its own";
        add_text(a, names[i][1], shared ? "the host's" : "its own", found);
    }
}

static void check_cgroup(Attest *a) {
    char text[4096], found[160] = "?";
    if (read_text(a->dir_fd, "cgroup", text, sizeof(text)) >= 0)
        for (char *at = text, *line; (line = strsep(&at, "\n")) != NULL;)
            if (strncmp(line, "0::", 3) == 0)
                (void) snprintf(found, sizeof(found), "%s", line + 3);
    add_text(a, "cgroup", a->x->cgroup_path, found);
}

static void check_oom_score(Attest *a) {
    char text[32] = "?";
    if (read_text(a->dir_fd, "oom_score_adj", text, sizeof(text)) >= 0)
        text[strcspn(text, "\n")] = 0;
    add_text(a, "oomScoreAdj", "300", text);
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
    check_map(&a, "uidMap", "uid_map");
    check_map(&a, "gidMap", "gid_map");
    check_capabilities(&a);
    check_seccomp(&a);
    check_namespaces(&a);
    check_cgroup(&a);
    check_oom_score(&a);

    /* All of it was read of one and the same process: it is still there. */
    return process_pidfd_signal(x->pidfd, 0) < 0 ? -ESRCH : 0;
}
