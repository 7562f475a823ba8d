"""Mount point ``juliabox.db``: databases, tables in them, and the accounting of usage.

Loaded by the portal and the API service, never by the hub or the manager.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any, ClassVar, Literal

from juliabox_ext.plugin import Plugin

#: Types of a column: text, whole numbers of 64 bits, numbers of double precision, truth, bytes,
#: points of time (timezone-aware, kept as UTC to the microsecond), and JSON values.
ColumnType = Literal["text", "integer", "number", "boolean", "bytes", "time", "json"]

#: Column that a database keeps itself: how many times the record was saved. A record that is
#: fetched has it, and a save that hands it back succeeds only if nobody else saved meanwhile.
REVISION = "revision"

Record = dict[str, Any]


@dataclass(frozen=True)
class Column:
    """A column: its name (lower case, ``[a-z][a-z0-9_]*``) and the type of its values."""

    name: str
    type: ColumnType = "text"


@dataclass(frozen=True)
class Index:
    """Columns that records are looked up by besides the key: one to match, and one to order by."""

    name: str
    match: str
    order: str = ""


@dataclass(frozen=True)
class TableSchema:
    """One table. ``keys`` has one or two columns: one to match and, if given, one to order by."""

    name: str
    keys: Sequence[Column]
    attributes: Sequence[Column] = ()
    indexes: Sequence[Index] = field(default=())


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
    and values; a column that is absent is None. Errors: ``RequestError`` for an unknown column, a
    missing key or a value of a wrong type, ``UnavailableError`` while the database is down, locked
    or slower than its time-out, ``NoRoomError`` when it is full.
    """

    @abstractmethod
    def table_open(self, table: TableSchema) -> Any:
        """Make the table if it is missing, add columns and indexes that it lacks; return a handle.

        Repeating it is harmless, in several processes at once too. Columns are never dropped.
        """

    @abstractmethod
    def record_create(self, table: Any, data: Mapping[str, Any]) -> None:
        """Insert a record; raise ``ConflictError`` if its key exists."""

    @abstractmethod
    def record_fetch(self, table: Any, **keys: Any) -> Record:
        """Return the record of a key, with its revision; raise ``NotFoundError`` if absent."""

    @abstractmethod
    def record_scan(self, table: Any, **columns: bool) -> Iterator[Record]:
        """Yield all records, page by page, in no order; ``name=True`` picks columns, none all."""

    @abstractmethod
    def record_query(
        self,
        table: Any,
        *,
        index: str = "",
        descending: bool = False,
        limit: int = 0,
        **criteria: Any,
    ) -> Iterator[Record]:
        """Yield records by the key's first column, or an index's, ordered by the second.

        ``name=value`` matches; ``name__ge``, ``__le``, ``__gt`` and ``__lt`` bound the column to
        order by. Other columns filter by equality. ``limit=0`` means all.
        """

    @abstractmethod
    def record_count(self, table: Any, **criteria: Any) -> int:
        """Count records; criteria as in :meth:`record_query`, none counts all."""

    @abstractmethod
    def record_save(self, table: Any, data: Mapping[str, Any]) -> int:
        """Change the named columns of an existing record; return its new revision.

        With ``revision`` among ``data`` raise ``ConflictError`` (code ``db.changed``) unless the
        record still has it. Raise ``NotFoundError`` if the record is absent.
        """

    @abstractmethod
    def record_delete(self, table: Any, data: Mapping[str, Any]) -> None:
        """Delete the record of a key; nothing if it is absent. ``revision`` as in a save."""


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
        """Open the table in a database; called once, in a thread, before the table is used."""
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


class UsageAccounting(JBPluginDB):
    """Usage by person and session (``JBP_USAGE_ACCOUNTING``)."""

    @abstractmethod
    def record_session_time(
        self, session: str, image: str, start_time: datetime, end_time: datetime, *, owner: str = ""
    ) -> None:
        """Record that a session ran; recording the same session again replaces its row."""

    @abstractmethod
    def get_stats(self, dates: Sequence[date]) -> list[UsageStats]:
        """Return usage of each day, in the given order; a day without sessions has zeros."""


JBPluginDB.functionalities = {
    JBPluginDB.JBP_DB: Database,
    JBPluginDB.JBP_DB_DYNAMODB: Database,
    JBPluginDB.JBP_DB_RDBMS: Database,
    JBPluginDB.JBP_TABLE: Table,
    JBPluginDB.JBP_TABLE_DYNAMODB: Table,
    JBPluginDB.JBP_TABLE_RDBMS: Table,
    JBPluginDB.JBP_USAGE_ACCOUNTING: UsageAccounting,
}
