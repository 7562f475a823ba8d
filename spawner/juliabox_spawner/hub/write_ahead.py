"""The hub's database with a write-ahead log, which another thread brings to the disk.

A start makes some fourteen commits. With SQLite's rollback journal each waits for the disk several
times, and all of the hub waits with it. With a write-ahead log and ``synchronous=NORMAL`` a commit
waits for nothing: a process that is killed loses no commit, and a machine that loses its power
loses the last ones but never the database. So that "the last ones" means about a second (somebody
has revoked a token, changed a password), a thread moves the log into the database each second in
which something was written; SQLite syncs both for that, and lets go of the interpreter meanwhile.
"""

from __future__ import annotations

import contextlib
import sqlite3
import threading
import time
from pathlib import Path
from typing import Any

from sqlalchemy import event
from sqlalchemy.engine import Engine

#: Seconds from a commit to the disk.
INTERVAL = 1.0

_written = threading.Event()


def use_write_ahead_log(database: Path) -> None:
    """Let SQLite databases that this process opens from now on have a write-ahead log.

    ``database`` is the one whose log a thread brings to the disk, for as long as the process lives.
    """
    if event.contains(Engine, "connect", _prepare):
        return
    event.listen(Engine, "connect", _prepare)
    event.listen(Engine, "commit", _note)
    threading.Thread(target=_sync, args=[database], name="write-ahead log", daemon=True).start()


def _prepare(connection: Any, _: object) -> None:
    if not isinstance(connection, sqlite3.Connection):
        return
    try:
        (mode,) = connection.execute("PRAGMA journal_mode=WAL").fetchone()
    except sqlite3.OperationalError:
        # locked by somebody: this connection stays careful, the next one tries again
        return
    if mode == "wal":
        # with any other journal this could cost the database
        connection.execute("PRAGMA synchronous=NORMAL")


def _note(_: object) -> None:
    _written.set()


def _sync(database: Path) -> None:
    while True:
        _written.wait()
        time.sleep(INTERVAL)
        _written.clear()
        # a database that is locked, gone or full: the next commit tells the person
        with contextlib.suppress(sqlite3.Error):
            checkpoint(database)


def checkpoint(database: Path) -> None:
    """Move what the log holds into the database as far as nobody reads it, and sync both."""
    with contextlib.closing(sqlite3.connect(f"file:{database}?mode=rw", uri=True)) as link:
        link.execute("PRAGMA wal_checkpoint(PASSIVE)")
