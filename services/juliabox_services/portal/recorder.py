"""From the manager's events to rows of usage and failures, without losing or doubling one.

Two tasks. One follows the manager: events by their sequence number, and, at the start, after every
gap and once a minute, the list of sessions. The other writes what the first has found. A row of
usage is named by its session and replaces the row that it had, a failure by its event, so anything
may be told twice. The place in the events is kept with the rows, and only after them: after a
restart the recorder goes on where the database ends, not where its memory did.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import structlog

from juliabox_ext.errors import JuliaBoxError, RequestError
from juliabox_manager import protocol as p
from juliabox_services.portal.records import Keeper, Records
from juliabox_spawner.client import ManagerClient

log = structlog.get_logger("juliabox.portal.recorder")

#: Name of the value that keeps the place in the manager's events.
CURSOR = "events"
#: Seconds that one question for events waits, between two looks at all sessions, between two
#: samples of the load, and between two deletions of what is too old.
WAIT = 20.0
LOOK = 60.0
SAMPLE = 300.0
#: Seconds for which further events are awaited before they are fetched and written together.
GATHER = 1.0
TIDY = 6 * 3600.0
#: Seconds between tries while manager or database are away: the first, and the longest.
PAUSE = (0.5, 15.0)
#: What the manager says of a session that ended as it should.
ORDINARY = {"It was stopped.", "Its server ended by itself."}
#: Endings that are kept for the people's own pages.
ENDINGS = 10_000
#: Rows written in one go.
BATCH = 500


@dataclass(frozen=True)
class Run:
    """A session's time so far."""

    session: str
    image: str
    owner: str
    start: float
    end: float


@dataclass
class Waiting:
    """What was found and is not written yet."""

    runs: dict[str, Run] = field(default_factory=dict)
    failures: dict[str, dict[str, Any]] = field(default_factory=dict)
    load: tuple[float, int, float | None] | None = None
    #: Sequence number up to which all events are in here or in the database.
    cursor: int = -1

    def __len__(self) -> int:
        return len(self.runs) + len(self.failures)


