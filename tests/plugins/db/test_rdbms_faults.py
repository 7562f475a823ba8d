"""A database that is down, frozen, locked, slow, full or damaged: told as such, soon, no harm."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from subprocess import PIPE
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa

from juliabox_ext.db import Column, TableSchema
from juliabox_ext.errors import (
    ConfigurationError,
    ConflictError,
    JuliaBoxError,
    NoRoomError,
    UnavailableError,
)
from juliabox_plugins.rdbms import Rdbms
from juliabox_plugins.rdbms.plugin import FILE
from juliabox_plugins.rdbms.tables import Migrations
from support.postgres import ACCOUNT, PASSWORD, Postgres

Make = Callable[..., Any]
NOTES = TableSchema("notes", (Column("id"),), (Column("text"), Column("count", "integer")))


@contextmanager
def refused(kind: type[JuliaBoxError], *codes: str, within: float = 30.0) -> Iterator[None]:
    """Demand an error with one of some codes, soon."""
    begin = time.monotonic()
    with pytest.raises(kind) as caught:
        yield
    assert caught.value.code in codes, caught.value.message
    assert time.monotonic() - begin < within


@pytest.fixture
def server(postgres: Postgres) -> Iterator[Postgres]:
    """The server, with nothing of this test's left afterwards."""
    yield postgres
    with psycopg.connect(postgres.url, autocommit=True) as connection:
        connection.execute("DROP TABLE IF EXISTS faults_notes, faults__tables")


@pytest.fixture
def rdbms(make: Make, server: Postgres) -> Rdbms:
    # what is not at fault must be done within it on a busy machine, too; and a tenth of it lies
    # between the ends of a lock and of a statement, which are told apart
    made: Rdbms = make(Rdbms, url=server.url, timeout=5.0, table_prefix="faults_")
    return made


@pytest.fixture
def notes(rdbms: Rdbms) -> Any:
    table = rdbms.table_open(NOTES)
    rdbms.record_create(table, {"id": "a", "text": "first", "count": 1})
    return table


def test_a_server_that_was_down_is_used_again_when_it_is_up(
    rdbms: Rdbms, notes: Any, server: Postgres
) -> None:
    server.stop()
    try:
        for _ in range(2):
            with refused(UnavailableError, "db.unavailable"):
                rdbms.record_fetch(notes, id="a")
            with refused(UnavailableError, "db.unavailable"):
                rdbms.record_save(notes, {"id": "a", "text": "second"})
        with refused(UnavailableError, "db.unavailable"):
            rdbms.table_open(NOTES)
    finally:
        server.start()
    assert rdbms.record_fetch(notes, id="a")["text"] == "first"
    assert rdbms.record_save(notes, {"id": "a", "text": "second"}) == 2


def wait_stopped(process: int) -> None:
    """Wait until a process that was sent SIGSTOP stands still."""
    end = time.monotonic() + 60
    while "T (stopped)" not in Path(f"/proc/{process}/status").read_text():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_a_server_that_is_frozen_is_given_up(rdbms: Rdbms, notes: Any, server: Postgres) -> None:
    processes = [server.process()]
    try:
        # first of all, so that it makes no more; one that ends by itself is still there for it
        os.kill(processes[0], signal.SIGSTOP)
        wait_stopped(processes[0])
        processes += server.children()
        for process in processes[1:]:
            os.kill(process, signal.SIGSTOP)
        with refused(UnavailableError, "db.timeout", "db.unavailable", within=40):
            rdbms.record_fetch(notes, id="a")
    finally:
        for process in reversed(processes):
            os.kill(process, signal.SIGCONT)
    assert rdbms.record_fetch(notes, id="a")["text"] == "first"


def test_a_locked_table_of_postgresql_is_told(rdbms: Rdbms, notes: Any, server: Postgres) -> None:
    with psycopg.connect(server.url) as other:
        other.execute("LOCK TABLE faults_notes IN ACCESS EXCLUSIVE MODE")
        with refused(UnavailableError, "db.locked"):
            rdbms.record_save(notes, {"id": "a", "text": "second"})
        with refused(UnavailableError, "db.locked"):
            rdbms.record_fetch(notes, id="a")
    assert rdbms.record_fetch(notes, id="a")["text"] == "first"


def test_a_slow_statement_is_ended_and_changes_nothing(
    rdbms: Rdbms, notes: Any, server: Postgres
) -> None:
    with psycopg.connect(server.url, autocommit=True) as other:
        other.execute(
            "CREATE FUNCTION pg_temp_slow() RETURNS trigger LANGUAGE plpgsql AS"
            " 'BEGIN PERFORM pg_sleep(30); RETURN NEW; END'"
        )
        other.execute(
            "CREATE TRIGGER slow BEFORE UPDATE ON faults_notes"
            " FOR EACH ROW EXECUTE FUNCTION pg_temp_slow()"
        )
        try:
            with refused(UnavailableError, "db.timeout"):
                rdbms.record_save(notes, {"id": "a", "text": "second"})
            assert rdbms.record_fetch(notes, id="a")["text"] == "first"
        finally:
            other.execute("DROP FUNCTION pg_temp_slow CASCADE")


