"""The manager: one handler for each verb, and the work that goes on by itself."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Final

import structlog

from juliabox_ext.errors import JuliaBoxError, NotFoundError, UnavailableError
from juliabox_manager import protocol
from juliabox_manager.apis import Apis
from juliabox_manager.containers import Containers
from juliabox_manager.endings import out_of_memory
from juliabox_manager.engine import Engine, EngineInfo, Notice
from juliabox_manager.events import EventLog
from juliabox_manager.hardening import Hardening, home_target
from juliabox_manager.lifecycle import Lifecycle
from juliabox_manager.live import Registry, settle
from juliabox_manager.metrics import METRICS
from juliabox_manager.parts import NetworkPart, Parts, SlotsPart, VolumesPart
from juliabox_manager.policy import Policy
from juliabox_manager.pool import Pool
from juliabox_manager.pool.size import Room
from juliabox_manager.protocol import (
    Event,
    ImageInfo,
    Pong,
    PoolInfo,
    SessionInfo,
    StatsInfo,
    Verb,
    VolumeInfo,
)
from juliabox_manager.reconcile import Reconciler
from juliabox_manager.records import Kind
from juliabox_manager.retired import Retired
from juliabox_manager.sessions import Sessions
from juliabox_manager.settings import ManagerSettings
from juliabox_manager.store import Store
from juliabox_manager.tasks.calls import Calls
from juliabox_manager.tasks.tasks import Tasks
from juliabox_manager.tasks.works import Works
from juliabox_manager.usage import Usage

log = structlog.get_logger("juliabox.manager")

#: Seconds between two attempts of the first reconcile while the engine does not answer.
_RETRY: Final = 1.0

#: Seconds between two looks at a few sessions, if all are to be looked at within a minute.
LOOK_EVERY: Final = 1.0

#: Seconds that a verb waits for the first reconcile.
READY_LIMIT: Final = 15.0

Handler = Callable[[Any], Awaitable[Any]]


class Manager:
    """The container manager of one instance."""

    def __init__(  # noqa: PLR0917 one argument for each part
        self,
        settings: ManagerSettings,
        store: Store,
        engine: Engine,
        slots: SlotsPart,
        volumes: VolumesPart,
        network: NetworkPart,
    ) -> None:
        """Put the parts together; raises ``ConfigurationError`` if settings cannot be used."""
        self._settings = settings
        self._store = store
        self._engine = engine
        self._volumes = volumes
        self._policy = Policy(settings)
        self._hardening = Hardening(settings)
        self._events = EventLog(store)
        self._registry = Registry()
        self._retired = Retired(self._registry, self._policy)
        parts = Parts(
            store=store,
            engine=engine,
            slots=slots,
            volumes=volumes,
            network=network,
            hardening=self._hardening,
            events=self._events,
            target=partial(home_target, settings),
        )
        self._pool = Pool(settings, parts, self._room)
        lifecycle = Lifecycle(parts, self._pool)
        rules = self._policy, self._hardening, self._events, self._pool
        self._containers = Containers(self._registry, lifecycle, *rules)
        self._sessions = Sessions(self._registry, self._containers, *rules)
        apis = Apis(self._registry, self._containers, *rules)
        self._usage = Usage(self._registry, engine, volumes)
        self._reconciler = Reconciler(
            parts, self._registry, lifecycle, self._containers, self._pool
        )
        self._reconciled = asyncio.Event()
        self._reconciling = asyncio.Lock()
        self._info: EngineInfo | None = None
        self._look_again = asyncio.Event()
        self._work: asyncio.Task[None] | None = None
        works = Works(settings, engine, volumes, self._reconcile_once)
        self.tasks = Tasks(settings, store, self._events, Calls(self.handle, works.table))
        self._handlers: dict[type[Verb], Handler] = {
            protocol.SessionCreate: self._sessions.create,
            protocol.SessionStart: self._sessions.start,
            protocol.SessionInspect: self._inspect,
            protocol.SessionFind: self._find,
            protocol.SessionList: self._list,
            protocol.SessionStop: self._sessions.stop,
            protocol.SessionRetire: self._sessions.retire,
            protocol.SessionRemove: self._remove,
            protocol.SessionUsage: self._usage.one,
            protocol.SessionUsages: self._usage.many,
            protocol.ApiCreate: apis.create,
            protocol.ApiStart: apis.start,
            protocol.ApiList: apis.list,
            protocol.ApiRetire: apis.retire,
            protocol.ImageList: self._images,
            protocol.ImageEnsure: self._image,
            protocol.VolumeList: self._list_volumes,
            protocol.VolumeRemove: self._remove_volume,
            protocol.VolumeRestore: self._restore_volume,
            protocol.PoolList: self._pools,
            protocol.PoolRenew: self._renew_pools,
            protocol.TaskList: self.tasks.list,
            protocol.TaskResults: self.tasks.results,
            protocol.Stats: self._stats,
            protocol.Events: self._read_events,
            protocol.Ping: self._ping,
        }

    @property
    def ready(self) -> bool:
        """Whether the first reconcile is done."""
        return self._reconciled.is_set()

    async def start(self) -> None:
        """Open the store and begin to reconcile; returns before ``ready``.

        The engine need not answer yet. Raises ``ConfigurationError`` if the store cannot be used.
        """
        await self._store.open()
        await self._events.open()
        METRICS.watch_sessions(partial(self._count, "session"))
        METRICS.watch_apis(partial(self._count, "api"))
        METRICS.watch_pool(self._pool.states)
        self._work = asyncio.create_task(self._reconcile(), name="reconcile")

    def ending(self) -> None:
        """Answer who waits for news, before the server is closed; they ask the next manager."""
        self._events.close()

    async def close(self) -> None:
        """Stop working. Sessions go on; the next manager adopts them."""
        self._reconciled.clear()
        if self._work is not None:
            await settle(self._work)
        await self._containers.close()
        await self._pool.close()
        await self._engine.close()
        await self._store.close()

    async def handle(self, client: str, verb: Verb) -> Any:
        """Carry out a client's verb; return its result or raise a ``JuliaBoxError``.

        Just after a start, verbs wait for the first reconcile, so that a restart is not felt.
        """
        if not self.ready and not isinstance(verb, protocol.Ping):
            await self._await_ready()
        if isinstance(verb, protocol.TaskRun):
            return await self.tasks.ask(client, verb)
        return await self._handlers[type(verb)](verb)

    async def _await_ready(self) -> None:
        try:
            async with asyncio.timeout(READY_LIMIT):
                await self._reconciled.wait()
        except TimeoutError:
            raise UnavailableError(
                "the manager has started and cannot look at what there is; see that the Docker "
                "engine runs, then try again",
                code="manager.starting",
            ) from None

    # -- sessions -----------------------------------------------------------------------------

    async def _inspect(self, verb: protocol.SessionInspect) -> SessionInfo:
        return self._sessions.info(self._registry.named(verb.session))

    async def _find(self, verb: protocol.SessionFind) -> SessionInfo:
        live = self._registry.find(verb.owner, verb.server)
        if live is None:
            raise NotFoundError(
                f"{verb.owner} has no session {verb.server!r}", code="not_found.session"
            )
        return self._sessions.info(live)

    async def _list(self, _: protocol.SessionList) -> list[SessionInfo]:
        return [self._sessions.info(live) for live in self._registry.all("session")]

    async def _remove(self, verb: protocol.SessionRemove) -> None:
        await self._sessions.remove(verb.session)

    # -- images and volumes -------------------------------------------------------------------

    async def _images(self, _: protocol.ImageList) -> list[ImageInfo]:
        names = sorted(self._settings.images.items())
        present = await asyncio.gather(*(self._engine.image_present(id_) for _, id_ in names))
        return [
            ImageInfo(image=name, id=id_, present=there)
            for (name, id_), there in zip(names, present, strict=True)
        ]

    async def _image(self, verb: protocol.ImageEnsure) -> ImageInfo:
        image_id = self._policy.image_id(verb.image)
        if not await self._engine.image_present(image_id):
            raise NotFoundError(
                f"image {verb.image} is allowed but not on this instance; "
                "the operator runs `juliabox up` to build it",
                code="image.missing",
            )
        return ImageInfo(image=verb.image, id=image_id, present=True)

    async def _list_volumes(self, verb: protocol.VolumeList) -> list[VolumeInfo]:
        return await self._volumes.volumes(verb.owner)

    async def _remove_volume(self, verb: protocol.VolumeRemove) -> None:
        await self._retired.leave_home(verb.owner)
        await self._volumes.remove(verb.owner)

    async def _restore_volume(self, verb: protocol.VolumeRestore) -> VolumeInfo:
        return await self._volumes.restore(verb.owner)

    # -- pools --------------------------------------------------------------------------------

    async def _pools(self, _: protocol.PoolList) -> list[PoolInfo]:
        return await self._pool.infos()

    async def _renew_pools(self, _: protocol.PoolRenew) -> None:
        await self._pool.renew()

    def _room(self, kind: Kind) -> Room:
        """Tell what sessions, or API containers, leave for warm containers of their kind."""
        tally, api = self._registry.tallies[kind], self._settings.api
        most, memory = self._settings.capacity.sessions, self._settings.capacity.memory
        if kind == "api":
            most, memory = (0, 0) if api is None else (api.containers, api.memory)
        left = memory - tally.memory if memory else None
        return Room(containers=most - tally.living, memory=left)

    # -- the instance -------------------------------------------------------------------------

    async def _stats(self, _: protocol.Stats) -> StatsInfo:
        info = self._info or await self._ask_engine()
        tallies = self._registry.tallies
        return StatsInfo(
            sessions=tallies["session"].living,
            sessions_limit=self._settings.capacity.sessions,
            memory_total=info.memory,
            memory_promised=sum(tally.memory for tally in tallies.values()),
            disk_free=await asyncio.to_thread(self._policy.disk_free),
            engine=info.version,
            volumes_used=await self._volumes_used(),
            api_containers=tallies["api"].living,
        )

    async def _volumes_used(self) -> float:
        try:
            return round(await self._volumes.disk_ids_used_pct(), 1)
        except JuliaBoxError as error:
            log.warning("the use of volumes is not known", error=error.message)
            return 0.0

    async def _read_events(self, verb: protocol.Events) -> list[Event]:
        return await self._events.after(verb.after, verb.wait, verb.session)

    async def _ping(self, _: protocol.Ping) -> Pong:
        return Pong(ready=self.ready, instance=self._settings.instance)

    # -- by itself ----------------------------------------------------------------------------

    def _count(self, kind: Kind) -> dict[str, int]:
        states = self._registry.tallies[kind].states
        return {str(state): number for state, number in states.items()}

    async def _ask_engine(self) -> EngineInfo:
        self._info = await self._engine.info()
        self._hardening.blkio = self._info.blkio
        return self._info

    async def _reconcile(self) -> None:
        """Reconcile until it succeeds once, then whenever it is time."""
        while not self.ready:
            try:
                await self._ask_engine()
                await self._reconciler.first()
                self._reconciled.set()
            except JuliaBoxError as error:
                log.warning("first reconcile failed; trying again", error=error.message)
                await asyncio.sleep(_RETRY)
            except Exception:
                log.exception("first reconcile failed; trying again")
                await asyncio.sleep(_RETRY)
        log.info("ready", sessions=self._count("session"), apis=self._count("api"))
        self._engine.watch(self._noticed)
        self._pool.begin()
        interval = self._settings.reconcile_interval
        tick = min(interval, max(LOOK_EVERY, interval / 60))
        while True:
            missed = True
            try:
                # not wait_for, which loses a cancellation that comes with the news
                async with asyncio.timeout(tick):
                    await self._look_again.wait()
            except TimeoutError:
                missed = False
            self._look_again.clear()
            try:
                if missed:
                    await self._reconcile_once()
                else:
                    async with self._reconciling:
                        await self._reconciler.some(tick / interval, interval)
            except JuliaBoxError as error:
                log.warning("reconcile failed", error=error.message)
            except Exception:
                log.exception("reconcile failed")

    async def _reconcile_once(self) -> None:
        """Reconcile again; one at a time, whoever asks."""
        async with self._reconciling:
            await self._reconciler.again()

    def _noticed(self, notice: Notice) -> None:
        if notice.kind == "resync":
            self._info = None
            self._look_again.set()
        elif notice.kind == "die":
            self._containers.noticed_exit(notice)
            self._pool.noticed_exit(notice.session, notice.container)
        elif (live := self._registry.get(notice.session)) is not None:
            reason = out_of_memory(live.record.limits)
            self._events.tell("state", live.record, live.record.state, reason)
