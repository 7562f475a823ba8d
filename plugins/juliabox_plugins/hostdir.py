"""Homes in plain folders of the host, one a person: the plugin ``hostdir``.

::

    ROOT/<volume>/                                  a person's home, 0700, owned by uid 1000
    ROOT/.removed/<volume>-<time>/                  put aside, deleted after the grace period
    STATE/volumes/hostdir/owners/<volume>.json      whose it is
    STATE/volumes/hostdir/mounts/<volume>           bound from ROOT/<volume>, nodev and nosuid
    STATE/slots/<session>/juser                     bound from that, once for each session

There is no quota: all homes share the room of ROOT's file system. Nothing here opens a file inside
a home, and no symbolic link is followed on the way to one.
"""

from __future__ import annotations

import json
import os
import secrets
import stat
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, cast

from pydantic import AfterValidator

from juliabox_ext.errors import UnavailableError, VolumeError
from juliabox_ext.plugin import PluginSettings
from juliabox_ext.volume import Disk, JBoxVol
from juliabox_manager.protocol import SESSION_UID
from juliabox_manager.volumes import mounts, shelf
from juliabox_manager.volumes.adoption import Found
from juliabox_manager.volumes.kind import MountedVolumes
from juliabox_manager.volumes.places import Places
from juliabox_manager.volumes.threads import in_thread
from juliabox_manager.volumes.volume import RELEASE_LIMIT, Volume, remove_folder

_FOLDER = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def _absolute(path: Path) -> Path:
    if not path.is_absolute() or ".." in path.parts or len(path.parts) < 2:
        raise ValueError("must be an absolute path of a folder, without ..")
    return path


class HostdirSettings(PluginSettings):
    """Settings of the plugin ``hostdir``."""

    #: Folder of the homes; null: one in the state folder.
    root: Annotated[Path, AfterValidator(_absolute)] | None = None


@dataclass
class HostFolder(Volume):
    """One person's folder."""

    async def open(self, owner: str, size: int) -> None:
        """Bind the folder to ``base`` without devices and setuid; make it if it is missing."""
        await in_thread(self.places.check_room)
        descriptor = await in_thread(self._opened, owner)
        try:
            await in_thread(self.base.mkdir, mode=0o755, parents=True, exist_ok=True)
            await mounts.bind_folder(descriptor, self.base)
            self.mounted = True
        except BaseException:
            await self.settle(RELEASE_LIMIT)
            raise
        finally:
            os.close(descriptor)

    def _opened(self, owner: str) -> int:
        with opened(self.places.volumes) as root:
            descriptor = _open_or_make(root, self.name, owner)
        status = os.fstat(descriptor)
        if status.st_uid != SESSION_UID or status.st_gid != SESSION_UID:
            os.close(descriptor)
            raise VolumeError(
                f"the home of {owner!r} belongs to uid {status.st_uid}, gid {status.st_gid}; the "
                f"operator runs: chown -hR {SESSION_UID}:{SESSION_UID} {self.folder}",
                code="volume.foreign",
            )
        return descriptor

    async def release(self, limit: float) -> None:
        """Take the folder away from ``base``."""
        await self.undo(self.base, limit)
        self.mounted = False
        await in_thread(remove_folder, self.base)


def _open_or_make(root: int, name: str, owner: str) -> int:
    try:
        return os.open(name, _FOLDER, dir_fd=root)
    except FileNotFoundError:
        pass
    except OSError as error:
        raise VolumeError(
            f"the home of {owner!r} cannot be used: {name} is a link or no folder "
            f"({error.strerror}); the operator looks at who put it there",
            code="volume.foreign",
        ) from error
    half_made = f".new-{name}-{secrets.token_hex(4)}"
    os.mkdir(half_made, 0o700, dir_fd=root)
    try:
        os.chown(half_made, SESSION_UID, SESSION_UID, dir_fd=root, follow_symlinks=False)
        os.rename(half_made, name, src_dir_fd=root, dst_dir_fd=root)
    except OSError as error:
        with suppress(OSError):
            os.rmdir(half_made, dir_fd=root)
        raise VolumeError(
            f"the home of {owner!r} cannot be made: {error}; on a file server, see that it lets "
            "root change owners"
        ) from error
    return os.open(name, _FOLDER, dir_fd=root)


@contextmanager
def opened(root: Path) -> Iterator[int]:
    """Open the folder of all homes; raise ``UnavailableError`` if that is not what it must be."""
    try:
        descriptor = os.open(root, _FOLDER)
    except OSError as error:
        raise UnavailableError(
            f"the folder of homes {root} cannot be opened ({error.strerror}); see that it is there "
            "and mounted",
            code="volume.root",
        ) from error
    try:
        status = os.fstat(descriptor)
        if status.st_uid != 0 or status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            raise UnavailableError(
                f"the folder of homes {root} may be written by others than root; run: "
                f"chown root:root {root}; chmod 711 {root}",
                code="volume.root",
            )
        yield descriptor
    finally:
        os.close(descriptor)


