/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Subjects, the queues between the threads, and the look's thread.
 *
 * Order of locks: Watch.lock is a leaf; nothing is called with it held that takes another or waits. What a thread does for a
 * subject it does with a reference and without the lock. A subject that is closed may still be looked at by whoever had
 * begun to: what comes out of it is thrown away in watch_report(), under the lock that watch_subject_free() took to close it.
 * So that never waits for a hash, and the loop, which alone calls found() and watch_subject_free(), never calls one after
 * the other.
 */

#include "sandbox/apparmor.h"
#include "watch/internal.h"

#include "util/mountinfo.h"
#include "util/paths.h"
#include "util/process.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <linux/stat.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <time.h>

/* Not in the headers of every kernel that we build on. */
#ifndef CIFS_SUPER_MAGIC
#define CIFS_SUPER_MAGIC 0xFF534D42
#endif
#ifndef SMB2_SUPER_MAGIC
#define SMB2_SUPER_MAGIC 0xFE534D42
#endif
#ifndef CEPH_SUPER_MAGIC
#define CEPH_SUPER_MAGIC 0x00C36400
#endif

#define FOUND_BATCH    64U
#define SIGHTING_BATCH 64U

static uint64_t clock_usec(clockid_t clock) {
    struct timespec t;
    (void) clock_gettime(clock, &t);
    return (uint64_t) t.tv_sec * 1000000U + (uint64_t) t.tv_nsec / 1000U;
}

uint64_t watch_now(void) {
    return clock_usec(CLOCK_MONOTONIC);
}

uint64_t watch_wall_clock(void) {
    return clock_usec(CLOCK_REALTIME);
}

/* ---- tables; under the lock ---- */

static size_t id_bucket(const char *id, size_t length) {
    uint32_t h = 2166136261U;
    for (size_t i = 0; i < length; i++)
        h = (h ^ (unsigned char) id[i]) * 16777619U;
    return h % WATCH_BUCKETS;
}

static void enter_tables(WatchSubject *s) {
    Watch *w = s->watch;
    size_t b = id_bucket(s->id, strlen(s->id));
    s->next_by_id = w->by_id[b];
    w->by_id[b] = s;
    for (size_t i = 0; i < s->n_mounts; i++) {
        WatchMount **head = &w->by_mount[s->mounts[i] % WATCH_BUCKETS];
        s->nodes[i] = (WatchMount){ s->mounts[i], s, *head };
        *head = &s->nodes[i];
    }
    s->next = w->subjects;
    if (s->next)
        s->next->previous = s;
    w->subjects = s;
    w->n_subjects++;
    w->n_asking += s->asks;
}

static void leave_tables(WatchSubject *s) {
    Watch *w = s->watch;
    for (WatchSubject **p = &w->by_id[id_bucket(s->id, strlen(s->id))]; *p; p = &(*p)->next_by_id)
        if (*p == s) {
            *p = s->next_by_id;
            break;
        }
    for (size_t i = 0; i < s->n_mounts; i++)
        for (WatchMount **p = &w->by_mount[s->mounts[i] % WATCH_BUCKETS]; *p; p = &(*p)->next)
            if (*p == &s->nodes[i]) {
                *p = s->nodes[i].next;
                break;
            }
    if (s->previous)
        s->previous->next = s->next;
    else
        w->subjects = s->next;
    if (s->next)
        s->next->previous = s->previous;
    w->n_subjects--;
    w->n_asking -= s->asks;
}

WatchSubject *watch_subject_of_mount(Watch *w, uint64_t mount_id) {
    (void) pthread_mutex_lock(&w->lock);
    WatchMount *m = w->by_mount[mount_id % WATCH_BUCKETS];
    while (m && m->id != mount_id)
        m = m->next;
    WatchSubject *s = m ? watch_subject_ref(m->subject) : NULL;
    (void) pthread_mutex_unlock(&w->lock);
    return s;
}

static WatchSubject *subject_of_id(Watch *w, const char *id, size_t length) {
    (void) pthread_mutex_lock(&w->lock);
    WatchSubject *s = w->by_id[id_bucket(id, length)];
    while (s && (strlen(s->id) != length || memcmp(s->id, id, length) != 0))
        s = s->next_by_id;
    s = s ? watch_subject_ref(s) : NULL;
    (void) pthread_mutex_unlock(&w->lock);
    return s;
}

