/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * What a sample costs, on real groups: N of them, idle, with one sleeping process each.
 *
 *     floor   nothing but pread() of the same files from open fds
 *     sample  account_sample()
 *     send    account_encode(), and the text on its way through a socket as a reply of Stats
 *     tick    all of it by the sampler on an event loop, once a second
 *
 * Figures are CPU time, which on a machine that others use too says more than the clock; where several passes are made, the
 * median of them. The fds of a thousand groups are more than many hosts allow a process: the groups are shared out
 * among processes that measure one after the other, while all groups exist.
 *
 * The first process makes none of this, so that it can clean up whatever becomes of the others: the groups are in a subtree
 * of their own, called after it. Exits with 1 if a target is missed, with 77 (skipped) if not run by root.
 */

#include "account/sampler.h"
#include "cgroup/group.h"
#include "proto/message.h"

#include <err.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <linux/sched.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>

#define TARGET_SAMPLE 40.0 /* µs for each container */
#define TARGET_SEND   60.0
#define FDS_PER_GROUP                                                                                                  \
    64U /* allowed for: cgroup keeps fds for reading only as long as they are few among those allowed */
#define FILES_MAX      64U
#define PROCESSES_MAX  32U
#define PASSES         15U
#define TICKS          3U
#define TICK_USEC      1000000ULL
#define REMOVE_USEC    5000000ULL
#define SKIPPED        77
#define USEC_OF(begun) (cpu_usec() - (begun))

/* Of one process that measures: µs for one container. */
typedef struct Figures {
    size_t n, n_files, n_bytes;
    double floor_one, floor_all, sample, send, tick;
} Figures;

typedef struct Item {
    CgroupGroup *group;
    AccountEntry entry;
    AccountSample sample;
    int fds[FILES_MAX];
    char id[24];
} Item;

typedef struct Share {
    CgroupHierarchies *hierarchies;
    Framing *framing;
    AccountText reply;
    Item *items;
    size_t n;
    unsigned ticks;
    AccountSubscriber subscriber;
    sd_event *event;
} Share;

static Share share;
static bool verbose;

static double cpu_usec(void) {
    struct timespec t;
    (void) clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double) t.tv_sec * 1e6 + (double) t.tv_nsec / 1e3;
}

static int compare(const void *a, const void *b) {
    double x = *(const double *) a, y = *(const double *) b;
    return (x > y) - (x < y);
}

/* The median of what PASS costs, for each container. */
static double measure(void (*pass)(void), size_t n) {
    double times[PASSES];
    pass(); /* warm, and files are open */
    for (size_t i = 0; i < PASSES; i++) {
        double begun = cpu_usec();
        pass();
        times[i] = USEC_OF(begun);
    }
    qsort(times, PASSES, sizeof(double), compare);
    return times[PASSES / 2] / (double) n;
}

/* --- groups --- */

/* Ends with its parent. */
static pid_t start_sleeper(int group_fd) {
    struct clone_args args = { .flags = CLONE_INTO_CGROUP, .exit_signal = SIGCHLD, .cgroup = (uint64_t) group_fd };
    pid_t pid = (pid_t) syscall(SYS_clone3, &args, sizeof(args));
    if (pid == 0) {
        (void) prctl(PR_SET_PDEATHSIG, SIGKILL);
        for (;;)
            (void) pause();
    }
    return pid;
}

static void make_item(Item *i, size_t number) {
    Error error = ERROR_INIT;
    (void) snprintf(i->id, sizeof(i->id), "%012zx", number);
    if (cgroup_group_create(share.hierarchies, i->id, &i->group, &error) < 0)
        errx(1, "group %s: %s", i->id, error.message);
    pid_t pid = start_sleeper(cgroup_group_fd(i->group));
    if (pid < 0)
        err(1, "clone3");
    if (cgroup_group_attach(i->group, pid, &error) < 0)
        errx(1, "group %s: %s", i->id, error.message);
    i->entry = (AccountEntry){ .source = { .group = i->group }, .id = i->id, .name = i->id };
}

/* The fds that the first reading of I opens. They are given from the lowest free one on. */
static size_t find_files(Item *i) {
    bool before[4 * FILES_MAX];
    size_t n = 0;
    int first = dup(STDERR_FILENO);
    fd_close(first);
    for (int k = 0; k < (int) ELEMENTSOF(before); k++)
        before[k] = fcntl(first + k, F_GETFD) >= 0;
    account_sample(&i->entry.source, &i->sample);
    for (int k = 0; k < (int) ELEMENTSOF(before) && n < FILES_MAX; k++)
        if (!before[k] && fcntl(first + k, F_GETFD) >= 0)
            i->fds[n++] = first + k;
    return n;
}

