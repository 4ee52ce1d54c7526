/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * A sample as the interface's Sample: JSON text, made without a tree of objects, because at a thousand containers ten
 * times a second that is where the time would go. Held against the interface by its tests and, in the tests' builds, wherever
 * it is sent.
 */

#include "account/sample.h"

/* Bytes that grow as needed and are used again. */
typedef struct AccountText {
    char *bytes;
    size_t size, room;
} AccountText;

void account_text_done(AccountText *t);
int account_text_append(AccountText *t, const void *bytes, size_t size); /* -ENOMEM: nothing is appended */

/* Appends the object to RET. ID and NAME are a container's, so nothing in them needs escaping (asserted). -ENOMEM. */
int account_encode(const AccountSample *s, const char *id, const char *name, AccountText *ret);
