"""What workers send, and nobody reads, does not fill the engine's memory."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from juliabox_services.api.engine_contract import CallError
from juliabox_services.api.intake import Intakes
from juliabox_services.api.link import Link
from support.engine_stand import Stand, version
from support.waiting import until

MIB = 1024**2


@contextlib.asynccontextmanager
async def memory() -> AsyncIterator[list[int]]:
    """Give a list whose last element is the most memory that was taken since, in bytes."""

    def resident() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")

    before, most = resident(), [0]

    async def watch() -> None:
        while True:
            most[0] = max(most[0], resident() - before)
            await asyncio.sleep(0.01)

    watching = asyncio.create_task(watch())
    try:
        yield most
    finally:
        watching.cancel()


def links(stand: Stand) -> list[Link]:
    return list(stand.engine._fleet._links())


async def test_a_message_that_has_no_end_costs_its_worker_and_little_memory(stand: Stand) -> None:
    one = version()
    await stand.call(one, "echo")
    async with memory() as most:
        with pytest.raises(CallError, match="cannot be read") as caught:
            await stand.call(one, "heap", 100, seconds=60)
        assert caught.value.http_status == 502
        assert most[0] < 500 * MIB
    await until(lambda: not stand.containers.there)
    assert (await stand.call(one, "echo")).body


async def test_large_items_wait_at_the_worker_for_a_reader_who_is_slow(stand: Stand) -> None:
    async with memory() as most:
        answer = await stand.call(version(), "large_items", 60, seconds=60)
        assert answer.items is not None
        await anext(answer.items)
        await asyncio.sleep(2.0)
        assert most[0] < 300 * MIB
        assert len([len(item) async for item in answer.items]) == 59


async def test_what_was_read_is_counted_to_the_byte(stand: Stand) -> None:
    one = version()
    await stand.call(one, "echo")
    (link,) = links(stand)
    chance = random.Random(1)
    for _ in range(300):
        await stand.call(one, "echo", "x" * chance.choice([0, 30, 200, 250, 3000, 100_000]))
        assert link.held() < 500


async def test_what_is_not_read_is_counted(stand: Stand) -> None:
    answer = await stand.call(version(), "large_items", 8, seconds=60)
    assert answer.items is not None
    (link,) = links(stand)
    await until(lambda: link.held() > 40 * MIB)
    assert len([item async for item in answer.items]) == 8
    await until(lambda: link.held() == 0)


@dataclass(eq=False)
class One:
    """Stands for a connection."""

    size: int
    ended: list[int] = field(default_factory=list)

    def held(self) -> int:
        return self.size

    def flooded(self) -> None:
        self.ended.append(self.size)


def test_those_who_hold_most_are_ended_until_the_rest_fits() -> None:
    ones = [One(size * MIB) for size in (10, 150, 90, 40)]
    Intakes(lambda: ones, 16 * MIB).look()
    assert [one.ended for one in ones] == [[], [150 * MIB], [], []]
    few = ones[:1]
    Intakes(lambda: few, 16 * MIB).look()
    assert few[0].ended == []
