"""Home volumes on disk images of fixed size: the built-in plugin ``home``.

::

    STATE/volumes/home/<volume>/disk.img    sparse ext4 image
    STATE/volumes/home/<volume>/meta.json   owner, size, quarantine
    STATE/volumes/removed/<volume>-<time>/  put aside, deleted after the grace period
    STATE/mounts/<volume>                   the one mount of an image
    STATE/slots/<session>/juser             bound from it, once for each session

An image is locked (flock) as long as it is mounted. Nothing here ever opens a file *inside* a
home: what must be prepared there is done by the session's entry program as the person's own uid.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import cached_property
from pathlib import Path
from typing import Annotated, cast

from pydantic import Field

from juliabox_ext.plugin import PluginSettings
from juliabox_ext.volume import Disk, JBoxVol
from juliabox_manager.volumes import adoption, mounts, shelf
from juliabox_manager.volumes.kind import MountedVolumes
from juliabox_manager.volumes.loop_volume import LoopVolume
from juliabox_manager.volumes.places import Places
from juliabox_manager.volumes.threads import in_thread


class HomeSettings(PluginSettings):
    """Settings of the plugin ``home``."""

    #: Files and folders that a new home can hold, per GiB.
    inodes_per_gib: Annotated[int, Field(ge=1024, le=1024**2)] = 65536


class HomeDisks(MountedVolumes[LoopVolume]):
    """Homes of fixed size."""

    provides = (JBoxVol.JBP_USERHOME, JBoxVol.JBP_USERHOME_LOCAL)
    Settings = HomeSettings

    @cached_property
    def places(self) -> Places:
        """Where images and mounts lie."""
        state = self.host.state
        return Places(
            host=self.host,
            volumes=state / "volumes" / "home",
            removed=state / "volumes" / "removed",
            mounts=state / "mounts",
        )

    def _new(self, name: str) -> LoopVolume:
        settings = cast("HomeSettings", self.context.settings)
        return LoopVolume(name, self.places, inodes_per_gib=settings.inodes_per_gib)

    def close(self) -> None:
        """Let go of the images; those that are mounted stay locked by their devices."""
        for volume in self._volumes.values():
            volume.let_go()

    def _recognizer(self) -> Mapping[int, str]:
        bound = adoption.loop_devices(self.places)
        return {device: one.volume for device, one in bound.items()}

    def _named(self, mount: mounts.Mount, known: Mapping[int, str]) -> str:
        return "" if mount.loop is None else known.get(mount.loop, "")

    async def _survey(
        self, mounted: Mapping[str, tuple[str, Path]], foreign: Collection[Path]
    ) -> adoption.Found:
        found = await super()._survey(mounted, foreign)
        devices = await in_thread(adoption.loop_devices, self.places)
        for device, bound in devices.items():
            plan = found.plans.setdefault(bound.volume, adoption.Plan())
            plan.device, plan.image = device, bound.image
        return found

    async def _await_others(self, found: adoption.Found) -> None:
        await adoption.await_programs(self.places, set(found.plans))

    def _read_all(self, owner: str | None) -> list[Disk]:
        return shelf.read_all(self.places, owner, shelf.read_one)

    async def _put_aside(self, volume: LoopVolume) -> None:
        await shelf.put_aside(self.places, volume.folder)

    def _take_back(self, volume: LoopVolume, owner: str) -> Disk:
        shelf.take_back(self.places, volume.folder, owner)
        shelf.sync(self.places)
        return shelf.read_one(volume.folder)

    def _delete_expired(self) -> list[str]:
        return shelf.delete_expired(self.places)

    def _tidy(self) -> None:
        shelf.tidy(self.places)
