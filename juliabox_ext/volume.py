"""Mount point ``juliabox.volume``: disks that the container manager attaches to containers.

Loaded by the manager alone. Methods are coroutines on the manager's event loop: they must not
block it, and what they do to a disk goes on to its end although the caller is cancelled.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from juliabox_ext.plugin import Plugin


@dataclass(frozen=True)
class Disk:
    """A disk: ``id`` is unique within its plugin, ``mount`` its place on the host, if mounted."""

    id: str
    #: Empty if it cannot be told any more.
    user_id: str
    #: Size and use in bytes; 0 for no bound, and None while unknown.
    size: int = 0
    used: int | None = None
    #: Bytes that it takes on the host; None while unknown.
    allocated: int | None = None
    mount: Path | None = None
    #: Sessions that have it.
    sessions: Sequence[str] = ()
    state: Literal["idle", "mounted", "stuck", "quarantined", "removed"] = "idle"
    #: Unix time after which a removed disk is deleted; 0 otherwise.
    delete_after: float = 0.0


@dataclass(frozen=True)
class VolumeHost:
    """What the manager tells its volume plugins of the machine."""

    #: State folder: a shared mount. What is mounted at a target below it appears in the container.
    state: Path
    #: Seconds before a removed disk is deleted.
    grace: float = 7 * 86400.0
    #: Bytes that must stay free where disks lie; with less, nothing is attached (``NoRoomError``).
    reserve: int = 0


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
    use elsewhere or stuck, ``NoRoomError``, ``UnavailableError``, ``ConflictError``.

    The manager gives each method a time limit, and runs the coroutines of a plugin on an event
    loop that no other plugin shares, in a thread of its own: one that hangs or blocks keeps nobody
    waiting but those who want its disks. What escapes beside the errors above is reported as a
    ``PluginError`` that names the plugin.
    """

    #: The machine; set before any coroutine is called.
    host: VolumeHost

    @abstractmethod
    async def get_disk_for_user(
        self, user_id: str, size: int, container_id: str, target: Path
    ) -> Disk:
        """Attach a person's disk at ``target``; make it, or grow it to ``size`` bytes, first.

        ``target`` is an empty folder in the container's slot. Repeating it is harmless. After an
        error nothing stays attached for this container; after a cancellation :meth:`release` is
        called. Containers of one person share the disk.
        """

    @abstractmethod
    async def get_disk_from_container(self, cid: str) -> Disk | None:
        """Return the disk that is attached to a container, if any."""

    @abstractmethod
    def is_mount_path(self, fs_path: Path) -> bool:
        """Return whether a path of the host lies on a mounted disk of this plugin.

        Called in a thread, also before :meth:`adopt`: it asks the kernel, not the plugin's memory.
        """

    @abstractmethod
    async def refresh_disk_use_status(
        self, container_id_list: Sequence[str] | None = None
    ) -> dict[str, Disk]:
        """Measure the disks of containers, of all if none are named; return them by container.

        A container that has no disk here is left out, and so is a disk that does not answer. Asked
        every few seconds: nothing inside a disk is opened.
        """

    @abstractmethod
    def disk_ids_used_pct(self) -> float:
        """Return the percentage of disks, or of the room for them, that is in use.

        Called in a thread.
        """

    async def refresh_user_home_image(self) -> None:
        """Renew disks that were made ahead after the home's image changed; nothing by default."""

    @abstractmethod
    async def release(self, container_id: str, target: Path, backup: bool = False) -> None:
        """Detach a container's disk from ``target``; nothing if it has none.

        Returns when it is done, or when it could not be done in time: the disk is then ``stuck``
        until a later call succeeds, :meth:`purge` at the latest. ``backup=True`` asks for a backup
        of the contents to the bucket store, by plugins that make one.
        """

    @abstractmethod
    async def adopt(
        self, mounted: Mapping[str, tuple[str, Path]], foreign: Collection[Path] = ()
    ) -> list[str]:
        """Take over what an earlier manager left: container -> person and target.

        Called once before anything else, or once more if another part failed. Undo all attachments
        of this plugin that are not listed; leave alone what is at the ``foreign`` targets, which
        are other plugins'. Return the containers that have lost their disk.
        """

    @abstractmethod
    async def disks(self, user_id: str | None = None) -> list[Disk]:
        """Return the disks of a person or of all, mounted or not, the removed ones too."""

    @abstractmethod
    async def remove(self, user_id: str) -> None:
        """Put a person's disk aside, to be deleted after the grace period; nothing without one.

        Raise ``ConflictError`` while a container has it.
        """

    @abstractmethod
    async def restore(self, user_id: str) -> Disk:
        """Bring back the newest disk that was put aside for a person.

        Raise ``NotFoundError`` if there is none, ``ConflictError`` if the person has a new one.
        """

    @abstractmethod
    async def purge(self) -> list[str]:
        """Delete disks whose grace period is over; try again to free what is stuck.

        Called about every minute. Return the identifiers of what was deleted.
        """

    async def finish(self) -> None:
        """Wait for the changes under way: the manager ends. What is attached stays so."""


JBoxVol.functionalities = {
    JBoxVol.JBP_USERHOME: Volumes,
    JBoxVol.JBP_USERHOME_LOCAL: Volumes,
    JBoxVol.JBP_USERHOME_EBS: Volumes,
    JBoxVol.JBP_DATA: Volumes,
    JBoxVol.JBP_DATA_EBS: Volumes,
    JBoxVol.JBP_PKGBUNDLE: Volumes,
    JBoxVol.JBP_CONFIG: Volumes,
}
