/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The watch itself, on a container of the test's own: an overlay with a busybox below, a tmpfs, a pid namespace, a cgroup.
 * What is run in it are copies of that busybox. Needs root, busybox, and a kernel that tells.
 */

#include "watch/internal.h"

#include "util/fds.h"
#include "util/parse.h"
#include "util/process.h"

#include <fcntl.h>
#include <linux/audit.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>

#include <cmocka.h>

#define BUSYBOX  "/bin/busybox"
#define SEEN_MAX 256U
#define LEASES   200U

static struct Fixture {
    char directory[64];
    const char *missing; /* why nothing can be tried */
    sd_event *event;
    CgroupHierarchies *hierarchies;
    CgroupGroup *group;
    Watch *watch;
    WatchSubject *subject;
    pid_t pid;
    int pidfd, go_fd, upper_fd, lower_fd, calls_fd;
    const char *before; /* of a container that is found again: what it has done meanwhile */
    const char *root;   /* where it is by now; NULL: as it was */
    uint64_t capabilities;
    Finding *seen[SEEN_MAX];
    size_t n_seen;
    uint64_t began_usec;
} t;

static void on_found(void *userdata, Finding *consume_finding) {
    assert_ptr_equal(userdata, &t);
    for (size_t i = 0; i < t.n_seen; i++)
        if (finding_is_same(t.seen[i], consume_finding)) {
            finding_merge(t.seen[i], consume_finding);
            (void) finding_free(consume_finding);
            return;
        }
    assert_true(t.n_seen < SEEN_MAX);
    t.seen[t.n_seen++] = consume_finding;
}

static uint64_t usec_of(const struct rusage *u) {
    return (uint64_t) (u->ru_utime.tv_sec + u->ru_stime.tv_sec) * 1000000U +
           (uint64_t) (u->ru_utime.tv_usec + u->ru_stime.tv_usec);
}

static void run(const char *command) {
    int r = system(command);
    if (r != 0)
        fail_msg("%s: %d", command, r);
}

/* mount() in it is refused and told. */
static int install_filter(void) {
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_mount, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF | EPERM),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = { ELEMENTSOF(code), code };
    (void) prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    return (int) syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, &program);
}

static int refused_thread(void *unused) {
    (void) unused;
    (void) syscall(SYS_mount, NULL, NULL, NULL, 0, NULL);
    (void) pause();
    return 0;
}

/* A refused call by a thread that is not the first. */
static _Noreturn void call_in_thread(void) {
    static char stack[65536] __attribute__((aligned(16)));
    (void) clone(refused_thread, stack + sizeof(stack), CLONE_VM | CLONE_THREAD | CLONE_SIGHAND, NULL);
    (void) pause();
    _exit(106);
}

/* Files that are opened to be executed, which they cannot be, and then have leases; and a refused call after all that. */
static _Noreturn void hold_leases(void) {
    (void) signal(SIGIO, SIG_IGN);
    for (unsigned i = 0; i < LEASES; i++) {
        char path[32];
        (void) snprintf(path, sizeof(path), "/dev/shm/%u", i);
        (void) close(open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0700));
        (void) execve(path, (char *const[]){ path, NULL }, (char *const[]){ NULL });
        int fd = open(path, O_WRONLY | O_CLOEXEC);
        (void) fcntl(fd, F_SETLEASE, F_WRLCK);
    }
    (void) syscall(SYS_mount, NULL, NULL, NULL, 0, NULL);
    (void) pause();
    _exit(107);
}

static void execute_memory(void) {
    char buffer[65536];
    int from = open("/bin/busybox", O_RDONLY | O_CLOEXEC), fd = memfd_create("rogue", MFD_CLOEXEC);
    for (ssize_t n; (n = read(from, buffer, sizeof(buffer))) > 0;)
        if (write(fd, buffer, (size_t) n) != n)
            _exit(104);
    (void) fexecve(fd, (char *const[]){ (char *) "sleep", (char *) "5", NULL }, (char *const[]){ NULL });
    _exit(105);
}

