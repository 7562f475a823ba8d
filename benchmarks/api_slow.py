"""A normal caller's wait while a thousand others send their requests byte by byte."""

from __future__ import annotations

import asyncio
import resource
from dataclasses import dataclass

from benchmarks.api_stand import PUBLISHER, SOURCE
from benchmarks.caller import calling
from benchmarks.figures import percentile
from benchmarks.rounds import Rounds
from benchmarks.stand import say
from support.apis import PREFIX, Apis
from support.slow_clients import SlowClients

NAME = "normal"
FIB_30 = "832040"
#: Seconds for which the normal caller calls, alone and beside the slow ones.
SECONDS = 10.0


@dataclass
class Slowed:
    """The normal caller's 99th percentile in seconds, and how many slow clients there were."""

    alone: float
    beside: float
    clients: int

    @property
    def ratio(self) -> float:
        """How many times longer it waits beside them."""
        return self.beside / self.alone


async def measure_slow(apis: Apis, rounds: Rounds) -> Slowed:
    """Measure a normal caller alone, and beside slow ones."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (8192, 8192))
    apis.save(PUBLISHER, NAME, SOURCE, ["fib"], minimum=1)
    await asyncio.to_thread(apis.await_answer, f"{PUBLISHER}/{NAME}/fib/30", 60)
    path = f"{PREFIX}/{PUBLISHER}/{NAME}/fib"
    url = f"{apis.installation.url}{path}/30"
    await calling(url, FIB_30, callers=1, seconds=2)
    alone = await calling(url, FIB_30, callers=1, seconds=SECONDS)
    with SlowClients(apis.installation.port, path, rounds.api_slow) as slow:
        trickle = asyncio.create_task(_trickle(slow))
        await asyncio.sleep(2)
        beside = await calling(url, FIB_30, callers=1, seconds=SECONDS)
        trickle.cancel()
    apis.manage("DELETE", f"apis/{PUBLISHER}/{NAME}")
    found = Slowed(percentile(alone.took, 0.99), percentile(beside.took, 0.99), rounds.api_slow)
    say(f"slow clients: p99 {1000 * found.alone:.1f} -> {1000 * found.beside:.1f} ms")
    return found


async def _trickle(slow: SlowClients) -> None:
    """Have all of them slow all the time: who was turned away comes again."""
    while True:
        slow.trickle()
        await asyncio.sleep(1)
        slow.begin_again()
