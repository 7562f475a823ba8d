"""The plugin ``rdbms``: records in SQLite or PostgreSQL."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast

import sqlalchemy as sa
from pydantic import Field, SecretStr, field_validator

from juliabox_ext import db_records
from juliabox_ext.db import REVISION, Database, JBPluginDB, Record, TableSchema
from juliabox_ext.plugin import PluginContext, PluginSettings
from juliabox_plugins.rdbms.connections import postgresql_engine, sqlite_engine
from juliabox_plugins.rdbms.failures import translated
from juliabox_plugins.rdbms.tables import Migrations

#: Records that one statement reads.
PAGE = 1000

#: File in the plugin's folder that is used unless there is a URL.
FILE = "juliabox.sqlite"


class RdbmsSettings(PluginSettings):
    """Settings of ``rdbms``."""

    #: Where: ``postgresql://USER:PASSWORD@HOST:PORT/DATABASE`` or ``sqlite:////FOLDER/FILE``;
    #: without it a file in the plugin's own folder.
    url: SecretStr | None = None
    #: Seconds that each of connecting, waiting for a lock and a statement may take.
    timeout: float = Field(default=5.0, ge=0.1, le=300.0)
    #: Connections to PostgreSQL of one process.
    pool_size: int = Field(default=5, ge=1, le=100)
    #: Beginning of the names of all tables.
    table_prefix: str = Field(default="juliabox_", pattern=r"^[a-z][a-z0-9_]{0,10}_$")

    @field_validator("url")
    @classmethod
    def _known(cls, url: SecretStr | None) -> SecretStr | None:
        if url is not None:
            parsed_url(url)
        return url


def parsed_url(url: SecretStr) -> sa.URL:
    """Return a URL's parts; raise ``ValueError``, which does not show it, for one of no use."""
    try:
        parts = sa.make_url(url.get_secret_value())
    except (sa.exc.ArgumentError, ValueError):
        raise ValueError("is no database URL") from None
    if not re.fullmatch(r"sqlite|postgres(ql)?(\+psycopg)?", parts.drivername):
        raise ValueError("must start with postgresql:// or sqlite://")
    if parts.drivername == "sqlite" and not (parts.database or "").startswith("/"):
        raise ValueError("must name a file by its whole path: sqlite:////FOLDER/FILE")
    return parts


@dataclass(frozen=True)
class _Handle:
    schema: TableSchema
    sql: sa.Table

    def where(self, key: Record) -> list[sa.ColumnElement[bool]]:
        """Return the conditions that a record's key meets."""
        return [self.sql.c[name] == value for name, value in key.items()]


