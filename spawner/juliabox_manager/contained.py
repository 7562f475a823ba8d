"""A volume plugin that can harm nobody but those who want its disks.

Its coroutines run on an event loop of their own, in a thread of their own, each with a time limit.
What it raises on purpose passes; whatever else becomes a ``PluginError`` that names it.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Collection, Coroutine, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final, TypeVar

import structlog

from juliabox_ext.catalog import PluginInfo
from juliabox_ext.errors import JuliaBoxError, PluginError
from juliabox_ext.volume import Disk, Volumes

T = TypeVar("T")
log = structlog.get_logger("juliabox.manager.volumes")

#: Seconds for looking, for changing one disk (its check or growth may take minutes), and for what
#: goes through all disks.
LOOK: Final = 30.0
CHANGE: Final = 600.0
ALL: Final = 900.0

#: Seconds for taking over what an earlier manager left: everybody waits for that.
ADOPT: Final = 60.0

#: Seconds that the manager's end waits for changes under way; the engine kills it soon after.
FINISH: Final = 8.0

#: Seconds for changes that did not finish to let go of what they hold.
LET_GO: Final = 0.5


class ContainedVolumes:
    """One volume plugin, with the methods of :class:`juliabox_ext.volume.Volumes`."""

    def __init__(self, plugin: Volumes, info: PluginInfo | None = None) -> None:
        """Begin the plugin's thread; :meth:`close` ends it."""
        self.plugin = plugin
        self.label = str(info) if info is not None else f"plugin {plugin.name}"
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(
            target=self._loop.run_forever, name=f"volumes-{plugin.name}", daemon=True
        )
        self._thread.start()
        self._threads = ThreadPoolExecutor(4, thread_name_prefix=f"volumes-{plugin.name}")

    @property
    def name(self) -> str:
        """The plugin's name."""
        return self.plugin.name

    # -- the contract ---------------------------------------------------------------------------

    async def get_disk_for_user(
        self, user_id: str, size: int, container_id: str, target: Path
    ) -> Disk:
        """See the contract."""
        work = self.plugin.get_disk_for_user(user_id, size, container_id, target)
        return await self._run("get_disk_for_user", work, CHANGE)

    async def get_disk_from_container(self, cid: str) -> Disk | None:
        """See the contract."""
        work = self.plugin.get_disk_from_container(cid)
        return await self._run("get_disk_from_container", work, LOOK)

    async def is_mount_path(self, fs_path: Path) -> bool:
        """See the contract."""
        return await self._ask("is_mount_path", lambda: self.plugin.is_mount_path(fs_path))

    async def refresh_disk_use_status(
        self, container_id_list: Sequence[str] | None = None
    ) -> dict[str, Disk]:
        """See the contract."""
        work = self.plugin.refresh_disk_use_status(container_id_list)
        return await self._run("refresh_disk_use_status", work, LOOK)

    async def disk_ids_used_pct(self) -> float:
        """See the contract."""
        return await self._ask("disk_ids_used_pct", self.plugin.disk_ids_used_pct)

    async def refresh_user_home_image(self) -> None:
        """See the contract."""
        work = self.plugin.refresh_user_home_image()
        await self._run("refresh_user_home_image", work, ALL)

    async def release(self, container_id: str, target: Path, backup: bool = False) -> None:
        """See the contract."""
        await self._run("release", self.plugin.release(container_id, target, backup), CHANGE)

    async def adopt(
        self, mounted: Mapping[str, tuple[str, Path]], foreign: Collection[Path] = ()
    ) -> list[str]:
        """See the contract."""
        return await self._run("adopt", self.plugin.adopt(mounted, foreign), ADOPT)

    async def disks(self, user_id: str | None = None) -> list[Disk]:
        """See the contract."""
        return await self._run("disks", self.plugin.disks(user_id), LOOK)

    async def remove(self, user_id: str) -> None:
        """See the contract."""
        await self._run("remove", self.plugin.remove(user_id), CHANGE)

    async def restore(self, user_id: str) -> Disk:
        """See the contract."""
        return await self._run("restore", self.plugin.restore(user_id), CHANGE)

    async def purge(self) -> list[str]:
        """See the contract."""
        return await self._run("purge", self.plugin.purge(), ALL)

    async def close(self) -> None:
        """Wait a little for the changes under way, and end the thread."""
        try:
            await self._run("finish", self.plugin.finish(), FINISH)
        except JuliaBoxError as error:
            log.warning("a volume plugin did not finish", error=error.message)
        asyncio.run_coroutine_threadsafe(self._end(), self._loop)
        self._threads.shutdown(wait=False, cancel_futures=True)
        await asyncio.to_thread(self._thread.join, 1.0)
        if not self._thread.is_alive():
            self._loop.close()

    async def _end(self) -> None:
        """End what is still under way, so that it can put back what it holds, and the loop."""
        rest = asyncio.all_tasks() - {asyncio.current_task()}
        for task in rest:
            task.cancel()
        if rest:
            await asyncio.wait(rest, timeout=LET_GO)
        self._loop.stop()

    # -- containing -----------------------------------------------------------------------------

    async def _run(self, method: str, work: Coroutine[Any, Any, T], limit: float) -> T:
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        return await self._contain(method, asyncio.wrap_future(future), limit)

    async def _ask(self, method: str, call: Callable[[], T]) -> T:
        loop = asyncio.get_running_loop()
        return await self._contain(method, loop.run_in_executor(self._threads, call), LOOK)

    async def _contain(self, method: str, work: asyncio.Future[T], limit: float) -> T:
        # not wait_for: that would wait for a plugin to let itself be cancelled
        try:
            await asyncio.wait({work}, timeout=limit)
        except asyncio.CancelledError:
            work.cancel()
            raise
        if not work.done():
            work.cancel()
            raise PluginError(
                f"{self.label} did not do {method} within {limit:g} s; the operator looks at what "
                "it works with, or enables another one",
                code="plugin.hangs",
            )
        try:
            return work.result()
        except JuliaBoxError:
            raise
        except (Exception, asyncio.CancelledError) as error:
            log.error("a volume plugin failed", plugin=self.name, method=method, exc_info=error)
            raise PluginError(
                f"{self.label} failed in {method}: {type(error).__name__}: {error}",
                code="plugin.failed",
            ) from error
