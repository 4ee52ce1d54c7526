/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Where a program comes from.
 *
 * Decided by the mount that its descriptor is on and, on the container's overlay, by where the overlay has it from: what
 * the upper layer has under its path is the container's own or was copied there, what it has not is the image's. A copy
 * whose content is what the image has (chmod and chown copy too) counts as the image's. Names are looked up beneath the
 * layers' own descriptors without following any link, so nothing outside of them is ever opened.
 *
 * A path may be another file's by the time that it is looked up: the kernel tells the path of the open file, and the
 * container may rename. So the image's file has to be the one that is open. The overlay shows a lower file's own number
 * (xino=off), size and ctime. A copy keeps the number alone: its ctime is that of the copying or later, and nobody can set
 * it back. Where one of them differs, the file is taken for the layer's.
 *
 * What escapes: a program that an interpreter or ld.so maps by itself, without execve; shell scripts that are read from
 * standard input or by `.`, or that stand behind more than FINDING_ARGUMENTS_MAX arguments or FINDING_ARGUMENT_BYTES of
 * options; without the image's descriptor what is renamed away and back just while it is looked up, and without the
 * layer's as well, after a restart of the daemon, everything on the overlay.
 */

#include "watch/internal.h"

#include "util/parse.h"
#include "util/paths.h"

#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <linux/stat.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <time.h>

#define COMPARISONS_KEPT 64U
#define LAYER_RESOLVE    (RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS)

static const char *const descriptions[] = {
    [ORIGIN_IMAGE] = "the image",
    [ORIGIN_CHANGED] = "the writable layer, where it replaces the image's",
    [ORIGIN_LAYER] = "the writable layer",
    [ORIGIN_MOUNT] = "a tmpfs or volume",
    [ORIGIN_MEMFD] = "memory (memfd)",
    [ORIGIN_DELETED] = "a file that has been deleted",
    [ORIGIN_ELSEWHERE] = "a mount that the container was not given",
};

const char *foreign_describe(Origin o) {
    return descriptions[o];
}

/* ---- where it is from ---- */

static bool ask(int fd, struct statx *x) {
    return statx(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC,
                 STATX_MNT_ID | STATX_INO | STATX_NLINK | STATX_TYPE | STATX_SIZE | STATX_CTIME, x) >= 0 &&
           x->stx_mask & STATX_MNT_ID;
}

static bool path_of(int fd, char path[static PATH_MAX]) {
    char link[40];
    (void) snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, PATH_MAX - 1);
    path[n > 0 ? n : 0] = 0;
    return n > 0;
}

/* Index in the subject's mounts, or -1. */
static int index_of(const WatchSubject *s, uint64_t id) {
    for (size_t i = 0; i < s->n_mounts; i++)
        if (s->mounts[i] == id)
            return (int) i;
    return -1;
}

static bool id_is_local(const WatchSubject *s, uint64_t id) {
    int i = index_of(s, id);
    return i >= 0 ? s->local >> i & 1 : id == s->watch->memfd_mount;
}

bool foreign_is_local(const WatchSubject *s, int file_fd) {
    struct statx x;
    return ask(file_fd, &x) && id_is_local(s, x.stx_mnt_id);
}

typedef enum Found { FOUND_NOT, FOUND_FILE, FOUND_OTHER } Found;

static Found find_in(int layer_fd, const char *path, struct statx *x) {
    _cleanup_fd_ int fd = path_open_at(layer_fd, path + 1, O_PATH | O_NOFOLLOW | O_CLOEXEC, 0, LAYER_RESOLVE);
    if (fd < 0)
        return fd == -ENOENT || fd == -ENOTDIR ? FOUND_NOT : FOUND_OTHER;
    if (!ask(fd, x))
        return FOUND_OTHER;
    if (S_ISREG(x->stx_mode))
        return FOUND_FILE;
    return S_ISCHR(x->stx_mode) ? FOUND_NOT : FOUND_OTHER; /* a whiteout: the image had it */
}

static bool same_bytes(int a, int b) {
    char x[16384], y[16384];
    for (off_t at = 0;;) {
        ssize_t n = pread(a, x, sizeof(x), at), m = n > 0 ? pread(b, y, (size_t) n, at) : 0;
        if (n == 0)
            return true;
        if (n < 0 || n != m || memcmp(x, y, (size_t) n) != 0)
            return false;
        at += n;
    }
}

