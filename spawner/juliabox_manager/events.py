"""The log of what happened to sessions, which clients read by sequence number.

The log itself is in memory and bounded; its numbers never go back, not even over a restart: they
are taken from blocks that the store hands out, and start at the clock's milliseconds when that is
later, so that even a disk that took no block costs nothing.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Iterator
from itertools import takewhile
from typing import Any, Final, Literal

import structlog

from juliabox_ext.errors import JuliaBoxError
from juliabox_manager.protocol import Event, EventKind
from juliabox_manager.records import Kind, SessionRecord
from juliabox_manager.store import Store

log = structlog.get_logger("juliabox.manager.events")

#: Events kept for late readers, and given in one answer.
KEPT: Final = 10_000
BATCH: Final = 1_000

#: Numbers reserved at once; the next block is taken when half of one is used.
BLOCK: Final = 65_536

_COUNTER: Final = "event"

What = Literal["state", "stage", "failed"]

#: What is told of which kind of container; stages are for people who wait for their session.
_KINDS: Final[dict[tuple[Kind, What], EventKind]] = {
    ("session", "state"): "session.state",
    ("session", "stage"): "session.stage",
    ("session", "failed"): "session.failed",
    ("api", "state"): "api.state",
    ("api", "failed"): "api.failed",
}


class EventLog:
    """Bounded event log with waiting readers."""

    def __init__(self, store: Store) -> None:
        """Keep numbers in ``store``; call :meth:`open` before the first event."""
        self._store = store
        self._events: deque[Event] = deque(maxlen=KEPT)
        self._sequence = 0
        self._reserved = 0
        self._reserving: asyncio.Task[None] | None = None
        self._news = asyncio.Event()
        self._closed = False

    async def open(self) -> None:
        """Take the first block of numbers."""
        self._sequence = max(await self._store.counter(_COUNTER), int(time.time() * 1000))
        self._reserved = self._sequence + BLOCK
        await self._reserve()

    def close(self) -> None:
        """Answer all who wait, and let nobody wait any more: the manager would wait for them."""
        self._closed = True
        self._news.set()

    def tell(self, what: What, record: SessionRecord, value: str, message: str = "") -> None:
        """Append what happened to a session or an API container."""
        kind = _KINDS.get((record.kind, what))
        if kind is not None:
            self.emit(
                kind,
                value,
                message,
                session=record.session,
                owner=record.owner,
                server=record.server or record.api,
                image=record.image,
                started=record.started,
            )

    def emit(self, kind: EventKind, value: str, message: str, **about: Any) -> None:
        """Append an event, ``about`` its other fields, and wake readers."""
        self._sequence += 1
        self._events.append(
            Event(
                sequence=self._sequence,
                time=time.time(),
                kind=kind,
                value=value,
                message=message,
                **about,
            )
        )
        self._news.set()
        self._news = asyncio.Event()
        if self._sequence > self._reserved - BLOCK // 2 and self._reserving is None:
            self._reserved += BLOCK
            self._reserving = asyncio.create_task(self._reserve())

    async def after(self, sequence: int, wait: float, session: str | None) -> list[Event]:
        """Return events after ``sequence``, waiting up to ``wait`` seconds for one."""
        if sequence < 0:
            return [Event(sequence=self._sequence, time=time.time(), kind="cursor")]
        end = time.monotonic() + wait
        while True:
            news = self._news
            found = [one for one in self._newer(sequence) if session in (None, one.session)][::-1]
            left = end - time.monotonic()
            if found or left <= 0 or self._closed:
                return found[:BATCH]
            sequence = max(sequence, self._sequence)  # looked at, and of other sessions
            try:
                # not wait_for, which loses a cancellation that comes with the news
                async with asyncio.timeout(left):
                    await news.wait()
            except TimeoutError:
                return []

    def _newer(self, sequence: int) -> Iterator[Event]:
        """Give the events after a number, the newest first."""
        return takewhile(lambda event: event.sequence > sequence, reversed(self._events))

    async def _reserve(self) -> None:
        try:
            await self._store.set_counter(_COUNTER, self._reserved)
        except JuliaBoxError as error:
            # a full disk; half a block is left, and the next event tries again
            self._reserved -= BLOCK if self._reserving else 0
            log.warning("event numbers could not be reserved", error=error.message)
        finally:
            self._reserving = None
