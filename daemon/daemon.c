/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Order of construction: directories and their locks come first, so that nothing is touched that another daemon uses;
 * then what the kernel must give (cgroups, device program) and what it may give (disks with a size, networks), held
 * against the ceilings that were promised; then what containers need; then the containers that are
 * there already; the socket last, so that no call meets a daemon that does not know its containers yet.
 *
 * A directory is ours if root owns it and nobody else can write to it; its lock lies on the directory itself and goes
 * with the process.
 */

#include "daemon.h"

#include "container/container.h"
#include "daemon-socket.h"
#include "rpc/limits-spec.h"
#include "rpc/server.h"
#include "sandbox/devices.h"
#include "util/fd-store.h"
#include "util/log.h"

#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <string.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

/* All uids' jobs together: each uid has its own bound, this one keeps threads from eating the host. */
#define JOBS_MAX 512U
/* Longer than the removal of a cgroup may take; shorter than TimeoutStopSec of the unit, after which comes SIGKILL. */
#define JOBS_WAIT_USEC (15ULL * 1000000ULL)

struct Daemon {
    DaemonOptions options;
    Config config;
    gid_t tenant_group;
    int state_fd, data_fd;
    FdStore *fd_store;
    int passed_fd; /* the socket, where a service manager passed it */
    sd_event *event;
    CgroupHierarchies *hierarchies;
    StorageHost *storage;
    NetworkHost *network;
    WorkerPool *workers;
    SeccompCache *seccomp;
    SandboxHost *sandbox;
    AppArmorHost *apparmor;
    SELinuxHost *selinux;
    Error apparmor_missing, selinux_missing, devices_missing;
    Watch *watch;
    int quarantine_fd;
    ContainerRegistry *registry;
    Server *server;
    DaemonSocket socket;
};

static bool lies_in(const char *path, const char *directory) {
    size_t size = strlen(directory);
    return strncmp(path, directory, size) == 0 && path[size] == '/' && !strchr(path + size + 1, '/');
}

/* Makes PATH if it is missing; its parent must be there. Opens and locks it. */
static int open_directory(const char *path, mode_t mode, const char *what, int *ret_fd, Error *reterr) {
    bool made = mkdir(path, 0700) >= 0;
    if (!made && errno != EEXIST)
        return error_failed(reterr, errno, what, "the %s directory %s cannot be made: %s", what, path, strerror(errno));
    _cleanup_fd_ int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    struct stat st;
    if (fd < 0 || fstat(fd, &st) < 0 || (made && fchmod(fd, mode) < 0))
        return error_failed(reterr, errno, what, "the %s directory %s cannot be opened: %s", what, path,
                            strerror(errno));
    if (st.st_uid != 0 || (st.st_mode & 0022))
        return error_failed(
            reterr, EPERM, what,
            "the %s directory %s belongs to uid %u and has mode %04o; root alone must be able to write to it", what,
            path, st.st_uid, (unsigned) (st.st_mode & 07777));
    if (flock(fd, LOCK_EX | LOCK_NB) < 0)
        return error_failed(reterr, errno, what, "the %s directory %s %s", what, path,
                            errno == EWOULDBLOCK ? "is in use by another kenneld" : strerror(errno));
    *ret_fd = TAKE_FD(fd);
    return 0;
}

/*
 * The socket's usual place is in the state directory: then members of the group must be able to pass through it.
 * Records are one level down, in containers/, which only root can enter.
 */
static int open_directories(Daemon *d, Error *reterr) {
    mode_t mode = lies_in(d->options.socket, d->options.state_dir) ? 0711 : 0700;
    int r = open_directory(d->options.state_dir, mode, "state", &d->state_fd, reterr);
    if (r < 0)
        return r;
    return open_directory(d->options.data_dir, 0700, "data", &d->data_fd, reterr);
}

/* Each connection may bring 64 descriptors and each container keeps several. The payload's own limit is set in its
 * spec. */
static void raise_open_files(void) {
    struct rlimit l;
    if (getrlimit(RLIMIT_NOFILE, &l) < 0 || l.rlim_cur == l.rlim_max)
        return;
    l.rlim_cur = l.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &l) < 0)
        log_warning("The limit of open files cannot be raised: %s", strerror(errno));
}

static int on_stop(sd_event_source *source, const struct signalfd_siginfo *si, void *userdata) {
    log_notice("Stopping; containers run on");
    (void) sd_notify(0, "STOPPING=1");
    return sd_event_exit(sd_event_source_get_event(source), 0);
}

static int on_hangup(sd_event_source *source, const struct signalfd_siginfo *si, void *userdata) {
    log_notice("SIGHUP is ignored; the configuration is read when the daemon starts");
    return 0;
}