/* One file of /proc; whatever is below the container's own group is in the container too. */
WatchSubject *watch_subject_of(Watch *w, pid_t host_pid) {
    char path[40], text[4096];
    (void) snprintf(path, sizeof(path), "/proc/%d/cgroup", (int) host_pid);
    ssize_t n = evidence_read(AT_FDCWD, path, text, sizeof(text));
    const char *line = n < 0 ? NULL : strncmp(text, "0::", 3) == 0 ? text : strstr(text, "\n0::");
    if (!line)
        return NULL;
    line += *line == '\n';
    size_t root = strlen(w->root);
    if (strncmp(line + 3, w->root, root) != 0)
        return NULL;
    const char *id = line + 3 + root;
    size_t length = strcspn(id, "/\n");
    return length > 0 && length < sizeof(((WatchSubject *) NULL)->id) ? subject_of_id(w, id, length) : NULL;
}

/* ---- subjects ---- */

WatchSubject *watch_subject_ref(WatchSubject *s) {
    (void) atomic_fetch_add(&s->n_ref, 1);
    return s;
}

WatchSubject *watch_subject_unref(WatchSubject *s) {
    if (!s || atomic_fetch_sub(&s->n_ref, 1) != 1)
        return NULL;
    (void) cgroup_group_free(s->group);
    (void) fd_close(s->pidfd);
    (void) fd_close(s->upper_fd);
    (void) fd_close(s->lower_fd);
    (void) seccomp_program_unref(s->program);
    look_memory_free(s->memory);
    for (size_t i = 0; i < WATCH_PENDING_MAX; i++)
        (void) finding_free(s->pending[i]);
    free(s->ports);
    free(s);
    return NULL;
}

bool watch_wants(const WatchSubject *s, FindingKind k) {
    return !atomic_load(&s->closed) && s->actions[k] != FINDING_OFF;
}

bool watch_wants_programs(const WatchSubject *s) {
    return watch_wants(s, FINDING_FOREIGN_PROGRAM) || watch_wants(s, FINDING_FOREIGN_SCRIPT) ||
           watch_wants(s, FINDING_DELETED_PROGRAM);
}

static const char *const namespace_files[] = {
    "ns/user", "ns/pid", "ns/mnt", "ns/ipc", "ns/uts", "ns/cgroup", "ns/time", "ns/net",
};

static uint64_t namespace_inode(int dir_fd, const char *name) {
    char text[64];
    ssize_t n = readlinkat(dir_fd, name, text, sizeof(text) - 1);
    text[n > 0 ? n : 0] = 0;
    const char *bracket = strchr(text, '[');
    return bracket ? strtoull(bracket + 1, NULL, 10) : 0;
}

/* Asks no file system, but the kernel's table of mounts. */
static bool mount_of(int fd, uint64_t *ret_id, bool *ret_is_root) {
    struct statx x;
    if (statx(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_MNT_ID, &x) < 0 || !(x.stx_mask & STATX_MNT_ID))
        return false;
    *ret_id = x.stx_mnt_id;
    if (ret_is_root)
        *ret_is_root = x.stx_attributes & STATX_ATTR_MOUNT_ROOT;
    return true;
}

/* File systems whose answers depend on nobody outside of the kernel. Of others nothing is marked, and nothing opened. */
static bool type_is_local(const char *type) {
    static const char *const local[] = { "tmpfs", "ext4",     "ext3",  "ext2",  "xfs",      "btrfs",  "f2fs",
                                         "zfs",   "bcachefs", "erofs", "ramfs", "squashfs", "iso9660" };
    for (size_t i = 0; i < ELEMENTSOF(local); i++)
        if (strcmp(type, local[i]) == 0)
            return true;
    return false;
}

