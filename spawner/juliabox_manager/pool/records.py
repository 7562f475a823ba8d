"""What is written down of warm containers, and of how many were asked for when."""

from __future__ import annotations

import sqlite3
from typing import Final

import msgspec
from msgspec import Struct

from juliabox_manager.store import Store

#: Hours of demand that are kept: a week, and the hour at hand of the week before.
KEPT_HOURS: Final = 7 * 24 + 1


class WarmRecord(Struct, frozen=True):
    """One warm container. Its row is deleted in the transaction that makes a session of it."""

    #: Its id, which becomes the session's; also that of its slot.
    id: str
    image: str
    image_id: str
    #: Digest of all that shaped it, see :func:`juliabox_manager.hardening.Hardening.warm_digest`.
    digest: str


class PoolShelf:
    """Warm containers and demand in the manager's store."""

    def __init__(self, store: Store) -> None:
        """Keep them in ``store``, which is opened by whoever owns it."""
        self._store = store

    async def warm(self) -> list[WarmRecord]:
        """Return the warm containers that no session has claimed."""

        def read(db: sqlite3.Connection) -> list[WarmRecord]:
            rows = db.execute("SELECT data FROM warm").fetchall()
            return [msgspec.json.decode(data, type=WarmRecord) for (data,) in rows]

        return await self._store.transact(read)

    async def add(self, record: WarmRecord) -> None:
        """Write a container down before it is made."""

        def write(db: sqlite3.Connection) -> None:
            db.execute("INSERT INTO warm VALUES (?, ?)", (record.id, msgspec.json.encode(record)))

        await self._store.transact(write)

    async def forget(self, id_: str) -> None:
        """Delete the row of a container that is removed."""

        def delete(db: sqlite3.Connection) -> None:
            db.execute("DELETE FROM warm WHERE id = ?", (id_,))

        await self._store.transact(delete)

    async def demand(self) -> dict[tuple[str, int], int]:
        """Return the most starts at once by image and hour (Unix time in hours)."""

        def read(db: sqlite3.Connection) -> dict[tuple[str, int], int]:
            return {
                (image, hour): most
                for image, hour, most in db.execute("SELECT image, hour, most FROM demand")
            }

        return await self._store.transact(read)

    async def note_demand(self, image: str, hour: int, most: int) -> None:
        """Keep the most starts at once of an hour, and let go of what is too old."""

        def write(db: sqlite3.Connection) -> None:
            db.execute(
                "INSERT INTO demand VALUES (?, ?, ?) ON CONFLICT (image, hour) "
                "DO UPDATE SET most = max(most, excluded.most)",
                (image, hour, most),
            )
            # also what a clock that was wrong has left in the future
            db.execute(
                "DELETE FROM demand WHERE hour < ? OR hour > ?", (hour - KEPT_HOURS, hour + 1)
            )

        await self._store.transact(write)
