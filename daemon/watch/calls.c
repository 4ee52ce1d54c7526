/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * System calls that a profile refuses and tells of.
 *
 * Whoever made such a call waits for our answer, and the answer is always the errno that the profile itself says: the
 * kernel's "let it continue" is never given, nothing that a pointer points at is read, and a listener that is closed makes
 * its calls fail. So a call is refused whatever happens here; what this adds is to know of it. That holds because the program
 * refuses the container a listener of its own (seccomp-compile.c): after ours is closed, it would be the one that is asked.
 *
 * A container's calls are answered so many a second, by a bucket that is filled every ten milliseconds. When it is empty the
 * container's listeners are left alone: a loop of refused calls waits for itself, in the thread that makes it, and costs the
 * daemon what its share is. The same call of the same thread within a tenth of a second is one sighting, with a count.
 */

#include "watch/internal.h"

#include "util/process.h"

#include <fcntl.h>
#include <limits.h>
#include <linux/audit.h>
#include <string.h>
#include <sys/ioctl.h>

#define COALESCE_USEC 100000U
#define REFILL_USEC   10000U
#define BURST_REFILLS 10U
#define BATCH         32U /* before other sources have their turn */

/* In thousandths of a token, so that a small rate is one too. */
bool calls_refill(WatchSubject *s) {
    uint64_t now = watch_now(), rate = s->watch->config.calls_per_second,
             full = rate * REFILL_USEC * BURST_REFILLS / 1000U;
    uint64_t passed = s->tokens_usec ? now - s->tokens_usec : UINT32_MAX;
    if (full < 1000U)
        full = 1000U;
    if (passed >= full * 1000U / rate) /* in which it is filled */
        s->call_tokens = full;
    else
        s->call_tokens += passed * rate / 1000U;
    if (s->call_tokens > full)
        s->call_tokens = full;
    s->tokens_usec = now;
    return s->call_tokens >= 1000U;
}

static bool take_token(WatchSubject *s) {
    if (s->call_tokens < 1000U && !calls_refill(s))
        return false;
    s->call_tokens -= 1000U;
    return true;
}

static void tell(WatchSubject *s, struct CallSeen *c, uint64_t count, uint64_t now) {
    Sighting g = {
        .kind = SIGHTING_CALL,
        .subject = watch_subject_ref(s),
        .host_pid = c->host_pid,
        .pidfd = process_pidfd_open(c->host_pid),
        .file_fd = -EBADF,
        .start_time = c->start_time,
        .call = c->call,
        .call_errno = c->call_errno,
        .count = count,
    };
    c->count = 0;
    c->time_usec = now;
    watch_sighted(s->watch, &g);
}

bool calls_flush(WatchSubject *s, uint64_t now) {
    bool left = false;
    for (size_t i = 0; i < ELEMENTSOF(s->calls_seen); i++) {
        struct CallSeen *c = &s->calls_seen[i];
        if (c->count > 0 && now - c->time_usec >= COALESCE_USEC)
            tell(s, c, c->count, now);
        left |= c->count > 0;
    }
    return left;
}

/* The call is a thread's, and while it waits for us its process is there. What is acted on is a process. */
static pid_t process_of(pid_t thread) {
    char path[40], text[1024];
    (void) snprintf(path, sizeof(path), "/proc/%d/status", (int) thread);
    const char *line = evidence_read(AT_FDCWD, path, text, sizeof(text)) < 0 ? NULL : strstr(text, "\nTgid:\t");
    long pid = line ? strtol(line + 7, NULL, 10) : 0;
    return pid > 0 && pid <= INT_MAX ? (pid_t) pid : thread;
}

/* The slot of this call, or the one that has been told longest ago: what it had counted is told now. */
static struct CallSeen *slot_for(WatchSubject *s, pid_t thread, int number, uint64_t now) {
    struct CallSeen *oldest = &s->calls_seen[0];
    for (size_t i = 0; i < ELEMENTSOF(s->calls_seen); i++) {
        struct CallSeen *c = &s->calls_seen[i];
        if (c->thread == thread && c->number == number)
            return c;
        if (c->time_usec < oldest->time_usec)
            oldest = c;
    }
    if (oldest->count > 0)
        tell(s, oldest, oldest->count, now);
    *oldest = (struct CallSeen){ .thread = thread, .host_pid = process_of(thread), .number = number };
    (void) process_start_time(oldest->host_pid, &oldest->start_time);
    return oldest;
}

