/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Messages and descriptors over a socket pair: what arrives, with which message, what is bounded, what never leaks. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "proto/framing.h"

#include <dirent.h>
#include <fcntl.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>

/* One end is the framing under test, the other a bare socket in the hands of the test. */
typedef struct Fixture {
    Framing *framing;
    int peer;
    size_t fds_before;
} Fixture;

static size_t count_fds(void) {
    DIR *d = opendir("/proc/self/fd");
    size_t n = 0;

    assert_non_null(d);
    while (readdir(d))
        n++;
    closedir(d);
    return n;
}

static int set_up(void **state) {
    static Fixture f;
    int pair[2];

    f.fds_before = count_fds();
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    f.peer = pair[1];
    assert_int_equal(framing_new(pair[0], 64 * 1024, 256 * 1024, &f.framing), 0);
    *state = &f;
    return 0;
}

/* Whatever the test did: nothing that came with a message outlives it. */
static int tear_down(void **state) {
    Fixture *f = *state;

    f->framing = framing_free(f->framing);
    f->peer = fd_close(f->peer);
    return count_fds() == f->fds_before ? 0 : -1;
}

static void send_bytes(Fixture *f, const void *bytes, size_t size) {
    assert_int_equal(send(f->peer, bytes, size, MSG_NOSIGNAL), size);
}

static void send_fds(Fixture *f, const void *bytes, size_t size, const int *fds, size_t n) {
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(253 * sizeof(int))];
    } control = { 0 };
    struct iovec vector = { (void *) bytes, size };
    struct msghdr header = { .msg_iov = &vector, .msg_iovlen = 1, .msg_control = &control };

    header.msg_controllen = CMSG_SPACE(n * sizeof(int));
    control.header.cmsg_level = SOL_SOCKET;
    control.header.cmsg_type = SCM_RIGHTS;
    control.header.cmsg_len = CMSG_LEN(n * sizeof(int));
    memcpy(CMSG_DATA(&control.header), fds, n * sizeof(int));
    assert_int_equal(sendmsg(f->peer, &header, MSG_NOSIGNAL), size);
}

static void read_all(Fixture *f) {
    int r;

    do
        r = framing_read(f->framing, NULL);
    while (r > 0);
    assert_int_equal(r, 0);
}

static FramingMessage *take(Fixture *f, const char *bytes, size_t n_fds) {
    FramingMessage *m = NULL;

    assert_int_equal(framing_take(f->framing, &m), 1);
    assert_string_equal(m->bytes, bytes);
    assert_int_equal(m->size, strlen(bytes));
    assert_int_equal(m->n_fds, n_fds);
    return m;
}

static void assert_same_file(int a, int b) {
    struct stat x, y;

    assert_int_equal(fstat(a, &x), 0);
    assert_int_equal(fstat(b, &y), 0);
    assert_true(x.st_dev == y.st_dev && x.st_ino == y.st_ino);
}

static void test_one(void **state) {
    Fixture *f = *state;
    FramingMessage *m = NULL;

    assert_int_equal(framing_read(f->framing, NULL), 0);
    assert_int_equal(framing_take(f->framing, &m), 0);
    send_bytes(f, "hello", 6);
    assert_int_equal(framing_read(f->framing, NULL), 1);
    assert_int_equal(framing_pending(f->framing), 1);
    assert_false(framing_is_partial(f->framing));
    framing_message_free(take(f, "hello", 0));
    assert_int_equal(framing_pending(f->framing), 0);
}

static void test_pipelined(void **state) {
    Fixture *f = *state;

    send_bytes(f, "one\0two\0\0three\0fo", 17);
    read_all(f);
    assert_int_equal(framing_pending(f->framing), 4);
    assert_true(framing_is_partial(f->framing));
    framing_message_free(take(f, "one", 0));
    framing_message_free(take(f, "two", 0));
    framing_message_free(take(f, "", 0));
    send_bytes(f, "ur\0", 3);
    read_all(f);
    framing_message_free(take(f, "three", 0));
    framing_message_free(take(f, "four", 0));
    assert_false(framing_is_partial(f->framing));
}

