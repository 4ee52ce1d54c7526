/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * See selinux.h. The names of types are those of Kennel's module, systemd/selinux/kennel.cil.
 *
 * What a container may be labelled with is the loaded policy's decision: the daemon asks it whether its own domain may
 * start the one that was named, and Kennel's module lets it start those of containers alone (and TYPE_DISABLED, which is
 * refused by name). User and role are the daemon's own, so that no rule about changing them is needed.
 */

#include "sandbox/selinux.h"
#include "util/fds.h"

#include <fcntl.h>
#include <selinux/selinux.h>
#include <string.h>

#define TYPE_PROCESS  "kennel_container_t"
#define TYPE_DISABLED "kennel_disabled_t"
#define TYPE_FILE     "kennel_file_t"
#define TYPE_IMAGE    "kennel_image_t"
#define TYPE_SHARE    "kennel_share_t"
#define ROLE_OBJECT   "object_r"
#define LEVEL_SHARED  "s0"
/* Without it the kernel keeps the old label where no_new_privs or nosuid is set: see selinux_bprm_creds_for_exec(). */
#define NNP_TRANSITION "/sys/fs/selinux/policy_capabilities/nnp_nosuid_transition"

struct SELinuxHost {
    char *context; /* the daemon's own */
    char *user, *role;
};

static int out_of_memory(Error *reterr) {
    return error_failed(reterr, ENOMEM, "selinux", "out of memory");
}

bool selinux_is_available(const char **ret_reason) {
    if (is_selinux_enabled() == 1)
        return true;
    *ret_reason = "the kernel has no SELinux, or no policy is loaded";
    return false;
}

SELinuxHost *selinux_host_free(SELinuxHost *h) {
    if (!h)
        return NULL;
    free(h->context);
    free(h->user);
    free(h->role);
    free(h);
    return NULL;
}

void selinux_contexts_done(SELinuxContexts *c) {
    free(c->process);
    free(c->file);
    free(c->image);
    free(c->share);
    *c = (SELinuxContexts){ 0 };
}

/* An allocated context, NULL without memory. */
static char *make_context(const SELinuxHost *h, const char *role, const char *type, const char *level) {
    char *s = NULL;
    return asprintf(&s, "%s:%s:%s:%s", h->user, role, type, level) < 0 ? NULL : s;
}

static int read_own(SELinuxHost *h, Error *reterr) {
    if (getcon_raw(&h->context) < 0)
        return error_failed(reterr, errno, "selinux", "the daemon's own context cannot be read: %s", strerror(errno));
    const char *role = strchr(h->context, ':'), *type = role ? strchr(role + 1, ':') : NULL;
    if (!type)
        return error_failed(reterr, EINVAL, "selinux", "the daemon's own context is \"%s\"", h->context);
    h->user = strndup(h->context, (size_t) (role - h->context));
    h->role = strndup(role + 1, (size_t) (type - role - 1));
    return h->user && h->role ? 0 : out_of_memory(reterr);
}

/* What a policy does not know cannot be allowed, so a type that is no type of a process answers false as well. */
static bool may_start(const SELinuxHost *h, const char *context) {
    struct av_decision d = { 0 };
    security_class_t process = string_to_security_class("process");
    access_vector_t transition = process ? string_to_av_perm(process, "transition") : 0;
    return transition && security_compute_av_raw(h->context, context, process, transition, &d) >= 0 &&
           (d.allowed & transition);
}

static bool has_nnp_transition(void) {
    char value = '0';
    _cleanup_fd_ int fd = open(NNP_TRANSITION, O_RDONLY | O_CLOEXEC);
    return fd >= 0 && read(fd, &value, 1) == 1 && value == '1';
}

