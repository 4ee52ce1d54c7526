/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What verbs have in common; see verb.h. */

#include "client/verb.h"

#include <string.h>

int verb_format(const char *value, Error *reterr) {
    if (!value || strcmp(value, "table") == 0)
        return 0;
    if (strcmp(value, "json") == 0)
        return 1;
    return error_invalid(reterr, "--format", "\"%s\" is no format; table or json is expected", value);
}
