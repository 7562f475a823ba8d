"""The folders of all volumes: in use and put aside."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import shutil
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import structlog

from juliabox_ext.errors import ConflictError, NotFoundError, VolumeError
from juliabox_ext.volume import Disk
from juliabox_manager.volumes import disk
from juliabox_manager.volumes.commands import in_thread
from juliabox_manager.volumes.names import volume_name
from juliabox_manager.volumes.places import Places

log = structlog.get_logger(__name__)

#: A volume that was put aside: its name and the Unix time.
_REMOVED = re.compile(r"(?P<volume>[a-z0-9-]+-[0-9a-f]{24})-(?P<time>\d+)")


def tidy(places: Places) -> None:
    """Delete volumes whose making was cut off, and mount points that nothing is mounted on."""
    for place in places.mounts.iterdir():
        with contextlib.suppress(OSError):  # busy: mounted
            place.rmdir()
    for folder in places.volumes.iterdir():
        if folder.name.startswith(disk.HALF_MADE):
            shutil.rmtree(folder, ignore_errors=True)
        elif folder.is_dir():
            (folder / f"{disk.HALF_MADE}{disk.META}").unlink(missing_ok=True)


def read_all(places: Places, owner: str | None) -> list[Disk]:
    """Describe the volumes of one owner or of all."""
    name = None if owner is None else volume_name(owner)
    found = [read_one(folder) for folder in folders(places.volumes) if name in (None, folder.name)]
    for folder, removed in removed_folders(places):
        if name in (None, folder.name.rpartition("-")[0]):
            expires = removed + places.host.grace
            found.append(replace(read_one(folder), state="removed", delete_after=expires))
    # what cannot be told any more is told by its name
    return [replace(one, user_id=one.user_id or owner or "") for one in found]


def removed_folders(places: Places) -> Iterator[tuple[Path, int]]:
    """Give the folders that were put aside, and when."""
    for folder in folders(places.removed):
        if match := _REMOVED.fullmatch(folder.name):
            yield folder, int(match["time"])


def read_one(folder: Path) -> Disk:
    """Describe a volume as it lies on disk; one that is not whole counts as quarantined."""
    try:
        meta = disk.read_meta(folder)
    except VolumeError:
        meta = disk.Meta(
            owner="", size=0, created=0, quarantine=disk.Quarantine("unreadable", 0, 0)
        )
    whole = meta.quarantine is None and (folder / disk.IMAGE).exists()
    return Disk(
        id=folder.name,
        user_id=meta.owner,
        size=meta.size,
        allocated=disk.allocated(folder),
        state="idle" if whole else "quarantined",
    )


async def put_aside(places: Places, folder: Path) -> None:
    """Move a disk image that nobody uses to the removed ones."""
    image = folder / disk.IMAGE
    held = await disk.lock(image) if await in_thread(image.exists) else None
    try:
        await in_thread(_move_aside, folder, places.removed)
    finally:
        if held is not None:
            fcntl.flock(held, fcntl.LOCK_UN)
            os.close(held)


def _move_aside(folder: Path, removed: Path) -> None:
    removed.mkdir(mode=0o700, parents=True, exist_ok=True)
    stamp = int(time.time())
    while (place := removed / f"{folder.name}-{stamp}").exists():
        stamp += 1
    folder.rename(place)
    disk.sync_folder(removed)
    disk.sync_folder(folder.parent)


def take_back(places: Places, folder: Path, owner: str) -> None:
    """Move the newest volume that was put aside for an owner back to its place."""
    if folder.exists():
        raise ConflictError(f"{owner!r} has a home already; remove it before restoring another")
    ages = [
        (removed, place)
        for place, removed in removed_folders(places)
        if place.name.rpartition("-")[0] == folder.name
    ]
    if not ages:
        raise NotFoundError(f"no home of {owner!r} was put aside; it may be past its grace period")
    max(ages)[1].rename(folder)
    disk.sync_folder(folder.parent)
    disk.sync_folder(places.removed)


def delete_expired(places: Places) -> list[str]:
    """Delete the volumes whose grace period is over; return their folders' names."""
    now = time.time()
    deleted = []
    for folder, removed in removed_folders(places):
        if removed + places.host.grace <= now:
            log.info("volume deleted", volume=folder.name)
            shutil.rmtree(folder, ignore_errors=True)
            deleted.append(folder.name)
    return deleted


def folders(parent: Path) -> Iterator[Path]:
    """Give the folders of whole volumes, by name."""
    if parent.exists():
        for entry in sorted(parent.iterdir()):
            if entry.is_dir() and not entry.is_symlink() and entry.name[0] != ".":
                yield entry
