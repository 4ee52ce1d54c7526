/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Findings: names, JSON there and back, what a record may not be, when two are one. */

#include "watch/finding.h"

#include "proto/json.h"
#include "util/parse.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void names(void **state) {
    for (int k = 0; k < _FINDING_KIND_MAX; k++) {
        const char *name = finding_kind_to_string((FindingKind) k);
        assert_non_null(name);
        assert_int_equal(finding_kind_from_string(name), k);
    }
    for (int a = FINDING_OFF; a < _FINDING_ACTION_MAX; a++)
        assert_int_equal(finding_action_from_string(finding_action_to_string((FindingAction) a)), a);
    assert_string_equal(finding_kind_to_string(FINDING_REFUSED_CALL), "refusedCall");
    assert_int_equal(finding_kind_from_string("nothing"), _FINDING_KIND_INVALID);
    assert_null(finding_kind_to_string(_FINDING_KIND_MAX));
    assert_null(finding_action_to_string(FINDING_ACTION_UNSET));
    assert_int_equal(finding_action_from_string(""), FINDING_ACTION_UNSET);
    assert_string_equal(receipt_outcome_to_string(RECEIPT_SPARED), "spared");
}

static char **strings(const char *a, const char *b) {
    return strv_copy((char *[]){ (char *) a, (char *) b, NULL });
}

static Finding *full(void) {
    Finding *f = finding_new(FINDING_REFUSED_CALL, FINDING_HIGH);
    assert_non_null(f);
    f->number = 7;
    f->first_usec = 1000, f->last_usec = 2000, f->count = 3;
    f->pid = 4, f->host_pid = 400, f->start_time = 99, f->started_usec = 55;
    strcpy(f->process_name, "x\xff");
    f->program = strdup("/tmp/\xc3\xa9");
    f->has_size = true, f->program_size = 10;
    f->program_dev = UINT64_MAX, f->program_ino = 1ULL << 63;
    memset(f->program_sha256, 'a', FINDING_SHA256_LENGTH);
    f->command = strings("a", "");
    f->sockets = strings("tcp 1.2.3.4:5 LISTEN", "unix @x");
    f->mapped_files = strings("/tmp/x", "/lib/y");
    f->parents = calloc(2, sizeof(FindingParent));
    f->parents[0] = (FindingParent){ 1, 300, "sh" };
    f->parents[1] = (FindingParent){ 0, 200, "kenneld" };
    f->n_parents = 2;
    f->working_directory = strdup("/");
    f->has_call = true, f->call_number = 165, f->call_errno = 1;
    strcpy(f->call_name, "mount");
    strcpy(f->call_architecture, "x86_64");
    f->call_arguments[0] = UINT64_MAX;
    strcpy(f->evidence, "seen");
    f->action = FINDING_KILL_PROCESS;
    f->has_receipt = true;
    f->receipt = (Receipt){ 4, 400, RECEIPT_DYING, "io_schedule", 2, 1234 };
    strcpy(f->quarantined, "abc-7");
    return f;
}

static void there_and_back(void **state) {
    Error e = ERROR_INIT;
    Finding *f = full(), *g = NULL;
    json_object *o = finding_to_record(f);
    assert_non_null(o);
    assert_int_equal(finding_from_record(o, &g, &e), 0);
    json_object *p = finding_to_record(g);
    assert_string_equal(json_object_to_json_string(o), json_object_to_json_string(p));
    assert_true(g->program_dev == UINT64_MAX && g->program_ino == 1ULL << 63 && g->start_time == 99);
    assert_string_equal(g->process_name, "x\xEF\xBF\xBD");
    assert_true(g->call_arguments[0] == UINT64_MAX && g->n_parents == 2 && g->parents[1].pid == 0);
    json_object_put(o);
    json_object_put(p);
    (void) finding_free(f);
    (void) finding_free(g);
}

static void an_empty_one_has_every_member(void **state) {
    Error e = ERROR_INIT;
    Finding *f = finding_new(FINDING_CPU, FINDING_LOW), *g = NULL;
    json_object *o = finding_to_record(f), *member;
    assert_int_equal(json_object_object_length(o), 26);
    assert_true(json_object_object_get_ex(o, "pid", &member) && !member);
    assert_true(json_object_object_get_ex(o, "command", &member) && json_object_array_length(member) == 0);
    assert_int_equal(finding_from_record(o, &g, &e), 0);
    assert_int_equal(g->kind, FINDING_CPU);
    assert_null(g->program);
    assert_false(g->has_call || g->has_receipt || g->has_size);
    json_object_put(o);
    (void) finding_free(f);
    (void) finding_free(g);
}

