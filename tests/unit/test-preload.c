/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * What an environment makes a program load. Files, processes and reports are this test's own: the functions of evidence.c,
 * foreign.c, reader.c and watch.c that preload.c uses.
 */

#include "watch/internal.h"

#include <fcntl.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define FOUND_MAX 64

static char environment[40000];
static size_t environment_size;
static const char *const *files; /* that are there, none of them the image's; NULL-terminated */
static char found[FOUND_MAX][FINDING_EVIDENCE_MAX];
static size_t n_found, n_lookups;
static uint64_t now, lookup_usec; /* what each look-up takes */

/* ---- what stands in for the rest of the watch ---- */

uint64_t watch_now(void) {
    return now;
}

bool watch_may_collect(WatchSubject *s) {
    return true;
}

void watch_report(WatchSubject *s, Finding *consume_finding) {
    evidence_report(s, consume_finding, 0, -EBADF, true);
}

void evidence_report(WatchSubject *s, Finding *consume_finding, pid_t pid, int pidfd, bool all) {
    if (n_found < FOUND_MAX)
        (void) snprintf(found[n_found++], sizeof(found[0]), "%s", consume_finding->evidence);
    (void) finding_free(consume_finding);
}

int evidence_open_member(const WatchSubject *s, pid_t host_pid) {
    return open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
}

bool evidence_identity(int fd, const char *name, Finding *f) {
    return false;
}

void evidence_hash_for(WatchSubject *s, int file_fd, Finding *f) {}

void evidence_set(Finding *f, const char *format, ...) {
    va_list ap;
    va_start(ap, format);
    (void) vsnprintf(f->evidence, sizeof(f->evidence), format, ap);
    va_end(ap);
}

void reader_count(WatchSubject *s, ssize_t n) {}

ssize_t reader_read(WatchSubject *s, int dir_fd, const char *name, char *buffer, size_t size) {
    size_t n = environment_size < size ? environment_size : size - 1;
    memcpy(buffer, environment, n);
    buffer[n] = 0;
    return (ssize_t) n;
}

static char resolved[PATH_MAX];

int foreign_resolve(const WatchSubject *s, int dir_fd, const char *path) {
    n_lookups += strcmp(path, "/etc/ld.so.preload") != 0;
    now += lookup_usec;
    for (size_t i = 0; files[i]; i++)
        if (strcmp(files[i], path) == 0) {
            (void) snprintf(resolved, sizeof(resolved), "%s", path);
            return open("/dev/null", O_PATH | O_CLOEXEC);
        }
    return -ENOENT;
}

Origin foreign_origin(const WatchSubject *s, int file_fd, char *path) {
    (void) snprintf(path, PATH_MAX, "%s", resolved);
    return strncmp(path, "/usr/", 5) == 0 ? ORIGIN_IMAGE : ORIGIN_LAYER;
}

const char *foreign_describe(Origin o) {
    return "the writable layer";
}

bool foreign_is_local(const WatchSubject *s, int file_fd) {
    return true;
}

/* ---- tests ---- */

static void forget(void) {
    environment_size = n_found = n_lookups = 0;
    lookup_usec = 0;
    now = 1000000;
}

static void add(const char *variable) {
    size_t n = strlen(variable) + 1;
    assert_true(environment_size + n <= sizeof(environment));
    memcpy(environment + environment_size, variable, n);
    environment_size += n;
}

static const struct {
    const char *variables[3];
    const char *named; /* in the finding; NULL: there is none */
} rows[] = {
    { { "A=1", "LD_PRELOAD=/tmp/own.so" }, "LD_PRELOAD names /tmp/own.so, from the writable layer" },
    { { "LD_AUDIT=/tmp/own.so" }, "LD_AUDIT names /tmp/own.so," },
    { { "LD_PRELOAD=/usr/lib/x.so" }, NULL },
    { { "LD_PRELOAD=: /nothing  /tmp/own.so:" }, "/tmp/own.so," },
    { { "LD_PRELOAD=own.so" }, NULL },
    { { "XLD_PRELOAD=/tmp/own.so" }, NULL },
    /* without a slash, where LD_LIBRARY_PATH says */
    { { "LD_PRELOAD=own.so", "LD_LIBRARY_PATH=/tmp" }, "/tmp/own.so," },
    { { "LD_LIBRARY_PATH=/usr/lib:/tmp", "LD_PRELOAD=own.so" }, "/tmp/own.so," },
    { { "LD_LIBRARY_PATH=/usr/lib;/tmp", "LD_PRELOAD=own.so" }, "/tmp/own.so," },
    { { "LD_LIBRARY_PATH=/usr/lib:", "LD_PRELOAD=here.so" }, "./here.so," },
    { { "LD_LIBRARY_PATH=", "LD_PRELOAD=here.so" }, "./here.so," },
    { { "LD_LIBRARY_PATH=/usr/lib", "LD_PRELOAD=x.so" }, NULL },
#if defined(__x86_64__)
    { { "LD_LIBRARY_PATH=/opt", "LD_PRELOAD=fast.so" }, "/opt/glibc-hwcaps/x86-64-v3/fast.so," },
#endif
    /* what only the loader knows */
    { { "LD_PRELOAD=/$LIB/own.so" }, "LD_PRELOAD names /$LIB/own.so, which" },
    { { "LD_PRELOAD=${ORIGIN}/own.so" }, "${ORIGIN}/own.so, which" },
    { { "LD_PRELOAD=own.so", "LD_LIBRARY_PATH=/$LIB" }, "/$LIB/own.so, which" },
};

