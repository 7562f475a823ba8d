"""What it takes to fill the pool again after a burst, and what others notice of it."""

from __future__ import annotations

import asyncio
import time
from contextlib import closing

from benchmarks.costs import busy_seconds
from benchmarks.figures import Curves, Figure, Outcome, percentile
from benchmarks.pairs import pause
from benchmarks.probe import Latencies, probing
from benchmarks.rounds import Rounds
from benchmarks.stand import Stand, say
from benchmarks.warm import await_loaded

#: Seconds over which the machine's idle cost is seen before, and what is left to do afterwards.
WATCH = 5.0


async def measure_refill(stand: Stand, rounds: Rounds) -> Outcome:
    """Take all warm containers at once, and watch until there are as many again."""
    names = [f"refill-{number}" for number in range(stand.pool)]
    seconds: list[float] = []
    costs: list[float] = []
    found: list[Latencies] = []
    async with stand.ours.users(names):
        for number in range(rounds.refills):
            await stand.settle()
            idle = busy_seconds()
            await asyncio.sleep(WATCH)
            idle = (busy_seconds() - idle) / WATCH
            await stand.ours.spawn_all(names)
            async with probing(f"{stand.ours.url}/hub/api") as latencies:
                took, busy = await _watch(stand, idle)
            seconds.append(took)
            costs.append(busy)
            found.append(latencies)
            await stand.ours.stop_all(names)
            await pause()
            say(f"refill: {number + 1}/{rounds.refills}")
    latencies = found[0]
    return Outcome(
        "refill",
        "The pool fills again",
        f"All {stand.pool} warm containers are claimed at once. From the moment at which the last "
        f"of the sessions is ready until {stand.pool} are loaded again; the processor time is the "
        "whole machine's, less what it takes when nothing happens.",
        figures=[
            Figure(f"{stand.pool} warm containers again", seconds),
            Figure("processor time for each", [one / stand.pool for one in costs]),
            *[
                Figure(f"`/hub/api` meanwhile, p{100 * part:.0f}", [
                    percentile(one.took, part) for one in found
                ])
                for part in (0.5, 0.99)
            ],
        ],
        plots=[
            Curves(
                "/hub/api while the pool fills again", "seconds", "milliseconds",
                {stand.ours.label: (latencies.due, [1000 * one for one in latencies.took])},
                log=True,
            )
        ],
    )  # fmt: skip


async def _watch(stand: Stand, idle: float) -> tuple[float, float]:
    """Return seconds until the pool is full, and the machine's processor time for that.

    A warm container counts as soon as it can be claimed; what it does then, such as getting a
    Julia ready, is part of the processor time.
    """
    began, busy = time.perf_counter(), busy_seconds()
    with closing(stand.manager()) as client:
        took = await await_loaded(client, stand.pool) - began
    await asyncio.sleep(WATCH)
    return took, busy_seconds() - busy - idle * (time.perf_counter() - began)
