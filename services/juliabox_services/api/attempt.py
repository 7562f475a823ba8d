"""One call on its way to a worker."""

from __future__ import annotations

from juliabox_services.api import refusals, wire
from juliabox_services.api.container import Worker
from juliabox_services.api.engine_contract import Call
from juliabox_services.api.link import Exchange
from juliabox_services.api.pool import Pool

#: Share of what a call takes as a rule that must be left of its time when it is sent, and the least
#: seconds: a worker is not to be ended for a call that had no chance.
_CHANCE, _LEAST_SECONDS = 0.5, 0.02


class Attempt:
    """A call for a pool, which came at ``came``, and the worker that has it; times of the loop.

    There is a second worker only if the first is known not to have got the call, or it may run
    twice.
    """

    __slots__ = ("_call", "_came", "begun", "exchange", "first", "pool", "worker")

    #: Who has it, whether as the first call of all, and since when; there once it was sent.
    worker: Worker
    first: bool
    begun: float

    def __init__(self, pool: Pool, call: Call, came: float) -> None:
        self.pool = pool
        self._call = call
        self._came = came
        #: What is answered to it; ``None`` until it was sent.
        self.exchange: Exchange | None = None

    async def sent(self) -> Exchange:
        """Wait until a worker has it; return what it answers, or raise :class:`CallError`."""
        self.exchange = None
        await self.pool.give(self._call.deadline, self._send)
        assert self.exchange is not None  # noqa: S101  (set by whom the pool has called)
        return self.exchange

    def _send(self, worker: Worker) -> None:
        pool, call = self.pool, self._call
        now = worker.container.now()
        waited = now - self._came > _LEAST_SECONDS
        needed = max(_LEAST_SECONDS, _CHANCE * pool.pace.seconds) if waited else 0.0
        if call.deadline - now <= needed:
            raise refusals.overloaded("the call waited until too little of its time was left")
        request, header = call.request.encode("ascii"), pool.header(call.function)
        message = wire.call_message(request, header, call.arguments, call.keywords, call.body)
        self.worker, self.first, self.begun = worker, not worker.calls, now
        self.exchange = worker.begin(request, message, call.deadline)