/* The start has read the image before, so that asking here waits for nothing that it has not waited for. */
static bool image_is_local(int lower_fd) {
    static const uint32_t waiting[] = { FUSE_SUPER_MAGIC, NFS_SUPER_MAGIC,  V9FS_MAGIC,      SMB2_SUPER_MAGIC,
                                        CIFS_SUPER_MAGIC, CEPH_SUPER_MAGIC, AFS_SUPER_MAGIC, CODA_SUPER_MAGIC };
    struct statfs fs;
    if (lower_fd < 0)
        return true;
    if (fstatfs(lower_fd, &fs) < 0)
        return false;
    for (size_t i = 0; i < ELEMENTSOF(waiting); i++)
        if ((uint32_t) fs.f_type == waiting[i])
            return false;
    return true;
}

static void add_mount(WatchSubject *s, uint64_t id, bool local) {
    if (s->n_mounts == WATCH_MOUNTS_MAX)
        return;
    s->local |= (uint64_t) local << s->n_mounts;
    s->mounts[s->n_mounts++] = id;
}

static bool wants_marks(const WatchSubject *s) {
    return s->actions[FINDING_FOREIGN_PROGRAM] != FINDING_OFF || s->actions[FINDING_FOREIGN_SCRIPT] != FINDING_OFF;
}

/* Of one that could not be marked the process connector has to tell, and its executions may be over when they are looked at. */
static void mark(WatchSubject *s, int fd, uint64_t id) {
    bool marked = intake_mark(s->watch->intake, fd) >= 0;
    for (size_t i = 0; i < s->n_mounts; i++)
        if (s->mounts[i] == id)
            s->marked |= (uint64_t) marked << i;
    s->unmarked |= !marked;
}

/* A mount of the container's own at TARGET, other than that at the root. MOUNTS: to tell its type; NULL: a tmpfs of ours. */
static void add_place(WatchSubject *s, int root_fd, const char *target, const Mountinfo *mounts) {
    _cleanup_fd_ int fd = path_open_at(root_fd, target, O_PATH | O_CLOEXEC, 0, RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS);
    uint64_t id;
    bool is_root, local = !mounts;
    if (fd < 0 || !mount_of(fd, &id, &is_root) || id == s->root_mount || !is_root)
        return;
    for (size_t i = 0; mounts && i < mounts->n; i++)
        if (mounts->items[i].id == id)
            local = type_is_local(mounts->items[i].type);
    add_mount(s, id, local);
    if (local && !s->image_only && wants_marks(s))
        mark(s, fd, id);
}

/* All roots are overlays, read-only ones too. Of a container that was found again the first process may have gone to
 * another root meanwhile, whose file system may be anybody's. */
static uint32_t type_of(WatchSubject *s, int fd) {
    uint32_t type;
    if (!s->runs)
        return OVERLAYFS_SUPER_MAGIC;
    return reader_type(s, fd, &type) < 0 ? 0 : type;
}

/* The image `host` has its /usr on a mount of its own, which is an overlay as the root is. A container that may mount may
 * have another one there by the time that it is found again. */
static void add_usr(WatchSubject *s, int root_fd) {
    if (s->runs && s->capabilities & 1ULL << CAP_SYS_ADMIN)
        return;
    _cleanup_fd_ int fd = path_open_at(root_fd, "usr", O_PATH | O_CLOEXEC, 0, RESOLVE_IN_ROOT | RESOLVE_NO_SYMLINKS);
    uint64_t id;
    bool is_root;
    if (fd < 0 || !mount_of(fd, &id, &is_root) || id == s->root_mount || !is_root)
        return;
    for (size_t i = 0; i < s->n_mounts; i++)
        if (s->mounts[i] == id)
            return; /* a volume of the caller's */
    if (type_of(s, fd) != OVERLAYFS_SUPER_MAGIC)
        return;
    s->usr_mount = id;
    add_mount(s, id, true);
}

/* Its mounts are not to be seen from there: what is on them counts as from elsewhere, and nothing as the image's. */
static int add_other_root(WatchSubject *s, int root_fd, uint64_t id, bool local) {
    add_mount(s, id, local);
    if (local && !s->image_only)
        (void) intake_mark(s->watch->intake, root_fd);
    return 0;
}

