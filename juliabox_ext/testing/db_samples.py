"""Tables and records that the contract suite of a database uses."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import UTC, datetime

from juliabox_ext.db import Column, Database, Index, TableSchema

#: Records of the tests that need more than one page in any database.
MANY = 1500
WRITERS = 8
ROUNDS = 5

Connect = Callable[[], Database]

EVENTS = (Column("place"), Column("number", "integer"))
DETAILS = (
    Column("owner"),
    Column("at", "time"),
    Column("size", "integer"),
    Column("share", "number"),
    Column("done", "boolean"),
    Column("content", "bytes"),
    Column("more", "json"),
    Column("note"),
)
BY_OWNER = Index("by_owner", "owner", "at")
START = datetime(2026, 2, 27, 23, 59, 59, 999_999, UTC)


def events() -> TableSchema:
    """Return a table with all types of columns, two keys and an index, under a name of its own."""
    return TableSchema(new_name(), EVENTS, DETAILS, (BY_OWNER,))


def new_name() -> str:
    """Return a table's name that nothing else has."""
    return f"t_{uuid.uuid4().hex[:12]}"
