/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Objects against tables: every way to be wrong, with its path and its words. One half uses tables written here, which
 * have every kind of type; the other those that were made from the interface files.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "proto/interface.h"

#include <string.h>

/*
 * (bool: ?bool, int: ?int, float: ?float, string: ?string, object: ?object, enum: ?(one, two),
 *  array: ?[]string, enums: ?[](one, two), map: ?[string]int, set: ?[string](), node: ?Node,
 *  maybes: ?[]?int, grid: ?[][]int)
 * type Node (value: int, next: ?Node, children: ?[]Node)
 */
static const InterfaceType type_bool = { .kind = INTERFACE_BOOL }, type_int = { .kind = INTERFACE_INT },
                           type_float = { .kind = INTERFACE_FLOAT }, type_string = { .kind = INTERFACE_STRING },
                           type_object = { .kind = INTERFACE_OBJECT };
static const char *const enum_names[] = { "one", "two", NULL };
static const InterfaceType type_enum = { .kind = INTERFACE_ENUM, .names = enum_names };
static const InterfaceField no_fields[] = { { .name = NULL } };
static const InterfaceType type_empty = { .kind = INTERFACE_STRUCT, .fields = no_fields };
static const InterfaceField node_fields[4];
static const InterfaceType type_node = { .kind = INTERFACE_STRUCT, .fields = node_fields };
static const InterfaceField node_fields[4] = {
    { .name = "value", .type = &type_int },
    { .name = "next", .type = &type_node, .optional = true },
    { .name = "children", .type = &type_node, .optional = true, .array = true },
    { .name = NULL },
};
static const InterfaceField maybe_int[] = { { .name = "", .type = &type_int, .optional = true }, { .name = NULL } };
static const InterfaceType type_maybe_int = { .kind = INTERFACE_NESTED, .fields = maybe_int };
static const InterfaceField row[] = { { .name = "", .type = &type_int, .array = true }, { .name = NULL } };
static const InterfaceType type_row = { .kind = INTERFACE_NESTED, .fields = row };
static const InterfaceField fields[] = {
    { .name = "bool", .type = &type_bool, .optional = true },
    { .name = "int", .type = &type_int, .optional = true },
    { .name = "float", .type = &type_float, .optional = true },
    { .name = "string", .type = &type_string, .optional = true },
    { .name = "object", .type = &type_object, .optional = true },
    { .name = "enum", .type = &type_enum, .optional = true },
    { .name = "array", .type = &type_string, .optional = true, .array = true },
    { .name = "enums", .type = &type_enum, .optional = true, .array = true },
    { .name = "map", .type = &type_int, .optional = true, .map = true },
    { .name = "set", .type = &type_empty, .optional = true, .map = true },
    { .name = "node", .type = &type_node, .optional = true },
    { .name = "maybes", .type = &type_maybe_int, .optional = true, .array = true },
    { .name = "grid", .type = &type_row, .optional = true, .array = true },
    { .name = NULL },
};

static int check(const InterfaceField *f, const char *text, Error *err) {
    _cleanup_json_ json_object *o = NULL;

    if (json_read(text, strlen(text), &JSON_BOUNDS_CALL, &o, err) < 0)
        fail_msg("%s: %s", text, err->message);
    return interface_check(f, o, err);
}

static void test_right(void **state) {
    static const char *const texts[] = {
        "{}",
        "{\"bool\":null,\"int\":null,\"array\":null,\"map\":null,\"node\":null,\"maybes\":null,\"enum\":null}",
        "{\"bool\":false,\"int\":-1,\"float\":1.5,\"string\":\"\",\"object\":{\"x\":[1]},\"enum\":\"two\"}",
        "{\"float\":1}",
        "{\"array\":[],\"enums\":[],\"map\":{},\"set\":{},\"maybes\":[],\"grid\":[]}",
        "{\"array\":[\"a\",\"b\"],\"enums\":[\"one\",\"two\",\"one\"],\"map\":{\"a\":1,\"\":2},\"set\":{\"a\":{}}}",
        "{\"node\":{\"value\":1,\"next\":{\"value\":2,\"next\":null},\"children\":[{\"value\":3}]}}",
        "{\"maybes\":[1,null,2],\"grid\":[[],[1,2]]}",
    };

    for (size_t i = 0; i < ELEMENTSOF(texts); i++) {
        Error err = ERROR_INIT;
        if (check(fields, texts[i], &err) < 0)
            fail_msg("%s: %s %s", texts[i], err.subject, err.message);
    }
}