static void each_environment(void **state) {
    static const char *const there[] = {
        "/tmp/own.so", "/usr/lib/x.so", "./here.so", "/opt/glibc-hwcaps/x86-64-v3/fast.so", NULL,
    };
    files = there;
    for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
        WatchSubject s = { .pidfd = -EBADF };
        forget();
        for (size_t k = 0; k < ELEMENTSOF(rows[i].variables) && rows[i].variables[k]; k++)
            add(rows[i].variables[k]);
        preload_look(&s, 1);
        if (n_found != (rows[i].named != NULL) || (n_found > 0 && !strstr(found[0], rows[i].named)))
            fail_msg("row %zu: %zu, %s", i, n_found, n_found ? found[0] : "none");
        assert_int_equal(atomic_load(&s.dropped), 0);
    }
}

static void a_name_behind_many_is_found_or_counted(void **state) {
    static const char *const there[] = { "/tmp/own.so", NULL };
    char text[8192] = "LD_PRELOAD=";
    WatchSubject s = { .pidfd = -EBADF };
    files = there;
    forget();
    (void) memset(text + strlen(text), ':', 5000); /* longer than a path, and one name */
    (void) snprintf(text + 5011, sizeof(text) - 5011, "/tmp/own.so");
    add(text);
    preload_look(&s, 1);
    assert_int_equal(n_found, 1);
    assert_int_equal(atomic_load(&s.dropped), 0);

    forget();
    (void) snprintf(text, sizeof(text), "LD_PRELOAD=");
    for (int i = 0; i < 1000; i++)
        (void) strcat(text, "/x:");
    (void) strcat(text, "/tmp/own.so");
    add(text);
    preload_look(&s, 1);
    assert_int_equal(n_found, 0);
    assert_int_equal(n_lookups, 32);
    assert_int_equal(atomic_load(&s.dropped), 1);
}

static void many_directories_are_counted(void **state) {
    static const char *const there[] = { NULL };
    char text[8192] = "LD_LIBRARY_PATH=/a";
    WatchSubject s = { .pidfd = -EBADF };
    files = there;
    forget();
    for (int i = 0; i < 1000; i++)
        (void) strcat(text, ":/a");
    add(text);
    add("LD_PRELOAD=own.so");
    preload_look(&s, 1);
    assert_int_equal(n_lookups, 256);
    assert_int_equal(atomic_load(&s.dropped), 1);
}

static void what_was_not_read_is_counted(void **state) {
    static const char *const there[] = { "/tmp/own.so", NULL };
    static char text[33000];
    WatchSubject s = { .pidfd = -EBADF };
    files = there;
    forget();
    memset(text, 'A', sizeof(text) - 1);
    add(text);
    add("LD_PRELOAD=/tmp/own.so");
    preload_look(&s, 1);
    assert_int_equal(n_found, 0);
    assert_int_equal(atomic_load(&s.dropped), 1);
}

static void a_container_has_its_share_of_each_second(void **state) {
    static const char *const there[] = { NULL };
    WatchSubject s = { .pidfd = -EBADF };
    files = there;
    forget();
    add("LD_PRELOAD=/x");
    lookup_usec = 50000; /* large ones */
    for (int i = 0; i < 10; i++)
        preload_look(&s, 1);
    assert_int_equal(n_lookups, 4);
    assert_int_equal(atomic_load(&s.dropped), 6);
    now += 1000000;
    preload_look(&s, 1);
    assert_int_equal(n_lookups, 5);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_environment),
        cmocka_unit_test(a_name_behind_many_is_found_or_counted),
        cmocka_unit_test(many_directories_are_counted),
        cmocka_unit_test(what_was_not_read_is_counted),
        cmocka_unit_test(a_container_has_its_share_of_each_second),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
