#!/usr/bin/env python3
"""Runs a command on a terminal of its own and tells, as JSON, what a person saw there.

usage: screen.py COLUMNS COMMAND [ARGUMENT...]

A terminal in little: it knows the carriage return, the line feed, erasing to the end of the line, and colors; anything else makes it
fail. `lines` is what stands there in the end, `erased` what stood there for a while, in order, `widest` the most columns that any of
that took, `colors` the codes of colors.
"""

import fcntl
import json
import os
import pty
import re
import struct
import sys
import termios
import unicodedata


def width(text):
    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def run(columns, command):
    child, terminal = pty.fork()
    if child == 0:
        fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        os.execvp(command[0], command)
    printed = b""
    while True:
        try:
            data = os.read(terminal, 65536)
        except OSError:
            break
        if not data:
            break
        printed += data
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), printed.decode()


def look(printed):
    lines, erased, colors, line = [], [], [], ""
    widest_erased = 0
    for part in re.findall(r"\r\n|\r\x1b\[K|\x1b\[[0-9;]*m|[^\r\n\x1b]+|.", printed, re.S):
        if part == "\r\n":
            lines.append(line)
            line = ""
        elif part == "\r\x1b[K":
            if line:
                erased.append(line)
                widest_erased = max(widest_erased, width(line))
            line = ""
        elif part.startswith("\x1b[") and part.endswith("m"):
            colors.append(part[2:-1])
        elif all(c.isprintable() for c in part):
            line += part
        else:
            sys.exit(f"a terminal in little does not know {part!r} in {printed!r}")
    if line:
        lines.append(line)
    return {"lines": lines, "erased": erased, "colors": colors, "widest": widest_erased}


code, printed = run(int(sys.argv[1]), sys.argv[2:])
print(json.dumps({"code": code, **look(printed)}))
