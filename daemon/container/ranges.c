/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Ranges of host ids: each container has one that no other container of the host has.
 *
 * Within the daemon a bitmap says which are taken; one stays taken until the container's cgroup and writable layer are
 * gone. Between daemons that run at the same time a range is taken by locking its byte of a file that all of them have
 * in common, so that they may share a pool. Containers whose daemon has ended hold no lock; so when a daemon starts it
 * looks which ids of its pool processes of the host have, and leaves these ranges alone. What is left is a container
 * whose daemon ends while another daemon is already running: that one begins elsewhere in the pool, by chance, and
 * takes the range given back last, last.
 */

#include "container/internal.h"
#include "util/paths.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/random.h>

static int lock_byte(const ContainerRegistry *r, uint32_t base, short type) {
    /* The configuration takes only pools that begin at a multiple of a range's size: one range, one byte. */
    struct flock l = { .l_type = type, .l_whence = SEEK_SET, .l_start = base / SANDBOX_ID_COUNT, .l_len = 1 };
    return fcntl(cgroup_hierarchies_shared_fd(r->environment.hierarchies), F_OFD_SETLK, &l) < 0 ? -errno : 0;
}

static bool is_taken(const ContainerRegistry *r, uint32_t i) {
    return r->ranges[i / 8] & (1U << (i % 8));
}

static void set_taken(ContainerRegistry *r, uint32_t i, bool taken) {
    uint8_t bit = (uint8_t) (1U << (i % 8));
    r->ranges[i / 8] = taken ? r->ranges[i / 8] | bit : r->ranges[i / 8] & (uint8_t) ~bit;
}

/* Notes all ranges of the pool that an id or a range beginning at ID touches: one of an older pool may touch two. */
static void mark(ContainerRegistry *r, uint64_t id, uint64_t count, bool taken) {
    const ContainerEnvironment *e = &r->environment;
    for (uint64_t at = id; at<id + count; at += count> 1 ? count - 1 : 1) {
        if (at < e->id_base)
            continue;
        uint64_t i = (at - e->id_base) / SANDBOX_ID_COUNT;
        if (i < e->id_ranges)
            set_taken(r, (uint32_t) i, taken);
    }
}

/* The four uids of one process; one that goes meanwhile has none. */
static void mark_process(ContainerRegistry *r, int proc_fd, const char *pid) {
    char path[32];
    _cleanup_free_ char *text = NULL;
    unsigned ids[4];
    if (snprintf(path, sizeof(path), "%s/status", pid) >= (int) sizeof(path))
        return;
    if (path_read_file_at(proc_fd, path, RESOLVE_BENEATH, 65536, &text, NULL) < 0)
        return;
    const char *line = strstr(text, "\nUid:");
    if (!line || sscanf(line, "\nUid: %u %u %u %u", &ids[0], &ids[1], &ids[2], &ids[3]) != 4)
        return;
    for (size_t i = 0; i < ELEMENTSOF(ids); i++)
        mark(r, ids[i], 1, true);
}

static int mark_processes(ContainerRegistry *r) {
    DIR *d = opendir("/proc");
    if (!d)
        return -errno;
    for (struct dirent *e; (e = readdir(d)) != NULL;)
        if (e->d_name[0] >= '1' && e->d_name[0] <= '9')
            mark_process(r, dirfd(d), e->d_name);
    (void) closedir(d);
    return 0;
}

int ranges_init(ContainerRegistry *r, Error *reterr) {
    uint32_t n = r->environment.id_ranges, start = 0;
    r->ranges = calloc((size_t) n / 8 + 1, 1);
    if (!r->ranges)
        return error_failed(reterr, ENOMEM, "registry", "out of memory");
    if (getrandom(&start, sizeof(start), 0) != sizeof(start))
        return error_failed(reterr, EIO, "registry", "the kernel gives no random bytes");
    r->next_range = start % n;
    if (r->environment.apparmor)
        apparmor_profile_expect(r->environment.apparmor, r->environment.id_base + r->next_range * SANDBOX_ID_COUNT);
    int k = mark_processes(r);
    if (k < 0)
        return error_failed(reterr, -k, "registry", "the host's processes cannot be listed: %s", strerror(-k));
    return 0;
}

void ranges_done(ContainerRegistry *r) {
    free(r->ranges);
    r->ranges = NULL;
}

int ranges_take(ContainerRegistry *r, uint32_t *ret_base) {
    uint32_t n = r->environment.id_ranges;
    for (uint32_t k = 0; k < n; k++) {
        uint32_t i = (r->next_range + k) % n, base = r->environment.id_base + i * SANDBOX_ID_COUNT;
        if (is_taken(r, i))
            continue;
        int l = lock_byte(r, base, F_WRLCK);
        if (l == -EAGAIN || l == -EACCES)
            continue;
        if (l < 0)
            return l;
        set_taken(r, i, true);
        r->next_range = (i + 1) % n;
        *ret_base = base;
        return 0;
    }
    return -ENOSPC;
}

int ranges_take_again(ContainerRegistry *r, uint32_t base) {
    mark(r, base, SANDBOX_ID_COUNT, true);
    return lock_byte(r, base, F_WRLCK);
}

void ranges_give_back(ContainerRegistry *r, uint32_t base) {
    mark(r, base, SANDBOX_ID_COUNT, false);
    (void) lock_byte(r, base, F_UNLCK);
}

void container_release_numbers(Container *c) {
    if (!c->holds_numbers)
        return;
    c->holds_numbers = false;
    container_labels_release(c);
    ranges_give_back(c->registry, c->spec->sandbox.id_base);
    if (c->spec->address)
        network_address_give_back(c->registry->environment.network, c->spec->address);
}
