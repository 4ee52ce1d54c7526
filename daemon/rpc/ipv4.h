/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* IPv4 addresses as text, in host byte order inside. */

#include "kennel/cleanup.h"

#define IPV4_TEXT_SIZE 16U /* "255.255.255.255" and its NUL */

/*
 * Four decimal numbers, whole and without leading zeros, which to inet_aton(3) and others are octal: "127.1", "010.0.0.1",
 * " 10.0.0.1" and "10.0.0.1/8" are not addresses. -EINVAL.
 */
int ipv4_parse(const char *text, uint32_t *ret);

/* Can a host have it? Not 0.0.0.0/8, not multicast, not reserved, not broadcast. */
bool ipv4_is_unicast(uint32_t address);

/* Returns BUF. */
const char *ipv4_format(uint32_t address, char buf[static IPV4_TEXT_SIZE]);
