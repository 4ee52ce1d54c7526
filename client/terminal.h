/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The user's own terminal: its size, raw mode and the way back from it, and the keys that detach. */

#include "kennel/error.h"

#include <termios.h>

/* The size of the first of stdin, stdout, stderr that is a terminal; 24 by 80 without one. Never 0. */
void terminal_size(unsigned *ret_rows, unsigned *ret_columns);

/* Tells the pseudo terminal behind MASTER_FD the size that the user's has now. */
void terminal_pass_size(int master_fd);

typedef struct TerminalMode {
    int fd; /* -1: nothing was changed */
    struct termios saved;
} TerminalMode;

#define TERMINAL_MODE_INIT ((TerminalMode){ .fd = -1 })

/* Makes FD raw, again if need be; negative errno if it cannot be. */
int terminal_mode_raw(TerminalMode *mode, int fd);
/* Gives the keys of FD one by one and without echo, again if need be; those that make signals still do. */
int terminal_mode_keys(TerminalMode *mode, int fd);
/* Back to what it was; may be called any number of times. */
void terminal_mode_restore(TerminalMode *mode);

/* Ctrl-P Ctrl-Q. A Ctrl-P is held back until the next key shows whether it was meant. */
typedef struct TerminalKeys {
    bool held;
    bool detached;
} TerminalKeys;

/*
 * Filters SIZE bytes of input into OUT, which has room for SIZE + 1 and may begin up to one byte before IN. Returns
 * how many are to go to the container. What follows the detach keys is dropped.
 */
size_t terminal_keys_filter(TerminalKeys *keys, const unsigned char *in, size_t size, unsigned char *out);
