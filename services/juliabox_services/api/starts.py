"""How many containers are made at one time."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

#: Containers that the manager makes and starts at one time, and the seconds after which one that
#: does not come up is no reason for others to wait.
AT_ONCE, PATIENCE = 4, 30.0


class Starts:
    """Turns at making a container: the first of many is there before the last."""

    def __init__(self, most: int = AT_ONCE, patience: float = PATIENCE) -> None:
        self._free = asyncio.Semaphore(most)
        self._patience = patience

    @contextlib.asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Wait for a turn, and have it until the block ends or it has taken too long."""
        await self._free.acquire()
        over = False

        def give_back() -> None:
            nonlocal over
            if not over:
                over = True
                self._free.release()

        timer = asyncio.get_running_loop().call_later(self._patience, give_back)
        try:
            yield
        finally:
            timer.cancel()
            give_back()
