"""One container of a version, and the workers in it.

::

    starting ──► open ──► worn ──► closing ──► ended
                  │        └── another takes its place first, until then it serves
                  └── closing: no further call, it ends when those under way are over

A container belongs to one version of one publisher's API from its start to its end (S47). It is
worn after so many calls, or when its memory has grown; it is closing when a worker of it was lost:
the calls of the other workers end in peace, but it cannot be mended.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Literal, Protocol, TypeVar

import zmq

from juliabox_manager import protocol as p
from juliabox_services.api import fate, wire
from juliabox_services.api.fate import Fate
from juliabox_services.api.link import Cause, Exchange, Link, LinkEnded
from juliabox_services.api.order import Order, Site

_T = TypeVar("_T")
State = Literal["starting", "open", "worn", "closing", "ended"]

#: Share of its memory at which a container is worn, if it has grown at all by the second figure.
WORN_MEMORY, GROWN = 0.8, 1.1
#: Seconds for the workers of a container that has started to be reached.
CONNECT_SECONDS = 10.0
#: Seconds that the answer to a call waits for that.
FATE_SECONDS = 1.0
#: Request of all that the engine asks for itself.
_OWN_REQUEST = b"0" * 32


class LoadFailed(Exception):
    """A source does not load; ``told`` has its worker's words."""

    def __init__(self, told: wire.Failed) -> None:
        super().__init__(told.message)
        self.told = told


class Keeper(Protocol):
    """Whom a container belongs to; called within the event loop, and not to raise."""

    #: Whether the version answers, how many containers it keeps ready, and how many serve.
    active: bool
    minimum: int

    @property
    def serving(self) -> int:
        """Containers that calls may go to."""

    def freed(self, worker: Worker) -> None:
        """Take note that a worker has nothing to do, or that its container has ceased to serve."""

    def wore(self, container: Container) -> None:
        """Take note that another should take the container's place."""

    def gone(self, container: Container) -> None:
        """Take note that the container's room is free."""


class Worker:
    """One Julia process: it carries out one call at a time."""

    def __init__(self, container: Container) -> None:
        self.container = container
        self.link: Link | None = None
        self.calls = 0
        self.memory = 0
        self.running: Exchange | None = None
        #: When the running call was sent, in the loop's time.
        self.begun = 0.0

    @property
    def free(self) -> bool:
        """Whether it may be given a call."""
        connected = self.link is not None and not self.link.ended
        return connected and not self.busy and self.container.serves

    @property
    def busy(self) -> bool:
        """Whether it carries out a call."""
        return self.running is not None

    def begin(self, request: bytes, message: bytes, deadline: float) -> Exchange:
        """Give it a request."""
        assert self.link is not None  # noqa: S101  (no worker is handed out before it has one)
        self.begun = self.container.now()
        self.container.taken()
        exchange = self.link.begin(request, message, deadline)
        self.running = exchange
        exchange.then(self._over)
        return exchange

    def measured(self, memory: int) -> None:
        """Note how many bytes it told that it has."""
        self.memory = max(0, memory)
        self.container.look_at_memory()

    def _over(self) -> None:
        last = self.running.last if self.running is not None else None
        if last is not None and wire.leaves(last):
            # the next call must not go to it
            self.container.close("lost")
        self.running = None
        self.calls += 1
        self.container.calls += 1
        self.container.over(self)


