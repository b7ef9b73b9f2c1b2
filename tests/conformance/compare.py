#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Checks a scenario runner against the recorded traces.

    compare.py build/tests/conformance/scenario                     all of cases/
    compare.py --diff RUNNER cases/gather some/case.json            these, and show how they differ
    compare.py --extra extra.txt RUNNER                             with a list of reports that may be added

A trace has to be equal line for line, with two exceptions, both explained in README.md: `! suppressed` lines are not
looked at, and a `! never-retrieved` line that the recording lacks is accepted if the file given by --extra names it.
Exits 0 if every case agrees, 1 if one does not, 2 if there is nothing to compare.
"""
import argparse
import collections
import concurrent.futures
import difflib
import json
import os
import pathlib
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
Verdict = collections.namedtuple("Verdict", "path name wanted printed extra")


def cases_in(paths):
    for path in paths:
        if path.is_dir():
            yield from sorted(path.rglob("*.json"))
        else:
            yield path


def read_allowance(path):
    """The (case, task) pairs of a file of lines `CASE TASK REASON`; a pair without its reason is refused."""
    pairs = set()
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        fields = line.split(None, 2)
        if len(fields) < 3:
            sys.exit(f"{path}:{number}: wanted `CASE TASK REASON`, got `{line}`")
        pairs.add((fields[0], fields[1]))
    return pairs


def run(runner, path, seconds):
    """What the runner prints for one case, as lines; a crash or a hang is a line that no trace has."""
    try:
        done = subprocess.run([runner, path], capture_output=True, text=True, errors="replace", timeout=seconds)
    except subprocess.TimeoutExpired:
        return [f"(no end after {seconds:g} s)"]
    lines = done.stdout.splitlines()
    if done.returncode != 0:
        lines.append(f"(exit status {done.returncode}: {done.stderr.strip()[:300]})")
    return lines


def judge(runner, path, seconds, allowance):
    name = json.loads(path.read_text(encoding="utf-8"))["name"]
    wanted = path.with_suffix(".trace").read_text(encoding="utf-8").splitlines()
    printed, extra = [], []
    owed = collections.Counter(wanted)
    for line in run(runner, path, seconds):
        if line.startswith("! suppressed"):
            continue
        if line.startswith("! never-retrieved") and not owed[line]:
            task = line.split()[2]
            if (name, task) in allowance:
                extra.append(task)
                continue
        owed[line] -= 1
        printed.append(line)
    return Verdict(path, name, wanted, printed, extra)


def shown(path):
    return os.path.relpath(path)


def main():
    parser = argparse.ArgumentParser(description="Compare a scenario runner with the recorded traces.")
    parser.add_argument("runner", help="the program; called as RUNNER FILE.json")
    parser.add_argument("paths", nargs="*", type=pathlib.Path, help="cases or folders of cases (default: cases/)")
    parser.add_argument("--extra", type=pathlib.Path, metavar="FILE", help="lines `CASE TASK REASON` (see README.md)")
    parser.add_argument("--diff", action="store_true", help="show how each case differs")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="cases run at a time")
    parser.add_argument("--seconds", type=float, default=20, help="time one case may take")
    options = parser.parse_intermixed_args()

    allowance = read_allowance(options.extra) if options.extra else set()
    runner = os.path.abspath(options.runner) if os.path.exists(options.runner) else options.runner
    cases = list(cases_in(options.paths or [HERE / "cases"]))
    if not cases:
        print("no cases found", file=sys.stderr)
        return 2

    with concurrent.futures.ThreadPoolExecutor(max(options.jobs, 1)) as pool:
        verdicts = list(pool.map(lambda case: judge(runner, case, options.seconds, allowance), cases))

    wrong = [verdict for verdict in verdicts if verdict.printed != verdict.wanted]
    for verdict in wrong:
        print(f"differs: {shown(verdict.path)}")
        if options.diff:
            lines = difflib.unified_diff(verdict.wanted, verdict.printed, "recorded", "printed", n=2, lineterm="")
            print("\n".join(f"    {line}" for line in lines))

    seen = {verdict.name for verdict in verdicts}
    used = {(verdict.name, task) for verdict in verdicts for task in verdict.extra}
    idle = sorted(pair for pair in allowance - used if pair[0] in seen)
    for name, task in idle:
        print(f"allowed but not printed: {name} {task}")

    extras = sum(len(verdict.extra) for verdict in verdicts)
    print(f"{len(cases) - len(wrong)} of {len(cases)} cases agree, {extras} allowed extra reports")
    return 1 if wrong or idle else 0


if __name__ == "__main__":
    sys.exit(main())
