/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Any bytes, to the JSON reader and to the parsers of messages. What must hold besides not crashing: what is taken is
 * written again as JSON that is taken and equal; what is refused says why, in UTF-8 and without control characters.
 */

#include "proto/interface.h"
#include "proto/message.h"
#include "proto/utf8.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static void check_text(const char *text) {
    for (size_t i = 0, left = strlen(text); left > 0;) {
        uint32_t c = 0;
        size_t n = utf8_decode(text + i, left, &c);
        if (n == 0 || c < 0x20 || (c >= 0x7F && c < 0xA0))
            abort();
        i += n;
        left -= n;
    }
}

static void check_error(int r, const Error *err) {
    if (r >= 0 || err->kind == ERROR_NONE || err->code != -r || !err->message[0])
        abort();
    check_text(err->message);
    check_text(err->subject);
}

static void check_round_trip(json_object *o) {
    _cleanup_json_ json_object *again = NULL;
    const char *text = json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE);

    if (json_read(text, strlen(text), &JSON_BOUNDS_CALL, &again, NULL) < 0 || !json_object_equal(o, again))
        abort();
}

static void fuzz_json(const char *bytes, size_t size) {
    _cleanup_json_ json_object *o = NULL;
    Error err = ERROR_INIT;

    int r = json_read(bytes, size, &JSON_BOUNDS_CALL, &o, &err);
    if (r < 0)
        check_error(r, &err);
    else
        check_round_trip(o);
}

static void fuzz_call(const char *bytes, size_t size) {
    _cleanup_(message_call_freep) MessageCall *c = NULL;
    Error err = ERROR_INIT;

    int r = message_call_parse(bytes, size, &c, &err);
    if (r < 0) {
        check_error(r, &err);
        return;
    }
    if (!c->interface[0] || !c->method[0] || !json_object_is_type(c->parameters, json_type_object))
        abort();
    const InterfaceMethod *m = interface_method(&interface_io_kennel, c->method);
    if (!m)
        m = interface_method(&interface_io_kennel, "Run");
    r = interface_check(m->in, c->parameters, &err);
    if (r < 0)
        check_error(r, &err);
}

static void fuzz_reply(const char *bytes, size_t size) {
    _cleanup_(message_reply_freep) MessageReply *reply = NULL;
    Error err = ERROR_INIT;

    int r = message_reply_parse(bytes, size, &reply, &err);
    if (r < 0)
        check_error(r, &err);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
    fuzz_json((const char *) bytes, size);
    fuzz_call((const char *) bytes, size);
    fuzz_reply((const char *) bytes, size);
    return 0;
}
