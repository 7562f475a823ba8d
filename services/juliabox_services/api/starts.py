"""How many containers are made at one time, and whose turn it is."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator

#: Containers that the manager makes and starts at one time, and the seconds after which one that
#: does not come up is no reason for others to wait.
AT_ONCE, PATIENCE = 4, 30.0


class Starts:
    """Turns at making a container: the first of many is there before the last.

    The next turn is of the publisher who has fewest: one whose API grows, or whose containers die
    again and again, holds nobody else up.
    """

    def __init__(self, most: int = AT_ONCE, patience: float = PATIENCE) -> None:
        self._free = most
        self._patience = patience
        #: Turns that publishers have, and those who wait, first come first.
        self._running: Counter[str] = Counter()
        self._waiting: dict[asyncio.Future[None], str] = {}

    @contextlib.asynccontextmanager
    async def turn(self, publisher: str) -> AsyncIterator[None]:
        """Wait for a turn, and have it until the block ends or it has taken too long."""
        loop = asyncio.get_running_loop()
        turn: asyncio.Future[None] = loop.create_future()
        self._waiting[turn] = publisher
        self._next()
        try:
            await turn
        except asyncio.CancelledError:
            if self._waiting.pop(turn, None) is None:
                self._give_back(publisher)
            raise
        over = False

        def give_back() -> None:
            nonlocal over
            if not over:
                over = True
                self._give_back(publisher)

        timer = loop.call_later(self._patience, give_back)
        try:
            yield
        finally:
            timer.cancel()
            give_back()

    def _next(self) -> None:
        while self._free and self._waiting:
            turn = min(self._waiting, key=lambda one: self._running[self._waiting[one]])
            publisher = self._waiting.pop(turn)
            self._free -= 1
            self._running[publisher] += 1
            if turn.cancelled():
                # whoever waited has yet to learn of it
                continue
            turn.set_result(None)

    def _give_back(self, publisher: str) -> None:
        self._free += 1
        self._running[publisher] -= 1
        if not self._running[publisher]:
            del self._running[publisher]
        self._next()
