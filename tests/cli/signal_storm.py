#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""signal_storm.py MUSTER [--seconds N] [--seed N] [--keep-going]: runs `muster run` again and again with options, inputs
and readers chosen at random, and sends it signals at random times.

After each run the ledger adds up, each line of the log parses and says of each input what the ledger says, the exit status
is that of the signal, and no command that was ended is left. A run whose reader stalls, whose input never ends or whose
disk is full ends as well. Prints the seed; `--seed N --seconds 0` repeats the first run of it. The test suite runs it for
some seconds; minutes are for by hand.
"""
import argparse
import collections
import json
import os
import pathlib
import random
import re
import resource
import signal
import subprocess
import sys
import tempfile
import threading
import time

ENDING = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGHUP: 129, signal.SIGQUIT: 131}
HARMLESS = [signal.SIGUSR1, signal.SIGPIPE, signal.SIGTSTP]
LEDGER = re.compile(r"^(\d+) submitted = (\d+) succeeded \+ (\d+) failed \+ (\d+) cancelled \+ (\d+) not started", re.M)
PATIENCE = 60
TICKS_OF_CPU = 30 * os.sysconf("SC_CLK_TCK")


class wrong(Exception):
    pass


def processes_with(mark):
    """The processes whose environment has the mark."""
    found = []
    for entry in os.scandir("/proc"):
        if not entry.name.isdigit():
            continue
        try:
            if mark in pathlib.Path(entry.path, "environ").read_bytes():
                found.append(int(entry.name))
        except OSError:
            pass  # it has ended, or is another user's
    return found


def state_of(pid):
    """What the threads of a process wait for, for a person who has to find out why it does not end."""
    lines = []
    for thread in sorted(pathlib.Path(f"/proc/{pid}/task").iterdir()):
        words = [thread.name]
        for file in ("comm", "wchan", "syscall"):
            try:
                words.append((thread / file).read_text().strip())
            except OSError as e:
                words.append(f"{file}: {e.strerror}")
        status = (thread / "status").read_text()
        words += re.findall(r"^(?:State|SigPnd|ShdPnd|SigBlk):.*$", status, re.M)
        lines.append("  ".join(words))
    return "\n".join(lines)


def ticks_used_by(pid):
    """The CPU time of a process, in ticks of the clock."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


