"""The queue of a hub: who may start a session now, and what the others are told meanwhile.

Starts come in the order in which they were asked for. A few work at the same time: more would only
slow each other down. One that the manager has no room for goes back to where it stood and is tried
again whenever a session has ended, and every :data:`LOOK` seconds.

Where sessions are what lacks, nobody passes whoever is first. Where memory lacks, a start that
needs less than all that were refused before it may pass, but only for :data:`PATIENCE` seconds:
then all behind wait until the large one has its memory, so that small ones cannot keep it out.
"""

from __future__ import annotations

import asyncio
import itertools
import os
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from statistics import mean
from typing import TypeGuard

from prometheus_client import Gauge, Histogram

from juliabox_ext.errors import NoRoomError
from juliabox_manager.protocol import Event
from juliabox_spawner.failures import StartError
from juliabox_spawner.progress import EventFeed
from juliabox_spawner.queue_words import MEMORY, SESSIONS, position, timed_out

#: Seconds between two tries while there is no room, beside the manager's events.
LOOK = 3.0

#: Seconds for which a start that lacks memory may be passed by smaller ones.
PATIENCE = 60.0

#: Seconds after which a start that is at work no longer counts: it waits for something else than
#: the processors, such as a slow disk, and must not keep others waiting.
HOLD = 15.0

#: Seconds between two messages about a position.
TELL = 1.0

#: Starts of which the time is remembered, for the estimate.
_REMEMBERED = 20

_numbers = itertools.count()

WAITING = Gauge("juliabox_hub_starts_waiting", "Starts that wait in the queue")
WORKING = Gauge("juliabox_hub_starts_working", "Starts that are at work")
WAITED = Histogram(
    "juliabox_hub_start_wait_seconds",
    "Seconds that starts waited in the queue before they began, or gave up",
    buckets=(0.1, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1800),
)


def starts_at_once(setting: int) -> int:
    """Return how many starts may work at once; 0 means twice as many as there are processors.

    A start keeps one processor busy most of its time; the other half of them waits for disks.
    """
    return setting or max(4, 2 * (os.cpu_count() or 1))


def may_wait(error: BaseException | None) -> TypeGuard[NoRoomError]:
    """Return whether an error is a want of room that ends when other people's sessions end."""
    return isinstance(error, NoRoomError) and error.code in {SESSIONS, MEMORY}


class Turn:
    """The place of one start in the queue; see :meth:`StartQueue.turn`."""

    def __init__(
        self, queue: StartQueue, memory: int, tell: Callable[[str], None], seconds: float
    ) -> None:
        self._queue = queue
        self._tell = tell
        self._seconds = seconds
        self._go = asyncio.Event()
        self._said = ""
        self.memory = memory
        self.number = next(_numbers)
        self.asked = queue.now()
        #: When it was last let in, and whether it still counts as one at work.
        self.began = 0.0
        #: Whether the manager has made its session.
        self.made = False
        #: What it was refused for, since when, and the state of the room at its last try.
        self.refused = ""
        self.refused_since = 0.0
        self.tried = -1

    @property
    def may_go(self) -> bool:
        """Whether it was let in."""
        return self._go.is_set()

    async def come(self) -> None:
        """Wait until this start may work; raise ``StartError`` when the time is over."""
        left = self.asked + self._seconds - self._queue.now()
        try:
            async with asyncio.timeout(max(left, 0.0)):
                await self._go.wait()
        except TimeoutError:
            if self.may_go:
                return
            WAITED.observe(self._queue.now() - self.asked)
            raise StartError(
                timed_out(self._seconds, self.refused),
                reason="queue",
                status_code=503,
                retry_after=60,
            ) from None

    async def no_room(self, error: NoRoomError) -> None:
        """Wait until it is worth another try: the manager has no room for this start."""
        if error.code != self.refused:
            self.refused, self.refused_since = error.code, self._queue.now()
        self._go.clear()
        self._queue.send_back(self)
        await self.come()

    def found_room(self) -> None:
        """Note that the manager has made the session."""
        self.made = True
        WAITED.observe(self.began - self.asked)
        if self.refused:
            self.refused = ""
            self._queue.move()

    def let_in(self, room: int) -> None:
        """Let the waiting start go on; called by the queue."""
        self.tried = room
        self.began = self._queue.now()
        self._go.set()

    def say(self, text: str) -> None:
        """Tell the person something new."""
        if text != self._said:
            self._said = text
            self._tell(text)


