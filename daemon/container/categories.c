/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * See categories.h.
 *
 * Within the daemon a bitmap says which pairs are taken. Between daemons that run at the same time a pair is taken by
 * locking its byte of a file that all of them have in common, as ranges of ids are (ranges.c). And as with these, what
 * belongs to containers whose daemon has ended is known by the processes that the host has when this daemon starts.
 */

#include "container/categories.h"
#include "util/paths.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/random.h>

#define BITS  64U
#define WORDS (CATEGORY_PAIRS / BITS)
_Static_assert(CATEGORY_PAIRS % BITS == 0, "the last word has pairs that do not exist");

struct CategoryPool {
    uint64_t taken[WORDS];
    uint64_t seen[WORDS]; /* on processes, when this daemon started */
    int lock_fd;
    uint64_t first_byte;
};

CategoryPool *category_pool_free(CategoryPool *p) {
    free(p);
    return NULL;
}

static int lock_pair(const CategoryPool *p, uint32_t pair, short type) {
    struct flock l = { .l_type = type, .l_whence = SEEK_SET, .l_start = (off_t) (p->first_byte + pair), .l_len = 1 };
    if (p->lock_fd < 0 || fcntl(p->lock_fd, F_OFD_SETLK, &l) >= 0)
        return 0;
    return errno == EAGAIN || errno == EACCES ? -EBUSY : -errno;
}

static uint64_t bit(uint32_t pair) {
    return 1ULL << (pair % BITS);
}

int category_pool_take_again(CategoryPool *p, uint32_t pair) {
    if (pair >= CATEGORY_PAIRS)
        return -EINVAL;
    if (p->taken[pair / BITS] & bit(pair))
        return -EBUSY;
    int r = lock_pair(p, pair, F_WRLCK);
    if (r >= 0)
        p->taken[pair / BITS] |= bit(pair);
    return r;
}

int category_pool_take_this(CategoryPool *p, uint32_t pair) {
    return pair < CATEGORY_PAIRS && p->seen[pair / BITS] & bit(pair) ? -EBUSY : category_pool_take_again(p, pair);
}

/* From a place that nobody can foretell; words that are full are passed over at once. */
int category_pool_take(CategoryPool *p, uint32_t *ret_pair) {
    uint32_t start = 0;
    if (getrandom(&start, sizeof(start), 0) != sizeof(start))
        return -EIO;
    start %= CATEGORY_PAIRS;
    for (uint32_t i = 0; i < CATEGORY_PAIRS;) {
        uint32_t pair = (start + i) % CATEGORY_PAIRS;
        if (pair % BITS == 0 && (p->taken[pair / BITS] | p->seen[pair / BITS]) == UINT64_MAX) {
            i += BITS;
            continue;
        }
        int r = category_pool_take_this(p, pair);
        if (r >= 0)
            *ret_pair = pair;
        if (r != -EBUSY)
            return r;
        i++;
    }
    return -ENOSPC;
}

void category_pool_give_back(CategoryPool *p, uint32_t pair) {
    if (pair >= CATEGORY_PAIRS || !(p->taken[pair / BITS] & bit(pair)))
        return;
    p->taken[pair / BITS] &= ~bit(pair);
    p->seen[pair / BITS] &= ~bit(pair);
    (void) lock_pair(p, pair, F_UNLCK);
}

/* Pairs are numbered by their higher category, then by the lower: of those up to c(n), n * (n + 1) / 2. */
static uint32_t pair_number(uint32_t low, uint32_t high) {
    return high * (high - 1) / 2 + low;
}

void category_pair_to_level(uint32_t pair, char ret[static CATEGORIES_LEVEL]) {
    uint32_t high = 1;
    while (high < CATEGORIES - 1 && pair_number(0, high + 1) <= pair)
        high++;
    (void) snprintf(ret, CATEGORIES_LEVEL, "s0:c%u,c%u", pair - pair_number(0, high), high);
}

/* One category, and the character after it; no sign, no leading zero, nothing that sscanf would skip. */
static const char *parse_category(const char *at, char end, uint32_t *ret) {
    uint32_t value = 0;
    const char *begin = at;
    for (; *at >= '0' && *at <= '9' && at - begin < 4; at++)
        value = value * 10 + (uint32_t) (*at - '0');
    if (at == begin || *at != end || (*begin == '0' && at - begin > 1) || value >= CATEGORIES)
        return NULL;
    *ret = value;
    return at + 1;
}

int category_pair_from_level(const char *level, uint32_t *ret_pair) {
    uint32_t low = 0, high = 0;
    if (strncmp(level, "s0:c", 4) != 0)
        return -EINVAL;
    const char *second = parse_category(level + 4, ',', &low);
    if (!second || *second != 'c' || !parse_category(second + 1, 0, &high) || low >= high)
        return -EINVAL;
    *ret_pair = pair_number(low, high);
    return 0;
}

/* "user:role:type:s0:c1,c2" of one process; one that goes meanwhile has none, and most have no pair. */
static void see_process(CategoryPool *p, int proc_fd, const char *pid) {
    char path[40];
    _cleanup_free_ char *context = NULL;
    uint32_t pair = CATEGORIES_NONE;
    if (snprintf(path, sizeof(path), "%s/attr/current", pid) >= (int) sizeof(path) ||
        path_read_file_at(proc_fd, path, RESOLVE_BENEATH, 4096, &context, NULL) < 0)
        return;
    const char *level = strstr(context, ":s0:c");
    if (level && category_pair_from_level(level + 1, &pair) >= 0)
        p->seen[pair / BITS] |= bit(pair);
}

static int see_processes(CategoryPool *p) {
    DIR *d = opendir("/proc");
    if (!d)
        return -errno;
    for (struct dirent *e; (e = readdir(d)) != NULL;)
        if (e->d_name[0] >= '1' && e->d_name[0] <= '9')
            see_process(p, dirfd(d), e->d_name);
    (void) closedir(d);
    return 0;
}

int category_pool_new(int lock_fd, uint64_t first_byte, CategoryPool **ret, Error *reterr) {
    _cleanup_(category_pool_freep) CategoryPool *p = calloc(1, sizeof(CategoryPool));
    if (!p)
        return error_failed(reterr, ENOMEM, "categories", "out of memory");
    p->lock_fd = lock_fd;
    p->first_byte = first_byte;
    int r = see_processes(p);
    if (r < 0)
        return error_failed(reterr, -r, "categories", "the host's processes cannot be listed: %s", strerror(-r));
    *ret = TAKE_PTR(p);
    return 0;
}
