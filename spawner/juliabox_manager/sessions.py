"""The verbs on sessions: who may do what to which session when.

Per session there is one lock; per owner and server one more for ``create``. A start runs as a task
of its own, outside the lock, so that a stop can cut it off. Verbs run to their end even if their
caller leaves, and repeat harmlessly:

========== ============ ============ ============ ============ ============
state      create       start        stop         remove       exit
========== ============ ============ ============ ============ ============
(none)     → created    not found    not found    nothing      —
created    same: itself → starting   → ended      removed      → ended¹
           else: anew
starting   conflict     same: joins  cuts it off  cuts it off  → ended
           else conflict
running    conflict     same: itself → ended      removed      → ended
           else conflict
stopping   awaits, anew conflict     joins        joins        —
ended      anew         conflict     itself       removed      —
========== ============ ============ ============ ============ ============

¹ A warm container that dies before the start is replaced by it.

``retire`` is a stop that is not awaited: the session has no name from then on, so that a create
knows nothing of it, and it is forgotten when it has ended.
"""

from __future__ import annotations

import asyncio
import hashlib
import secrets
import time
from collections.abc import Coroutine
from typing import Any, TypeVar
from weakref import WeakValueDictionary

import msgspec
import structlog

from juliabox_ext.errors import (
    ConflictError,
    InternalError,
    JuliaBoxError,
    NotFoundError,
    UnavailableError,
)
from juliabox_manager.engine import Notice
from juliabox_manager.events import EventLog
from juliabox_manager.hardening import Hardening
from juliabox_manager.lifecycle import Lifecycle
from juliabox_manager.live import Live, Registry, settle
from juliabox_manager.policy import Policy
from juliabox_manager.pool import Pool
from juliabox_manager.pool.warm import Warm
from juliabox_manager.protocol import (
    SESSION_PORT,
    SessionCreate,
    SessionInfo,
    SessionRetire,
    SessionStart,
    SessionStop,
)
from juliabox_manager.records import MADE, SessionRecord
from juliabox_manager.retired import Retired

T = TypeVar("T")
log = structlog.get_logger("juliabox.manager.session")


