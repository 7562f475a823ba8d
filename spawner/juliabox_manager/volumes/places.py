"""Where one kind of volume lies on the host."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from juliabox_ext.errors import NoRoomError
from juliabox_ext.volume import VolumeHost

_MIB = 1024**2


@dataclass(frozen=True)
class Places:
    """Folders of one kind of volume, and the rules of the machine."""

    host: VolumeHost
    #: One folder for each volume in use.
    volumes: Path
    #: Volumes that were put aside; on the same file system.
    removed: Path
    #: The one mount of each volume, from which sessions' are bound; below the state folder.
    mounts: Path

    @property
    def slots(self) -> Path:
        """Folder of the sessions' slots."""
        return self.host.state / "slots"

    def prepare(self) -> None:
        """Make the folders; only root looks into those of the volumes."""
        for folder in (self.volumes, self.removed):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.mounts.mkdir(mode=0o755, parents=True, exist_ok=True)

    def check_room(self) -> None:
        """Refuse to attach anything while the disk of the volumes is nearly full."""
        check_reserve(self.volumes if self.volumes.exists() else self.host.state, self.host.reserve)

    def used_percent(self) -> float:
        """Return the percentage of the room for volumes that is in use."""
        room = shutil.disk_usage(self.volumes)
        return 100.0 * (1.0 - room.free / room.total) if room.total else 0.0


def check_reserve(folder: Path, reserve: int) -> None:
    """Raise ``NoRoomError`` if less than ``reserve`` bytes are free for us where a folder lies."""
    free = shutil.disk_usage(folder).free
    if free < reserve:
        raise NoRoomError(
            f"{free // _MIB} MiB of disk are left on this instance and {reserve // _MIB} MiB are "
            "kept in reserve; have an operator free some",
            code="no_room.disk",
        )
