"""A session, or an API container, while the manager runs: its record, its lock, what is known."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Iterable, Iterator
from typing import Any, TypeVar

from juliabox_ext.errors import InternalError, NotFoundError
from juliabox_manager.protocol import SessionState
from juliabox_manager.records import NOUNS, Kind, SessionRecord
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

    API containers are found by id alone, and are counted apart. No question to it takes longer when
    there are more of them, but for those that ask for all.
    """

    def __init__(self) -> None:
        self._sessions: dict[str, Live] = {}
        self._names: dict[tuple[str, str], Live] = {}
        self._owners: dict[str, dict[str, Live]] = {}
        #: Those that have ended, by kind, the one that ended first in front.
        self.ended: dict[Kind, dict[str, Live]] = {"session": {}, "api": {}}
        self.tallies: dict[Kind, Tally] = {"session": Tally(), "api": Tally()}

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
        if record.kind == "session":
            self._owners.setdefault(record.owner, {})[record.session] = live
        live.changed = self._changed
        self._changed(live)

    def discard(self, live: Live) -> None:
        """Know a session no more; harmless if it is unknown."""
        record = live.record
        if self._sessions.get(record.session) is not live:
            return
        del self._sessions[record.session]
        owned = self._owners.get(record.owner, {})
        if owned.pop(record.session, None) is not None and not owned:
            del self._owners[record.owner]
        self.ended[record.kind].pop(record.session, None)
        self._unname(live)
        self.tallies[record.kind].leave(record.session)
        live.changed = _nobody
        live.gone.set()

    def _changed(self, live: Live) -> None:
        record = live.record
        self.tallies[record.kind].count(record)
        ended = self.ended[record.kind]
        if record.state == "ended":
            ended.setdefault(record.session, live)
        else:
            ended.pop(record.session, None)
        if record.named:
            self._names[record.owner, record.server] = live
        else:
            self._unname(live)

    def _unname(self, live: Live) -> None:
        name = live.record.owner, live.record.server
        if self._names.get(name) is live:
            del self._names[name]

    @property
    def tally(self) -> Tally:
        """The sums over sessions."""
        return self.tallies["session"]

    def all(self, kind: Kind) -> list[Live]:
        """Return all of a kind, oldest first."""
        found = [live for live in self if live.record.kind == kind]
        return sorted(found, key=lambda live: live.record.created)

    def get(self, session: str, kind: Kind | None = None) -> Live | None:
        """Return what has an id, if it is of the kind that is asked for; else None."""
        live = self._sessions.get(session)
        return live if live is None or kind in {None, live.record.kind} else None

    def named(self, session: str, kind: Kind = "session") -> Live:
        """Return what has an id; raise ``NotFoundError`` if there is none of this kind."""
        live = self.get(session, kind)
        if live is None:
            raise NotFoundError(
                f"there is no {NOUNS[kind]} {session}; "
                "it was removed, or it ended and was forgotten",
                code="not_found.session" if kind == "session" else "not_found.api_container",
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
