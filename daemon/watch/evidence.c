/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * What can be said of a process, from the host's /proc, and of its program, by the program's own descriptor.
 *
 * Everything of one process goes by one descriptor of /proc/PID, which stays bound to it: when the number is given to
 * another process meanwhile the reads fail and give nothing of that one's. Each part has an upper bound in size. What lies
 * in the process's memory is read last and by a thread that may be left behind (reader.c). A program is read only where its
 * file system never waits, and no more of them than a container's share: see evidence_hash_for().
 */

#include "watch/internal.h"

#include "util/fds.h"
#include "util/parse.h"
#include "util/paths.h"
#include "util/process.h"
#include "watch/sockets.h"

#include <fcntl.h>
#include <limits.h>
#include <linux/stat.h>
#include <sha2.h>
#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <time.h>

#define COMMAND_TRIES      20U
#define COMMAND_PAUSE_NSEC 1000000L
#define SOCKET_LINES_MAX   4000U /* of each file */
#define SHARE_USEC         (10U * 1000000U)
#define HASHES_KEPT        64U
#define STATUS_MAX         (2U * 1024U * 1024U)
#define MAPPED_BYTES       8192U /* of all paths together: a finding is sent whole */

/* ---- /proc ---- */

int evidence_open(pid_t host_pid) {
    char path[sizeof("/proc/") + 3 * sizeof(pid_t)];
    (void) snprintf(path, sizeof(path), "/proc/%d", (int) host_pid);
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return fd >= 0 ? fd : errno == ENOENT ? -ESRCH : -errno;
}

/* In its group, or in one below that. cgroup2's line is the first where there is no other, and the last where there are. */
static bool is_member(const WatchSubject *s, int dir_fd) {
    char text[4096];
    size_t n = strlen(s->cgroup_path);
    if (evidence_read(dir_fd, "cgroup", text, sizeof(text)) < 0)
        return false;
    const char *line = strncmp(text, "0::", 3) == 0 ? text : strstr(text, "\n0::");
    if (!line)
        return false;
    line += *line == '\n';
    return strncmp(line + 3, s->cgroup_path, n) == 0 && (line[3 + n] == '\n' || line[3 + n] == '/');
}

int evidence_open_member(const WatchSubject *s, pid_t host_pid) {
    _cleanup_fd_ int dir_fd = evidence_open(host_pid);
    return dir_fd < 0 || is_member(s, dir_fd) ? TAKE_FD(dir_fd) : -ESRCH;
}

