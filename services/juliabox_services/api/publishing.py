"""What is published as a whole: database, memory, changes and logs."""

from __future__ import annotations

import asyncio

import structlog

from juliabox_ext.errors import JuliaBoxError
from juliabox_ext.loads import LOADS
from juliabox_ext.plugin import PluginContext
from juliabox_ext.registry import Registry
from juliabox_services.api.audit import Audit
from juliabox_services.api.engine_contract import Back
from juliabox_services.api.ledger import Ledger
from juliabox_services.api.published import Published
from juliabox_services.api.saving import Saving
from juliabox_services.api.settings import ApiSettings
from juliabox_services.api.store import Store
from juliabox_services.api.tables import Tables

log = structlog.get_logger("juliabox.api.publishing")

#: Seconds between tries to read a database that is away: the first, and the longest.
PAUSE = (0.5, 5.0)
#: Seconds between two looks for writes of unknown outcome.
SETTLE = 2.0


def make_registry(settings: ApiSettings) -> Registry:
    """Return the plugins of the engine: its database."""
    context = PluginContext(
        name="api",
        installation=settings.installation,
        instance=settings.installation,
        folder=settings.folder / "plugins",
        public_url=settings.public_url,
    )
    return Registry(settings.plugins, LOADS["api"], context)


class Publishing:
    """The parts of this side of the engine, and what they do in the background."""

    def __init__(self, settings: ApiSettings, back: Back, registry: Registry | None = None) -> None:
        self.settings = settings
        self.back = back
        self._registry = registry or make_registry(settings)
        self._store = Store(Tables(self._registry))
        self.published = Published()
        self.ledger = Ledger(self._store, self.published, settings.retention_days)
        self.audit = Audit(self._store, self.ledger, settings.retention_days)
        self.saving = Saving(
            self._store, self.published, self.ledger, self.audit, back, settings.bounds
        )
        self.store = self._store
        self._task: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Load the database's plugin and read what is published, now or as soon as it answers.

        Raise ``PluginError`` for a required plugin that cannot be loaded.
        """
        await asyncio.get_running_loop().run_in_executor(None, self._load)
        self.ledger.start()
        await self._try()
        self._task = asyncio.create_task(self._follow(), name="publishing")

    async def close(self) -> None:
        """End what runs in the background; write what waits, if that is quick."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self.ledger.close()
        self._store.close()
        await asyncio.get_running_loop().run_in_executor(None, self._registry.close)

    def _load(self) -> None:
        self.settings.folder.joinpath("plugins").mkdir(mode=0o700, parents=True, exist_ok=True)
        self._registry.load()

    async def _try(self) -> bool:
        try:
            await self.saving.load()
        except JuliaBoxError as error:
            log.warning("what is published cannot be read yet", reason=error.message)
            return False
        return True

    async def _follow(self) -> None:
        pause = PAUSE[0]
        while not self.published.ready:
            await asyncio.sleep(pause)
            pause = min(2 * pause, PAUSE[1])
            await self._try()
        recalled = False
        while True:
            try:
                if not recalled:
                    await self.ledger.recall()
                    recalled = True
                await self.saving.settle()
            except JuliaBoxError as error:
                log.info("the database is away", reason=error.message)
            except Exception:
                log.exception("the look at unknown outcomes stumbled")
            await asyncio.sleep(SETTLE)
