/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Harmless stand-ins for what an intruder does in a container, and for the service that he came in by. Nothing here does
 * harm anywhere: programs that are started sleep, calls have arguments that do nothing, connections go to the test.
 * Linked statically, so that it runs in every root file system.
 *
 *   serve SOCKET                     a service that starts what it is told: see serve()
 *   memfd NAME FILE ARGUMENT...      executes a copy of FILE from a memfd
 *   unnamed FILE LINK ARGUMENT...    executes FILE, which by then has lost its name and has LINK instead
 *   map FILE                         maps FILE to be executed
 *   calls                            system calls that a profile refuses; then sleeps
 *   loop-refused SECONDS             the same refused call again and again; prints how many a second
 *   loop-getpid SECONDS              an allowed one
 *   loop-exec SECONDS PROGRAM        starts PROGRAM again and again
 *   agent PORT NAME                  twice forked, connected to PORT of loopback, renamed, its program deleted; then sleeps
 *   bomb                             forks as fast as it can, and so does everything it forks
 *   rabbit                           the same, and each parent ends at once
 *   vanish                           deletes its program and ends
 *   races SOCKET                     victims and innocent processes that get their numbers: see races()
 *
 * On the host, not in a container:
 *   take PID CGROUP INNER OUTER      a process in the pid namespace of PID and in CGROUP, with these two numbers; sleeps
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/bpf.h>
#include <linux/sched.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define SEPARATOR     '\x1f'
#define WORDS_MAX     64
#define CANARIES      4
#define REQUEST_MAX   4096
#define RESERVED_PIDS 300 /* the kernel's */

static _Noreturn void keep(void) {
    for (;;)
        pause();
}

static int fail(const char *what) {
    fprintf(stderr, "rogue: %s: %s\n", what, strerror(errno));
    return 1;
}

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double) t.tv_sec + (double) t.tv_nsec / 1e9;
}

static int listen_at(const char *path) {
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *) &address, sizeof(address)) < 0 || chmod(path, 0666) < 0 ||
        listen(fd, 16) < 0)
        return -1;
    return fd;
}

/* --- the service -------------------------------------------------------------------------------------------------- */

static void serve_one(int fd) {
    char request[REQUEST_MAX + 1], *words[WORDS_MAX + 1] = {};
    ssize_t n = recv(fd, request, REQUEST_MAX, 0);
    if (n <= 0)
        return;
    request[n] = 0;
    size_t count = 0;
    for (char *at = request; at && count < WORDS_MAX; count++) {
        words[count] = at;
        at = strchr(at, SEPARATOR);
        if (at)
            *at++ = 0;
    }
    pid_t pid = getpid();
    if (strcmp(words[0], "start") == 0 && count >= 3) {
        pid = fork();
        if (pid == 0) {
            signal(SIGCHLD, SIG_DFL);
            execv(words[1], words + 2);
            _exit(127);
        }
    }
    dprintf(fd, "%d", pid);
}

/* One request a connection: "ping", or "start", a path and the arguments from argv[0] on. The answer is a pid. */
static int serve(char **a) {
    int listener = listen_at(a[0]);
    if (listener < 0)
        return fail("listen");
    signal(SIGCHLD, SIG_IGN); /* nobody's children stay zombies */
    for (;;) {
        int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
        if (fd < 0)
            continue;
        serve_one(fd);
        close(fd);
    }
}

/* --- what he does ------------------------------------------------------------------------------------------------- */

static int run_memfd(char **a) {
    int in = open(a[1], O_RDONLY | O_CLOEXEC), out = memfd_create(a[0], MFD_CLOEXEC);
    struct stat st;
    if (in < 0 || out < 0 || fstat(in, &st) < 0)
        return fail("memfd");
    for (off_t at = 0; at < st.st_size;)
        if (sendfile(out, in, &at, (size_t) (st.st_size - at)) <= 0)
            return fail("copy");
    char *none[] = { NULL };
    syscall(SYS_execveat, out, "", a + 2, none, AT_EMPTY_PATH);
    return fail("execveat");
}

static int run_unnamed(char **a) {
    int fd = open(a[0], O_RDONLY | O_CLOEXEC);
    if (fd < 0 || link(a[0], a[1]) < 0 || unlink(a[0]) < 0)
        return fail("unnamed");
    char *none[] = { NULL };
    syscall(SYS_execveat, fd, "", a + 2, none, AT_EMPTY_PATH);
    return fail("execveat");
}

