"""A version is made ready while the one before answers."""

from __future__ import annotations

import asyncio

from juliabox_services.api import fleet
from support.engine_stand import Stand, standing, version
from support.waiting import until


async def test_nobody_waits_for_a_version_that_was_made_ready(stand: Stand) -> None:
    old, new = version(1), version(2)
    stand.engine.activate(old, "ada", "sums")
    await stand.call(old, "echo")
    stand.containers.gate.clear()  # no container comes up
    coming = asyncio.create_task(stand.engine.prepare(new, 60.0))
    await until(lambda: len(stand.containers.made) == 2)
    for _ in range(20):
        await stand.call(old, "echo")
    assert not coming.done()
    stand.containers.gate.set()
    await coming
    await asyncio.sleep(fleet.TICK_SECONDS * 1.5)  # it is not taken for one of no use
    stand.containers.gate.clear()
    stand.engine.activate(new, "ada", "sums")
    await stand.call(new, "echo")
    stand.containers.gate.set()
    await until(lambda: [one.verb.version for one in stand.containers.running] == [2])
    assert len(stand.containers.made) == 2


async def test_an_api_that_nobody_uses_is_not_made_ready(stand: Stand) -> None:
    stand.engine.activate(version(1), "ada", "sums")
    await stand.engine.prepare(version(2), 10.0)
    assert not stand.containers.made


async def test_a_version_that_is_not_ready_in_time_or_never_answers_is_let_go() -> None:
    async with standing() as stand:
        old, new = version(1), version(2)
        stand.engine.activate(old, "ada", "sums")
        await stand.call(old, "echo")
        stand.containers.gate.clear()
        await stand.engine.prepare(new, 0.2)
        await until(lambda: len(stand.containers.made) == 2)
        stand.containers.gate.set()
        await until(lambda: [one.verb.version for one in stand.containers.there.values()] == [1])
        await stand.call(old, "echo")
