"""The pool: keeps warm containers of each image, and gives each to one session.

All decisions are taken between two awaits of one event loop: a container is in the pool, or a
session's, never both. :meth:`Pool.take` removes it from the pool in the same step in which the
caller makes it a session's in memory; the store follows in one transaction.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import Callable
from typing import Any, Final

import structlog

from juliabox_ext.errors import JuliaBoxError, NoRoomError
from juliabox_manager.live import settle
from juliabox_manager.metrics import METRICS
from juliabox_manager.parts import Parts
from juliabox_manager.policy import Policy
from juliabox_manager.pool import sizes
from juliabox_manager.pool.records import PoolShelf, WarmRecord
from juliabox_manager.pool.warm import Warm, WarmMaker, told
from juliabox_manager.protocol import PoolInfo
from juliabox_manager.settings import ManagerSettings
from juliabox_manager.usage import read

log = structlog.get_logger("juliabox.manager.pool")

#: Seconds without a start after which the pool refills, and seconds after which it does so anyway.
QUIET: Final = 0.3
PATIENCE: Final = 20.0

#: Seconds before another attempt after one that failed: the first, and the longest.
PAUSE: Final = 2.0
LONGEST_PAUSE: Final = 120.0

#: Seconds between two looks at sizes that change with the hour.
TICK: Final = 60.0


class Pool:
    """Warm containers of one manager."""

    def __init__(
        self,
        settings: ManagerSettings,
        parts: Parts,
        policy: Policy,
        starting: Callable[[], int],
        promised: Callable[[], int],
    ) -> None:
        """Work with the given parts.

        ``starting`` tells how many sessions are being started, ``promised`` how many bytes of
        memory the limits of sessions add up to.
        """
        self._settings = settings
        self._policy = policy
        self._hardening = parts.hardening
        self._shelf = PoolShelf(parts.store)
        self._maker = WarmMaker(parts, self._shelf)
        self._starting = starting
        self._promised = promised
        #: Loaded containers, oldest first; those under way; those that must go.
        self._ready: dict[str, Warm] = {}
        self._making: dict[str, WarmRecord] = {}
        self._going: set[str] = set()
        self._demand: dict[tuple[str, int], int] = {}
        self._starts = sizes.Starts()
        self._counts: Counter[tuple[str, str]] = Counter()
        self._reasons: dict[str, str] = {}
        self._failures = 0
        self._wake = asyncio.Event()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._loop: asyncio.Task[None] | None = None

    def __contains__(self, id_: str) -> bool:
        return id_ in self._ready or id_ in self._making or id_ in self._going

    # -- for sessions -------------------------------------------------------------------------

    def take(self, image: str, image_id: str) -> Warm | None:
        """Take the oldest loaded container of an image out of the pool, or return None.

        It is the caller's from here on: it makes a session of it, or removes it.
        """
        self._note_demand(image)
        if not self._size(image):
            return None
        self._wake.set()  # whether one is taken or not: sessions need room, and demand grows
        digest = self._hardening.warm_digest(image_id)
        for id_, warm in self._ready.items():
            record = warm.record
            if (record.image, record.image_id, record.digest) == (image, image_id, digest):
                del self._ready[id_]
                self._count(image, "claimed")
                return warm
        self._count(image, "missed")
        return None

    def failed(self, image: str) -> None:
        """Take note that a claimed container did not become its session."""
        self._count(image, "failed")

    def remove(self, id_: str) -> None:
        """Remove a container that was taken and became nobody's."""
        self._going.add(id_)
        self._wake.set()

    def noticed_exit(self, id_: str) -> None:
        """Take note that a container of the pool has died; one under way notices by itself."""
        warm = self._ready.pop(id_, None)
        if warm is not None:
            self._count(warm.record.image, "failed")
            self.remove(id_)

    def look_again(self) -> None:
        """Compare what there is with what should be: a session began or ended, say."""
        self._wake.set()

    # -- for the operator ---------------------------------------------------------------------

    async def infos(self) -> list[PoolInfo]:
        """Describe the pool of each image that has or should have one."""
        given = self._targets()
        held = await asyncio.to_thread(_memory, list(self._ready.values()))
        return [self._info(image, number, held) for image, number in sorted(given.items())]

    def _info(self, image: str, number: int, held: dict[str, int]) -> PoolInfo:
        ready = [warm for warm in self._ready.values() if warm.record.image == image]
        making = sum(record.image == image for record in self._making.values())
        asked = sizes.wanted(self._settings.pool, image, self._demand, time.time())
        reason = ""
        if len(ready) + making < asked:
            reason = self._reasons.get(image, "") or ("" if number == asked else self._short())
        return PoolInfo(
            image=image,
            wanted=asked,
            ready=len(ready),
            loading=making,
            claimed=self._counts[image, "claimed"],
            missed=self._counts[image, "missed"],
            failed=self._counts[image, "failed"],
            memory=sum(held.get(warm.record.id, 0) for warm in ready),
            reason=reason,
        )

    def renew(self) -> None:
        """Remove all warm containers, to be made anew."""
        for task in self._tasks:
            task.cancel()
        self._going.update(self._ready)
        self._ready.clear()
        self._wake.set()

    def states(self) -> dict[tuple[str, str], int]:
        """Count containers by image and state, for Prometheus."""
        counts: Counter[tuple[str, str]] = Counter()
        for warm in self._ready.values():
            counts[warm.record.image, "ready"] += 1
        for record in self._making.values():
            counts[record.image, "loading"] += 1
        return dict(counts)

    # -- life ---------------------------------------------------------------------------------

    async def adopt(self) -> None:
        """Take over what an earlier manager left; what is not as it was left will be removed."""
        self._demand = await self._shelf.demand()
        for record in await self._shelf.warm():
            if record.id in self:
                continue
            if self._policy.known_image(record.image) == record.image_id:
                self._making[record.id] = record
                self._spawn(self._adopt(record))
            else:
                self._going.add(record.id)

    def start(self) -> None:
        """Begin to keep the sizes; after :meth:`adopt`."""
        if self._loop is None:
            self._loop = asyncio.create_task(self._keep(), name="pool")

    async def close(self) -> None:
        """Stop working. Warm containers stay; the next manager adopts them."""
        if self._loop is not None:
            await settle(self._loop)
        await settle(*self._tasks)

    async def check(self) -> None:
        """Remove containers that have died or whose network is open, whatever was told of them."""
        for id_, warm in list(self._ready.items()):
            if not await self._maker.is_sound(warm) and self._ready.pop(id_, None) is not None:
                self._count(warm.record.image, "failed")
                self.remove(id_)

    async def _keep(self) -> None:
        while True:
            self._wake.clear()
            try:
                await self._remove_gone()
                self._shrink()
                await self._grow()
            except JuliaBoxError as error:
                log.warning("pool", error=error.message)
            except Exception:
                log.exception("the pool could not be kept")
            wait = TICK
            if self._failures or self._going:
                wait = min(PAUSE * 2 ** min(self._failures, 10), LONGEST_PAUSE)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), wait)
            if self._failures:
                # whatever wakes the pool, what just failed is not tried again at once
                await asyncio.sleep(min(PAUSE, wait))

    async def _remove_gone(self) -> None:
        for id_ in list(self._going):
            try:
                await self._maker.remove(id_)
                self._going.discard(id_)
            except JuliaBoxError as error:
                log.warning("warm container not removed yet", id=id_, error=error.message)

    def _shrink(self) -> None:
        given = self._targets()
        for image in {warm.record.image for warm in self._ready.values()}:
            own = [id_ for id_, warm in self._ready.items() if warm.record.image == image]
            making = sum(record.image == image for record in self._making.values())
            surplus = len(own) + making - given.get(image, 0)
            for id_ in own[: max(0, surplus)]:
                del self._ready[id_]
                self.remove(id_)

    async def _grow(self) -> None:
        """Make what is missing, one at a time, when nobody's start needs the processors."""
        while (image := self._shortest()) is not None:
            if not await self._quiet():
                continue
            try:
                self._policy.check_disk()
            except NoRoomError as error:
                self._reasons[image] = error.message
                self._failures += 1
                return
            record = self._maker.new(image, self._policy.image_id(image))
            self._making[record.id] = record
            work = self._spawn(self._make(record))
            await asyncio.wait({work})
            if self._failures or self._going:
                return

    async def _quiet(self) -> bool:
        """Wait until no session is being started; False if sizes should be looked at again."""
        end = time.monotonic() + PATIENCE
        calm = time.monotonic()
        while (now := time.monotonic()) < end and now - calm < QUIET:
            if self._starting():
                calm = now
            await asyncio.sleep(0.05 if self._starting() else QUIET / 3)
        return self._shortest() is not None

    def _shortest(self) -> str | None:
        """Return the image that lacks the most containers, or None."""
        given = self._targets()
        have: Counter[str] = Counter(warm.record.image for warm in self._ready.values())
        have.update(record.image for record in self._making.values())
        short = {image: number - have[image] for image, number in given.items()}
        image = max(short, key=lambda one: (short[one], one), default=None)
        return image if image is not None and short[image] > 0 else None

    async def _make(self, record: WarmRecord) -> None:
        begun = time.monotonic()
        try:
            warm = await self._maker.make(record)
            self._ready[record.id] = warm
            self._reasons.pop(record.image, None)
            self._failures = 0
            METRICS.pool_refill_seconds.observe(time.monotonic() - begun)
        except JuliaBoxError as error:
            self._fail(record, error)
        except Exception as error:
            log.exception("warm container", image=record.image)
            self._fail(record, error)
        finally:
            self._making.pop(record.id, None)
            if record.id not in self._ready:
                self._going.add(record.id)

    def _fail(self, record: WarmRecord, error: BaseException) -> None:
        self._failures += 1
        self._reasons[record.image] = told(error)
        self._count(record.image, "failed")
        log.warning("warm container could not be made", image=record.image, error=told(error))

    async def _adopt(self, record: WarmRecord) -> None:
        try:
            warm = await self._maker.adopt(record)
            if warm is not None:
                self._ready[record.id] = warm
        except JuliaBoxError as error:
            log.info("warm container not adopted", id=record.id, reason=error.message)
        finally:
            self._making.pop(record.id, None)
            if record.id not in self._ready:
                self._going.add(record.id)
            self._wake.set()

    # -- sizes --------------------------------------------------------------------------------

    def _size(self, image: str) -> int:
        return self._settings.pool.sizes.get(image, self._settings.pool.size)

    def _targets(self) -> dict[str, int]:
        """Return how many containers of each image there may be now."""
        now = time.time()
        asked = {
            image: number
            for image in self._settings.images
            if (number := sizes.wanted(self._settings.pool, image, self._demand, now))
        }
        return sizes.share(asked, self._room())

    def _room(self) -> int:
        pool, capacity = self._settings.pool, self._settings.capacity
        each = self._hardening.warm_limits.memory
        room = min(pool.maximum, pool.memory // each)
        if capacity.memory:
            room = min(room, max(0, capacity.memory - self._promised()) // each)
        return room

    def _short(self) -> str:
        capacity = self._settings.capacity
        each = self._hardening.warm_limits.memory
        if capacity.memory and capacity.memory - self._promised() < self._settings.pool.memory:
            return f"sessions leave no room: each warm container may take {each // 2**20} MiB"
        return f"pool.memory and pool.maximum admit no more of {each // 2**20} MiB each"

    def _note_demand(self, image: str) -> None:
        hour = int(time.time() // sizes.HOUR)
        most = self._starts.note(image, time.monotonic())
        if most > self._demand.get((image, hour), 0):
            self._demand[image, hour] = most
            if self._settings.pool.rule == "demand" and self._size(image):
                self._spawn(self._write_demand(image, hour, most))

    async def _write_demand(self, image: str, hour: int, most: int) -> None:
        try:
            await self._shelf.note_demand(image, hour, most)
        except JuliaBoxError as error:
            log.warning("demand is not recorded", error=error.message)

    def _count(self, image: str, outcome: str) -> None:
        self._counts[image, outcome] += 1
        METRICS.pool_claims.labels(outcome).inc()

    def _spawn(self, work: Any) -> asyncio.Task[Any]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


def _memory(warm: list[Warm]) -> dict[str, int]:
    """Return the bytes that containers use; those that have just died are left out."""
    found = {}
    for one in warm:
        with contextlib.suppress(OSError, ValueError):
            reading = read(one.pid, one.container)
            if reading is not None:
                found[one.record.id] = reading.memory
    return found