static int map(char **a) {
    int fd = open(a[0], O_RDONLY | O_CLOEXEC);
    void *at = fd < 0 ? MAP_FAILED : mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, 0);
    puts(at == MAP_FAILED ? strerrorname_np(errno) : "ok");
    return 0;
}

static void told(const char *name, long result) {
    printf("%s %s\n", name, result < 0 ? strerrorname_np(errno) : "ok");
}

/* tests/containment/test_drill.py has the same list. */
static int make_calls(void) {
    union bpf_attr attr = {};
    printf("pid %d\n", getpid());
    told("mount", syscall(SYS_mount, NULL, NULL, NULL, 0UL, NULL));
    told("init_module", syscall(SYS_init_module, NULL, 0UL, ""));
    told("bpf", syscall(SYS_bpf, -1, &attr, 0));
    told("unshare", syscall(SYS_unshare, CLONE_NEWUSER));
    told("kexec_load", syscall(SYS_kexec_load, 0UL, 0UL, NULL, 0UL));
    fflush(stdout);
    keep();
}

static int loop(char **a, bool refused) {
    double end = now() + atof(a[0]), begin = now();
    unsigned long n = 0;
    for (; now() < end; n += 16)
        for (int i = 0; i < 16; i++)
            if (refused)
                syscall(SYS_init_module, NULL, 0UL, "");
            else
                syscall(SYS_getppid);
    printf("%.1f\n", (double) n / (now() - begin));
    return 0;
}

static int loop_exec(char **a) {
    double end = now() + atof(a[0]), begin = now();
    unsigned long n = 0;
    for (; now() < end; n++) {
        pid_t pid = vfork();
        if (pid == 0) {
            execl(a[1], "busybox", "true", NULL);
            _exit(127);
        }
        int status;
        if (pid < 0 || waitpid(pid, &status, 0) < 0 || status != 0)
            return fail("exec");
    }
    printf("%.1f\n", (double) n / (now() - begin));
    return 0;
}

static int agent(char **a, char **argv) {
    char own[PATH_MAX] = {};
    if (readlink("/proc/self/exe", own, sizeof(own) - 1) < 0)
        return fail("readlink");
    if (fork() != 0)
        return 0;
    setsid();
    if (fork() != 0)
        return 0;
    struct sockaddr_in address = { .sin_family = AF_INET,
                                   .sin_port = htons((uint16_t) atoi(a[0])),
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *) &address, sizeof(address)) < 0)
        return fail("connect");
    char name[32];
    snprintf(name, sizeof(name), "%s", a[1]);
    dprintf(fd, "%d\n", getpid());
    size_t room = (size_t) (a[1] + strlen(a[1]) - argv[0]);
    memset(argv[0], 0, room);
    snprintf(argv[0], room, "[%s]", name);
    prctl(PR_SET_NAME, name);
    unlink(own);
    keep();
}

static int vanish(void) {
    char own[PATH_MAX] = {};
    if (readlink("/proc/self/exe", own, sizeof(own) - 1) < 0 || unlink(own) < 0)
        return fail("unlink");
    return 0;
}

/* Children of a process that is killed while it forks are the kernel's to find: nothing here waits. */
static int bomb(bool parents_end) {
    signal(SIGCHLD, SIG_IGN);
    for (;;)
        if (fork() > 0 && parents_end)
            _exit(0);
}

/* --- races -------------------------------------------------------------------------------------------------------- */

static pid_t canaries[CANARIES]; /* 0: none */
static unsigned innocent_killed, taken;

static pid_t sleeper(void) {
    pid_t pid = fork();
    if (pid == 0)
        keep();
    return pid;
}

/* Ends it by SIGTERM: nobody else sends that one. */
static void canary_release(pid_t pid) {
    int status;
    if (pid <= 0)
        return;
    kill(pid, SIGTERM);
    if (waitpid(pid, &status, 0) != pid || !WIFSIGNALED(status) || WTERMSIG(status) != SIGTERM)
        innocent_killed++;
}

