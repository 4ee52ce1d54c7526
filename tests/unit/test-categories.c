/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Every pair of categories can be had, by one container at a time. */

#include "container/categories.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

#define FIRST_BYTE (1ULL << 41)

static CategoryPool *make(int fd) {
    CategoryPool *p = NULL;
    Error error = ERROR_INIT;
    assert_int_equal(category_pool_new(fd, FIRST_BYTE, &p, &error), 0);
    return p;
}

static void test_levels_are_all_different(void **state) {
    static uint8_t seen[CATEGORIES][CATEGORIES];
    for (uint32_t pair = 0; pair < CATEGORY_PAIRS; pair++) {
        char level[CATEGORIES_LEVEL];
        unsigned low = 0, high = 0;
        uint32_t back = CATEGORIES_NONE;
        category_pair_to_level(pair, level);
        assert_int_equal(sscanf(level, "s0:c%u,c%u", &low, &high), 2);
        assert_true(low < high && high < CATEGORIES);
        assert_int_equal(seen[low][high]++, 0);
        assert_int_equal(category_pair_from_level(level, &back), 0);
        assert_int_equal(back, pair);
    }
}

static void test_levels_that_are_none(void **state) {
    static const char *const bad[] = {
        "",          "s0",          "s0:",         "s0:c1",       "s0:c1,",       "s0:c1,c",      "s0:c1,c1",
        "s0:c2,c1",  "s0:c1,c1024", "s0:c1.c3",    "s0:c1,c2,c3", "s0:c1,c2 ",    " s0:c1,c2",    "s0:c01,c2",
        "s0:c1,c02", "s0:c-1,c2",   "s0:c+1,c2",   "s0: c1,c2",   "s0:c1, c2",    "s1:c1,c2",     "s0-s0:c1,c2",
        "S0:C1,C2",  "s0:c1,c2\n",  "s0:cx,c2",    "s0:c0x1,c2",  "s0:c1,c00002", "s0:c1,c99999", "s0:c1,c4294967298",
        "c1,c2",     "s0:c1,c2:s0", "s0:c1023,c1", "s0:c1,c2-s0", "s0:c,c2",      "s0:c1c2",
    };
    for (size_t i = 0; i < ELEMENTSOF(bad); i++) {
        uint32_t pair = 7;
        assert_int_equal(category_pair_from_level(bad[i], &pair), -EINVAL);
        assert_int_equal(pair, 7);
    }
}

static void test_all_can_be_taken(void **state) {
    static uint8_t seen[CATEGORY_PAIRS];
    _cleanup_(category_pool_freep) CategoryPool *p = make(-EBADF);
    uint32_t pair = 0;
    for (uint32_t i = 0; i < CATEGORY_PAIRS; i++) {
        assert_int_equal(category_pool_take(p, &pair), 0);
        assert_true(pair < CATEGORY_PAIRS);
        assert_int_equal(seen[pair]++, 0);
    }
    assert_int_equal(category_pool_take(p, &pair), -ENOSPC);
    category_pool_give_back(p, 400000);
    assert_int_equal(category_pool_take(p, &pair), 0);
    assert_int_equal(pair, 400000);
    assert_int_equal(category_pool_take(p, &pair), -ENOSPC);
}

/* Of 523,776 pairs that are free, the one given back last is hardly ever the next. */
static void test_not_used_again_at_once(void **state) {
    _cleanup_(category_pool_freep) CategoryPool *p = make(-EBADF);
    uint32_t last = CATEGORIES_NONE, pair = 0, again = 0;
    for (unsigned i = 0; i < 100; i++) {
        assert_int_equal(category_pool_take(p, &pair), 0);
        again += pair == last;
        last = pair;
        category_pool_give_back(p, pair);
    }
    assert_true(again <= 1);
}

static void test_this_one(void **state) {
    _cleanup_(category_pool_freep) CategoryPool *p = make(-EBADF);
    assert_int_equal(category_pool_take_this(p, 5), 0);
    assert_int_equal(category_pool_take_this(p, 5), -EBUSY);
    category_pool_give_back(p, 5);
    assert_int_equal(category_pool_take_this(p, 5), 0);
    assert_int_equal(category_pool_take_this(p, CATEGORY_PAIRS), -EINVAL);
    assert_int_equal(category_pool_take_this(p, CATEGORIES_NONE), -EINVAL);
    category_pool_give_back(p, CATEGORIES_NONE);
}

/* Two daemons: open file descriptions of their own, of one file. */
static void test_daemons_share_no_pair(void **state) {
    char path[40];
    int first = memfd_create("pairs", 0);
    (void) snprintf(path, sizeof(path), "/proc/self/fd/%d", first);
    int second = open(path, O_RDWR | O_CLOEXEC);
    assert_true(first >= 0 && second >= 0);
    CategoryPool *a = make(first);
    _cleanup_(category_pool_freep) CategoryPool *b = make(second);

    /* all but one are the first daemon's, so that the second has no choice */
    for (uint32_t pair = 0; pair < CATEGORY_PAIRS; pair++)
        if (pair != 1234)
            assert_int_equal(category_pool_take_this(a, pair), 0);
    uint32_t pair = 0;
    assert_int_equal(category_pool_take_this(b, 77), -EBUSY);
    assert_int_equal(category_pool_take(b, &pair), 0);
    assert_int_equal(pair, 1234);
    assert_int_equal(category_pool_take(a, &pair), -ENOSPC);
    category_pool_give_back(a, 77);
    assert_int_equal(category_pool_take_this(b, 77), 0);
    assert_int_equal(category_pool_take_this(a, 77), -EBUSY);

    /* a daemon that ends lets go of what it had */
    assert_null(category_pool_free(a));
    assert_int_equal(close(first), 0);
    assert_int_equal(category_pool_take_this(b, 78), 0);
    assert_int_equal(close(second), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_levels_are_all_different),
        cmocka_unit_test(test_levels_that_are_none),
        cmocka_unit_test(test_all_can_be_taken),
        cmocka_unit_test(test_not_used_again_at_once),
        cmocka_unit_test(test_this_one),
        cmocka_unit_test(test_daemons_share_no_pair),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
