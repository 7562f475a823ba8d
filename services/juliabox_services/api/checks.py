"""The look at a source before it is saved: does it load, and has it the functions it must have?

Each look has a container of its own, which serves nothing before or after, since the source may
have done anything to it.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator

import msgspec
import structlog
import zmq

from juliabox_ext.errors import JuliaBoxError
from juliabox_manager import protocol as p
from juliabox_services.api import refusals, wire
from juliabox_services.api.container import Container, LoadFailed, Worker
from juliabox_services.api.engine_contract import Checked
from juliabox_services.api.fleet import Fleet
from juliabox_services.api.link import LinkEnded
from juliabox_services.api.order import Order
from juliabox_services.api.settings import Bounds

#: Looks at one time, and the seconds that one waits for its turn and for room.
MOST, WAIT_SECONDS = 4, 20.0
_PAUSE = 0.1
#: Looks at a source whose container is ended from outside.
_TRIES = 2
#: Julia's words for a package that it does not find, and ours.
_PACKAGE = re.compile(r"ArgumentError: Package (\S+) not found")
_LACKING = (
    "is not there: an API has Julia's standard library alone. Write what is needed of it into the "
    "source"
)

log = structlog.get_logger("juliabox.api")


class _Apart:
    """Keeper of a container that takes no calls."""

    active = False
    minimum = 0
    serving = 0

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet

    def freed(self, worker: Worker) -> None:
        """Leave it alone."""

    def wore(self, container: Container) -> None:
        """Leave it alone."""

    def gone(self, container: Container) -> None:
        """Give its room back."""
        self._fleet.gone_apart(container)


class Checks:
    """Looks at sources: one of a publisher at a time, and few of all."""

    def __init__(self, bounds: Bounds, fleet: Fleet) -> None:
        self._bounds = bounds
        self._fleet = fleet
        self._turns = asyncio.Semaphore(MOST)
        self._own: dict[str, asyncio.Lock] = {}

    async def check(self, publisher: str, api: str, source: str, functions: list[str]) -> Checked:
        """Load a source; see :class:`Back`."""
        own = self._own.setdefault(publisher, asyncio.Lock())
        bounds = self._bounds
        order = Order(
            publisher=publisher,
            api=api,
            version=0,
            source=source,
            functions=functions,
            limits=p.Limits(bounds.memory, bounds.cpu, bounds.pids, 0),
        )
        async with _patience():
            await own.acquire()
        try:
            async with _patience():
                await self._turns.acquire()
            try:
                return await self._with_memory(order)
            finally:
                self._turns.release()
        finally:
            own.release()

    async def _with_memory(self, order: Order) -> Checked:
        """Look at a source; at one that needs it, with as much memory as its API may have."""
        checked, short = await self._look(order)
        most = self._bounds.most_memory
        if short and order.limits.memory < most:
            limits = msgspec.structs.replace(order.limits, memory=most)
            checked, _ = await self._look(msgspec.structs.replace(order, limits=limits))
        return checked

    async def _look(self, order: Order) -> tuple[Checked, bool]:
        """Return what was found, and whether it was for want of memory."""
        for _ in range(_TRIES):
            container = await self._container(order)
            try:
                loaded = await container.start()
            except LoadFailed as error:
                return _failed(error.told), False
            except LinkEnded as error:
                ended = await self._ended(container, error)
                if ended is not None:
                    return ended
            except (JuliaBoxError, zmq.ZMQError) as error:
                log.warning(
                    "a source cannot be looked at", publisher=order.publisher, reason=str(error)
                )
                raise refusals.starting(
                    "no container can be started now to look at the source in", refusals.LATER
                ) from None
            else:
                return _loaded(loaded, order.functions), False
            finally:
                container.end("check")
        raise refusals.starting(
            "the container in which the source was looked at was ended from outside; try again",
            refusals.LATER,
        )

    async def _container(self, order: Order) -> Container:
        """Return a container to look at a source in, as soon as there is room."""
        fleet = self._fleet
        async with _patience():
            with fleet.room.claimed(order.publisher):
                while not fleet.room.for_look(order.publisher):
                    await fleet.change(_PAUSE)
                if fleet.closing:
                    raise refusals.draining()
                return fleet.apart(order, _Apart(fleet))

    async def _ended(self, container: Container, error: LinkEnded) -> tuple[Checked, bool] | None:
        """Return what a look found that came to no answer; ``None``: nothing of the source."""
        if not error.sent:
            raise refusals.starting(
                "the container for the source did not get ready", refusals.LATER
            )
        if error.cause == "timeout":
            seconds = self._bounds.load_timeout
            message = f"the source did not finish loading within {seconds:g} s"
            return Checked(code="source.timeout", message=message), False
        if error.cause == "closed":
            raise refusals.draining()
        if error.cause == "garbled":
            message = "what Julia said after it had loaded the source cannot be read"
            return Checked(code="source.crash", message=message), False
        fate = await container.fate()
        if not fate.own:
            return None
        message = f"Julia ended while it loaded the source: {fate.words}"
        return Checked(code="source.crash", message=message), fate.out_of_memory


@contextlib.asynccontextmanager
async def _patience() -> AsyncIterator[None]:
    """Raise :class:`CallError` if what is within waits too long."""
    try:
        async with asyncio.timeout(WAIT_SECONDS):
            yield
    except TimeoutError:
        raise refusals.starting(
            "there is no room for a container now, in which the source could be looked at",
            refusals.LATER,
        ) from None


def _failed(told: wire.Failed) -> Checked:
    code = told.code if told.code.startswith("source.") else "source.error"
    # Julia's own advice, to install it, is for who sits at a prompt
    lacks = _PACKAGE.match(told.message)
    message = f"Package {lacks[1]} {_LACKING}" if lacks else told.message
    return Checked(
        code=code, message=message, frames=told.frames, printed=wire.output(told.printed)
    )


def _loaded(loaded: wire.Loaded, functions: list[str]) -> Checked:
    # what else the worker may tell is not to be published
    found = {function.name: function for function in loaded.functions}
    missing = [name for name in functions if name not in found]
    if missing:
        message = f"the source does not define {', '.join(missing)}"
        return Checked(code="source.missing", message=message, printed=wire.output(loaded.printed))
    asked = [found[name] for name in functions]
    return Checked(functions=asked, printed=wire.output(loaded.printed))
