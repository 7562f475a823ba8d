"""Functions that yield: server-sent events for who asks for them, a JSON array for all others."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator

import msgspec
from tornado.iostream import StreamClosedError
from tornado.web import RequestHandler

from juliabox_services.api.answers import EVENTS
from juliabox_services.api.bodies import BodyHandler
from juliabox_services.api.engine_contract import CallError

#: Seconds without a value after which a comment is sent, so that nothing on the way gives up.
PAUSE = 15.0


async def gather(items: AsyncIterator[bytes], most: int) -> bytes:
    """Return all values as one JSON array; raise :class:`CallError` if it is over ``most`` bytes.

    The whole is gathered first: an array that breaks off in the middle would be a wrong answer
    with status 200.
    """
    found = bytearray(b"[")
    try:
        async for item in items:
            if len(found) > 1:
                found += b","
            found += item
            if len(found) >= most:
                raise CallError(
                    f"The values together are over {most} bytes: ask for {EVENTS}, or for fewer",
                    code="api.result",
                    status=500,
                )
    finally:
        await close(items)
    found += b"]"
    return bytes(found)


async def send(handler: BodyHandler, items: AsyncIterator[bytes]) -> CallError | None:
    """Send each value as an event when it comes, and at the end ``end`` or ``error``.

    Returns the error with which the function ended, or that there is no room for a large value;
    the caller got it as an event as well.
    """
    begin(handler)
    number, failed = 0, None
    try:
        await handler.flush()
        async with contextlib.aclosing(_with_pauses(items)) as values:
            async for item in values:
                if item is None:
                    piece = b": the function goes on\n\n"
                else:
                    number += 1
                    piece = event(item, number=number)
                await handler.send_piece(piece)
        handler.write(event(b"null", name="end"))
    except CallError as error:
        failed = error
        fault = {"code": error.code, "message": error.message}
        handler.write(event(msgspec.json.encode(fault), name="error"))
    except (StreamClosedError, TimeoutError):
        handler.gone = True
        raise asyncio.CancelledError from None
    finally:
        await close(items)
    handler.finish()
    return failed


def begin(handler: RequestHandler) -> None:
    """Set the headers of a stream of events, which no cache keeps and no proxy gathers."""
    handler.set_header("Content-Type", EVENTS)
    handler.set_header("Cache-Control", "no-store")
    handler.set_header("X-Accel-Buffering", "no")


def event(data: bytes, *, name: str = "", number: int = 0) -> bytes:
    """Return one event; a text of several lines stays one piece of data."""
    lines = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
    head = f"event: {name}\n" if name else ""
    head += f"id: {number}\n" if number else ""
    return head.encode() + b"".join(b"data: " + line + b"\n" for line in lines) + b"\n"


async def _with_pauses(items: AsyncIterator[bytes]) -> AsyncGenerator[bytes | None, None]:
    """Yield the values, and ``None`` whenever none came for a while."""
    task: asyncio.Task[bytes] | None = None
    try:
        while True:
            if task is None:
                task = asyncio.ensure_future(_next(items))
            done, _ = await asyncio.wait({task}, timeout=PAUSE)
            if not done:
                yield None
                continue
            try:
                item = task.result()
            except StopAsyncIteration:
                return
            task = None
            yield item
    finally:
        if task is not None:
            task.cancel()
            # whatever became of it, nobody waits for it any more
            await asyncio.gather(task, return_exceptions=True)


async def _next(items: AsyncIterator[bytes]) -> bytes:
    return await anext(items)


async def close(items: AsyncIterator[bytes]) -> None:
    """Tell a function that yields that nobody listens any more."""
    end = getattr(items, "aclose", None)
    if end is not None:
        await end()
