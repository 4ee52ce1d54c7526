/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Compiled programs and who shares them.
 *
 * Invariants: a program is immutable once it exists, and lives as long as its last reference. The cache's lock covers
 * its table and nothing that takes time: two threads that miss at once both compile, and one result is dropped. The
 * program for the default profile without capabilities never leaves the cache, so that nobody can slow the plain start
 * down by sending profiles. What the other entries hold is bounded in number and in bytes of text.
 *
 * Trust boundary: profiles are callers' text. Keys are compared whole, never by a hash that a caller could collide with
 * another's: whoever shares a program has sent the same profile.
 */

#include "sandbox/seccomp.h"

#include "sandbox/seccomp-compile.h"

#include <linux/seccomp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/syscall.h>

#define ENTRIES_MAX    64U
#define TEXT_BYTES_MAX (4U * 1024U * 1024U)

struct SeccompProgram {
    atomic_uint n_ref;
    struct sock_fprog fprog;
    struct sock_fprog silent; /* without a filter of its own: the same one, which tells of nothing */
};

typedef struct CacheEntry {
    char *profile; /* NULL: the default one */
    size_t size;
    uint64_t caps;
    bool without_memfd;
    SeccompProgram *program; /* NULL: the slot is free */
    uint64_t used;
} CacheEntry;

struct SeccompCache {
    pthread_mutex_t lock;
    SeccompProgram *plain; /* the default profile, no capabilities */
    CacheEntry entries[ENTRIES_MAX];
    uint64_t clock;
    size_t bytes;
};

SeccompProgram *seccomp_program_ref(SeccompProgram *p) {
    atomic_fetch_add_explicit(&p->n_ref, 1, memory_order_relaxed);
    return p;
}

SeccompProgram *seccomp_program_unref(SeccompProgram *p) {
    if (p && atomic_fetch_sub_explicit(&p->n_ref, 1, memory_order_acq_rel) == 1) {
        free(p->fprog.filter);
        free(p->silent.filter);
        free(p);
    }
    return NULL;
}

const struct sock_fprog *seccomp_program_fprog(const SeccompProgram *p) {
    return &p->fprog;
}

const struct sock_fprog *seccomp_program_silent(const SeccompProgram *p) {
    return p->silent.filter ? &p->silent : &p->fprog;
}

static bool tells(const struct sock_filter *f) {
    return f->code == (BPF_RET | BPF_K) && (f->k & SECCOMP_RET_ACTION_FULL) == SECCOMP_RET_USER_NOTIF;
}

/* The child sends its listener with the filter on. */
static bool lets_hand_over(const SeccompProgram *p) {
    const SeccompArchitecture *native = seccomp_names_native();
    uint32_t number;
    if (!native || seccomp_names_syscall("sendmsg", native, &number) <= 0)
        return false;
    struct seccomp_data call = { .nr = (int) number, .arch = native->audit };
    uint32_t action = seccomp_compile_run(p->fprog.filter, p->fprog.len, &call) & SECCOMP_RET_ACTION_FULL;
    return action == SECCOMP_RET_ALLOW || action == SECCOMP_RET_LOG;
}

bool seccomp_program_tells(const SeccompProgram *p) {
    return p->silent.filter && lets_hand_over(p);
}

int seccomp_program_answer(const SeccompProgram *p, const struct seccomp_data *call) {
    uint32_t verdict = seccomp_compile_run(p->fprog.filter, p->fprog.len, call);
    int code = (int) (verdict & SECCOMP_RET_DATA);
    return (verdict & SECCOMP_RET_ACTION_FULL) == SECCOMP_RET_USER_NOTIF && code > 0 ? code : ENOSYS;
}

