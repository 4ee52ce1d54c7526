/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Libraries that a program is made to load before its own.
 *
 * What the environment held when the program was executed lies in the process's memory, and may have been overwritten since:
 * so this is looked at right after the exec, and what was overwritten by then escapes. A name with a slash is followed within
 * the container's root. One without is looked for by the loader in the directories of LD_LIBRARY_PATH, and here as well;
 * then where the system's libraries are, which is taken for the image's and is not looked at. A `$` stands for what only the
 * loader knows: such a name is told of as it is.
 *
 * How much there is to look up is the container's choice. Each process has a number of names and of look-ups, and each
 * container a share of time: what goes beyond is counted as dropped, and so is an environment of which not all was read.
 */

#include "watch/internal.h"

#include "util/paths.h"
#include "util/process.h"

#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/stat.h>

#define ENVIRONMENT_BYTES 32768U
#define NAMES_MAX         32U
#define LOOKUPS_MAX       256U
#define SHARE_USEC        200000U /* of each second */
#define FILE_PERIOD_USEC  1000000U
#define PRELOAD_FILE      "/etc/ld.so.preload"

#define LIBRARY_PATH "LD_LIBRARY_PATH="

static const char *const variables[] = { "LD_PRELOAD=", "LD_AUDIT=" };

/* Where the GNU C library looks in each directory before it looks in the directory itself, since 2.33. */
static const char *const subdirectories[] = {
#if defined(__x86_64__)
    "glibc-hwcaps/x86-64-v4/",
    "glibc-hwcaps/x86-64-v3/",
    "glibc-hwcaps/x86-64-v2/",
#endif
    "",
};

/* ---- one process ---- */

typedef struct Search {
    WatchSubject *subject;
    int dir_fd;
    pid_t pid;
    const char *text, *end; /* its environment; a NUL is at the end */
    unsigned names, lookups;
    bool cut; /* there was more */
} Search;

static void report(const Search *c, const char *variable, const char *path, const char *where) {
    WatchSubject *s = c->subject;
    Finding *f = finding_new(FINDING_PRELOAD, FINDING_MEDIUM);
    if (!f)
        return;
    evidence_set(f, "%.*s names %.300s, %s", (int) strcspn(variable, "="), variable, path, where);
    evidence_report(s, f, c->pid, -EBADF, watch_may_collect(s));
}

static void look_at_path(Search *c, const char *variable, const char *name) {
    char path[PATH_MAX], where[64];
    if (c->lookups++ >= LOOKUPS_MAX) {
        c->cut = true;
        return;
    }
    if (strchr(name, '$')) {
        report(c, variable, name, "which the loader completes");
        return;
    }
    _cleanup_fd_ int fd = foreign_resolve(c->subject, c->dir_fd, name);
    if (fd < 0)
        return; /* the loader does not find it either */
    Origin o = foreign_origin(c->subject, fd, path);
    if (o == ORIGIN_IMAGE)
        return;
    (void) snprintf(where, sizeof(where), "from %s", foreign_describe(o));
    report(c, variable, path, where);
}

/* An empty directory is the working directory. */
static void look_in_directory(Search *c, const char *variable, const char *directory, size_t length, const char *name) {
    char path[PATH_MAX];
    bool completes = memchr(directory, '$', length); /* once, whatever is beneath */
    for (size_t i = completes ? ELEMENTSOF(subdirectories) - 1 : 0; i < ELEMENTSOF(subdirectories); i++) {
        int n = snprintf(path, sizeof(path), "%.*s/%s%s", length > 0 ? (int) length : 1, length > 0 ? directory : ".",
                         subdirectories[i], name);
        if (n > 0 && (size_t) n < sizeof(path))
            look_at_path(c, variable, path);
    }
}

static void look_in_directories(Search *c, const char *variable, const char *name) {
    for (const char *p = c->text; p < c->end; p += strlen(p) + 1) {
        if (strncmp(p, LIBRARY_PATH, sizeof(LIBRARY_PATH) - 1) != 0)
            continue;
        for (const char *d = p + sizeof(LIBRARY_PATH) - 1;; d++) {
            size_t length = strcspn(d, ":;");
            look_in_directory(c, variable, d, length, name);
            d += length;
            if (!*d || c->cut)
                break;
        }
    }
}

