/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "watch/internal.h"
#include <stdarg.h>
int evidence_collect(const WatchSubject *s, pid_t host_pid, int pidfd, Finding *f) {
    f->host_pid = host_pid;
    return 0;
}
void evidence_hash(int file_fd, Finding *f) {}
void evidence_set(Finding *f, const char *format, ...) {
    va_list ap;
    va_start(ap, format);
    (void) vsnprintf(f->evidence, sizeof(f->evidence), format, ap);
    va_end(ap);
}
