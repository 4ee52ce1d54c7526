/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Receipts as sentences: each outcome, with what is known and without. */

#include "client/receipt.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void says(const char *json, const char *expected, bool dying) {
    json_object *o = json_tokener_parse(json);
    char *text = receipt_describe(o);
    assert_string_equal(text, expected);
    assert_int_equal(receipt_is_dying(o), dying);
    free(text);
    json_object_put(o);
}

static void test_outcomes(void **state) {
    says("{\"pid\":7,\"hostPid\":4321,\"outcome\":\"dead\",\"processes\":1,\"durationUsec\":812}",
         "killed process 7 (host 4321): dead after 0.8 ms", false);
    says("{\"pid\":7,\"hostPid\":4321,\"outcome\":\"dead\",\"processes\":3,\"durationUsec\":12345}",
         "killed process 7 (host 4321) and 2 descendants: dead after 12.3 ms", false);
    says("{\"pid\":null,\"hostPid\":4321,\"outcome\":\"gone\",\"processes\":0,\"durationUsec\":1}",
         "process 4321 of the host: had ended before", false);
    says("{\"pid\":7,\"hostPid\":4321,\"outcome\":\"dying\",\"waitChannel\":\"fuse_wait\",\"processes\":1}",
         "process 7 (host 4321): dying in D state in fuse_wait", true);
    says("{\"pid\":1,\"hostPid\":9,\"outcome\":\"spared\"}",
         "process 1 (host 9): spared, it is the container's first process; kill the container to end it", false);
}

static void test_container(void **state) {
    says("{\"pid\":null,\"hostPid\":null,\"outcome\":\"dead\",\"processes\":512,\"durationUsec\":34567}",
         "killed the container: 512 processes in 34.5 ms", false);
    says("{\"pid\":null,\"hostPid\":null,\"outcome\":\"dead\",\"processes\":1,\"durationUsec\":90}",
         "killed the container: 1 process in 0.0 ms", false);
    says("{\"outcome\":\"dying\",\"waitChannel\":null}", "the container: dying in D state in the kernel", true);
}

/* Of a daemon of another version. */
static void test_unknown(void **state) {
    says("{\"pid\":7,\"outcome\":\"evaporated\"}", "process 7: evaporated", false);
    says("{}", "the container: ?", false);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_outcomes),
        cmocka_unit_test(test_container),
        cmocka_unit_test(test_unknown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
