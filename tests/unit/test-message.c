/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The envelope of calls and replies: parsed, refused in words, and written. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "proto/message.h"

#include <string.h>
#include <sys/socket.h>

static void test_call(void **state) {
    static const char text[] = "{\"method\":\"io.kennel.Run\",\"parameters\":{\"a\":1},\"more\":true}";
    _cleanup_(message_call_freep) MessageCall *c = NULL;

    assert_int_equal(message_call_parse(text, strlen(text), &c, NULL), 0);
    assert_string_equal(c->interface, "io.kennel");
    assert_string_equal(c->method, "Run");
    assert_true(c->more);
    assert_false(c->oneway);
    assert_string_equal(json_object_to_json_string_ext(c->parameters, JSON_C_TO_STRING_PLAIN), "{\"a\":1}");
}

static void test_call_defaults(void **state) {
    static const char *const texts[] = {
        "{\"method\":\"a.b.C\"}",
        "{\"method\":\"a.b.C\",\"parameters\":null,\"more\":null,\"oneway\":null,\"upgrade\":null}",
        "{\"upgrade\":false,\"oneway\":false,\"more\":false,\"parameters\":{},\"method\":\"a.b.C\"}",
    };

    for (size_t i = 0; i < ELEMENTSOF(texts); i++) {
        _cleanup_(message_call_freep) MessageCall *c = NULL;
        assert_int_equal(message_call_parse(texts[i], strlen(texts[i]), &c, NULL), 0);
        assert_string_equal(c->interface, "a.b");
        assert_string_equal(c->method, "C");
        assert_false(c->more || c->oneway);
        assert_true(json_object_is_type(c->parameters, json_type_object));
        assert_int_equal(json_object_object_length(c->parameters), 0);
    }
}

static void test_call_oneway(void **state) {
    static const char text[] = "{\"method\":\"a.C\",\"oneway\":true}";
    _cleanup_(message_call_freep) MessageCall *c = NULL;

    assert_int_equal(message_call_parse(text, strlen(text), &c, NULL), 0);
    assert_true(c->oneway);
}

static void test_call_refused(void **state) {
    static const struct {
        const char *text, *message;
    } table[] = {
        { "", "byte 0: the input ends where a value is expected" },
        { "{\"method\":\"a.B\",\"method\":\"a.C\"}", "byte 16: a key occurs twice: \"method\"" },
        { "[]", "a message is an array; an object is expected" },
        { "null", "a message is null; an object is expected" },
        { "\"x\"", "a message is a string; an object is expected" },
        { "1.5", "a message is a number; an object is expected" },
        { "{}", "a call needs a \"method\"" },
        { "{\"method\":null}", "a call needs a \"method\"" },
        { "{\"method\":1}", "\"method\" of a message is an integer; a string is expected" },
        { "{\"method\":\"Run\"}", "\"method\" must be INTERFACE.METHOD, not \"Run\"" },
        { "{\"method\":\".Run\"}", "\"method\" must be INTERFACE.METHOD, not \".Run\"" },
        { "{\"method\":\"io.\"}", "\"method\" must be INTERFACE.METHOD, not \"io.\"" },
        { "{\"method\":\"\"}", "\"method\" must be INTERFACE.METHOD, not \"\"" },
        { "{\"method\":\"\\u001b[2J\"}", "\"method\" must be INTERFACE.METHOD, not \"\\u001b[2J\"" },
        { "{\"method\":\"a.B\",\"parameters\":[]}", "\"parameters\" of a message is an array; an object is expected" },
        { "{\"method\":\"a.B\",\"more\":1}", "\"more\" of a message is an integer; a boolean is expected" },
        { "{\"method\":\"a.B\",\"oneway\":\"yes\"}", "\"oneway\" of a message is a string; a boolean is expected" },
        { "{\"method\":\"a.B\",\"upgrade\":true}", "\"upgrade\": there is no other protocol here" },
        { "{\"method\":\"a.B\",\"more\":true,\"oneway\":true}", "a call cannot have \"more\" and \"oneway\" both" },
        { "{\"method\":\"a.B\",\"flags\":1}", "a message has no such key: \"flags\"" },
        { "{\"method\":\"a.B\",\"\\n\":null}", "a message has no such key: \"\\n\"" },
        { "{\"method\":\"a.B\",\"continues\":true}", "a message has no such key: \"continues\"" },
    };

    for (size_t i = 0; i < ELEMENTSOF(table); i++) {
        MessageCall *c = NULL;
        Error err = ERROR_INIT;
        assert_int_equal(message_call_parse(table[i].text, strlen(table[i].text), &c, &err), -EBADMSG);
        assert_string_equal(err.message, table[i].message);
        assert_int_equal(err.kind, ERROR_MALFORMED);
        assert_null(c);
    }
}

