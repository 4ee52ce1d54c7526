/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * What each process of a container is, beside what it is to be: its ids within the container's range, its capabilities at
 * most the container's, no_new_privs and filters set, the label and the namespaces of the first process.
 *
 * All of it is read through one descriptor of /proc/PID, which stays with the process. A process that is still being
 * started is another for a moment: it runs the daemon's own program, or is held at its first instruction by a thread of
 * the daemon's. That is asked after a difference was found and before everything is read again: what differs then, of a
 * process that had its program already, differs for good.
 */

#include "sandbox/apparmor.h"
#include "sandbox/capabilities.h"
#include "sandbox/selinux.h"
#include "util/paths.h"
#include "watch/look.h"

#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <linux/capability.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#define STATUS_MAX    (2U * 1024U * 1024U) /* 65,536 supplementary groups, and the rest */
#define STARTING_USEC 30000000ULL          /* for how long a process may be on its way */

static const struct {
    const char *file, *name;
} namespaces[8] = {
    { "ns/user", "user" }, { "ns/pid", "pid" },       { "ns/mnt", "mount" }, { "ns/ipc", "ipc" },
    { "ns/uts", "uts" },   { "ns/cgroup", "cgroup" }, { "ns/time", "time" }, { "ns/net", "network" },
};

/* ---- reading ---- */

static void parse_numbers(const char *text, uint32_t *ret, size_t n, bool *ok) {
    for (size_t i = 0; i < n; i++) {
        char *end;
        ret[i] = (uint32_t) strtoul(text, &end, 10);
        *ok = *ok && end != text;
        text = end;
    }
}

/* The last of "NSpid:\t4711\t12". */
static pid_t last_number(const char *text) {
    pid_t pid = 0;
    while (*text == '\t' || *text == ' ') {
        char *end;
        pid = (pid_t) strtol(text + 1, &end, 10);
        text = end;
    }
    return pid;
}

typedef enum Field { FIELD_STATE, FIELD_IDS, FIELD_MASK, FIELD_NUMBER, FIELD_INNER_PID, FIELD_TRACER } Field;

static const struct {
    const char *key;
    Field field;
    unsigned index;
} fields[] = {
    { "State:", FIELD_STATE, 0 }, { "TracerPid:", FIELD_TRACER, 0 },  { "Uid:", FIELD_IDS, 0 },
    { "Gid:", FIELD_IDS, 4 },     { "NSpid:", FIELD_INNER_PID, 0 },   { "CapInh:", FIELD_MASK, 0 },
    { "CapPrm:", FIELD_MASK, 1 }, { "CapEff:", FIELD_MASK, 2 },       { "CapBnd:", FIELD_MASK, 3 },
    { "CapAmb:", FIELD_MASK, 4 }, { "NoNewPrivs:", FIELD_NUMBER, 0 }, { "Seccomp:", FIELD_NUMBER, 1 },
};
static const char *const set_names[5] = { "inheritable", "permitted", "effective", "bounding", "ambient" };

static bool take_field(size_t i, const char *value, LookCredentials *c) {
    bool ok = true;
    switch (fields[i].field) {
    case FIELD_STATE:
        c->state = value[strspn(value, "\t ")];
        break;
    case FIELD_IDS:
        parse_numbers(value, c->ids + fields[i].index, 4, &ok);
        break;
    case FIELD_MASK:
        c->capabilities[fields[i].index] = strtoull(value, NULL, 16);
        break;
    case FIELD_NUMBER:
        *(fields[i].index == 0 ? &c->no_new_privs : &c->seccomp) = (unsigned) strtoul(value, NULL, 10);
        break;
    case FIELD_INNER_PID:
        c->inner_pid = last_number(value);
        break;
    case FIELD_TRACER:
        c->tracer = (pid_t) strtol(value, NULL, 10);
        break;
    }
    return ok;
}

