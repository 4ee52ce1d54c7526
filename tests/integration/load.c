/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Uses a known amount of something, from inside a container, and says on stdout how much it was by its own count: CPU time,
 * memory, disk, processes, network. What Kennel counts is held against that. Linked statically, so that it runs in every
 * root file system. Everything that is used and then kept ("ready") is kept until the process is killed.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MIB (1024UL * 1024UL)

static long long now_usec(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000LL + t.tv_nsec / 1000;
}

static unsigned long long number(const char *text) {
    char *end;
    unsigned long long n = strtoull(text, &end, 0);
    if (!*text || *end) {
        fprintf(stderr, "load: \"%s\" is no number\n", text);
        exit(2);
    }
    return n;
}

static int fail(const char *what) {
    printf("%s %s\n", what, strerrorname_np(errno));
    return 1;
}

static int keep(void) {
    while (pause() < 0) {
    }
    return 1;
}

/* --- CPU ---------------------------------------------------------------------------------------------------------- */

static long long usec_of(struct timeval t) {
    return t.tv_sec * 1000000LL + t.tv_usec;
}

/* cpu USEC: burns so much CPU time, by getrusage(2); prints user and system time and stays. */
static int load_cpu(char **arguments) {
    long long wanted = (long long) number(arguments[0]);
    struct rusage r;
    do {
        for (volatile unsigned i = 0; i < 100000; i++) {
        }
        getrusage(RUSAGE_SELF, &r);
    } while (usec_of(r.ru_utime) + usec_of(r.ru_stime) < wanted);
    printf("burnt %lld %lld\n", usec_of(r.ru_utime), usec_of(r.ru_stime));
    return keep();
}

static int load_spin(char **arguments) {
    (void) arguments;
    puts("ready");
    for (volatile bool forever = true; forever;) {
    }
    return 0;
}

/* --- memory ------------------------------------------------------------------------------------------------------- */

static int touch(unsigned long mib, int flags) {
    char *memory = mmap(NULL, mib * MIB, PROT_READ | PROT_WRITE, flags | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
        return fail("mmap");
    for (unsigned long at = 0; at < mib * MIB; at += 4096)
        memory[at] = 1;
    puts("ready");
    return keep();
}

static int load_anon(char **arguments) {
    return touch(number(arguments[0]), MAP_PRIVATE);
}

static int load_shmem(char **arguments) {
    return touch(number(arguments[0]), MAP_SHARED);
}

/* --- disk --------------------------------------------------------------------------------------------------------- */

static int transfer(char **arguments, int flags) {
    int fd = open(arguments[0], flags | O_DIRECT, 0600);
    unsigned long long bytes = number(arguments[1]), block = number(arguments[2]);
    char *buffer = aligned_alloc(4096, block);
    if (fd < 0 || !buffer)
        return fail("open");
    memset(buffer, 0x5a, block);
    long long begin = now_usec();
    for (unsigned long long done = 0; done < bytes; done += block) {
        ssize_t n = flags & O_WRONLY ? write(fd, buffer, block) : read(fd, buffer, block);
        if (n != (ssize_t) block)
            return fail("transfer");
    }
    printf("usec %lld\n", now_usec() - begin);
    return 0;
}

/* write PATH BYTES BLOCK, read PATH BYTES BLOCK: with O_DIRECT; prints the µs that it took. */
static int load_write(char **arguments) {
    return transfer(arguments, O_WRONLY | O_CREAT);
}

static int load_read(char **arguments) {
    return transfer(arguments, O_RDONLY);
}

/* fill PATH MAX: writes a file until that fails, or MAX bytes are in it, through the page cache and down to the disk. */
static int load_fill(char **arguments) {
    int fd = open(arguments[0], O_WRONLY | O_CREAT | O_TRUNC, 0600);
    unsigned long long max = number(arguments[1]), done = 0;
    static char buffer[65536];
    if (fd < 0)
        return fail("open");
    memset(buffer, 0xa5, sizeof(buffer));
    for (size_t size = sizeof(buffer); size >= 512 && done < max;) {
        ssize_t n = write(fd, buffer, size);
        if (n > 0)
            done += (unsigned long long) n;
        else
            size /= 2; /* the last bit of room */
    }
    int error = done < max ? errno : 0;
    if (fsync(fd) < 0 && !error)
        error = errno;
    struct stat st;
    if (fstat(fd, &st) < 0)
        return fail("fstat");
    printf("filled %llu %lld %s\n", done, (long long) st.st_blocks * 512, error ? strerrorname_np(error) : "ok");
    return 0;
}

/* files DIRECTORY MAX: makes empty files until that fails. */
static int load_files(char **arguments) {
    unsigned long long max = number(arguments[1]), n = 0;
    char path[4096];
    for (; n < max; n++) {
        snprintf(path, sizeof(path), "%s/file-%llu", arguments[0], n);
        int fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0600);
        if (fd < 0)
            break;
        close(fd);
    }
    printf("files %llu %s\n", n, n < max ? strerrorname_np(errno) : "ok");
    return 0;
}

