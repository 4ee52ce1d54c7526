/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * What an earlier daemon left.
 *
 * The records decide. A process is adopted only if its pid, its start time and its cgroup all agree with the record:
 * anything else may be a stranger by now. A cgroup is only ever touched for an id that a record of ours names, because
 * other daemons may have theirs beside it. A record that does not hold is moved to set-aside/ID, with everything that
 * is beside it, and nothing that it says is acted upon; directories in which there is no record at all were left by a
 * removal or a start that did not get far, and go.
 */

#include "container/internal.h"
#include "container/record.h"
#include "proto/json.h"
#include "util/log.h"
#include "util/paths.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/stat.h>

#define SET_ASIDE   "set-aside"
#define SECCOMP_MAX (1024U * 1024U)
#define SAMPLE_MAX  65536U

static int open_own(int parent_fd, const char *id) {
    return path_open_at(parent_fd, id, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0, RESOLVE_BENEATH);
}

static void set_aside(ContainerRegistry *r, const char *id, const char *why) {
    log_error("The record of container %s does not hold and is set aside: %s", id, why);
    _cleanup_fd_ int fd = path_make_directories_at(r->environment.state_fd, SET_ASIDE, 0700);
    if (fd < 0 || renameat2(r->state_fd, id, fd, id, RENAME_NOREPLACE) < 0)
        log_error("It cannot be moved, and stays where it is: %s", strerror(fd < 0 ? -fd : errno));
}

