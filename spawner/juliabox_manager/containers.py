"""What is done with a container of any kind, each thing in its turn.

Per container there is one lock. A start runs as a task of its own, outside the lock, so that an end
can cut it off. Work runs to its end even if whoever asked leaves, and repeats harmlessly. Which
container a client may name, and what it is told, is the business of :mod:`.sessions` and
:mod:`.apis`.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Coroutine
from typing import Any, TypeVar

import msgspec
import structlog

from juliabox_ext.errors import (
    ConflictError,
    InternalError,
    JuliaBoxError,
    NotFoundError,
)
from juliabox_manager.engine import Notice
from juliabox_manager.events import EventLog
from juliabox_manager.hardening import Hardening
from juliabox_manager.lifecycle import Lifecycle
from juliabox_manager.live import Live, Registry, settle
from juliabox_manager.policy import Policy
from juliabox_manager.pool import Pool
from juliabox_manager.pool.warm import Warm
from juliabox_manager.records import SessionRecord

T = TypeVar("T")
log = structlog.get_logger("juliabox.manager.session")


class Containers:
    """All containers of one manager that have a record: those of sessions and of APIs."""

    def __init__(  # noqa: PLR0917 one argument for each part
        self,
        registry: Registry,
        lifecycle: Lifecycle,
        policy: Policy,
        hardening: Hardening,
        events: EventLog,
        pool: Pool,
    ) -> None:
        """Work on what a registry knows."""
        self._registry = registry
        self._lifecycle = lifecycle
        self._policy = policy
        self._hardening = hardening
        self._events = events
        self._pool = pool
        self._works: set[asyncio.Task[Any]] = set()

    # -- for verbs ----------------------------------------------------------------------------

    async def bring(self, record: SessionRecord) -> Live:
        """Make a container for a new record, or give it a warm one.

        It is known before anything is awaited: whoever looks for room next counts it.
        """
        live = Live(record)
        warm = self._pool.take(record.image, record.limits)
        if warm is not None:
            warm.become(live)
        self._registry.add(live)
        async with live.lock:
            await (self._make(live) if warm is None else self._claim(live, warm))
        return live

    async def start(self, live: Live, environment: dict[str, str]) -> None:
        """Start a container, or join its start; return when it runs and its server listens."""
        digest = _digest(environment)
        async with live.lock:
            if not live.record.retired and (live.starting or live.record.state == "running"):
                if live.environment not in {digest, None}:
                    raise ConflictError(
                        f"{live.record.noun} was started with another environment; "
                        "stop it and create it again",
                        code="session.running",
                    )
            elif live.record.state == "created" and not live.record.retired:
                live.environment = digest
                live.start = self._spawn(self._start(live, environment))
            else:
                raise _not_startable(live)
            start = live.start
        if start is not None:
            await asyncio.wait({start})
            if start.cancelled():
                raise ConflictError(
                    f"{live.record.noun} was stopped while it started", code="session.stopped"
                )
            start.result()
        if live.record.state != "running":
            raise _not_startable(live)

    async def stop(self, live: Live, grace: float) -> None:
        """End a container and keep how it ended."""
        async with live.lock:
            if live.starting and live.record.state != "running":
                # nothing of the person's runs yet that would need time to save its work
                grace = 0.0
            await self._cut_off(live)
            await self._lifecycle.finish(live, grace=grace, told="it was stopped")

    async def retire(self, live: Live, grace: float) -> None:
        """Let a container have no name any more, and end and forget it behind."""
        record = live.record
        if grace == 0:
            live.hurry.set()
        if record.retired:
            return
        if record.state == "ended":
            return await self.discard(live, "")
        try:
            await self._lifecycle.retire(live, grace)
        finally:
            self._spawn(self.end(live))

    async def carry_out(self, work: Coroutine[Any, Any, T]) -> T:
        """Run work to its end, even if the caller is cancelled."""
        return await asyncio.shield(self._spawn(work))

    def is_stale(self, record: SessionRecord) -> bool:
        """Return whether image or settings have changed since a container was made."""
        if record.state == "ended":
            return True
        image_id = self._policy.known_image(record.image, record.kind)
        if image_id is None:
            return True
        return record.digest != self._hardening.digest(image_id, record.limits, record.kind)

    def admits(self, record: SessionRecord) -> bool:
        """Return whether containers of a record's kind may run here."""
        return self._policy.admits(record.kind)

    # -- what else ends a container -------------------------------------------------------------

    def noticed_exit(self, notice: Notice) -> None:
        """Take note that a container has died."""
        live = self._registry.get(notice.session)
        if live is None or (notice.container and notice.container != live.record.container):
            return
        live.exited.set()
        # a start notices by itself, and tells its caller why
        ends = {"running"} if live.record.warm else {"created", "running"}
        if live.record.state in ends and not live.starting:
            self._spawn(self.end(live))

    async def end(self, live: Live, told: str = "") -> None:
        """End what died, must not go on or is retired; reconcile tries again."""
        async with live.lock:
            try:
                if live.record.retired:
                    await self._end_retired(live)
                elif live.record.state != "ended" and not live.starting:
                    await self._lifecycle.finish(live, told=told)
            except JuliaBoxError as error:
                log.warning(
                    "session could not be ended", session=live.record.session, error=str(error)
                )

    async def discard(self, live: Live, told: str) -> None:
        """End a container and delete its record."""
        async with live.lock:
            if self._registry.get(live.record.session) is not live:
                return
            await self._cut_off(live)
            await self._lifecycle.finish(live, told=told)
            await self._lifecycle.drop(live)
            self._registry.discard(live)

    def in_background(self, work: Coroutine[Any, Any, None]) -> None:
        """Carry out work that nobody waits for."""
        self._spawn(work)

    async def close(self) -> None:
        """Cut off all work; what it leaves is found by the next manager's reconcile."""
        await settle(*self._works)

    # -- making -------------------------------------------------------------------------------

    async def _claim(self, live: Live, warm: Warm) -> None:
        try:
            await self._lifecycle.claim(live)
        except BaseException:
            self._registry.discard(live)
            self._pool.give_up(warm)
            raise

    async def _make(self, live: Live) -> None:
        try:
            await self._lifecycle.make(live)
        except BaseException as error:
            if live.record.step:
                await self._undo(live, error)
            if live.record.state in {"created", "ended"}:
                await self._lifecycle.drop(live)
                self._registry.discard(live)
            raise

    # -- starting -----------------------------------------------------------------------------

    async def _start(self, live: Live, environment: dict[str, str]) -> None:
        try:
            self._policy.check_disk()
            with self._pool.put_off():
                await self._lifecycle.begin(live, environment)
        except JuliaBoxError as error:
            if live.record.state == "created":
                self._tell_failure(live, error)
                raise  # nothing was begun; it can be started later
            # asked before it is killed; what is not found has just died
            died = live.exited.is_set() or isinstance(error, NotFoundError)
            async with live.lock:
                await self._undo(live, error)
            failure = _failure(live, error) if died else error
            self._tell_failure(live, failure)
            if failure is error:
                raise
            raise failure from error
        except Exception as error:
            log.exception("start failed", session=live.record.session)
            async with live.lock:
                await self._undo(live, error)
            self._tell_failure(live, InternalError("the manager failed; see its log"))
            raise

    def _tell_failure(self, live: Live, error: JuliaBoxError) -> None:
        self._events.tell("failed", live.record, error.code, error.message)

    async def _undo(self, live: Live, error: BaseException) -> None:
        """End what could not be made or started; the failure is the reason that is kept."""
        died = live.exited.is_set()
        told = "" if died else getattr(error, "message", "the manager failed; see its log")
        try:
            await self._lifecycle.finish(live, told=told)
        except JuliaBoxError as later:
            log.warning(
                "failed session could not be ended", session=live.record.session, error=str(later)
            )

    # -- ending -------------------------------------------------------------------------------

    async def _end_retired(self, live: Live) -> None:
        record = live.record
        if self._registry.get(record.session) is not live:
            return
        # a start that has not handed over has nothing of the person's that needs time
        grace = 0.0 if live.starting and record.state != "running" else record.grace
        await self._cut_off(live)
        await self._lifecycle.finish(live, grace=grace, told="it was stopped")
        await self._lifecycle.drop(live)
        self._registry.discard(live)

    async def _cut_off(self, live: Live) -> None:
        if live.start is not None and not live.start.done():
            await settle(live.start)

    # -- the rest -----------------------------------------------------------------------------

    def _spawn(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        task = asyncio.create_task(work)
        self._works.add(task)
        task.add_done_callback(self._works.discard)
        return task


def _failure(live: Live, error: JuliaBoxError) -> JuliaBoxError:
    """Add to a start's error how its container ended, if that is why."""
    ended = live.record.exit
    if ended is None:
        return error
    lines = "".join(f"\n  {line}" for line in ended.last_lines[-5:])
    return InternalError(
        f"{live.record.noun} ended while it started: {ended.reason}{lines}",
        code="session.failed",
    )


def _not_startable(live: Live) -> JuliaBoxError:
    record = live.record
    if record.state == "stopping" or record.retired:
        return ConflictError(
            f"{record.noun} is being stopped; create it again when it has ended",
            code="session.stopping",
        )
    reason = record.exit.reason if record.exit else "no cause is known"
    return ConflictError(
        f"{record.noun} has ended: {reason}; create it again", code="session.ended"
    )


def _digest(environment: dict[str, str]) -> str:
    return hashlib.sha256(msgspec.json.encode(sorted(environment.items()))).hexdigest()
