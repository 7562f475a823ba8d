"""A declared table as one of SQLAlchemy's, and values in each database's own form."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.types import TypeDecorator

from juliabox_ext import db_records
from juliabox_ext.db import REVISION, ColumnType, TableSchema


class _Time(TypeDecorator[datetime]):
    """A point of time: PostgreSQL has a type for it, SQLite keeps text that orders alike."""

    impl = sa.String
    cache_ok = True

    def load_dialect_impl(self, dialect: sa.Dialect) -> sa.types.TypeEngine[Any]:
        postgresql = dialect.name == "postgresql"
        return dialect.type_descriptor(sa.DateTime(timezone=True) if postgresql else sa.String())

    def process_bind_param(self, value: datetime | None, dialect: sa.Dialect) -> Any:
        if value is None or dialect.name == "postgresql":
            return value
        return db_records.to_text(value)

    def process_result_value(self, value: Any, dialect: sa.Dialect) -> datetime | None:
        if value is None or dialect.name == "postgresql":
            return value  # type: ignore[no-any-return]  # the session's time zone is UTC
        return db_records.from_text(value)


class _Json(TypeDecorator[Any]):
    """A JSON value as text, which comes back exactly as it went in."""

    impl = sa.Text
    cache_ok = True

    def load_dialect_impl(self, dialect: sa.Dialect) -> sa.types.TypeEngine[Any]:
        return dialect.type_descriptor(sa.Text())

    def process_bind_param(self, value: Any, dialect: sa.Dialect) -> str | None:
        return None if value is None else db_records.to_json(value)

    def process_result_value(self, value: str | None, dialect: sa.Dialect) -> Any:
        return None if value is None else json.loads(value)


_TYPES: dict[ColumnType, sa.types.TypeEngine[Any]] = {
    "text": sa.Text().with_variant(sa.Text(collation="C"), "postgresql"),
    "integer": sa.BigInteger(),
    "number": sa.Double(),
    "boolean": sa.Boolean(),
    "bytes": sa.LargeBinary(),
    "time": _Time(),
    "json": _Json(),
}


def sql_table(schema: TableSchema, prefix: str) -> sa.Table:
    """Return the table for a declaration, with its indexes.

    An index ends with the key: then records of equal order have one, too, and a page continues
    where the last one ended.
    """
    keys = {key.name for key in schema.keys}
    table = sa.Table(
        prefix + schema.name,
        sa.MetaData(),
        *(
            sa.Column(
                name,
                _TYPES[kind],
                primary_key=name in keys,
                nullable=name not in keys,
                autoincrement=False,
            )
            for name, kind in schema.columns.items()
        ),
        sa.Column(REVISION, sa.BigInteger(), nullable=False),
    )
    for index in schema.indexes:
        names = [index.match, index.order] if index.order else [index.match]
        names += [key.name for key in schema.keys if key.name not in names]
        sa.Index(f"{table.name}__{index.name}", *(table.c[name] for name in names))
    return table
