"""One warm container: made, adopted after a restart, removed.

It is made like a session's, with the lowest limits and a row in place of a record, and waits when
its network is closed and its modules are loaded. There is nothing of anybody's in it.
"""

from __future__ import annotations

import asyncio
import secrets
from dataclasses import dataclass, field
from typing import Final

from juliabox_ext.errors import ConflictError, InternalError
from juliabox_manager.live import Live, to_its_end
from juliabox_manager.parts import Parts
from juliabox_manager.pool import shelf
from juliabox_manager.records import Kind, WarmRecord

#: Seconds for a new container's entry program to connect, and to load its modules: it has the
#: lowest priority and may wait long for others, and a Julia computes before it connects.
ENTRY_LIMIT: Final = 600.0
LOAD_LIMIT: Final = 900.0

#: Seconds for the entry program of one that runs: it tries every 50 ms.
ADOPTION_LIMIT: Final = 10.0


@dataclass(eq=False)
class Warm:
    """A warm container in memory."""

    record: WarmRecord
    container: str = ""
    #: First process on the host, and address on the sessions network.
    pid: int = 0
    address: str = ""
    #: Whether it is loaded, and may be claimed.
    ready: bool = False
    #: Whether it is being removed, or could not be.
    leaving: bool = False
    left_over: bool = False
    #: Set when the engine told that it has died.
    exited: asyncio.Event = field(default_factory=asyncio.Event)
    #: What makes it or takes it over.
    task: asyncio.Task[None] | None = None

    @property
    def session(self) -> str:
        """Id of the session, or API container, that it will become."""
        return self.record.session

    @property
    def gone(self) -> bool:
        """Whether it is for nobody any more."""
        return self.leaving or self.left_over

    def become(self, live: Live) -> None:
        """Make a new session's record that of this container."""
        record = live.record
        record.session, record.container, record.address = (
            self.session,
            self.container,
            self.address,
        )
        record.warm = True
        live.pid = self.pid


class Maker:
    """Makes, takes over and removes warm containers."""

    def __init__(self, parts: Parts) -> None:
        """Work with the given parts."""
        self._store = parts.store
        self._engine = parts.engine
        self._slots = parts.slots
        self._network = parts.network
        self._hardening = parts.hardening

    def new(self, image: str, image_id: str, kind: Kind = "session") -> Warm:
        """Return a warm container that is not made yet."""
        return Warm(
            WarmRecord(
                session=secrets.token_hex(8),
                image=image,
                image_id=image_id,
                digest=self._digest(image_id, kind),
                kind=kind,
            )
        )

    def is_present(self, record: WarmRecord, image_id: str | None, digest: str) -> bool:
        """Return whether a container is made as it would be made now."""
        if image_id is None or image_id != record.image_id:
            return False
        return digest == record.digest == self._digest(image_id, record.kind)

    async def make(self, warm: Warm) -> None:
        """Make, start, protect and load; return when it waits, loaded."""
        session = warm.session
        await shelf.write(self._store, warm.record)
        await self._slots.prepare(session)
        config = self._hardening.warm_config(session, warm.record.image_id, warm.record.kind)
        warm.container = await to_its_end(self._engine.create(session, config))
        await to_its_end(self._engine.start(session))
        await self._look(warm)
        await to_its_end(self._network.apply(warm.pid, warm.record.kind))
        await self._slots.await_entry(session, warm.pid, ENTRY_LIMIT)
        await self._load(warm)

    async def adopt(self, warm: Warm) -> None:
        """Take over one that an earlier manager made; raise if it is not as it should be."""
        await self._look(warm)
        if not await self._network.in_place(warm.pid, warm.record.kind):
            raise ConflictError("its network policy is not the present one", code="pool.outdated")
        await self._slots.prepare(warm.session)
        await self._slots.await_entry(warm.session, warm.pid, ADOPTION_LIMIT)
        await self._load(warm)

    async def remove(self, warm: Warm) -> None:
        """Remove container, slot and row; repeats harmlessly."""
        found = await self._engine.inspect(warm.session)
        if found is not None:
            await to_its_end(self._engine.remove(found))
        await self._slots.remove(warm.session)
        await shelf.delete(self._store, warm.session)

    async def _look(self, warm: Warm) -> None:
        found = await self._engine.inspect(warm.session)
        if found is None or not found.running:
            raise InternalError("a warm container ended at once", code="pool.died")
        if found.memory != self._hardening.warm_limits(warm.record.kind).memory:
            raise ConflictError("a warm container has other limits", code="pool.outdated")
        warm.container, warm.pid, warm.address = found.id, found.pid, found.address

    async def _load(self, warm: Warm) -> None:
        async with asyncio.timeout(LOAD_LIMIT):
            await self._slots.await_loaded(warm.session)

    def _digest(self, image_id: str, kind: Kind) -> str:
        return self._hardening.digest(image_id, self._hardening.warm_limits(kind), kind)
