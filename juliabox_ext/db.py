"""Mount point ``juliabox.db``: databases, tables in them, and the accounting of usage.

Loaded by the portal and the API service, never by the hub or the manager.
"""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any, ClassVar, Literal

from juliabox_ext.errors import RequestError
from juliabox_ext.plugin import Plugin

#: Types of a column: text without NUL, whole numbers of 64 bits, finite numbers of double
#: precision, truth, bytes, points of time (timezone-aware, kept as UTC to the microsecond), and
#: JSON values.
ColumnType = Literal["text", "integer", "number", "boolean", "bytes", "time", "json"]

#: Types that a key, or a column of an index, may have: those that every database orders alike.
#: Texts are ordered by code point and have at most ``KEY_BYTES`` bytes of UTF-8.
ORDERED_TYPES = ("text", "integer", "time")
KEY_BYTES = 512

#: Size of a record that every database takes, in bytes.
RECORD_BYTES = 350_000

#: Column that a database keeps itself: 1 in a new record, one more after each save. A record that
#: is fetched has it, and a save that hands it back succeeds only if nobody else saved meanwhile.
REVISION = "revision"

#: Names that no column may have: those of arguments, and the revision.
RESERVED = ("columns", "descending", "index", "limit", "self", "table", REVISION)

Record = dict[str, Any]

_NAME = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")


@dataclass(frozen=True)
class Column:
    """A column: its name (lower case, ``[a-z][a-z0-9_]*`` without ``__``) and its type."""

    name: str
    type: ColumnType = "text"


@dataclass(frozen=True)
class Index:
    """Columns that records are looked up by besides the key: one to match, and one to order by.

    A record in which one of these is None is not in the index.
    """

    name: str
    match: str
    order: str = ""


@dataclass(frozen=True)
class TableSchema:
    """One table. ``keys`` has one or two columns: one to match and, if given, one to order by.

    A declaration that cannot be honoured raises ``RequestError`` (code ``db.schema``). Names of
    tables and indexes have at most 24 characters, those of columns 48.
    """

    name: str
    keys: Sequence[Column]
    attributes: Sequence[Column] = ()
    indexes: Sequence[Index] = field(default=())

    def __post_init__(self) -> None:
        self._demand_name("table", self.name, 24)
        self._demand(len(self.keys) in (1, 2), "needs one or two keys")
        for name in self.columns:
            self._demand_name("column", name, 48)
            self._demand(name not in RESERVED, f"may not have a column {name}")
        many = len(self.keys) + len(self.attributes)
        self._demand(many == len(self.columns), "has two columns of one name")
        names = {index.name for index in self.indexes}
        self._demand(len(names) == len(self.indexes), "has two indexes of one name")
        for index in self.indexes:
            self._demand_name("index", index.name, 24)
            self._demand(
                index.match != index.order, f"orders index {index.name} by what it matches"
            )
        ordered = [key.name for key in self.keys]
        ordered += [name for index in self.indexes for name in (index.match, index.order) if name]
        for name in ordered:
            self._demand(name in self.columns, f"has an index over a column {name} that it lacks")
            self._demand(
                self.columns[name] in ORDERED_TYPES,
                f"may not order column {name}: it is of type {self.columns[name]}",
            )

    def _demand(self, met: bool, otherwise: str) -> None:
        if not met:
            raise RequestError(f"table {self.name} {otherwise}", code="db.schema")

    def _demand_name(self, what: str, name: str, longest: int) -> None:
        fits = len(name) <= longest and _NAME.fullmatch(name) is not None
        self._demand(fits, f"gives a {what} a name that it cannot have: {name!r}")

    @property
    def columns(self) -> dict[str, ColumnType]:
        """Return the type of each column by its name, keys first; without the revision."""
        return {column.name: column.type for column in (*self.keys, *self.attributes)}

    @property
    def ordered(self) -> set[str]:
        """Return the names of columns that are a key's or an index's."""
        found = {key.name for key in self.keys}
        return found | {name for one in self.indexes for name in (one.match, one.order) if name}

    def index(self, name: str) -> Index:
        """Return an index by its name; the empty name means the key."""
        for index in self.indexes:
            if index.name == name:
                return index
        if name:
            known = ", ".join(index.name for index in self.indexes) or "none"
            raise RequestError(
                f"table {self.name} has no index {name!r}; it has {known}", code="db.invalid"
            )
        return Index("", self.keys[0].name, self.keys[1].name if len(self.keys) > 1 else "")


