"""What a database takes and gives: the checks at its boundary, the same in every database.

Each function raises ``RequestError`` (code ``db.invalid``) that names table and column, and
returns values in their one form: times in UTC, numbers as floats, JSON as it would come back.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NoReturn

from juliabox_ext.db import KEY_BYTES, RECORD_BYTES, REVISION, Record, TableSchema
from juliabox_ext.errors import ConflictError, NotFoundError, RequestError

LARGEST = 2**63 - 1
SMALLEST = -(2**63)

#: Suffix of a criterion -> whether it bounds below, and whether the bound itself is included.
BOUNDS = {"ge": (True, True), "gt": (True, False), "le": (False, True), "lt": (False, False)}


@dataclass(frozen=True)
class Bound:
    """A bound of the column to order by."""

    value: Any
    included: bool


@dataclass(frozen=True)
class Query:
    """A query that was checked: ``match`` equals ``value``, ``order`` lies between the bounds."""

    index: str
    match: str
    value: Any
    order: str
    lower: Bound | None
    upper: Bound | None
    filters: Record


def refuse(schema: TableSchema, reason: str) -> NoReturn:
    """Raise ``RequestError`` that names the table."""
    raise RequestError(f"table {schema.name}: {reason}", code="db.invalid")


def exists(schema: TableSchema, key: Record) -> ConflictError:
    """Return the error for a record that is to be created and exists."""
    return ConflictError(f"table {schema.name} already has {told(key)}", code="db.exists")


def absent(schema: TableSchema, key: Record) -> NotFoundError:
    """Return the error for a record that does not exist."""
    return NotFoundError(f"table {schema.name} has no {told(key)}", code="db.absent")


def changed(schema: TableSchema, key: Record, revision: int) -> ConflictError:
    """Return the error for a record that no longer has the revision that was handed back."""
    return ConflictError(
        f"table {schema.name}: {told(key)} was changed after revision {revision}; fetch it again",
        code="db.changed",
    )


def told(key: Record) -> str:
    """Return a key as messages show it."""
    return ", ".join(f"{name}={value!r}" for name, value in key.items())


def new_record(schema: TableSchema, data: Mapping[str, Any]) -> Record:
    """Return a record to create: whole keys, and the other columns that are given."""
    if REVISION in data:
        refuse(schema, "a new record has no revision yet")
    values = _values(schema, data)
    _key_of(schema, values)
    return values


def changes(schema: TableSchema, data: Mapping[str, Any]) -> tuple[Record, Record, int | None]:
    """Return key, changed columns and the revision that was handed back, if any, of a save."""
    values = _values(schema, {name: data[name] for name in data if name != REVISION})
    key = _key_of(schema, values)
    rest = {name: value for name, value in values.items() if name not in key}
    return key, rest, _revision(schema, data)


def deletion(schema: TableSchema, data: Mapping[str, Any]) -> tuple[Record, int | None]:
    """Return key and revision, if any, of a delete; other columns are known and not looked at."""
    for name in data:
        if name != REVISION:
            _known(schema, name)
    keys = {key.name for key in schema.keys}
    found = _values(schema, {name: data[name] for name in data if name in keys})
    return _key_of(schema, found), _revision(schema, data)


def key(schema: TableSchema, given: Mapping[str, Any]) -> Record:
    """Return the key to fetch: its columns, all of them and nothing else."""
    found = _key_of(schema, _values(schema, given))
    for name in given:
        if name not in found:
            refuse(schema, f"column {name} is none of its keys")
    return found


def picked(schema: TableSchema, names: Iterable[str]) -> list[str]:
    """Return the columns that a scan or query gives, all of them if none are named."""
    wanted = list(dict.fromkeys(names))
    for name in wanted:
        if name != REVISION:
            _known(schema, name)
    return wanted or [*schema.columns, REVISION]


def scanned(schema: TableSchema, columns: Mapping[str, bool]) -> list[str]:
    """Return the columns that a scan gives."""
    return picked(schema, (name for name, wanted in columns.items() if wanted))


def demand_limit(schema: TableSchema, limit: int) -> None:
    """Refuse a limit that is none."""
    if type(limit) is not int or limit < 0:
        refuse(schema, f"limit must be a whole number from 0 on, not {limit!r}")


def query(schema: TableSchema, index: str, criteria: Mapping[str, Any]) -> Query:
    """Return a query's criteria, taken apart and checked."""
    looked_up = schema.index(index)
    lower: Bound | None = None
    upper: Bound | None = None
    equal: Record = {}
    for criterion, given in criteria.items():
        name, _, suffix = criterion.partition("__")
        value = _comparable(schema, name, given)
        if not suffix:
            equal[name] = value
            continue
        if suffix not in BOUNDS or name != looked_up.order or value is None:
            refuse(schema, f"criterion {criterion} does not bound what {index or 'the key'} orders")
        below, included = BOUNDS[suffix]
        if (lower if below else upper) is not None or looked_up.order in criteria:
            refuse(schema, f"criterion {criterion} bounds {name} once more")
        lower, upper = (Bound(value, included), upper) if below else (lower, Bound(value, included))
    if equal.get(looked_up.match) is None:
        refuse(schema, f"a query by {index or 'the key'} needs {looked_up.match}")
    value = equal.pop(looked_up.match)
    if equal.get(looked_up.order) is not None:
        lower = upper = Bound(equal.pop(looked_up.order), True)
    elif looked_up.order in equal:
        refuse(schema, f"{looked_up.order} is never None in {index or 'the key'}")
    return Query(index, looked_up.match, value, looked_up.order, lower, upper, equal)


