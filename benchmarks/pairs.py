"""Turns: one thing is done on each of two hubs, again and again, each hub first in half of them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from benchmarks.hubs import Hub
from benchmarks.stand import Stand, say

Once = Callable[[Hub], Awaitable[list[float]]]


async def take_turns(stand: Stand, title: str, count: int, once: Once) -> list[list[list[float]]]:
    """Return for ours and for the peer what ``once`` returned in each of ``count`` turns.

    One turn more comes first and only warms the caches.
    """
    found: dict[str, list[list[float]]] = {stand.ours.label: [], stand.peer.label: []}
    for number in range(count + 1):
        order = [stand.ours, stand.peer]
        for hub in order if number % 2 else reversed(order):
            await stand.settle()
            figures = await once(hub)
            if number:
                found[hub.label].append(figures)
        say(f"{title}: {number}/{count}")
    return [found[stand.ours.label], found[stand.peer.label]]


async def pause() -> None:
    """Let the kernel free what the last container held; neither side should pay for the other."""
    await asyncio.sleep(1)
