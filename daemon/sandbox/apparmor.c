/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * AppArmor's kernel side. See apparmor.h.
 *
 * There is no table of what is loaded. A profile is loaded by the start that holds its range of ids, and removed before
 * the range is given back, when no process with that label is left (the container's cgroup has gone): at both times
 * nobody else, no other daemon of this host either, can mean the same profile. A process whose profile is removed would
 * go on unconfined.
 */

#include "sandbox/apparmor-compile.h"
#include "sandbox/sandbox.h"
#include "util/fds.h"
#include "util/paths.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <signal.h>
#include <string.h>
#include <sys/apparmor.h>

#define LIST_MAX (16U * 1024U * 1024U)
/* Never a container's: root of the host has it. */
#define PROBE_ID 0U

struct AppArmorHost {
    AppArmorCompiler compiler;
    aa_kernel_interface *kernel;
    bool is_confined;
    pthread_mutex_t lock;
    /* under the lock: a thread that compiles what starts will ask for next */
    pthread_t ahead;
    bool has_thread, is_busy;
    uint32_t ahead_of;
};

bool apparmor_is_available(const char **ret_reason) {
    if (aa_is_enabled())
        return true;
    switch (errno) {
    case ENOSYS:
        *ret_reason = "the kernel has no AppArmor";
        break;
    case ECANCELED:
        *ret_reason = "AppArmor is switched off on the kernel's command line";
        break;
    case ENOENT:
        *ret_reason = "AppArmor's file system is not mounted";
        break;
    default:
        *ret_reason = "the kernel does not say whether AppArmor is on";
    }
    return false;
}

/* ---- the kernel's list ------------------------------------------------------------------------------------------ */

static int read_list(char **ret) {
    _cleanup_free_ char *mount = NULL;
    if (aa_find_mountpoint(&mount) < 0)
        return -errno;
    _cleanup_fd_ int fd = open(mount, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    return path_read_file_at(fd, "profiles", RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS, LIST_MAX, ret, NULL);
}

int apparmor_check_loaded(const char *profile, Error *reterr) {
    char mode[APPARMOR_MODE_SIZE];
    _cleanup_free_ char *list = NULL;
    int r = apparmor_policy_check_name(profile, reterr);
    if (r < 0)
        return r;
    r = read_list(&list);
    if (r < 0)
        return error_failed(reterr, -r, "apparmor", "the kernel's list of profiles cannot be read: %s", strerror(-r));
    if (apparmor_policy_find(list, profile, mode) < 0)
        return error_invalid(reterr, "apparmorProfile",
                             "is \"%.100s\", which is not loaded; the name of a loaded profile is expected (aa-status "
                             "lists them, apparmor_parser loads one)",
                             profile);
    if (strcmp(mode, "enforce") != 0)
        return error_invalid(
            reterr, "apparmorProfile",
            "is \"%.100s\", which is in %s mode and would refuse nothing; a profile in enforce mode is "
            "expected",
            profile, mode);
    return 0;
}

/* ---- loading ---------------------------------------------------------------------------------------------------- */

static int load_blob(AppArmorHost *h, uint32_t id_base, Error *reterr) {
    _cleanup_free_ char *blob = NULL;
    size_t size;
    int r = apparmor_compiler_get(&h->compiler, id_base, &blob, &size, reterr);
    if (r < 0)
        return r;
    if (aa_kernel_interface_replace_policy(h->kernel, blob, size) < 0)
        return error_failed(reterr, errno, "apparmor", "the kernel does not take the profile: %s", strerror(errno));
    return 0;
}

static int load(AppArmorHost *h, uint32_t id_base, Error *reterr) {
    bool was_there = apparmor_compiler_has(&h->compiler, id_base);
    int r = load_blob(h, id_base, reterr);
    if (r >= 0 || !was_there)
        return r;
    /* What was kept was not on disk when the machine lost its power. */
    apparmor_compiler_forget(&h->compiler, id_base);
    return load_blob(h, id_base, reterr);
}

static void *compile_ahead(void *userdata) {
    AppArmorHost *h = userdata;
    _cleanup_free_ char *blob = NULL;
    size_t size;
    (void) apparmor_compiler_get(&h->compiler, h->ahead_of, &blob, &size, NULL);
    (void) pthread_mutex_lock(&h->lock);
    h->is_busy = false;
    (void) pthread_mutex_unlock(&h->lock);
    return NULL;
}

static void start_thread(AppArmorHost *h, uint32_t id_base) {
    sigset_t all, before;
    if (h->has_thread)
        (void) pthread_join(h->ahead, NULL); /* at its end, or past it */
    h->ahead_of = id_base;
    (void) sigfillset(&all);
    (void) pthread_sigmask(SIG_SETMASK, &all, &before);
    h->has_thread = h->is_busy = pthread_create(&h->ahead, NULL, compile_ahead, h) == 0;
    (void) pthread_sigmask(SIG_SETMASK, &before, NULL);
}

void apparmor_profile_expect(AppArmorHost *h, uint32_t id_base) {
    if (apparmor_compiler_has(&h->compiler, id_base))
        return;
    (void) pthread_mutex_lock(&h->lock);
    if (!h->is_busy)
        start_thread(h, id_base);
    (void) pthread_mutex_unlock(&h->lock);
}

int apparmor_profile_load(AppArmorHost *h, uint32_t id_base, Error *reterr) {
    int r = load(h, id_base, reterr);
    if (r < 0)
        return r;
    /* Ranges are taken one after the other: what is half a batch away is compiled before its start asks for it. */
    uint32_t ahead = APPARMOR_BATCH / 2 * SANDBOX_ID_COUNT;
    if (id_base <= UINT32_MAX - 2 * ahead)
        apparmor_profile_expect(h, id_base + ahead);
    return 0;
}

void apparmor_profile_release(AppArmorHost *h, uint32_t id_base) {
    char name[APPARMOR_NAME_SIZE];
    apparmor_profile_name(id_base, name);
    /* What was never loaded is not there, which is as well. */
    (void) aa_kernel_interface_remove_policy(h->kernel, name);
}

/* The whole way once, so that a host that cannot do it is known at the start. */
static int probe(AppArmorHost *h, Error *reterr) {
    char name[APPARMOR_NAME_SIZE], mode[APPARMOR_MODE_SIZE] = "";
    _cleanup_free_ char *list = NULL;
    apparmor_profile_name(PROBE_ID, name);
    int r = load(h, PROBE_ID, reterr);
    if (r < 0)
        return r;
    r = read_list(&list);
    apparmor_profile_release(h, PROBE_ID);
    if (r < 0)
        return error_failed(reterr, -r, "apparmor", "the kernel's list of profiles cannot be read: %s", strerror(-r));
    if (apparmor_policy_find(list, name, mode) < 0 || strcmp(mode, "enforce") != 0)
        return error_failed(reterr, EINVAL, "apparmor",
                            "the kernel has a profile in %s mode that is to be in enforce mode", mode[0] ? mode : "no");
    return 0;
}

bool apparmor_host_is_confined(const AppArmorHost *h) {
    return h->is_confined;
}

static int read_own_label(AppArmorHost *h, Error *reterr) {
    char label[APPARMOR_PROFILE_MAX + APPARMOR_MODE_SIZE];
    _cleanup_fd_ int fd = open("/proc/self", O_PATH | O_DIRECTORY | O_CLOEXEC);
    int r = fd < 0 ? -errno : apparmor_read(fd, label, sizeof(label));
    if (r < 0)
        return error_failed(reterr, -r, "apparmor", "the daemon's own label cannot be read: %s", strerror(-r));
    h->is_confined = strcmp(label, APPARMOR_UNCONFINED) != 0;
    return 0;
}

static int open_kernel(AppArmorHost *h, int data_fd, Error *reterr) {
    aa_features *features = NULL;
    if (aa_features_new_from_kernel(&features) < 0)
        return error_failed(reterr, errno, "apparmor", "the kernel does not say what it mediates: %s", strerror(errno));
    _cleanup_free_ char *id = aa_features_id(features);
    int r = 0;
    if (!id)
        r = error_failed(reterr, ENOMEM, "apparmor", "the kernel does not say what it mediates: %s", strerror(errno));
    if (r >= 0 && aa_kernel_interface_new(&h->kernel, features, NULL) < 0)
        r = error_failed(reterr, errno, "apparmor", "profiles cannot be loaded: %s", strerror(errno));
    if (r >= 0)
        r = apparmor_compiler_init(&h->compiler, data_fd, id, reterr);
    aa_features_unref(features);
    return r;
}

int apparmor_host_new(int data_fd, AppArmorHost **ret, Error *reterr) {
    const char *reason;
    *ret = NULL;
    if (!apparmor_is_available(&reason))
        return error_failed(reterr, EOPNOTSUPP, "apparmor", "%s", reason);
    _cleanup_(apparmor_host_freep) AppArmorHost *h = calloc(1, sizeof(AppArmorHost));
    if (!h)
        return error_failed(reterr, ENOMEM, "apparmor", "out of memory");
    h->compiler.own_fd = h->compiler.key_fd = -EBADF;
    (void) pthread_mutex_init(&h->lock, NULL);
    int r = read_own_label(h, reterr);
    if (r >= 0)
        r = open_kernel(h, data_fd, reterr);
    if (r >= 0)
        r = probe(h, reterr);
    if (r < 0)
        return r;
    *ret = TAKE_PTR(h);
    return 0;
}

AppArmorHost *apparmor_host_free(AppArmorHost *h) {
    if (!h)
        return NULL;
    if (h->has_thread)
        (void) pthread_join(h->ahead, NULL);
    apparmor_compiler_done(&h->compiler);
    if (h->kernel)
        aa_kernel_interface_unref(h->kernel);
    (void) pthread_mutex_destroy(&h->lock);
    free(h);
    return NULL;
}

/* ---- labels of processes ---------------------------------------------------------------------------------------- */

/* Kernels before 5.8 and those with one module alone have it in attr/ itself. */
static int open_label(int dir_fd, const char *path, const char *former_path, int flags) {
    int fd = openat(dir_fd, path, flags | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT)
        fd = openat(dir_fd, former_path, flags | O_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

/*
 * After clone: no allocation, no stdio. The kernel takes the write only from the task whose file it is, with the
 * credentials that opened it; hence both here. It changes the label at once, and the rest of the child's steps, which
 * only take rights away, run under it. At execve it would change too, but the change at execve is held against
 * no_new_privs: under it, a task that is confined already (by the daemon's own profile) may only move to less than
 * that profile allows, which a container's is not.
 */
int apparmor_enter(int proc_fd, const char *profile) {
    static const char command[] = "changeprofile ";
    char text[sizeof(command) + APPARMOR_PROFILE_MAX];
    size_t n = 0;
    for (const char *c = command; *c; c++)
        text[n++] = *c;
    for (const char *c = profile; *c; c++) {
        if (n >= sizeof(text))
            return -ENAMETOOLONG;
        text[n++] = *c;
    }
    _cleanup_fd_ int fd =
        open_label(proc_fd, "thread-self/attr/apparmor/current", "thread-self/attr/current", O_WRONLY);
    if (fd < 0)
        return fd;
    ssize_t written = write(fd, text, n);
    if (written < 0)
        return -errno;
    return (size_t) written == n ? 0 : -EIO;
}

int apparmor_read(int pid_dir_fd, char *ret, size_t size) {
    _cleanup_fd_ int fd = open_label(pid_dir_fd, "attr/apparmor/current", "attr/current", O_RDONLY);
    if (fd < 0)
        return fd;
    ssize_t n = read(fd, ret, size - 1);
    if (n < 0)
        return -errno;
    /* cut is not the same: what fills all the room may have lost its end */
    if ((size_t) n == size - 1)
        return -ENAMETOOLONG;
    while (n > 0 && (ret[n - 1] == '\n' || ret[n - 1] == 0))
        n--;
    ret[n] = 0;
    return 0;
}

const char *apparmor_start_profile(int proc_fd) {
    char label[APPARMOR_PROFILE_MAX + APPARMOR_MODE_SIZE];
    _cleanup_fd_ int fd = openat(proc_fd, "self", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || apparmor_read(fd, label, sizeof(label)) < 0)
        return NULL;
    return strncmp(label, "kenneld (", strlen("kenneld (")) == 0 ? "kenneld//start" : NULL;
}