static int open_loop(Daemon *d, Error *reterr) {
    int r = sd_event_new(&d->event);
    if (r >= 0)
        r = sd_event_add_signal(d->event, NULL, SIGTERM, on_stop, d);
    if (r >= 0)
        r = sd_event_add_signal(d->event, NULL, SIGINT, on_stop, d);
    if (r >= 0)
        r = sd_event_add_signal(d->event, NULL, SIGHUP, on_hangup, d);
    if (r >= 0)
        r = sd_event_set_watchdog(d->event, true);
    if (r >= 0)
        r = worker_pool_new(d->event, JOBS_MAX, &d->workers);
    return r < 0 ? error_failed(reterr, -r, "loop", "the event loop cannot be made: %s", strerror(-r)) : 0;
}

static int open_kernel(Daemon *d, Error *reterr) {
    int r = cgroup_hierarchies_open(&d->hierarchies, reterr);
    if (r < 0)
        return r;
    /* what that means is a matter of the control `devices` */
    (void) devices_attach(cgroup_hierarchies_root_fd(d->hierarchies), &d->devices_missing);
    return 0;
}

/* Nobody asked for the default, so that it gives way to a small disk; a size that was asked for is refused. */
static void fit_disk_default(Daemon *d) {
    struct statfs s;
    if (d->config.disk_default == STORAGE_LIMIT_NONE || fstatfs(d->data_fd, &s) < 0)
        return;
    uint64_t size = (uint64_t) s.f_blocks * (uint64_t) s.f_bsize;
    if (size >= d->config.disk_default || size < STORAGE_BYTES_MIN)
        return;
    log_info("disk-default is more than the file system of the data directory has, and is taken as %llu bytes",
             (unsigned long long) size);
    d->config.disk_default = size;
}

static int open_resources(Daemon *d, Error *reterr) {
    int r = storage_host_new(d->data_fd, &d->storage, reterr);
    if (r >= 0)
        r = network_host_new(&d->config.network, cgroup_hierarchies_shared_fd(d->hierarchies), &d->network, reterr);
    if (r >= 0)
        fit_disk_default(d);
    return r;
}

static ContainerEnvironment make_environment(const Daemon *d) {
    ContainerEnvironment e = {
        .event = d->event,
        .workers = d->workers,
        .sandbox = d->sandbox,
        .seccomp = d->seccomp,
        .hierarchies = d->hierarchies,
        .storage = d->storage,
        .network = d->network,
        .apparmor = d->apparmor,
        .selinux = d->selinux,
        .apparmor_missing = d->apparmor_missing.message,
        .selinux_missing = d->selinux_missing.message,
        .devices_missing = d->devices_missing.kind == ERROR_NONE ? NULL : d->devices_missing.message,
        .watch = d->watch,
        .quarantine_fd = d->quarantine_fd,
        .quarantine_max = d->quarantine_fd >= 0 ? d->config.quarantine_max : 0,
        .fd_store = d->fd_store,
        .state_fd = d->state_fd,
        .data_fd = d->data_fd,
        .id_base = d->config.id_base,
        .id_ranges = d->config.id_ranges,
        .containers_max_per_uid = d->config.tenant_containers_max,
        .starts_max_per_uid = d->config.starts_max,
        .log_max_bytes = d->config.log_max_bytes,
        .tenant_limits = d->config.tenant_limits,
        .disk_default = d->config.disk_default,
        .jobs_wait_usec = JOBS_WAIT_USEC,
    };
    memcpy(e.control_modes, d->config.control_modes, sizeof(e.control_modes));
    memcpy(e.watch_actions, d->config.watch_actions, sizeof(e.watch_actions));
    return e;
}

/* It starts all the same: what runs already is to be served, and root may want to look. */
static void warn_of_missing_controls(const ContainerEnvironment *e) {
    for (ControlKind k = 0; k < _CONTROL_MAX; k++) {
        char reason[CONTROL_REASON_MAX];
        const char *missing = container_controls_missing(e, k, reason);
        if (missing && container_controls_mode(e, k) == CONTROL_REQUIRED)
            log_warning("The control \"%s\" is required, and missing on this host; starts will be refused: %s",
                        control_name(k), missing);
    }
}

/* The field of Limits that WHY names, as its key in the configuration. */
static int refuse_ceiling(const char *field, const Error *why, Error *reterr) {
    return error_failed(reterr, EINVAL, "config", "this host cannot keep %s: %s", config_ceiling_key(field),
                        why->message);
}

