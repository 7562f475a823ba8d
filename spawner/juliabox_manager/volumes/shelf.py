"""The folders of all volumes: in use and put aside."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import structlog

from juliabox_ext.errors import ConflictError, NotFoundError, VolumeError
from juliabox_manager.protocol import VolumeInfo
from juliabox_manager.settings import ManagerSettings
from juliabox_manager.volumes import disk
from juliabox_manager.volumes.commands import in_thread

log = structlog.get_logger(__name__)

#: A volume that was put aside: its name and the Unix time.
_REMOVED = re.compile(r"(?P<volume>[a-z0-9-]+-[0-9a-f]{24})-(?P<time>\d+)")


def home_folder(settings: ManagerSettings) -> Path:
    """Where the volumes in use lie."""
    return settings.state / "volumes" / "home"


def removed_folder(settings: ManagerSettings) -> Path:
    """Where the volumes that were put aside lie."""
    return settings.state / "volumes" / "removed"


def prepare(settings: ManagerSettings) -> None:
    """Make the folders; only root looks into those of the disks."""
    for folder in (home_folder(settings), removed_folder(settings)):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    (settings.state / "mounts").mkdir(mode=0o755, parents=True, exist_ok=True)


def tidy(settings: ManagerSettings) -> None:
    """Delete volumes whose making was cut off, and mount points that nothing is mounted on."""
    for place in (settings.state / "mounts").iterdir():
        with contextlib.suppress(OSError):  # busy: mounted
            place.rmdir()
    for folder in home_folder(settings).iterdir():
        if folder.name.startswith(disk.HALF_MADE):
            shutil.rmtree(folder, ignore_errors=True)
        elif folder.is_dir():
            (folder / f"{disk.HALF_MADE}{disk.META}").unlink(missing_ok=True)


def read_all(settings: ManagerSettings, owner: str | None) -> list[VolumeInfo]:
    """Describe the volumes of one owner or of all."""
    infos = [read_one(folder) for folder in _folders(home_folder(settings))]
    for folder in _folders(removed_folder(settings)):
        if match := _REMOVED.fullmatch(folder.name):
            expires = int(match["time"]) + settings.volume_grace
            info = read_one(folder)
            infos.append(msgspec.structs.replace(info, state="removed", delete_after=expires))
    return [info for info in infos if owner is None or info.owner == owner]


def read_one(folder: Path) -> VolumeInfo:
    """Describe a volume as it lies on disk; one that is not whole counts as quarantined."""
    try:
        meta = disk.read_meta(folder)
    except VolumeError:
        meta = disk.Meta(
            owner="", size=0, created=0, quarantine=disk.Quarantine("unreadable", 0, 0)
        )
    whole = meta.quarantine is None and (folder / disk.IMAGE).exists()
    return VolumeInfo(
        volume=folder.name,
        owner=meta.owner,
        kind="home",
        size=meta.size,
        allocated=disk.allocated(folder),
        sessions=[],
        state="idle" if whole else "quarantined",
    )


def in_use(info: VolumeInfo, sessions: list[str], *, stuck: bool, mounted: bool) -> VolumeInfo:
    """Complete a description with what this process knows."""
    state = "stuck" if stuck else "mounted" if mounted else info.state
    return msgspec.structs.replace(info, sessions=sessions, state=state)


async def put_aside(settings: ManagerSettings, folder: Path) -> None:
    """Move a volume that nobody uses to the removed ones."""
    image = folder / disk.IMAGE
    held = await disk.lock(image) if await in_thread(image.exists) else None
    try:
        await in_thread(_move_aside, folder, removed_folder(settings))
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


def take_back(settings: ManagerSettings, folder: Path, owner: str) -> None:
    """Move the newest volume that was put aside for an owner back to its place."""
    if folder.exists():
        raise ConflictError(f"{owner!r} has a home already; remove it before restoring another")
    ages = [
        (int(match["time"]), place)
        for place in _folders(removed_folder(settings))
        if (match := _REMOVED.fullmatch(place.name)) and match["volume"] == folder.name
    ]
    if not ages:
        raise NotFoundError(f"no home of {owner!r} was put aside; it may be past its grace period")
    max(ages)[1].rename(folder)
    disk.sync_folder(folder.parent)
    disk.sync_folder(removed_folder(settings))


def delete_expired(settings: ManagerSettings) -> None:
    """Delete the volumes whose grace period is over."""
    now = time.time()
    for folder in _folders(removed_folder(settings)):
        match = _REMOVED.fullmatch(folder.name)
        if match and int(match["time"]) + settings.volume_grace <= now:
            log.info("volume deleted", volume=folder.name)
            shutil.rmtree(folder, ignore_errors=True)


def _folders(parent: Path) -> Iterator[Path]:
    if parent.exists():
        for entry in sorted(parent.iterdir()):
            if entry.is_dir() and not entry.name.startswith(disk.HALF_MADE):
                yield entry
