"""One warm container: made, watched, removed.

It is made like a session, hardened alike, with a slot and a network policy of its own; it gets no
home, no environment and nobody's name, and low limits until a session claims it.
"""

from __future__ import annotations

import asyncio
import secrets
from dataclasses import dataclass
from typing import Final

from juliabox_ext.errors import DeadlineError, InternalError, JuliaBoxError
from juliabox_manager.engine import Container
from juliabox_manager.live import to_its_end
from juliabox_manager.parts import Parts
from juliabox_manager.pool.records import PoolShelf, WarmRecord

#: Seconds for the entry program to connect and to load its modules. At the lowest priority that
#: takes as long as the machine has other things to do.
CONNECT_LIMIT: Final = 120.0
LOAD_LIMIT: Final = 600.0

#: Seconds for the entry program to come back after a restart of the manager: it tries all the time.
BACK_LIMIT: Final = 10.0


@dataclass
class Warm:
    """A warm container that is loaded."""

    record: WarmRecord
    #: Docker's id, first process and address.
    container: str
    pid: int
    address: str


class WarmMaker:
    """Makes and removes warm containers, and takes over those of an earlier manager."""

    def __init__(self, parts: Parts, shelf: PoolShelf) -> None:
        """Work with the given parts."""
        self._engine = parts.engine
        self._slots = parts.slots
        self._network = parts.network
        self._hardening = parts.hardening
        self._shelf = shelf

    def new(self, image: str, image_id: str) -> WarmRecord:
        """Return the record of a container that is to be made."""
        return WarmRecord(
            id=secrets.token_hex(8),
            image=image,
            image_id=image_id,
            digest=self._hardening.warm_digest(image_id),
        )

    async def make(self, record: WarmRecord) -> Warm:
        """Make a container and return it loaded; raises ``JuliaBoxError``, with nothing undone."""
        await self._shelf.add(record)
        await self._slots.prepare(record.id)
        config = self._hardening.warm_config(record.id, record.image_id)
        await to_its_end(self._engine.create(record.id, config))
        await to_its_end(self._engine.start(record.id))
        found = await self._engine.inspect(record.id)
        if found is None or not found.running:
            raise InternalError(
                f"a warm container of {record.image} ended at once", code="pool.ended"
            )
        await to_its_end(self._network.apply(found.pid))
        return await self._loaded(record, found, CONNECT_LIMIT)

    async def _loaded(self, record: WarmRecord, found: Container, limit: float) -> Warm:
        await self._slots.await_entry(record.id, found.pid, limit)
        try:
            await asyncio.wait_for(self._slots.await_loaded(record.id), LOAD_LIMIT)
        except TimeoutError:
            raise DeadlineError(
                f"a warm container of {record.image} did not load within {LOAD_LIMIT:g} s",
                code="deadline.load",
            ) from None
        return Warm(record, found.id, found.pid, found.address)

    async def adopt(self, record: WarmRecord) -> Warm | None:
        """Return a container of an earlier manager if it is as it was left, else None.

        A row says that no session has claimed it; its low limits say so, too, whatever became of
        the store: a claim raises them before it hands anything over.
        """
        found = await self._engine.inspect(record.id)
        fresh = record.digest == self._hardening.warm_digest(record.image_id)
        if (
            found is None
            or not found.running
            or not fresh
            or found.digest != record.digest
            or found.memory != self._hardening.warm_limits.memory
            or not await self._network.in_place(found.pid)
        ):
            return None
        await self._slots.prepare(record.id)
        return await self._loaded(record, found, BACK_LIMIT)

    async def is_sound(self, warm: Warm) -> bool:
        """Tell whether a container runs and its network is closed."""
        found = await self._engine.inspect(warm.record.id)
        return (
            found is not None
            and found.running
            and found.pid == warm.pid
            and await self._network.in_place(found.pid)
        )

    async def remove(self, id_: str) -> None:
        """Remove container, slot and row; raises ``JuliaBoxError``, and may then be repeated."""
        container = await self._engine.inspect(id_)
        if container is not None:
            await to_its_end(self._engine.remove(container))
        await self._slots.remove(id_)
        await self._shelf.forget(id_)


def told(error: BaseException) -> str:
    """Return in one sentence why a container could not be made."""
    return error.message if isinstance(error, JuliaBoxError) else "the manager failed; see its log"
