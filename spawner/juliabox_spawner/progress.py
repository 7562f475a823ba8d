"""What a waiting person sees: stages of a start, from the manager's events.

One :class:`EventFeed` per hub asks the manager for events with a long poll and hands them to those
who listen: starts that take longer than a moment, and the queue while it lacks room. A
:class:`Progress` collects the steps of one start for any number of open pages.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from juliabox_ext.errors import JuliaBoxError
from juliabox_manager.protocol import START_STAGES, Event, Events
from juliabox_spawner.engine import Manager

log = logging.getLogger(__name__)

#: Seconds that one long poll waits at the manager, and pause after an error.
POLL = 20.0
PAUSE = 0.5

#: Seconds for which events gather before they are asked for again; nobody watches a bar closer.
GATHER = 0.1

#: Events that are looked through for what a session did before it was listened to.
_PAST = 1000


class Progress:
    """Steps of one start; read by any number of followers, each from the beginning.

    Beside the steps there is what holds for the moment, such as a place in the queue: a follower
    is given the newest of it alone.
    """

    def __init__(self) -> None:
        self._steps: list[dict[str, object]] = []
        self._moment: dict[str, object] | None = None
        self._percent = 0
        self._finished = False
        self._changed = asyncio.Event()

    def report(self, percent: int, message: str) -> None:
        """Add a step; the bar never goes back and a repeated step is not shown again."""
        if self._finished or any(step["message"] == message for step in self._steps):
            return
        self._percent = max(self._percent, percent)
        self._moment = None
        self._steps.append({"progress": self._percent, "message": message})
        self._wake()

    def moment(self, message: str) -> None:
        """Say what holds until it is said anew or the next step comes."""
        self._moment = {"progress": self._percent, "message": message}
        self._wake()

    def stage(self, name: str) -> None:
        """Add the step of a stage of :data:`START_STAGES`; ignore others, and earlier ones."""
        if name in START_STAGES and START_STAGES[name][0] > self._percent:
            self.report(*START_STAGES[name])

    def finish(self) -> None:
        """Let the followers end."""
        self._finished = True
        self._moment = None
        self._wake()

    async def follow(self) -> AsyncIterator[dict[str, object]]:
        """Yield each step, then wait for more until the start has finished."""
        position = 0
        moment = None
        while True:
            changed = self._changed
            while position < len(self._steps):
                yield dict(self._steps[position])
                position += 1
            if self._moment is not moment:
                moment = self._moment
                if moment is not None:
                    yield dict(moment)
            if self._finished:
                return
            if changed is self._changed:
                await changed.wait()

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()


class EventFeed:
    """Hands the manager's events to those who listen; asks for none while nobody does."""

    def __init__(self, manager: Manager) -> None:
        self._manager = manager
        self._listeners: dict[str, Callable[[Event], None]] = {}
        self._users = 0
        self._cursor = -1
        self._ready = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    @asynccontextmanager
    async def listening(
        self, session: str, listener: Callable[[Event], None]
    ) -> AsyncIterator[None]:
        """Call ``listener`` with each event of a session, or of all sessions if it is empty.

        Events that came before are told first, where a session is named.
        """
        self._users += 1
        if self._task is None or self._task.done():
            # made before anything is awaited: starts of the same moment share one poll
            self._ready = asyncio.Event()
            self._task = asyncio.ensure_future(self._run(self._ready))
        try:
            await self._ready.wait()
            # what comes while the past is asked for is told after it
            later: list[Event] = []
            self._listeners[session] = later.append
            past = await self._past(session) if session else []
            self._listeners[session] = listener
            for event in past + later:
                listener(event)
            yield
        finally:
            self._listeners.pop(session, None)
            self._users -= 1
            if self._users <= 0 and self._task is not None:
                self._task.cancel()
                self._task = None

    async def _past(self, session: str) -> list[Event]:
        try:
            verb = Events(after=max(self._cursor - _PAST, 0), session=session)
            events: list[Event] = await self._manager.call(verb, timeout=5.0)
        except JuliaBoxError as error:
            log.warning("the manager's events cannot be read: %s", error)
            return []
        return events

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
                self._tell(event)
            # several events of a moment, and of starts of the same moment, come in one answer
            await asyncio.sleep(GATHER)

    def _tell(self, event: Event) -> None:
        if event.kind == "cursor":
            return
        for name in {event.session, ""}:
            if name in self._listeners:
                self._listeners[name](event)
