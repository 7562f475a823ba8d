"""How long a hub's API takes to answer while other things go on: a program of its own.

It asks every 50 ms and takes the time from the moment at which the question was due, so that a
hub that stands still for a second is slow for twenty questions and not for one. It goes before
others on the processors: it is the hub that is timed, not this program. Only the standard library,
so that it costs little.
"""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import os
import select
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

INTERVAL = 0.05


@dataclass
class Latencies:
    """Seconds since the start at which each question was due, and seconds that it took."""

    due: list[float] = field(default_factory=list)
    took: list[float] = field(default_factory=list)


@contextlib.asynccontextmanager
async def probing(url: str) -> AsyncIterator[Latencies]:
    """Ask ``url`` until the block ends; what is yielded is filled then."""
    found = Latencies()
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(Path(__file__)),
        url,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=2**24,
    )
    assert process.stdin is not None and process.stdout is not None
    await process.stdout.readline()
    try:
        yield found
    finally:
        process.stdin.close()
        printed = await process.stdout.read()
        await process.wait()
    told = json.loads(printed)
    found.due, found.took = told["due"], told["took"]


def main(url: str) -> None:
    """Say that the first answer has come; ask until standard input ends; print all times."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.netloc, timeout=60)
    os.setpriority(os.PRIO_PROCESS, 0, -10)
    _ask(connection, parts.path)
    print("asking", flush=True)
    began = time.perf_counter()
    due: list[float] = []
    took: list[float] = []
    moment = 0.0
    while not select.select([sys.stdin], [], [], 0)[0]:
        moment += INTERVAL
        time.sleep(max(0.0, began + moment - time.perf_counter()))
        _ask(connection, parts.path)
        due.append(moment)
        took.append(time.perf_counter() - began - moment)
    print(json.dumps({"due": due, "took": took}))


def _ask(connection: http.client.HTTPConnection, path: str) -> None:
    connection.request("GET", path)
    answer = connection.getresponse()
    answer.read()
    if answer.status != 200:
        raise RuntimeError(f"{path}: {answer.status}")


if __name__ == "__main__":
    main(sys.argv[1])