static bool has_volumes(const SandboxSpec *spec) {
    for (size_t i = 0; i < spec->n_mounts; i++)
        if (spec->mounts[i].kind == SANDBOX_MOUNT_VOLUME)
            return true;
    return false;
}

/* What is not there is not marked: a container that was found again may have changed its own mounts, if it may. With
 * IMAGE_ONLY nothing that it could write can be executed, and nothing needs to be marked. */
static int find_mounts(WatchSubject *s, int dir_fd, const SandboxSpec *spec) {
    _cleanup_(mountinfo_done) Mountinfo mounts = { 0 };
    _cleanup_fd_ int root = openat(dir_fd, "root", O_PATH | O_DIRECTORY | O_CLOEXEC);
    uint64_t id;
    if (root < 0 || !mount_of(root, &id, NULL))
        return root < 0 ? -errno : -EOPNOTSUPP;
    uint32_t type = type_of(s, root);
    if (type != OVERLAYFS_SUPER_MAGIC)
        return add_other_root(s, root, id, type == TMPFS_MAGIC);
    s->root_mount = id;
    bool local = image_is_local(s->lower_fd);
    if (!local) /* nothing of it may be opened by our threads, which then know it by its absence above */
        s->lower_fd = fd_close(s->lower_fd);
    add_mount(s, s->root_mount, local);
    bool volumes = has_volumes(spec);
    if (volumes && mountinfo_read(dir_fd, &mounts) < 0)
        volumes = false;
    for (size_t i = 0; i < spec->n_mounts; i++)
        if (spec->mounts[i].kind == SANDBOX_MOUNT_TMPFS || volumes)
            add_place(s, root, spec->mounts[i].target, spec->mounts[i].kind == SANDBOX_MOUNT_VOLUME ? &mounts : NULL);
    add_place(s, root, "/dev/shm", NULL);
    add_usr(s, root);
    if (local && !spec->image_only && !spec->read_only && wants_marks(s))
        mark(s, root, s->root_mount);
    return 0;
}

static int copy_spec(WatchSubject *s, const WatchSubjectSpec *x) {
    const SandboxSpec *b = x->sandbox;
    s->userdata = x->userdata;
    s->pid = x->pid;
    s->id_base = b->id_base;
    s->capabilities = b->program.capabilities;
    s->seccomp = x->seccomp;
    s->runs = x->runs;
    s->image_only = b->image_only;
    s->read_only = b->read_only;
    s->init = b->init;
    s->network = b->network;
    s->program = b->program.seccomp ? seccomp_program_ref(b->program.seccomp) : NULL;
    atomic_store(&s->cpu_quota_per_sec_usec, x->cpu_quota_per_sec_usec);
    memcpy(s->actions, x->actions, sizeof(s->actions));
    s->asks = watch_wants_programs(s) || watch_wants(s, FINDING_PRELOAD) || watch_wants(s, FINDING_DISGUISE);
    (void) snprintf(s->id, sizeof(s->id), "%s", x->id);
    (void) snprintf(s->cgroup_path, sizeof(s->cgroup_path), "%s%s", s->watch->root, x->id);
    const char *profile = b->program.apparmor_profile;
    if (profile) /* as the kernel says it; what is unconfined has no mode */
        (void) snprintf(s->apparmor_label, sizeof(s->apparmor_label), "%s%s", profile,
                        strcmp(profile, APPARMOR_UNCONFINED) == 0 ? "" : " (enforce)");
    (void) snprintf(s->selinux_label, sizeof(s->selinux_label), "%s", b->program.selinux_context ?: "");
    if (x->n_ports > 0) {
        s->ports = calloc(x->n_ports, sizeof(NetworkPort));
        if (!s->ports)
            return -ENOMEM;
        memcpy(s->ports, x->ports, x->n_ports * sizeof(NetworkPort));
        s->n_ports = x->n_ports;
    }
    s->pidfd = fcntl(x->pidfd, F_DUPFD_CLOEXEC, 3);
    return s->pidfd < 0 ? -errno : 0;
}

