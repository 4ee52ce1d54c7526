/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * wx VERB FILE: ways to a program that have no name of their own. What FILE is (a copy of busybox) says "ran" if it runs. For
 * tests alone: test_image_only.py, which has the same in Python for the image `host`.
 */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 8U
#endif

static char *const arguments[] = { (char *) "busybox", (char *) "echo", (char *) "ran", NULL };
static char *const environment[] = { NULL };

static int refused(const char *what) {
    (void) printf("%s: %s\n", what, strerror(errno));
    return 1;
}

static int run_by_path(int fd) {
    char path[40];
    (void) snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    (void) execve(path, arguments, environment);
    return refused(path);
}

/* -1: refused, and said so. */
static int copy_to_memfd(int file, unsigned flags) {
    struct stat st;
    off_t offset = 0;
    int fd = (int) syscall(SYS_memfd_create, "busybox", flags);
    if (fd < 0 && errno == EINVAL && flags == MFD_NOEXEC_SEAL) /* before 6.3 */
        fd = (int) syscall(SYS_memfd_create, "busybox", 0);
    if (fd < 0)
        return -refused("memfd_create");
    if (fstat(file, &st) < 0 || sendfile(fd, file, &offset, (size_t) st.st_size) != st.st_size)
        return -refused("copy");
    return fd;
}

static int run_memfd(int file, unsigned flags) {
    int fd = copy_to_memfd(file, flags);
    if (fd < 0)
        return 1;
    (void) fchmod(fd, 0755);
    return run_by_path(fd);
}

static int map(int fd, int prot) {
    char *at = mmap(NULL, 4096, prot, MAP_PRIVATE, fd, 0);
    if (at == MAP_FAILED)
        return refused("mmap");
    if (!(prot & PROT_EXEC) && mprotect(at, 4096, PROT_READ | PROT_EXEC) < 0)
        return refused("mprotect");
    (void) puts("ran");
    return 0;
}

/* What is not to be executed can be mapped to be, if only it can be made. */
static int map_memfd(int file, int prot) {
    int fd = copy_to_memfd(file, MFD_NOEXEC_SEAL);
    return fd < 0 ? 1 : map(fd, prot);
}

int main(int argc, char *argv[]) {
    if (argc != 3)
        return 2;
    int fd = open(argv[2], O_RDONLY);
    if (fd < 0)
        return refused(argv[2]);
    if (strcmp(argv[1], "memfd") == 0)
        return run_memfd(fd, 0);
    if (strcmp(argv[1], "memfd-exec") == 0)
        return run_memfd(fd, 0x10 /* MFD_EXEC */);
    if (strcmp(argv[1], "procfd") == 0)
        return run_by_path(fd);
    if (strcmp(argv[1], "deleted") == 0) {
        if (unlink(argv[2]) < 0)
            return refused("unlink");
        (void) syscall(SYS_execveat, fd, "", arguments, environment, AT_EMPTY_PATH);
        return refused("execveat");
    }
    if (strcmp(argv[1], "mmap") == 0)
        return map(fd, PROT_READ | PROT_EXEC);
    if (strcmp(argv[1], "mprotect") == 0)
        return map(fd, PROT_READ);
    if (strcmp(argv[1], "memfd-mmap") == 0)
        return map_memfd(fd, PROT_READ | PROT_EXEC);
    if (strcmp(argv[1], "memfd-mprotect") == 0)
        return map_memfd(fd, PROT_READ);
    return 2;
}
