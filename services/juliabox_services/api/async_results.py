"""Results of calls that nobody waits for: kept a while, for who made the call."""

from __future__ import annotations

import asyncio
import time
from collections import Counter, OrderedDict
from collections.abc import Coroutine
from typing import Any

from msgspec import Struct

from juliabox_ext.errors import NotFoundError

#: Seconds that a result is kept, and bytes and number of all that are.
KEPT_SECONDS = 900.0
KEPT_BYTES = 64 * 1024**2
KEPT = 10_000


class Outcome(Struct, frozen=True, kw_only=True):
    """How a call ended, as it is answered."""

    status: int
    type: str
    body: bytes
    retry_after: int = 0


class Result:
    """One call, under way or over."""

    def __init__(
        self, owner: str, holder: str, origins: list[str], work: Coroutine[Any, Any, Outcome]
    ) -> None:
        #: Who may see it; empty: whoever knows the request's id.
        self.owner = owner
        #: Publisher whose function it is of.
        self.holder = holder
        #: Origins whose pages may see it.
        self.origins = origins
        self.task = asyncio.create_task(work)
        #: When it ended, in monotonic seconds; 0.0: it goes on.
        self.ended = 0.0

    @property
    def outcome(self) -> Outcome | None:
        """How the call ended; ``None`` while it goes on."""
        return self.task.result() if self.task.done() else None


class Results:
    """All of them, in memory: they end with the process, as the calls do."""

    def __init__(self, seconds: float = KEPT_SECONDS, most_bytes: int = KEPT_BYTES) -> None:
        self._seconds = seconds
        self._most_bytes = most_bytes
        self._bytes = 0
        #: Publisher -> bytes and number of the results that are kept and have ended.
        self._held: Counter[str] = Counter()
        self._ended: Counter[str] = Counter()
        self._kept: OrderedDict[str, Result] = OrderedDict()

    def begin(
        self,
        request: str,
        owner: str,
        holder: str,
        origins: list[str],
        work: Coroutine[Any, Any, Outcome],
    ) -> Result:
        """Carry a call out by itself; ``work`` turns errors into outcomes."""
        result = self._kept[request] = Result(owner, holder, origins, work)
        result.task.add_done_callback(lambda _: self._over(request))
        return result

    def find(self, request: str) -> Result:
        """Return a call; raise ``NotFoundError`` (``api.no_result``)."""
        self._tidy()
        found = self._kept.get(request)
        if found is None:
            raise NotFoundError(
                f"There is no result {request}: it was never asked for, is over "
                f"{self._seconds:g} s old, or the engine was started anew",
                code="api.no_result",
            )
        return found

    def forget(self, request: str) -> None:
        """Give a result up; a call that waits is not made any more."""
        found = self._kept.pop(request, None)
        if found is None:
            return
        if found.ended:
            self._count(found, -1)
        else:
            found.task.cancel()

    def _over(self, request: str) -> None:
        found = self._kept.get(request)
        if found is None or found.task.cancelled():
            self._kept.pop(request, None)
            return
        found.ended = time.monotonic()
        # ended ones stand in the order in which they end, before and among those under way
        self._kept.move_to_end(request)
        self._count(found, 1)
        self._tidy()

    def _count(self, result: Result, sign: int) -> None:
        """Count a result that has ended in, or out."""
        size = sign * _size(result)
        self._bytes += size
        self._held[result.holder] += size
        self._ended[result.holder] += sign
        if not self._ended[result.holder]:
            del self._held[result.holder], self._ended[result.holder]

    def _tidy(self) -> None:
        """Give up what is too old or too much: the oldest of the publisher who has most."""
        oldest = time.monotonic() - self._seconds
        for request, result in list(self._kept.items()):
            if result.ended >= oldest:
                break
            if result.ended:
                self.forget(request)
        while len(self._kept) > 1:
            if self._bytes > self._most_bytes:
                have = self._held
            elif len(self._kept) > KEPT:
                have = self._ended
            else:
                return
            most = max(have.values(), default=0)
            spare = (
                request
                for request, result in self._kept.items()
                if result.ended and have[result.holder] == most
            )
            oldest_of_most = next(spare, None)
            if oldest_of_most is None:
                return
            self.forget(oldest_of_most)

    async def close(self) -> None:
        """End what goes on."""
        tasks = [result.task for result in self._kept.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _size(result: Result) -> int:
    outcome = result.outcome
    return len(outcome.body) if outcome is not None else 0
