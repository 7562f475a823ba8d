"""Take over what a manager that was killed left mounted."""

from __future__ import annotations

import fcntl
import os
from dataclasses import dataclass, field
from pathlib import Path

import structlog

from juliabox_ext.errors import VolumeError
from juliabox_manager.settings import ManagerSettings
from juliabox_manager.volumes import disk, loops, mounts, shelf
from juliabox_manager.volumes.commands import in_thread
from juliabox_manager.volumes.names import volume_name
from juliabox_manager.volumes.volume import LOCK_LIMIT, Volume

log = structlog.get_logger(__name__)


@dataclass
class Plan:
    """What is mounted of one volume: its device, who keeps it, and what is to be undone."""

    device: int | None = None
    keep: dict[str, Path] = field(default_factory=dict)
    undo: list[Path] = field(default_factory=list)
    #: Whether the disk itself is mounted at its own place, and not only in slots.
    based: bool = False


@dataclass
class Found:
    """All plans, mounts that belong to no volume, and sessions whose home is not in place."""

    plans: dict[str, Plan] = field(default_factory=dict)
    strays: list[Path] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)

    @property
    def leftovers(self) -> bool:
        """Whether anything is mounted or bound that no session keeps."""
        return bool(self.strays) or any(plan.undo or not plan.keep for plan in self.plans.values())


async def survey(settings: ManagerSettings, mounted: dict[str, tuple[str, Path]]) -> Found:
    """Compare the mount table and the loop devices with what live sessions use."""
    state = settings.state.resolve()
    devices = await in_thread(_devices, settings)
    found = Found()
    for device, name in devices.items():
        found.plans.setdefault(name, Plan()).device = device
    wanted = {target: (session, owner) for session, (owner, target) in mounted.items()}
    seen: set[str] = set()
    for mount in await mounts.below(state):
        place = settings.state / mount.target.relative_to(state)
        folder = place.relative_to(settings.state).parts[0]
        if folder not in ("mounts", "slots"):
            continue
        name = devices.get(mount.loop, "") if mount.loop is not None else ""
        session, owner = wanted.get(place, ("", ""))
        if not name:
            found.strays.append(place)
        elif folder == "mounts":
            found.plans[name].based = place.name == name
            if place.name != name:
                found.strays.append(place)
        elif session and volume_name(owner) == name:
            found.plans[name].keep[session] = place
            seen.add(session)
        else:
            found.plans[name].undo.append(place)
    found.missing = sorted(set(mounted) - seen)
    return found


def _devices(settings: ManagerSettings) -> dict[int, str]:
    """Map each loop device that holds an image of this state folder to its volume's name."""
    images: dict[tuple[int, int], str] = {}
    for parent in (shelf.home_folder(settings), shelf.removed_folder(settings)):
        for folder in parent.iterdir() if parent.exists() else ():
            try:
                status = (folder / disk.IMAGE).stat()
            except OSError:
                continue
            images[status.st_dev, status.st_ino] = folder.name
    found = {number: loops.backing(number) for number in loops.bound_numbers()}
    return {
        number: images[backing]
        for number, backing in found.items()
        if backing is not None and backing in images
    }


async def take_over(volume: Volume, plan: Plan, limit: float) -> None:
    """Know again what sessions keep of a volume, and undo the rest; its device kept it locked.

    With the last mount the lock is gone too, unless a program that the killed manager started
    still works on the image: that one is awaited.
    """
    volume.device = plan.device
    if plan.device is not None:
        volume.identity = await in_thread(loops.backing, plan.device)
    volume.sessions = dict(plan.keep)
    volume.leaving = list(dict.fromkeys(plan.undo))
    if plan.keep and not plan.based:
        await in_thread(volume.base.mkdir, mode=0o755, parents=True, exist_ok=True)
        await mounts.bind(next(iter(plan.keep.values())), volume.base, keep=[])
    volume.mounted = plan.based or bool(plan.keep)
    await volume.settle(limit)
    if volume.idle:
        os.close(await disk.lock(volume.folder / disk.IMAGE, wait=LOCK_LIMIT))


async def await_programs(settings: ManagerSettings, bound: set[str]) -> None:
    """Wait for programs of the killed manager that still work on images without a device."""
    for folder in await in_thread(_locked, settings, bound):
        try:
            os.close(await disk.lock(folder / disk.IMAGE, wait=LOCK_LIMIT))
        except VolumeError as error:
            log.error("volume stays locked", volume=folder.name, reason=error.message)


def _locked(settings: ManagerSettings, bound: set[str]) -> list[Path]:
    """Return the volumes that are locked although no device is bound to them."""
    found = []
    for image in shelf.home_folder(settings).glob(f"*/{disk.IMAGE}"):
        if image.parent.name in bound or image.parent.name.startswith(disk.HALF_MADE):
            continue
        with image.open("rb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                found.append(image.parent)
    return found


async def undo_strays(places: list[Path], limit: float) -> None:
    """Undo mounts in the folders of mounts and slots that belong to no volume."""
    for place in dict.fromkeys(reversed(places)):
        try:
            await mounts.unmount(place, limit=limit)
        except mounts.StuckError as error:
            log.error("stray mount stays", reason=str(error))