static _Noreturn void child(int go_fd, int socket, const char *script) {
    char options[256], go;
    (void) snprintf(options, sizeof(options),
                    "lowerdir=%s/lower,upperdir=%s/layer/upper,workdir=%s/layer/work,xino=off", t.directory,
                    t.directory, t.directory);
    char root[80];
    (void) snprintf(root, sizeof(root), "%s/root", t.directory);
    if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 || mount("o", root, "overlay", 0, options) < 0 ||
        chdir(root) < 0 || mount("t", "dev/shm", "tmpfs", 0, "mode=1777") < 0 ||
        mount("p", "proc", "proc", 0, NULL) < 0 || syscall(SYS_pivot_root, ".", "old") < 0 || chdir("/") < 0 ||
        umount2("/old", MNT_DETACH) < 0)
        _exit(101);
    if ((t.before && system(t.before) != 0) || (t.root && (chroot(t.root) < 0 || chdir("/") < 0)))
        _exit(106);
    int listener = install_filter();
    if (listener < 0 || fd_send(socket, &listener, 1, "x", 1) < 0 || read(go_fd, &go, 1) != 1)
        _exit(102);
    (void) close(listener);
    (void) close(socket);
    for (bool loop = strcmp(script, "loop") == 0; loop;) /* nothing but refused calls */
        (void) syscall(SYS_mount, NULL, NULL, NULL, 0, NULL);
    if (strcmp(script, "memfd") == 0)
        execute_memory();
    if (strcmp(script, "thread") == 0)
        call_in_thread();
    if (strcmp(script, "leases") == 0)
        hold_leases();
    char *const argv[] = { (char *) "sh", (char *) "-c", (char *) script, NULL };
    execve("/bin/busybox", argv, (char *const[]){ (char *) "PATH=/bin", NULL });
    _exit(103);
}

static pid_t spawn(int cgroup_fd, int *ret_pidfd) {
    struct clone_args {
        uint64_t flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls, set_tid, set_tid_size,
            cgroup;
    } args = { .flags = CLONE_NEWNS | CLONE_NEWPID | CLONE_PIDFD | 0x200000000ULL /* CLONE_INTO_CGROUP */,
               .pidfd = (uintptr_t) ret_pidfd,
               .exit_signal = SIGCHLD,
               .cgroup = (uint64_t) cgroup_fd };
    return (pid_t) syscall(SYS_clone3, &args, sizeof(args));
}

static void stop(void) {
    t.subject = watch_subject_free(t.subject);
    (void) kill(t.pid, SIGKILL);
    (void) waitpid(t.pid, NULL, 0);
    t.pidfd = fd_close(t.pidfd);
    for (size_t i = 0; i < t.n_seen; i++)
        t.seen[i] = finding_free(t.seen[i]);
    t.n_seen = 0;
}

static void start(const char *script) {
    if (t.subject) /* a test has failed */
        stop();
    int go[2], sockets[2];
    char byte;
    SandboxSpec spec = SANDBOX_SPEC_INIT;
    spec.program.capabilities = t.capabilities;
    assert_int_equal(pipe2(go, O_CLOEXEC), 0);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets), 0);
    t.pid = spawn(cgroup_group_fd(t.group), &t.pidfd);
    if (t.pid == 0)
        child(go[0], sockets[1], script);
    assert_true(t.pid > 0);
    (void) close(sockets[1]);
    (void) close(go[0]);
    assert_int_equal(fd_receive(sockets[0], &t.calls_fd, 1, &byte, 1), 1);
    (void) close(sockets[0]);
    char path[96];
    (void) snprintf(path, sizeof(path), "%s/layer/upper", t.directory);
    int upper_fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    (void) snprintf(path, sizeof(path), "%s/lower", t.directory);
    int lower_fd = t.before ? -EBADF : open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    WatchSubjectSpec x = { .userdata = &t,
                           .id = "watchtest",
                           .pid = t.pid,
                           .pidfd = t.pidfd,
                           .sandbox = &spec,
                           .seccomp = true,
                           .upper_fd = upper_fd,
                           .lower_fd = lower_fd,
                           .runs = t.before,
                           .calls_fd = t.calls_fd,
                           .cpu_quota_per_sec_usec = UINT64_MAX };
    /* what is found at the moment that it happens; the look has tests of its own */
    static const FindingKind kinds[] = { FINDING_FOREIGN_PROGRAM, FINDING_FOREIGN_SCRIPT, FINDING_PRELOAD,
                                         FINDING_REFUSED_CALL, FINDING_DISGUISE };
    for (size_t i = 0; i < _FINDING_KIND_MAX; i++)
        x.actions[i] = FINDING_OFF;
    for (size_t i = 0; i < ELEMENTSOF(kinds); i++)
        x.actions[kinds[i]] = FINDING_REPORT;
    struct timespec before, after;
    (void) clock_gettime(CLOCK_THREAD_CPUTIME_ID, &before);
    assert_int_equal(watch_subject_new(t.watch, &x, &t.subject), 0);
    (void) clock_gettime(CLOCK_THREAD_CPUTIME_ID, &after);
    print_message("a subject: %ld us of CPU\n",
                  (after.tv_sec - before.tv_sec) * 1000000 + (after.tv_nsec - before.tv_nsec) / 1000);
    t.began_usec = watch_now();
    assert_int_equal(write(go[1], "g", 1), 1);
    (void) close(go[1]);
}

