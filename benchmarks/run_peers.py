#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""run_peers.py [--bin DIR] [--count N] [--rounds N] [--limit N]: what starting a command costs, muster run beside its peers.

Each program runs `true` N times, at most --limit at once, with its output captured where it can. Rounds are interleaved,
so that what else the machine does meets all of them. GNU parallel, which takes much longer, runs a tenth of the commands,
and is left out if it is not installed. Beside that: starting up, and many inputs in few commands. Prints the table of docs/tool/run.md.
"""
import argparse
import pathlib
import shutil
import statistics
import subprocess
import sys
import time


def seconds(words, lines):
    text = "".join(f"{i}\n" for i in range(lines)).encode()
    began = time.perf_counter()
    done = subprocess.run(words, input=text, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    took = time.perf_counter() - began
    if done.returncode != 0:
        sys.exit(f"{' '.join(words)}: exit status {done.returncode}\n{done.stderr.decode(errors='replace')}")
    return took


def start_up(muster, rounds):
    """One command, and many inputs in few commands: the seconds of each whole program."""
    inputs = "".join(f"{i}\n" for i in range(20_000)).encode()
    rows = [("`muster run true ::: a`", [muster, "run", "-q", "true", ":::", "a"], b""),
            ("`xargs true`, one input", ["xargs", "true"], b"a\n"),
            ("`muster run -X true`, 20,000 inputs", [muster, "run", "-q", "-X", "true"], inputs),
            ("`xargs true`, 20,000 inputs", ["xargs", "true"], inputs)]
    times = [[] for _ in rows]
    for _ in range(rounds * 4):
        for (_, words, text), kept in zip(rows, times):
            began = time.perf_counter()
            subprocess.run(words, input=text, check=True)
            kept.append((time.perf_counter() - began) * 1e3)
    print("\n| | ms, median | lowest | highest |\n| --- | --- | --- | --- |")
    for (name, _, _), kept in zip(rows, times):
        print(f"| {name} | {statistics.median(kept):.1f} | {min(kept):.1f} | {max(kept):.1f} |")


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
            kept.append(seconds(words, count) / count * 1e6)

    print(f"{a.count} times `true`, at most {limit} at once, {a.rounds} interleaved rounds:\n")
    print("| | µs a command, median | lowest | highest |\n| --- | --- | --- | --- |")
    for (name, _, _), kept in zip(peers, times):
        print(f"| {name} | {statistics.median(kept):.0f} | {min(kept):.0f} | {max(kept):.0f} |")
    start_up(muster, a.rounds)


main()
