/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * kennel-init: what `--init` makes pid 1.
 *
 * A program that was not written to be pid 1 does not reap orphans and, without handlers, gets no signals. This one
 * starts the program it is given, hands on every signal that can be handed on, reaps whatever ends, and exits as the
 * program did. It runs inside the container, under all of its controls; it is linked statically and executed from a
 * sealed memfd.
 */

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

static int cannot_run(const char *name) {
    int code = errno == ENOENT ? 127 : 126;
    (void) dprintf(STDERR_FILENO, "kennel-init: %s: %s\n", name,
                   code == 127 ? "there is no such program in the container" : strerror(errno));
    return code;
}

static void start(char **argv, const sigset_t *unblocked) {
    (void) sigprocmask(SIG_SETMASK, unblocked, NULL);
    /* A group of its own, in the foreground if there is a terminal: its keys then signal the program, not us. */
    (void) setpgid(0, 0);
    (void) signal(SIGTTOU, SIG_IGN);
    (void) tcsetpgrp(STDIN_FILENO, getpgrp());
    (void) signal(SIGTTOU, SIG_DFL);
    (void) execvp(argv[0], argv);
    _exit(cannot_run(argv[0]));
}

/* Reaps all that has ended. Returns the program's exit code once it is among them, -1 before. */
static int reap(pid_t program) {
    int code = -1, status;
    for (pid_t pid; (pid = waitpid(-1, &status, WNOHANG)) > 0;)
        if (pid == program)
            code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    return code;
}

int main(int argc, char **argv) {
    sigset_t all, before;
    if (argc < 2)
        return 125;
    (void) prctl(PR_SET_NAME, "kennel-init", 0, 0, 0);
    (void) sigfillset(&all);
    (void) sigprocmask(SIG_BLOCK, &all, &before);

    pid_t program = fork();
    if (program == 0)
        start(argv + 1, &before);
    if (program < 0)
        return cannot_run(argv[1]);

    for (;;) {
        int s = sigwaitinfo(&all, NULL);
        if (s == SIGCHLD) {
            int code = reap(program);
            if (code >= 0)
                return code;
        } else if (s > 0)
            (void) kill(program, s);
    }
}