class StartQueue:
    """All starts of a hub that wait or work; ``limit`` of them work at once.

    While one lacks room, ``feed`` tells of sessions that have ended.
    """

    def __init__(self, limit: int, feed: EventFeed) -> None:
        self._limit = limit
        self._feed = feed
        self._waiting: list[Turn] = []
        self._working: dict[Turn, asyncio.TimerHandle] = {}
        self._seconds: deque[float] = deque(maxlen=_REMEMBERED)
        #: Changes whenever there may be room again.
        self._room = 0
        self._hearing: asyncio.Task[None] | None = None
        self._ticker: asyncio.Task[None] | None = None

    @staticmethod
    def now() -> float:
        """Return the time of the event loop."""
        return asyncio.get_running_loop().time()

    @asynccontextmanager
    async def turn(
        self, memory: int, tell: Callable[[str], None], seconds: float
    ) -> AsyncIterator[Turn]:
        """Stand in the queue; leave it, or the work, at the end.

        ``memory`` bytes are what the session will be promised, ``tell`` takes what to show to the
        person, ``seconds`` is the longest that the start may wait in all.
        """
        turn = Turn(self, memory, tell, seconds)
        self._waiting.append(turn)
        self.move()
        if not turn.may_go:
            self._tell(len(self._waiting) - 1)
        try:
            yield turn
        finally:
            self._leave(turn)

    def room(self) -> None:
        """Note that there may be room again: a session has ended."""
        self._room += 1
        self.move()

    def send_back(self, turn: Turn) -> None:
        """Put a start that was refused back to its place among those that wait."""
        self._stop_working(turn)
        self._waiting.append(turn)
        self._waiting.sort(key=lambda one: one.number)
        self.move()

    def move(self) -> None:
        """Let in whoever may work now."""
        while len(self._working) < self._limit:
            turn = self._candidate()
            if turn is None:
                break
            self._waiting.remove(turn)
            hold = asyncio.get_running_loop().call_later(HOLD, self._let_go, turn)
            self._working[turn] = hold
            turn.let_in(self._room)
        self._show()

    def _candidate(self) -> Turn | None:
        if any(turn.refused for turn in self._working):
            # whoever was refused tries first, alone: what it finds decides for those behind it
            return None
        smallest: float = float("inf")
        for turn in self._waiting:
            if turn.refused and turn.tried == self._room:
                if turn.refused == SESSIONS or self.now() - turn.refused_since > PATIENCE:
                    return None
                smallest = min(smallest, turn.memory)
            elif turn.memory < smallest:
                return turn
        return None

    def _leave(self, turn: Turn) -> None:
        if turn in self._waiting:
            self._waiting.remove(turn)
        else:
            self._let_go(turn)
        self.move()

    def _let_go(self, turn: Turn) -> None:
        if self._stop_working(turn):
            if turn.made:
                self._seconds.append(self.now() - turn.began)
            self.move()

    def _stop_working(self, turn: Turn) -> bool:
        hold = self._working.pop(turn, None)
        if hold is not None:
            hold.cancel()
        return hold is not None

    def _show(self) -> None:
        WAITING.set(len(self._waiting))
        WORKING.set(len(self._working))
        wanted = any(turn.refused for turn in self._waiting)
        if wanted and self._hearing is None:
            self._hearing = asyncio.create_task(self._hear(), name="ends of sessions")
        elif not wanted and self._hearing is not None:
            self._hearing.cancel()
            self._hearing = None
        if self._waiting and self._ticker is None:
            self._ticker = asyncio.create_task(self._tick(), name="start queue")

    async def _hear(self) -> None:
        async with self._feed.listening("", self._on_event):
            await asyncio.Event().wait()

    def _on_event(self, event: Event) -> None:
        if event.kind == "session.state" and event.value == "ended":
            self.room()

    async def _tick(self) -> None:
        """Tell positions while somebody waits, and look for room now and then."""
        looked = self.now()
        while self._waiting:
            self._tell()
            await asyncio.sleep(TELL)
            if self.now() - looked >= LOOK:
                looked = self.now()
                self.room()
        self._ticker = None

    def _tell(self, first: int = 0) -> None:
        """Tell those who wait their place, and what is known of the time."""
        each = mean(self._seconds) / self._limit if self._seconds else None
        want = next((turn.refused for turn in self._waiting[:first] if turn.refused), "")
        for number, turn in enumerate(self._waiting[first:], start=first + 1):
            want = want or turn.refused
            turn.say(position(number, each and each * number, want))
