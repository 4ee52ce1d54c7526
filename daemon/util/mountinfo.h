/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * mountinfo (proc(5)), split into its fields.
 *
 * The text comes from the kernel, but a mount point's name may come from anyone who may mount: blanks, newlines and
 * backslashes in it are escaped in octal, and the fields are split before they are unescaped.
 */

#include "kennel/cleanup.h"

typedef struct MountinfoMount {
    uint64_t id;
    const char *root, *point; /* unescaped */
    const char *options;      /* of the mount: "ro,nosuid,relatime" */
    const char *type;
    const char *super_options; /* of the file system */
} MountinfoMount;

typedef struct Mountinfo {
    char *text; /* what the strings of the items are parts of */
    MountinfoMount *items;
    size_t n;
} Mountinfo;

/* All lines, or -EBADMSG. */
int mountinfo_parse(const char *text, Mountinfo *ret);
/* DIR_FD: a process's directory in /proc. */
int mountinfo_read(int dir_fd, Mountinfo *ret);
void mountinfo_done(Mountinfo *m);

/* Is WORD one of the words of a mount's options? */
bool mountinfo_has_option(const char *options, const char *word);
