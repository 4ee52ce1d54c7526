/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* See findings.h. What falls off is always the lowest number, so that one number says which files are too many. */

#include "container/findings.h"

#include "proto/json.h"
#include "util/fds.h"
#include "util/log.h"
#include "util/parse.h"
#include "util/paths.h"
#include "util/process.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define DIRECTORY    "findings"
#define DROPPED_FILE "dropped"
#define SUFFIX       ".json"
#define NAME_SIZE    32U
#define READ_MAX     (1024U * 1024U) /* an earlier daemon wrote larger ones */
#define GROWTH       2048U           /* of a file: receipt and counts come later */

int findings_new(Findings **ret) {
    Findings *s = calloc(1, sizeof(Findings));
    if (!s)
        return -ENOMEM;
    *ret = s;
    return 0;
}

static void entry_done(FindingEntry *e) {
    (void) finding_free(e->finding);
    free(e->others);
}

Findings *findings_free(Findings *s) {
    if (!s)
        return NULL;
    for (size_t i = 0; i < s->n; i++)
        entry_done(&s->entries[i]);
    free(s);
    return NULL;
}

static FindingEntry *find_same(Findings *s, const Finding *f) {
    for (size_t i = s->n; i-- > 0;)
        if (finding_is_same(s->entries[i].finding, f))
            return &s->entries[i];
    return NULL;
}

FindingProcess findings_process(const Finding *f) {
    return (FindingProcess){ .pid = f->pid, .host_pid = f->host_pid, .start_time = f->start_time };
}

bool findings_process_lives(const FindingProcess *p) {
    uint64_t start_time;
    if (p->host_pid <= 0)
        return false;
    int r = process_start_time(p->host_pid, &start_time);
    return r >= 0 ? start_time == p->start_time : r != -ENOENT && r != -ESRCH;
}

static bool is_over(const FindingEntry *e) {
    FindingProcess p = findings_process(e->finding);
    for (size_t i = 0; i < e->n_others; i++)
        if (findings_process_lives(&e->others[i]))
            return false;
    return !findings_process_lives(&p);
}

/* Whoever floods must not push out what still runs: first goes the oldest that is over, only then the oldest. */
static void drop_one(Findings *s) {
    size_t i = 0;
    while (i < s->n && !is_over(&s->entries[i]))
        i++;
    i = i < s->n ? i : 0;
    if (s->entries[i].stored) /* never more than there are files */
        s->gone[s->n_gone++] = s->entries[i].finding->number;
    s->size -= s->entries[i].size;
    entry_done(&s->entries[i]);
    memmove(&s->entries[i], &s->entries[i + 1], (s->n - i - 1) * sizeof(s->entries[0]));
    s->n--;
    s->dropped++;
}

static size_t size_of(const Finding *f) {
    _cleanup_json_ json_object *o = finding_to_record(f);
    size_t size = 0;
    if (o)
        (void) json_object_to_json_string_length(o, JSON_C_TO_STRING_PLAIN, &size);
    return size + GROWTH;
}

/* What it says least with goes first. Everything else has an end of its own, all together below the limit. */
static size_t fit(Finding *f) {
    size_t size = size_of(f);
    if (size > FINDINGS_FILE_MAX) {
        f->mapped_files = strv_free(f->mapped_files);
        size = size_of(f);
    }
    if (size > FINDINGS_FILE_MAX) {
        f->command = strv_free(f->command);
        size = size_of(f);
    }
    return size;
}

static FindingEntry *append(Findings *s, Finding *consume_f) {
    size_t size = fit(consume_f);
    while (s->n == FINDINGS_MAX || (s->n > 0 && s->size + size > FINDINGS_BYTES_MAX))
        drop_one(s);
    FindingEntry *e = &s->entries[s->n++];
    *e = (FindingEntry){ .finding = consume_f, .size = size };
    s->size += size;
    return e;
}

static void drop_dead(FindingEntry *e) {
    size_t n = 0;
    for (size_t i = 0; i < e->n_others; i++)
        if (findings_process_lives(&e->others[i]))
            e->others[n++] = e->others[i];
    e->n_others = n;
}

static FindingProcess *find_other(const FindingEntry *e, const FindingProcess *p) {
    for (size_t i = 0; i < e->n_others; i++)
        if (e->others[i].host_pid == p->host_pid && e->others[i].start_time == p->start_time)
            return &e->others[i];
    return NULL;
}

bool findings_shows(const FindingEntry *e, const FindingProcess *p) {
    return e->finding->host_pid == p->host_pid && e->finding->start_time == p->start_time;
}

bool findings_is_unsettled(const FindingEntry *e, const FindingProcess *p) {
    const FindingProcess *other = find_other(e, p);
    return findings_shows(e, p) ? !e->finding->has_receipt : other && !other->settled;
}

void findings_settle(FindingEntry *e, const FindingProcess *p, const Receipt *receipt) {
    FindingProcess *other = find_other(e, p);
    if (other)
        other->settled = true;
    if (!findings_shows(e, p) || (e->finding->has_receipt && receipt->outcome == RECEIPT_GONE))
        return;
    e->finding->has_receipt = true;
    e->finding->receipt = *receipt;
}

