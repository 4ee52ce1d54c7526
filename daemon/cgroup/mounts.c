/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * mountinfo, the part of it that is about cgroups.
 *
 * The text comes from the kernel, but a mount point's name may come from anyone who may mount: blanks, newlines and
 * backslashes in it are escaped in octal, and the fields are split before they are unescaped.
 */

#include "cgroup/mounts.h"

#include "util/parse.h"
#include "util/paths.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#define MOUNTINFO_MAX (64U * 1024U * 1024U)

static bool is_octal(char c) {
    return c >= '0' && c <= '7';
}

/* In place. */
static int unescape(char *text) {
    char *out = text;
    for (const char *p = text; *p; out++) {
        if (*p != '\\') {
            *out = *p++;
            continue;
        }
        if (!is_octal(p[1]) || !is_octal(p[2]) || !is_octal(p[3]) || p[1] > '3')
            return -EBADMSG;
        int c = (p[1] - '0') * 64 + (p[2] - '0') * 8 + (p[3] - '0');
        if (c == 0)
            return -EBADMSG;
        *out = (char) c;
        p += 4;
    }
    *out = 0;
    return 0;
}

/* Cuts the next field off *REST; NULL if there is none. Fields are parted by one blank. */
static char *next_field(char **rest) {
    char *field = *rest;
    if (!field || !*field)
        return NULL;
    char *end = strchr(field, ' ');
    if (end)
        *end++ = 0;
    *rest = end;
    return *field ? field : NULL;
}

typedef struct Fields {
    char *id, *root, *point, *type, *options;
} Fields;

/* 36 35 98:0 /root /point rw,noatime [master:1...] - cgroup source rw,memory */
static int split_line(char *line, Fields *ret) {
    char *rest = line;
    Fields f;
    f.id = next_field(&rest);
    (void) next_field(&rest); /* parent */
    (void) next_field(&rest); /* device */
    f.root = next_field(&rest);
    f.point = next_field(&rest);
    if (!next_field(&rest) || !f.id || !f.root || !f.point)
        return -EBADMSG;
    const char *tag;
    do
        tag = next_field(&rest);
    while (tag && strcmp(tag, "-") != 0);
    f.type = next_field(&rest);
    /* the source may be the empty string, and takes part in nothing here */
    char *options = rest ? strrchr(rest, ' ') : NULL;
    if (!f.type || !options || !options[1])
        return -EBADMSG;
    f.options = options + 1;
    *ret = f;
    return 0;
}

static int mount_from_line(char *line, CgroupMount *ret) {
    Fields f;
    int r = split_line(line, &f);
    if (r < 0)
        return r;
    bool is_v2 = strcmp(f.type, "cgroup2") == 0;
    if (!is_v2 && strcmp(f.type, "cgroup") != 0)
        return 0;
    uint64_t id;
    if (parse_u64(f.id, &id) < 0 || unescape(f.root) < 0 || unescape(f.point) < 0)
        return -EBADMSG;
    CgroupMount m = { .id = id, .is_v2 = is_v2 };
    m.root = strdup(f.root);
    m.point = strdup(f.point);
    m.options = strdup(f.options);
    *ret = m;
    return m.root && m.point && m.options ? 1 : -ENOMEM;
}

int cgroup_mounts_parse(const char *text, CgroupMounts *ret) {
    _cleanup_free_ char *copy = strdup(text);
    if (!copy)
        return -ENOMEM;
    _cleanup_(cgroup_mounts_done) CgroupMounts mounts = { 0 };
    char *state = NULL;
    for (char *line = strtok_r(copy, "\n", &state); line; line = strtok_r(NULL, "\n", &state)) {
        CgroupMount *larger = reallocarray(mounts.items, mounts.n + 1, sizeof(CgroupMount));
        if (!larger)
            return -ENOMEM;
        mounts.items = larger;
        mounts.items[mounts.n] = (CgroupMount){ 0 };
        int r = mount_from_line(line, &mounts.items[mounts.n]);
        if (r != 0)
            mounts.n++; /* also a half-made one, so that it is freed */
        if (r < 0)
            return r;
    }
    *ret = mounts;
    mounts = (CgroupMounts){ 0 };
    return 0;
}

int cgroup_mounts_read(CgroupMounts *ret) {
    _cleanup_free_ char *text = NULL;
    int r = path_read_file_at(AT_FDCWD, "/proc/thread-self/mountinfo", 0, MOUNTINFO_MAX, &text, NULL);
    return r < 0 ? r : cgroup_mounts_parse(text, ret);
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