def run_once(muster, choose, folder, mark):
    """One run. Raises `wrong` with what is not as it should be; returns what was run."""
    log, failed, results = folder / "log", folder / "failed", folder / "results"
    words = [muster, "run", "--no-progress", "--grace", "200ms", "--ledger", "always"]
    limit = choose.choice([1, 2, 4, 16])
    words += ["--limit", str(limit), "--jsonl", str(log)]
    pipes = choose.random() < 0.2
    lists = not pipes and choose.random() < 0.3
    for option, chance in ((["--failed", str(failed)], 0.3), (["--retries", "2"], 0.3), (["--drain"], 0.2),
                           (["--timeout", "80ms"], 0.2), (["--linger", "20ms"], 0.2), (["--trace"], 0.1),
                           (["--rate", "200"], 0.1), (["--max-output", "20K"], 0.1), (["--nice", "1"], 0.1),
                           (["--results", str(results)], 0.2),
                           (["--halt", choose.choice(["soon,fail=3", "now,fail=3", "soon,fail=40%", "now,success=9"])], 0.2)):
        if choose.random() < chance:
            words += option
    if choose.random() < 0.3:
        words.append("--keep-order")
    elif choose.random() < 0.3:
        words.append("--line-buffer")
    if choose.random() < 0.3:
        words.append("--tag")
    count = choose.choice([0, 1, 7, 40, 300])
    kind = choose.choice(["arguments", "file", "stdin", "endless"])
    if kind == "arguments" and pipes:
        kind = "file"
    if lists:
        words += ["-X"] if choose.random() < 0.5 else ["-n", "3"]
    if pipes:
        words += ["--pipe", "--block", "50"]
        template = "cat; sleep 0.0$(($$ % 5)); exit $(($$ % 3 == 0))"
    else:
        template = choose.choice([
            "true", "false", "echo {}", "echo {}; sleep 0.0$(($$ % 9)); exit $(($$ % 3 == 0))",
            "trap '' TERM; echo stubborn; sleep 30", "sleep 30 & sleep 0.01; echo {}", "head -c 30000 /dev/zero",
            "printf 'no line end {}'; kill -KILL $$", "exec sleep 0.02"])
    words.append(template)
    inputs = [f"in-{i}" for i in range(count)]
    stdin = subprocess.DEVNULL
    if kind == "arguments":
        words += [":::", *inputs]
    elif kind == "file":
        (folder / "list").write_text("".join(i + "\n" for i in inputs))
        words[words.index("--no-progress"):words.index("--no-progress")] = ["-f", str(folder / "list")]
    else:
        stdin = subprocess.PIPE
    reader = choose.choice(["all", "all", "slow", "stalled", "gone", "full"])
    disk_is_full = choose.random() < 0.15

    def prepare():
        # A shell has what it runs in the background ignore SIGINT and SIGQUIT.
        for number in (*ENDING, *HARMLESS):
            signal.signal(number, signal.SIG_DFL)
        # Of this session, so that SIGTSTP stops it: the kernel stops no group without somebody who could let it go on.
        os.setpgid(0, 0)
        # SIGQUIT may come before it listens.
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        if disk_is_full:
            resource.setrlimit(resource.RLIMIT_FSIZE, (3000, 3000))

    out = open("/dev/full", "wb") if reader == "full" else subprocess.PIPE
    errors = open(folder / "errors", "wb")
    environment = dict(os.environ, MUSTER_STORM=mark, TMPDIR=str(folder))
    began = time.monotonic()
    child = subprocess.Popen(words, stdin=stdin, stdout=out, stderr=errors, env=environment, preexec_fn=prepare)
    told = f"{reader} reader, {kind} input of {count}, {'a full disk, ' if disk_is_full else ''}{' '.join(words[1:])[:600]}"
    let_go = threading.Event()

    def feed():
        try:
            number = 0
            while kind == "endless" or number != count:
                child.stdin.write(f"in-{number}\n".encode())
                number += 1
                if number % 50 == 0:
                    child.stdin.flush()
            child.stdin.close()
        except (OSError, ValueError):
            pass  # it does not read any more

    def read():
        if reader == "gone":
            child.stdout.close()
            return
        if reader == "stalled":
            let_go.wait()
        try:
            while child.stdout.read(4096):
                if reader == "slow":
                    time.sleep(0.01)
        except ValueError:
            pass  # closed, as it is over

    threads = [threading.Thread(target=feed, daemon=True)] if stdin == subprocess.PIPE else []
    threads += [threading.Thread(target=read, daemon=True)] if out == subprocess.PIPE else []
    for t in threads:
        t.start()
    sent = []
    try:
        for number in choose.sample(HARMLESS, choose.randrange(3)):
            time.sleep(choose.random() * 0.1)
            child.send_signal(number)
            sent.append(number)
            if number == signal.SIGTSTP:
                time.sleep(choose.random() * 0.1)
                child.send_signal(signal.SIGCONT)
        time.sleep(choose.random() ** 2 * 0.4)
        ending = choose.choice(list(ENDING))
        for _ in range(1 if choose.random() < 0.7 else 2):
            child.send_signal(ending)
            sent.append(ending)
            time.sleep(choose.random() * 0.05)
        # A process that is given no time by a busy machine is not one that hangs: it may use so much CPU time, and may
        # use none for so long.
        used, until = 0, time.monotonic() + PATIENCE
        while child.poll() is None and time.monotonic() < until and used < TICKS_OF_CPU:
            if (now := ticks_used_by(child.pid)) != used:
                used, until = now, time.monotonic() + PATIENCE
            # SIGCONT may have come before SIGTSTP was carried out.
            child.send_signal(signal.SIGCONT)
            try:
                child.wait(2)
            except subprocess.TimeoutExpired:
                # With --drain the first signal lets what runs go on; what takes long is ended by a second one.
                if "--drain" in words and sent[-2:] != [ending, ending]:
                    child.send_signal(ending)
                    sent.append(ending)
        if child.poll() is None:
            state = state_of(child.pid)
            child.kill()
            child.wait()
            raise wrong(f"it does not end: {told}\nsignals {[s.name for s in sent]}\n{state}\n"
                        f"{(folder / 'errors').read_text(errors='replace')[-2000:]}")
    finally:
        let_go.set()
        for stream in (child.stdin, child.stdout):
            try:
                if stream is not None:
                    stream.close()
            except (OSError, ValueError):
                pass
        errors.close()
        if out != subprocess.PIPE:
            out.close()
    told = f"{told}\nsignals {[s.name for s in sent]}, exit status {child.returncode}, {time.monotonic() - began:.2f} s"
    said = (folder / "errors").read_text(errors="replace")
    if child.returncode < 0:
        # The signal came before the program listened for it: nothing was begun.
        if -child.returncode in sent and (not log.exists() or not log.read_bytes()) and not LEDGER.search(said):
            return "early"
        # Or after all was said.
        if not (-child.returncode in sent and LEDGER.search(said)):
            raise wrong(f"killed by {-child.returncode}: {told}\n{said}")
    elif child.returncode not in (0, 1, *ENDING.values()):
        raise wrong(f"exit status: {told}\n{said}")
    left = processes_with(mark.encode())
    # What was ended by SIGKILL may take a moment to go; what a command left behind in the background is not ours to end.
    deadline = time.monotonic() + 10
    stays = template.startswith("sleep 30 &")
    while left and not stays and time.monotonic() < deadline:
        time.sleep(0.02)
        left = processes_with(mark.encode())
    for pid in left:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
    if left and not stays:
        raise wrong(f"{len(left)} processes are left: {told}\n{said}")
    match = LEDGER.search(said)
    # Three signals end it at once, and so says nothing more. A full disk may have no room for its words either.
    if not match:
        if len([s for s in sent if s in ENDING]) >= 2 or disk_is_full:
            return "without a ledger"
        raise wrong(f"no ledger: {told}\n{said}")
    submitted, *counts = map(int, match.groups())
    if submitted != sum(counts):
        raise wrong(f"the ledger does not add up: {match[0]}: {told}")
    if kind in ("arguments", "file") and not lists and not pipes and submitted != count:
        raise wrong(f"{submitted} of {count} inputs are counted: {told}\n{said}")
    if child.returncode == 0 and counts[0] != submitted:
        raise wrong(f"success with failures: {told}\n{said}")
    lines = log.read_bytes().split(b"\n")
    if lines.pop() != b"":
        raise wrong(f"the last line of the log is not whole: {told}")
    entries = [json.loads(line) for line in lines]
    if disk_is_full:
        return "full disk"
    by_outcome = collections.Counter(e["outcome"] for e in entries)
    if [by_outcome[o] for o in ("ok", "error", "cancelled", "not_started")] != counts:
        raise wrong(f"the log says {dict(by_outcome)}, the ledger {match[0]}: {told}\n{said}")
    if sorted(e["index"] for e in entries) != list(range(submitted)):
        raise wrong(f"an index is missing or twice in the log: {told}")
    if "--failed" in words and not pipes:
        given_back = failed.read_text().splitlines()
        expected = sum(len(e["inputs"]) if "inputs" in e else 1 for e in entries if e["outcome"] != "ok")
        if len(given_back) != expected:
            raise wrong(f"--failed has {len(given_back)} of {expected} inputs: {told}")
    return kind


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("muster")
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--seed", type=int, default=random.randrange(2**32))
    parser.add_argument("--keep-going", action="store_true")
    a = parser.parse_args()
    seen, failures = collections.Counter(), 0
    until = time.monotonic() + a.seconds
    seed = a.seed
    while not seen or time.monotonic() < until:
        with tempfile.TemporaryDirectory(prefix="muster-storm-") as folder:
            try:
                seen[run_once(os.path.abspath(a.muster), random.Random(seed), pathlib.Path(folder), f"{os.getpid()}-{seed}.")] += 1
            except wrong as e:
                print(f"seed {seed}: {e}", flush=True)
                seen["wrong"] += 1
                failures += 1
                if not a.keep_going:
                    return 1
        seed += 1
    print(f"{sum(seen.values())} runs from seed {a.seed}: {dict(seen)}")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