static int look_at_first_process(WatchSubject *s, const SandboxSpec *spec) {
    _cleanup_fd_ int dir_fd = evidence_open(s->pid);
    if (dir_fd < 0)
        return dir_fd;
    for (size_t i = 0; i < ELEMENTSOF(namespace_files); i++)
        s->namespaces[i] = namespace_inode(dir_fd, namespace_files[i]);
    return find_mounts(s, dir_fd, spec);
}

/* What is on its way to the loop for S; under the lock. The items keep their places, empty. */
static void drop_found(WatchSubject *s) {
    Watch *w = s->watch;
    for (size_t i = 0; i < w->n_found; i++) {
        WatchFoundItem *f = &w->found[(w->first_found + i) % WATCH_QUEUE_MAX];
        if (f->subject != s)
            continue;
        f->finding = finding_free(f->finding);
        f->subject = watch_subject_unref(f->subject); /* never the last: the caller has one */
    }
}

WatchSubject *watch_subject_free(WatchSubject *s) {
    if (!s)
        return NULL;
    Watch *w = s->watch;
    (void) pthread_mutex_lock(&w->lock);
    atomic_store(&s->closed, true);
    leave_tables(s);
    drop_found(s);
    (void) pthread_mutex_unlock(&w->lock);
    intake_wake(w->intake); /* it closes the listeners */
    return watch_subject_unref(s);
}

int watch_subject_new(Watch *w, WatchSubjectSpec *consume_spec, WatchSubject **ret) {
    _cleanup_fd_ int calls_fd = TAKE_FD(consume_spec->calls_fd);
    _cleanup_(watch_subject_unrefp) WatchSubject *s = calloc(1, sizeof(WatchSubject));
    if (!s) {
        consume_spec->upper_fd = fd_close(consume_spec->upper_fd);
        consume_spec->lower_fd = fd_close(consume_spec->lower_fd);
        return -ENOMEM;
    }
    atomic_init(&s->n_ref, 1);
    atomic_init(&s->closed, false);
    s->watch = w;
    s->pidfd = -EBADF;
    s->upper_fd = TAKE_FD(consume_spec->upper_fd);
    s->lower_fd = TAKE_FD(consume_spec->lower_fd);
    int r = strlen(consume_spec->id) < sizeof(s->id) ? copy_spec(s, consume_spec) : -EINVAL;
    if (r >= 0)
        r = look_at_first_process(s, consume_spec->sandbox);
    if (r < 0)
        return r;
    (void) pthread_mutex_lock(&w->lock);
    enter_tables(s);
    intake_listen(w->intake);
    (void) pthread_mutex_unlock(&w->lock);
    if (calls_fd >= 0)
        r = intake_add_calls(w->intake, s, TAKE_FD(calls_fd)); /* wakes it */
    if (r < 0) {
        (void) watch_subject_free(TAKE_PTR(s));
        return r;
    }
    *ret = TAKE_PTR(s);
    return 0;
}

int watch_subject_add_calls(WatchSubject *s, int consume_fd) {
    return intake_add_calls(s->watch->intake, s, consume_fd);
}

void watch_subject_set_cpu_quota(WatchSubject *s, uint64_t quota_per_sec_usec) {
    atomic_store(&s->cpu_quota_per_sec_usec, quota_per_sec_usec);
}

uint64_t watch_subject_dropped(const WatchSubject *s) {
    return atomic_load(&s->dropped);
}

/* ---- from the look to the loop ---- */

void watch_report(WatchSubject *s, Finding *consume_finding) {
    Watch *w = s->watch;
    Finding *f = consume_finding;
    f->last_usec = f->last_usec ?: watch_wall_clock();
    f->first_usec = f->first_usec ?: f->last_usec;
    (void) pthread_mutex_lock(&w->lock);
    bool first = w->n_found == 0;
    if (!atomic_load(&s->closed) && w->n_found < WATCH_QUEUE_MAX) {
        w->found[(w->first_found + w->n_found++) % WATCH_QUEUE_MAX] = (WatchFoundItem){ watch_subject_ref(s), f };
        f = NULL;
    }
    (void) pthread_mutex_unlock(&w->lock);
    if (f)
        (void) atomic_fetch_add(&s->dropped, f->count);
    else if (first)
        (void) eventfd_write(w->found_fd, 1);
    (void) finding_free(f);
}

