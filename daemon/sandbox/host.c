/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * What is prepared once, so that no start has to do it.
 */

#include "sandbox/apparmor.h"
#include "sandbox/capabilities.h"
#include "sandbox/internal.h"
#include "util/fds.h"
#include "util/paths.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <linux/memfd.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#ifndef MFD_EXEC
#define MFD_EXEC 0x0010U
#endif

/* The reaper's program, put into this one at build time (init-image.S). */
extern const char sandbox_init_image[], sandbox_init_image_end[];

/* A runtime on a fake /proc would read and write what an attacker put there (CVE-2019-16884 and its kin). */
static int open_proc(Error *reterr) {
    struct statfs s;
    _cleanup_fd_ int fd = open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0 || fstatfs(fd, &s) < 0)
        return error_failed(reterr, errno, "start", "/proc cannot be opened: %s", strerror(errno));
    if (s.f_type != PROC_SUPER_MAGIC)
        return error_failed(reterr, ENODEV, "start", "/proc is not a proc file system");
    return TAKE_FD(fd);
}

/*
 * The reaper is executed from a memfd that nobody can write to any more, so that a container has no file of the host's
 * as /proc/1/exe (CVE-2019-5736).
 */
static int make_init(Error *reterr) {
    size_t size = (size_t) (sandbox_init_image_end - sandbox_init_image);
    int created = memfd_create("kennel-init", MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_EXEC);
    if (created < 0 && errno == EINVAL) /* before 6.3 every memfd may be executed */
        created = memfd_create("kennel-init", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    _cleanup_fd_ int fd = created;
    if (fd < 0)
        return error_failed(reterr, errno, "start", "no memfd for the reaper: %s", strerror(errno));
    int r = fd_write_all(fd, sandbox_init_image, size);
    if (r >= 0 && fchmod(fd, 0555) < 0)
        r = -errno;
    if (r >= 0 && fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) < 0)
        r = -errno;
    if (r < 0)
        return error_failed(reterr, -r, "start", "the reaper cannot be put into a memfd: %s", strerror(-r));
    /* Executing needs an fd that is not open for writing. */
    char path[40];
    (void) snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    int reopened = open(path, O_RDONLY | O_CLOEXEC);
    return reopened < 0 ? error_failed(reterr, errno, "start", "the reaper: %s", strerror(errno)) : reopened;
}

/* 0, 1 and 2 have to be something: the child moves what is above them onto them. */
static int fill_stdio(void) {
    for (int fd = 0; fd < 3; fd++)
        if (fcntl(fd, F_GETFD) < 0) {
            int null = open("/dev/null", O_RDWR);
            if (null != fd)
                return -EBADF;
        }
    return 0;
}

static int open_directory(int dir_fd, const char *path, int *ret, Error *reterr) {
    *ret = openat(dir_fd, path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (*ret < 0)
        return error_failed(reterr, errno, "start", "%s cannot be opened: %s", path, strerror(errno));
    return 0;
}

int sandbox_host_new(int data_fd, SandboxHost **ret, Error *reterr) {
    _cleanup_(sandbox_host_freep) SandboxHost *h = calloc(1, sizeof(*h));
    if (!h)
        return error_failed(reterr, ENOMEM, "start", "out of memory");
    *h =
        (SandboxHost){ .proc_fd = -EBADF, .usr_fd = -EBADF, .image_fd = -EBADF, .empty_fd = -EBADF, .init_fd = -EBADF };

    /* Who joins a container is a copy of this process for a moment: nobody may look into it. */
    if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
        return error_failed(reterr, errno, "start", "PR_SET_DUMPABLE: %s", strerror(errno));
    int r = fill_stdio();
    if (r < 0)
        return error_failed(reterr, -r, "start", "standard input, output and error are not all open");
    h->proc_fd = open_proc(reterr);
    if (h->proc_fd < 0)
        return h->proc_fd;
    r = attest_prepare(h, reterr);
    if (r < 0)
        return r;
    h->start_profile = apparmor_start_profile(h->proc_fd);
    h->has_memfd_noexec = faccessat(h->proc_fd, "sys/vm/memfd_noexec", F_OK, 0) == 0;
    r = open_directory(AT_FDCWD, "/usr", &h->usr_fd, reterr);
    if (r < 0)
        return r;
    r = host_image_prepare(data_fd, &h->image_fd, reterr);
    if (r < 0)
        return r;
    h->empty_fd = path_make_directories_at(data_fd, "images/empty", 0755);
    if (h->empty_fd < 0)
        return error_failed(reterr, -h->empty_fd, "start", "images/empty cannot be made: %s", strerror(-h->empty_fd));
    r = layers_probe(h, reterr);
    if (r < 0)
        return r;
    h->init_fd = make_init(reterr);
    if (h->init_fd < 0)
        return h->init_fd;
    *ret = TAKE_PTR(h);
    return 0;
}

bool sandbox_holds_memfds(const SandboxHost *h) {
    return h->has_memfd_noexec;
}

SandboxHost *sandbox_host_free(SandboxHost *h) {
    if (!h)
        return NULL;
    (void) fd_close(h->proc_fd);
    (void) fd_close(h->usr_fd);
    (void) fd_close(h->image_fd);
    (void) fd_close(h->empty_fd);
    (void) fd_close(h->init_fd);
    free(h);
    return NULL;
}
