"""How full file systems are, without ever waiting long for one that hangs."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

#: Seconds that measuring may take.
LIMIT: Final = 2.0


@dataclass(frozen=True)
class Room:
    """Bytes of a file system, and how many of them are in use."""

    size: int
    used: int


class Meter:
    """Measures file systems; one that hangs is asked no second time before it has answered."""

    def __init__(self) -> None:
        # threads of its own: one that hangs in the kernel must not keep a mount waiting
        self._threads = ThreadPoolExecutor(max_workers=4, thread_name_prefix="meter")
        self._asked: dict[Path, asyncio.Future[Room]] = {}

    async def measure(self, folders: Iterable[Path]) -> dict[Path, Room]:
        """Measure the file systems of folders; those that do not answer in time are left out."""
        loop = asyncio.get_running_loop()
        wanted = set(folders)
        for folder in wanted - set(self._asked):
            self._asked[folder] = loop.run_in_executor(self._threads, _measure, folder)
        if not wanted:
            return {}
        asked = {folder: self._asked[folder] for folder in wanted}
        done, _ = await asyncio.wait(asked.values(), timeout=LIMIT)
        for folder, future in asked.items():
            if future in done:
                self._asked.pop(folder, None)
        return {
            folder: future.result()
            for folder, future in asked.items()
            if future in done and future.exception() is None
        }


def _measure(folder: Path) -> Room:
    told = os.statvfs(folder)
    return Room(told.f_frsize * told.f_blocks, told.f_frsize * (told.f_blocks - told.f_bfree))