/* --- processes ---------------------------------------------------------------------------------------------------- */

/* forks N: tries N times; the children stay. SIGUSR1 sends them away, and the parent says so. */
static int load_forks(char **arguments) {
    unsigned long long n = number(arguments[0]), made = 0, refused = 0;
    for (unsigned long long i = 0; i < n; i++) {
        pid_t pid = fork();
        if (pid == 0)
            return keep();
        made += pid > 0;
        refused += pid < 0 && errno == EAGAIN;
    }
    printf("forks %llu %llu\n", made, refused);
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    sigprocmask(SIG_BLOCK, &set, NULL);
    puts("ready");
    int sig;
    sigwait(&set, &sig);
    signal(SIGTERM, SIG_IGN);
    kill(0, SIGTERM);
    while (wait(NULL) > 0) {
    }
    puts("alone");
    return keep();
}

static int load_bomb(char **arguments) {
    (void) arguments;
    puts("ready");
    while (fork() >= -1) {
    }
    return 0;
}

/* --- network ------------------------------------------------------------------------------------------------------ */

static struct sockaddr_in address(const char *host, const char *port) {
    struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons((uint16_t) number(port)) };
    if (inet_pton(AF_INET, host, &a.sin_addr) != 1) {
        fprintf(stderr, "load: \"%s\" is no address\n", host);
        exit(2);
    }
    return a;
}

static int connect_within(int fd, const struct sockaddr *a, socklen_t size, int milliseconds) {
    if (fd < 0)
        return -1;
    int flags = fcntl(fd, F_GETFL);
    (void) fcntl(fd, F_SETFL, flags | O_NONBLOCK);
    if (connect(fd, a, size) < 0) {
        if (errno != EINPROGRESS)
            return -1;
        struct pollfd p = { .fd = fd, .events = POLLOUT };
        if (poll(&p, 1, milliseconds) == 0)
            return errno = ETIMEDOUT, -1;
        socklen_t length = sizeof(errno);
        int error = 0;
        (void) getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length);
        if (error)
            return errno = error, -1;
    }
    (void) fcntl(fd, F_SETFL, flags);
    return 0;
}

/* Tries all at once; a line each: "HOST:PORT ok", or the error's name. */
static int load_connect(char **arguments) {
    int milliseconds = (int) number(arguments[0]), n = 0;
    for (char **target = arguments + 1; *target; target++, n++) {
        pid_t pid = fork();
        if (pid != 0)
            continue;
        char host[64];
        snprintf(host, sizeof(host), "%s", *target);
        char *colon = strrchr(host, ':');
        *colon = 0;
        struct sockaddr_in a = address(host, colon + 1);
        int r = connect_within(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), (struct sockaddr *) &a, sizeof(a),
                               milliseconds);
        printf("%s %s\n", *target, r < 0 ? strerrorname_np(errno) : "ok");
        exit(0);
    }
    while (n-- > 0)
        wait(NULL);
    return 0;
}

/* send HOST PORT BYTES: over TCP; prints what the other side says at the end. */
static int load_send(char **arguments) {
    struct sockaddr_in a = address(arguments[0], arguments[1]);
    unsigned long long left = number(arguments[2]);
    static char buffer[65536];
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connect_within(fd, (struct sockaddr *) &a, sizeof(a), 5000) < 0)
        return fail("connect");
    while (left > 0) {
        ssize_t n = send(fd, buffer, left < sizeof(buffer) ? left : sizeof(buffer), MSG_NOSIGNAL);
        if (n <= 0)
            return fail("send");
        left -= (unsigned long long) n;
    }
    shutdown(fd, SHUT_WR);
    ssize_t n = read(fd, buffer, sizeof(buffer) - 1);
    if (n <= 0)
        return fail("read");
    buffer[n] = 0;
    fputs(buffer, stdout);
    return 0;
}

/* datagrams HOST PORT N SIZE */
static int load_datagrams(char **arguments) {
    struct sockaddr_in a = address(arguments[0], arguments[1]);
    unsigned long long n = number(arguments[2]), size = number(arguments[3]), sent = 0;
    static char buffer[65536];
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    memcpy(buffer, "datagram", 8);
    for (unsigned long long i = 0; i < n; i++)
        if (sendto(fd, buffer, size, 0, (struct sockaddr *) &a, sizeof(a)) < 0)
            return fail("sendto");
        else
            sent++;
    printf("sent %llu\n", sent);
    return 0;
}

