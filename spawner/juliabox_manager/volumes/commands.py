"""Run external programs and file work without ever blocking the event loop."""

from __future__ import annotations

import asyncio
import os
from asyncio.subprocess import DEVNULL, PIPE, STDOUT, Process
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

#: Seconds that a killed program gets to disappear before it counts as hung in the kernel.
KILL_LIMIT = 1.0

# a pool of our own: a slow engine in the default pool must not delay a mount
_threads = ThreadPoolExecutor(max_workers=8, thread_name_prefix="volumes")


@dataclass(frozen=True)
class Outcome:
    """Exit code and combined output of a program that ended."""

    code: int
    output: str


class CommandTimeout(Exception):
    """A program did not end within its limit.

    ``process`` is set if it did not even die from SIGKILL: it hangs in the kernel and goes on
    holding what it holds, until the kernel lets it go.
    """

    def __init__(self, program: str, limit: float, process: Process | None) -> None:
        super().__init__(f"{program} did not end within {limit:g} s")
        self.process = process


async def run(
    argv: Sequence[str], *, limit: float, keep: Sequence[int] = (), text: str = ""
) -> Outcome:
    """Run a program to its end; raise :class:`CommandTimeout` after ``limit`` seconds.

    ``keep`` lists file descriptors that the program inherits: with an image's lock among them, the
    image stays locked until the program has ended, even if the manager is killed meanwhile.
    ``text`` is its standard input.
    """
    process = await asyncio.create_subprocess_exec(
        *argv,
        stdin=PIPE if text else DEVNULL,
        stdout=PIPE,
        stderr=STDOUT,
        pass_fds=tuple(keep),
        env={**os.environ, "LC_ALL": "C"},
    )
    try:
        output, _ = await asyncio.wait_for(process.communicate(text.encode() or None), limit)
    except TimeoutError:
        raise CommandTimeout(argv[0], limit, await _kill(process)) from None
    return Outcome(process.returncode or 0, output.decode(errors="replace").strip())


async def _kill(process: Process) -> Process | None:
    if process.returncode is None:
        process.kill()
    try:
        await asyncio.wait_for(process.wait(), KILL_LIMIT)
    except TimeoutError:
        return process
    return None


async def in_thread(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Run blocking file work in a thread of the volumes' own pool."""
    loop = asyncio.get_running_loop()
    return await loop.run_in_executor(_threads, lambda: function(*args, **kwargs))
