/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Pumps over pipes and files, the detach keys, and the parameters that flags become. */

#include "client/spec.h"
#include "client/stdio.h"
#include "proto/json.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

/* One round of the loop; false if nothing was ready. */
static bool turn(Pump *p) {
    struct pollfd polled[2];

    (void) pump_prepare(p, polled);
    bool ready = poll(polled, 2, 0) > 0;
    pump_run(p, polled);
    return ready;
}

static void run_idle(Pump *p) {
    while (p->open && turn(p))
        ;
}

typedef struct Ends {
    int payload, user[2];
    Pump pump;
} Ends;

/* An output pump between two pipes: payload writes, the user reads user[0]. */
static void open_output(Ends *e) {
    int pipe_fds[2];

    *e = (Ends){ .payload = -EBADF, .user = { -EBADF, -EBADF }, .pump = PUMP_INIT };
    assert_int_equal(stdio_pipe(0, pipe_fds), 0);
    e->payload = pipe_fds[1];
    assert_int_equal(pipe2(e->user, O_CLOEXEC), 0);
    assert_int_equal(pump_open_output(&e->pump, pipe_fds[0], e->user[1]), 0);
}

static void ends_done(Ends *e) {
    pump_close(&e->pump);
    e->payload = fd_close(e->payload);
    e->user[0] = fd_close(e->user[0]);
    e->user[1] = fd_close(e->user[1]);
}

static void test_output(void **state) {
    _cleanup_(ends_done) Ends e;
    char got[8] = { 0 };

    open_output(&e);
    assert_int_equal(write(e.payload, "hello", 5), 5);
    run_idle(&e.pump);
    assert_true(e.pump.open);
    assert_int_equal(read(e.user[0], got, sizeof(got)), 5);
    assert_string_equal(got, "hello");
    e.payload = fd_close(e.payload);
    run_idle(&e.pump);
    assert_false(e.pump.open);
}

/* A reader that has gone closes the payload's pipe, so that the payload learns of it. */
static void test_reader_goes(void **state) {
    _cleanup_(ends_done) Ends e;

    open_output(&e);
    e.user[0] = fd_close(e.user[0]);
    run_idle(&e.pump);
    assert_false(e.pump.open);
    assert_int_equal(e.pump.write_error, 0);
    assert_int_equal(write(e.payload, "x", 1), -1);
    assert_int_equal(errno, EPIPE);
}

/* A user who reads slowly stops the pump and loses nothing; nothing blocks. */
static void test_slow_reader(void **state) {
    _cleanup_(ends_done) Ends e;
    static char chunk[65536];
    size_t in = 0, out = 0;

    open_output(&e);
    assert_int_equal(fcntl(e.payload, F_SETFL, O_NONBLOCK), 0);
    for (ssize_t n; (n = write(e.payload, chunk, sizeof(chunk))) > 0;) {
        in += (size_t) n;
        run_idle(&e.pump);
    }
    assert_true(in > 200000);
    e.payload = fd_close(e.payload);
    e.pump.draining = true;
    while (e.pump.open) {
        run_idle(&e.pump);
        if (e.pump.open)
            out += (size_t) read(e.user[0], chunk, sizeof(chunk));
    }
    e.user[1] = fd_close(e.user[1]);
    for (ssize_t n; (n = read(e.user[0], chunk, sizeof(chunk))) > 0;)
        out += (size_t) n;
    assert_int_equal(in, out);
}

/* Draining ends although somebody still holds the other end. */
static void test_draining(void **state) {
    _cleanup_(ends_done) Ends e;
    char got[8] = { 0 };

    open_output(&e);
    assert_int_equal(write(e.payload, "rest", 4), 4);
    e.pump.draining = true;
    for (int i = 0; i < 10 && e.pump.open; i++)
        (void) turn(&e.pump);
    assert_false(e.pump.open);
    assert_int_equal(read(e.user[0], got, sizeof(got)), 4);
}

/* splice(2) refuses files that append: the pump copies then. */
static void test_append(void **state) {
    char path[] = "/tmp/kennel-test-append.XXXXXX";
    _cleanup_fd_ int created = mkostemp(path, O_APPEND | O_CLOEXEC);
    Pump p = PUMP_INIT;
    struct stat st;
    int fds[2];

    assert_true(created >= 0);
    (void) unlink(path);
    assert_int_equal(stdio_pipe(0, fds), 0);
    assert_int_equal(pump_open_output(&p, fds[0], created), 0);
    assert_true(p.splice);
    assert_int_equal(write(fds[1], "12345", 5), 5);
    (void) close(fds[1]);
    run_idle(&p);
    assert_false(p.open);
    assert_int_equal(fstat(created, &st), 0);
    assert_int_equal(st.st_size, 5);
}

