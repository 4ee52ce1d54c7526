/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* See mountinfo.h. */

#include "util/mountinfo.h"

#include "util/parse.h"

#include <fcntl.h>
#include <string.h>

#define MOUNTINFO_PAGE 4096U
#define MOUNTINFO_MAX  (64U * 1024U * 1024U)

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

/* 36 35 98:0 /root /point rw,noatime [master:1...] - cgroup source rw,memory */
static int split_line(char *line, MountinfoMount *ret) {
    char *rest = line;
    char *id = next_field(&rest);
    (void) next_field(&rest); /* parent */
    (void) next_field(&rest); /* device */
    char *root = next_field(&rest);
    char *point = next_field(&rest);
    char *options = next_field(&rest);
    if (!id || !root || !point || !options)
        return -EBADMSG;
    const char *tag;
    do
        tag = next_field(&rest);
    while (tag && strcmp(tag, "-") != 0);
    char *type = next_field(&rest);
    /* the source may be the empty string, and takes part in nothing here */
    char *super_options = rest ? strrchr(rest, ' ') : NULL;
    if (!type || !super_options || !super_options[1])
        return -EBADMSG;
    *ret = (MountinfoMount){ .root = root, .point = point, .options = options, .type = type };
    ret->super_options = super_options + 1;
    return parse_u64(id, &ret->id) < 0 || unescape(root) < 0 || unescape(point) < 0 ? -EBADMSG : 0;
}

static size_t count_lines(const char *text) {
    size_t n = 1;
    for (; *text; text++)
        n += *text == '\n';
    return n;
}

/* Takes TEXT, whatever happens. */
static int parse(char *consume_text, Mountinfo *ret) {
    _cleanup_(mountinfo_done) Mountinfo m = { .text = consume_text };
    m.items = calloc(count_lines(m.text), sizeof(MountinfoMount));
    if (!m.items)
        return -ENOMEM;
    char *state = NULL;
    for (char *line = strtok_r(m.text, "\n", &state); line; line = strtok_r(NULL, "\n", &state)) {
        int r = split_line(line, &m.items[m.n++]);
        if (r < 0)
            return r;
    }
    *ret = m;
    m = (Mountinfo){ 0 };
    return 0;
}

int mountinfo_parse(const char *text, Mountinfo *ret) {
    char *copy = strdup(text);
    return copy ? parse(copy, ret) : -ENOMEM;
}

/* The kernel gives a page at a time, however much is asked for. */
static int read_all(int fd, char **ret) {
    _cleanup_free_ char *text = NULL;
    size_t size = 0, room = 0;
    for (;;) {
        if (room - size < MOUNTINFO_PAGE) {
            room = room > 0 ? room * 2 : 4U * MOUNTINFO_PAGE;
            char *larger = room > MOUNTINFO_MAX ? NULL : realloc(text, room + 1);
            if (!larger)
                return room > MOUNTINFO_MAX ? -EFBIG : -ENOMEM;
            text = larger;
        }
        ssize_t n = read(fd, text + size, room - size);
        if (n < 0)
            return -errno;
        if (n == 0)
            break;
        size += (size_t) n;
    }
    text[size] = 0;
    *ret = TAKE_PTR(text);
    return 0;
}

int mountinfo_read(int dir_fd, Mountinfo *ret) {
    char *text = NULL;
    _cleanup_fd_ int fd = openat(dir_fd, "mountinfo", O_RDONLY | O_CLOEXEC);
    int r = fd < 0 ? -errno : read_all(fd, &text);
    return r < 0 ? r : parse(text, ret);
}

void mountinfo_done(Mountinfo *m) {
    free(m->text);
    free(m->items);
    *m = (Mountinfo){ 0 };
}

bool mountinfo_has_option(const char *options, const char *word) {
    size_t length = strlen(word);
    for (const char *at = options; *at; at += strcspn(at, ","), at += *at == ',')
        if (strcspn(at, ",") == length && strncmp(at, word, length) == 0)
            return true;
    return false;
}
