"""The engine behind the front: it carries calls to workers.

A call is admitted, gets a worker or waits for one, is sent, and is answered by what comes back, or
by how it ended. What goes on when its caller has gone away needs nobody who waits: a worker is
freed, or ended at the deadline, by the exchange itself.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Callable

import zmq
from prometheus_client import CollectorRegistry

from juliabox_manager.keys import KeyPair
from juliabox_services.api import refusals, wire
from juliabox_services.api.attempt import Attempt
from juliabox_services.api.checks import Checks
from juliabox_services.api.container import Worker
from juliabox_services.api.engine_contract import Answer, Back, Call, CallError, Checked, Load
from juliabox_services.api.engine_figures import ApiFigures, EngineFigures
from juliabox_services.api.fleet import Fleet, News
from juliabox_services.api.link import Exchange, LinkEnded
from juliabox_services.api.machine import Caller, Machine
from juliabox_services.api.models import Version
from juliabox_services.api.order import Site
from juliabox_services.api.pool import Pool
from juliabox_services.api.settings import Bounds
from juliabox_services.api.starts import Starts
from juliabox_services.api.stream import Items

#: Sockets of all workers: three for each connection, since libzmq tells of it by two more.
_MOST_SOCKETS = 8192
#: Seconds for the manager to take containers over when the engine ends.
CLOSE_SECONDS = 5.0


def _tell_nobody(_version: Version, _kind: str, _text: str) -> None:
    pass


class Engine(Back):
    """Calls, containers and checks of sources, by way of the manager.

    ``registry`` gets its figures; ``news`` is told what belongs in an API's log beside its calls:
    version, kind of the line, text. To be opened within the event loop.
    """

    def __init__(
        self,
        bounds: Bounds,
        manager: Caller,
        registry: CollectorRegistry,
        news: News = _tell_nobody,
    ) -> None:
        self._bounds = bounds
        self._figures = EngineFigures(registry)
        self._machine = Machine(manager)
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._context.set(zmq.MAX_SOCKETS, _MOST_SOCKETS)
        public, secret = (half.decode("ascii") for half in zmq.curve_keypair())
        site = Site(
            machine=self._machine,
            context=self._context,
            keys=KeyPair(public, secret),
            result_bytes=bounds.result,
            load_seconds=bounds.load_timeout,
            starts=Starts(),
        )
        self._fleet = Fleet(bounds, site, self._figures, news)
        self._checks = Checks(bounds, self._fleet)
        self._draining = False
        #: Calls that wait or run, by publisher; set while there are none.
        self._outstanding: Counter[str] = Counter()
        self._quiet = asyncio.Event()
        self._quiet.set()

    async def open(self) -> None:
        """Begin; a manager that is away is no hindrance."""
        await self._fleet.open()

    async def close(self) -> None:
        """End all containers; calls under way fail."""
        self._draining = True
        await self._fleet.close(CLOSE_SECONDS)
        await self._machine.close()
        self._context.destroy(linger=0)

    # -- Back --------------------------------------------------------------------------------------

    async def call(self, version: Version, call: Call) -> Answer:
        """Carry a call out; see :class:`Back`."""
        if self._draining:
            raise refusals.draining()
        pool = self._fleet.pool(version)
        leave = self._enter(pool)
        attempt = Attempt(pool, call, asyncio.get_running_loop().time())
        idempotent = call.function in version.options.idempotent
        figures = self._figures_of(pool)
        try:
            while True:
                exchange = await attempt.sent()
                try:
                    reply = await exchange.next()
                except LinkEnded as ended:
                    if not ended.sent:
                        continue
                    if ended.cause == "lost" and idempotent:
                        idempotent = False
                        continue
                    raise await self._lost(attempt.worker, ended) from None
                return self._answer(attempt, exchange, reply)
        except CallError as error:
            figures.answered(error.code)
            raise
        except asyncio.CancelledError:
            figures.answered("gone")
            if attempt.exchange is not None:
                attempt.exchange.forget()
            raise
        finally:
            if attempt.exchange is None:
                leave()
            else:
                attempt.exchange.then(leave)

    async def check(self, publisher: str, api: str, source: str, functions: list[str]) -> Checked:
        """Look at a source; see :class:`Back`."""
        if self._draining:
            raise refusals.draining()
        return await self._checks.check(publisher, api, source, functions)

    def activate(self, version: Version | None, publisher: str, api: str) -> None:
        """Take note of which version answers; see :class:`Back`."""
        self._fleet.activate(version, publisher, api)

    async def prepare(self, version: Version, seconds: float) -> None:
        """Have a container of a version ready before it is activated; see :class:`Back`."""
        await self._fleet.prepare(version, seconds)

    def load(self, publisher: str, api: str) -> Load:
        """Return what an API keeps busy now."""
        containers, outstanding = self._fleet.load(publisher, api)
        return Load(containers=containers, outstanding=outstanding)

    async def drain(self, seconds: float) -> None:
        """Admit no further call, and wait for those under way; see :class:`Back`."""
        self._draining = True
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._quiet.wait()

    # -- one call ----------------------------------------------------------------------------------

    def _enter(self, pool: Pool) -> Callable[[], None]:
        """Count a call, or refuse it; return what counts it out, once."""
        publisher = pool.order.publisher
        if self._outstanding[publisher] >= self._bounds.outstanding:
            error = refusals.overloaded("too many calls of this publisher's APIs wait or run now")
            self._figures_of(pool).answered(error.code)
            raise error
        self._outstanding[publisher] += 1
        self._quiet.clear()
        pool.outstanding += 1

        def leave() -> None:
            pool.outstanding -= 1
            self._outstanding[publisher] -= 1
            if not self._outstanding[publisher]:
                del self._outstanding[publisher]
            if not self._outstanding:
                self._quiet.set()

        return leave

    def _figures_of(self, pool: Pool) -> ApiFigures:
        return self._figures.of(pool.order.publisher, pool.order.api)

    def _answer(self, attempt: Attempt, exchange: Exchange, reply: wire.Reply) -> Answer:
        try:
            if reply.kind in (wire.ITEM, wire.END):
                return self._stream(attempt, exchange, reply)
            if reply.kind == wire.ERROR:
                raise self._refused(attempt, reply)
            if reply.kind != wire.RESULT:
                raise wire.Garbled("no answer to a call")
            answer = self._result(attempt, reply)
        except wire.Garbled:
            attempt.worker.container.garbled()
            raise refusals.garbled() from None
        self._figures_of(attempt.pool).answered("ok")
        return answer

    def _took(self, attempt: Attempt, seconds: float, memory: int) -> None:
        """Note what a worker tells of a call, and how long it took as seen from here."""
        # by the worker's word: what is waited for on the way is no reason for more workers
        attempt.pool.pace.took(wire.span(seconds), first=attempt.first)
        attempt.pool.good(attempt.worker.container)
        attempt.worker.measured(memory)
        now = attempt.worker.container.now()
        self._figures_of(attempt.pool).took(now - attempt.begun)

    def _refused(self, attempt: Attempt, reply: wire.Reply) -> CallError:
        told = wire.failed(reply)
        if told.code not in refusals.WORKER_CODES:
            raise wire.Garbled("an unknown code")
        self._took(attempt, told.seconds, told.memory)
        return refusals.refused(told)

    def _result(self, attempt: Attempt, reply: wire.Reply) -> Answer:
        header = wire.result(reply)
        self._took(attempt, header.seconds, header.memory)
        printed = wire.output(header.printed)
        wrong = ""
        if len(reply.part) > self._bounds.result:
            wrong = f"the result is larger than {self._bounds.result} bytes"
        elif not wire.is_type(header.type):
            wrong = "the function names a type of content that is none"
        if wrong:
            raise CallError(wrong, code="api.result", status=500, printed=printed)
        return Answer(
            type=header.type,
            body=reply.part,
            seconds=wire.span(header.seconds),
            printed=printed,
        )

    def _stream(self, attempt: Attempt, exchange: Exchange, first: wire.Reply) -> Answer:
        figures = self._figures_of(attempt.pool)

        def done(outcome: str, end: wire.Result | None) -> None:
            figures.answered(outcome)
            if end is not None:
                self._took(attempt, end.seconds, end.memory)

        items = Items(first, exchange, attempt.worker, self._lost, done)
        return Answer(type="application/json", body=b"", items=items)

    async def _lost(self, worker: Worker, ended: LinkEnded) -> CallError:
        """Return the error of a call to which no answer came."""
        if ended.cause == "timeout":
            return refusals.timed_out()
        if ended.cause == "lost":
            return refusals.crashed((await worker.container.fate()).words)
        return refusals.garbled() if ended.cause == "garbled" else refusals.draining()