static int check_policy(const SELinuxHost *h, Error *reterr) {
    _cleanup_free_ char *file = make_context(h, ROLE_OBJECT, TYPE_FILE, LEVEL_SHARED);
    _cleanup_free_ char *process = make_context(h, h->role, TYPE_PROCESS, LEVEL_SHARED);
    if (!file || !process)
        return out_of_memory(reterr);
    if (security_check_context_raw(file) < 0)
        return error_failed(reterr, ENOENT, "selinux",
                            "Kennel's policy module is not loaded; `semodule -i kennel.cil` loads it");
    if (!has_nnp_transition())
        return error_failed(reterr, EOPNOTSUPP, "selinux",
                            "the loaded policy has no capability nnp_nosuid_transition: no label could be taken");
    if (security_check_context_raw(process) < 0 || !may_start(h, process))
        return error_failed(reterr, EPERM, "selinux",
                            "the daemon runs as %s, which may not start %s; `restorecon` labels its program, and the "
                            "service manager starts it in its domain",
                            h->context, TYPE_PROCESS);
    return 0;
}

int selinux_host_new(SELinuxHost **ret, Error *reterr) {
    const char *reason = NULL;
    if (!selinux_is_available(&reason))
        return error_failed(reterr, EOPNOTSUPP, "selinux", "%s", reason);
    _cleanup_(selinux_host_freep) SELinuxHost *h = calloc(1, sizeof(*h));
    if (!h)
        return out_of_memory(reterr);
    int r = read_own(h, reterr);
    if (r >= 0)
        r = check_policy(h, reterr);
    if (r < 0)
        return r;
    *ret = TAKE_PTR(h);
    return 0;
}

static int check_type(const SELinuxHost *h, const char *type, Error *reterr) {
    _cleanup_free_ char *context = make_context(h, h->role, type, LEVEL_SHARED);
    if (!context)
        return out_of_memory(reterr);
    /* A colon or the like would smuggle in another part of the context. */
    if (!*type || type[strspn(type, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.")] ||
        strcmp(type, TYPE_DISABLED) == 0 || security_check_context_raw(context) < 0 || !may_start(h, context))
        return error_invalid(reterr, "label.type",
                             "is \"%.100s\"; a domain of containers in the loaded policy is expected, such as %s", type,
                             TYPE_PROCESS);
    return 0;
}

int selinux_contexts_make(SELinuxHost *h, const char *type, const char *level, SELinuxContexts *ret, Error *reterr) {
    _cleanup_(selinux_contexts_done) SELinuxContexts c = { 0 };
    int r = type ? check_type(h, type, reterr) : 0;
    if (r < 0)
        return r;
    c.process = make_context(h, h->role, type ? type : TYPE_PROCESS, level);
    c.file = make_context(h, ROLE_OBJECT, TYPE_FILE, level);
    c.image = make_context(h, ROLE_OBJECT, TYPE_IMAGE, LEVEL_SHARED);
    c.share = make_context(h, ROLE_OBJECT, TYPE_SHARE, LEVEL_SHARED);
    if (!c.process || !c.file || !c.image || !c.share)
        return out_of_memory(reterr);
    if (security_check_context_raw(c.process) < 0 || security_check_context_raw(c.file) < 0)
        return error_invalid(reterr, "label.level", "is \"%.100s\", which the loaded policy does not know", level);
    *ret = c;
    c = (SELinuxContexts){ 0 };
    return 0;
}

int selinux_context_disabled(SELinuxHost *h, char **ret, Error *reterr) {
    *ret = make_context(h, h->role, TYPE_DISABLED, LEVEL_SHARED);
    return *ret ? 0 : out_of_memory(reterr);
}

int selinux_enter(int proc_fd, const char *context) {
    size_t length = 0;
    while (context[length])
        length++;
    _cleanup_fd_ int fd = openat(proc_fd, "thread-self/attr/exec", O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
    return fd < 0 ? -errno : fd_write_all(fd, context, length + 1);
}

int selinux_read(int pid_dir_fd, char *ret, size_t size) {
    /* the file is whichever module's is in force */
    if (is_selinux_enabled() != 1)
        return -EOPNOTSUPP;
    _cleanup_fd_ int fd = openat(pid_dir_fd, "attr/current", O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    ssize_t n = fd < 0 ? -errno : fd_read_all(fd, ret, size - 1);
    if (n < 0)
        return (int) n;
    ret[n] = 0;
    ret[strcspn(ret, "\n")] = 0;
    return 0;
}
