"""Logs and figures of all APIs: taken down in memory, written to the database in the background.

A call costs a look at a dictionary and some additions. What waits for a database that is away is
bounded; what an API prints without end is, too.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial

import structlog

from juliabox_ext.errors import JuliaBoxError
from juliabox_services.api.models import AuditRow, Bucket, LogLine, Version
from juliabox_services.api.published import Published
from juliabox_services.api.spread import Minute, Recent
from juliabox_services.api.store import Store
from juliabox_services.api.tables import Tables, storable, whole

log = structlog.get_logger("juliabox.api.ledger")

#: Seconds between two writes, and between two looks for what is too old.
FLUSH = 3.0
TIDY = 600.0
#: Seconds for the last write.
LAST = 5.0
#: Bytes of one line's text, of which the last ones are kept.
TEXT_BYTES = 4096
#: Lines of one API in a minute; lines of one API, and of all, that wait for the database.
LINES_PER_MINUTE = 300
WAITING_OF_ONE = 1000
WAITING = 20_000
#: Lines of one API that are kept, and minutes of all that wait.
KEPT_LINES = 2000
WAITING_MINUTES = 50_000
#: Lines that are written, and rows that are deleted, in one go, which has its time though each took
#: 40 ms; and goes of one API in a row, which delete more than it can log until they come again.
BATCH = 200
GOES = 20
DAY = 86_400


@dataclass
class _Book:
    """What was taken down of one API and is not written yet."""

    lines: deque[LogLine] = field(default_factory=deque)
    minutes: dict[int, Minute] = field(default_factory=dict)
    #: Number of the last line; the minute that lines are counted in, and how many it has.
    number: int = 0
    minute: int = 0
    count: int = 0
    #: Calls of a day: of this process, and of those before it.
    recent: Recent = field(default_factory=Recent)
    before: Recent = field(default_factory=Recent)

    def forget(self, since: float) -> None:
        """Forget the minutes before a time."""
        self.recent.forget(since)
        self.before.forget(since)

    def recall(self, minute: int, kept: Minute) -> None:
        """Take note of a minute as the database has it: what is not ours in it is of before."""
        calls, errors = self.recent.of(minute)
        waiting = self.minutes.get(minute, Minute())
        written = (calls - waiting.calls, errors - waiting.errors)
        self.before.put(minute, max(0, kept.calls - written[0]), max(0, kept.errors - written[1]))


class Ledger:
    """Takes down calls and news. Begin with :meth:`start`, end with :meth:`close`."""

    def __init__(self, store: Store, published: Published, keep_days: int = 30) -> None:
        self._store = store
        self._published = published
        self._keep_days = keep_days
        self._books: dict[str, _Book] = {}
        self._audit: deque[tuple[AuditRow, str, str]] = deque(maxlen=WAITING)
        self._writing = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None
        self._tidied = time.monotonic()
        #: Whole names of removed APIs whose logs and figures are to be deleted.
        self.removed: set[str] = set()
        #: Why the database cannot be used now; empty while it can.
        self.trouble = ""

    def start(self) -> None:
        """Begin to write, in the background."""
        self._task = asyncio.create_task(self._write(), name="ledger")

    async def close(self) -> None:
        """Stop; write what is known, if that is quick."""
        # a write that is under way is awaited: one that is given up may be done all the same
        with contextlib.suppress(JuliaBoxError, TimeoutError):
            async with asyncio.timeout(LAST):
                await self.flush()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    # -- taking down

    def called(  # noqa: PLR0917 what is known of a call
        self,
        version: Version,
        function: str,
        status: int,
        seconds: float,
        printed: str = "",
        request: str = "",
        message: str = "",
    ) -> None:
        """Count a call; log it if it printed or failed. ``message`` is why it failed."""
        book, now = self._book(whole(version.publisher, version.api)), time.time()
        minute = int(now) // 60 * 60
        calls = book.minutes.get(minute)
        if calls is None:
            calls = book.minutes[minute] = Minute()
        calls.count(status, seconds)
        done, failed = book.recent.of(minute)
        book.recent.put(minute, done + 1, failed + (status >= 500))
        if printed or status >= 500 or (status >= 400 and message):
            text = "\n".join(part for part in (printed.rstrip("\n"), message) if part)
            self._line(book, now, "call", version.version, text, function, status, request)

    def news(self, publisher: str, api: str, version: int, kind: str, text: str) -> None:
        """Log news of an API's containers or sources: ``kind`` is one of a log line's."""
        self._line(self._book(whole(publisher, api)), time.time(), kind, version, text)

    def audited(self, row: AuditRow, key: str, account: str) -> None:
        """Keep a row of the audit until the database takes it."""
        self._audit.append((row, key, account))

    def day(self, publisher: str, api: str) -> tuple[int, int]:
        """Return the calls, and the failed ones, within the last day."""
        book = self._books.get(whole(publisher, api))
        if book is None:
            return 0, 0
        book.forget(time.time() - DAY)
        recent, before = book.recent, book.before
        return recent.calls + before.calls, recent.errors + before.errors

    def forget(self, publisher: str, api: str) -> None:
        """Give up what was taken down of an API that is removed."""
        name = whole(publisher, api)
        self._books.pop(name, None)
        self.removed.add(name)

    # -- reading

    async def lines(
        self, publisher: str, api: str, after: int, limit: int, since: float = 0.0
    ) -> list[LogLine]:
        """Return the newest lines after a number and a time, oldest first."""
        await self.flush()
        name, first = whole(publisher, api), max(after, int(since * 1e6))
        return await self._store.run(lambda tables: tables.lines(name, first, limit))

    async def buckets(
        self, publisher: str, api: str, hours: float, since: float = 0.0
    ) -> list[Bucket]:
        """Return the minutes of the last hours, those without calls as well, oldest first."""
        await self.flush()
        now = int(time.time()) // 60 * 60
        first = now - int(hours * 60 - 1) * 60
        name, known = whole(publisher, api), max(first, int(since) // 60 * 60)
        found = await self._store.run(lambda tables: tables.minutes(name, known))
        nothing = Minute()
        return [found.get(at, nothing).bucket(at) for at in range(first, now + 60, 60)]

    # -- writing

    async def flush(self) -> None:
        """Write all that waits; raise ``UnavailableError`` if the database does not take it."""
        async with self._writing:
            while self._audit:
                row, key, account = self._audit[0]
                add = partial(Tables.add_audit, row=row, key=key, account=account)
                await self._store.run(add)
                self._audit.popleft()
            for name, book in list(self._books.items()):
                if book.lines or book.minutes:
                    await self._flush_book(name, book)

    async def recall(self) -> None:
        """Read the last lines' numbers and the last day's calls of all that is published."""
        since = int(time.time()) - DAY
        for api, _ in list(self._published):
            name = whole(api.publisher, api.api)
            first = max(since, int(api.created) // 60 * 60)
            number = await self._store.run(partial(Tables.newest_line, name=name))
            book = self._book(name)
            async with self._writing:  # nothing is half written while it is read
                kept = await self._store.run(partial(Tables.minutes, name=name, since=first))
                for minute, calls in kept.items():
                    book.recall(minute, calls)
            book.number = max(book.number, number)

    async def _flush_book(self, name: str, book: _Book) -> None:
        lines, minutes = list(book.lines), book.minutes
        book.lines.clear()
        book.minutes = {}
        try:
            while lines:
                some = partial(Tables.add_lines, name=name, lines=lines[:BATCH])
                await self._store.run(some)
                del lines[:BATCH]
            for minute in sorted(minutes):
                one = partial(Tables.add_minute, name=name, minute=minute, calls=minutes[minute])
                await self._store.run(one)
                del minutes[minute]
        except BaseException:
            # a line that was written is recognised by its number; a minute may be counted twice
            book.lines.extendleft(reversed(lines[-WAITING_OF_ONE:]))
            for minute, calls in minutes.items():
                later = book.minutes.setdefault(minute, Minute())
                later.add(calls)
            raise

    async def _write(self) -> None:
        while True:
            await asyncio.sleep(FLUSH)
            try:
                self._bound()
                await self.flush()
                self.trouble = ""
                if time.monotonic() - self._tidied > TIDY:
                    self._tidied = time.monotonic()
                    await self.tidy()
            except JuliaBoxError as error:
                if not self.trouble:
                    log.warning("logs and figures wait", reason=error.message)
                self.trouble = error.message
            except Exception:
                log.exception("the ledger stumbled")

    async def tidy(self) -> None:
        """Delete what is too old, and what is left of removed APIs; a part of it at a time."""
        oldest = time.time() - self._keep_days * DAY
        day = datetime.fromtimestamp(oldest, UTC).date()
        await self._store.run(lambda tables: tables.forget_audit(day, BATCH))
        for api, _ in list(self._published):
            name = whole(api.publisher, api.api)
            self.removed.discard(name)  # its name was taken again; what is older is not shown
            kept = partial(Tables.first_of_newest, name=name, count=KEPT_LINES)
            await self._forget(name, max(oldest, api.created), await self._store.run(kept))
        for name in sorted(self.removed):
            if not await self._forget(name, time.time() + DAY):
                self.removed.discard(name)

    async def _forget(self, name: str, before: float, kept: int = 0) -> int:
        """Delete lines before a time or a number, and minutes before the time; return how many."""
        lines = partial(Tables.forget_lines, name=name, before=max(int(before * 1e6), kept))
        minutes = partial(Tables.forget_minutes, name=name, before=int(before))
        gone = 0
        for forget in (lines, minutes):
            for _ in range(GOES):
                went = await self._store.run(partial(forget, most=BATCH))
                gone += went
                if went < BATCH:
                    break
        return gone

    def _bound(self) -> None:
        """Give up the oldest of what waits, and the minutes that are older than a day."""
        since = time.time() - DAY
        for book in self._books.values():
            book.forget(since)
        while sum(len(book.lines) for book in self._books.values()) > WAITING:
            fullest = max(self._books.values(), key=lambda book: len(book.lines))
            fullest.lines.popleft()
        waiting = sum(len(book.minutes) for book in self._books.values())
        if waiting > WAITING_MINUTES:
            for book in self._books.values():
                for minute in sorted(book.minutes)[: len(book.minutes) // 2]:
                    del book.minutes[minute]

    # -- lines

    def _book(self, name: str) -> _Book:
        book = self._books.get(name)
        if book is None:
            book = self._books[name] = _Book()
        return book

    def _line(  # noqa: PLR0917 one for each column
        self,
        book: _Book,
        now: float,
        kind: str,
        version: int,
        text: str,
        function: str = "",
        status: int = 0,
        request: str = "",
    ) -> None:
        minute = int(now) // 60
        if minute != book.minute:
            book.minute, book.count = minute, 0
        book.count += 1
        if book.count > LINES_PER_MINUTE:
            return
        if book.count == LINES_PER_MINUTE:
            text = "(what follows within this minute is left out)"
        book.number = max(book.number + 1, int(now * 1e6))
        if len(book.lines) >= WAITING_OF_ONE:
            book.lines.popleft()
        line = LogLine(
            number=book.number,
            time=now,
            kind=kind,
            version=version,
            function=function,
            status=status,
            text=_last_bytes(text),
            request=request,
        )
        book.lines.append(line)


def _last_bytes(text: str) -> str:
    """Return the end of a text, as a database takes it."""
    content = storable(text).encode()
    if len(content) <= TEXT_BYTES:
        return content.decode()
    return "…" + content[3 - TEXT_BYTES :].decode("utf-8", "ignore")