/* --- passes --- */

static size_t n_files;

static void read_files(const Item *i) {
    char text[4096];
    for (size_t k = 0; k < n_files; k++)
        if (pread(i->fds[k], text, sizeof(text), 0) < 0)
            err(1, "pread");
}

static void floor_one(void) {
    for (size_t i = 0; i < share.n; i++)
        read_files(&share.items[0]);
}

static void floor_all(void) {
    for (size_t i = 0; i < share.n; i++)
        read_files(&share.items[i]);
}

static size_t the_file;

static void floor_of_file(void) {
    char text[4096];
    for (size_t i = 0; i < share.n; i++)
        if (pread(share.items[i].fds[the_file], text, sizeof(text), 0) < 0)
            err(1, "pread");
}

static void print_files(void) {
    for (the_file = 0; the_file < n_files; the_file++) {
        char link[64], path[PATH_MAX] = "?";
        (void) snprintf(link, sizeof(link), "/proc/self/fd/%d", share.items[0].fds[the_file]);
        if (readlink(link, path, sizeof(path) - 1) < 0)
            err(1, "readlink");
        printf("    %7.2f µs  %s\n", measure(floor_of_file, share.n), path);
    }
    (void) fflush(stdout);
}

static void sample_all(void) {
    for (size_t i = 0; i < share.n; i++)
        account_sample(&share.items[i].entry.source, &share.items[i].sample);
}

static void append(const char *bytes, size_t size) {
    if (account_text_append(&share.reply, bytes, size) < 0)
        errx(1, "out of memory");
}

/* As rpc/handle-stats.c puts a reply together. */
static void send_texts(AccountEntry *const *entries, size_t n, bool complete) {
    static const char begin[] = "{\"samples\":[", last[] = "],\"complete\":true}", more[] = "],\"complete\":false}";
    share.reply.size = 0;
    append(begin, strlen(begin));
    for (size_t i = 0; i < n; i++) {
        if (i > 0)
            append(",", 1);
        append(entries[i]->text.bytes, entries[i]->text.size);
    }
    append(complete ? last : more, strlen(complete ? last : more));
    int r = message_queue_reply_text(share.framing, share.reply.bytes, share.reply.size, true);
    for (; r >= 0 && framing_queued(share.framing) > 0; r = framing_write(share.framing)) {
        struct pollfd p = { .fd = framing_fd(share.framing), .events = POLLOUT };
        (void) poll(&p, 1, -1);
    }
    if (r < 0)
        errx(1, "send: %s", strerror(-r));
}

static void send_all(void) {
    AccountEntry *entries[ACCOUNT_SLICE];
    size_t n = 0;
    for (size_t i = 0; i < share.n; i++) {
        Item *item = &share.items[i];
        item->entry.text.size = 0;
        if (account_encode(&item->sample, item->id, item->id, &item->entry.text) < 0)
            errx(1, "out of memory");
        entries[n++] = &item->entry;
        if (n < ACCOUNT_SLICE && i + 1 < share.n)
            continue;
        send_texts(entries, n, i + 1 == share.n);
        n = 0;
    }
}

/* --- ticks --- */

static bool wants(AccountSubscriber *s, const AccountEntry *e) {
    return true;
}

static void samples(AccountSubscriber *s, AccountEntry *const *entries, size_t n, bool complete) {
    send_texts(entries, n, complete);
    share.ticks += complete;
}

static void final(AccountSubscriber *s, const AccountEntry *e, const AccountText *text) {}

static void run_until(unsigned ticks) {
    while (share.ticks < ticks)
        if (sd_event_run(share.event, UINT64_MAX) < 0)
            errx(1, "sd_event_run");
}

/* CPU time of a tick, the loop's own included, for each container. */
static double measure_ticks(void) {
    AccountSampler *sampler = NULL;
    if (sd_event_new(&share.event) < 0 || account_sampler_new(share.event, NULL, &sampler) < 0)
        errx(1, "out of memory");
    for (size_t i = 0; i < share.n; i++)
        account_sampler_add(sampler, &share.items[i].entry);
    share.subscriber =
        (AccountSubscriber){ .interval_usec = TICK_USEC, .wants = wants, .samples = samples, .final = final };
    if (account_subscribe(sampler, &share.subscriber) < 0)
        errx(1, "account_subscribe");
    run_until(1);
    double begun = cpu_usec();
    run_until(1 + TICKS);
    double each = USEC_OF(begun) / TICKS / (double) share.n;
    account_unsubscribe(&share.subscriber);
    for (size_t i = 0; i < share.n; i++)
        account_sampler_remove(&share.items[i].entry);
    (void) account_sampler_free(sampler);
    (void) sd_event_unref(share.event);
    return each;
}

