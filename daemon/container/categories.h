/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * SELinux tells one container from another by a pair of categories: two different ones of the 1,024, in any order, so
 * 1,024 * 1,023 / 2 = 523,776 pairs. Each container has one that no other has, also none of another daemon of this host.
 * A pair has a number, 0 to 523,775, by which it is taken, noted in the record and given back.
 */

#include "kennel/error.h"

#define CATEGORIES       1024U
#define CATEGORY_PAIRS   523776U
#define CATEGORIES_NONE  UINT32_MAX
#define CATEGORIES_LEVEL 16U /* "s0:c1022,c1023", terminated */

typedef struct CategoryPool CategoryPool;

/*
 * LOCK_FD: a file that all daemons of the host have in common, whose bytes FIRST_BYTE... are locked, one a pair; negative:
 * there is no other. Pairs that processes of the host have at this moment are nobody's until take_again() says whose.
 */
int category_pool_new(int lock_fd, uint64_t first_byte, CategoryPool **ret, Error *reterr);
CategoryPool *category_pool_free(CategoryPool *p);
DEFINE_CLEANUP(CategoryPool, category_pool_free)

/* One that is free: by chance, so that a pair given back is not the next one's. -ENOSPC: all are taken. */
int category_pool_take(CategoryPool *p, uint32_t *ret_pair);
/* This one, which was asked for. -EBUSY: a container has it. */
int category_pool_take_this(CategoryPool *p, uint32_t pair);
/* For a container of an earlier daemon, which has had it all along. -EBUSY: another one has it, too. */
int category_pool_take_again(CategoryPool *p, uint32_t pair);
void category_pool_give_back(CategoryPool *p, uint32_t pair);

/* "s0:c1,c2", the lower one first. And back; -EINVAL if it is not one pair in that form. */
void category_pair_to_level(uint32_t pair, char ret[static CATEGORIES_LEVEL]);
int category_pair_from_level(const char *level, uint32_t *ret_pair);
