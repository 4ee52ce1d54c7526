#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Writes the assembler file that puts a program's bytes into another program.

usage: make-image.py PROGRAM SYMBOL OUTPUT.S
"""
import os
import sys

program, symbol, output = sys.argv[1:]
path = os.path.abspath(program).replace("\\", "\\\\").replace('"', '\\"')
with open(output, "w", encoding="utf-8") as out:
    out.write(
        f'.section .rodata\n.global {symbol}\n.balign 16\n{symbol}:\n.incbin "{path}"\n'
        f".global {symbol}_end\n{symbol}_end:\n.byte 0\n"
        '.section .note.GNU-stack,"",%progbits\n'
    )
