#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""run_peers.py [--bin DIR] [--count N] [--rounds N] [--limit N]: what starting a command costs, muster run beside its peers.

Each program runs `true` N times, at most --limit at once, with its output captured where it can. Rounds are interleaved,
so that what else the machine does meets all of them. GNU parallel, which takes much longer, runs a tenth of the commands,
and is left out if it is not installed. Beside that: starting up, and many inputs in few commands. CPU time is the program's
own, without that of the commands. Prints the tables of docs/tool/run.md.
"""
import argparse
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile
import time


def run(words, text):
    """Runs a program that must succeed. Returns its seconds, and the seconds of processor time that it took itself."""
    with tempfile.TemporaryFile() as inputs, tempfile.TemporaryFile() as errors:
        inputs.write(text)
        inputs.seek(0)
        began = time.perf_counter()
        child = subprocess.Popen(words, stdin=inputs, stdout=subprocess.DEVNULL, stderr=errors)
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        took = time.perf_counter() - began
        # Field 2 is the name in brackets, which may hold spaces; 14 and 15 are the times.
        fields = pathlib.Path(f"/proc/{child.pid}/stat").read_text().rpartition(")")[2].split()
        if child.wait() != 0:
            errors.seek(0)
            sys.exit(f"{' '.join(words)}: exit status {child.returncode}\n{errors.read().decode(errors='replace')}")
    return took, (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def print_table(unit, rows, scale, digits):
    print(f"| | {unit}, median | lowest | highest |\n| --- | --- | --- | --- |")
    for name, times in rows:
        scaled = [t * scale for t in times]
        print(f"| {name} | " + " | ".join(
            f"{t:.{digits}f}" for t in (statistics.median(scaled), min(scaled), max(scaled))) + " |")


def start_up(muster, rounds):
    """One command, and many inputs in few commands: the milliseconds of each whole program."""
    inputs = "".join(f"{i}\n" for i in range(20_000)).encode()
    rows = [("`muster run true ::: a`", [muster, "run", "-q", "true", ":::", "a"], b""),
            ("`xargs true`, one input", ["xargs", "true"], b"a\n"),
            ("`muster run -X true`, 20,000 inputs", [muster, "run", "-q", "-X", "true"], inputs),
            ("`xargs true`, 20,000 inputs", ["xargs", "true"], inputs)]
    times = [[] for _ in rows]
    for _ in range(rounds * 10):
        for (_, words, text), kept in zip(rows, times):
            kept.append(run(words, text)[0])
    print_table("ms", [(name, kept) for (name, _, _), kept in zip(rows, times)], 1e3, 1)


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("--bin", type=pathlib.Path, default=pathlib.Path("build/release/bin"))
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--limit", type=int, default=2)
    a = parser.parse_args()
    muster = str(a.bin / "muster")
    limit = str(a.limit)
    peers = [
        (f"`muster run --limit {limit}`, output captured", [muster, "run", "-q", "--limit", limit, "true"], a.count),
        (f"`muster run --limit {limit}` with `--jsonl`",
         [muster, "run", "-q", "--limit", limit, "--jsonl", "/dev/null", "true"], a.count),
        (f"`xargs -P{limit} -n1`, output not captured", ["xargs", f"-P{limit}", "-n1", "true"], a.count),
    ]
    if shutil.which("parallel"):
        peers.append((f"`parallel -j{limit}`, output captured", ["parallel", "--will-cite", f"-j{limit}", "true"],
                      a.count // 10))
    times = [[] for _ in peers]
    for _ in range(a.rounds):
        for (_, words, count), kept in zip(peers, times):
            took, own = run(words, "".join(f"{i}\n" for i in range(count)).encode())
            kept.append((took / count, own / count))

    print(f"{a.count} times `true`, at most {limit} at once, {a.rounds} interleaved rounds:\n")
    for what, unit in enumerate(("µs a command", "µs of CPU time of its own a command")):
        print_table(unit, [(name, [t[what] for t in kept]) for (name, _, _), kept in zip(peers, times)], 1e6, 0)
        print()
    start_up(muster, a.rounds)


main()
