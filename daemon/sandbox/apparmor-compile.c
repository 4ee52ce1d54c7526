/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * apparmor_parser as a process of its own: a fixed program, environment and command line, so that no configuration of the
 * host changes what comes out.
 *
 * One run compiles the profiles of neighbours in the pool, each from a file and to a file of its own (its cache, with
 * the loading switched off): most of a single run would be the process itself. A profile's name is in its rules, as the
 * peer of signals, so that no two can share what was compiled; nor would policy namespaces do, which take the same
 * profile under the same name: a profile's rules are not asked about peers in namespaces that it cannot see.
 *
 * Trust: the directory is root's alone, which is checked, and holds nothing that a caller had a say in.
 */

#include "sandbox/apparmor-compile.h"
#include "sandbox/sandbox.h"
#include "util/fds.h"
#include "util/paths.h"

#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define DIRECTORY  "apparmor"
#define WORK       "work"
#define OUT        "out"
#define FEATURES   "/sys/kernel/security/apparmor/features"
#define OUTPUT_MAX 240U
#define BLOB_MAX   (1024U * 1024U)

static int failed(Error *reterr, int code, const char *what) {
    return error_failed(reterr, code, "apparmor", "%s: %s", what, strerror(code));
}

static const char *find_parser(void) {
    static const char *const paths[] = { "/usr/sbin/apparmor_parser", "/sbin/apparmor_parser" };
    for (size_t i = 0; i < ELEMENTSOF(paths); i++)
        if (access(paths[i], X_OK) == 0)
            return paths[i];
    return NULL;
}

static int spawn(const char *path, char *const *arguments, int directory_fd, int output_fd, pid_t *ret) {
    static char *const environment[] = { (char *) "PATH=/usr/sbin:/usr/bin:/sbin:/bin", (char *) "LC_ALL=C", NULL };
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t none, all;
    (void) sigemptyset(&none);
    (void) sigfillset(&all);
    int r = posix_spawn_file_actions_init(&actions);
    if (r != 0)
        return -r;
    r = posix_spawnattr_init(&attributes);
    if (r != 0) {
        (void) posix_spawn_file_actions_destroy(&actions);
        return -r;
    }
    r = posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
    r = r ? r : posix_spawn_file_actions_adddup2(&actions, output_fd, 1);
    r = r ? r : posix_spawn_file_actions_adddup2(&actions, output_fd, 2);
    r = r ? r : posix_spawn_file_actions_addfchdir_np(&actions, directory_fd);
    /* libnftables opens its sockets without CLOEXEC */
    r = r ? r : posix_spawn_file_actions_addclosefrom_np(&actions, 3);
    r = r ? r : posix_spawnattr_setsigmask(&attributes, &none);
    r = r ? r : posix_spawnattr_setsigdefault(&attributes, &all);
    r = r ? r : posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    r = r ? r : posix_spawn(ret, path, &actions, &attributes, arguments, environment);
    (void) posix_spawnattr_destroy(&attributes);
    (void) posix_spawn_file_actions_destroy(&actions);
    return -r;
}

/* All of it is read, so that the process does not hang at a full pipe; the beginning is kept, on one line. */
static void read_output(int fd, char *text, size_t size) {
    char rest[512];
    size_t length = 0;
    for (;;) {
        ssize_t n = read(fd, rest, sizeof(rest));
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            break;
        for (ssize_t i = 0; i < n && length < size - 1; i++)
            text[length++] = isprint((unsigned char) rest[i]) ? rest[i] : ' ';
    }
    while (length > 0 && text[length - 1] == ' ')
        length--;
    text[length] = 0;
}

/* Runs the parser in DIRECTORY_FD; what it says goes to OUTPUT. */
static int run(const AppArmorCompiler *c, int directory_fd, char *const *arguments, char output[static OUTPUT_MAX],
               Error *reterr) {
    int pipe_fds[2], status;
    pid_t pid;
    if (pipe2(pipe_fds, O_CLOEXEC) < 0)
        return failed(reterr, errno, "no pipe for the parser");
    _cleanup_fd_ int reader = pipe_fds[0], writer = pipe_fds[1];
    int r = spawn(c->parser, arguments, directory_fd, writer, &pid);
    writer = fd_close(writer);
    if (r < 0)
        return failed(reterr, -r, c->parser);
    read_output(reader, output, OUTPUT_MAX);
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            return failed(reterr, errno, c->parser);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        return error_failed(reterr, EIO, "apparmor", "%s failed: %s", c->parser, output);
    return 0;
}

