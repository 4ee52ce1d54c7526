/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Which handler serves which method. The methods themselves, with their fields, are in io.kennel.varlink; that both
 * have the same ones is checked when the daemon starts, and by a test.
 */

#include "rpc/call.h"

const Interface *methods_interface(const char *name); /* NULL: not served */
const Method *methods_find(const Interface *interface, const char *name);

/* NULL, or the name of a method that is in the interface or in the table alone. */
const char *methods_find_mismatch(void);

/* handle-run.c */
int handle_run(Call *c, Error *reterr);
int handle_exec(Call *c, Error *reterr);
int handle_detach(Call *c, Error *reterr);
/* handle-list.c */
int handle_list(Call *c, Error *reterr);
int handle_inspect(Call *c, Error *reterr);
int handle_processes(Call *c, Error *reterr);
int handle_info(Call *c, Error *reterr);
/* handle-control.c */
int handle_kill(Call *c, Error *reterr);
int handle_stop(Call *c, Error *reterr);
int handle_pause(Call *c, Error *reterr);
int handle_resume(Call *c, Error *reterr);
int handle_remove(Call *c, Error *reterr);
int handle_wait(Call *c, Error *reterr);
/* handle-update.c */
int handle_update(Call *c, Error *reterr);
/* handle-stream.c */
int handle_logs(Call *c, Error *reterr);
int handle_events(Call *c, Error *reterr);
/* handle-stats.c */
int handle_stats(Call *c, Error *reterr);
/* handle-verify.c */
int handle_verify(Call *c, Error *reterr);
/* handle-rogues.c */
int handle_rogues(Call *c, Error *reterr);
/* handle-service.c */
int handle_get_info(Call *c, Error *reterr);
int handle_get_interface_description(Call *c, Error *reterr);
