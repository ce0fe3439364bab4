#!/usr/bin/env python3
"""Replaces in expected output (standard input) what differs from run to run and from machine to machine, and prints it.

Time stamps, names of segments and process numbers keep their length. Sizes depend on the versions of codecs, and durations on the machine: they
become SIZE and N.N, with one blank before them.
"""

import re
import sys

STEADY = [
    (r"\b\d{8}T\d{6}\b", "YYYYMMDDTHHMMSS"),
    (r"\b\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\b(?<!2020-02-03 04:05:06)", "YYYY-MM-DD HH:MM:SS"),
    (r"\b\d{4}-\d\d-\d\d \d\d:\d\d(?!:)\b", "YYYY-MM-DD HH:MM"),
    (r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b", "uuuuuuuu-uuuu-uuuu-uuuu-uuuuuuuuuuuu"),
    (r" *\b\d+(\.\d)? ([KMG]i)?B\b", " SIZE"),
    (r"\b\d+\.\d s\b", "N.N s"),
    (r"\bprocess \d+\b", "process N"),
    (r"([-dlpscb][-rwxsStT]{9}) \S+ +\S+ +", r"\1 USER GROUP "),
    (r"\b\d\.\d\d of SIZE used", "N.NN of SIZE used"),
    (r"\b\d+\.\d % of", "N.N % of"),
    (r"(source to data|data to disk|both) \d+\.\d\d", r"\1 N.NN"),
    (r"#+$", "#"),
]

for line in sys.stdin:
    # Commands stand as they are.
    if not line.startswith(("% ", "$ ")):
        for pattern, steady in STEADY:
            line = re.sub(pattern, steady, line)
    sys.stdout.write(line)
