#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Runs `bench`, the same workloads on Boost.Asio and on Python's asyncio, and times a compilation; writes the tables of
docs/inside/performance.md. To be run from the project's folder on a quiet machine, after `./go build`:

    benchmarks/compare.py

A few minutes; progress goes to standard error. --json FILE keeps bench's own report.
"""

import argparse
import json
import pathlib
import re
import resource
import shutil
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
BUILD = ROOT / "build/release"
PAGE = ROOT / "docs/inside/performance.md"

STANDARD = "coroutine vector string chrono functional memory ranges".split()
WITH_STANDARD = "".join(f"#include <{h}>\n" for h in STANDARD) + """
int main() {}
"""
WITH_MUSTER = """#include <muster/muster.hpp>

muster::task<int> one() {
    co_return 1;
}
muster::task<> both() {
    auto [a, b] = co_await muster::gather(one(), one());
    static_cast<void>(a + b);
}
int main() {
    muster::run(both());
}
"""


def say(text):
    print(text, file=sys.stderr, flush=True)


def run_bench(json_file):
    say("bench ...")
    command = [BUILD / "bin/bench", f"--benchmark_out={json_file}", "--benchmark_out_format=json"]
    # One core for all but the pool's threads: taskset would take theirs away, so it is the loop's own thread that counts.
    subprocess.run(command, check=True, stdout=sys.stderr)
    return json.loads(pathlib.Path(json_file).read_text())


def run_peer(what, command):
    say(f"{what} ...")
    lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    return {(row["name"], row["n"]): row["ns"] for row in map(json.loads, lines)}


def compile_seconds(source, rounds):
    """The least CPU time of a compilation that stops before linking."""
    with tempfile.TemporaryDirectory() as folder:
        file = pathlib.Path(folder) / "one.cpp"
        file.write_text(source)
        command = ["g++", "-std=c++20", "-O2", "-I", ROOT / "include", "-c", file, "-o", pathlib.Path(folder) / "one.o"]
        best = float("inf")
        for _ in range(rounds):
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            subprocess.run(command, check=True)
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            best = min(best, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
        return best


def name_of(run):
    name = re.sub(r"/(iterations:\d+|manual_time)", "", run["name"])
    return re.sub(r"/\d+$", "", name)


def number(x):
    return f"{x:,.0f}" if x >= 1000 else f"{x:.1f}"


def table(report):
    lines = ["| workload | children | ns each | floor | ratio | goal |", "| --- | ---: | ---: | ---: | ---: | ---: |"]
    figures = ["| what | bytes | goal |", "| --- | ---: | ---: |"]
    for run in report["benchmarks"]:
        name = name_of(run)
        goal = f"{run['goal']:g}" if run.get("goal") else ""
        if "bytes" in run:
            over = " (missed)" if run.get("goal") and run["bytes"] > run["goal"] else ""
            figures.append(f"| {name} | {run['bytes']:,.0f} | {goal}{over} |")
            continue
        unit = " " + run["label"] if run.get("label") else ""
        over = " (missed)" if run.get("goal") and run["ratio"] > run["goal"] else ""
        ratio = f"{run['ratio']:.2f}{unit}" if not name.startswith("floor") else ""
        floor = number(run["floor_ns"]) if ratio else ""
        lines.append(f"| {name} | {run['n']:,.0f} | {number(run['ns'])} | {floor} | {ratio} | "
                     f"{goal + unit if goal else ''}{over} |")
    return "\n".join(lines), "\n".join(figures)


def peers(report, asio, asyncio):
    own = {(name_of(r), int(r["n"])): r["ns"] for r in report["benchmarks"] if "ns" in r}
    lines = ["| workload | children | muster, ns each | Boost.Asio | times | asyncio | times |",
             "| --- | ---: | ---: | ---: | ---: | ---: | ---: |"]
    for key in asyncio:
        mine = own[key]
        cells = [key[0], f"{key[1]:,}", number(mine)]
        for peer in (asio, asyncio):
            cells += [number(peer[key]), f"{peer[key] / mine:.1f}"] if key in peer else ["", ""]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def machine():
    cpu = re.search(r"model name\s*: (.*)", pathlib.Path("/proc/cpuinfo").read_text())
    compiler = subprocess.run(["g++", "--version"], check=True, capture_output=True, text=True).stdout.splitlines()[0]
    return f"{cpu.group(1).strip() if cpu else 'unknown processor'}; {compiler}, -O2; CPU time"


def replace_part(text, name, part):
    pattern = re.compile(rf"(<!-- {name} -->\n).*?(<!-- end -->)", re.S)
    if not pattern.search(text):
        sys.exit(f"{PAGE} has no part {name}")
    return pattern.sub(lambda m: m.group(1) + part + "\n" + m.group(2), text)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--json", default=str(BUILD / "bench.json"), help="where bench's report goes")
    options = parser.parse_args()
    if not (BUILD / "bin/bench").exists():
        sys.exit("there is no build/release/bin/bench: run ./go build first")

    report = run_bench(options.json)
    asio = {}
    if subprocess.run(["cmake", "--build", BUILD, "--target", "bench_asio"], capture_output=True).returncode == 0:
        asio = run_peer("Boost.Asio", [BUILD / "bin/bench_asio"])
    else:
        say("no bench_asio: it needs Boost 1.80 or newer (libboost1.81-dev), found when cmake configures")
    asyncio = run_peer("asyncio", [shutil.which("python3"), ROOT / "benchmarks/asyncio_peer.py"])
    say("compile time ...")
    standard, own = (compile_seconds(source, 5) for source in (WITH_STANDARD, WITH_MUSTER))

    times, figures = table(report)
    text = PAGE.read_text()
    text = replace_part(text, "machine", machine())
    text = replace_part(text, "times", times)
    text = replace_part(text, "bytes", figures)
    text = replace_part(text, "peers", peers(report, asio, asyncio))
    text = replace_part(text, "compile", f"{standard:.2f} s for the standard headers alone, {own:.2f} s for the file that "
                                         f"gathers: {own / standard:.2f} times. The goal is 1.5.")
    PAGE.write_text(text)
    say(f"wrote {PAGE.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