/* F is seen again as E: the process of the two that E is not going to show. Beyond the end, the oldest is forgotten. */
static void keep_other(FindingEntry *e, const Finding *f) {
    const Finding *other = finding_is_newer(e->finding, f) ? e->finding : f;
    FindingProcess p = findings_process(other);
    p.settled = other->has_receipt;
    if (p.start_time == 0 || find_other(e, &p) || !findings_process_lives(&p))
        return;
    if (!e->others)
        e->others = calloc(FINDING_OTHERS_MAX, sizeof(FindingProcess));
    if (!e->others)
        return;
    if (e->n_others == FINDING_OTHERS_MAX)
        drop_dead(e);
    if (e->n_others == FINDING_OTHERS_MAX)
        memmove(e->others, e->others + 1, --e->n_others * sizeof(FindingProcess));
    e->others[e->n_others++] = p;
}

int findings_add(Findings *s, Finding *consume_f, FindingEntry **ret, bool *ret_again, bool *ret_other) {
    _cleanup_(finding_freep) Finding *f = consume_f;
    FindingEntry *e = find_same(s, f);
    FindingProcess seen = findings_process(f);
    *ret_again = e != NULL;
    *ret_other = e && !findings_shows(e, &seen) && !find_other(e, &seen);
    if (e) {
        if (!findings_shows(e, &seen))
            keep_other(e, f);
        finding_merge(e->finding, f);
        e->dirty = e->again = true;
    } else {
        f->number = ++s->last;
        e = append(s, TAKE_PTR(f));
        e->dirty = true;
    }
    *ret = e;
    return 0;
}

FindingEntry *findings_get(Findings *s, uint64_t number) {
    for (size_t i = 0; s && i < s->n; i++)
        if (s->entries[i].finding->number == number)
            return &s->entries[i];
    return NULL;
}

bool findings_unsaved(const Findings *s) {
    bool unsaved = s->dropped != s->dropped_stored || s->n_gone > 0;
    for (size_t i = 0; i < s->n && !unsaved; i++)
        unsaved = s->entries[i].dirty;
    return unsaved;
}

static void file_name(uint64_t number, char ret[static NAME_SIZE]) {
    (void) snprintf(ret, NAME_SIZE, "%llu" SUFFIX, (unsigned long long) number);
}

static int write_one(int dir_fd, const Finding *f) {
    char name[NAME_SIZE];
    _cleanup_json_ json_object *o = finding_to_record(f);
    size_t size = 0;
    const char *text = o ? json_object_to_json_string_length(o, JSON_C_TO_STRING_PLAIN, &size) : NULL;
    if (!text)
        return -ENOMEM;
    if (size > FINDINGS_FILE_MAX)
        return -EFBIG;
    file_name(f->number, name);
    return path_write_file_at(dir_fd, name, text, size, 0600, false);
}

static void remove_gone(Findings *s, int dir_fd) {
    while (s->n_gone > 0) {
        char name[NAME_SIZE];
        file_name(s->gone[--s->n_gone], name);
        (void) unlinkat(dir_fd, name, 0);
    }
}

static int write_dropped(Findings *s, int dir_fd) {
    char text[NAME_SIZE];
    if (s->dropped == s->dropped_stored)
        return 0;
    int n = snprintf(text, sizeof(text), "%llu", (unsigned long long) s->dropped);
    int r = path_write_file_at(dir_fd, DROPPED_FILE, text, (size_t) n, 0600, false);
    if (r >= 0)
        s->dropped_stored = s->dropped;
    return r;
}

static int open_directory(int state_fd, bool make) {
    if (make && mkdirat(state_fd, DIRECTORY, 0700) < 0 && errno != EEXIST)
        return -errno;
    return path_open_at(state_fd, DIRECTORY, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0, RESOLVE_BENEATH);
}

int findings_save(Findings *s, int state_fd, unsigned max) {
    _cleanup_fd_ int dir_fd = open_directory(state_fd, true);
    if (dir_fd < 0)
        return dir_fd;
    remove_gone(s, dir_fd);
    int r = write_dropped(s, dir_fd);
    for (size_t i = s->n; i-- > 0 && max > 0;) {
        FindingEntry *e = &s->entries[i];
        if (!e->dirty)
            continue;
        int k = write_one(dir_fd, e->finding);
        if (k < 0 && r >= 0)
            r = k;
        e->stored = e->stored || k >= 0;
        e->dirty = k < 0 && k != -EFBIG; /* tried again a second later; what is too large stays so */
        max--;
    }
    return r;
}

/* ---- of an earlier daemon ---- */

static uint64_t number_of_file(const char *name) {
    char digits[NAME_SIZE], again[NAME_SIZE];
    size_t size = strlen(name), suffix = strlen(SUFFIX);
    uint64_t number = 0;
    if (size <= suffix || size >= sizeof(digits) || strcmp(name + size - suffix, SUFFIX) != 0)
        return 0;
    memcpy(digits, name, size - suffix);
    digits[size - suffix] = 0;
    if (parse_u64(digits, &number) < 0 || number > INT64_MAX)
        return 0;
    file_name(number, again); /* "007" is no name of ours */
    return strcmp(again, name) == 0 ? number : 0;
}

