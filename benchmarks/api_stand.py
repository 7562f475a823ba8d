"""An installation whose published functions are measured."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.stand import say
from support.apis import Apis
from support.installation import Installation

ROOT = Path(__file__).resolve().parent.parent
PUBLISHER = "admin"

#: Seconds without a call after which a container goes; short, so that from zero is soon seen.
IDLE = 8.0
#: Blank API containers that are kept when a start from zero or a growth is timed.
BLANK = 1
#: Containers that one API may have.
MOST = 8

#: Seconds between two looks at an API.
LOOK = 0.05

#: The same loop as the peer's notebook; and work that takes as long as a query of a
#: database may.
SOURCE = """
using Sockets

function fib(n::Int)
    a, b = 0, 1
    for _ in 1:n
        a, b = b, a + b
    end
    return a
end

# which container it was
works(seconds) = (sleep(seconds); gethostname())
"""


@contextmanager
def api_stand() -> Iterator[Apis]:
    """Run an installation that admits as many calls as can be made, until the block ends."""
    say("starting JuliaBox")
    bounds = {
        "enabled": True,
        "idle": f"{IDLE:g}s",
        "rate": 10_000_000,
        "outstanding": 10_000,
        "containers_per_api": MOST,
        "containers_per_publisher": 2 * MOST,
    }
    # one warm session, though nobody starts one here: without, no blank API container is kept
    pool = {"rule": "fixed", "size": 1}
    with Installation.fresh(ROOT, apis=bounds, pool=pool) as installation:
        yield Apis(installation)


async def until(condition: Callable[[], bool], seconds: float, what: str) -> float:
    """Wait until a condition holds; return when that was seen (``time.perf_counter``)."""
    end = time.monotonic() + seconds
    while not await asyncio.to_thread(condition):
        if time.monotonic() > end:
            raise RuntimeError(f"{what} not within {seconds:.0f} s")
        await asyncio.sleep(LOOK)
    return time.perf_counter()