/* ---- the directories -------------------------------------------------------------------------------------------- */

static int open_own_directory(int parent_fd, const char *name, int *ret_fd, Error *reterr) {
    struct stat st;
    if (mkdirat(parent_fd, name, 0700) < 0 && errno != EEXIST)
        return failed(reterr, errno, "the directory of compiled profiles cannot be made");
    _cleanup_fd_ int fd = openat(parent_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) < 0)
        return failed(reterr, errno, "the directory of compiled profiles cannot be opened");
    if (st.st_uid != 0 || (st.st_mode & 0022))
        return error_failed(
            reterr, EPERM, "apparmor",
            "the directory of compiled profiles belongs to uid %u and has mode %04o; root alone must be "
            "able to write to it",
            st.st_uid, (unsigned) (st.st_mode & 07777));
    *ret_fd = TAKE_FD(fd);
    return 0;
}

static DIR *open_entries(int fd) {
    int again = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *d = again >= 0 ? fdopendir(again) : NULL;
    if (!d)
        (void) fd_close(again);
    return d;
}

/* What was compiled from another text, by another parser, for another kernel. */
static void remove_others(int own_fd, const char *key) {
    DIR *d = open_entries(own_fd);
    if (!d)
        return;
    for (struct dirent *e; (e = readdir(d)) != NULL;)
        if (e->d_name[0] != '.' && strcmp(e->d_name, key) != 0)
            (void) path_remove_tree_at(own_fd, e->d_name);
    (void) closedir(d);
}

/* ---- compiling -------------------------------------------------------------------------------------------------- */

static int write_sources(const AppArmorCompiler *c, int work_fd, uint32_t first,
                         char names[static APPARMOR_BATCH][APPARMOR_NAME_SIZE], Error *reterr) {
    for (uint32_t i = 0; i < APPARMOR_BATCH; i++) {
        apparmor_profile_name(first + i * SANDBOX_ID_COUNT, names[i]);
        _cleanup_free_ char *text = apparmor_policy_text(&c->policy, names[i]);
        if (!text)
            return failed(reterr, ENOMEM, "the text of a profile");
        int r = path_write_file_at(work_fd, names[i], text, strlen(text), 0600, false);
        if (r < 0)
            return failed(reterr, -r, "the text of a profile cannot be written");
    }
    return 0;
}

