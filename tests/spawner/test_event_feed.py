"""The feed of events that all starts of a hub share: one long poll, and none when nobody waits."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest

from juliabox_ext.errors import UnavailableError
from juliabox_manager.protocol import Event, Events, SessionStart, Verb
from juliabox_spawner.progress import EventFeed
from juliabox_spawner.spawner import JuliaBoxSpawner
from support.waiting import until


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


def nothing(event: Event) -> None:
    """Take no note."""


async def test_starts_at_the_same_moment_share_one_long_poll_that_ends_with_the_last() -> None:
    manager = Polled()
    feed = EventFeed(manager)
    async with AsyncExitStack() as starts:
        for number in range(5):
            await starts.enter_async_context(feed.listening(f"{number:016x}", nothing))
        await until(lambda: manager.waiting)
        await asyncio.sleep(0.05)
        assert manager.waiting == 1
    await until(lambda: not manager.waiting)
    assert feed._listeners == {}


async def test_a_start_that_is_cancelled_while_the_feed_opens_leaves_no_long_poll() -> None:
    manager = Polled()
    feed = EventFeed(manager)

    async def listen() -> None:
        async with feed.listening("a" * 16, nothing):
            await asyncio.sleep(60)

    opening = asyncio.ensure_future(listen())
    await asyncio.sleep(0)
    opening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await opening
    await asyncio.sleep(0.05)
    assert manager.waiting == 0
    async with feed.listening("a" * 16, nothing):
        await until(lambda: manager.waiting)
        assert manager.waiting == 1


async def test_who_listens_later_is_told_what_a_session_did_before(world: Any) -> None:
    feed = EventFeed(world.manager)
    world.manager.pace = 0.01
    await world.user("ada").spawn()
    (session,) = world.manager.sessions
    told: list[str] = []
    async with feed.listening(session, lambda event: told.append(event.value)):
        assert told[:3] == ["starting", "start", "protect"]


async def test_a_failed_start_leaves_no_listener(
    world: Any, spawner: Callable[..., JuliaBoxSpawner]
) -> None:
    world.manager.errors[SessionStart] = [UnavailableError("no engine")]
    world.manager.pace = 0.2
    mine = spawner()
    with pytest.raises(Exception, match="no engine"):
        await mine.start()
    await asyncio.sleep(0)
    assert mine._feed()._listeners == {}
