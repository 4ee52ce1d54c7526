/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* util/fds: descriptors arrive whole, CLOEXEC and in the number asked for, or not at all. */

#include "util/fds.h"

#include <dirent.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <cmocka.h>

static unsigned count_open(void) {
    unsigned n = 0;
    DIR *d = opendir("/proc/self/fd");
    assert_non_null(d);
    while (readdir(d))
        n++;
    closedir(d);
    return n;
}

static void make_pair(int type, int pair[2]) {
    assert_int_equal(socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, pair), 0);
}

static void descriptors_travel(void **state) {
    int pair[2], out[2];
    make_pair(SOCK_STREAM, pair);
    assert_int_equal(pipe(out), 0);
    assert_int_equal(fd_send(pair[0], out, 2, "hello", 5), 0);
    int in[2] = { -1, -1 };
    char text[16];
    assert_int_equal(fd_receive(pair[1], in, 2, text, sizeof(text)), 5);
    assert_memory_equal(text, "hello", 5);
    for (int i = 0; i < 2; i++) {
        struct stat a, b;
        assert_int_equal(fstat(out[i], &a), 0);
        assert_int_equal(fstat(in[i], &b), 0);
        assert_int_equal(a.st_ino, b.st_ino);
        assert_true(fcntl(in[i], F_GETFD) & FD_CLOEXEC);
        close(in[i]);
        close(out[i]);
    }
    close(pair[0]);
    close(pair[1]);
}

static void another_number_is_refused_and_closed(void **state) {
    int pair[2], null = open("/dev/null", O_RDWR | O_CLOEXEC);
    make_pair(SOCK_SEQPACKET, pair);
    unsigned before = count_open();
    int three[3] = { null, null, null }, in[4];
    char byte;
    assert_int_equal(fd_send(pair[0], three, 3, "x", 1), 0);
    assert_int_equal(fd_receive(pair[1], in, 2, &byte, 1), -EBADMSG);
    assert_int_equal(fd_send(pair[0], three, 3, "x", 1), 0);
    assert_int_equal(fd_receive(pair[1], in, 4, &byte, 1), -EBADMSG);
    assert_int_equal(fd_send(pair[0], NULL, 0, "x", 1), 0);
    assert_int_equal(fd_receive(pair[1], in, 1, &byte, 1), -EBADMSG);
    /* a packet that was cut is not the one that was sent */
    assert_int_equal(fd_send(pair[0], three, 1, "xy", 2), 0);
    assert_int_equal(fd_receive(pair[1], in, 1, &byte, 1), -EBADMSG);
    assert_int_equal(count_open(), before);
    close(pair[0]);
    assert_int_equal(fd_receive(pair[1], in, 1, &byte, 1), -ECONNRESET);
    assert_int_equal(fd_receive(pair[1], NULL, 0, &byte, 1), 0);
    close(pair[1]);
    close(null);
}

static void a_closed_peer_is_an_error_and_no_signal(void **state) {
    int pair[2];
    make_pair(SOCK_STREAM, pair);
    close(pair[1]);
    assert_int_equal(fd_send(pair[0], NULL, 0, "x", 1), -EPIPE);
    assert_int_equal(fd_send(pair[0], NULL, 1000, "x", 1), -E2BIG);
    close(pair[0]);
}

static void flags_are_set_and_cleared(void **state) {
    int fd = open("/dev/null", O_RDWR);
    assert_int_equal(fd_set_cloexec(fd, true), 0);
    assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    assert_int_equal(fd_set_cloexec(fd, false), 0);
    assert_false(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    assert_int_equal(fd_set_nonblock(fd, true), 0);
    assert_true(fcntl(fd, F_GETFL) & O_NONBLOCK);
    assert_int_equal(fd_set_nonblock(fd, false), 0);
    assert_false(fcntl(fd, F_GETFL) & O_NONBLOCK);
    close(fd);
    assert_int_equal(fd_set_nonblock(fd, true), -EBADF);
}

static void reads_and_writes_all(void **state) {
    int fds[2];
    assert_int_equal(pipe(fds), 0);
    assert_int_equal(fd_write_all(fds[1], "abc", 3), 0);
    assert_int_equal(fd_write_all(fds[1], "def", 3), 0);
    close(fds[1]);
    char text[16];
    assert_int_equal(fd_read_all(fds[0], text, 4), 4);
    assert_int_equal(fd_read_all(fds[0], text + 4, sizeof(text) - 4), 2);
    assert_memory_equal(text, "abcdef", 6);
    close(fds[0]);
    assert_int_equal(fd_read_all(fds[0], text, 1), -EBADF);
    assert_int_equal(fd_write_all(-1, "x", 1), -EBADF);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(descriptors_travel),
        cmocka_unit_test(another_number_is_refused_and_closed),
        cmocka_unit_test(a_closed_peer_is_an_error_and_no_signal),
        cmocka_unit_test(flags_are_set_and_cleared),
        cmocka_unit_test(reads_and_writes_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
