/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * See sockets.h. The text is the kernel's but for the path of a UNIX socket, which comes last and may be any bytes but a
 * newline's (the kernel does not escape them: a path with one makes a line that is not understood, and is passed over).
 */

#include "watch/sockets.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <string.h>

static const struct {
    const char *file, *name;
    unsigned address; /* bytes */
} protocols[_SOCKETS_PROTOCOL_MAX] = {
    [SOCKETS_TCP] = { "net/tcp", "tcp", 4 },    [SOCKETS_TCP6] = { "net/tcp6", "tcp", 16 },
    [SOCKETS_UDP] = { "net/udp", "udp", 4 },    [SOCKETS_UDP6] = { "net/udp6", "udp", 16 },
    [SOCKETS_UNIX] = { "net/unix", "unix", 0 },
};

static const char *const tcp_states[] = {
    NULL,        "ESTABLISHED", "SYN_SENT",   "SYN_RECV", "FIN_WAIT1", "FIN_WAIT2",
    "TIME_WAIT", "CLOSE",       "CLOSE_WAIT", "LAST_ACK", "LISTEN",    "CLOSING",
};

#define UNIX_ACCEPTS 0x10000U /* SO_ACCEPTCON in `flags` */

/* Words of 32 bits, each printed as the number that its bytes are in the host's order. */
static bool parse_address(const char *text, size_t length, unsigned size, unsigned char *address, uint16_t *port) {
    if (length != size * 2U + 5U || text[size * 2U] != ':')
        return false;
    for (unsigned i = 0; i < size; i += 4) {
        char word[9] = { 0 };
        memcpy(word, text + i * 2U, 8);
        uint32_t w = (uint32_t) strtoul(word, NULL, 16);
        memcpy(address + i, &w, sizeof(w));
    }
    *port = (uint16_t) strtoul(text + size * 2U + 1U, NULL, 16);
    return true;
}

/* The field after N blanks-separated ones, and its length. */
static const char *field(const char *line, unsigned n, size_t *ret_length) {
    line += strspn(line, " ");
    for (; n > 0 && *line; n--) {
        line += strcspn(line, " \n");
        line += strspn(line, " ");
    }
    *ret_length = strcspn(line, " \n");
    return *ret_length > 0 ? line : NULL;
}

static uint64_t number(const char *line, unsigned n, int base, bool *ok) {
    size_t length;
    const char *text = field(line, n, &length);
    char *end = NULL;
    uint64_t value = text ? strtoull(text, &end, base) : 0;
    *ok = *ok && text && end == text + length;
    return value;
}

/* sl local remote st tx:rx tr:when retrnsmt uid timeout inode ... */
static bool parse_inet(SocketsProtocol protocol, const char *line, SocketsEntry *e) {
    size_t local_length, remote_length;
    const char *local = field(line, 1, &local_length), *remote = field(line, 2, &remote_length);
    bool ok = true;
    if (!local || !remote ||
        !parse_address(local, local_length, protocols[protocol].address, e->local, &e->local_port) ||
        !parse_address(remote, remote_length, protocols[protocol].address, e->remote, &e->remote_port))
        return false;
    e->state = (unsigned) number(line, 3, 16, &ok);
    e->uid = (uint32_t) number(line, 7, 10, &ok);
    e->inode = number(line, 9, 10, &ok);
    bool udp = protocol == SOCKETS_UDP || protocol == SOCKETS_UDP6;
    e->listening = udp ? e->state == TCP_CLOSE : e->state == TCP_LISTEN;
    return ok;
}

/* Num: RefCount Protocol Flags Type St Inode Path */
static bool parse_unix(const char *line, SocketsEntry *e) {
    size_t length;
    bool ok = true;
    uint64_t flags = number(line, 3, 16, &ok);
    e->state = (unsigned) number(line, 5, 16, &ok);
    e->inode = number(line, 6, 10, &ok);
    e->listening = flags & UNIX_ACCEPTS;
    const char *path = field(line, 7, &length);
    if (path)
        (void) snprintf(e->path, sizeof(e->path), "%.*s", (int) strcspn(path, "\n"), path);
    return ok;
}