static bool take_found(Watch *w, WatchFoundItem *ret) {
    (void) pthread_mutex_lock(&w->lock);
    bool there = w->n_found > 0;
    if (there) {
        *ret = w->found[w->first_found];
        w->first_found = (w->first_found + 1) % WATCH_QUEUE_MAX;
        w->n_found--;
    }
    (void) pthread_mutex_unlock(&w->lock);
    return there;
}

/* found() may free the subject that it is called for, or another: what was theirs in the queue is empty then. */
static int on_found(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
    Watch *w = userdata;
    WatchFoundItem item;
    uint64_t n;
    (void) eventfd_read(fd, &n);
    for (unsigned i = 0; i < FOUND_BATCH; i++) {
        if (!take_found(w, &item))
            return 0;
        if (!item.subject)
            continue;
        if (!atomic_load(&item.subject->closed))
            w->config.found(item.subject->userdata, TAKE_PTR(item.finding));
        (void) finding_free(item.finding);
        (void) watch_subject_unref(item.subject);
    }
    (void) eventfd_write(fd, 1); /* after other sources have had their turn */
    return 0;
}

/* ---- share of work ---- */

bool watch_may_collect(WatchSubject *s) {
    uint64_t now = watch_now();
    if (now - s->second_usec >= 1000000U) {
        s->second_usec = now;
        s->collected = 0;
    }
    return s->collected++ < WATCH_COLLECTED_MAX;
}

void watch_count(WatchSubject *s, Finding *consume_finding) {
    _cleanup_(finding_freep) Finding *f = consume_finding;
    for (size_t i = 0; i < WATCH_PENDING_MAX; i++) {
        if (s->pending[i] && !finding_is_same(s->pending[i], f))
            continue;
        if (s->pending[i])
            finding_merge(s->pending[i], f);
        else
            s->pending[i] = TAKE_PTR(f);
        return;
    }
    (void) atomic_fetch_add(&s->dropped, f->count);
}

static void report_pending(WatchSubject *s) {
    for (size_t i = 0; i < WATCH_PENDING_MAX; i++)
        if (s->pending[i])
            watch_report(s, TAKE_PTR(s->pending[i]));
}

/* ---- from the intake to the look ---- */

void sighting_done(Sighting *s) {
    s->pidfd = fd_close(s->pidfd);
    s->file_fd = fd_close(s->file_fd);
    s->subject = watch_subject_unref(s->subject);
}

void watch_sighted(Watch *w, Sighting *consume_sighting) {
    Sighting *s = consume_sighting;
    s->time_usec = s->time_usec ?: watch_wall_clock();
    (void) pthread_mutex_lock(&w->lock);
    bool fits =
        !w->ending && w->n_sightings < WATCH_SIGHTINGS_MAX && (s->file_fd < 0 || w->n_opened < WATCH_OPENED_MAX);
    if (fits) {
        w->sightings[(w->first_sighting + w->n_sightings++) % WATCH_SIGHTINGS_MAX] = *s;
        w->n_opened += s->file_fd >= 0;
        (void) pthread_cond_signal(&w->sighted);
    }
    (void) pthread_mutex_unlock(&w->lock);
    if (fits)
        return;
    if (s->subject)
        (void) atomic_fetch_add(&s->subject->dropped, s->count);
    sighting_done(s);
}

static void on_sighting(Sighting *g) {
    WatchSubject *s = g->subject;
    if (!s || atomic_load(&s->closed))
        return;
    switch (g->kind) {
    case SIGHTING_OPENED:
        foreign_opened(s, g);
        return;
    case SIGHTING_EXECUTED:
        if (watch_wants_programs(s))
            foreign_executed(s, g->host_pid, g->file_fd);
        if (watch_wants(s, FINDING_PRELOAD))
            preload_look(s, g->host_pid);
        if (watch_wants(s, FINDING_DISGUISE))
            disguise_executed(s, g->host_pid);
        return;
    case SIGHTING_RENAMED:
        if (watch_wants(s, FINDING_DISGUISE))
            disguise_look(s, g->host_pid);
        return;
    case SIGHTING_CALL:
        if (watch_wants(s, FINDING_REFUSED_CALL))
            calls_finding(s, g);
        return;
    }
}

