/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Ids: who the program is inside, and which host ids stand behind that.
 *
 * passwd and group come from the image, so they are hostile data: they can at most choose among the 65,536 ids of the
 * container itself.
 */

#include "sandbox/internal.h"
#include "util/fds.h"
#include "util/parse.h"
#include "util/paths.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>

#define DATABASE_MAX (1024U * 1024U)
#define FIELDS_MAX   7U

typedef struct Database {
    char *text;
    char *next;
} Database;

static void database_done(Database *d) {
    free(d->text);
}

/* An absent file is an empty one: images made for one static program have none. */
static int database_open(int root_fd, const char *path, Database *ret, Error *reterr) {
    size_t size;
    int r = path_read_file_at(root_fd, path, RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS, DATABASE_MAX, &ret->text, &size);
    if (r == -ENOENT || r == -ENOTDIR) {
        ret->text = ret->next = NULL;
        return 0;
    }
    if (r < 0)
        return error_invalid(reterr, "user", "/%s of the image cannot be read: %s", path, strerror(-r));
    ret->next = ret->text;
    return 0;
}

/* The next line, split at colons in place; 0 at the end. Lines with too many fields lose the last ones. */
static size_t database_next(Database *d, char *fields[static FIELDS_MAX]) {
    while (d->next && *d->next) {
        char *line = d->next;
        char *end = strchrnul(line, '\n');
        d->next = *end ? end + 1 : end;
        *end = 0;

        size_t n = 0;
        for (char *at = line; at && n < FIELDS_MAX; n++) {
            fields[n] = at;
            at = strchr(at, ':');
            if (at)
                *at++ = 0;
        }
        if (n > 0 && fields[0][0] != 0 && fields[0][0] != '#')
            return n;
    }
    return 0;
}

static int parse_contained_id(const char *text, uint32_t *ret) {
    uint32_t id;
    int r = parse_id(text, &id);
    if (r < 0)
        return r;
    if (id >= SANDBOX_ID_COUNT)
        return -ERANGE;
    *ret = id;
    return 0;
}

/* Finds NAME (or, with NAME NULL, the entry of *UID) in passwd. 1 if found. */
static int passwd_find(int root_fd, const char *name, uint32_t *uid, uint32_t *gid, char login[static 64],
                       Error *reterr) {
    _cleanup_(database_done) Database d = { 0 };
    char *f[FIELDS_MAX];
    size_t n;
    int r = database_open(root_fd, "etc/passwd", &d, reterr);
    if (r < 0)
        return r;
    while ((n = database_next(&d, f)) > 0) {
        uint32_t u, g;
        if (n < 4 || parse_contained_id(f[2], &u) < 0 || parse_contained_id(f[3], &g) < 0)
            continue;
        if (name ? strcmp(f[0], name) != 0 : u != *uid)
            continue;
        *uid = u;
        *gid = g;
        (void) snprintf(login, 64, "%s", f[0]);
        return 1;
    }
    return 0;
}

/* Finds the group NAME in *gid, or collects the groups that LOGIN is a member of. 1 if found. */
static int group_find(int root_fd, const char *name, const char *login, SandboxIds *ids, Error *reterr) {
    _cleanup_(database_done) Database d = { 0 };
    char *f[FIELDS_MAX];
    size_t n;
    int r = database_open(root_fd, "etc/group", &d, reterr);
    if (r < 0)
        return r;
    while ((n = database_next(&d, f)) > 0) {
        uint32_t g;
        if (n < 3 || parse_contained_id(f[2], &g) < 0)
            continue;
        if (name && strcmp(f[0], name) == 0) {
            ids->gid = g;
            return 1;
        }
        for (char *at = !name && n > 3 ? f[3] : NULL, *member; (member = strsep(&at, ",")) != NULL;)
            if (strcmp(member, login) == 0 && ids->n_groups < ELEMENTSOF(ids->groups))
                ids->groups[ids->n_groups++] = g;
    }
    return 0;
}

static int resolve_user(int root_fd, const char *user, SandboxIds *ids, char login[static 64], Error *reterr) {
    if (user[0] >= '0' && user[0] <= '9') {
        uint32_t uid;
        if (parse_contained_id(user, &uid) < 0)
            return error_invalid(reterr, "user", "\"%.60s\" is no uid; it would be a number from 0 to 65534, or a name",
                                 user);
        /* The image may say which group and name belong to a number; a number that it does not know is fine too. */
        ids->uid = uid;
        int r = passwd_find(root_fd, NULL, &ids->uid, &ids->gid, login, reterr);
        return r < 0 ? r : 0;
    }
    int r = passwd_find(root_fd, user, &ids->uid, &ids->gid, login, reterr);
    if (r == 0)
        return error_invalid(reterr, "user", "\"%.60s\" is not a user of the image's /etc/passwd", user);
    return r < 0 ? r : 0;
}

