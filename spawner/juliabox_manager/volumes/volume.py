"""One volume: its lock, its one mount, and the sessions that it is bound to."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from asyncio.subprocess import Process
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import structlog

from juliabox_ext.errors import VolumeError
from juliabox_manager.volumes import mounts
from juliabox_manager.volumes.adoption import Plan
from juliabox_manager.volumes.places import Places
from juliabox_manager.volumes.threads import in_thread

log = structlog.get_logger(__name__)

#: Seconds for what a failed or cut-off step left to be undone.
RELEASE_LIMIT = 2.0


@dataclass
class Volume(ABC):
    """State of a volume in this process; every method is called with ``lock`` held."""

    name: str
    places: Places
    #: Whose it is; known once it is attached or adopted.
    owner: str = ""
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    #: Tasks that hold or await ``lock``.
    claims: int = 0
    #: Whether the volume is mounted at ``base``.
    mounted: bool = False
    sessions: dict[str, Path] = field(default_factory=dict)
    #: Places that could not be unbound in time.
    leaving: list[Path] = field(default_factory=list)
    stuck: bool = False
    #: A program that hangs in the kernel over this volume; no second one is started beside it.
    hung: Process | None = None

    @property
    def folder(self) -> Path:
        """Where the volume lies while it is in use."""
        return self.places.volumes / self.name

    @property
    def base(self) -> Path:
        """Where it is mounted."""
        return self.places.mounts / self.name

    @property
    def held(self) -> bool:
        """Whether something of it is in use beside its mounts in slots."""
        return self.mounted

    @property
    def keep(self) -> list[int]:
        """Descriptors that programs which work on the volume inherit."""
        return []

    @property
    def idle(self) -> bool:
        """Whether nothing of this volume is in use."""
        return not (self.sessions or self.leaving or self.stuck or self.held)

    @property
    def unsettled(self) -> bool:
        """Whether something is still to be undone."""
        return self.stuck or bool(self.leaving) or (not self.sessions and not self.idle)

    @abstractmethod
    async def open(self, owner: str, size: int) -> None:
        """Mount the volume at ``base``; make it first if the owner has none."""

    @abstractmethod
    async def release(self, limit: float) -> None:
        """Unmount it from ``base`` within ``limit`` seconds, or raise ``StuckError``."""

    async def bind(self, session: str, target: Path) -> None:
        """Show the mounted home to one more session."""
        try:
            await self.undo(target, RELEASE_LIMIT)  # what a start that was cut off left there
            await mounts.bind(self.base, target, keep=self.keep)
        except (VolumeError, mounts.StuckError) as error:
            if target not in self.leaving:
                self.leaving.append(target)
            raise VolumeError(f"the home cannot be shown at {target}: {error}") from error
        self.sessions[session] = target

    async def settle(self, limit: float) -> None:
        """Undo what no session uses, within ``limit`` seconds; what remains makes it stuck."""
        if self.hung is not None and self.hung.returncode is None:
            self.stuck = True
            return
        self.hung = None
        was_stuck, self.stuck = self.stuck, False
        try:
            for target in list(self.leaving):
                await self.undo(target, limit)
                self.leaving.remove(target)
            if not self.sessions:
                await self.release(limit)
        except mounts.StuckError as error:
            self.hung = error.process
            self.stuck = True
            if not was_stuck:
                log.error("volume stuck", volume=self.name, reason=str(error))

    async def undo(self, target: Path, limit: float, *, last: bool = False) -> None:
        """Unmount a place of this volume; nothing if nothing is mounted there."""
        await mounts.unmount(target, limit=limit, keep=self.keep, last=last)

    async def take_over(self, plan: Plan, limit: float) -> None:
        """Know again what sessions keep of a volume that an earlier manager left; undo the rest."""
        self.sessions = dict(plan.keep)
        self.leaving = list(dict.fromkeys(plan.undo))
        if plan.keep and not plan.based:
            await in_thread(self.base.mkdir, mode=0o755, parents=True, exist_ok=True)
            await mounts.bind(next(iter(plan.keep.values())), self.base, keep=[])
        self.mounted = plan.based or bool(plan.keep)
        await self.settle(limit)


def remove_folder(folder: Path) -> None:
    """Remove a mount point; one that another mount holds is left to adoption."""
    with suppress(OSError):
        folder.rmdir()