/* What a tenant has beside FIELD, where that is measured against something else. */
static ContainerLimits make_ceiling(const Daemon *d, const ContainerLimitField *field) {
    const ContainerLimits *ceilings = &d->config.tenant_limits;
    ContainerLimits one = CONTAINER_LIMITS_NONE;
    if (strncmp(field->name, "memory", strlen("memory")) == 0)
        one.cgroup.memory = ceilings->cgroup.memory;
    if (strcmp(field->name, "inodes") == 0)
        one.storage.bytes =
            ceilings->storage.bytes < d->config.disk_default ? ceilings->storage.bytes : d->config.disk_default;
    *container_limit(&one, field) = container_limit_get(ceilings, field);
    return one;
}

/* A ceiling that the host cannot keep would be promised to root and hold nobody. One by one, so that the key is named. */
static int check_ceilings(Daemon *d, Error *reterr) {
    const CgroupLimits *ceilings = &d->config.tenant_limits.cgroup;
    ContainerEnvironment e = make_environment(d);
    Error why = ERROR_INIT;
    for (const ContainerLimitField *f = container_limit_fields; f->name; f++) {
        ContainerLimits one = make_ceiling(d, f);
        bool is_set = container_limit_get(&d->config.tenant_limits, f) != CONTAINER_LIMIT_NONE;
        if (is_set && limits_spec_check(&e, &one, &why) < 0)
            return refuse_ceiling(f->name, &why, reterr);
    }
    ContainerLimits cpus = CONTAINER_LIMITS_NONE, devices = CONTAINER_LIMITS_NONE;
    memcpy(cpus.cgroup.cpuset, ceilings->cpuset, sizeof(cpus.cgroup.cpuset));
    if (limits_spec_check(&e, &cpus, &why) < 0)
        return refuse_ceiling("cpusetCpus", &why, reterr);
    memcpy(devices.cgroup.devices, ceilings->devices, sizeof(devices.cgroup.devices));
    devices.cgroup.n_devices = ceilings->n_devices;
    if (limits_spec_check(&e, &devices, &why) < 0)
        return refuse_ceiling("tenant-device-read-bps and the like", &why, reterr);
    return 0;
}

/*
 * Modes do not say it: a security module's policy, or a mount, may keep root out as well. A file system that is full now need
 * not be so later.
 */
static int probe_quarantine(int fd) {
    static const char name[] = ".kennel-probe";
    (void) unlinkat(fd, name, 0); /* what a daemon left that ended in between */
    _cleanup_fd_ int file = openat(fd, name, O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (file < 0)
        return errno == ENOSPC || errno == EDQUOT ? 0 : -errno;
    return unlinkat(fd, name, 0) < 0 && errno != ENOENT ? -errno : 0;
}

/* Programs out of containers lie there: nobody but root may so much as look into it. */
static int open_quarantine(Daemon *d, Error *reterr) {
    const char *path = d->config.quarantine;
    struct stat st;
    if (!path[0])
        return 0;
    _cleanup_fd_ int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) < 0)
        return error_failed(reterr, errno, "quarantine", "the quarantine directory %s cannot be opened: %s", path,
                            strerror(errno));
    if (st.st_uid != 0 || (st.st_mode & 07777) != 0700)
        return error_failed(
            reterr, EPERM, "quarantine",
            "the quarantine directory %s belongs to uid %u and has mode %04o; it must be root's own, with "
            "mode 0700",
            path, st.st_uid, (unsigned) (st.st_mode & 07777));
    int r = probe_quarantine(fd);
    if (r < 0)
        return error_failed(reterr, -r, "quarantine", "the quarantine directory %s cannot be written: %s", path,
                            strerror(-r));
    d->quarantine_fd = TAKE_FD(fd);
    return 0;
}

/* Containers run without it too, as the host's other controls may be missing; Info says so. */
static void open_watch(Daemon *d) {
    Error error = ERROR_INIT;
    WatchConfig config = {
        .event = d->event,
        .sandbox = d->sandbox,
        .hierarchies = d->hierarchies,
        .found = container_found,
        .forks_per_second = d->config.watch_forks_per_second,
        .cpu_seconds = d->config.watch_cpu_seconds,
        .calls_per_second = d->config.watch_calls_per_second,
    };
    if (watch_new(&config, &d->watch, &error) < 0)
        log_error("Containers are not watched for rogue processes: %s", error.message);
}

