/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* mountinfo, the part of it that is about cgroups. */

#include "cgroup/mounts.h"

#include "util/mountinfo.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

/* 1, 0 if it is of another type, or -ENOMEM with what there is of it in *RET. */
static int copy_mount(const MountinfoMount *from, CgroupMount *ret) {
    bool is_v2 = strcmp(from->type, "cgroup2") == 0;
    if (!is_v2 && strcmp(from->type, "cgroup") != 0)
        return 0;
    ret->id = from->id;
    ret->is_v2 = is_v2;
    ret->root = strdup(from->root);
    ret->point = strdup(from->point);
    ret->options = strdup(from->super_options);
    return ret->root && ret->point && ret->options ? 1 : -ENOMEM;
}

static int select_mounts(const Mountinfo *all, CgroupMounts *ret) {
    _cleanup_(cgroup_mounts_done) CgroupMounts mounts = { 0 };
    mounts.items = calloc(all->n + 1, sizeof(CgroupMount));
    if (!mounts.items)
        return -ENOMEM;
    for (size_t i = 0; i < all->n; i++) {
        int r = copy_mount(&all->items[i], &mounts.items[mounts.n]);
        mounts.n += r != 0; /* also a half-made one, so that it is freed */
        if (r < 0)
            return r;
    }
    *ret = mounts;
    mounts = (CgroupMounts){ 0 };
    return 0;
}

int cgroup_mounts_parse(const char *text, CgroupMounts *ret) {
    _cleanup_(mountinfo_done) Mountinfo all = { 0 };
    int r = mountinfo_parse(text, &all);
    return r < 0 ? r : select_mounts(&all, ret);
}

int cgroup_mounts_read(CgroupMounts *ret) {
    _cleanup_(mountinfo_done) Mountinfo all = { 0 };
    _cleanup_fd_ int self = open("/proc/thread-self", O_PATH | O_DIRECTORY | O_CLOEXEC);
    int r = self < 0 ? -errno : mountinfo_read(self, &all);
    return r < 0 ? r : select_mounts(&all, ret);
}

void cgroup_mounts_done(CgroupMounts *m) {
    for (size_t i = 0; i < m->n; i++) {
        free(m->items[i].root);
        free(m->items[i].point);
        free(m->items[i].options);
    }
    free(m->items);
    *m = (CgroupMounts){ 0 };
}

int cgroup_mount_open(const CgroupMount *m) {
    _cleanup_fd_ int fd = open(m->point, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    struct statx st;
    if (statx(fd, "", AT_EMPTY_PATH, STATX_MNT_ID, &st) < 0)
        return -errno;
    if (!(st.stx_mask & STATX_MNT_ID) || st.stx_mnt_id != m->id)
        return -ESTALE;
    return TAKE_FD(fd);
}
