/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Names that belong to somebody else.
 *
 * A process may call itself what it likes, and honest ones do: threads are named after their work, servers write their
 * state where arguments were. What honest ones do not do is to look like a thread of the kernel's, or to take for the whole
 * process the name of another program. So a name is only held against a process if it is the kernel's kind, or if it is that
 * of a program that exists (in the container's own directories, or in a short list of daemons that intruders like to be) and
 * shares nothing with its own: one that begins as the other does is a version, a worker, an abbreviation.
 */

#include "watch/internal.h"

#include "util/parse.h"

#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>

/* Beginnings of the kernel's threads' names, of which no program's name begins with one. */
static const char *const kernel_names[] = {
    "kworker/",     "ksoftirqd/",   "kthreadd",     "migration/", "rcu_",      "rcuo",        "rcub/",
    "rcuc/",        "kswapd",       "jbd2/",        "irq/",       "watchdog/", "watchdogd",   "cpuhp/",
    "idle_inject/", "kcompactd",    "khugepaged",   "ksmd",       "kauditd",   "kdevtmpfs",   "khungtaskd",
    "oom_reaper",   "scsi_eh_",     "scsi_tmf_",    "kblockd",    "kthrotld",  "kintegrityd", "kstrp",
    "ext4-rsv-con", "xfsaild/",     "xfs-",         "loop0",      "nfsiod",    "kdmflush",    "netns",
    "slub_flushwq", "inet_frag_wq", "mm_percpu_wq", "writeback",
};

static const char *const well_known[] = {
    "sshd",           "systemd",         "init",
    "cron",           "crond",           "atd",
    "dbus-daemon",    "dbus-broker",     "rsyslogd",
    "syslogd",        "syslog-ng",       "nginx",
    "apache2",        "httpd",           "postgres",
    "mysqld",         "mariadbd",        "redis-server",
    "agetty",         "getty",           "login",
    "udevd",          "polkitd",         "dockerd",
    "containerd",     "chronyd",         "ntpd",
    "dhclient",       "NetworkManager",  "systemd-udevd",
    "systemd-logind", "systemd-journal", "systemd-resolve",
};

static const char *const program_directories[] = { "/usr/bin/", "/usr/sbin/", "/bin/", "/sbin/", "/usr/local/bin/" };

static const char *base_name(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

static bool begins(const char *text, const char *beginning) {
    return strncmp(text, beginning, strlen(beginning)) == 0;
}

/* "[kworker/0:1]" as ps shows those without arguments, and the bare name; a word in brackets alone is a kernel thread's to
 * whoever reads ps. "(sd-pam)" is systemd's. */
static bool is_kernel_like(const char *name, bool is_argument) {
    if (is_argument && name[0] == '[')
        return strchr(name, ']') && !strchr(name, ' ');
    if (name[0] == '[')
        name++;
    for (size_t i = 0; i < ELEMENTSOF(kernel_names); i++) {
        size_t n = strlen(kernel_names[i]);
        bool whole = kernel_names[i][n - 1] != '/' && kernel_names[i][n - 1] != '_';
        if (begins(name, kernel_names[i]) && (!whole || name[n + strspn(name + n, "0123456789]")] == 0))
            return true;
    }
    return false;
}

/* One begins with the other, a login shell's dash left out: python3 and python3.11, nginx and "nginx: worker". */
static bool are_related(const char *name, const char *other) {
    other += other[0] == '-';
    name += name[0] == '-';
    size_t n = strlen(name), m = strlen(other);
    return n > 0 && m > 0 && strncmp(name, other, n < m ? n : m) == 0;
}

DisguiseVerdict disguise_judge(const char *name, const char *exe, const char *argv0,
                               bool (*program_exists)(void *, const char *), void *userdata) {
    const char *program = base_name(exe);
    /* of multi-call programs the name of the call is the program's */
    const char *called = argv0 ? base_name(argv0) : "";
    bool same = strncmp(name, program, FINDING_NAME_MAX - 1) == 0;
    if (!same && is_kernel_like(name, !program_exists))
        return DISGUISE_KERNEL;
    if (!program_exists || !name[0] || are_related(name, program) || are_related(name, called))
        return DISGUISE_NONE;
    return program_exists(userdata, name) ? DISGUISE_OTHER : DISGUISE_NONE;
}

/* ---- a process ---- */

typedef struct Place {
    const WatchSubject *subject;
    int dir_fd;
    char *const *command;
    dev_t dev; /* of its program */
    ino_t ino;
} Place;

static bool is_well_known(const char *name) {
    for (size_t i = 0; i < ELEMENTSOF(well_known); i++)
        if (strncmp(name, well_known[i], FINDING_NAME_MAX - 1) == 0)
            return true;
    return false;
}

/* A name is cut at 15 bytes: then what begins with it cannot be looked up, and is not. Also a script's that runs as one: its
 * name is among the arguments. */
static bool exists(void *userdata, const char *name) {
    const Place *p = userdata;
    for (size_t i = 0; p->command && p->command[i]; i++)
        if (strncmp(base_name(p->command[i]), name, FINDING_NAME_MAX - 1) == 0)
            return false;
    if (strchr(name, '/') || strlen(name) >= FINDING_NAME_MAX - 1)
        return is_well_known(name);
    for (size_t i = 0; i < ELEMENTSOF(program_directories); i++) {
        char path[64];
        (void) snprintf(path, sizeof(path), "%s%s", program_directories[i], name);
        _cleanup_fd_ int fd = foreign_resolve(p->subject, p->dir_fd, path);
        struct stat st;
        if (fd >= 0 && foreign_is_local(p->subject, fd) && fstat(fd, &st) >= 0 && S_ISREG(st.st_mode) &&
            st.st_mode & 0111)
            return st.st_dev != p->dev || st.st_ino != p->ino; /* one program of many names */
    }
    return is_well_known(name);
}

/* The image's own busybox calls itself by what it does at the moment, whatever else has that name. */
static bool is_multi_call(const WatchSubject *s, int exe_fd, const char *exe) {
    return (begins(base_name(exe), "busybox") || begins(base_name(exe), "toybox")) &&
           foreign_origin(s, exe_fd, NULL) == ORIGIN_IMAGE;
}

static size_t read_arguments(WatchSubject *s, int dir_fd, char *text, size_t size, char **command, size_t max) {
    ssize_t n = reader_read(s, dir_fd, "cmdline", text, size);
    reader_count(s, n);
    size_t k = 0;
    for (char *p = text; n > 0 && k < max && p < text + n; p += strlen(p) + 1)
        command[k++] = p;
    return k;
}

static void report(WatchSubject *s, pid_t pid, DisguiseVerdict v, const char *name, const char *exe, bool argument) {
    Finding *f = finding_new(FINDING_DISGUISE, v == DISGUISE_KERNEL ? FINDING_HIGH : FINDING_MEDIUM);
    if (!f)
        return;
    if (v == DISGUISE_KERNEL)
        evidence_set(f, "it calls itself \"%.64s\"%s, as threads of the kernel are called, and runs %.200s", name,
                     argument ? " in its arguments" : "", exe);
    else
        evidence_set(f, "it calls itself \"%.64s\", which is another program, and runs %.200s", name, exe);
    (void) snprintf(f->process_name, sizeof(f->process_name), "%.15s", name); /* where it is over by now */
    evidence_report(s, f, pid, -EBADF, watch_may_collect(s));
}

/* Names that the kernel gave it with its program are its own by definition; only one that it took itself may be another's. */
static void look_at(WatchSubject *s, pid_t host_pid, bool renamed) {
    char name[32], exe[PATH_MAX], text[FINDING_ARGUMENT_BYTES], *command[FINDING_ARGUMENTS_MAX + 1] = { NULL };
    _cleanup_fd_ int dir_fd = evidence_open_member(s, host_pid);
    ssize_t n = dir_fd < 0 ? -1 : evidence_read(dir_fd, "comm", name, sizeof(name)),
            m = dir_fd < 0 ? -1 : readlinkat(dir_fd, "exe", exe, sizeof(exe) - 1);
    if (n <= 0 || m <= 0)
        return;
    name[strcspn(name, "\n")] = 0;
    exe[m] = 0;
    evidence_clean_path(exe);
    (void) read_arguments(s, dir_fd, text, sizeof(text), command, FINDING_ARGUMENTS_MAX);
    Finding program = { 0 };
    _cleanup_fd_ int exe_fd = openat(dir_fd, "exe", O_PATH | O_CLOEXEC);
    if (exe_fd < 0 || !evidence_identity(exe_fd, NULL, &program))
        return;
    Place place = { s, dir_fd, command, (dev_t) program.program_dev, program.program_ino };
    DisguiseVerdict v = disguise_judge(name, exe, command[0], exists, &place);
    if (v == DISGUISE_KERNEL || (v == DISGUISE_OTHER && renamed && command[0] && !is_multi_call(s, exe_fd, exe))) {
        report(s, host_pid, v, name, exe, false);
        return;
    }
    v = command[0] ? disguise_judge(command[0], exe, NULL, NULL, NULL) : DISGUISE_NONE;
    if (v != DISGUISE_NONE)
        report(s, host_pid, v, command[0], exe, true);
}

void disguise_look(WatchSubject *s, pid_t host_pid) {
    look_at(s, host_pid, true);
}

void disguise_executed(WatchSubject *s, pid_t host_pid) {
    look_at(s, host_pid, false);
}
