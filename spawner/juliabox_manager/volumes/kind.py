"""A kind of volume that is mounted once and bound into the slots of its owner's sessions."""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from collections.abc import AsyncIterator, Awaitable, Collection, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Generic, TypeVar

import structlog

from juliabox_ext.errors import ConflictError, JuliaBoxError, VolumeError
from juliabox_ext.plugin import PluginContext
from juliabox_ext.volume import Disk, Volumes
from juliabox_manager.volumes import adoption, mounts
from juliabox_manager.volumes.meter import Meter
from juliabox_manager.volumes.names import volume_name
from juliabox_manager.volumes.places import Places
from juliabox_manager.volumes.threads import in_thread
from juliabox_manager.volumes.volume import Volume

log = structlog.get_logger(__name__)
T = TypeVar("T")
V = TypeVar("V", bound=Volume)

#: Seconds that an unmount may take before the volume counts as stuck.
UNMOUNT_LIMIT = 30.0

#: The same while the manager starts: all wait for that, and nothing should be in use.
ADOPTION_LIMIT = 5.0

#: Seconds that a start waits for a stuck volume to come free.
RETRY_LIMIT = 2.0


class MountedVolumes(Volumes, Generic[V]):
    """Attach, release, list, remove and restore volumes of one kind.

    Every change of a volume goes on to its end even if the caller is cancelled. Volumes never wait
    for each other.
    """

    #: Seconds; see :data:`UNMOUNT_LIMIT`.
    unmount_limit: float = UNMOUNT_LIMIT

    def __init__(self, context: PluginContext) -> None:
        super().__init__(context)
        self._volumes: dict[str, V] = {}
        #: Volume of each session that has, gets or loses its home.
        self._names: dict[str, str] = {}
        self._running: set[asyncio.Task[Any]] = set()
        self._meter = Meter()

    # -- what a kind is made of -----------------------------------------------------------------

    @property
    @abstractmethod
    def places(self) -> Places:
        """Where the volumes lie."""

    @abstractmethod
    def _new(self, name: str) -> V:
        """Return a volume that nothing is known of yet."""

    @abstractmethod
    def _recognizer(self) -> Mapping[Any, str]:
        """Look at what may be mounted of this kind, for :meth:`_named`."""

    @abstractmethod
    def _named(self, mount: mounts.Mount, known: Mapping[Any, str]) -> str:
        """Return the volume that a mount shows; empty if none of this kind."""

    @abstractmethod
    def _read_all(self, owner: str | None) -> list[Disk]:
        """Describe the volumes of one owner or of all as they lie on disk."""

    @abstractmethod
    async def _put_aside(self, volume: V) -> None:
        """Move a volume that nobody uses to the removed ones."""

    @abstractmethod
    def _take_back(self, volume: V, owner: str) -> Disk:
        """Move the newest volume that was put aside for an owner back to its place."""

    @abstractmethod
    def _delete_expired(self) -> list[str]:
        """Delete the volumes whose grace period is over; return their identifiers."""

    def _prepare(self) -> None:
        """Make the folders that are missing."""
        self.places.prepare()

    @abstractmethod
    def _tidy(self) -> None:
        """Delete what is half made, when nothing is under way."""

    # -- attaching ------------------------------------------------------------------------------

    async def get_disk_for_user(
        self, user_id: str, size: int, container_id: str, target: Path
    ) -> Disk:
        """Mount an owner's volume and show it at ``target``."""
        return await self._finish(self._attach(user_id, size, container_id, target))

    async def _attach(self, owner: str, size: int, session: str, target: Path) -> Disk:
        name = volume_name(owner)
        if self._names.setdefault(session, name) != name:
            raise ConflictError(f"session {session} has another person's home")
        try:
            return await self._attach_to(name, owner, size, session, target)
        except OSError as error:
            raise VolumeError(f"the home of {owner!r} cannot be attached: {error}") from error
        finally:
            self._forget(session)

    async def _attach_to(
        self, name: str, owner: str, size: int, session: str, target: Path
    ) -> Disk:
        async with self._claim(name) as volume:
            if volume.sessions.get(session, target) != target:
                raise ConflictError(f"session {session} has its home at another place already")
            volume.owner = owner
            if session in volume.sessions:
                return self._disk(volume)
            if volume.stuck or volume.leaving:
                await volume.settle(RETRY_LIMIT)
            if volume.stuck:
                raise VolumeError(
                    f"the home of {owner!r} is still held by a session that does not end; try "
                    f"again later; the operator looks for processes that use {volume.base}",
                    code="volume.stuck",
                )
            if not volume.mounted:
                await self._open(volume, owner, size)
            try:
                await volume.bind(session, target)
            except BaseException:
                await volume.settle(RETRY_LIMIT)
                raise
            return self._disk(volume)

    async def _open(self, volume: V, owner: str, size: int) -> None:
        await volume.open(owner, size)

    async def release(self, container_id: str, target: Path, backup: bool = False) -> None:
        """Take a session's volume away; unmount and unlock it with the last session.

        In time, or the volume is stuck: not usable until :meth:`purge`,
        :meth:`get_disk_for_user` or :meth:`adopt` succeed in freeing it.
        """
        await self._finish(self._detach(container_id, target))

    async def _detach(self, session: str, target: Path) -> None:
        name = self._names.get(session)
        if name is None:
            return
        async with self._claim(name) as volume:
            if volume.sessions.get(session) == target:
                del volume.sessions[session]
                volume.leaving.append(target)
                await volume.settle(self.unmount_limit)
        self._forget(session)

    def _forget(self, session: str) -> None:
        """Forget a session's volume unless it is attached or another change of it is under way."""
        volume = self._volumes.get(self._names.get(session, ""))
        if volume is None or (session not in volume.sessions and not volume.claims):
            self._names.pop(session, None)

    # -- looking --------------------------------------------------------------------------------

    async def get_disk_from_container(self, cid: str) -> Disk | None:
        """Return the volume that a session has."""
        volume = self._volumes.get(self._names.get(cid, ""))
        return self._disk(volume) if volume is not None and cid in volume.sessions else None

    def _disk(self, volume: V) -> Disk:
        return Disk(
            id=volume.name,
            user_id=volume.owner,
            mount=volume.base if volume.mounted else None,
            sessions=sorted(volume.sessions),
            state="stuck" if volume.stuck else "mounted",
        )

    def is_mount_path(self, fs_path: Path) -> bool:
        """Ask the mount table whether a path lies on a volume of this kind."""
        mount = mounts.holding(fs_path)
        return mount is not None and bool(self._named(mount, self._recognizer()))

    async def refresh_disk_use_status(
        self, container_id_list: Sequence[str] | None = None
    ) -> dict[str, Disk]:
        """Ask the kernel how full the file systems of sessions are."""
        asked = list(self._names) if container_id_list is None else container_id_list
        volumes = {
            session: volume
            for session in asked
            if (volume := self._volumes.get(self._names.get(session, ""))) is not None
            and session in volume.sessions
        }
        room = await self._meter.measure(volume.base for volume in volumes.values())
        return {
            session: replace(
                self._disk(volume), size=room[volume.base].size, used=room[volume.base].used
            )
            for session, volume in volumes.items()
            if volume.base in room
        }

    def disk_ids_used_pct(self) -> float:
        """Return the percentage of the room for volumes that is in use."""
        return self.places.used_percent()

    async def disks(self, user_id: str | None = None) -> list[Disk]:
        """Return the volumes, of one owner or of all, the removed ones too."""
        found = await in_thread(self._read_all, user_id)
        return [self._with_state(one) for one in found]

    def _with_state(self, found: Disk) -> Disk:
        volume = self._volumes.get(found.id)
        if volume is None or found.state == "removed":
            return found
        return replace(
            found,
            sessions=sorted(volume.sessions),
            state="stuck" if volume.stuck else "mounted" if volume.mounted else found.state,
            mount=volume.base if volume.mounted else None,
        )

    # -- removing -------------------------------------------------------------------------------

    async def remove(self, user_id: str) -> None:
        """Put an owner's volume aside, to be deleted after the grace period."""
        await self._finish(self._remove(user_id))

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
            await self._put_aside(volume)

    async def restore(self, user_id: str) -> Disk:
        """Bring back the newest volume that was put aside for an owner."""
        return await self._finish(self._restore(user_id))

    async def _restore(self, owner: str) -> Disk:
        async with self._claim(volume_name(owner)) as volume:
            return await in_thread(self._take_back, volume, owner)

    async def purge(self) -> list[str]:
        """Delete what is past its grace period; try again to free what is stuck."""
        deleted = await in_thread(self._delete_expired)
        stuck = [name for name, volume in self._volumes.items() if volume.unsettled]
        await asyncio.gather(*(self._finish(self._settle(name)) for name in stuck))
        return deleted

    async def _settle(self, name: str) -> None:
        async with self._claim(name) as volume:
            if volume.unsettled:
                await volume.settle(self.unmount_limit)

    # -- taking over ----------------------------------------------------------------------------

    async def adopt(
        self, mounted: Mapping[str, tuple[str, Path]], foreign: Collection[Path] = ()
    ) -> list[str]:
        """Take over what a manager before this one left.

        Undone is every mount of this kind that no session keeps.
        """
        return await self._finish(self._adopt(mounted, foreign))

    async def _adopt(
        self, mounted: Mapping[str, tuple[str, Path]], foreign: Collection[Path]
    ) -> list[str]:
        await in_thread(self._prepare)
        found = await self._survey(mounted, foreign)
        await self._take_over_all(found)
        await self._await_others(found)
        # a program that the old manager started may have mounted something in between
        found = await self._survey(mounted, foreign)
        if found.leftovers:
            await self._take_over_all(found)
        await in_thread(self._tidy)
        for session, name in self._names.items():
            self._volumes[name].owner = mounted[session][0]
        return found.missing

    async def _survey(
        self, mounted: Mapping[str, tuple[str, Path]], foreign: Collection[Path]
    ) -> adoption.Found:
        known = await in_thread(self._recognizer)
        return await adoption.survey(
            self.places, mounted, foreign, lambda mount: self._named(mount, known)
        )

    async def _await_others(self, found: adoption.Found) -> None:
        """Wait for programs that the earlier manager started; none by default."""

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
            await volume.take_over(plan, self._adoption_limit)
            self._names.update(dict.fromkeys(volume.sessions, name))

    @property
    def _adoption_limit(self) -> float:
        return min(self.unmount_limit, ADOPTION_LIMIT)

    # -- the rest -------------------------------------------------------------------------------

    async def finish(self) -> None:
        """Wait for the changes under way. What is mounted stays so, for the next manager."""
        while self._running:
            await asyncio.wait(self._running)

    @asynccontextmanager
    async def _claim(self, name: str) -> AsyncIterator[V]:
        """Hold a volume; forget it afterwards if nothing of it is in use."""
        volume = self._volumes.setdefault(name, self._new(name))
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
        told = error.message if isinstance(error, JuliaBoxError) else repr(error)
        log.warning("a change of a volume failed after its caller left", error=told)
