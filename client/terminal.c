/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The user's own terminal; see terminal.h. */

#include "client/terminal.h"

#include <sys/ioctl.h>

#define KEY_CTRL_P 0x10
#define KEY_CTRL_Q 0x11

void terminal_size(unsigned *ret_rows, unsigned *ret_columns) {
    struct winsize size = { 0 };

    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
        if (ioctl(fd, TIOCGWINSZ, &size) == 0)
            break;
    *ret_rows = size.ws_row > 0 ? size.ws_row : 24;
    *ret_columns = size.ws_col > 0 ? size.ws_col : 80;
}

void terminal_pass_size(int master_fd) {
    unsigned rows, columns;

    terminal_size(&rows, &columns);
    struct winsize size = { .ws_row = (unsigned short) rows, .ws_col = (unsigned short) columns };
    (void) ioctl(master_fd, TIOCSWINSZ, &size);
}

static int set_mode(TerminalMode *mode, int fd, void (*change)(struct termios *t)) {
    struct termios changed;

    if (mode->fd < 0 && tcgetattr(fd, &mode->saved) < 0)
        return -errno;
    changed = mode->saved;
    change(&changed);
    if (tcsetattr(fd, TCSADRAIN, &changed) < 0)
        return -errno;
    mode->fd = fd;
    return 0;
}

int terminal_mode_raw(TerminalMode *mode, int fd) {
    return set_mode(mode, fd, cfmakeraw);
}

static void make_keys(struct termios *t) {
    t->c_lflag &= ~(tcflag_t) (ICANON | ECHO);
    t->c_cc[VMIN] = 1;
    t->c_cc[VTIME] = 0;
}

int terminal_mode_keys(TerminalMode *mode, int fd) {
    return set_mode(mode, fd, make_keys);
}

void terminal_mode_restore(TerminalMode *mode) {
    if (mode->fd >= 0)
        (void) tcsetattr(mode->fd, TCSADRAIN, &mode->saved);
    mode->fd = -1;
}

size_t terminal_keys_filter(TerminalKeys *keys, const unsigned char *in, size_t size, unsigned char *out) {
    size_t n = 0;

    for (size_t i = 0; i < size && !keys->detached; i++) {
        unsigned char key = in[i];

        if (keys->held && key == KEY_CTRL_Q) {
            keys->detached = true;
            break;
        }
        if (keys->held)
            out[n++] = KEY_CTRL_P;
        keys->held = key == KEY_CTRL_P;
        if (!keys->held)
            out[n++] = key;
    }
    return n;
}