class Sessions:
    """All sessions of one manager."""

    def __init__(  # noqa: PLR0917 one argument for each part
        self,
        registry: Registry,
        lifecycle: Lifecycle,
        policy: Policy,
        hardening: Hardening,
        events: EventLog,
        pool: Pool,
    ) -> None:
        """Work on the sessions of a registry."""
        self._pool = pool
        self._events = events
        self._registry = registry
        self._lifecycle = lifecycle
        self._policy = policy
        self._hardening = hardening
        self._retired = Retired(registry, policy)
        self._names: WeakValueDictionary[tuple[str, str], asyncio.Lock] = WeakValueDictionary()
        self._works: set[asyncio.Task[Any]] = set()

    # -- verbs --------------------------------------------------------------------------------

    async def create(self, verb: SessionCreate) -> SessionInfo:
        """Make a session, or answer the one that was made for the same words and not started."""
        return await self._carry_out(self._create_or_tell(verb))

    async def start(self, verb: SessionStart) -> SessionInfo:
        """Start a session, or join its start; answer it running, as soon as its server listens."""
        live = self._registry.named(verb.session)
        environment = _digest(verb.environment)
        async with live.lock:
            if not live.record.retired and (live.starting or live.record.state == "running"):
                if live.environment not in {environment, None}:
                    raise ConflictError(
                        f"session {verb.session} was started with another environment; "
                        "stop it and create it again",
                        code="session.running",
                    )
            elif live.record.state == "created" and not live.record.retired:
                live.environment = environment
                live.start = self._spawn(self._start(live, verb.environment))
            else:
                raise self._not_startable(live)
            start = live.start
        if start is not None:
            await asyncio.wait({start})
            if start.cancelled():
                raise ConflictError(
                    f"session {verb.session} was stopped while it started", code="session.stopped"
                )
            start.result()
        if live.record.state != "running":
            raise self._not_startable(live)
        return self.info(live)

    async def stop(self, verb: SessionStop) -> SessionInfo:
        """End a session and answer how it ended."""
        live = self._registry.named(verb.session)
        await self._carry_out(self._stop(live, verb.grace))
        return self.info(live)

    async def retire(self, verb: SessionRetire) -> None:
        """Let a session give its name away and end it behind; nothing if it is unknown."""
        live = self._registry.get(verb.session)
        if live is not None:
            await self._carry_out(self._retire(live, verb.grace))

    async def remove(self, session: str) -> None:
        """End a session and forget it; nothing if it is unknown."""
        live = self._registry.get(session)
        if live is not None:
            live.hurry.set()
            await self._carry_out(self.discard(live, "it was removed"))

    def info(self, live: Live) -> SessionInfo:
        """Describe a session for clients."""
        record = live.record
        return SessionInfo(
            session=record.session,
            owner=record.owner,
            server=record.server,
            state=record.state,
            image=record.image,
            profile=record.profile,
            limits=record.limits,
            container=record.container,
            address=record.address if record.state == "running" else "",
            port=SESSION_PORT,
            started=record.started,
            stale=self._stale(record),
            stage=live.stage,
            exit=record.exit if record.state == "ended" else None,
            ended=record.ended if record.state == "ended" else 0.0,
            ready=live.ready and record.state == "running",
            retired=record.retired,
            warm=record.warm,
        )

    # -- what else ends a session ---------------------------------------------------------------

    def noticed_exit(self, notice: Notice) -> None:
        """Take note that a session's container has died."""
        live = self._registry.get(notice.session)
        if live is None or (notice.container and notice.container != live.record.container):
            return
        live.exited.set()
        # a start notices by itself, and tells its caller why
        ends = {"running"} if live.record.warm else {"created", "running"}
        if live.record.state in ends and not live.starting:
            self._spawn(self.end(live))

    async def end(self, live: Live, told: str = "") -> None:
        """End a session that died, must not go on or is retired; reconcile tries again."""
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
        """End a session and delete its record."""
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

    # -- create -------------------------------------------------------------------------------

    async def _create_or_tell(self, verb: SessionCreate) -> SessionInfo:
        try:
            return await self._create(verb)
        except ConflictError:
            raise  # nothing failed: there is a session already
        except JuliaBoxError as error:
            about = {"owner": verb.owner, "server": verb.server, "image": verb.image}
            self._events.emit("session.failed", error.code, error.message, **about)
            raise

    async def _create(self, verb: SessionCreate) -> SessionInfo:
        with self._pool.put_off():
            return await self._claim_or_make(verb)

    async def _claim_or_make(self, verb: SessionCreate) -> SessionInfo:
        image_id = self._policy.image_id(verb.image)
        self._policy.check_limits(verb.limits)
        name = (verb.owner, verb.server)
        lock = self._names.setdefault(name, asyncio.Lock())
        async with lock:
            before = self._registry.find(*name)
            if before is not None:
                if self._same(before.record, verb):
                    return self.info(before)
                await self._make_way(before)
            self._policy.check_disk()
            await self._retired.make_room(verb.owner, verb.limits)
            # no await from the check on: the next create counts this one, and finds another
            live = Live(self._new_record(verb, image_id))
            warm = self._pool.take(verb.image, verb.limits)
            if warm is not None:
                warm.become(live)
            self._registry.add(live)
            async with live.lock:
                await (self._make(live) if warm is None else self._claim(live, warm))
            return self.info(live)

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

    def _new_record(self, verb: SessionCreate, image_id: str) -> SessionRecord:
        return SessionRecord(
            session=secrets.token_hex(8),
            owner=verb.owner,
            server=verb.server,
            image=verb.image,
            image_id=image_id,
            profile=verb.profile,
            limits=verb.limits,
            digest=self._hardening.digest(image_id, verb.limits),
            created=time.time(),
        )

    def _same(self, record: SessionRecord, verb: SessionCreate) -> bool:
        """Whether a session that nobody started yet is what a create asks for."""
        asked = (verb.image, verb.profile, verb.limits)
        return (
            record.state == "created"
            and record.step in MADE
            and (record.image, record.profile, record.limits) == asked
            and not self._stale(record)
        )

    async def _make_way(self, before: Live) -> None:
        """Remove a session that is over or was never started; refuse if it is in use."""
        record = before.record
        if record.state in {"starting", "running"}:
            server = record.server or "the default server"
            raise ConflictError(
                f"{record.owner} has session {record.session} for {server}, "
                f"{record.state}; stop it first",
                code="session.exists",
            )
        try:
            await self.discard(before, "it was replaced")
        except UnavailableError as error:
            raise UnavailableError(
                f"the session before this one has not ended yet: {error.message}",
                code="session.stopping",
            ) from error

    # -- start --------------------------------------------------------------------------------

    async def _start(self, live: Live, environment: dict[str, str]) -> None:
        try:
            self._policy.check_disk()
            with self._pool.put_off():
                await self._lifecycle.begin(live, environment)
        except JuliaBoxError as error:
            if live.record.state == "created":
                self._tell_failure(live, error)
                raise  # nothing was begun; the session can be started later
            # asked before it is killed; what is not found has just died
            died = live.exited.is_set() or isinstance(error, NotFoundError)
            async with live.lock:
                await self._undo(live, error)
            failure = self._failure(live, error) if died else error
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
        self._events.tell("session.failed", live.record, error.code, error.message)

    async def _undo(self, live: Live, error: BaseException) -> None:
        """End a session whose making or start failed; the failure is the reason that is kept."""
        died = live.exited.is_set()
        told = "" if died else getattr(error, "message", "the manager failed; see its log")
        try:
            await self._lifecycle.finish(live, told=told)
        except JuliaBoxError as later:
            log.warning(
                "failed session could not be ended", session=live.record.session, error=str(later)
            )

    def _failure(self, live: Live, error: JuliaBoxError) -> JuliaBoxError:
        """Add to a start's error how its container ended, if that is why."""
        ended = live.record.exit
        if ended is None:
            return error
        lines = "".join(f"\n  {line}" for line in ended.last_lines[-5:])
        return InternalError(
            f"session {live.record.session} ended while it started: {ended.reason}{lines}",
            code="session.failed",
        )

    def _not_startable(self, live: Live) -> JuliaBoxError:
        record = live.record
        if record.state == "stopping" or record.retired:
            return ConflictError(
                f"session {record.session} is being stopped; create it again when it has ended",
                code="session.stopping",
            )
        reason = record.exit.reason if record.exit else "no cause is known"
        return ConflictError(
            f"session {record.session} has ended: {reason}; create it again", code="session.ended"
        )

    # -- stop ---------------------------------------------------------------------------------

    async def _stop(self, live: Live, grace: float) -> None:
        async with live.lock:
            if live.starting and live.record.state != "running":
                # nothing of the person's runs yet that would need time to save its work
                grace = 0.0
            await self._cut_off(live)
            await self._lifecycle.finish(live, grace=grace, told="it was stopped")

    async def _retire(self, live: Live, grace: float) -> None:
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

    def _stale(self, record: SessionRecord) -> bool:
        if record.state == "ended":
            return True
        image_id = self._policy.known_image(record.image)
        return image_id is None or record.digest != self._hardening.digest(image_id, record.limits)

    def _spawn(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        task = asyncio.create_task(work)
        self._works.add(task)
        task.add_done_callback(self._works.discard)
        return task

    async def _carry_out(self, work: Coroutine[Any, Any, T]) -> T:
        """Run work to its end, even if the caller is cancelled."""
        return await asyncio.shield(self._spawn(work))


def _digest(environment: dict[str, str]) -> str:
    return hashlib.sha256(msgspec.json.encode(sorted(environment.items()))).hexdigest()