static void test_full_device(void **state) {
    _cleanup_fd_ int full = open("/dev/full", O_WRONLY | O_CLOEXEC);
    Pump p = PUMP_INIT;
    int fds[2];

    assert_int_equal(stdio_pipe(0, fds), 0);
    assert_int_equal(pump_open_output(&p, fds[0], full), 0);
    assert_int_equal(write(fds[1], "x", 1), 1);
    run_idle(&p);
    assert_false(p.open);
    assert_int_equal(p.write_error, ENOSPC);
    (void) close(fds[1]);
}

static void test_pipe_mode(void **state) {
    struct stat st;
    int fds[2];

    assert_int_equal(stdio_pipe(0, fds), 0);
    assert_int_equal(fstat(fds[1], &st), 0);
    assert_int_equal(st.st_mode & 0777, 0666);
    assert_true(fcntl(fds[0], F_GETFL) & O_NONBLOCK);
    assert_false(fcntl(fds[1], F_GETFL) & O_NONBLOCK);
    (void) close(fds[0]);
    (void) close(fds[1]);
}

static void keys_are(TerminalKeys *keys, const char *in, const char *expected) {
    unsigned char buffer[64];
    size_t size = strlen(in);

    /* in place, one byte apart, as the pump does it */
    memcpy(buffer + 1, in, size);
    size_t n = terminal_keys_filter(keys, buffer + 1, size, buffer);
    assert_int_equal(n, strlen(expected));
    assert_memory_equal(buffer, expected, n);
}

static void test_keys(void **state) {
    TerminalKeys keys = { 0 };

    keys_are(&keys, "ls\r", "ls\r");
    keys_are(&keys, "\x11", "\x11");
    keys_are(&keys, "a\x10", "a");
    assert_true(keys.held);
    keys_are(&keys, "bc",
             "\x10"
             "bc");
    keys_are(&keys, "\x10\x10", "\x10");
    keys_are(&keys, "x", "\x10x");
    keys_are(&keys, "\x10", "");
    keys_are(&keys, "\x11gone", "");
    assert_true(keys.detached);
    keys_are(&keys, "more", "");
}

static void test_spec(void **state) {
    const char *command[] = { "sh", "-c", "true" }, *volumes[] = { "/tmp:/a", "/tmp:/b:ro" };
    const char *ports[] = { "8080:80", "127.0.0.1:53:53/udp" }, *tmpfs[] = { "/t:size=4096,inodes=9,mode=700" };
    RunFlags flags = {
        .rootfs = "/",
        .network = "bridge",
        .volumes = { volumes, 2 },
        .ports = { ports, 2 },
        .tmpfs = { tmpfs, 1 },
        .limits = { .memory = "64M", .cpus = "0.5", .pids = "none" },
    };
    Strings words = { command, 3 };
    _cleanup_(spec_done) Spec spec = { 0 };
    Error error = ERROR_INIT;

    if (spec_run(&flags, &words, &spec, &error) != 0)
        fail_msg("%s: %s", error.subject, error.message);
    assert_string_equal(
        json_object_to_json_string_ext(spec.parameters, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE),
        "{\"command\":[\"sh\",\"-c\",\"true\"],"
        "\"network\":\"bridge\","
        "\"limits\":{\"memory\":67108864,\"cpuQuotaPerSecUsec\":500000,\"unlimited\":[\"pids\"]},"
        "\"tmpfs\":[{\"path\":\"/t\",\"size\":4096,\"inodes\":9,\"mode\":448}],"
        "\"ports\":[{\"host\":8080,\"container\":80,\"protocol\":\"tcp\"},"
        "{\"hostAddress\":\"127.0.0.1\",\"host\":53,\"container\":53,\"protocol\":\"udp\"}],"
        "\"rootfs\":0,\"volumes\":[{\"source\":1,\"target\":\"/a\"},"
        "{\"source\":2,\"target\":\"/b\",\"readOnly\":true}]}");
    assert_int_equal(spec.n_fds, 3);
    assert_int_not_equal(spec.fds[1], spec.fds[2]);
}

static void spec_refused(RunFlags flags, const char *subject, const char *message) {
    const char *command[] = { "true" };
    Strings words = { command, 1 };
    Spec spec = { 0 };
    Error error = ERROR_INIT;

    assert_int_equal(spec_run(&flags, &words, &spec, &error), -EINVAL);
    assert_null(spec.parameters);
    assert_string_equal(error.subject, subject);
    if (!strstr(error.message, message))
        fail_msg("%s", error.message);
}

