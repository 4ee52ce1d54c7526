/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Containers through their whole life, without privileges: sandbox, seccomp and cgroup are replaced by fakes, so that a
 * container is a plain child process and its cgroup an entry in a table. State machine, order of events, quotas,
 * records, what recovery adopts and what it removes are the real ones.
 *
 * Whoever compiles registry-fixture.c in gets the fakes: its symbols are found before those of the libraries.
 */

#pragma once

#include "cgroup/events.h"
#include "container/container.h"
#include "util/parse.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

struct CgroupGroup {
    char id[16];
    bool exists, freeze, frozen; /* what was asked for, and what it has come to */
    pid_t pids[8];               /* not reaped ones may be among them */
};

struct SeccompProgram {
    unsigned n_ref;
    struct sock_fprog fprog;
    struct sock_filter filter;
};

/* What the fakes do next, and what they were asked to do. All but program is reset for each test. */
struct Fakes {
    struct CgroupGroup groups[64];
    atomic_int spawn_error;     /* what sandbox_spawn() fails with */
    atomic_uint spawn_usec;     /* how long it takes */
    atomic_bool attest_differs; /* what sandbox_attest() finds: a control that is not in force; or that it fails with */
    atomic_int attest_error;
    atomic_uint n_attested;     /* at starts */
    atomic_bool remove_is_busy; /* what cgroup_group_remove() meets */
    atomic_int hang_fd;         /* what cgroup_group_pids() reads a byte from, after it has the pids; 0: it does not */
    atomic_uint n_hanging;      /* how many have got that far */
    atomic_uint n_removals;     /* calls of removal_run() */
    atomic_uint n_failing;      /* of how many it fails from now on, with EMFILE */
    uint64_t dropped;           /* what watch_subject_dropped() says of any subject */
    uint64_t oom_kills;
    int has_executed;       /* what sandbox_has_executed() says */
    char *exec_environment; /* what the last sandbox_exec() was given */
    struct SeccompProgram *exec_seccomp;
    struct SeccompProgram program; /* the only one there is */
    /* limits and accounting */
    CgroupLimits applied; /* what cgroup_limits_apply() was last given */
    unsigned n_applied;
    CgroupLimits found;  /* what cgroup_limits_read() says */
    CgroupEvents events; /* what cgroup_events_read() says */
    int event_fd;        /* the group's only source of notices; 0: none */
    unsigned n_layers;   /* storage layers that exist, and those that are open */
    atomic_int n_layers_open;
    StorageUsage storage;                       /* what a layer says of itself */
    const char *pids_missing, *storage_missing; /* why the host has neither */
    bool storage_refuses;                       /* storage_layer_set_limits() fails */
    unsigned n_endpoints;                       /* interfaces that exist, and those that are open */
    atomic_int n_endpoints_open;
    NetworkRates rates;   /* what network_endpoint_set_rates() was last given */
    unsigned n_recovered; /* ids that network_host_recover() was given */
};
extern struct Fakes fakes;

CgroupGroup *fake_group_find(const char *id);

typedef struct Fixture {
    char directory[64];
    int fd, state_fd, data_fd;
    ContainerEnvironment environment;
    ContainerRegistry *registry;
    ContainerWatch watch;
    unsigned n_notices;
    ContainerNotice notices[16];
    Error error; /* of FAILED */
    unsigned n_done;
    size_t n_listed;
    pid_t first_listed;
    Error done_error;
    bool done_ok;
} Fixture;

/* A registry with an event loop and workers of its own, on the fixture's directories. */
void fixture_open(Fixture *f);
void fixture_close(Fixture *f);

int fixture_set_up(void **state);
int fixture_tear_down(void **state);
#define FIXTURE_TEST(name) cmocka_unit_test_setup_teardown(name, fixture_set_up, fixture_tear_down)

/* Callbacks that note in the fixture what they were told. */
void fixture_on_notice(ContainerWatch *w, Container *c, ContainerNotice notice, const Error *error);
void fixture_on_done(void *userdata, const Error *error);
void fixture_on_listed(void *userdata, ProcessInfo *processes, size_t n, const Error *error);

/* A container that runs a shell script. */
ContainerSpec *fixture_spec(uid_t owner, const char *name, const char *script);

/* Takes the spec; the fixture watches the container, in place of the one before. */
Container *fixture_start(Fixture *f, ContainerSpec *s);

/* Takes the spec, which must be refused at once. */
ErrorKind fixture_start_error(Fixture *f, ContainerSpec *s);

/* Runs the event loop until the counter has the value, and fails after some seconds. */
void fixture_run_until(Fixture *f, const unsigned *counter, unsigned value);

/* Starts user 1000's container and waits until it runs. */
Container *fixture_run(Fixture *f, const char *name, const char *script);

/* Returns when N lists hang: each has read the pids and waits. */
void fixture_await_hanging(unsigned n);
void fixture_remove(Fixture *f, Container *c, bool force);

/* NULL, and the kind of the error, when that user sees none. */
Container *fixture_find(Fixture *f, uid_t uid, const char *name, ErrorKind *ret_kind);

/* How many entries a directory has. */
unsigned fixture_entries(int dir_fd, const char *name);

/* No record, no directory, no cgroup, no container. */
void fixture_expect_nothing_left(Fixture *f);
