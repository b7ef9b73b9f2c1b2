#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""check_conformance.py [--extra FILE] [--jobs N] SCENARIO PATH...: runs recorded cases and compares the traces.

A PATH is a case (name.json beside name.trace) or a folder of them. Lines that begin with `! suppressed` are not
compared: asyncio drops what they report. A `! never-retrieved` line that the recorded trace lacks is accepted only if
FILE has a line `CASE TASK REASON` for it; a line of FILE that no case needs is an error when whole folders are run.
"""
import argparse
import collections
import concurrent.futures
import difflib
import json
import pathlib
import subprocess
import sys

LONGEST = 60  # seconds for one case; they run on a virtual clock and take milliseconds


def run(scenario, case):
    try:
        done = subprocess.run([scenario, case], capture_output=True, text=True, timeout=LONGEST)
    except subprocess.TimeoutExpired:
        return [f"no answer within {LONGEST} s"]
    lines = [line for line in done.stdout.splitlines() if not line.startswith("! suppressed")]
    if done.returncode != 0 or done.stderr:
        lines.append(f"exit status {done.returncode}: {done.stderr.strip()[:1000]}")
    return lines


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("--extra", type=pathlib.Path)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("scenario")
    parser.add_argument("paths", nargs="+", type=pathlib.Path)
    arguments = parser.parse_args()

    allowed = set()
    if arguments.extra and arguments.extra.exists():
        for line in arguments.extra.read_text().splitlines():
            words = line.split()
            if words and not line.startswith("#"):
                if len(words) < 3:
                    sys.exit(f"{arguments.extra}: a line is 'CASE TASK REASON', not: {line}")
                allowed.add((words[0], words[1]))

    cases = []
    for path in arguments.paths:
        cases += sorted(path.rglob("*.json")) if path.is_dir() else [path]
    if not cases:
        sys.exit("no case to run")

    used, failed = set(), 0
    with concurrent.futures.ThreadPoolExecutor(arguments.jobs) as pool:
        for case, got in zip(cases, pool.map(lambda c: run(arguments.scenario, c), cases)):
            name = json.loads(case.read_text())["name"]
            want = case.with_suffix(".trace").read_text().splitlines()
            surplus = collections.Counter(got) - collections.Counter(want)
            for line, count in surplus.items():
                words = line.split()
                if line.startswith("! never-retrieved ") and (name, words[2]) in allowed:
                    used.add((name, words[2]))
                    for _ in range(count):
                        got.remove(line)
            if got != want:
                failed += 1
                print(f"{case} differs:")
                print("\n".join(difflib.unified_diff(want, got, "recorded", "printed", lineterm="", n=1)))
    unused = allowed - used if all(path.is_dir() for path in arguments.paths) else set()
    for name, task in sorted(unused):
        print(f"{arguments.extra}: no case needs the line '{name} {task} ...'")
    print(f"{len(cases) - failed} passed, {failed} failed, {len(used)} extra reports allowed")
    sys.exit(bool(failed or unused))


main()
