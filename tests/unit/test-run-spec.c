/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * From the parameters of a Run call to a spec: what each field becomes, every bound on either side, and that a refusal
 * names the field, the value and what would be right.
 */

#include "rpc/run-spec.h"

#include "kennel/limits.h"
#include "proto/interface.h"
#include "proto/json.h"
#include "sandbox/capabilities.h"
#include "util/parse.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include <cmocka.h>

static const Peer root = { .uid = 0, .gid = 0, .pid = 1 };
static const Peer tenant = { .uid = 1000, .gid = 1000, .pid = 1 };

/* What the configuration allows to others than root. */
static ContainerEnvironment environment;

static int set_up(void **state) {
    environment.tenant_limits = CONTAINER_LIMITS_NONE;
    return 0;
}

/* What comes with the call: descriptors of these paths, opened with these flags. */
typedef struct Opened {
    const char *path;
    int flags;
} Opened;

static int parse_with(const char *text, const Peer *peer, const Opened *opened, size_t n, ContainerSpec **ret,
                      Error *e) {
    _cleanup_json_ json_object *parameters = NULL;
    Descriptors d;
    int fds[KENNEL_FDS_MAX];
    for (size_t i = 0; i < n; i++) {
        fds[i] = open(opened[i].path, opened[i].flags | O_CLOEXEC);
        assert_true(fds[i] >= 0);
    }
    descriptors_init(&d, fds, n);
    int r = json_read(text, strlen(text), &JSON_BOUNDS_CALL, &parameters, e);
    if (r >= 0)
        r = interface_check(interface_method(&interface_io_kennel, "Run")->in, parameters, e);
    if (r >= 0)
        r = run_spec_parse(parameters, peer, true, &environment, &d, ret, e);
    descriptors_done(&d);
    return r;
}

static ContainerSpec *parse_as(const char *text, const Peer *peer) {
    ContainerSpec *spec = NULL;
    Error e = ERROR_INIT;
    if (parse_with(text, peer, NULL, 0, &spec, &e) < 0)
        fail_msg("%.200s: %s %s", text, e.subject, e.message);
    return spec;
}

static ContainerSpec *parse(const char *text) {
    return parse_as(text, &root);
}

static void refused_with(const char *text, const Peer *peer, const Opened *opened, size_t n, const char *field,
                         const char *words) {
    ContainerSpec *spec = NULL;
    Error e = ERROR_INIT;
    if (parse_with(text, peer, opened, n, &spec, &e) >= 0)
        fail_msg("accepted: %.200s", text);
    assert_null(spec);
    assert_int_equal(e.kind, ERROR_INVALID_SPEC);
    if (strcmp(e.subject, field) != 0 || !strstr(e.message, words))
        fail_msg("%.200s: expected %s: ...%s..., got %s: %s", text, field, words, e.subject, e.message);
}

static void refused(const char *text, const char *field, const char *words) {
    refused_with(text, &root, NULL, 0, field, words);
}

static void refused_to_tenant(const char *text, const char *field, const char *words) {
    refused_with(text, &tenant, NULL, 0, field, words);
}

/* A Run call with nothing but a command and REST, which begins with a comma. */
#define RUN(rest) "{\"command\":[\"true\"]" rest "}"

static void test_defaults(void **state) {
    _cleanup_(container_spec_freep) ContainerSpec *s = parse_as(RUN(""), &tenant);
    const SandboxSpec *b = &s->sandbox;
    assert_null(s->name);
    assert_null(b->hostname);
    assert_string_equal(s->image, "host");
    assert_int_equal(s->owner, 1000);
    assert_int_equal(b->owner_uid, 1000);
    assert_int_equal(b->owner_gid, 1000);
    assert_true(s->attached && s->logged);
    assert_false(s->remove || s->seccomp_unconfined || b->read_only || b->init || b->program.terminal);
    assert_null(s->seccomp_profile);
    assert_null(b->program.user);
    assert_string_equal(b->program.working_directory, "/");
    assert_string_equal(b->program.command[0], "true");
    assert_null(b->program.command[1]);
    assert_int_equal(b->program.capabilities, 0);
    assert_int_equal(b->network, SANDBOX_NETWORK_NONE);
    assert_true(b->rootfs_fd < 0 && b->layer_fd < 0);
    assert_int_equal(b->n_mounts, 0);
    assert_null(s->ports);
    assert_int_equal(s->n_ports, 0);
    ContainerLimits limits = CONTAINER_LIMITS_NONE;
    limits.cgroup.pids = 1024;
    assert_memory_equal(&s->limits, &limits, sizeof(limits));
}

static void test_labels(void **state) {
    _cleanup_(container_spec_freep) ContainerSpec *s = parse(RUN(""));
    assert_null(s->apparmor_profile);
    assert_null(s->label_level);
    assert_null(s->label_type);
    assert_false(s->apparmor_unconfined || s->label_disabled);
    _cleanup_(container_spec_freep) ContainerSpec *t =
        parse_as(RUN(",\"apparmorProfile\":\"/usr/bin/x//y\",\"label\":{\"level\":\"s0:c0,c1023\",\"type\":\"a_t2\","
                     "\"disable\":false}"),
                 &root);
    assert_string_equal(t->apparmor_profile, "/usr/bin/x//y");
    assert_string_equal(t->label_level, "s0:c0,c1023");
    assert_string_equal(t->label_type, "a_t2");
    assert_false(t->label_disabled);
    _cleanup_(container_spec_freep) ContainerSpec *u =
        parse(RUN(",\"apparmorProfile\":\"unconfined\",\"label\":{\"disable\":true}"));
    assert_true(u->apparmor_unconfined && u->label_disabled);
    assert_null(u->apparmor_profile);
}

static void test_apparmor_refused(void **state) {
    static const char *const wrong[] = { "",       " a",    "a b", "a\\n", "a\\tb",   ":ns:a",    ":ns://a",
                                         "&a",     "a//&b", "=a",  "a\\r", "\\u007f", "kennel-1", "kennel-1879048192",
                                         "kenneld" };
    char text[512];
    for (size_t i = 0; i < ELEMENTSOF(wrong); i++) {
        (void) snprintf(text, sizeof(text), RUN(",\"apparmorProfile\":\"%s\""), wrong[i]);
        refused(text, "apparmorProfile", "expected");
        refused_to_tenant(text, "apparmorProfile", "expected");
    }
    (void) snprintf(text, sizeof(text), RUN(",\"apparmorProfile\":\"%0256d\""), 0);
    refused(text, "apparmorProfile", "1 to 255 bytes");
    (void) snprintf(text, sizeof(text), RUN(",\"apparmorProfile\":\"%0255d\""), 0);
    _cleanup_(container_spec_freep) ContainerSpec *s = parse(text);
    assert_int_equal(strlen(s->apparmor_profile), 255);
    refused_to_tenant(RUN(",\"apparmorProfile\":\"unconfined\""), "apparmorProfile", "root alone");
    refused_to_tenant(RUN(",\"apparmorProfile\":\"some-profile\""), "apparmorProfile", "root alone");
}

