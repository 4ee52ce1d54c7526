/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Lines of /proc/PID/net/{tcp,tcp6,udp,unix}: what they say, and which say nothing. */

#include "watch/sockets.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <cmocka.h>

static const struct {
    SocketsProtocol protocol;
    const char *line, *text; /* NULL: it is none */
    uint64_t inode;
} lines[] = {
    { SOCKETS_TCP, "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n",
      NULL, 0 },
    { SOCKETS_TCP,
      "   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1234 1 0 100 0 0 10 "
      "0\n",
      "tcp 127.0.0.1:8080 LISTEN", 1234 },
    { SOCKETS_TCP,
      "  10: 0200000A:9C40 0100000A:0050 01 00000000:00000000 02:000A 00000000  1000        0 77 2 0 20 4 30 10 -1\n",
      "tcp 10.0.0.2:40000 -> 10.0.0.1:80 ESTABLISHED", 77 },
    { SOCKETS_TCP, "   0: 0100007F:1F90 00000000:0000 0A", NULL, 0 },
    { SOCKETS_TCP, "   0: 0100007F1F90 00000000:0000 0A 0:0 0:0 0 0 0 1", NULL, 0 },
    { SOCKETS_TCP, "   0: 0100007F:1F90 00000000:0000 0A 0:0 0:0 0 0 0 x1", NULL, 0 },
    { SOCKETS_TCP, "", NULL, 0 },
    { SOCKETS_TCP6,
      "   0: 00000000000000000000000001000000:0016 00000000000000000000000000000000:0000 0A 0:0 00:0 0 0 0 9 1\n",
      "tcp [::1]:22 LISTEN", 9 },
    { SOCKETS_UDP, "  1: 00000000:0035 00000000:0000 07 00000000:00000000 00:00000000 00000000 0 0 5 2 0 0\n",
      "udp 0.0.0.0:53", 5 },
    { SOCKETS_UDP, "  1: 0200000A:8000 08080808:0035 01 00000000:00000000 00:00000000 00000000 0 0 6 2 0 0\n",
      "udp 10.0.0.2:32768 -> 8.8.8.8:53", 6 },
    { SOCKETS_UNIX, "Num       RefCount Protocol Flags    Type St Inode Path\n", NULL, 0 },
    { SOCKETS_UNIX, "0000000000000000: 00000002 00000000 00010000 0001 01 4242 /run/a b\n", "unix /run/a b LISTEN",
      4242 },
    { SOCKETS_UNIX, "0000000000000000: 00000003 00000000 00000000 0001 03 4243\n", "unix (without a name)", 4243 },
};

static void each_line(void **state) {
    for (size_t i = 0; i < ELEMENTSOF(lines); i++) {
        SocketsEntry e;
        char text[SOCKETS_TEXT_MAX];
        if (sockets_parse_line(lines[i].protocol, lines[i].line, &e) != (lines[i].text != NULL))
            fail_msg("line %zu", i);
        if (!lines[i].text)
            continue;
        assert_string_equal(sockets_format(&e, text), lines[i].text);
        assert_int_equal(e.inode, lines[i].inode);
    }
}

static int match(void *userdata, const SocketsEntry *e) {
    uint64_t *wanted = userdata;
    if (e->inode != *wanted)
        return 0;
    assert_true(e->listening);
    *wanted = 0;
    return 1;
}

static void our_own(void **state) {
    struct stat st;
    uint64_t inodes[32];
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0),
        dir_fd = open("/proc/self", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(fd >= 0 && dir_fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *) &address, sizeof(address)), 0);
    assert_int_equal(listen(fd, 1), 0);
    assert_int_equal(fstat(fd, &st), 0);
    ssize_t n = sockets_of_process(dir_fd, inodes, ELEMENTSOF(inodes));
    bool found = false;
    for (ssize_t i = 0; i < n; i++)
        found |= inodes[i] == st.st_ino;
    assert_true(found);
    uint64_t wanted = st.st_ino;
    assert_int_equal(sockets_read(dir_fd, 1U << SOCKETS_TCP, 100000, match, &wanted), 1);
    assert_int_equal(wanted, 0);
    (void) close(fd);
    (void) close(dir_fd);
}

static int count(void *userdata, const SocketsEntry *e) {
    ((unsigned *) userdata)[e->protocol]++;
    return 0;
}

static void each_file_has_its_own_limit(void **state) {
    if (unshare(CLONE_NEWNET) < 0)
        skip();
    unsigned seen[_SOCKETS_PROTOCOL_MAX] = { 0 };
    for (int i = 0; i < 4; i++) {
        int fd = socket(AF_INET, (i < 3 ? SOCK_STREAM : SOCK_DGRAM) | SOCK_CLOEXEC, 0);
        struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons((uint16_t) (1000 + i)) };
        assert_int_equal(bind(fd, (struct sockaddr *) &address, sizeof(address)), 0);
        assert_true(i == 3 || listen(fd, 1) == 0);
    }
    int dir_fd = open("/proc/thread-self", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_int_equal(sockets_read(dir_fd, 1U << SOCKETS_TCP | 1U << SOCKETS_UDP, 2, count, seen), -EOVERFLOW);
    assert_true(seen[SOCKETS_TCP] == 2 && seen[SOCKETS_UDP] == 1);
    assert_int_equal(sockets_read(dir_fd, 1U << SOCKETS_TCP | 1U << SOCKETS_UDP, 3, count, seen), 0);
    assert_true(seen[SOCKETS_TCP] == 5 && seen[SOCKETS_UDP] == 2);
    (void) close(dir_fd);
}

int main(void) {
    const struct CMUnitTest tests[] = { cmocka_unit_test(each_line), cmocka_unit_test(our_own),
                                        cmocka_unit_test(each_file_has_its_own_limit) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
