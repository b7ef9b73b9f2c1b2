#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""check_security.py ROOT: every row of a table "holds | test" in SECURITY.md and docs/inside/reliability.md names tests,
and each of them exists: a GoogleTest test as suite.name, a fuzzer as fuzz_NAME, or a test of tests/CMakeLists.txt or
benchmarks/CMakeLists.txt by its name."""
import pathlib
import re
import sys


def known_tests(root):
    names = set()
    for file in (root / "tests").rglob("*_test.cpp"):
        for suite, test in re.findall(r"^TEST(?:_F|_P)?\((\w+),\s*(\w+)\)", file.read_text(), re.M):
            names.add(f"{suite}.{test}")
    for file in (root / "fuzz").glob("*_fuzz.cpp"):
        names.add("fuzz_" + file.stem.removesuffix("_fuzz"))
    for folder in ("tests", "benchmarks"):
        names.update(re.findall(r"add_test\(NAME (\w+)", (root / folder / "CMakeLists.txt").read_text()))
    return names


def main():
    root = pathlib.Path(sys.argv[1])
    known, errors, rows = known_tests(root), [], 0
    for page in ("SECURITY.md", "docs/inside/reliability.md"):
        in_table, before = False, rows
        for number, line in enumerate((root / page).read_text().splitlines(), 1):
            if not line.startswith("|"):
                in_table = False
                continue
            cells = [c.strip() for c in line.strip("|").split("|")]
            if cells == ["holds", "test"]:
                in_table = True
            elif in_table and set(cells[0]) != {"-"}:
                rows += 1
                tests = re.findall(r"`([^`]+)`", cells[-1])
                if not tests:
                    errors.append(f"{page}:{number}: no test holds: {cells[0]}")
                errors += [f"{page}:{number}: there is no test {t}" for t in tests if t not in known]
        if rows == before:
            errors.append(f"{page}: there is no table of what holds")
    print(*errors, f"{rows} rows, {len(errors)} errors", sep="\n")
    return 1 if errors else 0


if __name__ == "__main__":
    sys.exit(main())