bool sockets_parse_line(SocketsProtocol protocol, const char *line, SocketsEntry *ret) {
    SocketsEntry e = { .protocol = protocol };
    bool ok = protocol == SOCKETS_UNIX ? parse_unix(line, &e) : parse_inet(protocol, line, &e);
    if (ok)
        *ret = e;
    return ok;
}

static int read_file(int dir_fd, SocketsProtocol protocol, size_t max, SocketsEach each, void *userdata) {
    _cleanup_fd_ int fd = openat(dir_fd, protocols[protocol].file, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT ? 0 : -errno;
    _cleanup_fclose_ FILE *f = fdopen(fd, "re");
    if (!f)
        return -errno;
    fd = -EBADF;
    char line[512];
    for (size_t n = 0; fgets(line, sizeof(line), f); n++) {
        SocketsEntry e;
        if (n > max) /* the heading is one of them */
            return -EOVERFLOW;
        int r = sockets_parse_line(protocol, line, &e) ? each(userdata, &e) : 0;
        if (r != 0)
            return r;
    }
    return 0;
}

int sockets_read(int dir_fd, unsigned mask, size_t max, SocketsEach each, void *userdata) {
    bool cut = false;
    for (int p = 0; p < _SOCKETS_PROTOCOL_MAX; p++) {
        int r = mask & 1U << p ? read_file(dir_fd, (SocketsProtocol) p, max, each, userdata) : 0;
        if (r != 0 && r != -EOVERFLOW)
            return r;
        cut |= r != 0;
    }
    return cut ? -EOVERFLOW : 0;
}

static void format_end(SocketsProtocol protocol, const unsigned char *address, uint16_t port, char *out, size_t size) {
    char text[INET6_ADDRSTRLEN];
    bool six = protocols[protocol].address == 16;
    (void) inet_ntop(six ? AF_INET6 : AF_INET, address, text, sizeof(text));
    (void) snprintf(out, size, six ? "[%s]:%u" : "%s:%u", text, port);
}

const char *sockets_format(const SocketsEntry *e, char buffer[static SOCKETS_TEXT_MAX]) {
    char local[64], remote[64];
    const char *name = protocols[e->protocol].name;
    if (e->protocol == SOCKETS_UNIX) {
        (void) snprintf(buffer, SOCKETS_TEXT_MAX, "unix %s%s", e->path[0] ? e->path : "(without a name)",
                        e->listening ? " LISTEN" : "");
        return buffer;
    }
    bool tcp = e->protocol == SOCKETS_TCP || e->protocol == SOCKETS_TCP6;
    const char *state = tcp && e->state < ELEMENTSOF(tcp_states) ? tcp_states[e->state] : NULL;
    format_end(e->protocol, e->local, e->local_port, local, sizeof(local));
    format_end(e->protocol, e->remote, e->remote_port, remote, sizeof(remote));
    if (e->listening)
        (void) snprintf(buffer, SOCKETS_TEXT_MAX, "%s %s%s%s", name, local, state ? " " : "", state ?: "");
    else
        (void) snprintf(buffer, SOCKETS_TEXT_MAX, "%s %s -> %s%s%s", name, local, remote, state ? " " : "",
                        state ?: "");
    return buffer;
}

ssize_t sockets_of_process(int dir_fd, uint64_t *inodes, size_t max) {
    int fd = openat(dir_fd, "fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *d = fd < 0 ? NULL : fdopendir(fd);
    if (!d) {
        int r = -errno;
        (void) fd_close(fd);
        return r;
    }
    size_t n = 0, looked_at = 0;
    struct dirent *entry;
    while (n < max && looked_at++ < max * 64U && (entry = readdir(d))) {
        char text[64];
        ssize_t length = readlinkat(fd, entry->d_name, text, sizeof(text) - 1);
        if (length <= 0)
            continue;
        text[length] = 0;
        if (strncmp(text, "socket:[", 8) == 0)
            inodes[n++] = strtoull(text + 8, NULL, 10);
    }
    (void) closedir(d);
    return (ssize_t) n;
}
