/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Reading and writing cgroup files. No allocation: counters of every container are read each second. */

#include "cgroup/files.h"

#include "util/parse.h"

#include <fcntl.h>
#include <string.h>

int cgroup_file_write(int dir_fd, const char *name, const char *value) {
    _cleanup_fd_ int fd = openat(dir_fd, name, O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return -errno;
    size_t length = strlen(value);
    ssize_t n;
    do
        n = write(fd, value, length);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return -errno;
    return (size_t) n == length ? 0 : -EIO;
}

ssize_t cgroup_file_pread(int fd, char *buffer, size_t size) {
    ssize_t n;
    do
        n = pread(fd, buffer, size, 0);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return -errno;
    if ((size_t) n == size)
        return -EFBIG;
    buffer[n] = 0;
    return n;
}

ssize_t cgroup_file_read(int dir_fd, const char *name, char *buffer, size_t size) {
    _cleanup_fd_ int fd = openat(dir_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    return fd < 0 ? -errno : cgroup_file_pread(fd, buffer, size);
}

/* The number of LENGTH digits at TEXT. */
static int parse_digits(const char *text, size_t length, uint64_t *ret) {
    char digits[3 * sizeof(uint64_t)];
    if (length >= sizeof(digits))
        return -EINVAL;
    memcpy(digits, text, length);
    digits[length] = 0;
    if (strcmp(digits, "max") == 0 || strcmp(digits, "-1") == 0)
        return -ERANGE;
    return parse_u64(digits, ret) < 0 ? -EINVAL : 0;
}

int cgroup_file_number(const char *text, uint64_t *ret) {
    size_t length = strcspn(text, "\n");
    if (text[length] && text[length + 1])
        return -EINVAL;
    return parse_digits(text, length, ret);
}

int cgroup_file_keyed(const char *text, const char *key, uint64_t *ret) {
    size_t key_length = strlen(key);
    for (const char *line = text; *line;) {
        size_t length = strcspn(line, "\n");
        if (length > key_length && strncmp(line, key, key_length) == 0 && line[key_length] == ' ')
            return parse_digits(line + key_length + 1, length - key_length - 1, ret);
        line += length;
        line += *line == '\n';
    }
    return -ENOENT;
}

bool cgroup_file_digits(const char **text, uint64_t *ret) {
    const char *p = *text;
    uint64_t value = 0;
    if (*p < '0' || *p > '9')
        return false;
    for (; *p >= '0' && *p <= '9'; p++)
        if (__builtin_mul_overflow(value, 10U, &value) || __builtin_add_overflow(value, (uint64_t) (*p - '0'), &value))
            return false;
    *text = p;
    *ret = value;
    return true;
}

const char *cgroup_file_device(const char *text, uint32_t ret[static 2]) {
    uint64_t major, minor;
    if (!cgroup_file_digits(&text, &major) || *text++ != ':' || !cgroup_file_digits(&text, &minor))
        return NULL;
    if (major > UINT32_MAX || minor > UINT32_MAX)
        return NULL;
    ret[0] = (uint32_t) major;
    ret[1] = (uint32_t) minor;
    return text;
}

bool cgroup_file_has_word(const char *text, const char *word, char separator) {
    const char separators[] = { ' ', '\n', separator, 0 };
    size_t length = strlen(word);
    for (const char *p = text; *(p += strspn(p, separators));) {
        size_t n = strcspn(p, separators);
        if (n == length && strncmp(p, word, length) == 0)
            return true;
        p += n;
    }
    return false;
}
