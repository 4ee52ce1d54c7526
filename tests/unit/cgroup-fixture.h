/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What the tests of daemon/cgroup share: the real cgroups of this host, in a subtree of the test's own
 * (/kennel-test-PID), and once more in a mount namespace in which one cgroup2 mount covers all others, as on a host
 * without cgroup v1.
 */

#include "cgroup/private.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define SECOND  1000000ULL
#define MIB     (1024ULL * 1024)
#define SKIPPED 77

#define TEST(f) cmocka_unit_test(f)

#define skip_because(...)                                                                                              \
    do {                                                                                                               \
        print_message("skipped: " __VA_ARGS__);                                                                        \
        print_message("\n");                                                                                           \
        skip();                                                                                                        \
    } while (0)

extern char subtree[64];
extern CgroupHierarchies *hierarchies; /* NULL if we are not root */

/* TEXT needs no cgroups; TESTS run natively, then without v1. Returns main()'s status. */
int cgroup_fixture_main(int argc, char **argv, const struct CMUnitTest *text, size_t n_text,
                        const struct CMUnitTest *tests, size_t n_tests);

extern bool has_own_mounts; /* in the run without v1 */

void require_root(void);
void require(CgroupController c);
bool is_v1(CgroupController c);
bool is_v2(CgroupController c);
CgroupGroup *make_group(const char *id);
void remove_group(CgroupGroup *g);
bool exists_anywhere(const char *id);
/* A child that is born in the group on cgroup2, put into the others, and runs F only then. */
pid_t start_in(CgroupGroup *g, int (*f)(void));
int wait_for(pid_t pid);
int child_sleep(void);
/* Covers every cgroup mount of a new mount namespace by one of cgroup2. */
int mount_only_v2(void);

/* A loop device of SIZE bytes on a file in /var/tmp that is gone already; -1 where there can be none. */
int loop_open(uint64_t size, uint32_t ret_device[2]);
/* The same on a device that nobody has used since boot, and that loop_close() removes. */
int loop_open_new(uint64_t size, uint32_t ret_device[2]);
/* Adds partition 1 to it; -1 where that cannot be done. */
int loop_add_partition(int fd, uint32_t ret_device[2]);
void loop_close(int fd);
