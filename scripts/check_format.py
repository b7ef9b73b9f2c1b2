#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""check_format.py ROOT: clang-format 14 would change no C++ file of the project. Other versions format differently, so that
without this one nothing is checked (exit status 77: skipped). `clang-format -i FILE` mends a file.
"""
import pathlib
import re
import shutil
import subprocess
import sys

SKIPPED = 77


def formatter():
    for name in ("clang-format-14", "clang-format"):
        path = shutil.which(name)
        if path:
            version = subprocess.run([path, "--version"], capture_output=True, text=True, check=True).stdout
            if re.search(r"version 14\.", version):
                return path
    return None


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    root = pathlib.Path(sys.argv[1]).resolve()
    program = formatter()
    if program is None:
        print("clang-format 14 was not found (Debian's clang-format-14): nothing was checked")
        sys.exit(SKIPPED)
    files = []
    for folder in ("include", "src", "tools", "tests", "examples", "benchmarks", "fuzz"):
        files += sorted((root / folder).rglob("*.[ch]pp"))
    done = subprocess.run([program, "--style=file", "--dry-run", "-Werror", "-ferror-limit=1", *files],
                          capture_output=True, text=True, cwd=root)
    wrong = sorted({line.split(":")[0] for line in done.stderr.splitlines() if "clang-format-violations" in line})
    if done.returncode != 0 and not wrong:
        sys.exit(done.stderr)
    for path in wrong:
        print(f"{pathlib.Path(path).relative_to(root)} is not formatted: clang-format -i changes it")
    print(f"{len(files)} files, {len(wrong)} to be formatted")
    sys.exit(bool(wrong))


main()
