"""The plugin ``usage``: who used JuliaBox when, in a table of any database.

A session has one row for each day (UTC) on which it ran, and the rows of a month lie together: so
statistics of a day are right however long a session is, and those of a quarter are four look-ups.
"""

from __future__ import annotations

import itertools
import threading
from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any, Literal

from juliabox_ext.db import (
    Column,
    Database,
    Index,
    JBPluginDB,
    Record,
    SessionUse,
    Table,
    UsageAccounting,
    UsagePeriod,
    UsageStats,
)
from juliabox_ext.errors import ConflictError, NotFoundError, PluginError, RequestError
from juliabox_ext.plugin import PluginContext

LONGEST = timedelta(days=3653)
PERIODS = 10_000
STEPS = {"hour": timedelta(hours=1), "day": timedelta(days=1), "week": timedelta(days=7)}
DAY = STEPS["day"]


class Usage(UsageAccounting, Table):
    """Accounting of usage, and its table.

    ``row`` is the day and the session; ``seconds`` is how long it ran on that day.
    """

    provides = (
        JBPluginDB.JBP_USAGE_ACCOUNTING,
        JBPluginDB.JBP_TABLE,
        JBPluginDB.JBP_TABLE_DYNAMODB,
        JBPluginDB.JBP_TABLE_RDBMS,
    )
    requires = (JBPluginDB.JBP_DB,)

    NAME = "usage"
    KEYS = (Column("month"), Column("row"))
    ATTRIBUTES = (
        Column("session"),
        Column("owner"),
        Column("image"),
        Column("start", "time"),
        Column("end", "time"),
        Column("seconds", "number"),
    )
    INDEXES = (Index("by_session", "session", "row"), Index("by_owner", "owner", "row"))

    def __init__(self, context: PluginContext) -> None:
        super().__init__(context)
        self._lock = threading.Lock()

    def _opened(self) -> tuple[Database, Any]:
        """Return database and table; opened when first needed, for it may be down at the start."""
        with self._lock:
            if self.TABLE is None:
                find = self.context.feature
                if find is None:
                    raise PluginError("usage was given no database", code="plugin.absent")
                self.open(find(JBPluginDB.JBP_DB))
            return self.DB, self.TABLE

    def record_session_time(
        self, session: str, image: str, start_time: datetime, end_time: datetime, *, owner: str = ""
    ) -> None:
        """See :meth:`UsageAccounting.record_session_time`."""
        start, end = utc(start_time), utc(end_time)
        if not timedelta(0) <= end - start <= LONGEST:
            reason = f"from {start.isoformat()} to {end.isoformat()}"
            raise RequestError(f"session {session} cannot have run {reason}", code="db.invalid")
        database, table = self._opened()
        shared = {"session": session, "owner": owner, "image": image, "start": start, "end": end}
        rows = {
            _row(day, session): {**shared, "seconds": seconds} for day, seconds in days(start, end)
        }
        before = database.record_query(
            table, index="by_session", session=session, columns=["month", "row"]
        )
        stale = [one for one in before if one["row"] not in rows]
        for name, values in rows.items():
            _write(database, table, {"month": name[:7], "row": name, **values})
        for one in stale:
            database.record_delete(table, one)

    def get_stats(self, dates: Sequence[date]) -> list[UsageStats]:
        """See :meth:`UsageAccounting.get_stats`."""
        sessions: dict[str, int] = defaultdict(int)
        seconds: dict[str, float] = defaultdict(float)
        users: dict[str, set[str]] = defaultdict(set)
        columns = ["row", "owner", "seconds"]
        for month in _by_month(dates):
            for one in self._rows(min(month), max(month), columns):
                day = one["row"][:10]
                sessions[day] += 1
                seconds[day] += one["seconds"]
                users[day].add(one["owner"])
        return [
            UsageStats(day, sessions[name], len(users[name] - {""}), seconds[name] / 3600)
            for day in dates
            for name in [day.isoformat()]
        ]

    def get_periods(
        self, start: datetime, end: datetime, step: Literal["hour", "day", "week"] = "day"
    ) -> list[UsagePeriod]:
        """See :meth:`UsageAccounting.get_periods`."""
        start, end = utc(start), utc(end)
        size = STEPS.get(step)
        if size is None:
            raise RequestError(f"step must be one of {', '.join(STEPS)}", code="db.invalid")
        first = _floor(start, step)
        count = max(0, -((first - end) // size))
        if count > PERIODS:
            raise RequestError(f"over {PERIODS} periods were asked for", code="db.invalid")
        if not count:
            return []
        sessions: list[set[str]] = [set() for _ in range(count)]
        users: list[set[str]] = [set() for _ in range(count)]
        seconds = [0.0] * count
        last = first + count * size
        columns = ["row", "session", "owner", "start", "end"]
        for one in self._rows(first.date(), (last - timedelta.resolution).date(), columns):
            begin, finish = _within_day(one)
            for place in range(
                max(0, (begin - first) // size), min(count - 1, (finish - first) // size) + 1
            ):
                opens = first + place * size
                part = (min(finish, opens + size) - max(begin, opens)).total_seconds()
                if part or begin == finish:
                    sessions[place].add(one["session"])
                    users[place].add(one["owner"])
                    seconds[place] += part
        return [
            UsagePeriod(
                first + place * size,
                first + (place + 1) * size,
                len(sessions[place]),
                len(users[place] - {""}),
                seconds[place] / 3600,
            )
            for place in range(count)
        ]

    def get_sessions(
        self, start: datetime, end: datetime, *, owner: str | None = None
    ) -> Iterator[SessionUse]:
        """See :meth:`UsageAccounting.get_sessions`."""
        start, end = utc(start), utc(end)
        columns = ["row", "session", "owner", "image", "start", "end"]
        if start >= end:
            return
        first, last = start.date(), (end - timedelta.resolution).date()
        rows = (
            self._rows(first, last, columns)
            if owner is None
            else self._rows_of(owner, first, last, columns)
        )
        for one in rows:
            day = date.fromisoformat(one["row"][:10])
            # a session has a row on each of its days; it is told at the first in this time
            if (
                day == max(one["start"].date(), first)
                and one["start"] < end
                and (one["end"] > start or one["start"] >= start)
            ):
                yield SessionUse(
                    one["session"], one["owner"], one["image"], one["start"], one["end"]
                )

    def _rows(self, first: date, last: date, columns: Sequence[str]) -> Iterator[Record]:
        """Yield the rows of days, both included, by day."""
        database, table = self._opened()
        for month in _months(first, last):
            yield from database.record_query(
                table,
                month=month,
                row__ge=first.isoformat(),
                row__lt=(last + DAY).isoformat(),
                columns=columns,
            )

    def _rows_of(
        self, owner: str, first: date, last: date, columns: Sequence[str]
    ) -> Iterator[Record]:
        database, table = self._opened()
        return database.record_query(
            table,
            index="by_owner",
            owner=owner,
            row__ge=first.isoformat(),
            row__lt=(last + DAY).isoformat(),
            columns=columns,
        )


def utc(time: datetime) -> datetime:
    """Return a point of time in UTC; raise ``RequestError`` for one of no use."""
    if time.utcoffset() is None or not 1970 <= time.year <= 9000:
        reason = "has no time zone, or is out of this age"
        raise RequestError(f"the time {time.isoformat()} {reason}", code="db.invalid")
    return time.astimezone(UTC)


def days(start: datetime, end: datetime) -> Iterator[tuple[date, float]]:
    """Yield each day on which something ran, with its seconds; midnight begins no further day."""
    opens = datetime(start.year, start.month, start.day, tzinfo=UTC)
    while opens < end or opens <= start:
        closes = opens + DAY
        yield opens.date(), (min(end, closes) - max(start, opens)).total_seconds()
        opens = closes


def _within_day(one: Record) -> tuple[datetime, datetime]:
    """Return from when to when the session of a row ran on the row's day."""
    opens = datetime.fromisoformat(one["row"][:10]).replace(tzinfo=UTC)
    return max(one["start"], opens), min(one["end"], opens + DAY)


def _row(day: date, session: str) -> str:
    return f"{day.isoformat()}/{session}"


def _floor(time: datetime, step: str) -> datetime:
    if step == "hour":
        return time.replace(minute=0, second=0, microsecond=0)
    day = datetime(time.year, time.month, time.day, tzinfo=UTC)
    return day - DAY * day.weekday() if step == "week" else day


def _months(first: date, last: date) -> Iterator[str]:
    for number in itertools.count(first.year * 12 + first.month - 1):
        if number > last.year * 12 + last.month - 1:
            return
        yield f"{number // 12:04}-{number % 12 + 1:02}"


def _by_month(dates: Sequence[date]) -> list[list[date]]:
    months: dict[tuple[int, int], list[date]] = defaultdict(list)
    for day in dates:
        months[day.year, day.month].append(day)
    return list(months.values())


def _write(database: Database, table: Any, record: Record) -> None:
    """Save a record, or create it; another process may do the same at once."""
    try:
        database.record_save(table, record)
    except NotFoundError:
        try:
            database.record_create(table, record)
        except ConflictError:
            database.record_save(table, record)
