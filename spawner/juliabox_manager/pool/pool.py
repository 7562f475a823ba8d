"""As many warm containers as there should be, each given to one session at most.

What is in the pool is there by its id alone: :meth:`Pool.take` takes it out in one step, without
waiting, and whoever asks next cannot find it. One task keeps the pool at its size: it makes a few
at a time, waits while people's sessions start, and removes what is too much or outdated.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator, Mapping
from typing import Any, Final

import structlog

from juliabox_ext.errors import JuliaBoxError
from juliabox_manager.engine import Container
from juliabox_manager.live import settle, while_it_lives
from juliabox_manager.metrics import METRICS
from juliabox_manager.parts import Parts
from juliabox_manager.pool import shelf
from juliabox_manager.pool.demand import Demand
from juliabox_manager.pool.images import Images
from juliabox_manager.pool.size import Room
from juliabox_manager.pool.warm import Maker, Warm
from juliabox_manager.protocol import Limits, PoolInfo
from juliabox_manager.records import Kind
from juliabox_manager.settings import ManagerSettings
from juliabox_manager.usage import read

log = structlog.get_logger("juliabox.manager.pool")

#: Warm containers that are made at once.
AT_ONCE: Final = 2

#: Seconds without a start before one is made, and the longest that starts can put it off.
QUIET: Final = 0.5
LONGEST_PAUSE: Final = 30.0

#: Seconds between two looks at the size, which changes with the hour.
LOOK: Final = 60.0

#: Seconds before another attempt for an image whose container could not be made; doubled by each.
FIRST_WAIT: Final = 2.0
LONGEST_WAIT: Final = 600.0

_DIED: Final = "a warm container died while it was made"


class _Trouble:
    """Why an image's containers cannot be made now."""

    def __init__(self, reason: str, wait: float) -> None:
        self.reason = reason
        self.wait = wait
        self.until = time.monotonic() + wait


