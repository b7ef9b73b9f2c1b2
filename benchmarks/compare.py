#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Runs `bench` and the same workloads on its peers, and times a compilation; writes the tables of
docs/inside/performance.md. To be run from the project's folder on a quiet machine, after `./go build`:

    benchmarks/compare.py

A few minutes; progress goes to standard error. --json FILE keeps bench's own report; --peers prints the peers' table only
and changes no file. The peers are Python's asyncio and, each where its Debian package is installed, Boost.Asio
(libboost1.81-dev), Go (golang-go), tokio (librust-tokio-dev and cargo; nothing is fetched) and uvloop (python3-uvloop).
"""

import argparse
import json
import os
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


def run_bench(json_file, *options):
    say("bench ...")
    command = [BUILD / "bin/bench", f"--benchmark_out={json_file}", "--benchmark_out_format=json", *options]
    # One core for all but the pool's threads: taskset would take theirs away, so it is the loop's own thread that counts.
    subprocess.run(command, check=True, stdout=sys.stderr)
    return json.loads(pathlib.Path(json_file).read_text())


def run_peer(what, command):
    say(f"{what} ...")
    lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    return {(row["name"], row["n"]): row["ns"] for row in map(json.loads, lines)}


def builds(command, **options):
    return subprocess.run(command, capture_output=True, **options).returncode == 0


def run_asio():
    if builds(["cmake", "--build", BUILD, "--target", "bench_asio"]):
        return run_peer("Boost.Asio", [BUILD / "bin/bench_asio"])
    say("no Boost.Asio: it needs Boost 1.80 or newer (libboost1.81-dev), found when cmake configures")
    return {}


def run_go():
    program = BUILD / "go_peer"
    go = shutil.which("go") or "/usr/lib/go/bin/go"
    environment = {**os.environ, "GO111MODULE": "off", "GOFLAGS": ""}
    if pathlib.Path(go).exists() and builds([go, "build", "-o", program, ROOT / "benchmarks/go_peer/main.go"], env=environment):
        return run_peer("Go", [program])
    say("no Go: it needs golang-go")
    return {}


def run_tokio():
    sources = pathlib.Path("/usr/share/cargo/registry")  # where Debian's packages put them
    settings = ["--config", "source.crates-io.replace-with='debian'",
                "--config", f"source.debian.directory='{sources}'"]
    folder = BUILD / "tokio_peer"
    if shutil.which("cargo") and any(sources.glob("tokio-1*")):
        shutil.copytree(ROOT / "benchmarks/tokio_peer", folder, dirs_exist_ok=True)
        if builds(["cargo", "build", "--release", "--offline", *settings], cwd=folder):
            return run_peer("tokio", [folder / "target/release/tokio_peer"])
    say("no tokio: it needs librust-tokio-dev and cargo")
    return {}


def run_uvloop():
    for python in (sys.executable, "/usr/bin/python3"):
        if builds([python, "-c", "import uvloop"]):
            return run_peer("uvloop", [python, ROOT / "benchmarks/asyncio_peer.py", "--uvloop"])
    say("no uvloop: it needs python3-uvloop")
    return {}


def run_peers():
    """name -> (workload, children) -> ns; those that are not there are left out."""
    found = {
        "asyncio": run_peer("asyncio", [shutil.which("python3"), ROOT / "benchmarks/asyncio_peer.py"]),
        "uvloop": run_uvloop(),
        "Boost.Asio": run_asio(),
        "Go": run_go(),
        "tokio": run_tokio(),
    }
    return {name: rows for name, rows in found.items() if rows}


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


def peers(report, found):
    own = {(name_of(r), int(r["n"])): r["ns"] for r in report["benchmarks"] if "ns" in r}
    lines = ["| workload | children | muster, ns each | " + " | ".join(f"{name} | times" for name in found) + " |",
             "| --- | ---: | ---: | " + " | ".join("---: | ---:" for _ in found) + " |"]
    for key in dict.fromkeys(key for rows in found.values() for key in rows if key in own):
        cells = [key[0], f"{key[1]:,}", number(own[key])]
        for rows in found.values():
            cells += [number(rows[key]), f"{rows[key] / own[key]:.1f}"] if key in rows else ["", ""]
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
    parser.add_argument("--peers", action="store_true", help="print the peers' table only")
    options = parser.parse_args()
    if not (BUILD / "bin/bench").exists():
        sys.exit("there is no build/release/bin/bench: run ./go build first")

    found = run_peers()
    if options.peers:
        compared = "|".join(dict.fromkeys(name for rows in found.values() for name, _ in rows))
        print(peers(run_bench(options.json, f"--benchmark_filter=^({compared})/"), found))
        return
    report = run_bench(options.json)
    say("compile time ...")
    standard, own = (compile_seconds(source, 5) for source in (WITH_STANDARD, WITH_MUSTER))

    times, figures = table(report)
    text = PAGE.read_text()
    text = replace_part(text, "machine", machine())
    text = replace_part(text, "times", times)
    text = replace_part(text, "bytes", figures)
    text = replace_part(text, "peers", peers(report, found))
    text = replace_part(text, "compile", f"{standard:.2f} s for the standard headers alone, {own:.2f} s for the file that "
                                         f"gathers: {own / standard:.2f} times. The goal is 2.1.")
    PAGE.write_text(text)
    say(f"wrote {PAGE.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