class HostFolders(MountedVolumes[HostFolder]):
    """Homes without quota, in folders of the host."""

    provides = (JBoxVol.JBP_USERHOME,)
    Settings = HostdirSettings

    @cached_property
    def places(self) -> Places:
        """Where folders and mounts lie."""
        own = self.host.state / "volumes" / "hostdir"
        root = cast("HostdirSettings", self.context.settings).root or own / "homes"
        return Places(self.host, root, root / ".removed", own / "mounts")

    @property
    def _owners(self) -> Path:
        return self.host.state / "volumes" / "hostdir" / "owners"

    def _new(self, name: str) -> HostFolder:
        return HostFolder(name, self.places)

    def _prepare(self) -> None:
        """Make what is missing; refuse a root that is not the one that homes were made in."""
        self._owners.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.places.mounts.mkdir(mode=0o755, parents=True, exist_ok=True)
        if cast("HostdirSettings", self.context.settings).root is None:
            self.places.volumes.mkdir(mode=0o711, parents=True, exist_ok=True)
        self._check_root()
        self.places.removed.mkdir(mode=0o700, exist_ok=True)

    def _check_root(self) -> None:
        with opened(self.places.volumes) as root:
            try:
                os.close(os.open(".removed", _FOLDER, dir_fd=root))
            except FileNotFoundError:
                if not any(self._owners.iterdir()):
                    return  # the first time
            else:
                return
        raise UnavailableError(
            f"the folder of homes {self.places.volumes} is not the one that homes were made in: "
            "its file system is probably not mounted. Nobody gets an empty home instead",
            code="volume.root",
        )

    # -- looking --------------------------------------------------------------------------------

    def _recognizer(self) -> Mapping[tuple[int, int], str]:
        known = {}
        for folder in shelf.present_folders(self.places):
            with suppress(OSError):
                status = folder.lstat()
                known[status.st_dev, status.st_ino] = folder.name
        return known

    def _named(self, mount: mounts.Mount, known: Mapping[tuple[int, int], str]) -> str:
        if self.host.state.resolve() not in mount.target.parents:
            return ""
        try:
            status = mount.target.lstat()
        except OSError:
            return ""
        return known.get((status.st_dev, status.st_ino), "")

    async def _take_over_all(self, found: Found) -> None:
        # what else lies in slots may be another plugin's
        own = [place for place in found.strays if self.places.mounts in place.parents]
        await super()._take_over_all(Found(found.plans, own, found.missing))

    async def refresh_disk_use_status(
        self, container_id_list: Sequence[str] | None = None
    ) -> dict[str, Disk]:
        """Return the folders; what one takes is not known without looking into it."""
        asked = list(self._names) if container_id_list is None else container_id_list
        return {
            session: self._disk(volume)
            for session in asked
            if (volume := self._volumes.get(self._names.get(session, ""))) is not None
            and session in volume.sessions
        }

    def _read_all(self, owner: str | None) -> list[Disk]:
        return shelf.read_all(self.places, owner, self._read)

    def _read(self, folder: Path) -> Disk:
        """Describe a folder; the operator's own have no record before their first start."""
        put_aside = folder.parent == self.places.removed
        volume = shelf.volume_of(folder.name) if put_aside else folder.name
        return Disk(folder.name, self._owner_of(volume))

    def _owner_of(self, name: str) -> str:
        try:
            return str(json.loads((self._owners / f"{name}.json").read_text())["owner"])
        except (OSError, ValueError, KeyError, TypeError):
            return ""

    # -- changing -------------------------------------------------------------------------------

    async def _open(self, volume: HostFolder, owner: str, size: int) -> None:
        await in_thread(self._check_root)
        await in_thread(self._remember, volume.name, owner)
        await super()._open(volume, owner, size)

    def _remember(self, name: str, owner: str) -> None:
        place = self._owners / f"{name}.json"
        if not place.exists():
            half_made = place.with_suffix(".new")
            half_made.write_text(json.dumps({"owner": owner, "created": time.time()}))
            half_made.rename(place)

    async def _put_aside(self, volume: HostFolder) -> None:
        await in_thread(shelf.move_aside, self.places, volume.folder)

    def _take_back(self, volume: HostFolder, owner: str) -> Disk:
        shelf.take_back(self.places, volume.folder, owner)
        return Disk(volume.name, owner)

    def _delete_expired(self) -> list[str]:
        deleted = shelf.delete_expired(self.places)
        left = {folder.name for folder in shelf.present_folders(self.places)}
        left |= {shelf.volume_of(place.name) for place, _ in shelf.removed_folders(self.places)}
        for volume in {*map(shelf.volume_of, deleted)} - left:
            (self._owners / f"{volume}.json").unlink(missing_ok=True)
        return deleted

    def _tidy(self) -> None:
        for place in self.places.mounts.iterdir():
            remove_folder(place)
        for entry in self.places.volumes.iterdir():
            if entry.name.startswith(".new-"):
                remove_folder(entry)  # it is empty as long as it has that name