static void test_half(void **state) {
    Fixture *f = *state;
    static const char text[] = "byte by byte";
    FramingMessage *m = NULL;

    for (size_t i = 0; i < sizeof(text); i++) {
        assert_int_equal(framing_take(f->framing, &m), 0);
        send_bytes(f, text + i, 1);
        assert_int_equal(framing_read(f->framing, NULL), 1);
        assert_int_equal(framing_is_partial(f->framing), i + 1 < sizeof(text));
    }
    framing_message_free(take(f, text, 0));
}

static void test_end(void **state) {
    Fixture *f = *state;
    Error err = ERROR_INIT;

    send_bytes(f, "last\0ha", 7);
    f->peer = fd_close(f->peer);
    assert_int_equal(framing_read(f->framing, &err), 1);
    assert_int_equal(framing_read(f->framing, &err), -ECONNRESET);
    framing_message_free(take(f, "last", 0));
    assert_true(framing_is_partial(f->framing));
    assert_int_equal(framing_queue(f->framing, "x", 1, NULL, 0), 0);
    assert_int_equal(framing_write(f->framing), -EPIPE);
}

/* More than any buffer's first size, mixed with small ones, so that all ways of handing over are gone. */
static void test_sizes(void **state) {
    static const size_t sizes[] = { 1, 60000, 3, 8191, 8192, 8193, 4095, 64 * 1024, 2, 2, 30000, 0 };
    Fixture *f = *state;
    _cleanup_free_ char *text = malloc(64 * 1024 + 1);

    for (size_t i = 0; i < ELEMENTSOF(sizes); i++) {
        memset(text, 'a' + (int) i, sizes[i]);
        text[sizes[i]] = 0;
        send_bytes(f, text, sizes[i] + 1);
        if (i % 3 != 2)
            read_all(f);
    }
    read_all(f);
    for (size_t i = 0; i < ELEMENTSOF(sizes); i++) {
        memset(text, 'a' + (int) i, sizes[i]);
        text[sizes[i]] = 0;
        framing_message_free(take(f, text, 0));
    }
}

/* What is left of a buffer whose beginning was taken moves to its beginning. */
static void test_left_over(void **state) {
    Fixture *f = *state;
    char text[7001]; /* of a buffer of 8,192 */

    memset(text, 'x', sizeof(text));
    text[5000] = 0;
    send_bytes(f, text, sizeof(text));
    assert_int_equal(framing_read(f->framing, NULL), 1);
    framing_message_free(take(f, text, 0));
    assert_true(framing_is_partial(f->framing));
    send_bytes(f, "y", 1);
    assert_int_equal(framing_read(f->framing, NULL), 1);
    assert_true(framing_is_partial(f->framing));
    send_bytes(f, "z\0last\0", 7);
    read_all(f);
    memcpy(text + 2000, "yz", 3);
    framing_message_free(take(f, text, 0));
    framing_message_free(take(f, "last", 0));
}

static void test_fds_of_their_message(void **state) {
    Fixture *f = *state;
    int a = open("/dev/null", O_RDONLY | O_CLOEXEC), b = open("/dev/zero", O_RDONLY | O_CLOEXEC);
    int both[] = { a, b };

    /* a read may bring "one", "two" and the beginning of "three" at once; the descriptors say where it ends */
    send_bytes(f, "one", 4);
    send_bytes(f, "two", 4);
    send_fds(f, "three", 6, both, 2);
    send_fds(f, "four", 5, &b, 1);
    send_bytes(f, "fi", 2);
    send_bytes(f, "ve\0", 3);
    send_fds(f, "six", 4, &a, 1);
    read_all(f);
    framing_message_free(take(f, "one", 0));
    framing_message_free(take(f, "two", 0));
    FramingMessage *m = take(f, "three", 2);
    assert_same_file(m->fds[0], a);
    assert_same_file(m->fds[1], b);
    assert_true(fcntl(m->fds[0], F_GETFD) & FD_CLOEXEC);
    framing_message_free(m);
    m = take(f, "four", 1);
    assert_same_file(m->fds[0], b);
    framing_message_free(m);
    framing_message_free(take(f, "five", 0));
    m = take(f, "six", 1);
    int kept = TAKE_FD(m->fds[0]);
    framing_message_free(m);
    assert_same_file(kept, a);
    fd_close(kept);
    fd_close(a);
    fd_close(b);
}

