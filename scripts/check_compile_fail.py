#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""check_compile_fail.py FILE -- COMPILER ARG...: FILE must not compile, and for the right reason.

Each line `// expect: text` of the file names a text that the compiler's diagnostics must contain. With
-D MUSTER_CONTROL the same file must compile: that shows that nothing but the misuse is wrong with it.
At most 25 lines of g++ may follow the one that says what to write, and at most 10 may come before it.
"""
import os
import re
import subprocess
import sys


def main():
    if len(sys.argv) < 4 or sys.argv[2] != "--":
        sys.exit(__doc__)
    file, compiler = sys.argv[1], sys.argv[3:]
    with open(file, encoding="utf-8") as source:
        text = source.read()
    expected = re.findall(r"^\s*// expect: *(.*?)\s*$", text, re.M)
    if not expected:
        sys.exit(f"{file}: has no line '// expect: text'")
    if "MUSTER_CONTROL" not in text:
        sys.exit(f"{file}: has no '#ifdef MUSTER_CONTROL' branch that compiles")

    def compile(*more):
        done = subprocess.run([*compiler, "-fsyntax-only", *more, file], capture_output=True, text=True,
                              errors="replace", env={**os.environ, "LC_ALL": "C"})
        # The line that a diagnostic quotes could be the expectation itself.
        return done.returncode, "\n".join(line for line in done.stderr.splitlines() if "// expect:" not in line)

    status, output = compile()
    if status == 0:
        sys.exit(f"{file}: compiles")
    if "internal compiler error" in output or "PLEASE submit a bug report" in output:
        sys.exit(f"{file}: crashes the compiler\n{output}")
    missing = [e for e in expected if e not in output]
    if missing:
        sys.exit("".join(f"{file}: the diagnostics do not say: {m}\n" for m in missing) + output)
    lines = output.splitlines()
    before = next(i for i, line in enumerate(lines) if expected[0] in line)
    # clang quotes more of the code; it is the default compiler's text that is bounded.
    if "clang" not in os.path.basename(compiler[0]) and (before > 10 or len(lines) - before - 1 > 25):
        sys.exit(f"{file}: {before} lines come before the one that says what to write (10 are allowed), and "
                 f"{len(lines) - before - 1} after it (25 are allowed)\n{output}")
    status, output = compile("-DMUSTER_CONTROL")
    if status != 0:
        sys.exit(f"{file}: does not compile with -DMUSTER_CONTROL either, so the test proves nothing\n{output}")


main()
