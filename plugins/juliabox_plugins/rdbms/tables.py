"""Tables made and extended with alembic: what one lacks is added, nothing is ever dropped.

A table of ours, ``<prefix>_tables``, has what each table was declared with so far and a revision
that each extension raises. Two underscores keep its name apart from those of plugins' tables.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from datetime import UTC, datetime
from typing import Any, cast

import sqlalchemy as sa
from alembic.autogenerate import produce_migrations
from alembic.migration import MigrationContext
from alembic.operations import Operations
from alembic.operations.ops import (
    AddColumnOp,
    CreateIndexOp,
    CreateTableOp,
    MigrateOperation,
    ModifyTableOps,
)

from juliabox_ext import db_failures
from juliabox_ext.db import TableSchema
from juliabox_plugins.rdbms.columns import sql_table
from juliabox_plugins.rdbms.connections import BoundedConnection

#: Seconds that adding an index to a large table may take.
PATIENCE = 600

Declared = dict[str, Any]


class Migrations:
    """Brings tables of one database to what is declared."""

    def __init__(self, name: str, engine: sa.Engine, prefix: str) -> None:
        self._name, self._engine, self._prefix = name, engine, prefix
        self._versions = sa.Table(
            f"{prefix}_tables",
            sa.MetaData(),
            sa.Column("name", sa.String(64), primary_key=True),
            sa.Column("revision", sa.Integer(), nullable=False),
            sa.Column("declared", sa.Text(), nullable=False),
            sa.Column("changed", sa.String(32), nullable=False),
        )

    def bring(self, schema: TableSchema) -> sa.Table:
        """Return the table for a declaration after adding what the database lacks of it.

        The lock is taken only if something is to be added.
        """
        table = sql_table(schema, self._prefix)
        with self._engine.connect() as connection:
            if self._lacks(connection, schema, table):
                with self._exclusively(connection):
                    for operation in self._lacks(connection, schema, table):
                        Operations(_context(connection, table)).invoke(operation)
                    self._note(connection, schema)
        return table

    def _lacks(
        self, connection: sa.Connection, schema: TableSchema, table: sa.Table
    ) -> list[MigrateOperation]:
        """Return the operations that are due; raise if the declarations contradict."""
        # in this order: another process may make and note it between the two looks
        present = sa.inspect(connection).has_table(table.name)
        before = self._declared(connection, table.name)
        if present and before is None:
            raise db_failures.foreign(self._name, table.name)
        if present and before is not None:
            self._compare(before, schema)
        script = produce_migrations(_context(connection, table), table.metadata)
        return [one for part in script.upgrade_ops_list for one in _additions(part.ops)]

    def _declared(self, connection: sa.Connection, name: str) -> Declared | None:
        if not sa.inspect(connection).has_table(self._versions.name):
            return None
        columns = self._versions.c
        query = sa.select(columns.declared).where(columns.name == name)
        found = connection.execute(query).scalar_one_or_none()
        declared: Declared | None = None if found is None else json.loads(found)
        return declared

    def _compare(self, before: Declared, schema: TableSchema) -> None:
        now = _declaration(schema)
        for part in ("columns", "indexes"):
            for name, value in now[part].items():
                if before[part].get(name, value) != value:
                    reason = f"{name} is {before[part][name]} there, and {value} here"
                    raise db_failures.declared_otherwise(self._name, schema.name, reason)
        if before["keys"] != now["keys"]:
            reason = f"its keys are {before['keys']} there, and {now['keys']} here"
            raise db_failures.declared_otherwise(self._name, schema.name, reason)

    def _note(self, connection: sa.Connection, schema: TableSchema) -> None:
        """Record the declaration, joined with earlier ones, as the table's next revision."""
        columns, name = self._versions.c, self._prefix + schema.name
        now = _declaration(schema)
        before = self._declared(connection, name)
        for part in ("columns", "indexes") if before else ():
            now[part] = {**(before or {})[part], **now[part]}
        values = {"declared": json.dumps(now), "changed": datetime.now(UTC).isoformat()}
        changed = connection.execute(
            sa.update(self._versions)
            .where(columns.name == name)
            .values(revision=columns.revision + 1, **values)
        )
        if not changed.rowcount:
            new = sa.insert(self._versions).values(name=name, revision=1, **values)
            connection.execute(new)

    @contextmanager
    def _exclusively(self, connection: sa.Connection) -> Iterator[None]:
        """Run a transaction while every other process that extends tables waits."""
        sqlite = connection.dialect.name == "sqlite"
        with nullcontext() if sqlite else _patiently(connection):
            try:
                connection.exec_driver_sql("BEGIN IMMEDIATE" if sqlite else "BEGIN")
                if not sqlite:
                    self._lock(connection)
                self._versions.create(connection, checkfirst=True)
                yield
                connection.exec_driver_sql("COMMIT")
            except BaseException:
                with suppress(sa.exc.DBAPIError):
                    connection.exec_driver_sql("ROLLBACK")
                raise

    def _lock(self, connection: sa.Connection) -> None:
        """Wait for the lock of this prefix, as long as for any lock; then there is more time."""
        digest = hashlib.sha256(self._prefix.encode()).digest()
        key = int.from_bytes(digest[:8], "big", signed=True)
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(key)))
        connection.exec_driver_sql(f"SET LOCAL statement_timeout = {PATIENCE * 1000}")


@contextmanager
def _patiently(connection: sa.Connection) -> Iterator[None]:
    driver = cast(BoundedConnection, connection.connection.driver_connection)
    usual, driver.patience = driver.patience, PATIENCE
    try:
        yield
    finally:
        driver.patience = usual


def _declaration(schema: TableSchema) -> Declared:
    return {
        "keys": [key.name for key in schema.keys],
        "columns": dict(schema.columns),
        "indexes": {one.name: [one.match, one.order] for one in schema.indexes},
    }


def _context(connection: sa.Connection, table: sa.Table) -> MigrationContext:
    """Return alembic's context, which sees this one table."""
    return MigrationContext.configure(
        connection,
        opts={
            "target_metadata": table.metadata,
            "compare_type": False,
            "include_name": lambda name, kind, _: kind != "table" or name == table.name,
        },
    )


def _additions(operations: Sequence[MigrateOperation]) -> Iterator[MigrateOperation]:
    """Yield what adds something: to drop or alter is nobody's part here."""
    for operation in operations:
        if isinstance(operation, ModifyTableOps):
            yield from _additions(operation.ops)
        elif isinstance(operation, CreateTableOp | AddColumnOp | CreateIndexOp):
            yield operation