/* The kernel writes them in this order; false if one is missing. */
bool look_parse_status(const char *status, LookCredentials *ret) {
    size_t i = 0;
    for (const char *line = status; line && i < ELEMENTSOF(fields); line = strchr(line, '\n')) {
        line += *line == '\n';
        size_t n = strlen(fields[i].key);
        if (strncmp(line, fields[i].key, n) != 0)
            continue;
        if (!take_field(i, line + n, ret))
            return false;
        i++;
    }
    ret->has_ids = i == ELEMENTSOF(fields);
    return ret->has_ids;
}

/* A process may choose how long its list of groups is, which stands before its capabilities. */
static bool read_status(int dir_fd, LookCredentials *ret) {
    char buffer[8192];
    _cleanup_free_ char *whole = NULL;
    ssize_t n = look_read_at(dir_fd, "status", buffer, sizeof(buffer));
    if (n < 0)
        return false;
    if ((size_t) n < sizeof(buffer) - 1)
        return look_parse_status(buffer, ret);
    size_t size;
    return path_read_file_at(dir_fd, "status", 0, STATUS_MAX, &whole, &size) >= 0 && look_parse_status(whole, ret);
}

static bool read_credentials(const WatchSubject *s, int dir_fd, LookCredentials *ret) {
    *ret = (LookCredentials){ 0 };
    if (!read_status(dir_fd, ret) || ret->state == 'Z' || ret->state == 'X')
        return false;
    for (size_t i = 0; i < 8; i++)
        ret->namespaces[i] = look_link_number(dir_fd, namespaces[i].file);
    if (s->apparmor_label[0] && apparmor_read(dir_fd, ret->apparmor_label, sizeof(ret->apparmor_label)) < 0)
        ret->apparmor_label[0] = 0;
    if (s->selinux_label[0] && selinux_read(dir_fd, ret->selinux_label, sizeof(ret->selinux_label)) < 0)
        ret->selinux_label[0] = 0;
    return true;
}

/* Behind the name, which may have anything in it. */
uint64_t look_start_time(int dir_fd) {
    char text[1024];
    if (look_read_at(dir_fd, "stat", text, sizeof(text)) < 0)
        return 0;
    const char *p = strrchr(text, ')');
    for (unsigned field = 2; p && field < 22; field++) {
        p = strchr(p, ' ');
        p += p != NULL;
    }
    return p ? strtoull(p, NULL, 10) : 0;
}

/* ---- comparing ---- */

/* Who may make namespaces of its own is not found for having made one. */
static bool may_make_namespaces(const WatchSubject *s) {
    return !s->seccomp || s->capabilities & (1ULL << CAP_SYS_ADMIN);
}

static bool differs_in_namespaces(const WatchSubject *s, const LookCredentials *c, const uint64_t *host, char *text,
                                  size_t size) {
    for (size_t i = 0; i < 8; i++) {
        uint64_t its = c->namespaces[i];
        if (its == 0 || s->namespaces[i] == 0 || its == s->namespaces[i])
            continue;
        bool is_hosts = its == host[i];
        if (!is_hosts && may_make_namespaces(s))
            continue;
        (void) snprintf(text, size, "it is in %s %s namespace, and not in its container's",
                        is_hosts ? "the host's" : "another", namespaces[i].name);
        return true;
    }
    return false;
}

static bool differs_in_ids(const WatchSubject *s, const LookCredentials *c, char *text, size_t size) {
    for (size_t i = 0; i < 8; i++) {
        if (c->ids[i] >= s->id_base && c->ids[i] - s->id_base < SANDBOX_ID_COUNT)
            continue;
        (void) snprintf(text, size,
                        "it has the host's %s %" PRIu32 ", which is none of its container's (%" PRIu32 " to %" PRIu32
                        ")",
                        i < 4 ? "uid" : "gid", c->ids[i], s->id_base, s->id_base + SANDBOX_ID_COUNT - 1);
        return true;
    }
    return false;
}

static void name_capabilities(uint64_t mask, char *ret, size_t size) {
    size_t n = 0;
    ret[0] = 0;
    for (unsigned i = 0; i < 64 && n < size; i++) {
        if (!(mask & (1ULL << i)))
            continue;
        const char *name = capabilities_name(i);
        n += (size_t) (name ? snprintf(ret + n, size - n, "%s%s", n > 0 ? " " : "", name)
                            : snprintf(ret + n, size - n, "%s%u", n > 0 ? " " : "", i));
    }
}

