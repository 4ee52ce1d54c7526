/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Calls and replies: the envelope around a method's parameters.
 *
 * The bytes are the peer's. The envelope is checked here to the last key; the parameters are only known to be a JSON
 * object within bounds, and are held against their method's fields by interface_check().
 */

#include "proto/message.h"

#include "proto/quote.h"

#include <string.h>

/* A key of the envelope; VALUE is borrowed from the message and NULL if it is absent or null. */
typedef struct Member {
    const char *name;
    json_type type;
    const char *expected;
    json_object *value;
} Member;

static const char *type_name(const json_object *value) {
    switch (json_object_get_type(value)) {
    case json_type_boolean:
        return "a boolean";
    case json_type_int:
        return "an integer";
    case json_type_double:
        return "a number";
    case json_type_string:
        return "a string";
    case json_type_array:
        return "an array";
    case json_type_object:
        return "an object";
    default:
        return "null";
    }
}

static int read_member(Member *members, const char *key, json_object *value, Error *reterr) {
    for (Member *m = members; m->name; m++) {
        if (strcmp(m->name, key) != 0)
            continue;
        if (value && !json_object_is_type(value, m->type))
            return error_set(reterr, ERROR_MALFORMED, EBADMSG, NULL, "\"%s\" of a message is %s; %s is expected", key,
                             type_name(value), m->expected);
        m->value = value;
        return 0;
    }
    char quoted[QUOTE_SIZE];
    return error_set(reterr, ERROR_MALFORMED, EBADMSG, NULL, "a message has no such key: %s",
                     quote(quoted, key, strlen(key)));
}

/* *ret owns what MEMBERS, ended by a NULL name, point to. */
static int read_envelope(const char *bytes, size_t size, const JsonBounds *bounds, Member *members, json_object **ret,
                         Error *reterr) {
    _cleanup_json_ json_object *root = NULL;

    int r = json_read(bytes, size, bounds, &root, reterr);
    if (r < 0)
        return r;
    if (!json_object_is_type(root, json_type_object))
        return error_set(reterr, ERROR_MALFORMED, EBADMSG, NULL, "a message is %s; an object is expected",
                         type_name(root));
    json_object_object_foreach(root, key, value) {
        r = read_member(members, key, value, reterr);
        if (r < 0)
            return r;
    }
    *ret = TAKE_PTR(root);
    return 0;
}

static int fail_memory(Error *reterr) {
    return error_failed(reterr, ENOMEM, "message", "out of memory");
}

static json_object *parameters_or_empty(json_object *parameters) {
    return parameters ? json_object_get(parameters) : json_object_new_object();
}

/* "io.kennel.Run" is method Run of interface io.kennel. */
static int split_method(json_object *name, MessageCall *c, Error *reterr) {
    char quoted[QUOTE_SIZE];
    const char *text = json_object_get_string(name);
    const char *dot = strrchr(text, '.');

    if (!dot || dot == text || dot[1] == 0)
        return error_set(reterr, ERROR_MALFORMED, EBADMSG, NULL, "\"method\" must be INTERFACE.METHOD, not %s",
                         quote(quoted, text, strlen(text)));
    c->interface = strndup(text, (size_t) (dot - text));
    c->method = strdup(dot + 1);
    return c->interface && c->method ? 0 : fail_memory(reterr);
}

int message_call_parse(const char *bytes, size_t size, MessageCall **ret, Error *reterr) {
    enum { METHOD, PARAMETERS, MORE, ONEWAY, UPGRADE };
    Member members[] = {
        { "method", json_type_string, "a string", NULL },    { "parameters", json_type_object, "an object", NULL },
        { "more", json_type_boolean, "a boolean", NULL },    { "oneway", json_type_boolean, "a boolean", NULL },
        { "upgrade", json_type_boolean, "a boolean", NULL }, { NULL, json_type_null, NULL, NULL },
    };
    _cleanup_json_ json_object *root = NULL;
    _cleanup_(message_call_freep) MessageCall *c = NULL;

    int r = read_envelope(bytes, size, &JSON_BOUNDS_CALL, members, &root, reterr);
    if (r < 0)
        return r;
    if (!members[METHOD].value)
        return error_set(reterr, ERROR_MALFORMED, EBADMSG, NULL, "a call needs a \"method\"");
    if (json_object_get_boolean(members[UPGRADE].value))
        return error_set(reterr, ERROR_MALFORMED, EBADMSG, NULL, "\"upgrade\": there is no other protocol here");
    c = calloc(1, sizeof(*c));
    if (!c)
        return fail_memory(reterr);
    r = split_method(members[METHOD].value, c, reterr);
    if (r < 0)
        return r;
    c->more = json_object_get_boolean(members[MORE].value);
    c->oneway = json_object_get_boolean(members[ONEWAY].value);
    if (c->more && c->oneway)
        return error_set(reterr, ERROR_MALFORMED, EBADMSG, NULL, "a call cannot have \"more\" and \"oneway\" both");
    c->parameters = parameters_or_empty(members[PARAMETERS].value);
    if (!c->parameters)
        return fail_memory(reterr);
    *ret = TAKE_PTR(c);
    return 0;
}