def test_a_call_that_finds_all_connections_in_use_does_not_wait_for_ever(
    make: Make, server: Postgres
) -> None:
    rdbms = make(Rdbms, url=server.url, table_prefix="faults_", timeout=5.0, pool_size=1)
    table = rdbms.table_open(NOTES)

    def code(_: int) -> str:
        with pytest.raises(UnavailableError) as caught:
            rdbms.record_count(table)
        return caught.value.code

    begin = time.monotonic()
    with psycopg.connect(server.url) as other, ThreadPoolExecutor(4) as threads:
        other.execute("LOCK TABLE faults_notes IN ACCESS EXCLUSIVE MODE")
        assert set(threads.map(code, range(4))) == {"db.locked", "db.timeout"}
    assert time.monotonic() - begin < 40


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[Path]:
    """Mount a disk in memory."""
    folder.mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "none", folder], check=True)
    try:
        yield folder
    finally:
        unmount(folder)


def unmount(folder: Path) -> None:
    """Unmount a disk as soon as its last file is closed: a server's processes end by themselves."""
    end = time.monotonic() + 60
    while (done := subprocess.run(["umount", folder], check=False, stderr=PIPE)).returncode:
        assert time.monotonic() < end, done.stderr
        time.sleep(0.05)


def fill(database: Rdbms, table: Any, text: Callable[[], str]) -> int:
    """Create records until there is no room; return how many there are."""
    for number in range(10_000):
        try:
            database.record_create(table, {"id": f"n{number}", "text": text()})
        except NoRoomError as error:
            assert error.code == "db.full"
            return number
    raise AssertionError("the disk never was full")


def test_a_full_disk_of_postgresql_is_told_and_nothing_is_half_written(
    make: Make, server: Postgres
) -> None:
    with small_disk(server.folder / "small", "2m") as disk:
        subprocess.run(["chown", f"{ACCOUNT}:{ACCOUNT}", disk], check=True)
        with psycopg.connect(server.url, autocommit=True) as other:
            other.execute(f"CREATE TABLESPACE small LOCATION '{disk}'".encode())
            other.execute("ALTER ROLE juliabox SET default_tablespace = 'small'")
            try:
                rdbms = make(Rdbms, url=server.url, table_prefix="faults_")
                table = rdbms.table_open(NOTES)
                # text that does not shrink when the server compresses it
                count = fill(rdbms, table, lambda: os.urandom(15_000).hex())
                assert rdbms.record_count(table) == count > 5
                rdbms.close()
            finally:
                other.execute("ALTER ROLE juliabox RESET default_tablespace")
                other.execute("DROP TABLE IF EXISTS faults_notes, faults__tables")
                other.execute("CHECKPOINT")
                other.execute("DROP TABLESPACE small")


def test_a_wrong_password_is_told_without_any_password(make: Make, server: Postgres) -> None:
    rdbms = make(Rdbms, url=server.url.replace("own", "wrong"), timeout=5.0)
    with pytest.raises(JuliaBoxError) as caught:
        rdbms.table_open(NOTES)
    assert "password authentication failed" in caught.value.message
    assert PASSWORD not in caught.value.message and "wrong" not in caught.value.message


def test_a_foreign_table_is_left_alone(rdbms: Rdbms, server: Postgres) -> None:
    with psycopg.connect(server.url, autocommit=True) as other:
        other.execute("CREATE TABLE faults_notes (id text PRIMARY KEY)")
    with refused(ConflictError, "db.foreign"):
        rdbms.table_open(NOTES)


