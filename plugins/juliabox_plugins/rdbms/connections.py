"""Connections to SQLite and PostgreSQL, none of which waits for ever."""

from __future__ import annotations

import os
import sqlite3
import time
from pathlib import Path
from typing import Any

import psycopg
import sqlalchemy as sa
from psycopg import waiting
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.pool import ConnectionPoolEntry, QueuePool


class BoundedConnection(psycopg.Connection[Any]):
    """A connection that is given up when the server does not answer for ``patience`` seconds.

    The server ends a slow statement itself; this is for one that is frozen or cut off.
    """

    patience = 6.0

    def wait(self, gen: Any, interval: float = 0.1, timeout: float | None = None) -> Any:
        """See :meth:`psycopg.Connection.wait`; an answer that is late closes the connection."""
        limit = self.patience if timeout is None else timeout
        try:
            return waiting.wait(gen, self.pgconn.socket, interval=interval, timeout=limit)
        except psycopg.OperationalError as error:
            if error.sqlstate is None and timeout is None:
                self.pgconn.finish()
            raise


def sqlite_engine(file: Path, timeout: float) -> sa.Engine:
    """Return an engine on a file, which is made with its folder when it is first needed."""
    engine = sa.create_engine(
        sa.URL.create("sqlite", database=str(file)),
        poolclass=QueuePool,
        pool_timeout=timeout,
        pool_size=5,
        max_overflow=5,
        isolation_level="AUTOCOMMIT",
        connect_args={"timeout": timeout, "check_same_thread": False},
        hide_parameters=True,
    )

    @sa.event.listens_for(engine, "do_connect")
    def _make_file(*_: object) -> None:
        if not file.exists():
            file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            os.close(os.open(file, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600))

    @sa.event.listens_for(engine, "connect")
    def _prepare(connection: DBAPIConnection, _: ConnectionPoolEntry) -> None:
        _use_wal(connection, timeout)
        connection.execute("PRAGMA foreign_keys=ON")

    return engine


def _use_wal(connection: Any, timeout: float) -> None:
    """Turn on the write-ahead log, which several processes may do to a new file at once.

    SQLite does not wait for its lock in that case.
    """
    deadline = time.monotonic() + timeout
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL").fetchone()
            return
        except sqlite3.OperationalError as error:
            busy = error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY
            if not busy or time.monotonic() > deadline:
                raise
            time.sleep(0.02)


def postgresql_engine(url: sa.URL, timeout: float, pool_size: int) -> sa.Engine:
    """Return an engine on a server; it connects when it is first needed, again after a failure."""
    milliseconds = max(1, round(timeout * 1000))
    options = {
        "statement_timeout": milliseconds,
        "lock_timeout": max(1, milliseconds * 9 // 10),  # so that a lock is told as one
        "idle_in_transaction_session_timeout": max(60_000, 2 * milliseconds),
        "timezone": "UTC",
        "client_encoding": "UTF8",
    }
    engine = sa.create_engine(
        url.set(drivername="postgresql+psycopg"),
        pool_timeout=timeout,
        pool_size=pool_size,
        max_overflow=0,
        pool_pre_ping=True,
        isolation_level="AUTOCOMMIT",
        connect_args={
            "connect_timeout": max(2, round(timeout)),
            "options": " ".join(f"-c {name}={value}" for name, value in options.items()),
            "keepalives_idle": 10,
            "keepalives_interval": 5,
            "keepalives_count": 3,
            "application_name": "juliabox",
        },
        hide_parameters=True,
    )

    @sa.event.listens_for(engine, "do_connect")
    def _connect(_dialect: object, _entry: object, args: Any, parameters: Any) -> Any:
        connection = BoundedConnection.connect(*args, **parameters)
        connection.patience = timeout + 1
        return connection

    return engine