/* In a user namespace of its own making a process has all of them, which mean nothing outside of it. */
static bool differs_in_capabilities(const WatchSubject *s, const LookCredentials *c, char *text, size_t size) {
    bool nested = c->namespaces[0] != 0 && s->namespaces[0] != 0 && c->namespaces[0] != s->namespaces[0];
    if (nested && may_make_namespaces(s))
        return false;
    for (size_t i = 0; i < 5; i++) {
        uint64_t more = c->capabilities[i] & ~s->capabilities;
        if (more == 0)
            continue;
        char names[200];
        name_capabilities(more, names, sizeof(names));
        (void) snprintf(text, size, "its %s capabilities are more than its container's: %s", set_names[i], names);
        return true;
    }
    return false;
}

static bool differs_in_label(const char *expected, const char *found, const char *module, char *text, size_t size) {
    if (!expected[0] || strcmp(expected, found) == 0)
        return false;
    (void) snprintf(text, size, "its %s label is \"%.100s\", and its container's is \"%.100s\"", module,
                    found[0] ? found : "none", expected);
    return true;
}

bool look_differs(const WatchSubject *s, const LookCredentials *c, const uint64_t host[static 8], char *text,
                  size_t size) {
    if (differs_in_namespaces(s, c, host, text, size) || differs_in_ids(s, c, text, size) ||
        differs_in_capabilities(s, c, text, size))
        return true;
    if (c->no_new_privs != 1) {
        (void) snprintf(text, size, "it may gain privileges by executing a program: no_new_privs is not set");
        return true;
    }
    if (s->seccomp && c->seccomp != 2) {
        (void) snprintf(text, size, "no seccomp filter is in force for it (mode %u)", c->seccomp);
        return true;
    }
    return differs_in_label(s->apparmor_label, c->apparmor_label, "AppArmor", text, size) ||
           differs_in_label(s->selinux_label, c->selinux_label, "SELinux", text, size);
}

/* ---- one process ---- */

static uint64_t age_usec(const LookHost *h, uint64_t start_time) {
    struct timespec t;
    (void) clock_gettime(CLOCK_BOOTTIME, &t);
    uint64_t now = (uint64_t) t.tv_sec * 1000000U + (uint64_t) t.tv_nsec / 1000U;
    uint64_t started = start_time * (1000000U / h->ticks_per_second);
    return now > started ? now - started : 0;
}

static bool is_our_thread(const LookHost *h, pid_t tid) {
    char name[40];
    (void) snprintf(name, sizeof(name), "self/task/%d", (int) tid);
    return tid > 0 && faccessat(h->proc_fd, name, F_OK, 0) == 0;
}

/* Young, and either still runs the daemon's own program or is held by it. Neither can be pretended for long. */
static bool is_on_its_way(const LookHost *h, int dir_fd, const LookProcess *p, const LookCredentials *c) {
    struct stat st;
    if (age_usec(h, p->start_time) > STARTING_USEC)
        return false;
    if (is_our_thread(h, c->tracer))
        return true;
    return fstatat(dir_fd, "exe", &st, 0) == 0 && st.st_dev == h->program_dev && st.st_ino == h->program_ino;
}

static void check_credentials(const LookHost *h, WatchSubject *s, int dir_fd, LookProcess *p,
                              const LookCredentials *c) {
    char text[FINDING_EVIDENCE_MAX];
    LookCredentials again;
    if (p->differs || !look_differs(s, c, h->namespaces, text, sizeof(text)) || is_on_its_way(h, dir_fd, p, c))
        return;
    if (!read_credentials(s, dir_fd, &again) || !look_differs(s, &again, h->namespaces, text, sizeof(text)))
        return;
    p->differs = look_tell(s, FINDING_FOREIGN_PROCESS, FINDING_HIGH, p->pid,
                           "A process of the container is not what the container's processes are: %s.", text);
}

