"""One process of a task, from the manager's side: started, heard, and ended in time for certain."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
from asyncio import StreamReader, StreamWriter
from asyncio.subprocess import PIPE, STDOUT, Process
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Final

import msgspec
import structlog

from juliabox_manager.live import to_its_end
from juliabox_manager.tasks import wire
from juliabox_manager.tasks.wire import Answer, Done, Failed, Message, Order

log = structlog.get_logger("juliabox.manager.tasks")

#: Bytes of a task's output that go to the log, and the longest line of it.
OUTPUT: Final = 64 * 1024
_OUTPUT_LINE: Final = 1000

#: Bytes that are read, and left out of the log, each tenth of a second after that: a task that
#: prints without end must not keep the manager busy.
_CHUNK: Final = 64 * 1024
_PAUSE: Final = 0.1

#: Seconds for the guardian to kill a task and end, and then for the kernel when told to kill.
_END_LIMIT: Final = 5.0

Heard = Callable[[Message], Awaitable[Answer | None]]


@dataclass(frozen=True)
class Ending:
    """How a process ended: its exit code, and whether its time was up or it spoke nonsense."""

    code: int
    timed_out: bool = False
    unreadable: str = ""


async def converse(order: Order, limit: float, heard: Heard, *, anew: bool = False) -> Ending:
    """Let a process carry out an order, within ``limit`` seconds; return how it ended.

    With ``anew`` the limit counts anew from each message. ``heard`` takes each message and returns
    the answer to a call; after ``Done`` or ``Failed`` nothing more is heard. When this returns, or
    is cancelled, the process and all that it started have been killed; what hangs in the kernel is
    left to it, with a line in the log.
    """
    timed_out, unreadable = False, ""
    async with _started(order) as (process, reader, writer):
        try:
            async with asyncio.timeout(limit) as clock:
                async for message in _messages(reader):
                    answer = await heard(message)
                    if isinstance(message, Done | Failed):
                        break
                    if answer is not None:
                        await _reply(writer, answer)
                    if anew:
                        clock.reschedule(asyncio.get_running_loop().time() + limit)
        except TimeoutError:
            timed_out = True
        except (ValueError, RecursionError, msgspec.DecodeError) as error:
            unreadable = str(error)
    return Ending(process.returncode or 0, timed_out, unreadable)


async def _messages(reader: StreamReader) -> AsyncIterator[Message]:
    """Give messages until the process has ended."""
    with contextlib.suppress(ConnectionError):
        while line := await reader.readline():
            yield wire.decode_message(line)


async def _reply(writer: StreamWriter, answer: Answer) -> None:
    with contextlib.suppress(ConnectionError):
        writer.write(wire.encode(answer))
        await writer.drain()


@contextlib.asynccontextmanager
async def _started(order: Order) -> AsyncIterator[tuple[Process, StreamReader, StreamWriter]]:
    """Start a process; on leaving, let go of its channel, which kills it, and wait for its end."""
    ours, theirs = socket.socketpair()
    with theirs:
        reader, writer = await asyncio.open_connection(sock=ours, limit=wire.MAX_LINE)
        try:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-P", "-u", "-m", "juliabox_manager.tasks.runner"),
                str(theirs.fileno()),
                stdin=PIPE,
                stdout=PIPE,
                stderr=STDOUT,
                pass_fds=(theirs.fileno(),),
                start_new_session=True,
                cwd="/",
            )
        except BaseException:
            writer.transport.abort()
            raise
    name = order.task or "plugins"
    printing = asyncio.create_task(_print(process, name), name=f"output of {name}")
    try:
        await _give(process, wire.encode(order))
        yield process, reader, writer
    finally:
        # not closed: that would first wait for a process that does not read its answers
        writer.transport.abort()
        await to_its_end(_end(process, printing, name))


async def _give(process: Process, order: bytes) -> None:
    assert process.stdin is not None  # noqa: S101  (for the type checker)
    process.stdin.write(order)
    with contextlib.suppress(ConnectionError):
        await process.stdin.drain()
    process.stdin.close()


async def _end(process: Process, printing: asyncio.Task[None], name: str) -> None:
    """Wait for a process whose channel is closed; kill it if its guardian does not."""
    try:
        async with asyncio.timeout(_END_LIMIT):
            await process.wait()
    except TimeoutError:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        try:
            async with asyncio.timeout(_END_LIMIT):
                await process.wait()
        except TimeoutError:
            log.error("a task's process cannot be killed", task=name, pid=process.pid)
    # what it printed last is in the pipe still
    await asyncio.wait({printing}, timeout=1.0)
    printing.cancel()
    await asyncio.gather(printing, return_exceptions=True)


async def _print(process: Process, name: str) -> None:
    """Pass what a process prints on to the log, as much of it as is bearable."""
    assert process.stdout is not None  # noqa: S101  (for the type checker)
    left, rest, dropped = OUTPUT, b"", 0
    try:
        while chunk := await process.stdout.read(_CHUNK):
            if left <= 0:
                dropped += len(chunk)
                await asyncio.sleep(_PAUSE)
                continue
            *lines, rest = (rest + chunk[:left]).split(b"\n")
            left -= len(chunk)
            dropped += max(0, -left)
            for line in lines:
                _log_line(name, line)
            if len(rest) > _OUTPUT_LINE:
                _log_line(name, rest)
                rest = b""
    finally:
        if rest:
            _log_line(name, rest)
        if dropped:
            log.warning("a task printed too much", task=name, left_out=dropped)


def _log_line(name: str, line: bytes) -> None:
    text = line.decode("utf-8", "replace").rstrip()
    if text:
        log.info("task printed", task=name, line=text[:_OUTPUT_LINE])
