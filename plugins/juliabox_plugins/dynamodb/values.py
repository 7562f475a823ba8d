"""Values of records as DynamoDB's attributes, and back, without loss."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from juliabox_ext import db_records
from juliabox_ext.db import REVISION, ColumnType, Record, TableSchema

Attribute = dict[str, Any]

#: DynamoDB's numbers have 38 digits and these bounds; a number beyond them is kept as text.
LARGEST, SMALLEST = 9.9e125, 1e-130

#: Types of DynamoDB that a key's column has.
KEY_TYPES: dict[ColumnType, str] = {"text": "S", "time": "S", "integer": "N"}

#: Stands for the empty text, which a key may not have. No text has this character, and it is
#: ordered before all others, as the empty text is.
EMPTY = "\x00"


def encoded(kind: ColumnType, value: Any) -> Attribute:
    """Return a value, not None, that was checked as an attribute."""
    if kind == "text":
        return {"S": value or EMPTY}
    if kind == "integer":
        return {"N": str(value)}
    if kind == "number":
        plain = value == 0 or SMALLEST <= abs(value) <= LARGEST
        return {"N" if plain else "S": repr(value + 0.0)}
    if kind == "boolean":
        return {"BOOL": value}
    if kind == "bytes":
        return {"B": value}
    return {"S": db_records.to_text(value) if kind == "time" else db_records.to_json(value)}


def decoded(kind: ColumnType, attribute: Attribute) -> Any:
    """Return the value of an attribute."""
    (stored,) = attribute.values()
    if kind == "text":
        return "" if stored == EMPTY else stored
    if kind == "integer":
        return int(stored)
    if kind == "number":
        return float(stored)
    if kind == "time":
        return db_records.from_text(stored)
    if kind == "json":
        return json.loads(stored)
    return stored


def item(schema: TableSchema, values: Record) -> dict[str, Attribute]:
    """Return a record's columns as attributes; a column that is None has none."""
    return {
        name: encoded(schema.columns[name], value)
        for name, value in values.items()
        if value is not None
    }


def record(
    schema: TableSchema, found: Mapping[str, Attribute], columns: Iterable[str] = ()
) -> Record:
    """Return some columns, all unless they are named, of an item."""
    kinds: dict[str, ColumnType] = {**schema.columns, REVISION: "integer"}
    return {
        name: decoded(kinds[name], found[name]) if name in found else None
        for name in columns or kinds
    }
