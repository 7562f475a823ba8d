"""The feed of events that all starts of a hub share: one long poll, and none when nobody waits."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from juliabox_ext.errors import NoRoomError
from juliabox_manager.protocol import Events, SessionStart, Verb
from juliabox_spawner.progress import EventFeed
from juliabox_spawner.spawner import JuliaBoxSpawner


class Polled:
    """Answers no events, and counts the long polls under way."""

    def __init__(self) -> None:
        self.waiting = 0

    async def call(self, verb: Verb, timeout: float = 30.0) -> Any:  # noqa: ASYNC109
        assert isinstance(verb, Events)
        if not verb.wait:
            await asyncio.sleep(0.01)
            return []
        self.waiting += 1
        try:
            await asyncio.sleep(verb.wait)
        finally:
            self.waiting -= 1
        return []


async def test_starts_at_the_same_moment_share_one_long_poll_that_ends_with_the_last() -> None:
    manager = Polled()
    feed = EventFeed(manager)
    await asyncio.gather(*(feed.open() for _ in range(5)))
    await asyncio.sleep(0.05)
    assert manager.waiting == 1
    for _ in range(5):
        feed.close()
    await asyncio.sleep(0.05)
    assert manager.waiting == 0


async def test_a_start_that_is_cancelled_while_the_feed_opens_leaves_no_long_poll() -> None:
    manager = Polled()
    feed = EventFeed(manager)
    opening = asyncio.ensure_future(feed.open())
    await asyncio.sleep(0)
    opening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await opening
    await asyncio.sleep(0.05)
    assert manager.waiting == 0
    await feed.open()
    await asyncio.sleep(0.02)
    assert manager.waiting == 1
    feed.close()


async def test_a_failed_start_leaves_no_listener(
    world: Any, spawner: Callable[..., JuliaBoxSpawner]
) -> None:
    world.manager.errors[SessionStart] = [NoRoomError("no room")]
    mine = spawner()
    with pytest.raises(Exception, match="no room"):
        await mine.start()
    assert mine._feed()._listeners == {}
