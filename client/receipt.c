/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Receipts as sentences; see receipt.h. */

#include "client/receipt.h"

#include "client/render-json.h"

#include <string.h>

bool receipt_is_dying(json_object *receipt) {
    const char *outcome = json_field_string(receipt, "outcome");
    return outcome && strcmp(outcome, "dying") == 0;
}

/* "process 7 (host 4321)", "process 4321 of the host", "the container" */
static void name_target(json_object *receipt, char *text, size_t size) {
    int64_t pid, host_pid;
    bool has_pid = json_field_int(receipt, "pid", &pid), has_host = json_field_int(receipt, "hostPid", &host_pid);

    if (has_pid && has_host)
        (void) snprintf(text, size, "process %lld (host %lld)", (long long) pid, (long long) host_pid);
    else if (has_pid || has_host)
        (void) snprintf(text, size, "process %lld%s", (long long) (has_pid ? pid : host_pid),
                        has_pid ? "" : " of the host");
    else
        (void) snprintf(text, size, "the container");
}

static char *describe_end(json_object *receipt, const char *target, bool whole) {
    int64_t usec = 0, n = 0;
    char *text = NULL, count[64] = "";
    int r;

    (void) json_field_int(receipt, "durationUsec", &usec);
    (void) json_field_int(receipt, "processes", &n);
    long long ms = usec / 1000, tenths = usec / 100 % 10;
    if (whole)
        r = asprintf(&text, "killed %s: %lld process%s in %lld.%lld ms", target, (long long) n, n == 1 ? "" : "es", ms,
                     tenths);
    else {
        if (n > 1)
            (void) snprintf(count, sizeof(count), " and %lld descendant%s", (long long) n - 1, n == 2 ? "" : "s");
        r = asprintf(&text, "killed %s%s: dead after %lld.%lld ms", target, count, ms, tenths);
    }
    return r < 0 ? NULL : text;
}

char *receipt_describe(json_object *receipt) {
    const char *outcome = json_field_string(receipt, "outcome") ?: "?";
    const char *channel = json_field_string(receipt, "waitChannel");
    char target[96], *text = NULL;
    int64_t ignored;
    bool whole = !json_field_int(receipt, "pid", &ignored) && !json_field_int(receipt, "hostPid", &ignored);
    int r;

    name_target(receipt, target, sizeof(target));
    if (strcmp(outcome, "dead") == 0)
        return describe_end(receipt, target, whole);
    if (strcmp(outcome, "dying") == 0)
        r = asprintf(&text, "%s: dying in D state in %s", target, channel ?: "the kernel");
    else if (strcmp(outcome, "gone") == 0)
        r = asprintf(&text, "%s: had ended before", target);
    else if (strcmp(outcome, "spared") == 0)
        r = asprintf(&text, "%s: spared, it is the container's first process; kill the container to end it", target);
    else
        r = asprintf(&text, "%s: %s", target, outcome);
    return r < 0 ? NULL : text;
}