class JBPluginDB(Plugin):
    """Databases and tables."""

    JBP_DB = "db"
    JBP_DB_DYNAMODB = "db.dynamodb"
    JBP_DB_RDBMS = "db.rdbms"
    JBP_TABLE = "db.table"
    JBP_TABLE_DYNAMODB = "db.table.dynamodb"
    JBP_TABLE_RDBMS = "db.table.rdbms"
    JBP_USAGE_ACCOUNTING = "db.usage_accounting"


class Database(JBPluginDB):
    """A database (``JBP_DB``, ``JBP_DB_DYNAMODB``, ``JBP_DB_RDBMS``).

    ``table`` is the handle that :meth:`table_open` gave. Records are dictionaries of column names
    and values; a column that is absent is None. Each method is one step that happens whole or not
    at all. Errors, besides those that are named below:

    ``RequestError`` (``db.invalid``)
        an unknown column, a missing key, a value of a wrong type or size;
    ``UnavailableError`` (``db.unavailable``, ``db.locked``, ``db.timeout``)
        the database is down, locked or slower than its time-out. A write may have happened;
    ``NoRoomError`` (``db.full``)
        it is full; nothing was written;
    ``ConfigurationError`` (``db.denied``, ``db.damaged``)
        it refuses the plugin's rights, or its file is no database.

    :mod:`juliabox_ext.db_records` has the checks, for who writes another one.
    """

    @abstractmethod
    def table_open(self, table: TableSchema) -> Any:
        """Make the table if it is missing, add columns and indexes that it lacks; return a handle.

        Repeating it is harmless, in several processes at once too. Nothing is ever dropped; an
        older declaration goes on working beside a newer one. Raise ``ConflictError``
        (``db.foreign``) for a table that the plugin did not make, where it can tell, and
        ``RequestError`` (``db.schema``) if its keys or the type of a column differ from what was
        declared before.
        """

    @abstractmethod
    def record_create(self, table: Any, data: Mapping[str, Any]) -> None:
        """Insert a record; raise ``ConflictError`` (code ``db.exists``) if its key exists."""

    @abstractmethod
    def record_fetch(self, table: Any, **keys: Any) -> Record:
        """Return the record of a key, with its revision.

        Raise ``NotFoundError`` (code ``db.absent``) if there is none.
        """

    @abstractmethod
    def record_scan(self, table: Any, **columns: bool) -> Iterator[Record]:
        """Yield all records, page by page, in no order; ``name=True`` picks columns, none all.

        What is written meanwhile may be among them or not; nothing else is left out or doubled.
        """

    @abstractmethod
    def record_query(
        self,
        table: Any,
        *,
        index: str = "",
        descending: bool = False,
        limit: int = 0,
        columns: Sequence[str] = (),
        **criteria: Any,
    ) -> Iterator[Record]:
        """Yield records by the key's first column, or an index's, ordered by the second.

        ``name=value`` matches; the first column must be matched. ``name__ge``, ``__le``, ``__gt``
        and ``__lt`` bound the column to order by. Other columns filter by equality, also with
        None, after the look-up; JSON cannot be compared. ``limit=0`` means all, ``columns=()``
        too. An index may lag behind writes by a moment, a key does not.
        """

    @abstractmethod
    def record_count(self, table: Any, *, index: str = "", **criteria: Any) -> int:
        """Count records; criteria as in :meth:`record_query`, none counts all."""

    @abstractmethod
    def record_save(self, table: Any, data: Mapping[str, Any]) -> int:
        """Change the named columns of an existing record; return its new revision.

        With ``revision`` among ``data`` raise ``ConflictError`` (code ``db.changed``) unless the
        record still has it. Raise ``NotFoundError`` if the record is absent.
        """

    @abstractmethod
    def record_delete(self, table: Any, data: Mapping[str, Any]) -> None:
        """Delete the record of a key; nothing if it is absent. ``revision`` as in a save.

        Columns of ``data`` other than these are not looked at.
        """


