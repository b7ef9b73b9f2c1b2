#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""check_hardening.py BUILD [--no-fortify]: installs what was built in BUILD into a folder of its own, and looks with readelf
whether the programs of the installed command are hardened as cmake/muster_hardening.cmake says, and whether the installed
muster finds muster-fetch:

  pie           its code is loaded anywhere
  bind-now      every symbol is bound before main, so that the table of them can be made read-only
  relro         and is
  stack         the stack can't be executed
  canary        functions with arrays look whether their frame was overwritten
  fortify       copies into objects of known size are checked; not at -O0, and not where clang 19 compiled it with the
                headers of glibc 2.36: such a program names no checked function (--no-fortify)
  cet           functions begin with endbr64, where the processor is one that knows that
"""
import pathlib
import platform
import re
import shutil
import subprocess
import sys
import tempfile


def readelf(program, *options):
    return subprocess.run(["readelf", "--wide", *options, str(program)], check=True, capture_output=True, text=True).stdout


def has_landing_pads(program):
    """endbr64 is f3 0f 1e fa: a program that was compiled for CET has one for nearly each of its functions."""
    return program.read_bytes().count(b"\xf3\x0f\x1e\xfa") > 100


def missing_in(program, fortified):
    dynamic = readelf(program, "--dynamic")
    segments = readelf(program, "--program-headers")
    symbols = readelf(program, "--dyn-syms")
    stack = re.search(r"GNU_STACK.*?(R\w*\s*E?)\s+0x\w+$", segments, re.M)
    checks = {
        "pie": "Type:" in readelf(program, "--file-header") and re.search(r"FLAGS_1.*\bPIE\b", dynamic),
        "bind-now": re.search(r"\bBIND_NOW\b|\bNOW\b", dynamic),
        "relro": "GNU_RELRO" in segments,
        "stack": stack and "E" not in stack[1],
        "canary": "__stack_chk_fail" in symbols,
    }
    if fortified:
        # The names of checked copies end so; libstdc++ itself needs none.
        checks["fortify"] = re.search(r"\b__(?!stack)\w+_chk\b", symbols)
    if platform.machine() == "x86_64":
        checks["cet"] = has_landing_pads(program)
    return [name for name, holds in checks.items() if not holds]


def main():
    build, fortified = pathlib.Path(sys.argv[1]), "--no-fortify" not in sys.argv[2:]
    if shutil.which("readelf") is None:
        print("readelf (binutils) is not there")
        return 77
    with tempfile.TemporaryDirectory(prefix="muster-installed-") as prefix:
        subprocess.run(["cmake", "--install", str(build), "--prefix", prefix], check=True, stdout=subprocess.DEVNULL)
        muster = pathlib.Path(prefix) / "bin" / "muster"
        problems = [f"{program.name} lacks: {name}" for program in (muster, *pathlib.Path(prefix).rglob("muster-fetch"), *pathlib.Path(prefix).rglob("muster-queue"))
                    for name in missing_in(program, fortified)]
        # It is found from wherever muster is called, and by whatever name.
        link = pathlib.Path(prefix) / "m"
        link.symlink_to(muster)
        done = subprocess.run([link, "fetch", "--help"], capture_output=True, text=True, cwd="/")
        if done.returncode != 0:
            problems.append(f"the installed muster fetch does not start: {done.stderr}")
    for problem in problems:
        print(problem)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