static bool ends_with(const char *text, size_t length, const char *end) {
    size_t n = strlen(end);
    return length >= n && strcmp(text + length - n, end) == 0;
}

/* The reaper of --init comes from a memfd of ours, as the container's first process and nothing else. */
static bool is_our_init(const WatchSubject *s, pid_t pid, const char *path) {
    return pid == s->pid && strcmp(path, "/memfd:kennel-init (deleted)") == 0;
}

/* Of the image's an upgrade may have left it without a name; what lay in the layer or a mount, somebody has hidden. */
static void tell_deleted(WatchSubject *s, int dir_fd, pid_t pid, const char *path) {
    _cleanup_fd_ int fd = openat(dir_fd, "exe", O_PATH | O_CLOEXEC);
    Origin origin = fd < 0 ? ORIGIN_ELSEWHERE : foreign_origin(s, fd, NULL);
    bool image = origin == ORIGIN_IMAGE || origin == ORIGIN_CHANGED;
    (void) look_tell(s, FINDING_DELETED_PROGRAM, image ? FINDING_LOW : FINDING_MEDIUM, pid,
                     "The program of a running process has been deleted: %.300s, which lay %s.", path,
                     image ? "in the image" : "in a place that the container can write to");
}

/* FOREIGN: nobody has watched when it was executed. */
static void check_program(WatchSubject *s, int dir_fd, LookProcess *p, bool foreign) {
    char path[PATH_MAX];
    struct stat st;
    ssize_t n = readlinkat(dir_fd, "exe", path, sizeof(path) - 1);
    if (n < 0)
        return;
    path[n] = 0;
    bool deleted = ends_with(path, (size_t) n, " (deleted)");
    if ((!deleted && !foreign) || is_our_init(s, p->pid, path) || fstatat(dir_fd, "exe", &st, 0) < 0 ||
        (p->program_dev == st.st_dev && p->program_ino == st.st_ino))
        return;
    p->program_dev = st.st_dev;
    p->program_ino = st.st_ino;
    if (foreign)
        foreign_unseen(s, p->pid);
    if (deleted && strncmp(path, "/memfd:", 7) != 0 && watch_wants(s, FINDING_DELETED_PROGRAM))
        tell_deleted(s, dir_fd, p->pid, path);
}

/* What was there before the watch began, and whatever there is where the kernel does not tell of executions. */
static bool is_unseen(const WatchSubject *s) {
    if (watch_missing(s->watch, FINDING_FOREIGN_PROGRAM))
        return true;
    return !s->memory->seen && s->runs;
}

/* Of the process; where its first thread has ended, what the first of the others shows. DIR_FD becomes that one's. */
static bool read_living(const WatchSubject *s, int *dir_fd, LookCredentials *ret) {
    if (read_credentials(s, *dir_fd, ret))
        return true;
    pid_t inner_pid = ret->inner_pid;
    int fd = ret->inner_pid > 0 ? look_open_thread(*dir_fd) : -EBADF; /* 0: nothing of it could be read */
    if (fd < 0)
        return false;
    (void) fd_close(*dir_fd);
    *dir_fd = fd;
    bool ok = read_credentials(s, fd, ret);
    ret->inner_pid = inner_pid;
    return ok;
}

