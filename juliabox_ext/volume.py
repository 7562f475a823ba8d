"""Mount point ``juliabox.volume``: disks that the container manager attaches to containers.

Loaded by the manager alone. Methods are coroutines on the manager's event loop: they must not
block it, and what they do to a disk goes on to its end although the caller is cancelled.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from juliabox_ext.plugin import Plugin


@dataclass(frozen=True)
class Disk:
    """A disk: ``id`` is unique within its plugin, ``mount`` its place on the host, if mounted."""

    id: str
    user_id: str
    #: Size and use in bytes; 0 for no bound, and None while unknown.
    size: int = 0
    used: int | None = None
    mount: Path | None = None
    #: Sessions that have it.
    sessions: Sequence[str] = ()
    state: Literal["idle", "mounted", "stuck", "quarantined", "removed"] = "idle"


class JBoxVol(Plugin):
    """Kinds of volumes."""

    JBP_USERHOME = "vol.home"
    JBP_USERHOME_LOCAL = "vol.home.local"
    JBP_USERHOME_EBS = "vol.home.ebs"
    JBP_DATA = "vol.data"
    JBP_DATA_EBS = "vol.data.ebs"
    JBP_PKGBUNDLE = "vol.package"
    JBP_CONFIG = "vol.config"


class Volumes(JBoxVol):
    """One kind of volume (any feature of the mount point).

    ``container_id`` is a session's name of 16 hexadecimal digits: the manager's own name of a
    container, which outlives the engine's. Errors: ``VolumeError`` for a disk that is damaged, in
    use elsewhere or stuck, ``NoRoomError``, ``UnavailableError``.
    """

    @abstractmethod
    async def get_disk_for_user(
        self, user_id: str, size: int, container_id: str, target: Path
    ) -> Disk:
        """Attach a person's disk at ``target``; make it, or grow it to ``size`` bytes, first.

        ``target`` is an empty folder in the container's slot. Repeating it is harmless. After an
        error nothing stays attached for this container.
        """

    @abstractmethod
    async def get_disk_from_container(self, cid: str) -> Disk | None:
        """Return the disk that is attached to a container, if any."""

    @abstractmethod
    def is_mount_path(self, fs_path: Path) -> bool:
        """Return whether a path of the host belongs to a disk of this plugin."""

    @abstractmethod
    async def refresh_disk_use_status(
        self, container_id_list: Sequence[str] | None = None
    ) -> dict[str, Disk]:
        """Measure the disks of containers, of all if none are named; return them by container."""

    @abstractmethod
    def disk_ids_used_pct(self) -> float:
        """Return the percentage of disks, or of the room for them, that is in use."""

    async def refresh_user_home_image(self) -> None:
        """Renew disks that were made ahead after the home's image changed; nothing by default."""

    @abstractmethod
    async def release(self, container_id: str, target: Path, backup: bool = False) -> None:
        """Detach a container's disk from ``target``; nothing if it has none.

        ``backup=True`` asks for a backup of the contents to the bucket store, by plugins that
        make one.
        """

    @abstractmethod
    async def adopt(self, mounted: Mapping[str, tuple[str, Path]]) -> list[str]:
        """Take over what an earlier manager left: container -> person and target.

        Called once before anything else. Undo all attachments that are not listed; return the
        containers that have lost their disk.
        """

    @abstractmethod
    async def disks(self, user_id: str | None = None) -> list[Disk]:
        """Return the disks of a person or of all, mounted or not."""

    @abstractmethod
    async def remove(self, user_id: str) -> None:
        """Put a person's disk aside, to be deleted after the grace period."""

    @abstractmethod
    async def restore(self, user_id: str) -> Disk:
        """Bring back the newest disk that was put aside for a person."""

    @abstractmethod
    async def purge(self) -> list[str]:
        """Delete disks whose grace period is over; return their identifiers."""


JBoxVol.functionalities = {
    JBoxVol.JBP_USERHOME: Volumes,
    JBoxVol.JBP_USERHOME_LOCAL: Volumes,
    JBoxVol.JBP_USERHOME_EBS: Volumes,
    JBoxVol.JBP_DATA: Volumes,
    JBoxVol.JBP_DATA_EBS: Volumes,
    JBoxVol.JBP_PKGBUNDLE: Volumes,
    JBoxVol.JBP_CONFIG: Volumes,
}