static void test_reply(void **state) {
    static const char text[] = "{\"parameters\":{\"a\":1},\"continues\":true}", empty[] = "{}";
    static const char error[] = "{\"error\":\"io.kennel.NotRunning\",\"parameters\":{\"container\":\"x\"}}";
    _cleanup_(message_reply_freep) MessageReply *r = NULL, *e = NULL, *n = NULL;

    assert_int_equal(message_reply_parse(text, strlen(text), &r, NULL), 0);
    assert_null(r->error);
    assert_true(r->continues);
    assert_int_equal(json_object_object_length(r->parameters), 1);

    assert_int_equal(message_reply_parse(error, strlen(error), &e, NULL), 0);
    assert_string_equal(e->error, "io.kennel.NotRunning");
    assert_false(e->continues);

    assert_int_equal(message_reply_parse(empty, strlen(empty), &n, NULL), 0);
    assert_null(n->error);
    assert_int_equal(json_object_object_length(n->parameters), 0);
}

static void test_reply_refused(void **state) {
    static const struct {
        const char *text, *message;
    } table[] = {
        { "[]", "a message is an array; an object is expected" },
        { "{\"error\":{}}", "\"error\" of a message is an object; a string is expected" },
        { "{\"parameters\":true}", "\"parameters\" of a message is a boolean; an object is expected" },
        { "{\"continues\":1.5}", "\"continues\" of a message is a number; a boolean is expected" },
        { "{\"error\":\"a.B\",\"continues\":true}", "a reply cannot have \"error\" and \"continues\"" },
        { "{\"method\":\"a.B\"}", "a message has no such key: \"method\"" },
    };

    for (size_t i = 0; i < ELEMENTSOF(table); i++) {
        MessageReply *r = NULL;
        Error err = ERROR_INIT;
        assert_int_equal(message_reply_parse(table[i].text, strlen(table[i].text), &r, &err), -EBADMSG);
        assert_string_equal(err.message, table[i].message);
        assert_null(r);
    }
}

static void test_queue(void **state) {
    static const char expected[] =
        "{\"method\":\"io.kennel.Run\",\"parameters\":{\"path\":\"/a/\\\"b\"},\"more\":true}\0"
        "{\"method\":\"io.kennel.List\",\"parameters\":{}}\0"
        "{\"parameters\":{}}\0"
        "{\"parameters\":{\"path\":\"/a/\\\"b\"},\"continues\":true}\0"
        "{\"parameters\":{\"text\":1},\"continues\":true}\0"
        "{\"parameters\":{}}\0"
        "{\"error\":\"io.kennel.NotRunning\",\"parameters\":{\"path\":\"/a/\\\"b\"}}\0"
        "{\"error\":\"io.kennel.PermissionDenied\",\"parameters\":{}}";
    _cleanup_(framing_freep) Framing *f = NULL;
    _cleanup_json_ json_object *parameters = json_object_new_object();
    char got[sizeof(expected) + 1];
    int pair[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    assert_int_equal(framing_new(pair[0], 1024, 1024, &f), 0);
    json_object_object_add(parameters, "path", json_object_new_string("/a/\"b"));
    assert_int_equal(message_queue_call(f, "io.kennel.Run", parameters, true, NULL, 0), 0);
    assert_int_equal(message_queue_call(f, "io.kennel.List", NULL, false, NULL, 0), 0);
    assert_int_equal(message_queue_reply(f, NULL, false, NULL, 0), 0);
    assert_int_equal(message_queue_reply(f, parameters, true, NULL, 0), 0);
    assert_int_equal(message_queue_reply_text(f, "{\"text\":1}, and more", 10, true), 0);
    assert_int_equal(message_queue_reply_text(f, "{}", 2, false), 0);
    assert_int_equal(message_queue_error(f, "io.kennel.NotRunning", parameters), 0);
    assert_int_equal(message_queue_error(f, "io.kennel.PermissionDenied", NULL), 0);
    assert_int_equal(framing_write(f), 1);
    assert_int_equal(read(pair[1], got, sizeof(got)), sizeof(expected));
    assert_memory_equal(got, expected, sizeof(expected));
    /* the caller's reference is still its own, and the only one */
    assert_int_equal(json_object_put(json_object_get(parameters)), 0);
    fd_close(pair[1]);
}

static void test_queue_full(void **state) {
    _cleanup_(framing_freep) Framing *f = NULL;
    int pair[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    assert_int_equal(framing_new(pair[0], 16, 16, &f), 0);
    assert_int_equal(message_queue_reply(f, NULL, false, NULL, 0), -ENOBUFS);
    assert_int_equal(message_queue_reply_text(f, "", 0, true), -ENOBUFS);
    assert_int_equal(framing_queued(f), 0);
    fd_close(pair[1]);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_call),         cmocka_unit_test(test_call_defaults), cmocka_unit_test(test_call_oneway),
        cmocka_unit_test(test_call_refused), cmocka_unit_test(test_reply),         cmocka_unit_test(test_reply_refused),
        cmocka_unit_test(test_queue),        cmocka_unit_test(test_queue_full),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
