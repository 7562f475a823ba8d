"""What the engine keeps in the database: APIs, their versions, logs, figures, and the audit.

Everything here blocks, and runs in threads; :class:`~juliabox_services.api.store.Store` is the way
in from the event loop.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from itertools import islice
from typing import Any

import msgspec

from juliabox_ext.db import Column, Database, Index, JBPluginDB, Record, Table
from juliabox_ext.errors import ConflictError, NotFoundError
from juliabox_ext.plugin import PluginContext
from juliabox_ext.registry import Registry
from juliabox_services.api.models import (
    Api,
    AuditRow,
    Function,
    LogLine,
    Options,
    Version,
    VersionInfo,
)
from juliabox_services.api.people import differ, made
from juliabox_services.api.spread import Minute

#: Columns of a version that lists show: all but the source and what was found in it.
_LISTED = ("version", "saved", "saved_by", "note", "names", "bytes")


class ApiTable(Table):
    """APIs. A removed one stays, so that the numbers of its versions are never given again."""

    NAME = "api_published"
    KEYS = (Column("publisher"), Column("api"))
    ATTRIBUTES = (
        Column("active", "integer"),
        Column("newest", "integer"),
        Column("created", "number"),
        Column("stopped"),
        Column("removed", "boolean"),
        # absent in what releases wrote that did not know accounts
        Column("account"),
    )


class VersionTable(Table):
    """Versions by the whole name of their API."""

    NAME = "api_versions"
    KEYS = (Column("name"), Column("version", "integer"))
    ATTRIBUTES = (
        Column("source"),
        Column("functions", "json"),
        Column("names", "json"),
        Column("options", "json"),
        Column("saved", "number"),
        Column("saved_by"),
        Column("note"),
        Column("bytes", "integer"),
    )


class LogTable(Table):
    """Lines of the logs; a number is the microsecond of its line, or the next free one."""

    NAME = "api_log"
    KEYS = (Column("name"), Column("number", "integer"))
    ATTRIBUTES = (
        Column("time", "number"),
        Column("kind"),
        Column("version", "integer"),
        Column("function"),
        Column("status", "integer"),
        Column("text"),
        Column("request"),
    )


class MinuteTable(Table):
    """Calls of each minute that had some."""

    NAME = "api_minutes"
    KEYS = (Column("name"), Column("minute", "integer"))
    ATTRIBUTES = (
        Column("calls", "integer"),
        Column("refused", "integer"),
        Column("errors", "integer"),
        Column("spread", "json"),
    )


class AuditTable(Table):
    """Who changed what: by the day (UTC), and by publisher."""

    NAME = "api_audit"
    KEYS = (Column("day"), Column("id"))
    ATTRIBUTES = (
        Column("time", "number"),
        Column("who"),
        Column("what"),
        Column("publisher"),
        Column("api"),
        Column("version", "integer"),
        Column("detail"),
        # of the publisher; absent where it was not known
        Column("account"),
    )
    INDEXES = (Index("by_publisher", "publisher", "id"),)


def whole(publisher: str, api: str) -> str:
    """Return the whole name of an API; a user's name has no slash."""
    return f"{publisher}/{api}"


def storable(text: str) -> str:
    """Return a text without what a database refuses: NUL, and halves of characters."""
    return text.encode("utf-8", "replace").decode().replace("\0", "\N{REPLACEMENT CHARACTER}")


