#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""hosts.py MUSTER [--commands N]: what `muster run --on` costs beside `muster run`, on this machine alone.

Two hosts are this one, reached through an sshd of its own on a high port of the loopback, with keys of its own; without
sshd, ssh and ssh-keygen they are reached through a launcher that stays here. Commands that take 20 ms, and `true`, run
through both and locally, in interleaved rounds; the time that connecting takes is measured by a run of one command, and
taken off. Then 200 agents are started by a local launcher, and 100,000 commands run through them: the memory of the
submitting process is sampled, and compared with a run of one agent.
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


class own_sshd:
    """An sshd on the loopback as long as the block lives; `words` are the options of muster that lead there."""

    def __init__(self, folder, muster):
        self.folder, self.muster, self.process = pathlib.Path(folder), muster, None
        self.words, self.environment = None, dict(os.environ)

    def __enter__(self):
        tools = [shutil.which("ssh"), shutil.which("ssh-keygen"), shutil.which("sshd", path="/usr/sbin:/usr/local/sbin:/sbin")]
        if not all(tools):
            self.words = ["--on", "1/a,1/b", "--launcher", "env", "--agent", self.muster]
            return self
        ssh, keygen, sshd = tools
        port = 20000 + os.getpid() % 20000
        for key in ("host", "user"):
            subprocess.run([keygen, "-q", "-t", "ed25519", "-N", "", "-f", self.folder / key], check=True)
        if os.geteuid() == 0:
            os.makedirs("/run/sshd", exist_ok=True)
        config = self.folder / "sshd_config"
        config.write_text(f"Port {port}\nListenAddress 127.0.0.1\nListenAddress 127.0.0.2\nHostKey {self.folder}/host\n"
                          f"AuthorizedKeysFile {self.folder}/user.pub\nStrictModes no\nUsePAM no\nPidFile none\n"
                          "PasswordAuthentication no\nPermitRootLogin yes\n")
        wrapper = self.folder / "ssh"
        wrapper.write_text(f"#!/bin/sh\nexec {ssh} -F none -i {self.folder}/user -o StrictHostKeyChecking=no "
                           f"-o UserKnownHostsFile={self.folder}/known -o LogLevel=ERROR \"$@\"\n")
        wrapper.chmod(0o700)
        self.environment["PATH"] = f"{self.folder}:{self.environment['PATH']}"
        with open(self.folder / "log", "w") as log:
            self.process = subprocess.Popen([sshd, "-D", "-e", "-f", config], stdout=log, stderr=log)
        for _ in range(100):
            if subprocess.run([wrapper, "-T", "-o", "BatchMode=yes", "-p", str(port), "127.0.0.1", "true"],
                              stderr=subprocess.DEVNULL).returncode == 0:
                break
            time.sleep(0.1)
        else:
            raise SystemExit("hosts.py: the sshd does not answer: " + (self.folder / "log").read_text())
        self.words = ["--on", f"1/127.0.0.1:{port},1/127.0.0.2:{port}", "--agent", self.muster]
        return self

    def __exit__(self, *_):
        if self.process:
            self.process.terminate()
            self.process.wait()


def seconds_of(words, inputs, environment=None):
    began = time.monotonic()
    done = subprocess.run(words, input="\n".join(map(str, range(inputs))) + "\n", text=True, env=environment,
                          stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    if done.returncode != 0:
        raise SystemExit(f"hosts.py: {words} has failed: {done.stderr[-1000:]}")
    return time.monotonic() - began


def compare(muster, server, name, template, inputs, rounds):
    local = [muster, "run", "-q", "--limit", "2", template]
    there = [muster, "run", "-q", *server.words, template]
    times = {"local": [], "there": [], "connect": []}
    for _ in range(rounds):
        times["local"].append(seconds_of(local, inputs))
        times["there"].append(seconds_of(there, inputs, server.environment))
        times["connect"].append(seconds_of([*there[:-1], "true {}"], 1, server.environment))
    best = {k: min(v) for k, v in times.items()}
    ratio = (best["there"] - best["connect"]) / best["local"]
    print(f"{name}, {inputs} commands: local {best['local']:.2f} s, two hosts {best['there']:.2f} s, of which connecting "
          f"{best['connect']:.2f} s: {ratio:.2f} times as long after connecting "
          f"(median {(statistics.median(times['there']) - statistics.median(times['connect'])) / statistics.median(times['local']):.2f})",
          flush=True)


def peak_memory(muster, agents, commands):
    """The most memory of the submitting process, in KiB, and the seconds that it took."""
    hosts = ",".join(f"1/h{i}" for i in range(agents))
    words = [muster, "run", "-q", "--on", hosts, "--launcher", "env", "--agent", muster, "true {}"]
    began = time.monotonic()
    with tempfile.TemporaryFile("w+") as inputs:
        inputs.write("\n".join(map(str, range(commands))) + "\n")
        inputs.seek(0)
        process = subprocess.Popen(words, stdin=inputs, stdout=subprocess.DEVNULL)
        most = 0
        while process.poll() is None:
            try:
                for line in open(f"/proc/{process.pid}/status"):
                    if line.startswith("VmHWM:"):
                        most = max(most, int(line.split()[1]))
            except OSError:
                pass
            time.sleep(0.05)
    if process.returncode != 0:
        raise SystemExit(f"hosts.py: the run with {agents} agents has failed")
    return most, time.monotonic() - began


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("muster")
    arguments.add_argument("--agents", type=int, default=200)
    arguments.add_argument("--commands", type=int, default=100_000, help="through the agents; 0: not at all")
    arguments.add_argument("--rounds", type=int, default=5)
    options = arguments.parse_args()
    muster = str(pathlib.Path(options.muster).resolve())
    print(f"load before: {os.getloadavg()[0]:.1f} on {len(os.sched_getaffinity(0))} processors", flush=True)
    with tempfile.TemporaryDirectory() as folder, own_sshd(folder, muster) as server:
        compare(muster, server, "20 ms", "exec sleep 0.02; : {}", 200, options.rounds)
        compare(muster, server, "true", "true {}", 1000, options.rounds)
    if options.commands:
        one, _ = peak_memory(muster, 1, 1000)
        all_of_them, took = peak_memory(muster, options.agents, options.commands)
        print(f"{options.agents} agents, {options.commands} commands: {took:.0f} s, {options.commands / took:.0f} a second; "
              f"{all_of_them} KiB at most, {one} KiB with one agent: {(all_of_them - one) / (options.agents - 1):.0f} KiB a host")
    print(f"load after: {os.getloadavg()[0]:.1f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
