/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "watch/internal.h"
struct Watch {
    WatchConfig config;
};
int watch_new(const WatchConfig *config, Watch **ret, Error *reterr) {
    Watch *w = calloc(1, sizeof(Watch));
    if (!w)
        return error_failed(reterr, ENOMEM, "watch", "out of memory");
    w->config = *config;
    *ret = w;
    return 0;
}
Watch *watch_free(Watch *w) {
    free(w);
    return NULL;
}
const char *watch_missing(const Watch *w, FindingKind kind) {
    return "it is not there yet";
}
int watch_subject_new(Watch *w, WatchSubjectSpec *consume_spec, WatchSubject **ret) {
    (void) fd_close(consume_spec->upper_fd);
    (void) fd_close(consume_spec->lower_fd);
    (void) fd_close(consume_spec->calls_fd);
    WatchSubject *s = calloc(1, sizeof(WatchSubject));
    if (!s)
        return -ENOMEM;
    *ret = s;
    return 0;
}
WatchSubject *watch_subject_free(WatchSubject *s) {
    free(s);
    return NULL;
}
int watch_subject_add_calls(WatchSubject *s, int consume_fd) {
    (void) fd_close(consume_fd);
    return 0;
}
void watch_subject_set_cpu_quota(WatchSubject *s, uint64_t quota_per_sec_usec) {}
uint64_t watch_subject_dropped(const WatchSubject *s) {
    return 0;
}
WatchSubject *watch_subject_ref(WatchSubject *s) {
    return s;
}
WatchSubject *watch_subject_unref(WatchSubject *s) {
    return NULL;
}
bool watch_wants(const WatchSubject *s, FindingKind k) {
    return true;
}
void watch_report(WatchSubject *s, Finding *consume_finding) {
    (void) finding_free(consume_finding);
}
WatchSubject *watch_subject_of(Watch *w, pid_t host_pid) {
    return NULL;
}
