/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * See label-spec.h.
 *
 * Trust: a profile's name is written into a file of /proc whose parser knows more than names: ':' at its beginning chooses
 * a namespace, '&' stacks profiles, and blanks and newlines end it. What that parser could take for anything but the name
 * of one profile is refused here. And which profile it is, is root's to say: a host has many, made for programs that may do more than a
 * container, and a caller who could choose among them could choose to be held by next to nothing.
 */

#include "rpc/label-spec.h"

#include "proto/quote.h"
#include "rpc/fields.h"
#include "sandbox/apparmor-policy.h"

#include <string.h>

#define PROFILE_MAX (APPARMOR_PROFILE_MAX - 1)
#define TYPE_MAX    128U

static int refuse_value(const char *value, const char *field, const char *expected, Error *reterr) {
    char quoted[QUOTE_SIZE];
    return error_invalid(reterr, field, "is %s; %s", quote(quoted, value, strlen(value)), expected);
}

static bool is_profile_name(const char *name) {
    size_t size = strlen(name);
    if (size == 0 || size > PROFILE_MAX || strchr(":&=", name[0]) || strstr(name, "//&"))
        return false;
    for (size_t i = 0; i < size; i++)
        if ((unsigned char) name[i] <= ' ' || name[i] == 0x7f)
            return false;
    return true;
}

int label_spec_apparmor(json_object *parameters, const Peer *peer, ContainerSpec *spec, Error *reterr) {
    static const char field[] = "apparmorProfile";
    const char *name = fields_string(parameters, field);
    if (!name)
        return 0;
    if (!is_profile_name(name))
        return refuse_value(
            name, field,
            "the name of one profile is expected, 1 to 255 bytes without blanks and control characters, "
            "not beginning with ':', '&' or '=' and without \"//&\"",
            reterr);
    int r = apparmor_policy_check_name(name, reterr);
    if (r < 0)
        return r;
    if (!peer_is_root(peer))
        return error_forbidden(reterr, field, "is for root alone; without it, Kennel's own profile is applied");
    if (strcmp(name, APPARMOR_UNCONFINED) == 0) {
        spec->apparmor_unconfined = true;
        return 0;
    }
    return fields_copy_string(parameters, field, field, PROFILE_MAX, &spec->apparmor_profile, reterr);
}

/* A category, "c0" to "c1023" without leading zeros; what follows it, NULL if there is none. */
static const char *skip_category(const char *text, unsigned *ret) {
    size_t digits = *text == 'c' ? strspn(text + 1, "0123456789") : 0;
    if (digits == 0 || digits > 4 || (text[1] == '0' && digits > 1))
        return NULL;
    *ret = 0;
    for (size_t i = 1; i <= digits; i++)
        *ret = *ret * 10 + (unsigned) (text[i] - '0');
    return *ret < CATEGORIES ? text + 1 + digits : NULL;
}

static bool is_level(const char *text) {
    unsigned low = 0, high = 0;
    if (strncmp(text, "s0:", 3) != 0)
        return false;
    const char *at = skip_category(text + 3, &low);
    if (at && *at == ',')
        at = skip_category(at + 1, &high);
    return at && *at == 0 && low < high;
}

static bool is_type(const char *text) {
    size_t size = strlen(text);
    return size > 0 && size <= TYPE_MAX && strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789_") == size;
}

static int read_disable(json_object *label, const Peer *peer, ContainerSpec *spec, Error *reterr) {
    if (!fields_bool(label, "disable"))
        return 0;
    if (!peer_is_root(peer))
        return error_forbidden(reterr, "label.disable", "is for root alone");
    if (spec->label_level || spec->label_type)
        return error_invalid(reterr, "label.disable", "cannot be given together with a level or type");
    spec->label_disabled = true;
    return 0;
}

int label_spec_label(json_object *parameters, const Peer *peer, ContainerSpec *spec, Error *reterr) {
    json_object *label = fields_get(parameters, "label");
    if (!label)
        return 0;
    const char *level = fields_string(label, "level"), *type = fields_string(label, "type");
    if (level && !is_level(level))
        return refuse_value(
            level, "label.level",
            "a pair of categories such as \"s0:c1,c2\" is expected, each 0 to 1023, the lower one first", reterr);
    if (type && !is_type(type))
        return refuse_value(type, "label.type", "a type of small letters, digits and '_' is expected", reterr);
    int r = fields_copy_string(label, "level", "label.level", CATEGORIES_LEVEL, &spec->label_level, reterr);
    if (r >= 0)
        r = fields_copy_string(label, "type", "label.type", TYPE_MAX, &spec->label_type, reterr);
    return r < 0 ? r : read_disable(label, peer, spec, reterr);
}

SandboxRelabel label_spec_relabel(json_object *volume) {
    const char *relabel = fields_string(volume, "relabel");
    if (!relabel)
        return SANDBOX_RELABEL_NONE;
    return strcmp(relabel, "shared") == 0 ? SANDBOX_RELABEL_SHARED : SANDBOX_RELABEL_PRIVATE;
}