/* --- processes --- */

/* Reads what is sent, and ends with the other end. */
static void start_reader(void) {
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
        err(1, "socketpair");
    pid_t pid = fork();
    if (pid < 0)
        err(1, "fork");
    if (pid == 0) {
        static char sink[256 * 1024];
        fd_close(pair[0]);
        (void) prctl(PR_SET_PDEATHSIG, SIGKILL);
        while (read(pair[1], sink, sizeof(sink)) > 0)
            ;
        _exit(0);
    }
    fd_close(pair[1]);
    if (framing_new(pair[0], KENNEL_CALL_MAX, KENNEL_REPLY_MAX, &share.framing) < 0)
        errx(1, "framing_new");
}

/* One process: makes its groups, waits for its turn, measures, reports. */
static void work(const char *subtree, size_t first, size_t n, int orders_fd, int report_fd) {
    Error error = ERROR_INIT;
    char turn = 0;
    (void) prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (cgroup_hierarchies_open_at(subtree, &share.hierarchies, &error) < 0)
        errx(1, "%s", error.message);
    share.n = n;
    share.items = calloc(n, sizeof(Item));
    if (!share.items)
        errx(1, "out of memory");
    start_reader();
    for (size_t i = 0; i < n; i++)
        make_item(&share.items[i], first + i);
    n_files = find_files(&share.items[0]);
    for (size_t i = 1; i < n; i++)
        if (find_files(&share.items[i]) != n_files)
            errx(1, "not all groups have the same files open: fds are short (ulimit -n)");
    if (write(report_fd, &turn, 1) != 1 || read(orders_fd, &turn, 1) != 1)
        exit(1);
    Figures f = { .n = n, .n_files = n_files };
    f.floor_one = measure(floor_one, n);
    f.floor_all = measure(floor_all, n);
    if (verbose && first == 0)
        print_files();
    f.sample = measure(sample_all, n);
    f.send = measure(send_all, n);
    f.n_bytes = share.items[0].entry.text.size;
    f.tick = measure_ticks();
    if (write(report_fd, &f, sizeof(f)) != sizeof(f))
        exit(1);
    /* groups stay until all have measured */
    exit(read(orders_fd, &turn, 1) < 0);
}

typedef struct Process {
    pid_t pid;
    int orders_fd, report_fd;
} Process;

static Process processes[PROCESSES_MAX];
static size_t n_processes;
static volatile sig_atomic_t interrupted;

static void on_signal(int sig) {
    interrupted = 1;
}

static void start_process(const char *subtree, size_t first, size_t n) {
    int orders[2], report[2];
    if (pipe2(orders, O_CLOEXEC) < 0 || pipe2(report, O_CLOEXEC) < 0)
        err(1, "pipe");
    Process *p = &processes[n_processes++];
    *p = (Process){ fork(), orders[1], report[0] };
    if (p->pid == 0) {
        for (size_t i = 0; i < n_processes; i++) {
            fd_close(processes[i].orders_fd);
            fd_close(processes[i].report_fd);
        }
        (void) signal(SIGINT, SIG_IGN);
        (void) signal(SIGTERM, SIG_DFL);
        work(subtree, first, n, orders[0], report[1]);
    }
    fd_close(orders[0]);
    fd_close(report[1]);
}

static int receive(const Process *p, void *to, size_t size) {
    return p->pid > 0 && !interrupted && read(p->report_fd, to, size) == (ssize_t) size ? 0 : -EIO;
}

static void add(Figures *sum, const Figures *f) {
    double n = (double) f->n;
    sum->n += f->n;
    sum->n_files = f->n_files;
    sum->n_bytes = f->n_bytes;
    sum->floor_one += n * f->floor_one;
    sum->floor_all += n * f->floor_all;
    sum->sample += n * f->sample;
    sum->send += n * f->send;
    sum->tick += n * f->tick;
}

/* Sums over all containers. */
static int run(const char *subtree, size_t n, Figures *ret) {
    struct rlimit files;
    char ready;
    if (getrlimit(RLIMIT_NOFILE, &files) < 0)
        return -errno;
    size_t most = (files.rlim_cur - 4 * FILES_MAX) / FDS_PER_GROUP, wanted = (n + most - 1) / most;
    for (size_t i = 0; i < wanted && i < PROCESSES_MAX; i++)
        start_process(subtree, n * i / wanted, n * (i + 1) / wanted - n * i / wanted);
    int r = 0;
    for (size_t i = 0; i < n_processes && r == 0; i++)
        r = receive(&processes[i], &ready, 1);
    for (size_t i = 0; i < n_processes && r == 0; i++) {
        Figures f;
        r = write(processes[i].orders_fd, "", 1) == 1 ? receive(&processes[i], &f, sizeof(f)) : -errno;
        if (r == 0)
            add(ret, &f);
    }
    return r;
}