static void test_label_refused(void **state) {
    static const char *const levels[] = { "",
                                          "s0",
                                          "s0:c1",
                                          "s0:c2,c1",
                                          "s0:c1,c1",
                                          "s0:c1,c1024",
                                          "s1:c1,c2",
                                          "s0:c1,c2 ",
                                          "s0:c1,c2,c3",
                                          "s0:c01,c2",
                                          "s0:c1, c2",
                                          "s0:c-1,c2",
                                          "s0:c1,c99999",
                                          "s0:c1.c2",
                                          "s0-s0:c1,c2",
                                          "s0:c,c2",
                                          "S0:c1,c2",
                                          "s0:c1,c2:x" };
    static const char *const types[] = { "", "a-t", "A_t", "a t", "a:b", "a_t\\n" };
    char text[512];
    for (size_t i = 0; i < ELEMENTSOF(levels); i++) {
        (void) snprintf(text, sizeof(text), RUN(",\"label\":{\"level\":\"%s\"}"), levels[i]);
        refused(text, "label.level", "s0:c1,c2");
    }
    for (size_t i = 0; i < ELEMENTSOF(types); i++) {
        (void) snprintf(text, sizeof(text), RUN(",\"label\":{\"type\":\"%s\"}"), types[i]);
        refused(text, "label.type", "small letters");
    }
    (void) snprintf(text, sizeof(text), RUN(",\"label\":{\"type\":\"%0129d\"}"), 0);
    refused(text, "label.type", "small letters");
    refused_to_tenant(RUN(",\"label\":{\"disable\":true}"), "label.disable", "root alone");
    refused(RUN(",\"label\":{\"disable\":true,\"level\":\"s0:c1,c2\"}"), "label.disable", "together");
    refused(RUN(",\"label\":{\"disable\":true,\"type\":\"a_t\"}"), "label.disable", "together");
    refused(RUN(",\"label\":{\"user\":\"x\"}"), "label.user", "");
}

#define CONTROL(name, mode) "{\"control\":\"" name "\",\"mode\":\"" mode "\"}"
#define CONTROLS(list)      RUN(",\"controls\":[" list "]")

static void test_controls(void **state) {
    _cleanup_(container_spec_freep) ContainerSpec *s = parse_as(RUN(""), &tenant);
    for (ControlKind k = 0; k < _CONTROL_MAX; k++)
        assert_int_equal(s->controls[k].mode, CONTROL_MODE_UNSET);
    _cleanup_(container_spec_freep) ContainerSpec *t =
        parse_as(CONTROLS(CONTROL("label", "required") "," CONTROL("pids", "bestEffort")), &tenant);
    assert_int_equal(t->controls[CONTROL_LABEL].mode, CONTROL_REQUIRED);
    assert_int_equal(t->controls[CONTROL_PIDS].mode, CONTROL_BEST_EFFORT);
    assert_int_equal(t->controls[CONTROL_SECCOMP].mode, CONTROL_MODE_UNSET);

    refused(CONTROLS(CONTROL("moon", "required")), "controls[0].control", "apparmor, selinux, label");
    refused(CONTROLS(CONTROL("", "required")), "controls[0].control", "pids");
    refused(CONTROLS(CONTROL("pids", "required") "," CONTROL("pids", "required")), "controls[1].control", "once");
    refused(CONTROLS(CONTROL("pids", "optional")), "controls[0].mode", "");
    refused(CONTROLS("{\"control\":\"pids\"}"), "controls[0].mode", "");
}

/* Tighten may everybody; what the configuration or the default says is loosened by root alone. */
static void test_controls_of_tenants(void **state) {
    refused_to_tenant(CONTROLS(CONTROL("pids", "required") "," CONTROL("seccomp", "bestEffort")), "controls[1].mode",
                      "root alone");
    environment.control_modes[CONTROL_LABEL] = CONTROL_REQUIRED;
    refused_to_tenant(CONTROLS(CONTROL("label", "bestEffort")), "controls[0].mode", "label is required here");
    _cleanup_(container_spec_freep) ContainerSpec *s = parse(CONTROLS(CONTROL("label", "bestEffort")));
    assert_int_equal(s->controls[CONTROL_LABEL].mode, CONTROL_BEST_EFFORT);
    environment.control_modes[CONTROL_LABEL] = CONTROL_MODE_UNSET;
}

static void test_relabel(void **state) {
    _cleanup_(container_spec_freep) ContainerSpec *s =
        parse(RUN(",\"volumes\":[{\"sourcePath\":\"/\",\"target\":\"/a\"},"
                  "{\"sourcePath\":\"/\",\"target\":\"/b\",\"relabel\":\"shared\"},"
                  "{\"sourcePath\":\"/\",\"target\":\"/c\",\"relabel\":\"private\"}]"));
    assert_int_equal(s->sandbox.mounts[0].relabel, SANDBOX_RELABEL_NONE);
    assert_int_equal(s->sandbox.mounts[1].relabel, SANDBOX_RELABEL_SHARED);
    assert_int_equal(s->sandbox.mounts[2].relabel, SANDBOX_RELABEL_PRIVATE);
    refused(RUN(",\"volumes\":[{\"sourcePath\":\"/\",\"target\":\"/a\",\"relabel\":\"Z\"}]"), "volumes[0].relabel", "");
}