static void look_at_name(Search *c, const char *variable, const char *text, size_t length) {
    char name[PATH_MAX];
    if (c->names++ >= NAMES_MAX) {
        c->cut = true;
        return;
    }
    if (length >= sizeof(name)) /* nor can the loader open it */
        return;
    memcpy(name, text, length);
    name[length] = 0;
    if (strchr(name, '/'))
        look_at_path(c, variable, name);
    else
        look_in_directories(c, variable, name);
}

static bool has_time(const WatchSubject *s) {
    return s->preload_spent_usec < SHARE_USEC;
}

/* A name may lead to a large file, which is compared with the image's whole. */
static void look_at_names(Search *c, const char *variable, const char *names) {
    WatchSubject *s = c->subject;
    for (const char *n = names + strspn(names, " :"); *n && !c->cut; n += strspn(n, " :")) {
        size_t length = strcspn(n, " :");
        uint64_t began = watch_now();
        if (has_time(s))
            look_at_name(c, variable, n, length);
        else
            c->cut = true;
        s->preload_spent_usec += watch_now() - began;
        n += length;
    }
}

static void look_at_environment(Search *c) {
    WatchSubject *s = c->subject;
    uint64_t now = watch_now();
    if (now - s->preload_second_usec >= 1000000U) {
        s->preload_second_usec = now;
        s->preload_spent_usec = 0;
    }
    for (const char *p = c->text; p < c->end && !c->cut; p += strlen(p) + 1)
        for (size_t i = 0; i < ELEMENTSOF(variables); i++) {
            size_t length = strlen(variables[i]);
            if (strncmp(p, variables[i], length) == 0)
                look_at_names(c, variables[i], p + length);
        }
    if (c->cut)
        (void) atomic_fetch_add(&s->dropped, 1);
}

/* ---- all of a container's ---- */

/* It holds for every program of the container's. */
static void look_at_file(WatchSubject *s, int dir_fd, pid_t pid) {
    struct stat st;
    char path[PATH_MAX];
    uint64_t now = watch_now();
    s->preload_due = now - s->preload_usec < FILE_PERIOD_USEC;
    if (s->preload_due)
        return;
    s->preload_usec = now;
    _cleanup_fd_ int fd = foreign_resolve(s, dir_fd, PRELOAD_FILE);
    if (fd < 0 || !foreign_is_local(s, fd) || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size == 0)
        return;
    Origin o = foreign_origin(s, fd, path);
    if (o == ORIGIN_IMAGE)
        return;
    Finding *f = finding_new(FINDING_PRELOAD, FINDING_MEDIUM);
    if (!f)
        return;
    /* of no single process */
    evidence_set(f, "%s is from %s: every program loads what it names", PRELOAD_FILE, foreign_describe(o));
    f->program = strdup(PRELOAD_FILE);
    (void) evidence_identity(fd, NULL, f);
    evidence_hash_for(s, fd, f);
    watch_report(s, f);
}

void preload_look(WatchSubject *s, pid_t host_pid) {
    _cleanup_fd_ int dir_fd = evidence_open_member(s, host_pid);
    _cleanup_free_ char *text = dir_fd < 0 ? NULL : malloc(ENVIRONMENT_BYTES);
    if (!text)
        return;
    look_at_file(s, dir_fd, host_pid);
    ssize_t n = reader_read(s, dir_fd, "environ", text, ENVIRONMENT_BYTES);
    reader_count(s, n);
    if (n <= 0)
        return;
    Search c = { s, dir_fd, host_pid, text, text + n, 0, 0, n >= (ssize_t) ENVIRONMENT_BYTES - 1 };
    look_at_environment(&c);
}

void preload_look_again(WatchSubject *s) {
    _cleanup_fd_ int dir_fd = s->preload_due ? evidence_open_member(s, s->pid) : -EBADF;
    if (dir_fd >= 0 && process_pidfd_pid(s->pidfd) == s->pid)
        look_at_file(s, dir_fd, s->pid);
}
