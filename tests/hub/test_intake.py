"""Requests that are much work begin one after the other, with a round for others in between."""

from __future__ import annotations

import asyncio

from juliabox_spawner.hub.intake import Intake


async def test_those_of_one_moment_begin_in_order_with_others_in_between() -> None:
    intake = Intake()
    order: list[str] = []

    async def start(name: str) -> None:
        await intake.come()
        order.append(name)

    async def other() -> None:
        for _ in range(20):
            order.append("other")
            await asyncio.sleep(0)

    await asyncio.gather(*(start(name) for name in "abc"), other())
    assert [name for name in order if name != "other"] == ["a", "b", "c"]
    assert "other" in order[order.index("a") : order.index("b")]
    assert "other" in order[order.index("b") : order.index("c")]


async def test_one_that_comes_alone_waits_for_nothing() -> None:
    intake = Intake()
    for _ in range(2):
        coming = intake.come()
        # it ends without letting go of the event loop even once
        try:
            coming.send(None)
        except StopIteration:
            pass
        else:
            raise AssertionError("it waited")
        await asyncio.sleep(0)
        await asyncio.sleep(0)


async def test_one_that_is_cancelled_keeps_nobody_out() -> None:
    intake = Intake()
    tasks = [asyncio.ensure_future(intake.come()) for _ in range(3)]
    await asyncio.sleep(0)
    tasks[1].cancel()
    async with asyncio.timeout(20):
        await tasks[2]