static bool is_set_aside(ContainerRegistry *r, const char *id) {
    char path[sizeof(SET_ASIDE) + CONTAINER_ID_LENGTH + 2];
    (void) snprintf(path, sizeof(path), SET_ASIDE "/%s", id);
    return faccessat(r->environment.state_fd, path, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

static void remove_stray(ContainerRegistry *r, const char *name) {
    log_info("Removing what is left of a container without a record: %s", name);
    int d = path_remove_tree_at(r->data_fd, name);
    int s = path_remove_tree_at(r->state_fd, name);
    if (d < 0 || s < 0)
        log_warning("%s cannot be removed: %s", name, strerror(d < 0 ? -d : -s));
}

/* Bytes that the record's own directory holds; root alone can write there. */
static int restore_seccomp(Container *c) {
    if (c->spec->seccomp_unconfined)
        return 0;
    _cleanup_free_ char *bytes = NULL;
    size_t size;
    int r = path_read_file_at(c->state_fd, CONTAINER_SECCOMP_FILE, RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS, SECCOMP_MAX,
                              &bytes, &size);
    if (r >= 0)
        r = seccomp_program_from_bytes(bytes, size, &c->spec->sandbox.program.seccomp);
    if (r < 0) {
        log_warning("The system call filter of container %s cannot be restored, so Exec is refused there: %s", c->id,
                    strerror(-r));
        c->seccomp_missing = true;
    }
    return r;
}

/* Pid and start time name one process for as long as the machine runs. */
static bool is_same_process(const Container *c, int pidfd) {
    uint64_t start_time;
    if (process_start_time(c->pid, &start_time) < 0 || start_time != c->pid_start_time)
        return false;
    return process_pidfd_pid(pidfd) == c->pid; /* still: what was read just now was read of this one */
}

static bool is_in_group(Container *c) {
    return c->group && cgroup_group_holds(c->group, c->pid, NULL) == 1;
}

/*
 * Where the service manager has kept the terminal, it is read on; without, it is gone with the daemon that had it, and the
 * log can only be read. Output of a FIFO is there while somebody has it open: the container, or the manager.
 */
static int adopt_log(Container *c, Error *reterr) {
    ContainerLogThread *t = c->registry->log_thread;
    if (!c->spec->logged)
        return 0;
    if (c->terminal_fd >= 0)
        return container_log_open_terminal(t, c->data_fd, c->terminal_fd, &c->log, reterr);
    if (c->spec->sandbox.program.terminal || (c->ended && !c->unread))
        return container_log_open_finished(t, c->data_fd, &c->log, reterr);
    return container_log_open(t, c->state_fd, c->data_fd, NULL, &c->log, reterr);
}

static void open_log(Container *c) {
    Error error = ERROR_INIT;
    if (c->data_fd < 0)
        return;
    int r = adopt_log(c, &error);
    if (r < 0)
        log_warning("The log of container %s cannot be opened: %s", c->id, error.message);
}

static void open_layer(Container *c) {
    const ContainerEnvironment *e = &c->registry->environment;
    char path[32];
    Error error = ERROR_INIT;
    (void) snprintf(path, sizeof(path), "/proc/%d/root", (int) c->pid);
    _cleanup_fd_ int root_fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (root_fd < 0 || c->data_fd < 0)
        (void) error_failed(&error, root_fd < 0 ? errno : ENOENT, "layer", "%s",
                            strerror(root_fd < 0 ? errno : ENOENT));
    else if (storage_layer_open(e->storage, c->data_fd, c->spec->sandbox.id_base, c->spec->storage, root_fd, &c->layer,
                                &error) >= 0)
        return;
    log_warning("The writable layer of container %s is not accounted any more: %s", c->id, error.message);
}

static void open_endpoint(Container *c) {
    if (c->spec->sandbox.network != SANDBOX_NETWORK_BRIDGE)
        return;
    Error error = ERROR_INIT;
    NetworkSpec network = container_network_spec(c);
    if (network_endpoint_open(c->registry->environment.network, c->id, c->pid, &network, &c->endpoint, &error) < 0)
        log_warning("The network of container %s is neither accounted nor controlled any more: %s", c->id,
                    error.message);
}

/* A daemon that died while it changed them left some of the new ones; what the record has is what was promised. */
static void restore_limits(Container *c) {
    const CgroupHierarchies *h = c->registry->environment.hierarchies;
    CgroupLimits found;
    Error error = ERROR_INIT;
    int r = cgroup_limits_read(c->group, &found, &error);
    if (r >= 0 && !cgroup_limits_equal(h, &found, &c->spec->limits.cgroup)) {
        log_notice("The limits of container %s are not those of its record, and are set again", c->id);
        r = cgroup_limits_apply(c->group, &found, &c->spec->limits.cgroup, &error);
    }
    StorageUsage usage = { .bytes_limit = c->spec->limits.storage.bytes,
                           .inodes_limit = c->spec->limits.storage.inodes };
    if (c->layer && c->spec->storage == STORAGE_PROJECT_QUOTA)
        storage_layer_usage(c->layer, &usage);
    if (r >= 0 &&
        (usage.bytes_limit != c->spec->limits.storage.bytes || usage.inodes_limit != c->spec->limits.storage.inodes))
        r = storage_layer_set_limits(c->layer, &c->spec->limits.storage, &error);
    if (r < 0)
        log_error("The limits of container %s cannot be restored: %s", c->id, error.message);
}

static void adopt_running(Container *c, int consume_pidfd) {
    c->pidfd = consume_pidfd;
    container_kill_repair(c);
    c->state = cgroup_group_is_frozen(c->group) == 1 ? CONTAINER_PAUSED : CONTAINER_RUNNING;
    (void) restore_seccomp(c);
    open_log(c);
    open_layer(c);
    open_endpoint(c);
    restore_limits(c);
    container_watch_resume(c);
    container_begin_accounting(c);
    if (c->spec->attached) { /* its caller's connection ended with the daemon */
        c->spec->attached = false;
        (void) container_write_record(c);
    }
    log_event(LOG_INFO, LOG_ID_RECOVERED, c->id, c->spec->owner, "Container %s (%s) runs on as process %d", c->id,
              container_name(c), (int) c->pid);
    container_adopt_exit(c);
    int r = container_watch_process(c);
    if (r < 0)
        log_error("Container %s cannot be watched: %s", c->id, strerror(-r));
}

/* Ended while no daemon ran. What the cgroup counted may still be there. */
static void note_missed_exit(Container *c, const ProcessExit *exit) {
    c->state = CONTAINER_RUNNING;
    bool unread = c->unread; /* its exit is told when all of it has been read */
    if (unread)
        open_log(c);
    container_ended(c, exit);
    if (!unread && !c->wants_remove)
        open_log(c);
}

/* Root alone can write there; it is parsed as strictly as a record before anybody sees it. */
static void restore_totals(Container *c) {
    _cleanup_free_ char *text = NULL;
    size_t size = 0;
    Error error = ERROR_INIT;
    _cleanup_json_ json_object *object = NULL;
    if (path_read_file_at(c->state_fd, CONTAINER_SAMPLE_FILE, RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS, SAMPLE_MAX, &text,
                          &size) < 0)
        return;
    if (json_read(text, size, &JSON_BOUNDS_TRUSTED, &object, &error) < 0)
        return;
    c->final = (AccountText){ TAKE_PTR(text), size, size + 1 };
    c->totals_told = true;
}

static void recover_exited(Container *c, const ContainerRecord *record) {
    c->ended = true;
    c->state = CONTAINER_EXITED;
    c->exit = (ContainerExit){
        .process = { record->exit_code >= 0, record->exit_code, record->exit_signal },
        .oom_killed = record->oom_killed,
        .finished_usec = record->finished_usec,
    };
    c->wants_remove = c->spec->remove;
    open_log(c);
    c->terminal_fd = fd_close(c->terminal_fd);
    if (c->log && c->unread) /* the daemon ended between the exit and the last of its output */
        container_log_finish(c->log, NULL, NULL);
    restore_totals(c);
    container_settle(c);
}

static void recover_half_made(Container *c) {
    Error error = ERROR_INIT;
    (void) error_failed(&error, EINTR, "start", "the daemon ended while the container was being started");
    container_fail(c, &error, TAKE_PTR(c->group), true);
    container_settle(c);
}

/* A process that has ended, and is in no cgroup any more, can still say how until its parent reaps it. */
static void recover_started(Container *c) {
    ProcessExit exit = { .known = false };
    _cleanup_fd_ int pidfd = process_pidfd_open(c->pid);
    bool same = pidfd >= 0 && is_same_process(c, pidfd);
    if (same && sandbox_has_executed(c->registry->environment.sandbox, c->pid) == 0) {
        recover_half_made(c); /* noted down before its program could run, and it never did */
        return;
    }
    if (same && is_in_group(c)) {
        adopt_running(c, TAKE_FD(pidfd));
        return;
    }
    if (same && process_reap(pidfd, &exit) < 0)
        log_warning("Process %d is what is left of container %s, but not in its cgroup, and is let alone", (int) c->pid,
                    c->id);
    /* From Linux 6.15 on, one that was opened while it lived tells how it ended, whoever has reaped it. */
    _cleanup_fd_ int stored = container_stored_take(c, "process");
    if (!exit.known && stored >= 0)
        (void) process_reap(stored, &exit);
    note_missed_exit(c, &exit);
}

static Container *container_from_record(ContainerRegistry *r, ContainerRecord *record, int consume_state_fd) {
    _cleanup_fd_ int state_fd = consume_state_fd;
    Container *c = NULL;
    if (container_new(r, record->id, TAKE_PTR(record->spec), &c) < 0)
        return NULL;
    c->state_fd = TAKE_FD(state_fd);
    c->data_fd = open_own(r->data_fd, c->id);
    c->pid = record->pid;
    c->pid_start_time = record->pid_start_time;
    c->uid = record->uid;
    c->gid = record->gid;
    c->created_usec = record->created_usec;
    c->started_usec = record->started_usec;
    container_watch_decide(&r->environment, c->spec);
    c->dirty = c->holds_numbers = true; /* until its cleaning says otherwise */
    if (ranges_take_again(r, c->spec->sandbox.id_base) < 0)
        log_warning("Container %s: another daemon of this host has given its user ids to a container of its own",
                    c->id);
    if (container_labels_take_again(c) < 0) {
        log_warning("Container %s: its pair of categories is another container's, too", c->id);
        c->spec->categories = CATEGORIES_NONE;
    }
    if (c->spec->sandbox.network == SANDBOX_NETWORK_BRIDGE &&
        network_address_take_again(r->environment.network, c->spec->address) < 0) {
        log_warning("Container %s has an address that is not of the configured pool, or another container's", c->id);
        c->spec->address = 0;
    }
    return c;
}

/* In the order of creation. */
static void insert_sorted(Container *c) {
    ContainerRegistry *r = c->registry;
    Container *after = r->last;
    while (after && after->created_usec > c->created_usec)
        after = after->previous;
    if (after == r->last) {
        container_link(c);
        return;
    }
    c->previous = after;
    c->next = after ? after->next : r->first;
    c->next->previous = c;
    if (after)
        after->next = c;
    else
        r->first = c;
    container_ref(c);
    c->listed = true;
}

static int recover_one(ContainerRegistry *r, const char *id) {
    _cleanup_fd_ int state_fd = open_own(r->state_fd, id);
    if (state_fd < 0)
        return state_fd;
    Error error = ERROR_INIT;
    _cleanup_(container_record_freep) ContainerRecord *record = NULL;
    int k = container_record_read(state_fd, &record, &error);
    if (k == -ENOENT) {
        remove_stray(r, id);
        return 0;
    }
    if (k == -ENOMEM)
        return k;
    if (k < 0 || strcmp(record->id, id) != 0) {
        set_aside(r, id, k < 0 ? error.message : "it is another container's");
        return 0;
    }
    _cleanup_(container_unrefp) Container *c = container_from_record(r, record, TAKE_FD(state_fd));
    if (!c)
        return -ENOMEM;
    k = cgroup_group_open(r->environment.hierarchies, id, &c->group, &error);
    if (k == -ENOMEM || k == -EMFILE || k == -ENFILE) /* it may run: don't take it for dead */
        return -ENOMEM;
    if (k < 0 && k != -ENOENT)
        log_warning("The cgroup of container %s cannot be opened: %s", id, error.message);
    insert_sorted(c);
    c->terminal_fd = container_stored_take(c, "terminal");
    c->unread = c->terminal_fd >= 0 || container_stored_output(c);
    limit_watch_resume(c, record->oom_kills_told);
    container_findings_recover(c);
    if (record->exited)
        recover_exited(c, record);
    else if (record->pid > 0)
        recover_started(c);
    else
        recover_half_made(c);
    return 0;
}

/* Names first, work after: what the work removes must not disturb the reading. */
static int list_names(int dir_fd, char ***ret, size_t *ret_n) {
    int fd = path_open_at(dir_fd, ".", O_RDONLY | O_DIRECTORY, 0, RESOLVE_BENEATH);
    if (fd < 0)
        return fd;
    DIR *d = fdopendir(fd);
    if (!d) {
        (void) fd_close(fd);
        return -ENOMEM;
    }
    char **names = NULL;
    size_t n = 0, room = 0;
    int r = 0;
    for (struct dirent *entry; r >= 0 && (entry = readdir(d));) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        if (n == room) {
            room = room > 0 ? room * 2 : 64;
            char **grown = reallocarray(names, room, sizeof(char *));
            if (!grown) {
                r = -ENOMEM;
                break;
            }
            names = grown;
        }
        names[n] = strdup(entry->d_name);
        if (names[n])
            n++;
        else
            r = -ENOMEM;
    }
    (void) closedir(d);
    *ret = names;
    *ret_n = n;
    return r;
}

static void free_names(char **names, size_t n) {
    for (size_t i = 0; i < n; i++)
        free(names[i]);
    free(names);
}

static int recover_records(ContainerRegistry *r) {
    char **names;
    size_t n = 0;
    int k = list_names(r->state_fd, &names, &n);
    if (k < 0 && n == 0)
        return k;
    for (size_t i = 0; i < n && k >= 0; i++) {
        if (!registry_id_is_valid(names[i])) {
            remove_stray(r, names[i]);
            continue;
        }
        k = recover_one(r, names[i]);
        if (k < 0 && k != -ENOMEM) {
            log_warning("The directory of container %s cannot be read: %s", names[i], strerror(-k));
            k = 0;
        }
    }
    free_names(names, n);
    return k;
}

/* State is gone after a reboot, data is not. */
static int remove_orphaned_data(ContainerRegistry *r) {
    char **names;
    size_t n = 0;
    int k = list_names(r->data_fd, &names, &n);
    for (size_t i = 0; i < n; i++) {
        struct stat st;
        bool has_state = fstatat(r->state_fd, names[i], &st, AT_SYMLINK_NOFOLLOW) == 0;
        if (!has_state && !(registry_id_is_valid(names[i]) && is_set_aside(r, names[i])))
            remove_stray(r, names[i]);
    }
    if (n > 0)
        free_names(names, n);
    return k;
}

static int compare_ids(const void *a, const void *b) {
    return strcmp(*(const char *const *) a, *(const char *const *) b);
}

/* Interfaces that carry the id of no container of ours. */
static int remove_orphaned_interfaces(ContainerRegistry *r) {
    size_t n = 0, i = 0;
    for (const Container *c = r->first; c; c = c->next)
        n++;
    _cleanup_free_ const char **ids = calloc(n + 1, sizeof(char *));
    if (!ids)
        return -ENOMEM;
    for (const Container *c = r->first; c; c = c->next)
        ids[i++] = c->id;
    qsort(ids, n, sizeof(char *), compare_ids);
    Error error = ERROR_INIT;
    if (network_host_recover(r->environment.network, ids, n, &error) < 0)
        log_warning("What an earlier daemon left of networks cannot be removed: %s", error.message);
    return 0;
}

int container_registry_recover(ContainerRegistry *r, Error *reterr) {
    int k = recover_records(r);
    if (k >= 0)
        k = remove_orphaned_data(r);
    if (k >= 0)
        k = remove_orphaned_interfaces(r);
    container_stored_forget(r);
    if (k < 0)
        return error_failed(reterr, -k, "recover", "what an earlier daemon left cannot be read: %s", strerror(-k));
    return 0;
}
