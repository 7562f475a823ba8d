"""What a waiting person sees: stages of a start, from the manager's events.

One :class:`EventFeed` per hub asks the manager for events with a long poll and hands them to the
sessions that are starting; while none is, it asks nothing. A :class:`Progress` collects the steps
of one start for any number of open pages.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable

from juliabox_ext.errors import JuliaBoxError
from juliabox_manager.protocol import START_STAGES, Event, Events
from juliabox_spawner.engine import Manager

log = logging.getLogger(__name__)

#: Seconds that one long poll waits at the manager, and pause after an error.
POLL = 20.0
PAUSE = 0.5


class Progress:
    """Steps of one start; read by any number of followers, each from the beginning."""

    def __init__(self) -> None:
        self._steps: list[dict[str, object]] = []
        self._percent = 0
        self._finished = False
        self._changed = asyncio.Event()

    def report(self, percent: int, message: str) -> None:
        """Add a step; the bar never goes back and a repeated step is not shown again."""
        if self._finished or any(step["message"] == message for step in self._steps):
            return
        self._percent = max(self._percent, percent)
        self._steps.append({"progress": self._percent, "message": message})
        self._wake()

    def stage(self, name: str) -> None:
        """Add the step of a stage of :data:`START_STAGES`; others are ignored."""
        if name in START_STAGES:
            self.report(*START_STAGES[name])

    def finish(self) -> None:
        """Let the followers end."""
        self._finished = True
        self._wake()

    async def follow(self) -> AsyncIterator[dict[str, object]]:
        """Yield each step, then wait for more until the start has finished."""
        position = 0
        while True:
            changed = self._changed
            while position < len(self._steps):
                yield dict(self._steps[position])
                position += 1
            if self._finished:
                return
            await changed.wait()

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()


class EventFeed:
    """Hands the manager's events to the sessions that listen."""

    def __init__(self, manager: Manager) -> None:
        self._manager = manager
        self._listeners: dict[str, Callable[[Event], None]] = {}
        self._users = 0
        self._cursor = -1
        self._ready = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Take the newest sequence number, so that later events are not missed."""
        self._users += 1
        if self._task is None or self._task.done():
            # made before anything is awaited: starts of the same moment share one poll
            self._ready = asyncio.Event()
            self._task = asyncio.ensure_future(self._run(self._ready))
        try:
            await self._ready.wait()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Undo one :meth:`open`; the last one ends the long poll."""
        self._users -= 1
        if self._users <= 0 and self._task is not None:
            self._task.cancel()
            self._task = None

    def listen(self, session: str, listener: Callable[[Event], None]) -> None:
        """Call ``listener`` with each event of a session."""
        self._listeners[session] = listener

    def forget(self, session: str) -> None:
        """Stop calling the listener of a session."""
        self._listeners.pop(session, None)

    async def _newest(self) -> int:
        try:
            events: list[Event] = await self._manager.call(Events(after=-1), timeout=5.0)
        except JuliaBoxError as error:
            log.warning("the manager's events cannot be read: %s", error)
            return -1
        return events[-1].sequence if events else 0

    async def _run(self, ready: asyncio.Event) -> None:
        try:
            self._cursor = await self._newest()
        finally:
            ready.set()
        while True:
            try:
                if self._cursor < 0:
                    self._cursor = await self._newest()
                events: list[Event] = await self._manager.call(
                    Events(after=max(self._cursor, 0), wait=POLL), timeout=POLL + 10.0
                )
            except JuliaBoxError as error:
                log.warning("the manager's events cannot be read: %s", error)
                self._cursor = -1  # a manager that restarted may count anew
                await asyncio.sleep(PAUSE)
                continue
            for event in events:
                self._cursor = max(self._cursor, event.sequence)
                listener = self._listeners.get(event.session)
                if listener is not None and event.kind != "cursor":
                    listener(event)
            if not events:
                await asyncio.sleep(0)
