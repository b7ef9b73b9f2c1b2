#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""aiohttp_peer.py FILE LIMIT: gets every URL of the file with aiohttp, at most LIMIT at once; for fetch_peers.py."""
import asyncio
import sys

import aiohttp


async def get(session, urls):
    for url in urls:
        async with session.get(url.strip(), raise_for_status=True) as answer:
            await answer.read()


async def main(file, limit):
    with open(file, encoding="utf-8") as lines:
        urls = iter(lines.readlines())
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=limit)) as session:
        # The iterator is shared: each of the workers takes the next URL.
        await asyncio.gather(*(get(session, urls) for _ in range(limit)))


if len(sys.argv) != 3:
    sys.exit(__doc__)
asyncio.run(main(sys.argv[1], int(sys.argv[2])))
