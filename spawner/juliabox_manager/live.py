"""A session while the manager runs: its record, its lock, and what is known of it right now."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine, Iterator
from typing import Any, TypeVar

from juliabox_ext.errors import NotFoundError
from juliabox_manager.records import SessionRecord

T = TypeVar("T")


class Live:
    """One session in memory. Who changes its record holds its lock, or is its start."""

    def __init__(self, record: SessionRecord) -> None:
        """Begin with a record, just made or read from the store."""
        self.record = record
        self.lock = asyncio.Lock()
        #: Set when the engine told that the container has died.
        self.exited = asyncio.Event()
        #: The start under way, or the last one.
        self.start: asyncio.Task[None] | None = None
        #: Digest of the environment that was handed over, when this manager did it.
        self.environment: str | None = None
        #: Stage of the start under way, for progress.
        self.stage = ""
        #: Whether the server told that it listens.
        self.ready = False
        #: First process of the running container as it was seen last; it may have ended since.
        self.pid = 0
        #: When this manager first knew it (monotonic).
        self.since = time.monotonic()

    @property
    def starting(self) -> bool:
        """Whether a start is under way."""
        return self.start is not None and not self.start.done()


class Registry:
    """All sessions that the manager knows, by id and by owner and server."""

    def __init__(self) -> None:
        self._sessions: dict[str, Live] = {}

    def __iter__(self) -> Iterator[Live]:
        return iter(list(self._sessions.values()))

    def __contains__(self, session: str) -> bool:
        return session in self._sessions

    def add(self, live: Live) -> None:
        """Know a session from now on."""
        self._sessions[live.record.session] = live

    def discard(self, live: Live) -> None:
        """Know a session no more; harmless if it is unknown."""
        self._sessions.pop(live.record.session, None)

    def get(self, session: str) -> Live | None:
        """Return a session, or None."""
        return self._sessions.get(session)

    def named(self, session: str) -> Live:
        """Return a session; raise ``NotFoundError`` if there is none."""
        live = self._sessions.get(session)
        if live is None:
            raise NotFoundError(
                f"there is no session {session}; it was removed, or it ended and was forgotten",
                code="not_found.session",
            )
        return live

    def find(self, owner: str, server: str) -> Live | None:
        """Return the session of an owner and server, or None."""
        for live in self._sessions.values():
            if (live.record.owner, live.record.server) == (owner, server):
                return live
        return None

    def records(self) -> list[SessionRecord]:
        """Return the records of all sessions, oldest first."""
        found = [live.record for live in self._sessions.values()]
        return sorted(found, key=lambda record: (record.created, record.session))


async def to_its_end(work: Coroutine[Any, Any, T]) -> T:
    """Await ``work``; if cancelled meanwhile, wait until it is done and then be cancelled.

    For effects on the engine, which go on in their thread whatever the caller does: what follows
    a cancelled start must find them done, not about to happen.
    """
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait({task})
        if not task.cancelled():
            task.exception()  # told to nobody: the caller is gone
        raise


async def settle(*tasks: asyncio.Task[Any]) -> None:
    """Cancel tasks and wait until they are done, whatever comes of them."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
