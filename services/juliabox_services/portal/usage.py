"""Use of the service over time: the plots' figures, and the same as CSV."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Literal

from msgspec.structs import replace
from tornado.iostream import StreamClosedError

from juliabox_ext.db import SessionUse, UsageAccounting
from juliabox_ext.errors import JuliaBoxError, PluginError, RequestError
from juliabox_services.portal.handlers import ApiHandler, Handler
from juliabox_services.portal.models_admin import LoadPoint, Usage, UsagePoint
from juliabox_services.portal.records import Records

Step = Literal["day", "week"]

#: Days that a page shows unless it is asked for others, and that it shows at most.
USUAL = 30
LONGEST = 3 * 366
#: Points of the load that a plot gets at most, and images that are named.
LOADS = 300
IMAGES = 8
#: Seconds that figures are kept while nothing was recorded since, and when something was.
UNCHANGED = 600.0
CHANGED = 10.0
#: Sessions that one part of a CSV file has.
PART = 1000


def chosen_range(handler: Handler) -> tuple[date, date]:
    """Return the first and the last day that the query names."""
    today = datetime.now(UTC).date()
    last = _day(handler.get_query_argument("to", ""), today)
    first = _day(handler.get_query_argument("from", ""), last - timedelta(days=USUAL - 1))
    if first > last:
        raise RequestError("`from` is after `to`", code="portal.query")
    if (last - first).days >= LONGEST:
        raise RequestError(f"a range has at most {LONGEST} days", code="portal.query")
    return first, last


def _day(given: str, default: date) -> date:
    if not given:
        return default
    try:
        found = date.fromisoformat(given)
    except ValueError:
        raise RequestError("a day is YYYY-MM-DD", code="portal.query") from None
    if not 1970 <= found.year <= 2999:
        raise RequestError("a day lies between 1970 and 2999", code="portal.query")
    return found


def _bounds(first: date, last: date) -> tuple[datetime, datetime]:
    start = datetime.combine(first, time(), UTC)
    return start, datetime.combine(last, time(), UTC) + timedelta(days=1)


async def _kept(handler: Handler, key: Any, read: Callable[[Records], Any]) -> Any:
    """Return what ``read`` finds in the records, shared between admins.

    It is good for a moment; while nothing more was recorded, for long.
    """
    recorder = handler.parts.recorder

    async def ask() -> tuple[int, Any]:
        written = recorder.written
        return written, await handler.parts.keeper.run(read)

    def fresh(kept: tuple[int, Any]) -> float:
        return UNCHANGED if kept[0] == recorder.written else CHANGED

    return (await handler.parts.figures.get(key, ask, fresh))[1]


async def points(handler: Handler, by: Step, first: date, last: date) -> list[UsagePoint]:
    """Return use by day or week."""
    found: list[UsagePoint] = await _kept(
        handler,
        ("points", by, first, last),
        lambda records: _points(records.usage(), by, first, last),
    )
    return found


def _points(usage: UsageAccounting, by: Step, first: date, last: date) -> list[UsagePoint]:
    return [
        UsagePoint(
            start=one.start.timestamp(),
            sessions=one.sessions,
            users=one.users,
            hours=round(one.hours, 3),
        )
        for one in usage.get_periods(*_bounds(first, last), by)
    ]


def _whole(records: Records, first: date, last: date) -> dict[str, Any]:
    """Return people, images and load of a range; blocks."""
    people, images = set(), Counter[str]()
    for one in records.usage().get_sessions(*_bounds(first, last)):
        people.add(one.owner)
        images[one.image] += 1
    samples = records.load(first, last)
    step = max(1, -(-len(samples) // LOADS))
    load = [
        LoadPoint(time=row["time"], sessions=row["sessions"], memory=row["memory"])
        for row in samples[::step]
    ]
    return {"users": len(people), "images": dict(images.most_common(IMAGES)), "load": load}


async def usage(handler: Handler, _: str = "") -> Usage:
    """Return use of the service in the range that the query names."""
    first, last = chosen_range(handler)
    by: Step = "week" if handler.word("by", ("day", "week"), "day") == "week" else "day"
    shown = Usage(by=by, first=first.isoformat(), last=last.isoformat(), points=[])
    try:
        found = await points(handler, by, first, last)
        rest: dict[str, Any] = await _kept(
            handler, ("whole", first, last), lambda records: _whole(records, first, last)
        )
    except PluginError as error:
        return replace(shown, missing=error.message)
    return replace(shown, points=found, **rest)


#: Characters with which a spreadsheet takes a cell for a formula.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def cell(value: object) -> str:
    """Return a value as a cell that no spreadsheet takes for a formula."""
    text = str(value)
    return f"'{text}" if text.startswith(_FORMULA) else text


class UsageCsv(ApiHandler):
    """The sessions of a range as CSV, sent as they are read."""

    async def get(self) -> None:
        """Send one line for each session."""
        self.demand("usage")
        first, last = chosen_range(self)
        begun = await self.parts.keeper.run(lambda records: _lines(records, first, last))
        name = f"usage-{first.isoformat()}-{last.isoformat()}.csv"
        self.set_header("Content-Type", "text/csv; charset=UTF-8")
        self.set_header("Content-Disposition", f'attachment; filename="{name}"')
        try:
            while part := await self.parts.keeper.run(lambda _: next(begun, "")):
                self.write(part)
                await self.flush()
        except StreamClosedError:
            return
        except JuliaBoxError as error:
            # the head is sent: a last line that no reader takes for a session says so
            self.write(f"# incomplete: {error.code}\r\n")
        self.finish()


def _lines(records: Records, first: date, last: date) -> Iterator[str]:
    """Return the lines in parts; the first question to the database is asked at once."""
    found = records.usage().get_sessions(*_bounds(first, last))
    return _parts(found)


def _parts(found: Iterator[SessionUse]) -> Iterator[str]:
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(["session", "owner", "image", "start", "end", "hours"])
    for written, one in enumerate(found, 1):
        times = [
            moment.astimezone(UTC).isoformat(timespec="seconds") for moment in (one.start, one.end)
        ]
        writer.writerow(
            [*map(cell, (one.session, one.owner, one.image)), *times, f"{one.hours:.3f}"]
        )
        if written % PART == 0:
            yield text.getvalue()
            text.seek(0)
            text.truncate()
    yield text.getvalue()