ssize_t evidence_read(int dir_fd, const char *name, char *buffer, size_t size) {
    _cleanup_fd_ int fd = openat(dir_fd, name, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -errno : fd_read_all(fd, buffer, size - 1);
    if (n < 0)
        return n == -ENOENT ? -ESRCH : n;
    buffer[n] = 0;
    return n;
}

void evidence_set(Finding *f, const char *format, ...) {
    va_list ap;
    va_start(ap, format);
    (void) vsnprintf(f->evidence, sizeof(f->evidence), format, ap);
    va_end(ap);
}

void evidence_clean_path(char *path) {
    static const char deleted[] = " (deleted)", memfd[] = "/memfd:";
    size_t n = strlen(path), d = sizeof(deleted) - 1;
    bool gone = n > d && strcmp(path + n - d, deleted) == 0;
    if (gone)
        path[n - d] = 0;
    if (gone && strncmp(path, memfd, sizeof(memfd) - 1) == 0)
        memmove(path, path + 1, strlen(path));
}

static char *read_link(int dir_fd, const char *name, bool clean) {
    char path[PATH_MAX];
    ssize_t n = readlinkat(dir_fd, name, path, sizeof(path) - 1);
    if (n <= 0)
        return NULL;
    path[n] = 0;
    if (clean)
        evidence_clean_path(path);
    return strdup(path);
}

bool evidence_identity(int fd, const char *name, Finding *f) {
    struct statx x;
    if (statx(fd, name ?: "", AT_STATX_DONT_SYNC | (name ? 0 : AT_EMPTY_PATH), STATX_INO | STATX_SIZE, &x) < 0)
        return false;
    f->program_dev = makedev(x.stx_dev_major, x.stx_dev_minor);
    f->program_ino = x.stx_ino;
    f->program_size = x.stx_size;
    f->has_size = x.stx_mask & STATX_SIZE;
    return true;
}

void evidence_program(pid_t host_pid, Finding *f) {
    _cleanup_fd_ int dir_fd = evidence_open(host_pid);
    if (dir_fd < 0)
        return;
    f->program = f->program ?: read_link(dir_fd, "exe", true);
    if (f->program_ino == 0)
        (void) evidence_identity(dir_fd, "exe", f);
}

/* ---- hash ---- */

/* Stops early where nobody wants it any more. */
static bool hash_file(const WatchSubject *s, int fd, uint64_t size, char hex[static FINDING_SHA256_LENGTH + 1]) {
    static const char digits[] = "0123456789abcdef";
    unsigned char buffer[65536], digest[SHA256_DIGEST_LENGTH];
    SHA2_CTX context;
    SHA256Init(&context);
    for (uint64_t at = 0; at < size;) {
        ssize_t n = s && atomic_load(&s->closed) ? -1 : pread(fd, buffer, sizeof(buffer), (off_t) at);
        if (n < 0)
            return false;
        if (n == 0)
            break;
        SHA256Update(&context, buffer, (size_t) n);
        at += (uint64_t) n;
    }
    SHA256Final(digest, &context);
    for (size_t i = 0; i < sizeof(digest); i++) {
        hex[2 * i] = digits[digest[i] >> 4];
        hex[2 * i + 1] = digits[digest[i] & 15];
    }
    hex[FINDING_SHA256_LENGTH] = 0;
    return true;
}

/* O_PATH and the like cannot be read; the caller has made sure that opening does not wait. */
static int readable(int file_fd) {
    char path[40];
    (void) snprintf(path, sizeof(path), "/proc/self/fd/%d", file_fd);
    return open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
}

static bool stat_program(int file_fd, Finding *f, struct stat *st) {
    if (fstat(file_fd, st) < 0 || !S_ISREG(st->st_mode))
        return false;
    f->program_dev = st->st_dev;
    f->program_ino = st->st_ino;
    f->program_size = (uint64_t) st->st_size;
    f->has_size = true;
    return f->program_size <= FINDING_HASHED_MAX;
}

void evidence_hash(int file_fd, Finding *f) {
    struct stat st;
    if (!stat_program(file_fd, f, &st))
        return;
    _cleanup_fd_ int fd = readable(file_fd);
    if (fd < 0 || !hash_file(NULL, fd, f->program_size, f->program_sha256))
        f->program_sha256[0] = 0;
}

/* What was hashed last; the look's thread alone. A file that is written to has another ctime, or is written to by mapping,
 * which sets it later: then the hash is that of a moment before. */
static struct {
    dev_t dev;
    ino_t ino;
    struct timespec changed;
    off_t size;
    char hex[FINDING_SHA256_LENGTH + 1];
} hashes[HASHES_KEPT];
static size_t next_hash;

static bool find_hash(const struct stat *st, Finding *f) {
    for (size_t i = 0; i < HASHES_KEPT; i++)
        if (hashes[i].hex[0] && hashes[i].ino == st->st_ino && hashes[i].dev == st->st_dev &&
            hashes[i].size == st->st_size && memcmp(&hashes[i].changed, &st->st_ctim, sizeof(st->st_ctim)) == 0) {
            memcpy(f->program_sha256, hashes[i].hex, sizeof(hashes[i].hex));
            return true;
        }
    return false;
}

static void keep_hash(const struct stat *st, const Finding *f) {
    hashes[next_hash].dev = st->st_dev;
    hashes[next_hash].ino = st->st_ino;
    hashes[next_hash].changed = st->st_ctim;
    hashes[next_hash].size = st->st_size;
    memcpy(hashes[next_hash].hex, f->program_sha256, sizeof(f->program_sha256));
    next_hash = (next_hash + 1) % HASHES_KEPT;
}

/* One largest file every ten seconds for each container: more would take the look's time away from others. */
static bool within_share(WatchSubject *s, uint64_t size) {
    uint64_t now = watch_now();
    if (s->minute_usec == 0 || now - s->minute_usec >= SHARE_USEC) {
        s->minute_usec = now;
        s->hashed = 0;
    }
    if (s->hashed + size > FINDING_HASHED_MAX)
        return false;
    s->hashed += size;
    return true;
}

void evidence_hash_for(WatchSubject *s, int file_fd, Finding *f) {
    struct stat st;
    if (!foreign_is_local(s, file_fd) || !stat_program(file_fd, f, &st) || find_hash(&st, f) ||
        !within_share(s, f->program_size))
        return;
    _cleanup_fd_ int fd = readable(file_fd);
    if (fd >= 0 && hash_file(s, fd, f->program_size, f->program_sha256))
        keep_hash(&st, f);
    else
        f->program_sha256[0] = 0;
}

/* ---- one process ---- */

/* Name, parent and start time, of /proc/PID/stat: the name may hold anything but a NUL. */
static bool read_stat(int dir_fd, char name[static FINDING_NAME_MAX], pid_t *ret_parent, uint64_t *ret_start) {
    char text[1024];
    if (evidence_read(dir_fd, "stat", text, sizeof(text)) < 0)
        return false;
    char *open_paren = strchr(text, '('), *close_paren = strrchr(text, ')');
    if (!open_paren || !close_paren)
        return false;
    *close_paren = 0;
    (void) snprintf(name, FINDING_NAME_MAX, "%.15s", open_paren + 1);
    unsigned long long start;
    int parent;
    if (sscanf(close_paren + 1, " %*c %d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d %*d %llu",
               &parent, &start) != 2)
        return false;
    *ret_parent = parent;
    *ret_start = start;
    return true;
}

/* Before the numbers stand the groups, up to 65,536 of them. */
static char *read_status(int dir_fd) {
    char *text = NULL;
    size_t size;
    return path_read_file_at(dir_fd, "status", 0, STATUS_MAX, &text, &size) < 0 ? NULL : text;
}

/* The number in the innermost pid namespace; DEPTH of ours it has at least 2 if it is in a container. */
static pid_t inner_pid(int dir_fd, unsigned *ret_depth) {
    _cleanup_free_ char *long_text = NULL;
    char text[4096];
    *ret_depth = 0;
    const char *p = evidence_read(dir_fd, "status", text, sizeof(text)) < 0 ? NULL : strstr(text, "\nNSpid:");
    if (!p || !strchr(p + 1, '\n')) {
        long_text = read_status(dir_fd);
        p = long_text ? strstr(long_text, "\nNSpid:") : NULL;
    }
    pid_t pid = 0;
    for (p = p ? p + 7 : NULL; p && *p == '\t'; (*ret_depth)++) {
        char *end;
        pid = (pid_t) strtol(p + 1, &end, 10);
        p = end;
    }
    return pid;
}

static uint64_t started_usec(uint64_t start_time) {
    struct timespec real, boot;
    (void) clock_gettime(CLOCK_REALTIME, &real);
    (void) clock_gettime(CLOCK_BOOTTIME, &boot);
    int64_t difference = (real.tv_sec - boot.tv_sec) * 1000000 + (real.tv_nsec - boot.tv_nsec) / 1000;
    return (uint64_t) (difference + (int64_t) (start_time * 1000000U / (uint64_t) sysconf(_SC_CLK_TCK)));
}

/* Up to the container's first process, or the first that is outside of it. */
static void collect_parents(Finding *f, pid_t parent, unsigned depth) {
    FindingParent parents[FINDING_PARENTS_MAX];
    size_t n = 0;
    while (parent > 0 && n < FINDING_PARENTS_MAX) {
        FindingParent *p = &parents[n];
        uint64_t start;
        unsigned its_depth;
        _cleanup_fd_ int dir_fd = evidence_open(parent);
        *p = (FindingParent){ .host_pid = parent };
        if (dir_fd < 0 || !read_stat(dir_fd, p->name, &parent, &start))
            break;
        p->pid = inner_pid(dir_fd, &its_depth);
        if (its_depth < depth)
            p->pid = 0;
        n++;
        if (p->pid <= 1)
            break;
    }
    f->parents = n ? calloc(n, sizeof(FindingParent)) : NULL;
    if (f->parents) {
        memcpy(f->parents, parents, n * sizeof(FindingParent));
        f->n_parents = n;
    }
}

typedef struct SocketSearch {
    const uint64_t *inodes;
    size_t n, found;
    char **lines;
} SocketSearch;

static int on_socket(void *userdata, const SocketsEntry *e) {
    SocketSearch *s = userdata;
    char text[SOCKETS_TEXT_MAX];
    for (size_t i = 0; i < s->n; i++)
        if (e->inode != 0 && s->inodes[i] == e->inode) {
            s->lines[s->found] = strdup(sockets_format(e, text));
            s->found += s->lines[s->found] != NULL;
            break;
        }
    return s->found == s->n;
}

static void collect_sockets(Finding *f, int dir_fd) {
    uint64_t inodes[FINDING_SOCKETS_MAX];
    ssize_t n = sockets_of_process(dir_fd, inodes, ELEMENTSOF(inodes));
    if (n <= 0)
        return;
    SocketSearch search = { inodes, (size_t) n, 0, calloc((size_t) n + 1, sizeof(char *)) };
    if (!search.lines)
        return;
    (void) sockets_read(dir_fd, ~0U, SOCKET_LINES_MAX, on_socket, &search);
    f->sockets = search.found ? search.lines : strv_free(search.lines);
}

/* For an instant of each execve the process has its new program, and no arguments yet. */
static ssize_t read_command(WatchSubject *s, int dir_fd, char *text, size_t size) {
    ssize_t n = 0;
    for (unsigned i = 0; i < COMMAND_TRIES && n == 0 && (i == 0 || reader_has_patience(s)); i++) {
        if (i > 0)
            reader_waited(s, COMMAND_PAUSE_NSEC / 1000U);
        if (i > 0)
            (void) clock_nanosleep(CLOCK_MONOTONIC, 0, &(struct timespec){ .tv_nsec = COMMAND_PAUSE_NSEC }, NULL);
        n = reader_read(s, dir_fd, "cmdline", text, size);
    }
    return n;
}

static void collect_command(WatchSubject *s, Finding *f, int dir_fd) {
    char text[FINDING_ARGUMENT_BYTES];
    ssize_t n = read_command(s, dir_fd, text, sizeof(text));
    while (n > 0 && text[n - 1] == 0)
        n--;
    if (n <= 0)
        return;
    char **v = calloc(FINDING_ARGUMENTS_MAX + 1, sizeof(char *));
    const char *p = text;
    for (size_t i = 0; v && i < FINDING_ARGUMENTS_MAX && p <= text + n; i++) {
        v[i] = strdup(p);
        if (!v[i])
            break;
        p += strlen(p) + 1;
    }
    f->command = v;
}

static bool has_line(char **v, size_t n, const char *line) {
    for (size_t i = 0; i < n; i++)
        if (strcmp(v[i], line) == 0)
            return true;
    return false;
}

/* "from-to r-xp offset dev inode   path"; pseudo names ([vdso]) are nobody's file. */
static void collect_mapped(WatchSubject *s, Finding *f, int dir_fd) {
    static const size_t size = 65536;
    _cleanup_free_ char *text = malloc(size);
    if (!text || reader_read(s, dir_fd, "maps", text, size) <= 0)
        return;
    char **v = calloc(FINDING_MAPPED_MAX + 1, sizeof(char *)), *state = NULL;
    size_t n = 0, room = MAPPED_BYTES;
    for (char *line = strtok_r(text, "\n", &state); v && line && n < FINDING_MAPPED_MAX;
         line = strtok_r(NULL, "\n", &state)) {
        char mode[8] = "";
        int at = 0;
        if (sscanf(line, "%*s %7s %*s %*s %*s %n", mode, &at) != 1 || mode[2] != 'x' || at == 0 || line[at] != '/')
            continue;
        evidence_clean_path(line + at);
        size_t length = strlen(line + at);
        if (length <= room && !has_line(v, n, line + at) && (v[n] = strdup(line + at))) {
            room -= length;
            n++;
        }
    }
    f->mapped_files = n ? v : strv_free(v);
}

/* A start time is what names a process; with a pidfd the pid is known to have been its own up to now. */
static bool is_still(const Finding *f, int pidfd) {
    uint64_t start;
    if (pidfd >= 0)
        return process_pidfd_pid(pidfd) == f->host_pid;
    return process_start_time(f->host_pid, &start) >= 0 && start == f->start_time;
}

static void forget(Finding *f) {
    f->command = strv_free(f->command);
    f->sockets = strv_free(f->sockets);
    f->mapped_files = strv_free(f->mapped_files);
    free(f->parents);
    free(f->working_directory);
    f->parents = NULL;
    f->working_directory = NULL;
    f->n_parents = 0;
    f->process_name[0] = 0;
    f->pid = 0;
    f->start_time = f->started_usec = 0;
}

/* What was found by a file of its own has that one's hash, which may not be what runs. */
static void hash_program(WatchSubject *s, Finding *f, int dir_fd) {
    _cleanup_fd_ int fd = f->program_ino == 0 ? openat(dir_fd, "exe", O_PATH | O_CLOEXEC) : -EBADF;
    if (fd < 0 || !evidence_identity(fd, NULL, f))
        return;
    evidence_hash_for(s, fd, f);
}

void evidence_forget(Finding *f) {
    forget(f);
    free(f->program);
    f->program = NULL;
    f->program_dev = 0;
    f->program_ino = f->program_size = 0;
    f->has_size = false;
    f->program_sha256[0] = 0;
}

int evidence_process(WatchSubject *s, pid_t host_pid, int pidfd, Finding *f) {
    pid_t parent;
    unsigned depth;
    _cleanup_fd_ int dir_fd = pidfd == -ESRCH ? -ESRCH : evidence_open_member(s, host_pid);
    if (dir_fd < 0)
        return dir_fd;
    if (!read_stat(dir_fd, f->process_name, &parent, &f->start_time))
        return -ESRCH;
    f->host_pid = host_pid;
    f->started_usec = started_usec(f->start_time);
    f->pid = inner_pid(dir_fd, &depth);
    if (depth < 2)
        f->pid = 0;
    if (is_still(f, pidfd))
        return 0;
    forget(f);
    return -ESRCH;
}

static int collect(WatchSubject *s, int dir_fd, pid_t host_pid, int pidfd, Finding *f) {
    pid_t parent;
    unsigned depth;
    f->host_pid = host_pid;
    if (dir_fd < 0)
        return dir_fd;
    if (pidfd >= 0 && process_pidfd_pid(pidfd) != host_pid)
        return -ESRCH;
    if (!read_stat(dir_fd, f->process_name, &parent, &f->start_time))
        return -ESRCH;
    f->started_usec = started_usec(f->start_time);
    f->pid = inner_pid(dir_fd, &depth);
    if (depth < 2)
        f->pid = 0;
    f->program = f->program ?: read_link(dir_fd, "exe", true);
    hash_program(s, f, dir_fd);
    f->working_directory = read_link(dir_fd, "cwd", false);
    collect_parents(f, parent, depth);
    collect_sockets(f, dir_fd);
    collect_command(s, f, dir_fd);
    collect_mapped(s, f, dir_fd);
    if (is_still(f, pidfd))
        return 0;
    forget(f);
    return -ESRCH;
}

int evidence_collect(WatchSubject *s, pid_t host_pid, int pidfd, Finding *f) {
    _cleanup_fd_ int dir_fd = evidence_open(host_pid);
    return collect(s, dir_fd, host_pid, pidfd, f);
}

int evidence_collect_member(WatchSubject *s, pid_t host_pid, int pidfd, Finding *f) {
    _cleanup_fd_ int dir_fd = pidfd == -ESRCH ? -ESRCH : evidence_open_member(s, host_pid);
    return collect(s, dir_fd, host_pid, pidfd, f);
}

/* Whatever there is no time for: what still runs has to be known by its process, or it could not be removed. */
void evidence_report(WatchSubject *s, Finding *consume_finding, pid_t pid, int pidfd, bool all) {
    Finding *f = consume_finding;
    f->host_pid = pid;
    if (!all) {
        bool lives = evidence_process(s, pid, pidfd, f) >= 0;
        if (lives)
            evidence_program(pid, f);
        (lives ? watch_report : watch_count)(s, f);
        return;
    }
    if (evidence_collect_member(s, pid, pidfd, f) < 0) {
        size_t n = strlen(f->evidence);
        (void) snprintf(f->evidence + n, sizeof(f->evidence) - n, "; the process had ended before it was looked at");
    }
    watch_report(s, f);
}