class Rdbms(Database):
    """Records in SQLite or PostgreSQL; every method is one statement, or one for each page."""

    provides = (JBPluginDB.JBP_DB, JBPluginDB.JBP_DB_RDBMS)
    Settings = RdbmsSettings

    def __init__(self, context: PluginContext) -> None:
        super().__init__(context)
        self._engine: sa.Engine

    def configure(self) -> None:
        """Prepare; the first connection is made when it is needed."""
        settings = cast(RdbmsSettings, self.context.settings)
        url = None if settings.url is None else parsed_url(settings.url)
        if url is not None and url.drivername != "sqlite":
            self._engine = postgresql_engine(url, settings.timeout, settings.pool_size)
        else:
            file = self.context.folder / ((url and url.database) or FILE)
            self._engine = sqlite_engine(file, settings.timeout)
        self._migrations = Migrations(self.name, self._engine, settings.table_prefix)

    def close(self) -> None:
        """Close all connections."""
        self._engine.dispose()

    @contextmanager
    def _connection(self) -> Iterator[sa.Connection]:
        with translated(self.name), self._engine.connect() as connection:
            yield connection

    def table_open(self, table: TableSchema) -> _Handle:
        """See :meth:`Database.table_open`."""
        with translated(self.name):
            return _Handle(table, self._migrations.bring(table))

    def record_create(self, table: _Handle, data: Mapping[str, Any]) -> None:
        """See :meth:`Database.record_create`."""
        record = db_records.new_record(table.schema, data)
        with self._connection() as connection:
            try:
                connection.execute(sa.insert(table.sql), {**record, REVISION: 1})
            except sa.exc.IntegrityError:
                key = {column.name: record[column.name] for column in table.schema.keys}
                raise db_records.exists(table.schema, key) from None

    def record_fetch(self, table: _Handle, **keys: Any) -> Record:
        """See :meth:`Database.record_fetch`."""
        key = db_records.key(table.schema, keys)
        with self._connection() as connection:
            query = sa.select(table.sql).where(*table.where(key))
            found = connection.execute(query).mappings().one_or_none()
        if found is None:
            raise db_records.absent(table.schema, key)
        return db_records.only(dict(found), db_records.picked(table.schema, ()))

    def record_scan(self, table: _Handle, **columns: bool) -> Iterator[Record]:
        """See :meth:`Database.record_scan`."""
        names = db_records.scanned(table.schema, columns)
        keys = [table.sql.c[key.name] for key in table.schema.keys]
        return self._paged(table, [], keys, names)

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
        order = dict.fromkeys([query.order, *(key.name for key in table.schema.keys)])
        by = [table.sql.c[name] for name in order if name and name != query.match]
        where = _conditions(table.sql, query)
        return self._paged(table, where, by, names, descending=descending, limit=limit)

    def _paged(
        self,
        table: _Handle,
        where: list[sa.ColumnElement[bool]],
        by: list[sa.Column[Any]],
        names: Sequence[str],
        *,
        descending: bool = False,
        limit: int = 0,
    ) -> Iterator[Record]:
        """Yield records in pages; each starts after the last record of the one before.

        No connection is held while the caller works on a page.
        """
        columns = [*(table.sql.c[name] for name in names), *by]
        query = sa.select(*columns).where(*where)
        query = query.order_by(*(column.desc() if descending else column for column in by))
        last: Sequence[Any] = ()
        left = limit
        while True:
            size = min(PAGE, left) if limit else PAGE
            page = query.where(_after(by, last, descending)) if last else query
            with self._connection() as connection:
                rows = connection.execute(page.limit(size)).all()
            for row in rows:
                yield dict(zip(names, row, strict=False))
            left -= len(rows)
            if len(rows) < size or (limit and not left) or not by:
                return
            last = rows[-1][len(names) :]

    def record_count(self, table: _Handle, *, index: str = "", **criteria: Any) -> int:
        """See :meth:`Database.record_count`."""
        query = sa.select(sa.func.count()).select_from(table.sql)
        if criteria or index:
            found = db_records.query(table.schema, index, criteria)
            query = query.where(*_conditions(table.sql, found))
        with self._connection() as connection:
            return connection.execute(query).scalar_one()

    def record_save(self, table: _Handle, data: Mapping[str, Any]) -> int:
        """See :meth:`Database.record_save`."""
        key, changes, revision = db_records.changes(table.schema, data)
        where = table.where(key)
        column = table.sql.c[REVISION]
        statement = sa.update(table.sql).where(*where).values({**changes, REVISION: column + 1})
        if revision is not None:
            statement = statement.where(column == revision)
        with self._connection() as connection:
            saved = connection.execute(statement.returning(column)).scalar_one_or_none()
            if saved is not None:
                return int(saved)
            if revision is not None and self._is_there(connection, where):
                raise db_records.changed(table.schema, key, revision)
        raise db_records.absent(table.schema, key)

    def record_delete(self, table: _Handle, data: Mapping[str, Any]) -> None:
        """See :meth:`Database.record_delete`."""
        key, revision = db_records.deletion(table.schema, data)
        where = table.where(key)
        statement = sa.delete(table.sql).where(*where)
        if revision is not None:
            statement = statement.where(table.sql.c[REVISION] == revision)
        with self._connection() as connection:
            deleted = connection.execute(statement).rowcount
            if revision is not None and not deleted and self._is_there(connection, where):
                raise db_records.changed(table.schema, key, revision)

    @staticmethod
    def _is_there(connection: sa.Connection, where: list[sa.ColumnElement[bool]]) -> bool:
        return bool(connection.execute(sa.select(sa.exists().where(*where))).scalar_one())


def _conditions(table: sa.Table, query: db_records.Query) -> list[sa.ColumnElement[bool]]:
    """Return a checked query as conditions."""
    where = [table.c[query.match] == query.value]
    where += [table.c[name] == value for name, value in query.filters.items()]
    if not query.order:
        return where
    ordered, lower, upper = table.c[query.order], query.lower, query.upper
    where.append(ordered.is_not(None))
    if lower is not None:
        where.append(ordered >= lower.value if lower.included else ordered > lower.value)
    if upper is not None:
        where.append(ordered <= upper.value if upper.included else ordered < upper.value)
    return where


def _after(
    by: list[sa.Column[Any]], last: Sequence[Any], descending: bool
) -> sa.ColumnElement[bool]:
    """Return the condition for what comes after a record in the order of some columns."""
    values = [
        sa.bindparam(None, value, type_=column.type) for column, value in zip(by, last, strict=True)
    ]
    ours, theirs = sa.tuple_(*by), sa.tuple_(*values)
    return ours < theirs if descending else ours > theirs
