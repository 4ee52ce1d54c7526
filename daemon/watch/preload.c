/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Libraries that a program is made to load before its own.
 *
 * What the environment held when the program was executed lies in the process's memory, and may have been overwritten since:
 * so this is looked at right after the exec, and what was overwritten by then escapes. A name without a slash is looked for
 * where libraries are, which is the image's; only one that leads to a file of its own is followed, within the container's
 * root.
 */

#include "watch/internal.h"

#include "util/paths.h"

#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/stat.h>

#define ENVIRONMENT_BYTES 32768U
#define FILE_PERIOD_USEC  1000000U
#define PRELOAD_FILE      "/etc/ld.so.preload"

static const char *const variables[] = { "LD_PRELOAD=", "LD_AUDIT=" };

static void report(WatchSubject *s, pid_t pid, const char *evidence, const char *path, Origin o) {
    Finding *f = finding_new(FINDING_PRELOAD, FINDING_MEDIUM);
    if (!f)
        return;
    evidence_set(f, "%s names %.300s, from %s", evidence, path, foreign_describe(o));
    f->host_pid = pid;
    if (!watch_may_collect(s)) {
        evidence_program(pid, f);
        watch_count(s, f);
        return;
    }
    (void) evidence_collect(s, pid, -EBADF, f);
    watch_report(s, f);
}

static void look_at_name(WatchSubject *s, int dir_fd, pid_t pid, const char *variable, const char *name) {
    char path[PATH_MAX], what[32];
    if (!strchr(name, '/'))
        return;
    _cleanup_fd_ int fd = foreign_resolve(s, dir_fd, name);
    if (fd < 0)
        return; /* the loader does not find it either */
    Origin o = foreign_origin(s, fd, path);
    if (o == ORIGIN_IMAGE)
        return;
    (void) snprintf(what, sizeof(what), "%.*s", (int) strcspn(variable, "="), variable);
    report(s, pid, what, path, o);
}

static void look_at_environment(WatchSubject *s, int dir_fd, pid_t pid, char *text, size_t size) {
    for (char *p = text; p < text + size; p += strlen(p) + 1)
        for (size_t i = 0; i < ELEMENTSOF(variables); i++) {
            size_t length = strlen(variables[i]);
            if (strncmp(p, variables[i], length) != 0)
                continue;
            char names[PATH_MAX], *state = NULL;
            (void) snprintf(names, sizeof(names), "%s", p + length);
            for (char *n = strtok_r(names, " :", &state); n; n = strtok_r(NULL, " :", &state))
                look_at_name(s, dir_fd, pid, variables[i], n);
        }
}

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
    _cleanup_fd_ int dir_fd = evidence_open(host_pid);
    _cleanup_free_ char *text = dir_fd < 0 ? NULL : malloc(ENVIRONMENT_BYTES);
    if (!text)
        return;
    look_at_file(s, dir_fd, host_pid);
    ssize_t n = reader_read(s, dir_fd, "environ", text, ENVIRONMENT_BYTES);
    reader_count(s, n);
    if (n > 0)
        look_at_environment(s, dir_fd, host_pid, text, (size_t) n);
}

void preload_look_again(WatchSubject *s) {
    _cleanup_fd_ int dir_fd = s->preload_due ? evidence_open(s->pid) : -EBADF;
    if (dir_fd >= 0)
        look_at_file(s, dir_fd, s->pid);
}