/* The message goes on in later reads. */
static void test_fds_of_half_a_message(void **state) {
    Fixture *f = *state;
    int a = open("/dev/null", O_RDONLY | O_CLOEXEC);

    send_bytes(f, "one\0", 4);
    send_fds(f, "tw", 2, &a, 1);
    read_all(f);
    framing_message_free(take(f, "one", 0));
    send_bytes(f, "o\0three\0", 8);
    read_all(f);
    framing_message_free(take(f, "two", 1));
    framing_message_free(take(f, "three", 0));
    /* and never comes: tear_down counts */
    send_fds(f, "fo", 2, &a, 1);
    read_all(f);
    fd_close(a);
}

static void test_fds_in_the_middle(void **state) {
    Fixture *f = *state;
    Error err = ERROR_INIT;
    int a = open("/dev/null", O_RDONLY | O_CLOEXEC);

    send_bytes(f, "on", 2);
    read_all(f);
    send_fds(f, "e\0", 2, &a, 1);
    assert_int_equal(framing_read(f->framing, &err), -EBADMSG);
    assert_string_equal(err.message, "file descriptors in the middle of a message; they come with its first byte");
    assert_int_equal(err.kind, ERROR_MALFORMED);
    assert_int_equal(framing_read(f->framing, &err), -EBADMSG);
    fd_close(a);
}

static void test_fds_max(void **state) {
    Fixture *f = *state;
    Error err = ERROR_INIT;
    int many[KENNEL_FDS_MAX + 1], a = open("/dev/null", O_RDONLY | O_CLOEXEC);

    for (size_t i = 0; i < ELEMENTSOF(many); i++)
        many[i] = a;
    send_fds(f, "enough", 7, many, KENNEL_FDS_MAX);
    read_all(f);
    framing_message_free(take(f, "enough", KENNEL_FDS_MAX));

    size_t before = count_fds();
    send_fds(f, "too many", 9, many, KENNEL_FDS_MAX + 1);
    assert_int_equal(framing_read(f->framing, &err), -EMFILE);
    assert_string_equal(err.message, "more file descriptors than one message may bring");
    assert_int_equal(err.kind, ERROR_MALFORMED);
    assert_int_equal(count_fds(), before);
    fd_close(a);
}

static void test_fds_without_room(void **state) {
    Fixture *f = *state;
    Error err = ERROR_INIT;
    struct rlimit old, tight;
    int a = open("/dev/null", O_RDONLY | O_CLOEXEC), three[] = { a, a, a };
    int next = dup(a);

    fd_close(next);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
    tight = old;
    tight.rlim_cur = (rlim_t) next + 1;
    send_bytes(f, "first\0be", 8);
    read_all(f);
    send_bytes(f, "gun\0second", 11);
    send_fds(f, "hello\0third\0half", 16, three, 3);
    send_bytes(f, " of it\0last", 12);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &tight), 0);
    int r = framing_read(f->framing, &err);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
    assert_int_equal(r, -EMFILE);
    assert_string_equal(err.message, "no room for more file descriptors");
    /* what came with earlier reads is there, and nothing of what lost its descriptors, or came later */
    assert_int_equal(framing_read(f->framing, &err), -EMFILE);
    assert_int_equal(framing_pending(f->framing), 1);
    framing_message_free(take(f, "first", 0));
    FramingMessage *m = NULL;
    assert_int_equal(framing_take(f->framing, &m), 0);
    assert_true(framing_is_partial(f->framing));
    fd_close(a);
}