def _comparable(schema: TableSchema, name: str, given: Any) -> Any:
    if _known(schema, name) == "json":
        refuse(schema, f"column {name} is JSON, which cannot be compared")
    return _value(schema, name, given)


def _known(schema: TableSchema, name: str) -> str:
    kind = schema.columns.get(name)
    if kind is None:
        refuse(schema, f"there is no column {name!r}; it has {', '.join(schema.columns)}")
    return kind


def _revision(schema: TableSchema, data: Mapping[str, Any]) -> int | None:
    revision = data.get(REVISION)
    if revision is None:
        if REVISION in data:
            refuse(schema, "the revision may not be None")
        return None
    if type(revision) is not int or not 0 < revision <= LARGEST:
        refuse(schema, f"the revision must be a whole number, not {revision!r}")
    return revision


def _key_of(schema: TableSchema, values: Record) -> Record:
    for column in schema.keys:
        if values.get(column.name) is None:
            refuse(schema, f"the key {column.name} is missing")
    return {column.name: values[column.name] for column in schema.keys}


def _values(schema: TableSchema, data: Mapping[str, Any]) -> Record:
    values = {name: _value(schema, name, given) for name, given in data.items()}
    size = sum(map(_size, values.values()))
    if size > RECORD_BYTES:
        refuse(schema, f"the record has {size} bytes, over {RECORD_BYTES}")
    return values


def _size(value: Any) -> int:
    if isinstance(value, str):
        return len(value.encode())
    if isinstance(value, bytes):
        return len(value)
    if isinstance(value, dict | list):
        return len(json.dumps(value))
    return 8


def _value(schema: TableSchema, name: str, given: Any) -> Any:
    """Return a value in its one form."""
    kind = _known(schema, name)
    if given is None:
        return None
    reason, value = _CHECKS[kind](given)
    if not reason and kind == "text" and name in schema.ordered:
        size = len(value.encode())
        reason = f"has {size} bytes, over {KEY_BYTES}, and is looked up" if size > KEY_BYTES else ""
    if reason:
        refuse(schema, f"column {name} ({kind}) {reason}")
    return value


def _text(given: Any) -> tuple[str, Any]:
    if not isinstance(given, str):
        return f"may not be {type(given).__name__}", given
    if "\x00" in given:
        return "may not have the character NUL", given
    try:
        given.encode()
    except UnicodeEncodeError:
        return "has half a character (a surrogate)", given
    return "", str(given)


def _integer(given: Any) -> tuple[str, Any]:
    if isinstance(given, bool) or not isinstance(given, int):
        return f"may not be {type(given).__name__}", given
    return "" if SMALLEST <= given <= LARGEST else "does not fit into 64 bits", int(given)


def _number(given: Any) -> tuple[str, Any]:
    if isinstance(given, bool) or not isinstance(given, int | float):
        return f"may not be {type(given).__name__}", given
    try:
        number = float(given)
    except OverflowError:
        return "is too large", given
    return "" if math.isfinite(number) else "must be finite", number


def _boolean(given: Any) -> tuple[str, Any]:
    return "" if isinstance(given, bool) else f"may not be {type(given).__name__}", given


def _bytes(given: Any) -> tuple[str, Any]:
    if not isinstance(given, bytes | bytearray | memoryview):
        return f"may not be {type(given).__name__}", given
    return "", bytes(given)


def _time(given: Any) -> tuple[str, Any]:
    if not isinstance(given, datetime):
        return f"may not be {type(given).__name__}", given
    if given.utcoffset() is None:
        return "needs a time zone", given
    try:
        return "", given.astimezone(UTC)
    except OverflowError:
        return "is out of the calendar", given


def _json(given: Any) -> tuple[str, Any]:
    try:
        value = json.loads(to_json(given))
    except (TypeError, ValueError, RecursionError) as error:
        return f"is no JSON value: {error}", given
    if value != given:
        return "is no JSON value: it has a tuple, or a key that is no text", given
    return "", value


_CHECKS = {
    "text": _text,
    "integer": _integer,
    "number": _number,
    "boolean": _boolean,
    "bytes": _bytes,
    "time": _time,
    "json": _json,
}


def to_json(value: Any) -> str:
    """Return a JSON value as ASCII text, the form in which databases keep it."""
    return json.dumps(value, allow_nan=False, separators=(",", ":"))


def to_text(time: datetime) -> str:
    """Return a point of time as text of one length that orders as the times do."""
    return time.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def from_text(text: str) -> datetime:
    """Return the point of time of a text that :func:`to_text` made."""
    return datetime.fromisoformat(text)


def matching(found: Query, record: Mapping[str, Any]) -> bool:
    """Return whether a record, with all its columns, meets a query."""
    if record.get(found.match) != found.value:
        return False
    if found.order and not within(found, record.get(found.order)):
        return False
    return all(record.get(name) == value for name, value in found.filters.items())


def within(found: Query, value: Any) -> bool:
    """Return whether a value of the column to order by lies between a query's bounds."""
    if value is None:
        return False
    lower, upper = found.lower, found.upper
    if lower is not None and (value < lower.value or (value == lower.value and not lower.included)):
        return False
    return not (
        upper is not None and (value > upper.value or (value == upper.value and not upper.included))
    )


def only(record: Mapping[str, Any], columns: Sequence[str]) -> Record:
    """Return some columns of a record; what it lacks is None."""
    return {name: record.get(name) for name in columns}
