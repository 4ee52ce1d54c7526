/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The method table.
 */

#include "rpc/methods.h"

#include <string.h>

static const Method kennel_methods[] = {
    /* name, handler, needs `more`, takes descriptors */
    { "Run", handle_run, false, true },
    { "Exec", handle_exec, false, true },
    { "List", handle_list, false, false },
    { "Inspect", handle_inspect, false, false },
    { "Processes", handle_processes, false, false },
    { "Stats", handle_stats, false, false },
    { "Update", handle_update, false, false },
    { "Logs", handle_logs, true, false },
    { "Events", handle_events, true, false },
    { "Wait", handle_wait, false, false },
    { "Kill", handle_kill, false, false },
    { "Rogues", handle_rogues, false, false },
    { "Stop", handle_stop, false, false },
    { "Pause", handle_pause, false, false },
    { "Resume", handle_resume, false, false },
    { "Detach", handle_detach, false, false },
    { "Remove", handle_remove, false, false },
    { "Verify", handle_verify, false, false },
    { "Info", handle_info, false, false },
    { NULL, NULL, false, false },
};

static const Method service_methods[] = {
    { "GetInfo", handle_get_info, false, false },
    { "GetInterfaceDescription", handle_get_interface_description, false, false },
    { NULL, NULL, false, false },
};

static const struct {
    const Interface *interface;
    const Method *methods;
} interfaces[] = {
    { &interface_org_varlink_service, service_methods },
    { &interface_io_kennel, kennel_methods },
};

const Interface *methods_interface(const char *name) {
    for (size_t i = 0; i < ELEMENTSOF(interfaces); i++)
        if (strcmp(interfaces[i].interface->name, name) == 0)
            return interfaces[i].interface;
    return NULL;
}

const Method *methods_find(const Interface *interface, const char *name) {
    for (size_t i = 0; i < ELEMENTSOF(interfaces); i++) {
        if (interfaces[i].interface != interface)
            continue;
        for (const Method *m = interfaces[i].methods; m->name; m++)
            if (strcmp(m->name, name) == 0)
                return m;
    }
    return NULL;
}

const char *methods_find_mismatch(void) {
    for (size_t i = 0; i < ELEMENTSOF(interfaces); i++) {
        for (const InterfaceMethod *m = interfaces[i].interface->methods; m->name; m++)
            if (!methods_find(interfaces[i].interface, m->name))
                return m->name;
        for (const Method *m = interfaces[i].methods; m->name; m++)
            if (!interface_method(interfaces[i].interface, m->name))
                return m->name;
    }
    return NULL;
}