MessageCall *message_call_free(MessageCall *c) {
    if (!c)
        return NULL;
    free(c->interface);
    free(c->method);
    json_object_putp(&c->parameters);
    free(c);
    return NULL;
}

int message_reply_parse(const char *bytes, size_t size, MessageReply **ret, Error *reterr) {
    enum { PARAMETERS, ERROR_NAME, CONTINUES };
    Member members[] = {
        { "parameters", json_type_object, "an object", NULL },
        { "error", json_type_string, "a string", NULL },
        { "continues", json_type_boolean, "a boolean", NULL },
        { NULL, json_type_null, NULL, NULL },
    };
    _cleanup_json_ json_object *root = NULL;
    _cleanup_(message_reply_freep) MessageReply *reply = NULL;

    int r = read_envelope(bytes, size, &JSON_BOUNDS_TRUSTED, members, &root, reterr);
    if (r < 0)
        return r;
    reply = calloc(1, sizeof(*reply));
    if (!reply)
        return fail_memory(reterr);
    reply->continues = json_object_get_boolean(members[CONTINUES].value);
    if (members[ERROR_NAME].value) {
        if (reply->continues)
            return error_set(reterr, ERROR_MALFORMED, EBADMSG, NULL, "a reply cannot have \"error\" and \"continues\"");
        reply->error = strdup(json_object_get_string(members[ERROR_NAME].value));
        if (!reply->error)
            return fail_memory(reterr);
    }
    reply->parameters = parameters_or_empty(members[PARAMETERS].value);
    if (!reply->parameters)
        return fail_memory(reterr);
    *ret = TAKE_PTR(reply);
    return 0;
}

MessageReply *message_reply_free(MessageReply *r) {
    if (!r)
        return NULL;
    free(r->error);
    json_object_putp(&r->parameters);
    free(r);
    return NULL;
}

/* Adds VALUE, which is consumed; NULL says that it could not be made. */
static int add(json_object *envelope, const char *key, json_object *value) {
    unsigned flags = JSON_C_OBJECT_ADD_KEY_IS_NEW | JSON_C_OBJECT_KEY_IS_CONSTANT;

    if (value && json_object_object_add_ex(envelope, key, value, flags) == 0)
        return 0;
    json_object_put(value);
    return -ENOMEM;
}

/*
 * Borrows PARAMETERS into an envelope of three keys at most and writes both in one go: the text is made once, and
 * copied once, into the queue.
 */
static int queue(Framing *f, const char *name_key, const char *name, json_object *parameters, const char *flag_key,
                 const int *with_fds, size_t n_fds) {
    _cleanup_json_ json_object *envelope = json_object_new_object();
    size_t size;

    if (!envelope)
        return -ENOMEM;
    int r = name ? add(envelope, name_key, json_object_new_string(name)) : 0;
    if (r == 0)
        r = add(envelope, "parameters", parameters_or_empty(parameters));
    if (r == 0 && flag_key)
        r = add(envelope, flag_key, json_object_new_boolean(true));
    if (r < 0)
        return r;
    const char *text =
        json_object_to_json_string_length(envelope, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE, &size);
    return text ? framing_queue(f, text, size, with_fds, n_fds) : -ENOMEM;
}

int message_queue_call(Framing *f, const char *method, json_object *parameters, bool more, const int *with_fds,
                       size_t n_fds) {
    return queue(f, "method", method, parameters, more ? "more" : NULL, with_fds, n_fds);
}

int message_queue_reply(Framing *f, json_object *parameters, bool continues, const int *with_fds, size_t n_fds) {
    return queue(f, NULL, NULL, parameters, continues ? "continues" : NULL, with_fds, n_fds);
}

int message_queue_reply_text(Framing *f, const char *parameters, size_t size, bool continues) {
    static const char begin[] = "{\"parameters\":", last[] = "}", more[] = ",\"continues\":true}";
    const struct iovec pieces[] = {
        { (char *) begin, sizeof(begin) - 1 },
        { (char *) parameters, size },
        { (char *) (continues ? more : last), continues ? sizeof(more) - 1 : sizeof(last) - 1 },
    };
    return framing_queue_pieces(f, pieces, ELEMENTSOF(pieces));
}

int message_queue_error(Framing *f, const char *error, json_object *parameters) {
    return queue(f, "error", error, parameters, NULL, NULL, 0);
}
