/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A peer's bytes inside an error's text; see quote.h. BYTES is whatever the peer sent. */

#include "proto/quote.h"

#include "proto/utf8.h"

#include <stdio.h>
#include <string.h>

#define ELLIPSIS   "\xE2\x80\xA6"
#define ESCAPE_MAX 7U /* \u, four digits, NUL; characters above U+FFFF are all passed as they are */

/* C0 and C1 controls, DEL, a space that is none, and what hides text or turns its direction. */
static bool is_active(uint32_t c) {
    return c < 0x20 || (c >= 0x7F && c <= 0xA0) || c == 0x061C || (c >= 0x200B && c <= 0x200F) ||
           (c >= 0x2028 && c <= 0x202E) || (c >= 0x2060 && c <= 0x206F) || c == 0xFEFF;
}

/* How the character at BYTES is written: sets *used, returns the length of what is in OUT. */
static size_t escape(const char *bytes, size_t left, bool quoted, char out[static ESCAPE_MAX], size_t *used) {
    uint32_t c = 0;

    *used = utf8_decode(bytes, left, &c);
    if (*used == 0) {
        *used = 1;
        return (size_t) snprintf(out, ESCAPE_MAX, "\\x%02x", (unsigned) (unsigned char) bytes[0]);
    }
    if (c == '\n' || c == '\t' || c == '\r')
        return (size_t) snprintf(out, ESCAPE_MAX, "\\%c", c == '\n' ? 'n' : c == '\t' ? 't' : 'r');
    if (is_active(c))
        return (size_t) snprintf(out, ESCAPE_MAX, "\\u%04x", (unsigned) (c & 0xFFFF));
    if (quoted && (c == '"' || c == '\\'))
        return (size_t) snprintf(out, ESCAPE_MAX, "\\%c", (char) c);
    memcpy(out, bytes, *used);
    return *used;
}

static const char *write_quoted(char *buf, const char *bytes, size_t size, bool quoted) {
    size_t at = 0, shown = 0;

    if (quoted)
        buf[at++] = '"';
    for (size_t i = 0, used; i < size; i += used) {
        char text[ESCAPE_MAX];
        size_t n = escape(bytes + i, size - i, quoted, text, &used);
        if (shown + n > QUOTE_SHOWN) {
            memcpy(buf + at, ELLIPSIS, strlen(ELLIPSIS));
            at += strlen(ELLIPSIS);
            break;
        }
        memcpy(buf + at, text, n);
        at += n;
        shown += n;
    }
    if (quoted)
        buf[at++] = '"';
    buf[at] = 0;
    return buf;
}

const char *quote(char buf[static QUOTE_SIZE], const char *bytes, size_t size) {
    return write_quoted(buf, bytes, size, true);
}

const char *quote_bare(char buf[static QUOTE_SIZE], const char *bytes, size_t size) {
    return write_quoted(buf, bytes, size, false);
}
