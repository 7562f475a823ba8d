"""Take over what a manager that was killed left mounted."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import structlog

from juliabox_ext.errors import VolumeError
from juliabox_manager.volumes import disk, loops, mounts
from juliabox_manager.volumes.names import volume_name
from juliabox_manager.volumes.places import Places
from juliabox_manager.volumes.threads import in_thread

log = structlog.get_logger(__name__)

#: Seconds that adoption waits for an image's lock: a program that the killed manager started may
#: still run.
LOCK_LIMIT = 10.0


@dataclass
class Plan:
    """What is mounted of one volume: its device, who keeps it, and what is to be undone."""

    device: int | None = None
    #: Device and inode of the image that it is bound to.
    image: tuple[int, int] | None = None
    keep: dict[str, Path] = field(default_factory=dict)
    undo: list[Path] = field(default_factory=list)
    #: Whether the disk itself is mounted at its own place, and not only in slots.
    based: bool = False


@dataclass(frozen=True)
class Bound:
    """An image of these places that a loop device is bound to."""

    volume: str
    #: Device and inode of its file.
    image: tuple[int, int]


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


async def survey(
    places: Places,
    mounted: Mapping[str, tuple[str, Path]],
    foreign: Collection[Path],
    named: Callable[[mounts.Mount], str],
) -> Found:
    """Compare the mount table with what live sessions use.

    ``named`` tells which volume a mount shows; empty if none of this kind.
    """
    state = places.host.state.resolve()
    base = state / places.mounts.relative_to(places.host.state)
    slots = state / places.slots.relative_to(places.host.state)
    found = Found()
    wanted = {target: (session, owner) for session, (owner, target) in mounted.items()}
    seen: set[str] = set()
    for mount in await mounts.below(state):
        place = places.host.state / mount.target.relative_to(state)
        in_slots = slots in mount.target.parents
        if place in foreign or not (in_slots or base in mount.target.parents):
            continue
        name = await in_thread(named, mount)
        session, owner = wanted.get(place, ("", ""))
        if not name:
            found.strays.append(place)
            continue
        plan = found.plans.setdefault(name, Plan())
        if not in_slots:
            plan.based = place.name == name
            if place.name != name:
                found.strays.append(place)
        elif session and volume_name(owner) == name:
            plan.keep[session] = place
            seen.add(session)
        else:
            plan.undo.append(place)
    found.missing = sorted(set(mounted) - seen)
    return found


def loop_devices(places: Places) -> dict[int, Bound]:
    """Map each loop device that is bound to an image of these places to that."""
    images: dict[tuple[int, int], str] = {}
    for parent in (places.volumes, places.removed):
        for folder in parent.iterdir() if parent.exists() else ():
            try:
                status = (folder / disk.IMAGE).stat()
            except OSError:
                continue
            images[status.st_dev, status.st_ino] = folder.name
    found = {number: loops.backing(number) for number in loops.bound_numbers()}
    return {
        number: Bound(images[backing], backing)
        for number, backing in found.items()
        if backing is not None and backing in images
    }


async def await_programs(places: Places, bound: set[str]) -> None:
    """Wait for programs of the killed manager that still work on images without a device."""
    for folder in await in_thread(_locked, places, bound):
        try:
            os.close(await disk.lock(folder / disk.IMAGE, wait=LOCK_LIMIT))
        except VolumeError as error:
            log.error("volume stays locked", volume=folder.name, reason=error.message)


def _locked(places: Places, bound: set[str]) -> list[Path]:
    """Return the volumes that are locked although no device is bound to them."""
    found = []
    for image in places.volumes.glob(f"*/{disk.IMAGE}"):
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
