/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Names, and whose they are taken to be; and what of an interpreter's arguments is a script. */

#include "watch/internal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

/* What is in the container's directories. */
static bool exists(void *userdata, const char *name) {
    static const char *const programs[] = { "sshd", "bash", "sh",       "python3", "nginx",
                                            "cron", "ls",   "postgres", "node",    "java" };
    for (size_t i = 0; i < ELEMENTSOF(programs); i++)
        if (strcmp(programs[i], name) == 0)
            return true;
    return false;
}

static const struct {
    const char *name, *exe, *argv0;
    DisguiseVerdict verdict;
} names[] = {
    { "kworker/0:1", "/tmp/x", "x", DISGUISE_KERNEL },
    { "[kworker/u8:2]", "/usr/bin/perl", "perl", DISGUISE_KERNEL },
    { "kthreadd", "/tmp/x", "x", DISGUISE_KERNEL },
    { "ksoftirqd/0", "/bin/busybox", "sh", DISGUISE_KERNEL },
    { "rcu_sched", "/tmp/x", "x", DISGUISE_KERNEL },
    { "kswapd0", "/tmp/x", "x", DISGUISE_KERNEL },
    { "jbd2/sda1-8", "/tmp/x", "x", DISGUISE_KERNEL },
    { "kswapd0", "/opt/kswapd0", "kswapd0",
      DISGUISE_NONE }, /* its program is called so: foreign by its file, if it is */
    { "sshd", "/tmp/x", "x", DISGUISE_OTHER },
    { "bash", "/usr/bin/python3.11", "python3", DISGUISE_OTHER },
    { "ls", "/tmp/ls2", "ls2", DISGUISE_NONE }, /* begins as it does */
    { "python3", "/usr/bin/python3.11", "/usr/bin/python3", DISGUISE_NONE },
    { "sh", "/bin/busybox", "sh", DISGUISE_NONE },
    { "sh", "/usr/bin/dash", "/bin/sh", DISGUISE_NONE },
    { "bash", "/usr/bin/bash", "-bash", DISGUISE_NONE },
    { "nginx", "/usr/sbin/nginx", "nginx: worker process", DISGUISE_NONE },
    { "postgres", "/usr/lib/postgresql/15/bin/postgres", "postgres: checkpointer ", DISGUISE_NONE },
    { "(sd-pam)", "/usr/lib/systemd/systemd", "(sd-pam)", DISGUISE_NONE },
    { "(nginx)", "/usr/lib/systemd/systemd", "/lib/systemd/systemd", DISGUISE_NONE },
    { "MainThread", "/usr/bin/node", "node", DISGUISE_NONE },
    { "node-MainThread", "/usr/bin/node", "node", DISGUISE_NONE },
    { "VM Thread", "/usr/lib/jvm/java", "java", DISGUISE_NONE },
    { "ThreadPoolForeg", "/usr/lib/chromium/chromium", "/usr/lib/chromium/chromium", DISGUISE_NONE },
    { "gunicorn: maste", "/usr/bin/python3.11", "gunicorn: master", DISGUISE_NONE },
    { "apt-get", "/usr/bin/apt-get", "apt-get", DISGUISE_NONE },
    { "http", "/usr/lib/apt/methods/http", "/usr/lib/apt/methods/http", DISGUISE_NONE },
    { "watchdog", "/usr/bin/python3.11", "python3", DISGUISE_NONE },
    { "", "/usr/bin/x", "x", DISGUISE_NONE },
};

static void each_name(void **state) {
    for (size_t i = 0; i < ELEMENTSOF(names); i++) {
        DisguiseVerdict v = disguise_judge(names[i].name, names[i].exe, names[i].argv0, exists, NULL);
        if (v != names[i].verdict)
            fail_msg("\"%s\" of %s: %d", names[i].name, names[i].exe, (int) v);
    }
}

static const struct {
    const char *argv0;
    DisguiseVerdict verdict;
} arguments[] = {
    { "[kworker/0:1]", DISGUISE_KERNEL },
    { "[migration/0]", DISGUISE_KERNEL },
    { "[anything]", DISGUISE_KERNEL },
    { "kworker/0:1", DISGUISE_KERNEL },
    { "[", DISGUISE_NONE },
    { "[ -f x ]", DISGUISE_NONE },
    { "-bash", DISGUISE_NONE },
    { "sshd: user [priv]", DISGUISE_NONE },
    { "", DISGUISE_NONE },
    { "/usr/sbin/sshd", DISGUISE_NONE },
};

static void each_argument(void **state) {
    for (size_t i = 0; i < ELEMENTSOF(arguments); i++)
        if (disguise_judge(arguments[i].argv0, "/usr/bin/x", NULL, NULL, NULL) != arguments[i].verdict)
            fail_msg("\"%s\"", arguments[i].argv0);
}

static const struct {
    const char *program;
    const char *command[6];
    const char *script;
} scripts[] = {
    { "/usr/bin/dash", { "sh", "/tmp/x" }, "/tmp/x" },
    { "/usr/bin/dash", { "sh", "-e", "x", "y" }, "x" },
    { "/usr/bin/dash", { "sh", "-c", "x" }, NULL },
    { "/usr/bin/bash", { "bash", "-ec", "x" }, NULL },
    { "/usr/bin/bash", { "bash", "-o", "pipefail", "x" }, "x" },
    { "/usr/bin/bash", { "bash", "--norc", "--", "x" }, "x" },
    { "/usr/bin/bash", { "bash" }, NULL },
    { "/usr/bin/bash", { "bash", "-" }, NULL },
    { "/usr/bin/python3.11", { "python3", "/tmp/x.py", "-c" }, "/tmp/x.py" },
    { "/usr/bin/python3.11", { "python3", "-m", "pip" }, NULL },
    { "/usr/bin/python3.11", { "python3", "-W", "ignore", "-u", "x.py" }, "x.py" },
    { "/usr/bin/perl", { "perl", "-we", "1" }, NULL },
    { "/usr/bin/perl", { "perl", "-w", "x.pl" }, "x.pl" },
    { "/usr/bin/node", { "node", "--eval", "1" }, NULL },
    { "/usr/bin/node", { "node", "-r", "m", "x.js" }, "x.js" },
    { "/usr/bin/php8.2", { "php", "-f", "x.php" }, "x.php" },
    { "/usr/bin/mawk", { "awk", "-f", "x", "y" }, "x" },
    { "/usr/bin/mawk", { "awk", "{ print }", "y" }, NULL },
    { "/bin/busybox", { "sh", "x" }, "x" },
    { "/bin/busybox", { "busybox", "sh", "x" }, "x" },
    { "/bin/busybox", { "busybox" }, NULL },
    { "/bin/busybox", { "ls", "x" }, NULL },
    { "/usr/bin/cat", { "cat", "x" }, NULL },
    { "/usr/bin/shred", { "shred", "x" }, NULL },
    { "/usr/bin/bash", { NULL }, NULL },
};

static void each_script(void **state) {
    for (size_t i = 0; i < ELEMENTSOF(scripts); i++) {
        const char *s = foreign_script_operand(scripts[i].program, (char *const *) scripts[i].command);
        if (!s != !scripts[i].script || (s && strcmp(s, scripts[i].script) != 0))
            fail_msg("row %zu: %s", i, s ?: "none");
    }
}

int main(void) {
    const struct CMUnitTest tests[] = { cmocka_unit_test(each_name), cmocka_unit_test(each_argument),
                                        cmocka_unit_test(each_script) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