static void look_whole(LookHost *h, WatchSubject *s, LookProcess *p, const LookProcess *former) {
    _cleanup_fd_ int dir_fd = look_open(h, p->pid);
    LookCredentials c;
    if (dir_fd < 0)
        return;
    bool is_new = p->looked_usec == 0;
    p->looked_usec = h->now;
    p->again = is_new;
    if (is_new)
        p->start_time = look_start_time(dir_fd);
    if (is_new && former && former->start_time == p->start_time) { /* the kernel had only forgotten its inode */
        uint64_t inode = p->inode;
        *p = *former;
        p->inode = inode;
        p->looked_usec = h->now;
        p->again = false;
        is_new = false;
    }
    if (!read_living(s, &dir_fd, &c))
        return;
    p->inner_pid = c.inner_pid;
    if (is_new && c.namespaces[1] == s->namespaces[1])
        look_forks_see(&s->memory->forks, p->start_time, p->inner_pid, h->pid_max);
    if (watch_wants(s, FINDING_FOREIGN_PROCESS))
        check_credentials(h, s, dir_fd, p, &c);
    if (watch_wants(s, FINDING_DELETED_PROGRAM) || watch_wants(s, FINDING_FOREIGN_PROGRAM))
        check_program(s, dir_fd, p, is_unseen(s) && watch_wants(s, FINDING_FOREIGN_PROGRAM));
    if (is_new && s->runs && is_unseen(s)) {
        if (watch_wants(s, FINDING_DISGUISE))
            disguise_executed(s, p->pid);
        if (watch_wants(s, FINDING_PRELOAD))
            preload_look(s, p->pid);
    }
}

/* ---- all of a container ---- */

/* Twice in its first two looks: hiding begins with the start. Later so that not all are due together for ever. */
static bool is_due(const LookHost *h, const LookProcess *p) {
    return p->looked_usec == 0 || (p->again && p->looked_usec != h->now) ||
           h->now - p->looked_usec + (uint64_t) (p->pid % 4) * WATCH_LOOK_USEC / 2 >= LOOK_FULL_USEC;
}

static const LookProcess *find_pid(const LookProcesses *l, pid_t pid) {
    size_t low = 0, high = l->n;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (l->items[middle].pid < pid)
            low = middle + 1;
        else
            high = middle;
    }
    return low < l->n && l->items[low].pid == pid ? &l->items[low] : NULL;
}

/* What is known of those that are there now. */
static size_t take_over(const LookHost *h, const LookProcesses *known, const pid_t *pids, size_t n, LookProcess *ret) {
    size_t kept = 0;
    for (size_t i = 0; i < n; i++) {
        char name[16];
        struct stat st;
        (void) snprintf(name, sizeof(name), "%d", (int) pids[i]);
        if (fstatat(h->proc_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
            continue;
        const LookProcess *former = find_pid(known, pids[i]);
        ret[kept++] =
            former && former->inode == st.st_ino ? *former : (LookProcess){ .pid = pids[i], .inode = st.st_ino };
    }
    return kept;
}

/* How many of LEFT remain. */
static unsigned look_at_new(LookHost *h, WatchSubject *s, LookProcesses *l, const LookProcesses *known, unsigned left) {
    for (size_t i = 0; i < l->n && left > 0; i++)
        if (l->items[i].looked_usec == 0) {
            left--;
            look_whole(h, s, &l->items[i], find_pid(known, l->items[i].pid));
        }
    return left;
}

/* Goes on where the last look had to end, new or not. */
static unsigned look_in_turn(LookHost *h, WatchSubject *s, LookProcesses *l, const LookProcesses *known,
                             unsigned left) {
    size_t first = 0;
    while (first < l->n && l->items[first].pid < s->memory->next)
        first++;
    for (size_t i = 0; i < l->n && left > 0; i++) {
        LookProcess *p = &l->items[(first + i) % l->n];
        if (!is_due(h, p))
            continue;
        left--;
        s->memory->next = p->pid + 1;
        look_whole(h, s, p, find_pid(known, p->pid));
    }
    return left;
}

/* New ones come first, and leave a quarter to the turn: whoever starts processes all the time hides none of them. */
void look_at_members(LookHost *h, WatchSubject *s, const pid_t *pids, size_t n) {
    LookProcesses *known = &s->memory->processes, l = { calloc(n + 1, sizeof(LookProcess)), 0 };
    unsigned share = h->budget < LOOK_FULL_OF_ONE_MAX ? h->budget : LOOK_FULL_OF_ONE_MAX, turn = share - share * 3 / 4;
    if (!l.items)
        return;
    l.n = take_over(h, known, pids, n, l.items);
    unsigned left = turn + look_at_new(h, s, &l, known, share - turn);
    h->budget -= share - look_in_turn(h, s, &l, known, left);
    free(known->items);
    *known = l;
}
