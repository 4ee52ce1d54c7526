/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * org.varlink.service: what this service is, for programs that know only Varlink.
 */

#include "kennel/version.h"
#include "rpc/fields.h"
#include "rpc/methods.h"
#include "rpc/render.h"

int handle_get_info(Call *call, Error *reterr) {
    const char *const interfaces[] = { interface_org_varlink_service.name, interface_io_kennel.name, NULL };
    _cleanup_json_ json_object *o = json_object_new_object();
    if (!o || render_add_string(o, "vendor", KENNEL_VENDOR) < 0 ||
        render_add_string(o, "product", KENNEL_PRODUCT) < 0 || render_add_string(o, "version", KENNEL_VERSION) < 0 ||
        render_add_string(o, "url", KENNEL_URL) < 0 ||
        render_add(o, "interfaces", render_strings((char *const *) interfaces)) < 0)
        return fields_oom(reterr);
    call_finish(call, o);
    return 0;
}

int handle_get_interface_description(Call *call, Error *reterr) {
    const char *name = fields_string(call_parameters(call), "interface");
    const Interface *interface = methods_interface(name);
    if (!interface) {
        call_fail_service(call, "org.varlink.service.InterfaceNotFound", "interface", name);
        return 0;
    }
    _cleanup_json_ json_object *o = json_object_new_object();
    if (!o || render_add_string(o, "description", interface->description) < 0)
        return fields_oom(reterr);
    call_finish(call, o);
    return 0;
}
