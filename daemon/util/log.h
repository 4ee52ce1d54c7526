/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Journal when stderr is connected to it (JOURNAL_STREAM), plain lines on stderr otherwise. Below daemon/container
 * nothing logs above debug: errors travel up. What a peer can trigger goes through log_limited().
 */

#include "kennel/error.h"

#include <syslog.h>

/* Message ids, in systemd/kennel.catalog too. */
#define LOG_ID_STARTED   "a3f1b1f6c6b94d6c8f8f5b7a8d1e2c01"
#define LOG_ID_EXITED    "a3f1b1f6c6b94d6c8f8f5b7a8d1e2c02"
#define LOG_ID_FAILED    "a3f1b1f6c6b94d6c8f8f5b7a8d1e2c03"
#define LOG_ID_REFUSED   "a3f1b1f6c6b94d6c8f8f5b7a8d1e2c04"
#define LOG_ID_RECOVERED "a3f1b1f6c6b94d6c8f8f5b7a8d1e2c05"
#define LOG_ID_DIFFERS   "a3f1b1f6c6b94d6c8f8f5b7a8d1e2c07"
#define LOG_ID_FINDING   "a3f1b1f6c6b94d6c8f8f5b7a8d1e2c08"
#define LOG_ID_REMOVED   "a3f1b1f6c6b94d6c8f8f5b7a8d1e2c09"

void log_open(int max_level);
int log_level_from_string(const char *name); /* "debug", "info", "notice", "warning", "err"; -EINVAL */
void log_message(int level, const char *format, ...) _printf_(2, 3);
/* With a message id, the container's id and the peer's uid as journal fields; CONTAINER may be NULL. */
void log_event(int level, const char *message_id, const char *container, uid_t peer, const char *format, ...)
    _printf_(5, 6);
/* The same with the stage of the start; NULL: none. */
void log_event_stage(int level, const char *message_id, const char *container, uid_t peer, const char *stage,
                     const char *format, ...) _printf_(6, 7);
/* The same with fields of the caller's, at most LOG_FIELDS_MAX, the last one without a name. VALUE NULL or empty: left out. */
#define LOG_FIELDS_MAX 8U
typedef struct LogField {
    const char *name, *value;
} LogField;
void log_event_fields(int level, const char *message_id, const char *container, uid_t peer, const LogField *fields,
                      const char *format, ...) _printf_(6, 7);
/* LOG_ID_REFUSED at notice: at most 10 messages in 10 s for each peer, so that none hides what another does. */
void log_refused(uid_t peer, const char *format, ...) _printf_(2, 3);
/* At most 10 messages in 10 s from all callers together; says how many were left out. */
void log_limited(int level, const char *format, ...) _printf_(2, 3);

#define log_debug(...)   log_message(LOG_DEBUG, __VA_ARGS__)
#define log_info(...)    log_message(LOG_INFO, __VA_ARGS__)
#define log_notice(...)  log_message(LOG_NOTICE, __VA_ARGS__)
#define log_warning(...) log_message(LOG_WARNING, __VA_ARGS__)
#define log_error(...)   log_message(LOG_ERR, __VA_ARGS__)