class Pool:
    """The warm containers of one manager."""

    def __init__(
        self, settings: ManagerSettings, parts: Parts, room: Callable[[Kind], Room]
    ) -> None:
        """Ask ``room`` for what sessions, or API containers, leave."""
        self._store = parts.store
        self._network = parts.network
        self._engine = parts.engine
        self._maker = Maker(parts)
        self._demand = Demand(parts.store)
        self._images = Images(settings, self._demand, room)
        self._warm: dict[str, Warm] = {}
        self._counts: dict[str, Counter[str]] = {image: Counter() for image in self._images.ids}
        self._trouble: dict[str, _Trouble] = {}
        self._busy = 0
        self._last_busy = 0.0
        self._changed = asyncio.Event()
        self._works: set[asyncio.Task[None]] = set()
        self._keeper: asyncio.Task[None] | None = None

    # -- for sessions -------------------------------------------------------------------------

    def take(self, image: str, limits: Limits) -> Warm | None:
        """Take a loaded container of an image out of the pool; None if there is none.

        It is the caller's from now on, and never comes back.
        """
        if not self._images.pooled(image):
            return None
        self._demand.note(image)
        self._changed.set()
        # what it has used already must fit
        fits = limits.memory >= self._images.warm_memory(image)
        for warm in self._warm.values() if fits else ():
            if warm.ready and warm.record.image == image:
                del self._warm[warm.session]
                self._count(image, "claimed")
                return warm
        self._count(image, "missed")
        return None

    def give_up(self, warm: Warm) -> None:
        """Remove a container that was taken and whose claim could not be written down."""
        self._warm[warm.session] = warm
        self._fell_out(warm.record.image)
        self._remove_later(warm)

    def replaced(self, image: str) -> None:
        """Count a claimed container that did not become its session."""
        METRICS.pool_claims.labels(image, "replaced").inc()
        self._fell_out(image)

    @contextlib.contextmanager
    def put_off(self) -> Iterator[None]:
        """Make no warm container while a session is made or started: it needs the processors."""
        self._busy += 1
        try:
            yield
        finally:
            self._busy -= 1
            self._last_busy = time.monotonic()

    # -- for the operator ---------------------------------------------------------------------

    async def infos(self) -> list[PoolInfo]:
        """Describe the pool of each image."""
        held = await asyncio.to_thread(_held, list(self._warm.values()))
        sizes = sorted(self._images.sizes().items())
        return [self._info(image, size, bound, held) for image, (size, bound) in sizes]

    async def renew(self) -> None:
        """Remove all warm containers; they are made anew, also where that failed before."""
        self._trouble.clear()
        for warm in list(self._warm.values()):
            self._remove_later(warm)
        self._changed.set()

    def states(self) -> dict[str, int]:
        """Count warm containers by state."""
        ready = sum(warm.ready for warm in self._warm.values())
        return {"ready": ready, "loading": len(self._warm) - ready}

    # -- for reconcile ------------------------------------------------------------------------

    def knows(self, session: str) -> bool:
        """Return whether a container or slot of this id is the pool's."""
        return session in self._warm

    async def adopt(self, containers: Mapping[str, Container], sessions: set[str]) -> None:
        """Take over what an earlier manager left, or have it removed; may be called again.

        ``sessions`` have a record; what has one is not the pool's.
        """
        await self._demand.load()
        for row in await shelf.rows(self._store):
            if row.session in sessions:
                await shelf.delete(self._store, row.session)
                continue
            if row.session in self._warm:
                continue
            warm = self._warm[row.session] = Warm(row)
            found = containers.get(row.session)
            image_id = self._images.ids.get(row.image)
            if found is None or not found.running:
                self._remove_later(warm)
            elif self._maker.is_present(row, image_id, found.digest):
                warm.container = found.id
                warm.task = self._spawn(self._take_over(warm))
            else:
                log.info("an outdated warm container is replaced", session=row.session)
                self._remove_later(warm)

    def begin(self) -> None:
        """Keep the pool at its size from now on."""
        if self._keeper is None:
            self._keeper = asyncio.create_task(self._keep(), name="pool")

    async def look_after(self) -> None:
        """Remove what has died, or whose network policy is not as it should be."""
        for warm in list(self._warm.values()):
            if warm.left_over:
                self._remove_later(warm)
            elif warm.ready:
                if not await self._sound(warm) and self._is_here(warm):
                    self._fell_out(warm.record.image)
                    self._remove_later(warm)
            elif warm.pid and not warm.gone and await self._has_died(warm):
                # the engine's news of it was missed, and its modules would be awaited for long
                warm.exited.set()

    async def _has_died(self, warm: Warm) -> bool:
        """Return whether a container does not run any more, as far as the engine tells."""
        try:
            found = await self._engine.inspect(warm.session)
        except JuliaBoxError:
            return False
        return found is None or not found.running

    async def _sound(self, warm: Warm) -> bool:
        """Return whether a container runs, with its network closed."""
        try:
            found = await self._engine.inspect(warm.session)
            if found is None or not found.running or found.pid != warm.pid:
                return False
            if await self._network.in_place(warm.pid, warm.record.kind):
                return True
        except JuliaBoxError as error:
            log.warning("warm container", session=warm.session, error=error.message)
            return False
        METRICS.policy_repairs.inc()
        return False

    def _is_here(self, warm: Warm) -> bool:
        return self._warm.get(warm.session) is warm and warm.ready

    def noticed_exit(self, session: str, container: str) -> None:
        """Take note that a container has died."""
        warm = self._warm.get(session)
        if warm is None or warm.gone or (container and container != warm.container):
            return
        warm.exited.set()
        if warm.ready:
            self._fell_out(warm.record.image)
            self._remove_later(warm)

    async def close(self) -> None:
        """Cut off all work; the next manager takes over what there is."""
        if self._keeper is not None:
            await settle(self._keeper)
        await settle(*self._works)

    # -- keeping ------------------------------------------------------------------------------

    async def _keep(self) -> None:
        while True:
            self._changed.clear()
            try:
                await self._calm()
                again = self._adjust()
                await self._demand.save()
            except JuliaBoxError as error:
                log.warning("pool", error=error.message)
                again = FIRST_WAIT
            except Exception:
                log.exception("the pool cannot be kept")
                again = LOOK
            with contextlib.suppress(TimeoutError):
                # not wait_for, which loses a cancellation that comes with the news
                async with asyncio.timeout(again):
                    await self._changed.wait()

    async def _calm(self) -> None:
        """Wait until no session starts; not for ever."""
        end = time.monotonic() + LONGEST_PAUSE
        while self._busy or time.monotonic() < self._last_busy + QUIET:
            if time.monotonic() > end:
                return
            await asyncio.sleep(QUIET / 5)

    def _adjust(self) -> float:
        """Begin to make what is missing, remove what is too much; return when to look again."""
        again = LOOK
        # also of images that are to have none any more
        none = {warm.record.image: (0, "") for warm in self._warm.values()}
        for image, (size, _) in {**none, **self._images.sizes()}.items():
            present = [warm for warm in self._of(image) if not warm.gone]
            present.sort(key=lambda warm: not warm.ready)
            for warm in present[size:]:
                self._remove_later(warm)
            for _ in range(size - len(present)):
                trouble = self._trouble.get(image)
                if trouble is not None and time.monotonic() < trouble.until:
                    again = min(again, trouble.until - time.monotonic())
                    break
                if self._making() >= (1 if trouble else AT_ONCE):
                    break
                self._make_later(image)
        return max(again, 0.01)

    def _making(self) -> int:
        return sum(not warm.ready and not warm.gone for warm in self._warm.values())

    def _make_later(self, image: str) -> None:
        warm = self._maker.new(image, self._images.ids[image], self._images.kind(image))
        self._warm[warm.session] = warm
        warm.task = self._spawn(self._make(warm))

    async def _make(self, warm: Warm) -> None:
        begun, image = time.monotonic(), warm.record.image
        try:
            await while_it_lives(warm.exited, self._maker.make(warm), _DIED, "pool.died")
        except (JuliaBoxError, TimeoutError) as error:
            self._failed(image, str(error) or "its modules were not loaded in time")
            self._remove_later(warm)
        except Exception as error:
            log.exception("a warm container cannot be made", image=image)
            self._failed(image, f"the manager failed ({type(error).__name__}); see its log")
            self._remove_later(warm)
        else:
            METRICS.pool_refill_seconds.observe(time.monotonic() - begun)
            self._trouble.pop(image, None)
            self._is_ready(warm)

    async def _take_over(self, warm: Warm) -> None:
        try:
            await while_it_lives(warm.exited, self._maker.adopt(warm), _DIED, "pool.died")
        except Exception as error:
            log.warning(
                "a warm container is not taken over", session=warm.session, error=str(error)
            )
            self._remove_later(warm)
        else:
            self._is_ready(warm)

    def _is_ready(self, warm: Warm) -> None:
        if not warm.gone:
            warm.ready = True
            log.info("warm container ready", session=warm.session, image=warm.record.image)
        self._changed.set()

    def _remove_later(self, warm: Warm) -> None:
        """Remove a container, now nobody's for good."""
        if not warm.leaving and self._warm.get(warm.session) is warm:
            warm.leaving, warm.ready = True, False
            warm.left_over = False
            self._spawn(self._remove(warm))

    async def _remove(self, warm: Warm) -> None:
        if warm.task is not None:
            await settle(warm.task)
        try:
            await self._maker.remove(warm)
        except JuliaBoxError as error:
            # it is nobody's, and the next reconcile tries again
            log.warning("warm container not removed", session=warm.session, error=error.message)
            warm.leaving, warm.left_over = False, True
        else:
            self._warm.pop(warm.session, None)
            self._changed.set()

    # -- counting -----------------------------------------------------------------------------

    def _of(self, image: str) -> list[Warm]:
        return [warm for warm in self._warm.values() if warm.record.image == image]

    def _info(self, image: str, size: int, bound: str, held: Mapping[str, int]) -> PoolInfo:
        present = self._of(image)
        ready = sum(warm.ready for warm in present)
        loading = sum(not warm.ready and not warm.gone for warm in present)
        trouble = self._trouble.get(image)
        # a failure is told until an attempt succeeds, a bound only when nothing is under way
        reason = trouble.reason if trouble is not None else "" if loading else bound
        counts = self._counts[image]
        return PoolInfo(
            image=image,
            wanted=size,
            ready=ready,
            loading=loading,
            claimed=counts["claimed"],
            missed=counts["missed"],
            failed=counts["failed"],
            memory=sum(held.get(warm.session, 0) for warm in present),
            reason=reason,
        )

    def _count(self, image: str, outcome: str) -> None:
        self._counts[image][outcome] += 1
        METRICS.pool_claims.labels(image, outcome).inc()

    def _fell_out(self, image: str) -> None:
        self._counts[image]["failed"] += 1
        METRICS.pool_failures.labels(image).inc()
        self._changed.set()

    def _failed(self, image: str, reason: str) -> None:
        before = self._trouble.get(image)
        wait = min(LONGEST_WAIT, before.wait * 2) if before is not None else FIRST_WAIT
        self._trouble[image] = _Trouble(reason, wait)
        self._fell_out(image)
        log.warning("a warm container failed", image=image, reason=reason, next_attempt=wait)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._works.add(task)
        task.add_done_callback(self._works.discard)
        return task


def _held(warm: list[Warm]) -> dict[str, int]:
    """Return the bytes that containers use now, without those that cannot be read."""
    found = {}
    for one in warm:
        with contextlib.suppress(OSError, ValueError):
            if (reading := read(one.pid, one.container)) is not None:
                found[one.session] = reading.memory
    return found
