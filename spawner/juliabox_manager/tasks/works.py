"""Work of the manager that tasks may ask for: safe at any time, and repeated without harm."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from juliabox_manager.engine import Engine
from juliabox_manager.metrics import METRICS
from juliabox_manager.parts import VolumesPart
from juliabox_manager.settings import ManagerSettings


class Works:
    """Each entry of :attr:`table` is described in :data:`juliabox_ext.task.TASK_CALLS`."""

    def __init__(
        self,
        settings: ManagerSettings,
        engine: Engine,
        volumes: VolumesPart,
        reconcile: Callable[[], Awaitable[None]],
    ) -> None:
        """Work with the manager's parts; ``reconcile`` makes one pass."""
        self._images = settings.images
        self._engine = engine
        self._volumes = volumes
        self._pass = reconcile
        self.table: dict[str, Callable[[], Awaitable[Any]]] = {
            "image.check": self._check_images,
            "reconcile": self._reconcile,
            "volume.purge": self._purge,
            "volume.refresh": self._refresh,
        }

    async def _check_images(self) -> list[dict[str, Any]]:
        return list(await asyncio.gather(*map(self._check_image, sorted(self._images))))

    async def _check_image(self, name: str) -> dict[str, Any]:
        wanted = self._images[name]
        held = await self._engine.images(wanted)
        # a tag names an image's content: a newer image has another one
        newest = [*await self._engine.images(_repository(name)), *held]
        newest.sort(key=lambda image: image.created, reverse=True)
        return {
            "image": name,
            "id": wanted,
            "present": bool(held),
            "created": held[0].created if held else 0.0,
            "newest": newest[0].id if newest else "",
            "newest_created": newest[0].created if newest else 0.0,
        }

    async def _reconcile(self) -> dict[str, int]:
        before = _repairs()
        await self._pass()
        after = _repairs()
        made = {kind: number - before.get(kind, 0) for kind, number in after.items()}
        return {kind: number for kind, number in made.items() if number}

    async def _purge(self) -> list[str]:
        listed = {info.volume for info in await self._volumes.volumes()}
        await self._volumes.purge()
        return sorted(listed - {info.volume for info in await self._volumes.volumes()})

    async def _refresh(self) -> list[dict[str, Any]]:
        disks = await self._volumes.refresh_disk_use_status()
        return [
            {"session": session, "owner": disk.user_id, "size": disk.size, "used": disk.used}
            for session, disk in sorted(disks.items())
        ]


def _repository(name: str) -> str:
    """Return a reference without its tag or digest."""
    path, _, last = name.partition("@")[0].rpartition("/")
    return f"{path}/{last.partition(':')[0]}".lstrip("/")


def _repairs() -> dict[str, int]:
    """Return how many differences have been mended, by kind."""
    return {
        sample.labels["kind"]: int(sample.value)
        for metric in METRICS.reconcile_repairs.collect()
        for sample in metric.samples
        if sample.name.endswith("_total")
    }
