/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Processes.
 *
 * Signals and exits go by pidfd alone. Reading /proc begins with one fd of /proc/PID: it stays bound to that process,
 * so that a pid which is handed out again meanwhile gives ESRCH and never another process's data. Names and command
 * lines are whatever the process wrote there: bounded, otherwise passed on as they are.
 */

#include "util/process.h"

#include "util/fds.h"
#include "util/parse.h"
#include "util/paths.h"

#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <time.h>

#define COMMAND_BYTES_MAX (32U * 1024U)
#define COMMAND_ARGS_MAX  1024U
/* A process may have 65,536 groups, which come before most of the rest. */
#define STATUS_MAX   (2U * 1024U * 1024U)
#define STATUS_USUAL 4096U

/* From the kernel's include/uapi/linux/pidfd.h, 6.15: newer than the headers of the distributions we build on. */
#define KENNEL_PIDFD_INFO_EXIT (1ULL << 3)
struct kennel_pidfd_info {
    uint64_t mask, cgroupid;
    uint32_t pid, tgid, ppid, ruid, rgid, euid, egid, suid, sgid, fsuid, fsgid;
    int32_t exit_code;
};
#define KENNEL_PIDFD_GET_INFO _IOWR(0xFF, 11, struct kennel_pidfd_info)

/* ---- pidfds ---- */

const char *process_status_field(const char *status, const char *key) {
    size_t n = strlen(key);
    for (const char *line = status; line; line = strchr(line, '\n')) {
        line += *line == '\n';
        if (strncmp(line, key, n) == 0 && line[n] == ':')
            return line + n + 1;
    }
    return NULL;
}

int process_pidfd_open(pid_t pid) {
    int fd = pidfd_open(pid, 0);
    return fd < 0 ? -errno : fd;
}

int process_pidfd_signal(int pidfd, int sig) {
    return pidfd_send_signal(pidfd, sig, NULL, 0) < 0 ? -errno : 0;
}