class Recorder:
    """Follows one manager."""

    def __init__(
        self, client: ManagerClient, keeper: Keeper, instance: str, keep_days: int
    ) -> None:
        self._client = client
        self._keeper = keeper
        self._instance = instance
        self._keep_days = keep_days
        self._waiting = Waiting()
        self._written = -1
        #: How often rows were written: what was read of them before is as good until it grows.
        self.written = 0
        self._news = asyncio.Event()
        #: When all sessions were looked at last, and the Unix time at which that was asked for.
        self._looked = 0.0
        self._seen = 0.0
        self._sampled = 0.0
        self._tidied = 0.0
        self._tasks: list[asyncio.Task[None]] = []
        #: Owner and server -> why the last session ended, where it did not end as it should. The
        #: manager forgets a session as soon as the hub has seen its end.
        self.endings: dict[tuple[str, str], str] = {}
        #: Why manager and database cannot be used now; empty while they can.
        self.manager_trouble = ""
        self.database_trouble = ""
        self._level = time.monotonic()

    def start(self) -> None:
        """Begin to follow, in the background."""
        for work in (self._follow, self._write):
            self._tasks.append(asyncio.create_task(work(), name=work.__name__))

    async def close(self) -> None:
        """Stop following; write what is known, if that is quick."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        with contextlib.suppress(JuliaBoxError, TimeoutError):
            await asyncio.wait_for(self._flush(), 3.0)

    @property
    def waiting(self) -> int:
        """How many rows wait for the database."""
        return len(self._waiting)

    @property
    def lag(self) -> float:
        """Seconds since all that the manager had told was written."""
        return time.monotonic() - self._level

    async def _follow(self) -> None:
        pause = PAUSE[0]
        while True:
            try:
                if self._waiting.cursor < 0:
                    await self._begin()
                await self._step()
                self.manager_trouble, pause = "", PAUSE[0]
            except JuliaBoxError as error:
                self.manager_trouble = error.message
                await asyncio.sleep(pause)
                pause = min(2 * pause, PAUSE[1])
            except Exception:
                log.exception("the recorder stumbled")
                await asyncio.sleep(pause)
                pause = min(2 * pause, PAUSE[1])

    async def _begin(self) -> None:
        """Find the place to go on from, and compare all sessions with what was recorded."""
        # before the database is waited for: what happens meanwhile is not to be skipped
        newest = (await self._client.call(p.Events(after=-1)))[-1].sequence
        kept = await self._kept_cursor()
        # a number from the future is of another manager: its events are not ours to skip
        place = kept if kept is not None and kept <= newest else newest
        await self._look()
        self._waiting.cursor = place

    async def _kept_cursor(self) -> int | None:
        """Return the place that the database has; wait for a database that is away."""
        pause = PAUSE[0]
        while True:
            try:
                kept = await self._keeper.run(lambda records: records.value(CURSOR))
                self.database_trouble = ""
                return int(kept) if isinstance(kept, int) else None
            except JuliaBoxError as error:
                self.database_trouble = error.message
                await self._look()  # what runs now is not forgotten meanwhile
                await asyncio.sleep(pause)
                pause = min(2 * pause, PAUSE[1])

    async def _step(self) -> None:
        """Take the next events, and look at all sessions after a gap or when it is time."""
        place = self._waiting.cursor
        wait = max(0.0, min(WAIT, self._looked + LOOK - time.monotonic()))
        events = await self._client.call(p.Events(after=place, wait=wait), timeout=wait + 10.0)
        if events and events[0].sequence != place + 1:
            # a manager that was started anew, or more events than it keeps
            await self._look()
        self._take(events)
        if time.monotonic() - self._looked >= LOOK:
            await self._look()
        self._news.set()
        if events:
            await asyncio.sleep(GATHER)

    def _take(self, events: Iterable[p.Event]) -> None:
        for event in events:
            if event.kind == "session.failed":
                self._fail(event, "start", event.value, event.message)
            elif event.kind == "session.state" and event.value == "running":
                # an event that is read again must not shorten what a look has found since
                if event.time > self._seen:
                    self._run(event.session, event.image, event.owner, event.started, event.time)
                self.endings.pop((event.owner, event.server), None)
            elif event.kind == "session.state" and event.value == "ended":
                if event.started:
                    self._run(event.session, event.image, event.owner, event.started, event.time)
                if event.message and event.message not in ORDINARY:
                    self._fail(event, "session", "session.ended", event.message)
                    if len(self.endings) < ENDINGS:
                        self.endings[event.owner, event.server] = event.message
            self._waiting.cursor = max(self._waiting.cursor, event.sequence)

    def _fail(self, event: p.Event, kind: str, code: str, message: str) -> None:
        name = f"{event.sequence:020d}"
        self._waiting.failures[name] = {
            "id": name,
            "time": event.time,
            "kind": kind,
            "subject": f"{event.owner}/{event.server}" if event.server else event.owner,
            "code": code,
            "message": message[:2000],
            "instance": self._instance,
        }

    def _run(self, session: str, image: str, owner: str, start: float, end: float) -> None:
        known = self._waiting.runs.get(session)
        end = max(start, end, known.end if known else 0.0)
        self._waiting.runs[session] = Run(session, image, owner, start, end)

    async def _look(self) -> None:
        """Compare all sessions that the manager knows: those that run have run until now."""
        asked = time.time()
        sessions: list[p.SessionInfo] = await self._client.call(p.SessionList())
        now = time.time()
        for one in sessions:
            if one.started and (one.state != "ended" or one.ended):
                end = one.ended if one.state == "ended" else now
                self._waiting.runs.pop(one.session, None)
                self._run(one.session, one.image, one.owner, one.started, end)
        if now - self._sampled >= SAMPLE:
            stats: p.StatsInfo = await self._client.call(p.Stats())
            memory = stats.memory_promised / stats.memory_total if stats.memory_total else None
            running = sum(one.state == "running" for one in sessions)
            self._waiting.load = (now, running, memory)
            self._sampled = now
        self._looked, self._seen = time.monotonic(), asked
        self._news.set()

    async def _write(self) -> None:
        pause = PAUSE[0]
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK):  # wait_for() can lose a cancellation
                    await self._news.wait()
            self._news.clear()
            try:
                await self._flush()
                self.database_trouble, pause = "", PAUSE[0]
            except JuliaBoxError as error:
                if self.database_trouble != error.message:
                    log.warning("rows wait for the database", reason=error.message)
                self.database_trouble = error.message
                await asyncio.sleep(pause)
                pause = min(2 * pause, PAUSE[1])
                self._news.set()

    async def _flush(self) -> None:
        """Write all that waits, then the place in the events."""
        while self._waiting or self._waiting.load or self._waiting.cursor > self._written:
            waiting = self._waiting
            runs = list(waiting.runs.values())[:BATCH]
            failures = list(waiting.failures.values())[:BATCH]
            whole = len(runs) + len(failures) == len(waiting)
            cursor, load = waiting.cursor if whole else -1, waiting.load
            await self._keeper.run(lambda records: _put(records, runs, failures, load, cursor))  # noqa: B023  # awaited here
            self.written += bool(runs or failures or load)
            for run in runs:
                if waiting.runs.get(run.session) is run:
                    del waiting.runs[run.session]
            for failure in failures:
                waiting.failures.pop(failure["id"], None)
            if waiting.load is load:
                waiting.load = None
            self._written = max(self._written, cursor)
        self._level = time.monotonic()
        await self._tidy()

    async def _tidy(self) -> None:
        if time.monotonic() - self._tidied < TIDY and self._tidied:
            return
        before = datetime.now(UTC).date() - timedelta(days=self._keep_days)
        gone = await self._keeper.run(lambda records: records.forget(before))
        self._tidied = time.monotonic()
        if gone:
            log.info("deleted old records", rows=gone)


def _put(
    records: Records,
    runs: list[Run],
    failures: list[dict[str, Any]],
    load: tuple[float, int, float | None] | None,
    cursor: int,
) -> None:
    """Write rows in a thread; what was written before an error is written again, to no harm."""
    if runs:
        usage = records.usage()
        for run in runs:
            try:
                start, end = _moment(run.start), _moment(run.end)
                usage.record_session_time(run.session, run.image, start, end, owner=run.owner)
            except RequestError as error:
                log.error("a session's time is refused", session=run.session, reason=error.message)
    for failure in failures:
        # what can never be written must not keep all else waiting
        try:
            day = _moment(failure["time"]).date().isoformat()
            records.add_failure({**failure, "day": day})
        except RequestError as error:
            log.error("a failure is refused", failure=failure["id"], reason=error.message)
    if load is not None:
        records.add_load(*load)
    if cursor >= 0:
        records.set_value(CURSOR, cursor)


def _moment(time: float) -> datetime:
    try:
        return datetime.fromtimestamp(time, UTC)
    except (OverflowError, ValueError, OSError):
        raise RequestError(f"{time} is no time of this calendar") from None
