/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Addresses of the pool: a bit for each, the largest pool has two megabytes of them. The next address is looked for
 * behind the last one given out, so that one that has just been given back rests for as long as others can be had.
 */

#include "network/internal.h"

#define WORD 64U

uint32_t pool_mask(const NetworkPool *p) {
    return UINT32_MAX << (32 - p->prefix);
}

uint32_t pool_gateway(const NetworkPool *p) {
    return (p->address & pool_mask(p)) + 1;
}

int pool_init(Pool *p, const NetworkPool *config) {
    uint32_t size = ~pool_mask(config) + 1; /* 8 at least: network, bridge and broadcast are never given out */
    *p = (Pool){ .first = pool_gateway(config) + 1, .n = size - 3 };
    p->taken = calloc((p->n + WORD - 1) / WORD, sizeof(uint64_t));
    return p->taken ? 0 : -ENOMEM;
}

void pool_done(Pool *p) {
    free(TAKE_PTR(p->taken));
}

static bool is_taken(const Pool *p, uint32_t i) {
    return p->taken[i / WORD] >> (i % WORD) & 1U;
}

/* The first free one in [FROM, TO), or TO. */
static uint32_t find_free(const Pool *p, uint32_t from, uint32_t to) {
    for (uint32_t i = from; i < to;) {
        if (i % WORD == 0 && p->taken[i / WORD] == UINT64_MAX)
            i += WORD;
        else if (is_taken(p, i))
            i++;
        else
            return i;
    }
    return to;
}

int pool_take(Pool *p, uint32_t *ret) {
    uint32_t i = find_free(p, p->next, p->n);
    if (i >= p->n) {
        i = find_free(p, 0, p->next);
        if (i >= p->next)
            return -ENOSPC;
    }
    p->taken[i / WORD] |= UINT64_C(1) << (i % WORD);
    p->next = (i + 1) % p->n;
    *ret = p->first + i;
    return 0;
}

int pool_take_again(Pool *p, uint32_t address) {
    uint32_t i = address - p->first;
    if (i >= p->n)
        return -EADDRNOTAVAIL;
    if (is_taken(p, i))
        return -EADDRINUSE;
    p->taken[i / WORD] |= UINT64_C(1) << (i % WORD);
    return 0;
}

void pool_give_back(Pool *p, uint32_t address) {
    uint32_t i = address - p->first;
    if (i < p->n)
        p->taken[i / WORD] &= ~(UINT64_C(1) << (i % WORD));
}