static const struct {
    const char *member, *value; /* NULL: left out */
} bad[] = {
    { "kind", NULL },
    { "kind", "\"none\"" },
    { "kind", "null" },
    { "action", "\"\"" },
    { "count", "-1" },
    { "count", "1.5" },
    { "pid", "0" },
    { "pid", "4294967296" },
    { "evidence", "null" },
    { "programSha256", "\"abc\"" },
    { "programSha256", "\"ABCDEFaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"" },
    { "command", "null" },
    { "command", "[1]" },
    { "command", "[\"a\", null]" },
    { "parents", "[{}]" },
    { "parents", "[{\"pid\": 1, \"hostPid\": 2, \"name\": \"x\", \"more\": 1}]" },
    { "call", "{}" },
    { "call", "[]" },
    { "receipt", "{\"pid\": 1}" },
    { "startTime", NULL },
    { "unknown", "1" },
};

static void bad_records(void **state) {
    for (size_t i = 0; i < ELEMENTSOF(bad); i++) {
        Error e = ERROR_INIT;
        Finding *f = full(), *g = NULL;
        json_object *o = finding_to_record(f);
        if (bad[i].value)
            json_object_object_add(o, bad[i].member, json_tokener_parse(bad[i].value));
        else
            json_object_object_del(o, bad[i].member);
        if (finding_from_record(o, &g, &e) != -EBADMSG)
            fail_msg("%s %s was taken", bad[i].member, bad[i].value ?: "left out");
        assert_null(g);
        json_object_put(o);
        (void) finding_free(f);
    }
}

static void too_much(void **state) {
    Error e = ERROR_INIT;
    Finding *f = full(), *g = NULL;
    json_object *o = finding_to_record(f), *a = json_object_new_array();
    for (unsigned i = 0; i <= FINDING_ARGUMENTS_MAX; i++)
        json_object_array_add(a, json_object_new_string("a"));
    json_object_object_add(o, "command", a);
    assert_int_equal(finding_from_record(o, &g, &e), -EBADMSG);
    json_object_put(o);
    (void) finding_free(f);
}

static Finding make(FindingKind kind, const char *program, uint64_t ino, char hash, const char *name,
                    const char *evidence) {
    Finding f = { .kind = kind, .program = (char *) program, .program_ino = ino, .program_dev = 1, .count = 1 };
    if (hash)
        memset(f.program_sha256, hash, FINDING_SHA256_LENGTH);
    strcpy(f.process_name, name);
    strcpy(f.evidence, evidence);
    return f;
}

static void programs(void **state) {
    Finding a = make(FINDING_FOREIGN_PROGRAM, "/a", 1, 'a', "a", ""),
            b = make(FINDING_FOREIGN_PROGRAM, "/b", 1, 'a', "b", "");
    assert_true(finding_is_same(&a, &b)); /* one file of two names */
    b.program_ino = 2;
    assert_false(finding_is_same(&a, &b)); /* a copy */
    b.program = (char *) "/a";
    assert_true(finding_is_same(&a, &b)); /* made again in its place */
    memset(b.program_sha256, 'b', FINDING_SHA256_LENGTH);
    assert_false(finding_is_same(&a, &b));
    b.program_ino = 1;
    assert_false(finding_is_same(&a, &b)); /* another under a number that was free again */
    a.program_sha256[0] = b.program_sha256[0] = 0;
    assert_true(finding_is_same(&a, &b));
    a.program_ino = 0;
    assert_true(finding_is_same(&a, &b)); /* the path is all there is */
    b.kind = FINDING_DELETED_PROGRAM;
    assert_false(finding_is_same(&a, &b));
}

static void others(void **state) {
    Finding a = make(FINDING_DISGUISE, "/a", 1, 0, "x", "e"), b = make(FINDING_DISGUISE, "/a", 1, 0, "y", "e");
    assert_false(finding_is_same(&a, &b));
    strcpy(b.process_name, "x");
    assert_true(finding_is_same(&a, &b));
    a.kind = b.kind = FINDING_REFUSED_CALL;
    a.call_number = 1, b.call_number = 2;
    assert_false(finding_is_same(&a, &b));
    b.call_number = 1;
    assert_true(finding_is_same(&a, &b));
    a.kind = b.kind = FINDING_HIDDEN_PROCESS;
    a.host_pid = b.host_pid = 5;
    a.start_time = 1;
    assert_false(finding_is_same(&a, &b));
    b.start_time = 1;
    assert_true(finding_is_same(&a, &b));
    a.kind = b.kind = FINDING_LISTENER;
    a.sockets = (char *[]){ (char *) "tcp 0.0.0.0:1 LISTEN", NULL };
    assert_false(finding_is_same(&a, &b));
    b.sockets = (char *[]){ (char *) "tcp 0.0.0.0:1 LISTEN", NULL };
    assert_true(finding_is_same(&a, &b));
    a.kind = b.kind = FINDING_FORK_STORM;
    b.host_pid = 6;
    assert_true(finding_is_same(&a, &b));
}

static void seen_again(void **state) {
    Finding a = { .count = 2, .first_usec = 1, .last_usec = 10, .host_pid = 5, .start_time = 1 },
            b = { .count = 3, .first_usec = 20, .last_usec = 20, .host_pid = 6, .start_time = 2 };
    finding_merge(&a, &b);
    assert_true(a.count == 5 && a.first_usec == 1 && a.last_usec == 20 && a.host_pid == 6 && a.start_time == 2);
    b = (Finding){ .count = 1, .last_usec = 15, .host_pid = 7 };
    finding_merge(&a, &b);
    assert_true(a.count == 6 && a.last_usec == 20 && a.host_pid == 6);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names),
        cmocka_unit_test(there_and_back),
        cmocka_unit_test(an_empty_one_has_every_member),
        cmocka_unit_test(bad_records),
        cmocka_unit_test(too_much),
        cmocka_unit_test(programs),
        cmocka_unit_test(others),
        cmocka_unit_test(seen_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
