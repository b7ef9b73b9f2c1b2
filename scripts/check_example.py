#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""check_example.py PROGRAM STEM: runs an example in an empty folder and checks everything it leaves behind.

STEM.expected  what standard output must be, to the letter
STEM.stderr    one regular expression a line: each must match in some line of standard error, and each line of
               standard error must be matched by one of them; without the file nothing may be printed there
STEM.status    the exit status; without the file 0
"""
import difflib
import os
import pathlib
import re
import subprocess
import sys
import tempfile


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    program, stem = os.path.abspath(sys.argv[1]), sys.argv[2]

    def read(suffix, otherwise):
        path = pathlib.Path(stem + suffix)
        return path.read_text(encoding="utf-8") if path.exists() else otherwise

    expected = read(".expected", None)
    if expected is None:
        sys.exit(f"{stem}.expected is missing: write there what the example must print")
    patterns = [line for line in read(".stderr", "").splitlines() if line]
    status = int(read(".status", "0"))

    with tempfile.TemporaryDirectory(prefix="example-") as folder:
        try:
            done = subprocess.run([program], cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, timeout=100)
        except subprocess.TimeoutExpired as stuck:
            sys.exit(f"no end within 100 s; standard output so far:\n{(stuck.stdout or b'').decode(errors='replace')}")
    out = done.stdout.decode(errors="replace")
    err = done.stderr.decode(errors="replace")

    wrong = []
    if out != expected:
        diff = difflib.unified_diff(expected.splitlines(True), out.splitlines(True), "expected", "standard output")
        wrong.append("".join(line if line.endswith("\n") else line + "\n(no newline at the end)\n" for line in diff))
    if done.returncode != status:
        wrong.append(f"exit status {done.returncode}, expected {status}")
    errors = [line for line in err.splitlines() if line]
    wrong += [f"no line of standard error matches: {p}" for p in patterns if not any(re.search(p, e) for e in errors)]
    wrong += [f"unexpected on standard error: {e}" for e in errors if not any(re.search(p, e) for p in patterns)]
    if wrong:
        print("\n".join(wrong))
        print(f"--- standard error was:\n{err}", end="")
        sys.exit(1)


main()
