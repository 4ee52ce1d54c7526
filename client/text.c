/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Strings for people's eyes; see text.h for what they must never let through. */

#include "client/text.h"

#include "proto/utf8.h"

#include <string.h>
#include <time.h>

#define USEC_PER_SEC 1000000LL

bool text_is_utf8(const char *bytes, size_t size) {
    for (size_t i = 0; i < size;) {
        uint32_t c;
        size_t n = utf8_decode(bytes + i, size - i, &c);
        if (n == 0)
            return false;
        i += n;
    }
    return true;
}

/* Characters that a terminal acts on instead of showing them, or that make a line read other than it is. */
static bool is_active(uint32_t c) {
    return c < 0x20 || (c >= 0x7F && c < 0xA0) || c == 0x061C || (c >= 0x200B && c <= 0x200F) ||
           (c >= 0x2028 && c <= 0x202E) || (c >= 0x2060 && c <= 0x206F) || c == 0xFEFF;
}

char *text_escape(const char *s) {
    size_t size = strlen(s), at = 0;
    char *out = malloc(size * 4 + 1); /* \xNN stands for one byte, \u{NNNN} for two or three */

    if (!out)
        return NULL;
    for (size_t i = 0; i < size;) {
        uint32_t c = 0;
        size_t n = utf8_decode(s + i, size - i, &c);
        if (n == 0 || (n == 1 && is_active(c) && c != '\n' && c != '\t')) {
            at += (size_t) sprintf(out + at, "\\x%02x", (unsigned char) s[i]);
            n = 1;
        } else if (c == '\n' || c == '\t')
            at += (size_t) sprintf(out + at, "\\%c", c == '\n' ? 'n' : 't');
        else if (is_active(c))
            at += (size_t) sprintf(out + at, "\\u{%x}", c);
        else {
            memcpy(out + at, s + i, n);
            at += n;
        }
        i += n;
    }
    out[at] = 0;
    return out;
}

size_t text_width(const char *s) {
    size_t width = 0;

    for (; *s; s++)
        width += ((unsigned char) *s & 0xC0) != 0x80;
    return width;
}

size_t text_fitting(const char *s, size_t width) {
    const char *end = s;

    for (size_t seen = 0; *end; end++) {
        bool starts = ((unsigned char) *end & 0xC0) != 0x80;
        if (starts && seen == width)
            break;
        seen += starts;
    }
    return (size_t) (end - s);
}

void text_shorten(char *s, size_t width) {
    static const char ellipsis[] = "...";
    size_t keep = width > 3 ? width - 3 : 0;

    if (text_width(s) <= width)
        return;
    /* what is cut off is at least as wide as the ellipsis, so this fits */
    char *end = s + text_fitting(s, keep);
    memcpy(end, ellipsis, width < 3 ? width : 3);
    end[width < 3 ? width : 3] = 0;
}

void text_bytes(int64_t bytes, char *ret, size_t size) {
    static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB" };
    uint64_t whole = bytes < 0 ? 0 : (uint64_t) bytes, rest = 0;
    size_t unit = 0;

    for (; whole >= 1024 && unit + 1 < ELEMENTSOF(units); unit++) {
        rest = whole % 1024;
        whole /= 1024;
    }
    if (unit == 0 || whole >= 100)
        (void) snprintf(ret, size, "%llu%s", (unsigned long long) whole, units[unit]);
    else
        (void) snprintf(ret, size, "%llu.%llu%s", (unsigned long long) whole, (unsigned long long) (rest * 10 / 1024),
                        units[unit]);
}

void text_duration(int64_t usec, char *ret, size_t size) {
    static const struct {
        const char *name;
        int64_t seconds;
    } units[] = {
        { "year", 31536000 }, { "month", 2592000 }, { "week", 604800 }, { "day", 86400 },
        { "hour", 3600 },     { "minute", 60 },     { "second", 1 },
    };
    int64_t seconds = usec < 0 ? 0 : usec / USEC_PER_SEC;

    for (size_t i = 0; i < ELEMENTSOF(units); i++) {
        long long n = seconds / units[i].seconds;
        if (n > 0) {
            (void) snprintf(ret, size, "%lld %s%s", n, units[i].name, n == 1 ? "" : "s");
            return;
        }
    }
    (void) snprintf(ret, size, "less than a second");
}

void text_timestamp(int64_t usec, char *ret, size_t size) {
    time_t seconds = usec / USEC_PER_SEC;
    int64_t fraction = usec % USEC_PER_SEC;
    struct tm tm;
    char date[64];

    if (fraction < 0) {
        fraction += USEC_PER_SEC;
        seconds--;
    }
    if (!gmtime_r(&seconds, &tm) || strftime(date, sizeof(date), "%Y-%m-%dT%H:%M:%S", &tm) == 0)
        (void) snprintf(date, sizeof(date), "?");
    (void) snprintf(ret, size, "%s.%06lldZ", date, (long long) fraction);
}

void text_cpu_time(int64_t usec, char *ret, size_t size) {
    int64_t hundredths = usec < 0 ? 0 : usec / 10000;

    (void) snprintf(ret, size, "%lld:%02lld.%02lld", (long long) (hundredths / 6000),
                    (long long) (hundredths / 100 % 60), (long long) (hundredths % 100));
}

int64_t text_now_usec(void) {
    struct timespec ts;

    (void) clock_gettime(CLOCK_REALTIME, &ts);
    return ts.tv_sec * USEC_PER_SEC + ts.tv_nsec / 1000;
}

static int sextet(char c) {
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

int text_base64(const char *s, char **ret, size_t *ret_size) {
    size_t length = strlen(s), padding = 0, n = 0;
    _cleanup_free_ char *out = NULL;

    if (length % 4 != 0)
        return -EBADMSG;
    while (padding < 2 && padding < length && s[length - 1 - padding] == '=')
        padding++;
    out = malloc(length / 4 * 3 + 1);
    if (!out)
        return -ENOMEM;
    uint32_t bits = 0;
    for (size_t i = 0; i < length; i++) {
        int v = i >= length - padding ? 0 : sextet(s[i]);
        if (v < 0)
            return -EBADMSG;
        bits = bits << 6 | (uint32_t) v;
        if (i % 4 == 3) {
            out[n++] = (char) (bits >> 16);
            out[n++] = (char) (bits >> 8);
            out[n++] = (char) bits;
        }
    }
    *ret_size = n - padding;
    *ret = TAKE_PTR(out);
    return 0;
}
