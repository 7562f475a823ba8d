"""Waiting and measuring on a machine that is busy with others and at times stands still."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Any


async def until(true: Callable[[], Any], seconds: float = 60.0) -> Any:
    """Wait until something is true, and return it; the time is for what never comes.

    It may have to be awaited each time.
    """
    end = time.monotonic() + seconds
    while True:
        found = true()
        if inspect.isawaitable(found):
            found = await found
        if found:
            return found
        assert time.monotonic() < end, f"not within {seconds:g} s"
        await asyncio.sleep(0.01)


def measured(most: float, tries: int = 3) -> Iterator[list[float]]:
    """Yield a list for what is measured each time, until one of a few tries is below ``most``.

    A moment in which the machine stood still spoils one try; what takes too long by itself takes
    too long each time, and is an ``AssertionError``.
    """
    found: list[float] = []
    for _ in range(tries):
        before = len(found)
        yield found
        assert len(found) == before + 1, "a try adds one measurement"
        if found[-1] < most:
            return
    raise AssertionError(f"{found} are all {most:g} or more")


async def unhurried(work: Callable[[], Awaitable[None]], late: float, tries: int = 5) -> None:
    """Do what takes for granted that the event loop is never so many seconds late.

    Where that was not so, what failed is done once more.
    """
    for left in reversed(range(tries)):
        most = [0.0]
        watching = asyncio.create_task(_watch(most))
        try:
            await work()
        except AssertionError:
            if most[0] < late or not left:
                raise
        else:
            return
        finally:
            watching.cancel()


async def _watch(most: list[float]) -> None:
    while True:
        begun = time.monotonic()
        await asyncio.sleep(0.01)
        most[0] = max(most[0], time.monotonic() - begun - 0.01)


class LoopClock:
    """The time of an event loop, which a test sets forward where it would wait.

    So what must happen within a pause may take as long as a busy machine needs for it.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._time = loop.time
        self._ahead = 0.0
        loop.time = self.now  # type: ignore[method-assign]

    def now(self) -> float:
        """Return the time as the loop has it."""
        return self._time() + self._ahead

    def later(self, seconds: float) -> None:
        """Let all be due that is due within so many seconds."""
        self._ahead += seconds
