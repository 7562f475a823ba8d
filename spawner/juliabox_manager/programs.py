"""Run programs without ever blocking the event loop, each in bounded time."""

from __future__ import annotations

import asyncio
import contextlib
import os
from asyncio.subprocess import DEVNULL, PIPE, STDOUT, Process
from collections.abc import Sequence
from dataclasses import dataclass

#: Seconds that a killed program gets to disappear before it counts as hung in the kernel.
KILL_LIMIT = 1.0


@dataclass(frozen=True)
class Outcome:
    """Exit code and output of a program that ended, with its errors unless they were kept apart."""

    code: int
    output: str
    errors: str = ""


class CommandTimeout(Exception):
    """A program did not end within its limit.

    ``process`` is set if it did not even die from SIGKILL: it hangs in the kernel and goes on
    holding what it holds, until the kernel lets it go.
    """

    def __init__(self, program: str, limit: float, process: Process | None) -> None:
        super().__init__(f"{program} did not end within {limit:g} s")
        self.process = process


async def run(
    argv: Sequence[str],
    *,
    limit: float,
    keep: Sequence[int] = (),
    text: str = "",
    apart: bool = False,
) -> Outcome:
    """Run a program to its end; raise :class:`CommandTimeout` after ``limit`` seconds.

    ``keep`` lists file descriptors that the program inherits: with an image's lock among them, the
    image stays locked until the program has ended, even if the manager is killed meanwhile.
    ``text`` is its standard input; ``apart`` keeps its errors out of its output. Nobody who is
    cancelled leaves it running.
    """
    process = await asyncio.create_subprocess_exec(
        *argv,
        stdin=PIPE if text else DEVNULL,
        stdout=PIPE,
        stderr=PIPE if apart else STDOUT,
        pass_fds=tuple(keep),
        env={**os.environ, "LC_ALL": "C"},
    )
    try:
        # not wait_for, which loses a cancellation that comes as the program ends
        async with asyncio.timeout(limit):
            output, errors = await process.communicate(text.encode() or None)
    except TimeoutError:
        raise CommandTimeout(argv[0], limit, await _kill(process)) from None
    except asyncio.CancelledError:
        await _kill(process)
        raise
    return Outcome(process.returncode or 0, _text(output), _text(errors))


async def _kill(process: Process) -> Process | None:
    """Kill a program; return it if it does not die."""
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
    try:
        async with asyncio.timeout(KILL_LIMIT):
            await process.wait()
    except TimeoutError:
        return process
    return None


def _text(said: bytes | None) -> str:
    return (said or b"").decode(errors="replace").strip()
