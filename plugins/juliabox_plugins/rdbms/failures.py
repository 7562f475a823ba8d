"""Errors of SQLite, PostgreSQL and SQLAlchemy, told as those of the contract."""

from __future__ import annotations

import errno
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psycopg
import sqlalchemy.exc

from juliabox_ext import db_failures
from juliabox_ext.errors import JuliaBoxError

Verdict = Callable[[str, str], JuliaBoxError]

_SQLITE: dict[int, Verdict] = {
    sqlite3.SQLITE_BUSY: db_failures.locked,
    sqlite3.SQLITE_LOCKED: db_failures.locked,
    sqlite3.SQLITE_PROTOCOL: db_failures.locked,
    sqlite3.SQLITE_FULL: db_failures.full,
    sqlite3.SQLITE_CANTOPEN: db_failures.down,
    sqlite3.SQLITE_IOERR: db_failures.down,
    sqlite3.SQLITE_READONLY: db_failures.down,
    sqlite3.SQLITE_NOTADB: db_failures.damaged,
    sqlite3.SQLITE_CORRUPT: db_failures.damaged,
    sqlite3.SQLITE_TOOBIG: db_failures.invalid,
    sqlite3.SQLITE_MISMATCH: db_failures.invalid,
}

#: SQLSTATE, or its class of two characters -> verdict.
_POSTGRESQL: dict[str, Verdict] = {
    "25006": db_failures.down,
    "40001": db_failures.locked,
    "40P01": db_failures.locked,
    "42501": db_failures.denied,
    "53100": db_failures.full,
    "54000": db_failures.invalid,
    "55P03": db_failures.locked,
    "57014": db_failures.slow,
    "08": db_failures.down,
    "22": db_failures.invalid,
    "28": db_failures.denied,
    "3D": db_failures.down,
    "53": db_failures.down,
    "57": db_failures.down,
    "58": db_failures.down,
    "XX": db_failures.damaged,
}


@contextmanager
def translated(name: str) -> Iterator[None]:
    """Raise the contract's errors, which name the database, for those of the libraries within."""
    try:
        yield
    except sqlalchemy.exc.TimeoutError as error:
        raise db_failures.slow(name, "all connections are in use") from error
    except sqlalchemy.exc.DBAPIError as error:
        raise _told(name, error.orig or error) from error
    except (sqlite3.Error, psycopg.Error, OSError) as error:
        raise _told(name, error) from error


def _told(name: str, error: BaseException) -> JuliaBoxError:
    reason = str(error).strip().split("\n")[0].rstrip(".")
    return verdict(error)(name, reason)


def verdict(error: BaseException) -> Verdict:
    """Return what an error of a driver means."""
    if isinstance(error, OSError):
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        return db_failures.full if full else db_failures.down
    if isinstance(error, sqlite3.Error):
        code = getattr(error, "sqlite_errorcode", -1)
        return _SQLITE.get(code & 0xFF, db_failures.unforeseen)
    if isinstance(error, psycopg.Error):
        state = error.sqlstate or ""
        found = _POSTGRESQL.get(state) or _POSTGRESQL.get(state[:2])
        if found is None and isinstance(error, psycopg.OperationalError) and not state:
            return db_failures.down  # the driver's own word for a connection that it has not
        return found or db_failures.unforeseen
    return db_failures.unforeseen