static const struct {
    const char *text, *subject, *message;
} wrong[] = {
    /* each kind of type, against each kind of value */
    { "{\"bool\":1}", "bool", "is an integer (1); a boolean is expected" },
    { "{\"bool\":\"true\"}", "bool", "is a string (\"true\"); a boolean is expected" },
    { "{\"int\":\"12\"}", "int", "is a string (\"12\"); an integer is expected" },
    { "{\"int\":1.5}", "int", "is a number (1.5); an integer is expected" },
    { "{\"int\":12.0}", "int", "is a number (12.0); an integer is expected" },
    { "{\"int\":true}", "int", "is a boolean (true); an integer is expected" },
    { "{\"int\":[1]}", "int", "is an array ([1]); an integer is expected" },
    { "{\"int\":{\"a\":1}}", "int", "is an object ({\"a\":1}); an integer is expected" },
    { "{\"float\":\"1.5\"}", "float", "is a string (\"1.5\"); a number is expected" },
    { "{\"string\":1}", "string", "is an integer (1); a string is expected" },
    { "{\"object\":[]}", "object", "is an array ([]); an object is expected" },
    { "{\"object\":\"{}\"}", "object", "is a string (\"{}\"); an object is expected" },
    { "{\"enum\":\"three\"}", "enum", "is a string (\"three\"); one of one, two is expected" },
    { "{\"enum\":\"on\"}", "enum", "is a string (\"on\"); one of one, two is expected" },
    { "{\"enum\":0}", "enum", "is an integer (0); one of one, two is expected" },
    { "{\"array\":\"a\"}", "array", "is a string (\"a\"); an array of strings is expected" },
    { "{\"array\":{\"0\":\"a\"}}", "array", "is an object ({\"0\":\"a\"}); an array of strings is expected" },
    { "{\"enums\":{}}", "enums", "is an object ({}); an array of strings among one, two is expected" },
    { "{\"map\":[]}", "map", "is an array ([]); an object whose values are integers is expected" },
    { "{\"set\":[\"a\"]}", "set", "is an array ([\"a\"]); an object whose values are objects is expected" },
    { "{\"node\":1}", "node", "is an integer (1); an object is expected" },
    { "{\"maybes\":1}", "maybes", "is an integer (1); an array of integers is expected" },
    { "{\"grid\":1}", "grid", "is an integer (1); an array of arrays is expected" },
    /* elements */
    { "{\"array\":[\"a\",\"b\",\"c\",4]}", "array[3]", "is an integer (4); a string is expected" },
    { "{\"array\":[null]}", "array[0]", "is null; a string is expected" },
    { "{\"array\":[[]]}", "array[0]", "is an array ([]); a string is expected" },
    { "{\"enums\":[\"one\",\"x\"]}", "enums[1]", "is a string (\"x\"); one of one, two is expected" },
    { "{\"map\":{\"a\":1,\"b\":\"2\"}}", "map[\"b\"]", "is a string (\"2\"); an integer is expected" },
    { "{\"map\":{\"a\":null}}", "map[\"a\"]", "is null; an integer is expected" },
    { "{\"set\":{\"a\":{\"b\":1}}}", "set[\"a\"].b", "is not a field here; it is an integer (1); there are no fields" },
    { "{\"maybes\":[null,\"1\"]}", "maybes[1]", "is a string (\"1\"); an integer is expected" },
    { "{\"grid\":[[1],[2,\"3\"]]}", "grid[1][1]", "is a string (\"3\"); an integer is expected" },
    { "{\"grid\":[null]}", "grid[0]", "is null; an array of integers is expected" },
    { "{\"grid\":[1]}", "grid[0]", "is an integer (1); an array of integers is expected" },
    /* structs */
    { "{\"node\":{}}", "node.value", "is missing; an integer is expected" },
    { "{\"node\":{\"value\":null}}", "node.value", "is null; an integer is expected" },
    { "{\"node\":{\"value\":1,\"next\":{\"value\":2,\"children\":[{\"value\":3},{\"value\":\"4\"}]}}}",
      "node.next.children[1].value", "is a string (\"4\"); an integer is expected" },
    { "{\"node\":{\"value\":1,\"children\":[null]}}", "node.children[0]", "is null; an object is expected" },
    /* which of several: unknown ones first, then the order of the table */
    { "{\"int\":\"x\",\"bool\":1}", "bool", "is an integer (1); a boolean is expected" },
    { "{\"node\":{\"value\":\"x\",\"nxt\":1}}", "node.nxt",
      "is not a field here; it is an integer (1); the fields are value, next, children" },
    { "{\"bool\":1,\"bol\":null}", "bol",
      "is not a field here; it is null; the fields are bool, int, float, string, object, enum, array, enums, map, set, "
      "node, maybes, grid" },
    { "{\"Bool\":true}", "Bool",
      "is not a field here; it is a boolean (true); the fields are bool, int, float, string, object, enum, array, "
      "enums, "
      "map, set, node, maybes, grid" },
    /* what a peer can put into a path or a value */
    { "{\"int\":\"\\u001b[2J\\n\\\"\"}", "int", "is a string (\"\\u001b[2J\\n\\\"\"); an integer is expected" },
    { "{\"map\":{\"\\u001b\":\"\"}}", "map[\"\\u001b\"]", "is a string (\"\"); an integer is expected" },
    { "{\"int\":\"0123456789012345678901234567890123456789012345678901234567890123456789\"}", "int",
      "is a string (\"012345678901234567890123456789012345678901234567890123456789\u2026\"); an integer is expected" },
    { "{\"int\":[\"0123456789012345678901234567890123456789012345678901234567890123456789\"]}", "int",
      "is an array ([\"0123456789012345678901234567890123456789012345678901234567\u2026); an integer is expected" },
};