/* Without telling, whoever has no listener would have ENOSYS for an answer in place of the profile's. */
static int make_silent(SeccompProgram *p) {
    size_t n = 0;
    while (n < p->fprog.len && !tells(&p->fprog.filter[n]))
        n++;
    if (n == p->fprog.len)
        return 0;
    struct sock_filter *code = reallocarray(NULL, p->fprog.len, sizeof(*code));
    if (!code)
        return -ENOMEM;
    memcpy(code, p->fprog.filter, p->fprog.len * sizeof(*code));
    for (; n < p->fprog.len; n++)
        if (tells(&code[n]))
            code[n].k = SECCOMP_RET_ERRNO | (code[n].k & SECCOMP_RET_DATA);
    p->silent = (struct sock_fprog){ .len = p->fprog.len, .filter = code };
    return 0;
}

static SeccompProgram *program_new(struct sock_filter *consume_code, size_t n) {
    SeccompProgram *p = malloc(sizeof(*p));
    if (!p) {
        free(consume_code);
        return NULL;
    }
    atomic_init(&p->n_ref, 1);
    p->fprog = (struct sock_fprog){ .len = (unsigned short) n, .filter = consume_code };
    p->silent = (struct sock_fprog){ 0 };
    return make_silent(p) < 0 ? seccomp_program_unref(p) : p;
}

int seccomp_program_from_bytes(const void *bytes, size_t size, SeccompProgram **ret) {
    if (size == 0 || size % sizeof(struct sock_filter) != 0 || size > BPF_MAXINSNS * sizeof(struct sock_filter))
        return -EINVAL;

    _cleanup_free_ struct sock_filter *code = malloc(size);
    if (!code)
        return -ENOMEM;
    memcpy(code, bytes, size);
    size_t n = size / sizeof(struct sock_filter);
    if (!seccomp_compile_recognises(code, n))
        return -EINVAL;
    SeccompProgram *p = program_new(TAKE_PTR(code), n);
    if (!p)
        return -ENOMEM;
    *ret = p;
    return 0;
}

static int program_make(const char *text, uint64_t caps, bool without_memfd, SeccompProgram **ret, Error *reterr) {
    _cleanup_(seccomp_profile_done) SeccompProfile profile = SECCOMP_PROFILE_INIT;
    struct sock_filter *code;
    size_t n;

    int r = seccomp_profile_parse(text, strlen(text), caps, &profile, reterr);
    if (r >= 0 && without_memfd && seccomp_profile_refuse(&profile, "memfd_create", ENOSYS) < 0)
        r = error_failed(reterr, ENOMEM, "seccomp", "out of memory");
    if (r >= 0)
        r = seccomp_compile(&profile, &code, &n, reterr);
    if (r < 0)
        return r;
    SeccompProgram *p = program_new(code, n);
    if (!p)
        return error_failed(reterr, ENOMEM, "seccomp", "out of memory");
    *ret = p;
    return 0;
}

int seccomp_cache_new(SeccompCache **ret, Error *reterr) {
    _cleanup_(seccomp_cache_freep) SeccompCache *c = calloc(1, sizeof(*c));
    if (!c)
        return error_failed(reterr, ENOMEM, "seccomp", "out of memory");
    pthread_mutex_init(&c->lock, NULL);
    int r = program_make(seccomp_default_profile, 0, false, &c->plain, reterr);
    if (r < 0)
        return r;
    *ret = TAKE_PTR(c);
    return 0;
}

static void entry_clear(SeccompCache *c, CacheEntry *e) {
    c->bytes -= e->size;
    free(e->profile);
    (void) seccomp_program_unref(e->program);
    *e = (CacheEntry){ 0 };
}

SeccompCache *seccomp_cache_free(SeccompCache *c) {
    if (!c)
        return NULL;
    for (size_t i = 0; i < ENTRIES_MAX; i++)
        entry_clear(c, &c->entries[i]);
    (void) seccomp_program_unref(c->plain);
    pthread_mutex_destroy(&c->lock);
    free(c);
    return NULL;
}