static int open_containers(Daemon *d, Error *reterr) {
    int r = seccomp_cache_new(&d->seccomp, reterr);
    if (r >= 0)
        r = sandbox_host_new(d->data_fd, &d->sandbox, reterr);
    if (r < 0)
        return r;
    if (apparmor_host_new(d->data_fd, &d->apparmor, &d->apparmor_missing) < 0)
        log_info("AppArmor is not used: %s", d->apparmor_missing.message);
    if (selinux_host_new(&d->selinux, &d->selinux_missing) < 0)
        log_info("SELinux is not used: %s", d->selinux_missing.message);
    r = open_quarantine(d, reterr);
    if (r < 0)
        return r;
    open_watch(d);
    ContainerEnvironment e = make_environment(d);
    warn_of_missing_controls(&e);
    r = container_registry_new(&e, &d->registry, reterr);
    if (r < 0)
        return r;
    return container_registry_recover(d->registry, reterr);
}

static void find_tenant_group(Daemon *d) {
    const struct group *g = getgrnam(d->config.tenant_group);
    d->tenant_group = g ? g->gr_gid : PEER_NO_GROUP;
    if (!g)
        log_info("There is no group \"%s\": only root is served", d->config.tenant_group);
}

static int open_server(Daemon *d, Error *reterr) {
    find_tenant_group(d);
    int r = daemon_socket_open(d->options.socket, d->tenant_group, TAKE_FD(d->passed_fd), &d->socket, reterr);
    if (r < 0)
        return r;
    ServerEnvironment e = {
        .event = d->event,
        .registry = d->registry,
        .tenant_group = d->tenant_group,
        .state_directory = d->options.state_dir,
        .data_directory = d->options.data_dir,
    };
    return server_new(&e, TAKE_FD(d->socket.fd), &d->server, reterr);
}

/* First of all: what was passed has numbers that nothing else may take, and must not leak into anything. */
static int take_passed(Daemon *d, Error *reterr) {
    return fd_store_new(&d->fd_store, &d->passed_fd, reterr);
}

static int (*const steps[])(Daemon *d, Error *reterr) = {
    take_passed, open_directories, open_loop, open_kernel, open_resources, check_ceilings, open_containers, open_server,
};

int daemon_new(const DaemonOptions *options, const Config *config, Daemon **ret, Error *reterr) {
    if (geteuid() != 0)
        return error_failed(reterr, EPERM, "start", "kenneld must be started as root; it runs as uid %u", geteuid());
    _cleanup_(daemon_freep) Daemon *d = calloc(1, sizeof(Daemon));
    if (!d)
        return error_failed(reterr, ENOMEM, "start", "out of memory");
    d->options = *options;
    d->config = *config;
    d->state_fd = d->data_fd = d->passed_fd = d->quarantine_fd = -EBADF;
    d->socket = DAEMON_SOCKET_INIT;
    raise_open_files();
    for (size_t i = 0; i < ELEMENTSOF(steps); i++) {
        int r = steps[i](d, reterr);
        if (r < 0)
            return r;
    }
    *ret = TAKE_PTR(d);
    return 0;
}

int daemon_run(Daemon *d, Error *reterr) {
    size_t running = 0, n = container_registry_count(d->registry, &running);
    log_notice("Ready; %zu containers are there, %zu of them run", n, running);
    (void) sd_notifyf(0, "READY=1\nSTATUS=Serving %s; %zu containers were found, %zu of them running.",
                      d->options.socket, n, running);
    int r = sd_event_loop(d->event);
    if (r < 0)
        return error_failed(reterr, -r, "loop", "the event loop failed: %s", strerror(-r));
    return 0;
}

/*
 * Connections first: what they hold is of the registry. The registry waits for its jobs, which use all below it. If one
 * of them hangs, all that is left to its thread, and the end of the process ends both.
 */
Daemon *daemon_free(Daemon *d) {
    if (!d)
        return NULL;
    daemon_socket_done(&d->socket);
    (void) server_free(d->server);
    (void) container_registry_free(d->registry);
    if (d->workers && worker_pool_wait(d->workers, 0) < 0)
        return NULL;
    (void) worker_pool_free(d->workers);
    (void) watch_free(d->watch);
    d->quarantine_fd = fd_close(d->quarantine_fd);
    (void) sandbox_host_free(d->sandbox);
    (void) apparmor_host_free(d->apparmor);
    (void) selinux_host_free(d->selinux);
    (void) seccomp_cache_free(d->seccomp);
    (void) network_host_free(d->network);
    (void) storage_host_free(d->storage);
    (void) cgroup_hierarchies_close(d->hierarchies);
    (void) sd_event_unref(d->event);
    (void) fd_store_free(d->fd_store);
    d->passed_fd = fd_close(d->passed_fd);
    d->state_fd = fd_close(d->state_fd);
    d->data_fd = fd_close(d->data_fd);
    free(d);
    return NULL;
}
