/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Varlink's two kinds of message over framing's bytes: a call and a reply (https://varlink.org/Method-Call).
 */

#include "proto/framing.h"
#include "proto/json.h"

typedef struct MessageCall {
    char *interface;         /* "io.kennel" */
    char *method;            /* "Run" */
    json_object *parameters; /* an object, never NULL */
    bool more, oneway;
} MessageCall;

MessageCall *message_call_free(MessageCall *c);
DEFINE_CLEANUP(MessageCall, message_call_free)

/* Parses and checks a call: keys known, types right. `upgrade` is refused. Returns -EBADMSG and reterr as json_read(). */
int message_call_parse(const char *bytes, size_t size, MessageCall **ret, Error *reterr);

typedef struct MessageReply {
    char *error;             /* fully qualified, NULL for success */
    json_object *parameters; /* an object, never NULL */
    bool continues;
} MessageReply;

MessageReply *message_reply_free(MessageReply *r);
DEFINE_CLEANUP(MessageReply, message_reply_free)

int message_reply_parse(const char *bytes, size_t size, MessageReply **ret, Error *reterr);

/* Queue a call or a reply. METHOD and ERROR are fully qualified. PARAMETERS may be NULL; the caller keeps its reference. */
int message_queue_call(Framing *f, const char *method, json_object *parameters, bool more, const int *with_fds,
                       size_t n_fds);
int message_queue_reply(Framing *f, json_object *parameters, bool continues, const int *with_fds, size_t n_fds);
/* The same with parameters that are text already: SIZE bytes of one JSON object, which nobody looks at here. */
int message_queue_reply_text(Framing *f, const char *parameters, size_t size, bool continues);
int message_queue_error(Framing *f, const char *error, json_object *parameters);
