"""The verbs on sessions: who may do what to which session when.

Per owner and server there is one lock for ``create``, beside the one of each session. Verbs run to
their end even if their caller leaves, and repeat harmlessly:

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
import secrets
import time
from weakref import WeakValueDictionary

from juliabox_ext.errors import ConflictError, JuliaBoxError, UnavailableError
from juliabox_manager.containers import Containers
from juliabox_manager.events import EventLog
from juliabox_manager.hardening import Hardening
from juliabox_manager.live import Live, Registry
from juliabox_manager.policy import Policy
from juliabox_manager.pool import Pool
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


class Sessions:
    """All sessions of one manager. Verbs on them know nothing of API containers."""

    def __init__(  # noqa: PLR0917 one argument for each part
        self,
        registry: Registry,
        containers: Containers,
        policy: Policy,
        hardening: Hardening,
        events: EventLog,
        pool: Pool,
    ) -> None:
        """Work on the sessions of a registry."""
        self._registry = registry
        self._containers = containers
        self._policy = policy
        self._hardening = hardening
        self._events = events
        self._pool = pool
        self._retired = Retired(registry, policy)
        self._names: WeakValueDictionary[tuple[str, str], asyncio.Lock] = WeakValueDictionary()

    # -- verbs --------------------------------------------------------------------------------

    async def create(self, verb: SessionCreate) -> SessionInfo:
        """Make a session, or answer the one that was made for the same words and not started."""
        return await self._containers.carry_out(self._create_or_tell(verb))

    async def start(self, verb: SessionStart) -> SessionInfo:
        """Start a session, or join its start; answer it running, as soon as its server listens."""
        live = self._registry.named(verb.session)
        await self._containers.start(live, verb.environment)
        return self.info(live)

    async def stop(self, verb: SessionStop) -> SessionInfo:
        """End a session and answer how it ended."""
        live = self._registry.named(verb.session)
        await self._containers.carry_out(self._containers.stop(live, verb.grace))
        return self.info(live)

    async def retire(self, verb: SessionRetire) -> None:
        """Let a session give its name away and end it behind; nothing if it is unknown."""
        live = self._registry.get(verb.session, "session")
        if live is not None:
            await self._containers.carry_out(self._containers.retire(live, verb.grace))

    async def remove(self, session: str) -> None:
        """End a session and forget it; nothing if it is unknown."""
        live = self._registry.get(session, "session")
        if live is not None:
            live.hurry.set()
            await self._containers.carry_out(self._containers.discard(live, "it was removed"))

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
            stale=self._containers.is_stale(record),
            stage=live.stage,
            exit=record.exit if record.state == "ended" else None,
            ended=record.ended if record.state == "ended" else 0.0,
            ready=live.ready and record.state == "running",
            retired=record.retired,
            warm=record.warm,
        )

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
            # nothing is awaited between the check and the count of this one
            live = await self._containers.bring(self._new_record(verb, image_id))
            return self.info(live)

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
            and not self._containers.is_stale(record)
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
            await self._containers.discard(before, "it was replaced")
        except UnavailableError as error:
            raise UnavailableError(
                f"the session before this one has not ended yet: {error.message}",
                code="session.stopping",
            ) from error