static void test_security(void **state) {
    const char *command[] = { "true" }, *volumes[] = { "/etc:/a:ro,Z", "/etc:/b:z" };
    const char *security[] = { "apparmor=/usr/bin/x", "label=level:s0:c1,c2", "label=type:a_t" };
    const char *controls[] = { "label=required", "seccomp=best-effort" };
    Strings words = { command, 1 };
    RunFlags flags = { .volumes = { volumes, 2 }, .security = { security, 3 }, .controls = { controls, 2 } };
    _cleanup_(spec_done) Spec spec = { 0 };
    Error error = ERROR_INIT;

    if (spec_run(&flags, &words, &spec, &error) != 0)
        fail_msg("%s: %s", error.subject, error.message);
    assert_string_equal(json_object_to_json_string_ext(spec.parameters, JSON_C_TO_STRING_NOSLASHESCAPE),
                        "{\"command\":[\"true\"],\"apparmorProfile\":\"/usr/bin/x\","
                        "\"label\":{\"level\":\"s0:c1,c2\",\"type\":\"a_t\"},"
                        "\"controls\":[{\"control\":\"label\",\"mode\":\"required\"},"
                        "{\"control\":\"seccomp\",\"mode\":\"bestEffort\"}],"
                        "\"volumes\":[{\"source\":0,\"target\":\"/a\",\"readOnly\":true,\"relabel\":\"private\"},"
                        "{\"source\":1,\"target\":\"/b\",\"relabel\":\"shared\"}]}");

    const char *disable[] = { "label=disable", "apparmor=unconfined" };
    RunFlags off = { .security = { disable, 2 } };
    _cleanup_(spec_done) Spec without = { 0 };
    assert_int_equal(spec_run(&off, &words, &without, &error), 0);
    assert_string_equal(json_object_to_json_string_ext(without.parameters, JSON_C_TO_STRING_NOSLASHESCAPE),
                        "{\"command\":[\"true\"],\"label\":{\"disable\":true},\"apparmorProfile\":\"unconfined\"}");
}

static void test_spec_refused(void **state) {
    const char *missing[] = { "/nonexistent:/x" }, *device[] = { "/dev/null:/x" }, *label[] = { "label=x" };
    const char *user[] = { "label=user:system_u" }, *disabled[] = { "label=disabled" }, *empty[] = { "apparmor=" };
    const char *const modes[] = { "", "label", "label=", "=required", "label=bestEffort", "label=required " };
    const char *twice[] = { "apparmor=a", "label=disable", "apparmor=b" };
    const char *profile[] = { "seccomp=/nonexistent" }, *zeros[] = { "seccomp=/dev/zero" }, *other[] = { "x=y" };
    const char *port[] = { "80" }, *tmpfs[] = { "/t:inodes=1" };

    spec_refused((RunFlags){ .rootfs = "/nonexistent" }, "--rootfs", "/nonexistent");
    spec_refused((RunFlags){ .rootfs = "/etc/passwd" }, "--rootfs", "not a directory");
    spec_refused((RunFlags){ .volumes = { missing, 1 } }, "-v/--volume", "/nonexistent");
    spec_refused((RunFlags){ .volumes = { device, 1 } }, "-v/--volume", "neither a directory nor a regular file");
    spec_refused((RunFlags){ .network = "x" }, "--network", "none, bridge or host");
    spec_refused((RunFlags){ .limits = { .pids = "0" } }, "--pids-limit", "out of range");
    spec_refused((RunFlags){ .ports = { port, 1 } }, "-p/--publish", "\"80\"");
    spec_refused((RunFlags){ .tmpfs = { tmpfs, 1 } }, "--tmpfs", "out of range");
    spec_refused((RunFlags){ .name = "\xff" }, "--name", "UTF-8");
    spec_refused((RunFlags){ .security = { label, 1 } }, "--security-opt", "label=level:s0:c1,c2");
    spec_refused((RunFlags){ .security = { disabled, 1 } }, "--security-opt", "\"label=disabled\" is unknown");
    spec_refused((RunFlags){ .security = { user, 1 } }, "--security-opt", "one user and one role");
    spec_refused((RunFlags){ .security = { empty, 1 } }, "--security-opt", "\"apparmor=\"");
    spec_refused((RunFlags){ .security = { twice, 3 } }, "--security-opt", "apparmor= is given a second time");
    for (size_t i = 0; i < ELEMENTSOF(modes); i++) {
        const char *one[] = { modes[i] };
        spec_refused((RunFlags){ .controls = { one, 1 } }, "--control", "NAME=best-effort");
    }
    spec_refused((RunFlags){ .security = { profile, 1 } }, "--security-opt", "/nonexistent");
    spec_refused((RunFlags){ .security = { zeros, 1 } }, "--security-opt", "more than");
    spec_refused((RunFlags){ .security = { other, 1 } }, "--security-opt", "seccomp=FILE");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_output),    cmocka_unit_test(test_reader_goes),  cmocka_unit_test(test_slow_reader),
        cmocka_unit_test(test_draining),  cmocka_unit_test(test_append),       cmocka_unit_test(test_full_device),
        cmocka_unit_test(test_pipe_mode), cmocka_unit_test(test_keys),         cmocka_unit_test(test_spec),
        cmocka_unit_test(test_security),  cmocka_unit_test(test_spec_refused),
    };
    (void) signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