/* What was compared last; the look's thread alone. */
static struct {
    uint64_t ino, size;
    dev_t dev;
    struct statx_timestamp changed;
    bool valid, same;
} comparisons[COMPARISONS_KEPT];
static size_t next_comparison;

static int reopen(int fd) {
    char link[40];
    (void) snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    return open(link, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
}

static bool compare(const WatchSubject *s, int file_fd, const char *path, uint64_t size) {
    _cleanup_fd_ int lower =
        path_open_at(s->lower_fd, path + 1, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK, 0, LAYER_RESOLVE);
    struct statx x;
    if (lower < 0 || !ask(lower, &x) || !S_ISREG(x.stx_mode) || x.stx_size != size || size > FINDING_HASHED_MAX)
        return false;
    _cleanup_fd_ int file = reopen(file_fd);
    return file >= 0 && same_bytes(file, lower);
}

/* Has the image this very content under this path? */
static bool is_copy(const WatchSubject *s, int file_fd, const char *path, const struct statx *x) {
    dev_t dev = makedev(x->stx_dev_major, x->stx_dev_minor);
    if (s->lower_fd < 0)
        return false;
    for (size_t i = 0; i < COMPARISONS_KEPT; i++)
        if (comparisons[i].valid && comparisons[i].ino == x->stx_ino && comparisons[i].dev == dev &&
            comparisons[i].size == x->stx_size && comparisons[i].changed.tv_sec == x->stx_ctime.tv_sec &&
            comparisons[i].changed.tv_nsec == x->stx_ctime.tv_nsec)
            return comparisons[i].same;
    bool same = compare(s, file_fd, path, x->stx_size);
    comparisons[next_comparison] = (typeof(comparisons[0])){ x->stx_ino, x->stx_size, dev, x->stx_ctime, true, same };
    next_comparison = (next_comparison + 1) % COMPARISONS_KEPT;
    return same;
}

/* Is the image's file under this path the one that the overlay shows as X? */
static bool is_this(const WatchSubject *s, const char *path, const struct statx *x) {
    struct statx lower;
    return s->lower_fd >= 0 && find_in(s->lower_fd, path, &lower) == FOUND_FILE && lower.stx_ino == x->stx_ino &&
           lower.stx_size == x->stx_size && lower.stx_ctime.tv_sec == x->stx_ctime.tv_sec &&
           lower.stx_ctime.tv_nsec == x->stx_ctime.tv_nsec;
}

/* False: PATH does not say that its file has been deleted. */
static bool clean_deleted(const char *path, char cleaned[static PATH_MAX]) {
    (void) snprintf(cleaned, PATH_MAX, "%s", path);
    evidence_clean_path(cleaned);
    return strcmp(cleaned, path) != 0;
}

/* Without the image nothing but the path says that it is the image's: it has to be the same before and after, and still a
 * path. What has been deleted and has another link is not below the upper layer's directory under that name either. */
static bool is_lower(const WatchSubject *s, int file_fd, const char *path, const struct statx *x) {
    char again[PATH_MAX], cleaned[PATH_MAX];
    if (s->lower_fd >= 0)
        return is_this(s, path, x);
    return !clean_deleted(path, cleaned) && path_of(file_fd, again) && strcmp(again, path) == 0;
}

/* The overlay shows a deleted file of the image's with the links that it has there; its path alone says so. */
static bool was_lower(const WatchSubject *s, const char *path, const struct statx *x) {
    char cleaned[PATH_MAX];
    return clean_deleted(path, cleaned) && is_this(s, cleaned, x);
}

static Origin origin_in_overlay(const WatchSubject *s, int file_fd, const char *path, const struct statx *x) {
    struct statx upper, lower;
    if (path[0] != '/')
        return ORIGIN_ELSEWHERE;
    if (s->read_only)
        return ORIGIN_IMAGE;
    if (x->stx_nlink == 0) /* a program of the image's that was replaced, or the container's own */
        return is_copy(s, file_fd, path, x) ? ORIGIN_IMAGE : ORIGIN_DELETED;
    if (s->upper_fd < 0) {
        /* a file that was copied up keeps its number: only what is in it tells */
        if (s->lower_fd < 0 || is_copy(s, file_fd, path, x))
            return ORIGIN_IMAGE;
        return find_in(s->lower_fd, path, &lower) == FOUND_FILE ? ORIGIN_CHANGED : ORIGIN_LAYER;
    }
    if (find_in(s->upper_fd, path, &upper) == FOUND_NOT)
        return is_lower(s, file_fd, path, x) || was_lower(s, path, x) ? ORIGIN_IMAGE : ORIGIN_LAYER;
    if (is_copy(s, file_fd, path, x))
        return ORIGIN_IMAGE;
    return s->lower_fd >= 0 && find_in(s->lower_fd, path, &lower) == FOUND_FILE ? ORIGIN_CHANGED : ORIGIN_LAYER;
}

/* Cleaned where the file has no name any more: a file may be called "x (deleted)". */
Origin foreign_origin(const WatchSubject *s, int file_fd, char *path) {
    char own[PATH_MAX];
    struct statx x;
    path = path ?: own;
    path[0] = 0;
    if (!ask(file_fd, &x) || !path_of(file_fd, path))
        return ORIGIN_ELSEWHERE;
    if (x.stx_nlink == 0)
        evidence_clean_path(path);
    if (x.stx_mnt_id == s->watch->memfd_mount)
        return ORIGIN_MEMFD;
    if (x.stx_mnt_id == s->usr_mount && s->usr_mount != 0)
        return ORIGIN_IMAGE;
    if (x.stx_mnt_id == s->root_mount && s->root_mount != 0)
        return origin_in_overlay(s, file_fd, path, &x);
    if (index_of(s, x.stx_mnt_id) < 0)
        return ORIGIN_ELSEWHERE;
    return id_is_local(s, x.stx_mnt_id) && x.stx_nlink == 0 ? ORIGIN_DELETED : ORIGIN_MOUNT;
}

bool foreign_is_image(const WatchSubject *s, int file_fd, uint64_t mount_id) {
    char path[PATH_MAX];
    struct statx x, upper;
    if (mount_id == 0)
        return false;
    if (mount_id == s->usr_mount)
        return true;
    if (mount_id != s->root_mount || !ask(file_fd, &x) || x.stx_nlink == 0 || !path_of(file_fd, path) || path[0] != '/')
        return false;
    if (s->upper_fd < 0)
        return s->lower_fd < 0;
    return find_in(s->upper_fd, path, &upper) == FOUND_NOT && is_lower(s, file_fd, path, &x);
}

/* ---- in a container's root ---- */

/* What waits for a caller's file system is not looked up: where the container has such a one, only what is cached is. */
static uint64_t resolve_flags(const WatchSubject *s) {
    bool all_local = s->n_mounts == WATCH_MOUNTS_MAX || s->local == (1ULL << s->n_mounts) - 1U;
    return RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS | (all_local ? 0 : RESOLVE_CACHED);
}

static bool absolute_path(int dir_fd, const char *path, char out[static PATH_MAX]) {
    char cwd[PATH_MAX], root[PATH_MAX];
    if (path[0] == '/')
        return snprintf(out, PATH_MAX, "%s", path) < PATH_MAX;
    ssize_t n = readlinkat(dir_fd, "cwd", cwd, sizeof(cwd) - 1), m = readlinkat(dir_fd, "root", root, sizeof(root) - 1);
    if (n <= 0 || m <= 0)
        return false;
    cwd[n] = root[m] = 0;
    size_t skip = m > 1 && strncmp(cwd, root, (size_t) m) == 0 ? (size_t) m : 0; /* it has changed its root */
    return snprintf(out, PATH_MAX, "%s/%s", cwd + skip, path) < PATH_MAX;
}

int foreign_resolve(const WatchSubject *s, int dir_fd, const char *path) {
    char whole[PATH_MAX];
    if (!absolute_path(dir_fd, path, whole))
        return -ENAMETOOLONG;
    _cleanup_fd_ int root = openat(dir_fd, "root", O_PATH | O_DIRECTORY | O_CLOEXEC);
    return root < 0 ? -errno : path_open_at(root, whole, O_PATH | O_CLOEXEC, 0, resolve_flags(s));
}

/* ---- interpreters ---- */

/* The dynamic linker, which as a program runs the one that is its operand. */
#define LINKER "ld.so"

static bool is_linker(const char *name) {
    return strncmp(name, "ld-", 3) == 0 && strstr(name, ".so");
}

/* STOPS: letters of options after which the text of the program, or a module, comes. VALUES: of those with a value. */
static const struct {
    const char *name; /* followed by nothing, or by a version */
    const char *stops, *values, *file;
} interpreters[] = {
    { "sh", "cs", "oO", "" },     { "bash", "cs", "oO", "" }, { "dash", "cs", "oO", "" },   { "ash", "cs", "oO", "" },
    { "zsh", "cs", "oO", "" },    { "ksh", "cs", "oO", "" },  { "python", "cm", "WX", "" }, { "pypy", "cm", "WX", "" },
    { "perl", "eE", "ImM", "" },  { "ruby", "e", "rIC", "" }, { "node", "ep", "r", "" },    { "nodejs", "ep", "r", "" },
    { "php", "rRB", "cdz", "f" }, { "lua", "e", "l", "" },    { "luajit", "e", "l", "" },   { "tclsh", "", "", "" },
    { "awk", "*", "", "f" },      { "gawk", "*", "", "f" },   { "mawk", "*", "", "f" },     { LINKER, "", "", "" },
};

static int interpreter_of(const char *name) {
    if (is_linker(name))
        return ELEMENTSOF(interpreters) - 1;
    for (size_t i = 0; i < ELEMENTSOF(interpreters); i++) {
        size_t n = strlen(interpreters[i].name);
        if (strncmp(name, interpreters[i].name, n) == 0 && name[n + strspn(name + n, "0123456789.-")] == 0)
            return (int) i;
    }
    return -1;
}

static const char *base_name(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

/* Of a cluster of short options: 's' the program is elsewhere, 'f' the next argument is it, 'v' it takes the next one. */
static char judge_option(int i, const char *option) {
    static const char *const linkers[] = { "--library-path", "--preload", "--audit", "--argv0", "--inhibit-rpath" };
    for (size_t k = 0; k < ELEMENTSOF(linkers); k++)
        if (strcmp(option, linkers[k]) == 0)
            return 'v';
    if (strncmp(option, "--", 2) == 0)
        return strncmp(option, "--eval", 6) == 0 || strncmp(option, "--print", 7) == 0 ? 's' : 0;
    for (const char *c = option + 1; *c; c++) {
        if (strchr(interpreters[i].file, *c))
            return c[1] ? 's' : 'f';
        if (strchr(interpreters[i].stops, *c))
            return 's';
        if (strchr(interpreters[i].values, *c))
            return c[1] ? 0 : 'v';
    }
    return 0;
}

const char *foreign_script_operand(const char *program, char *const *command) {
    if (!command || !command[0])
        return NULL;
    const char *name = base_name(program);
    char *const *a = command;
    if (strcmp(name, "busybox") == 0) {
        name = base_name(a[0]);
        if (strncmp(name, "busybox", 7) == 0) {
            if (!a[1])
                return NULL;
            name = base_name(*++a);
        }
    }
    int i = interpreter_of(name);
    if (i < 0)
        return NULL;
    for (a++; *a; a++) {
        if ((*a)[0] != '-' && !((*a)[0] == '+' && strchr(interpreters[i].values, 'O')))
            return interpreters[i].stops[0] == '*' ? NULL : *a;
        if (strcmp(*a, "-") == 0)
            return NULL;
        if (strcmp(*a, "--") == 0)
            return interpreters[i].stops[0] == '*' ? NULL : a[1];
        char verdict = judge_option(i, *a);
        if (verdict == 's')
            return NULL;
        if (verdict == 'f')
            return a[1];
        if (verdict == 'v' && !*++a)
            return NULL;
    }
    return NULL;
}

/* ---- findings ---- */

static FindingSeverity severity_of(Origin o) {
    return o == ORIGIN_MEMFD || o == ORIGIN_DELETED || o == ORIGIN_ELSEWHERE ? FINDING_HIGH : FINDING_MEDIUM;
}

static FindingSeverity severity_of_script(const char *path) {
    static const char *const places[] = { "/tmp/", "/dev/shm/", "/run/", "/var/tmp/" };
    for (size_t i = 0; i < ELEMENTSOF(places); i++)
        if (strncmp(path, places[i], strlen(places[i])) == 0)
            return FINDING_MEDIUM;
    return FINDING_LOW;
}

static bool is_script(const WatchSubject *s, int file_fd) {
    char magic[2];
    return foreign_is_local(s, file_fd) && pread(file_fd, magic, sizeof(magic), 0) == sizeof(magic) &&
           memcmp(magic, "#!", 2) == 0;
}

static Finding *make_finding(WatchSubject *s, FindingKind kind, Origin o, const char *path, int file_fd) {
    Finding *f = finding_new(kind, kind == FINDING_FOREIGN_PROGRAM  ? severity_of(o)
                                   : kind == FINDING_FOREIGN_SCRIPT ? severity_of_script(path)
                                                                    : FINDING_MEDIUM);
    if (!f)
        return NULL;
    f->program = strdup(path);
    (void) evidence_identity(file_fd, NULL, f);
    evidence_hash_for(s, file_fd, f);
    if (kind == FINDING_FOREIGN_SCRIPT)
        evidence_set(f, "an interpreter runs a script from %s", foreign_describe(o));
    else if (kind == FINDING_DELETED_PROGRAM)
        evidence_set(f, "the file of the running program has been deleted");
    else
        evidence_set(f, "a program was executed from %s", foreign_describe(o));
    return f;
}

/* The file was opened, which comes first: as long as the process has not replaced itself its arguments are the old ones. A
 * script is never what it runs: then it has it when its program is another than before. */
static void wait_for_exec(WatchSubject *s, const Finding *f, pid_t pid, bool script) {
    static const long pauses_nsec[] = { 0, 1000000, 5000000, 20000000, 50000000 };
    uint64_t first = 0;
    for (size_t i = 0; i < ELEMENTSOF(pauses_nsec); i++) {
        struct timespec t = { 0, pauses_nsec[i] };
        Finding now = { 0 };
        if (i > 0 && !reader_has_patience(s))
            return;
        (void) nanosleep(&t, NULL);
        reader_waited(s, (uint64_t) pauses_nsec[i] / 1000U);
        evidence_program(pid, &now);
        free(now.program);
        first = i == 0 ? now.program_ino : first;
        if (now.program_ino == 0 || (script ? i > 0 && (now.program_ino != first || i > 1)
                                            : now.program_ino == f->program_ino && now.program_dev == f->program_dev))
            return;
    }
}

void foreign_opened(WatchSubject *s, const Sighting *sighting) {
    char path[PATH_MAX];
    Origin o = foreign_origin(s, sighting->file_fd, path);
    if (o == ORIGIN_IMAGE)
        return;
    bool script = is_script(s, sighting->file_fd);
    FindingKind kind = script ? FINDING_FOREIGN_SCRIPT : FINDING_FOREIGN_PROGRAM;
    if (!watch_wants(s, kind))
        return;
    Finding *f = make_finding(s, kind, o, path, sighting->file_fd);
    if (!f)
        return;
    f->first_usec = f->last_usec = sighting->time_usec;
    f->count = sighting->count;
    bool collect = watch_may_collect(s);
    if (collect && sighting->pidfd != -ESRCH)
        wait_for_exec(s, f, sighting->host_pid, script);
    evidence_report(s, f, sighting->host_pid, sighting->pidfd, collect);
}

bool foreign_is_marked(const WatchSubject *s, uint64_t mount_id) {
    int i = index_of(s, mount_id);
    return i >= 0 && s->marked >> i & 1;
}

/* By fanotify, which does not tell what is on a mount that was not marked. */
static bool is_told(const WatchSubject *s, int file_fd, Origin o) {
    struct statx x;
    return (o == ORIGIN_LAYER || o == ORIGIN_CHANGED || o == ORIGIN_MOUNT) && ask(file_fd, &x) &&
           foreign_is_marked(s, x.stx_mnt_id);
}

/* A script that was itself executed has given the process its name: fanotify has told of that one. */
static bool was_executed(int dir_fd, const char *script) {
    char name[32];
    ssize_t n = evidence_read(dir_fd, "comm", name, sizeof(name));
    name[n > 0 ? strcspn(name, "\n") : 0] = 0;
    return n > 0 && strncmp(name, base_name(script), FINDING_NAME_MAX - 1) == 0;
}

/* A descriptor of the process's own has no path that could be looked up: what it leads to is asked of the process. */
static int open_script(const WatchSubject *s, int dir_fd, const char *script) {
    static const char *const places[] = { "/proc/self/fd/", "/dev/fd/" };
    char path[32];
    for (size_t i = 0; i < ELEMENTSOF(places); i++) {
        size_t n = strlen(places[i]);
        if (strncmp(script, places[i], n) != 0)
            continue;
        const char *number = script + n;
        if (!*number || number[strspn(number, "0123456789")] || strlen(number) > 10)
            return -ENOENT;
        (void) snprintf(path, sizeof(path), "fd/%s", number);
        int fd = openat(dir_fd, path, O_PATH | O_CLOEXEC);
        return fd < 0 ? -errno : fd;
    }
    return foreign_resolve(s, dir_fd, script);
}

static void look_for_script(WatchSubject *s, int dir_fd, const char *exe, pid_t pid, bool unseen) {
    char text[FINDING_ARGUMENT_BYTES], *command[FINDING_ARGUMENTS_MAX + 1] = { NULL }, path[PATH_MAX];
    if (interpreter_of(base_name(exe)) < 0 && strcmp(base_name(exe), "busybox") != 0)
        return;
    ssize_t n = reader_read(s, dir_fd, "cmdline", text, sizeof(text));
    reader_count(s, n);
    char *p = text;
    for (size_t i = 0; n > 0 && i < FINDING_ARGUMENTS_MAX && p < text + n; i++, p += strlen(p) + 1)
        command[i] = p;
    const char *script = n > 0 ? foreign_script_operand(exe, command) : NULL;
    _cleanup_fd_ int fd = script ? open_script(s, dir_fd, script) : -EBADF;
    if (fd < 0)
        return;
    Origin o = foreign_origin(s, fd, path);
    struct statx x;
    if (o == ORIGIN_IMAGE || o == ORIGIN_ELSEWHERE || !ask(fd, &x) || !S_ISREG(x.stx_mode) ||
        (!unseen && is_told(s, fd, o) && was_executed(dir_fd, script)))
        return;
    FindingKind kind = is_linker(base_name(exe)) ? FINDING_FOREIGN_PROGRAM : FINDING_FOREIGN_SCRIPT;
    Finding *f = watch_wants(s, kind) ? make_finding(s, kind, o, path, fd) : NULL;
    if (f)
        evidence_report(s, f, pid, -EBADF, watch_may_collect(s));
}

static void look_at_program(WatchSubject *s, pid_t host_pid, int program_fd, bool unseen) {
    char path[PATH_MAX];
    _cleanup_fd_ int dir_fd = evidence_open_member(s, host_pid);
    _cleanup_fd_ int opened = dir_fd < 0 || program_fd >= 0 ? -EBADF : openat(dir_fd, "exe", O_PATH | O_CLOEXEC);
    int exe = program_fd >= 0 ? program_fd : opened;
    if (exe < 0)
        return;
    Origin o = foreign_origin(s, exe, path);
    if (o == ORIGIN_IMAGE && dir_fd >= 0 &&
        (watch_wants(s, FINDING_FOREIGN_SCRIPT) || watch_wants(s, FINDING_FOREIGN_PROGRAM)))
        look_for_script(s, dir_fd, path, host_pid, unseen);
    if (o == ORIGIN_IMAGE || (!unseen && is_told(s, exe, o)) || (o == ORIGIN_MEMFD && s->init && host_pid == s->pid))
        return;
    FindingKind kind = o == ORIGIN_DELETED ? FINDING_DELETED_PROGRAM : FINDING_FOREIGN_PROGRAM;
    Finding *f = watch_wants(s, kind) ? make_finding(s, kind, o, path, exe) : NULL;
    if (f)
        evidence_report(s, f, host_pid, dir_fd < 0 ? -ESRCH : -EBADF, watch_may_collect(s));
}

void foreign_executed(WatchSubject *s, pid_t host_pid, int program_fd) {
    look_at_program(s, host_pid, program_fd, false);
}

void foreign_unseen(WatchSubject *s, pid_t host_pid) {
    look_at_program(s, host_pid, -EBADF, true);
}