static int compare_numbers(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *) a, y = *(const uint64_t *) b;
    return (x > y) - (x < y);
}

static int add_number(uint64_t number, uint64_t **numbers, size_t *n, size_t *room) {
    if (*n == *room) {
        *room = *room > 0 ? *room * 2 : 64;
        uint64_t *grown = reallocarray(*numbers, *room, sizeof(uint64_t));
        if (!grown)
            return -ENOMEM;
        *numbers = grown;
    }
    (*numbers)[(*n)++] = number;
    return 0;
}

/* Which there are, in order. What is called otherwise is left of an interrupted write, or nobody's, and goes. */
static int list_numbers(int dir_fd, const char *id, uint64_t **ret, size_t *ret_n) {
    _cleanup_free_ uint64_t *numbers = NULL;
    size_t n = 0, room = 0;
    int fd = fcntl(dir_fd, F_DUPFD_CLOEXEC, 3);
    DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
    if (!d) {
        (void) fd_close(fd);
        return -ENOMEM;
    }
    int r = 0;
    for (struct dirent *entry; r >= 0 && (entry = readdir(d));) {
        uint64_t number = number_of_file(entry->d_name);
        if (number > 0)
            r = add_number(number, &numbers, &n, &room);
        else if (entry->d_name[0] != '.' && strcmp(entry->d_name, DROPPED_FILE) != 0) {
            log_warning("Among the findings of container %s is a file \"%s\" that is none, and is removed", id,
                        entry->d_name);
            (void) unlinkat(dir_fd, entry->d_name, 0);
        }
    }
    (void) closedir(d);
    if (n > 0)
        qsort(numbers, n, sizeof(uint64_t), compare_numbers);
    *ret = TAKE_PTR(numbers);
    *ret_n = n;
    return r;
}

static int read_one(int dir_fd, uint64_t number, Finding **ret, Error *reterr) {
    char name[NAME_SIZE];
    _cleanup_free_ char *text = NULL;
    _cleanup_json_ json_object *o = NULL;
    _cleanup_(finding_freep) Finding *f = NULL;
    size_t size;
    file_name(number, name);
    int r = path_read_file_at(dir_fd, name, RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS, READ_MAX, &text, &size);
    if (r < 0)
        return error_failed(reterr, -r, "finding", "it cannot be read: %s", strerror(-r));
    r = json_read(text, size, &JSON_BOUNDS_TRUSTED, &o, reterr);
    if (r >= 0)
        r = finding_from_record(o, &f, reterr);
    if (r < 0)
        return r;
    if (f->number != number)
        return error_failed(reterr, EBADMSG, "finding", "it has another number");
    *ret = TAKE_PTR(f);
    return 0;
}

static int load_one(Findings *s, int dir_fd, const char *id, uint64_t number) {
    Error error = ERROR_INIT;
    Finding *f = NULL;
    int r = read_one(dir_fd, number, &f, &error);
    if (r == -ENOMEM)
        return r;
    if (r < 0) {
        char name[NAME_SIZE];
        log_warning("Finding %llu of container %s does not hold and is removed: %s", (unsigned long long) number, id,
                    error.message);
        file_name(number, name);
        (void) unlinkat(dir_fd, name, 0);
        return 0;
    }
    append(s, f)->stored = true;
    return 0;
}

static void read_dropped(Findings *s, int dir_fd) {
    _cleanup_free_ char *text = NULL;
    size_t size;
    uint64_t n = 0;
    if (path_read_file_at(dir_fd, DROPPED_FILE, RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS, NAME_SIZE, &text, &size) >= 0 &&
        parse_u64(text, &n) >= 0 && n <= INT64_MAX)
        s->dropped = s->dropped_stored = n;
}

int findings_load(int state_fd, const char *id, Findings **ret) {
    _cleanup_fd_ int dir_fd = open_directory(state_fd, false);
    _cleanup_(findings_freep) Findings *s = NULL;
    _cleanup_free_ uint64_t *numbers = NULL;
    size_t n = 0;
    *ret = NULL;
    if (dir_fd < 0)
        return 0;
    int r = findings_new(&s);
    if (r >= 0)
        r = list_numbers(dir_fd, id, &numbers, &n);
    size_t first = n > FINDINGS_MAX ? n - FINDINGS_MAX : 0;
    if (r >= 0)
        read_dropped(s, dir_fd);
    for (size_t i = first; r >= 0 && i < n; i++)
        r = load_one(s, dir_fd, id, numbers[i]);
    if (r < 0)
        return r;
    for (size_t i = 0; i < first; i++) {
        char name[NAME_SIZE];
        file_name(numbers[i], name);
        (void) unlinkat(dir_fd, name, 0);
    }
    s->last = n > 0 ? numbers[n - 1] : 0;
    *ret = TAKE_PTR(s);
    return 0;
}
