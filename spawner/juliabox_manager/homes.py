"""The homes of sessions, whichever volume plugin holds them.

A person's home stays with the plugin that holds it. Who has none gets one from the provider of
``vol.home`` that the operator chose.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Final

import structlog

from juliabox_ext.errors import JuliaBoxError, NotFoundError, PluginError, UnavailableError
from juliabox_ext.registry import Registry
from juliabox_ext.volume import Disk, JBoxVol, VolumeHost
from juliabox_manager.contained import ContainedVolumes
from juliabox_manager.protocol import VolumeInfo
from juliabox_manager.volumes import mounts

log = structlog.get_logger("juliabox.manager.volumes")

#: Seconds for taking away a mount of nobody's.
CLEAR_LIMIT: Final = 5.0

#: Seconds that a reconcile waits for purges.
PURGE_LIMIT: Final = 10.0


class Homes:
    """All providers of ``vol.home`` behind one door."""

    def __init__(
        self, kinds: Sequence[ContainedVolumes], trouble: JuliaBoxError | None = None
    ) -> None:
        """Take the providers, that of new homes first; with ``trouble`` there are no new homes."""
        self._kinds = list(kinds)
        self._trouble = trouble
        #: Provider of each session that has, gets or loses its home.
        self._of: dict[str, ContainedVolumes] = {}
        #: Purges under way, and the providers whose ready-made disks are those of this start.
        self._purging: dict[str, asyncio.Task[None]] = {}
        self._renewed: set[str] = set()
        #: What providers still have to adopt.
        self._left: dict[str, tuple[dict[str, tuple[str, Path]], set[Path]]] = {}

    @classmethod
    def load(cls, registry: Registry, host: VolumeHost) -> Homes:
        """Take the providers that a registry has loaded."""
        plugins = registry.all(JBoxVol.JBP_USERHOME)
        for plugin in plugins:
            plugin.host = host
        trouble = _trouble(registry)
        if trouble is None:
            first = registry.one(JBoxVol.JBP_USERHOME)
            plugins.sort(key=lambda plugin: plugin is not first)
        return cls([ContainedVolumes(one, registry.info(one)) for one in plugins], trouble)

    # -- attaching ------------------------------------------------------------------------------

    async def get_disk_for_user(
        self, user_id: str, size: int, container_id: str, target: Path
    ) -> Disk:
        """Attach a person's home at ``target``."""
        if self._trouble is not None:
            raise self._trouble
        kind = await self._kind_for(user_id)
        if kind.name in self._left:
            raise UnavailableError(
                f"{kind.label} has not taken over what was there before; try again in a minute",
                code="volume.not_adopted",
            )
        self._of[container_id] = kind
        return await kind.get_disk_for_user(user_id, size, container_id, target)

    async def _kind_for(self, user_id: str) -> ContainedVolumes:
        """Return the provider that holds a person's home; that of new homes if none does.

        So nobody finds an empty home after the operator chose another plugin, and all servers of a
        person show the same.
        """
        if len(self._kinds) > 1:
            for kind in self._kinds:
                if any(disk.state != "removed" for disk in await kind.disks(user_id)):
                    return kind
        return self._kinds[0]

    async def release(self, container_id: str, target: Path, backup: bool = False) -> None:
        """Detach a session's home; nothing if it has none."""
        kind = self._of.get(container_id)
        if kind is not None:
            await kind.release(container_id, target, backup)
            self._of.pop(container_id, None)

    async def adopt(self, mounted: Mapping[str, tuple[str, Path]]) -> list[str]:
        """Take over what an earlier manager left; return the sessions that have lost their home.

        A plugin that fails is tried again by :meth:`purge`; until then its sessions go on, and
        nobody new gets a home of it.
        """
        owners = await asyncio.gather(*(self._owner(place) for _, place in mounted.values()))
        claims = dict(zip(mounted, owners, strict=True))
        self._of.update({name: kind for name, kind in claims.items() if kind is not None})
        missing: list[str] = []
        for kind in self._kinds:
            own = {name: mounted[name] for name, claim in claims.items() if claim is kind}
            others = {mounted[name][1] for name, claim in claims.items() if claim is not kind}
            self._left[kind.name] = own, others
            missing += await self._adopt(kind)
        for session in missing:
            await self._clear(mounted[session][1])
        return sorted(missing)

    @staticmethod
    async def _clear(place: Path) -> None:
        """Take away what is mounted where no provider has a home: one that is disabled by now."""
        try:
            await mounts.unmount(place, limit=CLEAR_LIMIT)
        except mounts.StuckError as error:
            log.error("a mount of nobody's stays", reason=str(error))

    async def _adopt(self, kind: ContainedVolumes) -> list[str]:
        own, others = self._left[kind.name]
        try:
            missing = await kind.adopt(own, others)
        except JuliaBoxError as error:
            log.error("homes cannot be adopted", plugin=kind.name, error=error.message)
            return []
        del self._left[kind.name]
        return missing

    async def _owner(self, place: Path) -> ContainedVolumes | None:
        """Return the provider of what is mounted at a place.

        Where none knows it, that of new homes will find out that it is missing; unless a provider
        is absent whose it may be.
        """
        for kind in self._kinds:
            try:
                if await kind.is_mount_path(place):
                    return kind
            except JuliaBoxError as error:
                log.error("a home cannot be recognized", plugin=kind.name, error=error.message)
        return self._kinds[0] if self._trouble is None else None

    # -- looking --------------------------------------------------------------------------------

    async def refresh_disk_use_status(
        self, container_id_list: Sequence[str] | None = None
    ) -> dict[str, Disk]:
        """Measure the homes of sessions, of all if none are named."""
        asked = list(self._of) if container_id_list is None else container_id_list
        found: dict[str, Disk] = {}
        for kind in self._kinds:
            own = [session for session in asked if self._of.get(session) is kind]
            if own:
                found |= await kind.refresh_disk_use_status(own)
        return found

    async def disk_ids_used_pct(self) -> float:
        """Return the percentage of the room for new homes that is in use."""
        return await self._kinds[0].disk_ids_used_pct() if self._kinds else 0.0

    async def volumes(self, user_id: str | None = None) -> list[VolumeInfo]:
        """Describe the homes of a person or of all for clients."""
        return [
            volume_info(kind.name, disk)
            for kind in self._kinds
            for disk in await kind.disks(user_id)
        ]

    # -- removing -------------------------------------------------------------------------------

    async def remove(self, user_id: str) -> None:
        """Put a person's home aside, wherever there is one."""
        for kind in self._kinds:
            await kind.remove(user_id)

    async def restore(self, user_id: str) -> VolumeInfo:
        """Bring back the newest home that was put aside for a person."""
        for kind in self._kinds[:-1]:
            try:
                return volume_info(kind.name, await kind.restore(user_id))
            except NotFoundError:
                continue
        kind = self._kinds[-1]
        return volume_info(kind.name, await kind.restore(user_id))

    async def purge(self) -> None:
        """Delete what is past its grace period, and free what is stuck.

        A plugin that takes long is not awaited, and not asked again before it is done.
        """
        for kind in self._kinds:
            if kind.name not in self._purging:
                task = asyncio.create_task(self._purge(kind))
                self._purging[kind.name] = task
                task.add_done_callback(partial(self._purged, kind.name))
        if self._purging:
            await asyncio.wait(self._purging.values(), timeout=PURGE_LIMIT)

    def _purged(self, name: str, _: asyncio.Task[None]) -> None:
        self._purging.pop(name, None)

    async def _purge(self, kind: ContainedVolumes) -> None:
        try:
            if kind.name in self._left:
                for session in await self._adopt(kind):
                    log.error("a session has lost its home", session=session, plugin=kind.name)
            await kind.purge()
            if kind.name not in self._renewed:
                # once a start: the image of homes comes with a new manager
                self._renewed.add(kind.name)
                await kind.refresh_user_home_image()
        except JuliaBoxError as error:
            log.warning("homes cannot be purged", plugin=kind.name, error=error.message)

    async def close(self) -> None:
        """Wait for the changes under way."""
        for task in self._purging.values():
            task.cancel()
        await asyncio.gather(*(kind.close() for kind in self._kinds))


def volume_info(plugin: str, disk: Disk) -> VolumeInfo:
    """Describe a disk for clients."""
    return VolumeInfo(
        volume=disk.id,
        owner=disk.user_id,
        kind="home",
        size=disk.size,
        allocated=disk.allocated or 0,
        sessions=list(disk.sessions),
        state=disk.state,
        delete_after=disk.delete_after,
        plugin=plugin,
    )


def _trouble(registry: Registry) -> PluginError | None:
    """Return why homes must not be made now.

    If the plugin that the operator chose is not there, a person must not get an empty home from
    another one.
    """
    promised = registry.selection.features.get(JBoxVol.JBP_USERHOME)
    for fault in registry.faults:
        if fault.group == "juliabox.volume" and (promised is None or fault.plugin in promised):
            return PluginError(f"no home can be attached: {fault.message}", code=fault.code)
    try:
        registry.one(JBoxVol.JBP_USERHOME)
    except PluginError as error:
        return PluginError(f"no home can be attached: {error.message}", code=error.code)
    return None
