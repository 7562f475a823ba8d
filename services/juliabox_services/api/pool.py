"""Calls and containers of one version: who gets which worker, and who waits.

A call takes the worker that was busy last, so that what is not needed grows old and goes. If there
is none it waits, first come, first served, until one is free, its time is over, or it is known that
there will be none. Whoever waits is given the worker in the very step in which it is free, and not
when his own turn in the event loop comes: a worker stands still until then.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

from juliabox_manager import protocol as p
from juliabox_services.api import refusals
from juliabox_services.api.container import Container, Worker
from juliabox_services.api.crashes import REASONS, Crashes
from juliabox_services.api.engine_contract import CallError
from juliabox_services.api.models import Version
from juliabox_services.api.options_rules import WORKER_MEMORY
from juliabox_services.api.order import Order
from juliabox_services.api.scaling import Pace, wanted
from juliabox_services.api.settings import Bounds
from juliabox_services.api.wire import call_header

#: Seconds for which no container is made after one could not be: first, and at most.
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 30.0
#: Seconds that a call may run before that is a sign that calls take long.
MOMENT = 0.3

#: Sends a call to a worker; raises :class:`CallError` if it must not be sent any more.
Take = Callable[[Worker], None]


class _Turn(NamedTuple):
    """A call that waits; ``given`` is done once it was taken to a worker, or never will be."""

    given: asyncio.Future[None]
    take: Take


class Pool:
    """One version's calls and containers.

    ``need`` is told when a call waits, ``changed`` when containers have changed so that one might
    be lacking, ``left`` when one has gone.
    """

    def __init__(
        self,
        version: Version,
        bounds: Bounds,
        need: Callable[[Pool], None],
        changed: Callable[[Pool], None],
        left: Callable[[Container], None],
    ) -> None:
        options = version.options
        self.version = version
        self.order = order_of(version, bounds)
        self.maximum = min(
            options.maximum or bounds.containers_per_api,
            bounds.containers_per_publisher,
            bounds.containers,
        )
        self.minimum = 0
        self.active = False
        #: Whether a container is wanted though nobody has called yet.
        self.urged = False
        self.containers: list[Container] = []
        #: Calls that wait or run.
        self.outstanding = 0
        self.pace = Pace()
        self.crashes = Crashes()
        self._need = need
        self._changed = changed
        self._left = left
        self._free: list[Worker] = []
        self._waiting: deque[_Turn] = deque()
        self._headers: dict[str, bytes] = {}
        self._failures = 0
        #: Until when no container is made, in the loop's time, and why.
        self.blocked_until = 0.0
        self._fault: CallError | None = None

    # -- calls -------------------------------------------------------------------------------------

    def header(self, function: str) -> bytes:
        """Return the header of calls of a function."""
        found = self._headers.get(function)
        if found is None:
            found = self._headers[function] = call_header(function)
        return found

    async def give(self, deadline: float, take: Take) -> None:
        """Give a worker to one call, at once or as soon as it can have one.

        ``take`` is called with it, and may raise :class:`CallError`; so does this if there is none.
        """
        while self._free:
            worker = self._free.pop()
            if worker.free:
                try:
                    take(worker)
                except Exception:
                    self._free.append(worker)
                    raise
                return
        await self._wait(deadline, take)

    async def _wait(self, deadline: float, take: Take) -> None:
        loop = asyncio.get_running_loop()
        hopeless = not self.staffed and not self.serving and loop.time() < self.blocked_until
        if self._fault is not None and hopeless:
            raise self._again(self._fault, self.blocked_until - loop.time())
        turn = _Turn(loop.create_future(), take)
        self._waiting.append(turn)
        timer = loop.call_at(deadline, self._late, turn)
        self._need(self)
        try:
            await turn.given
        except asyncio.CancelledError:
            if turn in self._waiting:
                self._waiting.remove(turn)
            raise
        finally:
            timer.cancel()

    def _late(self, turn: _Turn) -> None:
        """Give a call up that has waited too long; it has not been carried out."""
        if turn.given.done():
            return
        self._waiting.remove(turn)
        if self.serving:
            error = refusals.overloaded("all workers of this API were busy all the time")
        else:
            error = refusals.starting("no container of this API was ready in time")
        turn.given.set_exception(error)

    @property
    def waiting(self) -> int:
        """Calls that wait for a worker."""
        return len(self._waiting)

    def fail_waiting(self, error: Callable[[], CallError]) -> None:
        """Give up all calls that wait."""
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.given.done():
                turn.given.set_exception(error())

    # -- containers --------------------------------------------------------------------------------

    @property
    def serving(self) -> int:
        """Containers that calls may go to."""
        return sum(one.serves for one in self.containers)

    @property
    def staffed(self) -> int:
        """Containers that serve or will, without those that are worn."""
        return sum(one.state in ("starting", "open") for one in self.containers)

    def lacking(self, now: float) -> int:
        """Return how many containers should be made now."""
        if now < self.blocked_until:
            return 0
        worn = sum(one.state == "worn" for one in self.containers)
        minimum = max(self.minimum, worn, int(self.urged)) if self.active else 0
        known = self._wanted(self.pace.seconds, minimum)
        # what only seems to be slow may be a busy machine, which more containers make busier
        suspected = min(self._wanted(self._suspicion(now), minimum), 2 * self.serving)
        lacking = max(known, suspected)
        if self.crashes.suspicious(now):
            lacking = min(lacking, 1)
        return lacking - self.staffed

    def _wanted(self, pace: float, minimum: int) -> int:
        return wanted(self.outstanding, pace, self.order.workers, minimum, self.maximum)

    def _suspicion(self, now: float) -> float:
        """Return how long calls may take: as long as the longest that runs, beyond a moment."""
        running = (
            now - worker.begun - MOMENT
            for one in self.containers
            for worker in one.workers
            if worker.running is not None and one.serves
        )
        return max(self.pace.guess, max(running, default=0.0))

    def idle_too_long(self, before: float) -> list[Container]:
        """Return the containers that go: idle since ``before``, or of no use any more."""
        idle = sorted(
            (one for one in self.containers if one.idle_since is not None),
            key=lambda one: one.idle_since or 0.0,
        )
        if not self.active:
            return idle if not self._waiting else []
        most = max(0, self.serving - self.minimum)
        return [one for one in idle if (one.idle_since or 0.0) <= before][:most]

    def close_worn(self) -> None:
        """Let those that are worn go, if there are others."""
        if any(one.state == "open" for one in self.containers):
            for one in list(self.containers):
                if one.state == "worn":
                    one.close("worn")

    def opened(self, container: Container) -> None:
        """Take note that a container serves."""
        self._failures = 0
        now = asyncio.get_running_loop().time()
        if not self.crashes.holds(now):
            self.blocked_until, self._fault = 0.0, None
        self.urged = False
        # whether it is enough is seen in a moment, when it has had calls
        if self.lacking(now) <= 0:
            self.close_worn()
        if not self.active and container.idle_since is not None:
            container.close("version")

    def failed(self, error: CallError, now: float, again: float | None = None) -> None:
        """Take note that a container could not be had: nobody waits for another for a while."""
        self._failures += 1
        pause = min(FIRST_PAUSE * 2.0 ** (self._failures - 1), LONGEST_PAUSE)
        pause = pause if again is None else again
        self.blocked_until = now + pause
        self.urged = False
        self._fault = error
        if not self.staffed and not self.serving:
            self.fail_waiting(lambda: self._again(error, pause))

    def strike(self) -> None:
        """Take note that a container died while it loaded, which may have been an accident."""
        self._failures += 1

    @property
    def failures(self) -> int:
        """Containers in a row that could not be had."""
        return self._failures

    @staticmethod
    def _again(error: CallError, seconds: float) -> CallError:
        """Return an error anew for another caller, with the time after which to try again."""
        return CallError(
            error.message,
            code=error.code,
            status=error.http_status,
            frames=error.frames,
            printed=error.printed,
            retry_after=max(1, round(seconds + 0.5)) if error.http_status == 503 else 0,
        )

    # -- what containers tell (Keeper) -------------------------------------------------------------

    def freed(self, worker: Worker) -> None:
        """Give a worker to the call that has waited longest, or keep it."""
        if not worker.free:
            self._look_at_end(worker.container)
            return
        while self._waiting:
            turn = self._waiting.popleft()
            if turn.given.done():
                continue
            try:
                turn.take(worker)
            except Exception as error:  # its own affair, not of the call that has just ended
                turn.given.set_exception(error)
            else:
                turn.given.set_result(None)
                return
        self._free.append(worker)
        if not self.active and worker.container.idle_since is not None:
            worker.container.close("version")

    def wore(self, container: Container) -> None:
        """Have another container made in place of one that is worn."""
        if self.active:
            self._changed(self)

    def gone(self, container: Container) -> None:
        """Forget a container."""
        self._look_at_end(container)
        if container in self.containers:
            self.containers.remove(container)
        self._free = [worker for worker in self._free if worker.container is not container]
        self._left(container)

    def _look_at_end(self, container: Container) -> None:
        """Let the next container wait if this is one of a few in a row that ended in a call."""
        if container.reason not in REASONS:
            return
        now, crashes = asyncio.get_running_loop().time(), self.crashes
        if crashes.ended(container, self.containers, now) and crashes.pause:
            self.failed(refusals.crashing(crashes.words), now, crashes.pause)

    def good(self, container: Container) -> None:
        """Take note that the answer to a call was one: what is lacking may be made at once."""
        if not (self.crashes.row and container.serves):
            return
        now = asyncio.get_running_loop().time()
        held = self.crashes.holds(now)
        self.crashes.forget()
        if held and not self.crashes.holds(now):
            self.blocked_until, self._fault = 0.0, None


def order_of(version: Version, bounds: Bounds) -> Order:
    """Return what a container of a version is made for."""
    options = version.options
    memory = min(options.memory or bounds.memory, bounds.most_memory)
    # the operator may have lowered the ceiling since it was saved: better few workers than none
    workers = min(options.workers, max(1, memory // WORKER_MEMORY))
    return Order(
        publisher=version.publisher,
        api=version.api,
        version=version.version,
        source=version.source,
        functions=[function.name for function in version.functions],
        limits=p.Limits(memory, bounds.cpu, bounds.pids, 0),
        workers=workers,
        recycle_calls=options.recycle_calls,
    )
