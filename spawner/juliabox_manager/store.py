"""The manager's memory on disk: sessions, recorded answers and the event counter, in SQLite.

One thread of its own does all reading and writing, so that the loop never waits for a disk. The
database is opened in exclusive mode: a second manager over the same state folder is refused, and
no shared-memory file is needed. Every commit is synced and moved into the main file at once
(``wal_autocheckpoint=1``, about 1 ms), so that a damaged write-ahead log costs no session.

A full disk refuses new intents with ``NoRoomError``; what is not an intent is kept in memory and
written by the next write that succeeds.
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, TypeVar

import msgspec
import structlog

from juliabox_ext.errors import ConfigurationError, JuliaBoxError, NoRoomError, UnavailableError
from juliabox_manager.records import INTENTS, PASSING, SessionRecord

T = TypeVar("T")
log = structlog.get_logger("juliabox.manager.store")

#: Seconds that a recorded answer is kept at least, and the number that is kept at most.
ANSWER_AGE: Final = 3600.0
ANSWER_COUNT: Final = 50_000

#: Answers held in memory while the disk takes none.
_UNWRITTEN_ANSWERS: Final = 1000

#: One script per schema version; ``user_version`` counts those that were applied.
MIGRATIONS: Final = (
    """
    CREATE TABLE sessions (
        session TEXT PRIMARY KEY,
        owner TEXT NOT NULL,
        server TEXT NOT NULL,
        data BLOB NOT NULL,
        UNIQUE (owner, server)
    ) STRICT;
    CREATE TABLE answers (
        client TEXT NOT NULL,
        request TEXT NOT NULL,
        age REAL NOT NULL,
        reply BLOB NOT NULL,
        PRIMARY KEY (client, request)
    ) STRICT;
    CREATE INDEX answers_age ON answers (age);
    CREATE TABLE counters (name TEXT PRIMARY KEY, value REAL NOT NULL) STRICT;
    """,
    """
    CREATE TABLE task_runs (
        number INTEGER PRIMARY KEY,
        job TEXT NOT NULL UNIQUE,
        task TEXT NOT NULL,
        data BLOB NOT NULL
    ) STRICT;
    CREATE INDEX task_runs_task ON task_runs (task, number);
    """,
    # a session that is retired gives its name away; an API container counts as such, having none
    """
    CREATE TABLE sessions_new (
        session TEXT PRIMARY KEY,
        owner TEXT NOT NULL,
        server TEXT NOT NULL,
        data BLOB NOT NULL,
        retired INTEGER NOT NULL
    ) STRICT;
    INSERT INTO sessions_new SELECT session, owner, server, data, 0 FROM sessions;
    DROP TABLE sessions;
    ALTER TABLE sessions_new RENAME TO sessions;
    CREATE UNIQUE INDEX sessions_name ON sessions (owner, server) WHERE NOT retired;
    """,
    # a claim: whoever has a record is a session, and no longer a warm container
    """
    CREATE TABLE warm (session TEXT PRIMARY KEY, data BLOB NOT NULL) STRICT;
    CREATE TRIGGER claim AFTER INSERT ON sessions BEGIN
        DELETE FROM warm WHERE session = NEW.session;
    END;
    CREATE TABLE demand (
        image TEXT NOT NULL,
        hour INTEGER NOT NULL,
        day INTEGER NOT NULL,
        most INTEGER NOT NULL,
        PRIMARY KEY (image, hour, day)
    ) STRICT;
    """,
)

_FULL = {sqlite3.SQLITE_FULL, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN}


class Store:
    """Sessions, answers and counters of one manager; also its ``AnswerStore``."""

    def __init__(self, path: Path) -> None:
        """Name the database file; nothing is opened before :meth:`open`."""
        self._path = path
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="store")
        self._db: sqlite3.Connection | None = None
        self._unwritten: dict[str, SessionRecord | None] = {}
        self._answers: OrderedDict[tuple[str, str], bytes] = OrderedDict()
        self._age_base = 0.0
        self._opened = time.monotonic()

    async def open(self) -> None:
        """Open and migrate; raise ``ConfigurationError`` when the file cannot be used.

        Harmless when already open.
        """
        if self._db is None:
            await self._run(self._open)

    async def close(self) -> None:
        """Write what is due and close; harmless when already closed."""
        if self._db is not None:
            await self._run(self._close)
        self._thread.shutdown(wait=True)

    def age(self) -> float:
        """Return seconds that managers of this state have been up in all; never goes back.

        Spans are measured by it instead of the wall clock, which may jump.
        """
        return self._age_base + time.monotonic() - self._opened

    async def sessions(self) -> list[SessionRecord]:
        """Return all session records, oldest first."""
        return await self._run(self._sessions)

    async def record(self, record: SessionRecord, step: str) -> None:
        """Write a session's record as it is at ``step``.

        Raises ``NoRoomError`` or ``UnavailableError`` for an intent that cannot be written; other
        steps are then kept in memory until a write succeeds. So are passing steps in any case.
        """
        copy = msgspec.structs.replace(record, step=step)
        if step in PASSING:
            self._thread.submit(self._hold, copy.session, copy)
            record.step = step
            return
        try:
            await self._run(lambda: self._write_sessions({copy.session: copy}))
        except (NoRoomError, UnavailableError):
            if step in INTENTS:
                raise
            await self._run(lambda: self._hold(copy.session, copy))
            log.warning("record kept in memory", session=copy.session, step=step)
        record.step = step

    async def retire(self, record: SessionRecord) -> None:
        """Write that a session has retired, whatever step of it is being written.

        On a full disk that is kept in memory: what a restart finds runs, and its owner is told so.
        """
        copy = msgspec.structs.replace(record)
        try:
            await self._run(lambda: self._write_sessions({copy.session: copy}))
        except (NoRoomError, UnavailableError):
            await self._run(lambda: self._hold(copy.session, copy))
            log.warning("retirement kept in memory", session=copy.session)

    async def forget(self, session: str) -> None:
        """Delete a session's record."""
        try:
            await self._run(lambda: self._write_sessions({session: None}))
        except (NoRoomError, UnavailableError):
            await self._run(lambda: self._hold(session, None))
            log.warning("removal of a record is due", session=session)

    async def flush(self) -> None:
        """Write what a full disk held up, and let go of old answers."""
        await self._run(self._flush)

    async def recorded_answer(self, client: str, request_id: str) -> bytes | None:
        """Return the answer recorded for a client's request, if any."""
        held = self._answers.get((client, request_id))
        return held or await self._run(lambda: self._answer(client, request_id))

    async def record_answer(self, client: str, request_id: str, reply: bytes) -> None:
        """Keep an answer for at least :data:`ANSWER_AGE` seconds of uptime."""
        try:
            await self._run(lambda: self._write_answer(client, request_id, reply))
        except (NoRoomError, UnavailableError):
            await self._run(lambda: self._hold_answer(client, request_id, reply))

    async def counter(self, name: str) -> int:
        """Return a stored counter, 0 when it was never set."""
        return await self._run(lambda: int(self._counter(name)))

    async def set_counter(self, name: str, value: int) -> None:
        """Store a counter; it never goes back."""
        await self._run(lambda: self._set_counter(name, value))

    async def transact(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Do ``work`` in one transaction in the store's thread; return what it returns.

        Raises ``NoRoomError`` or ``UnavailableError`` if it cannot be written; nothing is then.
        """
        return await self._run(lambda: self._transact(work))

    # -- everything below runs in the store's thread ------------------------------------------

    def _hold(self, session: str, record: SessionRecord | None) -> None:
        self._unwritten[session] = record

    def _hold_answer(self, client: str, request_id: str, reply: bytes) -> None:
        self._answers[client, request_id] = reply
        while len(self._answers) > _UNWRITTEN_ANSWERS:
            self._answers.popitem(last=False)

    async def _run(self, work: Callable[[], T]) -> T:
        def typed() -> T:
            try:
                return work()
            except sqlite3.Error as error:
                raise self._translate(error) from error

        return await asyncio.get_running_loop().run_in_executor(self._thread, typed)

    def _translate(self, error: sqlite3.Error) -> JuliaBoxError:
        code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
        if code in _FULL:
            return NoRoomError(
                f"the manager cannot write its records in {self._path.parent}: {error}; "
                "free disk space there, then try again",
                code="no_room.disk",
            )
        if code in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}:
            return ConfigurationError(
                f"another manager uses {self._path}; stop it first", code="store.locked"
            )
        if code in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}:
            return ConfigurationError(
                f"{self._path} is damaged ({error}); stop the manager, move the file away and "
                "start again: running sessions without a record are then ended",
                code="store.damaged",
            )
        return UnavailableError(f"{self._path} cannot be used: {error}", code="store.unavailable")

    def _open(self) -> None:
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        db = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False, timeout=2)
        for pragma in (
            "locking_mode=EXCLUSIVE",
            "journal_mode=WAL",
            "synchronous=FULL",
            "wal_autocheckpoint=1",
            "trusted_schema=OFF",
        ):
            db.execute(f"PRAGMA {pragma}").fetchall()
        self._path.chmod(0o600)
        self._db = db
        version = db.execute("PRAGMA user_version").fetchone()[0]
        if version > len(MIGRATIONS):
            raise ConfigurationError(
                f"{self._path} was written by a newer manager (schema {version}); install that one",
                code="store.newer",
            )
        for number, script in enumerate(MIGRATIONS[version:], start=version + 1):
            db.executescript(f"BEGIN IMMEDIATE; {script}; PRAGMA user_version={number}; COMMIT;")
        newest = db.execute("SELECT coalesce(max(age), 0) FROM answers").fetchone()[0]
        self._age_base = max(newest, self._counter("age"))
        self._opened = time.monotonic()

    def _close(self) -> None:
        try:
            self._flush()
        except sqlite3.Error as error:
            log.warning("records could not be written at close", error=str(error))
        self._connection.close()
        self._db = None

    @property
    def _connection(self) -> sqlite3.Connection:
        if self._db is None:
            raise UnavailableError("the manager's store is closed", code="store.closed")
        return self._db

    def _sessions(self) -> list[SessionRecord]:
        rows = self._connection.execute("SELECT data FROM sessions").fetchall()
        found = [msgspec.json.decode(data, type=SessionRecord) for (data,) in rows]
        return sorted(found, key=lambda record: (record.created, record.session))

    def _write_sessions(self, changes: dict[str, SessionRecord | None]) -> None:
        held = self._unwritten
        self._unwritten = {}
        try:
            self._transact(lambda db: self._put(db, {**held, **changes}))
        except BaseException:
            self._unwritten = {**held, **self._unwritten}
            raise

    @staticmethod
    def _put(db: sqlite3.Connection, changes: dict[str, SessionRecord | None]) -> None:
        # a session that replaces another, removed or retired, has its owner and server
        for session, record in sorted(changes.items(), key=_by_claim):
            if record is None:
                db.execute("DELETE FROM sessions WHERE session = ?", (session,))
                continue
            db.execute(
                "INSERT INTO sessions VALUES (?, ?, ?, ?, ?) ON CONFLICT (session) "
                "DO UPDATE SET data = excluded.data, retired = excluded.retired",
                (
                    session,
                    record.owner,
                    record.server,
                    msgspec.json.encode(record),
                    not record.named,
                ),
            )

    def _transact(self, work: Callable[[sqlite3.Connection], T]) -> T:
        db = self._connection
        db.execute("BEGIN IMMEDIATE")
        try:
            done = work(db)
            db.execute("COMMIT")
        except BaseException:
            if db.in_transaction:
                db.execute("ROLLBACK")
            raise
        return done

    def _flush(self) -> None:
        self._write_sessions({})
        while self._answers:
            (client, request), reply = next(iter(self._answers.items()))
            self._write_answer(client, request, reply)
            self._answers.pop((client, request), None)
        self._set_counter("age", self.age())
        self._connection.execute(
            "DELETE FROM answers WHERE age < ? OR age < (SELECT age FROM answers "
            "ORDER BY age DESC LIMIT 1 OFFSET ?)",
            (self.age() - ANSWER_AGE, ANSWER_COUNT),
        )

    def _answer(self, client: str, request_id: str) -> bytes | None:
        row = self._connection.execute(
            "SELECT reply FROM answers WHERE client = ? AND request = ?", (client, request_id)
        ).fetchone()
        return None if row is None else bytes(row[0])

    def _write_answer(self, client: str, request_id: str, reply: bytes) -> None:
        self._connection.execute(
            "INSERT OR REPLACE INTO answers VALUES (?, ?, ?, ?)",
            (client, request_id, self.age(), reply),
        )

    def _counter(self, name: str) -> float:
        row = self._connection.execute(
            "SELECT value FROM counters WHERE name = ?", (name,)
        ).fetchone()
        return 0.0 if row is None else float(row[0])

    def _set_counter(self, name: str, value: float) -> None:
        self._connection.execute(
            "INSERT INTO counters VALUES (?, ?) "
            "ON CONFLICT (name) DO UPDATE SET value = max(value, excluded.value)",
            (name, value),
        )


def _by_claim(change: tuple[str, SessionRecord | None]) -> int:
    """Order changes: removals, then sessions without a name, then those that have one."""
    _, record = change
    return 0 if record is None else 2 if record.named else 1
