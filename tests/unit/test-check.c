/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The list of comparisons: what has passed and what has not. */

#include "util/check.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void nothing_looked_at_is_nothing_shown(void **state) {
    CheckList l = CHECK_LIST_INIT;
    assert_false(check_list_passed(&l));
    assert_null(check_list_difference(&l));
    check_list_done(&l);
}

static void one_difference_fails_all(void **state) {
    CheckList l = CHECK_LIST_INIT;
    check_add(&l, "a", "1", "1");
    assert_true(check_list_passed(&l));
    check_add(&l, "b", "1", "2");
    check_add_verdict(&l, "c", false, "x", "x");
    check_add(&l, "d", "", "");
    assert_false(check_list_passed(&l));
    assert_string_equal(check_list_difference(&l)->control, "b");
    assert_true(l.items[3].passed);
    check_list_done(&l);
    assert_int_equal(l.n, 0);
}

static void texts_are_compared_before_they_are_cut(void **state) {
    CheckList l = CHECK_LIST_INIT;
    char a[2 * CHECK_TEXT_MAX], b[2 * CHECK_TEXT_MAX];
    memset(a, 'x', sizeof(a) - 1);
    a[sizeof(a) - 1] = 0;
    memcpy(b, a, sizeof(a));
    check_add(&l, "same", a, b);
    b[sizeof(b) - 2] = 'y';
    check_add(&l, "different at the end", a, b);
    assert_true(l.items[0].passed);
    assert_false(l.items[1].passed);
    assert_int_equal(strlen(l.items[1].expected), CHECK_TEXT_MAX - 1);
    assert_string_equal(l.items[1].expected, l.items[1].found);
    check_list_done(&l);
}

static void many_rows(void **state) {
    CheckList l = CHECK_LIST_INIT;
    for (unsigned i = 0; i < 1000; i++)
        check_add(&l, "row", "1", i == 999 ? "0" : "1");
    assert_int_equal(l.n, 1000);
    assert_ptr_equal(check_list_difference(&l), &l.items[999]);
    check_list_done(&l);
}

static void what_is_incomplete_has_not_passed(void **state) {
    CheckList l = CHECK_LIST_INIT;
    check_add(&l, "a", "1", "1");
    l.incomplete = true;
    assert_false(check_list_passed(&l));
    assert_null(check_list_difference(&l));
    check_list_done(&l);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_looked_at_is_nothing_shown),     cmocka_unit_test(one_difference_fails_all),
        cmocka_unit_test(texts_are_compared_before_they_are_cut), cmocka_unit_test(many_rows),
        cmocka_unit_test(what_is_incomplete_has_not_passed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
