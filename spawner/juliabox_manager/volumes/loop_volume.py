"""A home volume: a disk image, its lock, its loop device, and its mount."""

from __future__ import annotations

import asyncio
import os
from contextlib import suppress
from dataclasses import dataclass

import msgspec
import structlog

from juliabox_ext.errors import JuliaBoxError, UnavailableError, VolumeError
from juliabox_manager.volumes import disk, loops, mounts
from juliabox_manager.volumes.adoption import LOCK_LIMIT, Plan
from juliabox_manager.volumes.threads import in_thread
from juliabox_manager.volumes.volume import RELEASE_LIMIT, Volume, remove_folder

log = structlog.get_logger(__name__)

#: Seconds for a device to become free once it is unmounted here. Another mount namespace may hold
#: it for longer: a container that is just being made has copies of all mounts for a moment.
FREE_LIMIT = 2.0


@dataclass
class LoopVolume(Volume):
    """A volume that is a disk image; a device that is bound and not mounted lingers.

    A device that lingers is mounted again as it is, since a second device on one image would
    destroy it.
    """

    inodes_per_gib: int = 65536
    #: Descriptor that holds the lock of the image. The loop device shares it, so the image stays
    #: locked as long as the device is bound, whether or not this process lives; a manager that
    #: adopts a volume has no descriptor of its own.
    descriptor: int | None = None
    #: Loop device of the image, from when it is bound until the kernel has let go of it, and the
    #: device and inode of the image's file.
    device: int | None = None
    image: tuple[int, int] | None = None

    @property
    def held(self) -> bool:
        """Whether the image is locked or its device bound."""
        return self.descriptor is not None or self.device is not None

    @property
    def keep(self) -> list[int]:
        """The image's lock."""
        return [] if self.descriptor is None else [self.descriptor]

    async def open(self, owner: str, size: int) -> None:
        """Mount the disk of a device that lingers; or anew, if it has become free meanwhile."""
        if self.device is not None and await self._lingers(self.device):
            try:
                await self._mount_again(owner, self.device)
            except (JuliaBoxError, OSError):
                # whoever held it may have let go of it right then: its disk is closed, not broken
                await self.settle(RELEASE_LIMIT)
                if self.held or self.stuck:
                    raise
            else:
                return
        self._forget_device()
        await self._mount_anew(owner, size)

    async def _mount_again(self, owner: str, device: int) -> None:
        descriptor = await in_thread(loops.hold, device)
        try:
            # held open, the device cannot become another's between this look and the mount
            if not await self._lingers(device):
                raise UnavailableError(f"the home of {owner!r} is just being closed; try again")
            await in_thread(self.base.mkdir, mode=0o755, parents=True, exist_ok=True)
            await mounts.mount_again(device, self.base, keep=[descriptor])
            self.mounted = True
        finally:
            os.close(descriptor)

    async def _mount_anew(self, owner: str, size: int) -> None:
        """Lock, check and mount the disk; make it first if the owner has none."""
        await in_thread(self.places.check_room)
        if not await in_thread(self.folder.exists):
            await disk.make(self.folder, owner, size, self.inodes_per_gib)
        held = self.descriptor = await disk.lock(self.folder / disk.IMAGE)
        try:
            await self._refuse_bound(owner, held)
            await self._check(owner, size, held)
            await self._mount_checked(held)
        except BaseException:
            await self.settle(RELEASE_LIMIT)
            raise

    async def _refuse_bound(self, owner: str, held: int) -> None:
        devices = await in_thread(loops.bound_to, held)
        if devices:
            names = ", ".join(f"/dev/loop{number}" for number in devices)
            raise VolumeError(
                f"the home of {owner!r} is still in use by {names}; it is mounted once only; the "
                "operator ends what uses that device",
                code="volume.locked",
            )

    async def _check(self, owner: str, size: int, held: int) -> None:
        """Repair, grow or quarantine the disk before it is mounted."""
        meta = await in_thread(disk.read_meta, self.folder)
        if meta.owner != owner:
            raise VolumeError(f"volume {self.name} belongs to another person than {owner!r}")
        image = self.folder / disk.IMAGE
        try:
            await disk.undo_growth(self.folder, keep=held)
            if meta.quarantine is not None:
                await self._leave_quarantine(meta, meta.quarantine, held)
            await disk.check(image, keep=held)
            if size > meta.size:
                await disk.grow(self.folder, size, keep=held)
        except disk.DamagedError as error:
            raise await self._set_aside(meta, str(error)) from error

    async def _mount_checked(self, held: int) -> None:
        """Mount the disk; one that called itself clean and is refused is looked at as a whole."""
        try:
            await self._mount_device(held)
        except VolumeError:
            try:
                await disk.check(self.folder / disk.IMAGE, keep=held, force=True, write=False)
            except disk.DamagedError as error:
                meta = await in_thread(disk.read_meta, self.folder)
                raise await self._set_aside(meta, str(error)) from error
            raise

    async def _set_aside(self, meta: disk.Meta, reason: str) -> VolumeError:
        """Quarantine the disk, and return what its owner is told."""
        if meta.quarantine is None:
            with suppress(OSError):  # a full host disk: the next check says the same again
                await in_thread(disk.quarantine, self.folder, reason)
        log.error("volume quarantined", volume=self.name, owner=meta.owner, reason=reason)
        return self._quarantined(meta.owner, reason)

    async def _leave_quarantine(self, meta: disk.Meta, mark: disk.Quarantine, held: int) -> None:
        """Take a repaired disk back; nothing is written to one that nobody touched."""
        image = self.folder / disk.IMAGE
        if (await in_thread(image.stat)).st_mtime_ns == mark.image_changed:
            raise self._quarantined(meta.owner, mark.reason)
        await disk.check(image, keep=held, force=True, write=False)
        whole = msgspec.structs.replace(meta, quarantine=None)
        await in_thread(disk.write_meta, self.folder, whole)
        log.info("volume repaired", volume=self.name, owner=meta.owner)

    def _quarantined(self, owner: str, reason: str) -> VolumeError:
        return VolumeError(
            f"the home of {owner!r} is damaged and was set aside unchanged; ask the operator to "
            f"repair it. Operator: run `e2fsck -f {self.folder / disk.IMAGE}` (copy it first), the "
            f"next start then takes it back. {reason}",
            code="volume.quarantined",
        )

    async def _mount_device(self, held: int) -> None:
        await in_thread(self.base.mkdir, mode=0o755, parents=True, exist_ok=True)
        try:
            number, descriptor = await in_thread(loops.bind, held)
        except OSError as error:
            raise UnavailableError(
                f"no loop device for {self.name}: {error}; the operator checks /dev/loop-control"
            ) from error
        status = os.fstat(held)
        self.device, self.image = number, (status.st_dev, status.st_ino)
        try:
            await mounts.mount_home(number, self.base, keep=[held, descriptor])
            self.mounted = True
        finally:
            os.close(descriptor)

    async def _lingers(self, device: int) -> bool:
        return await in_thread(loops.backing, device) == self.image

    def _forget_device(self) -> None:
        self.device = self.image = None
        self.let_go()

    def let_go(self) -> None:
        """Close the image; its lock stays with the device, if there is one."""
        if self.descriptor is not None:
            os.close(self.descriptor)
            self.descriptor = None

    async def release(self, limit: float) -> None:
        """Unmount the disk; give the lock away only when the kernel has let go of the image."""
        await self.undo(self.base, limit, last=True)
        self.mounted = False
        await in_thread(remove_folder, self.base)
        if self.device is not None and self.image is not None:
            await in_thread(loops.unbind, self.device, self.image)
            if not await self._freed(self.device):
                log.info("volume lingers", volume=self.name, device=self.device)
                return
        self._forget_device()

    async def _freed(self, device: int) -> bool:
        """Tell whether a device that nothing has mounted here has become free."""
        loop = asyncio.get_running_loop()
        end = loop.time() + FREE_LIMIT
        while await self._lingers(device):
            if loop.time() >= end:
                return False
            await asyncio.sleep(0.01)
        return True

    async def take_over(self, plan: Plan, limit: float) -> None:
        """Know the device again, which kept the image locked, and what sessions keep.

        With the last mount the lock is gone too, unless a program that the killed manager started
        still works on the image: that one is awaited.
        """
        self.device, self.image = plan.device, plan.image
        await super().take_over(plan, limit)
        if self.idle:
            os.close(await disk.lock(self.folder / disk.IMAGE, wait=LOCK_LIMIT))
