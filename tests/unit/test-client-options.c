/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The option parser: every form that fingers know, where flags end, and what is refused. */

#include "client/options.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

typedef struct Flags {
    bool interactive, tty, remove;
    const char *memory;
    Strings env;
} Flags;

static const Option table[] = {
    { 'i', "interactive", OPTION_SWITCH, offsetof(Flags, interactive), NULL, "" },
    { 't', "tty", OPTION_SWITCH, offsetof(Flags, tty), NULL, "" },
    { 0, "rm", OPTION_SWITCH, offsetof(Flags, remove), NULL, "" },
    { 'm', "memory", OPTION_STRING, offsetof(Flags, memory), "BYTES", "" },
    { 'e', "env", OPTION_LIST, offsetof(Flags, env), "K=V", "" },
    { 'p', "publish", OPTION_LATER, 0, NULL, NULL },
    OPTIONS_END,
};

typedef struct Parsed {
    Flags flags;
    Strings operands;
    Error error;
    int r;
} Parsed;

static void parsed_done(Parsed *p) {
    options_done(table, &p->flags);
    strings_done(&p->operands);
}

/* LINE is split at spaces; a lone _ stands for an empty argument. */
static void parse(const char *line, bool stop, Parsed *p) {
    static char copy[256];
    char *argv[32], *rest = copy;
    int argc = 0;

    *p = (Parsed){ 0 };
    (void) snprintf(copy, sizeof(copy), "%s", line);
    for (char *word; (word = strsep(&rest, " "));)
        argv[argc++] = strcmp(word, "_") == 0 ? (char *) "" : word;
    p->r = options_parse(table, &p->flags, argc, argv, stop, &p->operands, &p->error);
}

static void test_forms(void **state) {
    static const char *const lines[] = { "-it -m 64M -e A=1 x",
                                         "-ti -m64M -eA=1 x",
                                         "-i -t -m=64M -e=A=1 x",
                                         "--interactive --tty --memory=64M --env=A=1 x",
                                         "--interactive --tty --memory 64M --env A=1 x",
                                         "-itm 64M --env A=1 -- x",
                                         "-itm64M --env A=1 x",
                                         "--tty=true -i -m 1 -m 64M -e A=1 x" };

    for (size_t i = 0; i < ELEMENTSOF(lines); i++) {
        _cleanup_(parsed_done) Parsed p;
        parse(lines[i], true, &p);
        if (p.r != 0)
            fail_msg("%s: %s: %s", lines[i], p.error.subject, p.error.message);
        assert_true(p.flags.interactive && p.flags.tty && !p.flags.remove);
        assert_string_equal(p.flags.memory, "64M");
        assert_int_equal(p.flags.env.n, 1);
        assert_string_equal(p.flags.env.items[0], "A=1");
        assert_int_equal(p.operands.n, 1);
        assert_string_equal(p.operands.items[0], "x");
    }
}

static void test_command_keeps_its_flags(void **state) {
    _cleanup_(parsed_done) Parsed p;

    parse("-i ls -t --rm -- -e", true, &p);
    assert_int_equal(p.r, 0);
    assert_true(p.flags.interactive && !p.flags.tty && !p.flags.remove);
    assert_int_equal(p.operands.n, 5);
    assert_string_equal(p.operands.items[1], "-t");
    assert_string_equal(p.operands.items[3], "--");
}

static void test_dashes_end_flags(void **state) {
    _cleanup_(parsed_done) Parsed p;

    parse("-i -- -t -- --help", true, &p);
    assert_int_equal(p.r, 0);
    assert_false(p.flags.tty);
    assert_int_equal(p.operands.n, 3);
    assert_string_equal(p.operands.items[0], "-t");
    assert_string_equal(p.operands.items[1], "--");
}

static void test_mixed(void **state) {
    _cleanup_(parsed_done) Parsed p;

    parse("a -i b --memory 1 - -- -t", false, &p);
    assert_int_equal(p.r, 0);
    assert_true(p.flags.interactive && !p.flags.tty);
    assert_int_equal(p.operands.n, 4);
    assert_string_equal(p.operands.items[2], "-");
    assert_string_equal(p.operands.items[3], "-t");
}

static void test_values_may_look_like_flags(void **state) {
    _cleanup_(parsed_done) Parsed p;

    parse("-e -i --env --tty -m _", true, &p);
    assert_int_equal(p.r, 0);
    assert_false(p.flags.interactive || p.flags.tty);
    assert_int_equal(p.flags.env.n, 2);
    assert_string_equal(p.flags.env.items[1], "--tty");
    assert_string_equal(p.flags.memory, "");
}

static void test_switch_off(void **state) {
    _cleanup_(parsed_done) Parsed p;

    parse("--rm --rm=false x", true, &p);
    assert_int_equal(p.r, 0);
    assert_false(p.flags.remove);
}

static void test_help(void **state) {
    static const char *const lines[] = { "--help", "-h", "-ih", "-m 1 --help x" };

    for (size_t i = 0; i < ELEMENTSOF(lines); i++) {
        _cleanup_(parsed_done) Parsed p;
        parse(lines[i], true, &p);
        assert_int_equal(p.r, 1);
    }
}

static void test_refused(void **state) {
    static const struct {
        const char *line, *subject, *message;
    } wrong[] = {
        { "--bogus x", "--bogus", "no such flag" },
        { "--bogus=1 x", "--bogus", "no such flag" },
        { "-z x", "-z", "no such flag" },
        { "-iz x", "-z", "no such flag" },
        { "--mem 1", "--mem", "no such flag" },
        { "--memoryx 1", "--memoryx", "no such flag" },
        { "-m", "-m", "needs a value" },
        { "--env", "--env", "needs a value" },
        { "--rm=maybe x", "--rm", "maybe" },
        { "-p 80:80 x", "-p", "not available in this version" },
        { "--publish=1:2 x", "--publish", "not available in this version" },
    };

    for (size_t i = 0; i < ELEMENTSOF(wrong); i++) {
        _cleanup_(parsed_done) Parsed p;
        parse(wrong[i].line, true, &p);
        assert_int_equal(p.r, -EINVAL);
        assert_int_equal(p.error.kind, ERROR_INVALID_SPEC);
        assert_string_equal(p.error.subject, wrong[i].subject);
        assert_non_null(strstr(p.error.message, wrong[i].message));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_forms),
        cmocka_unit_test(test_command_keeps_its_flags),
        cmocka_unit_test(test_dashes_end_flags),
        cmocka_unit_test(test_mixed),
        cmocka_unit_test(test_values_may_look_like_flags),
        cmocka_unit_test(test_switch_off),
        cmocka_unit_test(test_help),
        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