/* Waits for a sighting until UNTIL; how many are in BATCH. */
static size_t take_sightings(Watch *w, Sighting batch[static SIGHTING_BATCH], uint64_t until, bool *ret_ending) {
    struct timespec t = { (time_t) (until / 1000000U), (long) (until % 1000000U * 1000U) };
    size_t n = 0;
    (void) pthread_mutex_lock(&w->lock);
    while (w->n_sightings == 0 && !w->ending)
        if (pthread_cond_timedwait(&w->sighted, &w->lock, &t) == ETIMEDOUT)
            break;
    for (; n < SIGHTING_BATCH && w->n_sightings > 0; n++) {
        batch[n] = w->sightings[w->first_sighting];
        w->n_opened -= batch[n].file_fd >= 0;
        w->first_sighting = (w->first_sighting + 1) % WATCH_SIGHTINGS_MAX;
        w->n_sightings--;
    }
    *ret_ending = w->ending;
    (void) pthread_mutex_unlock(&w->lock);
    return n;
}

static WatchSubject **all_subjects(Watch *w, size_t *ret_n) {
    size_t n = 0;
    (void) pthread_mutex_lock(&w->lock);
    WatchSubject **all = calloc(w->n_subjects + 1, sizeof(WatchSubject *));
    for (WatchSubject *s = w->subjects; all && s; s = s->next)
        all[n++] = watch_subject_ref(s);
    (void) pthread_mutex_unlock(&w->lock);
    *ret_n = n;
    return all;
}

/* What the start need not wait for: /proc/PID/stat alone costs more than all that is done there. Its own descriptors of the
 * container's group, because the container's are the loop's. */
static void prepare(WatchSubject *s) {
    Error e = ERROR_INIT;
    if (s->prepared)
        return;
    s->prepared = true;
    if (s->watch->config.hierarchies)
        (void) cgroup_group_open(s->watch->config.hierarchies, s->id, &s->group, &e);
    if (process_start_time(s->pid, &s->start_time) < 0 || process_pidfd_pid(s->pidfd) != s->pid)
        s->start_time = 0;
}

static void look_once(Watch *w) {
    size_t n;
    WatchSubject **all = all_subjects(w, &n);
    if (!all)
        return;
    for (size_t i = 0; i < n; i++) {
        prepare(all[i]);
        report_pending(all[i]);
        if (watch_wants(all[i], FINDING_PRELOAD))
            preload_look_again(all[i]);
    }
    if (n > 0)
        look_at_all(w->look, all, n);
    for (size_t i = 0; i < n; i++)
        (void) watch_subject_unref(all[i]);
    free(all);
}

static void *look_main(void *userdata) {
    Watch *w = userdata;
    Sighting batch[SIGHTING_BATCH];
    uint64_t next = watch_now() + WATCH_LOOK_USEC;
    for (bool ending = false; !ending;) {
        size_t n = take_sightings(w, batch, next, &ending);
        for (size_t i = 0; i < n; i++) {
            if (!ending)
                on_sighting(&batch[i]);
            sighting_done(&batch[i]);
        }
        uint64_t now = watch_now();
        if (ending || now < next)
            continue;
        look_once(w);
        /* a second from the end of it, if it takes longer than that: sightings have their turn */
        now = watch_now();
        next = next + WATCH_LOOK_USEC > now ? next + WATCH_LOOK_USEC : now + WATCH_LOOK_USEC;
    }
    return NULL;
}

/* ---- the watch ---- */

static uint64_t find_memfd_mount(void) {
    _cleanup_fd_ int fd = memfd_create("kennel", MFD_CLOEXEC);
    uint64_t id = 0;
    if (fd >= 0)
        (void) mount_of(fd, &id, NULL);
    return id;
}

static int start_look(Watch *w) {
    sigset_t all, saved;
    int r = look_new(w, &w->look);
    if (r < 0)
        return r;
    (void) sigfillset(&all);
    (void) pthread_sigmask(SIG_SETMASK, &all, &saved);
    r = -pthread_create(&w->look_thread, NULL, look_main, w);
    (void) pthread_sigmask(SIG_SETMASK, &saved, NULL);
    w->look_runs = r >= 0;
    if (w->look_runs)
        (void) pthread_setname_np(w->look_thread, "look");
    return r;
}