static const Finding *find(FindingKind kind, const char *program) {
    for (size_t i = 0; i < t.n_seen; i++)
        if (t.seen[i]->kind == kind && (!program || (t.seen[i]->program && strcmp(t.seen[i]->program, program) == 0)))
            return t.seen[i];
    return NULL;
}

static void show(void) {
    for (size_t i = 0; i < t.n_seen; i++) {
        json_object *o = finding_to_json(t.seen[i]);
        print_message("%s\n", json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN));
        json_object_put(o);
    }
}

static const Finding *wait_for(FindingKind kind, const char *program) {
    for (uint64_t end = watch_now() + 5000000U; watch_now() < end;) {
        const Finding *f = find(kind, program);
        if (f)
            return f;
        assert_true(sd_event_run(t.event, 100000) >= 0);
    }
    show();
    fail_msg("no %s of %s in five seconds", finding_kind_to_string(kind), program ?: "anything");
    return NULL;
}

/* The line of a script that ends with it. */
static void run_until_end(void) {
    for (uint64_t end = watch_now() + 20000000U; watch_now() < end;) {
        siginfo_t info = { 0 };
        assert_true(sd_event_run(t.event, 50000) >= 0);
        if (waitid(P_PIDFD, (id_t) t.pidfd, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid != 0)
            break;
    }
    for (unsigned i = 0; i < 30; i++)
        assert_true(sd_event_run(t.event, 50000) >= 0);
}

#define NEEDS()                                                                                                        \
    do {                                                                                                               \
        if (t.missing) {                                                                                               \
            print_message("skipped: %s\n", t.missing);                                                                 \
            skip();                                                                                                    \
        }                                                                                                              \
    } while (0)

static void programs_of_the_image_give_nothing(void **state) {
    NEEDS();
    start("for i in 1 2 3; do busybox true; /bin/sh -c 'busybox ls /' >/dev/null; done; chmod 700 /bin/other; "
          "busybox sleep 0; /bin/other true; exec busybox true");
    run_until_end();
    show();
    assert_int_equal(t.n_seen, 0);
    assert_int_equal(watch_subject_dropped(t.subject), 0);
    stop();
}

static void what_was_dropped_is_found(void **state) {
    NEEDS();
    start("cp /bin/busybox /tmp/busybox; cp /bin/busybox /dev/shm/busybox; /tmp/busybox sleep 3 & /dev/shm/busybox "
          "true; wait");
    const Finding *f = wait_for(FINDING_FOREIGN_PROGRAM, "/tmp/busybox");
    assert_true(watch_now() - t.began_usec < 1000000U);
    assert_int_equal(f->severity, FINDING_MEDIUM);
    assert_true(f->has_size && f->program_size > 0 && strlen(f->program_sha256) == FINDING_SHA256_LENGTH);
    assert_true(f->pid > 1 && f->host_pid > 0 && f->start_time > 0);
    assert_string_equal(f->process_name, "busybox");
    assert_int_equal(strv_length(f->command), 3);
    assert_string_equal(f->command[1], "sleep");
    assert_true(f->n_parents >= 1 && f->parents[f->n_parents - 1].pid == 1);
    assert_string_equal(f->working_directory, "/");
    assert_string_equal(f->mapped_files[0], "/tmp/busybox");
    f = wait_for(FINDING_FOREIGN_PROGRAM, "/dev/shm/busybox");
    assert_non_null(f);
    stop();
}

static void a_replaced_program_is_found(void **state) {
    NEEDS();
    start("cp /bin/busybox /tmp/b; echo x >>/tmp/b; cp /tmp/b /bin/other; /bin/other sleep 2");
    const Finding *f = wait_for(FINDING_FOREIGN_PROGRAM, "/bin/other");
    assert_non_null(strstr(f->evidence, "replaces"));
    stop();
}

static void scripts_are_found_once(void **state) {
    NEEDS();
    start("printf '#!/bin/sh\\nbusybox sleep 1\\n' >/tmp/s1; chmod 755 /tmp/s1; cp /tmp/s1 /opt/s2; /tmp/s1; busybox "
          "sh /opt/s2; "
          "sh -c : ; sh -c 'exec sh /opt/s2'; busybox true");
    run_until_end();
    const Finding *one = find(FINDING_FOREIGN_SCRIPT, "/tmp/s1"), *two = find(FINDING_FOREIGN_SCRIPT, "/opt/s2");
    if (!one || !two)
        show();
    assert_non_null(one);
    assert_int_equal(one->severity, FINDING_MEDIUM);
    assert_int_equal(one->count, 1);
    assert_non_null(two);
    assert_int_equal(two->severity, FINDING_LOW);
    for (size_t i = 0; i < t.n_seen; i++)
        assert_int_equal(t.seen[i]->kind, FINDING_FOREIGN_SCRIPT);
    stop();
}

static void a_preloaded_library_is_found(void **state) {
    NEEDS();
    start("echo >/tmp/x.so; LD_PRELOAD=/tmp/x.so LD_AUDIT=none busybox sleep 2");
    const Finding *f = wait_for(FINDING_PRELOAD, NULL);
    assert_non_null(strstr(f->evidence, "LD_PRELOAD names /tmp/x.so"));
    stop();
}

static void a_new_name_is_found(void **state) {
    NEEDS();
    start("printf '[kworker/0:1]' >/proc/self/comm; busybox sleep 5; :");
    const Finding *f = wait_for(FINDING_DISGUISE, NULL);
    assert_int_equal(f->severity, FINDING_HIGH);
    stop();
}

static void refused_calls_are_told_and_counted(void **state) {
    NEEDS();
    start("busybox mount -t tmpfs x /mnt 2>/dev/null; busybox sleep 5");
    const Finding *f = wait_for(FINDING_REFUSED_CALL, NULL);
    assert_int_equal(f->call_number, SYS_mount);
    assert_int_equal(f->call_errno, EPERM);
    assert_string_equal(f->call_architecture, "x86_64");
    stop();
}

/* The kernel tells of threads; what a finding names, and what is killed for it, are processes. */
static void a_thread_is_its_process(void **state) {
    NEEDS();
    start("thread");
    const Finding *f = wait_for(FINDING_REFUSED_CALL, NULL);
    assert_int_equal(f->host_pid, t.pid);
    assert_int_equal(f->pid, 1);
    uint64_t start_time;
    assert_int_equal(process_start_time(t.pid, &start_time), 0);
    assert_int_equal(f->start_time, start_time);
    stop();
}

/* The kernel would wait 45 s for each of them before the file could be opened for us. */
static void a_lease_holds_nobody_up(void **state) {
    NEEDS();
    start("leases");
    (void) wait_for(FINDING_REFUSED_CALL, NULL);
    stop();
}

/* One a second is one a second, neither none nor many. */
static void a_small_share_is_one_too(void **state) {
    (void) state;
    static Watch w;
    static WatchSubject s;
    for (unsigned rate = 1; rate < 12; rate++) {
        w.config.calls_per_second = rate;
        s = (WatchSubject){ .watch = &w };
        assert_true(calls_refill(&s));
        s.call_tokens = 0;
        s.tokens_usec = watch_now() - 1100000U / rate;
        assert_true(calls_refill(&s));
        s.call_tokens = 0;
        s.tokens_usec = watch_now() - 500000U / rate;
        assert_false(calls_refill(&s));
    }
}

/* It waits for itself; what it makes the daemon do is bounded. */
static void a_loop_is_held_to_its_share(void **state) {
    NEEDS();
    struct rusage before, after;
    start("loop");
    (void) getrusage(RUSAGE_SELF, &before);
    for (uint64_t end = watch_now() + 3500000U; watch_now() < end;)
        assert_true(sd_event_run(t.event, 50000) >= 0);
    (void) getrusage(RUSAGE_SELF, &after);
    const Finding *f = wait_for(FINDING_REFUSED_CALL, NULL);
    uint64_t cpu = usec_of(&after) - usec_of(&before);
    print_message("%llu calls in 3.5 s, %zu findings, %llu dropped, %llu us of CPU\n", (unsigned long long) f->count,
                  t.n_seen, (unsigned long long) watch_subject_dropped(t.subject), (unsigned long long) cpu);
    assert_true(f->count > 10 && f->count <= 4 * WATCH_CALLS_PER_SECOND);
    assert_int_equal(t.n_seen, 1);
    assert_true(cpu < 1000000U);
    stop();
}

static void memory_that_is_executed_is_found(void **state) {
    NEEDS();
    start("memfd");
    const Finding *f = wait_for(FINDING_FOREIGN_PROGRAM, "memfd:rogue");
    assert_int_equal(f->severity, FINDING_HIGH);
    assert_int_equal(strlen(f->program_sha256), FINDING_SHA256_LENGTH);
    assert_int_equal(f->pid, 1);
    stop();
}

/* By its descriptor, when it has no name any more. */
static void a_deleted_program_is_found(void **state) {
    NEEDS();
    start("cp /bin/busybox /tmp/g; exec 3</tmp/g; rm /tmp/g; /proc/self/fd/3 sleep 5");
    const Finding *f = wait_for(FINDING_FOREIGN_PROGRAM, "/tmp/g");
    assert_int_equal(f->severity, FINDING_HIGH);
    stop();
}

/* Whoever executes something on this host is asked whose it is. */
static void a_stranger_costs_little(void **state) {
    NEEDS();
    struct timespec before, after;
    (void) clock_gettime(CLOCK_THREAD_CPUTIME_ID, &before);
    for (unsigned i = 0; i < 1000; i++)
        assert_null(watch_subject_of(t.watch, getpid()));
    (void) clock_gettime(CLOCK_THREAD_CPUTIME_ID, &after);
    print_message("a stranger: %.1f us\n",
                  (double) (after.tv_sec - before.tv_sec) * 1e3 + (double) (after.tv_nsec - before.tv_nsec) / 1e6);
}

/* A program that is run again and again is one finding with a count, and does not cost a hash each time. */
static void a_storm_is_counted(void **state) {
    NEEDS();
    struct rusage before, after;
    start("cp /bin/busybox /tmp/busybox; i=0; while [ $i -lt 500 ]; do /tmp/busybox true; i=$((i+1)); done; busybox "
          "sleep 2");
    (void) getrusage(RUSAGE_SELF, &before);
    run_until_end();
    (void) getrusage(RUSAGE_SELF, &after);
    const Finding *f = find(FINDING_FOREIGN_PROGRAM, "/tmp/busybox");
    assert_non_null(f);
    print_message("%llu runs counted, %llu dropped, %llu us of CPU\n", (unsigned long long) f->count,
                  (unsigned long long) watch_subject_dropped(t.subject),
                  (unsigned long long) (usec_of(&after) - usec_of(&before)));
    /* none is lost unsaid; a look at one's arguments for which there was no time is counted as well */
    assert_true(f->count <= 500 && f->count + watch_subject_dropped(t.subject) >= 500);
    stop();
}

static void an_ended_subject_is_silent(void **state) {
    NEEDS();
    start("cp /bin/busybox /tmp/b; while :; do /tmp/b true; done");
    (void) wait_for(FINDING_FOREIGN_PROGRAM, "/tmp/b");
    t.subject = watch_subject_free(t.subject);
    size_t n = t.n_seen;
    uint64_t count = t.seen[0]->count;
    for (unsigned i = 0; i < 20; i++)
        assert_true(sd_event_run(t.event, 20000) >= 0);
    assert_int_equal(t.n_seen, n);
    assert_int_equal(t.seen[0]->count, count);
    stop();
}

/* Found again, when it has programs of its own where the image's were; as with the image `host` the image is not at hand. */
static void found_again(const char *before, const char *root, uint64_t capabilities, const char *script) {
    t.before = before;
    t.root = root;
    t.capabilities = capabilities;
    start(script);
    t.before = t.root = NULL;
    t.capabilities = 0;
}

static void another_root_is_not_the_images(void **state) {
    NEEDS();
    found_again("mount -t tmpfs x /mnt && busybox mkdir /mnt/bin && busybox cp /bin/busybox /mnt/bin/busybox", "/mnt",
                0, "busybox sleep 3; :");
    const Finding *f = wait_for(FINDING_FOREIGN_PROGRAM, NULL);
    assert_non_null(strstr(f->program, "/bin/busybox"));
    assert_non_null(strstr(f->evidence, "a tmpfs"));
    stop();
}

static void another_usr_is_not_the_images(void **state) {
    NEEDS();
    found_again("mount -t tmpfs x /usr && cp /bin/busybox /usr/busybox", NULL, 0, "/usr/busybox sleep 3; :");
    (void) wait_for(FINDING_FOREIGN_PROGRAM, "/usr/busybox");
    stop();
    found_again("mount -t overlay x -o lowerdir=/bin:/opt /usr", NULL, 1ULL << CAP_SYS_ADMIN,
                "/usr/busybox sleep 3; :");
    (void) wait_for(FINDING_FOREIGN_PROGRAM, "/usr/busybox");
    stop();
}

static void the_same_root_is_the_images(void **state) {
    NEEDS();
    found_again("true", "/", 0, "busybox true; busybox sleep 0; exec busybox true");
    run_until_end();
    show();
    assert_int_equal(t.n_seen, 0);
    stop();
}

static int set_up(void **state) {
    char command[1024];
    Error e = ERROR_INIT;
    t.missing = geteuid() != 0 ? "not root" : access(BUSYBOX, X_OK) < 0 ? "no busybox" : NULL;
    if (t.missing)
        return 0;
    (void) snprintf(t.directory, sizeof(t.directory), "/tmp/kennel-watch-XXXXXX");
    if (!mkdtemp(t.directory))
        return -1;
    (void) snprintf(command, sizeof(command),
                    "cd %s && mkdir -p lower/bin lower/tmp lower/opt lower/proc lower/dev/shm lower/old lower/mnt "
                    "lower/usr layer root && "
                    "mount -t tmpfs l layer && mkdir layer/upper layer/work && cp " BUSYBOX
                    " lower/bin/busybox && cp " BUSYBOX " lower/bin/other && "
                    "for a in sh cp rm chmod mount printf ls true sleep; do ln -s busybox lower/bin/$a; done",
                    t.directory);
    run(command);
    (void) snprintf(command, sizeof(command), "/kennel-watch-%d", (int) getpid());
    if (sd_event_new(&t.event) < 0 || cgroup_hierarchies_open_at(command, &t.hierarchies, &e) < 0 ||
        cgroup_group_create(t.hierarchies, "watchtest", &t.group, &e) < 0) {
        t.missing = "no cgroups";
        return 0;
    }
    WatchConfig config = { .event = t.event,
                           .hierarchies = t.hierarchies,
                           .found = on_found,
                           .forks_per_second = WATCH_FORKS_PER_SECOND,
                           .cpu_seconds = WATCH_CPU_SECONDS,
                           .calls_per_second = WATCH_CALLS_PER_SECOND };
    if (watch_new(&config, &t.watch, &e) < 0)
        return -1;
    t.missing = watch_missing(t.watch, FINDING_FOREIGN_PROGRAM);
    return 0;
}

static int tear_down(void **state) {
    char command[256];
    Error e = ERROR_INIT;
    t.watch = watch_free(t.watch);
    if (t.group) {
        (void) cgroup_group_remove(t.group, 2000000, &e);
        t.group = cgroup_group_free(t.group);
    }
    t.hierarchies = t.hierarchies ? cgroup_hierarchies_close(t.hierarchies) : NULL;
    t.event = sd_event_unref(t.event);
    if (t.directory[0]) {
        (void) snprintf(command, sizeof(command), "umount -l %s/layer; rm -rf --one-file-system %s", t.directory,
                        t.directory);
        (void) !system(command);
    }
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(programs_of_the_image_give_nothing),
        cmocka_unit_test(what_was_dropped_is_found),
        cmocka_unit_test(a_replaced_program_is_found),
        cmocka_unit_test(scripts_are_found_once),
        cmocka_unit_test(a_preloaded_library_is_found),
        cmocka_unit_test(a_new_name_is_found),
        cmocka_unit_test(refused_calls_are_told_and_counted),
        cmocka_unit_test(a_thread_is_its_process),
        cmocka_unit_test(a_lease_holds_nobody_up),
        cmocka_unit_test(a_small_share_is_one_too),
        cmocka_unit_test(a_loop_is_held_to_its_share),
        cmocka_unit_test(an_ended_subject_is_silent),
        cmocka_unit_test(memory_that_is_executed_is_found),
        cmocka_unit_test(a_deleted_program_is_found),
        cmocka_unit_test(a_storm_is_counted),
        cmocka_unit_test(a_stranger_costs_little),
        cmocka_unit_test(another_root_is_not_the_images),
        cmocka_unit_test(another_usr_is_not_the_images),
        cmocka_unit_test(the_same_root_is_the_images),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
