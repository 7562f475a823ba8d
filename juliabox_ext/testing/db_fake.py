"""A database in memory that keeps the contract: for tests of what uses a database."""

from __future__ import annotations

import copy
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from juliabox_ext import db_records
from juliabox_ext.db import REVISION, Database, JBPluginDB, Record, TableSchema
from juliabox_ext.errors import JuliaBoxError, RequestError
from juliabox_ext.plugin import PluginContext


@dataclass
class _Rows:
    """What is kept of one table: the types it was ever declared with, and its records."""

    keys: list[str]
    types: dict[str, str]
    records: dict[tuple[Any, ...], Record] = field(default_factory=dict)


@dataclass(frozen=True)
class _Handle:
    schema: TableSchema
    rows: _Rows


class FakeDatabase(Database):
    """Keeps tables in memory. Set ``fault`` to an error, and every method raises it."""

    provides = (JBPluginDB.JBP_DB,)

    def __init__(self, context: PluginContext | None = None) -> None:
        super().__init__(context or PluginContext("fake"))
        self.fault: JuliaBoxError | None = None
        self._tables: dict[str, _Rows] = {}
        self._lock = threading.RLock()

    def _work(self) -> threading.RLock:
        if self.fault is not None:
            raise self.fault
        return self._lock

    def table_open(self, table: TableSchema) -> _Handle:
        """See :meth:`Database.table_open`."""
        with self._work():
            keys = [key.name for key in table.keys]
            rows = self._tables.setdefault(table.name, _Rows(keys, {}))
            for name, kind in table.columns.items():
                if rows.keys != keys or rows.types.get(name, kind) != kind:
                    raise RequestError(
                        f"table {table.name} was declared otherwise before", code="db.schema"
                    )
            rows.types.update(table.columns)
            return _Handle(table, rows)

    def record_create(self, table: _Handle, data: Mapping[str, Any]) -> None:
        """See :meth:`Database.record_create`."""
        record = db_records.new_record(table.schema, data)
        key = {name: record[name] for name in table.rows.keys}
        with self._work():
            if tuple(key.values()) in table.rows.records:
                raise db_records.exists(table.schema, key)
            table.rows.records[tuple(key.values())] = {**record, REVISION: 1}

    def record_fetch(self, table: _Handle, **keys: Any) -> Record:
        """See :meth:`Database.record_fetch`."""
        key = db_records.key(table.schema, keys)
        with self._work():
            found = self._found(table, key)
        if found is None:
            raise db_records.absent(table.schema, key)
        return self._given(found, db_records.picked(table.schema, ()))

    def record_scan(self, table: _Handle, **columns: bool) -> Iterator[Record]:
        """See :meth:`Database.record_scan`."""
        names = db_records.scanned(table.schema, columns)
        with self._work():
            records = list(table.rows.records.values())
        return (self._given(record, names) for record in records)

    def record_query(
        self,
        table: _Handle,
        *,
        index: str = "",
        descending: bool = False,
        limit: int = 0,
        columns: Sequence[str] = (),
        **criteria: Any,
    ) -> Iterator[Record]:
        """See :meth:`Database.record_query`."""
        names = db_records.picked(table.schema, columns)
        db_records.demand_limit(table.schema, limit)
        query = db_records.query(table.schema, index, criteria)
        found = self._matching(table, query)
        if query.order:
            found.sort(key=lambda record: record[query.order], reverse=descending)
        return (self._given(record, names) for record in found[: limit or None])

    def record_count(self, table: _Handle, *, index: str = "", **criteria: Any) -> int:
        """See :meth:`Database.record_count`."""
        if not criteria and not index:
            with self._work():
                return len(table.rows.records)
        return len(self._matching(table, db_records.query(table.schema, index, criteria)))

    def record_save(self, table: _Handle, data: Mapping[str, Any]) -> int:
        """See :meth:`Database.record_save`."""
        key, changes, revision = db_records.changes(table.schema, data)
        with self._work():
            found = self._found(table, key)
            if found is None:
                raise db_records.absent(table.schema, key)
            if revision is not None and found[REVISION] != revision:
                raise db_records.changed(table.schema, key, revision)
            saved: int = found[REVISION] + 1
            table.rows.records[tuple(key.values())] = {**found, **changes, REVISION: saved}
            return saved

    def record_delete(self, table: _Handle, data: Mapping[str, Any]) -> None:
        """See :meth:`Database.record_delete`."""
        key, revision = db_records.deletion(table.schema, data)
        with self._work():
            found = self._found(table, key)
            if found is not None and revision is not None and found[REVISION] != revision:
                raise db_records.changed(table.schema, key, revision)
            table.rows.records.pop(tuple(key.values()), None)

    @staticmethod
    def _found(table: _Handle, key: Record) -> Record | None:
        return table.rows.records.get(tuple(key.values()))

    def _matching(self, table: _Handle, query: db_records.Query) -> list[Record]:
        with self._work():
            records = list(table.rows.records.values())
        return [record for record in records if db_records.matching(query, record)]

    @staticmethod
    def _given(record: Record, names: Sequence[str]) -> Record:
        return copy.deepcopy(db_records.only(record, names))
