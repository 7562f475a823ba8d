"""All containers of the engine: which version gets how many.

What needs no container for a while gives it back.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Callable, Coroutine, Iterable
from typing import Any

import structlog
import zmq

from juliabox_ext.errors import JuliaBoxError, NoRoomError
from juliabox_services.api import refusals
from juliabox_services.api.container import FATE_SECONDS, Container, Keeper, LoadFailed
from juliabox_services.api.crashes import REASONS
from juliabox_services.api.engine_contract import CallError
from juliabox_services.api.engine_figures import EngineFigures, Standing
from juliabox_services.api.intake import Intakes
from juliabox_services.api.link import Link, LinkEnded
from juliabox_services.api.models import Version
from juliabox_services.api.order import Order, Site
from juliabox_services.api.pool import Pool
from juliabox_services.api.room import Room
from juliabox_services.api.settings import Bounds
from juliabox_services.api.sweep import Sweep

#: Told of what happens to containers: version, kind of the log's line, and its text.
News = Callable[[Version, str, str], None]
#: Publisher, API, number of the version, and when it was saved: a name that is removed and taken
#: again begins anew with 1.
Key = tuple[str, str, int, float]

#: Seconds between two looks at calls that wait, and at most between two at all containers.
WATCH_SECONDS, TICK_SECONDS = 0.1, 1.0
#: Seconds between two looks at a version that is made ready.
LOOK_SECONDS = 0.05
#: Seconds until a publisher for whom the manager has no room is looked at again.
_NO_ROOM_PAUSE = 1.0
#: Containers in a row that may die while they load before it is the source that is at fault.
_DEATHS = 2

#: What the API's log says of a container's end, by its reason.
_ENDS = {
    "idle": "a container had no call for long and was ended",
    "version": "a container of a version that does not answer any more was ended",
    "worn": "a container was replaced after many calls, or because its memory had grown",
    "evicted": "a container was ended to make room for others",
    "lost": "a container was ended: a worker of it died",
    "timeout": "a container was ended: a call in it did not return in time",
    "garbled": "a container was ended: what it answered cannot be read",
}

log = structlog.get_logger("juliabox.api")


class Fleet:
    """Pools of all versions, and what they share."""

    def __init__(self, bounds: Bounds, site: Site, figures: EngineFigures, news: News) -> None:
        self._bounds = bounds
        self._site = site
        self._figures = figures
        self._news = news
        self._pools: dict[Key, Pool] = {}
        #: Which version answers; no entry if that was never told, ``None`` if none does.
        self._active: dict[tuple[str, str], Key | None] = {}
        #: Versions that are made ready to answer.
        self._coming: set[Key] = set()
        #: Containers that serve nobody: sources are looked at in them.
        self._apart: list[Container] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._watching: asyncio.TimerHandle | None = None
        self.room = Room(bounds, self._all)
        self._sweep = Sweep(site.machine, self._all)
        self._intakes = Intakes(self._links, bounds.result)
        self._changed = asyncio.Event()
        self.closing = False
        figures.watch(self._containers_now, self._outstanding_now)

    async def open(self) -> None:
        """Take away what an earlier engine left, if the manager is there, and begin to look."""
        await self._sweep.attempt()
        self._spawn(self._tick_forever(), "tick")
        self._spawn(self._sweep.for_ever(), "sweep")
        self._spawn(self._intakes.watch(), "intakes")

    async def close(self, seconds: float) -> None:
        """Make no container any more, and end all; the manager gets so many seconds for it."""
        self.closing = True
        if self._watching is not None:
            self._watching.cancel()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for pool in self._pools.values():
            pool.fail_waiting(refusals.draining)
        everything = list(self._all())
        for container in everything:
            container.end("drain")
        leaving = [one.leaving for one in everything if one.leaving is not None]
        if leaving:
            _, late = await asyncio.wait(leaving, timeout=seconds)
            for work in late:
                work.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    # -- versions ----------------------------------------------------------------------------------

    def pool(self, version: Version) -> Pool:
        """Return the pool of a version."""
        key = key_of(version)
        pool = self._pools.get(key)
        if pool is None:
            pool = Pool(version, self._bounds, self._need, self._provide, self._left)
            self._pools[key] = pool
            self._set_activity(key, pool)
        return pool

    def activate(self, version: Version | None, publisher: str, api: str) -> None:
        """Take note of which version answers; see :class:`Back`."""
        key = key_of(version) if version is not None else None
        news = self._active.get((publisher, api)) != key
        self._active[publisher, api] = key
        used = any(one.containers for one in self._of(publisher, api))
        self._coming = {one for one in self._coming if one[:2] != (publisher, api)}
        if version is not None:
            self.pool(version)
        for one_key, pool in list(self._pools.items()):
            if one_key[:2] != (publisher, api):
                continue
            self._set_activity(one_key, pool)
            if pool.active and news:
                pool.urged = used
            for container in pool.idle_too_long(float("-inf")):
                container.close("version")
            self._provide(pool)

    async def prepare(self, version: Version, seconds: float) -> None:
        """Have a container of a version ready before it answers; see :class:`Back`."""
        key, until = key_of(version), _now() + seconds
        others = [one for one in self._of(*key[:2]) if key_of(one.version) != key]
        if self.closing or not any(one.serving for one in others):
            return
        self._coming.add(key)
        # one that is not activated after all is as any other that does not answer
        asyncio.get_running_loop().call_later(2 * seconds, self._not_coming, key)
        pool = self.pool(version)
        self._set_activity(key, pool)
        pool.urged = not pool.serving
        self._provide(pool)
        while not pool.serving and (pool.staffed or pool.urged) and not self.closing:
            if _now() > until:
                return
            await asyncio.sleep(LOOK_SECONDS)

    def _not_coming(self, key: Key) -> None:
        self._coming.discard(key)
        pool = self._pools.get(key)
        if pool is not None:
            self._set_activity(key, pool)

    def _set_activity(self, key: Key, pool: Pool) -> None:
        pool.active = self._active.get(key[:2], key) == key or key in self._coming
        options = pool.version.options
        pool.minimum = min(options.minimum, pool.maximum) if pool.active else 0

    def _of(self, publisher: str, api: str) -> list[Pool]:
        return [pool for key, pool in self._pools.items() if key[:2] == (publisher, api)]

    def load(self, publisher: str, api: str) -> tuple[int, int]:
        """Return containers and outstanding calls of an API."""
        pools = self._of(publisher, api)
        return sum(len(pool.containers) for pool in pools), sum(pool.outstanding for pool in pools)

    # -- how many ----------------------------------------------------------------------------------

    def _need(self, pool: Pool) -> None:
        """See to a pool that may lack something: at once if it has nothing, else in a moment."""
        if pool.waiting and self._watching is None and not self.closing:
            self._watching = asyncio.get_running_loop().call_later(WATCH_SECONDS, self._watch)
        if not (pool.waiting and pool.staffed):
            self._provide(pool)

    def _provide(self, pool: Pool) -> None:
        """Make what a pool lacks, as far as there is room."""
        if self.closing:
            return
        lacking = pool.lacking(_now())
        while lacking > 0 and self.room.for_pool(pool):
            self._launch(pool)
            lacking -= 1
        if lacking <= 0:
            pool.close_worn()

    def _watch(self) -> None:
        """Look at the calls that wait, and again soon if there are any."""
        self._watching = None
        waiting = [pool for pool in self._pools.values() if pool.waiting]
        for pool in waiting:
            self._provide(pool)
        if waiting:
            self._watching = asyncio.get_running_loop().call_later(WATCH_SECONDS, self._watch)

    async def change(self, seconds: float) -> None:
        """Wait until a container has gone, at most so long."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._changed.wait()

    def _all(self) -> Iterable[Container]:
        for pool in self._pools.values():
            yield from pool.containers
        yield from self._apart

    def _links(self) -> Iterable[Link]:
        for container in self._all():
            for worker in container.workers:
                if worker.link is not None:
                    yield worker.link

    # -- making them -------------------------------------------------------------------------------

    def _launch(self, pool: Pool) -> None:
        container = Container(pool.order, self._site, pool)
        pool.containers.append(container)
        self._spawn(self._bring_up(pool, container), f"start {pool.order.api}")

    def apart(self, order: Order, keeper: Keeper) -> Container:
        """Return a container of which nobody else has anything, to be started and ended there."""
        container = Container(order, self._site, keeper)
        self._apart.append(container)
        return container

    def gone_apart(self, container: Container) -> None:
        """Forget such a container."""
        self._apart.remove(container)
        self._left(container)

    async def _bring_up(self, pool: Pool, container: Container) -> None:
        begun = _now()
        try:
            loaded = await container.start()
        except (JuliaBoxError, LoadFailed, LinkEnded, zmq.ZMQError) as error:
            await self._not_started(pool, container, error)
            return
        except asyncio.CancelledError:
            container.end("drain")
            raise
        except Exception:
            log.exception("a container could not be started", api=pool.order.api)
            pool.failed(refusals.starting("no container could be started"), _now())
            return
        self._figures.starts.labels("ok").inc()
        self._figures.start_seconds.observe(_now() - begun)
        words = f"a container is ready after {_now() - begun:.1f} s"
        self._news(pool.version, "container", words)
        if loaded.printed:
            self._news(pool.version, "load", loaded.printed)
        pool.opened(container)

    async def _not_started(self, pool: Pool, container: Container, error: Exception) -> None:
        died = isinstance(error, LinkEnded) and error.cause == "lost"
        again = died and pool.failures + 1 < _DEATHS
        if again:
            # it may have been killed from outside: those who wait get a second one
            pool.strike()
        else:
            # none is made until it is known whose fault it is, also if the machine stands still
            pool.blocked_until = _now() + 3 * FATE_SECONDS
        refusal = self._refusal(error, not again and died and not (await container.fate()).own)
        self._figures.starts.labels(refusal.code).inc()
        self._news(pool.version, "load", refusal.message)
        log.warning(
            "a container could not be had",
            publisher=pool.order.publisher,
            api=pool.order.api,
            container=container.id,
            reason=str(error),
        )
        if again:
            self._provide(pool)
        else:
            no_room = isinstance(error, NoRoomError)
            pool.failed(refusal, _now(), _NO_ROOM_PAUSE if no_room else None)

    def _refusal(self, error: Exception, outside: bool) -> CallError:
        """Return what callers are told; ``outside``: the source is not known to be at fault."""
        if isinstance(error, LoadFailed):
            told = error.told
            return refusals.not_loading(
                f"the source does not load any more: {told.message}", told.frames, told.printed
            )
        if isinstance(error, LinkEnded) and error.sent and not outside:
            if error.cause == "timeout":
                seconds = self._bounds.load_timeout
                return refusals.not_loading(f"the source did not load within {seconds:g} s")
            return refusals.not_loading("the worker died while it loaded the source")
        if isinstance(error, NoRoomError):
            return refusals.starting("there is no room for a container of this API now")
        return refusals.starting("no container can be started now", refusals.LATER)

    def _left(self, container: Container) -> None:
        """Take note that room is free."""
        self._changed.set()
        self._changed = asyncio.Event()
        self._figures.ends.labels(container.reason).inc()
        if self.closing:
            return
        keeper = container.keeper
        if isinstance(keeper, Pool) and container.reason in _ENDS:
            words, crashes = _ENDS[container.reason], keeper.crashes
            if crashes.pause and container.reason in REASONS:
                words += f"; {crashes.words}, so the next waits for {crashes.pause:g} s"
            self._news(keeper.version, "container", words)
        # those without any first, and who calls before what is only kept ready
        for pool in sorted(self._pools.values(), key=lambda one: (one.staffed, not one.waiting)):
            if pool.waiting or pool.minimum or pool.urged:
                self._provide(pool)

    # -- from time to time -------------------------------------------------------------------------

    async def _tick_forever(self) -> None:
        pause = min(TICK_SECONDS, self._bounds.idle / 4)
        while True:
            await asyncio.sleep(pause)
            try:
                self._tick()
            except Exception:
                log.exception("the look at all containers failed")

    def _tick(self) -> None:
        now = _now()
        for key, pool in list(self._pools.items()):
            for container in pool.idle_too_long(now - self._bounds.idle):
                container.close("idle" if pool.active else "version")
            self._provide(pool)
            if not (pool.active or pool.containers or pool.outstanding):
                del self._pools[key]

    # -- figures -----------------------------------------------------------------------------------

    def _containers_now(self) -> Iterable[Standing]:
        return Counter((one.order.publisher, one.order.api) for one in self._all()).items()

    def _outstanding_now(self) -> Iterable[Standing]:
        found: Counter[tuple[str, str]] = Counter()
        for key, pool in self._pools.items():
            found[key[:2]] += pool.outstanding
        return found.items()

    def _spawn(self, work: Coroutine[Any, Any, None], name: str) -> None:
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def key_of(version: Version) -> Key:
    """Return what names a version for good."""
    return (*version.key, version.saved)


def _now() -> float:
    return asyncio.get_running_loop().time()
