"""How a container ended whose worker was lost, as far as the manager knows it."""

from __future__ import annotations

import asyncio

from msgspec import Struct

from juliabox_ext.errors import JuliaBoxError
from juliabox_manager import protocol as p
from juliabox_services.api.machine import Machine

#: Seconds after which it is looked how a container ended.
_LOOKS = (0.05, 0.2, 0.4)
#: Exit codes of what somebody else ended: SIGKILL, SIGTERM, and what the engine says of containers
#: that were gone when it came back.
_FROM_OUTSIDE = frozenset({137, 143, 255})


class Fate(Struct, frozen=True):
    """What is known of an end."""

    #: The end of a sentence; empty if nothing is known.
    words: str = ""
    #: Whether it is certain that what ran in it ended it, and nobody outside.
    own: bool = False
    out_of_memory: bool = False


async def look(machine: Machine, container: str, memory: int) -> Fate:
    """Ask the manager a few times how a container of so many bytes of memory ended."""
    for pause in _LOOKS:
        await asyncio.sleep(pause)
        try:
            found = await machine.ending(container)
        except JuliaBoxError:
            break
        if found is not None:
            return _read(found, memory)
    return Fate()


def _read(found: p.ExitInfo, memory: int) -> Fate:
    if found.oom_killed:
        words = f"it ran out of its memory of {memory // 1024**2} MiB"
        return Fate(words, own=True, out_of_memory=True)
    if found.code in _FROM_OUTSIDE:
        return Fate(f"it was ended from outside (exit code {found.code})")
    return Fate(f"it ended with exit code {found.code}", own=True)