class Tables:
    """The engine's tables on whatever database is enabled."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        # tables of our own, which no operator enables or configures
        context = PluginContext("api")
        self._apis, self._versions = ApiTable(context), VersionTable(context)
        self._log, self._minutes = LogTable(context), MinuteTable(context)
        self._audit = AuditTable(context)
        self._open = False

    def open(self) -> Database:
        """Open the tables once; raise what the database raises, or that there is none."""
        database: Database = self._registry.one(JBPluginDB.JBP_DB)
        if not self._open:
            for table in (self._apis, self._versions, self._log, self._minutes, self._audit):
                table.open(database)
            self._open = True
        return database

    # -- APIs

    def apis(self) -> list[tuple[Api, bool]]:
        """Return all APIs, and whether each is removed."""
        rows = self.open().record_scan(self._apis.TABLE)
        return [(_api(row), bool(row["removed"])) for row in rows]

    def api(self, publisher: str, api: str) -> tuple[Api, bool] | None:
        """Return an API, and whether it is removed; None if there never was one."""
        try:
            row = self.open().record_fetch(self._apis.TABLE, publisher=publisher, api=api)
        except NotFoundError:
            return None
        return _api(row), bool(row["removed"])

    def keep_api(self, api: Api, *, removed: bool = False) -> None:
        """Write an API, new or not."""
        database, row = self.open(), {**msgspec.to_builtins(api), "removed": removed}
        row["created"] = float(api.created)
        try:
            database.record_save(self._apis.TABLE, row)
        except NotFoundError:
            database.record_create(self._apis.TABLE, row)

    # -- versions

    def add_version(self, version: Version) -> None:
        """Write a new version; raise ``ConflictError`` (``db.exists``) if its number is taken."""
        self.open().record_create(
            self._versions.TABLE,
            {
                "name": whole(version.publisher, version.api),
                "version": version.version,
                "source": version.source,
                "functions": msgspec.to_builtins(version.functions),
                "names": [one.name for one in version.functions],
                "options": msgspec.to_builtins(version.options),
                "saved": float(version.saved),
                "saved_by": version.saved_by,
                "note": version.note,
                "bytes": len(version.source.encode()),
            },
        )

    def version(self, publisher: str, api: str, number: int) -> Version:
        """Return a version; raise ``NotFoundError`` (``db.absent``).

        One whose options or functions another release wrote, and this one does not understand, is
        not there either (``api.version``).
        """
        row = self.open().record_fetch(
            self._versions.TABLE, name=whole(publisher, api), version=number
        )
        try:
            functions = msgspec.convert(row["functions"], list[Function])
            options = msgspec.convert(row["options"], Options)
        except msgspec.ValidationError as error:
            raise NotFoundError(
                f"Version {number} of {publisher}/{api} is not understood: {error}",
                code="api.version",
            ) from None
        return Version(
            publisher=publisher,
            api=api,
            version=number,
            source=row["source"],
            functions=functions,
            options=options,
            saved=row["saved"],
            saved_by=row["saved_by"],
            note=row["note"],
        )

    def versions(self, publisher: str, api: str) -> list[VersionInfo]:
        """Return what lists show of all versions, newest first."""
        rows = self.open().record_query(
            self._versions.TABLE, name=whole(publisher, api), descending=True, columns=_LISTED
        )
        return [
            VersionInfo(
                version=row["version"],
                saved=row["saved"],
                saved_by=row["saved_by"],
                note=row["note"],
                functions=list(row["names"]),
                bytes=row["bytes"],
            )
            for row in rows
        ]

    def drop_versions(self, publisher: str, api: str, numbers: Iterable[int]) -> None:
        """Delete versions."""
        database, name = self.open(), whole(publisher, api)
        for number in numbers:
            database.record_delete(self._versions.TABLE, {"name": name, "version": number})

    # -- logs and figures

    def add_lines(self, name: str, lines: Iterable[LogLine]) -> None:
        """Write lines of a log; one that is there already stays as it is."""
        database = self.open()
        for line in lines:
            row = {**msgspec.to_builtins(line), "name": name, "time": float(line.time)}
            try:
                database.record_create(self._log.TABLE, row)
            except ConflictError:
                continue

    def lines(self, name: str, after: int, limit: int) -> list[LogLine]:
        """Return the newest lines after a number, oldest first."""
        rows = self.open().record_query(
            self._log.TABLE, name=name, number__gt=after, descending=True, limit=limit
        )
        found = [LogLine(**{key: row[key] for key in LogLine.__struct_fields__}) for row in rows]
        return found[::-1]

    def newest_line(self, name: str) -> int:
        """Return the number of a log's last line; 0 for none."""
        rows = self.open().record_query(
            self._log.TABLE, name=name, descending=True, limit=1, columns=["number"]
        )
        return next((int(row["number"]) for row in rows), 0)

    def add_minute(self, name: str, minute: int, calls: Minute) -> None:
        """Add calls to those of a minute."""
        database, key = self.open(), {"name": name, "minute": minute}
        try:
            database.record_create(self._minutes.TABLE, {**key, **calls.row()})
        except ConflictError:
            kept = Minute.of(database.record_fetch(self._minutes.TABLE, **key))
            kept.add(calls)
            database.record_save(self._minutes.TABLE, {**key, **kept.row()})

    def minutes(self, name: str, since: int) -> dict[int, Minute]:
        """Return the minutes of an API that had calls, from one on."""
        rows = self.open().record_query(self._minutes.TABLE, name=name, minute__ge=since)
        return {int(row["minute"]): Minute.of(row) for row in rows}

    # -- audit

    def add_audit(self, row: AuditRow, key: str, account: str = "") -> None:
        """Write a row of the audit; ``key`` orders the rows of a day and names each but once.

        ``account`` is the publisher's, if it is known.
        """
        data = {**msgspec.to_builtins(row), "time": float(row.time)}
        data.update(day=day_of(row.time), id=key, account=account or None)
        try:
            self.open().record_create(self._audit.TABLE, data)
        except ConflictError:
            return

    def audit_of(self, publisher: str, account: str, limit: int) -> list[AuditRow]:
        """Return the newest rows of a publisher, newest first.

        With an account those of others who had the name are left out; and where none is known,
        those from before it was made.
        """
        rows = self.open().record_query(
            self._audit.TABLE,
            index="by_publisher",
            publisher=publisher,
            descending=True,
            limit=0 if account else limit,
        )
        if not account:
            return _audit_rows(rows)
        since = made(account)
        own = (
            row
            for row in rows
            if not differ(row["account"] or "", account)
            and (row["account"] or row["time"] >= since)
        )
        return _audit_rows(islice(own, limit))

    def audit_of_all(self, days: int, limit: int) -> list[AuditRow]:
        """Return the newest rows of some days, newest first."""
        database, found, today = self.open(), list[Record](), datetime.now(UTC).date()
        for back in range(days + 1):
            left = limit - len(found)
            if left <= 0:
                break
            day = (today - timedelta(days=back)).isoformat()
            found += database.record_query(self._audit.TABLE, day=day, descending=True, limit=left)
        return _audit_rows(found)

    # -- what is too old

    def forget_audit(self, before: date, most: int) -> int:
        """Delete rows of the audit from before a day, at most so many; return how many went."""
        rows = self.open().record_scan(self._audit.TABLE, day=True, id=True)
        return self._delete(
            self._audit, (row for row in rows if row["day"] < before.isoformat()), most
        )

    def forget_lines(self, name: str, before: int, most: int) -> int:
        """Delete lines before a number, the oldest first; at most so many, and return how many."""
        return self._forget(self._log, "number", name, before, most)

    def first_of_newest(self, name: str, count: int) -> int:
        """Return the number of the oldest of so many newest lines; 0 if there are fewer."""
        rows = self.open().record_query(
            self._log.TABLE, name=name, descending=True, limit=count, columns=["number"]
        )
        numbers = [int(row["number"]) for row in rows]
        return numbers[-1] if len(numbers) == count else 0

    def forget_minutes(self, name: str, before: int, most: int) -> int:
        """Delete figures of minutes before one; at most so many, and return how many."""
        return self._forget(self._minutes, "minute", name, before, most)

    def _forget(self, table: Table, number: str, name: str, before: int, most: int) -> int:
        """Delete an API's rows whose second key, the number, is below ``before``."""
        criteria: dict[str, Any] = {"name": name, f"{number}__lt": before}
        rows = self.open().record_query(
            table.TABLE, limit=most, columns=["name", number], **criteria
        )
        return self._delete(table, rows, most)

    def _delete(self, table: Table, rows: Iterable[Record], most: int) -> int:
        database, names = self.open(), [key.name for key in table.KEYS]
        # read before the first is deleted: a page is not to shift under the reader
        keys: list[dict[str, Any]] = []
        for row in rows:
            if len(keys) == most:
                break
            keys.append({name: row[name] for name in names})
        for key in keys:
            database.record_delete(table.TABLE, key)
        return len(keys)


def day_of(time: float) -> str:
    """Return the day (UTC) of a time, as the audit names it."""
    return datetime.fromtimestamp(time, UTC).date().isoformat()


def _audit_rows(rows: Iterable[Record]) -> list[AuditRow]:
    return [AuditRow(**{key: row[key] for key in AuditRow.__struct_fields__}) for row in rows]


def _api(row: Record) -> Api:
    return Api(
        publisher=row["publisher"],
        api=row["api"],
        active=row["active"],
        newest=row["newest"],
        created=row["created"],
        stopped=row["stopped"] or "",
        account=row["account"] or "",
    )
