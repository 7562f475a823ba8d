"""What a function yields, one value after another, as its worker sends it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable

from juliabox_services.api import refusals, wire
from juliabox_services.api.container import Worker
from juliabox_services.api.engine_contract import CallError
from juliabox_services.api.link import Exchange, LinkEnded


class Items(AsyncIterator[bytes]):
    """The JSON texts of what a function yields; raises :class:`CallError` where it breaks off.

    The worker waits for whoever reads. If nobody reads any more, ``aclose`` lets it go on to its
    end, at most until its deadline; so does forgetting the object. ``seconds`` and ``printed`` are
    of the whole call, and known at the end.
    """

    def __init__(
        self,
        first: wire.Reply,
        exchange: Exchange,
        worker: Worker,
        lost: Callable[[Worker, LinkEnded], Awaitable[CallError]],
        done: Callable[[str, wire.Result | None], None],
    ) -> None:
        self._first: wire.Reply | None = first
        self._exchange = exchange
        self._worker = worker
        self._lost = lost
        self._done: Callable[[str, wire.Result | None], None] | None = done
        self.seconds = 0.0
        self.printed = ""

    async def __anext__(self) -> bytes:
        if self._done is None:
            raise StopAsyncIteration
        try:
            reply = self._first or await self._exchange.next()
            self._first = None
            return self._read(reply)
        except LinkEnded as ended:
            error = await self._lost(self._worker, ended)
        except wire.Garbled:
            self._worker.container.garbled()
            self._exchange.forget()
            error = refusals.garbled()
        except CallError as refused:
            error = refused
        self._finish(error.code)
        raise error

    async def aclose(self) -> None:
        """Read no further."""
        self._exchange.forget()
        self._finish("gone")

    def __del__(self) -> None:
        if not self._exchange.ended:
            self._exchange.forget()

    def _read(self, reply: wire.Reply) -> bytes:
        if reply.kind == wire.ITEM:
            return wire.item(reply)
        if reply.kind == wire.END:
            end = wire.result(reply)
            self.seconds, self.printed = wire.span(end.seconds), wire.output(end.printed)
            self._finish("ok", end)
            raise StopAsyncIteration
        if reply.kind == wire.ERROR:
            told = wire.failed(reply)
            if told.code in refusals.WORKER_CODES:
                self._worker.measured(told.memory)
                raise refusals.refused(told)
        raise wire.Garbled("no item")

    def _finish(self, outcome: str, end: wire.Result | None = None) -> None:
        done, self._done = self._done, None
        if done is not None:
            done(outcome, end)
