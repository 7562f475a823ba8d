"""The folders of volumes: in use, and put aside until their grace period is over."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import structlog

from juliabox_ext.errors import ConflictError, NotFoundError, VolumeError
from juliabox_ext.volume import Disk
from juliabox_manager.volumes import disk
from juliabox_manager.volumes.names import volume_name
from juliabox_manager.volumes.places import Places
from juliabox_manager.volumes.threads import in_thread

log = structlog.get_logger(__name__)

_VOLUME = re.compile(r"[a-z0-9-]+-[0-9a-f]{24}")
#: A volume that was put aside: its name and the Unix time.
_REMOVED = re.compile(rf"{_VOLUME.pattern}-\d{{1,12}}")

#: Prefix of a folder that is being deleted.
_DELETED = ".deleted-"

#: Times that all volumes are read if one is moved each time.
_READINGS = 3


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


def read_all(places: Places, owner: str | None, read: Callable[[Path], Disk]) -> list[Disk]:
    """Describe the volumes of one owner or of all, each once; ``read`` describes one folder.

    All are read anew if one was put aside, restored or deleted meanwhile.
    """
    for _ in range(_READINGS):
        present, removed = lying = _lying(places, owner)
        found = [read(folder) for folder in present]
        for folder, since in removed:
            expires = since + places.host.grace
            found.append(replace(read(folder), state="removed", delete_after=expires))
        if _lying(places, owner) == lying:
            break
    # what cannot be told any more is told by its name
    return [replace(one, user_id=one.user_id or owner or "") for one in found]


def _lying(places: Places, owner: str | None) -> tuple[list[Path], list[tuple[Path, int]]]:
    name = None if owner is None else volume_name(owner)
    return (
        [one for one in present_folders(places) if name in (None, one.name)],
        [one for one in removed_folders(places) if name in (None, volume_of(one[0].name))],
    )


def present_folders(places: Places) -> list[Path]:
    """Return the folders of volumes that were not put aside."""
    return _folders(places.volumes, _VOLUME)


def removed_folders(places: Places) -> Iterator[tuple[Path, int]]:
    """Give the folders that were put aside, and when."""
    for folder in _folders(places.removed, _REMOVED):
        yield folder, int(folder.name.rpartition("-")[2])


def volume_of(removed: str) -> str:
    """Return the name that a folder had before it was put aside."""
    return removed.rpartition("-")[0]


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
        await in_thread(_move_aside, places, folder)
    finally:
        if held is not None:
            fcntl.flock(held, fcntl.LOCK_UN)
            os.close(held)


def _move_aside(places: Places, folder: Path) -> None:
    places.removed.mkdir(mode=0o700, parents=True, exist_ok=True)
    move_aside(places, folder)
    sync(places)


def move_aside(places: Places, folder: Path) -> None:
    """Move a volume's folder to the removed ones."""
    stamp = int(time.time())
    while (place := places.removed / f"{folder.name}-{stamp}").exists():
        stamp += 1
    folder.rename(place)


def take_back(places: Places, folder: Path, owner: str) -> None:
    """Move the newest volume that was put aside for an owner back to its place."""
    if folder.exists():
        raise ConflictError(f"{owner!r} has a home already; remove it before restoring another")
    found = removed_folders(places)
    ages = [(since, place) for place, since in found if volume_of(place.name) == folder.name]
    try:
        max(ages)[1].rename(folder)
    except (ValueError, FileNotFoundError):  # there is none, or it is deleted at this moment
        raise NotFoundError(
            f"no home of {owner!r} was put aside; it may be past its grace period"
        ) from None


def sync(places: Places) -> None:
    """Make moves to and from the removed ones durable."""
    disk.sync_folder(places.removed)
    disk.sync_folder(places.volumes)


def delete_expired(places: Places) -> list[str]:
    """Delete the volumes whose grace period is over; return their folders' names.

    Each gets a hidden name first: whoever restores it at that moment has it whole, or not at all.
    """
    now = time.time()
    expired = [one for one, since in removed_folders(places) if since + places.host.grace <= now]
    for folder in expired:
        try:
            folder.rename(places.removed / f"{_DELETED}{folder.name}")
        except FileNotFoundError:
            continue  # it was restored
        except OSError as error:
            log.error("a removed volume cannot be deleted", folder=str(folder), reason=str(error))
    deleted = []
    for folder in places.removed.glob(f"{_DELETED}*"):  # a killed manager's as well
        shutil.rmtree(folder, ignore_errors=True)
        if folder.exists():
            log.error("a removed volume cannot be deleted", folder=str(folder))
        else:
            deleted.append(folder.name.removeprefix(_DELETED))
            log.info("volume deleted", volume=deleted[-1])
    return deleted


def _folders(parent: Path, name: re.Pattern[str]) -> list[Path]:
    """Return the folders of a name's form, sorted; anything else in there is not ours."""
    try:
        with os.scandir(parent) as entries:
            return sorted(
                Path(entry.path)
                for entry in entries
                if name.fullmatch(entry.name) and entry.is_dir(follow_symlinks=False)
            )
    except OSError:
        return []
