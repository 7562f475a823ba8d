"""A session while the manager runs: its record, its lock, and what is known of it right now."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Iterable, Iterator
from typing import Any, TypeVar

from juliabox_ext.errors import InternalError, NotFoundError
from juliabox_manager.protocol import SessionState
from juliabox_manager.records import SessionRecord
from juliabox_manager.tally import Tally

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
        #: Set when there is no time left for a grace, and when the manager has forgotten it.
        self.hurry = asyncio.Event()
        self.gone = asyncio.Event()
        #: Whether its container could not be killed.
        self.stuck = False
        #: Told of each change of what is counted; the registry sets it.
        self.changed: Callable[[Live], None] = _nobody

    @property
    def starting(self) -> bool:
        """Whether a start is under way."""
        return self.start is not None and not self.start.done()

    def turn(self, state: SessionState) -> None:
        """Give the session another state; nothing else may."""
        self.record.state = state
        self.changed(self)

    def retire(self, grace: float) -> None:
        """Let the session give its owner's server name away."""
        self.record.retired, self.record.grace = True, grace
        self.changed(self)


def _nobody(_: Live) -> None:
    """Take the place of a registry."""


class Registry:
    """All sessions that the manager knows, by id, by owner and server, and by owner.

    No question to it takes longer when there are more sessions, but for those that ask for all.
    """

    def __init__(self) -> None:
        self._sessions: dict[str, Live] = {}
        self._names: dict[tuple[str, str], Live] = {}
        self._owners: dict[str, dict[str, Live]] = {}
        #: Those that have ended, the one that ended first in front.
        self.ended: dict[str, Live] = {}
        self.tally = Tally()

    def __iter__(self) -> Iterator[Live]:
        return iter(list(self._sessions.values()))

    def __contains__(self, session: str) -> bool:
        return session in self._sessions

    def __len__(self) -> int:
        return len(self._sessions)

    def add(self, live: Live) -> None:
        """Know a session from now on."""
        record = live.record
        self._sessions[record.session] = live
        self._owners.setdefault(record.owner, {})[record.session] = live
        live.changed = self._changed
        self._changed(live)

    def discard(self, live: Live) -> None:
        """Know a session no more; harmless if it is unknown."""
        record = live.record
        if self._sessions.get(record.session) is not live:
            return
        del self._sessions[record.session]
        owned = self._owners[record.owner]
        del owned[record.session]
        if not owned:
            del self._owners[record.owner]
        self.ended.pop(record.session, None)
        self._unname(live)
        self.tally.leave(record.session)
        live.changed = _nobody
        live.gone.set()

    def _changed(self, live: Live) -> None:
        record = live.record
        self.tally.count(record)
        if record.state == "ended":
            self.ended.setdefault(record.session, live)
        else:
            self.ended.pop(record.session, None)
        if record.retired:
            self._unname(live)
        else:
            self._names[record.owner, record.server] = live

    def _unname(self, live: Live) -> None:
        name = live.record.owner, live.record.server
        if self._names.get(name) is live:
            del self._names[name]

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
        """Return the session of an owner and server that is not retired, or None."""
        return self._names.get((owner, server))

    def of(self, owner: str) -> list[Live]:
        """Return the sessions of a person that have not ended, retired ones included."""
        owned = self._owners.get(owner, {}).values()
        return [live for live in owned if live.record.state != "ended"]

    def retired(self, owner: str) -> list[Live]:
        """Return the retired sessions of a person, the oldest first."""
        return [live for live in self._owners.get(owner, {}).values() if live.record.retired]


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


async def first_set(events: Iterable[asyncio.Event], limit: float) -> bool:
    """Wait until one of some events is set; return False if none is within ``limit`` seconds."""
    waits = [asyncio.ensure_future(event.wait()) for event in events]
    try:
        done, _ = await asyncio.wait(waits, timeout=limit, return_when=asyncio.FIRST_COMPLETED)
        return bool(done)
    finally:
        await settle(*waits)


async def while_it_lives(
    exited: asyncio.Event, work: Coroutine[Any, Any, None], told: str, code: str
) -> None:
    """Await work on a container; cut it off and raise ``InternalError`` if that dies meanwhile."""
    task, gone = asyncio.create_task(work), asyncio.create_task(exited.wait())
    try:
        await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            task.result()
    finally:
        await settle(task, gone)
    if exited.is_set():
        # whoever noticed it left it to the work, up to its very end
        raise InternalError(told, code=code)


async def settle(*tasks: asyncio.Task[Any]) -> None:
    """Cancel tasks and wait until they are done, whatever comes of them."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
