/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* See watch-spec.h. Names are the interface's, whose check has passed: one that is unknown here is a bug, and refused. */

#include "rpc/watch-spec.h"

#include "rpc/fields.h"

static int read_one(json_object *o, size_t i, const Peer *peer, const ContainerEnvironment *e, FindingAction *ret,
                    Error *reterr) {
    char detector_field[ERROR_SUBJECT_MAX], action_field[ERROR_SUBJECT_MAX];
    (void) snprintf(detector_field, sizeof(detector_field), "watch[%zu].detector", i);
    (void) snprintf(action_field, sizeof(action_field), "watch[%zu].action", i);
    const char *name = fields_string(o, "detector"), *word = fields_string(o, "action");
    FindingKind k = finding_kind_from_string(name);
    FindingAction action = finding_action_from_string(word);
    if (k == _FINDING_KIND_INVALID)
        return error_invalid(reterr, detector_field, "is no detector");
    if (action == FINDING_ACTION_UNSET)
        return error_invalid(reterr, action_field, "is no action");
    if (ret[k] != FINDING_ACTION_UNSET)
        return error_invalid(reterr, detector_field, "is %s; each detector is expected once", name);
    FindingAction least = container_watch_action(e, k);
    if (action < least && !peer_is_root(peer))
        return error_forbidden(reterr, action_field,
                               "is %s; the configuration has %s for %s, and root alone may ask for less", word,
                               finding_action_to_string(least), name);
    ret[k] = action;
    return 0;
}

int watch_spec_parse(json_object *parameters, const Peer *peer, const ContainerEnvironment *environment,
                     FindingAction *ret, Error *reterr) {
    json_object *list;
    size_t n;
    int r = fields_list(parameters, "watch", _FINDING_KIND_MAX, &list, &n, reterr);
    for (size_t i = 0; r >= 0 && i < n; i++)
        r = read_one(json_object_array_get_idx(list, i), i, peer, environment, ret, reterr);
    return r;
}
