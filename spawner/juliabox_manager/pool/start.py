"""The start of a session in the warm container that it has claimed.

Its network has been closed since it was made, by rules that nothing in it can change, and is
compared by every reconcile; that it lives is what its connection tells, which comes from its own
namespace. So all that is left is to mount the home and to hand over, while the engine raises its
limits. Whatever fails but the home itself costs the container, not the session.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from resource import getpagesize
from typing import Final

import structlog

from juliabox_ext.errors import ConflictError, InternalError, JuliaBoxError
from juliabox_manager.engine import Container
from juliabox_manager.live import Live, settle, to_its_end, while_it_lives
from juliabox_manager.parts import Parts
from juliabox_manager.pool.pool import Pool
from juliabox_manager.usage import memory_limit

log = structlog.get_logger("juliabox.manager.pool")

#: Seconds for a loaded entry program to be connected, and to accept its environment: it waits for
#: nothing else. One that has been frozen costs a start no more than these.
ENTRY_LIMIT: Final = 3.0
ACCEPT_LIMIT: Final = 8.0

#: Seconds until limits are raised again that could not be raised.
RAISE_AGAIN: Final = 2.0

#: Hands the environment over and waits until the server listens: the session, the environment,
#: and seconds for its acceptance.
HandOver = Callable[[Live, dict[str, str], float], Awaitable[None]]


class WarmStart:
    """Starts sessions in warm containers."""

    def __init__(self, parts: Parts, pool: Pool, hand_over: HandOver) -> None:
        """Work with the given parts."""
        self._pool = pool
        self._engine = parts.engine
        self._slots = parts.slots
        self._network = parts.network
        self._hardening = parts.hardening
        self._hand_over = hand_over
        self._raising: set[asyncio.Task[None]] = set()

    async def begin(
        self, live: Live, environment: dict[str, str], attach: Callable[[], Awaitable[None]]
    ) -> bool:
        """Start a session; False if its container did not become it, and must be replaced.

        The intent is on disk already. Raises what ``attach`` raises.
        """
        session = live.record.session
        home = asyncio.ensure_future(attach())
        try:
            await while_it_lives(
                live.exited,
                self._begin(live, environment, home),
                "the warm container died",
                "pool.died",
            )
        except Exception as error:
            if home.done() and not home.cancelled() and home.exception() is not None:
                raise
            if not isinstance(error, JuliaBoxError):
                log.exception("warm start failed", session=session)
            log.warning("a warm container did not become its session", session=session,
                        reason=str(error))  # fmt: skip
            self._pool.replaced(live.record.image)
            return False
        finally:
            if not home.done():
                # else nothing must give way: a death from here on is noticed by nobody else
                await settle(home)
        return True

    async def _begin(
        self, live: Live, environment: dict[str, str], home: asyncio.Future[None]
    ) -> None:
        if not live.pid:
            await self._find(live)
        # meanwhile it has less than the session may have, never more
        raising = self._raise_behind(live)
        going = asyncio.create_task(self._hand_over_when_mounted(live, environment, home))
        try:
            await asyncio.wait({raising, going}, return_when=asyncio.FIRST_COMPLETED)
            if raising.done():
                raising.result()
            await going
        finally:
            await settle(going)
        if not live.ready:
            await self._find(live)

    def _raise_behind(self, live: Live, after: float = 0.0) -> asyncio.Task[None]:
        """Raise the limits beside all else; whoever waits for the server does not wait for that.

        The engine takes longer for it the more containers there are. Should it fail once the
        session runs, it is tried again, since people soon need what they were promised.
        """
        raising = asyncio.create_task(self._raise_after(live, after))
        self._raising.add(raising)

        def done(task: asyncio.Task[None]) -> None:
            self._raising.discard(task)
            error = None if task.cancelled() else task.exception()
            if isinstance(error, JuliaBoxError):
                log.warning("limits not raised yet", session=live.record.session, reason=str(error))
                self._raise_behind(live, RAISE_AGAIN)

        raising.add_done_callback(done)
        return raising

    async def _raise_after(self, live: Live, seconds: float) -> None:
        if seconds:
            await asyncio.sleep(seconds)
            if live.record.state != "running" or not live.record.warm:
                return
        await to_its_end(self.raise_limits(live))

    async def _hand_over_when_mounted(
        self, live: Live, environment: dict[str, str], home: asyncio.Future[None]
    ) -> None:
        await self._slots.await_entry(live.record.session, live.pid, ENTRY_LIMIT)
        await home
        await self._hand_over(live, environment, ACCEPT_LIMIT)

    async def raise_limits(self, live: Live) -> None:
        """Give the container its session's limits; repeats harmlessly."""
        record = live.record
        await self._engine.update(record.container, self._hardening.raised(record.limits))

    async def has_limits(self, live: Live, found: Container) -> bool:
        """Tell whether a container has its session's limits, in the engine's word and in fact."""
        wanted = live.record.limits.memory
        held = await asyncio.to_thread(memory_limit, found.pid, found.id)
        # the kernel counts in pages
        return found.memory == wanted and held in {None, wanted - wanted % getpagesize()}

    async def _find(self, live: Live) -> None:
        """Look at a container that an earlier manager knew, or of which its server told nothing."""
        record = live.record
        found = await self._engine.inspect(record.session)
        if found is None or not found.running or found.id != record.container:
            raise InternalError("the warm container is gone", code="pool.died")
        if not live.pid:
            if not await self._network.in_place(found.pid, record.kind):
                raise ConflictError("the warm container is not protected", code="pool.outdated")
            await self._slots.prepare(record.session)
        record.address, live.pid = found.address, found.pid