static void test_environment_defaults(void **state) {
    _cleanup_(container_spec_freep) ContainerSpec *s = parse(RUN(""));
    char **e = s->sandbox.program.environment;
    assert_string_equal(strv_env_get(e, "PATH"), "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
    assert_string_equal(strv_env_get(e, "HOME"), "/root");
    assert_null(strv_env_get(e, "TERM"));
    _cleanup_(container_spec_freep) ContainerSpec *t =
        parse(RUN(",\"user\":\"7\",\"terminal\":{\"rows\":1,\"columns\":65535},\"env\":[\"PATH=/x\"]"));
    e = t->sandbox.program.environment;
    assert_string_equal(strv_env_get(e, "HOME"), "/");
    assert_string_equal(strv_env_get(e, "TERM"), "xterm");
    assert_string_equal(strv_env_get(e, "PATH"), "/x");
    assert_int_equal(strv_length(e), 3);
    assert_int_equal(t->sandbox.program.columns, 65535);
}

static void test_environment(void **state) {
    _cleanup_(container_spec_freep) ContainerSpec *s =
        parse(RUN(",\"env\":[\"A=1\",\"AB=2\",\"A=3\",\"B=\",\"A=4=5\"]"));
    char **e = s->sandbox.program.environment;
    assert_string_equal(strv_env_get(e, "A"), "4=5");
    assert_string_equal(strv_env_get(e, "AB"), "2");
    assert_string_equal(strv_env_get(e, "B"), "");
    assert_int_equal(strv_length(e), 5); /* A, AB, B, PATH, HOME */
    refused(RUN(",\"env\":[\"A=1\",\"B\"]"), "env[1]", "KEY=VALUE");
    refused(RUN(",\"env\":[\"=1\"]"), "env[0]", "KEY=VALUE");
    refused(RUN(",\"env\":[\"\"]"), "env[0]", "KEY=VALUE");
}

/* A list of N times ELEMENT; to be freed. */
static char *repeat(const char *before, const char *element, size_t n, const char *after) {
    size_t size = strlen(before) + n * (strlen(element) + 1) + strlen(after) + 1;
    char *text = malloc(size), *p = text;
    assert_non_null(text);
    p = stpcpy(p, before);
    for (size_t i = 0; i < n; i++) {
        p = stpcpy(p, i > 0 ? "," : "");
        p = stpcpy(p, element);
    }
    (void) stpcpy(p, after);
    return text;
}

static void test_lists(void **state) {
    _cleanup_free_ char *args = repeat("{\"command\":[", "\"a\"", KENNEL_ARGS_MAX, "]}");
    _cleanup_(container_spec_freep) ContainerSpec *s = parse(args);
    assert_int_equal(strv_length(s->sandbox.program.command), KENNEL_ARGS_MAX);
    _cleanup_free_ char *too_many = repeat("{\"command\":[", "\"a\"", KENNEL_ARGS_MAX + 1, "]}");
    refused(too_many, "command", "4097");
    _cleanup_free_ char *env = repeat("{\"command\":[\"a\"],\"env\":[", "\"a=b\"", 10000, "]}");
    refused(env, "env", "10000");
    _cleanup_free_ char *caps = repeat("{\"command\":[\"a\"],\"capAdd\":[", "\"chown\"", 65, "]}");
    refused(caps, "capAdd", "65");
    _cleanup_free_ char *mounts = repeat("{\"command\":[\"a\"],\"tmpfs\":[", "{\"path\":\"/a\"}", 33, "]}");
    refused(mounts, "tmpfs", "33");
}

static void test_command(void **state) {
    refused("{}", "command", "");
    refused("{\"command\":[]}", "command", "empty");
    refused("{\"command\":[\"\"]}", "command[0]", "empty");
    _cleanup_(container_spec_freep) ContainerSpec *s = parse("{\"command\":[\"sh\",\"\",\"-c\"]}");
    assert_string_equal(s->sandbox.program.command[1], "");
    _cleanup_free_ char *longest = malloc(KENNEL_ARG_STRING_MAX + 2);
    memset(longest, 'x', KENNEL_ARG_STRING_MAX + 1);
    longest[KENNEL_ARG_STRING_MAX + 1] = 0;
    _cleanup_free_ char *over = NULL, *exact = NULL;
    assert_true(asprintf(&over, "{\"command\":[\"a\",\"%s\"]}", longest) > 0);
    refused(over, "command[1]", "131071");
    assert_true(asprintf(&exact, "{\"command\":[\"a\",\"%s\"]}", longest + 1) > 0);
    _cleanup_(container_spec_freep) ContainerSpec *t = parse(exact);
    assert_int_equal(strlen(t->sandbox.program.command[1]), KENNEL_ARG_STRING_MAX);
}

static void test_names(void **state) {
    _cleanup_(container_spec_freep) ContainerSpec *s = parse(RUN(",\"name\":\"0web-1.a_B\""));
    assert_string_equal(s->name, "0web-1.a_B");
    refused(RUN(",\"name\":\"\""), "name", "63");
    refused(RUN(",\"name\":\"a/b\""), "name", "a/b");
    refused(RUN(",\"name\":\"..\""), "name", "letter");
    refused(RUN(",\"name\":\"-a\""), "name", "letter");
    refused(RUN(",\"name\":\"a b\""), "name", "a b");
    refused(RUN(",\"name\":\"\xC3\xA4\""), "name", "letters");
    char name[KENNEL_NAME_MAX + 2], text[256];
    memset(name, 'n', sizeof(name));
    name[sizeof(name) - 1] = 0;
    (void) snprintf(text, sizeof(text), RUN(",\"name\":\"%s\""), name);
    refused(text, "name", "63");
    (void) snprintf(text, sizeof(text), RUN(",\"name\":\"%s\""), name + 1);
    _cleanup_(container_spec_freep) ContainerSpec *t = parse(text);
    assert_int_equal(strlen(t->name), KENNEL_NAME_MAX);
}

static void test_hostname(void **state) {
    _cleanup_(container_spec_freep) ContainerSpec *s = parse(RUN(",\"hostname\":\"a-1.example.Org\""));
    assert_string_equal(s->sandbox.hostname, "a-1.example.Org");
    static const char *const wrong[] = { "", "-a", "a-", "a..b", ".a", "a.", "a_b", "a b", "a.-b" };
    for (size_t i = 0; i < ELEMENTSOF(wrong); i++) {
        char text[128];
        (void) snprintf(text, sizeof(text), RUN(",\"hostname\":\"%s\""), wrong[i]);
        refused(text, "hostname", "RFC 1123");
    }
}

static void test_image(void **state) {
    refused(RUN(",\"image\":\"debian\""), "image", "\"host\"");
    refused(RUN(",\"image\":\"host\",\"rootfsPath\":\"/\""), "image", "together");
}

static void test_rootfs(void **state) {
    const Opened directory = { "/tmp", O_RDONLY | O_DIRECTORY }, path = { "/tmp", O_PATH },
                 file = { "/etc/passwd", O_RDONLY }, null = { "/dev/null", O_RDONLY };
    ContainerSpec *s = NULL;
    Error e = ERROR_INIT;
    assert_true(parse_with(RUN(",\"rootfs\":0"), &tenant, &directory, 1, &s, &e) >= 0);
    assert_true(s->sandbox.rootfs_fd >= 0);
    assert_string_equal(s->image, "rootfs");
    s = container_spec_free(s);
    assert_true(parse_with(RUN(",\"rootfs\":0"), &root, &path, 1, &s, &e) >= 0);
    s = container_spec_free(s);
    refused_with(RUN(",\"rootfs\":0"), &tenant, &path, 1, "rootfs", "O_PATH");
    refused_with(RUN(",\"rootfs\":0"), &tenant, &file, 1, "rootfs", "is a regular file; a directory is expected");
    refused_with(RUN(",\"rootfs\":0"), &root, &null, 1, "rootfs", "is a device");
    refused_with(RUN(",\"rootfs\":1"), &root, &directory, 1, "rootfs", "there came 1");
    refused_with(RUN(",\"rootfs\":-1"), &root, &directory, 1, "rootfs", "is -1");
    refused_with(RUN(",\"rootfs\":0,\"rootfsPath\":\"/\""), &root, &directory, 1, "rootfsPath", "together");
}

static void test_rootfs_path(void **state) {
    _cleanup_(container_spec_freep) ContainerSpec *s = parse(RUN(",\"rootfsPath\":\"/tmp\",\"readOnly\":true"));
    assert_true(s->sandbox.rootfs_fd >= 0 && s->sandbox.read_only);
    refused_to_tenant(RUN(",\"rootfsPath\":\"/tmp\""), "rootfsPath", "root alone");
    /* whether it is there is not for them to know either */
    refused_to_tenant(RUN(",\"rootfsPath\":\"/nonexistent\""), "rootfsPath", "root alone");
    refused(RUN(",\"rootfsPath\":\"/nonexistent\""), "rootfsPath", "No such file");
    refused(RUN(",\"rootfsPath\":\"tmp\""), "rootfsPath", "absolute");
    refused(RUN(",\"rootfsPath\":\"/etc/passwd\""), "rootfsPath", "regular file");
}

static void test_descriptors(void **state) {
    const Opened three[] = { { "/tmp", O_RDONLY }, { "/dev/null", O_RDWR }, { "/dev/null", O_RDWR } };
    refused_with(RUN(""), &root, three, 3, "fds", "3 descriptors came with the message, 0 are named");
    refused_with(RUN(",\"stdin\":1"), &root, three, 3, "fds", "3 descriptors came with the message, 1 is named");
    refused_with(RUN(",\"stdout\":1,\"stderr\":1"), &root, three, 3, "stderr", "names descriptor 1");
    refused_with(RUN(",\"stdin\":9223372036854775807"), &root, three, 3, "stdin", "there came 3");
    ContainerSpec *s = NULL;
    Error e = ERROR_INIT;
    assert_true(parse_with(RUN(",\"volumes\":[{\"source\":0,\"target\":\"/v\"}],\"stdin\":2,\"stdout\":1"), &tenant,
                           three, 3, &s, &e) >= 0);
    const SandboxProgram *p = &s->sandbox.program;
    assert_true(p->stdio[0] >= 0 && p->stdio[1] >= 0 && p->stdio[2] < 0);
    assert_true(s->logged); /* stderr has no other place */
    s = container_spec_free(s);
    assert_true(parse_with(RUN(",\"stdin\":0,\"stdout\":1,\"stderr\":2"), &tenant, three, 3, &s, &e) >= 0);
    assert_false(s->logged);
    s = container_spec_free(s);
    const Opened path = { "/tmp", O_PATH };
    refused_with(RUN(",\"stdin\":0"), &root, &path, 1, "stdin", "O_PATH");
    refused_with(RUN(",\"terminal\":{\"rows\":1,\"columns\":1},\"stdin\":0"), &root, &three[1], 1, "stdin", "terminal");
}

static void test_volumes(void **state) {
    const Opened two[] = { { "/tmp", O_RDONLY }, { "/etc/passwd", O_RDONLY } };
    ContainerSpec *s = NULL;
    Error e = ERROR_INIT;
    assert_true(parse_with(RUN(",\"volumes\":[{\"source\":0,\"target\":\"//a/./b/\"},"
                               "{\"source\":1,\"target\":\"/etc/users\",\"readOnly\":true}]"),
                           &tenant, two, 2, &s, &e) >= 0);
    assert_int_equal(s->sandbox.n_mounts, 2);
    assert_string_equal(s->sandbox.mounts[0].target, "/a/b");
    assert_false(s->sandbox.mounts[0].read_only);
    assert_true(s->sandbox.mounts[1].read_only);
    assert_int_equal(s->sandbox.mounts[0].kind, SANDBOX_MOUNT_VOLUME);
    s = container_spec_free(s);
    refused(RUN(",\"volumes\":[{\"target\":\"/a\"}]"), "volumes[0].source", "missing");
    refused_to_tenant(RUN(",\"volumes\":[{\"sourcePath\":\"/tmp\",\"target\":\"/a\"}]"), "volumes[0].sourcePath",
                      "root alone");
    refused_with(RUN(",\"volumes\":[{\"source\":0,\"sourcePath\":\"/tmp\",\"target\":\"/a\"}]"), &root, two, 1,
                 "volumes[0].sourcePath", "together");
    refused(RUN(",\"volumes\":[{\"sourcePath\":\"/dev/null\",\"target\":\"/a\"}]"), "volumes[0].sourcePath", "device");
    refused_with(RUN(",\"volumes\":[{\"source\":0,\"target\":\"/a\"},{\"source\":1,\"target\":\"/a/\"}]"), &root, two,
                 2, "volumes[1].target", "already");
}

static void test_targets(void **state) {
    static const struct {
        const char *target, *words;
    } wrong[] = {
        { "", "absolute" },       { "a", "absolute" },     { "/", "below the root" }, { "/..", "without" },
        { "/a/../b", "without" }, { "/proc", "/proc" },    { "/proc/sys", "/proc" },  { "/sys/", "/sys" },
        { "/./dev", "/dev" },     { "/dev/null", "/dev" }, { "/dev/shmx", "/dev" },   { "//", "below the root" },
    };
    for (size_t i = 0; i < ELEMENTSOF(wrong); i++) {
        char text[128];
        (void) snprintf(text, sizeof(text), RUN(",\"tmpfs\":[{\"path\":\"%s\"}]"), wrong[i].target);
        refused(text, "tmpfs[0].path", wrong[i].words);
    }
    _cleanup_(container_spec_freep) ContainerSpec *s =
        parse(RUN(",\"tmpfs\":[{\"path\":\"/dev/shm\",\"size\":4096,\"mode\":448},{\"path\":\"/"
                  "processes\"},{\"path\":\"/..a\"}]"));
    assert_int_equal(s->sandbox.n_mounts, 3);
    assert_int_equal(s->sandbox.mounts[0].size, 4096);
    assert_int_equal(s->sandbox.mounts[0].mode, 0700);
    assert_int_equal(s->sandbox.mounts[1].size, 64U * 1024 * 1024);
    assert_int_equal(s->sandbox.mounts[1].mode, 01777);
    refused(RUN(",\"tmpfs\":[{\"path\":\"/a\",\"size\":4095}]"), "tmpfs[0].size", "4096");
    assert_int_equal(s->sandbox.mounts[1].inodes, 0); /* as many as suit its size */
    _cleanup_(container_spec_freep) ContainerSpec *n = parse(RUN(",\"tmpfs\":[{\"path\":\"/a\",\"inodes\":2}]"));
    assert_int_equal(n->sandbox.mounts[0].inodes, 2);
    refused(RUN(",\"tmpfs\":[{\"path\":\"/a\",\"inodes\":1}]"), "tmpfs[0].inodes", "is 1; 2 to");
    refused(RUN(",\"tmpfs\":[{\"path\":\"/a\"},{\"path\":\"/b\",\"inodes\":0}]"), "tmpfs[1].inodes", "is 0");
    refused(RUN(",\"tmpfs\":[{\"path\":\"/a\",\"inodes\":9223372036854775807}]"), "tmpfs[0].inodes", "2 to");
    refused(RUN(",\"tmpfs\":[{\"path\":\"/a\",\"mode\":2048}]"), "tmpfs[0].mode", "2048"); /* setuid */
    refused(RUN(",\"tmpfs\":[{\"path\":\"/a\",\"mode\":-1}]"), "tmpfs[0].mode", "-1");
}

static void test_working_directory(void **state) {
    _cleanup_(container_spec_freep) ContainerSpec *s = parse(RUN(",\"workingDirectory\":\"/srv//www/.\""));
    assert_string_equal(s->sandbox.program.working_directory, "/srv/www");
    refused(RUN(",\"workingDirectory\":\"srv\""), "workingDirectory", "absolute");
    refused(RUN(",\"workingDirectory\":\"\""), "workingDirectory", "absolute");
    refused(RUN(",\"workingDirectory\":\"/a/../..\""), "workingDirectory", "..");
    refused(RUN(",\"workingDirectory\":\"/proc/self/fd/7\""), "workingDirectory", "/proc");
    refused(RUN(",\"workingDirectory\":\"//proc/./1/root\""), "workingDirectory", "/proc");
}

static void test_user(void **state) {
    static const char *const right[] = { "0",      "65534", "0:65534", "www-data", "_apt", "postgres:ssl-cert",
                                         "1:root", "host$", "a.b" };
    static const char *const wrong[] = { "",    ":",  "0:",    ":0",  "65535",       "65536", "4294967295",    "-1",
                                         "+1",  " 1", "1 ",    "0x1", "1a",          "0:0:0", "4294967296000", "0:0x0",
                                         "a/b", "-a", "a:b:c", "$",   "0:4294967295" };
    for (size_t i = 0; i < ELEMENTSOF(right); i++) {
        char text[128];
        (void) snprintf(text, sizeof(text), RUN(",\"user\":\"%s\""), right[i]);
        _cleanup_(container_spec_freep) ContainerSpec *s = parse(text);
        assert_string_equal(s->sandbox.program.user, right[i]);
    }
    for (size_t i = 0; i < ELEMENTSOF(wrong); i++) {
        char text[128];
        (void) snprintf(text, sizeof(text), RUN(",\"user\":\"%s\""), wrong[i]);
        refused(text, "user", "0 to 65534");
    }
}

static void test_network(void **state) {
    _cleanup_(container_spec_freep) ContainerSpec *s = parse(RUN(",\"network\":\"host\""));
    assert_int_equal(s->sandbox.network, SANDBOX_NETWORK_HOST);
    refused_to_tenant(RUN(",\"network\":\"host\""), "network", "root alone");
    _cleanup_(container_spec_freep) ContainerSpec *b = parse_as(RUN(",\"network\":\"bridge\""), &tenant);
    assert_int_equal(b->sandbox.network, SANDBOX_NETWORK_BRIDGE);
    assert_int_equal(b->n_ports, 0);
    assert_int_equal(b->address, 0);
    _cleanup_(container_spec_freep) ContainerSpec *none = parse(RUN(",\"network\":\"none\""));
    assert_int_equal(none->sandbox.network, SANDBOX_NETWORK_NONE);
    refused(RUN(",\"network\":\"Bridge\""), "network", "\"none\", \"bridge\" or \"host\"");
    refused(RUN(",\"network\":\"\""), "network", "\"none\", \"bridge\" or \"host\"");
}

#define BRIDGED(ports) RUN(",\"network\":\"bridge\",\"ports\":[" ports "]")

static void test_ports(void **state) {
    _cleanup_(container_spec_freep) ContainerSpec *s =
        parse(BRIDGED("{\"host\":1,\"container\":65535},{\"host\":1,\"container\":80,\"protocol\":\"udp\"},"
                      "{\"hostAddress\":\"127.0.0.1\",\"host\":65535,\"container\":1,\"protocol\":\"tcp\"},"
                      "{\"hostAddress\":\"192.168.0.255\",\"host\":65535,\"container\":1}"));
    assert_int_equal(s->n_ports, 4);
    assert_true(s->ports[0].host_address == 0 && s->ports[0].host_port == 1 && !s->ports[0].udp);
    assert_int_equal(s->ports[0].container_port, 65535);
    assert_true(s->ports[1].udp && s->ports[1].container_port == 80);
    assert_true(s->ports[2].host_address == 0x7F000001 && !s->ports[2].udp);
    assert_true(s->ports[3].host_address == 0xC0A800FF);
    _cleanup_(container_spec_freep) ContainerSpec *t = parse_as(BRIDGED("{\"host\":1024,\"container\":1}"), &tenant);
    assert_int_equal(t->ports[0].host_port, 1024);
    _cleanup_(container_spec_freep) ContainerSpec *empty = parse(RUN(",\"ports\":[]"));
    assert_null(empty->ports);
}

static void test_ports_refused(void **state) {
    refused(RUN(",\"ports\":[{\"host\":80,\"container\":80}]"), "ports", "\"bridge\"");
    refused(RUN(",\"network\":\"host\",\"ports\":[{\"host\":80,\"container\":80}]"), "ports", "\"bridge\"");
    refused(BRIDGED("{\"host\":0,\"container\":80}"), "ports[0].host", "is 0; 1 to 65535");
    refused(BRIDGED("{\"host\":65536,\"container\":80}"), "ports[0].host", "1 to 65535");
    refused(BRIDGED("{\"host\":1,\"container\":80},{\"host\":2,\"container\":0}"), "ports[1].container", "1 to 65535");
    refused(BRIDGED("{\"host\":1,\"container\":-1}"), "ports[0].container", "is -1");
    refused(BRIDGED("{\"host\":1,\"container\":65537}"), "ports[0].container", "1 to 65535");
    refused(BRIDGED("{\"host\":1,\"container\":80,\"protocol\":\"sctp\"}"), "ports[0].protocol", "");
    refused(BRIDGED("{\"container\":80}"), "ports[0].host", "");
    refused_to_tenant(BRIDGED("{\"host\":1023,\"container\":80}"), "ports[0].host", "is 1023; 1024 to 65535");
    refused_to_tenant(BRIDGED("{\"host\":0,\"container\":80}"), "ports[0].host", "is 0");
    /* one port of all addresses is each address's too; another protocol's is another */
    refused(BRIDGED("{\"host\":9,\"container\":1},{\"host\":9,\"container\":2}"), "ports[1].host", "ports[0]");
    refused(BRIDGED("{\"host\":9,\"container\":1},{\"hostAddress\":\"10.0.0.1\",\"host\":9,\"container\":2}"),
            "ports[1].host", "is 9");
    refused(BRIDGED("{\"hostAddress\":\"10.0.0.1\",\"host\":9,\"container\":2},{\"host\":8,\"container\":1},"
                    "{\"host\":9,\"container\":1}"),
            "ports[2].host", "ports[0]");
    refused(BRIDGED("{\"hostAddress\":\"10.0.0.1\",\"host\":9,\"container\":2},"
                    "{\"hostAddress\":\"10.0.0.1\",\"host\":9,\"container\":1}"),
            "ports[1].host", "ports[0]");
}

static void test_ports_addresses(void **state) {
    static const char *const wrong[] = {
        "",         "0.0.0.0",    "localhost", "::1",       "127.1",           "127.0.0",    "1.2.3.4.5", "1.2.3.256",
        "01.2.3.4", "1.2.3.04",   " 1.2.3.4",  "1.2.3.4 ",  "1.2.3.4/8",       "0x7f.0.0.1", "1..3.4",    "1.2.3.",
        ".1.2.3",   "2130706433", "0.0.0.1",   "224.0.0.1", "255.255.255.255", "240.0.0.1",  "1.2.3.-4",  "1.2.3.0004"
    };
    for (size_t i = 0; i < ELEMENTSOF(wrong); i++) {
        char text[192];
        (void) snprintf(text, sizeof(text), BRIDGED("{\"hostAddress\":\"%s\",\"host\":9,\"container\":2}"), wrong[i]);
        refused(text, "ports[0].hostAddress", "such as 127.0.0.1");
    }
}

static void test_ports_number(void **state) {
    char text[8192] = "{\"command\":[\"a\"],\"network\":\"bridge\",\"ports\":[", *end = text + strlen(text);
    for (unsigned i = 0; i < NETWORK_PORTS_MAX; i++)
        end += snprintf(end, sizeof(text) - (size_t) (end - text), "%s{\"host\":%u,\"container\":1}", i > 0 ? "," : "",
                        i + 1);
    (void) snprintf(end, sizeof(text) - (size_t) (end - text), "]}");
    _cleanup_(container_spec_freep) ContainerSpec *s = parse(text);
    assert_int_equal(s->n_ports, 64);
    (void) snprintf(end, sizeof(text) - (size_t) (end - text), ",{\"host\":99,\"container\":1}]}");
    refused(text, "ports", "65 elements; 64");
}

static void test_capabilities(void **state) {
    _cleanup_(container_spec_freep) ContainerSpec *s =
        parse_as(RUN(",\"capAdd\":[\"system\",\"CAP_NET_ADMIN\"],\"capDrop\":[\"chown\"]"), &tenant);
    uint64_t set = s->sandbox.program.capabilities;
    assert_true(set == ((CAPABILITIES_SYSTEM & ~UINT64_C(1)) | UINT64_C(1) << 12));
    _cleanup_(container_spec_freep) ContainerSpec *none =
        parse(RUN(",\"capAdd\":[\"sys_admin\"],\"capDrop\":[\"all\"]"));
    assert_int_equal(none->sandbox.program.capabilities, 0);
    refused(RUN(",\"capAdd\":[\"chown\",\"flight\"]"), "capAdd[1]", "flight");
    refused(RUN(",\"capDrop\":[\"\"]"), "capDrop[0]", "is expected");
    refused_to_tenant(RUN(",\"capAdd\":[\"SYS_MODULE\"]"), "capAdd[0]", "SYS_MODULE");
    /* not even to take it away again: what is refused is the asking */
    refused_to_tenant(RUN(",\"capAdd\":[\"mknod\"],\"capDrop\":[\"mknod\"]"), "capAdd[0]", "MKNOD");
    _cleanup_(container_spec_freep) ContainerSpec *r = parse(RUN(",\"capAdd\":[\"SYS_MODULE\"]"));
    assert_true(r->sandbox.program.capabilities == UINT64_C(1) << 16);
}

static void test_exec_policy(void **state) {
    _cleanup_(container_spec_freep) ContainerSpec *none = parse(RUN(""));
    assert_false(none->sandbox.image_only);
    _cleanup_(container_spec_freep) ContainerSpec *report = parse(RUN(",\"execPolicy\":\"report\""));
    assert_false(report->sandbox.image_only);
    _cleanup_(container_spec_freep) ContainerSpec *only =
        parse_as(RUN(",\"execPolicy\":\"imageOnly\",\"capAdd\":[\"system\"]"), &tenant);
    assert_true(only->sandbox.image_only);
    _cleanup_(container_spec_freep) ContainerSpec *dropped =
        parse(RUN(",\"execPolicy\":\"imageOnly\",\"capAdd\":[\"sys_admin\"],\"capDrop\":[\"sys_admin\"]"));
    assert_true(dropped->sandbox.image_only);
    refused(RUN(",\"execPolicy\":\"imageOnly\",\"capAdd\":[\"sys_admin\"]"), "execPolicy", "CAP_SYS_ADMIN");
    refused(RUN(",\"execPolicy\":\"image-only\""), "execPolicy", "imageOnly");
}

static void test_seccomp(void **state) {
    _cleanup_(container_spec_freep) ContainerSpec *s = parse_as(RUN(",\"seccompProfile\":\"{}\""), &tenant);
    assert_string_equal(s->seccomp_profile, "{}");
    _cleanup_(container_spec_freep) ContainerSpec *u = parse(RUN(",\"seccompProfile\":\"unconfined\""));
    assert_true(u->seccomp_unconfined);
    assert_null(u->seccomp_profile);
    refused_to_tenant(RUN(",\"seccompProfile\":\"unconfined\""), "seccompProfile", "root alone");
    _cleanup_free_ char *long_text = malloc(KENNEL_PROFILE_MAX + 2), *text = NULL;
    memset(long_text, ' ', KENNEL_PROFILE_MAX + 1);
    long_text[KENNEL_PROFILE_MAX + 1] = 0;
    assert_true(asprintf(&text, RUN(",\"seccompProfile\":\"%s\""), long_text) > 0);
    refused(text, "seccompProfile", "524288");
}

static const SandboxRlimit *find_rlimit(const ContainerSpec *s, int resource) {
    for (size_t i = 0; i < s->sandbox.program.n_rlimits; i++)
        if (s->sandbox.program.rlimits[i].resource == resource)
            return &s->sandbox.program.rlimits[i];
    return NULL;
}

static void test_ulimits(void **state) {
    _cleanup_(container_spec_freep) ContainerSpec *s = parse(
        RUN(",\"ulimits\":[{\"name\":\"nofile\",\"soft\":10,\"hard\":20},{\"name\":\"nproc\",\"soft\":0,\"hard\":0}]"));
    assert_int_equal(find_rlimit(s, RLIMIT_NOFILE)->soft, 10);
    assert_int_equal(find_rlimit(s, RLIMIT_NOFILE)->hard, 20);
    assert_int_equal(find_rlimit(s, RLIMIT_CORE)->hard, 0);
    _cleanup_(container_spec_freep) ContainerSpec *d = parse(RUN(""));
    assert_true(find_rlimit(d, RLIMIT_NOFILE)->soft <= 1024);
    refused(RUN(",\"ulimits\":[{\"name\":\"files\",\"soft\":1,\"hard\":1}]"), "ulimits[0].name", "files");
    refused(RUN(",\"ulimits\":[{\"name\":\"nofile\",\"soft\":2,\"hard\":1}]"), "ulimits[0].soft", "is 2");
    refused(RUN(",\"ulimits\":[{\"name\":\"nofile\",\"soft\":-1,\"hard\":1}]"), "ulimits[0].soft", "is -1");
    refused(RUN(",\"ulimits\":[{\"name\":\"nofile\",\"soft\":-2,\"hard\":1}]"), "ulimits[0].soft", "-1");
    refused(
        RUN(",\"ulimits\":[{\"name\":\"nofile\",\"soft\":1,\"hard\":1},{\"name\":\"nofile\",\"soft\":1,\"hard\":1}]"),
        "ulimits[1].name", "second");
}

/* Above the daemon's own hard limit: lowers it for this process and for good. */
static void test_ulimit_of_daemon(void **state) {
    struct rlimit l = { .rlim_cur = 100, .rlim_max = 100 };
    assert_int_equal(setrlimit(RLIMIT_SIGPENDING, &l), 0);
    refused(RUN(",\"ulimits\":[{\"name\":\"sigpending\",\"soft\":1,\"hard\":101}]"), "ulimits[0].hard", "100");
    refused(RUN(",\"ulimits\":[{\"name\":\"sigpending\",\"soft\":1,\"hard\":-1}]"), "ulimits[0].hard", "100");
    _cleanup_(container_spec_freep) ContainerSpec *s =
        parse(RUN(",\"ulimits\":[{\"name\":\"sigpending\",\"soft\":1,\"hard\":100}]"));
    assert_int_equal(find_rlimit(s, RLIMIT_SIGPENDING)->hard, 100);
}

/* The rest of it is test-limits.c. */
static void test_limits(void **state) {
    _cleanup_(container_spec_freep) ContainerSpec *s =
        parse(RUN(",\"limits\":{\"memory\":4194304,\"cpuQuotaPerSecUsec\":10000,\"pids\":1}"));
    assert_int_equal(s->limits.cgroup.memory, 4194304);
    assert_int_equal(s->limits.cgroup.cpu_quota_per_sec_usec, 10000);
    assert_int_equal(s->limits.cgroup.pids, 1);
    refused(RUN(",\"limits\":{\"memory\":4194303}"), "limits.memory", "4194304");
    refused(RUN(",\"limits\":{\"pids\":0}"), "limits.pids", "is 0");
    refused(RUN(",\"limits\":{\"netRateIn\":8000}"), "limits.netRateIn", "bridge");
    refused(RUN(",\"network\":\"host\",\"limits\":{\"netRateOut\":8000}"), "limits.netRateOut", "bridge");
    refused(RUN(",\"readOnly\":true,\"limits\":{\"disk\":1048576}"), "limits.disk", "readOnly");
    _cleanup_(container_spec_freep) ContainerSpec *b =
        parse(RUN(",\"network\":\"bridge\",\"limits\":{\"netRateIn\":8000,\"unlimited\":[\"pids\"]}"));
    assert_int_equal(b->limits.network.in, 8000);
    assert_true(b->limits.cgroup.pids == CGROUP_LIMIT_NONE);
}

/* Ceilings are for those who are not root. */
static void test_ceilings(void **state) {
    environment.tenant_limits.cgroup.memory = 64ULL << 20;
    environment.tenant_limits.storage.bytes = 8ULL << 20;
    environment.tenant_limits.network.out = 9000;
    _cleanup_(container_spec_freep) ContainerSpec *t = parse_as(RUN(""), &tenant), *r = parse(RUN(""));
    assert_true(t->limits.cgroup.memory == 64ULL << 20 && t->limits.storage.bytes == 8ULL << 20);
    assert_true(t->limits.network.out == NETWORK_RATE_NONE); /* it has no interface */
    assert_true(r->limits.cgroup.memory == CGROUP_LIMIT_NONE && r->limits.storage.bytes == STORAGE_LIMIT_NONE);
    _cleanup_(container_spec_freep) ContainerSpec *b =
        parse_as(RUN(",\"network\":\"bridge\",\"readOnly\":true"), &tenant);
    assert_true(b->limits.network.out == 9000 && b->limits.storage.bytes == STORAGE_LIMIT_NONE);
    refused_to_tenant(RUN(",\"limits\":{\"memory\":67108865}"), "limits.memory", "67108864 at most");
    refused_to_tenant(RUN(",\"limits\":{\"unlimited\":[\"disk\"]}"), "limits.disk", "8388608 at most");
    _cleanup_(container_spec_freep) ContainerSpec *more = parse(RUN(",\"limits\":{\"memory\":67108865}"));
    assert_int_equal(more->limits.cgroup.memory, 67108865);
    environment.tenant_limits = CONTAINER_LIMITS_NONE;
}

static void test_terminal(void **state) {
    refused(RUN(",\"terminal\":{\"rows\":0,\"columns\":80}"), "terminal.rows", "1 to 65535");
    refused(RUN(",\"terminal\":{\"rows\":24,\"columns\":65536}"), "terminal.columns", "1 to 65535");
    _cleanup_(container_spec_freep) ContainerSpec *s = parse(RUN(",\"terminal\":{\"rows\":24,\"columns\":80}"));
    assert_true(s->sandbox.program.terminal && s->logged);
}

/* The first wrong field, in the interface's order, is the one that is named. */
static void test_first_wrong_field(void **state) {
    refused("{\"name\":\"a/b\",\"command\":[]}", "command", "empty");
    refused(RUN(",\"network\":\"x\",\"hostname\":\"-\",\"user\":\"-\""), "user", "0 to 65534");
}

/* No descriptor is lost on any way out: what is refused is closed, what is taken is the spec's. */
static void test_no_leak(void **state) {
    int before = open("/dev/null", O_RDONLY);
    (void) close(before);
    const Opened two[] = { { "/tmp", O_RDONLY }, { "/tmp", O_RDONLY } };
    refused_with(RUN(",\"rootfs\":0,\"volumes\":[{\"source\":1,\"target\":\"/proc\"}]"), &root, two, 2,
                 "volumes[0].target", "/proc");
    refused_with(BRIDGED("{\"host\":9,\"container\":1},{\"host\":9,\"container\":1}"), &root, NULL, 0, "ports[1].host",
                 "9");
    refused_with(RUN(",\"volumes\":[{\"source\":1,\"target\":\"/v\"}],\"limits\":{\"pids\":0}"), &root, two, 2,
                 "limits.pids", "0");
    ContainerSpec *s = NULL;
    Error e = ERROR_INIT;
    assert_true(
        parse_with(RUN(",\"rootfs\":0,\"volumes\":[{\"source\":1,\"target\":\"/v\"}]"), &root, two, 2, &s, &e) >= 0);
    s = container_spec_free(s);
    int after = open("/dev/null", O_RDONLY);
    (void) close(after);
    assert_int_equal(before, after);
}

static void test_watch(void **state) {
    ContainerSpec *s = parse("{\"command\":[\"a\"],\"watch\":[{\"detector\":\"cpu\",\"action\":\"off\"},"
                             "{\"detector\":\"connection\",\"action\":\"killContainer\"}]}");
    assert_int_equal(s->watch[FINDING_CPU], FINDING_OFF);
    assert_int_equal(s->watch[FINDING_CONNECTION], FINDING_KILL_CONTAINER);
    assert_int_equal(s->watch[FINDING_PRELOAD], FINDING_ACTION_UNSET);
    (void) container_spec_free(s);
    /* others than root may ask for more than the configuration has, not for less */
    environment.watch_actions[FINDING_PRELOAD] = FINDING_KILL_PROCESS;
    s = parse_as("{\"command\":[\"a\"],\"watch\":[{\"detector\":\"preload\",\"action\":\"killContainer\"},"
                 "{\"detector\":\"connection\",\"action\":\"off\"}]}",
                 &tenant);
    assert_int_equal(s->watch[FINDING_PRELOAD], FINDING_KILL_CONTAINER);
    assert_int_equal(s->watch[FINDING_CONNECTION], FINDING_OFF);
    (void) container_spec_free(s);
    refused_with("{\"command\":[\"a\"],\"watch\":[{\"detector\":\"preload\",\"action\":\"report\"}]}", &tenant, NULL, 0,
                 "watch[0].action", "killProcess");
    refused_with("{\"command\":[\"a\"],\"watch\":[{\"detector\":\"cpu\",\"action\":\"report\"},"
                 "{\"detector\":\"foreignScript\",\"action\":\"off\"}]}",
                 &tenant, NULL, 0, "watch[1].action", "root alone");
    refused_with("{\"command\":[\"a\"],\"watch\":[{\"detector\":\"cpu\",\"action\":\"report\"},"
                 "{\"detector\":\"cpu\",\"action\":\"off\"}]}",
                 &root, NULL, 0, "watch[1].detector", "once");
    refused_with("{\"command\":[\"a\"],\"watch\":[{\"detector\":\"x\",\"action\":\"off\"}]}", &root, NULL, 0,
                 "watch[0].detector", "");
    refused_with("{\"command\":[\"a\"],\"watch\":[{\"detector\":\"cpu\",\"action\":\"kill-process\"}]}", &root, NULL, 0,
                 "watch[0].action", "");
    memset(environment.watch_actions, 0, sizeof(environment.watch_actions));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_watch),
        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_labels),
        cmocka_unit_test(test_apparmor_refused),
        cmocka_unit_test(test_label_refused),
        cmocka_unit_test(test_relabel),
        cmocka_unit_test(test_controls),
        cmocka_unit_test(test_controls_of_tenants),
        cmocka_unit_test(test_environment_defaults),
        cmocka_unit_test(test_environment),
        cmocka_unit_test(test_lists),
        cmocka_unit_test(test_command),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_hostname),
        cmocka_unit_test(test_image),
        cmocka_unit_test(test_rootfs),
        cmocka_unit_test(test_rootfs_path),
        cmocka_unit_test(test_descriptors),
        cmocka_unit_test(test_volumes),
        cmocka_unit_test(test_targets),
        cmocka_unit_test(test_working_directory),
        cmocka_unit_test(test_user),
        cmocka_unit_test(test_network),
        cmocka_unit_test(test_ports),
        cmocka_unit_test(test_ports_refused),
        cmocka_unit_test(test_ports_addresses),
        cmocka_unit_test(test_ports_number),
        cmocka_unit_test(test_ceilings),
        cmocka_unit_test(test_capabilities),
        cmocka_unit_test(test_exec_policy),
        cmocka_unit_test(test_seccomp),
        cmocka_unit_test(test_ulimits),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_terminal),
        cmocka_unit_test(test_first_wrong_field),
        cmocka_unit_test(test_no_leak),
        cmocka_unit_test(test_ulimit_of_daemon),
    };
    return cmocka_run_group_tests(tests, set_up, NULL);
}
