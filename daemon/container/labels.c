/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Which AppArmor profile and which SELinux contexts a container has.
 *
 * Names are decided in the loop, before the container has a record, so that the first record names them already; what may
 * take time (loading a profile, relabelling a volume) is part of the start's job. Where the host has neither module, a
 * container has no label; whether it may then run at all is decided before, by its controls.
 */

#include "container/internal.h"
#include "util/log.h"

#include <string.h>

static int copy(char **to, const char *from, Error *reterr) {
    *to = strdup(from);
    return *to ? 0 : error_failed(reterr, ENOMEM, "start", "out of memory");
}

static int assign_apparmor(const ContainerEnvironment *e, ContainerSpec *spec, Error *reterr) {
    char name[APPARMOR_NAME_SIZE];
    if (!e->apparmor)
        return 0;
    /* A confined daemon's child would stay under the daemon's profile. */
    if (spec->apparmor_unconfined)
        return apparmor_host_is_confined(e->apparmor)
                   ? copy(&spec->sandbox.program.apparmor_profile, APPARMOR_UNCONFINED, reterr)
                   : 0;
    apparmor_profile_name(spec->sandbox.id_base, name);
    return copy(&spec->sandbox.program.apparmor_profile, spec->apparmor_profile ? spec->apparmor_profile : name,
                reterr);
}

/* A pair that was asked for has to be nobody else's. */
static int take_categories(ContainerRegistry *r, ContainerSpec *spec, Error *reterr) {
    uint32_t pair = CATEGORIES_NONE;
    int k;
    if (!spec->label_level)
        k = category_pool_take(r->categories, &pair);
    else if (category_pair_from_level(spec->label_level, &pair) < 0)
        return error_invalid(reterr, "label.level", "is \"%s\"; a pair such as \"s0:c1,c2\" is expected",
                             spec->label_level);
    else
        k = category_pool_take_this(r->categories, pair);
    if (k == -EBUSY)
        return error_invalid(reterr, "label.level", "is \"%s\", which is another container's", spec->label_level);
    if (k == -ENOSPC)
        return error_set(reterr, ERROR_QUOTA_EXCEEDED, ENOSPC, "categories", "every pair of categories is in use");
    if (k < 0)
        return error_failed(reterr, -k, "start", "no pair of categories can be had: %s", strerror(-k));
    spec->categories = pair;
    return 0;
}

static int assign_selinux(ContainerRegistry *r, ContainerSpec *spec, Error *reterr) {
    char level[CATEGORIES_LEVEL];
    _cleanup_(selinux_contexts_done) SELinuxContexts contexts = { 0 };
    if (!r->environment.selinux)
        return 0;
    /* No pair and no mount that is labelled; but not the daemon's own domain either. */
    if (spec->label_disabled)
        return selinux_context_disabled(r->environment.selinux, &spec->sandbox.program.selinux_context, reterr);
    int k = take_categories(r, spec, reterr);
    if (k < 0)
        return k;
    category_pair_to_level(spec->categories, level);
    k = selinux_contexts_make(r->environment.selinux, spec->label_type, level, &contexts, reterr);
    if (k < 0)
        return k;
    spec->sandbox.program.selinux_context = TAKE_PTR(contexts.process);
    spec->sandbox.file_context = TAKE_PTR(contexts.file);
    spec->sandbox.image_context = TAKE_PTR(contexts.image);
    spec->sandbox.share_context = TAKE_PTR(contexts.share);
    return 0;
}

/* What was asked for by name is had or refused; to go without it is for those who asked for nothing. */
static int check_asked(const ContainerEnvironment *e, const ContainerSpec *spec, Error *reterr) {
    if (spec->apparmor_profile && !e->apparmor)
        return error_set(reterr, ERROR_HARDENING_FAILED, EOPNOTSUPP, "apparmor",
                         "the profile \"%.64s\" was asked for, and cannot be applied: %.300s", spec->apparmor_profile,
                         e->apparmor_missing);
    if ((spec->label_level || spec->label_type) && !e->selinux)
        return error_set(reterr, ERROR_HARDENING_FAILED, EOPNOTSUPP, "selinux",
                         "the %s \"%.64s\" was asked for, and cannot be applied: %.300s",
                         spec->label_level ? "level" : "type", spec->label_level ? spec->label_level : spec->label_type,
                         e->selinux_missing);
    return 0;
}

int container_labels_assign(ContainerRegistry *r, ContainerSpec *spec, Error *reterr) {
    int k = check_asked(&r->environment, spec, reterr);
    if (k < 0)
        return k;
    k = assign_apparmor(&r->environment, spec, reterr);
    return k < 0 ? k : assign_selinux(r, spec, reterr);
}

static int relabel_volumes(const ContainerSpec *spec, Error *reterr) {
    for (size_t i = 0, volume = 0; i < spec->sandbox.n_mounts; i++) {
        const SandboxMount *m = &spec->sandbox.mounts[i];
        char field[ERROR_SUBJECT_MAX];
        if (m->kind != SANDBOX_MOUNT_VOLUME)
            continue;
        (void) snprintf(field, sizeof(field), "volumes[%zu].relabel", volume++);
        if (m->relabel == SANDBOX_RELABEL_NONE)
            continue;
        const char *context =
            m->relabel == SANDBOX_RELABEL_PRIVATE ? spec->sandbox.file_context : spec->sandbox.share_context;
        int r = selinux_relabel(m->source_fd, context, spec->owner, field, reterr);
        if (r < 0)
            return r;
    }
    return 0;
}

int container_labels_prepare(const Container *c, Error *reterr) {
    const ContainerEnvironment *e = &c->registry->environment;
    const ContainerSpec *spec = c->spec;
    int r = 0;
    if (spec->sandbox.program.apparmor_profile && !spec->apparmor_unconfined)
        r = spec->apparmor_profile ? apparmor_check_loaded(spec->apparmor_profile, reterr)
                                   : apparmor_profile_load(e->apparmor, spec->sandbox.id_base, reterr);
    if (r >= 0 && spec->sandbox.file_context)
        r = relabel_volumes(spec, reterr);
    return r;
}

int container_labels_take_again(Container *c) {
    if (c->spec->categories == CATEGORIES_NONE || !c->registry->categories)
        return 0;
    return category_pool_take_again(c->registry->categories, c->spec->categories);
}

void container_labels_release(Container *c) {
    ContainerRegistry *r = c->registry;
    if (r->environment.apparmor && c->spec->sandbox.program.apparmor_profile && !c->spec->apparmor_profile &&
        !c->spec->apparmor_unconfined)
        apparmor_profile_release(r->environment.apparmor, c->spec->sandbox.id_base);
    if (r->categories && c->spec->categories != CATEGORIES_NONE)
        category_pool_give_back(r->categories, c->spec->categories);
    c->spec->categories = CATEGORIES_NONE;
}
