"""Volumes in memory that keep the contract: for tests of what uses volumes.

Nothing is mounted: what a person would write at a target stands in :attr:`FakeVolumes.contents`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from juliabox_ext.errors import ConflictError, JuliaBoxError, NoRoomError, NotFoundError
from juliabox_ext.plugin import PluginContext
from juliabox_ext.volume import Disk, JBoxVol, VolumeHost, Volumes

#: Bytes that the fake machine has.
ROOM = 2**40


@dataclass
class _FakeDisk:
    """A disk that somebody has or that was put aside: its description and its files."""

    disk: Disk
    files: dict[str, str] = field(default_factory=dict)
    removed: float = 0.0


@dataclass
class FakeMachine:
    """What outlives the manager: disks, and which target shows which."""

    disks: dict[str, _FakeDisk] = field(default_factory=dict)
    removed: list[_FakeDisk] = field(default_factory=list)
    shown: dict[Path, str] = field(default_factory=dict)


class FakeVolumes(Volumes):
    """Keeps disks in memory. Set ``fault`` to an error, and every coroutine raises it."""

    provides = (JBoxVol.JBP_USERHOME,)

    def __init__(
        self, machine: FakeMachine, host: VolumeHost, context: PluginContext | None = None
    ) -> None:
        super().__init__(context or PluginContext("fake"))
        self.machine = machine
        self.host = host
        self.fault: JuliaBoxError | None = None
        self._targets: dict[str, Path] = {}

    def contents(self, target: Path) -> dict[str, str]:
        """Return the files that one sees at a target; empty if nothing is attached there."""
        owner = self.machine.shown.get(target)
        return {} if owner is None else self.machine.disks[owner].files

    async def _turn(self) -> None:
        await asyncio.sleep(0)
        if self.fault is not None:
            raise self.fault

    async def get_disk_for_user(
        self, user_id: str, size: int, container_id: str, target: Path
    ) -> Disk:
        """Attach a person's disk."""
        await self._turn()
        if self._targets.get(container_id, target) != target:
            raise ConflictError(f"{container_id} has its disk at another place already")
        if self.host.reserve > ROOM:
            raise NoRoomError("the fake machine is full", code="no_room.disk")
        made = self.machine.disks.setdefault(user_id, _FakeDisk(Disk(user_id, user_id)))
        made.disk = replace(made.disk, size=max(size, made.disk.size))
        self.machine.shown[target] = user_id
        self._targets[container_id] = target
        return self._described(user_id)

    def _described(self, user_id: str) -> Disk:
        sessions = sorted(
            name
            for name, place in self._targets.items()
            if self.machine.shown.get(place) == user_id
        )
        made = self.machine.disks[user_id]
        return replace(
            made.disk,
            used=sum(map(len, made.files.values())),
            sessions=sessions,
            state="mounted" if sessions else "idle",
        )

    async def get_disk_from_container(self, cid: str) -> Disk | None:
        """Return a container's disk."""
        owner = self.machine.shown.get(self._targets.get(cid, Path()))
        return None if owner is None else self._described(owner)

    def is_mount_path(self, fs_path: Path) -> bool:
        """Return whether something is attached there."""
        return any(target in (fs_path, *fs_path.parents) for target in self.machine.shown)

    async def refresh_disk_use_status(
        self, container_id_list: Sequence[str] | None = None
    ) -> dict[str, Disk]:
        """Return the disks of containers."""
        await self._turn()
        asked = list(self._targets) if container_id_list is None else container_id_list
        found = {name: await self.get_disk_from_container(name) for name in asked}
        return {name: disk for name, disk in found.items() if disk is not None}

    def disk_ids_used_pct(self) -> float:
        """Return the share of disks that are attached."""
        disks = len(self.machine.disks)
        return 100.0 * len(set(self.machine.shown.values())) / disks if disks else 0.0

    async def release(self, container_id: str, target: Path, backup: bool = False) -> None:
        """Detach a container's disk."""
        await self._turn()
        if self._targets.get(container_id) == target:
            self.machine.shown.pop(target, None)
            del self._targets[container_id]

    async def adopt(
        self, mounted: Mapping[str, tuple[str, Path]], foreign: Collection[Path] = ()
    ) -> list[str]:
        """Take over what is shown where it is listed."""
        await self._turn()
        kept = {place: owner for owner, place in mounted.values()}
        shown = self.machine.shown
        for place in [place for place in shown if place not in foreign]:
            if kept.get(place) != shown[place]:
                del shown[place]
        self._targets = {name: place for name, (_, place) in mounted.items() if place in shown}
        return sorted(set(mounted) - set(self._targets))

    async def disks(self, user_id: str | None = None) -> list[Disk]:
        """Return all disks."""
        await self._turn()
        found = [self._described(owner) for owner in self.machine.disks]
        found += [
            replace(one.disk, state="removed", delete_after=one.removed + self.host.grace)
            for one in self.machine.removed
        ]
        return [disk for disk in found if user_id in (None, disk.user_id)]

    async def remove(self, user_id: str) -> None:
        """Put a disk aside."""
        await self._turn()
        if user_id in self.machine.shown.values():
            raise ConflictError(f"the disk of {user_id} is in use")
        if user_id in self.machine.disks:
            aside = self.machine.disks.pop(user_id)
            aside.removed = time.time()
            self.machine.removed.append(aside)

    async def restore(self, user_id: str) -> Disk:
        """Bring the newest back."""
        await self._turn()
        if user_id in self.machine.disks:
            raise ConflictError(f"{user_id} has a disk already")
        aside = [one for one in self.machine.removed if one.disk.user_id == user_id]
        if not aside:
            raise NotFoundError(f"no disk of {user_id} was put aside")
        self.machine.removed.remove(aside[-1])
        self.machine.disks[user_id] = aside[-1]
        return self._described(user_id)

    async def purge(self) -> list[str]:
        """Forget what is past its grace period."""
        await self._turn()
        now = time.time()
        gone = [one for one in self.machine.removed if one.removed + self.host.grace <= now]
        self.machine.removed = [one for one in self.machine.removed if one not in gone]
        return [one.disk.id for one in gone]