static void test_wrong(void **state) {
    for (size_t i = 0; i < ELEMENTSOF(wrong); i++) {
        Error err = ERROR_INIT;
        if (check(fields, wrong[i].text, &err) != -EINVAL)
            fail_msg("taken: %s", wrong[i].text);
        assert_string_equal(err.subject, wrong[i].subject);
        assert_string_equal(err.message, wrong[i].message);
        assert_int_equal(err.kind, ERROR_INVALID_SPEC);
        assert_int_equal(err.code, EINVAL);
        assert_int_equal(check(fields, wrong[i].text, &err), -EINVAL);
    }
}

/* Nothing that does not fit leaves half a character behind. */
static void test_long_path(void **state) {
    Error err = ERROR_INIT;

    assert_int_equal(check(fields,
                           "{\"map\":{\"\u20ac\u20ac\u20ac\u20ac\u20ac\u20ac\u20ac\u20ac\u20ac\u20ac\u20ac\u20ac\u20ac"
                           "\u20ac\u20ac\u20ac\u20ac\u20ac\u20ac\u20ac\u20ac\u20ac\u20ac\u20ac\":null}}",
                           &err),
                     -EINVAL);
    assert_string_equal(err.subject,
                        "map[\"\u20ac\u20ac\u20ac\u20ac\u20ac\u20ac\u20ac\u20ac\u20ac\u20ac\u20ac\u20ac\u20ac\u20ac"
                        "\u20ac\u20ac\u20ac\u20ac\u20ac");
}

static void test_no_reterr(void **state) {
    _cleanup_json_ json_object *o = json_object_new_object();

    assert_int_equal(interface_check(node_fields, o, NULL), -EINVAL);
}

