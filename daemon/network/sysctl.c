/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * /proc/sys/net, whose content is that of the network namespace of the thread that opens a file there.
 *
 * What is written is read back: a container must not come up with a setting that did not take.
 */

#include "network/internal.h"

#include "util/parse.h"

#include <fcntl.h>
#include <string.h>

#define SYSCTL_DIRECTORY "/proc/sys/net/"

static int read_number(int fd, int *ret) {
    char text[16];
    uint32_t value;
    ssize_t n = pread(fd, text, sizeof(text) - 1, 0);
    if (n < 0)
        return -errno;
    text[n] = 0;
    text[strcspn(text, "\n")] = 0;
    int r = parse_u32(text, &value);
    if (r < 0 || value > INT32_MAX)
        return -EBADMSG;
    *ret = (int) value;
    return 0;
}

int sysctl_get(const char *path, int *ret) {
    char full[128];
    if (snprintf(full, sizeof(full), SYSCTL_DIRECTORY "%s", path) >= (int) sizeof(full))
        return -ENAMETOOLONG;
    _cleanup_fd_ int fd = open(full, O_RDONLY | O_CLOEXEC);
    return fd < 0 ? -errno : read_number(fd, ret);
}

int sysctl_set(const char *family, const char *interface, const char *name, int value) {
    char path[128], text[16];
    int now = -1;
    if (snprintf(path, sizeof(path), SYSCTL_DIRECTORY "%s/conf/%s/%s", family, interface, name) >= (int) sizeof(path))
        return -ENAMETOOLONG;
    _cleanup_fd_ int fd = open(path, O_RDWR | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT && strcmp(family, "ipv6") == 0 && access(SYSCTL_DIRECTORY "ipv6/conf", F_OK) < 0)
        return 0;
    if (fd < 0)
        return -errno;
    int r = read_number(fd, &now);
    if (r >= 0 && now == value)
        return 0;
    if (pwrite(fd, text, (size_t) snprintf(text, sizeof(text), "%d\n", value), 0) < 0)
        return -errno;
    r = read_number(fd, &now);
    if (r < 0)
        return r;
    return now == value ? 0 : -EIO;
}