static int begin(Watch *w, Error *reterr) {
    const char *root = w->config.hierarchies ? cgroup_hierarchies_root(w->config.hierarchies) : "";
    (void) snprintf(w->root, sizeof(w->root), "%s/", root);
    w->memfd_mount = find_memfd_mount();
    w->found_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (w->found_fd < 0)
        return error_failed(reterr, errno, "watch", "no eventfd: %s", strerror(errno));
    int r = w->config.event ? sd_event_add_io(w->config.event, &w->found_source, w->found_fd, EPOLLIN, on_found, w) : 0;
    if (r < 0)
        return error_failed(reterr, -r, "watch", "it cannot be added to the loop: %s", strerror(-r));
    if (w->found_source)
        (void) sd_event_source_set_description(w->found_source, "watch-found");
    r = intake_new(w, &w->intake, reterr);
    if (r < 0)
        return r;
    r = start_look(w);
    return r < 0 ? error_failed(reterr, -r, "watch", "no thread: %s", strerror(-r)) : 0;
}

int watch_new(const WatchConfig *config, Watch **ret, Error *reterr) {
    pthread_condattr_t attributes;
    _cleanup_(watch_freep) Watch *w = calloc(1, sizeof(Watch));
    if (!w)
        return error_failed(reterr, ENOMEM, "watch", "out of memory");
    w->config = *config;
    w->found_fd = -EBADF;
    (void) pthread_mutex_init(&w->lock, NULL);
    (void) pthread_condattr_init(&attributes);
    (void) pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    (void) pthread_cond_init(&w->sighted, &attributes);
    (void) pthread_condattr_destroy(&attributes);
    int r = begin(w, reterr);
    if (r < 0)
        return r;
    *ret = TAKE_PTR(w);
    return 0;
}

Watch *watch_free(Watch *w) {
    WatchFoundItem item;
    if (!w)
        return NULL;
    (void) pthread_mutex_lock(&w->lock);
    w->ending = true;
    (void) pthread_cond_signal(&w->sighted);
    (void) pthread_mutex_unlock(&w->lock);
    if (w->look_runs)
        (void) pthread_join(w->look_thread, NULL);
    w->intake = intake_free(w->intake); /* the look asks it what is missing */
    for (; w->n_sightings > 0; w->n_sightings--) {
        sighting_done(&w->sightings[w->first_sighting]);
        w->first_sighting = (w->first_sighting + 1) % WATCH_SIGHTINGS_MAX;
    }
    while (take_found(w, &item)) {
        (void) finding_free(item.finding);
        (void) watch_subject_unref(item.subject);
    }
    w->look = look_free(w->look);
    (void) sd_event_source_disable_unref(w->found_source);
    (void) fd_close(w->found_fd);
    (void) pthread_cond_destroy(&w->sighted);
    (void) pthread_mutex_destroy(&w->lock);
    free(w);
    return NULL;
}

const char *watch_subject_missing(const WatchSubject *s, FindingKind kind) {
    if (kind == FINDING_REFUSED_CALL && atomic_load(&s->calls_unheard))
        return "there were more programs with a filter of their own than can be listened to";
    if ((kind == FINDING_FOREIGN_PROGRAM || kind == FINDING_FOREIGN_SCRIPT) && s->unmarked)
        return intake_missing_marks(s->watch->intake) ?: "a mount of the container could not be marked for fanotify";
    return watch_missing(s->watch, kind);
}

/* The look finds its own by /proc, which is always there. */
const char *watch_missing(const Watch *w, FindingKind kind) {
    switch (kind) {
    case FINDING_FOREIGN_PROGRAM:
    case FINDING_FOREIGN_SCRIPT:
        return intake_missing_marks(w->intake) ?: intake_missing_events(w->intake);
    case FINDING_PRELOAD:
    case FINDING_DISGUISE:
        return intake_missing_events(w->intake);
    default:
        return NULL;
    }
}