static void serve(int fd) {
    static char buffer[65536];
    unsigned long long bytes = 0;
    ssize_t n;
    while ((n = read(fd, buffer, sizeof(buffer))) > 0)
        bytes += (unsigned long long) n;
    dprintf(fd, "received %llu\n", bytes);
    _exit(0);
}

static int server(int family, int type, const char *port) {
    uint16_t p = htons((uint16_t) number(port));
    struct sockaddr_in four = { .sin_family = AF_INET, .sin_port = p };
    struct sockaddr_in6 six = { .sin6_family = AF_INET6, .sin6_port = p };
    int fd = socket(family, type | SOCK_CLOEXEC, 0), yes = 1;
    if (fd < 0)
        return -1;
    (void) setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
    if (family == AF_INET6)
        (void) setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &yes, sizeof(yes));
    int r = family == AF_INET6 ? bind(fd, (struct sockaddr *) &six, sizeof(six))
                               : bind(fd, (struct sockaddr *) &four, sizeof(four));
    return r < 0 || (type == SOCK_STREAM && listen(fd, 64) < 0) ? -1 : fd;
}

/* listen PORT: TCP reads to the end and says how much it was; UDP sends each datagram back. IPv4, and IPv6 if there is. */
static int load_listen(char **arguments) {
    struct pollfd fds[] = {
        { .fd = server(AF_INET, SOCK_STREAM, arguments[0]), .events = POLLIN },
        { .fd = server(AF_INET, SOCK_DGRAM, arguments[0]), .events = POLLIN },
        { .fd = server(AF_INET6, SOCK_STREAM, arguments[0]), .events = POLLIN },
        { .fd = server(AF_INET6, SOCK_DGRAM, arguments[0]), .events = POLLIN },
    };
    static char buffer[65536];
    if (fds[0].fd < 0 || fds[1].fd < 0)
        return fail("listen");
    signal(SIGCHLD, SIG_IGN);
    puts("ready");
    for (;;) {
        (void) poll(fds, 4, -1);
        for (size_t i = 0; i < 4; i++) {
            if (!(fds[i].revents & POLLIN))
                continue;
            struct sockaddr_storage from;
            socklen_t size = sizeof(from);
            if (i % 2 == 0) {
                int fd = accept4(fds[i].fd, NULL, NULL, SOCK_CLOEXEC);
                if (fork() == 0)
                    serve(fd);
                close(fd);
            } else {
                ssize_t n = recvfrom(fds[i].fd, buffer, sizeof(buffer), 0, (struct sockaddr *) &from, &size);
                if (n >= 0)
                    (void) !sendto(fds[i].fd, buffer, (size_t) n, 0, (struct sockaddr *) &from, size);
            }
        }
    }
}

/* frames INTERFACE HEX...: sends raw frames, a line for each: "ok" or the error's name. */
static int load_frames(char **arguments) {
    struct sockaddr_ll to = { .sll_family = AF_PACKET, .sll_ifindex = (int) if_nametoindex(arguments[0]) };
    int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return fail("socket");
    for (char **hex = arguments + 1; *hex; hex++) {
        unsigned char frame[2048];
        size_t n = strlen(*hex) / 2;
        for (size_t i = 0; i < n && i < sizeof(frame); i++)
            sscanf(*hex + 2 * i, "%2hhx", &frame[i]);
        ssize_t r = sendto(fd, frame, n, 0, (struct sockaddr *) &to, sizeof(to));
        puts(r < 0 ? strerrorname_np(errno) : "ok");
    }
    return 0;
}

int main(int argc, char **argv) {
    static const struct {
        const char *name;
        int arguments; /* at least */
        int (*run)(char **arguments);
    } actions[] = {
        { "cpu", 1, load_cpu },         { "spin", 0, load_spin },     { "anon", 1, load_anon },
        { "shmem", 1, load_shmem },     { "write", 3, load_write },   { "read", 3, load_read },
        { "fill", 2, load_fill },       { "files", 2, load_files },   { "forks", 1, load_forks },
        { "bomb", 0, load_bomb },       { "send", 3, load_send },     { "datagrams", 4, load_datagrams },
        { "connect", 2, load_connect }, { "listen", 1, load_listen }, { "frames", 2, load_frames },
    };
    setvbuf(stdout, NULL, _IOLBF, 0);
    for (size_t i = 0; argc > 1 && i < sizeof(actions) / sizeof(*actions); i++)
        if (strcmp(argv[1], actions[i].name) == 0 && argc - 2 >= actions[i].arguments)
            return actions[i].run(argv + 2);
    fprintf(stderr, "load ACTION ARGUMENT...: see load.c\n");
    return 2;
}
