"""The rows of warm containers in the store.

A row says that a container is nobody's. It is written before the container is made, and the
database itself deletes it in the transaction that writes the record of the session which claims
it: so a container has a row, or a session, and never both.
"""

from __future__ import annotations

import sqlite3

import msgspec

from juliabox_manager.records import WarmRecord
from juliabox_manager.store import Store


async def rows(store: Store) -> list[WarmRecord]:
    """Return all rows."""

    def read(db: sqlite3.Connection) -> list[tuple[bytes]]:
        return db.execute("SELECT data FROM warm").fetchall()

    return [msgspec.json.decode(data, type=WarmRecord) for (data,) in await store.transact(read)]


async def write(store: Store, record: WarmRecord) -> None:
    """Write a row; raise if it cannot be written now."""
    row = (record.session, msgspec.json.encode(record))
    await store.transact(lambda db: db.execute("INSERT INTO warm VALUES (?, ?)", row))


async def delete(store: Store, session: str) -> None:
    """Delete a row; nothing if there is none."""
    await store.transact(lambda db: db.execute("DELETE FROM warm WHERE session = ?", (session,)))
