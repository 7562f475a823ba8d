"""The home volumes of one instance."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Coroutine, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import structlog

from juliabox_ext.errors import ConflictError, VolumeError
from juliabox_ext.volume import Disk
from juliabox_manager.protocol import VolumeInfo
from juliabox_manager.settings import ManagerSettings
from juliabox_manager.volumes import adoption, shelf
from juliabox_manager.volumes.commands import in_thread
from juliabox_manager.volumes.meter import Meter
from juliabox_manager.volumes.names import volume_name
from juliabox_manager.volumes.volume import Volume

log = structlog.get_logger(__name__)
T = TypeVar("T")

# within the class, `list` is its method
Infos = list[VolumeInfo]
Sessions = list[str]

#: Seconds that an unmount may take before the volume counts as stuck.
UNMOUNT_LIMIT = 30.0

#: The same while the manager starts: all wait for that, and nothing should be in use.
ADOPTION_LIMIT = 5.0

#: Seconds that a start waits for a stuck volume to come free.
RETRY_LIMIT = 2.0


class HomeVolumes:
    """Attach, detach, list, remove and restore home volumes.

    Every change of a volume goes on to its end even if the caller is cancelled: a caller that was
    cancelled in :meth:`attach` calls :meth:`detach`. Volumes never wait for each other.

    ``unmount_limit`` is in seconds.
    """

    def __init__(self, settings: ManagerSettings, *, unmount_limit: float = UNMOUNT_LIMIT) -> None:
        self._settings = settings
        self._unmount_limit = unmount_limit
        self._adoption_limit = min(unmount_limit, ADOPTION_LIMIT)
        self._volumes: dict[str, Volume] = {}
        #: Volume of each session that has, gets or loses its home.
        self._names: dict[str, str] = {}
        self._running: set[asyncio.Task[Any]] = set()
        self._meter = Meter()

    async def attach(self, owner: str, size: int, session: str, target: Path) -> None:
        """Mount an owner's home and show it at ``target``; make or grow it to ``size`` bytes first.

        Repeating it is harmless. Raise ``NoRoomError``, or ``VolumeError`` if the disk is damaged,
        locked elsewhere or stuck; then nothing stays mounted for this session.
        """
        await self._finish(self._attach(owner, size, session, target))

    async def _attach(self, owner: str, size: int, session: str, target: Path) -> None:
        name = volume_name(owner)
        if self._names.setdefault(session, name) != name:
            raise ConflictError(f"session {session} has another person's home")
        try:
            await self._attach_to(name, owner, size, session, target)
        except OSError as error:
            raise VolumeError(f"the home of {owner!r} cannot be attached: {error}") from error
        finally:
            self._forget(session)

    async def _attach_to(
        self, name: str, owner: str, size: int, session: str, target: Path
    ) -> None:
        async with self._claim(name) as volume:
            if volume.sessions.get(session, target) != target:
                raise ConflictError(f"session {session} has its home at another place already")
            volume.owner = owner
            if session in volume.sessions:
                return
            if volume.stuck or volume.leaving:
                await volume.settle(RETRY_LIMIT)
            if volume.stuck:
                raise VolumeError(
                    f"the home of {owner!r} is still held by a session that does not end; try "
                    f"again later; the operator looks for processes that use {volume.base}",
                    code="volume.stuck",
                )
            if not volume.mounted:
                await volume.mount_again(owner, size)
            try:
                await volume.bind(session, target)
            except BaseException:
                await volume.settle(RETRY_LIMIT)
                raise

    async def detach(self, session: str, target: Path) -> None:
        """Take a session's home away; unmount and unlock it with the last session.

        Returns when it is done or the time limit has passed; in the latter case the volume is
        stuck: not usable until :meth:`purge`, :meth:`attach` or :meth:`adopt` succeed in freeing
        it. A session that has nothing attached is none of its business.
        """
        await self._finish(self._detach(session, target))

    async def _detach(self, session: str, target: Path) -> None:
        name = self._names.get(session)
        if name is None:
            return
        async with self._claim(name) as volume:
            if volume.sessions.get(session) == target:
                del volume.sessions[session]
                volume.leaving.append(target)
                await volume.settle(self._unmount_limit)
        self._forget(session)

    def _forget(self, session: str) -> None:
        """Forget a session's volume unless it is attached or another change of it is under way."""
        volume = self._volumes.get(self._names.get(session, ""))
        if volume is None or (session not in volume.sessions and not volume.claims):
            self._names.pop(session, None)

    async def list(self, owner: str | None = None) -> Infos:
        """Return the volumes, of one owner or of all, the removed ones too."""
        infos = await in_thread(shelf.read_all, self._settings, owner)
        return [self._with_state(info) for info in infos]

    def _with_state(self, info: VolumeInfo) -> VolumeInfo:
        volume = self._volumes.get(info.volume)
        if volume is None or info.state == "removed":
            return info
        return shelf.in_use(
            info, sorted(volume.sessions), stuck=volume.stuck, mounted=volume.mounted
        )

    async def remove(self, owner: str) -> None:
        """Put an owner's home aside, to be deleted after the grace period.

        Does nothing if there is none; raise ``ConflictError`` while sessions use it.
        """
        await self._finish(self._remove(owner))

    async def _remove(self, owner: str) -> None:
        async with self._claim(volume_name(owner)) as volume:
            if not await in_thread(volume.folder.exists):
                return
            if volume.sessions:
                raise ConflictError(f"the home of {owner!r} is in use; stop its servers first")
            if not volume.idle:
                await volume.settle(RETRY_LIMIT)
            if not volume.idle:
                raise VolumeError(
                    f"the home of {owner!r} is stuck and cannot be removed now; try again later",
                    code="volume.stuck",
                )
            await shelf.put_aside(self._settings, volume.folder)

    async def restore(self, owner: str) -> VolumeInfo:
        """Bring back the newest home that was put aside for an owner.

        Raise ``NotFoundError`` if there is none, ``ConflictError`` if the owner has a new one.
        """
        return await self._finish(self._restore(owner))

    async def _restore(self, owner: str) -> VolumeInfo:
        name = volume_name(owner)
        async with self._claim(name) as volume:
            await in_thread(shelf.take_back, self._settings, volume.folder, owner)
            return await in_thread(shelf.read_one, volume.folder)

    async def refresh_disk_use_status(
        self, container_id_list: Sequence[str] | None = None
    ) -> dict[str, Disk]:
        """Measure the homes of sessions, of all if none are named; a home that hangs is left out.

        The kernel is asked for the file system's own figures; nothing in a home is opened.
        """
        asked = list(self._names) if container_id_list is None else container_id_list
        volumes = {
            session: volume
            for session in asked
            if (volume := self._volumes.get(self._names.get(session, ""))) is not None
            and session in volume.sessions
        }
        bases = {volume.base for volume in volumes.values()}
        room = await self._meter.measure(bases)
        return {
            session: Disk(
                id=volume.name,
                user_id=volume.owner,
                size=room[volume.base].size,
                used=room[volume.base].used,
                mount=volume.base,
                sessions=sorted(volume.sessions),
                state="stuck" if volume.stuck else "mounted",
            )
            for session, volume in volumes.items()
            if volume.base in room
        }

    async def purge(self) -> None:
        """Delete what is past its grace period; try again to free what is stuck."""
        await in_thread(shelf.delete_expired, self._settings)
        stuck = [name for name, volume in self._volumes.items() if volume.unsettled]
        await asyncio.gather(*(self._finish(self._settle(name)) for name in stuck))

    async def _settle(self, name: str) -> None:
        async with self._claim(name) as volume:
            if volume.unsettled:
                await volume.settle(self._unmount_limit)

    async def adopt(self, mounted: dict[str, tuple[str, Path]]) -> Sessions:
        """Take over what a manager before this one left; call it before anything else.

        ``mounted`` maps each live session to its owner and the place of its home. Their disks are
        locked again; every other mount, loop device and half-made volume of this state folder is
        undone. Return the sessions whose home is *not* in place.
        """
        return await self._finish(self._adopt(mounted))

    async def _adopt(self, mounted: dict[str, tuple[str, Path]]) -> Sessions:
        await in_thread(shelf.prepare, self._settings)
        found = await adoption.survey(self._settings, mounted)
        await self._take_over_all(found)
        await adoption.await_programs(self._settings, set(found.plans))
        # a program that the old manager started may have mounted something in between
        found = await adoption.survey(self._settings, mounted)
        if found.leftovers:
            await self._take_over_all(found)
        await in_thread(shelf.tidy, self._settings)
        for session, name in self._names.items():
            self._volumes[name].owner = mounted[session][0]
        return found.missing

    async def _take_over_all(self, found: adoption.Found) -> None:
        plans = found.plans.items()
        work = [self._take_over(name, plan) for name, plan in plans]
        for (name, _), error in zip(
            plans, await asyncio.gather(*work, return_exceptions=True), strict=True
        ):
            if error is not None:
                log.error("volume cannot be adopted", volume=name, reason=str(error))
        await adoption.undo_strays(found.strays, self._adoption_limit)

    async def _take_over(self, name: str, plan: adoption.Plan) -> None:
        async with self._claim(name) as volume:
            if volume.stuck:
                return  # it was tried a moment ago; purge goes on trying
            await adoption.take_over(volume, plan, self._adoption_limit)
            self._names.update(dict.fromkeys(volume.sessions, name))

    async def close(self) -> None:
        """Wait for the changes under way. What is mounted stays so, for the next manager."""
        while self._running:
            await asyncio.wait(self._running)

    @asynccontextmanager
    async def _claim(self, name: str) -> AsyncIterator[Volume]:
        """Hold a volume; forget it afterwards if nothing of it is in use."""
        volume = self._volumes.setdefault(name, Volume(name, self._settings))
        volume.claims += 1
        try:
            async with volume.lock:
                yield volume
        finally:
            volume.claims -= 1
            if volume.claims == 0 and volume.idle:
                self._volumes.pop(name, None)

    async def _finish(self, work: Coroutine[Any, Any, T]) -> T:
        task = asyncio.create_task(work)
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        waited: Awaitable[T] = asyncio.shield(task)
        try:
            return await waited
        except asyncio.CancelledError:
            if not task.done():
                task.add_done_callback(_log_failure)
            raise


def _log_failure(task: asyncio.Task[Any]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        log.warning("a change of a volume failed after its caller left", error=str(error))