/* What a program is kept under. */
typedef struct Key {
    const char *profile; /* NULL: the default one */
    size_t size;
    uint64_t caps;
    bool without_memfd;
} Key;

static bool entry_is(const CacheEntry *e, const Key *k) {
    return e->program && e->caps == k->caps && e->without_memfd == k->without_memfd && e->size == k->size &&
           !e->profile == !k->profile && (!k->profile || memcmp(e->profile, k->profile, k->size) == 0);
}

/* Locked. */
static CacheEntry *find(SeccompCache *c, const Key *k) {
    for (size_t i = 0; i < ENTRIES_MAX; i++)
        if (entry_is(&c->entries[i], k)) {
            c->entries[i].used = ++c->clock;
            return &c->entries[i];
        }
    return NULL;
}

/* Locked. The slot to use next: a free one, else the one not used for longest; NULL if none holds text. */
static CacheEntry *oldest(SeccompCache *c, bool with_text) {
    CacheEntry *best = NULL;
    for (size_t i = 0; i < ENTRIES_MAX; i++) {
        CacheEntry *e = &c->entries[i];
        if ((!with_text || e->size > 0) && (!best || e->used < best->used))
            best = e;
    }
    return best;
}

/* Locked. CONSUME_PROFILE becomes the entry's. */
static void insert(SeccompCache *c, const Key *k, char *consume_profile, SeccompProgram *program) {
    for (CacheEntry *e; c->bytes + k->size > TEXT_BYTES_MAX && (e = oldest(c, true));)
        entry_clear(c, e);
    CacheEntry *slot = oldest(c, false);
    entry_clear(c, slot);
    *slot = (CacheEntry){
        .profile = consume_profile,
        .size = k->size,
        .caps = k->caps,
        .without_memfd = k->without_memfd,
        .program = seccomp_program_ref(program),
        .used = ++c->clock,
    };
    c->bytes += k->size;
}

static SeccompProgram *look_up(SeccompCache *c, const Key *k) {
    SeccompProgram *p = NULL;
    pthread_mutex_lock(&c->lock);
    CacheEntry *e = find(c, k);
    if (e)
        p = seccomp_program_ref(e->program);
    pthread_mutex_unlock(&c->lock);
    return p;
}

static void keep(SeccompCache *c, const Key *k, SeccompProgram *program) {
    /* Without a copy of the key there is nothing to keep it under; the start goes on all the same. */
    _cleanup_free_ char *copy = k->profile ? strdup(k->profile) : NULL;
    if (k->profile && !copy)
        return;
    pthread_mutex_lock(&c->lock);
    if (!find(c, k))
        insert(c, k, TAKE_PTR(copy), program);
    pthread_mutex_unlock(&c->lock);
}

int seccomp_cache_get(SeccompCache *c, const char *profile, uint64_t caps, bool without_memfd, SeccompProgram **ret,
                      Error *reterr) {
    Key k = { profile, profile ? strlen(profile) : 0, caps, without_memfd };
    if (!profile && caps == 0 && !without_memfd) {
        *ret = seccomp_program_ref(c->plain);
        return 0;
    }
    if (k.size > TEXT_BYTES_MAX)
        return error_invalid(reterr, "seccompProfile", "has %zu bytes; at most %u are taken", k.size, TEXT_BYTES_MAX);

    SeccompProgram *p = look_up(c, &k);
    if (!p) {
        int r = program_make(profile ? profile : seccomp_default_profile, caps, without_memfd, &p, reterr);
        if (r < 0)
            return r;
        keep(c, &k, p);
    }
    *ret = p;
    return 0;
}

int seccomp_install(const struct sock_fprog *fprog, int *ret_listener) {
    unsigned flags = ret_listener ? SECCOMP_FILTER_FLAG_NEW_LISTENER : 0;
    long r = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, fprog);
    if (r < 0)
        return -errno;
    if (ret_listener)
        *ret_listener = (int) r;
    return 0;
}