static int resolve_group(int root_fd, const char *group, SandboxIds *ids, Error *reterr) {
    if (group[0] >= '0' && group[0] <= '9') {
        if (parse_contained_id(group, &ids->gid) < 0)
            return error_invalid(reterr, "user", "\"%.60s\" is no gid; it would be a number from 0 to 65534, or a name",
                                 group);
        return 0;
    }
    int r = group_find(root_fd, group, NULL, ids, reterr);
    if (r == 0)
        return error_invalid(reterr, "user", "\"%.60s\" is not a group of the image's /etc/group", group);
    return r < 0 ? r : 0;
}

int ids_resolve(int root_fd, const char *user, SandboxIds *ret, Error *reterr) {
    SandboxIds ids = { 0 };
    char login[64] = "";

    if (!user) {
        *ret = ids;
        return 0;
    }
    _cleanup_free_ char *copy = strdup(user);
    if (!copy)
        return error_failed(reterr, ENOMEM, "user", "out of memory");
    char *group = strchr(copy, ':');
    if (group)
        *group++ = 0;
    if (copy[0] == 0 || (group && group[0] == 0))
        return error_invalid(reterr, "user",
                             "\"%.60s\" has an empty part; it would be UID, UID:GID, NAME or NAME:GROUP", user);

    int r = resolve_user(root_fd, copy, &ids, login, reterr);
    if (r < 0)
        return r;
    if (group)
        r = resolve_group(root_fd, group, &ids, reterr);
    else if (login[0])
        r = group_find(root_fd, NULL, login, &ids, reterr);
    if (r < 0)
        return r;
    *ret = ids;
    return 0;
}

static int write_map(int pid_dir_fd, const char *file, uint32_t inside, uint32_t outside, uint32_t count) {
    char line[64];
    int n = snprintf(line, sizeof(line), "%u %u %u\n", inside, outside, count);
    _cleanup_fd_ int fd = openat(pid_dir_fd, file, O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return -errno;
    return write(fd, line, (size_t) n) == n ? 0 : -errno;
}

int ids_write_maps(int pid_dir_fd, uint32_t id_base, Error *reterr) {
    int r = write_map(pid_dir_fd, "gid_map", 0, id_base, SANDBOX_ID_COUNT);
    if (r >= 0)
        r = write_map(pid_dir_fd, "uid_map", 0, id_base, SANDBOX_ID_COUNT);
    if (r < 0)
        return error_set(reterr, ERROR_HARDENING_FAILED, -r, sandbox_stage_to_string(STAGE_ID_MAPS),
                         "the id maps could not be written: %s", strerror(-r));
    return 0;
}

/* The namespace needs a process only until an fd refers to it: one that waits to be killed. */
static pid_t clone_waiting(int *ret_pidfd) {
    struct clone_args args = {
        .flags = CLONE_NEWUSER | CLONE_PIDFD,
        .pidfd = (uint64_t) (uintptr_t) ret_pidfd,
        .exit_signal = SIGCHLD,
    };
    pid_t pid = (pid_t) syscall(SYS_clone3, &args, sizeof(args));
    if (pid == 0)
        for (;;)
            (void) syscall(SYS_pause);
    return pid < 0 ? -errno : pid;
}

int ids_owner_namespace(SandboxHost *h, uint32_t id_base, uid_t owner_uid, gid_t owner_gid, Error *reterr) {
    _cleanup_fd_ int pidfd = -EBADF, dir_fd = -EBADF;
    char name[16];
    int r, fd = -EBADF;

    pid_t pid = clone_waiting(&pidfd);
    if (pid < 0)
        return error_set(reterr, ERROR_HARDENING_FAILED, -pid, "idMaps", "no user namespace could be made: %s",
                         strerror(-pid));
    (void) snprintf(name, sizeof(name), "%d", pid);
    dir_fd = openat(h->proc_fd, name, O_PATH | O_DIRECTORY | O_CLOEXEC);
    r = dir_fd < 0 ? -errno : write_map(dir_fd, "gid_map", owner_gid, id_base, 1);
    if (r >= 0)
        r = write_map(dir_fd, "uid_map", owner_uid, id_base, 1);
    if (r >= 0) {
        fd = openat(dir_fd, "ns/user", O_RDONLY | O_CLOEXEC);
        r = fd < 0 ? -errno : 0;
    }
    (void) syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, NULL, 0);
    (void) waitid(P_PIDFD, (id_t) pidfd, &(siginfo_t){ 0 }, WEXITED);
    if (r < 0)
        return error_set(reterr, ERROR_HARDENING_FAILED, -r, "idMaps", "the caller's id map could not be made: %s",
                         strerror(-r));
    return fd;
}
