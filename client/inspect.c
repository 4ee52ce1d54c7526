/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* kennel inspect: everything that is known of a container, as JSON. */

#include "client/connection.h"
#include "client/render-json.h"
#include "client/report.h"
#include "client/verb.h"

static const Option options[] = { OPTIONS_END };

static int run(const Client *client, const void *data, const Strings *operands) {
    _cleanup_(connection_freep) Connection *c = NULL;
    bool pretty = isatty(STDOUT_FILENO);
    Error error = ERROR_INIT;
    int code = 0;

    if (connection_open(client->socket, &c, &error) < 0)
        return report_failure(&error);
    for (size_t i = 0; i < operands->n; i++) {
        _cleanup_(message_reply_freep) MessageReply *reply = NULL;
        _cleanup_json_ json_object *parameters = json_object_new_object();

        (void) json_object_object_add(parameters, "container", json_object_new_string(operands->items[i]));
        int r = connection_call(c, "Inspect", parameters, false, &reply, &error);
        if (r < 0)
            return report_failure(&error);
        if (r == CONNECTION_REFUSED) {
            report_error(&error);
            code = 1;
            continue;
        }
        (void) json_print(reply->parameters, pretty, stdout);
    }
    return code;
}

const Verb verb_inspect = {
    .name = "inspect",
    .operands = "CONTAINER...",
    .summary = "Show everything that is known of containers, as JSON",
    .options = options,
    .operands_min = 1,
    .operands_max = SIZE_MAX,
    .run = run,
};
