"""A version is made ready while the one before answers."""

from __future__ import annotations

import asyncio
import time

from juliabox_services.api import fleet
from support.engine_stand import Stand, standing, until, version


async def test_nobody_waits_for_a_version_that_was_made_ready(stand: Stand) -> None:
    old, new = version(1), version(2)
    stand.engine.activate(old, "ada", "sums")
    await stand.call(old, "echo")
    stand.containers.delay = 1.0
    coming = asyncio.create_task(stand.engine.prepare(new, 10.0))
    slowest = 0.0
    while not coming.done():
        began = time.monotonic()
        await stand.call(old, "echo")
        slowest = max(slowest, time.monotonic() - began)
        await asyncio.sleep(0.02)
    assert slowest < 0.8
    await asyncio.sleep(fleet.TICK_SECONDS * 1.5)  # it is not taken for one of no use
    stand.engine.activate(new, "ada", "sums")
    began = time.monotonic()
    await stand.call(new, "echo")
    assert time.monotonic() - began < 0.8
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
        stand.containers.delay = 0.5
        began = time.monotonic()
        await stand.engine.prepare(new, 0.2)
        assert time.monotonic() - began < 0.45
        await until(lambda: len(stand.containers.made) == 2)
        await until(lambda: [one.verb.version for one in stand.containers.there.values()] == [1])
        await stand.call(old, "echo")
