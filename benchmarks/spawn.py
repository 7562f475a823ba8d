"""Time from the request for a server to its readiness, interleaved with plain DockerSpawner.

Batches drift by a quarter between runs, so the two hubs take turns, and what counts is the ratio
of each pair: its geometric mean with a 95% interval (Student's t on the logarithms).
"""

from __future__ import annotations

import asyncio
import math
import statistics
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from scipy import stats

from benchmarks.hubs import Hub


@dataclass(frozen=True)
class Comparison:
    """Pairs of seconds, ours and the peer's."""

    title: str
    ours: list[float]
    peer: list[float]

    @property
    def ratio(self) -> tuple[float, float, float]:
        """Ours over the peer's: geometric mean, and the ends of its 95% interval."""
        logs = [math.log(a / b) for a, b in zip(self.ours, self.peer, strict=True)]
        middle = statistics.fmean(logs)
        if len(logs) < 2:
            return math.exp(middle), 0.0, math.inf
        half = stats.t.ppf(0.975, len(logs) - 1) * stats.sem(logs)
        return math.exp(middle), math.exp(middle - half), math.exp(middle + half)

    def line(self) -> str:
        """Return one row of the results' table."""
        middle, low, high = self.ratio
        return (
            f"| {self.title} | {len(self.ours)} | {_spread(self.ours)} | {_spread(self.peer)} "
            f"| {middle:.2f} ({low:.2f} to {high:.2f}) |"
        )


def _spread(values: list[float]) -> str:
    return f"{statistics.median(values):.2f} s ({min(values):.2f} to {max(values):.2f})"


async def one_at_a_time(ours: Hub, peer: Hub, pairs: int) -> Comparison:
    """Start and stop one server on each hub in turn; the first pair only warms the caches."""

    async def once(hub: Hub) -> float:
        seconds = await hub.spawn("solo")
        await hub.stop("solo")
        return seconds

    for hub in (ours, peer):
        await hub.add_users(["solo"])
    return await _pairs("one at a time", ours, peer, pairs, once)


async def at_once(ours: Hub, peer: Hub, pairs: int, count: int) -> Comparison:
    """Start ``count`` servers together on each hub in turn; a batch's figure is its median."""
    names = [f"many-{number}" for number in range(count)]

    async def once(hub: Hub) -> float:
        seconds = await asyncio.gather(*(hub.spawn(name) for name in names))
        await asyncio.gather(*(hub.stop(name) for name in names))
        return statistics.median(seconds)

    for hub in (ours, peer):
        await hub.add_users(names)
    return await _pairs(f"{count} at once (median of a batch)", ours, peer, pairs, once)


async def _pairs(
    title: str, ours: Hub, peer: Hub, pairs: int, once: Callable[[Hub], Awaitable[float]]
) -> Comparison:
    """Measure ``pairs`` pairs, each hub first in half of them."""
    await once(ours)
    await once(peer)
    mine: list[float] = []
    theirs: list[float] = []
    for number in range(pairs):
        order = [(ours, mine), (peer, theirs)]
        for hub, figures in order if number % 2 == 0 else reversed(order):
            figures.append(await once(hub))
            # the kernel frees what the last container held; neither side should pay for the other
            await asyncio.sleep(1)
    return Comparison(title, mine, theirs)