class Table(JBPluginDB):
    """A table of a plugin (``JBP_TABLE`` …): declared by attributes, opened by who loads it.

    ``SCHEMA`` and ``INDEXES`` in DynamoDB's sense, ``KEYS`` and ``ATTRIBUTES`` in the sense of a
    relational one, all follow from one declaration: set ``NAME``, ``KEYS``, ``ATTRIBUTES``,
    ``INDEXES``.
    """

    NAME: ClassVar[str]
    KEYS: ClassVar[Sequence[Column]]
    ATTRIBUTES: ClassVar[Sequence[Column]] = ()
    INDEXES: ClassVar[Sequence[Index]] = ()

    #: The database and the opened table's handle; set by :meth:`open`.
    DB: Database
    TABLE: Any = None

    @classmethod
    def schema(cls) -> TableSchema:
        """Return the declaration as a schema."""
        return TableSchema(cls.NAME, cls.KEYS, cls.ATTRIBUTES, cls.INDEXES)

    @property
    def SCHEMA(self) -> TableSchema:  # the reference's name
        """The table's schema."""
        return self.schema()

    def open(self, database: Database) -> None:
        """Open the table in a database; called in a thread before the table is used.

        Repeating it is harmless. Raise what :meth:`Database.table_open` raises.
        """
        self.DB = database
        self.TABLE = database.table_open(self.schema())


@dataclass(frozen=True)
class UsageStats:
    """Usage on one day (UTC)."""

    day: date
    sessions: int
    users: int
    #: Hours that sessions ran on that day.
    hours: float


@dataclass(frozen=True)
class SessionUse:
    """One session that ran, from ``start`` to ``end`` (UTC)."""

    session: str
    owner: str
    image: str
    start: datetime
    end: datetime

    @property
    def hours(self) -> float:
        """Hours that it ran."""
        return (self.end - self.start).total_seconds() / 3600


@dataclass(frozen=True)
class UsagePeriod:
    """Usage from ``start`` to ``end`` (UTC), an hour, a day or a week that starts on Monday."""

    start: datetime
    end: datetime
    sessions: int
    users: int
    #: Hours that sessions ran in that time.
    hours: float


class UsageAccounting(JBPluginDB):
    """Usage by person and session (``JBP_USAGE_ACCOUNTING``); errors as of :class:`Database`."""

    @abstractmethod
    def record_session_time(
        self, session: str, image: str, start_time: datetime, end_time: datetime, *, owner: str = ""
    ) -> None:
        """Record that a session ran; recording the same session again replaces what it had.

        A session that runs may be recorded again and again. Raise ``RequestError`` if it ends
        before it starts, or took over ten years.
        """

    @abstractmethod
    def get_stats(self, dates: Sequence[date]) -> list[UsageStats]:
        """Return usage of each day, in the given order; a day without sessions has zeros.

        A session that ran on several days counts on each, with the hours of that day.
        """

    @abstractmethod
    def get_periods(
        self, start: datetime, end: datetime, step: Literal["hour", "day", "week"] = "day"
    ) -> list[UsagePeriod]:
        """Return usage of each hour, day or week that overlaps ``start`` to ``end``, in order.

        Raise ``RequestError`` for more than 10,000 of them.
        """

    @abstractmethod
    def get_sessions(
        self, start: datetime, end: datetime, *, owner: str | None = None
    ) -> Iterator[SessionUse]:
        """Yield the sessions that ran from ``start`` until before ``end``, of one owner if given.

        They come by the day of their start, those that ran already first, and page by page: all
        of a year need not fit in memory.
        """


JBPluginDB.functionalities = {
    JBPluginDB.JBP_DB: Database,
    JBPluginDB.JBP_DB_DYNAMODB: Database,
    JBPluginDB.JBP_DB_RDBMS: Database,
    JBPluginDB.JBP_TABLE: Table,
    JBPluginDB.JBP_TABLE_DYNAMODB: Table,
    JBPluginDB.JBP_TABLE_RDBMS: Table,
    JBPluginDB.JBP_USAGE_ACCOUNTING: UsageAccounting,
}
