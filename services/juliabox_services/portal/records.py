"""What the portal keeps in the database: failures, the load, and a few values of its own.

Everything here blocks, and runs in threads; :class:`Keeper` is the way in from the event loop.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

from juliabox_ext.db import Column, Database, JBPluginDB, Record, Table, UsageAccounting
from juliabox_ext.errors import (
    ConflictError,
    NotFoundError,
    UnavailableError,
)
from juliabox_ext.plugin import PluginContext
from juliabox_ext.registry import Registry
from juliabox_services.database_work import DatabaseWork

#: Threads that wait for the database.
THREADS = 6
#: Failures that a page shows at most.
MOST = 200


class FailureTable(Table):
    """What went wrong: one row for each event of the manager that tells of a failure."""

    NAME = "portal_failures"
    #: A day (UTC), and a text that orders a day's rows and names each but once.
    KEYS = (Column("day"), Column("id"))
    ATTRIBUTES = (
        Column("time", "number"),
        Column("kind"),
        Column("subject"),
        Column("code"),
        Column("message"),
        Column("instance"),
    )


class LoadTable(Table):
    """The load of the installation, sampled every few minutes."""

    NAME = "portal_load"
    KEYS = (Column("day"), Column("id"))
    ATTRIBUTES = (
        Column("time", "number"),
        Column("sessions", "number"),
        Column("memory", "number"),
    )


class ValueTable(Table):
    """Values by name: the recorder's place in the manager's events, the message of the day."""

    NAME = "portal_values"
    KEYS = (Column("name"),)
    ATTRIBUTES = (Column("value", "json"),)


def day_of(time: float) -> str:
    """Return the day (UTC) of a time, as the tables name it."""
    return datetime.fromtimestamp(time, UTC).date().isoformat()


class Records:
    """The portal's tables on whatever database is enabled."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        # tables of our own, which no operator enables or configures
        context = PluginContext("portal")
        self._failures, self._load = FailureTable(context), LoadTable(context)
        self._values = ValueTable(context)
        self._open = False

    def open(self) -> Database:
        """Open the tables once; raise what the database raises, or that there is none."""
        database: Database = self._registry.one(JBPluginDB.JBP_DB)
        if not self._open:
            for table in (self._failures, self._load, self._values):
                table.open(database)
            self._open = True
        return database

    def usage(self) -> UsageAccounting:
        """Return the accounting plugin; raise ``PluginError`` if there is none."""
        accounting: UsageAccounting = self._registry.one(JBPluginDB.JBP_USAGE_ACCOUNTING)
        return accounting

    def value(self, name: str) -> Any:
        """Return a value; None if it was never set."""
        database = self.open()
        try:
            return database.record_fetch(self._values.TABLE, name=name)["value"]
        except NotFoundError:
            return None

    def set_value(self, name: str, value: Any) -> None:
        """Keep a value."""
        database, data = self.open(), {"name": name, "value": value}
        try:
            database.record_save(self._values.TABLE, data)
        except NotFoundError:
            database.record_create(self._values.TABLE, data)

    def add_failure(self, failure: Record) -> None:
        """Keep a failure; one that is there already stays as it is."""
        with contextlib.suppress(ConflictError):
            self.open().record_create(self._failures.TABLE, failure)

    def failures(self, since: date, limit: int = MOST) -> list[Record]:
        """Return the newest failures since a day, newest first."""
        return self._newest(self._failures, since, limit)

    def add_load(self, time: float, sessions: int, memory: float | None) -> None:
        """Keep a sample of the load."""
        data = {"day": day_of(time), "id": f"{time:020.3f}", "time": time}
        with contextlib.suppress(ConflictError):
            self.open().record_create(
                self._load.TABLE, {**data, "sessions": float(sessions), "memory": memory}
            )

    def load(self, first: date, last: date) -> list[Record]:
        """Return the samples of a range of days, oldest first."""
        database = self.open()
        return [
            row
            for day in days(first, last)
            for row in database.record_query(
                self._load.TABLE, day=day.isoformat(), columns=["time", "sessions", "memory"]
            )
        ]

    def forget(self, before: date) -> int:
        """Delete what is older than a day; return how many rows went."""
        database, gone = self.open(), 0
        for table in (self._failures, self._load):
            old = [
                {"day": row["day"], "id": row["id"]}
                for row in database.record_scan(table.TABLE, day=True, id=True)
                if row["day"] < before.isoformat()
            ]
            for key in old:
                database.record_delete(table.TABLE, key)
            gone += len(old)
        return gone

    def _newest(self, table: Table, since: date, limit: int) -> list[Record]:
        database = self.open()
        found: list[Record] = []
        for day in reversed(list(days(since, datetime.now(UTC).date()))):
            left = limit - len(found)
            if left <= 0:
                break
            found += database.record_query(
                table.TABLE, day=day.isoformat(), descending=True, limit=left
            )
        return found


def days(first: date, last: date) -> Iterator[date]:
    """Yield each day of a range, both ends within."""
    while first <= last:
        yield first
        first += timedelta(days=1)


class Keeper(DatabaseWork[Records]):
    """The records as coroutines; their error is ``portal.database``."""

    def __init__(self, records: Records, patience: float = 10.0) -> None:
        super().__init__(records, _down, threads=THREADS, patience=patience)


def _down(reason: str) -> UnavailableError:
    return UnavailableError(
        f"The database of the portal cannot be used: {reason}. What is to be recorded waits",
        code="portal.database",
    )
