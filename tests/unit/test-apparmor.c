/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* sandbox/apparmor-policy: names, the text, the key of what is kept, the kernel's list. */

#include "sandbox/apparmor-policy.h"
#include "sandbox/sandbox.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static void test_name(void **state) {
    char name[APPARMOR_NAME_SIZE];
    apparmor_profile_name(1879048192, name);
    assert_string_equal(name, "kennel-1879048192");
    apparmor_profile_name(UINT32_MAX, name);
    assert_string_equal(name, "kennel-4294967295");
}

static void test_text_has_the_name_and_what_the_host_knows(void **state) {
    static const struct {
        AppArmorPolicy policy;
        bool mqueue;
    } cases[] = {
        { { false }, false },
        { { true }, true },
    };
    for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
        _cleanup_free_ char *text = apparmor_policy_text(&cases[i].policy, "kennel-65536");
        assert_non_null(text);
        assert_non_null(strstr(text, "\nprofile kennel-65536 flags="));
        assert_int_equal(strstr(text, "\n  mqueue,\n") != NULL, cases[i].mqueue);
        assert_non_null(strstr(text, "\n  audit deny capability sys_admin,\n"));
        assert_null(strstr(text, "@name@"));
        assert_null(strstr(text, "@more@"));
        assert_string_equal(text + strlen(text) - 3, "\n}\n");
    }
}

static void test_version_of_the_parser(void **state) {
    assert_int_equal(apparmor_policy_parser_major("AppArmor parser version 3.0.8 Copyright (C) 1999"), 3);
    assert_int_equal(apparmor_policy_parser_major("AppArmor parser version 4.1.0~beta5"), 4);
    assert_int_equal(apparmor_policy_parser_major("AppArmor parser"), 0);
    assert_int_equal(apparmor_policy_parser_major(""), 0);
}

static void make_key(const AppArmorPolicy *p, const char *version, const char *features, char *ret) {
    assert_int_equal(apparmor_policy_key(p, version, features, ret), 0);
}

static void test_key_tells_what_matters_apart(void **state) {
    const AppArmorPolicy old = { false }, new = { true };
    char key[APPARMOR_KEY_SIZE], other[APPARMOR_KEY_SIZE];
    make_key(&old, "3.0.8", "6b0d76a2", key);
    assert_int_equal(strlen(key), 16);
    make_key(&old, "3.0.8", "6b0d76a2", other);
    assert_string_equal(key, other);
    make_key(&new, "3.0.8", "6b0d76a2", other);
    assert_string_not_equal(key, other);
    make_key(&old, "3.0.9", "6b0d76a2", other);
    assert_string_not_equal(key, other);
    make_key(&old, "3.0.8", "6b0d76a3", other);
    assert_string_not_equal(key, other);
    make_key(&old, "3.0.86", "b0d76a2", other);
    assert_string_not_equal(key, other);
}

static void test_batches(void **state) {
    const uint32_t size = APPARMOR_BATCH * SANDBOX_ID_COUNT;
    assert_int_equal(apparmor_policy_batch(0), 0);
    assert_int_equal(apparmor_policy_batch(size - SANDBOX_ID_COUNT), 0);
    assert_int_equal(apparmor_policy_batch(size), size);
    assert_int_equal(apparmor_policy_batch(1879048192), 1879048192);
    assert_int_equal(apparmor_policy_batch(1879048192 + (APPARMOR_BATCH - 1) * SANDBOX_ID_COUNT), 1879048192);
    /* of a pool of before, whose ranges began anywhere: its own is among them */
    assert_int_equal(apparmor_policy_batch(100000 + SANDBOX_ID_COUNT) % SANDBOX_ID_COUNT, 100000 % SANDBOX_ID_COUNT);
}

static void test_names_that_callers_may_ask_for(void **state) {
    static const char *const good[] = { "mine",           "/usr/bin/man", "a name with (brackets)",
                                        "kennel-web",     "kennel-",      "kennel-1a",
                                        "docker-default", "mine//child",  "kenneldish" };
    static const char *const bad[] = { "",         ":other:mine",       "a//&b",           "kennel-1879048192",
                                       "kennel-0", "kenneld",           "kenneld//parser", "a\nb",
                                       "a\tb",     "kennel-99999999999" };
    Error e = ERROR_INIT;
    char long_name[APPARMOR_PROFILE_MAX + 1];
    for (size_t i = 0; i < ELEMENTSOF(good); i++)
        assert_int_equal(apparmor_policy_check_name(good[i], &e), 0);
    for (size_t i = 0; i < ELEMENTSOF(bad); i++) {
        e = ERROR_INIT;
        assert_int_equal(apparmor_policy_check_name(bad[i], &e), -EINVAL);
        assert_int_equal(e.kind, ERROR_INVALID_SPEC);
        assert_string_equal(e.subject, "apparmorProfile");
        assert_non_null(strstr(e.message, "expected"));
    }
    memset(long_name, 'a', APPARMOR_PROFILE_MAX);
    long_name[APPARMOR_PROFILE_MAX] = 0;
    assert_int_equal(apparmor_policy_check_name(long_name, &e), -EINVAL);
    long_name[APPARMOR_PROFILE_MAX - 1] = 0;
    assert_int_equal(apparmor_policy_check_name(long_name, &e), 0);
}

static void test_list(void **state) {
    static const char list[] = "mine (complain)\n"
                               "mine too (enforce)\n"
                               "odd (enforce) (kill)\n"
                               ":other://mine (enforce)\n"
                               "/usr/bin/man//filter (enforce)\n"
                               "docker-default (unconfined)\n"
                               "broken\n"
                               "last (enforce)";
    static const struct {
        const char *name, *mode;
    } found[] = {
        { "mine", "complain" },
        { "mine too", "enforce" },
        { "odd (enforce)", "kill" },
        { ":other://mine", "enforce" },
        { "/usr/bin/man//filter", "enforce" },
        { "docker-default", "unconfined" },
        { "last", "enforce" },
    };
    static const char *const missing[] = {
        "min", "minee", "odd", "too", "/usr/bin/man", "broken", "", "mine (complain)"
    };
    char mode[APPARMOR_MODE_SIZE];
    for (size_t i = 0; i < ELEMENTSOF(found); i++) {
        assert_int_equal(apparmor_policy_find(list, found[i].name, mode), 0);
        assert_string_equal(mode, found[i].mode);
    }
    for (size_t i = 0; i < ELEMENTSOF(missing); i++)
        assert_int_equal(apparmor_policy_find(list, missing[i], mode), -ENOENT);
    assert_int_equal(apparmor_policy_find("", "mine", mode), -ENOENT);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_name),
        cmocka_unit_test(test_text_has_the_name_and_what_the_host_knows),
        cmocka_unit_test(test_version_of_the_parser),
        cmocka_unit_test(test_key_tells_what_matters_apart),
        cmocka_unit_test(test_batches),
        cmocka_unit_test(test_names_that_callers_may_ask_for),
        cmocka_unit_test(test_list),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
