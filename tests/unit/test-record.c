/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Records: what is written is what is read, and whatever does not hold is refused with the field that is wrong.
 */

#include "container/record.h"
#include "util/parse.h"
#include "util/paths.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>
#include <json-c/json.h>

typedef struct Fixture {
    char directory[64];
    int fd;
} Fixture;

static int set_up(void **state) {
    Fixture *f = calloc(1, sizeof(Fixture));
    (void) snprintf(f->directory, sizeof(f->directory), "/tmp/kennel-test-record-XXXXXX");
    assert_non_null(mkdtemp(f->directory));
    f->fd = open(f->directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    *state = f;
    return 0;
}

static int tear_down(void **state) {
    Fixture *f = *state;
    (void) unlinkat(f->fd, "record.json", 0);
    (void) close(f->fd);
    assert_int_equal(rmdir(f->directory), 0);
    free(f);
    return 0;
}

static char **strings(const char *a, const char *b) {
    char *v[] = { (char *) a, (char *) b, NULL };
    return strv_copy(v);
}

static ContainerRecord *record_new(void) {
    ContainerRecord *r = calloc(1, sizeof(ContainerRecord));
    r->id = strdup("0123456789ab");
    r->pid = 4242;
    r->pid_start_time = 1ULL << 40;
    r->uid = 0;
    r->gid = 5;
    r->created_usec = 1700000000000000ULL;
    r->started_usec = 1700000000000001ULL;
    r->exit_code = -1;
    ContainerSpec *s = r->spec = malloc(sizeof(ContainerSpec));
    *s = CONTAINER_SPEC_INIT;
    s->name = strdup("web");
    s->image = strdup("host");
    s->owner = 1000;
    s->owner_gid = 1001;
    s->attached = s->logged = true;
    s->limits.cgroup.memory = 64ULL << 20;
    s->limits.cgroup.pids = CGROUP_PIDS_DEFAULT;
    (void) snprintf(s->limits.cgroup.cpuset, sizeof(s->limits.cgroup.cpuset), "0-3,6");
    s->limits.cgroup.devices[0] = (CgroupDeviceLimits){ 7, 3, 4096, CGROUP_LIMIT_NONE, CGROUP_LIMIT_NONE, 9 };
    s->limits.cgroup.n_devices = 1;
    s->limits.storage.bytes = 50ULL << 20;
    s->limits.network.out = 1000000;
    for (ControlKind k = 0; k < _CONTROL_MAX; k++)
        s->controls[k].mode = CONTROL_BEST_EFFORT;
    s->controls[CONTROL_SECCOMP].mode = CONTROL_REQUIRED;
    s->controls[CONTROL_LABEL].declined = true;
    (void) snprintf(s->controls[CONTROL_LABEL].absent, CONTROL_REASON_MAX, "there is \"none\"");
    s->storage = STORAGE_FILE_SYSTEM;
    s->address = 0x0AD50002;
    s->ports = calloc(1, sizeof(NetworkPort));
    s->ports[0] = (NetworkPort){ 0x7F000001, 65535, 80, true };
    s->n_ports = 1;
    s->sandbox.id_base = 0x10000;
    s->sandbox.hostname = strdup("web");
    s->sandbox.owner_uid = 1000;
    s->sandbox.network = SANDBOX_NETWORK_HOST;
    SandboxProgram *p = &s->sandbox.program;
    p->command = strings("sh", "a \"quoted\" \n and /slashed/ argument");
    p->environment = strings("PATH=/bin", "SNOW=\xe2\x98\x83");
    p->working_directory = strdup("/");
    p->capabilities = (1ULL << 40) | 1;
    p->rows = 65535;
    p->rlimits = calloc(2, sizeof(SandboxRlimit));
    p->n_rlimits = 2;
    p->rlimits[0] = (SandboxRlimit){ 7, 1024, 4096 };
    p->rlimits[1] = (SandboxRlimit){ 4, 0, UINT64_MAX };
    s->sandbox.mounts = calloc(2, sizeof(SandboxMount));
    s->sandbox.n_mounts = 2;
    s->sandbox.image_only = true;
    s->sandbox.mounts[0] = (SandboxMount){ .target = strdup("/data"), .source_fd = -EBADF, .read_only = true };
    s->sandbox.mounts[1] = (SandboxMount){ .kind = SANDBOX_MOUNT_TMPFS,
                                           .target = strdup("/tmp"),
                                           .source_fd = -EBADF,
                                           .size = 4096,
                                           .inodes = 7,
                                           .mode = 01777 };
    return r;
}

static void expect_strings(char **v, const char *a, const char *b) {
    assert_int_equal(strv_length(v), 2);
    assert_string_equal(v[0], a);
    assert_string_equal(v[1], b);
}

static void test_round_trip(void **state) {
    Fixture *f = *state;
    _cleanup_(container_record_freep) ContainerRecord *a = record_new(), *b = NULL;
    Error error = ERROR_INIT;
    assert_int_equal(container_record_write(f->fd, a), 0);
    assert_int_equal(container_record_read(f->fd, &b, &error), 0);
    assert_string_equal(b->id, a->id);
    assert_int_equal(b->pid, 4242);
    assert_int_equal(b->pid_start_time, 1ULL << 40);
    assert_int_equal(b->gid, 5);
    assert_int_equal(b->created_usec, a->created_usec);
    assert_int_equal(b->started_usec, a->started_usec);
    assert_false(b->exited);
    for (ControlKind k = 0; k < _CONTROL_MAX; k++) {
        assert_int_equal(b->spec->controls[k].mode, k == CONTROL_SECCOMP ? CONTROL_REQUIRED : CONTROL_BEST_EFFORT);
        assert_int_equal(b->spec->controls[k].declined, k == CONTROL_LABEL);
        assert_string_equal(b->spec->controls[k].absent, k == CONTROL_LABEL ? "there is \"none\"" : "");
    }
    assert_int_equal(b->exit_code, -1);
    const ContainerSpec *s = b->spec;
    assert_string_equal(s->name, "web");
    assert_int_equal(s->owner, 1000);
    assert_int_equal(s->owner_gid, 1001);
    assert_true(s->attached && s->logged && !s->remove && !s->seccomp_unconfined);
    assert_null(s->seccomp_profile);
    assert_int_equal(s->limits.cgroup.memory, 64ULL << 20);
    assert_int_equal(s->limits.cgroup.cpu_quota_per_sec_usec, CGROUP_LIMIT_NONE);
    assert_int_equal(s->limits.cgroup.pids, CGROUP_PIDS_DEFAULT);
    assert_string_equal(s->limits.cgroup.cpuset, "0-3,6");
    assert_int_equal(s->limits.cgroup.n_devices, 1);
    assert_memory_equal(s->limits.cgroup.devices, a->spec->limits.cgroup.devices, sizeof(CgroupDeviceLimits));
    assert_int_equal(s->limits.storage.bytes, 50ULL << 20);
    assert_int_equal(s->limits.storage.inodes, STORAGE_LIMIT_NONE);
    assert_int_equal(s->limits.network.in, NETWORK_RATE_NONE);
    assert_int_equal(s->limits.network.out, 1000000);
    assert_int_equal(s->storage, STORAGE_FILE_SYSTEM);
    assert_int_equal(s->address, 0x0AD50002);
    assert_int_equal(s->n_ports, 1);
    assert_memory_equal(s->ports, a->spec->ports, sizeof(NetworkPort));
    assert_int_equal(s->sandbox.id_base, 0x10000);
    assert_int_equal(s->sandbox.network, SANDBOX_NETWORK_HOST);
    assert_int_equal(s->sandbox.rootfs_fd, -EBADF);
    const SandboxProgram *p = &s->sandbox.program;
    expect_strings(p->command, "sh", "a \"quoted\" \n and /slashed/ argument");
    expect_strings(p->environment, "PATH=/bin", "SNOW=\xe2\x98\x83");
    assert_null(p->user);
    assert_int_equal(p->capabilities, (1ULL << 40) | 1);
    assert_int_equal(p->rows, 65535);
    assert_int_equal(p->n_rlimits, 2);
    assert_int_equal(p->rlimits[0].hard, 4096);
    assert_int_equal(p->rlimits[1].hard, UINT64_MAX);
    assert_int_equal(p->stdio[1], -EBADF);
    assert_int_equal(s->sandbox.n_mounts, 2);
    assert_string_equal(s->sandbox.mounts[0].target, "/data");
    assert_true(s->sandbox.mounts[0].read_only);
    assert_int_equal(s->sandbox.mounts[0].source_fd, -EBADF);
    assert_int_equal(s->sandbox.mounts[1].kind, SANDBOX_MOUNT_TMPFS);
    assert_int_equal(s->sandbox.mounts[1].mode, 01777);
}

static void test_missing(void **state) {
    Fixture *f = *state;
    ContainerRecord *r = NULL;
    Error error = ERROR_INIT;
    assert_int_equal(container_record_read(f->fd, &r, &error), -ENOENT);
    assert_null(r);
}

static void write_text(Fixture *f, const char *text) {
    assert_int_equal(path_write_file_at(f->fd, "record.json", text, strlen(text), 0600, false), 0);
}

static void expect_refused(Fixture *f, const char *subject) {
    ContainerRecord *r = NULL;
    Error error = ERROR_INIT;
    assert_true(container_record_read(f->fd, &r, &error) < 0);
    assert_null(r);
    assert_int_not_equal(error.kind, ERROR_NONE);
    if (subject)
        assert_string_equal(error.subject, subject);
}

static void test_rubbish(void **state) {
    static const char *const texts[] = {
        "", "{", "null", "[]", "{}", "{\"version\":1}", "{\"version\":3,\"spec\":{}}"
    };
    Fixture *f = *state;
    for (unsigned i = 0; i < ELEMENTSOF(texts); i++) {
        write_text(f, texts[i]);
        expect_refused(f, NULL);
    }
}

/* Writes a good record, but for one field: VALUE as JSON, or left out if NULL. */
static void write_changed(Fixture *f, bool in_spec, const char *field, const char *value) {
    _cleanup_(container_record_freep) ContainerRecord *r = record_new();
    assert_int_equal(container_record_write(f->fd, r), 0);
    _cleanup_free_ char *text = NULL;
    assert_int_equal(path_read_file_at(f->fd, "record.json", 0, 1 << 20, &text, NULL), 0);
    json_object *object = json_tokener_parse(text), *target = object;
    assert_non_null(object);
    if (in_spec)
        assert_true(json_object_object_get_ex(object, "spec", &target));
    if (value)
        json_object_object_add(target, field, json_tokener_parse(value));
    else
        json_object_object_del(target, field);
    write_text(f, json_object_to_json_string(object));
    json_object_put(object);
}

static void test_fields(void **state) {
    static const struct {
        bool in_spec;
        const char *field, *value, *subject;
    } cases[] = {
        { false, "id", NULL, "id" },
        { false, "id", "\"0123456789aB\"", "id" },
        { false, "id", "\"../../../../\"", "id" },
        { false, "id", "\"0123\"", "id" },
        { false, "id", "7", "id" },
        { false, "pid", "-1", "pid" },
        { false, "pid", "1", "pid" },
        { false, "pid", "1.5", "pid" },
        { false, "pid", "\"1\"", "pid" },
        { false, "pid", "2147483648", "pid" },
        { false, "pid", "null", "pid" },
        { false, "exited", "1", "exited" },
        { false, "exitCode", "256", "exitCode" },
        { false, "surprise", "1", "surprise" },
        { false, "version", "1", "version" },
        { false, "version", "2", "version" },
        { false, "spec", "[]", NULL },
        { false, "spec", NULL, "spec" },
        { true, "owner", "4294967295", "owner" },
        { true, "owner", "-1", "owner" },
        { true, "idBase", "0", "idBase" },
        { true, "idBase", "4294967295", "idBase" },
        { true, "name", "\"a/b\"", "name" },
        { true, "name", "\"\"", "name" },
        { true, "network", "3", "network" },
        { true, "command", "[]", "command" },
        { true, "command", "[\"a\",null]", "command" },
        { true, "command", "\"a\"", "command" },
        { true, "categories", "-1", "categories" },
        { true, "apparmorProfile", "\"\"", "apparmorProfile" },
        { true, "memory", "-2", "memory" },
        { true, "cpusetCpus", "1", "cpusetCpus" },
        { true, "storage", "3", "storage" },
        { true, "ports", "[{\"hostAddress\":0,\"host\":0,\"container\":1,\"udp\":false}]", "host" },
        { true, "ioDevices", "[{\"major\":-1}]", "major" },
        { true, "ioDevices", "{}", "ioDevices" },
        { true, "capabilities", "-1", "capabilities" },
        { true, "seccompUnconfined", NULL, "seccompUnconfined" },
        { true, "imageOnly", "1", "imageOnly" },
        { true, "surprise", "1", "surprise" },
        { true, "mounts", "{}", "mounts" },
        { true, "mounts", "[1]", NULL },
        { true, "mounts", "[{\"kind\":0}]", "target" },
        { true, "mounts", "[{\"kind\":2,\"target\":\"/\",\"readOnly\":true,\"size\":0,\"mode\":0}]", "kind" },
        { true, "rlimits", NULL, "rlimits" },
        { true, "rlimits", "[{\"resource\":7,\"soft\":1}]", "hard" },
        { true, "controls", NULL, "controls" },
        { true, "controls", "[]", "controls" },
        { true, "controls", "[{\"mode\":1,\"declined\":false,\"absent\":\"\"}]", "controls" },
        { true, "controls", "[{\"mode\":0,\"declined\":false,\"absent\":\"\"}]", "mode" },
        { true, "controls", "[{\"mode\":1,\"declined\":false}]", "absent" },
    };
    Fixture *f = *state;
    for (unsigned i = 0; i < ELEMENTSOF(cases); i++) {
        write_changed(f, cases[i].in_spec, cases[i].field, cases[i].value);
        expect_refused(f, cases[i].subject);
    }
    /* and what the helper does to a field that it does not break is read */
    _cleanup_(container_record_freep) ContainerRecord *r = NULL;
    write_changed(f, true, "user", "\"1:2\"");
    assert_int_equal(container_record_read(f->fd, &r, NULL), 0);
    assert_string_equal(r->spec->sandbox.program.user, "1:2");
    assert_true(r->spec->sandbox.image_only);
    r = container_record_free(r);
    /* of before there was such a thing */
    write_changed(f, true, "imageOnly", NULL);
    assert_int_equal(container_record_read(f->fd, &r, NULL), 0);
    assert_false(r->spec->sandbox.image_only);
}

static void test_not_by_link(void **state) {
    Fixture *f = *state;
    assert_int_equal(symlinkat("/etc/passwd", f->fd, "record.json"), 0);
    expect_refused(f, NULL);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_round_trip), TEST(test_missing), TEST(test_rubbish), TEST(test_fields), TEST(test_not_by_link),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
