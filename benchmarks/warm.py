"""What a manager says of its warm containers."""

from __future__ import annotations

import asyncio
import time

from juliabox_manager.protocol import PoolInfo, PoolList
from juliabox_spawner.client import ManagerClient
from support.warm import API_IMAGE

#: Seconds that a pool may take to fill, and between two questions.
FILL = 600.0
PAUSE = 0.25


async def loaded(client: ManagerClient) -> int:
    """Return how many warm containers of sessions wait to be claimed."""
    return sum(one.ready for one in await _pools(client))


async def missed(client: ManagerClient) -> int:
    """Return how many sessions so far found no warm container, or one that failed."""
    return sum(one.missed + one.failed for one in await _pools(client))


async def _pools(client: ManagerClient) -> list[PoolInfo]:
    """Return the pools of sessions; API containers have one of their own."""
    return [one for one in await client.call(PoolList()) if one.image != API_IMAGE]


async def await_loaded(client: ManagerClient, size: int) -> float:
    """Wait until so many wait to be claimed; return when that was seen (``time.perf_counter``)."""
    until = time.monotonic() + FILL
    while size and await loaded(client) < size:
        if time.monotonic() > until:
            found = await _pools(client)
            raise RuntimeError(f"no {size} warm containers after {FILL:.0f} s: {found}")
        await asyncio.sleep(PAUSE)
    return time.perf_counter()
