/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* See ipv4.h. By hand, as everything that decides what is let through: inet_aton(3) takes "127.1" and "0x7f.1". */

#include "rpc/ipv4.h"

static int parse_part(const char **text, uint32_t *ret) {
    const char *p = *text;
    uint32_t value = 0;
    size_t digits = 0;
    for (; *p >= '0' && *p <= '9' && digits < 4; p++, digits++)
        value = value * 10 + (uint32_t) (*p - '0');
    if (digits == 0 || digits > 3 || value > 255 || (digits > 1 && **text == '0'))
        return -EINVAL;
    *text = p;
    *ret = value;
    return 0;
}

int ipv4_parse(const char *text, uint32_t *ret) {
    uint32_t address = 0, part;
    for (unsigned i = 0; i < 4; i++) {
        if (i > 0 && *text++ != '.')
            return -EINVAL;
        if (parse_part(&text, &part) < 0)
            return -EINVAL;
        address = address << 8 | part;
    }
    if (*text)
        return -EINVAL;
    *ret = address;
    return 0;
}

bool ipv4_is_unicast(uint32_t address) {
    return address >> 24 != 0 && address >> 28 < 0xE;
}

const char *ipv4_format(uint32_t address, char buf[static IPV4_TEXT_SIZE]) {
    (void) snprintf(buf, IPV4_TEXT_SIZE, "%u.%u.%u.%u", address >> 24, address >> 16 & 255U, address >> 8 & 255U,
                    address & 255U);
    return buf;
}
