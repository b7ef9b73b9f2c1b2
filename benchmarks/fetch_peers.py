#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""fetch_peers.py MUSTER [--before MUSTER] [--rounds N] [--urls N] [--limit N]: muster fetch beside curl --parallel, and
wget2 and aiohttp where they are installed (wget2, python3-aiohttp), on the same list.

Starts nginx on loopback with a configuration of its own in a temporary folder, and gets small bodies from it with each,
in turns, several times; prints a table of the medians. Then the most memory that each used for a tenth of the list and
for all of it. nginx and curl must be installed.
"""
import argparse
import os
import pathlib
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time

CONFIGURATION = """
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
worker_processes 1;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    keepalive_requests 1000000;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    server {{
        listen 127.0.0.1:{port};
        location / {{ default_type text/plain; return 200 "a small body, as an API might give\\n"; }}
    }}
}}
"""


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class server:
    def __init__(self, folder):
        self.port = free_port()
        path = pathlib.Path(folder, "nginx.conf")
        path.write_text(CONFIGURATION.format(folder=folder, port=self.port))
        nginx = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
        if nginx is None:
            sys.exit("fetch_peers: nginx is not installed")
        self.process = subprocess.Popen([nginx, "-e", f"{folder}/error.log", "-p", folder, "-c", str(path)])
        for _ in range(500):
            try:
                socket.create_connection(("127.0.0.1", self.port)).close()
                return
            except OSError:
                time.sleep(0.01)
        sys.exit("fetch_peers: nginx does not answer")

    def stop(self):
        self.process.terminate()
        self.process.wait()


QUIET = [(os.POSIX_SPAWN_OPEN, 1, "/dev/null", os.O_WRONLY, 0), (os.POSIX_SPAWN_OPEN, 2, "/dev/null", os.O_WRONLY, 0)]


def check(command, status):
    if status != 0:
        sys.exit(f"fetch_peers: {' '.join(command)} ended with {os.waitstatus_to_exitcode(status)}")


def measure(command):
    """Wall time and CPU time of a command that must succeed."""
    began = time.perf_counter()
    pid = os.posix_spawn(command[0], command, os.environ, file_actions=QUIET)
    _, status, usage = os.wait4(pid, 0)
    check(command, status)
    return time.perf_counter() - began, usage.ru_utime + usage.ru_stime


def peak_memory(command):
    """In MB, looked at as it runs: what wait4 tells counts what it was started from, too."""
    pid = os.posix_spawn(command[0], command, os.environ, file_actions=QUIET)
    peak = 0
    while True:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            check(command, status)
            return peak / 1024
        try:
            # Before its exec the child is still Python.
            # And muster becomes muster-fetch.
            if os.path.basename(os.readlink(f"/proc/{pid}/exe")).startswith(os.path.basename(os.path.realpath(command[0]))):
                text = pathlib.Path(f"/proc/{pid}/status").read_text()
                peak = max([peak] + [int(line.split()[1]) for line in text.splitlines() if line.startswith("VmHWM")])
        except OSError:
            pass  # it has just ended
        time.sleep(0.002)


def python_with_aiohttp():
    for python in (sys.executable, "/usr/bin/python3"):
        if subprocess.run([python, "-c", "import aiohttp"], capture_output=True).returncode == 0:
            return python
    return None


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("muster")
    parser.add_argument("--before", help="another build of muster, in the same rounds")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--urls", type=int, default=20_000)
    parser.add_argument("--limit", type=int, default=50)
    options = parser.parse_args()
    curl = shutil.which("curl")
    if curl is None:
        sys.exit("fetch_peers: curl is not installed")
    wget2 = shutil.which("wget2")
    python = python_with_aiohttp()
    limit = str(options.limit)
    with tempfile.TemporaryDirectory(prefix="muster-fetch-") as folder:
        nginx = server(folder)
        try:
            commands = {}
            for count in (options.urls // 10, options.urls):
                urls = [f"http://127.0.0.1:{nginx.port}/item/{i}" for i in range(count)]
                plain = pathlib.Path(folder, f"urls-{count}")
                plain.write_text("".join(u + "\n" for u in urls))
                # curl takes a list as a configuration; each URL needs a place for its body.
                config = pathlib.Path(folder, f"curl-{count}")
                config.write_text("".join(f'url = "{u}"\noutput = "/dev/null"\n' for u in urls))
                commands["muster", count] = [options.muster, "fetch", "-q", "--limit", limit, "-f", str(plain)]
                if options.before is not None:
                    commands["before", count] = [options.before, *commands["muster", count][1:]]
                commands["curl", count] = [curl, "-q", "-sS", "--fail", "--parallel", "--parallel-max", limit, "-K", str(config)]
                if wget2 is not None:
                    commands["wget2", count] = [wget2, "-q", "--max-threads", limit, "-O", "/dev/null", "-i", str(plain)]
                if python is not None:
                    script = str(pathlib.Path(__file__).with_name("aiohttp_peer.py"))
                    commands["aiohttp", count] = [python, script, str(plain), limit]
            seen = {key: [] for key in commands}
            for _ in range(options.rounds):
                for key, command in commands.items():
                    seen[key].append(measure(command))
            memory = {key: peak_memory(command) for key, command in commands.items()}
        finally:
            nginx.stop()
    print(f"{'':20} {'URLs':>7} {'wall s':>8} {'best s':>8} {'CPU s':>8} {'us/URL':>8} {'least us':>8} {'peak MB':>8}")
    for (kind, count), runs in seen.items():
        wall = statistics.median(r[0] for r in runs)
        best = min(r[0] for r in runs)
        cpu = statistics.median(r[1] for r in runs)
        least = min(r[1] for r in runs) / count * 1e6
        name = {"muster": "muster fetch", "before": "muster fetch, before", "curl": "curl --parallel"}.get(kind, kind)
        print(f"{name:20} {count:7} {wall:8.3f} {best:8.3f} {cpu:8.3f} {cpu / count * 1e6:8.1f} {least:8.1f} {memory[kind, count]:8.1f}")


if __name__ == "__main__":
    main()