/* Reads a file of /proc beneath DIR_FD into BUFFER and terminates it; what does not fit is cut. */
static ssize_t read_proc(int dir_fd, const char *name, char *buffer, size_t size) {
    _cleanup_fd_ int fd = openat(dir_fd, name, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -errno : fd_read_all(fd, buffer, size - 1);
    if (n < 0)
        return n == -ENOENT ? -ESRCH : n;
    buffer[n] = 0;
    return n;
}

pid_t process_pidfd_pid(int pidfd) {
    char path[sizeof("/proc/self/fdinfo/") + 3 * sizeof(int)], text[1024];
    (void) snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", pidfd);
    ssize_t n = read_proc(AT_FDCWD, path, text, sizeof(text));
    if (n < 0)
        return n == -ESRCH ? -EBADF : (pid_t) n;
    const char *pid = process_status_field(text, "Pid");
    if (!pid)
        return -EBADF; /* not a pidfd */
    long value = strtol(pid, NULL, 10);
    return value > 0 ? (pid_t) value : -ESRCH; /* -1: reaped; 0: outside our pid namespace */
}

/* ---- exits ---- */

ProcessExit process_exit_from_status(int status) {
    if (WIFSIGNALED(status))
        return (ProcessExit){ .known = true, .code = 128 + WTERMSIG(status), .signal = WTERMSIG(status) };
    return (ProcessExit){ .known = true, .code = WEXITSTATUS(status) };
}

/* 1 with the wait status, 0 where this kernel can't tell. */
static int exit_from_pidfd_info(int pidfd, int *ret_status) {
    struct kennel_pidfd_info info = { .mask = KENNEL_PIDFD_INFO_EXIT };
    if (ioctl(pidfd, KENNEL_PIDFD_GET_INFO, &info) < 0 || !(info.mask & KENNEL_PIDFD_INFO_EXIT))
        return 0;
    *ret_status = info.exit_code;
    return 1;
}

/* The fields of /proc/PID/stat behind the name, which may itself contain blanks and parentheses. Field 3 is FIELDS[0].
 */
#define STAT_FIELDS 50U
static int read_stat(int proc_fd, char *buffer, size_t size, char *fields[STAT_FIELDS], char **ret_name) {
    ssize_t n = read_proc(proc_fd, "stat", buffer, size);
    if (n < 0)
        return (int) n;
    char *open_paren = strchr(buffer, '('), *close_paren = strrchr(buffer, ')');
    if (!open_paren || !close_paren || close_paren < open_paren)
        return -EBADMSG;
    *close_paren = 0;
    if (ret_name)
        *ret_name = open_paren + 1;
    char *state = NULL;
    for (size_t i = 0; i < STAT_FIELDS; i++) {
        fields[i] = strtok_r(i == 0 ? close_paren + 1 : NULL, " \n", &state);
        if (!fields[i])
            return -EBADMSG;
    }
    return 0;
}

static int open_proc(pid_t pid) {
    char path[sizeof("/proc/") + 3 * sizeof(pid_t)];
    (void) snprintf(path, sizeof(path), "/proc/%d", (int) pid);
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return fd >= 0 ? fd : errno == ENOENT ? -ESRCH : -errno;
}

/* Of a process that has ended but whose parent has not reaped it yet: field 52, shown to who may ptrace it. */
static int exit_from_zombie(int pidfd, int *ret_status) {
    pid_t pid = process_pidfd_pid(pidfd);
    if (pid < 0)
        return 0;
    _cleanup_fd_ int proc_fd = open_proc(pid);
    char buffer[1024], *fields[STAT_FIELDS];
    if (proc_fd < 0 || read_stat(proc_fd, buffer, sizeof(buffer), fields, NULL) < 0 || fields[0][0] != 'Z')
        return 0;
    if (process_pidfd_pid(pidfd) != pid) /* else the stat may be of another */
        return 0;
    uint32_t status;
    if (parse_u32(fields[49], &status) < 0)
        return 0;
    *ret_status = (int) status;
    return 1;
}

int process_reap(int pidfd, ProcessExit *ret) {
    siginfo_t info = { 0 };
    int r;
    do
        r = waitid(P_PIDFD, (id_t) pidfd, &info, WEXITED | WNOHANG);
    while (r < 0 && errno == EINTR);
    if (r == 0 && info.si_pid == 0)
        return -EAGAIN;
    if (r == 0) {
        bool exited = info.si_code == CLD_EXITED;
        *ret = (ProcessExit){ true, exited ? info.si_status : 128 + info.si_status, exited ? 0 : info.si_status };
        return 0;
    }
    if (errno != ECHILD)
        return -errno;

    struct pollfd p = { .fd = pidfd, .events = POLLIN };
    if (poll(&p, 1, 0) < 0)
        return -errno;
    if (p.revents == 0)
        return -EAGAIN;
    /* Twice, for its parent may reap it between the two questions. */
    int status;
    bool known = exit_from_pidfd_info(pidfd, &status) || exit_from_zombie(pidfd, &status) ||
                 exit_from_pidfd_info(pidfd, &status);
    *ret = known ? process_exit_from_status(status) : (ProcessExit){ .known = false };
    return 0;
}

/* ---- signals ---- */

static const char *const realtime_names[] = {
    "RTMIN",    "RTMIN+1",  "RTMIN+2",  "RTMIN+3",  "RTMIN+4",  "RTMIN+5",  "RTMIN+6",  "RTMIN+7",
    "RTMIN+8",  "RTMIN+9",  "RTMIN+10", "RTMIN+11", "RTMIN+12", "RTMIN+13", "RTMIN+14", "RTMIN+15",
    "RTMIN+16", "RTMIN+17", "RTMIN+18", "RTMIN+19", "RTMIN+20", "RTMIN+21", "RTMIN+22", "RTMIN+23",
    "RTMIN+24", "RTMIN+25", "RTMIN+26", "RTMIN+27", "RTMIN+28", "RTMIN+29", "RTMIN+30",
};

static const struct {
    const char *name;
    int sig;
} signal_aliases[] = { { "IOT", SIGABRT }, { "CLD", SIGCHLD }, { "IO", SIGIO } };

/* "RTMIN+N" or "RTMAX-N", N a number without leading text; "RTMIN" and "RTMAX" alone are in the caller's reach too. */
static int realtime_from_string(const char *name) {
    bool from_min = strncasecmp(name, "RTMIN", 5) == 0;
    if (!from_min && strncasecmp(name, "RTMAX", 5) != 0)
        return -EINVAL;
    uint32_t offset = 0;
    if (name[5] && (name[5] != (from_min ? '+' : '-') || parse_u32(name + 6, &offset) < 0))
        return -EINVAL;
    if (offset > (uint32_t) (SIGRTMAX - SIGRTMIN))
        return -EINVAL;
    return from_min ? SIGRTMIN + (int) offset : SIGRTMAX - (int) offset;
}

int process_signal_from_string(const char *name) {
    uint32_t number;
    if (parse_u32(name, &number) >= 0)
        return number >= 1 && number <= (uint32_t) SIGRTMAX ? (int) number : -EINVAL;
    if (strncasecmp(name, "SIG", 3) == 0)
        name += 3;
    for (int sig = 1; sig < SIGRTMIN; sig++) {
        const char *known = sigabbrev_np(sig);
        if (known && strcasecmp(name, known) == 0)
            return sig;
    }
    for (size_t i = 0; i < ELEMENTSOF(signal_aliases); i++)
        if (strcasecmp(name, signal_aliases[i].name) == 0)
            return signal_aliases[i].sig;
    return realtime_from_string(name);
}

const char *process_signal_to_string(int sig) {
    if (sig >= SIGRTMIN && sig <= SIGRTMAX && (size_t) (sig - SIGRTMIN) < ELEMENTSOF(realtime_names))
        return realtime_names[sig - SIGRTMIN];
    if (sig == 32 || sig == 33) /* the C library's own: they have numbers alone */
        return sig == 32 ? "32" : "33";
    return sig > 0 ? sigabbrev_np(sig) : NULL;
}

/* ---- /proc ---- */

int process_start_time(pid_t pid, uint64_t *ret) {
    _cleanup_fd_ int proc_fd = open_proc(pid);
    if (proc_fd < 0)
        return proc_fd;
    char buffer[1024], *fields[STAT_FIELDS];
    int r = read_stat(proc_fd, buffer, sizeof(buffer), fields, NULL);
    if (r < 0)
        return r;
    return parse_u64(fields[22 - 3], ret) < 0 ? -EBADMSG : 0;
}

int process_parent(pid_t pid, pid_t *ret) {
    _cleanup_fd_ int proc_fd = open_proc(pid);
    if (proc_fd < 0)
        return proc_fd;
    char buffer[1024], *fields[STAT_FIELDS];
    uint32_t parent;
    int r = read_stat(proc_fd, buffer, sizeof(buffer), fields, NULL);
    if (r < 0)
        return r;
    if (parse_u32(fields[4 - 3], &parent) < 0)
        return -EBADMSG;
    *ret = (pid_t) parent;
    return 0;
}

int process_status_read(pid_t pid, char **ret) {
    _cleanup_fd_ int proc_fd = open_proc(pid);
    if (proc_fd < 0)
        return proc_fd;
    int r = path_read_file_at(proc_fd, "status", 0, STATUS_MAX, ret, NULL);
    return r == -ENOENT ? -ESRCH : r;
}

/* The pid in the innermost of the process's pid namespaces, and how many there are from ours on. */
static unsigned innermost_pid(const char *status, pid_t *ret) {
    const char *p = process_status_field(status, "NSpid");
    unsigned levels = 0;
    while (p && *p == '\t') {
        char *end;
        *ret = (pid_t) strtol(p + 1, &end, 10);
        levels++;
        p = end;
    }
    return levels;
}

/* A parent is in the namespace of its child or in one further out, never beside it: equal depth means the same one. */
/* In BUFFER, as nearly always, or to be freed by RET_WHOLE: its numbers come after its groups, of which there can be many. */
static const char *read_status(int proc_fd, char buffer[static STATUS_USUAL], char **ret_whole) {
    if (read_proc(proc_fd, "status", buffer, STATUS_USUAL) < 0)
        return NULL;
    if (process_status_field(buffer, "NSpgid"))
        return buffer;
    return path_read_file_at(proc_fd, "status", 0, STATUS_MAX, ret_whole, NULL) < 0 ? NULL : *ret_whole;
}

static pid_t parent_in_namespace(pid_t host_parent, unsigned levels) {
    if (host_parent <= 0)
        return 0;
    _cleanup_fd_ int proc_fd = open_proc(host_parent);
    _cleanup_free_ char *whole = NULL;
    char buffer[STATUS_USUAL];
    pid_t pid = 0;
    const char *status = proc_fd < 0 ? NULL : read_status(proc_fd, buffer, &whole);
    return status && innermost_pid(status, &pid) == levels ? pid : 0;
}

static int split_command(const char *text, size_t size, char ***ret) {
    while (size > 0 && text[size - 1] == 0) /* its own terminator, and what a process leaves that shortens its title */
        size--;
    size_t n = 1;
    for (size_t i = 0; i < size; i++)
        n += text[i] == 0;
    if (n > COMMAND_ARGS_MAX)
        n = COMMAND_ARGS_MAX;
    _cleanup_(strv_freep) char **command = calloc(n + 1, sizeof(char *));
    if (!command)
        return -ENOMEM;
    const char *p = text;
    for (size_t i = 0; i < n; i++) {
        command[i] = strdup(p);
        if (!command[i])
            return -ENOMEM;
        p += strlen(p) + 1;
    }
    *ret = TAKE_PTR(command);
    return 0;
}

static int read_command(int proc_fd, bool with_arguments, const char *name, char ***ret) {
    _cleanup_free_ char *buffer = malloc(COMMAND_BYTES_MAX);
    if (!buffer)
        return -ENOMEM;
    ssize_t n = with_arguments ? read_proc(proc_fd, "cmdline", buffer, COMMAND_BYTES_MAX) : 0;
    if (n < 0)
        return (int) n;
    if (n == 0) /* a kernel thread or a zombie */
        n = snprintf(buffer, COMMAND_BYTES_MAX, "[%s]", name);
    return split_command(buffer, (size_t) n, ret);
}

static uint64_t usec_of_clock(clockid_t clock) {
    struct timespec t;
    (void) clock_gettime(clock, &t);
    return (uint64_t) t.tv_sec * 1000000U + (uint64_t) t.tv_nsec / 1000U;
}

static int fill_from_stat(ProcessInfo *i, char *fields[STAT_FIELDS]) {
    uint64_t user, system, threads, started, pages;
    uint32_t parent;
    if (parse_u32(fields[4 - 3], &parent) < 0 || parse_u64(fields[14 - 3], &user) < 0 ||
        parse_u64(fields[15 - 3], &system) < 0 || parse_u64(fields[20 - 3], &threads) < 0 ||
        parse_u64(fields[22 - 3], &started) < 0 || parse_u64(fields[24 - 3], &pages) < 0)
        return -EBADMSG;
    uint64_t tick_usec = 1000000U / (uint64_t) sysconf(_SC_CLK_TCK);
    i->state = fields[0][0];
    i->host_parent = (pid_t) parent;
    i->threads = (unsigned) threads;
    i->memory = pages * (uint64_t) sysconf(_SC_PAGESIZE);
    i->cpu_usec = (user + system) * tick_usec;
    i->started_usec = usec_of_clock(CLOCK_REALTIME) - usec_of_clock(CLOCK_BOOTTIME) + started * tick_usec;
    return 0;
}

int process_info_read(pid_t host_pid, bool with_arguments, ProcessInfo *ret) {
    _cleanup_fd_ int proc_fd = open_proc(host_pid);
    if (proc_fd < 0)
        return proc_fd;
    _cleanup_free_ char *whole = NULL;
    char buffer[1024], usual[STATUS_USUAL], *fields[STAT_FIELDS], *name;
    int r = read_stat(proc_fd, buffer, sizeof(buffer), fields, &name);
    if (r < 0)
        return r;
    const char *status = read_status(proc_fd, usual, &whole);
    if (!status)
        return -ESRCH;
    ProcessInfo i = { .host_pid = host_pid, .pid = host_pid };
    r = fill_from_stat(&i, fields);
    if (r < 0)
        return r;
    const char *uid = process_status_field(status, "Uid");
    if (!uid)
        return -EBADMSG;
    i.host_uid = (uid_t) strtoul(uid, NULL, 10);
    unsigned levels = innermost_pid(status, &i.pid);
    i.parent = parent_in_namespace(i.host_parent, levels);
    r = read_command(proc_fd, with_arguments, name, &i.command);
    if (r < 0)
        return r;
    *ret = i;
    return 0;
}

void process_info_done(ProcessInfo *i) {
    i->command = strv_free(i->command);
    *i = (ProcessInfo){ 0 };
}