class Container:
    """One container, from the wish for it to its end."""

    def __init__(self, order: Order, site: Site, keeper: Keeper) -> None:
        self.order = order
        self.keeper = keeper
        self._site = site
        self._loop = asyncio.get_running_loop()
        self.id = ""
        self.state: State = "starting"
        self.workers: list[Worker] = []
        self.calls = 0
        self.functions: wire.Loaded | None = None
        #: Since when no worker has anything to do.
        self._idle: float | None = None
        self._memory_at_first = 0
        #: Why it ends: a word for figures and logs.
        self.reason = ""
        self._fate: asyncio.Task[Fate] | None = None
        #: Takes it away; set once it has ended.
        self.leaving: asyncio.Task[None] | None = None

    # -- what others see ---------------------------------------------------------------------------

    def now(self) -> float:
        """Return the loop's time."""
        return self._loop.time()

    @property
    def serves(self) -> bool:
        """Whether calls may go to it."""
        return self.state in ("open", "worn")

    @property
    def idle_since(self) -> float | None:
        """Since when it has nothing to do; ``None``: it has, or does not serve."""
        return self._idle if self.serves else None

    @property
    def current(self) -> bool:
        """Whether its version is the one that answers."""
        return self.keeper.active

    @property
    def companions(self) -> int:
        """Containers of its version that serve."""
        return self.keeper.serving

    @property
    def spare(self) -> bool:
        """Whether its version needs it not even to be ready for a call."""
        return not self.keeper.active or self.keeper.serving > self.keeper.minimum

    async def fate(self) -> Fate:
        """Return how it ended, if its worker was lost, as far as it is known soon."""
        if self._fate is None:
            return Fate()
        done, _ = await asyncio.wait([self._fate], timeout=FATE_SECONDS)
        return self._fate.result() if done else Fate()

    # -- the start ---------------------------------------------------------------------------------

    async def start(self) -> wire.Loaded:
        """Make it, start it, and load the source into each worker.

        Raise the ``JuliaBoxError`` of the manager, :class:`LoadFailed`, or :class:`LinkEnded` if a
        worker dies or is not done in time; it is ended then.
        """
        try:
            loaded = await self._start()
        except BaseException:
            self.end("start")
            raise
        self.state = "open"
        self.functions = loaded
        self._idle = self.now()
        for worker in self.workers:
            self.keeper.freed(worker)
        return loaded

    async def _start(self) -> wire.Loaded:
        order, site = self.order, self._site
        async with site.starts.turn(order.publisher):
            public, started = await self._make()
        until = self.now() + site.load_seconds
        for number in range(order.workers):
            worker = Worker(self)
            self.workers.append(worker)
            worker.link = Link(
                site.context,
                endpoint(started.address, started.port + number),
                server_key=public,
                keys=site.keys,
                most=site.result_bytes,
                lost=partial(self._lost, worker),
            )
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                await asyncio.gather(*(_link(worker).connected() for worker in self.workers))
        except TimeoutError:
            raise LinkEnded("lost", False) from None
        loaded = await asyncio.gather(*(self._load(worker, until) for worker in self.workers))
        if any(_link(worker).ended for worker in self.workers):
            raise LinkEnded("lost", True)
        return loaded[0]

    async def _make(self) -> tuple[str, p.ApiContainer]:
        """Have it made and started; return the public half of its workers' key, and what it is."""
        order, site = self.order, self._site
        self._check_that_it_goes_on()
        self.id = await site.machine.create(order.publisher, order.api, order.version, order.limits)
        self._check_that_it_goes_on()
        public, secret = (half.decode("ascii") for half in zmq.curve_keypair())
        environment = {
            wire.KEY_VARIABLE: secret,
            wire.WORKERS_VARIABLE: str(order.workers),
            wire.RESULT_VARIABLE: str(site.result_bytes),
        }
        started = await site.machine.start(self.id, environment)
        self._check_that_it_goes_on()
        return public, started

    def _check_that_it_goes_on(self) -> None:
        """Give up a start during which it was ended: at that time it had no name to be ended by."""
        if self.state == "ended":
            if self.id:
                self._site.machine.retire(self.id)
            raise LinkEnded("closed", False)

    async def _load(self, worker: Worker, until: float) -> wire.Loaded:
        order = self.order
        message = wire.load_message(_OWN_REQUEST, f"{order.api}.jl", order.functions, order.source)
        told = await self._ask(worker, message, until, wire.loaded)
        if isinstance(told, wire.Failed):
            raise LoadFailed(told)
        healthy = await self._ask(worker, wire.health_message(_OWN_REQUEST), until, wire.healthy)
        worker.memory = healthy.memory
        self._memory_at_first += healthy.memory
        return told

    async def _ask(
        self,
        worker: Worker,
        message: bytes,
        until: float,
        read: Callable[[wire.Reply], _T],
    ) -> _T:
        exchange = _link(worker).begin(_OWN_REQUEST, message, until)
        try:
            return read(await exchange.next())
        except wire.Garbled:
            raise LinkEnded("garbled", True) from None

    # -- its life ----------------------------------------------------------------------------------

    def over(self, worker: Worker) -> None:
        """Note that a worker has nothing to do any more."""
        busy = any(one.busy for one in self.workers)
        self._idle = None if busy else self.now()
        if self.state == "closing" and not busy:
            self.end(self.reason)
        elif 0 < self.order.recycle_calls <= self.calls:
            self.wear()
        self.keeper.freed(worker)

    def taken(self) -> None:
        """Note that a worker of it gets something to do."""
        self._idle = None

    def look_at_memory(self) -> None:
        """Let it be replaced when its memory has grown towards its limit."""
        memory = sum(worker.memory for worker in self.workers)
        bound = max(WORN_MEMORY * self.order.limits.memory, GROWN * self._memory_at_first)
        if memory > bound:
            self.wear()

    def wear(self) -> None:
        """Let another take its place."""
        if self.state == "open":
            self.state = "worn"
            self.keeper.wore(self)

    def close(self, reason: str) -> None:
        """Give it no further call, and end it when those under way are over."""
        if not self.serves:
            return
        self.state, self.reason = "closing", reason
        if not any(worker.busy for worker in self.workers):
            self.end(reason)

    def end(self, reason: str) -> None:
        """End it now, whatever it does."""
        if self.state == "ended":
            return
        self.state, self.reason, self._idle = "ended", reason, None
        for worker in self.workers:
            if worker.link is not None:
                worker.link.close("lost" if reason == "lost" else "closed")
        self.leaving = asyncio.create_task(self._leave(), name=f"leave {self.id}")

    def garbled(self) -> None:
        """End it after calls of others: a worker of it said what cannot be read."""
        self.close("garbled")

    def seen_dead(self) -> None:
        """End it: the manager says that it has ended."""
        if self.state in ("open", "worn", "closing"):
            self._look_for_fate()
            self.end("lost")

    def _lost(self, _worker: Worker, cause: Cause) -> None:
        """Note that the connection with a worker is over."""
        if cause == "lost":
            self._look_for_fate()
        if self.serves:
            self.state = "closing"
            self.reason = cause
        others = any(one.busy and one is not _worker for one in self.workers)
        if self.state == "closing" and not others:
            self.end(self.reason or cause)

    def _look_for_fate(self) -> None:
        if self._fate is None:
            looking = fate.look(self._site.machine, self.id, self.order.limits.memory)
            self._fate = asyncio.create_task(looking, name=f"fate of {self.id}")

    async def _leave(self) -> None:
        try:
            if self._fate is not None:
                # once it is retired the manager knows no more how it ended
                await asyncio.wait([self._fate])
            if self.id:
                await self._site.machine.retire(self.id)
        finally:
            self.keeper.gone(self)


def endpoint(address: str, port: int) -> str:
    """Return what a socket connects to."""
    return f"tcp://[{address}]:{port}" if ":" in address else f"tcp://{address}:{port}"


def _link(worker: Worker) -> Link:
    assert worker.link is not None  # noqa: S101  (made before anything is asked)
    return worker.link