static void test_method(void **state) {
    const InterfaceMethod *m = interface_method(&interface_io_kennel, "Run");

    assert_non_null(m);
    assert_string_equal(m->name, "Run");
    assert_null(interface_method(&interface_io_kennel, "run"));
    assert_null(interface_method(&interface_io_kennel, ""));
    assert_null(interface_method(&interface_io_kennel, "GetInfo"));
    assert_non_null(interface_method(&interface_org_varlink_service, "GetInfo"));
}

static void test_run(void **state) {
    const InterfaceField *in = interface_method(&interface_io_kennel, "Run")->in;
    Error err = ERROR_INIT;

    assert_int_equal(check(in, "{\"command\":[\"id\"]}", &err), 0);
    assert_int_equal(check(in,
                           "{\"command\":[],\"volumes\":[{\"source\":0,\"target\":\"/a\",\"readOnly\":null}],"
                           "\"ulimits\":[{\"name\":\"nofile\",\"soft\":-1,\"hard\":10}],\"limits\":{\"pids\":1},"
                           "\"terminal\":{\"rows\":1,\"columns\":2},\"env\":null}",
                           &err),
                     0);
    assert_int_equal(check(in, "{}", &err), -EINVAL);
    assert_string_equal(err.subject, "command");
    assert_string_equal(err.message, "is missing; an array of strings is expected");
    assert_int_equal(check(in, "{\"command\":[\"a\"],\"volumes\":[{\"target\":\"/a\"},{\"target\":12}]}", &err),
                     -EINVAL);
    assert_string_equal(err.subject, "volumes[1].target");
    assert_string_equal(err.message, "is an integer (12); a string is expected");
    assert_int_equal(check(in, "{\"command\":[\"a\"],\"env\":[\"A=1\",\"B=2\",\"C=3\",false]}", &err), -EINVAL);
    assert_string_equal(err.subject, "env[3]");
    assert_int_equal(check(in, "{\"comand\":[\"a\"]}", &err), -EINVAL);
    assert_string_equal(err.subject, "comand");
    assert_non_null(strstr(err.message, "it is an array ([\"a\"]); the fields are command, name, "));
    assert_int_equal(check(in, "{\"command\":[\"a\"],\"limits\":{\"memory\":1e9}}", &err), -EINVAL);
    assert_string_equal(err.subject, "limits.memory");
}

static void test_generated(void **state) {
    const InterfaceField *out = interface_method(&interface_io_kennel, "Info")->out;
    Error err = ERROR_INIT;
    size_t n_errors = 0;

    assert_string_equal(interface_io_kennel.name, "io.kennel");
    assert_non_null(strstr(interface_io_kennel.description, "\ninterface io.kennel\n"));
    /* characters beyond ASCII are in it as they are in the file */
    assert_non_null(strstr(interface_io_kennel.description, "CPU time in \u00b5s per second"));
    for (const InterfaceError *e = interface_io_kennel.errors; e->name; e++)
        n_errors += strcmp(e->name, "InvalidSpec") == 0 && strcmp(e->fields[1].name, "reason") == 0;
    assert_int_equal(n_errors, 1);
    /* an enum inside a type */
    assert_int_equal(check(out,
                           "{\"version\":\"\",\"kernel\":\"\",\"hierarchy\":\"\",\"cgroupRoot\":\"\","
                           "\"stateDirectory\":\"\",\"dataDirectory\":\"\",\"containers\":0,\"running\":0,"
                           "\"storage\":\"directory\",\"tenantLimits\":{},"
                           "\"controls\":[{\"name\":\"x\",\"state\":\"present\"}]}",
                           &err),
                     -EINVAL);
    assert_string_equal(err.subject, "controls[0].state");
    assert_string_equal(err.message, "is a string (\"present\"); one of inForce, absent is expected");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_right),     cmocka_unit_test(test_wrong),  cmocka_unit_test(test_long_path),
        cmocka_unit_test(test_no_reterr), cmocka_unit_test(test_method), cmocka_unit_test(test_run),
        cmocka_unit_test(test_generated),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