/* The parser makes a directory of its own in OUT, named after the kernel's features. */
static int take_blobs(const AppArmorCompiler *c, int work_fd, char names[static APPARMOR_BATCH][APPARMOR_NAME_SIZE],
                      Error *reterr) {
    size_t taken = 0;
    _cleanup_fd_ int out_fd = openat(work_fd, OUT, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *d = out_fd >= 0 ? open_entries(out_fd) : NULL;
    if (!d)
        return failed(reterr, errno, "the directory that the parser writes to cannot be opened");
    for (struct dirent *e; (e = readdir(d)) != NULL;) {
        if (e->d_name[0] == '.')
            continue;
        _cleanup_fd_ int fd = openat(out_fd, e->d_name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        for (size_t i = 0; fd >= 0 && i < APPARMOR_BATCH; i++)
            taken += renameat(fd, names[i], c->key_fd, names[i]) == 0;
    }
    (void) closedir(d);
    return taken == APPARMOR_BATCH ? 0 : failed(reterr, EIO, "the parser wrote no compiled profile");
}

static int compile_in(const AppArmorCompiler *c, int work_fd, uint32_t first, Error *reterr) {
    char names[APPARMOR_BATCH][APPARMOR_NAME_SIZE], output[OUTPUT_MAX] = "";
    /* The rules are meant for all that this kernel mediates, not for an older one's idea of it. */
    const char *arguments[13 + APPARMOR_BATCH + 1] = {
        "apparmor_parser",
        "--config-file",
        "/dev/null",
        "--features-file",
        FEATURES,
        "--policy-features",
        FEATURES,
        "--quiet",
        "-Q",
        "-W",
        "-T",
        "-L",
        OUT,
    };
    if (mkdirat(work_fd, OUT, 0700) < 0)
        return failed(reterr, errno, "the directory that the parser writes to cannot be made");
    int r = write_sources(c, work_fd, first, names, reterr);
    if (r < 0)
        return r;
    for (size_t i = 0; i < APPARMOR_BATCH; i++)
        arguments[13 + i] = names[i];
    r = run(c, work_fd, (char *const *) arguments, output, reterr);
    return r < 0 ? r : take_blobs(c, work_fd, names, reterr);
}

static int compile(AppArmorCompiler *c, uint32_t first, Error *reterr) {
    (void) path_remove_tree_at(c->own_fd, WORK);
    if (mkdirat(c->own_fd, WORK, 0700) < 0)
        return failed(reterr, errno, "the parser's directory cannot be made");
    _cleanup_fd_ int work_fd = openat(c->own_fd, WORK, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    int r = work_fd < 0 ? failed(reterr, errno, "the parser's directory cannot be opened")
                        : compile_in(c, work_fd, first, reterr);
    (void) path_remove_tree_at(c->own_fd, WORK);
    return r;
}

/* ---- for others ------------------------------------------------------------------------------------------------- */

bool apparmor_compiler_has(const AppArmorCompiler *c, uint32_t id_base) {
    char name[APPARMOR_NAME_SIZE];
    apparmor_profile_name(id_base, name);
    return faccessat(c->key_fd, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

void apparmor_compiler_forget(AppArmorCompiler *c, uint32_t id_base) {
    char name[APPARMOR_NAME_SIZE];
    apparmor_profile_name(id_base, name);
    (void) unlinkat(c->key_fd, name, 0);
}

int apparmor_compiler_get(AppArmorCompiler *c, uint32_t id_base, char **ret, size_t *ret_size, Error *reterr) {
    char name[APPARMOR_NAME_SIZE];
    int r = 0;
    apparmor_profile_name(id_base, name);
    if (!apparmor_compiler_has(c, id_base)) {
        (void) pthread_mutex_lock(&c->lock);
        if (!apparmor_compiler_has(c, id_base)) /* another start may have compiled it meanwhile */
            r = compile(c, apparmor_policy_batch(id_base), reterr);
        (void) pthread_mutex_unlock(&c->lock);
    }
    if (r < 0)
        return r;
    r = path_read_file_at(c->key_fd, name, RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS, BLOB_MAX, ret, ret_size);
    return r < 0 ? failed(reterr, -r, "a compiled profile cannot be read") : 0;
}

int apparmor_compiler_init(AppArmorCompiler *c, int data_fd, const char *features, Error *reterr) {
    const char *const arguments[] = { "apparmor_parser", "--version", NULL };
    char version[OUTPUT_MAX] = "", key[APPARMOR_KEY_SIZE];
    *c = (AppArmorCompiler){ .own_fd = -EBADF, .key_fd = -EBADF, .lock = PTHREAD_MUTEX_INITIALIZER };
    c->parser = find_parser();
    if (!c->parser)
        return error_failed(reterr, ENOENT, "apparmor", "there is no apparmor_parser (package apparmor)");
    int r = open_own_directory(data_fd, DIRECTORY, &c->own_fd, reterr);
    if (r >= 0)
        r = run(c, c->own_fd, (char *const *) arguments, version, reterr);
    if (r < 0)
        return r;
    c->policy = (AppArmorPolicy){ apparmor_policy_parser_major(version) >= 4 };
    r = apparmor_policy_key(&c->policy, version, features, key);
    if (r < 0)
        return failed(reterr, -r, "the text of a profile");
    remove_others(c->own_fd, key);
    return open_own_directory(c->own_fd, key, &c->key_fd, reterr);
}

void apparmor_compiler_done(AppArmorCompiler *c) {
    c->own_fd = fd_close(c->own_fd);
    c->key_fd = fd_close(c->key_fd);
}
