# SPDX-License-Identifier: MIT
"""asyncio_peer.py [--uvloop]: the first workloads of `bench` written with Python's asyncio, on its own loop or on uvloop's.
Prints one line of JSON for each."""

import asyncio
import json
import statistics
import sys
import time

if sys.argv[1:] == ["--uvloop"]:
    import uvloop

    uvloop.install()
elif sys.argv[1:]:
    sys.exit(__doc__)


async def ready(n):
    return n


async def yields_once(n):
    await asyncio.sleep(0)
    return n


async def throws(n):
    raise RuntimeError("this one failed")


async def gathered(n, child, return_exceptions):
    begin = time.process_time_ns()
    await asyncio.gather(*[child(i) for i in range(n)], return_exceptions=return_exceptions)
    return time.process_time_ns() - begin


def measure(name, n, child, return_exceptions=False):
    rounds = 20 if n <= 1000 else 3
    times = [asyncio.run(gathered(n, child, return_exceptions)) / n for _ in range(rounds)]
    print(json.dumps({"name": name, "n": n, "ns": round(statistics.median(times), 1)}), flush=True)


for size in (1_000, 100_000):
    measure("gather, children ready", size, ready)
    measure("gather, each child yields once", size, yields_once)
    measure("settle, all throw", size, throws, return_exceptions=True)
