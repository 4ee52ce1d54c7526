/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* See categories.h. */

#include "container/categories.h"

int category_pool_new(int lock_fd, uint64_t first_byte, CategoryPool **ret, Error *reterr) {
    return error_failed(reterr, EOPNOTSUPP, "categories", "not yet");
}
CategoryPool *category_pool_free(CategoryPool *p) {
    return NULL;
}
int category_pool_take(CategoryPool *p, uint32_t *ret_pair) {
    return -EOPNOTSUPP;
}
int category_pool_take_this(CategoryPool *p, uint32_t pair) {
    return -EOPNOTSUPP;
}
void category_pool_give_back(CategoryPool *p, uint32_t pair) {}
void category_pair_to_level(uint32_t pair, char ret[static CATEGORIES_LEVEL]) {
    ret[0] = 0;
}
int category_pair_from_level(const char *level, uint32_t *ret_pair) {
    return -EINVAL;
}
