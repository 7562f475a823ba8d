"""Requests that run: each once, with those who wait for it, and the record of its answer.

A record is a keyed digest of the verb, followed by the encoded reply: an id that comes back with
another verb is refused instead of answered with what it did not ask for. The digest is keyed, so
that a record says nothing of an environment.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Protocol

import msgspec
import structlog

from juliabox_ext.errors import (
    DeadlineError,
    InternalError,
    JuliaBoxError,
    RequestError,
    UnavailableError,
)
from juliabox_manager.protocol import (
    MAX_REPLY_BYTES,
    READ_ONLY,
    Reply,
    Request,
    encode,
    error_from,
    error_info,
)
from juliabox_manager.verbs import verb_tag

#: Connections that may wait for one request; a client renews its connection as it retries.
MAX_WAITING = 8
_DIGEST_BYTES = 16

log = structlog.get_logger("juliabox.server")


class AnswerStore(Protocol):
    """Keeps answers of changing verbs for an hour or more, bounded in number."""

    async def recorded_answer(self, client: str, request_id: str) -> bytes | None:
        """Return what was recorded for a client's request, or None."""

    async def record_answer(self, client: str, request_id: str, reply: bytes) -> None:
        """Record the answer of a client's request; durable when this returns."""


Key = tuple[str, str]


@dataclass(eq=False)
class Work:
    """One request in flight and the connections that wait for it, each with its deadline."""

    digest: bytes
    read_only: bool
    task: asyncio.Task[None] | None = None
    waiting: dict[bytes, asyncio.TimerHandle] = field(default_factory=dict)


class InFlight:
    """Run each request once; send its reply to all who wait, or a ``DeadlineError`` in time."""

    def __init__(
        self,
        answers: AnswerStore,
        digest_key: bytes,
        perform: Callable[[str, Request], Awaitable[Reply]],
        send: Callable[[bytes, bytes], None],
    ) -> None:
        self._answers = answers
        self._digest_key = digest_key
        self._perform = perform
        self._send = send
        self._works: dict[Key, Work] = {}
        self._counts: Counter[str] = Counter()

    def count(self, client: str) -> int:
        """Return the number of a client's requests in flight."""
        return self._counts[client]

    def join(self, identity: bytes, client: str, request: Request) -> bool:
        """Let a connection wait for the same request in flight; False if there is none.

        Raises ``RequestError`` if the request in flight under this id is another one.
        """
        work = self._works.get((client, request.id))
        if work is None or (work.task is not None and work.task.cancelling()):
            return False
        if work.digest != self._digest(request):
            raise _reused(request)
        self._wait(work, identity, client, request)
        return True

    def begin(self, identity: bytes, client: str, request: Request) -> None:
        """Start a request that is not in flight; a recorded answer is sent instead."""
        key = (client, request.id)
        work = Work(self._digest(request), type(request.body) in READ_ONLY)
        self._works[key] = work
        self._counts[client] += 1
        self._wait(work, identity, client, request)
        work.task = asyncio.create_task(self._run(key, work, request), name=f"request {request.id}")

    async def close(self, grace: float) -> None:
        """Give works ``grace`` seconds to end, then cancel them; those get no answer."""
        tasks = [work.task for work in self._works.values() if work.task is not None]
        if tasks:
            await asyncio.wait(tasks, timeout=grace)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _digest(self, request: Request) -> bytes:
        body = msgspec.msgpack.encode(request.body, order="deterministic")
        return hashlib.blake2b(body, digest_size=_DIGEST_BYTES, key=self._digest_key).digest()

    def _wait(self, work: Work, identity: bytes, client: str, request: Request) -> None:
        """Note that a connection waits; a newer deadline of the same connection counts."""
        if identity in work.waiting:
            work.waiting.pop(identity).cancel()
        elif len(work.waiting) >= MAX_WAITING:
            work.waiting.pop(next(iter(work.waiting))).cancel()
        work.waiting[identity] = asyncio.get_running_loop().call_later(
            request.deadline, self._expire, work, identity, request
        )

    def _expire(self, work: Work, identity: bytes, request: Request) -> None:
        """Answer a connection whose deadline passed; the work goes on unless it changes nothing."""
        work.waiting.pop(identity, None)
        error = DeadlineError(
            f"{verb_tag(type(request.body))} was not done within {request.deadline:.3g} seconds; "
            "the manager goes on with it: look again in a moment"
        )
        self._send(identity, encode(Reply(request.id, error=error_info(error))))
        if work.read_only and not work.waiting and work.task is not None:
            work.task.cancel()

    async def _run(self, key: Key, work: Work, request: Request) -> None:
        try:
            reply = await self._answer(key, work, request)
            for identity in work.waiting:
                self._send(identity, reply)
        finally:
            for timer in work.waiting.values():
                timer.cancel()
            if self._works.get(key) is work:
                del self._works[key]
            self._counts[key[0]] -= 1
            if not self._counts[key[0]]:
                del self._counts[key[0]]

    async def _answer(self, key: Key, work: Work, request: Request) -> bytes:
        """Return the encoded reply: recorded before, or performed now and then recorded."""
        client, request_id = key
        if work.read_only:
            return _encoded(await self._perform(client, request))
        try:
            recorded = await self._answers.recorded_answer(client, request_id)
        except Exception:
            log.exception("answer store unreadable", client=client)
            error: JuliaBoxError = UnavailableError(
                "the manager's own state cannot be read: run juliabox doctor"
            )
            return encode(Reply(request_id, error=error_info(error)))
        if recorded is not None:
            if recorded[:_DIGEST_BYTES] == work.digest:
                return recorded[_DIGEST_BYTES:]
            return encode(Reply(request_id, error=error_info(_reused(request))))
        performed = await self._perform(client, request)
        reply = _encoded(performed)
        if _may_succeed_later(performed):
            return reply
        try:
            await self._answers.record_answer(client, request_id, work.digest + reply)
        except Exception:
            # the work is done and its answer known: a lost record must not turn it into a failure
            log.exception("answer not recorded", client=client, request=request_id)
        return reply


def _encoded(reply: Reply) -> bytes:
    encoded = encode(reply)
    if len(encoded) <= MAX_REPLY_BYTES:
        return encoded
    error = InternalError(f"the answer of {len(encoded)} bytes is too large to send")
    return encode(Reply(reply.id, error=error_info(error)))


def _may_succeed_later(reply: Reply) -> bool:
    """Return whether asking again makes sense: such an answer is not for ever."""
    return reply.error is not None and error_from(reply.error).retryable


def _reused(request: Request) -> RequestError:
    return RequestError(
        f"request id {request.id} was used for another request: make a new id for each call",
        code="request.id_reused",
    )
