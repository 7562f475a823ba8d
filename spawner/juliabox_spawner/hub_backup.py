"""Backups of the hub's database, and the check that it is sound."""

from __future__ import annotations

import os
import sqlite3
import time
from contextlib import closing
from pathlib import Path

from juliabox_ext.errors import JuliaBoxError

#: Backups that are kept, and seconds for which a newer start makes no other one.
KEPT = 5
INTERVAL = 600.0

_PREFIX = "jupyterhub-"
_SUFFIX = ".sqlite"


class DatabaseDamagedError(JuliaBoxError):
    """The hub's database cannot be read; the message says how to restore the newest backup."""

    code = "hub.database_damaged"


def backups(folder: Path) -> list[Path]:
    """Return the backups of a folder, newest first."""
    return sorted(folder.glob(f"{_PREFIX}*{_SUFFIX}"), reverse=True)


def check(database: Path, folder: Path) -> None:
    """Raise ``DatabaseDamagedError`` unless SQLite finds the database sound.

    A database that does not exist yet is sound; one that another process has locked is not judged.
    """
    if not database.exists():
        return
    try:
        with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True, timeout=5)) as link:
            found = [row[0] for row in link.execute("PRAGMA integrity_check(5)")]
    except sqlite3.OperationalError as error:
        if "locked" in str(error):
            return
        found = [str(error)]
    except sqlite3.DatabaseError as error:
        found = [str(error)]
    if found != ["ok"]:
        raise DatabaseDamagedError(_advice(database, folder, found))


def back_up(database: Path, folder: Path, *, interval: float = INTERVAL) -> Path | None:
    """Copy a sound database with SQLite's online backup; return the copy, or None if not due.

    The copy appears under its name only when it is whole. The oldest beyond :data:`KEPT` go.
    """
    if not database.exists():
        return None
    folder.mkdir(mode=0o700, exist_ok=True)
    newest = next(iter(backups(folder)), None)
    if newest is not None and 0 <= time.time() - newest.stat().st_mtime < interval:
        return None
    now = time.time()
    stamp = time.strftime("%Y%m%dT%H%M%S", time.gmtime(now)) + f".{int(now * 1000) % 1000:03d}"
    target = folder / f"{_PREFIX}{stamp}{_SUFFIX}"
    partial = folder / f".{target.name}.partial"
    partial.unlink(missing_ok=True)
    os.close(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    with closing(sqlite3.connect(database)) as source, closing(sqlite3.connect(partial)) as copy:
        source.backup(copy)
    partial.rename(target)
    for old in backups(folder)[KEPT:]:
        old.unlink()
    return target


def _advice(database: Path, folder: Path, found: list[str]) -> str:
    newest = next(iter(backups(folder)), None)
    lines = [f"the hub's database {database} is damaged: {'; '.join(found)[:300]}"]
    if newest is None:
        lines.append(
            "There is no backup. Move the file away and start again: people must sign up anew; "
            "their files are not touched."
        )
    else:
        lines += [
            "Running sessions and files are not touched. To restore the newest backup:",
            f"  mv {database} {database}.damaged && rm -f {database}-wal {database}-shm && "
            f"cp -p {newest} {database}",
            "then `juliabox up`. What changed since that backup (accounts, tokens) is lost.",
        ]
    return "\n".join(lines)
