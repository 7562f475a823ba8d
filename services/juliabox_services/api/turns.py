"""Turns: who changes the same thing waits for those who came before."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from juliabox_ext.errors import NoRoomError


@dataclass
class _Turn:
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    there: int = 0


class Turns:
    """One at a time for each name; ``most`` is how many may be there at one time, 0: any number."""

    def __init__(self, most: int = 0) -> None:
        self._most = most
        self._turns: dict[str, _Turn] = {}

    @contextlib.asynccontextmanager
    async def take(self, name: str) -> AsyncIterator[None]:
        """Wait for one's turn; raise ``NoRoomError`` (``api.busy``) if too many wait already."""
        turn = self._turns.setdefault(name, _Turn())
        if self._most and turn.there >= self._most:
            raise NoRoomError(
                f"{turn.there} changes of {name} are under way; wait for them", code="api.busy"
            )
        turn.there += 1
        try:
            async with turn.lock:
                yield
        finally:
            turn.there -= 1
            if not turn.there:
                self._turns.pop(name, None)