static void test_fds_without_room_alone(void **state) {
    Fixture *f = *state;
    struct rlimit old, tight;
    FramingMessage *m = NULL;
    int a = open("/dev/null", O_RDONLY | O_CLOEXEC), three[] = { a, a, a };
    int next = dup(a);

    fd_close(next);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
    tight = old;
    tight.rlim_cur = (rlim_t) next + 1;
    send_fds(f, "hello", 6, three, 3);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &tight), 0);
    int r = framing_read(f->framing, NULL);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
    assert_int_equal(r, -EMFILE);
    assert_int_equal(framing_pending(f->framing), 0);
    assert_int_equal(framing_take(f->framing, &m), 0);
    assert_false(framing_is_partial(f->framing));
    fd_close(a);
}

static void test_too_large(void **state) {
    Fixture *f = *state;
    Error err = ERROR_INIT;
    _cleanup_free_ char *text = malloc(64 * 1024 + 2);
    int r;

    memset(text, 'x', 64 * 1024 + 2);
    send_bytes(f, "before", 7);
    send_bytes(f, text, 64 * 1024 + 1);
    while ((r = framing_read(f->framing, &err)) > 0)
        ;
    assert_int_equal(r, -EMSGSIZE);
    assert_string_equal(err.message, "a message is larger than 65536 bytes");
    assert_int_equal(err.kind, ERROR_MALFORMED);
    assert_int_equal(framing_read(f->framing, &err), -EMSGSIZE);
    /* what came before is whole */
    assert_int_equal(framing_pending(f->framing), 1);
    framing_message_free(take(f, "before", 0));
}