static int remove_group(CgroupHierarchies *h, const char *id) {
    CgroupGroup *g = NULL;
    Error error = ERROR_INIT;
    int r = cgroup_group_open(h, id, &g, &error);
    if (r == -ENOENT)
        return 0;
    if (r >= 0)
        r = cgroup_group_remove(g, REMOVE_USEC, &error);
    if (r < 0)
        warnx("group %s: %s", id, error.message);
    (void) cgroup_group_free(g);
    return r;
}

/* Ends all processes, with whom their sleepers end, and removes the groups. */
static int clean_up(const char *subtree, size_t n) {
    CgroupHierarchies *h = NULL;
    Error error = ERROR_INIT;
    int r = 0;
    for (size_t i = 0; i < n_processes; i++)
        if (processes[i].pid > 0) {
            (void) kill(processes[i].pid, SIGKILL);
            (void) waitpid(processes[i].pid, NULL, 0);
        }
    if (cgroup_hierarchies_open_at(subtree, &h, &error) < 0) {
        warnx("%s", error.message);
        return -EIO;
    }
    for (size_t i = 0; i < n; i++) {
        char id[24];
        (void) snprintf(id, sizeof(id), "%012zx", i);
        if (remove_group(h, id) < 0)
            r = -EIO;
    }
    (void) cgroup_hierarchies_close(h);
    return r;
}

static bool print_target(const char *what, double usec, double target, double factor) {
    bool met = usec <= target * factor;
    printf("%-46s %7.1f µs   target %.0f%s\n", what, usec, target * factor, met ? "" : ": MISSED");
    return met;
}

static bool print(const Figures *f, double factor) {
    double n = (double) f->n, tick_usec = f->tick;
    char line[80];
    printf("%zu idle groups, %zu files each, CPU time for each container\n", f->n, f->n_files);
    (void) snprintf(line, sizeof(line), "floor: pread of one group's %zu files", f->n_files);
    printf("%-46s %7.1f µs\n", line, f->floor_one / n);
    printf("%-46s %7.1f µs   %.2f times the floor\n", "floor: the same of all groups in turn", f->floor_all / n,
           f->floor_all / f->floor_one);
    bool met = print_target("account_sample()", f->sample / n, TARGET_SAMPLE, factor);
    printf("%-46s %7.2f times that floor\n", "", f->sample / f->floor_all);
    (void) snprintf(line, sizeof(line), "encode and send, %zu bytes", f->n_bytes);
    met = print_target(line, f->send / n, TARGET_SEND, factor) && met;
    printf("%-46s %7.1f µs\n", "in a tick of the sampler, all of it", tick_usec / n);
    printf("%-46s %7.2f %%\n", "one CPU's share, a tick of all each second", tick_usec / (double) TICK_USEC * 100.0);
    return met;
}

int main(int argc, char **argv) {
    size_t n = 1000;
    double factor = 1;
    for (int o; (o = getopt(argc, argv, "n:f:v")) >= 0;)
        if (o == 'n')
            n = strtoul(optarg, NULL, 10);
        else if (o == 'f')
            factor = strtod(optarg, NULL);
        else if (o == 'v')
            verbose = true;
        else
            errx(2, "usage: bench-sample [-n GROUPS] [-f FACTOR (by which targets may be missed)] [-v (file by file)]");
    if (n == 0 || factor <= 0)
        errx(2, "-n and -f must be above 0");
    if (geteuid() != 0) {
        warnx("needs root: it makes cgroups");
        return SKIPPED;
    }
    char subtree[64];
    Figures f = { 0 };
    (void) snprintf(subtree, sizeof(subtree), "/kennel-bench-%d", (int) getpid());
    struct sigaction action = { .sa_handler = on_signal };
    (void) sigaction(SIGINT, &action, NULL);
    (void) sigaction(SIGTERM, &action, NULL);
    (void) signal(SIGPIPE, SIG_IGN);
    int r = run(subtree, n, &f);
    if (r < 0)
        warnx("%s", interrupted ? "interrupted" : "a process that measures has failed");
    bool met = r >= 0 && print(&f, factor);
    if (clean_up(subtree, n) < 0)
        return 1;
    return met ? 0 : 1;
}