static void note(WatchSubject *s, const struct seccomp_notif *n, int answer) {
    uint64_t now = watch_now();
    if (!watch_wants(s, FINDING_REFUSED_CALL))
        return;
    struct CallSeen *c = slot_for(s, (pid_t) n->pid, n->data.nr, now);
    c->call = n->data;
    c->call_errno = answer;
    c->count++;
    if (c->time_usec == 0 || now - c->time_usec >= COALESCE_USEC)
        tell(s, c, c->count, now);
}

/*
 * What its program says. A program of Exec with other capabilities has a filter of its own, which is not at hand here: where
 * the first one would not refuse the call it is refused as nearly every profile does, with EPERM.
 */
static int answer_to(const WatchSubject *s, const struct seccomp_data *call) {
    int e = s->program ? seccomp_program_answer(s->program, call) : EPERM;
    return e > 0 && e != ENOSYS && e < 4096 ? e : e == ENOSYS ? ENOSYS : EPERM;
}

static bool serve_one(CallsListener *l, const struct seccomp_notif_sizes *sizes) {
    union {
        struct seccomp_notif notification;
        char room[512];
    } in = { 0 };
    union {
        struct seccomp_notif_resp response;
        char room[512];
    } out = { 0 };
    if (sizes->seccomp_notif > sizeof(in) || sizes->seccomp_notif_resp > sizeof(out) ||
        ioctl(l->fd, SECCOMP_IOCTL_NOTIF_RECV, &in) < 0)
        return false; /* ENOENT: killed meanwhile */
    out.response.id = in.notification.id;
    out.response.error = -answer_to(l->subject, &in.notification.data);
    note(l->subject, &in.notification, -out.response.error);
    (void) ioctl(l->fd, SECCOMP_IOCTL_NOTIF_SEND, &out);
    return true;
}

/* RECV waits where there is nothing: so each is preceded by a look whether there is (the set's, or ours). */
void calls_serve(CallsListener *l, const struct seccomp_notif_sizes *sizes, bool *ret_exhausted) {
    *ret_exhausted = !take_token(l->subject);
    if (!*ret_exhausted)
        (void) serve_one(l, sizes);
}

/* ---- the look's side ---- */

static const struct {
    uint32_t audit;
    const char *name;
} architectures[] = {
    { AUDIT_ARCH_X86_64, "x86_64" }, { AUDIT_ARCH_I386, "x86" },          { AUDIT_ARCH_AARCH64, "aarch64" },
    { AUDIT_ARCH_ARM, "arm" },       { AUDIT_ARCH_RISCV64, "riscv64" },   { AUDIT_ARCH_PPC64LE, "ppc64le" },
    { AUDIT_ARCH_S390X, "s390x" },   { AUDIT_ARCH_MIPSEL64, "mipsel64" }, { AUDIT_ARCH_MIPSEL, "mipsel" },
};

static void set_architecture(Finding *f, uint32_t audit) {
    (void) snprintf(f->call_architecture, sizeof(f->call_architecture), "0x%x", audit);
    for (size_t i = 0; i < ELEMENTSOF(architectures); i++)
        if (architectures[i].audit == audit)
            (void) snprintf(f->call_architecture, sizeof(f->call_architecture), "%s", architectures[i].name);
}

void calls_finding(WatchSubject *s, const Sighting *sighting) {
    const struct seccomp_data *c = &sighting->call;
    _cleanup_(finding_freep) Finding *f = finding_new(FINDING_REFUSED_CALL, FINDING_MEDIUM);
    if (!f)
        return;
    const char *name = seccomp_call_name(c->arch, c->nr);
    f->first_usec = f->last_usec = sighting->time_usec;
    f->count = sighting->count;
    f->host_pid = sighting->host_pid;
    f->has_call = true;
    f->call_number = c->nr;
    f->call_errno = sighting->call_errno;
    (void) snprintf(f->call_name, sizeof(f->call_name), "%s", name ?: "");
    set_architecture(f, c->arch);
    memcpy(f->call_arguments, c->args, sizeof(f->call_arguments));
    evidence_set(f, "the profile refuses the system call %s (%d): the program was told %s", name ?: "without a name",
                 c->nr, strerrorname_np(sighting->call_errno) ?: "an error");
    bool all = watch_may_collect(s);
    if ((all ? evidence_collect_member : evidence_process)(s, sighting->host_pid, sighting->pidfd, f) < 0 ||
        f->start_time != sighting->start_time)
        evidence_forget(f); /* it has ended, and its number may be another's */
    else if (!all)
        evidence_program(sighting->host_pid, f);
    /* What lives has to be known by its process, or it could not be removed. */
    if (all || f->start_time > 0)
        watch_report(s, TAKE_PTR(f));
    else
        watch_count(s, TAKE_PTR(f));
}
