"""A manager's work on one volume that is cut off by SIGKILL at a named point.

Run as a program: ``volume_steps.py STATE STEPS POINT``. ``STEPS`` are letters: attach, grow,
detach, remove. ``POINT`` is ``before:NAME``, ``after:NAME`` (a function of the package, as
``module.function``) or ``during:PROGRAM`` (an external program has just been started), with an
optional ``#N`` for its N-th time. The points are wrapped here; production code knows nothing of
them.
"""

from __future__ import annotations

import asyncio
import importlib
import inspect
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from juliabox_manager import programs
from support.state_folder import MIB, home_disks, slot

SIZE = 64 * MIB


class Countdown:
    """Kill this process at the N-th call."""

    def __init__(self, times: int) -> None:
        self.left = times

    def __call__(self) -> None:
        self.left -= 1
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGKILL)


def wrap(function: Callable[..., Any], when: str, kill: Countdown) -> Callable[..., Any]:
    """Return a function that dies before or after what it wraps."""
    if inspect.iscoroutinefunction(function):

        async def wrapped(*args: Any, **kwargs: Any) -> Any:
            if when == "before":
                kill()
            result = await function(*args, **kwargs)
            if when == "after":
                kill()
            return result

        return wrapped

    def wrapped_plain(*args: Any, **kwargs: Any) -> Any:
        if when == "before":
            kill()
        result = function(*args, **kwargs)
        if when == "after":
            kill()
        return result

    return wrapped_plain


def arm(point: str) -> None:
    """Prepare the point at which this process dies."""
    point, _, times = point.partition("#")
    when, _, name = point.partition(":")
    kill = Countdown(int(times or 1))
    if when == "during":
        start = asyncio.create_subprocess_exec

        async def started(*argv: str, **kwargs: Any) -> Any:
            process = await start(*argv, **kwargs)
            if argv[0] == name:
                kill()
            return process

        programs.asyncio.create_subprocess_exec = started  # type: ignore[attr-defined]
        return
    module_name, _, function = name.partition(".")
    module = importlib.import_module(f"juliabox_manager.volumes.{module_name}")
    setattr(module, function, wrap(getattr(module, function), when, kill))


async def work(state: Path, steps: str) -> None:
    """Do the steps; ``g`` attaches with a larger size."""
    volumes = home_disks(state)
    await volumes.adopt({})
    home = slot(state)
    for step in steps:
        if step in "ag":
            size = SIZE if step == "a" else 16 * SIZE
            await volumes.get_disk_for_user("ada", size, "0" * 16, home)
        elif step == "d":
            await volumes.release("0" * 16, home)
        else:
            await volumes.remove("ada")


if __name__ == "__main__":
    arm(sys.argv[3])
    asyncio.run(work(Path(sys.argv[1]), sys.argv[2]))
