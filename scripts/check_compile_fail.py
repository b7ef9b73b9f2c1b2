#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""check_compile_fail.py FILE -- COMPILER ARG...: FILE must not compile, and for the right reason.

Each line `// expect: text` of the file names a text that the compiler's diagnostics must contain. With
-D MUSTER_CONTROL the same file must compile: that shows that nothing but the misuse is wrong with it.
g++ may say all of it in at most 25 lines; a line `// lines: n` of the file, with the reason below it, allows more.
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
    allowed = re.search(r"^// lines: (\d+)$", text, re.M)
    most = int(allowed.group(1)) if allowed else 25
    # clang quotes more of the code; it is the default compiler's text that is bounded.
    if "clang" not in os.path.basename(compiler[0]) and len(output.splitlines()) > most:
        sys.exit(f"{file}: the diagnostics have {len(output.splitlines())} lines, and {most} are allowed\n{output}")
    status, output = compile("-DMUSTER_CONTROL")
    if status != 0:
        sys.exit(f"{file}: does not compile with -DMUSTER_CONTROL either, so the test proves nothing\n{output}")


main()
