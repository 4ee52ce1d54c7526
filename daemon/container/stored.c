/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * What the service manager keeps of a container while no daemon runs:
 *
 *     ID-terminal          the pseudo terminal's master: without one the terminal hangs up
 *     ID-stdout, -stderr   read ends of the FIFOs: what was written last is in no file yet, and goes with the last reader
 *     ID-calls             where its refused system calls are told: without a listener they end with ENOSYS
 *     ID-process           the first process: from Linux 6.15 on it tells the exit of what another has reaped
 *
 * Losing them is no failure of the container: it is as it is where no manager keeps anything.
 */

#include "container/internal.h"
#include "util/log.h"

#include <string.h>
#include <sys/ioctl.h>

static const char *const output_names[] = { "stdout", "stderr" };

static void put(const Container *c, const char *what, int fd) {
    static atomic_flag told = ATOMIC_FLAG_INIT;
    int r = fd_store_put(c->registry->environment.fd_store, c->id, what, fd);
    if (r < 0 && r != -ENOTCONN && !atomic_flag_test_and_set(&told))
        log_warning("The service manager keeps nothing of containers while no daemon runs: %s", strerror(-r));
}

void container_store_output(const Container *c, int state_fd) {
    if (!c->registry->environment.fd_store)
        return;
    for (unsigned i = 0; i < ELEMENTSOF(output_names); i++) {
        _cleanup_fd_ int fd = container_log_open_unread(state_fd, i);
        if (fd >= 0)
            put(c, output_names[i], fd);
    }
}

void container_store_process(const Container *c, const SandboxProcess *process) {
    if (exits_are_kept())
        put(c, "process", process->pidfd);
    if (process->terminal_fd >= 0)
        put(c, "terminal", process->terminal_fd);
}

void container_store_calls(const Container *c, int calls_fd) {
    put(c, "calls", calls_fd);
}

void container_stored_remove_calls(const Container *c) {
    fd_store_remove(c->registry->environment.fd_store, c->id, "calls");
}

int container_stored_take(const Container *c, const char *what) {
    _cleanup_fd_ int fd = fd_store_take(c->registry->environment.fd_store, c->id, what);
    int number;
    if (fd >= 0 && strcmp(what, "terminal") == 0 && ioctl(fd, TIOCGPTN, &number) < 0) {
        log_warning("What was kept as the terminal of container %s is none", c->id);
        return -ENOTTY;
    }
    return TAKE_FD(fd);
}

bool container_stored_output(const Container *c) {
    bool found = false;
    for (unsigned i = 0; i < ELEMENTSOF(output_names); i++) {
        _cleanup_fd_ int fd = container_stored_take(c, output_names[i]);
        found = found || fd >= 0;
    }
    return found;
}

void container_stored_remove(const Container *c) {
    const FdStore *s = c->registry->environment.fd_store;
    fd_store_remove(s, c->id, "process");
    if (c->spec->sandbox.program.tell_calls)
        fd_store_remove(s, c->id, "calls");
    if (c->spec->sandbox.program.terminal)
        fd_store_remove(s, c->id, "terminal");
    else if (c->spec->logged)
        for (unsigned i = 0; i < ELEMENTSOF(output_names); i++)
            fd_store_remove(s, c->id, output_names[i]);
}

static bool is_wanted(void *userdata, const char *owner) {
    const ContainerRegistry *r = userdata;
    for (const Container *c = r->first; c; c = c->next)
        if (strcmp(c->id, owner) == 0)
            return c->state != CONTAINER_EXITED;
    return false;
}

void container_stored_forget(ContainerRegistry *r) {
    fd_store_forget(r->environment.fd_store, is_wanted, r);
}