def test_a_locked_file_of_sqlite_is_told_and_can_be_read(make: Make, tmp_path: Path) -> None:
    rdbms = make(Rdbms, tmp_path, timeout=0.5)
    table = rdbms.table_open(NOTES)
    rdbms.record_create(table, {"id": "a", "text": "first"})
    with closing(sqlite3.connect(tmp_path / FILE, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        with refused(UnavailableError, "db.locked"):
            rdbms.record_save(table, {"id": "a", "text": "second"})
        with refused(UnavailableError, "db.locked"):
            rdbms.table_open(TableSchema("other", NOTES.keys))
        assert rdbms.record_fetch(table, id="a")["text"] == "first"
    assert rdbms.record_save(table, {"id": "a", "text": "second"}) == 2


def test_a_full_disk_of_sqlite_is_told_and_nothing_is_half_written(
    make: Make, tmp_path: Path
) -> None:
    with small_disk(tmp_path / "small", "1m") as disk:
        rdbms = make(Rdbms, disk)
        table = rdbms.table_open(NOTES)
        count = fill(rdbms, table, lambda: "x" * 20_000)
        assert rdbms.record_count(table) == count > 5
        with refused(NoRoomError, "db.full"):
            rdbms.record_save(table, {"id": "n0", "text": "y" * 300_000})
        assert set(rdbms.record_fetch(table, id="n0")["text"]) == {"x"}
        subprocess.run(["mount", "-o", "remount,size=8m", disk], check=True)
        rdbms.record_save(table, {"id": "n0", "text": "y" * 300_000})
        assert rdbms.record_count(table) == count
        with closing(sqlite3.connect(disk / FILE)) as other:
            assert other.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        rdbms.close()


def test_a_file_that_is_no_database_is_told_and_kept(make: Make, tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(b"something else entirely" * 200)
    with refused(ConfigurationError, "db.damaged"):
        make(Rdbms, tmp_path).table_open(NOTES)
    assert (tmp_path / FILE).read_bytes().startswith(b"something else")


def test_a_folder_that_cannot_be_made_is_told_and_tried_again(make: Make, tmp_path: Path) -> None:
    (tmp_path / "place").touch()
    rdbms = make(Rdbms, tmp_path / "place" / "rdbms")
    with refused(UnavailableError, "db.unavailable"):
        rdbms.table_open(NOTES)
    (tmp_path / "place").unlink()
    assert rdbms.record_count(rdbms.table_open(NOTES)) == 0


def test_only_its_owner_reads_the_file(make: Make, tmp_path: Path) -> None:
    rdbms = make(Rdbms, tmp_path / "rdbms")
    rdbms.record_create(rdbms.table_open(NOTES), {"id": "a"})
    files = list((tmp_path / "rdbms").iterdir())
    assert {path.stat().st_mode & 0o777 for path in files} == {0o600}
    assert len(files) == 3  # with log and shared memory


WRITER = """
    import sys
    from pathlib import Path
    from juliabox_ext.db import Column, TableSchema
    from juliabox_ext.errors import ConflictError
    from juliabox_ext.plugin import PluginContext
    from juliabox_plugins.rdbms import Rdbms

    rdbms = Rdbms(PluginContext("rdbms", Rdbms.Settings(timeout=60), folder=Path(sys.argv[1])))
    rdbms.configure()
    notes = TableSchema("notes", (Column("id"),), (Column("text"), Column("count", "integer")))
    table = rdbms.table_open(notes)
    try:
        rdbms.record_create(table, {"id": "a", "count": 0})
    except ConflictError:
        pass
    done = 0
    while done < 6:
        record = rdbms.record_fetch(table, id="a")
        try:
            rdbms.record_save(table, {**record, "count": record["count"] + 1})
            done += 1
        except ConflictError:
            pass
"""


def test_processes_that_share_a_new_file_lose_no_update(make: Make, tmp_path: Path) -> None:
    command = [sys.executable, "-c", textwrap.dedent(WRITER), str(tmp_path)]
    writers = [subprocess.Popen(command) for _ in range(3)]
    assert [writer.wait(240) for writer in writers] == [0] * 3
    rdbms = make(Rdbms, tmp_path)
    found = rdbms.record_fetch(rdbms.table_open(NOTES), id="a")
    assert (found["count"], found["revision"]) == (18, 19)


def test_a_table_that_another_process_makes_during_the_look_is_ours(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, other = make(Rdbms, tmp_path), make(Rdbms, tmp_path)
    look, due = Migrations._declared, [NOTES]

    def look_and_lose(self: Migrations, connection: sa.Connection, name: str) -> Any:
        found = look(self, connection, name)
        if due:
            other.table_open(due.pop())
        return found

    monkeypatch.setattr(Migrations, "_declared", look_and_lose)
    first.record_create(first.table_open(NOTES), {"id": "a"})
    assert other.record_count(other.table_open(NOTES)) == 1


def test_the_revision_of_each_table_is_recorded(make: Make, tmp_path: Path) -> None:
    rdbms = make(Rdbms, tmp_path)
    rdbms.table_open(NOTES)
    rdbms.table_open(TableSchema("notes", NOTES.keys, (*NOTES.attributes, Column("more", "json"))))
    rdbms.table_open(NOTES)
    with closing(sqlite3.connect(tmp_path / FILE)) as other:
        found = other.execute("SELECT name, revision FROM juliabox__tables").fetchall()
    assert found == [("juliabox_notes", 2)]