/* An innocent process gets the number that was free a moment ago, as soon as the kernel gives it out again. */
static void take_over(pid_t number) {
    static unsigned next;
    pid_t *slot = canaries + next++ % CANARIES;
    canary_release(*slot);
    *slot = 0;
    for (int tries = 0; tries < 1000; tries++) {
        pid_t pid = sleeper();
        if (pid == number) {
            *slot = pid;
            taken++;
            return;
        }
        canary_release(pid); /* it lived for a moment, and was nobody's victim either */
    }
}

/*
 * On one connection: 'v' forks a victim and answers with its pid. When that has been killed its number goes to an innocent
 * process at once, without being asked, and then the answer is by which signal the victim has ended. 'q' answers how many
 * innocent processes were killed, and how many had a victim's number. 'f' uses up the numbers below 300, which the kernel
 * gives out only once, and answers with the first one above.
 */
static int races(char **a) {
    int listener = listen_at(a[0]);
    if (listener < 0)
        return fail("listen");
    int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    char command;
    while (fd >= 0 && recv(fd, &command, 1, 0) == 1) {
        if (command == 'q') {
            for (size_t i = 0; i < CANARIES; canaries[i++] = 0)
                canary_release(canaries[i]);
            dprintf(fd, "%u %u\n", innocent_killed, taken);
            continue;
        }
        if (command == 'f') {
            pid_t pid;
            do
                canary_release(pid = sleeper());
            while (pid < RESERVED_PIDS);
            dprintf(fd, "%d\n", pid);
            continue;
        }
        pid_t victim = sleeper();
        dprintf(fd, "%d\n", victim);
        int status = 0;
        if (waitpid(victim, &status, 0) != victim)
            return fail("waitpid");
        take_over(victim);
        dprintf(fd, "%d\n", WIFSIGNALED(status) ? WTERMSIG(status) : -1);
    }
    return 0;
}

static int take(char **a) {
    char path[64];
    snprintf(path, sizeof(path), "/proc/%s/ns/pid", a[0]);
    int ns = open(path, O_RDONLY | O_CLOEXEC), cgroup = open(a[1], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (ns < 0 || cgroup < 0 || setns(ns, CLONE_NEWPID) < 0)
        return fail("setns");
    pid_t numbers[2] = { atoi(a[2]), atoi(a[3]) };
    struct clone_args args = { .flags = CLONE_INTO_CGROUP,
                               .exit_signal = SIGCHLD,
                               .set_tid = (uint64_t) (uintptr_t) numbers,
                               .set_tid_size = 2,
                               .cgroup = (uint64_t) cgroup };
    long pid = syscall(SYS_clone3, &args, sizeof(args));
    if (pid < 0)
        return fail("clone3");
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGTERM); /* not SIGKILL: that is what is looked for */
        keep();
    }
    printf("%ld\n", pid);
    fflush(stdout);
    int status;
    waitpid((pid_t) pid, &status, 0);
    printf("ended by %d\n", WIFSIGNALED(status) ? WTERMSIG(status) : -1);
    return 0;
}

int main(int argc, char **argv) {
    char **a = argv + 2;
    const char *verb = argc > 1 ? argv[1] : "";
    int n = argc - 2;
    if (strcmp(verb, "serve") == 0 && n == 1)
        return serve(a);
    if (strcmp(verb, "memfd") == 0 && n >= 3)
        return run_memfd(a);
    if (strcmp(verb, "unnamed") == 0 && n >= 3)
        return run_unnamed(a);
    if (strcmp(verb, "map") == 0 && n == 1)
        return map(a);
    if (strcmp(verb, "calls") == 0)
        return make_calls();
    if (strcmp(verb, "loop-refused") == 0 && n == 1)
        return loop(a, true);
    if (strcmp(verb, "loop-getpid") == 0 && n == 1)
        return loop(a, false);
    if (strcmp(verb, "loop-exec") == 0 && n == 2)
        return loop_exec(a);
    if (strcmp(verb, "agent") == 0 && n == 2)
        return agent(a, argv);
    if (strcmp(verb, "bomb") == 0)
        return bomb(false);
    if (strcmp(verb, "rabbit") == 0)
        return bomb(true);
    if (strcmp(verb, "vanish") == 0)
        return vanish();
    if (strcmp(verb, "races") == 0 && n == 1)
        return races(a);
    if (strcmp(verb, "take") == 0 && n == 4)
        return take(a);
    fprintf(stderr, "rogue: no such thing to do: %s\n", verb);
    return 2;
}