/* The NUL is there, but too late: nothing is left to take. */
static void test_too_large_but_complete(void **state) {
    Fixture *f = *state;
    _cleanup_(framing_freep) Framing *small = NULL;
    int pair[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    assert_int_equal(framing_new(pair[0], 4, 4, &small), 0);
    assert_int_equal(write(pair[1], "four\0fives\0x\0", 13), 13);
    assert_int_equal(framing_read(small, NULL), -EMSGSIZE);
    assert_int_equal(framing_pending(small), 1);
    fd_close(pair[1]);
    (void) f;
}

static void test_slow_reader(void **state) {
    Fixture *f = *state;
    static char text[256 * 1024];
    size_t part = 16 * 1024, queued = 0, got = 0;
    char buffer[8192];
    ssize_t n;

    while (framing_queue(f->framing, text, part - 1, NULL, 0) == 0)
        queued += part;
    assert_int_equal(queued, sizeof(text));
    assert_int_equal(framing_queue(f->framing, text, 0, NULL, 0), -ENOBUFS);
    assert_int_equal(framing_queued(f->framing), queued);
    /* the kernel takes some; then room for as much again, and not more */
    assert_int_equal(framing_write(f->framing), 0);
    size_t taken = queued - framing_queued(f->framing);
    assert_in_range(taken, 1, queued - 1);
    assert_int_equal(framing_queue(f->framing, text, taken - 1, NULL, 0), 0);
    assert_int_equal(framing_queue(f->framing, text, 0, NULL, 0), -ENOBUFS);
    queued += taken;
    while (got < queued) {
        n = recv(f->peer, buffer, sizeof(buffer), MSG_DONTWAIT);
        if (n > 0)
            got += (size_t) n;
        else
            (void) framing_write(f->framing);
    }
    assert_int_equal(framing_write(f->framing), 1);
    assert_int_equal(framing_queued(f->framing), 0);
}

/* Two framings against each other: order, bytes and descriptors, with a pipe too narrow for any of it. */
static void test_both_ways(void **state) {
    Fixture *f = *state;
    _cleanup_(framing_freep) Framing *other = NULL;
    int a = open("/dev/null", O_RDONLY | O_CLOEXEC), both[] = { a, a }, small = 4096;
    _cleanup_free_ char *text = malloc(50000);
    size_t expected = 0;

    memset(text, 'x', 50000);
    assert_int_equal(setsockopt(framing_fd(f->framing), SOL_SOCKET, SO_SNDBUF, &small, sizeof(small)), 0);
    assert_int_equal(framing_new(TAKE_FD(f->peer), 64 * 1024, 1024, &other), 0);
    for (size_t i = 0; i < 40; i++) {
        size_t size = i % 10 == 0 ? 50000 : i;
        int r = framing_queue(f->framing, text, size, both, i % 3);
        assert_int_equal(r, 0);
        while (framing_write(f->framing) == 0 || framing_pending(other) > 0) {
            FramingMessage *m = NULL;
            (void) framing_read(other, NULL);
            if (framing_take(other, &m) <= 0)
                continue;
            assert_int_equal(m->size, expected % 10 == 0 ? 50000 : expected);
            assert_int_equal(m->n_fds, expected % 3);
            for (size_t k = 0; k < m->n_fds; k++)
                assert_same_file(m->fds[k], a);
            framing_message_free(m);
            expected++;
        }
    }
    while (framing_read(other, NULL) > 0)
        ;
    expected += framing_pending(other);
    assert_int_equal(expected, 40);
    fd_close(a);
}

/* One write for many messages: each descriptor arrives with its own all the same. */
static void test_written_together(void **state) {
    Fixture *f = *state;
    _cleanup_(framing_freep) Framing *other = NULL;
    int a = open("/dev/null", O_RDONLY | O_CLOEXEC), b = open("/dev/zero", O_RDONLY | O_CLOEXEC);
    static const size_t n_fds[] = { 0, 0, 1, 1, 0, 1 };
    size_t i = 0;

    assert_int_equal(framing_new(TAKE_FD(f->peer), 100, 100, &other), 0);
    for (; i < ELEMENTSOF(n_fds); i++)
        assert_int_equal(framing_queue(f->framing, "abcdef", i + 1, i == 3 ? &b : &a, n_fds[i]), 0);
    assert_int_equal(framing_write(f->framing), 1);
    while (framing_read(other, NULL) > 0)
        ;
    for (i = 0; i < ELEMENTSOF(n_fds); i++) {
        _cleanup_(framing_message_freep) FramingMessage *m = NULL;
        assert_int_equal(framing_take(other, &m), 1);
        assert_int_equal(m->size, i + 1);
        assert_int_equal(m->n_fds, n_fds[i]);
        if (m->n_fds > 0)
            assert_same_file(m->fds[0], i == 3 ? b : a);
    }
    fd_close(a);
    fd_close(b);
}

static void test_queue_bad_fds(void **state) {
    Fixture *f = *state;
    int a = open("/dev/null", O_RDONLY | O_CLOEXEC), bad[] = { a, -1 }, many[KENNEL_FDS_MAX + 1] = { 0 };
    size_t before = count_fds();

    assert_int_equal(framing_queue(f->framing, "x", 1, bad, 2), -EBADF);
    assert_int_equal(framing_queue(f->framing, "x", 1, many, KENNEL_FDS_MAX + 1), -EINVAL);
    assert_int_equal(framing_queued(f->framing), 0);
    assert_int_equal(count_fds(), before);
    /* queued, never sent: tear_down counts */
    assert_int_equal(framing_queue(f->framing, "x", 1, &a, 1), 0);
    assert_int_equal(count_fds(), before + 1);
    fd_close(a);
}

static void test_new_closes(void **state) {
    Framing *f = NULL;

    assert_int_equal(framing_new(-1, 1, 1, &f), -EBADF);
    assert_null(f);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_one),
        TEST(test_pipelined),
        TEST(test_half),
        TEST(test_end),
        TEST(test_sizes),
        TEST(test_left_over),
        TEST(test_fds_of_their_message),
        TEST(test_fds_of_half_a_message),
        TEST(test_fds_in_the_middle),
        TEST(test_fds_max),
        TEST(test_fds_without_room),
        TEST(test_fds_without_room_alone),
        TEST(test_too_large),
        TEST(test_too_large_but_complete),
        TEST(test_slow_reader),
        TEST(test_both_ways),
        TEST(test_written_together),
        TEST(test_queue_bad_fds),
        TEST(test_new_closes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
